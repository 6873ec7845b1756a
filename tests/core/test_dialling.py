"""The waits between two dials."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.dialling import Backoff


def middle(low: float, high: float) -> float:
    return (low + high) / 2


class Waits(SynchronousTestCase):
    def test_double_from_a_quarter_of_a_second_to_two(self) -> None:
        backoff = Backoff(100.0, middle)
        self.assertEqual([backoff.wait(101.0) for _ in range(6)], [0.25, 0.5, 1, 2, 2, 2])
        self.assertEqual(backoff.attempts, 6)

    def test_grow_to_15_s_after_five_minutes(self) -> None:
        backoff = Backoff(100.0, middle)
        for _ in range(200):
            self.assertLessEqual(backoff.wait(399.9), 2)
        self.assertEqual([backoff.wait(400.0) for _ in range(3)], [15, 15, 15])

    def test_are_never_given_up(self) -> None:
        backoff = Backoff(0.0, middle)
        for _ in range(100_000):
            backoff.wait(1e6)
        self.assertEqual(backoff.wait(1e9), 15)

    def test_begin_anew_when_the_peer_was_up(self) -> None:
        backoff = Backoff(0.0, middle)
        for _ in range(10):
            backoff.wait(1000.0)
        backoff.succeeded(1000.0)
        self.assertEqual((backoff.attempts, backoff.wait(1001.0)), (0, 0.25))
        self.assertLessEqual(max(backoff.wait(1299.0) for _ in range(20)), 2)

    @given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1)), max_size=50))
    def test_jitter_is_a_quarter_and_the_bound_holds_with_it(self, asked: list[tuple[float, float]]) -> None:
        plain = Backoff(0.0, middle)
        luck = 0.5
        jittered = Backoff(0.0, lambda low, high: low + luck * (high - low))
        for now, luck in asked:  # noqa: B007  the lambda reads it
            exact, wait = plain.wait(now), jittered.wait(now)
            self.assertTrue(0.75 * exact <= wait <= min(1.25 * exact, 2 if now < 300 else 15))
