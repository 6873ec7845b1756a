"""A packet's way through a node against loops that do nothing else: what is timed, and what strace counts.

    TAP to two links              read a frame      + send it twice
    link to TAP and two links     take a datagram   + send it twice + write a frame
    the same, sent in runs        what a peer's node sends in one call (UDP_SEGMENT)
    the same, of drawn sizes      small packets and large ones, which make no runs worth the name

*ours* is the node's code between the wake-up and the last system call, put together as services/node.py does.
*bare* is what one writes in Python without a thought: `os.read` or `recv`, two `sendto`, `os.write`.
*lean* makes the same system calls as ours (into a buffer that is used again, on connected sockets) and does
nothing with the packet: what a node in Python could come down to.

All run in this process, on a real TAP and real UDP sockets of a network namespace of its own, over the same
packets: a burst is queued in the kernel first, then the loop alone runs.

    python -m bench.slowpath time ROUNDS        medians of microseconds a packet, alternating; JSON
    python -m bench.slowpath count BURSTS       the same loops, fenced by marks for strace (see calls.py)
"""

import json
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from multicastmw.core.addressing import Channel, Identity
from multicastmw.core.admission import Admission
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.link import Link
from multicastmw.core.packet import FRAME_START, Packet
from multicastmw.core.room import Here, Room
from multicastmw.core.routing import Router
from multicastmw.core.tap import TapDestination
from multicastmw.net.netlink import Netlink
from multicastmw.net.tap import TapDevice, TapReader
from multicastmw.net.udp import DataPort
from multicastmw.wire import data
from multicastmw.wire.ipv4 import Header
from multicastmw.wire.messages import DataPort as Announced
from multicastmw.wire.messages import Open, encode

GROUP = "239.1.2.3"
GROUP_KEY = int.from_bytes(socket.inet_aton(GROUP), "big")
BURST = 60  # less than a batch of ours, and than the TAP's queue
PAYLOAD = bytes(1316)
EVEN = [len(PAYLOAD)] * BURST
DRAWN = random.Random(1).choices(range(64, 1317), k=BURST)
RUN = 30  # packets that a peer's node sends at once
UDP_SEGMENT = 103
VARIANTS = ("ours", "bare", "lean")
FRAME_HEAD = bytes.fromhex("01005e0102030262656e6368" + "0800")
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
Work = Callable[[], None]


class QuietReactor:
    """Takes readers and never runs: the bench calls `doRead` itself."""

    def addReader(self, reader: Any) -> None: ...
    def removeReader(self, reader: Any) -> None: ...


class NoOutlet:
    """A TCP connection to nowhere."""

    address = local_address = "127.0.0.1"

    def write(self, message: bytes) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...
    def wake(self) -> None: ...

    def objection(self, names: tuple[str, ...], node: int) -> str | None:
        return None


class Sinks:
    """Two peers' sockets, emptied between bursts."""

    def __init__(self) -> None:
        self.sockets = [bound(SO_RCVBUFFORCE) for _ in range(2)]
        self.addresses = [sink.getsockname() for sink in self.sockets]

    def drain(self) -> int:
        count = 0
        for sink in self.sockets:
            with suppress(BlockingIOError):
                while sink.recv(65_536):
                    count += 1
        return count


