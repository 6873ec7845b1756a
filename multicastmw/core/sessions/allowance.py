"""How often somebody may have something read that takes long: so many at once, so many a second.

One allowance is everybody's together, and each source has one besides, so that a single one cannot use all of
it up.  Sources are forgotten, the longest silent first: a newcomer begins with a full one either way.
"""

# What we chose: at 0.1 ms each, everybody together may take a tenth of a core.
A_SECOND = 1_000.0
OF_ONE_SOURCE = 200.0  # a second, and as many at once
SOURCES_MAX = 512


class Allowance:
    """A bucket that fills by `rate` a second, up to a second's worth."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = self._left = rate
        self._at = now

    def allow(self, now: float) -> bool:
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Allowances:
    """Everybody's, and each source's own."""

    def __init__(self, now: float) -> None:
        self._all = Allowance(A_SECOND, now)
        self._of: dict[int, Allowance] = {}

    def __len__(self) -> int:
        return len(self._of)

    def allow(self, source: int, now: float) -> bool:
        own = self._of.pop(source, None) or Allowance(OF_ONE_SOURCE, now)
        self._of[source] = own  # now the last to be forgotten
        if len(self._of) > SOURCES_MAX:
            del self._of[next(iter(self._of))]
        return own.allow(now) and self._all.allow(now)
