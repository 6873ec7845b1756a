"""How much somebody may have read that takes long: so much at once, so much a second.

It is counted in pieces of A_PIECE bytes, as reading takes longer the longer a text is.  One allowance is
everybody's together; each source has one besides, and each home (shares.py), as sources are easily invented:
so no single one can use all of it up.  Sources and homes are forgotten, the longest silent first: a newcomer
begins with a full one either way.
"""

from collections.abc import Hashable

from multicastmw.core.bucket import Bucket
from multicastmw.core.sessions.shares import Home

# What we chose: some 0.1 ms a piece, so everybody together may take a tenth of a core.
A_PIECE = 512  # bytes; an ordinary session is one
A_SECOND = 1_000.0
OF_ONE_NODE = 500.0  # a second, and as many at once: half is left to the others
OF_ONE_SOURCE = 200.0
SOURCES_MAX = 512  # and as many homes


def pieces(size: int) -> int:
    """What reading so many bytes takes."""
    return 1 + size // A_PIECE


class Buckets:
    """One for each who asks."""

    def __init__(self, a_second: float) -> None:
        self._a_second = a_second
        self._of: dict[Hashable, Bucket] = {}

    def __len__(self) -> int:
        return len(self._of)

    def allow(self, who: Hashable, amount: int, now: float) -> bool:
        own = self._of.pop(who, None) or Bucket(self._a_second, self._a_second)
        self._of[who] = own  # now the last to be forgotten
        if len(self._of) > SOURCES_MAX:
            del self._of[next(iter(self._of))]
        return own.allows(now, amount)


class Allowances:
    """Everybody's, each home's, and each source's own."""

    def __init__(self) -> None:
        self._all = Bucket(A_SECOND, A_SECOND)
        self.homes = Buckets(OF_ONE_NODE)
        self.sources = Buckets(OF_ONE_SOURCE)

    def allow(self, source: int, home: Home, amount: int, now: float) -> bool:
        return (
            self.sources.allow(source, amount, now)
            and self.homes.allow(home, amount, now)
            and self._all.allows(now, amount)
        )
