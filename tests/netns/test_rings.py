"""Rings of whole nodes: one link stands by, and takes over when another is cut.

`make soak` runs the long one; MCMW_RING_SECONDS makes it shorter or longer than five minutes, MCMW_RING_SEED
draws other cuts.
"""

import os
import statistics
import time
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from multicastmw.cli.lab import wait_until
from tests.core.topology import joined
from tests.netns.kit import DEVICE, PATIENCE, NetnsTestCase, Receiver, Sender, let_pass, node_ini, wanters

GROUP = "239.1.1.1"
S = "10.88.0.1"
SECONDS = float(os.environ.get("MCMW_RING_SECONDS", "300"))
SEED = int(os.environ.get("MCMW_RING_SEED", "1"))
RATE = 100
BROKEN_MAX = 2  # ways at a time: the second one parts the ring
SECOND_CUT = 0.3  # how often another way is drawn while one is cut, and not that one mended

Pair = frozenset[str]


class Ring:
    """Nodes of which each dials the next one."""

    def __init__(self, test: NetnsTestCase, names: str, keepalive: int) -> None:
        self.names = names
        self.lab = test.make_lab(names)
        self.hosts = {name: self.lab.host(name) for name in names}
        self.ways = [frozenset((name, self.next(name))) for name in names]
        self.broken: set[Pair] = set()
        patience = {"listen": {"keepalive-timeout": keepalive}}
        for name, host in self.hosts.items():
            host.start_node(node_ini(host, [self.hosts[self.next(name)]], patience), ready=None)
        for host in self.hosts.values():
            host.await_status(lambda status: status["tap"]["state"] == "up", PATIENCE, "its TAP")

    def next(self, name: str) -> str:
        return self.names[(self.names.index(name) + 1) % len(self.names)]

    def parts(self) -> list[set[str]]:
        """What the ways that are whole hold together."""
        return joined(self.names, [way for way in self.ways if way not in self.broken])

    def statuses(self) -> dict[str, dict[str, Any]]:
        return {name: host.status() for name, host in self.hosts.items()}

    def is_tree(self, statuses: Mapping[str, Any]) -> bool:
        """Has each part a tree that spans it, and does every node know the nodes of its part and no other?"""
        parts = self.parts()
        links = links_of(statuses)
        knows = {name: {node["name"] for node in status["nodes"]} for name, status in statuses.items()}
        return (
            len(links) == len(self.names) - len(parts)
            and sorted(map(sorted, joined(self.names, links))) == sorted(map(sorted, parts))
            and all(knows[name] == part - {name} for part in parts for name in part)
        )

    def await_tree(self, since: float) -> float:
        """Seconds from `since` on until there is one."""
        wait_until(lambda: self.is_tree(self.statuses()), PATIENCE, "a tree again")
        return time.monotonic() - since

    def break_way(self, way: Pair, how: str) -> None:
        one, other = way
        self.broken.add(way)
        (self.lab.internet.black_hole if how == "silently" else self.lab.internet.hang_up)(one, other)

    def mend(self, way: Pair) -> None:
        self.broken.discard(way)
        self.lab.internet.heal(*way)

    def standing_by(self) -> list[str]:
        """Who keeps a link in reserve; for a moment it may be dialled to see whether it works."""
        return [
            name
            for name, status in self.statuses().items()
            if any(peer["state"] == "standby" for peer in status["peers"])
        ]


def links_of(statuses: Mapping[str, Any]) -> set[Pair]:
    """The links that both ends call up."""
    ends = {
        (name, peer["name"])
        for name, status in statuses.items()
        for peer in status["peers"]
        if peer["state"] == "up"
    }
    return {frozenset(end) for end in ends if end[::-1] in ends}


