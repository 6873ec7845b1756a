"""What `mcmw setup` is to make of a mesh: three seeds, which are its relays, and everybody asks them.

Which node a seed is, its file does not say: it is the one that asks all seeds but that.
"""

from collections.abc import Mapping
from pathlib import Path

from multicastmw import endpoints
from multicastmw.cli.main import Failure
from multicastmw.cli.plans import (
    INI,
    Nodes,
    Plan,
    Sections,
    addresses_of,
    check_some_host,
    listens,
    reached_at,
)
from multicastmw.cli.text import plain

SEEDS = 3  # two or three nodes that are always there are enough

Named = tuple[tuple[str, str], ...]  # seeds: how each is called, and its endpoint


def planned(folder: Path, hosts: Mapping[str, str], port: int, subnet: str, present: Nodes) -> list[Plan]:
    """One for each, in this order; the first three that are reached are the seeds, or those of the files.

    Raises click.UsageError, or Failure where it does not fit what is there.
    """
    asked = _asked(folder, present)
    if not asked:
        check_some_host(hosts)
    addresses = addresses_of(folder, hosts, subnet, present)
    own = _own_seeds(asked, present)
    reached = {
        name: reached_at(
            folder, name, host, port, present, {own[name]: asked[own[name]]} if name in own else {}
        )
        for name, host in hosts.items()
        if host
    }
    names = {seed: name for name, seed in own.items()}
    seeds = {seed: names.get(seed, called(seed)) for seed in asked}
    for name in sorted(reached, key=lambda name: name not in present):
        if len(seeds) < SEEDS:
            seeds.setdefault(reached[name], name)
    plans = [
        _there(name, hosts[name] or (_host(own[name]) if name in own else ""), present, seeds)
        if name in present
        else _new(name, hosts[name], addresses[name], port, seeds)
        for name in hosts
    ]
    _check_seeds(folder, plans)
    return plans


def _there(name: str, host: str, present: Nodes, seeds: Mapping[str, str]) -> Plan:
    """As its file says."""
    config = present[name]
    asks = tuple((seeds.get(seed, called(seed)), seed) for seed in config.overlay.seeds)
    own = config.tap.address
    overlay = {"engine": "mesh", "role": config.overlay.role}
    return Plan(name, host, str(own) if own else None, asks, False, {}, overlay, name in seeds.values())


def _new(name: str, host: str, address: str, port: int, seeds: Mapping[str, str]) -> Plan:
    asks = tuple((seed, endpoint) for endpoint, seed in seeds.items() if seed != name)
    is_seed = name in seeds.values()
    nowhere: Sections = {"listen": {"endpoint": ""}}  # nobody could dial it
    overlay = {"engine": "mesh", **({"role": "relay"} if is_seed else {})}
    return Plan(name, host, address, asks, True, listens(host, port) if host else nowhere, overlay, is_seed)


def _check_seeds(folder: Path, plans: list[Plan]) -> None:
    """No node is made that nobody could find, and that finds nobody."""
    for plan in plans:
        if plan.is_new and not plan.dials and not plan.host:
            raise Failure(
                f"{plan.name} has no seed, as no {INI} in {plain(folder)} names one: "
                f"give one that is there as NAME=HOST, and the new ones ask it"
            )


def _asked(folder: Path, present: Nodes) -> dict[str, Path]:
    """The seeds of those that are there, as which file says; in the order of one that has most."""
    found: dict[str, Path] = {}
    for name, config in sorted(present.items(), key=lambda each: -len(each[1].overlay.seeds)):
        for seed in config.overlay.seeds:
            found.setdefault(seed, folder / name / INI)
    return found


def _own_seeds(asked: Mapping[str, Path], present: Nodes) -> dict[str, str]:
    """By which seed the others ask a relay that is there, where it can be told."""
    left = {
        name: asked.keys() - set(config.overlay.seeds)
        for name, config in present.items()
        if config.overlay.role == "relay"
    }
    found: dict[str, str] = {}
    for _ in left:
        for name, seeds in left.items():
            others = {seed for other, seed in found.items() if other != name}
            if len(mine := seeds - others) == 1:
                found[name] = mine.pop()
    return found


def _host(seed: str) -> str:
    """Of an endpoint that is dialled; empty for another kind of seed."""
    return "" if seed.startswith((endpoints.SRV, endpoints.LAN)) else endpoints.dialled(seed).get("host", "")


def called(seed: str) -> str:
    """A seed that no folder here is the node of."""
    return _host(seed) or seed
