"""Promises: who breaks them is found by what it says itself, and left alone; who cannot keep them is not."""

from collections.abc import Callable

from twisted.trial.unittest import TestCase

from multicastmw.core.events import Event, LeftAlone
from multicastmw.core.mesh import conduct
from multicastmw.core.mesh.circle import Circle
from multicastmw.core.mesh.conduct import COUNTS, FALSE_LEAST, ONCE, Records
from multicastmw.core.mesh.feed import NEAR_NUMBERS
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import MISBEHAVED_BACK_OFF
from multicastmw.core.mesh.silence import DEFERRED_MOST
from multicastmw.core.mesh.suspicion import ANSWER, LATE, TRIAL
from multicastmw.wire.data import RETRANSMITTED
from multicastmw.wire.mesh import (
    About,
    Find,
    Graft,
    Kind,
    Meeting,
    Nack,
    Peers,
    Prune,
    Range,
    Refusal,
    Sample,
)
from tests.core.mesh.kit import GROUP, KEY, RATE, Cable, Hall, Lone, Pen, Stored, have, node_of, sample_of


class Case(TestCase):
    def setUp(self) -> None:
        self.lone = Lone()
        self.events: list[Event] = []
        self.lone.mesh.tell = self.events.append
        self.parent, self.pen = self.lone.fed_by(2)

    def balance(self, node: int) -> float:
        return self.lone.mesh.standing.records.balance(node, self.lone.now)

    def feed_on(self, by: Neighbour, seconds: float) -> None:
        self.lone.data(by, *range(self.top + 1, self.top + 1 + int(seconds * RATE)), apart=1 / RATE)

    def keeps_back_twice(self) -> None:
        for _ in range(2):
            self.lone.feed().upstream.keeps_back(self.parent, self.lone.now)
            self.lone.now += ONCE

    @property
    def top(self) -> int:
        return self.lone.feed().top


class SilentParentTest(Case):
    """It is asked for the next packet while somebody else says that there is more."""

    def setUp(self) -> None:
        super().setUp()
        self.other, self.other_pen = self.lone.neighbour(3, 0.05)
        self.number = self.top + 1
        for _ in range(30):
            self.lone.accept(self.other, have(self.top + 20))
            self.lone.pass_time(0.01)

    def test_it_is_asked_once(self) -> None:
        self.assertEqual([nack.missing for nack in self.pen.of(Nack)], [(Range(self.number, self.number),)])

    def test_who_has_it_and_sends_nothing_on_while_the_stream_goes_on_kept_it_back(self) -> None:
        self.lone.data(self.parent, self.number, flags=RETRANSMITTED)
        self.feed_on(self.other, 1.0)
        self.assertEqual(self.lone.feed().counters.kept_back, 1)
        self.assertLess(self.balance(self.parent.node), -5)

    def test_who_says_that_it_has_it_and_sends_nothing_on_kept_it_back(self) -> None:
        self.lone.accept(self.parent, have(self.number + 5))
        self.feed_on(self.other, 1.0)
        self.assertEqual(self.lone.feed().counters.kept_back, 1)

    def test_whose_packets_the_network_lost_for_a_moment_is_innocent(self) -> None:
        self.lone.data(self.parent, self.number, flags=RETRANSMITTED)
        self.feed_on(self.other, 0.2)
        self.lone.feed().doubled(self.top, 0, self.parent, self.lone.now)
        self.feed_on(self.other, 1.0)
        self.assertEqual(self.lone.feed().counters.kept_back, 0)
        self.assertGreaterEqual(self.balance(self.parent.node), 0)

    def test_who_sends_on_what_is_old_by_then_is_not(self) -> None:
        self.lone.data(self.parent, self.number, flags=RETRANSMITTED)
        for back in range(10):
            self.feed_on(self.other, 0.1)
            self.lone.feed().doubled(self.number - back, 0, self.parent, self.lone.now)
        self.assertEqual(self.lone.feed().counters.kept_back, 1)

    def test_where_the_stream_does_not_go_on_nobody_kept_anything_back(self) -> None:
        self.lone.data(self.parent, self.number, flags=RETRANSMITTED)
        self.lone.data(self.other, self.number + 1)
        self.lone.pass_time(TRIAL + 1.0)
        self.assertEqual(self.lone.feed().counters.kept_back, 0)

    def test_it_is_left_when_it_has_sent_something_and_not_before(self) -> None:
        self.lone.feed().upstream.graft(self.other, self.lone.now)
        self.feed_on(self.other, 0.1)
        self.assertIs(self.lone.feed().parent, self.other)
        self.assertEqual(self.pen.of(Prune), [])
        self.lone.feed().doubled(self.top, 0, self.parent, self.lone.now)
        self.assertEqual(len(self.pen.of(Prune)), 1)
        self.assertEqual(self.parent.score, 0)

    def test_who_says_nothing_at_all_is_left_when_it_is_not_expected_any_more(self) -> None:
        self.lone.feed().upstream.graft(self.other, self.lone.now)
        self.feed_on(self.other, ANSWER + 2.0)
        self.assertEqual(len(self.pen.of(Prune)), 1)
        self.assertEqual(self.lone.feed().counters.kept_back, 0)

    def test_who_says_that_it_lacks_it_is_innocent(self) -> None:
        self.lone.accept(self.parent, have(self.number - 1))
        self.lone.accept(self.parent, have(self.number + 5))
        self.lone.data(self.parent, self.number, flags=RETRANSMITTED)
        self.assertEqual(self.lone.feed().counters.kept_back, 0)

    def test_who_repairs_its_own_feed_is_innocent(self) -> None:
        self.lone.accept(self.parent, have(self.number + 5, stalled=True))
        self.lone.data(self.parent, self.number, flags=RETRANSMITTED)
        self.assertEqual(self.lone.feed().counters.kept_back, 0)

    def test_who_sends_on_had_a_bad_network(self) -> None:
        self.lone.data(self.parent, self.number + 3)
        self.lone.data(self.parent, self.number, flags=RETRANSMITTED)
        self.assertEqual(self.lone.feed().counters.kept_back, 0)

    def test_twice_and_it_is_left_alone_with_one_clear_word(self) -> None:
        self.keeps_back_twice()
        self.assertTrue(self.pen.hung_up)
        (event,) = self.events
        self.assertIsInstance(event, LeftAlone)
        self.assertIn("left alone for 10 s: it does not send what it says that it has", event.sentence())
        self.assertEqual(self.lone.mesh.counters.left_for_conduct, 1)


