"""Nodes whose links carry parity (core/fec/) as real ones do: the product's own machines on made-up links.

A packet is an IP Data message there: one of some bytes that says how long it really is, so that parity is
made of few bytes, and takes the uplink's time of a row as long as the packet.  What another origin's packet
holds on a shared tree is in no block here.
"""

from typing import TYPE_CHECKING

from multicastmw.core.fec.coder import Coder
from multicastmw.core.fec.fec import Fec
from multicastmw.core.fec.protection import Protection
from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import Settings
from multicastmw.wire.data import HEADER_SIZE, DataHeader
from multicastmw.wire.data import build as pack_data
from multicastmw.wire.mesh import StreamKey
from multicastmw.wire.messages import Tally
from multicastmw.wire.parity import Parity
from simulator.node import HEADER, Link, Node, Stored, Wire

if TYPE_CHECKING:
    from random import Random

    from simulator.world import World

LENGTH = 4  # bytes of a packet here, which say how long it is
AROUND = 44  # bytes of a Parity that are not its sum
UNSUMMED = 48  # bytes of a message that are in no sum
PROBE_EVERY = 4.0  # seconds, between neighbours in the mesh
PROBE = 48  # bytes with a Tally


def message_of(packet: Stored, low_water: int) -> bytes:
    """What stands for it in sums."""
    origin, group, source = packet.key
    return pack_data(
        packet.size.to_bytes(LENGTH, "big"), token=0, origin=origin, group=group, source=source,
        sequence=packet.sequence, hop_limit=63, flags=packet.flags, low_water=low_water,
    )  # fmt: skip


class Counted:
    """Of one end, as its probes say it."""

    def __init__(self) -> None:
        self.sent_on_udp = self.received_on_udp = 0


class CorrectingWire(Wire):
    """One end of a link, as the mesh and forward error correction have it."""

    __slots__ = ("coder", "counters", "longest", "low_water", "packet", "protection")
    on_udp = True
    partner = None

    def __init__(self, link: Link, near: "CorrectingNode", far: "CorrectingNode", rtt: float) -> None:
        super().__init__(link, near, far, rtt)
        self.counters = Counted()
        self.coder: Coder | None = None
        self.protection: Protection | None = None
        self.packet: Stored | None = None  # what is being sent
        self.low_water = 0
        self.longest = 0  # bytes of what was sent

    @property
    def neighbour(self) -> Neighbour | None:
        return self.link.neighbours.get(self.near)

    @property
    def run(self) -> "CorrectingWire":
        """What data leave by."""
        return self

    def protect(self, coder: Coder | None) -> None:
        self.coder = coder

    # --- what goes out

    def put(self, packet: Stored, message: bytes, low_water: int, now: float) -> None:
        """For the first time over this link."""
        self.packet, self.low_water = packet, low_water
        self.longest = max(self.longest, packet.size)
        if self.coder is None or packet.message:
            self.send(memoryview(message), now)
        else:
            self.coder.send(memoryview(message), now)

    def send(self, message: memoryview, now: float) -> None:
        """The packet at hand, which that message stands for."""
        assert self.packet
        self.counters.sent_on_udp += 1
        self._send(self.packet, self.low_water)

    def send_parity(self, parity: Parity) -> int:
        size = AROUND + HEADER - UNSUMMED + self.longest
        far, network = self.far, self.near.world.network
        network.send(self.near.index, far.index, size, False, corrected, self, parity)
        return size

    # --- what comes in, which the other end has sent

    def came(self, packet: Stored, low_water: int, now: float) -> None:
        self.counters.received_on_udp += 1
        if self.protection and self.protection.rebuilder and not packet.message:
            self.protection.came(memoryview(message_of(packet, low_water)), now)

    def rebuilt(self, message: bytes, now: float) -> None:
        header = DataHeader.parse(message)
        size = int.from_bytes(message[HEADER_SIZE : HEADER_SIZE + LENGTH], "big")
        key = StreamKey(header.origin, header.group, header.source)
        packet = Stored(key, header.sequence, size, header.flags)
        Node.data(self.near, self.link, packet, header.low_water)

    # --- probes, which say what is lost

    def probe(self) -> None:
        world = self.near.world
        if not self.protection or not self.link.is_up or not self.near.is_alive:
            return
        tally = self.protection.asks(world.loop.now)
        world.network.send(self.near.index, self.far.index, PROBE, True, asked, self, tally)
        world.loop.at(world.loop.now + PROBE_EVERY, self.probe)


