"""Coder and rebuilder, one behind the other, and what a peer may send to the second."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fec import rebuilder as rebuilders
from multicastmw.core.fec.coder import BLOCK, ROWS_MOST, SPAN, STEP_MOST, STREAMS_MAX, Coder, rows_for
from multicastmw.core.fec.counters import FecCounters
from multicastmw.core.fec.fec import Fec
from multicastmw.core.fec.rebuilder import BYTES_MAX, WAITING_MAX, WAITS, Rebuilder
from multicastmw.wire.data import (
    FLAGS_OFFSET,
    NUMBERED_BY_KERNEL,
    ORIGIN_OFFSET,
    REBUILT,
    RETRANSMITTED,
    DataHeader,
    build,
)
from multicastmw.wire.messages import encode
from multicastmw.wire.parity import Parity
from tests.wire import strategies

ORIGIN, GROUP, SOURCE = 0xABCD0000, 0xEF010203, 0x0A580001


def message(number: int, packet: bytes = b"E packet", **how: int) -> bytes:
    how = {"origin": ORIGIN, "group": GROUP, "source": SOURCE, "hop_limit": 9, **how}
    return build(packet, token=77, sequence=number & 0xFFFFFFFF, origin_time=number & 0xFFFF, **how)


class Ends:
    """What a coder sends, and a rebuilder at the other end."""

    def __init__(self, loss: float = 0.05, uplink: int = 10_000_000) -> None:
        self.now = 1000.0
        self.sent: list[bytes | Parity] = []
        self.given: list[bytes] = []
        self.counters, self.theirs = FecCounters(), FecCounters()
        self.fec = Fec(True, 1.0, uplink)
        self.coder = Coder(self, self._say, self.fec, self.counters)
        self.coder.expects(loss, 2)
        self.rebuilder = Rebuilder(lambda one, now: self.given.append(one), self.theirs, self.now)

    def _say(self, parity: Parity) -> int:
        self.sent.append(parity)
        return len(encode(parity, 1))

    def send(self, each: memoryview | bytes, now: float = 0.0) -> None:
        """The run behind the coder."""
        self.sent.append(bytes(each))

    def sends(self, *messages: bytes, apart: float = 0.001) -> None:
        for each in messages:
            self.coder.send(memoryview(bytearray(each)), self.now)
            self.now += apart
            self.fec.tick(self.now)

    def ends(self) -> list[Parity]:
        """The last block, too; all its rows."""
        self.now += SPAN
        self.fec.tick(self.now)
        return [each for each in self.sent if isinstance(each, Parity)]

    def arrive(self, *each: bytes | Parity) -> None:
        for one in each:
            if isinstance(one, Parity):
                self.rebuilder.accept(one, self.now)
            else:
                self.rebuilder.came(memoryview(bytearray(one)), self.now)


def without_flag(given: bytes) -> bytes:
    """As it was sent; a rebuilt one has token 0 and a flag."""
    was = bytearray(given)
    was[FLAGS_OFFSET] &= ~REBUILT & 0xFF
    was[12:20] = (77).to_bytes(8, "big")
    return bytes(was)


class TogetherTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_what_is_lost_is_rebuilt_as_it_was_where_rows_are_enough(self, data):
        ends = Ends(data.draw(st.sampled_from((0.0, 0.05, 0.2))))
        first = data.draw(st.sampled_from((0, 5, 0xFFFFFFF0)))
        count = data.draw(st.integers(1, 2 * BLOCK))
        payloads = st.binary(min_size=1, max_size=60)
        sent = [message(first + i, data.draw(payloads), flags=data.draw(st.sampled_from((0, 4, 16))))
                for i in range(count)]  # fmt: skip
        ends.sends(message(first - 1), *sent)
        ends.ends()
        ends.arrive(message(first - 1))
        lost = set(data.draw(st.lists(st.sampled_from(range(1, len(ends.sent))), max_size=8)))
        left = [each for i, each in enumerate(ends.sent) if i not in lost][1:]
        ends.arrive(*data.draw(st.permutations(left)))
        given_back = [without_flag(each) for each in ends.given]
        self.assertEqual(len(given_back), len(set(given_back)))
        self.assertLessEqual(set(given_back), set(sent))
        blocks: dict[int, list[Parity]] = {}
        for each in left:
            if isinstance(each, Parity):
                blocks.setdefault(each.first, []).append(each)
        for rows in blocks.values():
            members = {(rows[0].first + i) & 0xFFFFFFFF for i in range(64) if rows[0].members >> i & 1}
            missing = [
                each for i, each in enumerate(ends.sent)
                if i in lost and isinstance(each, bytes) and DataHeader.parse(each).sequence in members
            ]  # fmt: skip
            if len(missing) <= len(rows):
                self.assertLessEqual(set(missing), set(given_back))
        self.assertEqual(ends.theirs.rebuilt, len(given_back))
        self.assertEqual(ends.theirs.malformed, 0)

    def test_a_packet_that_is_not_lost_is_as_it_would_be_without_and_goes_first(self):
        ends = Ends()
        sent = [message(i) for i in range(BLOCK)]
        ends.sends(*sent)
        self.assertEqual(ends.sent[:BLOCK], sent)
        self.assertEqual({type(each) for each in ends.sent[BLOCK:]}, {Parity})

    def test_parity_is_no_longer_than_the_longest_packet_of_its_block(self):
        ends = Ends()
        ends.sends(message(0, b"E" * 1_412), message(1), message(2, b"E" * 700))
        for parity in ends.ends():
            self.assertEqual(len(encode(parity, 1)), len(message(0, b"E" * 1_412)))

    def test_a_slow_stream_has_its_parity_after_40_ms(self):
        ends = Ends()
        ends.sends(message(0))
        self.assertEqual(ends.fec.deadline(), 1000.0 + SPAN)
        (parity,) = ends.ends()
        ends.arrive(message(9), parity)
        self.assertEqual([without_flag(each) for each in ends.given], [message(0)])

    def test_a_burst_in_a_fast_stream_is_shared_by_several_blocks(self):
        ends = Ends(loss=0.02)
        count = 8_000
        ends.sends(*(message(i) for i in range(count)), apart=0.0002)
        ends.ends()
        steps = {each.step for each in ends.sent if isinstance(each, Parity)}
        self.assertEqual(steps, {1, 10})
        burst = {message(i) for i in range(7_000, 7_015)}
        ends.arrive(*(each for each in ends.sent if each not in burst))
        self.assertEqual({without_flag(each) for each in ends.given}, burst)

    def test_the_kernel_s_count_is_a_stream_of_its_own(self):
        ends = Ends(loss=0.0)
        ours, kernels = (
            [message(i, bytes([65 + flags]) * 9, flags=flags) for i in range(3)]
            for flags in (0, NUMBERED_BY_KERNEL)
        )
        ends.sends(*(each for pair in zip(ours, kernels, strict=True) for each in pair))
        ends.ends()
        ends.arrive(*(each for each in ends.sent if each not in (ours[1], kernels[2])))
        self.assertEqual({without_flag(each) for each in ends.given}, {ours[1], kernels[2]})

    def test_what_is_sent_again_is_in_no_block_and_taken_for_no_packet_of_one(self):
        ends = Ends()
        again = message(1, flags=RETRANSMITTED, low_water=3)
        ends.sends(message(0), message(1), again, message(2))
        (parity, *_) = ends.ends()
        self.assertEqual(parity.members, 0b111)
        ends.arrive(message(0), again, message(2), parity)
        self.assertEqual([without_flag(each) for each in ends.given], [message(1)])

    def test_numbers_begin_anew_behind_the_last_one(self):
        ends = Ends(loss=0.0)
        sent = [message(0xFFFFFFFE + i) for i in range(5)]
        ends.sends(*sent)
        ends.arrive(*sent[:2], *sent[3:], *ends.ends())
        self.assertEqual([without_flag(each) for each in ends.given], [sent[2]])

    def test_what_comes_by_itself_after_its_parity_completes_a_block(self):
        ends = Ends(loss=0.0)
        sent = [message(i) for i in range(4)]
        ends.sends(*sent)
        (parity,) = ends.ends()
        ends.arrive(sent[0], sent[1], parity)
        self.assertEqual(ends.given, [])
        ends.arrive(sent[3])
        self.assertEqual([without_flag(each) for each in ends.given], [sent[2]])


class RowsTests(SynchronousTestCase):
    def test_they_are_as_the_overlay_s_design_has_it(self):
        self.assertEqual([rows_for(20, loss, 2) for loss in (0, 0.01, 0.02, 0.05, 0.1)], [1, 2, 2, 3, 5])
        self.assertEqual([rows_for(count, 0.05, 2) for count in (1, 2, 5, 10)], [1, 1, 2, 2])
        self.assertEqual(rows_for(20, 1.0, 8), ROWS_MOST)

    def test_a_short_block_needs_no_more_than_a_whole_one(self):
        for loss in (0.0, 0.01, 0.1, 0.5, 1.0):
            for sigmas in (2, 8):
                rows = [rows_for(count, loss, sigmas) for count in range(1, BLOCK + 1)]
                self.assertEqual(rows, sorted(rows))


class BoundTests(SynchronousTestCase):
    def test_parity_takes_a_quarter_of_the_uplink(self):
        ends = Ends(loss=0.2, uplink=1_000)
        ends.sends(*(message(i, b"E" * 1_300) for i in range(2_000)), apart=0.01)
        seconds = 20
        self.assertLess(ends.counters.sent_bytes, 32_000 + seconds * 125 * 1_000 / 4)
        self.assertGreater(ends.counters.sent_bytes, seconds * 125 * 1_000 / 5)
        self.assertGreater(ends.counters.over_bound, 100)

    def test_of_too_many_streams_the_rest_goes_without(self):
        ends = Ends()
        ends.sends(*(message(0, source=1 + i) for i in range(STREAMS_MAX + 10)), apart=0.0)
        self.assertEqual((len(ends.sent), ends.counters.over_bound), (STREAMS_MAX + 10, 10))
        self.assertEqual(len({each.digest for each in ends.ends()}), STREAMS_MAX)
        ends.now += 11
        ends.sends(message(0, source=9_999))
        self.assertEqual(ends.counters.over_bound, 10)

    def test_blocks_that_are_open_are_bounded(self):
        ends = Ends()
        ends.sends(*(message(i) for i in range(100_000)), apart=0.000_02)
        self.assertLessEqual(len(ends.fec._open), STEP_MOST)

    def test_what_is_kept_is_bounded_in_bytes_and_streams(self):
        ends = Ends()
        for number in range(200):
            for source in range(1, 80):
                ends.arrive(message(number, b"E" * 1_400, source=source))
        self.assertLessEqual(ends.rebuilder.kept, BYTES_MAX)
        for source in range(2_000):
            ends.arrive(message(0, source=100 + source))
        self.assertLessEqual(len(ends.rebuilder._streams), rebuilders.STREAMS_MAX)

    def test_of_two_streams_that_parity_could_not_tell_apart_the_first_is_rebuilt(self):
        ends = Ends()
        alike = bytearray(message(0))
        alike[ORIGIN_OFFSET + 7] ^= NUMBERED_BY_KERNEL
        alike[FLAGS_OFFSET] |= NUMBERED_BY_KERNEL
        ends.arrive(message(0), bytes(alike), *(message(0, source=100 + i) for i in range(STREAMS_MAX)))
        ends.now += 11
        ends.arrive(message(0, source=9_999))  # those of which nothing comes any more are forgotten
        self.assertEqual(len(ends.rebuilder._streams), 1)
        self.assertEqual(len(ends.rebuilder._by_digest), 1)

    def test_what_stays_lost_is_counted_and_nothing_else(self):
        ends = Ends(loss=0.0)
        sent = [message(i) for i in range(600)]
        ends.sends(*sent)
        ends.ends()
        ends.arrive(*(each for each in ends.sent if each not in sent[100:103]))
        ends.now += WAITS
        ends.sent.clear()
        ends.sends(message(600), message(601))
        ends.arrive(message(600), *ends.ends())
        self.assertEqual((ends.theirs.short, len(ends.given)), (3, 1))

    def test_blocks_that_wait_are_bounded_and_let_go_after_a_second(self):
        ends = Ends()
        ends.sends(message(0))
        (parity, *_) = ends.ends()
        ends.arrive(message(0))
        for number in range(1_000):
            ends.arrive(parity._replace(first=number * 64, members=0b111))
            self.assertLessEqual(len(ends.rebuilder._waiting), WAITING_MAX)
        self.assertEqual(ends.theirs.short, 3 * (1_000 - WAITING_MAX) - 1)
        ends.now += WAITS
        ends.arrive(parity._replace(first=7, members=0b111))
        self.assertEqual(len(ends.rebuilder._waiting), 1)


class StrangeParityTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(strategies.parities, min_size=1, max_size=6), st.data())
    def test_nothing_raises_and_nothing_that_is_no_message_goes_on(self, rows, data):
        ends = Ends()
        sent = [message(i, b"E" * data.draw(st.integers(1, 30))) for i in range(6)]
        ends.sends(*sent)
        mine = ends.ends()[0]
        ends.arrive(*sent[:3])
        for row in rows:
            part = data.draw(st.sets(st.sampled_from(("digest", "first", "step", "members", "rows"))))
            ends.arrive(row._replace(**{name: getattr(mine, name) for name in part | {"digest"}}))
        for each in ends.given:
            self.assertEqual(DataHeader.parse(each).origin, ORIGIN)

    def test_a_row_of_another_block_of_the_same_place_is_refused(self):
        ends = Ends()
        ends.sends(*(message(i) for i in range(3)))
        (parity, *_) = ends.ends()
        ends.arrive(message(0), parity)
        for wrong in (
            parity._replace(members=0b1011),
            parity._replace(rows=9),
            parity._replace(symbol=parity.symbol + bytes(4)),
        ):
            ends.arrive(wrong)
        self.assertEqual(ends.theirs.malformed, 3)

    def test_a_sum_that_makes_no_packet_is_counted(self):
        ends = Ends(loss=0.0)
        ends.sends(message(0), message(1))
        (parity,) = ends.ends()
        ends.arrive(message(0), parity._replace(symbol=b"\xff" * len(parity.symbol)))
        self.assertEqual((ends.given, ends.theirs.malformed), ([], 1))

    def test_a_packet_longer_than_the_sum_is_a_lie(self):
        ends = Ends(loss=0.0)
        ends.sends(message(0), message(1))
        (parity,) = ends.ends()
        ends.arrive(message(0, b"E" * 40), parity)
        self.assertEqual((ends.given, ends.theirs.malformed), ([], 1))

    def test_parity_of_a_stream_that_nobody_knows_is_counted(self):
        ends = Ends()
        ends.sends(message(0))
        ends.arrive(*ends.ends())
        self.assertEqual((ends.given, ends.theirs.unknown_streams), ([], ends.theirs.received))
