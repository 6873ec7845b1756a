"""A LAN behind a gateway: hosts without a node send and receive through a TAP in a bridge."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multicastmw.cli.lab import Host, wait_until
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    TTL,
    NetnsTestCase,
    Receiver,
    Sections,
    Sender,
    await_linked,
    await_wanted,
    cpu_seconds,
    inside,
    let_pass,
    node_ini,
    node_log,
    wanters,
)
from tests.netns.lan import BRIDGE, PORT, SWITCH, Lan, LanReceiver, LanSender, gateway_ini

GROUP, OTHER = "239.1.1.1", "239.1.1.2"
S = "10.88.0.1"
RATE = 200
IDLE_FOR = 5.0
CPU = 0.03  # of a core, for a gateway with nothing to forward
ETH_P_ALL = 3
SLOW = 3.0  # seconds for what takes a fraction of one on an idle machine
HOLD = 3.5  # what a gateway's Hello promises
MCMW = (str(Path(sys.executable).with_name("mcmw")),)
SWITCH_ADDRESS = "10.77.0.1"  # lower than the gateways' querier addresses


def gateway_of(status: dict[str, Any]) -> dict[str, Any]:
    found = status["tap"]["gateway"]
    return found or {"state": "none", "forwarder": None, "counters": {}}


def await_state(host: Host, state: str, timeout: float = PATIENCE) -> dict[str, Any]:
    return host.await_status(lambda s: gateway_of(s)["state"] == state, timeout, f"the gateway's {state}")


def hosts_of(host: Host, group: str) -> list[str]:
    found = [entry["hosts"] for entry in host.status()["groups"] if entry["group"] == group]
    return found[0] if found else []


class OneGateway(NetnsTestCase):
    """a is a node elsewhere, g a gateway, h and i are hosts of its LAN."""

    def build(self, snooping: bool = True, switch_asks: bool = False) -> None:
        self.lab = self.make_lab(["a", "g", "h", "i", SWITCH])
        self.a, self.g, self.h, self.i, self.sw = self.lab.hosts
        self.lan = Lan(self.lab, [self.g], [self.h, self.i], snooping)
        if switch_asks:
            for bridge in (self.sw, self.g):  # a router port is one for 5 s only, unless it shows itself
                bridge.ip(f"link set {BRIDGE} type bridge mcast_querier_interval 500")
            self.sw.ip(
                f"address add {SWITCH_ADDRESS}/24 dev {BRIDGE}",
                f"link set {BRIDGE} type bridge mcast_query_use_ifaddr 1 mcast_query_interval 200"
                " mcast_startup_query_interval 100 mcast_querier 1",
            )
        self.a.start_node(node_ini(self.a), ready=None)
        # How long it waits for another's query is a matter of how often it would ask itself.
        soon: Sections = {"igmp": {"query-interval": 4}} if switch_asks else {}
        self.g.start_node(gateway_ini(self.g, [self.a], soon), ready=None)
        await_linked(self.g, "a")
        await_state(self.g, "forwarding")


class GatewayTests(OneGateway):
    def test_both_ways_with_the_true_source_addresses_and_the_hosts_by_name(self) -> None:
        self.build()
        receivers = {host.name: LanReceiver(host, GROUP) for host in (self.h, self.i)}
        on_gateway = LanReceiver(self.g, GROUP, device=BRIDGE)
        here = {self.lan.address(host) for host in (self.h, self.i, self.g)}
        self.g.await_status(
            lambda s: any(set(g["hosts"]) == here for g in s["groups"] if g["group"] == GROUP), PATIENCE,
            f"{here} known",
        )  # fmt: skip
        await_wanted(self.a, {"g"}, GROUP)
        Sender(self.a, GROUP, count=500, rate=500).finish()
        for receiver in (*receivers.values(), on_gateway):
            self.assert_perfect(receiver.await_last(GROUP, S, 499), 500, TTL - 1)
        # And back: two hosts of the LAN to a.
        far = Receiver(self.a, OTHER)
        await_wanted(self.g, {"a"}, OTHER)
        senders = [LanSender(host, OTHER, count=500, rate=500) for host in (self.h, self.i)]
        for sender in senders:
            self.assert_perfect(far.await_last(OTHER, sender.source, 499), 500, TTL - 1)
        self.assertEqual({f"{OTHER} {s.source}" for s in senders}, set(far.streams()))
        counters = self.g.status()["tap"]["counters"]
        self.assertEqual((0, 0), (counters["stood_by_from_lan"], counters["from_gateways"]))
        # A host that leaves is no longer named, and when the last one has left, nothing comes.
        receivers["h"].stop()
        self.g.await_status(
            lambda s: self.lan.address(self.h) not in hosts_of(self.g, GROUP), PATIENCE, "no h"
        )
        receivers["i"].stop()
        on_gateway.stop()
        await_wanted(self.a, (), GROUP)

    def test_it_breaks_nothing_of_a_port_and_says_what_does_not_fit(self) -> None:
        self.build()
        self.assertIn(f"master {BRIDGE}", self.g.run(["ip", "link", "show", DEVICE]).stdout)
        self.g.stop_node()
        ini = node_ini(self.g, [self.a])  # an address, routes, MTU auto: as for a host
        self.g.start_node(ini, ready=None)
        await_state(self.g, "forwarding")
        self.assertIn(f"master {BRIDGE}", self.g.run(["ip", "link", "show", DEVICE]).stdout)
        self.assertEqual("", self.g.run(["ip", "-4", "address", "show", DEVICE]).stdout)
        self.assertEqual("", self.g.run(["ip", "route", "show", "224.0.0.0/4"]).stdout)
        log = node_log(self.g)
        for text in ("leave [tap] address empty", "leave [tap] groups empty", "set [tap] mtu = 1500"):
            self.assertIn(text, log)

    def test_a_tap_that_is_put_into_a_bridge_while_the_node_runs(self) -> None:
        self.build()
        self.g.ip(f"link set {DEVICE} nomaster")
        self.g.await_status(lambda s: s["tap"]["gateway"] is None, PATIENCE, "no LAN")
        self.g.ip(f"link set {DEVICE} master {BRIDGE}")
        await_state(self.g, "forwarding")
        receiver = LanReceiver(self.h, GROUP)
        await_wanted(self.a, {"g"}, GROUP)
        Sender(self.a, GROUP, count=100).finish()
        self.assert_perfect(receiver.await_last(GROUP, S, 99), 100, TTL - 1)

    def test_packets_of_1500_bytes_are_split_here_and_joined_by_the_host_behind(self) -> None:
        self.build()
        near, far = LanReceiver(self.h, GROUP), Receiver(self.a, OTHER)
        await_wanted(self.a, {"g"}, GROUP)
        await_wanted(self.g, {"a"}, OTHER)
        # Linux sets DF on datagrams that fit the interface; the larger ones its IP has split.
        for size in (1472, 4000):
            with self.listening(self.i, PORT) as raw:
                sender = LanSender(self.i, OTHER, count=200, rate=200, size=size)
                flags = {packet[6] & 0x60 for packet in self.sent(raw)}
            self.assertEqual({0x40} if size == 1472 else {0x20, 0}, flags)
            sender.finish()
            self.assert_perfect(far.await_last(OTHER, sender.source, 199), 200, TTL - 1)
            self.assertEqual(size, far.report(OTHER, sender.source)["sizes"][-1])
            far.stop()
            far = Receiver(self.a, OTHER)
            await_wanted(self.g, {"a"}, OTHER)
        self.assertEqual(200 * 2 + 200 * 4, self.g.status()["tap"]["counters"]["fragments_made"])
        Sender(self.a, GROUP, count=200, rate=200, size=4000).finish()
        report = near.await_last(GROUP, S, 199)
        self.assert_perfect(report, 200, TTL - 1)
        self.assertEqual([4000], report["sizes"])

    @contextmanager
    def listening(self, host: Host, device: str) -> Iterator[socket.socket]:
        with inside(host):
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(ETH_P_ALL))
            raw.bind((device, ETH_P_ALL))
        with raw:
            raw.settimeout(PATIENCE)
            yield raw

    def sent(self, raw: socket.socket, count: int = 12) -> list[bytes]:
        """The first IP packets to OTHER that the host puts on the wire."""
        found: list[bytes] = []
        while len(found) < count:
            packet = raw.recv(65535)
            if packet[16:20] == socket.inet_aton(OTHER) and packet[9] == socket.IPPROTO_UDP:
                found.append(packet)
        return found


class SnoopingTests(OneGateway):
    def test_streams_reach_only_the_ports_that_asked(self) -> None:
        self.build()
        receiver = LanReceiver(self.h, GROUP)
        await_wanted(self.a, {"g"}, GROUP)
        far = Receiver(self.a, OTHER)
        await_wanted(self.g, {"a"}, OTHER)
        before = self.lan.sent_to(self.i)
        Sender(self.a, GROUP, count=1000, rate=500).finish()
        self.assert_perfect(receiver.await_last(GROUP, S, 999), 1000)
        # Nobody on the LAN has joined what h sends, and the gateway's port gets it all the same.
        sender = LanSender(self.h, OTHER, count=1000, rate=500)
        self.assert_perfect(far.await_last(OTHER, sender.source, 999), 1000)
        flooded = self.lan.sent_to(self.i) - before
        self.measured("of 2,000 packets, those that a port got which had not asked", flooded)
        self.assertLess(flooded, 100)  # queries, Hellos

    def test_a_gateway_that_is_not_the_querier_is_a_router_port_by_its_hellos(self) -> None:
        """The kernel bridge asks, from a lower address: the node stands by as querier, and still forwards."""
        self.build(switch_asks=True)
        self.g.await_status(lambda s: s["querier"]["querier"] == SWITCH_ADDRESS, PATIENCE, "the switch asks")
        self.assertIn(f"{DEVICE} leaves the queries to {SWITCH_ADDRESS}", node_log(self.g))
        receiver = LanReceiver(self.h, GROUP)
        await_wanted(self.a, {"g"}, GROUP)
        far = Receiver(self.a, OTHER)
        await_wanted(self.g, {"a"}, OTHER)
        self.assertEqual("forwarding", gateway_of(self.g.status())["state"])
        # Longer than a bridge remembers the query that the node began with.
        sender, back = Sender(self.a, GROUP, rate=100), LanSender(self.h, OTHER, rate=100)
        receiver.await_last(GROUP, S, 800)
        self.assertEqual("standing by", self.g.status()["querier"]["state"])
        for bridge, port in ((self.sw, "to-g"), (self.g, DEVICE)):
            self.assertIn(port, bridge.run(["bridge", "-d", "mdb", "show"]).stdout.split("router")[-1])
        sent, returned = sender.stop()["sent"], back.stop()["sent"]
        self.assert_perfect(receiver.await_last(GROUP, S, sent - 1), sent)
        self.assert_perfect(far.await_last(OTHER, back.source, returned - 1), returned)
        # The bridge falls silent; the node asks again, and no membership is lost meanwhile.
        sender = Sender(self.a, GROUP, rate=100)
        self.sw.ip(f"link set {BRIDGE} type bridge mcast_querier 0")
        self.g.await_status(lambda s: s["querier"]["state"] == "querier", 60, "the node asks")
        self.assertIn(f"{DEVICE} asks the hosts again: {SWITCH_ADDRESS} is silent", node_log(self.g))
        let_pass(5)
        self.assertIn("g", wanters(self.a.status(), GROUP))
        sender.stop()


class TwoGateways(NetnsTestCase):
    """g and k are gateways of h's LAN; both dial a."""

    def build(self, sections: Sections | None = None) -> None:
        self.sections = sections or {}
        self.lab = self.make_lab(["a", "g", "k", "h", SWITCH])
        self.a, self.g, self.k, self.h, self.sw = self.lab.hosts
        self.lan = Lan(self.lab, [self.g, self.k], [self.h])
        self.a.start_node(node_ini(self.a, (), sections), ready=None)
        for gateway in (self.g, self.k):
            self.start(gateway, ready=None)
            await_linked(gateway, "a")
        await_linked(self.a, "gk")
        self.first, self.second = self.forwarding()

    def start(self, gateway: Host, ready: float | None = PATIENCE) -> None:
        gateway.start_node(gateway_ini(gateway, [self.a], self.sections), ready)

    def forwarding(self) -> tuple[Host, Host]:
        """Who forwards, and who stands by for it, once they are agreed."""

        def agreed() -> tuple[Host, Host] | None:
            for one, other in ((self.g, self.k), (self.k, self.g)):
                if (
                    gateway_of(one.status())["state"] == "forwarding"
                    and gateway_of(other.status())["forwarder"] == one.name
                ):
                    return one, other
            return None

        found = wait_until(agreed, PATIENCE, "one gateway that forwards")
        assert found
        return found

    def stream_both_ways(self) -> None:
        self.near = LanReceiver(self.h, GROUP)
        self.far = Receiver(self.a, OTHER)
        await_wanted(self.a, {self.first.name}, GROUP)
        await_wanted(self.first, {"a"}, OTHER)
        self.down = Sender(self.a, GROUP, rate=RATE)
        self.up = LanSender(self.h, OTHER, rate=RATE)

    def ends(self) -> list[tuple[str, Receiver, str, Sender]]:
        return [("overlay to LAN", self.near, GROUP, self.down), ("LAN to overlay", self.far, OTHER, self.up)]

    def flow(self, packets: int = RATE) -> None:
        """So many more arrive, both ways."""
        for _, receiver, group, sender in self.ends():
            last = receiver.report(group, sender.source)["last"]
            receiver.await_last(group, sender.source, last + packets)

    def assert_nothing_is_lost(self, packets: int = 2 * RATE) -> None:
        """In a steady state: neither a packet missing nor one more than before."""
        counts = [self.counts(receiver, group, sender) for _, receiver, group, sender in self.ends()]
        self.flow(packets)
        self.assertEqual(
            counts, [self.counts(receiver, group, sender) for _, receiver, group, sender in self.ends()]
        )

    def counts(self, receiver: Receiver, group: str, sender: Sender) -> tuple[int, int, int]:
        report = receiver.report(group, sender.source)
        return report["missing"], report["duplicates"], report["damaged"]

    def end(self, what: str, doubles: int = 0) -> list[dict[str, Any]]:
        """Stops the senders; says what it cost."""
        reports = []
        for way, receiver, group, sender in self.ends():
            sent = sender.stop()["sent"]
            report = receiver.await_last(group, sender.source, sent - 1)
            self.measured(
                f"{what}, {way}: longest silence in s, packets of {RATE}/s missing, double",
                (f"{report['gap']:.2f}", report["missing"], report["duplicates"]),
            )
            self.assertLessEqual(report["duplicates"], doubles)
            self.assertEqual(0, report["damaged"])
            self.assertLess(report["missing"], (report["gap"] + 0.5) * RATE)
            reports.append(report)
        return reports


