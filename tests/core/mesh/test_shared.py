"""Many who seldom speak: their packets go by one tree of the group's rendezvous point, and by their own when
they are fast.  Whole nodes on cables, two of which are relays."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import Channel
from multicastmw.core.mesh import mesh, rendezvous
from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.meeting import weight
from multicastmw.core.mesh.registering import ALONE, LONGEST, LOOK
from multicastmw.core.mesh.rendezvous import ENDS, TALKER_BURST, TALKERS_OF_ONE
from multicastmw.core.mesh.settings import Settings
from multicastmw.wire.cops import Op
from multicastmw.wire.data import build
from multicastmw.wire.mesh import About, Capabilities, Refusal, Register, Registered, Role, StreamKey
from tests.core.cable import Node, World
from tests.core.mesh.kit import GROUP as PENS_GROUP
from tests.core.mesh.kit import UPLINK, Lone, Pen, have, node_of, sample_of
from tests.core.mesh.nodes import MeshNode

GROUP, SSM = 0xEF010101, 0xE8010101
EVERY = 5.0
TTL = 64
RELAY = Settings(uplink=20_000, relay=True)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(7)
        self.relays = [MeshNode(self.world, name, RELAY) for name in "ab"]
        self.world.connect(*self.relays)
        self.others = [MeshNode(self.world, name, Settings(uplink=20_000)) for name in "cdefgh"]
        self.nodes = [*self.relays, *self.others]
        for node in self.others:
            self.world.connect(node, self.relays[0])
            self.world.run(0.5)
            node.host.wants(GROUP)
        self.world.run(5)

    def point(self) -> MeshNode:
        """The group's rendezvous point, of which all think the same."""
        (found,) = {node.mesh.registering.point(GROUP, self.world.now).node for node in self.others}
        return next(node for node in self.relays if node.id == found)

    def announce(self, rounds: int, speakers: list[MeshNode] | None = None) -> list[bytes]:
        """Each says something every five seconds; what they said."""
        said = []
        speakers = self.others if speakers is None else speakers
        for number in range(rounds):
            for node in speakers:
                said.append(b"%s %d" % (node.name.encode(), number))
                node.send(GROUP, self.nodes.index(node) + 1, said[-1], ttl=TTL)
                self.world.run(EVERY / len(speakers))
        return said

    def feeds(self, node: MeshNode, group: int = GROUP) -> list[Feed]:
        """Its streams in the group that come over the mesh, or go out over it."""
        return [feed for key, feed in node.mesh.feeds.items() if key.group == group and feed.top >= 0]

    def count(self, name: str) -> int:
        """Of all nodes."""
        return sum(getattr(node.mesh.counters, name) for node in self.nodes)


