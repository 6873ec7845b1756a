"""Forward error correction between two real ends, and three, with a cable that loses."""

from itertools import pairwise
from typing import Any

from twisted.trial.unittest import SynchronousTestCase as TestCase

from multicastmw.core.datapath import PACE
from multicastmw.core.events import CorrectionBegins, CorrectionEnds
from multicastmw.core.fec.coder import BLOCK
from multicastmw.core.fec.protection import CALM, QUIET, Protection
from multicastmw.wire.cops import Op
from multicastmw.wire.mesh import Nack
from multicastmw.wire.messages import KeepAlive, Open, decode, encode
from multicastmw.wire.parity import Parity
from tests.core.cable import Node, World

GROUP = 0xEF010203
APART = 0.002  # seconds from one packet to the next
FAR = 0.1  # seconds of one way


class Chain(TestCase):
    """a - b, or more: the first sends, the last receives."""

    def make(
        self, names: str = "ab", recovery: float = 0.0, fec: str = "on", delay: float = FAR, **chosen: Any
    ) -> list[Node]:
        self.world = World()
        self.nodes = [self.world.node(name, recovery=recovery, fec=fec, **chosen) for name in names]
        self.spoil(delay=delay)
        for left, right in pairwise(self.nodes):
            self.world.connect(left, right)
        self.world.run(1)
        self.nodes[-1].host.wants(GROUP)
        self.world.run(0.5)
        self.next = 0
        return self.nodes

    def spoil(self, **how: float) -> None:
        for left, right in pairwise(self.nodes):
            self.world.air.spoil(left, right, **how)

    def send(self, seconds: float, apart: float = APART) -> range:
        """The numbers that were sent."""
        first = self.next
        for _ in range(round(seconds / apart)):
            self.nodes[0].send(GROUP, inner=b"%d" % self.next + bytes(self.next % 50))
            self.next += 1
            self.world.run(apart)
        return range(first, self.next)

    def missing(self, sent: range, node: Node | None = None) -> int:
        self.world.run(2 * FAR + 1)
        host = (node or self.nodes[-1]).host
        got = [int(packet.rstrip(b"\0")) for packet in host.packets]
        self.assertEqual(len(got), len(set(got)))
        return len(set(sent) - set(got))

    def protection(self, node: Node, peer: Node) -> Protection:
        found = node.link(peer).protection
        assert found
        return found

    def said(self, sender: Node, op: Op) -> list[Any]:
        sent = self.world.air.sent
        return [decode(m).message for a, _, m in sent if a == sender.address and m[1] == op]


