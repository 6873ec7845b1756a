"""What the bench does to a node's garbage collector, from outside: this folder on its PYTHONPATH.

MCMW_BENCH_GC says what: `count` writes down every collection, `off` switches the collector off for good.
On SIGUSR2 a JSON document goes to the file $MCMW_BENCH_GC_FILE.PID: the collections as [at, generation,
microseconds] (`at` on the monotonic clock), and how long a full collection takes of what the node has, with
what `gc.freeze` set aside left aside and without.
"""

import gc
import json
import os
import signal
import sys
import time
from array import array

MODE = os.environ.get("MCMW_BENCH_GC")
RECORDS_MAX = 300_000
records = array("d")  # at, generation, microseconds: numbers, so that writing them down collects nothing
began = [0.0]


def watch(phase: str, info: dict) -> None:
    now = time.monotonic()
    if phase == "start":
        began[0] = now
    elif len(records) < RECORDS_MAX:
        records.append(began[0])
        records.append(info["generation"])
        records.append((now - began[0]) * 1e6)


def full() -> float:
    """Microseconds of a full collection, when there is nothing left to collect."""
    gc.collect()
    begin = time.perf_counter()
    gc.collect()
    return (time.perf_counter() - begin) * 1e6


def tell(*_: object) -> None:
    if watch in gc.callbacks:
        gc.callbacks.remove(watch)
    frozen = gc.get_freeze_count()
    document = {"frozen": frozen, "full_us": full(), "tracked": len(gc.get_objects())}
    gc.unfreeze()
    document["full_unfrozen_us"] = full()
    document["collections"] = [list(records[at : at + 3]) for at in range(0, len(records), 3)]
    path = f"{os.environ['MCMW_BENCH_GC_FILE']}.{os.getpid()}"
    with open(path + ".new", "w") as file:
        json.dump(document, file)
    os.replace(path + ".new", path)


# Only in a node: what it starts, and `ip` on the way to it, are left alone.
if MODE and any("twistd" in word for word in sys.orig_argv):
    if MODE == "off":
        gc.disable()
    else:
        gc.callbacks.append(watch)
    signal.signal(signal.SIGUSR2, tell)
