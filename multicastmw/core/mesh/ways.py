"""How far the streams of one group come, here and over others: what neighbours are chosen by."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.place import between
from multicastmw.wire.mesh import NOWHERE, Sample

if TYPE_CHECKING:
    from multicastmw.core.mesh.mesh import Mesh

# What we chose.
ORIGINS = 4  # that a place is judged by
SPARED = 32  # streams that neighbours are kept for, whom they do not come by
NEVER = float("inf")


class Ways:
    """Of one circle's streams."""

    def __init__(self, group: int, mesh: "Mesh") -> None:
        self._group = group
        self._mesh = mesh

    def _feeds(self) -> list[Feed]:
        return self._mesh.feeds_of(self._group)

    def parents(self) -> list[Neighbour]:
        """Where live streams come from."""
        found = (parent for feed in self._feeds() if feed.is_live for parent in (feed.parent, feed.second))
        return [parent for parent in dict.fromkeys(found) if parent is not None]

    def merits(self) -> Callable[[Neighbour], float]:
        """How late the streams would come from a neighbour; its distance while there are none."""
        feeds = [feed for feed in self._feeds() if not feed.ours and feed.is_live]
        if not feeds:
            return lambda neighbour: neighbour.rtt
        return lambda neighbour: sum(feed.upstream.way(neighbour) for feed in feeds)

    def origins(self) -> list[Sample]:
        """Who sends live streams, where that is known."""
        found: list[Sample] = []
        for feed in self._feeds():
            origin = self._mesh.sample() if feed.ours else self._mesh.contacts.origin(feed.key.origin)
            if feed.is_live and origin is not None and origin.place != NOWHERE:
                found.append(origin)
        return found

    def before(self) -> Callable[[Sample], float]:
        """How far somebody is from those who send, there and back: as it says, or as their places are."""
        origins = [origin.place for origin in self.origins()[:ORIGINS]]
        if not origins:
            return lambda over: 0.0

        def distance(over: Sample) -> float:
            neighbour = self._mesh.neighbours.get(over.node)
            told = self.told_before(neighbour) if neighbour else NEVER
            if told < NEVER:
                return told
            return sum(between(origin, over.place) for origin in origins) / len(origins)

        return distance

    def told_before(self, neighbour: Neighbour) -> float:
        """Twice the way from the origins to a neighbour, on average, as it says; infinite if it does not."""
        told = [feed.theirs.get(neighbour) for feed in self._feeds() if feed.is_live]
        costs = [theirs.cost for theirs in told if theirs is not None and theirs.path]
        return sum(costs) / len(costs) / 5e5 if costs else NEVER

    def way(self) -> float:
        """Seconds of the ways of the streams to here, on average; 0 where none is known."""
        costs = [cost for feed in self._feeds() if feed.is_live and (cost := feed.cost())]
        return sum(costs) / len(costs) / 1e6 if costs else 0.0

    def cost(self) -> int:
        """Microseconds of the ways of the streams to here, together."""
        return sum(feed.cost() for feed in self._feeds() if feed.is_live)

    def is_straight(self) -> bool:
        """Are the ways of the streams to here about as short as they can be?"""
        here = self._mesh.whereabouts.place
        for feed in self._feeds():
            if feed.is_live and feed.wants():
                origin = self._mesh.contacts.origin(feed.key.origin)
                if origin is None or not feed.upstream.is_straight(between(origin.place, here)):
                    return False
        return True

    def may_feed(self, asker: Neighbour) -> bool:
        """Has one of the streams a place for it here?  Not one that looks for a parent itself."""
        return any(
            feed.brood.has_place(asker)
            for feed in self._feeds()
            if feed.is_live and not feed.upstream.stalled
        )

    def spares(self) -> set[Neighbour]:
        """For each stream the best neighbour whose way passes no node that it passes on its way here, where
        there is one: whatever single node falls silent, somebody is left to ask."""
        coming = (feed for feed in self._feeds() if feed.is_live and feed.wants())
        found = (feed.upstream.spare() for feed in islice(coming, SPARED))
        return {spare for spare in found if spare is not None}

    def in_use(self, neighbour: Neighbour) -> bool:
        """Does a stream go over it?"""
        return any(feed.uses(neighbour) for feed in self._feeds())

    def idle(self, neighbours: Iterable[Neighbour]) -> list[Neighbour]:
        """Those of them over whom nothing goes, but for who is there in case that a parent dies."""
        spares = self.spares()
        return [each for each in neighbours if each not in spares and not self.in_use(each)]
