"""Whole nodes on cables, all in one mesh or at its border: what comes of links, groups and packets."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.link import UNHEARD
from multicastmw.core.mesh import conduct, mesh
from multicastmw.core.mesh.destination import LEAVE_AFTER, LIVE_FOR, SENDER_LEAVES_AFTER
from multicastmw.core.mesh.feed import BITS_TOLD, RATE_TOLD
from multicastmw.core.mesh.meeting import ASKS
from multicastmw.core.mesh.settings import FORGET, Settings
from multicastmw.wire.cops import Op
from multicastmw.wire.mesh import Beacon, Find, Have, Held, Kind, Load, Meeting, MeshMessage, Peers
from multicastmw.wire.messages import decode, encode
from tests.core.cable import Cable, Node, World
from tests.core.mesh.nodes import MeshNode

GROUP, OTHER = 0xEF010101, 0xEF010102
RELAY = Settings(uplink=20_000, relay=True)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(7)
        self.a = MeshNode(self.world, "a", RELAY)

    def join(self, name: str, settings: Settings | None = None) -> MeshNode:
        """A node that knows a, and has found its way in."""
        node = MeshNode(self.world, name, settings)
        self.world.connect(node, self.a)
        self.world.run(3)
        return node


class Apart(MeshNode):
    """A node to which the way from whoever is not linked with it is cut, both ways."""

    def reaches(self, other: Node) -> bool:
        return False


class InSite(MeshNode):
    """A node of one of two sites; the ways between these are cut, and both reach who is in neither."""

    def reaches(self, other: Node) -> bool:
        return other.name[0] in (self.name[0], "a")


class Links(Case):
    def test_two_that_speak_the_mesh_are_neighbours_and_tell_each_other_no_routes(self) -> None:
        b = self.join("b")
        b.host.wants(GROUP)
        self.world.run(3)
        self.assertEqual(({"b"}, {"a"}), (self.a.neighbours(0), b.neighbours(0)))
        self.assertEqual([], self.a.room.reach.nodes())
        written = [message for cable in self.world.cables for end in cable.ends for _, message in end.written]
        plain = [message for message in written if message[1] in (Op.ADD_ROUTE, Op.REMOVE_ROUTE)]
        self.assertEqual([], plain)

    def test_three_may_be_linked_in_a_circle(self) -> None:
        b, c = self.join("b"), self.join("c")
        self.world.connect(b, c)
        self.world.run(5)
        self.assertEqual(2, len(b.room.by_node))
        self.assertEqual(2, len(c.room.by_node))
        self.assertEqual(0, sum(node.room.counters.cycles_refused for node in (self.a, b, c)))

    def test_a_newer_link_with_the_same_node_goes_on_where_the_older_was(self) -> None:
        b = self.join("b")
        b.host.wants(GROUP)
        self.a.host.wants(GROUP)
        self.world.run(5)
        before = b.mesh.neighbours[self.a.id]
        self.assertEqual({"a"}, b.neighbours(GROUP))
        self.world.connect(b, self.a)
        self.world.run(0.5)
        self.assertIs(before, b.mesh.neighbours[self.a.id])
        self.assertIs(b.link(self.a), before.wire)
        self.assertEqual(({"a"}, {"b"}), (b.neighbours(GROUP), self.a.neighbours(GROUP)))

    def test_who_was_started_anew_before_its_older_link_was_down_is_what_it_says_now(self) -> None:
        b = self.join("b")
        for is_relay in (True, False, True):
            was = next(node for node in self.world.nodes if node.name == "a")
            was.stop()
            self.world.nodes.remove(was)
            for cable in self.world.cables:
                cable.cut()
            settings = Settings(uplink=1_000 * (1 + is_relay), relay=is_relay)
            a = MeshNode(self.world, "a", settings, address=was.address)
            self.world.connect(b, a)
            self.world.run(1)
            neighbour = b.mesh.neighbours[a.id]
            self.assertEqual(settings.uplink, neighbour.capabilities.uplink)
            self.assertEqual(is_relay, a.id in {each.node for each in b.mesh.contacts.known_relays()})
        self.assertEqual({"b"}, a.neighbours(0))

    def test_what_was_lost_with_the_older_link_is_said_again(self) -> None:
        for seed in range(0, 40, 2):
            self.world = World(seed)
            self.a = MeshNode(self.world, "a", RELAY)
            b = self.join("b")
            self.a.host.wants(GROUP)
            self.world.run(1)
            b.host.wants(GROUP)
            self.world.run(0.004)  # it asks a, and a's answer is under way
            self.world.connect(b, self.a)
            self.world.run(2)
            self.assertEqual(({"b"}, {"a"}), (self.a.neighbours(GROUP), b.neighbours(GROUP)), seed)

    def test_an_answer_that_was_lost_is_given_again(self) -> None:
        b = self.join("b")
        lost: list[Peers] = []
        link = self.a.link(b)
        say = link.say

        def say_but_the_first(message: MeshMessage, now: float) -> None:
            if not lost and isinstance(message, Peers) and message.kind == Kind.NEIGHBOUR:
                lost.append(message)
            else:
                say(message, now)

        link.say = say_but_the_first
        self.a.host.wants(GROUP)
        self.world.run(1)
        b.host.wants(GROUP)
        self.world.run(3)
        self.assertEqual(1, len(lost))
        self.assertEqual(({"b"}, {"a"}), (self.a.neighbours(GROUP), b.neighbours(GROUP)))

    def test_two_that_join_hundreds_of_groups_at_once_are_neighbours_in_all_and_leave_nobody_alone(
        self,
    ) -> None:
        nodes = [self.join(name) for name in "bc"]
        groups = range(OTHER, OTHER + 400)
        for node in nodes:
            for group in groups:
                node.host.wants(group)
        within = len(groups) / ASKS + 3
        self.world.run_until(lambda: all(nodes[0].neighbours(group) == {"c"} for group in groups), within)
        self.world.run(60)
        for node in (self.a, *nodes):
            self.assertEqual(
                (0, 0), (node.mesh.counters.left_for_conduct, node.mesh.counters.peers_over_bound)
            )
            self.assertEqual(2, len(node.mesh.neighbours))

    def test_a_neighbour_that_falls_silent_is_given_up_within_seconds(self) -> None:
        b = self.join("b")
        for cable in self.world.cables:
            cable.cut()
        self.world.air.spoil(self.a, b, hole=True)
        took = self.world.run_until(lambda: not self.a.mesh.neighbours, 20)
        self.assertLess(took, UNHEARD + 1)
        self.assertEqual(set(), self.a.neighbours(0))

    def test_what_a_peer_without_capabilities_says_of_the_mesh_is_counted_alone(self) -> None:
        s = Node(self.world, "s")
        self.world.connect(s, self.a)
        self.world.run(1)
        self.assertIsNone(self.a.link(s).neighbour)
        self.assertEqual({}, self.a.mesh.neighbours)


class Streams(Case):
    def test_every_packet_from_the_first_on_once_and_in_order(self) -> None:
        others = [self.join(name) for name in "bcd"]
        for node in others:
            node.host.wants(GROUP)
        self.world.run(3)
        sent = self.sends(100)
        self.world.run(1)
        for node in others:
            self.assertEqual(sent, node.host.packets, node.name)
            self.assertEqual({15}, {hop_limit for _, hop_limit in node.host.got})

    def sends(self, count: int, more: bytes = b"") -> list[bytes]:
        """a sends so many; gives what each was."""
        sent = [b"%03d" % number + more for number in range(count)]
        for inner in sent:
            self.a.send(GROUP, inner=inner)
            self.world.run(0.01)
        return sent

    def test_of_two_feeds_the_copies_are_no_duplicates_and_one_may_go(self) -> None:
        others = [self.join(name) for name in "bcd"]
        e = self.join("e", Settings(uplink=0, feeds=2))
        for node in (*others, e):
            node.host.wants(GROUP)
        self.world.run(3)
        sent = self.sends(800)
        (feed,) = [each for each in e.mesh.feeds.values() if not each.is_shared]
        (stream,) = [each for each in e.forwarder.streams.coming.values() if each.feed is feed]
        assert feed.parent and feed.second
        self.assertGreater(feed.counters.copies, 200)
        self.assertLessEqual(stream.window.duplicates, 1)  # the first packet went by the shared tree, too
        asked, (lost,) = feed.counters.asked, (n for n in (self.a, *others) if n.id == feed.second.node)
        self.world.air.spoil(lost, e, hole=True)
        sent += self.sends(200)
        self.world.run(1)
        self.assertEqual(sorted(sent), sorted(e.host.packets))
        self.assertEqual((asked, 0), (feed.counters.asked, stream.window.lost))

    def test_what_began_while_there_was_no_room_enters_the_mesh_when_there_is(self) -> None:
        b = self.join("b")
        b.host.wants(GROUP)
        self.world.run(3)
        self.patch(mesh, "FEEDS_MAX", 4)  # of which one is shared
        for source in range(1, 5):
            self.a.send(GROUP, source=source)
        self.world.run(1)
        self.assertEqual(3, len(b.host.packets))
        self.world.run(FORGET + 2)
        self.a.send(GROUP, source=4)
        self.a.forwarder.streams.tick(self.world.now)
        for _ in range(5):
            self.a.send(GROUP, source=4)
            self.world.run(0.1)
        self.world.run(1)  # as the first numbers are waited for
        self.assertEqual(8, len(b.host.packets))

    def test_who_only_sends_and_pauses_for_longer_than_it_stays_is_heard_at_once_again(self) -> None:
        sender, b = self.join("s"), self.join("b")
        b.host.wants(GROUP)
        self.world.run(3)
        for pause in (SENDER_LEAVES_AFTER + 5, FORGET + 10):
            before = len(b.host.packets)
            for _ in range(50):
                sender.send(GROUP)
                self.world.run(0.02)
            self.world.run(1)
            self.assertEqual(50, len(b.host.packets) - before)
            self.world.run(pause)
        self.assertEqual(set(), sender.neighbours(GROUP))

    def test_who_does_not_want_order_gets_what_comes_as_it_comes(self) -> None:
        b = self.join("b", Settings(uplink=20_000, hold=0.0))
        b.host.wants(GROUP)
        self.world.run(3)
        self.world.air.spoil(self.a, b, loss=0.2)
        sent = self.sends(200)
        self.world.run(2)
        self.assertEqual(sent, sorted(b.host.packets))
        self.assertNotEqual(sorted(b.host.packets), b.host.packets)

    def test_who_is_in_between_passes_on_what_its_own_programs_wait_for(self) -> None:
        """b feeds c: what b's host waits for has not waited on its way to c."""
        slim = Settings(uplink=1_500, relay=True)
        self.a.mesh.settings = slim
        b, c = self.join("b"), self.join("c", Settings(uplink=0))
        for node in (b, c):
            node.host.wants(GROUP)
        self.world.run(3)
        self.world.air.spoil(self.a, b, loss=0.1)
        self.world.air.spoil(self.a, c, loss=0.1)
        sent = self.sends(300, bytes(500))
        self.world.run(2)
        for node in (b, c):
            self.assertEqual(sent, node.host.packets, node.name)
            (feed,) = [feed for feed in node.mesh.feeds.values() if feed.key[1:] == (GROUP, 1)]
            self.assertGreater(feed.counters.held, 0)

    def test_what_the_air_loses_is_asked_for_again_and_says_the_same_hop_limit(self) -> None:
        b = self.join("b")
        b.host.wants(GROUP)
        self.world.run(3)
        self.world.air.spoil(self.a, b, loss=0.1)
        sent = self.sends(200)
        self.world.air.spoil(self.a, b, loss=0.0)
        self.world.run(2)
        self.assertEqual(sent, b.host.packets)
        (feed,) = [feed for feed in b.mesh.feeds.values() if feed.key[1:] == (GROUP, 1)]
        self.assertGreater(feed.counters.recovered, 10)
        self.assertEqual({15}, {hop_limit for _, hop_limit in b.host.got})

    def test_who_wants_another_group_gets_nothing(self) -> None:
        b, c = self.join("b"), self.join("c")
        b.host.wants(GROUP)
        c.host.wants(OTHER)
        self.world.run(3)
        self.a.send(GROUP, inner=b"x")
        self.world.run(1)
        self.assertEqual(([b"x"], []), (b.host.packets, c.host.packets))
        self.assertNotIn(GROUP, c.mesh.circles)

    def test_who_wants_it_no_more_is_no_child_at_once_and_leaves_the_group_later(self) -> None:
        b = self.join("b")
        b.host.wants(GROUP)
        self.world.run(3)
        self.a.send(GROUP, ttl=8)
        self.world.run(1)
        (feed,) = [feed for feed in self.a.mesh.feeds.values() if feed.key[1:] == (GROUP, 1)]
        self.assertEqual(1, len(feed.takers))
        b.host.unwants(GROUP)
        self.world.run(1)
        self.assertEqual((), feed.takers)
        self.assertIn(GROUP, b.mesh.circles)
        self.world.run(LEAVE_AFTER + 1)
        self.assertNotIn(GROUP, b.mesh.circles)

    def test_who_does_not_hear_that_it_is_pruned_is_not_left_alone_before_tcp_says_so(self) -> None:
        b, c = self.join("b"), self.join("c")
        self.world.connect(c, b)
        for node in (self.a, b, c):
            node.host.wants(GROUP)
        self.world.run(3)
        self.film(5.0)
        (feed,) = [feed for feed in c.mesh.feeds.values() if not feed.is_shared]
        for parent in (b, self.a):
            feed.upstream.graft(c.mesh.neighbours[parent.id], self.world.now)
            self.film(0.5)
            self.world.air.way(c, b).hole = True  # one way; the other one is whole
        self.assertIs(feed.parent, c.mesh.neighbours[self.a.id])
        self.film(16.0)
        self.assertEqual(0, c.mesh.counters.left_for_conduct)
        self.assertNotIn(c.id, [child.node for child in b.mesh.feeds[feed.key].takers])

    def film(self, seconds: float) -> None:
        for number in range(round(seconds * 25)):
            self.a.send(GROUP, inner=b"%d" % number)
            self.world.run(0.04)

    def test_a_hop_limit_of_two_reaches_the_next_node_and_no_further(self) -> None:
        b = self.join("b")
        b.host.wants(GROUP)
        self.world.run(3)
        self.a.send(GROUP, ttl=2, inner=b"near")
        self.a.send(GROUP, ttl=1, inner=b"here")
        self.world.run(1)
        self.assertEqual([(b"near", 1)], b.host.got)

    def test_a_relay_stands_between_two_that_nobody_can_dial(self) -> None:
        c, d = (self.join(name, Settings(uplink=20_000, nat=True)) for name in "cd")
        c.host.wants(GROUP)
        self.world.run(3)
        for number in range(20):
            d.send(GROUP, inner=b"%d" % number)
            self.world.run(0.05)
        self.world.run(1)
        self.assertEqual([b"%d" % number for number in range(20)], c.host.packets)
        self.assertEqual([], self.a.host.packets)
        self.assertIn(GROUP, self.a.mesh.served)

    def test_who_is_between_two_that_cannot_reach_each_other_feeds_the_one_for_good(self) -> None:
        """It tells the one of the other, whom that dials in vain again and again: which is nobody's lie."""
        b, c = (Apart(self.world, name, Settings(uplink=20_000)) for name in "bc")
        for node in (b, c):
            self.world.connect(node, self.a)
            node.host.wants(GROUP)
        self.world.run(3)
        for second in range(600):
            b.send(GROUP, inner=b"%d" % second)
            self.world.run(1)
        self.assertEqual(list(range(600)), [int(packet) for packet in c.host.packets])
        for node in (self.a, b, c):
            self.assertEqual((node.name, 0), (node.name, node.mesh.counters.false_samples))


