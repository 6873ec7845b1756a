"""Slow senders on whole nodes: each announces by SAP, all hear all once, by one tree, whose root may die."""

import sys
from typing import Any

from multicastmw.cli.lab import Host, wait_until
from multicastmw.cli.lab.process import Process
from tests.netns.kit import PATIENCE, NetnsTestCase, node_ini, why_not
from tests.netns.test_mesh import neighbours, overlay

GROUP = "239.7.7.7"  # none of SAP's own, of which nodes repeat to programs what they have heard
RELAYS, OTHERS, PICKY = "ab", "cdef", "f"
COUNT, EVERY = 12, 1.0  # packets of each, and seconds between two: slow, and no longer than a test may take

SPEAKER = """
import socket, struct, sys, time
here, group, name, count, every = sys.argv[1:]
sent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
sent.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
sent.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(here))
for number in range(int(count)):
    sdp = f"v=0\\r\\no=- 1 {number} IN IP4 {here}\\r\\ns={name} {number}\\r\\nt=0 0\\r\\n"
    head = struct.pack("!BBH4s", 0x20, 0, number + 1, socket.inet_aton(here))
    sent.sendto(head + b"application/sdp\\0" + sdp.encode(), (group, 9875))
    time.sleep(float(every))
"""
HEARER = """
import socket, sys
here, group, *source = sys.argv[1:]
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind((group, 9875))
join = socket.inet_aton(group) + socket.inet_aton(here) + b"".join(map(socket.inet_aton, source))
heard.setsockopt(socket.IPPROTO_IP, 39 if source else socket.IP_ADD_MEMBERSHIP, join)  # 39: of one source
while True:
    for line in heard.recv(2000).decode("latin-1").splitlines():
        if line.startswith("s="):
            print(line[2:], flush=True)
"""


def tap_of(host: Host) -> str:
    return f"10.88.0.{host.index}"


def said_by(*names: str) -> list[str]:
    return sorted(f"{name} {number}" for name in names for number in range(COUNT))


class Announcements(NetnsTestCase):
    skip = why_not()

    def setUp(self) -> None:
        self.lab = self.make_lab(RELAYS + OTHERS)
        self.hosts = {name: self.lab.host(name) for name in RELAYS + OTHERS}
        seed = self.hosts["a"]
        for name, host in self.hosts.items():
            role = {"role": "relay"} if name in RELAYS else {}
            host.start_node(node_ini(host, (), overlay(None if host is seed else seed, **role)))
        for host in self.hosts.values():
            host.await_status(lambda status: len(neighbours(status)) > 1, PATIENCE, "neighbours")

    def hears(self, name: str, source: str | None = None) -> Process:
        """A program that writes down what is announced, by all or by the host of that name."""
        host = self.hosts[name]
        sources = [tap_of(self.hosts[source])] if source else []
        command = [sys.executable, "-c", HEARER, tap_of(host), GROUP, *sources]
        return host.spawn(command, log=f"{name}-heard-{source or 'all'}")

    def speaks(self, name: str) -> Process:
        host = self.hosts[name]
        command = [sys.executable, "-c", SPEAKER, tap_of(host), GROUP, name, str(COUNT), str(EVERY)]
        return host.spawn(command, log=f"{name}-says")

    def point(self) -> str:
        """Where the others register."""

        def agreed() -> str | None:
            found = {point_of(self.hosts[name].status()) for name in OTHERS}
            return found.pop() if len(found) == 1 else None

        found = wait_until(agreed, PATIENCE, "one rendezvous point")
        assert found
        return found

    def test_all_hear_all_once_though_the_rendezvous_point_is_killed(self) -> None:
        heard = {name: self.hears(name) for name in OTHERS if name != PICKY}
        picky = self.hears(PICKY, "c")
        for name in OTHERS:
            self.hosts[name].await_status(is_member, PATIENCE, "neighbours in the group")
        speakers = [self.speaks(name) for name in OTHERS]
        point = self.point()
        wait_until(lambda: all(len(lines(each)) > 9 for each in heard.values()), PATIENCE, "words of each")
        self.hosts[point].kill_node()
        for speaker in speakers:
            self.assertEqual(0, speaker.wait(PATIENCE), speaker.last_words())
        others = {name: said_by(*(other for other in OTHERS if other != name)) for name in heard}
        wait_until(
            lambda: all(len(lines(each)) >= len(others[name]) for name, each in heard.items()),
            PATIENCE, "all that was said",
        )  # fmt: skip
        for name, process in heard.items():
            self.assertEqual(others[name], sorted(lines(process)), name)
        self.assertEqual(said_by("c"), sorted(lines(picky)))
        other = RELAYS.replace(point, "")
        for name in OTHERS:
            status = self.hosts[name].status()
            self.assertGreater(status["mesh"]["counters"]["registers"], 0, name)
            shared = {each["node"] for each in status["mesh"]["streams"] if each["shared"]}
            self.assertIn(other, shared, name)


def is_member(status: dict[str, Any]) -> bool:
    return any(group["group"] == GROUP and group["neighbours"] for group in status["mesh"]["groups"])


def lines(process: Process) -> list[str]:
    return process.read_output().splitlines()


def point_of(status: dict[str, Any]) -> str | None:
    """The rendezvous point of what begins here."""
    found = [each["registered_with"] for each in status["mesh"]["streams"] if each["group"] == GROUP]
    return next((name for name in found if name), None)
