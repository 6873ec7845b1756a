"""IPv4 fragmentation and reassembly (RFC 791): longer packets into pieces, pieces into packets.

`split` is for the origin of a packet that is longer than a datagram on our links; `Reassembler` for
whatever in the node needs whole packets.  In between every piece is a packet of its own.

The pieces of one packet are a *set*, known by (source, destination, protocol, identification).  There are
no holes to manage: pieces that overlap are refused, so a set is complete when its bytes add up to its end.

Why a set with an overlap is dropped whole, and with it what still comes of it (RFC 5722 and RFC 8200, 4.5
for IPv6; Linux does it for IPv4 too): an honest sender makes no overlaps, and whichever piece were
to win, a filter in front of us may have read the other.  In IPv4 there is a second reason: 16 bits of
identification wrap, and an overlap is then the sign of two packets mixed (RFC 4963).  The exact repetition
of a piece is what a network does, and is only counted.

What a stranger can make us hold is bounded three ways: sets, bytes (with what Python needs around them)
and a second of life, from the first piece on.  The oldest set goes first: an honest one is complete
within milliseconds.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import (
    DONT_FRAGMENT,
    HEADER,
    MORE_FRAGMENTS,
    OFFSET_MASK,
    Buffer,
    Header,
    checksum,
)

# Specified: RFC 791, 3.1 and 3.2.
SMALLEST_MTU = 68  # the longest header and eight bytes
LONGEST = 0xFFFF
FRAGMENT = MORE_FRAGMENTS | OFFSET_MASK
OPTION_END = 0
OPTION_NOP = 1
OPTION_COPIED = 0x80

# Chosen.
SETS = 256  # a second of packets that each lost a piece, at 25,000 packets/s and 1 % loss
BYTES = 4 << 20  # 64 sets of the longest packet
LIFETIME = 1.0
PIECE_COST = 128  # what a piece takes beside its bytes: object, offset, slots (measured: 80 to 90)
SET_COST = 768  # what a set takes without pieces: key, header, lists, dict entry (measured: 600)

# What became of a packet in pieces; all but the first are losses.
OUTCOMES = ("joined", "expired", "evicted", "overlapped", "duplicates", "refused", "malformed", "oversize")


def split(packet: Buffer, mtu: int, identification: Callable[[], int]) -> list[bytes]:
    """The packet in pieces of at most `mtu` bytes; one that fits is returned as it is.

    DF is ignored, and cleared in the pieces.  Who sets it need not care about the ID (RFC 6864), so such a
    packet gets one from `identification`; but not if it is a fragment itself: its siblings have the same.
    Raises Malformed for a packet that lies, ValueError for an MTU below 68.
    """
    if mtu < SMALLEST_MTU:
        raise ValueError(f"an MTU of {mtu}: IPv4 needs {SMALLEST_MTU}")
    header = Header.parse(packet)
    if header.total_length <= mtu:
        return [bytes(packet[: header.total_length])]
    check_piece(packet, header)
    if end_of(header) > LONGEST - HEADER.size:
        raise Malformed("IPv4 fragment ends beyond the longest packet")
    if header.flags_and_offset & DONT_FRAGMENT and not header.flags_and_offset & FRAGMENT:
        header = header._replace(identification=identification() & 0xFFFF)
    return list(pieces(header, memoryview(packet)[header.size : header.total_length], mtu))


def check_piece(packet: Buffer, header: Header) -> None:
    """Raises Malformed where cutting or joining it would turn something wrong into something right."""
    if checksum(packet[: header.size]):
        raise Malformed("IPv4 header checksum is wrong")
    payload = header.total_length - header.size
    if not payload or (header.flags_and_offset & MORE_FRAGMENTS and payload % 8):
        raise Malformed(f"IPv4 fragment with {payload} bytes of payload")


def end_of(header: Header) -> int:
    """Where the payload of this piece ends in the whole packet's, in bytes."""
    return (header.flags_and_offset & OFFSET_MASK) * 8 + header.total_length - header.size


def pieces(header: Header, payload: memoryview, mtu: int) -> Iterator[bytes]:
    """The payload behind its header, then behind one with the copied options, in steps of 8 bytes."""
    flags = header.flags_and_offset & ~(DONT_FRAGMENT | FRAGMENT)
    more = header.flags_and_offset & MORE_FRAGMENTS
    offset = header.flags_and_offset & OFFSET_MASK
    later = header._replace(options=copied_options(header.options))
    while payload:
        room = mtu - header.size
        if len(payload) > room:
            room -= room % 8
        piece, payload = payload[:room], payload[room:]
        header = header._replace(
            total_length=header.size + len(piece),
            flags_and_offset=flags | offset | (MORE_FRAGMENTS if payload else more),
        )
        yield header.build() + piece
        offset += len(piece) // 8
        header = later


