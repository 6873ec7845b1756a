"""Numbers of one stream that have not come: when each is asked for, of whom, and when it is given up.

Below the parent's low-water mark all was sent, and what is missing was lost on the way: it is asked for when
nothing can have overtaken it any more.  Above the mark the parent is fetching it itself, and is given time.
"""

from collections.abc import Container, Mapping
from itertools import takewhile
from typing import Any, Protocol

from multicastmw.core.mesh.conduct import DELIVERED, PROMISED
from multicastmw.core.mesh.numbers import HALF, MASK, ahead, among, ranges
from multicastmw.core.mesh.reordering import Reordering
from multicastmw.core.mesh.settings import (
    AT_ONCE,
    GAP_WAIT,
    MISSING_MAX,
    NACK_EXTRA,
    NACK_FACTOR,
    NACK_REST,
    NACK_SOON,
    NACK_TRIES,
)
from multicastmw.core.mesh.theirs import Theirs
from multicastmw.wire.mesh import ASKED_MAX, RANGES_MAX, Nack, Range, StreamKey

# What we chose.
SKIPPED_LEAST = 256  # numbers that are asked for of one gap, however slow the stream is
KNOWN_FOR = 2.0  # seconds after which what a neighbour said it has is not believed any more
NOBODY_REST = 0.05  # seconds until a neighbour is looked for again who has it
PROMISE = 1.0  # seconds within which who sends anything again is not blamed for the rest
AGAIN = 1.0  # seconds of distance that having been asked already counts as
NEVER = float("inf")


class Source(Protocol):
    """Who can be asked: a neighbour in the mesh, or the other end of a static link."""

    rebuilds_within: float  # seconds in which what is missing may come by itself: forward error correction

    @property
    def rtt(self) -> float:
        """Seconds."""

    def say(self, message: Nack, now: float) -> None: ...


class GapCounters(Protocol):
    """Packets of a stream."""

    asked: int
    given_up: int
    missed: int
    recovered: int


class Owner(Protocol):
    """The stream that it is missing of: a feed of the mesh, or a repair on static links."""

    key: StreamKey
    rate: float  # packets/s

    @property
    def counters(self) -> GapCounters: ...
    @property
    def deadline(self) -> float:
        """Seconds after which nothing is asked for any more; 0: nothing is at all."""

    @property
    def parent(self) -> Source | None:
        """Where it comes from."""

    @property
    def theirs(self) -> Mapping[Any, Theirs]:
        """What others have said."""

    @property
    def children(self) -> Container[Any]:
        """Who gets it from here, and is not asked."""

    def of(self, source: Any) -> Theirs:
        """What this one has said."""

    def may_ask(self, source: Any, now: float) -> bool:
        """Once more, now?"""

    def promised(self, source: Any, points: float, now: float) -> None:
        """It kept a promise, or broke one."""

    def wake(self, at: float) -> None: ...


class Miss:
    """A number that has not come."""

    __slots__ = ("ask_at", "asked", "noticed", "sent_by", "tries")

    def __init__(self, now: float, ask_at: float) -> None:
        self.noticed = now
        self.ask_at = ask_at
        self.tries = 0
        self.asked: Source | None = None
        self.sent_by = NEVER  # when it was first seen that the parent has sent it


class Request:
    """Numbers that are asked for in one message: not more ranges than it has, nor packets than it brings.

    `besides`: others that it asks for, with a range each.
    """

    __slots__ = ("_besides", "count", "ranges")

    def __init__(self, besides: int = 0) -> None:
        self.ranges: list[Range] = []
        self.count = 0
        self._besides = besides

    def takes(self, number: int) -> bool:
        """A later number than the ones before, if there is room for it."""
        if self.count >= AT_ONCE - self._besides:
            return False
        if self.ranges and number == (self.ranges[-1].last + 1) & MASK:
            self.ranges[-1] = Range(self.ranges[-1].first, number)
        elif len(self.ranges) < ASKED_MAX - self._besides:
            self.ranges.append(Range(number, number))
        else:
            return False
        self.count += 1
        return True


