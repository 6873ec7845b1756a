"""A group of nodes that joins, gets a stream, and meets trouble: what is the same in all scenarios.

    join      nodes come one after the other over some seconds, each knowing three seeds
    settle    the stream runs, trees and neighbours get better
    measure   so many seconds before and after what happens

The uplink of a node with k slots is k streams and a bit, divided by the share that slots may use, plus what
control takes; who gives nothing has 0.5 Mbit/s for control alone, and says that its uplink is 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from random import Random
from statistics import mean, median

from multicastmw.core.mesh.settings import SLOTS_SHARE, Settings
from multicastmw.wire.mesh import StreamKey
from simulator import churn
from simulator.correcting import CorrectingNode
from simulator.keepalive import SILENT as KEEPALIVE_SILENT
from simulator.keepalive import PatientNode
from simulator.latency import Even, Latency, measured, planetlab, synthetic
from simulator.liars import Liar
from simulator.loop import Loop
from simulator.network import Bursts, Network
from simulator.node import Node
from simulator.world import SILENT, World

GROUP = 0xEF010203
SOURCE = 0x0A580002
STREAM_KBIT = 1_000
SEEDS = 3
MARGIN = 1.1
CONTROL_KBIT = 500
OLD = 5.0  # seconds that a node was there before the measuring, to be counted
STEP = 5.0  # seconds between two words of progress
STRANDED = 1.0  # seconds without a packet
AFTER = 2.0  # seconds for what comes late


@dataclass(frozen=True)
class Shape:
    """Of a run; `slots` are (share of the nodes, slots)."""

    nodes: int
    seed: int
    rate: float = 30.0  # packets/s
    calm_rate: float = 30.0  # while trees grow: 10,000 nodes have less to do then
    packet: int = 0  # bytes; 0: what makes 1 Mbit/s
    jitter: float = 0.0  # seconds, the mean of an exponential one
    bursts: Bursts | None = None
    slots: tuple[tuple[float, int], ...] = ((0.4, 0), (0.4, 2), (0.2, 8))
    uplinks: bool = False  # of the trace instead (churn.py)
    nat: float = 0.0  # share of the nodes that nobody can dial
    join: float = 10.0
    settle: float = 50.0
    queues: bool = False  # are uplinks finite?
    tcp: bool = False  # data on the connections
    deadline: float = 1.0
    hold: float = 0.5
    keepalive: bool = False  # the tree that the mesh is compared with
    liars: float = 0.0
    rtt: float = 0.0  # seconds between any two nodes; 0: as measured
    corrects: bool = False  # may links carry parity?
    every: float = 0.0  # seconds between two announcements of each node, instead of the one stream


Progress = Callable[[str], None]


def silence(_: str) -> None:
    """Nobody listens."""


def latency_of(shape: Shape, rng: Random) -> Latency:
    if shape.rtt:
        return Even(shape.nodes, shape.rtt)
    if measured() and shape.nodes <= 490:
        return planetlab(shape.nodes, rng)
    return synthetic(shape.nodes, rng)


def uplink_of(slots: int) -> int:
    """kbit/s that carry so many streams, as the node says it."""
    return int(slots * STREAM_KBIT * MARGIN / SLOTS_SHARE)


class Scenario:
    """One group with one stream.  Node 0, 1 and 2 are seeds and relays, node 3 sends."""

    relays = SEEDS
    seed_slots = 8  # that the seeds and the source have at least
    kind: type[Node] = Node

    def __init__(self, shape: Shape, progress: Progress = silence, latency: Latency | None = None) -> None:
        self.shape = shape
        self.progress = progress
        self.rng = Random(shape.seed)
        self.loop = Loop()
        self.latency = latency or latency_of(shape, Random(shape.seed))
        self.network = Network(
            self.loop, self.latency, Random(shape.seed + 1), jitter=shape.jitter, bursts=shape.bursts
        )
        self.world = World(
            self.loop, self.network, self.latency, Random(shape.seed + 2), tcp=shape.tcp,
            kind=PatientNode if shape.keepalive else CorrectingNode if shape.corrects else self.kind,
            silent=KEEPALIVE_SILENT if shape.keepalive else SILENT,
        )  # fmt: skip
        self.size = shape.packet or int(STREAM_KBIT * 125 / shape.rate)
        self.rate = shape.calm_rate
        self.sequence = 0
        self._uplinks = churn.uplinks(self.rng)
        for _ in range(shape.nodes):
            self.add()
        self.source = self.world.nodes[SEEDS]
        self.key = StreamKey(self.source.id | 1, GROUP, SOURCE)

    def add(self) -> Node:
        """One more node; it has not entered yet."""
        shape, index = self.shape, len(self.world.nodes)
        is_seed = index <= SEEDS  # or the source
        uplink = max(self._uplink(), uplink_of(self.seed_slots) if is_seed else 0)
        nat = not is_seed and self.rng.random() < shape.nat
        settings = Settings(
            uplink, relay=index < self.relays, nat=nat, deadline=shape.deadline, hold=shape.hold
        )
        lies = not is_seed and self.rng.random() < shape.liars
        carries = (uplink + CONTROL_KBIT) * 1000.0 if shape.queues else inf
        return self.world.add(index, settings, carries, Liar if lies else None)

    def _uplink(self) -> int:
        if self.shape.uplinks:
            return int(next(self._uplinks) / 1000)
        shares = [share for share, _ in self.shape.slots]
        (slots,) = self.rng.choices([slots for _, slots in self.shape.slots], shares)
        return uplink_of(slots)

    # --- the beginning

    def start(self) -> None:
        """Everybody joins, and the stream begins."""
        nodes, loop = self.world.nodes, self.loop
        for place, node in enumerate(nodes):
            loop.at(place * self.shape.join / len(nodes), self.enter, node)
        self.begin()

    def begin(self) -> None:
        """The stream, when half of them are there."""
        self.loop.at(self.shape.join / 2, self._emit)

    def enter(self, node: Node) -> None:
        seeds = [
            each.mesh.sample() for each in self.world.nodes[:SEEDS] if each is not node and each.is_alive
        ]
        node.wanted.add(GROUP)
        node.entered_at = self.loop.now
        node.mesh.start(seeds, self.loop.now)
        self.loop.at(self.loop.now + 0.3, self._join, node)

    def _join(self, node: Node) -> None:
        if node.is_alive:
            node.mesh.join(GROUP, self.loop.now)

    def _emit(self) -> None:
        now = self.loop.now
        self.world.sent_at[self.sequence] = now
        self.source.originate(self.key, self.sequence, self.size)
        self.sequence += 1
        self.loop.at(now + 1 / self.rate, self._emit)

    def settle(self) -> None:
        """Trees grow; the stream has its full rate for the last ten seconds."""
        self.run(self.shape.join + self.shape.settle - 10.0)
        self.rate = self.shape.rate
        self.run(self.loop.now + 10.0)

    def run(self, until: float) -> None:
        while self.loop.now < until:
            self.loop.run(min(until, self.loop.now + STEP))
            self.progress(f"{self.loop.now:.0f} s")

    # --- measuring

    def measure(self, seconds: float, loss: float = 0.0) -> "Measured":
        """From now on, with that loss; `run` goes so far and a little further, for what comes late."""
        self.network.loss = loss
        return Measured(self, seconds)

    def entered(self) -> Iterator[Node]:
        """Who is there."""
        return (node for node in self.world.nodes if node.is_alive and node.entered_at >= 0)

    def living(self) -> list[Node]:
        """Who is there, receives, and is honest."""
        return [node for node in self.entered() if node is not self.source and not node.lies]

    def mortal(self) -> list[Node]:
        """Who may die: the seeds stay."""
        return [node for node in self.living() if node.index > SEEDS]


class Measured:
    """Some seconds of a scenario."""

    def __init__(self, scenario: Scenario, seconds: float) -> None:
        self.scenario = scenario
        self.rate = scenario.rate
        self.began = scenario.loop.now
        self.count = int(seconds * self.rate)
        self.first = scenario.sequence
        scenario.world.measure(self.first, self.count)
        self._control = self._control_now()
        self._packets = self._packets_now()
        self.ends = self.began + seconds + AFTER

    def _control_now(self) -> dict[int, int]:
        return {
            number: host.counters().sent.control_bytes for number, host in self.scenario.network.hosts.items()
        }

    def _packets_now(self) -> dict[Node, tuple[int, int]]:
        return {node: (node.packets, node.duplicates) for node in self.scenario.world.nodes}

    def run(self) -> None:
        self.scenario.run(self.ends)

    def control_kbit(self) -> float:
        """A node's mean, with what its links' probes cost."""
        now, seconds = self._control_now(), self.scenario.loop.now - self.began
        return mean(
            (now[node.index] - self._control.get(node.index, 0)) * 8 / seconds / 1000
            + self.scenario.world.idle_bits(node) / 1000
            for node in self.scenario.living()
        )

    def duplicates(self) -> float:
        """The share of the packets that came."""
        before = [self._packets.get(node, (0, 0)) for node in self.scenario.living()]
        now = [(node.packets, node.duplicates) for node in self.scenario.living()]
        came = sum(n[0] - b[0] for n, b in zip(now, before, strict=True))
        return sum(n[1] - b[1] for n, b in zip(now, before, strict=True)) / max(1, came)

    def delivered(self, within: float) -> float:
        """The share of the packets that came within so many seconds, to who was there all the time."""
        good = total = 0
        for node in self.scenario.living():
            if node.entered_at < self.began - OLD:
                total += self.count
                good += sum(1 for delay in node.arrivals if 0 <= delay <= within)
        return good / max(1, total)

    def counted(self) -> list[Node]:
        """Who lives, and was there for a while when it began."""
        return [node for node in self.scenario.living() if node.entered_at < self.began - OLD]

    def gaps(self, after: float, until: float = inf) -> list[float]:
        """Of each of these the longest time without a packet that ends after the one moment and begins before
        the other: the last packet is followed by nothing, and a loss there would look like silence."""
        sent, found = self.scenario.world.sent_at, []
        for node in self.counted():
            delays = [delay for delay in node.arrivals if delay >= 0] or [0.0]
            came = [sent[self.first + n] + delay for n, delay in enumerate(node.arrivals) if delay >= 0]
            # who hears nothing to the end is silent until then
            ends = sent[self.first] + delays[0], sent[self.first + self.count - 1] + delays[-1]
            came = sorted([*came, *ends])
            found.append(max((b - a for a, b in pairwise(came) if b > after and a < until), default=inf))
        return found

    def stretch(self) -> list[float]:
        """Of each node the delay through the tree against half a round trip to the origin."""
        scenario, found = self.scenario, []
        for node in scenario.living():
            delays = [delay for delay in node.arrivals if delay >= 0]
            if delays:
                found.append(median(delays) / (scenario.world.rtt(scenario.source, node) / 2))
        return found

    def stranded(self) -> int:
        """Nodes without a parent, or that nothing comes to: those of a loop have one."""
        lately = self.scenario.loop.now - STRANDED
        feeds = [node.mesh.feeds.get(self.scenario.key) for node in self.scenario.living()]
        return sum(1 for feed in feeds if feed is None or feed.parent is None or feed.moved_at < lately)


def outages(gaps: list[float], rate: float) -> tuple[int, float, float]:
    """How many nodes had one, the median and the worst: more than three packets' time and 100 ms."""
    affected = sorted(gap for gap in gaps if gap > 0.1 + 1 / rate)
    return len(affected), (median(affected) if affected else 0.0), (affected[-1] if affected else 0.0)


def within(values: list[float], share: float) -> float:
    """Below which that share of them lies; infinite without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else inf
