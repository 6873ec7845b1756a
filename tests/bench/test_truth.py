"""What real nodes did beside what the simulator says of it."""

from twisted.trial.unittest import TestCase

from bench.wan.report import Aftermath, Film, Kill, Seen
from bench.wan.truth import beside, untrue
from simulator.film import Outcome


def film(*gaps: float) -> Film:
    """One kill, which cut off a receiver for each of these (ms); one of all was so a while before it, too."""
    names = [f"r{number}" for number in range(len(gaps))]
    seen = {name: Seen(100, 100, 0, 0, 0, 0, 0.0, (40.0, 50.0, 60.0), 0) for name in names}
    kill = Aftermath(Kill(1.0, "x"), names, names[:1], dict(zip(names, gaps, strict=True)), {}, None)
    return Film(10.0, 100, {}, 0.0, seen, [kill])


def outcome(*gaps: float) -> Outcome:
    """The same in a simulated film, in seconds."""
    return Outcome(1, list(gaps), 1, 0, 0.05)


class TruthTest(TestCase):
    def test_counts_are_means_and_times_medians_of_the_runs(self) -> None:
        rows = beside(film(110.0, 130.0, 300.0), [outcome(0.1, 0.2), outcome(0.15), outcome(0.12, 0.14, 0.4)])
        found = {row.name: (row.real, round(row.simulated, 3)) for row in rows}
        self.assertEqual(
            {
                "cut off at a kill, receivers": (3.0, 2.0), "in a second before it": (1.0, 1.0),
                "outage, median": (130.0, 150.0), "outage, worst": (300.0, 200.0),
                "delay through the tree": (40.0, 50.0),
            },
            found,
        )  # fmt: skip

    def test_an_outage_that_differs_by_more_than_half_is_named(self) -> None:
        told = [outcome(0.1, 0.1, 0.2)]
        self.assertEqual([], untrue(beside(film(51.0, 149.0, 290.0), told)))
        self.assertEqual(["outage, worst"], untrue(beside(film(100.0, 100.0, 310.0), told)))
        self.assertEqual(["outage, median"], untrue(beside(film(10.0, 40.0, 200.0), told)))

    def test_where_all_were_killed_once_the_way_is_that_of_all(self) -> None:
        seen = film(100.0)
        seen.seen["r0"].killed = 1
        self.assertEqual(40.0, beside(seen, [outcome(0.1)])[-1].real)

    def test_without_a_simulated_film_nothing_is_untrue(self) -> None:
        self.assertEqual([], untrue([]))
