"""What is done when the parent of a stream falls silent: another one is found, and the subtree told to wait.

When nothing comes for three packets' time the best of those who have said that they have more is asked to be
the parent, and the three nearest for the next packet: who sends it is alive, and ahead.  Who is asked may be
dead, or far: one who has spoken since and would answer sooner takes its place.  Meanwhile the children are
told (STALL), so that they wait for their head.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import MASK, ahead
from multicastmw.core.mesh.settings import (
    DEFER,
    GUARD,
    LIVE,
    LOOK,
    POLLED,
    SILENT_LEAST,
    TOTAL_SILENCE,
)
from multicastmw.core.mesh.theirs import Theirs
from multicastmw.wire.mesh import Have, Nack, Prune, Range

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.core.mesh.upstream import Upstream

# What we chose.
DEFERRED_MOST = 1.0  # seconds of silence for which a parent may keep us waiting (STALL)
SOONER = 0.02  # seconds by which another one has to answer sooner to be asked instead
SLOW_PATIENCE = 0.3  # seconds in which a packet that others have comes from the parent, too
LEAPS, LEAP_REST = 3, 2.0  # in so many seconds: one may be dead as well, but the source may only pause
ANSWER = 0.1  # seconds beyond a round trip in which who is asked for the next packet says something
FAR = 0.2  # seconds of round trip: until such a one has answered, somebody else may have been found
ALONE_REST = 10.0  # seconds between two searches for somebody beside the silent one, for the same reason
NEVER = float("inf")


def _distance(neighbour: Neighbour) -> float:
    return neighbour.rtt


class Silence:
    """One feed's."""

    def __init__(self, upstream: "Upstream", feed: "Feed", now: float) -> None:
        self.polled_at = -NEVER
        self._upstream = upstream
        self._feed = feed
        self._deferred_until = now
        self._poll_at = self._leap_at = -NEVER
        self._leaps = 0
        self._asked_around_at = -NEVER  # when the nearest were asked first, since it is silent
        self._answer_by = -NEVER
        self._alone_until = -NEVER
        self._shown_at = -NEVER  # when it was seen that others have more, of a stream that pauses for long

    def defer(self, now: float) -> None:
        """The parent is silent itself, and looks for another one."""
        self._deferred_until = min(now + DEFER, self._upstream.fed_at + DEFERRED_MOST)
        self.stall(now)

    def bereft(self, lost: Neighbour, now: float) -> None:
        """The parent is gone for certain: nobody has to say first that there is more."""
        self.repair(now)
        feed = self._feed
        if self._upstream.joining is None and feed.wants() and not feed.is_slow and feed.is_live:
            self.stall(now)
            self._leap(lost, now)
            self._poll(now)

    # --- time

    def watch(self, now: float) -> None:
        """Does it still come?"""
        feed, upstream = self._feed, self._upstream
        if feed.is_slow and upstream.parent is not None:
            if self._shown_at > feed.moved_at:
                self.shown(now)
            return
        if now - feed.moved_at > LIVE and feed.top >= 0:
            return  # the source has stopped; a Have that says otherwise wakes it
        if upstream.parent is not None:
            silent_at = upstream.fed_at + upstream.silent_after()
            if now < silent_at:
                feed.wake(max(silent_at, now + LOOK))  # what a Have shows earlier is looked at when it comes
            elif not upstream.second.takes_over(now):
                self._is_silent(now)
        elif not upstream.is_joining:
            self.repair(now)
            if not upstream.is_joining:
                self._poll(now)
        alone_since = max(feed.moved_at, upstream.alone_since)
        if not upstream.is_joining and now - alone_since > TOTAL_SILENCE:
            self._look_further(now)

    def _is_silent(self, now: float) -> None:
        self._feed.wake(now + SILENT_LEAST)
        if self._others_have_more(now):
            self.silent(now)
        elif self._upstream.parent is not None:
            self.stall(now)
            self._leap(self._upstream.parent, now)
            self._poll(now)
            if self._is_deserted(now):
                self._look_besides(now)

    def _is_deserted(self, now: float) -> bool:
        """Were the nearest asked, and has nobody spoken since?  Where the source pauses they say so."""
        asked_at = self._asked_around_at
        if asked_at <= self._upstream.fed_at or now < self._answer_by:
            return False
        return all(
            theirs.at <= asked_at
            for neighbour, theirs in self._feed.theirs.items()
            if neighbour not in self._feed.children
        )

    def _leap(self, lost: Neighbour, now: float) -> None:
        """Nobody has said that there is more: one whose way is not over who is lost is grafted all the same.

        It becomes the parent by sending data, so that no loop comes of it; if it does not, it is pruned.
        Where there is nobody beside who is lost, or only one far away, others are looked for at once.
        """
        if now >= self._leap_at:
            self._leaps = 0
        upstream = self._upstream
        if upstream.joining or now < self._deferred_until or self._leaps >= LEAPS:
            return
        best = self._best(
            lambda neighbour, theirs: self._is_beside(lost, neighbour, theirs, now), upstream.fed_at
        )
        if best is not None:
            self._leaps, self._leap_at = self._leaps + 1, now + LEAP_REST
            upstream.graft(best, now)
        if best is None or best.rtt > FAR:
            self._look_besides(now)

    def _look_besides(self, now: float) -> None:
        """Nobody who is known, or is near, could help; but the streams that many senders share just pause."""
        if now >= self._alone_until and not self._feed.is_shared:
            self._alone_until = now + ALONE_REST
            self._feed.search(now)

    def _is_beside(self, lost: Neighbour, neighbour: Neighbour, theirs: Theirs, now: float) -> bool:
        """Has it a way of its own, past who is lost?  Who has no parent any more is taken over the slots, or
        gets the place that the lost one had."""
        upstream = self._upstream
        return (
            neighbour is not lost
            and bool(theirs.path)
            and lost.node >> 32 not in theirs.path
            and upstream.might_feed(neighbour, theirs, now)
            and (upstream.parent is None or upstream.has_room(neighbour, theirs))
        )

    def _others_have_more(self, now: float) -> bool:
        horizon, top = now - self._feed.fresh_within, self._feed.top
        return any(
            theirs.at >= horizon and ahead(theirs.highest, top)
            for neighbour, theirs in self._feed.theirs.items()
            if neighbour is not self._upstream.parent
        )

    def _look_further(self, now: float) -> None:
        """Nobody who could help is near: others are asked."""
        horizon = now - self._feed.fresh_within
        is_somebody_there = any(theirs.at >= horizon for theirs in self._feed.theirs.values())
        if self._upstream.parent is not None and is_somebody_there and not self._others_have_more(now):
            return  # they live, and have no more than we do
        self._feed.search(now)
        self._feed.wake(now + TOTAL_SILENCE)

    def shown(self, now: float) -> None:
        """Others have more than we do, and nothing comes from the parent.

        Of a stream that pauses for long that may be the next packet, which is on its way here as well.
        """
        feed, parent = self._feed, self._upstream.parent
        if self._upstream.second.takes_over(now):
            return
        if not feed.is_slow or parent is None:
            self.silent(now)
            return
        if self._shown_at <= feed.moved_at:
            self._shown_at = now
        patience = SLOW_PATIENCE + 2 * parent.rtt
        if now < self._shown_at + patience:
            feed.wake(self._shown_at + patience)
        elif self._others_have_more(now):
            self._shown_at = now  # and once more then
            feed.wake(now + patience)
            self.silent(now)

    # --- asking

    def silent(self, now: float) -> None:
        """The parent sends nothing, and others have more."""
        if now < self._deferred_until:
            return
        if self._upstream.joining:
            self._hasten(now)
        else:
            self._feed.counters.orphaned += 1
            if self._upstream.parent is not None and not self._feed.is_slow:
                self._feed.suspicion.silent(self._upstream.parent, now)
            self.repair(now)
            if not self._upstream.joining:  # they have more, and have no room
                self._look_besides(now)
            self._poll(now)  # one who is nearer may have it as well, and has only not said so yet

    def repair(self, now: float) -> None:
        """Asks the best of those who have more."""
        if self._upstream.joining or not self._feed.wants():
            return
        best = self._best_ahead(now)
        if best is None:
            self._feed.wake(now + TOTAL_SILENCE)
            return
        self.stall(now)
        self._upstream.graft(best, now)

    def _best_ahead(self, now: float) -> Neighbour | None:
        """Of those who have more than we do."""
        return self._best(
            lambda neighbour, theirs: self._may_repair(neighbour, theirs, now),
            self._upstream.fed_at + GUARD,
        )

    def _may_repair(self, neighbour: Neighbour, theirs: Theirs, now: float) -> bool:
        """Has it more, as it has said lately, and has it not just refused?"""
        return (
            not self._feed.is_upstream(neighbour)
            and theirs.at >= now - self._feed.fresh_within
            and (now >= theirs.refused_until or theirs.may_have_lost_it())
            and self._is_ahead(neighbour, theirs)
        )

    def _best(self, may: Callable[[Neighbour, Theirs], bool], since: float) -> Neighbour | None:
        """Of those who may: who has room, then who has spoken since then, and so is alive, then who is near
        and has places."""
        ranked = [
            (
                int(not self._upstream.has_room(neighbour, theirs)),
                int(theirs.at <= since),
                neighbour.rtt / (1 + min(theirs.free, 3)),
                neighbour,
            )
            for neighbour, theirs in self._feed.theirs.items()
            if may(neighbour, theirs)
        ]
        return min(ranked, key=itemgetter(0, 1, 2))[-1] if ranked else None

    def _hasten(self, now: float) -> None:
        """Who is asked already may be dead, or far: one who would answer sooner is asked instead."""
        upstream = self._upstream
        joining, best = upstream.joining, self._best_ahead(now)
        if joining is None or best is None:
            return
        theirs = self._feed.of(best)
        if theirs.at <= upstream.fed_at + GUARD or not upstream.has_room(best, theirs):
            return
        is_alive = self._feed.of(joining).at > upstream.fed_at + GUARD
        answers = upstream.asked_at + joining.rtt if is_alive else upstream.joining_until
        if now + best.rtt + SOONER < answers:
            joining.say(Prune(self._feed.key), now)
            upstream.graft(best, now)

    def _is_ahead(self, neighbour: Neighbour, theirs: Theirs) -> bool:
        """Has it more than we do, and not from us?"""
        top = self._feed.top
        if theirs.highest < 0 or theirs.stalled or not (top < 0 or ahead(theirs.highest, top)):
            return False
        return neighbour not in self._feed.children and self._feed.short not in theirs.path

    def stall(self, now: float) -> None:
        """The children need not look for others yet."""
        if self._upstream.stalled or self._feed.top < 0:
            return
        self._upstream.stalled = True
        if self._feed.children:
            have = Have((self._feed.held(),))
            for child in self._feed.children:
                child.say(have, now)

    def _poll(self, now: float) -> None:
        """Nobody has said lately how it is: the nearest are asked for the next packet, ever more rarely."""
        feed = self._feed
        if feed.top < 0 or now < self._poll_at or now < self._deferred_until:
            return
        self.polled_at = now
        self._poll_at = now + max(SILENT_LEAST, now - self._upstream.fed_at)
        others = [
            each
            for each, theirs in feed.theirs.items()
            if not feed.is_upstream(each)
            and each not in feed.children
            and not theirs.stalled
            and feed.short not in theirs.path
        ]
        number = (feed.top + 1) & MASK
        is_first = self._asked_around_at <= self._upstream.fed_at
        for neighbour in sorted(others, key=_distance)[:POLLED]:
            if not feed.may_ask(neighbour, now):
                continue
            if is_first:
                self._asked_around_at, self._answer_by = now, now + neighbour.rtt + ANSWER
                feed.wake(self._answer_by)
            feed.counters.polled += 1
            feed.of(neighbour).asked_at = now
            neighbour.say(Nack(feed.key, (Range(number, number),)), now)

    def goes_on(self, by: Neighbour, sequence: int, now: float) -> None:
        """Who was polled has what the parent has not sent."""
        upstream = self._upstream
        theirs = self._feed.of(by)
        theirs.at = now
        theirs.has(sequence + 1 & MASK)
        hasty = upstream.joining
        if (
            hasty
            and hasty is not by
            and self._feed.of(hasty).at <= upstream.fed_at + GUARD
            and upstream.may_feed(by, theirs, now)
        ):
            hasty.say(Prune(self._feed.key), now)  # which has not spoken since: this one has
            upstream.join_no_more()
        self.silent(now)
