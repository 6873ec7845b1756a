from twisted.trial.unittest import TestCase

from multicastmw.core.estimate import Estimate


class EstimateTest(TestCase):
    def setUp(self) -> None:
        self.lag = Estimate()

    def measure(self, *values: float) -> tuple[float, float]:
        for value in values:
            self.lag.measure(value)
        return self.lag.mean, self.lag.swing

    def test_what_was_not_measured_is_nothing(self) -> None:
        self.assertEqual(self.measure(), (0, 0))

    def test_the_first_value_may_be_half_of_itself_away_on_either_side(self) -> None:
        self.assertEqual(self.measure(-0.08), (-0.08, 0.04))

    def test_a_first_value_of_nothing_is_one(self) -> None:
        self.assertEqual(self.measure(0.0, 0.08), (0.02, 0.02))

    def test_the_swing_follows_the_difference_to_the_mean_before_it(self) -> None:
        self.assertEqual(self.measure(8.0, 16.0), (10.0, 5.0))

    def test_what_stays_the_same_swings_no_more(self) -> None:
        mean, swing = self.measure(1.0, *[2.0] * 40)
        self.assertAlmostEqual(mean, 2.0, places=3)
        self.assertLess(swing, 0.002)
