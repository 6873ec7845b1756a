"""Order, losses and delays, as a receiver sees them."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from multicastmw.cli.reception import WINDOW, Reception, percentile
from multicastmw.cli.rtp import Farewell, Packet

MS = 1_000_000
FIRST = 65_530  # sequence numbers wrap early on


def sent(number: int, ours: bool = True) -> Packet:
    stamp = (number * MS, number) if ours else (None, None)
    return Packet((FIRST + number) & 0xFFFF, number, 7, b"%06d" % number, False, 33, *stamp)


class ReceptionTests(TestCase):
    def take(self, numbers: "range | list[int]", ours: bool = True) -> tuple[Reception, bytes]:
        """A reception that heard these packets, and its recording."""
        reception = Reception()
        out = b"".join(reception.accept(sent(number, ours), number * MS + 2 * MS, 15) for number in numbers)
        return reception, out + reception.finish()

    def counts(self, reception: Reception) -> tuple[int, int, int, int, int]:
        return (reception.received, reception.lost, reception.duplicated, reception.reordered, reception.late)

    def test_a_whole_stream_is_recorded_as_it_was(self) -> None:
        for ours in (True, False):
            reception, out = self.take(range(70_000), ours)
            self.assertEqual(self.counts(reception), (70_000, 0, 0, 0, 0))
            self.assertEqual(out, b"".join(b"%06d" % number for number in range(70_000)))
            self.assertEqual(reception.report()["payload_sha256"], hashlib.sha256(out).hexdigest())

    def test_a_packet_that_comes_early_waits(self) -> None:
        reception, out = self.take([0, 2, 1, 3])
        self.assertEqual(self.counts(reception), (4, 0, 0, 1, 0))
        self.assertEqual(out, b"000000000001000002000003")

    def test_the_second_of_two_is_a_duplicate(self) -> None:
        reception, out = self.take([0, 1, 1, 0, 2])
        self.assertEqual(self.counts(reception), (3, 0, 2, 0, 0))
        self.assertEqual(len(out), 18)

    def test_a_gap_is_a_loss(self) -> None:
        for ours in (True, False):
            reception, _ = self.take([0, 1, 4, 5], ours)
            self.assertEqual(self.counts(reception), (4, 2, 0, 0, 0))

    def test_what_was_missed_before_the_first_packet_is_a_loss(self) -> None:
        reception, out = self.take([3, 4])
        self.assertEqual(reception.lost, 3)
        self.assertEqual(out, b"000003000004")

    def test_the_very_first_packets_may_be_reordered(self) -> None:
        reception, out = self.take([1, 0, 2])
        self.assertEqual(self.counts(reception), (3, 0, 0, 1, 0))
        self.assertEqual(out, b"000000000001000002")

    def test_the_farewell_tells_what_was_missed_at_the_end(self) -> None:
        reception, _ = self.take([0, 1, 2])
        self.assertEqual(reception.lost, 0)
        reception.farewell = Farewell(7, 5, 30)
        self.assertEqual((reception.lost, reception.complete), (2, False))
        reception.farewell = Farewell(7, 3, 18)
        self.assertEqual((reception.lost, reception.complete), (0, True))

    def test_who_heard_nothing_but_the_farewell_lost_everything(self) -> None:
        self.assertEqual(Reception(farewell=Farewell(7, 5, 30)).lost, 5)
        self.assertEqual(Reception().report()["delay_ms"], None)

    def test_a_late_joiner_records_from_where_it_joined(self) -> None:
        reception, out = self.take(range(WINDOW + 10, WINDOW + 20))
        self.assertTrue(out.startswith(b"%06d" % (WINDOW + 10)))
        self.assertEqual(reception.lost, WINDOW + 10)

    def test_behind_a_gap_that_was_given_up_a_packet_is_late(self) -> None:
        reception, out = self.take([0, *range(2, WINDOW + 10), 1])
        self.assertEqual(self.counts(reception), (WINDOW + 10, 0, 0, 1, 1))
        self.assertEqual(out[:18], b"000000000002000003")

    def test_the_packets_that_wait_are_bounded(self) -> None:
        reception = Reception()
        for number in range(0, 20 * WINDOW, 2):
            reception.accept(sent(number), 0, None)
            self.assertLessEqual(len(reception._waiting), WINDOW)

    def test_an_outage_of_any_length_is_counted(self) -> None:
        reception, _ = self.take([0, 200_000])
        self.assertEqual(self.counts(reception), (2, 199_999, 0, 0, 0))

    def test_another_source_is_foreign(self) -> None:
        reception, _ = self.take([0, 1])
        self.assertEqual(reception.accept(sent(2)._replace(ssrc=8), 0, 1), b"")
        self.assertEqual((reception.foreign, reception.received), (1, 2))

    def test_the_delay_is_the_difference_of_the_clocks(self) -> None:
        reception, _ = self.take(range(100))
        self.assertEqual(reception.delays(), (2.0, 2.0, 2.0, 2.0))
        self.assertEqual(reception.report()["ttl"], [15])

    @given(st.lists(st.integers(0, 60), min_size=1, max_size=120))
    def test_in_whatever_order_they_come(self, numbers: list[int]) -> None:
        different = sorted(set(numbers))
        reception, out = self.take(numbers)
        self.assertEqual(out, b"".join(b"%06d" % number for number in different))
        self.assertEqual(reception.received, len(different))
        self.assertEqual(reception.duplicated, len(numbers) - len(different))
        self.assertEqual(reception.lost, different[-1] + 1 - len(different))


class PercentileTests(TestCase):
    def test_nearest_rank(self) -> None:
        values = list(range(1, 1001))
        found = [percentile(values, share) for share in (0.5, 0.99, 0.999, 1.0)]
        self.assertEqual(found, [500, 990, 999, 1000])
        self.assertEqual([percentile([5], share) for share in (0.0, 0.5, 0.999)], [5, 5, 5])

    @given(st.lists(st.integers(), min_size=1), st.floats(0, 1))
    def test_that_share_does_not_exceed_it(self, values: list[int], share: float) -> None:
        found = percentile(sorted(values), share)
        self.assertGreaterEqual(sum(value <= found for value in values), share * len(values) - 1e-9)
