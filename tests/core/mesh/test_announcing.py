from collections.abc import Sequence

from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.announcing import HELD_MAX
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import BEACONS_WHOLE, HAVE_MOST
from multicastmw.wire.data import BEACON
from multicastmw.wire.mesh import Have, Held, StreamKey
from multicastmw.wire.messages import size
from tests.core.mesh.kit import GROUP, KEY, ORIGIN, RATE, SIZE, Lone, Pen, have

UDP = 28  # bytes of IPv4 and UDP around a message
TOKEN = 1  # any: a datagram carries one


class Announced(TestCase):
    """A stream of 100 packets/s comes from a parent, with a beacon a second; others hear of it."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.parent, self.parents_pen = self.lone.neighbour(2)
        self.next = 0

    def neighbours(self, how_many: int) -> list[tuple[Neighbour, Pen]]:
        """And the first seconds of the stream are over."""
        first = 10 + len(self.lone.mesh.neighbours)
        found = [self.lone.neighbour(number) for number in range(first, first + how_many)]
        self.flow(4)
        for pen in (self.parents_pen, *(pen for _, pen in found)):
            pen.said.clear()
        return found

    def flow(self, seconds: float) -> None:
        for _ in range(round(seconds * RATE)):
            flags = BEACON if self.next % round(RATE) == 0 else 0
            self.lone.data(self.parent, self.next, flags=flags, apart=1 / RATE)
            self.next += 1

    def heard(self, pen: Pen) -> list[Held]:
        return [held for said in pen.of(Have) for held in said.streams]

    def bits(self, pens: Sequence[Pen], seconds: float) -> float:
        """A second, in all."""
        return sum(8 * (size(said, TOKEN) + UDP) for pen in pens for said in pen.of(Have)) / seconds


class Rounds(Announced):
    def test_the_parent_hears_nothing_of_what_it_gives(self) -> None:
        self.neighbours(3)
        self.flow(3)
        self.assertEqual([], self.heard(self.parents_pen))

    def test_others_hear_how_far_it_is(self) -> None:
        ((_, pen),) = self.neighbours(1)
        self.flow(1)
        heard = self.heard(pen)
        self.assertGreater(len(heard), 5)  # rounds are a tenth of a second apart, as there is one to tell
        self.assertLess(self.next - 1 - heard[-1].highest, RATE / 5)

    def test_who_is_fed_hears_it_when_it_pauses_three_times(self) -> None:
        ((child, pen),) = self.neighbours(1)
        self.lone.feed().adopt(child)
        self.flow(0.9)
        self.assertEqual([True], [held.load.beacon for held in self.heard(pen)])
        self.lone.pass_time(2.5)
        first, *rounds = self.heard(pen)
        self.assertTrue(first.load.stalled)  # which it is told besides, as the parent may be gone
        self.assertEqual([self.next - 1] * 3, [held.highest for held in rounds])

    def test_the_more_there_are_to_tell_the_rarer_the_rounds_but_one_a_second(self) -> None:
        found = self.neighbours(4)
        self.flow(10)
        self.assertLess(self.bits([pen for _, pen in found], 10), 7_000)
        found += self.neighbours(16)
        self.flow(10)
        self.assertEqual(HAVE_MOST, self.lone.mesh.announcer.every)
        heard = len(self.heard(found[-1][1]))
        self.assertTrue(10 < heard <= 22, heard)  # a beacon and a round each second

    def test_who_is_nearer_to_the_origin_hears_every_second_one_where_they_are_rare(self) -> None:
        for others, heard_least, heard_most in ((0, 15, 22), (16, 1, 4)):  # in two seconds
            ((near, pen), *_) = self.neighbours(1 + others)
            self.lone.accept(self.parent, have(self.next, beacon=True, path=(7, 2), cost=50_000))
            self.lone.accept(near, have(self.next, beacon=True, path=(7,), cost=1_000))
            self.flow(2)
            rounds = [held for held in self.heard(pen) if not held.load.beacon]
            self.assertTrue(heard_least <= len(rounds) <= heard_most, len(rounds))

    def test_of_a_stream_of_little_less_is_said(self) -> None:
        """A fiftieth of what it takes, and 2 kbit/s at least."""
        self.neighbours(1)
        announcer, every = self.lone.mesh.announcer, []
        for kbits in (1.0, 100.0, 200.0, 350.0, 10_000.0):
            self.lone.feed().bits = kbits
            announcer.tick(self.lone.now)
            every.append(round(announcer.every, 3))
        self.assertEqual([0.475, 0.475, 0.185, 0.1, 0.1], every)

    def test_what_does_not_fit_into_one_have_goes_in_the_next(self) -> None:
        by, _ = self.lone.neighbour(3)
        _, pen = self.lone.neighbour(4)
        for number in range(HELD_MAX + 1):
            feed = self.lone.mesh.feed_for(StreamKey(ORIGIN, GROUP, number + 1), by, self.lone.now)
            assert feed
            feed.took(7, SIZE, 7, 0, 0, by, self.lone.now)
        pen.said.clear()
        self.lone.mesh.announcer.tick(self.lone.now)
        self.assertEqual([HELD_MAX, 1], [len(said.streams) for said in pen.of(Have)])


class Beacons(Announced):
    def test_a_beacon_is_announced_at_once_and_with_its_way_every_fourth_time(self) -> None:
        ((_, pen),) = self.neighbours(1)
        self.lone.accept(self.parent, have(self.next, beacon=True, path=(7, 2)))
        beacons = []
        for _ in range(2 * BEACONS_WHOLE):
            pen.said.clear()
            self.flow(0.01)
            beacons.append(self.heard(pen)[0])
            self.flow(0.99)
        self.assertTrue(all(held.load.beacon for held in beacons))
        self.assertEqual(2, len([held for held in beacons if held.beacon]))

    def test_a_child_hears_the_way_each_time(self) -> None:
        ((child, pen),) = self.neighbours(1)
        self.lone.feed().adopt(child)
        for _ in range(BEACONS_WHOLE):
            pen.said.clear()
            self.flow(0.01)
            (held,) = self.heard(pen)
            self.assertTrue(held.load.beacon and held.beacon)
            self.flow(0.99)

    def test_who_is_nearer_to_the_origin_is_spared_the_short_ones(self) -> None:
        ((near, pen),) = self.neighbours(1)
        self.lone.accept(self.parent, have(self.next, beacon=True, path=(7, 2), cost=50_000))
        self.lone.accept(near, have(self.next, beacon=True, path=(7,), cost=1_000))
        heard = []
        for _ in range(BEACONS_WHOLE):
            pen.said.clear()
            self.flow(0.01)
            heard += [held for held in self.heard(pen) if held.load.beacon]
            self.flow(0.99)
        self.assertEqual([KEY], [held.stream for held in heard])


class Freshness(Announced):
    def test_what_somebody_said_counts_for_two_and_a_half_rounds_and_for_a_while_at_least(self) -> None:
        self.neighbours(1)
        self.assertEqual(0.3, self.lone.mesh.fresh_within)
        self.neighbours(16)
        self.assertEqual(2.5, self.lone.mesh.fresh_within)
