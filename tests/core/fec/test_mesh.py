"""Forward error correction between neighbours in the mesh."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fec.coder import BLOCK, SPAN
from multicastmw.core.mesh.settings import Settings
from multicastmw.wire.cops import Op
from tests.core.cable import World
from tests.core.mesh.nodes import MeshNode

GROUP = 0xEF010101
APART = 0.004


class MeshTests(SynchronousTestCase):
    def make(self, deadline: float, fec: str = "on") -> tuple[MeshNode, MeshNode]:
        self.world = World(3)
        settings = Settings(uplink=20_000, relay=True, deadline=deadline)
        self.a, self.b = (MeshNode(self.world, name, settings, fec=fec, recovery=0.0) for name in "ab")
        for node in (self.a, self.b):
            if node.room.fec:
                node.room.fec.costs_changed = node.mesh.slots.changed
        self.world.air.spoil(self.a, self.b, delay=0.06)
        self.world.connect(self.b, self.a)
        self.world.run(3)
        self.b.host.wants(GROUP)
        self.world.run(3)
        self.next = 0
        return self.a, self.b

    def send(self, seconds: float) -> range:
        first = self.next
        for _ in range(round(seconds / APART)):
            self.a.send(GROUP, inner=b"%d" % self.next)
            self.next += 1
            self.world.run(APART)
        return range(first, self.next)

    def missing(self, sent: range) -> int:
        self.world.run(2)
        return len(set(sent) - {int(packet) for packet in self.b.host.packets})

    def nacks(self) -> int:
        return sum(m[1] == Op.NACK for a, _, m in self.world.air.sent if a == self.b.address)

    def test_a_child_behind_a_link_that_loses_gets_nearly_all_without_asking(self) -> None:
        self.make(deadline=0.0)
        self.send(2)
        self.world.air.spoil(self.a, self.b, loss=0.05)
        self.send(15)
        sent = self.send(15)
        self.assertLess(self.missing(sent), len(sent) * 0.006)
        self.assertEqual(self.nacks(), 0)
        self.assertGreater(self.b.room.fec.totals().rebuilt, 200)

    def test_with_nacks_nothing_is_missing_and_fewer_are_sent(self) -> None:
        nacks = {}
        for fec in ("off", "on"):
            self.make(deadline=2.0, fec=fec)
            self.send(2)
            self.world.air.spoil(self.a, self.b, loss=0.03)
            self.assertEqual(self.missing(self.send(25)), 0)
            nacks[fec] = self.nacks()
        self.assertLess(nacks["on"], nacks["off"] / 3)

    def test_parity_takes_its_part_of_the_uplink(self) -> None:
        a, b = self.make(deadline=1.0)
        self.send(3)
        (feed,) = [each for each in a.mesh.feeds.values() if not each.is_shared]
        feed.bits = 5_000.0
        a.mesh.slots.changed()
        child = a.mesh.neighbours[b.id]
        self.assertEqual(child.overhead, 1 / BLOCK)
        self.assertEqual(a.mesh.slots.free(feed), 2)
        child.wire.protection.coder.rows = [10] * (BLOCK + 1)
        child.wire.protection._costs(10 / BLOCK)
        self.assertEqual(a.mesh.slots.free(feed), 1)

    def test_a_newer_link_of_the_same_two_nodes_begins_anew(self) -> None:
        a, b = self.make(deadline=1.0)
        self.send(1)
        child, parent = a.mesh.neighbours[b.id], b.mesh.neighbours[a.id]
        self.assertEqual(parent.rebuilds_within, SPAN + 0.01)
        for node in (a, b):
            node.room.fec = None
        self.world.connect(b, a)
        self.world.run(1)
        self.assertIs(child, a.mesh.neighbours[b.id])
        self.assertEqual((child.overhead, parent.rebuilds_within), (0.0, 0.0))
