"""Quantiles, medians and ratios: a round is compared with its own native turns and no other's."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from bench.race import figures

RATE = figures.PLACES["rate_1316"]
Turns = list[dict[str, Any]]


def turn(name: str, rate: float) -> dict[str, Any]:
    return {"contestant": name, "rate": {"1316": {"rate": rate}}}


class QuantileTests(TestCase):
    @given(st.lists(st.integers(0, 10**9), min_size=1, max_size=2_000))
    def test_a_histograms_quantiles_are_those_of_its_values(self, values: list[int]) -> None:
        ordered = sorted(values)
        histogram = [(value, ordered.count(value)) for value in sorted(set(ordered))]
        found = figures.quantiles(histogram)
        for name, share in figures.QUANTILES.items():
            self.assertEqual(ordered[min(int(share * len(ordered)), len(ordered) - 1)] / 1e3, found[name])

    def test_without_a_packet_there_is_no_delay(self) -> None:
        self.assertTrue(all(math.isnan(value) for value in figures.quantiles([]).values()))


class RatioTests(TestCase):
    rounds: list[Turns] = [
        [turn("native", 100), turn("x", 50), turn("native", 100)],
        [turn("native", 40), turn("x", 30), turn("native", 60)],  # a busy hour, and for both
        [turn("native", 100), turn("x", 40), turn("native", 100)],
    ]

    def test_a_ratio_is_taken_inside_a_round(self) -> None:
        self.assertEqual([0.5, 0.6, 0.4], figures.ratios(self.rounds, "x", RATE))

    def test_the_median_of_the_ratios_is_shown_and_not_the_ratio_of_the_medians(self) -> None:
        record = {"contestants": {"native": {}, "x": {}}, "rounds": self.rounds, "skipped": {}}
        row = figures.summarise(record)["x"]
        self.assertEqual(
            (0.5, 40, [30, 50]), (row["rate_1316_ratio"], row["rate_1316"], row["rate_1316_range"])
        )

    def test_drift_is_what_the_machine_did_between_the_two_native_turns(self) -> None:
        self.assertEqual([1.0, 1.5, 1.0], figures.drift(self.rounds, RATE))

    def test_a_round_in_which_a_contestant_failed_has_no_ratio(self) -> None:
        failed = {"contestant": "x", "failed": "it ended"}
        rounds = [*self.rounds, [turn("native", 100), failed, turn("native", 100)]]
        self.assertEqual([0.5, 0.6, 0.4], figures.ratios(rounds, "x", RATE))
        record = {"contestants": {"native": {}, "x": {}}, "rounds": rounds, "skipped": {}}
        self.assertEqual({"x": ["it ended"]}, figures.failures(record))

    def test_one_that_failed_always_is_in_no_table(self) -> None:
        rounds = [[turn("native", 100), {"contestant": "x", "failed": "it ended"}]]
        record = {"contestants": {"native": {}, "x": {}}, "rounds": rounds, "skipped": {}}
        self.assertEqual(["native"], list(figures.summarise(record)))

    def test_a_round_without_native_has_no_ratio(self) -> None:
        self.assertEqual([], figures.ratios([[turn("x", 5)]], "x", RATE))

    def test_a_figure_that_is_no_number_is_none(self) -> None:
        self.assertIsNone(figures.look_up({"delay": {"150": {"p50": math.nan}}}, ("delay", "150", "p50")))
