"""Whom a node dials and when; whom it lets in."""

import socket
from typing import Any
from unittest.mock import Mock

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from multicastmw.core.dialling import ELSEWHERE_FOR, STABLE, Backoff, State
from multicastmw.core.events import ListensAgain, Note, PeerUnreachable, SameNodeTwice, StandsBy
from multicastmw.core.identity import node_id
from multicastmw.net.tcp import PeerConnection
from multicastmw.sections import PeerConfig
from multicastmw.services.errors import CannotStart
from multicastmw.services.peers import ACCEPTS, Diallers, DiallingService, ListeningService, reason
from multicastmw.wire.framing import Framer
from multicastmw.wire.messages import AddRoute, Close, Open, RemoveRoute, decode, encode
from multicastmw.wire.messages import Node as NodeEntry
from tests.core.cable import Node, World


class Endpoint:
    """Where a dialler dials; what becomes of each attempt is the test's."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.dialled_at: list[float] = []
        self.attempts: list[Deferred[Any]] = []
        self.factories: list[Factory] = []
        self.refuses = True

    def connect(self, factory: Factory) -> Deferred[Any]:
        attempt: Deferred[Any] = Deferred(lambda d: d.errback(ConnectingCancelledError(None)))
        self.dialled_at.append(self.clock.seconds())
        self.attempts.append(attempt)
        self.factories.append(factory)
        if self.refuses:
            attempt.errback(ConnectionRefusedError(string="Connection refused"))
        return attempt

    def waits(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.dialled_at, self.dialled_at[1:], strict=False)]


class Transport(StringTransport):
    """A connection that says when it is to be closed."""

    aborted = False

    def getPeer(self) -> Any:
        from twisted.internet.address import IPv4Address

        return IPv4Address("TCP", "192.0.2.1", 4600)

    getHost = getPeer

    def abortConnection(self) -> None:
        self.aborted = True


class Connection:
    """One that the dialler made, and the peer at its other end."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.protocol: PeerConnection = endpoint.factories[-1].buildProtocol(None)
        self.transport = Transport()
        self.protocol.makeConnection(self.transport)
        endpoint.attempts[-1].callback(self.protocol)

    def opens(self, name: str = "b", node: int | None = None) -> None:
        self.says(encode(Open(name, node_id(name) if node is None else node, 3600)))

    def says(self, message: bytes) -> None:
        self.protocol.dataReceived(message)

    def ends(self) -> None:
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.protocol.connectionLost(Failure(ConnectionDone()))

    def heard(self) -> list[Any]:
        return [decode(m).message for m in Framer().feed(self.transport.value())]


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.clock = self.world.clock
        self.node = Node(self.world, "a", keep_alive=3600, data_port=None)
        self.diallers = self.node.room.watcher = Diallers()
        self.endpoint = Endpoint(self.clock)
        self.service = self.dialler()

    def dialler(self, name: str = "b") -> DiallingService:
        config = PeerConfig(name=name, endpoint="tcp:b.example.net:4600")
        service = DiallingService(
            config,
            self.diallers,
            self.node.room,
            self.clock,
            MemoryReactorClock(),
            lambda low, high: (low + high) / 2,
        )
        self.diallers.add(service)
        service._endpoint = self.endpoint
        return service

    def starts(self) -> None:
        self.service.startService()
        self.addCleanup(self.stops)

    def stops(self) -> None:
        if self.service.running:
            self.service.stopService()

    def run_for(self, seconds: float) -> None:
        self.world.run(seconds)

    def connects(self) -> Connection:
        self.endpoint.refuses = False
        while self.endpoint.attempts[-1].called:
            self.world.run(0.25)
        return Connection(self.endpoint)

    def accepts(self, name: str = "b", node: int | None = None) -> Any:
        """The peer dials us; returns its cable."""
        from tests.core.cable import Cable

        cable = Cable(self.world, None, self.node)
        cable.dialling.says(encode(Open(name, node_id(name) if node is None else node, 3600)))
        self.world.run(0.01)
        return cable


