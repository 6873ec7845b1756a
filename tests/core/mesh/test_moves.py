"""What an operator hears of the mesh: a node that has moved, two of one id, more groups than there may be."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.events import Limit, NeighbourMoved, OwnName, SameNodeTwice
from multicastmw.core.haunts import (
    ADDRESSES_MAX,
    NODES_MAX,
    TOLD_EVERY,
    Called,
    Haunts,
    Telling,
)
from multicastmw.core.identity import node_id
from multicastmw.core.mesh import mesh
from multicastmw.core.mesh.destination import ASK_GROUPS, LEAVE_AFTER
from multicastmw.core.mesh.settings import Settings
from multicastmw.wire.mesh import Address, Capabilities, Kind, Named, Peers, Sample
from multicastmw.wire.messages import Open, encode
from tests.core.cable import Cable, World
from tests.core.mesh.kit import KEY, Lone
from tests.core.mesh.nodes import MeshNode

ID = 7 << 16
GROUP = 0xEF010101


def an_open(name: str, node: int = ID) -> bytes:
    return encode(Open(name, node, 10, None, Capabilities(1_000, 8, 1, 0), (Address("192.0.2.1", 4600),)))


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.hub = MeshNode(self.world, "hub", Settings(uplink=20_000, relay=True))

    def calls(self, address: str, name: str = "node", node: int = ID) -> Cable:
        cable = Cable(self.world, None, self.hub, seen_from=address)
        cable.dialling.says(an_open(name, node))
        self.world.run(0.1)
        return cable

    def told(self, kind: type) -> list[str]:
        return [event.sentence() for event in self.hub.told(kind)]


class Moved(Case):
    def test_a_node_that_returns_with_another_address_is_one_event_that_names_both(self) -> None:
        self.calls("192.0.2.1")
        self.world.run(20)  # silent, and given up
        self.calls("192.0.2.2")
        (said,) = self.told(NeighbourMoved)
        self.assertIn("node is at 192.0.2.2 now, and was at 192.0.2.1", said)
        self.assertEqual(self.told(SameNodeTwice), [])

    def test_also_where_its_old_link_is_still_up(self) -> None:
        self.calls("192.0.2.1")
        self.world.run(4)  # longer than a node that is there is silent
        self.calls("192.0.2.2")
        self.assertEqual(len(self.told(NeighbourMoved)), 1)

    def test_one_with_two_ways_in_is_told_of_once_for_each(self) -> None:
        for _ in range(3):
            for address in ("192.0.2.1", "192.0.2.2"):
                self.calls(address)
                self.world.run(20)
        self.assertEqual(len(self.told(NeighbourMoved)), 1)

    def test_what_is_remembered_is_bounded(self) -> None:
        haunts = Haunts()
        for node in range(2 * NODES_MAX):
            haunts.saw(node, "192.0.2.1")
        self.assertEqual(len(haunts), NODES_MAX)
        for each in range(2 * ADDRESSES_MAX):
            haunts.saw(1, f"192.0.2.{each}")
        self.assertEqual(len(haunts._seen[1]), ADDRESSES_MAX)

    def test_who_is_gone_still_has_its_name(self) -> None:
        self.calls("192.0.2.1", "prague", 77 << 48)
        self.assertEqual("prague", self.hub.room.called.name(77 << 48))
        self.assertEqual("004d000000000001", self.hub.room.called.name(77 << 48 | 1))
        called = Called()
        for node in range(2 * NODES_MAX):
            called.saw(node, "one")
        self.assertEqual((NODES_MAX, "one"), (len(called.names), called.name(2 * NODES_MAX - 1)))


class Names(Case):
    """Of nodes that never were neighbours, as others tell them."""

    far = "oslo"
    node = node_id(far)

    def setUp(self) -> None:
        super().setUp()
        self.near = MeshNode(self.world, "near", Settings(uplink=20_000))
        self.world.connect(self.near, self.hub)
        self.world.run(TOLD_EVERY + 1)
        self.sample = Sample(self.node, (Address("192.0.2.9", 4600),), 0, 10, 0)

    def says(self, *samples: Sample) -> None:
        self.near.link(self.hub).say(Peers(GROUP, Kind.NEIGHBOUR_NO, 0, samples), self.world.now)
        self.world.run(0.1)

    def test_a_name_goes_with_the_sample_and_on_to_others(self) -> None:
        self.near.room.called.saw(self.node, self.far)
        self.says(self.sample)
        self.assertEqual(self.far, self.hub.room.called.name(self.node))
        self.assertNotIn(self.node, self.hub.room.called.names)
        telling = Telling((1, 2), 0.0)
        told = self.hub.room.named(Peers(GROUP, 1, 0, (self.sample,)), telling, TOLD_EVERY)
        self.assertEqual((Named(self.node, self.far),), told.names)

    def test_each_is_told_once_one_at_a_time_and_over_links_that_last(self) -> None:
        telling = Telling((8, 9), 100.0)
        self.assertEqual([], telling.of([0, 1], 99.0 + TOLD_EVERY))
        found = [telling.of([0, 1], 100.0 + TOLD_EVERY * times / 2) for times in range(2, 8)]
        self.assertEqual([[0], [], [1], [], [], []], found)

    def test_both_ends_know_their_own(self) -> None:
        hub, near = self.hub, self.near
        samples = tuple(self.sample._replace(node=node.id) for node in (hub, near))
        told = hub.room.named(Peers(GROUP, 1, 0, samples), Telling((hub.id, near.id), 0.0), TOLD_EVERY)
        self.assertEqual((), told.names)

    def test_nobody_is_named_who_is_not_in_the_samples_or_not_known(self) -> None:
        self.says(self.sample)
        self.assertEqual({}, self.hub.room.called.heard)
        told = Peers(GROUP, Kind.NEIGHBOUR_NO, 0, (self.sample,), (Named(node_id("bern"), "bern"),))
        self.near.link(self.hub)._control(encode(told), self.world.now)
        self.world.run(0.1)
        self.assertEqual({}, self.hub.room.called.heard)

    def test_without_tls_a_name_that_is_not_the_ids_is_not_believed(self) -> None:
        self.near.room.called.saw(self.node, "studio")
        self.says(self.sample)
        called = self.hub.room.called
        self.assertEqual((f"{self.node:016x}", 1), (called.name(self.node), called.refused))

    def test_with_tls_the_first_counts_and_what_was_seen_at_first_hand_more(self) -> None:
        called = Called()
        called.hears([(1, "oslo")], True)
        called.hears([(1, "bern"), (2, "rome")], True)
        self.assertEqual(("oslo", "rome"), (called.name(1), called.name(2)))
        called.saw(1, "lima")
        called.hears([(1, "oslo")], True)
        self.assertEqual({1: "lima", 2: "rome"}, called.all())

    def test_what_was_told_is_bounded(self) -> None:
        telling = Telling((1, 2), 0.0)
        for node in range(2 * NODES_MAX):
            telling.of([node], TOLD_EVERY * (node + 1))
        self.assertEqual(len(telling._told), NODES_MAX)

    def test_what_is_heard_is_bounded(self) -> None:
        called = Called()
        for node in range(2 * NODES_MAX):
            called.hears([(node, "one")], True)
        self.assertEqual(NODES_MAX, len(called.heard))


class Doubles(Case):
    def test_two_nodes_with_one_id_are_one_event_and_neither_has_moved(self) -> None:
        self.calls("192.0.2.1", "clone")
        self.calls("192.0.2.2", "clone")
        (said,) = self.told(SameNodeTwice)
        self.assertIn("clone is in use at 192.0.2.1 and at 192.0.2.2: give one of them another name", said)
        self.assertEqual(self.told(NeighbourMoved), [])
        self.assertEqual(len(self.hub.mesh.neighbours), 1)

    def test_our_own_id_at_somebody_else_is_said_and_it_is_no_neighbour(self) -> None:
        self.calls("192.0.2.1", "hub", self.hub.id)
        (said,) = self.told(OwnName)
        self.assertIn("192.0.2.1 is named hub, as this one is: a clone, that wants another [node] name", said)
        self.assertEqual(self.hub.mesh.neighbours, {})


class TooManyGroups(Case):
    def setUp(self) -> None:
        super().setUp()
        self.patch(mesh, "CIRCLES_MAX", 5)
        self.hub.mesh.tell = self.hub.room.tell
        for each in range(8):
            self.hub.host.wants(GROUP + each)

    def test_above_the_bound_none_is_joined_and_that_is_said_once_and_counted(self) -> None:
        self.assertEqual(len(self.hub.mesh.circles), 5 + 1)  # that of all nodes
        self.assertEqual(self.hub.mesh.counters.circles_over_bound, 3)
        (said,) = self.told(Limit)
        self.assertIn("what is wanted of them comes as soon as others are left; let programs", said)

    def test_what_waits_is_joined_when_others_are_left(self) -> None:
        for each in range(4):
            self.hub.host.unwants(GROUP + each)
        self.world.run(LEAVE_AFTER + 2 * ASK_GROUPS)
        self.assertEqual(set(self.hub.mesh.circles) - {0}, {GROUP + each for each in range(4, 8)})

    def test_a_stream_of_a_group_too_many_stays_on_this_side(self) -> None:
        self.assertIsNone(self.hub.mesh.begin(KEY, self.world.now))
        self.assertEqual(self.hub.mesh.feeds, {})

    def test_no_more_streams_begin_here_than_are_followed(self) -> None:
        self.patch(mesh, "FEEDS_MAX", 2)
        lone = Lone()
        begun = [lone.mesh.begin(KEY._replace(source=each), lone.now) for each in range(4)]
        self.assertEqual([feed is None for feed in begun], [False, False, True, True])
        self.assertEqual(lone.mesh.counters.streams_over_bound, 2)
