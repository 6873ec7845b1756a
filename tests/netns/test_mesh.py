"""The mesh on whole nodes: one seed is enough, streams find their receivers, a relay's death is repaired."""

import json
import re
import sys
from collections.abc import Sequence
from subprocess import run
from typing import Any

from multicastmw.cli.doctor.command import SICK
from multicastmw.cli.lab import Host, wait_until
from multicastmw.cli.lab.process import Process
from multicastmw.core.mesh.seedtimes import GREETS
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    PORT,
    TTL,
    NetnsTestCase,
    asking,
    await_linked,
    mcmw,
    node_ini,
    wanters,
    why_not,
)

GROUP = "239.7.7.7"
QUESTIONS = "239.255.77.68"


def overlay(seed: Host | None, **options: object) -> dict[str, dict[str, object]]:
    """The sections of a node of the mesh."""
    seeds = {"seeds": f"tcp:{seed.address}:{PORT}"} if seed else {}
    return {"overlay": {"engine": "mesh", **seeds, **options}}


def groups_of(status: dict[str, Any]) -> set[str]:
    return {group["group"] for group in status["groups"]}


def neighbours(status: dict[str, Any]) -> set[str]:
    return {peer["name"] for peer in status["peers"] if peer["state"] == "up"}


def why_no_seed(status: dict[str, Any]) -> str:
    (seed,) = status["mesh"]["seeds"]
    return str(seed["why"])


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


class SeedStartsAgain(NetnsTestCase):
    """The only seed, and the only neighbour, of a node that nobody can dial."""

    skip = why_not()

    def test_who_was_linked_with_it_asks_at_once_and_not_when_it_would_greet_it_again(self) -> None:
        lab = self.make_lab("ab")
        seed, member = lab.hosts
        ini = node_ini(seed, (), overlay(None, role="relay"))
        seed.start_node(ini)
        member.start_node(node_ini(member, (), {**overlay(seed), "listen": {"endpoint": ""}}))
        await_linked(member, "a")
        seed.kill_node()
        member.await_status(lambda status: bool(why_no_seed(status)), PATIENCE, "it is alone, and asked")
        self.assertEqual(SICK, mcmw(member, "doctor", "--json")[0])
        seed.start_node(ini)
        await_linked(member, "a", timeout=GREETS[0] / 2)
        self.assertEqual("", why_no_seed(member.status()))


