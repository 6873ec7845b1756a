"""Messages both ways, and nothing but a PeerError for what is none."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core import link
from multicastmw.wire.cops import MESSAGE_MAX, Op, frame, message_length, objects, pack_object
from multicastmw.wire.errors import PeerError
from multicastmw.wire.mesh import Address, Capabilities
from multicastmw.wire.messages import (
    ECHO_REPLY,
    ECHO_REQUEST,
    AddRoute,
    Close,
    DataPort,
    Decoded,
    Echo,
    Group,
    KeepAlive,
    Message,
    Node,
    Open,
    RemoveRoute,
    Unknown,
    decode,
    encode,
    encode_routes,
    size,
)
from tests.wire import strategies
from tests.wire.golden import folder

modest = settings(deadline=None, derandomize=True)
TOO_MUCH = 1 << 64
OF_A_MESH_NODE = Capabilities(0, 0, 1, 0), (Address("2001:db8::1", 4600),) * 4
IPV6 = (bytes(15) + b"\1", bytes(15) + b"\2")

op_codes = st.sampled_from([op for op in Op if op != Op.IP_DATA])
object_data = st.binary(max_size=20) | st.sampled_from(
    (
        bytes(8),
        bytes(4),
        bytes(12),
        b"\0\0\0\1",
        b"a\0",
        bytes(16),
        bytes(48),
        b"\x11\xf8\0\0" + bytes(7) + b"\1",
        bytes(24),
        b"\1" * 6,
        b"\1" * 18,
        bytes(12) + b"\1\1\1\1\1\1\1",
    )
)
any_objects = st.lists(
    st.builds(
        pack_object,
        st.sampled_from((8, 10, 11, 64, 65, 66, 70, 71, *range(72, 87))) | st.integers(0, 255),
        st.sampled_from((1, 2)) | st.integers(0, 255),
        object_data,
    ),
    max_size=6,
).map(b"".join)


class RoundTripTests(SynchronousTestCase):
    @modest
    @given(strategies.messages)
    @example(Open("a", 0, 1))
    @example(Open("\u00fc" * 127, (1 << 64) - 1, 3600, DataPort(65535, (1 << 64) - 1)))
    @example(Close(65535, 65535))
    @example(KeepAlive(0, Echo(2, 0)))
    @example(AddRoute((Group((1 << 64) - 1, (1 << 64) - 1, IPV6), Node(0, "n"), Node(0), Node(0, "n"))))
    def test_every_message_is_read_as_it_was_written(self, message: Message):
        wire = encode(message)
        self.assertEqual((message_length(wire), len(wire) % 4), (len(wire), 0))
        self.assertEqual(size(message), len(wire))
        self.assertEqual(decode(wire), Decoded(message))
        self.assertEqual(decode(memoryview(bytearray(wire))), Decoded(message))

    @modest
    @given(strategies.messages, any_objects.filter(lambda data: data), st.data())
    def test_what_is_read_with_skipped_objects_is_written_again_without(self, message, strange, data):
        wire = encode(message)
        kept = [bytes(pack_object(n, t, bytes(d))) for n, t, d in objects(memoryview(wire))]
        unknown = [
            bytes(pack_object(n | 0x80, t, bytes(d))) for n, t, d in objects(memoryview(bytes(8) + strange))
        ]
        mixed = list(kept)
        for one in unknown:
            mixed.insert(data.draw(st.integers(0, len(mixed))), one)
        decoded = decode(frame(wire[1], b"".join(mixed)))
        self.assertEqual(decoded, Decoded(message, len(unknown)))
        self.assertEqual(encode(decoded.message), wire)

    def test_a_first_message_always_fits_what_a_stranger_may_send(self):
        longest = Open("a" * 255, 1, 10, DataPort(1, 1), *OF_A_MESH_NODE, 2_000, 64)
        self.assertEqual(len(encode(longest)), 428)
        self.assertLess(428, link.OPEN_MAX)


class StrangeBytesTests(SynchronousTestCase):
    def outcome(self, message: bytes) -> Decoded | None:
        try:
            decoded = decode(message)
        except PeerError as error:
            self.assertIn((error.code, error.sub_code), ((3, 0), (6, 0), (7, 0)))
            self.assertTrue(str(error))
            return None
        self.assertIsInstance(decoded, Decoded)
        return decoded

    @settings(modest, max_examples=200)
    @given(st.binary(max_size=60))
    @example(b"")
    @example(b"\x10\x06\x4d\x43\0\0\0")
    def test_arbitrary_bytes_are_decoded_or_a_peers_error(self, message: bytes):
        self.outcome(message)

    @settings(modest, max_examples=300)
    @given(op_codes, st.binary(max_size=80))
    def test_arbitrary_objects_are_decoded_or_a_peers_error(self, op: Op, data: bytes):
        self.outcome(frame(op, data))

    @settings(modest, max_examples=200)
    @given(op_codes, any_objects)
    def test_arbitrary_data_in_right_objects_is_decoded_or_a_peers_error(self, op: Op, data: bytes):
        decoded = self.outcome(frame(op, data))
        if decoded is None or decoded.skipped:
            return
        self.assertEqual(decode(encode(decoded.message)).message, decoded.message)

    def test_golden_messages_with_any_byte_changed_are_decoded_or_a_peers_error(self):
        for golden in folder("messages"):
            if golden.wire[1] == Op.IP_DATA:
                continue
            for at in range(len(golden.wire)):
                for change in (0x01, 0x80, 0xFF):
                    wire = bytearray(golden.wire)
                    wire[at] ^= change
                    self.outcome(bytes(wire))

    def test_golden_messages_cut_anywhere_are_decoded_or_a_peers_error(self):
        for golden in folder("messages"):
            for end in range(len(golden.wire)):
                self.outcome(golden.wire[:end])

    def test_an_unknown_op_code_is_not_looked_into(self):
        for op in set(range(256)) - set(Op):
            self.assertEqual(decode(frame(op, b"\xff" * 4)), Decoded(Unknown(op)))

    def test_a_message_full_of_the_smallest_unknown_objects_is_only_counted(self):
        many = (MESSAGE_MAX - 8) // 4
        self.assertEqual(decode(frame(Op.ADD_ROUTE, b"\0\4\xc8\1" * many)), Decoded(AddRoute(()), many))


class NumbersTests(SynchronousTestCase):
    def test_types_of_an_echo_are_those_of_the_design(self):
        self.assertEqual((ECHO_REQUEST, ECHO_REPLY), (1, 2))


class MisuseTests(SynchronousTestCase):
    """Our own fault is a ValueError, and nothing is written."""

    def test_a_name_has_1_to_255_bytes_and_no_nul(self):
        for name in ("", "a" * 256, "\u00fc" * 128, "a\0b", "\ud800"):
            self.assertRaises(ValueError, encode, Open(name, 1, 10))
            self.assertRaises(ValueError, encode, AddRoute((Node(1, name),)))

    def test_a_number_that_its_field_cannot_hold_is_refused(self):
        for message in (
            Open("a", TOO_MUCH, 10),
            Open("a", -1, 10),
            Open("a", 1, 65_536),
            Open("a", 1, 10, DataPort(65_536, 1)),
            Open("a", 1, 10, DataPort(1, TOO_MUCH)),
            Close(65_536),
            Close(1, -1),
            Close(4, 2, None, ""),
            Close(4, 2, None, "a" * 512),
            Close(4, 2, None, "a\0b"),
            KeepAlive(TOO_MUCH),
            KeepAlive(1, Echo(1, TOO_MUCH)),
            KeepAlive(1, Echo(256, 1)),
            AddRoute((Group(TOO_MUCH, 0),)),
            AddRoute((Group(0, -1),)),
            AddRoute((Group(TOO_MUCH, 0, IPV6),)),
            AddRoute((Group(0, 0, (b"short", IPV6[0])),)),
            RemoveRoute((Node(TOO_MUCH),)),
        ):
            self.assertRaises(ValueError, encode, message)


class RouteMessagesTests(SynchronousTestCase):
    """As many messages as the entries need."""

    @modest
    @given(st.lists(strategies.groups | strategies.nodes, max_size=8))
    def test_few_entries_are_one_message(self, entries):
        for kind in (AddRoute, RemoveRoute):
            messages = encode_routes(kind, entries)
            self.assertEqual(messages, [encode(kind(tuple(entries)))] if entries else [])

    def test_ten_thousand_channels_are_few_messages_that_a_peer_takes(self):
        entries = [Group(0xE1000000 + n, n % 3) for n in range(10_000)]
        messages = encode_routes(AddRoute, entries)
        self.assertEqual(len(messages), -(-10_000 // ((MESSAGE_MAX - 8) // 20)))
        for message in messages:
            self.assertEqual(message_length(message), len(message))
        self.assertEqual(
            [entry for message in messages for entry in decode(message).message.entries], entries
        )

    def test_a_node_is_never_parted_from_its_name(self):
        for length in (50, 100, 251, 255):
            one = len(encode(AddRoute((Node(1, "n" * length),)))) - 8
            entries = [Node(n << 16, "n" * length) for n in range(MESSAGE_MAX // one + 5)]
            messages = encode_routes(AddRoute, entries)
            self.assertEqual(len(messages), 2)
            self.assertEqual([e for m in messages for e in decode(m).message.entries], entries)

    def test_a_message_may_be_full_to_its_last_byte(self):
        entries = [Group(n, 0) for n in range(3_299)] + [Node(1)]  # 8 + 3,299 x 20 + 12 = 66,000
        (message,) = encode_routes(RemoveRoute, entries)
        self.assertEqual(len(message), MESSAGE_MAX)
        self.assertEqual(len(encode_routes(RemoveRoute, [*entries, Node(2)])), 2)
        over = [Group(n, 0) for n in range(3_298)] + [Node(n) for n in range(3)]  # 66,004
        self.assertEqual([len(m) for m in encode_routes(RemoveRoute, over)], [MESSAGE_MAX - 8, 20])
