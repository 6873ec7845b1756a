"""Captures: what tshark reads of them, and blocks that come in pieces."""

import shutil
import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire import pcapng
from multicastmw.wire.errors import Malformed
from multicastmw.wire.pcapng import INBOUND, OUTBOUND, Block, Blocks, Counts, counts_of
from multicastmw.wire.probe import wrap

AT = 1_700_000_000_123_456_789
INNER = wrap(b"hello", 0x0A580001)


def capture(*packets: bytes) -> bytes:
    return b"".join(
        (
            pcapng.section("mcmw"), pcapng.interface("overlay", "over links", 65_535),
            pcapng.interface("here", "from here", 65_535), *packets,
            pcapng.statistics(0, AT, AT + 10**9, Counts(5, 2, 3)),
        )
    )  # fmt: skip


class Reading(SynchronousTestCase):
    skip = None if shutil.which("tshark") else "needs tshark"

    def read(self, data: bytes, *fields: str) -> list[list[str]]:
        path = Path(self.mktemp())
        path.write_bytes(data)
        options = [option for field in fields for option in ("-e", field)]
        done = subprocess.run(
            ["tshark", "-r", str(path), "-T", "fields", *options],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def test_tshark_reads_time_interface_direction_comment_and_packet(self) -> None:
        packets = (
            pcapng.packet(0, AT, INNER, len(INNER), INBOUND, b"origin a, number 7"),
            pcapng.packet(1, AT + 1, INNER[:24], len(INNER), OUTBOUND, b""),
        )
        found = self.read(capture(*packets), "frame.time_epoch", "frame.interface_name", "frame.len",
                          "frame.cap_len", "frame.comment", "ip.dst")  # fmt: skip
        self.assertEqual(2, len(found))
        self.assertEqual(
            ["1700000000.123456789", "overlay", "33", "33", "origin a, number 7", "239.255.77.68"],
            found[0][:6],
        )
        self.assertEqual(["1700000000.123456790", "here", "33", "24"], found[1][:4])

    def test_a_capture_without_packets_is_one(self) -> None:
        self.assertEqual([], self.read(capture(), "frame.number"))


class BlockTests(SynchronousTestCase):
    @given(st.lists(st.integers(1, 200), max_size=40), st.binary(max_size=70))
    def test_pieces_of_any_size_are_the_same_blocks(self, sizes: list[int], comment: bytes) -> None:
        data = capture(pcapng.packet(0, AT, INNER, len(INNER), INBOUND, comment))
        blocks, found, at = Blocks(), [], 0
        for size in [*sizes, len(data)]:
            found += blocks.feed(data[at : at + size])
            at += size
        self.assertEqual(data, b"".join(block for _, block in found))
        kinds = [Block.SECTION, Block.INTERFACE, Block.INTERFACE, Block.PACKET, Block.STATISTICS]
        self.assertEqual(kinds, [kind for kind, _ in found])

    def test_a_length_that_lies_is_malformed(self) -> None:
        for length in (0, 8, 13, 1 << 30):
            self.assertRaises(Malformed, Blocks().feed, bytes(4) + length.to_bytes(4, "little") + bytes(4))
        damaged = bytearray(pcapng.section("mcmw"))
        damaged[-4] ^= 4
        self.assertRaises(Malformed, Blocks().feed, bytes(damaged))

    def test_counts_come_back(self) -> None:
        counts = Counts(1 << 40, 7, 3)
        self.assertEqual((1, counts), counts_of(pcapng.statistics(1, AT, AT, counts)))

    @given(st.binary(max_size=200))
    def test_noise_is_malformed_or_waits(self, noise: bytes) -> None:
        try:
            Blocks().feed(noise)
        except Malformed:
            return
