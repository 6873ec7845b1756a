"""Is a stream well?  What is wrong now, in words, the worst first.

Bad is what people see or hear: packets missing, tables or sound missing, no sync, nothing at all.  A warning
is what a decoder gets over and an engineer wants to know.  What is older than RECENT is over: the counts tell
of it.
"""

from collections.abc import Iterator
from enum import Enum

from multicastmw.core.health import errors as names
from multicastmw.core.health.stream import Kind, WatchedStream

# What we chose.
RECENT = 10.0  # seconds
SETTLED = 2.0  # seconds of a stream that a verdict takes: every table comes four times
SILENT = 2.0  # seconds without a packet
REPORTS_SILENT = 15.0  # the same of RTCP, which comes every 5 s or so
UNEVEN = 0.05  # seconds of jitter; small decoders keep 100 ms
REASONS_MAX = 4


class Health(Enum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"


def verdict(stream: WatchedStream, unseen_at: float, now: float) -> tuple[Health, str]:
    """The health and the reason for it; `unseen_at`: when this process last was too slow to look at all."""
    if stream.kind in (Kind.TS, Kind.RTP) and now - stream.heard >= SILENT:
        return Health.BAD, f"no packet for {now - stream.heard:.0f} s"
    if now - unseen_at < RECENT:
        return Health.UNKNOWN, "this node is too busy to look at every packet"
    bad = list(_bad(stream, now))
    mild = list(_mild(stream, now))
    if bad or mild:
        return (Health.BAD if bad else Health.WARN), "; ".join((bad + mild)[:REASONS_MAX])
    if now - stream.since < SETTLED:
        return Health.UNKNOWN, f"looked at for {now - stream.since:.1f} s; a verdict takes {SETTLED:.0f} s"
    if now - stream.heard >= (REPORTS_SILENT if stream.kind is Kind.RTCP else SILENT):
        return Health.UNKNOWN, f"no packet for {now - stream.heard:.0f} s"
    if stream.kind is Kind.UNKNOWN:
        return Health.UNKNOWN, "too few packets to tell what it is"
    return Health.OK, ""


def _bad(stream: WatchedStream, now: float) -> Iterator[str]:
    rtp, way = stream.rtp, stream.way
    if stream.ts and not stream.ts.synced:
        yield "no sync: what comes is no transport stream any more"
    if rtp and now - rtp.gap_at < RECENT and rtp.lost_source + rtp.lost_way:
        yield _by_whom("RTP packets are missing", rtp.lost_source, rtp.lost_way)
    yield from _errors(stream, names.FIRST_PRIORITY, now)
    if stream.kind in (Kind.UDP, Kind.UNKNOWN) and now - way.hole_at < RECENT and way.lost:
        yield _by_whom("packets are missing", 0, way.lost)


def _mild(stream: WatchedStream, now: float) -> Iterator[str]:
    rtp, ts = stream.rtp, stream.ts
    yield from _errors(stream, names.SECOND_PRIORITY, now)
    if rtp and now - rtp.late_at < RECENT:
        yield _by_whom("RTP packets out of order", rtp.reordered_source, rtp.reordered_way)
    if rtp and rtp.jitter > UNEVEN:
        yield f"RTP jitter of {rtp.jitter * 1000:.0f} ms"
    jitter = ts.jitter() if ts else None
    if jitter and jitter[0] > UNEVEN:
        whose = ", the source's own" if jitter[1] > UNEVEN else ", which the way added"
        yield f"PCR jitter of {jitter[0] * 1000:.0f} ms{whose}"


def _errors(stream: WatchedStream, kinds: tuple[str, ...], now: float) -> Iterator[str]:
    if not stream.ts:
        return
    for found in stream.ts.errors.found():
        if found.name in kinds and now - found.last < RECENT:
            yield _by_whom(found.name, found.source, found.way)


def _by_whom(what: str, source: int, way: int) -> str:
    """The source had N, the way added M."""
    whose = [f"the source {source}"] if source else []
    whose += [f"the way {way}"] if way else []
    return f"{what}: {', '.join(whose)}"
