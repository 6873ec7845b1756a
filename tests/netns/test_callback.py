"""A node behind a real NAT is asked, over a neighbour of both, to dial one that nobody else leads it to."""

import json
from typing import Any

from multicastmw.cli.lab import Host
from tests.netns.kit import PATIENCE, PORT, NetnsTestCase, asking, node_ini, why_not
from tests.netns.test_mesh import GROUP, groups_of, members_near, overlay

PACKETS = 300


def counted(status: dict[str, Any], name: str) -> int:
    found: int = status["mesh"]["counters"][name]
    return found


class CallBack(NetnsTestCase):
    """a is the seed, and feeds one at most; c is behind a NAT; b comes later."""

    skip = why_not()

    def setUp(self) -> None:
        self.lab = self.make_lab("abc")
        self.a, self.b, self.c = (self.lab.host(name) for name in "abc")
        self.hide(self.c)
        self.a.start_node(node_ini(self.a, (), overlay(None, role="relay", **{"max-children": 1})))

    def hide(self, host: Host) -> None:
        """Others see its router's address, and nobody can dial it."""
        outside = f"10.99.{host.index}.1"
        self.lab.internet.nft(
            "table ip hidden {\n"
            " chain out { type nat hook postrouting priority srcnat;"
            f" ip saddr {host.address} snat to {outside}; }}\n"
            " chain in { type filter hook forward priority 0;"
            f" ip daddr {host.address} ct state new drop; }}\n"
            "}\n"
        )

    def receive(self, host: Host) -> Any:
        host.start_node(node_ini(host, (), overlay(self.a)))
        receiver = host.spawn(asking(host, "recv", GROUP, "--json"), log=f"{host.name}-recv")
        host.await_status(lambda status: GROUP in groups_of(status), PATIENCE, "demand")
        return receiver

    def test_it_dials_and_one_of_both_feeds_the_other(self) -> None:
        receivers = [self.receive(self.c)]
        self.a.await_status(lambda status: "c" in members_near(status), PATIENCE, "c in the group")
        self.lab.internet.nft(  # so that c does not come of itself, before it was asked
            "table ip early {\n chain way { type filter hook forward priority 0;"
            f" ip saddr {self.c.address} ip daddr {self.b.address} tcp dport {PORT} drop; }}\n}}\n"
        )
        receivers.append(self.receive(self.b))
        self.c.await_status(
            lambda status: counted(status, "call_backs_dialled") > 0, PATIENCE, "a request that c dials"
        )
        self.assertGreater(counted(self.b.status(), "call_backs_asked"), 0)
        self.assertGreater(counted(self.a.status(), "call_backs_sent_on"), 0)
        self.lab.internet.nft("delete table ip early\n")
        self.b.await_status(lambda status: "c" in members_near(status), PATIENCE, "c beside b")
        done = self.a.run(asking(self.a, "send", GROUP, "--json", "--seconds", "3"))
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        for receiver in receivers:
            self.assertEqual(0, receiver.wait(PATIENCE), receiver.last_words())
            found = json.loads(receiver.read_output())
            self.assertEqual((PACKETS, 0, 0), (found["received"], found["lost"], found["duplicates"]))
