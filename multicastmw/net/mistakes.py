"""What our own mistakes leave in the log: the traceback of the 1st, 2nd, 4th, 8th ... time.

A mistake that a stranger can provoke must neither stop the work of others nor fill a disk.
"""

from twisted.logger import Logger
from twisted.python.failure import Failure

LOG = Logger(namespace="mcmw")


class Mistakes:
    """Those of one kind of work; `what` says which."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.times = 0

    def tell(self, failure: Failure) -> None:
        """A mistake was caught, and the work goes on."""
        self.times += 1
        if not self.times & (self.times - 1):
            LOG.failure(
                "a mistake of this program: {what} failed ({times} times), and the rest goes on",
                failure,
                what=self.what,
                times=self.times,
            )
