"""Data that waits for a TCP connection: little, and never old (video over TCP falls behind, else)."""

from collections import deque

# What the specification says (DESIGN, "Data on TCP").
AGE_MAX = 0.25
PACKETS_MAX = 256


class DataQueue:
    """A bounded queue that drops its oldest packet, by age and by count, and counts what it drops."""

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: deque[tuple[float, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: bytes, now: float) -> None:
        self._expire(now)
        if len(self._waiting) >= PACKETS_MAX:
            self._drop()
        self._waiting.append((now, message))

    def get(self, now: float) -> bytes | None:
        """The oldest message that is still worth sending, or None."""
        self._expire(now)
        return self._waiting.popleft()[1] if self._waiting else None

    def _expire(self, now: float) -> None:
        while self._waiting and now - self._waiting[0][0] > AGE_MAX:
            self._drop()

    def _drop(self) -> None:
        self._waiting.popleft()
        self.dropped += 1
