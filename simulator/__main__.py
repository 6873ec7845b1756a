"""`python -m simulator`: lets groups meet trouble, with some seeds, and prints the table."""

import argparse
import json
import os
import sys

from simulator.runs import run_all, say, silence, workers
from simulator.scenarios import Figures
from simulator.table import GROUPS, Group, Result, show

DEFAULT = 1_000  # nodes: what is larger is asked for


def parser() -> argparse.ArgumentParser:
    it = argparse.ArgumentParser(
        prog="python -m simulator",
        description="Runs the mesh's own machines in a simulated network, and prints what they reach beside "
        "what they have to; exit code 1 if a figure is missed.",
    )
    it.add_argument("groups", nargs="*", help="of the table, by name (see --list); all up to --sizes without")
    it.add_argument("--sizes", default="", help=f"all, or group sizes (default: all up to {DEFAULT})")
    it.add_argument("--seeds", type=int, default=5, help="how many (default 5; some groups have 3)")
    it.add_argument("--seed", type=int, help="this one alone; --from puts together what --json has printed")
    it.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (default 2)")
    it.add_argument("--plain", action="store_true", help="as Python, also where it has been compiled")
    it.add_argument("--progress", action="store_true", help="says how far it is, also to what is no terminal")
    it.add_argument("--json", action="store_true", help="one JSON document with the figures of each seed")
    it.add_argument("--from", nargs="+", dest="files", help="runs nothing: files that --json has printed")
    it.add_argument("--list", action="store_true", help="says which groups there are")
    return it


def chosen(names: list[str], sizes: str) -> list[Group]:
    if names:
        return [group for group in GROUPS if group.name in names]
    if sizes == "all":
        return list(GROUPS)
    asked = {int(size) for size in sizes.split()}
    return [group for group in GROUPS if (group.nodes in asked if asked else group.nodes <= DEFAULT)]


def kept(files: list[str]) -> list[Result]:
    """What was found earlier; seeds of several files are put together."""
    runs: dict[str, list[dict[str, Figures]]] = {}
    for name in files:
        with open(name) as file:
            for group, found in json.load(file).items():
                runs.setdefault(group, []).extend(found)
    return [Result(group, runs[group.name]) for group in GROUPS if group.name in runs]


def main() -> int:
    options = parser().parse_args()
    groups = chosen(options.groups, options.sizes)
    if options.list:
        for group in GROUPS:
            print(f"{group.name:12} {group.nodes:6} nodes: {', '.join(group.happenings)}")
        return 0
    if not groups:
        say("no such group; --list says which there are")
        return 2
    tell = say if options.progress or sys.stderr.isatty() else silence
    if options.files:
        results = kept(options.files)
    else:
        seeds = (options.seed,) if options.seed is not None else range(1, options.seeds + 1)
        results = run_all(groups, seeds, workers(options.jobs, options.plain), tell, options.jobs)
    if options.json:
        print(json.dumps({result.group.name: result.runs for result in results}, indent=1))
    else:
        print(show(results))
    return 0 if all(result.is_good() for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
