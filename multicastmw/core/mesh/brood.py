"""Who gets one stream from here: children, those who have to leave, and who is taken when the slots are full.

Second feeds have the places that nobody else wants: who has another parent leaves first, and at once.  Then
contributors first: who carries more, or as much and is far nearer, takes the place of the least.  Who has
nobody else is taken over the slots for a moment, of what they leave of the uplink.  Whoever has to go is fed
until it has found another parent, or for two seconds.
"""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import MASK, ahead, each
from multicastmw.core.mesh.place import between
from multicastmw.core.mesh.settings import (
    AT_ONCE,
    CATCH_UP,
    FULL_BACK_OFF,
    PARTING,
    SHED,
)
from multicastmw.core.mesh.theirs import gives_way
from multicastmw.wire.mesh import NOBODY, Graft, Prune, Refusal, Sample

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed

# What we chose.
OTHERS = 3  # that a refusal names
BACK_OFF = 1.0
NEVER = float("inf")


def _misses_next(graft: Graft) -> bool:
    """Does it wait for the very next packet, as its parent is silent or gone?"""
    return any(first == graft.sequence for first, _ in graft.missing)


class Brood:
    """`takers` get each packet: the children, and who is leaving."""

    def __init__(self, feed: "Feed") -> None:
        self.children: dict[Neighbour, None] = {}
        self.seconds: dict[Neighbour, None] = {}  # the children that have another parent, too
        self.takers: tuple[Neighbour, ...] = ()
        self.worst = NOBODY, 0  # of the child that gives way to another: its slots, its ms
        self._feed = feed
        self._leaving: dict[Neighbour, float] = {}  # no children any more, and fed until
        self._shed_at = NEVER

    # --- coming

    def adopt(self, child: Neighbour) -> None:
        """It is pushed to, unasked, as the stream begins."""
        self.children[child] = None
        self._count()

    def accept(self, by: Neighbour, graft: Graft, now: float) -> None:
        """It wants to be a child, and what it has missed."""
        refusal = self._objection(by, graft, now)
        if refusal is not None:
            self._refuse(by, refusal, now)
            return
        if by not in self.children or graft.second != (by in self.seconds):
            self._leaving.pop(by, None)
            self.children[by] = None
            self._is_second(by, graft.second)
            self._count()
        if not graft.second:
            self._catch_up(by, graft, now)

    def _is_second(self, child: Neighbour, is_second: bool) -> None:
        if is_second:
            self.seconds[child] = None
        else:
            self.seconds.pop(child, None)

    def _catch_up(self, by: Neighbour, graft: Graft, now: float) -> None:
        """What it has missed; who has not had the stream before does not miss what is old."""
        misses_next = _misses_next(graft)
        kept, number, end = self._feed.kept, graft.sequence, (self._feed.top + 1) & MASK
        behind = min(CATCH_UP, (end - number) & MASK) if not ahead(number, end) else 0
        for back in range(behind, 0, -1):
            again = (end - back) & MASK
            if kept.has(again) and (misses_next or not kept.is_old(again, now)):
                kept.give(by, again, now)
        for missed in each(graft.missing, AT_ONCE):
            if ahead(number, missed):
                kept.give(by, missed, now)

    def has_place(self, by: Neighbour) -> bool:
        """Free, or that of another one who gives way?"""
        slots = self._feed.slots
        return slots.has_any_for(self._feed) and (
            slots.free(self._feed) > 0 or slots.lent() > 0 or gives_way(self.worst, by.slots, by.rtt)
        )

    def _objection(self, by: Neighbour, graft: Graft, now: float) -> Refusal | None:
        feed = self._feed
        is_behind = ahead(graft.sequence - 1 & MASK, feed.top) and not graft.second
        if feed.top < 0 or not feed.is_fed or is_behind:
            return Refusal.NO_DATA
        if feed.is_upstream(by):
            return Refusal.LOOP
        if by in self.children or feed.slots.free(feed) > 0:
            return None
        if graft.second:
            return Refusal.FULL
        if feed.slots.take_back(feed, now):
            return None
        if feed.slots.has_any_for(feed) and self.children and gives_way(self.worst, by.slots, by.rtt):
            self._give_away(min(self.children, key=self._worth), (by.sample,), now)
            return None
        if _misses_next(graft) and feed.slots.spare(feed) > 0:
            self._shed_at = min(self._shed_at, now + SHED)
            feed.wake(self._shed_at)
            return None
        return Refusal.FULL

    def _refuse(self, by: Neighbour, refusal: Refusal, now: float, others: tuple[Sample, ...] = ()) -> None:
        self._feed.counters.refused += 1
        back_off = FULL_BACK_OFF if refusal is Refusal.FULL else BACK_OFF
        if refusal is Refusal.FULL:
            others += self._others_with_room(by, now)
        by.say(Prune(self._feed.key, refusal, others[:OTHERS], int(back_off * 1000)), now)

    def _others_with_room(self, besides: Neighbour, now: float) -> tuple[Sample, ...]:
        """The first are those over whom it would be nearest to the origin."""
        here = besides.sample.place
        with_room = [
            (theirs.cost / 5e5 + between(neighbour.sample.place, here), neighbour.node, neighbour.sample)
            for neighbour, theirs in self._feed.theirs.items()
            if theirs.free > 0 and now - theirs.at < 1.0 and neighbour is not besides and not neighbour.is_nat
        ]
        return tuple(sample for _, _, sample in sorted(with_room)[:OTHERS])

    # --- going

    def drop(self, child: Neighbour) -> None:
        """It is none, from now on."""
        if child in self.children or child in self._leaving:
            self.children.pop(child, None)
            self.seconds.pop(child, None)
            self._leaving.pop(child, None)
            self._count()

    def give_up_second(self, now: float) -> None:
        """The least of those who have another parent goes at once."""
        child = min(self.seconds, key=self._worth)
        self.drop(child)
        self._refuse(child, Refusal.FULL, now)

    def _worth(self, child: Neighbour) -> tuple[bool, int, float]:
        """The least gives way first."""
        return child not in self.seconds, child.slots, -child.rtt

    def _give_away(self, worst: Neighbour, others: tuple[Sample, ...], now: float) -> None:
        """Its place is another's; it is fed until it has found one, or for a moment."""
        self._leaving[worst] = now + PARTING
        self._feed.wake(now + PARTING)
        del self.children[worst]
        self.seconds.pop(worst, None)
        self._refuse(worst, Refusal.FULL, now, others)

    def tick(self, now: float) -> None:
        if now >= self._shed_at:
            self._shed(now)
        if self._leaving:
            self._let_go(now)

    def _shed(self, now: float) -> None:
        """Of those who were taken over the slots some have to go."""
        self._shed_at = NEVER
        while self.children and self._feed.slots.is_over(self._feed):
            self._give_away(min(self.children, key=self._worth), (), now)
            self._count()

    def _let_go(self, now: float) -> None:
        """Those whose time is over."""
        for child in [child for child, until in self._leaving.items() if until <= now]:
            del self._leaving[child]
        self._count()
        if self._leaving:
            self._feed.wake(min(self._leaving.values()))
        self._feed.unwanted(now)

    def _count(self) -> None:
        self.takers = (*self.children, *self._leaving)
        worst = min(self.children, key=self._worth, default=None)
        self.worst = (
            (min(worst.slots, NOBODY - 1), min(0xFFFF, round(worst.rtt * 1000))) if worst else (NOBODY, 0)
        )
        self._feed.slots.changed()
        self._feed.rerouted()
