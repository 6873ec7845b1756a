"""A packet's way through the node: checked, numbered or held against its window, and fanned out.

Two doors lead in.  `originate` takes an IP packet that stands at 60 of its buffer and writes the message's
header in front of it; `relay` takes a whole IP Data message and changes only its hop limit (and each link its
token).  Behind both, a dictionary gives the stream, the stream its route, the route its fan-out.

Nothing here allocates what lives longer than the call, but for a stream's first packet, so the garbage
collector has nothing to do with traffic.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from multicastmw.core.addressing import Channel
from multicastmw.core.counters import Counters
from multicastmw.core.events import Limit, Tell
from multicastmw.core.packet import Packet
from multicastmw.core.routing import Destination, Route, Router
from multicastmw.core.stream import UNFED, Ingress, Sending, Share, Stream, StreamTotals
from multicastmw.core.window import Budget, Window
from multicastmw.wire.cops import CLIENT_TYPE
from multicastmw.wire.data import (
    FIRST,
    FORWARDING_HEADER,
    HEADER_SIZE,
    HOP_LIMIT_OFFSET,
    IPV4,
    LOW_WATER_OFFSET,
    NUMBERED_BY_KERNEL,
    PACKET,
    TWIN,
    DataHeader,
)

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.core.mesh.neighbour import Neighbour
    from multicastmw.core.mesh.order import Order
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

_ZEROS = (b"", b"\0", b"\0\0", b"\0\0\0")


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


class Forwarder:
    """All streams through this node.  `origin` is our own, 64 bits."""

    def __init__(self, router: Router, origin: int, now: float, tell: Tell = lambda event: None) -> None:
        self.drops = Drops()
        self.origin = origin
        self.watcher: Watcher = Nobody()
        self.feeder: Feeder | None = None
        self.mender: Mender | None = None
        self._router = router
        self._sendings: dict[tuple[int, int], Sending] = {}
        self._counts: dict[tuple[int, int], int] = {}  # the next number of those that have ended
        self._streams: dict[tuple[int, int, int, int], Stream] = {}
        self._shares: WeakKeyDictionary[Destination, Share] = WeakKeyDictionary()
        self._forgotten = StreamTotals()
        self._tell = tell
        self._budget = Budget(WINDOW_BYTES)
        self._late = Packet()
        self._sweep_at = now + SWEEP

    def originate(
        self,
        packet: Packet,
        ingress: Destination,
        group: int,
        source: int,
        ttl: int,
        service_class: int,
        origin_time: int,
    ) -> None:
        """An IP packet of `packet.length` bytes stands at 60; `origin_time` in us, modulo 2^32."""
        sending = self._sendings.get((group, source)) or self._new_sending(group, source, packet.now)
        if sending is None:
            return
        sending.heard = packet.now
        route, length = sending.route, packet.length
        route.packets += 1
        route.bytes += length
        if ttl < 2:  # said before "nobody wants it" is, for it is what its sender must mend first
            route.died_of_ttl += 1
            return
        others = route.fan_outs.get(ingress)
        if others is None:
            others = route.fan_out(ingress)
        if not others:
            route.to_nobody += 1
            return
        buffer = packet.buffer
        end = HEADER_SIZE + length
        size = end + 3 & ~3
        if size != end:
            buffer[end:size] = _ZEROS[size - end]
        sequence = sending.sequence
        sending.sequence = sequence + 1 & 0xFFFFFFFF
        TWIN.pack_into(
            buffer,
            0,
            FIRST,
            CLIENT_TYPE,
            size,
            FORWARDING_HEADER,
            0,
            self.origin,
            group,
            source,
            sequence,
            origin_time,
            ttl - 1,
            service_class,
            0,
            0,
            length + 4,
            PACKET,
            IPV4,
        )
        packet.hop_limit = ttl
        packet.kind = IPV4
        packet.sequence = sequence
        packet.feed = sending.feed
        packet.message = packet.view[:size]
        if (repair := sending.repair) is not None:
            repair.starts(packet, sequence, others)
        for destination in others:
            destination.deliver(packet)

    def relay(self, packet: Packet, size: int, ingress: Ingress) -> bool:
        """A whole message of `size` bytes stands at 0; False if it is malformed."""
        (
            first,
            client_type,
            length,
            forwarding_header,
            _,
            origin,
            group,
            source,
            sequence,
            _,
            hop_limit,
            _,
            flags,
            low_water,
            object_length,
            c_num,
            kind,
        ) = TWIN.unpack_from(packet.buffer)
        if (
            size <= HEADER_SIZE
            or length != size
            or object_length + HEADER_SIZE - 1 & ~3 != size
            or object_length < 5
            or first != FIRST
            or client_type != CLIENT_TYPE
            or forwarding_header != FORWARDING_HEADER
            or c_num != PACKET
        ):
            self.drops.malformed += 1
            return False
        if hop_limit == 0:
            self.drops.hop_limit_zero += 1
            return True
        now = packet.now
        count = flags & NUMBERED_BY_KERNEL
        key = (origin, group, source, count)
        stream = self._streams.get(key) or self._new_stream(key, ingress, now)
        if stream is None:
            return True
        stream.heard = now
        route = stream.route
        if stream.epoch != route.epoch:
            self._catch_up(stream, ingress, now)
        packet.feed = feed = stream.feed
        stored = None
        refused = feed is not None and feed.refuses(ingress.neighbour, sequence, flags, now)
        if refused or not stream.window.accept(sequence, now):
            if feed is not None and ingress.neighbour is not None and not refused:
                stream.doubled(feed, sequence, flags, ingress.neighbour, now)
            return True
        if feed is not None and not feed.ours:
            packet.buffer[HOP_LIMIT_OFFSET] = hop_limit - 1  # as it is sent, and may be sent again
            stored = bytes(packet.view[:size])
            feed.took(sequence, size, stored, low_water, flags, ingress.neighbour, now)
            packet.buffer[LOW_WATER_OFFSET] = feed.low_water(sequence) if feed.gaps.numbers else 0
        route.packets += 1
        route.bytes += object_length - 4
        others = route.fan_outs.get(ingress)
        if others is None:
            others = route.fan_out(ingress)
        if not others:
            route.to_nobody += 1
            return True
        packet.length = object_length - 4
        packet.hop_limit = hop_limit
        packet.kind = kind
        packet.sequence = sequence
        packet.message = packet.view[:size]
        packet.buffer[HOP_LIMIT_OFFSET] = hop_limit - 1
        order = feed and stored and (feed.gaps.numbers or feed.order.held) and feed.order
        if (repair := stream.repair) is not None:
            order = repair.passes(packet, sequence, low_water, flags, ingress, others)
        others = others if hop_limit > 1 else self._last_hop(route, others)
        if order:
            self._in_order(order, sequence, stored or bytes(packet.message), packet, others)
            return True
        for destination in others:
            destination.deliver(packet)
        return True

    def arrive(self, message: bytes, mesh: Ingress, now: float) -> None:
        """A whole message comes off a shared tree: it goes to all but the mesh, and the window is that of its
        own tree.  What has a fast one comes by that alone, or anybody might put packets into a film."""
        header = DataHeader.parse(message)
        key = (header.origin, header.group, header.source, 0)
        stream = self._streams.get(key) or self._new_shared(key, mesh, now)
        if stream is None or (stream.feed is not None and stream.feed.is_fast):
            return
        stream.heard = now
        stream.resume(mesh, now)
        if not stream.window.accept(header.sequence, now):
            return
        route, packet = stream.route, self._late
        route.packets += 1
        route.bytes += header.packet_length - 4
        others = route.fan_out(mesh)
        if not others:
            route.to_nobody += 1
            return
        packet.place(message, now)
        packet.feed = None
        order = stream.came_otherwise(packet, header.sequence, mesh, others)
        others = others if header.hop_limit else self._last_hop(route, others)
        if order:
            self._in_order(order, header.sequence, message, packet, others)
            return
        for destination in others:
            destination.deliver(packet)

    def _in_order(
        self, order: "Order", sequence: int, stored: bytes, packet: Packet, others: tuple[Destination, ...]
    ) -> None:
        """Something is missing before it, or waits for it: who is here gets all of it in order."""
        waits = any(each.local for each in others) and order.holds(sequence, stored, packet.now)
        for destination in others:
            if not (waits and destination.local):
                destination.deliver(packet)
        order.go_on(packet.now)

    def _give(self, route: Route, messages: Sequence[bytes], now: float) -> None:
        """What has waited for earlier packets goes to those who are here."""
        packet = self._late
        packet.now = now
        near = [each for each in dict.fromkeys(route.takers + route.observers) if each.local]
        for message in messages:
            packet.place(message, now)
            for destination in near:
                destination.deliver(packet)

    def _last_hop(self, route: Route, others: tuple[Destination, ...]) -> tuple[Destination, ...]:
        """Only what is here may still have it."""
        near = tuple(destination for destination in others if destination.local)
        route.died_of_ttl += len(near) < len(others)
        return near

    def _new_sending(self, group: int, source: int, now: float) -> Sending | None:
        if len(self._sendings) >= SENDINGS_MAX:
            self._clear(now)
        if len(self._sendings) >= SENDINGS_MAX:
            self._refused(f"{SENDINGS_MAX} streams start here, and no further ones are forwarded")
            return None
        feed = self.feeder.begins(self.origin, group, source, now) if self.feeder else None
        route = self._router.route(Channel(group, source))
        sending = self._sendings[group, source] = Sending(route, feed)
        sending.sequence = self._counts.pop((group, source), 0)
        if self.mender:
            sending.repair = self.mender.begins(self.origin, 0, group, source, sending, now)
        self.watcher.began(self.origin, sending)
        return sending

    def _new_stream(self, key: tuple[int, int, int, int], ingress: Ingress, now: float) -> Stream | None:
        origin, group, source, count = key
        if origin == self.origin:
            self.drops.from_ourselves += 1  # a loop, of which duplicate windows elsewhere see the rest
            return None
        channel = Channel(group, source)
        if not self._router.has_takers(channel):
            self.drops.unwanted += 1  # late, or never asked for: nothing is kept of it
            return None
        share = self._shares.setdefault(ingress, Share())
        if not self._place(share):
            self._clear(now)
        if not self._place(share):
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

    def _new_shared(self, key: tuple[int, int, int, int], mesh: Ingress, now: float) -> Stream | None:
        """A stream comes by a shared tree; None where nobody here wants it, or it is ours."""
        origin, group, source, _ = key
        channel = Channel(group, source)
        if origin == self.origin or all(taker is mesh for taker in self._router.takers_of(channel)):
            return None
        share = self._shares.setdefault(mesh, Share())
        if not self._place(share):
            self._clear(now)
        if not self._place(share):
            self._refused("too many streams come over shared trees, and no further ones are taken")
            return None
        stream = self._enter(key, self._router.route(channel), share, None)
        self._began(stream, now)
        return stream

    def _enter(
        self, key: tuple[int, int, int, int], route: Route, share: Share, feed: "Feed | None"
    ) -> Stream:
        origin, _, _, count = key
        stream = self._streams[key] = Stream(origin, count, route, Window(self._budget), share, feed)
        share.streams += 1
        if feed is not None:
            feed.order.give = partial(self._give, route)
        return stream

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

    def _catch_up(self, stream: Stream, ingress: Ingress, now: float) -> None:
        """What came by a shared tree comes by one of its own now; or what `Stream.catch_up` says."""
        if stream.epoch == UNFED:
            stream.epoch = stream.left_epoch
            group, source = stream.route.channel
            stream.feed = self._feed(stream.origin, group, source, ingress, now) if self.feeder else None
            if stream.feed is not None:
                stream.feed.order.give = partial(self._give, stream.route)
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
            self._end(self._streams.pop((origin ^ count, group, source, count), None))
        if origin != self.origin:
            return
        if (group, source) in self._sendings:
            self._end_sending((group, source))

    def _place(self, share: Share) -> bool:
        return len(self._streams) < STREAMS_MAX and share.streams < LINK_STREAMS_MAX

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
        for (group, source), sending in list(self._sendings.items()):
            if sending.feed is None and sending.heard > now - SWEEP:
                if not self.feeder.has_room():
                    return
                sending.feed = self.feeder.begins(self.origin, group, source, now)
        for (origin, group, source, count), stream in list(self._streams.items()):
            if stream.feed is None and stream.epoch != UNFED and stream.heard > now - SWEEP:
                if not self.feeder.has_room():
                    return
                stream.feed = self.feeder.begins(origin ^ count, group, source, now)
                if stream.feed is not None:
                    stream.feed.order.give = partial(self._give, stream.route)

    def sweep(self, now: float, unheard: float) -> None:
        """Forgets the streams that were unheard for so many seconds, and routes that have none left."""
        self._sweep_at = now + SWEEP
        horizon = now - unheard
        for place in [k for k, s in self._sendings.items() if s.heard < horizon]:
            self._end_sending(place)
        gone = [k for k, s in self._streams.items() if s.heard < horizon]
        for key in gone:
            self._end(self._streams.pop(key))
        kept = {sending.route for sending in self._sendings.values()}
        kept.update(stream.route for stream in self._streams.values())
        for route in self._router.routes():
            if route not in kept:
                self._router.forget(route)

    def _end_sending(self, place: tuple[int, int]) -> None:
        """Its count goes on if it begins again: others know the stream for longer than this node does."""
        sending = self._sendings.pop(place)
        while len(self._counts) >= COUNTS_MAX:
            del self._counts[next(iter(self._counts))]
        self._counts[place] = sending.sequence
        if self.mender and sending.repair:
            self.mender.ended(sending.repair)
        self.watcher.ended(self.origin, sending)

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
        return StreamTotals().add(self._forgotten, *(stream.window for stream in self._streams.values()))

    def streams(self) -> list[Stream]:
        return list(self._streams.values())

    def sendings(self) -> list[Sending]:
        return list(self._sendings.values())
