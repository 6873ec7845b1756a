"""What the worst datagram that a stranger can think of costs the monitor, counted in steps of Python.

A step is one instruction of the interpreter: there are as many of them on every machine, whatever else it
does.  The worst datagrams in microseconds are in docs/health.rst.
"""

import sys
from collections.abc import Callable
from struct import pack
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.rtp import Farewell
from multicastmw.core.health.limits import (
    A_PIECE,
    ALL_A_SECOND,
    ALL_AT_ONCE,
    READ_A_SECOND,
    READ_AT_ONCE,
    MonitorCounters,
)
from multicastmw.core.health.missing import REMEMBERED, Missing
from multicastmw.core.health.monitor import LONGER, PACKETS_MAX
from multicastmw.core.health.order import HELD_BYTES, HELD_MAX, Held, Order
from multicastmw.core.health.tables import ELEMENTARY_MAX
from multicastmw.core.health.transport import CHECK, LOOKS, READS_MAX, SECTIONS_MAX
from multicastmw.wire.errors import Malformed
from multicastmw.wire.mpegts import STREAMS_MAX
from multicastmw.wire.rtp import ITEMS_MAX, PARTS_MAX, TooManyParts, parse_rtcp
from tests.core.health.hostile import (
    HOSTILE,
    ROOM,
    SERVICES,
    Datagrams,
    full_of,
    long_sdts,
    many_parts,
    new_pats,
    ordinary,
    packet,
    section,
)
from tests.core.health.passing import PORT, Passing

# What the bound is: times the steps of a datagram of seven ordinary packets.
TIMES = 12
DATAGRAMS = 150
APART = 0.01  # seconds
PIECES = 1 + (12 * SERVICES + 15) // A_PIECE


