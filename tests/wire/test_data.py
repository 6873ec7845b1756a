"""IP Data: the twin and the relay's inlined checks against the declaration, on bytes good and bad."""

from typing import Any

from construct import ConstructError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.forwarding import Forwarder
from multicastmw.core.packet import Packet
from multicastmw.core.routing import Router
from multicastmw.wire.cops import MESSAGE_MAX, message_length, objects
from multicastmw.wire.data import (
    FORWARDING,
    HEADER_SIZE,
    HOP_LIMIT_OFFSET,
    IP_DATA,
    IPV4,
    IPV6,
    NUMBERED_BY_KERNEL,
    SEALED,
    TOKEN_OFFSET,
    TOKEN_TWIN,
    TWIN,
    DataHeader,
    build,
    padded,
)
from multicastmw.wire.errors import Malformed
from tests.wire.golden import folder
from tests.wire.strategies import u32, u64

modest = settings(deadline=None, derandomize=True)
u8 = st.integers(0, 255)
packets = st.binary(min_size=1, max_size=40)
values = st.fixed_dictionaries(
    {
        "token": u64,
        "origin": u64,
        "group": u64,
        "source": u64,
        "sequence": u32,
        "origin_time": u32,
        "hop_limit": u8,
        "service_class": u8,
        "flags": u8,
        "low_water": u8,
        "packet_type": u8,
    }
)
FIXED = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 56, 57, 58, 59]  # where every bit is asked for
GOLDEN = next(g.wire for g in folder("messages") if g.name == "ip_data_ipv4_padding_3")


