"""What a link loses, as both its ends count it: direct measurement of loss (RFC 6374, 2.1).

A probe says how many packets have been sent, its reply how many have come.  Both go the packets' own way, so
of two replies the differences are of the same packets, but for a few that overtake a probe.
"""

from multicastmw.wire.messages import Tally

# What we chose.
WEIGHT = 1_000  # packets that count as much as all before them
SIGMAS, SIGMAS_MOST = 2, 8  # standard deviations that parity is made for
LEFT = 0.002  # a share that may stay lost
CALM = 30.0  # seconds without any, and it is tried with less
COUNTS_MAX = 1 << 31  # of one difference
ROUND = 0xFFFFFFFF


class Loss:
    """Of the packets that go out over one link; `share` is 0 to 1, None before it was measured.

    How losses are spread is seen by what parity did not bring back: `sigmas` grows until little is left.
    """

    __slots__ = ("_last", "_left_at", "share", "sigmas")

    def __init__(self) -> None:
        self.share: float | None = None
        self.sigmas = SIGMAS
        self._last: Tally | None = None
        self._left_at = 0.0

    def hears(self, reply: Tally, now: float) -> bool:
        """A reply came; True if it says something new."""
        last, self._last = self._last, reply
        if last is None:
            return False
        sent, received = (reply.sent - last.sent) & ROUND, (reply.received - last.received) & ROUND
        if sent > COUNTS_MAX:  # an older reply, which was overtaken
            self._last = last
            return False
        if not sent or received > COUNTS_MAX:
            return False
        lost = min(1.0, max(0.0, 1 - received / sent))
        share = lost if self.share is None else self.share
        self.share = share + (lost - share) * sent / (sent + WEIGHT)
        self._spread(((reply.short - last.short) & ROUND) / sent, now)
        return True

    def _spread(self, left: float, now: float) -> None:
        if left > LEFT:
            self.sigmas = min(SIGMAS_MOST, self.sigmas + 1)
        if left or now - self._left_at > CALM:
            self.sigmas = max(SIGMAS, self.sigmas - (not left))
            self._left_at = now

    def begins_anew(self) -> None:
        """The way is another one."""
        self.share = self._last = None
