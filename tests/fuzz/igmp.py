"""IGMP packets: read, and what was read is written and read again.

Checksums are made right before an input is read, as no fuzzer finds them; every other one (by its last bit)
is read as it is.
"""

from collections.abc import Iterable

from multicastmw.wire import igmp
from multicastmw.wire.igmp import BadIgmp, Kind, Leave, Query, Record, Report, ReportV3, Unknown
from multicastmw.wire.ipv4 import PROTOCOL_IGMP, checksum
from tests.fuzz.target import Target

GROUPS = (0xEF010101, 0xE8010101, 0xE00000FB)
HOST, ROUTER = 0x0A580002, 0x0A5800FE
MESSAGES: tuple[igmp.Message, ...] = (
    Query(3, 0, 2.0, robustness=2, interval=10.0),
    Query(3, GROUPS[0], 0.5, (HOST, HOST + 1), suppress=True),
    Query(2, GROUPS[0], 1.0),
    Query(1),
    Report(1, GROUPS[0]),
    Report(2, GROUPS[1]),
    Leave(GROUPS[0]),
    ReportV3(()),
    ReportV3((Record(Kind.IS_EX, GROUPS[0]),)),
    ReportV3(tuple(Record(kind, GROUPS[kind % 3], (HOST, HOST + kind), b"aux!") for kind in Kind)),
    ReportV3((Record(9, GROUPS[0]),)),
)


def packets() -> Iterable[bytes]:
    """A packet of each kind."""
    for message in MESSAGES:
        yield igmp.pack(message, HOST, GROUPS[0])


def mended(packet: bytes) -> bytes:
    """The same with protocol, total length and both checksums right."""
    size = (packet[0] & 15) * 4 if packet else 0
    if not 20 <= size <= len(packet) <= 0xFFFF:
        return packet
    head, body = bytearray(packet[:size]), bytearray(packet[size:])
    head[2:4] = len(packet).to_bytes(2, "big")
    head[6:8] = b"\x40\0"
    head[9] = PROTOCOL_IGMP
    head[10:12] = b"\0\0"
    head[10:12] = checksum(head).to_bytes(2, "big")
    if len(body) >= 4:
        body[2:4] = b"\0\0"
        body[2:4] = checksum(body).to_bytes(2, "big")
    return bytes(head + body)


class Igmp(Target):
    """One packet from the TAP."""

    longest = 256
    words = (bytes.fromhex("94040000"), b"\x22", b"\x11", *(g.to_bytes(4, "big") for g in GROUPS))

    def seeds(self) -> Iterable[bytes]:
        for packet in packets():
            yield packet + b"\0"
            yield packet + b"\1"

    def __call__(self, data: bytes) -> None:
        packet = data[:-1]
        if data[-1:] and not data[-1] & 1:
            packet = mended(packet)
        try:
            arrival = igmp.unpack(packet)
        except BadIgmp as error:
            assert error.reason in igmp.Reason
            return
        message = arrival.message
        if isinstance(message, Unknown) or (isinstance(message, Query) and message.version == 1):
            return
        if isinstance(message, Query) and message.max_response < 0.1:
            return  # version 3 can say "at once", and no querier does
        again = igmp.unpack(igmp.pack(message, arrival.source, arrival.destination)).message
        assert again == message, (message, again)
