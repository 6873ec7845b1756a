"""What forward error correction does for a group whose nodes are far from each other, on links that lose."""

from collections.abc import Callable
from functools import partial

from simulator.correcting import CorrectingNode
from simulator.scenario import Scenario, within

LOSS = 0.05
LEARN = 30.0  # seconds until it is known what is lost
WATCHED = 15.0


def lossy(scenario: Scenario, corrects: bool) -> dict[str, float]:
    """The same losses with and without parity; both ask for what does not come."""
    nodes = [node for node in scenario.world.nodes if isinstance(node, CorrectingNode)]
    if corrects:
        for node in nodes:
            node.begin()
    scenario.network.loss = LOSS
    scenario.run(scenario.loop.now + LEARN)
    measured = scenario.measure(WATCHED, LOSS)
    before, resent = scenario.network.totals().sent.data_bytes, sum(node.resent for node in nodes)
    measured.run()
    sent, resent = scenario.network.totals().sent.data_bytes - before, sum(n.resent for n in nodes) - resent
    packets = (scenario.loop.now - measured.began) * measured.rate * len(scenario.living())
    delays = [delay for node in scenario.living() for delay in node.arrivals if delay >= 0]
    return {
        "within 600 ms": measured.delivered(0.6), "within 1 s": measured.delivered(1.0),
        "late p50": within(delays, 0.5), "late p99": within(delays, 0.99),
        "resent": resent / packets, "bytes": sent / packets / scenario.size,
        "duplicates": measured.duplicates(),
        "rebuilt": sum(node.fec.totals().rebuilt for node in nodes if node.fec),
    }  # fmt: skip


FAR: dict[str, Callable[[Scenario], dict[str, float]]] = {
    "nacks alone": partial(lossy, corrects=False),
    "with parity": partial(lossy, corrects=True),
}
