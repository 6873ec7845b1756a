"""`python -m simulator`: runs scenarios with seeds, and prints the table."""

import argparse
import gc
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any

from simulator.scenarios import SCENARIOS


def one(name: str, nodes: int, seed: int) -> dict[str, Any]:
    gc.disable()
    began = time.perf_counter()
    found = SCENARIOS[name](nodes, seed)
    found["took"] = time.perf_counter() - began
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulator")
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("-n", "--nodes", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs) as pool:
        runs = [pool.submit(one, options.scenario, options.nodes, seed) for seed in options.seeds]
        found = [run.result() for run in runs]
    for each in found:
        print(
            json.dumps(
                {key: round(value, 5) if isinstance(value, float) else value for key, value in each.items()}
            )
        )
    numbers = [key for key, value in found[0].items() if isinstance(value, float)]
    print(json.dumps({key: round(median(each[key] for each in found), 5) for key in numbers}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
