"""What is known of the streams, as frozen values: a part of the status snapshot.

Errors are counted since the watch began.  Times are seconds, rates are of the last whole second.
"""

from dataclasses import dataclass

from multicastmw.core.health.stream import Kind, WatchedStream
from multicastmw.core.health.transport import TransportStream
from multicastmw.core.health.verdict import verdict
from multicastmw.core.health.way import Way

# What we chose: PIDs of a stream that are shown, the busiest; their number says how many there are.
PIDS_SHOWN = 64
PROGRAMMES_SHOWN = 32


@dataclass(frozen=True)
class ErrorStatus:
    """One kind of error, by its name in TR 101 290."""

    name: str
    source: int  # times that the source is at fault
    way: int  # and the way through the overlay
    ago: float  # since the last


@dataclass(frozen=True)
class ElementaryStatus:
    pid: int
    codec: str


@dataclass(frozen=True)
class ProgrammeStatus:
    """`name` and `provider` are the source's own words, empty where it has said none."""

    number: int
    name: str
    provider: str
    pmt_pid: int
    pcr_pid: int | None
    streams: tuple[ElementaryStatus, ...]


@dataclass(frozen=True)
class TransportStatus:
    packets: int  # of 188 bytes
    null_share: float
    pids: dict[str, int]  # packets of the busiest
    pids_known: int
    over_bound: int  # packets of PIDs above the bound, which are not looked at
    synced: bool
    pcr_jitter: float | None  # smoothed, where it comes here
    pcr_jitter_source: float | None  # and where it came to the overlay


@dataclass(frozen=True)
class RtpStatus:
    ssrc: str
    payload_type: int
    received: int
    lost_source: int
    lost_way: int
    reordered_source: int
    reordered_way: int
    duplicates: int
    restarts: int
    ssrc_changes: int
    jitter: float  # RFC 3550, 6.4.1
    cname: str
    goodbyes: int  # RTCP BYE
    reports: int  # of the sender (RTCP), and
    reported_sent: int  # between the first and the last of them
    reported_lost: int


@dataclass(frozen=True)
class OverlayStatus:
    """The (S, G) on its way, whatever the port."""

    received: int
    lost: int
    duplicates: int
    reordered: int
    delay: float  # above the shortest, smoothed
    delay_max: float  # above the shortest, of the last seconds


@dataclass(frozen=True)
class HealthStatus:
    """One stream; `health` is ok, warn, bad, or unknown where nobody looks, and `reason` why, in words."""

    group: str
    source: str
    port: int | None  # None: known from its route alone
    node: str | None  # where it comes into the overlay
    kind: str  # ts, rtp, rtcp, udp or unknown
    bitrate: float | None  # bits/s of UDP payloads; of IP packets where nobody looks
    packets_per_second: float | None
    smallest: int | None  # bytes
    largest: int | None
    gap: float | None  # the longest from one packet to the next, lately
    programmes: tuple[ProgrammeStatus, ...]
    codecs: tuple[str, ...]
    errors: tuple[ErrorStatus, ...]
    source_errors: int  # of TR 101 290, and RTP packets that are missing
    way_errors: int
    transport: TransportStatus | None
    rtp: RtpStatus | None
    overlay: OverlayStatus | None
    health: str
    reason: str
    watched_for: float | None  # of what nobody looks at there is neither
    lease_left: float | None


def not_watched(
    group: str, source: str, node: str | None, reason: str,
    bitrate: float | None = None, packets_per_second: float | None = None,
) -> HealthStatus:  # fmt: skip
    """A stream that passes and nobody looks at."""
    return HealthStatus(
        group, source, None, node, Kind.UNKNOWN.value, bitrate, packets_per_second,
        None, None, None, (), (), (), 0, 0,
        None, None, None, "unknown", reason, None, None,
    )  # fmt: skip


