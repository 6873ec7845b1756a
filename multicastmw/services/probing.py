"""The prober's lifetime, what it has to know of the node, and its questions on the control socket.

POST /ping    {"group", "count", "interval", "wait"}   who wants a group
POST /matrix  {"probes", "interval"}                   what comes of probes between all nodes
POST /trace   {"group", "source", "seconds"}           what the routes of a group say

Each answers 200 with a JSON object a line as they come (core/probing/asking.py has them), or 422 and
{"error"}.  A line that is empty says that there is nothing new.  Who hangs up ends the question.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service

from multicastmw import literals
from multicastmw.core.addressing import ANY, Channel
from multicastmw.core.identity import node_of
from multicastmw.core.packet import Packet
from multicastmw.core.probing.answering import ROUTES_MAX, Listening
from multicastmw.core.probing.asking import Here, PingAsking, SurveyAsking, Tell, TraceAsking
from multicastmw.core.probing.prober import Asker, Busy, Prober
from multicastmw.core.routing import Destination, Route
from multicastmw.net.clockwork import Clockwork, wall_us
from multicastmw.services.control import answered, texts
from multicastmw.services.outflow import Outflow
from multicastmw.wire import probe
from multicastmw.wire.data import HEADER_SIZE
from multicastmw.wire.probe import GROUP, TTL, Flag, StreamSeen, Taker, TraceAnswer

if TYPE_CHECKING:
    from multicastmw.core.status import RouteStatus
    from multicastmw.services.node import NodeService

# What we chose.
LOCAL_NAMES = 4  # destinations of this process that an answer names
LOCAL_NAME_MAX = 24  # signs of each
FRESH = 0.2  # seconds; the kernel's counts are read again when they are older
QUIET = 1.0  # seconds between two signs of life
COUNT_MAX, INTERVAL_MIN, INTERVAL_MAX, WAIT_MAX = 1_000_000, 0.1, 3_600, 60
APART_MAX = 60
LINK_LOCAL = 0xA9FE_0000  # 169.254.0.0/16 (RFC 3927), where the TAP has no address
SERVICE_CLASS = 0

Said = Mapping[str, str]


class ProbingService(Service):
    """Opens the prober when the node runs, and winds its clock."""

    def __init__(
        self, node: "NodeService", pick: Callable[[float, float], float], draw: Callable[[], int]
    ) -> None:
        self._node = node
        self._draw = draw
        self._packet = Packet()
        self._refreshed_at = float("-inf")
        self.prober = Prober(node.room.here.node, node.router, self, self._send, pick, node.reactor.seconds)
        self._clock = Clockwork(node.reactor, self.prober)
        self.prober.wake = self._clock.wind
        self.lines: set[Lines] = set()

    def startService(self) -> None:
        super().startService()
        self.look()
        self._clock.wind()

    def stopService(self) -> None:
        super().stopService()
        self._clock.stop()
        self.prober.close()
        for lines in list(self.lines):
            lines.end()

    def look(self) -> None:
        """What do [groups] say of our group now?"""
        if not self.running:
            return
        admitted = not self._node.destination.denies(Channel(GROUP))
        if admitted and not self.prober.is_open:
            self.prober.open()
        elif not admitted and self.prober.is_open:
            self.prober.close()

    # --- the way out

    def _send(self, payload: bytes, now: float) -> None:
        """As a program's packet would go, from the TAP's address or one of the node's own."""
        if not self.prober.is_open:  # a question of our own goes on, and [groups] keeps it in by now
            self.prober.counters.not_sent += 1
            return
        packet, source = self._packet, self._source()
        inner = probe.wrap(payload, source)
        packet.now, packet.length = now, len(inner)
        packet.view[HEADER_SIZE : HEADER_SIZE + len(inner)] = inner
        node = self._node
        node.forwarder.originate(packet, self.prober, GROUP, source, TTL, SERVICE_CLASS, wall_us())
        node.room.outgoing.flush()

    def _source(self) -> int:
        address = self._node.config.tap.address
        return int(address.ip) if address else LINK_LOCAL | (self._node.room.here.node >> 16 & 0xFFFF or 1)

    # --- what it has to know

    def listening(self, group: int, source: int, now: float) -> Listening:
        node = self._node
        found = [each for each in node.router.local_takers(group, source) if each is not self.prober]
        joined = node.tap.querier.hosts_of(group, now) if node.destination in found else None
        hosts, since = joined or (0, -1.0)
        names = tuple(probe.cut(each.name) for each in found[: probe.NAMES_MAX])
        return Listening(names, hosts, since)

    def routes(self, group: int, source: int, now: float) -> list[TraceAnswer]:
        node = self._node
        if now - self._refreshed_at >= FRESH:
            self._refreshed_at = now
            node.fastpath.refresh()
        found = node.snapshots.routes.of(Channel(group, source), ROUTES_MAX)
        answers = [self._route(route, status) for route, status in found]
        return answers or [self._wanted(group, source)]

    def _route(self, route: Route, status: "RouteStatus") -> TraceAnswer:
        flags = Flag.SEEN | (Flag.FAST if status.fast else 0) | (Flag.DENIED if status.denied else 0)
        if status.sent_from_here is not None:
            flags |= Flag.BEGINS_HERE
        streams = [
            StreamSeen(
                int(each.origin, 16), self._ingress(int(each.origin, 16), route.channel), each.received,
                each.lost, each.duplicates, each.reordered,
            )
            for each in status.streams[: probe.STREAMS_MAX]
        ]  # fmt: skip
        named, more = self._takers(route.takers, route.channel)
        return TraceAnswer(
            clock=0, source=route.channel.source, flags=flags, packets=status.packets, bytes=status.bytes,
            to_nobody=status.to_nobody, died_of_ttl=status.died_of_ttl, sent=status.sent_from_here or 0,
            why=probe.cut(status.why_slow), more=more, takers=named,
            streams=tuple(streams),
        )  # fmt: skip

    def _wanted(self, group: int, source: int) -> TraceAnswer:
        """No packet of it has come; who wants it all the same?"""
        channel = Channel(group, source)
        named, _ = self._takers(self._node.router.takers_of(channel), channel)
        return TraceAnswer(clock=0, source=source, flags=0, takers=named)

    def _takers(self, takers: tuple[Destination, ...], channel: Channel) -> tuple[tuple[Taker, ...], int]:
        """Peers by id, and of what is here some names; and how many there are besides."""
        ids = {link: node for node, link in self._node.room.by_node.items()}
        peers = [Taker(ids[each]) for each in takers if each in ids]
        if self._node.mesh:
            peers += [Taker(node) for node in self._node.mesh.destination.children(channel)]
        here = [Taker(0, probe.cut(each.name[:LOCAL_NAME_MAX])) for each in takers if each.local]
        named = (*here[:LOCAL_NAMES], *peers[: probe.TAKERS_MAX - len(here[:LOCAL_NAMES])])
        return named, len(here) + len(peers) - len(named)

    def _ingress(self, origin: int, channel: Channel) -> int:
        """The peer that leads to an origin, or feeds its stream; 0 where none does, or several do."""
        if self._node.mesh and (parent := self._node.mesh.destination.parent(origin, channel)):
            return parent
        links = self._node.room.reach.links(node_of(origin))
        return links[0].node if len(links) == 1 else 0

    def known(self) -> Mapping[int, str]:
        reach = self._node.room.reach
        found = {node: reach.name(node) or f"{node:016x}" for node in reach.nodes()}
        return found | {node: link.name for node, link in self._node.room.by_node.items()}

    def name(self, node: int) -> str:
        return self._node.room.reach.name(node) or self._node.room.called.name(node)

    # --- what is asked on the control socket

    def leaves(self) -> dict[str, Any]:
        """Resources by their paths."""
        return {
            "ping": asking_resource(self._ping, self),
            "matrix": asking_resource(self._matrix, self),
            "trace": asking_resource(self._trace, self),
        }

    def _here(self) -> Here:
        here = self._node.room.here
        return Here(here.node, here.name, self._draw())

    @property
    def reactor(self) -> Any:
        return self._node.reactor

    def _now(self) -> float:
        return float(self._node.reactor.seconds())

    def _ping(self, said: Said, tell: Tell) -> Asker:
        channel = channel_of(said)
        count = literals.whole(0, COUNT_MAX)(said.get("count", "5"))
        interval = between(INTERVAL_MIN, INTERVAL_MAX, said.get("interval", "1"))
        wait = between(0, WAIT_MAX, said.get("wait", "1"))
        return PingAsking(self._here(), self, tell, self._now(), *channel, count, interval, wait)

    def _matrix(self, said: Said, tell: Tell) -> Asker:
        probes = literals.whole(1, 100)(said.get("probes", "20"))
        interval = between(0.02, 10, said.get("interval", "0.1"))
        is_mesh = self._node.mesh is not None
        return SurveyAsking(self._here(), self, tell, self._now(), probes, interval, grows=is_mesh)

    def _trace(self, said: Said, tell: Tell) -> Asker:
        apart = between(0.5, APART_MAX, said.get("seconds", "2"))
        return TraceAsking(self._here(), self, tell, self._now(), *channel_of(said), apart)


