"""A contestant's turn in a round: its lab is made, everything is measured, and the lab is gone."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from bench.race import figures, search
from bench.race.built import Tools
from bench.race.contestants import Contestant
from bench.race.track import GROUP, RECEIVERS, Run, Track
from multicastmw.cli.lab import Lab, LabError
from multicastmw.cli.lab.tools import run_tool

PREFIX = "mcmw-race"
SIZES = (1316, 200)  # bytes: seven MPEG packets, and a voice packet
DELAY_RATES = (150, 1000)  # packets/s: a stream of 1.6 Mbit/s, and one of 10
CPU_RATE = 5000.0  # packets/s at which processor time is compared, or CPU_SHARE of what a contestant can
CPU_SHARE = 0.75
GUESS = 8000.0  # packets/s: where the search begins


class Pace(NamedTuple):
    """Seconds of the runs, and how exact the search is."""

    short: float
    full: float
    cpu: float
    delay: dict[int, float]  # by rate
    precision: float
    stride: float = 2.0


QUICK = Pace(short=0.4, full=1.2, cpu=1.5, delay={150: 3.0, 1000: 2.0}, precision=1.12)
THOROUGH = Pace(short=0.8, full=5.0, cpu=4.0, delay={150: 10.0, 1000: 6.0}, precision=1.04)
KNOWN_STRIDE = 1.25  # around what an earlier round found


class Turn(NamedTuple):
    """What the turn has to know of its round."""

    tools: Tools
    folder: Path  # for logs and configurations
    pace: Pace
    guesses: dict[int, float]  # by size: what earlier rounds found; the turn adds its own


def play(contestant: Contestant, turn: Turn) -> dict[str, Any]:
    """The figures of one turn.  Raises LabError and TimedOut with a line about what failed."""
    with Lab(PREFIX, turn.folder) as lab, nothing_left(lab):
        track = Track(lab, turn.tools, contestant.start(lab))
        track.warm_up()
        contestant.check(lab, GROUP)
        if contestant.settle:
            track.run(SIZES[0], DELAY_RATES[0], contestant.settle)
        found: dict[str, Any] = {"delay": {}, "rate": {}}
        for rate in DELAY_RATES:
            found["delay"][str(rate)] = delays_of(track.run(SIZES[0], rate, turn.pace.delay[rate]))
        for size in SIZES:
            found["rate"][str(size)] = fastest(track, size, turn)
        rate = min(CPU_RATE, CPU_SHARE * found["rate"][str(SIZES[0])]["rate"])
        if not rate:
            raise LabError("no rate at all holds")
        found["cpu"] = cost_of(track.run(SIZES[0], rate, turn.pace.cpu))
        contestant.check(lab, GROUP)
        found["memory"] = track.relay_memory()
    return found


@contextmanager
def nothing_left(lab: Lab) -> Iterator[None]:
    """Ends what has left its parent: n2n's edge does, though it is told not to, and would go on for ever."""
    try:
        yield
    finally:
        for host in lab.hosts:
            for pid in run_tool(["ip", "netns", "pids", host.namespace]).split():
                with suppress(ProcessLookupError, FileNotFoundError):
                    if parent_of(int(pid)) == 1:
                        os.kill(int(pid), signal.SIGKILL)


def parent_of(pid: int) -> int:
    """Raises FileNotFoundError where there is no such process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def delays_of(run: Run) -> dict[str, Any]:
    """Microseconds by quantile of the slower of c and d, and how much of the run came at all."""
    by_host = {host: figures.quantiles(run.delays[host]) for host in RECEIVERS}
    slower = {name: max(by_host["c"][name], by_host["d"][name]) for name in by_host["c"]}
    return slower | {"by_host": by_host, **doubts(run)}


def fastest(track: Track, size: int, turn: Turn) -> dict[str, Any]:
    """The highest rate that holds, its cost, and all that was tried."""
    tried: list[tuple[float, float, float, float, bool]] = []
    held: list[Run] = []

    def attempt(rate: float, seconds: float) -> bool:
        run = track.run(size, rate, seconds)
        tried.append((round(rate), seconds, round(run.offered), round(run.loss, 5), run.held))
        if run.held:
            held.append(run)
        return run.held

    pace = turn.pace
    known = turn.guesses.get(size)
    first = turn.guesses.get(SIZES[0], GUESS)
    rate = search.highest(
        search.again(lambda rate: attempt(rate, pace.short)),
        search.again(lambda rate: attempt(rate, pace.full)),
        known or first,
        KNOWN_STRIDE if known else pace.stride,
        pace.precision,
    )
    if not rate:
        return {"rate": 0.0, "tried": tried}
    turn.guesses[size] = rate
    return {"rate": held[-1].offered, "tried": tried, **cost_of(held[-1])}


def cost_of(run: Run) -> dict[str, Any]:
    """Seconds of a core a million deliveries."""
    deliveries = max(1, run.deliveries)
    return {
        "at": run.offered,
        "relay_s": run.relay_cpu / deliveries * 1e6,
        "all_s": run.all_cpu / deliveries * 1e6,
        **doubts(run),
    }


def doubts(run: Run) -> dict[str, Any]:
    return {"sent": run.sent, "loss": max(0.0, run.loss), "duplicates": run.duplicates,
            "disordered": run.disordered, "others": run.others}  # fmt: skip