class Gaps:
    """What is missing of a stream; `numbers` is in ascending order."""

    def __init__(self, feed: Owner) -> None:
        self.numbers: dict[int, Miss] = {}
        self.mark = 0  # below it the parent has everything
        self._noted = -1  # all up to it that did not come are known to be missing, or were given up
        self.lag = 0.0  # seconds that one of two feeds is behind: what is missing may come by it
        self.lost = 0  # on the way from the parent, since somebody looked
        self._feed = feed
        self._reordering = Reordering()

    def low_water(self, sequence: int) -> int:
        """How far below this number the first one is that is missing here; 0: nothing is."""
        for lowest in self.numbers:
            behind = (sequence - lowest) & MASK
            return min(255, behind) if behind < HALF else 0
        return 0

    def told(self, top: int) -> tuple[Range, ...]:
        """For a Have up to this number."""
        if not self.numbers:
            return ()
        return ranges(takewhile(lambda number: not ahead(number, top), self.numbers), RANGES_MAX)

    @property
    def late(self) -> float:
        """Seconds by which packets come out of order, where they do by more than is usual."""
        return self._reordering.late

    def fade(self, seconds: float) -> None:
        """So long went by."""
        self._reordering.fade(seconds)

    # --- numbers come and do not come

    def skipped(self, top: int, step: int, now: float) -> None:
        """The number after `top` that came is so many steps further."""
        if step > MISSING_MAX:
            self.clear()  # that is no loss: it began anew elsewhere
            return
        feed = self._feed
        known = (self._noted - top) & MASK if self._noted >= 0 else 0
        if known >= step and not self.numbers:
            known = 0  # one of them comes after all were given up: so may the others
        if 0 < known <= MISSING_MAX:  # somebody has said that there are so many
            if known >= step - 1:
                return
            top, step = self._noted, step - known
        self._noted = (top + step - 1) & MASK
        feed.counters.missed += step - 1
        if not feed.deadline:
            return
        most = max(SKIPPED_LEAST, int(feed.rate * feed.deadline))
        if step > most:  # of many, those alone are asked for that could be here in time
            feed.counters.given_up += step - most
            top, step = (top + step - most) & MASK, most
        guard = self._guard()
        # the parent's guard is as long as ours, and what it gets may be late
        wait = max(GAP_WAIT + 2 * self.late, guard)
        for back in range(1, step):
            number = (top + back) & MASK
            miss = self.numbers[number] = Miss(now, now + wait)
            if (number - self.mark) & MASK >= HALF:
                self._was_sent(miss, guard, now)
        while len(self.numbers) > MISSING_MAX:
            self._give_up(next(iter(self.numbers)))
        feed.wake(now + guard)

    def clear(self) -> None:
        """Nothing is missing any more."""
        self._feed.counters.given_up += len(self.numbers)
        self.numbers.clear()
        self._noted = -1

    def passed(self, before: int, top: int) -> None:
        """All after the one number up to the other came."""
        for number in [each for each in self.numbers if ahead(each, before) and not ahead(each, top)]:
            miss = self.numbers.pop(number)
            self._feed.counters.recovered += 1
            if miss.sent_by < NEVER:
                self._was_no_loss()

    def _guard(self) -> float:
        """Seconds until what is missing is asked for: it is late, or is rebuilt, or the other parent's."""
        parent = self._feed.parent
        within = parent.rebuilds_within if parent is not None else 0.0
        return max(self._reordering.guard(self._feed.rate), within) + self.lag

    def _was_sent(self, miss: Miss, guard: float, now: float) -> None:
        """By the parent: so it was lost on the way, or was overtaken."""
        self.lost += 1
        miss.sent_by, miss.ask_at = now, now + guard

    def parent_has(self, mark: int, now: float) -> None:
        """The parent's low water rises: all below was lost on the way, or comes with the next packets."""
        if (mark - self.mark) & MASK >= HALF:
            return
        self.mark = mark
        guard = self._guard()
        for number, miss in self.numbers.items():
            if (number - mark) & MASK < HALF:
                break
            if not miss.tries and miss.sent_by == NEVER:
                self._was_sent(miss, guard, now)
                self._feed.wake(miss.ask_at)

    def found(self, number: int, by: Source | None, resent: bool, now: float) -> None:
        miss = self.numbers.pop(number, None)
        if miss is None:
            return
        self._feed.counters.recovered += 1
        if resent:
            self._reordering.came_resent(number, miss.sent_by)
            if by is not None and miss.asked is by:
                self._feed.of(by).kept_at = now
                self._feed.promised(by, DELIVERED, now)
        elif miss.sent_by < NEVER and by is self._feed.parent:
            self._came_late(miss, now)

    def _was_no_loss(self) -> None:
        self.lost = max(0, self.lost - 1)

    def _came_late(self, miss: Miss, now: float) -> None:
        self._was_no_loss()
        self._reordering.came(miss.sent_by, self._feed.rate, now)

    def doubled(self, number: int, now: float) -> None:
        """The parent's own copy of what was sent again, perhaps."""
        self._reordering.came_twice(number, self._feed.rate, now)

    def _give_up(self, number: int) -> None:
        del self.numbers[number]
        self._feed.counters.given_up += 1

    # --- asking

    def go_with(self, neighbour: Source, top: int, now: float) -> tuple[Range, ...]:
        """Those before this number are asked for in a graft, which asks for the next packet as well; the rest
        is as it was."""
        again = now + NACK_FACTOR * neighbour.rtt + NACK_EXTRA + self.late
        request = Request(besides=1)
        for number, miss in self.numbers.items():
            if ahead(number, top) or not request.takes(number):
                break
            miss.ask_at = again
            miss.asked = neighbour
        return tuple(request.ranges)

    def ask(self, now: float) -> None:
        """Nacks what is due, one message a neighbour."""
        asks: dict[Source, Request] = {}
        due = NEVER
        deadline = self._feed.deadline
        for number, miss in list(self.numbers.items()):
            if now - miss.noticed >= deadline:
                self._give_up(number)
                continue
            if miss.ask_at <= now and miss.tries < NACK_TRIES:
                self._ask_one(number, miss, asks, now)
            due = min(due, miss.ask_at if miss.tries < NACK_TRIES else miss.noticed + deadline)
        for whom, request in asks.items():
            self._feed.counters.asked += request.count
            self._feed.of(whom).asked_at = now
            whom.say(Nack(self._feed.key, tuple(request.ranges)), now)
        if due < NEVER:
            self._feed.wake(max(due, now + 0.01))

    def _ask_one(self, number: int, miss: Miss, asks: dict[Source, Request], now: float) -> None:
        if miss.tries and miss.asked is not None:
            self._did_not_send(miss.asked, number, now)  # which may be the end of it
        whom = self._whom(number, miss, now)
        if whom is None:
            miss.ask_at = now + NOBODY_REST
            return
        request = asks.get(whom)
        if request is None and self._feed.may_ask(whom, now):
            request = asks[whom] = Request()
        if request is None or not request.takes(number):
            miss.ask_at = now + NACK_REST
            return
        miss.tries += 1
        miss.asked = whom
        miss.ask_at = now + self._patience(whom, miss, now)

    def _patience(self, whom: Source, miss: Miss, now: float) -> float:
        """Seconds until the next try: a round trip and a bit; from the third on twice as long each time, but
        so that there is a place for all before the deadline: who is away for a moment is asked again then."""
        least = NACK_FACTOR * whom.rtt + NACK_EXTRA + self.late
        doubled = miss.tries - NACK_SOON
        if doubled < 0:
            return least
        left = miss.noticed + self._feed.deadline - now
        share = left / max(1, NACK_TRIES + 1 - miss.tries)
        return max(least, min(share, least * (2 << doubled)))

    def _did_not_send(self, whom: Source, number: int, now: float) -> None:
        """Had it said that it has it, and sends nothing at all?  A second counts once."""
        theirs = self._feed.theirs.get(whom)
        if theirs is None or theirs.highest < 0 or ahead(number, theirs.highest):
            return
        if among(number, theirs.missing) or now - theirs.kept_at < PROMISE:
            return
        theirs.kept_at = now
        self._feed.promised(whom, PROMISED, now)

    def _whom(self, number: int, miss: Miss, now: float) -> Source | None:
        """The parent first, then whoever says that it has it; nobody twice in a row, if there is another."""
        parent = self._feed.parent
        if parent is not None and not miss.tries:
            return parent
        best: Source | None = None
        rank_of_best = NEVER
        for neighbour, theirs in self._feed.theirs.items():
            if theirs.highest < 0 or now - theirs.at > KNOWN_FOR or ahead(number, theirs.highest):
                continue
            if among(number, theirs.missing) or neighbour in self._feed.children:
                continue
            rank = neighbour.rtt + (AGAIN if neighbour is miss.asked else 0.0)
            if rank < rank_of_best:
                best, rank_of_best = neighbour, rank
        return best or parent
