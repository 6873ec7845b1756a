"""`mcmw check`, and what every command of mcmw has from cli/main.py."""

import contextlib
import io
import json
import os
import shutil
import sys
from pathlib import Path
from subprocess import run
from tempfile import mkdtemp, mkstemp

from twisted.trial.unittest import SynchronousTestCase

from multicastmw import __version__
from multicastmw.cli.main import COMMANDS, main
from tests.mistakes import MISTAKES

ROOT = Path(__file__).parent.parent.parent
LAB_A = str(ROOT / "etc" / "lab" / "a.ini")
PIN = "[node]\nname = a\n[tap]\naddress = 10.88.0.1/24\n[groups]\npin = 10.88.0.7@232.1.1.1 239.1.1.1\n"


class CommandCase(SynchronousTestCase):
    def mcmw(self, *arguments: str) -> tuple[str, str, int]:
        """Runs mcmw in this process: stdout, stderr, exit code."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            left = self.assertRaises(SystemExit, main, arguments)
        return out.getvalue(), err.getvalue(), left.code

    def own_folder(self) -> Path:
        """One that goes with the test."""
        folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def written(self, text: str) -> str:
        number, path = mkstemp(suffix=".ini")
        self.addCleanup(os.unlink, path)
        with open(number, "w") as file:
            file.write(text)
        return path


class CheckTests(CommandCase):
    def test_a_right_configuration_is_a_short_table_and_exit_code_0(self) -> None:
        out, err, code = self.mcmw("check", LAB_A)
        self.assertEqual((err, code), ("", 0))
        lines = out.splitlines()
        self.assertEqual(lines[0].split()[0], "OK")
        self.assertIn("peer        b at tcp:10.99.2.2:4600", lines)
        self.assertLessEqual(len(lines), 20)

    def test_the_table_has_at_most_80_columns(self) -> None:
        groups = " ".join(f"239.{n}.0.0/16" for n in range(100))
        out, _, code = self.mcmw(
            "check", self.written(f"[tap]\ngroups = {groups}\n[web]\nendpoint = tcp:8080\n")
        )
        self.assertEqual(code, 0)
        self.assertLessEqual(max(map(len, out.splitlines()[1:])), 80)

    def test_of_a_mesh_it_has_the_ways_in_and_what_is_given_to_it(self) -> None:
        text = PIN + (
            "[overlay]\nengine = mesh\nseeds = lan:, tcp:b:4600\nuplink = 20000\nmax-children = 3\n"
            "role = relay\nfeeds = 2\nfeeds-groups = 239.1.1.1, 239.2.0.0/16\n[recovery]\ndeadline = 2\n"
        )
        lines = self.mcmw("check", self.written(text))[0].splitlines()
        for line in (
            "overlay     mesh, relay, uplink 20,000 kbit/s and 3 children at most, 2 feeds of",
            "            239.1.1.1/32, 239.2.0.0/16",
            "seeds       lan:, tcp:b:4600",
            "recovery    what is lost is asked for again for 2 s, later packets wait 0.5 s",
        ):
            self.assertIn(line, lines)
        lines = self.mcmw("check", self.written(PIN + "[recovery]\ndeadline = 0\n"))[0].splitlines()
        self.assertIn("overlay     static", lines)
        self.assertIn("recovery    off", lines)

    def test_warnings_are_listed_and_do_not_fail(self) -> None:
        out, err, code = self.mcmw("check", self.written("[qos]\ndscp = 34\n"))
        self.assertEqual((err, code), ("", 0))
        self.assertIn("[qos] dscp = 34: not built in this release, ignored", out)

    def test_as_json_it_is_one_document_with_every_value(self) -> None:
        path = self.written(PIN + "[qos]\ndscp = 34\n[web]\ntoken = a-secret-of-sixteen\n")
        out, err, code = self.mcmw("check", "--json", path)
        self.assertEqual((err, code), ("", 0))
        document = json.loads(out)
        self.assertEqual((document["ok"], document["file"], document["node"]), (True, path, "a"))
        self.assertEqual(document["config"]["tap"]["address"], "10.88.0.1/24")
        self.assertEqual(document["config"]["groups"]["pin"], ["10.88.0.7@232.1.1.1", "239.1.1.1"])
        self.assertEqual(len(document["warnings"]), 1)
        self.assertNotIn("a-secret-of-sixteen", out)

    def test_a_wrong_one_is_one_line_on_stderr_and_exit_code_2(self) -> None:
        for text, line in MISTAKES:
            path = self.written(text)
            self.assertEqual(self.mcmw("check", path), ("", f"{path}: {line}\n", 2))

    def test_a_wrong_one_is_as_json_a_document_with_the_error(self) -> None:
        for text, line in MISTAKES:
            path = self.written(text)
            out, err, code = self.mcmw("check", path, "--json")
            self.assertEqual((json.loads(out), err, code), ({"error": f"{path}: {line}"}, "", 2))

    def test_the_configuration_may_be_given_in_front_of_the_command(self) -> None:
        self.assertEqual(self.mcmw("-c", LAB_A, "check"), self.mcmw("check", LAB_A))

    def test_no_configuration_at_all_is_one_line(self) -> None:
        _, err, code = self.mcmw("check")
        self.assertEqual((err.count("\n"), code), (1, 2))
        self.assertTrue(err.startswith("mcmw check: which configuration?"), err)


class MainTests(CommandCase):
    def test_a_wrong_command_line_is_one_line_and_exit_code_2(self) -> None:
        for arguments in (
            ["chekc"],
            ["--colour"],
            ["check", "a", "b"],
            ["-c", "a", "--socket", "b", "check"],
        ):
            out, err, code = self.mcmw(*arguments)
            self.assertEqual((out, err.count("\n"), code), ("", 1, 2))
            self.assertTrue(err.startswith("mcmw"), err)

    def test_a_wrong_command_line_is_as_json_a_document(self) -> None:
        out, err, code = self.mcmw("check", "--json", "--colour")
        self.assertIn("--colour", json.loads(out)["error"])
        self.assertEqual((err, code), ("", 2))

    def test_without_a_command_there_is_help_and_exit_code_2(self) -> None:
        out, err, code = self.mcmw()
        self.assertEqual((out, code), ("", 2))
        for name in COMMANDS:
            self.assertIn(name, err)

    def test_help_and_version_exit_with_0(self) -> None:
        self.assertEqual(self.mcmw("--version"), (f"mcmw {__version__}\n", "", 0))
        self.assertEqual(self.mcmw("--help")[1:], ("", 0))
        self.assertEqual(self.mcmw("check", "--help")[1:], ("", 0))

    def test_help_imports_no_command_and_nothing_that_is_slow(self) -> None:
        slow = {
            "twisted",
            "rich",
            "multicastmw.config",
            *(where.partition(":")[0] for where, _ in COMMANDS.values()),
        }
        code = "import sys; from multicastmw.cli.main import mcmw; mcmw(['--help'], standalone_mode=False); "
        code += f"sys.exit(' '.join({slow} & set(sys.modules)))"
        ran = run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual(ran.stderr.strip(), "")
