"""A node of the simulation: the product's own mesh (core/mesh/) and duplicate window, links that are made up.

A link is one of core/link.py as far as the mesh sees it: it takes two round trips to come up, messages about
streams go as datagrams where they may be lost, those about members in order and surely; who dies silently is
noticed after three unanswered probes, and what these probes cost is added to the control traffic.
"""

from array import array
from random import Random
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from multicastmw.core.haunts import Telling
from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.mesh import Mesh
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import Settings
from multicastmw.core.window import Budget, Window
from multicastmw.wire.data import BEACON, RETRANSMITTED, SEQUENCE_OFFSET, SEQUENCE_TWIN, DataHeader
from multicastmw.wire.data import build as pack_data
from multicastmw.wire.mesh import (
    Address,
    Graft,
    Have,
    MeshMessage,
    Nack,
    Named,
    Peers,
    Prune,
    Register,
    Registered,
    Sample,
    StreamKey,
)
from multicastmw.wire.messages import size
from multicastmw.wire.names import named_size

if TYPE_CHECKING:
    from simulator.world import World

TOKEN = 1  # any: a datagram carries one
FORGED = 1  # bytes of a packet that is none of the origin's: what tells it from others here
HEADER = 60  # bytes of an IP Data message in front of the packet
NAMED = named_size((Named(0, "relay-2-fra"),))  # bytes of one in a Peers
BEGAN = 24  # and of one on a shared tree behind it
DATAGRAMS = (Have, Nack, Graft, Prune, Register, Registered)
DIAL_TIMEOUT = 4.0
# Bytes a second of one side of an idle link: a probe and an answer (32 bytes of ours each) every 4 s, and a
# Keep Alive on TCP, with what acknowledges it, every 5 s on average; with IP, UDP and TCP.
IDLE_BYTES = 2 * 60 / 4 + (8 + 52 + 52) / 5
BUDGET = Budget(1 << 40)


def message_of(key: StreamKey, sequence: int, bytes_: int) -> bytes:
    """An IP Data message around so many bytes."""
    origin, group, source = key
    return pack_data(
        bytes(bytes_), token=0, origin=origin, group=group, source=source, sequence=sequence, hop_limit=63
    )


class Stored(NamedTuple):
    """A packet, as all see it that it comes to: there is one of it, wherever it is under way or kept.

    `message`: what it holds of another origin, on a shared tree.
    """

    key: StreamKey
    sequence: int
    size: int
    flags: int
    message: bytes = b""


class Link:
    """Both ends of a connection."""

    __slots__ = ("is_up", "neighbours", "nodes", "wires")

    def __init__(self, one: "Node", other: "Node") -> None:
        self.nodes = one, other
        self.is_up = True
        self.neighbours: dict[Node, Neighbour] = {}


class Wire:
    """One end of a link."""

    __slots__ = ("_telling", "far", "link", "near", "rtt", "way")
    is_seed = False
    is_named = False
    name = "simulated"
    address = "simulated"

    def __init__(self, link: Link, near: "Node", far: "Node", rtt: float) -> None:
        self.link, self.near, self.far = link, near, far
        self.rtt: float | None = rtt
        self.way = far.index, far.data, link
        self._telling = Telling((near.id, far.id), near.world.loop.now)

    def say(self, message: MeshMessage, now: float) -> None:
        far = self.far
        network = self.near.world.network
        if isinstance(message, DATAGRAMS) and not self.near.world.tcp:
            network.send(
                self.near.index, far.index, size(message, TOKEN), True, far.message, self.link, message
            )
        else:
            bytes_ = size(message)
            if isinstance(message, Peers):
                bytes_ += NAMED * len(self._telling.of((each.node for each in message.samples), now))
            network.stream(self.near.index, far.index, bytes_, True, far.message, self.link, message)

    def resend(self, stored: Stored, low_water: int, now: float) -> int:
        self.near.resent += 1
        self._send(stored._replace(flags=stored.flags | RETRANSMITTED), low_water)
        return stored.size

    def deliver(self, packet: Stored) -> None:
        self._send(packet, 0)

    def _send(self, packet: Stored, low_water: int) -> None:
        near, far, size_ = self.near, self.far, packet.size + HEADER
        network = near.world.network
        way = network.stream if near.world.tcp else network.send
        way(near.index, far.index, size_, False, far.data, self.link, packet, low_water)

    def hang_up(self, why: str, now: float) -> None:
        self.near.world.disconnect(self.link, self.near)


