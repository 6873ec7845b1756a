"""Long work in pieces, so that packets pass in between.

A peer may say 3,000 channels in one message, and each of them is news for every other link.  Nobody does
such work in one go: who has more of it than fits one PIECE stands in this queue, and each turn of the reactor
gives BUDGET steps to those in front; then the sockets are read, and the next turn goes on.  However many have
however much to do, a turn is no longer for it; who sends faster than that is not read meanwhile (intake.py).

A worker that raises is a mistake of ours, and has had its last turn: the others have theirs all the same.

A step is the cost of one small thing, some microseconds: the core counts work, as it knows no clock.
"""

from collections.abc import Callable
from typing import Protocol

# What we chose: 2 to 4 ms of work, of which one worker has half at a time.
PIECE = 512
BUDGET = 2 * PIECE


class Worker(Protocol):
    """Whoever has work that takes long."""

    def work(self, steps: int, now: float) -> int:
        """Does about so many steps of it; says how many it were."""

    def has_work(self) -> bool:
        """Is there more?"""


def _raise(worker: Worker, error: Exception) -> None:
    raise error


class Turns:
    """The queue of those who have work, a machine with `deadline` and `tick`; `wake` winds its clock.

    `failed` is told, inside the `except`, who raised what; it is not in the queue any more.
    """

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.failed: Callable[[Worker, Exception], None] = _raise
        self.longest = 0  # workers that waited at once
        self._waiting: dict[Worker, None] = {}

    def add(self, worker: Worker) -> None:
        """It has work: it is its turn when those before it have had theirs."""
        if worker in self._waiting:
            return
        self._waiting[worker] = None
        if len(self._waiting) == 1:
            self.wake()

    def forget(self, worker: Worker) -> None:
        self._waiting.pop(worker, None)

    def deadline(self) -> float:
        return float("-inf" if self._waiting else "inf")

    def tick(self, now: float) -> None:
        """One turn's worth of work."""
        left = BUDGET
        self.longest = max(self.longest, len(self._waiting))
        while left > 0 and self._waiting:
            for worker in list(self._waiting):
                if left <= 0:
                    return
                if worker in self._waiting:  # else an earlier one's work was its end
                    del self._waiting[worker]
                    left -= max(1, self._turn(worker, min(PIECE, left), now))

    def _turn(self, worker: Worker, steps: int, now: float) -> int:
        try:
            done = worker.work(steps, now)
            if worker.has_work():
                self._waiting[worker] = None
        except Exception as error:  # noqa: BLE001  one link's mishap is not to stop all others
            self._waiting.pop(worker, None)
            self.failed(worker, error)
            return steps
        return done
