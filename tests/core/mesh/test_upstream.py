from itertools import pairwise
from typing import Any

from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import DEFER, LIVE
from multicastmw.core.mesh.silence import LEAPS
from multicastmw.wire.data import BEACON, RETRANSMITTED
from multicastmw.wire.mesh import Graft, Have, Nack, Prune, Range, Refusal, StreamKey
from tests.core.mesh.kit import GROUP, KEY, Hall, Lone, Pen, have, sample_of


class JoiningTest(TestCase):
    def setUp(self) -> None:
        self.lone = Lone()
        self.near, self.near_pen = self.lone.neighbour(2, 0.02)
        self.far, self.far_pen = self.lone.neighbour(3, 0.2)

    def test_who_announces_a_stream_is_asked_for_it_from_its_first_packet(self) -> None:
        self.lone.accept(self.far, have(9))
        (graft,) = self.far_pen.of(Graft)
        self.assertEqual((graft.stream, graft.sequence), (KEY, 0))

    def test_a_stream_that_runs_for_long_is_taken_from_where_it_is(self) -> None:
        self.lone.accept(self.far, have(5_000))
        self.assertEqual(self.far_pen.of(Graft)[0].sequence, 5_000)

    def test_nobody_asks_for_what_is_not_wanted_here(self) -> None:
        lone = Lone(wanted=False)
        neighbour, pen = lone.neighbour(2)
        lone.accept(neighbour, have(9))
        lone.pass_time(1.0)
        self.assertEqual(pen.of(Graft), [])

    def test_who_does_not_answer_is_followed_by_another(self) -> None:
        self.lone.accept(self.near, have(9))
        self.lone.accept(self.far, have(9))
        self.assertEqual(len(self.near_pen.of(Graft)), 1)
        self.lone.pass_time(0.1)
        self.assertEqual(len(self.far_pen.of(Graft)), 1)

    def test_who_is_full_is_left_in_peace_and_those_it_names_are_dialled(self) -> None:
        self.lone.accept(self.near, have(9))
        self.lone.accept(self.far, have(9))
        self.near_pen.said.clear()
        self.lone.accept(self.near, Prune(KEY, Refusal.FULL, (sample_of(77),), 10_000))
        self.assertEqual([sample.node for sample in self.lone.dialled], [sample_of(77).node])
        self.assertEqual(len(self.far_pen.of(Graft)), 1)
        self.lone.pass_time(1.0)
        self.assertEqual(self.near_pen.of(Graft), [])

    def test_data_of_the_one_that_was_asked_make_it_the_parent(self) -> None:
        self.lone.accept(self.near, have(9))
        self.lone.data(self.near, 10)
        self.assertIs(self.lone.feed().parent, self.near)
        self.assertIsNone(self.lone.feed().joining)

    def test_what_it_sends_again_at_once_does_so_too(self) -> None:
        self.lone.accept(self.near, have(9))
        self.lone.data(self.near, 9, flags=RETRANSMITTED)
        self.assertIs(self.lone.feed().parent, self.near)

    def test_a_second_one_who_pushes_is_pruned(self) -> None:
        self.lone.data(self.near, 10)
        self.lone.data(self.far, 11)
        self.assertIs(self.lone.feed().parent, self.near)
        self.assertEqual(self.far_pen.of(Prune), [Prune(KEY)])

    def test_who_is_below_us_is_not_asked(self) -> None:
        short = self.lone.mesh.short
        self.lone.accept(self.near, have(9, path=(5, short, 2)))
        self.assertEqual(self.near_pen.of(Graft), [])


