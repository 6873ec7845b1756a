"""The duplicate window, against a model that forgets nothing, and by what an operator would ask."""

import random
import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.window import KNOWN, MASK, MOST_WAITING, SLOTS, Budget, Numbers, Window

MODULUS = 1 << 32
HALF = 1 << 31


class Model:
    """What a window is to do, said with whole numbers that do not wrap and a set of all that were seen."""

    def __init__(self, smallest: int) -> None:
        self.smallest = smallest
        self.heard = float("-inf")
        self.top = self.first = self.floor = self.lost_before = 0
        self.seen: set[int] = set()
        self.far: int | None = None
        self.alone = False  # only the packet that began the stream was accepted
        self.hoping = False  # the last packet accepted was the far one
        self.received = self.duplicates = self.late = self.reordered = 0

    @property
    def lost(self) -> int:
        if not self.seen:
            return 0
        here = sum(number >= self.first for number in self.seen)
        return self.lost_before + self.top - self.first + 1 - here

    def accept(self, sequence: int, now: float, size: int) -> bool:
        ahead = (sequence - self.top) % MODULUS
        number = self.top + (ahead if ahead < HALF else ahead - MODULUS)
        if now - self.heard >= 10 or (self.alone and abs(number - self.top) >= size):
            return self.begin(sequence, now)
        if number >= self.top + size:
            return self.accept_far(number, now, size)
        if number < self.floor:
            self.late += 1
            return False
        if number in self.seen:
            self.duplicates += 1
            return False
        self.reordered += number < self.top
        self.received += 1
        return self.note(now, size, number)

    def begin(self, number: int, now: float) -> bool:
        self.lost_before = self.lost
        self.seen = set()
        self.far = None
        self.received += 1
        self.top = self.first = number
        self.floor = number - self.smallest
        self.note(now, self.smallest, number)
        self.alone = True
        return True

    def note(self, now: float, size: int, *numbers: int) -> bool:
        self.seen.update(numbers)
        self.top = max(self.top, *numbers)
        self.floor = max(self.floor, self.top - size + 1)
        self.heard = now
        self.alone = self.hoping = False
        return True

    def accept_far(self, number: int, now: float, size: int) -> bool:
        if number == self.far:
            self.duplicates += 1
            return False
        self.received += 1
        if self.hoping and self.far is not None and abs(number - self.far) < size:
            self.note(now, size, number, self.far)
            self.far = None
            return True
        self.far = number
        self.hoping = True
        self.alone = False
        return True


def steps(size: int) -> st.SearchStrategy[list[tuple[int, float]]]:
    """Where each packet is, seen from the highest, and the pause before it."""
    edges = [size - 1, size, size + 1, 2 * size, 5 * size, HALF - 1, HALF, HALF + 1]
    where = (
        st.just(1)
        | st.integers(-3, 3)
        | st.integers(-2 * size, 2 * size)
        | st.sampled_from(edges + [-edge for edge in edges])
        | st.integers(0, MODULUS - 1)
    )
    pause = st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.001, 0.1, 1.0, 9.75, 10.0, 11.0])
    return st.lists(st.tuples(where, pause), max_size=150)


starts = st.sampled_from([0, 1, 5, MODULUS - 1, MODULUS - 9, HALF]) | st.integers(0, MODULUS - 1)


