"""Is the peer still there, and does it know that we are?  One link's keep-alive duty (RFC 2748, 3.9)."""

from collections.abc import Callable
from enum import Enum, auto

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
        self._speak_at = now
        self.spoke(now)

    def heard(self, now: float) -> None:
        """Anything came over the connection."""
        self.dead_at = now + self._patience

    def spoke(self, now: float) -> None:
        """Anything was sent over the connection."""
        self._speak_at = now + self._pick(self._peers_patience / 4, self._peers_patience * 3 / 4)

    def deadline(self) -> float:
        return min(self.dead_at, self._speak_at)

    def tick(self, now: float) -> Duty | None:
        if now >= self.dead_at:
            return Duty.GIVE_UP
        return Duty.SPEAK if now >= self._speak_at else None
