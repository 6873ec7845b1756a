"""When is each piece of an MPEG transport stream due?  Read off its program clock (ISO/IEC 13818-1, 2.4.2).

    sync 0x47 | ...PID (13) | ..AF (2).... | adaptation length | flags, 0x10: PCR | PCR base (33) ... ext (9)

A sender that follows the program clock reference is a play-out: the receivers' buffers stay as the
encoder planned them.  Between two references the stream is taken as evenly paced; where the clock jumps
(two films joined, a broadcast cut), it goes on at the pace it had.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from multicastmw.wire.ipv4 import Buffer
from multicastmw.wire.mpegts import (
    CLOCK,
    PACKET,
    SYNC,
    WRAP,
    clock_reference,
    has_clock_reference,
    sync_bytes,
)

FIRST = 8  # packets that tell what a file is
CUT = 1.0  # seconds; references come at least ten times a second, so two further apart are a cut


class NotTransportStream(ValueError):
    """The bytes are no transport stream that can be paced; the text says why."""


class Mark(NamedTuple):
    """A program clock reference: the packet that holds it, and the clock (27 MHz)."""

    packet: int
    clock: int


def looks_like_ts(data: Buffer) -> bool:
    """Sync bytes where they belong in the first packets."""
    return bool(sync_bytes(data, 0, min(len(data) // PACKET, FIRST) * PACKET))


def marks(stream: Buffer) -> Iterator[Mark]:
    """The references of the first PID that carries any.  Raises NotTransportStream where the sync is lost."""
    chosen = -1
    for at in range(0, len(stream) - PACKET + 1, PACKET):
        if stream[at] != SYNC:
            raise NotTransportStream(f"no sync byte at {at}")
        if has_clock_reference(stream, at):
            pid = (stream[at + 1] & 0x1F) << 8 | stream[at + 2]
            if chosen < 0:
                chosen = pid
            if pid == chosen:
                yield Mark(at // PACKET, clock_reference(stream, at))


class Timeline:
    """Seconds from the first packet at which each packet of the stream is due."""

    def __init__(self, stream: Buffer) -> None:
        self.packets = len(stream) // PACKET
        self._points = _unrolled(marks(stream))
        if len(self._points) < 2:
            raise NotTransportStream("fewer than two clock references: it cannot be paced")
        # The pace at both ends, for what lies before the first reference and behind the last.
        self._points = _with_ends(self._points, self.packets)

    @property
    def duration(self) -> float:
        """Seconds from the first packet to the end of the last."""
        return self._points[-1][1]

    def due(self, step: int) -> Iterator[float]:
        """When the packets 0, step, 2 step, ... are due."""
        points = iter(self._points)
        left, right = next(points), next(points)
        for packet in range(0, self.packets, step):
            while packet >= right[0] and (following := next(points, None)) is not None:
                left, right = right, following
            yield left[1] + (packet - left[0]) * (right[1] - left[1]) / (right[0] - left[0])


def _unrolled(found: Iterator[Mark]) -> list[tuple[int, float]]:
    """(packet, seconds since the first reference): wraps undone, cuts bridged at the pace before them."""
    references = list(found)
    steps = [
        (after.packet - before.packet, (after.clock - before.clock) % WRAP / CLOCK)
        for before, after in pairwise(references)
    ]
    # A cut before any pace is known takes the first that is.
    pace = next((seconds / packets for packets, seconds in steps if 0 < seconds <= CUT), 0.0)
    points = [(reference.packet, 0.0) for reference in references[:1]]
    for packets, seconds in steps:
        if 0 < seconds <= CUT:
            pace = seconds / packets
        packet, due = points[-1]
        points.append((packet + packets, due + packets * pace))
    return points


def _with_ends(points: list[tuple[int, float]], packets: int) -> list[tuple[int, float]]:
    (p0, t0), (p1, t1) = points[0], points[1]
    lead = p0 * (t1 - t0) / (p1 - p0)
    shifted = [(packet, seconds + lead) for packet, seconds in points]
    (q0, u0), (q1, u1) = shifted[-2], shifted[-1]
    end = u1 + (packets - q1) * (u1 - u0) / (q1 - q0)
    return [*([(0, 0.0)] if p0 else []), *shifted, *([(packets, end)] if packets > q1 else [])]
