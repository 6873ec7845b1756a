"""When a node asks its seeds: at once when it is alone, and seldom while it is not."""

from itertools import pairwise
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.mesh.seedtimes import ALONE, ALONE_MOST, GREETS, JITTER, SeedTimes

LATER = 1_000.0


def asked(times: SeedTimes, alone: bool, begin: float, seconds: float) -> list[float]:
    """When it asks in so many seconds, counted from `begin`; the first look is at `begin`."""
    found, now = [], begin
    while now < begin + seconds:
        if times.tick(alone, now):
            found.append(now - begin)
        now = times.due
    return found


class Times(SynchronousTestCase):
    def setUp(self) -> None:
        self.times = SeedTimes(Random(1))
        self.times.start(0.0)

    def test_who_starts_asks_at_once_and_then_after_ever_longer_waits(self) -> None:
        found = asked(self.times, True, 0.0, 120.0)
        waits = [later - earlier for earlier, later in pairwise(found)]
        self.assertEqual(0.0, found[0])
        for place, wait in enumerate(waits):
            usual = min(ALONE_MOST, ALONE * 2**place)
            self.assertTrue(usual * JITTER[0] <= wait <= usual * JITTER[1], waits)

    def test_who_has_neighbours_asks_seldom(self) -> None:
        found = asked(self.times, False, 0.0, 3_600.0)
        self.assertTrue(3_600 / GREETS[1] <= len(found) <= 3_600 / GREETS[0] + 1, len(found))

    def test_who_loses_the_last_neighbour_asks_at_once_and_again_half_a_second_later(self) -> None:
        asked(self.times, True, 0.0, 120.0)  # until the wait is the longest
        asked(self.times, False, 120.0, LATER - 120.0)
        self.assertGreater(self.times.due, LATER + 1)
        found = asked(self.times, True, LATER, 2.0)
        self.assertEqual(0.0, found[0])
        self.assertLessEqual(found[1], ALONE * JITTER[1])
