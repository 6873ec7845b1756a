"""Groups of the product's own machines, small enough for every run of the tests."""

import json
import os
import subprocess
import sys
from functools import partial

from twisted.trial import unittest

from simulator import liars
from simulator.announcements import Announcements
from simulator.far import FAR
from simulator.malice import MALICE
from simulator.pairs import PAIRS
from simulator.runs import run
from simulator.scenario import GROUP, Scenario, Shape, outages
from simulator.scenarios import announcements, aside, crash, delivery
from simulator.table import CRASH, GROUPS, SMALL_CRASH, Figure, Group, Result, show

SMALL = {"join": 4.0, "settle": 14.0}
TWICE = """
import json, sys
from simulator.runs import settled
from simulator.scenario import Shape
from simulator.scenarios import crash
json.dump(crash(settled(Shape(30, int(sys.argv[1]), join=3.0, settle=10.0)), seconds=5.0), sys.stdout)
"""


def settled(shape):
    scenario = Scenario(shape)
    scenario.start()
    scenario.settle()
    return scenario


class AHundredNodes(unittest.TestCase):
    """One seed of what `make simulate` runs with five."""

    def test_a_group_of_100_reaches_its_figures(self):
        scenario = settled(Shape(100, 1, join=5.0, settle=20.0))
        measured = scenario.measure(4.0)
        measured.run()
        calm = delivery(measured, measured.began)
        self.assertEqual(calm["within 1 s"], 1.0)
        self.assertEqual(calm["stranded"], 0)
        self.assertLess(calm["duplicates"], 0.02)
        crashed = crash(scenario, seconds=10.0)
        self.assertGreater(crashed["crashed"], 4)
        for figure in SMALL_CRASH:
            self.assertTrue(figure.is_reached([crashed[figure.key]]), f"{figure.text}: {crashed[figure.key]}")


class SameSeed(unittest.TestCase):
    def found(self, seed, hashes):
        """In a process of its own, whose dictionaries of strings are in another order."""
        environment = os.environ | {"PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", TWICE, str(seed)]
        ran = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
        return json.loads(ran.stdout)

    def test_the_same_seed_gives_the_same_figures_in_any_process(self):
        one = self.found(3, "1")
        self.assertEqual(one, self.found(3, "2"))
        self.assertNotEqual(one, self.found(4, "1"))


class Forks(unittest.TestCase):
    def test_what_happens_aside_leaves_the_group_as_it_was(self):
        scenario = settled(Shape(20, 1, join=2.0, settle=10.0))
        before = scenario.loop.now, len(scenario.living())
        first = aside(lambda each: crash(each, share=0.3, seconds=4.0), scenario)
        self.assertEqual((scenario.loop.now, len(scenario.living())), before)
        self.assertEqual(aside(lambda each: crash(each, share=0.3, seconds=4.0), scenario), first)

    def test_what_fails_aside_fails_here(self):
        with self.assertRaises(RuntimeError):
            aside(lambda _: {"no number": object()}, Scenario(Shape(5, 1)))


class KeepAlives(unittest.TestCase):
    def test_a_tree_that_only_asks_whether_links_live_is_silent_for_seconds(self):
        scenario = settled(Shape(60, 2, keepalive=True, deadline=0.0, **SMALL))
        found = crash(scenario, share=0.4, loss=0.0, seconds=10.0)
        self.assertGreater(found["outage p50"], 1.5)
        self.assertLess(found["within 1 s"], 0.999)


