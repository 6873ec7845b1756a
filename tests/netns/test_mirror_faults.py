"""Nodes whose kernels forward, and what may befall them: killed, stopped, busy, or not allowed to."""

import os
import signal
import stat
import sys
import time
from collections.abc import Sequence

from multicastmw.cli.lab import Host, wait_until
from tests.net.bpf.bed import why_no_bed
from tests.netns.kit import (
    PATIENCE,
    TTL,
    NetnsTestCase,
    Receiver,
    Sender,
    await_linked,
    await_wanted,
    let_pass,
    node_ini,
    node_log,
    why_not,
)
from tests.netns.test_mirror import FAST, GROUP, Case, S, await_fast

NEEDED = "net_admin", "bpf", "perfmon"


def silent_for(receiver: Receiver, seconds: float) -> float:
    """Returns when nothing has come for so long; gives when the last packet came."""
    wait_until(lambda: time.monotonic() - receiver.report(GROUP, S)["last_at"] > seconds, PATIENCE, "silence")
    last: float = receiver.report(GROUP, S)["last_at"]
    return last


class Holders(Case):
    """What the kernel does when its node does nothing."""

    def test_of_a_killed_node_it_stops_at_once_and_the_next_one_finds_clean_hooks(self) -> None:
        tree = self.tree()
        sender, receivers = self.stream(tree)
        tree.b.kill_node()
        killed = time.monotonic()
        sender.await_sent(sender.state["sent"] + 500)
        last = receivers["c"].report(GROUP, S)["last_at"]
        self.measured("ms from SIGKILL to the last packet", f"{(last - killed) * 1000:.1f}")
        self.assertLess(last - killed, 1)
        hooks = tree.b.run(["ip", "-d", "link", "show", "u0"]).stdout
        tree.start(tree.b, ready=None)
        tree.await_links()
        for receiver in receivers.values():
            receiver.await_last(GROUP, S, sender.state["sent"], 60)
        status = await_fast(tree.b, GROUP)
        self.assertEqual((True, "tcx"), (status["fastpath"]["on"], status["fastpath"]["way"]), hooks)
        sent = sender.stop()["sent"]
        for receiver in receivers.values():
            report = receiver.await_last(GROUP, S, sent - 1)
            self.assertEqual((0, 0), (report["duplicates"], report["damaged"]))

    def test_of_a_stopped_node_it_stops_within_4_seconds_and_goes_on_with_it(self) -> None:
        tree = self.tree()
        sender, receivers = self.stream(tree)
        assert tree.b.node
        os.kill(tree.b.node.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            last = silent_for(receivers["c"], 1)
            self.measured("seconds from SIGSTOP to the last packet", f"{last - stopped:.2f}")
            self.assertLess(last - stopped, 4)
            self.assertGreater(last - stopped, 1)
        finally:
            os.kill(tree.b.node.pid, signal.SIGCONT)
        for receiver in receivers.values():
            receiver.await_last(GROUP, S, sender.state["sent"], 60)
        await_fast(tree.b, GROUP)
        for receiver in receivers.values():
            report = receiver.report(GROUP, S)
            self.assertEqual((0, 0), (report["duplicates"], report["damaged"]))

    def test_a_busy_node_s_packets_are_not_late(self) -> None:
        """200 ms of every second b does not run: without the fast path each packet of then waits."""
        found = {}
        for mode in ("require", "off"):
            tree = self.tree({"fastpath": {"mode": mode}})
            receiver = Receiver(tree.c, GROUP)
            tree.await_demand(GROUP, "c", here=False)
            sender = Sender(tree.a, GROUP, rate=250)
            receiver.await_last(GROUP, S, 250)
            assert tree.b.node
            for _ in range(6):
                os.kill(tree.b.node.pid, signal.SIGSTOP)
                try:
                    let_pass(0.2)
                finally:
                    os.kill(tree.b.node.pid, signal.SIGCONT)
                let_pass(0.8)
            sent = sender.stop()["sent"]
            receiver.await_last(GROUP, S, sent - 1)
            report = receiver.stop()["streams"][f"{GROUP} {S}"]
            self.assert_perfect(report, sent, TTL - 2)
            median, late, longest = (1000 * delay for delay in report["delays"])
            self.measured(f"{mode}: ms on the way, median, p99.9, longest; longest gap",
                          f"{median:.2f}, {late:.1f}, {longest:.1f}; {1000 * report['gap']:.1f}")  # fmt: skip
            found[mode] = late
        self.assertGreater(found["off"], 150)
        self.assertLess(found["require"], found["off"] / 2)

    def test_a_clean_end_leaves_nothing_attached(self) -> None:
        tree = self.tree()
        self.stream(tree, rate=100)
        tree.b.stop_node()
        tc = tree.b.run(["tc", "filter", "show", "dev", "u0", "ingress"])
        self.assertNotIn("mcmw", tc.stdout)


class Permissions(NetnsTestCase):
    """Non-root, with what capabilities there are."""

    skip = why_not("setpriv", "unshare") or why_no_bed()

    def node(self, host: Host, ini: str, capabilities: Sequence[str]) -> None:
        """A node that was never root, with exactly these capabilities."""
        folder = host.lab.state_dir / "run"
        folder.mkdir()
        os.chown(folder, 65534, 65534)
        tun = host.lab.state_dir / "tun"
        os.mknod(tun, stat.S_IFCHR | 0o600, os.makedev(10, 200))
        tun.chmod(0o666)
        host.socket = folder / f"{host.name}.sock"
        path = host.lab.state_dir / f"{host.name}.ini"
        path.write_text(f"{ini}\n[control]\nsocket = {host.socket}\n")
        only = ",".join(["-all", *(f"+{name}" for name in capabilities)])
        who = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", f"--bounding-set={only}",
               f"--inh-caps={only}", f"--ambient-caps={only}", "--no-new-privs"]  # fmt: skip
        twistd = [f"{sys.prefix}/bin/twistd", "-n", "--pidfile=", "mcmw", "-c", str(path)]
        shell = f'cd / && mount --bind "{tun}" /dev/net/tun && exec "$@"'
        host.node = host.spawn(["unshare", "-m", "sh", "-c", shell, "sh", *who, *twistd], log="a-node")

    def pair(self, mode: str, capabilities: Sequence[str]) -> tuple[Host, Host]:
        a, b = self.make_lab("ab").hosts
        b.start_node(node_ini(b, sections=FAST), ready=None)
        self.node(a, node_ini(a, [b], {"fastpath": {"mode": mode}}), capabilities)
        return a, b

    def carries(self, one: Host, other: Host) -> None:
        receiver = Receiver(other, GROUP)
        await_wanted(one, {other.name}, GROUP)
        Sender(one, GROUP, count=300).finish()
        self.assert_perfect(receiver.await_last(GROUP, f"10.88.0.{one.index}", 299), 300, TTL - 1)
        receiver.stop()

    def test_three_capabilities_are_enough(self) -> None:
        a, b = self.pair("require", NEEDED)
        await_linked(a, "b")
        self.carries(a, b)
        self.carries(b, a)
        status = await_fast(a, GROUP)
        self.assertTrue(status["fastpath"]["on"])
        self.assertGreater(status["fastpath"]["counters"]["from_tap"], 100)
        self.assertGreater(status["fastpath"]["counters"]["delivered"], 100)

    def test_with_one_missing_it_is_slow_and_one_line_says_why(self) -> None:
        for missing in ("bpf", "perfmon"):
            a, b = self.pair("auto", [name for name in NEEDED if name != missing])
            await_linked(a, "b")
            self.carries(a, b)
            status = a.status()["fastpath"]
            self.assertFalse(status["on"])
            self.assertIn(f"CAP_{missing.upper()} missing", status["why"])
            lines = [line for line in node_log(a).splitlines() if "the fast path is off" in line]
            self.assertEqual(1, len(lines), lines)

    def test_where_it_is_required_the_start_ends_with_that_line(self) -> None:
        (a,) = self.make_lab("a").hosts
        self.node(a, node_ini(a, sections=FAST), ["net_admin", "perfmon"])
        assert a.node
        self.assertEqual(1, a.node.wait(PATIENCE))
        said = [line for line in node_log(a).splitlines() if "mode = require" in line]
        self.assertTrue(said and all("CAP_BPF missing" in line for line in said), node_log(a))
        a.node = None

    def test_a_node_that_was_root_needs_no_more_than_before_to_go_on(self) -> None:
        """--uid: loaded as root; the maps are written and uplinks attached to by whom it has become."""
        a, b = self.make_lab("ab").hosts
        b.start_node(node_ini(b, sections=FAST), ready=None)
        tun = a.lab.state_dir / "tun"
        os.mknod(tun, stat.S_IFCHR | 0o600, os.makedev(10, 200))
        tun.chmod(0o666)
        a.socket = a.lab.state_dir / "run" / "control.sock"
        path = a.lab.state_dir / "a.ini"
        path.write_text(f"{node_ini(a, [b], FAST)}\n[control]\nsocket = {a.socket}\n")
        nobody = ["--uid=nobody", "--gid=nogroup"]
        twistd = [f"{sys.prefix}/bin/twistd", "-n", "--pidfile=", *nobody, "mcmw", "-c", str(path)]
        shell = f'cd / && mount --bind "{tun}" /dev/net/tun && exec "$@"'
        a.node = a.spawn(["unshare", "-m", "sh", "-c", shell, "sh", *twistd], log="a-node")
        await_linked(a, "b")
        self.carries(a, b)
        await_fast(a, GROUP)


class Starts(NetnsTestCase):
    skip = why_not() or why_no_bed()
    whole_starts = True

    def test_the_fast_path_costs_a_start_little(self) -> None:
        """Against a start without it: some 50 ms, and never as much again."""
        (a,) = self.make_lab("a").hosts
        took: dict[str, list[float]] = {}
        for mode in ("off", "require") * 3:
            began = time.monotonic()
            a.start_node(node_ini(a, sections={"fastpath": {"mode": mode}}))
            a.await_status(lambda s: s["node"]["ready"], PATIENCE, "ready")
            took.setdefault(mode, []).append(time.monotonic() - began)
            a.stop_node()
        least = {mode: min(seconds) for mode, seconds in took.items()}
        self.measured("ms that a start takes longer", f"{1000 * (least['require'] - least['off']):.0f}")
        self.assertLess(least["require"], 2 * least["off"])
