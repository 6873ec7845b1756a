from itertools import pairwise

from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.gaps import GAP_WAIT
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.second import SETTLED, SILENT, shared
from multicastmw.core.mesh.settings import GUARD, SILENT_LEAST, Settings
from multicastmw.core.mesh.suspicion import ANSWER
from multicastmw.wire.data import BEACON, RETRANSMITTED
from multicastmw.wire.mesh import Graft, Have, Nack, Prune, Range, Refusal, StreamKey
from tests.core.mesh.kit import KEY, RATE, UPLINK, Hall, Lone, Pen, Person, have

ORIGIN = 0x51000000
PAIR = Settings(uplink=UPLINK, feeds=2)


def short(number: int) -> int:
    """The upper half of a node's id, as it stands in a path."""
    return number << 24 | 1 << 16


def way(*numbers: int) -> tuple[int, ...]:
    return (ORIGIN, *map(short, numbers))


class WaysTest(TestCase):
    def test_what_two_ways_share_is_not_their_origin(self) -> None:
        self.assertEqual(shared(way(2, 3, 4), way(5, 3)), {short(3)})
        self.assertEqual(shared(way(2), way(5)), frozenset())


class Case(TestCase):
    """Fed by 2, and each packet comes also from whoever is the second parent."""

    def setUp(self) -> None:
        self.lone = Lone(PAIR)
        self.first, self.pen = self.lone.fed_by(2, upto=400)
        self.says(self.first, way(2))
        self.feed = self.lone.feed()
        self.pen.said.clear()

    def says(self, by: Neighbour, path: tuple[int, ...], **more: bool | int) -> None:
        self.lone.accept(by, have(self.lone.feed().top, path=path, cost=20_000, beacon=True, **more))  # type: ignore[arg-type]

    def knows(self, number: int, path: tuple[int, ...], **more: bool | int) -> tuple[Neighbour, Pen]:
        neighbour, pen = self.lone.neighbour(number)
        self.says(neighbour, path, **more)
        return neighbour, pen

    def flows(self, seconds: float, second: Neighbour | None = None, lag: int = 0, ways: int = 1) -> None:
        """From the first, and so many packets later from the second; each says its way as it is."""
        told = {each: theirs.path for each, theirs in self.feed.theirs.items()}
        for place in range(round(seconds * RATE)):
            self.lone.data(self.first, self.feed.top + 1)
            if second is not None:
                self.lone.again(second, self.feed.top - lag)
            if ways and place % 20 == 0:
                for each, path in told.items():
                    self.says(each, path)
            self.lone.pass_time(1 / RATE)

    def is_asked(self, pen: Pen, within: float = 3.0) -> list[Graft]:
        """While the first feeds."""
        for _ in range(round(within * RATE)):
            if grafts := pen.of(Graft):
                return grafts
            self.flows(1 / RATE)
        return []

    def paired(self, number: int = 3) -> tuple[Neighbour, Pen]:
        """With a second parent."""
        second, pen = self.knows(number, way(number))
        self.assertTrue(self.is_asked(pen)[0].second)
        self.lone.data(second, self.feed.top + 1)
        self.lone.pass_time(1 / RATE)
        self.assertIs(self.feed.second, second)
        for each in (self.pen, pen):
            each.said.clear()
        return second, pen