class Announcements(Case):
    def test_all_hear_all_once_but_nobody_what_it_said_itself_and_there_is_one_tree(self) -> None:
        said = self.announce(4)
        self.world.run(2)
        for node in self.others:
            heard = [words for words in said if not words.startswith(node.name.encode())]
            self.assertEqual(sorted(heard), sorted(node.host.packets), node.name)
            self.assertTrue(all(feed.is_shared for feed in self.feeds(node)))
        self.assertEqual(len(said), self.count("registered"))
        self.assertEqual(0, self.count("switched_over"))

    def test_who_does_not_know_the_first_relay_is_told_of_it_by_the_next(self) -> None:
        self.announce(2)
        first = self.point()
        before = self.count("registered"), first.mesh.counters.registered
        self.announce(2)
        self.assertEqual(12, self.count("registered") - before[0])
        self.assertEqual(12, first.mesh.counters.registered - before[1])

    def test_a_trace_goes_over_the_point(self) -> None:
        self.announce(2)
        speaker, point = self.others[0], self.point()
        channel = Channel(GROUP, self.nodes.index(speaker) + 1)
        origin = speaker.forwarder.origin
        self.assertEqual([point.id], speaker.destination.children(channel))
        self.assertEqual(speaker.id, point.destination.parent(origin, channel))
        reached, last = {point.id}, set[int]()
        while reached != last:
            last = set(reached)
            for node in self.nodes:
                if node.id in last:
                    reached.update(node.destination.children(channel))
        self.assertLessEqual({node.id for node in self.others[1:]}, reached)
        for node in self.others[1:]:
            self.assertIn(node.destination.parent(origin, channel), reached, node.name)

    def test_who_wants_one_source_hears_that_one(self) -> None:
        picky = self.others[0]
        picky.host.unwants(GROUP)
        picky.host.wants(GROUP, self.nodes.index(self.others[1]) + 1)
        self.world.run(2)
        said = self.announce(3, self.others[1:])
        self.assertEqual([words for words in said if words.startswith(b"d")], picky.host.packets)

    def test_a_packet_s_hops_are_counted_over_the_shared_tree_too(self) -> None:
        self.announce(1, self.others[:1])
        hops = {hop_limit for node in self.others[1:] for _, hop_limit in node.host.got}
        self.assertLessEqual(hops, set(range(TTL - 5, TTL - 1)))
        self.assertTrue(hops)

    def test_who_has_few_hops_goes_alone(self) -> None:
        self.others[0].send(GROUP, 3, b"near", ttl=8)
        self.world.run(2)
        self.assertEqual([b"near"], self.others[1].host.packets)
        self.assertEqual(0, self.count("registers"))

    def test_what_is_too_long_goes_alone(self) -> None:
        self.others[0].send(GROUP, 3, bytes(LONGEST), ttl=TTL)
        self.world.run(2)
        self.assertEqual([bytes(LONGEST)], self.others[1].host.packets)
        self.assertEqual(0, self.count("registers"))

    def test_a_source_specific_group_has_no_shared_tree(self) -> None:
        for node in self.others:
            node.host.wants(SSM, 3)
        self.world.run(3)
        for number in range(3):
            self.others[0].send(SSM, 3, b"%d" % number, ttl=TTL)
            self.world.run(EVERY)
        self.assertEqual([b"0", b"1", b"2"], self.others[1].host.packets)
        self.assertEqual(0, self.count("registers"))

    def test_a_border_s_packets_go_by_their_own_tree_and_the_shared_tree_s_to_its_static_side(self) -> None:
        border, static = self.others[0], Node(self.world, "s")
        self.world.connect(static, border)
        static.host.wants(GROUP)
        self.world.run(3)
        said = self.announce(2, self.others[:2])
        static.send(GROUP, 99, b"static", ttl=TTL)
        self.world.run(2)
        self.assertEqual(said, static.host.packets)
        self.assertEqual(0, border.mesh.counters.registers)
        self.assertEqual([words for words in said if words[:1] == b"c"] + [b"static"],
                         self.others[1].host.packets)  # fmt: skip

    def test_what_is_lost_on_the_way_to_the_point_is_said_again_and_an_answer_that_is_lost_changes_nothing(
        self,
    ) -> None:
        self.announce(2)  # there are links, and all know both relays
        point = self.point()
        before = len(self.others[1].host.packets)
        self.world.air.spoil(self.others[0], point, loss=0.4)
        self.world.air.spoil(point, self.others[0], loss=0.4)
        said = self.announce(12, self.others[:1])
        self.assertEqual(said, self.others[1].host.packets[before:])
        self.assertGreater(self.count("registers_again"), 0)

    def test_what_is_lost_on_the_tree_is_there_long_before_the_next_packet_is(self) -> None:
        self.announce(2)
        hearers = self.others[1:]
        for node in hearers:
            for other in self.nodes:
                if other is not node:
                    self.world.air.spoil(node, other, loss=0.05)
        before = {node: len(node.host.packets) for node in hearers}
        late = 0
        for number in range(40):
            self.others[0].send(GROUP, 3, b"%d" % number, ttl=TTL)
            self.world.run(0.5)
            late += any(len(node.host.packets) - before[node] < number + 1 for node in hearers)
            self.world.run(EVERY - 0.5)
        self.assertLess(late, 4)  # of 40, of which some ten were lost on the way to somebody
        self.assertGreater(sum(f.counters.recovered for node in hearers for f in self.feeds(node)), 2)
        for node in hearers:
            self.assertLess(40 - len(node.host.packets) + before[node], 2, node.name)

    def test_a_point_that_dies_is_found_out_and_the_next_takes_its_place(self) -> None:
        self.announce(2)
        point = self.point()
        before = {node: len(node.host.packets) for node in self.others}
        point.stop()
        speaker, hearer = self.others[0], self.others[1]
        speaker.send(GROUP, 3, b"after", ttl=TTL)
        took = self.world.run_until(lambda: len(hearer.host.packets) > before[hearer], 5)
        self.assertLess(took, 2.0)
        said = self.announce(4)
        self.world.run(2)
        for node in self.others:
            heard = [words for words in [b"after", *said] if not words.startswith(node.name.encode())]
            heard = [words for words in heard if node is not speaker or words != b"after"]
            self.assertEqual(sorted(heard), sorted(node.host.packets[before[node] :]), node.name)
        other = next(node for node in self.relays if node is not point)
        self.assertGreater(other.mesh.counters.registered, len(said))

    def test_where_all_points_are_dead_each_has_its_own_tree(self) -> None:
        self.announce(1)
        for relay in self.relays:
            relay.stop()
        before = len(self.others[1].host.packets)
        self.others[0].send(GROUP, 3, b"alone", ttl=TTL)
        self.world.run_until(lambda: self.others[1].host.packets[before:] == [b"alone"], 5)
        self.assertEqual(1, self.others[0].mesh.counters.switched_over)

    def test_who_comes_hears_nothing_that_was_said_long_before(self) -> None:
        said = self.announce(8)
        newcomer = MeshNode(self.world, "z", Settings(uplink=20_000))
        self.world.connect(newcomer, self.relays[0])
        self.world.run(1)
        newcomer.host.wants(GROUP)
        self.world.run(4)
        self.assertLessEqual(set(newcomer.host.packets), set(said[-8:]))  # of seven seconds

    def test_streams_that_could_not_be_registered_are_once_there_is_a_point(self) -> None:
        world = World(7)
        b, c = (MeshNode(world, name, Settings(uplink=20_000)) for name in "bc")
        world.connect(b, c)
        c.host.wants(GROUP)
        world.run(5)
        b.send(GROUP, 3, b"0", ttl=TTL)
        a = MeshNode(world, "a", RELAY)
        world.connect(a, b)
        world.run(3 * LOOK)
        b.send(GROUP, 3, b"1", ttl=TTL)
        world.run(2)
        self.assertEqual(([b"0", b"1"], 1), (c.host.packets, a.mesh.counters.registered))

    def test_a_group_in_which_nobody_speaks_any_more_is_left_by_its_point(self) -> None:
        self.announce(1)
        point = self.point()
        self.assertIn(GROUP, point.mesh.circles)
        self.world.run(ENDS + 10)
        self.assertNotIn(GROUP, point.mesh.circles)


