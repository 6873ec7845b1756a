"""How far a run is, for who waits at a terminal.

    10000 nodes, seed 1, churn: 95 of 136 s simulated, 81,200 events/s, 6 min left

What is left is reckoned from the last seconds: too little while trees still grow on a thinner stream.
"""

from collections.abc import Callable
from time import perf_counter

from simulator.loop import Loop

EVERY = 5.0  # seconds between two lines

Tell = Callable[[str], None]


class Watch:
    """Of one run; `seconds` are all that it will simulate."""

    def __init__(self, tell: Tell, who: str, seconds: float) -> None:
        self._tell = tell
        self._who = who
        self._seconds = seconds
        self._loop: Loop | None = None
        self._happens = ""
        self._done = 0.0  # seconds that were simulated before this part, less those that its clock began with
        self._at = perf_counter()
        self._then = self._events = 0.0

    def part(self, loop: Loop, happens: str, done: float) -> None:
        """It is this that goes on now, after so many simulated seconds of other parts."""
        self._loop, self._happens = loop, happens
        self._done = done - loop.now
        self._at, self._then, self._events = perf_counter(), loop.now, loop.events

    def __call__(self, _: str = "") -> None:
        """It went on."""
        loop, at = self._loop, perf_counter()
        if loop is None or at - self._at < EVERY or loop.now <= self._then:
            return
        took = at - self._at
        done = loop.now + self._done
        left = max(0.0, self._seconds - done) * took / (loop.now - self._then)
        rate = (loop.events - self._events) / took
        self._at, self._then, self._events = at, loop.now, loop.events
        self._tell(
            f"{self._who}, {self._happens}: {done:.0f} of {self._seconds:.0f} s simulated, "
            f"{rate:,.0f} events/s, {_short(left)} left"
        )


def _short(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
