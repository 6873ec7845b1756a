"""The lab itself: what it makes, what may go wrong on its internet, and that it leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.trial.unittest import TestCase

from multicastmw.cli.lab import Host, Lab, LabError, TimedOut, take_down, wait_until
from multicastmw.cli.lab.process import is_alive, stat
from multicastmw.cli.lab.registry import BASE, NAMESPACES
from tests.netns.kit import PATIENCE
from tests.netns.machine import no_lab

pytestmark = pytest.mark.netns
# Of this worker alone: what one takes for an orphan may be what another works with.
PREFIX = f"mcmw-labtest{os.environ.get('PYTEST_XDIST_WORKER', '')}"
PING = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(float(sys.argv[2]))
    sock.connect((sys.argv[1], 7))
    for _ in range(int(sys.argv[3])):
        sock.send(b"ping")
    print(sock.recv(9).decode())
"""
ECHO = """
import socket
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    sock.bind(("::", 7))
    print("ready", flush=True)
    while True:
        data, sender = sock.recvfrom(99)
        sock.sendto(data, sender)
"""
RUN = """
import socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    cut = (socket.IPPROTO_UDP, 103, struct.pack("=H", 100))  # UDP_SEGMENT
    for _ in range(10):
        sock.sendmsg([bytes(1000)], [cut], 0, (sys.argv[1], 9))
"""
DEAF_PARENT = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
os.write(1, b"%d\\n" % os.getpid())
signal.pause()
"""
# Makes a lab with one process in it and is then killed, or keeps it.
OWNER = """
import os, signal, sys
from multicastmw.cli.lab import Lab
lab = Lab(sys.argv[1], sys.argv[2], "a")
with lab:
    process = lab.host("a").spawn(["sleep", "1000"])
    print(lab.name, *process.identity, flush=True)
    if sys.argv[3] == "wait":
        signal.pause()
    elif sys.argv[3] == "keep":
        lab.keep()
