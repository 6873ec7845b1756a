"""What nodes ask each other through the overlay itself: UDP inside IP Data, to a group of our own.

A question goes to every node, and so does its answer: whoever did not ask sees by the asker that it is not
his.  To nodes that do not know it, it is a packet like any other.  In front of each body stand 24 bytes:

     0              1              2              3              4              5            6         7
    |      "M"     |      "P"     | version 1 (8)|   kind (8)   |                     run (32)            |
    |                                          asker: node id (64)                                        |
    |          round (16)         |   part (8)   |   parts (8)  |                    time (32)            |

`time`, in us: of a question, within which answers are to be spread; of an answer, how long it was held back;
of a probe, its sender's clock, modulo 2^32.  Numbers of fixed size and bounded lists, no text encoding of
them: an answer's size is known before it is made, and everything in it has its bound.  What stands behind the
last field of a body is not looked at, so that a later version can say more.
"""

from enum import IntEnum, IntFlag
from struct import Struct as Twin
from typing import Any, NamedTuple, cast

from construct import (
    Const,
    ConstructError,
    GreedyString,
    Int8ub,
    Int16ub,
    Int32sb,
    Int32ub,
    Int64ub,
    Prefixed,
    PrefixedArray,
    Struct,
)

from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import DONT_FRAGMENT, Buffer, Header
from multicastmw.wire.udp import HEADER as UDP_HEADER
from multicastmw.wire.udp import PROTOCOL_UDP, Datagram, sum_of

# What we chose, and every node has to know.
GROUP = 0xEFFF4D44  # 239.255.77.68: of this organisation alone (RFC 2365), "MD", next to the doctor's
PORT = 19_780
TTL = 64  # so that the hops are what is missing of it
PAYLOAD_MAX = 1_200  # bytes, so that it fits each link's datagram unsplit
NODES_MAX = 128  # nodes that a question names
NAMES_MAX = 16  # names of one list
TEXT_MAX = 64  # bytes of a text
TAKERS_MAX = 48
STREAMS_MAX = 6
ENTRIES_MAX = 48  # of a report's part

UDP = Struct("source" / Int16ub, "port" / Int16ub, "length" / Int16ub, "checksum" / Int16ub)
BEGINS = b"MP\x01"


class Kind(IntEnum):
    """What a datagram is; one of another kind is of a later version, and is passed over."""

    PING = 1
    PING_ANSWER = 2
    SURVEY = 3
    PROBE = 4
    COLLECT = 5
    REPORT = 6
    TRACE = 7
    TRACE_ANSWER = 8


class Flag(IntFlag):
    """Of a route in an answer."""

    BEGINS_HERE = 1
    FAST = 2
    DENIED = 4
    SEEN = 8  # packets came; else it is only wanted


TEXT = Prefixed(Int8ub, GreedyString("utf8"))
NODES = PrefixedArray(Int8ub, Int64ub)
HEAD = Struct(
    Const(BEGINS),
    "kind" / Int8ub,
    "run" / Int32ub,
    "asker" / Int64ub,
    "round" / Int16ub,
    "part" / Int8ub,
    "parts" / Int8ub,
    "time" / Int32ub,
)
TAKER = Struct("node" / Int64ub, "name" / TEXT)
STREAM = Struct(
    "origin" / Int64ub,
    "ingress" / Int64ub,
    "received" / Int64ub,
    "lost" / Int64ub,
    "duplicates" / Int64ub,
    "reordered" / Int64ub,
)
ENTRY = Struct(
    "node" / Int64ub,
    "got" / Int8ub,
    "hops" / Int8ub,
    "least" / Int32ub,
    "mean_above" / Int32ub,
    "most_above" / Int32ub,
)
# The same for what comes in numbers: all of these are read in some microseconds, by construct in hundreds.
HEAD_TWIN = Twin("!BIQHBBI")  # behind what it begins with
HEAD_SIZE = len(BEGINS) + HEAD_TWIN.size
REPORT_TWIN = Twin("!BB")
ENTRY_TWIN = Twin("!QBBIII")
BODIES: dict[int, Struct] = {
    Kind.PING: Struct("group" / Int64ub, "source" / Int64ub, "nodes" / NODES),
    Kind.PING_ANSWER: Struct("hosts" / Int32ub, "since" / Int32sb, "wanted_by" / PrefixedArray(Int8ub, TEXT)),
    Kind.SURVEY: Struct("probes" / Int8ub, "interval" / Int16ub),
    Kind.PROBE: Struct("number" / Int8ub),
    Kind.COLLECT: Struct("nodes" / NODES),
    Kind.REPORT: Struct("sent" / Int8ub, "entries" / PrefixedArray(Int8ub, ENTRY)),
    Kind.TRACE: Struct("group" / Int64ub, "source" / Int64ub, "nodes" / NODES),
    Kind.TRACE_ANSWER: Struct(
        "clock" / Int32ub,
        "source" / Int64ub,
        "flags" / Int8ub,
        "packets" / Int64ub,
        "bytes" / Int64ub,
        "to_nobody" / Int64ub,
        "died_of_ttl" / Int64ub,
        "sent" / Int64ub,
        "why" / TEXT,
        "more" / Int16ub,
        "takers" / PrefixedArray(Int8ub, TAKER),
        "streams" / PrefixedArray(Int8ub, STREAM),
    ),
}


