"""What the receivers' own records say of a film and of the kills in it."""

import statistics
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from bench.delay import quantile
from bench.sink import RECORD

AFTERMATH = 10.0  # seconds that a kill is looked at for
BEGINS = 1.0  # seconds after a kill: a silence that begins later has other reasons, such as another's start
QUIET = 3.0  # seconds before a kill begins a second to compare: what is silent then is so without one
CUT_OFF = 0.1  # seconds: a longer silence is an outage; this machine holds up a source for a third of that
LATE = 1.0  # seconds: a packet that takes longer is of no use to a player


class Kill(NamedTuple):
    """SIGKILL to a host's node, `at` seconds after the film began; `back` seconds later it starts again."""

    at: float
    host: str
    back: float | None = None


class Done(NamedTuple):
    """A kill that was done, and when (CLOCK_REALTIME, ns); 0: the film ended before the node was back."""

    kill: Kill
    at: int
    back_at: int = 0


@dataclass
class Seen:
    """What came to one receiver."""

    sent: int
    received: int
    lost: int
    late: int  # of the received ones, later than LATE
    duplicates: int
    disordered: int
    gap_ms: float  # the longest silence
    delay_ms: tuple[float, float, float]  # median, 99 %, most
    killed: int  # how often its own node was


@dataclass
class Aftermath:
    """What a kill did to those whose own node lived."""

    kill: Kill
    cut_off: list[str]  # who heard nothing for longer than CUT_OFF, which losses do as well:
    cut_off_before: list[str]  # who did in a second before it
    gap_ms: dict[str, float]  # the longest silence that begins within BEGINS
    lost: dict[str, int]
    returned_ms: float | None  # from its node's start until the killed host's own receiver heard something


@dataclass
class Film:
    """The whole report."""

    seconds: float
    sent: int
    source: dict[str, Any]  # of itself: how often and for how long it was held up
    usual_gap_ms: float  # the longest silence of anybody before the first kill
    seen: dict[str, Seen]
    kills: list[Aftermath]
    forwarder: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Arrivals:
    """One receiver's records; what counts are the numbers from `first` to before `end`."""

    def __init__(self, records: bytes, first: int, end: int) -> None:
        self.duplicates = self.disordered = 0
        self.at: dict[int, tuple[int, int]] = {}  # number: arrival, delay (ns)
        self.times: list[int] = []  # of arrival, of whatever came: a silence may begin before what counts
        highest = -1
        for _, _, number, delay, arrived in RECORD.iter_unpack(records):
            self.times.append(arrived)
            if not first <= number < end:
                continue
            if number in self.at:
                self.duplicates += 1
                continue
            self.disordered += number < highest
            highest = max(highest, number)
            self.at[number] = (arrived, delay)
        self.times.sort()

    def longest_gap(self, begin: int, end: int) -> float:
        """The longest silence (ms) that begins or ends in this time, to its own beginning and end."""
        at = max(0, bisect_left(self.times, begin) - 1)
        inside = self.times[at : bisect_left(self.times, end) + 1]
        if len(inside) < 2:
            return (end - begin) / 1e6
        longest = max(b - a for a, b in pairwise(inside))
        return max(longest, end - inside[-1]) / 1e6

    def gap_from(self, begin: int, until: int, end: int) -> float:
        """The longest silence (ms) that begins between two times, or is there at the first, up to `end`."""
        first, last = max(0, bisect_left(self.times, begin) - 1), bisect_left(self.times, until)
        ends = min(end, self.times[last]) if last < len(self.times) else end
        return max((b - a for a, b in pairwise([*self.times[first:last], ends])), default=end - begin) / 1e6


def judge(records: Mapping[str, bytes], begin: int, end: int, killed: Sequence[Done] = ()) -> Film:
    """What the receivers' records say of the packets that were sent between two times."""
    sent_at = {
        number: arrived - delay
        for each in records.values()
        for _, _, number, delay, arrived in RECORD.iter_unpack(each)
    }
    clock = sorted((sent, number) for number, sent in sent_at.items())

    def number_at(when: int) -> int:
        """The first packet sent at or after a time, of those that anybody has."""
        at = bisect_left(clock, (when, 0))
        return clock[at][1] if at < len(clock) else clock[-1][1] + 1

    first, last = number_at(begin), number_at(end)
    arrivals = {name: Arrivals(each, first, last) for name, each in records.items()}
    quiet = min([end, *(done.at for done in killed)])
    return Film(
        seconds=(end - begin) / 1e9,
        sent=last - first,
        source={},
        usual_gap_ms=max(one.gap_from(begin, quiet, quiet) for one in arrivals.values()),
        seen={
            name: _seen(one, begin, end, last - first, sum(done.kill.host == name for done in killed))
            for name, one in arrivals.items()
        },
        kills=[_aftermath(arrivals, done, end, killed, number_at) for done in killed],
    )


def _seen(one: Arrivals, begin: int, end: int, sent: int, killed: int) -> Seen:
    delays = [delay / 1e6 for _, delay in one.at.values()] or [0.0]
    return Seen(
        sent, len(one.at), sent - len(one.at), sum(delay > LATE * 1e3 for delay in delays), one.duplicates,
        one.disordered, one.longest_gap(begin, end),
        (statistics.median(delays), quantile(delays, 0.99), max(delays)), killed,
    )  # fmt: skip


def _aftermath(arrivals: Mapping[str, Arrivals], done: Done, end: int, killed: Sequence[Done],
               number_at: Callable[[int], int]) -> Aftermath:  # fmt: skip
    """Until the next kill, at most for AFTERMATH; without those whose own node was away then."""
    at = done.at
    until = min([end, at + int(AFTERMATH * 1e9), *(other.at for other in killed if other.at > at)])
    away = {other.kill.host for other in killed if other.at <= at < _settled(other)}
    # who is killed next loses what is on the way to it then
    numbers = range(number_at(at), number_at(until - int(LATE * 1e9)))
    living = {name: one for name, one in arrivals.items() if name not in away}
    length, quiet = int(BEGINS * 1e9), at - int(QUIET * 1e9)
    gaps = {name: one.gap_from(at, min(until, at + length), until) for name, one in living.items()}
    lost = {name: sum(number not in one.at for number in numbers) for name, one in living.items()}
    before = {name: one.gap_from(quiet, quiet + length, at) for name, one in living.items()}
    returned = _returned(arrivals.get(done.kill.host), done.back_at)
    return Aftermath(done.kill, _cut_off(gaps), _cut_off(before), gaps, lost, returned)


def _cut_off(gaps: Mapping[str, float]) -> list[str]:
    return [name for name, gap in gaps.items() if gap > CUT_OFF * 1e3]


def _settled(done: Done) -> float:
    """When a killed node has all that it had before."""
    return done.back_at + AFTERMATH * 1e9 if done.back_at else float("inf")


def _returned(own: Arrivals | None, back_at: int) -> float | None:
    if own is None or not back_at:
        return None
    at = bisect_left(own.times, back_at)
    return (own.times[at] - back_at) / 1e6 if at < len(own.times) else None