class SecondTest(Case):
    def test_it_is_who_comes_another_way(self) -> None:
        _, over = self.knows(3, way(2, 3))
        _, apart = self.knows(4, way(9, 4))
        (graft,) = self.is_asked(apart)
        self.assertEqual(over.of(Graft), [])
        self.assertTrue(graft.second)
        self.assertEqual(graft.missing, ())

    def test_of_several_it_is_whose_way_has_least_in_common_with_the_first_ones(self) -> None:
        self.says(self.first, way(7, 8, 2))
        _, less = self.knows(3, way(6, 8, 3))
        _, more = self.knows(4, way(7, 8, 4))
        self.assertEqual((len(self.is_asked(less)), more.of(Graft)), (1, []))

    def test_one_with_less_in_common_takes_its_place_when_it_feeds(self) -> None:
        self.says(self.first, way(7, 8, 2))
        second, pen = self.knows(3, way(7, 8, 3))
        self.is_asked(pen)
        self.lone.data(second, self.feed.top + 1)
        self.assertEqual(self.feed.upstream.second.shared(), {short(7), short(8)})
        apart, its_pen = self.knows(4, way(4))
        for _ in range(1_300):
            self.flows(1 / RATE, second)
            if grafts := its_pen.of(Graft):
                break
        self.assertEqual([graft.second for graft in grafts], [True])
        self.assertIs(self.feed.second, second)
        self.lone.again(apart, self.feed.top)
        self.assertIs(self.feed.second, apart)
        self.assertEqual(pen.of(Prune), [Prune(KEY)])

    def test_where_all_ways_are_over_the_first_there_is_none(self) -> None:
        _, over = self.knows(3, way(2, 3))
        self.flows(3 * SETTLED)
        self.assertEqual(over.of(Graft), [])
        self.assertIsNone(self.feed.second)

    def test_who_has_it_from_us_or_is_full_or_has_only_lent_places_is_not_asked(self) -> None:
        here = self.lone.mesh.short
        pens = [
            self.knows(3, (ORIGIN, here, short(3)))[1],
            self.knows(4, way(4), free=0)[1],
            self.knows(5, way(5), lent=True)[1],
        ]
        self.flows(3 * SETTLED, ways=0)
        self.assertEqual([pen.of(Graft) for pen in pens], [[], [], []])

    def test_the_origin_may_be_the_first(self) -> None:
        self.says(self.first, (self.first.node >> 32,))
        _, pen = self.knows(3, (self.first.node >> 32, short(3)))
        self.assertEqual(len(self.is_asked(pen)), 1)

    def test_with_one_feed_nobody_is_asked(self) -> None:
        self.lone.mesh.settings = PAIR._replace(feeds=1)
        _, pen = self.knows(3, way(3))
        self.flows(3 * SETTLED)
        self.assertEqual(pen.of(Graft), [])

    def test_with_one_feed_again_the_second_is_left(self) -> None:
        _, pen = self.paired()
        self.lone.mesh.settings = PAIR._replace(feeds=1)
        self.flows(1.5)
        self.assertEqual(pen.of(Prune), [Prune(KEY)])
        self.assertIsNone(self.feed.second)

    def test_of_groups_that_are_named_some_have_one_and_some_two(self) -> None:
        group = KEY.group
        for prefixes, feeds in (
            ((), 2),
            (((0xFFFFFFFF, group),), 2),
            (((0xFFFFFF00, group & 0xFFFFFF00),), 2),
            (((0xFFFFFFFF, group ^ 1),), 1),
            (((0xFFFFFFFF, group ^ 1), (0xFF000000, group & 0xFF000000)), 2),
        ):
            self.assertEqual(feeds, PAIR._replace(feeds_groups=prefixes).feeds_of(group), prefixes)
        self.assertEqual(1, Settings(feeds_groups=((0, 0),)).feeds_of(group))

    def test_what_is_said_under_way_counts_from_then_on(self) -> None:
        _, pen = self.paired()
        others = PAIR._replace(feeds_groups=((0xFFFFFFFF, KEY.group ^ 1),), rotate=30.0, uplink=0)
        self.lone.mesh.reconfigure(others, self.lone.now)
        self.assertEqual((UPLINK, 30.0), (self.lone.mesh.settings.uplink, self.feed.rotate))
        self.lone.pass_time(0.05)
        self.assertIsNone(self.feed.second)
        self.assertEqual(1, len(pen.of(Prune)))
        pen.said.clear()
        self.lone.mesh.reconfigure(PAIR, self.lone.now)
        self.assertTrue(self.is_asked(pen))

    def test_both_send_all_and_neither_is_told_to_stop(self) -> None:
        second, pen = self.paired()
        before = self.feed.counters.copies
        self.flows(5.0, second, lag=2)
        self.assertEqual((self.pen.of(Prune), pen.of(Prune)), ([], []))
        self.assertEqual(self.feed.counters.copies - before, 500)
        self.assertEqual(self.feed.counters.unasked, 0)

    def test_what_is_sent_again_is_no_copy(self) -> None:
        second, _ = self.paired()
        self.assertFalse(self.feed.doubled(self.feed.top, RETRANSMITTED, second, self.lone.now))
        self.assertTrue(self.feed.doubled(self.feed.top, 0, second, self.lone.now))
        third, _ = self.knows(9, way(9))
        self.assertFalse(self.feed.doubled(self.feed.top, 0, third, self.lone.now))

    def test_who_does_not_answer_is_followed_by_another(self) -> None:
        mute, pen = self.knows(3, way(3))
        self.assertEqual(len(self.is_asked(pen)), 1)
        _, other = self.knows(4, way(4))
        self.assertEqual(len(self.is_asked(other)), 1)
        self.assertEqual(pen.of(Prune), [Prune(KEY)])
        self.assertIsNot(self.feed.upstream.second.joining, mute)

    def test_nobody_is_a_parent_and_a_child(self) -> None:
        second, pen = self.paired()
        self.lone.accept(second, Graft(KEY, self.feed.top + 1))
        self.assertEqual(pen.of(Prune)[0].refusal, Refusal.LOOP)
        self.assertEqual(self.feed.takers, ())

    def test_nobody_who_is_not_wanted_any_more_goes_on(self) -> None:
        _, pen = self.paired()
        self.lone.wanted = self.feed.wanted = False
        self.feed.unwanted(self.lone.now)
        self.assertEqual((self.pen.of(Prune), pen.of(Prune)), ([Prune(KEY)], [Prune(KEY)]))

    def test_who_leaves_the_group_tells_both(self) -> None:
        _, pen = self.paired()
        self.lone.mesh.leave(KEY.group, self.lone.now)
        self.assertEqual((self.pen.of(Prune), pen.of(Prune)), ([Prune(KEY)], [Prune(KEY)]))


