"""Whole nodes (rooms, links, forwarders) on cables that lose datagrams."""

from typing import Any

from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.settings import AT_ONCE, GUARD, KEPT_SECONDS
from multicastmw.core.recovery.recovery import HAVE_EVERY, KEPT_MS
from multicastmw.wire.cops import Op
from multicastmw.wire.data import RETRANSMITTED
from multicastmw.wire.mesh import Have, MeshMessage, Nack, Range
from multicastmw.wire.messages import Open, decode, encode
from multicastmw.wire.probe import GROUP as PROBING
from tests.core.cable import Node, World
from tests.core.recovery.losing import losing

GROUP = 0xEF010203
APART = 0.005  # seconds from one packet to the next
TALK = Op.HAVE, Op.NACK


class Chain(TestCase):
    """a - b - c: a sends, c receives; each dials the next."""

    def make(self, names: str = "abc", recovery: float = 1.0, **chosen: Any) -> list[Node]:
        self.world = World()
        self.nodes = self.world.chain(names, recovery=recovery, **chosen)
        self.nodes[-1].host.wants(GROUP)
        self.world.run(0.5)
        return self.nodes

    def send(self, count: int, apart: float = APART, first: int = 0) -> None:
        for number in range(first, first + count):
            self.nodes[0].send(GROUP, inner=b"%d" % number)
            self.world.run(apart)

    def got(self, node: Node) -> list[int]:
        return [int(packet) for packet in node.host.packets]

    def said(self, sender: Node, kind: type[MeshMessage]) -> list[Any]:
        """The node's datagrams of that kind."""
        sent = [decode(m).message for a, _, m in self.world.air.sent if a == sender.address and m[1] in TALK]
        return [message for message in sent if isinstance(message, kind)]

    def talk(self) -> int:
        return sum(m[1] in TALK for _, _, m in self.world.air.sent)

    def lose(self, *numbers: int, way: tuple[Node, Node]) -> None:
        """These numbers do not arrive, the first time that they are sent."""
        self.patch(self.world.air, "send", losing(self.world.air, numbers, way))