class TwoSites(Case):
    def test_who_is_between_two_sites_feeds_them_for_good(self) -> None:
        """To one it tells of the other's members, whom that dials in vain: it is doubted, and no more."""
        self.patch(conduct, "FALSE_LEAST", 3)  # some minutes' dials
        one, *others = (InSite(self.world, name) for name in ("b", *(f"c{number}" for number in range(8))))
        self.a.host.wants(GROUP)
        for node in (one, *others):
            self.world.connect(node, self.a)
            node.host.wants(GROUP)
        self.world.run(10)
        for number in range(600):
            others[0].send(GROUP, inner=b"%d" % number)
            self.world.run(0.2)
        self.assertEqual({"a"}, one.neighbours(GROUP))
        for node in (one, *others[1:]):
            self.assertEqual(list(range(600)), sorted(map(int, node.host.packets)), node.name)
        self.assertLess(0, one.mesh.counters.false_samples)
        self.assertEqual(0, sum(node.mesh.counters.left_for_conduct for node in (self.a, one, *others)))


class ManyStreams(Case):
    """a sends a hundred streams to three others; then what goes to one of these is lost, of all at once."""

    def setUp(self) -> None:
        super().setUp()
        self.a.mesh.slots.is_changed(Settings(uplink=1_000_000))
        self.others = [self.join(name, Settings(uplink=1_000_000)) for name in "bcd"]
        for place, node in enumerate(self.others):
            self.world.connect(node, self.others[place - 1])
            node.host.wants(GROUP)
        self.world.run(3)
        self.number = 0

    def play(self, seconds: float) -> None:
        """Five packets a second of each."""
        for _ in range(round(seconds * 5)):
            for source in range(1, 101):
                self.a.send(GROUP, source=source, inner=b"%d %d" % (source, self.number))
                self.world.run(0.002)
            self.number += 1

    def test_the_death_of_a_link_is_repaired_and_nobody_is_left_alone(self) -> None:
        last = self.others[-1]
        self.play(6.0)
        fed = [feed for feed in last.mesh.feeds.values() if feed.parent is not None and not feed.is_shared]
        self.assertEqual(100, len(fed))
        self.world.air.spoil(self.a, last, hole=True)
        self.number = 1_000
        self.play(3.0)
        self.world.run(1)
        late = {inner for inner in last.host.packets if int(inner.split()[1]) >= 1_000}
        self.assertEqual(100 * 15, len(late))
        for node in (self.a, *self.others):
            self.assertEqual(0, node.mesh.counters.left_for_conduct, node.name)
            self.assertEqual(0, node.mesh.counters.nacks_over_bound, node.name)