class FedTest(TestCase):
    """Fed by one neighbour; another one has the same stream."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.parent, self.pen = self.lone.fed_by(2, rtt=0.1)
        self.other, self.other_pen = self.lone.neighbour(3, 0.02)
        self.child, self.child_pen = self.lone.neighbour(4)
        self.feed = self.lone.feed()
        self.lone.accept(self.child, Graft(KEY, 201))
        for pen in (self.pen, self.other_pen, self.child_pen):
            pen.said.clear()

    def test_silence_while_others_have_more_is_repaired_with_what_is_missing(self) -> None:
        self.lone.data(self.parent, 203)
        self.lone.pass_time(0.15)
        self.lone.accept(self.other, have(215))
        (graft,) = self.other_pen.of(Graft)
        self.assertEqual(graft.sequence, 204)
        self.assertEqual(graft.missing, (Range(201, 202), Range(204, 204)))  # the next one too: urgent

    def test_of_who_does_not_answer_and_speaks_the_graft_may_be_lost_and_it_is_asked_once_more(self) -> None:
        self.lone.pass_time(0.15)
        for highest in 205, 215, 225, 235:
            self.lone.accept(self.other, have(highest))
            self.lone.pass_time(0.1)
        self.assertEqual(len(self.other_pen.of(Graft)), 2)

    def test_silence_of_which_nobody_says_anything_is_polled(self) -> None:
        self.lone.accept(self.other, have(200))
        self.lone.pass_time(0.25)
        self.assertEqual(self.other_pen.of(Nack)[:1], [Nack(KEY, (Range(201, 201),))])
        self.assertEqual(self.child_pen.of(Nack), [])
        self.lone.data(self.other, 201, flags=RETRANSMITTED)
        self.assertEqual(self.other_pen.of(Graft)[0].sequence, 202)

    def knows_more(self) -> list[tuple[Neighbour, Pen]]:
        """Four beside the parent, in a large group: what they said last counts for a second and a half."""
        self.patch(type(self.lone.mesh.announcer), "fresh_within", 1.5)
        others = [(self.other, self.other_pen), *(self.lone.neighbour(number, 0.03) for number in (5, 6, 7))]
        for neighbour, _ in others:
            self.lone.accept(neighbour, have(200, path=(7, 3)))
        return others

    def test_where_nobody_answers_who_was_asked_others_are_looked_for(self) -> None:
        self.knows_more()
        counters = self.lone.mesh.counters
        self.lone.pass_time(0.2)
        self.assertEqual(0, counters.searches)
        self.lone.pass_time(0.15)
        self.assertEqual(1, counters.searches)
        self.lone.pass_time(0.8)
        self.assertEqual(1, counters.searches)

    def test_nobody_is_looked_for_where_the_source_pauses_and_who_is_asked_says_so(self) -> None:
        others = self.knows_more()
        asked = 0
        for _ in range(20):
            self.lone.pass_time(0.05)
            for neighbour, pen in others:
                if pen.of(Nack):
                    asked += 1
                    self.lone.accept(neighbour, have(200, path=(7, 3)))
        self.assertGreater(asked, 3)
        self.assertEqual(0, self.lone.mesh.counters.searches)

    def test_one_whose_way_does_not_go_over_the_parent_is_grafted_before_it_has_said_that_it_has_more(
        self,
    ) -> None:
        self.lone.accept(self.child, have(200, path=(7, self.lone.mesh.short, 4)))
        self.lone.accept(self.other, have(200, path=(7, 3)))
        self.lone.pass_time(0.15)
        self.assertEqual(len(self.other_pen.of(Graft)), 1)
        self.lone.pass_time(0.5)
        self.assertEqual(self.other_pen.of(Prune), [Prune(KEY)])  # it was a pause: as you were
        self.lone.data(self.parent, 201)
        self.assertIs(self.feed.parent, self.parent)

    def test_where_that_one_is_dead_too_the_next_one_is_grafted_but_not_everybody(self) -> None:
        pens = [self.lone.neighbour(number, 0.02) for number in range(10, 16)]
        for number, (neighbour, _) in enumerate(pens):
            self.lone.accept(neighbour, have(200, path=(7, 10 + number)))
        self.lone.pass_time(1.0)
        self.assertEqual(sum(len(pen.of(Graft)) for _, pen in pens), LEAPS)

    def test_where_all_ways_go_over_the_silent_one_others_are_dialled_at_once_but_not_in_every_pause(
        self,
    ) -> None:
        lone = self.lone
        path = 7, self.parent.node >> 32, 3
        lone.accept(self.other, have(200, path=path))
        lone.mesh.circles[GROUP].learn((sample_of(20), sample_of(21)), lone.now)
        lone.pass_time(0.15)
        self.assertEqual({sample.node for sample in lone.dialled}, {sample_of(20).node, sample_of(21).node})
        self.assertEqual(self.other_pen.of(Graft), [])
        for number in range(201, 205):
            lone.data(self.parent, number)
            for _ in range(5):  # it was a pause, and there are more
                lone.pass_time(0.2)
                lone.accept(self.other, have(number, path=path))
        self.assertEqual(lone.mesh.counters.searches, 1)

    def test_who_leaps_to_one_far_away_looks_for_others_meanwhile(self) -> None:
        lone = self.lone
        self.lone.mesh.link_down(self.other, lone.now)
        for rtt, searches in (0.15, 0), (0.5, 1):
            far, pen = lone.neighbour(int(rtt * 100), rtt)
            lone.accept(far, have(lone.feed().top, path=(7, 9)))
            lone.pass_time(0.15)
            self.assertEqual((len(pen.of(Graft)), lone.mesh.counters.searches), (1, searches))
            lone.mesh.link_down(far, lone.now)
            lone.data(self.parent, lone.feed().top + 1)
            lone.pass_time(0.01)

    def test_where_all_who_have_more_have_no_room_others_are_dialled_again_and_again(self) -> None:
        lone = self.lone
        for number in 5, 6, 7:  # so that none is missing; they are dead, too
            lone.neighbour(number)
        lone.pass_time(0.15)
        lone.accept(self.other, have(205))
        lone.accept(self.other, Prune(KEY, Refusal.FULL, (), 2_000))
        for members in (20, 21, 22), (30, 31, 32):
            lone.dialled.clear()
            lone.mesh.circles[GROUP].learn([sample_of(number) for number in members], lone.now)
            for tick in range(10):
                lone.accept(self.other, have(205 + members[0] + tick))
                lone.pass_time(0.1)
            self.assertTrue(
                {sample.node for sample in lone.dialled} & {sample_of(each).node for each in members}
            )

    def test_who_answers_a_poll_is_taken_instead_of_one_that_has_not_spoken_since(self) -> None:
        third, third_pen = self.lone.neighbour(5, 0.03)
        self.lone.accept(self.other, have(200, path=(7, 3)))
        self.lone.accept(third, have(200, path=(7, 5)))
        self.lone.pass_time(0.12)
        self.assertIs(self.feed.joining, self.other)
        self.lone.data(third, 201, flags=RETRANSMITTED)
        self.assertEqual(self.other_pen.of(Prune), [Prune(KEY)])
        self.assertEqual(third_pen.of(Graft)[0].sequence, 202)

    def test_one_who_has_spoken_since_and_is_nearer_is_asked_instead_of_one_far_away(self) -> None:
        far, far_pen = self.lone.neighbour(5, 0.3)
        self.lone.pass_time(0.12)
        self.lone.accept(far, have(215))
        self.assertIs(self.feed.joining, far)
        self.lone.accept(self.other, have(215))
        self.assertIs(self.feed.joining, self.other)
        self.assertEqual(far_pen.of(Prune), [Prune(KEY)])
        self.assertEqual(len(self.other_pen.of(Graft)), 1)

    def test_while_one_far_away_is_asked_the_nearest_are_polled(self) -> None:
        far, far_pen = self.lone.neighbour(5, 0.3)
        self.lone.accept(self.other, have(200))
        self.lone.pass_time(0.12)
        self.lone.accept(far, have(215))
        self.assertEqual(self.other_pen.of(Nack)[:1], [Nack(KEY, (Range(201, 201),))])
        self.lone.data(self.other, 201, flags=RETRANSMITTED)
        self.assertEqual(self.other_pen.of(Graft)[0].sequence, 202)
        self.assertEqual(far_pen.of(Prune), [Prune(KEY)])

    def test_one_who_would_hardly_answer_sooner_is_not(self) -> None:
        far, _ = self.lone.neighbour(5, 0.03)
        self.lone.pass_time(0.12)
        self.lone.accept(far, have(215))
        self.lone.accept(self.other, have(215))
        self.assertIs(self.feed.joining, far)
        self.assertEqual(self.other_pen.of(Graft), [])

    def test_who_is_refused_while_it_is_silent_asks_the_next_one_at_once(self) -> None:
        third, third_pen = self.lone.neighbour(5, 0.03)
        self.lone.pass_time(0.12)
        self.lone.accept(self.other, have(215))
        self.lone.accept(third, have(215))
        self.lone.accept(self.other, Prune(KEY, Refusal.FULL, (), 10_000))
        self.assertEqual(len(third_pen.of(Graft)), 1)

    def test_one_whose_way_goes_over_the_lost_parent_is_not(self) -> None:
        self.lone.accept(self.other, have(200, path=(7, self.parent.node >> 32, 3)))
        self.lone.pass_time(0.3)
        self.assertEqual(self.other_pen.of(Graft), [])

    def test_polls_become_rarer_while_the_source_pauses(self) -> None:
        self.lone.pass_time(LIVE)
        self.assertLessEqual(len(self.other_pen.of(Nack)), 6)
        self.lone.pass_time(10.0)
        self.assertEqual(self.other_pen.of(Nack), [])

    def test_children_are_told_once_to_wait_when_it_is_silent(self) -> None:
        self.lone.pass_time(0.3)
        told = [message for message in self.child_pen.of(Have) if message.streams[0].load.stalled]
        self.assertGreaterEqual(len(told), 1)
        self.assertTrue(self.feed.held().load.stalled)
        self.lone.data(self.parent, 201)
        self.assertFalse(self.feed.held().load.stalled)

    def test_who_is_told_to_wait_waits_and_tells_its_own_children(self) -> None:
        self.lone.accept(self.parent, have(200, stalled=True))
        self.assertTrue(self.child_pen.of(Have)[0].streams[0].load.stalled)
        self.lone.pass_time(0.15)
        self.lone.accept(self.other, have(215))
        self.assertEqual(self.other_pen.of(Graft), [])
        self.lone.pass_time(DEFER)
        self.lone.accept(self.other, have(240))
        self.assertEqual(len(self.other_pen.of(Graft)), 1)

    def test_who_is_stalled_itself_is_not_asked(self) -> None:
        self.lone.pass_time(0.15)
        self.lone.accept(self.other, have(215, stalled=True))
        self.assertEqual(self.other_pen.of(Graft), [])

    def test_a_link_that_is_down_is_repaired_at_once(self) -> None:
        self.lone.accept(self.other, have(200))
        self.lone.accept(self.other, have(205))
        self.lone.mesh.link_down(self.parent, self.lone.now)
        self.assertEqual(len(self.other_pen.of(Graft)), 1)
        self.assertEqual(self.feed.counters.orphaned, 1)

    def test_who_is_gone_is_followed_by_one_that_need_not_have_more(self) -> None:
        self.lone.accept(self.other, have(self.feed.top, path=(7, 3)))
        self.lone.mesh.link_down(self.parent, self.lone.now)
        (graft,) = self.other_pen.of(Graft)
        self.assertEqual(graft.missing, (Range(self.feed.top + 1, self.feed.top + 1),))
        self.assertTrue(self.child_pen.of(Have)[0].streams[0].load.stalled)

    def test_one_without_room_is_asked_only_where_no_other_is(self) -> None:
        self.lone.accept(self.other, have(self.feed.top, path=(7, 3), free=0))
        farther, pen = self.lone.neighbour(9, 0.3)
        self.lone.accept(farther, have(self.feed.top, path=(8, 4)))
        self.lone.mesh.link_down(self.parent, self.lone.now)
        self.assertEqual((0, 1), (len(self.other_pen.of(Graft)), len(pen.of(Graft))))
        self.lone.mesh.link_down(farther, self.lone.now)
        self.assertEqual(1, len(self.other_pen.of(Graft)))

    def test_nor_is_one_while_the_parent_is_only_silent(self) -> None:
        self.lone.accept(self.other, have(self.feed.top, path=(7, 3), free=0))
        self.lone.pass_time(0.3)
        self.assertEqual([], self.other_pen.of(Graft))

    def test_so_is_a_parent_that_leaves(self) -> None:
        self.lone.accept(self.other, have(self.feed.top, path=(7, 3)))
        self.lone.accept(self.parent, Prune(KEY))
        self.assertEqual(len(self.other_pen.of(Graft)), 1)

    def test_but_not_by_one_that_had_it_from_the_same_who_is_only_asked_for_the_next_packet(self) -> None:
        self.lone.accept(self.other, have(self.feed.top, path=(7, self.parent.node >> 32, 3)))
        self.lone.mesh.link_down(self.parent, self.lone.now)
        self.assertEqual(self.other_pen.of(Graft), [])
        self.assertEqual(len(self.other_pen.of(Nack)), 1)

    def test_of_a_stream_that_is_over_nothing_is_asked(self) -> None:
        self.lone.accept(self.other, have(self.feed.top, path=(7, 3)))
        self.lone.mesh.now = self.lone.now = self.lone.now + LIVE + 1
        self.lone.mesh.link_down(self.parent, self.lone.now)
        self.assertEqual(([], []), (self.other_pen.of(Graft), self.other_pen.of(Nack)))

    def beacons(self, count: int, lead: float) -> None:
        """So many, each at the other one earlier than at the parent."""
        for number in range(201, 201 + count):
            self.lone.accept(self.other, have(number, beacon=True))
            self.lone.pass_time(lead)
            self.lone.data(self.parent, number, flags=BEACON)
            if self.feed.joining is None:
                self.lone.pass_time(0.1)

    def test_who_has_the_beacons_earlier_becomes_the_parent_before_the_old_one_is_left(self) -> None:
        self.lone.pass_time(0)
        self.feed.upstream.better.switch_at = self.lone.now
        self.feed.began = self.lone.now - 100.0
        self.beacons(3, 0.05)
        self.assertEqual(len(self.other_pen.of(Graft)), 1)
        self.assertIs(self.feed.parent, self.parent)
        self.assertEqual(self.pen.of(Prune), [])
        self.lone.data(self.other, 210)
        self.assertIs(self.feed.parent, self.other)
        self.assertEqual(self.pen.of(Prune), [Prune(KEY)])

    def test_a_lead_within_the_noise_changes_nothing(self) -> None:
        self.feed.upstream.better.switch_at = self.lone.now
        self.beacons(8, 0.002)
        self.assertEqual(self.other_pen.of(Graft), [])

    def test_who_says_that_its_way_is_much_shorter_is_asked(self) -> None:
        self.feed.upstream.better.switch_at = self.lone.now
        self.lone.accept(self.parent, have(200, path=(7, 2), cost=80_000))
        self.lone.accept(self.other, have(200, path=(7, 3), cost=20_000))
        self.assertEqual(len(self.other_pen.of(Graft)), 1)

    def test_a_parent_that_gives_the_place_away_feeds_until_another_one_does(self) -> None:
        self.lone.accept(self.other, have(200, path=(7, 3), cost=90_000))
        self.lone.accept(self.parent, Prune(KEY, Refusal.FULL, (), 10_000))
        self.assertIs(self.feed.parent, self.parent)
        self.assertEqual(len(self.other_pen.of(Graft)), 1)
        self.lone.data(self.parent, 201)
        self.lone.data(self.other, 202)
        self.assertIs(self.feed.parent, self.other)

    def test_a_parent_that_leaves_is_left(self) -> None:
        self.lone.accept(self.other, have(205))
        self.lone.accept(self.parent, Prune(KEY))
        self.assertIsNone(self.feed.parent)
        self.assertEqual(len(self.other_pen.of(Graft)), 1)

    def test_a_refusal_lasts_no_longer_than_ten_minutes_whatever_it_says(self) -> None:
        self.lone.accept(self.parent, Prune(KEY, Refusal.MISBEHAVED, (), 0xFFFFFFFF))
        self.assertLessEqual(self.feed.theirs[self.parent].refused_until, self.lone.now + 600)

    def test_who_wants_it_no_more_prunes_its_parent(self) -> None:
        self.feed.wanted = False
        self.feed.unwanted(self.lone.now)
        self.assertEqual(self.pen.of(Prune), [])  # a child is there
        self.lone.accept(self.child, Prune(KEY))
        self.feed.unwanted(self.lone.now)
        self.assertEqual(self.pen.of(Prune), [Prune(KEY)])
        self.assertIsNone(self.feed.parent)

    def test_where_nobody_is_left_members_are_dialled_who_carry_something(self) -> None:
        circle = self.lone.mesh.circles[self.feed.key.group]
        circle.learn((sample_of(20), sample_of(21)), self.lone.now)
        for neighbour in (self.parent, self.other, self.child):
            self.lone.mesh.link_down(neighbour, self.lone.now)
        self.feed.wanted = True
        self.lone.pass_time(0.8)
        self.assertEqual(
            {sample.node for sample in self.lone.dialled}, {sample_of(20).node, sample_of(21).node}
        )


class StreamTest(TestCase):
    def test_a_slow_stream_has_its_own_patience(self) -> None:
        lone = Lone()
        parent, _ = lone.neighbour(2)
        other, other_pen = lone.neighbour(3)
        for number in range(12):
            lone.data(parent, number)
            lone.pass_time(0.5)
        lone.accept(other, have(12))
        self.assertEqual(other_pen.of(Graft), [])
        lone.pass_time(1.4)
        lone.accept(other, have(14))
        self.assertEqual(other_pen.of(Graft), [])  # the parent's may be on its way
        lone.pass_time(0.45)
        self.assertEqual(len(other_pen.of(Graft)), 1)

    def test_three_in_a_row_from_the_origin_lose_nothing_when_the_stream_begins(self) -> None:
        hall = Hall()
        first, second, third = hall.person(), hall.person(), hall.person()
        hall.cable(first, second)
        hall.cable(second, third)
        hall.play(first, 1.0)
        hall.rest(0.5)
        self.assertEqual(sorted(second.got), list(range(100)))
        self.assertEqual(sorted(third.got), list(range(100)))
        self.assertEqual(second.doubles + third.doubles, 0)

    def test_who_is_not_pushed_to_asks_and_has_it_from_the_first_packet(self) -> None:
        hall = Hall()
        origin = hall.person(uplink=1_250)
        others = [hall.person() for _ in range(3)]
        for other in others:
            hall.cable(origin, other)
        hall.cable(others[0], others[1])
        hall.cable(others[1], others[2])
        hall.play(origin, 1.0)
        hall.rest(0.5)
        self.assertEqual(len(origin.feed.children), 1)
        for other in others:
            self.assertEqual(sorted(other.got), list(range(100)))

    def test_one_lost_packet_in_ten_is_there_within_the_deadline(self) -> None:
        hall = Hall()
        origin, relay, leaf = hall.person(), hall.person(), hall.person()
        for one, other in ((origin, relay), (relay, leaf)):
            cable = hall.cable(one, other)
            cable.lost = lambda what: (
                type(what).__name__ == "Stored" and not what.flags and what.number % 10 == 7
            )
        hall.play(origin, 3.0)
        hall.rest(1.5)
        self.assertEqual(sorted(leaf.got), list(range(300)))

    def test_who_comes_as_a_stream_begins_has_its_first_packets_also_where_they_are_lost(self) -> None:
        hall = Hall()
        origin, leaf = hall.person(), hall.person()
        hall.play(origin, 0.3)
        cable = hall.cable(origin, leaf)
        lost = [0, 1]
        cable.lost = lambda what: getattr(what, "number", None) in lost and bool(lost.pop(0) + 1)
        hall.play(origin, 0.5)
        hall.rest(0.5)
        self.assertEqual([], lost)
        self.assertEqual(sorted(leaf.got), list(range(80)))

    def test_the_last_packets_before_a_pause_come_again_also_from_an_only_parent(self) -> None:
        hall = Hall()
        origin, leaf = hall.person(), hall.person()
        cable = hall.cable(origin, leaf)
        last, seen = range(147, 150), set()

        def is_lost(what: Any) -> bool:
            number = getattr(what, "number", None)
            is_first = number in last and number not in seen
            seen.add(number)
            return is_first

        cable.lost = is_lost
        hall.play(origin, 1.5)
        self.assertNotIn(149, leaf.got)
        hall.rest(1.0)
        self.assertEqual(sorted(leaf.got), list(range(150)))

    def test_a_silent_parent_costs_less_than_half_a_second_and_no_packet(self) -> None:
        hall = Hall()
        origin, relay, other, leaf = (hall.person() for _ in range(4))
        hall.cable(origin, relay)
        hall.cable(origin, other)
        cables = [hall.cable(relay, leaf, 0.01), hall.cable(other, leaf, 0.05)]
        hall.play(origin, 3.0)
        (cut,) = [cable for cable in cables if cable.neighbours[leaf] is leaf.feed.parent]
        cut.cut()
        hall.play(origin, 3.0)
        hall.rest(0.5)
        times = sorted(leaf.got.values())
        self.assertLess(max(b - a for a, b in pairwise(times)), 0.5)
        self.assertEqual(len(leaf.got), 600)

    def test_of_two_streams_each_has_its_own_parent(self) -> None:
        lone = Lone()
        one, one_pen = lone.neighbour(2)
        other, other_pen = lone.neighbour(3)
        second = StreamKey(0x99 << 56, KEY.group, 5)
        lone.accept(one, have(3))
        lone.accept(other, have(3, key=second))
        self.assertEqual(one_pen.of(Graft)[0].stream, KEY)
        self.assertEqual(other_pen.of(Graft)[0].stream, second)

    def test_its_rate_is_measured_also_where_it_is_slow(self) -> None:
        lone = Lone()
        parent, _ = lone.neighbour(2)
        for number in range(30):
            lone.data(parent, number)
            lone.pass_time(2.0)
        self.assertTrue(0.4 < lone.feed().rate < 0.6)
