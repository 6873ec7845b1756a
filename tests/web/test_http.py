"""Long answers, and who takes them slowly or not at all."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from multicastmw.web.http import LAST_BYTES, PIECE, PIECE_WITHIN, Pouring, pour


class Asking:
    """A request whose connection has room for one piece, or for all of them."""

    def __init__(self, has_room: bool = False) -> None:
        self.has_room = has_room
        self.taken: list[bytes] = []
        self.is_finished = self.is_cut = False
        self.producer: Any = None
        self.left: Deferred[None] = Deferred()
        self.channel = self.transport = self

    def notifyFinish(self) -> Deferred[None]:
        return self.left

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.taken.append(data)
        if self.producer and not self.has_room:
            self.producer.pauseProducing()

    def finish(self) -> None:
        assert self.producer is None
        self.is_finished = True
        self.left.callback(None)

    def abortConnection(self) -> None:
        self.is_cut = True
        self.left.errback(ConnectionError())

    @property
    def bytes(self) -> bytes:
        return b"".join(self.taken)


class Pieces(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.body = bytes(range(256)) * (PIECE * 5 // 256) + b"the end"

    def asks(self, has_room: bool = False) -> Asking:
        asking = Asking(has_room)
        pour(asking, self.body, self.clock)  # type: ignore[arg-type]
        return asking

    def test_a_short_answer_is_written_at_once(self) -> None:
        self.body = b"x" * PIECE
        asking = self.asks()
        self.assertEqual((True, 1, []), (asking.is_finished, len(asking.taken), self.clock.getDelayedCalls()))

    def test_who_takes_a_piece_now_and_then_gets_all_however_long_it_takes(self) -> None:
        asking = self.asks()
        while not asking.is_finished:
            self.assertEqual(PIECE, len(asking.taken[-1]) if len(asking.taken) < 6 else PIECE)
            self.clock.advance(PIECE_WITHIN - 1)
            self.assertFalse(asking.is_cut)
            asking.producer.resumeProducing()
        self.assertGreater(self.clock.seconds(), 5 * (PIECE_WITHIN - 1))
        self.assertEqual(self.body, asking.bytes)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_who_takes_nothing_is_cut_off(self) -> None:
        asking = self.asks()
        self.clock.advance(1)
        asking.producer.resumeProducing()
        self.clock.advance(PIECE_WITHIN - 0.1)
        self.assertFalse(asking.is_cut)
        self.clock.advance(0.2)
        self.assertEqual((True, 2), (asking.is_cut, len(asking.taken)))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_who_has_room_for_all_of_it_lets_others_have_a_turn_in_between(self) -> None:
        asking = self.asks(has_room=True)
        self.assertEqual(1, len(asking.taken))
        self.clock.pump([0] * 6)
        self.assertEqual((True, self.body), (asking.is_finished, asking.bytes))

    def test_a_connection_that_says_late_that_it_is_full_gets_no_more(self) -> None:
        asking = self.asks(has_room=True)
        asking.producer.pauseProducing()
        self.clock.pump([0] * 6)
        self.assertEqual(1, len(asking.taken))
        asking.producer.resumeProducing()
        self.assertEqual(2, len(asking.taken))

    def test_who_goes_leaves_nothing_behind(self) -> None:
        asking = self.asks()
        asking.left.errback(ConnectionError())
        self.assertEqual([], self.clock.getDelayedCalls())
        asking.producer.stopProducing()
        verifyObject(IPushProducer, Pouring(Asking(), self.body, self.clock))

    def test_the_last_piece_has_as_long(self) -> None:
        self.assertEqual(PIECE_WITHIN, LAST_BYTES)
