"""Microseconds a packet on the slow path, against a bare loop of the same system calls in Python.

    TAP to two links              os.read           + 2 x sendto
    link to TAP and two links     recv              + 2 x sendto + os.write

Both run in this process, on a real TAP and real UDP sockets of a network namespace of their own, over the same
packets: a burst is queued in the kernel first, then the loop alone is timed.  Rounds alternate; medians.
"""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from multicastmw.core.addressing import Channel, Identity
from multicastmw.core.admission import Admission
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.link import Link
from multicastmw.core.packet import Packet
from multicastmw.core.room import Here, Room
from multicastmw.core.routing import Router
from multicastmw.core.tap import TapDestination
from multicastmw.net.netlink import Netlink
from multicastmw.net.tap import TapDevice, TapReader
from multicastmw.net.udp import DataPort
from multicastmw.wire import data
from multicastmw.wire.messages import DataPort as Announced
from multicastmw.wire.messages import Open, encode

GROUP = "239.1.2.3"
BURST = 60  # less than a batch, and than the TAP's queue


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


class Sinks:
    """Two peers' sockets, emptied between bursts."""

    def __init__(self) -> None:
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sink in self.sockets:
            sink.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
            sink.bind(("127.0.0.1", 0))
            sink.setblocking(False)
        self.addresses = [sink.getsockname() for sink in self.sockets]

    def drain(self) -> int:
        count = 0
        for sink in self.sockets:
            try:
                while sink.recv(65_536):
                    count += 1
            except BlockingIOError:
                pass
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
        self.port = DataPort(4600, reactor, time.perf_counter, self.room.by_token, self.room.counters, print)
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
        Netlink().configure("bench0", address=None, mtu=1412, ours=True)
        subprocess.run(["ip", "addr", "add", "10.88.0.1/24", "dev", "bench0"], check=True)
        subprocess.run(["ip", "route", "add", "224.0.0.0/4", "dev", "bench0"], check=True)
        self.reader = TapReader(self.device, reactor, time.perf_counter, self.tap, print)
        self.peers = [self.link(address) for address in sinks.addresses]

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


def bare_from_tap(descriptor: int, out: socket.socket, addresses: list[Any]) -> None:
    """The loop that nothing in Python can beat: read, send, send."""
    read, sendto = os.read, out.sendto
    first, second = addresses
    try:
        while True:
            packet = read(descriptor, 2048)
            sendto(packet, first)
            sendto(packet, second)
    except BlockingIOError:
        pass


def bare_from_link(into: socket.socket, descriptor: int, out: socket.socket, addresses: list[Any]) -> None:
    receive, sendto, write = into.recv, out.sendto, os.write
    first, second = addresses
    frame = FRAME_HEAD + bytes(1316 + 28)
    try:
        while True:
            packet = receive(2048)
            sendto(packet, first)
            sendto(packet, second)
            write(descriptor, frame)
    except BlockingIOError:
        pass


FRAME_HEAD = bytes.fromhex("01005e0102030262656e6368" + "0800")


def timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rounds(fill: Callable[[], None], ours: Callable[[], None], bare: Callable[[], None], drain: Callable[[], int],
           expected: int, count: int) -> dict[str, float]:  # fmt: skip
    """Medians of microseconds a packet, and of the rounds' ratios."""
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for index in range(count * 2):
        name, work = (("ours", ours), ("bare", bare))[index % 2]
        fill()
        spent = timed(work)
        got = drain()
        if got != expected:
            raise SystemExit(f"{name}: {got} packets came out instead of {expected}")
        times[name].append(spent / BURST * 1e6)
    ratios = [o / b for o, b in zip(times["ours"], times["bare"], strict=True)]
    return {
        "ours_us": statistics.median(times["ours"]),
        "bare_us": statistics.median(times["bare"]),
        "ratio": statistics.median(ratios),
    }


def measure(count: int, only: str | None = None) -> dict[str, dict[str, float]]:
    """Both ways; to be called in a network namespace of its own, as root."""
    sinks = Sinks()
    node = Node(sinks)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.SOL_SOCKET, 32, 8 << 20)
    for link in node.peers:
        node.router.subscribe(link, Channel(int.from_bytes(socket.inet_aton(GROUP), "big")))
    results = {}
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    payload = bytes(1316)

    def fill_tap() -> None:
        for _ in range(BURST):
            sender.sendto(payload, (GROUP, 5004))

    node.reader.doRead()  # the interface's own first words
    descriptor = node.device.fileno()
    if only in (None, "tap"):
        results["TAP to two links"] = rounds(
            fill_tap,
            node.reader.doRead,
            lambda: bare_from_tap(descriptor, out, sinks.addresses),
            sinks.drain,
            BURST * 2,
            count,
        )

    feeder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    feeder.bind(("127.0.0.1", 0))
    upstream = node.link(feeder.getsockname())
    feeder.connect(("127.0.0.1", 4600))
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
    plain.bind(("127.0.0.1", 0))
    plain.setblocking(False)
    node.tap.want(int.from_bytes(socket.inet_aton(GROUP), "big"), 0)
    inner = inner_packet(payload)
    numbers = iter(range(1 << 31))

    def fill_link() -> None:
        for _ in range(BURST):
            feeder.send(
                data.build(
                    inner,
                    token=upstream.token,
                    origin=0x77770000,
                    group=0xEF010203,
                    source=0x0A580009,
                    sequence=next(numbers),
                    hop_limit=15,
                )
            )

    def fill_plain() -> None:
        message = bytes(60) + inner
        for _ in range(BURST):
            feeder_plain.sendto(message, plain.getsockname())

    feeder_plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    turn = iter(range(1 << 31))
    reader = upstream._datagrams._reader  # type: ignore[union-attr]

    def fill() -> None:
        (fill_plain if next(turn) % 2 else fill_link)()

    if only in (None, "link"):
        results["link to TAP and two links"] = rounds(
            fill,
            reader.doRead,
            lambda: bare_from_link(plain, descriptor, out, sinks.addresses),
            sinks.drain,
            BURST * 2,
            count,
        )
        delivered = node.tap.counters.delivered
        if delivered != BURST * count:
            raise SystemExit(f"the TAP was given {delivered} packets instead of {BURST * count}")
    return results


def inner_packet(payload: bytes) -> bytes:
    from multicastmw.wire.ipv4 import Header

    udp = (5004).to_bytes(2, "big") * 2 + (8 + len(payload)).to_bytes(2, "big") + b"\0\0"
    header = Header(0, 28 + len(payload), 1, 0, 15, 17, 0x0A580009, 0xEF010203)
    return header.build() + udp + payload


def profile(count: int) -> None:
    """Where the time goes, by cProfile (which itself costs most of it)."""
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    profiler.runcall(measure, count)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    for label, result in measure(int(sys.argv[1])).items():
        print(label, {key: round(value, 2) for key, value in result.items()})
