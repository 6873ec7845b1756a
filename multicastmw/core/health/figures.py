"""Figures of a stream that cost an addition a packet."""

# What we chose.
INTERVAL = 1.0  # seconds that a rate is counted over, at least
RECENT = 10.0  # seconds that a least and a most are of, at least; at most twice as many
SHARE = 16  # RFC 3550, 6.4.1: of a new value in a smoothed one


class Throughput:
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
    """The least and the most of the last RECENT seconds: of this bucket and the one before.

    Who has a packet in hand may do what `add` does itself, once `look` has said how long the bucket is good.
    """

    __slots__ = ("_before", "_span", "_turns_at", "least", "most")

    def __init__(self, now: float, span: float = RECENT) -> None:
        self._span = span
        self._turns_at = now + span
        self.least, self.most = float("inf"), float("-inf")
        self._before = (self.least, self.most)

    def add(self, value: float, now: float) -> None:
        if now >= self._turns_at:
            self.look(now)
        if value < self.least:  # noqa: PLR1730 (a call costs more than all the rest)
            self.least = value
        if value > self.most:  # noqa: PLR1730 (a call costs more than all the rest)
            self.most = value

    def look(self, now: float) -> float:
        """Begins a new bucket where it is time; gives when the next one begins."""
        if now >= self._turns_at:
            nothing = (float("inf"), float("-inf"))
            self._before = (self.least, self.most) if now < self._turns_at + self._span else nothing
            self.least, self.most = nothing
            self._turns_at = now + self._span
        return self._turns_at

    @property
    def low(self) -> float:
        """Infinity where there was nothing."""
        return min(self.least, self._before[0])

    @property
    def high(self) -> float:
        """Minus infinity where there was nothing."""
        return max(self.most, self._before[1])