class FailureTest(Case):
    def goes_on(self, second: Neighbour, seconds: float) -> None:
        """The second alone feeds."""
        for _ in range(round(seconds * RATE)):
            self.lone.data(second, self.feed.top + 1)
            self.lone.pass_time(1 / RATE)

    def test_when_the_first_falls_silent_the_second_is_the_first_and_nothing_is_asked_for(self) -> None:
        second, pen = self.paired()
        child, its_pen = self.lone.neighbour(8)
        self.lone.accept(child, Graft(KEY, self.feed.top + 1))
        its_pen.said.clear()
        self.flows(1.0, second)
        asked = self.feed.counters.asked
        self.goes_on(second, 2 * SILENT_LEAST)
        self.assertIs(self.feed.parent, second)
        self.assertEqual([graft.second for graft in pen.of(Graft)], [False])
        self.assertEqual((pen.of(Nack), self.feed.counters.asked - asked), ([], 0))
        self.assertFalse(any(held.load.stalled for have in its_pen.of(Have) for held in have.streams))
        self.assertEqual((self.feed.counters.stood_in, self.feed.counters.orphaned), (1, 0))
        self.goes_on(second, ANSWER + 1.0)  # until then it may say whether it kept packets back
        self.assertEqual(self.pen.of(Prune), [Prune(KEY)])

    def test_then_a_new_second_one_is_looked_for(self) -> None:
        second, _ = self.paired()
        third, pen = self.knows(4, way(4))
        self.goes_on(second, 0.5)
        for _ in range(30):
            self.says(third, way(4))
            self.says(second, way(3))
            self.goes_on(second, 0.1)
            if self.feed.upstream.second.joining:
                break
        self.assertEqual([graft.second for graft in pen.of(Graft)], [True])

    def test_when_the_link_of_the_first_goes_it_is_so_at_once(self) -> None:
        second, _ = self.paired()
        self.flows(0.1, second)
        self.lone.mesh.link_down(self.first, self.lone.now)
        self.assertIs(self.feed.parent, second)
        self.assertEqual(self.feed.counters.orphaned, 0)

    def test_and_when_the_first_gives_its_place_away(self) -> None:
        second, _ = self.paired()
        self.flows(0.1, second)
        self.lone.accept(self.first, Prune(KEY, Refusal.FULL, (), 10_000))
        self.assertIs(self.feed.parent, second)
        self.assertEqual(self.pen.of(Prune), [Prune(KEY)])

    def test_when_both_fall_silent_another_one_is_found(self) -> None:
        second, _ = self.paired()
        self.flows(0.5, second)
        third, pen = self.lone.neighbour(4)
        self.lone.pass_time(0.2)
        self.lone.accept(third, have(self.feed.top + 20))
        self.assertEqual([graft.second for graft in pen.of(Graft)], [False])

    def test_one_that_brings_nothing_new_does_not_become_the_first(self) -> None:
        second, _ = self.paired()
        self.flows(0.5, second)
        for _ in range(30):
            self.lone.again(second, self.feed.top)
            self.lone.pass_time(1 / RATE)
        self.assertIs(self.feed.parent, self.first)

    def test_a_second_that_falls_silent_is_left_and_another_one_asked(self) -> None:
        _, pen = self.paired()
        _, other = self.knows(4, way(4))
        self.flows(SILENT + SILENT_LEAST + 1.5)
        self.assertEqual(pen.of(Prune), [Prune(KEY)])
        self.assertEqual([graft.second for graft in self.is_asked(other)], [True])

    def test_a_second_that_loses_much_is_left(self) -> None:
        second, pen = self.paired()
        for place in range(500):
            self.flows(1 / RATE, second if place % 5 else None)
            if self.feed.second is None:
                break
        self.assertEqual(pen.of(Prune), [Prune(KEY)])

    def test_one_that_loses_a_little_is_not(self) -> None:
        second, pen = self.paired()
        for place in range(1_000):
            self.flows(1 / RATE, second if place % 20 else None)
        self.assertEqual(pen.of(Prune), [])

    def test_a_pause_of_the_source_ends_nothing(self) -> None:
        second, pen = self.paired()
        self.flows(0.5, second)
        self.lone.pass_time(2.5)
        self.assertEqual(pen.of(Prune), [])
        self.assertIs(self.feed.second, second)

    def test_a_second_whose_way_goes_over_the_first_now_is_left(self) -> None:
        second, pen = self.paired()
        self.says(second, way(2, 3))
        self.flows(1.1)
        self.assertEqual(pen.of(Prune), [Prune(KEY)])
        self.assertIsNone(self.feed.second)

    def test_a_second_that_needs_the_place_is_not_asked_for_a_while(self) -> None:
        second, pen = self.paired()
        self.lone.accept(second, Prune(KEY, Refusal.FULL, (), 10_000))
        self.assertEqual(pen.of(Prune), [Prune(KEY)])  # it need not send until the place is needed
        self.flows(5.0, ways=0)
        self.assertEqual(pen.of(Graft), [])

    def test_a_second_that_leads_away_is_not_followed(self) -> None:
        second, _ = self.paired()
        self.flows(0.1, second)
        self.assertTrue(self.feed.refuses(second, self.feed.top + 1_000_000, 0, self.lone.now))
        self.assertFalse(self.feed.refuses(second, self.feed.top + 1, 0, self.lone.now))