class Schedule(Case):
    def test_waits_double_to_2_s_then_15_and_it_is_never_given_up(self) -> None:
        self.starts()
        self.run_for(299)
        waits = self.endpoint.waits()
        self.assertEqual([round(w, 6) for w in waits[:5]], [0.25, 0.5, 1.0, 2.0, 2.0])
        self.assertTrue(all(w <= 2.000001 for w in waits))
        self.assertGreaterEqual(len(waits), 145)
        self.run_for(3600)
        late = self.endpoint.waits()[len(waits) + 2 :]
        self.assertEqual({round(w, 6) for w in late}, {15.0})
        self.run_for(86_400)
        self.assertLess(self.clock.seconds() - self.endpoint.dialled_at[-1], 15.1)

    def test_every_failure_is_told_with_its_reason(self) -> None:
        self.starts()
        self.run_for(0.2)
        (event,) = self.node.told(PeerUnreachable)
        self.assertEqual(event.why, "Connection refused")
        self.assertEqual((self.service.state, self.service.why), (State.WAITING, "Connection refused"))

    def test_a_dial_without_an_answer_is_over_after_4_s(self) -> None:
        self.endpoint.refuses = False
        self.starts()
        self.run_for(3.99)
        self.assertEqual((self.service.state, len(self.endpoint.attempts)), (State.DIALLING, 1))
        self.run_for(0.02)
        self.assertEqual(self.service.state, State.WAITING)
        self.assertEqual(self.service.why, "no answer within 4 s")
        self.run_for(0.25)
        self.assertEqual(len(self.endpoint.attempts), 2)

    def test_stopping_ends_it_in_every_state(self) -> None:
        self.starts()
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.endpoint.refuses = False
        self.service.startService()
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        count = len(self.endpoint.attempts)
        self.run_for(100)
        self.assertEqual(len(self.endpoint.attempts), count)


class Ups(Case):
    def test_while_the_peer_is_up_it_is_not_dialled(self) -> None:
        self.starts()
        connection = self.connects()
        connection.opens()
        self.assertEqual((self.service.state, self.service.why), (State.UP, ""))
        count = len(self.endpoint.attempts)
        self.run_for(1000)
        self.assertEqual(len(self.endpoint.attempts), count)

    def test_a_loss_is_answered_with_a_dial_at_once(self) -> None:
        self.starts()
        self.run_for(200)
        connection = self.connects()
        connection.opens()
        self.run_for(1000)
        count = len(self.endpoint.attempts)
        connection.ends()
        self.assertEqual(self.service.state, State.WAITING)
        self.run_for(0.26)
        self.assertEqual(len(self.endpoint.attempts), count + 1)

    def test_a_peer_that_closes_each_link_at_once_is_dialled_ever_less_often(self) -> None:
        self.starts()
        for _ in range(60):
            if self.service.state is State.DIALLING:
                connection = self.connects()
                connection.opens()
                connection.ends()
            self.run_for(0.5)
        self.assertLess(len(self.endpoint.attempts), 25)
        self.assertGreater(len(self.endpoint.attempts), 10)

    def test_an_accepted_link_with_the_peer_makes_it_wait(self) -> None:
        self.starts()
        self.run_for(0.1)
        cable = self.accepts()
        self.assertEqual(self.service.state, State.UP)
        count = len(self.endpoint.attempts)
        self.run_for(100)
        self.assertEqual(len(self.endpoint.attempts), count)
        cable.dialling.abort()
        self.run_for(0.3)
        self.assertEqual(len(self.endpoint.attempts), count + 1)

    def test_one_that_is_there_at_the_start_too(self) -> None:
        self.accepts()
        self.starts()
        self.run_for(100)
        self.assertEqual((self.service.state, self.endpoint.attempts), (State.UP, []))

    def test_another_nodes_link_is_none_of_its_business(self) -> None:
        self.starts()
        self.accepts("c")
        self.assertNotEqual(self.service.state, State.UP)

    def test_a_failing_attempt_does_not_unmake_an_accepted_link(self) -> None:
        self.endpoint.refuses = False
        self.starts()
        self.accepts()
        self.assertEqual(self.service.state, State.UP)
        self.run_for(10)  # the attempt times out meanwhile
        self.assertEqual(self.service.state, State.UP)
        self.assertEqual(self.node.told(PeerUnreachable), [])
        self.assertEqual(len(self.endpoint.attempts), 1)

    def test_who_answers_under_another_name_is_the_peer_nevertheless(self) -> None:
        self.starts()
        connection = self.connects()
        connection.opens("c")
        self.assertEqual(self.service.state, State.UP)
        self.run_for(STABLE)
        connection.ends()
        self.run_for(0.3)
        self.assertEqual(self.service.state, State.DIALLING)