class TrialTest(TestCase):
    """Four with cables: whoever feeds the last is put to the test."""

    def setUp(self) -> None:
        self.hall = Hall()
        self.source, *relays, self.last = (self.hall.person() for _ in range(4))
        for relay in relays:
            self.hall.cable(self.source, relay)
            self.hall.cable(relay, self.last)
        self.events: list[Event] = []
        for person in self.hall.people:
            person.mesh.tell = self.events.append
        self.hall.play(self.source, 3.0)

    def way_from_parent(self) -> Cable:
        (found,) = (
            cable for cable in self.last.cables if cable.neighbours[self.last] is self.last.feed.parent
        )
        return found

    def test_a_link_that_falters_for_a_moment_makes_no_liar_of_the_parent(self) -> None:
        for _ in range(4):
            way = self.way_from_parent()
            way.lost = lambda what: isinstance(what, Stored) and not what.flags & RETRANSMITTED
            self.hall.play(self.source, 0.18)
            way.lost = lambda what: False
            self.hall.play(self.source, 4.0)
        self.assertGreater(self.last.feed.counters.orphaned, 2)
        self.assertEqual(self.last.feed.counters.kept_back, 0)
        self.assertEqual(self.events, [])
        self.assertEqual(len(self.last.got), self.hall.next)

    def test_who_sends_on_nothing_and_all_that_it_is_asked_for_is_found(self) -> None:
        way = self.way_from_parent()
        bad = way.neighbours[self.last]
        way.lost = lambda what: isinstance(what, Stored) and not what.flags & RETRANSMITTED
        self.hall.play(self.source, 3.0)
        self.assertEqual(self.last.feed.counters.kept_back, 1)
        self.assertIsNot(self.last.feed.parent, bad)
        self.assertLess(self.last.mesh.standing.records.balance(bad.node, self.hall.loop.now), -10)


