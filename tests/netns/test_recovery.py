"""Recovery on the links of a static tree: a cable that loses, and receivers that miss nothing."""

import contextlib
from typing import Any

import pytest

from multicastmw.cli.lab import Host, TimedOut
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    PORT,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sections,
    Sender,
    await_linked,
    mcmw,
    node_ini,
    peer_of,
    wanters,
    why_not,
)
from tests.netns.test_mesh import overlay

GROUP = "239.1.1.1"
S = "10.88.0.1"
PACKETS = 4_000
RATE = 500.0
OFF: Sections = {"recovery": {"deadline": 0}}
IN_PYTHON: Sections = {"fastpath": {"mode": "off"}}


class Losses(NetnsTestCase):
    """Figure 4; the internet loses datagrams with data, at random, in each direction."""

    skip = why_not()

    def grow(self, everywhere: Sections, on: dict[str, Sections] | None = None) -> Figure4:
        self.tree = Figure4(self, everywhere, on)
        self.receivers = {
            host.name: Receiver(host, GROUP) for host in (self.tree.b, self.tree.c, self.tree.d)
        }
        self.tree.await_demand(GROUP, "cd")
        return self.tree

    def lose(self, percent: float) -> None:
        """Of all datagrams of links, probes and Nacks among them."""
        self.tree.lab.internet.drop(f"udp dport {PORT} numgen random mod 10000 < {percent * 100:.0f}")

    def stop_losing(self) -> None:
        self.tree.lab.internet.heal()

    def film(self, percent: float) -> None:
        """Loses from its first packets on: a stream that begins with a loss begins later."""
        sender = Sender(self.tree.a, GROUP, count=PACKETS, rate=RATE)
        for receiver in self.receivers.values():
            receiver.await_last(GROUP, S, 0)
        self.lose(percent)
        sender.finish()

    def reports(self, *repaired: str) -> dict[str, dict[str, Any]]:
        """Of all, when almost the last packet is there; of those who repair, when all are, if they come."""
        for receiver in self.receivers.values():
            receiver.await_last(GROUP, S, PACKETS - 20)
        self.settled()
        for name in repaired:
            with contextlib.suppress(TimedOut):  # and the test will say how many are missing
                self.receivers[name].await_state(
                    lambda _, name=name: self.receivers[name].report(GROUP, S)["received"] == PACKETS,
                    "all packets", 5.0,
                )  # fmt: skip
        return {name: receiver.report(GROUP, S) for name, receiver in self.receivers.items()}

    def settled(self) -> None:
        """Nobody asks any more."""
        for host in self.tree.hosts:
            host.await_status(
                lambda s: s["recovery"] is None or s["recovery"]["missing"] == 0, PATIENCE, "nothing missing"
            )

    def counts(self, name: str) -> dict[str, int]:
        found: dict[str, int] = getattr(self.tree, name).status()["recovery"]["counters"]
        return found


class PythonTests(Losses):
    """Python forwards."""

    def test_at_1_percent_nothing_is_missing(self) -> None:
        self.is_whole(1)

    def test_at_5_percent_nothing_is_missing(self) -> None:
        self.is_whole(5)

    def is_whole(self, percent: float) -> None:
        """And in order, as nothing is given up before the hold ends."""
        self.grow({**IN_PYTHON, "recovery": {"hold": 2}})
        self.film(percent)
        for report in self.reports(*"bcd").values():
            self.assert_perfect(report, PACKETS)
        for name in "bcd":
            counts = self.counts(name)
            self.measured(f"{name} counted", counts)
            self.assertGreater(counts["recovered"], PACKETS * percent / 200)
            self.assertEqual(0, counts["given_up"])
        self.assertGreater(self.counts("a")["resent"], 0)
        self.assertIn("sent again", mcmw(self.tree.b, "show")[1])

    def test_with_deadline_0_it_is_lost(self) -> None:
        self.grow({**IN_PYTHON, **OFF})
        self.film(5)
        for name, report in self.reports().items():
            self.measured(f"{name} without recovery", report["missing"])
            self.assertGreater(report["missing"], PACKETS * 0.03, name)
        self.assertIsNone(self.tree.b.status()["recovery"])

    def test_beside_a_node_without_it_the_others_repair(self) -> None:
        self.grow(IN_PYTHON, {"d": OFF})
        self.film(5)
        found = self.reports(*"bc")
        for name in "bc":
            self.assertEqual((PACKETS, 0), (found[name]["received"], found[name]["missing"]), name)
            self.assertEqual(0, self.counts(name)["given_up"], name)
        self.assertGreater(found["d"]["missing"], PACKETS * 0.03)
        status = self.tree.b.status()
        self.assertEqual(["a", "c"], list(status["recovery"]["partners"]))
        d = self.tree.d.status()
        self.assertEqual(0, peer_of(d, "b")["counters"]["unknown_messages"], "nothing is said to it")
        self.assertEqual({DEVICE, "c", "d"}, set(status["routes"][0]["to"]))


