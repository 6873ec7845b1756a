"""Runs of groups: one process for each seed, and forks of it for what happens."""

import gc
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from select import select

from simulator import compiled
from simulator.announcements import Announcements
from simulator.progress import Tell, Watch
from simulator.scenario import Scenario, Shape
from simulator.scenarios import HAPPENINGS, LASTS, LASTS_USUALLY, Figures, Fork
from simulator.table import Group, Result


def say(what: str) -> None:
    """Progress, for who waits."""
    sys.stderr.write(what + "\n")


def silence(_: str) -> None:
    """Nobody waits, or not at a terminal."""


def settled(shape: Shape, watch: Watch | None = None) -> Scenario:
    """A group whose trees have grown."""
    gc.disable()  # what is alive is alive to the end
    scenario = Announcements(shape) if shape.every else Scenario(shape)
    if watch:
        watch.part(scenario.loop, "joining", 0.0)
        scenario.progress = watch
    scenario.start()
    scenario.settle()
    return scenario


def run(
    name: str, shape: Shape, happenings: tuple[str, ...], tell: Tell = silence, abreast: int = 1
) -> dict[str, Figures]:
    """One group with one seed, and all that happens to it: in so many forks at a time, the longest first."""
    lasts = {happens: LASTS.get(happens, LASTS_USUALLY) for happens in happenings}
    done = shape.join + shape.settle
    who = f"{shape.nodes} nodes" if name == str(shape.nodes) else f"{name}, {shape.nodes} nodes"
    watch = Watch(tell, f"{who}, seed {shape.seed}", done + sum(lasts.values()))
    scenario = settled(shape, watch)
    waiting = sorted(happenings, key=lambda happens: lasts[happens])
    forks: dict[Fork, str] = {}
    found = {}
    while waiting or forks:
        while waiting and len(forks) < abreast:
            happens = waiting.pop()
            watch.part(scenario.loop, happens, done)
            done += lasts[happens]
            forks[Fork(HAPPENINGS[happens], scenario)] = happens
        for fork in select(list(forks), (), ())[0]:
            found[forks.pop(fork)] = fork.result()
    return {happens: found[happens] for happens in happenings}


def workers(jobs: int, plain: bool = False) -> ProcessPoolExecutor:
    """Processes that are new for each run, and know the machines as C where they are compiled."""
    start = None if plain else compiled.use  # before anything that is compiled is imported there
    return ProcessPoolExecutor(jobs, get_context("spawn"), start, max_tasks_per_child=1)


def run_all(
    groups: list[Group],
    seeds: Sequence[int],
    workers: ProcessPoolExecutor,
    tell: Tell = silence,
    jobs: int = 1,
) -> list[Result]:
    """The longest first, so that none is waited for alone; processors that are left are for forks.

    Of several seeds a group has as many as it is judged by.
    """
    runs = [
        (group, seed) for group in sorted(groups, key=lambda group: -group.nodes)
        for seed in seeds[: group.seeds]
    ]  # fmt: skip
    abreast = max(1, jobs // max(1, len(runs)))
    with workers as pool:
        asked = [
            (group, pool.submit(run, group.name, group.shape(seed), group.happenings, tell, abreast))
            for group, seed in runs
        ]
        found: dict[str, list[dict[str, Figures]]] = {}
        for group, each in asked:
            found.setdefault(group.name, []).append(each.result())
    return [Result(group, found[group.name]) for group in groups]