class Films(Case):
    """A stream that is fast."""

    def film(self, packets: int, rate: float = 30.0, first: int = 0) -> None:
        for number in range(first, first + packets):
            self.others[0].send(GROUP, 3, b"%d" % number, ttl=TTL)
            self.world.run(1 / rate)

    def test_it_has_its_own_tree_from_its_second_packet_on_and_nothing_is_lost_or_comes_twice(self) -> None:
        self.film(2)
        self.assertTrue(self.feeds(self.others[0])[0].is_alone)
        self.film(60, first=2)
        self.world.run(2)
        for node in self.others[1:]:
            self.assertEqual([b"%d" % number for number in range(62)], node.host.packets, node.name)
        self.assertEqual(1, self.count("registers"))
        self.assertEqual(0, sum(f.counters.missed for node in self.others for f in self.feeds(node)))

    def test_a_slow_one_that_becomes_fast_switches_over_within_the_first_packets_and_back_when_it_is_slow(
        self,
    ) -> None:
        for number in range(3):
            self.film(1, 1 / EVERY, number)
        self.assertEqual(0, self.count("switched_over"))
        self.film(90, 30.0, 3)
        self.assertEqual(1, self.count("switched_over"))
        self.assertLess(self.count("registers"), 9)
        self.world.run(2 * LOOK + ALONE / 10)
        registers = self.count("registers")
        for number in range(93, 96):
            self.film(1, 1 / EVERY, number)
        self.assertEqual((1, 3), (self.count("switched_back"), self.count("registers") - registers))
        self.film(90, 30.0, 96)
        self.world.run(2)
        for node in self.others[1:]:
            self.assertEqual([b"%d" % number for number in range(186)], sorted(node.host.packets, key=int))

    def test_nobody_puts_packets_into_one_over_a_shared_tree(self) -> None:
        self.film(90)
        hearer, point = self.others[1], self.point()
        before = len(hearer.host.packets)
        forged = build(
            b"forged", token=0, origin=self.others[0].forwarder.origin, group=GROUP, source=3, sequence=90,
            hop_limit=60,
        )  # fmt: skip
        key = StreamKey(self.others[0].forwarder.origin, GROUP, 3)
        point.mesh.rendezvous.take(Register(key, 90, forged), self.world.now)
        self.world.run(1)
        self.assertGreater(len(self.feeds(hearer)), 1)  # it came there
        self.assertEqual(before, len(hearer.host.packets))


