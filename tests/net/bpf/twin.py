"""The Python path of the same node: what it makes of a packet is what the program must make of it."""

from ipaddress import IPv4Network

from multicastmw.core.addressing import ANY, Channel, Identity, ipv4
from multicastmw.core.admission import Admission
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.packet import FRAME_START, Packet
from multicastmw.core.routing import Route, Router
from multicastmw.core.tap import TapDestination
from multicastmw.wire.data import TOKEN_OFFSET, TOKEN_TWIN
from tests.net.bpf.bed import GROUP, LONGEST, ORIGIN, SOURCE, TAP_MAC, THEIR_TOKEN, Copy


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
