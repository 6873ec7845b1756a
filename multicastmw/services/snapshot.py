"""Takes the status snapshot: reads every part once, changes none."""

import os
from collections.abc import Iterable
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from multicastmw import __version__
from multicastmw.core.addressing import ANY, Channel, key_text
from multicastmw.core.fastpath.flows import Flow
from multicastmw.core.forwarding import Stream
from multicastmw.core.fragments import Reassembler
from multicastmw.core.identity import node_of
from multicastmw.core.igmp_values import QuerierStatus
from multicastmw.core.link import Link
from multicastmw.core.routing import Route
from multicastmw.core.status import (
    GroupStatus,
    NodeStatus,
    PeerStatus,
    QuerierView,
    ReachStatus,
    RefusedReload,
    RouteStatus,
    Status,
    StreamStatus,
    TapStatus,
    TlsStatus,
    TotalsStatus,
)
from multicastmw.net.clockwork import wall
from multicastmw.services import sessionstatus
from multicastmw.wire import ipv4

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService
    from multicastmw.services.peers import DiallingService

# What we chose: groups and routes of one snapshot, which takes 50 ms with so many; the rest is counted.
SHOWN_MAX = 1_024

REASSEMBLY = (
    "joined", "expired", "evicted", "overlapped", "duplicates", "refused", "malformed", "oversize",
    "held_sets", "held_bytes",
)  # fmt: skip

# What we chose: hosts of a group that are named, of those that are known.
HOSTS_SHOWN = 64


def take(node: "NodeService", now: float) -> Status:
    """The node as it is now."""
    hosts = node.tap.querier.snapshot(now)
    streams = node.health.status(now)
    return Status(
        node=_node(node, now),
        tap=_tap(node),
        fastpath=node.fastpath.status(),
        querier=_querier(node, hosts),
        peers=_peers(node, now),
        groups=_groups(node, hosts),
        routes=_routes(node),
        streams=streams,
        nodes=_nodes(node),
        sessions=sessionstatus.take(node, now),
        totals=_totals(node),
        outputs=node.web.output.status() if node.web.output else (),
        web=node.web.status(),
        counters=node.room.counters.as_dict()
        | node.forwarder.drops.as_dict()
        | _kernel(node)
        | sessionstatus.counters(node),
        event_counts=dict(node.journal.told),
        warnings=(
            node.config.warnings
            + node.room.namesakes.current(now)
            + _listens_nowhere(node)
            + node.web.warnings()
            + _waiting(node)
            + node.certificate_warnings()
            + node.tap.warnings()
        ),
        refused_reload=_refused_reload(node),
    )


def _waiting(node: "NodeService") -> tuple[str, ...]:
    """What node.ini says and the node does not do before it is started again."""
    return tuple(change.sentence() for change in node.reloading.pending) if node.reloading else ()


def _listens_nowhere(node: "NodeService") -> tuple[str, ...]:
    return (node.listening.why,) if node.listening and node.listening.why else ()


def _refused_reload(node: "NodeService") -> RefusedReload | None:
    if not node.reloading or not node.reloading.refused:
        return None
    at, why = node.reloading.refused
    return RefusedReload(round(at, 3), round(max(0.0, wall() - at), 3), why)


def _kernel(node: "NodeService") -> dict[str, int]:
    return {
        "udp_buffer_full": node.data_port.kernel_drops() if node.data_port else 0,
        "groups_not_shown": max(0, len(node.router) - SHOWN_MAX),
        "sessions_not_shown": sessionstatus.not_shown(node),
        "routes_not_shown": max(0, len(node.router.routes()) - SHOWN_MAX),
        "streams_not_shown": node.health.not_shown,
        "not_looked_at": node.health.monitor.unwatched_packets,
        "stops": node.waking.stops,
        "sleeps": node.waking.sleeps,
    } | {f"probing_{name}": count for name, count in node.probing.prober.counters.as_dict().items()}


def _node(node: "NodeService", now: float) -> NodeStatus:
    here = node.room.here
    return NodeStatus(
        name=here.name,
        id=f"{here.node:016x}",
        origin=f"{node.forwarder.origin:016x}",
        version=__version__,
        engine=node.config.overlay.engine,
        uptime=round(now - node.started, 3),
        ready=node.tap.up,
        pid=os.getpid(),
        listening=None if _listens_nowhere(node) else node.config.listen.endpoint,
        data_port=here.data_port,
        tls=_tls(node),
        log_level=node.journal.level.name,
        late=round(node.waking.late, 6),
    )


