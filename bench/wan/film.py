"""A stream over many real nodes while some of them are killed, and what the receivers' own sockets saw.

One source sends numbered, stamped datagrams into its node's TAP (bench/source.py); on every other host a
program has joined the group on its node's TAP (bench/sink.py).  The film begins when all have heard
something, and what was sent before does not count.  Times are the kernel's, of arrival at the socket, and all
hosts have one clock.  A killed node's own receiver is a case of its own: nobody can bring it anything until
its node is back.
"""

import json
import signal
import statistics
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from bench.delay import program, quantile
from bench.sink import RECORD
from multicastmw.cli.lab import Host, Lab, LabError, Process, wait_until
from multicastmw.cli.overlay import DEVICE

HERE = Path(__file__).parents[1]
GROUP, MEDIA = "239.1.2.3", 5004
RATE, SIZE = 143.0, 1316  # 1.5 Mbit/s of video
PORT = 4600
START = 60.0  # seconds for all nodes and links, on a busy machine
SETTLED = 3.0  # seconds from the first picture everywhere to the beginning of the film
TAIL = 3.0  # seconds after its end in which the last packets come, and recoveries end
AFTERMATH = 10.0  # seconds that a kill is looked at for
CUT_OFF = 0.1  # seconds: a longer silence is an outage; this machine holds up a source for a third of that
LATE = 1.0  # seconds: a packet that takes longer is of no use to a player

Ini = Callable[[Host], str]
Event = tuple[float, Callable[[], object]]  # seconds after the film began, and what is done then
Say = Callable[[str], None]


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


def kills_of(hosts: Sequence[str], every: float, seconds: float, back: float | None) -> list[Kill]:
    """One after the other, round and round; the last one early enough to be looked at."""
    times = [every * (number + 1) for number in range(int((seconds - AFTERMATH / 2) / every))]
    return [Kill(at, hosts[number % len(hosts)], back) for number, at in enumerate(times)]


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
    cut_off: list[str]  # who heard nothing for longer than CUT_OFF
    gap_ms: dict[str, float]
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


def start_nodes(lab: Lab, ini: Ini) -> None:
    """All of those that do not run."""
    for host in lab.hosts:
        if host.node is None:
            host.start_node(ini(host), ready=None)
    for host in lab.hosts:
        host.await_status(lambda status: status["tap"]["state"] == "up", START, "its TAP")


def film_over(lab: Lab, ini: Ini, source: str, kills: Iterable[Kill] = (), seconds: float = 60.0,
              rate: float = RATE, events: Iterable[Event] = (),
              say: Say = lambda text: None) -> Film:  # fmt: skip
    """Plays a film from one host to all others; starts nodes that do not run, with `ini`, as after a kill.

    `events` are whatever else is to happen meanwhile, such as (20.0, lambda: lab.internet.partition("ab")).
    """
    start_nodes(lab, ini)
    say("all nodes are up")
    names = [host.name for host in lab.hosts if host.name != source]
    sinks = {name: _sink(lab.host(name)) for name in names}
    sender = _source(lab.host(source), rate)
    _await_heard(sinks, sender)
    say("all have heard it")
    time.sleep(SETTLED)
    play = _Play(lab, ini, say)
    begin = time.time_ns()
    play.run(kills, events, seconds)
    end = time.time_ns()
    time.sleep(TAIL)
    sender.signal(signal.SIGTERM)
    sender.wait(15)
    said = json.loads(sender.read_output().strip().splitlines()[-1])
    for sink in sinks.values():
        sink.signal(signal.SIGTERM)
    for sink in sinks.values():
        sink.wait(15)
    records = {name: _file(lab, name).read_bytes() for name in names}
    film = judge(records, begin, end, list(play.done.values()))
    film.source = said
    totals = getattr(lab.internet, "totals", None)
    film.forwarder = totals() if totals else {}
    return film


# --- playing


