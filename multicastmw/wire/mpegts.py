"""MPEG transport streams: packets, clock references, and the tables that say what is in them.

A packet is 188 bytes (ISO/IEC 13818-1, 2.4.3.2), and all that is asked of most is in its first word:

    | sync 0x47 | TEI | PUSI | prio | PID (13) | scrambling (2) | adaptation (2) | continuity (4) |
    adaptation field: | length (8) | discontinuity | random | prio | PCR flag | ... |  PCR (48) ...
    PCR: | base, 90 kHz (33) | reserved (6) | extension, 27 MHz (9) |

Tables come in sections (2.4.4), which begin where PUSI is set, behind a pointer, and may go on in the next
packets of their PID:

    | table id | 1 0 11 length (12) | id (16) | 11 version (5) current | number | last number | ... | CRC-32 |

    PAT  | programme (16) | 111 PID (13) | ...
    PMT  | 111 PCR PID (13) | 1111 length (12) descriptors | type, 111 PID (13), 1111 length, descr. ...
    SDT  | network (16) | 0xFF | service (16) | flags | running, 1 scrambled, length (12), descriptors ...

The packets are for the hot path, so what reads them gives numbers and makes nothing; the tables are values,
read when they change.  What lies about a length raises Malformed.
"""

from collections.abc import Iterator
from struct import Struct, error
from typing import NamedTuple
from zlib import crc32

from multicastmw.wire import dvbtext
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Buffer

# What the specifications say.
PACKET = 188  # bytes
SYNC = 0x47
PAT_PID, SDT_PID, NULL_PID = 0x0000, 0x0011, 0x1FFF
PAT_TABLE, PMT_TABLE, SDT_TABLE = 0x00, 0x02, 0x42  # of the SDT, the one of the stream itself
CLOCK = 27_000_000  # Hz
BASE_CLOCK = 90_000
WRAP = (1 << 33) * 300
LONGEST_SECTION = 1024  # of these three tables: 3 bytes and 1,021 (2.4.4.4, EN 300 468, 5.1.1)
SHORTEST_SECTION = 12  # head and check sum

# The first word's bits.
TEI, PUSI, PID_BITS = 0x800000, 0x400000, 0x1FFF00
SCRAMBLING, ADAPTATION, PAYLOAD, CONTINUITY = 0xC0, 0x20, 0x10, 0x0F

# The flags of an adaptation field.
DISCONTINUITY, PCR_FLAG = 0x80, 0x10

# So many packets' first words at once.
WORDS = tuple(Struct("!" + "I184x" * count) for count in range(8))

PCR = Struct("!IH")
SECTION_HEAD = Struct("!BHHBBB")
CRC_SIZE = 4
ENTRY = Struct("!HH")
STREAM = Struct("!BHH")
SERVICE = Struct("!HBH")
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

STREAM_TYPES = {
    0x01: "MPEG-1 video", 0x02: "MPEG-2 video", 0x03: "MPEG-1 audio", 0x04: "MPEG-2 audio",
    0x0F: "AAC", 0x10: "MPEG-4 video", 0x11: "AAC LATM", 0x15: "metadata", 0x1B: "H.264", 0x20: "H.264 MVC",
    0x21: "JPEG 2000", 0x24: "HEVC", 0x2D: "MPEG-H audio", 0x32: "JPEG XS", 0x33: "VVC",
    0x42: "AVS", 0x80: "LPCM", 0x81: "AC-3", 0x82: "DTS", 0x83: "TrueHD", 0x84: "E-AC-3", 0x85: "DTS-HD",
    0x86: "SCTE-35", 0x87: "E-AC-3", 0xD1: "Dirac", 0xEA: "VC-1",
}  # fmt: skip
PRIVATE_SECTIONS, PRIVATE = 0x05, 0x06  # what is in them, descriptors say
# EN 300 468, table 12 (and annex D for the sound); SCTE 35 has no tag, only a registration.
DESCRIPTORS = {
    0x46: "VBI teletext", 0x45: "VBI", 0x56: "teletext", 0x59: "subtitles", 0x6A: "AC-3", 0x6F: "AIT",
    0x7A: "E-AC-3", 0x7B: "DTS", 0x7C: "AAC",
}  # fmt: skip
EXTENSIONS = {0x0E: "DTS-HD", 0x15: "AC-4", 0x20: "TTML subtitles"}  # behind tag 0x7F
REGISTRATIONS = {
    b"AC-3": "AC-3", b"EAC3": "E-AC-3", b"HEVC": "HEVC", b"Opus": "Opus", b"BSSD": "SMPTE 302M",
    b"AC-4": "AC-4", b"CUEI": "SCTE-35", b"KLVA": "KLV",
    b"ID3 ": "ID3", b"VC-1": "VC-1", b"AV01": "AV1", b"DTS1": "DTS",
    b"DTS2": "DTS", b"DTS3": "DTS",
}  # fmt: skip
SERVICE_DESCRIPTOR, REGISTRATION, EXTENSION = 0x48, 0x05, 0x7F
SOUND_OR_PICTURES = frozenset(STREAM_TYPES.values()) - {"metadata", "SCTE-35"} | {"Opus", "SMPTE 302M",
                                                                                 "AC-4", "AV1"}  # fmt: skip

# What we chose.
PROGRAMMES_MAX = 256  # of a PAT; a section holds 253
STREAMS_MAX = 64  # elementary streams of a programme


class Section(NamedTuple):
    """A section whose length and check sum are right; `body` is what stands between them."""

    table: int
    id: int  # transport stream, programme, ... by the table
    version: int
    current: bool
    number: int
    last: int
    body: bytes


