from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.reordering import MARGIN, REMEMBERED, Reordering
from multicastmw.core.mesh.settings import GUARD, GUARD_MOST
from multicastmw.wire.data import BEACON, RETRANSMITTED
from multicastmw.wire.mesh import Graft
from tests.core.mesh.kit import RATE, Hall, Lone, have


class LinkThatOvertakes(TestCase):
    """Two ends and a cable on which every fifth packet takes 60 ms longer."""

    def setUp(self) -> None:
        self.hall = Hall()
        self.origin, self.leaf = self.hall.person(), self.hall.person()
        self.cable = self.hall.cable(self.origin, self.leaf)
        carry, loop = self.cable.carry, self.hall.loop

        def late(function, what, *args):  # type: ignore[no-untyped-def]
            is_late = getattr(what, "number", 1) % 5 == 0 and not what.flags & RETRANSMITTED
            loop.at(loop.now + 0.06 * is_late, carry, function, what, *args)

        self.cable.carry = late  # type: ignore[method-assign]

    def test_what_is_only_late_is_soon_not_asked_for_any_more(self) -> None:
        self.hall.play(self.origin, 2.0)
        self.leaf.doubles = 0
        self.hall.play(self.origin, 10.0)
        self.hall.rest(1.0)
        self.assertLess(self.leaf.doubles, 0.01 * 10.0 * RATE)
        self.assertEqual(len(self.leaf.got), self.hall.next)

    def test_what_is_lost_is_asked_for_all_the_same(self) -> None:
        self.hall.play(self.origin, 2.0)
        self.cable.lost = lambda what: getattr(what, "number", 1) % 7 == 0 and not what.flags & RETRANSMITTED
        self.hall.play(self.origin, 2.0)
        self.cable.lost = lambda what: False
        self.hall.play(self.origin, 1.0)
        self.hall.rest(1.0)
        self.assertEqual(len(self.leaf.got), self.hall.next)


class NoiseTest(TestCase):
    """A neighbour has beacons so many ms before the parent brings them, or after that."""

    def grafts(self, *leads: int) -> int:
        lone = Lone()
        parent, _ = lone.fed_by(2)
        other, pen = lone.neighbour(3)
        feed = lone.feed()
        feed.upstream.better.switch_at, feed.began = lone.now, lone.now - 100.0
        for number, lead in enumerate(leads):
            beacon = 201 + 3 * number
            if lead < 0:
                lone.data(parent, beacon, flags=BEACON, apart=-lead / 1000)
                lone.accept(other, have(beacon, beacon=True))
            else:
                lone.accept(other, have(beacon, beacon=True))
                lone.pass_time(lead / 1000)
                lone.data(parent, beacon, flags=BEACON)
            lone.data(parent, beacon + 1, beacon + 2, apart=0.02)
        return len(pen.of(Graft))

    def test_who_has_three_beacons_earlier_is_a_better_parent(self) -> None:
        self.assertEqual(self.grafts(20, 20), 0)
        self.assertEqual(self.grafts(20, 20, 20), 1)

    def test_who_has_them_now_earlier_now_later_is_none(self) -> None:
        self.assertEqual(self.grafts(-60, 5, 60, 5, 10), 0)
        self.assertEqual(self.grafts(*[80, -80, 80, 80] * 5), 0)

    def test_who_is_earlier_by_more_than_that_is_one(self) -> None:
        self.assertEqual(self.grafts(*[50, 80] * 5), 1)


class GuardTest(TestCase):
    def test_it_is_three_packets_time_or_twenty_ms_where_nothing_comes_out_of_order(self) -> None:
        reordering = Reordering()
        reordering.came(100.0, 30.0, 100.0 + GUARD / 2)
        self.assertEqual(reordering.guard(30.0), GUARD)
        self.assertAlmostEqual(reordering.guard(500.0), 3 / 500)

    def test_it_is_longer_than_the_last_one_was_late_and_shrinks_in_the_end(self) -> None:
        reordering = Reordering()
        reordering.came(100.0, 30.0, 100.06)
        self.assertAlmostEqual(reordering.guard(30.0), 0.06 * MARGIN)
        reordering.fade(10.0)
        self.assertLess(reordering.guard(30.0), 0.06 * MARGIN)
        for _ in range(200):
            reordering.fade(1.0)
        self.assertEqual(reordering.guard(30.0), GUARD)

    def test_however_late_a_packet_is_the_guard_has_a_bound(self) -> None:
        reordering = Reordering()
        reordering.came(100.0, 30.0, 105.0)
        self.assertEqual(reordering.guard(30.0), GUARD_MOST)

    def test_what_is_remembered_has_a_bound(self) -> None:
        reordering = Reordering()
        for number in range(REMEMBERED + 10):
            reordering.came_resent(number, 100.0)
        reordering.came_twice(5, 30.0, 100.06)  # too long ago
        self.assertEqual(reordering.late, 0.0)
        reordering.came_twice(20, 30.0, 100.06)
        self.assertAlmostEqual(reordering.late, 0.06 * MARGIN)
