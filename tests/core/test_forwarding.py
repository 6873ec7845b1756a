"""A packet's way through a node: numbers, hop limits, duplicates, and how much a flood can cost."""

from typing import Any
from weakref import ref

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core import streams
from multicastmw.core.addressing import ANY, Channel
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.packet import Packet
from multicastmw.core.parting import part
from multicastmw.core.routing import Router
from multicastmw.core.streams import FORGET, LINK_STREAMS_MAX, SENDINGS_MAX, STREAMS_MAX
from multicastmw.core.turns import Turns
from multicastmw.wire import data
from multicastmw.wire.data import HEADER_SIZE, HOP_LIMIT_OFFSET, DataHeader
from tests.core.cable import World

OURS = 0x1111_2222_3333_0001
THEIRS = 0x4444_5555_6666_0002
GROUP, SOURCE = 0xEF010101, 0x0A580002


class Taker:
    """A destination that keeps the messages as a link would send them."""

    def __init__(self, router: Router, name: str, local: bool) -> None:
        self.name = name
        self.local = local
        self.router = router
        self.messages: list[bytes] = []
        self.hop_limits: list[int] = []
        router.attach(self)

    def deliver(self, packet: Packet) -> None:
        self.messages.append(bytes(packet.message))
        self.hop_limits.append(packet.hop_limit)

    def others_changed(self, channel: Channel) -> None:
        pass

    def wants(self, group: int = GROUP, source: int = ANY) -> None:
        self.router.subscribe(self, Channel(group, source))

    def unwants(self, group: int = GROUP, source: int = ANY) -> None:
        self.router.unsubscribe(self, Channel(group, source))

    @property
    def headers(self) -> list[DataHeader]:
        return [DataHeader.parse(message) for message in self.messages]

    @property
    def sequences(self) -> list[int]:
        return [header.sequence for header in self.headers]


class Case(SynchronousTestCase):
    """A node with a TAP and two links."""

    def setUp(self) -> None:
        self.router = Router()
        self.forwarder = Forwarder(self.router, OURS, 0.0)
        self.tap = Taker(self.router, "tap", local=True)
        self.left, self.right = (Taker(self.router, name, local=False) for name in ("left", "right"))
        self.packet = Packet()
        self.now = 0.0

    def sends(
        self, ttl: int = 16, group: int = GROUP, source: int = SOURCE, inner: bytes = b"i" * 30
    ) -> None:
        self.packet.now = self.now
        self.packet.length = len(inner)
        self.packet.view[HEADER_SIZE : HEADER_SIZE + len(inner)] = inner
        self.forwarder.originate(self.packet, self.tap, group, source, ttl, 5, 0x1234)

    def relays(self, sequence: int, ingress: Taker | None = None, **chosen: Any) -> bool:
        given: dict[str, Any] = {
            "origin": THEIRS,
            "group": GROUP,
            "source": SOURCE,
            "hop_limit": 9,
            "token": 0,
        }
        message = data.build(chosen.pop("inner", b"i" * 30), sequence=sequence, **(given | chosen))
        return self.relays_bytes(message, ingress)

    def relays_bytes(self, message: bytes, ingress: Taker | None = None) -> bool:
        self.packet.now = self.now
        self.packet.buffer[: len(message)] = message
        return self.forwarder.relay(self.packet, len(message), ingress or self.left)

    def route(self, group: int = GROUP, source: int = SOURCE) -> Any:
        return self.router.route(Channel(group, source))


