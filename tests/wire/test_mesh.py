"""What nodes of the mesh say: twins against declarations, lengths, datagrams, and nothing that is a lie."""

import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire import announcements, mesh, objects, parity, samples
from multicastmw.wire.cops import CNum, Code, Op, frame, pack_object
from multicastmw.wire.data import TOKEN_OFFSET
from multicastmw.wire.errors import PeerError
from multicastmw.wire.mesh import (
    Address,
    Beacon,
    Capabilities,
    Find,
    Graft,
    Have,
    Held,
    Live,
    Load,
    Nack,
    Peers,
    Prune,
    Range,
    Sample,
    StreamKey,
)
from multicastmw.wire.messages import AddRoute, Close, Decoded, Group, KeepAlive, Open, decode, encode, size
from tests.wire import strategies

modest = settings(deadline=None, derandomize=True)
TOKEN = 0x0123456789ABCDEF
STREAM = StreamKey(1 << 16, 0xEF010203, 0x0A580002)
LONG = StreamKey(1 << 16, 1 << 63, 1 << 62)
HELD = Held(STREAM, 4000, (), Load(3))
HOME = Address("192.0.2.1", 4600)
SAMPLE = Sample(1 << 16, (HOME,), 6, 13, 30)
changes = st.lists(st.tuples(st.integers(8, 300), st.sampled_from((1, 2, 4, 8, 128, 255))), max_size=2)


def outcome(read, *arguments):
    """What is read, or the code of the error that is owed."""
    try:
        return read(*arguments)
    except PeerError as error:
        assert "\n" not in str(error)
        return error.code


def changed(wire: bytes, changes: list[tuple[int, int]]) -> memoryview:
    made = bytearray(wire)
    for at, change in changes:
        made[min(at, len(made) - 1)] ^= change
    return memoryview(made)


class TwinTests(SynchronousTestCase):
    """The declarations are the truth."""

    def holds(self, read, declared, glance, message: memoryview) -> None:
        self.assertEqual(outcome(read, message), outcome(declared, message))
        try:
            seen = glance(message)
        except struct.error:
            seen = None
        if seen is not None:
            self.assertEqual((seen, 0), declared(message))

    @settings(modest, max_examples=300)
    @given(strategies.haves, st.none() | strategies.u64, changes)
    @example(Have((HELD,)), None, [])
    @example(Have((HELD, HELD._replace(load=Load(0)))), 1, [])
    def test_a_have_is_read_as_declared_and_so_is_what_is_none(self, have, token, changes):
        message = changed(encode(have, token), changes)
        self.holds(announcements.read_have, announcements.declared_have, announcements.glance_have, message)

    @settings(modest, max_examples=200)
    @given(strategies.nacks, st.none() | strategies.u64, changes)
    def test_a_nack_is_read_as_declared_and_so_is_what_is_none(self, nack, token, changes):
        message = changed(encode(nack, token), changes)
        self.holds(announcements.read_nack, announcements.declared_nack, announcements.glance_nack, message)

    @settings(modest, max_examples=200)
    @given(strategies.parities, strategies.u64, changes)
    def test_a_parity_is_read_as_declared_and_so_is_what_is_none(self, sums, token, changes):
        message = changed(encode(sums, token), changes)
        self.holds(parity.read_parity, parity.declared_parity, parity.glance_parity, message)

    @modest
    @given(strategies.parities, strategies.u64)
    def test_a_parity_that_is_written_is_read_at_a_glance(self, sums, token):
        self.assertEqual(parity.glance_parity(memoryview(encode(sums, token))), sums)

    @modest
    @given(strategies.haves | strategies.nacks, st.none() | strategies.u64)
    def test_what_is_written_is_read_at_a_glance(self, message, token):
        wire = memoryview(encode(message, token))
        have = isinstance(message, Have)
        glance = announcements.glance_have if have else announcements.glance_nack
        self.assertEqual(glance(wire), message)

    @settings(modest, max_examples=200)
    @given(strategies.samples, changes)
    def test_a_sample_is_read_as_declared_and_so_is_what_is_none(self, sample, changes):
        data = changed(bytes(8) + samples.sample_object(sample), changes)[12:]
        for kind in (1, 2):
            found, declared = (
                outcome(read, kind, data) for read in (samples.read_sample, samples.declared_sample)
            )
            self.assertEqual(found, declared)

    @modest
    @given(st.binary(max_size=28), st.data())
    def test_the_smallest_objects_are_read_as_declared(self, data, draw):
        key = draw.draw(st.sampled_from(sorted(objects.TWINS)))
        wanted = objects.TWINS[key][0].size
        for piece in (memoryview(data), memoryview((data + bytes(wanted))[:wanted])):
            found, declared = (outcome(read, *key, piece) for read in (objects.parse, objects.declared))
            if isinstance(found, tuple):
                self.assertEqual(found._asdict(), {k: v for k, v in declared.items() if k in found._fields})
            else:
                self.assertEqual(found, declared)

    @modest
    @given(st.binary(max_size=132))
    def test_a_path_is_read_as_declared(self, data):
        piece = memoryview(data)
        declared = outcome(lambda: tuple(objects.declared(CNum.PATH, 1, piece).hops))
        self.assertEqual(outcome(announcements.read_path, piece), declared if len(data) < 132 else 3)

    def test_an_announcement_is_written_as_declared(self):
        beacon = Beacon((1, 2), 3, 4, 5)
        have = Have((Held(LONG, 7, (Range(5, 6),), Load(9, True), beacon), HELD))
        parts = (
            objects.build(CNum.STREAM, 1, origin=1 << 16, group=1 << 63, source=1 << 62),
            objects.build(CNum.SEQUENCE, 1, sequence=7),
            objects.build(CNum.RANGE, 1, first=5, last=6),
            objects.build(CNum.LOAD, 1, free=9, flags=1, poorest=255),
            objects.build(CNum.PATH, 1, hops=[1, 2]),
            objects.build(CNum.COST, 1, cost=3),
            objects.build(CNum.RATE, 1, packets=4, bits=5),
            objects.build(CNum.STREAM, 2, origin=1 << 16, group=0xEF010203, source=0x0A580002),
            objects.build(CNum.SEQUENCE, 1, sequence=4000),
            objects.build(CNum.LOAD, 1, free=3, flags=0, poorest=255),
        )
        self.assertEqual(encode(have), frame(Op.HAVE, b"".join(parts)))


