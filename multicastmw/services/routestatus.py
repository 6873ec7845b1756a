"""The tables' part of the status snapshot: channels that are wanted, and routes that packets came along."""

from collections.abc import Iterable
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from multicastmw.core.addressing import ANY, Channel, key_text
from multicastmw.core.fastpath.flows import Flow
from multicastmw.core.identity import node_of
from multicastmw.core.igmp_values import GroupStatus as HostsGroup
from multicastmw.core.igmp_values import QuerierStatus
from multicastmw.core.routing import Route
from multicastmw.core.status import GroupStatus, RouteStatus, StreamStatus, renewed
from multicastmw.core.stream import Stream
from multicastmw.wire import ipv4

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose: groups and routes of one snapshot; the rest is counted.
SHOWN_MAX = 1_024

# What we chose: hosts of a group that are named, of those that are known.
HOSTS_SHOWN = 64

by_channel = attrgetter("channel")


def who_sends_from(source: str, routes: Iterable[RouteStatus], here: int) -> int | None:
    """The id of a node that has numbered packets from that address, and is not this one.

    What this node sent before it was started again is its own.
    """
    for route in routes:
        if route.source == source:
            for stream in route.streams:
                node = node_of(int(stream.origin, 16))
                if node != here:
                    return node
    return None


class Groups:
    """Keeps the last one of each channel, as most stay as they are."""

    def __init__(self, node: "NodeService") -> None:
        self._node = node
        self._last: dict[Channel, tuple[Any, GroupStatus]] = {}

    def take(self, hosts: QuerierStatus) -> tuple[GroupStatus, ...]:
        node, destination = self._node, self._node.destination
        here = {status.group: status for status in hosts.groups}
        pins = {(pin.group, pin.source) for pin in node.config.groups.pin}
        known: Iterable[Channel] = node.router.channels()
        if not destination.forwards:  # another gateway asks for these; here they are known
            known = {*known, *destination.channels()}
        denied = destination.channels_denied()  # nobody's, and yet programs here joined them
        before, self._last = self._last, {}
        found = []
        for channel in nsmallest(SHOWN_MAX, {*known, *denied} if denied else known):
            wanted_by = node.router.wanted_by(channel)
            mine = destination in wanted_by or not destination.forwards or channel in denied
            local = here.get(channel.group) if mine else None
            still = wanted_by, local, channel in pins, destination.denies(channel)
            last = before.get(channel)
            status = last[1] if last and last[0] == still else group_status(channel, *still)
            self._last[channel] = still, status
            found.append(status)
        return tuple(found)


def group_status(
    channel: Channel, wanted_by: Iterable[Any], local: HostsGroup | None, pinned: bool, denied: bool
) -> GroupStatus:
    """`local` is what the hosts of the TAP say of it."""
    return GroupStatus(
        group=key_text(channel.group),
        source=key_text(channel.source),
        wanted_by=tuple([destination.name for destination in wanted_by]),
        version=local.version if local else None,
        mode=local.mode if local else None,
        reporter=ipv4.text(local.reporter) if local else None,
        hosts=tuple(ipv4.text(host) for host in local.hosts[:HOSTS_SHOWN]) if local else (),
        hosts_known=len(local.hosts) if local else 0,
        expires_in=round(local.expires_in, 3) if local else None,
        pinned=pinned,
        denied=denied,
    )


class Look(NamedTuple):
    """What of a route is in its status: where it is as before, so is the status."""

    still: list[Any]  # texts follow from it, and where the packets go
    moving: list[Any]  # figures


figures_of = attrgetter("packets", "bytes", "to_nobody", "died_of_ttl")
figures_of_flow = attrgetter("passed", "numbered", "lost", "duplicates", "reordered", "late")
figures_of_window = attrgetter("received", "duplicates", "reordered", "late")  # `lost` goes with one of them


