"""Two nodes and a cable, and what an operator would ask of them."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import Channel
from multicastmw.core.branch import CHANNELS_MAX, NODES_MAX, REST, TABLE_MAX
from multicastmw.core.events import DataMoved, Limit, OwnName, PeerDown, PeerRefused, PeerRefuses, PeerUp
from multicastmw.core.link import PROBES_MAX, UNREAD_MAX, Phase
from multicastmw.core.trips import AGAIN, EVERY, FIRST, TripsOverTcp
from multicastmw.core.turns import BUDGET, PIECE
from multicastmw.wire import data
from multicastmw.wire.cops import CLIENT_TYPE, HEADER_TWIN, Op, frame
from multicastmw.wire.mesh import Find, Graft, Have, Held, Load, Nack, Peers, Prune, Range, StreamKey
from multicastmw.wire.messages import (
    ECHO_REQUEST,
    AddRoute,
    Close,
    DataPort,
    Echo,
    Group,
    KeepAlive,
    Open,
    RemoveRoute,
    encode,
    encode_routes,
)
from multicastmw.wire.messages import Node as NodeEntry
from tests.core.cable import Cable, End, Node, World, deliver_datagram

GROUP = 0xEF010101
OTHER = 0xEF010102
STREAM = StreamKey(1 << 16, GROUP, 1)
IN_DATAGRAMS = (
    Have((Held(STREAM, 1, (), Load(1)),)),
    Nack(STREAM, (Range(1, 1),)),
    Graft(STREAM, 1),
    Prune(STREAM),
)
OF_THE_MESH = (*IN_DATAGRAMS, Peers(GROUP, 1), Find(GROUP, 1))


def pair(seed: int = 0, a: dict[str, Any] | None = None, b: dict[str, Any] | None = None, **cable: Any):
    """Two nodes, a dialling b, before anything has arrived."""
    world = World(seed)
    left, right = world.node("a", **(a or {})), world.node("b", **(b or {}))
    return world, left, right, world.connect(left, right, **cable)


def stranger(world: World, node: Node, **chosen: Any) -> End:
    """Somebody who connects to the node and is no node himself."""
    return Cable(world, None, node, **chosen).dialling


def an_open(name: str = "x", node: int = 0x77_0000, **more: Any) -> bytes:
    return encode(Open(name, node, more.pop("keep_alive", 10), **more))


TCP_ONLY = {"data_port": None}


class RoundTrips(SynchronousTestCase):
    """Of links whose data go over TCP: what probes measure on UDP, echoes do there."""

    def test_they_are_measured_without_a_data_port(self) -> None:
        world, a, b, _ = pair(a=TCP_ONLY, b=TCP_ONLY, delay=0.03)
        world.run(FIRST + 1)
        for node in (a, b):
            (link,) = node.room.by_node.values()
            self.assertAlmostEqual(0.06, link.rtt, 2)
            self.assertEqual((link.rtt, 0.0), (link.trips.rtt, link.trips.jitter))

    def test_a_peer_that_answers_no_echo_is_not_measured(self) -> None:
        trips = TripsOverTcp(100.0)
        clock = trips.ask(102.0)
        trips.answered(clock + 1, 102.1)
        self.assertIsNone(trips.rtt)
        self.assertIsNone(trips.ask(112.0))  # the first one waits for its answer
        again = trips.ask(102.0 + AGAIN)
        trips.answered(clock, 102.1 + AGAIN)  # of the one before, which came late
        self.assertIsNone(trips.rtt)
        trips.answered(again, 102.25 + AGAIN)
        trips.answered(again, 109.0 + AGAIN)
        self.assertEqual(0.25, trips.rtt)

    def test_a_host_that_slept_measures_anew(self) -> None:
        trips = TripsOverTcp(100.0)
        clock = trips.ask(102.0)
        trips.woke(3_700.0)
        trips.answered(clock, 3_700.0)
        self.assertEqual((None, 3_700.0), (trips.rtt, trips.due))


class KeepAlives(SynchronousTestCase):
    def test_a_quiet_hour_is_cheap_and_the_link_stays(self) -> None:
        world, a, _, cable = pair(a=TCP_ONLY, b=TCP_ONLY)
        world.run(3600)
        self.assertTrue(cable.is_up)
        for end in cable.ends:
            self.assertTrue(3600 / 7.5 - 1 <= len(end.spoke_at()) <= 3600 / 2.5, len(end.spoke_at()))
            self.assertEqual(len(end.written), len(end.spoke_at()) + 1)  # Open, and nothing else
        self.assertEqual(a.downs, [])

    def test_they_come_at_a_random_quarter_to_three_quarters_of_the_peers_timer(self) -> None:
        world, _, _, cable = pair(a={"keep_alive": 4}, b={"keep_alive": 60})
        world.run(1800)
        self.assertTrue(cable.is_up)
        for end, patience in ((cable.dialling, 60), (cable.accepting, 4)):
            pauses = [later - earlier for earlier, later in pairwise(end.spoke_at())]
            self.assertTrue(all(patience / 4 <= pause <= patience * 3 / 4 for pause in pauses), pauses)
            self.assertGreater(max(pauses) - min(pauses), patience / 4)  # they are not in step

    def test_another_patience_is_that_of_the_links_made_from_then_on(self) -> None:
        """A peer speaks by what the Open said, so a link that stands can have no shorter one."""
        world, a, b, cable = pair(a={"keep_alive": 60})
        world.run(1)
        a.room.keep_alive_is(2)
        world.run(300)
        self.assertTrue(cable.is_up)
        cable.cut()
        world.run(45)
        self.assertTrue(a.room.by_node)
        world.run_until(lambda: bool(a.downs), within=15.001)
        self.assertEqual(a.downs[0][1], "silent for 60 s")
        again = world.connect(a, b)
        world.run(1)
        again.cut()
        self.assertLess(world.run_until(lambda: len(a.downs) == 2, within=2.001), 2.001)
        self.assertEqual(a.downs[1][1], "silent for 2 s")

    def test_what_else_is_said_saves_a_keep_alive(self) -> None:
        world, a, _, cable = pair(a=TCP_ONLY, b=TCP_ONLY)
        world.run(1)
        for i in range(120):
            (a.host.unwants if i % 2 else a.host.wants)(GROUP)
            world.run(2)  # less than a quarter of 10
        said = [message for _, message in cable.dialling.sent() if isinstance(message, KeepAlive)]
        self.assertEqual([], [message for message in said if message.echo is None])
        asked = [message for message in said if message.echo.kind == ECHO_REQUEST]
        self.assertTrue(240 / EVERY - 3 <= len(asked) <= 240 / EVERY + 1, len(asked))  # they measure the way

    def test_data_on_tcp_are_life_and_save_the_peer_nothing(self) -> None:
        world, a, b, cable = pair(a=TCP_ONLY, b=TCP_ONLY)
        b.host.wants(GROUP)
        world.run(1)
        for _ in range(300):
            a.send(GROUP)
            world.run(0.1)
        self.assertTrue(cable.is_up)
        self.assertEqual(len(b.host.got), 300)

    def test_a_cut_cable_is_noticed_within_each_ones_own_timer(self) -> None:
        world, a, b, cable = pair(a={"keep_alive": 4}, b={"keep_alive": 60})
        world.run(10)
        cable.cut()
        took = world.run_until(lambda: bool(a.downs), within=4.001)
        self.assertGreater(took, 4 - 3)  # b had spoken at most three quarters of 4 s before
        self.assertEqual(a.downs[0][1], "silent for 4 s")
        self.assertFalse(b.downs)
        took += world.run_until(lambda: bool(b.downs), within=60.001 - took)
        self.assertGreater(took, 60 - 45)

    def test_a_dead_link_is_aborted_for_closing_would_wait_for_unsent_bytes(self) -> None:
        world, _, _, cable = pair()
        world.run(1)
        cable.cut()
        world.run(30)
        for end in cable.ends:
            self.assertEqual((end.finished, end.aborted), (0, 1))
            self.assertTrue(end.lost)

    def test_a_dead_link_is_told_once_and_leaves_nothing_behind(self) -> None:
        world, a, b, cable = pair()
        a.host.wants(GROUP)
        b.host.wants(OTHER)
        world.run(1)
        cable.cut()
        world.run(30)
        for node in (a, b):
            self.assertEqual(len(node.told(PeerDown)), 1)
            self.assertEqual((node.room.links, node.room.by_node, node.room.by_token), ([], {}, {}))
            self.assertEqual(node.room.reach.nodes(), [])
            self.assertEqual([d for _, d in node.router.wanted()], [(node.host,)])
            self.assertTrue(all(link.data_address is None for link, _ in node.downs))

    def test_data_on_udp_are_no_life_of_the_tcp_connection(self) -> None:
        world, a, b, cable = pair()
        b.host.wants(GROUP)
        world.run(1)
        self.assertTrue(a.link(b).on_udp)
        cable.cut()  # the datagrams still go
        for _ in range(120):
            a.send(GROUP)
            world.run(0.1)
        self.assertEqual((len(a.downs), len(b.downs)), (1, 1))

    def test_bytes_in_pieces_of_any_size_are_the_same_messages(self) -> None:
        for chunk in (1, 2, 7, 5000):
            world, a, b, cable = pair(chunk=chunk, a=TCP_ONLY)
            b.host.wants(GROUP)
            world.run(1)
            for _ in range(5):
                a.send(GROUP, inner=bytes(100))
            world.run(1)
            self.assertEqual(len(b.host.got), 5)
            self.assertTrue(cable.is_up)


class FirstMessages(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.node = self.world.node("a")

    def closed_with(self, end: End, within: float = 1.0) -> tuple[int, int]:
        self.world.run(within)
        (error,) = end.closes()
        return error

    def test_both_say_open_at_once(self) -> None:
        world, a, _, cable = pair()
        said = [end.sent()[0] for end in cable.ends]
        self.assertEqual([at for at, _ in said], [world.now, world.now])
        first = said[0][1]
        self.assertEqual(first, Open("a", a.id, 10, DataPort(4600, cable.dialling.link.token)))

    def test_who_says_nothing_is_told_after_5_s_and_gone(self) -> None:
        end = stranger(self.world, self.node)
        self.world.run(4.99)
        self.assertEqual(end.closes(), [])
        self.assertEqual(self.closed_with(end, 0.1), (9, 0))
        self.assertTrue(end.lost)
        self.assertEqual(self.node.room.links, [])

    def test_an_open_that_the_connection_objects_to_is_refused(self) -> None:
        end = stranger(self.world, self.node)
        link = self.node.room.links[0]
        link._outlet.objects = "its certificate is not b's"
        end.says(an_open())
        self.assertEqual(self.closed_with(end), (14, 0))
        self.assertEqual((link.why, self.node.room.by_node), ("TLS: its certificate is not b's", {}))
        (event,) = self.node.told(PeerRefused)
        self.assertEqual(event.why, link.why)

    def test_who_dialled_asks_for_the_name_that_it_dialled_and_for_the_one_it_was_told(self) -> None:
        world, a, b, cable = pair()
        world.run(0.1)
        self.assertEqual(cable.accepting.asked, (("a",), a.id))
        self.assertEqual(cable.dialling.asked, (("b", "b"), b.id))

    def test_who_is_known_not_to_be_whom_we_dialled_hears_close_instead_of_open(self) -> None:
        why = "its certificate is not b's"
        self.patch(End, "objection", lambda end, names, node=None: why if end.link.section else None)
        world, a, b, cable = pair()
        world.run(0.1)
        self.assertEqual([message for _, message in cable.dialling.written], [encode(Close(14, 0))])
        self.assertEqual([node.told(kind) for node in (a, b) for kind in (PeerUp, PeerDown)], [[]] * 4)
        (event,) = b.told(PeerRefuses)
        self.assertEqual(event.address, cable.accepting.address)
        self.assertEqual((a.room.links, b.room.links), ([], []))

    def test_bytes_that_make_no_message_are_no_open(self) -> None:
        end = stranger(self.world, self.node)
        for byte in an_open()[:-1]:
            end.says(bytes([byte]))
            self.world.run(0.1)
        self.assertEqual(self.closed_with(end, 5), (9, 0))

    def test_anything_else_first_is_bad_format(self) -> None:
        for message in (
            encode(KeepAlive()),
            encode(AddRoute((Group(GROUP, 0),))),
            frame(200, b""),
            data.build(b"x" * 20, token=0, origin=1, group=GROUP, source=1, sequence=0),
        ):
            end = stranger(self.world, self.node)
            end.says(message, an_open())
            self.assertEqual(self.closed_with(end), (3, 0))
        self.assertEqual(self.node.ups, [])
        self.assertEqual(self.node.router.wanted(), [])

    def test_a_second_open_is_bad_format_and_the_link_goes(self) -> None:
        end = stranger(self.world, self.node)
        end.says(an_open(), an_open())
        self.assertEqual(self.closed_with(end), (3, 0))
        self.assertEqual(len(self.node.downs), 1)

    def test_another_client_type_is_answered_with_6(self) -> None:
        end = stranger(self.world, self.node)
        version_op, rest = an_open()[:2], an_open()[4:]
        end.says(version_op + (CLIENT_TYPE + 1).to_bytes(2, "big") + rest)
        self.assertEqual(self.closed_with(end), (6, 0))

    def test_an_open_without_a_name_is_answered_with_7(self) -> None:
        end = stranger(self.world, self.node)
        end.says(frame(Op.OPEN, b""))
        self.assertEqual(self.closed_with(end), (7, 0))

    def test_lengths_that_lie_are_bad_format(self) -> None:
        for head in (
            HEADER_TWIN.pack(0x10, Op.OPEN, CLIENT_TYPE, 2052),  # more than a first message may have
            HEADER_TWIN.pack(0x10, Op.OPEN, CLIENT_TYPE, 4),
            HEADER_TWIN.pack(0x10, Op.OPEN, CLIENT_TYPE, 13),
            HEADER_TWIN.pack(0x20, Op.OPEN, CLIENT_TYPE, 16),
        ):
            end = stranger(self.world, self.node)
            end.says(head)
            self.assertEqual(self.closed_with(end), (3, 0))

    def test_once_up_a_message_may_have_66000_bytes_and_no_more(self) -> None:
        end = stranger(self.world, self.node)
        end.says(an_open(), frame(200, bytes(66_000 - 8)))  # at once behind Open
        self.world.run(1)
        self.assertEqual(end.closes(), [])
        self.assertEqual(self.node.ups[0].counters.unknown_messages, 1)
        end.says(frame(200, bytes(66_004 - 8)))
        self.assertEqual(self.closed_with(end), (3, 0))

    def test_what_a_closed_stranger_says_still_is_not_read(self) -> None:
        end = stranger(self.world, self.node)
        end.says(encode(KeepAlive()), an_open(), encode(AddRoute((Group(GROUP, 0),))))
        self.world.run(0.5)
        end.says(an_open())
        self.world.run(3)
        self.assertEqual((self.node.ups, self.node.router.wanted()), ([], []))

    def test_the_own_node_id_is_one_clear_event_and_close_4_3(self) -> None:
        end = stranger(self.world, self.node, seen_from="10.9.9.9")
        end.says(an_open("a", self.node.id))
        self.assertEqual(self.closed_with(end), (4, 3))
        (event,) = self.node.told(OwnName)
        self.assertIn("10.9.9.9", event.sentence())
        self.assertEqual(self.node.told(PeerRefused), [])
        self.assertEqual(self.node.ups, [])

    def test_a_node_that_dials_itself_stays_single(self) -> None:
        self.world.connect(self.node, self.node)
        self.world.run(2)
        self.assertEqual((self.node.ups, self.node.room.links), ([], []))
        self.assertTrue(self.node.told(OwnName))

    def test_a_keep_alive_timer_of_one_second_works(self) -> None:
        world, _, _, cable = pair(a={"keep_alive": 1}, b={"keep_alive": 3600})
        world.run(3600)
        self.assertTrue(cable.is_up)


class Conversations(SynchronousTestCase):
    """An open link, with a stranger at the other end."""

    def setUp(self) -> None:
        self.world = World()
        self.node = self.world.node("a")
        self.end = stranger(self.world, self.node)
        self.end.says(an_open(keep_alive=3600))
        self.world.run(0.1)
        (self.link,) = self.node.ups

    def says(self, *messages: bytes) -> None:
        self.end.says(*messages)
        self.world.run(0.1)

    def test_what_the_mesh_says_is_counted_and_of_no_consequence(self) -> None:
        before = self.link.counters.unknown_messages
        for message in OF_THE_MESH:
            self.says(encode(message))
        self.world.run(1)
        self.assertEqual(self.link.counters.unknown_messages - before, len(OF_THE_MESH))
        self.assertEqual(self.node.router.wanted(), [])
        self.assertIs(self.link.phase, Phase.UP)

    def test_unknown_messages_and_objects_are_skipped_and_counted(self) -> None:
        unknown = bytes.fromhex("0008380100000000")
        group = bytes.fromhex("00144201") + GROUP.to_bytes(8, "big") + bytes(8)
        self.says(frame(77, b""), frame(78, b"\xff" * 40), frame(Op.ADD_ROUTE, unknown + group))
        self.assertEqual(self.link.counters.unknown_messages, 2)
        self.assertEqual(self.link.counters.unknown_objects, 1)
        self.assertEqual(self.node.router.wanted(), [(Channel(GROUP, 0), (self.link,))])
        self.assertIs(self.link.phase, Phase.UP)

    def test_lying_ip_data_on_tcp_costs_the_link(self) -> None:
        message = bytearray(data.build(b"x" * 20, token=0, origin=1, group=GROUP, source=1, sequence=0))
        message[57] += 1  # the inner length
        self.says(bytes(message))
        self.assertEqual(self.end.closes(), [(3, 0)])
        self.assertEqual(self.node.forwarder.drops.malformed, 1)
        self.assertEqual(len(self.node.downs), 1)

    def test_lying_ip_data_on_udp_is_only_counted(self) -> None:
        message = bytearray(
            data.build(b"x" * 20, token=self.link.token, origin=1, group=GROUP, source=1, sequence=0)
        )
        message[57] += 1
        deliver_datagram(self.node, bytes(message), ("192.0.2.9", 4600))
        deliver_datagram(self.node, bytes(message[:40]), ("192.0.2.9", 4600))
        self.world.run(1)
        self.assertEqual(self.link.counters.bad_probes, 2)
        self.assertEqual(self.end.closes(), [])

    @given(st.binary(min_size=20, max_size=120), st.sampled_from([None, 6, 8, 9, 32, 33, 34]))
    @settings(max_examples=200, deadline=None)
    def test_garbage_with_the_right_token_never_raises(self, garbage: bytes, op: int | None) -> None:
        message = bytearray(garbage)
        message[12:20] = self.link.token.to_bytes(8, "big")
        if op is not None:
            message[:8] = HEADER_TWIN.pack(0x10, op, CLIENT_TYPE, len(message))
        deliver_datagram(self.node, bytes(message), ("192.0.2.9", 4600))
        self.assertIs(self.link.phase, Phase.UP)

    @given(st.lists(st.binary(max_size=60), max_size=6), st.sampled_from([6, 8, 9, 32, 33, 34, 99]))
    @settings(max_examples=100, deadline=None)
    def test_garbage_on_tcp_never_raises_and_is_answered_or_skipped(
        self, parts: list[bytes], op: int
    ) -> None:
        world = World()
        node = world.node("a")
        end = stranger(world, node)
        end.says(an_open())
        for part in parts:
            body = part + bytes(-len(part) % 4)
            end.says(frame(op, body))
        end.says(b"".join(parts))
        world.run(10)
        self.assertLessEqual(len(end.closes()), 1)

    def test_add_route_is_idempotent_also_at_the_bound(self) -> None:
        channels = [Group(GROUP + i, 0) for i in range(CHANNELS_MAX)]
        for _ in range(2):
            self.says(*encode_routes(AddRoute, list(channels)))
        self.world.run(1)
        self.assertEqual(self.end.closes(), [])
        self.assertEqual(self.node.router.count(self.link), CHANNELS_MAX)

    def test_one_channel_above_the_bound_is_too_many(self) -> None:
        channels = [Group(GROUP + i, 0) for i in range(CHANNELS_MAX + 1)]
        self.says(*encode_routes(AddRoute, list(channels)))
        self.world.run(1)
        self.assertEqual(self.end.closes(), [(4, 4)])
        self.assertEqual(self.node.router.wanted(), [])

    def test_one_node_above_the_bound_is_too_many(self) -> None:
        nodes = [NodeEntry(i << 16, f"n{i}") for i in range(1000, 1001 + NODES_MAX)]
        self.says(*encode_routes(AddRoute, list(nodes[:-1])))
        self.world.run(1)
        self.assertEqual(self.end.closes(), [])
        self.says(*encode_routes(AddRoute, list(nodes[-1:])))
        self.world.run(1)
        self.assertEqual(self.end.closes(), [(4, 4)])
        self.assertEqual(self.node.room.reach.nodes(), [])
        self.assertIsNone(self.node.room.reach.name(1000 << 16))

    def test_our_own_node_is_never_learnt_and_the_peer_itself_never_withdrawn(self) -> None:
        self.says(encode(AddRoute((NodeEntry(self.node.id, "a"),))))
        self.says(encode(RemoveRoute((NodeEntry(self.link.node),))))
        self.assertEqual(self.node.room.reach.nodes(), [self.link.node])

    def test_no_peer_is_told_of_itself_even_in_a_cycle(self) -> None:
        other = stranger(self.world, self.node, seen_from="192.0.2.7")
        other.says(an_open("y", 0x88_0000), encode(AddRoute((NodeEntry(self.link.node, "x"),))))
        self.world.run(0.1)
        told = [entry.node for m in self.end.heard() if isinstance(m, AddRoute) for entry in m.entries]
        self.assertEqual(told, [0x88_0000])

    def test_a_close_of_the_peer_says_why_it_is_down(self) -> None:
        self.says(encode(Close(4, 1)))
        ((_, why),) = self.node.downs
        self.assertEqual(why, "closed by the peer: this link would close a cycle")
        self.world.run(2)
        self.assertTrue(self.end.lost)

    def test_a_close_behind_routes_that_wait_is_heard_when_the_connection_ends(self) -> None:
        """Inside TLS all that was read comes at once, and then the end."""
        (routes,) = encode_routes(AddRoute, [Group(i + 1, 1) for i in range(2500)])
        self.link.bytes_received(routes + encode(Close(4, 1, "c")), self.world.now)
        self.assertTrue(self.link.has_work())
        self.link.lost("Connection was closed cleanly")
        why = "closed by the peer: this link would close a cycle, as it reaches c already"
        self.assertEqual((self.link.why, self.link.closes_cycle), (why, True))

    def test_shutting_down_is_said_to_every_peer_and_is_no_refusal(self) -> None:
        self.node.room.leave(self.world.now)
        self.world.run(0.1)
        self.assertEqual(self.end.closes(), [(11, 0)])
        self.assertEqual(self.node.told(PeerRefused), [])
        self.assertEqual(self.node.room.links, [])

    def test_a_peer_that_stops_reading_is_cut_off_a_second_after_close(self) -> None:
        self.end.reads = False
        self.node.room.leave(self.world.now)
        outlet = self.end.other
        self.world.run(0.99)
        self.assertEqual((outlet.finished, outlet.aborted, outlet.lost), (1, 0, False))
        self.world.run(0.02)
        self.assertEqual((outlet.finished, outlet.aborted, outlet.lost), (1, 1, True))
        self.assertEqual(self.node.room.links, [])
        self.world.run(60)
        self.assertEqual(outlet.aborted, 1)


class DataOnUdp(SynchronousTestCase):
    def setUp(self) -> None:
        self.world, self.a, self.b, self.cable = pair()
        self.b.host.wants(GROUP)

    def runs(self, seconds: float, every: float = 0.02) -> None:
        """a sends all the while."""
        for _ in range(round(seconds / every)):
            self.a.send(GROUP, inner=bytes(1000))
            self.world.run(every)

    def on_udp(self) -> bool:
        return self.a.link(self.b).on_udp

    def test_data_move_at_the_first_reply(self) -> None:
        took = self.world.run_until(lambda: bool(self.a.ups) and self.on_udp(), within=1)
        self.assertLess(took, 0.05)  # Open and a probe's round trip
        self.runs(1)
        self.assertEqual(len(self.a.world.air.data()), 50)
        self.assertEqual(self.cable.dialling.sent_data(), [])
        self.assertEqual(len(self.b.host.got), 50)

    def begins_on_tcp(self, seconds: float = 1.2, slow: float = 0.05) -> list[bytes]:
        """TCP is slow and the first probe lost, so what a sends begins over TCP; gives what it sent."""
        self.cable.delay = slow
        self.world.air.spoil(self.a, self.b, hole=True)
        self.world.run(0.3)
        self.world.air.spoil(self.a, self.b, hole=False)
        sent = [b"packet %d" % n for n in range(round(seconds / 0.004))]
        for inner in sent:
            self.a.send(GROUP, inner=inner)
            self.world.run(0.004)
        return sent

    def test_nothing_on_udp_overtakes_what_went_over_tcp(self) -> None:
        sent = self.begins_on_tcp()
        self.world.run(0.2)
        self.assertTrue(self.on_udp())
        self.assertGreater(len(self.cable.dialling.sent_data()), 20)
        self.assertGreater(len(self.a.world.air.data()), 100)
        self.assertEqual(self.b.host.packets, sent)
        self.assertEqual(self.a.link(self.b).queue.dropped, 0)

    def test_a_peer_that_does_not_say_that_it_has_read_is_waited_for_a_moment(self) -> None:
        self.world.run(0.1)
        self.cable.accepting.reads = False
        self.begins_on_tcp(0.4, slow=0.002)
        self.assertTrue(self.on_udp())
        self.assertEqual(self.a.link(self.b).queue.dropped, 0)
        before = len(self.b.host.got)
        self.a.send(GROUP)
        self.world.run(0.01)
        self.assertEqual(len(self.b.host.got), before + 1)

    def test_what_was_held_goes_over_tcp_if_probes_fail_meanwhile(self) -> None:
        """As another address of the peer does it, which is to be probed first."""
        self.begins_on_tcp(0.15)
        link = self.a.link(self.b)
        self.world.run_until(lambda: link.path.on_udp, within=0.5)
        self.assertFalse(link.on_udp)
        self.a.send(GROUP)
        self.assertEqual(len(link.queue), 1)
        link.path.moved(self.world.now)
        self.world.air.spoil(self.a, self.b, hole=True)
        self.world.run(0.25)
        self.assertFalse(link.on_udp)
        self.assertEqual((len(link.queue), link.queue.dropped), (0, 0))
        self.assertEqual(self.b.host.packets[-1], b"packet")

    def test_tokens_are_the_receivers_and_over_tcp_zero(self) -> None:
        self.world.run(1)
        self.runs(0.1)
        tokens = {header.token for _, _, header in self.world.air.data()}
        self.assertEqual(tokens, {self.b.link(self.a).token})
        self.world.air.spoil(self.a, self.b, hole=True)
        self.world.run(5)
        self.runs(0.1)
        tokens = {data.DataHeader.parse(m).token for m in self.cable.dialling.sent_data()}
        self.assertEqual(tokens, {0})

    def test_what_came_with_a_token_goes_on_over_tcp_without_one(self) -> None:
        c = self.world.node("c", data_port=None)
        last = self.world.connect(self.b, c)
        c.host.wants(GROUP)
        self.world.run(1)
        self.runs(0.1)
        self.assertEqual(len(self.world.air.data()), 5)
        self.assertEqual([data.DataHeader.parse(m).token for m in last.dialling.sent_data()], [0] * 5)

    def test_a_quiet_hour_has_a_probe_each_two_seconds(self) -> None:
        self.world.run(3600)
        sent = [m for a, _, m in self.world.air.sent if a == self.a.address]
        self.assertTrue(2 * 1795 <= len(sent) <= 2 * 1800 + 2, len(sent))  # its own, and the answers
        self.assertAlmostEqual(self.a.link(self.b).path.rtt, 0.004, 6)

    def test_a_hole_costs_at_most_3_6_s_of_data_and_the_link_stays(self) -> None:
        """2 s until the next probe, then three that are 0.5 s apart, each waiting 0.5 s."""
        longest = 0.0
        self.world.run(1)
        for _ in range(8):
            self.world.run(self.world.random.uniform(5, 12))
            self.assertTrue(self.on_udp())
            self.world.air.spoil(self.a, self.b, hole=True)
            longest = max(longest, self.world.run_until(lambda: not self.on_udp(), within=3.6))
            self.world.air.spoil(self.a, self.b, hole=False)
        self.assertGreater(longest, 1.5)
        self.assertTrue(self.cable.is_up)
        self.assertEqual(self.a.link(self.b).path.falls, 8)

    def test_data_go_on_over_tcp_while_there_is_a_hole(self) -> None:
        self.world.run(1)
        self.world.air.spoil(self.a, self.b, hole=True)
        self.world.run(4)
        before = len(self.b.host.got)
        self.runs(5)
        self.assertEqual(len(self.b.host.got) - before, 250)
        self.assertEqual(len(self.cable.dialling.sent_data()), 250)

    def test_data_come_back_to_udp_after_three_answers_in_a_row(self) -> None:
        self.world.run(1)
        self.world.air.spoil(self.a, self.b, hole=True)
        self.world.run(20)
        self.assertFalse(self.on_udp())
        self.world.air.spoil(self.a, self.b, hole=False)
        took = self.world.run_until(self.on_udp, within=5)
        self.assertTrue(4.0 <= took <= 4.6, took)  # up to 0.5 s until a probe, then two that are 2 s apart

    def test_two_answers_and_a_miss_are_not_three_in_a_row(self) -> None:
        self.world.run(1)
        way = self.world.air.way(self.a, self.b)
        way.hole = True
        self.world.run(20)
        for _ in range(10):
            way.hole = False
            path = self.a.link(self.b).path
            was = path.rtt
            way.delay += 0.0001  # so that each answer changes the mean
            self.world.run_until(lambda path=path, was=was: path.rtt != was, within=1)
            self.world.run(2.05)
            way.hole = True
            self.world.run(3)
            self.assertFalse(self.on_udp())

    def test_data_come_back_only_when_the_tcp_queue_is_empty(self) -> None:
        self.world.run(1)
        self.world.air.spoil(self.a, self.b, hole=True)
        self.world.run(5)
        self.runs(0.2)  # so that b has just heard of a
        self.cable.accepting.reads = False
        self.runs(3)  # fills the connection and the queue
        self.world.air.spoil(self.a, self.b, hole=False)
        self.runs(5)
        self.assertFalse(self.on_udp())
        self.assertGreater(len(self.a.link(self.b).queue), 0)
        self.cable.accepting.read_again()
        self.world.run(3)
        self.assertTrue(self.on_udp())

    def test_a_hole_in_one_direction_moves_both(self) -> None:
        """A probe needs both directions, so neither side can be sure of its own."""
        self.a.host.wants(OTHER)
        self.world.run(1)
        self.world.air.way(self.a, self.b).hole = True
        self.world.run(4)
        self.assertEqual((self.on_udp(), self.b.link(self.a).on_udp), (False, False))
        self.a.send(GROUP)
        self.b.send(OTHER)
        self.world.run(0.1)
        self.assertEqual((len(self.a.host.got), len(self.b.host.got)), (1, 1))

    def test_loss_of_a_tenth_does_not_make_data_move(self) -> None:
        self.world.air.spoil(self.a, self.b, loss=0.05)
        self.world.run(600)
        self.assertEqual((self.on_udp(), self.a.link(self.b).path.falls), (True, 0))

    def test_each_move_is_told_once_with_its_reason(self) -> None:
        self.world.run(1)
        self.world.air.spoil(self.a, self.b, hole=True)
        self.world.run(5)
        self.assertEqual(
            [event.sentence() for event in self.a.told(DataMoved)],
            [
                "data to b goes over UDP: its probes are answered",
                "data to b goes over TCP: three probes unanswered",
            ],
        )

    def test_replies_with_a_wrong_clock_are_counted_and_move_nothing(self) -> None:
        self.world.air.spoil(self.a, self.b, hole=True)
        self.world.run(1)
        link = self.a.link(self.b)
        for clock in (0, 1, 2**64 - 1):
            deliver_datagram(self.a, encode(KeepAlive(link.token, Echo(2, clock))), ("10.0.0.2", 4600))
        self.assertEqual(link.path.unmatched, 3)
        self.assertFalse(link.on_udp)

    def test_a_wrong_token_never_reaches_a_link(self) -> None:
        self.world.run(1)
        link = self.a.link(self.b)
        for token in (0, link.token ^ 1, self.b.link(self.a).token):
            message = data.build(b"x" * 20, token=token, origin=1, group=GROUP, source=1, sequence=0)
            deliver_datagram(self.a, message, ("10.0.0.2", 4600))
        self.assertEqual(link.counters.received, 0)
        self.assertEqual(self.a.room.counters.datagrams_dropped, 3)

    def test_a_datagram_does_nothing_before_open_and_after_close(self) -> None:
        self.a.host.wants(GROUP)
        end = stranger(self.world, self.a)
        self.world.run(1)
        token = end.heard()[0].data_port.token

        def sends(sequence: int) -> None:
            message = data.build(
                b"x" * 20, token=token, origin=9 << 16, group=GROUP, source=1, sequence=sequence, hop_limit=9
            )
            deliver_datagram(self.a, message, ("192.0.2.9", 4600))
            self.world.run(0.01)

        sends(1)
        self.assertEqual(self.a.host.got, [])
        end.says(an_open(data_port=DataPort(4600, 77)))
        self.world.run(0.1)
        sends(2)
        self.assertEqual(len(self.a.host.got), 1)
        end.reads = False
        self.a.room.leave(self.world.now)
        sends(3)
        self.assertEqual(len(self.a.host.got), 1)

    def test_a_link_that_is_gone_is_remembered_by_no_route(self) -> None:
        self.a.host.wants(OTHER)
        self.world.run(1)
        self.b.send(OTHER)
        self.world.run(0.1)
        self.b.send(OTHER)  # under way while the link leaves
        self.cable.accepting.reads = False
        link = self.a.link(self.b)
        self.a.room.leave(self.world.now)
        self.world.run(5)
        for route in self.a.router.routes():
            self.assertNotIn(link, route.fan_outs)

    def test_from_behind_a_nat_datagrams_are_answered_where_they_come_from(self) -> None:
        world, a, b, _ = pair(seed=3)
        outside = ("198.51.100.1", 33333)
        world.air.outsides[outside] = a.address
        world.air.way(a, b).seen_as = outside
        a.host.wants(OTHER)
        world.run(3)
        self.assertEqual(b.link(a).data_address, outside)
        self.assertTrue(a.link(b).on_udp and b.link(a).on_udp)
        b.send(OTHER)
        world.run(0.1)
        self.assertEqual(len(a.host.got), 1)

    def test_a_malformed_datagram_does_not_turn_the_data_path_away(self) -> None:
        self.world.run(1)
        link = self.a.link(self.b)
        message = bytearray(encode(KeepAlive(link.token, Echo(1, 5))))
        elsewhere = ("203.0.113.5", 9)
        for bad in (
            bytes(message[:-4]),
            bytes(message) + b"\0" * 4,
            data.build(b"x" * 20, token=link.token, origin=1, group=1, source=1, sequence=0)[:-4],
        ):
            deliver_datagram(self.a, bad, elsewhere)
        self.assertEqual(link.data_address, ("10.0.0.2", 4600))
        deliver_datagram(self.a, bytes(message), elsewhere)
        self.assertEqual(link.data_address, elsewhere)

    def test_what_the_mesh_says_in_a_datagram_is_counted_and_of_no_consequence(self) -> None:
        self.world.run(1)
        link = self.a.link(self.b)
        for message in IN_DATAGRAMS:
            deliver_datagram(self.a, encode(message, link.token), ("10.0.0.2", 4600))
        self.assertEqual((link.counters.unknown_messages, link.counters.bad_probes), (4, 0))
        self.assertTrue(self.on_udp())

    def test_a_datagram_that_is_too_long_for_the_path_goes_over_tcp(self) -> None:
        self.world.run(1)
        self.world.air.way(self.a, self.b).mtu = 1200
        self.a.send(GROUP, inner=bytes(1500))
        self.a.send(GROUP, inner=bytes(100))
        self.world.run(0.1)
        self.assertEqual(sorted(map(len, self.b.host.packets)), [100, 1500])
        self.assertEqual(self.a.link(self.b).counters.over_tcp_too_long, 1)
        self.assertEqual(len(self.cable.dialling.sent_data()), 1)
        self.assertTrue(self.on_udp())

    def test_a_full_socket_drops_and_any_other_error_takes_tcp(self) -> None:
        self.world.run(1)
        link = self.a.link(self.b)
        link._datagrams.fails = BlockingIOError(11, "Resource temporarily unavailable")
        self.a.send(GROUP)
        link._datagrams.fails = ConnectionRefusedError(111, "Connection refused")
        self.a.send(GROUP)
        self.world.run(0.1)
        self.assertEqual((link.counters.socket_full, link.counters.send_errors), (1, 1))
        self.assertEqual(len(self.b.host.got), 1)

    def test_without_a_data_port_at_either_end_data_stay_on_tcp(self) -> None:
        for a, b in ((TCP_ONLY, {}), ({}, TCP_ONLY)):
            world, left, right, cable = pair(a=a, b=b)
            right.host.wants(GROUP)
            world.run(1)
            left.send(GROUP)
            world.run(1)
            self.assertEqual((len(right.host.got), world.air.sent), (1, []))
            self.assertEqual(len(cable.dialling.sent_data()), 1)


class DataOnTcp(SynchronousTestCase):
    def setUp(self) -> None:
        self.world, self.a, self.b, self.cable = pair(a=TCP_ONLY, b=TCP_ONLY)
        self.b.host.wants(GROUP)
        self.world.run(1)
        self.link = self.a.link(self.b)
        self.cable.accepting.reads = False
        while self.link._writable:
            self.a.send(GROUP, inner=bytes(1000))
        self.before = len(self.cable.dialling.sent_data())

    def sends(self, count: int, first: int = 0) -> None:
        for i in range(first, first + count):
            self.a.send(GROUP, inner=i.to_bytes(4, "big"))

    def test_at_most_256_packets_wait_and_the_oldest_go_first(self) -> None:
        self.sends(300)
        self.assertEqual((len(self.link.queue), self.link.queue.dropped), (256, 44))
        self.cable.accepting.read_again()
        self.world.run(0.1)
        late = [int.from_bytes(p, "big") for p in self.b.host.packets if len(p) == 4]
        self.assertEqual(late, list(range(44, 300)))

    def test_at_most_250_ms_old_ones_are_sent(self) -> None:
        for i in range(10):
            self.sends(1, i)
            self.world.run(0.05)
        self.cable.accepting.read_again()
        self.world.run(0.1)
        late = [int.from_bytes(p, "big") for p in self.b.host.packets if len(p) == 4]
        self.assertEqual(late, [5, 6, 7, 8, 9])
        self.assertEqual(self.link.queue.dropped, 5)

    def test_control_does_not_wait_behind_the_queue(self) -> None:
        self.sends(100)
        self.a.host.wants(OTHER)
        self.world.run(0.01)
        kinds = [m[1] for _, m in self.cable.dialling.written[self.before :]]
        self.assertIn(Op.ADD_ROUTE, kinds)
        self.assertEqual(len(self.cable.dialling.sent_data()), self.before)

    def test_a_peer_that_does_not_read_costs_little_and_is_cut_off(self) -> None:
        before = len(self.cable.dialling.written)
        deaf = self.b.link(self.a)
        for turn in range(300):
            deaf._liveness.heard(self.world.now)  # it is as patient as it is deaf
            for i in range(500):
                (self.a.host.wants if turn % 2 else self.a.host.unwants)(GROUP + 1 + i)
            deaf._control(encode(KeepAlive()), self.world.now)
            self.world.run(0.05)
            if not self.a.room.by_node:
                break
        said = sum(len(m) for _, m in self.cable.dialling.written[before:] if m[1] != Op.IP_DATA)
        self.assertLess(said, 2 * UNREAD_MAX)
        self.assertEqual(self.a.room.by_node, {})
        self.assertIn("took nothing", self.link.why)

    def test_what_it_missed_is_said_when_it_reads_again(self) -> None:
        for turn in range(30):
            for i in range(500):
                (self.a.host.unwants if turn % 2 else self.a.host.wants)(GROUP + 1 + i)
            self.world.run(0.01)
        self.a.host.wants(GROUP + 9_999)
        self.cable.accepting.read_again()
        self.world.run(1)
        told = self.b.router.all_wanted_besides(self.b.host)
        self.assertEqual(told, [Channel(GROUP + 9_999)])

    def test_order_is_kept_when_the_connection_takes_data_again(self) -> None:
        self.sends(20)
        self.cable.accepting.read_again()
        self.sends(20, 20)
        self.world.run(0.1)
        late = [int.from_bytes(p, "big") for p in self.b.host.packets if len(p) == 4]
        self.assertEqual(late, list(range(40)))

    def test_what_waits_is_counted_as_sent_when_it_goes(self) -> None:
        self.sends(5)
        self.assertEqual(self.link.counters.sent, self.before)
        self.cable.accepting.read_again()
        self.assertEqual(self.link.counters.sent, self.before + 5)
        self.assertEqual(self.link.counters.sent_tcp, self.before + 5)

    def test_nothing_is_written_behind_a_close(self) -> None:
        self.sends(50)
        self.a.room.leave(self.world.now)
        self.cable.accepting.read_again()
        self.world.run(1)
        self.assertEqual(self.cable.dialling.written[-1][1][1], Op.CLOSE)


class Routes(SynchronousTestCase):
    def test_a_link_is_told_the_union_of_the_other_destinations(self) -> None:
        world = World()
        a, b, c = world.chain("abc")
        a.host.wants(1)
        b.host.wants(2, 7)
        c.host.wants(1)
        c.host.wants(3)
        world.run(1)
        self.assertEqual(b.told_by(a), {Channel(1, 0)})
        self.assertEqual(b.told_by(c), {Channel(1, 0), Channel(3, 0)})
        self.assertEqual(a.told_by(b), {Channel(1, 0), Channel(2, 7), Channel(3, 0)})
        self.assertEqual(c.told_by(b), {Channel(1, 0), Channel(2, 7)})

    def test_a_source_is_told_also_while_any_source_is(self) -> None:
        world, a, b, _ = pair()
        a.host.wants(GROUP)
        world.run(1)
        a.host.wants(GROUP, 5)
        world.run(1)
        self.assertEqual(b.told_by(a), {Channel(GROUP, 0), Channel(GROUP, 5)})
        a.host.unwants(GROUP)
        world.run(1)
        self.assertEqual(b.told_by(a), {Channel(GROUP, 5)})

    def test_a_flap_within_one_turn_is_not_said(self) -> None:
        world, a, _, cable = pair()
        a.host.wants(OTHER)
        world.run(1)
        before = len(cable.dialling.written)
        a.host.wants(GROUP)
        a.host.unwants(GROUP)
        a.host.unwants(OTHER)
        a.host.wants(OTHER)
        world.run(0.1)
        self.assertEqual(len(cable.dialling.written), before)

    def test_a_change_is_said_at_once(self) -> None:
        world, a, b, _ = pair()
        world.run(1)
        a.host.wants(GROUP)
        world.run(0.003)  # the cable's delay
        self.assertEqual(b.told_by(a), {Channel(GROUP, 0)})

    def test_what_comes_is_said_before_what_goes(self) -> None:
        world, a, _, cable = pair()
        a.host.wants(GROUP)
        world.run(1)
        a.host.unwants(GROUP)
        a.host.wants(GROUP, 5)
        world.run(1)
        kinds = [type(m) for _, m in cable.dialling.sent() if isinstance(m, AddRoute | RemoveRoute)]
        self.assertEqual(kinds, [AddRoute, AddRoute, RemoveRoute])

    def test_after_a_reconnect_the_whole_set_is_sent(self) -> None:
        world, a, b, cable = pair()
        a.host.wants(GROUP)
        b.host.wants(OTHER)
        world.run(1)
        cable.cut()
        world.run(30)
        a.host.wants(7)
        b.host.unwants(OTHER)
        b.host.wants(8)
        world.connect(a, b)
        world.run(1)
        self.assertEqual(a.told_by(b), {Channel(8, 0)})
        self.assertEqual(b.told_by(a), {Channel(GROUP, 0), Channel(7, 0)})

    def test_thousands_of_channels_are_told_whole(self) -> None:
        world = World()
        a, b = world.node("a"), world.node("b")
        for i in range(10_000):
            a.host.wants(GROUP + i, i % 3)
        world.connect(a, b)
        world.run(1)
        self.assertEqual(len(b.told_by(a)), 10_000)

    def test_a_links_routes_go_with_it_and_are_withdrawn_further_on(self) -> None:
        world = World()
        a, b, c = world.chain("abc")
        c.host.wants(GROUP)
        world.run(1)
        self.assertEqual(a.told_by(b), {Channel(GROUP, 0)})
        world.cables[1].cut()
        world.run(10.1)
        self.assertEqual(a.told_by(b), set())
        self.assertEqual(a.room.reach.nodes(), [b.id])

    def test_every_node_knows_all_nodes_and_their_names(self) -> None:
        world = World()
        nodes = world.chain("abcd")
        for node in nodes:
            others = {other.id: other.name for other in nodes if other is not node}
            reach = node.room.reach
            self.assertEqual({n: reach.name(n) for n in reach.nodes()}, others)

    def test_up_is_told_when_both_have_said_open(self) -> None:
        world, a, b, _ = pair()
        world.run(1)
        self.assertEqual([len(n.told(PeerUp)) for n in (a, b)], [1, 1])


class Storms(SynchronousTestCase):
    """More than fits a turn, and more than makes sense."""

    def setUp(self) -> None:
        self.world = World()
        self.node = self.world.node("hub")
        self.ends = [self.peer(i) for i in range(4)]
        self.end = self.ends[0]
        self.link = self.node.ups[0]
        self.packets = self.spy()

    def peer(self, number: int) -> End:
        end = stranger(self.world, self.node, chunk=1 << 20)
        port = DataPort(4600, 0x5151)
        end.says(an_open(f"n{number}", (number + 1) << 16, keep_alive=3600, data_port=port))
        self.world.run(0.1)
        return end

    def spy(self) -> list[int]:
        """The work of each turn, in entries that the tables took or gave."""
        turns: list[int] = []
        room, inner = self.node.room, self.node.room.turns.tick

        def tick(now: float) -> None:
            channels, nodes = len(room.router), len(room.reach)
            inner(now)
            turns.append(abs(len(room.router) - channels) + abs(len(room.reach) - nodes))

        self.node.room.turns.tick = tick
        return turns

    def channels(self, count: int) -> list[bytes]:
        return encode_routes(AddRoute, [Group(GROUP + i, 0) for i in range(count)])

    def test_a_great_message_is_taken_in_pieces_and_not_read_past_meanwhile(self) -> None:
        (message,) = self.channels(3_000)
        self.link.bytes_received(message + encode(RemoveRoute((Group(GROUP, 0),))), self.world.now)
        self.assertLessEqual(len(self.node.router), PIECE + 1)
        self.assertIsNotNone(self.end.other._held)  # the connection waits
        self.world.run(1)
        self.assertEqual(self.node.router.count(self.link), 2_999)  # in order: the removal came last
        self.assertIsNone(self.end.other._held)
        self.assertLessEqual(max(self.packets), BUDGET + 2)
        self.assertEqual(self.link.counters.held, 1)

    def test_what_comes_meanwhile_waits_and_keeps_its_order(self) -> None:
        (message,) = self.channels(3_000)
        for i in range(5):
            self.link.bytes_received(message, self.world.now)
            self.link.bytes_received(encode(RemoveRoute((Group(GROUP + i, 0),))), self.world.now)
        self.world.run(1)
        self.assertEqual(self.node.router.count(self.link), 2_999)
        self.assertFalse(self.node.router.wanted_besides(self.node.host, Channel(GROUP + 4, 0)))

    def test_all_links_at_once_are_no_longer_turn(self) -> None:
        for number, end in enumerate(self.ends):
            end.says(*encode_routes(AddRoute, [Group(GROUP + i, number) for i in range(5_000)]))
        self.world.run(1)
        self.assertEqual(len(self.node.router), 20_000)
        self.assertLessEqual(max(self.packets), BUDGET + 8)
        for number, end in enumerate(self.ends):
            told = [e for m in end.heard() if isinstance(m, AddRoute) for e in m.entries]
            self.assertEqual(len({e for e in told if isinstance(e, Group)}), 15_000, number)

    def test_a_link_that_goes_in_the_midst_of_it_leaves_nothing(self) -> None:
        self.end.says(*self.channels(16_000))
        self.world.run(0.003)
        self.link.lost("reset")
        self.world.run(1)
        self.assertEqual((len(self.node.router), self.node.room.turns.deadline()), (0, float("inf")))
        self.assertEqual(self.node.router.members, 4)

    def test_what_a_gone_link_held_is_taken_back_in_pieces_and_no_packet_goes_to_it(self) -> None:
        self.end.says(*self.channels(16_000))
        self.world.run(1)
        self.node.send(GROUP)
        self.assertEqual(self.link.counters.sent + len(self.link.queue), 1)
        del self.packets[:]
        self.link.lost("reset")
        self.node.send(GROUP)
        self.assertEqual(self.link.counters.sent + len(self.link.queue), 1)
        self.world.run(1)
        self.assertEqual(len(self.node.router), 0)
        self.assertLessEqual(max(self.packets), BUDGET + 2)
        self.assertEqual(self.node.router.members, 4)

    def test_what_was_behind_a_gone_link_is_out_of_reach_at_once_and_told_in_pieces(self) -> None:
        nodes = range(1 << 30, (1 << 30) + 4_000)
        self.end.says(*encode_routes(AddRoute, [NodeEntry(node << 16, "far") for node in nodes]))
        self.world.run(1)
        self.assertEqual(len(self.node.room.reach.nodes()), 4_004)
        del self.packets[:]
        self.link.lost("reset")
        self.assertEqual(len(self.node.room.reach.nodes()), 3)
        self.assertLess(len(self.node.gone), 1_000)
        self.world.run(1)
        self.assertEqual(set(self.node.gone), {1 << 16, *(node << 16 for node in nodes)})
        self.assertEqual((len(self.node.room.reach), len(self.node.gone)), (3, 4_001))
        self.assertLessEqual(max(self.packets), BUDGET + 2)
        for end in self.ends[1:]:
            told = [e for m in end.heard() if isinstance(m, RemoveRoute) for e in m.entries]
            self.assertEqual(len({e.node for e in told if isinstance(e, NodeEntry)}), 4_001)

    def test_a_peer_that_comes_back_meanwhile_is_welcome_with_all_that_is_behind_it(self) -> None:
        nodes = [NodeEntry(node << 16, "far") for node in range(1 << 30, (1 << 30) + 4_000)]
        self.end.says(*encode_routes(AddRoute, nodes))
        self.world.run(1)
        self.link.lost("reset")
        again = self.peer(0)
        again.says(*encode_routes(AddRoute, nodes))
        self.world.run(2)
        self.assertEqual(again.closes(), [])
        self.assertEqual(len(self.node.room.reach.nodes()), 4_004)
        told = [e for m in again.heard() if isinstance(m, AddRoute) for e in m.entries]
        self.assertEqual({e.node for e in told if isinstance(e, NodeEntry)}, {2 << 16, 3 << 16, 4 << 16})

    def test_a_peer_that_comes_back_meanwhile_has_what_it_says_now_and_is_not_told_its_own(self) -> None:
        self.end.says(*self.channels(16_000))
        self.world.run(1)
        self.link.lost("reset")
        again = self.peer(0)
        again.says(encode(AddRoute((Group(GROUP + 5, 0),))))
        self.world.run(1)
        self.assertEqual(self.node.router.channels(), [Channel(GROUP + 5, 0)])
        told = [e for m in again.heard() if isinstance(m, AddRoute) for e in m.entries]
        self.assertFalse([e for e in told if isinstance(e, Group)])

    def test_above_the_table_new_channels_are_refused_counted_and_told(self) -> None:
        for number, end in enumerate(self.ends):
            channels = [Group(GROUP + i, number) for i in range(CHANNELS_MAX)]
            end.says(*encode_routes(AddRoute, channels))
        self.world.run(2)
        self.assertEqual(len(self.node.router), TABLE_MAX)
        fifth = self.peer(4)
        fifth.says(encode(AddRoute((Group(GROUP, 99), Group(GROUP, 1)))))  # a new one, and one that is known
        self.world.run(1)
        link = self.node.ups[-1]
        self.assertEqual((self.node.router.count(link), link.counters.channels_refused), (1, 1))
        self.assertEqual(len(self.node.router), TABLE_MAX)
        said = [event.sentence() for event in self.node.told(Limit)]
        self.assertIn(f"{TABLE_MAX} channels are wanted, and no further ones are taken", said)
        self.assertTrue(all(not end.closes() for end in (*self.ends, fifth)))
        self.ends[0].says(encode(RemoveRoute((Group(GROUP, 0),))))
        fifth.says(encode(AddRoute((Group(GROUP, 99),))))
        self.world.run(1)
        self.assertEqual(self.node.router.count(link), 2)

    def test_a_full_peer_is_told_what_comes_after_what_goes(self) -> None:
        """It would close the link for one channel too many."""
        world, a, b, cable = pair()
        world.run(1)
        for i in range(CHANNELS_MAX):
            a.host.wants(GROUP + i)
        world.run(5)
        self.assertEqual(len(b.told_by(a)), CHANNELS_MAX)
        a.host.unwants(GROUP)
        a.host.wants(GROUP - 1)
        world.run(1)
        self.assertTrue(cable.is_up)
        self.assertIn(Channel(GROUP - 1, 0), b.told_by(a))
        self.assertEqual(len(b.told_by(a)), CHANNELS_MAX)

    def test_a_storm_of_keep_alives_is_read_in_pieces(self) -> None:
        self.link.bytes_received(encode(KeepAlive()) * 8_000, self.world.now)
        self.assertIsNotNone(self.end.other._held)
        self.world.run(1)
        self.assertIsNone(self.end.other._held)
        self.assertEqual((self.end.closes(), self.link.phase), ([], Phase.UP))

    def test_announcements_rest_in_between_so_that_a_flapping_peer_is_cheap(self) -> None:
        before = len(self.ends[1].heard())
        for turn in range(1_000):
            kind = RemoveRoute if turn % 2 else AddRoute
            self.end.says(encode(kind((Group(GROUP, 0),))))
            self.world.run(0.001)
        said = len([m for m in self.ends[1].heard()[before:] if isinstance(m, AddRoute | RemoveRoute)])
        self.assertLessEqual(said, 1 + 1 / REST)

    def probe(self, clock: int) -> bytes:
        return encode(KeepAlive(self.link.token, Echo(1, clock)))

    def test_of_a_storm_of_probes_so_many_a_second_are_looked_at(self) -> None:
        self.world.run(2)
        before = len(self.world.air.sent)
        for clock in range(1_000):
            deliver_datagram(self.node, self.probe(clock), ("192.0.2.9", 4600))
        answers = self.world.air.sent[before:]
        self.assertLessEqual(len(answers), PROBES_MAX)
        self.assertGreaterEqual(self.link.counters.probes_over_bound, 1_000 - PROBES_MAX)
        self.assertTrue(all(len(m) <= len(self.probe(0)) for _, _, m in answers))  # no more than was asked
        self.world.run(1)
        before = len(self.world.air.sent)
        deliver_datagram(self.node, self.probe(1), ("192.0.2.9", 4600))
        self.assertEqual(len(self.world.air.sent), before + 1)

    def test_a_peer_that_seems_to_have_moved_gets_no_data_there_before_it_answers(self) -> None:
        world, a, b, _ = pair()
        b.host.wants(GROUP)
        world.run(3)
        victim = ("203.0.113.5", 9)
        deliver_datagram(a, encode(KeepAlive(a.link(b).token, Echo(1, 5))), victim)
        self.assertEqual((a.link(b).data_address, a.link(b).on_udp), (victim, False))
        before = len(world.air.sent)
        for _ in range(50):
            a.send(GROUP)
            world.run(0.01)
        self.assertEqual(len(b.host.got), 50)  # over TCP
        there = [m for _, to, m in world.air.sent[before:] if to == victim[0]]
        self.assertTrue(all(m[1] == Op.KEEP_ALIVE for m in there))
        self.assertLessEqual(len(there), 3)
        world.run(5)  # b's own probes lead back
        self.assertEqual(a.link(b).data_address, (b.address, 4600))
        self.assertTrue(a.link(b).on_udp)

    def test_and_moves_no_more_often_than_once_a_second(self) -> None:
        self.world.run(3)
        for number in range(500):
            deliver_datagram(self.node, self.probe(number), ("203.0.113.5", number + 1))
        self.assertEqual(self.link.counters.repointed, 1)

    def test_what_is_repeated_is_not_doubled_while_its_stream_is_heard(self) -> None:
        """What does not hold without encryption: a stream that fell silent for 10 s starts afresh, so whoever
        recorded it can play it again while the link lives."""
        world, a, b, _ = pair()
        b.host.wants(GROUP)
        world.run(3)
        for _ in range(50):
            a.send(GROUP)
            world.run(0.01)
        recorded = [m for _, to, m in world.air.sent if to == b.address and m[1] == Op.IP_DATA]
        self.assertEqual(len(recorded), 50)
        for _ in range(9):
            for m in recorded:
                deliver_datagram(b, m, (a.address, 4600))
            world.run(1)
        self.assertEqual(len(b.host.got), 50)
        world.run(11)
        for m in recorded:
            deliver_datagram(b, m, (a.address, 4600))
        self.assertEqual(len(b.host.got), 100)
        a.link(b).lost("reset")  # the token goes with the connection
        world.run(11)
        for m in recorded:
            deliver_datagram(b, m, (a.address, 4600))
        self.assertEqual(len(b.host.got), 100)
