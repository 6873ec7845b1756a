"""The report of a recorded race: nothing is invented, nothing is cut off, all forms say the same."""

import json
from io import StringIO
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from click.testing import CliRunner
from rich.console import Console
from twisted.trial.unittest import SkipTest, TestCase

from bench.race import figures, plot, report
from bench.race.command import order, race
from bench.race.contestants import CONTESTANTS, NATIVE

RECORDED = Path(__file__).parent / "recorded.json"


class ReportTests(TestCase):
    def setUp(self) -> None:
        self.record = json.loads(RECORDED.read_text())
        self.folder = Path(mkdtemp(prefix="mcmw-race-"))
        self.addCleanup(rmtree, self.folder)

    def shown(self) -> str:
        text = StringIO()
        report.show(Console(file=text, width=80, highlight=False, markup=False), self.record)
        return text.getvalue()

    def test_the_tables_fit_80_columns_and_nothing_is_cut_off(self) -> None:
        text = self.shown()
        self.assertEqual([], [line for line in text.splitlines() if len(line.rstrip()) > 80])
        self.assertNotIn("…", text)

    def test_terminal_and_markdown_show_the_same_figures(self) -> None:
        text, document = self.shown(), report.markdown(self.record)
        summary = figures.summarise(self.record)
        self.assertEqual(len(self.record["contestants"]), len(summary))
        for row in summary.values():
            for cell in (report.count(row["rate_1316"]), report.ratio(row["rate_200_ratio"]),
                         report.count(row["delay_1000_p99.9"]), report.fixed(row["all_s"])):  # fmt: skip
                self.assertIn(cell, text)
                self.assertIn(cell, document)

    def test_the_document_says_what_the_figures_belong_to(self) -> None:
        document = report.markdown(self.record)
        machine = self.record["machine"]
        versions = (about["version"] for about in self.record["contestants"].values())
        for words in (machine["date"], machine["kernel"], self.record["command"], "others took", *versions):
            self.assertIn(words, document)

    def test_who_took_no_part_and_who_failed_is_said_with_the_reason(self) -> None:
        self.record["skipped"] = {"ours-fast": "not built in this release"}
        self.record["rounds"][0][1] = {
            "contestant": "n2n",
            "failed": "packets at b, c and d: not within 30 s",
        }
        for text in (self.shown(), report.markdown(self.record)):
            self.assertIn("ours-fast: not built in this release", text)
            self.assertIn("n2n: failed in 1 of 1 rounds: packets at b, c and d: not within 30 s", text)

    def test_a_figure_that_is_missing_is_a_dash(self) -> None:
        del self.record["rounds"][0][1]["rate"]["200"]
        self.assertIn(" - ", report.markdown(self.record))
        self.shown()

    def test_the_plot_is_drawn_in_both_formats_and_twice_the_same(self) -> None:
        if not plot.available():
            raise SkipTest(plot.ADVICE)
        paths = [self.folder / name for name in ("race.png", "race.svg")]
        plot.draw(self.record, paths)
        first = [path.read_bytes() for path in paths]
        self.assertTrue(first[0].startswith(b"\x89PNG"))
        self.assertIn(b"<svg", first[1])
        plot.draw(self.record, paths)
        self.assertEqual(first, [path.read_bytes() for path in paths])

    def test_a_recorded_race_is_shown_again_without_measuring(self) -> None:
        done = CliRunner().invoke(race, ["--show", str(RECORDED), "--out", str(self.folder)])
        self.assertEqual((0, None), (done.exit_code, done.exception))
        self.assertIn("native multicast", done.output)
        self.assertEqual(report.markdown(self.record), (self.folder / "race.md").read_text())


class CommandTests(TestCase):
    def test_every_round_begins_and_ends_with_native_and_has_everybody_once(self) -> None:
        takers = list(CONTESTANTS.values())
        for number in range(5):
            line = [each.name for each in order(takers, number)]
            self.assertEqual((NATIVE, NATIVE), (line[0], line[-1]))
            self.assertEqual(sorted(CONTESTANTS), sorted(line[1:]))
        self.assertNotEqual(order(takers, 0)[1], order(takers, 1)[1])

    def test_native_alone_is_a_race_with_itself(self) -> None:
        self.assertEqual([NATIVE] * 2, [each.name for each in order([CONTESTANTS[NATIVE]], 3)])

    def test_a_contestant_that_there_is_not_is_an_error_that_names_those_that_there_are(self) -> None:
        done = CliRunner().invoke(race, ["--only", "native,rocket"])
        self.assertEqual(2, done.exit_code)
        self.assertIn("rocket", done.output)
        self.assertIn("vxlan-mdb", done.output)

    def test_the_list_has_everybody_and_whether_he_takes_part(self) -> None:
        done = CliRunner().invoke(race, ["--list"])
        self.assertEqual(0, done.exit_code)
        for name in CONTESTANTS:
            self.assertIn(name, done.output)
