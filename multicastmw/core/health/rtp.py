"""What is wrong with an RTP stream (RFC 3550): loss, order, repetition, jitter; and what its sender reports.

Numbers that were passed over are remembered (missing.py), with who is at fault, until they come or are
forgotten: one that comes after all was late and is taken back, and one that is not among them came twice.

A source that was restarted draws new numbers, and often a new SSRC: a step of more than MAX_DROPOUT is that,
and no loss (RFC 3550, A.1).
"""

from multicastmw.core.health.figures import SHARE
from multicastmw.core.health.missing import Missing
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Buffer
from multicastmw.wire.rtp import CLOCK, CLOCKS, HEADER, PADDED, VERSION, Rtcp, payload_end, payload_start

# What RFC 3550, A.1 says.
MAX_DROPOUT = 3000

# What we chose.
MAX_MISORDER = 1000  # ten times as much as the RFC has: at 5,000 packets/s a tenth of a second is 500
PLAIN = VERSION << 6  # a header without CSRC, extension and padding

# What a packet was.
IN_TURN, GAP, LATE, REPEATED, RESTART = range(5)


class RtpStream:
    """The packets of one SSRC after another."""

    __slots__ = (
        "_at", "_clock", "_first", "_missing", "_report", "_timestamp", "begin", "cname", "duplicates", "end",
        "gap_at", "goodbyes", "jitter", "late_at", "late_number", "lost_source", "lost_way", "mark", "number",
        "payload_type", "received", "reordered_source", "reordered_way", "reported_lost", "reported_sent",
        "reports", "restarts", "ssrc", "ssrc_changes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.ssrc = -1
        self.number = 0  # the highest, extended to count on past 65,535
        self.late_number = 0  # of one that came behind its turn
        self.payload_type = 0
        self.mark = 0  # grows with each gap that the way is at fault for
        self.begin = self.end = 0  # where the last packet's payload was
        self.received = self.duplicates = self.restarts = self.ssrc_changes = 0
        self.lost_source = self.lost_way = self.reordered_source = self.reordered_way = 0
        self.gap_at = self.late_at = float("-inf")  # when that was last
        self.jitter = 0.0  # seconds
        self.reports = self.reported_sent = self.reported_lost = self.goodbyes = 0
        self.cname = ""
        self._first = 0
        self._clock = CLOCK
        self._at = 0.0
        self._timestamp = 0
        self._missing = Missing()
        self._report: tuple[int, int] | None = None  # sent, and come, at the last report

    def accept(self, buffer: Buffer, start: int, end: int, now: float, holes: int, late: bool) -> int:
        """A packet in buffer[start:end]; raises Malformed where it is none.

        `holes`: how many packets the way lost since the one before; `late`: it came behind its turn there.
        """
        if end - start < HEADER.size:
            raise Malformed("not an RTP packet")
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(buffer, start)
        if first == PLAIN:
            self.begin, self.end = start + HEADER.size, end
        else:
            self.begin = payload_start(buffer, start, end)
            self.end = payload_end(buffer, start, end, self.begin) if first & PADDED else end
        if ssrc != self.ssrc:
            return self._new_source(ssrc, sequence, second & 127, timestamp, now)
        step = sequence - self.number & 0xFFFF
        if step == 1:
            self.number += 1
            verdict = IN_TURN
        else:
            verdict = self._unusual(step, sequence, now, holes, late)
            if verdict == REPEATED:
                return verdict
        self.received += 1
        if second & 127 != self.payload_type:
            self._type(second & 127)
        elif verdict != RESTART:
            passed = (timestamp - self._timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            self.jitter += (abs(now - self._at - passed / self._clock) - self.jitter) / SHARE
        self._timestamp, self._at = timestamp, now
        return verdict

    def _unusual(self, step: int, sequence: int, now: float, holes: int, late: bool) -> int:
        if 0 < step <= MAX_DROPOUT:
            self._passed_over(step - 1, holes)
            self.gap_at = now
            self.number += step
            return GAP
        behind = 0x10000 - step & 0xFFFF
        if behind > MAX_MISORDER:
            self.restarts += 1
            self._restart(sequence)
            return RESTART
        number = self.number - behind
        if number >= self._first and number not in self._missing:
            self.duplicates += 1
            return REPEATED
        by_way = self._missing.pop(number)
        self.lost_way -= by_way is True
        self.lost_source -= by_way is False
        self.late_at = now
        if late:
            self.reordered_way += 1
        else:
            self.reordered_source += 1
        self.late_number = number
        return LATE

    def _passed_over(self, count: int, holes: int) -> None:
        """So many did not come: as many as the overlay lacks are the way's, the rest was never sent to it."""
        by_way = min(count, holes)
        self.lost_way += by_way
        self.lost_source += count - by_way
        self.mark += by_way > 0
        self._missing.add(self.number + 1, count, by_way)

    def _restart(self, sequence: int) -> None:
        """The numbers go on elsewhere; the extended one is past all that was."""
        self._missing.clear()
        self.number = (self.number | 0xFFFF) + 1 + 0x10000 + sequence
        self._first = self.number
        self._report = None

    def _new_source(self, ssrc: int, sequence: int, payload_type: int, timestamp: int, now: float) -> int:
        known = self.ssrc >= 0
        self.ssrc_changes += known
        self.ssrc = ssrc
        self._restart(sequence)
        self._type(payload_type)
        self._timestamp, self._at = timestamp, now
        self.received += 1
        return RESTART if known else IN_TURN

    def _type(self, payload_type: int) -> None:
        self.payload_type = payload_type
        self._clock = CLOCKS.get(payload_type, CLOCK)

    def report(self, said: Rtcp) -> None:
        """What the sender counts (RFC 3550, 6.4.1), against what came between two of its reports."""
        if said.ssrc != self.ssrc:
            return
        self.cname = said.cname or self.cname
        self.goodbyes += said.bye
        if said.packets is None:
            return
        if self._report:
            sent = said.packets - self._report[0] & 0xFFFFFFFF
            self.reported_sent += sent
            self.reported_lost += max(0, sent - (self.received - self._report[1]))
        self.reports += 1
        self._report = said.packets, self.received
