"""A film over simulated nodes, as the lab plays it over real ones."""

from dataclasses import replace
from itertools import combinations
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from bench.wan.report import Aftermath, Film, Kill, Seen
from bench.wan.truth import beside
from simulator.film import CUT_OFF, Outcome, Places, Plan, play


def plan(nodes: int = 8, seconds: float = 26.0, loss: float = 0.01, deadline: float = 1.0) -> Plan:
    rng = Random(1)
    delays = {pair: rng.uniform(0.01, 0.05) for pair in combinations(range(nodes), 2)}
    return Plan(delays, nodes, 50.0, 1316, 2, seconds, 10.0, 3.0, loss, deadline)


class FilmTests(SynchronousTestCase):
    def test_kills_cost_those_that_live_nothing_but_a_moment(self) -> None:
        found = play(plan(), 1)
        self.assertEqual((2, 0), (found.kills, found.lost))
        self.assertTrue(all(CUT_OFF < gap < 1.0 for gap in found.gaps), found.gaps)
        self.assertTrue(0.01 <= found.delay < 0.2, found.delay)

    def test_a_lost_packet_holds_up_those_behind_it_if_programs_get_them_in_order(self) -> None:
        lossy = plan(loss=0.05)
        as_they_come, in_order = play(lossy._replace(hold=0.0), 1), play(lossy, 1)
        self.assertEqual(0, as_they_come.before)
        self.assertGreater(in_order.before, 0)
        self.assertGreater(len(in_order.gaps), len(as_they_come.gaps))

    def test_a_seed_gives_the_same_film_again(self) -> None:
        few = plan(seconds=16.0, deadline=0.0, loss=0.05)  # what is lost is another number with each seed
        self.assertEqual(play(few, 3), play(few, 3))
        self.assertNotEqual(play(few, 3), play(few, 4))

    def test_without_recovery_what_is_lost_stays_lost(self) -> None:
        self.assertGreater(play(plan(deadline=0.0, loss=0.05), 1).lost, 10)

    def test_delays_may_differ_by_direction(self) -> None:
        places = Places({(0, 1): 0.01, (1, 0): 0.03, (1, 2): 0.02}, 3)
        self.assertEqual([0.0, 0.04, 0.04, 0.04], [places.rtt(*p) for p in ((1, 1), (0, 1), (1, 0), (2, 1))])

    def test_real_and_simulated_stand_side_by_side(self) -> None:
        seen = Seen(100, 100, 0, 0, 0, 0, 200.0, (60.0, 70.0, 80.0), 0)
        kill = Aftermath(Kill(10, "x"), ["a"], ["b", "a"], {"a": 150.0, "b": 20.0}, {}, None)
        film = Film(20, 100, {}, 10, {"a": seen, "b": seen, "x": replace(seen, killed=1)}, [kill])
        runs = [Outcome(1, [0.125, 0.15], 1, 0, 0.05), Outcome(1, [], 0, 0, 0.04)]
        rows = {row.name: row for row in beside(film, runs)}
        self.assertEqual((1.0, 1.0, 0.0, 2.0), rows["cut off at a kill, receivers"][1:])
        self.assertEqual((2.0, 0.5, 0.0, 1.0), rows["in a second before it"][1:])
        self.assertEqual((150.0, 68.75, 0.0, 137.5), rows["outage, median"][1:])
        self.assertEqual((60.0, 45.0), rows["delay through the tree"][1:3])
