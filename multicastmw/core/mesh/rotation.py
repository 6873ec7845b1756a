"""The parent of a stream changes from time to time ([overlay] rotate), so that no node brings all of it.

The next one is any of those that are acceptable: fresh, with room, and on a way that is not much longer than
the shortest.  It is grafted while the old one feeds.  No better parent (better.py) is taken while this one is
acceptable, or the best would be back at once.
"""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.theirs import Theirs

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.core.mesh.upstream import Upstream

# What the specification says.
SPREAD = 0.5, 1.5  # of the time between two changes

# What we chose.
LONGER, LONGER_LEAST = (
    1.5,
    0.02,
)  # times the shortest way that is known, and seconds that it may be longer anyway
RETRY = 2.0  # seconds until it is tried again where nobody was acceptable, or who was would not
NEVER = float("inf")


class Rotation:
    """One feed's."""

    def __init__(self, upstream: "Upstream", feed: "Feed") -> None:
        self._upstream = upstream
        self._feed = feed
        self._due = NEVER  # when the parent is to be another one
        self._every = 0.0  # seconds, of which that was drawn
        self._asked: Neighbour | None = None  # whose turn it is
        self._has_turned = False

    def another(self, now: float) -> None:
        """The parent is another one, for whatever reason."""
        if self._asked is not None and self._asked is self._upstream.parent:
            self._has_turned = True
            self._feed.counters.rotated += 1
        self._asked = None
        self._wind(now)

    def _wind(self, now: float) -> None:
        every = self._every = self._feed.rotate
        self._due = now + every * self._feed.rng.uniform(*SPREAD) if every else NEVER

    def tick(self, now: float) -> None:
        feed, upstream = self._feed, self._upstream
        if not feed.rotate or upstream.parent is None:
            self._due, self._has_turned = NEVER, False
            return
        if self._due == NEVER:
            self.another(now)
        elif self._every != feed.rotate:
            self._wind(now)
        if now < self._due:
            feed.wake(self._due)
        elif not upstream.joining and now - upstream.fed_at <= upstream.silent_after():
            self._turn(now)

    def _turn(self, now: float) -> None:
        feed, upstream = self._feed, self._upstream
        acceptable = [each for each, theirs in feed.theirs.items() if self._is_acceptable(each, theirs, now)]
        if acceptable:
            upstream.second.changes_places(now)  # so that each of two has its turn
            self._asked = feed.rng.choice(acceptable)
            upstream.graft(self._asked, now)
        self._due = now + RETRY  # a parent that joins says when the next turn is
        feed.wake(self._due)

    def _is_acceptable(self, neighbour: Neighbour, theirs: Theirs, now: float) -> bool:
        """It has what we have, or will when it is asked: else it might have it from us."""
        upstream = self._upstream
        return (
            upstream.has_free_place(neighbour, theirs, now)
            and theirs.cost <= upstream.cost() + neighbour.rtt * 5e5
            and upstream.way(neighbour) <= self._longest()
        )

    def _longest(self) -> float:
        """Seconds of a way that is acceptable."""
        known = [self._upstream.cost() / 1e6]
        known += [self._upstream.way(each) for each, theirs in self._feed.theirs.items() if theirs.path]
        shortest = min(known)
        return max(shortest * LONGER, shortest + LONGER_LEAST)

    def stays(self, neighbour: Neighbour) -> bool:
        """Is the parent, whose turn it is, good enough beside that one?"""
        if not self._has_turned or not self._feed.rotate:
            return False
        better = self._upstream.way(neighbour)
        return self._upstream.cost() / 1e6 <= max(better * LONGER, better + LONGER_LEAST)
