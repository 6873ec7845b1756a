"""Does the simulator tell the truth?  What real nodes did, beside what it says of the same film."""

from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import NamedTuple

from bench.wan.film import RATE, SIZE
from bench.wan.report import Film
from simulator.film import Outcome, Plan, play

RUNS = 5  # simulated films, each with a seed of its own
WITHIN = 0.5  # of what it says, real outages may be longer or shorter
OUTAGE = "outage, "


class Beside(NamedTuple):
    """One figure, of real nodes and of simulated ones: of times the median of the runs, of counts, which are
    small, their mean; and the range."""

    name: str
    real: float
    simulated: float
    least: float
    most: float


def outages(film: Film) -> list[float]:
    """The longest silence (ms) after each kill of each receiver that was cut off."""
    return [kill.gap_ms[name] for kill in film.kills for name in kill.cut_off]


def simulated(names: Sequence[str], delays: Mapping[tuple[str, str], float], children: int, seconds: float,
              every: float, back: float, loss: float, deadline: float,
              hold: float) -> list[Outcome]:  # fmt: skip
    """The same film in the simulator."""
    place = {name: number for number, name in enumerate(names)}
    between = {(place[one], place[other]): delay for (one, other), delay in delays.items()}
    plan = Plan(between, len(names), RATE, SIZE, children, seconds, every, back, loss, deadline, hold)
    return [play(plan, seed) for seed in range(1, RUNS + 1)]


def beside(film: Film, runs: Sequence[Outcome]) -> list[Beside]:
    """What is to be compared, times in ms."""
    gaps = outages(film)
    never = [seen for seen in film.seen.values() if not seen.killed] or list(film.seen.values())
    kills = max(1, len(film.kills))
    before = sum(len(kill.cut_off_before) for kill in film.kills)
    counts = [
        ("cut off at a kill, receivers", len(gaps) / kills, [len(run.gaps) / run.kills for run in runs]),
        ("in a second before it", before / kills, [run.before / run.kills for run in runs]),
    ]
    times = [
        (f"{OUTAGE}median", median(gaps or [0.0]), [median(run.gaps or [0.0]) * 1000 for run in runs]),
        (f"{OUTAGE}worst", max(gaps, default=0.0), [max(run.gaps, default=0.0) * 1000 for run in runs]),
        ("delay through the tree", median(s.delay_ms[0] for s in never), [r.delay * 1000 for r in runs]),
    ]
    return [
        Beside(name, real, middle(found), min(found), max(found))
        for middle, rows in ((mean, counts), (median, times))
        for name, real, found in rows
    ]


def untrue(rows: Sequence[Beside]) -> list[str]:
    """The outages of which the simulator says too much or too little."""
    return [
        row.name
        for row in rows
        if row.name.startswith(OUTAGE) and abs(row.real - row.simulated) > WITHIN * row.simulated
    ]
