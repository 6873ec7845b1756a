"""The mesh's part of the status snapshot."""

from typing import TYPE_CHECKING

from multicastmw.core.identity import node_of
from multicastmw.core.mesh.circle import Circle
from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.status import MeshGroup, MeshNeighbour, MeshStatus, MeshStream
from multicastmw.wire import ipv4
from multicastmw.wire.mesh import BASE

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose.
SHOWN_MAX = 1_024  # streams


def take(node: "NodeService") -> MeshStatus | None:
    """None where the engine is another."""
    if node.mesh is None:
        return None
    mesh, names = node.mesh.mesh, Names(node)
    return MeshStatus(
        role="relay" if mesh.settings.relay else "member",
        uplink=mesh.settings.uplink,
        dialable=not mesh.settings.nat,
        neighbours=tuple(_neighbour(each, names) for each in mesh.neighbours.values()),
        groups=tuple(_group(circle, names) for circle in mesh.circles.values() if circle.group != BASE),
        everybody=_group(mesh.circles[BASE], names) if BASE in mesh.circles else None,
        streams=tuple(_stream(feed, names) for feed in list(mesh.feeds.values())[:SHOWN_MAX]),
        counters=mesh.counters.as_dict(),
    )


class Names:
    """What nodes are called, as far as this one knows."""

    def __init__(self, node: "NodeService") -> None:
        here = node.room.here
        self._by_node = {each: link.name for each, link in node.room.by_node.items()}
        self._by_node[here.node] = here.name
        self._by_short = {each >> 32: name for each, name in self._by_node.items()}

    def of(self, node: int) -> str:
        return self._by_node.get(node) or f"{node:016x}"

    def of_short(self, short: int) -> str:
        return self._by_short.get(short) or f"{short:08x}"


def _neighbour(neighbour: Neighbour, names: Names) -> MeshNeighbour:
    rtt = neighbour.wire.rtt
    return MeshNeighbour(
        name=names.of(neighbour.node),
        id=f"{neighbour.node:016x}",
        rtt=None if rtt is None else round(rtt, 6),
        addresses=tuple(f"{host}:{port}" for host, port in neighbour.sample.addresses),
        groups=tuple(sorted("all" if group == BASE else ipv4.text(group) for group in neighbour.circles)),
        capacity=neighbour.slots,
        behind_nat=neighbour.is_nat,
        score=round(neighbour.score, 1),
    )


def _group(circle: Circle, names: Names) -> MeshGroup:
    return MeshGroup(
        group="all" if circle.group == BASE else ipv4.text(circle.group),
        neighbours=tuple(sorted(names.of(each.node) for each in circle.active)),
        known=len(circle.passive),
    )


def _stream(feed: Feed, names: Names) -> MeshStream:
    key = feed.key
    return MeshStream(
        origin=f"{key.origin:016x}",
        node=names.of(node_of(key.origin)),
        group=ipv4.text(key.group),
        source=ipv4.text(key.source),
        begins_here=feed.ours,
        wanted=feed.wanted,
        parent=names.of(feed.parent.node) if feed.parent else None,
        joining=names.of(feed.joining.node) if feed.joining else None,
        children=tuple(sorted(names.of(each.node) for each in feed.takers)),
        path=tuple(map(names.of_short, feed.path())),
        delay=round(feed.cost() / 1e6, 6),
        highest=max(0, feed.top),
        missing=len(feed.missing),
        kept=len(feed.kept.packets),
        packet_rate=round(feed.rate, 1),
        rate=round(feed.bits * 1000),
        counters=feed.counters.as_dict(),
    )