class LossTests(Chain):
    def test_without_any_nack_almost_nothing_is_missing(self):
        for loss, left in ((0.01, 0.001), (0.02, 0.002), (0.05, 0.006), (0.1, 0.015)):
            self.make()
            self.spoil(loss=loss)
            self.send(8)  # until it is known how much is lost
            sent = self.send(10)
            share = self.missing(sent) / len(sent)
            self.assertLess(share, left, loss)
            self.assertEqual(self.said(self.nodes[1], Op.NACK), [])
            measured = self.protection(*self.nodes).loss.share
            assert measured is not None
            self.assertLess(abs(measured - loss), 0.5 * loss + 0.005)

    def test_bursts_are_learnt(self):
        self.make()
        self.spoil(loss=0.04, burst=3.0)
        sent = self.send(3)
        before = self.missing(sent) / len(sent)
        self.send(20)
        self.assertGreater(self.protection(*self.nodes).loss.sigmas, 2)
        sent = self.send(10)
        after = self.missing(sent) / len(sent)
        self.assertLess(after, 0.012)
        self.assertLess(after, before)

    def test_over_two_links_each_gives_back_its_own(self):
        _, b, _ = self.make("abc")
        self.spoil(loss=0.03)
        self.send(8)
        sent = self.send(10)
        self.assertLess(self.missing(sent), len(sent) * 0.008)
        for node in self.nodes[1:]:
            self.assertGreater(node.room.fec.totals().rebuilt, 200)
        self.assertEqual(self.protection(b, self.nodes[2]).counters.malformed, 0)

    def test_with_nacks_nothing_is_missing_and_fewer_are_sent(self):
        nacks = {}
        for fec in ("off", "on"):
            self.make(recovery=2.0, fec=fec)
            self.spoil(loss=0.03)
            self.assertEqual(self.missing(self.send(18)), 0)
            nacks[fec] = len(self.said(self.nodes[1], Op.NACK))
        self.assertLess(nacks["on"], nacks["off"] / 4)

    def test_a_gap_waits_for_its_parity_before_it_is_asked_for(self):
        a, b = self.make(recovery=2.0)
        self.send(1)
        self.world.air.way(a, b).hole = True
        self.send(APART)
        self.world.air.way(a, b).hole = False
        self.assertEqual(self.missing(self.send(1)), 0)
        self.assertEqual(self.said(b, Op.NACK), [])
        self.assertEqual(b.room.fec.totals().rebuilt, 1)
        self.assertEqual(b.room.recovery.totals().recovered, 1)

    def test_what_parity_cannot_give_back_is_asked_for_at_once_after_that(self):
        a, b = self.make(recovery=2.0)
        self.send(1)
        self.world.air.way(a, b).hole = True
        self.send(BLOCK * APART * 1.2)
        self.world.air.way(a, b).hole = False
        self.assertEqual(self.missing(self.send(1)), 0)
        nack, *_ = self.said(b, Op.NACK)
        self.assertIsInstance(nack, Nack)
        self.assertGreater(b.room.recovery.totals().asked, BLOCK / 2)


class AutoTests(Chain):
    """On where it is of use, and not for ever."""

    def rows(self, seconds: float = 8) -> int:
        self.send(seconds)
        return self.protection(*self.nodes[:2]).rows

    def test_it_goes_on_where_a_far_link_loses_and_off_again(self):
        self.make(recovery=1.0, fec="auto")
        self.assertEqual(self.rows(), 0)
        self.spoil(loss=0.03)
        self.assertGreaterEqual(self.rows(), 2)
        self.spoil(loss=0.0)
        self.assertGreater(self.rows(CALM / 2), 0)
        self.assertEqual(self.rows(CALM), 0)
        self.assertEqual(len(self.nodes[0].room.fec._open), 0)
        self.send(QUIET)
        self.assertIsNone(self.protection(*reversed(self.nodes)).rebuilder)

    def test_a_near_link_asks_again_instead(self):
        self.make(recovery=1.0, fec="auto", delay=0.02)
        self.spoil(loss=0.03)
        self.assertEqual(self.rows(16), 0)
        self.assertEqual(self.nodes[0].room.fec.totals().sent, 0)

    def test_without_nacks_it_is_of_use_on_every_link_that_loses(self):
        self.make(recovery=0.0, fec="auto", delay=0.002)
        self.spoil(loss=0.03)
        self.assertGreaterEqual(self.rows(16), 2)

    def test_what_is_little_is_left(self):
        self.make(recovery=1.0, fec="auto")
        self.spoil(loss=0.004)
        self.assertEqual(self.rows(30), 0)

    def told(self, node: Node) -> list[str]:
        found = [each for each in node.events if isinstance(each, CorrectionBegins | CorrectionEnds)]
        return [type(each).__name__ for each in found]

    def test_that_it_goes_on_and_off_is_told_once(self):
        a, b = self.make(recovery=1.0, fec="auto")
        self.spoil(loss=0.03)
        self.rows()
        self.assertEqual(self.told(a), ["CorrectionBegins"])
        (begun,) = a.told(CorrectionBegins)
        self.assertEqual((begun.peer, begun.trip), ("b", 2_000 * FAR))
        self.assertLess(abs(begun.lost - 3), 2)
        self.spoil(loss=0.0)
        self.rows(1.5 * CALM)
        self.assertEqual(self.told(a), ["CorrectionBegins", "CorrectionEnds"])
        self.assertEqual(self.told(b), [], "it sends none")

    def test_a_peer_that_gives_it_up_ends_it_and_that_is_told(self):
        a, b = self.make(recovery=1.0, fec="auto")
        self.spoil(loss=0.03)
        self.rows()
        b.fec_is("off")
        self.world.run(1)
        (ended,) = a.told(CorrectionEnds)
        self.assertEqual(("b", "it rebuilds nothing any more"), (ended.peer, ended.why))

    def test_data_that_go_over_tcp_end_it_and_that_is_told(self):
        a, b = self.make(recovery=1.0, fec="auto")
        self.spoil(loss=0.03)
        self.rows()
        self.world.air.spoil(a, b, hole=True)
        self.send(5)
        (ended,) = a.told(CorrectionEnds)
        self.assertIn("over TCP", ended.why)