class Refusals(Case):
    def test_a_peer_that_closes_before_open_is_dialled_again_and_its_reason_shown(self) -> None:
        self.starts()  # refused at first: that reason is over when a connection stands
        connection = self.connects()
        connection.says(encode(Close(4, 4)))
        self.assertTrue(connection.transport.disconnecting)
        connection.ends()
        self.assertEqual(
            (self.service.state, self.service.why), (State.WAITING, "closed by the peer: too many")
        )

    def test_waits_go_on_growing_when_connections_stand_but_never_open(self) -> None:
        self.starts()
        count = len(self.endpoint.attempts)
        for _ in range(6):
            connection = self.connects()
            connection.ends()
        self.assertEqual([round(w, 6) for w in self.endpoint.waits()[count:]][-2:], [2.0, 2.0])

    def test_a_link_that_another_of_our_name_takes_is_asked_for_ever_less_often(self) -> None:
        """However long it was up in between: its namesake waits as long."""
        self.starts()
        waits = []
        for _ in range(8):
            connection = self.connects()
            connection.opens()
            self.run_for(2 * STABLE)
            connection.says(encode(Close(4, 2, None, "the node name a is in use at x and at y")))
            connection.ends()
            self.assertEqual(self.service.state, State.WAITING)
            self.assertEqual(self.service.why, "closed by the peer: the node name a is in use at x and at y")
            ended = self.world.now
            self.connects_at = len(self.endpoint.attempts)
            while len(self.endpoint.attempts) == self.connects_at:
                self.run_for(0.25)
            waits.append(self.endpoint.dialled_at[-1] - ended)
        self.assertEqual([round(wait, 3) for wait in waits], [2, 4, 8, 16, 32, 60, 60, 60])

    def test_and_one_that_never_opened_for_it_too(self) -> None:
        self.starts()
        for _ in range(10):
            self.connects().says(encode(Close(4, 2, None, "in use")))
            self.endpoint.refuses = False
            self.service._connection.connectionLost(Failure(ConnectionDone()))
        self.assertGreater(self.world.now - self.endpoint.dialled_at[0], 200)

    def refused_for(self, seconds: float, node: str | None) -> None:
        """As long as that it is up for a moment each time, and closed for a cycle over that node."""
        until = self.world.now + seconds
        while self.world.now < until:
            connection = self.connects()
            connection.says(encode(Open("b", node_id("b"), 10)))
            connection.says(encode(Close(4, 1, node)))
            connection.ends()
            self.run_for(0.1)

    def test_a_peer_that_goes_on_reaching_us_without_us_has_a_node_of_our_name(self) -> None:
        self.node.room.keep_alive_is(10)
        self.starts()
        self.refused_for(ELSEWHERE_FOR - 8, "a")
        self.assertEqual(self.node.told(SameNodeTwice), [])
        self.refused_for(16, "a")
        (event, *_) = self.node.told(SameNodeTwice)
        self.assertIn(event.sentence(), self.node.room.namesakes.current(self.world.now))
        self.assertEqual(self.service.state, State.WAITING)
        waited_from = self.world.now
        self.refused_for(100, "a")
        self.assertLess(sum(at > waited_from for at in self.endpoint.dialled_at), 8)

    def test_and_where_it_reaches_another_node_it_has_not(self) -> None:
        self.node.room.keep_alive_is(10)
        self.starts()
        for node in ("c", None):
            self.refused_for(2 * ELSEWHERE_FOR, node)
        self.assertEqual(self.node.told(SameNodeTwice), [])

    def test_nor_while_the_longest_patience_of_the_two_has_not_passed_twice(self) -> None:
        """Its own old link may be counted up until then."""
        self.node.room.keep_alive_is(60)
        self.starts()
        self.refused_for(100, "a")
        self.assertEqual(self.node.told(SameNodeTwice), [])
        self.refused_for(30, "a")
        self.assertTrue(self.node.told(SameNodeTwice))

    def test_a_peer_that_never_opens_is_left_after_5_s(self) -> None:
        self.starts()
        connection = self.connects()
        self.run_for(5.1)
        self.assertEqual(connection.heard()[-1], Close(9, 0))
        connection.ends()
        self.assertEqual(self.service.why, "no Open within 5 s")

    def test_the_last_of_an_old_connection_does_not_disturb_the_next_attempt(self) -> None:
        """The peer says Close and hangs: its connection ends when a new dial is under way."""
        self.starts()
        old = self.connects()
        old.opens()
        self.run_for(STABLE)
        old.says(encode(Close(11, 0)))
        self.run_for(0.3)
        self.assertEqual(self.service.state, State.DIALLING)
        count = len(self.endpoint.attempts)
        old.ends()
        self.assertEqual(self.service.state, State.DIALLING)
        self.run_for(3)
        self.assertEqual(len(self.endpoint.attempts), count)
        Connection(self.endpoint).opens()
        self.assertEqual(self.service.state, State.UP)


