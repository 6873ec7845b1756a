"""The loop is a clock like Twisted's, and keeps the order of a million packets."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock, LoopingCall
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from simulator.loop import FEW, SLOTS, Loop

# Delays in 64ths of a second: sums of them are exact, and each lasts 16 slots.
delays = st.one_of(st.just(0), st.integers(0, 8), st.integers(0, 4000)).map(lambda n: n / 64)
timers = st.integers(0, 30)
action = st.one_of(
    st.tuples(st.just("call"), delays),
    st.tuples(st.just("chain"), delays, delays),
    st.tuples(st.just("cancel"), timers),
    st.tuples(st.just("reset"), timers, delays),
    st.tuples(st.just("delay"), timers, st.integers(-200, 2000).map(lambda n: n / 64)),
    st.tuples(st.just("advance"), delays),
)


class Program:
    """The same calls to any clock, and what came of them.

    Each reset or delay has a little of its own added, so that what was moved ties with nothing: there the two
    clocks differ, and neither promises anything.  Nor is anything moved to before now.
    """

    def __init__(self, clock, advance):
        self.clock = clock
        self.advance = advance
        self.calls = []
        self.log = []
        self.moves = 0

    def run(self, actions):
        for name, *args in actions:
            getattr(self, name)(*args)
            self.log.append(sorted(call.getTime() for call in self.clock.getDelayedCalls()))
            self.log.append([call.active() for call in self.calls])
        self.advance(1000.0)
        return self.log

    def call(self, delay):
        self.calls.append(self.clock.callLater(delay, self.rings, len(self.calls)))

    def chain(self, delay, then):
        self.calls.append(self.clock.callLater(delay, self.rings, len(self.calls), then=then))

    def rings(self, number, then=None):
        self.log.append((self.clock.seconds(), number))
        if then is not None:
            self.call(then)

    def cancel(self, timer):
        self.attempt(timer, lambda call: call.cancel())

    def reset(self, timer, delay):
        self.moves += 1
        self.attempt(timer, lambda call: call.reset(delay + self.moves * 2.0**-20))

    def delay(self, timer, delay):
        self.moves += 1
        self.attempt(timer, lambda call: call.delay(
            max(delay, self.clock.seconds() - call.getTime()) + self.moves * 2.0**-20))  # fmt: skip

    def attempt(self, timer, what):
        if timer < len(self.calls):
            try:
                what(self.calls[timer])
            except (AlreadyCalled, AlreadyCancelled) as error:
                self.log.append(type(error))


def advance_clock(clock, amount):
    """In steps, so that each call finds the time for which it was set, as in ours."""
    until = clock.seconds() + amount
    while clock.calls and min(call.getTime() for call in clock.calls) <= until:
        clock.advance(max(0.0, min(call.getTime() for call in clock.calls) - clock.seconds()))
    clock.advance(until - clock.seconds())


class ReactorTime(unittest.TestCase):
    def test_it_provides_what_it_says(self):
        loop = Loop()
        verifyObject(IReactorTime, loop)
        verifyObject(IDelayedCall, loop.callLater(1, print))

    @settings(max_examples=300, deadline=None)
    @given(st.lists(action, max_size=40))
    def test_any_program_runs_as_on_twisteds_clock(self, actions):
        clock, loop = Clock(), Loop()
        expected = Program(clock, lambda amount: advance_clock(clock, amount)).run(actions)
        self.assertEqual(Program(loop, lambda amount: loop.run(loop.now + amount)).run(actions), expected)

    def test_twisteds_own_looping_call_runs_on_it(self):
        loop, seen = Loop(), []
        looping = LoopingCall(lambda: seen.append(loop.seconds()))
        looping.clock = loop
        looping.start(0.5)
        loop.run(2.2)
        looping.stop()
        self.assertEqual((seen, loop.getDelayedCalls()), ([0.0, 0.5, 1.0, 1.5, 2.0], []))

    def test_what_is_over_can_be_neither_moved_nor_cancelled(self):
        loop = Loop()
        called, cancelled = loop.callLater(1, int), loop.callLater(1, int)
        cancelled.cancel()
        loop.run(1)
        for timer, error in ((called, AlreadyCalled), (cancelled, AlreadyCancelled)):
            for attempt in (
                timer.cancel,
                lambda timer=timer: timer.reset(1),
                lambda timer=timer: timer.delay(1),
            ):
                self.assertRaises(error, attempt)

    def test_a_timer_may_move_and_cancel_others_while_it_rings(self):
        loop, seen = Loop(), []
        away, near, gone = (loop.callLater(delay, seen.append, name) for delay, name in
                            ((1, "away"), (9, "near"), (1, "gone")))  # fmt: skip
        loop.at(0.999, lambda: (away.delay(4), near.reset(0), gone.cancel()))
        loop.run(4)
        self.assertEqual(seen, ["near"])
        loop.run(5)
        self.assertEqual(seen, ["near", "away"])

    def test_a_timer_set_before_now_is_due_now_and_time_does_not_run_backwards(self):
        loop, seen = Loop(), []
        timer = loop.callLater(9, lambda: seen.append(loop.now))
        loop.run(5)
        timer.delay(-8)
        loop.run(5)
        self.assertEqual(seen, [5])

    def test_a_call_in_the_past_is_refused(self):
        self.assertRaises(ValueError, Loop().callLater, -0.1, int)

    def test_timers_that_move_away_for_ever_keep_one_entry(self):
        loop = Loop()
        timer = loop.callLater(1, int)
        for _ in range(1000):
            loop.run(loop.now + 0.1)
            timer.reset(1)
        self.assertEqual(loop.pending(), 1)

    def test_remains_of_cancelled_timers_are_swept(self):
        loop, seen = Loop(), []
        loop.callLater(50, seen.append, "timer")
        loop.at(60, seen.append, "event")
        for _ in range(20 * FEW):
            loop.callLater(100, int).cancel()
        self.assertLessEqual(loop.pending(), FEW + 2)
        loop.run(200)
        self.assertEqual((seen, loop.pending()), (["timer", "event"], 0))

    def test_remains_are_swept_while_their_slot_runs(self):
        loop, seen = Loop(), []
        timers = [loop.callLater(1, seen.append, number) for number in range(3 * FEW)]
        loop.at(1, seen.append, "event")
        loop.at(0.9999, lambda: [timer.cancel() for timer in timers[1:]])
        loop.run(1)
        self.assertEqual(seen, [0, "event"])


class Events(unittest.TestCase):
    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.floats(0, 3) | st.integers(0, 6).map(lambda n: n / 4096)),
           st.lists(st.floats(0, 4), max_size=5))  # fmt: skip
    def test_events_come_in_order_and_those_of_a_time_as_they_were_set(self, times, stops):
        loop, seen = Loop(), []
        for number, time in enumerate(times):
            loop.at(time, lambda *each: seen.append((loop.now, *each)), time, number)
        for until in sorted(stops):
            loop.run(until)
            self.assertEqual((loop.now, len(seen)), (until, sum(time <= until for time in times)))
        loop.run(5)
        self.assertEqual(seen, sorted((time, time, number) for number, time in enumerate(times)))

    def test_events_and_timers_of_a_time_come_as_they_were_set(self):
        loop, seen = Loop(), []
        loop.at(1, seen.append, 0)
        loop.callLater(1, seen.append, 1)
        loop.at(1, seen.append, 2)
        loop.at(
            1 - 1 / SLOTS / 4,
            lambda: (loop.at(1, seen.append, 3), loop.callLater(1 - loop.now, seen.append, 4)),
        )
        loop.run(1)
        self.assertEqual(seen, [0, 1, 2, 3, 4])

    def test_an_event_may_set_others_for_the_same_moment(self):
        loop, seen = Loop(), []

        def again(left):
            seen.append(left)
            if left:
                loop.at(loop.now, again, left - 1)

        loop.at(1, again, 3)
        loop.at(1, seen.append, "meanwhile")
        loop.run(1)
        self.assertEqual(seen, [3, "meanwhile", 2, 1, 0])

    def test_what_is_over_cannot_be_set(self):
        loop = Loop()
        loop.run(10)
        for time in (9.9999, 5.0, 0.0):
            self.assertRaises(ValueError, loop.at, time, int)
        loop.at(10, int)

    def test_an_event_that_fails_ends_the_run_and_the_others_stay(self):
        loop, seen = Loop(), []
        loop.at(1, lambda: 1 // 0)
        loop.at(1, seen.append, "after")
        self.assertRaises(ZeroDivisionError, loop.run, 2)
        self.assertEqual((loop.now, seen), (1, []))
        loop.run(2)
        self.assertEqual(seen, ["after"])