def channel_of(said: Said) -> Channel:
    """Raises KeyError without a group, and ValueError for what is none."""
    group = int(literals.group(said["group"]))
    source = said.get("source", "")
    return Channel(group, int(literals.address(source)) if source else ANY)


def between(least: float, most: float, text: str) -> float:
    """A number of seconds in these bounds; raises ValueError."""
    try:
        found = float(text)
    except ValueError:
        raise ValueError(f"{literals.shown(text)} is no number of seconds") from None
    if not least <= found <= most:
        raise ValueError(f"{text} s is not from {least:g} to {most:g}")
    return found


Begin = Callable[[Said, Tell], Asker]


def asking_resource(begin: Begin, service: ProbingService) -> Any:
    """A leaf that asks what POST says, and answers with lines."""
    from twisted.web.resource import Resource
    from twisted.web.server import NOT_DONE_YET, Request

    class Leaf(Resource):
        isLeaf = True

        def render_POST(self, request: Request) -> Any:
            assert request.content is not None
            lines = Lines(service, request)
            try:
                asker = begin(texts(request.content.read()), lines.tell)
                service.prober.ask(asker)
            except (ValueError, Busy) as error:
                return answered(request, {"error": str(error)})
            except KeyError as missing:
                return answered(request, {"error": f"{missing.args[0]} is missing"})
            lines.begin(asker)
            return NOT_DONE_YET

    return Leaf()


