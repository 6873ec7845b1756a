"""IPv4 packets to pieces and back; what strangers can make the reassembler hold."""

import random
import tracemalloc
from collections.abc import Callable
from itertools import count, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, defragment, fragment
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fragments import Reassembler, copied_options, split
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import DONT_FRAGMENT, MORE_FRAGMENTS, OFFSET_MASK, Header, checksum

SOURCE, GROUP = 0x0A580002, 0xEF010203
SECURITY = bytes.fromhex("820b0000000000000000ab")  # copied
ROUTER_ALERT = bytes.fromhex("94040000")  # copied
RECORD_ROUTE = bytes.fromhex("07070400000000")  # not copied
TIMESTAMP = bytes.fromhex("44080500" + "00000000")  # not copied
NOP = b"\1"


def packet(
    payload: bytes, ident: int = 7, flags: int = 0, offset: int = 0, options: bytes = b"", protocol: int = 17,
    source: int = SOURCE, group: int = GROUP,
) -> bytes:  # fmt: skip
    """One with right lengths and checksum; `offset` in bytes."""
    total = 20 + len(options) + len(payload)
    head = Header(0x88, total, ident, flags | offset // 8, 33, protocol, source, group, options)
    return head.build() + payload


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def ids(first: int = 0x1234) -> Callable[[], int]:
    return count(first).__next__


def no_id() -> int:
    raise AssertionError("nobody asked for a new ID")


def joined(pieces: list[bytes]) -> list[bytes]:
    """The packets that come out of a reassembler when it is given the pieces."""
    reassembler = Reassembler()
    return [whole for piece in pieces if (whole := reassembler.accept(piece, 0.0)) is not None]


def mended(whole: bytes, ident: int) -> bytes:
    """The packet as it is after a journey in pieces: no DF, and perhaps another ID."""
    header = Header.parse(whole)
    flags = header.flags_and_offset & ~DONT_FRAGMENT
    return header._replace(identification=ident, flags_and_offset=flags).build() + whole[header.size :]


@st.composite
def option_lists(draw: st.DrawFn) -> bytes:
    kinds = st.sampled_from([SECURITY, ROUTER_ALERT, RECORD_ROUTE, TIMESTAMP, NOP])
    options = b""
    for option in draw(st.lists(kinds, max_size=6)):
        if len(options) + len(option) <= 40:
            options += option
    return options + bytes(-len(options) % 4)


@st.composite
def packets(draw: st.DrawFn, most: int = 3000) -> bytes:
    options = draw(option_lists())
    largest = st.sampled_from([65535 - 20 - len(options), 65535 - 21 - len(options)])
    size = draw(st.integers(0, most) | largest)
    flags = draw(st.sampled_from([0, DONT_FRAGMENT]))
    return packet(noise(size), ident=draw(st.integers(0, 65535)), flags=flags, options=options)


mtus = st.integers(68, 1500) | st.sampled_from([68, 1412, 1500, 9000, 65535])


class Splitting(SynchronousTestCase):
    def test_a_packet_that_fits_is_returned_as_it_is(self) -> None:
        fitting = packet(bytes(1480), flags=DONT_FRAGMENT)
        self.assertIs(split(fitting, 1500, no_id)[0], fitting)
        self.assertEqual(split(memoryview(fitting), 1500, no_id), [fitting])

    def test_one_byte_more_makes_two_pieces(self) -> None:
        sizes = [len(piece) for piece in split(packet(bytes(1481)), 1500, no_id)]
        self.assertEqual(sizes, [1500, 21])

    def test_ethernet_padding_is_no_part_of_the_packet(self) -> None:
        short = packet(b"abc")
        self.assertEqual(split(short + bytes(23), 1500, no_id), [short])
        long = packet(noise(2000))
        self.assertEqual(split(long + bytes(23), 1500, no_id), split(long, 1500, no_id))

    @settings(deadline=None)
    @given(packets(), mtus)
    def test_pieces_are_right_packets_in_a_row(self, whole: bytes, mtu: int) -> None:
        pieces = split(whole, mtu, ids())
        headers = [Header.parse(piece) for piece in pieces]
        for header, piece in zip(headers, pieces, strict=True):
            self.assertLessEqual(len(piece), mtu)
            self.assertEqual(header.total_length, len(piece))
            self.assertEqual(checksum(piece[: header.size]), 0)
            self.assertEqual(header[4:8], (33, 17, SOURCE, GROUP))
        if len(pieces) == 1:
            return
        for header, following in pairwise(headers):
            self.assertEqual((header.total_length - header.size) % 8, 0)
            self.assertEqual(header.flags_and_offset & ~OFFSET_MASK, MORE_FRAGMENTS)
            step = (following.flags_and_offset & OFFSET_MASK) - (header.flags_and_offset & OFFSET_MASK)
            self.assertEqual(step * 8, header.total_length - header.size)
            # As few as can be: eight bytes more would not have fitted.
            self.assertGreater(header.total_length + 8, mtu)
        self.assertEqual(headers[0].flags_and_offset & OFFSET_MASK, 0)
        self.assertEqual(headers[-1].flags_and_offset & ~OFFSET_MASK, 0)
        self.assertEqual(len({header.identification for header in headers}), 1)

    def test_the_first_piece_has_all_options_and_later_ones_the_copied(self) -> None:
        options = NOP + RECORD_ROUTE + ROUTER_ALERT
        headers = [Header.parse(p) for p in split(packet(noise(4000), options=options), 1500, no_id)]
        self.assertEqual([h.options for h in headers], [options, ROUTER_ALERT, ROUTER_ALERT])

    def test_copied_options_are_padded_with_the_end_of_options(self) -> None:
        self.assertEqual(copied_options(SECURITY + NOP + RECORD_ROUTE + b"\0"), SECURITY + b"\0")
        self.assertEqual(copied_options(RECORD_ROUTE + NOP), b"")

    def test_nothing_is_copied_from_behind_the_end_of_options(self) -> None:
        self.assertEqual(copied_options(b"\0" + ROUTER_ALERT + bytes(3)), b"")

    def test_options_that_lie_are_malformed(self) -> None:
        for options in (b"\x94\x00\0\0", b"\x94\x01\0\0", b"\x94\x05\0\0", b"\1\1\1\x94", b"\x07\x28\4\0"):
            self.assertRaises(Malformed, split, packet(noise(2000), options=options), 1500, no_id)

    def test_df_is_cleared_and_the_id_comes_from_the_counter(self) -> None:
        pieces = split(packet(noise(4000), ident=0, flags=DONT_FRAGMENT), 1500, ids(0x1FFFF))
        for piece in pieces:
            self.assertEqual(Header.parse(piece).identification, 0xFFFF)
            self.assertFalse(Header.parse(piece).flags_and_offset & DONT_FRAGMENT)

    def test_without_df_the_sender_s_id_stays(self) -> None:
        for piece in split(packet(noise(4000), ident=99), 1500, no_id):
            self.assertEqual(Header.parse(piece).identification, 99)

    def test_a_fragment_with_df_keeps_the_id_of_its_siblings(self) -> None:
        whole = packet(noise(4000), ident=99)
        pieces = []
        for piece in split(whole, 1500, no_id):
            header = Header.parse(piece)
            flags = header.flags_and_offset | DONT_FRAGMENT
            stubborn = header._replace(flags_and_offset=flags).build() + piece[header.size :]
            pieces += split(stubborn, 600, no_id)
        self.assertEqual([mended(p, 99) for p in joined(pieces)], [whole])

    @settings(deadline=None)
    @given(packets(), mtus, mtus)
    def test_pieces_of_pieces_join_to_the_same_packet(self, whole: bytes, wide: int, narrow: int) -> None:
        ident = ids()
        pieces = [p for piece in split(whole, wide, ident) for p in split(piece, narrow, ident)]
        (back,) = joined(pieces)
        self.assertEqual(
            back, whole if len(pieces) == 1 else mended(whole, Header.parse(back).identification)
        )

    def test_packets_that_lie_are_malformed(self) -> None:
        good = packet(noise(2000))
        lies = {
            "short": good[:19],
            "truncated": good[:-1],
            "not IPv4": b"\x65" + good[1:],
            "header longer than packet": b"\x4f" + good[1:50],
            "checksum": good[:10] + b"\0\0" + good[12:],
            "more to come but odd": packet(noise(2001), flags=MORE_FRAGMENTS),
            "beyond the end": packet(noise(2000), offset=65528),
            "just beyond the end": packet(noise(2004), offset=65512 - 2000),
        }
        for what, packet_that_lies in lies.items():
            with self.assertRaises(Malformed, msg=what):
                split(packet_that_lies, 1500, no_id)

    def test_the_last_bytes_of_the_longest_packet_can_be_split_again(self) -> None:
        pieces = split(packet(noise(2000 + 3), offset=65512 - 2000), 1500, no_id)
        self.assertEqual(sum(len(piece) - 20 for piece in pieces), 2003)

    def test_an_mtu_below_68_is_our_own_mistake(self) -> None:
        self.assertRaises(ValueError, split, packet(bytes(9)), 67, no_id)

    @settings(deadline=None)
    @given(st.lists(st.binary(min_size=4, max_size=4), max_size=10), mtus)
    def test_whatever_the_options_it_is_malformed_or_joins_again(self, words: list[bytes], mtu: int) -> None:
        whole = packet(noise(1600), options=b"".join(words))
        try:
            pieces = split(whole, mtu, no_id)
        except Malformed:
            return
        self.assertEqual(joined(pieces), [whole])


class AgainstScapy(SynchronousTestCase):
    """The same bytes as another implementation makes, and its joining of ours."""

    @settings(deadline=None, max_examples=60)
    @given(st.integers(1, 5000), st.integers(6, 200))
    def test_split_makes_scapys_pieces(self, size: int, eighths: int) -> None:
        whole = packet(noise(size))
        theirs = [bytes(p) for p in fragment(IP(whole), fragsize=eighths * 8)]
        self.assertEqual(split(whole, 20 + eighths * 8, no_id), theirs)

    @settings(deadline=None, max_examples=60)
    @given(st.integers(1, 5000), st.integers(6, 200), st.randoms(use_true_random=False))
    def test_each_joins_the_others_pieces(self, size: int, eighths: int, rng: random.Random) -> None:
        whole = packet(noise(size), protocol=253)  # for experiments: scapy does not look into it
        theirs = [bytes(p) for p in fragment(IP(whole), fragsize=eighths * 8)]
        rng.shuffle(theirs)
        self.assertEqual(joined(theirs), [whole])
        (back,) = defragment([IP(p) for p in split(whole, 20 + eighths * 8, no_id)])
        self.assertEqual(bytes(back)[20:], whole[20:])


class Joining(SynchronousTestCase):
    def setUp(self) -> None:
        self.reassembler = Reassembler()

    def give(self, *pieces: bytes, now: float = 0.0) -> list[bytes]:
        return [w for p in pieces if (w := self.reassembler.accept(p, now)) is not None]

    def assert_empty(self) -> None:
        self.assertEqual((self.reassembler.held_sets, self.reassembler.held_bytes), (0, 0))

    def test_what_is_no_fragment_comes_back_uncopied(self) -> None:
        for flags in (0, DONT_FRAGMENT):
            whole = packet(b"abc", flags=flags)
            self.assertIs(self.reassembler.accept(whole, 0.0), whole)
        self.assertEqual(self.reassembler.accept(memoryview(bytearray(whole)), 0.0), whole)
        self.assert_empty()

    @settings(deadline=None)
    @given(packets(), mtus, st.integers())
    def test_shuffled_and_repeated_pieces_give_the_packet_back(
        self, whole: bytes, mtu: int, seed: int
    ) -> None:
        rng = random.Random(seed)
        pieces = split(whole, mtu, ids())
        rng.shuffle(pieces)
        # Repetitions of what came before, but not behind the last: that would begin a new set.
        feed = []
        for piece in pieces:
            if feed and rng.random() < 0.5:
                feed.append(rng.choice(feed))
            feed.append(piece)
        reassembler = Reassembler()
        back = [w for p in feed if (w := reassembler.accept(p, 0.0)) is not None]
        if len(pieces) == 1:
            self.assertEqual(back, [whole])
            return
        self.assertEqual(back, [mended(whole, Header.parse(pieces[0]).identification)])
        self.assertEqual(Header.parse(back[0]).flags_and_offset, 0)
        self.assertEqual(checksum(back[0][: Header.parse(back[0]).size]), 0)
        self.assertEqual((reassembler.held_sets, reassembler.held_bytes), (0, 0))
        self.assertEqual((reassembler.joined, reassembler.duplicates), (1, len(feed) - len(pieces)))

    @settings(deadline=None)
    @given(st.lists(st.integers(100, 3000), min_size=2, max_size=9), st.randoms(use_true_random=False))
    def test_pieces_of_many_packets_are_kept_apart(self, sizes: list[int], rng: random.Random) -> None:
        wholes = [
            packet(
                noise(size, seed),
                seed // 8,
                protocol=17 + seed % 2,
                source=SOURCE + seed // 2 % 2,
                group=GROUP + seed // 4 % 2,
            )
            for seed, size in enumerate(sizes)
        ]
        feed = [piece for whole in wholes for piece in split(whole, 100, no_id)]
        rng.shuffle(feed)
        self.assertEqual(sorted(joined(feed)), sorted(wholes))

    def test_the_last_piece_may_come_first(self) -> None:
        whole = packet(noise(4000))
        self.assertEqual(self.give(*reversed(split(whole, 576, no_id))), [whole])

    def test_the_header_is_the_first_pieces(self) -> None:
        options = NOP + RECORD_ROUTE + ROUTER_ALERT
        first, *others = split(packet(noise(4000), options=options), 1500, no_id)
        first = Header.parse(first)._replace(ttl=5, tos=0xB8).build() + first[32:]
        (whole,) = self.give(*others, first)
        header = Header.parse(whole)
        self.assertEqual((header.ttl, header.tos, header.options), (5, 0xB8, options))
        self.assertEqual(whole[header.size :], noise(4000))

    def test_padding_behind_a_piece_is_cut(self) -> None:
        whole = packet(noise(1490))
        self.assertEqual(self.give(*(piece + bytes(30) for piece in split(whole, 1500, no_id))), [whole])

    def test_a_piece_is_copied_and_does_not_hold_the_callers_buffer(self) -> None:
        whole = packet(noise(2000))
        first, second = split(whole, 1500, no_id)
        buffer = bytearray(first)
        self.reassembler.accept(memoryview(buffer), 0.0)
        buffer[:] = bytes(len(buffer))
        self.assertEqual(self.give(second), [whole])

    def test_an_overlap_drops_the_set_and_whatever_else_comes_of_it(self) -> None:
        whole = packet(noise(3000))
        one, two, three = split(whole, 1300, no_id)
        overlap = packet(noise(16, 9), offset=8, flags=MORE_FRAGMENTS)
        self.assertEqual(self.give(one, overlap, two, three, one, now=0.0), [])
        self.assertEqual((self.reassembler.overlapped, self.reassembler.refused), (1, 3))
        # Until the set's second is over; then the ID may be used again.
        self.assertEqual(self.give(one, two, three, now=1.0), [whole])
        self.assertEqual(self.reassembler.expired, 0)
        self.assert_empty()

    def test_every_kind_of_contradiction_is_an_overlap(self) -> None:
        more = MORE_FRAGMENTS
        a = packet(b"a" * 16, offset=16, flags=more)
        end = packet(b"e" * 8, offset=64)
        for what, first, second in (
            ("same place, other bytes", a, packet(b"b" * 16, offset=16, flags=more)),
            ("begins in the middle", a, packet(b"a" * 16, offset=24, flags=more)),
            ("ends in the middle", a, packet(b"a" * 16, offset=8, flags=more)),
            ("inside", a, packet(b"a" * 8, offset=16, flags=more)),
            ("around", a, packet(b"a" * 32, offset=8, flags=more)),
            ("same start, longer", a, packet(b"a" * 24, offset=16, flags=more)),
            ("behind the end", end, packet(b"x" * 8, offset=72, flags=more)),
            ("over the end", end, packet(b"x" * 8, offset=64, flags=more)),
            ("another end, later", end, packet(b"x" * 8, offset=72)),
            ("another end, earlier", end, packet(b"x" * 8, offset=56)),
            ("an end that is too early", a, packet(b"x" * 8, offset=8)),
            ("the same piece as an end", a, packet(b"a" * 16, offset=16)),
        ):
            for pair in ((first, second), (second, first)):
                reassembler = Reassembler()
                for piece in pair:
                    self.assertIsNone(reassembler.accept(piece, 0.0))
                self.assertEqual((reassembler.overlapped, reassembler.duplicates), (1, 0), what)

    def test_pieces_that_lie_are_counted_and_held_nowhere(self) -> None:
        good = packet(noise(80), flags=MORE_FRAGMENTS)
        lies = [
            b"", good[:19], good[:-1], b"\x65" + good[1:], b"\x65" + packet(b"abc")[1:], b"\x4f" + good[1:50],
            good[:10] + b"\0\0" + good[12:],
            packet(noise(81), flags=MORE_FRAGMENTS), packet(b"", flags=MORE_FRAGMENTS), packet(b"", offset=8),
        ]  # fmt: skip
        self.assertEqual(self.give(*lies), [])
        self.assertEqual(self.reassembler.malformed, len(lies))
        self.assert_empty()

    def test_a_piece_behind_65535_bytes_is_refused(self) -> None:
        self.assertEqual(self.give(packet(noise(8), offset=65512)), [])
        self.assertEqual(self.reassembler.oversize, 1)
        self.assert_empty()
        self.give(packet(noise(3), offset=65512))  # 65,515 and a header of 20: just fits
        self.assertEqual((self.reassembler.oversize, self.reassembler.held_sets), (1, 1))

    def test_a_set_that_only_its_first_header_makes_too_long_is_dropped(self) -> None:
        pieces = split(packet(noise(65515)), 65535 - 1024, no_id)
        first = Header.parse(pieces[0])._replace(options=NOP * 4)
        first = first._replace(total_length=first.total_length + 4)
        self.assertEqual(self.give(first.build() + pieces[0][20:], *pieces[1:]), [])
        self.assertEqual((self.reassembler.oversize, self.reassembler.joined), (1, 0))
        self.assert_empty()

    @settings(deadline=None)
    @given(st.integers(0, 59), st.integers(0, 255), st.integers(0, 60))
    def test_a_damaged_piece_never_raises(self, at: int, byte: int, size: int) -> None:
        piece = bytearray(packet(noise(16), flags=MORE_FRAGMENTS, options=ROUTER_ALERT))
        if at < len(piece):
            piece[at] = byte
        Reassembler().accept(piece[:size], 0.0)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40), st.booleans()), max_size=40))
    def test_it_never_joins_what_no_sender_split(self, pieces: list[tuple[int, int, bool]]) -> None:
        """Every piece a cut of one text: whatever is joined is a beginning of that text."""
        text = noise(200)
        reassembler = Reassembler()
        for offset, size, last in pieces:
            piece = packet(text[offset * 8 :][:size], offset=offset * 8, flags=0 if last else MORE_FRAGMENTS)
            whole = reassembler.accept(piece, 0.0)
            if whole is not None:
                self.assertTrue(text.startswith(whole[20:]))
                self.assertEqual(Header.parse(whole).total_length, len(whole))


