"""The streams that a node knows: who feeds and mends each, how many there may be, and when one is forgotten.

What starts here and what comes over links have bounds of their own, and one link's streams a share of the
latter.  Of packets that nobody wants nothing is kept.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from multicastmw.core.addressing import Channel
from multicastmw.core.counters import Counters
from multicastmw.core.events import Limit, Tell
from multicastmw.core.routing import Destination, Route, Router
from multicastmw.core.stream import UNFED, Ingress, Sending, Share, Stream, StreamTotals
from multicastmw.core.window import Budget, Window
from multicastmw.wire.data import NUMBERED_BY_KERNEL

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.core.mesh.neighbour import Neighbour
    from multicastmw.core.recovery.repair import Repair

# What the specification says: a stream unheard for this long starts afresh.
STALE = 10.0

# What we chose.
STREAMS_MAX = 8_192  # streams over links at a time; of what is above, and new, packets are dropped
LINK_STREAMS_MAX = 4_096  # of these over one link, so that no peer takes the places of all
SENDINGS_MAX = 4_096  # streams from here at a time
COUNTS_MAX = 4_096  # of those that have ended, whose count goes on if they begin again
FORGET = 300.0  # a stream and its counters are kept this long for people to look at
SWEEP = 10.0
WINDOW_BYTES = 96 << 20  # for all duplicate windows together


class Drops(Counters):
    """Why a packet went no further than this node's door."""

    __slots__ = (
        "from_ourselves", "hop_limit_zero", "malformed", "other_link", "too_many_streams", "unasked",
        "unwanted",
    )  # fmt: skip
    from_ourselves: int
    hop_limit_zero: int
    malformed: int
    other_link: int  # in the kernel alone: not over the link that leads to their origin
    too_many_streams: int
    unasked: int  # of a neighbour in the mesh, of a group that this node is not in
    unwanted: int


class Watcher(Protocol):
    """Who wants to know which streams there are."""

    def began(self, origin: int, stream: Sending | Stream) -> None: ...
    def ended(self, origin: int, stream: Sending | Stream) -> None: ...


class Nobody:
    """A watcher that does not look."""

    def began(self, origin: int, stream: Sending | Stream) -> None: ...
    def ended(self, origin: int, stream: Sending | Stream) -> None: ...


class Feeder(Protocol):
    """The mesh, where the node is in one: who knows which links a stream takes.

    A count is a stream of its own there: that of the kernel has an origin whose last bit is another.
    """

    def begins(self, origin: int, group: int, source: int, now: float) -> "Feed | None":
        """A stream comes in here: from the TAP, or over a static link; None: the mesh takes no more."""

    def comes(self, origin: int, group: int, source: int, by: "Neighbour", now: float) -> "Feed | None":
        """A stream comes over the link of a neighbour; None: it is not to come here."""

    def route(self, feed: "Feed") -> Route:
        """Who gets what comes of a shared feed."""

    def has_room(self) -> bool:
        """Would it take one more stream, if its group is no hindrance?"""


class Mender(Protocol):
    """Recovery, where this node has it on static links."""

    def begins(
        self, origin: int, count: int, group: int, source: int, stream: Stream | Sending, now: float
    ) -> "Repair | None": ...
    def ended(self, repair: "Repair") -> None: ...


Key = tuple[int, int, int, int]  # origin, group, source, count
Give = Callable[[Route, Sequence[bytes], float], None]


