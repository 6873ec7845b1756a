"""The demo's command line, as far as it needs no hosts."""

import json
import os
import sys
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import TestCase

from multicastmw.cli import film, main, rootless
from multicastmw.cli.client import ControlError
from multicastmw.cli.demo import Kept, invitation
from multicastmw.cli.lab import tools

DEMO = sys.modules["multicastmw.cli.demo"]


class DemoCommandTests(TestCase):
    def run_mcmw(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of mcmw, run in this process."""
        runner = CliRunner()
        with runner.isolation() as (out, err, _):
            try:
                main.main(["demo", *arguments])
                code: object = 0
            except SystemExit as end:
                code = end.code
            return int(str(code)), out.getvalue().decode(), err.getvalue().decode()

    def rooted(self) -> None:
        self.patch(os, "geteuid", lambda: 0)

    def ordinary(self) -> None:
        """A user who is not root, nor may be in a namespace of his own."""
        self.patch(os, "geteuid", lambda: 1000)
        self.patch(DEMO, "check_tools", lambda: None)
        self.patch(rootless, "why_not", lambda: "namespaces are not for you")

    def assert_line(self, result: tuple[int, str, str], code: int, *words: str) -> None:
        """That exit code, nothing on stdout, and one line on stderr with these words."""
        self.assertEqual((result[0], result[1]), (code, ""))
        self.assertEqual(result[2].count("\n"), 1, result[2])
        for word in words:
            self.assertIn(word, result[2])

    def test_without_root_one_line_says_so(self) -> None:
        self.ordinary()
        self.assert_line(self.run_mcmw(), 3, "root", "sudo mcmw demo", "namespaces are not for you")
        self.assert_line(self.run_mcmw("--down"), 3, "root")
        self.assert_line(self.run_mcmw("--keep"), 3, "root")

    def test_without_tun_one_line_says_what_to_do(self) -> None:
        self.rooted()
        self.patch(DEMO, "TUN", Path("/dev/net/no-tun"))
        self.assert_line(self.run_mcmw(), 3, "/dev/net/no-tun", "No such file", "modprobe tun")

    def test_without_iproute2_one_line_says_what_to_install(self) -> None:
        self.rooted()
        self.patch(tools.shutil, "which", lambda name, path=None: None)
        self.assert_line(self.run_mcmw(), 3, "`ip`", "iproute2")

    def test_without_ffmpeg_one_line_says_what_to_install(self) -> None:
        self.rooted()
        self.patch(DEMO, "TUN", Path("/dev/null"))
        self.patch(DEMO, "find_tool", lambda name: name)

        def none() -> str:
            raise film.NoFfmpeg("ffmpeg is missing: apt install ffmpeg")

        self.patch(film, "find_ffmpeg", none)
        self.assert_line(self.run_mcmw(), 3, "ffmpeg is missing")

    def test_json_errors_leave_stderr_empty(self) -> None:
        self.ordinary()
        code, out, err = self.run_mcmw("--json")
        self.assertEqual((code, err), (3, ""))
        self.assertIn("root", json.loads(out)["error"])

    def test_what_fails_on_the_way_is_one_line_with_the_place_of_the_logs(self) -> None:
        self.patch(DEMO, "check_machine", lambda only_root: None)

        def fail(*_: object) -> None:
            raise ControlError("b.sock: no answer")

        self.patch(DEMO, "perform", fail)
        self.assert_line(self.run_mcmw("--out", "here"), 1, "no answer", "here")

    def test_a_folder_that_cannot_be_written_is_one_line_before_anything_starts(self) -> None:
        def too_early(*_: object) -> None:
            raise AssertionError("something was started")

        for name in ("check_machine", "_go_on_as_root", "perform"):
            self.patch(DEMO, name, too_early)
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        # Read-only for everybody, root too: in /proc nothing can be made.
        cases = {"/proc": "/proc: ", "/proc/x/y": "/proc/x/y: ", str(file): "is a file",
                 str(file / "x"): "Not a directory"}  # fmt: skip
        for out, words in cases.items():
            self.assert_line(self.run_mcmw("--out", out), 2, words, "--out")
        code, out, err = self.run_mcmw("--json", "--out", "/proc/x")
        self.assertEqual((code, err), (2, ""))
        self.assertIn("/proc/x", json.loads(out)["error"])

    def test_a_folder_is_made_only_where_the_demo_goes_on(self) -> None:
        self.ordinary()
        out = Path(self.mktemp())
        self.assert_line(self.run_mcmw("--out", str(out / "x" / "y")), 3, "root")
        self.assertFalse(out.exists())

    def test_a_disk_that_is_full_under_way_is_one_line(self) -> None:
        self.patch(DEMO, "check_machine", lambda only_root: None)

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device", "x/film.ts")

        self.patch(DEMO, "perform", fail)
        self.rooted()
        self.assert_line(self.run_mcmw(), 1, "x/film.ts: No space left on device")

    def test_a_film_of_no_length_is_refused(self) -> None:
        code, _, err = self.run_mcmw("--seconds", "0")
        self.assertEqual(code, 2)
        self.assertIn("--film", err)

    def test_a_film_that_is_not_there_is_refused(self) -> None:
        code, _, err = self.run_mcmw("--film", "/nowhere.mkv")
        self.assertEqual(code, 2)
        self.assertIn("nowhere.mkv", err)

    def test_other_files_in_the_folder_are_not_ours(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        ours = {"film.ts", "report.json", "a.ini", "b.ts", "d.png", "a-streamer.out", "c-node.log"}
        for name in ours | {"thesis.tex", "g.ts", "film.ts.bak", "b.txt"}:
            (folder / name).touch()
        self.assertEqual({path.name for path in DEMO.made_by_us(folder)}, ours)

    def test_the_invitation_names_host_group_and_end(self) -> None:
        text = invitation(Kept({"c": "demo-1-c", "d": "demo-1-d"}, {"b": "/run/b.sock"}))
        for what in ("exec demo-1-c", "--miface=mcmw0", "rtp://@239.1.2.3:5004", "/run/b.sock", "--down"):
            self.assertIn(what, text)
