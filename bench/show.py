"""What it costs to look: the snapshot of a large node, the answer on its control socket, `mcmw show`.

The node is one of ours that is not started: its links, groups and routes are made as a peer's messages and
packets make them, without a socket.  Each group is wanted by some of its peers, and each has a route.  The
control socket is a process of its own (`python -m bench.show serve ...`), and is asked by the real `mcmw`.
What a bare `python -c pass` takes stands beside it, as most of a short command is that.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.task import Clock

from multicastmw.config import load
from multicastmw.core.link import Link
from multicastmw.services.node import NodeService
from multicastmw.services.snapshot import Snapshots
from multicastmw.web.changes import Documents, difference
from multicastmw.web.events import Message
from multicastmw.wire import data
from multicastmw.wire.messages import AddRoute, DataPort, Group, Open, encode
from multicastmw.wire.messages import Node as Reached

PEERS, GROUPS, ROUTES = 300, 500, 500
WANTED_BY = 3  # peers, each group
TIMES = 15
FIRST_GROUP, FIRST_SOURCE = 239 << 24 | 1 << 16, 10 << 24 | 88 << 16
NOW = 1_000.0
INI = """
[node]
name = hub
[tap]
device = mcmw0
[control]
socket =
[fastpath]
mode = off
"""


class Nowhere:
    """A connection whose other end is made up."""

    secure = False

    def __init__(self, address: str) -> None:
        self.address = address
        self.local_address = "192.0.2.1"

    def write(self, message: bytes) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...
    def wake(self) -> None: ...
    def hold(self) -> None: ...
    def go_on(self) -> None: ...

    def objection(self, names: tuple[str, ...], node: int | None = None) -> str | None:
        return None


def large_node(folder: Path, peers: int = PEERS, groups: int = GROUPS, routes: int = ROUTES) -> NodeService:
    """A node with so much in its tables; it was never started, and has no socket."""
    ini = folder / "hub.ini"
    ini.write_text(INI)
    clock = Clock()
    clock.rightNow = NOW
    node = NodeService(load(str(ini), "hub"), clock, Random(1))
    node.room.open_datagrams = lambda *_: None
    links = [link(node, number) for number in range(peers)]
    for number in range(groups):
        wanters = {(number * WANTED_BY + each) % peers for each in range(WANTED_BY)} if peers else set()
        for wanter in wanters:
            message = encode(AddRoute((Group(FIRST_GROUP + number, 0),)))
            links[wanter].bytes_received(message, NOW)
    settle(node)
    sequences = count()
    for number in range(routes if links else 0):
        packet(node, links[number % peers], FIRST_GROUP + number % groups, FIRST_SOURCE + number, sequences)
    return node


def link(node: NodeService, number: int) -> Link:
    made = Link(node.room, Nowhere(f"198.51.{number >> 8}.{number & 255}"), None, NOW)
    node.room.enter(made)
    made.start(NOW)
    name = f"studio{number}.example.net"
    opened = Open(name, _id(number), 10, DataPort(4600, number + 1))
    made.bytes_received(encode(opened) + encode(AddRoute((Reached(_id(number), name),))), NOW)
    return made


def _id(number: int) -> int:
    return number + 1 << 16


def settle(node: NodeService) -> None:
    """Work that is done in turns is done."""
    turns = node.room.turns
    for _ in range(100_000):
        if turns.deadline() > NOW:
            return
        turns.tick(NOW)
    raise AssertionError("the turns do not end")


def packet(node: NodeService, over: Link, group: int, source: int, sequences: "count[int]") -> None:
    """One packet of a stream comes over the link."""
    inner = bytes(120)  # which a relay does not look at
    message = data.build(
        inner, token=0, origin=over.node | 1, group=group, source=source, sequence=next(sequences),
        origin_time=0, hop_limit=15,
    )  # fmt: skip
    into = node.room.packet
    into.buffer[: len(message)] = message
    into.now = NOW
    node.forwarder.relay(into, len(message), over)


def measure(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="mcmw-bench-") as name:
        folder = Path(name)
        say(f"a node of {PEERS} peers, {GROUPS} groups, {ROUTES} routes")
        found: dict[str, Any] = {"peers": PEERS, "groups": GROUPS, "routes": ROUTES}
        found |= inside(large_node(folder), rounds)
        found |= of_mesh(folder, rounds)
        say("mcmw asks it")
        found |= asked(folder, rounds)
        return found


def inside(node: NodeService, rounds: int) -> dict[str, Any]:
    """Milliseconds of the node's own process."""
    status = node.snapshots.take(NOW)
    return {
        "shown": [len(status.peers), len(status.groups), len(status.routes)],
        "snapshot_ms": _each(rounds, lambda: node.snapshots.take(NOW)),
        "snapshot_moving_ms": _each(rounds, lambda: node.snapshots.take(NOW), lambda: move(node)),
        "first_snapshot_ms": _each(rounds, lambda: Snapshots(node).take(NOW)),
        "page_ms": _each(rounds, page(node)),
        "page_moving_ms": _each(rounds, page(node), lambda: move(node)),
        "json_ms": _each(rounds, status.json),
        "bytes": len(status.json()),
    }


