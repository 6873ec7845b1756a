"""What a receiver says of a test stream."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.measured import Measured, _above, _step
from multicastmw.cli.rtp import Packet

MS = 1_000_000
AHEAD = 3_600_000 * MS  # of the sender's clock


def packet(number: int, sent: bool = True) -> Packet:
    """One of ours, 10 ms behind the one before; or of anybody."""
    stamp = {"sent_ns": number * 10 * MS + AHEAD, "number": number} if sent else {}
    return Packet((number + 65_530) & 0xFFFF, number * 900, 7, b"p", **stamp)  # type: ignore[arg-type]


class MeasuredTests(SynchronousTestCase):
    def take(
        self, numbers: "list[int] | range", sent: bool = True, delays: "list[int] | None" = None
    ) -> Measured:
        """Each comes 5 ms (or what `delays` say) after it was sent, by a clock that is an hour behind."""
        measured = Measured()
        for place, number in enumerate(numbers):
            at = number * 10 * MS + (delays[place] if delays else 5 * MS)
            measured.accept(packet(number, sent), 1352, 14, at, at / 1e9)
        return measured

    def test_a_whole_stream(self) -> None:
        for sent in (True, False):
            report = self.take(range(101), sent).report()
            self.assertEqual((101, 0, 0, 0, [14]), (report["received"], report["lost"], report["duplicates"],
                                                    report["reordered"], report["ttl"]))  # fmt: skip
            self.assertEqual((1.0, 8 * 1352 * 101), (report["seconds"], report["bits_per_second"]))
            self.assertAlmostEqual(0.0, report["jitter_ms"], 3)

    def test_what_is_missing_came_twice_and_out_of_order(self) -> None:
        for sent in (True, False):
            report = self.take([0, 1, 3, 2, 2, 7, 8, 9], sent).report()
            self.assertEqual((7, 3, 1, 1), (report["received"], report["lost"], report["duplicates"],
                                            report["reordered"]))  # fmt: skip

    def test_delays_count_from_the_shortest_whatever_the_clocks_say(self) -> None:
        delays = [9 * MS] * 50 + [4 * MS] + [5 * MS] * 48 + [104 * MS]
        spread = self.take(range(100), delays=delays).spread()
        assert spread
        self.assertAlmostEqual(100, spread.max)
        for quantile, value in ((spread.p50, 5), (spread.p99, 5), (spread.p999, 100)):
            self.assertTrue(0.8 * value <= quantile <= 1.2 * value, (spread, value))
        self.assertIsNone(self.take(range(10), sent=False).spread())

    def test_jitter_as_rfc_3550_has_it(self) -> None:
        uneven = [5 * MS + (number % 2) * 8 * MS for number in range(400)]
        self.assertAlmostEqual(0.008, self.take(range(400), delays=uneven).jitter, 4)

    def test_another_source_is_counted_and_no_more(self) -> None:
        measured = self.take(range(3))
        self.assertFalse(measured.accept(packet(3)._replace(ssrc=8), 100, 14, 0, 1.0))
        self.assertEqual((3, 1), (measured.window.received, measured.foreign))

    @given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200))
    def test_memory_is_bounded_and_every_packet_is_counted(self, delays: list[int]) -> None:
        measured = self.take(range(len(delays)), delays=delays)
        self.assertEqual(len(delays), measured._delays.total())
        self.assertLess(len(measured._delays), 600)
        spread = measured.spread()
        assert spread
        self.assertAlmostEqual((max(delays) - min(delays)) / 1e6, spread.max)

    @given(st.integers(1001, 10**13))
    def test_a_step_is_within_five_percent(self, delay: int) -> None:
        self.assertTrue(0.95 < _above(_step(delay)) / delay < 1.05)