class FromHere(Case):
    def test_the_header_says_all_of_it(self) -> None:
        self.left.wants()
        self.sends()
        (header,) = self.left.headers
        self.assertEqual(
            (header.origin, header.group, header.source, header.sequence), (OURS, GROUP, SOURCE, 0)
        )
        self.assertEqual((header.hop_limit, header.service_class, header.flags), (15, 5, 0))
        self.assertEqual((header.origin_time, header.token, header.packet_type), (0x1234, 0, 1))

    @given(st.integers(1, 1500))
    def test_padding_is_zero_and_the_length_is_kept(self, length: int) -> None:
        self.left.messages.clear()
        self.left.wants()
        self.packet.buffer[:] = b"\xee" * len(self.packet.buffer)
        self.sends(inner=b"i" * length)
        (message,) = self.left.messages
        self.assertEqual(len(message), data.padded(length))
        self.assertEqual(message[HEADER_SIZE:], b"i" * length + bytes(-length % 4))

    def test_numbers_are_one_count_for_each_overlay_address(self) -> None:
        for group in (GROUP, GROUP + 1):
            self.left.wants(group)
        for _ in range(3):
            self.sends()
            self.sends(source=SOURCE + 1)
            self.sends(group=GROUP + 1)
        numbers: dict[tuple[int, int], list[int]] = {}
        for header in self.left.headers:
            numbers.setdefault((header.group, header.source), []).append(header.sequence)
        self.assertEqual(list(numbers.values()), [[0, 1, 2]] * 3)

    def test_what_nobody_wanted_is_not_numbered_so_nobody_misses_it(self) -> None:
        for wanted in (True, False, True):
            (self.left.wants if wanted else self.left.unwants)()
            for _ in range(5):
                self.sends()
        self.assertEqual(self.left.sequences, list(range(10)))
        self.assertEqual((self.route().packets, self.route().to_nobody), (15, 5))

    def test_numbers_wrap_at_32_bits(self) -> None:
        self.left.wants()
        self.sends()
        next(iter(self.forwarder.streams.starting.values())).sequence = 0xFFFFFFFF
        self.sends()
        self.sends()
        self.assertEqual(self.left.sequences, [0, 0xFFFFFFFF, 0])

    def test_ttl_1_died_whether_or_not_somebody_listens(self) -> None:
        self.sends(ttl=1)
        self.sends(ttl=0)
        self.left.wants()
        self.sends(ttl=1)
        self.assertEqual((self.route().died_of_ttl, self.route().to_nobody), (3, 0))
        self.assertEqual(self.left.messages, [])
        self.sends(ttl=2)
        self.assertEqual([(h.sequence, h.hop_limit) for h in self.left.headers], [(0, 1)])

    def test_it_never_comes_back_to_the_tap(self) -> None:
        self.tap.wants()
        self.sends()
        self.assertEqual((self.tap.messages, self.route().to_nobody), ([], 1))