class AgainstTheModel(SynchronousTestCase):
    def check(self, window: Window, start: int, walk: list[tuple[int, float]]) -> None:
        model = Model(window.slots)
        now = 0.0
        sequence = start
        accepted = 0
        for where, pause in walk:
            now += pause
            size = window.slots
            new = window.accept(sequence, now)
            self.assertEqual(new, model.accept(sequence, now, size), (sequence, now))
            accepted += new
            self.assertEqual(window.lost, model.lost)
            self.assertGreaterEqual(window.lost, 0)
            self.assertEqual(window.highest, model.top % MODULUS)
            sequence = (model.top + where) % MODULUS
        counts = (window.received, window.duplicates, window.late, window.reordered)
        self.assertEqual(counts, (model.received, model.duplicates, model.late, model.reordered))
        self.assertEqual(window.received, accepted)
        self.assertEqual(window.received + window.duplicates + window.late, len(walk))

    @settings(max_examples=500, deadline=None)
    @given(starts, steps(8))
    def test_of_one_size(self, start: int, walk: list[tuple[int, float]]) -> None:
        self.check(Window(slots=8, most=8), start, walk)

    @settings(max_examples=500, deadline=None)
    @given(starts, steps(8))
    @example(0, [(1, 0.0)] * 12 + [(-9, 0.0)] * 3 + [(1, 0.0)] * 20 + [(-17, 0.0), (-15, 0.0)] * 2)
    def test_that_grows(self, start: int, walk: list[tuple[int, float]]) -> None:
        self.check(Window(slots=4, most=64), start, walk)

    @settings(max_examples=20, deadline=None)
    @given(starts, st.integers())
    def test_on_long_walks_with_loss_disorder_and_repetition(self, start: int, seed: int) -> None:
        rng = random.Random(seed)
        walk = [(rng.choice((1, 1, 1, 1, 2, 3, 0, -1, -2, -30, -60)), rng.random() / 40) for _ in range(1500)]
        self.check(Window(slots=16, most=128), start, walk)


class NewOrNot(SynchronousTestCase):
    def test_a_number_is_new_once(self) -> None:
        window = Window()
        self.assertEqual(
            [window.accept(5, 0.0), window.accept(5, 0.0), window.accept(6, 0.0)], [True, False, True]
        )
        self.assertEqual((window.received, window.duplicates), (2, 1))

    def test_what_was_to_come_twice_is_neither_a_duplicate_nor_late(self) -> None:
        window = Window(slots=4, most=4)
        for number in range(10):
            window.accept(number, 0.0)
        for number, counted in ((9, (1, 0)), (2, (0, 1))):
            self.assertFalse(window.accept(number, 0.0))
            self.assertEqual(counted, (window.duplicates, window.late))
            window.was_to_come()
            self.assertEqual((0, 0), (window.duplicates, window.late))

    def test_any_first_number_is_new(self) -> None:
        for sequence in (0, 1, 2047, 2048, HALF, MODULUS - 1):
            window = Window()
            self.assertTrue(window.accept(sequence, 1e9))
            self.assertFalse(window.accept(sequence, 1e9))
            self.assertEqual(window.highest, sequence)

    def test_before_the_first_packet_there_is_nothing_to_report(self) -> None:
        window = Window()
        self.assertEqual((window.highest, window.lost, window.received), (None, 0, 0))

    def test_a_fresh_ring_takes_every_number_of_its_window(self) -> None:
        """No slot starts with a number that belongs there."""
        for start in (2047, 4095, MODULUS - 1):
            window = Window()
            window.accept(start, 0.0)
            for back in range(1, 2048):
                self.assertTrue(window.accept(start - back, 0.0))
                self.assertFalse(window.accept(start - back, 0.0))

    def test_the_window_is_exactly_its_slots_wide(self) -> None:
        window = Window()
        window.accept(0, 0.0)
        window.accept(2000, 0.0)
        window.accept(4000, 0.0)
        self.assertTrue(window.accept(4000 - 2047, 0.0))
        self.assertFalse(window.accept(4000 - 2048, 0.0))
        self.assertEqual((window.late, window.reordered, window.duplicates), (1, 1, 0))

    def test_it_counts_on_through_2_to_the_32(self) -> None:
        window = Window()
        for n in range(MODULUS - 3000, MODULUS + 3000):
            self.assertTrue(window.accept(n % MODULUS, 0.0))
        for n in range(MODULUS - 500, MODULUS + 3000):
            self.assertFalse(window.accept(n % MODULUS, 0.0))
        self.assertEqual((window.highest, window.lost, window.late), (2999, 0, 0))

    def test_a_number_of_more_than_32_bits_is_our_own_mistake(self) -> None:
        window = Window()
        self.assertRaises(OverflowError, window.accept, MODULUS, 0.0)