class SwitchTests(Chain):
    """[recovery] fec under way."""

    def is_protected(self) -> list[bool]:
        a, b = self.nodes
        return [link.protection is not None for link in (a.link(b), b.link(a))]

    def switch(self, node: Node, mode: str) -> None:
        node.fec_is(mode)
        self.world.run(2 * FAR)

    def test_both_ends_take_it_up_on_the_link_that_is_there(self):
        a, b = self.make(fec="off")
        link = a.link(b)
        self.assertIsNotNone(link.data_path)
        self.spoil(loss=0.03)
        for node in self.nodes:
            self.assertEqual(self.is_protected(), [False, False])
            self.switch(node, "on")
        self.assertEqual(self.is_protected(), [True, True])
        self.assertIs(a.link(b), link)
        self.assertIsNone(link.data_path, "the kernel gives it back")
        self.send(8)
        self.assertLess(self.missing(self.send(5)), 15)
        self.assertGreater(b.room.fec.totals().rebuilt, 50)

    def test_either_end_gives_it_up_and_no_parity_comes_any_more(self):
        for which in (0, 1):
            nodes = self.make()
            self.send(1)
            self.switch(nodes[which], "off")
            self.assertEqual(self.is_protected(), [False, False])
            self.assertIsNotNone(nodes[0].link(nodes[1]).data_path)
            self.world.air.sent.clear()
            self.assertEqual(self.missing(self.send(3)), 0)
            self.assertEqual(self.said(nodes[0], Op.PARITY), [])
            self.assertTrue(all(m.tally is None for m in self.said(nodes[0], Op.KEEP_ALIVE)))

    def test_parity_under_way_to_who_gave_it_up_costs_no_probe(self):
        _, b = self.make()
        for _ in range(10):
            self.send(0.3)
            b.fec_is("off")
            self.send(0.3)
            b.fec_is("on")
        link = b.link(self.nodes[0])
        self.assertGreater(link.counters.unknown_messages, 10)
        self.assertEqual((link.counters.bad_probes, link.counters.probes_over_bound), (0, 0))

    def test_from_always_to_where_it_is_of_use_and_back(self):
        a, b = self.make()
        self.send(1)
        for mode, rows in (("auto", 0), ("on", 2), ("auto", 0)):
            self.switch(a, mode)
            self.assertEqual(self.protection(a, b).rows, rows)
        self.assertEqual(self.is_protected(), [True, True])

    def test_who_changes_its_word_every_moment_is_heard_once_a_second_and_rightly_in_the_end(self):
        a, b = self.make()
        changes = []
        a.room.moved = lambda link: changes.append(link.protection is not None)
        for number in range(300):
            b.link(a)._control(encode(KeepAlive(correction=64 * (number % 2))), self.world.now)
            self.world.run(0.01)
        self.assertLess(len(changes), 8)
        b.link(a)._control(encode(KeepAlive(correction=0)), self.world.now)
        self.world.run(PACE + FAR)
        self.assertIsNone(a.link(b).protection)

    def test_a_link_that_was_being_made_meanwhile_hears_it(self):
        a, b = self.make(fec="off")
        for cable in self.world.cables:
            cable.accepting.abort()
        self.world.run(1)
        self.world.connect(a, b)
        self.world.run(FAR / 2)
        for node in self.nodes:
            node.fec_is("on")
        self.world.run(1)
        self.assertEqual(self.is_protected(), [True, True])


