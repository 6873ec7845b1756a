"""Links between whole nodes: what may go wrong on the way, with names, and with addresses."""

import socket
import time
from collections import Counter

from multicastmw.cli.lab import Host, wait_until
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    PORT,
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sender,
    await_linked,
    await_wanted,
    inside,
    let_pass,
    node_ini,
    node_log,
    peer_of,
    why_not,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"
RATE = 200
QUIET_FOR = 2.0


class BlackHoleTests(NetnsTestCase):
    """UDP vanishes on the way to one peer while TCP lives."""

    def test_data_falls_back_to_tcp_and_returns(self) -> None:
        tree = Figure4(self)
        receivers = {host.name: Receiver(host, GROUP) for host in (tree.c, tree.d)}
        tree.await_demand(GROUP, "cd", here=False)
        sender = Sender(tree.a, GROUP, rate=RATE)
        receivers["d"].await_last(GROUP, S, RATE)
        tree.lab.internet.block_udp("b", "d")
        began = time.monotonic()
        await_linked(tree.b, "d", "tcp")
        fell = receivers["d"].report(GROUP, S)["last"]
        self.measured("seconds until data to d go over TCP", f"{time.monotonic() - began:.2f}")
        receivers["d"].await_last(GROUP, S, fell + RATE)
        status = tree.b.status()
        self.assertEqual((1, "udp"), (peer_of(status, "d")["falls"], peer_of(status, "c")["data"]))
        tree.lab.internet.heal()
        began = time.monotonic()
        await_linked(tree.b, "d", "udp")
        self.measured("seconds until they are back on UDP", f"{time.monotonic() - began:.2f}")
        await_linked(tree.d, "b", "udp")
        sent = sender.stop()["sent"]
        self.assert_perfect(receivers["c"].await_last(GROUP, S, sent - 1), sent, TTL - 2)
        report = receivers["d"].await_last(GROUP, S, sent - 1)
        self.assertEqual((0, 0), (report["duplicates"], report["damaged"]))
        self.measured(f"packets that the black hole cost d, of {RATE} a second", report["missing"])
        self.assertLess(report["missing"], 5 * RATE)
        log = node_log(tree.b)
        self.assertIn("data to d goes over TCP: three probes unanswered", log)
        self.assertEqual(0, log.count("d at 10.99.4.2 is down"))


class OwnTapTests(NetnsTestCase):
    """Never carry yourself."""

    def test_a_peer_behind_the_own_tap_is_refused_with_the_reason(self) -> None:
        lab = self.make_lab("a")
        host = lab.host("a")
        host.start_node(node_ini(host, sections={"peer:z": {"endpoint": f"tcp:10.88.0.9:{PORT}"}}))
        status = host.await_status(lambda s: s["peers"][0]["why"], PATIENCE, "why z is not reached")
        self.assertEqual(
            f"10.88.0.9 is routed through {DEVICE}, this node's own TAP", peer_of(status, "z")["why"]
        )
        self.assertEqual("waiting", peer_of(status, "z")["state"])


