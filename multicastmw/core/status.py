"""What a node is doing, as one frozen value: everything shown anywhere is rendered from this.

Addresses and ids are texts as people read them; times are seconds; rates are of the last seconds.
"""

import json
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar

from multicastmw.core.health.report import HealthStatus

T = TypeVar("T")


def renewed(before: T, **fields: Any) -> T:
    """The same with these fields; itself where nothing differs.

    A snapshot has hundreds of values of which a few figures change: this is dataclasses.replace() at a
    tenth of its cost.
    """
    was = before.__dict__
    if fields.items() <= was.items():
        return before
    after = object.__new__(type(before))
    after.__dict__.update(was, **fields)
    return after


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
    forced: int  # times that one went there though packets of it waited here, as more came than is taken here
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
    viewers: tuple[str, ...]  # where these are
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
class MediaStatus:
    """One medium of a session: where it is sent to, and what it is."""

    kind: str  # video, audio, ...
    group: str  # an address, or a host's name
    groups: int  # so many in a row, from `group` on
    port: int  # 0: it is announced as switched off
    ports: int
    protocol: str  # RTP/AVP, udp, ...
    formats: tuple[str, ...]  # payload types, or what the protocol has instead
    encodings: tuple[str, ...]  # of these, as far as they are said
    ttl: int | None
    sources: tuple[str, ...]  # only these send to it; empty: anybody may
    title: str


@dataclass(frozen=True)
class SessionStatus:
    """A session that is announced by SAP; `id` is the same on every node, for as long as it is announced.

    Names, texts and `sdp` are a stranger's: they hold no control characters, and anything else.
    """

    id: str
    name: str
    description: str
    category: str
    tool: str
    source: str  # whose packets announce it
    originator: str  # who does, as the announcement itself has it
    node: str | None  # where it comes into the overlay
    ours: bool  # this node announces it: [session:NAME]
    announced_at: tuple[str, ...]  # SAP groups
    media: tuple[MediaStatus, ...]
    period: float | None  # seconds between two announcements; None: it was heard once
    age: float  # since it was heard first
    heard_ago: float
    expires_in: float
    announcements: int
    sdp: str


@dataclass(frozen=True)
class MeshNeighbour:
    """Who is at the other end of a link, in the mesh; `groups` are those that it is a neighbour in."""

    name: str
    id: str
    rtt: float | None
    addresses: tuple[str, ...]  # where it can be dialled
    groups: tuple[str, ...]
    capacity: int  # children that it may have, about
    behind_nat: bool
    believed: bool  # when it tells of others
    score: float  # what is thought of it; below -20 it is left


@dataclass(frozen=True)
class MeshGroup:
    """A group whose overlay this node is in; `known` members besides the neighbours."""

    group: str  # or all: the overlay of all nodes
    neighbours: tuple[str, ...]
    known: int


@dataclass(frozen=True)
class MeshStream:
    """A stream at this node: where it comes from and goes to, and what is missing of it."""

    origin: str
    node: str
    group: str
    source: str
    begins_here: bool
    shared: bool  # it is a rendezvous point's, for all slow senders of the group; it has no source
    registered_with: str | None  # it begins here and is slow: the rendezvous point that sends it on
    wanted: bool  # by somebody here
    parent: str | None
    joining: str | None  # asked to be the parent
    children: tuple[str, ...]
    backups: tuple[str, ...]  # who would be asked next; the first few
    path: tuple[str, ...]  # the nodes that a packet passes, this one last; empty where it is not known
    feeds: int  # parents that it is to have
    second: str | None  # the other parent, with feeds = 2
    second_path: tuple[str, ...]  # as `path`, of what comes from there
    both_pass: tuple[str, ...]  # nodes that both pass, but for the origin
    delay: float  # of that way, by half round trips
    highest: int  # sequence number
    missing: int  # packets that are asked for now
    kept: int  # packets for who asks
    packet_rate: float
    rate: float  # bits/s
    counters: dict[str, int]


@dataclass(frozen=True)
class MeshLeftAlone:
    """A node that is not dealt with for a while, as it broke promises, or floods."""

    name: str
    id: str
    address: str  # where its link was
    seconds: int  # that are left of it
    why: str


@dataclass(frozen=True)
class MeshSeed:
    """Whom the node asks first, as [overlay] seeds has it; `why`: the last try reached nobody."""

    seed: str
    why: str


@dataclass(frozen=True)
class MeshStatus:
    """Of a node whose engine is mesh."""

    seeds: tuple[MeshSeed, ...]
    role: str
    uplink: int  # kbit/s
    dialable: bool
    feeds: int  # parents that each stream is to have
    feeds_groups: tuple[str, ...]  # prefixes of the only groups that have so many; empty: all
    rotate: float  # seconds after which a parent is another one; 0: while it is good
    neighbours: tuple[MeshNeighbour, ...]
    groups: tuple[MeshGroup, ...]
    everybody: MeshGroup | None
    streams: tuple[MeshStream, ...]
    streams_not_shown: int
    left_alone: tuple[MeshLeftAlone, ...]  # the last ones
    left_alone_not_shown: int
    counters: dict[str, int]


@dataclass(frozen=True)
class RecoveryStatus:
    """Of a node that repairs losses on static links; packets of all streams, and messages of partners."""

    deadline: float
    partners: tuple[str, ...]  # peers that do so, too
    missing: int  # packets that are asked for now
    kept: int  # packets for who asks
    counters: dict[str, int]


@dataclass(frozen=True)
class FecLink:
    """A link whose two ends know forward error correction."""

    peer: str
    loss: float | None  # of what goes out over it, 0 to 1, as both ends count it
    rows: int  # of parity behind each block; 0: none is sent
    rebuilds: bool  # parity comes over it


@dataclass(frozen=True)
class FecStatus:
    """Of a node that has it: rows of parity, and packets, of all links."""

    mode: str  # auto or on
    block: int  # packets of one block
    links: tuple[FecLink, ...]
    counters: dict[str, int]


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
    streams: tuple[HealthStatus, ...]  # those that are watched, and what else passes
    nodes: tuple[ReachStatus, ...]
    mesh: MeshStatus | None
    recovery: RecoveryStatus | None
    fec: FecStatus | None
    sessions: tuple[SessionStatus, ...]
    totals: TotalsStatus
    outputs: tuple[OutputStatus, ...]
    web: WebStatus
    counters: dict[str, int]
    event_counts: dict[str, int]  # how many of each kind there were, said or not
    warnings: tuple[str, ...]
    refused_reload: RefusedReload | None  # the last one, until node.ini is taken again

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = unfolded(self)
        return found

    def json(self) -> bytes:
        """The same as JSON, without dictionaries in between."""
        return json.dumps(self, default=vars).encode() + b"\n"


ATOMS = frozenset((str, int, float, bool, type(None)))


def unfolded(value: Any) -> Any:
    """A value with its dataclasses as dicts, as dataclasses.asdict() gives it, and at a fraction of its cost:
    what stands in a status is frozen, so nothing is copied that is the same on both sides."""
    if isinstance(value, tuple):
        return tuple([each if type(each) in ATOMS else unfolded(each) for each in value])
    if isinstance(value, dict):
        parts = value
    elif is_dataclass(value):
        parts = vars(value)
    else:
        return value
    return {name: each if type(each) in ATOMS else unfolded(each) for name, each in parts.items()}
