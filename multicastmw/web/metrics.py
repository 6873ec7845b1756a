"""/metrics for Prometheus: one status snapshot as families of samples, rendered a family a turn.

Few series: of a peer some twenty, of all else sums; groups and sources are no labels, as their number is
not ours to bound.  docs/metrics.rst names every metric, and a test holds it to what is served.  This is a
list, hence its length.

A counter never falls.  What is lost does, when it comes late after all, so the highest is shown.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.server import NOT_DONE_YET, Request

from multicastmw.core.fec.counters import FecCounters
from multicastmw.core.fragments import OUTCOMES as REASSEMBLY
from multicastmw.core.status import FecLink, PeerStatus, Status
from multicastmw.web.http import Leaf, pour

KIND = b"text/plain; version=0.0.4; charset=utf-8"

# What we chose: of the counters of a part, those that say why packets went no further.
TAP_DROPS = (
    "denied",
    "failed",
    "filtered",
    "from_gateways",
    "link_local",
    "malformed",
    "not_ip_multicast",
    "reserved",
    "stood_by_from_lan",
    "stood_by_to_lan",
    "unknown_kind",
)
DROPS = (
    "datagrams_dropped",
    "datagrams_short",
    "from_ourselves",
    "hop_limit_zero",
    "malformed",
    "other_link",
    "too_many_streams",
    "udp_buffer_full",
    "unasked",
    "unwanted",
)
FEC_TROUBLES = ("malformed", "out_of_order", "over_bound", "short", "unknown_streams", "useless")
DOOR = ("cycles_refused", "links_refused", "turned_away")
INSIDE = ("sessions", "monitor")  # who joins fragments for itself, beside the TAP and HTTP output
PEER_TROUBLES = (
    "bad_probes",
    "channels_refused",
    "held",
    "nodes_refused",
    "over_tcp_too_long",
    "probes_over_bound",
    "repointed",
    "send_errors",
    "socket_full",
    "unknown_messages",
    "unknown_objects",
)
WEB_REFUSALS = ("foreign_host", "other_site", "sent_away", "turned_away", "wrong_token")
SAP = (
    "announced",
    "deleted",
    "deletions_unknown",
    "displaced",
    "encrypted",
    "evicted",
    "expired",
    "malformed",
    "not_read",
    "other_types",
    "received",
    "refused",
    "replayed",
    "replays_refused",
)
QUESTIONS = (
    "answers",
    "answers_over_rate",
    "forged",
    "malformed",
    "not_for_us",
    "not_sent",
    "our_own_not_sent",
    "over_rate",
    "questions",
    "refused",
    "repeated",
    "sent",
    "unknown_kind",
)
MONITOR = ("reports_not_read", "tables_cut", "tables_not_read")
HEALTH = ("ok", "warn", "bad", "unknown")
STATES = ("up", "dialling", "waiting", "standby")
QUERIER_STATES = ("querier", "standing by", "off")

Labels = tuple[str, ...]
Samples = Iterable[tuple[Labels, float]]


class One:
    """One snapshot's families."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def text(families: Iterable[Metric]) -> bytes:
    """In Prometheus' text format."""
    found: bytes = generate_latest(One(families))
    return found


class Highest:
    """What counters have reached; of a value that falls the highest stays."""

    def __init__(self) -> None:
        self._reached: dict[str, float] = {}

    def __call__(self, name: str, value: float) -> float:
        reached = self._reached[name] = max(value, self._reached.get(name, value))
        return reached


def gauge(name: str, says: str, value: float) -> Metric:
    return gauges(name, says, (), [((), value)])


