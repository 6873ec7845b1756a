"""RTP and RTCP as the demo's sender and receivers speak them: bytes and values only.

A datagram is seven transport-stream packets behind an RTP header (RFC 3550, 5.1; RFC 2250, 2) with one
header extension of the one-byte form (RFC 8285, 4.2), which players skip:

    |V=2|0|1|CC=0 |M|  PT=33  |      sequence number (16)       |
    |              timestamp, 90 kHz (32)                       |
    |                    SSRC (32)                              |
    |        0xBEDE             |       length = 4 (words)      |
    | ID=1 | L=11 |            send time, ns (64)  ...          |
    |  ...        |   packet number (32)    |    padding (24)   |

The send time is the sender's CLOCK_MONOTONIC: all hosts of the lab are one kernel, so the receiver's clock is
the same and a one-way delay is a difference.  The packet number counts from 0 and tells a receiver what it
missed before its first packet.  The end is an RTCP compound packet on the next port: a Sender Report, whose
packet count is the number sent, an SDES with the CNAME, and a BYE (RFC 3550, 6.4.1, 6.5, 6.6).
"""

from struct import Struct, pack, unpack_from
from typing import NamedTuple

from multicastmw.wire.errors import Malformed
from multicastmw.wire.rtp import (
    BYE,
    CNAME,
    EXTENDED,
    HEADER,
    PT_MP2T,
    SENDER_REPORT,
    SOURCE_DESCRIPTION,
    SOURCES,
    VERSION,
    parse_rtcp,
    payload_end,
    payload_start,
)

# What the RFCs say
ONE_BYTE_FORM = 0xBEDE
NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970

# What we chose
STAMP_ID = 1  # extension element of ours; a session description would map it with a=extmap

EXTENSION = Struct("!HHBQI3x")
STAMP = Struct("!QI")


class NotRtp(ValueError):
    """The bytes are no RTP or RTCP packet; the text says why."""


class Packet(NamedTuple):
    """One RTP packet.  `sent_ns` and `number` are None where the sender is not ours."""

    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    payload_type: int = PT_MP2T
    sent_ns: int | None = None
    number: int | None = None

    def build(self) -> bytes:
        """The packet's bytes, with the extension if there is a send time."""
        stamped = self.sent_ns is not None
        head = HEADER.pack(
            VERSION << 6 | stamped << 4,
            self.marker << 7 | self.payload_type,
            self.sequence & 0xFFFF,
            self.timestamp & 0xFFFFFFFF,
            self.ssrc,
        )
        if not stamped:
            return head + self.payload
        first = STAMP_ID << 4 | STAMP.size - 1
        words = (EXTENSION.size - 4) // 4
        extension = EXTENSION.pack(ONE_BYTE_FORM, words, first, self.sent_ns, (self.number or 0) & 0xFFFFFFFF)
        return b"".join((head, extension, self.payload))

    @classmethod
    def parse(cls, data: bytes) -> "Packet":
        """Reads a packet; raises NotRtp where it is none or a length lies."""
        try:
            start = payload_start(data, 0, len(data))
            end = payload_end(data, 0, len(data), start)
        except Malformed as error:
            raise NotRtp(f"{error}: {data[:12].hex()}") from error
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        sent = number = None
        if first & EXTENDED:
            at = HEADER.size + 4 * (first & SOURCES)
            if unpack_from("!H", data, at)[0] == ONE_BYTE_FORM:
                sent, number = _stamp(data[at + 4 : start])
        payload = data[start:end]
        return cls(sequence, timestamp, ssrc, payload, bool(second & 0x80), second & 0x7F, sent, number)


def _stamp(elements: bytes) -> tuple[int | None, int | None]:
    """Send time and packet number of an extension in the one-byte form (RFC 8285, 4.2)."""
    at = 0
    while at < len(elements):
        kind, size = elements[at] >> 4, (elements[at] & 15) + 1
        if kind == 0:  # padding
            at += 1
            continue
        if kind == 15:  # reserved: look no further
            break
        if kind == STAMP_ID and size == STAMP.size and at + 1 + size <= len(elements):
            return STAMP.unpack_from(elements, at + 1)
        at += 1 + size
    return None, None


class Farewell(NamedTuple):
    """The end of a stream: the sender's counts."""

    ssrc: int
    packets: int
    octets: int

    def build(self, wall_ns: int, timestamp: int, cname: bytes) -> bytes:
        """The compound packet; `wall_ns` is the time since 1970, `timestamp` the same on RTP's clock."""
        seconds, fraction = divmod(wall_ns, 1_000_000_000)
        report = pack(
            "!BBHIIIIII", VERSION << 6, SENDER_REPORT, 6, self.ssrc, (seconds + NTP_EPOCH) & 0xFFFFFFFF,
            (fraction << 32) // 1_000_000_000, timestamp & 0xFFFFFFFF, self.packets & 0xFFFFFFFF,
            self.octets & 0xFFFFFFFF,
        )  # fmt: skip
        item = bytes((CNAME, len(cname))) + cname
        item += bytes(4 - len(item) % 4)  # ends with a null octet, on a word
        words = 1 + len(item) // 4
        description = pack("!BBHI", VERSION << 6 | 1, SOURCE_DESCRIPTION, words, self.ssrc) + item
        return report + description + pack("!BBHI", VERSION << 6 | 1, BYE, 1, self.ssrc)

    @classmethod
    def parse(cls, data: bytes) -> "Farewell | None":
        """The counts where the compound packet holds a report and a BYE of the same source, else None."""
        try:
            said = parse_rtcp(data)
        except Malformed as error:
            raise NotRtp(str(error)) from error
        if not said.bye or said.packets is None or said.octets is None:
            return None
        return cls(said.ssrc, said.packets, said.octets)
