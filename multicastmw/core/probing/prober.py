"""The prober: a destination in this process through which nodes ask each other.

    a datagram of the group ── bounds, reading ──> Answering (others' questions)
                                              └──> Asking    (answers to our own)
    what these want to say ── waits until its time ── bounds ── originated, as a program's packet is

Nothing is sent while a packet is delivered: what is said waits, if only for the next turn, and an answer
tells how long it was held back, so that the asker's round trip is the way's alone.

Whatever a stranger or a broken node asks, this node reads so many datagrams a second and sends so many.  What
our own people ask has shares of its own in all of it: what is read of their answers, what waits and what is
sent.  So whoever asks us too much takes nothing from them.
"""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import NamedTuple, Protocol

from multicastmw.core.addressing import Channel
from multicastmw.core.bucket import Bucket
from multicastmw.core.counters import Counters
from multicastmw.core.identity import node_of
from multicastmw.core.packet import Packet
from multicastmw.core.probing.answering import Answering, Facts
from multicastmw.core.routing import Router
from multicastmw.wire.data import HEADER_SIZE, IPV4, TWIN
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import TTL_OFFSET, Buffer
from multicastmw.wire.probe import GROUP, Body, Head, Kind, body_of, encode, glance, head_of, unwrap

# What we chose: of one node, a second; of our own people's questions the same once more.
READ_A_SECOND, READ_AT_ONCE = 1_000, 4_000  # datagrams; what 500 nodes answer at once
SENT_A_SECOND, SENT_AT_ONCE = 100, 200
ASKED_A_SECOND, ASKED_AT_ONCE = 50, 200  # questions that are looked at
WAITING_MAX = 1_024  # datagrams that wait for their time
ASKING_MAX = 4  # questions of this node's own people at a time

MICRO = 1_000_000
CLOCK_MASK = 0xFFFF_FFFF
QUESTIONS = (Kind.PING, Kind.SURVEY, Kind.PROBE, Kind.COLLECT, Kind.TRACE)


class ProbeCounters(Counters):
    """What came, what was said, and what was not."""

    __slots__ = (
        "answers", "answers_over_rate", "forged", "malformed", "not_for_us", "not_sent", "our_own_not_sent",
        "over_rate", "questions", "refused", "repeated", "sent", "unknown_kind",
    )  # fmt: skip
    answers: int  # to questions of ours
    answers_over_rate: int  # of these, not read
    forged: int  # questions in another node's name
    malformed: int
    not_for_us: int  # answers that others asked for
    not_sent: int  # above the rate, or too much waits
    our_own_not_sent: int  # of our own people's questions, for the same reasons
    over_rate: int  # not read
    questions: int
    refused: int  # surveys above the bound
    repeated: int
    sent: int
    unknown_kind: int


class Busy(Exception):
    """Why a question is not asked now."""


class Said(NamedTuple):
    """A datagram that waits; its `time` is filled in when it goes: `held` since then, or our clock."""

    head: Head
    body: Body
    held: float | None = None
    is_stamped: bool = False


class Outlet:
    """Datagrams that wait for their time: so many, and so many a second go out."""

    __slots__ = ("_may_send", "_order", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Said]] = []
        self._order = count()
        self._may_send = Bucket(SENT_A_SECOND, SENT_AT_ONCE)

    def put(self, said: Said, at: float) -> bool:
        """False where too much waits."""
        if len(self._waiting) >= WAITING_MAX:
            return False
        heappush(self._waiting, (at, next(self._order), said))
        return True

    def deadline(self) -> float:
        return self._waiting[0][0] if self._waiting else inf

    def due(self, now: float) -> Iterator[Said]:
        while self._waiting and self._waiting[0][0] <= now:
            yield heappop(self._waiting)[2]

    def may_send(self, now: float) -> bool:
        return self._may_send.allows(now)

    def clear(self) -> None:
        self._waiting.clear()


class Asker(Protocol):
    """A question of ours, while it is asked: see asking.py."""

    run: int
    is_over: bool

    def deadline(self) -> float: ...
    def tick(self, now: float) -> Iterator[tuple[Head, Body]]: ...
    def accept(self, head: Head, body: Body, node: int, hops: int, now: float) -> None: ...


