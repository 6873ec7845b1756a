"""A node as a service: what its manager hears, and what it can do without root's privileges."""

import os
import re
import signal
import socket
import stat
import sys
import time
from pathlib import Path
from subprocess import run

from twisted.trial.unittest import SkipTest

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
    inside,
    let_pass,
    mcmw,
    node_ini,
    node_log,
    why_not,
)
from tests.netns.test_life import Unprivileged

GROUP = "239.1.1.1"


class Manager:
    """The other end of sd_notify."""

    def __init__(self, path: str) -> None:
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(path)
        self._ear.setblocking(False)
        self.said: list[str] = []

    def close(self) -> None:
        self._ear.close()

    def await_word(self, word: str, timeout: float = PATIENCE) -> str:
        """The first datagram with this word in it since the last one; those before it are forgotten."""

        def look() -> str | None:
            self.hear()
            return next((text for text in self.said if word in text), None)

        found = wait_until(look, timeout, f"{word} (there is {self.said})")
        self.said = self.said[self.said.index(found) + 1 :]
        return found

    def hear(self) -> None:
        try:
            while True:
                self.said.append(self._ear.recv(65_536).decode())
        except BlockingIOError:
            pass


class NotifyTests(NetnsTestCase):
    """sd_notify, with a whole node."""

    def setUp(self) -> None:
        self.lab = self.make_lab("ab")

    def node(self, environment: dict[str, str], sections: Sections | None = None) -> Host:
        a, b = self.lab.hosts
        b.start_node(node_ini(b), ready=None)
        path = self.lab.state_dir / "a.ini"
        path.write_text(f"{node_ini(a, [b], sections)}\n[control]\nsocket = {a.socket}\n")
        twistd = [f"{sys.prefix}/bin/twistd", "-n", "--pidfile=", "mcmw", "-c", str(path)]
        a.node = a.spawn(twistd, log="a-node", env=environment)
        return a

    def manager(self, path: str) -> Manager:
        with inside(self.lab.host("a")):  # an abstract socket is in a network
            manager = Manager(path)
        self.addCleanup(manager.close)
        return manager

    def test_ready_status_alive_and_the_end(self) -> None:
        short = f"/tmp/mcmw-notify-{os.getpid()}"
        self.addCleanup(os.unlink, short)
        manager = self.manager(short)
        began = time.monotonic()
        a = self.node({"NOTIFY_SOCKET": short, "WATCHDOG_USEC": "1000000"})
        self.assertIn("peers up", manager.await_word("READY=1\nSTATUS="))
        self.measured("seconds until READY=1", f"{time.monotonic() - began:.2f}")
        await_linked(a, "b")
        self.assertIn(f"{DEVICE} up", manager.await_word("STATUS=1 of 1 peers up"))
        manager.said.clear()
        for _ in range(3):
            manager.await_word("WATCHDOG=1")
        pid = a.status()["node"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        let_pass(0.2)
        manager.hear()
        manager.said.clear()
        let_pass(2)
        manager.hear()
        self.assertEqual([], manager.said)  # a reactor that stands is not alive
        os.kill(pid, signal.SIGCONT)
        manager.await_word("WATCHDOG=1")
        a.stop_node()
        manager.await_word("STOPPING=1")

    def test_a_pending_tap_keeps_nobody_waiting(self) -> None:
        name = f"mcmw-notify-{os.getpid()}"
        manager = self.manager("\0" + name)
        self.node({"NOTIFY_SOCKET": f"@{name}"}, {"tap": {"device": "lo"}})
        said = manager.await_word("READY=1")
        self.assertIn("lo pending: ", said)
        self.assertEqual(2, len(said.splitlines()))

    def test_a_reload_is_told_with_its_time_and_its_end(self) -> None:
        name = f"mcmw-notify-{os.getpid()}"
        manager = self.manager("\0" + name)
        a = self.node({"NOTIFY_SOCKET": f"@{name}"})
        manager.await_word("READY=1")
        assert a.node is not None
        a.node.signal(signal.SIGHUP)
        said = manager.await_word("RELOADING=1\nMONOTONIC_USEC=")
        now = time.clock_gettime(time.CLOCK_MONOTONIC)
        self.assertLess(abs(int(said.partition("USEC=")[2]) / 1e6 - now), PATIENCE)
        manager.await_word("READY=1")

    def test_the_status_says_what_is_wrong_and_the_worst_of_it_first(self) -> None:
        name = f"mcmw-notify-{os.getpid()}"
        manager = self.manager("\0" + name)
        a = self.node({"NOTIFY_SOCKET": f"@{name}"})
        manager.await_word("READY=1")
        await_linked(a, "b")
        self.lab.host("b").stop_node()
        said = manager.await_word("STATUS=0 of 1 peers up (b: ")
        self.assertIn("; mcmw0 up", said)
        path = self.lab.state_dir / "a.ini"
        path.write_text(path.read_text().replace("[tap]", "[tab]"))
        assert a.node is not None
        manager.said.clear()
        a.node.signal(signal.SIGHUP)
        manager.await_word("RELOADING=1\nMONOTONIC_USEC=")
        said = manager.await_word("READY=1\nSTATUS=node.ini is not taken: ")
        self.assertIn("[tab]", said)
        self.assertIn("0 of 1 peers up (b: ", said)

    def test_the_status_says_what_the_kernel_forwards(self) -> None:
        name = f"mcmw-notify-{os.getpid()}"
        manager = self.manager("\0" + name)
        a = self.node({"NOTIFY_SOCKET": f"@{name}"})
        manager.await_word("READY=1")
        await_linked(a, "b")
        if not a.status()["fastpath"]["on"]:
            raise SkipTest(a.status()["fastpath"]["why"])
        Receiver(self.lab.host("b"), "239.1.1.1")
        await_wanted(a, {"b"}, "239.1.1.1")
        sender = Sender(a, "239.1.1.1")
        self.assertIn("1 of 1 peers up, ", manager.await_word(", 1 route in the kernel; "))
        sender.stop()
        self.assertEqual(0, mcmw(a, "fastpath", "off")[0])
        manager.await_word(", none in the kernel: ")

    def test_a_manager_that_is_not_there_harms_nothing(self) -> None:
        a = self.node({"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "100000"})
        await_linked(a, "b")
        self.assertNotIn("nowhere", node_log(a))


class DroppedTests(NetnsTestCase):
    """`twistd --uid`: what needs root happens before it is dropped, and CAP_NET_ADMIN stays."""

    skip = why_not("unshare")

    def start(self, host: Host, ini: str, *options: str) -> int:
        """A node that becomes nobody, on a host where everybody may open /dev/net/tun; its process number."""
        folder = host.lab.state_dir
        tun = folder / "tun"
        os.mknod(tun, stat.S_IFCHR | 0o600, os.makedev(10, 200))
        tun.chmod(0o666)
        path = folder / f"{host.name}.ini"
        host.socket = folder / "run" / "control.sock"
        path.write_text(f"{ini}\n[control]\nsocket = {host.socket}\n")
        path.chmod(0o600)
        twistd = [f"{sys.prefix}/bin/twistd", "-n", "--pidfile=", *options, "mcmw", "-c", str(path)]
        shell = f'cd / && mount --bind "{tun}" /dev/net/tun && exec "$@"'
        host.node = host.spawn(["unshare", "-m", "sh", "-c", shell, "sh", *twistd], log="a-node")
        status = host.await_status(lambda status: status["tap"]["state"] == "up", PATIENCE, "its TAP")
        return status["node"]["pid"]

    def test_a_node_that_was_root_and_is_nobody_does_all_that_a_node_does(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        # Data leave from a port that takes a capability, too.
        low = {"listen": {"endpoint": "tcp:460", "udp-port": 460}}
        low["manhole"] = {"endpoint": f"unix:{lab.state_dir}/run/manhole"}
        b.start_node(node_ini(b), ready=None)
        pid = self.start(a, node_ini(a, [b], low), "--uid=nobody", "--gid=nogroup")
        process = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        nobody, only = "65534\t65534\t65534\t65534", f"{1 << 12 | 1 << 10:016x}"
        self.assertEqual(
            (nobody, nobody, "65534"), (process["Uid"], process["Gid"], process["Groups"].strip())
        )
        self.assertEqual((only, only, "1"), (process["CapEff"], process["CapPrm"], process["NoNewPrivs"]))
        for path in (a.socket, a.socket.parent, a.socket.with_name("manhole")):
            self.assertEqual(65534, path.stat().st_uid)
        await_linked(a, "b")
        self.assertNotIn("UDP buffers", node_log(a))
        self.stream(a, b)
        a.link_down(DEVICE)
        a.await_status(lambda s: s["tap"]["state"] == "pending", PATIENCE, "its TAP pending")
        a.link_up(DEVICE)
        a.await_status(lambda s: s["tap"]["state"] == "up", PATIENCE, "its TAP up")
        self.assertIn("224.0.0.0/4", self.routes(a))
        a.ip(f"link del {DEVICE}")
        wait_until(lambda: "224.0.0.0/4" in self.routes(a), PATIENCE, "a TAP made anew")
        a.await_status(lambda s: s["tap"]["state"] == "up", PATIENCE, "its TAP up")
        self.stream(b, a)
        socket_path = a.socket
        self.assertEqual(-signal.SIGTERM, a.stop_node())
        self.assertEqual("", self.routes(a))
        self.assertFalse(socket_path.exists())

    def test_a_folder_that_is_roots_keeps_a_stale_socket_and_no_more(self) -> None:
        lab = self.make_lab("a")
        (a,) = lab.hosts
        (lab.state_dir / "run").mkdir()
        self.start(a, node_ini(a), "--uid=nobody")
        path = a.socket
        self.assertEqual(-signal.SIGTERM, a.stop_node())
        self.assertTrue(path.exists())
        a.start_node(node_ini(a) + f"\n[control]\nsocket = {path}\n")  # takes it over

    def stream(self, one: Host, other: Host) -> None:
        receiver = Receiver(other, GROUP)
        await_wanted(one, {other.name}, GROUP)
        await_wanted(other, {DEVICE}, GROUP)
        Sender(one, GROUP, count=100).finish()
        self.assert_perfect(receiver.await_last(GROUP, f"10.88.0.{one.index}", 99), 100, TTL - 1)
        receiver.stop()

    def routes(self, host: Host) -> str:
        return host.run(["ip", "route", "show", "proto", "77"]).stdout.strip()


class UnitTests(NetnsTestCase):
    """etc/mcmw.service: what systemd thinks of it, and a node with the privileges that it gives."""

    skip = why_not("systemd-analyze", "setpriv", "unshare")
    unit = Path(__file__).parents[2] / "etc" / "mcmw.service"

    def test_systemd_understands_it_and_finds_little_exposure(self) -> None:
        path = Path(self.mktemp()).absolute() / "mcmw.service"
        path.parent.mkdir(parents=True)
        path.write_text(self.unit.read_text().replace("/opt/mcmw", sys.prefix))
        verified = run(
            ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False
        )
        self.assertEqual((0, ""), (verified.returncode, verified.stderr))
        weighed = run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", path],
            capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
        exposure = float(re.findall(r"Overall exposure level for .*: ([\d.]+)", weighed)[0])
        self.measured("exposure as systemd-analyze weighs it (10 is the worst)", exposure)
        self.assertLess(exposure, 2.5)

    def test_a_node_that_was_never_root_makes_its_tap_with_what_the_unit_gives(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        b.start_node(node_ini(b), ready=None)
        folder = lab.state_dir / "run"
        folder.mkdir()
        os.chown(folder, 65534, 65534)
        tun = lab.state_dir / "tun"
        os.mknod(tun, stat.S_IFCHR | 0o600, os.makedev(10, 200))
        tun.chmod(0o666)
        a.socket = folder / "a.sock"
        path = lab.state_dir / "a.ini"
        path.write_text(f"{node_ini(a, [b])}\n[control]\nsocket = {a.socket}\n")
        (given,) = re.findall(r"^AmbientCapabilities=(.*)$", self.unit.read_text(), re.MULTILINE)
        only = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in given.split())])
        who = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", f"--bounding-set={only}",
               f"--inh-caps={only}", f"--ambient-caps={only}", "--no-new-privs"]  # fmt: skip
        twistd = [f"{sys.prefix}/bin/twistd", "-n", "--pidfile=", "mcmw", "-c", str(path)]
        shell = f'cd / && mount --bind "{tun}" /dev/net/tun && exec "$@"'
        a.node = a.spawn(["unshare", "-m", "sh", "-c", shell, "sh", *who, *twistd], log="a-node")
        await_linked(a, "b")
        self.assertIn("224.0.0.0/4", a.run(["ip", "route"]).stdout)
        self.assertNotIn("UDP buffers", node_log(a))
        receiver = Receiver(a, GROUP)
        await_wanted(b, {"a"}, GROUP)
        Sender(b, GROUP, count=100).finish()
        self.assert_perfect(receiver.await_last(GROUP, "10.88.0.2", 99), 100, TTL - 1)
        self.assertEqual(-signal.SIGTERM, a.stop_node())
        self.assertNotIn("224.0.0.0/4", a.run(["ip", "route"]).stdout)
        self.assertEqual([], list(folder.iterdir()))


class PremadeTests(NetnsTestCase):
    """A TAP made beforehand, and no capability: only what matters and cannot be done is said."""

    skip = why_not("setpriv", "unshare")

    def test_what_it_may_not_do_is_said_where_it_matters(self) -> None:
        lab = self.make_lab("a")
        (a,) = lab.hosts
        a.ip(
            f"tuntap add {DEVICE} mode tap user nobody",
            f"address add 10.88.0.1/24 dev {DEVICE}",
            f"link set {DEVICE} up",
            f"route add 224.0.0.0/4 dev {DEVICE}",
        )
        Unprivileged(a, tun_mode=0o666).start(node_ini(a))
        warned = [line for line in self.log(a).splitlines() if "#warn" in line and "UDP buffers" not in line]
        self.assertEqual([], warned)
        a.link_down(DEVICE)  # and the route goes
        a.await_status(lambda s: s["tap"]["state"] == "pending", PATIENCE, "its TAP pending")
        a.link_up(DEVICE)
        a.await_status(lambda s: s["tap"]["state"] == "up", PATIENCE, "its TAP up")
        wait_until(
            lambda: f"`ip route add 224.0.0.0/4 dev {DEVICE}`" in self.log(a),
            PATIENCE,
            "a line that mends it",
        )

    def log(self, host: Host) -> str:
        return (host.lab.state_dir / "a-node-nobody.out").read_text()
