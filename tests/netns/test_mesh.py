"""The mesh on whole nodes: one seed is enough, streams find their receivers, a relay's death is repaired."""

import json
from typing import Any

from multicastmw.cli.lab import Host
from tests.netns.kit import PATIENCE, PORT, NetnsTestCase, asking, node_ini, why_not

GROUP = "239.7.7.7"


def overlay(seed: Host | None, **options: object) -> dict[str, dict[str, object]]:
    """The sections of a node of the mesh."""
    seeds = {"seeds": f"tcp:{seed.address}:{PORT}"} if seed else {}
    return {"overlay": {"engine": "mesh", **seeds, **options}}


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