def copied_options(options: bytes) -> bytes:
    """The options that belong into every piece, padded with End of Options; raises Malformed.

    RFC 791, 3.1: bit 0 of the type says so.  Type 0 ends the list, 1 is one byte, others have a length.
    """
    copied = b""
    at = 0
    while at < len(options) and options[at] != OPTION_END:
        size = 1
        if options[at] != OPTION_NOP:
            size = options[at + 1] if at + 1 < len(options) else 0
            if size < 2 or at + size > len(options):
                raise Malformed(f"IPv4 option {options[at]} has length {size} at byte {at} of {len(options)}")
        if options[at] & OPTION_COPIED:
            copied += options[at : at + size]
        at += size
    return copied + bytes(-len(copied) % 4)


class Key(NamedTuple):
    """What the pieces of one packet have in common (RFC 791, 3.2)."""

    source: int
    destination: int
    protocol: int
    identification: int


class _Fit(Enum):
    """How a piece goes with those of its set that are there."""

    NEW = 1
    REPEATED = 2
    CONTRADICTS = 3


class _Set:
    """The pieces of one packet, as far as they have come."""

    __slots__ = ("born", "cost", "dead", "end", "header", "held", "offsets", "payloads")

    def __init__(self, header: Header, now: float) -> None:
        self.born = now
        self.header = header  # of the first piece, once it is there
        self.cost = SET_COST
        self.offsets: list[int] = []  # in bytes, ascending; payloads in the same order
        self.payloads: list[bytes] = []
        self.held = 0
        self.end: int | None = None  # known from the last piece
        self.dead = False  # overlapped: it stays, empty, to refuse what still comes

    def fit(self, offset: int, piece: memoryview, last: bool) -> _Fit:
        """An overlap is a contradiction, and so are two ends, or anything behind the end."""
        end = offset + len(piece)
        at = bisect_left(self.offsets, offset)
        if at < len(self.offsets) and self.offsets[at] == offset and self.payloads[at] == piece:
            return _Fit.REPEATED if last == (end == self.end) else _Fit.CONTRADICTS
        if at < len(self.offsets) and (last or end > self.offsets[at]):
            return _Fit.CONTRADICTS
        if at > 0 and self.offsets[at - 1] + len(self.payloads[at - 1]) > offset:
            return _Fit.CONTRADICTS
        if self.end is not None and end > self.end:
            return _Fit.CONTRADICTS
        return _Fit.NEW

    def add(self, header: Header, offset: int, piece: memoryview, last: bool) -> None:
        at = bisect_left(self.offsets, offset)
        self.offsets.insert(at, offset)
        self.payloads.insert(at, bytes(piece))
        self.held += len(piece)
        self.cost += len(piece) + PIECE_COST
        if last:
            self.end = offset + len(piece)
        if offset == 0:
            self.header = header

    def die(self) -> int:
        """Lets go of the pieces, for good; returns what they had cost."""
        freed = self.cost - SET_COST
        self.dead, self.cost = True, SET_COST
        self.offsets, self.payloads = [], []
        return freed

    def joined(self) -> bytes | None:
        """Of a complete set the whole packet; None where that is longer than a packet can be."""
        total = self.header.size + self.held
        flags = self.header.flags_and_offset & ~FRAGMENT
        header = self.header._replace(total_length=total, flags_and_offset=flags)
        return b"".join((header.build(), *self.payloads)) if total <= LONGEST else None