class SteadyTests(TwoGateways):
    def test_one_forwards_and_every_packet_comes_once(self) -> None:
        self.build()
        self.stream_both_ways()
        self.flow(5 * RATE)
        for _, receiver, group, sender in self.ends():
            sent = sender.stop()["sent"]
            self.assert_perfect(receiver.await_last(group, sender.source, sent - 1), sent, TTL - 1)
        # Of their queriers, too, one asks: that with the lower address.
        asking = {host.name: host.status()["querier"] for host in (self.g, self.k)}
        self.assertEqual(("k", None), (asking["g"]["querier_name"], asking["k"]["querier_name"]))
        shown = self.g.run([*MCMW, "--socket", str(self.g.socket), "show", "node"]).stdout
        self.assertIn(f"k at {asking['k']['address']} asks", shown)
        line = f"{DEVICE} leaves the queries to k at {asking['k']['address']}"
        wait_until(lambda: line in node_log(self.g), PATIENCE, line)  # its address may be known before it is
        self.assertEqual(("standing by", "querier"), (asking["g"]["state"], asking["k"]["state"]))
        self.assertEqual(asking["k"]["address"], asking["g"]["querier"])
        # Who stands by costs its uplink nothing, heard the LAN, and let nothing of it through.
        counters = self.second.status()["tap"]["counters"]
        self.assertGreater(counters["stood_by_from_lan"], 5 * RATE)
        self.assertEqual((0, 0), (counters["received"], counters["delivered"]))
        self.assertEqual([self.lan.address(self.h)], hosts_of(self.second, GROUP))
        shown = self.second.run([*MCMW, "--socket", str(self.second.socket), "show"]).stdout
        self.assertIn(f"standing by for {self.first.name} at ", shown)
        self.assertIn("packets left to another gateway while standing by", shown)
        self.assertNotIn("dropped", shown)
        self.assertIn(f"stands by: {self.first.name} at ", node_log(self.second))
        self.assertIn(f"forwards for the LAN behind {BRIDGE}", node_log(self.first))
        began = {host.name: cpu_seconds(host.status()["node"]["pid"]) for host in (self.first, self.second)}
        let_pass(IDLE_FOR)
        for host in (self.first, self.second):
            spent = cpu_seconds(host.status()["node"]["pid"]) - began[host.name]
            self.measured(f"{host.name} idle, of a core", f"{spent / IDLE_FOR:.2%}")
            self.assertLess(spent / IDLE_FOR, CPU)
        self.assertIn(self.lan.address(self.h), shown)


