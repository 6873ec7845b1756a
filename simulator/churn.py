"""Who comes, how long they stay, and what they can give: from the figures of a live-television trace.

The figures (../shared/data/README.md) are of a public trace of 2020; no row of it is here.  They do not all
agree with the words beside them, so this is what was taken for the truth:

* Session lengths.  p10/p50/p90/p99 = 13 s/500 s/5,600 s/33,000 s contradict one lognormal of sigma 2.2, which
  has p10 = 30 s, p90 = 8,400 s and a mean of 5,600 s instead of 2,400 s.  So the quantiles hold: between them
  the logarithm is linear in the normal deviate, which is a lognormal in pieces, and it goes on so beyond
  them.  No session is longer than a day.  Then the mean is 2,410 s (stated: 2,400), the logarithm's standard
  deviation 2.37 (stated: 2.2), and 10^4 members make 4.15 departures a second (stated: 4.3).
* Uplinks.  The same with p10/p50/p90 = 1.1/2.5/4.1 Mbit/s, for those that give anything: 57.5 %.  Then the
  best tenth has 31 % of the capacity, and to have 83 % of it those above p90 would have to bring 84 Mbit/s
  each.  They need not: 82-84 % is a share of the *upload given*, a rate times a session, and the session
  lengths alone make it so.  Drawn independently, the best tenth of the sessions gives 83 %.

Everything is a generator without end of seconds or bit/s, and comes from the rng that is handed in.  Where
members are there already when a run begins, their sessions have what `remaining` gives: somebody who looks in
at any moment meets long sessions, and these are under way.
"""

from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from math import exp, log
from random import Random
from statistics import NormalDist

DAY = 86_400.0

# Of the trace.
SESSIONS = ((0.10, 13.0), (0.50, 500.0), (0.90, 5_600.0), (0.99, 33_000.0))  # seconds
UPLINKS = ((0.10, 1.1e6), (0.50, 2.5e6), (0.90, 4.1e6))  # bit/s, of those who give
NOTHING = 0.425  # of the members give nothing

STEPS = 20_000  # of the table by which sessions under way are drawn
NORMAL = NormalDist()


class Quantiles:
    """A distribution through given quantiles: lognormal between each two, the outer pieces go on."""

    def __init__(self, points: tuple[tuple[float, float], ...], most: float = float("inf")) -> None:
        self._deviates = [NORMAL.inv_cdf(share) for share, _ in points]
        self._logs = [log(value) for _, value in points]
        self._most = most

    def at(self, share: float) -> float:
        """The value below which that share lies; 0 < share < 1."""
        deviate = NORMAL.inv_cdf(share)
        piece = min(max(bisect(self._deviates, deviate), 1), len(self._deviates) - 1)
        low, high = self._deviates[piece - 1 : piece + 1]
        start, end = self._logs[piece - 1 : piece + 1]
        return min(self._most, exp(start + (end - start) * (deviate - low) / (high - low)))

    def draw(self, rng: Random) -> float:
        return self.at(rng.random() or 0.5)

    def table(self) -> list[float]:
        """Values of equal probability, ascending."""
        return [self.at((step + 0.5) / STEPS) for step in range(STEPS)]


SESSION = Quantiles(SESSIONS, most=DAY)
UPLINK = Quantiles(UPLINKS)


def sessions(rng: Random) -> Iterator[float]:
    """How long who comes now stays."""
    while True:
        yield SESSION.draw(rng)


def remaining(rng: Random) -> Iterator[float]:
    """How long who is there already goes on, in a group as large as it was a while ago."""
    lengths = SESSION.table()
    met = list(accumulate(lengths))  # a session is met as often as it is long
    while True:
        yield rng.random() * lengths[bisect(met, rng.random() * met[-1])]


def uplinks(rng: Random) -> Iterator[float]:
    """What members give: 0 for 42.5 % of them."""
    while True:
        yield 0.0 if rng.random() < NOTHING else UPLINK.draw(rng)


def departures(members: int, rng: Random) -> Iterator[float]:
    """When members leave a group that stays as large: 10^4 make 4.15 departures a second."""
    return poisson(members / mean_session(), rng)


def mean_session() -> float:
    """Seconds."""
    return sum(SESSION.table()) / STEPS


def poisson(rate: float, rng: Random) -> Iterator[float]:
    """The times of events that come at random, so many a second; it begins at 0."""
    time = 0.0
    while True:
        time += rng.expovariate(rate)
        yield time


def flash_crowd(n: int, seconds: float, rng: Random) -> list[float]:
    """When the n members come that come at random within so many seconds, in order."""
    return sorted(rng.random() * seconds for _ in range(n))
