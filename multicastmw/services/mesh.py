"""The mesh's life in a node: it is wound, it dials, it finds its seeds.

[overlay] seeds, [peer:NAME] ── dialled ── link_up ── Mesh ── dial(sample) ── a link more
"""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from multicastmw.core.dialling import DIAL_TIMEOUT
from multicastmw.core.events import SeedUnreachable
from multicastmw.core.link import Link
from multicastmw.core.mesh.destination import MeshDestination
from multicastmw.core.mesh.mesh import Mesh
from multicastmw.core.mesh.onlan import LanCounters
from multicastmw.core.mesh.seedtimes import SeedTimes
from multicastmw.core.mesh.settings import UPLINK_USUAL, Settings
from multicastmw.endpoints import LAN, SRV, dialled, listened
from multicastmw.net.clockwork import Clockwork
from multicastmw.net.tcp import PeerConnection
from multicastmw.services.lanseeds import LanSeeds
from multicastmw.services.peers import connection_kind, entered, reason, secured
from multicastmw.services.seeds import NoTargets, Target, look_up
from multicastmw.wire.mesh import BASE, Sample, StreamKey

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose.
LED_MOST = 64  # seeds by name, whose nodes are remembered
MANY = 0xFFFF


class Attempt:
    """One connection that the mesh wanted; `over` is told how it ended, with the link where it came up.

    Where it led to a node that has a link already, which stays, that one is what came of it.
    """

    _link: Link | None = None

    def __init__(
        self, service: "MeshService", host: str, port: int, over: Callable[[Link | None, str], None]
    ):
        self._service = service
        self._over = over
        self._began = service.reactor.seconds()
        self.place = f"{host}:{port}"
        self._endpoint = HostnameEndpoint(service.dial_reactor, host, port, DIAL_TIMEOUT)
        self._deferred: Deferred[Any] | None = None

    def begin(self) -> None:
        """It may have failed when this returns."""
        factory = Factory.forProtocol(self._make_connection)
        factory.noisy = False
        self._deferred = secured(self._endpoint, self._service.credentials).connect(factory)
        self._deferred.addTimeout(DIAL_TIMEOUT, self._service.reactor)
        self._deferred.addCallbacks(self._connected, self._failed)

    def _make_connection(self) -> PeerConnection:
        kind = connection_kind(self._service.credentials)
        return kind(self._service.reactor, self._make_link, self._gone)

    def _make_link(self, connection: PeerConnection) -> Link:
        now = self._service.reactor.seconds()
        link = self._link = entered(self._service.room, connection, "", now)
        link.first_rtt = now - self._began
        link.is_up = lambda link: self._end(link, "")
        return link

    def _connected(self, _: Any) -> None:
        self._deferred = None

    def _failed(self, failure: Failure) -> None:
        self._deferred = None
        self._end(None, reason(failure))

    def _gone(self, why: str) -> None:
        link = self._link
        first = self._service.room.by_node.get(link.node) if link and link.is_second else None
        self._end(first, "" if first else why)

    def _end(self, link: Link | None, why: str) -> None:
        over, self._over = self._over, _nothing
        over(link, why)

    def cancel(self) -> None:
        self._over = _nothing
        if self._deferred:
            self._deferred.cancel()


def _nothing(link: Link | None, why: str) -> None: ...


def _prefixes(networks: Iterable[IPv4Network]) -> tuple[tuple[int, int], ...]:
    """As the mesh compares them: mask and address."""
    return tuple((int(each.netmask), int(each.network_address)) for each in networks)


