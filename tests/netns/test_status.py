"""What a node costs while it is idle, whether it answers while it works, and what it shows."""

import json
import sys
import time
from typing import Any

import pytest

from multicastmw.cli.lab import Host
from tests.netns.kit import (
    PATIENCE,
    PORT,
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sections,
    Sender,
    await_linked,
    await_wanted,
    cpu_seconds,
    let_pass,
    node_ini,
    node_log,
    peer_of,
    route_of,
    rss,
    wanters,
)
from tests.netns.test_reload import rewrite

GROUP = "239.1.1.1"
S = "10.88.0.1"
IDLE_FOR = 5.0
MCMW = f"{sys.prefix}/bin/mcmw"
MEMORY = 75 << 20  # bytes that an idle node may have
CPU = 0.02  # of a core; measured on an idle machine it is a fifth of that


@pytest.mark.alone
class IdleTests(NetnsTestCase):
    """Four nodes with nothing to do but to stay in touch."""

    whole_starts = True

    def test_an_idle_node_is_small_and_quiet(self) -> None:
        tree = Figure4(self)
        let_pass(1)  # start-up queries
        pids = {host.name: host.status()["node"]["pid"] for host in tree.hosts}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        let_pass(IDLE_FOR)
        for name, pid in pids.items():
            share = (cpu_seconds(pid) - before[name]) / IDLE_FOR
            self.measured(f"{name} idle", f"{rss(pid) / 2**20:.1f} MiB, {share:.2%} of a core")
            self.assertLess(rss(pid), MEMORY)
            self.assertLess(share, CPU)


class ControlTests(NetnsTestCase):
    """The control socket under load."""

    def test_it_answers_while_a_stream_goes_through_without_loss(self) -> None:
        tree = Figure4(self)
        receiver = Receiver(tree.d, GROUP)
        tree.await_demand(GROUP, "d", here=False)
        sender = Sender(tree.a, GROUP, rate=500)
        slowest = 0.0
        for _ in range(60):
            began = time.monotonic()
            packets = tree.b.status()["routes"]
            slowest = max(slowest, time.monotonic() - began)
            sender.await_sent(sender.state["sent"] + 1)
        self.assertGreater(packets[0]["packets"], 100)
        self.measured("the slowest of 60 answers, in ms", f"{slowest * 1000:.1f}")
        self.assertLess(slowest, 2)
        sent = sender.stop()["sent"]
        self.assert_perfect(receiver.await_last(GROUP, S, sent - 1), sent, TTL - 2)

    def test_mcmw_show_asks_it(self) -> None:
        lab = self.make_lab("a")
        host = lab.host("a")
        host.start_node(node_ini(host))
        shown = host.run([f"{sys.prefix}/bin/mcmw", "--socket", str(host.socket), "show"])
        self.assertEqual((0, ""), (shown.returncode, shown.stderr))
        self.assertIn("mcmw0", shown.stdout)


class StartTests(NetnsTestCase):
    """What keeps a node from starting is said in one line."""

    def test_a_port_that_is_anothers(self) -> None:
        self.refused({}, f"mcmw: [listen] endpoint: tcp:{PORT}: Address already in use")

    def test_a_control_socket_that_is_anothers(self) -> None:
        line = "mcmw: [control] socket: another node answers at "
        self.refused({"listen": {"endpoint": "", "udp-port": ""}, "control": {"socket": "SOCKET"}}, line)

    def refused(self, sections: Sections, line: str) -> None:
        """Starts a second node beside the first, which stays unharmed."""
        lab = self.make_lab("a")
        host = lab.host("a")
        host.start_node(node_ini(host))
        other = {"node": {"name": "z"}, "tap": {"device": "mcmw1", "address": "10.89.0.1/24"},
                 "listen": {"udp-port": ""}, "control": {"socket": f"{lab.run_dir}/z.sock"}}  # fmt: skip
        text = node_ini(host, sections={**other, **sections}).replace("SOCKET", str(host.socket))
        path = lab.state_dir / "z.ini"
        path.write_text(text)
        twistd = [f"{sys.prefix}/bin/twistd", "-n", f"--pidfile={lab.run_dir}/z.pid"]
        done = host.run([*twistd, "mcmw", "-c", str(path)])
        self.assertEqual(1, done.returncode)
        said = [text for text in (done.stdout + done.stderr).splitlines() if "mcmw: " in text]
        self.assertEqual(1, len(said), done.stdout + done.stderr)
        self.assertIn(line, said[0])
        self.assertNotIn("Traceback", done.stdout + done.stderr)
        self.assertEqual("a", host.status()["node"]["name"])


