from twisted.trial.unittest import TestCase

from multicastmw.core.crowds import OF_ONE_NETWORK
from multicastmw.core.mesh.circle import NAMED, ROOM_REST, SAMPLES_TAKEN, SPARE
from multicastmw.core.mesh.near import CLOSE, DISTANCES
from multicastmw.core.mesh.neighbour import Choice, Neighbour, links_most
from multicastmw.core.mesh.settings import (
    FORWARD_TTL,
    OUTBOUND,
    OWN,
    PASSIVE,
    PASSIVE_AGE,
    PASSIVE_TTL,
    SHUFFLE,
    SHUFFLE_TTL,
    TRIAL,
    TRIALS,
    TRY_AGAIN,
    Settings,
)
from multicastmw.core.mesh.walks import REPLIES_DUE_MAX, WALKS_MAX
from multicastmw.wire.mesh import BASE, About, Find, Graft, Kind, Meeting, Peers
from tests.core.mesh.kit import GROUP, KEY, RATE, SIZE, Hall, Lone, have, node_of, sample_of


def trials_end(lone: Lone, parent: Neighbour) -> None:
    """While the stream goes on."""
    for _ in range(int((TRIAL + 1) * RATE)):
        lone.data(parent, lone.feed().top + 1)
        lone.pass_time(1 / RATE)


