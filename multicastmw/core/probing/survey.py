"""A node's part in a survey: so many probes to everybody, and what came of everybody's.

One-way times are by two clocks that know nothing of each other; the shortest one is told as it is, and only
together with that of the way back it says something: the sum of both is a round trip, whatever the clocks.
"""

from collections.abc import Callable

from multicastmw.wire import probe
from multicastmw.wire.probe import Entry

# What we chose.
SETTLE = 0.3  # seconds until the first probe, so that everybody has heard the question by then
PROBES_MAX = 100
SETTLE_MOST = 5.0  # that a question may say
INTERVAL_MIN, LASTS_MAX = 0.02, 60.0  # seconds, between probes and of all of them
KEPT = 30.0  # seconds after the last probe, within which reports are asked for
NODES_MAX = 1_024  # nodes that are counted
PROBES_A_SECOND = 500  # of all nodes together, which every node gets

CLOCK = 1 << 32
HALF = CLOCK >> 1
MICRO = 1_000_000


class Heard:
    """One node's probes: `seen` has a bit for each, times are us by both clocks, modulo 2^32."""

    __slots__ = ("first", "hops", "least", "most", "seen", "total")

    def __init__(self, first: int) -> None:
        self.first = first
        self.seen = self.total = self.least = self.most = self.hops = 0

    def accept(self, number: int, took: int, hops: int) -> None:
        if self.seen >> number & 1:
            return
        self.seen |= 1 << number
        relative = (took - self.first + HALF) % CLOCK - HALF  # to the first one's, so that no clock wraps
        self.least, self.most = min(self.least, relative), max(self.most, relative)
        self.total += relative
        self.hops = hops

    @property
    def got(self) -> int:
        return self.seen.bit_count()

    def entry(self, node: int) -> Entry:
        mean = self.total // self.got - self.least
        return Entry(
            node, self.got, min(self.hops, 255), (self.first + self.least) % CLOCK,
            min(mean, CLOCK - 1), min(self.most - self.least, CLOCK - 1),
        )  # fmt: skip


class SurveyPart:
    """From the question to the reports; `times` are those of our probes."""

    def __init__(
        self, asked: probe.Survey, now: float, pick: Callable[[float, float], float], settle: float = SETTLE
    ) -> None:
        """`settle`: seconds until the first probe."""
        self.probes = asked.probes
        interval = asked.interval / 1000
        self.is_modest = (
            1 <= self.probes <= PROBES_MAX
            and interval >= INTERVAL_MIN
            and interval * self.probes <= LASTS_MAX
        )
        self.ends_at = now + settle + interval * self.probes + KEPT
        numbers = range(self.probes if self.is_modest else 0)
        self.times = [now + settle + (number + pick(0.0, 1.0)) * interval for number in numbers]
        self._heard: dict[int, Heard] = {}

    def accept(self, node: int, number: int, clock: int, hops: int, now: float) -> None:
        """A probe has come."""
        if number >= self.probes:
            return
        took = (int(now * MICRO) - clock) % CLOCK
        heard = self._heard.get(node)
        if heard is None:
            if len(self._heard) >= NODES_MAX:
                return
            heard = self._heard[node] = Heard(took)
        heard.accept(number, took, hops)

    def entries(self) -> tuple[Entry, ...]:
        """What came, of each node."""
        return tuple(heard.entry(node) for node, heard in self._heard.items())
