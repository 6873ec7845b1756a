"""A link's connection over a real loopback pair: bytes, pressure, and both ways to close."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from multicastmw.net.tcp import PeerConnection, numeric


class Machine:
    """A link that keeps what its connection told it; `happens` wakes whoever waits for something."""

    why = ""

    def __init__(self, outlet: PeerConnection) -> None:
        self.outlet = outlet
        self.received = b""
        self.said: list[str] = []
        self.at = float("inf")
        self._waiting: list[tuple[Any, Deferred[None]]] = []

    def when(self, true: Any) -> Deferred[None]:
        waits: Deferred[None] = Deferred()
        self._waiting.append((true, waits))
        self.happens()
        return waits.addTimeout(5, reactor)

    def happens(self, said: str = "") -> None:
        if said:
            self.said.append(said)
        for item in list(self._waiting):
            if item[0]():
                self._waiting.remove(item)
                reactor.callLater(0, item[1].callback, None)

    def start(self, now: float) -> None:
        self.outlet.write(b"hello")
        self.happens("start")

    def bytes_received(self, chunk: bytes, now: float) -> None:
        self.received += chunk
        self.happens()

    def paused(self, now: float) -> None:
        self.happens("paused")

    def resumed(self, now: float) -> None:
        self.happens("resumed")

    def lost(self, why: str) -> None:
        self.why = self.why or why
        self.happens("lost")

    def deadline(self) -> float:
        return self.at

    def tick(self, now: float) -> None:
        self.at = float("inf")
        self.happens("tick")


class Pairs(TestCase):
    timeout = 20

    @inlineCallbacks
    def setUp(self) -> Any:
        self.machines: list[Machine] = []
        self.gone: list[str] = []
        self.full = False
        factory = Factory.forProtocol(self.connection)
        factory.noisy = False
        self.port = yield TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(self.port.stopListening)

    def connection(self) -> PeerConnection:
        return PeerConnection(reactor, self.make_link, self.gone.append)

    def make_link(self, connection: PeerConnection) -> Machine | None:
        if self.full:
            connection.write(b"go away")
            return None
        self.machines.append(Machine(connection))
        return self.machines[-1]

    @inlineCallbacks
    def pair(self) -> Any:
        """(dialled, accepted), both started and greeted."""
        factory = Factory.forProtocol(self.connection)
        factory.noisy = False
        connection = yield TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port).connect(factory)
        dialled = next(m for m in self.machines if m.outlet is connection)
        yield dialled.when(lambda: dialled.received == b"hello")
        (accepted,) = (m for m in self.machines if m is not dialled)
        yield accepted.when(lambda: accepted.received == b"hello")
        return dialled, accepted

    @inlineCallbacks
    def ends(self, *machines: Machine) -> Any:
        for machine in machines:
            yield machine.when(lambda machine=machine: "lost" in machine.said)
        self.assertEqual(len(self.gone), len(machines))

    @inlineCallbacks
    def test_both_say_hello_and_know_where_the_other_is(self) -> Any:
        dialled, accepted = yield self.pair()
        for machine in (dialled, accepted):
            self.assertEqual((machine.outlet.address, machine.outlet.local_address), ("127.0.0.1",) * 2)
        dialled.outlet.finish()
        yield self.ends(dialled, accepted)

    @inlineCallbacks
    def test_finish_lets_all_out_that_was_written(self) -> Any:
        dialled, accepted = yield self.pair()
        dialled.outlet.write(bytes(3_000_000))
        dialled.outlet.finish()
        yield self.ends(dialled, accepted)
        self.assertEqual(len(accepted.received), 3_000_005)

    @inlineCallbacks
    def test_abort_does_not_wait_for_a_peer_that_does_not_read(self) -> Any:
        dialled, accepted = yield self.pair()
        accepted.outlet.transport.pauseProducing()
        for _ in range(200):
            dialled.outlet.write(bytes(65_536))
        dialled.outlet.finish()
        yield dialled.when(lambda: True)
        self.assertNotIn("lost", dialled.said)
        dialled.outlet.abort()
        yield dialled.when(lambda: "lost" in dialled.said)
        accepted.outlet.transport.resumeProducing()
        yield self.ends(dialled, accepted)

    @inlineCallbacks
    def test_a_full_connection_pauses_its_link_and_resumes_it_when_it_is_empty(self) -> Any:
        dialled, accepted = yield self.pair()
        accepted.outlet.transport.pauseProducing()
        written = 0
        while "paused" not in dialled.said:
            dialled.outlet.write(bytes(4_000))
            written += 4_000
            yield dialled.when(lambda: True)  # a turn, in which the kernel takes what it wants
            self.assertLess(written, 50_000_000)
        self.assertNotIn("resumed", dialled.said)
        accepted.outlet.transport.resumeProducing()
        yield dialled.when(lambda: "resumed" in dialled.said)
        yield accepted.when(lambda: len(accepted.received) == written + 5)
        dialled.outlet.finish()
        yield self.ends(dialled, accepted)

    @inlineCallbacks
    def test_the_links_deadline_is_wound_when_it_wakes_the_connection(self) -> Any:
        dialled, accepted = yield self.pair()
        dialled.at = reactor.seconds()
        self.assertNotIn("tick", dialled.said)
        dialled.outlet.wake()
        yield dialled.when(lambda: "tick" in dialled.said)
        dialled.at = reactor.seconds() + 100
        dialled.outlet.wake()
        dialled.outlet.finish()
        yield self.ends(dialled, accepted)  # and trial finds no delayed call

    @inlineCallbacks
    def test_a_caller_that_is_one_too_many_hears_why_and_is_let_go(self) -> Any:
        dialled, accepted = yield self.pair()
        self.full = True
        heard: Deferred[bytes] = Deferred()

        class Caller(PeerConnection):
            def connectionMade(self) -> None:
                self.heard = b""

            def dataReceived(self, data: bytes) -> None:
                self.heard += data

            def connectionLost(self, reason: Any = None) -> None:
                heard.callback(self.heard)

        factory = Factory.forProtocol(lambda: Caller(reactor, self.make_link, self.gone.append))
        factory.noisy = False
        yield TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port).connect(factory)
        self.assertEqual((yield heard), b"go away")
        self.assertEqual(len(self.machines), 2)
        self.gone.clear()
        dialled.outlet.finish()
        yield self.ends(dialled, accepted)

    @inlineCallbacks
    def test_what_the_link_knows_of_its_end_is_what_is_passed_on(self) -> Any:
        dialled, accepted = yield self.pair()
        dialled.why = "silent for 10 s"
        dialled.outlet.abort()
        yield self.ends(dialled, accepted)
        self.assertIn("silent for 10 s", self.gone)


class Addresses(SynchronousTestCase):
    def test_are_numeric_texts_and_ipv4_stays_ipv4(self) -> None:
        for address, text in (
            (IPv4Address("TCP", "192.0.2.1", 1), "192.0.2.1"),
            (IPv6Address("TCP", "2001:db8::1", 1), "2001:db8::1"),
            (IPv6Address("TCP", "::ffff:192.0.2.1", 1), "192.0.2.1"),
            (IPv6Address("TCP", "fe80::1%eth0", 1), "fe80::1%eth0"),
            (UNIXAddress(b"/run/x"), ""),
            (None, ""),
        ):
            self.assertEqual(numeric(address), text)