class Border(Case):
    """s is static and dials b, which is in the mesh with a and c."""

    def setUp(self) -> None:
        super().setUp()
        self.b, self.c = self.join("b"), self.join("c")
        self.s = Node(self.world, "s")
        Cable(self.world, self.s, self.b)
        self.world.run(3)

    def test_what_members_want_is_wanted_in_the_tree_and_no_more_when_they_are_gone(self) -> None:
        self.c.host.wants(GROUP)
        self.world.run(5)
        self.assertEqual([GROUP], [channel.group for channel in self.s.told_by(self.b)])
        self.s.send(GROUP, inner=b"x")
        self.world.run(1)
        self.assertEqual([b"x"], self.c.host.packets)
        self.c.host.unwants(GROUP)
        self.world.run(LEAVE_AFTER + 150 + LIVE_FOR)
        self.assertEqual(set(), self.s.told_by(self.b))

    def test_what_came_from_the_tree_while_there_was_no_room_enters_the_mesh_when_there_is(self) -> None:
        self.c.host.wants(GROUP)
        self.world.run(5)
        self.patch(mesh, "FEEDS_MAX", 0)
        self.s.send(GROUP, inner=b"0")
        self.world.run(1)
        self.assertEqual([], self.c.host.packets)
        self.patch(mesh, "FEEDS_MAX", 10)
        self.b.forwarder.streams.tick(self.b.forwarder.streams.deadline())
        for number in range(5):
            self.s.send(GROUP, inner=b"%d" % number)
            self.world.run(0.1)
        self.world.run(1)  # as the first numbers are waited for
        self.assertEqual([b"%d" % number for number in range(5)], self.c.host.packets)

    def test_of_hundreds_of_groups_each_stays_wanted_in_the_tree(self) -> None:
        groups = set(range(OTHER, OTHER + 200))
        for group in groups:
            self.c.host.wants(group)
        self.world.run(30)
        for _ in range(50):
            self.assertEqual(groups, {channel.group for channel in self.s.told_by(self.b)})
            self.world.run(1)

    def test_what_the_tree_wants_is_brought_there(self) -> None:
        self.s.host.wants(GROUP)
        self.world.run(5)
        for number in range(10):
            self.c.send(GROUP, inner=b"%d" % number)
            self.world.run(0.05)
        self.world.run(1)
        self.assertEqual([b"%d" % number for number in range(10)], self.s.host.packets)


