"""Whole nodes whose kernels forward: the tree of figure 4 with [fastpath] mode = require."""

from typing import Any

from multicastmw.cli.lab import Host
from tests.net.bpf.bed import why_no_bed
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sender,
    peer_of,
    route_of,
    why_not,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"  # host a on the virtual Ethernet
PACKETS = 600
FAST = {"fastpath": {"mode": "require"}}


def await_fast(host: Host, *groups: str, fast: bool = True) -> dict[str, Any]:
    """Returns when the host's kernel forwards these groups (or does not)."""

    def look(status: dict[str, Any]) -> bool:
        routes = {route["group"]: route for route in status["routes"]}
        return all(group in routes and routes[group]["fast"] is fast for group in groups)

    return host.await_status(look, PATIENCE, f"{groups[0]} {'fast' if fast else 'slow'}")


class Case(NetnsTestCase):
    skip = why_not() or why_no_bed()

    def tree(self, **more: Any) -> Figure4:
        tree = Figure4(self, FAST, **more)
        for host in tree.hosts:
            host.await_status(lambda status: status["fastpath"]["on"], PATIENCE, "the fast path")
        return tree


class Streams(Case):
    def test_a_stream_is_fast_from_end_to_end_and_every_counter_is_right(self) -> None:
        tree = self.tree()
        receivers = {host.name: Receiver(host, GROUP) for host in (tree.b, tree.c, tree.d)}
        tree.await_demand(GROUP, "cd")
        sender = Sender(tree.a, GROUP, count=PACKETS, rate=500)
        for name, ttl in (("b", TTL - 1), ("c", TTL - 2), ("d", TTL - 2)):
            report = receivers[name].await_last(GROUP, S, PACKETS - 1)
            self.assert_perfect(report, PACKETS, ttl)
        self.assertEqual(PACKETS, sender.finish())
        statuses = {host.name: await_fast(host, GROUP) for host in tree.hosts}

        a, b, c = statuses["a"], statuses["b"], statuses["c"]
        self.assertGreater(a["fastpath"]["counters"]["from_tap"], PACKETS * 3 // 4, "what the kernel took")
        self.assertGreater(b["fastpath"]["counters"]["delivered"], PACKETS * 3 // 4)
        route = route_of(a, GROUP)
        self.assertEqual(
            (PACKETS, PACKETS, 0), (route["packets"], route["sent_from_here"], route["to_nobody"])
        )
        self.assertEqual(PACKETS, a["tap"]["counters"]["received"])
        for name in "acd":
            counters = peer_of(b, name)["counters"]
            sent, received = (0, PACKETS) if name == "a" else (PACKETS, 0)
            self.assertEqual((sent, received), (counters["sent"], counters["received"]), name)
            self.assertTrue(peer_of(b, name)["fast"], name)
        self.assertEqual(
            peer_of(a, "b")["counters"]["sent_bytes"], peer_of(b, "a")["counters"]["received_bytes"]
        )
        self.assertEqual(
            peer_of(b, "c")["counters"]["sent_bytes"], peer_of(c, "b")["counters"]["received_bytes"]
        )
        for name in "bcd":
            status = statuses[name]
            self.assertEqual(PACKETS, status["tap"]["counters"]["delivered"], name)
            (stream,) = route_of(status, GROUP)["streams"]
            self.assertEqual(("a", PACKETS, 0, 0), (stream["node"], stream["received"], stream["lost"],
                                                    stream["duplicates"]), name)  # fmt: skip
            self.assertEqual([DEVICE], [to for to in route_of(status, GROUP)["to"] if to == DEVICE])
