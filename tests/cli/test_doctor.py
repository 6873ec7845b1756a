"""`mcmw doctor`: each harm is found, with a line that mends it, and what does no harm is no finding."""

import json
from ipaddress import IPv4Network
from typing import Any

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.doctor.checks import examine
from multicastmw.cli.doctor.command import NAME, lines, show
from multicastmw.cli.doctor.facts import Facts, address_of, memberships, networks_of, routed_into
from multicastmw.cli.doctor.finding import Check, Verdict
from multicastmw.cli.doctor.probe import Heard

IDS = [
    "node", "identity", "tap", "network", "fast-path", "routes", "wrong-interface", "rp-filter", "ttl", "mtu",
    "buffers", "querier", "bridge-snooping", "peers", "ports", "listening", "own-tap", "clock", "firewall",
]  # fmt: skip


def status(**parts: Any) -> dict[str, Any]:
    """Of a healthy node; a part may change some of its entries."""
    healthy: dict[str, Any] = {
        "node": {"name": "b", "pid": 7, "uptime": 70.0, "tls": None, "data_port": 4600,
                 "listening": "tcp:4600"},
        "tap": {"device": "mcmw0", "state": "up", "why": "", "address": "10.88.0.2/24", "longest": 1412,
                "groups": ["224.0.0.0/4"], "kernel_drops": 0, "gateway": None, "ttl_floor": 0,
                "counters": {"fragments_made": 0, "received": 0}},
        "fastpath": {"mode": "auto", "on": True, "why": ""},
        "querier": {"state": "querier", "querier": "10.88.0.254", "querier_name": None, "version": 3,
                    "address": "10.88.0.254"},
        "counters": {"dialled_in": 0},
        "refused_reload": None,
    }  # fmt: skip
    lists = {"peers": [peer()], "groups": [], "routes": [route()], "warnings": []}
    return {name: part | parts.pop(name, {}) if part else parts.pop(name, part)
            for name, part in healthy.items()} | lists | parts  # fmt: skip


def peer(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "sections": ["a"], "state": "up", "why": "", "address": "192.0.2.1",
            "data": "udp", "endpoint": "tcp:192.0.2.1:4600", "kernel_drops": 0, "dialled_by": "us",
            "counters": {"received": 0}} | changes  # fmt: skip


def route(**changes: Any) -> dict[str, Any]:
    return {"group": "239.1.1.1", "source": "10.88.0.1", "to": ["mcmw0"], "died_of_ttl": 0, "packets": 20,
            "sent_from_here": None} | changes  # fmt: skip


WELL = {
    "ways": {"10.88.0.1": "mcmw0", "192.0.2.1": "eth0"},
    "groups_by": {"224.0.0.0/4": "mcmw0"},
    "joined": {"lo": frozenset({"224.0.0.1"}), "eth0": frozenset({"224.0.0.1"})},
}


def found(name: str, heard: Heard = Heard.BOTH, of: dict[str, Any] | None = None, **changes: Any) -> Check:
    checks = examine(of or status(), Facts(**WELL | changes), heard)
    (check,) = (check for check in checks if check.id == name)
    return check


class Case(SynchronousTestCase):
    def is_ok(self, check: Check) -> None:
        self.assertEqual(Verdict.OK, check.status, check)
        self.assertEqual(("", ""), (check.why, check.mend))

    def is_bad(self, verdict: Verdict, check: Check, *words: str) -> None:
        """It says what, why and how to mend it, and these words."""
        self.assertEqual(verdict, check.status, check)
        self.assertTrue(check.what and check.why and check.mend, check)
        for word in words:
            self.assertIn(word, " ".join((check.what, check.why, check.mend)))


class Healthy(Case):
    def test_every_check_is_there_and_ok(self) -> None:
        checks = examine(status(), Facts(**WELL), Heard.BOTH)
        self.assertEqual(IDS, [check.id for check in checks])
        for check in checks:
            self.is_ok(check)

    def test_where_little_could_be_seen_nothing_is_made_up(self) -> None:
        for check in examine(status(), Facts(), Heard.NOT_TRIED):
            self.is_ok(check)


