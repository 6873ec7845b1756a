"""What happens to a group that is settled.  Each gives figures by name; all may run from the same beginning.

The beginning takes longest, so it is gone through once: `aside` runs what happens in a fork of the process,
and the group is as it was for the next one.
"""

import json
import os
import traceback
from collections.abc import Callable

from simulator import churn as trace
from simulator.announcements import Announcements, figures
from simulator.far import FAR
from simulator.malice import MALICE
from simulator.network import Bursts
from simulator.node import Node
from simulator.pairs import PAIRS
from simulator.scenario import Measured, Scenario, outages, within

Figures = dict[str, float]

LOSS = 0.01  # of each hop


def aside(happens: Callable[[Scenario], Figures], scenario: Scenario) -> Figures:
    """Runs it in a fork; what it raises ends that one, and this with it."""
    return Fork(happens, scenario).result()


class Fork:
    """A process in which something happens to a scenario; this one goes on at once."""

    def __init__(self, happens: Callable[[Scenario], Figures], scenario: Scenario) -> None:
        self._reading, writing = os.pipe()
        self._child = os.fork()
        if self._child:
            os.close(writing)
            return
        status = 1
        try:
            os.close(self._reading)
            with os.fdopen(writing, "w") as answer:
                json.dump(happens(scenario), answer)
            status = 0
        except Exception:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)  # no buffers of the parent's are written again

    def fileno(self) -> int:
        """It can be read when it is done, or nearly."""
        return self._reading

    def result(self) -> Figures:
        with os.fdopen(self._reading) as answer:
            text = answer.read()
        _, status = os.waitpid(self._child, 0)
        if status:
            raise RuntimeError(f"the fork ended with {status}")
        found: Figures = json.loads(text)
        return found


def delivery(measured: Measured, after: float) -> Figures:
    """What came, and how long it stayed away."""
    affected, middle, worst = outages(measured.gaps(after), measured.rate)
    return {
        "within 1 s": measured.delivered(1.0), "within 600 ms": measured.delivered(0.6), "affected": affected,
        "outage p50": middle, "outage worst": worst, "duplicates": measured.duplicates(),
        "control": measured.control_kbit(), "stranded": measured.stranded(),
    }  # fmt: skip


def calm(scenario: Scenario, seconds: float = 5.0) -> Figures:
    """Nothing happens, and nothing is lost."""
    measured = scenario.measure(seconds)
    measured.run()
    stretch = measured.stretch()
    return delivery(measured, measured.began) | {
        "stretch p50": within(stretch, 0.5), "stretch p90": within(stretch, 0.9),
    }  # fmt: skip


def crash(scenario: Scenario, share: float = 0.1, loss: float = LOSS, seconds: float = 15.0) -> Figures:
    """A share of the nodes falls silent at once."""
    measured = scenario.measure(seconds, loss)
    scenario.run(scenario.loop.now + 3.0)
    at = scenario.loop.now
    victims = [node for node in scenario.mortal() if scenario.rng.random() < share]
    for victim in victims:
        scenario.world.crash(victim)
    measured.run()
    return delivery(measured, at) | {"crashed": len(victims)}


def churn(
    scenario: Scenario, crashes: float | None = None, loss: float = LOSS, seconds: float = 30.0
) -> Figures:
    """Nodes crash all the time, and as many come: 5/s, fewer in a small group."""
    crashes = min(5.0, scenario.shape.nodes / 200) if crashes is None else crashes
    measured = scenario.measure(seconds, loss)
    for after in trace.poisson(crashes, scenario.rng):
        if after > seconds:
            break
        scenario.loop.at(measured.began + after, _one_goes, scenario)
    measured.run()
    return delivery(measured, measured.began)


def _one_goes(scenario: Scenario) -> None:
    scenario.world.crash(scenario.rng.choice(scenario.mortal()))
    _one_comes(scenario)


def _one_comes(scenario: Scenario) -> Node:
    newcomer = scenario.add()
    scenario.world.measure_also(newcomer)
    scenario.enter(newcomer)
    return newcomer