def watched(
    stream: WatchedStream, group: str, source: str, node: str | None, doubled: int, unseen_at: float,
    until: float, now: float,
) -> HealthStatus:  # fmt: skip
    """`doubled`: packets that the node has dropped as such; `unseen_at`: when it last was too slow."""
    stream.rate.look(now)
    ts, rtp, way = stream.ts, stream.rtp, stream.way
    found = ts.errors.found() if ts else []
    programmes = _programmes(ts) if ts else ()
    codecs = dict.fromkeys(each.codec for programme in programmes for each in programme.streams)
    bare = stream.kind in (Kind.UDP, Kind.UNKNOWN)
    health, reason = verdict(stream, unseen_at, now)
    return HealthStatus(
        group=group,
        source=source,
        port=stream.port,
        node=node,
        kind=stream.kind.value,
        bitrate=round(stream.rate.bits, 1),
        packets_per_second=round(stream.rate.per_second, 1),
        smallest=stream.smallest,
        largest=stream.largest,
        gap=round(max(stream.gap.high, now - stream.heard), 4),
        programmes=programmes,
        codecs=tuple(codecs),
        errors=tuple(
            ErrorStatus(each.name, each.source, each.way, round(now - each.last, 3)) for each in found
        ),
        source_errors=sum(each.source for each in found) + (rtp.lost_source if rtp else 0),
        way_errors=sum(each.way for each in found) + (rtp.lost_way if rtp else way.lost if bare else 0),
        transport=_transport(ts) if ts else None,
        rtp=_rtp(stream) if rtp else None,
        overlay=_overlay(way, doubled),
        health=health.value,
        reason=reason,
        watched_for=round(now - stream.since, 3),
        lease_left=round(max(0.0, until - now), 3),
    )


def _programmes(ts: TransportStream) -> tuple[ProgrammeStatus, ...]:
    found = []
    for number, pmt_pid in list(ts.tables.pmt_pids.items())[:PROGRAMMES_SHOWN]:
        pmt, service = ts.tables.pmts.get(number), ts.tables.services.get(number)
        found.append(
            ProgrammeStatus(
                number=number,
                name=service.name if service else "",
                provider=service.provider if service else "",
                pmt_pid=pmt_pid,
                pcr_pid=pmt.pcr_pid if pmt else None,
                streams=tuple(ElementaryStatus(each.pid, each.codec) for each in pmt.streams) if pmt else (),
            )
        )
    return tuple(found)


def _transport(ts: TransportStream) -> TransportStatus:
    counts, jitter = ts.counts(), ts.jitter()
    return TransportStatus(
        packets=ts.packets,
        null_share=round(ts.nulls / ts.packets, 4) if ts.packets else 0.0,
        pids={f"{pid}": count for pid, count in list(counts.items())[:PIDS_SHOWN]},
        pids_known=len(counts),
        over_bound=ts.over_bound,
        synced=ts.synced,
        pcr_jitter=round(jitter[0], 6) if jitter else None,
        pcr_jitter_source=round(jitter[1], 6) if jitter else None,
    )


def _rtp(stream: WatchedStream) -> RtpStatus:
    rtp = stream.rtp
    assert rtp
    return RtpStatus(
        ssrc=f"{max(0, rtp.ssrc):08x}",
        payload_type=rtp.payload_type,
        received=rtp.received,
        lost_source=rtp.lost_source,
        lost_way=rtp.lost_way,
        reordered_source=rtp.reordered_source,
        reordered_way=rtp.reordered_way,
        duplicates=rtp.duplicates,
        restarts=rtp.restarts,
        ssrc_changes=rtp.ssrc_changes,
        jitter=round(rtp.jitter, 6),
        cname=rtp.cname,
        goodbyes=rtp.goodbyes,
        reports=rtp.reports,
        reported_sent=rtp.reported_sent,
        reported_lost=rtp.reported_lost,
    )


def _overlay(way: Way, doubled: int) -> OverlayStatus:
    delay, longest = way.above_shortest()
    return OverlayStatus(
        received=way.received,
        lost=way.lost,
        duplicates=max(0, way.duplicates + doubled),
        reordered=way.reordered,
        delay=round(delay, 6),
        delay_max=round(longest, 6),
    )
