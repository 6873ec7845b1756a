"""What a relay of the mesh costs, against a static one, and what the kernel takes off both.

    a --> b --> c      a sends, programs on b and c receive; between a and c nothing gets through

There are four such chains: static links and the mesh, each with Python forwarding and with the fast path.
They play one after the other in every round, and a ratio is the median of the rounds' ratios.  A round begins
when packets come from b's parent and go to b's child, and its kernel forwards them where it shall; it counts
what goes between two looks at b's status.

Processor time is that of b's process, the kernel's work in its system calls included, and what a node does
where nothing passes.  What the fast path does is done in nobody's name: the packets that came to the process
are told beside it.
"""

import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from bench.delay import DEVICE, GROUP, HERE, MEDIA, PREFIX, RATE, SETTLED, SIZE, program, used
from multicastmw.cli.lab import Host, Lab, LabError, Process

PORT = 4600
PATIENCE = 60.0  # seconds for each step of a start, on a busy machine
STARTED = 2 * RATE  # packets that have passed b before a round begins: its kernel's first seconds are over
WHOLE = 0.98  # of what comes goes on, or it is no relay's work that was measured
PARENT, RELAY, CHILD = "abc"
Say = Callable[[str], None]
Status = dict[str, Any]


class Way(NamedTuple):
    """An engine, and who forwards."""

    engine: str
    forwards: str

    @property
    def mode(self) -> str:
        """Of the fast path."""
        return "require" if self.forwards == "kernel" else "off"


class Cost(NamedTuple):
    """One round of one way."""

    packets: int  # that went to b's child
    process_us: float  # of a core, a packet
    seen: float  # the share of packets that came to the process


WAYS = tuple(Way(engine, forwards) for forwards in ("Python", "kernel") for engine in ("static", "mesh"))


class Chain:
    """Three nodes, of which the middle one is looked at, and programs that want the stream."""

    def __init__(self, lab: Lab, way: Way) -> None:
        self._lab, self._way = lab, way
        self._relay = lab.host(RELAY)
        lab.internet.black_hole(PARENT, CHILD)
        for host in lab.hosts:
            host.start_node(ini(host, way), ready=None)
        for host in lab.hosts:
            host.await_status(lambda status: status["tap"]["state"] == "up", PATIENCE, "its TAP")
        for name in (RELAY, CHILD):
            self._sink(lab.host(name))

    def _sink(self, host: Host) -> Process:
        told = {"ports": [[MEDIA, GROUP, DEVICE]], "out": str(self._lab.state_dir / f"{host.name}.bin")}
        return program(host, "sink.py", json.dumps(told))

    def round(self, turn: int, seconds: float) -> Cost:
        """What b's process spends on that many seconds of the stream.  Raises LabError when it stays away."""
        with self._played(turn):
            self._await_steady()
            before = self._relay.status()
            began = self._used()
            time.sleep(seconds)
            spent = self._used() - began
            after = self._relay.status()
        self._judge(after)
        packets, came = (
            counter(after, peer, name) - counter(before, peer, name)
            for peer, name in ((CHILD, "sent"), (PARENT, "received"))
        )
        if packets < WHOLE * came or not packets:
            raise LabError(f"{self._way}: {packets} packets of {came} went on")
        return Cost(packets, spent / packets * 1e6, self._seen(before, after) / packets)

    @contextmanager
    def _played(self, turn: int) -> Iterator[None]:
        told = {"target": [GROUP, MEDIA], "device": DEVICE, "rate": RATE, "count": 0, "size": SIZE,
                "round": turn}  # fmt: skip
        command = [sys.executable, "-IS", str(HERE / "source.py"), json.dumps(told)]
        source = self._lab.host(PARENT).spawn(command, log=f"source-{turn}")
        try:
            yield
        finally:
            source.signal(signal.SIGTERM)
            source.wait(15)

    def _await_steady(self) -> None:
        """A parent, a child, and what is between them."""
        started = passed(self._relay.await_status(self._is_relayed, PATIENCE, "a parent and a child"))
        self._relay.await_status(
            lambda status: self._is_relayed(status) and passed(status) - started > STARTED, PATIENCE,
            "packets for its child",
        )  # fmt: skip

    def _is_relayed(self, status: Status) -> bool:
        (route, *_) = [each for each in status["routes"] if each["group"] == GROUP] or [None]
        if route is None or route["fast"] is not (self._way.forwards == "kernel"):
            return False
        if self._way.engine == "static":
            return CHILD in route["to"]
        streams = [each for each in status["mesh"]["streams"] if each["group"] == GROUP]
        return [(each["parent"], each["children"]) for each in streams] == [(PARENT, [CHILD])]

    def _judge(self, status: Status) -> None:
        if not self._is_relayed(status):
            raise LabError(f"{self._way}: b was no such relay until the end")

    def _seen(self, before: Status, after: Status) -> int:
        if self._way.forwards == "kernel":
            return to_process(after) - to_process(before)
        return counter(after, PARENT, "received") - counter(before, PARENT, "received")

    def _used(self) -> float:
        assert self._relay.node is not None
        return used(self._relay.node.pid)


