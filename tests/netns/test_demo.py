"""The whole demo on a short film: figure 4 with real nodes, real sockets and a real decoder."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from twisted.trial.unittest import SkipTest, TestCase

from multicastmw.cli.lab import wait_until
from multicastmw.cli.lab.registry import BASE, NAMESPACES
from multicastmw.cli.rootless import LINE
from tests.netns.machine import missing

pytestmark = pytest.mark.netns
PATIENCE = 120


class DemoCase(TestCase):
    skip = missing(film=True)
    timeout = 2 * PATIENCE
    out: Path

    def mcmw(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "multicastmw.cli.main", *arguments]

    def demo(self, *options: str) -> "subprocess.CompletedProcess[str]":
        command = self.mcmw("demo", "--seconds", "2", "--out", str(self.out), *options)
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def report(self) -> dict[str, Any]:
        """What it has written down."""
        found: dict[str, Any] = json.loads((self.out / "report.json").read_text())
        return found

    def check_whole(self, document: dict, **ttls: set[int]) -> None:  # type: ignore[type-arg]
        """Every packet once and in order, a right TTL, every frame, and a picture."""
        ttls = {"b": {15}, "c": {14}, "d": {14}, **ttls}
        self.assertEqual((document["ok"], document["problems"]), (True, []))
        self.assertEqual([each["host"] for each in document["receivers"]], list(ttls))
        for each in document["receivers"]:
            self.assertEqual(each["received"], document["sender"]["sent"])
            self.assertEqual((each["lost"], each["duplicated"], each["reordered"]), (0, 0, 0))
            self.assertLessEqual(set(each["ttl"]), ttls[each["host"]])
            self.assertEqual((each["frames"], each["decode_errors"]), (50, 0))
            self.assertEqual(each["payload_sha256"], document["film"]["sha256"])
            self.assertTrue(Path(each["picture"]).read_bytes().startswith(b"\x89PNG"))


class DemoTests(DemoCase):
    def setUp(self) -> None:
        self.out = Path(self.mktemp()).absolute()

    def test_all_three_receive_everything_over_tcp_and_inside_tls(self) -> None:
        for transport in ("tcp", "tls"):
            done = self.demo("--json", f"--{transport}")
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            document = json.loads(done.stdout)
            self.assertEqual(document["transport"], transport)
            self.check_whole(document)
            self.assertEqual(document, {**self.report(), "out": str(self.out), "kept": None})

    def test_over_udp_too_and_people_get_a_table_of_80_columns(self) -> None:
        done = self.demo()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual("udp", self.report()["transport"])
        self.check_whole(self.report())
        table = [line for line in done.stdout.splitlines() if re.match(r"(host|[a-d]) ", line)]
        self.assertEqual(len(table), 5)
        self.assertLessEqual(max(map(len, table)), 80)
        name = re.findall(r"(mcmw-demo-\w{4})-a", done.stderr)[0]
        self.assertEqual(list(NAMESPACES.glob(f"{name}*")), [])

    def test_with_a_mesh_beside_the_tree_all_five_have_it_once(self) -> None:
        done = self.demo("--json", "--mesh")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.check_whole(json.loads(done.stdout), e={13, 14}, f={13, 14})

    def test_ctrl_c_leaves_nothing(self) -> None:
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            raise SkipTest("SIGINT is ignored here (a background job?), and children inherit that")
        command = self.mcmw("demo", "--seconds", "30", "--out", str(self.out))
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        ) as running:  # fmt: skip
            self.addCleanup(running.kill)
            said = ""
            assert running.stderr is not None
            while "a plays" not in said:
                line = running.stderr.readline()
                self.assertTrue(line, said)
                said += line
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does
            self.assertEqual(running.wait(30), 130)
        name = re.findall(r"(mcmw-demo-\w{4})-a", said)[0]
        self.assertEqual(list(NAMESPACES.glob(f"{name}*")), [])
        self.assertFalse((BASE / name).exists())

    def test_kept_hosts_play_on_until_they_are_taken_down(self) -> None:
        done = self.demo("--json", "--keep")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        kept = json.loads(done.stdout)["kept"]
        self.addCleanup(subprocess.run, self.mcmw("demo", "--down"), capture_output=True, check=False)
        enter = ["ip", "netns", "exec", kept["namespaces"]["c"]]
        recorder = [sys.executable, "-m", "multicastmw.cli.recorder", "--interface", "mcmw0"]
        command = [*enter, *recorder, "--progress", "0.1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as late:
            assert late.stdout is not None
            count = 0
            while count < 200:  # more than the film has: it is played again
                count = json.loads(late.stdout.readline()).get("progress", count)
            late.terminate()
        down = self.mcmw("demo", "--down", "--json")
        gone = subprocess.run(down, capture_output=True, text=True, check=True)
        name = kept["namespaces"]["a"].removesuffix("-a")
        self.assertIn(name, json.loads(gone.stdout)["removed"])
        wait_until(lambda: not list(NAMESPACES.glob(f"{name}*")), PATIENCE, "no namespaces")


class RootlessTests(DemoCase):
    """The demo of an ordinary user, who is root in namespaces of his own."""

    USER = 61_234  # of nobody on this host

    def setUp(self) -> None:
        if not shutil.which("setpriv"):
            raise SkipTest("needs setpriv")
        self.folder = Path(mkdtemp(prefix="mcmw-rootless-"))
        self.addCleanup(shutil.rmtree, self.folder)
        os.chown(self.folder, self.USER, self.USER)
        self.out = self.folder / "demo"
        mknod = self.folder / "tun"
        os.mknod(mknod, stat.S_IFCHR | 0o600, os.makedev(10, 200))
        mknod.chmod(0o666)
        # Where everybody may open /dev/net/tun, and run this Python wherever it is installed.
        prefix = Path(sys.base_prefix)
        (self.folder / "python").mkdir()
        hidden = f"""
            mount --bind {mknod} /dev/net/tun &&
            mount --bind {prefix} {self.folder}/python &&
            mount -t tmpfs -o mode=755 none /root &&
            mkdir -p {prefix} && mount --bind {self.folder}/python {prefix} &&
        """
        shown = f"mount --bind {mknod} /dev/net/tun &&"
        self.shell = (hidden if prefix.is_relative_to("/root") else shown) + ' cd / && exec "$@"'

    def mcmw(self, *arguments: str) -> list[str]:
        who = [
            f"--reuid={self.USER}",
            f"--regid={self.USER}",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ]
        inside = ["unshare", "-m", "sh", "-c", self.shell, "sh", "env", "HOME=/", "setpriv", *who]
        return [*inside, sys.executable, "-m", "multicastmw.cli.main", *arguments]

    @pytest.mark.slow
    def test_in_json_there_is_nothing_else(self) -> None:
        done = self.demo("--json", "--tcp")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.check_whole(json.loads(done.stdout))

    def test_all_three_receive_everything_one_line_says_what_it_is_and_nothing_is_left(self) -> None:
        done = self.demo()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.check_whole(self.report())
        self.assertEqual(self.USER, (self.out / "report.json").stat().st_uid)
        self.assertEqual(LINE, done.stderr.splitlines()[0])
        name = re.findall(r"(mcmw-demo-\w{4})-a", done.stderr)[0]
        self.assertEqual([], list(NAMESPACES.glob(f"{name}*")))
        self.assertFalse((BASE / name).exists())

    def test_what_would_outlive_it_needs_root(self) -> None:
        for option in ("--keep", "--down"):
            done = self.demo(option)
            self.assertEqual((3, "", 1), (done.returncode, done.stdout, done.stderr.count("\n")))
            self.assertIn("sudo mcmw demo --keep", done.stderr)
