"""Questions and answers on a LAN: who answers, how often, and what is no question."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.mesh.onlan import (
    ANSWERS,
    ANSWERS_AT_ONCE,
    DIALLED_MOST,
    READ_AT_ONCE,
    OnLan,
    Place,
    seen_at,
)
from multicastmw.wire.mesh import BASE, Address, Find, Meeting, Sample
from multicastmw.wire.messages import KeepAlive, encode

NOW = 100.0
HERE, THERE = "198.51.100.1", "198.51.100.2"


def sample(node: int, *hosts: str) -> Sample:
    return Sample(node << 16, tuple(Address(host, 4600) for host in hosts), 0, 13, 0)


class Nodes(SynchronousTestCase):
    def setUp(self) -> None:
        self.a, self.b = OnLan(1 << 16, Random(1)), OnLan(2 << 16, Random(2))

    def test_who_is_asked_answers_and_is_dialled_where_it_is_seen(self) -> None:
        self.assertTrue(self.b.asks(self.a.question(sample(1)), 0, NOW))
        answer = self.b.answer(seen_at(sample(2), (Address("10.0.0.1", 4700), Address(THERE, 4600))))
        self.assertEqual(Place(2 << 16, THERE, 4700), self.a.told(answer, THERE, NOW))
        self.assertEqual((1, 1), (self.a.counters.asked, self.a.counters.answers))
        self.assertEqual((1, 1), (self.b.counters.questions, self.b.counters.answered))

    def test_its_own_question_is_none(self) -> None:
        self.assertFalse(self.a.asks(self.a.question(sample(1)), 0, NOW))
        self.assertEqual(0, self.a.counters.questions)

    def test_of_many_some_answer(self) -> None:
        question = self.a.question(sample(1))
        others = [OnLan(number << 16, Random(number)) for number in range(2, 202)]
        self.assertTrue(2 <= sum(each.asks(question, 200, NOW) for each in others) <= 2 * ANSWERS)

    def test_two_of_those_that_answer_are_dialled(self) -> None:
        self.a.question(sample(1))
        answers = [self.b.answer(sample(number, THERE)) for number in range(2, 9)]
        found = [self.a.told(answer, THERE, NOW) for answer in answers]
        self.assertEqual(DIALLED_MOST, len(list(filter(None, found))))
        self.a.question(sample(1))
        self.assertTrue(self.a.told(answers[0], THERE, NOW))

    def test_nobody_is_dialled_who_was_not_asked_for(self) -> None:
        self.assertIsNone(self.a.told(self.b.answer(sample(2, THERE)), THERE, NOW))

    def test_who_cannot_be_dialled_is_not(self) -> None:
        self.a.question(sample(1))
        self.assertIsNone(self.a.told(self.b.answer(sample(2)), THERE, NOW))

    def test_a_flood_is_answered_so_often_and_read_so_often(self) -> None:
        question = self.a.question(sample(1))
        answered = sum(self.b.asks(question, 0, NOW) for _ in range(1_000))
        self.assertEqual((ANSWERS_AT_ONCE, READ_AT_ONCE), (answered, self.b.counters.questions))
        self.assertEqual(1_000 - ANSWERS_AT_ONCE, self.b.counters.over_bound)
        self.assertTrue(self.b.asks(question, 0, NOW + 10))

    def test_what_is_no_question_is_counted(self) -> None:
        others = (
            b"", bytes(8), encode(KeepAlive()), encode(Find(7, Meeting.QUERY, (sample(1),))),
            encode(Find(BASE, Meeting.REPLY, (sample(1),))), encode(Find(BASE, Meeting.QUERY)),
            self.a.question(sample(1))[:-4], self.a.question(sample(1)) + bytes(4),
            encode(Find(BASE, Meeting.QUERY, (sample(1), sample(3)))),
        )  # fmt: skip
        for datagram in others:
            self.assertFalse(self.b.asks(datagram, 0, NOW), datagram)
        self.assertEqual((len(others), 0), (self.b.counters.malformed, self.b.counters.questions))

    @given(st.binary(max_size=600))
    def test_whatever_comes_raises_nothing(self, datagram: bytes) -> None:
        node = OnLan(1 << 16, Random(1))
        node.asks(datagram, 0, NOW)
        node.told(datagram, THERE, NOW)
        self.assertEqual(2, node.counters.malformed)