class BorderTests(NetnsTestCase):
    """a and c are static and dial b, which is in a mesh with e; every way to b loses 3 %."""

    skip = why_not()
    recovery: Sections = {"recovery": {"hold": 2}}
    percent = 3

    def setUp(self) -> None:
        self.lab = self.make_lab("abce")
        self.a, self.b, self.c, self.e = (self.lab.host(name) for name in "abce")
        self.b.start_node(node_ini(self.b, (), {**overlay(None, role="relay"), **self.sections}))
        for host in (self.a, self.c):
            host.start_node(node_ini(host, (self.b,), self.sections))
        self.e.start_node(node_ini(self.e, (), {**overlay(self.b), **self.sections}))
        await_linked(self.b, "ace")

    @property
    def sections(self) -> Sections:
        return {**self.recovery, **IN_PYTHON}

    def film(self, sender: Host, *receivers: Host) -> dict[str, dict[str, Any]]:
        """Loses from its first packets on; gives what each received."""
        found = {host.name: Receiver(host, GROUP) for host in receivers}
        static = {host.name for host in receivers if host in (self.a, self.c)}
        self.b.await_status(lambda status: static <= wanters(status, GROUP), PATIENCE, "demand of the tree")
        if sender is self.a:
            sender.await_status(lambda status: "b" in wanters(status, GROUP), PATIENCE, "demand behind b")
        for host in receivers:
            host.await_status(lambda status: wanters(status, GROUP), PATIENCE, "demand")
        programme = Sender(sender, GROUP, count=PACKETS, rate=RATE)
        source = f"10.88.0.{sender.index}"
        for receiver in found.values():
            receiver.await_last(GROUP, source, 0)
        for host in (self.a, self.c, self.e):
            self.lab.internet.lose("b", host.name, self.percent * 10)
        programme.finish()
        for receiver in found.values():
            receiver.await_last(GROUP, source, PACKETS - 20)
        for receiver in found.values():
            with contextlib.suppress(TimedOut):  # and the test will say how many are missing
                receiver.await_state(
                    lambda _, receiver=receiver: receiver.report(GROUP, source)["received"] == PACKETS,
                    "all packets", 5.0,
                )  # fmt: skip
        return {name: receiver.report(GROUP, source) for name, receiver in found.items()}

    def test_what_static_links_lose_reaches_the_mesh_and_the_tree_whole(self) -> None:
        for report in self.film(self.a, self.b, self.c, self.e).values():
            self.assert_perfect(report, PACKETS)
        self.assertEqual({"a", "c"}, set(self.b.status()["recovery"]["partners"]))

    def test_what_comes_from_the_mesh_reaches_the_tree_whole(self) -> None:
        for report in self.film(self.e, self.a, self.b, self.c).values():
            self.assert_perfect(report, PACKETS)
        self.assertGreater(self.b.status()["recovery"]["counters"]["resent"], PACKETS * self.percent / 200)


class BorderWithoutItTests(BorderTests):
    """The same with deadline = 0: what it is worth."""

    recovery: Sections = OFF

    def test_what_static_links_lose_reaches_the_mesh_and_the_tree_whole(self) -> None:
        self.is_lost(self.film(self.a, self.b, self.c, self.e))

    def test_what_comes_from_the_mesh_reaches_the_tree_whole(self) -> None:
        self.is_lost(self.film(self.e, self.a, self.b, self.c))

    def is_lost(self, found: dict[str, dict[str, Any]]) -> None:
        for name, report in found.items():
            self.measured(f"{name} without recovery", report["missing"])
            self.assertGreater(report["missing"], PACKETS * self.percent / 200, name)


class KernelTests(Losses):
    """The kernel forwards, until it loses."""

    @pytest.mark.long
    def test_a_stream_that_loses_comes_back_and_is_repaired_and_goes_again(self) -> None:
        tree = self.grow({})
        sender = Sender(tree.a, GROUP, rate=RATE)
        for host in tree.hosts:
            self.is_fast(host, True)
        self.lose(2)
        for host in tree.hosts:
            self.is_fast(host, False)
        for name in "bcd":
            tree_host = getattr(tree, name)
            tree_host.await_status(
                lambda s: s["recovery"]["counters"]["recovered"] > 20, PATIENCE, "some repaired"
            )
        before = {name: receiver.state for name, receiver in self.receivers.items()}
        since = {name: receiver.report(GROUP, S) for name, receiver in self.receivers.items()}
        sent = sender.state["sent"]
        sender.await_sent(sent + 3_000)
        self.stop_losing()
        total = sender.stop()["sent"]
        for receiver in self.receivers.values():
            receiver.await_last(GROUP, S, total - 1)
        self.settled()
        for name, receiver in self.receivers.items():
            report = receiver.report(GROUP, S)
            self.measured(f"{name}: missing before it was repaired", since[name]["missing"])
            self.measured(f"{name}: missing in the end", report["missing"])
            self.assertLessEqual(report["missing"], since[name]["missing"], before[name])
        again = Sender(tree.a, GROUP, rate=RATE)
        for host in tree.hosts:
            self.is_fast(host, True, 90.0)
        again.stop()

    def is_fast(self, host: Any, wanted: bool, timeout: float = PATIENCE) -> None:
        host.await_status(
            lambda s: any(r["group"] == GROUP and r["fast"] is wanted for r in s["routes"]), timeout,
            f"{host.name}'s stream {'in the kernel' if wanted else 'in Python'}",
        )  # fmt: skip
