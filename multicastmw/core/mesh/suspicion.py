"""Does the parent of a stream keep back what it has?  Two questions, and a trial.

    silent   nothing comes from it while others have more: it is asked for the next packet
    late     it has announced a beacon packet to us, its child, and half a second later neither that packet
             nor any behind it is here.  If what it sends since then is older, it is late; if it has sent
             nothing, the packet may be lost, and the source pause: it is asked for it

Who has not what it is asked for says so (and STALL), and is innocent.  Who has it stands on **trial**: it may
have sent it on, and the network lost it.  It is acquitted by the next packet that it sends as all are sent,
if that is newer than what was here when the trial began; so it is not pruned before.  It has kept packets
back if the stream goes on, by others or by what it sends when it is asked, and a while later still none has
come from it so.

Who is slow because its own parent is says what it has when it has it, so that no child blames it for others.
"""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import HALF, MASK, ahead, among
from multicastmw.wire.mesh import Held, Nack, Prune, Range

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed

# What we chose.
LATE, LATE_PACKETS = 0.5, 5  # seconds, and packets' time where that is more
ANSWER = 3.0  # seconds for which an answer counts
REST = 1.0  # seconds between two questions to one
LOOK = 0.3  # seconds between two looks at who is on trial: longer than a queue holds packets back
GOES_ON = 5  # packets of the stream in which one of who is on trial comes as well, if it sends them
TRIAL = 5.0  # seconds: who is not found out by then is acquitted
NEVER = float("inf")


class Suspicion:
    """One feed's, of whoever is or was its parent."""

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self.suspect: Neighbour | None = None
        self._number = 0  # that it was asked for
        self._fresh = 0  # what it sends from that number on is not late
        self._asked_at = -NEVER
        self._accused_at = NEVER  # it has it, and is on trial since
        self._look_at = NEVER
        self._tops: list[int] = []  # how far the stream was at each look
        self._beacon = -1
        self._announced_at = -NEVER
        self._old_at = -NEVER  # when the parent sent on what is older than that, and was here by then
        self._late_at = NEVER  # when the beacon that the parent has announced is to be here

    # --- questions

    def silent(self, parent: Neighbour, now: float) -> None:
        """It sends nothing, and others have more."""
        self._ask(parent, (self._feed.top + 1) & MASK, now)

    def _ask(self, parent: Neighbour, number: int, now: float) -> None:
        if now - self._asked_at < REST or self._accused_at < NEVER:
            return
        if self.suspect is not None and self.suspect is not parent:
            self.release(now)
        self.suspect, self._asked_at = parent, now
        self._number = self._fresh = number
        self._feed.of(parent).asked_at = now
        parent.say(Nack(self._feed.key, (Range(number, number),)), now)

    def brought(self, sequence: int, is_resent: int, now: float) -> None:
        """A packet came from the suspect: as all are sent, and then it was the network; or again."""
        if not is_resent:
            if not ahead(self._fresh, sequence):
                self._forget()
        elif sequence == self._number:
            self._accuse(now)

    def doubled(self, sequence: int, now: float) -> None:
        """The parent sends on what is here already: it was asked for, of it or of others."""
        if ahead(self._beacon, sequence):
            self._old_at = now

    def told(self, by: Neighbour, held: Held, now: float) -> None:
        """Does it say that it has what we lack?"""
        if by is self.suspect:
            has_it = not ahead(self._number, held.highest) and not among(self._number, held.missing)
            if held.load.stalled or not (has_it or self._accused_at < NEVER):
                self.release(now)
            elif has_it and now > self._asked_at + by.rtt:
                self._accuse(now)
        if by is self._feed.parent and held.load.beacon and self._late_at == NEVER:
            rate = self._feed.rate
            self._beacon, self._announced_at = held.highest, now
            self._late_at = now + max(LATE, LATE_PACKETS / rate if rate else 1.0)
            self._feed.wake(self._late_at)

    # --- the trial

    def _accuse(self, now: float) -> None:
        """It has what it was asked for."""
        if self._accused_at < NEVER:
            return
        if now - self._asked_at >= ANSWER:
            self.release(now)
            return
        self._accused_at, self._look_at = now, now + LOOK
        newest = self._feed.top if ahead(self._feed.top, self._number) else self._number
        self._fresh = (newest + 1) & MASK
        self._tops = []
        self._feed.wake(self._look_at)

    def _forget(self) -> None:
        self.suspect = None
        self._accused_at = self._look_at = NEVER

    def release(self, now: float) -> None:
        """No more is asked of it: if another one is the parent, it need not send."""
        suspect = self.suspect
        self._forget()
        if suspect is not None and suspect not in self._feed.upstream.asked():
            self._feed.of(suspect).pruned_at = now
            suspect.say(Prune(self._feed.key), now)

    def _look(self, now: float) -> None:
        """The stream has gone on between two looks, and it had one more to send some of it."""
        suspect = self.suspect
        if suspect is None:
            return
        tops = self._tops
        tops.append(self._feed.top)
        if len(tops) > 2 and GOES_ON <= (tops[-2] - tops[0]) & MASK < HALF:
            self.release(now)
            self._feed.upstream.keeps_back(suspect, now)
        elif now >= self._accused_at + TRIAL:
            self.release(now)
        else:
            self._look_at = now + LOOK
            self._feed.wake(self._look_at)

    # --- time

    def another(self) -> None:
        """The parent is another: what the old one has announced is no matter any more."""
        self._late_at = NEVER

    def leaves(self, by: Neighbour) -> None:
        """It says that it is no parent of ours, or is no more."""
        if by is self.suspect:
            self._forget()

    def tick(self, now: float) -> None:
        if now >= self._look_at:
            self._look(now)
        elif self._look_at < NEVER:
            self._feed.wake(self._look_at)
        if now >= self._late_at:
            self._late_at = NEVER
            self._is_late(now)
        elif self._late_at < NEVER:
            self._feed.wake(self._late_at)
        if self.suspect is not None and self._accused_at == NEVER and now >= self._asked_at + ANSWER:
            self.release(now)  # it has not answered

    def _is_late(self, now: float) -> None:
        """Is it?"""
        feed, parent = self._feed, self._feed.parent
        if parent is None:
            return
        has_come = self._has_come()
        sent_at = self._old_at if has_come else feed.upstream.fed_at
        if sent_at > self._announced_at + LATE / 2:
            feed.upstream.keeps_back(parent, now)  # what it sends is older than what it has announced
        elif not has_come:
            self._ask(parent, self._beacon, now)

    def _has_come(self) -> bool:
        """Is the announced packet here, or any behind it?"""
        return not ahead(self._beacon, self._feed.top)
