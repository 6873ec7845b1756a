"""What the kernel has counted, put where the slow path counts the same.

So nobody who reads a counter has to know who forwarded.
"""

from multicastmw.core.fastpath.flows import Flow
from multicastmw.core.fastpath.peers import Served
from multicastmw.core.fastpath.tables import REASONS_MAX, RECEIVED, Count, Reason, RouteCount
from multicastmw.core.room import RoomCounters
from multicastmw.core.streams import Drops
from multicastmw.core.tap import TapCounters
from multicastmw.wire.data import HEADER_SIZE


class Counts:
    """`reasons` are the kernel's own, since the fast path was first on."""

    def __init__(self, tap: TapCounters, drops: Drops, door: RoomCounters) -> None:
        self.reasons = dict.fromkeys(Reason, 0)
        self._tap = tap
        self._drops = drops
        self._door = door

    def add(self, index: int, by: Count, peers: dict[int, Served]) -> None:
        """One entry of `stats` has grown."""
        if index < REASONS_MAX:
            self._add_reason(Reason(index), by)
            return
        received = index >= RECEIVED
        served = peers.get(index - (RECEIVED if received else REASONS_MAX))
        if served is None:
            return
        counters = served.link.counters
        if received:
            counters.received += by.packets
            counters.received_bytes += by.bytes
        else:
            counters.sent += by.packets
            counters.sent_bytes += by.bytes

    def _add_reason(self, reason: Reason, by: Count) -> None:
        self.reasons[reason] += by.packets
        tap, drops = self._tap, self._drops
        match reason:
            case Reason.FROM_TAP:
                tap.received += by.packets
                tap.received_bytes += by.bytes
            case Reason.DELIVERED:
                tap.delivered += by.packets
                tap.delivered_bytes += by.bytes
            case Reason.TTL_RAISED:
                tap.ttl_raised += by.packets
            case Reason.HOP_LIMIT_ZERO:
                drops.hop_limit_zero += by.packets
            case Reason.WRONG_TOKEN:
                self._door.datagrams_dropped += by.packets
            case Reason.MALFORMED:
                drops.malformed += by.packets
            case Reason.FROM_OURSELVES:
                drops.from_ourselves += by.packets
            case Reason.OTHER_LINK:
                drops.other_link += by.packets

    def add_route(self, flow: Flow, by: RouteCount, is_ours: bool, now: float) -> None:
        """One entry of `route_stats` has grown."""
        route = flow.route
        route.packets += by.packets
        route.bytes += by.bytes
        route.to_nobody += by.to_nobody
        route.died_of_ttl += by.died_of_ttl
        flow.passed += by.packets
        flow.lost += by.lost
        flow.duplicates += by.duplicates
        flow.late += by.late
        flow.reordered += by.reordered
        if is_ours:
            flow.numbered += by.packets - by.to_nobody
        if by.packets:
            for stream in flow.streams:
                stream.heard = now
                if stream.feed and flow.is_fed:
                    stream.feed.weighs(HEADER_SIZE + by.bytes / by.packets)
