"""The choice of a better parent than the one that feeds a stream.

Better is who had the last beacons earlier than the parent brought them (measured, and by more than it
varies), or whose way, as it tells it, is so much shorter.
"""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import (
    BETTER_LEAST,
    BETTER_SHARE,
    BETTER_TIMES,
    SHORTER,
    SHORTER_LEAST,
    SWITCH_REST,
    SWITCH_REST_YOUNG,
    YOUNG,
)
from multicastmw.core.mesh.theirs import Theirs
from multicastmw.wire.mesh import Held

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.core.mesh.upstream import Upstream


class Better:
    """One feed's."""

    def __init__(self, upstream: "Upstream", feed: "Feed", now: float) -> None:
        self.switch_at = now + SWITCH_REST * feed.rng.uniform(0.2, 0.5)
        self._upstream = upstream
        self._feed = feed
        self._beacon, self._beacon_at = -1, now  # the last one that the parent has brought

    def than_another(self) -> None:
        """The parent is another one."""
        for theirs in self._feed.theirs.values():
            theirs.leads_no_more()

    def told(self, by: Neighbour, theirs: Theirs, held: Held, now: float) -> None:
        """A Have of one who is not the parent."""
        if held.beacon is not None:
            self._is_shorter(by, theirs, now)
        if theirs.beacon == self._beacon and theirs.beacon_at == now:
            theirs.led(self._beacon_at - now)  # later than the parent, this time

    def beacon(self, sequence: int, now: float) -> None:
        """The parent brought what is announced at once: from whom would it have been here earlier?"""
        if self._upstream.joining:
            return
        self._beacon, self._beacon_at = sequence, now
        best, lead_of_best = None, 0.0
        enough = 2 if self._is_young(now) else BETTER_TIMES
        for neighbour, theirs in self._feed.theirs.items():
            if neighbour is self._upstream.parent or theirs.beacon != sequence:
                theirs.leads = 0
                continue
            theirs.led(now - theirs.beacon_at)
            lead = theirs.sure_lead
            if lead <= max(BETTER_LEAST, BETTER_SHARE * neighbour.rtt):
                theirs.leads = 0
                continue
            theirs.leads += 1
            if theirs.leads >= enough and lead > lead_of_best and self._may(neighbour, theirs, now):
                best, lead_of_best = neighbour, lead
        if best is not None and now >= self.switch_at:
            self._switch(best, now)

    def _is_young(self, now: float) -> bool:
        """A tree that has just grown is still rough."""
        return now - self._feed.began < YOUNG

    def _is_shorter(self, by: Neighbour, theirs: Theirs, now: float) -> None:
        """What it says of its way may be so much better than ours that we go there."""
        if self._upstream.joining or now < self.switch_at or not theirs.path:
            return
        mine = self._upstream.cost()
        gain = mine - theirs.cost - by.rtt * 5e5
        if mine and gain > max(SHORTER_LEAST, mine * SHORTER) and self._may(by, theirs, now):
            self._switch(by, now)

    def _may(self, neighbour: Neighbour, theirs: Theirs, now: float) -> bool:
        """Could it be the parent, and is this one not good enough all the same?"""
        upstream = self._upstream
        if upstream.rotation.stays(neighbour):
            return False
        return neighbour is upstream.second.parent or upstream.may_feed(neighbour, theirs, now)

    def _switch(self, to: Neighbour, now: float) -> None:
        self.switch_at = now + (SWITCH_REST_YOUNG if self._is_young(now) else SWITCH_REST)
        if to is self._upstream.second.parent:
            self._upstream.second.changes_places(now)
        else:
            self._upstream.graft(to, now)
