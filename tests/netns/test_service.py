"""A node as a service: what its manager hears, and what it can do without root's privileges."""

import os
import signal
import socket
import sys
import time

from multicastmw.cli.lab import Host, wait_until
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    NetnsTestCase,
    Sections,
    await_linked,
    inside,
    let_pass,
    node_ini,
    node_log,
)

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
        let_pass(3)
        manager.hear()
        self.assertGreaterEqual(manager.said.count("WATCHDOG=1"), 3)  # of 6
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

    def test_a_manager_that_is_not_there_harms_nothing(self) -> None:
        a = self.node({"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "100000"})
        await_linked(a, "b")
        self.assertNotIn("nowhere", node_log(a))
