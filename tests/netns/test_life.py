"""A node's life: crashes, restarts, ends, and interfaces that come and go."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

from multicastmw.cli.lab import Host, LabError, wait_until
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
    let_pass,
    node_ini,
    node_log,
    why_not,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"
RATE = 200
SLOW = 15.0  # seconds, on a machine that is busy; one that is not takes less than 3
UNPRIVILEGED = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--bounding-set=-all",
                "--inh-caps=-all")  # fmt: skip


def is_there(host: Host, device: str = DEVICE) -> bool:
    try:
        return bool(host.counters(device))
    except LabError:
        return False


def routes(host: Host) -> str:
    """What of the groups' routes is there."""
    return host.run(["ip", "route", "show", "proto", "77"]).stdout.strip()


class CrashTests(NetnsTestCase):
    """kill -9: applications keep their sockets, and the stream comes back by itself."""

    def test_the_middle_node_is_killed_and_started_two_seconds_later(self) -> None:
        tree = Figure4(self)
        receivers = {host.name: Receiver(host, GROUP) for host in (tree.b, tree.c, tree.d)}
        tree.await_demand(GROUP, "cd")
        sender = Sender(tree.a, GROUP, rate=RATE)
        for receiver in receivers.values():
            receiver.await_last(GROUP, S, RATE)
        tree.b.kill_node()
        let_pass(2)
        self.assertTrue(is_there(tree.b))
        tree.start(tree.b, ready=None)
        wait_until(lambda: self.listens(tree.b), PATIENCE, "b listens again")
        listening = time.monotonic()
        last = {name: receiver.report(GROUP, S)["last_at"] for name, receiver in receivers.items()}
        for name, receiver in receivers.items():
            receiver.await_state(
                lambda _, r=receiver: r.report(GROUP, S)["gap"] > 2, f"the stream at {name}", 15
            )
            back = receiver.report(GROUP, S)["gap_ended"] - listening
            self.measured(f"seconds until the stream is back at {name} after b listens", f"{back:.2f}")
            self.assertLess(back, SLOW)
            self.assertLess(last[name], listening)
        sent = sender.stop()["sent"]
        for name, receiver in receivers.items():
            report = receiver.await_last(GROUP, S, sent - 1)
            self.assertEqual((0, 0, 0), (report["duplicates"], report["disordered"], report["damaged"]))
            self.measured(f"packets that the crash cost {name}, of {RATE} a second", report["missing"])
            # Nothing is lost but what was sent during the silence.
            self.assertLess(report["missing"], (report["gap"] + 0.5) * RATE)

    def listens(self, host: Host) -> bool:
        return f":{PORT}" in host.run(["ss", "-ltnH"]).stdout

    def test_a_restarted_leaf_finds_its_applications_membership(self) -> None:
        tree = Figure4(self)
        receiver = Receiver(tree.c, GROUP)
        tree.await_demand(GROUP, "c", here=False)
        sender = Sender(tree.a, GROUP, rate=RATE)
        receiver.await_last(GROUP, S, RATE)
        self.assertEqual(-signal.SIGTERM, tree.c.stop_node())  # as twistd ends
        await_wanted(tree.a, (), GROUP)
        stopped = receiver.report(GROUP, S)["last"]
        tree.start(tree.c)
        receiver.await_last(GROUP, S, stopped + RATE)
        report = receiver.report(GROUP, S)
        self.measured("seconds without the stream while c's node is restarted", f"{report['gap']:.2f}")
        sent = sender.stop()["sent"]
        report = receiver.await_last(GROUP, S, sent - 1)
        self.assertEqual((0, 0), (report["duplicates"], report["disordered"]))


class EndTests(NetnsTestCase):
    """SIGTERM: Close to every peer, routes off, the TAP stays."""

    def test_a_clean_end(self) -> None:
        tree = Figure4(self)
        receiver = Receiver(tree.c, GROUP)
        tree.await_demand(GROUP, "c", here=False)
        self.assertIn("224.0.0.0/4", routes(tree.c))
        began = time.monotonic()
        self.assertEqual(-signal.SIGTERM, tree.c.stop_node())  # as twistd ends
        took = time.monotonic() - began
        tree.b.await_status(lambda s: "c" not in [peer["name"] for peer in s["peers"]], PATIENCE, "c gone")
        self.assertIn("closed by the peer: it is shutting down", node_log(tree.b))
        self.assertEqual("", routes(tree.c))
        self.assertTrue(is_there(tree.c))
        self.assertIn(GROUP, tree.c.run(["ip", "maddr", "show", "dev", DEVICE]).stdout)
        self.assertEqual({}, receiver.streams())
        self.measured("seconds that SIGTERM takes", f"{took:.2f}")

    def test_a_tap_that_shall_not_persist_goes(self) -> None:
        lab = self.make_lab("a")
        host = lab.host("a")
        host.start_node(node_ini(host, sections={"tap": {"persist": "no"}}))
        self.assertTrue(is_there(host))
        host.stop_node()
        self.assertFalse(is_there(host))


