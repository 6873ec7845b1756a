"""A group that is in two pieces, and a node that is cut off: both hear of it where members meet."""

from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import LIVE, OWN, PASSIVE_AGE, SHUFFLE
from multicastmw.wire.mesh import About, Find, Kind, Live, Meeting, Peers, StreamKey
from tests.core.mesh.kit import GROUP, KEY, ORIGIN, RATE, SIZE, Lone, Pen, node_of, sample_of

RELAY = int(About.RELAY)
STRANGER = sample_of(70)


class Case(TestCase):
    def setUp(self) -> None:
        self.lone = Lone()
        self.relay, _ = self.lone.neighbour(5, enters=False)
        self.lone.mesh.contacts.heard_of(sample_of(5, flags=RELAY))
        self.links = [self.lone.neighbour(number) for number in range(10, 10 + OWN)]
        self.lone.pass_time(0.1)
        self.circle = self.lone.mesh.circles[GROUP]

    def reply(self, *live: Live) -> None:
        """The relay's, which names somebody from elsewhere."""
        self.lone.mesh.meeting.ask(GROUP, Meeting.REGISTER, self.lone.now)
        self.lone.dialled.clear()
        self.lone.accept(self.relay, Find(GROUP, Meeting.REPLY, (STRANGER,), 5, live))

    def parted(self) -> list[Pen]:
        said = [(pen, [peers.kind for peers in pen.of(Peers)]) for _, pen in self.links]
        return [pen for pen, kinds in said if Kind.DISCONNECT in kinds]


class TwoPieces(Case):
    def comes(self) -> None:
        """Who was named is there."""
        stranger, _ = self.lone.neighbour(70, enters=False)
        self.lone.accept(stranger, Peers(GROUP, Kind.NEIGHBOUR))
        self.assertIn(stranger, self.circle.active)

    def test_one_random_link_is_given_up_for_one_to_the_other_piece(self) -> None:
        self.reply()
        self.assertEqual([STRANGER.node], [sample.node for sample in self.lone.dialled])
        self.assertEqual([], self.parted())
        self.comes()
        self.assertEqual(1, len(self.parted()))
        self.assertEqual(OWN, len(self.circle.active))

    def test_but_none_over_which_a_stream_comes(self) -> None:
        for number, (neighbour, _) in enumerate(self.links):
            key = StreamKey(ORIGIN, GROUP, number + 1)
            feed = self.lone.mesh.feed_for(key, neighbour, self.lone.now)
            assert feed
            feed.took(7, SIZE, 7, 0, 0, neighbour, self.lone.now)
        self.reply()
        self.comes()
        self.assertEqual([], self.parted())

    def test_nor_where_all_that_are_named_are_neighbours(self) -> None:
        self.lone.mesh.meeting.ask(GROUP, Meeting.REGISTER, self.lone.now)
        known = tuple(neighbour.sample for neighbour, _ in self.links)
        self.lone.accept(self.relay, Find(GROUP, Meeting.REPLY, known, 5))
        self.assertEqual([], self.parted())


class CutOff(Case):
    """The relay says that a stream is sent."""

    def setUp(self) -> None:
        super().setUp()
        self.parent: Neighbour = self.links[0][0]
        self.lone.data(self.parent, *range(100), apart=1 / RATE)

    def reply(self, *live: Live) -> None:
        self.circle.learn([sample_of(number) for number in range(40, 50)], self.lone.now)
        super().reply(*live)

    def dialled_besides(self) -> set[int]:
        return {sample.node for sample in self.lone.dialled} - {STRANGER.node}

    def test_who_hears_nothing_of_it_for_three_seconds_looks_for_others_at_once(self) -> None:
        self.lone.pass_time(LIVE + 0.5)
        self.reply(Live(KEY, 400))
        self.assertTrue(self.dialled_besides())

    def test_who_hears_it_does_not(self) -> None:
        self.reply(Live(KEY, 99))
        self.assertEqual(set(), self.dialled_besides())

    def test_nor_who_does_not_want_it(self) -> None:
        self.lone.feed().wanted = False
        self.lone.pass_time(LIVE + 0.5)
        self.reply(Live(KEY, 400))
        self.assertEqual(set(), self.dialled_besides())


class Ages(TestCase):
    def test_members_of_whom_nobody_told_for_ten_minutes_are_forgotten(self) -> None:
        lone = Lone()
        lone.neighbour(2)
        circle = lone.mesh.circles[GROUP]
        circle.learn([sample_of(9, flags=int(About.NAT))], lone.now)  # whom nobody can dial
        lone.pass_time(PASSIVE_AGE - SHUFFLE)
        self.assertIn(node_of(9), circle.passive)
        lone.pass_time(3 * SHUFFLE)
        self.assertNotIn(node_of(9), circle.passive)
        self.assertEqual(600.0, PASSIVE_AGE)