class MeshService(Service):
    """What the mesh has around it."""

    def __init__(self, node: "NodeService", identity: int, rng: Random) -> None:
        config = node.config
        self.node = node
        self.reactor = node.reactor
        self.room = node.room
        self.credentials = node.credentials
        self.dial_reactor: Any = node.reactor  # a careful one, when the TAP is known
        self.rng = rng
        self.seeds = dict.fromkeys(config.overlay.seeds, "")  # and why the last try reached nobody
        self._lans: dict[str, LanSeeds] = {}
        self._attempts: dict[Attempt, None] = {}
        self._led_to: dict[Target, int] = {}  # whom somebody was found to be, who was dialled by name
        self._seed_times = SeedTimes(rng)
        now = node.reactor.seconds()
        port = self._port = _port(config.listen.endpoint)
        self.mesh = Mesh(identity, (), self._settings(port), self, rng, now)
        self.mesh.tell = node.tell
        self.destination = MeshDestination(
            node.router, node.forwarder, self.mesh, port, self._has_static_links, node.reactor.seconds
        )
        for seed in self.seeds:
            if seed.startswith(LAN):
                self._lans[seed] = LanSeeds(self, seed[len(LAN) :])
        self._clockwork = Clockwork(node.reactor, self)
        node.room.mesh = self.destination
        node.forwarder.streams.feeder = self.destination

    def _settings(self, port: int | None) -> Settings:
        overlay, recovery = self.node.config.overlay, self.node.config.recovery
        return Settings(
            uplink=UPLINK_USUAL if overlay.uplink is None else overlay.uplink,
            children=MANY if overlay.max_children is None else overlay.max_children,
            relay=overlay.role == "relay",
            nat=port is None,
            deadline=recovery.deadline,
            hold=recovery.hold,
            feeds=overlay.feeds,
            rotate=overlay.rotate,
            feeds_groups=_prefixes(overlay.feeds_groups),
        )

    def reconfigure(self) -> None:
        """As node.ini is now, in what a reload may change under way."""
        self._port = self.destination.port = _port(self.node.config.listen.endpoint)
        self.mesh.reconfigure(self._settings(self._port), self.reactor.seconds())

    # --- life

    def startService(self) -> None:
        super().startService()
        now = self.reactor.seconds()
        self.mesh.start((), now)
        for channel in self.node.router.channels():
            self.destination.others_changed(channel)
        for lan in self._lans.values():
            lan.start()
        self._seed_times.start(now)
        self._clockwork.wind()

    def stopService(self) -> None:
        super().stopService()
        self._clockwork.stop()
        for lan in self._lans.values():
            lan.stop()
        for attempt in list(self._attempts):
            attempt.cancel()

    def deadline(self) -> float:
        return min(self.mesh.deadline(), self.destination.deadline(), self._seed_times.due)

    def tick(self, now: float) -> None:
        if self._seed_times.tick(not self.mesh.circles[BASE].active, now):
            self._ask_seeds()
        self.mesh.tick(now)
        self.destination.tick(now)
        self.room.outgoing.flush()

    def lan_counters(self) -> dict[str, int]:
        """Of all LANs that are asked, together."""
        found = LanCounters().add(*(lan.on_lan.counters for lan in self._lans.values()))
        return {f"lan_{name}": count for name, count in found.as_dict().items()} if self._lans else {}

    # --- what the mesh asks

    def wake(self, at: float) -> None:
        if self.running:
            self._clockwork.wind()

    def _has_static_links(self) -> bool:
        return any(link.neighbour is None for link in self.room.by_node.values())

    def forgot(self, key: StreamKey) -> None:
        self.node.forwarder.streams.unfeed(*key)

    def dial(self, sample: Sample, now: float) -> None:
        """One address after the other; none where that node has a link of a tree by now.

        Its engine was changed, and it is spoken of as before: a second link would replace the first again and
        again, and look like a node of the same name.
        """
        link = self.room.by_node.get(sample.node)
        if link and link.neighbour is None:
            self.mesh.not_reached(sample.node, now)
        else:
            self._dial(sample, 0)

    def _dial(self, sample: Sample, place: int) -> None:
        if not self.running or place >= len(sample.addresses):
            self.mesh.not_reached(sample.node, self.reactor.seconds())
            return
        if self._is_another(sample.node, *sample.addresses[place]):
            self._dial(sample, place + 1)
            return

        def over(link: Link | None, why: str) -> None:
            if link is None:
                self._dial(sample, place + 1)
            elif link.node != sample.node or link.neighbour is None:
                self.mesh.not_reached(sample.node, self.reactor.seconds())

        self._attempt(*sample.addresses[place], over)

    def _is_another(self, node: int, host: str, port: int) -> bool:
        """Is somebody else there by now, or this node itself?  Who is given another name is still spoken of
        by the old one for a while, and a second link to it would look like a clone."""
        links = self.room.by_node.values()
        if port == self._port and any(host == link.local_address for link in links):
            return True
        return any(other != node for other in self._nodes_at(host, port))

    def _nodes_at(self, host: str, port: int) -> Iterator[int]:
        """The neighbours that have this address, and are seen there: anybody may say that a seed's is his."""
        return (
            node
            for node, each in self.mesh.neighbours.items()
            if each.wire.address == host and (host, port) in each.sample.addresses
        )

    def _attempt(self, host: str, port: int, over: Callable[[Link | None, str], None]) -> None:
        def ended(link: Link | None, why: str) -> None:
            self._attempts.pop(attempt, None)
            if self.running:
                over(link, why)

        attempt = Attempt(self, host, port, ended)
        self._attempts[attempt] = None
        attempt.begin()

    # --- seeds

    def _ask_seeds(self) -> None:
        """One of them, at random: all at once would be many, where there are many nodes."""
        if not self.seeds:
            return
        seed = self.rng.choice(self.node.config.overlay.seeds)
        if seed in self._lans:
            self._lans[seed].ask()
        elif seed.startswith(SRV):
            self._look_up(seed[len(SRV) :])
        elif given := dialled(seed):
            self.greet([Target(given["host"], int(given["port"]))], seed)

    def _look_up(self, name: str) -> None:
        def found(targets: list[Target]) -> None:
            if self.running:
                self.greet(targets, f"{SRV}{name}")

        def failed(failure: Failure) -> None:
            failure.trap(NoTargets)
            seed = f"{SRV}{name}"
            self.unreached(seed, seed, failure.getErrorMessage())

        look_up(name, self.rng).addCallbacks(found, failed)

    def unreached(self, seed: str, place: str, why: str) -> None:
        """A try of this seed, at that place, reached nobody."""
        self.is_reached(seed, why if place in seed else f"{place}: {why}")
        self.node.tell(SeedUnreachable(place, why))

    def is_reached(self, seed: str, why_not: str = "") -> None:
        """What the last try of a seed came to."""
        if seed in self.seeds:
            self.seeds[seed] = why_not

    def greet(self, targets: list[Target], seed: str = "") -> None:
        """The first of these that answers; none where one of them is a neighbour, or is being dialled.

        `seed`: which one has led there.
        """
        places = {f"{host}:{port}" for host, port in targets}
        if any(self._is_linked(*target) for target in targets):
            self.is_reached(seed)
        elif not any(each.place in places for each in self._attempts):
            self._greet_one(targets, seed)

    def _greet_one(self, targets: list[Target], seed: str) -> None:
        target, *others = targets

        def over(link: Link | None, why: str) -> None:
            if link is None:
                self.unreached(seed, str(target), why)
                if others:
                    self._greet_one(others, seed)
            elif link.neighbour:
                self.is_reached(seed)
                self._remember(target, link.node)
                base = self.mesh.circles[BASE]
                base.ask(link.neighbour, not base.active, self.reactor.seconds())

        self._attempt(*target, over)

    def _remember(self, target: Target, node: int) -> None:
        if len(self._led_to) >= LED_MOST:
            self._led_to.clear()
        self._led_to[target] = node

    def _is_linked(self, host: str, port: int) -> bool:
        """By what it was found to be, or by an address that is its own."""
        if self._led_to.get(Target(host, port)) in self.mesh.neighbours:
            return True
        return next(self._nodes_at(host, port), None) is not None


def _port(endpoint: str | None) -> int | None:
    """The TCP port of a listening endpoint."""
    return int(listened(endpoint).get("port", 0)) or None if endpoint else None
