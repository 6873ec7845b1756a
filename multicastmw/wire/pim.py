"""The Hello of PIM version 2 (RFC 7761, 4.9 and 4.9.2), by which the gateways of one LAN know each other.

To 224.0.0.13 with TTL 1, IP protocol 103:

     0             1             2             3
    +------+------+-------------+-------------+-------------+
    |  2   |  0   |  reserved   |         checksum          |
    +------+------+-------------+-------------+-------------+
    |       option type         |      option length        |   n times, each with
    |                      option value                     |   its value, unpadded

Holdtime (1), DR priority (19) and generation ID (20) are what any PIM router and any snooping switch expects.
The priority is 0, the lowest: a router that shares the LAN goes on being the designated one.  Who is a
gateway of an overlay says so in an option of the types that are for private use:

    |           'M'             'C'             'M'             'W'         |
    |                            node id (64)                               |
    |  state: 1 listening, 2 standing by, 3 forwarding |  0  | hold, ms (16) |

`hold`: how long this holds without another Hello; 0: the gateway leaves.
"""

from enum import IntEnum
from math import ceil
from struct import Struct as Twin
from typing import NamedTuple

from construct import (
    Const,
    GreedyBytes,
    GreedyRange,
    Int8ub,
    Int16ub,
    Int64ub,
    Prefixed,
    Struct,
    Terminated,
)

from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import DONT_FRAGMENT, MORE_FRAGMENTS, OFFSET_MASK, Buffer, Header, checksum

# What the RFCs say.
PROTOCOL_PIM = 103
ALL_PIM_ROUTERS = 0xE000000D  # 224.0.0.13
VERSION_2_HELLO = b"\x20\0"
HEADER_SIZE = 4
HOLDTIME, DR_PRIORITY, GENERATION_ID = 1, 19, 20
LOWEST_PRIORITY = 0
TOS = 0xC0  # internetwork control
TTL = 1

# Chosen.
GATEWAY = 0xFE4D  # of 65001 to 65535, which are for private use
MAGIC = b"MCMW"
LONGEST = 512  # bytes; routers say some 60


class State(IntEnum):
    """What a gateway does for its LAN."""

    LISTENING = 1
    STANDING_BY = 2
    FORWARDING = 3


STATES = frozenset(State)
OPTION = Struct("type" / Int16ub, "value" / Prefixed(Int16ub, GreedyBytes))
OPTIONS = Struct("options" / GreedyRange(OPTION), Terminated)
GATEWAY_OPTION = Struct(
    Const(MAGIC), "node" / Int64ub, "state" / Int8ub, Const(0, Int8ub), "hold_ms" / Int16ub, Terminated
)
# A stranger on the LAN may send as many as he likes: read by twins, one costs what a packet does.
OPTION_TWIN = Twin("!HH")
GATEWAY_TWIN = Twin("!4sQBBH")


class Hello(NamedTuple):
    """A gateway says what it does; `hold` in seconds, 0: it leaves.  `address` is where it speaks from."""

    node: int
    state: State
    hold: float
    generation: int = 0
    address: int = 0


def unpack(packet: Buffer) -> Hello | None:
    """Reads one whole IPv4 packet that carries PIM; None is another's business.  Raises Malformed."""
    header = Header.parse(packet)
    message = bytes(packet[header.size : header.total_length])
    if MAGIC not in message or message[:2] != VERSION_2_HELLO:
        return None  # an ordinary router's, of any type
    if len(packet) > LONGEST or header.protocol != PROTOCOL_PIM or header.ttl != TTL:
        raise Malformed(f"no Hello: {len(packet)} bytes, protocol {header.protocol}, TTL {header.ttl}")
    if header.flags_and_offset & (MORE_FRAGMENTS | OFFSET_MASK):
        raise Malformed("a fragment")
    if checksum(packet[: header.size]) or checksum(message):
        raise Malformed("a checksum is wrong")
    return _parse(message, header.source)


def _parse(message: bytes, source: int) -> Hello | None:
    """The twin of the declarations: options in any order, others than ours skipped (RFC 7761, 4.9.2)."""
    at, generation, ours = HEADER_SIZE, 0, b""
    while at < len(message):
        value = at + OPTION_TWIN.size
        if value > len(message):
            raise Malformed(f"{len(message) - at} bytes are no option")
        kind, length = OPTION_TWIN.unpack_from(message, at)
        at = value + length
        if at > len(message):
            raise Malformed(f"option {kind} says {length} bytes, and {len(message) - value} are there")
        if kind == GENERATION_ID:
            generation = int.from_bytes(message[value : min(at, value + 4)], "big")
        elif kind == GATEWAY and message.startswith(MAGIC, value):
            ours = message[value:at]
    if not ours:
        return None
    if len(ours) != GATEWAY_TWIN.size:
        raise Malformed(f"a gateway's option of {len(ours)} bytes")
    _, node, state, zero, hold_ms = GATEWAY_TWIN.unpack(ours)
    if zero or state not in STATES:
        raise Malformed(f"a gateway in state {state}, {zero}")
    return Hello(node, State(state), hold_ms / 1000, generation, source)


def pack(hello: Hello) -> bytes:
    """The whole IPv4 packet of a Hello.  Holdtime is in whole seconds, and never too short."""
    ours = GATEWAY_OPTION.build(
        {"node": hello.node, "state": hello.state, "hold_ms": round(hello.hold * 1000)}
    )
    values = (
        (HOLDTIME, ceil(hello.hold).to_bytes(2, "big")),
        (DR_PRIORITY, LOWEST_PRIORITY.to_bytes(4, "big")),
        (GENERATION_ID, hello.generation.to_bytes(4, "big")),
        (GATEWAY, ours),
    )
    body: bytes = OPTIONS.build({"options": [{"type": kind, "value": value} for kind, value in values]})
    total = VERSION_2_HELLO + b"\0\0" + body
    message = VERSION_2_HELLO + checksum(total).to_bytes(2, "big") + body
    header = Header(
        TOS, 20 + len(message), 0, DONT_FRAGMENT, TTL, PROTOCOL_PIM, hello.address, ALL_PIM_ROUTERS
    )
    return header.build() + message
