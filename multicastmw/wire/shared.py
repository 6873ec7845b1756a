"""Packets on their way to and over a shared tree: what their origin made of them stands in them all the way.

    Register        IP Data of the origin, but for the op code:
                    | common header, op code 40 | Forwarding of the origin | Packet |
    on the tree     IP Data of the rendezvous point, source key 0, flag SHARED:
                    | common header, op code 34 | Forwarding of the tree   | Packet: the same, and behind it |
                    | origin (8) | source key (8) | sequence (4) | hop limit (1) | reserved (3) |

So whoever takes a packet off the tree has it as if it had come from its origin by a tree of its own, and the
ordinary window drops what came twice.  Its hop limit is the one that the rendezvous point would have sent;
that of the tree itself begins at 255, so that no number is missing on it where a packet's hops are used up.
An IP packet says how long it is, so a node that does not know of shared trees passes it on, and its kernel
cuts off what stands behind it.
"""

from struct import Struct as Twin

from construct import Bytes, Int8ub, Int32ub, Int64ub, Struct

from multicastmw.wire.cops import Code, Op
from multicastmw.wire.data import (
    FLAGS_OFFSET,
    HEADER_SIZE,
    HOP_LIMIT_OFFSET,
    SHARED,
    TOKEN_OFFSET,
    TOKEN_TWIN,
    DataHeader,
    build,
)
from multicastmw.wire.errors import Malformed, PeerError
from multicastmw.wire.ipv4 import Buffer
from multicastmw.wire.mesh import Register, StreamKey

BEGAN = Struct(
    "origin" / Int64ub, "source" / Int64ub, "sequence" / Int32ub, "hop_limit" / Int8ub, "reserved" / Bytes(3)
)
BEGAN_TWIN = Twin("!QQIB3x")
HOPS = 255  # of the tree itself
OP_OFFSET = 1
ANY = 0  # the source key of a shared tree's stream


def register(message: Register, token: int) -> bytes:
    """The message's bytes, with the receiver's token; raises ValueError where it holds no IP Data message."""
    try:
        _header_of(message.message)
    except Malformed as error:
        raise ValueError(str(error)) from error
    packed = bytearray(message.message)
    packed[OP_OFFSET] = Op.REGISTER
    TOKEN_TWIN.pack_into(packed, TOKEN_OFFSET, token)
    return bytes(packed)


def read_register(message: memoryview) -> Register:
    """Raises PeerError for what is no packet of a source."""
    inner = bytearray(message)
    inner[OP_OFFSET] = Op.IP_DATA
    if len(inner) >= HEADER_SIZE:
        TOKEN_TWIN.pack_into(inner, TOKEN_OFFSET, 0)
    try:
        header = _header_of(inner)
    except Malformed as error:
        raise PeerError(Code.BAD_FORMAT, 0, f"a Register: {error}") from error
    return Register(StreamKey(header.origin, header.group, header.source), header.sequence, bytes(inner))


def _header_of(message: Buffer) -> DataHeader:
    header = DataHeader.parse(message)
    if header.source == ANY or not header.group or not header.hop_limit:
        raise Malformed("a packet without group, source or hops")
    return header


def wrapped(message: bytes, origin: int, sequence: int) -> bytes:
    """An origin's IP Data message as it goes over the tree of `origin`; a hop further, if it is another's."""
    header = DataHeader.parse(message)
    packet = message[HEADER_SIZE : HEADER_SIZE - 4 + header.packet_length]
    hop_limit = header.hop_limit - (header.origin != origin)
    began = BEGAN_TWIN.pack(header.origin, header.source, header.sequence, hop_limit)
    return build(
        packet + began,
        token=0,
        origin=origin,
        group=header.group,
        source=ANY,
        sequence=sequence,
        origin_time=header.origin_time,
        hop_limit=HOPS,
        service_class=header.service_class,
        flags=SHARED,
        packet_type=header.packet_type,
    )


def opened(message: Buffer) -> bytes:
    """The origin's message again, with the hops that are left; empty where they are used up.

    The envelope stands as it is sent on.  Raises Malformed where there is nothing in it.
    """
    header = DataHeader.parse(message)
    end = HEADER_SIZE - 4 + header.packet_length - BEGAN_TWIN.size
    if not message[FLAGS_OFFSET] & SHARED or header.source != ANY or end <= HEADER_SIZE:
        raise Malformed("a packet of a shared tree that does not say whose it is")
    origin, source, sequence, hop_limit = BEGAN_TWIN.unpack_from(message, end)
    if source == ANY:
        raise Malformed("a packet of a shared tree inside another one")
    hops = HOPS - message[HOP_LIMIT_OFFSET]
    if hop_limit < hops:
        return b""
    return build(
        bytes(message[HEADER_SIZE:end]),
        token=0,
        origin=origin,
        group=header.group,
        source=source,
        sequence=sequence,
        origin_time=header.origin_time,
        hop_limit=hop_limit - hops,
        service_class=header.service_class,
        packet_type=header.packet_type,
    )
