"""`mcmw doctor` beside whole nodes, each time with one thing really wrong.

Each is named, and what it says mends it does: the line is run as it is printed, and doctor is asked again.
"""

import json
import os
import signal
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from contextlib import closing
from typing import Any

from multicastmw.cli.doctor.command import SICK
from multicastmw.cli.doctor.probe import ROUTER_ALERT
from multicastmw.cli.lab import Host, wait_until
from multicastmw.wire.ipv4 import checksum
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    PORT,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sections,
    Sender,
    asking,
    await_linked,
    await_wanted,
    inside,
    mcmw,
    node_ini,
    peer_of,
    why_not,
)

GROUP = "239.1.1.1"
FOREIGN = "198.51.100.7"
ALL_HOSTS = "224.0.0.1"
QUERY = 0x11
BURST = 3_000  # more than a TAP's queue holds


class DoctorCase(NetnsTestCase):
    skip = why_not()

    def bad(self, host: Host) -> dict[str, dict[str, Any]]:
        """The checks that are not ok; the exit code fits them."""
        code, out, err = mcmw(host, "doctor", "--json")
        self.assertEqual("", err)
        checks = json.loads(out)["checks"]
        found = {check["id"]: check for check in checks if check["status"] != "ok"}
        self.assertEqual(SICK if any(c["status"] == "fail" for c in found.values()) else 0, code, out)
        return found

    def finds(self, host: Host, *names: str) -> dict[str, Any]:
        """These and no others; gives the first."""
        found = self.bad(host)
        self.assertEqual(sorted(names), sorted(found), found)
        return found[names[0]]

    def mends(self, host: Host, check: dict[str, Any], still: tuple[str, ...] = ()) -> None:
        """The line as it is printed does, and it is found no more; `still` is what has another cause."""
        line = check["mend"]
        if line.startswith("["):
            self.configure(host, line)
        else:
            done = host.run(["sh", "-c", line])
            self.assertEqual((0, ""), (done.returncode, done.stderr), line)
        self.assertEqual(sorted(still), sorted(self.bad(host)), line)

    def configure(self, host: Host, line: str) -> None:
        """`[section] option = value` into its node.ini, which is read again."""
        section, _, rest = line[1:].partition("] ")
        option, _, value = rest.partition(" = ")
        path = host.lab.state_dir / f"{host.name}.ini"
        parser = ConfigParser(interpolation=None)
        parser.read(path)
        if not parser.has_section(section):
            parser.add_section(section)
        parser[section][option] = value
        with path.open("w") as file:
            parser.write(file)
        code, _, err = mcmw(host, "reload")
        self.assertEqual((0, ""), (code, err), line)


class Tree(DoctorCase):
    everywhere: Sections = {}

    def setUp(self) -> None:
        self.tree = Figure4(self, self.everywhere)


