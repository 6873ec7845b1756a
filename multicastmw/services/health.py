"""Stream health: the monitor's life in the node, and what may be asked of it over the control socket."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service

from multicastmw import literals
from multicastmw.core.addressing import Channel, key_text
from multicastmw.core.fastpath.tables import Reason
from multicastmw.core.health.monitor import LEASE_MAX, Monitor
from multicastmw.core.health.report import HealthStatus, not_watched
from multicastmw.core.identity import node_of
from multicastmw.core.routing import Route
from multicastmw.core.stream import Stream
from multicastmw.net.clockwork import Clockwork
from multicastmw.wire import ipv4

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose: streams that nobody looks at which a snapshot lists, the busiest; the routes have all.
UNWATCHED_MAX = 64

Said = tuple[Any, HealthStatus]  # what a status is made of, and it


@dataclass(frozen=True)
class Watching:
    """What the asker is answered; who renews asks again before `seconds` are over."""

    groups: tuple[str, ...]
    seconds: float
    refused: str

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"ok": True, "groups": self.groups, "seconds": self.seconds, "refused": self.refused}


class HealthService(Service):
    """Winds the monitor, and asks it."""

    def __init__(self, node: "NodeService") -> None:
        self._node = node
        self._last: dict[Route, Said] = {}  # of those that nobody looks at
        self.not_shown = 0  # streams that pass and were not in the last snapshot
        self.monitor = Monitor(node.router, node.tell, self._not_seen, self._doubled, self._load)
        self._clockwork = Clockwork(node.reactor, self.monitor)
        self.monitor.wound = self._clockwork.wind

    def stopService(self) -> Any:
        self._clockwork.stop()
        return super().stopService()

    # --- what is asked

    def actions(self) -> dict[str, Callable[[Mapping[str, str]], Watching]]:
        """By the resource; raises KeyError for what is missing, ValueError for what is none or refused."""
        return {"streams/watch": self._watch}

    def _watch(self, said: Mapping[str, str]) -> Watching:
        group = int(literals.group(said["group"])) if said["group"] else 0
        seconds = literals.whole(1, int(LEASE_MAX))(said["seconds"])
        found = self.monitor.watch(group, self._node.reactor.seconds(), seconds)
        return Watching(tuple(map(ipv4.text, found.groups)), seconds, found.refused)

    # --- what is shown

    def status(self, now: float) -> tuple[HealthStatus, ...]:
        """All that is looked at, and what else passes."""
        others = [route for route in self._node.router.routes() if not self.monitor.watches(route.channel)]
        self.not_shown = max(0, len(others) - UNWATCHED_MAX)
        first = nlargest(UNWATCHED_MAX, others, key=self._load)
        before = self._last
        self._last = {route: self._unwatched(route, before.get(route), now) for route in first}
        found = [*self.monitor.status(now, self._name), *(status for _, status in self._last.values())]
        return tuple(sorted(found, key=lambda each: (each.group, each.source, each.port or 0)))

    def _unwatched(self, route: Route, last: Said | None, now: float) -> Said:
        group, source = route.channel
        flows = self._node.fastpath.mirror.flows.of_route(route)
        node = self._name(flows[-1].origin) if flows else None
        packets, octets = self._node.route_rates.of(route)
        why = self.monitor.why_not(group, now) or "nobody looks at it"
        said = node, why, round(8 * octets, 1), round(packets, 1)
        if last and last[0] == said:
            return last
        return said, not_watched(key_text(group), key_text(source), *said)

    def _load(self, route: Route) -> float:
        return self._node.route_rates.of(route)[1]

    def _name(self, origin: int) -> str | None:
        node = self._node
        if origin == node.forwarder.origin:
            return node.room.here.name
        return node.room.reach.name(node_of(origin))

    def _not_seen(self) -> int:
        """Packets that may have passed without the monitor."""
        node = self._node
        return node.tap.kernel_drops() + node.fastpath.mirror.counts.reasons[Reason.NOT_COPIED]

    def counters(self) -> dict[str, int]:
        """What was not looked at, by names that say so."""
        counts = {f"monitor_{name}": count for name, count in self.monitor.limits.counters.as_dict().items()}
        pieces = self.monitor.pieces().items()
        return counts | {f"monitor_reassembly_{name}": count for name, count in pieces}

    def _doubled(self, channel: Channel) -> int:
        """Duplicates of an (S, G) that the node has dropped, in the kernel or here."""
        route = self._node.router.known(channel)
        flows = self._node.fastpath.mirror.flows.of_route(route) if route else []
        windows = (stream.window for flow in flows for stream in flow.streams if isinstance(stream, Stream))
        return sum(flow.duplicates for flow in flows) + sum(window.duplicates for window in windows)
