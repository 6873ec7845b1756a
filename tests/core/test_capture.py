"""What a capture writes down of the packets that pass."""

import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.capture import Capture
from multicastmw.core.packet import Packet
from multicastmw.wire.data import IPV4, IPV6, SEALED, build
from multicastmw.wire.ipv4 import Header
from multicastmw.wire.pcapng import Block, Blocks, Counts, counts_of
from multicastmw.wire.probe import wrap

OURS, OTHERS = 0xA000_0000_0000_0001, 0xB000_0000_0000_0002
INNER = wrap(b"hello", 0x0A580001)
AHEAD = 1_700_000_000_000_000_000
START = 50.0


def packet(origin: int, sequence: int, kind: int = IPV4, hop_limit: int = 9, inner: bytes = INNER) -> Packet:
    message = build(inner, token=0, origin=origin, group=1, source=2, sequence=sequence, packet_type=kind)
    found = Packet()
    found.buffer[: len(message)] = message
    found.length, found.kind, found.hop_limit, found.now = len(inner), kind, hop_limit, START + sequence
    return found


class CaptureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.room = 1 << 20
        self.out: list[bytes] = []
        self.capture = self.make(1_000)

    def make(self, snaplen: int) -> Capture:
        made = Capture(snaplen, OURS, lambda node: (f"100% {node >> 60:x}", "b"), self.put, AHEAD, START)
        made.begin("a", "mcmw")
        return made

    def put(self, block: bytes) -> bool:
        if len(block) > self.room:
            return False
        self.out.append(block)
        return True

    def blocks(self) -> list[tuple[int, bytes]]:
        return Blocks().feed(b"".join(self.out))

    def counts(self) -> list[tuple[int, Counts]]:
        return [counts_of(block) for kind, block in self.blocks() if kind == Block.STATISTICS]

    def test_tshark_reads_where_each_is_from(self) -> None:
        if not shutil.which("tshark"):
            self.skipTest("needs tshark")
        self.capture.deliver(packet(OTHERS, 7))
        self.capture.deliver(packet(OURS, 8, hop_limit=16))
        self.capture.tick(START + 9)
        path = Path(self.mktemp())
        path.write_bytes(b"".join(self.out))
        fields = ("frame.time_epoch", "frame.interface_name", "frame.comment", "ip.ttl", "ip.checksum.status")
        done = subprocess.run(
            ["tshark", "-r", str(path), "-o", "ip.check_checksum:TRUE", "-T", "fields",
             *(option for field in fields for option in ("-e", field))],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        self.assertEqual(
            [
                ["1700000057.000000000", "overlay", "origin 100% b, from b, number 7, hop limit 9", "9", "1"],
                [
                    "1700000058.000000000",
                    "here",
                    "origin 100% a, from here, number 8, hop limit 16",
                    "16",
                    "1",
                ],
            ],
            [line.split("\t") for line in done.stdout.splitlines()],
        )

    def test_what_is_delivered_stays_as_it_is(self) -> None:
        given = packet(OTHERS, 1)
        before = bytes(given.buffer)
        self.capture.deliver(given)
        self.assertEqual(before, bytes(given.buffer))

    def test_no_more_than_the_snaplen_is_kept_and_the_length_is_told(self) -> None:
        self.out.clear()
        self.capture = self.make(24)
        self.capture.deliver(packet(OTHERS, 1))
        block = self.blocks()[-1][1]
        self.assertEqual(
            (24, len(INNER)), tuple(int.from_bytes(block[at : at + 4], "little") for at in (20, 24))
        )
        self.assertEqual(9, Header.parse(block[28:52] + bytes(40)).ttl)

    def test_what_finds_no_room_is_counted(self) -> None:
        self.capture.deliver(packet(OTHERS, 1))
        self.room = 0
        for number in range(5):
            self.capture.deliver(packet(OTHERS, number))
        self.room = 1 << 20
        self.capture.tick(START + 1)
        self.assertEqual([(0, Counts(6, 5, 1)), (1, Counts(0, 0, 0))], self.counts())

    def test_it_is_told_once_a_second(self) -> None:
        for tenth in range(31):
            if self.capture.deadline() <= START + tenth / 10:
                self.capture.tick(START + tenth / 10)
        self.assertEqual(2 * 4, len(self.counts()))

    def test_ipv6_goes_in_and_what_is_sealed_does_not(self) -> None:
        self.capture.deliver(packet(OTHERS, 1, IPV6, inner=b"\x60" + bytes(50)))
        self.capture.deliver(packet(OTHERS, 2, SEALED, inner=b"?" * 50))
        self.capture.tick(START + 3)
        self.assertEqual(Counts(2, 1, 1), self.counts()[0][1])

    def test_noise_is_written_as_it_is(self) -> None:
        for inner in (b"x", b"\0" * 19, b"\x45" + b"\xff" * 40):
            self.capture.deliver(packet(OTHERS, 1, inner=inner))
        self.assertEqual(3, sum(kind == Block.PACKET for kind, _ in self.blocks()))