def of_mesh(folder: Path, rounds: int) -> dict[str, Any]:
    """The same of a node whose neighbours and streams are those of a mesh."""
    from bench import mesh

    node = mesh.large_mesh(folder, PEERS, ROUTES)
    return {
        "mesh_snapshot_ms": _each(rounds, lambda: node.snapshots.take(NOW)),
        "mesh_snapshot_moving_ms": _each(rounds, lambda: node.snapshots.take(NOW), lambda: mesh.move(node)),
    }


def page(node: NodeService) -> Callable[[], object]:
    """A look for the page: what is different since the last one."""
    documents, seconds = Documents(), count()
    shown: list[Any] = [documents.of(node.snapshots.take(NOW), NOW)]

    def look() -> object:
        now = NOW + next(seconds)
        shown.append(documents.of(node.snapshots.take(now), now))
        return Message("status", {"change": difference(shown.pop(0), shown[0])})

    return look


def move(node: NodeService) -> None:
    """Every counter of a link and of a route, as where streams play everywhere."""
    for link in node.room.by_node.values():
        link.since -= 1
        link.queue.dropped += 1
    for route in node.router.routes():
        route.packets += 1
        route.bytes += 1_316
        for flow in node.fastpath.mirror.flows.of_route(route):
            flow.passed += 1


def asked(folder: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds from a command's start to its end."""
    socket = folder / "control"
    serving = subprocess.Popen([sys.executable, "-m", "bench.show", "serve", str(folder), str(socket)])
    try:
        until = time.monotonic() + 30
        while not socket.exists() and time.monotonic() < until:
            time.sleep(0.05)
        mcmw = [str(Path(sys.executable).with_name("mcmw")), "--socket", str(socket)]
        return {
            "python_ms": _each(rounds, lambda: _run([sys.executable, "-c", "pass"])),
            "help_ms": _each(rounds, lambda: _run([*mcmw, "--help"])),
            "show_ms": _each(rounds, lambda: _run([*mcmw, "show"])),
            "show_json_ms": _each(rounds, lambda: _run([*mcmw, "show", "--json"])),
            "health_ms": _each(rounds, lambda: _run([*mcmw, "health"], fails=True)),
        }
    finally:
        serving.terminate()
        serving.wait()


def _run(command: list[str], fails: bool = False) -> None:
    subprocess.run(command, check=not fails, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _each(
    rounds: int, do: Callable[[], object], before: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """Of some times; `before` each of them something is done that does not count."""
    do()
    took = []
    for _ in range(max(rounds, TIMES)):
        before()
        began = time.perf_counter()
        do()
        took.append((time.perf_counter() - began) * 1000)
    return {"median": statistics.median(took), "least": min(took), "most": max(took)}


def serve(folder: Path, path: str) -> None:
    """The control socket of such a node."""
    from twisted.internet import reactor

    from multicastmw.services.control import ControlService

    node = large_node(folder)
    control = ControlService(path, lambda: vars(node.snapshots.take(NOW)), reactor)
    control.privilegedStartService()
    control.startService()
    reactor.run()


if __name__ == "__main__":
    serve(Path(sys.argv[2]), sys.argv[3])
