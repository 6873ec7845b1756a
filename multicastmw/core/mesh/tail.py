"""The last packets of a stream before a pause: no later one shows that they were lost, but a Have does.

What the parent says that it has was sent, and is here or will be in a moment, unless it is lost; data that
the Have has overtaken have that moment.  Of a stream that goes on fast the next packet says the same sooner.
It may lie: the numbers are asked for, and the stream is where it was until one of them comes.
"""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.numbers import MASK, ahead
from multicastmw.core.mesh.settings import MISSING_MAX

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.wire.mesh import Held

# What we chose.
RATE = 10.0  # packets/s below which the next packet says it too late
WAIT = 0.03  # seconds for packets that the Have has overtaken
LEAST = 16  # packets: more than that, and more than the deadline's worth, begin anew somewhere
NEVER = float("inf")


class Tail:
    """One feed's."""

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self._said: Held | None = None
        self._look_at = NEVER

    def told(self, held: "Held", now: float) -> None:
        """The parent has that."""
        feed = self._feed
        if ahead(held.highest, feed.top) and (feed.rate < RATE or feed.is_at_rest(now)):
            self._said, self._look_at = held, now + WAIT
            feed.wake(self._look_at)

    def tick(self, now: float) -> None:
        if now >= self._look_at:
            self._look_at = NEVER
            self._look(now)
        elif self._look_at < NEVER:
            self._feed.wake(self._look_at)

    def _look(self, now: float) -> None:
        """What has not come by now is missing; where the parent lacks something itself, it may still come."""
        feed, said = self._feed, self._said
        if said is None or feed.top < 0:
            return
        step = (said.highest - feed.top) & MASK
        if 0 < step < min(MISSING_MAX, 1 + max(LEAST, int(feed.rate * feed.deadline))):
            whole = said.missing[0].first if said.missing else said.highest + 1
            feed.gaps.parent_has(whole & MASK, now)
            feed.gaps.skipped(feed.top, step + 1, now)
