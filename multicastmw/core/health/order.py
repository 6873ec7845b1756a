"""RTP payloads in the order that a player plays them: it waits a moment for one that is behind its turn."""

from typing import NamedTuple

# What we chose: players wait for more (VLC 1 s), so what is given up here is lost for them or nearly so.
HELD_MAX = 64  # payloads that wait for one before them, and
HELD_BYTES = 96 << 10  # their bytes: as many of 1,500, as nearly all are
HELD_FOR = 0.1  # seconds


class Held(NamedTuple):
    """A payload and what is known of its datagram."""

    payload: bytes
    now: float
    sent: int
    mark: int


class Order:
    """Only after a gap something is held: as long as all is well, a payload is never copied."""

    __slots__ = ("_bytes", "_held", "next")

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}
        self._bytes = 0
        self.next = 0  # the number whose turn it is

    @property
    def is_waiting(self) -> bool:
        return bool(self._held)

    def accept(self, number: int, held: Held) -> list[Held]:
        """What can be looked at now, in order; a number that was given up is not looked at."""
        if number < self.next or number in self._held:
            return []
        self._held[number] = held
        self._bytes += len(held.payload)
        ready = self._run()
        while self._held and (self._is_full() or held.now - self._oldest() > HELD_FOR):
            self.next = min(self._held)
            ready += self._run()
        return ready

    def clear(self) -> list[Held]:
        """The numbers go on elsewhere: all that waits, in order."""
        ready = [self._held[number] for number in sorted(self._held)]
        self._held.clear()
        self._bytes = 0
        return ready

    def _run(self) -> list[Held]:
        ready = []
        while self.next in self._held:
            ready.append(self._held.pop(self.next))
            self._bytes -= len(ready[-1].payload)
            self.next += 1
        return ready

    def _is_full(self) -> bool:
        return len(self._held) > HELD_MAX or self._bytes > HELD_BYTES

    def _oldest(self) -> float:
        return next(iter(self._held.values())).now
