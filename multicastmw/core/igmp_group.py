"""One group's memberships: the state, the two tables and the questions of RFC 3376, 6.2 to 6.6.

    INCLUDE (A)       sources A are wanted, each while its timer runs
    EXCLUDE (X, Y)    any source is wanted, while the group timer runs; X: requested by somebody, each with
                      a timer, Y: wanted by nobody.  X and Y matter when EXCLUDE ends: INCLUDE (X) follows.

A and X are one dict here, `requested`, so most rows of the tables are the same code for both modes.
Timers are points in time; they expire only in `expire`: a report that comes before the tick saves a group.
"""

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from multicastmw.core.igmp_values import ANY, Action, GroupStatus, Unwant, Want
from multicastmw.wire.igmp import Kind

NO_SOURCES: frozenset[int] = frozenset()
JUST_ANY = frozenset({ANY})


class Asked(NamedTuple):
    """Whom a change leaves in doubt: Send Q(G) and Send Q(G, sources) in the tables."""

    whole_group: bool = False
    sources: frozenset[int] = NO_SOURCES


class Question(NamedTuple):
    """A specific query that is due; no sources: Q(G)."""

    sources: tuple[int, ...]
    suppress: bool


class Pending(NamedTuple):
    """How often a question is still to be asked, and when next."""

    times: int
    at: float


NOBODY = Asked()


