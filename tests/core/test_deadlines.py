"""Deadlines against a dict that is searched in full."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.deadlines import SMALL, Deadlines

keys = st.integers(0, 5)
times = st.integers(0, 30).map(float)


class DeadlineTests(SynchronousTestCase):
    @given(
        st.lists(st.one_of(st.tuples(keys, times), st.tuples(keys, st.none()), st.tuples(st.none(), times)))
    )
    def test_it_rings_as_a_searched_dict_does(self, doings):
        deadlines, naive = Deadlines(), {}
        for key, at in doings:
            if key is None:
                due = set(deadlines.due(at))
                self.assertEqual(due, {k for k, when in naive.items() if when <= at})
                naive = {k: when for k, when in naive.items() if when > at}
            elif at is None:
                deadlines.forget(key)
                naive.pop(key, None)
            else:
                deadlines.wind(key, at)
                naive[key] = min(at, naive.get(key, inf))
            self.assertEqual(deadlines.deadline(), min(naive.values(), default=inf))

    def test_a_deadline_that_moves_away_costs_no_entry(self):
        deadlines = Deadlines()
        for at in range(1000):
            deadlines.wind(1, float(at))
        self.assertEqual(len(deadlines._heap), 1)

    def test_one_that_comes_nearer_again_and_again_does_not_grow_the_heap(self):
        deadlines = Deadlines()
        for at in range(10_000, 0, -1):
            deadlines.wind(1, float(at))
        self.assertLessEqual(len(deadlines._heap), SMALL + 2)
        self.assertEqual(deadlines.deadline(), 1.0)

    def test_a_key_may_be_wound_again_while_it_rings(self):
        deadlines = Deadlines()
        deadlines.wind(1, 1.0)
        rung = []
        for key in deadlines.due(5.0):
            rung.append(key)
            deadlines.wind(key, 6.0)
        self.assertEqual((rung, deadlines.deadline()), ([1], 6.0))

    def test_what_a_nearer_ring_replaced_does_not_ring_any_more(self):
        deadlines = Deadlines()
        deadlines.wind(1, 20.0)
        deadlines.wind(1, 5.0)
        deadlines.wind(2, 6.0)  # above the entry of 20, which so is not swept at once
        self.assertEqual(list(deadlines.due(5.0)), [1])
        deadlines.wind(1, 30.0)
        self.assertEqual((list(deadlines.due(25.0)), deadlines.deadline()), ([2], 30.0))

    def test_never_is_no_deadline(self):
        deadlines = Deadlines()
        deadlines.wind(1, inf)
        self.assertEqual((deadlines.deadline(), list(deadlines.due(1e9))), (inf, []))
