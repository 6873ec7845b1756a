"""Says events aloud: into twisted's log, thinned where somebody else decides how often they come."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from twisted.logger import Logger, LogLevel

from multicastmw.core.events import Event

# What we chose.
KINDS_MAX = 256  # kinds of repeating events told apart; what a stranger invents above is one kind a type
KINDS_OF_ONE = (
    8  # kinds told apart of those with the same first field, so that one caller cannot take them all
)
QUIET = 60.0  # seconds without one, and the next is news again
KEPT = 200  # events for people to look at


@dataclass
class Repetition:
    """How often a kind has come since it was last quiet."""

    times: int
    last: float


class Journal:
    """Every event of a node passes here; of those that repeat, the 1st, 2nd, 4th, 8th ... are printed."""

    def __init__(self, level: str, clock: Callable[[], float]) -> None:
        self.set_level(level)
        self.events: deque[tuple[float, Event]] = deque(maxlen=KEPT)
        self._clock = clock
        self._log = Logger(namespace="mcmw")
        self._seen: dict[tuple[object, ...], Repetition] = {}

    def set_level(self, level: str) -> None:
        """What is less is not printed from now on."""
        self.level = LogLevel.levelWithName(level)

    def tell(self, event: Event) -> None:
        """Prints the event, or only counts it."""
        now = self._clock()
        times = 1 if event.alike is None else self._count(event, event.alike, now)
        if times & (times - 1):
            return
        self.events.append((now, event))
        level = LogLevel.levelWithName(event.level)
        if level >= self.level:
            text = event.text if times == 1 else event.text + " ({times} times)"
            self._log.emit(level, text, **event.fields(), times=times)

    def _count(self, event: Event, alike: tuple[str, ...], now: float) -> int:
        key: tuple[object, ...] = (type(event), *(getattr(event, field) for field in alike))
        if key not in self._seen:
            key = self._new_kind(key, now)
        seen = self._seen.setdefault(key, Repetition(0, now))
        seen.times = seen.times + 1 if now - seen.last < QUIET else 1
        seen.last = now
        return seen.times

    def _new_kind(self, key: tuple[object, ...], now: float) -> tuple[object, ...]:
        """What is counted as a kind of its own: all fields, else the first, else the type alone."""
        if len(self._seen) >= KINDS_MAX:
            self._seen = {k: r for k, r in self._seen.items() if now - r.last < QUIET}
        if sum(k[:2] == key[:2] and now - r.last < QUIET for k, r in self._seen.items()) >= KINDS_OF_ONE:
            key = key[:2]
        if key not in self._seen and len(self._seen) >= KINDS_MAX:
            key = key[:1]
        return key