class Repair(NetnsTestCase):
    """Nodes that can feed one other each are a chain, whose links may be killed."""

    skip = why_not()

    def test_who_is_behind_a_node_that_dies_gets_every_packet_all_the_same(self) -> None:
        lab = self.make_lab("abcde")
        hosts = [lab.host(name) for name in "abcde"]
        seed = hosts[0]
        for host in hosts:
            own = {"uplink": 3_000, "role": "relay"} if host is seed else {"uplink": 3_000}
            host.start_node(node_ini(host, (), overlay(None if host is seed else seed, **own)))
        receivers = {
            host.name: host.spawn(asking(host, "recv", GROUP, "--json"), log=f"{host.name}-recv")
            for host in hosts[1:]
        }
        for host in hosts[1:]:
            host.await_status(lambda status: GROUP in groups_of(status), PATIENCE, "demand")
        sender = seed.spawn(asking(seed, "send", GROUP, "--json", "--seconds", "15"), log="send")
        relay = wait_until(lambda: a_relay(hosts[1:]), PATIENCE, "a node that feeds another")
        for host in hosts[1:]:
            host.await_status(lambda status: parent_of(status) is not None, PATIENCE, "a parent")
        lab.host(relay).kill_node()
        self.assertEqual(0, sender.wait(PATIENCE), sender.last_words())
        for name, receiver in receivers.items():
            if name == relay:
                receiver.terminate()
                continue
            self.assertEqual(0, receiver.wait(PATIENCE), receiver.last_words())
            found = json.loads(receiver.read_output())
            self.assertEqual(
                (name, 1500, 0, 0), (name, found["received"], found["lost"], found["duplicates"])
            )

    def test_what_a_way_loses_comes_again_and_in_order(self) -> None:
        lab = self.make_lab("abc")
        a, b, c = (lab.host(name) for name in "abc")
        for host in (a, b, c):
            host.start_node(node_ini(host, (), overlay(None if host is a else a, uplink=3_000)))
        for one, other in ("ab", "ac", "bc"):
            lab.internet.lose(one, other, 30)
        receivers = [
            host.spawn(asking(host, "recv", GROUP, "--json"), log=f"{host.name}-recv") for host in (b, c)
        ]
        for host in (b, c):
            host.await_status(lambda status: GROUP in groups_of(status), PATIENCE, "demand")
        done = a.run(asking(a, "send", GROUP, "--json", "--seconds", "10"))
        self.assertEqual(0, done.returncode, done.stderr)
        for host, receiver in zip((b, c), receivers, strict=True):
            self.assertEqual(0, receiver.wait(PATIENCE), receiver.last_words())
            found = json.loads(receiver.read_output())
            self.assertEqual(
                (1000, 0, 0, 0), tuple(found[k] for k in ("received", "lost", "duplicates", "reordered"))
            )
            (stream,) = [
                each
                for each in host.status()["mesh"]["streams"]
                if each["group"] == GROUP and not each["shared"]
            ]
            self.assertGreater(stream["counters"]["recovered"], 0)
            self.assertGreater(stream["counters"]["held"], 0)

    def test_what_mcmw_setup_makes_is_a_mesh_whose_data_go_inside_tls(self) -> None:
        lab = self.make_lab("abc")
        hosts = [lab.host(name) for name in "abc"]
        folder = lab.state_dir / "made"
        folder.mkdir()
        nodes = [f"{host.name}={host.address}" for host in hosts[:2]] + ["c"]
        setup = ["setup", "--mesh", "--in", str(folder), *nodes]
        command = [sys.executable, "-m", "multicastmw.cli.main", *setup]
        done = run(command, capture_output=True, check=False, text=True)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        for host in hosts:
            own = folder / host.name
            files = f" = {own}/\\1"  # as its node would find them beside its node.ini
            ini = re.sub(r" = (\w+\.(?:pem|key))$", files, (own / "node.ini").read_text(), flags=re.MULTILINE)
            host.start_node(ini.replace("[tap]", f"[tap]\ndevice = {DEVICE}"))
        await_linked(hosts[2], "ab", data="tcp")
        receivers = [
            host.spawn(asking(host, "recv", GROUP, "--json"), log=f"{host.name}-r") for host in hosts[1:]
        ]
        for host in hosts[1:]:
            host.await_status(lambda status: GROUP in groups_of(status), PATIENCE, "demand")
        done = hosts[0].run(asking(hosts[0], "send", GROUP, "--json", "--seconds", "3"))
        self.assertEqual(0, done.returncode, done.stderr)
        for receiver in receivers:
            self.assertEqual(0, receiver.wait(PATIENCE), receiver.last_words())
            found = json.loads(receiver.read_output())
            self.assertEqual((300, 0, 0), (found["received"], found["lost"], found["duplicates"]))

    def behind_nats(self, names: str, public: int) -> list[Host]:
        """A mesh in which all but the first so many nodes cannot be dialled; the first one is the seed."""
        lab = self.make_lab(names)
        hosts = [lab.host(name) for name in names]
        for host in hosts:
            sections: dict[str, dict[str, object]] = overlay(None if host is hosts[0] else hosts[0])
            if host in hosts[public:]:
                sections["listen"] = {"endpoint": ""}
            host.start_node(node_ini(host, (), sections))
        return hosts

    def test_who_cannot_be_dialled_dials_and_has_all(self) -> None:
        hosts = self.behind_nats("abcd", 2)
        await_linked(hosts[2], "ab")
        await_linked(hosts[3], "ab")
        receiver = hosts[2].spawn(asking(hosts[2], "recv", GROUP, "--json"), log="recv")
        hosts[0].await_status(lambda status: "c" in members_near(status), PATIENCE, "c at the relay")
        done = hosts[3].run(asking(hosts[3], "send", GROUP, "--json", "--seconds", "3"))
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(0, receiver.wait(PATIENCE), receiver.last_words())
        found = json.loads(receiver.read_output())
        self.assertEqual((300, 0, 0), (found["received"], found["lost"], found["duplicates"]))
        self.assertEqual([TTL - 2], found["ttl"])  # over the relay, also what was sent again

    def test_all_answer_who_asks_them_also_those_who_cannot_reach_each_other(self) -> None:
        hosts = self.behind_nats("abcdef", 3)
        for host in hosts[3:]:
            host.await_status(
                lambda status: set("abc") <= set(members_near(status, QUESTIONS)), PATIENCE, "the others"
            )
        for host in (hosts[5], hosts[1]):
            done = host.run(asking(host, "matrix", "--json", "--probes", "10"))
            found = json.loads(done.stdout)
            self.assertEqual(
                (6, 30, []), (len(found["nodes"]), len(found["pairs"]), found["silent"]), host.name
            )


def members_near(status: dict[str, Any], group: str = GROUP) -> list[str]:
    """The neighbours in the group."""
    return next((each["neighbours"] for each in status["mesh"]["groups"] if each["group"] == group), [])


def parent_of(status: dict[str, Any]) -> str | None:
    found = [each for each in status["mesh"]["streams"] if each["group"] == GROUP and not each["shared"]]
    return found[0]["parent"] if found else None


def a_relay(hosts: Sequence[Host]) -> str | None:
    """One of them that another one gets the stream from."""
    names = {host.name for host in hosts}
    fed = [parent for host in hosts if (parent := parent_of(host.status())) in names]
    return fed[0] if len([host for host in hosts if parent_of(host.status())]) == len(hosts) and fed else None


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
        self.b.await_status(
            lambda status: {"a", "d"} <= wanters(status, GROUP), PATIENCE, "demand of the tree"
        )
        self.send(self.f)
        self.assert_perfect_streams(*receivers)

    def test_the_mesh_alone_is_enough_to_want_it_of_the_tree(self) -> None:
        receivers = self.receive(self.f)
        self.a.await_status(lambda status: "b" in wanters(status, GROUP), PATIENCE, "demand behind b")
        self.send(self.a)
        self.assert_perfect_streams(*receivers)
