"""The program's duplicate window decides as the node's own does (core/window.py)."""

import mmap
import os
import time
import unittest

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath.tables import WINDOW_WORDS, Reason
from multicastmw.core.window import MASK, Numbers, Window
from multicastmw.net.bpf.tables import WORDS, _window
from multicastmw.wire import data
from tests.core.fastpath.memory import MemoryTables
from tests.net.bpf.bed import (
    DROP,
    GROUP,
    OUR_TOKEN,
    REDIRECT,
    SOURCE,
    THEIRS,
    Bed,
    context,
    inner_packet,
    outer,
    why_no_bed,
)

SLOTS = 1024
INNER = inner_packet(b"p" * 20)
NUMBERED_BY_KERNEL = 1

# From the highest number to the next one.
near = st.integers(-20, 20)
edges = st.sampled_from(
    (-SLOTS - 64, -SLOTS - 1, -SLOTS, -SLOTS + 1, SLOTS - 1, SLOTS, SLOTS + 1, 2 * SLOTS, 2048, 63, 64)
)
far = st.sampled_from((1 << 20, (1 << 31) - 1, 1 << 31, -(1 << 20), 5000))
steps = st.lists(st.one_of(st.just(1), st.just(1), near, edges, far), min_size=1, max_size=60)


class WindowTests(SynchronousTestCase):
    skip = why_no_bed()

    def setUp(self) -> None:
        self.bed = Bed()
        self.addCleanup(self.bed.close)
        self.key = self.bed.route(1)

    def is_new(self, number: int, flags: int = 0) -> bool:
        run, _ = self.bed.show(self.bed.tables.up_ingress, self.frame(number, flags))
        self.assertIn(run.verdict, (DROP, REDIRECT))
        return run.verdict == REDIRECT

    def frame(self, number: int, flags: int = 0) -> bytes:
        message = data.build(
            INNER, sequence=number & MASK, token=OUR_TOKEN, origin=THEIRS, group=GROUP, source=SOURCE,
            hop_limit=9, flags=flags,
        )  # fmt: skip
        return outer(message, 0, self.bed.uplink_mac)

    def word_ahead(self) -> int:
        """Where another processor may mark a number soon: it is to be clear."""
        place = _window(self.bed.routes[self.key].slot, 0)
        top = self.bed.tables._windows[place + 1] & MASK
        return self.bed.tables._windows[place + WORDS - WINDOW_WORDS + (top // 64 + 1) % WINDOW_WORDS]

    def time_passes(self, seconds: float) -> None:
        """It was heard so much longer ago."""
        self.bed.tables._windows[0] -= round(seconds * 1e9)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from((0, 100, 1 << 31, MASK - 30)), steps)
    @example(0, [SLOTS - 1, SLOTS - 1])
    def test_whatever_numbers_come(self, first: int, steps: list[int]) -> None:
        self.bed.route(1)
        window = Window(slots=SLOTS, most=SLOTS)
        window.accept(first, 0.0)
        self.assertTrue(self.is_new(first))
        said: list[tuple[int, bool, bool]] = []
        for step in steps:
            number = (window.highest or 0) + step & MASK
            said.append((number, window.accept(number, 1.0), self.is_new(number)))
            self.assertEqual(0, self.word_ahead(), said)
        self.assertEqual([], [each for each in said if each[1] != each[2]], said)
        counted = self.bed.route_count(self.key)
        self.assertEqual(
            (window.duplicates, window.late, window.reordered, window.lost),
            (counted.duplicates, counted.late, counted.reordered, self.signed(counted.lost)),
            (first, said),
        )
        self.assertEqual(window.received, counted.packets)

    @staticmethod
    def signed(lost: int) -> int:
        return (lost + (1 << 63)) % (1 << 64) - (1 << 63)

    def test_a_jump_over_the_end_of_the_numbers(self) -> None:
        """The second of two that are far ahead has the lower number, as it is counted."""
        window, first = Window(slots=SLOTS, most=SLOTS), MASK - 5_000
        numbers = [(first + step) & MASK for step in (0, 1, 4_998, 5_003, 5_002, 4_998, 4_999, 5_004)]
        self.assertEqual(
            [window.accept(number, 1.0) for number in numbers], [self.is_new(number) for number in numbers]
        )
        counted = self.bed.route_count(self.key)
        self.assertEqual((window.lost, window.duplicates), (self.signed(counted.lost), counted.duplicates))

    def test_a_stream_unheard_for_ten_seconds_starts_afresh(self) -> None:
        self.assertTrue(self.is_new(500))
        self.assertTrue(self.is_new(501))
        self.time_passes(9)
        self.assertFalse(self.is_new(500))
        self.time_passes(2)
        self.assertTrue(self.is_new(500))
        self.assertTrue(self.is_new(501))
        self.assertEqual(1, self.bed.reasons()[Reason.NOT_NEW])

    def test_of_two_processors_one_may_have_looked_at_the_clock_before_the_other(self) -> None:
        """What the other one heard since then is no silence of centuries."""
        self.assertEqual([True] * 3, [self.is_new(number) for number in (500, 501, 503)])
        self.time_passes(-1)
        new = [self.is_new(number) for number in (500, 501, 502, 503, 504, 501)]
        self.assertEqual([False, False, True, False, True, False], new)
        counted = self.bed.route_count(self.key)
        self.assertEqual((5, 0, 4), (counted.packets, counted.lost, counted.duplicates))

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "one processor")
    def test_two_processors_at_once_take_each_number_once(self) -> None:
        """One has the odd ones, the other the even ones, and neither is far ahead; some are missing."""
        count, cpus = 20_000, sorted(os.sched_getaffinity(0))[:2]
        self.assertTrue(self.is_new(0))  # where it begins on both at once it may be wrong by one
        sent = [number + 2 * (number // 3) + 20 * (number // 50) for number in range(count)]
        with mmap.mmap(-1, mmap.PAGESIZE) as shared, memoryview(shared) as block, block.cast("Q") as at:
            near_until = time.monotonic() + 2  # then a busy machine may lend one of them longer
            frames, whole = [self.frame(number) for number in sent], context(self.bed.uplink)

            def take(which: int) -> None:
                os.sched_setaffinity(0, {cpus[which]})
                for number in range(1 + which, count, 2):
                    while at[1 - which] + (4 if time.monotonic() < near_until else 100) < number:
                        pass
                    verdict = self.bed.tables.up_ingress.run(frames[number], whole).verdict
                    at[2 + which] += verdict == REDIRECT
                    at[which] = number
                at[which] = count

            def both() -> list[int]:
                children = []
                for which in (0, 1):
                    children.append(os.fork())
                    if not children[-1]:
                        try:
                            take(which)
                        finally:
                            os._exit(0)
                return [os.waitpid(child, 0)[1] for child in children]

            self.assertEqual([0, 0], self.bed.call(both))
            self.assertEqual([count, count, count // 2, count // 2 - 1], [*at[:4]])
        counted = self.bed.route_count(self.key)
        known = self.bed.tables.numbers(self.bed.routes[self.key].slot, 0)
        assert known is not None
        top, seen = (
            sent[-1],
            sum(1 << SLOTS - 1 - sent[-1] + each for each in sent if each > sent[-1] - SLOTS),
        )
        self.assertEqual(
            (count, top + 1 - count, 0), (counted.packets, self.signed(counted.lost), counted.duplicates)
        )
        self.assertEqual((top, bin(seen)), (known.top, bin(known.seen)))

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from((0, 100, 1 << 31, MASK - 30)), st.lists(st.one_of(steps, st.just(None)), max_size=9)
    )
    def test_a_stream_that_goes_to_and_fro(self, first: int, rows: list[list[int] | None]) -> None:
        """Judged by the program and by the node in turn: as if one window had seen all of it."""
        self.bed.route(1)
        tables, slot, now = self.bed.tables, self.bed.routes[self.key].slot, time.monotonic()
        whole, part = (Window(slots=SLOTS, most=SLOTS) for _ in range(2))
        here, top, said = True, first, []
        for row in ([0, 1], None, [0, 1], *rows):
            if row is None:
                here = not here
                if here:
                    part.adopt(tables.numbers(slot, 0), now)
                else:
                    tables.set_numbers(slot, 0, part.numbers())
                continue
            for step in row:
                if abs(step) >= SLOTS:
                    continue  # a jump that waits for its second packet is not handed over
                number = (top + step) & MASK
                top += max(step, 0)
                is_new = part.accept(number, now) if here else self.is_new(number)
                said.append((number, here, is_new))
                self.assertEqual(whole.accept(number, now), is_new, said)
        lost = part.lost + self.signed(self.bed.route_count(self.key).lost)
        self.assertEqual(whole.lost, lost, said)

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from((0, 100, 1 << 31, MASK - 30)),
        st.sets(st.integers(2, 40)),
        st.lists(st.one_of(st.integers(-60, 160), st.sampled_from((1300, 1301, 4000, 4001))), max_size=20),
        st.sets(st.integers(2, 90)),
        st.integers(-30, 1500),
        st.booleans(),
    )
    def test_one_that_goes_ahead_of_what_is_judged_elsewhere(
        self, first: int, ours: set[int], theirs: list[int], waiting: set[int], apart: int, alone: bool
    ) -> None:
        """As the tables in memory do, which other tests believe."""
        self.bed.route(1)
        slot, now = self.bed.routes[self.key].slot, time.monotonic()
        memory, lost = MemoryTables(lambda: now), self.signed(self.bed.route_count(self.key).lost)
        memory.routes[self.key] = self.bed.routes[self.key]
        window = Window()
        for number in (0,) if alone else (0, 1, *sorted(ours)):
            window.accept((first + number) & MASK, now)
        memory.shut(slot)
        for tables in (self.bed.tables, memory):
            tables.go_ahead(slot, 0, window.numbers())
        memory.open_gate(slot, 0)
        said = []

        def comes(number: int) -> None:
            number = (first + number) & MASK
            said.append((number, memory.judge(self.key, number), self.is_new(number)))

        for number in theirs:
            comes(number + apart)
        for number in sorted(waiting):
            window.accept((first + number) & MASK, now)
        known = self.bed.tables.numbers(slot, 0)
        mine = memory.numbers(slot, 0)
        self.assertEqual((mine.top, mine.seen, mine.first), (known.top, known.seen, known.first), said)
        window.join(known)
        for tables in (self.bed.tables, memory):
            tables.add_numbers(slot, 0, window.numbers())
        after = (*range(-5, 95), *theirs, *(number + apart for number in theirs), apart + 200, apart + 201)
        for number in after:
            comes(number)
        self.assertEqual([], [each for each in said if each[1] != each[2]], said)
        found = memory.route_stats.get(slot, {"lost": 0})["lost"]
        self.assertEqual(found, self.signed(self.bed.route_count(self.key).lost) - lost, said)

    def test_one_that_goes_ahead_takes_none_that_has_come_and_counts_nothing_as_lost(self) -> None:
        slot, now = self.bed.routes[self.key].slot, time.monotonic()
        window = Window()
        for number in (50, 51, 53):
            window.accept(number, now)
        self.bed.tables.go_ahead(slot, 0, window.numbers())
        self.assertEqual([False, False, False, True], [self.is_new(number) for number in (50, 51, 53, 52)])
        self.assertEqual([True, False, False, True], [self.is_new(number) for number in (90, 51, 90, 92)])
        self.assertEqual(1, self.signed(self.bed.route_count(self.key).lost), "91")
        window.accept(60, now)
        window.join(self.bed.tables.numbers(slot, 0))
        self.bed.tables.add_numbers(slot, 0, window.numbers())
        self.assertEqual([False, True, True], [self.is_new(number) for number in (60, 61, 91)])
        lost = window.lost + self.signed(self.bed.route_count(self.key).lost)
        self.assertEqual(90 - 53 - 1 - 2, lost)
        self.time_passes(11)
        self.assertTrue(self.is_new(60), "it starts afresh as ever")

    def test_what_one_that_went_ahead_jumps_over_may_wait_if_few_came_before(self) -> None:
        slot, now = self.bed.routes[self.key].slot, time.monotonic()
        for numbers, first, lost in (
            ((60, 3000, 3001), 3000, 0),
            ((3000, 3001), 3000, 0),
            ((3000, 3010), 3000, 9),
            ((3000, 3002, 3001), 3000, 0),
            ((60, 700, 1300, 3000, 3001), 3000, 1300 - 60 - 2),
            ((*range(60, 71), 3000, 3001), 3000, 0),
            ((*range(60, 72), 3000, 3001), 60, 3000 - 72),
        ):
            before = self.signed(self.bed.route_count(self.key).lost)
            self.bed.tables.go_ahead(slot, 0, Numbers(50, 3 << SLOTS - 2, now, 49, False))
            self.assertTrue(all(self.is_new(number) for number in numbers))
            known = self.bed.tables.numbers(slot, 0)
            self.assertEqual((max(numbers), first), (known.top, known.first))
            self.assertEqual(lost, self.signed(self.bed.route_count(self.key).lost) - before)
        self.bed.tables.add_numbers(slot, 0, known)
        self.assertEqual([True, True], [self.is_new(number) for number in (5000, 5001)])
        self.assertEqual(lost + 1998, self.signed(self.bed.route_count(self.key).lost) - before)

    def test_and_when_what_waited_is_out_or_nothing_waits_it_is_lost(self) -> None:
        slot, now = self.bed.routes[self.key].slot, time.monotonic()
        known = Numbers(50, 3 << SLOTS - 2, now, 49, False)
        for came in ((60, 61), ()):
            before = self.signed(self.bed.route_count(self.key).lost)
            if came:
                self.bed.tables.go_ahead(slot, 0, known)
                self.assertTrue(all(self.is_new(number) for number in came))
                self.bed.tables.add_numbers(slot, 0, known)
            else:
                self.bed.tables.set_numbers(slot, 0, known)
            self.assertEqual([True, True], [self.is_new(number) for number in (3000, 3001)])
            lost = self.signed(self.bed.route_count(self.key).lost) - before
            self.assertEqual(3000 - max((50, *came)) - 1, lost)

    def test_what_it_has_taken_itself_stays(self) -> None:
        """Since it was asked."""
        slot, now = self.bed.routes[self.key].slot, time.monotonic()
        known = Numbers(50, 1 << SLOTS - 1, now, 50, False)
        self.bed.tables.go_ahead(slot, 0, known)
        self.assertEqual([True, True], [self.is_new(60), self.is_new(59)])
        self.bed.tables.add_numbers(slot, 0, known)
        self.assertEqual([False, False, False, True], [self.is_new(number) for number in (59, 60, 50, 58)])

    def test_a_forged_number_far_away_moves_it_no_more_than_ever(self) -> None:
        slot, now = self.bed.routes[self.key].slot, time.monotonic()
        self.bed.tables.go_ahead(slot, 0, Numbers(50, 3 << SLOTS - 2, now, 49, False))
        self.assertTrue(self.is_new(1 << 20))
        self.assertEqual([False, False], [self.is_new(50), self.is_new(49)])
        self.assertEqual([True, True, False], [self.is_new(52), self.is_new(53), self.is_new(52)])
        self.assertEqual(0, self.signed(self.bed.route_count(self.key).lost))

    def test_where_nothing_came_of_what_waited_it_goes_on_as_ever(self) -> None:
        slot, now = self.bed.routes[self.key].slot, time.monotonic()
        known = Numbers(50, 1 << SLOTS - 1, now, 50, False)
        self.bed.tables.go_ahead(slot, 0, known)
        self.bed.tables.add_numbers(slot, 0, known)
        self.assertEqual([False, True], [self.is_new(50), self.is_new(53)])
        self.assertEqual(2, self.signed(self.bed.route_count(self.key).lost))

    def test_one_that_started_afresh_and_goes_ahead_is_told_all_of_it(self) -> None:
        slot, now = self.bed.routes[self.key].slot, time.monotonic()
        self.bed.tables.go_ahead(slot, 0, None)
        self.bed.tables.add_numbers(slot, 0, Numbers(50, 1 << SLOTS - 1, now, 50, False))
        self.assertEqual([False, True], [self.is_new(50), self.is_new(51)])

    def test_a_stream_so_long_that_its_first_number_comes_round_again(self) -> None:
        """What is late is found again, however long ago the stream began."""
        self.assertTrue(self.is_new(0))
        top = 0
        for _ in range(40):  # two at a time, as the first one of a jump moves nothing
            top += 1 << 27
            self.assertTrue(self.is_new(top))
            self.assertTrue(self.is_new(top + 1))
        before = self.signed(self.bed.route_count(self.key).lost)
        self.assertTrue(self.is_new(top - 5))
        self.assertEqual(before - 1, self.signed(self.bed.route_count(self.key).lost))

    def test_each_count_has_its_own(self) -> None:
        for flags in (0, NUMBERED_BY_KERNEL):
            self.assertTrue(self.is_new(7, flags))
            self.assertFalse(self.is_new(7, flags))

    def test_a_route_that_is_replaced_keeps_its_numbers_and_a_slot_that_is_cleared_none(self) -> None:
        self.assertTrue(self.is_new(7))
        self.bed.tables.set_route(self.key, self.bed.routes[self.key]._replace(peers=(1, 2)))
        self.assertFalse(self.is_new(7))
        self.bed.tables.forget_numbers(self.bed.routes[self.key].slot)
        self.assertTrue(self.is_new(7))
