"""The race's harness on whole nodes: native routing and our slow path carry a low rate whole."""

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SkipTest

from bench.race.built import build
from bench.race.contestants import CONTESTANTS
from bench.race.track import RECEIVERS, Track
from multicastmw.cli.lab import NotPossibleHere
from tests.netns.kit import NetnsTestCase


class RaceTests(NetnsTestCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp(prefix="mcmw-race-"))
        self.addCleanup(rmtree, self.folder)
        try:
            self.tools = build(self.folder)
        except NotPossibleHere as error:
            raise SkipTest(str(error)) from None

    def ride(self, name: str) -> None:
        """200 packets/s for 2 s, to b, c and d."""
        contestant = CONTESTANTS[name]
        if why := contestant.why_not():
            raise SkipTest(why)
        lab = self.make_lab("abcd")
        track = Track(lab, self.tools, contestant.start(lab))
        track.warm_up()
        run = track.run(1316, 200, 2.0)
        self.assertEqual(dict.fromkeys(RECEIVERS, run.sent), run.received)
        self.assertEqual((0, 0, 0.0), (run.duplicates, run.disordered, run.loss))
        self.assertEqual(3 * run.sent, sum(n for delays in run.delays.values() for _, n in delays))
        self.assertGreaterEqual(run.all_cpu, run.relay_cpu)
        self.measured(f"{name}, core seconds a million deliveries, all", run.all_cpu / run.deliveries * 1e6)

    def test_native_multicast_routing(self) -> None:
        self.ride("native")

    def test_our_slow_path(self) -> None:
        self.ride("ours-udp")

    def test_the_relays_memory_is_the_nodes_and_not_the_sinks(self) -> None:
        lab = self.make_lab("abcd")
        track = Track(lab, self.tools, CONTESTANTS["vxlan-hub"].start(lab))
        self.assertEqual(0.0, track.relay_memory()["rss_mib"])
