"""Thousands of deadlines that mostly move away before they ring: a dict and a heap, wound lazily.

A deadline that moves away costs one comparison: the old entry rings early, and whoever it belongs to
finds nothing due and winds it again.  Only one that comes nearer is pushed; what it replaces stays in
the heap as a stale entry until it surfaces, or until stale entries are the greater part.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import inf

# Chosen: below this many entries a heap is not worth sweeping.
SMALL = 64


class Deadlines:
    """When each of many keys has to be looked at next, at the latest."""

    def __init__(self) -> None:
        self._at: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def wind(self, key: int, at: float) -> None:
        """Rings for `key` no later than `at`; earlier where an earlier ring is set already."""
        if at >= self._at.get(key, inf):
            return
        self._at[key] = at
        heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._at) + SMALL:
            self._heap = [(when, key) for key, when in self._at.items()]
            heapify(self._heap)

    def forget(self, key: int) -> None:
        self._at.pop(key, None)

    def clear(self) -> None:
        self._at.clear()
        self._heap.clear()

    def deadline(self) -> float:
        """The earliest ring; inf where there is none."""
        while self._heap and self._stale(*self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def due(self, now: float) -> Iterator[int]:
        """Takes out and yields the keys that ring; each may be wound again, to a later time, meanwhile."""
        while self.deadline() <= now:
            _, key = heappop(self._heap)
            del self._at[key]
            yield key

    def _stale(self, at: float, key: int) -> bool:
        return self._at.get(key) != at
