"""The questions of this node's own people: when they are asked, and what comes back, as lines for them.

A machine each, which its owner gives away as soon as nobody listens any more.  Lines are objects with one
key: `begin` says who asks and whom, `end` is the last one.  What they mean all together is for whoever reads
them: the command that shows them, which also may be told to stop at any time.
"""

from collections.abc import Callable, Iterator
from math import inf
from typing import Any, NamedTuple

from multicastmw.core.addressing import key_text
from multicastmw.core.identity import node_of
from multicastmw.core.probing.answering import SPREAD_MAX, Facts
from multicastmw.core.probing.survey import INTERVAL_MIN, LASTS_MAX, PROBES_A_SECOND, PROBES_MAX, SETTLE
from multicastmw.wire.probe import (
    ENTRIES_MAX,
    NODES_MAX,
    Body,
    Collect,
    Flag,
    Head,
    Kind,
    Ping,
    PingAnswer,
    Report,
    Survey,
    Taker,
    Trace,
    TraceAnswer,
)

# What we chose.
SPREAD_A_NODE = 0.002  # seconds, so that nobody has to read more than 500 answers a second
NEARLY = 0.5  # seconds that an answer may take beside that
SURVEY_TOLD = (0.0, 0.08, 0.16)  # seconds; who hears none of the three takes no part
# In a mesh the question's way has to grow first, and what is lost comes again: all begin at the same time.
SURVEY_TOLD_MESH = (0.0, 0.1, 0.3, 0.6, 1.0, 1.5)
GROWN, AGAIN = 2.0, 1.0  # seconds until the first probe, and for which the last one may be sent again
TRIES = 5  # times that who does not answer is asked again
ANSWERERS_MAX = 1_024  # nodes whose answers are told, beside those that are known
KNOWN_MAX = 16_384  # nodes that one question knows of, those that have gone among them
SAMPLE = 16  # rounds of a trace's sample
NOBODY = (0,)
ROUNDS = 1 << 16
MICRO = 1_000_000

Tell = Callable[[dict[str, Any]], None]
Question = tuple[Head, Body]


class Here(NamedTuple):
    """Who asks: the node's id and name, and the number that this question has."""

    node: int
    name: str
    run: int


def text(node: int) -> str:
    """An id as people read it."""
    return f"{node:016x}"


class _Asking:
    """What all questions have."""

    def __init__(self, here: Here, facts: Facts, tell: Tell, now: float) -> None:
        self.run = here.run
        self.is_over = False
        self._here = here
        self._facts = facts
        self._tell = tell
        self._known = dict(facts.known())
        self._answered: dict[int, set[int]] = {}  # node, and the parts that came of its answer
        self._parts: dict[int, int] = {}
        self._next_at = now

    def deadline(self) -> float:
        return inf if self.is_over else self._next_at

    def _begin(self, **more: Any) -> None:
        nodes = [{"id": text(node), "name": name} for node, name in self._known.items()]
        here = {"id": text(self._here.node), "name": self._here.name}
        self._tell({"begin": {"node": here, "nodes": nodes, **more}})

    def _end(self) -> None:
        self.is_over = True
        self._tell({"end": {}})

    def _who(self, node: int) -> dict[str, Any]:
        name = self._here.name if node == self._here.node else self._known.get(node)
        return {"id": text(node), "name": name or self._facts.name(node)}

    def _head(self, kind: Kind, round_: int, spread: float) -> Head:
        return Head(kind, self.run, self._here.node, round_, time=int(spread * MICRO))

    def _spread(self, a_node: float = SPREAD_A_NODE) -> float:
        return min(SPREAD_MAX, len(self._known) * a_node)

    def _is_welcome(self, node: int) -> bool:
        """Is there room for what that node says?  For one that we know of there is, whoever else answers."""
        known = node in self._known or node == self._here.node or node in self._answered
        return known or len(self._answered) < ANSWERERS_MAX

    def _came(self, node: int, head: Head) -> bool:
        """A part of a node's answer: False where it has come before, or there is no room."""
        if not self._is_welcome(node):
            return False
        parts = self._answered.setdefault(node, set())
        if head.part in parts:
            return False
        parts.add(head.part)
        self._parts[node] = max(1, head.parts)
        return True

    def _missing(self) -> list[int]:
        """Known nodes that have not answered, or not all of it."""
        return [node for node in self._known if len(self._answered.get(node, ())) < self._parts.get(node, 1)]