class Harm(Case):
    def test_a_node_in_another_network_or_with_a_wrong_file(self) -> None:
        self.is_bad(Verdict.WARN, found("node", elsewhere=True), "nsenter -t 7 -n mcmw doctor")
        refused = status(refused_reload={"why": "line 3: [tap] mtu: not a number"})
        self.is_bad(Verdict.WARN, found("node", of=refused), "line 3", "mcmw check")

    def test_a_way_on_which_long_packets_vanish(self) -> None:
        check = found("mtu", swallowed={"192.0.2.1": 1400})
        self.is_bad(Verdict.FAIL, check, "more than 1400 bytes", "to a", "[tap] mtu = 1312 at all who send")
        self.assertLessEqual(max(map(len, lines(check, 80))), 80)
        self.assertNotIn("[tap] mtu", found("mtu", swallowed={"192.0.2.1": 100}).mend)

    def test_a_name_that_two_nodes_have(self) -> None:
        said = "the node name b is in use at 192.0.2.2 and at 192.0.2.4: give one of them another name"
        self.is_bad(Verdict.WARN, found("identity", of=status(warnings=[said])), said, "[node] name = ")
        self.is_ok(found("identity", of=status(warnings=["[listen] endpoint: tcp:4600: Address in use"])))

    def test_an_address_that_two_nodes_have(self) -> None:
        said = "[tap] address: 10.88.0.2/24 is in use at c, too, whose packets no program here gets: ..."
        name = "the node name b is in use at 192.0.2.2 and at 192.0.2.4: give one of them another name"
        for warnings in ([said], [name, said]):
            check = found("identity", of=status(warnings=warnings))
            self.is_bad(Verdict.FAIL, check, said, "[tap] address = ")

    def test_a_network_that_another_interface_has(self) -> None:
        podman = ("podman0", IPv4Network("10.88.0.0/16"))
        check = found("network", networks=(("eth0", IPv4Network("192.0.2.0/24")), podman))
        self.is_bad(Verdict.WARN, check, "10.88.0.0/24 of mcmw0", "10.88.0.0/16 of podman0", "[tap] address")
        self.is_ok(found("network", networks=(("eth0", IPv4Network("10.88.1.0/24")),)))
        self.is_ok(found("network", of=status(tap={"address": None}), networks=(podman,)))

    def test_a_tap_that_is_not_there(self) -> None:
        pending = status(tap={"state": "pending", "why": "no such device"})
        self.is_bad(Verdict.FAIL, found("tap", of=pending), "mcmw0 is pending: no such device")
        self.is_bad(Verdict.FAIL, found("tap", of=pending, tun="/dev/net/tun: gone"), "modprobe tun")
        none = frozenset[str]()
        self.is_bad(
            Verdict.FAIL, found("tap", of=pending, capabilities=none), "no CAP_NET_ADMIN", "ip tuntap"
        )
        self.is_ok(found("tap", tun="/dev/net/tun: Permission denied"))
        self.is_ok(found("routes", of=pending, groups_by={"224.0.0.0/4": "eth0"}))

    def test_a_fast_path_that_cannot_be_had(self) -> None:
        slow = status(fastpath={"on": False, "why": "CAP_BPF missing"})
        held = frozenset({"CAP_NET_ADMIN"})
        self.is_bad(Verdict.WARN, found("fast-path", of=slow, capabilities=held), "CAP_BPF missing",
                    "AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON")  # fmt: skip
        self.is_bad(Verdict.WARN, found("fast-path", of=slow), "docs/fastpath.rst")
        self.is_ok(found("fast-path", of=status(fastpath={"on": False, "mode": "off"})))

    def test_a_fast_path_that_tls_leaves_nothing_to_do(self) -> None:
        inside = {"on": False, "why": "data go inside TLS"}
        self.is_ok(found("fast-path", of=status(fastpath=inside, node={"tls": {"udp_in_clear": False}})))
        clear = status(fastpath={"on": False, "why": "no"}, node={"tls": {"udp_in_clear": True}})
        self.is_bad(Verdict.WARN, found("fast-path", of=clear), "no")

    def test_groups_that_are_routed_elsewhere(self) -> None:
        check = found("routes", groups_by={"239.0.0.0/8": "mcmw0", "224.0.0.0/4": "eth0"})
        self.is_bad(Verdict.WARN, check, "eth0, not mcmw0", "ip route replace 224.0.0.0/4 dev mcmw0",
                    "localaddr=10.88.0.2")  # fmt: skip
        self.is_bad(Verdict.WARN, found("routes", groups_by={"224.0.0.0/4": None}), "use none, not mcmw0")
        bridged = status(tap={"gateway": {"bridge": "br0"}})
        self.is_ok(found("routes", of=bridged, groups_by={"224.0.0.0/4": "eth0"}))

    def test_a_program_that_has_joined_on_the_wrong_interface(self) -> None:
        astray = {"eth0": frozenset({"239.1.1.1", "224.0.0.1"}), "mcmw0": frozenset({"224.0.0.1"})}
        check = found("wrong-interface", joined=astray)
        self.is_bad(Verdict.WARN, check, "joined 239.1.1.1 on eth0, not on mcmw0", "--miface mcmw0")
        for harmless in (
            {"eth0": frozenset({"239.9.9.9"})},  # the overlay knows nothing of it
            {"eth0": frozenset({"239.1.1.1"}), "mcmw0": frozenset({"239.1.1.1"})},
            {"lo": frozenset({"239.1.1.1"})},
        ):
            self.is_ok(found("wrong-interface", joined=harmless))
        discovery = status(groups=[{"group": "239.255.255.250"}])
        self.is_ok(found("wrong-interface", of=discovery, joined={"eth0": frozenset({"239.255.255.250"})}))

    def test_a_filter_for_the_way_back(self) -> None:
        elsewhere = {"10.88.0.1": "eth0"}
        check = found("rp-filter", strict=True, ways=elsewhere)
        self.is_bad(Verdict.FAIL, check, "10.88.0.1", "sysctl -w net.ipv4.conf.mcmw0.rp_filter=2")
        self.is_ok(found("rp-filter", strict=False, ways=elsewhere))
        self.is_ok(found("rp-filter", strict=True))
        self.is_ok(found("rp-filter", strict=True, ways=elsewhere, of=status(routes=[route(to=["c"])])))

    def test_packets_that_died_of_their_ttl(self) -> None:
        here = status(routes=[route(died_of_ttl=12, sent_from_here=3), route(group="239.1.1.2")])
        self.is_bad(
            Verdict.FAIL, found("ttl", of=here), "12 packets to 239.1.1.1 died", "[tap] ttl-floor = 16"
        )
        passing = status(routes=[route(died_of_ttl=12)])
        self.is_bad(Verdict.FAIL, found("ttl", of=passing), "where they are sent")

    def test_packets_that_were_too_long_or_too_many(self) -> None:
        split = status(tap={"counters": {"fragments_made": 20_000, "received": 90_000}})
        self.is_bad(Verdict.WARN, found("mtu", of=split), "20k pieces", "pkt_size=1316")
        full = status(tap={"kernel_drops": 4}, peers=[peer(kernel_drops=3)])
        self.is_bad(
            Verdict.WARN, found("buffers", of=full), "4 packets of programs here, 3 of peers",
            "ip link set mcmw0 txqueuelen 10000",
        )  # fmt: skip
        of_peers = {"peers": [peer(kernel_drops=3)]}
        self.is_bad(Verdict.WARN, found("buffers", of=status(**of_peers)), "sysctl -w net.core.rmem_max")
        slow = status(fastpath={"on": False, "mode": "auto", "why": "told so"}, **of_peers)
        self.is_bad(Verdict.WARN, found("buffers", of=slow), "mcmw fastpath on")

    def test_what_was_mended_is_no_finding_any_more(self) -> None:
        """Packets passed since, and none came to harm."""
        dead = status(routes=[route(died_of_ttl=12, packets=100)])
        self.is_ok(found("ttl", of=dead, earlier=status(routes=[route(died_of_ttl=12, packets=90)])))
        for before in ({"died_of_ttl": 11, "packets": 90}, {"died_of_ttl": 12, "packets": 100}):
            check = found("ttl", of=dead, earlier=status(routes=[route(**before)]))
            self.is_bad(Verdict.FAIL, check, "12 packets")
        here = {"died_of_ttl": 12, "packets": 100, "sent_from_here": 3}
        raised = status(routes=[route(**here)], tap={"ttl_floor": 16})
        self.is_ok(found("ttl", of=raised, earlier=status(routes=[route(**here)])))
        split = status(tap={"counters": {"fragments_made": 20, "received": 90}})
        for counters, verdict in (
            ({"fragments_made": 20, "received": 80}, Verdict.OK),
            ({"fragments_made": 18, "received": 80}, Verdict.WARN),
            ({"fragments_made": 20, "received": 90}, Verdict.WARN),
        ):
            check = found("mtu", of=split, earlier=status(tap={"counters": counters}))
            self.assertEqual(verdict, check.status, counters)
        full = {"tap": {"kernel_drops": 4, "counters": {"fragments_made": 0, "received": 90}}}
        before = {"tap": {"kernel_drops": 4, "counters": {"fragments_made": 0, "received": 80}}}
        self.is_ok(found("buffers", of=status(**full), earlier=status(**before)))
        self.is_bad(Verdict.WARN, found("buffers", of=status(**full), earlier=status(**full)), "4 packets")
        lost, passing = [peer(kernel_drops=3)], [peer(kernel_drops=3, counters={"received": 9})]
        self.is_ok(found("buffers", of=status(peers=passing), earlier=status(peers=lost)))
        self.is_bad(Verdict.WARN, found("buffers", of=status(peers=lost), earlier=status(peers=lost)), "3 of")

    def test_another_querier(self) -> None:
        other = {"state": "standing by", "querier": "10.88.0.7", "querier_name": None}
        self.is_bad(Verdict.WARN, found("querier", of=status(querier=other)), "10.88.0.7 asks",
                    "[igmp] querier-address = 10.88.0.1")  # fmt: skip
        first = status(querier=other, tap={"address": "10.88.0.1/24"})
        self.is_bad(Verdict.WARN, found("querier", of=first), "querier-address = 10.88.0.2")
        lowest = status(querier=other | {"querier": "10.88.0.1"})
        self.is_bad(Verdict.WARN, found("querier", of=lowest), "switch that one's querier off")
        bridged = status(querier=other, tap={"address": None, "gateway": {"bridge": "br0"}})
        self.is_bad(Verdict.WARN, found("querier", of=bridged), "below 10.88.0.7 that nobody has")
        self.is_ok(found("querier", of=status(querier=other | {"querier_name": "c"})))

    def test_a_querier_that_switches_do_not_heed(self) -> None:
        bridged = {"tap": {"gateway": {"bridge": "br0"}}, "querier": {"address": "0.0.0.0"}}
        self.is_bad(
            Verdict.WARN, found("bridge-snooping", of=status(**bridged)), "0.0.0.0", "querier-address"
        )
        self.is_ok(found("bridge-snooping", of=status(querier={"address": "0.0.0.0"})))

    def test_who_dialled_in_has_shown_that_the_port_is_reached(self) -> None:
        self.assertIn("a dialled in", found("listening", of=status(peers=[peer(dialled_by="them")])).what)
        self.assertIn("before", found("listening", of=status(counters={"dialled_in": 2})).what)

    def test_that_nobody_did_shows_nothing_and_the_line_that_does_is_there(self) -> None:
        check = found("listening", here="198.51.100.9")
        self.is_ok(check)
        self.assertTrue(check.what.endswith("nc -vz 198.51.100.9 4600"), check.what)
        at = status(node={"listening": r"tcp6:4601:interface=2001\:db8\:\:1"})
        self.assertTrue(found("listening", of=at).what.endswith("nc -vz 2001:db8::1 4601"))
        for endpoint in ("tcp:4600:interface=127.0.0.1", "unix:/run/links"):
            self.assertIn(
                "only this host can", found("listening", of=status(node={"listening": endpoint})).what
            )
        self.is_ok(found("listening", of=status(node={"listening": None})))

    def test_a_port_that_another_program_has(self) -> None:
        lost = status(node={"listening": None}, warnings=["[listen] endpoint: tcp:4600: Address in use; ..."])
        self.is_bad(Verdict.WARN, found("listening", of=lost), "Address in use", "ss -ltnp")

    def test_a_bridge_that_snoops_without_a_querier(self) -> None:
        bridged = status(tap={"gateway": {"bridge": "br0"}}, querier={"state": "off"})
        self.is_bad(Verdict.FAIL, found("bridge-snooping", of=bridged, snoops=True), "br0", "mcast_querier 1")
        asked = status(tap={"gateway": {"bridge": "br0"}})
        self.is_ok(found("bridge-snooping", of=asked, snoops=True))
        self.is_ok(found("bridge-snooping", of=bridged, snoops=False))

    def test_peers_that_are_not_there(self) -> None:
        down = status(peers=[peer(state="waiting", why="connection refused", name="a"), peer(name="c")])
        self.is_bad(
            Verdict.FAIL, found("peers", of=down), "a: no link", "connection refused", "tcp:192.0.2.1:4600"
        )
        refused = status(peers=[peer(state="waiting", why="Connection refused")])
        self.is_bad(Verdict.FAIL, found("peers", of=refused), "does a node run, at that port?")
        self.is_bad(Verdict.WARN, found("peers", of=status(peers=[])), "no peer", "[peer:NAME]")
        self.is_ok(found("peers", of=status(peers=[peer(), peer(state="standby")])))

    def test_a_mesh_whose_seeds_are_not_there(self) -> None:
        dead = {"seed": "tcp:192.0.2.9:4600", "why": "no answer within 4 s"}
        there = {"seed": "lan:", "why": ""}
        mesh = {"seeds": [dead, there], "neighbours": []}
        self.is_bad(
            Verdict.FAIL, found("peers", of=status(peers=[], mesh=mesh)),
            "tcp:192.0.2.9:4600: no answer within 4 s", "carries nothing", "at the seed: mcmw doctor",
        )  # fmt: skip
        linked = mesh | {"neighbours": [{"name": "a"}]}
        self.is_bad(
            Verdict.WARN,
            found("peers", of=status(mesh=linked)),
            "1 of 2 seeds cannot be reached: tcp:192.0.2.9",
        )
        self.is_ok(found("peers", of=status(mesh=linked | {"seeds": [there]})))
        self.is_bad(Verdict.WARN, found("peers", of=status(peers=[], mesh=mesh | {"seeds": []})), "no seeds")
        down = [peer(state="waiting", why="connection refused")]
        self.is_bad(Verdict.FAIL, found("peers", of=status(peers=down, mesh=linked)), "a: no link")

    def test_what_mends_a_seed_is_of_the_reason(self) -> None:
        for why, mend in (
            ("no answer within 4 s", "firewall"),
            ("DNS lookup failed: that name has no address", "getent hosts"),
            ("closed by the peer: TLS is required", "mcmw keys node"),
            ("TLS: its certificate is not from one of our authorities", "one authority"),
            ("TLS: its certificate has expired", "mcmw check"),
            ("TLS: its certificate is not valid yet; is a clock wrong?", "timedatectl"),
            ("it has our own node id", "seeds without itself"),
            ("it speaks another protocol, and is no node", "another program's"),
        ):
            seeds = {"seeds": [{"seed": "tcp:x.example.net:4600", "why": why}], "neighbours": []}
            check = found("peers", of=status(peers=[], mesh=seeds))
            self.is_bad(Verdict.FAIL, check, why, mend)
            self.assertLessEqual(max(map(len, lines(check, 80))), 80)

    def test_seeds_of_an_engine_that_asks_none(self) -> None:
        ignored = "[overlay] seeds: ignored, as engine is static, and meant for engine = mesh"
        check = found("peers", of=status(peers=[], warnings=[ignored]))
        self.is_bad(Verdict.FAIL, check, ignored, "[overlay] engine = mesh")

    def test_data_that_go_over_tcp_though_they_need_not(self) -> None:
        over_tcp = [peer(data="tcp")]
        self.is_bad(Verdict.WARN, found("ports", of=status(peers=over_tcp)), "UDP port 4600")
        self.is_ok(found("ports", of=status(peers=over_tcp, node={"data_port": None})))

    def test_a_peer_inside_the_overlay(self) -> None:
        ways = {"192.0.2.1": "mcmw0", "10.88.0.1": "mcmw0"}
        self.is_bad(Verdict.FAIL, found("own-tap", ways=ways), "to a leads through mcmw0", "outside of")
        routes = tuple(map(IPv4Network, ("10.88.0.0/24", "192.0.2.0/24", "192.0.2.0/25", "198.51.100.0/24")))
        check = found("own-tap", ways=ways, into_tap=routes)
        self.is_bad(Verdict.FAIL, check, "ip route del 192.0.2.0/25 dev mcmw0")
        waiting = peer(state="waiting", address=None, why="it is routed through mcmw0, this node's own TAP")
        check = found("own-tap", ways=ways, into_tap=routes, of=status(peers=[waiting]))
        self.is_bad(Verdict.FAIL, check, "ip route del 192.0.2.0/25 dev mcmw0")
        named = peer(state="waiting", address=None, endpoint="tcp:b.example.net:4600")
        self.is_ok(found("own-tap", ways=ways, of=status(peers=[named])))
        inside = peer(address="10.88.0.9")
        check = found("own-tap", ways={"10.88.0.9": "mcmw0"}, into_tap=routes, of=status(peers=[inside]))
        self.is_bad(Verdict.FAIL, check, "outside of mcmw0's network")

    def test_a_clock_that_nobody_keeps(self) -> None:
        self.is_ok(found("clock", clock_is_kept=False))
        tls = status(node={"tls": {"certificate": "b.pem"}})
        self.is_bad(Verdict.WARN, found("clock", of=tls, clock_is_kept=False), "set-ntp")

    def test_a_firewall(self) -> None:
        self.is_bad(Verdict.FAIL, found("firewall", Heard.NOTHING), "OUTPUT -o mcmw0 -p igmp -j ACCEPT")
        self.is_bad(Verdict.FAIL, found("firewall", Heard.NO_ANSWER), "INPUT -i mcmw0 -p igmp -j ACCEPT")
        self.is_ok(found("firewall", Heard.JOIN))