def sessions(scenario: Scenario, loss: float = LOSS, seconds: float = 60.0) -> Figures:
    """Members stay as long as those of the trace, and vanish without a word; newcomers keep the number."""
    rng, loop = scenario.rng, scenario.loop
    measured = scenario.measure(seconds, loss)
    began, lengths = loop.now, trace.sessions(rng)

    def ends(node: Node) -> None:
        if node.is_alive:
            scenario.world.crash(node)

    def comes() -> None:
        loop.at(loop.now + next(lengths), ends, _one_comes(scenario))

    for node, left in zip(scenario.mortal(), trace.remaining(rng), strict=False):
        loop.at(began + left, ends, node)
    for after in trace.departures(scenario.shape.nodes, rng):
        if after > seconds:
            break
        loop.at(began + after, comes)
    measured.run()
    return delivery(measured, began)


def crowd(scenario: Scenario, joins: int = 1_000, seconds: float = 10.0) -> Figures:
    """So many come within ten seconds: how long until each has its first packet?"""
    measured = scenario.measure(seconds + 5.0)
    began, newcomers = scenario.loop.now, []
    for at in trace.flash_crowd(joins, seconds, scenario.rng):
        newcomer = scenario.add()
        scenario.world.measure_also(newcomer)
        newcomers.append(newcomer)
        scenario.loop.at(began + at, scenario.enter, newcomer)
    measured.run()
    took = [scenario.world.first_of(node) - node.entered_at for node in newcomers]
    return {
        "first p50": within(took, 0.5), "first p95": within(took, 0.95), "first worst": max(took),
        "within 1 s": measured.delivered(1.0), "stranded": measured.stranded(),
    }  # fmt: skip


def partition(scenario: Scenario, seconds: float = 60.0, patience: float = 90.0) -> Figures:
    """Half of the nodes cannot reach the other half; when has each the stream again, after that?"""
    loop = scenario.loop
    far = {node.index for node in scenario.mortal() if node.index % 2}
    scenario.network.partition([far])
    scenario.world.cut(far)
    scenario.run(loop.now + seconds)
    scenario.network.heal()
    healed = loop.now
    nodes = [node for node in scenario.living() if node.index in far]
    back: dict[int, float] = {}
    while loop.now < healed + patience and len(back) < len(nodes):
        since = loop.now
        loop.run(since + 0.5)
        for node in nodes:
            feed = node.mesh.feeds.get(scenario.key)
            if node.index not in back and feed and feed.moved_at > since:
                back[node.index] = feed.moved_at - healed
    times = [back.get(node.index, patience) for node in nodes]
    return {"back p50": within(times, 0.5), "back last": max(times), "cut off": len(nodes)}


def jitter(scenario: Scenario, mean: float = 0.02) -> Figures:
    """An exponential delay of 20 ms besides, which puts packets out of order; 1 % loss."""
    scenario.network.jitter = mean
    return steady(scenario)


def bursts(scenario: Scenario) -> Figures:
    """Each last hop loses 80 % for 100 ms twice a minute, and 1 % besides."""
    scenario.network.bursts = Bursts()
    return steady(scenario)


def steady(scenario: Scenario, loss: float = LOSS, seconds: float = 15.0) -> Figures:
    """Nothing happens, but packets are lost."""
    measured = scenario.measure(seconds, loss)
    measured.run()
    return delivery(measured, measured.began)


def announcements(scenario: Scenario, loss: float = LOSS, seconds: float = 20.0) -> Figures:
    """Each node announces something now and then; packets are lost."""
    assert isinstance(scenario, Announcements)
    return figures(scenario, seconds, loss)


# Seconds that they take, for who waits; others take LASTS_USUALLY.
LASTS = {"calm": 7.0, "crash": 17.0, "sessions": 62.0, "crowd": 17.0, "partition": 80.0, "jitter": 17.0,
         "bursts": 17.0, "steady": 17.0, "announcements": 22.0}  # fmt: skip
LASTS_USUALLY = 32.0

HAPPENINGS: dict[str, Callable[[Scenario], Figures]] = {
    "calm": calm, "crash": crash, "churn": churn, "sessions": sessions, "crowd": crowd,
    "partition": partition, "jitter": jitter, "bursts": bursts, "steady": steady,
    "announcements": announcements,
    **FAR, **MALICE, **PAIRS,
}  # fmt: skip
