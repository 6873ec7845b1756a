"""Packets longer than a link's datagram: split at the origin, joined by the receiving host or its node."""

from multicastmw.cli.lab import Host
from tests.netns.kit import (
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sender,
    peer_of,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"
ETHERNET = 1500 - 28  # bytes of payload that fill an Ethernet frame
LONG = 4000


class FragmentTests(NetnsTestCase):
    """1,500-byte packets, longer than what fits behind our header, and datagrams of 4,000 bytes."""

    def test_the_origin_splits_and_hosts_or_nodes_join(self) -> None:
        tree = Figure4(self, {"tap": {"mtu": 1500}}, on={"d": {"tap": {"mtu": 1500, "reassemble": "yes"}}})
        for group, size in ((GROUP, ETHERNET), ("239.1.1.2", LONG)):
            receivers = {host.name: Receiver(host, group) for host in (tree.b, tree.c, tree.d)}
            tree.await_demand(group, "cd")
            Sender(tree.a, group, count=200, rate=200, size=size).finish()
            for name, receiver in receivers.items():
                report = receiver.await_last(group, S, 199)
                self.assert_perfect(report, 200, TTL - 1 if name == "b" else TTL - 2)
                self.assertEqual([size], report["sizes"])
        made = tree.a.status()["tap"]["counters"]["fragments_made"]
        # 1,500 bytes become two; the kernel makes three of 4,028, the first two of which become two each.
        self.assertEqual(200 * 2 + 200 * (2 + 2), made)
        counters = peer_of(tree.a.status(), "b")["counters"]
        self.assertEqual((made + 200, 0), (counters["sent"], counters["over_tcp_too_long"]))
        self.assertEqual(0, tree.b.status()["tap"]["counters"]["fragments_made"])
        self.measured("pieces of 200 packets of 1,500 and 200 of 4,028 bytes", counters["sent"])
        # d's own node hands whole packets to its host, which has nothing left to join.
        self.assertEqual(0, self.reassembled(tree.d))
        self.assertEqual(400, tree.d.status()["tap"]["counters"]["reassembly_joined"])
        self.assertEqual(400, self.reassembled(tree.c))

    def reassembled(self, host: Host) -> int:
        """How many packets the host's own IP has joined."""
        lines = host.run(["cat", "/proc/net/snmp"]).stdout.splitlines()
        names, values = (line.split() for line in lines if line.startswith("Ip:"))
        return int(dict(zip(names, values, strict=True))["ReasmOKs"])

    def test_with_the_automatic_mtu_the_kernel_splits(self) -> None:
        tree = Figure4(self)
        receiver = Receiver(tree.d, GROUP)
        tree.await_demand(GROUP, "d", here=False)
        Sender(tree.a, GROUP, count=200, rate=200, size=LONG).finish()
        report = receiver.await_last(GROUP, S, 199)
        self.assert_perfect(report, 200, TTL - 2)
        self.assertEqual([LONG], report["sizes"])
        self.assertEqual(0, tree.a.status()["tap"]["counters"]["fragments_made"])
        self.assertEqual(0, peer_of(tree.a.status(), "b")["counters"]["over_tcp_too_long"])