class ThreeTests(NetnsTestCase):
    """Three nodes in a ring, started at once."""

    def setUp(self) -> None:
        self.ring = Ring(self, "abc", keepalive=1)

    def test_they_are_a_tree_and_one_link_stands_by_and_takes_over(self) -> None:
        ring = self.ring
        ring.await_tree(time.monotonic())
        wait_until(lambda: len(ring.standing_by()) == 1, PATIENCE, "one link that stands by")
        receivers = {name: Receiver(ring.hosts[name], GROUP) for name in "bc"}
        for name in "bc":
            ring.hosts[name].await_status(lambda status: wanters(status, GROUP), PATIENCE, "the group")
        wait_until(
            lambda: all(wanters(status, GROUP) for status in ring.statuses().values()),
            PATIENCE,
            "the group at a",
        )
        sender = Sender(ring.hosts["a"], GROUP, rate=RATE)
        for receiver in receivers.values():
            receiver.await_last(GROUP, S, 50)
        cut = min(links_of(ring.statuses()), key=sorted)
        ring.break_way(cut, "silently")
        wait_until(lambda: cut not in links_of(ring.statuses()), PATIENCE, "the cut noticed")
        self.measured("a tree again after the cut was noticed, seconds", ring.await_tree(time.monotonic()))
        last = sender.state["sent"] + 50
        for receiver in receivers.values():
            receiver.await_last(GROUP, S, last)
        sender.stop()
        for name, receiver in receivers.items():
            report = receiver.stop()["streams"][f"{GROUP} {S}"]
            self.assertEqual((0, 0), (report["duplicates"], report["damaged"]), name)
            # A new link's data goes from TCP to UDP: on a busy machine they may overtake.
            self.measured(f"gap at {name}, seconds", round(report["gap"], 3))
            self.measured(f"out of order at {name}", report["disordered"])


@pytest.mark.slow
class SixTests(NetnsTestCase):
    """Six nodes in a ring whose ways are cut and mended at random while all receive a stream."""

    def setUp(self) -> None:
        self.ring = Ring(self, "abcdef", keepalive=1)
        self.random = Random(SEED)
        self.trees: dict[str, list[float]] = {"silently": [], "loudly": [], "mended": []}
        self.gaps: list[float] = []
        self.changes = 0

    def test_there_is_always_a_tree_again_and_nobody_gets_a_packet_twice(self) -> None:
        ring = self.ring
        ring.await_tree(time.monotonic())
        receivers = {name: Receiver(ring.hosts[name], GROUP) for name in "bcdef"}
        for name in "bcdef":
            ring.hosts[name].await_status(lambda s: DEVICE in wanters(s, GROUP), PATIENCE, "the group")
        sender = Sender(ring.hosts["a"], GROUP, rate=RATE)
        for receiver in receivers.values():
            receiver.await_last(GROUP, S, 50)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            self.change(receivers)
        for way in list(ring.broken):
            ring.mend(way)
        ring.await_tree(time.monotonic())
        first = sender.state["sent"]
        let_pass(2.0)
        last = sender.stop()["sent"] - 1
        for name, receiver in receivers.items():
            report = receiver.await_last(GROUP, S, last)
            self.assertEqual((0, 0), (report["duplicates"], report["damaged"]), name)
            self.measured(
                f"{name} received",
                f"{report['received']} of {last + 1}, {report['duplicates']} double, "
                f"{report['disordered']} out of order",
            )
        self.assertGreater(last, first)
        for what, seconds in self.trees.items():
            if seconds:
                self.measured(f"a tree again, {what}", figures(seconds))
        if self.gaps:
            self.measured("gap of a receiver that a cut concerned", figures(self.gaps))

    def change(self, receivers: Mapping[str, Receiver]) -> None:
        """One way is cut or mended; notes how soon there is a tree, and the gaps of who stays reached."""
        ring = self.ring
        whole = not ring.broken or self.random.random() < SECOND_CUT
        way = self.random.choice(ring.ways if whole else sorted(ring.broken, key=sorted))
        before = next(part for part in ring.parts() if "a" in part)
        began = time.monotonic()
        if way in ring.broken:
            what = "mended"
            ring.mend(way)
        elif len(ring.broken) < BROKEN_MAX:
            what = self.random.choice(("silently", "loudly"))
            ring.break_way(way, what)
        else:
            return
        self.changes += 1
        stay = before & next(part for part in ring.parts() if "a" in part) - {"a"}
        if what != "mended":
            wait_until(lambda: way not in links_of(ring.statuses()), PATIENCE, "the cut noticed")
        self.trees[what].append(ring.await_tree(began))
        let_pass(self.random.uniform(1.0, 3.0))
        for name in stay:
            gaps = receivers[name].report(GROUP, S)["gaps"]
            self.gaps += [seconds for ended, seconds in gaps if ended > began]


def figures(seconds: list[float]) -> str:
    return f"{len(seconds)} times, median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s"
