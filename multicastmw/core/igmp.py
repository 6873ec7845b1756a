"""The router side of IGMP on one TAP: it asks the hosts what they want and says what changed.

    packets from the TAP -> accept ─┐
                                    ├─> Send (a packet), Want and Unwant (a channel)
    time -> tick ───────────────────┘

Versions 1 to 3 (RFC 1112, RFC 2236, RFC 3376).  igmp_group.py has one group's state, igmp_election.py the
other routers; here are the queries, the translation of older versions, and the bounds.

Reports of every version are heard whatever version our queries have: a Linux host joins with version 3
until it has heard an older query, and a user whose join is ignored has no picture.  `version` is how we
*ask*; asked by version 2, hosts fall back by themselves (RFC 3376, 7.2.1).
"""

from math import inf

from multicastmw.core.deadlines import Deadlines
from multicastmw.core.igmp_election import Election
from multicastmw.core.igmp_group import NO_SOURCES, Asked, Membership, changes, unicast
from multicastmw.core.igmp_reporters import Reporters
from multicastmw.core.igmp_values import (
    GRACE,
    LINK_LOCAL,
    STARTUP_AT,
    STARTUP_RESPONSE,
    Action,
    Counters,
    IgmpSettings,
    QuerierStatus,
    Send,
    Unwant,
    Want,
    querier_address,
)
from multicastmw.wire.igmp import (
    ALL_SYSTEMS,
    Arrival,
    BadIgmp,
    Kind,
    Leave,
    Query,
    Record,
    Report,
    ReportV3,
    Unknown,
    carries_router_alert,
    pack,
    unpack,
)
from multicastmw.wire.ipv4 import Buffer

# What we chose: a tick that is so many seconds late tells that this process did not run.
LATE = 2.0

__all__ = ["Action", "IgmpSettings", "Querier", "QuerierStatus", "Send", "Unwant", "Want", "querier_address"]


