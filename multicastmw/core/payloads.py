"""What a player can ask for over HTTP, and what of a datagram it is given."""

from ipaddress import IPv4Address
from typing import NamedTuple

from multicastmw.core.addressing import ANY, Channel, ipv4
from multicastmw.wire.ipv4 import Buffer, text

# What the specifications say.
FIRST_FORWARDED = 0xE0000100  # 224.0.0.0/24 never leaves its link (RFC 5771, 4)
RTP_HEADER = 12  # bytes, without what may follow (RFC 3550, 5.1)
RTCP_TYPES = range(192, 224)  # the second byte of RTCP where it comes to RTP's port (RFC 5761, 4)
TS_PACKET, TS_SYNC = 188, 0x47


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
    if len(datagram) < RTP_HEADER or datagram[0] >> 6 != 2:
        return None
    if datagram[1] in RTCP_TYPES:
        return b""
    first, end = datagram[0], len(datagram)
    start = RTP_HEADER + 4 * (first & 0x0F)  # CSRC
    if first & 0x10:  # extension
        if start + 4 > end:
            return None
        start += 4 + 4 * (datagram[start + 2] << 8 | datagram[start + 3])
    if first & 0x20:  # padding
        if not 1 <= datagram[end - 1] <= end - start:
            return None
        end -= datagram[end - 1]
    return bytes(datagram[start:end]) if start <= end else None


def looks_like_ts(payload: bytes) -> bool:
    """Whole packets of an MPEG transport stream."""
    return not len(payload) % TS_PACKET and all(sync == TS_SYNC for sync in payload[::TS_PACKET])
