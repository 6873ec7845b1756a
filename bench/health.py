"""What it costs to look at a stream: microseconds of a core a packet.

*In this process*: a film's datagrams through the monitor, beside an observer that does nothing, in the same
rounds; what is said is the median above it.  *Copies*: the kernel forwards, and what a receiving node uses a
packet while somebody looks, above what it uses while nobody does; so the reading from the TAP is in it.
"""

import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

from bench.delay import PREFIX, used
from multicastmw.cli.film import draw
from multicastmw.cli.lab import Lab
from multicastmw.cli.mpegts import Timeline
from multicastmw.cli.multicast import open_sender
from multicastmw.cli.overlay import FigureFour
from multicastmw.cli.rtp import Packet as RtpPacket
from multicastmw.core.health.monitor import Monitor
from multicastmw.core.packet import Packet
from multicastmw.core.routing import Router
from multicastmw.wire.data import build
from multicastmw.wire.ipv4 import Header
from multicastmw.wire.mpegts import PACKET

GROUP, SOURCE = 0xEF010101, 0x0A580001
SECONDS = 10.0  # of the film
SIZE = 7 * PACKET
RATE = 2_000  # packets/s of the whole nodes: 21 Mbit/s
WATCHED = 8.0  # seconds of each look

Datagrams = list[tuple[float, bytes]]


def datagrams(film: bytes) -> Datagrams:
    due = list(Timeline(film).due(7))
    return [(due[n], film[n * SIZE : (n + 1) * SIZE]) for n in range(len(film) // SIZE)]


def messages(kind: str, film: Datagrams) -> Datagrams:
    """IP Data, each with its time; `kind` is ts, rtp or udp."""
    found = []
    for number, (due, content) in enumerate(film):
        payload = content
        if kind == "rtp":
            payload = RtpPacket(number, int(due * 90_000), 7, content).build()
        elif kind == "udp":
            payload = bytes(len(content))
        udp = pack("!HHHH", 40_000, 5004, 8 + len(payload), 0) + payload
        inner = Header(0, 20 + len(udp), 0, 0, 9, 17, SOURCE, GROUP).build() + udp
        found.append(
            (due, build(inner, token=0, origin=1 << 16, group=GROUP, source=SOURCE, sequence=number,
                        origin_time=int(due * 1e6), hop_limit=9))
        )  # fmt: skip
    return found


def spent(take: Callable[[Packet], object], sent: Datagrams) -> float:
    """Microseconds a packet, with what it takes to put it there."""
    packet = Packet()
    began = time.thread_time()
    for due, message in sent:
        size = len(message)
        packet.buffer[:size] = message
        packet.length, packet.now = size - 60, due
        take(packet)
    return (time.thread_time() - began) / len(sent) * 1e6


def watching(sent: Datagrams) -> float:
    monitor = Monitor(Router())
    monitor.watch(GROUP, 0.0, 300.0)
    took = spent(monitor.deliver, sent)
    (status,) = monitor.status(sent[-1][0], lambda origin: None)
    if status.source_errors or status.way_errors:
        raise RuntimeError(f"the film ought to be well: {status.reason}")
    return took


def inside(rounds: int, film: Datagrams) -> dict[str, float]:
    """The kinds take turns."""
    sent = {kind: messages(kind, film) for kind in ("ts", "rtp", "udp")}
    found: dict[str, list[float]] = {kind: [] for kind in ("nobody", *sent)}
    for _ in range(rounds):
        found["nobody"].append(spent(lambda packet: None, sent["ts"]))
        for kind, each in sent.items():
            found[kind].append(watching(each))
    floor = statistics.median(found["nobody"])
    return {kind: statistics.median(found[kind]) - floor for kind in sent}


def send(path: str, group: str) -> None:
    """The film over and over, RATE packets a second, until a signal comes."""
    film = Path(path).read_bytes()
    pieces = [film[at : at + SIZE] for at in range(0, len(film) - SIZE + 1, SIZE)]
    out: socket.socket = open_sender("mcmw0", 16)
    began, number = time.monotonic(), 0
    while True:
        while number < (time.monotonic() - began) * RATE:
            out.sendto(pieces[number % len(pieces)], (group, 5004))
            number += 1
        time.sleep(0.001)


def copies(film: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """At b of figure 4, which wants the group itself."""
    group = "239.1.1.1"
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as folder, Lab(PREFIX, folder) as lab:
        FigureFour(udp=True).start(lab)
        b = lab.host("b")
        control = _control(b)
        control("/group/pin", {"group": group})
        lab.host("a").await_status(
            lambda status: any(each["group"] == group for each in status["groups"]), 30, "the pin"
        )
        command = [sys.executable, "-m", "bench.health", str(film), group]
        lab.host("a").spawn(command, log="sender")
        b.await_status(
            lambda status: any(route["fast"] for route in status["routes"]), 30, "the kernel forwards"
        )
        say(f"  nobody looks, then somebody does, {WATCHED:g} s each")
        alone = _used(b)
        control("/streams/watch", {"group": group, "seconds": "120"})
        b.await_status(lambda status: any(each["port"] for each in status["streams"]), 30, "the look")
        looked = _used(b)
        (stream,) = (each for each in b.status()["streams"] if each["port"] == 5004)
        return {
            "rate": stream["packets_per_second"], "alone_us": alone, "looked_us": looked,
            "copy_us": looked - alone, "overlay_lost": stream["overlay"]["lost"],
        }  # fmt: skip


def _control(host: Any) -> Callable[[str, dict[str, str]], Any]:
    from multicastmw.cli.client import ControlClient

    return ControlClient(host.socket).post


def _used(host: Any) -> float:
    """Microseconds of a core a packet that the host's node uses."""
    before = used(host.node.pid)
    time.sleep(WATCHED)
    return (used(host.node.pid) - before) / (WATCHED * RATE) * 1e6


def measure(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder, "film.ts")
        say("  drawing a film")
        draw(film, SECONDS)
        found = inside(rounds, datagrams(film.read_bytes()))
        return {"inside_us": found, "rounds": rounds, "copies": copies(film, say)}


if __name__ == "__main__":
    send(*sys.argv[1:])
