"""What becomes of a connection that the mesh wanted."""

from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.link import Link
from multicastmw.net.tcp import PeerConnection
from multicastmw.services.mesh import Attempt
from multicastmw.services.peers import Accepting
from multicastmw.wire.messages import Open, encode
from tests.core.cable import World
from tests.services.test_peers import Transport

BELOW = 1  # a node id below every one of ours: its link stays where both have dialled


class Attempts(SynchronousTestCase):
    def setUp(self) -> None:
        world = World()
        self.room = world.node("a").room
        self.reactor = MemoryReactorClock()
        self.ended: list[tuple[Link | None, str]] = []
        service: Any = SimpleNamespace(
            reactor=world.clock, dial_reactor=self.reactor, credentials=None, room=self.room
        )
        Attempt(service, "192.0.2.1", 4600, lambda link, why: self.ended.append((link, why))).begin()
        self.dialled = self.connected(self.reactor.tcpClients[0][2])

    def connected(self, factory: Factory) -> Any:
        connection: Any = factory.buildProtocol(None)
        connection.makeConnection(Transport())
        return connection

    def test_a_node_that_says_open_is_what_it_led_to(self) -> None:
        self.dialled.dataReceived(encode(Open("b", BELOW, 3600)))
        self.assertEqual([(self.room.by_node[BELOW], "")], self.ended)

    def test_a_node_that_has_a_link_already_is_no_failure(self) -> None:
        called = self.connected(Accepting(self.room, self.reactor, PeerConnection))
        called.dataReceived(encode(Open("b", BELOW, 3600)))
        first = self.room.by_node[BELOW]
        self.dialled.dataReceived(encode(Open("b", BELOW, 3600)))
        self.dialled.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([(first, "")], self.ended)

    def test_a_connection_that_ends_has_a_reason_in_words(self) -> None:
        self.dialled.connectionLost(Failure(ConnectionLost()))
        self.assertEqual([(None, "the connection was lost")], self.ended)

    def test_who_closes_without_a_word_is_said_to_have(self) -> None:
        self.dialled.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([(None, "the other side closed the connection")], self.ended)