class AsPoint(SynchronousTestCase):
    """What neighbours register, as one node sees it."""

    def setUp(self) -> None:
        self.lone = Lone(RELAY)
        self.by, self.pen = self.lone.neighbour(3)

    def register(
        self, number: int, source: int = 1, *, node: int = 3, size: int = 100, group: int = PENS_GROUP
    ) -> None:
        key = StreamKey(node_of(node) | 5, group, source)
        message = build(
            bytes(size), token=0, origin=key.origin, group=key.group, source=source, sequence=number,
            hop_limit=60,
        )  # fmt: skip
        self.lone.accept(self.by, Register(key, number, message))

    def answers(self) -> list[tuple[int, int]]:
        return [(each.sequence, each.refusal) for each in self.pen.of(Registered)]

    def test_each_is_acknowledged_and_goes_out_once(self) -> None:
        for number in (0, 1, 1):
            self.register(number)
        self.assertEqual([(0, 0), (1, 0), (1, 0)], self.answers())
        self.assertEqual([0, 1], self.lone.spread_numbers)
        self.assertEqual(1, self.lone.mesh.counters.registers_twice)

    def test_two_streams_of_one_node_are_two(self) -> None:
        self.register(0, 1)
        self.register(0, 2)
        self.assertEqual([0, 1], self.lone.spread_numbers)

    def test_who_is_no_relay_refuses_with_one_answer(self) -> None:
        self.lone = Lone(Settings(uplink=20_000))
        self.by, self.pen = self.lone.neighbour(3)
        self.register(0)
        self.assertEqual([(0, Refusal.NO_RELAY)], self.answers())
        self.assertEqual([], self.lone.spread_numbers)

    def test_a_stream_that_is_not_slow_is_sent_on_for_a_while_and_then_not(self) -> None:
        for number in range(40):
            self.register(number)
        self.assertEqual(TALKER_BURST, len(self.lone.spread_numbers))
        self.assertEqual(TALKER_BURST, len(self.answers()))

    def test_a_flood_is_bounded_and_whose_it_is_is_left(self) -> None:
        for number in range(300):
            self.register(0, number + 1)
        self.assertLessEqual(len(self.lone.spread_numbers), 100)
        self.assertGreater(self.lone.mesh.counters.registers_over_bound, 0)
        self.assertNotEqual("", self.pen.hung_up)

    def test_a_node_has_room_for_so_many_streams_and_no_more(self) -> None:
        for number in range(TALKERS_OF_ONE + 9):
            self.register(0, number + 1)
            self.lone.pass_time(0.1)
        self.assertEqual(TALKERS_OF_ONE, len(self.lone.spread_numbers))
        self.assertEqual(9, [refusal for _, refusal in self.answers()].count(Refusal.FULL))

    def test_who_has_no_room_says_so_each_time_and_for_that_stream_alone(self) -> None:
        self.register(0, 1)
        self.answers()
        self.patch(mesh, "FEEDS_MAX", len(self.lone.mesh.feeds))
        for number in (0, 0, 1):
            self.register(number, 2, group=PENS_GROUP + 1)
        self.assertEqual([(0, Refusal.FULL), (0, Refusal.FULL), (1, Refusal.FULL)], self.answers())
        self.register(1, 1)
        self.assertEqual([(1, 0)], self.answers())

    def test_what_is_too_long_is_not_sent_on(self) -> None:
        self.register(0, size=LONGEST)
        self.assertEqual(([], 1), (self.answers(), self.lone.mesh.counters.registers_over_bound))

    def test_nobody_registers_in_another_s_name(self) -> None:
        self.register(0, node=4)
        self.assertEqual(([], []), (self.answers(), self.lone.spread_numbers))
        self.assertEqual(1, self.lone.mesh.counters.registers_refused)
        self.assertLess(self.by.score, 0)

    def test_a_node_that_does_not_know_of_shared_trees_is_not_asked(self) -> None:
        world = World(7)
        a = MeshNode(world, "a", RELAY)
        old = a.mesh.sample
        a.mesh.sample = lambda: old()._replace(flags=old().flags & ~16)  # type: ignore[method-assign]
        flags = a.mesh.capabilities()
        a.mesh.capabilities = lambda: flags._replace(flags=0)  # type: ignore[method-assign]
        b = MeshNode(world, "b", Settings(uplink=20_000))
        world.connect(b, a)
        a.host.wants(GROUP)
        world.run(3)
        b.send(GROUP, 3, b"0", ttl=TTL)
        world.run(1)
        self.assertEqual([b"0"], a.host.packets)
        written = [message for cable in world.cables for end in cable.ends for _, message in end.written]
        sent = [message for _, _, message in world.air.sent]
        self.assertNotIn(Op.REGISTER, {message[1] for message in written + sent})


