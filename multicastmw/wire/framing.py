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
        self._rest = bytearray()
        self._wanted = 0  # bytes from which on it is worth to look, for a peer may send them one by one

    def __len__(self) -> int:
        return len(self._rest)

    def feed(self, chunk: bytes) -> Iterator[memoryview]:
        """Whole messages, in order; raises PeerError at the first length that lies."""
        if self._rest:
            self._rest += chunk
            if len(self._rest) < self._wanted:
                return
        stream = memoryview(self._rest or chunk)
        at, end, wanted = 0, len(stream), HEADER_TWIN.size
        try:
            while end - at >= HEADER_TWIN.size:
                length = message_length(stream[at : at + HEADER_TWIN.size], self.longest)
                if end - at < length:
                    wanted = length
                    break
                at += length
                yield stream[at - length : at]
        finally:
            self._wanted = wanted
            self._rest = bytearray(stream[at:])  # a new one, as the views hold the old one's size