class Lies(Case):
    """What a neighbour may say is more than fits our own words."""

    def test_the_longest_way_and_the_largest_group_are_said_on_as_far_as_they_fit(self) -> None:
        b, c = self.join("b"), self.join("c")
        for node in (b, c):
            node.host.wants(GROUP)
        self.world.run(5)
        self.a.send(GROUP, ttl=8)
        self.world.run(1)
        (feed,) = [feed for feed in b.mesh.feeds.values() if feed.key[1:] == (GROUP, 1)]
        most = 0xFFFFFFFF
        lie = Beacon((1,) * 32, most, most, most)
        held = Held(feed.key, feed.top + 1, (), Load(0xFFFF, False, True, 254, 0xFFFF), lie)
        assert feed.parent is not None
        parent = feed.parent
        feed.rate = 0.0
        b.mesh.accept(parent, Have((held,)), self.world.now)
        said = feed.held(beacon=feed.top, way=True)
        self.assertEqual((most, 32), (said.beacon.cost, len(said.beacon.path)))
        self.assertEqual((RATE_TOLD, BITS_TOLD), (said.beacon.rate, said.beacon.bits))
        self.assertEqual(Have((said,)), decode(encode(Have((said,)))).message)
        register = Find(GROUP, Meeting.REGISTER, (b.mesh.sample(),), most)
        for _ in range(5_000):
            self.a.mesh.meeting.accept(self.a.mesh.neighbours[b.id], register, self.world.now)
        reply = self.a.mesh.meeting._reply(GROUP, b.id, self.world.now)
        self.assertEqual(1 << 20, reply.estimate)
        encode(reply)

    def test_who_does_not_know_where_it_is_seen_is_passed_on_as_it_is_seen(self) -> None:
        b, c = self.join("b"), self.join("c")
        for node in (self.a, b, c):
            node.host.wants(GROUP)
        self.world.run(5)
        mine = b.mesh.sample()
        self.assertEqual((), mine.addresses)
        seen = self.a.mesh._as_seen(mine)
        self.assertEqual([b.address], [address.host for address in seen.addresses])
