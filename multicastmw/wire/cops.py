"""The frame that every message and object wears; it looks like COPS (RFC 2748, 2.1 and 2.2).

Common header, 8 bytes; the length counts it and all that follows, and is a multiple of 4:

     0             1             2             3
    +------+------+-------------+-------------+-------------+
    |vers 1|flags |   op code   |        client type        |
    +------+------+-------------+-------------+-------------+
    |                    message length                     |
    +-------------+-------------+-------------+-------------+

Object header, 4 bytes; the length counts it and the data, not the padding to 4:

    +-------------+-------------+-------------+-------------+
    |      object length        |    C-Num    |   C-Type    |
    +-------------+-------------+-------------+-------------+
"""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct as Twin

from construct import BitStruct, Int8ub, Int16ub, Int32ub, Nibble, Struct

from multicastmw.wire.errors import PeerError

# What the specification says.
VERSION = 1
CLIENT_TYPE = 0x4D43
HEADER = Struct(
    "first" / BitStruct("version" / Nibble, "flags" / Nibble),
    "op_code" / Int8ub,
    "client_type" / Int16ub,
    "length" / Int32ub,
)
OBJECT_HEADER = Struct("length" / Int16ub, "c_num" / Int8ub, "c_type" / Int8ub)
HEADER_TWIN = Twin("!BBHI")
OBJECT_TWIN = Twin("!HBB")

TLS_RECORD = 0x16  # how a TLS handshake begins: a peer that wants TLS where there is none
HTTP_ANSWER = b"HTTP"  # and so an answer of HTTP, where a web server was dialled; requests begin with one of
HTTP_REQUEST = (b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"TRAC", b"CONN", b"PRI ")
NO_HTTP_PORT = "it sent an HTTP request, and this is no HTTP port"

# What we chose: room for the longest IP packet and our 60 bytes, and little more.
MESSAGE_MAX = 66_000


class Op(IntEnum):
    """Operations; the first three are COPS's own."""

    OPEN = 6
    CLOSE = 8
    KEEP_ALIVE = 9
    ADD_ROUTE = 32
    REMOVE_ROUTE = 33
    IP_DATA = 34
    HAVE = 35
    NACK = 36
    PEERS = 37
    FIND = 38
    PARITY = 39
    REGISTER = 40
    REGISTERED = 41


class CNum(IntEnum):
    """Object classes; those below 64 are COPS's own."""

    ERROR = 8
    KEEP_ALIVE_TIMER = 10
    PEPID = 11
    NODE = 64
    DATA_PORT = 65
    GROUP = 66
    FORWARDING = 68
    PACKET = 69
    TOKEN = 70
    ECHO = 71
    REASON = 72
    CAPABILITIES = 73
    ADDRESS = 74
    STREAM = 75
    SEQUENCE = 76
    RANGE = 77
    LOAD = 78
    PATH = 79
    COST = 80
    RATE = 81
    REFUSAL = 82
    BACK_OFF = 83
    KIND = 84
    SAMPLE = 85
    ESTIMATE = 86
    RECOVERY = 87
    CORRECTION = 88
    TALLY = 89
    PARITY = 90


class Code(IntEnum):
    """Error codes of a Close (RFC 2748, 2.2.8)."""

    BAD_FORMAT = 3
    UNABLE = 4
    CLIENT_TYPE = 6
    OBJECT_MISSING = 7
    SILENT = 9
    SHUTTING_DOWN = 11
    AUTHENTICATION = 14
    TLS_REQUIRED = 15


UNUSED = 1  # sub-code of SHUTTING_DOWN: the node goes on, the link is of no use to the mesh


class Unable(IntEnum):
    """Sub-codes of UNABLE."""

    CYCLE = 1
    DUPLICATE_LINK = 2
    SELF = 3
    TOO_MANY = 4


def frame(op_code: int, objects: bytes) -> bytes:
    """A message around objects that are padded already."""
    client_type = 0 if op_code == Op.KEEP_ALIVE else CLIENT_TYPE  # RFC 2748, 3.9
    return HEADER_TWIN.pack(VERSION << 4, op_code, client_type, HEADER_TWIN.size + len(objects)) + objects


def pack_object(c_num: int, c_type: int, data: bytes) -> bytes:
    """One object, padded to 4."""
    return OBJECT_TWIN.pack(OBJECT_TWIN.size + len(data), c_num, c_type) + data + bytes(-len(data) % 4)


def message_length(head: bytes | bytearray | memoryview, longest: int = MESSAGE_MAX) -> int:
    """The length that a common header claims; raises PeerError where it cannot be one."""
    first, _, _, length = HEADER_TWIN.unpack_from(head)
    if first == TLS_RECORD:
        raise PeerError(Code.BAD_FORMAT, 0, "it speaks TLS, and this node has none ([tls] is empty)")
    if first >> 4 != VERSION:
        begin = bytes(head[:4])
        if begin in HTTP_REQUEST:
            raise PeerError(Code.BAD_FORMAT, 0, NO_HTTP_PORT)
        if begin == HTTP_ANSWER:
            raise PeerError(Code.BAD_FORMAT, 0, "it answers in HTTP: a web server, and no node")
        if all(0x20 <= byte < 0x7F for byte in begin):  # no version's header: its op code is a letter
            raise PeerError(Code.BAD_FORMAT, 0, "it speaks another protocol, and is no node")
        raise PeerError(Code.BAD_FORMAT, 0, f"version {first >> 4}, not 1")
    if length % 4 or not HEADER_TWIN.size <= length <= longest:
        raise PeerError(Code.BAD_FORMAT, 0, f"a message of {length} bytes")
    return int(length)


def op_code(message: memoryview) -> int:
    """What a whole message is; raises PeerError for another client type than ours."""
    if len(message) < HEADER_TWIN.size:
        raise PeerError(Code.BAD_FORMAT, 0, f"a message of {len(message)} bytes")
    _, op, client_type, _ = HEADER_TWIN.unpack_from(message)
    if client_type != CLIENT_TYPE and not (op == Op.KEEP_ALIVE and client_type == 0):
        raise PeerError(Code.CLIENT_TYPE, 0, f"client type {client_type:#06x}, not {CLIENT_TYPE:#06x}")
    return int(op)


def objects(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Walks (C-Num, C-Type, data) of a whole message; raises PeerError where a length lies."""
    at, end = HEADER_TWIN.size, len(message)
    while at < end:
        if end - at < OBJECT_TWIN.size:
            raise PeerError(Code.BAD_FORMAT, 0, f"{end - at} bytes behind the last object")
        length, c_num, c_type = OBJECT_TWIN.unpack_from(message, at)
        if length < OBJECT_TWIN.size or at + length + -length % 4 > end:
            raise PeerError(Code.BAD_FORMAT, 0, f"object {c_num} claims {length} bytes of {end - at}")
        yield c_num, c_type, message[at + OBJECT_TWIN.size : at + length]
        at += length + -length % 4