class FactsTests(SynchronousTestCase):
    def test_memberships_as_the_kernel_lists_them(self) -> None:
        text = (
            "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"
            "1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n"
            "12\tmcmw0     :     2      V3\n\t\t\t\t030201EF     1 0:00000000\t\t0\n"
            "\t\t\t\t010000E0     1 0:00000000\t\t0\n\t\t\t\tnonsense\n"
        )
        self.assertEqual(
            {"lo": {"224.0.0.1"}, "mcmw0": {"239.1.2.3", "224.0.0.1"}},
            {name: set(groups) for name, groups in memberships(text).items()},
        )
        self.assertEqual({}, memberships(""))

    def test_what_is_routed_into_a_device(self) -> None:
        text = (
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
            "mcmw0\t0002630A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
            "eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\nmcmw0\tnonsense\n"
        )
        self.assertEqual((IPv4Network("10.99.2.0/24"),), routed_into(text, "mcmw0"))
        self.assertEqual((), routed_into("", "mcmw0"))
        self.assertEqual((("mcmw0", IPv4Network("10.99.2.0/24")),), networks_of(text))

    def test_where_a_peer_is_or_is_dialled(self) -> None:
        self.assertEqual("192.0.2.1", address_of(peer(endpoint=None)))
        self.assertEqual("192.0.2.1", address_of(peer(address=None)))
        for nowhere in ("tcp:b.example.net:4600", "unix:/run/b", None):
            self.assertIsNone(address_of(peer(address=None, endpoint=nowhere)))


