"""Captures as Wireshark reads them: pcapng (draft-ietf-opsawg-pcapng), as far as we write it.

    | block type (32) | total length (32) | body, padded to 4 | total length (32) |
    body of options:  | code (16) | length (16) | value, padded to 4 |  ...  | 0 | 0 |

Section Header (once), an Interface Description for each interface, then Enhanced Packets, and Interface
Statistics now and then: the last ones of an interface count.  All little-endian, times in nanoseconds.
"""

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from construct import Const, Int16ul, Int32ul, Int64sl, Struct

from multicastmw.wire.errors import Malformed

# What the specification says.
MAGIC = 0x1A2B3C4D
LINKTYPE_RAW = 101  # begins with an IPv4 or IPv6 header
NOT_KNOWN = -1  # a section's length
INBOUND, OUTBOUND = 1, 2  # of a packet's flags
NANOSECONDS = 9  # of if_tsresol


class Block(IntEnum):
    """Types of blocks."""

    INTERFACE = 1
    STATISTICS = 5
    PACKET = 6
    SECTION = 0x0A0D0D0A


# Codes of options: of all blocks, of a section, of an interface, of a packet, of statistics.
END, COMMENT = 0, 1
APPLICATION = 4
NAME, DESCRIPTION, RESOLUTION = 2, 3, 9
FLAGS = 2
START, END_AT, RECEIVED, DROPPED, DELIVERED = 2, 3, 4, 5, 8


OPTION = Struct("code" / Int16ul, "length" / Int16ul)
SECTION = Struct(Const(MAGIC, Int32ul), Const(1, Int16ul), Const(0, Int16ul), "length" / Int64sl)
INTERFACE = Struct("linktype" / Int16ul, Const(bytes(2)), "snaplen" / Int32ul)
PACKET = Struct(
    "interface" / Int32ul, "high" / Int32ul, "low" / Int32ul, "captured" / Int32ul, "length" / Int32ul
)
STATISTICS = Struct("interface" / Int32ul, "high" / Int32ul, "low" / Int32ul)

# The same, for what is written for each packet.
PACKET_TWIN = struct.Struct("<IIIIIII")  # type and length before it
OPTION_TWIN = struct.Struct("<HH")
TOTAL_TWIN = struct.Struct("<I")
HEAD_TWIN = struct.Struct("<II")

# What we chose.
COMMENT_MAX = 1_024  # bytes
BLOCK_MAX = 1 << 20  # bytes of one that is read

Option = tuple[int, bytes]


def option(code: int, value: bytes) -> bytes:
    return OPTION_TWIN.pack(code, len(value)) + value + bytes(-len(value) % 4)


def options(found: Iterable[Option]) -> bytes:
    """With the one that ends them, if there are any."""
    written = b"".join(option(code, value) for code, value in found)
    return written + bytes(4) if written else b""


def block(kind: int, body: bytes) -> bytes:
    length = TOTAL_TWIN.pack(len(body) + 12)
    return TOTAL_TWIN.pack(kind) + length + body + length


def section(application: str) -> bytes:
    """What a file begins with."""
    head = SECTION.build({"length": NOT_KNOWN})
    return block(Block.SECTION, head + options([(APPLICATION, application.encode())]))


def interface(name: str, description: str, snaplen: int, linktype: int = LINKTYPE_RAW) -> bytes:
    """The next one's description; they are numbered from 0."""
    head = INTERFACE.build({"linktype": linktype, "snaplen": snaplen})
    about = [
        (NAME, name.encode()), (DESCRIPTION, description.encode()),
        (RESOLUTION, bytes([NANOSECONDS])),
    ]  # fmt: skip
    return block(Block.INTERFACE, head + options(about))


def packet(
    number: int, at_ns: int, data: bytes | bytearray, length: int, flags: int, comment: bytes
) -> bytes:
    """`data` is what was kept of a packet of `length` bytes; `number` is its interface's."""
    kept = len(data)
    padding = -kept % 4
    comment = comment[:COMMENT_MAX]
    behind = option(FLAGS, TOTAL_TWIN.pack(flags)) + option(COMMENT, comment) + bytes(4)
    total = PACKET_TWIN.size + kept + padding + len(behind) + 4
    head = PACKET_TWIN.pack(
        Block.PACKET, total, number, at_ns >> 32 & 0xFFFF_FFFF, at_ns & 0xFFFF_FFFF, kept, length
    )
    return b"".join((head, data, bytes(padding), behind, TOTAL_TWIN.pack(total)))


class Counts(NamedTuple):
    """Of an interface: packets that came, that were dropped for want of room, and that stand in the file."""

    received: int
    dropped: int
    delivered: int


def statistics(number: int, start_ns: int, at_ns: int, counts: Counts) -> bytes:
    """What became of an interface's packets until then."""
    head = STATISTICS.build({"interface": number, "high": at_ns >> 32, "low": at_ns & 0xFFFF_FFFF})
    about = [
        (START, struct.pack("<II", start_ns >> 32, start_ns & 0xFFFF_FFFF)),
        (END_AT, struct.pack("<II", at_ns >> 32, at_ns & 0xFFFF_FFFF)),
        (RECEIVED, struct.pack("<Q", counts.received)),
        (DROPPED, struct.pack("<Q", counts.dropped)),
        (DELIVERED, struct.pack("<Q", counts.delivered)),
    ]
    return block(Block.STATISTICS, head + options(about))


def counts_of(statistics_block: bytes) -> tuple[int, Counts]:
    """An interface and its counts, of a whole Interface Statistics block of ours; raises Malformed."""
    if len(statistics_block) < 24:
        raise Malformed("statistics of no interface")
    found = STATISTICS.parse(statistics_block[8:])
    values, at = {}, 20
    while at + 4 <= len(statistics_block) - 4:
        code, length = OPTION_TWIN.unpack_from(statistics_block, at)
        if code == END:
            break
        if length == 8:
            values[code] = int.from_bytes(statistics_block[at + 4 : at + 12], "little")
        at += 4 + length + (-length % 4)
    names = (RECEIVED, DROPPED, DELIVERED)
    return found["interface"], Counts(*(values.get(name, 0) for name in names))


class Blocks:
    """Cuts what comes in pieces into whole blocks."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Types and whole blocks; raises Malformed where a length lies."""
        left = self._left + data
        found, at = [], 0
        while len(left) - at >= 12:
            kind, length = HEAD_TWIN.unpack_from(left, at)
            if length < 12 or length % 4 or length > BLOCK_MAX:
                raise Malformed(f"a block of {length} bytes")
            if len(left) - at < length:
                break
            if TOTAL_TWIN.unpack_from(left, at + length - 4) != (length,):
                raise Malformed("a block whose lengths disagree")
            found.append((kind, left[at : at + length]))
            at += length
        self._left = left[at:]
        return found