def ini(host: Host, way: Way) -> str:
    """Each dials, or has as its only seed, the one before it; who is looked at is the mesh's relay, too."""
    before = {RELAY: PARENT, CHILD: RELAY}.get(host.name)
    endpoint = f"tcp:{host.lab.host(before).address}:{PORT}" if before else ""
    links = f"[peer:{before}]\nendpoint = {endpoint}\n" if before else ""
    if way.engine == "mesh":
        links = f"[overlay]\nengine = mesh\nrole = relay\nseeds = {endpoint}\n"
    return (
        f"[node]\nname = {host.name}\n\n[tap]\ndevice = {DEVICE}\naddress = 10.88.0.{host.index}/24\n\n"
        f"[listen]\nendpoint = tcp:{PORT}\nudp-port = {PORT}\n\n[fastpath]\nmode = {way.mode}\n\n{links}"
    )


# --- what a status says


def counter(status: Status, peer: str, name: str) -> int:
    return sum(each["counters"][name] for each in status["peers"] if each["name"] == peer)


def passed(status: Status) -> int:
    """Packets that went to the child so far."""
    return counter(status, CHILD, "sent")


def to_process(status: Status) -> int:
    """Datagrams that the kernel left to the node, and copies that it made for it."""
    counts: dict[str, int] = status["fastpath"]["counters"]
    return sum(count for name, count in counts.items() if name.startswith("user_") or name == "copied")


# --- all of them


def measure(rounds: int, seconds: float, say: Say) -> dict[str, Any]:
    """Every way in every round; all chains are up from the beginning, and those that do not play are idle."""
    found: dict[Way, list[Cost]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        chains = {}
        for way in WAYS:
            say(f"three nodes, {way.engine}, {way.forwards}")
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{PREFIX}-"))
            chains[way] = Chain(stack.enter_context(Lab(PREFIX, folder, "abc")), way)
        time.sleep(SETTLED)
        for turn in range(rounds):
            say(f"round {turn + 1} of {rounds}: {seconds:g} s each of four ways")
            for place in range(len(WAYS)):
                way = WAYS[(turn + place) % len(WAYS)]
                found[way].append(chains[way].round(turn, seconds))
    return {"rate": RATE, "size": SIZE, "seconds": seconds, "rounds": rounds, **judged(found)}


def judged(found: dict[Way, list[Cost]]) -> dict[str, Any]:
    """Medians of each way, and of the rounds' ratios."""
    ways = [
        {
            "engine": way.engine, "forwards": way.forwards,
            "packets": sum(cost.packets for cost in costs),
            "process_us": statistics.median(cost.process_us for cost in costs),
            "seen": statistics.median(cost.seen for cost in costs),
            "rounds": [cost._asdict() for cost in costs],
        }
        for way, costs in found.items()
    ]  # fmt: skip
    python, kernel = (
        {engine: found[Way(engine, forwards)] for engine in ("static", "mesh")}
        for forwards in ("Python", "kernel")
    )
    ratios = {
        "mesh to static, Python": ratio(python["mesh"], python["static"]),
        "mesh to static, kernel": ratio(kernel["mesh"], kernel["static"]),
        "Python to kernel, static": ratio(python["static"], kernel["static"]),
        "Python to kernel, mesh": ratio(python["mesh"], kernel["mesh"]),
    }
    return {"ways": ways, "ratios": ratios}


def ratio(one: list[Cost], other: list[Cost]) -> dict[str, float]:
    """Of the process's time a packet, in the same round."""
    each = [a.process_us / b.process_us for a, b in zip(one, other, strict=True)]
    return {"median": statistics.median(each), "least": min(each), "most": max(each)}