class Querier:
    """Who wants what on one TAP (RFC 3376, 6)."""

    def __init__(self, settings: IgmpSettings, address: int) -> None:
        """`address` is the one that we speak from (see querier_address), 0: a host without an address."""
        self.settings = settings
        self.address = address
        self.counters = Counters()
        self._election = Election(settings, address)
        self._groups: dict[int, Membership] = {}
        self._deadlines = Deadlines()
        self._reporters = Reporters()
        self._running = False
        self._startup: list[float] = []  # when start-up queries are due
        self._query_at = inf  # when the next later one is

    # -- the TAP's life ----------------------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        """The TAP is open: the start-up queries begin."""
        self._running = True
        return self._take_office(now)

    def stop(self) -> list[Action]:
        """The TAP has gone, and with it all memberships: hosts have to join again."""
        actions: list[Action] = [Unwant(group, source) for group, source in sorted(self.wanted())]
        self._running = False
        self._groups.clear()
        self._deadlines.clear()
        self._reporters.clear()
        self._election = Election(self.settings, self.address)
        self._rest()
        return actions

    def configure(self, settings: IgmpSettings, now: float, address: int | None = None) -> list[Action]:
        """New settings, perhaps a new address; groups stay, and are asked at once what they want by the new.

        What is over a bound that shrank stays until it expires.
        """
        address = self.address if address is None else address
        if (settings, address) == (self.settings, self.address):
            return []
        self.settings, self.address = settings, address
        return self._take_office(now) if self._running else []

    def deadline(self) -> float:
        return min(self._query_due(), self._election.until, self._deadlines.deadline())

    def tick(self, now: float) -> list[Action]:
        actions: list[Action] = []
        if now - self.deadline() >= LATE:
            self._postpone(now - self.deadline())
        if now >= self._election.until:
            actions += self._take_office(now)
        if now >= self._query_due():
            actions.append(self._general_query(now))
        for group in self._deadlines.due(now):
            actions += self._settle(self._groups[group], now)
        return actions

    def _postpone(self, seconds: float) -> None:
        """We did not run for so long: neither hosts nor other queriers were silent, we did not listen."""
        self._election.until += seconds
        self._deadlines.clear()
        for group, membership in self._groups.items():
            membership.postpone(seconds)
            self._deadlines.wind(group, membership.deadline())

    @property
    def other(self) -> int:
        """Who asks instead of us; 0: nobody."""
        return self._election.other

    def wanted(self) -> frozenset[tuple[int, int]]:
        """All channels that are wanted, as (group, source)."""
        return frozenset((group, source) for group, m in self._groups.items() for source in m.wanted())

    def hosts_of(self, group: int, now: float) -> tuple[int, float] | None:
        """How many hosts want it, as far as they are known, and for how many seconds; None: none does."""
        membership = self._groups.get(group)
        return (len(self._reporters.of(group, now)), now - membership.since) if membership else None

    def snapshot(self, now: float) -> QuerierStatus:
        return QuerierStatus(
            running=self._running,
            version=self.settings.version,
            address=self.address,
            querier=self._election.other or self.address,
            is_querier=not self._election.other,
            other_expires_in=max(self._election.until - now, 0.0) if self._election.other else 0.0,
            groups=tuple(
                self._groups[group].status(now, self._reporters.of(group, now))
                for group in sorted(self._groups)
            ),
            counters=self.counters.values(),
        )

    # -- what hosts and other routers say ----------------------------------------------------------------

    def accept(self, packet: Buffer, now: float) -> list[Action]:
        """One IPv4 packet with IGMP in it, from the TAP; what is wrong with it is counted, never raised.

        Destination and TTL are not looked at: version 1 and 2 reports go to the group, a router takes what
        is sent to any address of its interface (RFC 3376, 4.1.12 and 4.2.14), and a TAP is one link.
        """
        if not self._running:
            return []
        try:
            arrival = unpack(packet)
        except BadIgmp as problem:
            self.counters.malformed[problem.reason] += 1
            return []
        self._count_router_alert(arrival)
        return self._accept_message(arrival, now)

    def _accept_message(self, arrival: Arrival, now: float) -> list[Action]:
        match arrival.message:
            case Query() as query:
                self._accept_query(query, arrival.source, now)
            case Report(version, group):
                return self._accept_report(version, group, arrival.source, now)
            case Leave(group):
                self.counters.leaves += 1
                return self._accept_record(Record(Kind.TO_IN, group), arrival.source, now)
            case ReportV3(records):
                self.counters.reports_v3 += 1
                return [a for record in records for a in self._accept_record(record, arrival.source, now)]
            case Unknown():
                self.counters.unknown_messages += 1
        return []

    def _count_router_alert(self, arrival: Arrival) -> None:
        """Versions 2 and 3 must carry it (RFC 2236, 2; RFC 3376, 4), but it is no condition for us.

        It tells routers to look at what they only forward; here everything is looked at.  Some stacks leave
        it out and some firewalls strip IP options, and their users want the picture all the same.
        """
        if not arrival.router_alert and carries_router_alert(arrival.message):
            self.counters.no_router_alert += 1

    def _accept_report(self, version: int, group: int, reporter: int, now: float) -> list[Action]:
        """Versions 1 and 2 say IS_EX ({}), and that an older host is about (RFC 3376, 7.3.2)."""
        if version == 1:
            self.counters.reports_v1 += 1
        else:
            self.counters.reports_v2 += 1
        return self._accept_record(Record(Kind.IS_EX, group), reporter, now, older=version)

    def _accept_record(self, record: Record, reporter: int, now: float, older: int = 0) -> list[Action]:
        if not self._tracked(record.group):
            return []
        if not Kind.IS_IN <= record.kind <= Kind.BLOCK:
            self.counters.unknown_records += 1  # ignored silently (RFC 3376, 4.2.12)
            return []
        membership = self._groups.get(record.group) or Membership(record.group, now)
        if older:
            v1 = older == 1 or self.settings.version == 1
            membership.heard_older(older, now + self._election.timing.lifetime(v1=v1))
        mode = self._mode(membership, now)
        kind = Kind(record.kind)
        if (mode < 3 and kind == Kind.BLOCK) or (mode == 1 and kind == Kind.TO_IN):
            return []  # older hosts cannot contradict it, those of version 1 not even a leave (7.3.2)
        sources = NO_SOURCES if mode < 3 and kind == Kind.TO_EX else unicast(record.sources)
        return self._apply(membership, kind, sources, reporter, now)

    def _apply(
        self, membership: Membership, kind: Kind, sources: frozenset[int], reporter: int, now: float
    ) -> list[Action]:
        group = membership.group
        before = membership.wanted()
        was_over = membership.over_bound
        until = now + self._election.timing.lifetime(v1=self._mode(membership, now) == 1)
        asked = membership.accept(kind, sources, until, self.settings.max_sources)
        if group not in self._groups:
            if not membership.wanted():
                return []  # a leave of what nobody wants
            if len(self._groups) >= self.settings.max_groups:
                self.counters.groups_over_bound += 1
                return []
            self._groups[group] = membership
        self.counters.sources_over_bound += membership.over_bound and not was_over
        if kind != Kind.BLOCK and (sources or kind in (Kind.IS_EX, Kind.TO_EX)):
            membership.reporter = reporter
            if reporter and not self._reporters.heard(group, reporter, until):
                self.counters.hosts_over_bound += 1
        elif kind == Kind.TO_IN:
            self._reporters.left(group, reporter)
        actions = changes(group, before, membership.wanted())
        if asked != (False, NO_SOURCES) and self._may_ask():
            membership.ask(asked, now, now + self.settings.last_member_time, self.settings.robustness)
            actions += self._questions(membership, now)
        self._deadlines.wind(group, membership.deadline())
        return actions

    def _tracked(self, group: int) -> bool:
        """Link-local groups never leave the link, so there is nothing to ask for; 232/8 is as any other.

        (RFC 4604 would have us ignore "any source" in 232/8; players that join there plainly are many.)
        """
        if group >> 28 != 0xE:
            self.counters.not_groups += 1
            return False
        return group >> 8 != LINK_LOCAL

    def _accept_query(self, query: Query, source: int, now: float) -> None:
        """Another querier, perhaps with a better right (RFC 3376, 6.6.1 and 6.6.2)."""
        self.counters.queries_heard += 1
        if source == self.address != 0:
            self.counters.own_queries_heard += 1  # a bridge sent it back
            return
        if query.version < self.settings.version:
            # Whoever reads the counters should configure our version to it (RFC 3376, 7.3.1).
            self.counters.older_queries_heard += 1
        if self._election.yields_to(source):
            self._election.follow(query, source, now)
            self._rest()
        membership = self._groups.get(query.group)
        if membership and query.version > 1 and not query.suppress:
            # Its hosts have its time to answer, not ours (RFC 2236, 3).
            theirs = self._election.timing.robustness * query.max_response + GRACE
            asked = Asked(not query.sources, frozenset(query.sources))
            membership.lower(asked, now + max(theirs, self.settings.last_member_time))
            self._deadlines.wind(membership.group, membership.deadline())

    # -- our duties --------------------------------------------------------------------------------------

    def _mode(self, membership: Membership, now: float) -> int:
        """A querier of version 1 has to ignore leaves (RFC 3376, 7.3.1): all its hosts count as version 1."""
        return 1 if self.settings.version == 1 else membership.mode(now)

    def _may_ask(self) -> bool:
        """Only the querier asks, and lowers timers for it; version 1 has no specific queries."""
        return not self._election.other and self.settings.version > 1

    def _query_due(self) -> float:
        return self._startup[0] if self._startup else self._query_at

    def _rest(self) -> None:
        """No general queries from us."""
        self._startup = []
        self._query_at = inf

    def _take_office(self, now: float) -> list[Action]:
        """We are the querier: at first nobody was, or it fell silent; so what hosts want is asked anew."""
        self._election = Election(self.settings, self.address)
        self._startup = [now + after for after in STARTUP_AT]
        return [self._general_query(now)]

    def _general_query(self, now: float) -> Send:
        response = self.settings.response
        if self._startup:
            response = min(response, STARTUP_RESPONSE)
            # Woken late, we skip what was missed: queries never come in a burst, and never stop.
            self._startup = [at for at in self._startup if at > now]
        self._query_at = now + self.settings.query_interval
        self.counters.general_queries_sent += 1
        return self._send(Query(group=0, max_response=response), ALL_SYSTEMS)

    def _settle(self, membership: Membership, now: float) -> list[Action]:
        """Whatever time has brought for one group: what ran out, what is to be asked again."""
        group = membership.group
        before = membership.wanted()
        membership.expire(now)
        after = membership.wanted()
        actions = changes(group, before, after)
        if not after:
            del self._groups[group]
            self._deadlines.forget(group)
            self._reporters.forget(group)
            return actions
        self._reporters.expire(group, now)
        actions += self._questions(membership, now)
        self._deadlines.wind(group, membership.deadline())
        return actions

    def _questions(self, membership: Membership, now: float) -> list[Action]:
        if not self._may_ask():
            membership.stop_asking()
            return []
        own = self.settings
        questions = membership.questions(now, now + own.last_member_time, own.last_member_interval)
        if own.version == 2:
            # Version 2 knows neither sources nor S.  Who answered already is not asked again (RFC 2236, 6).
            questions = [q._replace(sources=()) for q in questions if not q.suppress][:1]
        self.counters.specific_queries_sent += len(questions)
        query = Query(group=membership.group, max_response=own.last_member_interval)
        return [
            self._send(query._replace(sources=q.sources, suppress=q.suppress), membership.group)
            for q in questions
        ]

    def _send(self, query: Query, destination: int) -> Send:
        own = self.settings
        query = query._replace(version=own.version, robustness=own.robustness, interval=own.query_interval)
        return Send(pack(query, self.address, destination))
