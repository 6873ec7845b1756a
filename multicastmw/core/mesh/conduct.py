"""What is thought of nodes, by what they did to this one (gossipsub's P2, P3 and P7).

    first deliveries   a parent that feeds earns a little each second, up to a bound           P2
    promises           it said that it has a packet, was asked, and sent it, or did not;
                       as a parent it had packets that it did not send on, or sent on late     P3
    nuisances          floods, data after a prune, replies to nothing: these fade in seconds,
                       and stand with the link (neighbour.py)                                  P7

Promises are kept by node id, so that who hangs up and comes back is who it was.  All is first hand: what
others say of somebody counts for nothing, or liars would have the honest excluded.

Of what a node breaks within a second the worst counts, once: a link that falters for a moment does so to all
streams that go over it, and is no worse than with one.
"""

from multicastmw.core.mesh.neighbour import SCORE_LEAST

# What we chose.
FED = 0.1  # points for each second as a parent that feeds
DELIVERED = 1.0  # for a number that it sent when it was asked
PROMISED = -2.0  # for each second in which it sent nothing of what it said it has
UNANSWERED = -5.0  # for a graft, of who said that it has more: two in a hundred are lost on good links
DROPPED = -13.0  # for packets that a parent has and does not send on: twice in a minute and it is left
LED_AWAY = -7.0  # for a parent's packet with a number far from where the stream is
LOST = -2.0  # for packets of which many did not come: mostly it is the link
BALANCE_MOST = 4.0  # what good conduct is remembered for
ONCE = 1.0  # seconds in which only the worst counts
FADES = 0.994  # a second: half of it is forgotten after two minutes
RECORDS_MAX = 1_024
TOLD_MAX = 512  # members that somebody told of, and nobody has dialled yet
FALSE_LEAST, FALSE_SHARE = 12, 0.9  # of the members of one teller that were dialled; and that were not there
COUNTS = 600.0  # seconds in which they were


class Record:
    """Of one node."""

    __slots__ = ("at", "balance", "broke", "broke_at", "false", "told_at", "true")

    def __init__(self, now: float) -> None:
        self.balance = 0.0
        self.at = now
        self.broke = 0.0  # points of the worst since then
        self.broke_at = now
        self.told_at = now
        self.true: set[int] = set()  # members that it told of since then: there, each once,
        self.false: set[int] = set()  # and not there: a way that is cut is no lie

    def says(self, member: int, is_there: bool, now: float) -> bool:
        """It told of that one.  False: of hardly anybody who is there."""
        if not (self.true or self.false) or now - self.told_at > COUNTS:
            self._begin(now)
        (self.true if is_there else self.false).add(member)
        (self.false if is_there else self.true).discard(member)
        dialled = len(self.true) + len(self.false)
        if dialled < FALSE_LEAST:
            return True
        is_true = len(self.false) < FALSE_SHARE * dialled
        self._begin(now)
        return is_true

    def _begin(self, now: float) -> None:
        """Of whom it told before does not count any more."""
        self.told_at = now
        self.true.clear()
        self.false.clear()

    def breaks(self, points: float, now: float) -> float:
        """A promise; the points by which that is worse than what it has broken already."""
        if now >= self.broke_at + ONCE:
            self.broke_at, self.broke = now, 0.0
        worse = min(0.0, points - self.broke)
        self.broke += worse
        return worse


class Records:
    """Of all nodes that did anything; the one that was looked at longest ago goes first."""

    def __init__(self) -> None:
        self._records: dict[int, Record] = {}
        self._tellers: dict[int, int] = {}  # who told of a member

    def __len__(self) -> int:
        return len(self._records)

    def _of(self, node: int, now: float) -> Record:
        found = self._records.pop(node, None)
        if found is None:
            while len(self._records) >= RECORDS_MAX:
                del self._records[next(iter(self._records))]
            found = Record(now)
        self._records[node] = found
        return found

    def balance(self, node: int, now: float) -> float:
        found = self._records.get(node)
        return found.balance * FADES ** (now - found.at) if found else 0.0

    def credit(self, node: int, points: float, now: float) -> bool:
        """It kept a promise, or broke one; False: it is not to be dealt with any more."""
        record = self._of(node, now)
        if points < 0:
            points = record.breaks(points, now)
        record.balance = min(BALANCE_MOST, record.balance * FADES ** (now - record.at) + points)
        record.at = now
        return record.balance > SCORE_LEAST

    def served(self, node: int, now: float) -> None:
        """It was excluded, and may come again: the next offence counts from here."""
        record = self._of(node, now)
        record.balance, record.at = SCORE_LEAST / 2, now

    # --- members that somebody tells of

    def told(self, member: int, by: int) -> None:
        """At first hand: what somebody says in his own name."""
        if member not in self._tellers and len(self._tellers) >= TOLD_MAX:
            del self._tellers[next(iter(self._tellers))]
        self._tellers.setdefault(member, by)

    def is_there(self, member: int, is_there: bool, now: float) -> int | None:
        """It was dialled.  The node that told of it, if it tells of hardly anybody who is there."""
        teller = self._tellers.pop(member, None)
        if teller is None or self._of(teller, now).says(member, is_there, now):
            return None
        self._tellers = {told: by for told, by in self._tellers.items() if by != teller}
        return teller
