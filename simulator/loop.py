"""Simulated time: a queue of events, and Twisted's IReactorTime over the same queue.

Two ways in.  `at(time, function, *args)` is for packets, by the million: no handle, no way back.
`callLater` is what a node's timers ask for, with `cancel`, `reset` and `delay`.  Both enter

    (time, function, args)

and entries of the same time come in the order in which they were set.

One heap of 100,000 entries costs four times what one of 1,000 does, as each look goes to another end of the
memory.  So time is cut into slots of a millisecond, and only what happens next is in order:

      the slot that is run              numbers of later slots in a heap, what is in them as it came
    | latest ... next event |         | 1207 | 1209 | 1210 ...

A slot is sorted when its time has come, and run from its end; what is set meanwhile for the rest of the same
slot is put in its place there.

A timer is moved lazily.  One that moves away leaves its entry where it is; when that comes up, the timer
enters again at its new time, as if it were set then.  One that moves nearer, or is cancelled, leaves an entry
behind that will find nothing to do; when half of all entries are such remains, they are swept.
"""

from bisect import insort_left
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from operator import itemgetter
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import classImplements

# What we chose.
SLOTS = 1024.0  # in a second: at 500,000 events a second some 500 are sorted at a time
FEW = 1000  # remains for which the heap is not swept

Entry = tuple[float, Callable[..., Any], tuple[Any, ...]]


when = itemgetter(0)  # of an entry


class Timer:
    """A call that can be moved and cancelled."""

    __slots__ = ("args", "function", "kwargs", "loop", "over", "settings", "standing", "time")

    def __init__(self, loop: "Loop", time: float, function: Callable[..., Any], args: tuple[Any, ...],
                 kwargs: dict[str, Any]) -> None:  # fmt: skip
        self.loop = loop
        self.time = self.standing = time  # when it is due, and when its entry comes up
        self.settings = 0  # how often it entered: another entry than the last one is remains
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.over: type[AlreadyCalled | AlreadyCancelled] | None = None

    def getTime(self) -> float:
        return self.time

    def active(self) -> bool:
        return self.over is None

    def cancel(self) -> None:
        self._claim()
        self._finish(AlreadyCancelled)
        self.loop.left()

    def reset(self, seconds: float) -> None:
        """Due so many seconds from now."""
        self._claim()
        self._move(self.loop.now + seconds)

    def delay(self, seconds: float) -> None:
        """Due so many seconds later than it was, or earlier if they are negative."""
        self._claim()
        self._move(self.time + seconds)

    def enter(self) -> None:
        """No timer makes time run backwards: one that was moved before now is due now."""
        self.standing = max(self.time, self.loop.now)
        self.settings += 1
        self.loop.at(self.standing, self.loop.ring, self, self.settings)

    def rings(self, entry: int) -> None:
        """An entry of it has come up."""
        if entry != self.settings or self.over:
            self.loop.gone()
        elif self.time > self.standing:
            self.enter()
        else:
            function, args, kwargs = self.function, self.args, self.kwargs
            self._finish(AlreadyCalled)
            function(*args, **kwargs)

    def _claim(self) -> None:
        if self.over:
            raise self.over()

    def _move(self, time: float) -> None:
        self.time = time
        if time < self.standing:
            self.enter()
            self.loop.left()

    def _finish(self, why: type[AlreadyCalled | AlreadyCancelled]) -> None:
        """Lets go of what it would have called: its entry may stand for long."""
        self.over = why
        self.function, self.args, self.kwargs = nothing, (), {}


class Loop:
    """An event loop in simulated time; `now` is what `seconds()` says, for those who ask for each packet."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0  # that were due
        self.ring = Timer.rings  # what entries of timers call, and are known by
        self._slot = -1  # the number of the slot that is run, or was run last
        self._current: list[Entry] = []  # what is left of it, the next event last
        self._later: dict[int, list[Entry]] = {}
        self._order: list[int] = []
        self._remains = 0
        self._enough = FEW  # remains before it is worth to count the entries

    def at(self, time: float, function: Callable[..., Any], *args: Any) -> None:
        """Calls the function at that time, which must not be over; there is no way back."""
        self.enter((time, function, args))

    def enter(self, entry: Entry) -> None:
        """The same, for who makes the entry."""
        slot = int(entry[0] * SLOTS)
        later = self._later.get(slot)
        if later is None:
            self._open(slot, entry)
        else:
            later.append(entry)

    def run(self, until: float) -> None:
        """Lets everything happen that is due until then, inclusively.

        What an event raises ends the run, as a defect of the simulated program; `run` may be called again.
        """
        last = int(until * SLOTS)
        self._play(until)
        while not self._current and self._order and self._order[0] <= last:
            self._slot = heappop(self._order)
            self._current = self._later.pop(self._slot)
            self._current.sort(key=when)  # which leaves those of the same time as they came
            self._current.reverse()
            self.events += len(self._current)
            self._play(until)
        self._slot = max(self._slot, last)
        self.now = max(self.now, until)

    def pending(self) -> int:
        """How many entries there are, with the remains of timers."""
        return len(self._current) + sum(map(len, self._later.values()))

    # --- IReactorTime

    def seconds(self) -> float:
        return self.now

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> Timer:
        if delay < 0:
            raise ValueError(f"a call {-delay} s ago")
        timer = Timer(self, self.now + delay, callable, args, kw)
        timer.enter()
        return timer

    def getDelayedCalls(self) -> Sequence[Timer]:
        """The timers that are active, in no order; it looks at all entries."""
        return [args[0] for _, function, args in self._entries() if function is self.ring and alive(args)]

    # --- what timers tell

    def left(self) -> None:
        """An entry has become remains."""
        self._remains += 1
        if self._remains > self._enough:
            entries = self.pending()
            if self._remains * 2 > entries:
                self._sweep()
            self._enough = max(FEW, entries // 2)

    def gone(self) -> None:
        """Remains have come up."""
        self._remains -= 1

    # --- slots

    def _open(self, slot: int, entry: Entry) -> None:
        """The first entry of a slot, or one for the slot that is run."""
        if slot > self._slot:
            self._later[slot] = [entry]
            heappush(self._order, slot)
        elif entry[0] < self.now:
            raise ValueError(f"{entry[0]} is over, it is {self.now}")
        else:
            insort_left(self._current, entry, key=lambda each: -each[0])

    def _play(self, until: float) -> None:
        current = self._current
        while current:
            time, function, args = entry = current.pop()
            if time > until:
                current.append(entry)
                break
            self.now = time
            function(*args)

    def _entries(self) -> Iterator[Entry]:
        yield from self._current
        for entries in self._later.values():
            yield from entries

    def _sweep(self) -> None:
        """In place, as a slot may be running; slots that are empty now stay."""
        for entries in (self._current, *self._later.values()):
            entries[:] = [each for each in entries if each[1] is not self.ring or alive(each[2])]
        self._remains = 0


def nothing() -> None:
    """What a timer calls that is over."""


def alive(args: tuple[Any, ...]) -> bool:
    """Whether the entry of a timer is not remains."""
    timer, entry = args
    return timer.over is None and timer.settings == entry


classImplements(Timer, IDelayedCall)  # no decorators: mypyc would not compile the classes
classImplements(Loop, IReactorTime)
