"""A byte stream into messages: however it comes, at no more than a message's cost."""

import tracemalloc
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire.cops import MESSAGE_MAX, Op, frame
from multicastmw.wire.errors import PeerError
from multicastmw.wire.framing import Framer
from multicastmw.wire.messages import KeepAlive, encode
from tests.wire import strategies
from tests.wire.golden import folder

KEEP_ALIVE = encode(KeepAlive())
LYING = b"\x10\x09\0\0\0\0\0\x07"
LONGEST = frame(Op.IP_DATA, bytes(MESSAGE_MAX - 8))


def fed(framer: Framer, *chunks: bytes) -> list[bytes]:
    return [bytes(message) for chunk in chunks for message in framer.feed(chunk)]


def cut(stream: bytes, size: int) -> list[bytes]:
    return [stream[at : at + size] for at in range(0, len(stream), size)]


class ChunkingTests(SynchronousTestCase):
    @settings(deadline=None, derandomize=True)
    @given(st.lists(strategies.messages.map(encode), max_size=6), st.lists(st.integers(0, 2000), max_size=12))
    def test_any_cut_gives_the_same_messages(self, messages: list[bytes], cuts: list[int]):
        stream = b"".join(messages)
        edges = [0, *sorted(c for c in cuts if c < len(stream)), len(stream)]
        framer = Framer()
        chunks = [stream[start:end] for start, end in pairwise(edges)]
        self.assertEqual(fed(framer, *chunks), messages)
        self.assertEqual(len(framer), 0)

    def test_all_golden_messages_come_through_in_pieces_of_every_small_size(self):
        messages = [golden.wire for golden in folder("messages")]
        for size in range(1, 40):
            self.assertEqual(fed(Framer(), *cut(b"".join(messages), size)), messages)

    def test_ten_thousand_messages_come_in_one_chunk(self):
        framer = Framer()
        self.assertEqual(fed(framer, KEEP_ALIVE * 10_000), [KEEP_ALIVE] * 10_000)
        self.assertEqual(len(framer), 0)

    def test_a_message_is_there_with_its_last_byte_and_not_before(self):
        framer = Framer()
        self.assertEqual(fed(framer, LONGEST[:-1]), [])
        self.assertEqual(fed(framer, LONGEST[-1:] + KEEP_ALIVE[:3]), [LONGEST])
        self.assertEqual(len(framer), 3)
        self.assertEqual(fed(framer, KEEP_ALIVE[3:]), [KEEP_ALIVE])

    def test_an_empty_chunk_changes_nothing(self):
        framer = Framer()
        self.assertEqual(fed(framer, b"", KEEP_ALIVE[:5], b"", KEEP_ALIVE[5:], b""), [KEEP_ALIVE])

    def test_a_message_is_good_until_the_next_is_asked_for(self):
        framer = Framer()
        fed(framer, KEEP_ALIVE[:4])
        seen = [bytes(message) for message in framer.feed(KEEP_ALIVE[4:] + LONGEST + KEEP_ALIVE[:2])]
        self.assertEqual(seen, [KEEP_ALIVE, LONGEST])

    def test_a_reader_that_stops_half_way_loses_nothing(self):
        framer = Framer()
        messages = framer.feed(KEEP_ALIVE + LONGEST + KEEP_ALIVE[:2])
        self.assertEqual(bytes(next(messages)), KEEP_ALIVE)
        messages.close()
        self.assertEqual(fed(framer, KEEP_ALIVE[2:]), [LONGEST, KEEP_ALIVE])


