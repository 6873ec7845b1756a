"""A pace: some at once, then so many a second, in order, and nobody waits for somebody who is gone."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.net.pace import A_SECOND, AT_ONCE, Pace


class PaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Pace(self.clock)
        self.served: list[tuple[int, float]] = []

    def take(self, count: int) -> list[object]:
        turns = []
        for number in range(len(self.served) + len(self.turns), len(self.served) + len(self.turns) + count):
            turns.append(lambda number=number: self.served.append((number, self.clock.seconds())))
            self.turns.take(turns[-1])
        return turns

    def pass_seconds(self, seconds: float) -> None:
        self.clock.pump([0.001] * round(seconds * 1000))

    def test_are_at_once_while_there_are_few(self) -> None:
        for _ in range(3):
            self.take(AT_ONCE)
            self.assertEqual(len(self.turns), 0)
            self.pass_seconds(AT_ONCE / A_SECOND + 0.01)

    def test_come_in_order_and_so_many_a_second(self) -> None:
        self.take(AT_ONCE + 3 * A_SECOND)
        self.pass_seconds(2)
        self.assertEqual([number for number, _ in self.served], list(range(len(self.served))))
        self.assertAlmostEqual(len(self.served), AT_ONCE + 2 * A_SECOND, delta=2)
        self.pass_seconds(1.1)
        self.assertEqual(len(self.turns), 0)

    def test_of_who_is_gone_pass_to_the_others(self) -> None:
        turns = self.take(AT_ONCE + 2 * A_SECOND)
        for turn in turns[AT_ONCE:-1]:
            self.turns.give_up(turn)
        self.pass_seconds(0.03)
        self.assertEqual(self.served[-1][0], len(turns) - 1)
        self.turns.give_up(turns[0])

    def test_an_exception_in_one_is_logged_and_the_others_have_theirs(self) -> None:
        def fails() -> None:
            raise RuntimeError("a mistake")

        self.take(AT_ONCE - 1)
        self.turns.take(fails)
        for _ in range(4):
            self.turns.take(fails)
        self.take(3)
        self.pass_seconds(0.2)
        self.assertEqual((len(self.served), len(self.turns)), (AT_ONCE + 2, 0))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 3)  # the 1st, 2nd and 4th of 5
        self.assertEqual(self.turns.mistakes.times, 5)

    def test_an_empty_row_rings_no_clock(self) -> None:
        self.take(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
