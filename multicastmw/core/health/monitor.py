"""Watches streams that pass through this node anyway, while somebody asks for it.

The Monitor is a destination that wants nothing: it observes the groups that it was asked for, each for a
lease, and whoever looks renews that.  Without a request nothing comes here and nothing is done.  It has three
bounds: streams and groups at a time, and packets a second over all.  Where these are too many, the watch that
was asked for last ends, and its group is refused for a while.
"""

from collections.abc import Callable, Iterator
from struct import Struct as Twin
from typing import NamedTuple

from multicastmw.core.addressing import Channel, key_text
from multicastmw.core.events import Limit, Tell
from multicastmw.core.fragments import Reassembler
from multicastmw.core.health.limits import Limits
from multicastmw.core.health.report import HealthStatus, not_watched, watched
from multicastmw.core.health.stream import WatchedStream
from multicastmw.core.health.way import LATE, REPEATED, Way
from multicastmw.core.packet import Packet
from multicastmw.core.routing import Route, Router
from multicastmw.core.window import Budget
from multicastmw.wire.data import HEADER_SIZE, IPV4
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import MORE_FRAGMENTS, OFFSET_MASK, Buffer
from multicastmw.wire.udp import PROTOCOL_UDP, payload_in

# Of an IP Data message: origin, group key, source key, sequence, origin time, flags.
ORIGIN_OFFSET = 20
NUMBERS = Twin("!QQQII2xB")
# The inner packet, if its header has no options: the lengths and the port, which are all that is asked of it.
# A test holds it to wire/udp.py, by which all else is read.
INNER = Twin("!BxH2xHxB10xHHH")
IP_SIZE, UDP_SIZE = 20, 8
FIRST_PLAIN = 0x45

# What we chose.
GROUPS_MAX = 32  # watched at a time
STREAMS_MAX = 64  # (S, G, port) that are looked at
WAYS_MAX = 64  # (S, G)
PACKETS_MAX = 10_000  # a second over all: a sixth of a core (docs/health.rst)
LONGER = 1_501  # bytes; a packet from there on counts as two, from twice as many on as three, ...
LEASE_MAX = 300.0
REFUSED_FOR = 30.0  # seconds that a group is not watched after it was too much
FORGET = 60.0  # a stream unheard for so long makes room
PAUSE = 1.0  # seconds between two looks at leases and at the kernel's drops


class WatchAnswer(NamedTuple):
    """What is watched now that was asked for, and why the rest is not."""

    groups: tuple[int, ...]
    refused: str


class Watch:
    """One group that somebody looks at."""

    __slots__ = ("group", "since", "streams", "until", "ways")

    def __init__(self, group: int, now: float) -> None:
        self.group = group
        self.since = self.until = now
        self.ways: dict[int, Way] = {}  # by source
        self.streams: dict[tuple[int, int], WatchedStream] = {}  # by source and port