class LyingTests(SynchronousTestCase):
    def test_the_messages_before_a_lying_length_still_come(self):
        seen: list[bytes] = []
        with self.assertRaises(PeerError) as caught:
            seen.extend(map(bytes, Framer().feed(KEEP_ALIVE + LONGEST + LYING + KEEP_ALIVE)))
        self.assertEqual(seen, [KEEP_ALIVE, LONGEST])
        self.assertEqual((caught.exception.code, caught.exception.sub_code), (3, 0))

    def test_behind_a_lie_nothing_is_believed(self):
        framer = Framer()
        self.assertRaises(PeerError, fed, framer, LYING)
        self.assertRaises(PeerError, fed, framer, KEEP_ALIVE)

    def test_a_lie_is_told_by_the_eighth_byte_and_not_waited_for(self):
        framer = Framer()
        self.assertEqual(fed(framer, b"\x10\x22\x4d\x43\0\1\1"), [])
        self.assertRaises(PeerError, fed, framer, b"\xd4")

    def test_the_longest_is_taken_and_four_bytes_more_are_not(self):
        self.assertEqual(fed(Framer(), LONGEST), [LONGEST])
        self.assertRaises(PeerError, fed, Framer(), frame(Op.IP_DATA, bytes(MESSAGE_MAX - 4)))

    def test_a_stranger_may_be_held_shorter_and_let_loose_later(self):
        framer = Framer(16)
        self.assertEqual(fed(framer, frame(Op.CLOSE, bytes(8))), [frame(Op.CLOSE, bytes(8))])
        self.assertRaises(PeerError, fed, framer, frame(Op.CLOSE, bytes(12)))
        framer = Framer(16)
        fed(framer, KEEP_ALIVE)
        framer.longest = MESSAGE_MAX
        self.assertEqual(fed(framer, LONGEST), [LONGEST])

    def test_the_limit_may_be_lifted_in_the_midst_of_a_chunk(self):
        framer, seen = Framer(16), []
        for message in framer.feed(KEEP_ALIVE + LONGEST):
            seen.append(bytes(message))
            framer.longest = MESSAGE_MAX
        self.assertEqual(seen, [KEEP_ALIVE, LONGEST])

    @settings(deadline=None, derandomize=True, max_examples=200)
    @given(st.lists(st.binary(max_size=40), max_size=6))
    def test_arbitrary_bytes_are_messages_or_a_peers_error(self, chunks: list[bytes]):
        framer = Framer()
        try:
            for message in fed(framer, *chunks):
                self.assertEqual((message[0] >> 4, len(message) % 4), (1, 0))
        except PeerError as error:
            self.assertEqual((error.code, error.sub_code), (3, 0))


class CostTests(SynchronousTestCase):
    """What a peer can make us spend, in bytes and not in seconds."""

    def allocated(self, framer: Framer, chunks: list[bytes]) -> int:
        """All bytes that feeding asked the allocator for and did not have at hand, a peak a chunk."""
        tracemalloc.start()
        try:
            total = 0
            for chunk in chunks:
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                for _ in framer.feed(chunk):
                    pass
                total += max(0, tracemalloc.get_traced_memory()[1] - before)
        finally:
            tracemalloc.stop()
        return total

    def test_the_longest_message_byte_by_byte_is_not_copied_for_each_byte(self):
        each = self.allocated(Framer(), cut(LONGEST, 1)) / len(LONGEST)
        self.assertLess(each, 2000)  # a message copied for each of its bytes: 33,000

    def test_half_messages_that_never_end_hold_no_more_than_one_message(self):
        framers = [Framer() for _ in range(50)]
        for framer in framers:
            for chunk in cut(LONGEST[:-1], 1400):
                self.assertEqual(fed(framer, chunk), [])
                self.assertLessEqual(len(framer), MESSAGE_MAX)

    def test_what_was_read_is_not_kept(self):
        framer, chunks = Framer(), cut(LONGEST * 20, 3000)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for chunk in chunks:
                for _ in framer.feed(chunk):
                    pass
                held = tracemalloc.get_traced_memory()[0] - before
                self.assertLess(held, 3 * MESSAGE_MAX)
        finally:
            tracemalloc.stop()
        self.assertEqual(len(framer), 0)
