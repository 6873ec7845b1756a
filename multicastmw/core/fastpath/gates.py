"""Gates: how a flow is handed to the kernel, and back to it, so that no packet overtakes another.

A packet that the kernel leaves to us takes a while until it is out again, and those behind it must not pass
it.  So a route has a gate, and so has a link:

    open --- a packet is left to us (merged, too long), or we shut it ---> shut: all are left to us
      ^                                                                       |
      +--- all that were left are handled here, and no more came meanwhile ---+

What was left waits in a socket, or in the TAP.  The kernel counts what it leaves; if that count is the same
before and after nothing waits any more, all of it is out, and the kernel is told so.  It opens only where its
count still is that one.
"""

from collections.abc import Callable
from typing import NamedTuple

from multicastmw.core.fastpath.tables import KernelTables

# What we chose.
TRIES = 3  # of one turn: each also takes what came during the one before
AGAIN = 0.005  # seconds until the next ones
TOO_LONG = 1.0  # seconds, and a flow so dense that something always waits is handed over all the same

NEVER = float("inf")


Take = Callable[[], None]


class Shut(NamedTuple):
    """`take` takes what waits there."""

    since: float
    take: Take


class Gates:
    """Those that are to be opened again, by their numbers in the kernel's map.

    `where` gives for one how what waits there is taken: the same for all that wait in one place.
    """

    def __init__(self, where: Callable[[int], Take]) -> None:
        self._where = where
        self._shut: dict[int, Shut] = {}
        self._again_at = NEVER

    def shut(self, gate: int, tables: KernelTables, now: float) -> None:
        """Everything comes to us until what waits is out."""
        tables.shut(gate)
        self._await(gate, now)

    def found(self, gate: int, tables: KernelTables, now: float) -> None:
        """The kernel may have shut it."""
        if tables.is_shut(gate) and gate not in self._shut:
            self._await(gate, now)

    def _await(self, gate: int, now: float) -> None:
        self._shut[gate] = Shut(now, self._where(gate))
        self._again_at = now

    def forget(self, gate: int) -> None:
        self._shut.pop(gate, None)

    def forget_all(self) -> None:
        self._shut.clear()

    def deadline(self) -> float:
        return self._again_at if self._shut else NEVER

    def tick(self, tables: KernelTables, now: float) -> None:
        """Opens those behind which nothing waits."""
        if not self._shut or now < self._again_at:
            return
        for _ in range(TRIES):
            self._take(tables)
        for gate in [gate for gate, shut in self._shut.items() if now >= shut.since + TOO_LONG]:
            tables.open_gate(gate, tables.left_at(gate))
            del self._shut[gate]
        self._again_at = now + AGAIN

    def _take(self, tables: KernelTables) -> None:
        before = {gate: tables.left_at(gate) for gate in self._shut}
        for take in dict.fromkeys(shut.take for shut in self._shut.values()):
            take()
        for gate, left in before.items():
            # What was taken may have ended the link, or the fast path.
            if gate in self._shut and tables.left_at(gate) == left:
                tables.open_gate(gate, left)
                if not tables.is_shut(gate):
                    del self._shut[gate]
