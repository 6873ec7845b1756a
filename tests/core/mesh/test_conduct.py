from twisted.trial.unittest import TestCase

from multicastmw.core.mesh import backoffs
from multicastmw.core.mesh.contacts import MESSAGES_MAX, REACHING_MAX
from multicastmw.core.mesh.mesh import FEEDS_MAX, FORGET_UNHEARD, UNHEARD_MAX
from multicastmw.core.mesh.neighbour import PEERS, PEERS_TIMES, SCORE_LEAST, STREAMS_AT_ONCE
from multicastmw.core.mesh.numbers import MASK
from multicastmw.core.mesh.settings import GUARD, MISBEHAVED_BACK_OFF, MISBEHAVED_BACK_OFF_MOST, Settings
from multicastmw.wire.mesh import (
    Find,
    Graft,
    Have,
    Kind,
    Meeting,
    Nack,
    Peers,
    Prune,
    Range,
    Refusal,
    StreamKey,
)
from tests.core.mesh.kit import GROUP, KEY, RATE, SIZE, Lone, have, node_of, sample_of


class FloodTest(TestCase):
    """What is too much is counted and not done; who does not stop is left."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.lone.fed_by(2)
        self.bad, self.pen = self.lone.neighbour(9)
        self.pen.said.clear()

    def test_a_storm_of_nacks(self) -> None:
        for _ in range(200):
            self.lone.accept(self.bad, Nack(KEY, (Range(200, 200),)))
        self.assertEqual(len(self.pen.resent), 56)
        self.assertEqual(self.lone.mesh.counters.nacks_over_bound, 144)
        self.assertTrue(self.pen.hung_up)

    def test_a_storm_of_grafts(self) -> None:
        for _ in range(200):
            self.lone.accept(self.bad, Graft(KEY, 100))
        self.assertTrue(self.pen.hung_up)

    def test_a_flood_of_haves(self) -> None:
        for _ in range(200):
            self.lone.accept(self.bad, have(200))
        self.assertGreater(self.lone.mesh.counters.haves_over_bound, 100)
        self.assertTrue(self.pen.hung_up)

    def test_who_has_many_streams_may_say_more(self) -> None:
        lone = Lone()
        good, pen = lone.neighbour(9)
        for second in range(20):
            for source in range(100):
                if second or source < 40:
                    lone.accept(good, have(second, key=StreamKey(5, GROUP, source), beacon=True))
                lone.now += 0.01
        self.assertEqual(pen.hung_up, "")

    def test_who_has_more_streams_than_are_followed_here_does_not_flood_with_them(self) -> None:
        lone = Lone()
        good, pen = lone.neighbour(9)
        for second in range(10):
            for source in range(300):
                lone.accept(good, have(second, key=StreamKey(5, GROUP, source), beacon=True))
                lone.now += 1 / 300
        self.assertGreater(lone.mesh.counters.streams_over_bound, 1_000)
        self.assertEqual((lone.mesh.counters.haves_over_bound, good.score, pen.hung_up), (0, 0, ""))

    def test_a_flood_of_haves_about_streams_that_nobody_knows(self) -> None:
        for number in range(20_000):
            self.lone.accept(self.bad, have(1, key=StreamKey(number << 20, GROUP, number)))
            self.lone.now += 1 / 20_000
        self.assertGreater(self.lone.mesh.counters.haves_over_bound, 1_000)
        self.assertTrue(self.pen.hung_up)

    def test_a_flood_of_peers_and_finds(self) -> None:
        shuffle = Peers(GROUP, Kind.SHUFFLE, 6, (sample_of(30),))
        for flood in (shuffle, Find(77, Meeting.QUERY, (self.bad.sample,))):
            self.setUp()
            for _ in range(1_000):
                self.lone.accept(self.bad, flood)
            self.assertGreater(self.lone.mesh.counters.peers_over_bound, 100)
            self.assertTrue(self.pen.hung_up)

    def test_a_little_too_much_is_dropped_and_held_against_nobody(self) -> None:
        for number in range(100):
            self.lone.accept(self.bad, Peers(GROUP, Kind.SHUFFLE, 6, (sample_of(number),)))
        self.assertGreater(self.lone.mesh.counters.peers_over_bound, 40)
        self.assertEqual(self.bad.score, 0)

    def test_who_is_in_many_groups_with_us_may_say_more_of_them_but_not_without_end(self) -> None:
        said = Peers(GROUP, Kind.SHUFFLE, 1, (self.bad.sample,))
        taken = []
        for groups in (1, 12, 1_000):
            bad, pen = self.lone.neighbour(60 + groups % 100, enters=False)
            bad.circles.update(range(GROUP, GROUP + groups))
            pen.said.clear()
            for _ in range(2_000):
                self.lone.accept(bad, said)
            taken.append(len([each for each in pen.of(Peers) if each.kind == Kind.SHUFFLE_REPLY]))
        self.assertEqual(taken, [8 * PEERS * 5 // 4, 8 * PEERS * 4, 8 * PEERS * PEERS_TIMES])

    def test_what_was_asked_for_is_no_flood(self) -> None:
        circle = self.lone.mesh.circles[GROUP]
        mine = self.lone.mesh.sample()
        for number in range(200):
            circle.walks.expects_reply()
            self.lone.accept(self.bad, Peers(GROUP, Kind.SHUFFLE_REPLY, 0, (mine, sample_of(number))))
            self.lone.accept(self.bad, Peers(GROUP, Kind.DISCONNECT))
            circle.ask(self.bad, False, self.lone.now)
            self.lone.accept(self.bad, Peers(GROUP, Kind.NEIGHBOUR))
        self.assertEqual(self.lone.mesh.counters.peers_over_bound, 0)
        self.assertIn(self.bad, circle.active)

    def test_what_of_a_flood_is_sent_on_makes_no_flood_of_this_node(self) -> None:
        pens = [self.lone.neighbour(number)[1] for number in (20, 21)]
        others = [self.lone.neighbour(number)[0] for number in range(30, 38)]
        for number, by in enumerate(others * 10):
            self.lone.accept(by, Peers(GROUP, Kind.SHUFFLE, 6, (sample_of(100 + number % 100),)))
            self.lone.now += 0.05
        sent_on = [len(pen.of(Peers)) for pen in pens]
        self.assertTrue(all(0 < count <= 2 * PEERS + 4 * PEERS / 2 for count in sent_on), sent_on)

    def tells(self, number: int, streams: int) -> None:
        """Somebody, of so many that he has made up."""
        by, _ = self.lone.neighbour(number)
        for source in range(streams):
            self.lone.accept(by, have(1, key=StreamKey(number << 40 | source, GROUP, source)))
            self.lone.now += 0.05

    def test_a_flood_of_streams(self) -> None:
        for source in range(300):
            self.lone.accept(self.bad, have(1, key=StreamKey(source << 20, GROUP, source)))
        self.assertEqual(self.lone.mesh.counters.streams_over_bound, 300 - STREAMS_AT_ONCE)

    def test_of_streams_that_one_tells_of_and_of_which_no_packet_comes_there_are_not_many(self) -> None:
        self.tells(20, UNHEARD_MAX + 50)
        self.assertEqual(len(self.lone.mesh.feeds), 1 + UNHEARD_MAX)

    def test_they_are_forgotten_soon_and_make_room_for_others(self) -> None:
        self.tells(20, UNHEARD_MAX)
        by = self.lone.mesh.neighbours[node_of(20)]
        self.lone.pass_time(FORGET_UNHEARD + 2.0)
        self.assertEqual((len(self.lone.mesh.feeds), by.unheard), (1, 0))

    def test_one_of_which_a_packet_has_come_counts_no_more(self) -> None:
        self.tells(20, 10)
        by = self.lone.mesh.neighbours[node_of(20)]
        for feed in list(self.lone.mesh.feeds.values())[1:6]:
            feed.took(1, SIZE, 1, 0, 0, by, self.lone.now)
        self.assertEqual(by.unheard, 5)

    def test_there_is_an_end_to_the_streams_that_a_node_follows(self) -> None:
        for number in range(20, 30):
            self.tells(number, UNHEARD_MAX)
        self.assertEqual(len(self.lone.mesh.feeds), FEEDS_MAX)

    def test_what_begins_here_takes_the_place_of_one_of_which_no_packet_came(self) -> None:
        for number in range(20, 30):
            self.tells(number, UNHEARD_MAX)
        mine = KEY._replace(origin=node_of(1) | 7)
        self.assertTrue(self.lone.mesh.begin(mine, self.lone.now))
        self.assertEqual((len(self.lone.mesh.feeds), KEY in self.lone.mesh.feeds), (FEEDS_MAX, True))

    def test_a_stream_of_a_group_that_it_is_not_in_is_not_followed(self) -> None:
        self.lone.accept(self.bad, have(1, key=StreamKey(5, 99, 5)))
        self.assertIsNone(self.lone.mesh.feed_for(StreamKey(5, 99, 5), self.bad, self.lone.now))
        self.assertEqual(self.pen.of(Prune)[0].stream, StreamKey(5, 99, 5))

    def test_a_stream_that_is_not_known_cannot_be_had(self) -> None:
        self.lone.accept(self.bad, Graft(StreamKey(5, GROUP, 5), 0))
        self.assertEqual(self.pen.of(Prune)[0].refusal, Refusal.NO_DATA)


class ManyStreamsTest(TestCase):
    """What a node asks of another at once follows how many streams both have to do with."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.parent, _ = self.lone.neighbour(2)
        self.other, self.pen = self.lone.neighbour(3)
        self.keys = [StreamKey(5, GROUP, source) for source in range(300)]
        for key in self.keys:
            feed = self.lone.mesh.feed_for(key, self.parent, self.lone.now)
            assert feed
            feed.took(7, SIZE, 7, 0, 0, self.parent, self.lone.now)
            self.lone.now += 0.25
        self.pen.said.clear()

    def test_when_the_parent_of_all_dies_all_are_asked_for_at_once(self) -> None:
        for key in self.keys:
            self.lone.feed(key).took(8, SIZE, 8, 0, 0, self.parent, self.lone.now)
            self.lone.accept(self.other, have(9, key=key))
        self.lone.mesh.link_down(self.parent, self.lone.now)
        self.assertEqual({graft.stream for graft in self.pen.of(Graft)}, set(self.keys))

    def test_who_is_asked_for_all_of_them_takes_all_and_leaves_nobody_alone(self) -> None:
        self.lone.mesh.slots.is_changed(Settings(uplink=1_000_000))
        for key in self.keys:
            self.lone.accept(self.other, Graft(key, 8))
        self.assertTrue(all(self.other in self.lone.feed(key).children for key in self.keys))
        self.assertEqual(self.lone.mesh.counters.nacks_over_bound, 0)

    def test_a_hundredth_of_all_that_is_lost_is_no_storm(self) -> None:
        for number in range(1_000):  # at 30 packets/s
            self.lone.accept(self.other, Nack(self.keys[number % 300], (Range(7, 7),)))
            self.lone.now += 1 / 90
        self.assertEqual((self.lone.mesh.counters.nacks_over_bound, self.pen.hung_up), (0, ""))

    def test_a_graft_above_the_bound_is_refused_with_a_word(self) -> None:
        for _ in range(2_000):
            self.lone.accept(self.other, Graft(self.keys[0], 8))
        refused = [prune.refusal for prune in self.pen.of(Prune)]
        self.assertEqual(refused[-1], Refusal.CONGESTED)
        self.assertEqual(self.pen.hung_up, "")

    def test_it_is_not_asked_for_packets_more_often_than_it_allows(self) -> None:
        lone = Lone()
        parent, pen = lone.fed_by(2)
        for number in range(lone.feed().top, lone.feed().top + 2_000, 2):
            lone.data(parent, number & MASK, apart=1 / (5 * RATE))
        asked = len(pen.of(Nack))
        self.assertGreater(asked, 40)
        self.assertLess(asked, 50 + 50 * 2 * 9 / 8)


