"""Who can be dialled asks one behind a NAT, over a neighbour of both, to dial."""

from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.callback import DIAL_REST, DIALS, PATIENCE, WAYS_MAX
from multicastmw.core.mesh.neighbour import Neighbour, links_most
from multicastmw.core.mesh.settings import Settings
from multicastmw.wire.mesh import About, Kind, Peers, Sample
from tests.core.mesh.kit import GROUP, UPLINK, Hall, Lone, Pen, Person, node_of, sample_of

NAT = int(About.NAT)


def natted(number: int, age: int = 0) -> Sample:
    return sample_of(number, flags=NAT)._replace(age=age)


def connect_back(asker: Sample, wanted: Sample, ttl: int = 0) -> Peers:
    return Peers(GROUP, Kind.CONNECT_BACK, ttl, (asker, wanted))


def asks_in(pen: Pen) -> list[Peers]:
    return [peers for peers in pen.of(Peers) if peers.kind == Kind.CONNECT_BACK]


class Three(TestCase):
    """Between has links with both others, who do not know each other."""

    def setUp(self) -> None:
        self.hall = Hall()
        self.between = self.hall.person(uplink=0)

    def meet(self, *, asker_is_nat: bool = False) -> tuple[Person, Person]:
        hidden = self.hall.person(nat=True)
        asker = self.hall.person(nat=asker_is_nat)
        self.hall.cable(hidden, self.between)
        self.hall.cable(asker, self.between)
        self.hall.rest(5.0)
        return asker, hidden

    def are_neighbours(self, one: Person, other: Person) -> bool:
        return any(each.node == other.mesh.node for each in one.mesh.circles[GROUP].active)

    def test_one_behind_a_nat_dials_who_asks_for_it(self) -> None:
        asker, hidden = self.meet()
        self.assertTrue(self.are_neighbours(asker, hidden))
        self.assertTrue(self.are_neighbours(hidden, asker))
        self.assertEqual(asker.mesh.counters.call_backs_came, 1)
        self.assertEqual(self.between.mesh.counters.call_backs_sent_on, 1)
        self.assertEqual(hidden.mesh.counters.call_backs_dialled, 1)

    def test_two_behind_nats_do_not_try(self) -> None:
        asker, hidden = self.meet(asker_is_nat=True)
        self.assertFalse(self.are_neighbours(asker, hidden))
        self.assertEqual(asker.mesh.counters.call_backs_asked, 0)

    def test_so_a_stream_reaches_whom_nobody_else_has_room_for(self) -> None:
        """The sender feeds one, that one is behind a NAT; who comes last has its stream from there."""
        sender = self.between
        asker, hidden = self.meet()
        self.hall.play(sender, 4.0)
        fed_by = {person: person.feed.parent for person in (asker, hidden)}
        nodes = {parent.node for parent in fed_by.values() if parent}
        self.assertEqual(len([node for node in nodes if node != sender.mesh.node]), 1)
        for person in (asker, hidden):
            self.assertGreater(len(person.got), 300)


class AskerTest(TestCase):
    def setUp(self) -> None:
        self.lone = Lone()
        self.circle = self.lone.mesh.circles[GROUP]
        self.by, self.pen = self.lone.neighbour(2)

    def told(self, *samples: Sample) -> None:
        self.circle.learn(samples, self.lone.now, self.by)

    def test_a_neighbour_of_a_neighbour_is_asked_over_it(self) -> None:
        self.told(natted(9))
        self.lone.pass_time(1.5)
        (ask,) = asks_in(self.pen)
        self.assertEqual(ask.ttl, 1)
        self.assertEqual([sample.node for sample in ask.samples], [self.lone.mesh.node, node_of(9)])
        self.assertEqual(self.lone.dialled, [])

    def test_whom_a_neighbour_only_heard_of_is_not_asked(self) -> None:
        self.told(natted(9, age=30))
        self.circle.learn([natted(10)], self.lone.now)
        self.lone.pass_time(1.5)
        self.assertEqual(asks_in(self.pen), [])

    def test_nobody_is_asked_over_a_link_that_is_no_more(self) -> None:
        self.told(natted(9))
        self.lone.mesh.link_down(self.by, self.lone.now)
        self.lone.pass_time(1.5)
        self.assertEqual(self.lone.mesh.counters.call_backs_asked, 0)

    def test_who_comes_is_asked_to_be_a_neighbour(self) -> None:
        self.told(natted(9))
        self.lone.pass_time(1.5)
        _, pen = self.lone.neighbour(9, enters=False, dialled=False)
        (asks,) = pen.of(Peers)
        self.assertIn(asks.kind, (Kind.JOIN, Kind.NEIGHBOUR))
        self.assertEqual(self.lone.mesh.counters.call_backs_came, 1)

    def test_who_does_not_come_is_forgotten_and_nobody_is_blamed(self) -> None:
        self.told(natted(9))
        self.lone.pass_time(1.5 + PATIENCE + 1.0)
        self.assertNotIn(node_of(9), self.circle.passive)
        self.assertEqual(len(asks_in(self.pen)), 1)
        self.assertEqual(self.by.score, 0)

    def test_what_neighbours_tell_has_a_bound(self) -> None:
        for number in range(WAYS_MAX + 50):
            sample = natted(9)._replace(node=(number + 1_000) << 40)
            self.lone.mesh.call_back.told([sample], self.by)
        self.assertEqual(len(self.lone.mesh.call_back._ways), WAYS_MAX)


