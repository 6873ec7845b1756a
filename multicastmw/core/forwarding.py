"""A packet's way through the node: checked, numbered or held against its window, and fanned out.

Two doors lead in.  `originate` takes an IP packet that stands at 60 of its buffer and writes the message's
header in front of it; `relay` takes a whole IP Data message and changes only its hop limit (and each link its
token).  Behind both, a dictionary gives the stream, the stream its route, the route its fan-out.

Nothing here allocates what lives longer than the call, but for a stream's first packet, so the garbage
collector has nothing to do with traffic.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from multicastmw.core.events import Tell
from multicastmw.core.packet import Packet
from multicastmw.core.routing import Destination, Route, Router
from multicastmw.core.stream import Ingress
from multicastmw.core.streams import Streams
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
    from multicastmw.core.mesh.order import Order

_ZEROS = (b"", b"\0", b"\0\0", b"\0\0\0")


class Forwarder:
    """Takes packets to whoever wants them; `streams` are theirs, and `origin` is our own, 64 bits."""

    def __init__(self, router: Router, origin: int, now: float, tell: Tell = lambda event: None) -> None:
        self.origin = origin
        self.streams = Streams(router, origin, now, tell, self._give)
        self.drops = self.streams.drops
        self._starting, self._coming = self.streams.starting, self.streams.coming
        self._late = Packet()

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
        sending = self._starting.get((group, source)) or self.streams.new_sending(group, source, packet.now)
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
        stream = self._coming.get(key) or self.streams.new_stream(key, ingress, now)
        if stream is None:
            return True
        stream.heard = now
        route = stream.route
        if stream.epoch != route.epoch:
            self.streams.catch_up(stream, ingress, now)
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
        stream = self._coming.get(key) or self.streams.new_shared(key, mesh, now)
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