class Doctor(Tree):
    def test_where_nothing_is_wrong_nothing_is_found(self) -> None:
        Receiver(self.tree.c, GROUP)
        Receiver(self.tree.d, GROUP)
        self.tree.await_demand(GROUP, "cd", here=False)
        Sender(self.tree.a, GROUP, count=50).finish()
        self.at_once(lambda host: self.assertEqual({}, self.bad(host), host.name))
        code, out, err = mcmw(self.tree.b, "doctor")
        self.assertEqual((0, "19 of 19 checks found nothing wrong\n", ""), (code, out, err))

    def test_a_firewall_that_drops_igmp_or_its_router_alert_on_its_way_out_and_in(self) -> None:
        """Each of the four on a host of its own."""
        ways = [
            (what, *chain)
            for what in ("ip protocol igmp", "ip option ra exists")
            for chain in (("output", "hears nothing"), ("input", "does not answer"))
        ]
        walls = dict(zip(self.tree.hosts, ways, strict=True))
        self.at_once(lambda host: self.walled(host, *walls[host]))

    def walled(self, host: Host, what: str, hook: str, words: str) -> None:
        for line in (
            "table inet wall",
            f"chain inet wall way {{ type filter hook {hook} priority 0; }}",
            f"rule inet wall way {what} drop",
        ):
            done = host.run(["nft", f"add {line}"])
            self.assertEqual((0, ""), (done.returncode, done.stderr))
        check = self.finds(host, "firewall")
        self.assertIn(words, check["what"])
        self.mends(host, check)

    def at_once(self, check: Callable[[Host], None]) -> None:
        """At all hosts: doctor listens for five seconds each time."""
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(check, host) for host in self.tree.hosts]:
                done.result()

    def test_programs_on_the_wrong_interface(self) -> None:
        host = self.tree.c
        Sender(self.tree.c, GROUP, count=5).finish()
        with inside(host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
            self.joins(program, "u0")
            check = self.finds(host, "wrong-interface")
        self.assertIn(f"{GROUP} on u0, not on {DEVICE}", check["what"])
        self.assertIn(f"--miface {DEVICE}", check["mend"])
        with inside(host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
            self.joins(program, DEVICE)
            self.assertEqual({}, self.bad(host))

    @staticmethod
    def joins(program: socket.socket, device: str) -> None:
        request = struct.pack("=4s4si", socket.inet_aton(GROUP), bytes(4), socket.if_nametoindex(device))
        program.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)

    def test_groups_that_somebody_has_routed_elsewhere(self) -> None:
        host = self.tree.c
        host.ip("route replace 224.0.0.0/4 dev u0")
        self.mends(host, self.finds(host, "routes"))

    def test_a_ttl_of_1(self) -> None:
        a = self.tree.a
        receiver = Receiver(self.tree.c, GROUP)
        await_wanted(a, {"b"}, GROUP)
        Sender(a, GROUP, count=20, ttl=1).finish()
        check = self.finds(a, "ttl")
        self.assertEqual("[tap] ttl-floor = 16", check["mend"])
        self.mends(a, check)
        Sender(a, GROUP, count=40, ttl=1).finish()
        receiver.await_last(GROUP, "10.88.0.1", 39)

    def test_a_ttl_that_does_not_last_the_way(self) -> None:
        a, b = self.tree.a, self.tree.b
        receiver = Receiver(self.tree.c, GROUP)
        await_wanted(a, {"b"}, GROUP)
        sender = Sender(a, GROUP, ttl=2)
        b.await_status(lambda status: any(r["died_of_ttl"] for r in status["routes"]), PATIENCE, "deaths")
        check = self.finds(b, "ttl")
        self.assertEqual("[tap] ttl-floor = 16 at the node where they are sent", check["mend"])
        self.configure(a, check["mend"].removesuffix(" at the node where they are sent"))
        receiver.await_last(GROUP, sender.source, 1)
        self.assertEqual({}, self.bad(b))  # which has seen packets pass since, and none die
        sender.stop()

    def test_a_filter_for_the_way_back(self) -> None:
        a, c = self.tree.a, self.tree.c
        receiver = Receiver(c, GROUP)
        await_wanted(a, {"b"}, GROUP)
        a.ip(f"address add {FOREIGN}/32 dev lo")
        sender = Sender(a, GROUP, source=FOREIGN)
        receiver.await_last(GROUP, FOREIGN, 10)
        self.assertEqual({}, self.bad(c))
        c.sysctl({f"net.ipv4.conf.{DEVICE}.rp_filter": 1})
        check = self.finds(c, "rp-filter")
        self.assertIn(FOREIGN, check["what"])
        before = receiver.report(GROUP, FOREIGN)["last"]
        self.mends(c, check)
        receiver.await_last(GROUP, FOREIGN, before + 50)
        sender.stop()

    def test_a_tap_that_somebody_has_put_down(self) -> None:
        host = self.tree.c
        host.link_down(DEVICE)
        host.await_status(lambda status: status["tap"]["state"] == "pending", PATIENCE, "word of it")
        check = self.finds(host, "tap")
        done = host.run(["sh", "-c", check["mend"]])
        self.assertEqual(0, done.returncode)
        host.await_status(lambda status: status["tap"]["state"] == "up", PATIENCE, "the TAP")
        self.assertEqual({}, self.bad(host))

    def test_a_peer_that_is_routed_through_the_own_tap(self) -> None:
        a, b = self.tree.a, self.tree.b
        a.ip(f"route add {b.address}/32 dev {DEVICE}")
        check = self.bad(a)["own-tap"]
        self.assertEqual(f"ip route del {b.address}/32 dev {DEVICE}", check["mend"])
        # It is found, too, when the link has gone for it, and the node does not dial there any more.
        a.await_status(
            lambda status: "own TAP" in peer_of(status, "b")["why"], PATIENCE, "the node's word of it"
        )
        check = self.bad(a)["own-tap"]
        self.assertEqual(0, a.run(["sh", "-c", check["mend"]]).returncode)
        await_linked(a, "b")
        self.assertEqual({}, self.bad(a))

    def test_another_node_with_the_address_of_this_one(self) -> None:
        a, c = self.tree.a, self.tree.c
        twice = f"10.88.0.{c.index}"
        Receiver(c, GROUP)
        await_wanted(a, {"b"}, GROUP)
        a.ip(f"address add {twice}/32 dev lo")
        sender = Sender(a, GROUP, source=twice)
        c.await_status(lambda status: bool(status["routes"]), PATIENCE, "packets")
        self.assertIn(f"{twice}/24 is in use at a, too", self.bad(c)["identity"]["what"])
        sender.stop()

    def test_a_way_on_which_long_packets_vanish(self) -> None:
        b, c = self.tree.b, self.tree.c
        b.await_status(lambda status: peer_of(status, "c")["data"] == "udp", PATIENCE, "data on UDP")
        c.ip("link set u0 mtu 1400")  # the other end of its cable goes on sending 1,500
        check = self.bad(b)["mtu"]
        self.assertEqual("packets of more than 1400 bytes vanish on the way to c", check["what"])
        self.assertIn("[tap] mtu = 1312", check["mend"])

    def test_a_network_that_a_container_bridge_has(self) -> None:
        c = self.tree.c
        c.ip(
            "link add podman0 type veth peer name pod0",
            "link set pod0 up",
            "link set podman0 up",
            "address add 10.88.0.1/16 dev podman0",
        )
        self.assertIn("10.88.0.0/16 of podman0", self.finds(c, "network")["what"])

    def test_somebody_else_who_asks(self) -> None:
        host = self.tree.c
        self.asks(host)
        check = self.finds(host, "querier")
        self.assertIn(f"10.88.0.{host.index} asks", check["what"])
        self.assertEqual("[igmp] querier-address = 10.88.0.1", check["mend"])
        self.mends(host, check)
        self.asks(host)
        self.assertEqual({}, self.bad(host))

    def asks(self, host: Host) -> None:
        """A program on the host sends a general query, as a router does."""
        message = struct.pack("!BBH4s", QUERY, 100, 0, bytes(4))
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        heard = host.status()["querier"]["counters"]
        with (
            inside(host),
            closing(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)) as raw,
        ):
            raw.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, ROUTER_ALERT)
            raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            way = struct.pack("=4s4si", bytes(4), bytes(4), socket.if_nametoindex(DEVICE))
            raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, way)
            raw.sendto(message, (ALL_HOSTS, 0))
        host.await_status(lambda status: status["querier"]["counters"] != heard, PATIENCE, "the query")

    def test_udp_that_does_not_get_through(self) -> None:
        host = self.tree.c
        self.tree.lab.internet.block_udp("b", "c")
        await_linked(host, "b", "tcp")
        check = self.finds(host, "ports")
        self.assertIn("to and from b go over TCP", check["what"])
        self.assertEqual(f"open UDP port {PORT} on both sides", check["mend"])
        self.tree.lab.internet.heal()
        await_linked(host, "b", "udp")
        self.assertEqual({}, self.bad(host))

    def test_a_peer_that_is_gone(self) -> None:
        b, c = self.tree.b, self.tree.c
        b.stop_node()
        wait_until(lambda: "peers" in self.bad(c), PATIENCE, "c's word of it")
        self.finds(c, "peers")
        code, out, err = mcmw(b, "doctor")
        self.assertEqual((1, ""), (code, out))
        self.assertIn("no node is running", err)
        self.tree.start(b)
        await_linked(c, "b")
        self.assertEqual({}, self.bad(c))

    def test_who_has_dialled_in_and_who_could(self) -> None:
        a, b = self.tree.a, self.tree.b
        said = mcmw(b, "doctor", "--all")[1]
        self.assertRegex(said, r"ok +listening +a, c, d dialled in")
        said = " ".join(mcmw(a, "doctor", "--all")[1].split())
        self.assertIn(f"shows at another host: nc -vz {a.address} {PORT}", said)
        # As that line does: from another host, at that address and port.
        with inside(self.tree.d):
            socket.create_connection((a.address, PORT), PATIENCE).close()