def end_at(wire: CorrectingWire) -> CorrectingWire | None:
    """The other end of it."""
    neighbour = wire.link.neighbours.get(wire.far) if wire.link.is_up and wire.far.is_alive else None
    found = neighbour.wire if neighbour else None
    return found if isinstance(found, CorrectingWire) else None


def corrected(sender: CorrectingWire, parity: Parity) -> None:
    """A row came."""
    end = end_at(sender)
    if end and end.protection:
        end.protection.accept(parity, end.near.world.loop.now)


def asked(sender: CorrectingWire, tally: Tally) -> None:
    """A probe came."""
    end = end_at(sender)
    if end and end.protection:
        reply = end.protection.answers(tally)
        end.near.world.network.send(end.near.index, sender.near.index, PROBE, True, answered, end, reply)


def answered(sender: CorrectingWire, reply: Tally) -> None:
    """Its reply came."""
    end = end_at(sender)
    if end and end.protection:
        end.protection.hears(reply, end.near.world.loop.now)


class CorrectingNode(Node):
    """One of the nodes; parity goes from `begin` on."""

    def __init__(self, world: "World", index: int, settings: Settings, rng: "Random", now: float) -> None:
        super().__init__(world, index, settings, rng, now)
        self.fec: Fec | None = None
        self._fec_winding = float("inf")

    def begin(self) -> None:
        """[recovery] fec = on, from now on."""
        fec = self.fec = Fec(True, self.settings.deadline, self.settings.uplink or None)
        fec.wake = self._wind_fec
        fec.costs_changed = self.mesh.slots.changed
        for link in self.links.values():
            if neighbour := link.neighbours.get(self):
                self.linked(neighbour)

    def wire(self, link: Link, far: Node, rtt: float) -> Wire:
        assert isinstance(far, CorrectingNode)
        return CorrectingWire(link, self, far, rtt)

    def linked(self, neighbour: Neighbour) -> None:
        wire = neighbour.wire
        assert isinstance(wire, CorrectingWire)
        if self.fec:
            wire.protection = self.fec.link_up(wire)
            wire.probe()

    def unlinked(self, neighbour: Neighbour) -> None:
        wire = neighbour.wire
        assert isinstance(wire, CorrectingWire)
        if self.fec and wire.protection:
            self.fec.link_down(wire)
            wire.protection = None

    def _wind_fec(self) -> None:
        fec, loop = self.fec, self.world.loop
        due = fec.deadline() if fec else float("inf")
        if due < self._fec_winding:
            self._fec_winding = due
            loop.at(max(due, loop.now), self._ring_fec)

    def _ring_fec(self) -> None:
        self._fec_winding = float("inf")
        if self.fec and self.is_alive:
            self.fec.tick(self.world.loop.now)
            self._wind_fec()

    # --- packets

    def data(self, link: Link, packet: Stored, low_water: int) -> None:
        by = link.neighbours.get(self) if self.is_alive and link.is_up else None
        if by is not None and isinstance(wire := by.wire, CorrectingWire):
            wire.came(packet, low_water, self.world.loop.now)
        super().data(link, packet, low_water)

    def _forward(self, feed: Feed, packet: Stored, came: Link | None) -> None:
        if self.fec is None:
            super()._forward(feed, packet, came)
            return
        low_water = feed.low_water(packet.sequence) if feed.missing else 0
        message = message_of(packet, low_water)
        for child in list(feed.takers):
            wire = child.wire
            if isinstance(wire, CorrectingWire) and wire.link is not came:
                wire.put(packet, message, low_water, self.world.loop.now)
