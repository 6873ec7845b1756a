"""Says events aloud: into twisted's log, thinned where somebody else decides how often they come."""

from collections import Counter, deque
from collections.abc import Callable

from twisted.logger import Logger, LogLevel

from multicastmw.core.events import (
    Cycle,
    Event,
    Limit,
    OwnName,
    PeerIsMisnamed,
    PeerRefused,
    PeerUnreachable,
    SameNodeTwice,
    Stranger,
    TapPending,
)

# What we chose.
THINNED = (
    Cycle,
    Limit,
    OwnName,
    PeerIsMisnamed,
    PeerRefused,
    PeerUnreachable,
    SameNodeTwice,
    Stranger,
    TapPending,
)
KINDS_MAX = 1_024  # kinds of thinned events that are told apart; what a stranger invents above is one kind
KEPT = 200  # events for people to look at


class Journal:
    """Every event of a node passes here; of those that repeat, the 1st, 2nd, 4th, 8th ... are printed."""

    def __init__(self, level: str, clock: Callable[[], float]) -> None:
        self.level = LogLevel.levelWithName(level)
        self.events: deque[tuple[float, Event]] = deque(maxlen=KEPT)
        self._clock = clock
        self._log = Logger(namespace="mcmw")
        self._seen: Counter[tuple[object, ...]] = Counter()

    def tell(self, event: Event) -> None:
        """Prints the event, or only counts it."""
        times = 1
        if isinstance(event, THINNED):
            times = self._count(event)
            if times & (times - 1):
                return
        self.events.append((self._clock(), event))
        level = LogLevel.levelWithName(event.level)
        if level >= self.level:
            text = event.text if times == 1 else event.text + " ({times} times)"
            self._log.emit(level, text, **event.fields(), times=times)

    def _count(self, event: Event) -> int:
        key: tuple[object, ...] = (type(event), *event.fields().values())
        if len(self._seen) >= KINDS_MAX and key not in self._seen:
            key = (type(event),)
        self._seen[key] += 1
        return self._seen[key]
