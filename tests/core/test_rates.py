"""Rates from counters."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.rates import EVERY, Meter, Metering


class Rates(SynchronousTestCase):
    def setUp(self) -> None:
        self.counters: dict[str, tuple[int, int]] = {"a": (0, 1_000_000)}
        self.refreshed = 0
        self.meter = Meter(lambda: list(self.counters.items()), 2)
        self.metering = Metering(10.0, [self.meter], self.refresh)

    def refresh(self) -> None:
        self.refreshed += 1

    def seconds(self, count: int, grows: tuple[int, int]) -> None:
        for _ in range(count):
            self.counters["a"] = tuple(n + by for n, by in zip(self.counters["a"], grows, strict=True))
            self.metering.tick(self.metering.deadline())

    def test_what_was_counted_before_the_first_look_is_no_rate(self) -> None:
        self.seconds(1, (0, 0))
        self.assertEqual((0, 0), self.meter.of("a"))
        self.assertEqual((0, 0), self.meter.of("unknown"))

    def test_a_steady_stream_has_its_rate_from_the_second_look_on(self) -> None:
        self.seconds(1, (0, 0))
        for _ in range(10):
            self.seconds(1, (500, 7))
            self.assertEqual((500, 7), self.meter.of("a"))
        self.assertEqual(11, self.refreshed)

    def test_one_that_ends_is_nothing_within_half_a_minute(self) -> None:
        self.seconds(5, (10_000_000, 7))
        self.seconds(30, (0, 0))
        self.assertEqual((0, 0), self.meter.of("a"))

    def test_too_early_a_tick_is_none_and_a_late_one_counts_all_the_time(self) -> None:
        self.seconds(1, (0, 0))
        self.metering.tick(self.metering.deadline() - 0.01)
        self.assertEqual(1, self.refreshed)
        self.counters["a"] = (4_000, 1_000_000)
        self.metering.tick(self.metering.deadline() - EVERY + 4.0)
        self.assertEqual((1_000, 0), self.meter.of("a"))

    def test_what_is_gone_is_forgotten_and_begins_anew(self) -> None:
        self.seconds(3, (100, 100))
        before = self.counters.pop("a")
        self.metering.tick(self.metering.deadline())
        self.assertEqual((0, 0), self.meter.of("a"))
        self.counters["a"] = before
        self.metering.tick(self.metering.deadline())
        self.assertEqual((0, 0), self.meter.of("a"))

    @given(st.lists(st.integers(0, 1_000_000), min_size=2, max_size=30))
    def test_a_rate_is_never_more_than_the_fastest_second(self, grows: list[int]) -> None:
        self.setUp()
        self.seconds(1, (0, 0))
        for grow in grows:
            self.seconds(1, (grow, 0))
            rate, _ = self.meter.of("a")
            self.assertTrue(0 <= rate <= max(grows))
