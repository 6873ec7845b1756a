"""What is said while it runs."""

from twisted.trial import unittest

from simulator import progress
from simulator.loop import Loop
from simulator.progress import Watch


class AWatch(unittest.TestCase):
    def setUp(self):
        self.said, self.clock, self.loop = [], 0.0, Loop()
        self.patch(progress, "perf_counter", lambda: self.clock)
        self.watch = Watch(self.said.append, "ten: 10 nodes, seed 1", 100.0)

    def simulate(self, seconds, took):
        """An event every tenth of a second."""
        for step in range(int(seconds * 10)):
            self.loop.at(self.loop.now + step / 10, int)
        self.loop.run(self.loop.now + seconds)
        self.clock += took
        self.watch()

    def test_it_says_how_far_it_is_how_fast_and_how_long_it_will_take(self):
        self.watch.part(self.loop, "joining", 0.0)
        self.simulate(20.0, 10.0)
        self.assertEqual(
            self.said,
            ["ten: 10 nodes, seed 1, joining: 20 of 100 s simulated, 20 events/s, 40 s left"],
        )

    def test_it_does_not_say_so_all_the_time(self):
        self.watch.part(self.loop, "joining", 0.0)
        self.simulate(1.0, 0.5)
        self.assertEqual(self.said, [])

    def test_what_happens_in_a_fork_counts_from_where_it_began(self):
        self.simulate(20.0, 10.0)
        self.watch.part(self.loop, "crash", 60.0)
        self.simulate(10.0, 60.0)
        self.assertIn("crash: 70 of 100 s simulated", self.said[-1])
        self.assertIn("3 min left", self.said[-1])