class Loss(SynchronousTestCase):
    def test_gaps_are_lost_until_they_are_filled(self) -> None:
        window = Window()
        for sequence in (10, 11, 14):
            window.accept(sequence, 0.0)
        self.assertEqual(window.lost, 2)
        window.accept(12, 0.0)
        self.assertEqual((window.lost, window.reordered), (1, 1))
        window.accept(12, 0.0)
        self.assertEqual(window.lost, 1)

    def test_what_was_sent_before_the_first_packet_is_not_lost(self) -> None:
        window = Window()
        window.accept(100, 0.0)
        window.accept(90, 0.0)
        self.assertEqual((window.lost, window.received), (0, 2))
        window.accept(103, 0.0)
        self.assertEqual(window.lost, 2)

    def test_the_pause_before_a_fresh_start_is_no_loss_but_what_was_lost_stays_lost(self) -> None:
        window = Window()
        for sequence in (1, 2, 5):
            window.accept(sequence, 0.0)
        window.accept(50_000, 10.0)
        self.assertEqual((window.lost, window.restarts), (2, 1))
        window.accept(50_002, 10.0)
        self.assertEqual(window.lost, 3)


class AfterSilence(SynchronousTestCase):
    def test_any_number_is_new_after_ten_seconds_even_one_seen_before(self) -> None:
        for again in (5000, 4999, 3, HALF + 5000, MODULUS - 1):
            window = Window()
            for sequence in range(5001):
                window.accept(sequence, 0.0)
            self.assertTrue(window.accept(again, 10.0))
            self.assertFalse(window.accept(again, 10.0))
            self.assertTrue(window.accept((again + 1) % MODULUS, 10.0))
            self.assertTrue(window.accept((again - 1) % MODULUS, 10.0))
            self.assertEqual(window.lost, 0)

    def test_a_moment_earlier_it_is_the_same_stream(self) -> None:
        window = Window()
        window.accept(5, 0.0)
        window.accept(6, 0.0)
        self.assertFalse(window.accept(5, 9.99))
        self.assertTrue(window.accept(7, 9.99))
        self.assertFalse(window.accept(5, 19.9))
        self.assertEqual(window.restarts, 0)

    def test_a_count_that_was_set_back_is_heard_again_after_ten_seconds_though_it_never_paused(self) -> None:
        window = Window()
        for n in range(10_000):
            window.accept(1_000_000 + n, n / 1000)
        heard = [window.accept(n, 10 + n / 1000) for n in range(12_000)]
        self.assertEqual(heard.index(True), 9999)
        self.assertTrue(all(heard[9999:]))

    def test_duplicates_do_not_put_it_off(self) -> None:
        window = Window()
        window.accept(7, 0.0)
        window.accept(8, 0.0)
        self.assertEqual([window.accept(8, float(t)) for t in range(1, 11)], [False] * 9 + [True])

    def test_after_a_lapse_the_next_packet_starts_afresh_at_once(self) -> None:
        window = Window()
        for sequence in (1, 2, 5):
            window.accept(sequence, 0.0)
        window.lapse()
        self.assertTrue(window.accept(5, 0.0))
        self.assertTrue(window.accept(6, 0.0))
        self.assertEqual((window.lost, window.restarts, window.duplicates), (2, 1, 0))

    def test_a_lapse_before_the_first_packet_is_nothing(self) -> None:
        window = Window()
        window.lapse()
        self.assertTrue(window.accept(5, 0.0))
        self.assertEqual((window.lost, window.restarts), (0, 0))

    def test_it_is_small_again(self) -> None:
        budget = Budget()
        window = Window(budget)
        for sequence in range(20_000):
            window.accept(sequence, 0.0)
        self.assertGreater(window.slots, 2048)
        window.accept(0, 10.0)
        self.assertEqual((window.slots, budget.used), (2048, 2048 * 4))


