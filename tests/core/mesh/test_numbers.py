from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.numbers import MASK, ahead, among, each, ranges
from multicastmw.wire.mesh import Range

NUMBERS = st.integers(0, MASK)


class NumbersTest(TestCase):
    @given(NUMBERS, st.integers(1, (1 << 31) - 1))
    def test_a_number_is_ahead_of_those_up_to_half_of_all_behind_it(self, number: int, step: int) -> None:
        self.assertTrue(ahead(number + step & MASK, number))
        self.assertFalse(ahead(number, number + step & MASK))

    @given(NUMBERS, st.sets(st.integers(0, 300)))
    def test_ranges_hold_the_numbers_that_went_in_also_across_the_end_of_all(
        self, start: int, steps: set[int]
    ) -> None:
        numbers = [start + step & MASK for step in sorted(steps)]
        found = ranges(numbers, 1_000)
        self.assertEqual(list(each(found, 1_000)), numbers)
        for step in range(301):
            self.assertEqual(among(start + step & MASK, found), step in steps)

    def test_ranges_and_their_numbers_end_at_the_bound(self) -> None:
        self.assertEqual(ranges([1, 3, 5, 7], 2), (Range(1, 1), Range(3, 3)))
        self.assertEqual(list(each((Range(5, 4),), 3)), [5, 6, 7])  # all there are, says a liar
        self.assertEqual(list(each((Range(1, 2), Range(8, 9)), 3)), [1, 2, 8])
