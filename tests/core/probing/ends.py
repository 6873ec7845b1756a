"""Nodes of a simulated overlay (cable.py) that have probers, and whoever asks."""

from collections.abc import Mapping
from typing import Any

from multicastmw.core.addressing import Channel
from multicastmw.core.identity import node_of
from multicastmw.core.link import Link
from multicastmw.core.packet import Packet
from multicastmw.core.probing.answering import Listening
from multicastmw.core.probing.asking import Here, PingAsking, SurveyAsking, TraceAsking
from multicastmw.core.probing.prober import Prober
from multicastmw.core.stream import Stream
from multicastmw.net.clockwork import Clockwork
from multicastmw.wire.data import HEADER_SIZE
from multicastmw.wire.probe import GROUP, TTL, Flag, StreamSeen, Taker, TraceAnswer, wrap
from tests.core.cable import Node, World

Line = dict[str, Any]


class End:
    """One node's prober, and what it has to know of the node."""

    def __init__(self, node: Node, number: int) -> None:
        self.node = node
        self.address = 0x0A58_0000 + number
        self.packet = Packet()
        self.lines: list[Line] = []
        self.runs = number << 16
        self.prober = Prober(
            node.id, node.router, self, self.send, node.world.random.uniform, node.clock.seconds
        )
        self.prober.wake = Clockwork(node.clock, self.prober).wind  # type: ignore[arg-type]
        self.prober.open()

    def send(self, payload: bytes, now: float) -> None:
        inner = wrap(payload, self.address)
        packet = self.packet
        packet.now, packet.length = now, len(inner)
        packet.view[HEADER_SIZE : HEADER_SIZE + len(inner)] = inner
        self.node.forwarder.originate(packet, self.prober, GROUP, self.address, TTL, 0, 0)
        self.node.room.outgoing.flush()

    # --- what a prober asks

    def listening(self, group: int, source: int, now: float) -> Listening:
        found = [each for each in self.node.router.local_takers(group, source) if each is not self.prober]
        return Listening(tuple(each.name for each in found), len(found), 5.0 if found else -1.0)

    def routes(self, group: int, source: int, now: float) -> list[TraceAnswer]:
        forwarder = self.node.forwarder
        found = []
        for route in self.node.router.routes_of(group):
            streams = [each for each in forwarder.streams.coming.values() if each.route is route]
            sent = [each.numbered for each in forwarder.streams.starting.values() if each.route is route]
            found.append(TraceAnswer(
                0, route.channel.source, Flag.SEEN | (Flag.BEGINS_HERE if sent else 0),
                route.packets, route.bytes,
                route.to_nobody, route.died_of_ttl, sum(sent), "off", 0,
                tuple(Taker(t.node) if isinstance(t, Link) else Taker(0, t.name) for t in route.takers),
                tuple(self._stream(each) for each in streams),
            ))  # fmt: skip
        takers = self.node.router.takers_of(Channel(group, source))
        wanted = tuple(Taker(t.node) if isinstance(t, Link) else Taker(0, t.name) for t in takers)
        return found or [TraceAnswer(0, source, 0, takers=wanted)]

    def _stream(self, stream: Stream) -> StreamSeen:
        (link,) = self.node.room.reach.links(node_of(stream.origin))
        window = stream.window
        return StreamSeen(
            stream.origin, link.node, window.received, window.lost, window.duplicates, window.reordered
        )

    def known(self) -> Mapping[int, str]:
        reach = self.node.room.reach
        return {node: reach.name(node) or "?" for node in reach.nodes()}

    def name(self, node: int) -> str:
        return self.known().get(node) or f"{node:016x}"

    # --- what a test asks

    def here(self) -> Here:
        self.runs += 1
        return Here(self.node.id, self.node.name, self.runs)

    def ping(self, group: int, count: int = 3, interval: float = 0.2, patience: float = 1.0) -> PingAsking:
        asker = PingAsking(
            self.here(), self, self.lines.append, self.now, group, 0, count, interval, patience
        )
        self.prober.ask(asker)
        return asker

    def survey(self, probes: int = 20, interval: float = 0.05, grows: bool = False) -> SurveyAsking:
        asker = SurveyAsking(self.here(), self, self.lines.append, self.now, probes, interval, grows)
        self.prober.ask(asker)
        return asker

    def trace(self, group: int, apart: float = 1.0) -> TraceAsking:
        asker = TraceAsking(self.here(), self, self.lines.append, self.now, group, 0, apart)
        self.prober.ask(asker)
        return asker

    @property
    def now(self) -> float:
        return self.node.world.now

    def said(self, kind: str) -> list[Any]:
        """What stands in the lines of this kind."""
        return [line[kind] for line in self.lines if kind in line]

    @property
    def is_done(self) -> bool:
        return bool(self.said("end"))


def ends(world: World, nodes: list[Node]) -> dict[str, End]:
    """By name; when this returns, all know of each other's probers."""
    found = {node.name: End(node, number) for number, node in enumerate(nodes, 1)}
    world.run(1)
    return found
