"""Time that does not pass as it should: a process that is stopped, clocks that jump, a host that sleeps.

Nobody sets this machine's clock: a small library of ours (clocks.c) is loaded into one node and moves the
clocks that it reads.
"""

import os
import re
import select
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

from multicastmw.cli.lab import Host
from multicastmw.cli.lab.tools import find_tool
from multicastmw.cli.lab.waiting import wait_until
from multicastmw.wire.cops import Op
from tests.netns.kit import (
    PATIENCE,
    PORT,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sender,
    inside,
    let_pass,
    node_log,
    peer_of,
    why_not,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"
RATE = 500
HOUR = 3600
ETH_P_ALL = 3  # what goes out, too
RECOVERED = 10.0  # seconds within which links have to be there again, on a machine that is busy
STORM = 150  # control messages that a node of three links may send in its first second


class TimeTestCase(NetnsTestCase):
    """A stream through b for c and d."""

    skip = why_not("cc")

    def begin(self, moved: str = "", patience: int = 10) -> None:
        """`moved` names the hosts whose nodes read our clocks."""
        self.tree = Figure4(self, {"listen": {"keepalive-timeout": patience}})
        self.clocks = {name: self.restart(self.tree.lab.host(name)) for name in moved}
        self.tree.await_links()
        self.receivers = {h.name: Receiver(h, GROUP) for h in (self.tree.b, self.tree.c, self.tree.d)}
        self.tree.await_demand(GROUP, "cd")
        self.sender = Sender(self.tree.a, GROUP, rate=RATE)
        self.receivers["d"].await_last(GROUP, S, RATE)
        self.opened = self.tree.b.status()["counters"]["opened"]

    def restart(self, host: Host) -> Path:
        """With clocks.c in it; gives the file that moves its clocks."""
        host.stop_node()
        library, file = host.lab.state_dir / "clocks.so", host.lab.state_dir / f"{host.name}-clocks"
        source = Path(__file__).with_name("clocks.c")
        if not library.exists():
            subprocess.run([find_tool("cc"), "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        file.write_bytes(bytes(24))
        kept = dict(os.environ)
        os.environ.update({"LD_PRELOAD": str(library), "MCMW_CLOCKS": str(file)})
        try:
            self.tree.start(host)
        finally:
            os.environ.clear()
            os.environ.update(kept)
        return file

    def move(self, name: str, wall: int = 0, monotonic: int = 0, boot: int = 0) -> None:
        with self.clocks[name].open("r+b") as file:
            file.write(struct.pack("=qqq", wall, monotonic, boot))

    def stop(self, host: Host, seconds: float) -> None:
        """SIGSTOP, and SIGCONT whatever happens."""
        assert host.node
        os.kill(host.node.pid, signal.SIGSTOP)
        try:
            let_pass(seconds)
        finally:
            os.kill(host.node.pid, signal.SIGCONT)

    def listen(self, host: Host) -> socket.socket:
        with inside(host):
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            tap.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
            tap.bind(("u0", ETH_P_ALL))
        self.addCleanup(tap.close)
        return tap

    def said(self, tap: socket.socket, host: Host, seconds: float) -> dict[str, int]:
        """What the host says from now on: SYNs, segments with data, probes and answers."""
        counts = {"dials": 0, "segments": 0, "probes": 0}
        until, own = time.monotonic() + seconds, socket.inet_aton(host.address)
        while time.monotonic() < until:
            if not select.select([tap], [], [], 0.05)[0]:
                continue
            frame = tap.recv(2000)
            if frame[26:30] != own:
                continue
            if frame[23] == 6:
                counts["dials"] += frame[47] & 0x12 == 2
                counts["segments"] += len(frame) > 66 and struct.unpack_from("!H", frame, 16)[0] > 52
            elif frame[23] == 17 and struct.unpack_from("!H", frame, 36)[0] == PORT:
                counts["probes"] += frame[43] == Op.KEEP_ALIVE
        return counts

    def flows_again(self, since: float) -> float:
        """Seconds until all three have a packet that was sent after now."""
        number = self.sender.state["sent"]
        for receiver in self.receivers.values():
            receiver.await_last(GROUP, S, number, PATIENCE)
        return time.monotonic() - since

    def lost(self) -> dict[str, int]:
        sent = self.sender.stop()["sent"]
        found = {}
        for name, receiver in self.receivers.items():
            report = receiver.await_last(GROUP, S, sent - 1)
            self.assertEqual((0, 0), (report["duplicates"], report["damaged"]), name)
            found[name] = sent - report["received"]
        return found


class StopTests(TimeTestCase):
    def test_after_fifteen_seconds_links_come_back_and_no_storm_follows(self) -> None:
        self.begin()
        b = self.tree.b
        queries = b.status()["querier"]["counters"]["general_queries_sent"]
        self.stop(b, 15)
        since = time.monotonic()
        tap = self.listen(b)
        said = self.said(tap, b, 1.0)
        self.tree.await_links()
        links = time.monotonic() - since
        took = self.flows_again(since)
        status = b.status()
        asked = status["querier"]["counters"]["general_queries_sent"] - queries
        self.measured("b said in its first second", said)
        self.measured("seconds until links are up with data on UDP, until the stream flows",
                      (round(links, 2), round(took, 2)))  # fmt: skip
        self.assertLess(sum(said.values()), STORM)
        self.assertLessEqual(asked, 3)  # one is due every 10 s
        self.assertLessEqual(status["counters"]["opened"] - self.opened, 2 * 3)
        self.assertGreaterEqual(status["counters"]["stops"], 1)  # a busy machine may stop it again
        self.assertIn("this process did not run for", node_log(b))
        self.measured("lost in all", self.lost())

    def test_five_seconds_close_no_link(self) -> None:
        """With a patience of 20 s: a keep-alive may be due three quarters of it after the last one."""
        self.begin(patience=20)
        b = self.tree.b
        before = self.sender.state["sent"]
        self.stop(b, 5)
        since = time.monotonic()
        took = self.flows_again(since)
        self.tree.await_links()
        status = b.status()
        self.assertEqual(self.opened, status["counters"]["opened"])
        meanwhile = self.sender.state["sent"] - before
        lost = self.lost()
        falls = peer_of(self.tree.a.status(), "b")["falls"]
        self.measured("sent until it flowed again, lost, seconds, falls to TCP",
                      (meanwhile, lost, round(took, 2), falls))  # fmt: skip
        for name, count in lost.items():
            self.assertLess(count, meanwhile, name)

    def test_one_second_loses_nothing(self) -> None:
        self.begin()
        self.stop(self.tree.b, 1)
        self.flows_again(time.monotonic())
        self.assertEqual({"b": 0, "c": 0, "d": 0}, self.lost())
        self.assertEqual(self.opened, self.tree.b.status()["counters"]["opened"])


class ClockTests(TimeTestCase):
    def test_a_wall_clock_that_is_set_back_an_hour_disturbs_nothing(self) -> None:
        self.begin("ab")
        for wall in (-HOUR, 5 * HOUR, self.wrapping()):
            for name in "ab":
                self.move(name, wall=wall)
            self.sender.await_sent(self.sender.state["sent"] + 3 * RATE)
        status = self.tree.b.status()
        self.assertEqual((self.opened, 0), (status["counters"]["opened"], status["counters"]["stops"]))
        self.assertEqual({"b": 0, "c": 0, "d": 0}, self.lost())
        uptime = status["node"]["uptime"]
        self.assertTrue(0 < uptime < 600, uptime)
        stamps = re.findall(r"^(\S+) \[", node_log(self.tree.b), re.MULTILINE)
        self.measured("log lines of b, their first and last stamp", (len(stamps), stamps[0], stamps[-1]))

    def wrapping(self) -> int:
        """Seconds that put the origin time (µs, 32 bits) two seconds before its end."""
        now = time.time_ns() // 1000
        return (((1 << 32) - 2_000_000 - now) % (1 << 32)) // 1_000_000

    def test_a_monotonic_clock_that_jumps_eight_hours_ahead(self) -> None:
        """A machine that stood still, and whose clock did not."""
        self.begin("b")
        b = self.tree.b
        tap = self.listen(b)
        queries = b.status()["querier"]["counters"]["general_queries_sent"]
        self.move("b", monotonic=8 * HOUR, boot=8 * HOUR)
        said = self.said(tap, b, 1.0)
        # By b's clock its peers have waited for it in vain: it gives them a second.  They dial again, but for
        # who says something within that, as one may on a busy machine.
        noticed = b.await_status(lambda s: s["counters"]["stops"] >= 1, PATIENCE, "the jump noticed")
        decided = noticed["node"]["uptime"] + 2
        b.await_status(
            lambda s: s["node"]["uptime"] >= decided, PATIENCE, "that second past by its own clock"
        )
        self.tree.await_links()
        status = b.status()
        stayed = [peer["name"] for peer in status["peers"] if peer["since"] > HOUR]
        opened = status["counters"]["opened"] - self.opened
        self.assertGreaterEqual(opened, 3 - len(stayed))
        self.flows_again(time.monotonic())
        gaps = {name: round(r.report(GROUP, S)["gap"], 2) for name, r in self.receivers.items()}
        self.measured("b said in the second of the jump, longest gap of the stream (s)", (said, gaps))
        self.assertLess(sum(said.values()), STORM)
        status = b.status()
        self.assertLessEqual(status["querier"]["counters"]["general_queries_sent"] - queries, 4)
        self.assertGreaterEqual(status["counters"]["stops"], 1)  # a busy machine may stop it again
        self.measured("links that were dialled again, who stayed; lost", (opened, stayed, self.lost()))

    def test_a_laptop_that_slept_finds_its_peer_gone_and_dials_at_once(self) -> None:
        """c sleeps for longer than b waits: its monotonic clock stands still, and b's last words are lost."""
        self.begin("c")
        c = self.tree.c
        c.unplug()
        assert c.node
        os.kill(c.node.pid, signal.SIGSTOP)
        fell_asleep = time.monotonic()
        try:
            self.tree.b.await_status(lambda s: all(p["name"] != "c" for p in s["peers"]), 30, "c is gone")
            slept = int(time.monotonic() - fell_asleep) + 3
            let_pass(slept - (time.monotonic() - fell_asleep))
            self.move("c", monotonic=-slept)
            c.plug()
        finally:
            os.kill(c.node.pid, signal.SIGCONT)
        since = time.monotonic()
        self.awake(c)
        links = time.monotonic() - since
        took = self.flows_again(since)
        self.measured("seconds until c is up, until it has the stream", (round(links, 2), round(took, 2)))
        self.assertEqual(1, c.status()["counters"]["sleeps"])
        self.assertIn("this host slept for", node_log(c))
        self.assertLess(links, RECOVERED)
        lost = self.lost()
        self.assertEqual((0, 0), (lost["b"], lost["d"]))

    def awake(self, host: Host) -> Any:
        def look() -> bool:
            status = host.status()
            return status["counters"]["sleeps"] == 1 and peer_of(status, "b")["state"] == "up"

        return wait_until(look, PATIENCE, "it slept, and its link is up")
