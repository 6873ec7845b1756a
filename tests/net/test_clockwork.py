"""Winding: lazily, exactly, and never once more after stop."""

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.net.clockwork import LATE, NEVER, Clockwork, asleep, monotonic, wall_us


class Machine:
    """Rings are kept; what it does with one is the test's."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.at = NEVER
        self.rings: list[float] = []
        self.does: Callable[[], None] = lambda: setattr(self, "at", NEVER)

    def deadline(self) -> float:
        return self.at

    def tick(self, now: float) -> None:
        self.rings.append(now)
        if now >= self.at:
            self.does()


class Winding(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.machine = Machine(self.clock)
        self.work = Clockwork(self.clock, self.machine)

    def runs_to(self, when: float) -> None:
        while (calls := self.clock.getDelayedCalls()) and min(c.getTime() for c in calls) <= when:
            self.clock.advance(max(0.0, min(c.getTime() for c in calls) - self.clock.seconds()))
        self.clock.advance(when - self.clock.seconds())

    def test_it_rings_at_the_deadline(self) -> None:
        self.machine.at = 5.0
        self.work.wind()
        self.runs_to(4.9)
        self.assertEqual(self.machine.rings, [])
        self.runs_to(60)
        self.assertEqual(self.machine.rings, [5.0])

    def test_a_deadline_that_moves_away_costs_nothing_until_the_early_ring(self) -> None:
        self.machine.at = 5.0
        self.work.wind()
        (call,) = self.clock.getDelayedCalls()
        for second in range(1, 5):
            self.machine.at = 5.0 + second
            self.work.wind()
        self.assertEqual(self.clock.getDelayedCalls(), [call])
        self.runs_to(60)
        self.assertEqual(self.machine.rings, [5.0, 9.0])

    def test_a_nearer_deadline_rings_nearer_and_once(self) -> None:
        for at in (50.0, 5.0, 3.0):
            self.machine.at = at
            self.work.wind()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.runs_to(60)
        self.assertEqual(self.machine.rings, [3.0])

    def test_without_a_deadline_nothing_is_wound(self) -> None:
        self.work.wind()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_overdue_rings_in_the_next_turn_and_not_in_this_one(self) -> None:
        self.machine.at = float("-inf")
        self.work.wind()
        self.assertEqual(self.machine.rings, [])
        self.clock.advance(0)
        self.assertEqual(self.machine.rings, [0.0])

    def test_a_tick_that_winds_rings_no_more_often(self) -> None:
        def next_one() -> None:
            self.machine.at = self.clock.seconds() + 1
            self.work.wind()

        self.machine.does = next_one
        self.machine.at = 1.0
        self.work.wind()
        self.runs_to(10.5)
        self.assertEqual(self.machine.rings, [float(i) for i in range(1, 11)])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_after_stop_it_rings_no_more(self) -> None:
        self.machine.at = 1.0
        self.work.wind()
        self.work.stop()
        self.work.stop()
        self.machine.at = float("-inf")
        self.work.wind()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_tick_may_stop_it(self) -> None:
        self.machine.does = self.work.stop
        self.machine.at = 1.0
        self.work.wind()
        self.runs_to(10)
        self.assertEqual((self.machine.rings, self.clock.getDelayedCalls()), ([1.0], []))

    def test_a_tick_that_fails_is_wound_again(self) -> None:
        def fails() -> None:
            self.machine.at = self.clock.seconds() + 1
            raise ZeroDivisionError

        self.machine.does = fails
        self.machine.at = 1.0
        self.work.wind()
        for _ in range(3):
            self.assertRaises(ZeroDivisionError, self.clock.advance, 1)
        self.assertEqual(self.machine.rings, [1.0, 2.0, 3.0])


class Slack(SynchronousTestCase):
    """Machines that ring together."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100.01)
        self.machines = [Machine(self.clock) for _ in range(50)]
        self.works = [Clockwork(self.clock, machine, 0.25) for machine in self.machines]

    def test_far_deadlines_ring_at_a_few_moments_and_never_early(self) -> None:
        for number, (machine, work) in enumerate(zip(self.machines, self.works, strict=True)):
            machine.at = 105 + number / 100
            work.wind()
        moments = {call.getTime() for call in self.clock.getDelayedCalls()}
        self.assertEqual(moments, {105.0, 105.25, 105.5})
        for _ in range(30):
            self.clock.advance(0.25)
        for number, machine in enumerate(self.machines):
            (rang,) = machine.rings
            self.assertTrue(105 + number / 100 <= rang <= 105.26 + number / 100)

    def test_a_near_one_rings_exactly(self) -> None:
        self.machines[0].at = 100.03
        self.works[0].wind()
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [100.03])

    def test_a_deadline_that_rings_at_the_same_moment_is_not_wound_again(self) -> None:
        for at in (105.2, 105.1, 105.24):
            self.machines[0].at = at
            self.works[0].wind()
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [105.25])


class Lateness(SynchronousTestCase):
    """A process that did not run: its timers are late, and its sockets full."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.machine = Machine(self.clock)
        self.work = Clockwork(self.clock, self.machine)
        self.machine.at = 10.0
        self.work.wind()

    def test_a_ring_that_is_very_late_waits_for_what_the_sockets_hold(self) -> None:
        """As a reactor does: all timers that are due, then the sockets, then the timers again."""
        self.clock.rightNow = 25.0
        (ring,) = self.clock.getDelayedCalls()
        ring.cancel()
        self.work._ring()
        self.assertEqual(self.machine.rings, [])
        self.clock.advance(0)
        self.assertEqual(self.machine.rings, [25.0])

    def test_it_waits_once(self) -> None:
        self.clock.advance(25)
        self.assertEqual(self.machine.rings, [25.0])

    def test_a_ring_that_is_a_little_late_does_not_wait(self) -> None:
        self.clock.rightNow = 10.0 + LATE / 2
        (ring,) = self.clock.getDelayedCalls()
        ring.cancel()
        self.work._ring()
        self.assertEqual(self.machine.rings, [10.0 + LATE / 2])

    def test_stopped_while_it_waits_it_rings_no_more(self) -> None:
        self.clock.rightNow = 25.0
        (ring,) = self.clock.getDelayedCalls()
        ring.cancel()
        self.work._ring()
        self.work.stop()
        self.clock.advance(100)
        self.assertEqual(self.machine.rings, [])


class Clocks(SynchronousTestCase):
    def test_the_wall_clock_is_microseconds_in_32_bits(self) -> None:
        self.assertTrue(0 <= wall_us() < 1 << 32)

    def test_a_reactor_is_made_to_count_by_the_monotonic_clock(self) -> None:
        import time

        clock, before = monotonic(Clock()), time.monotonic()
        self.assertTrue(before <= clock.seconds() <= time.monotonic())

    def test_what_the_host_slept_is_never_less_than_nothing(self) -> None:
        self.assertGreater(asleep(), -0.001)
