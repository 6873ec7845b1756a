"""When a node of the mesh asks one of its seeds.

alone       at once, as it starts and as its last neighbour goes; then after 0.5 s, doubling up to 15 s
not alone   every 20 to 40 s, so that two halves of a mesh find each other
"""

from random import Random

# What we chose.
ALONE = 0.5  # seconds
ALONE_MOST = 15.0
JITTER = 0.75, 1.25
GREETS = 20.0, 40.0
NEVER = float("inf")


class SeedTimes:
    """`due` is the next time, unless this node is alone by then."""

    def __init__(self, rng: Random) -> None:
        self.due = NEVER
        self._rng = rng
        self._wait = ALONE
        self._was_alone = True

    def start(self, now: float) -> None:
        self.due = now

    def tick(self, alone: bool, now: float) -> bool:
        """Is a seed to be asked now?  `alone`: there is no neighbour."""
        if alone and not self._was_alone:
            self.due = now
            self._wait = ALONE
        self._was_alone = alone
        if now < self.due:
            return False
        if alone:
            self.due = now + self._wait * self._rng.uniform(*JITTER)
            self._wait = min(ALONE_MOST, self._wait * 2)
        else:
            self.due = now + self._rng.uniform(*GREETS)
        return True
