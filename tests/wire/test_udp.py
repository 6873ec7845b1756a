"""UDP inside IPv4: built, read, and what is refused."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire import ipv4
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import checksum
from multicastmw.wire.udp import LONGEST, Datagram

addresses = st.integers(0, 0xFFFFFFFF)
ports = st.integers(0, 0xFFFF)
datagrams = st.builds(Datagram, addresses, ports, addresses, ports, st.binary(max_size=200))


class Datagrams(SynchronousTestCase):
    @given(datagrams, st.integers(0, 255), ports)
    def test_what_is_built_is_read(self, datagram: Datagram, ttl: int, identification: int) -> None:
        packet = datagram.build(ttl, identification)
        self.assertEqual(datagram, Datagram.parse(packet))
        self.assertEqual((ttl, identification), (packet[8], packet[4] << 8 | packet[5]))

    @given(datagrams)
    def test_scapy_makes_the_same(self, datagram: Datagram) -> None:
        built = datagram.build(16)
        head = IP(src=ipv4.text(datagram.source), dst=ipv4.text(datagram.destination), ttl=16, id=0)
        theirs = head / UDP(sport=datagram.source_port, dport=datagram.port) / Raw(datagram.payload)
        self.assertEqual(bytes(theirs), built)

    @given(datagrams, st.data())
    def test_one_bit_changed_is_not_the_same_datagram(self, datagram: Datagram, data: st.DataObject) -> None:
        packet = bytearray(datagram.build(16))
        bit = data.draw(st.integers(20 * 8, len(packet) * 8 - 1))
        packet[bit // 8] ^= 1 << bit % 8
        if packet[26:28] != b"\0\0" and bit // 16 != 12:  # it claims to have no checksum, or another length
            with self.assertRaises(Malformed):
                Datagram.parse(bytes(packet))

    @given(st.binary(max_size=64))
    def test_noise_is_malformed_or_a_datagram(self, noise: bytes) -> None:
        with contextlib.suppress(Malformed):
            self.assertLessEqual(len(Datagram.parse(noise).payload), 36)

    def test_without_a_checksum(self) -> None:
        packet = bytearray(Datagram(1, 2, 3, 4, b"five").build(1))
        packet[26:28] = b"\0\0"
        self.assertEqual(b"five", Datagram.parse(bytes(packet)).payload)

    def test_a_checksum_of_0_is_written_as_its_other_form(self) -> None:
        found = (Datagram(0x0A580001, 9875, 0xE0027FFE, 9875, n.to_bytes(2, "big")) for n in range(1 << 16))
        zero = next(datagram for datagram in found if datagram.build(1)[26:28] == b"\xff\xff")
        packet = zero.build(1)
        self.assertEqual(zero, Datagram.parse(packet))
        self.assertEqual(0, checksum(packet[:20]))

    def test_what_is_refused(self) -> None:
        packet = Datagram(1, 2, 3, 4, b"five").build(1)
        tcp = bytearray(packet)
        tcp[9] = 6
        fragment = bytearray(packet)
        fragment[6] = 0x20
        for bad in (packet[:19], packet[:27], bytes(tcp), bytes(fragment)):
            with self.assertRaises(Malformed):
                Datagram.parse(bad)
        for length in (7, 13, 0xFFFF):
            lies = bytearray(packet)
            lies[24:26] = length.to_bytes(2, "big")
            with self.assertRaises(Malformed):
                Datagram.parse(bytes(lies))
        with self.assertRaises(ValueError):
            Datagram(1, 2, 3, 4, bytes(LONGEST + 1)).build(1)
