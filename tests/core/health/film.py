"""A transport stream that a real ffmpeg made, and what can be done to it.

It is made once a test run.  A `Film` is a list of packets with the time at which each is due; what damages it
gives another one, whose untouched packets are the same.
"""

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from subprocess import run
from typing import NamedTuple

from multicastmw.cli.film import NoFfmpeg, find_ffmpeg
from multicastmw.cli.mpegts import Timeline
from multicastmw.wire.mpegts import CLOCK, NULL_PID, PACKET, WRAP, clock_reference, has_clock_reference

NAME, PROVIDER = "Berne 1", "Unibe"
SECONDS = 9
VIDEO, AUDIO = 0x100, 0x101
PER_DATAGRAM = 7


def why_not() -> str | None:
    try:
        find_ffmpeg()
    except NoFfmpeg as error:
        return str(error)
    return None


@lru_cache
def transport_stream(*options: str) -> bytes:
    """The file's bytes; `options` come before the output's name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.ts")
        command = [
            find_ffmpeg(), "-nostdin", "-v", "error", "-f", "lavfi",
            "-i", f"testsrc2=size=176x144:rate=25:d={SECONDS}", "-f", "lavfi",
            "-i", f"sine=frequency=440:duration={SECONDS}", "-c:v", "mpeg2video", "-b:v", "400k",
            "-g", "12", "-c:a", "mp2", "-b:a", "96k", "-metadata", f"service_name={NAME}",
            "-metadata", f"service_provider={PROVIDER}", "-muxrate", "900k", "-pcr_period", "20",
            *options, "-f", "mpegts", str(path),
        ]  # fmt: skip
        run(command, check=True)
        return path.read_bytes()


class Film(NamedTuple):
    """Packets, and when each is due."""

    packets: tuple[bytes, ...]
    due: tuple[float, ...]

    def datagrams(self) -> list[tuple[float, bytes]]:
        """Seven packets each, with the time of the first."""
        return [
            (self.due[at], b"".join(self.packets[at : at + PER_DATAGRAM]))
            for at in range(0, len(self.packets) - PER_DATAGRAM + 1, PER_DATAGRAM)
        ]

    def find(self, wanted: Callable[[bytes], bool], after: float) -> int:
        """The first such packet that is due then or later."""
        return next(
            at
            for at, (packet, due) in enumerate(zip(self.packets, self.due, strict=True))
            if due >= after and wanted(packet)
        )

    def put(self, at: int, packet: bytes) -> "Film":
        """Another packet in its place."""
        return self._replace(packets=(*self.packets[:at], packet, *self.packets[at + 1 :]))

    def without(self, at: int) -> "Film":
        """This one is never sent; what follows moves up."""
        return Film((*self.packets[:at], *self.packets[at + 1 :]), (*self.due[:at], *self.due[at + 1 :]))

    def changed(self, change: Callable[[bytes, float], bytes]) -> "Film":
        return self._replace(
            packets=tuple(change(packet, due) for packet, due in zip(self.packets, self.due, strict=True))
        )


@lru_cache
def film(*options: str) -> Film:
    content = transport_stream(*options)
    due = tuple(Timeline(content).due(1))
    packets = tuple(content[at : at + PACKET] for at in range(0, len(content) - PACKET + 1, PACKET))
    return Film(packets, due[: len(packets)])


NULL = b"\x47\x1f\xff\x10" + b"\xff" * 184


def pid_of(packet: bytes) -> int:
    return (packet[1] & 0x1F) << 8 | packet[2]


def is_plain(packet: bytes, pid: int) -> bool:
    """A payload and nothing else, and no beginning of anything."""
    return pid_of(packet) == pid and packet[3] & 0x30 == 0x10 and not packet[1] & 0x40


def withheld(whole: Film, pid: int, begin: float, end: float) -> Film:
    """A multiplexer that sends nothing of this PID for a while, and counts on as if that was all."""
    missing = 0

    def change(packet: bytes, due: float) -> bytes:
        nonlocal missing
        if pid_of(packet) != pid:
            return packet
        if begin <= due < end:
            missing += bool(packet[3] & 0x10)
            return NULL
        return packet[:3] + bytes((packet[3] & 0xF0 | packet[3] - missing & 0x0F,)) + packet[4:]

    return whole.changed(change)


def with_later_clock(whole: Film, begin: float, seconds: float) -> Film:
    """All clock references from then on say so much more."""

    def change(packet: bytes, due: float) -> bytes:
        if due < begin or not has_clock_reference(packet, 0):
            return packet
        base, extension = divmod((clock_reference(packet, 0) + int(seconds * CLOCK)) % WRAP, 300)
        return packet[:6] + (base << 15 | 0x7E00 | extension).to_bytes(6, "big") + packet[12:]

    return whole.changed(change)


def pids(datagram: bytes) -> set[int]:
    """Those that have a payload in it, nulls not among them."""
    packets = [datagram[at : at + PACKET] for at in range(0, len(datagram), PACKET)]
    return {pid_of(packet) for packet in packets if packet[3] & 0x10} - {NULL_PID}


def continuity_breaks(lost: bytes) -> int:
    """How many PIDs miss a counter where this datagram is lost."""
    return len(pids(lost))
