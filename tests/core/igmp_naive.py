"""The tables of RFC 3376, 6.4.1 and 6.4.2, as text, and a naive querier that does just what they say.

It is slow and looks at everything at every moment: no heap, no laziness, no merged rows.
"""

from dataclasses import dataclass, field
from math import inf

TABLE = """
INCLUDE (A)    | IS_IN (B) | INCLUDE (A+B)       | (B)=GMI
INCLUDE (A)    | IS_EX (B) | EXCLUDE (A*B,B-A)   | (B-A)=0; Delete (A-B); Group Timer=GMI
EXCLUDE (X,Y)  | IS_IN (A) | EXCLUDE (X+A,Y-A)   | (A)=GMI
EXCLUDE (X,Y)  | IS_EX (A) | EXCLUDE (A-Y,Y*A)   | (A-X-Y)=GMI; Delete (X-A); Delete (Y-A); Group Timer=GMI
INCLUDE (A)    | ALLOW (B) | INCLUDE (A+B)       | (B)=GMI
INCLUDE (A)    | BLOCK (B) | INCLUDE (A)         | Send Q(G,A*B)
INCLUDE (A)    | TO_EX (B) | EXCLUDE (A*B,B-A)   | (B-A)=0; Delete (A-B); Send Q(G,A*B); Group Timer=GMI
INCLUDE (A)    | TO_IN (B) | INCLUDE (A+B)       | (B)=GMI; Send Q(G,A-B)
EXCLUDE (X,Y)  | ALLOW (A) | EXCLUDE (X+A,Y-A)   | (A)=GMI
EXCLUDE (X,Y)  | BLOCK (A) | EXCLUDE (X+(A-Y),Y) | (A-X-Y)=Group Timer; Send Q(G,A-Y)
EXCLUDE (X,Y)  | TO_EX (A) | EXCLUDE (A-Y,Y*A)   | (A-X-Y)=Group Timer; Delete (X-A); Delete (Y-A); Send Q(G,A-Y); Group Timer=GMI
EXCLUDE (X,Y)  | TO_IN (A) | EXCLUDE (X+A,Y-A)   | (A)=GMI; Send Q(G,X-A); Send Q(G)
"""  # noqa: E501

ROWS = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]
ZERO = 0.0


def value(expression: str, names: dict[str, frozenset[int]]) -> frozenset[int]:
    """What "X+(A-Y)" is; the RFC's + and * are Python's | and &, all from left to right or in brackets."""
    return eval(expression.replace("+", "|").replace("*", "&"), {}, names)


@dataclass
class Outcome:
    """What a row leaves: the mode, all source timers (0: excluded), the group timer, whom to ask."""

    mode: str
    timers: dict[int, float]
    group_timer: float
    ask_group: bool
    ask_sources: frozenset[int]


def replay(
    mode: str, timers: dict[int, float], group_timer: float, kind: str, sources: frozenset[int], gmi: float
) -> Outcome:
    """One row of the table, its actions in the order in which they stand."""
    running = frozenset(source for source, timer in timers.items() if timer)
    stopped = frozenset(timers) - running
    (row,) = [r for r in ROWS if r[0].startswith(mode) and r[1].startswith(kind)]
    names = {"A": running, "B": sources} if mode == "INCLUDE" else {"X": running, "Y": stopped, "A": sources}
    new_mode, sets = row[2].split(" ", 1)
    members = [value(part, names) for part in sets.strip()[1:-1].split(",")]
    outcome = Outcome(new_mode, dict(timers), group_timer, False, frozenset())
    times = {"GMI": gmi, "0": ZERO, "Group Timer": group_timer}
    for action in row[3].split("; "):
        if action == "Send Q(G)":
            outcome.ask_group = True
        elif action.startswith("Send Q(G,"):
            outcome.ask_sources = value(action[len("Send Q(G,") : -1], names)
        elif action == "Group Timer=GMI":
            outcome.group_timer = gmi
        elif action.startswith("Delete"):
            for source in value(action[len("Delete") :], names):
                del outcome.timers[source]
        else:
            expression, time = action.split("=")
            outcome.timers |= dict.fromkeys(value(expression, names), times[time])
    assert frozenset().union(*members) == frozenset(outcome.timers), row
    if new_mode == "EXCLUDE":
        assert members[0] == frozenset(s for s, timer in outcome.timers.items() if timer), row
    return outcome


@dataclass
class NaiveGroup:
    mode: str = "INCLUDE"
    timers: dict[int, float] = field(default_factory=dict)
    group_timer: float = ZERO
    v1_until: float = -inf
    v2_until: float = -inf
    over: bool = False
    asking: list[tuple[float, int]] = field(
        default_factory=list
    )  # (when, source, 0 for the group), one a query


