"""How much somebody may have read that takes long: so much at once, so much a second.

It is counted in pieces of A_PIECE bytes, as reading takes longer the longer a text is.  One allowance is
everybody's together, and each source has one besides, so that a single one cannot use all of it up.  Sources
are forgotten, the longest silent first: a newcomer begins with a full one either way.
"""

from multicastmw.core.bucket import Bucket

# What we chose: some 0.1 ms a piece, so everybody together may take a tenth of a core.
A_PIECE = 512  # bytes; an ordinary session is one
A_SECOND = 1_000.0
OF_ONE_SOURCE = 200.0  # a second, and as many at once
SOURCES_MAX = 512


def pieces(size: int) -> int:
    """What reading so many bytes takes."""
    return 1 + size // A_PIECE


class Allowances:
    """Everybody's, and each source's own."""

    def __init__(self) -> None:
        self._all = Bucket(A_SECOND, A_SECOND)
        self._of: dict[int, Bucket] = {}

    def __len__(self) -> int:
        return len(self._of)

    def allow(self, source: int, amount: int, now: float) -> bool:
        own = self._of.pop(source, None) or Bucket(OF_ONE_SOURCE, OF_ONE_SOURCE)
        self._of[source] = own  # now the last to be forgotten
        if len(self._of) > SOURCES_MAX:
            del self._of[next(iter(self._of))]
        return own.allows(now, amount) and self._all.allows(now, amount)
