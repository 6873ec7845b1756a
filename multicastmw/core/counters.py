"""Counts of what happened, by name: every input from outside ends in one, or at a route."""

from collections.abc import Callable, Iterable
from functools import cache
from operator import attrgetter
from typing import Self


class Counters:
    """Named counts, each an attribute that exists from the start, so that a name cannot be mistyped."""

    __slots__: tuple[str, ...] = ()

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    def as_dict(self) -> dict[str, int]:
        return dict(zip(self.__slots__, reader(self.__slots__)(self), strict=True))

    def add(self, *counted: object) -> Self:
        """Adds the counts of all of these, which have the same names."""
        columns = zip(*map(reader(self.__slots__), counted), strict=True)
        for name, column in zip(self.__slots__, columns, strict=False):  # of nothing there are no columns
            setattr(self, name, getattr(self, name) + sum(column))
        return self


@cache
def reader(names: tuple[str, ...]) -> Callable[[object], Iterable[int]]:
    """All of them at once: a snapshot reads those of hundreds of links."""
    return attrgetter(*names) if len(names) > 1 else lambda counters: [getattr(counters, n) for n in names]