def _sink(host: Host) -> Process:
    told = {"ports": [[MEDIA, GROUP, DEVICE]], "out": str(_file(host.lab, host.name))}
    return program(host, "sink.py", json.dumps(told))


def _file(lab: Lab, name: str) -> Path:
    return lab.state_dir / f"{name}.film"


def _source(host: Host, rate: float) -> Process:
    told = {"target": [GROUP, MEDIA], "device": DEVICE, "rate": rate, "count": 0, "size": SIZE, "round": 1}
    return host.spawn([sys.executable, "-IS", str(HERE / "source.py"), json.dumps(told)], log="source")


def _await_heard(sinks: Mapping[str, Process], sender: Process) -> None:
    def look() -> bool:
        if sender.poll() is not None:
            raise LabError(f"the source ended: {sender.last_words()}")
        return all("heard" in sink.read_output() for sink in sinks.values())

    wait_until(look, START, "something of the film everywhere")


class _Play:
    """What is done to the lab while the film runs."""

    def __init__(self, lab: Lab, ini: Ini, say: Say) -> None:
        self._lab, self._ini, self._say = lab, ini, say
        self.done: dict[Kill, Done] = {}

    def run(self, kills: Iterable[Kill], events: Iterable[Event], seconds: float) -> None:
        """Returns when the film ends."""
        acts: list[Event] = list(events)
        for kill in kills:
            acts.append((kill.at, partial(self._kill, kill)))
            if kill.back is not None:
                acts.append((kill.at + kill.back, partial(self._start, kill)))
        began = time.monotonic()
        for at, act in sorted(acts, key=itemgetter(0)):
            if at < seconds:
                time.sleep(max(0.0, began + at - time.monotonic()))
                act()
        time.sleep(max(0.0, began + seconds - time.monotonic()))

    def _kill(self, kill: Kill) -> None:
        self.done[kill] = Done(kill, time.time_ns())
        self._lab.host(kill.host).kill_node()
        self._say(f"{kill.host} is killed")

    def _start(self, kill: Kill) -> None:
        host = self._lab.host(kill.host)
        self.done[kill] = self.done[kill]._replace(back_at=time.time_ns())
        if host.node is None:
            host.start_node(self._ini(host), ready=None)
        self._say(f"{kill.host} is started again")


# --- judging


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
        usual_gap_ms=max(one.longest_gap(begin, quiet) for one in arrivals.values()),
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
    numbers = range(number_at(at), number_at(until))
    living = {name: one for name, one in arrivals.items() if name not in away}
    gaps = {name: one.longest_gap(at, until) for name, one in living.items()}
    lost = {name: sum(number not in one.at for number in numbers) for name, one in living.items()}
    cut_off = [name for name, gap in gaps.items() if gap > CUT_OFF * 1e3]
    return Aftermath(done.kill, cut_off, gaps, lost, _returned(arrivals.get(done.kill.host), done.back_at))


def _settled(done: Done) -> float:
    """When a killed node has all that it had before."""
    return done.back_at + AFTERMATH * 1e9 if done.back_at else float("inf")


def _returned(own: Arrivals | None, back_at: int) -> float | None:
    if own is None or not back_at:
        return None
    at = bisect_left(own.times, back_at)
    return (own.times[at] - back_at) / 1e6 if at < len(own.times) else None


# --- a static tree


def static_ini(dials: Mapping[str, Sequence[str]], more: str = "") -> Ini:
    """The node.ini of a host in a static tree (matrix.tree): whom it dials; `more` stands in all of them."""

    def ini(host: Host) -> str:
        peers = (host.lab.host(name) for name in dials[host.name])
        return (
            f"[node]\nname = {host.name}\n\n[tap]\ndevice = {DEVICE}\naddress = 10.88.0.{host.index}/24\n\n"
            f"[listen]\nendpoint = tcp:{PORT}\nudp-port = {PORT}\n\n{more}"
            + "".join(f"[peer:{p.name}]\nendpoint = tcp:{p.address}:{PORT}\n\n" for p in peers)
        )

    return ini
