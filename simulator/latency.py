"""How far hosts are from each other: a measured matrix, and coordinates where it is missing or too small.

Both know `rtt(i, j)` in seconds between places, symmetric and 0 from a place to itself, and how many places
there are.  `planetlab` reads 490 x 490 round-trip times between PlanetLab hosts (R. Zhu, B. Liu, D. Niu,
Z. Li, H. V. Zhao, IEEE/ACM ToN 2017) from beside the project, if they are there.  `synthetic` draws places:
sites in clouds on a plane, and a last mile for each place ("height"; Vivaldi, SIGCOMM 2004), so that an rtt
is the distance plus two heights.  It keeps a point for each place, and no matrix.
"""

import gzip
from array import array
from math import dist, exp
from pathlib import Path
from random import Random
from typing import Protocol

PLANETLAB = Path(__file__).resolve().parents[1] / "../shared/data/planetlab-490-rtt-ms.txt.gz"

# Of the PlanetLab matrix, in seconds: what the synthetic places are made to be like.
P5, P50, P95 = 0.019, 0.135, 0.325

# What we chose, by a search for nine quantiles of the matrix from p1 to p99; in milliseconds, and then scaled
# to the median.  Clouds of sites: share of the places, middle, spread.
CLOUDS = (
    (0.53, (0.0, 0.0), 114.0),
    (0.23, (48.0, -5.0), 15.0),
    (0.09, (-35.0, 88.0), 105.0),
    (0.15, (16.0, -26.0), 3.0),
)
SHARES = [share for share, _, _ in CLOUDS]
PLACES_OF_A_SITE = 3  # on average
HEIGHT, HEIGHT_SIGMA = 0.32, 1.66  # lognormal: median, sigma of the logarithm
SAMPLE = 4000  # pairs by whose median all is scaled
NEAREST = 0.0002  # s; two hosts in one machine room
LAST_MILE = 0.004  # s; on average, of hosts that share a measured site


class Latency(Protocol):
    """Round-trip times between places that are numbered from 0."""

    def rtt(self, i: int, j: int) -> float: ...
    def __len__(self) -> int: ...


class Matrix:
    """Measured sites; a place beyond them shares the site of another, behind a last mile of its own."""

    def __init__(self, rows: "list[array[float]]", sites: list[int], miles: "array[float]") -> None:
        self._rows = [rows[site] for site in sites]
        self._sites = sites
        self._miles = miles

    def __len__(self) -> int:
        return len(self._sites)

    def rtt(self, i: int, j: int) -> float:
        if i == j:
            return 0.0
        return self._rows[i][self._sites[j]] + (self._miles[i] + self._miles[j]) or NEAREST


class Even:
    """So many places, all as far from each other."""

    def __init__(self, places: int, rtt: float) -> None:
        self._places, self._rtt = places, rtt

    def __len__(self) -> int:
        return self._places

    def rtt(self, i: int, j: int) -> float:
        return self._rtt if i != j else 0.0


class Coordinates:
    """Points with heights."""

    def __init__(self, points: list[tuple[float, float]], heights: "array[float]") -> None:
        self._points = points
        self._heights = heights

    def __len__(self) -> int:
        return len(self._points)

    def rtt(self, i: int, j: int) -> float:
        if i == j:
            return 0.0
        return dist(self._points[i], self._points[j]) + (self._heights[i] + self._heights[j])


def measured() -> bool:
    """Whether the PlanetLab matrix is there."""
    return PLANETLAB.exists()


def planetlab(n: int, rng: Random) -> Matrix:
    """n places at PlanetLab's sites: some of them if n is less than 490, else all, and shared by the rest."""
    with gzip.open(PLANETLAB, "rt") as lines:
        rows = [array("d", (float(word) / 1000 for word in line.split())) for line in lines]
    sites = list(range(len(rows)))
    rng.shuffle(sites)
    alone = min(n, len(rows))
    sites = sites[:alone] + [rng.randrange(len(rows)) for _ in range(n - alone)]
    miles = array("d", [0.0] * alone + [rng.expovariate(1 / LAST_MILE) for _ in range(n - alone)])
    return Matrix(rows, sites, miles)


def synthetic(n: int, rng: Random) -> Coordinates:
    """n places of our own, with about PlanetLab's p5, p50 and p95."""
    sites = [a_site(rng) for _ in range(max(1, n // PLACES_OF_A_SITE))]
    points = [rng.choice(sites) for _ in range(n)]
    heights = array("d", (HEIGHT * exp(rng.gauss(0, HEIGHT_SIGMA)) for _ in range(n)))
    raw = Coordinates(points, heights)
    if n < 2:
        return raw
    drawn = sorted(raw.rtt(*rng.sample(range(n), 2)) for _ in range(SAMPLE))
    scale = P50 / drawn[SAMPLE // 2]
    return Coordinates([(x * scale, y * scale) for x, y in points],
                       array("d", (height * scale for height in heights)))  # fmt: skip


def a_site(rng: Random) -> tuple[float, float]:
    """A point in some cloud."""
    [(_, (x, y), spread)] = rng.choices(CLOUDS, SHARES)
    return rng.gauss(x, spread), rng.gauss(y, spread)
