"""Who has just joined a group of SAP, as far as IGMP tells it.

A report of versions 1 and 2, and a "current state" of version 3, answers a query as well as it joins: it is a
join of a host that has not said so lately.  A "change" of version 3 is a join, and is said twice (RFC 3376,
5.1).  Within one host the second program to join says nothing: net/listeners.py sees it, on this host.
"""

from collections.abc import Collection, Iterator

from multicastmw.wire.errors import Malformed
from multicastmw.wire.igmp import Kind, Leave, Report, ReportV3, unpack

# What we chose.
REPEATED = 3.0  # seconds within which a change that is said again is the same
LATELY = 90.0  # seconds; hosts answer a query every 10 s
MEMBERS_MAX = 256  # hosts and groups remembered; those above are not replied to
JOINING = (Kind.TO_EX, Kind.TO_IN, Kind.ALLOW)


class Joins:
    """Tells a join from an answer."""

    def __init__(self, groups: Collection[int]) -> None:
        self._groups = groups
        self._members: dict[tuple[int, int], float] = {}  # group and host: its last word

    def heard(self, packet: bytes, now: float) -> set[int]:
        """An IPv4 packet with IGMP: the groups that its host joins by it."""
        try:
            arrival = unpack(packet)
        except Malformed:
            return set()
        host = arrival.source
        joined = set()
        for group, kind in _wishes(arrival.message):
            if group not in self._groups:
                continue
            if kind is None:
                self._members.pop((group, host), None)
            elif self._is_new((group, host), REPEATED if kind in JOINING else LATELY, now):
                joined.add(group)
        return joined

    def _is_new(self, member: tuple[int, int], within: float, now: float) -> bool:
        before = self._members.pop(member, None)
        if before is None and len(self._members) >= MEMBERS_MAX:
            oldest = next(iter(self._members))
            if now - self._members[oldest] < LATELY:
                return False
            del self._members[oldest]
        self._members[member] = now
        return before is None or now - before > within


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
