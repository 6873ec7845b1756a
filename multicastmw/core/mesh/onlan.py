"""Nodes of the mesh on one LAN: who asks there, who answers, and how much of either.

    seeds = lan:     asks by multicast ── Find QUERY ──> those with lan:, one in so many of which
                     dials one of them <── Find REPLY ──  answers, to the asker alone

It is a hint as any sample is: who is dialled shows in the link who it is.  Bytes in, bytes out; the sockets
are in net/lan.py.
"""

from random import Random
from typing import NamedTuple

from multicastmw.core.bucket import Bucket
from multicastmw.core.counters import Counters
from multicastmw.wire import cops
from multicastmw.wire.errors import PeerError
from multicastmw.wire.mesh import BASE, Address, Find, Meeting, Sample
from multicastmw.wire.messages import decode, encode

# What we chose.
LONGEST = 512  # bytes of a datagram that is looked at
ANSWERS = 8  # that a question is to have, about, however many there are
ANSWERS_A_SECOND, ANSWERS_AT_ONCE = 10, 20
READ_A_SECOND, READ_AT_ONCE = 50, 100
DIALLED_MOST = 2  # of those that answer one question


class LanCounters(Counters):
    """Datagrams, and what became of them."""

    __slots__ = ("answered", "answers", "asked", "malformed", "over_bound", "questions")
    answered: int
    answers: int
    asked: int
    malformed: int
    over_bound: int
    questions: int


class Place(NamedTuple):
    """A node that can be dialled."""

    node: int
    host: str
    port: int


class OnLan:
    """One node's questions and answers."""

    def __init__(self, node: int, rng: Random) -> None:
        self.counters = LanCounters()
        self._node = node
        self._rng = rng
        self._reads = Bucket(READ_A_SECOND, READ_AT_ONCE)
        self._answers = Bucket(ANSWERS_A_SECOND, ANSWERS_AT_ONCE)
        self._dials_left = 0

    def question(self, sample: Sample) -> bytes:
        """To ask with; the sample is this node's own."""
        self.counters.asked += 1
        self._dials_left = DIALLED_MOST
        return encode(Find(BASE, Meeting.QUERY, (sample,)))

    def asks(self, datagram: bytes, known: int, now: float) -> bool:
        """Is it a question of another node, and is it for us to answer, who know of so many nodes?"""
        found = self._read(datagram, Meeting.QUERY, now)
        if found is None or found.node == self._node:
            return False
        self.counters.questions += 1
        if self._rng.random() * (known + 1) >= ANSWERS:
            return False
        if not self._answers.allows(now):
            self.counters.over_bound += 1
            return False
        self.counters.answered += 1
        return True

    def answer(self, sample: Sample) -> bytes:
        """The sample has the address where the asker sees this node."""
        return encode(Find(BASE, Meeting.REPLY, (sample,)))

    def told(self, datagram: bytes, host: str, now: float) -> Place | None:
        """Whom to dial, of what came from there in answer: at its own address, whatever it says."""
        found = self._read(datagram, Meeting.REPLY, now)
        if found is None or found.node == self._node:
            return None
        self.counters.answers += 1
        if self._dials_left <= 0 or not found.addresses:
            return None
        self._dials_left -= 1
        return Place(found.node, host, found.addresses[0].port)

    def _read(self, datagram: bytes, kind: int, now: float) -> Sample | None:
        """The sample of whoever sent it; what is none is counted."""
        if not self._reads.allows(now):
            self.counters.over_bound += 1
            return None
        found = _find(datagram)
        if found is None or found.group != BASE or found.kind != kind or len(found.samples) != 1:
            self.counters.malformed += 1
            return None
        return found.samples[0]


def _find(datagram: bytes) -> Find | None:
    if not cops.HEADER_TWIN.size <= len(datagram) <= LONGEST:
        return None
    try:
        if cops.message_length(datagram) != len(datagram):
            return None
        message = decode(datagram).message
    except PeerError:
        return None
    return message if isinstance(message, Find) else None


def seen_at(sample: Sample, addresses: tuple[Address, ...]) -> Sample:
    """This node's sample, for whoever sees it at these addresses."""
    return sample._replace(addresses=addresses[:1])
