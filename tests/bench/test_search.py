"""Does the search find a contestant's limit, in few runs, whatever its runs do?"""

from collections.abc import Callable

from twisted.trial.unittest import TestCase

from bench.race.search import CEILING, DOWN, FLOOR, Bracket, again, bisect, bracket, highest


class Contestant:
    """One that holds up to a limit; `luck` of its runs fails regardless."""

    def __init__(self, limit: float, luck: Callable[[int], bool] = lambda number: False) -> None:
        self.limit = limit
        self.luck = luck
        self.runs = 0

    def holds(self, rate: float) -> bool:
        self.runs += 1
        return rate <= self.limit and not self.luck(self.runs)


class SearchTests(TestCase):
    def test_the_limit_is_found_from_below_and_from_above(self) -> None:
        for limit in (60, 999, 8_000, 43_210, 1_500_000):
            contestant = Contestant(limit)
            found = highest(contestant.holds, contestant.holds, 8_000, 2.0, 1.05)
            self.assertTrue(limit / 1.05 <= found <= limit, (limit, found))
            self.assertLess(contestant.runs, 25)

    def test_a_known_neighbourhood_makes_it_short(self) -> None:
        contestant = Contestant(20_000)
        found = highest(contestant.holds, contestant.holds, 19_000, 1.25, 1.05)
        self.assertTrue(19_000 <= found <= 20_000, found)
        self.assertLess(contestant.runs, 8)

    def test_one_that_holds_nothing_is_found_out_and_ends(self) -> None:
        contestant = Contestant(0)
        self.assertEqual(0.0, highest(contestant.holds, contestant.holds, 8_000, 2.0, 1.05))
        self.assertLess(contestant.runs, 15)

    def test_one_without_a_limit_ends_at_the_ceiling(self) -> None:
        contestant = Contestant(1e12)
        self.assertEqual(CEILING, highest(contestant.holds, contestant.holds, 8_000, 2.0, 1.05))

    def test_a_rate_that_short_runs_hold_and_full_ones_do_not_goes_down(self) -> None:
        short, full = Contestant(20_000), Contestant(17_000)
        found = highest(short.holds, full.holds, 8_000, 2.0, 1.05)
        self.assertTrue(17_000 / 1.05 <= found <= 17_000, found)

    def test_a_full_run_that_never_holds_gives_nothing_but_an_end(self) -> None:
        full = Contestant(0)
        self.assertEqual(0.0, highest(Contestant(20_000).holds, full.holds, 8_000, 2.0, 1.05))
        self.assertLessEqual(full.runs, DOWN)

    def test_a_neighbours_burst_costs_a_run_and_not_the_rate(self) -> None:
        contestant = Contestant(20_000, luck=lambda number: number % 2 == 1)  # every other run fails
        found = highest(again(contestant.holds), again(contestant.holds), 8_000, 2.0, 1.05)
        self.assertTrue(20_000 / 1.05 <= found <= 20_000, found)

    def test_a_rate_that_holds_is_not_tried_twice(self) -> None:
        contestant = Contestant(20_000)
        self.assertTrue(again(contestant.holds)(10_000))
        self.assertEqual(1, contestant.runs)
        self.assertFalse(again(contestant.holds)(30_000))
        self.assertEqual(3, contestant.runs)

    def test_a_bracket_has_the_limit_inside(self) -> None:
        for limit in (100, 5_000, 300_000):
            held, failed = bracket(Contestant(limit).holds, 8_000, 2.0)
            self.assertTrue(held <= limit < failed <= 2 * held + 1, (held, limit, failed))

    def test_below_the_floor_nothing_is_looked_for(self) -> None:
        self.assertEqual(Bracket(0.0, FLOOR), bracket(Contestant(FLOOR / 2).holds, 8_000, 2.0))

    def test_what_is_no_bracket_is_not_halved(self) -> None:
        contestant = Contestant(1)
        for found in (Bracket(0.0, 50.0), Bracket(50.0, float("inf"))):
            self.assertEqual(found, bisect(contestant.holds, found, 1.05))
        self.assertEqual(0, contestant.runs)