class ShownTests(NetnsTestCase):
    """`mcmw show` of nodes that do what an operator has to see."""

    def mcmw(self, host: Host, *arguments: str) -> str:
        """Stdout of a command that succeeds; at most 80 columns."""
        done = host.run([MCMW, "--socket", str(host.socket), *arguments])
        self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)
        if "--json" not in arguments:
            self.assertLessEqual(max(map(len, done.stdout.splitlines())), 80, done.stdout)
        return done.stdout

    def keys(self, host: Host, *arguments: str) -> None:
        host.run([MCMW, "keys", *arguments, "--in", str(host.lab.state_dir)])

    def tls(self, name: str) -> Sections:
        # Relative to node.ini.
        files = {"certificate": f"{name}.pem", "private-key": f"{name}.key", "authorities": "authority.pem"}
        return {"tls": files}

    def test_round_trips_are_measured_where_data_go_over_tcp(self) -> None:
        """No probe goes there, and so a Keep Alive asks."""
        lab = self.make_lab("ab")
        a, b = lab.hosts
        tcp: Sections = {"listen": {"udp-port": ""}}
        b.start_node(node_ini(b, (), tcp))
        a.start_node(node_ini(a, (b,), tcp))
        for host, peer in ((a, "b"), (b, "a")):
            status = host.await_status(
                lambda status, peer=peer: any(
                    each["name"] == peer and each["rtt"] is not None for each in status["peers"]
                ),
                PATIENCE, "a round trip",
            )  # fmt: skip
            link = peer_of(status, peer)
            self.assertEqual(("tcp", None), (link["data"], link["loss"]))
            self.assertTrue(0 < link["rtt"] < 1, link["rtt"])
            self.assertIsNotNone(link["jitter"])

    def test_links_in_tls_and_the_certificates_end_from_a_warning_to_its_renewal(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        self.keys(a, "authority")
        self.keys(a, "node", "a")
        self.keys(a, "node", "b", "--days", "3")
        b.start_node(node_ini(b, sections=self.tls("b")), ready=None)
        a.start_node(node_ini(a, [b], self.tls("a")), ready=None)
        await_linked(a, "b", "tcp")
        for host, peer in ((a, "b"), (b, "a")):
            await_linked(host, peer, "tcp")
            row = self.mcmw(host, "show", "peers").splitlines()[1].split()
            self.assertEqual([peer, "up", "yes", "TCP"], row[:4])
            shown = json.loads(self.mcmw(host, "show", "peers", "--json"))
            self.assertEqual([True], [each["tls"] for each in shown["peers"]])
        before = self.mcmw(b, "show", "node")
        self.assertIn("b.pem expires on ", " ".join(before.split()))
        self.assertNotIn("expires", self.mcmw(a, "show", "node"))
        self.keys(a, "node", "b", "--renew")
        said = " ".join(self.mcmw(b, "reload").split())
        until = json.loads(self.mcmw(b, "show", "--json"))["node"]["tls"]["valid_until"]
        self.assertIn(f"-> good until {until} (for links made from now on)", said)
        after = " ".join(self.mcmw(b, "show", "node").split())
        self.assertIn(f"b.pem is good until {until}", after)
        self.assertNotIn("expires", after)
        self.assertIn(f"b.pem was renewed and is in use, until {until}", node_log(b))
        self.assertIn("nothing has changed", self.mcmw(b, "reload"))
        # A certificate that cannot be taken is no reason to leave the one that is in use.
        (lab.state_dir / "b.pem").write_text("no certificate")
        for shown in (self.mcmw(b, "reload"), self.mcmw(b, "show", "node")):
            words = " ".join(shown.split())
            self.assertIn("b.pem holds no certificate; what was there before stays in use", words)
        self.assertEqual("up", peer_of(a.status(), "b")["state"])

    def test_a_full_disk_and_a_reader_that_has_gone_are_no_traceback(self) -> None:
        lab = self.make_lab("a")
        host = lab.host("a")
        host.start_node(node_ini(host))
        for arguments in ("show", "show --json", "show peers", "reload", "reload --json"):
            line = f"{MCMW} --socket {host.socket} {arguments}"
            full = host.run(["sh", "-c", f"{line} > /dev/full"])
            said = "mcmw: standard output: No space left on device\n"
            self.assertEqual((1, "", said), (full.returncode, full.stdout, full.stderr))
            gone = host.run(["sh", "-c", f"({line}; echo $? >&2) | true"])
            self.assertIn(gone.stderr, ("141\n", "0\n"))  # 0 where it was quicker than `true`

    def test_a_group_that_is_denied_while_it_plays_goes_nowhere_and_is_shown_so(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        b.start_node(node_ini(b), ready=None)
        a.start_node(node_ini(a, [b]), ready=None)
        await_linked(a, "b")
        receiver, mine = Receiver(b, GROUP), Receiver(a, GROUP)
        await_wanted(a, {"b", "mcmw0"}, GROUP)
        sender = Sender(a, GROUP, rate=200)
        receiver.await_last(GROUP, S, 50)
        self.assertEqual(["b", "mcmw0"], sorted(self.route(a)["to"]))
        rewrite(a, node_ini(a, [b], {"groups": {"deny": GROUP}}))
        self.mcmw(a, "reload")
        sent = self.route(a)["sent_from_here"]
        sender.await_sent(sender.state["sent"] + 200)
        route, group = self.route(a), self.group(a)
        self.assertEqual((sent, [], True), (route["sent_from_here"], route["to"], route["denied"]))
        self.assertEqual((["b"], True), (group["wanted_by"], group["denied"]))
        self.assertIn("denied here", self.mcmw(a, "show", "routes"))
        rows = [line.split()[:3] for line in self.mcmw(a, "show", "groups").splitlines()]
        self.assertIn([GROUP, "any", "denied"], rows)
        # With nobody elsewhere left, it is still said why the program here gets nothing.
        receiver.stop()
        a.await_status(lambda s: not wanters(s, GROUP), PATIENCE, "b wants it no more")
        group = self.group(a)
        self.assertEqual(([], True, ["10.88.0.1"]), (group["wanted_by"], group["denied"], group["hosts"]))
        rewrite(a, node_ini(a, [b], {"groups": {"deny": ""}}))
        self.mcmw(a, "reload")
        await_wanted(a, {"mcmw0"}, GROUP)
        self.assertFalse(self.route(a)["denied"])
        mine.stop()

    def groups(self, host: Host) -> list[dict[str, Any]]:
        """Those of the test's own group."""
        return [group for group in host.status()["groups"] if group["group"] == GROUP]

    def route(self, host: Host) -> dict[str, Any]:
        return route_of(host.status(), GROUP)

    def group(self, host: Host) -> dict[str, Any]:
        (found,) = (group for group in host.status()["groups"] if group["group"] == GROUP)
        return dict(found)

    def test_a_section_that_reaches_a_node_of_another_name_is_shown_and_told(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        b.start_node(node_ini(b), ready=None)
        a.start_node(node_ini(a, [b]).replace("[peer:b]", "[peer:bb]"), ready=None)
        await_linked(a, "b")
        line = "[peer:bb] reaches b: call the section [peer:b]"
        self.assertIn(line, self.mcmw(a, "show", "peers"))
        self.assertEqual(["bb"], peer_of(a.status(), "b")["sections"])
        self.assertIn(
            f"[peer:bb] reaches a node named b at {b.address}: call the section [peer:b]", node_log(a)
        )
        self.assertNotIn("section", self.mcmw(b, "show", "peers"))
        # A second section for the same node is no second link, and neither is forgotten.
        ini = node_ini(a, [b])
        rewrite(a, ini + ini[ini.index("[peer:b]") :].replace("[peer:b]", "[peer:bb]"))
        self.mcmw(a, "reload")
        a.await_status(
            lambda s: [each["sections"] for each in s["peers"]] == [["b", "bb"]], PATIENCE, "both sections"
        )
        self.assertIn(line, self.mcmw(a, "show", "peers"))
