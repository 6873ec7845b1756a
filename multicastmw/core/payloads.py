"""What a player can ask for over HTTP, and what of a datagram it is given."""

from ipaddress import IPv4Address
from typing import NamedTuple

from multicastmw.core.addressing import ANY, Channel, ipv4
from multicastmw.core.tap import FIRST_FORWARDED
from multicastmw.wire import rtp
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Buffer, text

# What the specifications say.
RTCP_TYPES = range(192, 224)  # the second byte of RTCP where it comes to RTP's port (RFC 5761, 4)


class What(NamedTuple):
    """What a viewer asks for; source 0: any."""

    group: int
    port: int
    source: int
    is_rtp: bool

    @property
    def channel(self) -> Channel:
        return ipv4(self.group, self.source)

    def sentence(self) -> str:
        of = f" of {text(self.source)}" if self.source else ""
        return f"{text(self.group)}:{self.port}{of}"


def parse(where: str, source: str, is_rtp: bool) -> What:
    """GROUP:PORT, and an address or nothing; raises ValueError, whose text is a line for people."""
    group, colon, port = where.partition(":")
    if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or not 1 <= int(port) <= 65_535:
        raise ValueError("this is no GROUP:PORT, as 239.1.1.1:5004 is")
    number = _address(group, "group")
    if number >> 28 != 14:
        raise ValueError("this is no multicast group: those are in 224.0.0.0/4")
    if number < FIRST_FORWARDED:
        raise ValueError("this group is in 224.0.0.0/24, which no router forwards")
    sender = _address(source, "source") if source else ANY
    if source and (sender >> 28 >= 14 or not sender):
        raise ValueError("source= is not the address of a host")
    return What(number, int(port), sender, is_rtp)


def _address(address: str, what: str) -> int:
    try:
        return int(IPv4Address(address))
    except ValueError:
        raise ValueError(f"the {what} is no IPv4 address") from None


def rtp_payload(datagram: Buffer) -> bytes | None:
    """What an RTP packet carries, None if it is none; empty for RTCP (RFC 3550, 5.1 and 5.3.1)."""
    end = len(datagram)
    if end < rtp.HEADER.size or datagram[0] >> 6 != rtp.VERSION:
        return None
    if datagram[1] in RTCP_TYPES:
        return b""
    try:
        start = rtp.payload_start(datagram, 0, end)
        return bytes(datagram[start : rtp.payload_end(datagram, 0, end, start)])
    except Malformed:
        return None
