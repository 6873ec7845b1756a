"""A border: static links and a mesh on cables that lose datagrams, and nothing is missing on either side."""

from typing import Any

from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.settings import FORGET, Settings
from multicastmw.core.recovery.recovery import Recovery
from multicastmw.wire.cops import Op
from multicastmw.wire.mesh import Have, MeshMessage, Nack, Range
from multicastmw.wire.messages import decode
from tests.core.cable import Node, World
from tests.core.mesh.nodes import MeshNode
from tests.core.recovery.losing import losing

GROUP = 0xEF010203
APART = 0.005  # seconds from one packet to the next
RELAY = Settings(uplink=20_000, relay=True)
TALK = Op.HAVE, Op.NACK


class Border(TestCase):
    """b is in the mesh with m; s and t are static, and dial b."""

    def setUp(self) -> None:
        self.world = World(7)
        self.b = MeshNode(self.world, "b", RELAY, recovery=1.0)
        self.m = MeshNode(self.world, "m", recovery=1.0)
        self.world.connect(self.m, self.b)
        self.s, self.t = (Node(self.world, name, recovery=1.0) for name in "st")
        for node in (self.s, self.t):
            self.world.connect(node, self.b)
        self.world.run(3)

    def want(self, *nodes: Node) -> None:
        for node in nodes:
            node.host.wants(GROUP)
        self.world.run(6)

    def send(self, sender: Node, count: int, first: int = 0) -> None:
        for number in range(first, first + count):
            sender.send(GROUP, inner=b"%d" % number)
            self.world.run(APART)

    def lose(self, *numbers: int, way: tuple[Node, Node]) -> None:
        """These numbers do not arrive, the first time that they are sent."""
        self.patch(self.world.air, "send", losing(self.world.air, numbers, way))

    def said(self, sender: Node, to: Node, kind: type[MeshMessage]) -> list[Any]:
        sent = [
            decode(message).message for address, there, message in self.world.air.sent
            if address == sender.address and there == to.address and message[1] in TALK
        ]  # fmt: skip
        return [message for message in sent if isinstance(message, kind)]

    def assert_all(self, count: int, *nodes: Node) -> None:
        for node in nodes:
            self.assertEqual(
                sorted(int(packet) for packet in node.host.packets), list(range(count)), node.name
            )

    @staticmethod
    def feed(node: MeshNode) -> Feed:
        """Of the group's stream, by a tree of its own."""
        (found,) = [
            feed for feed in node.mesh.feeds.values() if feed.key.group == GROUP and not feed.is_shared
        ]
        return found

    def recovery(self, node: Node) -> Recovery:
        assert node.room.recovery
        return node.room.recovery


class IntoTheMesh(Border):
    def test_what_the_static_link_loses_comes_again_and_everybody_in_the_mesh_has_it(self) -> None:
        self.want(self.m, self.b, self.t)
        self.lose(20, 21, 50, way=(self.s, self.b))
        self.send(self.s, 100)
        self.world.run(1)
        self.assert_all(100, self.m, self.b, self.t)
        self.assertEqual(3, self.recovery(self.s).totals().resent)

    def test_the_mesh_is_told_that_the_border_fetches_it_and_asks_for_nothing(self) -> None:
        self.want(self.m)
        self.lose(50, way=(self.s, self.b))
        self.send(self.s, 100)
        self.world.run(1)
        self.assert_all(100, self.m)
        self.assertEqual([], self.said(self.m, self.b, Nack))

    def test_what_is_lost_behind_the_border_is_the_meshs(self) -> None:
        self.want(self.m)
        self.lose(50, way=(self.b, self.m))
        self.send(self.s, 100)
        self.world.run(1)
        self.assert_all(100, self.m)
        self.assertEqual(1, len(self.said(self.m, self.b, Nack)))
        self.assertEqual([], self.said(self.b, self.s, Nack))

    def test_what_nobody_has_any_more_is_not_said_to_be_here(self) -> None:
        self.want(self.m)
        self.lose(50, way=(self.s, self.b))
        self.patch(self.recovery(self.s), "accept", lambda *args: None)
        self.send(self.s, 80)
        (feed,) = [feed for feed in self.b.mesh.feeds.values() if feed.key.group == GROUP]
        self.assertEqual((Range(50, 50),), feed.held().missing)
        self.assertEqual(79, feed.top)


