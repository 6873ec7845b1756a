"""Cuts a byte stream into messages; a message may come in pieces, or many at once."""

from collections.abc import Iterator

from multicastmw.wire.cops import HEADER_TWIN, MESSAGE_MAX, message_length


class Framer:
    """One direction of one TCP connection.

    It holds at most one unfinished message, so at most `longest` bytes.  The views that `feed` yields are
    good until the next call.
    """

    def __init__(self, longest: int = MESSAGE_MAX) -> None:
        self.longest = longest
        self._rest = b""

    def __len__(self) -> int:
        return len(self._rest)

    def feed(self, chunk: bytes) -> Iterator[memoryview]:
        """Whole messages, in order; raises PeerError at the first length that lies."""
        stream = memoryview(self._rest + chunk if self._rest else chunk)
        at, end = 0, len(stream)
        try:
            while end - at >= HEADER_TWIN.size:
                length = message_length(stream[at : at + HEADER_TWIN.size], self.longest)
                if end - at < length:
                    break
                at += length
                yield stream[at - length : at]
        finally:
            self._rest = bytes(stream[at:])
