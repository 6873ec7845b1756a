from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.mesh.counters import FeedCounters
from multicastmw.core.mesh.order import HELD_MAX, Order

HOLD = 0.5
BIG = 0xFFFFFFF8  # numbers go round soon behind it


class Missing:
    def __init__(self) -> None:
        self.numbers: dict[int, None] = {}


class Stub:
    """What an order needs of its feed: which numbers are missing, and for how long one waits for them."""

    def __init__(self, hold: float = HOLD) -> None:
        self.hold = hold
        self.gaps = Missing()
        self.counters = FeedCounters()
        self.due = float("inf")

    def wake(self, at: float) -> None:
        self.due = min(self.due, at)


class OrderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 10.0
        self.begin(Stub())

    def begin(self, feed: Stub, at: int = BIG) -> None:
        self.feed = feed
        self.order = Order(feed)  # type: ignore[arg-type]
        self.order.give = lambda messages, now: self.got.extend(map(self.number_of, messages))
        self.got: list[int] = []
        self.top = at - 1

    def number_of(self, message: bytes) -> int:
        return int.from_bytes(message[:4], "big")

    def comes(self, *steps: int) -> None:
        """Numbers, as steps from BIG: what is skipped is missing from then on."""
        for step in steps:
            number = BIG + step & 0xFFFFFFFF
            self.feed.gaps.numbers.pop(number, None)
            behind = (number - self.top) & 0xFFFFFFFF
            if behind < 1 << 31:
                for back in range(1, behind):
                    self.feed.gaps.numbers[self.top + back & 0xFFFFFFFF] = None
                self.top = number
            if not self.order.holds(number, number.to_bytes(4, "big"), self.now):
                self.got.append(number)
            self.order.go_on(self.now)

    def test_what_is_held_is_not_missing_whatever_is_said_of_it(self) -> None:
        self.comes(0, 2, 4)
        self.feed.gaps.numbers[BIG + 2 & 0xFFFFFFFF] = None
        self.feed.gaps.numbers[BIG + 4 & 0xFFFFFFFF] = None
        self.now += HOLD
        self.order.go_on(self.now)
        self.assertEqual([0, 2, 4], self.steps())
        self.assertEqual({}, self.order.held)

    def steps(self) -> list[int]:
        return [(number - BIG) & 0xFFFFFFFF for number in self.got]

    def given_up(self, step: int) -> None:
        del self.feed.gaps.numbers[BIG + step & 0xFFFFFFFF]
        self.order.go_on(self.now)

    def test_what_follows_a_gap_waits_until_it_is_filled(self) -> None:
        self.comes(0, 1, 3, 4)
        self.assertEqual([0, 1], self.steps())
        self.comes(2)
        self.assertEqual([0, 1, 2, 3, 4], self.steps())
        self.assertEqual(({}, 2), (self.order.held, self.feed.counters.held))

    def test_gaps_are_filled_in_any_order(self) -> None:
        self.comes(0, 3, 6, 9, 7, 1, 4, 2)
        self.assertEqual([0, 1, 2, 3, 4], self.steps())
        self.comes(8, 5)
        self.assertEqual(list(range(10)), self.steps())

    def test_what_is_given_up_is_not_waited_for(self) -> None:
        self.comes(0, 3, 5)
        self.given_up(1)
        self.assertEqual([0], self.steps())
        self.given_up(2)
        self.assertEqual([0, 3], self.steps())

    def test_nothing_waits_longer_than_it_may_and_what_comes_then_comes_at_once(self) -> None:
        self.comes(0, 2)
        self.assertEqual(self.now + HOLD, self.feed.due)
        self.now += HOLD / 2
        self.comes(4)
        self.now += HOLD / 2
        self.order.go_on(self.now)
        self.assertEqual([0, 2], self.steps())
        self.comes(1)
        self.assertEqual([0, 2, 1], self.steps())
        self.now += HOLD / 2
        self.order.go_on(self.now)
        self.assertEqual([0, 2, 1, 4], self.steps())

    def test_so_much_waits_and_no_more(self) -> None:
        self.comes(0, *range(2, HELD_MAX + 2))
        self.assertEqual([0], self.steps())
        self.comes(HELD_MAX + 2)
        self.assertEqual([0, *range(2, HELD_MAX + 3)], self.steps())
        self.assertEqual({}, self.order.held)

    def test_without_a_hold_everything_goes_on_as_it_comes(self) -> None:
        self.begin(Stub(hold=0.0))
        self.comes(0, 2, 1)
        self.assertEqual([0, 2, 1], self.steps())

    @given(st.permutations(range(1, 24)), st.sets(st.integers(1, 23), max_size=6))
    def test_everything_that_comes_is_given_once_and_in_order(self, comes, lost) -> None:
        self.begin(Stub())
        self.comes(0, *(step for step in comes if step not in lost))
        for number in list(self.feed.gaps.numbers):
            del self.feed.gaps.numbers[number]
            self.order.go_on(self.now)
        came = [step for step in range(24) if step not in lost]
        self.assertEqual(came, self.steps())
        self.assertEqual(({}, 0), (self.order.held, self.order._bytes))
