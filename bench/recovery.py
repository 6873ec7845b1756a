"""What recovery costs where nothing is lost: a packet's way through a node, with it and without, by turns.

    python -m bench.recovery BURSTS      in a network namespace of its own; JSON

The node of slowpath.py, on a real TAP and real UDP sockets, has two streams that differ in nothing but that
one of them is repaired (its packets are kept, their numbers looked at).  Bursts of them take turns, so that
the ratio is of the same minute.  Links to whom nothing is sent again cost less: nothing is kept for them.
"""

import json
import socket
import statistics
import sys
import time
from collections.abc import Callable

from bench.slowpath import (
    BURST,
    GROUP_KEY,
    PAYLOAD,
    SO_SNDBUFFORCE,
    Node,
    Sinks,
    bound,
    inner_packet,
    prepare,
)
from multicastmw.core.addressing import Channel
from multicastmw.core.recovery.recovery import Recovery
from multicastmw.wire import data

OTHER_KEY = GROUP_KEY + 1
LEAF_KEY, OTHER_LEAF_KEY = GROUP_KEY + 2, GROUP_KEY + 3
PACE = 0.02  # seconds from one burst to the next: 3,000 packets/s, of which two seconds are kept
Fill = Callable[[], None]


class Bench:
    """Everything, in the namespace that this process is in."""

    def __init__(self) -> None:
        self.sinks = Sinks()
        self.node = Node(self.sinks)
        self.node.reader.doRead()
        self.recovery = Recovery(1.0, 0.5, None, time.perf_counter())
        self.node.room.recovery = self.recovery
        for peer in self.node.peers:
            peer.partner = self.recovery.link_up(peer)
            self.node.router.subscribe(peer, Channel(OTHER_KEY))
        for key in (GROUP_KEY, OTHER_KEY, LEAF_KEY, OTHER_LEAF_KEY):
            self.node.tap.want(key, 0)
        self.feeder = bound(SO_SNDBUFFORCE)
        self.link = self.node.link(self.feeder.getsockname())
        self.link.partner = self.recovery.link_up(self.link)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
        self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        assert self.link._datagrams is not None
        reads = self.link._datagrams._reader.doRead  # type: ignore[attr-defined]
        relay = {True: self._relayed(GROUP_KEY), False: self._relayed(OTHER_KEY)}
        leaf = {True: self._relayed(LEAF_KEY), False: self._relayed(OTHER_LEAF_KEY)}
        tap = {True: self._sent("239.1.2.3"), False: self._sent("239.1.2.4")}
        self.ways: dict[str, tuple[dict[bool, Fill], Fill, int]] = {
            "TAP to two links": (tap, self.node.reader.doRead, 2 * BURST),
            "link to TAP and two links": (relay, reads, 2 * BURST),
            "link to TAP": (leaf, reads, 0),
        }

    def _relayed(self, key: int) -> Fill:
        inner = inner_packet()
        number = 0

        def fill() -> None:
            nonlocal number
            for _ in range(BURST):
                message = data.build(
                    inner, token=self.link.token, origin=0x77770000, group=key, source=0x0A580009,
                    sequence=number, hop_limit=15,
                )  # fmt: skip
                self.feeder.sendto(message, ("127.0.0.1", 4600))
                number += 1

        return fill

    def _sent(self, group: str) -> Fill:
        def fill() -> None:
            for _ in range(BURST):
                self.sender.sendto(PAYLOAD, (group, 5004))

        return fill

    def burst(self, way: str, repaired: bool) -> float:
        """Microseconds of processor time a packet."""
        fills, work, expected = self.ways[way]
        self.node.forwarder.streams.mender = self.recovery if repaired else None  # asked at the first packet
        self.sinks.drain()  # a Have of a round
        fills[repaired]()
        began = time.thread_time()
        work()
        spent = time.thread_time() - began
        got = self.sinks.drain()
        if got != expected:
            raise SystemExit(f"{way}: {got} packets came out instead of {expected}")
        return spent / BURST * 1e6


def measured(rounds: int) -> dict[str, dict[str, float]]:
    """Medians, and of the ratios of a burst with it to the one without it beside it."""
    bench = Bench()
    found: dict[str, dict[str, float]] = {}
    for way in bench.ways:
        spent: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(rounds):
            began = time.perf_counter()
            for repaired in (True, False) if turn % 2 else (False, True):
                spent[repaired].append(bench.burst(way, repaired))
            if bench.recovery.deadline() <= began:
                bench.recovery.tick(began)
            time.sleep(max(0.0, PACE - (time.perf_counter() - began)))
        ratios = [one / other for one, other in zip(spent[True], spent[False], strict=True)]
        found[way] = {
            "with_us": statistics.median(spent[True]),
            "without_us": statistics.median(spent[False]),
            "ratio": statistics.median(ratios),
        }
    if bench.recovery.totals().missed or len(bench.recovery.repairs) != len(bench.ways):
        raise SystemExit("something was lost, or is not repaired")
    return found


if __name__ == "__main__":
    prepare()
    print(json.dumps(measured(int(sys.argv[1])), indent=1))