class LateParentTest(Case):
    def test_who_sends_what_is_older_than_what_it_has_announced_keeps_it_back(self) -> None:
        self.lone.accept(self.parent, have(self.top + 100, beacon=True, path=(7, 2), cost=1))
        self.feed_on(self.parent, LATE + 0.1)
        self.assertEqual(self.lone.feed().counters.kept_back, 1)

    def test_and_so_does_who_sends_it_when_it_is_asked_and_the_rest_late(self) -> None:
        was = self.top
        self.lone.accept(self.parent, have(was + 50, beacon=True, path=(7, 2), cost=1))
        self.lone.data(self.parent, *range(was + 1, was + 51), flags=RETRANSMITTED)
        for back in range(int((LATE + 0.1) * RATE)):
            self.lone.feed().doubled(was - 50 + back, 0, self.parent, self.lone.now)
            self.lone.pass_time(1 / RATE)
        self.assertEqual(self.lone.feed().counters.kept_back, 1)

    def test_the_last_packet_before_a_pause_is_asked_for_and_nobody_is_blamed(self) -> None:
        self.lone.accept(self.parent, have(self.top + 1, beacon=True, path=(7, 2), cost=1))
        self.lone.pass_time(LATE + 0.1)
        missing = Range(self.top + 1, self.top + 1)
        self.assertIn((missing,), [nack.missing for nack in self.pen.of(Nack)])
        self.lone.data(self.parent, self.top + 1, flags=RETRANSMITTED)
        self.lone.pass_time(1.0)
        self.feed_on(self.parent, 1.0)
        self.assertEqual(self.lone.feed().counters.kept_back, 0)

    def test_who_announces_and_sends_only_what_it_is_asked_for_keeps_the_rest_back(self) -> None:
        other, _ = self.lone.neighbour(3)
        self.lone.accept(self.parent, have(self.top + 10, beacon=True, path=(7, 2), cost=1))
        self.lone.pass_time(LATE + 0.1)
        self.lone.data(self.parent, self.top + 10, flags=RETRANSMITTED)
        self.feed_on(other, 1.0)
        self.assertEqual(self.lone.feed().counters.kept_back, 1)

    def test_a_second_late_and_always_so_it_is_left_alone_within_seconds(self) -> None:
        for _ in range(8):
            self.lone.accept(self.parent, have(self.top + int(RATE), beacon=True, path=(7, 2), cost=1))
            self.feed_on(self.parent, 0.95)
            if self.pen.hung_up:
                break
        self.assertTrue(self.pen.hung_up)

    def test_who_sends_it_in_time_is_a_good_parent(self) -> None:
        for _ in range(30):
            self.lone.accept(self.parent, have(self.top + 10, beacon=True, path=(7, 2), cost=1))
            self.feed_on(self.parent, 1.0)
        self.assertEqual(self.lone.feed().counters.kept_back, 0)
        self.assertGreater(self.balance(self.parent.node), 1)

    def test_one_packet_that_is_lost_blames_nobody(self) -> None:
        self.lone.accept(self.parent, have(self.top + 1, beacon=True, path=(7, 2), cost=1))
        self.lone.data(self.parent, *range(self.top + 2, self.top + 60), apart=1 / RATE)
        self.assertEqual(self.lone.feed().counters.kept_back, 0)

    def test_to_wait_for_its_repair_has_an_end(self) -> None:
        other, pen = self.lone.neighbour(3)
        for _ in range(int(DEFERRED_MOST / 0.1) + 5):
            self.lone.accept(self.parent, have(self.top, stalled=True))
            self.lone.accept(other, have(self.top + 50))
            self.lone.pass_time(0.1)
        self.assertGreater(len(pen.of(Graft)), 0)


class GraftTest(TestCase):
    def test_who_says_that_it_has_more_and_never_answers_a_graft_is_left_alone(self) -> None:
        lone = Lone()
        bad, pen = lone.neighbour(9)
        for number in range(300):
            lone.accept(bad, have(number, free=8))
            lone.pass_time(0.2)
            if pen.hung_up:
                break
        self.assertTrue(pen.hung_up)
        self.assertLessEqual(lone.feed().counters.grafts, 8)

    def test_who_answers_it_late_is_not_blamed(self) -> None:
        lone = Lone()
        lone.fed_by(2)
        slow, _ = lone.neighbour(9)
        lone.accept(slow, have(500, free=8))
        lone.feed().upstream.graft(slow, lone.now)
        lone.pass_time(0.3)
        balance = lone.mesh.standing.records.balance
        self.assertLess(balance(slow.node, lone.now), -4)
        lone.feed().doubled(200, 0, slow, lone.now)
        self.assertAlmostEqual(balance(slow.node, lone.now), 0.0, 1)


