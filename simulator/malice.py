"""Nodes that mean ill among honest ones: how the honest fare, and what they do about it.

`malice` lets the liars turn (liars.py); `slander` asks the other question: with nobody who lies, and a
network that loses and delays, does an honest node leave another one alone for its conduct?
"""

from collections.abc import Callable
from functools import partial

from multicastmw.core.mesh.backoffs import BackOffs
from simulator import liars
from simulator.liars import Liar
from simulator.node import Node
from simulator.scenario import GROUP, SEEDS, Measured, Scenario, outages

WATCHED = 60.0  # seconds for which liars are watched
LOOK = 0.5
LOSSES = 0.01, 0.02, 0.05
SLANDER = 30.0  # seconds with each of them
JITTER = 0.01  # seconds, the mean


def malice(scenario: Scenario, ways: tuple[str, ...], loss: float = 0.01) -> dict[str, float]:
    """The liars turn, each in one of the ways."""
    loop = scenario.loop
    bad = [node for node in scenario.living() if isinstance(node, Liar) and node.index > SEEDS]
    for liar in bad:
        liar.lies = True
    measured = scenario.measure(WATCHED, loss)
    links, fed = _links(scenario), _fed_by(scenario)
    for place, liar in enumerate(bad):
        liar.turn(ways[place % len(ways)], GROUP)
    left_at = WATCHED
    while loop.now < measured.began + WATCHED:
        loop.run(loop.now + LOOK)
        if _fed_by(scenario) <= max(0.01, fed / 10):
            left_at = min(left_at, loop.now - measured.began)
    measured.run()
    affected, middle, worst = outages(measured.gaps(measured.began), measured.rate)
    return {
        "liars": len(bad), "within 1 s": measured.delivered(1.0),
        "worst node": min(_shares(scenario, measured), default=0.0), "affected": affected,
        "outage p50": middle, "outage worst": worst, "fed before": fed, "fed after": _fed_by(scenario),
        "left after": left_at, "links before": links, "links after": _links(scenario),
        "control": measured.control_kbit(), "forged": _forged(scenario), **_excluded(scenario),
    }  # fmt: skip


def slander(scenario: Scenario) -> dict[str, float]:
    """Nobody lies; some time with each loss, and jitter."""
    scenario.network.jitter = JITTER
    found: dict[str, float] = {}
    for loss in LOSSES:
        measured = scenario.measure(SLANDER, loss)
        measured.run()
        found[f"within 1 s at {loss:.0%}"] = measured.delivered(1.0)
    return {**found, **_excluded(scenario)}


def _excluded(scenario: Scenario) -> dict[str, float]:
    """How many liars, and how many honest nodes, some honest node has left alone, and how often; and does not
    believe."""
    contacts = [each.mesh.contacts for each in [*scenario.living(), scenario.source]]
    bad, wrong = _by_kind(scenario, [each.excluded for each in contacts])
    doubted, wrongly = _by_kind(scenario, [each.doubted for each in contacts])
    return {
        "excluded": len(set(bad)), "exclusions": len(bad),
        "wrongly": len(set(wrong)), "wrong exclusions": len(wrong),
        "doubted": len(set(doubted)), "doubted wrongly": len(set(wrongly)),
    }  # fmt: skip


def _by_kind(scenario: Scenario, found: list[BackOffs]) -> tuple[list[int], list[int]]:
    """Liars among those nodes, and honest ones."""
    by_id = scenario.world.by_id
    nodes = [by_id[node] for each in found for node in each.remembered() if node in by_id]
    return [node.id for node in nodes if node.lies], [node.id for node in nodes if not node.lies]


def _forged(scenario: Scenario) -> int:
    """Packets of a thief that honest nodes took for the origin's."""
    return sum(node.forged for node in scenario.living())


def _fed_by(scenario: Scenario) -> float:
    """The share of the honest whose parent lies."""
    by_id = scenario.world.by_id
    feeds = [node.mesh.feeds.get(scenario.key) for node in scenario.living()]
    return sum(bool(feed and feed.parent and by_id[feed.parent.node].lies) for feed in feeds) / len(feeds)


def _links(scenario: Scenario) -> int:
    """Between the honest and liars."""
    return sum(sum(other.lies for other in node.links) for node in scenario.living())


def _shares(scenario: Scenario, measured: Measured) -> list[float]:
    """Of each honest node, what came within a second."""

    def share(node: Node) -> float:
        return sum(1 for delay in node.arrivals if 0 <= delay <= 1.0) / measured.count

    return [share(node) for node in scenario.living()]


MIXES = {"drop and delay": (liars.DROP, liars.DELAY), "all kinds": liars.WAYS}
MALICE: dict[str, Callable[[Scenario], dict[str, float]]] = {
    **{way: partial(malice, ways=(way,)) for way in liars.WAYS},
    **{name: partial(malice, ways=ways) for name, ways in MIXES.items()},
    "slander": slander,
}