def gauges(name: str, says: str, labels: Labels, samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, says, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def counter(name: str, says: str, value: float) -> Metric:
    return counters(name, says, (), [((), value)])


def counters(name: str, says: str, labels: Labels, samples: Samples) -> Metric:
    family = CounterMetricFamily(name, says, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def of(counts: dict[str, int], names: Iterable[str], prefix: str = "") -> Samples:
    """Those of the counters, by their names."""
    return [((name,), counts.get(prefix + name, 0)) for name in names]


def families(status: Status, highest: Highest) -> Iterator[Metric]:
    """All of them."""
    yield from node(status)
    yield from tap(status)
    yield from igmp(status)
    yield from fastpath(status)
    yield from fec(status)
    yield from peers(status.peers)
    yield from traffic(status, highest)
    yield from inside(status)
    yield from mesh(status)
    yield from web(status)


def node(status: Status) -> Iterator[Metric]:
    here = status.node
    info = InfoMetricFamily("mcmw_node", "What the node is; always 1.")
    info.add_metric((), {"name": here.name, "id": here.id, "version": here.version, "engine": here.engine})
    yield info
    yield gauge("mcmw_uptime_seconds", "Seconds since the node was started.", here.uptime)
    yield gauge("mcmw_listening", "1 where peers may dial in.", here.listening is not None)
    yield gauge("mcmw_warnings", "What `mcmw show pending` lists as warnings.", len(status.warnings))
    yield gauge(
        "mcmw_reload_refused",
        "1 while node.ini is not what runs, as it was wrong when it was read again.",
        status.refused_reload is not None,
    )
    if here.tls:
        yield gauge(
            "mcmw_tls_certificate_expires_in_seconds",
            "Seconds that the node's own certificate is still good; negative afterwards.",
            here.tls.expires_in,
        )
        yield gauge(
            "mcmw_tls_certificate_not_renewed",
            "1 where the file has one that is not in use, as it does not do.",
            bool(here.tls.not_renewed),
        )
    yield counters(
        "mcmw_events_total",
        "What happened, by the kind of event.",
        ("kind",),
        [((kind,), count) for kind, count in sorted(status.event_counts.items())],
    )
    yield counter(
        "mcmw_late_seconds_total",
        "Seconds that timers came late, one a second: its rate is the mean delay of the reactor.",
        here.late,
    )
    yield counter(
        "mcmw_stops_total",
        "Times that the process did not run for more than two seconds.",
        status.counters["stops"],
    )
    yield counter("mcmw_sleeps_total", "Times that the host was suspended.", status.counters["sleeps"])
    yield gauge("mcmw_nodes", "Nodes of the overlay that are reached.", len(status.nodes))
    yield gauges(
        "mcmw_peers",
        "Peers by state: standby is as it should be, dialling and waiting are not.",
        ("state",),
        [((state,), sum(peer.state == state for peer in status.peers)) for state in STATES],
    )
    yield counters(
        "mcmw_refused_links_total",
        "Callers and links that were refused.",
        ("reason",),
        of(status.counters, DOOR),
    )
    yield counter("mcmw_opened_links_total", "Links that came up.", status.counters["opened"])
    yield counter(
        "mcmw_dialled_in_links_total",
        "Links that came up and that other hosts had dialled: the port is reached.",
        status.counters["dialled_in"],
    )


def tap(status: Status) -> Iterator[Metric]:
    here, counts = status.tap, status.tap.counters
    yield gauge("mcmw_tap_up", "1 where the TAP is up and programs can send and receive.", here.state == "up")
    yield gauge("mcmw_tap_mtu_bytes", "The TAP's MTU; 0 while it is not there.", here.mtu)
    both = (("from_programs", "received"), ("to_programs", "delivered"))
    yield counters(
        "mcmw_tap_packets_total",
        "IP packets from this host's programs, and to them.",
        ("direction",),
        [((way,), counts[name]) for way, name in both],
    )
    yield counters(
        "mcmw_tap_bytes_total",
        "Bytes of these packets.",
        ("direction",),
        [((way,), counts[f"{name}_bytes"]) for way, name in both],
    )
    yield counters(
        "mcmw_tap_dropped_packets_total",
        "Packets that went no further at the TAP.",
        ("reason",),
        of(counts, TAP_DROPS),
    )
    yield counter(
        "mcmw_tap_kernel_dropped_packets_total",
        "Frames that the node was too slow to read.",
        here.kernel_drops,
    )
    yield counter(
        "mcmw_tap_ttl_raised_packets_total",
        "Packets whose TTL was raised to [tap] ttl-floor.",
        counts["ttl_raised"],
    )
    yield counter(
        "mcmw_tap_fragments_made_total", "Pieces that longer packets were cut into.", counts["fragments_made"]
    )
    yield counter("mcmw_tap_igmp_packets_total", "IGMP packets from this host or its LAN.", counts["igmp"])
    if "reassembly_joined" in counts:
        yield counters(
            "mcmw_reassembly_outcomes_total",
            "Fragments of packets: what became of them.",
            ("outcome",),
            of(counts, REASSEMBLY, "reassembly_"),
        )
        yield gauge(
            "mcmw_reassembly_held_bytes",
            "Bytes of packets that are not complete.",
            counts["reassembly_held_bytes"],
        )
        yield gauge(
            "mcmw_reassembly_held_packets", "Packets that are not complete.", counts["reassembly_held_sets"]
        )
    if here.gateway:
        yield gauge(
            "mcmw_gateway_forwarding",
            "1 where this node forwards for the LAN behind its TAP.",
            here.gateway.state == "forwarding",
        )
        yield gauge(
            "mcmw_gateway_others", "Other gateways of this overlay on the same LAN.", len(here.gateway.others)
        )
        yield counters(
            "mcmw_gateway_events_total",
            "What gateways said to each other, and takeovers.",
            ("kind",),
            of(here.gateway.counters, sorted(here.gateway.counters)),
        )


def igmp(status: Status) -> Iterator[Metric]:
    querier = status.querier
    yield gauges(
        "mcmw_igmp_querier",
        "1 for what the querier does: querier, standing_by (another asks), off.",
        ("state",),
        [((state.replace(" ", "_"),), querier.state == state) for state in QUERIER_STATES],
    )
    yield counters(
        "mcmw_igmp_messages_total",
        "IGMP messages by what they were, or why they did not count.",
        ("kind",),
        of(querier.counters, sorted(querier.counters)),
    )


def fastpath(status: Status) -> Iterator[Metric]:
    here = status.fastpath
    yield gauge("mcmw_fastpath_on", "1 where the kernel forwards what it can.", here.on)
    yield gauge("mcmw_fastpath_wanted", "1 unless [fastpath] mode = off.", here.mode != "off")
    yield gauge("mcmw_fastpath_routes", "Streams that the kernel has, one for each origin.", here.routes)
    yield counter(
        "mcmw_fastpath_forced_total",
        "Times that a stream went on in the kernel while packets of it waited here, as the node was slow.",
        here.forced,
    )
    yield counters(
        "mcmw_fastpath_packets_total",
        "Packets by what became of them in the kernel.",
        ("outcome",),
        of(here.counters, here.counters),
    )


def fec(status: Status) -> Iterator[Metric]:
    """Forward error correction; all 0 where it is off."""
    links: tuple[FecLink, ...] = status.fec.links if status.fec else ()
    counts = status.fec.counters if status.fec else dict.fromkeys(FecCounters.__slots__, 0)
    protected = sum(each.rows > 0 for each in links)
    yield gauge("mcmw_fec_links", "Links whose two ends know forward error correction.", len(links))
    yield gauge("mcmw_fec_links_protected", "Those of them that parity is sent over.", protected)
    yield counter("mcmw_fec_rebuilt_packets_total", "Packets that parity gave back here.", counts["rebuilt"])
    yield counter("mcmw_fec_sent_total", "Rows of parity that were sent.", counts["sent"])
    yield counter("mcmw_fec_sent_bytes_total", "Bytes of these.", counts["sent_bytes"])
    yield counter("mcmw_fec_received_total", "Rows of parity that came.", counts["received"])
    yield counters(
        "mcmw_fec_troubles_total",
        "Rows that were of no use or not sent, and packets that were not protected or not rebuilt.",
        ("reason",),
        of(counts, FEC_TROUBLES),
    )


def peers(found: tuple[PeerStatus, ...]) -> Iterator[Metric]:
    """By name; of several of one name the one that is up."""
    by_name: dict[str, PeerStatus] = {}
    for peer in found:
        if peer.name not in by_name or peer.state == "up":
            by_name[peer.name] = peer
    every = [((peer.name,), peer) for peer in by_name.values()]
    up = [(name, peer) for name, peer in every if peer.state == "up"]
    label = ("peer",)

    def all_of(value: Callable[[PeerStatus], float]) -> Samples:
        return [(name, value(peer)) for name, peer in every]

    def up_of(value: Callable[[PeerStatus], float]) -> Samples:
        return [(name, value(peer)) for name, peer in up]

    yield gauges("mcmw_peer_up", "1 where the link is up.", label, all_of(lambda p: p.state == "up"))
    yield gauges(
        "mcmw_peer_standby",
        "1 where the link would close a cycle, and waits for its time.",
        label,
        all_of(lambda p: p.state == "standby"),
    )
    yield gauges("mcmw_peer_state_seconds", "Seconds in this state.", label, all_of(lambda p: p.since))
    yield gauges(
        "mcmw_peer_rtt_seconds",
        "Round trip of the data path, smoothed.",
        label,
        [(name, peer.rtt) for name, peer in up if peer.rtt is not None],
    )
    yield gauges(
        "mcmw_peer_jitter_seconds",
        "How much one round trip differs from the next, smoothed.",
        label,
        [(name, peer.jitter) for name, peer in up if peer.jitter is not None],
    )
    yield gauges(
        "mcmw_peer_probe_loss_ratio",
        "The share of the last minute's probes that nobody answered.",
        label,
        [(name, peer.loss) for name, peer in up if peer.loss is not None],
    )
    yield gauges(
        "mcmw_peer_data_on_udp", "1 where data go on UDP, 0 on TCP.", label, up_of(lambda p: p.data == "udp")
    )
    yield gauges("mcmw_peer_fast", "1 where the kernel may serve it.", label, up_of(lambda p: p.fast))
    yield gauges("mcmw_peer_channels", "Channels that it wants.", label, up_of(lambda p: p.channels))
    yield gauges(
        "mcmw_peer_nodes", "Nodes behind it, itself among them.", label, up_of(lambda p: len(p.nodes))
    )
    yield gauges(
        "mcmw_peer_queue_packets",
        "Packets that wait for its TCP connection.",
        label,
        up_of(lambda p: p.queue),
    )
    yield counters(
        "mcmw_peer_falls_to_tcp_total", "Times that data fell back to TCP.", label, up_of(lambda p: p.falls)
    )
    both = (("sent", "sent"), ("received", "received"))
    way = ("peer", "direction")
    yield counters(
        "mcmw_peer_packets_total",
        "Packets over the link.",
        way,
        [((*name, word), peer.counters[key]) for name, peer in up for word, key in both],
    )
    yield counters(
        "mcmw_peer_bytes_total",
        "Bytes of these, with our header.",
        way,
        [((*name, word), peer.counters[f"{key}_bytes"]) for name, peer in up for word, key in both],
    )
    yield counters(
        "mcmw_peer_tcp_packets_total",
        "Of these, those over TCP.",
        way,
        [((*name, word), peer.counters[f"{key}_tcp"]) for name, peer in up for word, key in both],
    )
    yield counters(
        "mcmw_peer_dropped_packets_total",
        "Packets for it that found no room: in its queue for TCP, in the kernel.",
        ("peer", "where"),
        [
            ((*name, where), count)
            for name, peer in up
            for where, count in (("queue", peer.queue_drops), ("kernel", peer.kernel_drops))
        ],
    )
    yield counters(
        "mcmw_peer_troubles_total",
        "What else a link had to treat otherwise, of all links that are up.",
        ("kind",),
        [((kind,), sum(peer.counters.get(kind, 0) for _, peer in up)) for kind in PEER_TROUBLES],
    )


def traffic(status: Status, highest: Highest) -> Iterator[Metric]:
    counts, totals = status.counters, status.totals
    groups, routes = status.groups, status.routes
    yield gauge(
        "mcmw_groups",
        "Channels that somebody wants.",
        sum(bool(each.wanted_by) for each in groups) + counts["groups_not_shown"],
    )
    yield gauge(
        "mcmw_groups_denied",
        "Channels that programs here want and [groups] keeps out.",
        sum(each.denied for each in groups),
    )
    yield gauge(
        "mcmw_groups_joined",
        "Channels that hosts on the TAP have joined.",
        sum(each.version is not None for each in groups),
    )
    yield gauge(
        "mcmw_routes",
        "Sources and groups that packets came along lately.",
        len(routes) + counts["routes_not_shown"],
    )
    yield gauge(
        "mcmw_routes_fast", "Of these, those that the kernel forwards.", sum(each.fast for each in routes)
    )
    yield gauge(
        "mcmw_routes_to_nobody", "Of these, those that nobody wants now.", sum(not each.to for each in routes)
    )
    yield gauge("mcmw_streams", "Streams from other nodes.", sum(len(each.streams) for each in routes))
    yield counter("mcmw_packets_total", "IP packets of all routes.", totals.packets)
    yield counter("mcmw_bytes_total", "Bytes of these packets.", totals.bytes)
    yield counter("mcmw_packets_to_nobody_total", "Of these, those that nobody wanted.", totals.to_nobody)
    yield counter(
        "mcmw_packets_died_of_ttl_total", "Of these, those whose TTL was used up.", totals.died_of_ttl
    )
    yield counter(
        "mcmw_stream_packets_received_total", "Packets from other nodes, each once.", totals.received
    )
    for name, says in (
        ("lost", "Packets from other nodes that did not come, by their numbers."),
        ("duplicates", "Packets from other nodes that came again, and were dropped."),
        ("reordered", "Packets from other nodes that others overtook."),
        ("late", "Packets from other nodes that came too late to be told from duplicates."),
    ):
        value = highest(name, getattr(totals, name))
        yield counter(f"mcmw_stream_packets_{name}_total", says, value)
    yield counters(
        "mcmw_dropped_packets_total",
        "Packets and datagrams that went no further than this node's door.",
        ("reason",),
        of(counts, DROPS),
    )


def inside(status: Status) -> Iterator[Metric]:
    """What wants streams, or looks at them, in this process."""
    counts = status.counters
    on_http = status.web.counters
    yield gauge(
        "mcmw_sessions", "Sessions that are announced, as far as they are kept.", len(status.sessions)
    )
    yield counters(
        "mcmw_sap_total",
        "Announcements and sessions, by what became of them.",
        ("outcome",),
        of(counts, SAP, "sap_"),
    )
    yield counters(
        "mcmw_inside_reassembly_outcomes_total",
        "Packets in pieces that were joined for parts of this process, and pieces and sets that were not.",
        ("part", "outcome"),
        [((part, name), counts[f"{part}_reassembly_{name}"]) for part in INSIDE for name in REASSEMBLY]
        + [(("http", name), on_http.get(f"output_reassembly_{name}", 0)) for name in REASSEMBLY],
    )
    yield gauges(
        "mcmw_watched_streams",
        "Streams that somebody looks at, by their health.",
        ("health",),
        [
            ((kind,), sum(each.health == kind and (each.lease_left or 0) > 0 for each in status.streams))
            for kind in HEALTH
        ],
    )
    yield counter(
        "mcmw_monitor_skipped_packets_total",
        "Packets of watched streams that were not looked at, above the bound.",
        counts["not_looked_at"],
    )
    yield counters(
        "mcmw_monitor_not_read_total",
        "What was in packets of watched streams and was not read, above the bounds.",
        ("what",),
        of(counts, MONITOR, "monitor_"),
    )
    yield counters(
        "mcmw_questions_total",
        "Questions between nodes (ping, matrix, trace) and answers, by what became of them.",
        ("outcome",),
        of(counts, QUESTIONS, "probing_"),
    )


def web(status: Status) -> Iterator[Metric]:
    counts = status.web.counters
    yield gauge("mcmw_web_callers", "Connections to the web service.", status.web.callers)
    yield counter("mcmw_web_requests_total", "Requests to it.", counts["requests"])
    yield counters(
        "mcmw_web_refused_total",
        "Requests and connections that were refused.",
        ("reason",),
        of(counts, WEB_REFUSALS),
    )
    yield gauge(
        "mcmw_output_clients",
        "Players that watch a stream over HTTP.",
        sum(each.clients for each in status.outputs),
    )
    yield counter("mcmw_output_bytes_total", "Bytes for them.", counts.get("output_sent_bytes", 0))
    yield counter("mcmw_output_packets_total", "Payloads for them.", counts.get("output_sent", 0))
    yield counter(
        "mcmw_output_lost_packets_total",
        "Payloads that they were too slow for.",
        counts.get("output_lost", 0),
    )
    yield counter(
        "mcmw_output_refused_total", "Players for whom there was no room.", counts.get("output_refused", 0)
    )
    yield counter(
        "mcmw_output_unanswered_total", "Players for whom nothing came.", counts.get("output_unanswered", 0)
    )


def mesh(status: Status) -> Iterator[Metric]:
    """Of an engine mesh; all 0 where it is another."""
    found = status.mesh
    base = found.everybody if found else None
    streams = found.streams if found else ()
    came = Counter("here" if each.begins_here else "parent" if each.parent else "nobody" for each in streams)
    yield gauge(
        "mcmw_mesh_neighbours",
        "Nodes of the mesh that there is a link with.",
        len(found.neighbours if found else ()),
    )
    yield gauge(
        "mcmw_mesh_known_nodes",
        "Nodes of the mesh that this one knows, its neighbours among them.",
        base.known + len(base.neighbours) if base else 0,
    )
    yield gauge(
        "mcmw_mesh_groups", "Groups that this node is a member of.", len(found.groups if found else ())
    )
    yield gauges(
        "mcmw_mesh_streams",
        "Streams at this node, by where they come from.",
        ("origin",),
        [((name,), came[name]) for name in ("here", "parent", "nobody")],
    )
    yield gauge(
        "mcmw_mesh_children",
        "Nodes that get one of these from here, of each.",
        sum(len(each.children) for each in streams),
    )
    yield gauge(
        "mcmw_mesh_missing_packets", "Packets that are asked for now.", sum(each.missing for each in streams)
    )


class Metrics(Leaf):
    """The resource; a family is rendered a turn of the reactor, so that packets pass in between."""

    def __init__(self, status: Callable[[], Status], reactor: Any) -> None:
        super().__init__()
        self._status = status
        self._reactor = reactor
        self._highest = Highest()

    def render_GET(self, request: Request) -> Any:
        left: list[object] = []
        request.notifyFinish().addBoth(left.append)
        Deferred.fromCoroutine(self._answer(request, self._status(), left)).addErrback(
            request.processingFailed
        )
        return NOT_DONE_YET

    async def _answer(self, request: Request, status: Status, left: list[object]) -> None:
        parts = []
        for family in families(status, self._highest):
            parts.append(text([family]))
            await deferLater(self._reactor, 0)
            if left:  # who asked has gone
                return
        body = b"".join(parts)
        request.setHeader(b"content-type", KIND)
        request.setHeader(b"content-length", b"%d" % len(body))
        pour(request, b"" if request.method == b"HEAD" else body, self._reactor)