class FarAhead(SynchronousTestCase):
    def running(self) -> Window:
        window = Window(most=2048)
        for sequence in range(100):
            window.accept(sequence, 0.0)
        return window

    def test_one_forged_number_does_not_deafen_the_stream(self) -> None:
        for forged in (100 + 2048, 100_000, HALF - 1, HALF + 98):
            window = self.running()
            self.assertTrue(window.accept(forged, 0.0))
            self.assertTrue(all(window.accept(n, 0.0) for n in range(100, 5000)))
            self.assertEqual((window.highest, window.lost, window.late, window.far), (4999, 0, 0, 1))

    def test_many_forged_numbers_among_the_streams_own_do_not_either(self) -> None:
        window = self.running()
        for n in range(100, 2000):
            window.accept(1_000_000 + n, 0.0)
            self.assertTrue(window.accept(n, 0.0))
        self.assertEqual((window.highest, window.lost, window.jumps), (1999, 0, 0))

    def test_a_forged_first_number_does_not_either(self) -> None:
        for forged in (0, 1_000_000, HALF, MODULUS - 1):
            window = Window()
            window.accept(forged, 0.0)
            self.assertTrue(all(window.accept(n, 0.0) for n in range(500_000, 500_100)))
            self.assertEqual((window.highest, window.lost), (500_099, 0))

    def test_a_loss_longer_than_the_window_loses_no_further_packet(self) -> None:
        window = self.running()
        new = [window.accept(n, 1.0) for n in range(10_000, 10_100) for _ in range(2)]
        self.assertEqual(new, [True, False] * 100)
        self.assertEqual((window.jumps, window.lost, window.highest), (1, 9_900, 10_099))

    def test_the_second_may_come_before_the_first(self) -> None:
        window = self.running()
        self.assertEqual(
            [window.accept(n, 1.0) for n in (9001, 9000, 9001, 9000, 9002)], [True, True, False, False, True]
        )
        self.assertEqual((window.highest, window.lost, window.jumps), (9002, 9000 - 100, 1))

    def test_a_far_packet_comes_through_once(self) -> None:
        window = self.running()
        self.assertEqual([window.accept(9000, 0.0) for _ in range(3)], [True, False, False])
        self.assertEqual((window.duplicates, window.highest), (2, 99))

    def test_the_packet_that_confirms_a_jump_was_heard(self) -> None:
        window = self.running()
        window.accept(9000, 5.0)
        window.accept(9001, 5.0)
        self.assertFalse(window.accept(9001, 14.9))
        self.assertEqual(window.restarts, 0)

    def test_a_fresh_start_forgets_what_was_far(self) -> None:
        window = self.running()
        self.assertTrue(window.accept(9000, 0.0))
        self.assertTrue(window.accept(100, 10.0))
        self.assertTrue(window.accept(101, 10.0))
        self.assertTrue(window.accept(9000, 10.0))
        self.assertEqual(window.duplicates, 0)

    def test_more_than_2_to_the_31_ahead_is_behind(self) -> None:
        window = self.running()
        self.assertFalse(window.accept(99 + HALF, 0.0))
        self.assertFalse(window.accept(99 + HALF + 1, 0.0))
        self.assertEqual((window.late, window.highest), (2, 99))


