"""Whole nodes whose kernels forward: the tree of figure 4 with [fastpath] mode = require.

What their kernels do with faults stands in test_mirror_faults.py.
"""

import json
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from multicastmw.cli.lab import Host, TimedOut, wait_until
from tests.net.bpf.bed import why_no_bed
from tests.netns.kit import (
    DEVICE,
    MEDIA,
    PATIENCE,
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sections,
    Sender,
    await_linked,
    await_wanted,
    inside,
    let_pass,
    mcmw,
    node_log,
    peer_of,
    route_of,
    why_not,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"  # host a on the virtual Ethernet
PACKETS = 600
IP_MULTICAST_ALL = 49
FAST = {"fastpath": {"mode": "require"}}


def await_fast(host: Host, *groups: str, fast: bool = True) -> dict[str, Any]:
    """Returns when the host's kernel forwards these groups (or does not)."""

    def look(status: dict[str, Any]) -> bool:
        routes = {route["group"]: route for route in status["routes"]}
        return all(group in routes and routes[group]["fast"] is fast for group in groups)

    try:
        return host.await_status(look, PATIENCE, f"{groups[0]} {'fast' if fast else 'slow'}")
    except TimedOut as error:
        status = host.status()
        why = [(route["group"], route["why_slow"], route["to"]) for route in status["routes"]]
        raise TimedOut(f"{error}; {why}, {status['fastpath']}") from None


def await_reason(host: Host, why: str, group: str = GROUP) -> None:
    """Returns when the group is slow there, for this reason."""
    host.await_status(
        lambda s: why in [r["why_slow"] for r in s["routes"] if r["group"] == group], PATIENCE, why
    )


class Case(NetnsTestCase):
    skip = why_not() or why_no_bed()

    def tree(self, everywhere: Sections | None = None, on: Mapping[str, Sections] | None = None) -> Figure4:
        """Of nodes that are told nothing else, all have the fast path on."""
        everywhere = everywhere or FAST
        tree = Figure4(self, everywhere, on)
        for host in tree.hosts:
            if (on or {}).get(host.name, everywhere)["fastpath"]["mode"] != "off":
                host.await_status(lambda status: status["fastpath"]["on"], PATIENCE, "the fast path")
        return tree

    def stream(self, tree: Figure4, rate: float = 500) -> tuple[Sender, dict[str, Receiver]]:
        """From a to b, c and d, without an end, and it is fast everywhere."""
        receivers = {host.name: Receiver(host, GROUP) for host in (tree.b, tree.c, tree.d)}
        tree.await_demand(GROUP, "cd")
        sender = Sender(tree.a, GROUP, rate=rate)
        for receiver in receivers.values():
            receiver.await_last(GROUP, S, 50)
        for host in tree.hosts:
            await_fast(host, GROUP)
        return sender, receivers

    def ends_perfect(self, sender: Sender, receivers: Mapping[str, Receiver]) -> int:
        """All that was sent came everywhere, once and in order."""
        sent: int = sender.stop()["sent"]
        for name, receiver in receivers.items():
            report = receiver.await_last(GROUP, S, sent - 1)
            self.assert_perfect(report, sent, TTL - 1 if name == "b" else TTL - 2)
        return sent


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
        self.check_counters({host.name: await_fast(host, GROUP) for host in tree.hosts})

    def check_counters(self, statuses: dict[str, dict[str, Any]]) -> None:
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
        for one, other in ((a, b), (b, c)):
            out = peer_of(one, other["node"]["name"])["counters"]
            into = peer_of(other, one["node"]["name"])["counters"]
            self.assertEqual(out["sent_bytes"], into["received_bytes"])
        for name in "bcd":
            status = statuses[name]
            self.assertEqual(PACKETS, status["tap"]["counters"]["delivered"], name)
            (stream,) = route_of(status, GROUP)["streams"]
            found = stream["node"], stream["received"], stream["lost"], stream["duplicates"]
            self.assertEqual(("a", PACKETS, 0, 0), found, name)

    def test_what_nobody_wants_ends_in_the_kernel_and_is_counted(self) -> None:
        tree = self.tree()
        Sender(tree.a, GROUP, count=PACKETS, rate=1000).finish()
        status = tree.a.await_status(
            lambda s: any(r["packets"] == PACKETS for r in s["routes"]), PATIENCE, "all counted"
        )
        route = route_of(status, GROUP)
        self.assertEqual((PACKETS, 0, True), (route["to_nobody"], route["sent_from_here"], route["fast"]))
        self.assertGreater(status["fastpath"]["counters"]["to_nobody"], PACKETS // 2)

    def test_show_and_the_log_say_what_is_fast(self) -> None:
        tree = self.tree()
        self.stream(tree, rate=100)
        code, out, err = mcmw(tree.b, "show", "routes")
        self.assertEqual((0, ""), (code, err))
        (line,) = (line for line in out.splitlines() if GROUP in line)
        self.assertIn("kernel", line)
        self.assertIn(f"{S} to {GROUP} is forwarded by the kernel", node_log(tree.b))
        code, out, err = mcmw(tree.b, "fastpath")
        self.assertEqual((0, ""), (code, err))
        self.assertTrue(out.startswith("on (tcx, u0), 1 route in the kernel\n"), out)

    @pytest.mark.alone  # twelve programs that each take 250 packets at once
    def test_a_thousand_groups_to_three_destinations(self) -> None:
        tree = self.tree()
        groups = [f"239.2.{index // 250}.{index % 250}" for index in range(1000)]
        receivers = [
            Receiver(host, *groups[part : part + 250])
            for host in (tree.b, tree.c, tree.d) for part in range(0, 1000, 250)
        ]  # fmt: skip
        await_wanted(tree.b, {DEVICE, "c", "d"}, *groups)
        await_wanted(tree.a, {"b"}, *groups)
        sender = Sender(tree.a, *groups, rate=1, size=100)
        tree.b.await_status(lambda s: s["fastpath"]["routes"] == 1000, 3 * PATIENCE, "all in b's kernel")
        since = sender.state["sent"]
        for receiver in receivers:
            receiver.await_state(
                lambda state: sum(r["last"] > since for r in state["streams"].values()) == 250, "later ones"
            )


class Reasons(Case):
    """What cannot be served stays slow as a whole, says why, and moves when it can be."""

    def test_a_leaf_whose_data_go_over_tcp_keeps_a_fan_out_slow_until_it_leaves(self) -> None:
        tree = self.tree()
        receivers = {host.name: Receiver(host, GROUP) for host in (tree.b, tree.c, tree.d)}
        tree.await_demand(GROUP, "cd")
        tree.d.nft("""
            table inet hole {
                chain in { type filter hook input priority 0; udp dport 4600 drop; }
            }
        """)
        await_linked(tree.b, "d", "tcp")
        sender = Sender(tree.a, GROUP, rate=200)
        await_reason(tree.b, "it goes to d: its data go over TCP")
        await_fast(tree.a, GROUP)
        for receiver in receivers.values():
            receiver.await_last(GROUP, S, 100)
        self.assertIn("it goes to d: its data go over TCP", mcmw(tree.b, "show", "routes")[1])
        receivers.pop("d").stop()
        await_fast(tree.b, GROUP)
        self.ends_perfect(sender, receivers)

    def test_a_node_without_the_fast_path_in_the_middle(self) -> None:
        tree = self.tree(on={"b": {"fastpath": {"mode": "off"}}})
        receivers = {host.name: Receiver(host, GROUP) for host in (tree.b, tree.c, tree.d)}
        tree.await_demand(GROUP, "cd")
        sender = Sender(tree.a, GROUP, rate=200)
        await_fast(tree.c, GROUP)
        await_reason(tree.b, "the fast path is off")
        for receiver in receivers.values():
            receiver.await_last(GROUP, S, 200)
        sent = self.ends_perfect(sender, receivers)
        (stream,) = route_of(tree.b.status(), GROUP)["streams"]
        self.assertEqual((sent, 0), (stream["received"], stream["lost"]), "a's two counts together")

    def test_a_port_of_a_bridge_is_slow_and_what_passes_by_is_not(self) -> None:
        tree = self.tree()
        tree.b.ip("link add br0 type bridge", "link set br0 up", f"link set {DEVICE} master br0")
        receiver = Receiver(tree.c, GROUP)
        await_wanted(tree.b, {"c"}, GROUP)
        sender = Sender(tree.a, GROUP, rate=200)
        receiver.await_last(GROUP, S, 100)
        await_fast(tree.b, GROUP)
        tree.b.ip(f"link set {DEVICE} nomaster")
        self.ends_perfect(sender, {"c": receiver})


class Switch(Case):
    def test_switched_off_and_on_a_stream_loses_and_doubles_nothing(self) -> None:
        tree = self.tree()
        sender, receivers = self.stream(tree)
        for host in (tree.b, tree.a, tree.c) * 2:
            code, out, err = mcmw(host, "fastpath", "off")
            self.assertEqual((0, "off: switched off with `mcmw fastpath off`", ""),
                             (code, out.splitlines()[0], err))  # fmt: skip
            await_reason(host, "the fast path is off")
            seen = sender.state["sent"]
            sender.await_sent(seen + 100)
            code, out, err = mcmw(host, "fastpath", "on", "--json")
            self.assertEqual((0, True, ""), (code, json.loads(out)["on"], err))
            await_fast(host, GROUP)
            sender.await_sent(seen + 200)
        sent = self.ends_perfect(sender, receivers)
        for host in (tree.b, tree.c, tree.d):
            (stream,) = route_of(host.status(), GROUP)["streams"]
            self.assertEqual((sent, 0, 0), (stream["received"], stream["lost"], stream["duplicates"]))
        self.assertEqual(sent, route_of(tree.a.status(), GROUP)["sent_from_here"])
        self.assertEqual(sent, peer_of(tree.b.status(), "c")["counters"]["sent"])

    def test_a_reload_switches_too(self) -> None:
        tree = self.tree()
        self.stream(tree, rate=100)
        path = tree.lab.state_dir / "b.ini"
        text = path.read_text()
        path.write_text(text.replace("mode = require", "mode = off"))
        self.assertEqual(0, mcmw(tree.b, "reload")[0])
        self.assertEqual((False, "[fastpath] mode = off"), switch_of(tree.b))
        path.write_text(text)
        self.assertEqual(0, mcmw(tree.b, "reload")[0])
        self.assertEqual((True, ""), switch_of(tree.b))
        await_fast(tree.b, GROUP)

    def test_toggled_every_5_seconds_while_groups_come_and_go(self) -> None:
        self.toggled(20)

    @pytest.mark.slow
    def test_toggled_every_5_seconds_for_5_minutes(self) -> None:
        self.toggled(300)

    def toggled(self, seconds: float) -> None:
        """One stream throughout; b and a switch in turn; each 0.1 s c or d leaves a group for another."""
        tree = self.tree()
        sender, receivers = self.stream(tree, rate=200)
        other = Sender(tree.a, *OTHERS, rate=10, size=200)
        guests = [Guest(self, host) for host in (tree.c, tree.d)]
        begin, before, switches = time.monotonic(), other.state["sent"], 0
        for step in range(round(seconds * 10)):
            let_pass(max(0.0, begin + step / 10 - time.monotonic()))
            guests[step % 2].change()
            if step % 50 == 0:
                host, mode = (tree.b, tree.a)[switches % 2], ("off", "on")[switches // 2 % 2]
                self.assertEqual(0, mcmw(host, "fastpath", mode)[0])
                switches += 1
        sent = sender.stop()["sent"]
        for guest in guests:
            expected = JOINED * (other.state["sent"] - before)
            self.assertGreater(guest.received(), expected // 2, "of the other groups little came")
        # While Python forwards, a machine that is too slow for it shows that here.
        full = sum(host.status()["tap"]["kernel_drops"] for host in (tree.a, tree.b))
        costs = {}
        for name, receiver in receivers.items():
            receiver.await_last(GROUP, S, sent - 1 - full)
            report = receiver.stop()["streams"][f"{GROUP} {S}"]
            self.assertLessEqual(report["missing"], full)
            self.assertEqual((0, 0, 0), faults(report))
            costs[name] = [round(delay * 1000, 2) for delay in report["delays"]]
        self.measured(f"packets in {seconds} s with {switches} switches; the TAPs' queues were too full for",
                      (sent, full))  # fmt: skip
        self.measured("ms on the way: the median, p99.9, the longest", costs)


OTHERS = [f"239.3.3.{index}" for index in range(10)]
JOINED = 5  # of these at a time


class Guest:
    """A program that zaps: it leaves what it joined longest ago, and joins the next."""

    def __init__(self, test: NetnsTestCase, host: Host) -> None:
        with inside(host):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._device = socket.if_nametoindex(DEVICE)
        test.addCleanup(self._socket.close)
        self._socket.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("", MEDIA))
        self._socket.setblocking(False)
        self._next = self._received = 0
        for _ in range(JOINED):
            self._member(socket.IP_ADD_MEMBERSHIP, self._next)
            self._next += 1

    def _member(self, option: int, number: int) -> None:
        group = socket.inet_aton(OTHERS[number % len(OTHERS)])
        self._socket.setsockopt(socket.IPPROTO_IP, option, group + struct.pack("=4xi", self._device))

    def change(self) -> None:
        self._member(socket.IP_DROP_MEMBERSHIP, self._next - JOINED)
        self._member(socket.IP_ADD_MEMBERSHIP, self._next)
        self._next += 1
        self.received()

    def received(self) -> int:
        """Packets since the start."""
        while select.select([self._socket], [], [], 0)[0]:
            self._socket.recv(2048)
            self._received += 1
        return self._received


def faults(report: Mapping[str, int]) -> tuple[int, int, int]:
    """Packets that came twice, damaged or out of order."""
    return report["duplicates"], report["damaged"], report["disordered"]


def switch_of(host: Host) -> tuple[bool, str]:
    found = host.status()["fastpath"]
    return found["on"], found["why"]


class Uplinks(Case):
    """What changes on this host is followed."""

    def test_what_no_longer_fits_goes_another_way_and_comes_back(self) -> None:
        """a's own uplink gets a smaller MTU, and the way from b to c; both are followed."""
        tree = self.tree()
        _, receivers = self.stream(tree, rate=200)
        with self.more(tree.a, "user_too_long"):
            tree.a.ip("link set u0 mtu 1400")
        self.assertLess(tree.a.status()["fastpath"]["counters"]["too_long_for_peer"], 100, "not noticed")
        with self.more(tree.a, "from_tap"):
            tree.a.ip("link set u0 mtu 1500")
        for host in (tree.a, tree.b):  # what was lost meanwhile may have come to them
            await_fast(host, GROUP)
        with self.more(tree.b, "user_too_long"):
            for where, device in ((tree.lab.internet, "to-c"), (tree.c, "u0")):
                where.ip(f"link set {device} mtu 1400")
        receivers["c"].await_state(
            lambda _: receivers["c"].report(GROUP, S)["ttls"] and self.goes_on(receivers["c"]), "c's packets"
        )

    def goes_on(self, receiver: Receiver) -> bool:
        return time.monotonic() - receiver.report(GROUP, S)["last_at"] < 0.5

    @contextmanager
    def more(self, host: Host, counter: str) -> Iterator[None]:
        """Returns when the kernel has counted 50 more of these since before what is done within."""
        before = host.status()["fastpath"]["counters"][counter]
        yield
        host.await_status(
            lambda s: s["fastpath"]["counters"][counter] > before + 50, PATIENCE, f"more {counter}"
        )

    def test_a_route_to_another_device_is_followed(self) -> None:
        tree = self.tree()
        sender, receivers = self.stream(tree, rate=200)
        tree.lab.internet.ip(
            f"link add to-b1 type veth peer name u1 netns {tree.b.namespace}", "link set to-b1 up",
            "address add 10.98.0.1/30 dev to-b1",
        )  # fmt: skip
        tree.b.ip("link set u1 up", "address add 10.98.0.2/30 dev u1",
                  f"route add {tree.c.address}/32 via 10.98.0.1 src {tree.b.address}")  # fmt: skip
        tree.b.await_status(lambda s: s["fastpath"]["uplinks"] == ["u0", "u1"], PATIENCE, "u1")
        seen = sender.state["sent"]
        sender.await_sent(seen + 100)
        for receiver in receivers.values():
            receiver.await_last(GROUP, S, seen + 50)
        tree.b.ip("link del u1")
        tree.b.await_status(lambda s: s["fastpath"]["uplinks"] == ["u0"], PATIENCE, "u0 alone")
        sent = sender.stop()["sent"]
        for receiver in receivers.values():
            report = receiver.await_last(GROUP, S, sent - 1)
            # Until the kernel's word of the other way is read, copies find none.
            self.assertLess(report["missing"], 100)
            self.assertEqual((0, 0, 0), faults(report))

    def test_a_gateway_s_other_ethernet_address_is_followed(self) -> None:
        """As when another router takes over; it says so itself (RFC 5227, 3)."""
        tree = self.tree()
        sender, receivers = self.stream(tree, rate=200)
        gate = tree.lab.internet
        gate.sysctl({"net.ipv4.conf.to-b.arp_notify": 1})
        gate.ip("link set to-b address 02:00:00:00:00:77")
        wait_until(lambda: "00:00:77" in tree.b.run(["ip", "neigh"]).stdout, PATIENCE, "b's word of it")
        seen = sender.state["sent"]
        sender.await_sent(seen + 100)
        sent = sender.stop()["sent"]
        for receiver in receivers.values():
            report = receiver.await_last(GROUP, S, sent - 1)
            self.assertLess(report["missing"], 50)
            self.assertEqual((0, 0, 0), faults(report))
        await_fast(tree.b, GROUP)

    def test_an_uplink_that_was_down_and_a_cable_that_was_pulled(self) -> None:
        tree = self.tree()
        sender, receivers = self.stream(tree, rate=200)
        for cut, mend in ((tree.b.link_down, tree.b.link_up), (tree.b.unplug, tree.b.plug)):
            cut()
            await_fast(tree.b, GROUP, fast=False)
            mend()
            seen = sender.state["sent"]
            for receiver in receivers.values():
                receiver.await_last(GROUP, S, seen + 100, 60)
            await_fast(tree.b, GROUP)
        for receiver in receivers.values():
            self.assertEqual(0, receiver.report(GROUP, S)["duplicates"])

    def test_a_tap_that_is_deleted_takes_the_fast_path_along_and_brings_it_back(self) -> None:
        tree = self.tree()
        sender, receivers = self.stream(tree, rate=200)
        tree.b.ip(f"link del {DEVICE}")
        tree.b.await_status(
            lambda s: not s["fastpath"]["on"] or s["tap"]["state"] == "up", PATIENCE, "its TAP"
        )
        tree.b.await_status(lambda s: s["fastpath"]["on"], PATIENCE, "the fast path at the new TAP")
        await_fast(tree.b, GROUP)
        for name in "cd":
            receivers[name].await_last(GROUP, S, sender.state["sent"])
        again = Receiver(tree.b, GROUP)
        again.await_last(GROUP, S, sender.state["sent"])
