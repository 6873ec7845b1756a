"""The mesh on whole nodes: one seed is enough, streams find their receivers, a relay's death is repaired."""

import json
from typing import Any

from multicastmw.cli.lab import Host
from multicastmw.cli.lab.process import Process
from tests.netns.kit import (
    PATIENCE,
    PORT,
    NetnsTestCase,
    asking,
    await_linked,
    node_ini,
    wanters,
    why_not,
)

GROUP = "239.7.7.7"


def overlay(seed: Host | None, **options: object) -> dict[str, dict[str, object]]:
    """The sections of a node of the mesh."""
    seeds = {"seeds": f"tcp:{seed.address}:{PORT}"} if seed else {}
    return {"overlay": {"engine": "mesh", **seeds, **options}}


def groups_of(status: dict[str, Any]) -> set[str]:
    return {group["group"] for group in status["groups"]}


def neighbours(status: dict[str, Any]) -> set[str]:
    return {peer["name"] for peer in status["peers"] if peer["state"] == "up"}


class Mesh(NetnsTestCase):
    skip = why_not()

    def mesh_of(self, *names: str, **options: object) -> list[Host]:
        """The first one is the seed of all."""
        lab = self.make_lab(names)
        hosts = [lab.host(name) for name in names]
        for host in hosts:
            seed = None if host is hosts[0] else hosts[0]
            role = {"role": "relay"} if seed is None else {}
            host.start_node(node_ini(host, (), overlay(seed, **role, **options)))
        return hosts

    def test_a_stream_finds_whoever_wants_it(self) -> None:
        hosts = self.mesh_of("a", "b", "c", "d")
        receivers = [
            host.spawn(asking(host, "recv", GROUP, "--json"), log=f"{host.name}-recv") for host in hosts[1:]
        ]
        for host in hosts[1:]:
            host.await_status(lambda status: bool(neighbours(status)), PATIENCE, "a neighbour")
            host.await_status(
                lambda status: any(group["group"] == GROUP for group in status["groups"]), PATIENCE, "demand"
            )
        done = hosts[0].run(asking(hosts[0], "send", GROUP, "--json", "--seconds", "3"))
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        for receiver in receivers:
            self.assertEqual(0, receiver.wait(PATIENCE), receiver.last_words())
            found = json.loads(receiver.read_output())
            self.assertEqual((300, 0, 0), (found["received"], found["lost"], found["duplicates"]))


class Border(NetnsTestCase):
    """The static tree of figure 4, whose b is in a mesh with e and f, too."""

    skip = why_not()

    def setUp(self) -> None:
        lab = self.make_lab("abcdef")
        self.a, self.b, self.c, self.d, self.e, self.f = (lab.host(name) for name in "abcdef")
        self.b.start_node(node_ini(self.b, (), overlay(None, role="relay")))
        for host in (self.a, self.c, self.d):
            host.start_node(node_ini(host, (self.b,)))
        for host in (self.e, self.f):
            host.start_node(node_ini(host, (), overlay(self.b)))
        await_linked(self.b, "acdef")
        await_linked(self.e, "bf")

    def receive(self, *hosts: Host) -> list[Process]:
        found = [host.spawn(asking(host, "recv", GROUP, "--json"), log=f"{host.name}-recv") for host in hosts]
        for host in hosts:
            host.await_status(lambda status: GROUP in groups_of(status), PATIENCE, "demand")
        return found

    def send(self, host: Host) -> None:
        done = host.run(asking(host, "send", GROUP, "--json", "--seconds", "3"))
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def assert_perfect_streams(self, *receivers: Process) -> None:
        for receiver in receivers:
            self.assertEqual(0, receiver.wait(PATIENCE), receiver.last_words())
            found = json.loads(receiver.read_output())
            self.assertEqual((300, 0, 0), (found["received"], found["lost"], found["duplicates"]))

    def test_what_is_sent_in_the_tree_is_received_in_the_mesh(self) -> None:
        receivers = self.receive(self.c, self.e, self.f)
        self.a.await_status(lambda status: "b" in wanters(status, GROUP), PATIENCE, "demand behind b")
        self.send(self.a)
        self.assert_perfect_streams(*receivers)

    def test_what_is_sent_in_the_mesh_is_received_in_the_tree(self) -> None:
        receivers = self.receive(self.a, self.d, self.e)
        self.b.await_status(lambda status: {"a", "d"} <= wanters(status, GROUP), PATIENCE, "demand of the tree")
        self.send(self.f)
        self.assert_perfect_streams(*receivers)

    def test_the_mesh_alone_is_enough_to_want_it_of_the_tree(self) -> None:
        receivers = self.receive(self.f)
        self.a.await_status(lambda status: "b" in wanters(status, GROUP), PATIENCE, "demand behind b")
        self.send(self.a)
        self.assert_perfect_streams(*receivers)
