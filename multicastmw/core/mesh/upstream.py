"""Where one stream comes from: the choice of a parent, of a better one, and of another when it falls silent.

             Have            Graft                    data
    parent ------> LOOKING -------> JOINING(j) ----------------> FED(parent = j)
                      ^               | refused, silent             |
                      +---------------+                             | silent, gone, pruned
                      +---------------------------------------------+

A better parent is grafted while the old one feeds, and the old one is left when the first packet of the new
one is there.  Better is who brought the last beacons earlier (measured), or whose way, as it tells it, is so
much shorter.  Only a neighbour that has more than we do is asked: who has what we lack does not have it
from us.

When nothing comes for three packets' time, and nobody has just said that there is more, the three nearest are
asked for the next packet: who sends it is alive, and ahead.  Meanwhile the subtree is told (STALL), so that
its nodes wait for their head.
"""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import MASK, ahead
from multicastmw.core.mesh.settings import (
    BETTER_LEAST,
    BETTER_SHARE,
    BETTER_TIMES,
    DEFER,
    EARLY,
    GRAFT_PATIENCE,
    GUARD,
    LIVE,
    LOOK,
    MISBEHAVED_BACK_OFF,
    MISBEHAVED_BACK_OFF_MOST,
    PARTING,
    POLLED,
    PRUNE_REST,
    SHORTER,
    SHORTER_LEAST,
    SILENT_LEAST,
    SILENT_PACKETS,
    STRAIGHT,
    SWITCH_REST,
    SWITCH_REST_YOUNG,
    TOTAL_SILENCE,
    YOUNG,
)
from multicastmw.core.mesh.theirs import Theirs
from multicastmw.wire.mesh import Graft, Have, Held, Nack, Prune, Range, Refusal

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed

# What we chose.
LEFT_REST = 1.0  # seconds until a parent that has left us is asked again
FULL_COSTS = 0.5  # seconds that a way over somebody without room counts as longer
NO_WAY = 1.0
LOSSY, LOSSY_LEAST, LOSSY_TIMES = 0.15, 10, 2  # share and packets of a measure, and measures running
DROPPED = -4.0  # points for a parent that drops what it has
SOONER = 0.02  # seconds by which another one has to answer sooner to be asked instead
LEAPS, LEAP_REST = 3, 2.0  # in so many seconds: one may be dead as well, but the source may only pause
PUSHY, PUSHED = 2.0, -2.0  # seconds within which data after a prune are a nuisance, and its points
COST_MOST = 0xFFFFFFFF  # us, as it fits a Cost: a parent may say anything
NEVER = float("inf")


def _distance(neighbour: Neighbour) -> float:
    return neighbour.rtt


