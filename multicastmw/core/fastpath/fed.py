"""Streams of the mesh in the kernel: which ones may be there, and what the mesh still sees of them.

    from the parent, the next number ------> the kernel: to the children, this host, static links; and kept
    anything else (another link, a number   \\
    too far, sent again, another count)      -----> left to us; its gate stays shut while something is missing

So the kernel forwards what is in order, and the mesh does all that it does by itself: it sees a gap in the
packet that shows it, asks, chooses parents.  Of what the kernel forwards it sees

    the highest number, and when it came    in the kernel's window, whenever it looks (`Feed.look`)
    how many, and how long they are         as long as they follow each other, that is the same
    beacons                                 copies (copies.py)
    the packets, to send them again         in a ring of the kernel's memory, read when somebody asks

Nothing is copied to this process for that.  With [recovery] deadline = 0 nothing is kept.
"""

from typing import TYPE_CHECKING

from multicastmw.core.fastpath.tables import NO_RING, KernelTables, Ring
from multicastmw.core.link import Link
from multicastmw.core.mesh.settings import KEPT_SECONDS
from multicastmw.core.stream import Stream
from multicastmw.wire.data import NUMBERED_BY_KERNEL, DataHeader
from multicastmw.wire.errors import Malformed

if TYPE_CHECKING:
    from multicastmw.core.fastpath.flows import Flow
    from multicastmw.core.mesh.feed import Feed

# What we chose.
PLACES = 16_384  # packets that are kept in the kernel: 24 MiB, where the node is in a mesh
RING_LEAST, RING_MOST = 256, 4_096  # of these, one stream's
LOOSE = 8  # times as many places as needed, and a ring is made anew
TWO = "two counts of it come at a time"
NO_PARENT = "it comes from no neighbour"
TWO_FEEDS = "it comes from two neighbours at once"
IDLE = "nothing comes of it"
NEW = "it has just begun"
BEGINS = "it enters the mesh here, which marks and keeps what is sent"
NO_ROOM = "the kernel has no room for the packets that are kept for others"


class Rings:
    """The kernel's places for packets, shared out to streams; each size is a power of two."""

    def __init__(self, places: int = 0) -> None:
        self._free = [(0, places)] if places >= RING_LEAST else []

    def take(self, size: int) -> Ring | None:
        """One of that size or, where there is no room, of a smaller one."""
        while size >= RING_LEAST:
            for index, (base, length) in enumerate(self._free):
                if length >= size:
                    self._free[index : index + 1] = [(base + size, length - size)] if length > size else []
                    return Ring(base, size)
            size //= 2
        return None

    def give_back(self, ring: Ring) -> None:
        pieces = sorted([*self._free, ring])
        self._free = pieces[:1]
        for base, length in pieces[1:]:
            before, its_length = self._free[-1]
            if before + its_length == base:
                self._free[-1] = before, its_length + length
            else:
                self._free.append((base, length))


def wanted_size(feed: "Feed") -> int:
    """Places for what it keeps; 0 where nothing is sent again."""
    if not feed.deadline:
        return 0
    needed, size = feed.rate * KEPT_SECONDS, RING_LEAST
    while size < needed and size < RING_MOST:
        size *= 2
    return size


def fits(ring: Ring, size: int) -> bool:
    """Will it do where so many places are wanted?  It is not made anew for a little."""
    return ring == NO_RING if not size else size // 2 <= ring.size <= size * LOOSE


def feed_of(flow: "Flow") -> "tuple[Stream, Feed] | str":
    """The count of the flow that comes, and its feed; or why the kernel may not have it."""
    live = [(stream, stream.feed) for stream in flow.counts() if stream.feed and stream.feed.is_live]
    if len(live) != 1:
        return TWO if live else IDLE
    stream, feed = live[0]
    if feed.ours:
        return BEGINS
    if feed.parent is None:
        return NO_PARENT
    if feed.second is not None:
        return TWO_FEEDS
    return (stream, feed) if feed.rate else NEW


def parent_of(flow: "Flow") -> Link | None:
    """The link of the neighbour that the flow comes from."""
    for stream in flow.counts():
        feed = stream.feed
        if feed and feed.is_live and feed.parent and isinstance(feed.parent.wire, Link):
            return feed.parent.wire
    return None


def children_of(feed: "Feed") -> list[Link]:
    return [child.wire for child in feed.takers if isinstance(child.wire, Link)]


def is_whole(flow: "Flow") -> bool:
    """Is nothing missing that is asked for, and does nothing wait here to be in order?"""
    return not any(s.feed.missing or s.feed.order.held for s in flow.counts() if s.feed)


class InKernel:
    """What a feed sees of itself in the kernel."""

    def __init__(self, stream: Stream, slot: int, flow: "Flow", tables: KernelTables) -> None:
        self._stream = stream
        self._slot = slot
        self._ring = flow.ring
        self._flow = flow
        self._tables = tables

    def last(self) -> tuple[int, float] | None:
        """The highest number that came there, and when; None while its numbers are judged here."""
        return None if self._stream.is_judged_here else self._tables.last(self._slot, self._stream.count)

    @property
    def how_many(self) -> int:
        """Packets that are kept there, as far as it was looked at last."""
        return min(self._ring.size, self._flow.passed - self._flow.ring_since)

    def kept(self, number: int) -> bytes | None:
        """The packet of that number, if it is there still."""
        ring, stream = self._ring, self._stream
        if not ring.size:
            return None
        message = self._tables.kept(ring.base + (number & ring.size - 1))
        try:
            header = DataHeader.parse(message)
        except Malformed:
            return None
        found = header.origin, header.group, header.source, header.flags & NUMBERED_BY_KERNEL
        is_its = found == (stream.origin, *stream.route.channel, stream.count)
        return message if is_its and header.sequence == number else None
