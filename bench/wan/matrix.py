"""One-way delays between hosts, in seconds, and trees over them."""

import gzip
import math
import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

Pair = tuple[str, str]
NEAREST = 0.002  # seconds: the last miles of two hosts in one town
PLANETLAB = (
    Path(__file__).parents[3] / "shared" / "data" / "planetlab-490-rtt-ms.txt.gz"
)  # not of the project


def scattered(names: Sequence[str], widest: float = 0.06, seed: int = 1) -> dict[Pair, float]:
    """Places on a square whose diagonal is `widest` long."""
    chance = random.Random(seed)
    places = {name: (chance.random(), chance.random()) for name in names}
    scale = (widest - NEAREST) / math.sqrt(2)
    return {
        (one, other): NEAREST + scale * math.dist(places[one], places[other])
        for one, other in combinations(names, 2)
    }


def measured(names: Sequence[str], file: Path, seed: int = 1) -> dict[Pair, float]:
    """Half the round-trip times between as many hosts of a measured matrix, taken at random.

    The file (gzip) has a row of milliseconds a host.  Raises ValueError where it is none, or too small.
    """
    with gzip.open(file, "rt") as text:
        rows = [[float(value) for value in line.split()] for line in text]
    if len(rows) < len(names) or any(len(row) != len(rows) for row in rows):
        raise ValueError(f"{file} is no square of {len(names)} or more round-trip times")
    taken = dict(zip(names, random.Random(seed).sample(range(len(rows)), len(names)), strict=True))
    return {(one, other): rows[taken[one]][taken[other]] / 2000 for one, other in combinations(names, 2)}


def tree(names: Sequence[str], children: int = 3) -> dict[str, list[str]]:
    """Whom each host dials, the first one being the root: its parent, and another as a standby.

    The standby is the grandparent; for the root's own children, their sister on the left.
    """
    dials: dict[str, list[str]] = {names[0]: []}
    for at, name in enumerate(names[1:], 1):
        parent = (at - 1) // children
        standby = (parent - 1) // children if parent else at - 1
        dials[name] = [names[parent]] + ([names[standby]] if standby != parent else [])
    return dials


def relays(dials: Mapping[str, Sequence[str]]) -> list[str]:
    """Who has children and is not the root."""
    parents = {whom[0] for whom in dials.values() if whom}
    return [name for name, whom in dials.items() if whom and name in parents]
