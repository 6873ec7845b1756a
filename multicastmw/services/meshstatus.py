"""The mesh's part of the status snapshot.

There may be hundreds of neighbours and streams, of which little changes from one look to the next: what has
not is the same object as before.
"""

from ipaddress import IPv4Network
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any

from multicastmw.core.counters import reader
from multicastmw.core.identity import node_of
from multicastmw.core.mesh.backoffs import BackOff
from multicastmw.core.mesh.backups import backups
from multicastmw.core.mesh.circle import Circle
from multicastmw.core.mesh.counters import FeedCounters
from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.mesh import Mesh
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.status import (
    MeshGroup,
    MeshLeftAlone,
    MeshNeighbour,
    MeshSeed,
    MeshStatus,
    MeshStream,
    renewed,
)
from multicastmw.services.seeds import Target
from multicastmw.wire import ipv4
from multicastmw.wire.mesh import BASE

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose.
SHOWN_MAX = 1_024  # streams
LEFT_ALONE_MAX = 64  # of who is left alone
LOOKED_THROUGH = (
    32  # streams of one look, whose neighbours are gone through for backups; the others' turn comes
)
counts_of = reader(FeedCounters.__slots__)


class Meshes:
    """Keeps the last one of each neighbour, group and stream."""

    def __init__(self, node: "NodeService") -> None:
        self._node = node
        self._names = Names(node)
        self._neighbours: dict[Neighbour, tuple[Any, MeshNeighbour]] = {}
        self._circles: dict[Circle, tuple[Any, MeshGroup]] = {}
        self._streams: dict[Feed, _Last] = {}
        self._turn = 0

    def take(self, now: float) -> MeshStatus | None:
        """None where the engine is another."""
        if self._node.mesh is None:
            return None
        mesh = self._node.mesh.mesh
        self._forget_names()
        groups = self._groups(mesh.circles.values())
        left_alone = mesh.contacts.excluded.that_hold(now)
        return MeshStatus(
            seeds=tuple(MeshSeed(*each) for each in self._node.mesh.seeds.items()),
            role="relay" if mesh.settings.relay else "member",
            uplink=mesh.settings.uplink,
            dialable=not mesh.settings.nat,
            feeds=mesh.settings.feeds,
            feeds_groups=tuple(map(_prefix, mesh.settings.feeds_groups)),
            rotate=mesh.settings.rotate,
            neighbours=self._of_neighbours(mesh, now),
            groups=tuple([each for each in groups if each.group != "all"]),
            everybody=next((each for each in groups if each.group == "all"), None),
            streams=self._of_streams(list(islice(mesh.feeds.values(), SHOWN_MAX)), now),
            streams_not_shown=max(0, len(mesh.feeds) - SHOWN_MAX),
            left_alone=tuple([_left_alone(*each, now) for each in left_alone[:LEFT_ALONE_MAX]]),
            left_alone_not_shown=max(0, len(left_alone) - LEFT_ALONE_MAX),
            counters=mesh.counters.as_dict() | self._node.mesh.lan_counters() | self._names_refused(),
        )

    def _names_refused(self) -> dict[str, int]:
        """What others called somebody, and it was not the name of that id."""
        return {"names_refused": self._node.room.called.refused}

    def _forget_names(self) -> None:
        """Somebody may be called otherwise now."""
        names = Names(self._node)
        if names != self._names:
            self._names = names
            self._neighbours, self._circles, self._streams = {}, {}, {}

    def _of_neighbours(self, mesh: Mesh, now: float) -> tuple[MeshNeighbour, ...]:
        before, self._neighbours = self._neighbours, {}
        found = []
        for each in mesh.neighbours.values():
            rtt, believed = each.wire.rtt, mesh.standing.is_believed(each, now)
            still = each.sample, each.slots, rtt, believed, each.score, tuple(each.circles)
            last = before.get(each)
            status = last[1] if last and last[0] == still else _neighbour(each, rtt, believed, self._names)
            self._neighbours[each] = still, status
            found.append(status)
        return tuple(found)

    def _groups(self, circles: Any) -> list[MeshGroup]:
        before, self._circles = self._circles, {}
        found = []
        for circle in circles:
            still = tuple(circle.active), len(circle.passive)
            last = before.get(circle)
            group = last[1] if last and last[0] == still else _group(circle, self._names)
            self._circles[circle] = still, group
            found.append(group)
        return found

    def _of_streams(self, feeds: list[Feed], now: float) -> tuple[MeshStream, ...]:
        before, self._streams = self._streams, {}
        first = self._turn if self._turn < len(feeds) else 0
        self._turn = first + LOOKED_THROUGH
        found = []
        for place, feed in enumerate(feeds):
            last = before.get(feed) or _Last()
            if first <= place < self._turn:
                last.backups = tuple([self._names.of(each.node) for each in backups(feed, now)])
            found.append(last.of(feed, self._names))
            self._streams[feed] = last
        return tuple(found)


