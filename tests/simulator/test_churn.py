"""Sessions, uplinks and arrivals are as the trace's figures say."""

from itertools import islice, pairwise
from math import log
from random import Random
from statistics import fmean, pstdev

from twisted.trial import unittest

from simulator import churn

N = 20_000


def quantile(values, share):
    return sorted(values)[int(share * len(values))]


class Sessions(unittest.TestCase):
    def setUp(self):
        self.lengths = list(islice(churn.sessions(Random(1)), N))

    def test_their_quantiles_are_the_traces(self):
        for share, stated in churn.SESSIONS:
            self.assertApproximates(quantile(self.lengths, share) / stated, 1, 0.12)

    def test_their_mean_and_spread_are_about_the_traces(self):
        self.assertApproximates(fmean(self.lengths), 2400, 150)
        self.assertApproximates(churn.mean_session(), 2400, 20)
        self.assertApproximates(pstdev(map(log, self.lengths)), 2.2, 0.2)

    def test_none_is_longer_than_a_day(self):
        self.assertLessEqual(max(self.lengths), churn.DAY)
        self.assertEqual(churn.SESSION.at(1 - 1e-9), churn.DAY)

    def test_who_is_there_already_leaves_as_often_as_others_come(self):
        """4.15 of 10^4 a second at first; later fewer, as those who came meanwhile leave, too."""
        left = list(islice(churn.remaining(Random(2)), 5 * N))
        rate = 1e4 / churn.mean_session()
        for start, end in ((0, 5), (60, 70)):
            leaving = sum(start <= each < end for each in left) / (5 * N) * 1e4 / (end - start)
            newcomers_gone = sum(each < end for each in self.lengths) / N
            self.assertApproximates(leaving / rate, 1 - newcomers_gone, 0.1)


class Uplinks(unittest.TestCase):
    def setUp(self):
        self.uplinks = list(islice(churn.uplinks(Random(3)), N))
        self.giving = [uplink for uplink in self.uplinks if uplink]

    def test_their_quantiles_are_the_traces(self):
        self.assertTrue(0.40 < 1 - len(self.giving) / N < 0.45)
        for share, stated in churn.UPLINKS:
            self.assertApproximates(quantile(self.giving, share) / stated, 1, 0.03)

    def test_the_best_tenth_of_the_sessions_gives_most_of_the_upload(self):
        lengths = islice(churn.sessions(Random(4)), N)
        given = sorted(uplink * length for uplink, length in zip(self.uplinks, lengths, strict=True))
        self.assertApproximates(sum(given[N * 9 // 10 :]) / sum(given), 0.83, 0.015)


class Arrivals(unittest.TestCase):
    def test_poisson_has_its_rate_and_exponential_gaps(self):
        times = list(islice(churn.poisson(50.0, Random(5)), N))
        gaps = [later - earlier for earlier, later in pairwise(times)]
        self.assertApproximates(fmean(gaps) * 50, 1, 0.02)
        self.assertApproximates(pstdev(gaps) * 50, 1, 0.03)
        self.assertGreater(min(gaps), 0)

    def test_ten_thousand_members_make_four_departures_a_second(self):
        times = churn.departures(10_000, Random(6))
        self.assertApproximates(1000 / list(islice(times, 1000))[-1], 4.15, 0.4)

    def test_a_flash_crowd_comes_in_its_time_and_in_order(self):
        times = churn.flash_crowd(1000, 10.0, Random(7))
        self.assertEqual((len(times), times), (1000, sorted(times)))
        self.assertTrue(times[0] >= 0 and times[-1] <= 10)
        self.assertApproximates(fmean(times), 5, 0.3)

    def test_all_is_the_same_with_the_same_seed(self):
        for draw in (churn.sessions, churn.uplinks, churn.remaining):
            self.assertEqual(list(islice(draw(Random(8)), 50)), list(islice(draw(Random(8)), 50)))
            self.assertNotEqual(list(islice(draw(Random(8)), 50)), list(islice(draw(Random(9)), 50)))
