"""When to dial a peer again: soon at first, politely later, and never given up."""

from multicastmw.core.liveness import Pick

# What the specification says (DESIGN, "The conduct of a link").
FIRST_WAIT = 0.25
EAGER_WAIT_MAX = 2.0
EAGER_FOR = 300.0
PATIENT_WAIT_MAX = 15.0
JITTER = 0.25
DIAL_TIMEOUT = 4.0


class Backoff:
    """The waits between attempts at one peer, since it was last up."""

    def __init__(self, now: float, pick: Pick) -> None:
        self._pick = pick
        self.attempts = 0
        self._since = now

    def succeeded(self, now: float) -> None:
        """The peer was up until now: begin anew."""
        self.attempts = 0
        self._since = now

    def wait(self, now: float) -> float:
        """Seconds until the next attempt, one more having failed."""
        longest = EAGER_WAIT_MAX if now - self._since < EAGER_FOR else PATIENT_WAIT_MAX
        wait: float = min(longest, FIRST_WAIT * 2 ** min(self.attempts, 10))
        self.attempts += 1
        return min(longest, wait * self._pick(1 - JITTER, 1 + JITTER))
