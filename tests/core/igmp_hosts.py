"""Hosts as RFC 1112, RFC 2236 and RFC 3376, 5 describe them, and the cable between them and a querier."""

from dataclasses import dataclass, field
from math import inf
from random import Random

from multicastmw.core.igmp import Querier, Send, Unwant, Want
from multicastmw.wire import igmp
from multicastmw.wire.igmp import Kind, Leave, Query, Record, Report, ReportV3

NOTHING = ("include", frozenset())


@dataclass
class Host:
    """One host: what its programs want of each group, and the answers that it still owes."""

    version: int
    address: int
    random: Random
    wants: dict[int, tuple[str, frozenset[int]]] = field(default_factory=dict)
    answers: list[tuple[float, int, frozenset[int] | None]] = field(default_factory=list)

    def join(self, group: int) -> list[igmp.Message]:
        return self.want(group, "exclude", frozenset())

    def leave(self, group: int) -> list[igmp.Message]:
        return self.want(group, *NOTHING)

    def want(self, group: int, mode: str, sources: frozenset[int]) -> list[igmp.Message]:
        """A program changes its mind; what the host says at once (RFC 3376, 5.1)."""
        old_mode, old = self.wants.get(group, NOTHING)
        self.wants[group] = (mode, sources)
        if (mode, sources) == NOTHING:
            del self.wants[group]
        if self.version < 3:
            joined, left = (old_mode, old) == NOTHING, (mode, sources) == NOTHING
            if joined and not left:
                return [Report(self.version, group)]
            return [Leave(group)] if left and not joined and self.version == 2 else []
        if mode != old_mode:
            kind = Kind.TO_IN if mode == "include" else Kind.TO_EX
            return [ReportV3((Record(kind, group, tuple(sources)),))]
        allow, block = (sources - old, old - sources) if mode == "include" else (old - sources, sources - old)
        records = [Record(Kind.ALLOW, group, tuple(allow))] if allow else []
        records += [Record(Kind.BLOCK, group, tuple(block))] if block else []
        return [ReportV3(tuple(records))] if records else []

    def heard(self, query: Query, now: float) -> None:
        """Owes an answer within the time that the query gives (RFC 3376, 5.2); version 1: within 10 s."""
        most = 10.0 if self.version == 1 else query.max_response
        groups = [query.group] if query.group and self.version > 1 else list(self.wants)
        for group in groups:
            if group in self.wants:
                sources = frozenset(query.sources) if query.sources and self.version == 3 else None
                self.answers.append((now + self.random.uniform(0, most), group, sources))

    def next_answer(self) -> float:
        return min((when for when, _, _ in self.answers), default=inf)

    def answer(self, now: float) -> list[igmp.Message]:
        due = [answer for answer in self.answers if answer[0] <= now]
        self.answers = [answer for answer in self.answers if answer[0] > now]
        messages = [self._answer(group, asked) for _, group, asked in due if group in self.wants]
        return [message for message in messages if message is not None]

    def _answer(self, group: int, asked: frozenset[int] | None) -> igmp.Message | None:
        mode, sources = self.wants[group]
        if self.version < 3:
            return Report(self.version, group)
        if asked is None:
            return ReportV3((Record(Kind.IS_IN if mode == "include" else Kind.IS_EX, group, tuple(sources)),))
        still = asked & sources if mode == "include" else asked - sources
        return ReportV3((Record(Kind.IS_IN, group, tuple(still)),)) if still else None


class Link:
    """A querier, hosts and the time; `wanted` is what the overlay was told, `sent` the queries with times."""

    def __init__(self, querier: Querier, hosts: list[Host]) -> None:
        self.querier = querier
        self.hosts = hosts
        self.now = 0.0
        self.wanted: set[tuple[int, int]] = set()
        self.sent: list[tuple[float, Query]] = []
        self.changes: list[tuple[float, Want | Unwant]] = []
        self.watch = lambda: None  # called whenever something happened
        self.does(querier.start(0.0))

    def does(self, actions: list) -> None:
        for action in actions:
            match action:
                case Want(group, source):
                    self.wanted.add((group, source))
                    self.changes.append((self.now, action))
                case Unwant(group, source):
                    self.wanted.remove((group, source))
                    self.changes.append((self.now, action))
                case Send(packet):
                    query = igmp.unpack(packet).message
                    self.sent.append((self.now, query))
                    for host in self.hosts:
                        host.heard(query, self.now)

    def says(self, host: Host, messages: list[igmp.Message]) -> None:
        for message in messages:
            self.does(self.querier.accept(igmp.pack(message, host.address, igmp.ALL_V3_ROUTERS), self.now))

    def run(self, until: float) -> None:
        while True:
            moment = min(self.querier.deadline(), *(host.next_answer() for host in self.hosts), inf)
            if moment > until:
                break
            self.now = max(self.now, moment)
            self.does(self.querier.tick(self.now))
            for host in self.hosts:
                self.says(host, host.answer(self.now))
            self.watch()
        self.now = until

    def flow(self, group: int) -> bool:
        """Does anything of the group come?"""
        return any(wanted == group for wanted, _ in self.wanted)

    def comes(self, group: int, source: int) -> bool:
        return (group, 0) in self.wanted or (group, source) in self.wanted
