"""What the overlay's numbers say of the way."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.health.way import ANY_NUMBER, FLOWS_MAX, LATE, NEW, REPEATED, Way
from multicastmw.core.window import Budget

ORIGIN, OTHER = 0x11 << 16, 0x22 << 16


class WayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.budget = Budget()
        self.way = Way(self.budget, 0.0)

    def takes(self, *numbers: int, origin: int = ORIGIN, flags: int = 0) -> list[int]:
        return [self.way.accept(origin, flags, number, 0, 0.001 * number) for number in numbers]

    def test_a_row_is_no_break(self) -> None:
        self.assertEqual([NEW] * 5, self.takes(7, 8, 9, 10, 11))
        self.assertEqual((0, 0, 0), (self.way.room, self.way.breaks, self.way.lost))

    def test_a_hole_has_its_size(self) -> None:
        self.takes(7, 8, 12)
        self.assertEqual((3, 1, 3), (self.way.room, self.way.breaks, self.way.lost))
        self.takes(13, 15)
        self.assertEqual((4, 2, 4), (self.way.room, self.way.breaks, self.way.lost))

    def test_one_behind_its_turn_is_a_break_before_and_after_itself(self) -> None:
        self.takes(7, 9)
        breaks = self.way.breaks
        self.assertEqual([LATE], self.takes(8))
        self.assertEqual(breaks + 1, self.way.breaks)
        self.assertEqual([NEW], self.takes(10))
        self.assertEqual((breaks + 2, 0, 1), (self.way.breaks, self.way.lost, self.way.reordered))
        self.assertEqual([NEW], self.takes(11))
        self.assertEqual(breaks + 2, self.way.breaks)

    def test_twice_is_no_break(self) -> None:
        self.assertEqual([NEW, NEW, REPEATED, REPEATED, NEW], self.takes(7, 8, 7, 8, 9))
        self.assertEqual((0, 2), (self.way.breaks, self.way.duplicates))

    def test_another_count_may_hide_anything(self) -> None:
        self.takes(7, 8)
        self.takes(100, 101, flags=1)
        self.assertEqual((ANY_NUMBER, 1, 0), (self.way.room, self.way.breaks, self.way.lost))
        self.takes(9)
        self.assertEqual((2, 0), (self.way.breaks, self.way.lost))

    def test_counts_are_bounded_and_what_they_counted_stays(self) -> None:
        for salt in range(20):
            self.takes(1, 3, origin=ORIGIN + salt)
        self.assertEqual((20, 40), (self.way.lost, self.way.received))
        self.assertLessEqual(len(self.way._flows), FLOWS_MAX)
        self.way.close()
        self.assertEqual(0, self.budget.used)

    def test_the_delay_is_that_above_the_shortest(self) -> None:
        for number in range(100):
            late = 0.05 if number == 90 else 0.002 * (number % 2)
            now = 5.0 + number / 100 + late
            sent = int((9_999.0 + number / 100) * 1e6) & 0xFFFFFFFF
            self.way.accept(ORIGIN, 0, number, sent, now)
        delay, longest = self.way.above_shortest()
        self.assertAlmostEqual(0.05, longest, places=4)
        self.assertLess(0.0005, delay)
        self.assertLess(delay, 0.01)

    def test_origin_times_wrap(self) -> None:
        for number in range(10):
            self.way.accept(
                ORIGIN, 0, number, 0xFFFFFFFF - 50_000 + number * 10_000 & 0xFFFFFFFF, number / 100
            )
        self.assertLess(self.way.above_shortest()[1], 0.001)

    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 0xFFFFFFFF),
                              st.integers(0, 0xFFFFFFFF)), max_size=100))  # fmt: skip
    def test_whatever_numbers_come_counts_only_grow(self, packets: list[tuple[int, int, int, int]]) -> None:
        way, room, breaks = Way(Budget(), 0.0), 0, 0
        for turn, (origin, flags, sequence, sent) in enumerate(packets):
            way.accept(origin << 16, flags, sequence, sent, turn / 10)
            self.assertGreaterEqual(way.room, room)
            self.assertGreaterEqual(way.breaks, breaks)
            room, breaks = way.room, way.breaks
        self.assertGreaterEqual(way.lost, 0)
        way.above_shortest()
