"""The highest rate that holds: bracketed by doubling or halving, then halved, then confirmed.

A rate holds when one of TRIES runs holds: a neighbour's burst then costs a run, not the rate.
All contestants are treated alike in that.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

FLOOR, CEILING = 50.0, 2_000_000.0  # packets/s: what is worth looking at
MOST_STEPS = 40  # of any search: far above what the bounds allow, so that nothing runs for ever
TRIES = 2
DOWN = 30  # steps down from what the short runs found, which buffers may have helped, before nothing counts

Holds = Callable[[float], bool]


class Bracket(NamedTuple):
    """The highest rate that held, and the lowest that did not; 0 and infinity where there was none."""

    held: float
    failed: float


def again(attempt: Holds, tries: int = TRIES) -> Holds:
    """Holds when one of several attempts does."""
    return lambda rate: any(attempt(rate) for _ in range(tries))


def bracket(holds: Holds, guess: float, stride: float) -> Bracket:
    """Goes up by `stride` while it holds, or down until it does."""
    held, failed = 0.0, math.inf
    rate = min(max(guess, FLOOR), CEILING)
    for _ in range(MOST_STEPS):
        if holds(rate):
            held = rate
            if math.isfinite(failed) or rate >= CEILING:
                break
            rate = min(rate * stride, CEILING)
        else:
            failed = rate
            if held or rate <= FLOOR:
                break
            rate = max(rate / stride, FLOOR)
    return Bracket(held, failed)


def bisect(holds: Holds, found: Bracket, precision: float) -> Bracket:
    """Halves a bracket (geometrically) until its ends are `precision` apart, a factor such as 1.05."""
    held, failed = found
    if not held or not math.isfinite(failed):
        return found
    for _ in range(MOST_STEPS):
        if failed / held <= precision:
            break
        middle = math.sqrt(held * failed)
        if holds(middle):
            held = middle
        else:
            failed = middle
    return Bracket(held, failed)


def highest(short: Holds, full: Holds, guess: float, stride: float, precision: float) -> float:
    """The highest rate that short runs find and a full run confirms; 0 where there is none."""
    held = bisect(short, bracket(short, guess, stride), precision).held
    for _ in range(DOWN):
        if held < FLOOR:
            break
        if full(held):
            return held
        held /= precision
    return 0.0