class DatagramTests(SynchronousTestCase):
    @modest
    @given(strategies.in_datagrams, strategies.u64)
    def test_its_token_stands_where_that_of_a_packet_does(self, message, token):
        wire = encode(message, token)
        self.assertEqual(int.from_bytes(wire[TOKEN_OFFSET : TOKEN_OFFSET + 8], "big"), token)
        self.assertEqual(wire[20:], encode(message)[8:])
        self.assertEqual(size(message, token), len(wire))
        self.assertEqual(decode(wire), Decoded(message))

    def test_others_go_in_none(self):
        for message in (Peers(1, 1), Find(1, 1), AddRoute((Group(1, 0),)), Open("a", 1, 10), KeepAlive()):
            self.assertRaises(ValueError, encode, message, TOKEN)
        self.assertRaises(ValueError, encode, Have((HELD,)), 1 << 64)


class SizeTests(SynchronousTestCase):
    """Control traffic is bounded for each node, so its messages are small."""

    def test_the_frequent_ones_are_as_small_as_the_page_says(self):
        beacon = Beacon((1, 2, 3, 4), 5, 6, 7)
        for message, length in (
            (Have((HELD,)), 44),
            (Have((HELD._replace(load=Load(0)),)), 36),
            (Have((HELD._replace(beacon=beacon),)), 84),
            (Have((HELD._replace(stream=1),)), 36),
            (Have((HELD._replace(stream=1, load=Load(0)),)), 28),
            (Have((HELD._replace(stream=1, load=Load(0, False, True, 1, 20)),)), 40),
            (Nack(STREAM, (Range(1, 2),)), 40),
            (Graft(STREAM, 1), 56),
            (Prune(STREAM), 48),
            (Peers(1, 5, 6, (SAMPLE,) * 7), 204),
            (Peers(1, 5, 6, (SAMPLE._replace(place=mesh.Place(1, -1, 2, 50)),) * 7), 260),
        ):
            self.assertEqual(len(encode(message)), length, message)

    def test_a_load_that_many_streams_share_is_said_once(self):
        self.assertEqual(size(Have((HELD,) * 10)), 8 + 8 + 10 * 28)


