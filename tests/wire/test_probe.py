"""The questions that nodes ask each other: golden files, round trips, and noise."""

from typing import Any

from construct import ConstructError, Container
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire import probe
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Header
from multicastmw.wire.probe import (
    ENTRIES_MAX,
    GROUP,
    NAMES_MAX,
    NODES_MAX,
    PAYLOAD_MAX,
    PORT,
    STREAMS_MAX,
    TEXT_MAX,
    TTL,
    Entry,
    Head,
    Kind,
    Ping,
    PingAnswer,
    Report,
    StreamSeen,
    Taker,
    TraceAnswer,
    cut,
    decode,
    encode,
    unwrap,
    wrap,
)
from tests.wire.golden import Golden, each, folder
from tests.wire.strategies import u16, u32, u64

u8 = st.integers(0, 255)
i32 = st.integers(-(1 << 31), (1 << 31) - 1)
texts = st.text(max_size=16).filter(lambda text: len(text.encode()) <= TEXT_MAX)
FEW = 6  # of a list: what its bound does is tried apart
nodes = st.lists(u64, max_size=FEW).map(tuple)
bodies: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.PING: st.builds(Ping, u64, u64, nodes),
    Kind.PING_ANSWER: st.builds(
        PingAnswer, u32, i32, st.lists(texts, max_size=FEW).map(tuple)
    ),
    Kind.SURVEY: st.builds(probe.Survey, u8, u16),
    Kind.PROBE: st.builds(probe.Probe, u8),
    Kind.COLLECT: st.builds(probe.Collect, nodes),
    Kind.REPORT: st.builds(
        Report, u8, st.lists(st.builds(Entry, u64, u8, u8, u32, u32, u32), max_size=FEW).map(tuple)
    ),
    Kind.TRACE: st.builds(probe.Trace, u64, u64, nodes),
    Kind.TRACE_ANSWER: st.builds(
        TraceAnswer, u32, u64, u8, u64, u64, u64, u64, u64, texts, u16,
        st.lists(st.builds(Taker, u64, texts), max_size=FEW).map(tuple),
        st.lists(st.builds(StreamSeen, u64, u64, u64, u64, u64, u64), max_size=STREAMS_MAX).map(tuple),
    ),
}  # fmt: skip
datagrams = st.sampled_from(Kind).flatmap(
    lambda kind: st.tuples(
        st.builds(Head, st.just(int(kind)), u32, u64, u16, u8, u8, u32),
        bodies[kind],
    )
)


def plain(value: Any) -> Any:
    """Lists and numbers of what the declarations, or the values, have."""
    if isinstance(value, Container):
        return [plain(each) for name, each in value.items() if name != "_io"]
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


@each("probes", "is_read_as_written")
def _read(self: SynchronousTestCase, golden: Golden) -> None:
    self.assertEqual(decode(golden.wire), golden.value)


@each("probes", "is_written_as_read")
def _written(self: SynchronousTestCase, golden: Golden) -> None:
    self.assertEqual(encode(*golden.value).hex(" ", 4), golden.wire.hex(" ", 4))


@_read
@_written
class GoldenProbes(SynchronousTestCase):
    """tests/golden/probes."""

    def test_every_kind_stands_in_a_file(self) -> None:
        self.assertEqual({golden.wire[3] for golden in folder("probes")}, set(Kind))


