"""Forward error correction on the links of a static tree: a cable that loses, and whole nodes."""

from typing import Any

from multicastmw.cli.lab import Host, wait_until
from tests.netns.kit import PATIENCE, Sections, Sender, mcmw, peer_of
from tests.netns.test_recovery import GROUP, IN_PYTHON, PACKETS, RATE, Losses, S
from tests.netns.test_reload import effects, reload

WITHOUT_NACKS: Sections = {**IN_PYTHON, "recovery": {"deadline": 0, "fec": "on"}}
BOTH: Sections = {**IN_PYTHON, "recovery": {"hold": 2, "fec": "on"}}
LINKS = ["ab", "bc", "bd"]


def knows(status: dict[str, Any], peers: str, loss: float) -> bool:
    """Has the node measured that at least so much is lost on the way to these peers?"""
    links = {each["peer"]: each["loss"] for each in status["fec"]["links"]}
    return all((links.get(peer) or 0) > loss for peer in peers)


class Corrected(Losses):
    """Figure 4: a sends, b relays to c and d."""

    def fec(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.host(name).status()["fec"]
        return found

    def host(self, name: str) -> Host:
        host: Host = getattr(self.tree, name)
        return host

    def learns(self, percent: float, of_b: str = "cd") -> Sender:
        """A stream that loses, until a and b know how much."""
        sender = Sender(self.tree.a, GROUP, rate=RATE)
        for receiver in self.receivers.values():
            receiver.await_last(GROUP, S, 0)
        self.lose(percent)
        for name, peers in (("a", "b"), ("b", of_b)):
            self.host(name).await_status(
                lambda s, peers=peers: knows(s, peers, percent / 250), PATIENCE, f"what {name} loses is known"
            )
        return sender

    def test_without_any_nack_nearly_all_is_rebuilt(self) -> None:
        self.grow(WITHOUT_NACKS)
        self.learns(5).stop()
        before = self.lost_and_rebuilt()
        Sender(self.tree.a, GROUP, count=PACKETS, rate=RATE).finish()
        for link, counts in self.lost_and_rebuilt().items():
            lost, rebuilt = (now - then for now, then in zip(counts, before[link], strict=True))
            self.measured(f"lost from {link[0]} to {link[1]}, and rebuilt", (lost, rebuilt))
            self.assertGreater(lost, PACKETS * 0.01, link)
            self.assertGreater(rebuilt, lost / 2, link)
        self.assertIsNone(self.tree.b.status()["recovery"])
        self.assertIn("packets rebuilt", mcmw(self.tree.b, "show")[1])

    def lost_and_rebuilt(self) -> dict[str, tuple[int, int]]:
        """Packets of each link, once no more come; what a busy machine loses elsewhere is none of FEC's."""
        last: dict[str, tuple[int, int]] = {}

        def looked_twice() -> dict[str, tuple[int, int]] | None:
            nonlocal last
            before, last = last, {link: self.counted(*link) for link in LINKS}
            return last if last == before else None

        return wait_until(looked_twice, PATIENCE, "an end of what was sent")

    def counted(self, sender: str, receiver: str) -> tuple[int, int]:
        sent = peer_of(self.host(sender).status(), receiver)["counters"]["sent"]
        status = self.host(receiver).status()
        return sent - peer_of(status, sender)["counters"]["received"], status["fec"]["counters"]["rebuilt"]

    def test_with_nacks_nothing_is_missing_and_fewer_are_sent(self) -> None:
        self.grow(BOTH)
        sender = self.learns(3)
        before = {name: self.counts(name) for name in "bcd"}
        sender.await_sent(sender.state["sent"] + PACKETS)
        total = sender.stop()["sent"]
        self.stop_losing()
        for receiver in self.receivers.values():
            receiver.await_last(GROUP, S, total - 1)
        self.settled()
        for name, receiver in self.receivers.items():
            self.assert_perfect(receiver.report(GROUP, S), total)
            found = {what: count - before[name][what] for what, count in self.counts(name).items()}
            self.measured(f"{name}: missed and asked for", (found["missed"], found["asked"]))
            self.assertGreater(found["missed"], PACKETS * 0.015, name)
            self.assertLess(found["asked"], found["missed"] / 3, name)
            self.assertEqual(0, found["given_up"], name)

    def test_beside_a_node_without_it_the_others_have_it(self) -> None:
        self.grow(WITHOUT_NACKS, {"d": {"recovery": {"deadline": 0, "fec": "off"}}})
        sender = self.learns(5, of_b="c")
        sender.await_sent(sender.state["sent"] + PACKETS // 2)
        sender.stop()
        self.assertEqual(["a", "c"], [each["peer"] for each in self.fec("b")["links"]])
        d = self.tree.d.status()
        self.assertIsNone(d["fec"])
        counters = peer_of(d, "b")["counters"]
        self.assertEqual((0, 0), (counters["unknown_messages"], counters["bad_probes"]), "it is sent nothing")
        self.assertGreater(self.fec("c")["counters"]["rebuilt"], 20)


class InTheKernel(Losses):
    def test_links_that_have_it_are_python_s_and_others_the_kernel_s(self) -> None:
        self.grow({"recovery": {"fec": "auto"}}, {"d": {"recovery": {"fec": "off"}}})
        sender = Sender(self.tree.a, GROUP, rate=RATE)
        for receiver in self.receivers.values():
            receiver.await_last(GROUP, S, 0)
        b = self.tree.b
        b.await_status(lambda s: peer_of(s, "d")["fast"], PATIENCE, "the kernel serves d")
        for name in "ac":
            peer = peer_of(b.status(), name)
            self.assertEqual((False, "what it loses is corrected ([recovery] fec)"),
                             (peer["fast"], peer["why_slow"]))  # fmt: skip
        self.assert_nothing_missing(sender)

    def assert_nothing_missing(self, sender: Sender) -> None:
        total = sender.stop()["sent"]
        for receiver in self.receivers.values():
            receiver.await_last(GROUP, S, total - 1)
            report = receiver.report(GROUP, S)
            self.assertEqual((0, 0), (report["missing"], report["duplicates"]), report)

    def test_a_reload_moves_them_there_and_back_while_a_stream_passes(self) -> None:
        self.grow({"recovery": {"fec": "off"}})
        sender = Sender(self.tree.a, GROUP, rate=RATE)
        for receiver in self.receivers.values():
            receiver.await_last(GROUP, S, 0)
        for fec in ("off", "on", "off"):
            for host in self.tree.hosts:
                found = reload(host, self.tree.ini(host).replace("fec = off", f"fec = {fec}"))
                self.assertLessEqual(set(effects(found).items()), {("[recovery] fec", "applied")})
            for host in self.tree.hosts:
                host.await_status(
                    lambda s, fast=fec == "off": all(peer["fast"] == fast for peer in s["peers"]),
                    PATIENCE, f"links of {host.name} with fec = {fec}",
                )  # fmt: skip
            sent = sender.state["sent"]
            sender.await_sent(sent + PACKETS // 4)
            counts = self.tree.b.status()["fec"]
            self.assertEqual(fec == "off", counts is None)
            self.assertTrue(fec == "off" or counts["counters"]["sent"] > 20)
        self.assert_nothing_missing(sender)