class Elementary(NamedTuple):
    """One stream of a programme."""

    pid: int
    stream_type: int
    codec: str

    @property
    def is_continuous(self) -> bool:
        """Sound and pictures never pause for long; subtitles and data may."""
        return self.codec in SOUND_OR_PICTURES


class Pmt(NamedTuple):
    pcr_pid: int
    streams: tuple[Elementary, ...]


class Service(NamedTuple):
    name: str
    provider: str


def clock_reference(buffer: Buffer, at: int) -> int:
    """The PCR (27 MHz, modulo WRAP) of the packet that begins at `at`, which must hold one."""
    high, low = PCR.unpack_from(buffer, at + 6)
    return int((high << 1 | low >> 15) * 300 + (low & 0x1FF))


def sync_bytes(buffer: Buffer, start: int, end: int) -> int:
    """How many packets of a transport stream there are; 0 where they are not all whole and in sync."""
    count, rest = divmod(end - start, PACKET)
    if rest or any(buffer[at] != SYNC for at in range(start, end, PACKET)):
        return 0
    return count


def has_clock_reference(buffer: Buffer, at: int) -> bool:
    """Does the packet that begins at `at` hold a PCR?"""
    return bool(buffer[at + 3] & ADAPTATION and buffer[at + 4] >= 7 and buffer[at + 5] & PCR_FLAG)


def crc_is_right(section: bytes) -> bool:
    """CRC-32/MPEG-2 over all of it, the sum included (ISO/IEC 13818-1, annex A).

    zlib's is the same with the bits of each byte the other way round, and the result inverted.
    """
    return crc32(section.translate(REVERSED)) == 0xFFFFFFFF


def crc(data: bytes) -> bytes:
    """The four bytes that make it right."""
    return int(f"{crc32(data.translate(REVERSED)) ^ 0xFFFFFFFF:032b}"[::-1], 2).to_bytes(4, "big")


def section_length(data: Buffer) -> int:
    """All bytes of the section that begins here; at least three must be there."""
    return 3 + ((data[1] & 0x0F) << 8 | data[2])


def parse_section(data: bytes) -> Section:
    """Raises Malformed where a length or the check sum is wrong."""
    if len(data) < SHORTEST_SECTION or section_length(data) != len(data):
        raise Malformed(f"a section of {len(data)} bytes")
    if not crc_is_right(data):
        raise Malformed("a section whose check sum is wrong")
    table, _, identity, version, number, last = SECTION_HEAD.unpack_from(data)
    body = data[SECTION_HEAD.size : -CRC_SIZE]
    return Section(table, identity, version >> 1 & 31, bool(version & 1), number, last, body)


def parse_pat(body: bytes) -> dict[int, int]:
    """Programme number -> PID of its PMT; the network's own entry (programme 0) is left out."""
    if len(body) % ENTRY.size:
        raise Malformed(f"a PAT of {len(body)} bytes")
    entries = ((programme, pid & 0x1FFF) for programme, pid in ENTRY.iter_unpack(body))
    return dict([entry for entry in entries if entry[0]][:PROGRAMMES_MAX])


def parse_pmt(body: bytes) -> Pmt:
    """What a programme is made of."""
    try:
        pcr_pid, length = ENTRY.unpack_from(body)
        at = ENTRY.size + (length & 0xFFF)
        found: list[Elementary] = []
        while at < len(body):
            kind, pid, length = STREAM.unpack_from(body, at)
            at += STREAM.size
            end = at + (length & 0xFFF)
            if end > len(body):
                raise Malformed("descriptors beyond their PMT")
            if len(found) < STREAMS_MAX:
                found.append(Elementary(pid & 0x1FFF, kind, codec(kind, body[at:end])))
            at = end
    except error as short:
        raise Malformed("a PMT that is cut off") from short
    return Pmt(pcr_pid & 0x1FFF, tuple(found))


def parse_sdt(body: bytes) -> dict[int, Service]:
    """Programme number -> names, where they are given."""
    found: dict[int, Service] = {}
    at = 3
    try:
        while at < len(body):
            number, _, length = SERVICE.unpack_from(body, at)
            at += SERVICE.size
            end = at + (length & 0xFFF)
            if end > len(body):
                raise Malformed("descriptors beyond their SDT")
            for tag, data in descriptors(body[at:end]):
                if tag == SERVICE_DESCRIPTOR and len(found) < PROGRAMMES_MAX:
                    found[number] = _service(data)
            at = end
    except error as short:
        raise Malformed("an SDT that is cut off") from short
    return found


def _service(data: bytes) -> Service:
    """EN 300 468, 6.2.33: type, provider, name, the texts behind their lengths."""
    if len(data) < 3 or 2 + data[1] >= len(data):
        raise Malformed("a service descriptor that is cut off")
    provider_end = 2 + data[1]
    name = data[provider_end + 1 : provider_end + 1 + data[provider_end]]
    return Service(dvbtext.decode(name), dvbtext.decode(data[2:provider_end]))


def descriptors(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each; raises Malformed where one ends beyond the last byte."""
    at = 0
    while at < len(data):
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise Malformed("a descriptor that is cut off")
        yield data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]


def codec(stream_type: int, described: bytes) -> str:
    """How people call what is in such a stream."""
    if stream_type in STREAM_TYPES:
        return STREAM_TYPES[stream_type]
    found = [name for tag, data in descriptors(described) if (name := _named(tag, data))]
    if found:
        return found[-1]  # a registration comes first, and what is behind it is more precise
    if stream_type in (PRIVATE_SECTIONS, PRIVATE):
        return "data"
    return f"type 0x{stream_type:02x}"


def _named(tag: int, data: bytes) -> str | None:
    if tag == REGISTRATION:
        return REGISTRATIONS.get(data[:4])
    if tag == EXTENSION:
        return EXTENSIONS.get(data[0]) if data else None
    return DESCRIPTORS.get(tag)
