"""`python -m bench.metrics`: what a look at a node of 300 peers and 500 groups costs.

/metrics is rendered a family a turn of the reactor; what packets wait for is the longest turn, not the whole.
"""

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from multicastmw.config import load
from multicastmw.core.status import GroupStatus, PeerStatus, RouteStatus, Status, StreamStatus
from multicastmw.services.node import NodeService
from multicastmw.web.metrics import Highest, families, text
from tests.web.test_metrics import peer

PEERS, GROUPS, ROUNDS = 300, 500, 20


def crowded(status: Status) -> Status:
    """The same node with very many."""
    peers: tuple[PeerStatus, ...] = tuple(peer(f"peer{number}") for number in range(PEERS))
    groups = tuple(
        GroupStatus(f"239.1.{number >> 8}.{number & 255}", "any", ("mcmw0", "b"), 3, "exclude", "10.88.0.1",
                    ("10.88.0.1",), 1, 250.0, False, False)
        for number in range(GROUPS)
    )  # fmt: skip
    routes = tuple(
        RouteStatus(
            **dict.fromkeys(RouteStatus.__dataclass_fields__, 0)
            | {"group": group.group, "source": "10.88.0.9", "to": ("b",), "fast": True, "why_slow": "",
               "streams": (StreamStatus("0" * 16, "z", 1000, 1, 0, 0, 0),)}
        )
        for group in groups
    )  # fmt: skip
    return replace(status, peers=peers, groups=groups, routes=routes)


def median(what: Callable[[], Any]) -> float:
    """Milliseconds of the processor."""
    took = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        what()
        took.append((time.thread_time() - began) * 1000)
    return statistics.median(took)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "node.ini")
        path.write_text(f"[node]\nname = a\n[control]\nsocket = {folder}/s\n")
        node = NodeService(load(str(path), "a"), Clock(), random.Random(1), str(path))
    status = crowded(node.status())
    highest = Highest()
    each = {family.name: median(lambda family=family: text([family])) for family in families(status, highest)}
    longest = max(each, key=each.__getitem__)
    whole = median(lambda: text(families(status, highest)))
    print(f"{PEERS} peers, {GROUPS} groups and routes, medians of {ROUNDS}, in ms of the processor")
    print(f"metrics, all {len(text(families(status, highest))):,} bytes: {whole:.1f}")
    print(f"metrics, the longest turn ({longest}): {each[longest]:.2f}")
    print(f"all families without their text: {median(lambda: list(families(status, highest))):.1f}")
    print(
        f"/status as JSON: {median(status.json):.1f}, by way of dictionaries "
        f"{median(lambda: json.dumps(status.as_dict())):.1f}"
    )


if __name__ == "__main__":
    main()
