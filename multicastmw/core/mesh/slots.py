"""How many children the uplink carries, over all streams together."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from multicastmw.core.mesh.settings import SLOTS_SHARE, Settings

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed

# What we chose.
ASSUMED, ASSUMED_SHARED = 1_000.0, 16.0  # kbit/s of a stream that was not measured yet, and of a shared one
MANY = 0xFFFF


def rate_of(feed: "Feed") -> float:
    """kbit/s."""
    return feed.bits or (ASSUMED_SHARED if feed.is_shared else ASSUMED)


class Slots:
    """`free` says how many more children a stream may have here."""

    def __init__(self, settings: Settings, feeds: Callable[[], Iterable["Feed"]]) -> None:
        self._feeds = feeds
        self.is_changed(settings)
        self._used = 0.0  # kbit/s
        self._children = 0
        self._seconds = 0
        self._is_stale = False

    def is_changed(self, settings: Settings) -> None:
        """[overlay] says something else now."""
        self._uplink = settings.uplink
        self._carries = settings.uplink * SLOTS_SHARE
        self._most = settings.children

    @property
    def has_any(self) -> bool:
        """Does this node carry anything for others at all?"""
        return self._most > 0 and self._carries > 0

    def has_any_for(self, feed: "Feed") -> bool:
        """What begins here goes out in any case, by one child at least."""
        return feed.ours or self.has_any

    def changed(self) -> None:
        """Somebody has a child more, or less, or a rate is another."""
        self._is_stale = True

    def free(self, feed: "Feed") -> int:
        if self._is_stale:
            self._add_up()
        if feed.ours and not feed.children:
            return max(1, self._free(feed))
        return self._free(feed)

    def _free(self, feed: "Feed") -> int:
        rate = rate_of(feed)
        return max(0, min(MANY, self._most - self._children, int((self._carries - self._used) / rate + 1e-6)))

    def lent(self) -> int:
        """Children that have another parent, too, and whose places are for who has none."""
        if self._is_stale:
            self._add_up()
        return self._seconds

    def take_back(self, feed: "Feed", now: float) -> bool:
        """Second feeds go until there is a place for a child of that stream; False: there were not enough."""
        for each in [feed, *self._feeds()] if self.lent() else ():
            while self.free(feed) <= 0 and each.brood.seconds:
                each.brood.give_up_second(now)
        return self.free(feed) > 0

    def spare(self, feed: "Feed") -> int:
        """How many more there may be for a moment: what the slots leave of the uplink, rounded."""
        if self._is_stale:
            self._add_up()
        rate = rate_of(feed)
        return min(self._most - self._children, int((self._uplink - self._used) / rate + 0.5))

    def is_over(self, feed: "Feed") -> bool:
        """Are there more children than slots?"""
        if feed.ours and len(feed.children) <= 1:
            return False
        if self._is_stale:
            self._add_up()
        return self._used > self._carries + 0.01 * rate_of(feed)

    def _add_up(self) -> None:
        self._is_stale = False
        self._used = 0.0
        self._children = self._seconds = 0
        for feed in self._feeds():
            if feed.children:
                self._children += len(feed.children)
                self._seconds += len(feed.brood.seconds)
                places = sum([1.0 + child.overhead for child in feed.children])
                self._used += places * rate_of(feed)
