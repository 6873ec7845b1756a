"""What a receiver measures of a test stream, sans I/O: order, losses, delay and jitter, in bounded memory.

Any RTP stream does; one of `mcmw send` also says when each packet was sent.  Two hosts' clocks differ, so a
delay counts from the shortest that was seen: what is left is what queues and detours have added.
"""

import math
from collections import Counter
from typing import Any, NamedTuple

from multicastmw.cli.rtp import Packet
from multicastmw.core.window import Window
from multicastmw.wire.rtp import CLOCK

# What we chose.
DIGITS = 50  # steps of a delay between one and ten times as much: within 5 %
LEAST = 1_000  # ns; what is less counts as that


class Spread(NamedTuple):
    """Milliseconds above the shortest delay."""

    p50: float
    p99: float
    p999: float
    max: float


class Measured:
    """One stream, of the first SSRC that is heard."""

    def __init__(self) -> None:
        self.window = Window()
        self.ssrc: int | None = None
        self.bytes = 0
        self.foreign = 0  # packets of other sources
        self.ttls: set[int] = set()
        self.first_at = self.last_at = 0.0
        self.jitter = 0.0  # seconds (RFC 3550, 6.4.1)
        self._extended = 0  # of 16-bit numbers
        self._transit: float | None = None
        self._delays: Counter[int] = Counter()  # by step
        self._shortest = math.inf  # ns
        self._longest = -math.inf

    def accept(self, packet: Packet, size: int, ttl: int | None, at_ns: int, now: float) -> bool:
        """`size` is the datagram's in bytes, `at_ns` the wall clock when it came; True where it is new."""
        if self.ssrc is None:
            self.ssrc, self.first_at = packet.ssrc, now
            self._extended = 0x10000 + packet.sequence
        elif packet.ssrc != self.ssrc:
            self.foreign += 1
            return False
        if not self.window.accept(self._number(packet), now):
            return False
        self.bytes += size
        self.last_at = now
        if ttl is not None and len(self.ttls) < 256:
            self.ttls.add(ttl)
        self._jitters(packet, at_ns)
        if packet.sent_ns is not None:
            self._delayed(at_ns - packet.sent_ns)
        return True

    def _number(self, packet: Packet) -> int:
        if packet.number is not None:
            return packet.number
        self._extended += (packet.sequence - self._extended + 0x8000) % 0x10000 - 0x8000
        return self._extended & 0xFFFFFFFF

    def _jitters(self, packet: Packet, at_ns: int) -> None:
        sent = packet.sent_ns / 1e9 if packet.sent_ns is not None else packet.timestamp / CLOCK
        transit = at_ns / 1e9 - sent
        if self._transit is not None:
            self.jitter += (min(abs(transit - self._transit), 10.0) - self.jitter) / 16
        self._transit = transit

    def _delayed(self, delay: int) -> None:
        self._longest = max(self._longest, delay)
        if delay < self._shortest:
            self._moves(delay)
        self._delays[_step(delay - int(self._shortest))] += 1

    def _moves(self, shortest: int) -> None:
        """What was above the shortest until now is by so much more above the new one."""
        if self._delays:
            more = int(self._shortest) - shortest
            moved: Counter[int] = Counter()
            for step, count in self._delays.items():
                moved[_step(_above(step) + more)] += count
            self._delays = moved
        self._shortest = shortest

    def spread(self) -> Spread | None:
        """None where the sender does not say when it sent."""
        if not self._delays:
            return None
        total, below, found = self._delays.total(), 0, []
        wanted = [0.5, 0.99, 0.999]
        for step in sorted(self._delays):
            below += self._delays[step]
            while wanted and below >= wanted[0] * total:
                found.append(_above(step) / 1e6)
                wanted.pop(0)
        return Spread._make([*found, (self._longest - self._shortest) / 1e6])

    def report(self) -> dict[str, Any]:
        """Everything as JSON takes it."""
        window, spread, seconds = self.window, self.spread(), self.last_at - self.first_at
        return {
            "received": window.received, "lost": window.lost, "duplicates": window.duplicates,
            "reordered": window.reordered, "late": window.late, "foreign": self.foreign,
            "seconds": round(seconds, 3),
            "bits_per_second": round(8 * self.bytes / seconds) if seconds else 0,
            "ttl": sorted(self.ttls), "jitter_ms": round(self.jitter * 1e3, 4),
            "delay_above_shortest_ms": spread and {k: round(v, 4) for k, v in spread._asdict().items()},
        }  # fmt: skip


def _step(delay: int) -> int:
    return 0 if delay <= LEAST else 1 + int(math.log10(delay / LEAST) * DIGITS)


def _above(step: int) -> int:
    """The middle of what is in a step, in ns."""
    return 0 if step == 0 else int(LEAST * 10 ** ((step - 0.5) / DIGITS))
