"""The manhole's door: who comes in, who does not, and what keeps it from being opened at all."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.conch.telnet import DO, ECHO, IAC
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import TestCase

from multicastmw.core.events import AtThePrompt, Event, Limit
from multicastmw.sections import ManholeConfig
from multicastmw.services.errors import CannotStart
from multicastmw.services.manhole import AT_THE_DOOR, MAX_VISITORS, Door, ManholeService
from multicastmw.services.telnet import Conversation, Telnet


class Transport(StringTransportWithDisconnection):
    def abortConnection(self) -> None:
        self.aborting = True
        self.loseConnection()


class DoorTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Event] = []
        self.door = Door(Factory.forProtocol(Protocol), self.clock, self.told.append)

    def caller(self) -> tuple[Any, Transport]:
        visitor = self.door.buildProtocol(IPv4Address("TCP", "127.0.0.1", 7))
        transport = Transport(peerAddress=IPv4Address("TCP", "127.0.0.1", 7))
        transport.protocol = visitor
        visitor.makeConnection(transport)
        return visitor, transport

    def test_who_does_not_get_to_a_prompt_goes_again(self) -> None:
        _, transport = self.caller()
        self.clock.advance(AT_THE_DOOR - 0.1)
        self.assertTrue(transport.connected)
        self.clock.advance(0.2)
        self.assertFalse(transport.connected)
        self.assertEqual({}, self.door.protocols)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_who_is_at_the_prompt_stays_and_is_told_of(self) -> None:
        visitor, transport = self.caller()
        visitor.come_in()
        self.clock.advance(100_000)
        self.assertTrue(transport.connected)
        self.assertEqual([AtThePrompt("127.0.0.1:7")], self.told)

    def test_one_too_many_is_told_so(self) -> None:
        callers = [self.caller() for _ in range(MAX_VISITORS)]
        _, transport = self.caller()
        self.assertEqual(b"mcmw: 4 are in the manhole already\r\n", transport.value())
        self.assertFalse(transport.connected)
        self.assertEqual([Limit], [type(event) for event in self.told])
        callers[0][1].loseConnection()
        self.assertTrue(self.caller()[1].connected)

    def test_all_go_when_it_closes(self) -> None:
        callers = [self.caller()[1] for _ in range(MAX_VISITORS)]
        self.door.close()
        self.assertEqual([False] * MAX_VISITORS, [transport.connected for transport in callers])
        self.assertEqual([], self.clock.getDelayedCalls())


class PromptTests(TestCase):
    def said_of(self, wants_telnet: bool, agreement: bytes) -> bytes:
        def broken() -> Any:
            raise ImportError("no module of this name")

        factory: Any = Factory()
        factory.buildProtocol = lambda address: Telnet(Conversation, broken, wants_telnet)
        told: list[Event] = []
        door = Door(factory, Clock(), told.append)
        transport = Transport(peerAddress=IPv4Address("TCP", "127.0.0.1", 7))
        transport.protocol = door.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        if agreement:
            transport.protocol.dataReceived(agreement)
        self.assertFalse(transport.connected)
        self.assertEqual([], told)  # nobody is at a prompt
        return transport.value()

    def test_one_that_cannot_be_made_is_said_to_be_that(self) -> None:
        why = b"mcmw: the prompt cannot be made: ImportError('no module of this name')\r\n"
        for wants_telnet, agreement in ((True, IAC + DO + ECHO), (False, b"")):
            said = self.said_of(wants_telnet, agreement)
            self.assertIn(why, said)
            self.assertEqual(1, said.count(b"mcmw: "), said)

    def test_all_that_it_needs_is_there_before_privileges_are_given_up(self) -> None:
        """In a process of its own: it is loaded once."""
        program = (
            "import sys\n"
            "from twisted.internet import reactor\n"
            "from multicastmw.sections import ManholeConfig\n"
            "from multicastmw.services.manhole import ManholeService\n"
            "config = ManholeConfig(endpoint=sys.argv[1])\n"
            "ManholeService(config, dict, reactor, print).privilegedStartService()\n"
            "sys.exit('multicastmw.services.prompt' not in sys.modules)\n"
        )
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        command = [sys.executable, "-c", program, f"unix:{folder}/m"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual((0, ""), (done.returncode, done.stderr))


class StartCase(TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def refused(self, config: ManholeConfig) -> str:
        service = ManholeService(config, dict, reactor, lambda event: None)
        try:
            return str(self.assertRaises(CannotStart, service.privilegedStartService))
        finally:
            self.addCleanup(service.stopService)


class StartTests(StartCase):
    def test_a_port_that_is_anothers(self) -> None:
        taken: Any = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(taken.stopListening)
        endpoint = f"tcp:{taken.getHost().port}:interface=127.0.0.1"
        said = self.refused(ManholeConfig(endpoint=endpoint))
        self.assertEqual(f"[manhole] endpoint: {endpoint}: Address already in use", said)

    def test_a_file_that_is_no_socket_is_left_alone(self) -> None:
        path = self.folder / "m"
        path.write_text("precious")
        said = self.refused(ManholeConfig(endpoint=f"unix:{path}"))
        self.assertTrue(said.startswith(f"[manhole] endpoint: {path}: something is there"), said)
        self.assertEqual("precious", path.read_text())


class KeyTests(StartCase):
    skip = None if shutil.which("ssh-keygen") else "needs ssh-keygen"

    def make(self, name: str, passphrase: str = "") -> Path:
        path = self.folder / name
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
        subprocess.run(make, check=True, timeout=60)
        return path

    def said_of(self, host: Path, authorized: Path) -> str:
        config = ManholeConfig("unix:" + str(self.folder / "s"), str(authorized), str(host))
        return self.refused(config).replace(str(self.folder), "")

    def test_keys_that_do_not_do_are_one_line_each(self) -> None:
        host, mine = self.make("host"), self.make("mine")
        public = (self.folder / "mine.pub").read_text()
        restricted, empty, open_ = self.folder / "restricted", self.folder / "empty", self.folder / "open"
        restricted.write_text(f'{public}\nfrom="10.0.0.1" {public}')
        empty.write_text("# nobody\n")
        shutil.copy(host, open_)
        os.chmod(open_, 0o644)
        authorized = Path(str(mine) + ".pub")
        self.assertEqual(
            [
                "[manhole] host-key: /nowhere: No such file or directory",
                "[manhole] host-key: /open: others may read it; `chmod 600 /open`",
                "[manhole] host-key: /locked: it has a passphrase, which nobody types here",
                "[manhole] authorized-keys: /empty: no key is in it",
                "[manhole] authorized-keys: /restricted, line 3: no public key, or one with options, "
                "which are not known here",
            ],
            [
                self.said_of(self.folder / "nowhere", authorized),
                self.said_of(open_, authorized),
                self.said_of(self.make("locked", "secret"), authorized),
                self.said_of(host, empty),
                self.said_of(host, restricted),
            ],
        )
        os.chmod(authorized, 0o600)
        self.assertIn("the public half", self.said_of(authorized, authorized))
        self.assertIn("no SSH key", self.said_of(self._private(empty), authorized))

    def _private(self, path: Path) -> Path:
        path.chmod(0o600)
        return path
