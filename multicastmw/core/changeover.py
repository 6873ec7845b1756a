"""Data move from TCP to UDP, and none overtakes another.

What went over TCP may still be on its way, or stand unread at the peer, when the first datagram is there.  So
an echo request follows it over TCP, and data wait until that is answered: a round trip, once.  A peer that
does not answer it is not waited for long.
"""

# What we chose.
HELD_MAX = 0.2  # seconds; what waits for TCP is dropped when it is older than 0.25 s

NEVER = float("inf")


class Changeover:
    """Of one link, from our side to the peer's."""

    def __init__(self) -> None:
        self.until = NEVER  # when data go on UDP without an answer
        self._clock: int | None = None
        self._used = False

    @property
    def holds(self) -> bool:
        """Do data wait for the answer?"""
        return self._clock is not None

    def used(self) -> None:
        """Data went over TCP."""
        self._used = True

    def begin(self, now: float) -> int | None:
        """Data are to move: the clock (ns) to ask for over TCP, or None where nothing can be overtaken."""
        if not self._used:
            return None
        self._clock, self.until = int(now * 1e9), now + HELD_MAX
        return self._clock

    def is_answer(self, clock: int) -> bool:
        """Does this echo say that everything before it has been read?"""
        return clock == self._clock

    def ended(self) -> None:
        """Data have moved, or stay."""
        self._clock, self.until, self._used = None, NEVER, False
