"""One link's keep-alive duty."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.liveness import Duty, Liveness

SECONDS = st.integers(1, 3600)


class Duties(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[tuple[float, float]] = []
        self.liveness = Liveness(10, 40, 100.0, self.pick)

    def pick(self, low: float, high: float) -> float:
        self.asked.append((low, high))
        return high

    def test_speaks_at_the_peers_pace_and_gives_up_at_its_own(self) -> None:
        self.assertEqual(self.asked, [(10, 30)])
        self.assertEqual(self.liveness.deadline(), 110)
        self.assertIsNone(self.liveness.tick(109.999))
        self.assertIs(self.liveness.tick(110), Duty.GIVE_UP)

    def test_what_is_heard_puts_the_end_off_and_not_the_duty_to_speak(self) -> None:
        self.liveness.heard(109)
        self.liveness.heard(118)
        self.liveness.heard(127)
        self.assertEqual(self.liveness.deadline(), 130)
        self.assertIs(self.liveness.tick(130), Duty.SPEAK)

    def test_whatever_is_said_puts_the_next_keep_alive_off(self) -> None:
        for now in (109, 118, 127, 136):
            self.liveness.heard(now)
        self.liveness.spoke(120)
        self.assertEqual(self.liveness.deadline(), 146)
        self.assertIsNone(self.liveness.tick(145))

    def test_an_early_ring_is_no_duty(self) -> None:
        self.assertIsNone(self.liveness.tick(100))

    @given(SECONDS, SECONDS, st.floats(0, 1))
    def test_two_that_hear_each_other_never_give_up(self, mine: int, theirs: int, luck: float) -> None:
        """Half a second of travel for the shortest timer: three quarters of it leave a quarter."""

        def pick(low: float, high: float) -> float:
            return low + luck * (high - low)

        here, there = Liveness(mine, theirs, 0.0, pick), Liveness(theirs, mine, 0.0, pick)
        for _ in range(200):
            now = min(here.deadline(), there.deadline())
            for speaker, listener, patience in ((here, there, theirs), (there, here, mine)):
                duty = speaker.tick(now)
                self.assertIsNot(duty, Duty.GIVE_UP)
                if duty is Duty.SPEAK:
                    speaker.spoke(now)
                    listener.heard(now + 0.2 * patience / 3600)
