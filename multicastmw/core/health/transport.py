"""What is wrong with a transport stream: TR 101 290, the first priority, and what can be seen of the second.

Nearly every packet is one comparison: its first word, without the bits that may change, is the one that was
expected of its PID.  What differs (a clock reference, a table, a gap, noise) is looked at in `_look`.

A PID keeps `mark`, the way's count of breaks at its last packet; where something is missing and that has not
changed, the way has delivered all there was, and the source is at fault.  What comes too late is measured on
both clocks: by the origin's time stamps, too late is the source's; by ours alone, the way's.
"""

from multicastmw.core.health import errors as names
from multicastmw.core.health.errors import Errors
from multicastmw.core.health.limits import Limits
from multicastmw.core.health.tables import Joiner, Tables
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Buffer
from multicastmw.wire.mpegts import (
    ADAPTATION,
    CLOCK,
    CONTINUITY,
    DISCONTINUITY,
    NULL_PID,
    PACKET,
    PAT_PID,
    PAT_TABLE,
    PAYLOAD,
    PCR_FLAG,
    PID_BITS,
    PMT_TABLE,
    PUSI,
    SCRAMBLING,
    SDT_PID,
    SYNC,
    TEI,
    WORDS,
    WRAP,
    Elementary,
    clock_reference,
)

# What TR 101 290, 5.2 says.
TABLE_LIMIT = 0.5  # seconds between two PATs (1.3) or PMTs of a programme (1.5)
PCR_LIMIT = 0.1  # seconds between two clock references (2.3a and b); its older editions have 0.04 for 2.3a
ACQUIRED = 5  # sync bytes in a row that are a stream, and
LOST_AFTER = 2  # wrong ones in a row that are none (5.2.1, 1.1)

# What we chose.
PID_LIMIT = 5.0  # the user's period of 1.6
PIDS_MAX = 512  # of a stream; 8,192 can be named
ADDED = 0.1  # of a limit: what the way has to add to be at fault for what exceeds it
CHECK = 0.1  # seconds between two looks at what is overdue, of so many PIDs:
LOOKS = 64  # where there are more, it is as much longer
AT_ONCE = 7  # packets, as many as a datagram of Ethernet has; of these
SECTIONS_MAX = 16  # sections of tables are looked at (an ordinary one has a packet of its own, or more), and
READS_MAX = 4  # read, of those that are new
PCR_SHARE = 16  # of a new value in the jitter, as RFC 3550 has it
NONE = -1
MASK = 0xFFFFFFFF

# Of a packet's first word: all but PUSI, priority and scrambling; and the same without the counter.
STEADY = 0xFF << 24 | TEI | PID_BITS | ADAPTATION | PAYLOAD | CONTINUITY
LASTING = STEADY & ~(ADAPTATION | PAYLOAD | CONTINUITY)
LOOKED_AT = PUSI  # not in STEADY, so a PID that expects it is never passed over


class Due:
    """Something that has to come again within `limit` seconds."""

    __slots__ = ("at", "limit", "mark", "name", "sent")

    def __init__(self, name: str, limit: float, now: float, sent: int, mark: int) -> None:
        self.name = name
        self.limit = limit
        self.came(now, sent, mark)

    def came(self, now: float, sent: int, mark: int) -> None:
        self.at, self.sent, self.mark = now, sent, mark

    def is_overdue(self, now: float) -> bool:
        return now - self.at > self.limit

    def is_of_way(self, now: float, sent: int, mark: int) -> bool:
        """Was it lost or held up on the way?"""
        return mark != self.mark or was_held_up(self.limit, now - self.at, elapsed(self.sent, sent))


def was_held_up(limit: float, here: float, at_origin: float) -> bool:
    """In time when it came to the overlay, and much later here: a source at the limit is to blame itself."""
    return at_origin <= limit and here - at_origin > ADDED * limit


def elapsed(before: int, after: int) -> float:
    """Seconds between two origin times (us, modulo 2^32); 0 where the clock was set back."""
    ticks = after - before & MASK
    return ticks / 1e6 if ticks < 1 << 31 else 0.0


