"""IPv4 headers and the Internet checksum (RFC 791, RFC 1071, RFC 1624).

0                   1                   2                   3
|version|  IHL  |      TOS      |         total length          |
|        identification         |0|D|M|    fragment offset      |
|      TTL      |   protocol    |        header checksum        |
|                        source address                         |
|                      destination address                      |
|                 options, IHL x 4 - 20 bytes                   |
"""

from socket import AF_INET, inet_ntop, inet_pton
from struct import Struct
from typing import NamedTuple

from multicastmw.wire.errors import Malformed

Buffer = bytes | bytearray | memoryview

HEADER = Struct("!BBHHHBBHII")
TTL_OFFSET = 8
PROTOCOL_IGMP = 2
DONT_FRAGMENT = 0x4000
MORE_FRAGMENTS = 0x2000
OFFSET_MASK = 0x1FFF


class Header(NamedTuple):
    """One IPv4 header; addresses are 32-bit integers, `options` their bytes, `size` in bytes."""

    tos: int
    total_length: int
    identification: int
    flags_and_offset: int
    ttl: int
    protocol: int
    source: int
    destination: int
    options: bytes = b""

    @property
    def size(self) -> int:
        return HEADER.size + len(self.options)

    @classmethod
    def parse(cls, packet: Buffer) -> "Header":
        """Reads the header; raises Malformed where a length lies.  The checksum is not looked at."""
        if len(packet) < HEADER.size:
            raise Malformed(f"{len(packet)} bytes are no IPv4 packet")
        first, tos, total, ident, fragment, ttl, protocol, _, source, destination = HEADER.unpack_from(packet)
        size = (first & 15) * 4
        if first >> 4 != 4 or not HEADER.size <= size <= total <= len(packet):
            raise Malformed(f"IPv4 lengths disagree: header {size}, total {total}, here {len(packet)}")
        options = bytes(packet[HEADER.size : size])
        return cls(tos, total, ident, fragment, ttl, protocol, source, destination, options)

    def build(self) -> bytes:
        """The header's bytes with a right checksum."""
        first = 0x40 | self.size // 4
        head = bytearray(
            HEADER.pack(
                first,
                self.tos,
                self.total_length,
                self.identification,
                self.flags_and_offset,
                self.ttl,
                self.protocol,
                0,
                self.source,
                self.destination,
            )
        )
        head += self.options
        head[10:12] = checksum(head).to_bytes(2, "big")
        return bytes(head)


def checksum(data: Buffer) -> int:
    """The 16-bit one's complement checksum (RFC 1071); over data with a right one it gives 0."""
    if len(data) & 1:
        data = bytes(data) + b"\0"
    # 2^16 = 1 modulo 2^16 - 1, so one's complement addition is one remainder of the whole number.
    total = int.from_bytes(data, "big")
    return 0xFFFF - ((total % 0xFFFF) or (0xFFFF if total else 0))


def set_ttl(packet: bytearray | memoryview, start: int, ttl: int) -> None:
    """Writes the TTL of the packet that begins at `start` and mends its checksum (RFC 1624, equation 3)."""
    old = packet[start + 8]
    if old == ttl:
        return
    # HC' = ~(~HC + ~m + m'), where m is the 16-bit word of TTL and protocol, of which only TTL moves.
    total = (
        (0xFFFF ^ (packet[start + 10] << 8 | packet[start + 11])) + ((0xFF ^ old) << 8 | 0xFF) + (ttl << 8)
    )
    total = (total & 0xFFFF) + (total >> 16)
    total = 0xFFFF ^ ((total & 0xFFFF) + (total >> 16))
    packet[start + 8] = ttl
    packet[start + 10] = total >> 8
    packet[start + 11] = total & 0xFF


def text(address: int) -> str:
    """Dotted quad of a 32-bit integer."""
    return inet_ntop(AF_INET, address.to_bytes(4, "big"))


def number(address: str) -> int:
    """32-bit integer of a dotted quad; raises OSError where it is none."""
    return int.from_bytes(inet_pton(AF_INET, address), "big")