class LagTest(Case):
    def test_what_the_first_has_lost_is_given_the_time_of_the_others_lag(self) -> None:
        second, _ = self.paired()
        lag = 8  # packets
        for _ in range(10):  # beacons
            number = self.feed.top + 1
            self.lone.data(self.first, number, flags=BEACON)
            self.lone.pass_time(lag / RATE)
            self.lone.again(second, number, flags=BEACON)
            self.flows(0.1, second)
        self.assertLess(abs(self.feed.gaps.lag - lag / RATE), 0.02)
        self.pen.said.clear()
        lost = self.feed.top + 1
        self.lone.data(self.first, lost + 1)
        for number in range(lost + 2, lost + 2 + lag):
            self.lone.pass_time(1 / RATE)
            self.lone.data(self.first, number)
        self.assertEqual(self.pen.of(Nack), [])
        self.lone.data(second, lost)
        self.assertEqual((self.feed.missing, self.feed.counters.filled), ({}, 1))

    def test_what_both_have_lost_is_asked_for_after_that(self) -> None:
        self.paired()
        self.feed.gaps.lag = 0.1
        lost = self.feed.top + 1
        self.lone.data(self.first, lost + 1)
        self.lone.pass_time(0.1)
        self.assertEqual(self.pen.of(Nack), [])
        self.lone.pass_time(GUARD + 0.02)
        self.assertEqual(self.pen.of(Nack)[0], Nack(KEY, (Range(lost, lost),)))
        self.assertLess(0.1 + GUARD, GAP_WAIT + 0.1)

    def test_with_one_feed_again_there_is_no_lag(self) -> None:
        second, _ = self.paired()
        self.feed.gaps.lag = 0.1
        self.lone.mesh.link_down(second, self.lone.now)
        self.assertEqual(self.feed.gaps.lag, 0.0)

    def test_a_second_that_is_surely_earlier_becomes_the_first_and_both_are_told(self) -> None:
        second, pen = self.paired()
        for _ in range(12):
            number = self.feed.top + 1
            self.lone.data(second, number, flags=BEACON)
            self.lone.accept(second, have(number, path=way(3), cost=10_000, beacon=True))
            self.lone.pass_time(0.05)
            self.lone.again(self.first, number, flags=BEACON)
            self.flows(1.0, second, ways=0)
        self.assertIs(self.feed.parent, second)
        self.assertIs(self.feed.second, self.first)
        self.assertEqual([graft.second for graft in self.pen.of(Graft)], [True])
        self.assertEqual([graft.second for graft in pen.of(Graft)], [False])
        self.assertEqual((self.pen.of(Prune), pen.of(Prune)), ([], []))


