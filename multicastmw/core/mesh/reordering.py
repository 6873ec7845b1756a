"""How long a packet that was overtaken may still be on its way: the guard before it is asked for.

It begins with 20 ms or three packets' time.  Where links put packets out of order by more than that, what is
asked for comes twice; each time that this is seen the guard becomes somewhat longer than that packet was late
(as RACK widens its window for reordering, RFC 8985, 6.2), and it shrinks again slowly.
"""

from multicastmw.core.mesh.settings import GUARD, GUARD_FADES, GUARD_MOST, GUARD_PACKETS

# What we chose.
MARGIN = 1.5  # times as late as what was seen: the next ones may be later
LATE_LEAST = 0.005  # seconds
REMEMBERED = 64  # numbers that came as they were asked for: the first ones may come still


class Reordering:
    """Of one stream's packets on their way from the parent."""

    def __init__(self) -> None:
        self.late = 0.0  # seconds, as it was seen and a little more; 0: nothing came too late for the guard
        self._resent: dict[int, float] = {}  # when each was noticed to be missing

    def guard(self, rate: float) -> float:
        """Seconds after which what is missing is not late, but lost."""
        usual = min(GUARD, GUARD_PACKETS / rate) if rate else GUARD
        return max(usual, self.late)

    def fade(self, seconds: float) -> None:
        """So long went by."""
        if self.late:
            self.late *= GUARD_FADES**seconds
            if self.late < LATE_LEAST:
                self.late = 0.0

    def came(self, noticed: float, rate: float, now: float) -> None:
        """A packet that was missing since then has come by itself."""
        late = now - noticed
        if self.guard(rate) < late:
            self.late = min(GUARD_MOST, MARGIN * late)

    def came_resent(self, number: int, noticed: float) -> None:
        """One has come as it was asked for: if the first one does too, that was too early."""
        if len(self._resent) >= REMEMBERED:
            del self._resent[next(iter(self._resent))]
        self._resent[number] = noticed

    def came_twice(self, number: int, rate: float, now: float) -> None:
        """One comes by itself that was here already."""
        noticed = self._resent.pop(number, None)
        if noticed is not None:
            self.came(noticed, rate, now)
