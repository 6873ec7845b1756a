"""Answers over HTTP: whole however they come, and never taken for whole where they are not."""

from collections.abc import Callable
from io import BytesIO
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli import answer as module
from multicastmw.cli.answer import Answer, NoAnswer

HEAD = b"HTTP/1.1 200 OK\r\nServer: x\r\n"


class Slow(BytesIO):
    """A connection that has so many bytes at a time."""

    def __init__(self, data: bytes, at_once: int) -> None:
        super().__init__(data)
        self._at_once = at_once

    def read1(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        return super().read1(min(size, self._at_once))


def by_length(pieces: list[bytes]) -> bytes:
    body = b"".join(pieces)
    return HEAD + b"content-LENGTH: %d\r\n\r\n" % len(body) + body


def by_chunks(pieces: list[bytes]) -> bytes:
    chunks = b"".join(b"%x;of=x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n"


def until_closed(pieces: list[bytes]) -> bytes:
    return HEAD + b"\r\n" + b"".join(pieces)


WAYS = by_length, by_chunks, until_closed
BODIES = st.lists(st.binary(max_size=40))


def whole(text: bytes) -> bytes:
    return Answer(BytesIO(text)).whole()


class Answers(SynchronousTestCase):
    @given(BODIES, st.sampled_from(WAYS), st.integers(1, 50))
    def test_the_body_is_the_same_in_each_way(
        self, pieces: list[bytes], way: Callable[[list[bytes]], bytes], at_once: int
    ) -> None:
        answer = Answer(Slow(way(pieces), at_once))
        self.assertEqual((200, b"".join(pieces)), (answer.status, answer.whole()))

    @given(BODIES, st.sampled_from(WAYS), st.integers(1, 50))
    def test_lines_are_what_stands_between_their_ends(
        self, pieces: list[bytes], way: Callable[[list[bytes]], bytes], at_once: int
    ) -> None:
        found = list(Answer(Slow(way(pieces), at_once)).lines())
        *lines, rest = b"".join(pieces).split(b"\n")
        self.assertEqual(lines + [rest] * bool(rest), found)

    @given(BODIES, st.sampled_from((by_length, by_chunks)), st.data())
    def test_what_is_cut_is_never_whole(
        self, pieces: list[bytes], way: Callable[[list[bytes]], bytes], data: st.DataObject
    ) -> None:
        text = way(pieces)
        ends = text.rindex(b"0\r\nTrailer") + 1 if way is by_chunks else len(text) - 1
        self.assertRaises(NoAnswer, whole, text[: data.draw(st.integers(0, ends))])

    @given(st.binary(max_size=200))
    def test_noise_is_no_answer(self, noise: bytes) -> None:
        self.assertRaises(NoAnswer, whole, noise)

    def test_lengths_that_are_none(self) -> None:
        for length in (b"", b"-1", b"1_0", b"9" * 5_000):
            self.assertRaises(NoAnswer, whole, HEAD + b"Content-Length: " + length + b"\r\n\r\n1234567890")

    def test_chunks_that_are_none(self) -> None:
        for chunks in (b"-1\r\n", b"4\r\nwinery\r\n0\r\n", b"123456789\r\n", b"x\r\n"):
            text = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
            self.assertRaises(NoAnswer, whole, text)

    def test_no_more_is_kept_than_the_bounds(self) -> None:
        for bound, read in (
            ("LONGEST_ANSWER", Answer.whole),
            ("LONGEST_LINE", lambda answer: list(answer.lines())),
        ):
            with patch.object(module, bound, 1_000):
                self.assertRaises(NoAnswer, read, Answer(Slow(by_length([bytes(100_000)]), 100)))
        self.assertRaises(NoAnswer, whole, HEAD + b"X: y\r\n" * 100_000)