@dataclass
class NaiveQuerier:
    """Group memberships by the book, for version 3 or 2; times are those of the settings that are tested."""

    version: int
    gmi: float
    v1_gmi: float
    last_member_interval: float
    last_member_count: int
    last_member_time: float
    max_groups: int
    max_sources: int
    groups: dict[int, NaiveGroup] = field(default_factory=dict)
    queries: list[tuple[float, int, bool, tuple[int, ...]]] = field(default_factory=list)

    def wanted(self) -> set[tuple[int, int]]:
        return {
            (group, source)
            for group, state in self.groups.items()
            for source in ([0] if state.mode == "EXCLUDE" else state.timers)
        }

    def advance(self, until: float) -> None:
        """Time passes; what falls due at one moment expires first and is asked afterwards."""
        while True:
            moments = [
                moment
                for state in self.groups.values()
                for moment in (
                    *(timer for timer in state.timers.values() if timer),
                    *(when for when, _ in state.asking),
                    *([state.group_timer] if state.mode == "EXCLUDE" else []),
                )
            ]
            now = min(moments, default=inf)
            if now > until:
                return
            for group in list(self.groups):
                self._expire(group, now)
            for group in self.groups:
                self._ask(group, now)

    def _expire(self, group: int, now: float) -> None:
        state = self.groups[group]
        for source, timer in list(state.timers.items()):
            if timer and timer <= now:
                if state.mode == "EXCLUDE":
                    state.timers[source] = ZERO
                else:
                    del state.timers[source]
        if state.mode == "EXCLUDE" and state.group_timer <= now:
            state.mode = "INCLUDE"
            state.over = False
            state.timers = {source: timer for source, timer in state.timers.items() if timer}
        if state.mode == "INCLUDE" and not state.timers:
            del self.groups[group]

    def _ask(self, group: int, now: float) -> None:
        state = self.groups[group]
        due = {source for when, source in state.asking if when <= now}
        state.asking = [(when, source) for when, source in state.asking if when > now]
        late = now + self.last_member_time
        sent = []
        if 0 in due and state.mode == "EXCLUDE":
            sent.append((now, group, state.group_timer > late, ()))
        for suppress in (True, False):
            asked = [
                s for s in sorted(due - {0}) if state.timers.get(s) and (state.timers[s] > late) == suppress
            ]
            if asked:
                sent.append((now, group, suppress, tuple(asked)))
        if self.version == 2:
            sent = [(now, group, False, ()) for question in sent if not question[2]][:1]
        self.queries += sent

    def record(self, kind: str, group: int, sources: frozenset[int], now: float) -> None:
        state = self.groups.get(group)
        fresh = state is None
        if state is None:
            state = NaiveGroup()
        self._record(state, kind, group, sources, now)
        if fresh and (state.mode == "EXCLUDE" or state.timers) and len(self.groups) < self.max_groups:
            self.groups[group] = state

    def older(self, version: int, group: int, now: float) -> None:
        if group not in self.groups:
            self.record("IS_EX", group, frozenset(), now)
        if group in self.groups:
            state = self.groups[group]
            if version == 1:
                state.v1_until = now + self.v1_gmi
            else:
                state.v2_until = now + self.gmi
            self.record("IS_EX", group, frozenset(), now)

    def _record(self, state: NaiveGroup, kind: str, group: int, sources: frozenset[int], now: float) -> None:
        gmi = now + (self.v1_gmi if now < state.v1_until else self.gmi)
        if now < max(state.v1_until, state.v2_until):
            if kind == "BLOCK":
                return
            if kind == "TO_EX":
                sources = frozenset()
            if kind == "TO_IN" and now < state.v1_until:
                return
        outcome = replay(state.mode, state.timers, state.group_timer, kind, sources, gmi)
        if len(outcome.timers) > self.max_sources or (state.over and kind == "BLOCK"):
            state.over = True
            if kind == "BLOCK":
                outcome = Outcome(state.mode, state.timers, state.group_timer, True, frozenset())
            else:
                outcome = Outcome("EXCLUDE", {}, gmi, False, frozenset())
        state.mode, state.timers, state.group_timer = outcome.mode, outcome.timers, outcome.group_timer
        late = now + self.last_member_time
        doubtful = {source for source in outcome.ask_sources if state.timers[source] > late}
        for source in doubtful:
            state.timers[source] = late
        if outcome.ask_group and (state.group_timer > late or not any(s == 0 for _, s in state.asking)):
            doubtful.add(0)
        if outcome.ask_group:
            state.group_timer = min(state.group_timer, late)
        state.asking = [(when, source) for when, source in state.asking if source not in doubtful]
        for source in doubtful:
            state.asking += [
                (now + n * self.last_member_interval, source) for n in range(self.last_member_count)
            ]
        if group in self.groups:
            self._ask(group, now)

    def heard_query(self, group: int, sources: frozenset[int], response: float, now: float) -> None:
        """A specific query of another router, S clear (6.6.1); `response` is its count times its code."""
        if group in self.groups:
            state, late = self.groups[group], now + max(self.last_member_time, response)
            if not sources:
                state.group_timer = min(state.group_timer, late)
            for source in sources & state.timers.keys():
                state.timers[source] = min(state.timers[source], late)
