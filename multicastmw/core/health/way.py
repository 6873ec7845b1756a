"""What the overlay's numbers say of one (S, G): which packets the way lost, and how long it took.

A source's errors and the way's are told apart by two counts, which only grow:

    room     how many packets the way may have lost so far
    breaks   how often something may have gone wrong on the way: a hole, a packet behind its turn

Whoever finds a gap of 3 packets compares `room` with what it was at its packet before: if it grew by 2, two
of them are the way's and one was never sent.  Who finds only *that* something is missing compares `breaks`.

Where a stream goes on under another count (the kernel numbers it from now on, or another node is its origin),
what was lost at the end of the count before cannot be seen: it is taken as possible.
"""

from multicastmw.core.health.figures import Extremes
from multicastmw.core.window import MASK, Budget, Window
from multicastmw.wire.data import NUMBERED_BY_KERNEL

# What we chose.
FLOWS_MAX = 4  # counts of one (S, G) at a time: two of an origin, and two of the one that takes over
ANY_NUMBER = 1 << 20  # of packets that a change of the count may hide
SHORTEST = 30.0  # seconds that the shortest way is looked for in; two clocks part by 1 ms meanwhile
SHARE = 16
NOWHERE = -1

NEW, LATE, REPEATED = 0, 1, 2


class Flow:
    """One count of one origin."""

    __slots__ = ("lost", "next", "origin", "reordered", "restarts", "window")

    def __init__(self, origin: int, budget: Budget) -> None:
        self.origin = origin
        self.window = Window(budget)
        self.next = NOWHERE  # the number that shows that all is well
        self.lost = self.reordered = self.restarts = 0


class Way:
    """One (S, G) on its way through the overlay."""

    __slots__ = (
        "_budget", "_clock", "_flow", "_flows", "_key", "_offset", "_turns_at", "breaks",
        "delay", "delays", "duplicates", "ended", "hole_at", "room", "shortest",
    )  # fmt: skip

    def __init__(self, budget: Budget, now: float) -> None:
        self._budget = budget
        self._flows: dict[int, Flow] = {}
        self._key = NOWHERE
        self._flow: Flow
        self.room = 0
        self.breaks = 0
        self.duplicates = 0
        self.hole_at = float("-inf")  # when a number was passed over last
        self.ended = [0, 0, 0]  # lost, reordered and received of counts that are forgotten
        self._clock = 0  # our clock less the origin time, of the first packet, in us
        self._offset = False
        self.shortest = Extremes(now, SHORTEST)
        self.delays = Extremes(now)
        self._turns_at = now  # when one of the two begins a new bucket
        self.delay = 0.0  # smoothed, in seconds; as the other two against the first packet's

    def accept(self, origin: int, flags: int, sequence: int, sent: int, now: float) -> int:
        """A packet's numbers; `sent` is its origin time.  NEW, LATE (behind its turn) or REPEATED."""
        key = origin << 1 | flags & NUMBERED_BY_KERNEL
        if key != self._key:
            self._switch(key, origin, now)
        flow = self._flow
        if not flow.window.accept(sequence, now):
            self.duplicates += 1
            return REPEATED
        self._took(sent, now)
        if sequence == flow.next:
            flow.next = sequence + 1 & MASK
            return NEW
        return self._unusual(flow, now)

    def _unusual(self, flow: Flow, now: float) -> int:
        window = flow.window
        lost, reordered, restarts = window.lost, window.reordered, window.restarts
        verdict = NEW
        if flow.next == NOWHERE and window.received == 1:
            pass  # the first that is seen
        elif restarts != flow.restarts:
            self._may_hide_anything()
        else:
            if lost > flow.lost:
                self.room += lost - flow.lost
                self.hole_at = now
            self.breaks += 1
            verdict = LATE if reordered != flow.reordered else NEW
        flow.lost, flow.reordered, flow.restarts = lost, reordered, restarts
        # Behind a late packet the next is a break, too: what came with the late one does not go on there.
        flow.next = NOWHERE if verdict == LATE else (window.highest or 0) + 1 & MASK
        return verdict

    def _switch(self, key: int, origin: int, now: float) -> None:
        if self._key != NOWHERE:
            self._may_hide_anything()
        flow = self._flows.pop(key, None)
        if flow is None:
            if len(self._flows) >= FLOWS_MAX:
                self._forget(next(iter(self._flows)))
            flow = Flow(origin, self._budget)
        if self._key == NOWHERE or origin != self._flow.origin:  # another node has another clock
            self._offset = False
            self.shortest, self.delays, self.delay = Extremes(now, SHORTEST), Extremes(now), 0.0
            self._turns_at = now
        self._flows[key] = flow  # the oldest is the one that was left first
        self._key, self._flow = key, flow

    def _may_hide_anything(self) -> None:
        self.room += ANY_NUMBER
        self.breaks += 1

    def _took(self, sent: int, now: float) -> None:
        """How long it took, against the first one: the clocks of two hosts differ by what nobody knows."""
        transit = int(now * 1e6) - sent
        if not self._offset:
            self._clock, self._offset = transit, True
        took = ((transit - self._clock + 0x80000000 & MASK) - 0x80000000) / 1e6
        shortest, delays = self.shortest, self.delays
        if now >= self._turns_at:
            self._turns_at = min(shortest.look(now), delays.look(now))
        if took < shortest.least:  # noqa: PLR1730 (a call costs more than all the rest)
            shortest.least = took
        if took > delays.most:  # noqa: PLR1730 (a call costs more than all the rest)
            delays.most = took
        self.delay += (took - self.delay) / SHARE

    def _forget(self, key: int) -> None:
        flow = self._flows.pop(key)
        for index, value in enumerate((flow.window.lost, flow.window.reordered, flow.window.received)):
            self.ended[index] += value
        flow.window.close()

    def close(self) -> None:
        """Gives its bytes back to the budget."""
        for key in list(self._flows):
            self._forget(key)

    # --- what is shown

    @property
    def origin(self) -> int | None:
        """Where the packets come from now."""
        return None if self._key == NOWHERE else self._flow.origin

    @property
    def lost(self) -> int:
        return self.ended[0] + sum(flow.window.lost for flow in self._flows.values())

    @property
    def reordered(self) -> int:
        return self.ended[1] + sum(flow.window.reordered for flow in self._flows.values())

    @property
    def received(self) -> int:
        return self.ended[2] + sum(flow.window.received for flow in self._flows.values())

    def above_shortest(self) -> tuple[float, float]:
        """The delay as it is now, and the longest lately, in seconds above the shortest lately."""
        low, high = self.shortest.low, self.delays.high
        if low > high:
            return 0.0, 0.0
        return max(0.0, self.delay - low), high - low
