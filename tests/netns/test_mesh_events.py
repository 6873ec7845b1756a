"""What operators of a mesh hear: a node that has moved, two of one id, a clock that is set, one that stood.

Nobody is given an address: that a node moves is another host that starts a node of the same name.
"""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

from multicastmw.cli.lab import Host
from multicastmw.cli.lab.waiting import wait_until
from tests.netns.kit import (
    PATIENCE,
    NetnsTestCase,
    asking,
    await_linked,
    let_pass,
    node_ini,
    node_log,
    why_not,
)
from tests.netns.test_mesh import GROUP, groups_of, neighbours, overlay
from tests.netns.test_time import HOUR, TimeTestCase


def await_said(host: Host, what: str) -> str:
    """The line of the node's log."""

    def look() -> str | None:
        return next((line for line in node_log(host).splitlines() if what in line), None)

    return wait_until(look, PATIENCE, f"{what!r} in the log of {host.name}")


class Names(NetnsTestCase):
    skip = why_not()

    def setUp(self) -> None:
        self.a, self.b, self.c = map(self.make_lab("abc").host, "abc")
        self.start(self.a, "a")
        self.start(self.b, "b")
        await_linked(self.a, "b")

    def start(self, host: Host, name: str) -> None:
        seed = None if host is self.a else self.a
        role = {"role": "relay"} if seed is None else {}
        host.start_node(node_ini(host, (), {"node": {"name": name}} | overlay(seed, **role)))

    def test_a_node_that_returns_with_another_address(self) -> None:
        self.b.stop_node()
        self.a.await_status(lambda status: not neighbours(status), PATIENCE, "b is gone")
        self.start(self.c, "b")
        said = await_said(self.a, "and was at")
        self.assertIn(f"b is at {self.c.address} now, and was at {self.b.address}", said)
        self.assertIn("give seeds =, [peer:NAME] and firewalls", said)
        self.assertNotIn("in use", node_log(self.a))
        await_linked(self.a, "b")

    def test_two_nodes_with_one_id(self) -> None:
        self.start(self.c, "b")
        said = await_said(self.a, "the node name b is in use")
        for host in (self.b, self.c):
            self.assertIn(host.address, said)
        self.assertIn("give one of them another name", said)
        self.assertNotIn("and was at", node_log(self.a))

    def test_our_own_id_at_another_node(self) -> None:
        self.start(self.c, "a")
        said = await_said(self.a, "is named a, as this one is")
        self.assertIn("a clone, that wants another [node] name", said)
        await_linked(self.a, "b")  # which all this did not disturb
        self.assertEqual({"b"}, neighbours(self.a.status()))


class Clocks(TimeTestCase):
    def setUp(self) -> None:
        self.lab = self.make_lab("abc")
        self.a, self.b, self.c = map(self.lab.host, "abc")
        self.tree = SimpleNamespace(start=self.start)  # type: ignore[assignment]
        self.start(self.a)
        self.start(self.b)
        self.clocks: dict[str, Path] = {"c": self.restart_c()}
        await_linked(self.c, "ab")

    def start(self, host: Host) -> None:
        role = {"role": "relay"} if host is self.a else {}
        host.start_node(node_ini(host, (), overlay(None if host is self.a else self.a, **role)))

    def restart_c(self) -> Path:
        self.start(self.c)
        return self.restart(self.c)

    def test_a_wall_clock_that_is_set_is_told_and_loses_nothing(self) -> None:
        receiver = self.c.spawn(asking(self.c, "recv", GROUP, "--json"), log="recv")
        self.c.await_status(lambda status: GROUP in groups_of(status), PATIENCE, "demand")
        sender = self.a.spawn(asking(self.a, "send", GROUP, "--json", "--seconds", "8"), log="send")
        let_pass(1)
        self.move("c", wall=-HOUR)
        said = await_said(self.c, "the wall clock was set by")
        self.assertRegex(said, r"set by -3(600|599|601)\.\d s: streams and links do not mind")
        self.assertEqual(0, sender.wait(PATIENCE), sender.last_words())
        self.assertEqual(0, receiver.wait(PATIENCE), receiver.last_words())
        found = json.loads(receiver.read_output())
        self.assertEqual((800, 0, 0), (found["received"], found["lost"], found["duplicates"]))

    def test_a_node_that_stood_still_says_so_and_is_in_the_mesh_again(self) -> None:
        assert self.c.node
        os.kill(self.c.node.pid, signal.SIGSTOP)
        try:
            self.a.await_status(lambda status: neighbours(status) == {"b"}, PATIENCE, "c is given up")
        finally:
            os.kill(self.c.node.pid, signal.SIGCONT)
        await_said(self.c, "this process did not run for")
        await_linked(self.c, "ab")
        self.assertNotIn("is left alone", node_log(self.a) + node_log(self.b) + node_log(self.c))
