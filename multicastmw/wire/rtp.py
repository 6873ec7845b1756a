"""RTP and RTCP (RFC 3550): where the payload is, and what senders report.

    0                   1                   2                   3
    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    |                           timestamp                           |
    |                             SSRC                              |
    |                     CSRC, CC x 4 bytes                        |
    |  X: profile (16)  |  length in words (16)  |  words           |
    |  payload ...                     P: padding, its last byte its length |

    RTCP, compound:
    |V=2|P|  RC   |  PT (8)       |  length in words, less one (16) |  SSRC (32) ...
    SR (200): NTP time (64), RTP time, packets, octets; then RC report blocks.  RR 201, SDES 202, BYE 203

A stream of 10,000 packets a second is read here, so nothing is made but two numbers.
"""

from struct import Struct
from typing import NamedTuple

from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Buffer

# What the specifications say.
VERSION = 2
PT_MP2T = 33  # RFC 3551, table 5
CLOCK = 90_000  # Hz, of video
CLOCKS = {  # of payload types that are fixed, where it is another (RFC 3551, tables 4 and 5)
    **dict.fromkeys((0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18), 8_000),
    6: 16_000, 10: 44_100, 11: 44_100, 16: 11_025, 17: 22_050,
}  # fmt: skip
PADDED, EXTENDED, SOURCES = 0x20, 0x10, 0x0F
SENDER_REPORT, RECEIVER_REPORT, SOURCE_DESCRIPTION, BYE, LAST_RTCP = 200, 201, 202, 203, 207
CNAME = 1

# What we chose, so that a packet full of tiny parts is as quickly read as an ordinary one.
PARTS_MAX = 16  # of a compound packet: reports of 500 sources, and what else there is
ITEMS_MAX = 16  # of a source description; RFC 3550, 6.5 has eight kinds

HEADER = Struct("!BBHII")
EXTENSION = Struct("!HH")
RTCP_HEADER = Struct("!BBHI")
SENDER_INFO = Struct("!IIIII")


class TooManyParts(Malformed):
    """An RTCP packet that would take long to read."""


class Rtcp(NamedTuple):
    """What a compound packet says of its sender; `packets` and `octets` are None without a report."""

    ssrc: int
    ntp: int | None = None  # 64 bits, seconds since 1900 in the upper half
    timestamp: int | None = None
    packets: int | None = None
    octets: int | None = None
    cname: str = ""
    bye: bool = False


def payload_start(buffer: Buffer, start: int, end: int) -> int:
    """Where the payload of the RTP packet in buffer[start:end] begins, behind CSRCs and an extension.

    Raises Malformed where it is no RTP packet or a length lies.
    """
    if end - start < HEADER.size or buffer[start] >> 6 != VERSION:
        raise Malformed("not an RTP packet")
    first = buffer[start]
    at = start + HEADER.size + 4 * (first & SOURCES)
    if first & EXTENDED:
        if at + EXTENSION.size > end:
            raise Malformed("an extension is announced and missing")
        at += EXTENSION.size + 4 * EXTENSION.unpack_from(buffer, at)[1]
    if at > end:
        raise Malformed("the packet is shorter than its header")
    return at


def payload_end(buffer: Buffer, start: int, end: int, begin: int) -> int:
    """Where it ends, before the padding; `begin` is where it begins."""
    if not buffer[start] & PADDED:
        return end
    padding = buffer[end - 1]
    if not 0 < padding <= end - begin:
        raise Malformed(f"padding of {padding} bytes does not fit")
    return end - padding


def is_rtcp(buffer: Buffer, start: int, end: int) -> bool:
    """Is it a compound packet, whose first is a report (RFC 3550, 6.1; RFC 5761, 4)?"""
    return (
        end - start >= RTCP_HEADER.size
        and buffer[start] >> 6 == VERSION
        and SENDER_REPORT <= buffer[start + 1] <= LAST_RTCP
    )


def parse_rtcp(data: Buffer) -> Rtcp:
    """What a compound packet says of the source that its first part is from; raises Malformed."""
    if not is_rtcp(data, 0, len(data)):
        raise Malformed("not an RTCP packet")
    found = Rtcp(RTCP_HEADER.unpack_from(data)[3])
    at = parts = 0
    while at < len(data):
        parts += 1
        if parts > PARTS_MAX:
            raise TooManyParts(f"an RTCP packet of more than {PARTS_MAX} parts")
        if at + RTCP_HEADER.size - 4 > len(data) or data[at] >> 6 != VERSION:
            raise Malformed("not an RTCP packet")
        end = at + 4 + 4 * (data[at + 2] << 8 | data[at + 3])
        if end > len(data):
            raise Malformed("an RTCP packet is cut off")
        found = _with(found, data[at], data[at + 1], bytes(data[at + 4 : end]))
        at = end
    return found


def _with(found: Rtcp, first: int, kind: int, body: bytes) -> Rtcp:
    """One part's news, if it is of the same source; `first` is its first byte, `body` is from the SSRC on."""
    if len(body) < 4 or int.from_bytes(body[:4], "big") != found.ssrc:
        return found
    if kind == SENDER_REPORT and len(body) >= 4 + SENDER_INFO.size:
        seconds, fraction, timestamp, packets, octets = SENDER_INFO.unpack_from(body, 4)
        return found._replace(
            ntp=seconds << 32 | fraction, timestamp=timestamp, packets=packets, octets=octets
        )
    if kind == SOURCE_DESCRIPTION and first & 31:
        return found._replace(cname=_cname(body[4:]) or found.cname)
    if kind == BYE and first & 31:
        return found._replace(bye=True)
    return found


def _cname(items: bytes) -> str:
    """Of the first chunk's items: type, length, text, until a null octet (6.5)."""
    at = 0
    for _ in range(ITEMS_MAX):
        if at + 2 > len(items) or not items[at]:
            break
        kind, size = items[at], items[at + 1]
        if kind == CNAME:
            return items[at + 2 : at + 2 + size].decode("utf-8", "replace")
        at += 2 + size
    return ""
