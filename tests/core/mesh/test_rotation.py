from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.rotation import SPREAD
from multicastmw.core.mesh.settings import Settings
from multicastmw.wire.mesh import Graft, Prune, Refusal
from tests.core.mesh.kit import KEY, RATE, UPLINK, Hall, Lone, Pen, have

ORIGIN = 0x51000000
EVERY = 10.0


class RotationTest(TestCase):
    """Fed by one neighbour, and others have the stream, too."""

    def setUp(self) -> None:
        self.begin(EVERY)

    def begin(self, every: float) -> None:
        self.lone = Lone(Settings(uplink=UPLINK, rotate=every))
        self.costs: dict[Neighbour, int] = {}
        self.free: dict[Neighbour, int] = {}
        self.parent, self.pen = self.lone.fed_by(2)
        self.costs[self.parent] = 20_000
        self.feed = self.lone.feed()

    def knows(self, number: int, cost: int = 25_000, free: int = 4) -> tuple[Neighbour, Pen]:
        neighbour, pen = self.lone.neighbour(number)
        self.costs[neighbour], self.free[neighbour] = cost, free
        return neighbour, pen

    def flows(self, seconds: float) -> None:
        """Until somebody is asked; all say how it is."""
        for place in range(round(seconds * RATE)):
            self.lone.data(self.parent, self.feed.top + 1)
            if place % 20 == 0:
                self.all_say()
            self.lone.pass_time(1 / RATE)
            if self.feed.joining:
                return

    def all_say(self) -> None:
        for each, cost in self.costs.items():
            path = (ORIGIN, each.node >> 32)
            self.lone.accept(
                each, have(self.feed.top, path=path, cost=cost, beacon=True, free=self.free.get(each, 4))
            )

    def test_another_one_is_the_parent_after_a_while_and_the_old_one_feeds_until_then(self) -> None:
        other, pen = self.knows(3)
        began = self.lone.now
        self.flows(2 * EVERY)
        low, high = SPREAD
        self.assertTrue(low * EVERY - 3 <= self.lone.now - began <= high * EVERY + 1)
        (graft,) = pen.of(Graft)
        self.assertEqual((graft.sequence, graft.missing, graft.second), (self.feed.top + 1, (), False))
        self.assertEqual(self.pen.of(Prune), [])
        self.lone.data(other, self.feed.top + 1)
        self.assertIs(self.feed.parent, other)
        self.assertEqual(self.pen.of(Prune), [Prune(KEY)])
        self.assertEqual(self.feed.counters.rotated, 1)

    def test_who_is_far_or_full_or_behind_us_is_not_asked(self) -> None:
        far, full = self.knows(3, cost=60_000), self.knows(4, free=0)
        behind = self.knows(5, cost=61_000)
        self.flows(3 * EVERY)
        self.assertEqual([pen.of(Graft) for _, pen in (far, full, behind)], [[], [], []])
        self.assertIs(self.feed.parent, self.parent)

    def test_who_would_not_is_followed_by_another(self) -> None:
        pens = [self.knows(3), self.knows(4)]
        self.flows(2 * EVERY)
        first = self.feed.joining
        assert first is not None
        self.lone.accept(first, Prune(KEY, Refusal.NO_DATA, (), 30_000))
        self.flows(5.0)
        self.assertIn(self.feed.joining, {each for each, _ in pens} - {first})

    def test_a_parent_whose_turn_it_is_stays_beside_one_that_is_a_little_better(self) -> None:
        other, _ = self.knows(3)
        self.flows(2 * EVERY)
        self.lone.data(other, self.feed.top + 1)
        self.assertFalse(self.feed.joining)
        old, self.parent = self.parent, other
        self.flows(4.0)
        self.assertIs(self.feed.parent, other)
        self.assertTrue(self.feed.upstream.rotation.stays(old))
        self.costs[other] = 90_000
        self.all_say()
        self.assertFalse(self.feed.upstream.rotation.stays(old))

    def test_without_it_the_parent_stays(self) -> None:
        self.lone.mesh.settings = Settings(uplink=UPLINK)
        _, pen = self.knows(3)
        self.flows(3 * EVERY)
        self.assertEqual(pen.of(Graft), [])

    def test_another_time_counts_from_when_it_is_said(self) -> None:
        for before, after in ((3_600.0, EVERY), (EVERY, 3_600.0)):
            self.begin(before)
            _, pen = self.knows(3)
            self.flows(1.0)
            self.lone.mesh.reconfigure(self.lone.settings._replace(rotate=after), self.lone.now)
            self.flows(2 * EVERY)
            self.assertEqual(after == EVERY, bool(pen.of(Graft)), after)


class HallTest(TestCase):
    def test_no_packet_is_lost_and_each_has_its_turn(self) -> None:
        for feeds in (1, 2):
            with self.subTest(feeds=feeds):
                hall = Hall()
                sender, *relays = (hall.person() for _ in range(4))
                viewer = hall.person(uplink=0, feeds=feeds, rotate=4.0)
                hall.unreachable = {person.mesh.node for person in hall.people}
                for relay, rtt in zip(relays, (0.01, 0.014, 0.02), strict=True):
                    hall.cable(sender, relay, rtt)
                    hall.cable(viewer, relay, rtt)
                had = set()
                for _ in range(60):
                    hall.play(sender, 1.0)
                    had.add(viewer.feed.parent)
                hall.rest(0.2)
                missing = [number for number in range(hall.next) if number not in viewer.got]
                self.assertEqual(missing, [])
                self.assertEqual(viewer.feed.counters.orphaned, 0)
                self.assertGreater(viewer.feed.counters.rotated, 7)
                self.assertEqual(len(had), 3)
