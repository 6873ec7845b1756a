"""What was heard is said again to a host that joins a group of SAP: paced, and to that host's Ethernet alone.

A player's socket holds some hundred announcements, so they come BATCH by BATCH; and twice, as a program may
join first and bind its socket then.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable

from multicastmw.core.sessions.directory import Session

# What we chose: all of SESSIONS_MAX within 0.7 s, and no more than a default socket buffer holds in 50 ms.
BATCH = 16
EVERY = 0.01
REST = 1.0  # seconds from the beginning of one round to that of the next in the same group
ROUNDS = 2
# However many join, under whatever addresses: so many rounds of a group without a pause, and one more every
# so many seconds.  Who joins meanwhile is not forgotten, and has to wait for the next.
ROUNDS_AT_ONCE = 16
ROUND_EVERY = 5.0


class Replays:
    """A machine with `deadline` and `tick`."""

    def __init__(
        self, kept: Callable[[int], Iterable[Session]], say: Callable[[Session, int, float], None]
    ) -> None:
        """`kept` gives what is announced in a SAP group, `say` says it there once more, if it still holds."""
        self.wake: Callable[[], None] = lambda: None
        self._kept = kept
        self._say = say
        self._waiting: deque[tuple[Session, int]] = deque()
        self._left: Counter[int] = Counter()  # of these by group
        self._next_at = 0.0
        self._began: dict[int, float] = {}
        self._paid_until: dict[int, float] = {}  # a round costs ROUND_EVERY
        self._due: dict[int, float] = {}  # groups that somebody has joined
        self._rounds: Counter[int] = Counter()  # that are still to begin

    def joined(self, group: int, now: float) -> None:
        """Somebody joins: what is kept is said, now or as soon as it may be, and once more."""
        self._rounds[group] = ROUNDS
        if group not in self._due:
            self._due[group] = self._may_begin(group, now)
        self.wake()

    def _may_begin(self, group: int, now: float) -> float:
        rested = self._began.get(group, now - REST) + REST
        return max(now, rested, self._paid_until.get(group, now) - (ROUNDS_AT_ONCE - 1) * ROUND_EVERY)

    def deadline(self) -> float:
        due = min((at for group, at in self._due.items() if not self._left[group]), default=float("inf"))
        return min(due, self._next_at) if self._waiting else due

    def tick(self, now: float) -> None:
        for group in [g for g, at in self._due.items() if at <= now and not self._left[g]]:
            self._began[group] = now
            self._paid_until[group] = max(now, self._paid_until.get(group, now)) + ROUND_EVERY
            self._rounds[group] -= 1
            if self._rounds[group]:
                self._due[group] = self._may_begin(group, now)
            else:
                del self._due[group]
            sessions = list(self._kept(group))
            self._left[group] = len(sessions)
            self._waiting.extend((session, group) for session in sessions)
        if now < self._next_at:
            return
        for _ in range(min(BATCH, len(self._waiting))):
            session, group = self._waiting.popleft()
            self._left[group] -= 1
            self._say(session, group, now)
        if self._waiting:
            self._next_at = now + EVERY
