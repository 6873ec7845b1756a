"""The program's duplicate window decides as the node's own does (core/window.py)."""

import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath.tables import Reason
from multicastmw.core.window import MASK, Window
from multicastmw.wire import data
from tests.net.bpf.bed import (
    DROP,
    GROUP,
    OUR_TOKEN,
    REDIRECT,
    SOURCE,
    THEIRS,
    Bed,
    inner_packet,
    outer,
    why_no_bed,
)

SLOTS = 1024
INNER = inner_packet(b"p" * 20)
NUMBERED_BY_KERNEL = 1

# From the highest number to the next one.
near = st.integers(-20, 20)
edges = st.sampled_from(
    (-SLOTS - 64, -SLOTS - 1, -SLOTS, -SLOTS + 1, SLOTS - 1, SLOTS, SLOTS + 1, 2 * SLOTS, 2048, 63, 64)
)
far = st.sampled_from((1 << 20, (1 << 31) - 1, 1 << 31, -(1 << 20), 5000))
steps = st.lists(st.one_of(st.just(1), st.just(1), near, edges, far), min_size=1, max_size=60)


class WindowTests(SynchronousTestCase):
    skip = why_no_bed()

    def setUp(self) -> None:
        self.bed = Bed()
        self.addCleanup(self.bed.close)
        self.key = self.bed.route(1)

    def is_new(self, number: int, flags: int = 0) -> bool:
        message = data.build(
            INNER, sequence=number & MASK, token=OUR_TOKEN, origin=THEIRS, group=GROUP, source=SOURCE,
            hop_limit=9, flags=flags,
        )  # fmt: skip
        run, _ = self.bed.show(self.bed.tables.up_ingress, outer(message, 0, self.bed.uplink_mac))
        self.assertIn(run.verdict, (DROP, REDIRECT))
        return run.verdict == REDIRECT

    def time_passes(self, seconds: float) -> None:
        """It was heard so much longer ago."""
        self.bed.tables._windows[0] -= round(seconds * 1e9)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from((0, 100, 1 << 31, MASK - 30)), steps)
    def test_whatever_numbers_come(self, first: int, steps: list[int]) -> None:
        self.bed.route(1)
        window = Window(slots=SLOTS, most=SLOTS)
        window.accept(first, 0.0)
        self.assertTrue(self.is_new(first))
        said: list[tuple[int, bool, bool]] = []
        for step in steps:
            number = (window.highest or 0) + step & MASK
            said.append((number, window.accept(number, 1.0), self.is_new(number)))
        self.assertEqual([], [each for each in said if each[1] != each[2]], said)
        counted = self.bed.route_count(self.key)
        self.assertEqual(
            (window.duplicates, window.late, window.reordered, window.lost),
            (counted.duplicates, counted.late, counted.reordered, self.signed(counted.lost)),
            (first, said),
        )
        self.assertEqual(window.received, counted.packets)

    @staticmethod
    def signed(lost: int) -> int:
        return (lost + (1 << 63)) % (1 << 64) - (1 << 63)

    def test_a_stream_unheard_for_ten_seconds_starts_afresh(self) -> None:
        self.assertTrue(self.is_new(500))
        self.assertTrue(self.is_new(501))
        self.time_passes(9)
        self.assertFalse(self.is_new(500))
        self.time_passes(2)
        self.assertTrue(self.is_new(500))
        self.assertTrue(self.is_new(501))
        self.assertEqual(1, self.bed.reasons()[Reason.NOT_NEW])

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from((0, 100, 1 << 31, MASK - 30)), st.lists(st.one_of(steps, st.just(None)), max_size=9)
    )
    def test_a_stream_that_goes_to_and_fro(self, first: int, rows: list[list[int] | None]) -> None:
        """Judged by the program and by the node in turn: as if one window had seen all of it."""
        self.bed.route(1)
        tables, slot, now = self.bed.tables, self.bed.routes[self.key].slot, time.monotonic()
        whole, part = (Window(slots=SLOTS, most=SLOTS) for _ in range(2))
        here, top, said = True, first, []
        for row in ([0, 1], None, [0, 1], *rows):
            if row is None:
                here = not here
                if here:
                    part.adopt(tables.numbers(slot, 0), now)
                else:
                    tables.set_numbers(slot, 0, part.numbers())
                continue
            for step in row:
                if abs(step) >= SLOTS:
                    continue  # a jump that waits for its second packet is not handed over
                number = (top + step) & MASK
                top += max(step, 0)
                is_new = part.accept(number, now) if here else self.is_new(number)
                said.append((number, here, is_new))
                self.assertEqual(whole.accept(number, now), is_new, said)
        lost = part.lost + self.signed(self.bed.route_count(self.key).lost)
        self.assertEqual(whole.lost, lost, said)

    def test_a_stream_so_long_that_its_first_number_comes_round_again(self) -> None:
        """What is late is found again, however long ago the stream began."""
        self.assertTrue(self.is_new(0))
        top = 0
        for _ in range(40):  # two at a time, as the first one of a jump moves nothing
            top += 1 << 27
            self.assertTrue(self.is_new(top))
            self.assertTrue(self.is_new(top + 1))
        before = self.signed(self.bed.route_count(self.key).lost)
        self.assertTrue(self.is_new(top - 5))
        self.assertEqual(before - 1, self.signed(self.bed.route_count(self.key).lost))

    def test_each_count_has_its_own(self) -> None:
        for flags in (0, NUMBERED_BY_KERNEL):
            self.assertTrue(self.is_new(7, flags))
            self.assertFalse(self.is_new(7, flags))

    def test_a_route_that_is_replaced_keeps_its_numbers_and_a_slot_that_is_cleared_none(self) -> None:
        self.assertTrue(self.is_new(7))
        self.bed.tables.set_route(self.key, self.bed.routes[self.key]._replace(peers=(1, 2)))
        self.assertFalse(self.is_new(7))
        self.bed.tables.forget_numbers(self.bed.routes[self.key].slot)
        self.assertTrue(self.is_new(7))
