"""What a node is doing, as one frozen value: everything shown anywhere is rendered from this.

Addresses and ids are texts as people read them; times are seconds; rates are of the last seconds.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TlsStatus:
    """The node's own certificate, which is in use for new links."""

    certificate: str  # its file
    valid_until: str
    expires_in: float  # seconds; negative afterwards
    not_renewed: str  # why what is in the file now is not in use
    udp_in_clear: bool


@dataclass(frozen=True)
class NodeStatus:
    name: str
    id: str
    origin: str
    version: str
    engine: str
    uptime: float
    ready: bool
    pid: int
    listening: str | None
    data_port: int | None
    tls: TlsStatus | None
    log_level: str  # the least that is written
    late: float  # seconds that timers came late, one a second, all together


@dataclass(frozen=True)
class FastPathStatus:
    """What the kernel forwards; `why` says why it forwards nothing, where it is off."""

    mode: str
    on: bool
    why: str
    way: str | None  # tcx or clsact
    uplinks: tuple[str, ...]  # devices that lead to peers it serves
    routes: int  # in the kernel now, one for each origin
    counters: dict[str, int]  # packets by what became of them there, since the node was started


@dataclass(frozen=True)
class GatewayStatus:
    """The LAN behind a bridged TAP; `state` is forwarding, standing by (another forwards), or listening."""

    bridge: str | None
    state: str
    forwarder: str | None  # the other node that forwards
    forwarder_address: str | None
    others: tuple[str, ...]  # gateways of this overlay on the same LAN
    strangers: int  # and of others, which count for nothing
    counters: dict[str, int]


@dataclass(frozen=True)
class TapStatus:
    """`state` is up or pending, and `why` says what a pending one waits for."""

    device: str
    state: str
    why: str
    address: str | None
    mtu: int
    longest: int  # the longest IP packet that goes unsplit
    ttl_floor: int
    groups: tuple[str, ...]  # prefixes whose routes this node puts on the TAP
    kernel_drops: int  # frames that the TAP's queue had no room for: the node was too slow
    gateway: GatewayStatus | None  # where the TAP is a bridge's port
    counters: dict[str, int]


@dataclass(frozen=True)
class QuerierView:
    state: str  # querier, standing by (another asks), or off
    address: str
    querier: str  # who asks
    querier_name: str | None  # where that is a gateway of this overlay
    version: int
    counters: dict[str, int]


@dataclass(frozen=True)
class PeerStatus:
    """`state` is up, dialling, waiting (for the next dial) or standby; `why` it is not up.

    `name` is the node's own where it is up; `sections` are the NAMEs of the [peer:NAME] that it serves.
    """

    name: str
    sections: tuple[str, ...]
    id: str | None
    state: str
    why: str
    endpoint: str | None  # where this node dials it
    address: str | None
    dialled_by: str | None  # us or them
    tls: bool | None  # is the link inside TLS?
    since: float  # seconds in this state
    data: str | None  # udp or tcp
    data_address: str | None
    rtt: float | None
    jitter: float | None  # how much one round trip differs from the next
    loss: float | None  # the share of the last minute's probes that nobody answered, 0 to 1
    rate_sent: float  # bits/s of messages
    rate_received: float
    attempts: int
    channels: int  # that it wants
    nodes: tuple[str, ...]  # behind it, itself among them
    queue: int
    queue_drops: int
    kernel_drops: int
    falls: int  # times that data fell back to TCP
    fast: bool  # the kernel may serve it
    why_slow: str
    counters: dict[str, int]


@dataclass(frozen=True)
class GroupStatus:
    """A channel that somebody wants, or programs here would if it were not `denied`."""

    group: str
    source: str  # an address, or any
    wanted_by: tuple[str, ...]
    version: int | None  # of IGMP, where hosts on the TAP want it
    mode: str | None
    reporter: str | None
    hosts: tuple[str, ...]  # on the TAP, or behind its bridge, by address; the first of `hosts_known`
    hosts_known: int
    expires_in: float | None
    pinned: bool
    denied: bool  # by [groups], which is of this node's TAP and not of what passes between its peers


@dataclass(frozen=True)
class StreamStatus:
    """One origin's packets of a route, counted against their sequence numbers; but for `received`, what the
    kernel forwarded is not among them."""

    origin: str
    node: str | None
    received: int
    lost: int
    duplicates: int
    reordered: int
    late: int


@dataclass(frozen=True)
class RouteStatus:
    """An (S, G) that packets came along; where it starts here and is `denied`, no more of them do."""

    group: str
    source: str
    to: tuple[str, ...]
    packets: int
    bytes: int
    rate: float  # bits/s of inner packets
    packet_rate: float  # packets/s
    to_nobody: int
    died_of_ttl: int
    sent_from_here: int | None  # how many this node has numbered, where it is the origin
    denied: bool
    fast: bool  # the kernel forwards it, whatever its origin
    why_slow: str
    streams: tuple[StreamStatus, ...]


@dataclass(frozen=True)
class TotalsStatus:
    """All routes and streams together since the node was started, the forgotten ones among them."""

    packets: int
    bytes: int
    to_nobody: int
    died_of_ttl: int
    received: int  # of other origins, as `StreamStatus` counts them
    lost: int
    duplicates: int
    reordered: int
    late: int


@dataclass(frozen=True)
class OutputStatus:
    """A stream that somebody watches over HTTP; `rtp`: without the RTP header, which it came with."""

    group: str
    source: str  # an address, or any
    port: int
    rtp: bool
    clients: int
    packets: int
    bytes: int
    lost: int  # payloads that a client was too slow for


@dataclass(frozen=True)
class WebStatus:
    """Where the page and the metrics are served; the token that it may take is nowhere but in `mcmw web`."""

    endpoint: str | None
    why: str  # it is not served, though it should be
    takes_token: bool
    callers: int  # connections
    counters: dict[str, int]


@dataclass(frozen=True)
class ReachStatus:
    """A node of the overlay, and the peer behind which it is."""

    name: str | None
    id: str
    via: tuple[str, ...]


@dataclass(frozen=True)
class RefusedReload:
    """node.ini was read again and not taken: `at` in seconds since 1970, `ago` in seconds."""

    at: float
    ago: float
    why: str


@dataclass(frozen=True)
class Status:
    node: NodeStatus
    tap: TapStatus
    fastpath: FastPathStatus
    querier: QuerierView
    peers: tuple[PeerStatus, ...]
    groups: tuple[GroupStatus, ...]
    routes: tuple[RouteStatus, ...]
    nodes: tuple[ReachStatus, ...]
    totals: TotalsStatus
    outputs: tuple[OutputStatus, ...]
    web: WebStatus
    counters: dict[str, int]
    event_counts: dict[str, int]  # how many of each kind there were, said or not
    warnings: tuple[str, ...]
    refused_reload: RefusedReload | None  # the last one, until node.ini is taken again

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def json(self) -> bytes:
        """The same as JSON, in an eighth of the time that it takes by way of dictionaries."""
        return json.dumps(self, default=vars).encode() + b"\n"
