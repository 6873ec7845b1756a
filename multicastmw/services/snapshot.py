"""Takes the status snapshot: reads every part once, changes none."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from multicastmw import __version__
from multicastmw.core import nodegroups
from multicastmw.core.fragments import OUTCOMES, Reassembler
from multicastmw.core.igmp_values import QuerierStatus
from multicastmw.core.routing import Route
from multicastmw.core.status import (
    NodeStatus,
    QuerierView,
    ReachStatus,
    RefusedReload,
    RouteStatus,
    Status,
    TapStatus,
    TlsStatus,
    TotalsStatus,
)
from multicastmw.net.clockwork import wall
from multicastmw.services import sessionstatus
from multicastmw.services.meshstatus import Meshes
from multicastmw.services.peerstatus import Peers
from multicastmw.services.routestatus import SHOWN_MAX, Groups, Routes, who_sends_from
from multicastmw.wire import ipv4

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

REASSEMBLY = (*OUTCOMES, "held_sets", "held_bytes")


class Snapshots:
    """The node as it is, again and again; what has not changed is the same object as before."""

    def __init__(self, node: "NodeService") -> None:
        self._node = node
        self._peers = Peers(node)
        self._groups = Groups(node)
        self._mesh = Meshes(node)
        self.routes = Routes(node)
        self._nodes: tuple[int, tuple[ReachStatus, ...]] = -1, ()

    def take(self, now: float) -> Status:
        node = self._node
        hosts = node.tap.querier.snapshot(now)
        routes = node.router.routes()
        shown = self.routes.take(routes)
        return Status(
            node=_node(node, now),
            tap=_tap(node),
            fastpath=node.fastpath.status(),
            querier=_querier(node, hosts),
            peers=self._peers.take(now),
            groups=self._groups.take(hosts),
            routes=shown,
            streams=node.health.status(now),
            nodes=self._reached(),
            mesh=self._mesh.take(now),
            recovery=node.recovery.status() if node.recovery else None,
            fec=node.fec.status(),
            sessions=sessionstatus.take(node, now),
            totals=_totals(node, routes),
            outputs=node.web.output.status() if node.web.output else (),
            web=node.web.status(),
            counters=node.room.counters.as_dict()
            | node.forwarder.drops.as_dict()
            | _kernel(node, len(routes))
            | sessionstatus.counters(node)
            | node.health.counters(),
            event_counts=dict(node.journal.told),
            warnings=(
                node.config.warnings
                + node.room.namesakes.current(now)
                + _address_elsewhere(node, shown)
                + _listens_nowhere(node)
                + node.web.warnings()
                + _waiting(node)
                + node.certificate_warnings()
                + node.tap.warnings()
            ),
            refused_reload=_refused_reload(node),
        )

    def _reached(self) -> tuple[ReachStatus, ...]:
        reach = self._node.room.reach
        version, found = self._nodes
        if version != reach.version:
            nodes = [
                ReachStatus(reach.name(n), f"{n:016x}", tuple([link.name for link in reach.links(n)]))
                for n in reach.nodes()
            ]
            found = tuple(sorted(nodes, key=_by_name))
            self._nodes = reach.version, found
        return found


def _by_name(node: ReachStatus) -> str:
    return node.name or node.id


def _waiting(node: "NodeService") -> tuple[str, ...]:
    """What node.ini says and the node does not do before it is started again."""
    return tuple(change.sentence() for change in node.reloading.pending) if node.reloading else ()


def _address_elsewhere(node: "NodeService", routes: Iterable[RouteStatus]) -> tuple[str, ...]:
    """The kernel drops what claims to come from itself, so nothing of what the other one sends is heard."""
    address = node.tap.config.address
    other = who_sends_from(str(address.ip), routes, node.room.here.node) if address else None
    if other is None:
        return ()
    link = node.room.by_node.get(other)
    name = link.name if link else node.room.reach.name(other) or "another node"
    return (
        f"[tap] address: {address} is in use at {name}, too, whose packets no program here gets:"
        " give one of them another address",
    )


def _listens_nowhere(node: "NodeService") -> tuple[str, ...]:
    return (node.listening.why,) if node.listening and node.listening.why else ()


def _refused_reload(node: "NodeService") -> RefusedReload | None:
    if not node.reloading or not node.reloading.refused:
        return None
    at, why = node.reloading.refused
    return RefusedReload(round(at, 3), round(max(0.0, wall() - at), 3), why)


def _kernel(node: "NodeService", routes: int) -> dict[str, int]:
    return {
        "udp_buffer_full": node.data_port.kernel_drops() if node.data_port else 0,
        "groups_of_nodes": nodegroups.count(node.router),
        "groups_not_shown": max(0, len(node.router) - SHOWN_MAX),
        "sessions_not_shown": sessionstatus.not_shown(node),
        "routes_not_shown": max(0, routes - SHOWN_MAX),
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


def _totals(node: "NodeService", along: list[Route]) -> TotalsStatus:
    routes = node.router.totals(along)
    streams = node.forwarder.streams.totals().add(node.fastpath.mirror.flows.totals())
    return TotalsStatus(**routes.as_dict(), **streams.as_dict())
