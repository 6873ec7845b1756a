"""A group in which every node announces something every few seconds, as SAP does, and no more than that."""

from collections.abc import Callable
from statistics import mean

from multicastmw.wire.mesh import StreamKey
from simulator.node import Node
from simulator.scenario import AFTER, GROUP, SEEDS, SOURCE, Progress, Scenario, Shape, silence

SIZE = 300  # bytes of a packet: SAP and SDP of one session
SOON = 2.0  # seconds within which a word is to be everywhere
VARIES = 0.9, 1.1  # of the time between two of one node

Word = tuple[StreamKey, int]


class Announcements(Scenario):
    """All but the seeds announce, every `shape.every` seconds; who hears what is written down."""

    def __init__(self, shape: Shape, progress: Progress = silence) -> None:
        super().__init__(shape, progress)
        self.said: dict[Word, float] = {}
        self.heard: dict[Word, dict[int, float]] = {}  # when, by node
        self.twice = 0
        self.world.hears = self.hears

    def begin(self) -> None:
        for node in self.world.nodes[SEEDS:]:
            at = self.shape.join + self.rng.uniform(0.0, self.shape.every)
            self.loop.at(at, self._say, node, StreamKey(node.id | 1, GROUP, SOURCE + node.index), 0)

    def _say(self, node: Node, key: StreamKey, number: int) -> None:
        now = self.loop.now
        self.said[key, number] = now
        self.heard[key, number] = {}
        node.originate(key, number, SIZE)
        self.loop.at(now + self.shape.every * self.rng.uniform(*VARIES), self._say, node, key, number + 1)

    def hears(self, node: Node, key: StreamKey, number: int, now: float) -> None:
        by = self.heard.get((key, number), {})
        self.twice += node.index in by
        by.setdefault(node.index, now)

    def settle(self) -> None:
        self.run(self.shape.join + self.shape.settle)


def figures(scenario: Announcements, seconds: float, loss: float) -> dict[str, float]:
    """What came of what is said from now on, and what that costs."""
    scenario.network.loss = loss
    began, ends, before = scenario.loop.now, scenario.loop.now + seconds, scenario.twice
    sent = _control(scenario)
    scenario.run(ends)
    spent = {index: (count - sent[index]) * 8 / seconds / 1000 for index, count in _control(scenario).items()}
    cost = [spent[node.index] + scenario.world.idle_bits(node) / 1000 for node in scenario.world.nodes]
    scenario.run(ends + AFTER)
    words = [word for word, at in scenario.said.items() if began <= at < ends]
    others = len(scenario.world.nodes) - 1
    return {
        "within 2 s": mean(_share(scenario, word, others, lambda late: late <= SOON) for word in words),
        "came": mean(_share(scenario, word, others, lambda late: True) for word in words),
        "twice": scenario.twice - before, "control": mean(cost), "control worst": max(cost),
        "feeds": mean(len(node.mesh.feeds) for node in scenario.world.nodes),
    }  # fmt: skip


def _share(scenario: Announcements, word: Word, others: int, counts: Callable[[float], bool]) -> float:
    said = scenario.said[word]
    return sum(counts(at - said) for at in scenario.heard[word].values()) / others


def _control(scenario: Scenario) -> dict[int, int]:
    return {index: host.counters().sent.control_bytes for index, host in scenario.network.hosts.items()}