class Growth(SynchronousTestCase):
    def test_it_holds_two_seconds_of_packets_at_any_rate(self) -> None:
        for rate, slots in ((100, 2048), (1000, 2048), (1100, 4096), (5000, 16384), (30_000, 65536)):
            window = Window()
            for n in range(4 * rate + 4096):
                window.accept(n, n / rate)
            self.assertEqual(window.slots, slots, rate)
            self.assertGreaterEqual(window.slots, 2 * rate)
            highest = window.highest or 0
            late = window.late
            self.assertFalse(
                any(window.accept(n, n / rate) for n in range(highest - 2 * rate + 1, highest + 1))
            )
            self.assertEqual((window.duplicates, window.late), (2 * rate, late))
            self.assertFalse(window.cramped)

    def test_no_number_is_taken_twice_while_it_grows(self) -> None:
        """Each packet comes again a thousand packets later, by a slower way."""
        window = Window()
        for n in range(60_000):
            self.assertTrue(window.accept(n, n * 1e-5))
            if n >= 1000:
                self.assertFalse(window.accept(n - 1000, n * 1e-5))
        self.assertEqual((window.received, window.duplicates, window.late), (60_000, 59_000, 0))

    def test_what_a_smaller_ring_had_forgotten_stays_late(self) -> None:
        window = Window(slots=16, most=32)
        for n in range(100):
            window.accept(n, 10 * n / 32)  # slow: 16 slots are 5 s
        n = 100
        while window.slots == 16:
            window.accept(n, 32.0)
            n += 1
        self.assertFalse(any(window.accept(old, 32.0) for old in range(n)))
        self.assertEqual(window.duplicates + window.late, n)
        self.assertEqual(window.duplicates, 16)

    def test_it_stops_at_its_most(self) -> None:
        window = Window()
        for n in range(400_000):
            window.accept(n, 0.0)
        self.assertEqual((window.slots, window.cramped), (262_144, True))
        self.assertLessEqual(sys.getsizeof(window._ring), 262_144 * 4 + 100)

    def test_it_is_cramped_no_longer_when_the_stream_slows_down(self) -> None:
        window = Window(most=2048)
        for n in range(3000):
            window.accept(n, 0.0)
        self.assertTrue(window.cramped)
        for n in range(3000, 6000):
            window.accept(n, n / 100)
        self.assertEqual((window.cramped, window.restarts), (False, 1))
        for n in range(6000, 9000):
            window.accept(n, 60.0)
        for n in range(9000, 12_000):
            window.accept(n, 60.0 + (n - 9000) / 1000)
        self.assertEqual((window.cramped, window.restarts), (False, 1))

    def test_a_forged_jump_is_no_rate(self) -> None:
        window = Window()
        for n in range(1000):
            window.accept(n, 0.0)
        for n in range(100):
            window.accept(n * 1_000_000, 0.0)
            window.accept(n * 1_000_000 + 1, 0.0)
        self.assertLessEqual(window.slots, 4096)

    def test_all_windows_of_a_node_stay_within_the_budget(self) -> None:
        budget = Budget(5 * 8192)
        windows = [Window(budget) for _ in range(3)]
        for n in range(9000):
            for window in windows:
                self.assertTrue(window.accept(n, 0.0))
                self.assertLessEqual(budget.used, budget.limit)
        self.assertEqual(sorted(window.slots for window in windows), [2048, 4096, 4096])
        self.assertTrue(all(window.cramped for window in windows))
        self.assertEqual(budget.used, sum(len(window._ring) * 4 for window in windows))
        self.assertTrue(all(not window.accept(n, 0.0) for window in windows for n in range(8000, 9000)))
        for window in windows:
            window.close()
        self.assertEqual(budget.used, 0)

    def test_room_that_becomes_free_is_used(self) -> None:
        budget = Budget(3 * 8192)
        other, window = Window(budget), Window(budget)
        for n in range(4000):
            other.accept(n, 0.0)
        for n in range(9000):
            if n == 5000:
                other.close()
                before = window.slots
            window.accept(n, 0.0)
        self.assertEqual((before, window.slots, window.cramped), (2048, 4096, True))

    def test_sizes_that_are_no_powers_of_two_are_our_own_mistake(self) -> None:
        for slots, most in ((1, 8), (3, 8), (8, 12), (16, 8), (8, 1 << 32), (0, 8)):
            self.assertRaises(ValueError, Window, None, slots, most)


class Elsewhere(SynchronousTestCase):
    """What goes along when a stream is looked at elsewhere."""

    def moved(self, window: Window) -> Window:
        other, known = Window(), window.numbers()
        assert known
        other.adopt(known, 0.0)
        self.assertEqual(known, other.numbers())
        return other

    @given(st.sampled_from((0, 5000, MASK - 700)), st.lists(st.integers(-1200, 1200), max_size=30))
    def test_what_has_come_there_is_no_news_here(self, first: int, steps: list[int]) -> None:
        window = Window()
        numbers = {(first + step) & MASK for step in steps if step < 0} | {first & MASK}
        for number in (first, *numbers):
            window.accept(number, 0.0)
        other = self.moved(window)
        for number in numbers:
            self.assertFalse(other.accept(number, 0.0))
        self.assertTrue(other.accept((window.highest or 0) + 1 & MASK, 0.0))

    def test_a_first_number_that_was_alone_is_not_believed_here_either(self) -> None:
        window = Window()
        window.accept(7, 0.0)
        other = self.moved(window)
        self.assertTrue(other.accept(1 << 20, 0.0))
        self.assertEqual(1 << 20, other.highest)

    def test_nothing_has_come_or_nothing_may_be_concluded_from_it(self) -> None:
        window = Window()
        self.assertIsNone(window.numbers())
        window.accept(7, 0.0)
        window.lapse()
        self.assertIsNone(window.numbers())