class LiarTest(TestCase):
    def setUp(self) -> None:
        self.lone = Lone()
        self.parent, _ = self.lone.fed_by(2)
        self.bad, self.pen = self.lone.neighbour(9, 0.01)

    def feed_on(self, seconds: float, lose: int = 0) -> None:
        """The parent goes on; one packet in so many is lost."""
        for _ in range(int(seconds * RATE)):
            number = self.lone.feed().top + 1
            self.lone.data(self.parent, number + 1 if lose and number % lose == 0 else number)
            self.lone.pass_time(1 / RATE)

    def test_who_says_that_it_has_it_and_never_sends_it_is_left(self) -> None:
        for _ in range(160):
            self.lone.accept(self.bad, have(self.lone.feed().top + 100))
            self.feed_on(0.1, lose=3)
            if self.pen.hung_up:
                break
        self.assertTrue(self.pen.hung_up)
        self.assertFalse(self.parent.wire.hung_up)  # type: ignore[attr-defined]

    def test_who_says_that_it_has_more_and_feeds_nobody_is_asked_ever_more_rarely(self) -> None:
        self.lone.mesh.link_down(self.parent, self.lone.now)
        for number in range(300):
            self.lone.accept(self.bad, have(300 + number, free=8))
            self.lone.pass_time(0.2)
        self.assertTrue(3 <= self.lone.feed().counters.grafts <= 6)

    def test_who_pushes_data_that_nobody_asked_for_is_left(self) -> None:
        for _ in range(int(20 * RATE)):
            number = self.lone.feed().top + 1
            self.lone.data(self.parent, number)
            self.lone.feed().doubled(number, 0, self.bad, self.lone.now)
            self.lone.pass_time(1 / RATE)
            if self.pen.hung_up:
                break
        self.assertTrue(self.pen.hung_up)

    def test_an_old_parents_last_packets_are_no_nuisance(self) -> None:
        for number in range(5):
            self.lone.feed().doubled(200 - number, 0, self.bad, self.lone.now)
            self.lone.pass_time(0.02)
        self.assertEqual(self.bad.score, 0)

    def test_who_speaks_of_our_own_stream_beyond_what_we_sent_is_left(self) -> None:
        lone = Lone()
        bad, pen = lone.neighbour(9)
        mine = KEY._replace(origin=node_of(1) | 7)
        feed = lone.mesh.begin(mine, lone.now)
        feed.sent(0, 1_000, 0, lone.now)
        for _ in range(6):
            lone.accept(bad, have(500, key=mine))
            lone.now += 0.1
        self.assertEqual(lone.mesh.counters.stolen, 6)
        self.assertTrue(pen.hung_up)

    def test_what_this_node_sent_before_it_was_started_anew_is_not_stolen(self) -> None:
        good, pen = self.lone.neighbour(8)
        mine = KEY._replace(origin=node_of(1) | 7)
        for number in range(10):
            self.lone.accept(good, have(500, key=mine))
            feed = self.lone.mesh.feeds[mine]
            feed.took(number, SIZE, number, 0, 0, good, self.lone.now)
        self.assertEqual((self.lone.mesh.counters.stolen, good.score, pen.hung_up), (0, 0, ""))

    def test_of_a_have_that_was_too_much_the_rest_is_not_listened_to(self) -> None:
        lone = Lone()
        bad, pen = lone.neighbour(9)
        pen.hang_up = lambda why, now: lone.mesh.link_down(bad, now)  # type: ignore[method-assign]
        mine, others = KEY._replace(origin=node_of(1) | 7), KEY._replace(source=5)
        lone.mesh.begin(mine, lone.now).sent(0, 1_000, 0, lone.now)  # type: ignore[union-attr]
        both = have(500, key=mine).streams + have(7, key=others).streams
        for _ in range(6):
            lone.accept(bad, Have(both))
            lone.now += 0.1
        self.assertNotIn(bad.node, lone.mesh.neighbours)
        self.assertFalse(any(bad in feed.theirs or feed.joining is bad for feed in lone.mesh.feeds.values()))

    def test_a_parent_that_drops_what_it_should_send_on_is_left_for_another(self) -> None:
        other, pen = self.lone.neighbour(10)
        for _ in range(6):
            self.lone.accept(other, have(self.lone.feed().top, path=(7, 10), cost=90_000))
            self.feed_on(0.5, lose=2)
        self.assertEqual(len(pen.of(Graft)), 1)
        self.assertGreater(self.lone.feed().counters.kept_back, 0)

    def test_a_range_of_everything_costs_no_more_than_the_bound(self) -> None:
        self.lone.accept(self.bad, Graft(KEY, 0x80000000, (Range(0, 0xFFFFFFFF),) * 60))
        self.lone.accept(self.bad, Graft(KEY, 0, (Range(0, 0xFFFFFFFF),) * 60))
        self.assertLess(len(self.pen.resent), 600)


