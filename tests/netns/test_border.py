"""A border with the fast path and recovery on: a tree on one side, the mesh on the other, links that lose."""

import contextlib
from typing import Any

from multicastmw.cli.lab import TimedOut
from tests.net.bpf.bed import why_no_bed
from tests.netns.kit import (
    PATIENCE,
    NetnsTestCase,
    Receiver,
    Sections,
    Sender,
    await_linked,
    node_ini,
    wanters,
    why_not,
)
from tests.netns.test_mesh import overlay

GROUP = "239.1.1.1"
RATE = 300.0
PACKETS = 6_000
PERMILLE = 10
AT_FIRST = 15  # packets lost on static links until Python has the stream, some seconds
NAMES = "abcef"


class Border(NetnsTestCase):
    """a and c are static and dial b; e and f know b as their seed."""

    skip = why_not() or why_no_bed()
    sections: Sections = {"fastpath": {"mode": "require"}, "recovery": {"hold": 2}}

    def setUp(self) -> None:
        self.lab = self.make_lab(NAMES)
        self.hosts = {name: self.lab.host(name) for name in NAMES}
        b = self.hosts["b"]
        for name, host in self.hosts.items():
            own: Sections = overlay(b) if name in "ef" else {}
            own = overlay(None, role="relay") if host is b else own
            host.start_node(node_ini(host, (b,) if name in "ac" else (), {**own, **self.sections}))
        await_linked(b, "acef")

    def lose(self) -> None:
        for name in self.hosts:
            for other in self.hosts:
                if name < other:
                    self.lab.internet.lose(name, other, PERMILLE)

    def film(self, of: str) -> dict[str, dict[str, Any]]:
        """From `of` to all others; what each has received."""
        receivers = {name: Receiver(host, GROUP) for name, host in self.hosts.items() if name != of}
        self.hosts["b"].await_status(
            lambda s: set("ac") - {of} <= wanters(s, GROUP), PATIENCE, "demand of the tree"
        )
        for name in receivers:
            self.hosts[name].await_status(lambda s: wanters(s, GROUP), PATIENCE, "demand")
        if of in "ac":
            self.hosts[of].await_status(lambda s: "b" in wanters(s, GROUP), PATIENCE, "demand behind b")
        sender = Sender(self.hosts[of], GROUP, count=PACKETS, rate=RATE)
        source = f"10.88.0.{self.hosts[of].index}"
        for receiver in receivers.values():
            receiver.await_last(GROUP, source, 0)
        self.lose()
        sender.finish()
        for receiver in receivers.values():
            receiver.await_last(GROUP, source, PACKETS - 20)
        for receiver in receivers.values():
            with contextlib.suppress(TimedOut):
                receiver.await_state(
                    lambda _, receiver=receiver: receiver.report(GROUP, source)["received"] == PACKETS,
                    "all packets", 5.0,
                )  # fmt: skip
        reports = {name: receiver.report(GROUP, source) for name, receiver in receivers.items()}
        for name, report in reports.items():
            found = {what: report[what] for what in ("received", "missing", "duplicates")}
            self.measured(f"{of} sends, at {name}", found)
        return reports

    def test_out_of_the_mesh_nothing_is_lost_or_twice_and_the_border_s_kernel_forwards(self) -> None:
        for name, report in self.film("e").items():
            self.assertEqual((name, 0, 0), (name, report["missing"], report["duplicates"]))
        status = self.hosts["b"].status()
        self.assertIn(True, [each["fast"] for each in status["routes"] if each["group"] == GROUP])
        self.assertGreater(status["recovery"]["counters"]["resent"], PACKETS * PERMILLE // 2_000)

    def test_into_the_mesh_what_is_lost_is_lost_while_the_tree_s_kernels_have_it(self) -> None:
        """Until a packet is asked for a's kernel keeps none, and c's does not ask."""
        for name, report in self.film("a").items():
            self.assertEqual((name, 0), (name, report["duplicates"]))
            self.assertLess(report["missing"], AT_FIRST, name)
