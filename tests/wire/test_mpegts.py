"""Tables, clocks and texts of transport streams, and tshark's opinion of a film."""

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

from multicastmw.wire import dvbtext
from multicastmw.wire.errors import Malformed
from multicastmw.wire.mpegts import (
    PACKET,
    PROGRAMMES_MAX,
    STREAMS_MAX,
    WRAP,
    Elementary,
    Service,
    clock_reference,
    codec,
    crc,
    crc_is_right,
    descriptors,
    has_clock_reference,
    parse_pat,
    parse_pmt,
    parse_sdt,
    parse_section,
    sync_bytes,
)
from tests.core.health.film import film, pid_of, why_not

TSHARK = shutil.which("tshark")


def section(
    table: int, identity: int, body: bytes, version: int = 3, number: int = 0, last: int = 0
) -> bytes:
    size = 5 + len(body) + 4
    head = bytes((table, 0xB0 | size >> 8, size & 255)) + identity.to_bytes(2, "big")
    head += bytes((0xC1 | version << 1, number, last)) + body
    return head + crc(head)


class SyncTests(SynchronousTestCase):
    def test_whole_packets_in_sync_are_counted(self) -> None:
        ts = b"\x47" + bytes(PACKET - 1)
        for packets, count in ((ts, 1), (ts * 7, 7), (ts[:-1], 0), (ts + b"X" + ts[1:], 0), (b"", 0)):
            self.assertEqual(count, sync_bytes(packets, 0, len(packets)))
            self.assertEqual(count, sync_bytes(b"head" + packets + b"tail", 4, 4 + len(packets)))