class FromALink(Case):
    def test_only_the_hop_limit_is_rewritten(self) -> None:
        self.right.wants()
        message = data.build(
            b"sealed" * 9, token=7, origin=THEIRS, group=GROUP, source=SOURCE, sequence=3, origin_time=99,
            hop_limit=16, service_class=2, flags=0x80, low_water=4, packet_type=3,
        )  # fmt: skip
        self.assertTrue(self.relays_bytes(message))
        expected = bytearray(message)
        expected[HOP_LIMIT_OFFSET] = 15
        self.assertEqual(self.right.messages, [bytes(expected)])
        self.assertEqual(self.right.hop_limits, [16])

    def test_it_goes_to_all_who_want_it_but_not_back(self) -> None:
        for taker in (self.tap, self.left, self.right):
            taker.wants()
        self.relays(1)
        self.assertEqual([len(t.messages) for t in (self.tap, self.left, self.right)], [1, 0, 1])
        self.relays(2, self.right)
        self.assertEqual([len(t.messages) for t in (self.tap, self.left, self.right)], [2, 1, 1])

    def test_hop_limit_1_reaches_the_tap_and_no_link(self) -> None:
        self.tap.wants()
        self.right.wants()
        self.relays(1, hop_limit=1)
        self.assertEqual((self.tap.hop_limits, self.right.messages), ([1], []))
        self.assertEqual(self.route().died_of_ttl, 1)

    def test_hop_limit_1_dies_of_it_only_where_a_link_would_have_had_it(self) -> None:
        self.tap.wants()
        self.relays(1, hop_limit=1)
        self.assertEqual((len(self.tap.messages), self.route().died_of_ttl), (1, 0))
        self.tap.unwants()
        self.relays(2, hop_limit=1)
        self.assertEqual((self.route().died_of_ttl, self.route().to_nobody), (0, 1))

    def test_hop_limit_0_is_dropped_and_counted(self) -> None:
        self.tap.wants()
        self.assertTrue(self.relays(1, hop_limit=0))
        self.assertEqual((self.tap.messages, self.forwarder.drops.hop_limit_zero), ([], 1))

    def test_a_duplicate_goes_nowhere_from_whichever_link_it_comes(self) -> None:
        self.tap.wants()
        for sequence in (1, 2, 2, 1, 3):
            self.relays(sequence)
            self.relays(sequence, self.right)
        self.assertEqual(self.tap.sequences, [1, 2, 3])
        (stream,) = self.forwarder.streams.coming.values()
        self.assertEqual((stream.window.received, stream.window.duplicates), (3, 7))

    def test_our_own_origin_coming_back_is_dropped_and_makes_no_stream(self) -> None:
        self.tap.wants()
        for sequence in range(5):
            self.relays(sequence, origin=OURS)
        self.assertEqual((self.tap.messages, self.forwarder.streams.coming), ([], {}))
        self.assertEqual(self.forwarder.drops.from_ourselves, 5)

    def test_what_the_kernel_numbered_is_a_second_count(self) -> None:
        self.tap.wants()
        for flags in (0, 1):
            for sequence in (5, 6):
                self.relays(sequence, flags=flags)
        self.assertEqual(self.tap.sequences, [5, 6, 5, 6])
        self.relays(6, flags=0x82)  # other bits mean nothing yet
        self.assertEqual(len(self.tap.messages), 4)
        self.assertEqual(len(self.forwarder.streams.coming), 2)
        self.assertEqual(len({id(stream.route) for stream in self.forwarder.streams.coming.values()}), 1)

    def test_a_restarted_node_is_a_new_count(self) -> None:
        self.tap.wants()
        for salt in (1, 2):
            for sequence in range(3):
                self.relays(sequence, origin=THEIRS & ~0xFFFF | salt)
        self.assertEqual(len(self.tap.messages), 6)

    def test_what_passed_while_nobody_here_wanted_it_is_no_loss(self) -> None:
        self.tap.wants()
        for sequence in range(10):
            self.relays(sequence)
        self.tap.unwants()
        self.now += 3
        self.tap.wants()
        for sequence in range(500, 510):
            self.relays(sequence)
        (stream,) = self.forwarder.streams.coming.values()
        self.assertEqual((stream.window.received, stream.window.lost), (20, 0))

    def test_nor_what_passed_while_only_the_link_wanted_it_that_it_comes_from(self) -> None:
        """A conference: who sends also listens, so its own node wants the channel all the time."""
        self.left.wants()
        self.tap.wants()
        for sequence in range(10):
            self.relays(sequence)
        self.tap.unwants()
        self.now += 3
        self.tap.wants()
        for sequence in range(500, 510):
            self.relays(sequence)
        (stream,) = self.forwarder.streams.coming.values()
        self.assertEqual((stream.window.received, stream.window.lost), (20, 0))

    def test_a_listener_more_or_less_changes_no_count(self) -> None:
        self.left.wants()
        self.tap.wants()
        for sequence in range(0, 40, 2):
            (self.right.wants if sequence % 4 else self.right.unwants)()
            self.relays(sequence)
            self.relays(sequence)
        (stream,) = self.forwarder.streams.coming.values()
        self.assertEqual((stream.window.lost, stream.window.duplicates), (19, 20))

    def test_a_true_loss_is_counted(self) -> None:
        self.tap.wants()
        for sequence in (1, 2, 5, 6):
            self.relays(sequence)
        self.assertEqual(next(iter(self.forwarder.streams.coming.values())).window.lost, 2)

    def test_any_lie_is_malformed(self) -> None:
        self.tap.wants()
        good = data.build(
            b"i" * 30, token=0, origin=THEIRS, group=GROUP, source=SOURCE, sequence=1, hop_limit=9
        )
        header = DataHeader.parse(good)
        lies = [
            header._replace(first=0x1122), header._replace(client_type=0), header._replace(length=88),
            header._replace(forwarding_header=0x30440102), header._replace(packet_c_num=68),
            *(header._replace(packet_length=length) for length in (4, 30, 40)),
        ]  # fmt: skip
        for lie in lies:
            self.assertFalse(self.relays_bytes(data.TWIN.pack(*lie) + good[HEADER_SIZE:]), lie)
        for size in (*range(20, HEADER_SIZE + 1, 4), len(good) - 4, len(good) + 4):
            self.packet.buffer[: len(good)] = good  # what an earlier packet left there must not help
            self.assertFalse(self.forwarder.relay(self.packet, size, self.left), size)
        self.assertEqual(self.tap.messages, [])
        self.assertTrue(self.relays_bytes(good))

    @given(st.binary(min_size=60, max_size=100))
    @settings(max_examples=200, deadline=None)
    def test_it_takes_what_the_declaration_takes(self, garbage: bytes) -> None:
        """Garbage in each field behind a right frame: the relay agrees with DataHeader, and never raises."""
        size = len(garbage) & ~3
        message = bytearray(garbage[:size])
        message[:12] = data.TWIN.pack(data.FIRST, 0x4D43, size, data.FORWARDING_HEADER, *[0] * 13)[:12]
        try:
            DataHeader.parse(bytes(message))
            good = True
        except data.Malformed:
            good = False
        self.assertEqual(self.relays_bytes(bytes(message)), good)