class Streams:
    """One node's; `give` is what hands on messages that have waited for earlier ones.

    `starting` are by group and source; `coming` by origin, group, source and count.
    """

    def __init__(self, router: Router, origin: int, now: float, tell: Tell, give: Give) -> None:
        self.drops = Drops()
        self.starting: dict[tuple[int, int], Sending] = {}
        self.coming: dict[Key, Stream] = {}
        self.watcher: Watcher = Nobody()
        self.feeder: Feeder | None = None
        self.mender: Mender | None = None
        self._origin = origin
        self._router = router
        self._give = give
        self._counts: dict[tuple[int, int], int] = {}  # the next number of those that have ended
        self._shares: WeakKeyDictionary[Destination, Share] = WeakKeyDictionary()
        self._forgotten = StreamTotals()
        self._tell = tell
        self._budget = Budget(WINDOW_BYTES)
        self._sweep_at = now + SWEEP

    def new_sending(self, group: int, source: int, now: float) -> Sending | None:
        """A stream starts here; None: there are too many."""
        if len(self.starting) >= SENDINGS_MAX:
            self._clear(now)
        if len(self.starting) >= SENDINGS_MAX:
            self._refused(f"{SENDINGS_MAX} streams start here, and no further ones are forwarded")
            return None
        feed = self.feeder.begins(self._origin, group, source, now) if self.feeder else None
        route = self._router.route(Channel(group, source))
        sending = self.starting[group, source] = Sending(route, feed)
        sending.sequence = self._counts.pop((group, source), 0)
        if self.mender:
            sending.repair = self.mender.begins(self._origin, 0, group, source, sending, now)
        self.watcher.began(self._origin, sending)
        return sending

    def new_stream(self, key: Key, ingress: Ingress, now: float) -> Stream | None:
        """A stream comes over a link; None where it is not to come here, or there are too many."""
        origin, group, source, count = key
        if origin == self._origin:
            self.drops.from_ourselves += 1  # a loop, of which duplicate windows elsewhere see the rest
            return None
        channel = Channel(group, source)
        if not self._router.has_takers(channel):
            self.drops.unwanted += 1  # late, or never asked for: nothing is kept of it
            return None
        share = self._share_of(ingress, now)
        if share is None:
            self._refused(f"too many streams over {ingress.name}, and no further ones are forwarded")
            return None
        feed = self._feed(origin ^ count, group, source, ingress, now) if self.feeder else None
        if feed is None and self.feeder and ingress.neighbour is not None:
            self.drops.unasked += 1
            return None
        if feed is not None and feed.is_shared and self.feeder:
            return self._enter(key, self.feeder.route(feed), share, feed)
        stream = self._enter(key, self._router.route(channel), share, feed)
        self._began(stream, now)
        return stream

    def new_shared(self, key: Key, mesh: Ingress, now: float) -> Stream | None:
        """A stream comes by a shared tree; None where nobody here wants it, or it is ours."""
        origin, group, source, _ = key
        channel = Channel(group, source)
        if origin == self._origin or all(taker is mesh for taker in self._router.takers_of(channel)):
            return None
        share = self._share_of(mesh, now)
        if share is None:
            self._refused("too many streams come over shared trees, and no further ones are taken")
            return None
        stream = self._enter(key, self._router.route(channel), share, None)
        self._began(stream, now)
        return stream

    def _enter(self, key: Key, route: Route, share: Share, feed: "Feed | None") -> Stream:
        origin, _, _, count = key
        stream = self.coming[key] = Stream(origin, count, route, Window(self._budget), share, feed)
        share.streams += 1
        self._gives(stream)
        return stream

    def _gives(self, stream: Stream) -> None:
        """What waits in its feed for earlier packets goes on by its route."""
        if stream.feed is not None:
            stream.feed.order.give = partial(self._give, stream.route)

    def _began(self, stream: Stream, now: float) -> None:
        """Others are told of it; not of a shared tree's, which no kernel forwards and no static link gets."""
        self._mend(stream, now)
        self.watcher.began(stream.origin, stream)

    def _mend(self, stream: Stream, now: float) -> None:
        """Who sees to what is missing of it?"""
        if self.mender is None:
            return
        if stream.repair is not None:
            self.mender.ended(stream.repair)
        group, source = stream.route.channel
        stream.repair = self.mender.begins(stream.origin, stream.count, group, source, stream, now)
        if stream.repair is not None:
            stream.repair.order.give = partial(self._give, stream.route)

    def catch_up(self, stream: Stream, ingress: Ingress, now: float) -> None:
        """What came by a shared tree comes by one of its own now; or what `Stream.catch_up` says."""
        if stream.epoch == UNFED:
            stream.epoch = stream.left_epoch
            group, source = stream.route.channel
            stream.feed = self._feed(stream.origin, group, source, ingress, now) if self.feeder else None
            self._gives(stream)
            if stream.feed is not None:
                known = stream.window.numbers()
                if known and now - known.heard < STALE:
                    stream.feed.follows(known.top, ingress.neighbour, now)
                self._mend(stream, now)  # that is the mesh's from now on
        if stream.epoch != stream.route.epoch:
            stream.catch_up(ingress, now)

    def _feed(self, origin: int, group: int, source: int, ingress: Ingress, now: float) -> "Feed | None":
        assert self.feeder
        if ingress.neighbour is not None:
            return self.feeder.comes(origin, group, source, ingress.neighbour, now)
        return self.feeder.begins(origin, group, source, now)

    def unfeed(self, origin: int, group: int, source: int) -> None:
        """The mesh has forgotten the stream; one that starts here may begin again."""
        for count in (0, NUMBERED_BY_KERNEL):
            self._end(self.coming.pop((origin ^ count, group, source, count), None))
        if origin != self._origin:
            return
        if (group, source) in self.starting:
            self._end_sending((group, source))

    def _share_of(self, ingress: Ingress, now: float) -> Share | None:
        """None where there is no room for one more that comes over it."""
        share = self._shares.setdefault(ingress, Share())
        if not self._has_place(share):
            self._clear(now)
        return share if self._has_place(share) else None

    def _has_place(self, share: Share) -> bool:
        return len(self.coming) < STREAMS_MAX and share.streams < LINK_STREAMS_MAX

    def _clear(self, now: float) -> None:
        """Makes room; a flood of new streams does so every 5 s, not every packet.  Those in use stay."""
        if now >= self._sweep_at - SWEEP / 2:
            self.sweep(now, STALE)

    def _refused(self, what: str) -> None:
        if self.drops.too_many_streams & (self.drops.too_many_streams + 1) == 0:
            self._tell(Limit(what))
        self.drops.too_many_streams += 1

    def deadline(self) -> float:
        return self._sweep_at

    def tick(self, now: float) -> None:
        if now >= self._sweep_at:
            self.sweep(now, FORGET)
            self._feed_rest(now)

    def _feed_rest(self, now: float) -> None:
        """What the mesh had no room for when it began, and still comes, may have some now."""
        if self.feeder is None:
            return
        for (group, source), sending in list(self.starting.items()):
            if sending.feed is None and sending.heard > now - SWEEP:
                if not self.feeder.has_room():
                    return
                sending.feed = self.feeder.begins(self._origin, group, source, now)
        for (origin, group, source, count), stream in list(self.coming.items()):
            if stream.feed is None and stream.epoch != UNFED and stream.heard > now - SWEEP:
                if not self.feeder.has_room():
                    return
                stream.feed = self.feeder.begins(origin ^ count, group, source, now)
                self._gives(stream)

    def sweep(self, now: float, unheard: float) -> None:
        """Forgets the streams that were unheard for so many seconds, and routes that have none left."""
        self._sweep_at = now + SWEEP
        horizon = now - unheard
        for place in [k for k, s in self.starting.items() if s.heard < horizon]:
            self._end_sending(place)
        gone = [k for k, s in self.coming.items() if s.heard < horizon]
        for key in gone:
            self._end(self.coming.pop(key))
        kept = {sending.route for sending in self.starting.values()}
        kept.update(stream.route for stream in self.coming.values())
        for route in self._router.routes():
            if route not in kept:
                self._router.forget(route)

    def _end_sending(self, place: tuple[int, int]) -> None:
        """Its count goes on if it begins again: others know the stream for longer than this node does."""
        sending = self.starting.pop(place)
        while len(self._counts) >= COUNTS_MAX:
            del self._counts[next(iter(self._counts))]
        self._counts[place] = sending.sequence
        if self.mender and sending.repair:
            self.mender.ended(sending.repair)
        self.watcher.ended(self._origin, sending)

    def _end(self, stream: Stream | None) -> None:
        if stream is None:
            return
        if self.mender and stream.repair:
            self.mender.ended(stream.repair)
        self._forgotten.add(stream.window)
        stream.window.close()
        stream.share.streams -= 1
        if stream.feed is None or not stream.feed.is_shared:
            self.watcher.ended(stream.origin, stream)

    def totals(self) -> StreamTotals:
        """What became of those that came here, the forgotten ones among them."""
        return StreamTotals().add(self._forgotten, *(stream.window for stream in self.coming.values()))