class PlacesTest(TestCase):
    """Two slots, and a parent."""

    def setUp(self) -> None:
        self.lone = Lone(Settings(uplink=2_800))
        self.lone.fed_by(2)
        self.feed = self.lone.feed()

    def graft(
        self, number: int, *, second: bool, key: StreamKey = KEY, uplink: int = 0
    ) -> tuple[Neighbour, Pen]:
        neighbour, pen = self.lone.neighbour(number, uplink=uplink)
        pen.said.clear()
        self.lone.accept(neighbour, Graft(key, 190, (), second))
        return neighbour, pen

    def test_a_second_feed_takes_a_free_place_and_needs_nothing_of_what_was(self) -> None:
        child, pen = self.graft(3, second=True)
        self.assertEqual((self.feed.takers, pen.resent), ((child,), []))

    def test_it_takes_nobodys_place_whatever_it_carries(self) -> None:
        self.graft(3, second=False)
        self.graft(4, second=False)
        rich, pen = self.graft(5, second=True, uplink=100_000)
        self.assertEqual(pen.of(Prune)[0].refusal, Refusal.FULL)
        self.assertNotIn(rich, self.feed.takers)

    def test_who_has_no_other_parent_takes_its_place_at_once(self) -> None:
        second, pen = self.graft(3, second=True)
        self.graft(4, second=False)
        child, _ = self.graft(5, second=False)
        self.assertEqual(pen.of(Prune)[0].refusal, Refusal.FULL)
        self.assertIn(child, self.feed.takers)
        self.assertNotIn(second, self.feed.takers)

    def test_also_where_it_is_one_of_another_stream(self) -> None:
        self.graft(3, second=False)
        second, pen = self.graft(4, second=True)
        other = KEY._replace(source=9)
        self.lone.data(self.feed.parent, 201)  # type: ignore[arg-type]
        feed = self.lone.mesh.feed_for(other, self.feed.parent, self.lone.now)  # type: ignore[arg-type]
        assert feed is not None
        feed.took(200, 1_250, 200, 0, 0, self.feed.parent, self.lone.now)
        child, _ = self.graft(5, second=False, key=other)
        self.assertEqual(pen.of(Prune)[0].refusal, Refusal.FULL)
        self.assertEqual((feed.takers, second in self.feed.takers), ((child,), False))

    def test_places_with_second_feeds_are_told_as_such(self) -> None:
        self.graft(3, second=True)
        load = self.feed.held().load
        self.assertEqual((load.free, load.lent), (1, False))
        self.graft(4, second=True)
        load = self.feed.held().load
        self.assertEqual((load.free, load.lent), (2, True))
        self.graft(5, second=False)
        self.graft(6, second=False)
        load = self.feed.held().load
        self.assertEqual((load.free, load.lent), (0, False))

    def test_a_second_that_has_lost_its_first_says_so_and_stays(self) -> None:
        child, _ = self.graft(3, second=True)
        self.lone.accept(child, Graft(KEY, 201))
        self.graft(4, second=False)
        _, pen = self.graft(5, second=False)
        self.assertEqual(pen.of(Prune)[0].refusal, Refusal.FULL)
        self.assertIn(child, self.feed.takers)

    def test_who_leaves_leaves_no_trace(self) -> None:
        child, _ = self.graft(3, second=True)
        self.lone.accept(child, Prune(KEY))
        self.assertEqual((self.feed.brood.seconds, self.feed.slots.lent()), ({}, 0))


