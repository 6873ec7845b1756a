"""The sender: on time, whole, and honest about errors."""

import time
from typing import Any

from twisted.trial.unittest import TestCase

from multicastmw.cli.mpegts import CLOCK, Timeline
from multicastmw.cli.rtp import Farewell, Packet
from multicastmw.cli.streamer import MAX_DEBT, Streamer
from tests.cli.test_mpegts import stream

FILM = stream(0, *[None] * 48, CLOCK // 10)  # 50 packets: 8 datagrams in 0.1 s


class Socket:
    """Notes what is sent and when; refuses what it is told to."""

    def __init__(self, refuse: int = -1) -> None:
        self.sent: list[tuple[float, bytes, tuple[str, int]]] = []
        self._refuse = refuse

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        if len(self.sent) == self._refuse:
            self._refuse = -1
            raise OSError(105, "no buffer space")
        self.sent.append((time.monotonic(), data, address))


class StreamerTests(TestCase):
    def play(self, sock: Any, film: bytes = FILM) -> tuple[Streamer, list[Packet]]:
        streamer = Streamer(sock, "239.1.2.3", 5004)
        for _ in streamer.play(film, Timeline(film), loop=False):
            pass
        return streamer, [Packet.parse(data) for _, data, _ in sock.sent]

    def test_no_packet_leaves_before_it_is_due(self) -> None:
        sock = Socket()
        begin = time.monotonic()
        self.play(sock)
        for (when, _, _), due in zip(sock.sent, Timeline(FILM).due(7), strict=True):
            self.assertGreaterEqual(when - begin, due - 1e-4)

    def test_the_payloads_are_the_film(self) -> None:
        streamer, packets = self.play(Socket())
        self.assertEqual(b"".join(packet.payload for packet in packets), FILM)
        self.assertEqual([len(packet.payload) for packet in packets], [1316] * 7 + [188])
        report = {"sent": 8, "octets": len(FILM), "errors": 0, "forgiven_seconds": 0.0}
        self.assertEqual(streamer.report(), report)

    def test_numbers_count_up_and_times_go_forward(self) -> None:
        _, packets = self.play(Socket())
        self.assertEqual([packet.number for packet in packets], list(range(8)))
        first = packets[0].sequence
        self.assertEqual([packet.sequence for packet in packets], [(first + n) & 0xFFFF for n in range(8)])
        times = [packet.sent_ns or 0 for packet in packets]
        self.assertEqual(times, sorted(times))
        ticks = (packets[7].timestamp - packets[0].timestamp) & 0xFFFFFFFF
        self.assertAlmostEqual(ticks / 90_000, 0.1, places=3)

    def test_a_packet_that_the_kernel_refuses_counts_as_sent_and_as_an_error(self) -> None:
        streamer, packets = self.play(Socket(refuse=3))
        self.assertEqual((streamer.sent, streamer.errors, len(packets)), (8, 1, 7))

    def test_the_farewell_says_how_many(self) -> None:
        sock = Socket()
        streamer, _ = self.play(sock)
        del sock.sent[:]
        streamer.bye()
        for _, data, address in sock.sent:
            self.assertEqual(address, ("239.1.2.3", 5005))
            farewell = Farewell.parse(data)
            assert farewell is not None
            self.assertEqual(farewell.packets, 8)

    def test_who_was_held_up_long_does_not_send_a_burst(self) -> None:
        film = stream(0, *[None] * 48, CLOCK)
        streamer = Streamer(Socket(), "239.1.2.3", 5004)  # type: ignore[arg-type]
        clock = HeldUp(self, film_second=0.3, hold=MAX_DEBT + 1)
        for _ in streamer.play(film, Timeline(film), loop=False):
            clock.note()
        self.assertApproximates(streamer.report()["forgiven_seconds"], MAX_DEBT + 1, 0.2)
        self.assertLessEqual(clock.burst, 1)


class HeldUp:
    """A clock for the streamer that jumps once, as when a machine sleeps."""

    def __init__(self, case: TestCase, film_second: float, hold: float) -> None:
        self._now = 1000.0
        self._jump_at = 1000.0 + film_second
        self._hold = hold
        self._last = -1.0
        self.burst = 0  # packets that were sent at one moment after another
        case.patch(time, "monotonic", lambda: self._now)
        case.patch(time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self._now += seconds
        if self._now >= self._jump_at:
            self._now += self._hold
            self._jump_at = float("inf")

    def note(self) -> None:
        if self._now == self._last:
            self.burst += 1
        self._last = self._now
