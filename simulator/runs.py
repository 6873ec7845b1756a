"""Runs of groups: one process for each seed, and forks of it for what happens."""

import gc
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from time import perf_counter

from simulator.scenario import Progress, Scenario, Shape, silence
from simulator.scenarios import HAPPENINGS, Figures, aside
from simulator.table import Group, Result


def say(what: str) -> None:
    """Progress, for who waits."""
    sys.stderr.write(what + "\n")


def settled(shape: Shape, progress: Progress = silence) -> Scenario:
    """A group whose trees have grown."""
    gc.disable()  # what is alive is alive to the end
    scenario = Scenario(shape, progress)
    scenario.start()
    scenario.settle()
    return scenario


def told(tell: Progress, name: str, seed: int, happens: str, began: float, when: str) -> None:
    tell(f"{name}, seed {seed}, {happens}: {when} simulated in {perf_counter() - began:.0f} s")


def run(name: str, shape: Shape, happenings: tuple[str, ...], tell: Progress = say) -> dict[str, Figures]:
    """One group with one seed, and all that happens to it."""
    began = perf_counter()
    scenario = settled(shape, partial(told, tell, name, shape.seed, "joining", began))
    found = {}
    for happens in happenings:
        scenario.progress = partial(told, tell, name, shape.seed, happens, began)
        found[happens] = aside(HAPPENINGS[happens], scenario)
    return found


def run_all(groups: list[Group], seeds: int, jobs: int) -> list[Result]:
    """The longest first, so that none is waited for alone."""
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        asked = [
            (group, [
                pool.submit(run, group.name, group.shape(seed), group.happenings)
                for seed in range(1, min(seeds, group.seeds) + 1)
            ])
            for group in sorted(groups, key=lambda group: -group.nodes)
        ]  # fmt: skip
        results = [Result(group, [each.result() for each in runs]) for group, runs in asked]
    return sorted(results, key=lambda result: groups.index(result.group))