class TakeOverTests(TwoGateways):
    def test_the_forwarding_one_is_killed_and_comes_back(self) -> None:
        self.build()
        self.stream_both_ways()
        self.flow()
        killed, other = self.first, self.second
        killed.kill_node()
        await_state(other, "forwarding")
        self.flow()
        self.assert_nothing_is_lost()
        self.start(killed)
        await_state(killed, "standing by")
        await_linked(killed, "a")
        self.assert_nothing_is_lost()
        self.assertEqual((other, killed), self.forwarding())
        for report in self.end("kill -9"):
            self.assertLess(report["gap"], SLOW)

    def test_a_clean_exit_is_hardly_seen(self) -> None:
        self.build()
        self.stream_both_ways()
        self.flow()
        self.first.stop_node()
        await_state(self.second, "forwarding")
        self.flow()
        for report in self.end("SIGTERM"):
            self.assertLess(report["gap"], SLOW)

    def test_an_interface_that_is_down_for_a_while(self) -> None:
        self.build()
        self.stream_both_ways()
        self.flow()
        down, other = self.first, self.second
        down.link_down(DEVICE)
        await_state(other, "forwarding")
        down.await_status(lambda s: s["tap"]["state"] == "pending", PATIENCE, "the interface down")
        self.flow()
        down.link_up(DEVICE)
        await_state(down, "standing by")
        self.assert_nothing_is_lost()
        self.assertEqual((other, down), self.forwarding())
        for report in self.end("interface down"):
            self.assertLess(report["gap"], HOLD + SLOW)

    def test_one_that_is_cut_off_from_the_overlay(self) -> None:
        """It lives, and says so on the LAN; but it cannot be reached, so the other does not count it."""
        self.build({"listen": {"keepalive-timeout": 2}})
        self.stream_both_ways()
        self.flow()
        cut_off, other = self.first, self.second
        cut_off.unplug()
        await_state(other, "forwarding")
        await_state(cut_off, "standing by")
        self.flow()
        cut_off.plug()
        await_linked(cut_off, "a")
        self.assert_nothing_is_lost(4 * RATE)
        self.assertEqual((other, cut_off), self.forwarding())
        for report in self.end("uplink cut, keepalive-timeout 2 s"):
            self.assertLess(report["gap"], 2 + SLOW)

    def test_one_that_was_stopped_for_a_while_finds_the_other_at_work(self) -> None:
        """Only its silence on the LAN shows it; when it wakes its queues are full of the past."""
        self.build()
        self.stream_both_ways()
        self.flow()
        stopped, other = self.first, self.second
        pid = stopped.status()["node"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            await_state(other, "forwarding")
            self.flow()
            before = [self.counts(receiver, group, sender) for _, receiver, group, sender in self.ends()]
        finally:
            os.kill(pid, signal.SIGCONT)
        await_state(stopped, "standing by")
        self.flow(2 * RATE)
        for (_, receiver, group, sender), (missing, doubles, _) in zip(self.ends(), before, strict=True):
            report = receiver.report(group, sender.source)
            self.assertEqual(doubles, report["duplicates"])
            # Who was stopped amidst a batch of packets ends that: what nobody has had comes late.
            self.assertLessEqual(report["missing"], missing)
        self.assert_nothing_is_lost()
        self.assertEqual((other, stopped), self.forwarding())
        for report in self.end("SIGSTOP"):
            self.assertLess(report["gap"], HOLD + SLOW)

    def test_a_lan_that_is_cut_in_two_and_whole_again(self) -> None:
        """Only h's half has receivers; what k's half does shows when they meet."""
        self.build()
        self.stream_both_ways()
        self.flow()
        self.lan.cut(self.second)
        await_state(self.second, "forwarding")
        self.assert_nothing_is_lost()
        self.lan.mend(self.second)
        one, _ = self.forwarding()
        self.flow()
        self.assert_nothing_is_lost()
        self.measured("of two that forwarded, who goes on", one.name)
        self.end("LAN cut and mended", doubles=2 * RATE)


class LoopTests(TwoGateways):
    def test_two_overlays_on_one_lan_do_not_feed_each_other(self) -> None:
        """g is of a's overlay, k of none; both forward, and neither takes the other's packets for new."""
        self.build()
        self.k.stop_node()
        self.k.start_node(gateway_ini(self.k), ready=None)
        b = self.h  # its node takes k's side: the host's uplink is up again
        b.link_up()
        b.start_node(node_ini(b, [], {"tap": {"groups": ""}}), ready=None)
        self.k.stop_node()
        self.k.start_node(gateway_ini(self.k, [b]), ready=None)
        await_linked(self.k, "h")
        await_state(self.k, "forwarding")
        await_state(self.g, "forwarding")
        inside = Receiver(b, GROUP)
        on_lan = LanReceiver(self.h, GROUP)
        await_wanted(self.k, {"h", DEVICE}, GROUP)
        await_wanted(self.a, {"g"}, GROUP)
        Sender(self.a, GROUP, count=500, rate=500).finish()
        self.assert_perfect(on_lan.await_last(GROUP, S, 499), 500, TTL - 1)
        self.k.await_status(lambda s: s["tap"]["counters"]["from_gateways"] == 500, PATIENCE, "500 refused")
        self.assertEqual({}, inside.streams())
        self.assertEqual(1, gateway_of(self.k.status())["strangers"])