class Chains(SynchronousTestCase):
    def test_ttl_16_reads_15_on_the_first_link_and_arrives_as_15_14_13(self) -> None:
        for port in (None, 4600):
            world = World()
            a, b, c, d = world.chain("abcd", data_port=port)
            for node in (b, c, d):
                node.host.wants(GROUP)
            world.run(1)
            a.send(GROUP, SOURCE, ttl=16)
            world.run(1)
            self.assertEqual([n.host.got[0][1] for n in (b, c, d)], [15, 14, 13])
            first = (
                world.air.data()[0][2] if port else DataHeader.parse(world.cables[0].dialling.sent_data()[0])
            )
            self.assertEqual(first.hop_limit, 15)

    def test_a_hop_limit_ends_where_it_must(self) -> None:
        world = World()
        nodes = world.chain("abcd")
        for node in nodes[1:]:
            node.host.wants(GROUP)
        world.run(1)
        for ttl in (1, 2, 3, 4):
            nodes[0].send(GROUP, SOURCE, ttl=ttl)
        world.run(1)
        self.assertEqual([[limit for _, limit in n.host.got] for n in nodes], [[], [1, 2, 3], [1, 2], [1]])


class Floods(Case):
    def entries(self) -> int:
        return len(self.forwarder.streams.coming) + len(self.forwarder.streams.starting)

    def test_of_invented_streams_take_no_more_than_their_bound(self) -> None:
        self.tap.wants()
        for i in range(STREAMS_MAX):
            self.relays(i, origin=i << 16)
        self.assertEqual(self.entries(), LINK_STREAMS_MAX)
        self.assertEqual(self.forwarder.drops.too_many_streams, STREAMS_MAX - LINK_STREAMS_MAX)
        for i in range(STREAMS_MAX, 2 * STREAMS_MAX):
            self.relays(i, self.right, origin=i << 16)
        self.assertEqual(self.entries(), STREAMS_MAX)
        self.assertLessEqual(self.forwarder.streams._budget.used, streams.WINDOW_BYTES)

    def test_of_what_nobody_wants_nothing_is_kept(self) -> None:
        for i in range(100):
            self.relays(i, origin=i << 16, group=i)
        self.assertEqual((self.entries(), self.router.routes()), (0, []))
        self.assertEqual(self.forwarder.drops.unwanted, 100)

    def test_from_one_link_the_streams_of_the_others_and_our_own_still_begin(self) -> None:
        self.tap.wants()
        self.left.wants()
        for i in range(STREAMS_MAX):
            self.relays(i, origin=i << 16)
        self.relays(1, self.right)
        self.sends()
        self.assertEqual(len(self.forwarder.streams.starting), 1)
        self.assertIn(THEIRS, [stream.origin for stream in self.forwarder.streams.coming.values()])

    def test_a_link_that_is_gone_is_not_kept_by_its_streams(self) -> None:
        self.tap.wants()
        gone = Taker(self.router, "gone", local=False)
        self.relays(1, gone)
        part(gone, (self.router,), Turns())
        seen = ref(gone)
        del gone
        self.assertEqual(len(self.forwarder.streams.coming), 1)
        self.assertIsNone(seen())

    def test_established_streams_live_through_one(self) -> None:
        self.tap.wants()
        self.left.wants()
        for second in range(40):
            self.now = float(second)
            self.relays(second, self.right)
            self.sends()
            self.now += 0.5
            for i in range(1000):
                self.relays(i, origin=second << 32 | i << 16)
        theirs = [m for m in self.tap.headers if m.origin == THEIRS]
        self.assertEqual([m.sequence for m in theirs], list(range(40)))
        self.assertEqual([h.sequence for h in self.left.headers if h.origin == OURS], list(range(40)))
        self.assertLessEqual(self.entries(), STREAMS_MAX)

    def test_when_one_is_over_there_is_room_again(self) -> None:
        self.tap.wants()
        for i in range(STREAMS_MAX + 1):
            self.relays(i, origin=i << 16)
        before = len(self.tap.messages)
        self.now = 11.0
        self.relays(1)
        self.assertEqual((len(self.tap.messages) - before, self.entries()), (1, 1))
        self.assertEqual(len(self.router.routes()), 1)

    def test_one_does_not_sweep_with_each_packet(self) -> None:
        sweeps = []
        sweep = self.forwarder.streams.sweep
        self.forwarder.streams.sweep = lambda now, unheard: (sweeps.append(now), sweep(now, unheard))
        self.tap.wants()
        for i in range(STREAMS_MAX + 2000):
            self.now = i * 0.0002
            self.relays(i, origin=i << 16)
        self.assertLessEqual(len(sweeps), self.now / 5 + 1)

    def test_the_programs_of_this_host_are_bounded_too(self) -> None:
        for i in range(SENDINGS_MAX + 10):
            self.sends(group=GROUP + i)
        self.assertEqual((self.entries(), self.forwarder.drops.too_many_streams), (SENDINGS_MAX, 10))


