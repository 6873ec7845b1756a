"""The monitor: what it watches, for how long, how much at most, and that it asks for nothing."""

import random
from struct import pack

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import Channel
from multicastmw.core.fragments import split
from multicastmw.core.health.monitor import (
    FORGET,
    GROUPS_MAX,
    PACKETS_MAX,
    REFUSED_FOR,
    STREAMS_MAX,
    WAYS_MAX,
    Monitor,
)
from multicastmw.core.packet import Packet
from multicastmw.core.routing import Router
from multicastmw.wire.data import build
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Header
from multicastmw.wire.udp import payload_in
from tests.core.health.passing import GROUP, SOURCE, START, Passing

TS = (b"\x47\x01\x00\x10" + bytes(184)) * 7


class Taker:
    """Somebody who wants a group."""

    name, local = "taker", True

    def deliver(self, packet: Packet) -> None: ...
    def others_changed(self, channel: Channel) -> None: ...


class LeaseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.router = Router()
        self.monitor = Monitor(self.router)

    def observers(self, group: int = GROUP) -> list[str]:
        return [each.name for each in self.router.route(Channel(group, SOURCE)).observers]

    def test_without_a_request_it_observes_nothing_and_wakes_for_nothing(self) -> None:
        self.assertEqual([], self.observers())
        self.assertEqual(float("inf"), self.monitor.deadline())

    def test_a_lease_ends_unless_it_is_renewed(self) -> None:
        self.monitor.watch(GROUP, 0.0, 10.0)
        self.assertEqual(["monitor"], self.observers())
        self.monitor.watch(GROUP, 5.0, 10.0)
        for now in (9.0, 11.0, 14.9):
            self.monitor.tick(now)
        self.assertEqual(["monitor"], self.observers())
        self.monitor.tick(16.0)
        self.assertEqual(([], float("inf")), (self.observers(), self.monitor.deadline()))

    def test_a_shorter_lease_takes_nothing_from_a_longer_one(self) -> None:
        self.monitor.watch(GROUP, 0.0, 60.0)
        self.monitor.watch(GROUP, 1.0, 2.0)
        self.monitor.tick(30.0)
        self.assertEqual(["monitor"], self.observers())

    def test_it_wants_nothing_of_the_overlay(self) -> None:
        self.monitor.watch(GROUP, 0.0, 60.0)
        self.assertEqual(([], False), (self.router.wanted(), self.router.has_takers(Channel(GROUP, SOURCE))))

    def test_its_clockwork_is_wound_once_the_first_watch_begins(self) -> None:
        wound: list[float] = []
        self.monitor.wound = lambda: wound.append(self.monitor.deadline())
        self.monitor.watch(GROUP, 5.0, 60.0)
        self.assertEqual([6.0], wound)

    def test_groups_are_bounded(self) -> None:
        for group in range(GROUPS_MAX):
            self.monitor.watch(GROUP + group, 0.0, 10.0)
        self.assertRaises(ValueError, self.monitor.watch, GROUP + GROUPS_MAX, 0.0, 10.0)
        self.monitor.watch(GROUP + 3, 1.0, 10.0)

    def test_whatever_passes_is_the_busiest_first(self) -> None:
        taker = Taker()
        self.router.attach(taker)
        for index in range(GROUPS_MAX + 8):
            self.router.subscribe(taker, Channel(GROUP + index))
            self.router.route(Channel(GROUP + index, SOURCE)).bytes = 1000 * index
        found = self.monitor.watch(0, 0.0, 10.0)
        self.assertEqual({GROUP + 8 + index for index in range(GROUPS_MAX)}, set(found.groups))

    def test_what_goes_to_nobody_does_not_pass(self) -> None:
        self.router.route(Channel(GROUP, SOURCE)).bytes = 1000
        self.assertEqual((), self.monitor.watch(0, 0.0, 10.0).groups)

    def test_what_no_longer_comes_is_not_renewed(self) -> None:
        taker = Taker()
        self.router.attach(taker)
        for index in range(2):
            self.router.subscribe(taker, Channel(GROUP + index))
            self.router.route(Channel(GROUP + index, SOURCE)).bytes = 1000
        self.assertEqual(2, len(self.monitor.watch(0, 0.0, 10.0).groups))
        self.router.route(Channel(GROUP + 1, SOURCE)).bytes = 0
        self.assertEqual((GROUP,), self.monitor.watch(0, 5.0, 10.0).groups)


class BoundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.passing = Passing()
        self.monitor = self.passing.monitor

    def test_streams_are_bounded_and_that_is_said_once(self) -> None:
        for port in range(STREAMS_MAX + 100):
            self.passing.arrive(self.passing.send(b"x", 0.0, port=port + 1), 0.0)
        self.assertEqual(STREAMS_MAX, len(self.passing.statuses()))
        self.assertEqual(["Limit"], [type(event).__name__ for event in self.passing.events])
        self.assertEqual(100, self.monitor.unwatched_packets)

    def test_sources_are_bounded(self) -> None:
        for source in range(WAYS_MAX + 50):
            self.passing.arrive(self.passing.send(b"x", 0.0, source=SOURCE + source), 0.0)
        self.assertEqual(min(WAYS_MAX, STREAMS_MAX), len(self.passing.statuses()))

    def test_what_is_unheard_makes_room(self) -> None:
        for port in range(STREAMS_MAX):
            self.passing.arrive(self.passing.send(b"x", 0.0, port=port + 1), 0.0)
        self.monitor.tick(START + FORGET + 2)
        self.passing.arrive(self.passing.send(b"x", FORGET + 3, port=9999), FORGET + 3)
        self.assertEqual([9999], [each.port for each in self.passing.statuses()])

    def test_too_many_packets_end_the_newest_watch(self) -> None:
        other = GROUP + 1
        self.monitor.watch(other, START + 1, 60.0)
        for number in range(PACKETS_MAX + 10):
            group = GROUP if number % 2 else other
            self.passing.arrive(self.passing.send(TS, number / 50_000, group=group), number / 50_000)
        self.assertEqual([f"more than {PACKETS_MAX:,} packets/s are too many to look at"],
                         [self.monitor.why_not(other, self.passing.now)])  # fmt: skip
        self.assertEqual("", self.monitor.why_not(GROUP, self.passing.now))
        (event,) = self.passing.events
        self.assertIn("239.1.1.2 is watched no longer", event.sentence())
        self.assertRaises(ValueError, self.monitor.watch, other, self.passing.now, 10.0)
        self.monitor.watch(other, self.passing.now + REFUSED_FOR, 10.0)

    def test_the_bound_is_of_a_second(self) -> None:
        for number in range(3 * PACKETS_MAX):
            at = number / (PACKETS_MAX * 0.9)
            self.passing.arrive(self.passing.send(b"x", at), at)
        self.assertEqual([], self.passing.events)

    def test_where_this_process_was_too_slow_nobody_is_blamed(self) -> None:
        for number in range(600):
            if number == 300:
                self.passing.dropped = 5
                self.passing.sequence[0] += 5
            at = number / 100
            self.passing.arrive(self.passing.send(TS, at), at)
        status = self.passing.status()
        self.assertEqual(("unknown", "this node is too busy to look at every packet"),
                         (status.health, status.reason))  # fmt: skip

    def test_a_group_of_which_nothing_comes_is_named(self) -> None:
        (status,) = self.passing.statuses(after=7.0)
        self.assertEqual(("239.1.1.1", "unknown", "nothing has come for 7 s"),
                         (status.group, status.health, status.reason))  # fmt: skip


class PacketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.passing = Passing()

    def test_fragments_are_joined_before_they_are_looked_at(self) -> None:
        for number in range(100):
            payload = number.to_bytes(4, "big") + bytes(2000)
            head = Header(0, 28 + 2004, number, 0, 16, 17, SOURCE, GROUP).build()
            packet = head + pack("!HHHH", 1, 5004, 8 + 2004, 0) + payload
            for part in split(packet, 1000, lambda: 0):
                self.passing.arrive(self.passing.wrap(part, number / 100), number / 100)
        status = self.passing.status()
        self.assertEqual((2004, 2004), (status.smallest, status.largest))

    def test_what_is_lost_of_fragments_is_counted_and_what_waits_is_not(self) -> None:
        head = Header(0, 28 + 2000, 7, 0, 16, 17, SOURCE, GROUP).build()
        parts = split(head + pack("!HHHH", 1, 5004, 2008, 0) + bytes(2000), 1000, lambda: 0)
        monitor = self.passing.monitor
        self.passing.arrive(self.passing.wrap(parts[0], 0.0), 0.0)
        self.assertEqual((0, 0), (sum(monitor.pieces().values()), monitor.unwatched_packets))
        for at in (2.0, 2.1):
            self.passing.arrive(self.passing.wrap(parts[1], at), at)
        monitor.tick(START + 400.0)  # nobody looks any more
        counts = {name: count for name, count in monitor.pieces().items() if count}
        self.assertEqual({"expired": 2, "duplicates": 1}, counts)
        self.assertEqual((0, float("inf")), (monitor.unwatched_packets, monitor.deadline()))

    def test_headers_with_options_are_stepped_over(self) -> None:
        payload = b"x" * 50
        options = b"\x94\x04\0\0"
        head = Header(0, 24 + 8 + 50, 0, 0, 16, 17, SOURCE, GROUP, options).build()
        self.passing.arrive(self.passing.wrap(head + pack("!HHHH", 1, 5004, 58, 0) + payload, 0.0), 0.0)
        self.assertEqual((50, 50), (self.passing.status().smallest, self.passing.status().largest))

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=60), st.integers(0, 70), st.booleans())
    def test_an_ordinary_packet_is_read_as_any_other(self, rest: bytes, length: int, lies: bool) -> None:
        """The quick way into one, against wire/udp.py."""
        size = 20 + len(rest)
        inner = Header(0, size, 0, 0, 9, 17, SOURCE, GROUP).build() + rest
        if len(rest) >= 8 and not lies:
            inner = inner[:24] + pack("!HH", length, 0) + inner[28:]
        passing = Passing()
        passing.arrive(passing.wrap(inner, 0.0), 0.0)
        found = [(each.port, each.smallest) for each in passing.statuses() if each.port is not None]
        try:
            port, begin, end = payload_in(inner, 20, size)
            expected = [(port, end - begin)]
        except Malformed:
            expected = []
        self.assertEqual(expected, found)

    def test_a_stream_that_ends_is_bad(self) -> None:
        for number in range(300):
            self.passing.arrive(self.passing.send(TS, number / 100), number / 100)
        self.assertEqual("no packet for 3 s", self.passing.status(after=3.0).reason)
        self.assertEqual(0.0, self.passing.status(after=5.0).bitrate)

    def test_a_verdict_takes_two_seconds(self) -> None:
        self.passing.arrive(self.passing.send(b"x", 0.0), 0.0)
        self.assertEqual("unknown", self.passing.status().health)

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(st.binary(min_size=1, max_size=200), st.integers(0, 2), st.booleans()), max_size=30
        )
    )
    def test_any_inner_packets_are_taken(self, packets: list[tuple[bytes, int, bool]]) -> None:
        passing = Passing()
        for turn, (drawn, kind, mended) in enumerate(packets):
            inner = drawn
            if mended and len(drawn) >= 28:
                inner = b"\x45\0" + pack("!H", len(inner)) + inner[4:9] + b"\x11" + inner[10:]
            message = build(inner, token=0, origin=turn % 3 << 16, group=GROUP, source=SOURCE, sequence=turn,
                            flags=turn & 1, packet_type=1 + kind)  # fmt: skip
            passing.arrive(message, turn / 10)
        passing.statuses()

    def test_a_million_bytes_of_noise_leave_little_behind(self) -> None:
        rng = random.Random(3)
        for turn in range(3000):
            payload = rng.choice((b"", b"\x80\x21", b"\x47")) + rng.randbytes(rng.choice((5, 187, 200, 376)))
            at = turn / 500
            self.passing.arrive(self.passing.send(payload, at, port=rng.randrange(1, 200)), at)
        self.assertLessEqual(len(self.passing.statuses()), STREAMS_MAX)
