"""What a node costs while it is idle, and whether it answers while it works."""

import sys
import time

import pytest

from tests.netns.kit import (
    PORT,
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sections,
    Sender,
    cpu_seconds,
    let_pass,
    node_ini,
    rss,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"
IDLE_FOR = 5.0
MEMORY = 75 << 20  # bytes that an idle node may have
CPU = 0.02  # of a core; measured on an idle machine it is a fifth of that


@pytest.mark.alone
class IdleTests(NetnsTestCase):
    """Four nodes with nothing to do but to stay in touch."""

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