def right(packet: bytes, **fields: Any) -> bytes:
    named = {"token": 1, "origin": 2 << 16, "group": 3, "source": 4, "sequence": 5}
    return build(packet, **{**named, **fields})


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A right message with some bytes changed, mostly where it matters, and perhaps cut or continued."""
    message = bytearray(right(draw(packets), **draw(values)))
    for at in draw(st.lists(st.sampled_from(FIXED) | st.integers(0, HEADER_SIZE - 1), max_size=2)):
        message[at] = draw(st.integers(0, 12) | u8)
    end = draw(st.integers(-8, 8) | st.just(0))
    return bytes(message[:end] if end < 0 else message + bytes(end))


@st.composite
def of_lying_lengths(draw: st.DrawFn) -> bytes:
    """Right in all but its three lengths, which are near the truth."""
    message = bytearray(right(draw(packets)))
    near = st.integers(-5, 5) | st.just(0)
    message[4:8] = max(0, len(message) + draw(near)).to_bytes(4, "big")
    message[56:58] = max(0, int.from_bytes(message[56:58], "big") + draw(near)).to_bytes(2, "big")
    return bytes(message) + bytes(max(0, draw(near)))


strange = damaged() | of_lying_lengths() | st.binary(max_size=100)


def declared(message: bytes) -> Any:
    """What the declaration reads; None where it, or a length, says that this is no IP Data message."""
    try:
        head = IP_DATA.parse(message)
    except ConstructError:
        return None
    packet = head.packet_length - 4
    whole = HEADER_SIZE + packet + (-packet % 4)
    return head if packet > 0 and head.length == whole == len(message) else None


def twin(message: bytes | memoryview) -> DataHeader | None:
    try:
        return DataHeader.parse(message)
    except Malformed:
        return None


class TwinTests(SynchronousTestCase):
    """The declaration is the truth."""

    def test_the_twin_is_as_long_as_the_declaration(self):
        self.assertEqual((TWIN.size, IP_DATA.sizeof(), HEADER_SIZE, FORWARDING.sizeof()), (60, 60, 60, 44))

    @settings(modest, max_examples=300)
    @given(strange)
    @example(GOLDEN)
    @example(GOLDEN[:60])
    @example(GOLDEN[:59])
    @example(b"")
    def test_a_header_is_read_as_declared_or_refused_by_both(self, message: bytes):
        head, header = declared(message), twin(message)
        self.assertEqual(head is None, header is None)
        if head is None or header is None:
            return
        for name in ("token", "origin", "group", "source", "sequence", "origin_time"):
            self.assertEqual(getattr(header, name), head.forwarding[name], name)
        for name in ("hop_limit", "service_class", "flags", "low_water"):
            self.assertEqual(getattr(header, name), head.forwarding[name], name)
        for name in ("length", "packet_length", "packet_type"):
            self.assertEqual(getattr(header, name), head[name], name)

    @modest
    @given(packets, values)
    def test_a_header_is_written_as_declared(self, packet: bytes, fields: dict[str, int]):
        message = build(packet, **fields)
        head = IP_DATA.build(
            {
                "length": len(message),
                "forwarding": {k: v for k, v in fields.items() if k != "packet_type"},
                "packet_length": 4 + len(packet),
                "packet_type": fields["packet_type"],
            }
        )
        self.assertEqual(message, head + packet + bytes(-len(packet) % 4))

    def test_every_bit_of_the_frame_is_asked_for(self):
        free = {59}  # the packet's type: a relay does not mind
        for at in set(FIXED) - free:
            for bit in range(8):
                message = bytearray(GOLDEN)
                message[at] ^= 1 << bit
                if at == 57 and declared(bytes(message)):
                    continue  # the padding is shorter or longer, and all lengths agree
                self.assertIsNone(twin(bytes(message)), f"byte {at}, bit {bit}")

    def test_no_bit_of_the_rest_is_asked_for(self):
        for at in [*sorted(set(range(len(GOLDEN))) - set(FIXED)), 59]:
            for bit in range(8):
                message = bytearray(GOLDEN)
                message[at] ^= 1 << bit
                self.assertIsNotNone(twin(bytes(message)), f"byte {at}, bit {bit}")

    @modest
    @given(packets, values)
    def test_it_is_a_message_of_two_objects_to_any_reader(self, packet: bytes, fields: dict[str, int]):
        message = build(packet, **fields)
        self.assertEqual(message_length(message), len(message))
        found = [(n, t, bytes(data)) for n, t, data in objects(memoryview(message))]
        self.assertEqual(found[1:], [(69, fields["packet_type"], packet)])
        self.assertEqual((found[0][:2], len(found[0][2])), ((68, 1), 44))
        self.assertEqual(TWIN.unpack_from(message)[4], fields["token"])

    def test_offsets_are_those_of_the_fields(self):
        message = bytearray(GOLDEN)
        TOKEN_TWIN.pack_into(message, TOKEN_OFFSET, 0x0102030405060708)
        message[HOP_LIMIT_OFFSET] = 77
        header = DataHeader.parse(message)
        self.assertEqual((header.token, header.hop_limit), (0x0102030405060708, 77))

    def test_types_and_flags_are_those_of_the_design(self):
        self.assertEqual((IPV4, IPV6, SEALED, NUMBERED_BY_KERNEL), (1, 2, 3, 1))

    def test_the_longest_packet_is_within_the_longest_message(self):
        message = right(bytes(65_531))
        self.assertEqual((len(message), DataHeader.parse(message).packet_length), (65_592, 65_535))
        self.assertLessEqual(len(message), MESSAGE_MAX)

    def test_a_message_is_as_long_as_foretold(self):
        for length in range(1, 9):
            self.assertEqual(len(right(bytes(length))), padded(length))


class Ingress:
    """A destination that packets come from."""

    name = "ingress"
    local = False

    def deliver(self, packet: Packet) -> None:
        raise AssertionError("a packet came back to where it was from")

    def others_changed(self, channel: object) -> None: ...


class RelayTests(SynchronousTestCase):
    """`Forwarder.relay` has the same checks once more, in its own words, for speed."""

    def setUp(self):
        self.forwarder = Forwarder(Router(), 0x77 << 16, 0.0)
        self.packet = Packet()
        self.ingress = Ingress()

    def relayed(self, message: bytes) -> bool:
        self.packet.buffer[: len(message)] = message
        return self.forwarder.relay(self.packet, len(message), self.ingress)

    @settings(modest, max_examples=300)
    @given(strange, st.booleans())
    @example(GOLDEN, True)
    @example(GOLDEN[:60], True)
    @example(GOLDEN[:60], False)
    @example(b"", True)
    def test_it_refuses_exactly_what_the_twin_refuses(self, message: bytes, over_another: bool):
        self.packet.buffer[:200] = (GOLDEN + bytes(200))[:200] if over_another else bytes(200)
        before = self.forwarder.drops.malformed
        verdict = self.relayed(message)
        self.assertEqual(verdict, twin(message) is not None)
        self.assertEqual(self.forwarder.drops.malformed - before, not verdict)

    def test_it_refuses_every_cut_of_a_message_that_stands_in_its_buffer_whole(self):
        self.relayed(GOLDEN)
        for size in range(len(GOLDEN)):
            self.assertFalse(self.forwarder.relay(self.packet, size, self.ingress), size)
        self.assertTrue(self.forwarder.relay(self.packet, len(GOLDEN), self.ingress))

    def test_its_verdicts_on_golden_files_are_those_of_the_files(self):
        for name in ("messages", "malformed"):
            of_data = [g for g in folder(name) if g.wire[1] == 34 and not g.verdict.startswith("error")]
            self.assertGreater(len(of_data), 5)
            for golden in of_data:
                self.assertEqual(self.relayed(golden.wire), not golden.verdict, golden.name)
