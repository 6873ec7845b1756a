"""The Session Announcement Protocol (RFC 2974): what tells players which sessions there are.

     0             1             2             3
    +------+------+-------------+-------------+-------------+
    | V=1 |A|R|T|E|C|  auth len  |    message id hash        |
    |      originating source: 32 bits, with A 128          |
    |      authentication data, auth len x 4 bytes          |
    |      payload type, a MIME type with a NUL behind it   |   may be left out in front of SDP
    |      payload                                          |

T: this is a deletion; E: the payload is encrypted; C: it, and its type, are compressed by zlib.

VLC drops what has a hash of 0, which RFC 2974 lets mean "none".  Nobody encrypts any more, and who has no key
cannot read it: such a packet is parsed no further than its header.
"""

import zlib
from struct import Struct
from typing import NamedTuple

from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Buffer

# What the specification says.
HEAD = Struct("!BBH")
VERSION = 1
PORT = 9875
IPV6, DELETION, ENCRYPTED, COMPRESSED = 0x10, 0x04, 0x02, 0x01
SDP = "application/sdp"
HASH_MAX = 0xFFFF

# What we chose.  Announcements "should be" below 1,024 bytes; ST 2110 and Dante have up to 3,000.
LONGEST_PAYLOAD = 8_192  # bytes of payload and type, also of what comes out of zlib
LONGEST_TYPE = 127  # of a MIME type: RFC 4288, 4.2


class Announcement(NamedTuple):
    """One SAP packet; `source` is the originating one's bytes, 4 or 16; an encrypted one has no payload."""

    hash: int
    source: bytes
    payload: bytes
    payload_type: str = SDP
    deletion: bool = False
    encrypted: bool = False

    @classmethod
    def parse(cls, message: Buffer) -> "Announcement":
        """Raises Malformed where it is none, or is longer than we keep."""
        if len(message) < HEAD.size:
            raise Malformed(f"{len(message)} bytes are no SAP packet")
        flags, words, number = HEAD.unpack_from(message)
        if flags >> 5 != VERSION:
            raise Malformed(f"SAP version {flags >> 5}")
        size = 16 if flags & IPV6 else 4
        start = HEAD.size + size + 4 * words
        if len(message) <= start:
            raise Malformed(f"SAP packet of {len(message)} bytes, its payload begins at {start}")
        source = bytes(message[HEAD.size : HEAD.size + size])
        deletion = bool(flags & DELETION)
        if flags & ENCRYPTED:
            return cls(number, source, b"", "", deletion, encrypted=True)
        body = bytes(message[start:])
        kind, payload = _typed(decompress(body) if flags & COMPRESSED else body)
        return cls(number, source, payload, kind, deletion)

    def build(self, compressed: bool = False) -> bytes:
        """The packet; the type is always said, as VLC and ffmpeg say it."""
        flags = VERSION << 5 | (IPV6 if len(self.source) == 16 else 0)
        flags |= DELETION * self.deletion | COMPRESSED * compressed
        body = self.payload_type.encode() + b"\0" + self.payload
        return HEAD.pack(flags, 0, self.hash) + self.source + (zlib.compress(body) if compressed else body)


def longest_payload(message: Buffer) -> int:
    """How many bytes of payload there may be to read, before it is unpacked."""
    is_compressed = bool(message) and bool(message[0] & COMPRESSED)
    return LONGEST_PAYLOAD if is_compressed else min(len(message), LONGEST_PAYLOAD)


def decompress(body: bytes) -> bytes:
    """What zlib had packed; raises Malformed for what is longer than we keep, which is never unpacked."""
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(body, LONGEST_PAYLOAD + 1)
    except zlib.error as error:
        raise Malformed(f"SAP payload does not decompress: {error}") from None
    if len(found) > LONGEST_PAYLOAD:
        raise Malformed(f"SAP payload is longer than {LONGEST_PAYLOAD} bytes when decompressed")
    if not unpacking.eof:
        raise Malformed("SAP payload is cut off: zlib has not come to its end")
    return found


def _typed(body: bytes) -> tuple[str, bytes]:
    """The payload's type, and the payload; SDP may come without one, a deletion's also as a bare o= line."""
    if len(body) > LONGEST_PAYLOAD:
        raise Malformed(f"SAP payload of {len(body)} bytes")
    if body.startswith((b"v=0", b"o=")):
        return SDP, body
    kind, nul, payload = body.partition(b"\0")
    if not nul or not 0 < len(kind) <= LONGEST_TYPE or not payload:
        raise Malformed("SAP payload is neither SDP nor has it a type")
    try:
        text = kind.decode("ascii").lower()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or "/" not in text:
        raise Malformed(f"SAP payload type {kind[:32]!r}")
    return text, payload


def hash_of(payload: bytes) -> int:
    """A message id hash for a payload: 16 bits, never 0, another one where the payload is another."""
    return zlib.crc32(payload) % HASH_MAX + 1
