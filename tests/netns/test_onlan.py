"""seeds = lan: nodes on one Ethernet find each other, and say so where nobody answers."""

import socket
import struct
from typing import Any

from multicastmw.cli.lab import Host
from multicastmw.net.lan import GROUP, PORT
from multicastmw.wire.mesh import BASE, Find, Meeting, Sample
from multicastmw.wire.messages import encode
from tests.netns.kit import (
    PATIENCE,
    NetnsTestCase,
    await_linked,
    inside,
    mcmw,
    node_ini,
    why_not,
)

LAN = {"overlay": {"engine": "mesh", "seeds": "lan:"}}
WIRE = "10.77.0"


class OnOneLan(NetnsTestCase):
    """Three hosts on a bridge of their own; their uplinks lead to an internet that carries no multicast."""

    skip = why_not()

    def setUp(self) -> None:
        lab = self.make_lab("abc")
        lab.lan("lan0", WIRE)
        self.hosts = lab.hosts
        for host in self.hosts:  # the TAP's own routes are what programs follow
            host.ip("route del 224.0.0.0/4 dev lan0")

    def start(self, host: Host, seeds: str = "lan:") -> None:
        host.start_node(node_ini(host, (), {"overlay": {"engine": "mesh", "seeds": seeds}}))

    def counters(self, host: Host) -> dict[str, int]:
        found: dict[str, int] = host.status()["mesh"]["counters"]
        return {name: count for name, count in found.items() if name.startswith("lan_")}

    def test_three_that_know_nobody_find_each_other(self) -> None:
        for host in self.hosts:
            self.start(host)
        for host in self.hosts:
            status = await_linked(host, {"a", "b", "c"} - {host.name})
            places = {peer["address"].rsplit(":", 1)[0] for peer in status["peers"]}
            self.assertTrue(all(place.startswith(f"{WIRE}.") for place in places), places)
        answered = [self.counters(host)["lan_answered"] for host in self.hosts]
        self.assertGreater(sum(answered), 0)

    def test_who_is_there_first_is_told_that_nobody_answers_and_is_found_later(self) -> None:
        a, b, _ = self.hosts
        self.start(a)
        a.await_status(
            lambda status: status["event_counts"].get("SeedUnreachable", 0) > 0, PATIENCE, "word of nobody"
        )
        said = " ".join(mcmw(a, "show", "events")[1].split())
        self.assertIn("the seed lan: cannot be reached: nobody answers at", said)
        self.assertIn("then name a seed", said)
        self.start(b)
        await_linked(b, "a")

    def test_an_interface_that_is_named_is_the_only_one(self) -> None:
        a, b, c = self.hosts
        self.start(a, "lan:lan0")
        self.start(b, "lan:lan0")
        self.start(c, "lan:u0")
        await_linked(a, "b")
        c.await_status(
            lambda status: status["event_counts"].get("SeedUnreachable", 0) > 0, PATIENCE, "word of nobody"
        )
        self.assertEqual([], c.status()["peers"])
        self.assertIn("nobody answers at u0", " ".join(mcmw(c, "show", "events")[1].split()))

    def test_what_strangers_say_there_is_counted_and_answered_so_often(self) -> None:
        a, b, _ = self.hosts
        self.start(a)
        asks = encode(Find(BASE, Meeting.QUERY, (Sample(7 << 16, (), 0, 0, 0),)))
        with inside(b):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        there = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(f"{WIRE}.{b.index}"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, there[4:])
        sock.settimeout(PATIENCE)
        for _ in range(90):
            sock.sendto(asks, (GROUP, PORT))
        for junk in (b"", b"x" * 40, asks[:-4], asks + bytes(600)):
            sock.sendto(junk, (GROUP, PORT))

        def counted(status: dict[str, Any]) -> bool:
            found = status["mesh"]["counters"]
            return found["lan_questions"] + found["lan_over_bound"] >= 90 and found["lan_malformed"] >= 3

        a.await_status(counted, PATIENCE, "ninety questions")
        answered = self.counters(a)["lan_answered"]
        self.assertTrue(20 <= answered <= 60, answered)  # 20 at once, 10 a second
        answer, (host, _) = sock.recvfrom(2_000)
        self.assertEqual(f"{WIRE}.{a.index}", host)
        self.assertNotIn(b"10.99.", answer)
        self.assertTrue(a.status()["node"]["ready"])