class RepairTests(Chain):
    def test_each_loses_and_nothing_is_missing_in_the_end(self) -> None:
        for loss in (0.01, 0.05, 0.2):
            a, b, c = self.make()
            for way in ((a, b), (b, c)):
                self.world.air.spoil(*way, loss=loss)
            self.send(2_000)
            self.world.run(2)
            self.assertEqual(sorted(self.got(c)), list(range(2_000)), loss)
            for node in (b, c):
                totals = node.room.recovery.totals()
                self.assertEqual((totals.given_up, totals.missed), (0, totals.recovered))
                self.assertGreater(totals.missed, 1_000 * loss)

    def test_without_it_what_is_lost_is_lost(self) -> None:
        _, b, c = self.make(recovery=0.0)
        self.world.air.spoil(b, c, loss=0.05)
        self.send(1_000)
        self.world.run(2)
        self.assertLess(len(self.got(c)), 980)
        self.assertEqual(self.talk(), 0)

    def test_a_repair_takes_the_guard_and_a_round_trip(self) -> None:
        _, b, c = self.make()
        self.lose(100, way=(b, c))
        self.send(100)
        began = self.world.now
        self.send(20, first=100)
        self.assertIn(100, self.got(c))
        self.assertEqual(self.got(c).index(100) - 100, (GUARD + 4 * 0.002 + APART) // APART - 1)
        self.assertEqual([nack.missing for nack in self.said(c, Nack)], [(Range(100, 100),)])
        self.assertLess(began, self.world.now)

    def test_what_comes_again_is_marked(self) -> None:
        _, b, c = self.make()
        self.lose(100, 101, way=(b, c))
        self.send(120)
        self.world.run(1)
        data = [header for _, to, header in self.world.air.data() if to == c.address]
        again = [header.sequence for header in data if header.flags & RETRANSMITTED]
        self.assertEqual(again, [100, 101])
        self.assertEqual(b.room.recovery.totals().resent, 2)

    def test_what_is_lost_above_is_fetched_there_and_not_asked_for_below(self) -> None:
        a, b, c = self.make()
        self.lose(100, way=(a, b))
        self.send(200)
        self.world.run(1)
        self.assertEqual(sorted(self.got(c)), list(range(200)))
        self.assertEqual(len(self.said(b, Nack)), 1)
        self.assertEqual(self.said(c, Nack), [])

    def test_what_takes_long_above_is_asked_for_again_when_it_is_there_and_was_lost_below(self) -> None:
        a, b, c = self.make()
        self.send(100)
        self.lose(100, way=(a, b))
        self.world.air.way(b, a).hole = True  # for its Nacks
        self.send(50, first=100)
        self.assertGreaterEqual(len(self.said(c, Nack)), 1)  # in vain
        self.world.air.way(b, a).hole = False
        self.lose(100, way=(b, c))
        self.send(100, first=150)
        self.world.run(1)
        self.assertEqual(sorted(self.got(c)), list(range(250)))

    def test_the_last_packets_are_missed_too(self) -> None:
        _, b, c = self.make()
        self.lose(98, 99, way=(b, c))
        self.send(100)
        self.world.run(HAVE_EVERY + 0.2)
        self.assertEqual(sorted(self.got(c)), list(range(100)))

    def test_and_so_they_are_over_two_links(self) -> None:
        a, _, c = self.make()
        self.lose(97, 98, 99, way=(a, self.nodes[1]))
        self.send(100)
        self.world.run(2 * HAVE_EVERY + 0.5)
        self.assertEqual(sorted(self.got(c)), list(range(100)))

    def test_a_burst_is_repaired(self) -> None:
        _, b, c = self.make()
        self.lose(*range(300, 420), way=(b, c))
        self.send(1_000)
        self.world.run(1)
        self.assertEqual(sorted(self.got(c)), list(range(1_000)))

    def test_what_comes_out_of_order_is_not_asked_for(self) -> None:
        _, b, c = self.make()
        way = self.world.air.way(b, c)
        for number in range(100):
            way.delay = 0.012 if number % 7 == 3 else 0.002
            self.send(1, first=number)
        self.world.run(1)
        self.assertEqual(sorted(self.got(c)), list(range(100)))
        self.assertEqual(self.said(c, Nack), [])
        self.assertGreater(c.room.recovery.totals().missed, 5)

    def test_numbers_go_on_from_zero(self) -> None:
        a, b, c = self.make()
        self.send(1)
        (sending,) = a.forwarder.streams.starting.values()
        sending.sequence = (1 << 32) - 100
        self.world.run(11)
        for way in ((a, b), (b, c)):
            self.world.air.spoil(*way, loss=0.1)
        self.send(300, first=1)
        self.world.run(2)
        self.assertEqual(sorted(self.got(c)), list(range(301)))

    def test_a_jump_that_is_no_loss_is_not_asked_for(self) -> None:
        a, _, c = self.make()
        self.send(100)
        (sending,) = a.forwarder.streams.starting.values()
        sending.sequence += 100_000
        self.send(100, first=100)
        self.world.run(1)
        self.assertEqual(self.got(c), list(range(200)))
        self.assertEqual(self.said(c, Nack), [])

    def test_what_measures_the_network_is_not_repaired(self) -> None:
        a, b, c = self.make()
        c.host.wants(PROBING)
        self.world.run(0.5)
        self.world.air.spoil(b, c, loss=0.2)
        for _ in range(200):
            a.send(PROBING)
            self.world.run(APART)
        self.world.run(1)
        self.assertLess(len(c.host.got), 190)
        self.assertEqual(c.room.recovery.repairs, {})


class OrderTests(Chain):
    """Programs get packets in order, neighbours at once."""

    def test_what_comes_again_is_in_its_place(self) -> None:
        for loss in (0.01, 0.1):
            a, b, c = self.make(hold=0.5)
            b.host.wants(GROUP)
            for way in ((a, b), (b, c)):
                self.world.air.spoil(*way, loss=loss)
            self.send(1_500)
            self.world.run(2)
            for node in (b, c):
                self.assertEqual(self.got(node), list(range(1_500)))
                self.assertGreater(node.room.recovery.totals().held, 10)
                self.assertEqual([each.order.held for each in node.room.recovery.repairs.values()], [{}])

    def test_what_does_not_come_is_not_waited_for_longer_than_that(self) -> None:
        _, b, c = self.make(hold=0.2)
        self.send(100)
        self.lose(100, way=(b, c))
        self.world.air.way(c, b).hole = True  # for its Nacks
        self.send(30, first=100)
        self.assertEqual(self.got(c)[-1], 99)
        self.send(20, first=130)
        self.assertEqual(self.got(c)[100:130], list(range(101, 131)))
        self.send(300, first=150)
        self.assertEqual(self.got(c), [*range(100), *range(101, 450)])

    def test_what_waits_leaves_with_who_wanted_it(self) -> None:
        """Nothing is left over when the stream was not asked for, for a while."""
        _, b, c = self.make(hold=0.5)
        self.send(100)
        self.lose(100, way=(b, c))
        self.world.air.way(c, b).hole = True
        self.send(10, first=100)
        c.host.unwants(GROUP)
        self.world.run(0.3)
        c.host.wants(GROUP)
        self.send(100, first=110)
        self.world.run(1)
        self.assertEqual([each.order.held for each in c.room.recovery.repairs.values()], [{}])
        self.assertEqual(self.got(c), sorted(self.got(c)))


class QuietTests(Chain):
    def test_where_nothing_is_lost_nothing_is_said_while_the_stream_flows(self) -> None:
        self.make()
        self.send(2_000)
        self.assertEqual(self.talk(), 0)

    def test_at_its_end_the_last_number_is_said_three_times_to_each(self) -> None:
        a, b, _ = self.make()
        self.send(300)
        self.world.run(60)
        for node in (a, b):
            self.assertEqual([have.streams[0].highest for have in self.said(node, Have)], [299] * 3)

    def test_what_is_kept_goes_when_the_stream_is_silent(self) -> None:
        a, b, c = self.make()
        self.send(1_000)
        for node in (a, b):
            (repair,) = node.room.recovery.repairs.values()
            self.assertGreater(len(repair.kept.packets), KEPT_SECONDS / APART / 2)
        (repair,) = c.room.recovery.repairs.values()
        self.assertEqual(len(repair.kept.packets), 0)  # nobody is behind it
        self.world.run(KEPT_SECONDS + 1.1)
        for node in (a, b):
            (repair,) = node.room.recovery.repairs.values()
            self.assertEqual(len(repair.kept.packets), 0)

    def test_only_two_seconds_of_a_stream_are_kept(self) -> None:
        a, *_ = self.make()
        self.send(3_000)
        (repair,) = a.room.recovery.repairs.values()
        self.assertLess(len(repair.kept.packets), (KEPT_SECONDS + 1.1) / APART)

    def test_no_more_is_kept_of_a_fast_stream_than_the_bound(self) -> None:
        a, b, _ = self.make()
        for node in (a, b):
            self.patch(node.room.recovery, "_kept_most", lambda mean: 300)
        for _ in range(40):
            for _ in range(50):
                a.send(GROUP, inner=b"0")
            self.world.run(0.05)
            for node in (a, b):
                (repair,) = node.room.recovery.repairs.values()
                self.assertLessEqual(len(repair.kept.packets), 300 + 64)

    def test_a_stream_that_is_new_is_kept_from_its_first_packet(self) -> None:
        a, *_ = self.make()
        for _ in range(15):
            self.send(20)
            (repair,) = a.room.recovery.repairs.values()
            (sending,) = a.forwarder.streams.starting.values()
            self.assertEqual(len(repair.kept.packets), min(sending.numbered, 300))

    def test_an_idle_node_has_no_deadline(self) -> None:
        a, *_ = self.make()
        self.assertEqual(a.room.recovery.deadline(), float("inf"))


class OthersTests(Chain):
    """Nodes that speak it beside such that do not."""

    def test_who_does_not_say_that_it_speaks_it_hears_nothing_of_it(self) -> None:
        a, b, c = self.make(recovery=0.0)
        self.assertEqual([link.partner for link in b.room.links], [None, None])
        for node in (a, c):
            node.recovers(1.0)
        d = self.world.node("d", recovery=1.0)
        self.world.connect(d, b)
        d.host.wants(GROUP)
        self.world.run(1)
        self.world.air.spoil(a, b, loss=0.1)
        self.world.air.spoil(b, d, loss=0.1)
        self.send(500)
        self.world.run(2)
        self.assertEqual(self.talk(), 0)
        self.assertLess(len(self.got(d)), 450)

    def test_who_takes_no_datagrams_does_not_say_it(self) -> None:
        a, b, c = self.make(data_port=None)
        self.assertEqual(a.room.our_open(1).recovery, 0)
        self.send(100)
        self.assertEqual(self.got(c), list(range(100)))
        for node in (a, b, c):
            self.assertEqual(node.room.recovery.partners, {})
            self.assertEqual([len(each.kept.packets) for each in node.room.recovery.repairs.values()], [0])

    def test_an_open_says_it_in_an_object_that_others_skip(self) -> None:
        a, *_ = self.make()
        wire = encode(a.room.our_open(1))
        opened = decode(wire).message
        assert isinstance(opened, Open)
        self.assertEqual((opened.recovery, opened.capabilities), (KEPT_MS, None))

    def test_behind_a_link_without_it_what_is_lost_before_is_asked_for_twice_at_most(self) -> None:
        a, b, c = self.make("abc", recovery=0.0)
        for node in (b, c):
            node.recovers(1.0)
        link = b.link(c)
        for one, other in ((b, c), (c, b)):
            link = one.link(other)
            link.partner = one.room.recovery.link_up(link)
        self.lose(100, way=(a, b))
        self.send(400)
        self.world.run(2)
        self.assertNotIn(100, self.got(c))
        self.assertLessEqual(len(self.said(c, Nack)), 2)
        self.assertEqual(b.room.recovery.counters.not_kept, len(self.said(c, Nack)))
        self.assertEqual(c.room.recovery.totals().given_up, 1)


class ChangeTests(Chain):
    def test_what_was_sent_while_nobody_wanted_it_is_not_missing(self) -> None:
        _, b, c = self.make()
        b.host.wants(GROUP)
        self.send(100)
        c.host.unwants(GROUP)
        self.send(300, first=100)
        c.host.wants(GROUP)
        self.send(100, first=400)
        self.world.run(1)
        self.assertEqual(self.said(c, Nack), [])
        self.assertEqual(c.room.recovery.totals().missed, 0)

    def test_over_a_new_link_what_was_lost_with_the_old_one_is_asked_for(self) -> None:
        _, b, c = self.make()
        self.send(200)
        for cable in self.world.cables[1:]:
            cable.accepting.abort()
        self.send(40, first=200)
        self.world.connect(b, c)
        self.send(200, first=240)
        self.world.run(1)
        self.assertEqual(c.room.recovery.totals().missed, c.room.recovery.totals().recovered)

    def test_a_link_that_is_gone_leaves_nothing(self) -> None:
        a, b, _ = self.make()
        self.send(50)
        for cable in self.world.cables:
            cable.accepting.abort()
        self.world.run(1)
        for node in (a, b):
            self.assertEqual(node.room.recovery.partners, {})
            self.assertTrue(all(each.link is None for each in node.room.recovery.repairs.values()))


class BoundTests(Chain):
    def nack(self, by: Node, to: Node, *missing: Range) -> None:
        (repair,) = to.room.recovery.repairs.values()
        by.link(to).say(Nack(repair.key, missing), self.world.now)
        self.world.run(0.01)

    def resent(self, node: Node) -> int:
        return node.room.recovery.totals().resent

    def test_one_nack_brings_a_bounded_number_of_packets(self) -> None:
        _, b, c = self.make()
        self.send(700)
        self.nack(c, b, Range(350, 699))
        self.world.run(2)
        self.assertEqual(self.resent(b), AT_ONCE)

    def test_a_storm_of_nacks_is_let_pass_by(self) -> None:
        _, b, c = self.make()
        self.send(300)
        for _ in range(300):
            by = c.link(b)
            (repair,) = b.room.recovery.repairs.values()
            by.say(Nack(repair.key, (Range(299, 299),)), self.world.now)
        self.world.run(0.1)
        counters = b.room.recovery.counters
        self.assertEqual(counters.nacks, 300)
        self.assertGreater(counters.nacks_over_bound, 240)
        self.assertLess(self.resent(b), 60)

    def test_a_storm_of_haves_is_too(self) -> None:
        _, b, c = self.make()
        self.send(300)
        (repair,) = b.room.recovery.repairs.values()
        for _ in range(100):
            b.link(c).say(Have((repair._held(),)), self.world.now)
        self.world.run(0.1)
        self.assertGreater(c.room.recovery.counters.haves_over_bound, 40)

    def test_who_claims_numbers_without_end_costs_a_bounded_number_of_questions(self) -> None:
        _, b, c = self.make()
        self.send(300)
        (repair,) = b.room.recovery.repairs.values()
        for highest in (1_000, 100_000, 1 << 30, (1 << 31) + 250):
            held = repair._held()._replace(highest=highest)
            b.link(c).say(Have((held,)), self.world.now)
            self.world.run(0.05)
        (theirs,) = c.room.recovery.repairs.values()
        self.assertLessEqual(len(theirs.gaps.numbers), 2_048)
        self.send(100, first=300)
        self.world.run(2)
        self.assertEqual(self.got(c)[-1], 399)
        self.assertEqual(len(theirs.gaps.numbers), 0)

    def test_who_does_not_get_the_stream_gets_nothing_of_it_again(self) -> None:
        _, b, _ = self.make()
        d = self.world.node("d", recovery=1.0)
        self.world.connect(d, b)
        self.world.run(1)
        self.send(100)
        (repair,) = b.room.recovery.repairs.values()
        d.link(b).say(Nack(repair.key, (Range(90, 95),)), self.world.now)
        self.world.run(1)
        self.assertEqual(self.resent(b), 0)
        self.assertEqual(b.room.recovery.counters.unknown_streams, 1)

    def test_what_goes_again_is_paced_by_the_uplink(self) -> None:
        a, b, c = self.make()
        b.room.recovery._uplink = 800  # kbit/s: 25,000 bytes/s may go again
        b.room.recovery._pace(0.0)
        for number in range(400):
            a.send(GROUP, inner=b"%d " % number + bytes(1_200))
            self.world.run(APART)
        began = self.resent_bytes(b)
        for first in range(150, 400, 50):
            self.nack(c, b, Range(first, first + 49))
        self.world.run(1)
        self.assertLess(self.resent_bytes(b) - began, 32_000 + 1.2 * 25_000)
        self.assertGreater(self.resent_bytes(b) - began, 32_000)

    def test_who_carries_nothing_for_others_sends_its_own_again_all_the_same(self) -> None:
        _, b, c = self.make()
        b.room.recovery._uplink = 0
        b.room.recovery._pace(0.0)
        self.send(100)
        self.nack(c, b, Range(60, 69))
        self.world.run(1)
        self.assertEqual(self.resent(b), 10)

    def resent_bytes(self, node: Node) -> int:
        return node.room.recovery.totals().resent_bytes