def _tls(node: "NodeService") -> TlsStatus | None:
    tls = node.config.tls
    if not (tls and node.certificate):
        return None
    return TlsStatus(
        certificate=tls.certificate,
        valid_until=node.certificate.valid_until,
        expires_in=round(node.certificate.left, 3),
        not_renewed=node.certificate.not_renewed,
        udp_in_clear=tls.udp_in_clear,
    )


def _tap(node: "NodeService") -> TapStatus:
    tap, destination = node.tap, node.destination
    return TapStatus(
        device=tap.config.device,
        state="up" if tap.up else "pending",
        why=tap.why,
        address=str(tap.config.address) if tap.config.address else None,
        mtu=tap.mtu,
        longest=destination.longest,
        ttl_floor=destination.ttl_floor,
        groups=tuple(map(str, tap.config.groups)),
        kernel_drops=tap.kernel_drops(),
        gateway=tap.lan.status(),
        counters=destination.counters.as_dict() | _reassembly(destination.reassembler),
    )


def _reassembly(reassembler: Reassembler | None) -> dict[str, int]:
    """Where the node joins fragments: what became of them."""
    return {f"reassembly_{name}": getattr(reassembler, name) for name in REASSEMBLY} if reassembler else {}


def _querier(node: "NodeService", status: QuerierStatus) -> QuerierView:
    state = "off" if not status.running else "querier" if status.is_querier else "standing by"
    return QuerierView(
        state=state,
        address=ipv4.text(status.address),
        querier=ipv4.text(status.querier),
        querier_name=node.tap.lan.name_at(status.querier) if state == "standing by" else None,
        version=status.version,
        counters=status.counters,
    )


def _peers(node: "NodeService", now: float) -> tuple[PeerStatus, ...]:
    """Every [peer:NAME], and every link that a peer dialled."""
    diallers: dict[Link, list[DiallingService]] = {}  # several [peer:NAME] may lead to one node
    for dialler in node.diallers:
        if dialler.link:
            diallers.setdefault(dialler.link, []).append(dialler)
    idle = [dialler for dialler in node.diallers if not dialler.link]
    links = [_peer(node, link, diallers.get(link, []), now) for link in node.room.by_node.values()]
    return tuple(sorted(links + [_absent(dialler, now) for dialler in idle], key=lambda peer: peer.name))


def _peer(node: "NodeService", link: Link, diallers: "list[DiallingService]", now: float) -> PeerStatus:
    reach = node.room.reach
    # The one whose connection it is comes first; a link that the peer dialled may have any.
    own_first = sorted(diallers, key=lambda each: each.config.name != link.section)
    dialler = own_first[0] if own_first else None
    return PeerStatus(
        name=link.name,
        sections=tuple(sorted(each.config.name for each in diallers)),
        id=f"{link.node:016x}",
        state="up",
        why="",
        endpoint=dialler.config.endpoint if dialler else None,
        address=link.address,
        dialled_by="us" if link.dialled else "them",
        tls=link.secure,
        since=round(now - link.since, 3),
        data="udp" if link.on_udp else "tcp",
        data_address="{}:{}".format(*link.data_address) if link.data_address else None,
        **_measured(node, link),
        attempts=dialler.dialler.backoff.attempts if dialler else 0,
        channels=node.router.count(link),
        nodes=tuple([reach.name(n) or f"{n:016x}" for n in reach.behind(link)]),
        queue=len(link.queue),
        queue_drops=link.queue.dropped,
        kernel_drops=link.kernel_drops,
        falls=link.path.falls if link.path else 0,
        **_served(node, link),
        counters=link.counters.as_dict(),
    )


def _measured(node: "NodeService", link: Link) -> dict[str, Any]:
    path = link.path
    sent, received = node.link_rates.of(link)
    return {
        "rtt": path.rtt if path else None,
        "jitter": path.jitter if path else None,
        "loss": path.loss if path else None,
        "rate_sent": round(8 * sent),
        "rate_received": round(8 * received),
    }


def _served(node: "NodeService", link: Link) -> dict[str, Any]:
    fastpath = node.fastpath
    if not fastpath.on:
        return {"fast": False, "why_slow": "the fast path is off"}
    fast = fastpath.mirror.peers.served(link) is not None
    return {"fast": fast, "why_slow": "" if fast else fastpath.mirror.peers.why(link)}