def steps(run: Callable[[], object]) -> int:
    """Instructions of the interpreter that it takes, of whatever is called as well."""
    found = 0

    def within(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal found
        found += event == "opcode"
        return within

    def entered(frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        return within

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        run()
    finally:
        sys.settrace(before)
    return found


class WorkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.passing = Passing()
        for number in range(20):  # so that it is known what the stream is
            self.comes(ordinary(number), number * APART)

    @property
    def counters(self) -> MonitorCounters:
        return self.passing.monitor.limits.counters

    def comes(self, payload: bytes, at: float, **address: int) -> None:
        self.passing.arrive(self.passing.send(payload, at, **address), at)

    def taken(self, make: Datagrams, port: int) -> tuple[float, int]:
        """Steps a datagram, and of the worst one."""
        found = []
        for number in range(DATAGRAMS):
            at = 1.0 + number * APART
            message = self.passing.send(make(number), at, port=port)
            found.append(steps(lambda m=message, t=at: self.passing.arrive(m, t)))  # type: ignore[misc]
        return sum(found) / len(found), max(found)

    def test_the_worst_takes_a_small_multiple_of_an_ordinary_one(self) -> None:
        normal, _ = self.taken(ordinary, PORT)
        for name, make in HOSTILE.items():
            self.setUp()
            mean, most = self.taken(make, PORT + 1)
            print(f"measured: {name}: {mean / normal:.1f} times an ordinary datagram's steps, at most "
                  f"{most / normal:.1f}")  # fmt: skip
            self.assertLess(mean, TIMES * normal, name)

    def test_of_seven_packets_so_many_sections_are_looked_at(self) -> None:
        seen = []
        self.patch(
            self.passing.monitor.limits, "may_read", lambda own, size, now: bool(seen.append(now)) or True
        )
        make = full_of(new_pats())
        for number in range(10):
            self.comes(make(number), 1.0 + number)
        self.assertEqual(
            (10 * READS_MAX, 10 * (SECTIONS_MAX - READS_MAX)), (len(seen), self.counters.tables_not_read)
        )
        self.assertGreaterEqual(self.counters.tables_cut, 10)

    def test_tables_that_are_not_looked_at_are_not_missing(self) -> None:
        make = full_of(new_pats())
        for number in range(300):
            self.comes(make(number), 0.3 + number / 50)
        self.assertEqual([], [each for each in self.passing.status().errors if each.name == "PAT_error"])

    def test_what_says_something_new_is_read_so_often(self) -> None:
        for number in range(1_000):
            self.comes(long_sdts(number), 1.0 + number / 100)
        pieces = PIECES * (1_000 - self.counters.tables_not_read)
        self.assertApproximates(READ_AT_ONCE + 10 * READ_A_SECOND, pieces, 2 * PIECES)

    def test_and_so_often_of_all_streams_together(self) -> None:
        ports = range(PORT, PORT + 20)
        for number in range(200):
            for port in ports:
                self.comes(long_sdts(number), 1.0 + number / 100, port=port)
        pieces = PIECES * (200 * len(ports) - self.counters.tables_not_read)
        self.assertGreater(20 * READ_AT_ONCE, ALL_AT_ONCE)
        self.assertApproximates(ALL_AT_ONCE + 2 * ALL_A_SECOND, pieces, 5 * PIECES)

    def test_what_is_said_again_is_read_once(self) -> None:
        for number in range(1_000):
            self.comes(
                packet(0, number, b"\0" + section(0, 1, 0, 0, pack("!HH", 1, 0xE100))) * 5, 1.0 + number / 99
            )
        self.assertEqual(0, self.counters.tables_not_read)

    def test_elementary_streams_of_all_programmes_are_bounded(self) -> None:
        pats = b"".join(pack("!HH", n + 1, 0xE000 | 0x20 + n) for n in range(100))
        self.tables({0: [section(0, 1, 0, 0, pats)]}, 1.0)
        body = b"\xe1\0\xf0\0" + b"".join(pack("!BHH", 0x1B, 0xE000 | 0x400 + n, 0xF000) for n in range(70))
        self.tables({0x20 + n: [section(2, n + 1, 0, 0, body)] for n in range(100)}, 3.0)
        programmes = self.passing.status().programmes
        self.assertEqual(STREAMS_MAX, len(programmes[0].streams))
        (stream,) = self.passing.monitor._watches[0xEF010101].streams.values()
        assert stream.ts
        self.assertEqual(ELEMENTARY_MAX, sum(len(pmt.streams) for pmt in stream.ts.tables.pmts.values()))
        # The more there is to look at, the more seldom that is.
        looks = len(stream.ts._pmts) + len(stream.ts._elementary)
        self.assertGreater(looks, LOOKS)
        self.assertAlmostEqual(CHECK * looks / LOOKS, stream.ts._next_look() - self.passing.now, places=1)

    def tables(self, found: dict[int, list[bytes]], begins: float) -> None:
        """Each section in packets of its own."""
        for turn, (pid, sections) in enumerate(found.items()):
            for whole in sections:
                data = b"\0" + whole
                packets = [
                    packet(pid, n, data[at : at + ROOM], begins=not at)
                    for n, at in enumerate(range(0, len(data), ROOM))
                ]
                self.comes(b"".join(packets), begins + turn / 10)

    def test_a_long_packet_counts_as_several(self) -> None:
        for number in range(PACKETS_MAX // 4 + 2):
            self.comes(bytes(3 * LONGER + 40), 1.0 + number / 10_000)
        self.assertEqual(["Limit"], [type(event).__name__ for event in self.passing.events])

    def test_rtcp_of_many_parts_is_counted_and_not_read(self) -> None:
        for number in range(5):
            self.comes(many_parts(number), 1.0 + number, port=PORT + 1)
        self.assertEqual(5, self.counters.reports_not_read)


class ReportTests(SynchronousTestCase):
    def test_parts_of_a_compound_packet(self) -> None:
        part = pack("!BBHI", 0x81, 201, 1, 7)
        self.assertEqual(7, parse_rtcp(part * PARTS_MAX).ssrc)
        self.assertRaises(TooManyParts, parse_rtcp, part * (PARTS_MAX + 1))
        self.assertTrue(issubclass(TooManyParts, Malformed))

    def test_items_of_a_description(self) -> None:
        for before, name in ((ITEMS_MAX - 1, "x"), (ITEMS_MAX, "")):
            items = b"\x02\0" * before + b"\x01\x01x\0"
            items += bytes(-len(items) % 4)
            said = pack("!BBHI", 0x81, 202, 1 + len(items) // 4, 7) + items
            self.assertEqual(name, parse_rtcp(pack("!BBHI", 0x80, 201, 1, 7) + said).cname)

    def test_an_ordinary_one(self) -> None:
        self.assertEqual("studio", parse_rtcp(Farewell(7, 1, 2).build(0, 0, b"studio")).cname)


class OrderTests(SynchronousTestCase):
    def test_what_waits_is_bounded_in_bytes(self) -> None:
        order, size = Order(), 60_000
        for number in range(1, 200):
            got = order.accept(2 * number, Held(bytes(size), 0.0, number, 0))
            self.assertLessEqual(sum(len(held.payload) for held in order._held.values()), HELD_BYTES)
            self.assertLessEqual(len(got), 2)
        self.assertEqual(order._bytes, sum(len(held.payload) for held in order._held.values()))

    def test_of_ordinary_ones_the_count_is_the_bound(self) -> None:
        order = Order()
        for number in range(1, HELD_MAX + 1):
            self.assertEqual([], order.accept(2 * number, Held(bytes(1_400), 0.0, number, 0)))
        self.assertEqual(1, len(order.accept(500, Held(bytes(1_400), 0.0, 0, 0))))


class MissingTests(SynchronousTestCase):
    def test_a_gap_and_what_comes_of_it_after_all(self) -> None:
        missing = Missing()
        missing.add(70_000, 5, 2)
        self.assertEqual([True, True, False, False, False], [missing.pop(70_000 + n) for n in range(5)])
        self.assertEqual((0, None), (len(missing), missing.pop(70_000)))

    def test_it_remembers_the_last_ones(self) -> None:
        missing = Missing()
        missing.add(10, 2_999, 2_999)
        self.assertEqual(REMEMBERED, len(missing))
        self.assertEqual((None, True), (missing.pop(3_008 - REMEMBERED), missing.pop(3_009 - REMEMBERED)))
        missing.add(1 << 40, 3, 0)
        self.assertEqual((3, False, False), (len(missing), 3_000 in missing, missing.pop(1 << 40)))