class Routes:
    """Keeps the last one of each route: its texts, and all of it where nothing passes."""

    def __init__(self, node: "NodeService") -> None:
        self._node = node
        self._last: dict[Route, tuple[Look, RouteStatus]] = {}

    def take(self, routes: list[Route]) -> tuple[RouteStatus, ...]:
        """Of all routes, the first ones."""
        sent = self._sent()
        before, self._last = self._last, {}
        found = []
        for route in nsmallest(SHOWN_MAX, routes, key=by_channel):
            look, last = self._look(route, sent.get(route)), before.get(route)
            if last is None or last[0] != look:
                same = last is not None and last[0].still == look.still
                last = look, self._status(route, sent.get(route), last[1] if last and same else None)
            self._last[route] = last
            found.append(last[1])
        return tuple(found)

    def of(self, channel: Channel, most: int) -> list[tuple[Route, RouteStatus]]:
        """Of one channel; with source any, of all of the group's."""
        sent = self._sent()
        routes = [
            each
            for each in self._node.router.routes_of(channel.group)
            if channel.source in (ANY, each.channel.source)
        ]
        return [(route, self._status(route, sent.get(route), None)) for route in routes[:most]]

    def _sent(self) -> dict[Route, int]:
        """Packets that this node has numbered itself."""
        return {sending.route: sending.numbered for sending in self._node.forwarder.streams.starting.values()}

    def _look(self, route: Route, sent: int | None) -> Look:
        """Without calls where it can be: most of a large node's routes are idle."""
        node, mirror = self._node, self._node.fastpath.mirror
        denied = node.destination.denies(route.channel)
        still = [sent is None, node.room.reach.version, route.takers, denied]
        moving = [sent, node.route_rates.of(route), *figures_of(route)]
        for flow in mirror.flows.of_route(route):
            still += flow, flow.why, flow.value is not None and mirror.why_slow(flow)
            moving += figures_of_flow(flow)
            for stream in flow.streams:
                if isinstance(stream, Stream):
                    moving += figures_of_window(stream.window)
        return Look(still, moving)

    def _status(self, route: Route, sent: int | None, last: RouteStatus | None) -> RouteStatus:
        """`last` is one of the same texts."""
        flows = self._node.fastpath.mirror.flows
        packet_rate, byte_rate = self._node.route_rates.of(route)
        here, streams = sent, []
        for flow in flows.of_route(route):
            if here is not None:
                here += flow.numbered
            if not flows.is_ours(flow):
                streams.append(self._stream(flow))
        return renewed(
            last or self._first(route, sent is not None, not streams),
            packets=route.packets,
            bytes=route.bytes,
            rate=round(8 * byte_rate),
            packet_rate=round(packet_rate, 1),
            to_nobody=route.to_nobody,
            died_of_ttl=route.died_of_ttl,
            sent_from_here=here,
            streams=tuple(streams),
        )

    def _first(self, route: Route, from_here: bool, only: bool) -> RouteStatus:
        """What seldom changes; the rest is put in."""
        mirror, channel = self._node.fastpath.mirror, route.channel
        flows = mirror.flows.of_route(route)
        denied = self._node.destination.denies(channel)
        stopped = denied and from_here and only  # it goes no further than the TAP
        slow = [why for flow in flows if (why := mirror.why_slow(flow))]
        return RouteStatus(
            group=key_text(channel.group),
            source=key_text(channel.source),
            to=() if stopped else tuple([destination.name for destination in route.takers]),
            packets=0,
            bytes=0,
            rate=0,
            packet_rate=0.0,
            to_nobody=0,
            died_of_ttl=0,
            sent_from_here=None,
            denied=denied,
            fast=bool(flows) and not slow,
            why_slow=slow[0] if slow else "",
            streams=(),
        )

    def _stream(self, flow: Flow) -> StreamStatus:
        """Both counts of an origin together, and what the kernel saw and what we did."""
        received, lost, duplicates = flow.passed, flow.lost, flow.duplicates
        reordered, late = flow.reordered, flow.late
        for stream in flow.streams:
            if isinstance(stream, Stream):
                window = stream.window
                received += window.received
                lost += window.lost
                duplicates += window.duplicates
                reordered += window.reordered
                late += window.late
        name = self._node.room.reach.name(node_of(flow.origin))
        return StreamStatus(f"{flow.origin:016x}", name, received, lost, duplicates, reordered, late)