class Bounds(SynchronousTestCase):
    def test_a_set_lives_a_second_from_its_first_piece(self) -> None:
        whole = packet(noise(3000))
        one, two, three = split(whole, 1300, no_id)
        reassembler = Reassembler()
        self.assertEqual(reassembler.deadline(), float("inf"))
        reassembler.accept(one, 10.0)
        reassembler.accept(two, 10.5)
        self.assertEqual(reassembler.deadline(), 11.0)
        reassembler.tick(10.999)
        self.assertEqual((reassembler.held_sets, reassembler.expired), (1, 0))
        reassembler.tick(11.0)
        self.assertEqual((reassembler.held_sets, reassembler.held_bytes, reassembler.expired), (0, 0, 1))
        self.assertEqual(reassembler.deadline(), float("inf"))
        self.assertIsNone(reassembler.accept(three, 11.0))

    def test_the_last_piece_in_time_completes_and_a_moment_later_does_not(self) -> None:
        whole = packet(noise(2000))
        one, two = split(whole, 1300, no_id)
        for late, expected in ((0.999, whole), (1.0, None)):
            reassembler = Reassembler()
            reassembler.accept(one, 0.0)
            self.assertEqual(reassembler.accept(two, late), expected)

    def test_another_packets_piece_expires_old_sets_without_a_tick(self) -> None:
        reassembler = Reassembler()
        for ident in range(10):
            reassembler.accept(packet(noise(8), ident=ident, flags=MORE_FRAGMENTS), ident / 10)
        reassembler.accept(packet(noise(8), ident=99, flags=MORE_FRAGMENTS), 1.45)
        self.assertEqual((reassembler.expired, reassembler.held_sets), (5, 6))

    def test_the_oldest_set_makes_room(self) -> None:
        reassembler = Reassembler(max_sets=2)
        firsts = [packet(noise(8, n), ident=n, flags=MORE_FRAGMENTS) for n in range(3)]
        for first in firsts:
            reassembler.accept(first, 0.0)
        self.assertEqual((reassembler.evicted, reassembler.held_sets), (1, 2))
        lasts = [packet(b"end", ident=n, offset=8) for n in range(3)]
        self.assertEqual(
            [reassembler.accept(last, 0.0) for last in (lasts[2], lasts[1])],
            [packet(noise(8, 2) + b"end", ident=2), packet(noise(8, 1) + b"end", ident=1)],
        )

    def test_sets_count_as_bytes_too(self) -> None:
        reassembler = Reassembler(max_sets=10_000, max_bytes=70_000)
        for ident in range(1000):
            reassembler.accept(packet(noise(8), ident=ident, flags=MORE_FRAGMENTS), 0.0)
            self.assertLessEqual(reassembler.held_bytes, 70_000)
        self.assertGreater(reassembler.held_sets, 60)

    def test_a_set_that_alone_takes_all_bytes_is_evicted_itself(self) -> None:
        reassembler = Reassembler(max_bytes=70_000)
        for at in range(1000):
            reassembler.accept(packet(noise(8), offset=16 * at, flags=MORE_FRAGMENTS), 0.0)
            self.assertLessEqual(reassembler.held_bytes, 70_000)
        self.assertEqual(reassembler.evicted, 1)

    def test_thousands_of_pieces_that_complete_nothing_stay_within_the_bounds(self) -> None:
        """Tiny, large and last pieces of many sets; the memory that Python says is checked, not our count."""

        def tiny(n: int) -> bytes:
            return packet(b"tinytiny", ident=n & 0xFFFF, source=n >> 16, offset=8, flags=MORE_FRAGMENTS)

        def many_of_few_sets(n: int) -> bytes:
            return packet(b"tinytiny", ident=n % 50, offset=16 * (n // 50) + 8, flags=MORE_FRAGMENTS)

        def large(n: int) -> bytes:
            return packet(blob[: 60_000 - n % 7 * 8], ident=n & 0xFFFF, offset=8, flags=MORE_FRAGMENTS)

        def last_at_the_end(n: int) -> bytes:
            return packet(b"end", ident=n & 0xFFFF, source=n >> 16, offset=65512)

        def overlapping(n: int) -> bytes:
            return packet(b"%08d" % n if n & 1 else blob, ident=n // 2, offset=8, flags=MORE_FRAGMENTS)

        blob = noise(60_000)
        for make, pieces in (
            (tiny, 20_000), (many_of_few_sets, 10_000), (large, 300),
            (last_at_the_end, 3_000), (overlapping, 600),
        ):  # fmt: skip
            reassembler = Reassembler(max_sets=64, max_bytes=1 << 20)
            most_bytes = most_sets = 0
            tracemalloc.start()
            for n in range(pieces):
                self.assertIsNone(reassembler.accept(make(n), n * 1e-6))
                most_bytes = max(most_bytes, reassembler.held_bytes)
                most_sets = max(most_sets, reassembler.held_sets)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.assertLessEqual(most_sets, 64)
            self.assertLessEqual(most_bytes, 1 << 20)
            # Beside it there are the piece on its way and Hypothesis' and the loop's own few kilobytes.
            self.assertLess(peak, (1 << 20) + 200_000, make.__name__)
            reassembler.tick(10.0)
            self.assertEqual((reassembler.held_sets, reassembler.held_bytes), (0, 0))

    def test_what_is_counted_is_at_least_what_python_takes(self) -> None:
        for pieces_a_set in (1, 2, 30, 1000):
            reassembler = Reassembler(max_sets=10_000, max_bytes=1 << 30)
            tracemalloc.start()
            for n in range(3000):
                ident, at = divmod(n, pieces_a_set)
                reassembler.accept(
                    packet(b"tinytiny", ident=ident, offset=16 * at, flags=MORE_FRAGMENTS), 0.0
                )
            taken = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            self.assertLess(taken, reassembler.held_bytes + 4000)
            self.assertGreater(taken, reassembler.held_bytes / 3)

    def test_bounds_that_cannot_hold_one_packet_are_our_own_mistake(self) -> None:
        self.assertRaises(ValueError, Reassembler, max_sets=0)
        self.assertRaises(ValueError, Reassembler, max_bytes=65535)
