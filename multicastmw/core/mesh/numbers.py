"""Sequence numbers modulo 2^32 and sets of them as ranges (RFC 1982)."""

from collections.abc import Iterable, Iterator

from multicastmw.wire.mesh import Range

MASK = 0xFFFFFFFF
HALF = 1 << 31


def ahead(one: int, other: int) -> bool:
    """Is the one a later number?"""
    return 0 < (one - other) & MASK < HALF


def ranges(numbers: Iterable[int], most: int) -> tuple[Range, ...]:
    """So many ranges at most, of numbers in ascending order."""
    found: list[Range] = []
    first = last = -1
    for number in numbers:
        if first >= 0 and number == (last + 1) & MASK:
            last = number
            continue
        if first >= 0:
            found.append(Range(first, last))
            if len(found) == most:
                return tuple(found)
        first = last = number
    if first >= 0:
        found.append(Range(first, last))
    return tuple(found)


def each(missing: Iterable[Range], most: int) -> Iterator[int]:
    """The numbers of ranges, so many at most."""
    for first, last in missing:
        for step in range(min(most, ((last - first) & MASK) + 1)):
            yield (first + step) & MASK
            most -= 1
        if most <= 0:
            return


def among(number: int, missing: tuple[Range, ...]) -> bool:
    """Is the number in one of the ranges?"""
    return any((number - first) & MASK <= (last - first) & MASK for first, last in missing)