class PingAsking(_Asking):
    """Who wants the channel?  Again and again (`count` 0: until given up); who has never answered is named
    in the question, so that it says something though nobody there wants it."""

    def __init__(self, here: Here, facts: Facts, tell: Tell, now: float, group: int, source: int, count: int,
                 interval: float, patience: float) -> None:  # fmt: skip
        super().__init__(here, facts, tell, now)
        self._group, self._source = group, source
        self._count, self._interval, self._patience = count, interval, patience
        self._round = 0
        self._sent_at: dict[int, float] = {}
        self._wanting: set[int] = set()
        self._last: set[int] = set()  # who has answered the last round

    def tick(self, now: float) -> Iterator[Question]:
        if self.is_over or now < self._next_at:
            return
        if self._count and self._round >= self._count:
            self._end()
            return
        if self._round == 0:
            self._begin(group=key_text(self._group), source=key_text(self._source))
        if len(self._known) < KNOWN_MAX:
            self._known |= self._facts.known()
        silent = tuple(self._missing())
        self._sent_at[self._round % ROUNDS] = now
        self._sent_at.pop((self._round - 64) % ROUNDS, None)
        self._last.clear()
        self._tell({"asked": self._round})
        nodes = () if self._round == 0 else silent[:NODES_MAX] or NOBODY
        head = self._head(Kind.PING, self._round % ROUNDS, self._spread())
        yield head, Ping(self._group, self._source, nodes)
        self._round += 1
        is_last = self._count and self._round >= self._count
        self._next_at = now + (self._patience + self._spread() if is_last else self._interval)

    def accept(self, head: Head, body: Body, node: int, hops: int, now: float) -> None:
        sent = self._sent_at.get(head.round)
        if not isinstance(body, PingAnswer) or sent is None or not self._is_welcome(node):
            return
        self._answered.setdefault(node, set()).add(0)
        if body.wanted_by:
            self._wanting.add(node)
            if head.round == (self._round - 1) % ROUNDS:
                self._last.add(node)
        self._tell({"answer": {
            **self._who(node), "here": node == self._here.node, "round": head.round,
            "wanted_by": list(body.wanted_by), "hosts": body.hosts, "hops": hops,
            "since": body.since if body.since >= 0 else None,
            "rtt_ms": 0.0 if node == self._here.node else milliseconds(now - sent - head.time / MICRO),
        }})  # fmt: skip
        if self._count and self._round >= self._count and self._last >= self._wanting and not self._missing():
            self._next_at = now


def milliseconds(seconds: float) -> float:
    """Rounded, and never below nothing."""
    return round(max(0.0, seconds) * 1000, 3)


