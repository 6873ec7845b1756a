"""One stream, (S, G, port): first what it is, then what is wrong with it.

A datagram of five sync bytes where they belong is a transport stream's (TR 101 290 takes as many for sync),
bare or behind an RTP header.  Other RTP shows itself by three headers in a row that go on from each other.
What is neither is counted and timed only, and looked at again now and then.
"""

from collections.abc import Callable
from enum import Enum

from multicastmw.core.health.figures import Extremes, Throughput
from multicastmw.core.health.limits import Limits
from multicastmw.core.health.order import Held, Order
from multicastmw.core.health.rtp import GAP, IN_TURN, LATE, REPEATED, RESTART, RtpStream
from multicastmw.core.health.transport import ACQUIRED, TransportStream
from multicastmw.core.health.way import Way
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Buffer
from multicastmw.wire.mpegts import sync_bytes
from multicastmw.wire.rtp import (
    HEADER,
    PT_MP2T,
    VERSION,
    Rtcp,
    TooManyParts,
    is_rtcp,
    parse_rtcp,
    payload_start,
)

# What we chose.
HEADERS = 3  # RTP headers in a row that are believed without sync bytes behind them
NEAR = 100  # numbers from one to the next
LOOKS = 8  # datagrams after which it is neither, and
AGAIN = 256  # after which it is looked at once more
STRANGE_MAX = 64  # datagrams in a row that are not what the stream is: it has become another


class Kind(Enum):
    """What a stream is."""

    UNKNOWN = "unknown"
    TS = "ts"
    RTP = "rtp"
    RTCP = "rtcp"
    UDP = "udp"


