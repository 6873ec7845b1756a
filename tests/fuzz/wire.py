"""A TCP stream: cut into messages, read, written again.

It comes once as a whole and once in pieces, whose sizes follow from its checksum; both are the same messages
and the same error.  What was read is written, and read again as the same value.
"""

from collections.abc import Iterable, Iterator
from zlib import crc32

from multicastmw.wire import cops, data
from multicastmw.wire.errors import Malformed, PeerError
from multicastmw.wire.framing import Framer
from multicastmw.wire.messages import AddRoute, RemoveRoute, Unknown, decode, encode, size
from tests.fuzz.target import Target
from tests.wire import golden

CODES = frozenset(int(code) for code in cops.Code)


def stream(chunks: Iterable[bytes]) -> tuple[list[bytes], str]:
    """The messages, and the error that ends them, if one does."""
    framer = Framer()
    messages: list[bytes] = []
    try:
        for chunk in chunks:
            messages += map(bytes, framer.feed(chunk))
            assert len(framer) < cops.MESSAGE_MAX
    except PeerError as error:
        assert error.code in CODES
        return messages, str(error)
    return messages, ""


def pieces(whole: bytes) -> Iterator[bytes]:
    drawn, at = crc32(whole), 0
    while at < len(whole):
        size = 1 + drawn % 97
        yield whole[at : at + size]
        at += size
        drawn = (drawn * 1103515245 + 12345) & 0x7FFFFFFF


def check(message: bytes) -> None:
    """Reads one message; what can be read can be written and read again."""
    try:
        decoded = decode(message)
    except PeerError as error:
        assert error.code in CODES
        encode_refusal(error)
        return
    value = decoded.message
    if isinstance(value, Unknown):
        check_data(message)
    elif not isinstance(value, AddRoute | RemoveRoute) or value.entries:
        again = encode(value)
        assert size(value) == len(again) <= len(message)
        assert decode(again) == (value, 0), (value, decode(again))


def encode_refusal(error: PeerError) -> None:
    """The answer that a peer is owed can always be said."""
    from multicastmw.wire.messages import Close

    answer = Close(error.code, error.sub_code)
    assert decode(encode(answer)) == (answer, 0)


def check_data(message: bytes) -> None:
    """IP Data is no message that `decode` reads."""
    try:
        header = data.DataHeader.parse(message)
    except Malformed:
        return
    packet = message[data.HEADER_SIZE : data.HEADER_SIZE - 4 + header.packet_length]
    built = data.build(
        packet,
        token=header.token,
        origin=header.origin,
        group=header.group,
        source=header.source,
        sequence=header.sequence,
        origin_time=header.origin_time,
        hop_limit=header.hop_limit,
        service_class=header.service_class,
        flags=header.flags,
        low_water=header.low_water,
        packet_type=header.packet_type,
    )
    padding = -len(packet) % 4
    assert built[: len(built) - padding] == message[: len(message) - padding]


class Wire(Target):
    """What a peer's TCP connection says."""

    longest = 512
    words = (b"\x10\x06MC", b"\x10\x08MC", b"\x10\x09\0\0", b"\x10\x20MC", b"\x10\x21MC", b"\x10\x22MC",
             b"\x10\x23MC", b"\x10\x24MC", b"\x10\x25MC", b"\x10\x26MC")  # fmt: skip

    def seeds(self) -> Iterable[bytes]:
        every = [each for folder in ("messages", "skipped", "malformed") for each in golden.folder(folder)]
        yield from (each.wire for each in every if len(each.wire) <= self.longest)
        yield b"".join(each.wire for each in every[:12])

    def __call__(self, data: bytes) -> None:
        messages, error = stream((data,))
        assert (messages, error) == stream(pieces(data))
        if not error:
            assert b"".join(messages) == data[: sum(map(len, messages))]
        for message in messages:
            check(message)