class HallTest(TestCase):
    """A sender, two relays and one who is fed by both; its cables are longer the one way than the other."""

    def setUp(self) -> None:
        self.hall = Hall()
        self.sender, self.left, self.right = (self.hall.person() for _ in range(3))
        self.viewer = self.hall.person(uplink=0, feeds=2)
        self.hall.unreachable = {person.mesh.node for person in self.hall.people}  # but by these cables
        for relay, rtt in ((self.left, 0.02), (self.right, 0.03)):
            self.hall.cable(self.sender, relay, rtt)
            self.hall.cable(self.viewer, relay, rtt)
        self.hall.play(self.sender, 12.0)

    def first_and_second(self) -> tuple[Person, Person]:
        by_node = {person.mesh.node: person for person in self.hall.people}
        feed = self.viewer.feed
        assert feed.parent and feed.second
        return by_node[feed.parent.node], by_node[feed.second.node]

    def dies(self, person: Person) -> None:
        for cable in person.cables:
            cable.cut()

    def longest_gap(self, since: int) -> float:
        times = sorted(time for number, time in self.viewer.got.items() if number >= since)
        return max(later - earlier for earlier, later in pairwise(times))

    def test_both_feed_and_nothing_is_a_fault(self) -> None:
        doubles, copies = self.viewer.doubles, self.viewer.copies
        self.hall.play(self.sender, 5.0)
        self.assertEqual(self.viewer.doubles, doubles)
        self.assertGreater(self.viewer.copies, copies + 490)

    def test_whichever_dies_no_packet_is_missed_or_asked_for(self) -> None:
        for which in (0, 1):
            with self.subTest(which=which):
                self.setUp()
                asked, since = self.viewer.feed.counters.asked, self.hall.next
                self.dies(self.first_and_second()[which])
                self.hall.play(self.sender, 3.0)
                self.hall.rest(0.2)
                self.assertEqual([n for n in range(since, self.hall.next) if n not in self.viewer.got], [])
                self.assertEqual(self.viewer.feed.counters.asked, asked)
                self.assertLess(self.longest_gap(since - 5), 4 / RATE)

    def test_with_one_feed_there_is_a_gap(self) -> None:
        self.viewer.mesh.settings = self.viewer.mesh.settings._replace(feeds=1)
        self.hall.play(self.sender, 3.0)
        self.assertIsNone(self.viewer.feed.second)
        parent = next(p for p in self.hall.people if p.mesh.node == self.viewer.feed.parent.node)  # type: ignore[union-attr]
        since = self.hall.next
        self.dies(parent)
        self.hall.play(self.sender, 3.0)
        self.assertGreater(self.longest_gap(since - 5), 4 / RATE)

    def test_what_one_loses_the_other_brings(self) -> None:
        first, _ = self.first_and_second()
        (cable,) = (cable for cable in first.cables if self.viewer in cable.ends)
        cable.lost = lambda what: getattr(what, "number", 1) % 10 == 0
        counters = self.viewer.feed.counters
        asked, since = counters.asked, self.hall.next
        self.hall.play(self.sender, 5.0)
        self.hall.rest(0.2)
        self.assertEqual([n for n in range(since, self.hall.next) if n not in self.viewer.got], [])
        self.assertEqual(counters.asked, asked)
        self.assertGreater(counters.filled, 30)