class SectionTests(SynchronousTestCase):
    def test_the_check_sum_of_a_pat_that_is_on_air_everywhere(self) -> None:
        pat = bytes.fromhex("00b00d0001c100000001f0002ab104b2")  # ffmpeg's, and in many a text
        self.assertTrue(crc_is_right(pat))
        self.assertEqual({1: 0x1000}, parse_pat(parse_section(pat).body))

    @given(st.binary(max_size=300))
    def test_the_check_sum_is_that_of_the_definition(self, data: bytes) -> None:
        register = 0xFFFFFFFF
        for byte in data:  # ISO/IEC 13818-1, annex A
            register ^= byte << 24
            for _ in range(8):
                register = register << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if register & 0x80000000 else 0)
        self.assertEqual(register.to_bytes(4, "big"), crc(data))
        self.assertTrue(crc_is_right(data + crc(data)))

    @given(st.binary(max_size=200), st.integers(0, 31), st.integers(0, 65535))
    def test_what_is_built_is_read(self, body: bytes, version: int, identity: int) -> None:
        found = parse_section(section(2, identity, body, version))
        self.assertEqual((2, identity, version, True, 0, 0, body), found)

    @given(st.binary(max_size=60), st.integers(0, 500))
    def test_one_wrong_bit_is_noticed(self, body: bytes, at: int) -> None:
        right = bytearray(section(2, 1, body))
        right[at // 8 % len(right)] ^= 1 << at % 8
        self.assertRaises(Malformed, parse_section, bytes(right))

    @given(st.binary(max_size=100))
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        for parse in (parse_section, parse_pat, parse_pmt, parse_sdt, lambda data: list(descriptors(data))):
            with contextlib.suppress(Malformed):
                parse(data)  # type: ignore[operator]
        dvbtext.decode(data)

    def test_tables_are_bounded(self) -> None:
        many = b"".join(bytes((n >> 8, n & 255, 0xE1, 0)) for n in range(1, 1000))
        self.assertEqual(PROGRAMMES_MAX, len(parse_pat(many)))
        streams = b"\xe1\0\xf0\0" + b"\x1b\xe1\0\xf0\0" * 500
        self.assertEqual(STREAMS_MAX, len(parse_pmt(streams).streams))


class TableTests(SynchronousTestCase):
    def test_the_networks_entry_is_no_programme(self) -> None:
        self.assertEqual({7: 0x123}, parse_pat(bytes.fromhex("0000e010 0007e123")))

    def test_streams_of_a_programme(self) -> None:
        body = bytes.fromhex("e100 f000 1be100f000 0fe101f006 0a04656e6700 06e102f003 6a0100 06e103f002 5900")
        found = parse_pmt(body)
        self.assertEqual(0x100, found.pcr_pid)
        self.assertEqual(
            [(0x100, "H.264"), (0x101, "AAC"), (0x102, "AC-3"), (0x103, "subtitles")],
            [(each.pid, each.codec) for each in found.streams],
        )

    def test_a_programme_without_a_clock_reads_alike(self) -> None:
        self.assertEqual((), parse_pmt(bytes.fromhex("ffff f000")).streams)

    def test_private_data_is_what_descriptors_say(self) -> None:
        for described, name in {
            "5600": "teletext", "6a00": "AC-3", "7a00": "E-AC-3", "7b00": "DTS", "7f0115": "AC-4",
            "05044f707573": "Opus", "050445414333": "E-AC-3", "05044b4c5641": "KLV",
            "": "data", "0a00": "data",
            "050443554549": "SCTE-35",
        }.items():  # fmt: skip
            self.assertEqual(name, codec(6, bytes.fromhex(described)), described)
        self.assertEqual("type 0x9a", codec(0x9A, b""))

    def test_sound_and_pictures_are_continuous(self) -> None:
        for name, is_continuous in (("H.264", True), ("AAC", True), ("AC-3", True), ("teletext", False),
                                    ("subtitles", False), ("data", False), ("SCTE-35", False)):  # fmt: skip
            self.assertEqual(is_continuous, Elementary(1, 0, name).is_continuous, name)

    def test_names(self) -> None:
        described = b"\x48" + bytes((3 + 5 + 7,)) + b"\x01\x05Unibe\x07Berne 1"
        body = b"\0\1\xff" + b"\0\7\xfc" + (0x8000 | len(described)).to_bytes(2, "big") + described
        self.assertEqual({7: Service("Berne 1", "Unibe")}, parse_sdt(body))


class TextTests(SynchronousTestCase):
    def test_tables_of_characters(self) -> None:
        for data, text in {
            b"Berne 1": "Berne 1",
            b"Z\xc8urich": "Zürich",
            b"\xc2Etoile \xa4": "Étoile €",
            b"Stra\xfbe \xf1 \xcfs": "Straße æ š",
            b"\x01\xbf\xd5\xe0\xd2\xeb\xd9": "Первый",
            b"\x05T\xfcrk\xe7e": "Türkçe",
            b"\x10\0\x02Pol\xb6ka": "Polśka",
            b"\x11\x04\x1f": "П",
            b"\x15Z\xc3\xbcrich": "Zürich",
            b"\x12\xc7\xd1": "한",
            b"\x13\xd6\xd0": "中",
            b"\x14\xa4\xa4": "中",
            b"\x86Berne\x87": "Berne",
            b"\x1f\x01abc": "",
            b"\x10\0\x0cabc": "",
            b"\x10": "",
            b"": "",
        }.items():  # fmt: skip
            self.assertEqual(text, dvbtext.decode(data), data)

    @given(st.binary(max_size=300))
    def test_no_text_has_controls_or_no_end(self, data: bytes) -> None:
        text = dvbtext.decode(data)
        self.assertLessEqual(len(text), dvbtext.LONGEST)
        self.assertEqual(set(), {sign for sign in text if ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0})


class ClockTests(SynchronousTestCase):
    @given(st.integers(0, WRAP - 1))
    def test_a_clock_reference_is_read_as_it_was_written(self, clock: int) -> None:
        base, extension = divmod(clock, 300)
        packet = b"\x47\x01\0\x30\x07\x10" + (base << 15 | 0x7E00 | extension).to_bytes(6, "big") + bytes(176)
        self.assertTrue(has_clock_reference(packet, 0))
        self.assertEqual(clock, clock_reference(packet, 0))


class TsharkTests(SynchronousTestCase):
    skip = why_not() or (None if TSHARK else "tshark is not installed")

    def test_tshark_reads_the_same_packets(self) -> None:
        datagrams = film().datagrams()[:400]
        names = ("mp2t.pid", "mp2t.cc", "mp2t.tei", "mp2t.pusi", "mp2t.afc", "mp2t.af.pcr")
        with TemporaryDirectory() as folder:
            capture = str(Path(folder, "film.pcap"))
            head = (
                Ether(dst="01:00:5e:01:01:01")
                / IP(src="10.0.0.1", dst="239.1.1.1")
                / UDP(sport=1, dport=5004)
            )
            wrpcap(capture, [head / Raw(payload) for _, payload in datagrams])
            fields = [argument for name in names for argument in ("-e", name)]
            command = [str(TSHARK), "-r", capture, "-d", "udp.port==5004,mp2t", "-T", "fields", *fields]
            said = subprocess.run(
                [*command, "-E", "occurrence=a", "-E", "aggregator=|"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        seen: list[tuple[int, int]] = []
        clocks: list[int] = []
        for line in said.splitlines():
            cells = line.split("\t")
            pids, counters = ([int(cell, 0) for cell in cells[column].split("|")] for column in (0, 1))
            seen += zip(pids, counters, strict=True)
            clocks += [int(cell, 0) for cell in cells[5].split("|") if cell]
        packets = [
            payload[at : at + PACKET] for _, payload in datagrams for at in range(0, len(payload), PACKET)
        ]
        self.assertEqual(seen, [(pid_of(packet), packet[3] & 15) for packet in packets])
        ours = [clock_reference(packet, 0) for packet in packets if has_clock_reference(packet, 0)]
        self.assertEqual(clocks, ours)
