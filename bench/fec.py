"""What forward error correction costs a packet, and what it does for a link that is long and loses.

    python -m bench.fec BURSTS           in a network namespace of its own; JSON

The node of slowpath.py, on a real TAP and real UDP sockets.  Out: bursts from the TAP to two links with
parity and without, by turns.  In: bursts from a link to the TAP, with the parity behind their blocks, of
which nothing is lost, or some packets in 20; without: the same packets and no parity.  Then the sums alone,
and beside them those of interleaved XOR.

`far` is over whole nodes and the lab's internet with delays: a film from one node to another.
"""

import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from bench.slowpath import BURST, GROUP_KEY, SO_SNDBUFFORCE, Node, Sinks, bound, inner_packet, prepare
from multicastmw.core.fec.code import add
from multicastmw.core.fec.coder import BLOCK, Coder
from multicastmw.core.fec.counters import FecCounters
from multicastmw.core.fec.fec import Fec
from multicastmw.core.fec.rebuilder import Rebuilder
from multicastmw.wire import data
from multicastmw.wire.messages import encode
from multicastmw.wire.parity import Parity

LEAF_KEY = GROUP_KEY + 1
PACE = 0.2  # seconds from one pair of bursts to the next: 600 packets/s, of which a block is open alone
UPLINK = 10_000_000  # kbit/s: nothing is held back
ROWS = 1, 2, 3, 5
PAYLOADS = "239.1.2.3", bytes(1316)
Say = Callable[[str], None]


class Sent:
    """What a coder sends to the node, as datagrams."""

    def __init__(self, token: int) -> None:
        self.token = token
        self.datagrams: list[bytes] = []

    def send(self, message: memoryview, now: float) -> None:
        self.datagrams.append(bytes(message))

    def say(self, parity: Parity) -> int:
        self.datagrams.append(encode(parity, self.token))
        return len(self.datagrams[-1])


class Bench:
    """Everything, in the namespace that this process is in."""

    def __init__(self) -> None:
        self.sinks = Sinks()
        self.node = Node(self.sinks)
        self.node.reader.doRead()
        self.fec = Fec(True, 1.0, UPLINK)
        for peer in self.node.peers:
            peer.protection = self.fec.link_up(peer)
        for key in (GROUP_KEY, LEAF_KEY):
            self.node.tap.want(key, 0)
        self.feeder = bound(SO_SNDBUFFORCE)
        self.link = self.node.link(self.feeder.getsockname())
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
        self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self.protection = self.fec.link_up(self.link)
        self.coming = Sent(self.link.token)
        self.coder = Coder(self.coming, self.coming.say, self.fec, FecCounters())
        self.number = 0

    def out(self, rows: int) -> float:
        """Microseconds of processor time a packet from the TAP to two links; 0 rows: without."""
        for peer in self.node.peers:
            assert peer.protection
            peer.protection.moved(bool(rows))
            if peer.protection.coder:
                peer.protection.coder.rows = [rows] * (BLOCK + 1)
        group, payload = PAYLOADS
        for _ in range(BURST):
            self.sender.sendto(payload, (group, 5004))
        spent = self._work(self.node.reader.doRead)
        got, expected = self.sinks.drain(), 2 * (BURST + BURST // BLOCK * rows)
        if got != expected:
            raise SystemExit(f"{rows} rows: {got} datagrams came out instead of {expected}")
        return spent

    def into(self, rows: int, lost: int) -> float:
        """The same from a link to the TAP; so many packets of each block are lost."""
        self.link.protection = self.protection if rows else None
        if rows and self.protection.rebuilder is None:
            self.protection.rebuilder = Rebuilder(self.link.rebuilt, self.protection.counters, 0.0)
        self.coder.rows = [max(1, rows)] * (BLOCK + 1)
        self.coming.datagrams.clear()
        for _ in range(BURST):
            self.coder.send(memoryview(self._message()), time.perf_counter())
        gone = 0
        for datagram in self.coming.datagrams:
            is_data = datagram[1] == data.FIRST & 0xFF
            place = int.from_bytes(datagram[44:48], "big") % BLOCK if is_data else BLOCK
            if place < lost or (not is_data and not rows):
                gone += place < lost
                continue
            self.feeder.sendto(datagram, ("127.0.0.1", 4600))
        assert self.link._datagrams is not None
        read = self.link._datagrams._reader.doRead  # type: ignore[attr-defined]
        before = self.protection.counters.rebuilt
        spent = self._work(lambda: (read(), read()))
        if rows and self.protection.counters.rebuilt - before != gone:
            raise SystemExit(f"{gone} were lost and {self.protection.counters.rebuilt - before} rebuilt")
        return spent

    def _message(self) -> bytearray:
        self.number += 1
        return bytearray(
            data.build(
                inner_packet(), token=self.link.token, origin=0x77770000, group=LEAF_KEY, source=0x0A580009,
                sequence=self.number - 1, hop_limit=15,
            )
        )  # fmt: skip

    def _work(self, work: Callable[[], Any]) -> float:
        began = time.thread_time()
        work()
        return (time.thread_time() - began) / BURST * 1e6


def code_alone(rows: int) -> float:
    """Microseconds a packet of the sums, and of nothing else."""
    symbols = [bytes([place + 1]) * (len(inner_packet()) + 12) for place in range(BLOCK)]
    began = time.thread_time()
    for _ in range(10):
        sums = [0] * rows
        for place, symbol in enumerate(symbols):
            add(sums, place, symbol)
        for total in sums:
            total.to_bytes(len(symbols[0]), "little")
    return (time.thread_time() - began) / 10 / BLOCK * 1e6


def xor_alone(rows: int) -> float:
    """The same where each packet is in one row of so many: interleaved XOR, which gives back one of each."""
    symbols = [bytes([place + 1]) * (len(inner_packet()) + 12) for place in range(BLOCK)]
    began = time.thread_time()
    for _ in range(10):
        sums = [0] * rows
        for place, symbol in enumerate(symbols):
            sums[place % rows] ^= int.from_bytes(symbol, "little")
        for total in sums:
            total.to_bytes(len(symbols[0]), "little")
    return (time.thread_time() - began) / 10 / BLOCK * 1e6


def measured(bursts: int) -> dict[str, dict[str, float]]:
    """Medians of bursts with and without it, by turns."""
    bench = Bench()
    ways: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        f"TAP to two links, {rows} rows": (partial(bench.out, rows), partial(bench.out, 0)) for rows in ROWS
    }
    ways |= {
        f"link to TAP, 3 rows, {lost} of 20 lost": (
            partial(bench.into, 3, lost), partial(bench.into, 0, lost)
        ) for lost in (0, 1, 3)
    }  # fmt: skip
    ways |= {f"the code alone, {rows} rows": (partial(code_alone, rows), partial(xor_alone, rows))
             for rows in ROWS}  # fmt: skip
    found = {}
    for way, (with_it, without) in ways.items():
        pairs = []
        for _ in range(bursts):
            began = time.perf_counter()
            bench.sinks.drain()
            pairs.append((without(), with_it()))
            time.sleep(max(0.0, PACE - (time.perf_counter() - began)))
        found[way] = {
            "with_us": statistics.median(both[1] for both in pairs),
            "without_us": statistics.median(both[0] for both in pairs),
            "more_us": statistics.median(both[1] - both[0] for both in pairs),
        }
    return found


