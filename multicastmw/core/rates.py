"""How much passes: bits a second over links and along routes, from counters that somebody else keeps.

Each second what was counted is compared with the second before, and smoothed over a few of them.  What a rate
is of is forgotten with it.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T", bound=Hashable)

# What we chose.
EVERY = 1.0  # seconds
WEIGHT = 0.5  # of the last second
STILL = 0.5  # of a unit a second: less is nothing


class Rate(NamedTuple):
    """What was counted, and how fast it grows; the same fields in both."""

    counted: tuple[int, ...]
    growth: tuple[float, ...]  # a second


class Meter(Generic[T]):
    """Of things whose counters are asked for once a second."""

    def __init__(self, things: Callable[[], Iterable[tuple[T, tuple[int, ...]]]], fields: int) -> None:
        """`things` gives each with its `fields` counters."""
        self._things = things
        self._rates: dict[T, Rate] = {}
        self._still = (0.0,) * fields

    def look(self, seconds: float) -> None:
        """So many have passed since the last time."""
        before, self._rates = self._rates, {}
        for thing, counted in self._things():
            last = before.get(thing)
            growth = self._still if last is None else _smooth(last, counted, seconds)
            self._rates[thing] = Rate(counted, growth)

    def of(self, thing: T) -> tuple[float, ...]:
        """Growth a second, field by field; zeros for what was not there a second ago."""
        rate = self._rates.get(thing)
        return rate.growth if rate else self._still


def _smooth(last: Rate, counted: tuple[int, ...], seconds: float) -> tuple[float, ...]:
    found = []
    for before, now, growth in zip(last.counted, counted, last.growth, strict=True):
        new = (now - before) / seconds
        smooth = new if not growth else growth + (new - growth) * WEIGHT
        found.append(smooth if smooth >= STILL else 0.0)
    return tuple(found)


class Metering:
    """The clock of some meters, a machine; `refresh` is asked first to bring their counters up to date."""

    def __init__(self, now: float, meters: Iterable[Meter[Any]], refresh: Callable[[], None]) -> None:
        self._meters = tuple(meters)
        self._refresh = refresh
        self._last = now

    def deadline(self) -> float:
        return self._last + EVERY

    def tick(self, now: float) -> None:
        if now < self.deadline():
            return
        self._refresh()
        for meter in self._meters:
            meter.look(now - self._last)
        self._last = now
