"""Figures of a stream that cost an addition a packet."""

# What we chose.
INTERVAL = 1.0  # seconds that a rate is counted over, at least
RECENT = 10.0  # seconds that a least and a most are of, at least; at most twice as many
SHARE = 16  # RFC 3550, 6.4.1: of a new value in a smoothed one


class Rate:
    """Packets and bytes a second, of the last whole interval."""

    __slots__ = ("_bytes_before", "_packets_before", "_since", "bits", "bytes", "packets", "per_second")

    def __init__(self, now: float) -> None:
        self.packets = self.bytes = 0  # all of them
        self.per_second = self.bits = 0.0
        self._packets_before = self._bytes_before = 0
        self._since = now

    def add(self, size: int, now: float) -> None:
        if now - self._since >= INTERVAL:
            self._turn(now)
        self.packets += 1
        self.bytes += size

    def look(self, now: float) -> None:
        """Before it is read: of a stream that has ended nothing is heard."""
        if now - self._since >= INTERVAL:
            self._turn(now)

    def _turn(self, now: float) -> None:
        elapsed = now - self._since
        self.per_second = (self.packets - self._packets_before) / elapsed
        self.bits = 8 * (self.bytes - self._bytes_before) / elapsed
        self._packets_before, self._bytes_before, self._since = self.packets, self.bytes, now


class Extremes:
    """The least and the most of the last RECENT seconds: of this bucket, and of the one before it."""

    __slots__ = ("_before", "_high", "_low", "_span", "_turns_at")

    def __init__(self, now: float, span: float = RECENT) -> None:
        self._span = span
        self._turns_at = now + span
        self._low, self._high = float("inf"), float("-inf")
        self._before = (self._low, self._high)

    def add(self, value: float, now: float) -> None:
        if now >= self._turns_at:
            self._turn(now)
        self._low = min(self._low, value)
        self._high = max(self._high, value)

    def _turn(self, now: float) -> None:
        nothing = (float("inf"), float("-inf"))
        self._before = (self._low, self._high) if now < self._turns_at + self._span else nothing
        self._low, self._high = nothing
        self._turns_at = now + self._span

    @property
    def low(self) -> float:
        """Infinity where there was nothing."""
        return min(self._low, self._before[0])

    @property
    def high(self) -> float:
        """Minus infinity where there was nothing."""
        return max(self._high, self._before[1])
