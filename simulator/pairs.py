"""Two feeds at once, and parents that change by the clock ([overlay] feeds and rotate)."""

from collections.abc import Callable, Iterable
from functools import partial
from statistics import mean

from simulator.node import Node
from simulator.scenario import Measured, Scenario, within

SOUGHT = 20.0  # seconds that nodes have to find a second parent
SHORT, LONG = 0.05, 0.1  # seconds of a gap
LATE = 1.0  # seconds before the last packet: a gap that begins later may be none
ROTATED, WATCHED, LOOK = 10.0, 60.0, 1.0  # seconds: rotate, how long, and between two looks


def crash(
    scenario: Scenario, feeds: int, share: float = 0.1, loss: float = 0.01, seconds: float = 10.0
) -> dict[str, float]:
    """A share of the nodes falls silent at once, where each has so many parents, if it can."""
    _say(scenario, feeds=feeds)
    scenario.run(scenario.loop.now + SOUGHT)
    measured = scenario.measure(seconds, loss)
    copies = _Copies(scenario.living())
    scenario.run(scenario.loop.now + 3.0)
    at, parents = scenario.loop.now, {node: _parents(scenario, node) for node in scenario.living()}
    victims = [node for node in scenario.mortal() if scenario.rng.random() < share]
    for victim in victims:
        scenario.world.crash(victim)
    measured.run()
    until = measured.began + seconds - LATE
    gaps = dict(zip(measured.counted(), measured.gaps(at, until), strict=True))
    dead = {victim.id for victim in victims}
    bereft = [node for node in gaps if len(parents[node]) == feeds and len(parents[node] & dead) == 1]
    return _shares(list(gaps.values()), [gaps[node] for node in bereft]) | {
        "within 1 s": measured.delivered(1.0), "control": measured.control_kbit(),
        "duplicates": measured.duplicates(), "crashed": len(victims), "copies": copies.share(),
        "left alone": sum(node.mesh.counters.left_for_conduct for node in gaps),
        "fed twice": mean(len(parents[node]) > 1 for node in gaps),
    }  # fmt: skip


def _shares(gaps: list[float], bereft: list[float]) -> dict[str, float]:
    return {
        "gap > 50 ms": mean(gap > SHORT for gap in gaps), "gap > 100 ms": mean(gap > LONG for gap in gaps),
        "longest": max(gaps), "lost one": len(bereft),
        "unhurt": mean(gap <= SHORT for gap in bereft) if bereft else 1.0,
        "longest of these": max(bereft, default=0.0),
    }  # fmt: skip


class _Copies:
    """What the later one of two feeds brings, from now on."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._before = {node: (node.copies, node.packets) for node in nodes}

    def share(self) -> float:
        """Of all that came, to who lives."""
        living = [(node, before) for node, before in self._before.items() if node.is_alive]
        copies = sum(node.copies - copies for node, (copies, _) in living)
        return copies / max(1, sum(node.packets - packets for node, (_, packets) in living))


def _parents(scenario: Scenario, node: Node) -> frozenset[int]:
    feed = node.mesh.feeds.get(scenario.key)
    return frozenset(each.node for each in (feed.parent, feed.second) if each) if feed else frozenset()


def _say(scenario: Scenario, **settings: float) -> None:
    for node in scenario.world.nodes:
        node.mesh.settings = node.mesh.settings._replace(**settings)  # type: ignore[arg-type]


def rotate(scenario: Scenario) -> dict[str, float]:
    """Nothing is lost; every ten seconds, about, each has another parent."""
    before = _stretch(scenario, scenario.measure(5.0))
    _say(scenario, rotate=ROTATED)
    measured = scenario.measure(WATCHED)
    had: dict[Node, set[int]] = {node: set() for node in scenario.living()}
    changed = _changes(scenario)
    while scenario.loop.now < measured.began + WATCHED:
        scenario.run(scenario.loop.now + LOOK)
        for node in had:
            had[node] |= _parents(scenario, node)
    measured.run()
    stretch = _stretch(scenario, measured)
    return {
        "within 1 s": measured.delivered(1.0), "duplicates": measured.duplicates(),
        "changes": (_changes(scenario) - changed) / len(had), "parents": mean(map(len, had.values())),
        "stretch before": before[0], "stretch p50": stretch[0], "stretch p90": stretch[1],
        "control": measured.control_kbit(), "stranded": measured.stranded(),
    }  # fmt: skip


def _stretch(scenario: Scenario, measured: Measured) -> tuple[float, float]:
    if scenario.loop.now < measured.ends:
        measured.run()
    return within(measured.stretch(), 0.5), within(measured.stretch(), 0.9)


def _changes(scenario: Scenario) -> int:
    feeds = [node.mesh.feeds.get(scenario.key) for node in scenario.living()]
    return sum(feed.counters.rotated for feed in feeds if feed)


PAIRS: dict[str, Callable[[Scenario], dict[str, float]]] = {
    "one feed": partial(crash, feeds=1),
    "two feeds": partial(crash, feeds=2),
    "rotate": rotate,
}