class Pid:
    """One PID: what its next packet looks like, and what was in it so far."""

    __slots__ = (
        "heard", "joiner", "mark", "next", "number", "packets", "references", "repeated",
    )  # fmt: skip

    def __init__(self, number: int, now: float, mark: int) -> None:
        self.number = number
        self.next = NONE
        self.packets = 0
        self.heard = now
        self.mark = mark
        self.repeated = False
        self.joiner: Joiner | None = None  # where tables are on it
        self.references: References | None = None


class References:
    """When a PID's clock references came, and how evenly."""

    __slots__ = ("at", "jitter", "mark", "sent", "source_jitter", "value")

    def __init__(self) -> None:
        self.value = NONE
        self.at = 0.0
        self.sent = self.mark = 0
        self.jitter = self.source_jitter = 0.0  # seconds, smoothed; where it came here, and to the overlay


class TransportStream:
    """One transport stream, of which whole packets are given in datagrams."""

    __slots__ = (
        "_bad", "_check_at", "_elementary", "_follow_at", "_good", "_is_new", "_left_at", "_limits", "_mark",
        "_now", "_pat", "_pids", "_pmts", "_readings", "_reads", "_sections", "_sent", "errors", "nulls",
        "over_bound", "packets", "pid_limit", "synced", "tables",
    )  # fmt: skip

    def __init__(
        self, now: float, sent: int, mark: int, limits: Limits | None = None, pid_limit: float = PID_LIMIT
    ) -> None:
        self.errors = Errors()
        self.tables = Tables(self._may_read)
        self._limits = limits or Limits()
        self._readings = self._limits.of_a_stream()
        self._sections, self._reads = SECTIONS_MAX, READS_MAX  # that are left of these packets
        self._left_at = float("-inf")  # when tables came that were not looked at, so nothing is missing
        self.pid_limit = pid_limit
        self.packets = self.nulls = self.over_bound = 0
        self.synced = True
        self._good = 0  # sync bytes in a row, while there is no sync
        self._bad = NONE - 1  # which packet's sync byte was the last that was wrong
        self._now, self._sent, self._mark = now, sent, mark
        self._pids: dict[int, Pid] = {}
        self._pat = Due(names.PAT, TABLE_LIMIT, now, sent, mark)
        self._pmts: dict[int, Due] = {}
        self._elementary: dict[int, Elementary] = {}  # what may not pause, by PID
        self._check_at = now + CHECK
        self._is_new, self._follow_at = False, now  # the tables say something that was not followed yet
        for pid in (PAT_PID, SDT_PID):
            self._begin(pid).joiner = Joiner()

    # --- packets

    def accept(self, buffer: Buffer, start: int, end: int, now: float, sent: int, mark: int) -> None:
        """The packets in buffer[start:end]; `sent` is the datagram's origin time, `mark` the way's breaks."""
        self._now, self._sent, self._mark = now, sent, mark
        if now >= self._check_at:
            self._check()
        while end - start > AT_ONCE * PACKET:
            self._accept(buffer, start, AT_ONCE)
            start += AT_ONCE * PACKET
        self._accept(buffer, start, max(0, (end - start) // PACKET))

    def _accept(self, buffer: Buffer, at: int, count: int) -> None:
        pids, now, mark = self._pids, self._now, self._mark
        self._sections = SECTIONS_MAX
        if not self.synced:
            pids = {}  # each is looked at
        for word in WORDS[count].unpack_from(buffer, at):
            pid = pids.get(word & PID_BITS)
            if pid is not None and word & STEADY == pid.next:
                pid.next = word & ~CONTINUITY & STEADY | word + 1 & CONTINUITY
                pid.packets += 1
                pid.heard = now
                pid.mark = mark
                pid.repeated = False
            else:
                self._look(buffer, at, word)
            self.packets += 1
            at += PACKET

    def _look(self, buffer: Buffer, at: int, word: int) -> None:
        in_sync = self.synced and word >> 24 == SYNC
        if not in_sync and not self._is_in_sync(word >> 24 == SYNC):
            return
        if word & TEI:  # nothing else is to be told from such a packet (5.2.2, 2.1)
            self.errors.count(names.TRANSPORT, False, self._now)
            if known := self._pids.get(word & PID_BITS):
                known.next = NONE
            return
        number = word >> 8 & NULL_PID
        if number == NULL_PID:
            self.nulls += 1
            return
        pid = self._pids.get(word & PID_BITS) or self._begin(number)
        pid.packets += 1
        if not word & (ADAPTATION | PAYLOAD) or pid is _NOBODY:  # the former is reserved: 2.4.3.3
            return
        payload = at + 4
        jumps = False
        if word & ADAPTATION:
            length = buffer[at + 4]
            payload += 1 + length
            flags = buffer[at + 5] if 0 < length < PACKET - 4 else 0
            jumps = bool(flags & DISCONTINUITY)
            if flags & PCR_FLAG and length >= 7:
                self._clocked(pid, clock_reference(buffer, at), jumps)
        is_new = self._is_next(pid, word, jumps)
        pid.next = word & LASTING | PAYLOAD | word + 1 & CONTINUITY
        if pid.joiner:
            pid.next |= LOOKED_AT
            if is_new and word & PAYLOAD:
                self._tables(pid, word, bytes(buffer[payload : at + PACKET]))
        pid.heard, pid.mark = self._now, self._mark

    def _is_in_sync(self, right: bool) -> bool:
        """Is this packet to be looked at?"""
        if self.synced:
            self.errors.count(names.SYNC_BYTE, False, self._now)
            in_a_row = self._bad == self.packets - 1
            self._bad = self.packets
            if in_a_row:
                self.errors.count(names.SYNC_LOSS, False, self._now)
                self.synced, self._good = False, 0
            return False
        self._good = self._good + 1 if right else 0
        if self._good < ACQUIRED:
            return False
        self.synced = True
        for pid in self._pids.values():  # what was missed meanwhile is in the count already
            pid.next = NONE
            if pid.joiner:
                pid.joiner.lose()
        return True

    def _is_next(self, pid: Pid, word: int, jumps: bool) -> bool:
        """1.4: the counter goes on by one with each payload; once, a packet may be repeated."""
        if pid.next == NONE or jumps:
            pid.repeated = False
            return True
        ahead = word - pid.next & CONTINUITY  # 0: the one that was expected
        if word & PAYLOAD and not ahead:
            pid.repeated = False
            return True
        if ahead == CONTINUITY and not (word & PAYLOAD and pid.repeated):  # the same as before
            pid.repeated = pid.repeated or bool(word & PAYLOAD)
            return False
        self.errors.count(names.CONTINUITY, pid.mark != self._mark, self._now)
        pid.repeated = False
        if pid.joiner:
            pid.joiner.lose()
        return True

    def _begin(self, number: int) -> Pid:
        """A PID that was not seen yet."""
        if len(self._pids) >= PIDS_MAX:
            self.over_bound += 1
            return _NOBODY
        pid = self._pids[number << 8] = Pid(number, self._now, self._mark)
        return pid

    # --- clocks

    def _clocked(self, pid: Pid, value: int, jumps: bool) -> None:
        """2.3a and 2.3b, and how much later or earlier than its own value says it came."""
        now, sent, mark = self._now, self._sent, self._mark
        known = pid.references
        if known is None:
            known = pid.references = References()
        else:
            passed, at_origin = now - known.at, elapsed(known.sent, sent)
            lost = mark != known.mark
            if passed > PCR_LIMIT:
                self.errors.count(
                    names.PCR_REPETITION, lost or was_held_up(PCR_LIMIT, passed, at_origin), now
                )
            step = (value - known.value) % WRAP / CLOCK
            if jumps:
                pass
            elif step > PCR_LIMIT:
                self.errors.count(names.PCR_DISCONTINUITY, lost, now)
            else:
                known.jitter += (abs(passed - step) - known.jitter) / PCR_SHARE
                known.source_jitter += (abs(at_origin - step) - known.source_jitter) / PCR_SHARE
        known.value, known.at, known.sent, known.mark = value, now, sent, mark

    # --- tables

    def _tables(self, pid: Pid, word: int, payload: bytes) -> None:
        assert pid.joiner
        if word & SCRAMBLING:  # 1.3 and 1.5
            if pid.number != SDT_PID:
                name = names.PMT if pid.number else names.PAT
                self.errors.count(name, False, self._now)
            return
        for data in pid.joiner.accept(payload, bool(word & PUSI)):
            if not self._sections:
                self._limits.counters.tables_cut += 1
                self._left_at = self._now
                pid.joiner.lose()
                return
            if self._sections == SECTIONS_MAX:
                self._reads = READS_MAX
            self._sections -= 1
            self._section(pid, data)

    def _may_read(self, size: int) -> bool:
        if self._reads and self._limits.may_read(self._readings, size, self._now):
            self._reads -= 1
            return True
        self._limits.counters.tables_not_read += 1
        self._left_at = self._now
        return False

    def _section(self, pid: Pid, data: bytes) -> None:
        if pid.number == PAT_PID and data[0] != PAT_TABLE:
            self.errors.count(names.PAT, False, self._now)
            return
        try:
            section = self.tables.accept(pid.number, data)
        except Malformed:
            self.errors.count(names.CRC, False, self._now)
            return
        if section is None:
            return
        due = self._pat if section.table == PAT_TABLE else None
        if section.table == PMT_TABLE:
            due = self._pmts.get(section.id)
        if due is not None:
            self._overdue(due)
            due.came(self._now, self._sent, self._mark)
        self._is_new = self._is_new or self.tables.changed
        if self._is_new and self._now >= self._follow_at:
            self._follow()

    def _follow(self) -> None:
        """The tables say something new: these PIDs have tables, and these may not pause.

        Not for each section: a stream may say something else in every one of them.
        """
        self._is_new, self._follow_at = False, self._next_look()
        now, sent, mark = self._now, self._sent, self._mark
        self._pmts = {
            number: self._pmts.get(number) or Due(names.PMT, TABLE_LIMIT, now, sent, mark)
            for number in self.tables.pmt_pids
        }
        for number in self.tables.pmt_pids.values():
            pid = self._known(number)
            if not pid.joiner and pid is not _NOBODY:
                pid.joiner = Joiner()
                pid.next = NONE if pid.next == NONE else pid.next | LOOKED_AT
        self._elementary = {
            stream.pid: stream
            for pmt in self.tables.pmts.values()
            for stream in pmt.streams
            if stream.is_continuous and stream.pid != NULL_PID and self._known(stream.pid) is not _NOBODY
        }

    def _known(self, number: int) -> Pid:
        return self._pids.get(number << 8) or self._begin(number)

    # --- what does not come

    def _check(self) -> None:
        self._check_at = self._next_look()
        if self._is_new:
            self._follow()
        self._overdue(self._pat)
        for due in self._pmts.values():
            self._overdue(due)
        for number in self._elementary:
            pid = self._pids[number << 8]
            if self._now - pid.heard > self.pid_limit:
                self.errors.count(names.PID, pid.mark != self._mark, self._now)
                pid.heard, pid.mark = self._now, self._mark

    def _next_look(self) -> float:
        """The more there is to look at, the later: a stream may name hundreds of PIDs."""
        return self._now + CHECK * max(1.0, (len(self._pmts) + len(self._elementary)) / LOOKS)

    def _overdue(self, due: Due) -> None:
        """Counts what is late, once for each time that it would have had to come."""
        if due.is_overdue(self._now):
            if self._now - self._left_at > due.limit:
                self.errors.count(due.name, due.is_of_way(self._now, self._sent, self._mark), self._now)
            due.came(self._now, self._sent, self._mark)

    # --- what is shown

    def counts(self) -> dict[int, int]:
        """Packets by PID, the busiest first."""
        found = sorted(self._pids.values(), key=lambda pid: -pid.packets)
        return {pid.number: pid.packets for pid in found if pid.packets}

    def jitter(self) -> tuple[float, float] | None:
        """Of the clock references: here, and where they came to the overlay; None where there are none."""
        found = [pid.references for pid in self._pids.values() if pid.references]
        if not found:
            return None
        return max(each.jitter for each in found), max(each.source_jitter for each in found)


_NOBODY = Pid(NULL_PID, 0.0, 0)  # what is above the bound
