"""`mcmw capture`: what is written is what a program received, and Wireshark reads it."""

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from multicastmw.cli.lab import wait_until
from tests.netns.kit import PATIENCE, Figure4, NetnsTestCase, asking, mcmw, why_not

GROUP, OTHER = "239.7.7.7", "239.7.7.8"


class CaptureTests(NetnsTestCase):
    skip = why_not("tshark")

    def setUp(self) -> None:
        self.tree = Figure4(self)
        self.folder = self.tree.lab.state_dir

    def tshark(self, path: Path, *options: str) -> list[list[str]]:
        command = [str(shutil.which("tshark")), "-r", str(path), "-d", "udp.port==5004,rtp", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(0, done.returncode, done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def fields(self, path: Path, *names: str) -> list[list[str]]:
        return self.tshark(path, "-T", "fields", *(option for name in names for option in ("-e", name)))

    def captures(self, host: Any, *words: str) -> Any:
        """Starts one, and returns when it runs."""
        process = host.spawn(asking(host, "capture", *words), log=f"{host.name}-capture")
        path = Path(words[words.index("-w") + 1])
        wait_until(lambda: path.exists() and path.stat().st_size > 0, PATIENCE, "the capture's beginning")
        return process

    def test_it_is_what_a_program_received(self) -> None:
        tree = self.tree
        receiver = tree.c.spawn(asking(tree.c, "recv", GROUP, "--json"), log="recv")
        tree.await_demand(GROUP, "c", here=False)
        there, origin = self.folder / "c.pcapng", self.folder / "a.pcapng"
        at_c = self.captures(tree.c, GROUP, "-w", str(there), "--json")
        at_a = self.captures(tree.a, GROUP, "-w", str(origin), "--json")
        done = tree.a.run(asking(tree.a, "send", GROUP, "--seconds", "2", "--json"))
        self.assertEqual(0, done.returncode)
        self.assertEqual(0, receiver.wait(PATIENCE))
        got = json.loads(receiver.read_output())
        self.assertEqual((200, 0), (got["received"], got["lost"]))
        for process, path, interface, ttl, comment in (
            (at_c, there, "overlay", "14", "origin a, from b, number "),
            (at_a, origin, "here", "16", "origin a, from here, number "),
        ):
            process.signal(signal.SIGINT)
            self.assertEqual(0, process.wait(PATIENCE), process.last_words())
            said = json.loads(process.read_output())
            rows = self.fields(path, "rtp.seq", "ip.ttl", "ip.dst", "frame.interface_name", "frame.comment")
            rtp = [row for row in rows if row[0]]
            self.assertEqual((200, len(rows), 0), (len(rtp), said["packets"], said["dropped"]))
            self.assertEqual({(ttl, GROUP, interface)}, {(row[1], row[2], row[3]) for row in rtp})
            self.assertEqual(200, len({row[0] for row in rtp}))
            self.assertTrue(all(row[4].startswith(comment) for row in rtp), rtp[0])

    def test_it_ends_after_a_count_and_asks_nothing_of_the_overlay(self) -> None:
        tree = self.tree
        path = self.folder / "count.pcapng"
        tree.await_demand(GROUP, "", here=False)
        capture = self.captures(tree.a, "-w", str(path), "-c", "20")
        unwanted = self.captures(
            tree.d, GROUP, "-w", str(self.folder / "d.pcapng"), "--seconds", "1", "--json"
        )
        receiver = tree.c.spawn(asking(tree.c, "recv", OTHER), log="recv")
        tree.await_demand(OTHER, "c", here=False)
        for group in (OTHER, GROUP):
            done = tree.a.run(asking(tree.a, "send", group, "--seconds", "0.5"))
            self.assertEqual(0, done.returncode)
        self.assertEqual(0, capture.wait(PATIENCE), capture.last_words())
        rows = self.fields(path, "ip.dst")
        self.assertEqual(20, len(rows))
        self.assertEqual(0, receiver.wait(PATIENCE))
        self.assertEqual(0, unwanted.wait(PATIENCE))
        self.assertEqual(0, json.loads(unwanted.read_output())["packets"])
        self.assertEqual([], [g for g in tree.d.status()["groups"] if g["group"] == GROUP])

    def test_a_pipe_and_what_is_refused(self) -> None:
        b = self.tree.b
        words = [*asking(b, "capture", "-w", "-", "--seconds", "0.5"), "|", "tshark", "-r", "-"]
        piped = b.run(["sh", "-c", " ".join(words)])
        self.assertEqual(0, piped.returncode, piped.stderr)
        code, _, err = mcmw(b, "capture", "-w", "/nowhere/x.pcapng")
        self.assertEqual((1, "/nowhere/x.pcapng: No such file or directory\n"), (code, err))
        code, _, err = mcmw(b, "capture", "10.0.0.1", "-w", str(self.folder / "x"))
        self.assertEqual((2, 1), (code, err.count("\n")))

    def test_only_so_many_at_a_time_and_each_ends_with_its_asker(self) -> None:
        b = self.tree.b
        running = [self.captures(b, "-w", str(self.folder / f"{n}.pcapng")) for n in range(4)]
        code, _, err = mcmw(b, "capture", "-w", str(self.folder / "5"))
        self.assertEqual((1, "4 captures are running, and more at a time are not\n"), (code, err))
        running[0].signal(signal.SIGKILL)
        running[0].wait(PATIENCE)
        done = wait_until(
            lambda: mcmw(b, "capture", "-w", str(self.folder / "6"), "--seconds", "0.1")[0] == 0,
            PATIENCE,
            "room",
        )
        self.assertTrue(done)
