"""What the next of several measured values is likely to be, and by how much they swing: RFC 6298, section 2.

Its quarter, for variations, is taken for the mean as well: what is measured here are few values, and is to be
followed soon.  Round trips (trips.py) have the RFC's own eighth.
"""

FOLLOWS = 0.25  # of a difference goes into the mean


class Estimate:
    """Of one quantity, in its own unit; `mean` and `swing` are 0 until it was measured."""

    __slots__ = ("mean", "measured", "swing")

    def __init__(self) -> None:
        self.mean = self.swing = 0.0
        self.measured = 0  # times

    def measure(self, value: float) -> None:
        """The first may be half of itself away (2.2); then the swing follows, and after it the mean (2.3)."""
        if self.measured:
            self.swing += (abs(value - self.mean) - self.swing) * FOLLOWS
            self.mean += (value - self.mean) * FOLLOWS
        else:
            self.mean, self.swing = value, abs(value) / 2
        self.measured += 1