class NameTests(NetnsTestCase):
    """Two links, two names, one node."""

    def test_two_nodes_that_dial_each_other_have_one_link(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        a.start_node(node_ini(a, [b]), ready=None)
        b.start_node(node_ini(b, [a]), ready=None)
        await_linked(a, "b")
        await_linked(b, "a")
        self.settled(a, b)
        # Which one stays if both dial at once is tested in tests/core/test_room.py; here one may be first.
        dialled_by = [peer_of(a.status(), "b")["dialled_by"], peer_of(b.status(), "a")["dialled_by"]]
        self.assertEqual(["them", "us"], sorted(dialled_by))
        receiver = Receiver(b, GROUP)
        await_wanted(a, {"b"}, GROUP)
        Sender(a, GROUP, count=100).finish()
        self.assert_perfect(receiver.await_last(GROUP, S, 99), 100, TTL - 1)
        self.assertLess(node_log(a).count("is down"), 3)

    def settled(self, *hosts: Host) -> None:
        """Links that were there at the beginning of a while are there at its end."""

        def opened() -> list[tuple[int, int]]:
            statuses = [host.status() for host in hosts]
            return [(status["counters"]["opened"], len(status["peers"])) for status in statuses]

        def look() -> bool:
            before = opened()
            let_pass(QUIET_FOR)
            return opened() == before

        wait_until(look, PATIENCE, "links settled")

    def test_two_nodes_of_one_name_are_told_so_in_the_log_and_in_show_of_all_three(self) -> None:
        lab = self.make_lab("abc")
        a, b, c = lab.hosts
        a.start_node(node_ini(a), ready=None)
        for host in (b, c):
            host.start_node(node_ini(host, [a], {"node": {"name": "clone"}}), ready=None)
        line = (
            f"the node name clone is in use at {b.address} and at {c.address}: give one of them another name"
        )
        said = {a: line, b: f"a at {a.address} says: {line}", c: f"a at {a.address} says: {line}"}
        for host, text in said.items():
            host.await_status(lambda s, t=text: t in s["warnings"], PATIENCE, "what show says of the clone")
            wait_until(lambda h=host: line in node_log(h), PATIENCE, "the line in the log")
        let_pass(QUIET_FOR)
        lines = [text for text in node_log(a).splitlines() if line in text]
        self.assertLess(len(lines), 8)
        self.measured("lines about a clone after some seconds", len(lines))

    def test_a_browser_at_the_port_for_links_is_one_clear_line(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        a.start_node(node_ini(a))
        for _ in range(20):
            with inside(b), socket.create_connection((a.address, PORT)) as browser:
                browser.settimeout(PATIENCE)
                browser.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                while browser.recv(4096):
                    pass
        line = f"closed the connection from {b.address}: it sent an HTTP request, and this is no HTTP port"
        status = a.await_status(lambda s: s["counters"]["links_refused"] == 20, PATIENCE, "the count")
        self.assertEqual([], status["peers"])
        lines = [text for text in node_log(a).splitlines() if line in text]
        self.assertEqual(5, len(lines))  # the 1st, 2nd, 4th, 8th and 16th

    def test_the_own_name_is_refused_with_the_reason(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        a.start_node(node_ini(a), ready=None)
        b.start_node(node_ini(b, [a], {"node": {"name": "a"}, f"peer:{a.name}": {}, "tap": {}}).replace(
            "[peer:a]", "[peer:other]"), ready=None)  # fmt: skip
        reason = "the node at 10.99.1.2 is named a, as this one is"
        wait_until(lambda: reason in node_log(b), PATIENCE, "the event")
        status = b.await_status(lambda s: s["peers"][0]["why"], PATIENCE, "why")
        self.assertEqual("it has our own node id", peer_of(status, "other")["why"])


class Ipv6Tests(NetnsTestCase):
    """IPv6 between nodes."""

    def test_a_stream_over_ipv6(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        colons = b.address6.replace(":", r"\:")
        b.start_node(
            node_ini(b, sections={"listen": {"endpoint": rf"tcp6:{PORT}:interface=\:\:"}}), ready=None
        )
        a.start_node(node_ini(a, sections={"peer:b": {"endpoint": f"tcp:{colons}:{PORT}"}}), ready=None)
        status = await_linked(a, "b")
        await_linked(b, "a")
        self.assertEqual(b.address6, peer_of(status, "b")["address"])
        receiver = Receiver(b, GROUP)
        await_wanted(a, {"b"}, GROUP)
        # The TAP's MTU leaves room for an IPv6 datagram's header.
        mtu = status["tap"]["mtu"]
        sender = Sender(a, GROUP, count=300, rate=500, size=mtu - 28)
        self.assert_perfect(receiver.await_last(GROUP, sender.source, 299), 300, TTL - 1)
        counters = peer_of(a.status(), "b")["counters"]
        self.assertEqual((300, 0, 0), (counters["sent"], counters["sent_tcp"], counters["over_tcp_too_long"]))
        self.measured("MTU of the TAP over IPv6", mtu)


class CopsTests(NetnsTestCase):
    """Wireshark's COPS dissector walks a session from Open to Close."""

    skip = why_not("tshark")
    operations = {6: "Open", 8: "Close", 9: "Keep Alive", 32: "Add Route", 33: "Remove Route", 34: "IP Data"}

    def test_a_captured_session_has_no_malformed_message(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        capture = lab.state_dir / "session.pcapng"
        tshark = b.spawn(["tshark", "-q", "-i", "u0", "-f", f"tcp port {PORT}", "-w", str(capture)])
        wait_until(lambda: "Capturing on" in tshark.log.read_text(), PATIENCE, "tshark's start")
        tcp = {"listen": {"udp-port": "", "keepalive-timeout": 2}}
        b.start_node(node_ini(b, sections=tcp), ready=None)
        a.start_node(node_ini(a, [b], tcp), ready=None)
        await_linked(a, "b", "tcp")
        receiver = Receiver(b, GROUP)
        await_wanted(a, {"b"}, GROUP)
        Sender(a, GROUP, count=200, rate=0, size=1300).finish()
        receiver.await_last(GROUP, S, 199)
        receiver.stop()
        await_wanted(a, (), GROUP)
        let_pass(2)  # keep-alives
        a.stop_node()
        b.await_status(lambda s: not s["peers"], PATIENCE, "a gone")
        wait_until(lambda: self.dissected(b, str(capture))[8] >= 1, PATIENCE, "the Close in the capture")
        tshark.terminate()
        seen = self.dissected(b, str(capture))
        self.assertEqual(set(self.operations), set(seen))
        self.assertEqual(200, seen[34])
        malformed = self.tshark(b, str(capture), "-Y", "_ws.malformed", "-T", "fields", "-e", "frame.number")
        self.assertEqual("", malformed.strip())
        self.measured("COPS messages dissected", {self.operations[op]: n for op, n in sorted(seen.items())})

    def dissected(self, host: Host, capture: str) -> Counter:
        lines = self.tshark(host, capture, "-Y", "cops", "-T", "fields", "-e", "cops.op_code")
        return Counter(int(code) for line in lines.split() for code in line.split(","))

    def tshark(self, host: Host, capture: str, *options: str) -> str:
        done = host.run(["tshark", "-r", capture, "-d", f"tcp.port=={PORT},cops", *options])
        return done.stdout
