"""A node of the mesh with many neighbours and streams, made as bench/show.py makes its own: for what it costs
to look at it, and for tests of the snapshot."""

from pathlib import Path
from random import Random

from twisted.internet.task import Clock

from bench.show import FIRST_GROUP, FIRST_SOURCE, INI, NOW, Nowhere
from multicastmw.config import load
from multicastmw.core.link import Link
from multicastmw.core.mesh.feed import Feed
from multicastmw.services.node import NodeService
from multicastmw.wire.mesh import NOBODY, Address, Beacon, Capabilities, Have, Held, Load, StreamKey
from multicastmw.wire.messages import DataPort, Open, encode

ANNOUNCERS = 10  # neighbours that tell of each stream


def large_mesh(folder: Path, neighbours: int, streams: int) -> NodeService:
    """It has a parent and a child for each stream; it was never started, and has no socket."""
    ini = folder / "hub.ini"
    ini.write_text(f"{INI}[overlay]\nengine = mesh\n")
    clock = Clock()
    clock.rightNow = NOW
    node = NodeService(load(str(ini), "hub"), clock, Random(1))
    node.room.open_datagrams = lambda *_: None
    assert node.mesh
    node.mesh.mesh.start((), NOW)
    for number in range(neighbours):
        _link(node, number)
    for number in range(streams):
        _stream(node, number)
    return node


def _link(node: NodeService, number: int) -> None:
    address = f"198.51.{number >> 8}.{number & 255}"
    link = Link(node.room, Nowhere(address), None, NOW)
    node.room.enter(link)
    link.start(NOW)
    opened = Open(
        f"studio{number}.example.net", _id(number), 10, DataPort(4600, number + 1),
        Capabilities(20_000, 0xFFFF, 1, 0), (Address(address, 4600),),
    )  # fmt: skip
    link.bytes_received(encode(opened), NOW)


def _stream(node: NodeService, number: int) -> None:
    assert node.mesh
    mesh = node.mesh.mesh
    others = list(mesh.neighbours.values())
    origin = _id(number % len(others))
    key = StreamKey(origin | 7, FIRST_GROUP + number, FIRST_SOURCE + number)
    feed = mesh._enter(Feed(key, mesh, NOW))
    for far in range(ANNOUNCERS):
        by = others[(number + 7 * far) % len(others)]
        way = Beacon((origin >> 32, by.node >> 32), 5_000 + 1_000 * far, 100, 1_000)
        mesh.accept(by, Have((Held(key, 10, (), Load(4, False, True, NOBODY, 0), way),)), NOW)
    feed.top = 10
    feed.upstream.parent = others[number % len(others)]
    feed.adopt(others[(number + 3) % len(others)])


def _id(number: int) -> int:
    return number + 1 << 32


def move(node: NodeService) -> None:
    """Every figure of every stream, as where all of them play."""
    assert node.mesh
    for feed in node.mesh.mesh.feeds.values():
        feed.top += 100
        feed.rate += 1
        feed.counters.missed += 1