def _absent(dialler: "DiallingService", now: float) -> PeerStatus:
    return PeerStatus(
        name=dialler.config.name,
        sections=(dialler.config.name,),
        id=None,
        state=dialler.state.value,
        why=dialler.why,
        endpoint=dialler.config.endpoint,
        address=None,
        dialled_by=None,
        tls=None,
        since=round(now - dialler.dialler.since, 3),
        data=None,
        data_address=None,
        rtt=None,
        jitter=None,
        loss=None,
        rate_sent=0,
        rate_received=0,
        attempts=dialler.dialler.backoff.attempts,
        channels=0,
        nodes=(),
        queue=0,
        queue_drops=0,
        kernel_drops=0,
        falls=0,
        fast=False,
        why_slow="it is down",
        counters={},
    )


def _groups(node: "NodeService", hosts: QuerierStatus) -> tuple[GroupStatus, ...]:
    here = {status.group: status for status in hosts.groups}
    pins = {(pin.group, pin.source) for pin in node.config.groups.pin}
    found = []
    known: Iterable[Channel] = node.router.channels()
    if not node.destination.forwards:  # another gateway asks for these; here they are known
        known = {*known, *node.destination.channels()}
    denied = node.destination.channels_denied()  # nobody's, and yet programs here joined them
    for channel in nsmallest(SHOWN_MAX, {*known, *denied}):
        destinations = node.router.wanted_by(channel)
        mine = node.destination in destinations or not node.destination.forwards or channel in denied
        local = here.get(channel.group) if mine else None
        found.append(
            GroupStatus(
                group=key_text(channel.group),
                source=key_text(channel.source),
                wanted_by=tuple([destination.name for destination in destinations]),
                version=local.version if local else None,
                mode=local.mode if local else None,
                reporter=ipv4.text(local.reporter) if local else None,
                hosts=tuple(ipv4.text(host) for host in local.hosts[:HOSTS_SHOWN]) if local else (),
                hosts_known=len(local.hosts) if local else 0,
                expires_in=round(local.expires_in, 3) if local else None,
                pinned=channel in pins,
                denied=node.destination.denies(channel),
            )
        )
    return tuple(found)


def _routes(node: "NodeService") -> tuple[RouteStatus, ...]:
    sent = {sending.route: sending.numbered for sending in node.forwarder.sendings()}
    return tuple(
        _route(node, route, sent.get(route))
        for route in nsmallest(SHOWN_MAX, node.router.routes(), key=lambda route: route.channel)
    )


def routes_of(node: "NodeService", channel: Channel, most: int) -> list[tuple[Route, RouteStatus]]:
    """Of one channel; with source any, of all of the group's."""
    sent = {sending.route: sending.numbered for sending in node.forwarder.sendings()}
    routes = [
        each for each in node.router.routes_of(channel.group) if channel.source in (ANY, each.channel.source)
    ]
    return [(route, _route(node, route, sent.get(route))) for route in routes[:most]]


def _route(node: "NodeService", route: Route, sent: int | None) -> RouteStatus:
    mirror, channel = node.fastpath.mirror, route.channel
    flows = mirror.flows.of_route(route)
    others = [flow for flow in flows if not mirror.flows.is_ours(flow)]
    denied = node.destination.denies(channel)
    stopped = denied and sent is not None and not others  # it starts here, and goes no further than the TAP
    slow = [why for flow in flows if (why := mirror.why_slow(flow))]
    packet_rate, byte_rate = node.route_rates.of(route)
    return RouteStatus(
        group=key_text(channel.group),
        source=key_text(channel.source),
        to=() if stopped else tuple([destination.name for destination in route.takers]),
        packets=route.packets,
        bytes=route.bytes,
        rate=round(8 * byte_rate),
        packet_rate=round(packet_rate, 1),
        to_nobody=route.to_nobody,
        died_of_ttl=route.died_of_ttl,
        denied=denied,
        sent_from_here=None if sent is None else sent + sum([flow.numbered for flow in flows]),
        fast=bool(flows) and not slow,
        why_slow=slow[0] if slow else "",
        streams=tuple([_origin(node, flow) for flow in others]),
    )


def _origin(node: "NodeService", flow: Flow) -> StreamStatus:
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
    return StreamStatus(
        f"{flow.origin:016x}", node.room.reach.name(node_of(flow.origin)), received, lost, duplicates,
        reordered, late,
    )  # fmt: skip


def _totals(node: "NodeService") -> TotalsStatus:
    routes = node.router.totals()
    streams = node.forwarder.totals()
    streams.add(node.fastpath.mirror.flows.totals())
    return TotalsStatus(**routes.as_dict(), **streams.as_dict())


def _nodes(node: "NodeService") -> tuple[ReachStatus, ...]:
    reach = node.room.reach
    found = [
        ReachStatus(reach.name(n), f"{n:016x}", tuple(link.name for link in reach.links(n)))
        for n in reach.nodes()
    ]
    return tuple(sorted(found, key=lambda each: each.name or each.id))