# --- whole nodes


class Far(NamedTuple):
    """What came of a film over a link: shares of packets, ms, and of bits."""

    loss: float
    rtt: float
    nacks: bool
    fec: str
    sent: int
    lost: int
    late_p99: float
    overhead: float  # of parity and of what was sent again, to what was sent
    rows: int


PLAN = [
    (loss, 0.15, deadline, fec)
    for loss in (0.02, 0.05)
    for deadline, fec in ((0, "off"), (0, "on"), (1, "off"), (1, "on"))
]


def far(seconds: float, say: Say) -> list[dict[str, Any]]:
    """A film of 143 packets/s from n01 to n02, over a link with losses and a long round trip."""
    found = []
    for loss, rtt, deadline, fec in PLAN:
        one = over(loss, rtt, deadline, fec, seconds)
        found.append(one._asdict())
        say(f"  {loss:.0%} lost, fec {fec}, deadline {deadline}: {one.lost} of {one.sent} lost")
    return found


def over(loss: float, rtt: float, deadline: float, fec: str, seconds: float) -> Far:
    from bench.delay import PREFIX
    from bench.wan import film
    from bench.wan.internet import DelayedInternet
    from tests.netns.kit import QuickLab

    internet = partial(DelayedInternet, delays=rtt / 2, loss=loss, seed=1)
    extra = f"[fastpath]\nmode = off\n[recovery]\ndeadline = {deadline}\nhold = 0\nfec = {fec}\n\n"
    names = ["n01", "n02"]
    ini = film.static_ini({"n01": (), "n02": ("n01",)}, extra)
    with (
        tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as folder,
        QuickLab(PREFIX, folder, names, internet) as lab,
    ):
        played = film.film_over(lab, ini, "n01", seconds=seconds)
        status = lab.host("n01").status()
    (peer,) = status["peers"]
    parity = status["fec"]["counters"]["sent_bytes"] if status["fec"] else 0
    again = status["recovery"]["counters"]["resent_bytes"] if status["recovery"] else 0
    seen = played.seen["n02"]
    return Far(
        loss, rtt, bool(deadline), fec, seen.sent, seen.lost, seen.delay_ms[1],
        (parity + again) / (peer["counters"]["sent_bytes"] - again),
        max((each["rows"] for each in status["fec"]["links"]), default=0) if status["fec"] else 0,
    )  # fmt: skip


if __name__ == "__main__":
    prepare()
    print(json.dumps(measured(int(sys.argv[1])), indent=1))
