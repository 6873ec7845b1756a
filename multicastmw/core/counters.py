"""Counts of what happened, by name: every input from outside ends in one, or at a route."""


class Counters:
    """Named counts, each an attribute that exists from the start, so that a name cannot be mistyped."""

    __slots__: tuple[str, ...] = ()

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}