class OutOfTheMesh(Border):
    def test_what_static_links_lose_comes_again_from_what_the_mesh_keeps(self) -> None:
        self.want(self.s, self.t)
        self.lose(20, 21, 50, way=(self.b, self.s))
        self.lose(30, way=(self.b, self.t))
        self.send(self.m, 100)
        self.world.run(1)
        self.assert_all(100, self.s, self.t)
        self.assertEqual(4, self.recovery(self.b).totals().resent)

    def test_what_the_mesh_fetches_is_not_asked_for_behind_it(self) -> None:
        self.want(self.s)
        self.lose(50, way=(self.m, self.b))
        self.send(self.m, 100)
        self.world.run(1)
        self.assert_all(100, self.s)
        self.assertEqual([], self.said(self.s, self.b, Nack))

    def test_the_last_packets_are_missed_too(self) -> None:
        self.want(self.s)
        self.lose(98, 99, way=(self.b, self.s))
        self.send(self.m, 100)
        self.world.run(1)
        self.assert_all(100, self.s)

    def test_what_the_mesh_only_claims_is_no_low_water_for_partners(self) -> None:
        """96 and the last two are lost before the border, and nobody there sends them again."""
        self.want(self.s)
        self.lose(96, 98, 99, way=(self.m, self.b))
        self.send(self.m, 90)
        feed = self.feed(self.m)
        self.patch(feed, "accept_nack", lambda *args: None)
        self.send(self.m, 10, first=90)
        self.world.run(0.7)
        there = self.feed(self.b)
        self.assertEqual((97, [96, 98, 99]), (there.top, sorted(there.missing)))
        told = [held for have in self.said(self.b, self.s, Have) for held in have.streams]
        self.assertEqual([(97, (Range(96, 96),))], sorted({(held.highest, held.missing) for held in told}))

    def test_and_so_are_those_of_a_stream_that_begins_at_the_border(self) -> None:
        self.want(self.s, self.m)
        self.lose(40, 99, way=(self.b, self.s))
        self.send(self.b, 100)
        self.world.run(1)
        self.assert_all(100, self.s, self.m)

    def test_a_partner_that_comes_while_it_flows_is_served_too(self) -> None:
        self.want(self.s)
        self.send(self.m, 50)
        late = Node(self.world, "late", recovery=1.0)
        self.world.connect(late, self.b)
        self.want(late)
        self.send(self.m, 20, first=50)
        self.lose(80, 99, way=(self.b, late))
        self.send(self.m, 30, first=70)
        self.world.run(1)
        self.assertEqual([int(packet) for packet in late.host.packets][-30:].count(80), 1)
        self.assertIn(b"99", late.host.packets)

    def test_in_a_mesh_without_static_links_nothing_is_said_and_no_packet_is_looked_at(self) -> None:
        self.want(self.m)
        self.send(self.b, 20)
        self.world.run(1)
        (stream,) = self.m.forwarder.streams.coming.values()
        self.assertIsNone(stream.repair)
        self.assertEqual([], [have for have in self.said(self.b, self.s, Have) if have])

    def test_what_has_ended_is_forgotten_with_its_counts_kept(self) -> None:
        self.want(self.s)
        self.lose(5, way=(self.b, self.s))
        self.send(self.m, 20)
        self.world.run(1)
        self.assertEqual(1, len(self.recovery(self.b).fed))
        self.world.run(FORGET + 5)
        self.assertEqual({}, self.recovery(self.b).fed)
        self.assertEqual(1, self.recovery(self.b).totals().resent)
