"""Pacing by the program clock."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from multicastmw.cli.mpegts import CLOCK, PACKET, WRAP, NotTransportStream, Timeline, looks_like_ts, marks


def packet(clock: int | None = None, pid: int = 256) -> bytes:
    """One transport-stream packet, with a clock reference if there is one."""
    head = bytes((0x47, pid >> 8, pid & 255))
    if clock is None:
        return head + b"\x10" + bytes(PACKET - 4)
    base, extension = divmod(clock % WRAP, 300)
    pcr = (base << 15 | 0x7E00 | extension).to_bytes(6, "big")
    return head + b"\x30\x07\x10" + pcr + bytes(PACKET - 12)


def stream(*clocks: int | None) -> bytes:
    return b"".join(packet(clock) for clock in clocks)


class TimelineTests(TestCase):
    def due(self, content: bytes, step: int = 1) -> list[float]:
        return [round(seconds, 6) for seconds in Timeline(content).due(step)]

    def test_packets_between_two_references_are_evenly_spread(self) -> None:
        content = stream(0, None, None, None, CLOCK)
        self.assertEqual(self.due(content), [0, 0.25, 0.5, 0.75, 1.0])

    def test_the_ends_go_at_the_pace_of_their_neighbours(self) -> None:
        content = stream(None, None, 0, None, CLOCK // 10, None)
        self.assertEqual(self.due(content), [0, 0.05, 0.1, 0.15, 0.2, 0.25])
        self.assertAlmostEqual(Timeline(content).duration, 0.3)

    def test_a_datagram_is_due_with_its_first_packet(self) -> None:
        content = stream(0, *[None] * 13, CLOCK)
        self.assertEqual(self.due(content, 7), [0, 0.5, 1.0])

    def test_the_clock_may_wrap(self) -> None:
        start = WRAP - CLOCK // 4
        content = stream(start, start + CLOCK // 2, start + CLOCK)
        self.assertEqual(self.due(content), [0, 0.5, 1.0])

    def test_a_cut_goes_on_at_the_pace_before_it(self) -> None:
        hour = 3600 * CLOCK
        for jump in (hour, -hour):
            content = stream(2 * hour, 2 * hour + CLOCK // 2, 2 * hour + jump, 2 * hour + jump + CLOCK // 2)
            self.assertEqual(self.due(content), [0, 0.5, 1.0, 1.5], jump)

    def test_a_cut_at_the_very_beginning_does_not_stop_the_film(self) -> None:
        content = stream(0, 3600 * CLOCK, 3600 * CLOCK + CLOCK // 2, 3601 * CLOCK)
        self.assertEqual(self.due(content)[-1], 1.5)

    def test_only_the_first_clock_counts(self) -> None:
        content = packet(0) + packet(77, pid=500) + packet(CLOCK)
        self.assertEqual([mark.clock for mark in marks(content)], [0, CLOCK])

    def test_what_cannot_be_paced_is_said(self) -> None:
        for content in (b"", stream(None, None), stream(0, None), stream(0, None)[:-1] + b"\0" * 300):
            self.assertRaises(NotTransportStream, Timeline, content)

    def test_a_short_adaptation_field_holds_no_clock(self) -> None:
        content = b"\x47\x01\x00\x30\x01\x10" + b"\xff" * (PACKET - 6)
        self.assertEqual(list(marks(content)), [])

    def test_a_transport_stream_is_known_by_its_sync_bytes(self) -> None:
        self.assertTrue(looks_like_ts(stream(0, None, None)))
        self.assertFalse(looks_like_ts(b"RIFF" + bytes(2000)))
        self.assertFalse(looks_like_ts(b"\x47"))

    @given(st.lists(st.one_of(st.none(), st.integers(0, WRAP - 1)), max_size=40), st.integers(1, 9))
    def test_whatever_the_clock_says_time_goes_forward(self, clocks: list[int | None], step: int) -> None:
        try:
            timeline = Timeline(stream(*clocks))
        except NotTransportStream:
            return
        due = [*timeline.due(step), timeline.duration]
        self.assertEqual(len(due), -(-len(clocks) // step) + 1)
        self.assertEqual(due, sorted(due))
        self.assertLess(due[-1], 1.01 * len(clocks) * len(clocks))