class Joined(SynchronousTestCase):
    """A part of the numbers is judged elsewhere for a while, and then all are judged here again."""

    @given(
        st.sampled_from((0, 5000, HALF, MASK - 90)),
        st.sets(st.integers(10, 60)),
        st.sets(st.integers(60, 140), min_size=1),
        st.sets(st.integers(10, 60), max_size=3),
        st.sets(st.integers(60, 200)),
    )
    def test_each_is_taken_once_and_what_is_missing_is_lost(
        self, base: int, ours: set[int], theirs: set[int], late: set[int], behind: set[int]
    ) -> None:
        """We have 0 to 9, then some of 10 to 59; there are some of 60 on, and late ones; then more come."""
        here, there = Window(), Window(slots=KNOWN, most=KNOWN)
        for number in range(10):
            here.accept((base + number) & MASK, 1.0)
        known = here.numbers()
        assert known
        first = min(theirs)
        for number in sorted(ours):
            here.accept((base + number) & MASK, 1.0)
        late -= ours
        behind -= theirs
        # There the first one goes ahead: what is before it is neither lost nor unknown.
        there.adopt(known._replace(top=(base + first) & MASK, first=(base + first) & MASK), 1.0)
        there._clear()
        for number in (*range(10), first):
            there._ring[(base + number) & MASK & there._mask] = (base + number) & MASK
        for number in (*sorted(theirs - {first}), *sorted(late)):
            there.accept((base + number) & MASK, 1.0)
        for number in sorted(behind):  # before the two are joined
            here.accept((base + number) & MASK, 1.0)
        joining = there.numbers()
        assert joining
        here.join(joining)
        seen = {*range(10), *ours, *late, *theirs, *behind}
        self.assertEqual((base + max(seen)) & MASK, here.numbers().top)
        self.assertEqual(max(seen) + 1 - len(seen), here.lost + there.lost)
        for number in range(max(seen) + 1):
            self.assertEqual(number not in seen, here.accept((base + number) & MASK, 2.0), number)
        self.assertEqual(0, here.lost + there.lost)

    def test_the_ring_grows_for_those_that_wait(self) -> None:
        budget = Budget()
        window = Window(budget)
        window.accept(7, 1.0)
        window.accept(8, 1.0)
        window.join(Numbers(10_000, 1 << KNOWN - 1, 2.0, 10_000, False))
        self.assertEqual(16_384, window.slots)
        self.assertEqual((True, False), (window.accept(9, 2.0), window.accept(8, 2.0)))
        self.assertEqual(9_990, window.lost)
        window.close()
        self.assertEqual(0, budget.used)

    def test_but_not_beyond_the_budget_and_then_they_are_late(self) -> None:
        budget = Budget(SLOTS * 8)
        window = Window(budget)
        window.accept(7, 1.0)
        window.accept(8, 1.0)
        window.join(Numbers(10_000, 1 << KNOWN - 1, 2.0, 10_000, False))
        self.assertEqual(SLOTS * 2, window.slots)
        self.assertEqual(
            (False, False, True),
            (window.accept(9, 2.0), window.accept(10_000, 2.0), window.accept(10_001, 2.0)),
        )
        self.assertLessEqual(budget.used, budget.limit)

    def test_what_is_known_of_long_ago_replaces_nothing(self) -> None:
        window = Window()
        for number in (4600, 5000):
            window.accept(number, 1.0)
        window.join(Numbers(4600 - SLOTS, 1 << KNOWN - 1, 1.0, 4600 - SLOTS, False))
        self.assertEqual([False, False, True], [window.accept(number, 1.0) for number in (4600, 5000, 4601)])

    def test_what_was_never_expected_here_was_not_lost(self) -> None:
        window = Window()
        for number in (100, 101, 103):
            window.accept(number, 1.0)
        window.join(Numbers(98, 1 << KNOWN - 1, 1.0, 98, False))
        self.assertEqual(1, window.lost)
        window.join(Numbers(102, 1 << KNOWN - 1, 1.0, 102, False))
        self.assertEqual(0, window.lost)

    def test_what_was_heard_elsewhere_was_heard_and_confirms_what_was_alone_here(self) -> None:
        window = Window()
        window.accept(7, 1.0)
        window.join(Numbers(9, 1 << KNOWN - 1, 9.0, 9, False))
        self.assertEqual([False, False], [window.accept(number, 12.0) for number in (9, 9 - 5_000 & MASK)])

    def test_who_is_alone_there_is_not_believed(self) -> None:
        window = Window()
        window.accept(7, 1.0)
        window.accept(8, 1.0)
        window.join(Numbers(1 << 30, 1 << KNOWN - 1, 2.0, 1 << 30, True))
        self.assertEqual((True, 0, SLOTS), (window.accept(9, 2.0), window.lost, window.slots))

    def test_but_where_it_is_near_it_is(self) -> None:
        for begun in (True, False):
            window = Window()
            for number in (7, 8)[begun:]:
                window.accept(number, 1.0)
            window.join(Numbers(10, 1 << KNOWN - 1, 2.0, 10, True))
            self.assertEqual((1, 10), (window.lost, window.highest))
            self.assertEqual([False, False, True], [window.accept(number, 2.0) for number in (10, 8, 9)])
            self.assertEqual((True, 10), (window.accept(1 << 30, 2.0), window.highest))

    def test_nor_who_is_alone_here(self) -> None:
        window = Window()
        window.accept(1 << 30, 1.0)
        window.join(Numbers(11, 7 << KNOWN - 3, 2.0, 9, False))
        self.assertEqual([False, True], [window.accept(number, 2.0) for number in (10, 12)])
        window = Window()
        window.accept(8, 1.0)
        window.join(Numbers(11, 7 << KNOWN - 3, 2.0, 9, False))
        self.assertEqual([False, False, True], [window.accept(number, 2.0) for number in (8, 10, 7)])

    def test_nor_does_one_replace_the_other_where_both_are_alone(self) -> None:
        window = Window()
        window.accept(7, 1.0)
        window.join(Numbers(1 << 30, 1 << KNOWN - 1, 2.0, 1 << 30, True))
        self.assertEqual([False, True], [window.accept(number, 2.0) for number in (7, 8)])
        self.assertEqual((0, 8), (window.lost, window.highest))

    def test_a_jump_has_it_grow_only_as_far_as_a_socket_holds(self) -> None:
        window = Window()
        window.accept(7, 1.0)
        window.accept(8, 1.0)
        window.join(Numbers(1 << 30, 3 << KNOWN - 2, 2.0, 1 << 30, False))
        self.assertEqual((True, MOST_WAITING), (window.accept((1 << 30) + 1, 2.0), window.slots))

    def test_what_was_judged_there_more_than_a_window_ago_is_known(self) -> None:
        window = Window()
        for number in (7, 8, 11):
            window.accept(number, 1.0)
        window.join(Numbers(3_000, (1 << KNOWN) - 1, 2.0, 20, False))
        self.assertEqual(2 + 8, window.lost)
        self.assertEqual([False] * 3, [window.accept(number, 2.0) for number in (20, 1_000, 2_999)])
        self.assertEqual([True] * 3, [window.accept(number, 2.0) for number in (9, 12, 19)])

    def test_one_that_lapsed_goes_on_where_the_other_is(self) -> None:
        window = Window()
        window.accept(7, 1.0)
        window.lapse()
        window.join(Numbers(500, 3 << KNOWN - 2, 2.0, 499, False))
        self.assertEqual(
            (False, False, True), (window.accept(499, 2.0), window.accept(500, 2.0), window.accept(501, 2.0))
        )


class SeenBelow(SynchronousTestCase):
    @given(
        st.sampled_from((0, 5000, HALF, MASK - 30)),
        st.integers(-1100, 1100),
        st.sets(st.integers(0, KNOWN - 1)),
    )
    def test_another_top_sees_the_same_numbers(self, top: int, apart: int, backs: set[int]) -> None:
        known = Numbers(top, sum(1 << KNOWN - 1 - back for back in backs), 1.0, top, False)
        other = (top + apart) & MASK
        seen = known.seen_below(other)
        self.assertEqual(
            {(top - back) & MASK for back in backs if 0 <= back + apart < KNOWN},
            {(other - back) & MASK for back in range(KNOWN) if seen >> KNOWN - 1 - back & 1},
        )
        self.assertEqual(apart < 0, known.is_ahead_of(other))

    def test_a_number_far_away_shifts_nothing_that_far(self) -> None:
        known = Numbers(5, 1 << KNOWN - 1, 1.0, 5, False)
        self.assertEqual((0, 0), (known.seen_below(HALF + 5), known.seen_below(5 + HALF - 1)))
