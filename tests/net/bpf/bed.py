"""A node's fast path in a network namespace of its own, with a TAP and one uplink, and nobody else about.

         t0, a TAP                                u0 === w0   the uplink, a veth; w0 is the wire
    10.88.0.2/24, mcmw_tap_egress on it           10.9.0.1/24, mcmw_up_ingress on it

Frames are shown to a program (`show`, BPF_PROG_TEST_RUN), or really sent, over the wire (`inject`) or from a
socket.  Peers are 10.9.0.10 + their index, with Ethernet addresses that the neighbour table knows for good.
What leaves by u0 is caught the moment it does.
"""

import ctypes
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Interface
from typing import Any, NamedTuple, TypeVar

from multicastmw.core.addressing import ipv4
from multicastmw.core.fastpath.tables import (
    GATE_OF_COPIES,
    GATE_OF_LINK,
    Cfg,
    LinkKey,
    LinkValue,
    Peer,
    Reason,
    RouteCount,
    RouteFlag,
    RouteKey,
    RouteValue,
)
from multicastmw.net.bpf.hooks import EGRESS, INGRESS, Hook, attach
from multicastmw.net.bpf.kernel import NoFastPath
from multicastmw.net.bpf.loading import LoadedProgram, Run, load, shipped_object
from multicastmw.net.bpf.tables import Tables
from multicastmw.net.tap import TapDevice
from multicastmw.wire.ipv4 import Header, checksum
from tests.net.namespace import Namespace, why_not

T = TypeVar("T")

NEXT, PASS, DROP, REDIRECT = -1, 0, 2, 7
PORT = 4600
ORIGIN = 0x1111_2222_3333_0001
THEIRS = 0x4444_5555_6666_0002
OUR_TOKEN = 0xA0A1_A2A3_A4A5_A600  # + the peer's index: what its datagrams carry
THEIR_TOKEN = 0xB0B1_B2B3_B4B5_B600  # + the index: what it expects
GROUP, SOURCE = 0xEF010101, 0x0A580002  # 239.1.1.1, 10.88.0.2
HERE = 0x0A090001
TAP, UPLINK, WIRE = "t0", "u0", "w0"
TAP_MAC = bytes.fromhex("024d434d5701")
SECRET = b"secret"
LONGEST = 1500
FRAME = 14 + 28 + 60
GENERATION = 7
SECOND = 1_000_000_000

SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
PACKET_OUTGOING = 4


def why_no_bed() -> str | None:
    """What is missing, or None."""
    if reason := why_not():
        return reason
    try:
        load(shipped_object()).close()
    except NoFastPath as error:
        return str(error)
    return None


def address_of(peer: int) -> int:
    return 0x0A09000A + peer


def mac_of(peer: int) -> bytes:
    return bytes((2, 0, 0, 0, 1, peer))


def inner_packet(
    payload: bytes, ttl: int = 16, *, group: int = GROUP, source: int = SOURCE, tos: int = 0xA0,
    protocol: int = 17, fragment: int = 0, options: bytes = b"",
) -> bytes:  # fmt: skip
    """An IP packet; for UDP the payload goes behind a UDP header with a right checksum."""
    body = payload
    if protocol == 17 and not fragment & 0x1FFF:
        head = struct.pack("!HHHH", 5004, 5004, 8 + len(payload), 0)
        pseudo = struct.pack("!IIBBH", source, group, 0, 17, 8 + len(payload))
        body = head[:6] + struct.pack("!H", checksum(pseudo + head + payload) or 0xFFFF) + payload
    header = Header(tos, 20 + len(options) + len(body), 0x77, fragment, ttl, protocol, source, group, options)
    return header.build() + body


def outer(
    message: bytes, peer: int, mac: bytes, *, udp_checksum: bool = False, sport: int = PORT,
    dport: int = PORT, options: bytes = b"", fragment: int = 0, udp_length: int | None = None,
) -> bytes:  # fmt: skip
    """A datagram from a peer as a frame on our uplink."""
    length = 8 + len(message) if udp_length is None else udp_length
    udp = struct.pack("!HHHH", sport, dport, length, 0)
    if udp_checksum:
        pseudo = struct.pack("!IIBBH", address_of(peer), HERE, 0, 17, length)
        udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp + message) or 0xFFFF)
    total = 20 + len(options) + 8 + len(message)
    head = Header(0, total, 0, fragment, 64, 17, address_of(peer), HERE, options).build()
    return mac + mac_of(peer) + b"\x08\x00" + head + udp + message


def context(device: int = 0, gso_size: int = 0, mark: int = 0) -> bytes:
    """A struct __sk_buff for `show`."""
    block = bytearray(192)
    struct.pack_into("<I", block, 8, mark)
    struct.pack_into("<I", block, 40, device)
    struct.pack_into("<I", block, 164, 2 if gso_size else 0)
    struct.pack_into("<I", block, 176, gso_size)
    return bytes(block)


class Copy(NamedTuple):
    """What left by the uplink to one peer: the message, taken out of a datagram whose headers were right."""

    peer: int
    message: bytes