class Lines:
    """One question's lines on their way to who asked."""

    def __init__(self, service: ProbingService, request: Any) -> None:
        self._service = service
        self._request = request
        self._flow: Outflow | None = None
        self._asker: Asker | None = None
        self._quiet: Any = None

    def begin(self, asker: Asker) -> None:
        self._asker = asker
        self._flow = Outflow(self._request, b"application/x-ndjson", self._stop)
        self._quiet = self._service.reactor.callLater(QUIET, self._sign_of_life)
        self._service.lines.add(self)

    def end(self) -> None:
        """No more comes."""
        self._stop()
        if self._flow:
            self._flow.finish()

    def tell(self, line: dict[str, Any]) -> None:
        assert self._flow
        if not self._flow.write(json.dumps(line).encode() + b"\n"):
            self._cut()
        elif "end" in line:
            self.end()

    def _sign_of_life(self) -> None:
        self._quiet = self._service.reactor.callLater(QUIET, self._sign_of_life)
        if not (self._flow and self._flow.write(b"\n")):
            self._cut()

    def _cut(self) -> None:
        """Nobody reads: what waits for him is not kept, nor is his place."""
        self._stop()
        if self._flow and not self._flow.is_over:
            from multicastmw.web.http import abort

            abort(self._request.channel)

    def _stop(self) -> None:
        """It is over, or nobody reads."""
        self._service.lines.discard(self)
        if self._quiet and self._quiet.active():
            self._quiet.cancel()
        if self._asker:
            self._service.prober.give_up(self._asker)