class Reassembler:
    """Joins fragments; what it holds is bounded in sets, bytes and time, and what it drops is counted."""

    def __init__(self, max_sets: int = SETS, max_bytes: int = BYTES, lifetime: float = LIFETIME) -> None:
        if max_sets < 1 or max_bytes < SET_COST + PIECE_COST + LONGEST:
            raise ValueError(f"{max_sets} sets in {max_bytes} bytes cannot hold one packet")
        self.max_sets = max_sets
        self.max_bytes = max_bytes
        self.lifetime = lifetime
        self.held_bytes = 0  # with PIECE_COST and SET_COST
        self.joined = 0  # packets completed
        self.expired = 0  # sets that were incomplete after `lifetime`
        self.evicted = 0  # sets that made room for newer ones
        self.overlapped = 0  # sets dropped because pieces contradicted each other
        self.duplicates = 0  # pieces that were there already
        self.refused = 0  # pieces of a set that had been dropped for an overlap
        self.malformed = 0  # packets that lie
        self.oversize = 0  # pieces or sets that would make more than 65,535 bytes
        self._sets: dict[Key, _Set] = {}  # in order of birth, which is the order of death
        self._joins_all_at = float("-inf")
        self._ends = False

    def begin(self, now: float) -> None:
        """Amidst a stream: for a while, pieces whose first one passed before pass as well."""
        self._joins_all_at = now + self.lifetime
        self._ends = False

    def end(self) -> None:
        """Joins what it has begun, and passes the rest."""
        self._ends = True

    @property
    def is_over(self) -> bool:
        """Is nothing left of what it was to finish?"""
        return self._ends and not self._sets

    @property
    def held_sets(self) -> int:
        return len(self._sets)

    def accept(self, packet: Buffer, now: float) -> bytes | None:
        """The whole packet, if this completes one; what is no fragment comes back as it is (bytes uncopied).

        What lies is counted, not raised: nobody waits for an answer.
        """
        if len(packet) < HEADER.size or packet[0] >> 4 != 4:
            self.malformed += 1
            return None
        if not (packet[6] << 8 | packet[7]) & FRAGMENT:
            return bytes(packet)
        try:
            header = Header.parse(packet)
            check_piece(packet, header)
        except Malformed:
            self.malformed += 1
            return None
        self.tick(now)
        if (self._ends or now < self._joins_all_at) and self._passes(header):
            return bytes(packet)
        return self._accept_piece(header, memoryview(packet)[header.size : header.total_length], now)

    def counts(self) -> dict[str, int]:
        """What became of packets and pieces so far."""
        return {name: getattr(self, name) for name in OUTCOMES}

    def deadline(self) -> float:
        """When the oldest set expires; infinity without one."""
        for oldest in self._sets.values():
            return oldest.born + self.lifetime
        return float("inf")

    def tick(self, now: float) -> None:
        """Drops the sets that have lived long enough; `accept` of a fragment does it too."""
        while self._sets and self.deadline() <= now:
            if not self._drop_oldest().dead:
                self.expired += 1

    def _passes(self, header: Header) -> bool:
        """Is it of a packet whose other pieces are not, or will not be, here?"""
        known = Key(header.source, header.destination, header.protocol, header.identification) in self._sets
        return not known and (self._ends or bool(header.flags_and_offset & OFFSET_MASK))

    def _accept_piece(self, header: Header, piece: memoryview, now: float) -> bytes | None:
        offset = (header.flags_and_offset & OFFSET_MASK) * 8
        last = not header.flags_and_offset & MORE_FRAGMENTS
        if end_of(header) > LONGEST - HEADER.size:
            self.oversize += 1
            return None
        key = Key(header.source, header.destination, header.protocol, header.identification)
        known = self._sets.get(key)
        if known is not None and self._is_settled(known, offset, piece, last):
            return None
        self._make_room(len(piece) + PIECE_COST + (0 if known else SET_COST), needs_set=known is None)
        if known is None:
            known = self._sets[key] = _Set(header, now)
            self.held_bytes += SET_COST
        elif key not in self._sets:
            return None  # it was itself the oldest
        self.held_bytes += len(piece) + PIECE_COST
        known.add(header, offset, piece, last)
        return self._join(key, known) if known.held == known.end else None

    def _is_settled(self, known: _Set, offset: int, piece: memoryview, last: bool) -> bool:
        """Is this piece not wanted: of a dropped set, there already, or the one that spoils the set?"""
        if known.dead:
            self.refused += 1
            return True
        fit = known.fit(offset, piece, last)
        if fit is _Fit.REPEATED:
            self.duplicates += 1
        elif fit is _Fit.CONTRADICTS:
            self.overlapped += 1
            self.held_bytes -= known.die()
        return fit is not _Fit.NEW

    def _make_room(self, cost: int, needs_set: bool) -> None:
        while self._sets and (
            self.held_bytes + cost > self.max_bytes or (needs_set and len(self._sets) >= self.max_sets)
        ):
            if not self._drop_oldest().dead:
                self.evicted += 1

    def _drop_oldest(self) -> _Set:
        dropped = self._sets.pop(next(iter(self._sets)))
        self.held_bytes -= dropped.cost
        return dropped

    def _join(self, key: Key, complete: _Set) -> bytes | None:
        del self._sets[key]
        self.held_bytes -= complete.cost
        packet = complete.joined()
        if packet is None:
            self.oversize += 1
        else:
            self.joined += 1
        return packet