class ExcludedTest(TestCase):
    def setUp(self) -> None:
        self.lone = Lone()
        self.contacts = self.lone.mesh.contacts

    def test_it_is_for_ten_seconds_then_twice_as_long_each_time_up_to_ten_minutes(self) -> None:
        lasted = []
        for _ in range(9):
            self.contacts.exclude(node_of(9), self.lone.now)
            began = self.lone.now
            while self.contacts.is_excluded(node_of(9), self.lone.now):
                self.lone.now += 1.0
            lasted.append(self.lone.now - began)
        self.assertEqual(lasted[:3], [MISBEHAVED_BACK_OFF, 20.0, 40.0])
        self.assertEqual(lasted[-2:], [MISBEHAVED_BACK_OFF_MOST] * 2)

    def test_good_conduct_for_long_is_a_new_beginning(self) -> None:
        self.contacts.exclude(node_of(9), self.lone.now)
        self.contacts.exclude(node_of(9), self.lone.now + 1_000)
        self.assertFalse(self.contacts.is_excluded(node_of(9), self.lone.now + 1_000 + MISBEHAVED_BACK_OFF))

    def test_of_who_has_a_newer_link_when_the_time_is_over_the_older_does_not_come_back(self) -> None:
        bad, pen = self.lone.neighbour(9)
        pen.is_named = True
        self.lone.mesh.blame(bad, 2 * SCORE_LEAST, self.lone.now)
        self.lone.pass_time(MISBEHAVED_BACK_OFF - 0.1)
        self.assertIs(self.lone.mesh.standing.of(bad.node), bad)
        self.lone.now += 0.2  # before it is tidied
        newer, _ = self.lone.neighbour(9)
        self.lone.pass_time(2.0)
        self.assertIs(self.lone.mesh.neighbours[bad.node], newer)

    def test_it_is_not_dialled_nor_let_in_nor_told_of(self) -> None:
        self.contacts.exclude(node_of(9), self.lone.now)
        self.assertFalse(self.contacts.reach(sample_of(9), GROUP, "urgent", self.lone.now))
        _, pen = self.lone.neighbour(9, enters=False)
        self.assertTrue(pen.hung_up)
        circle = self.lone.mesh.circles[GROUP]
        circle.learn((sample_of(9),), self.lone.now)
        self.assertEqual(circle.passive, {})

    def test_who_was_being_dialled_then_can_be_dialled_later(self) -> None:
        now = self.lone.now
        self.contacts.reach(sample_of(9), GROUP, "neighbour", now)
        self.contacts.exclude(node_of(9), now)
        self.assertFalse(self.contacts.reach(sample_of(9), GROUP, "neighbour", now))
        self.contacts.reach(sample_of(9), GROUP, "neighbour", now + MISBEHAVED_BACK_OFF)
        self.assertEqual(len(self.lone.dialled), 2)

    def test_those_who_are_remembered_have_a_bound(self) -> None:
        self.patch(backoffs, "NODES_MAX", 10)
        for number in range(50):
            self.contacts.exclude(number, self.lone.now)
        self.assertEqual(len(self.contacts.excluded), 10)

    def test_connections_being_opened_and_what_waits_for_them_have_bounds(self) -> None:
        for number in range(500):
            sample = sample_of(1)._replace(node=(number + 5) << 40)
            for _ in range(20):
                self.contacts.tell(sample, GROUP, Find(GROUP, Meeting.QUERY), self.lone.now)
        self.assertEqual(len(self.lone.dialled), REACHING_MAX)
        self.assertEqual({len(waiting) for waiting in self.contacts._messages.values()}, {MESSAGES_MAX})

    def test_nothing_waits_for_who_cannot_be_dialled(self) -> None:
        mesh = self.lone.mesh
        self.lone.dial = lambda sample, now: mesh.not_reached(sample.node, now)  # type: ignore[method-assign]
        nowhere = sample_of(9)._replace(addresses=())
        self.assertFalse(self.contacts.reach(nowhere, GROUP, "neighbour", self.lone.now))
        self.contacts.tell(nowhere, GROUP, Find(GROUP, Meeting.QUERY), self.lone.now)
        self.assertEqual(({}, {}), (self.contacts._messages, self.contacts._reaching))

    def test_a_link_that_comes_up_is_told_what_waited_for_it(self) -> None:
        self.contacts.tell(sample_of(9), GROUP, Find(GROUP, Meeting.QUERY), self.lone.now)
        _, pen = self.lone.neighbour(9, enters=False)
        self.assertEqual(len(pen.of(Find)), 1)
        self.assertEqual(pen.of(Have), [])
        self.assertEqual(self.contacts._messages, {})

    def test_a_link_that_nothing_goes_over_is_hung_up(self) -> None:
        _, pen = self.lone.neighbour(9, enters=False)
        self.lone.pass_time(GUARD + 4.0)
        self.assertTrue(pen.hung_up)
