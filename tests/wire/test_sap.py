"""SAP packets: built and read, what is refused, and bombs."""

import contextlib
import zlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire import sap
from multicastmw.wire.errors import Malformed
from multicastmw.wire.sap import LONGEST_PAYLOAD, Announcement, hash_of

PAYLOAD = b"v=0\r\no=- 1 1 IN IP4 10.88.0.1\r\ns=News\r\n"
SOURCE = bytes((10, 88, 0, 1))
kinds = st.sampled_from(["application/sdp", "application/x-other", "text/plain"])
announcements = st.builds(
    Announcement,
    st.integers(0, 0xFFFF),
    st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
    st.binary(min_size=1, max_size=300).filter(lambda body: not body.startswith((b"v=0", b"o="))),
    kinds,
    st.booleans(),
)


def packet(flags: int = 0x20, words: int = 0, number: int = 1, rest: bytes = SOURCE + PAYLOAD) -> bytes:
    return bytes((flags, words)) + number.to_bytes(2, "big") + rest


class Packets(SynchronousTestCase):
    @given(announcements, st.booleans())
    def test_what_is_built_is_read(self, announcement: Announcement, compressed: bool) -> None:
        announcement = announcement._replace(encrypted=False)
        self.assertEqual(announcement, Announcement.parse(announcement.build(compressed)))

    @given(
        st.binary(max_size=64) | st.binary(max_size=200).map(lambda body: packet(0x21, rest=SOURCE + body))
    )
    def test_noise_is_malformed_or_an_announcement(self, noise: bytes) -> None:
        with contextlib.suppress(Malformed):
            found = Announcement.parse(noise)
            self.assertTrue(found.payload or found.encrypted)

    def test_as_the_specification_draws_it(self) -> None:
        self.assertEqual(
            bytes.fromhex("2000abcd0a580001") + b"application/sdp\0" + PAYLOAD,
            Announcement(0xABCD, SOURCE, PAYLOAD).build(),
        )

    def test_sdp_needs_no_type_and_a_deletion_may_be_a_line(self) -> None:
        self.assertEqual(Announcement(1, SOURCE, PAYLOAD), Announcement.parse(packet()))
        line = b"o=- 1 1 IN IP4 10.88.0.1\r\n"
        found = Announcement.parse(packet(0x24, rest=SOURCE + line))
        self.assertEqual(Announcement(1, SOURCE, line, deletion=True), found)

    def test_authentication_data_are_skipped(self) -> None:
        found = Announcement.parse(packet(words=3, rest=SOURCE + bytes(12) + PAYLOAD))
        self.assertEqual(Announcement(1, SOURCE, PAYLOAD), found)

    def test_an_ipv6_source(self) -> None:
        source = bytes(range(16))
        self.assertEqual(source, Announcement.parse(packet(0x30, rest=source + PAYLOAD)).source)

    def test_what_is_encrypted_is_not_looked_into(self) -> None:
        found = Announcement.parse(packet(0x22, rest=SOURCE + b"\xff\x00noise"))
        self.assertEqual(Announcement(1, SOURCE, b"", "", encrypted=True), found)

    def test_the_reserved_bit_means_nothing(self) -> None:
        self.assertEqual(PAYLOAD, Announcement.parse(packet(0x28)).payload)

    def test_what_is_refused(self) -> None:
        long = b"v=0\r\n" + bytes(LONGEST_PAYLOAD)
        for why, bad in {
            "no SAP packet": b"\x20\0\0",
            "SAP version 0": packet(0),
            "SAP version 2": packet(0x40),
            "begins at 1028": packet(words=255),
            "begins at 8": packet(rest=SOURCE),
            "begins at 20": packet(0x30, rest=bytes(16)),
            "neither SDP": packet(rest=SOURCE + b"hello"),
            "neither": packet(rest=SOURCE + b"application/sdp\0"),
            "payload type b''": packet(rest=SOURCE + b"\0" + PAYLOAD),
            "payload type b'sdp'": packet(rest=SOURCE + b"sdp\0" + PAYLOAD),
            "payload type b'a/\\xc3": packet(rest=SOURCE + "a/ä".encode() + b"\0" + PAYLOAD),
            "payload type b'a/\\x1b": packet(rest=SOURCE + b"a/\x1b[2J\0" + PAYLOAD),
            "payload of": packet(rest=SOURCE + long),
            "does not decompress": packet(0x21),
            "cut off": packet(0x21, rest=SOURCE + zlib.compress(PAYLOAD)[:-3]),
        }.items():
            with self.assertRaises(Malformed) as caught:
                Announcement.parse(bad)
            if why != "payload type b''":
                self.assertIn(why, str(caught.exception))

    def test_a_bomb_is_not_unpacked(self) -> None:
        """64 MB of nothing in 64 kB: what is unpacked ends a byte behind the bound."""
        bomb = packet(0x21, rest=SOURCE + zlib.compress(b"v=0\r\n" + bytes(64 << 20), 9))
        self.assertLess(len(bomb), 70_000)
        before = sap.zlib.decompressobj
        longest = []

        class Watched:
            def __init__(self) -> None:
                self.real = before()

            def decompress(self, body: bytes, most: int) -> bytes:
                found = self.real.decompress(body, most)
                longest.append(len(found))
                return found

        self.patch(sap.zlib, "decompressobj", Watched)
        with self.assertRaises(Malformed):
            Announcement.parse(bomb)
        self.assertEqual([LONGEST_PAYLOAD + 1], longest)

    @given(st.binary(), st.binary())
    def test_a_hash_is_never_0_which_vlc_would_drop(self, one: bytes, other: bytes) -> None:
        self.assertTrue(0 < hash_of(one) <= 0xFFFF)
        self.assertEqual(hash_of(one), hash_of(bytes(one)))
