"""A naive reassembler: lists, and every piece compared with every other.

The rules are those of core/fragments.py: what overlaps or contradicts drops the packet, and the oldest makes
room.
"""

from dataclasses import dataclass, field

from multicastmw.core.fragments import FRAGMENT, LONGEST, PIECE_COST, SET_COST
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import HEADER, MORE_FRAGMENTS, OFFSET_MASK, Header, checksum


@dataclass
class Piece:
    start: int
    payload: bytes
    last: bool

    @property
    def end(self) -> int:
        return self.start + len(self.payload)

    def contradicts(self, other: "Piece") -> bool:
        overlap = self.start < other.end and other.start < self.end
        beyond = (self.last and other.end > self.end) or (other.last and self.end > other.end)
        return overlap or beyond or (self.last and other.last)


@dataclass
class NaiveSet:
    key: tuple[int, int, int, int]
    born: float
    header: Header
    pieces: list[Piece] = field(default_factory=list)
    dead: bool = False

    @property
    def cost(self) -> int:
        return SET_COST + sum(PIECE_COST + len(piece.payload) for piece in self.pieces)

    @property
    def is_complete(self) -> bool:
        """Every byte from 0 to the end of the last one is there; no two pieces have the same."""
        ends = [piece.end for piece in self.pieces if piece.last]
        return bool(ends) and sum(len(piece.payload) for piece in self.pieces) == ends[0]


class NaiveReassembler:
    def __init__(self, most_sets: int, most_bytes: int, lifetime: float) -> None:
        self.most_sets, self.most_bytes, self.lifetime = most_sets, most_bytes, lifetime
        self.sets: list[NaiveSet] = []

    @property
    def held_bytes(self) -> int:
        return sum(each.cost for each in self.sets)

    def tick(self, now: float) -> None:
        self.sets = [each for each in self.sets if now < each.born + self.lifetime]

    def accept(self, packet: bytes, now: float) -> bytes | None:
        if len(packet) < HEADER.size or packet[0] >> 4 != 4:
            return None
        if not int.from_bytes(packet[6:8], "big") & FRAGMENT:
            return packet
        try:
            header = Header.parse(packet)
        except Malformed:
            return None
        payload = packet[header.size : header.total_length]
        last = not header.flags_and_offset & MORE_FRAGMENTS
        piece = Piece((header.flags_and_offset & OFFSET_MASK) * 8, payload, last)
        if checksum(packet[: header.size]) or not payload or (not last and len(payload) % 8):
            return None
        self.tick(now)
        if piece.end > LONGEST - HEADER.size:
            return None
        return self._accept(header, piece, now)

    def _accept(self, header: Header, piece: Piece, now: float) -> bytes | None:
        key = header.source, header.destination, header.protocol, header.identification
        known = next((each for each in self.sets if each.key == key), None)
        if known:
            if known.dead or piece in known.pieces:
                return None
            if any(piece.contradicts(other) for other in known.pieces):
                known.dead, known.pieces = True, []
                return None
        cost = PIECE_COST + len(piece.payload) + (0 if known else SET_COST)
        while self.sets and (
            self.held_bytes + cost > self.most_bytes or (not known and len(self.sets) >= self.most_sets)
        ):
            del self.sets[0]
        if known and known not in self.sets:
            return None
        if not known:
            known = NaiveSet(key, now, header)
            self.sets.append(known)
        known.pieces.append(piece)
        if piece.start == 0:
            known.header = header
        return self._joined(known) if known.is_complete else None

    def _joined(self, known: NaiveSet) -> bytes | None:
        self.sets.remove(known)
        body = b"".join(piece.payload for piece in sorted(known.pieces, key=lambda piece: piece.start))
        flags = known.header.flags_and_offset & ~FRAGMENT
        total = known.header.size + len(body)
        if total > LONGEST:
            return None
        return known.header._replace(flags_and_offset=flags, total_length=total).build() + body