class Prober:
    """This node's end; `send` takes a payload, `pick` draws from a range, `wake` winds the clock.

    `clock` says what time it is: a packet's own is that of the wake-up which read it, and that may have been
    before it came, by as much as those before it took.
    """

    name = "probing"
    local = True

    def __init__(
        self,
        node: int,
        router: Router,
        facts: Facts,
        send: Callable[[bytes, float], None],
        pick: Callable[[float, float], float],
        clock: Callable[[], float],
    ) -> None:
        self.node = node
        self.counters = ProbeCounters()
        self.wake: Callable[[], None] = lambda: None
        self.is_open = False
        self._router = router
        self._facts = facts
        self._send = send
        self._clock = clock
        self._answering = Answering(node, facts, self.say, pick, self.counters)
        self._asking: dict[int, Asker] = {}
        self._ours, self._others = Outlet(), Outlet()
        self._may_read = Bucket(READ_A_SECOND, READ_AT_ONCE)
        self._may_read_ours = Bucket(READ_A_SECOND, READ_AT_ONCE)
        self._may_be_asked = Bucket(ASKED_A_SECOND, ASKED_AT_ONCE)
        router.attach(self)

    # --- its place in the overlay

    def open(self) -> None:
        """Takes part."""
        self.is_open = True
        self._router.subscribe(self, Channel(GROUP))

    def close(self) -> None:
        """Takes part no longer."""
        self.is_open = False
        self._router.unsubscribe(self, Channel(GROUP))
        self._ours.clear()
        self._others.clear()

    def others_changed(self, channel: Channel) -> None:
        """Who wants our group makes no difference."""

    def deliver(self, packet: Packet) -> None:
        if not self.is_open:
            return
        inner = packet.view[HEADER_SIZE : HEADER_SIZE + packet.length]
        if not self._is_read(inner, packet.now):
            return
        try:
            if packet.kind != IPV4:
                raise Malformed("not IPv4")
            payload = unwrap(inner)
            head = head_of(payload)
            if head is None:
                self.counters.unknown_kind += 1
                return
            if head.kind not in QUESTIONS and (head.asker != self.node or head.run not in self._asking):
                self.counters.not_for_us += 1
                return
            body = body_of(head, payload)
        except Malformed:
            self.counters.malformed += 1
            return
        origin = TWIN.unpack_from(packet.buffer)[5]
        hops = max(0, inner[TTL_OFFSET] - packet.hop_limit)
        self._take(head, body, node_of(origin), hops, self._clock())

    def _is_read(self, inner: Buffer, now: float) -> bool:
        """What seems to be of our own questions is not counted with the rest."""
        run, asker = (self._asking and glance(inner)) or (0, 0)
        if asker == self.node and run in self._asking:
            if self._may_read_ours.allows(now):
                return True
            self.counters.answers_over_rate += 1
            return False
        if self._may_read.allows(now):
            return True
        self.counters.over_rate += 1
        return False

    def _take(self, head: Head, body: Body, node: int, hops: int, now: float) -> None:
        if head.kind in QUESTIONS:
            if head.kind != Kind.PROBE and (head.asker != node or node == self.node):
                self.counters.forged += 1
                return
            if head.kind != Kind.PROBE:
                if not self._may_be_asked.allows(now):
                    self.counters.over_rate += 1
                    return
                self.counters.questions += 1
            self._answering.accept(head, body, node, hops, now)
            return
        self.counters.answers += 1
        self._asking[head.run].accept(head, body, node, hops, now)
        self.wake()

    # --- what is said

    def say(
        self, head: Head, body: Body, at: float, held: float | None = None, stamped: bool = False
    ) -> None:
        """At that time, if there is room; `held` is since when it could have been said."""
        outlet = self._ours if head.asker == self.node else self._others
        if outlet.put(Said(head, body, held, stamped), at):
            self.wake()
        else:
            self._not_sent(outlet)

    def _not_sent(self, outlet: Outlet) -> None:
        if outlet is self._ours:
            self.counters.our_own_not_sent += 1
        else:
            self.counters.not_sent += 1

    def deadline(self) -> float:
        askers = (asker.deadline() for asker in self._asking.values())
        return min(self._ours.deadline(), self._others.deadline(), *askers)

    def tick(self, now: float) -> None:
        for asker in list(self._asking.values()):
            for head, body in asker.tick(now):
                self._ask(head, body, now)
            if asker.is_over:
                self._asking.pop(asker.run, None)
        for outlet in (self._ours, self._others):
            for said in outlet.due(now):
                self._say_now(said, outlet, now)

    def _ask(self, head: Head, body: Body, now: float) -> None:
        """A question of ours goes out, and is this node's to answer, too."""
        self.say(head, body, now)
        self._answering.accept(head, body, self.node, 0, now)

    def _say_now(self, said: Said, outlet: Outlet, now: float) -> None:
        head = said.head
        if said.held is not None:
            head = head._replace(time=min(CLOCK_MASK, max(0, int((now - said.held) * MICRO))))
        elif said.is_stamped:
            head = head._replace(time=int(self._clock() * MICRO) & CLOCK_MASK)
        if head.asker == self.node and head.kind not in QUESTIONS:  # our own answer to ourselves
            if asker := self._asking.get(head.run):
                asker.accept(head, said.body, self.node, 0, now)
            return
        if not outlet.may_send(now):
            self._not_sent(outlet)
            return
        self.counters.sent += 1
        self._send(encode(head, said.body), now)

    # --- what our own people ask

    def ask(self, asker: Asker) -> None:
        """From now on; raises Busy."""
        if not self.is_open:
            raise Busy("[groups] keeps 239.255.77.68 out, by which nodes ask each other")
        if len(self._asking) >= ASKING_MAX:
            raise Busy(f"{len(self._asking)} such questions are being asked, and more at a time are not")
        self._asking[asker.run] = asker
        self.wake()

    def give_up(self, asker: Asker) -> None:
        """Whoever asked has gone."""
        self._asking.pop(asker.run, None)