class Names:
    """What nodes are called, as far as this one knows."""

    def __init__(self, node: "NodeService") -> None:
        here = node.room.here
        self._by_node = {**node.room.called.all(), here.node: here.name}
        self._by_short = {each >> 32: name for each, name in self._by_node.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and self._by_node == other._by_node

    __hash__ = None  # type: ignore[assignment]  # names change

    def of(self, node: int) -> str:
        return self._by_node.get(node) or f"{node:016x}"

    def of_short(self, short: int) -> str:
        return self._by_short.get(short) or f"{short:08x}"


class _Last:
    """What was said of a stream."""

    __slots__ = ("backups", "counts", "figures", "status", "still")

    def __init__(self) -> None:
        self.backups: tuple[str, ...] = ()
        self.still: Any = None
        self.counts: Any = None
        self.figures: Any = None
        self.status: MeshStream | None = None

    def of(self, feed: Feed, names: Names) -> MeshStream:
        upstream = feed.upstream
        parent, second = upstream.parent, upstream.second
        point = feed.point()
        still = (
            parent, upstream.joining, feed.brood.takers, feed.path(), self.backups, second.parent,
            second.path(), point, feed.feeds,
        )  # fmt: skip
        if self.status is None or self.still != still:
            self.still, self.counts, self.figures = still, None, None
            self.status = _stream(feed, point, names, self.backups)
        figures = (
            feed.top, feed.rate, feed.bits, feed.wanted, parent and parent.wire.rtt,
            len(feed.gaps.numbers), feed.kept.how_many,
        )  # fmt: skip
        counts = counts_of(feed.counters)
        if counts == self.counts and figures == self.figures:
            return self.status
        changed = {} if counts == self.counts else {"counters": feed.counters.as_dict()}
        self.counts, self.figures = counts, figures
        self.status = renewed(
            self.status,
            wanted=feed.wanted,
            delay=round(feed.cost() / 1e6, 6),
            highest=max(0, feed.top),
            missing=figures[-2],
            kept=figures[-1],
            packet_rate=round(feed.rate, 1),
            rate=round(feed.bits * 1000),
            **changed,
        )
        return self.status


def _prefix(prefix: tuple[int, int]) -> str:
    mask, address = prefix
    return str(IPv4Network((address, mask.bit_count()))).removesuffix("/32")


def _neighbour(neighbour: Neighbour, rtt: float | None, believed: bool, names: Names) -> MeshNeighbour:
    return MeshNeighbour(
        name=names.of(neighbour.node),
        id=f"{neighbour.node:016x}",
        rtt=None if rtt is None else round(rtt, 6),
        addresses=tuple(str(Target(*each)) for each in neighbour.sample.addresses),
        groups=tuple(sorted("all" if group == BASE else ipv4.text(group) for group in neighbour.circles)),
        capacity=neighbour.slots,
        behind_nat=neighbour.is_nat,
        believed=believed,
        score=round(neighbour.score, 1),
    )


def _group(circle: Circle, names: Names) -> MeshGroup:
    return MeshGroup(
        group="all" if circle.group == BASE else ipv4.text(circle.group),
        neighbours=tuple(sorted(names.of(each.node) for each in circle.active)),
        known=len(circle.passive),
    )


def _left_alone(node: int, excluded: BackOff, now: float) -> MeshLeftAlone:
    return MeshLeftAlone(
        name=excluded.name or f"{node:016x}",
        id=f"{node:016x}",
        address=excluded.address,
        seconds=ceil(excluded.until - now),
        why=excluded.why,
    )


def _stream(feed: Feed, point: int | None, names: Names, backups: tuple[str, ...]) -> MeshStream:
    """What seldom changes; the rest is put in."""
    key = feed.key
    parent = names.of(feed.parent.node) if feed.parent else None
    way = feed.upstream.second
    return MeshStream(
        origin=f"{key.origin:016x}",
        node=names.of(node_of(key.origin)),
        group=ipv4.text(key.group),
        source=ipv4.text(key.source),
        begins_here=feed.ours,
        shared=feed.is_shared,
        registered_with=None if point is None else names.of(point),
        wanted=feed.wanted,
        parent=parent,
        joining=names.of(feed.joining.node) if feed.joining else None,
        children=tuple(sorted(names.of(each.node) for each in feed.takers)),
        backups=tuple([name for name in backups if name != parent]),
        path=tuple(map(names.of_short, feed.path())),
        feeds=feed.feeds,
        second=names.of(way.parent.node) if way.parent else None,
        second_path=tuple(map(names.of_short, way.path())),
        both_pass=tuple(sorted(map(names.of_short, way.shared()))),
        **NOTHING,
    )


# Figures of a stream before they are put in.
NOTHING: dict[str, Any] = {
    "delay": 0.0, "highest": 0, "missing": 0, "kept": 0, "packet_rate": 0.0, "rate": 0, "counters": {},
}  # fmt: skip
