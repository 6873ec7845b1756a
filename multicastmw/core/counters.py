"""Counts of what happened, by name: every input from outside ends in one, or at a route."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import ClassVar


class Counters:
    """Named counts, each an attribute that exists from the start, so that a name cannot be mistyped."""

    __slots__: tuple[str, ...] = ()
    _read: ClassVar[Callable[[object], Iterable[int]]]

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    def as_dict(self) -> dict[str, int]:
        return dict(zip(self.__slots__, self._read(self), strict=True))

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._read = staticmethod(reader(cls.__slots__))


def reader(names: tuple[str, ...]) -> Callable[[object], Iterable[int]]:
    """All of them at once, for a snapshot reads those of a thousand links."""
    return attrgetter(*names) if len(names) > 1 else lambda counters: [getattr(counters, n) for n in names]
