"""From what was recorded to what is shown: quantiles, medians, ratios to native in the same round.

A record is one JSON document:

    machine, options, command   what the figures belong to
    contestants                 by name: title, version, cipher, transport, note
    skipped                     by name: why it took no part
    rounds                      a list; each is a list of turns in the order in which they were played,
                                {"contestant": NAME, "rate": ..., "delay": ..., "cpu": ..., "memory": ...}
                                or {"contestant": NAME, "failed": WHY}

A round begins and ends with native; its figure of that round is the median of these, and how far they are
apart says how much the machine changed meanwhile.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
NATIVE = "native"
Record = Mapping[str, Any]
Path = tuple[str, ...]

# Where a turn has what the tables show: column and place.  RATIOS are shown against native, too.
PLACES: dict[str, Path] = {
    "rate_1316": ("rate", "1316", "rate"),
    "rate_200": ("rate", "200", "rate"),
    **{
        f"delay_{rate}_{name}": ("delay", rate, name)
        for rate in ("150", "1000")
        for name in QUANTILES
    },
    "relay_s": ("cpu", "relay_s"),
    "all_s": ("cpu", "all_s"),
    "cpu_at": ("cpu", "at"),
    "all_s_at_most": ("rate", "1316", "all_s"),
    "memory_mib": ("memory", "rss_mib"),
}  # fmt: skip


def quantiles(histogram: Iterable[Sequence[int]]) -> dict[str, float]:
    """Microseconds of a sink's histogram, [lower bound in ns, packets] in order; nan without a packet."""
    buckets = [(bound / 1e3, count) for bound, count in histogram]
    total = sum(count for _, count in buckets)
    found = {}
    for name, share in QUANTILES.items():
        wanted, passed = min(int(share * total), total - 1), 0
        found[name] = math.nan
        for bound, count in buckets:
            passed += count
            if passed > wanted:
                found[name] = bound
                break
    return found


def look_up(turn: Mapping[str, Any], place: Path) -> float | None:
    """A turn's figure, None where it has none."""
    value: Any = turn
    for step in place:
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return None if isinstance(value, float) and math.isnan(value) else float(value)


def median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def of_round(turns: Iterable[Mapping[str, Any]], name: str, place: Path) -> float | None:
    """A contestant's figure of a round: the median of its turns."""
    return median(look_up(turn, place) for turn in turns if turn["contestant"] == name)


def ratios(rounds: Iterable[Sequence[Mapping[str, Any]]], name: str, place: Path) -> list[float]:
    """A contestant's figure to native's of the same round, of each round that has both."""
    found = []
    for turns in rounds:
        mine, native = of_round(turns, name, place), of_round(turns, NATIVE, place)
        if mine is not None and native:
            found.append(mine / native)
    return found


def drift(rounds: Iterable[Sequence[Mapping[str, Any]]], place: Path) -> list[float]:
    """How much native's turns of a round differ, as a factor: what the machine itself adds to every ratio."""
    found = []
    for turns in rounds:
        known = [look_up(turn, place) for turn in turns if turn["contestant"] == NATIVE]
        values = [value for value in known if value]
        if len(values) > 1:
            found.append(max(values) / min(values))
    return found


def summarise(record: Record) -> dict[str, dict[str, Any]]:
    """By contestant that was measured: each figure's median, its least and most, and its ratio to native."""
    rounds = record["rounds"]
    measured = {turn["contestant"] for turns in rounds for turn in turns if "failed" not in turn}
    found: dict[str, dict[str, Any]] = {}
    for name in (name for name in record["contestants"] if name in measured):
        row: dict[str, Any] = {}
        for column, place in PLACES.items():
            values = [of_round(turns, name, place) for turns in rounds]
            known = [value for value in values if value is not None]
            row[column] = median(values)
            row[f"{column}_range"] = [min(known), max(known)] if known else None
            row[f"{column}_ratio"] = median(ratios(rounds, name, place))
        found[name] = row
    return found


def failures(record: Record) -> dict[str, list[str]]:
    """By contestant: what went wrong in its turns."""
    found: dict[str, list[str]] = {}
    for turns in record["rounds"]:
        for turn in turns:
            if "failed" in turn:
                found.setdefault(turn["contestant"], []).append(turn["failed"])
    return found


def others(record: Record) -> float:
    """The median share of the machine that other processes took during the runs."""
    places: list[Path] = [("delay", "150", "others"), ("delay", "1000", "others"), ("cpu", "others"),
                          ("rate", "1316", "others"), ("rate", "200", "others")]  # fmt: skip
    shares = [look_up(turn, place) for turns in record["rounds"] for turn in turns for place in places]
    return median(shares) or 0.0