class Head(NamedTuple):
    """Whose question it is or belongs to; `asker` is a node id, and `run` the asker's own number."""

    kind: int
    run: int
    asker: int
    round: int = 0
    part: int = 0
    parts: int = 1
    time: int = 0


class Ping(NamedTuple):
    """Who wants the channel?  Who does answers, and so do `nodes`; without any, everybody."""

    group: int
    source: int = 0
    nodes: tuple[int, ...] = ()


class PingAnswer(NamedTuple):
    """`hosts` on the TAP want it since so many seconds (-1: it is not known), on behalf of these."""

    hosts: int
    since: int
    wanted_by: tuple[str, ...] = ()


class Survey(NamedTuple):
    """Everybody is to send so many probes, one in each interval (ms), and to count those of the others."""

    probes: int
    interval: int


class Probe(NamedTuple):
    """One of them, from 0."""

    number: int


class Collect(NamedTuple):
    """What did these nodes get of a survey?  Without any: everybody."""

    nodes: tuple[int, ...] = ()


class Entry(NamedTuple):
    """What came of one node's probes: how many, over how many hops, and how long they took.

    `least` is by both nodes' clocks, in us modulo 2^32, and means something only together with the way back;
    the others are above it.
    """

    node: int
    got: int
    hops: int
    least: int
    mean_above: int
    most_above: int


class Report(NamedTuple):
    """What a node has sent, and what it got of the others."""

    sent: int
    entries: tuple[Entry, ...] = ()


class Trace(NamedTuple):
    """What do the routes of the channel say?  Asked of these nodes; without any, of everybody."""

    group: int
    source: int = 0
    nodes: tuple[int, ...] = ()


class Taker(NamedTuple):
    """A node, or (0) somebody in the answering one, by name."""

    node: int
    name: str = ""


class StreamSeen(NamedTuple):
    """One origin's packets, and the node that they come from (0: none, or several, lead to it)."""

    origin: int
    ingress: int
    received: int
    lost: int
    duplicates: int
    reordered: int


class TraceAnswer(NamedTuple):
    """One route, or what there is instead of one; `clock` is the answering node's, in us modulo 2^32.

    `sent` counts what the node has numbered as its origin, `more` the takers that are not named.
    """

    clock: int
    source: int
    flags: int
    packets: int = 0
    bytes: int = 0
    to_nobody: int = 0
    died_of_ttl: int = 0
    sent: int = 0
    why: str = ""
    more: int = 0
    takers: tuple[Taker, ...] = ()
    streams: tuple[StreamSeen, ...] = ()


Body = Ping | PingAnswer | Survey | Probe | Collect | Report | Trace | TraceAnswer
VALUES: dict[int, Any] = {
    Kind.PING: Ping,
    Kind.PING_ANSWER: PingAnswer,
    Kind.SURVEY: Survey,
    Kind.PROBE: Probe,
    Kind.COLLECT: Collect,
    Kind.REPORT: Report,
    Kind.TRACE: Trace,
    Kind.TRACE_ANSWER: TraceAnswer,
}
ITEMS: dict[str, Any] = {"entries": Entry, "takers": Taker, "streams": StreamSeen}
BOUNDS = {
    "nodes": NODES_MAX, "wanted_by": NAMES_MAX, "entries": ENTRIES_MAX, "takers": TAKERS_MAX,
    "streams": STREAMS_MAX,
}  # fmt: skip


def cut(text: str) -> str:
    """As much of a text as an answer has room for."""
    return text.encode()[:TEXT_MAX].decode(errors="ignore")


