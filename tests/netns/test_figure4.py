"""The paper's figure 4 with whole nodes: everything to those who want it, nothing to the others."""

from multicastmw.cli.lab import Host
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sender,
    await_wanted,
    peer_of,
    route_of,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"  # host a on the virtual Ethernet
PACKETS = 600
QUIET = 40_000  # bytes of keep-alives, probes and routes; the stream has 800,000


def uplink(host: Host) -> int:
    """Bytes over a host's cable so far, both ways, by the kernel's count."""
    counters = host.counters()
    return counters.rx_bytes + counters.tx_bytes


class DeliveryTests(NetnsTestCase):
    """a sends; b receives and passes it on to c and d, which receive it too."""

    def test_all_three_have_every_packet_once_and_in_order_over_udp(self) -> None:
        self.deliver("udp", {})

    def test_all_three_have_every_packet_once_and_in_order_over_tcp(self) -> None:
        self.deliver("tcp", {"listen": {"udp-port": ""}})

    def deliver(self, data: str, everywhere: dict) -> None:
        tree = Figure4(self, everywhere)
        receivers = {host.name: Receiver(host, GROUP) for host in (tree.b, tree.c, tree.d)}
        tree.await_demand(GROUP, "cd")
        sender = Sender(tree.a, GROUP, count=PACKETS, rate=500)
        for name, ttl in (("b", TTL - 1), ("c", TTL - 2), ("d", TTL - 2)):
            report = receivers[name].await_last(GROUP, S, PACKETS - 1)
            self.assert_perfect(report, PACKETS, ttl)
            self.assertEqual([f"{GROUP} {S}"], list(receivers[name].streams()))
        self.assertEqual(PACKETS, sender.finish())
        status = tree.b.status()
        self.assertEqual({data}, {peer["data"] for peer in status["peers"]})
        to_c = peer_of(status, "c")["counters"]
        self.assertEqual((PACKETS, PACKETS if data == "tcp" else 0), (to_c["sent"], to_c["sent_tcp"]))
        (stream,) = route_of(status, GROUP)["streams"]
        self.assertEqual(("a", PACKETS, 0), (stream["node"], stream["received"], stream["lost"]))
        self.measured(
            f"packets over {data} at b, c, d", [r.report(GROUP, S)["received"] for r in receivers.values()]
        )

    def test_who_hears_himself_hears_it_once(self) -> None:
        """Senders listen too; what they sent comes back to them over no link (split horizon)."""
        tree = Figure4(self)
        receivers = {host.name: Receiver(host, GROUP) for host in tree.hosts}
        await_wanted(tree.b, {DEVICE, "a", "c", "d"}, GROUP)
        for host in (tree.a, tree.c, tree.d):
            await_wanted(host, {DEVICE, "b"}, GROUP)
        senders = [Sender(host, GROUP, count=100) for host in (tree.a, tree.d)]
        for sender in senders:
            for receiver in receivers.values():
                self.assert_perfect(receiver.await_last(GROUP, sender.source, 99), 100)
        for host in tree.hosts:
            status = host.status()
            self.assertEqual(0, status["counters"]["from_ourselves"])
            delivered = 100 if host in (tree.a, tree.d) else 200
            self.assertEqual(delivered, status["tap"]["counters"]["delivered"], host.name)
        sent = [peer["counters"]["sent"] for peer in tree.b.status()["peers"]]
        self.assertEqual([100, 200, 100], sent)

    def test_every_node_knows_the_tree(self) -> None:
        tree = Figure4(self)
        status = tree.d.await_status(lambda status: len(status["nodes"]) == 3, PATIENCE, "three nodes")
        nodes = status["nodes"]
        self.assertEqual([("a", ["b"]), ("b", ["b"]), ("c", ["b"])], [(n["name"], n["via"]) for n in nodes])