class Slowly(Tree):
    """Without the fast path, so that the node's own process has every packet to take."""

    everywhere = {"fastpath": {"mode": "off"}}

    def test_a_queue_that_is_too_small(self) -> None:
        a = self.tree.a
        self.burst(a)
        a.await_status(lambda status: status["tap"]["kernel_drops"], PATIENCE, "drops")
        check = self.finds(a, "buffers")
        self.assertEqual(f"ip link set {DEVICE} txqueuelen 10000", check["mend"])
        sender = Sender(a, GROUP, rate=20)
        self.mends(a, check)
        drops = a.status()["tap"]["kernel_drops"]
        self.burst(a)
        a.await_status(
            lambda status: any(route["packets"] >= 2 * BURST - drops for route in status["routes"]), PATIENCE,
            "the burst",
        )  # fmt: skip
        self.assertEqual(drops, a.status()["tap"]["kernel_drops"])
        self.assertEqual({}, self.bad(a))
        sender.stop()

    def burst(self, host: Host) -> None:
        """While the node is busy with something else, as far as the TAP can tell."""
        assert host.node is not None
        os.kill(host.node.pid, signal.SIGSTOP)
        try:
            Sender(host, GROUP, count=BURST, rate=0, size=100).finish()
        finally:
            os.kill(host.node.pid, signal.SIGCONT)