class WatchedStream:
    """One (S, G, port)."""

    __slots__ = (
        "_beside", "_headers", "_limits", "_looks", "_next", "_order", "_room", "_ssrc", "_strange", "_syncs",
        "gap", "heard", "kind", "largest", "port", "rate", "rtp", "since", "smallest", "ts", "way",
    )  # fmt: skip

    def __init__(
        self, port: int, way: Way, now: float, beside: Callable[[int], "WatchedStream | None"], limits: Limits
    ) -> None:
        """`beside` gives the stream of the same (S, G) on another port."""
        self._beside = beside
        self._limits = limits
        self.port = port
        self.way = way
        self.since = self.heard = now
        self.kind = Kind.UNKNOWN
        self.rate = Throughput(now)
        self.smallest, self.largest = 0xFFFF, 0
        self.gap = Extremes(now)  # seconds from one packet to the next
        self.ts: TransportStream | None = None
        self.rtp: RtpStream | None = None
        self._room = way.room
        self._strange = 0  # datagrams in a row that are not what the stream is
        self._looks = self._headers = self._next = self._syncs = 0
        self._ssrc = -1
        self._order = Order()

    def accept(self, buffer: Buffer, start: int, end: int, now: float, sent: int, late: bool) -> None:
        """A datagram's payload in buffer[start:end]; `late`: it came behind its turn on the way."""
        size = end - start
        self.rate.add(size, now)
        self.gap.add(now - self.heard, now)
        self.heard = now
        if size < self.smallest:  # noqa: PLR1730
            self.smallest = size
        if size > self.largest:  # noqa: PLR1730
            self.largest = size
        kind = self.kind
        if kind is Kind.UNKNOWN:
            kind = self._guess(buffer, start, end, now, sent)
        if kind is Kind.TS:
            self._transport(buffer, start, end, now, sent)
        elif kind is Kind.RTP:
            self._rtp(buffer, start, end, now, sent, late)
        elif kind is Kind.RTCP:
            self._report(self._report_of(buffer, start, end))
        elif kind is Kind.UDP:
            self._looks += 1
            if self._looks >= AGAIN:
                self._become(Kind.UNKNOWN)
        self._room = self.way.room

    # --- what it is

    def _guess(self, buffer: Buffer, start: int, end: int, now: float, sent: int) -> Kind:
        self._looks += 1
        if self._report_of(buffer, start, end):
            self._become(Kind.RTCP)
        elif self._in_sync(sync_bytes(buffer, start, end)) >= ACQUIRED:
            self._become(Kind.TS)
            self.ts = TransportStream(now, sent, self.way.breaks, self._limits)
        elif self._looks_like_rtp(buffer, start, end):
            self._become(Kind.RTP)
            self.rtp = self.rtp or RtpStream()
        elif self._looks >= LOOKS:
            self._become(Kind.UDP)
        return self.kind

    def _in_sync(self, count: int) -> int:
        """Sync bytes in a row, over datagrams that hold nothing else."""
        self._syncs = self._syncs + count if count else 0
        return self._syncs

    def _looks_like_rtp(self, buffer: Buffer, start: int, end: int) -> bool:
        """By what is behind the header, or by the headers of several."""
        if end - start < HEADER.size or buffer[start] >> 6 != VERSION:
            self._headers = 0
            return False
        try:
            begin = payload_start(buffer, start, end)
        except Malformed:
            self._headers = 0
            return False
        if sync_bytes(buffer, begin, end) >= ACQUIRED:
            return True
        _, _, number, _, ssrc = HEADER.unpack_from(buffer, start)
        goes_on = ssrc == self._ssrc and 0 < (number - self._next & 0xFFFF) <= NEAR
        self._headers = self._headers + 1 if goes_on else 1
        self._next, self._ssrc = number, ssrc
        return self._headers >= HEADERS

    def _become(self, kind: Kind) -> None:
        self.kind = kind
        self._looks = self._headers = self._strange = self._syncs = 0

    def _is_strange(self) -> None:
        """A datagram that is not what the stream is; after many the stream is something else."""
        self._strange += 1
        if self._strange >= STRANGE_MAX:
            self._become(Kind.UNKNOWN)

    # --- what is wrong with it

    def _transport(self, buffer: Buffer, start: int, end: int, now: float, sent: int) -> None:
        assert self.ts
        self.ts.accept(buffer, start, end, now, sent, self.way.breaks)
        if self.ts.synced:
            self._strange = 0
        else:
            self._is_strange()

    def _rtp(self, buffer: Buffer, start: int, end: int, now: float, sent: int, late: bool) -> None:
        rtp = self.rtp
        assert rtp
        if said := self._report_of(buffer, start, end):  # on the same port (RFC 5761)
            self._report(said)
            return
        try:
            before = rtp.number
            verdict = rtp.accept(buffer, start, end, now, self.way.room - self._room, late)
        except Malformed:
            self._is_strange()
            return
        self._strange = 0
        if verdict == REPEATED:
            return
        begin, end = rtp.begin, rtp.end
        ts = self.ts
        if ts is None:
            if rtp.payload_type != PT_MP2T and sync_bytes(buffer, begin, end) < ACQUIRED:
                return
            ts = self.ts = TransportStream(now, sent, rtp.mark, self._limits)
        if verdict == IN_TURN and not self._order.is_waiting:
            ts.accept(buffer, begin, end, now, sent, rtp.mark)
        elif verdict != LATE or self._order.is_waiting:  # what was given up is not looked at
            self._in_order(ts, verdict, before, Held(bytes(buffer[begin:end]), now, sent, rtp.mark))

    def _in_order(self, ts: TransportStream, verdict: int, before: int, held: Held) -> None:
        rtp, order = self.rtp, self._order
        assert rtp
        ready: list[Held] = []
        if verdict == RESTART:
            ready = order.clear()
            order.next = rtp.number
        elif verdict == GAP and not order.is_waiting:
            order.next = before + 1
        ready += order.accept(rtp.late_number if verdict == LATE else rtp.number, held)
        for each in ready:
            ts.accept(each.payload, 0, len(each.payload), each.now, each.sent, each.mark)

    def _report_of(self, buffer: Buffer, start: int, end: int) -> Rtcp | None:
        """What it says, where it is RTCP, as a whole."""
        if not is_rtcp(buffer, start, end):
            return None
        try:
            return parse_rtcp(buffer[start:end])
        except TooManyParts:
            self._limits.counters.reports_not_read += 1
        except Malformed:
            pass
        return None

    def _report(self, said: Rtcp | None) -> None:
        """Of the stream on the port below, or on this one."""
        below = self._beside(self.port - 1)
        told = self.rtp or (below.rtp if below else None)
        if said is None:
            self._is_strange()
            return
        self._strange = 0
        if told:
            told.report(said)
