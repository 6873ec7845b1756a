"""The waits between two dials, and standing by."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.dialling import (
    COLLIDED,
    COLLISIONS_MAX,
    STABLE,
    STANDBY_WAIT,
    TAKEOVER_WAIT_MAX,
    UNSEEN_MAX,
    UNSEEN_WAIT_MAX,
    Backoff,
    Dialler,
    State,
)


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


def latest(low: float, high: float) -> float:
    return high


class Dialling(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.dialler = Dialler(self.now, latest)

    def dials(self) -> None:
        """The wait is over, and it is dialled."""
        self.now = max(self.now, self.dialler.deadline())
        self.assertTrue(self.dialler.tick(self.now))
        self.assertIs(self.dialler.state, State.DIALLING)
        self.assertEqual(self.dialler.deadline(), float("inf"))

    def wait(self) -> float:
        return round(self.dialler.deadline() - self.now, 9)

    def stands_by(self, was_up: bool = False) -> bool:
        return self.dialler.refused("c is reached over d already", was_up, True, self.now)

    def test_a_dial_that_took_its_time_is_followed_the_sooner(self) -> None:
        for _ in range(8):
            self.dials()
            self.dialler.failed("refused", self.now)
        self.assertEqual(self.wait(), 2)
        self.dials()
        self.now += 1.5
        self.dialler.failed("reset", self.now)
        self.assertEqual(self.wait(), 0.5)
        self.dials()
        self.now += 4
        self.dialler.failed("no answer", self.now)
        self.assertEqual(self.wait(), 0.25)

    def test_a_standby_is_dialled_now_and_then_and_news_once(self) -> None:
        self.dials()
        self.assertTrue(self.stands_by())
        self.assertEqual((self.dialler.state, self.wait()), (State.STANDBY, STANDBY_WAIT[1]))
        self.assertEqual(self.dialler.why, "c is reached over d already")
        self.dials()
        self.assertFalse(self.stands_by())
        self.assertIs(self.dialler.state, State.STANDBY)

    def test_a_standby_that_cannot_be_reached_is_none_and_news_when_it_is_one_again(self) -> None:
        self.dials()
        self.stands_by()
        self.dials()
        self.dialler.failed("refused", self.now)
        self.assertEqual((self.dialler.state, self.dialler.why), (State.WAITING, "refused"))
        self.dials()
        self.assertTrue(self.stands_by())

    def test_it_takes_over_when_the_peer_is_reached_no_more(self) -> None:
        self.dials()
        self.stands_by()
        self.dialler.lost_reach(self.now)
        self.assertEqual((self.dialler.state, self.wait()), (State.WAITING, TAKEOVER_WAIT_MAX))
        self.dials()
        self.dialler.up(self.now)
        self.assertEqual((self.dialler.state, self.dialler.why), (State.UP, ""))

    def test_reach_is_nothing_to_who_does_not_stand_by(self) -> None:
        self.dials()
        self.dialler.failed("refused", self.now)
        wait = self.wait()
        self.dialler.lost_reach(self.now)
        self.assertEqual((self.dialler.state, self.wait()), (State.WAITING, wait))

    def test_a_cycle_that_only_the_peer_sees_is_asked_again_soon_but_not_for_ever(self) -> None:
        for _ in range(UNSEEN_MAX):
            self.dials()
            self.assertFalse(self.dialler.refused("a cycle", False, False, self.now))
            self.assertIs(self.dialler.state, State.WAITING)
            self.assertLessEqual(self.wait(), UNSEEN_WAIT_MAX)
        self.dials()
        self.dialler.refused("a cycle", False, False, self.now)
        self.assertEqual(self.wait(), 2)

    def test_collisions_double_the_time_to_take_over_up_to_a_bound(self) -> None:
        waits = []
        for _ in range(COLLISIONS_MAX + 3):
            self.dials()
            self.dialler.up(self.now)
            self.stands_by(was_up=True)
            self.now += COLLIDED / 2
            self.dialler.lost_reach(self.now)
            waits.append(self.wait())
        self.assertEqual(waits[:3], [0.4, 0.8, 1.6])
        self.assertEqual(max(waits), TAKEOVER_WAIT_MAX * 2**COLLISIONS_MAX)

    def test_a_link_that_all_closed_at_once_has_collided_too(self) -> None:
        self.dials()
        self.dialler.up(self.now)
        self.dialler.refused("a cycle", True, False, self.now)
        self.assertEqual((self.dialler.state, self.wait()), (State.WAITING, 0.4))

    def test_quiet_and_a_link_that_lasts_end_the_collisions(self) -> None:
        for end in ("quiet", "a link"):
            for _ in range(3):
                self.dials()
                self.dialler.up(self.now)
                self.stands_by(was_up=True)
                self.dialler.lost_reach(self.now)
            self.assertEqual(self.wait(), 1.6)
            self.dials()
            self.dialler.up(self.now)
            if end == "quiet":
                self.stands_by(was_up=True)
                self.now += COLLIDED
                self.dialler.lost_reach(self.now)
                self.assertEqual(self.wait(), TAKEOVER_WAIT_MAX)
            else:
                since, self.now = self.now, self.now + STABLE
                self.dialler.down("silent", since, self.now)
                self.dials()
                self.dialler.up(self.now)
                self.stands_by(was_up=True)
                self.dialler.lost_reach(self.now)
                self.assertEqual(self.wait(), 2 * TAKEOVER_WAIT_MAX)
