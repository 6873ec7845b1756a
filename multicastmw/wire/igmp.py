"""IGMP messages, versions 1 to 3, and the IPv4 packets around them (RFC 1112, RFC 2236, RFC 3376).

A query's version is told by its length (8 bytes: 1 or 2, 12 and more: 3), a report's by its type.  All
that is shorter than 12 bytes has this shape; what follows the group is ignored (RFC 2236, 2.5):

     0             1             2             3
    +-------------+-------------+-------------+-------------+
    |    type     |max resp code|         checksum          |
    +-------------+-------------+-------------+-------------+
    |                         group                         |
    +-------------+-------------+-------------+-------------+

Version 3 query (RFC 3376, 4.1); S: routers shall not update their timers, QRV: the querier's robustness:

    |    0x11     |max resp code|         checksum          |
    |              group, 0 in a general query              |
    |resv  |S|QRV |interval code|     number of sources     |
    |                  source address x n                   |

Version 3 report (RFC 3376, 4.2) and, n times in it, the group record; auxiliary data is skipped:

    |    0x22     |  reserved   |         checksum          |
    |         reserved          |     number of records     |

    | record type |  aux words  |     number of sources     |
    |                         group                         |
    |                  source address x n                   |
    |                   auxiliary data                      |

The declarations are the truth.  Hosts answer a general query with thousands of records at once, and one
program that ends leaves as many groups: parsing reports and building queries have struct twins.  (A report
of 170 records: 0.11 ms, by the declaration 1.8; a query: 5 µs, by the declaration 30.)
"""

from bisect import bisect_left, bisect_right
from enum import IntEnum, StrEnum
from math import ceil
from struct import Struct as Twin
from struct import pack as pack_as
from struct import unpack_from
from typing import NamedTuple

from construct import (
    Array,
    BitsInteger,
    BitStruct,
    Bytes,
    Const,
    ConstructError,
    Default,
    Flag,
    Int8ub,
    Int16ub,
    Int32ub,
    Nibble,
    PrefixedArray,
    Rebuild,
    Struct,
    this,
)

from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import (
    DONT_FRAGMENT,
    MORE_FRAGMENTS,
    OFFSET_MASK,
    PROTOCOL_IGMP,
    Buffer,
    Header,
    checksum,
)

# What the RFCs say.
ALL_SYSTEMS = 0xE0000001  # 224.0.0.1: where general queries go
ALL_ROUTERS = 0xE0000002  # 224.0.0.2: where leaves go
ALL_V3_ROUTERS = 0xE0000016  # 224.0.0.22: where version 3 reports go
V1_RESPONSE = 10.0  # seconds; code 0 is version 1, whose hosts answer within 10 s (RFC 2236, 4)
TOS = 0xC0  # internetwork control (RFC 3376, 4)
TTL = 1
ROUTER_ALERT = bytes((0x94, 4, 0, 0))  # RFC 2113
MOST_ROBUSTNESS = 7  # QRV has three bits; 0: not said


class Type(IntEnum):
    """Message types."""

    QUERY = 0x11
    REPORT_V1 = 0x12
    REPORT_V2 = 0x16
    LEAVE = 0x17
    REPORT_V3 = 0x22


class Kind(IntEnum):
    """Types of group records, by the names they have in the tables of RFC 3376, 6.4."""

    IS_IN = 1
    IS_EX = 2
    TO_IN = 3
    TO_EX = 4
    ALLOW = 5
    BLOCK = 6


class Reason(StrEnum):
    """Why a packet was refused; counters go by it, so it stays a short list."""

    HEADER = "header"
    FRAGMENT = "fragment"
    PROTOCOL = "protocol"
    CHECKSUM = "checksum"
    LENGTH = "length"