class Payloads(SynchronousTestCase):
    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(datagrams)
    def test_what_is_written_is_read(self, datagram: tuple[Head, Any]) -> None:
        self.assertEqual(decode(encode(*datagram)), datagram)

    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(datagrams, st.data())
    def test_a_cut_one_is_malformed_and_one_with_more_behind_it_is_read(
        self, datagram: tuple[Head, Any], data: st.DataObject
    ) -> None:
        payload = encode(*datagram)
        self.assertRaises(Malformed, decode, payload[: data.draw(st.integers(0, len(payload) - 1))])
        more = payload + bytes(min(4, PAYLOAD_MAX - len(payload)))
        self.assertEqual(decode(more), datagram)

    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(datagrams, st.binary(max_size=40), st.data())
    def test_the_twins_read_what_the_declarations_do(
        self, datagram: tuple[Head, Any], noise: bytes, data: st.DataObject
    ) -> None:
        """Also of what is damaged."""
        payload = bytearray(encode(*datagram))
        at = data.draw(st.integers(len(probe.BEGINS) + 1, len(payload) - 1))
        payload[at : at + len(noise)] = noise
        payload = payload[:PAYLOAD_MAX]
        try:
            head = probe.HEAD.parse(bytes(payload))
            body = probe.BODIES[head.kind].parse(bytes(payload[probe.HEAD.sizeof() :]))
        except ConstructError:
            self.assertRaises(Malformed, decode, bytes(payload))
            return
        try:
            found = decode(bytes(payload))
        except Malformed:  # a list is too long
            self.assertTrue(any(len(getattr(body, name, ())) > most for name, most in probe.BOUNDS.items()))
            return
        assert found is not None
        self.assertEqual([head[name] for name in Head._fields], list(found[0]))
        for name, value in found[1]._asdict().items():
            self.assertEqual(plain(body[name]), plain(value), name)

    @given(st.binary(max_size=PAYLOAD_MAX + 10), st.booleans())
    def test_noise_is_malformed_or_a_datagram(self, noise: bytes, begins_well: bool) -> None:
        payload = probe.BEGINS + noise if begins_well else noise
        try:
            found = decode(payload)
        except Malformed:
            return
        if found is not None:
            self.assertEqual(decode(encode(*found)), found)

    def test_another_kind_is_passed_over(self) -> None:
        payload = bytearray(encode(Head(Kind.PROBE, 1, 2), probe.Probe(3)))
        payload[3] = 99
        self.assertIsNone(decode(bytes(payload)))

    def test_another_version_is_malformed(self) -> None:
        payload = bytearray(encode(Head(Kind.PROBE, 1, 2), probe.Probe(3)))
        payload[2] = 2
        self.assertRaises(Malformed, decode, bytes(payload))

    def test_a_list_above_its_bound_is_neither_written_nor_read(self) -> None:
        head = Head(Kind.PING_ANSWER, 1, 2)
        self.assertRaises(ValueError, encode, head, PingAnswer(0, 0, ("x",) * (NAMES_MAX + 1)))
        payload = bytearray(encode(head, PingAnswer(0, 0, ())))
        payload[-1:] = bytes([NAMES_MAX + 1]) + b"\1x" * (NAMES_MAX + 1)
        self.assertRaises(Malformed, decode, bytes(payload))

    def test_a_text_that_is_not_utf8_is_malformed(self) -> None:
        payload = encode(Head(Kind.PING_ANSWER, 1, 2), PingAnswer(0, 0, ("xx",)))
        self.assertRaises(Malformed, decode, payload.replace(b"xx", b"\xff\xff"))

    def test_the_longest_lists_fit(self) -> None:
        report = Report(1, (Entry(1, 1, 1, 1, 1, 1),) * ENTRIES_MAX)
        self.assertLessEqual(len(encode(Head(Kind.REPORT, 1, 2), report)), PAYLOAD_MAX)
        ping = Ping(1, 2, tuple(range(NODES_MAX)))
        self.assertLessEqual(len(encode(Head(Kind.PING, 1, 2), ping)), PAYLOAD_MAX)
        self.assertRaises(ValueError, encode, Head(Kind.TRACE_ANSWER, 1, 2), TraceAnswer(
            1, 2, 0, takers=(Taker(0, "x" * 60),) * 64))  # fmt: skip

    def test_a_text_is_cut_at_a_sign(self) -> None:
        self.assertEqual(cut("ü" * 40), "ü" * (TEXT_MAX // 2))
        self.assertEqual(cut("x" + "ü" * 40), "x" + "ü" * (TEXT_MAX // 2 - 1))


class Packets(SynchronousTestCase):
    PAYLOAD = encode(Head(Kind.PROBE, 1, 2), probe.Probe(3))

    @given(st.binary(max_size=PAYLOAD_MAX), st.integers(1, (1 << 32) - 1))
    def test_a_payload_goes_in_and_comes_out(self, payload: bytes, source: int) -> None:
        packet = wrap(payload, source)
        header = Header.parse(packet)
        self.assertEqual((source, GROUP, TTL), (header.source, header.destination, header.ttl))
        self.assertEqual(payload, unwrap(packet))

    def test_a_damaged_one_does_not(self) -> None:
        packet = bytearray(wrap(self.PAYLOAD, 7))
        packet[-1] ^= 1
        self.assertRaises(Malformed, unwrap, packet)

    def test_nor_what_is_another_protocol_or_port_or_a_fragment(self) -> None:
        for at, value in ((9, 6), (6, 0x20), (23, PORT & 0xFF ^ 1), (25, 9)):
            packet = bytearray(wrap(self.PAYLOAD, 7))
            packet[at] = value
            packet[26:28] = b"\0\0"  # no checksum, so that it is not that
            self.assertRaises(Malformed, unwrap, packet)

    @given(st.binary(max_size=100))
    def test_noise_is_malformed(self, noise: bytes) -> None:
        self.assertRaises(Malformed, unwrap, noise)