def opened(frame: bytes, mac: bytes) -> Copy:
    """Checks everything around a message that goes to a peer."""
    packet = frame[14:]
    header = Header.parse(packet)
    peer = header.destination - address_of(0)
    assert header.source == HERE and header.protocol == 17 and header.flags_and_offset == 0x4000, header
    assert header.total_length == len(packet) and checksum(packet[:20]) == 0 and header.ttl == 64, header
    sport, dport, length, check = struct.unpack_from("!HHHH", packet, 20)
    assert (sport, dport, length) == (PORT, PORT, len(packet) - 20), (sport, dport, length)
    if check:
        pseudo = struct.pack("!IIBBH", header.source, header.destination, 0, 17, length)
        assert checksum(pseudo + packet[20:]) == 0, "the outer UDP checksum is wrong"
    return Copy(peer, packet[28:])


class Bed:
    """See above; everything runs in the namespace's thread.

    `way`: how the programs are attached; `places`: for packets that are kept.
    """

    def __init__(self, way: str = "", peers: int = 4, mode: str = "lookup", places: int = 1) -> None:
        self.namespace = Namespace()
        self.peers = peers
        self.places = places
        self.mode = mode
        self.cfg = Cfg(ORIGIN, 0, 0, 0, GENERATION, PORT, True, TAP_MAC, secret=SECRET)
        self.hooks: list[Hook] = []
        self.routes: dict[RouteKey, RouteValue] = {}
        try:
            self.call(self._build, way)
        except BaseException:
            self.namespace.close()
            raise

    def call(self, work: Callable[..., T], *args: Any) -> T:
        return self.namespace.run(work, *args)

    def close(self) -> None:
        self.call(self._end)
        self.namespace.close()

    # --- in the thread

    def _build(self, way: str) -> None:
        from pyroute2 import IPRoute

        for what in ("all", "default"):
            with open(f"/proc/sys/net/ipv6/conf/{what}/disable_ipv6", "w") as knob:
                knob.write("1")
        self.tap = TapDevice(TAP)
        with IPRoute() as route:
            self._configure(route)
        self.tables = Tables(load(shipped_object(), {"kept_packets": self.places}))
        self._attach(way)
        self.catch = self._catcher(UPLINK)
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.wire.bind((WIRE, 0))
        self.data = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # user space's
        self.data.bind(("10.9.0.1", PORT))
        self.data.setblocking(False)
        self._fill()
        self.drain()

    def _configure(self, route: Any) -> None:
        route.link("set", index=socket.if_nametoindex("lo"), state="up")
        route.link("add", ifname=UPLINK, kind="veth", peer={"ifname": WIRE})
        self.tap_index, self.uplink = socket.if_nametoindex(TAP), socket.if_nametoindex(UPLINK)
        wire = socket.if_nametoindex(WIRE)
        route.link("set", index=self.tap_index, state="up")
        for index in (wire, self.uplink):
            route.link("set", index=index, state="up")
        for index, text in ((self.tap_index, "10.88.0.2/24"), (self.uplink, "10.9.0.1/24")):
            address = IPv4Interface(text)
            route.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
        route.route("add", dst="224.0.0.0/4", oif=self.tap_index)
        for peer in range(self.peers):
            route.neigh("add", dst=f"10.9.0.{10 + peer}", lladdr=mac_of(peer).hex(":"), ifindex=self.uplink,
                        state=0x80)  # fmt: skip
        self.uplink_mac = bytes.fromhex(
            route.get_links(self.uplink)[0].get_attr("IFLA_ADDRESS").replace(":", "")
        )

    def _attach(self, way: str) -> None:
        tables = self.tables
        self.hooks.append(attach(tables.tap_egress, self.tap_index, EGRESS, TAP, way))
        self.hooks.append(attach(tables.up_ingress, self.uplink, INGRESS, TAP, way))

    def _catcher(self, device: str) -> socket.socket:
        catch = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        catch.bind((device, 3))
        catch.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
        catch.setblocking(False)
        return catch

    def _fill(self) -> None:
        self._renew(3600)
        for peer in range(self.peers):
            self.tables.set_peer(peer, self.peer(peer))
            self.link(peer)

    def link(self, peer: int) -> None:
        """Its datagrams are known by their addresses and this token."""
        key = LinkKey(address_of(peer), HERE, PORT, PORT)
        self.tables.set_link(key, LinkValue(OUR_TOKEN + peer, peer))

    def peer(self, peer: int, **others: Any) -> Peer:
        if self.mode == "mac":
            others = {"to": mac_of(peer), "source": self.uplink_mac} | others
        elif self.mode == "gateway":
            others = {"gateway": address_of(peer)} | others
        given = Peer(THEIR_TOKEN + peer, HERE, address_of(peer), PORT, PORT, self.uplink, LONGEST)
        return given._replace(**others)

    def _renew(self, seconds: float, **others: Any) -> None:
        monotonic, real = time.monotonic_ns(), time.time_ns()
        lease = monotonic + int(seconds * SECOND)
        self.cfg = self.cfg._replace(
            lease=lease, realtime_offset=real - monotonic, tap=self.tap_index, **others
        )
        self.tables.configure(self.cfg)

    def _end(self) -> None:
        for hook in self.hooks:
            hook.detach()
        self.tables.close()
        self.catch.close()
        self.wire.close()
        self.data.close()
        self.tap.close()
        socket_index = socket.if_nametoindex(UPLINK)
        from pyroute2 import IPRoute

        with IPRoute() as route:
            route.link("del", index=socket_index)

    # --- what a test does

    def renew(self, seconds: float = 3600, **others: Any) -> None:
        """A lease of so many seconds; other fields of cfg as given."""
        self.call(lambda: self._renew(seconds, **others))

    def route(
        self, *peers: int, flags: int = 0, group: int = GROUP, source: int = SOURCE,
        origin: int = 0, **others: Any,
    ) -> RouteKey:  # fmt: skip
        """A route is there, in a slot of its own, whose number and counters are 0."""
        key = RouteKey(*ipv4(group, source), origin)
        slot = self.routes[key].slot if key in self.routes else len(self.routes)
        given = RouteValue(GENERATION, slot, peers, LONGEST, flags=RouteFlag(flags))._replace(**others)
        self.routes[key] = given
        self.tables.clear_slot(slot)
        self.tables.set_route(key, given)
        return key

    def open_gates(self) -> None:
        """User space has handled all that it was left."""
        for gate in (*range(len(self.routes)), *range(GATE_OF_LINK, GATE_OF_LINK + self.peers)):
            self.tables.open_gate(gate, self.tables.left_at(gate))

    def no_route(self, key: RouteKey) -> None:
        self.tables.clear_route(key)

    def show(self, program: LoadedProgram, frame: bytes, **fields: int) -> tuple[Run, list[bytes]]:
        """What a program makes of a frame, and the copies that it sent meanwhile."""
        device = self.tap_index if program is self.tables.tap_egress else self.uplink

        def shown() -> tuple[Run, list[bytes]]:
            self.drain()
            run = program.run(frame, context(device, **fields))
            return run, self.caught()

        return self.call(shown)

    def inject(self, frame: bytes) -> None:
        """The frame comes in over the wire."""
        self.call(self.wire.send, frame)

    def caught(self) -> list[bytes]:
        """Datagrams that left by the uplink and were not seen yet; not the kernel's own ARP or IGMP."""
        found = []
        while True:
            try:
                frame, address = self.catch.recvfrom(65535)
            except BlockingIOError:
                return found
            if address[2] == PACKET_OUTGOING and frame[12:14] == b"\x08\0" and frame[23] == 17:
                found.append(frame)

    def await_caught(self, count: int, seconds: float = 5.0) -> list[bytes]:
        """At least so many; a second's quarter of silence where it is less."""
        limit = time.monotonic() + seconds
        found: list[bytes] = []
        while len(found) < count and time.monotonic() < limit:
            found += self.call(self.caught)
        return found

    def left(self) -> list[bytes]:
        """Datagrams that user space finds in its socket."""
        found = []
        while True:
            try:
                found.append(self.data.recv(65535))
            except BlockingIOError:
                return found

    def drain(self) -> None:
        self.caught()

    def from_tap(self) -> list[bytes]:
        """Frames that user space finds in the TAP."""
        found = []
        while True:
            try:
                found.append(os.read(self.tap.fileno(), 65535))
            except BlockingIOError:
                return found

    def copied(self) -> list[bytes]:
        """Copies of what the kernel forwarded, among them; it is told that they have come."""
        found = [frame for frame in self.from_tap() if frame[12:14] == b"\x88\xb5"]
        self.tables.open_gate(GATE_OF_COPIES, self.tables.left_at(GATE_OF_COPIES))
        return found

    def reasons(self) -> dict[Reason, int]:
        """Counts that are not 0."""
        return {reason: count.packets for reason, count in self.tables.reasons().items() if count.packets}

    def moved(self, work: Callable[[], object]) -> dict[Reason, int]:
        """How the counts moved while something was done."""
        before = self.reasons()
        work()
        after = self.reasons()
        return {reason: after[reason] - before.get(reason, 0) for reason in after
                if after[reason] != before.get(reason, 0)}  # fmt: skip

    def route_count(self, key: RouteKey) -> RouteCount:
        return self.tables.route_count(self.routes[key].slot)

    def socket(self, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        """A UDP socket in the namespace."""
        return self.call(socket.socket, socket.AF_INET, kind)

    def tx_checksum(self, device: str, on: bool) -> None:
        """`ethtool -K DEVICE tx on|off`"""

        def ask() -> None:
            value = ctypes.create_string_buffer(struct.pack("=II", ETHTOOL_STXCSUM, on))
            request = struct.pack("=16sQ16x", device.encode(), ctypes.addressof(value))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                fcntl.ioctl(asker, SIOCETHTOOL, request)

        self.call(ask)
