"""Gates: how a flow is handed to the kernel, and back to it, so that no packet overtakes another.

A packet that the kernel leaves to us takes a while until it is out again, and those behind it must not pass
it.  So a route has a gate, and so has a link:

    open --- a packet is left to us (merged, too long), or we shut it ---> shut: all are left to us
      ^                                                                       |
      +--- all that were left are handled here, and no more came meanwhile ---+

What was left waits in a socket, or in the TAP.  The kernel counts what it leaves; if that count is the same
before and after nothing waits any more, all of it is out, and the kernel is told so.  It opens only where its
count still is that one.

Where something always waits, a gate is forced open.  Then the kernel is ahead of what waits yet, until that
is out, too, or the gate is shut again.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from multicastmw.core.fastpath.tables import KernelTables

# What we chose.
TRIES = 3  # of one turn: each also takes what came during the one before
AGAIN = 0.005  # seconds until the next ones
TOO_LONG = 1.0  # seconds, and a flow so dense that something always waits is handed over all the same
DRAINED = 20  # of one that was forced: then a socket full of short packets has been read

NEVER = float("inf")


Take = Callable[[], bool | None]  # takes what waits, up to a bound; True: something may wait yet


class Shut(NamedTuple):
    """`take` takes what waits there."""

    since: float
    take: Take


class Forced(NamedTuple):
    """The same, so many times at most."""

    take: Take
    times: int = DRAINED


class Owner(Protocol):
    """Whose gates they are."""

    def where(self, gate: int) -> Take:
        """How what waits there is taken: the same for all that wait in one place."""

    def may_open(self, gate: int) -> bool:
        """False: it stays shut for now, whatever waits there, and is parked."""

    def park(self, gate: int) -> None:
        """It is not tried any more until it is found again."""

    def opens(self, gate: int, tables: KernelTables) -> None:
        """It opens now, if it has left nothing more meanwhile."""

    def is_forced(self, gate: int, tables: KernelTables, now: float) -> None:
        """It opens now, though something waits."""

    def is_out(self, gate: int, tables: KernelTables) -> None:
        """What waited at one that was forced; the kernel is at its numbers meanwhile."""

    def is_shut_again(self, gate: int, tables: KernelTables) -> None:
        """One that was forced, and something may wait yet."""


class Gates:
    """Those that are to be opened again, by their numbers in the kernel's map."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._shut: dict[int, Shut] = {}
        self._forced: dict[int, Forced] = {}
        self._again_at = NEVER

    def shut(self, gate: int, tables: KernelTables, now: float) -> None:
        """Everything comes to us until what waits is out."""
        tables.shut(gate)
        self._await(gate, self._owner.where(gate), tables, now)

    def found(self, gate: int, tables: KernelTables, now: float) -> None:
        """The kernel may have shut it."""
        if tables.is_shut(gate) and gate not in self._shut:
            self._await(gate, self._owner.where(gate), tables, now)

    def _await(self, gate: int, take: Take, tables: KernelTables, now: float) -> None:
        self._shut[gate] = Shut(now, take)
        if self._forced.pop(gate, None):
            self._owner.is_shut_again(gate, tables)
        self._again_at = now

    def forget(self, gate: int) -> None:
        self._shut.pop(gate, None)
        self._forced.pop(gate, None)

    def forget_all(self) -> None:
        self._shut.clear()
        self._forced.clear()

    def deadline(self) -> float:
        return self._again_at if self._shut or self._forced else NEVER

    def tick(self, tables: KernelTables, now: float) -> None:
        """Opens those behind which nothing waits."""
        if now < self.deadline():
            return
        for _ in range(TRIES):
            self._take(tables, now)
        self._park()
        for gate in [gate for gate, shut in self._shut.items() if now >= shut.since + TOO_LONG]:
            self._owner.is_forced(gate, tables, now)
            tables.open_gate(gate, tables.left_at(gate))
            self._forced[gate] = Forced(self._shut.pop(gate).take)
        self._again_at = now + AGAIN

    def _park(self) -> None:
        for gate in [gate for gate in self._shut if not self._owner.may_open(gate)]:
            del self._shut[gate]
            self._owner.park(gate)

    def _take(self, tables: KernelTables, now: float) -> None:
        for gate in [gate for gate in self._forced if tables.is_shut(gate)]:
            self._await(gate, self._forced[gate].take, tables, now)
        before = {gate: tables.left_at(gate) for gate in (*self._shut, *self._forced)}
        takes = [shut.take for shut in self._shut.values()]
        takes += [forced.take for forced in self._forced.values()]
        more = {take: take() for take in dict.fromkeys(takes)}
        for gate, left in before.items():
            # What was taken may have ended the link, or the fast path.
            if tables.left_at(gate) != left:
                continue
            if gate in self._shut:
                if more.get(self._shut[gate].take) or not self._owner.may_open(gate):
                    continue
                self._owner.opens(gate, tables)
                tables.open_gate(gate, left)
                if not tables.is_shut(gate):
                    del self._shut[gate]
            elif forced := self._forced.pop(gate, None):
                if more.get(forced.take) and forced.times > 1:
                    self._forced[gate] = Forced(forced.take, forced.times - 1)
                else:
                    self._owner.is_out(gate, tables)