class Standbys(Case):
    def reached_otherwise(self) -> Any:
        """c, which dialled us, says that b is behind it; gives the end that takes it back."""
        end = self.accepts("c").dialling
        end.says(encode(AddRoute((NodeEntry(node_id("b"), "b"),))))
        self.run_for(0.01)
        return end

    def test_a_link_that_would_close_a_cycle_stands_by_and_is_no_failure(self) -> None:
        self.reached_otherwise()
        self.starts()
        for _ in range(3):
            connection = self.connects()
            connection.opens()
            self.assertEqual(connection.heard()[-1], Close(4, 1, "b"))
            connection.ends()
            self.assertEqual(self.service.state, State.STANDBY)
            self.assertEqual(self.service.why, "b is reached over c already")
        self.assertEqual(len(self.node.told(StandsBy)), 1)
        self.assertEqual(len(self.node.told(PeerUnreachable)), 1)  # the test's first dial, refused
        self.assertEqual(self.node.ups[1:], [])

    def test_so_does_one_that_only_the_peer_refuses_while_we_reach_it(self) -> None:
        self.reached_otherwise()
        self.starts()
        connection = self.connects()
        connection.says(encode(Close(4, 1, "a")))
        connection.ends()
        self.assertEqual(self.service.state, State.STANDBY)

    def test_refused_for_a_cycle_that_we_do_not_see_it_is_dialled_again_soon(self) -> None:
        self.starts()
        for _ in range(5):
            connection = self.connects()
            connection.says(encode(Close(4, 1, "a")))
            connection.ends()
            self.assertEqual(self.service.state, State.WAITING)
            count = len(self.endpoint.attempts)
            self.run_for(0.51)
            self.assertEqual(len(self.endpoint.attempts), count + 1)

    def test_a_link_that_was_up_and_closes_a_cycle_stands_by_as_well(self) -> None:
        self.starts()
        connection = self.connects()
        connection.opens()
        self.reached_otherwise()  # c's link is the younger: it is the peer's word that counts
        connection.says(encode(Close(4, 1, "c")))
        connection.ends()
        self.assertEqual(self.service.state, State.STANDBY)

    def test_it_takes_over_when_the_peer_is_reached_no_more(self) -> None:
        end = self.reached_otherwise()
        self.starts()
        connection = self.connects()
        connection.opens()
        connection.ends()
        count = len(self.endpoint.attempts)
        end.says(encode(RemoveRoute((NodeEntry(node_id("b")),))))
        self.run_for(0.21)
        self.assertEqual((self.service.state, len(self.endpoint.attempts)), (State.DIALLING, count + 1))
        Connection(self.endpoint).opens()
        self.assertEqual(self.service.state, State.UP)


class Reasons(SynchronousTestCase):
    def test_a_host_that_no_name_server_knows_is_not_named_again(self) -> None:
        error = DNSLookupError("no results for hostname lookup: b.example.net")
        self.assertEqual(reason(Failure(error)), "DNS lookup failed: that name has no address")

    def test_a_host_that_is_silent_gives_no_answer(self) -> None:
        """Whoever gives up first: the dial, its endpoint, or the socket, which has only hung up."""
        for error in (
            ConnectTimeout(),
            ConnectingCancelledError(None),
            ConnectError(string=Failure(ConnectionDone())),
        ):
            self.assertEqual(reason(Failure(error)), "no answer within 4 s")


