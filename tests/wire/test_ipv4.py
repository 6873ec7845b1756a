"""IPv4 headers: the checksum by other hands, the mended one against a new one, and lengths that lie."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.utils import checksum as scapys_checksum
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import DONT_FRAGMENT, Header, checksum, number, set_ttl, text
from tests.wire.strategies import u16, u32

u8 = st.integers(0, 255)
modest = settings(deadline=None, derandomize=True)
options = st.integers(0, 10).flatmap(lambda words: st.binary(min_size=words * 4, max_size=words * 4))
bodies = st.binary(max_size=20)


def naive(data: bytes) -> int:
    """RFC 1071, 4.1, as it stands there."""
    total = 0
    for at in range(0, len(data) - 1, 2):
        total += data[at] << 8 | data[at + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def recomputed(header: bytes, ttl: int) -> bytes:
    """The header with this TTL and a checksum of its own."""
    blank = header[:8] + bytes((ttl, header[9], 0, 0)) + header[12:]
    return blank[:10] + naive(blank).to_bytes(2, "big") + blank[12:]


def with_checksum(wanted: int, ttl: int) -> bytes:
    """A right header of this TTL whose checksum is `wanted`: the identification gives way."""
    plain = Header(0, 20, 0, 0, ttl, 17, 0x0A580002, 0xEF010203).build()
    missing = (naive(plain[:10] + b"\0\0" + plain[12:]) - wanted) % 0xFFFF
    return recomputed(plain[:4] + missing.to_bytes(2, "big") + plain[6:], ttl)


class ChecksumTests(SynchronousTestCase):
    @settings(modest, max_examples=300)
    @given(st.binary(max_size=70))
    @example(b"")
    @example(bytes(20))
    @example(b"\xff" * 20)
    @example(b"\xff\xfe\x00\x01")
    @example(b"\xff")
    def test_it_is_that_of_the_rfc_and_of_scapy(self, data: bytes):
        self.assertEqual(checksum(data), naive(data))
        self.assertEqual(checksum(data), scapys_checksum(data))

    def test_the_rfcs_example_sums_up(self):
        self.assertEqual(checksum(bytes.fromhex("0001f203f4f5f6f7")), 0xFFFF - 0xDDF2)

    @modest
    @given(st.binary(min_size=2, max_size=64).filter(any))
    def test_over_data_with_its_checksum_it_is_zero(self, data: bytes):
        even = data + bytes(len(data) % 2)
        self.assertEqual(checksum(even + checksum(even).to_bytes(2, "big")), 0)

    def test_views_and_arrays_are_as_good_as_bytes(self):
        for data in (b"abc", b"abcd"):
            self.assertEqual(
                {checksum(data), checksum(bytearray(data)), checksum(memoryview(data))}, {naive(data)}
            )


class SetTtlTests(SynchronousTestCase):
    def test_all_ttls_after_all_ttls_are_as_if_computed_anew(self):
        for old in range(256):
            header = Header(0x88, 1400, 4711, DONT_FRAGMENT, old, 17, 0x0A580002, 0xEF010203).build()
            bare = sum(naive(header[:8] + b"\0" + header[9:10] + b"\0\0" + header[12:]).to_bytes(2, "big"), 0)
            self.assertTrue(bare)
            for new in range(256):
                packet = bytearray(header)
                set_ttl(packet, 0, new)
                if packet != recomputed(header, new):
                    self.fail(f"TTL {old} to {new}: {packet.hex()}")

    def test_checksums_at_the_ends_of_the_numbers_are_mended_as_all_others(self):
        for wanted in (0x0000, 0x0001, 0x00FF, 0x0100, 0x7FFF, 0x8000, 0xFEFF, 0xFF00, 0xFFFE):
            for old in (0, 1, 2, 127, 128, 254, 255):
                header = with_checksum(wanted, old)
                self.assertEqual((header[10:12], naive(header)), (wanted.to_bytes(2, "big"), 0))
                for new in range(256):
                    packet = bytearray(header)
                    set_ttl(packet, 0, new)
                    self.assertEqual(bytes(packet), recomputed(header, new))

    def test_a_change_can_lead_to_zero_and_from_it(self):
        for old, new in ((0, 255), (255, 0), (1, 2), (2, 1), (128, 127)):
            packet = bytearray(recomputed(with_checksum(0, new), old))
            self.assertNotEqual(packet[10:12], b"\0\0")
            set_ttl(packet, 0, new)
            self.assertEqual(packet[10:12], b"\0\0")
            set_ttl(packet, 0, old)
            self.assertEqual(bytes(packet), recomputed(with_checksum(0, new), old))

    def test_minus_zero_is_read_as_zero(self):
        for old in (0, 1, 16, 254, 255):
            header = with_checksum(0, old)
            for new in set(range(256)) - {old}:
                packet = bytearray(header)
                packet[10:12] = b"\xff\xff"
                self.assertEqual(naive(packet), 0)
                set_ttl(packet, 0, new)
                self.assertEqual(bytes(packet), recomputed(header, new))

    @modest
    @given(st.binary(min_size=20, max_size=20), u8, st.integers(0, 7))
    def test_a_wrong_checksum_stays_wrong_by_as_much(self, header: bytes, ttl: int, start: int):
        packet = bytearray(bytes(start) + header + b"end")
        set_ttl(packet, start, ttl)
        self.assertEqual(packet[start + 8], ttl)
        self.assertEqual(naive(packet[start : start + 20]) % 0xFFFF, naive(header) % 0xFFFF)
        rest = [at for at in range(len(packet)) if at - start not in (8, 10, 11)]
        before = bytes(start) + header + b"end"
        self.assertEqual([packet[at] for at in rest], [before[at] for at in rest])

    def test_the_same_ttl_touches_nothing(self):
        packet = bytearray(b"\xff" * 20)
        set_ttl(packet, 0, 255)
        self.assertEqual(packet, b"\xff" * 20)


class HeaderTests(SynchronousTestCase):
    @modest
    @given(u8, u16, u16, u8, u8, u32, u32, options, bodies)
    def test_what_is_built_is_read_as_it_was(
        self,
        tos: int,
        ident: int,
        fragment: int,
        ttl: int,
        protocol: int,
        source: int,
        group: int,
        o: bytes,
        b: bytes,
    ):
        header = Header(tos, 20 + len(o) + len(b), ident, fragment, ttl, protocol, source, group, o)
        built = header.build()
        self.assertEqual(len(built), header.size)
        self.assertEqual(naive(built), 0)
        self.assertEqual(Header.parse(built + b + b"Ethernet's padding"), header)

    @modest
    @given(u8, u16, u8, u8, u32, u32, bodies)
    def test_scapy_builds_the_same(
        self, tos: int, ident: int, ttl: int, protocol: int, source: int, group: int, body: bytes
    ):
        ours = Header(tos, 20 + len(body), ident, DONT_FRAGMENT, ttl, protocol, source, group).build()
        other = IP(
            tos=tos,
            len=20 + len(body),
            id=ident,
            flags="DF",
            ttl=ttl,
            proto=protocol,
            src=text(source),
            dst=text(group),
        )
        self.assertEqual(ours, bytes(other))

    @settings(modest, max_examples=300)
    @given(st.binary(max_size=70) | st.binary(min_size=19, max_size=66).map(lambda b: b"\x45\0\0\x14" + b))
    @example(b"\x45" + bytes(18))
    @example(b"\x45\0\0\x14" + bytes(16))
    @example(b"\x45\0\0\x13" + bytes(16))
    @example(b"\x45\0\0\x15" + bytes(16))
    @example(b"\x44\0\0\x14" + bytes(16))
    @example(b"\x46\0\0\x14" + bytes(20))
    @example(b"\x46\0\0\x18" + bytes(16))
    @example(b"\x4f\0\0\x3c" + bytes(56))
    @example(b"\x55\0\0\x14" + bytes(16))
    @example(b"\x35\0\0\x14" + bytes(16))
    def test_arbitrary_bytes_are_a_header_exactly_when_their_lengths_agree(self, packet: bytes):
        size, total = (packet[0] & 15) * 4 if packet else 0, int.from_bytes(packet[2:4], "big")
        right = (
            len(packet) >= 20
            and packet[0] >> 4 == 4
            and size >= 20
            and size <= total
            and total <= len(packet)
        )
        try:
            header = Header.parse(packet)
        except Malformed:
            self.assertFalse(right)
        else:
            self.assertTrue(right)
            self.assertEqual((header.size, header.total_length), (size, total))
            self.assertEqual(header.options, packet[20:size])

    def test_a_view_is_read_without_keeping_it(self):
        buffer = bytearray(Header(0, 24, 1, 0, 1, 2, 3, 4, b"\x94\x04\0\0").build())
        header = Header.parse(memoryview(buffer))
        buffer[20:24] = b"over"
        self.assertEqual(header.options, b"\x94\x04\0\0")


class AddressTests(SynchronousTestCase):
    @modest
    @given(u32)
    def test_an_address_survives_both_ways(self, address: int):
        self.assertEqual(number(text(address)), address)

    def test_what_is_no_address_is_an_os_error(self):
        for wrong in ("", "10.88.0", "10.88.0.256", "ff3e::1", "10.88.0.2 "):
            self.assertRaises(OSError, number, wrong)
