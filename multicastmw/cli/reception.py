"""What a receiver makes of a stream: order, losses, delays.  Sans I/O; the recorder feeds it.

Sequence numbers are extended to count on past 65,535 (RFC 3550, appendix A.1), by the packet number where
the sender is ours, else to the nearest.  A payload that arrives early waits for those before it, at most
WINDOW packets; then the gap is taken as lost and the recording goes on.  What comes behind a gap that was
given up is late: it counts as received, not as recorded.
"""

import hashlib
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from multicastmw.cli.rtp import Farewell, Packet

WINDOW = 1024  # packets that wait for one before them; 7 s of the demo's film
MEMORY = 1 << 16  # packets back in which a duplicate is known; sequence numbers mean nothing beyond


class Delays(NamedTuple):
    """One-way delays in milliseconds."""

    p50: float
    p99: float
    p999: float
    max: float


def percentile(ordered: Sequence[int], share: float) -> int:
    """The smallest value that at least `share` of the sorted values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass
class Reception:
    """One receiver's view of one stream (of the first SSRC that it hears)."""

    received: int = 0  # different packets
    duplicated: int = 0
    reordered: int = 0  # arrived after one that was sent later
    late: int = 0  # arrived after the recording went past them
    foreign: int = 0  # not RTP, or of another source
    ssrc: int | None = None
    farewell: Farewell | None = None
    ttls: set[int] = field(default_factory=set)
    payload_bytes: int = 0
    _numbered: bool = False  # our sender: packets know their number
    _base: int = 0  # the extended number of the sender's first packet
    _highest: int = -1
    _next: int = -1  # the next to record
    _waiting: dict[int, bytes] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)
    _delays: "array[int]" = field(default_factory=lambda: array("q"))
    _digest: Any = field(default_factory=hashlib.sha256)

    def accept(self, packet: Packet, arrived_ns: int, ttl: int | None) -> bytes:
        """Takes a packet and gives the payload that can be recorded now."""
        if self.ssrc is None:
            self._begin(packet)
        elif packet.ssrc != self.ssrc:
            self.foreign += 1
            return b""
        number = self._extended(packet)
        if number in self._seen:
            self.duplicated += 1
            return b""
        self._seen.add(number)
        self._seen.discard(number - MEMORY)
        self.received += 1
        if ttl is not None:
            self.ttls.add(ttl)
        if packet.sent_ns is not None:
            self._delays.append(arrived_ns - packet.sent_ns)
        if number < self._highest:
            self.reordered += 1
        self._highest = max(self._highest, number)
        return self._in_order(number, packet.payload)

    def finish(self) -> bytes:
        """The payload that still waits for what will never come."""
        return self._record(list(self._waiting))

    @property
    def complete(self) -> bool:
        """The sender said how many it sent, and they are all here."""
        return self.farewell is not None and self.received >= self.farewell.packets

    @property
    def lost(self) -> int:
        """Packets that were sent and never came, as far as the stream has told."""
        if not self.received:
            return self.farewell.packets if self.farewell else 0
        if self.farewell is not None and self._numbered:
            return max(0, self.farewell.packets - self.received)
        return self._highest + 1 - self._base - self.received

    def delays(self) -> Delays | None:
        """None where the sender does not write its send time."""
        if not self._delays:
            return None
        ordered = sorted(self._delays)
        p50, p99, p999 = (percentile(ordered, share) / 1e6 for share in (0.5, 0.99, 0.999))
        return Delays(p50, p99, p999, ordered[-1] / 1e6)

    def report(self) -> dict[str, Any]:
        """Everything as JSON takes it."""
        delays = self.delays()
        return {
            "received": self.received,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "late": self.late,
            "foreign": self.foreign,
            "announced": self.farewell.packets if self.farewell else None,
            "ttl": sorted(self.ttls),
            "delay_ms": delays and {name: round(value, 4) for name, value in delays._asdict().items()},
            "payload_bytes": self.payload_bytes,
            "payload_sha256": self._digest.hexdigest(),
        }

    def _begin(self, packet: Packet) -> None:
        """The first packet: numbers start one cycle up, so that an earlier one still has a number."""
        self.ssrc = packet.ssrc
        self._numbered = packet.number is not None
        first = 0x10000 + packet.sequence
        self._highest = first
        self._base = first - (packet.number or 0)
        # What was sent before may still come, unless we came in the middle of the stream.
        self._next = self._base if first - self._base < WINDOW else first

    def _extended(self, packet: Packet) -> int:
        if packet.number is not None and self._numbered:
            return self._base + packet.number
        return self._highest + (packet.sequence - self._highest + 0x8000) % 0x10000 - 0x8000

    def _in_order(self, number: int, payload: bytes) -> bytes:
        if number < self._next:
            self.late += 1
            return b""
        self._waiting[number] = payload
        if number - self._next >= WINDOW:
            # Give up the gap: everything older than the window is recorded as far as it is there.
            ready = sorted(known for known in self._waiting if known <= number - WINDOW)
            out = self._record(ready)
            self._next = max(self._next, number - WINDOW + 1)
        else:
            out = b""
        run = []
        while self._next in self._waiting:
            run.append(self._next)
            self._next += 1
        return out + self._record(run)

    def _record(self, numbers: list[int]) -> bytes:
        out = b"".join(self._waiting.pop(number) for number in sorted(numbers))
        self._digest.update(out)
        self.payload_bytes += len(out)
        return out
