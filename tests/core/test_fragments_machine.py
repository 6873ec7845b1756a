"""The reassembler for any row of pieces, against a naive one that compares every piece with every other.

Few packets, few places to cut them and bounds that are soon reached: so that pieces meet.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fragments import FRAGMENT, LONGEST, PIECE_COST, SET_COST, Reassembler, split
from multicastmw.wire.ipv4 import MORE_FRAGMENTS, Header
from tests.core.fragments_naive import NaiveReassembler

SETS = 3
BYTES = SET_COST + 3 * PIECE_COST + LONGEST

identifications = st.integers(1, 5)
eighths = st.integers(0, 5)


def piece(identification: int, start: int, payload: bytes, more: bool, options: bytes = b"") -> bytes:
    flags = start | (MORE_FRAGMENTS if more else 0)
    total = 20 + len(options) + len(payload)
    return Header(0, total, identification, flags, 9, 17, 1, 2, options).build() + payload


class ReassemblerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.real = Reassembler(SETS, BYTES, lifetime=1.0)
        self.naive = NaiveReassembler(SETS, BYTES, 1.0)
        self.joined = 0

    def comes(self, packet: bytes) -> None:
        got = self.real.accept(packet, self.now)
        assert got == self.naive.accept(packet, self.now)
        if got is not None and got != packet:
            self.joined += 1
            header = Header.parse(got)
            assert not header.flags_and_offset & FRAGMENT and header.total_length == len(got)

    @rule(
        ident=identifications,
        start=eighths,
        length=st.integers(1, 3),
        more=st.booleans(),
        fill=st.integers(0, 1),
    )
    def a_piece_comes(self, ident: int, start: int, length: int, more: bool, fill: int) -> None:
        """Of two fillings: so the same place may say another thing."""
        self.comes(piece(ident, start, bytes([fill]) * 8 * length, more))

    @rule(ident=identifications, start=eighths, length=st.integers(1, 23))
    def a_last_piece_of_any_length_comes(self, ident: int, start: int, length: int) -> None:
        self.comes(piece(ident, start, bytes(length), more=False))

    @rule(ident=identifications, start=st.integers(8000, 8191), length=st.integers(1, 60), more=st.booleans())
    def a_piece_at_the_far_end_comes(self, ident: int, start: int, length: int, more: bool) -> None:
        self.comes(piece(ident, start, bytes(8 * length), more))

    @rule(ident=st.integers(1, 2), start=st.sampled_from([0, 4000]), more=st.booleans())
    def a_large_piece_comes(self, ident: int, start: int, more: bool) -> None:
        self.comes(piece(ident, start, bytes(32000), more))

    @rule(
        ident=identifications, options=st.sampled_from([b"", bytes(4), bytes(40)]), short=st.integers(0, 24)
    )
    def the_longest_packet_comes_in_two(self, ident: int, options: bytes, short: int) -> None:
        """With options in its first header it is too long, if it is not shorter by as much."""
        half = 32_000
        self.comes(piece(ident, 0, bytes(half), True, options))
        self.comes(piece(ident, half // 8, bytes(LONGEST - 20 - half - short), False))

    @rule(
        ident=identifications,
        size=st.integers(1, 400),
        order=st.randoms(use_true_random=False),
        lost=st.integers(0, 9),
    )
    def a_packet_comes_in_pieces(self, ident: int, size: int, order, lost: int) -> None:
        options = bytes.fromhex("8303100044040500") if size % 2 else b""
        made = split(piece(ident, 0, bytes(size), False, options), 96, lambda: 7)
        order.shuffle(made)
        for number, each in enumerate(made):
            if number != lost:
                self.comes(each)

    @rule(ident=identifications, at=st.integers(0, 31), byte=st.integers(0, 255))
    def a_damaged_piece_comes(self, ident: int, at: int, byte: int) -> None:
        packet = bytearray(piece(ident, 0, bytes(16), True))
        packet[at] = byte
        self.comes(bytes(packet))

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), tick=st.booleans())
    def time_passes(self, seconds: float, tick: bool) -> None:
        self.now += seconds
        if tick:
            self.real.tick(self.now)
            self.naive.tick(self.now)

    @invariant()
    def both_hold_the_same_within_the_bounds(self) -> None:
        assert self.real.held_sets == len(self.naive.sets) <= SETS
        assert self.real.held_bytes == self.naive.held_bytes <= BYTES
        assert self.real.joined == self.joined


class Reassemblers(SynchronousTestCase):
    def test_whatever_comes_it_joins_what_the_naive_one_joins(self) -> None:
        chosen = settings(max_examples=150, stateful_step_count=50, deadline=None)
        run_state_machine_as_test(ReassemblerMachine, settings=chosen)
