"""The monitor of streams: payloads of all kinds, as they may pass.

Steps: 0 a payload as it is, 1 one behind an RTP header that goes on, 2 packets of a film, 3 time,
4 a section whose check sum is mended, 5 what the way does: loses, repeats.
"""

from collections.abc import Iterable
from struct import pack

from multicastmw.cli.rtp import Farewell, Packet
from multicastmw.core.health.monitor import STREAMS_MAX
from multicastmw.core.health.transport import PIDS_MAX
from multicastmw.wire.mpegts import PACKET, crc
from tests.core.health.passing import Passing
from tests.fuzz.target import Target, script, steps

PAT = bytes.fromhex("00b00d0001c100000001f000")
PMT = bytes.fromhex("02b0170001c10000e100f0001be100f00006e101f0026a00")


def mended(section: bytes) -> bytes:
    """The same with its length and check sum right."""
    section = section.ljust(8, b"\0")[:1000]
    head = section[:1] + pack("!H", 0xB000 | len(section) + 1) + section[3:]
    return head + crc(head)


class Health(Target):
    """What peers and programs send, for the monitor."""

    longest = 2048

    def seeds(self) -> Iterable[bytes]:
        yield script((4, b"\0\0" + PAT), (4, b"\x10\0" + PMT), (2, b"\x47\x01\0\x10" * 3), (3, b"\x40"))
        yield script(*((1, b"film") for _ in range(5)), (5, b"\1"), (1, b"x"), (5, b"\2"), (1, b"x"))
        yield script((0, Farewell(1, 2, 3).build(0, 0, b"x")), (0, Packet(1, 2, 3, b"x").build()))
        yield script((2, b"\x47\x01\0\x30\x07\x10" + bytes(6)), (3, b"\xff"), (2, b"\x46" * 400))

    def __call__(self, data: bytes) -> None:
        self.passing = Passing()
        self.at, self.number, self.way = 0.0, 0, 0
        for what, with_ in steps(data):
            match what % 6:
                case 0:
                    self.comes(with_)
                case 1:
                    self.number += 1 + what // 128
                    self.comes(Packet(self.number, self.number * 3000, 7, with_).build())
                case 2:
                    self.comes(b"".join(with_[at : at + PACKET].ljust(PACKET, b"\xff")
                                        for at in range(0, len(with_), PACKET)) * 5)  # fmt: skip
                case 3:
                    self.at += (with_[0] if with_ else 1) / 50
                case 4 if len(with_) > 2:
                    head = b"\x47" + bytes((0x40 | with_[0] & 0x1F, with_[1], 0x10 | what // 6 & 15, 0))
                    packet = (head + mended(with_[2:])).ljust(PACKET, b"\xff")[:PACKET]
                    self.comes(packet * 5)
                case 5:
                    self.way = with_[0] if with_ else 0
        for status in self.passing.statuses(1.0):
            assert status.source_errors >= 0 and status.way_errors >= 0, status
            assert status.transport is None or status.transport.pids_known <= PIDS_MAX
        assert len(self.passing.statuses()) <= STREAMS_MAX

    def comes(self, payload: bytes) -> None:
        self.at += 0.001
        message = self.passing.send(payload[:60_000], self.at)
        if self.way & 3 == 1:
            self.way = 0
            return
        self.passing.arrive(message, self.at)
        if self.way & 3 == 2:
            self.passing.arrive(message, self.at)