class NamedPeerTest(Case):
    """[peer:NAME] in node.ini: its link stays, and nothing of the mesh goes over it for a while."""

    def setUp(self) -> None:
        super().setUp()
        self.pen.is_named = True
        self.keeps_back_twice()

    def test_its_link_stays_up(self) -> None:
        self.assertEqual(self.pen.hung_up, "")
        self.assertEqual(self.lone.mesh.neighbours, {})

    def test_it_is_no_parent_and_not_listened_to(self) -> None:
        self.lone.accept(self.parent, have(500))
        self.assertIsNone(self.lone.mesh.feed_for(KEY, self.parent, self.lone.now))
        self.assertIsNone(self.lone.feed().parent)
        self.assertEqual(self.lone.mesh.counters.not_listened_to, 2)

    def test_when_the_time_is_over_it_is_a_neighbour_again(self) -> None:
        self.lone.pass_time(MISBEHAVED_BACK_OFF + 1.1)
        self.assertIs(self.lone.mesh.neighbours[self.parent.node], self.parent)

    def test_a_link_that_is_gone_meanwhile_does_not_come_back(self) -> None:
        self.lone.mesh.link_down(self.parent, self.lone.now)
        self.lone.pass_time(MISBEHAVED_BACK_OFF + 1.1)
        self.assertEqual(self.lone.mesh.neighbours, {})

    def test_nor_does_a_new_link_help(self) -> None:
        pen = Pen()
        pen.is_named = True
        self.lone.mesh.link_up(pen, sample_of(2), self.parent.capabilities, True, self.lone.now)
        self.assertEqual((self.lone.mesh.neighbours, pen.hung_up), ({}, ""))


