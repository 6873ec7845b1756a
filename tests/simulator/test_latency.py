"""Measured round-trip times as they stand in the file, and coordinates that are like them."""

import gzip
import tracemalloc
from pathlib import Path
from random import Random
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from simulator import latency


def quantiles(places, seed=1, pairs=10_000):
    rng = Random(seed)
    times = sorted(places.rtt(*rng.sample(range(len(places)), 2)) for _ in range(pairs))
    return [times[int(share * pairs)] for share in (0.05, 0.5, 0.95)]


class Synthetic(unittest.TestCase):
    def test_it_is_as_far_apart_as_planetlab(self):
        for n, wide in ((300, 0.5), (10_000, 0.15)):
            for seed in range(3):
                found = quantiles(latency.synthetic(n, Random(seed)))
                for value, stated, tolerance in zip(found, (latency.P5, latency.P50, latency.P95),
                                                    (wide, 0.06, wide / 2), strict=True):  # fmt: skip
                    self.assertApproximates(value / stated, 1, tolerance)

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 60), st.integers())
    def test_it_is_symmetric_and_positive_and_no_way_round_is_shorter(self, n, seed):
        rng = Random(seed)
        places = latency.synthetic(n, rng)
        self.assertEqual(len(places), n)
        for _ in range(50):
            i, j, k = (rng.randrange(n) for _ in range(3))
            self.assertEqual(places.rtt(i, j), places.rtt(j, i))
            self.assertEqual(places.rtt(i, j) > 0, i != j)
            self.assertLessEqual(places.rtt(i, j), places.rtt(i, k) + places.rtt(k, j) + 1e-9)

    def test_it_needs_no_matrix_in_memory(self):
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        places = latency.synthetic(5_000, Random(1))
        self.assertLess(tracemalloc.get_traced_memory()[0], 200 * len(places))

    def test_the_same_seed_gives_the_same_places(self):
        self.assertEqual(*(quantiles(latency.synthetic(100, Random(5))) for _ in range(2)))


class Measured(unittest.TestCase):
    """The reader, with a small file of the same form; and PlanetLab's own where it is there."""

    ROWS = ("0.0 10.0 20.5", "10.0 0.0 300.0", "20.5 300.0 0.0")

    def setUp(self):
        path = Path(self.mktemp())
        path.write_bytes(gzip.compress("\n".join(self.ROWS).encode()))
        patch = mock.patch.object(latency, "PLANETLAB", path)
        patch.start()
        self.addCleanup(patch.stop)

    def test_as_many_places_as_sites_have_the_files_times(self):
        places = latency.planetlab(3, Random(1))
        times = sorted(places.rtt(i, j) for i in range(3) for j in range(i))
        self.assertEqual((len(places), times), (3, [0.01, 0.0205, 0.3]))
        self.assertEqual([places.rtt(i, i) for i in range(3)], [0, 0, 0])

    def test_fewer_places_are_some_of_the_sites(self):
        found = {latency.planetlab(2, Random(seed)).rtt(0, 1) for seed in range(30)}
        self.assertEqual(found, {0.01, 0.0205, 0.3})

    def test_more_places_share_sites_behind_a_small_last_mile(self):
        places = latency.planetlab(300, Random(1))
        extra = [min(abs(places.rtt(i, j) - site) for site in (0, 0.01, 0.0205, 0.3))
                 for i in range(300) for j in range(i)]  # fmt: skip
        self.assertEqual(len(places), 300)
        self.assertLess(sum(extra) / len(extra), 3 * latency.LAST_MILE)
        self.assertTrue(all(places.rtt(i, j) > 0 for i in range(300) for j in range(i)))
        self.assertTrue(all(places.rtt(i, j) == places.rtt(j, i) for i in range(300) for j in range(i)))


class PlanetLab(unittest.TestCase):
    if not latency.measured():
        skip = "the matrix is not beside the project"

    def test_it_has_the_quantiles_that_are_told_of_it(self):
        for n in (490, 2000):
            found = quantiles(latency.planetlab(n, Random(1)))
            for value, stated in zip(found, (latency.P5, latency.P50, latency.P95), strict=True):
                self.assertApproximates(value, stated, 0.012)
