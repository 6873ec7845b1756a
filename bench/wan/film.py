"""A stream over many real nodes while some of them are killed, and what the receivers' own sockets saw.

One source sends numbered, stamped datagrams into its node's TAP (bench/source.py); on every other host a
program has joined the group on its node's TAP (bench/sink.py).  The film begins when all have heard
something, and what was sent before does not count.  Times are the kernel's, of arrival at the socket, and all
hosts have one clock.  A killed node's own receiver is a case of its own: nobody can bring it anything until
its node is back.
"""

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path

from bench.delay import program
from bench.wan.report import AFTERMATH, Done, Film, Kill, judge
from multicastmw.cli.lab import Host, Lab, LabError, Process, wait_until
from multicastmw.cli.overlay import DEVICE

HERE = Path(__file__).parents[1]
GROUP, MEDIA = "239.1.2.3", 5004
RATE, SIZE = 143.0, 1316  # 1.5 Mbit/s of video
PORT = 4600
START = 60.0  # seconds for all nodes and links, on a busy machine
SETTLED = 3.0  # seconds from the first picture everywhere to the beginning of the film
TAIL = 3.0  # seconds after its end in which the last packets come, and recoveries end

Ini = Callable[[Host], str]
Event = tuple[float, Callable[[], object]]  # seconds after the film began, and what is done then
Say = Callable[[str], None]
Choose = Callable[[Lab], str]


def kills_of(hosts: Sequence[str], every: float, seconds: float, back: float | None) -> list[Kill]:
    """One after the other, round and round; the last one early enough to be looked at."""
    times = [every * (number + 1) for number in range(int((seconds - AFTERMATH / 2) / every))]
    return [Kill(at, hosts[number % len(hosts)], back) for number, at in enumerate(times)]


def start_nodes(lab: Lab, ini: Ini) -> None:
    """All of those that do not run."""
    for host in lab.hosts:
        if host.node is None:
            host.start_node(ini(host), ready=None)
    for host in lab.hosts:
        host.await_status(lambda status: status["tap"]["state"] == "up", START, "its TAP")


def film_over(lab: Lab, ini: Ini, source: str, kills: Iterable[Kill] = (), seconds: float = 60.0,
              rate: float = RATE, events: Iterable[Event] = (), choose: Choose | None = None,
              say: Say = lambda text: None) -> Film:  # fmt: skip
    """Plays a film from one host to all others; starts nodes that do not run, with `ini`, as after a kill.

    A kill that names no host takes the one that `choose` gives then.

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
    play = _Play(lab, ini, say, choose)
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

    def __init__(self, lab: Lab, ini: Ini, say: Say, choose: Choose | None) -> None:
        self._lab, self._ini, self._say, self._choose = lab, ini, say, choose
        self.done: dict[Kill, Done] = {}

    def run(self, kills: Iterable[Kill], events: Iterable[Event], seconds: float) -> None:
        """Returns when the film ends."""
        acts: list[Event] = list(events)
        for kill in kills:
            acts.append((kill.at, partial(self._kill, kill)))
            if kill.back is not None:
                acts.append((kill.at + kill.back, partial(self._start, kill.at)))
        began = time.monotonic()
        for at, act in sorted(acts, key=itemgetter(0)):
            if at < seconds:
                time.sleep(max(0.0, began + at - time.monotonic()))
                act()
        time.sleep(max(0.0, began + seconds - time.monotonic()))

    def _kill(self, kill: Kill) -> None:
        if not kill.host:
            assert self._choose
            kill = kill._replace(host=self._choose(self._lab))
        self.done[kill] = Done(kill, time.time_ns())
        self._lab.host(kill.host).kill_node()
        self._say(f"{kill.host} is killed")

    def _start(self, at: float) -> None:
        kill = next(each for each in self.done if each.at == at)
        host = self._lab.host(kill.host)
        self.done[kill] = self.done[kill]._replace(back_at=time.time_ns())
        if host.node is None:
            host.start_node(self._ini(host), ready=None)
        self._say(f"{kill.host} is started again")


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


# --- the mesh

SEEDS = 2


def mesh_ini(names: Sequence[str], uplink: int, more: str = "") -> Ini:
    """The node.ini of a host in the mesh: it knows two seeds, and can send so many kbit/s for others."""

    def ini(host: Host) -> str:
        seeds = [host.lab.host(name) for name in names[:SEEDS] if name != host.name]
        role = "relay" if host.name in names[:SEEDS] else "member"
        return (
            f"[node]\nname = {host.name}\n\n[tap]\ndevice = {DEVICE}\naddress = 10.88.0.{host.index}/24\n\n"
            f"[listen]\nendpoint = tcp:{PORT}\nudp-port = {PORT}\n\n"
            f"[overlay]\nengine = mesh\nuplink = {uplink}\nrole = {role}\nseeds = "
            + " ".join(f"tcp:{seed.address}:{PORT}" for seed in seeds)
            + f"\n\n{more}"
        )

    return ini


def parents(lab: Lab) -> dict[str, str | None]:
    """Who gets the film from whom now, of those whose node runs."""
    found = {}
    for host in lab.hosts:
        if host.node is not None:
            streams = [each for each in host.status()["mesh"]["streams"] if each["group"] == GROUP]
            found[host.name] = next((each["parent"] for each in streams if each["parent"]), None)
    return found


def busiest(keep: Sequence[str]) -> Choose:
    """Kills who feeds most others, seeds and those to `keep` apart."""

    def choose(lab: Lab) -> str:
        fed = Counter(parent for parent in parents(lab).values() if parent and parent not in keep)
        return fed.most_common(1)[0][0] if fed else next(h.name for h in lab.hosts if h.name not in keep)

    return choose