class FalseSampleTest(Case):
    def tell(self, bad: Neighbour, count: int, number: Callable[[int], int]) -> None:
        for first in range(0, count, 4):
            samples = tuple(
                sample_of(1)._replace(node=number(each)) for each in range(first, min(count, first + 4))
            )
            self.lone.accept(bad, Peers(GROUP, Kind.SHUFFLE, 1, (bad.sample, *samples)))
            self.lone.now += 1.0

    def lie(self, bad: Neighbour, first: int = 1000, count: int = FALSE_LEAST) -> None:
        self.tell(bad, count, lambda each: (each + first) << 20)
        self.in_vain(first, count)

    def in_vain(self, first: int = 1000, count: int = FALSE_LEAST) -> None:
        """They are dialled."""
        for each in range(count):
            self.lone.mesh.not_reached((each + first) << 20, self.lone.now)

    def tells(self, by: Neighbour, kind: Kind, *members: Sample) -> None:
        self.lone.accept(by, Peers(GROUP, kind, 0, members))

    def learns(self, by: Neighbour, number: int, kind: Kind = Kind.SHUFFLE) -> bool:
        """Does it learn of that member, if `by` tells of it so?"""
        before: tuple[Sample, ...] = ()
        if kind == Kind.SHUFFLE:
            before = (by.sample,)
        elif kind == Kind.SHUFFLE_REPLY:
            self.circle.walks.expects_reply()
            before = self.lone.mesh.sample(), by.sample
        self.tells(by, kind, *before, sample_of(number))
        return node_of(number) in self.circle.passive

    @property
    def circle(self) -> Circle:
        return self.lone.mesh.circles[GROUP]

    def test_who_tells_of_members_that_are_not_there_is_not_believed_for_a_while(self) -> None:
        bad, pen = self.lone.neighbour(9)
        self.lie(bad)
        (event,) = self.events
        self.assertIn("is not believed for 10 s", event.sentence())
        self.assertEqual(self.lone.mesh.counters.false_samples, 1)
        kinds = Kind.SHUFFLE, Kind.SHUFFLE_REPLY, Kind.NEIGHBOUR_NO, Kind.FORWARD_JOIN
        for number, kind in enumerate(kinds, 40):
            self.assertFalse(self.learns(bad, number, kind), kind)
            good, _ = self.lone.neighbour(number - 20)
            self.assertTrue(self.learns(good, number, kind), kind)
        self.assertEqual(pen.hung_up, "")
        self.lone.pass_time(MISBEHAVED_BACK_OFF)
        self.assertTrue(self.learns(bad, 50))

    def test_its_link_and_its_place_stay(self) -> None:
        self.lie(self.parent)
        self.assertEqual(self.pen.hung_up, "")
        self.assertIs(self.lone.feed().parent, self.parent)
        self.assertIn(self.parent, self.lone.mesh.circles[GROUP].active)
        self.assertFalse(self.lone.feed().refuses(self.parent, self.top + 1, 0, self.lone.now))
        self.pen.of(Peers)
        self.learns(self.parent, 40)
        (answer,) = self.pen.of(Peers)
        self.assertEqual((Kind.SHUFFLE_REPLY, self.parent.node), (answer.kind, answer.samples[0].node))

    def test_whom_it_says_others_have_sent_is_not_heard_of_nor_dialled(self) -> None:
        bad, _ = self.lone.neighbour(9)
        self.lie(bad)
        self.lone.dialled.clear()
        self.circle.wants = 10
        self.tells(bad, Kind.FORWARD_JOIN, sample_of(40))
        self.tells(bad, Kind.SHUFFLE, sample_of(41), sample_of(42))
        self.lone.accept(bad, Prune(KEY, Refusal.FULL, (sample_of(43),), 1000))
        self.lone.feed().upstream.parent = bad
        self.lone.accept(bad, Prune(KEY, Refusal.FULL, (sample_of(44),), 1000))
        self.assertEqual([], self.lone.dialled)
        self.assertEqual(set(), {node_of(number) for number in range(40, 45)} & set(self.circle.passive))

    def test_no_relay_is_known_by_it(self) -> None:
        bad, _ = self.lone.neighbour(9)
        relays = [sample_of(number, flags=int(About.RELAY)) for number in (40, 41)]
        self.answers(bad, relays[0])
        self.lie(bad)
        self.answers(bad, relays[1])
        known = {sample.node for sample in self.lone.mesh.contacts.known_relays()}
        self.assertEqual({relays[0].node}, known - {self.lone.mesh.node})

    def answers(self, by: Neighbour, *members: Sample, estimate: int = 5) -> None:
        """As a relay that was asked."""
        self.lone.mesh.meeting._asked[GROUP] = {by.node: self.lone.now}
        self.lone.accept(by, Find(GROUP, Meeting.REPLY, members, estimate))

    def test_what_it_names_as_a_relay_is_hearsay_as_any_other(self) -> None:
        bad, _ = self.lone.neighbour(9)
        self.answers(bad, sample_of(40))
        self.lie(bad)
        self.circle.wants = 0
        self.lone.dialled.clear()
        self.answers(bad, sample_of(41), estimate=1 << 20)
        self.assertEqual([node_of(40)], list(self.circle._named))
        self.assertIn(node_of(41), self.circle.passive)
        self.assertEqual([], self.lone.dialled)  # no random neighbour is replaced by that one
        self.assertEqual(5, self.lone.mesh.meeting._estimates[GROUP])

    def test_of_what_was_told_before_it_is_doubted_once(self) -> None:
        bad, _ = self.lone.neighbour(9)
        self.lie(bad, count=3 * FALSE_LEAST)
        self.assertEqual(self.lone.mesh.counters.false_samples, 1)

    def test_of_an_answer_to_somebody_else_who_asked_is_led_back(self) -> None:
        bad, _ = self.lone.neighbour(9)
        asker, pen = self.lone.neighbour(10)
        self.lie(bad)
        self.circle.walks.back[asker.node] = asker
        self.lone.accept(bad, Peers(GROUP, Kind.SHUFFLE_REPLY, 0, (asker.sample, bad.sample, sample_of(40))))
        self.assertEqual([(asker.sample,)], [said.samples for said in pen.of(Peers)])

    def test_who_was_cut_off_for_a_moment_is_there(self) -> None:
        bad, _ = self.lone.neighbour(9)
        self.lie(bad, count=FALSE_LEAST - 1)
        self.tell(bad, 1, lambda each: 1000 << 20)
        again = sample_of(1)._replace(node=1000 << 20)
        self.lone.mesh.link_up(Pen(), again, bad.capabilities, True, self.lone.now)
        self.assertEqual(self.lone.mesh.counters.false_samples, 0)

    def test_the_ten_minutes_begin_with_the_first_that_was_dialled(self) -> None:
        bad, _ = self.lone.neighbour(9)
        self.lone.mesh.promised(bad, 1.0, self.lone.now)
        self.lone.now += COUNTS - 10.0
        self.lie(bad, count=8)
        self.lone.now += 20.0
        self.lie(bad, first=2000, count=4)
        self.assertEqual(self.lone.mesh.counters.false_samples, 1)

    def test_an_accomplice_who_comes_again_and_again_counts_once(self) -> None:
        bad, _ = self.lone.neighbour(9)
        for again in range(FALSE_LEAST - 1):
            self.lie(bad, first=1000 + again, count=1)
            self.tell(bad, 1, lambda each: node_of(30))
            self.lone.mesh.link_down(self.lone.neighbour(30)[0], self.lone.now)
        self.assertEqual(self.lone.mesh.counters.false_samples, 1)

    def test_the_next_time_it_is_for_twice_as_long(self) -> None:
        bad, _ = self.lone.neighbour(9)
        self.lie(bad)
        self.lone.pass_time(MISBEHAVED_BACK_OFF)
        self.lie(bad, first=2000)
        self.lone.pass_time(2 * MISBEHAVED_BACK_OFF - 1.0)
        self.assertFalse(self.learns(bad, 50))
        self.lone.pass_time(1.1)
        self.assertTrue(self.learns(bad, 50))

    def test_also_one_whose_link_is_gone_when_that_is_found_out(self) -> None:
        bad, _ = self.lone.neighbour(9)
        self.tell(bad, FALSE_LEAST, lambda each: (each + 1000) << 20)
        self.lone.mesh.link_down(bad, self.lone.now)
        self.in_vain()
        self.assertEqual(self.lone.mesh.counters.false_samples, 1)
        again, pen = self.lone.neighbour(9)
        self.assertEqual((False, ""), (self.learns(again, 50), pen.hung_up))

    def test_who_was_dialled_long_ago_does_not_count(self) -> None:
        bad, _ = self.lone.neighbour(9)
        self.lie(bad, count=8)
        self.lone.now += COUNTS
        self.lie(bad, first=2000, count=8)
        self.assertEqual(self.lone.mesh.counters.false_samples, 0)
        self.lie(bad, first=3000, count=4)
        self.assertEqual(self.lone.mesh.counters.false_samples, 1)

    def test_who_tells_also_of_some_who_are_is_not(self) -> None:
        good, pen = self.lone.neighbour(9)
        self.tell(good, FALSE_LEAST, lambda each: node_of(20 + each))
        for each in range(2):
            self.lone.neighbour(20 + each)
        for each in range(2, FALSE_LEAST):
            self.lone.mesh.not_reached(node_of(20 + each), self.lone.now)
        self.assertEqual((pen.hung_up, self.lone.mesh.counters.false_samples), ("", 0))

    def test_a_member_that_is_not_reached_again_and_again_counts_once(self) -> None:
        """The way to it is cut, and the teller's is not: its lie it would be if there were many."""
        good, pen = self.lone.neighbour(9)
        for again in range(3 * FALSE_LEAST):
            member = (1000 + again % (FALSE_LEAST - 1)) << 20
            self.tell(good, 4, lambda each, member=member: member)
            self.lone.mesh.not_reached(member, self.lone.now)
        self.assertEqual((pen.hung_up, self.lone.mesh.counters.false_samples), ("", 0))

    def test_what_is_only_passed_on_is_nobodys_lie(self) -> None:
        good, pen = self.lone.neighbour(9)
        for each in range(FALSE_LEAST):
            samples = sample_of(30), sample_of(1)._replace(node=(each + 1000) << 20)
            self.lone.accept(good, Peers(GROUP, Kind.SHUFFLE, 1, samples))
            self.lone.mesh.not_reached(samples[1].node, self.lone.now)
            self.lone.now += 1.0
        self.assertEqual((pen.hung_up, self.lone.mesh.counters.false_samples), ("", 0))


