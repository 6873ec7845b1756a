"""May data go on UDP?  Probes say, and keep saying.

A probe goes out at once and is repeated every 0.5 s until it is answered; the next one follows 2 s after the
answered one.  Data moves to UDP with the first answer and back to TCP after three probes unanswered in a row;
from then on it takes three answered in a row, and an empty TCP queue, to return.
"""

from collections import deque

from multicastmw.core.trips import Trips

# What the specification says (DESIGN, "The conduct of a link").
RETRY = 0.5
PACE = 2.0
UNANSWERED_MAX = 3
ANSWERED_TO_RETURN = 3

# What we chose.
MESH_PACE = 4.0  # between neighbours in the mesh, which have many links and hear of each other otherwise
OUTSTANDING_MAX = 8  # an answer may come this many probes late (4 s at the retry pace)
REMEMBERED = 32  # probes that the loss is a share of: a minute of them


class DataPath(Trips):
    """The probing of one link's data path, from our side to the peer's data port."""

    def __init__(self, now: float, pace: float = PACE) -> None:
        """`pace`: seconds from an answered probe to the next."""
        super().__init__()
        self._pace = pace
        self.on_udp = False
        self.falls = 0
        self.unmatched = 0
        self._probe_at = now
        self._outstanding: deque[int] = deque(maxlen=OUTSTANDING_MAX)
        self._awaiting = False
        self._unanswered = 0
        self._answered = ANSWERED_TO_RETURN - 1  # the first answer of all is enough
        self._lately: deque[bool] = deque(maxlen=REMEMBERED)  # was it answered in time?

    @property
    def loss(self) -> float | None:
        """The share of the last probes that were not answered before the next was due."""
        return self._lately.count(False) / len(self._lately) if self._lately else None

    def deadline(self) -> float:
        return self._probe_at

    def tick(self, now: float) -> int | None:
        """The clock (ns) to put into a probe that is due now, or None."""
        if now < self._probe_at:
            return None
        if self._awaiting:
            self._missed()
        clock = int(now * 1e9)
        self._outstanding.append(clock)
        self._awaiting = True
        self._probe_at = now + RETRY
        return clock

    def moved(self, now: float) -> None:
        """The peer is to be probed elsewhere: no answer to earlier probes counts, the first one from there
        does."""
        self.on_udp = False
        self._outstanding.clear()
        self._lately.clear()
        self.rtt = self.jitter = None
        self._awaiting = False
        self._unanswered = 0
        self._answered = ANSWERED_TO_RETURN - 1
        self._probe_at = now

    def woke(self, now: float) -> None:
        """The host slept: what was asked before is no measure, and now it is asked anew."""
        self._outstanding.clear()
        self._awaiting = False
        self._probe_at = now

    def _missed(self) -> None:
        self._lately.append(False)
        self._unanswered += 1
        self._answered = 0 if self.on_udp or self.falls else self._answered
        if self.on_udp and self._unanswered >= UNANSWERED_MAX:
            self.on_udp = False
            self.falls += 1
            self._answered = 0

    def answered(self, clock: int, tcp_queue_empty: bool, now: float) -> bool:
        """An echo came back; True if data moves to UDP by it.  One that answers no probe is only counted."""
        if clock not in self._outstanding:
            self.unmatched += 1
            return False
        while self._outstanding.popleft() != clock:
            pass
        self.measure(max(0.0, now - clock / 1e9))
        if self._awaiting:
            self._lately.append(True)
            self._awaiting = False
            self._probe_at = now + self._pace
        self._unanswered = 0
        self._answered += 1
        if self.on_udp or self._answered < ANSWERED_TO_RETURN or not tcp_queue_empty:
            return False
        self.on_udp = True
        return True
