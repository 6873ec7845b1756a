"""Parity: what the packets of a block add up to, so that the other end of a link can rebuild lost ones.

Behind the Token of a datagram stands one object, 24 bytes and a symbol:

     0  | digest of the stream's keys, as in Stream type 3 (8)                |
     8  | first: the number of the block's first packet (4)                   |
    12  | step (1) | row (1) | rows that the block has (1) | reserved (1)     |
    16  | members: bit i says that number first + i x step is in it (8)       |
    24  | the symbol: this row's sum                                          |

The symbol of a packet is its IP Data message from byte 48 on (origin time, hop limit, ..., the packet, its
padding).  So a Parity is as long as the longest message of its block, and fits where that fits.
"""

from struct import Struct as Twin
from typing import NamedTuple

from multicastmw.wire import cops
from multicastmw.wire.cops import CNum
from multicastmw.wire.data import HEADER_SIZE, SYMBOL_OFFSET
from multicastmw.wire.objects import bad, known, placed, required

# What the specification says.
PLACES, ROWS = 64, 16  # packets of a block at most, and rows
SYMBOL_LEAST = HEADER_SIZE - SYMBOL_OFFSET + 4  # bytes
SYMBOL_MOST = 65_000

PARITY = CNum.TOKEN, CNum.PARITY
TWIN = Twin("!QIBBBBQ")
DATAGRAM_TWIN = Twin("!8xHBBQHBBQIBBBBQ")
SHAPE = (12, CNum.TOKEN, 1, CNum.PARITY, 1)
OBJECT_OFFSET = 20


class Parity(NamedTuple):
    """One row of a block; see above."""

    digest: int
    first: int
    step: int
    row: int
    rows: int
    members: int
    symbol: bytes


def parity_objects(parity: Parity) -> bytes:
    *head, members, symbol = parity
    wrong = _objection(parity)
    if wrong:
        raise ValueError(wrong)
    return cops.pack_object(CNum.PARITY, 1, TWIN.pack(*head, 0, members) + symbol)


def parity_size(parity: Parity) -> int:
    return cops.HEADER_TWIN.size + cops.OBJECT_TWIN.size + TWIN.size + len(parity.symbol)


def read_parity(message: memoryview) -> tuple[Parity, int]:
    """The message, and how many objects were skipped in it; raises PeerError."""
    found = glance_parity(message)
    return (found, 0) if found else declared_parity(message)


def glance_parity(message: memoryview) -> Parity | None:
    """What this version writes; None for anything else."""
    size = len(message)
    if size < DATAGRAM_TWIN.size:
        return None
    *token_head, _, length, c_num, c_type, digest, first, step, row, rows, _, members = (
        DATAGRAM_TWIN.unpack_from(message)
    )
    if (*token_head, c_num, c_type) != SHAPE or length != size - OBJECT_OFFSET:
        return None
    parity = Parity(digest, first, step, row, rows, members, bytes(message[DATAGRAM_TWIN.size :]))
    return None if _objection(parity) else parity


def declared_parity(message: memoryview) -> tuple[Parity, int]:
    """The same, as the objects are declared."""
    found, skipped = known(message, PARITY)
    data = required(placed(found, PARITY), CNum.PARITY)
    parity = Parity(data.digest, data.first, data.step, data.row, data.rows, data.members, bytes(data.symbol))
    if wrong := _objection(parity):
        raise bad(wrong)
    return parity, skipped


def _objection(parity: Parity) -> str | None:
    """What is wrong with it."""
    size = len(parity.symbol)
    if not SYMBOL_LEAST <= size <= SYMBOL_MOST or size % 4:
        return f"a symbol of {size} bytes"
    if not parity.row < parity.rows <= ROWS:
        return f"row {parity.row} of {parity.rows}"
    if not parity.step or not parity.members & 1:
        return "a block without its first packet"
    return None
