from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import PARTING, SHED, Settings
from multicastmw.wire.mesh import Graft, Prune, Range, Refusal
from tests.core.mesh.kit import KEY, RATE, Lone, Pen, have

TWO = Settings(uplink=2_800)  # kbit/s: two slots, and nearly a third one beyond them


class BroodTest(TestCase):
    """Two slots, and a parent."""

    def setUp(self) -> None:
        self.lone = Lone(TWO)
        self.parent, self.pen = self.lone.fed_by(2)
        self.feed = self.lone.feed()

    def graft(
        self,
        number: int,
        *,
        uplink: int = 0,
        rtt: float = 0.04,
        sequence: int = 201,
        missing: tuple[Range, ...] = (),
    ) -> tuple[Neighbour, Pen]:
        neighbour, pen = self.lone.neighbour(number, rtt, uplink=uplink)
        pen.said.clear()
        self.lone.accept(neighbour, Graft(KEY, sequence, missing))
        return neighbour, pen

    def feeds_on(self, seconds: float) -> None:
        for _ in range(int(seconds * RATE)):
            self.lone.data(self.parent, self.feed.top + 1)
            self.lone.pass_time(1 / RATE)

    def test_who_grafts_gets_each_packet_and_what_it_has_missed(self) -> None:
        child, pen = self.graft(3, sequence=198, missing=(Range(150, 151),))
        self.assertEqual(self.feed.takers, (child,))
        self.assertEqual(pen.resent, [198, 199, 200, 150, 151])

    def test_a_next_number_among_the_missing_is_sent_once(self) -> None:
        _, pen = self.graft(3, sequence=199, missing=(Range(199, 199),))
        self.assertEqual(pen.resent, [199, 200])

    def test_who_leaves_gets_nothing_more(self) -> None:
        child, _ = self.graft(3)
        self.lone.accept(child, Prune(KEY))
        self.assertEqual(self.feed.takers, ())

    def unwanted(self) -> None:
        self.lone.wanted = False
        self.lone.mesh.renew(self.feed, self.lone.now)

    def test_when_the_last_child_leaves_a_stream_that_nobody_here_wants_it_ends(self) -> None:
        child, _ = self.graft(3)
        self.unwanted()
        self.assertIs(self.feed.parent, self.parent)
        self.lone.accept(child, Prune(KEY))
        self.assertIsNone(self.feed.parent)
        self.assertEqual(len(self.pen.of(Prune)), 1)

    def test_and_so_it_does_when_the_link_with_it_is_gone(self) -> None:
        child, _ = self.graft(3)
        self.unwanted()
        self.lone.mesh.link_down(child, self.lone.now)
        self.assertIsNone(self.feed.parent)

    def test_while_one_is_still_fed_that_has_to_go_it_goes_on(self) -> None:
        self.graft(3)
        self.unwanted()
        self.feed.brood._give_away(next(iter(self.feed.children)), (), self.lone.now)
        self.feed.unwanted(self.lone.now)
        self.assertIs(self.feed.parent, self.parent)
        self.feeds_on(PARTING + 0.1)
        self.assertIsNone(self.feed.parent)

    def test_when_all_slots_are_taken_the_next_one_is_told_who_has_room(self) -> None:
        self.graft(3)
        self.graft(4)
        able, _ = self.lone.neighbour(9)
        self.lone.accept(able, have(200))
        child, pen = self.graft(5)
        (prune,) = pen.of(Prune)
        self.assertEqual(prune.refusal, Refusal.FULL)
        self.assertEqual([sample.node for sample in prune.alternatives], [able.node])
        self.assertNotIn(child, self.feed.takers)

    def test_who_carries_something_takes_the_place_of_who_does_not(self) -> None:
        first, pen = self.graft(3)
        self.graft(4, rtt=0.01)
        able, _ = self.graft(5, uplink=10_000)
        (prune,) = pen.of(Prune)
        self.assertEqual((prune.refusal, prune.alternatives[0].node), (Refusal.FULL, able.node))
        self.assertNotIn(first, self.feed.children)
        self.assertIn(able, self.feed.children)

    def test_whose_place_is_given_away_is_fed_until_it_leaves_or_for_a_moment(self) -> None:
        first, _ = self.graft(3)
        self.graft(4, rtt=0.01)
        self.graft(5, uplink=10_000)
        self.assertIn(first, self.feed.takers)
        self.feeds_on(PARTING + 0.1)
        self.assertNotIn(first, self.feed.takers)

    def test_of_two_who_carry_as_much_the_far_nearer_one_stays(self) -> None:
        self.graft(3, uplink=10_000, rtt=0.2)
        self.graft(4, uplink=10_000, rtt=0.1)
        near, _ = self.graft(5, uplink=10_000, rtt=0.02)
        hardly, pen = self.graft(6, uplink=10_000, rtt=0.08)
        self.assertIn(near, self.feed.children)
        self.assertNotIn(hardly, self.feed.children)
        self.assertEqual(pen.of(Prune)[0].refusal, Refusal.FULL)

    def test_who_has_nobody_is_taken_over_the_slots_and_has_to_go_later(self) -> None:
        self.graft(3)
        self.graft(4)
        orphan, pen = self.graft(5, sequence=195, missing=(Range(195, 195),), rtt=0.3)
        self.assertIn(orphan, self.feed.children)
        self.graft(6, sequence=195, missing=(Range(195, 195),), rtt=0.4)
        self.assertEqual(len(self.feed.children), 3)  # there is an end to that
        self.feeds_on(SHED + 0.2)
        self.assertEqual(len(self.feed.children), 2)
        self.assertEqual(pen.of(Prune)[0].refusal, Refusal.FULL)

    def test_its_parent_is_not_taken(self) -> None:
        self.lone.accept(self.parent, Graft(KEY, 201))
        self.assertEqual(self.feed.takers, ())

    def test_who_is_ahead_is_not_taken_as_it_might_feed_us(self) -> None:
        _, pen = self.graft(3, sequence=500)
        self.assertEqual(pen.of(Prune)[0].refusal, Refusal.NO_DATA)

    def test_who_has_no_parent_takes_nobody(self) -> None:
        self.lone.mesh.link_down(self.parent, self.lone.now)
        _, pen = self.graft(3)
        self.assertEqual(pen.of(Prune)[0].refusal, Refusal.NO_DATA)

    def test_who_carries_nothing_takes_nobody(self) -> None:
        lone = Lone(Settings(uplink=0))
        lone.fed_by(2)
        neighbour, pen = lone.neighbour(3)
        lone.accept(neighbour, Graft(KEY, 201, (Range(201, 201),)))
        self.assertEqual(lone.feed().takers, ())
        self.assertEqual(pen.of(Prune)[0].refusal, Refusal.FULL)

    def test_no_more_are_taken_than_a_user_allows(self) -> None:
        lone = Lone(Settings(uplink=100_000, children=1))
        lone.fed_by(2)
        for number in (3, 4):
            neighbour, _ = lone.neighbour(number, uplink=0)
            lone.accept(neighbour, Graft(KEY, 201, (Range(201, 201),)))
        self.assertEqual(len(lone.feed().children), 1)