class Upstream:
    """A feed's parent, and the one that is to be it."""

    def __init__(self, feed: "Feed", now: float) -> None:
        self.parent: Neighbour | None = None
        self.joining: Neighbour | None = None
        self.fed_at = now  # when the parent sent something last
        self.stalled = False
        self.polled_at = -NEVER
        self._lossy = 0
        self._beacon, self._beacon_at = -1, now  # the last one that the parent has brought
        self._feed = feed
        self._alone_since = now
        self._asked_at, self._joining_until = now, NEVER
        self._deferred_until = now
        self._poll_at = self._leap_at = -NEVER
        self._leaps = 0
        self._parting_until = NEVER  # the parent has given our place away, and feeds us until
        self._switch_at = now + SWITCH_REST * feed.rng.uniform(0.2, 0.5)

    def silent_after(self) -> float:
        """Seconds without a packet that say that the parent is gone, if others have more."""
        rate = self._feed.rate
        return (max(SILENT_LEAST, SILENT_PACKETS / rate) if rate else SILENT_LEAST) + self._feed.gaps.late

    # --- the way here

    def path(self) -> tuple[int, ...]:
        """The nodes that its packets pass, this one last; empty where it is not known."""
        theirs = self._feed.theirs.get(self.parent) if self.parent else None
        return (*theirs.path[-31:], self._feed.short) if theirs and theirs.path else ()

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
        is_full = not self._has_room(neighbour, theirs)
        return theirs.cost / 1e6 + neighbour.rtt / 2 + (FULL_COSTS if is_full else 0.0)

    def is_straight(self, direct: float) -> bool:
        """Is the way about as short as it can be, where the origin is so many seconds of round trip away?"""
        return 0 < self.cost() < direct * 5e5 * STRAIGHT + SHORTER_LEAST

    def may_help(self, neighbour: Neighbour) -> bool:
        """Could it be fed by us with profit?  Not who is nearer to the origin, as far as is known."""
        theirs = self._feed.theirs.get(neighbour)
        return theirs is None or not theirs.path or theirs.cost > self.cost()

    # --- data

    def brought(self, by: Neighbour, now: float) -> None:
        """Data came from one who is not the parent."""
        if by is self.joining:
            self._joined(by, now)
        elif self.parent is None and self.joining is None and self._feed.wants():
            self._feeds(by, now)
        else:
            theirs = self._feed.of(by)
            if now - theirs.pruned_at > PRUNE_REST:
                if theirs.pruned_at > now - PUSHY:
                    self._feed.disappoints(by, PUSHED, now)  # it was told, and goes on
                theirs.pruned_at = now
                self._feed.counters.unasked += 1
                by.say(Prune(self._feed.key), now)

    def _joined(self, new: Neighbour, now: float) -> None:
        """What the new parent sends is here: the old one is left."""
        old = self.parent
        self._join_no_more()
        if old is not None:
            self._feed.counters.switched += 1
            self._feed.of(old).pruned_at = now
            old.say(Prune(self._feed.key), now)
        self._feeds(new, now)

    def _feeds(self, by: Neighbour, now: float) -> None:
        self.parent = by
        self._feed.of(by).mutes = 0
        self._parting_until = NEVER
        self.fed_at = now
        self.stalled = False
        self._feed.gaps.mark = self._feed.top
        for theirs in self._feed.theirs.values():
            theirs.leads = theirs.compared = 0
        self._feed.brood.drop(by)
        self._feed.wake(now + self.silent_after())

    # --- a better one

    def beacon(self, sequence: int, now: float) -> None:
        """The parent brought what is announced at once: from whom would it have been here earlier?"""
        if self.joining:
            return
        self._beacon, self._beacon_at = sequence, now
        best, lead_of_best = None, 0.0
        enough = 2 if self._is_young(now) else BETTER_TIMES
        for neighbour, theirs in self._feed.theirs.items():
            if neighbour is self.parent or theirs.beacon != sequence:
                theirs.leads = 0
                continue
            theirs.led(now - theirs.beacon_at)
            lead = theirs.sure_lead
            if lead <= max(BETTER_LEAST, BETTER_SHARE * neighbour.rtt):
                theirs.leads = 0
                continue
            theirs.leads += 1
            if theirs.leads >= enough and lead > lead_of_best and self._may_feed(neighbour, theirs, now):
                best, lead_of_best = neighbour, lead
        if best is not None and now >= self._switch_at:
            self._switch(best, now)

    def _is_young(self, now: float) -> bool:
        """A tree that has just grown is still rough."""
        return now - self._feed.began < YOUNG

    def _is_shorter(self, by: Neighbour, theirs: Theirs, now: float) -> None:
        """What it says of its way may be so much better than ours that we go there."""
        if self.joining or now < self._switch_at or not theirs.path:
            return
        mine = self.cost()
        gain = mine - theirs.cost - by.rtt * 5e5
        if mine and gain > max(SHORTER_LEAST, mine * SHORTER) and self._may_feed(by, theirs, now):
            self._switch(by, now)

    def _switch(self, to: Neighbour, now: float) -> None:
        self._switch_at = now + (SWITCH_REST_YOUNG if self._is_young(now) else SWITCH_REST)
        self._graft(to, now)

    def _may_feed(self, neighbour: Neighbour, theirs: Theirs, now: float) -> bool:
        return (
            neighbour not in self._feed.children
            and self._has_room(neighbour, theirs)
            and not theirs.stalled
            and now >= theirs.refused_until
            and self._feed.short not in theirs.path
        )

    def _has_room(self, neighbour: Neighbour, theirs: Theirs) -> bool:
        """For us: who carries more, or is nearer, takes the place of another."""
        return theirs.has_room(self._feed.own_slots, neighbour.rtt)

    def _move(self, now: float) -> None:
        """The parent has no place for us any more, and feeds us until another one does."""
        if self.joining or self._parting_until == NEVER:
            return
        best, way_of_best = None, NEVER
        for neighbour, theirs in self._feed.theirs.items():
            if neighbour is self.parent or not theirs.path or not self._may_feed(neighbour, theirs, now):
                continue
            way = theirs.cost / 1e6 + neighbour.rtt / 2
            if way < way_of_best:
                best, way_of_best = neighbour, way
        if best is not None:
            self._graft(best, now)
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
            self._feed.of(self.parent).refused(Refusal.MISBEHAVED, MISBEHAVED_BACK_OFF, now)
            self._feed.disappoints(self.parent, DROPPED, now)
            self._parting_until = now + PARTING
            self._move(now)

    # --- what neighbours say

    def told(self, by: Neighbour, theirs: Theirs, held: Held, now: float) -> None:
        """A Have came."""
        if by is self.parent:
            if theirs.stalled:
                self._deferred_until = now + DEFER
                self._stall(now)
        elif self.parent is None:
            if self.joining is None and not theirs.stalled:
                self._repair(now)
        else:
            if held.beacon is not None:
                self._is_shorter(by, theirs, now)
            if theirs.beacon == self._beacon and theirs.beacon_at == now:
                theirs.led(self._beacon_at - now)  # later than the parent, this time
            if now - self.fed_at > self.silent_after() and ahead(theirs.highest, self._feed.top):
                self._silent(now)

    def goes_on(self, by: Neighbour, sequence: int, now: float) -> None:
        """Who was polled has what the parent has not sent."""
        theirs = self._feed.of(by)
        theirs.at = now
        theirs.has(sequence + 1 & MASK)
        hasty = self.joining
        if (
            hasty
            and hasty is not by
            and self._feed.of(hasty).at <= self.fed_at + GUARD
            and self._may_feed(by, theirs, now)
        ):
            hasty.say(Prune(self._feed.key), now)  # which has not spoken since: this one has
            self._join_no_more()
        self._silent(now)

    def pruned(self, by: Neighbour, prune: Prune, now: float) -> None:
        """It leaves, or will not be the parent."""
        if by is self.joining:
            self._join_no_more()
        elif by is not self.parent:
            return
        elif prune.refusal == Refusal.FULL:
            self._parting_until = now + PARTING
        else:
            self._lost(now)
        back_off = LEFT_REST if prune.refusal == Refusal.LEFT else prune.back_off / 1000
        self._feed.of(by).refused(prune.refusal, min(MISBEHAVED_BACK_OFF_MOST, back_off), now)
        if prune.alternatives:
            self._feed.try_out(prune.alternatives, now)
        if self.parent is None or now - self.fed_at > self.silent_after():
            self._repair(now)
        else:
            self._move(now)

    def gone(self, by: Neighbour, now: float) -> None:
        """The link is no more."""
        if by is self.joining:
            self._join_no_more()
        if by is self.parent:
            self._lost(now)
            self._feed.counters.orphaned += 1
        if self.parent is None:
            self._repair(now)

    def leave(self, now: float) -> None:
        """It is wanted no more."""
        for neighbour in filter(None, (self.parent, self.joining)):
            neighbour.say(Prune(self._feed.key), now)
        self.parent = None
        self._join_no_more()

    def _lost(self, now: float) -> None:
        self.parent = None
        self._alone_since = now
        self._parting_until = NEVER

    # --- the parent is lost

    def _silent(self, now: float) -> None:
        """The parent sends nothing, and others have more."""
        if now < self._deferred_until:
            return
        if self.joining:
            self._hasten(now)
        else:
            self._feed.counters.orphaned += 1
            self._repair(now)
            self._poll(now)  # one who is nearer may have it as well, and has only not said so yet

    def _repair(self, now: float) -> None:
        """Asks the best of those who have more."""
        if self.joining or not self._feed.wants():
            return
        best = self._best_ahead(now)
        if best is None:
            self._feed.wake(now + TOTAL_SILENCE)
            return
        self._stall(now)
        self._graft(best, now)

    def _best_ahead(self, now: float) -> Neighbour | None:
        """Of those who have more than we do."""
        best, rank_of_best = None, (2, 2, NEVER)
        horizon = now - self._feed.fresh_within
        for neighbour, theirs in self._feed.theirs.items():
            if self._feed.is_upstream(neighbour) or theirs.at < horizon or now < theirs.refused_until:
                continue
            if not self._is_ahead(neighbour, theirs):
                continue
            rank = (
                int(not self._has_room(neighbour, theirs)),
                int(theirs.at <= self.fed_at + GUARD),  # who has spoken since is alive
                neighbour.rtt / (1 + min(theirs.free, 3)),
            )
            if rank < rank_of_best:
                best, rank_of_best = neighbour, rank
        return best

    def _hasten(self, now: float) -> None:
        """Who is asked already may be dead, or far: one who has spoken since and would answer sooner is asked
        instead."""
        joining, best = self.joining, self._best_ahead(now)
        if joining is None or best is None:
            return
        theirs = self._feed.of(best)
        if theirs.at <= self.fed_at + GUARD or not self._has_room(best, theirs):
            return
        is_alive = self._feed.of(joining).at > self.fed_at + GUARD
        answers = self._asked_at + joining.rtt if is_alive else self._joining_until
        if now + best.rtt + SOONER < answers:
            joining.say(Prune(self._feed.key), now)
            self._graft(best, now)

    def _is_ahead(self, neighbour: Neighbour, theirs: Theirs) -> bool:
        """Has it more than we do, and not from us?"""
        top = self._feed.top
        if theirs.highest < 0 or theirs.stalled or not (top < 0 or ahead(theirs.highest, top)):
            return False
        return neighbour not in self._feed.children and self._feed.short not in theirs.path

    def _stall(self, now: float) -> None:
        """The children need not look for others yet."""
        if self.stalled or self._feed.top < 0:
            return
        self.stalled = True
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
        self._poll_at = now + max(SILENT_LEAST, now - self.fed_at)
        others = [
            each
            for each, theirs in feed.theirs.items()
            if not feed.is_upstream(each)
            and each not in feed.children
            and not theirs.stalled
            and feed.short not in theirs.path
        ]
        number = (feed.top + 1) & MASK
        for neighbour in sorted(others, key=_distance)[:POLLED]:
            feed.counters.polled += 1
            neighbour.say(Nack(feed.key, (Range(number, number),)), now)

    # --- joining

    def _graft(self, neighbour: Neighbour, now: float) -> None:
        """Its data makes it the parent; until then it has a round trip, and the time to the next packet."""
        feed = self._feed
        if feed.top >= 0:
            sequence = (feed.top + 1) & MASK
        else:
            highest = feed.of(neighbour).highest
            sequence = highest if highest > EARLY else 0
        patience = max(GRAFT_PATIENCE, GUARD + 1.5 / feed.rate) if feed.rate else GRAFT_PATIENCE
        self.joining, self._asked_at = neighbour, now
        self._joining_until = now + neighbour.rtt + patience
        feed.counters.grafts += 1
        missing = feed.gaps.go_with(neighbour, now)
        if feed.top >= 0 and (self.parent is None or now - self.fed_at > self.silent_after()):
            missing += (Range(sequence, sequence),)  # the next one too: it is urgent
        neighbour.say(Graft(feed.key, sequence, missing), now)
        feed.wake(self._joining_until)

    def _join_no_more(self) -> None:
        self.joining, self._joining_until = None, NEVER

    # --- time

    def tick(self, now: float) -> None:
        if self.joining:
            if now >= self._joining_until:
                self._feed.of(self.joining).did_not_answer(now)
                self.joining.say(Prune(self._feed.key), now)
                self._join_no_more()
                self._repair(now)
            else:
                self._feed.wake(self._joining_until)
        if self._parting_until < NEVER:
            self._move(now)
            if now >= self._parting_until + PARTING:
                self._parting_until = NEVER
        if self._feed.wants():
            self._watch(now)

    def _watch(self, now: float) -> None:
        """Does it still come?"""
        feed = self._feed
        if now - feed.moved_at > LIVE and feed.top >= 0:
            return  # the source has stopped; a Have that says otherwise wakes it
        if self.parent is not None:
            silent_at = self.fed_at + self.silent_after()
            if now < silent_at:
                feed.wake(max(silent_at, now + LOOK))  # what a Have shows earlier is looked at when it comes
            else:
                self._is_silent(now)
        elif self.joining is None:
            self._repair(now)
            if self.joining is None:
                self._poll(now)
        if self.joining is None and now - max(feed.moved_at, self._alone_since) > TOTAL_SILENCE:
            self._look_further(now)

    def _is_silent(self, now: float) -> None:
        self._feed.wake(now + SILENT_LEAST)
        if self._others_have_more(now):
            self._silent(now)
        else:
            self._stall(now)
            self._leap(now)
            self._poll(now)

    def _leap(self, now: float) -> None:
        """Nobody has said that there is more: one whose way is not over the parent is grafted all the same.

        It becomes the parent by sending data, so that no loop comes of it; if it does not, it is pruned.
        """
        if now >= self._leap_at:
            self._leaps = 0
        if self.joining or now < self._deferred_until or self._leaps >= LEAPS or self.parent is None:
            return
        lost = self.parent.node >> 32
        best, rank_of_best = None, (2, NEVER)
        for neighbour, theirs in self._feed.theirs.items():
            if not theirs.path or lost in theirs.path or not self._may_feed(neighbour, theirs, now):
                continue
            rank = int(theirs.at <= self.fed_at), neighbour.rtt / (1 + min(theirs.free, 3))
            if neighbour is not self.parent and rank < rank_of_best:
                best, rank_of_best = neighbour, rank
        if best is not None:
            self._leaps, self._leap_at = self._leaps + 1, now + LEAP_REST
            self._graft(best, now)

    def _others_have_more(self, now: float) -> bool:
        horizon, top = now - self._feed.fresh_within, self._feed.top
        return any(
            theirs.at >= horizon and ahead(theirs.highest, top)
            for neighbour, theirs in self._feed.theirs.items()
            if neighbour is not self.parent
        )

    def _look_further(self, now: float) -> None:
        """Nobody who could help is near: others are asked."""
        horizon = now - self._feed.fresh_within
        if self.parent is not None and any(theirs.at >= horizon for theirs in self._feed.theirs.values()):
            return  # they live, and have no more than we do
        self._feed.search(now)
        self._feed.wake(now + TOTAL_SILENCE)
