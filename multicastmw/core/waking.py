"""Did we sleep?  A look every second at the clocks tells it, and which kind of sleep it was.

    the monotonic clock went on without us   the process was stopped, or the machine stood still: every timer
                                             is late, and sockets may hold what came meanwhile
    it stood still, the boot clock did not   the host was suspended: to all timers no time has passed, but
                                             peers have waited in vain

    the wall clock ran away from both        it was set: nothing of ours counts by it, but people read it

The first kind needs no cure here: timers that ring late judge nobody before the sockets are read
(liveness.py, net/clockwork.py).  It is told, so that an operator knows why peers went.  Of the second
the links are told.
"""

from collections.abc import Callable

from multicastmw.core.events import ClockSet, Slept, Tell

# What we chose.
EVERY = 1.0  # seconds between looks
NOTICED = 2.0  # seconds; a busy machine is late by less, and clocks that are slewed differ by less


class Waking:
    """A machine that looks at the clocks; `asleep` gives the seconds that the host has slept since boot,
    `ahead` those that the wall clock is ahead of the monotonic one."""

    def __init__(
        self,
        asleep: Callable[[], float],
        woke: Callable[[float, float], None],
        tell: Tell,
        now: float,
        ahead: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._asleep = asleep
        self._woke = woke
        self._tell = tell
        self._before = asleep()
        self._ahead = ahead
        self._ahead_before = ahead()
        self._look_at = now + EVERY
        self.stops = 0
        self.late = 0.0  # seconds that looks came late, all of them together
        self.sleeps = 0
        self.settings = 0  # of the wall clock

    def deadline(self) -> float:
        return self._look_at

    def tick(self, now: float) -> None:
        if now < self._look_at:
            return
        late, asleep = now - self._look_at, self._asleep()
        slept, self._before = asleep - self._before, asleep
        self._look_at = now + EVERY
        self.late += late
        if late > NOTICED:
            self.stops += 1
            self._tell(Slept(round(late + EVERY, 1), "this process did not run"))
        if slept > NOTICED:
            self.sleeps += 1
            self._tell(Slept(round(slept, 1), "this host slept"))
            self._woke(slept, now)
        ahead = self._ahead()
        was_set = ahead - self._ahead_before - slept  # while the host sleeps, the wall clock alone goes on
        self._ahead_before = ahead
        if abs(was_set) > NOTICED:
            self.settings += 1
            self._tell(ClockSet(round(was_set, 1)))