class Sweeps(Case):
    def test_forget_streams_and_routes_that_were_long_unheard(self) -> None:
        self.tap.wants()
        self.right.wants()
        self.relays(1)
        self.sends()
        self.now = FORGET - 20
        self.tap.wants(GROUP + 1)
        self.relays(1, group=GROUP + 1)
        self.forwarder.streams.tick(FORGET)
        self.assertEqual(len(self.router.routes()), 2)
        self.forwarder.streams.tick(FORGET + 11)
        self.assertEqual([r.channel for r in self.router.routes()], [Channel(GROUP + 1, SOURCE)])
        self.assertEqual((len(self.forwarder.streams.coming), self.forwarder.streams.starting), (1, {}))
        self.forwarder.streams.tick(3 * FORGET)
        self.assertEqual((self.router.routes(), self.forwarder.streams._budget.used), ([], 0))

    def test_what_starts_here_goes_on_with_its_count_when_it_begins_again(self) -> None:
        self.right.wants()
        for _ in range(3):
            self.sends()
        self.forwarder.streams.tick(self.now + FORGET + 11)
        self.now += FORGET + 20
        self.sends()
        self.assertEqual(self.right.sequences, [0, 1, 2, 3])

    def test_of_the_counts_that_are_kept_the_oldest_goes(self) -> None:
        self.patch(streams, "COUNTS_MAX", 10)
        for i in range(100):
            self.right.wants(GROUP + i)
            self.sends(group=GROUP + i)
        self.forwarder.streams.tick(self.now + FORGET + 11)
        self.assertEqual(list(self.forwarder.streams._counts), [(GROUP + i, SOURCE) for i in range(90, 100)])

    def test_come_each_10_s_and_not_before(self) -> None:
        self.assertEqual(self.forwarder.streams.deadline(), 10.0)
        self.forwarder.streams.tick(9.0)
        self.assertEqual(self.forwarder.streams.deadline(), 10.0)
        self.forwarder.streams.tick(10.5)
        self.assertEqual(self.forwarder.streams.deadline(), 20.5)

    def test_a_stream_that_is_heard_is_kept_however_old(self) -> None:
        self.tap.wants()
        for i in range(200):
            self.now = i * 5.0
            self.forwarder.streams.tick(self.now)
            self.relays(i)
        self.assertEqual(self.tap.sequences, list(range(200)))
        self.assertEqual(next(iter(self.forwarder.streams.coming.values())).window.received, 200)


class Totals(Case):
    """What was counted stays counted when its route and its streams are forgotten."""

    def test_they_never_fall(self) -> None:
        self.right.wants()
        for sequence in (0, 1, 1, 4, 2):
            self.relays(sequence)
        for ttl in (16, 1):
            self.sends(ttl, group=GROUP + 1)
        before = self.router.totals().as_dict(), self.forwarder.streams.totals().as_dict()
        self.assertEqual(
            (
                {"bytes": 180, "died_of_ttl": 1, "packets": 6, "to_nobody": 1},
                {"duplicates": 1, "late": 0, "lost": 1, "received": 4, "reordered": 1},
            ),
            before,
        )
        self.forwarder.streams.sweep(FORGET + 1, FORGET)
        self.assertEqual(([], {}), (self.router.routes(), self.forwarder.streams.coming))
        self.assertEqual(before, (self.router.totals().as_dict(), self.forwarder.streams.totals().as_dict()))
        self.now = FORGET + 2
        self.relays(7)
        self.assertEqual(7, self.router.totals().packets)
        self.assertEqual(5, self.forwarder.streams.totals().received)