class Membership:
    """What the hosts of the TAP want of one group."""

    __slots__ = (
        "_asking",
        "_older_until",
        "excluded",
        "excluding",
        "group",
        "over_bound",
        "reporter",
        "requested",
        "since",
        "until",
    )

    def __init__(self, group: int, since: float = 0.0) -> None:
        self.group = group
        self.since = since  # when the first host of those that want it now said so
        self.excluding = False
        self.until = -inf  # the group timer
        self.requested: dict[int, float] = {}  # A, or X: source to its timer
        self.excluded: frozenset[int] = NO_SOURCES  # Y
        self.over_bound = False
        self.reporter = 0
        self._older_until = {1: -inf, 2: -inf}
        self._asking: dict[int, Pending] = {}  # by source; ANY: the whole group

    def wanted(self) -> frozenset[int]:
        """The sources to ask the overlay for; in EXCLUDE mode any, the hosts' kernels do the rest."""
        return JUST_ANY if self.excluding else frozenset(self.requested)

    def heard_older(self, version: int, until: float) -> None:
        """A report of version 1 or 2 came (RFC 3376, 7.3.2)."""
        self._older_until[version] = until

    def mode(self, now: float) -> int:
        """Group compatibility mode: the version of the oldest host about (RFC 3376, 7.3.2)."""
        return next((version for version, until in self._older_until.items() if now < until), 3)

    def accept(self, kind: Kind, sources: frozenset[int], until: float, bound: int) -> Asked:
        """One group record (RFC 3376, 6.4.1 and 6.4.2); `until` is now + the Group Membership Interval.

        A record that would bring the group over the bound counts as IS_EX ({}): any source.
        """
        if self._outgrown(kind, sources, bound):
            return self._take_any(kind, until)
        match kind:
            # INCLUDE (A)     IS_IN (B), ALLOW (B)   INCLUDE (A+B)        (B)=GMI
            # EXCLUDE (X,Y)   IS_IN (A), ALLOW (A)   EXCLUDE (X+A,Y-A)    (A)=GMI
            case Kind.IS_IN | Kind.ALLOW:
                self._include(sources, until)
                return NOBODY
            # INCLUDE (A)     TO_IN (B)              INCLUDE (A+B)        (B)=GMI, Q(G,A-B)
            # EXCLUDE (X,Y)   TO_IN (A)              EXCLUDE (X+A,Y-A)    (A)=GMI, Q(G,X-A), Q(G)
            case Kind.TO_IN:
                others = frozenset(self.requested) - sources
                self._include(sources, until)
                return Asked(self.excluding, others)
            # INCLUDE (A)     IS_EX (B)              EXCLUDE (A*B,B-A)    (B-A)=0, Group Timer=GMI
            # EXCLUDE (X,Y)   IS_EX (A)              EXCLUDE (A-Y,Y*A)    (A-X-Y)=GMI, Group Timer=GMI
            case Kind.IS_EX:
                self._exclude(sources, until)
                self.until = until
                return NOBODY
            # INCLUDE (A)     TO_EX (B)              EXCLUDE (A*B,B-A)    (B-A)=0, Q(G,A*B), Group Timer=GMI
            # EXCLUDE (X,Y)   TO_EX (A)              EXCLUDE (A-Y,Y*A)    (A-X-Y)=Group Timer, Q(G,A-Y),
            #                                                             Group Timer=GMI
            case Kind.TO_EX:
                self._exclude(sources, self.until)
                self.until = until
                return Asked(sources=frozenset(self.requested))
            # INCLUDE (A)     BLOCK (B)              INCLUDE (A)          Q(G,A*B)
            # EXCLUDE (X,Y)   BLOCK (A)              EXCLUDE (X+(A-Y),Y)  (A-X-Y)=Group Timer, Q(G,A-Y)
            case Kind.BLOCK:
                if self.excluding:
                    self.requested = dict.fromkeys(sources - self.excluded, self.until) | self.requested
                return Asked(sources=sources & self.requested.keys())

    def _include(self, sources: frozenset[int], until: float) -> None:
        self.requested |= dict.fromkeys(sources, until)
        self.excluded -= sources

    def _exclude(self, sources: frozenset[int], fresh: float) -> None:
        """Goes or stays EXCLUDE; `fresh` is the timer of sources that were in neither X nor Y."""
        if self.excluding:
            kept = sources - self.excluded
            self.excluded &= sources
        else:
            kept = sources & self.requested.keys()
            self.excluded = sources - kept
        self.requested = {source: self.requested.get(source, fresh) for source in kept}
        self.excluding = True

    def _take_any(self, kind: Kind, until: float) -> Asked:
        self.over_bound = True
        if kind == Kind.BLOCK:
            # Sources that we did not keep are given up: everybody is asked, and answers with what it wants.
            return Asked(whole_group=True)
        self._exclude(NO_SOURCES, until)
        self.until = until
        return NOBODY

    def _outgrown(self, kind: Kind, sources: frozenset[int], bound: int) -> bool:
        match kind:
            case Kind.IS_EX | Kind.TO_EX:
                return len(sources) > bound
            case Kind.BLOCK if not self.excluding:
                return False
            case Kind.BLOCK if self.over_bound:
                return True
        return len(sources | self.excluded | self.requested.keys()) > bound

    def ask(self, asked: Asked, now: float, soon: float, times: int) -> None:
        """Lowers the timers in doubt to `soon`, now + Last Member Query Time (RFC 3376, 6.6.3).

        What is in doubt already is not asked again: a flood of leaves is one series of queries.
        """
        if asked.whole_group and (self.until > soon or ANY not in self._asking):
            self._asking[ANY] = Pending(times, now)
        for source in asked.sources:
            if self.requested[source] > soon:
                self._asking[source] = Pending(times, now)
        self.lower(asked, soon)

    def lower(self, asked: Asked, soon: float) -> None:
        """Timers are at most `soon`; for who sends a query and for who hears one (RFC 3376, 6.6.1)."""
        if asked.whole_group:
            self.until = min(self.until, soon)
        for source in asked.sources & self.requested.keys():
            self.requested[source] = min(self.requested[source], soon)

    def stop_asking(self) -> None:
        self._asking.clear()

    def questions(self, now: float, soon: float, interval: float) -> list[Question]:
        """The queries that are due; those for whom somebody answered say so: S (RFC 3376, 6.6.3.1 and .2)."""
        due = [source for source, pending in self._asking.items() if pending.at <= now]
        for source in due:
            times = self._asking.pop(source).times - 1
            if times:
                self._asking[source] = Pending(times, now + interval)
        questions = []
        if ANY in due and self.excluding:
            questions.append(Question((), self.until > soon))
        for suppress in (True, False):
            sources = [s for s in due if s in self.requested and (self.requested[s] > soon) == suppress]
            if sources:
                questions.append(Question(tuple(sorted(sources)), suppress))
        return questions

    def postpone(self, seconds: float) -> None:
        """Nobody was asked for so long, so nobody had to answer."""
        self.until += seconds
        self.requested = {source: until + seconds for source, until in self.requested.items()}
        self._older_until = {version: until + seconds for version, until in self._older_until.items()}

    def expire(self, now: float) -> None:
        """Timers that ran out (RFC 3376, 6.2.3 and 6.5)."""
        over = frozenset(source for source, until in self.requested.items() if until <= now)
        for source in over:
            del self.requested[source]
        if self.excluding:
            self.excluded |= over
            if self.until <= now:
                self.excluding = self.over_bound = False
                self.excluded = NO_SOURCES

    def deadline(self) -> float:
        """When `expire` or `questions` has something to do; inf where the group is wanted by nobody."""
        group_timer = self.until if self.excluding else inf
        asking = min((pending.at for pending in self._asking.values()), default=inf)
        return min(group_timer, asking, *self.requested.values(), inf)

    def status(self, now: float, hosts: Iterable[int] = ()) -> GroupStatus:
        last = self.until if self.excluding else max(self.requested.values(), default=now)
        return GroupStatus(
            group=self.group,
            mode="exclude" if self.excluding else "include",
            version=self.mode(now),
            sources=tuple(sorted(self.requested)),
            excluded=tuple(sorted(self.excluded)),
            reporter=self.reporter,
            hosts=tuple(hosts),
            expires_in=max(last - now, 0.0),
            over_bound=self.over_bound,
        )


def unicast(sources: tuple[int, ...]) -> frozenset[int]:
    """What can be a source: source 0 would read "any", and no sender has a multicast address."""
    return frozenset(source for source in sources if 0 < source >> 24 < 224)


def changes(group: int, before: frozenset[int], after: frozenset[int]) -> list[Action]:
    """New wants come first, so that a flow which only changes its channel has no gap."""
    if before == after:
        return []
    wants: list[Action] = [Want(group, source) for source in sorted(after - before)]
    return wants + [Unwant(group, source) for source in sorted(before - after)]
