"""Round trips of one link, and what the next one will be: smoothed, as nothing else is known of it.

Where data go on UDP its probes are measured (datapath.py).  Elsewhere a Keep Alive asks for an echo over TCP,
behind whatever else is on its way there: when one is due anyway, and every ten seconds at least.
"""

# What we chose.
FIRST, EVERY = 2.0, 10.0  # seconds after the link came up, and between two questions
AGAIN = 600.0  # after which what was not answered is asked anew: who was stopped has one to answer


class Trips:
    """What was measured so far."""

    def __init__(self) -> None:
        self.rtt: float | None = None
        self.jitter: float | None = None  # seconds, smoothed, between one round trip and the next
        self._last_trip = 0.0

    def measure(self, trip: float) -> None:
        """One round trip: RFC 6298's smoothing, and RFC 3550's of how they differ (6.4.1, A.8)."""
        if self.rtt is None:
            self.rtt, self.jitter = trip, 0.0
        else:
            assert self.jitter is not None
            self.rtt += (trip - self.rtt) / 8
            self.jitter += (abs(trip - self._last_trip) - self.jitter) / 16
        self._last_trip = trip


class TripsOverTcp(Trips):
    """Of questions that go with Keep Alives; a peer that answers none of them is not measured."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.due = now + FIRST
        self._asked: int | None = None

    def ask(self, now: float) -> int | None:
        """The clock (ns) for an echo request that goes out now; None while one waits for its answer."""
        if self._asked is not None and now < self._asked / 1e9 + AGAIN:
            self.due = self._asked / 1e9 + AGAIN
            return None
        self.due = now + EVERY
        self._asked = int(now * 1e9)
        return self._asked

    def answered(self, clock: int, now: float) -> None:
        """Only the last question counts, and once."""
        if clock == self._asked:
            self._asked = None
            self.due = now + EVERY
            self.measure(max(0.0, now - clock / 1e9))

    def woke(self, now: float) -> None:
        """The host slept: what was asked before is no measure."""
        self._asked = None
        self.due = now