class BetweenTest(TestCase):
    def setUp(self) -> None:
        self.lone = Lone()
        self.asker, self.asker_pen = self.lone.neighbour(2)
        self.wanted, self.pen = self.lone.neighbour(9, dialled=False)

    def sent_on(self, message: Peers) -> list[Peers]:
        self.lone.accept(self.asker, message)
        return asks_in(self.pen)

    def test_it_goes_one_hop_further_with_the_asker_as_it_is_seen_here(self) -> None:
        lie = sample_of(2)._replace(addresses=())
        (on,) = self.sent_on(connect_back(lie, natted(9), 1))
        self.assertEqual((on.ttl, on.samples[0]), (0, self.asker.sample))

    def test_it_goes_no_further_than_that(self) -> None:
        self.assertEqual(self.sent_on(connect_back(sample_of(2), natted(9), 0)), [])

    def test_nobody_asks_for_somebody_else(self) -> None:
        self.assertEqual(self.sent_on(connect_back(sample_of(3), natted(9), 255)), [])

    def test_to_who_has_no_link_here_nothing_goes(self) -> None:
        self.assertEqual(self.sent_on(connect_back(sample_of(2), natted(8), 1)), [])
        self.assertEqual(self.lone.mesh.counters.call_backs_sent_on, 0)

    def test_a_flood_of_them_ends_here(self) -> None:
        for _ in range(100):
            self.lone.accept(self.asker, connect_back(sample_of(2), natted(9), 1))
        self.assertLessEqual(len(asks_in(self.pen)), 10)


class AskedTest(TestCase):
    def setUp(self) -> None:
        self.lone = Lone(Settings(uplink=UPLINK, nat=True))
        self.by: list[Neighbour] = []
        for number in range(200, 204):  # each may say so many a second, and more at once
            self.by.append(self.lone.neighbour(number)[0])

    def ask(self, number: int, flags: int = 0) -> None:
        mine = self.lone.mesh.sample()
        by = self.by[number % len(self.by)]
        self.lone.accept(by, connect_back(sample_of(number, flags=flags), mine))

    def test_it_dials_who_asks_and_says_nothing_of_its_own(self) -> None:
        self.ask(5)
        self.assertEqual([sample.node for sample in self.lone.dialled], [node_of(5)])
        _, pen = self.lone.neighbour(5, enters=False)
        self.assertEqual(pen.of(Peers), [])

    def test_the_same_one_is_dialled_once_in_ten_seconds(self) -> None:
        for _ in range(3):
            self.ask(5)
            self.lone.mesh.not_reached(node_of(5), self.lone.now)
        self.assertEqual(len(self.lone.dialled), 1)
        self.assertEqual(self.lone.mesh.counters.call_backs_over_bound, 2)
        self.lone.pass_time(DIAL_REST + 0.1)
        self.ask(5)
        self.assertEqual(len(self.lone.dialled), 2)

    def test_so_many_a_second_are_dialled(self) -> None:
        for number in range(5, 45):
            self.ask(number)
        self.assertEqual(len(self.lone.dialled), DIALS)
        self.assertEqual(self.lone.mesh.counters.call_backs_over_bound, 40 - DIALS)

    def test_only_who_could_be_a_neighbour_is_dialled(self) -> None:
        self.ask(5, NAT)
        self.lone.accept(self.by[0], connect_back(self.by[1].sample, self.lone.mesh.sample()))
        number = 10
        while len(self.lone.mesh.circles[GROUP].active) < links_most(self.lone.mesh.capacity):
            self.lone.neighbour(number)
            number += 1
        self.ask(6)
        self.assertEqual(self.lone.dialled, [])

    def test_who_is_left_alone_is_not_dialled(self) -> None:
        self.lone.mesh.contacts.exclude(node_of(5), self.lone.now)
        self.ask(5)
        self.assertEqual(self.lone.dialled, [])

    def test_one_sample_or_none_is_no_request(self) -> None:
        self.lone.accept(self.by[0], Peers(GROUP, Kind.CONNECT_BACK, 1, (sample_of(5),)))
        self.lone.accept(self.by[0], Peers(GROUP, Kind.CONNECT_BACK, 1))
        self.assertEqual(self.lone.dialled, [])
