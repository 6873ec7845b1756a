"""Which runs a group has."""

from concurrent.futures import ThreadPoolExecutor

from twisted.trial import unittest

from simulator import runs
from simulator.table import Group


class WhichSeeds(unittest.TestCase):
    def setUp(self):
        self.patch(runs, "run", lambda name, shape, *_: {"calm": {"seed": shape.seed}})

    def seeds(self, *asked):
        groups = [Group("some", "some", 10, ("calm",), ()), Group("few", "few", 20, ("calm",), (), seeds=3)]
        found = runs.run_all(groups, asked, ThreadPoolExecutor(1))
        return [[each["calm"]["seed"] for each in result.runs] for result in found]

    def test_each_group_has_those_that_are_asked_for(self):
        self.assertEqual([[1, 2], [1, 2]], self.seeds(1, 2))

    def test_but_no_more_than_it_is_judged_by(self):
        self.assertEqual([[1, 2, 3, 4, 5], [1, 2, 3]], self.seeds(1, 2, 3, 4, 5))

    def test_one_alone_may_be_any(self):
        self.assertEqual([[9], [9]], self.seeds(9))