class Long(DoctorCase):
    def test_packets_that_fit_no_datagram(self) -> None:
        tree = Figure4(self, on={"a": {"tap": {"mtu": 1500}}})
        receiver = Receiver(tree.c, GROUP)
        await_wanted(tree.a, {"b"}, GROUP)
        Sender(tree.a, GROUP, count=20, size=1460).finish()
        receiver.await_last(GROUP, "10.88.0.1", 19)
        check = self.finds(tree.a, "mtu")
        self.assertIn("pkt_size=1316", check["mend"])
        sender = Sender(tree.a, GROUP, size=1316)
        sender.await_sent(1)
        self.assertEqual({}, self.bad(tree.a))
        sender.stop()


class Bridged(DoctorCase):
    def test_a_gateway_that_asks_without_an_address(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        a.start_node(node_ini(a))
        b.ip(
            "link add br0 type bridge mcast_snooping 1",
            "link set br0 up",
            "address add 10.77.0.2/24 dev br0",
            f"tuntap add {DEVICE} mode tap",
            f"link set {DEVICE} mtu 1500 master br0 up",
        )
        b.start_node(node_ini(b, [a], {"tap": {"address": "", "groups": "", "mtu": 1500}}))
        await_linked(b, "a")
        b.await_status(
            lambda status: (status["tap"]["gateway"] or {}).get("state") == "forwarding",
            PATIENCE,
            "its office",
        )
        check = self.finds(b, "bridge-snooping")
        self.assertIn("asks the LAN behind br0 from 0.0.0.0", check["what"])
        words = check["mend"].partition("an address of that LAN")
        self.mends(b, check | {"mend": f"{words[0]}10.77.0.250"})


class NobodyKeepsTheClock(DoctorCase):
    """As adjtimex(2) would say it: of the one clock that all namespaces have, nothing is changed."""

    skip = why_not("cc")

    def test_it_matters_where_links_are_tls(self) -> None:
        lab = self.make_lab("a")
        (host,) = lab.hosts
        keys = lab.state_dir
        for what in (["authority"], ["node", "a"]):
            self.assertEqual(0, mcmw(host, "keys", *what, "--in", str(keys))[0])
        tls = {"certificate": f"{keys}/a.pem", "private-key": f"{keys}/a.key",
               "authorities": f"{keys}/authority.pem"}  # fmt: skip
        host.start_node(node_ini(host, (), {"tls": tls}))
        library = keys / "adjtimex.so"
        (keys / "adjtimex.c").write_text("int adjtimex(void *block) { return ANSWER; }\n")
        for answer, names in ((5, {"clock"}), (0, set[str]())):
            command = ["cc", "-shared", "-fPIC", f"-DANSWER={answer}", "-o", str(library),
                       str(keys / "adjtimex.c")]  # fmt: skip
            done = host.run(command)
            self.assertEqual((0, ""), (done.returncode, done.stderr))
            asked = ["env", f"LD_PRELOAD={library}", *asking(host, "doctor", "--json")]
            checks = json.loads(host.run(asked).stdout)["checks"]
            found = {check["id"]: check for check in checks if check["status"] != "ok"}
            self.assertEqual(names, set(found) & {"clock"})