class DemandTests(NetnsTestCase):
    """Only those who subscribed cost anything."""

    def test_a_link_behind_which_nobody_listens_carries_nothing(self) -> None:
        tree = Figure4(self)
        sleeper, listener = Receiver(tree.c, "239.1.1.77"), Receiver(tree.d, GROUP)
        tree.await_demand(GROUP, "d", here=False)
        before = {host.name: uplink(host) for host in tree.hosts}
        sender = Sender(tree.a, GROUP, count=PACKETS, rate=500)
        self.assert_perfect(listener.await_last(GROUP, sender.source, PACKETS - 1), PACKETS, TTL - 2)
        grown = {host.name: uplink(host) - before[host.name] for host in tree.hosts}
        self.assertLess(grown["c"], QUIET)
        self.assertGreater(grown["d"], PACKETS * 1316)
        status = tree.b.status()
        self.assertEqual(0, peer_of(status, "c")["counters"]["sent"])
        self.assertEqual(PACKETS, peer_of(status, "d")["counters"]["sent"])
        self.assertEqual({}, sleeper.streams())
        self.measured("bytes on the uplinks of c and d, which alone listens", (grown["c"], grown["d"]))

        listener.stop()
        await_wanted(tree.a, (), GROUP)
        before_a = uplink(tree.a)
        Sender(tree.a, GROUP, count=PACKETS, rate=500).finish()
        status = tree.a.await_status(
            lambda status: route_of(status, GROUP)["packets"] == 2 * PACKETS,
            PATIENCE,
            "all read from the TAP",
        )
        grown_a = uplink(tree.a) - before_a
        self.assertLess(grown_a, QUIET)
        route = route_of(status, GROUP)
        self.assertEqual((PACKETS, PACKETS), (route["to_nobody"], route["sent_from_here"]))
        self.assertEqual(PACKETS, peer_of(status, "b")["counters"]["sent"])
        self.measured("bytes on a's uplink while it sends and nobody listens", grown_a)


class HopLimitTests(NetnsTestCase):
    """A packet's TTL is its hop limit."""

    def test_ttl_1_dies_at_its_node_and_is_counted(self) -> None:
        tree = Figure4(self)
        near, far = Receiver(tree.b, GROUP), Receiver(tree.c, GROUP)
        tree.await_demand(GROUP, "c")
        Sender(tree.a, GROUP, count=50, ttl=1).finish()
        tree.a.await_status(
            lambda s: route_of(s, GROUP)["died_of_ttl"] == 50, PATIENCE, "50 died of their TTL"
        )
        Sender(tree.a, GROUP, count=50, ttl=2).finish()
        near.await_last(GROUP, S, 49)
        tree.b.await_status(lambda s: route_of(s, GROUP)["died_of_ttl"] == 50, PATIENCE, "50 died at b")
        self.assert_perfect(near.report(GROUP, S), 50, 1)
        Sender(tree.a, GROUP, count=50, ttl=3).finish()
        self.assert_perfect(far.await_last(GROUP, S, 49), 50, 1)

    def test_a_floor_raises_it(self) -> None:
        tree = Figure4(self, on={"a": {"tap": {"ttl-floor": 5}}})
        far = Receiver(tree.c, GROUP)
        tree.await_demand(GROUP, "c", here=False)
        Sender(tree.a, GROUP, count=50, ttl=1).finish()
        self.assert_perfect(far.await_last(GROUP, S, 49), 50, 5 - 2)
        self.assertEqual(50, tree.a.status()["tap"]["counters"]["ttl_raised"])


class ListTests(NetnsTestCase):
    """[groups] allow, deny and pin."""

    def test_what_is_not_allowed_goes_neither_out_nor_in_and_a_pin_wants_by_itself(self) -> None:
        denied, unlisted, pinned = "239.2.2.2", "239.3.3.3", "239.1.9.9"
        tree = Figure4(self, on={
            "a": {"groups": {"allow": "239.0.0.0/14", "deny": "239.2.0.0/16"}},
            "c": {"groups": {"deny": "239.1.1.0/24"}},
            "d": {"groups": {"pin": pinned}},
        })  # fmt: skip
        kept_out, listener = Receiver(tree.c, GROUP), Receiver(tree.b, GROUP, denied, "239.16.1.1", unlisted)
        tree.c.await_status(lambda status: status["tap"]["counters"]["denied"] > 0, PATIENCE, "a join denied")
        await_wanted(tree.b, {DEVICE}, GROUP, denied, unlisted)
        await_wanted(tree.a, {"b"}, GROUP, pinned)
        Sender(tree.a, GROUP, denied, "239.16.1.1", unlisted, pinned, count=50).finish()
        listener.await_last(GROUP, S, 49)
        tree.d.await_status(
            lambda s: s["tap"]["counters"]["delivered"] == 50, PATIENCE, "the pinned group at d"
        )
        self.assertEqual({f"{GROUP} {S}", f"{unlisted} {S}"}, set(listener.streams()))
        self.assertEqual({}, kept_out.streams())
        self.assertEqual(100, tree.a.status()["tap"]["counters"]["denied"])
        (pin,) = (group for group in tree.d.status()["groups"] if group["group"] == pinned)
        self.assertTrue(pin["pinned"])
