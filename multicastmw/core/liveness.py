"""Is the peer still there, and does it know that we are?  One link's keep-alive duty (RFC 2748, 3.9).

Silence is only the peer's if we were listening.  A tick that comes long after its deadline means that this
process did not run (it was stopped, or the host slept), and what the peer said meanwhile may still stand in
the socket: so the first such tick judges nobody, but gives the peer a little longer, once.
"""

from collections.abc import Callable
from enum import Enum, auto

# What we chose.
LATE = 1.0  # seconds; a busy machine is late by less
GRACE = 1.0  # seconds that the peer is given then: what waits in a socket is read in the next turn; and one
# that still waits for us is given the time of its own next word, three quarters of our patience

Pick = Callable[[float, float], float]  # random.uniform, or what a test wants


class Duty(Enum):
    """What has fallen due."""

    SPEAK = auto()
    GIVE_UP = auto()


class Liveness:
    """Each side closes by its own patience and speaks at a quarter to three quarters of the other's."""

    def __init__(self, patience: float, peers_patience: float, now: float, pick: Pick) -> None:
        self._patience = patience
        self._peers_patience = peers_patience
        self._pick = pick
        self.dead_at = now + patience
        self._speak_at = self._spoke = now
        self._graced = False
        self.spoke(now)

    def heard(self, now: float) -> None:
        """Anything came over the connection."""
        self.dead_at = now + self._patience
        self._graced = False

    def woke(self, slept: float, now: float) -> None:
        """The host slept, and this clock stood still: a peer that was patient for less has closed, and the
        others want to hear of us at once."""
        if slept >= self._peers_patience:
            self.dead_at, self._graced = now, True
        else:
            self._speak_at = now

    def spoke(self, now: float) -> None:
        """Anything was sent over the connection."""
        self._spoke = now
        self._speak_at = now + self._pick(self._peers_patience / 4, self._peers_patience * 3 / 4)

    def deadline(self) -> float:
        return min(self.dead_at, self._speak_at)

    def tick(self, now: float) -> Duty | None:
        if now >= self.dead_at:
            if self._graced or now - self.deadline() < LATE:
                return Duty.GIVE_UP
            self._graced = True
            peer_waits = now - self._spoke < self._peers_patience
            self.dead_at = now + GRACE + (self._patience * 3 / 4 if peer_waits else 0)
        return Duty.SPEAK if now >= self._speak_at else None