class StolenTest(Case):
    """Packets in the origin's name, of somebody who is not the parent."""

    def refuses(self, by: Neighbour, number: int, flags: int = 0) -> bool:
        return self.lone.feed().refuses(by, number & 0xFFFFFFFF, flags, self.lone.now)

    def test_what_nobody_asked_for_is_refused_and_counted(self) -> None:
        thief, _ = self.lone.neighbour(9)
        self.lone.accept(thief, have(self.top))
        self.assertTrue(self.refuses(thief, self.top + 1))
        self.assertTrue(self.refuses(thief, self.top + 1, RETRANSMITTED))
        self.assertTrue(self.refuses(thief, self.top + (1 << 30)))
        self.assertEqual(self.lone.feed().counters.unasked_data, 3)

    def test_the_parent_may_send_and_who_is_to_be_it(self) -> None:
        self.assertFalse(self.refuses(self.parent, self.top + 1))
        other, _ = self.lone.neighbour(3)
        self.lone.feed().upstream.joining = other
        self.assertFalse(self.refuses(other, self.top + 1))

    def test_who_was_asked_may_answer_for_a_while_and_near_the_stream_only(self) -> None:
        other, _ = self.lone.neighbour(3)
        self.lone.feed().of(other).asked_at = self.lone.now
        self.assertFalse(self.refuses(other, self.top - 3, RETRANSMITTED))
        self.assertTrue(self.refuses(other, self.top + 2 * NEAR_NUMBERS, RETRANSMITTED))
        self.lone.now += 5.0
        self.assertTrue(self.refuses(other, self.top - 3, RETRANSMITTED))

    def test_what_an_old_parent_had_sent_already_is_taken(self) -> None:
        other, _ = self.lone.neighbour(3)
        self.lone.feed().upstream.joining = other
        self.lone.data(other, self.top + 1)
        self.assertIs(self.lone.feed().parent, other)
        self.assertFalse(self.refuses(self.parent, self.top + 1))
        self.lone.now += 5.0
        self.assertTrue(self.refuses(self.parent, self.top + 1))

    def test_where_there_is_no_parent_nobody_moves_the_stream_far(self) -> None:
        thief, _ = self.lone.neighbour(9)
        self.lone.feed().upstream.parent = None
        self.assertFalse(self.refuses(thief, self.top + 1))
        self.assertTrue(self.refuses(thief, self.top + (1 << 20)))

    def test_not_even_the_parent_leads_it_away_while_it_flows(self) -> None:
        for _ in range(4):
            self.assertTrue(self.refuses(self.parent, self.top + (1 << 30)))
            self.feed_on(self.parent, ONCE)
        self.assertTrue(self.pen.hung_up)

    def test_where_nothing_came_for_long_the_parent_may_go_on_anywhere(self) -> None:
        self.lone.now += 5.0
        self.assertFalse(self.refuses(self.parent, self.top + (1 << 30)))

    def test_who_goes_on_after_a_prune_is_left(self) -> None:
        thief, pen = self.lone.neighbour(9)
        for _ in range(200):
            self.assertTrue(self.refuses(thief, self.top + 1))
            self.feed_on(self.parent, 0.1)
            if pen.hung_up:
                break
        self.assertTrue(pen.hung_up)
        self.assertGreater(len(pen.of(Prune)), 1)


