"""Does the parent of a stream keep back what it has?  Two tests, both on what it says itself.

    silent   nothing comes from it while others have more: it is asked for the next packet.  Who sends that
             has had it, and did not send it on; who has not says so (and STALL), and is innocent
    late     it has announced a beacon packet to us, its child, and half a second later neither that packet
             nor any behind it is here

Who is slow because its own parent is says what it has when it has it, so that no child blames it for others.
"""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import MASK, ahead, among
from multicastmw.wire.mesh import Held, Nack, Range

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed

# What we chose.
LATE, LATE_PACKETS = 0.5, 5  # seconds, and packets' time where that is more
ANSWER = 3.0  # seconds for which an answer counts
REST = 1.0  # seconds between two questions to one
NEVER = float("inf")


class Suspicion:
    """One feed's, of whoever is or was its parent."""

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self.suspect: Neighbour | None = None
        self._number = 0  # that it was asked for
        self._asked_at = -NEVER
        self._beacon = -1
        self._late_at = NEVER  # when the beacon that the parent has announced is to be here

    # --- silent

    def silent(self, parent: Neighbour, now: float) -> None:
        """It sends nothing, and others have more."""
        if now - self._asked_at < REST:
            return
        self.suspect, self._asked_at = parent, now
        self._number = (self._feed.top + 1) & MASK
        self._feed.of(parent).asked_at = now
        parent.say(Nack(self._feed.key, (Range(self._number, self._number),)), now)

    def brought(self, sequence: int, is_resent: int, now: float) -> None:
        """A packet came from the suspect: as all are sent, and then it was the network; or again."""
        if not is_resent:
            self.suspect = None
        elif sequence == self._number and self.suspect is not None:
            self._judge(self.suspect, now)

    def told(self, by: Neighbour, held: Held, now: float) -> None:
        """Does it say that it has what we lack?"""
        if by is self.suspect:
            has_it = not ahead(self._number, held.highest) and not among(self._number, held.missing)
            if held.load.stalled or not has_it:
                self.suspect = None
            elif now > self._asked_at + by.rtt:
                self._judge(by, now)
        if by is self._feed.parent and held.load.beacon and self._late_at == NEVER:
            rate = self._feed.rate
            self._beacon = held.highest
            self._late_at = now + max(LATE, LATE_PACKETS / rate if rate else 1.0)
            self._feed.wake(self._late_at)

    def _judge(self, by: Neighbour, now: float) -> None:
        self.suspect = None
        if now - self._asked_at < ANSWER:
            self._feed.upstream.keeps_back(by, now)

    # --- late

    def another(self) -> None:
        """The parent is another: what the old one has announced is no matter any more."""
        self._late_at = NEVER

    def tick(self, now: float) -> None:
        if now < self._late_at:
            if self._late_at < NEVER:
                self._feed.wake(self._late_at)
            return
        self._late_at = NEVER
        parent = self._feed.parent
        if parent is not None and ahead(self._beacon, self._feed.top):
            self._feed.upstream.keeps_back(parent, now)