class OthersTests(Chain):
    def test_who_does_not_say_that_it_rebuilds_is_sent_no_parity_and_no_tally(self):
        a, b = self.make(fec="off")
        a.corrects(True, 1.0)
        self.spoil(loss=0.03)
        for cable in self.world.cables:
            cable.accepting.abort()
        self.world.run(1)
        self.world.connect(a, b)
        self.world.run(1)
        self.send(5)
        self.assertIsNone(a.link(b).protection)
        self.assertEqual(self.said(a, Op.PARITY), [])
        self.assertTrue(all(m.tally is None for m in self.said(a, Op.KEEP_ALIVE)))
        self.assertEqual(b.link(a).counters.unknown_messages + b.link(a).counters.bad_probes, 0)

    def test_an_open_says_it_in_an_object_that_others_skip(self):
        a, _ = self.make()
        opened = decode(encode(a.room.our_open(1))).message
        assert isinstance(opened, Open)
        self.assertEqual((opened.correction, opened.capabilities, opened.recovery), (64, None, 0))

    def test_who_takes_no_datagrams_does_not_say_it(self):
        a, _ = self.make(data_port=None)
        self.assertEqual(a.room.our_open(1).correction, 0)

    def test_parity_that_comes_without_it_is_no_trouble(self):
        a, b = self.make(fec="off")
        row = Parity(1, 2, 1, 0, 1, 1, bytes(16))
        a.link(b)._send_datagram(encode(row, a.link(b)._peers_token))
        self.world.run(0.1)
        self.assertEqual(b.link(a).counters.unknown_messages + b.link(a).counters.bad_probes, 1)
        self.assertIsNone(b.link(a).protection)


class WayTests(Chain):
    def test_the_kernel_serves_no_link_whose_ends_know_it(self):
        a, b = self.make()
        self.assertTrue(a.link(b).on_udp)
        self.assertIsNone(a.link(b).data_path)
        self.make(fec="off")
        a, b = self.nodes
        self.assertIsNotNone(a.link(b).data_path)

    def test_over_tcp_there_is_none_and_on_udp_it_is_back(self):
        a, b = self.make()
        self.send(1)
        self.world.air.spoil(a, b, hole=True)
        self.send(5)
        self.assertFalse(a.link(b).on_udp)
        self.assertEqual(self.protection(a, b).rows, 0)
        before = a.room.fec.totals().sent
        self.send(1)
        self.assertEqual((a.room.fec.totals().sent, len(a.room.fec._open)), (before, 0))
        self.world.air.spoil(a, b, hole=False)
        self.send(9)
        self.assertEqual(self.protection(a, b).rows, 2)  # a hole says nothing of what is lost now
        self.assertGreater(self.protection(a, b).rows, 0)
        self.assertGreater(a.room.fec.totals().sent, before)

    def test_a_link_that_is_gone_leaves_its_counts_and_nothing_else(self):
        a, b = self.make()
        self.send(1.01)
        before = a.room.fec.totals().as_dict()
        self.world.cables[0].accepting.abort()
        self.world.run(1)
        for node in (a, b):
            self.assertEqual((node.room.fec.protections, node.room.fec._open), ({}, {}))
        self.assertEqual(a.room.fec.totals().as_dict(), before)
        self.assertGreater(before["sent"], 10)

    def test_an_idle_node_has_no_deadline(self):
        a, _ = self.make()
        self.send(0.5)
        self.world.run(0.1)
        self.assertEqual(a.room.fec.deadline(), float("inf"))

    def test_a_tally_counts_what_went_on_udp_alone(self):
        _, b = self.make()
        self.send(5)
        tallies = [m.tally for m in self.said(b, Op.KEEP_ALIVE) if isinstance(m, KeepAlive) and m.tally]
        self.assertEqual({each.sent - each.received for each in tallies}, {0})
        self.assertGreater(max(each.received for each in tallies), 1_000)