class Busy(SynchronousTestCase):
    """One who has many slow streams, and the rendezvous point that it registers them with."""

    def setUp(self) -> None:
        self.speaker, self.point = Lone(number=1), Lone(RELAY, number=2)
        self.speaker.send = self.goes_alone  # type: ignore[method-assign]
        self.pens = Pen(), Pen()
        self.alone: set[bytes] = set()
        self.registered: set[bytes] = set()
        self.numbers: dict[int, int] = {}
        self.speaker.mesh.contacts.heard_of(sample_of(2, flags=int(About.RELAY | About.SHARED)))

    def goes_alone(self, feed: Feed, message: bytes, now: float) -> None:
        self.alone.add(message)

    def link_up(self) -> None:
        now, shared = self.speaker.now, int(About.SHARED)
        self.there = self.speaker.mesh.link_up(
            self.pens[0], sample_of(2, flags=shared | int(About.RELAY)),
            Capabilities(UPLINK, 0xFFFF, Role.RELAY, shared), True, now,
        )  # fmt: skip
        self.here = self.point.mesh.link_up(
            self.pens[1],
            sample_of(1, flags=shared),
            Capabilities(UPLINK, 0xFFFF, Role.MEMBER, shared),
            False,
            now,
        )

    def speak(self, source: int) -> bytes:
        here, origin = self.speaker.mesh, self.speaker.origin
        number = self.numbers[source] = self.numbers.get(source, -1) + 1
        key = StreamKey(origin, PENS_GROUP, source)
        feed = here.feeds.get(key) or here.begin(key, self.speaker.now)
        assert feed
        message = build(
            b"said", token=0, origin=origin, group=PENS_GROUP, source=source, sequence=number, hop_limit=60
        )
        if feed.is_alone or not here.registering.takes(feed, message, self.speaker.now):
            self.alone.add(message)
        return message

    def exchange(self) -> None:
        for register in self.pens[0].of(Register):
            self.registered.add(register.message)
            self.point.accept(self.here, register)
        for registered in self.pens[1].of(Registered):
            self.speaker.accept(self.there, registered)

    def pass_time(self, seconds: float) -> None:
        for end in (self.speaker, self.point):
            end.pass_time(seconds)

    def test_it_registers_no_more_than_the_point_takes_and_the_rest_goes_alone(self) -> None:
        self.link_up()
        said = set()
        for _ in range(10):
            for source in range(1, 121):
                said.add(self.speak(source))
                self.exchange()
                self.pass_time(1 / 120)
        self.assertEqual(said, self.registered | self.alone)
        self.assertEqual(0, self.point.mesh.counters.registers_over_bound)
        self.assertGreater(len(self.registered), 400)

    def test_a_stream_that_the_point_has_no_place_for_goes_alone_and_the_others_stay(self) -> None:
        self.link_up()
        self.patch(rendezvous, "TALKERS_OF_ONE", 20)
        said = set()
        for source in [*range(1, 25)] * 2:
            said.add(self.speak(source))
            self.exchange()
            self.pass_time(0.1)
        self.assertEqual(8, len(self.alone))  # two of each of four
        self.assertEqual(0, self.speaker.mesh.counters.points_silent)
        self.assertEqual(20, sum(not feed.is_alone for feed in self.speaker.mesh.feeds.values()))

    def test_a_point_that_cannot_be_dialled_is_passed_over_at_once_and_each_packet_is_said_once(self) -> None:
        here = self.speaker.mesh
        self.speaker.dial = lambda sample, now: here.not_reached(sample.node, now)  # type: ignore[method-assign]
        first = max(range(3, 30), key=lambda number: weight(node_of(number), PENS_GROUP))
        nowhere = sample_of(first, flags=int(About.RELAY | About.SHARED))._replace(addresses=())
        here.contacts.heard_of(nowhere)
        self.assertEqual(nowhere, here.registering.point(PENS_GROUP, self.speaker.now))
        self.link_up()
        said = self.speak(1)
        self.assertEqual([said], [each.message for each in self.pens[0].of(Register)])
        here.link_down(self.there, self.speaker.now)
        here.contacts.not_reached(node_of(2))
        here.contacts.heard_of(nowhere)
        self.assertEqual({said, self.speak(2)}, self.alone)

    def test_who_has_what_was_registered_has_not_stolen_it(self) -> None:
        self.link_up()
        self.pens[0].rtt = 0.5
        hearer, _ = self.speaker.neighbour(5)
        for _ in range(3):
            self.speak(1)
            self.pass_time(0.6)
            said = self.pens[0].of(Register)
            self.pens[0].said += [each for each in said if each.sequence]  # the first is lost each time
            self.exchange()
        self.speaker.mesh.link_down(self.there, self.speaker.now)
        (feed,) = self.speaker.mesh.feeds.values()
        self.assertTrue(feed.is_alone)
        feed.sent(0, 100, b"", self.speaker.now)
        self.speaker.accept(hearer, have(2, key=feed.key))
        self.assertEqual((0, 0), (self.speaker.mesh.counters.stolen, hearer.score))
        self.speaker.accept(hearer, have(3, key=feed.key))
        self.assertEqual(1, self.speaker.mesh.counters.stolen)

    def test_what_has_waited_for_the_link_is_no_flood(self) -> None:
        said = {self.speak(source) for source in range(1, 241)}
        self.pass_time(0.5)
        self.link_up()
        self.exchange()
        self.assertEqual(said, self.registered | self.alone)
        self.assertEqual(0, self.point.mesh.counters.registers_over_bound)
