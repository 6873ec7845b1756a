"""How much somebody may have read that takes long: so much at once, so much a second.

It is counted in pieces of A_PIECE bytes, as reading takes longer the longer a text is.  One allowance is
everybody's together, and each source has one besides, so that a single one cannot use all of it up.  Sources
are forgotten, the longest silent first: a newcomer begins with a full one either way.
"""

# What we chose: some 0.1 ms a piece, so everybody together may take a tenth of a core.
A_PIECE = 512  # bytes; an ordinary session is one
A_SECOND = 1_000.0
OF_ONE_SOURCE = 200.0  # a second, and as many at once
SOURCES_MAX = 512


def pieces(size: int) -> int:
    """What reading so many bytes takes."""
    return 1 + size // A_PIECE


class Allowance:
    """A bucket that fills by `rate` a second, up to a second's worth."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = self._left = rate
        self._at = now

    def allow(self, amount: int, now: float) -> bool:
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < amount:
            return False
        self._left -= amount
        return True


class Allowances:
    """Everybody's, and each source's own."""

    def __init__(self, now: float) -> None:
        self._all = Allowance(A_SECOND, now)
        self._of: dict[int, Allowance] = {}

    def __len__(self) -> int:
        return len(self._of)

    def allow(self, source: int, amount: int, now: float) -> bool:
        own = self._of.pop(source, None) or Allowance(OF_ONE_SOURCE, now)
        self._of[source] = own  # now the last to be forgotten
        if len(self._of) > SOURCES_MAX:
            del self._of[next(iter(self._of))]
        return own.allow(amount, now) and self._all.allow(amount, now)