class Monitor:
    """The one of a node.

    `drops` says how many frames and copies the TAP's queue had no room for; `doubled` how many
    packets of an (S, G) the node has dropped because they had come before, which are never seen here; `load`
    how much comes along a route.
    """

    name = "monitor"
    local = True

    def __init__(
        self,
        router: Router,
        tell: Tell = lambda event: None,
        drops: Callable[[], int] = lambda: 0,
        doubled: Callable[[Channel], int] = lambda channel: 0,
        load: Callable[[Route], float] = lambda route: route.bytes,
    ) -> None:
        self.unwatched_packets = 0  # of streams above the bounds
        self.limits = Limits()
        self._router = router
        self._tell = tell
        self._drops = drops
        self._doubled = doubled
        self._load = load
        self._dropped = 0
        self._unseen_at = float("-inf")
        self._watches: dict[int, Watch] = {}
        self._refused: dict[int, tuple[float, str]] = {}  # group: until when, and why
        self._reassembler = Reassembler()
        self._budget = Budget()
        self._streams = self._ways = 0
        self._second_at = 0.0
        self._taken = 0
        self._full_at = float("-inf")
        self._tick_at = float("inf")
        self.wound: Callable[[], None] = lambda: None  # the deadline is nearer than it was

    # --- who looks

    def watch(self, group: int, now: float, seconds: float) -> WatchAnswer:
        """For so long at least; group 0: whatever passes, the busiest first.

        Raises ValueError where the group that was named cannot be watched.
        """
        if not group:
            chosen = self._busiest(now)
            for each in chosen:
                self._lease(each, now, seconds)
            return WatchAnswer(tuple(chosen), self._why_refused(now))
        if why := self.why_not(group, now):
            raise ValueError(why)
        if group not in self._watches and len(self._watches) >= GROUPS_MAX:
            raise ValueError(f"{GROUPS_MAX} groups are watched already, and no more are")
        self._lease(group, now, seconds)
        return WatchAnswer((group,), "")

    def why_not(self, group: int, now: float) -> str:
        """Why the group is refused for now; empty: it is not."""
        until, why = self._refused.get(group, (0.0, ""))
        return why if now < until else ""

    def _lease(self, group: int, now: float, seconds: float) -> None:
        watch = self._watches.get(group)
        if watch is None:
            if not self._watches:
                self._dropped = self._drops()
                self._tick_at = now + PAUSE
            watch = self._watches[group] = Watch(group, now)
            self._router.observe(self, group)
            self.wound()
        watch.until = max(watch.until, now + min(seconds, LEASE_MAX))

    def _busiest(self, now: float) -> list[int]:
        """Groups by how much comes of them; those that are watched stay so while anything does."""
        loads: dict[int, float] = {}
        for route in self._router.routes():
            load = self._load(route) if route.takers else 0.0
            if load:
                loads[route.channel.group] = loads.get(route.channel.group, 0.0) + load
        wanted = [group for group in loads if not self.why_not(group, now)]
        wanted.sort(key=lambda group: (group not in self._watches, -loads[group]))
        others = sum(group not in loads for group in self._watches)
        return wanted[: max(0, GROUPS_MAX - others)]

    def _why_refused(self, now: float) -> str:
        return next((why for until, why in self._refused.values() if now < until), "")

    def _end(self, watch: Watch) -> None:
        del self._watches[watch.group]
        self._router.disregard(self, watch.group)
        self._streams -= len(watch.streams)
        self._ways -= len(watch.ways)
        for way in watch.ways.values():
            way.close()
        if not self._watches:
            self._tick_at = float("inf")
            self._reassembler.tick(self._tick_at)  # nothing more comes of what is not whole

    # --- what passes

    def others_changed(self, channel: Channel) -> None:
        """Nothing is asked of the overlay, whoever wants what."""

    def deliver(self, packet: Packet) -> None:
        """A packet that passes; what it says of its stream is noted."""
        buffer, now = packet.buffer, packet.now
        origin, group, source, sequence, sent, flags = NUMBERS.unpack_from(buffer, ORIGIN_OFFSET)
        watch = self._watches.get(group)
        if watch is None:
            return
        if now >= self._second_at:
            self._second_at, self._taken = now + 1.0, 0
        self._taken += 1 + packet.length // LONGER
        if self._taken > PACKETS_MAX:
            self._too_much(now)
            return
        way = watch.ways.get(source) or self._new_way(watch, source, now)
        if way is None:
            return
        verdict = way.accept(origin, flags, sequence, sent, now)
        length = packet.length
        if verdict == REPEATED or packet.kind != IPV4 or length < IP_SIZE + UDP_SIZE:
            return
        first, total, fragment, protocol, _, port, udp = INNER.unpack_from(buffer, HEADER_SIZE)
        if total != length or protocol != PROTOCOL_UDP:
            return
        if fragment & (MORE_FRAGMENTS | OFFSET_MASK) or first != FIRST_PLAIN:
            self._unusual(watch, source, way, packet, sent, verdict == LATE)
            return
        if not UDP_SIZE <= udp <= length - IP_SIZE:
            return
        stream = watch.streams.get((source, port)) or self._new_stream(watch, source, port, way, now)
        if stream is not None:
            start = HEADER_SIZE + IP_SIZE + UDP_SIZE
            stream.accept(buffer, start, start + udp - UDP_SIZE, now, sent, verdict == LATE)

    def _unusual(self, watch: Watch, source: int, way: Way, packet: Packet, sent: int, late: bool) -> None:
        """A fragment, or a header with options."""
        inner: Buffer = packet.view[HEADER_SIZE : HEADER_SIZE + packet.length]
        if int.from_bytes(inner[6:8], "big") & (MORE_FRAGMENTS | OFFSET_MASK):
            whole = self._reassembler.accept(inner, packet.now)
            if whole is None:
                return
            inner = whole
        header = (inner[0] & 15) * 4
        if inner[0] >> 4 != 4 or header < IP_SIZE:
            return
        try:
            port, begin, end = payload_in(inner, header, len(inner))
        except Malformed:
            return
        stream = watch.streams.get((source, port)) or self._new_stream(watch, source, port, way, packet.now)
        if stream is not None:
            stream.accept(inner, begin, end, packet.now, sent, late)

    def _new_way(self, watch: Watch, source: int, now: float) -> Way | None:
        if self._ways >= WAYS_MAX:
            self._full(now, f"{WAYS_MAX} sources are looked at")
            return None
        self._ways += 1
        way = watch.ways[source] = Way(self._budget, now)
        way.duplicates = -self._doubled(Channel(watch.group, source))
        return way

    def _new_stream(self, watch: Watch, source: int, port: int, way: Way, now: float) -> WatchedStream | None:
        if self._streams >= STREAMS_MAX:
            self._full(now, f"{STREAMS_MAX} streams are looked at")
            return None
        self._streams += 1
        streams = watch.streams
        stream = streams[source, port] = WatchedStream(
            port, way, now, lambda port: streams.get((source, port)), self.limits
        )
        return stream

    def _full(self, now: float, what: str) -> None:
        """Once in a while: what is above the bound goes on to come."""
        self.unwatched_packets += 1
        if now - self._full_at >= REFUSED_FOR:
            self._full_at = now
            self._tell(Limit(f"{what}, and no further ones: mcmw show streams is not whole"))

    def _too_much(self, now: float) -> None:
        """The newest watch ends."""
        newest = max(self._watches.values(), key=lambda watch: watch.since)
        why = f"more than {PACKETS_MAX:,} packets/s are too many to look at"
        if len(self._refused) >= GROUPS_MAX:
            self._refused.clear()
        self._refused[newest.group] = now + REFUSED_FOR, why
        self._end(newest)
        self._taken = 0
        self._tell(Limit(f"{key_text(newest.group)} is watched no longer: {why}"))

    # --- time

    def deadline(self) -> float:
        return self._tick_at

    def tick(self, now: float) -> None:
        """Leases that are over end, and so does what was not heard for long."""
        if now < self._tick_at:
            return
        self._tick_at = now + PAUSE
        self._reassembler.tick(now)
        dropped = self._drops()
        if dropped > self._dropped:  # what is missing here may not be missing
            self._unseen_at = now
        self._dropped = dropped
        for watch in list(self._watches.values()):
            if watch.until <= now:
                self._end(watch)
            else:
                self._forget(watch, now)

    def _forget(self, watch: Watch, now: float) -> None:
        for place in [place for place, stream in watch.streams.items() if stream.heard < now - FORGET]:
            del watch.streams[place]
            self._streams -= 1
        used = {source for source, _ in watch.streams}
        for source in [source for source in watch.ways if source not in used]:
            watch.ways.pop(source).close()
            self._ways -= 1

    # --- what is shown

    def pieces(self) -> dict[str, int]:
        """What became of packets that came in pieces."""
        return self._reassembler.counts()

    def status(self, now: float, name_of: Callable[[int], str | None]) -> tuple[HealthStatus, ...]:
        """The streams that are looked at, and of watched groups that nothing comes of, that."""
        return tuple(found for watch in self._watches.values() for found in self._of(watch, now, name_of))

    def _of(self, watch: Watch, now: float, name_of: Callable[[int], str | None]) -> Iterator[HealthStatus]:
        group = key_text(watch.group)
        for (source, _), stream in watch.streams.items():
            origin = stream.way.origin
            node = None if origin is None else name_of(origin)
            doubled = self._doubled(Channel(watch.group, source))
            yield watched(stream, group, key_text(source), node, doubled, self._unseen_at, watch.until, now)
        if not watch.streams:
            why = f"nothing has come for {now - watch.since:.0f} s"
            yield not_watched(group, "any", None, why)

    def watches(self, channel: Channel) -> bool:
        """Is a stream of this (S, G) among those?"""
        watch = self._watches.get(channel.group)
        return watch is not None and any(source == channel.source for source, _ in watch.streams)
