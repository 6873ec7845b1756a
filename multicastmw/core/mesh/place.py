"""Where a node is, so that a round trip can be told before it is measured (Vivaldi; Dabek, SIGCOMM 2004).

Places are points in a plane with a height above it, the last mile; all in tenths of a millisecond of round
trip.  Each measured round trip pulls or pushes a node a little, the more the less sure it is of itself and
the surer the other one is.
"""

from math import hypot
from random import Random

from multicastmw.wire.mesh import NOWHERE, Place

# Vivaldi's constants; what we chose: the least height, so that no last mile is negative.
ERROR_GAIN, STEP_GAIN = 0.25, 0.25
HEIGHT_LEAST = 1.0
FARTHEST = 32_767
UNSURE = NOWHERE.error


class Whereabouts:
    """This node's place; `measured` moves it."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._x = self._y = 0.0
        self._height = 10.0
        self._error = 1.0

    @property
    def place(self) -> Place:
        return Place(_whole(self._x), _whole(self._y), max(0, _whole(self._height)), round(self._error * 100))

    def measured(self, rtt: float, other: Place) -> None:
        """So many seconds to somebody who is there."""
        trip = rtt * 10_000
        if trip <= 0 or other == NOWHERE:
            return
        error = min(1.0, other.error / 100)
        weight = self._error / (self._error + error + 1e-6)
        x, y = self._x - other.x, self._y - other.y
        apart = hypot(x, y)
        if apart < 0.01:
            x, y = self._rng.uniform(-1, 1), self._rng.uniform(-1, 1)
            apart = hypot(x, y) or 1.0
        expected = apart + self._height + other.height
        missed = abs(expected - trip) / trip
        self._error = min(1.0, missed * ERROR_GAIN * weight + self._error * (1 - ERROR_GAIN * weight))
        force = STEP_GAIN * weight * (trip - expected)
        whole = apart + self._height
        self._x += force * x / whole
        self._y += force * y / whole
        self._height = max(HEIGHT_LEAST, self._height + force * self._height / whole)

    def distance(self, other: Place) -> float:
        """Seconds of round trip to there, as far as can be told."""
        if other == NOWHERE:
            return 0.2
        return (hypot(self._x - other.x, self._y - other.y) + self._height + other.height) / 10_000


def between(one: Place, other: Place) -> float:
    """Seconds of round trip, as far as can be told."""
    x, y, height, error = one
    there_x, there_y, there_height, there_error = other
    if (error == UNSURE and one == NOWHERE) or (there_error == UNSURE and other == NOWHERE):
        return 0.2
    return (hypot(x - there_x, y - there_y) + height + there_height) / 10_000


def _whole(value: float) -> int:
    return max(-FARTHEST, min(FARTHEST, round(value)))