class BoundsTests(SynchronousTestCase):
    """Each bound is held by who writes and by who reads."""

    MOST = (
        (Have((HELD,) * 64), Have((HELD,) * 65)),
        *(
            (Have((HELD._replace(missing=(Range(1, 1),) * n),)) for n in (8, 9)),
            (Have((HELD._replace(beacon=Beacon((1,) * n, 1, 1, 1)),)) for n in (32, 33)),
            (Nack(STREAM, (Range(1, 1),) * n) for n in (64, 65)),
            (Graft(STREAM, 1, (Range(1, 1),) * n) for n in (64, 65)),
            (Prune(STREAM, 2, (SAMPLE,) * n) for n in (3, 4)),
            (Peers(1, 5, 6, (SAMPLE,) * n) for n in (64, 65)),
            (Find(1, 3, (SAMPLE,) * n) for n in (64, 65)),
            (Find(1, 3, (), 0, (Live(STREAM, 1),) * n) for n in (64, 65)),
            (Peers(1, 5, 6, (SAMPLE._replace(addresses=(HOME,) * n),)) for n in (3, 4)),
            (Open("a", 1, 10, None, None, (HOME,) * n) for n in (4, 5)),
            (Nack(STREAM, (Range(0xFFFF_FF00, 0xFEFF + n),)) for n in (0, 1)),
        ),
    )

    def test_the_most_fits_and_one_more_does_not(self):
        for most, over in self.MOST:
            self.assertEqual(decode(encode(most)), Decoded(most))
            self.assertRaises(ValueError, encode, over)

    def test_what_cannot_be_is_not_written(self):
        for message in (
            Have(()),
            Nack(STREAM, ()),
            Nack(STREAM, (Range(5, 4),)),
            Nack(StreamKey(1, -1, 0), (Range(1, 1),)),
            Graft(STREAM, 1 << 32),
            Prune(STREAM, 1 << 16),
            Prune(STREAM, 2, (), 1 << 32),
            Peers(1, 0),
            Peers(1, 9),
            Peers(1, 1, 256),
            Find(1, 4),
            Have((HELD._replace(load=Load(65_536)),)),
            Open("a", 1, 10, None, Capabilities(1, 1, 0, 0)),
            *(
                Peers(1, 1, 0, (SAMPLE._replace(addresses=(Address(*address),)),))
                for address in (
                    ("192.0.2.1", 0),
                    ("192.0.2.1", 65_536),
                    ("0.0.0.0", 1),
                    ("0.1.2.3", 1),
                    ("239.1.2.3", 1),
                    ("255.255.255.255", 1),
                    ("::", 1),
                    ("ff02::1", 1),
                    ("::ffff:192.0.2.1", 1),
                    ("fe80::1%eth0", 1),
                    ("example.org", 1),
                )
            ),
        ):
            self.assertRaises(ValueError, encode, message)

    def test_a_lie_is_one_clear_line(self):
        ranges = {(5, 4): "a range from 5 back to 4", (1, 65_537): "a range of 65537 numbers"}
        for (first, last), why in ranges.items():
            nack = frame(
                Op.NACK,
                announcements.stream_object(STREAM) + objects.build(CNum.RANGE, 1, first=first, last=last),
            )
            error = self.assertRaises(PeerError, decode, nack)
            self.assertEqual((error.code, str(error)), (Code.BAD_FORMAT, why))

    def test_the_longest_announcement_is_no_longer_than_a_message(self):
        held = Held(LONG, 1, (Range(1, 1),) * 8, Load(1), Beacon((1,) * 32, 1, 1, 1))
        streams = tuple(held._replace(load=Load(n)) for n in range(1, 65))
        self.assertLess(len(encode(Have(streams))), 66_000)


class StaticTests(SynchronousTestCase):
    """What a static node says has not changed, and what it understands of the mesh's does no harm."""

    def test_a_route_without_a_stream_is_a_route(self):
        wire = encode(AddRoute((Group(STREAM.group, STREAM.source),)))
        self.assertEqual(wire[8:], encode(Graft(STREAM, 1))[8:28])
        self.assertIsInstance(decode(wire).message, AddRoute)

    def test_a_stream_of_an_unknown_type_makes_no_graft(self):
        strange = pack_object(CNum.STREAM, 9, bytes(4))
        wire = frame(Op.ADD_ROUTE, encode(AddRoute((Group(1, 0),)))[8:] + strange)
        self.assertEqual(decode(wire), Decoded(AddRoute((Group(1, 0),)), 1))

    def test_a_second_feed_is_asked_for_by_what_older_nodes_skip(self):
        asked = encode(Graft(STREAM, 1, (), True))
        self.assertEqual(asked[8 : len(encode(Graft(STREAM, 1)))], encode(Graft(STREAM, 1))[8:])

    def test_a_graft_of_an_unknown_kind_is_an_ordinary_one(self):
        wire = bytearray(encode(Graft(STREAM, 1, (), True)))
        wire[-4] = 9
        self.assertEqual(decode(wire), Decoded(Graft(STREAM, 1)))

    def test_a_close_is_as_long_as_ever(self):
        self.assertEqual(size(Close(4, 1, "a")), 24)

    def test_numbers_are_those_of_the_page(self):
        self.assertEqual([int(kind) for kind in mesh.Kind], [1, 2, 3, 4, 5, 6, 7, 8])
        self.assertEqual([int(kind) for kind in mesh.Meeting], [1, 2, 3])
        self.assertEqual([int(kind) for kind in mesh.Grafting], [1])
        self.assertEqual([int(why) for why in mesh.Refusal], [1, 2, 3, 4, 5, 6, 7])
