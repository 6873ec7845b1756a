"""Work that takes long, and what passes in between."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.turns import BUDGET, PIECE, Turns


class Digger:
    """Has so many steps to do."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.dug: list[int] = []

    def work(self, steps: int, now: float) -> int:
        done = min(steps, self.left)
        self.left -= done
        self.dug.append(done)
        return done

    def has_work(self) -> bool:
        return self.left > 0


class Queues(SynchronousTestCase):
    def setUp(self) -> None:
        self.wakes = 0
        self.turns = Turns()
        self.turns.wake = self.wake

    def wake(self) -> None:
        self.wakes += 1

    def test_a_turn_is_no_longer_for_much_work_or_many_workers(self) -> None:
        diggers = [Digger(100_000) for _ in range(1_000)]
        for digger in diggers:
            self.turns.add(digger)
        for turn in range(1, 2_000):
            self.turns.tick(0)
            self.assertLessEqual(sum(100_000 - digger.left for digger in diggers), turn * BUDGET)

    def test_everybody_has_a_piece_before_anybody_has_two(self) -> None:
        diggers = [Digger(10 * PIECE) for _ in range(5)]
        for digger in diggers:
            self.turns.add(digger)
        while any(digger.left for digger in diggers):
            self.turns.tick(0)
            pieces = [len(digger.dug) for digger in diggers]
            self.assertLessEqual(max(pieces) - min(pieces), 1)

    def test_little_work_of_many_is_one_turn(self) -> None:
        diggers = [Digger(2) for _ in range(100)]
        for digger in diggers:
            self.turns.add(digger)
        self.turns.tick(0)
        self.assertFalse(any(digger.left for digger in diggers))
        self.assertEqual(self.turns.deadline(), float("inf"))

    def test_it_wakes_when_the_first_one_comes_and_is_due_while_anybody_waits(self) -> None:
        self.assertEqual(self.turns.deadline(), float("inf"))
        first, second = Digger(2 * BUDGET), Digger(1)
        self.turns.add(first)
        self.turns.add(first)
        self.turns.add(second)
        self.assertEqual((self.wakes, self.turns.deadline()), (1, float("-inf")))
        while self.turns.deadline() < 0:
            self.turns.tick(0)
        self.assertEqual((first.left, second.left), (0, 0))

    def test_who_is_forgotten_has_no_turn_even_by_a_worker_of_the_same_one(self) -> None:
        first, second = Digger(1), Digger(1)
        first.has_work = lambda: bool(self.turns.forget(second))  # type: ignore[method-assign,func-returns-value]
        self.turns.add(first)
        self.turns.add(second)
        self.turns.tick(0)
        self.assertEqual((first.dug, second.dug), ([1], []))

    def test_an_exception_in_one_turn_is_told_once_and_the_others_have_theirs(self) -> None:
        def fails(steps: int, now: float) -> int:
            self.turns.add(bad)  # as a link does where its own work is news for itself
            raise RuntimeError("a mistake")

        told: list[tuple[object, str]] = []
        self.turns.failed = lambda worker, error: told.append((worker, str(error)))
        first, bad, last = Digger(1), Digger(1), Digger(1)
        bad.work = fails  # type: ignore[method-assign]
        for digger in (first, bad, last):
            self.turns.add(digger)
        self.turns.tick(0)
        self.assertEqual((first.left, last.left), (0, 0))
        self.assertEqual((told, self.turns.deadline()), ([(bad, "a mistake")], float("inf")))

    def test_a_worker_that_does_nothing_is_no_endless_loop(self) -> None:
        idle = Digger(1)
        idle.work = lambda steps, now: 0  # type: ignore[method-assign]
        self.turns.add(idle)
        self.turns.tick(0)
        self.assertEqual(self.turns.deadline(), float("-inf"))