class BoundsTest(TestCase):
    def test_records_and_tellers_have_an_end(self) -> None:
        self.patch(conduct, "RECORDS_MAX", 10)
        self.patch(conduct, "TOLD_MAX", 10)
        records = Records()
        for node in range(100):
            records.credit(node, 1.0, 0.0)
            records.told(node, 1)
        self.assertEqual((len(records), len(records._tellers)), (10, 10))

    def test_of_what_is_broken_within_a_second_the_worst_counts_once(self) -> None:
        records = Records()
        for number in range(100):
            records.credit(1, conduct.UNANSWERED if number % 2 else conduct.DROPPED, 10 + number / 100)
        self.assertAlmostEqual(records.balance(1, 11.0), conduct.DROPPED, 0)
        records.credit(1, conduct.UNANSWERED, 11.5)
        self.assertAlmostEqual(records.balance(1, 11.5), conduct.DROPPED + conduct.UNANSWERED, 0)

    def test_half_is_forgotten_after_two_minutes(self) -> None:
        records = Records()
        records.credit(1, -8.0, 0.0)
        self.assertAlmostEqual(records.balance(1, 115.0), -4.0, 1)

    def test_twice_kept_back_within_half_a_minute_is_enough_and_once_a_quarter_is_not(self) -> None:
        records = Records()
        records.credit(1, 100.0, 0.0)  # a good parent for long
        self.assertEqual([records.credit(1, conduct.DROPPED, now) for now in (0, 30)], [True, False])
        self.assertTrue(all(records.credit(2, conduct.DROPPED, 900.0 * times) for times in range(20)))