class Listening(TestCase):
    def test_a_port_that_is_taken_ends_the_start_in_one_line(self) -> None:
        node = World().node("a")
        with socket.socket() as taken:
            taken.bind(("0.0.0.0", 0))
            taken.listen()
            endpoint = f"tcp:{taken.getsockname()[1]}"
            service = ListeningService(endpoint, node.room, reactor)
            error = self.assertRaises(CannotStart, service.privilegedStartService)
        self.assertEqual(str(error), f"[listen] endpoint: {endpoint}: Address already in use")

    @inlineCallbacks
    def test_one_that_is_to_be_had_again_is_tried_until_it_is(self) -> Any:
        node = World().node("a")
        taken = socket.socket()
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        backoff = Backoff(reactor.seconds(), lambda low, high: (low + high) / 2)
        service = ListeningService(endpoint, node.room, reactor, backoff=backoff)
        service.privilegedStartService()
        self.addCleanup(service.stopService)
        why = f"[listen] endpoint: {endpoint}: Address already in use"
        while backoff.attempts < 2:
            yield deferLater(reactor, 0.01)
        self.assertTrue(service.why.startswith(why), service.why)
        self.assertEqual({event.sentence() for event in node.told(Note)}, {service.why})
        taken.close()
        while service.why:
            yield deferLater(reactor, 0.01)
        self.assertEqual(len(node.told(ListensAgain)), 1)
        caller = socket.create_connection(("127.0.0.1", int(endpoint.split(":")[1])))
        caller.close()

    def test_and_is_tried_no_more_when_the_node_ends(self) -> None:
        memory = MemoryReactorClock()
        memory.listenTCP = Mock(side_effect=CannotListenError("", 1, OSError(98, "Address already in use")))
        backoff = Backoff(0.0, lambda low, high: (low + high) / 2)
        service = ListeningService("tcp:1", World().node("a").room, memory, backoff=backoff)
        service.privilegedStartService()
        memory.pump([0.25] * 400)
        self.assertEqual(backoff.attempts, 53)  # as a peer is dialled: 0.25 s, doubling, at most 2 s
        service.stopService()
        self.assertEqual(memory.getDelayedCalls(), [])

    def test_a_caller_has_a_link_and_the_17th_a_close(self) -> None:
        node = World().node("a")
        memory = MemoryReactorClock()
        ListeningService("tcp:4600", node.room, memory).privilegedStartService()
        factory = memory.tcpServers[0][1]
        transports = []
        for _ in range(17):
            protocol = factory.buildProtocol(None)
            transports.append(Transport())
            protocol.makeConnection(transports[-1])
        self.assertEqual(len(node.room.links), 16)
        (said,) = Framer().feed(transports[-1].value())
        self.assertEqual(decode(said).message, Close(4, 4))
        self.assertTrue(transports[-1].disconnecting)
        self.assertFalse(any(t.disconnecting for t in transports[:16]))

    def test_callers_come_in_small_batches(self) -> Any:
        """Twisted would take 100 at once, and more the more there are."""
        node = World().node("a")
        service = ListeningService("tcp:0:interface=127.0.0.1", node.room, reactor)
        service.privilegedStartService()
        self.addCleanup(service.stopService)
        port = service._port
        address = port.getHost()
        callers = [socket.socket() for _ in range(3 * ACCEPTS)]
        for caller in callers:
            self.addCleanup(caller.close)
            caller.setblocking(False)
            caller.connect_ex((address.host, address.port))
        accepted = 0
        for _ in range(6):
            before = port.sessionno
            port.doRead()
            self.assertLessEqual(port.sessionno - before, ACCEPTS)
            accepted = port.sessionno
        self.assertEqual(accepted, 3 * ACCEPTS)
        for link in list(node.room.links):
            link._outlet.abort()
        return self.until_gone(node)

    def until_gone(self, node: Node) -> Any:
        done: Deferred[None] = Deferred()

        def look() -> None:
            if node.room.links:
                reactor.callLater(0.01, look)
            else:
                reactor.callLater(0.05, done.callback, None)

        look()
        return done