class InterfaceTests(NetnsTestCase):
    """A TAP that vanishes or cannot be had is pending, visible, and recovered."""

    skip = why_not("setpriv", "unshare", "nsenter")

    def test_an_address_and_a_route_that_somebody_took_are_put_back(self) -> None:
        lab = self.make_lab("ab")
        a = lab.host("a")
        a.start_node(node_ini(a))
        for taken in (f"address flush dev {DEVICE}", "route del 224.0.0.0/4"):
            a.ip(taken)
            wait_until(
                lambda: (
                    "10.88.0.1/24" in a.run(["ip", "-br", "address", "show", DEVICE]).stdout
                    and "224.0.0.0/4" in routes(a)
                ),
                PATIENCE,
                f"what `ip {taken}` took",
            )
        self.assertIn(f"{DEVICE} had lost its address 10.88.0.1/24, and has it back", node_log(a))

    def test_a_route_that_is_anothers_is_shown_and_taken_over_when_it_goes(self) -> None:
        lab = self.make_lab("a")
        a = lab.host("a")
        a.ip("route add 224.0.0.0/4 dev u0")
        a.start_node(node_ini(a))
        self.assertIn(
            f"224.0.0.0/4 is routed to u0, not to {DEVICE}: programs that name no interface pass it by",
            a.status()["warnings"],
        )
        a.ip("route del 224.0.0.0/4 dev u0")
        a.await_status(lambda status: not status["warnings"], PATIENCE, "its own route")
        self.assertIn("224.0.0.0/4", routes(a))

    def test_a_tap_that_is_deleted_comes_back(self) -> None:
        tree = Figure4(self)
        sender = Sender(tree.a, GROUP, rate=RATE)
        tree.c.ip(f"link del {DEVICE}")
        began = time.monotonic()
        tree.c.await_status(
            lambda s: s["tap"]["state"] == "up" and is_there(tree.c), PATIENCE, "its TAP again"
        )
        self.measured("seconds until a deleted TAP is there again", f"{time.monotonic() - began:.2f}")
        self.assertIn("is pending:", node_log(tree.c))
        self.assertIn("224.0.0.0/4", routes(tree.c))
        receiver = Receiver(tree.c, GROUP)  # the old memberships went with the device
        report = receiver.await_last(GROUP, S, 50)
        self.assertEqual([TTL - 2], report["ttls"])
        sender.stop()

    def test_a_tap_that_is_put_down_is_pending_until_it_is_put_up(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        b.start_node(node_ini(b), ready=None)
        a.start_node(node_ini(a, [b]), ready=None)
        await_linked(a, "b")
        receiver = Receiver(a, GROUP)
        a.link_down(DEVICE)
        status = a.await_status(lambda s: s["tap"]["state"] == "pending", PATIENCE, "its TAP pending")
        self.assertIn(f"ip link set {DEVICE} up", status["tap"]["why"])
        self.assertFalse(status["node"]["ready"])
        a.link_up(DEVICE)
        a.await_status(lambda s: s["tap"]["state"] == "up", PATIENCE, "its TAP up")
        self.assertIn("224.0.0.0/4", routes(a))
        Sender(b, GROUP, rate=RATE)
        receiver.await_last(GROUP, "10.88.0.2", 50)

    def test_without_a_permission_it_is_pending_says_what_to_do_and_links_work(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        b.start_node(node_ini(b), ready=None)
        node = Unprivileged(a, tun_mode=0o600)
        status = node.start(node_ini(a, [b], {"log": {"level": "debug"}}))
        self.assertEqual(("pending", False), (status["tap"]["state"], status["node"]["ready"]))
        self.assertIn("may not open /dev/net/tun", status["tap"]["why"])
        a.await_status(lambda s: s["peers"][0]["state"] == "up", PATIENCE, "its link all the same")

    def test_without_dev_net_tun_it_is_pending_until_that_is_there(self) -> None:
        lab = self.make_lab("a")
        host = lab.host("a")
        path = lab.state_dir / "a.ini"
        path.write_text(f"{node_ini(host)}\n[control]\nsocket = {host.socket}\n")
        twistd = [f"{sys.prefix}/bin/twistd", "-n", f"--pidfile={lab.run_dir}/a.pid", "mcmw", "-c", str(path)]
        # In a mount namespace of its own: an empty folder over /dev/net.
        hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh", *twistd]
        host.node = host.spawn(hidden, log="a-node-tunless")
        status = host.await_status(lambda s: s["tap"]["state"] == "pending", PATIENCE, "its TAP pending")
        self.assertIn("`modprobe tun` makes it", status["tap"]["why"])
        subprocess.run(
            ["nsenter", "-t", str(status["node"]["pid"]), "-m", "umount", "/dev/net"],
            check=True,
            timeout=PATIENCE,
        )
        began = time.monotonic()
        host.await_status(lambda s: s["node"]["ready"], PATIENCE, "its TAP")
        self.measured("seconds until a late /dev/net/tun is used", f"{time.monotonic() - began:.2f}")

    def test_a_tap_made_beforehand_is_used_without_any_capability(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        a.ip(
            f"tuntap add {DEVICE} mode tap user nobody",
            f"address add 10.88.0.1/24 dev {DEVICE}",
            f"link set {DEVICE} mtu 1400 up",
            f"route add 224.0.0.0/4 dev {DEVICE}",
        )
        b.start_node(node_ini(b), ready=None)
        node = Unprivileged(a, tun_mode=0o666)
        status = node.start(node_ini(a, [b]))
        self.assertEqual(("up", ""), (status["tap"]["state"], status["tap"]["why"]))
        self.assertEqual(1400, status["tap"]["mtu"])
        self.assertRegex(Path(f"/proc/{status['node']['pid']}/status").read_text(), r"CapEff:\t0{16}\n")
        self.assertNotEqual(0, os.stat(f"/proc/{status['node']['pid']}").st_uid)
        await_linked(a, "b")
        here, there = Receiver(a, GROUP), Receiver(b, GROUP)
        await_wanted(a, {DEVICE, "b"}, GROUP)
        await_wanted(b, {DEVICE, "a"}, GROUP)
        Sender(a, GROUP, count=100).finish()
        Sender(b, GROUP, count=100).finish()
        self.assert_perfect(there.await_last(GROUP, S, 99), 100, TTL - 1)
        self.assert_perfect(here.await_last(GROUP, "10.88.0.2", 99), 100, TTL - 1)
        node.process.signal(signal.SIGTERM)
        self.assertEqual(-signal.SIGTERM, node.process.wait(PATIENCE))
        self.assertTrue(is_there(a))
        self.assertIn("224.0.0.0/4", a.run(["ip", "route"]).stdout)  # not ours to take


class Unprivileged:
    """A node that runs as nobody, without a capability, where /dev/net/tun has this mode."""

    def __init__(self, host: Host, tun_mode: int) -> None:
        self.host = host
        self.folder = host.lab.state_dir / "nobody"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.tun = self.folder / "tun"
        os.mknod(self.tun, stat.S_IFCHR | 0o600, os.makedev(10, 200))
        self.tun.chmod(tun_mode)

    def start(self, ini: str) -> dict:
        path = self.folder / "node.ini"
        socket = self.folder / "control.sock"
        path.write_text(f"{ini}\n[control]\nsocket = {socket}\n")
        self.host.socket = socket
        twistd = Path(sys.executable).with_name("twistd")
        node = [*UNPRIVILEGED, str(twistd), "-n", f"--pidfile={self.folder}/pid", "mcmw", "-c", str(path)]
        # A mount namespace of its own: the machine's /dev/net/tun stays as it is.
        shell = f'cd / && mount --bind "{self.tun}" /dev/net/tun && exec "$@"'
        self.process = self.host.spawn(["unshare", "-m", "sh", "-c", shell, "sh", *node], log="a-node-nobody")
        self.host.node = self.process
        return self.host.await_status(lambda status: True, PATIENCE, "its start as nobody")
