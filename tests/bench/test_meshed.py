"""What comes of the rounds of `bench meshed`, and how it is shown."""

import io

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from bench.__main__ import show_meshed
from bench.meshed import WAYS, Cost, judged

ROUNDS = (1.0, 2.0, 10.0)  # how slow the machine was


class Meshed(SynchronousTestCase):
    def setUp(self) -> None:
        costs = {("static", "Python"): 50.0, ("mesh", "Python"): 60.0, ("static", "kernel"): 4.0,
                 ("mesh", "kernel"): 6.0}  # fmt: skip
        self.found = judged({way: [Cost(10_000, costs[way] * slow, 0.5) for slow in ROUNDS] for way in WAYS})

    def test_a_ratio_is_of_the_same_round(self) -> None:
        expected = {
            "mesh to static, Python": 1.2, "mesh to static, kernel": 1.5,
            "Python to kernel, static": 12.5, "Python to kernel, mesh": 10.0,
        }  # fmt: skip
        self.assertEqual(set(expected), set(self.found["ratios"]))
        for name, value in expected.items():
            self.assertEqual({value}, set(self.found["ratios"][name].values()), name)

    def test_a_way_has_its_median_and_all_packets(self) -> None:
        row = self.found["ways"][0]
        self.assertEqual(("static", "Python", 100.0, 30_000), tuple(
            row[key] for key in ("engine", "forwards", "process_us", "packets")
        ))  # fmt: skip

    def test_its_tables_fit_80_columns(self) -> None:
        console = Console(width=200, record=True, file=io.StringIO())
        show_meshed(console, {"rate": 1_000, "size": 1_316, "seconds": 10.0, "rounds": 3, **self.found})
        lines = console.export_text().splitlines()
        self.assertLessEqual(max(map(len, map(str.rstrip, lines))), 80)
        self.assertIn("mesh to static, Python", "".join(lines))