class Node:
    """The parts of a node that a packet meets, put together as services/node.py does."""

    def __init__(self, sinks: Sinks) -> None:
        self.router = Router()
        self.forwarder = Forwarder(self.router, 0xABCD0001, 0.0)
        self.room = Room(
            Here("bench", 1 << 16, 10, 4600),
            self.router,
            self.forwarder,
            pick=lambda low, high: high,
            draw_token=iter(range(77, 10_000)).__next__,
            open_datagrams=lambda link, local, remote: self.port.connect("127.0.0.1", remote),
            tell=lambda event: None,
            watcher=self,
        )
        reactor: Any = QuietReactor()
        tell = lambda text: print(text, file=sys.stderr)  # noqa: E731
        room = self.room
        self.port = DataPort(
            4600, reactor, time.perf_counter, room.by_token, room.counters, room.outgoing.flush, tell
        )
        self.port.open()
        self.tap = TapDestination(
            "bench0",
            router=self.router,
            forwarder=self.forwarder,
            mapping=Identity(),
            admission=Admission((), ()),
            mac=b"\x02bench",
            longest=1412,
            ttl_floor=0,
            reassembler=None,
        )
        self.device = TapDevice("bench0")
        self.tap.write = self.device.write
        self.tap.done = room.outgoing.flush
        Netlink().configure("bench0", address=None, mtu=1412, ours=True)
        run("ip", "addr", "add", "10.88.0.1/24", "dev", "bench0")
        run("ip", "route", "add", "224.0.0.0/4", "dev", "bench0")
        self.reader = TapReader(self.device, reactor, time.perf_counter, self.tap, tell)
        self.peers = [self.link(address) for address in sinks.addresses]
        for peer in self.peers:
            self.router.subscribe(peer, Channel(GROUP_KEY))

    def link_up(self, link: Any) -> None: ...
    def link_down(self, link: Any, why: str) -> None: ...

    def link(self, address: tuple[str, int]) -> Link:
        """A peer whose data port is there, up and on UDP."""
        link = Link(self.room, NoOutlet(), None, 0.0)
        self.room.enter(link)
        opened = Open(f"peer{address[1]}", address[1] << 16, 10, Announced(address[1], 99))
        link.bytes_received(encode(opened), 0.0)
        link._on_udp = True
        return link


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def bound(force: int = 0) -> socket.socket:
    """A UDP socket on the loopback with large buffers."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if force:
        sock.setsockopt(socket.SOL_SOCKET, force, 8 << 20)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


# --- loops to compare with


def bare_from_tap(descriptor: int, addresses: list[Any]) -> Work:
    out = bound(SO_SNDBUFFORCE)
    first, second = addresses

    def work() -> None:
        read, sendto = os.read, out.sendto
        try:
            while True:
                packet = read(descriptor, 2048)
                sendto(packet, first)
                sendto(packet, second)
        except BlockingIOError:
            pass

    return work


def bare_from_link(into: socket.socket, descriptor: int, addresses: list[Any]) -> Work:
    out = bound(SO_SNDBUFFORCE)
    first, second = addresses
    frame = FRAME_HEAD + inner_packet()

    def work() -> None:
        receive, sendto, write = into.recv, out.sendto, os.write
        try:
            while True:
                packet = receive(2048)
                sendto(packet, first)
                sendto(packet, second)
                write(descriptor, frame)
        except BlockingIOError:
            pass

    return work


def connected(addresses: list[Any]) -> list[Callable[[memoryview], int]]:
    outs = [bound(SO_SNDBUFFORCE) for _ in addresses]
    for out, address in zip(outs, addresses, strict=True):
        out.connect(address)
    return [out.send for out in outs]


def lean_from_tap(descriptor: int, addresses: list[Any]) -> Work:
    first, second = connected(addresses)
    packet = Packet()
    where = (packet.view[FRAME_START:],)

    def work() -> None:
        readv, view = os.readv, packet.view
        try:
            while True:
                message = view[: FRAME_START + readv(descriptor, where)]
                first(message)
                second(message)
        except BlockingIOError:
            pass

    return work


def lean_from_link(into: socket.socket, descriptor: int, addresses: list[Any]) -> Work:
    first, second = connected(addresses)
    packet = Packet()

    def work() -> None:
        receive, writev, view, buffer = into.recv_into, os.writev, packet.view, packet.buffer
        try:
            while True:
                size = receive(buffer)
                message = view[:size]
                first(message)
                second(message)
                writev(descriptor, (FRAME_HEAD, view[60:size]))
        except BlockingIOError:
            pass

    return work


# --- the two ways


class Way(NamedTuple):
    """By variant: what queues a burst in the kernel, and the loop over it."""

    title: str
    fill: dict[str, Work]
    work: dict[str, Work]


class Bench:
    """Everything, in the namespace that this process is in."""

    def __init__(self) -> None:
        self.sinks = Sinks()
        self.node = Node(self.sinks)
        self.node.reader.doRead()  # the interface's own first words
        self.node.tap.want(GROUP_KEY, 0)
        plain = {name: bound(SO_RCVBUFFORCE) for name in ("bare", "lean")}
        numbers = iter(range(1 << 31))
        self.ways = (
            self._from_tap(),
            self._from_link("link to TAP and two links", plain, numbers, EVEN, 1),
            self._from_link("the same, sent in runs", plain, numbers, EVEN, RUN),
            self._from_link("the same, of drawn sizes", plain, numbers, DRAWN, 1),
        )

    def _from_tap(self) -> Way:
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)

        def fill() -> None:
            for _ in range(BURST):
                sender.sendto(PAYLOAD, (GROUP, 5004))

        descriptor, addresses = self.node.device.fileno(), self.sinks.addresses
        return Way(
            "TAP to two links",
            dict.fromkeys(VARIANTS, fill),
            {
                "ours": self.node.reader.doRead,
                "bare": bare_from_tap(descriptor, addresses),
                "lean": lean_from_tap(descriptor, addresses),
            },
        )

    def _from_link(
        self,
        title: str,
        plain: dict[str, socket.socket],
        numbers: Iterator[int],
        sizes: Sequence[int],
        run: int,
    ) -> Way:
        """A burst of packets of these sizes, of which so many are sent at once."""
        feeder = bound(SO_SNDBUFFORCE)
        link = self.node.link(feeder.getsockname())
        inners = [inner_packet(size) for size in sizes]

        def fill() -> None:
            messages = [
                data.build(
                    inner,
                    token=link.token,
                    origin=0x77770000,
                    group=GROUP_KEY,
                    source=0x0A580009,
                    sequence=next(numbers),
                    hop_limit=15,
                )
                for inner in inners
            ]
            for first in range(0, BURST, run):
                segment = struct.pack("=H", len(messages[first]))
                cut = [(socket.IPPROTO_UDP, UDP_SEGMENT, segment)] if run > 1 else []
                feeder.sendmsg(messages[first : first + run], cut, 0, ("127.0.0.1", 4600))

        def fill_plain(into: socket.socket) -> Work:
            def fill() -> None:
                for inner in inners:
                    feeder.sendto(bytes(60) + inner, into.getsockname())

            return fill

        assert link._datagrams is not None
        descriptor, addresses = self.node.device.fileno(), self.sinks.addresses
        return Way(
            title,
            {"ours": fill} | {name: fill_plain(into) for name, into in plain.items()},
            {
                "ours": link._datagrams._reader.doRead,  # type: ignore[attr-defined]
                "bare": bare_from_link(plain["bare"], descriptor, addresses),
                "lean": lean_from_link(plain["lean"], descriptor, addresses),
            },
        )

    def burst(self, way: Way, variant: str, fence: Callable[[], Any]) -> Any:
        """One burst through one loop, inside `fence`; gives what the fence yields."""
        way.fill[variant]()
        delivered = self.node.tap.counters.delivered
        with fence() as result:
            way.work[variant]()
        got = self.sinks.drain()
        if got != BURST * 2:
            raise SystemExit(f"{way.title}, {variant}: {got} packets came out instead of {BURST * 2}")
        if variant == "ours" and way is not self.ways[0]:
            delivered = self.node.tap.counters.delivered - delivered
            if delivered != BURST:
                raise SystemExit(f"{way.title}: the TAP was given {delivered} packets instead of {BURST}")
        return result


def inner_packet(size: int = len(PAYLOAD)) -> bytes:
    udp = (5004).to_bytes(2, "big") * 2 + (8 + size).to_bytes(2, "big") + b"\0\0"
    header = Header(0, 28 + size, 1, 0, 15, 17, 0x0A580009, GROUP_KEY)
    return header.build() + udp + bytes(size)


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    spent = [time.perf_counter()]
    yield spent
    spent[0] = time.perf_counter() - spent[0]


def timed(count: int) -> dict[str, dict[str, float]]:
    """Medians of microseconds a packet, and of the rounds' ratios of ours to the others."""
    bench = Bench()
    results = {}
    for way in bench.ways:
        spent: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for turn in range(count):
            for place in range(len(VARIANTS)):
                variant = VARIANTS[(turn + place) % len(VARIANTS)]
                spent[variant].append(bench.burst(way, variant, stopwatch)[0] / BURST * 1e6)
        figures = {f"{variant}_us": statistics.median(times) for variant, times in spent.items()}
        for other in ("bare", "lean"):
            ratios = [o / b for o, b in zip(spent["ours"], spent[other], strict=True)]
            figures[f"to_{other}"] = statistics.median(ratios)
        results[way.title] = figures
    return results


def counted(bursts: int) -> None:
    """The loops once more, for strace: a stat of a file that is not there says what begins and ends."""
    bench = Bench()
    for index, way in enumerate(bench.ways):
        for variant in VARIANTS:

            @contextmanager
            def fence(label: str = f"/mark/{index}/{variant}/") -> Iterator[None]:
                os.access(label + "begin", os.F_OK)
                yield
                os.access(label + "end", os.F_OK)

            for _ in range(bursts):
                bench.burst(way, variant, fence)


def prepare() -> None:
    """The namespace, which is new: loopback up, and no IPv6, whose neighbour discovery would be frames."""
    for scope in ("all", "default"):
        with suppress(OSError):
            Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1")
    run("ip", "link", "set", "lo", "up")


def profile(count: int) -> None:
    """Where the time goes, by cProfile (which itself costs most of it)."""
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    profiler.runcall(timed, count)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    prepare()
    what, number = sys.argv[1], int(sys.argv[2])
    if what == "time":
        print(json.dumps(timed(number)))
    elif what == "count":
        counted(number)
    else:
        profile(number)
