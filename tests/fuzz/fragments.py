"""Fragments: packets that are split and joined again, and pieces as nobody would split them.

Steps: 0 a packet as it is, 1 one whose header is mended, 2 time, 3 a right packet that is split, whose pieces
come in an order of their own, 4 the same, of which one is missing.
"""

from collections.abc import Iterable
from zlib import crc32

from multicastmw.core.fragments import (
    FRAGMENT,
    LIFETIME,
    LONGEST,
    PIECE_COST,
    SET_COST,
    SMALLEST_MTU,
    Reassembler,
    split,
)
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import DONT_FRAGMENT, Header, checksum
from tests.core.fragments_naive import NaiveReassembler
from tests.fuzz.target import Target, script, steps

SETS = 4
BYTES = SET_COST + PIECE_COST + LONGEST


def right(body: bytes, identification: int, flags: int = 0, options: bytes = b"") -> bytes:
    size = 20 + len(options) + len(body)
    return Header(0, size, identification, flags, 9, 17, 0x0A580002, 0xEF010101, options).build() + body


def mended(packet: bytes) -> bytes:
    """The same with version, total length and checksum right; its options and its payload stay."""
    size = max(20, (packet[0] & 15) * 4)
    if len(packet) < size:
        return packet
    head = bytearray(packet[:size])
    head[0] = 0x40 | size // 4
    head[2:4] = len(packet).to_bytes(2, "big")
    head[10:12] = b"\0\0"
    head[10:12] = checksum(head).to_bytes(2, "big")
    return bytes(head) + packet[size:]


class Fragments(Target):
    """Packets from the TAP and pieces from peers."""

    longest = 768

    def seeds(self) -> Iterable[bytes]:
        whole = right(bytes(range(200)), 7)
        first, *others = split(whole, 76, lambda: 9)
        yield script((0, whole), (1, whole), *((0, piece) for piece in (first, *others)))
        yield script(*((1, piece) for piece in (*others, first)), (2, b"\x05"), (0, first), (0, first))
        yield script((0, first), (2, b"\xff"), *((0, piece) for piece in others))
        yield script((3, b"\x50" + bytes(300)), (4, b"\x60\x01" + bytes(300)), (3, b"\x01" + b"x" * 90))
        lying = first[:6] + b"\x20\x01" + first[8:]
        yield script((1, lying), (1, first), (1, lying), (1, right(b"", 7, 0x2000)))
        yield script(*((1, right(b"e" * 8, i, 0x2000)) for i in range(SETS + 2)))
        optional = right(b"y" * 64, 8, DONT_FRAGMENT, bytes.fromhex("8303100044040500"))
        yield script((1, optional), *((0, piece) for piece in split(optional, 68, lambda: 3)))
        yield script((1, right(b"z" * 16, 8, 0x1FFF)), (1, right(b"z" * 16, 8, 0x3FF0)))

    def __call__(self, data: bytes) -> None:
        self.joins = Reassembler(SETS, BYTES)
        self.naive = NaiveReassembler(SETS, BYTES, LIFETIME)
        self.now = 0.0
        for number, (what, with_) in enumerate(steps(data)):
            match what % 5:
                case 0:
                    self.comes(with_)
                case 1 if with_:
                    self.comes(mended(with_))
                case 2:
                    self.passes(with_[:1])
                case 3 | 4:
                    self.split_and_joined(with_, number, missing=what % 5 == 4)
            assert self.joins.held_sets <= SETS
            assert 0 <= self.joins.held_bytes <= BYTES
            assert self.joins.held_sets == len(self.naive.sets)
            assert self.joins.held_bytes == self.naive.held_bytes
            assert self.joins.deadline() > self.now

    def passes(self, time: bytes) -> None:
        self.now += (time[0] if time else 1) / 100
        self.joins.tick(self.now)
        self.naive.tick(self.now)

    def comes(self, packet: bytes) -> None:
        """A piece, or what claims to be one; and an origin that has to split it."""
        whole = self.joins.accept(packet, self.now)
        assert whole == self.naive.accept(packet, self.now)
        if whole is not None and whole != packet:
            self.is_right(whole)
        try:
            made = split(packet, SMALLEST_MTU + len(packet) % 64, lambda: 5)
        except Malformed:
            return
        if len(made) < 2:
            return
        assert all(len(piece) <= SMALLEST_MTU + len(packet) % 64 for piece in made)
        header = Header.parse(packet)
        payload = b"".join(piece[Header.parse(piece).size :] for piece in made)
        assert payload == packet[header.size : header.total_length]
        for piece in made:
            self.is_piece(piece)

    def is_right(self, packet: bytes) -> None:
        header = Header.parse(packet)
        assert header.total_length == len(packet) <= LONGEST
        assert not header.flags_and_offset & FRAGMENT
        assert not checksum(packet[: header.size])

    def is_piece(self, piece: bytes) -> None:
        header = Header.parse(piece)
        assert header.total_length == len(piece)
        assert not checksum(piece[: header.size])
        assert not header.flags_and_offset & DONT_FRAGMENT

    def split_and_joined(self, given: bytes, number: int, missing: bool) -> None:
        """Whatever came before: a packet of a new identification is joined, unless a piece is missing."""
        if len(given) < 60:
            return
        packet = right(given[1:], 0x8000 + number)
        made = split(packet, SMALLEST_MTU + given[0], lambda: 0)
        drawn = crc32(given)
        made.sort(key=lambda piece: (crc32(piece) ^ drawn) & 0xFF)
        if missing:
            del made[0]
        fresh = Reassembler(SETS, BYTES)
        got = [fresh.accept(piece, self.now) for piece in made]
        joined = [whole for whole in got if whole is not None]
        assert joined == ([] if missing else [packet])
        for piece in made:
            assert self.joins.accept(piece, self.now) == self.naive.accept(piece, self.now)