class Liars(unittest.TestCase):
    def group(self, way):
        scenario = settled(Shape(30, 2, liars=0.2, **SMALL))
        bad = [node for node in scenario.living() if isinstance(node, liars.Liar)]
        self.assertTrue(bad)
        measured = scenario.measure(6.0)
        for liar in bad:
            liar.turn(way, GROUP)
        measured.run()
        self.assertFalse(set(bad) & set(scenario.living()))  # what they get counts for nothing
        return scenario, measured, bad

    def test_who_drops_everything_is_survived(self):
        _, measured, _ = self.group(liars.DROP)
        self.assertGreater(measured.delivered(1.0), 0.8)

    def test_a_storm_of_nacks_is_bounded_and_counted(self):
        scenario, measured, _ = self.group(liars.STORM)
        self.assertGreater(sum(node.mesh.counters.nacks_over_bound for node in scenario.living()), 100)
        self.assertGreater(measured.delivered(1.0), 0.9)

    def test_a_flood_of_peers_is_bounded_and_counted(self):
        scenario, measured, _ = self.group(liars.FLOOD)
        self.assertGreater(sum(node.mesh.counters.peers_over_bound for node in scenario.living()), 100)
        self.assertGreater(measured.delivered(1.0), 0.9)

    def test_who_sends_late_is_left_and_no_honest_node_is_left_alone(self):
        found = MALICE["delay"](settled(Shape(30, 1, liars=0.3, **SMALL)))
        self.assertGreater(found["liars"], 3)
        self.assertGreater(found["fed before"], 0.2)
        self.assertLess(found["fed after"], 0.1)  # one of twenty may be about to leave
        self.assertEqual(found["wrongly"], 0)
        self.assertGreater(found["within 1 s"], 0.98)

    def test_nobody_is_left_alone_for_a_network_that_loses_and_delays(self):
        found = MALICE["slander"](settled(Shape(30, 3, **SMALL)))
        self.assertEqual((found["wrongly"], found["excluded"]), (0, 0))
        self.assertGreater(found["within 1 s at 5%"], 0.99)

    def test_a_thief_moves_no_stream(self):
        scenario, measured, _ = self.group(liars.THIEF)
        refused = sum(node.mesh.feeds[scenario.key].counters.unasked_data for node in scenario.living())
        self.assertGreater(refused, 100)
        self.assertGreater(measured.delivered(1.0), 0.9)


class Pairs(unittest.TestCase):
    """Two feeds, and parents that change by the clock, in a small group."""

    def setUp(self):
        self.scenario = settled(Shape(30, 3, slots=((0.2, 0), (0.8, 4)), **SMALL))

    def test_with_two_feeds_fewer_nodes_see_a_gap_than_with_one(self):
        one, two = (
            aside(partial(PAIRS[feeds], share=0.3), self.scenario) for feeds in ("one feed", "two feeds")
        )
        self.assertEqual((0.0, 0), (one["fed twice"], one["copies"]))
        self.assertGreater(two["fed twice"], 0.9)
        self.assertGreater(two["copies"], 0.4)
        self.assertEqual(1.0, two["within 1 s"])
        self.assertLess(two["gap > 100 ms"], one["gap > 100 ms"])
        self.assertLess(two["duplicates"], 0.02)

    def test_nothing_is_lost_while_parents_change(self):
        found = PAIRS["rotate"](self.scenario)
        self.assertEqual((1.0, 0), (found["within 1 s"], found["stranded"]))
        self.assertGreater(found["changes"], 2)


class Far(unittest.TestCase):
    def test_with_parity_what_is_lost_on_long_ways_is_rarely_asked_for_and_never_late(self):
        scenario = settled(Shape(12, 1, rtt=0.15, corrects=True, rate=95.0, packet=1316, **SMALL))
        alone, corrected = (aside(FAR[happens], scenario) for happens in ("nacks alone", "with parity"))
        for found in (alone, corrected):
            self.assertEqual(1.0, found["within 1 s"])
            self.assertEqual(0.075, round(found["late p50"], 3))
        self.assertEqual(0, alone["rebuilt"])
        self.assertGreater(corrected["rebuilt"], 1_000)
        self.assertLess(corrected["resent"], alone["resent"] / 10)
        self.assertLess(corrected["late p99"], alone["late p99"] - 0.1)
        self.assertGreater(corrected["bytes"], alone["bytes"] + 0.2)

    def test_links_that_come_and_go_take_parity_with_them(self):
        scenario = settled(Shape(12, 1, rtt=0.15, corrects=True, rate=95.0, packet=1316, **SMALL))
        for node in scenario.world.nodes:
            node.begin()
        scenario.network.loss = 0.05
        scenario.run(scenario.loop.now + 10)
        found = crash(scenario, share=0.3, loss=0.05, seconds=10.0)
        self.assertGreater(found["within 1 s"], 0.9999)
        for node in scenario.living():
            self.assertEqual(len(node.links), len(node.fec.protections))


