"""The frame of messages and objects: twins against declarations, and no length that is believed unseen."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire import cops
from multicastmw.wire.cops import CLIENT_TYPE, HEADER, HEADER_TWIN, OBJECT_HEADER, OBJECT_TWIN, Code, Op
from multicastmw.wire.errors import PeerError
from tests.wire.strategies import u16, u32

u8 = st.integers(0, 255)
modest = settings(deadline=None, derandomize=True)


class TwinTests(SynchronousTestCase):
    """The declarations are the truth."""

    @modest
    @given(st.binary(min_size=8, max_size=8))
    def test_the_common_header_is_read_as_declared(self, head: bytes):
        declared = HEADER.parse(head)
        first, *rest = HEADER_TWIN.unpack(head)
        self.assertEqual((first >> 4, first & 15), (declared.first.version, declared.first.flags))
        self.assertEqual(rest, [declared.op_code, declared.client_type, declared.length])

    @modest
    @given(st.binary(min_size=4, max_size=4))
    def test_the_object_header_is_read_as_declared(self, head: bytes):
        declared = OBJECT_HEADER.parse(head)
        self.assertEqual(OBJECT_TWIN.unpack(head), (declared.length, declared.c_num, declared.c_type))

    @modest
    @given(u8, st.binary(max_size=80).map(lambda data: data * 4))
    def test_a_frame_is_written_as_declared(self, op: int, data: bytes):
        built = HEADER.build(
            {
                "first": {"version": 1, "flags": 0},
                "op_code": op,
                "client_type": 0 if op == 9 else 0x4D43,
                "length": 8 + len(data),
            }
        )
        self.assertEqual(cops.frame(op, data), built + data)

    @modest
    @given(u8, u8, st.binary(max_size=80))
    def test_an_object_is_written_as_declared_and_padded_with_zeros(
        self, c_num: int, c_type: int, data: bytes
    ):
        packed = cops.pack_object(c_num, c_type, data)
        head = OBJECT_HEADER.build({"length": 4 + len(data), "c_num": c_num, "c_type": c_type})
        self.assertEqual(packed.rstrip(b"\0"), (head + data).rstrip(b"\0"))
        self.assertEqual(len(packed), -(-(4 + len(data)) // 4) * 4)


class MessageLengthTests(SynchronousTestCase):
    @modest
    @given(u8, u8, u16, u32)
    @example(0x10, 9, 0, 8)
    @example(0x1F, 9, 0, 66_000)
    @example(0x10, 9, 0, 66_004)
    @example(0x10, 9, 0, 65_998)
    @example(0x10, 9, 0, 4)
    @example(0x20, 9, 0, 8)
    def test_a_length_is_believed_exactly_when_it_can_be_one(
        self, first: int, op: int, kind: int, length: int
    ):
        right = first >> 4 == 1 and length in range(8, 66_001, 4)
        try:
            self.assertEqual(
                (cops.message_length(HEADER_TWIN.pack(first, op, kind, length)), right), (length, True)
            )
        except PeerError as error:
            self.assertEqual((error.code, error.sub_code, right), (Code.BAD_FORMAT, 0, False))

    def test_no_length_is_believed_above_what_the_caller_takes(self):
        head = HEADER_TWIN.pack(0x10, 6, CLIENT_TYPE, 2052)
        self.assertEqual(cops.message_length(head, 2052), 2052)
        self.assertRaises(PeerError, cops.message_length, head, 2048)


class OpCodeTests(SynchronousTestCase):
    @modest
    @given(u8, u16 | st.sampled_from((0, CLIENT_TYPE)))
    def test_client_types_are_ours_or_none_in_a_keep_alive(self, op: int, kind: int):
        right = kind == 0x4D43 or (op == 9 and kind == 0)
        try:
            self.assertEqual(
                (cops.op_code(memoryview(HEADER_TWIN.pack(0x10, op, kind, 8))), right), (op, True)
            )
        except PeerError as error:
            self.assertEqual((error.code, error.sub_code, right), (Code.CLIENT_TYPE, 0, False))

    def test_numbers_are_those_of_the_design(self):
        self.assertEqual([int(op) for op in Op], [6, 8, 9, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41])
        self.assertEqual([int(c) for c in cops.CNum], [8, 10, 11, 64, 65, 66, *range(68, 91)])
        self.assertEqual([int(code) for code in Code], [3, 4, 6, 7, 9, 11, 14, 15])
        self.assertEqual([int(sub) for sub in cops.Unable], [1, 2, 3, 4])


def walked(message: bytes) -> list[tuple[int, int, bytes]] | None:
    """The objects by a naive reading that consumes bytes one object at a time; None where a length lies."""
    rest, found = message[8:], []
    while rest:
        length = int.from_bytes(rest[:2], "big")
        whole = (length + 3) // 4 * 4
        if len(rest) < 4 or length < 4 or len(rest) < whole:
            return None
        found.append((rest[2], rest[3], rest[4:length]))
        rest = rest[whole:]
    return found


class ObjectsTests(SynchronousTestCase):
    @modest
    @given(st.lists(st.tuples(u8, u8, st.binary(max_size=20)), max_size=6))
    def test_a_walk_finds_what_was_packed(self, packed: list[tuple[int, int, bytes]]):
        message = memoryview(cops.frame(Op.CLOSE, b"".join(cops.pack_object(*one) for one in packed)))
        self.assertEqual([(n, t, bytes(data)) for n, t, data in cops.objects(message)], packed)

    @settings(modest, max_examples=200)
    @given(st.lists(st.sampled_from((0, 1, 3, 4, 5, 8, 255)) | u8, max_size=40).map(bytes))
    @example(bytes((0, 4, 1, 1, 0, 3)))
    @example(bytes((0, 5, 1, 1, 9)))
    @example(bytes((0, 5, 1, 1, 9, 0, 0, 0)))
    def test_a_walk_over_arbitrary_bytes_is_that_of_a_naive_reader(self, data: bytes):
        message = bytes(8) + data
        try:
            found = [(n, t, bytes(d)) for n, t, d in cops.objects(memoryview(message))]
        except PeerError as error:
            self.assertEqual((error.code, error.sub_code), (Code.BAD_FORMAT, 0))
            found = None
        self.assertEqual(found, walked(message))