class Node:
    """One of the nodes; `index` is its place in the network."""

    kind: ClassVar[type[Mesh]] = Mesh

    def __init__(self, world: "World", index: int, settings: Settings, rng: Random, now: float) -> None:
        self.world = world
        self.index = index
        self.settings = settings
        self.id = ((rng.getrandbits(47) | 1 << 47) << 16) & 0xFFFFFFFFFFFFFFFF
        self.address = Address(f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}", 4600)
        self.mesh = self.kind(self.id, (self.address,), settings, self, rng, now)
        self.mesh.side = self
        self.links: dict[Node, Link] = {}
        self.windows: dict[StreamKey, Window] = {}
        self.origin = self.id | 1
        self.is_border = False
        self.is_alive = True
        self.wanted: set[int] = set()
        self.arrivals = array("f")
        self.duplicates = self.packets = self.resent = 0
        self.copies = 0  # of two feeds, what the later one brought
        self.lies = False
        self.forged = 0  # packets of a thief that this node took
        self.entered_at = -1.0  # not yet
        self._winding = float("inf")

    # --- what the mesh has around it

    def dial(self, sample: Sample, now: float) -> None:
        self.world.dial(self, sample.node)

    def wants(self, key: StreamKey) -> bool:
        return key.group in self.wanted

    def wake(self, at: float) -> None:
        if at < self._winding and self.is_alive:
            self._winding = at
            self.world.loop.at(max(at, self.world.loop.now), self._ring, at)

    def forgot(self, key: StreamKey) -> None:
        self.windows.pop(key, None)

    def served_no_more(self, group: int, now: float) -> None: ...

    def wants_group(self, group: int) -> bool:
        return group in self.wanted

    def groups_live(self, groups: list[int], now: float) -> None: ...

    # --- links

    def wire(self, link: Link, far: "Node", rtt: float) -> Wire:
        """This end of a new link."""
        return Wire(link, self, far, rtt)

    def linked(self, neighbour: Neighbour) -> None:
        """It is up here."""

    def unlinked(self, neighbour: Neighbour) -> None:
        """It is no more."""

    def _ring(self, at: float) -> None:
        if at != self._winding or not self.is_alive:
            return  # an earlier one was wound meanwhile
        self._winding = float("inf")
        now = self.world.loop.now
        if self.mesh.deadline() <= now + 1e-9:
            self.mesh.tick(now)
        self.wake(self.mesh.deadline())

    # --- what comes

    def message(self, link: Link, message: MeshMessage) -> None:
        if link.is_up and self.is_alive and (neighbour := link.neighbours.get(self)):
            self.mesh.accept(neighbour, message, self.world.loop.now)

    def data(self, link: Link, packet: Stored, low_water: int) -> None:
        """As Forwarder.relay: a window, then the feed, then who gets it."""
        by = link.neighbours.get(self) if self.is_alive and link.is_up else None
        if by is None:
            return
        key, sequence, bytes_, flags, message = packet
        now = self.world.loop.now
        mesh = self.mesh
        mesh.now = now
        feed = mesh.feeds.get(key) or mesh.feed_for(key, by, now)
        if feed is None or feed.ours:
            return
        self.packets += 1
        window = self.windows.get(key)
        if window is None:
            window = self.windows[key] = Window(BUDGET, slots=64)
        if feed.top < 0 and (known := window.numbers()):
            feed.follows(known.top, by, now)  # it came by a shared tree
        if feed.refuses(by, sequence, flags, now):
            self.duplicates += 1  # nobody needed it
            return
        if not window.accept(sequence, now):
            if feed.doubled(sequence, flags, by, now):
                self.copies += 1
            else:
                self.duplicates += 1
            return
        if bytes_ == FORGED:
            self.forged += 1
        feed.took(sequence, bytes_, packet, low_water, flags, by, now)
        if feed.wanted and message:
            self._arrive(message, now)
        elif feed.wanted and bytes_ != FORGED:
            self.to_programs(feed, sequence, now)
        if feed.takers:
            self._forward(feed, packet, link)

    def to_programs(self, feed: Feed, sequence: int, now: float) -> None:
        """A packet for this host counts when it has come."""
        self.world.delivered(self, feed.key, sequence, now)

    def _forward(self, feed: Feed, packet: Stored, came: Link | None) -> None:
        low_water = feed.low_water(packet.sequence) if feed.missing else 0
        wires: list[Wire] = [child.wire for child in feed.takers]  # type: ignore[misc]  # of this world all are
        ways = [wire.way for wire in wires if wire.link is not came]
        network, size_ = self.world.network, packet.size + HEADER
        if self.world.tcp:
            for far, accept, link in ways:
                network.stream(self.index, far, size_, False, accept, link, packet, low_water)
        elif ways:
            network.spread(self.index, ways, size_, packet, low_water)

    def _arrive(self, message: bytes, now: float) -> None:
        """As Forwarder.arrive: off a shared tree, and one window for both ways."""
        header = DataHeader.parse(message)
        key = StreamKey(header.origin, header.group, header.source)
        if header.origin == self.origin:
            return
        window = self.windows.get(key)
        if window is None:
            window = self.windows[key] = Window(BUDGET, slots=64)
        if window.accept(header.sequence, now):
            if feed := self.mesh.feeds.get(key):
                feed.came_otherwise(header.sequence, now)
            self.world.delivered(self, key, header.sequence, now)

    # --- what begins here

    def originate(self, key: StreamKey, sequence: int, bytes_: int) -> None:
        """One packet: by the shared tree while the stream is slow, else by its own."""
        now = self.world.loop.now
        self.mesh.now = now
        self.origin = key.origin
        feed = self.mesh.feeds.get(key) or self.mesh.begin(key, now)
        assert feed
        if not feed.is_alone and self.mesh.registering.takes(feed, message_of(key, sequence, bytes_), now):
            return
        self._goes_out(feed, Stored(key, sequence, bytes_, 0), now)

    def send(self, feed: Feed, message: bytes, now: float) -> None:
        (sequence,) = SEQUENCE_TWIN.unpack_from(message, SEQUENCE_OFFSET)
        self._goes_out(feed, Stored(feed.key, sequence, len(message) - HEADER, 0), now)

    def spread(self, feed: Feed, sequence: int, message: bytes, now: float) -> None:
        self._goes_out(feed, Stored(feed.key, sequence, len(message) - HEADER + BEGAN, 0, message), now)
        if feed.key.group in self.wanted:
            self._arrive(message, now)

    def _goes_out(self, feed: Feed, packet: Stored, now: float) -> None:
        if feed.beacon_due(now):
            packet = packet._replace(flags=BEACON)
        sequence = packet.sequence
        feed.sent(sequence, packet.size, packet, now)
        if feed.takers:
            self._forward(feed, packet, None)
        if packet.flags:
            self.mesh.announce(feed, sequence, None, now)