class AskedTest(TestCase):
    """What a member answers to others."""

    def setUp(self) -> None:
        self.lone = Lone(Settings(uplink=0))
        self.circle = self.lone.mesh.circles[GROUP]

    def asks(self, number: int, *, urgently: bool = False) -> list[Peers]:
        neighbour, pen = self.lone.neighbour(number, enters=False)
        self.lone.accept(neighbour, Peers(GROUP, Kind.NEIGHBOUR, int(urgently), (neighbour.sample,)))
        return [peers for peers in pen.of(Peers) if peers.kind in (Kind.NEIGHBOUR, Kind.NEIGHBOUR_NO)]

    def test_who_asks_becomes_a_neighbour_while_there_is_room(self) -> None:
        most = links_most(self.lone.mesh.capacity)
        answers = [self.asks(number)[0].kind for number in range(2, most + 3)]
        self.assertEqual(answers, [Kind.NEIGHBOUR] * most + [Kind.NEIGHBOUR_NO])
        self.assertEqual(len(self.circle.active), most)

    def test_who_has_no_other_is_taken_beyond_that_but_not_without_end(self) -> None:
        most = links_most(self.lone.mesh.capacity)
        for number in range(2, most + 20):
            self.asks(number, urgently=True)
        self.assertEqual(len(self.circle.active), most + SPARE)

    def test_who_is_refused_is_told_of_others(self) -> None:
        for number in range(2, links_most(0) + 2):
            self.asks(number)
        (no,) = self.asks(99)
        self.assertEqual(len(no.samples), 3)
        self.assertIn(node_of(99), self.circle.passive)

    def test_a_member_that_can_carry_much_has_more_neighbours(self) -> None:
        lone = Lone(Settings(uplink=20_000))
        self.assertGreater(links_most(lone.mesh.capacity), links_most(0))

    def test_a_third_of_the_links_is_kept_for_those_whom_nobody_can_dial(self) -> None:
        neighbour, _ = self.lone.neighbour(50, enters=False)
        neighbour.is_nat = True
        self.lone.accept(neighbour, Peers(GROUP, Kind.NEIGHBOUR, 0, (neighbour.sample,)))
        for number in range(2, 20):
            self.asks(number)
        self.assertEqual(len(self.circle.active), 1 + links_most(0) - links_most(0) // 3)

    def test_for_one_who_may_be_fed_from_here_the_guest_that_needs_us_least_has_to_go(self) -> None:
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        lone.fed_by(2)
        chosen, _ = lone.neighbour(3)
        lone.accept(chosen, have(200, path=(7, 3), cost=1))
        guests = []
        for number in range(10, 10 + links_most(lone.mesh.capacity) - len(circle.active)):
            guest, pen = lone.neighbour(number, dialled=False)
            lone.accept(guest, have(200, path=(7, number), cost=number * 1_000))
            guests.append((guest, pen))
        asker, pen = lone.neighbour(90, enters=False)
        lone.accept(asker, Peers(GROUP, Kind.NEIGHBOUR, 0, (asker.sample,)))
        self.assertIn(asker, circle.active)
        self.assertIn(chosen, circle.active)
        self.assertNotIn(guests[0][0], circle.active)
        self.assertEqual(guests[0][1].of(Peers)[-1].kind, Kind.DISCONNECT)
        late, pen = lone.neighbour(91, enters=False)  # one after the other
        lone.accept(late, Peers(GROUP, Kind.NEIGHBOUR, 0, (late.sample,)))
        self.assertEqual(pen.of(Peers)[-1].kind, Kind.NEIGHBOUR_NO)

    def test_a_guest_whom_nobody_can_dial_does_not_go_for_one_whom_others_can(self) -> None:
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        lone.fed_by(2)
        guests = []
        for number in range(10, 10 + links_most(lone.mesh.capacity) - len(circle.active)):
            guests.append(lone.neighbour(number, dialled=False)[0])
            lone.accept(guests[-1], have(200, path=(7, number), cost=number * 1_000))
        guests[0].is_nat = True
        asker, _ = lone.neighbour(90, enters=False)
        lone.accept(asker, Peers(GROUP, Kind.NEIGHBOUR, 0, (asker.sample,)))
        self.assertEqual({guests[1]}, set(guests) - set(circle.active))

    def test_nor_does_a_guest_go_that_is_the_only_one_whose_way_is_another_than_the_parents(self) -> None:
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        parent, _ = lone.fed_by(2)
        path = 7, parent.node >> 32
        lone.accept(parent, have(200, path=path))
        guests = []
        for number in range(10, 10 + links_most(lone.mesh.capacity) - len(circle.active)):
            guests.append(lone.neighbour(number, dialled=False)[0])
            lone.accept(guests[-1], have(200, path=(9, number) if number == 10 else (*path, number), cost=1))
        asker, _ = lone.neighbour(90, enters=False)
        lone.accept(asker, Peers(GROUP, Kind.NEIGHBOUR, 0, (asker.sample,)))
        self.assertEqual((True, True), (asker in circle.active, guests[0] in circle.active))

    def test_nobody_has_to_go_for_one_whom_nothing_would_feed_as_the_stream_is_silent(self) -> None:
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        lone.fed_by(2)
        while len(circle.active) < links_most(lone.mesh.capacity):
            lone.neighbour(10 + len(circle.active), dialled=False)
        lone.feed().upstream.silence.stall(lone.now)
        asker, pen = lone.neighbour(90, enters=False)
        lone.accept(asker, Peers(GROUP, Kind.NEIGHBOUR, 0, (asker.sample,)))
        self.assertEqual(pen.of(Peers)[-1].kind, Kind.NEIGHBOUR_NO)

    def test_our_own_choice_and_those_whom_we_feed_stay_whoever_asks(self) -> None:
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        lone.fed_by(2)
        while len(circle.active) < links_most(lone.mesh.capacity) - 1:
            lone.neighbour(10 + len(circle.active))
        child, _ = lone.neighbour(80, dialled=False)
        lone.accept(child, Graft(KEY, 201))
        asker, pen = lone.neighbour(90, enters=False)
        lone.accept(asker, Peers(GROUP, Kind.NEIGHBOUR, 0, (asker.sample,)))
        self.assertEqual(pen.of(Peers)[-1].kind, Kind.NEIGHBOUR_NO)

    def one_from(self, address: str, number: int, kind: Kind = Kind.NEIGHBOUR, urgency: int = 0) -> Neighbour:
        """Somebody asks."""
        neighbour, pen = self.lone.neighbour(number, enters=False, dialled=False)
        pen.address = address
        self.lone.accept(neighbour, Peers(GROUP, kind, urgency, (neighbour.sample,)))
        self.lone.now += ROOM_REST
        return neighbour

    def test_of_many_from_one_network_some_give_way_to_who_comes_from_elsewhere(self) -> None:
        chosen, pen = self.lone.neighbour(2)
        pen.address = "8.8.8.1"
        many = [self.one_from("8.8.8.8", 10 + number) for number in range(links_most(0) - 1)]
        self.assertLess(set(many), set(self.circle.active))
        others = [self.one_from(f"9.9.{number}.9", 50 + number) for number in range(8)]
        stay = links_most(0) - 1 - OF_ONE_NETWORK
        self.assertEqual({chosen, *many[:OF_ONE_NETWORK], *others[:stay]}, set(self.circle.active))
        self.assertEqual(stay, self.lone.mesh.counters.gave_way)

    def test_where_nobody_comes_from_elsewhere_they_have_all_links(self) -> None:
        many = [self.one_from("8.8.8.8", 10 + number) for number in range(9)]
        self.assertEqual(set(many[: links_most(0)]), set(self.circle.active))

    def test_nor_do_they_have_to_where_they_are_of_a_lab(self) -> None:
        many = [self.one_from("198.18.0.8", 10 + number) for number in range(links_most(0))]
        self.one_from("9.9.9.9", 50)
        self.assertEqual(set(many), set(self.circle.active))

    def test_those_whom_we_feed_give_way_only_to_who_has_nobody_and_parents_never(self) -> None:
        self.lone = lone = Lone()
        self.circle = lone.mesh.circles[GROUP]
        parent, pen = lone.neighbour(3, dialled=False)
        lone.data(parent, *range(200), apart=1 / RATE)
        pen.address = "8.8.8.8"
        fed, idle = [parent], []
        for number in range(links_most(lone.mesh.capacity) - 1):
            each, pen = lone.neighbour(10 + number, dialled=False)
            pen.address = "8.8.8.8"
            (fed if number < 4 else idle).append(each)
            if number < 4:
                lone.accept(each, Graft(KEY, 200))
        self.assertEqual(fed, [each for each in self.circle.active if self.circle.ways.in_use(each)])
        for number in range(len(idle) + 1):
            self.one_from(f"9.9.{number}.9", 50 + number)
            lone.data(parent, lone.feed().top + 1)
        self.assertEqual(fed, [each for each in fed + idle if each in self.circle.active])
        for number in range(SPARE + len(fed)):
            self.one_from(f"9.8.{number}.9", 100 + number, Kind.JOIN, 1)
            lone.data(parent, lone.feed().top + 1)
        self.assertEqual(fed[:2], [each for each in fed if each in self.circle.active])

    def test_who_is_not_in_the_group_says_no(self) -> None:
        neighbour, pen = self.lone.neighbour(2, enters=False)
        self.lone.accept(neighbour, Peers(77, Kind.NEIGHBOUR, 0, (neighbour.sample,)))
        self.assertEqual(pen.of(Peers)[0].kind, Kind.NEIGHBOUR_NO)

    def test_who_is_a_neighbour_and_asks_again_is_answered_again(self) -> None:
        neighbour, pen = self.lone.neighbour(2, enters=False)
        for _ in range(2):
            self.lone.accept(neighbour, Peers(GROUP, Kind.NEIGHBOUR, 0, (neighbour.sample,)))
            self.assertEqual([answer.kind for answer in pen.of(Peers)], [Kind.NEIGHBOUR])

    def test_an_answer_is_not_answered(self) -> None:
        neighbour, pen = self.lone.neighbour(2)
        pen.said.clear()
        self.lone.accept(neighbour, Peers(GROUP, Kind.NEIGHBOUR))
        self.assertEqual(pen.of(Peers), [])

    def test_who_leaves_is_known_of_still(self) -> None:
        neighbour, _ = self.lone.neighbour(2)
        self.lone.accept(neighbour, Peers(GROUP, Kind.DISCONNECT))
        self.assertEqual(self.circle.active, {})
        self.assertIn(neighbour.node, self.circle.passive)


class JoinTest(TestCase):
    def setUp(self) -> None:
        self.lone = Lone()
        self.circle = self.lone.mesh.circles[GROUP]
        self.old, self.old_pen = self.lone.neighbour(2)
        self.by, self.by_pen = self.lone.neighbour(3)
        self.old_pen.said.clear()
        self.by_pen.said.clear()

    def test_a_join_is_taken_and_goes_for_a_walk(self) -> None:
        newcomer, pen = self.lone.neighbour(9, enters=False)
        self.lone.accept(newcomer, Peers(GROUP, Kind.JOIN, 0, (newcomer.sample,)))
        self.assertIn(newcomer, self.circle.active)
        self.assertEqual(pen.of(Peers)[0].kind, Kind.NEIGHBOUR)
        (walk,) = self.old_pen.of(Peers) + self.by_pen.of(Peers)
        self.assertEqual(
            (walk.kind, walk.ttl, walk.samples[0].node), (Kind.FORWARD_JOIN, FORWARD_TTL, newcomer.node)
        )

    def test_a_walk_goes_on_to_somebody_else_and_is_remembered_on_its_way(self) -> None:
        self.lone.accept(self.by, Peers(GROUP, Kind.FORWARD_JOIN, PASSIVE_TTL, (sample_of(9),)))
        (walk,) = self.old_pen.of(Peers)
        self.assertEqual(walk.ttl, PASSIVE_TTL - 1)
        self.assertEqual(self.by_pen.of(Peers), [])
        self.assertIn(node_of(9), self.circle.passive)

    def test_a_walk_ends_with_a_link_where_neighbours_are_missing(self) -> None:
        self.lone.accept(self.by, Peers(GROUP, Kind.FORWARD_JOIN, 0, (sample_of(9),)))
        self.assertEqual([sample.node for sample in self.lone.dialled], [node_of(9)])

    def test_a_walk_that_says_it_goes_on_for_ever_does_not(self) -> None:
        self.lone.accept(self.by, Peers(GROUP, Kind.FORWARD_JOIN, 255, (sample_of(9),)))
        self.assertLess(self.old_pen.of(Peers)[0].ttl, FORWARD_TTL)

    def test_a_newcomer_asks_as_many_as_it_wants(self) -> None:
        lone = Lone()
        lone.mesh.circles[GROUP].learn([sample_of(number) for number in range(2, 20)], lone.now)
        lone.pass_time(0.1)
        self.assertEqual(len(lone.dialled), OWN)

    def test_who_is_not_reached_is_forgotten_and_another_one_is_tried(self) -> None:
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        circle.learn([sample_of(number) for number in range(2, 20)], lone.now)
        lone.pass_time(0.1)
        gone = lone.dialled[0].node
        lone.mesh.not_reached(gone, lone.now)
        lone.pass_time(0.1)
        self.assertNotIn(gone, circle.passive)
        self.assertEqual(len(lone.dialled), OWN + 1)

    def test_whoever_was_told_of_does_not_keep_one_who_has_nobody_from_those_whom_a_relay_names(self) -> None:
        """A neighbour told of members that are not there, and is gone."""
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        invented = [sample_of(number, uplink_class=20) for number in range(100, 100 + PASSIVE)]
        circle.learn(invented, lone.now)
        lone.pass_time(0.1)
        self.assertEqual(OWN, len(lone.dialled))
        there = tuple(sample_of(number) for number in range(2, 2 + OWN))
        for _ in range(2):  # another relay says the same
            lone.mesh.met(Find(GROUP, Meeting.REPLY, there), lone.now)
        lone.pass_time(0.1)
        self.assertEqual({each.node for each in there}, {each.node for each in lone.dialled[OWN:]})
        lone.pass_time(5.0)
        self.assertGreater(len(lone.dialled), 2 * OWN)  # they did not answer: the others again

    def test_beside_those_whom_relays_name_no_more_are_dialled_than_without_them(self) -> None:
        """Also where one of them is behind a NAT, and nobody can have it dial."""
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        circle.learn([sample_of(number) for number in range(100, 130)], lone.now)
        lone.pass_time(0.1)
        unreachable = sample_of(50, flags=int(About.NAT))
        for number in range(2, 2 + 2 * OWN):
            lone.mesh.met(Find(GROUP, Meeting.REPLY, (unreachable, sample_of(number))), lone.now)
            lone.pass_time(0.05)
        self.assertEqual(2 * OWN, len(lone.dialled))

    def test_of_those_whom_relays_have_named_the_last_are_remembered(self) -> None:
        lone = Lone()
        for first in range(2, 202, 10):
            told = tuple(sample_of(number) for number in range(first, first + 10))
            lone.mesh.met(Find(GROUP, Meeting.REPLY, told), lone.now)
        named = lone.mesh.circles[GROUP]._named
        self.assertEqual([node_of(number) for number in range(202 - NAMED, 202)], list(named))

    def test_who_had_no_room_is_not_asked_again_at_once(self) -> None:
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        full, pen = lone.neighbour(2, enters=False)
        circle.learn((full.sample,), lone.now)
        lone.pass_time(0.1)
        self.assertEqual(len(pen.of(Peers)), 1)
        lone.accept(full, Peers(GROUP, Kind.NEIGHBOUR_NO, 0, (full.sample,)))
        lone.pass_time(1.5)
        self.assertEqual(pen.of(Peers), [])


class RandomTest(TestCase):
    """Random neighbours of our own choice, however many have chosen this node."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.circle = self.lone.mesh.circles[GROUP]
        self.circle._joins_left = 0

    def guests(self, how_many: int) -> list[Neighbour]:
        return [self.lone.neighbour(10 + number, dialled=False)[0] for number in range(how_many)]

    def answers(self, number: int, kind: Kind = Kind.NEIGHBOUR) -> Neighbour:
        """It was dialled, is there, is asked, and says so."""
        neighbour, pen = self.lone.neighbour(number, enters=False)
        self.assertEqual([Kind.NEIGHBOUR], [peers.kind for peers in pen.of(Peers)])
        self.lone.accept(neighbour, Peers(GROUP, kind))
        return neighbour

    def named(self, *numbers: int) -> None:
        """By a relay; others were told of by those who are there."""
        self.circle.learn([sample_of(number) for number in range(50, 80)], self.lone.now)
        self.lone.mesh.met(Find(GROUP, Meeting.REPLY, tuple(map(sample_of, numbers))), self.lone.now)

    def chosen(self) -> set[int]:
        return {each.node >> 56 for each in self.circle.chosen(Choice.RANDOM)}

    def asked(self) -> set[int]:
        return {node >> 56 for node in self.circle.whom_it_asked(self.lone.now)}

    def test_whom_a_relay_names_is_chosen_though_four_have_chosen_us_and_told_us_of_others(self) -> None:
        guests = self.guests(OWN)
        self.named(40, 41, 42)
        for count in range(OUTBOUND):
            end = self.lone.now + 1.1 * SHUFFLE
            while not self.asked() and self.lone.now < end:
                self.lone.pass_time(0.1)
            self.assertEqual(count, len(self.chosen()))
            (asked,) = self.asked()
            self.assertIn(asked, (40, 41, 42))
            self.answers(asked)
        end = self.lone.now + 3 * SHUFFLE
        while self.lone.now < end:
            self.lone.pass_time(0.1)
            self.assertEqual((OUTBOUND, set()), (len(self.chosen()), self.asked()))
        self.assertLess(set(guests), set(self.circle.active))

    def test_another_one_takes_the_place_of_one_of_them_when_it_is_there_and_not_before(self) -> None:
        self.guests(OWN)
        old = {self.lone.neighbour(number)[0].node >> 56 for number in (2, 3)}
        self.named(40, 41)
        (asked,) = self.asked()
        self.named(40, 41)  # by another relay: one is asked already
        self.assertEqual(({asked}, old), (self.asked(), self.chosen()))
        self.answers(asked, Kind.NEIGHBOUR_NO)
        self.assertEqual(old, self.chosen())
        self.named(42)
        self.answers(42)
        self.assertEqual((OUTBOUND, True), (len(self.chosen()), 42 in self.chosen()))

    def test_whom_nobody_can_dial_joins_no_halves(self) -> None:
        self.guests(OWN)
        for number in (2, 3):
            self.lone.neighbour(number)
        hidden = sample_of(40, flags=int(About.NAT))
        self.lone.mesh.met(Find(GROUP, Meeting.REPLY, (hidden,)), self.lone.now)
        self.assertEqual(set(), self.asked())
        self.lone.mesh.met(Find(GROUP, Meeting.REPLY, (hidden, sample_of(41))), self.lone.now)
        self.assertEqual({41}, self.asked())

    def a_guest_goes(self, *own: Neighbour) -> None:
        """For whom a relay names, where these and guests have all links."""
        most = links_most(self.lone.mesh.capacity)
        guests = self.guests(most - len(own))
        self.named(40)
        fresh = self.answers(40)
        self.assertEqual(most, len(self.circle.active))
        self.assertEqual(1, len(set(guests) - set(self.circle.active)))
        self.assertLess({*own, fresh}, set(self.circle.active))

    def test_where_all_links_are_taken_a_guest_goes_for_it(self) -> None:
        parent, _ = self.lone.fed_by(2)
        self.a_guest_goes(parent)

    def test_nor_does_one_go_where_both_of_our_own_choice_feed_us(self) -> None:
        own = [self.lone.neighbour(number)[0] for number in (2, 3)]
        for number, neighbour in enumerate(own):
            feed = self.lone.mesh.feed_for(KEY._replace(source=number), neighbour, self.lone.now)
            assert feed
            feed.took(7, SIZE, 7, 0, 0, neighbour, self.lone.now)
        self.a_guest_goes(*own)

    def test_nor_the_only_one_whose_way_is_another_than_the_parents(self) -> None:
        parent, _ = self.lone.fed_by(2)
        self.guests(OWN)
        spare, _ = self.lone.neighbour(3)
        self.lone.accept(parent, have(200, path=(7, 8, parent.node >> 32), cost=1_000, beacon=True))
        self.lone.accept(spare, have(200, path=(7, 9, spare.node >> 32), cost=1_500, beacon=True))
        self.named(40)
        self.answers(40)
        self.assertLess({parent, spare}, set(self.circle.active))

    def test_who_makes_itself_our_child_has_nobody_go_that_we_choose(self) -> None:
        parent, _ = self.lone.fed_by(2)
        self.guests(OWN)
        for number in (3, 4):
            child, _ = self.lone.neighbour(number)
            self.lone.accept(child, Graft(KEY, 201))
        for number in (40, 41):
            self.named(number)
            self.answers(number)
            near, _ = self.lone.neighbour(number + 10, 0.01, enters=False)
            self.circle.near.measured(near, self.lone.now)
            self.lone.accept(near, Peers(GROUP, Kind.NEIGHBOUR))
            trials_end(self.lone, parent)
        self.assertEqual({2, 3, 4, 41}, self.chosen())

    def test_of_those_whom_a_relay_named_who_says_that_it_carries_nothing_is_as_likely(self) -> None:
        self.guests(OWN)
        poor, rich = [sample_of(number, 0) for number in range(40, 55)], sample_of(55, 24)
        asked = set()
        for _ in range(16):
            self.circle.named((*poor, rich), self.lone.now)
            self.circle._choose_some(self.lone.now)
            asked |= self.asked()
            self.lone.now += PASSIVE_AGE
        self.assertLess({55}, asked | {55})
        self.assertGreater(len(asked), 5)

    def test_nor_where_no_more_are_there_than_are_wanted(self) -> None:
        guests = self.guests(OWN - 2)
        for number in (2, 3):
            self.lone.neighbour(number)
        self.named(40)
        self.circle.leave(guests[0], self.lone.now)
        self.answers(40)
        self.assertEqual({2, 3, 40}, self.chosen())

    def test_who_refuses_and_then_asks_is_a_guest_and_nobody_goes_for_it(self) -> None:
        self.guests(OWN)
        own = {self.lone.neighbour(number)[0].node >> 56 for number in (2, 3)}
        self.named(40)
        late = self.answers(40, Kind.NEIGHBOUR_NO)
        self.lone.accept(late, Peers(GROUP, Kind.NEIGHBOUR, 0, (late.sample,)))
        self.assertEqual(Choice.THEIRS, self.circle.active[late])
        self.assertEqual(own, self.chosen())

    def test_nobody_goes_for_one_that_was_asked_as_neighbours_were_missing(self) -> None:
        for number in (2, 3):
            self.lone.neighbour(number)
        asked, _ = self.lone.neighbour(40, enters=False)
        self.circle.ask(asked, False, self.lone.now)
        self.guests(OWN)
        self.lone.accept(asked, Peers(GROUP, Kind.NEIGHBOUR))
        self.assertEqual({2, 3, 40}, self.chosen())

    def test_nor_for_one_that_was_fresh_once_left_and_is_asked_for_the_same(self) -> None:
        self.guests(OWN)
        for number in (2, 3):
            self.lone.neighbour(number)
        self.named(40)
        fresh = self.answers(40)
        self.lone.accept(fresh, Peers(GROUP, Kind.DISCONNECT))
        for number in (5, 6):
            self.lone.neighbour(number)
        before = self.chosen()
        self.circle.ask(fresh, False, self.lone.now)
        self.lone.accept(fresh, Peers(GROUP, Kind.NEIGHBOUR))
        self.assertEqual(before | {40}, self.chosen())

    def test_who_asks_unasked_is_not_of_our_own_choice(self) -> None:
        for number in range(10, 10 + OWN):
            guest, _ = self.lone.neighbour(number, enters=False)
            self.lone.accept(guest, Peers(GROUP, Kind.NEIGHBOUR, 0, (guest.sample,)))
        self.assertEqual((OWN, set()), (len(self.circle.active), self.chosen()))

    def test_where_no_relay_has_named_anybody_others_are_chosen(self) -> None:
        self.guests(OWN)
        self.circle.learn([sample_of(50)], self.lone.now)
        self.circle._choose_some(self.lone.now)
        self.assertEqual({50}, self.asked())

    def test_of_however_many_others_neighbours_tell_whom_a_relay_named_is_remembered(self) -> None:
        teller = self.guests(OWN)[0]
        self.circle.named(tuple(map(sample_of, (40, 41, 42))), self.lone.now)
        for _ in range(40):
            others = [sample_of(number) for number in range(100, 250)]
            self.circle.learn(others, self.lone.now, teller)
        self.assertEqual(set(), {40, 41, 42} & {node >> 56 for node in self.circle.passive})
        self.circle._choose_some(self.lone.now)
        self.assertLess(self.asked(), {40, 41, 42})

    def test_who_was_named_and_is_not_reached_is_forgotten_and_so_is_who_was_named_long_ago(self) -> None:
        self.guests(OWN)
        self.circle.named((sample_of(40),), self.lone.now)
        self.circle.forget(node_of(40))
        self.assertEqual([], list(self.circle._named))
        self.circle.named((sample_of(41, flags=int(About.NAT)),), self.lone.now)
        self.lone.pass_time(PASSIVE_AGE + 2 * SHUFFLE)
        self.assertEqual([], list(self.circle._named))

    def test_nor_does_one_go_for_a_near_one_where_no_more_are_there_than_are_wanted(self) -> None:
        parent, _ = self.lone.fed_by(2)
        for number in (3, 4):
            self.lone.neighbour(number)
        near, _ = self.lone.neighbour(30, 0.01, enters=False)
        self.circle.near.measured(near, self.lone.now)
        self.lone.accept(near, Peers(GROUP, Kind.NEIGHBOUR))
        trials_end(self.lone, parent)
        self.assertEqual((OWN, {2, 3, 4}), (len(self.circle.active), self.chosen()))

    def test_of_the_last_two_none_goes_for_a_near_one(self) -> None:
        parent, _ = self.lone.fed_by(2)
        self.guests(OWN)
        for number in (3, 4, 5):
            self.lone.neighbour(number)
        stayed = []
        for number in (30, 31, 32):
            near, _ = self.lone.neighbour(number, 0.01, enters=False)
            self.circle.near.measured(near, self.lone.now)
            self.lone.accept(near, Peers(GROUP, Kind.NEIGHBOUR))
            trials_end(self.lone, parent)
            stayed.append(len(self.chosen()))
        self.assertEqual([3, OUTBOUND, OUTBOUND], stayed)
        self.assertIn(2, self.chosen())  # over which the stream comes


class ShuffleTest(TestCase):
    def setUp(self) -> None:
        self.lone = Lone()
        self.circle = self.lone.mesh.circles[GROUP]
        self.by, self.by_pen = self.lone.neighbour(2)
        self.other, self.other_pen = self.lone.neighbour(3)
        self.by_pen.said.clear()
        self.other_pen.said.clear()
        self.mine = tuple(sample_of(number) for number in (40, 41, 42))

    def test_a_shuffle_goes_on_and_its_answer_comes_back_the_same_way(self) -> None:
        self.lone.accept(self.by, Peers(GROUP, Kind.SHUFFLE, SHUFFLE_TTL, self.mine))
        (on,) = self.other_pen.of(Peers)
        self.assertEqual((on.ttl, on.samples), (SHUFFLE_TTL - 1, self.mine))
        answer = Peers(GROUP, Kind.SHUFFLE_REPLY, 0, (self.mine[0], sample_of(50)))
        self.lone.accept(self.other, answer)
        self.assertEqual(self.by_pen.of(Peers), [answer])

    def test_where_it_ends_views_are_exchanged(self) -> None:
        self.lone.accept(self.by, Peers(GROUP, Kind.SHUFFLE, 0, self.mine))
        (reply,) = self.by_pen.of(Peers)
        self.assertEqual((reply.kind, reply.samples[0]), (Kind.SHUFFLE_REPLY, self.mine[0]))
        self.assertIn(self.lone.mesh.node, [sample.node for sample in reply.samples])
        for sample in self.mine:
            self.assertIn(sample.node, self.circle.passive)

    def test_a_neighbour_that_asks_for_itself_is_told_whom_this_node_knows_that_carries_something(
        self,
    ) -> None:
        self.circle.learn(
            (sample_of(30), sample_of(31, 0), sample_of(32, flags=int(About.NAT))), self.lone.now
        )
        self.lone.accept(self.by, Peers(GROUP, Kind.SHUFFLE, 1, (self.by.sample,)))
        (reply,) = self.by_pen.of(Peers)
        nodes = [sample.node for sample in reply.samples[1:]]
        self.assertIn(node_of(30), nodes)
        self.assertNotIn(node_of(31), nodes)
        self.assertNotIn(node_of(32), nodes)

    def test_who_takes_us_for_a_neighbour_and_is_none_is_told(self) -> None:
        stranger, pen = self.lone.neighbour(9, enters=False)
        self.lone.accept(stranger, Peers(GROUP, Kind.SHUFFLE, 1, (stranger.sample,)))
        self.assertEqual([peers.kind for peers in pen.of(Peers)], [Kind.DISCONNECT, Kind.SHUFFLE_REPLY])

    def test_what_comes_back_is_known_from_then_on(self) -> None:
        self.lone.pass_time(31.0)
        self.assertTrue(
            any(peers.kind == Kind.SHUFFLE for peers in self.by_pen.of(Peers) + self.other_pen.of(Peers))
        )
        mine = self.lone.mesh.sample()
        self.lone.accept(self.by, Peers(GROUP, Kind.SHUFFLE_REPLY, 0, (mine, sample_of(50))))
        self.assertIn(node_of(50), self.circle.passive)

    def test_an_answer_that_nobody_asked_for_is_not_taken_and_held_against_who_sends_it(self) -> None:
        mine = self.lone.mesh.sample()
        for _ in range(REPLIES_DUE_MAX + 1):
            self.lone.accept(self.by, Peers(GROUP, Kind.SHUFFLE_REPLY, 0, (mine, sample_of(50))))
        self.assertNotIn(node_of(50), self.circle.passive)
        self.assertLess(self.by.score, 0)

    def test_what_says_nothing_changes_nothing(self) -> None:
        for kind in Kind:
            if kind not in (Kind.JOIN, Kind.NEIGHBOUR, Kind.NEIGHBOUR_NO, Kind.DISCONNECT):
                self.lone.accept(self.by, Peers(GROUP, kind))
        self.assertEqual(self.by_pen.of(Peers) + self.other_pen.of(Peers), [])
        self.assertEqual(set(self.circle.active), {self.by, self.other})

    def test_a_long_list_does_not_replace_what_is_known(self) -> None:
        many = tuple(sample_of(number) for number in range(10, 100))
        self.lone.accept(self.by, Peers(GROUP, Kind.SHUFFLE, 0, many))
        self.assertEqual(len(self.circle.passive), SAMPLES_TAKEN)

    def test_what_a_stranger_can_grow_has_bounds(self) -> None:
        for number in range(2_000):
            sample = sample_of(number)._replace(node=(number + 1_000) << 40)
            self.circle.learn((sample,), self.lone.now)
            self.circle.walks.shuffle(self.by, Peers(GROUP, Kind.SHUFFLE, 6, (sample,)), self.lone.now)
            if number % 10 == 0:
                self.circle.near.forget(number)
        self.assertLessEqual(len(self.circle.passive), PASSIVE)
        self.assertLessEqual(len(self.circle.near.close), CLOSE)
        self.assertLessEqual(len(self.circle.walks.back), WALKS_MAX)

    def test_a_search_for_hours_remembers_only_whom_it_asked_last(self) -> None:
        for number in range(300):
            sample = sample_of(2)._replace(node=(number + 1_000) << 40)
            self.circle.learn((sample,), self.lone.now)
            self.circle.search(self.lone.now)
            self.lone.now += 0.5
        self.assertLess(len(self.circle.whom_it_asked(self.lone.now)), 20)


class NearTest(TestCase):
    def test_who_was_measured_is_tried_and_the_best_way_stays(self) -> None:
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        parent, _ = lone.fed_by(2)
        ways = {}
        for number in range(10, 14):
            neighbour, pen = lone.neighbour(number, 0.02, enters=False)
            circle.near.measured(neighbour, lone.now)
            self.assertEqual(len(pen.of(Peers)), 1)
            lone.accept(neighbour, Peers(GROUP, Kind.NEIGHBOUR))
            lone.accept(neighbour, have(200, path=(7, number), cost=number * 10_000))
            ways[number] = neighbour
        trials_end(lone, parent)
        stayed = [number for number, neighbour in ways.items() if neighbour in circle.active]
        self.assertEqual(stayed, [10, 11])

    def test_one_who_gets_it_past_the_nodes_of_our_way_stays_though_others_are_shorter(self) -> None:
        lone = Lone()
        circle = lone.mesh.circles[GROUP]
        parent, _ = lone.fed_by(2)
        lone.accept(parent, have(200, path=(7, 5, 2), cost=10_000))
        ways = {}
        for number, path in (10, (7, 5, 10)), (11, (7, 5, 11)), (12, (7, 5, 12)), (13, (7, 13)):
            neighbour, _ = lone.neighbour(number, 0.02, enters=False)
            circle.near.measured(neighbour, lone.now)
            lone.accept(neighbour, Peers(GROUP, Kind.NEIGHBOUR))
            lone.accept(neighbour, have(200, path=path, cost=number * 10_000))
            ways[number] = neighbour
        trials_end(lone, parent)
        stayed = [number for number, neighbour in ways.items() if neighbour in circle.active]
        self.assertEqual(stayed, [10, 11, 13])
        self.assertEqual(circle.ways.spares(), {ways[13]})

    def test_who_was_measured_or_refused_is_tried_again_after_a_while(self) -> None:
        lone = Lone()
        near = lone.mesh.circles[GROUP].near
        lone.fed_by(2)
        other, pen = lone.neighbour(10, 0.02, enters=False)
        near.measured(other, lone.now)
        lone.accept(other, Peers(GROUP, Kind.NEIGHBOUR_NO))
        pen.said.clear()
        self.assertNotIn(other.node, [sample.node for sample in near._candidates(lone.now)])
        lone.now += TRY_AGAIN + 1
        lone.data(next(iter(lone.mesh.circles[GROUP].active)), 201)
        self.assertIn(other.node, [sample.node for sample in near._candidates(lone.now)])
        near.measured(other, lone.now)
        self.assertEqual(len(pen.of(Peers)), 1)

    def test_whose_links_go_before_they_answer_are_on_trial_no_more(self) -> None:
        lone = Lone()
        near = lone.mesh.circles[GROUP].near
        asked = [lone.neighbour(20 + number, enters=False)[0] for number in range(TRIALS)]
        for neighbour in asked:
            near.measured(neighbour, lone.now)
        for neighbour in asked:
            lone.mesh.link_down(neighbour, lone.now)
        other, pen = lone.neighbour(40, enters=False)
        near.measured(other, lone.now)
        self.assertEqual(len(pen.of(Peers)), 1)

    def test_one_over_whom_the_way_would_be_longer_is_not_looked_at(self) -> None:
        lone = Lone()
        near = lone.mesh.circles[GROUP].near
        parent, _ = lone.fed_by(2)
        lone.accept(parent, have(200, path=(7, 2), cost=10_000))
        here = lone.mesh.whereabouts.place
        close = sample_of(10)._replace(place=here._replace(x=here.x + 50))
        far = sample_of(11)._replace(place=here._replace(x=here.x + 5_000))
        near.heard_of([close, far])
        self.assertEqual([sample.node for sample in near._candidates(lone.now)], [close.node])

    def test_of_who_was_tried_counts_what_it_said(self) -> None:
        lone = Lone()
        near = lone.mesh.circles[GROUP].near
        lone.fed_by(2)
        other, _ = lone.neighbour(10, 0.02, enters=False)
        near.measured(other, lone.now)
        lone.accept(other, Peers(GROUP, Kind.NEIGHBOUR))
        lone.accept(other, have(200, path=(7, 10), cost=30_000))
        lone.pass_time(TRIAL + 0.1)
        self.assertAlmostEqual(near.distances[other.node].before, 0.06)

    def test_who_asks_is_told_first_of_those_who_have_room_for_it(self) -> None:
        lone = Lone()
        asker, pen = lone.neighbour(2)
        for number in range(10, 24):
            neighbour, _ = lone.neighbour(number)
            lone.accept(neighbour, have(5, free=number % 2))
        pen.said.clear()
        lone.accept(asker, Peers(GROUP, Kind.SHUFFLE, 1, (asker.sample,)))
        (reply,) = pen.of(Peers)
        told = [sample.node for sample in reply.samples[2:]]
        self.assertEqual(set(told[:7]), {node_of(number) for number in range(11, 24, 2)})

    def test_distances_that_are_remembered_have_a_bound(self) -> None:
        lone = Lone()
        near = lone.mesh.circles[GROUP].near
        for number in range(DISTANCES + 50):
            neighbour, _ = lone.neighbour(2, enters=False)
            neighbour.node = (number + 1_000) << 40
            near.measured(neighbour, lone.now)
        self.assertLessEqual(len(near.distances), DISTANCES)

    def test_the_parent_of_ones_parent_is_named_and_dialled_first(self) -> None:
        hall = Hall()
        origin, relay, leaf = hall.person(), hall.person(), hall.person()
        hall.cable(origin, relay)
        hall.cable(relay, leaf)
        hall.play(origin, 5.0)
        self.assertIn(origin.mesh.node, leaf.mesh.neighbours)

    def test_everybody_finds_neighbours_and_the_stream_by_one_seed(self) -> None:
        hall = Hall()
        seed = hall.person(joins=False, relay=True)
        people = [seed, *(hall.person(joins=False) for _ in range(11))]
        for number, person in enumerate(people):
            hall.loop.at(
                0.1 * number, person.mesh.start, [seed.mesh.sample()] if number else [], 0.1 * number
            )
            hall.loop.at(0.1 * number + 0.3, person.mesh.join, GROUP, 0.1 * number + 0.3)
        hall.rest(4.0)
        hall.play(people[1], 5.0)
        hall.rest(1.0)
        for person in people:
            self.assertGreaterEqual(len(person.mesh.circles[GROUP].active), OWN)
            self.assertGreaterEqual(len(person.mesh.circles[BASE].active), 1)
            if person is not people[1]:
                self.assertEqual(len(person.got), 500)