class Shown(SynchronousTestCase):
    def shown(self, everything: bool) -> str:
        console = Console(width=80, highlight=False, emoji=False, markup=False)
        with console.capture() as captured:
            show(console, examine(status(peers=[]), Facts(**WELL), Heard.NOTHING), everything)
        return captured.get()

    def test_what_is_wrong_comes_first_and_fits_the_screen(self) -> None:
        text = self.shown(everything=False)
        self.assertLess(text.index("firewall"), text.index("peers"))
        self.assertTrue(text.endswith("17 of 19 checks found nothing wrong\n"), text)
        self.assertNotIn("clock", text)
        for line in text.splitlines():
            self.assertTrue(len(line) <= 80 or "-->" in line, line)

    def test_all_of_them(self) -> None:
        for name in IDS:
            self.assertIn(f" {name}", self.shown(everything=True))

    def test_a_mend_that_is_no_command_has_room_in_80_columns(self) -> None:
        off = status(fastpath={"on": False, "mode": "auto", "why": "told so"})
        alone = {"seeds": [], "neighbours": []}
        dead = {"seeds": [{"seed": "tcp:192.0.2.9:4600", "why": "no answer within 4 s"}], "neighbours": []}
        for check in (
            found("fast-path", of=off),
            *(found("peers", of=status(peers=[], mesh=mesh)) for mesh in (None, alone, dead)),
        ):
            self.assertLessEqual(max(map(len, lines(check, 80))), 80)

    def test_what_mends_it_stands_in_one_line(self) -> None:
        check = Check("x", Verdict.FAIL, "what " * 30, "why " * 30, "mend " * 40)
        mends = [line for line in lines(check, 80) if "-->" in line]
        self.assertEqual(1, len(mends))
        self.assertEqual(200 + len(f"{'':<{NAME}}--> "), len(mends[0]))

    def test_it_goes_into_json(self) -> None:
        (check,) = json.loads(json.dumps([found("clock")._asdict()]))
        self.assertEqual({"id", "status", "what", "why", "mend"}, set(check))
        self.assertEqual("ok", check["status"])
