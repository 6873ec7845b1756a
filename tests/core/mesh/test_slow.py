"""Streams that pause for long, by trees of their own: nobody is blamed or leaves, and all of it comes."""

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.mesh.feed import NEAR_NUMBERS
from multicastmw.core.mesh.settings import SLOW, Settings
from multicastmw.wire.data import RETRANSMITTED
from multicastmw.wire.mesh import Graft, Nack
from tests.core.cable import World
from tests.core.mesh.kit import KEY, SIZE, Hall, Lone, have
from tests.core.mesh.nodes import MeshNode

GROUP = 0xEF010101
EVERY = 5.0
TTL = 8  # so that each has a tree of its own


class Slow(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(7)
        self.nodes = [MeshNode(self.world, "a", Settings(uplink=20_000, relay=True))]

    def join(self, uplink: int = 20_000) -> MeshNode:
        node = MeshNode(self.world, "abcdefgh"[len(self.nodes)], Settings(uplink=uplink))
        self.world.connect(node, self.nodes[0])
        self.nodes.append(node)
        node.host.wants(GROUP)
        self.world.run(3)
        return node

    def test_each_announcement_comes_to_all_and_costs_no_search_for_another_parent(self) -> None:
        for _ in range(4):
            self.join()
        self.nodes[0].send(GROUP, inner=b"0", ttl=TTL)
        self.world.run(EVERY)
        before = self.counted()
        for number in range(1, 10):
            self.nodes[0].send(GROUP, inner=b"%d" % number, ttl=TTL)
            self.world.run(EVERY)
        for node in self.nodes[1:]:
            self.assertEqual([b"%d" % number for number in range(10)], node.host.packets, node.name)
            (feed,) = [feed for feed in node.mesh.feeds.values() if feed.key.group == GROUP]

            self.assertTrue(feed.is_slow, feed.rate)
            self.assertLess(feed.rate, SLOW)
            self.assertEqual(0, node.mesh.counters.left_for_conduct)
        self.assertEqual(before, self.counted())

    def counted(self) -> list[tuple[int, int, int]]:
        """Of each node: grafts, polls, and how often it lost its parent."""
        feeds = [f for node in self.nodes for f in node.mesh.feeds.values() if f.key.group == GROUP]
        return [(f.counters.grafts, f.counters.polled, f.counters.orphaned) for f in feeds]

    def test_who_gives_nothing_is_heard_all_the_same(self) -> None:
        poor = self.join(uplink=0)
        others = [self.join() for _ in range(3)]
        for number in range(5):
            poor.send(GROUP, inner=b"%d" % number, ttl=TTL)
            self.world.run(EVERY)
        (feed,) = [feed for feed in poor.mesh.feeds.values() if feed.ours]
        self.assertEqual((1, 0), (len(feed.children), poor.mesh.counters.switched_back))
        for node in others:
            self.assertEqual([b"%d" % number for number in range(5)], node.host.packets, node.name)


class Tails(SynchronousTestCase):
    """What was lost, and no packet follows soon that would show it."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.parent, self.pen = self.lone.fed_by(2)
        self.lone.feed().rate = 1.0

    def asked(self) -> list[tuple[int, int]]:
        return [tuple(each) for nack in self.pen.of(Nack) for each in nack.missing]

    def test_is_asked_for_when_the_parent_says_that_it_has_sent_it(self) -> None:
        self.lone.accept(self.parent, have(202, beacon=True))
        self.lone.pass_time(0.1)
        self.assertEqual([(201, 202)], self.asked())
        self.lone.data(self.parent, 201, 202, flags=RETRANSMITTED)
        self.assertEqual((2, 0), (self.lone.feed().counters.recovered, len(self.lone.feed().missing)))

    def test_what_was_only_overtaken_by_that_is_not(self) -> None:
        self.lone.accept(self.parent, have(201, beacon=True))
        self.lone.pass_time(0.02)
        self.lone.data(self.parent, 201)
        self.lone.pass_time(0.2)
        self.assertEqual(([], 0), (self.asked(), self.lone.feed().counters.missed))

    def test_nor_is_it_where_the_next_packet_is_soon_here(self) -> None:
        self.lone.feed().rate = 100.0
        self.lone.accept(self.parent, have(201, beacon=True))
        self.lone.pass_time(0.09)
        self.assertEqual([], self.asked())


class Led(SynchronousTestCase):
    """Somebody puts packets into a slow stream, over a shared tree of his own."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.parent, self.pen = self.lone.neighbour(2)
        self.next, self.taken = 0, 0
        self.go_on(20)

    def go_on(self, packets: int) -> None:
        for _ in range(packets):
            feed = self.lone.mesh.feed_for(KEY, self.parent, self.lone.now)
            assert feed
            if not feed.refuses(self.parent, self.next, 0, self.lone.now):
                feed.took(self.next, SIZE, b"", 0, 0, self.parent, self.lone.now)
                self.taken += 1
            self.next += 1
            self.lone.pass_time(0.8)

    def test_far_away_and_nothing_changes(self) -> None:
        self.lone.feed().came_otherwise(1_000_000, self.lone.now)
        self.go_on(10)
        self.assertEqual((30, 29), (self.taken, self.lone.feed().top))

    def test_step_by_step_and_the_parent_is_not_blamed_for_going_its_way(self) -> None:
        for step in range(1, 4):
            self.lone.feed().came_otherwise(20 + step * NEAR_NUMBERS, self.lone.now)
        self.go_on(20)
        self.assertEqual((0, ""), (self.parent.score, self.pen.hung_up))
        self.assertEqual(39, self.lone.feed().top)
        self.assertGreater(self.taken, 20 + 14)  # all since nothing had come for three seconds

    def test_what_others_said_of_numbers_that_are_no_more_does_not_count(self) -> None:
        other, pen = self.lone.neighbour(3)
        for step in range(1, 4):
            self.lone.feed().came_otherwise(20 + step * NEAR_NUMBERS, self.lone.now)
        self.lone.accept(other, have(self.lone.feed().top, path=(7, 3)))  # it was led there, too
        for _ in range(3):
            self.go_on(5)
            self.lone.accept(other, have(self.next - 1, path=(7, 3)))
        self.next += 3  # lost, and the other has not sent them either
        self.go_on(1)
        self.lone.pass_time(1.0)
        self.assertEqual((self.next - 1, []), (self.lone.feed().top, pen.of(Nack)))


class Unanswered(SynchronousTestCase):
    """A graft that brings nothing."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.lone.fed_by(2)
        self.other, self.pen = self.lone.neighbour(3)

    def asked(self, highest: int) -> bool:
        """It says that it has so much, and is asked again and again; is it left alone for that?"""
        lone = self.lone
        for _ in range(10):
            lone.accept(self.other, have(highest))
            feed = lone.feed()
            if feed.upstream.joining is None:
                feed.upstream.graft(self.other, lone.now)
            lone.pass_time(1.0)
        self.assertGreater(len(self.pen.of(Graft)), 4)
        return lone.mesh.contacts.is_excluded(self.other.node, lone.now)

    def test_who_has_no_more_than_we_do_is_not_blamed_for_the_pause_of_the_source(self) -> None:
        self.assertFalse(self.asked(200))
        self.assertEqual(0, self.lone.mesh.counters.left_for_conduct)

    def test_who_says_that_it_has_more_is(self) -> None:
        self.assertTrue(self.asked(300))


class Lossy(SynchronousTestCase):
    def test_the_packet_that_is_lost_before_a_pause_is_asked_for_and_nobody_is_blamed(self) -> None:
        hall, random = Hall(), Random(1)
        source, other = hall.person(), hall.person()
        hall.cable(source, other).lost = lambda what: random.random() < 0.05
        for number in range(150):
            source.start(number)
            hall.rest(10.0)
        self.assertEqual(150, len(other.got))
        self.assertEqual((0, 0), (other.feed.counters.kept_back, other.mesh.counters.left_for_conduct))
