"""What every command of mcmw has: exit codes in its help, and an end where its output cannot be written."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from subprocess import PIPE, run
from tempfile import mkdtemp

import click

from multicastmw.cli.main import mcmw
from tests.cli.test_check import LAB_A, CommandCase

MCMW = [sys.executable, "-m", "multicastmw.cli.main"]
WIDTH = 80


def commands() -> Iterator[tuple[list[str], click.Command]]:
    """Every command, those of groups too, and how it is called."""
    waiting: list[tuple[list[str], click.Command]] = [([], mcmw)]
    while waiting:
        words, command = waiting.pop()
        yield words, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                waiting.append(([*words, name], found))


class HelpTests(CommandCase):
    def test_every_help_lists_every_exit_code_once(self) -> None:
        for words, _ in commands():
            out, err, code = self.mcmw(*words, "--help")
            self.assertEqual((err, code), ("", 0))
            listed = out.partition("Exit codes:\n")[2].splitlines()
            codes = [int(line.split()[0]) for line in listed]
            special = {"": [3, 4, 5], "demo": [3], "doctor": [5], "matrix": [5], "reload": [4]}.get(
                " ".join(words), []
            )
            self.assertEqual(codes, [0, 1, 2, *special, 130, 141], words)

    def test_every_help_fits_80_columns_and_cuts_no_sentence_off(self) -> None:
        for words, _ in commands():
            out, _, _ = self.mcmw(*words, "--help")
            self.assertLessEqual(max(map(len, out.splitlines())), WIDTH, words)
            _, _, listed = out.partition("Commands:\n")
            self.assertNotIn("...", listed)

    def test_a_group_without_a_command_shows_its_help_as_mcmw_does(self) -> None:
        for group in ("keys", "tap"):
            out, err, code = self.mcmw(group)
            self.assertEqual((out, code), ("", 2))
            self.assertEqual(err, self.mcmw(group, "--help")[0])

    def test_every_command_that_does_something_has_json(self) -> None:
        for words, command in commands():
            if not isinstance(command, click.Group):
                self.assertIn("--json", [name for each in command.params for name in each.opts], words)


class OutputTests(CommandCase):
    """Real processes: what cannot be written is found when a buffer is, perhaps at the very end."""

    def setUp(self) -> None:
        self.folder = mkdtemp()
        self.addCleanup(rmtree, self.folder)

    def cases(self) -> Iterator[list[str]]:
        yield ["check", LAB_A]
        yield ["check", LAB_A, "--json"]
        yield ["keys", "authority", "--in", mkdtemp(dir=self.folder)]
        yield ["--socket", "/nowhere", "show", "--json"]  # an error, which --json puts on stdout
        yield ["demo", "--help"]
        yield ["--version"]

    def test_a_full_disk_is_one_line_and_exit_code_1(self) -> None:
        for arguments in self.cases():
            with open("/dev/full", "w") as full:
                done = run([*MCMW, *arguments], stdout=full, stderr=PIPE, text=True, check=False)
            line = "mcmw: standard output: No space left on device\n"
            self.assertEqual((done.stderr, done.returncode), (line, 1), arguments)

    def test_a_reader_that_has_gone_is_silence_and_exit_code_141(self) -> None:
        for arguments in self.cases():
            ours, theirs = os.pipe()
            os.close(ours)
            done = run([*MCMW, *arguments], stdout=theirs, stderr=PIPE, text=True, check=False)
            os.close(theirs)
            self.assertEqual((done.stderr, done.returncode), ("", 141), arguments)

    def test_no_standard_output_is_one_line_and_exit_code_1(self) -> None:
        for arguments in self.cases():
            done = run(["sh", "-c", '"$@" >&-', "-", *MCMW, *arguments], stderr=PIPE, text=True, check=False)
            line = "mcmw: standard output: it is closed\n"
            self.assertEqual((done.stderr, done.returncode), (line, 1), arguments)

    def test_who_says_nothing_needs_none(self) -> None:
        words = ["sh", "-c", '"$@" >&-', "-", *MCMW, "--socket", "/nowhere", "show"]
        done = run(words, stderr=PIPE, text=True, check=False)
        self.assertEqual((done.stderr.count("\n"), done.returncode), (1, 1))
        self.assertIn("/nowhere", done.stderr)

    def test_head_gets_its_line(self) -> None:
        words = f"{' '.join(MCMW)} check {LAB_A} | head -1"
        done = run(["sh", "-c", words], capture_output=True, text=True, check=False)
        self.assertEqual((done.stdout.split()[0], done.stderr), ("OK", ""))

    def test_an_error_that_cannot_be_said_keeps_its_exit_code(self) -> None:
        for arguments, code in ((["--socket", "/nowhere", "show"], 1), (["check", "/nowhere"], 2)):
            with open("/dev/full", "w") as full:
                done = run([*MCMW, *arguments], stdout=PIPE, stderr=full, text=True, check=False)
            self.assertEqual((done.stdout, done.returncode), ("", code), arguments)

    def test_what_can_be_written_is(self) -> None:
        done = run([*MCMW, "check", LAB_A, "--json"], capture_output=True, text=True, check=True)
        self.assertEqual(json.loads(done.stdout)["file"], LAB_A)
        target = Path(self.folder) / "out"
        with target.open("w") as file:
            run([*MCMW, "--version"], stdout=file, check=True)
        self.assertTrue(target.read_text().startswith("mcmw "))
