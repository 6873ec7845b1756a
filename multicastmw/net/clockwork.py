"""The one place that knows what time it is, and winds the machines that have deadlines.

A machine says `deadline()` and does its duty in `tick(now)`.  Winding is lazy: a deadline that moves away
costs nothing, for an early ring finds nothing due and winds itself again; only one that moves nearer must
call `wind`.

A reactor rings before it reads its sockets.  So after a stop of the process every machine would hear first
that its time is over, and then what had come in time: a ring that is very late waits for one more turn.
"""

import time
from math import ceil
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

NEVER = float("inf")

# What we chose: a ring that is so many seconds late tells that this process did not run.
LATE = 1.0
FAR = 4  # times the slack: what is nearer than that rings exactly


def monotonic(reactor: Any) -> Any:
    """Makes a reactor count by the monotonic clock: by the wall clock, as it comes, a correction by an hour
    would stop every timer for that long."""
    reactor.seconds = time.monotonic
    return reactor


def wall() -> float:
    """The wall clock in seconds since 1970: what certificates are dated by."""
    return time.time()


def clock_ahead() -> int:
    """Nanoseconds that the wall clock is ahead of the monotonic one."""
    return time.time_ns() - time.monotonic_ns()


def asleep() -> float:
    """Seconds that this host has slept since it was booted: what the monotonic clock does not count."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def wall_us() -> int:
    """The wall clock in microseconds, modulo 2^32: the origin time of a packet."""
    return time.time_ns() // 1000 & 0xFFFFFFFF


class Machine(Protocol):
    """What a clockwork winds."""

    def deadline(self) -> float: ...
    def tick(self, now: float) -> Any: ...


class Clockwork:
    """One machine's clockwork; `tick` is called soon after each deadline, on the reactor's clock.

    With `slack` (seconds) a far deadline is rounded up to a multiple of it: so hundreds of machines ring
    together, and the reactor wakes up once for many of them.
    """

    def __init__(self, clock: IReactorTime, machine: Machine, slack: float = 0.0) -> None:
        self._clock = clock
        self._machine = machine
        self._slack = slack
        self._call: IDelayedCall | None = None
        self._rings_at = NEVER
        self._due = NEVER

    def wind(self) -> None:
        """The machine's deadline may have moved nearer."""
        deadline = self._machine.deadline()
        if deadline >= self._rings_at:
            return
        delay = max(0.0, deadline - self._clock.seconds())
        if self._slack and delay > FAR * self._slack:
            later = ceil(deadline / self._slack) * self._slack - deadline
            deadline, delay = deadline + later, delay + later
            if deadline >= self._rings_at:
                return
        if self._call:
            self._call.cancel()
        self._rings_at = deadline
        self._due = self._clock.seconds() + delay
        self._call = self._clock.callLater(delay, self._ring)

    def _ring(self) -> None:
        now = self._clock.seconds()
        if now - self._due > LATE:
            self._due = now
            self._call = self._clock.callLater(0, self._ring)
            return
        self._call = None
        self._rings_at = NEVER
        try:
            self._machine.tick(now)
        finally:
            self.wind()

    def stop(self) -> None:
        """Rings no more."""
        if self._call:
            self._call.cancel()
            self._call = None
        self._rings_at = float("-inf")
