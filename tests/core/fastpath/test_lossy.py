"""Flows that lose packets in the kernel, where these could be repaired."""

from multicastmw.core.fastpath.lossy import CALM, RATE_MAX
from multicastmw.core.fastpath.mirror import LOSSY
from multicastmw.wire.mesh import Have, Held, Load, Nack, Range, StreamKey
from tests.core.cable import Node, World
from tests.core.fastpath.memory import FAR, GROUP, SOURCE, Hub
from tests.core.fastpath.test_mirror import Case


class LossyTests(Case):
    """b sends, c and d want it; b, c and the hub speak recovery, d does not."""

    def setUp(self) -> None:
        self.world = World()
        self.hub = Hub(self.world)
        self.hub.node.recovers(1.0)
        assert self.hub.node.room.recovery
        self.hub.node.room.recovery.is_needed = self.hub.mirror.is_needed
        self.peers = {name: self.joined(name) for name in "bcd"}
        self.hub.start()
        self.tables = self.hub.tables
        for name in "cd":
            self.wants(name)
        self.sends("b")
        self.assertTrue(self.is_fast())

    def joined(self, name: str) -> Node:
        peer = self.world.node(name, recovery=1.0 if name in "bc" else 0.0)
        self.world.connect(peer, self.hub.node)
        self.world.run(1)
        return peer

    def is_fast(self, name: str = "b") -> bool:
        return self.stream(name).value is not None

    def passes(self, seconds: int, packets: int = 100, lost: int = 0, name: str = "b") -> None:
        """The kernel forwards so many a second, and misses some."""
        for _ in range(seconds):
            flow = self.stream(name)
            if flow.key in self.tables.routes:
                self.tables.forward(flow.key, packets)
                self.tables.route_stats[flow.slot]["lost"] += lost
            self.world.run(1)

    def test_one_that_loses_nothing_stays(self) -> None:
        self.passes(10)
        self.assertTrue(self.is_fast())

    def test_nothing_is_remembered_of_one_that_has_ended(self) -> None:
        self.passes(3)
        rates = self.hub.mirror._lossy._rates
        self.assertEqual(1, len(rates))
        self.world.cables[0].cut()  # b's
        self.world.run(120)
        self.assertEqual({}, rates)

    def test_one_that_loses_comes_here_and_goes_again_when_it_has_lost_nothing_for_a_while(self) -> None:
        self.passes(3)
        self.passes(2, lost=1)
        self.assertEqual(LOSSY, self.why())
        self.world.run(CALM - 3)
        self.assertEqual(LOSSY, self.why())
        self.world.run(5)
        self.assertTrue(self.is_fast())

    def test_what_is_missed_here_puts_that_off(self) -> None:
        self.passes(3)
        self.passes(2, lost=1)
        self.assertFalse(self.is_fast())
        air, b = self.world.air, self.peers["b"]
        for _ in range(int(CALM) + 10):
            for number in range(10):
                air.way(b, self.hub.node).loss = float(number == 5)
                b.send(GROUP, FAR)
                self.world.run(0.1)
        self.assertFalse(self.is_fast())
        totals = self.hub.node.room.recovery.totals()
        self.assertGreater(totals.recovered, CALM)
        self.assertEqual(totals.missed, totals.recovered)

    def test_what_nobody_would_send_again_stays(self) -> None:
        self.wants("b")
        self.sends("d")
        self.passes(3, name="d")
        self.passes(3, lost=5, name="d")
        self.assertTrue(self.is_fast("d"))

    def test_what_is_faster_than_python_stays(self) -> None:
        self.passes(5, packets=int(RATE_MAX) * 2, lost=10)
        self.assertTrue(self.is_fast())

    def test_who_asks_again_for_what_the_kernel_has_sent_is_served_from_then_on(self) -> None:
        c = self.peers["c"]
        origin = self.peers["b"].forwarder.origin
        self.passes(3)
        c.link(self.hub.node).say(Nack(StreamKey(origin, GROUP, FAR), (Range(5, 6),)), self.world.now)
        self.world.run(0.1)
        self.assertEqual(LOSSY, self.why())
        self.assertEqual(2, self.hub.node.room.recovery.counters.not_kept)

    def test_so_it_is_with_what_starts_here_and_the_kernel_has_numbered(self) -> None:
        self.hub.send()
        self.assertIn(self.hub.key(), self.tables.routes)
        key = StreamKey(self.hub.node.forwarder.origin ^ 1, GROUP, SOURCE)
        self.peers["c"].link(self.hub.node).say(Nack(key, (Range(5, 6),)), self.world.now)
        self.world.run(0.1)
        self.assertNotIn(self.hub.key(), self.tables.routes)

    def test_a_stranger_s_question_moves_nothing(self) -> None:
        """c asks for a stream that it does not get."""
        self.wants("b")
        self.sends("c")
        origin = self.peers["c"].forwarder.origin
        key = StreamKey(origin, GROUP, FAR)
        self.peers["c"].link(self.hub.node).say(Nack(key, (Range(0, 0),)), self.world.now)
        self.world.run(0.1)
        self.assertTrue(self.is_fast("b"))

    def test_what_the_kernel_has_passed_is_not_missing_when_it_is_switched_off(self) -> None:
        key = StreamKey(self.peers["b"].forwarder.origin, GROUP, FAR)
        self.passes(3)
        self.hub.mirror.stop(self.world.now)
        recovery = self.hub.node.room.recovery
        before = recovery.counters.haves
        said = Have((Held(key, 100, (), Load(0)),))
        self.peers["b"].link(self.hub.node).say(said, self.world.now)
        self.world.run(0.3)
        self.assertGreater(recovery.counters.haves, before)
        self.assertEqual((0, 0), (recovery.totals().missed, recovery.totals().asked))

    def test_off_means_off(self) -> None:
        self.passes(3)
        self.passes(2, lost=1)
        self.hub.mirror.stop(self.world.now)
        self.hub.start()
        self.assertTrue(self.is_fast())
