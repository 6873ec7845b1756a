"""Who has just joined a group of SAP, as far as IGMP tells it.

A report of versions 1 and 2, and a "current state" of version 3, answers a query as well as it joins: it is a
join of a host that has not said so lately.  A "change" of version 3 is a join, and is said twice (RFC 3376,
5.1).  Within one host the second program to join says nothing: net/listeners.py sees it, on this host.
"""

from collections.abc import Collection, Iterator

from multicastmw.core.bucket import Bucket
from multicastmw.core.sessions.directory import SapCounters
from multicastmw.wire.errors import Malformed
from multicastmw.wire.igmp import Kind, Leave, Report, ReportV3, unpack

# What we chose.
REPEATED = 3.0  # seconds within which a change that is said again is the same
LATELY = 90.0  # seconds; hosts answer a query every 10 s
MEMBERS_MAX = 256  # hosts and groups remembered; of those above only changes count
AT_ONCE = 4  # joins of a host that are replied to: somebody who starts his player again and again
MORE_EVERY = 30.0  # seconds, and one more; who comes and goes each second is not
JOINING = (Kind.TO_EX, Kind.TO_IN, Kind.ALLOW)
THIS_HOST = 0  # for its programs of which IGMP says nothing


class Member:
    """A host in a group: when it said so last (never: it has left), and how often it may be replied to."""

    __slots__ = ("heard", "inside", "replies")

    def __init__(self) -> None:
        self.inside = self.heard = float("-inf")
        self.replies = Bucket(1 / MORE_EVERY, AT_ONCE)


class Joins:
    """Tells a join from an answer, and who only comes and goes from who comes."""

    def __init__(self, groups: Collection[int], counters: SapCounters) -> None:
        self._groups = groups
        self._counters = counters
        self._members: dict[tuple[int, int], Member] = {}  # by group and host, the longest silent first

    def heard(self, packet: bytes, now: float) -> set[int]:
        """An IPv4 packet with IGMP: the groups that its host joins by it."""
        try:
            arrival = unpack(packet)
        except Malformed:
            return set()
        joined = set()
        for group, kind in _wishes(arrival.message):
            if group not in self._groups:
                continue
            if kind is None:
                self._leaves(group, arrival.source)
            elif self._joins(group, arrival.source, kind, now):
                joined.add(group)
        return joined

    def program_came(self, group: int, now: float) -> bool:
        """One more program of this host listens; may it be replied to?"""
        member = self._member(group, THIS_HOST, now)
        return member is None or self._may_be_replied(member, now)

    def _leaves(self, group: int, host: int) -> None:
        if member := self._members.get((group, host)):
            member.inside = float("-inf")

    def _joins(self, group: int, host: int, kind: Kind, now: float) -> bool:
        member = self._member(group, host, now)
        if member is None:
            return kind in JOINING  # Replays has a bound of its own
        before, member.inside = member.inside, now
        within = REPEATED if kind in JOINING else LATELY
        return now - before > within and self._may_be_replied(member, now)

    def _may_be_replied(self, member: Member, now: float) -> bool:
        if member.replies.allows(now):
            return True
        self._counters.replays_refused += 1
        return False

    def _member(self, group: int, host: int, now: float) -> Member | None:
        """None where there is no room to remember it."""
        member = self._members.pop((group, host), None)
        if member is None and len(self._members) >= MEMBERS_MAX:
            oldest = next(iter(self._members))
            if now - self._members[oldest].heard < LATELY:
                return None
            del self._members[oldest]
        member = self._members[group, host] = member or Member()
        member.heard = now
        return member


def _wishes(message: object) -> Iterator[tuple[int, Kind | None]]:
    """(group, how it is wanted) of a message; None: no longer."""
    match message:
        case Report(_, group):
            yield group, Kind.IS_EX
        case Leave(group):
            yield group, None
        case ReportV3(records):
            for record in records:
                if record.kind == Kind.TO_IN and not record.sources:
                    yield record.group, None
                elif Kind.IS_IN <= record.kind <= Kind.ALLOW:
                    yield record.group, Kind(record.kind)
