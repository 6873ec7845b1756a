"""What programs get is in order: later packets of a stream wait while an earlier one is asked for again.

Neighbours get everything at once and see to it themselves; only what is for this host waits, and not for
long: most players take a packet that comes late, but not all take one that comes behind later ones.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from multicastmw.core.mesh.gaps import Gaps
from multicastmw.core.mesh.numbers import MASK, ahead
from multicastmw.core.mesh.settings import KEPT_BYTES

# What we chose.
HELD_MAX = 2_048  # packets of one stream
HELD_BYTES = KEPT_BYTES

NEVER = float("inf")

Give = Callable[[Sequence[bytes], float], None]


class OrderCounters(Protocol):
    held: int


class Waiting(Protocol):
    """The stream: a feed of the mesh, or a repair on static links."""

    gaps: Gaps

    @property
    def counters(self) -> OrderCounters: ...
    @property
    def hold(self) -> float:
        """Seconds that a packet waits for an earlier one, on its way to programs; 0: it does not."""

    def wake(self, at: float) -> None: ...


class Order:
    """One stream's.  `give` takes whole messages in order, and the time."""

    def __init__(self, feed: Waiting) -> None:
        self.held: dict[int, tuple[bytes, float]] = {}  # by number, and since when
        self.give: Give = lambda messages, now: None
        self._feed = feed
        self._passed: int | None = None  # the last number that nobody waited for any longer
        self._first = 0  # the lowest number that is held
        self._bytes = 0

    def holds(self, number: int, message: bytes, now: float) -> bool:
        """Does it wait?  Then it is kept here."""
        wait = self._feed.hold
        missing = self._missing() if wait else None
        if missing is None or not ahead(number, missing):
            return False
        if not self.held or ahead(self._first, number):
            self._first = number
        elif number in self.held:
            return True
        self.held[number] = message, now
        self._bytes += len(message)
        self._feed.counters.held += 1
        self._feed.wake(now + wait)
        return True

    def _missing(self) -> int | None:
        """The first number that is waited for; what is held here is not, whatever is said of it."""
        if not self._feed.gaps.numbers:
            self._passed = None
        passed = self._passed
        for missing in self._feed.gaps.numbers:
            if missing not in self.held and (passed is None or ahead(missing, passed)):
                return missing
        return None

    def go_on(self, now: float) -> None:
        """Gives what waits for nothing any more: the gap is filled or given up, or it was long enough."""
        while self.held:
            missing = self._missing()
            if missing is not None and ahead(self._first, missing):
                oldest = next(iter(self.held.values()))[1]
                if not self._is_full and now < oldest + self._feed.hold:
                    self._feed.wake(oldest + self._feed.hold)
                    return
                self._pass_over()
            self._give(self._missing(), now)

    @property
    def _is_full(self) -> bool:
        return len(self.held) > HELD_MAX or self._bytes > HELD_BYTES

    def _pass_over(self) -> None:
        """What is missing before the first that is held is waited for no longer."""
        self._passed = (self._first - 1) & MASK

    def _give(self, until: int | None, now: float) -> None:
        """All that is held up to the next number that is waited for."""
        first = self._first
        numbers = sorted(self.held, key=lambda number: (number - first) & MASK)
        if until is not None:
            numbers = [number for number in numbers if ahead(until, number)]
        messages = [self.held.pop(number)[0] for number in numbers]
        self._bytes -= sum(map(len, messages))
        if self.held:
            self._first = min(self.held, key=lambda number: (number - first) & MASK)
        self.give(messages, now)
