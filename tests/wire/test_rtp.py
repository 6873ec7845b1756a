"""RTP and RTCP, and tshark's opinion of them."""

import contextlib
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.rtp import Farewell, Packet
from multicastmw.wire.errors import Malformed
from multicastmw.wire.rtp import is_rtcp, parse_rtcp, payload_end, payload_start

TSHARK = shutil.which("tshark")
SOURCES, EXTENSION = bytes(8), bytes.fromhex("bede 0002 10ff 21aa bb00 0000")


def with_everything(payload: bytes, padding: int = 3) -> bytes:
    """Two CSRCs, an extension, a payload, padding."""
    head = bytes.fromhex("b2a1 0001 00000002 00000003")
    return head + SOURCES + EXTENSION + payload + bytes(padding - 1) + bytes((padding,))


class HeaderTests(SynchronousTestCase):
    def test_the_payload_is_behind_sources_and_extension_and_before_the_padding(self) -> None:
        data = b"??" + with_everything(b"film")
        begin = payload_start(data, 2, len(data))
        self.assertEqual(b"film", data[begin : payload_end(data, 2, len(data), begin)])

    def test_what_lies_is_refused(self) -> None:
        whole = with_everything(b"film")
        for size in range(12 + len(SOURCES) + len(EXTENSION)):
            self.assertRaises(Malformed, payload_start, whole, 0, size)
        for padding in (0, 200):
            lying = whole[:-1] + bytes((padding,))
            begin = payload_start(lying, 0, len(lying))
            self.assertRaises(Malformed, payload_end, lying, 0, len(lying), begin)

    @given(st.binary(max_size=100), st.integers(0, 10))
    def test_any_bytes_are_read_or_refused(self, data: bytes, start: int) -> None:
        start = min(start, len(data))
        with contextlib.suppress(Malformed):
            begin = payload_start(data, start, len(data))
            end = payload_end(data, start, len(data), begin)
            self.assertLessEqual(start + 12, begin)
            self.assertLessEqual(begin, end)
            self.assertLessEqual(end, len(data))
        with contextlib.suppress(Malformed):
            parse_rtcp(data)


class RtcpTests(SynchronousTestCase):
    def test_a_senders_report_with_its_name_and_a_bye(self) -> None:
        data = Farewell(7, 1000, 1_316_000).build(500_000_000, 45_000, b"studio@berne")
        found = parse_rtcp(data)
        self.assertEqual((7, 1000, 1_316_000, 45_000, "studio@berne", True), (
            found.ssrc, found.packets, found.octets, found.timestamp, found.cname, found.bye))  # fmt: skip
        self.assertEqual((2_208_988_800 << 32) + (1 << 31), found.ntp)

    def test_what_others_say_in_it_is_not_the_senders(self) -> None:
        mine = Farewell(7, 1000, 0).build(0, 0, b"mine")[:-8]
        other = Farewell(8, 5, 0).build(0, 0, b"other")
        found = parse_rtcp(mine + other)
        self.assertEqual((7, 1000, "mine", False), (found.ssrc, found.packets, found.cname, found.bye))

    def test_a_receivers_report_counts_nothing(self) -> None:
        self.assertIsNone(parse_rtcp(bytes.fromhex("80c90001 00000007")).packets)

    def test_rtp_is_not_rtcp(self) -> None:
        data = Packet(1, 2, 3, b"x").build()
        self.assertFalse(is_rtcp(data, 0, len(data)))

    def test_what_is_cut_off_is_refused(self) -> None:
        data = Farewell(7, 1000, 0).build(0, 0, b"x")
        for size in (0, 3, 7, 20, len(data) - 1):
            self.assertRaises(Malformed, parse_rtcp, data[:size])


class TsharkTests(SynchronousTestCase):
    if TSHARK is None:
        skip = "tshark is not installed"

    def tshark(self, kind: str, data: bytes, *names: str) -> list[str]:
        with TemporaryDirectory() as folder:
            capture = str(Path(folder, "one.pcap"))
            head = (
                Ether(dst="01:00:5e:01:01:01")
                / IP(src="10.0.0.1", dst="239.1.1.1")
                / UDP(sport=9, dport=5004)
            )
            wrpcap(capture, [head / Raw(data)])
            fields = [argument for name in names for argument in ("-e", name)]
            command = [str(TSHARK), "-r", capture, "-d", f"udp.port==5004,{kind}", "-T", "fields", *fields]
            return (
                subprocess.run(command, check=True, capture_output=True, text=True)
                .stdout.strip("\n")
                .split("\t")
            )

    def test_tshark_finds_the_same_payload(self) -> None:
        data = with_everything(b"film")
        self.assertEqual(
            ["33", "1", "2", "0x00000003", "66696c6d", "3"],
            self.tshark("rtp", data, "rtp.p_type", "rtp.seq", "rtp.timestamp", "rtp.ssrc", "rtp.payload",
                        "rtp.padding.count"),
        )  # fmt: skip
        begin = payload_start(data, 0, len(data))
        self.assertEqual(b"film", data[begin : payload_end(data, 0, len(data), begin)])

    def test_tshark_finds_the_same_counts(self) -> None:
        data = Farewell(7, 1000, 1_316_000).build(500_000_000, 45_000, b"studio")
        found = parse_rtcp(data)
        said = self.tshark(
            "rtcp",
            data,
            "rtcp.sender.packetcount",
            "rtcp.sender.octetcount",
            "rtcp.timestamp.rtp",
            "rtcp.sdes.text",
        )
        self.assertEqual([f"{found.packets}", f"{found.octets}", f"{found.timestamp}", found.cname], said)
