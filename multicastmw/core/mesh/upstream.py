"""Where one stream comes from: the choice of a parent, of a better one, and of another when it falls silent.

             Have            Graft                    data
    parent ------> LOOKING -------> JOINING(j) ----------------> FED(parent = j)
                      ^               | refused, silent             |
                      +---------------+                             | silent, gone, pruned
                      +---------------------------------------------+

A better parent (better.py) is grafted while the old one feeds, and the old one is left when the first packet
of the new one is there; when the old one falls silent, another is found (silence.py).  Only a neighbour that
has more than we do is asked: who has what we lack does not have it from us.  Besides there may be a second
parent (second.py), and the first may change by the clock (rotation.py).
"""

from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING

from multicastmw.core.mesh.better import Better
from multicastmw.core.mesh.conduct import DROPPED, LOST, UNANSWERED
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import MASK, ahead
from multicastmw.core.mesh.rotation import Rotation
from multicastmw.core.mesh.second import Second, shared
from multicastmw.core.mesh.settings import (
    EARLY,
    GRAFT_PATIENCE,
    GUARD,
    LOSSY,
    LOSSY_LEAST,
    LOSSY_TIMES,
    MISBEHAVED_BACK_OFF,
    MISBEHAVED_BACK_OFF_MOST,
    PARTING,
    PRUNE_REST,
    SHORTER_LEAST,
    SILENT_LEAST,
    SILENT_PACKETS,
    STRAIGHT,
)
from multicastmw.core.mesh.silence import Silence
from multicastmw.core.mesh.theirs import Theirs
from multicastmw.wire.mesh import Graft, Held, Prune, Range, Refusal

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed

# What we chose.
LEFT_REST = 1.0  # seconds until a parent that has left us is asked again
FULL_COSTS = 0.5  # seconds that a way over somebody without room counts as longer
NO_WAY = 1.0
ANSWERS_LATE = 2.0  # seconds for which data still answer a graft, so that nobody is blamed for a full queue
PUSHY = 2.0  # seconds within which data after a prune are a nuisance
COST_MOST = 0xFFFFFFFF  # us, as it fits a Cost: a parent may say anything
NEVER = float("inf")


