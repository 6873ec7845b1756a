"""Packets on their way to and over a shared tree: what their origin made of them is there at the end."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire.data import FLAGS_OFFSET, HOP_LIMIT_OFFSET, DataHeader
from multicastmw.wire.errors import Malformed
from multicastmw.wire.mesh import Register, StreamKey
from multicastmw.wire.messages import Decoded, decode, encode, size
from multicastmw.wire.shared import BEGAN, BEGAN_TWIN, HOPS, opened, wrapped
from tests.wire import strategies


class Registers(SynchronousTestCase):
    @given(strategies.registers, strategies.u64)
    def test_what_is_written_is_read(self, register: Register, token: int) -> None:
        for wire in (encode(register), encode(register, token)):
            self.assertEqual(Decoded(register), decode(wire))
            self.assertEqual(len(wire), size(register, token))

    @given(strategies.registers, strategies.u64)
    def test_the_token_stands_where_that_of_a_packet_does(self, register: Register, token: int) -> None:
        self.assertEqual(token, int.from_bytes(encode(register, token)[12:20], "big"))

    def test_what_is_no_message_is_not_written(self) -> None:
        self.assertRaises(ValueError, encode, Register(StreamKey(1, 2, 3), 4, b""))


class Envelopes(SynchronousTestCase):
    @given(strategies.registers, strategies.u64, strategies.u32, st.integers(0, 20))
    def test_what_is_put_in_comes_out_after_so_many_hops(
        self, register: Register, origin: int, number: int, hops: int
    ) -> None:
        envelope = bytearray(wrapped(register.message, origin, number))
        outer, inner = DataHeader.parse(envelope), DataHeader.parse(register.message)
        self.assertEqual(
            (origin, inner.group, 0, number), (outer.origin, outer.group, outer.source, outer.sequence)
        )
        envelope[HOP_LIMIT_OFFSET] -= hops
        sent = inner.hop_limit - (inner.origin != origin)
        if sent < hops:
            self.assertEqual(b"", opened(envelope))
        else:
            expected = bytearray(register.message)
            expected[HOP_LIMIT_OFFSET] = sent - hops
            self.assertEqual(bytes(expected), opened(envelope))

    @given(strategies.u64, strategies.u64, strategies.u32, st.integers(0, HOPS))
    def test_the_twin_is_what_is_declared(self, origin: int, source: int, number: int, hops: int) -> None:
        declared = BEGAN.build(
            {"origin": origin, "source": source, "sequence": number, "hop_limit": hops, "reserved": bytes(3)}
        )
        self.assertEqual(declared, BEGAN_TWIN.pack(origin, source, number, hops))

    @given(strategies.registers)
    def test_what_is_none_is_refused(self, register: Register) -> None:
        envelope = wrapped(register.message, 1, 1)
        plain = bytearray(envelope)
        plain[FLAGS_OFFSET] = 0
        self.assertRaises(Malformed, opened, bytes(plain))
        self.assertRaises(Malformed, opened, register.message)
        self.assertRaises(Malformed, opened, envelope[:-4])
