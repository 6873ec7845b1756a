"""What looking at streams may take beside packets, and what was not looked at for it.

A packet of an ordinary stream is a comparison; its tables say the same for hours.  A stranger's may say
something else in each of a hundred sections of a datagram.  So what is read anew has a rate: each stream's
own, and that of all of them together.
"""

from multicastmw.core.bucket import Bucket
from multicastmw.core.counters import Counters

# What we chose.  Reading is counted in pieces of A_PIECE bytes, of some 0.1 ms each: all together may take a
# hundredth of a core.  At once as many as a multiplex of 100 programmes begins with, and 64 streams of one.
A_PIECE = 128
READ_A_SECOND, READ_AT_ONCE = 32, 256  # of a stream
ALL_A_SECOND, ALL_AT_ONCE = 128, 1_024


class MonitorCounters(Counters):
    """What of watched streams was not looked at."""

    __slots__ = ("reports_not_read", "tables_cut", "tables_not_read")
    reports_not_read: int  # RTCP packets of too many parts
    tables_cut: int  # packets of a PID with tables whose further sections were not looked at
    tables_not_read: int  # sections that were new, above the rate


class Limits:
    """The one of a monitor, which its streams share."""

    def __init__(self) -> None:
        self.counters = MonitorCounters()
        self._all = Bucket(ALL_A_SECOND, ALL_AT_ONCE)

    def may_read(self, own: Bucket, size: int, now: float) -> bool:
        """A section that is new, of the stream whose bucket this is."""
        pieces = 1 + size // A_PIECE
        return own.allows(now, pieces) and self._all.allows(now, pieces)

    @staticmethod
    def of_a_stream() -> Bucket:
        return Bucket(READ_A_SECOND, READ_AT_ONCE)
