"""The Python path of the same node: what it makes of a packet is what the program must make of it."""

from ipaddress import IPv4Network
from typing import NamedTuple

from multicastmw.core.addressing import ANY, Channel, Identity, ipv4
from multicastmw.core.admission import Admission
from multicastmw.core.copies import Copies
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.packet import FRAME_START, Packet
from multicastmw.core.routing import Route, Router
from multicastmw.core.tap import TapDestination
from multicastmw.wire.data import HEADER_SIZE, TOKEN_OFFSET, TOKEN_TWIN, DataHeader
from tests.net.bpf.bed import GROUP, LONGEST, ORIGIN, SECRET, SOURCE, TAP_MAC, THEIR_TOKEN, Copy


class PythonPeer:
    """A link whose data goes on UDP."""

    local = False

    def __init__(self, node: "PythonNode", index: int) -> None:
        self.name = f"peer {index}"
        self.index = index
        self._node = node
        node.router.attach(self)

    def deliver(self, packet: Packet) -> None:
        TOKEN_TWIN.pack_into(packet.buffer, TOKEN_OFFSET, THEIR_TOKEN + self.index)
        self._node.copies.append(Copy(self.index, bytes(packet.message)))

    def others_changed(self, channel: Channel) -> None:
        pass


class Seen(NamedTuple):
    """What somebody in this process got."""

    origin: int
    hop_limit: int
    inner: bytes


class Eye:
    """Somebody in this process."""

    local = True
    name = "eye"

    def __init__(self, node: "PythonNode") -> None:
        self._node = node
        node.router.attach(self)

    def deliver(self, packet: Packet) -> None:
        inner = bytes(packet.view[HEADER_SIZE : HEADER_SIZE + packet.length])
        ttl_free = inner[:8] + b"\0" + inner[9:10] + bytes(2) + inner[12:]  # the TAP may have been before
        self._node.seen.append(Seen(DataHeader.parse(packet.message).origin, packet.hop_limit, ttl_free))

    def others_changed(self, channel: Channel) -> None:
        pass


class PythonNode:
    """Peers 0.. and a TAP, all of which want nothing yet."""

    def __init__(self, peers: int, ttl_floor: int = 0) -> None:
        self.copies: list[Copy] = []
        self.frames: list[bytes] = []
        self.router = Router()
        self.forwarder = Forwarder(self.router, ORIGIN, 0.0)
        self.peers = [PythonPeer(self, index) for index in range(peers)]
        everything = (IPv4Network("224.0.0.0/4"),)
        self.tap = TapDestination(
            "tap", router=self.router, forwarder=self.forwarder, mapping=Identity(),
            admission=Admission(everything, ()), mac=TAP_MAC, longest=LONGEST - 88, ttl_floor=ttl_floor,
            reassembler=None,
        )  # fmt: skip
        self.tap.write = lambda frame: self.frames.append(frame[0] + bytes(frame[1]))
        self.packet = Packet()
        self.seen: list[Seen] = []
        self.eye = Eye(self)

    def looked_at(self, wanted: bool) -> None:
        """Somebody in this process wants it, or only looks."""
        if wanted:
            self.router.subscribe(self.eye, Channel(GROUP, ANY))
        else:
            self.router.observe(self.eye, GROUP)

    def copied(self, frames: list[bytes]) -> None:
        """These were in the TAP's queue."""
        self.router.route(ipv4(GROUP, SOURCE))
        self.tap.copied = Copies(self.router, ORIGIN, self.tap, SECRET).accept
        for frame in frames:
            self.sends(frame)

    def wanted_by(self, peers: list[int], here: bool, source: int = ANY) -> None:
        for peer in peers:
            self.router.subscribe(self.peers[peer], Channel(GROUP, source))
        if here:
            self.tap.want(GROUP, source)

    def relays(self, message: bytes, peer: int) -> bool:
        self.packet.buffer[: len(message)] = message
        return self.forwarder.relay(self.packet, len(message), self.peers[peer])

    def sends(self, frame: bytes) -> None:
        self.packet.buffer[FRAME_START : FRAME_START + len(frame)] = frame
        self.tap.frame_received(self.packet, len(frame), 0)

    @property
    def route(self) -> Route:
        return self.router.route(ipv4(GROUP, SOURCE))
