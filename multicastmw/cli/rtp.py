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

from struct import Struct, error, pack, unpack_from
from typing import NamedTuple

# What the RFCs say
VERSION = 2
PT_MP2T = 33  # RFC 3551, table 5
CLOCK = 90_000  # Hz
ONE_BYTE_FORM = 0xBEDE
SENDER_REPORT, SOURCE_DESCRIPTION, BYE = 200, 202, 203
CNAME = 1
NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970

# What we chose
STAMP_ID = 1  # extension element of ours; a session description would map it with a=extmap

HEADER = Struct("!BBHII")
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
        if len(data) < HEADER.size or data[0] >> 6 != VERSION:
            raise NotRtp(f"not an RTP packet: {data[:12].hex()}")
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        start, end = HEADER.size + 4 * (first & 15), len(data)
        sent = number = None
        if first & 0x10:
            if end < start + 4:
                raise NotRtp("an extension is announced and missing")
            profile, words = unpack_from("!HH", data, start)
            if end < start + 4 + 4 * words:
                raise NotRtp(f"an extension of {words} words does not fit")
            if profile == ONE_BYTE_FORM:
                sent, number = _stamp(data[start + 4 : start + 4 + 4 * words])
            start += 4 + 4 * words
        if first & 0x20:
            end -= data[-1]
        if end < start:
            raise NotRtp("the packet is shorter than its header and padding")
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
        counts: dict[int, tuple[int, int]] = {}
        at = 0
        try:
            while at < len(data):
                first, kind, words = unpack_from("!BBH", data, at)
                if first >> 6 != VERSION:
                    raise NotRtp(f"not an RTCP packet: {data[at : at + 8].hex()}")
                if kind == SENDER_REPORT:
                    ssrc, _, _, _, packets, octets = unpack_from("!6I", data, at + 4)
                    counts[ssrc] = (packets, octets)
                elif kind == BYE and first & 31:
                    (ssrc,) = unpack_from("!I", data, at + 4)
                    if ssrc in counts:
                        return cls(ssrc, *counts[ssrc])
                at += 4 + 4 * words
        except error as short:
            raise NotRtp("an RTCP packet is cut off") from short
        return None