class SurveyAsking(_Asking):
    """Everybody sends probes and counts; then everybody is asked what came, who does not say it again."""

    def __init__(
        self, here: Here, facts: Facts, tell: Tell, now: float, probes: int, interval: float,
        grows: bool = False,
    ) -> None:  # fmt: skip
        """`grows`: the ways to the others do, as in a mesh."""
        super().__init__(here, facts, tell, now)
        everybody = len(self._known) + 1
        self.interval = max(interval, INTERVAL_MIN, everybody / PROBES_A_SECOND)
        self.probes = max(1, min(PROBES_MAX, probes, int(LASTS_MAX / self.interval)))
        self._times = SURVEY_TOLD_MESH if grows else SURVEY_TOLD
        self._patience = NEARLY + AGAIN if grows else NEARLY  # for answers
        self._knows_all = not grows  # of a mesh only neighbours are known, and others answer as well
        self._told = 0
        self._tries = 0
        self._began = now
        self._first_at = now + GROWN if grows else now  # a probe is sent; now: as each one hears of it
        begins = GROWN + AGAIN if grows else SURVEY_TOLD[-1] + SETTLE
        self._ends_at = now + begins + self.probes * self.interval + NEARLY
        self._report_at = now + 1.0

    def tick(self, now: float) -> Iterator[Question]:
        if self.is_over or now < self._next_at:
            return
        if self._told < len(self._times):
            if not self._told:
                self._begin(probes=self.probes, interval=round(self.interval, 4),
                            seconds=round(self._ends_at - now, 1))  # fmt: skip
            head = self._head(Kind.SURVEY, 0, max(0.0, self._first_at - now))
            yield head, Survey(self.probes, round(self.interval * 1000))
            self._told += 1
            is_last = self._told == len(self._times)
            self._next_at = self._wake_at(now) if is_last else self._began + self._times[self._told]
        elif now < self._ends_at:
            self._next_at = self._wake_at(now)
        else:
            yield from self._collect(now)

    def _wake_at(self, now: float) -> float:
        """Once a second it says how far it is."""
        self._tell({"progress": {"done": round(now - self._began, 1),
                                 "of": round(self._ends_at - self._began, 1)}})  # fmt: skip
        return min(now + 1.0, self._ends_at)

    def _collect(self, now: float) -> Iterator[Question]:
        missing = tuple(self._missing())
        if self._tries >= TRIES or (self._tries and not missing):
            self._end()
            return
        everybody = len(self._known) + 1
        parts = -(-everybody // ENTRIES_MAX)
        asked = len(missing) if self._tries else everybody
        spread = min(SPREAD_MAX, asked * parts * SPREAD_A_NODE)
        nodes = missing[:NODES_MAX] if self._tries else ()
        yield self._head(Kind.COLLECT, self._tries, spread), Collect(nodes)
        self._tries += 1
        self._next_at = now + spread + self._patience

    def accept(self, head: Head, body: Body, node: int, hops: int, now: float) -> None:
        if not isinstance(body, Report) or not self._came(node, head):
            return
        entries = [
            {"from": self._who(each.node), "got": each.got, "hops": each.hops, "least_us": each.least,
             "mean_above_us": each.mean_above, "most_above_us": each.most_above}
            for each in body.entries
        ]  # fmt: skip
        self._tell({"report": {**self._who(node), "sent": body.sent, "entries": entries}})
        is_all = self._knows_all and not self._missing() and self._here.node in self._answered
        if self._tries and is_all:
            self._next_at = now


class TraceAsking(_Asking):
    """What routes say, twice, some seconds apart; who does not answer is asked again."""

    def __init__(self, here: Here, facts: Facts, tell: Tell, now: float, group: int, source: int,
                 apart: float) -> None:  # fmt: skip
        super().__init__(here, facts, tell, now)
        self._group, self._source, self._apart = group, source, apart
        self._sample = self._tries = 0
        self._began = now

    def tick(self, now: float) -> Iterator[Question]:
        if self.is_over or now < self._next_at:
            return
        missing = tuple(self._missing())
        if self._tries and (self._tries >= TRIES or not missing):
            if self._sample:
                self._end()
                return
            self._sample, self._tries = 1, 0
            self._answered.clear()
            self._parts.clear()
            self._next_at = max(now, self._began + self._apart)
            if now < self._next_at:
                return
        if not (self._sample or self._tries):
            self._begin(group=key_text(self._group), source=key_text(self._source), seconds=self._apart)
        nodes = missing[:NODES_MAX] if self._tries else ()
        spread = self._spread()
        round_ = self._sample * SAMPLE + self._tries
        yield self._head(Kind.TRACE, round_, spread), Trace(self._group, self._source, nodes)
        self._tries += 1
        self._next_at = now + spread + NEARLY

    def _taker(self, taker: Taker) -> dict[str, Any]:
        return self._who(taker.node) if taker.node else {"id": None, "name": taker.name}

    def accept(self, head: Head, body: Body, node: int, hops: int, now: float) -> None:
        is_of_sample = head.round // SAMPLE == self._sample
        if not isinstance(body, TraceAnswer) or not is_of_sample or not self._came(node, head):
            return
        self._tell({"answer": {
            **self._who(node), "sample": self._sample, "hops": hops, "clock_us": body.clock,
            "source": key_text(body.source), "seen": bool(body.flags & Flag.SEEN),
            "begins_here": bool(body.flags & Flag.BEGINS_HERE), "fast": bool(body.flags & Flag.FAST),
            "denied": bool(body.flags & Flag.DENIED), "why_slow": body.why, "packets": body.packets,
            "bytes": body.bytes, "to_nobody": body.to_nobody, "died_of_ttl": body.died_of_ttl,
            "sent": body.sent, "more_takers": body.more,
            "to": [self._taker(each) for each in body.takers],
            "streams": [
                {"origin": self._who(node_of(each.origin)), "by": text(each.origin),
                 "ingress": self._who(each.ingress) if each.ingress else None,
                 "received": each.received, "lost": each.lost, "duplicates": each.duplicates,
                 "reordered": each.reordered}
                for each in body.streams
            ],
        }})  # fmt: skip
        if not self._missing() and self._here.node in self._answered:
            self._next_at = max(now, self._began + self._apart) if not self._sample else now
