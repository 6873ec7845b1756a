"""sd_notify: what a service manager hears, on a datagram socket of its own."""

import os
import shutil
import socket
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.net.supervisor import MAX_STATUS, Supervisor, supervisor


class SupervisorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "notify")

    def listens(self, address: str) -> socket.socket:
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(ear.close)
        ear.bind(address)
        ear.setblocking(False)
        return ear

    def named(self, path: str, **more: str) -> Supervisor:
        found = supervisor({"NOTIFY_SOCKET": path, **more}, pid=7)
        assert found is not None
        self.addCleanup(found.close)
        return found

    def test_every_word_is_one_datagram(self) -> None:
        ear = self.listens(self.path)
        manager = self.named(self.path)
        manager.ready("as\nit is")
        manager.status("as\nit is")
        manager.status("other")
        manager.alive()
        manager.reloading(12.5)
        manager.stopping()
        self.assertEqual(
            [
                b"READY=1\nSTATUS=as it is",
                b"STATUS=other",
                b"WATCHDOG=1",
                b"RELOADING=1\nMONOTONIC_USEC=12500000",
                b"STOPPING=1\nSTATUS=ending",
            ],
            [ear.recv(4096) for _ in range(5)],
        )
        self.assertRaises(BlockingIOError, ear.recv, 1)

    def test_an_abstract_socket_is_found(self) -> None:
        name = f"mcmw-test-{os.getpid()}"
        ear = self.listens("\0" + name)
        self.named("@" + name).alive()
        self.assertEqual(b"WATCHDOG=1", ear.recv(4096))

    def test_nobody_there_or_nobody_listening_hurts_nobody(self) -> None:
        for path in (self.path, "/nowhere/notify", "/" + "x" * 200, "@" + "x" * 200):
            self.named(path).ready("well")
        ear = self.listens(self.path)
        manager = self.named(self.path)
        for number in range(10_000):  # and nobody reads
            manager.status(f"status {number}")
        ear.close()
        manager.alive()

    def test_a_manager_that_comes_back_is_heard_by(self) -> None:
        ear = self.listens(self.path)
        manager = self.named(self.path)
        manager.alive()
        ear.close()
        manager.alive()
        os.unlink(self.path)
        ear = self.listens(self.path)
        manager.alive()
        self.assertEqual(b"WATCHDOG=1", ear.recv(4096))

    def test_a_status_is_short(self) -> None:
        ear = self.listens(self.path)
        self.named(self.path).status("x" * 10_000)
        self.assertEqual(MAX_STATUS + len("STATUS="), len(ear.recv(65_536)))

    def test_the_watchdog_is_ours_where_its_pid_is(self) -> None:
        self.assertEqual(0.0, self.named(self.path).watchdog)
        self.assertEqual(30.0, self.named(self.path, WATCHDOG_USEC="30000000").watchdog)
        self.assertEqual(30.0, self.named(self.path, WATCHDOG_USEC="30000000", WATCHDOG_PID="7").watchdog)
        self.assertEqual(0.0, self.named(self.path, WATCHDOG_USEC="30000000", WATCHDOG_PID="8").watchdog)
        for nonsense in ("soon", "-1", "", "٣"):
            self.assertEqual(0.0, self.named(self.path, WATCHDOG_USEC=nonsense).watchdog)

    def test_children_inherit_nothing_of_it(self) -> None:
        environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "7", "HOME": "/"}
        self.assertIsNotNone(supervisor(environment))
        self.assertEqual({"HOME": "/"}, environment)
        self.assertIsNone(supervisor({}))
        self.assertIsNone(supervisor({"NOTIFY_SOCKET": "vsock:2:1"}))
