"""A second parent of a stream, whose way has as little as can be in common with that of the first one.

          another way is known         data
    NONE ---------------------> asked -------> feeds, as the first one does
     ^                            | refused       |
     +----------------------------+---------------+  silent, gone, over the first one, or the first one itself

Both send everything, and the duplicate window takes what comes first.  A second feed takes a free slot only,
and gives it back to whoever has no other parent (brood.py).  Where the first one falls silent the second is
the first from then on, if it has brought since what the first has not: who has what we lack does not have it
from us, so that no loop comes of it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from multicastmw.core.estimate import Estimate
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import MASK, ahead
from multicastmw.core.mesh.settings import (
    GRAFT_PATIENCE,
    GUARD,
    LOSSY,
    LOSSY_LEAST,
    LOSSY_TIMES,
)
from multicastmw.core.mesh.theirs import Theirs
from multicastmw.wire.mesh import Graft, Prune, Refusal

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.core.mesh.upstream import Upstream

# What we chose.
SETTLED = (
    2.0  # seconds that the first parent has fed before a second one is looked for: who has none goes first
)
LOOK = 1.0  # seconds between two looks for one
BETTER_LOOK = 10.0  # and, where there is one, for one that has less in common with the first, or is nearer
SHORTER = 0.01  # seconds by which another way is shorter, to be taken instead
LATER_MOST = 0.5  # seconds by which its way may be longer than the first one's
SILENT = 0.5  # seconds beyond those after which a first parent is silent: its own may have failed just now
SILENT_REST = 5.0  # seconds until one that fell silent is asked again
LAG_SWINGS = 2.0  # times that it swings, above the mean: so much later it may be
LAG_MOST = 0.25  # seconds: rather asked for twice than late for a player
NEVER = float("inf")


def shared(one: Iterable[int], other: Iterable[int]) -> frozenset[int]:
    """The nodes that two ways have in common, but for the origin, which is the first of each."""
    (_, *here), (_, *there) = one, other
    return frozenset(here) & frozenset(there)


class Second:
    """One feed's."""

    def __init__(self, upstream: "Upstream", feed: "Feed", now: float) -> None:
        self.parent: Neighbour | None = None
        self.joining: Neighbour | None = None
        self.fed_at = now  # when it sent something last
        self._lag = Estimate()  # seconds by which the later of two feeds is behind
        self._came = 0  # packets that it sent, since they were counted
        self._lossy = 0  # times running that these were few
        self._upstream = upstream
        self._feed = feed
        self._led_at = -NEVER  # when it sent last what was not here yet
        self._joining_until = NEVER
        self._look_at = now + SETTLED
        self._beacon = -1  # the last one: its number, who brought it first, and when
        self._beacon_by: Neighbour | None = None
        self._beacon_at = now

    def is_it(self, neighbour: Neighbour) -> bool:
        """Does it feed, or is it to feed?"""
        return neighbour is self.parent or neighbour is self.joining

    def path(self) -> tuple[int, ...]:
        """The nodes that its packets pass, this one last; empty where there is none."""
        theirs = self._feed.theirs.get(self.parent) if self.parent else None
        return theirs.passes(self._feed.short) if theirs else ()

    def shared(self) -> frozenset[int]:
        """The nodes on both ways, but for the origin and this one."""
        one, other = self._upstream.path(), self.path()
        return shared(one[:-1], other[:-1]) if one and other else frozenset()

    # --- data

    def brought(self, by: Neighbour, is_new: bool, now: float) -> None:
        """It sent something, which was not here yet if it is new."""
        if by is self.joining:
            self._joined(by, now)
        self.fed_at = now
        self._came += 1
        if is_new:
            self._led_at = now
            self.takes_over(now)

    def _joined(self, by: Neighbour, now: float) -> None:
        old, self.parent = self.parent, by
        self._came = self._lossy = 0
        self._join_no_more()
        self._lag = Estimate()
        if old is not None:
            self._leave(old, now)
        self._feed.of(by).mutes = 0
        self._feed.rerouted()

    def takes_over(self, now: float) -> bool:
        """Where the first one is silent, and this one is not: it is the first from now on."""
        upstream = self._upstream
        if self.parent is None or self._led_at <= upstream.fed_at:
            return False
        patience = upstream.silent_after()
        if now - self._led_at > patience:
            return False
        if upstream.parent is not None:
            if self._feed.is_slow or now - upstream.fed_at <= patience:
                return False
            self._feed.suspicion.silent(upstream.parent, now)
        return self.stands_in(now)

    def stands_in(self, now: float) -> bool:
        """The first one is gone, or is to go: this one takes its place, if it feeds and not by way of us."""
        new, feed = self.parent, self._feed
        if (
            new is None
            or now - self.fed_at > self._upstream.silent_after()
            or feed.short in feed.of(new).path
        ):
            return False
        self.parent = None
        self._ends(now)
        feed.counters.stood_in += 1
        self._upstream.another(new, now)
        return True

    def changes_places(self, now: float) -> None:
        """This one is the better of both: nothing but their names changes, and both are told."""
        upstream, new = self._upstream, self.parent
        if new is None or upstream.parent is None:
            return
        self.parent, self.fed_at = upstream.parent, upstream.fed_at
        self.parent.say(self._graft(self.parent, True), now)
        upstream.fed_by(new, now)
        new.say(self._graft(new, False), now)

    # --- by how much one is later than the other

    def beacon(self, sequence: int, by: Neighbour, now: float) -> None:
        """A beacon packet came for the first time."""
        self._beacon, self._beacon_by, self._beacon_at = sequence, by, now

    def beacon_again(self, sequence: int, by: Neighbour, now: float) -> None:
        """And by the other one."""
        if sequence != self._beacon or by is self._beacon_by:
            return
        self._lag.measure(now - self._beacon_at)
        self._feed.gaps.lag = min(LAG_MOST, self._lag.mean + LAG_SWINGS * self._lag.swing)

    def measured(self, whole: int, now: float) -> None:
        """So many packets of the stream have come: does it bring nearly all of them?"""
        came, self._came = self._came, 0
        if self.parent is None or whole < LOSSY_LEAST or came >= (1 - LOSSY) * whole:
            self._lossy = 0
            return
        self._lossy += 1
        if self._lossy > LOSSY_TIMES:  # it may have begun in the middle of the first time
            self._feed.of(self.parent).refused(0, SILENT_REST, now)
            self._leave(self.parent, now)
            self._is_lost(now)

    # --- looking for one

    def tick(self, now: float) -> None:
        if self._feed.feeds < 2:
            self.leave(now)
            return
        if self.joining and now >= self._joining_until:
            self._feed.of(self.joining).did_not_answer(now)
            self._leave(self.joining, now)
            self._join_no_more()
        elif self.joining:
            self._feed.wake(self._joining_until)
        if self.parent is not None:
            self._watch(self.parent, now)
        if now >= self._look_at:
            self._look(now)

    def _watch(self, parent: Neighbour, now: float) -> None:
        """Does it still feed, and by another way than the first one?"""
        theirs, feed = self._feed.of(parent), self._feed
        silent_at = self.fed_at + self._upstream.silent_after() + SILENT
        if now >= silent_at and feed.moved_at >= silent_at:
            theirs.refused(0, SILENT_REST, now)
        elif not self._is_over_the_first(theirs):
            return
        self._leave(parent, now)
        self._is_lost(now)

    def _is_over_the_first(self, theirs: Theirs) -> bool:
        first = self._upstream.parent
        if self._feed.short in theirs.path:
            return True
        return (
            first is not None and first.node >> 32 in theirs.path[1:]
        )  # behind the origin, which all come from

    def _look(self, now: float) -> None:
        feed, upstream = self._feed, self._upstream
        self._look_at = now + (BETTER_LOOK if self.parent else LOOK) * feed.rng.uniform(0.75, 1.25)
        if (
            upstream.parent is None
            or upstream.joining
            or self.joining
            or not feed.is_live
            or not feed.wants()
        ):
            return
        found = self._apart(upstream.parent, now)
        if found is None:
            return
        in_common, best = found
        if self.parent is None or self._is_better(in_common, best):
            self._ask(best, now)

    def _is_better(self, in_common: int, other: Neighbour) -> bool:
        """Has its way less in common with the first one's, or as little and is it surely shorter?"""
        mine = len(self.shared())
        return in_common < mine or (in_common == mine and self._way(other) < self._way(self.parent) - SHORTER)

    def _way(self, neighbour: Neighbour | None) -> float:
        """Seconds from the origin by that neighbour, as it says."""
        if neighbour is None:
            return NEVER
        return self._feed.of(neighbour).way(neighbour.rtt)

    def _apart(self, first: Neighbour, now: float) -> tuple[int, Neighbour] | None:
        """Whose way has the fewest nodes in common with the first one's, and how many: then the shortest."""
        way = self._feed.of(first).path
        if not way:
            return None
        ranked = [
            (len(shared(way, theirs.path)), self._way(each), each.node, each)
            for each, theirs in self._feed.theirs.items()
            if self._may_feed(each, theirs, now)
        ]
        if not ranked:
            return None
        in_common, _, _, best = min(ranked)
        return in_common, best

    def _may_feed(self, neighbour: Neighbour, theirs: Theirs, now: float) -> bool:
        """Has it a free slot and another way than ours and the first one's, not much longer?"""
        upstream = self._upstream
        return (
            neighbour is not self.parent
            and upstream.has_free_place(neighbour, theirs, now)
            and not self._is_over_the_first(theirs)
            and self._way(neighbour) <= upstream.cost() / 1e6 + LATER_MOST
        )

    def _ask(self, neighbour: Neighbour, now: float) -> None:
        feed = self._feed
        patience = max(GRAFT_PATIENCE, GUARD + 1.5 / feed.rate) if feed.rate else GRAFT_PATIENCE
        self.joining = neighbour
        self._joining_until = now + neighbour.rtt + patience
        feed.counters.grafts += 1
        feed.of(neighbour).asked_at = now
        neighbour.say(self._graft(neighbour, True), now)
        feed.wake(self._joining_until)

    def _graft(self, neighbour: Neighbour, is_second: bool) -> Graft:
        """From the number on that it has: it may be behind us, and a parent refuses what it has not."""
        top, highest = self._feed.top, self._feed.of(neighbour).highest
        last = highest if highest >= 0 and ahead(top, highest) else top
        return Graft(self._feed.key, (last + 1) & MASK, (), is_second)

    # --- losing it

    def pruned(self, by: Neighbour, prune: Prune, now: float) -> None:
        """It has no place, or no data, for us; what it still sends is not needed."""
        if by is self.parent and prune.refusal == Refusal.FULL:
            self._leave(by, now)
        self.gone(by, now)

    def gone(self, by: Neighbour, now: float) -> None:
        if by is self.joining:
            self._join_no_more()
        if by is self.parent:
            self._is_lost(now)

    def leave(self, now: float) -> None:
        """None is wanted any more."""
        for neighbour in filter(None, (self.parent, self.joining)):
            self._leave(neighbour, now)
        self._join_no_more()
        if self.parent is not None:
            self._is_lost(now)

    def _is_lost(self, now: float) -> None:
        self.parent = None
        self._ends(now)
        self._feed.rerouted()

    def _ends(self, now: float) -> None:
        """Another one is looked for, not at once: who has none goes first."""
        self._lag, self._feed.gaps.lag = Estimate(), 0.0
        self._look_at = now + LOOK * self._feed.rng.uniform(0.75, 1.25)
        self._feed.wake(self._look_at)

    def _join_no_more(self) -> None:
        self.joining, self._joining_until = None, NEVER

    def _leave(self, neighbour: Neighbour, now: float) -> None:
        theirs = self._feed.theirs.get(neighbour)
        if theirs is not None:
            theirs.pruned_at = theirs.fed_at = now
        neighbour.say(Prune(self._feed.key), now)