class Upstream:
    """A feed's parent, and the one that is to be it."""

    def __init__(self, feed: "Feed", now: float) -> None:
        self.parent: Neighbour | None = None
        self.joining: Neighbour | None = None
        self.fed_at = now  # when the parent sent something last
        self.stalled = False
        self._is_urgent = False  # the parent feeds us badly
        self.alone_since = now
        self.asked_at, self.joining_until = now, NEVER
        self._feed = feed
        self._lossy = 0
        self._parting_until = NEVER  # the parent has given our place away, and feeds us until
        self.better = Better(self, feed, now)
        self.silence = Silence(self, feed, now)
        self.second = Second(self, feed, now)
        self.rotation = Rotation(self, feed)

    @property
    def is_joining(self) -> bool:
        """Is somebody asked to be the parent?"""
        return self.joining is not None

    def silent_after(self) -> float:
        """Seconds without a packet that say that the parent is gone, if others have more."""
        rate = self._feed.rate
        return (max(SILENT_LEAST, SILENT_PACKETS / rate) if rate else SILENT_LEAST) + self._feed.gaps.late

    # --- the way here

    def path(self) -> tuple[int, ...]:
        """The nodes that its packets pass, this one last; empty where it is not known."""
        theirs = self._feed.theirs.get(self.parent) if self.parent else None
        return theirs.passes(self._feed.short) if theirs else ()

    def cost(self) -> int:
        """Microseconds from the origin, by half round trips; 0 where it is not known."""
        theirs = self._feed.theirs.get(self.parent) if self.parent else None
        if theirs is None or self.parent is None:
            return 0
        return min(COST_MOST, theirs.cost + int(self.parent.rtt * 5e5))

    def way(self, neighbour: Neighbour) -> float:
        """Seconds from the origin by that neighbour, as it says; longer if it has no room for us."""
        theirs = self._feed.theirs.get(neighbour)
        if theirs is None or not theirs.path or self._feed.short in theirs.path:
            return NO_WAY + neighbour.rtt
        is_full = not self.has_room(neighbour, theirs)
        return theirs.way(neighbour.rtt) + (FULL_COSTS if is_full else 0.0)

    def spare(self) -> Neighbour | None:
        """The nearest to the origin of those whose way passes no node that is between the origin and here."""
        feed, here = self._feed, self.path()
        if len(here) < 3:
            return None
        apart = (
            (theirs.way(neighbour.rtt), neighbour)
            for neighbour, theirs in feed.theirs.items()
            if theirs.path and neighbour not in feed.children and not shared(here, theirs.path)
        )
        return min(apart, key=itemgetter(0), default=(NEVER, None))[1]

    def is_straight(self, direct: float) -> bool:
        """Is the way about as short as it can be, where the origin is so many seconds of round trip away?"""
        return 0 < self.cost() < direct * 5e5 * STRAIGHT + SHORTER_LEAST

    def may_help(self, neighbour: Neighbour) -> bool:
        """Could it be fed by us with profit?  Not who is nearer to the origin, as far as is known."""
        theirs = self._feed.theirs.get(neighbour)
        return theirs is None or not theirs.path or theirs.cost > self.cost()

    # --- data

    def brought(self, by: Neighbour, now: float, is_new: bool = True) -> None:
        """Data came from one who is not the parent."""
        if self.second.is_it(by):
            self.second.brought(by, is_new, now)
        elif by is self.joining:
            self._joined(by, now)
        elif self.parent is None and self.joining is None and self._feed.wants():
            self.fed_by(by, now)
        else:
            theirs = self._feed.of(by)
            if theirs.mutes and now - theirs.asked_at < ANSWERS_LATE:
                theirs.mutes = 0  # it was too late for us, and it did answer
                self._feed.promised(by, -UNANSWERED, now)
            if now - theirs.pruned_at > PRUNE_REST:
                if theirs.pruned_at > now - PUSHY:
                    self._feed.disappoints(by, by.pushes(now), now)  # it was told, and goes on
                theirs.pruned_at = now
                self._feed.counters.unasked += 1
                by.say(Prune(self._feed.key), now)

    def _joined(self, new: Neighbour, now: float) -> None:
        """What the new parent sends is here: the old one is left."""
        old = self.parent
        self.join_no_more()
        if old is not None:
            self._feed.counters.switched += 1
            self._leave(old, now)
        self.fed_by(new, now)

    def another(self, new: Neighbour, now: float) -> None:
        """The second feed is the first one now, and that is told; the old one is left."""
        feed = self._feed
        for left in filter(None, (self.parent, self.joining)):
            self._leave(left, now)
        self.join_no_more()
        self.fed_by(new, now)
        new.say(Graft(feed.key, (feed.top + 1) & MASK), now)

    def _leave(self, old: Neighbour, now: float) -> None:
        """Who is suspected is pruned when it has sent something, or is released."""
        theirs = self._feed.of(old)
        theirs.fed_at = now
        if old is self._feed.suspicion.suspect:
            theirs.pruned_at = -NEVER
        else:
            theirs.pruned_at = now
            old.say(Prune(self._feed.key), now)

    def fed_by(self, by: Neighbour, now: float) -> None:
        """It is the parent from now on."""
        self.parent = by
        self._is_urgent = False
        self._feed.suspicion.another()
        self._feed.of(by).mutes = 0
        self._parting_until = NEVER
        self.fed_at = now
        self.stalled = False
        self._feed.gaps.mark = self._feed.top
        self.better.than_another()
        self.rotation.another(now)
        self._feed.brood.drop(by)
        self._feed.rerouted()
        self._feed.wake(now + self.silent_after())

    def asked(self) -> Iterator[Neighbour]:
        """Those who feed us, or were asked to."""
        return filter(None, (self.parent, self.joining, self.second.parent, self.second.joining))

    # --- whether another one may be the parent

    def may_feed(self, neighbour: Neighbour, theirs: Theirs, now: float) -> bool:
        """Has it room, and does not get it from us?"""
        return self.has_room(neighbour, theirs) and self.might_feed(neighbour, theirs, now)

    def might_feed(self, neighbour: Neighbour, theirs: Theirs, now: float) -> bool:
        """If it had room, would it be one?"""
        return (
            neighbour not in self._feed.children
            and not theirs.stalled
            and now >= theirs.refused_until
            and self._feed.short not in theirs.path
            and not self.second.is_it(neighbour)
        )

    def has_free_place(self, neighbour: Neighbour, theirs: Theirs, now: float) -> bool:
        """Would it take us beside the parent, as far as it has said lately, and nobody lose a place by it?"""
        return (
            bool(theirs.path)
            and theirs.free > 0
            and not theirs.lent
            and neighbour is not self.parent
            and self.may_feed(neighbour, theirs, now)
            and now - theirs.at <= self._feed.fresh_within
        )

    def has_room(self, neighbour: Neighbour, theirs: Theirs) -> bool:
        """For us: who carries more, or is nearer, takes the place of another."""
        return theirs.has_room(self._feed.own_slots, neighbour.rtt)

    def _move(self, now: float) -> None:
        """The parent has no place for us any more, and feeds us until another one does."""
        if self.joining or self._parting_until == NEVER or self.second.stands_in(now):
            return
        best, way_of_best = None, NEVER
        for neighbour, theirs in self._feed.theirs.items():
            if neighbour is self.parent or not theirs.path or not self.may_feed(neighbour, theirs, now):
                continue
            way = theirs.way(neighbour.rtt)
            if way < way_of_best:
                best, way_of_best = neighbour, way
        if best is not None:
            self.graft(best, now)
        else:
            self._feed.wake(now + 0.1)

    def is_lossy(self, lost: int, came: int, now: float) -> None:
        """So much of what the parent has did not come: twice running, and another one is looked for."""
        if self.parent is None or came + lost < LOSSY_LEAST or lost < LOSSY * (came + lost):
            self._lossy = 0
            return
        self._lossy += 1
        if self._lossy >= LOSSY_TIMES and self._parting_until == NEVER:
            self._lossy = 0
            self.keeps_back(self.parent, now, LOST)

    def keeps_back(self, by: Neighbour, now: float, points: float = DROPPED) -> None:
        """It has, or had, as our parent, what it does not send on: it is left, and another one looked for."""
        feed = self._feed
        feed.counters.kept_back += 1
        feed.of(by).refused(Refusal.MISBEHAVED, MISBEHAVED_BACK_OFF, now)
        feed.promised(by, points, now)
        if self.parent is by:  # else it is left already, or excluded
            self._is_urgent = True
            self._parting_until = now + PARTING
            feed.search(now)
            self._move(now)

    # --- what neighbours say

    def told(self, by: Neighbour, theirs: Theirs, held: Held, now: float) -> None:
        """A Have came."""
        if by is self.parent:
            if theirs.stalled:
                self.silence.defer(now)
        elif self.parent is None:
            if self.joining is None and not theirs.stalled:
                self.silence.repair(now)
        else:
            self.better.told(by, theirs, held, now)
            if now - self.fed_at > self.silent_after() and ahead(theirs.highest, self._feed.top):
                self.silence.shown(now)

    def pruned(self, by: Neighbour, prune: Prune, now: float) -> None:
        """It leaves, or will not be the parent."""
        if self.second.is_it(by):
            self.second.pruned(by, prune, now)
            self._rests(by, prune, now)
            return
        if by is self.joining:
            self.join_no_more()
        elif by is not self.parent:
            return
        elif prune.refusal == Refusal.FULL:
            self._parting_until = now + PARTING
        else:
            self._lost(now)
        self._rests(by, prune, now)
        if prune.alternatives:
            self._feed.try_out(prune.alternatives, now)
        if self.parent is None:
            self.silence.bereft(by, now)
        elif now - self.fed_at > self.silent_after():
            self.silence.repair(now)
        else:
            self._move(now)

    def _rests(self, by: Neighbour, prune: Prune, now: float) -> None:
        """It is not asked again so soon."""
        back_off = LEFT_REST if prune.refusal == Refusal.LEFT else prune.back_off / 1000
        self._feed.of(by).refused(prune.refusal, min(MISBEHAVED_BACK_OFF_MOST, back_off), now)

    def gone(self, by: Neighbour, now: float) -> None:
        """The link is no more."""
        self.second.gone(by, now)
        if by is self.joining:
            self.join_no_more()
        was_parent = by is self.parent
        if was_parent:
            self._lost(now)
        if self.parent is None:  # nor has the second one taken its place
            self._feed.counters.orphaned += was_parent
            self.silence.bereft(by, now)

    def leave(self, now: float) -> None:
        """It is wanted no more."""
        for neighbour in filter(None, (self.parent, self.joining)):
            neighbour.say(Prune(self._feed.key), now)
        self.second.leave(now)
        self.parent = None
        self._feed.rerouted()
        self.join_no_more()

    def _lost(self, now: float) -> None:
        if self.parent in self._feed.theirs:
            self._feed.of(self.parent).fed_at = now
        self.parent = None
        self._feed.rerouted()
        self.alone_since = now
        self._parting_until = NEVER
        self.second.stands_in(now)

    # --- joining

    def graft(self, neighbour: Neighbour, now: float) -> None:
        """Its data makes it the parent; until then it has a round trip, and the time to the next packet."""
        feed = self._feed
        if feed.top >= 0:
            sequence = (feed.top + 1) & MASK
        else:
            highest = feed.of(neighbour).highest
            sequence = highest if highest > EARLY else 0
        patience = max(GRAFT_PATIENCE, GUARD + 1.5 / feed.rate) if feed.rate else GRAFT_PATIENCE
        self.joining, self.asked_at = neighbour, now
        self.joining_until = now + neighbour.rtt + patience
        feed.counters.grafts += 1
        missing = feed.gaps.go_with(neighbour, feed.top, now)
        feed.of(neighbour).asked_at = now
        is_silent = self.parent is None or now - self.fed_at > self.silent_after()
        if feed.top >= 0 and (is_silent or self._is_urgent):
            missing += (Range(sequence, sequence),)  # the next one too: it is urgent
        neighbour.say(Graft(feed.key, sequence, missing), now)
        feed.wake(self.joining_until)

    def join_no_more(self) -> None:
        """Nobody is to be the parent for now."""
        self.joining, self.joining_until = None, NEVER

    # --- time

    def tick(self, now: float) -> None:
        if self.joining:
            if now >= self.joining_until:
                mute, feed = self.joining, self._feed
                theirs = feed.of(mute)
                theirs.did_not_answer(now)
                mute.say(Prune(feed.key), now)
                self.join_no_more()
                if theirs.highest >= 0 and (feed.top < 0 or ahead(theirs.highest, feed.top)):
                    feed.promised(mute, UNANSWERED, now)  # else it has no more than we do: the source pauses
                self.silence.repair(now)
            else:
                self._feed.wake(self.joining_until)
        if self._parting_until < NEVER:
            self._move(now)
            if now >= self._parting_until + PARTING:
                self._parting_until = NEVER
        if self._feed.wants():
            self.silence.watch(now)
            self.second.tick(now)
            self.rotation.tick(now)
