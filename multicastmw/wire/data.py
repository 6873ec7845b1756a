"""IP Data: the one message on the packet path, 60 bytes in front of the packet that it carries.

      0  | common header: version 1, op code 34, client type, length (8 bytes)          |
      8  | object header: 48, Forwarding, type 1 (4)                                     |
     12  | link token (8): the receiver's on UDP, 0 on TCP                               |
     20  | origin (8)                                                                    |
     28  | group key (8)                                                                 |
     36  | source key (8)                                                                |
     44  | sequence (4)                                                                  |
     48  | origin time in us, modulo 2^32 (4)                                            |
     52  | hop limit (1) | class (1) | flags (1) | low water (1)                         |
     56  | object header: 4 + n, Packet, type 1 IPv4, 2 IPv6, 3 sealed (4)               |
     60  | the packet (n), padded to 4                                                   |

A relay rewrites the token and the hop limit in place and touches nothing else.  The declaration below is
the truth; the twin is what runs, and a property test holds the two to the same bytes.
"""

from struct import Struct as Twin
from typing import NamedTuple

from construct import Const, Int8ub, Int16ub, Int32ub, Int64ub, Struct

from multicastmw.wire.cops import CLIENT_TYPE, CNum, Op
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Buffer

FORWARDING = Struct(
    "token" / Int64ub,
    "origin" / Int64ub,
    "group" / Int64ub,
    "source" / Int64ub,
    "sequence" / Int32ub,
    "origin_time" / Int32ub,
    "hop_limit" / Int8ub,
    "service_class" / Int8ub,
    "flags" / Int8ub,
    "low_water" / Int8ub,
)
IP_DATA = Struct(
    Const(0x10, Int8ub),
    Const(Op.IP_DATA, Int8ub),
    Const(CLIENT_TYPE, Int16ub),
    "length" / Int32ub,
    Const(48, Int16ub),
    Const(CNum.FORWARDING, Int8ub),
    Const(1, Int8ub),
    "forwarding" / FORWARDING,
    "packet_length" / Int16ub,
    Const(CNum.PACKET, Int8ub),
    "packet_type" / Int8ub,
)

TWIN = Twin("!HHIIQQQQIIBBBBHBB")
FIRST_TWIN = Twin("!HHIIQ")
TOKEN_TWIN = Twin("!Q")
SEQUENCE_TWIN = Twin("!I")
HEADER_SIZE = TWIN.size
TOKEN_OFFSET = 12
ORIGIN_OFFSET = 20
SEQUENCE_OFFSET = 44
SYMBOL_OFFSET = 48  # what parity is made of begins there
HOP_LIMIT_OFFSET, FLAGS_OFFSET, LOW_WATER_OFFSET = 52, 54, 55
IPV4, IPV6, SEALED = 1, 2, 3
NUMBERED_BY_KERNEL, RETRANSMITTED, BEACON, REBUILT = 1, 2, 4, 8  # flags; 16 is kept for STALL
CAME_AGAIN = RETRANSMITTED | REBUILT  # out of its turn
SHARED = 32  # another origin's packet, on a shared tree (shared.py)

FIRST = 0x10 << 8 | Op.IP_DATA
FORWARDING_HEADER = 48 << 16 | CNum.FORWARDING << 8 | 1
PACKET = int(CNum.PACKET)


class DataHeader(NamedTuple):
    """The 60 bytes as values; `packet_length` is the object's: 4 + the packet's bytes."""

    first: int
    client_type: int
    length: int
    forwarding_header: int
    token: int
    origin: int
    group: int
    source: int
    sequence: int
    origin_time: int
    hop_limit: int
    service_class: int
    flags: int
    low_water: int
    packet_length: int
    packet_c_num: int
    packet_type: int

    @classmethod
    def parse(cls, message: Buffer) -> "DataHeader":
        """Reads the header of one whole message; raises Malformed where it is not one."""
        if len(message) < HEADER_SIZE:
            raise Malformed(f"IP Data of {len(message)} bytes")
        header = cls._make(TWIN.unpack_from(message))
        if (
            header.first != FIRST
            or header.client_type != CLIENT_TYPE
            or header.forwarding_header != FORWARDING_HEADER
            or header.packet_c_num != PACKET
            or header.packet_length <= 4
            or header.length != HEADER_SIZE - 4 + (header.packet_length + 3 & ~3)
            or header.length != len(message)
        ):
            raise Malformed(f"not an IP Data message: {bytes(message[:HEADER_SIZE]).hex()}")
        return header


def without_token(message: bytes) -> bytes:
    """The same for TCP, where nobody is to learn a token."""
    return message[:TOKEN_OFFSET] + bytes(TOKEN_TWIN.size) + message[TOKEN_OFFSET + TOKEN_TWIN.size :]


def first_bytes(length: int) -> bytes:
    """What stands before the origin in a message of so many bytes, with token 0."""
    return FIRST_TWIN.pack(FIRST, CLIENT_TYPE, length, FORWARDING_HEADER, 0)


def padded(length: int) -> int:
    """The length of an IP Data message around a packet of `length` bytes."""
    return HEADER_SIZE + (length + 3 & ~3)


def build(
    packet: bytes,
    *,
    token: int,
    origin: int,
    group: int,
    source: int,
    sequence: int,
    origin_time: int = 0,
    hop_limit: int = 1,
    service_class: int = 0,
    flags: int = 0,
    low_water: int = 0,
    packet_type: int = IPV4,
) -> bytes:
    """A whole IP Data message; for tests and tools, the packet path packs in place."""
    head = TWIN.pack(
        FIRST,
        CLIENT_TYPE,
        padded(len(packet)),
        FORWARDING_HEADER,
        token,
        origin,
        group,
        source,
        sequence,
        origin_time,
        hop_limit,
        service_class,
        flags,
        low_water,
        4 + len(packet),
        PACKET,
        packet_type,
    )
    return head + packet + bytes(-len(packet) % 4)
