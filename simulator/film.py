"""What `python -m bench film` does to real nodes, done to simulated ones: does the simulator tell the truth?

One node feeds a film to all others; again and again the node that feeds most of them is killed, and is back a
few seconds later as a new one at the same place.  Killed as a process is: its kernel closes the connections.
What counts is what programs see: packets in order, so a lost one holds up those behind it until it is there.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.settings import SLOTS_SHARE
from multicastmw.wire.mesh import StreamKey
from simulator.node import Node
from simulator.scenario import GROUP, SOURCE, Progress, Scenario, Shape, silence

SEEDS = 2  # the first of them sends
CUT_OFF = 0.1  # seconds: a longer silence is an outage,
BEGINS = 1.0  # if it begins so soon after a kill
QUIET = 3.0  # seconds before a kill begins a second to compare
SETTLED = 10.0  # seconds after which a node that came back has all that it had before
OVERHEAD = 90  # bytes around a packet, as the lab's nodes count their uplink


class Plan(NamedTuple):
    """Of a film; `delays` are one way, in seconds, between places."""

    delays: Mapping[tuple[int, int], float]
    nodes: int
    rate: float  # packets/s
    packet: int  # bytes
    children: int  # of each node
    seconds: float
    every: float  # seconds from a kill to the next
    back: float  # seconds until who was killed is there again
    loss: float
    deadline: float = 1.0
    hold: float = 0.5


class Outcome(NamedTuple):
    """What the receivers saw; `gaps`: the longest silence (s) after each kill of each that was cut off.

    `before`: how many were in a second before each, by losses alone.
    """

    kills: int
    gaps: list[float]
    before: int
    lost: int  # by the worst of those that were never killed
    delay: float  # seconds through the tree, the median of the receivers' medians


class Places:
    """Latencies that somebody else has made up."""

    def __init__(self, delays: Mapping[tuple[int, int], float], number: int) -> None:
        self._delays = delays
        self._number = number

    def __len__(self) -> int:
        return self._number

    def rtt(self, i: int, j: int) -> float:
        if i == j:
            return 0.0
        there, back = self._delays.get((i, j)), self._delays.get((j, i))
        known = [delay for delay in (there, back) if delay is not None]
        return sum(known) if len(known) == 2 else 2 * known[0]


class _Viewer(Node):
    """Its programs get packets as those of a real node do: Forwarder.relay and core/mesh/order.py."""

    def to_programs(self, feed: Feed, sequence: int, now: float) -> None:
        order = feed.order
        if not (feed.missing or order.held):
            super().to_programs(feed, sequence, now)
            return
        order.give = partial(self._give, feed)
        if not order.holds(sequence, sequence.to_bytes(4), now):
            super().to_programs(feed, sequence, now)
        order.go_on(now)

    def _give(self, feed: Feed, numbers: Sequence[bytes], now: float) -> None:
        """What has waited for earlier packets."""
        for number in numbers:
            super().to_programs(feed, int.from_bytes(number), now)


class _Film(Scenario):
    relays = SEEDS
    seed_slots = 0
    kind = _Viewer

    def __init__(self, plan: Plan, seed: int, progress: Progress) -> None:
        self.plan = plan
        shape = Shape(plan.nodes, seed, rate=plan.rate, calm_rate=plan.rate, packet=plan.packet,
                      deadline=plan.deadline, hold=plan.hold, join=2.0, settle=12.0)  # fmt: skip
        super().__init__(shape, progress, Places(plan.delays, plan.nodes))
        self.source = self.world.nodes[0]
        self.key = StreamKey(self.source.id | 1, GROUP, SOURCE)
        self.killed: list[Node] = []

    def _uplink(self) -> int:
        stream = self.plan.rate * (self.plan.packet + OVERHEAD) * 8 / 1000
        return int(stream * (self.plan.children + 0.3) / SLOTS_SHARE)

    def busiest(self) -> Node:
        """Who feeds most others, seeds apart."""
        fed = Counter[Node]()
        for node in self.entered():
            feed = node.mesh.feeds.get(self.key)
            if feed and feed.parent:
                fed[self.world.by_id[feed.parent.node]] += 1
        by_most = [node for node, _ in fed.most_common() if node.index >= SEEDS and node.is_alive]
        return by_most[0] if by_most else next(n for n in self.living() if n.index >= SEEDS)

    def kill(self) -> None:
        victim = self.busiest()
        self.killed.append(victim)
        self.world.crash(victim, silent=False)
        self.loop.at(self.loop.now + self.plan.back, self._returns, victim)

    def _returns(self, victim: Node) -> None:
        newcomer = self.add()
        hosts = self.network.hosts
        hosts[newcomer.index].place = hosts[victim.index].place
        self.world.measure_also(newcomer)
        self.enter(newcomer)


def play(plan: Plan, seed: int, progress: Progress = silence) -> Outcome:
    """One film; deterministic by seed."""
    film = _Film(plan, seed, progress)
    film.start()
    film.settle()
    measured = film.measure(plan.seconds, plan.loss)
    times = [measured.began + plan.every * (n + 1) for n in range(int((plan.seconds - 5.0) / plan.every))]
    for at in times:
        film.loop.at(at, film.kill)
    measured.run()
    receivers = [node for node in film.world.nodes if node is not film.source]
    arrived = {node: _arrived(film, node, measured.first) for node in receivers}
    there = [
        (at, arrived[node])
        for at in times
        for node in receivers
        if (node.is_alive or node not in film.killed[: times.index(at) + 1])
        and 0 <= node.entered_at < at - SETTLED
    ]
    gaps = [_silence(came, at, at + BEGINS) for at, came in there]
    before = [_silence(came, at - QUIET, at - QUIET + BEGINS) for at, came in there]
    never = [node for node in receivers if node.index < plan.nodes and node not in film.killed]
    return Outcome(
        len(film.killed),
        [gap for gap in gaps if gap > CUT_OFF],
        sum(gap > CUT_OFF for gap in before),
        max(sum(delay < 0 for delay in node.arrivals) for node in never),
        median(median(delay for delay in node.arrivals if delay >= 0) for node in never),
    )


def _arrived(film: Scenario, node: Node, first: int) -> list[float]:
    sent = film.world.sent_at
    return sorted(sent[first + n] + delay for n, delay in enumerate(node.arrivals) if delay >= 0)


def _silence(times: Sequence[float], begin: float, end: float) -> float:
    """The longest one (s) that begins in this time, or is there at its beginning."""
    inside = times[max(0, bisect_left(times, begin) - 1) : bisect_left(times, end) + 1]
    return max((b - a for a, b in pairwise(inside)), default=end - begin)
