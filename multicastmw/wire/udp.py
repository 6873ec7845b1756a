"""A UDP datagram inside an IPv4 packet (RFC 768), read and built whole.

 0             1             2             3
+------+------+-------------+-------------+-------------+
|        source port        |     destination port      |
|   length, header incl.    |  checksum, 0: there is none |
+------+------+-------------+-------------+-------------+
"""

from struct import Struct
from typing import NamedTuple

from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import MORE_FRAGMENTS, OFFSET_MASK, Buffer, Header, checksum

HEADER = Struct("!HHHH")
PSEUDO = Struct("!IIBBH")
PROTOCOL_UDP = 17
LONGEST = 0xFFFF - 20 - HEADER.size


class Datagram(NamedTuple):
    """One datagram; addresses are 32-bit integers."""

    source: int
    source_port: int
    destination: int
    port: int
    payload: bytes

    @classmethod
    def parse(cls, packet: Buffer) -> "Datagram":
        """Reads a whole IPv4 packet; raises Malformed for a fragment, another protocol, a wrong checksum."""
        ip = Header.parse(packet)
        if ip.protocol != PROTOCOL_UDP or ip.flags_and_offset & (MORE_FRAGMENTS | OFFSET_MASK):
            raise Malformed(f"IP protocol {ip.protocol}, or a fragment: no UDP datagram")
        port, begin, end = payload_in(packet, ip.size, ip.total_length)
        source_port, _, _, check = HEADER.unpack_from(packet, ip.size)
        if check and sum_of(ip.source, ip.destination, packet[ip.size : end]):
            raise Malformed("UDP checksum is wrong")
        return cls(ip.source, source_port, ip.destination, port, bytes(packet[begin:end]))

    def build(self, ttl: int, identification: int = 0) -> bytes:
        """The whole IPv4 packet; raises ValueError where the payload is longer than one can be."""
        length = HEADER.size + len(self.payload)
        if len(self.payload) > LONGEST:
            raise ValueError(f"a datagram of {len(self.payload)} bytes")
        head = HEADER.pack(self.source_port, self.port, length, 0)
        check = sum_of(self.source, self.destination, head + self.payload) or 0xFFFF
        head = HEADER.pack(self.source_port, self.port, length, check)
        ip = Header(0, 20 + length, identification, 0, ttl, PROTOCOL_UDP, self.source, self.destination)
        return ip.build() + head + self.payload


def payload_in(packet: Buffer, start: int, end: int) -> tuple[int, int, int]:
    """The destination port of the datagram in packet[start:end], and where its payload begins and ends.

    Raises Malformed where a length lies.  The one place that says what a datagram in a packet is.
    """
    if end - start < HEADER.size:
        raise Malformed(f"{end - start} bytes are no UDP datagram")
    _, port, length, _ = HEADER.unpack_from(packet, start)
    if not HEADER.size <= length <= end - start:
        raise Malformed(f"UDP length {length} of {end - start} bytes")
    return port, start + HEADER.size, start + length


def sum_of(source: int, destination: int, datagram: Buffer) -> int:
    """The checksum over the pseudo header and all of the datagram (RFC 768); over one that has it, 0."""
    pseudo = PSEUDO.pack(source, destination, 0, PROTOCOL_UDP, len(datagram))
    return checksum(pseudo + bytes(datagram))