class Announced(unittest.TestCase):
    def test_all_that_a_group_announces_comes_to_all_once_over_one_tree(self):
        scenario = Announcements(Shape(16, 1, every=5.0, join=2.0, settle=40.0))
        scenario.start()
        scenario.settle()
        found = announcements(scenario, seconds=10.0)
        self.assertEqual((1.0, 0), (found["came"], found["twice"]))
        self.assertLess(found["feeds"], 3)
        self.assertLess(found["control"], 20.0)


class Outages(unittest.TestCase):
    def test_an_outage_is_more_than_what_a_lost_packet_makes(self):
        self.assertEqual(outages([0.03, 0.12, 0.2, 0.5, 0.3], rate=30.0), (3, 0.3, 0.5))
        self.assertEqual(outages([], rate=30.0), (0, 0.0, 0.0))

    def test_who_hears_nothing_to_the_end_is_silent_until_then(self):
        scenario = settled(Shape(20, 1, join=2.0, settle=10.0))
        measured = scenario.measure(3.0)
        victim = scenario.mortal()[0]
        victim.arrivals[30:] = type(victim.arrivals)("f", [-1.0] * 60)
        measured.run()
        victim.arrivals[30:] = type(victim.arrivals)("f", [-1.0] * 60)
        gaps = measured.gaps(measured.began)
        self.assertTrue(1.7 < max(gaps) < 2.2, max(gaps))


class Table(unittest.TestCase):
    def result(self, **figures):
        group = Group("few", "some nodes", 5, ("crash",), CRASH)
        good = {"within 1 s": 1.0, "outage p50": 0.2, "outage worst": 0.5, "duplicates": 0.01}
        return Result(group, [{"crash": good}, {"crash": good}, {"crash": good | figures}])

    def test_what_every_seed_reaches_is_good(self):
        self.assertTrue(self.result().is_good())
        self.assertIn("all reached", show([self.result()]))

    def test_the_worst_of_the_seeds_counts_where_the_worst_is_asked_for(self):
        bad = self.result(**{"outage worst": 1.2})
        self.assertFalse(bad.is_good())
        self.assertIn("1 missed (!)", show([bad]))

    def test_otherwise_it_is_the_median(self):
        self.assertTrue(self.result(**{"outage p50": 0.4}).is_good())

    def test_it_fits_80_columns(self):
        results = [
            Result(group, [{each.happens: {} for each in group.figures} for _ in range(5)])
            for group in GROUPS
        ]
        for result in results:
            for run_ in result.runs:
                for figure in result.group.figures:
                    run_[figure.happens][figure.key] = 0.99987
        self.assertLessEqual(max(map(len, show(results).splitlines())), 80)

    def test_no_figure_is_cut_short(self):
        for group in GROUPS:
            for figure in group.figures:
                self.assertLessEqual(len(figure.text), 36, figure.text)

    def test_every_goal_of_a_share_is_shown_as_what_it_is(self):
        self.assertEqual(Figure("crash", "x", "y", "%").shown(0.9999), "99.990 %")
        self.assertEqual(Figure("crash", "x", "y", "%").shown(1.0), "100 %")
        self.assertEqual(Figure("crash", "x", "y", "s").shown(0.2504), "250 ms")

    def test_a_run_gives_the_figures_that_the_table_asks_for(self):
        shape = Shape(20, 1, join=2.0, settle=10.0)
        found = run("few", shape, ("calm", "steady"))
        self.assertLessEqual({"stretch p50", "control", "duplicates", "stranded"}, set(found["calm"]))
        self.assertIn("outage worst", found["steady"])

    def test_what_happens_in_forks_side_by_side_is_what_happens_one_after_the_other(self):
        shape = Shape(12, 1, join=2.0, settle=10.0)
        happenings = "calm", "steady", "crash"
        self.assertEqual(run("few", shape, happenings, abreast=2), run("few", shape, happenings))
