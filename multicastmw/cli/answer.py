"""An HTTP/1.1 answer as it is read from a node (RFC 9112): `http.client` takes 45 ms to be imported."""

import re
from collections.abc import Iterator
from typing import Protocol

LONGEST_HEAD = 64 << 10  # bytes of its lines before the body
LONGEST_ANSWER = 64 << 20  # bytes; a node of 4,096 groups answers with about one million
LONGEST_LINE = 1 << 20  # bytes of an answer in lines
PIECE = 64 << 10  # bytes that are read at once
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)\b")
LENGTH = re.compile(rb"\d{1,18}")
SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}(?=[;\s])")  # of a chunk; what may stand behind it means nothing to us


class NoAnswer(Exception):
    """What came is not HTTP, or not all of it."""


class Stream(Protocol):
    """What is read from; b"" is its end."""

    def readline(self, size: int, /) -> bytes: ...
    def read1(self, size: int, /) -> bytes: ...


class Answer:
    """One answer: its `status`, and its body, once, as a whole or as it comes.  All raise NoAnswer."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._taken = 0  # bytes of the body
        first, *fields = self._head()
        said = STATUS_LINE.match(first)
        if not said:
            raise NoAnswer("what came is no HTTP" if first else "the connection was closed without an answer")
        self.status = int(said[1])
        self._fields = {name.lower(): value.strip() for name, _, value in (f.partition(b":") for f in fields)}

    def _head(self) -> list[bytes]:
        lines, left = [self._stream.readline(LONGEST_HEAD)], LONGEST_HEAD
        while STATUS_LINE.match(lines[0]) and lines[-1] not in (b"\r\n", b"\n"):
            left -= len(lines[-1])
            lines.append(self._stream.readline(max(0, left)))
            if not lines[-1].endswith(b"\n"):
                raise NoAnswer("the answer was cut off before its body")
        return lines

    def whole(self) -> bytes:
        """All of it, where that is not too much."""
        found = []
        for piece in self.pieces():
            found.append(piece)
            if self._taken > LONGEST_ANSWER:
                raise NoAnswer(f"an answer of more than {LONGEST_ANSWER:,} bytes")
        return b"".join(found)

    def lines(self) -> Iterator[bytes]:
        """Each as soon as it is there, without its end."""
        rest = b""
        for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
            if len(rest) > LONGEST_LINE:
                raise NoAnswer(f"a line of more than {LONGEST_LINE:,} bytes")
        if rest:
            yield rest

    def pieces(self) -> Iterator[bytes]:
        """Bytes as they come.  Where they end is told in one of three ways (6.3)."""
        if self._fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            return self._chunks()
        length = self._fields.get(b"content-length")
        if length is None:
            return iter(self._read_some, b"")
        if not LENGTH.fullmatch(length):
            raise NoAnswer("the answer does not say how long it is")
        return self._exactly(int(length))

    def _chunks(self) -> Iterator[bytes]:
        while size := self._size():
            yield from self._exactly(size)
            if self._stream.readline(2) != b"\r\n":
                raise self._cut_off()

    def _size(self) -> int:
        """Of the next chunk; 0: there is none."""
        line = self._stream.readline(LONGEST_HEAD)
        if not (said := SIZE.match(line)):
            raise self._cut_off()
        return int(said[0], 16)

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._read_some(size)
            if not piece:
                raise self._cut_off()
            size -= len(piece)
            yield piece

    def _read_some(self, most: int = PIECE) -> bytes:
        piece = self._stream.read1(min(most, PIECE))
        self._taken += len(piece)
        return piece

    def _cut_off(self) -> NoAnswer:
        return NoAnswer(f"the answer was cut off after {self._taken:,} bytes")
