"""RTP and RTCP: bytes, values, and scapy's opinion."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from multicastmw.cli.rtp import PT_MP2T, Farewell, NotRtp, Packet

words = st.integers(0, (1 << 32) - 1)
packets = st.builds(
    Packet,
    sequence=st.integers(0, 65535),
    timestamp=words,
    ssrc=words,
    payload=st.binary(max_size=1316),
    marker=st.booleans(),
    payload_type=st.integers(0, 127),
    sent_ns=st.none(),
    number=st.none(),
)
stamped = st.builds(
    lambda packet, sent, number: packet._replace(sent_ns=sent, number=number),
    packets, st.integers(0, (1 << 64) - 1), words,
)  # fmt: skip


class PacketTests(TestCase):
    @given(packets | stamped)
    def test_what_is_built_is_read_again(self, packet: Packet) -> None:
        self.assertEqual(Packet.parse(packet.build()), packet)

    def test_the_drawing_is_what_is_built(self) -> None:
        packet = Packet(1, 2, 3, b"\x47", sent_ns=0x1122334455667788, number=9)
        self.assertEqual(
            packet.build().hex(" ", -4),
            "90210001 00000002 00000003 bede0004 1b112233 44556677 88000000 09000000 47",
        )

    def test_a_film_packet_fits_the_overlays_mtu(self) -> None:
        packet = Packet(0, 0, 0, bytes(7 * 188), sent_ns=0, number=0)
        self.assertLessEqual(20 + 8 + len(packet.build()), 1412)

    def test_scapy_reads_the_same(self) -> None:
        from scapy.layers.rtp import RTP

        packet = Packet(4711, 90_000, 0xCAFE, b"film", sent_ns=77, number=8)
        seen = RTP(packet.build())
        self.assertEqual((seen.version, seen.sequence, seen.timestamp, seen.sourcesync, seen.payload_type),
                         (2, 4711, 90_000, 0xCAFE, PT_MP2T))  # fmt: skip
        self.assertEqual(bytes(seen.payload.payload)[-4:], b"film")

    def test_sources_padding_and_other_extensions_are_stepped_over(self) -> None:
        head = bytes.fromhex("b1a1 0001 00000002 00000003 00000004")  # one CSRC, padding, extension
        other = bytes.fromhex("bede 0002 00 10ff 21aabb 000000")[:12]
        packet = Packet.parse(head + other + b"film" + b"\0\0\3")
        self.assertEqual((packet.payload, packet.marker, packet.sent_ns), (b"film", True, None))

    @given(st.binary(max_size=80))
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        for kind in (Packet, Farewell):
            with contextlib.suppress(NotRtp):
                kind.parse(data)

    @given(stamped, st.integers(0, 40))
    def test_a_header_that_is_cut_off_is_refused(self, packet: Packet, size: int) -> None:
        size = min(size, len(packet.build()) - len(packet.payload) - 1)
        self.assertRaises(NotRtp, Packet.parse, packet.build()[:size])


class FarewellTests(TestCase):
    @given(st.builds(Farewell, words, words, words), st.binary(max_size=255))
    def test_the_counts_come_through(self, farewell: Farewell, name: bytes) -> None:
        data = farewell.build(1_700_000_000_500_000_000, 90_000, name)
        self.assertEqual(len(data) % 4, 0)
        self.assertEqual(Farewell.parse(data), farewell)

    def test_half_a_second_is_half_of_the_fraction(self) -> None:
        data = Farewell(1, 2, 3).build(500_000_000, 7, b"a")
        self.assertEqual(data[8:20].hex(), "83aa7e808000000000000007")

    def test_a_report_without_a_bye_is_no_farewell(self) -> None:
        data = Farewell(1, 2, 3).build(0, 0, b"a")
        self.assertIsNone(Farewell.parse(data[:-8]))

    def test_a_cut_off_packet_is_refused(self) -> None:
        data = Farewell(1, 2, 3).build(0, 0, b"a")
        self.assertRaises(NotRtp, Farewell.parse, data[:-2])
