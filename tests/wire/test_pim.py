"""The Hello of gateways: the bytes of RFC 7761, what is skipped and what is refused."""

import contextlib
from collections.abc import Callable

from construct import ConstructError
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire import pim
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Header, checksum, number, text
from multicastmw.wire.pim import Hello, State

HELLO = Hello(0x1122334455660000, State.FORWARDING, 3.5, 0xCAFE, number("10.77.0.250"))
HELLOS = st.builds(
    Hello,
    node=st.integers(0, 2**64 - 1),
    state=st.sampled_from(State),
    hold=st.integers(0, 65_535).map(lambda ms: ms / 1000),
    generation=st.integers(0, 2**32 - 1),
    address=st.integers(0, 2**32 - 1),
)


def packet(message: bytes, ttl: int = 1, flags: int = 0) -> bytes:
    message = message[:2] + checksum(message[:2] + b"\0\0" + message[4:]).to_bytes(2, "big") + message[4:]
    return Header(0, 20 + len(message), 0, flags, ttl, 103, 7, pim.ALL_PIM_ROUTERS).build() + message


def declared(raw: bytes) -> Hello | None:
    """What the declarations say of a packet's options."""
    if b"MCMW" not in raw[20:]:
        return None
    options = pim.OPTIONS.parse(raw[24:]).options
    ours = [o.value for o in options if o.type == pim.GATEWAY and o.value.startswith(b"MCMW")]
    if not ours:
        return None
    found = pim.GATEWAY_OPTION.parse(ours[-1])
    generations = [o.value for o in options if o.type == pim.GENERATION_ID]
    generation = int.from_bytes(generations[-1][:4], "big") if generations else 0
    return Hello(found.node, State(found.state), found.hold_ms / 1000, generation, 7)


def outcome(read: Callable[[bytes], Hello | None], raw: bytes) -> Hello | str | None:
    try:
        return read(raw)
    except (Malformed, ConstructError, ValueError):
        return "refused"


class HelloTests(SynchronousTestCase):
    def test_the_bytes(self) -> None:
        raw = pim.pack(HELLO)
        header = Header.parse(raw)
        self.assertEqual((header.protocol, header.ttl, text(header.destination)), (103, 1, "224.0.0.13"))
        self.assertEqual(
            raw[20:22].hex() + raw[24:].hex(),
            "2000" "000100020004" "001300040" "0000000" "001400040000cafe"
            "fe4d0010" "4d434d57" "1122334455660000" "03000dac",
        )  # fmt: skip
        self.assertEqual((checksum(raw[:20]), checksum(raw[20:])), (0, 0))

    @given(HELLOS)
    @settings(max_examples=200, deadline=None)
    def test_what_is_packed_is_unpacked(self, hello: Hello) -> None:
        self.assertEqual(pim.unpack(pim.pack(hello)), hello)

    def test_a_routers_hello_and_other_messages_are_none_of_ours(self) -> None:
        router = bytes.fromhex("2000000000010002006900130004000000010014000412345678")
        join = bytes.fromhex("23000000") + b"MCMW" * 4
        for message in (router, join, b"", b"\x20"):
            self.assertIsNone(pim.unpack(packet(message.ljust(4, b"\0"))))

    def test_options_that_we_do_not_know_are_skipped(self) -> None:
        raw = pim.pack(HELLO)[20:]
        more = raw[:4] + bytes.fromhex("0002000401f409c4") + raw[4:] + bytes.fromhex("fe4e0003") + b"abc"
        self.assertEqual(pim.unpack(packet(more))._replace(address=HELLO.address), HELLO)

    def test_a_short_generation_id_takes_nothing_of_the_option_behind_it(self) -> None:
        raw = pim.pack(HELLO)[20:]
        whole = bytes.fromhex("001400040000cafe")
        self.assertEqual(raw.count(whole), 1)
        for short, generation in (("00140000", 0), ("00140002cafe", 0xCAFE)):
            hello = pim.unpack(packet(raw.replace(whole, bytes.fromhex(short))))
            self.assertEqual(hello and hello.generation, generation)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([1, 19, 20, pim.GATEWAY, 7]),
                st.one_of(
                    st.binary(max_size=20),
                    st.builds(
                        lambda node, state, zero, hold: b"MCMW" + node + bytes((state, zero)) + hold,
                        st.binary(min_size=8, max_size=8),
                        st.integers(0, 4),
                        st.integers(0, 1),
                        st.binary(min_size=1, max_size=3),
                    ),
                ),
            ),
            max_size=5,
        ),
        st.binary(max_size=5),
    )
    @settings(max_examples=400, deadline=None)
    def test_the_twin_reads_what_the_declarations_read(self, options: list, rest: bytes) -> None:
        body = b"".join(kind.to_bytes(2, "big") + len(v).to_bytes(2, "big") + v for kind, v in options) + rest
        raw = packet(b"\x20\0\0\0" + body)
        self.assertEqual(outcome(pim.unpack, raw), outcome(declared, raw))

    def test_what_lies_is_refused(self) -> None:
        raw = pim.pack(HELLO)
        body = raw[20:]
        for bad in (
            raw[:-1] + b"\x01",
            raw[:30] + b"\x01" + raw[31:],
            packet(body, ttl=2),
            packet(body, flags=0x2000),
            packet(body + bytes(600)),
            packet(body[:-4] + b"\x07" + body[-3:]),
            packet(body + b"\0"),
            packet(body[:-1]),
            packet(body[:-18] + b"\0\x11" + body[-16:] + b"x"),
        ):
            self.assertRaises(Malformed, pim.unpack, bad)

    @given(st.binary(max_size=120), st.booleans())
    @settings(max_examples=300, deadline=None)
    def test_garbage_is_refused_or_none_of_ours(self, garbage: bytes, nearly: bool) -> None:
        if nearly:
            garbage = packet(b"\x20\0\0\0" + garbage + b"\xfe\x4d\0\x10MCMW" + garbage)
        with contextlib.suppress(Malformed):
            pim.unpack(garbage)
