"""The scenarios of the table (docs/overlay.rst); each is run with some seeds."""

from typing import Any

from simulator.churn import poisson
from simulator.scenario import GROUP, SEEDS, Scenario, Shape, outages


def crash(
    nodes: int, seed: int, share: float = 0.1, loss: float = 0.01, settle: float = 60.0
) -> dict[str, Any]:
    """A share of the nodes falls silent at once, with 1 % loss on each hop."""
    scenario = Scenario(Shape(nodes, seed, loss=loss, settle=settle))
    scenario.start()
    scenario.settle()
    found: dict[str, Any] = {"nodes": nodes, "seed": seed, "stranded": 0}
    calm = scenario.measure(5.0)
    scenario.network.loss = 0.0
    calm.run()
    stretch = calm.stretch()
    found |= {
        "stretch": stretch[len(stretch) // 2], "stretch_p90": stretch[int(len(stretch) * 0.9)],
        "control": calm.control_kbit(), "duplicates_calm": calm.duplicates(), "stranded": calm.stranded(),
    }  # fmt: skip
    lossy = scenario.measure(15.0)
    scenario.loop.run(scenario.loop.now + 3.0)
    at = scenario.loop.now
    victims = [node for node in scenario.living() if node.index > SEEDS and scenario.rng.random() < share]
    for victim in victims:
        scenario.world.crash(victim)
    lossy.run()
    affected, middle, worst = outages(lossy.gaps(at), scenario.shape.rate)
    found |= {
        "crashed": len(victims), "affected": affected, "outage_p50": middle, "outage_worst": worst,
        "delivered_1s": lossy.delivered(1.0), "delivered_600ms": lossy.delivered(0.6),
        "duplicates": lossy.duplicates(), "control_lossy": lossy.control_kbit(),
        "stranded_after": lossy.stranded(),
    }  # fmt: skip
    return found


def churn(
    nodes: int, seed: int, crashes: float = 5.0, loss: float = 0.01, seconds: float = 30.0
) -> dict[str, Any]:
    """Nodes crash all the time and others come, 1 % loss."""
    scenario = Scenario(Shape(nodes, seed, loss=loss))
    scenario.start()
    scenario.settle()
    measured = scenario.measure(seconds)
    began = scenario.loop.now
    for after in poisson(crashes, scenario.rng):
        if after > seconds:
            break
        scenario.loop.at(began + after, _one_goes, scenario)
    measured.run()
    affected, middle, worst = outages(measured.gaps(began), scenario.shape.rate)
    return {
        "nodes": nodes, "seed": seed, "delivered_600ms": measured.delivered(0.6),
        "delivered_1s": measured.delivered(1.0), "control": measured.control_kbit(),
        "duplicates": measured.duplicates(), "affected": affected, "outage_p50": middle, "outage_worst": worst,
    }  # fmt: skip


def _one_goes(scenario: Scenario) -> None:
    """One crashes, and another one comes in its place."""
    victims = [node for node in scenario.living() if node.index > SEEDS]
    scenario.world.crash(scenario.rng.choice(victims))
    slots = scenario.rng.choices([slots for _, slots in scenario.shape.slots],
                                 [share for share, _ in scenario.shape.slots])[0]  # fmt: skip
    newcomer = scenario.add(len(scenario.world.nodes), slots)
    scenario.world.measure_also(newcomer)
    scenario.enter(newcomer)


def crowd(nodes: int, seed: int, joins: int = 1_000, seconds: float = 10.0) -> dict[str, Any]:
    """So many come within ten seconds: how long until each has its first packet?"""
    scenario = Scenario(Shape(nodes, seed, settle=20.0))
    scenario.start()
    scenario.settle()
    measured = scenario.measure(seconds + 10.0)
    began = scenario.loop.now
    newcomers = []
    for number in range(joins):
        slots = scenario.rng.choices([0, 2, 8], [0.4, 0.4, 0.2])[0]
        newcomer = scenario.add(len(scenario.world.nodes), slots)
        scenario.world.measure_also(newcomer)
        newcomers.append(newcomer)
        scenario.loop.at(began + number * seconds / joins, scenario.enter, newcomer)
    measured.run()
    first = [scenario.world.first_of(node) for node in newcomers]
    took = sorted(at - node.entered_at for at, node in zip(first, newcomers, strict=True))
    return {
        "nodes": nodes, "seed": seed, "joins": joins, "first_p50": took[len(took) // 2],
        "first_p95": took[int(len(took) * 0.95)], "first_worst": took[-1],
        "delivered_1s": measured.delivered(1.0), "stranded": measured.stranded(),
    }  # fmt: skip


def partition(nodes: int, seed: int, seconds: float = 60.0) -> dict[str, Any]:
    """Half of the nodes cannot reach the other half for a minute; when do all have the stream again?"""
    scenario = Scenario(Shape(nodes, seed, settle=40.0))
    scenario.start()
    scenario.settle()
    far = [node.index for node in scenario.living() if node.index % 2 and node.index > SEEDS]
    scenario.network.partition([far])
    scenario.world.cut(set(far))
    scenario.loop.run(scenario.loop.now + seconds)
    scenario.network.heal()
    healed = scenario.loop.now
    lost = len(far)
    took = {}
    while scenario.loop.now < healed + 90.0 and len(took) < lost:
        measured_from = scenario.loop.now
        scenario.loop.run(scenario.loop.now + 0.5)
        for node in scenario.living():
            feed = node.mesh.feeds.get(scenario.key)
            if node.index in far and node.index not in took and feed and feed.moved_at > measured_from:
                took[node.index] = feed.moved_at - healed
    times = sorted(took.values())
    return {
        "nodes": nodes, "seed": seed, "cut_off": lost, "back": len(took),
        "back_p50": times[len(times) // 2] if times else -1, "back_last": times[-1] if times else -1,
        "group": GROUP,
    }  # fmt: skip


SCENARIOS = {"crash": crash, "churn": churn, "crowd": crowd, "partition": partition}