"""


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", script, *arguments]


def unwanted(host: Host) -> int:
    """Datagrams that came to ports where nobody listens."""
    names, counts = (
        line.split()
        for line in host.run(["cat", "/proc/net/snmp"]).stdout.splitlines()
        if line.startswith("Udp:")
    )
    return int(counts[names.index("NoPorts")])


class LabCase(TestCase):
    skip = no_lab()

    def state(self) -> Path:
        return Path(self.mktemp())

    def enter(self, hosts: str = "abc") -> Lab:
        lab = Lab(PREFIX, self.state(), hosts)
        lab.__enter__()
        self.addCleanup(lab.__exit__, None, None, None)
        return lab

    def assert_gone(self, name: str) -> None:
        self.assertEqual(list(NAMESPACES.glob(f"{name}-*")), [])
        self.assertFalse((BASE / name).exists())


class HostsTests(LabCase):
    def setUp(self) -> None:
        self.lab = self.enter()
        for host in self.lab.hosts:
            echo = host.spawn(python(ECHO), log=f"{host.name}-echo")
            wait_until(echo.read_output, PATIENCE, "the echo")

    def reaches(self, one: str, address: str, tries: int = 1) -> bool:
        return self.lab.host(one).run(python(PING, address, "0.5", str(tries))).returncode == 0

    def test_every_host_reaches_every_other_by_both_families(self) -> None:
        for one in self.lab.hosts:
            for other in self.lab.hosts:
                self.assertTrue(self.reaches(one.name, other.address))
                self.assertTrue(self.reaches(one.name, other.address6))

    def test_the_internet_carries_no_multicast(self) -> None:
        self.lab.host("b").ip("link set u0 allmulticast on")
        before = self.lab.host("b").counters()
        self.lab.host("a").run(python(PING, "239.1.2.3", "0.01", "50"))
        self.assertLess(self.lab.host("b").counters().rx_packets - before.rx_packets, 10)

    def test_counters_count_what_went_over_the_uplink(self) -> None:
        before = self.lab.host("b").counters()
        self.reaches("a", self.lab.host("b").address, 50)
        after = self.lab.host("b").counters()
        self.assertGreaterEqual(after.rx_packets - before.rx_packets, 50)
        self.assertGreaterEqual(after.rx_bytes - before.rx_bytes, 50 * 46)
        self.assertRaises(LabError, self.lab.host("b").counters, "nothing0")

    def test_a_black_hole_is_between_two_hosts_only_and_heals(self) -> None:
        self.lab.internet.black_hole("a", "b")
        for address in (self.lab.host("b").address, self.lab.host("b").address6):
            self.assertFalse(self.reaches("a", address))
        self.assertTrue(self.reaches("a", self.lab.host("c").address))
        self.lab.internet.heal()
        self.assertTrue(self.reaches("a", self.lab.host("b").address))

    def test_a_firewall_against_udp_and_losses(self) -> None:
        self.lab.internet.block_udp("a", "b")
        self.assertFalse(self.reaches("b", self.lab.host("a").address))
        self.lab.internet.heal()
        before = self.lab.host("b").counters()
        self.lab.internet.lose("a", "b", 500)
        self.reaches("a", self.lab.host("b").address, 400)
        arrived = self.lab.host("b").counters().rx_packets - before.rx_packets
        self.assertTrue(100 < arrived < 300, arrived)

    def test_of_what_is_sent_in_runs_single_datagrams_are_lost(self) -> None:
        internet, b = self.lab.internet, self.lab.host("b")
        for which, come in (("meta length > 9999", 100), ("udp dport 9 numgen inc mod 2 == 0", 50),
                            ("udp dport 9 numgen inc mod 10 == 0", 90)):  # fmt: skip
            internet.heal()
            internet.drop(which)
            before = unwanted(b)
            self.lab.host("a").run(python(RUN, b.address))
            self.assertEqual(come, unwanted(b) - before, which)

    def test_an_interface_that_was_down_comes_back_with_its_routes(self) -> None:
        host = self.lab.host("c")
        for leave, back in ((host.link_down, host.link_up), (host.unplug, host.plug)):
            leave()
            self.assertFalse(self.reaches("a", host.address))
            back()
            for address in (host.address, host.address6):
                wait_until(
                    lambda address=address: self.reaches("a", address), PATIENCE, f"{address} after {back}"
                )

    def test_an_ethernet_between_the_hosts_floods_multicast(self) -> None:
        self.lab.lan("lan0")
        before = self.lab.host("b").counters("lan0")
        self.lab.host("a").run(python(PING, "239.1.2.3", "0.01", "50"))
        self.assertGreaterEqual(self.lab.host("b").counters("lan0").rx_packets - before.rx_packets, 50)

    def test_an_unknown_host_is_named(self) -> None:
        self.assertIn("'x'", str(self.assertRaises(LabError, self.lab.host, "x")))

    def test_a_node_that_ends_at_once_says_why(self) -> None:
        error = self.assertRaises(LabError, self.lab.host("a").start_node, "[tap]\ndevise = x\n")
        self.assertIn("devise", str(error))

    def test_what_never_comes_is_named(self) -> None:
        error = self.assertRaises(TimedOut, wait_until, lambda: None, 0.05, "the Messiah")
        self.assertIn("the Messiah: not within 0.05 s", str(error))


class EndTests(LabCase):
    def test_nothing_is_left_behind_an_error(self) -> None:
        with self.assertRaises(ZeroDivisionError), Lab(PREFIX, self.state(), "ab") as lab:
            name = lab.name
            process = lab.host("a").spawn(["sleep", "1000"])
            1 / 0
        self.assert_gone(name)
        self.assertFalse(is_alive(process.identity))

    def test_what_a_process_forked_ends_with_it_even_deaf_to_sigterm(self) -> None:
        with Lab(PREFIX, self.state(), "a") as lab:
            parent = lab.host("a").spawn(python(DEAF_PARENT), log="parent")
            wait_until(lambda: parent.read_output().count("\n") == 2, PATIENCE, "both")
            parent.kill()
        for pid in parent.read_output().split():
            self.assertIsNone(stat(int(pid)), pid)

    def test_two_labs_at_once_leave_each_other_alone(self) -> None:
        first = self.enter("a")
        with Lab(PREFIX, self.state(), "a") as second:
            self.assertNotEqual(first.name, second.name)
        self.assertEqual(first.host("a").run(["true"]).returncode, 0)

    def test_a_process_in_the_namespace_that_the_lab_did_not_start_lives(self) -> None:
        with Lab(PREFIX, self.state(), "a") as lab:
            guest = subprocess.Popen(["ip", "netns", "exec", lab.host("a").namespace, "sleep", "1000"])
            self.addCleanup(guest.wait)
            self.addCleanup(guest.kill)
        self.assertIsNone(guest.poll())

    def test_signals_are_as_before_afterwards(self) -> None:
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        self.enter("a").__exit__(None, None, None)
        self.assertEqual((signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)), before)


class OwnerTests(LabCase):
    """A lab whose owner is another process."""

    def own(self, what: str) -> tuple["subprocess.Popen[str]", str, int]:
        """The owner, its lab's name, and the process that runs in it."""
        command = python(OWNER, PREFIX, str(self.state()), what)
        self.addCleanup(take_down, PREFIX)  # of an owner that was killed, which no next one takes down
        owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.addCleanup(owner.wait)
        self.addCleanup(owner.kill)
        assert owner.stdout is not None
        self.addCleanup(owner.stdout.close)
        name, pid, _start = owner.stdout.readline().split()
        self.assertTrue((NAMESPACES / f"{name}-a").exists())
        return owner, name, int(pid)

    def test_signals_end_it_cleanly(self) -> None:
        for sign, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            owner, name, pid = self.own("wait")
            owner.send_signal(sign)
            self.assertEqual(owner.wait(PATIENCE), code)
            self.assert_gone(name)
            self.assertIsNone(stat(pid))

    def test_a_killed_owners_lab_goes_when_the_next_begins(self) -> None:
        owner, name, pid = self.own("wait")
        owner.kill()
        owner.wait()
        self.assertIsNotNone(stat(pid))
        with Lab(PREFIX, self.state(), "a"):
            self.assert_gone(name)
            self.assertIsNone(stat(pid))

    def test_a_kept_lab_stays_until_it_is_taken_down(self) -> None:
        owner, name, pid = self.own("keep")
        self.assertEqual(owner.wait(PATIENCE), 0)
        with Lab(PREFIX, self.state(), "a"):
            self.assertTrue((NAMESPACES / f"{name}-a").exists())
            self.assertIsNotNone(stat(pid))
        self.assertIn(name, take_down(PREFIX))
        self.assert_gone(name)
        self.assertIsNone(stat(pid))

    def test_a_lab_that_has_an_owner_is_not_taken_down(self) -> None:
        _, name, _ = self.own("wait")
        self.assertNotIn(name, take_down(PREFIX))
        self.assertTrue((NAMESPACES / f"{name}-a").exists())

    def test_what_a_test_leaves_is_taken_down_after_it(self) -> None:
        _, name, pid = self.own("wait")
        self.doCleanups()
        self.assert_gone(name)
        self.assertIsNone(stat(pid))
