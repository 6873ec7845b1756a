"""What this node answers to the questions of others, and of its own people.

Each question is answered once, however often it is heard.  Answers are spread over the time that the question
gives: each node has its own place in it, the same for all rounds of a run, so that two answers of a node are
as far apart as their questions were.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from struct import Struct as Twin
from typing import TYPE_CHECKING, NamedTuple, Protocol
from zlib import crc32

from multicastmw.core.probing.survey import PROBES_A_SECOND, SETTLE, SETTLE_MOST, SurveyPart
from multicastmw.wire.probe import (
    ENTRIES_MAX,
    Body,
    Collect,
    Head,
    Kind,
    Ping,
    PingAnswer,
    Probe,
    Report,
    Survey,
    Trace,
    TraceAnswer,
)

if TYPE_CHECKING:
    from multicastmw.core.probing.prober import ProbeCounters

# What we chose.
SPREAD_MAX = 5.0  # seconds that an answer waits at most
SPREAD_LEAST = 0.001  # seconds a node, whatever the question says
LENIENCE = 2  # who asks may know of fewer nodes
KNOWN_MAX = 1_024  # questions that were heard, so that one said twice is answered once
SURVEYS_MAX = 4  # of others, at a time
OWN_SURVEYS_MAX = 32  # of our own people, those that they have given up among them
ROUTES_MAX = 16  # of one group, in answers to a trace
PLACE = Twin("!QQI")
MICRO = 1_000_000


class Listening(NamedTuple):
    """Who on this node wants a group: names of destinations, hosts of the TAP, and for how long (s)."""

    wanted_by: tuple[str, ...] = ()
    hosts: int = 0
    since: float = -1.0


class Facts(Protocol):
    """What the prober has to ask the node."""

    def listening(self, group: int, source: int, now: float) -> Listening: ...
    def routes(self, group: int, source: int, now: float) -> list[TraceAnswer]: ...
    def known(self) -> Mapping[int, str]:
        """The other nodes that are reached, with their names."""

    def name(self, node: int) -> str:
        """What a node is called that was reached once; its id where that is not known."""


Say = Callable[..., None]


def place(node: int, asker: int, run: int) -> float:
    """Where in the time for answers this node's is, 0 to 1."""
    return crc32(PLACE.pack(node, asker, run)) / 2**32


class Answering:
    """One node's answers; `say` puts them where they wait for their time."""

    def __init__(
        self,
        node: int,
        facts: Facts,
        say: Say,
        pick: Callable[[float, float], float],
        counters: "ProbeCounters",
    ) -> None:
        self._node = node
        self._facts = facts
        self._say = say
        self._pick = pick
        self._counters = counters
        self._heard: OrderedDict[tuple[int, int, int, int], None] = OrderedDict()
        self._surveys: dict[tuple[int, int], SurveyPart] = {}

    def accept(self, head: Head, body: Body, node: int, hops: int, now: float) -> None:
        """A question, or a survey's probe, that has come from that node."""
        if isinstance(body, Probe):
            if part := self._surveys.get((head.asker, head.run)):
                part.accept(node, body.number, head.time, hops, now)
            return
        question = head.asker, head.run, head.kind, head.round
        if question in self._heard:
            self._counters.repeated += 1
            return
        self._heard[question] = None
        if len(self._heard) > KNOWN_MAX:
            self._heard.popitem(last=False)
        spread = min(SPREAD_MAX, max(head.time / MICRO, (self._crowd - 1) * SPREAD_LEAST))
        at = now + spread * place(self._node, head.asker, head.run)
        match body:
            case Ping():
                self._ping(head, body, now, at)
            case Trace():
                self._trace(head, body, now, at)
            case Survey():
                self._survey(head, body, now)
            case Collect():
                self._collect(head, body, now, at)

    @property
    def _crowd(self) -> int:
        """Nodes that may answer."""
        return len(self._facts.known()) + 1

    def _is_asked(self, nodes: tuple[int, ...]) -> bool:
        return not nodes or self._node in nodes

    def _answer(
        self, head: Head, kind: Kind, body: Body, now: float, at: float, part: int = 0, parts: int = 1
    ) -> None:
        self._say(head._replace(kind=kind, part=part, parts=parts), body, at, held=now)

    def _ping(self, head: Head, ping: Ping, now: float, at: float) -> None:
        found = self._facts.listening(ping.group, ping.source, now)
        if found.wanted_by or self._is_asked(ping.nodes):
            answer = PingAnswer(found.hosts, int(found.since), found.wanted_by)
            self._answer(head, Kind.PING_ANSWER, answer, now, at)

    def _trace(self, head: Head, trace: Trace, now: float, at: float) -> None:
        if not self._is_asked(trace.nodes):
            return
        clock = int(at * MICRO) & 0xFFFF_FFFF
        routes = self._facts.routes(trace.group, trace.source, now)[:ROUTES_MAX]
        for part, route in enumerate(routes):
            answer = route._replace(clock=clock)
            self._answer(head, Kind.TRACE_ANSWER, answer, now, at, part, len(routes))

    def _survey(self, head: Head, survey: Survey, now: float) -> None:
        if len(self._surveys) >= SURVEYS_MAX:
            for key in [key for key, part in self._surveys.items() if part.ends_at <= now]:
                del self._surveys[key]
        settle = max(SETTLE, min(SETTLE_MOST, head.time / MICRO))
        part, run = SurveyPart(survey, now, self._pick, settle), (head.asker, head.run)
        # Who asks keeps to the rate of all together; a forged question need not.
        is_flood = self._crowd > survey.interval / 1000 * PROBES_A_SECOND * LENIENCE
        if run in self._surveys or not self._has_room(head.asker) or is_flood or not part.is_modest:
            self._counters.refused += 1
            return
        self._surveys[head.asker, head.run] = part
        for number, at in enumerate(part.times):
            self._say(head._replace(kind=Kind.PROBE, time=0), Probe(number), at, stamped=True)

    def _has_room(self, asker: int) -> bool:
        """Our own people's surveys and the others' are bounded apart."""
        own = sum(each == self._node for each, _ in self._surveys)
        return own < OWN_SURVEYS_MAX if asker == self._node else len(self._surveys) - own < SURVEYS_MAX

    def _collect(self, head: Head, collect: Collect, now: float, at: float) -> None:
        part = self._surveys.get((head.asker, head.run))
        if part is None or not self._is_asked(collect.nodes):
            return
        entries = part.entries()
        starts = range(0, len(entries), ENTRIES_MAX) or (0,)
        pieces = [entries[start : start + ENTRIES_MAX] for start in starts]
        for number, piece in enumerate(pieces):
            report = Report(part.probes, piece)
            self._answer(head, Kind.REPORT, report, now, at, number, len(pieces))