class BadIgmp(Malformed):
    """A packet that is no IGMP message, or a damaged one."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__(why)
        self.reason = reason


MESSAGE = Struct(
    "type" / Int8ub,
    "code" / Default(Int8ub, 0),
    "checksum" / Default(Int16ub, 0),
    "group" / Int32ub,
)
QUERY = Struct(
    Const(Type.QUERY, Int8ub),
    "code" / Int8ub,
    "checksum" / Default(Int16ub, 0),
    "group" / Int32ub,
    "flags" / BitStruct("reserved" / Default(Nibble, 0), "suppress" / Flag, "robustness" / BitsInteger(3)),
    "interval_code" / Int8ub,
    "sources" / PrefixedArray(Int16ub, Int32ub),
)
RECORD = Struct(
    "kind" / Int8ub,
    "aux_words" / Rebuild(Int8ub, lambda record: len(record.auxiliary) // 4),
    "count" / Rebuild(Int16ub, lambda record: len(record.sources)),
    "group" / Int32ub,
    "sources" / Array(this.count, Int32ub),
    "auxiliary" / Bytes(this.aux_words * 4),
)
REPORT = Struct(
    Const(Type.REPORT_V3, Int8ub),
    "reserved" / Default(Int8ub, 0),
    "checksum" / Default(Int16ub, 0),
    "reserved_too" / Default(Int16ub, 0),
    "records" / PrefixedArray(Int16ub, RECORD),
)

MESSAGE_TWIN = Twin("!BBHI")
QUERY_TWIN = Twin("!BBHIBBH")
REPORT_TWIN = Twin("!BBHHH")
RECORD_TWIN = Twin("!BBHI")


class Query(NamedTuple):
    """A router asks; group 0: for all groups.  Times in seconds; robustness, interval 0: not said."""

    version: int = 3
    group: int = 0
    max_response: float = V1_RESPONSE
    sources: tuple[int, ...] = ()
    suppress: bool = False
    robustness: int = 0
    interval: float = 0.0


class Report(NamedTuple):
    """A host is a member of the group, says version 1 or 2."""

    version: int
    group: int


class Leave(NamedTuple):
    """A host, perhaps the last one, left the group (version 2)."""

    group: int


class Record(NamedTuple):
    """What a version 3 host wants of one group; `kind` is a Kind, or a number not known yet."""

    kind: int
    group: int
    sources: tuple[int, ...] = ()
    auxiliary: bytes = b""


class ReportV3(NamedTuple):
    """What a version 3 host wants, in records."""

    records: tuple[Record, ...]


class Unknown(NamedTuple):
    """A message of another type (DVMRP, PIM version 1, mtrace, ...), to be ignored silently (RFC 3376, 4)."""

    type: int


Message = Query | Report | Leave | ReportV3 | Unknown


class Arrival(NamedTuple):
    """One message and what the IPv4 header said of it."""

    message: Message
    source: int
    destination: int
    router_alert: bool


# The floating-point codes of RFC 3376, 4.1.1 and 4.1.7: from 128 on, 1 | exp (3 bits) | mant (4 bits) is
# (mant | 0x10) << (exp + 3).  They rise steadily, so a bisection is the way back.
CODES = tuple(code if code < 128 else (code & 15 | 16) << (code >> 4 & 7) + 3 for code in range(256))
MOST_INTERVAL = CODES[-1]  # 31,744


def code_below(value: int) -> int:
    """The code of the greatest value that is not above: whoever has less time answers in time."""
    return max(bisect_right(CODES, value) - 1, 0)


def code_above(value: int) -> int:
    """The code of the least value that is not below: who times us out by it is not early."""
    return min(bisect_left(CODES, value), 255)


def unpack(packet: Buffer) -> Arrival:
    """Reads one whole IPv4 packet that carries IGMP; raises BadIgmp."""
    try:
        header = Header.parse(packet)
    except Malformed as problem:
        raise BadIgmp(Reason.HEADER, str(problem)) from problem
    if header.protocol != PROTOCOL_IGMP:
        raise BadIgmp(Reason.PROTOCOL, f"protocol {header.protocol}")
    if checksum(packet[: header.size]):
        raise BadIgmp(Reason.CHECKSUM, "the IPv4 header's checksum is wrong")
    if header.flags_and_offset & (MORE_FRAGMENTS | OFFSET_MASK):
        # Nobody fragments a report: hosts split it by records (RFC 3376, 4.2.16).
        raise BadIgmp(Reason.FRAGMENT, "a fragment")
    message = parse(packet[header.size : header.total_length])
    return Arrival(message, header.source, header.destination, has_router_alert(header.options))


def parse(message: Buffer) -> Message:
    """Reads one IGMP message; raises BadIgmp.  The checksum is over all there is (RFC 3376, 4.1.10)."""
    if len(message) < MESSAGE_TWIN.size:
        raise BadIgmp(Reason.LENGTH, f"{len(message)} bytes are no IGMP message")
    if checksum(message):
        raise BadIgmp(Reason.CHECKSUM, "the IGMP checksum is wrong")
    kind, code, _, group = MESSAGE_TWIN.unpack_from(message)
    match kind:
        case Type.REPORT_V3:
            return ReportV3(_parse_records(message))
        case Type.REPORT_V2:
            return Report(2, group)
        case Type.REPORT_V1:
            return Report(1, group)
        case Type.LEAVE:
            return Leave(group)
        case Type.QUERY:
            return _parse_query(message, code, group)
    return Unknown(kind)


def _parse_query(message: Buffer, code: int, group: int) -> Query:
    """RFC 3376, 7.1: the length decides, and 9 to 11 bytes are no query of any version."""
    if len(message) == MESSAGE_TWIN.size:
        return Query(2, group, code / 10) if code else Query(1, group, V1_RESPONSE)
    try:
        query = QUERY.parse(message)
    except ConstructError as problem:
        raise BadIgmp(Reason.LENGTH, f"a query of {len(message)} bytes says that it is longer") from problem
    interval = float(CODES[query.interval_code])
    flags = query.flags
    return Query(3, group, CODES[code] / 10, tuple(query.sources), flags.suppress, flags.robustness, interval)


def _parse_records(message: Buffer) -> tuple[Record, ...]:
    """The twin of REPORT.  Counts are claims: the bytes are looked for before anything is made of them."""
    count = REPORT_TWIN.unpack_from(message)[-1]
    at = REPORT_TWIN.size
    records = []
    for number in range(count):
        body = at + RECORD_TWIN.size
        if body > len(message):
            raise BadIgmp(Reason.LENGTH, f"{count} records said, {number} there")
        kind, aux_words, sources, group = RECORD_TWIN.unpack_from(message, at)
        auxiliary = body + 4 * sources
        at = auxiliary + 4 * aux_words
        if at > len(message):
            raise BadIgmp(Reason.LENGTH, f"record {number}: no {sources} sources and {aux_words} words")
        addresses = unpack_from(f"!{sources}I", message, body) if sources else ()
        records.append(Record(kind, group, addresses, bytes(message[auxiliary:at])))
    return tuple(records)


def build(message: Message) -> bytes:
    """The bytes of a message with a right checksum."""
    match message:
        case Query():
            raw = _build_query(message)
        case Report(version, group):
            raw = MESSAGE.build({"type": Type.REPORT_V1 if version == 1 else Type.REPORT_V2, "group": group})
        case Leave(group):
            raw = MESSAGE.build({"type": Type.LEAVE, "group": group})
        case ReportV3(records):
            raw = REPORT.build({"records": [record._asdict() for record in records]})
        case Unknown(kind):
            raise ValueError(f"no message of type {kind:#x} can be built")
    return raw[:2] + checksum(raw).to_bytes(2, "big") + raw[4:]


def _build_query(query: Query) -> bytes:
    """The twin of QUERY; each version has its own maximum response code."""
    tenths = int(query.max_response * 10 + 0.001)
    if query.version == 1:
        return MESSAGE_TWIN.pack(Type.QUERY, 0, 0, query.group)
    if query.version == 2:
        return MESSAGE_TWIN.pack(Type.QUERY, min(max(tenths, 1), 255), 0, query.group)
    robustness = query.robustness if query.robustness <= MOST_ROBUSTNESS else 0
    head = QUERY_TWIN.pack(Type.QUERY, code_below(tenths), 0, query.group, query.suppress << 3 | robustness,
                           code_above(ceil(query.interval)), len(query.sources))  # fmt: skip
    return head + pack_as(f"!{len(query.sources)}I", *query.sources)


def pack(message: Message, source: int, destination: int) -> bytes:
    """The whole IPv4 packet around a message."""
    body = build(message)
    options = ROUTER_ALERT if carries_router_alert(message) else b""
    length = 20 + len(options) + len(body)
    # Never fragmented, so it needs no identification (RFC 6864, 4.1).
    header = Header(TOS, length, 0, DONT_FRAGMENT, TTL, PROTOCOL_IGMP, source, destination, options)
    return header.build() + body


def carries_router_alert(message: Message) -> bool:
    """Must it?  Versions 2 and 3 (RFC 2236, 2; RFC 3376, 4); version 1 hosts may know no options at all."""
    match message:
        case Query(version) | Report(version):
            return version > 1
        case Leave() | ReportV3():
            return True
    return False


def has_router_alert(options: bytes) -> bool:
    """Is the option there?  Options that do not fit together end the search: they are no IGMP matter."""
    at = 0
    while at + 1 < len(options) and options[at] != 0:
        if options[at] == ROUTER_ALERT[0]:
            return True
        # 1 is the no-operation, the only other option without a length.
        at += 1 if options[at] == 1 else max(options[at + 1], 2)
    return False