def encode(head: Head, body: Body) -> bytes:
    """A datagram's payload; raises ValueError where a number or a list does not fit."""
    for name, most in BOUNDS.items():
        if len(getattr(body, name, ())) > most:
            raise ValueError(f"{len(getattr(body, name))} {name}")
    values = {
        name: [each._asdict() for each in value] if name in ITEMS else value
        for name, value in body._asdict().items()
    }
    try:
        payload = HEAD.build(head._asdict()) + BODIES[head.kind].build(values)
    except ConstructError as error:
        raise ValueError(str(error)) from None
    if len(payload) > PAYLOAD_MAX:
        raise ValueError(f"a payload of {len(payload)} bytes")
    return bytes(payload)


def head_of(payload: bytes) -> Head | None:
    """What stands in front; None for a kind that is not known.  Raises Malformed."""
    if payload[: len(BEGINS)] != BEGINS or not HEAD_SIZE <= len(payload) <= PAYLOAD_MAX:
        raise Malformed(f"no probe of ours: {payload[:4].hex()}")
    head = Head._make(HEAD_TWIN.unpack_from(payload, len(BEGINS)))
    return head if head.kind in BODIES else None


def body_of(head: Head, payload: bytes) -> Body:
    """What stands behind it; raises Malformed."""
    rest = payload[HEAD_SIZE:]
    if head.kind == Kind.PROBE and rest:
        return Probe(rest[0])
    if head.kind == Kind.REPORT:
        return _report(rest)
    try:
        parsed = BODIES[head.kind].parse(rest)
    except (ConstructError, UnicodeError) as error:
        raise Malformed(f"a probe of kind {head.kind}: {error}".partition("\n")[0]) from None
    value: Any = VALUES[head.kind]
    return cast(Body, value(*(_value(name, parsed[name]) for name in value._fields)))


def _report(rest: bytes) -> Report:
    if len(rest) < REPORT_TWIN.size:
        raise Malformed("a report of nothing")
    sent, count = REPORT_TWIN.unpack_from(rest)
    entries = rest[REPORT_TWIN.size : REPORT_TWIN.size + count * ENTRY_TWIN.size]
    if count > ENTRIES_MAX or len(entries) < count * ENTRY_TWIN.size:
        raise Malformed(f"a report of {count} nodes in {len(rest)} bytes")
    return Report(sent, tuple(map(Entry._make, ENTRY_TWIN.iter_unpack(entries))))


def decode(payload: bytes) -> tuple[Head, Body] | None:
    """Both; None for a kind that is not known.  Raises Malformed."""
    head = head_of(payload)
    return None if head is None else (head, body_of(head, payload))


def _value(name: str, value: Any) -> Any:
    if name not in BOUNDS:
        return value
    if len(value) > BOUNDS[name]:
        raise Malformed(f"{len(value)} {name}")
    if name not in ITEMS:
        return tuple(value)
    kind = ITEMS[name]
    return tuple(kind(*(each[field] for field in kind._fields)) for each in value)


def wrap(payload: bytes, source: int) -> bytes:
    """The IPv4 packet around a payload, from this address (32 bits)."""
    udp = UDP.build({"source": PORT, "port": PORT, "length": UDP.sizeof() + len(payload), "checksum": 0})
    datagram = bytearray(udp + payload)
    datagram[6:8] = (sum_of(source, GROUP, datagram) or 0xFFFF).to_bytes(2, "big")
    size = 20 + len(datagram)
    return Header(0, size, 0, DONT_FRAGMENT, TTL, PROTOCOL_UDP, source, GROUP).build() + datagram


def glance(packet: Buffer) -> tuple[int, int] | None:
    """Run and asker as they seem to stand in a packet that nobody has checked; None where it is short."""
    at = (packet[0] & 15) * 4 + UDP_HEADER.size + len(BEGINS) if packet else 0
    if len(packet) < at + HEAD_TWIN.size:
        return None
    _, run, asker, *_ = HEAD_TWIN.unpack_from(packet, at)
    return run, asker


def unwrap(packet: Buffer) -> bytes:
    """The payload; raises Malformed for what is no whole UDP datagram to our port."""
    datagram = Datagram.parse(packet)
    total, header = packet[2] << 8 | packet[3], (packet[0] & 15) * 4
    behind = total - header - UDP_HEADER.size - len(datagram.payload)
    if datagram.port != PORT or behind:
        raise Malformed(f"UDP to port {datagram.port}, and {behind} bytes behind it")
    return datagram.payload
