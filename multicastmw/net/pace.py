"""Strangers take turns at what costs the processor: a handshake is half a millisecond or more of it.

A thousand of them a second would be half a core, next to a stream.  So some are served at once, then so many
a second; the others wait, in order.  How many may wait is not decided here: who waits has a connection, and
of those without an Open the room has bounded the number.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from multicastmw.net.mistakes import Mistakes

# What we chose: 300 peers of a node that was restarted are back within 3 s.
A_SECOND = 100
AT_ONCE = 16

Turn = Callable[[], None]


class Pace:
    """At most `AT_ONCE` in one go, and `A_SECOND` in the long run."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: deque[Turn] = deque()
        self._free_at = float("-inf")  # when all turns that were taken are paid for
        self._call: IDelayedCall | None = None
        self.mistakes = Mistakes("a stranger's turn")

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, turn: Turn) -> None:
        """Calls it, now or when it comes."""
        self._waiting.append(turn)
        if not self._call:
            self._serve()

    def give_up(self, turn: Turn) -> None:
        """Who waited is gone; the others move up."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        if self._call and not self._waiting:
            self._call.cancel()
            self._call = None

    def _serve(self) -> None:
        self._call = None
        while self._waiting:
            now = self._clock.seconds()
            wait = self._free_at - AT_ONCE / A_SECOND - now
            if wait > 0:
                self._call = self._clock.callLater(wait, self._serve)
                return
            self._free_at = max(self._free_at, now) + 1 / A_SECOND
            turn = self._waiting.popleft()
            try:
                turn()
            except Exception:  # noqa: BLE001  who waits is not to wait for ever
                self.mistakes.tell(Failure())
