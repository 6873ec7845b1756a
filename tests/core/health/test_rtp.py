"""RTP, with a film in it and without: what the source did and what the way did."""

import random
from struct import pack

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.rtp import Farewell, Packet
from multicastmw.core.health.missing import REMEMBERED
from multicastmw.core.health.order import HELD_MAX, Held, Order
from multicastmw.core.health.report import HealthStatus, RtpStatus
from multicastmw.core.health.rtp import IN_TURN, REPEATED, RtpStream
from tests.core.health.film import NAME, VIDEO, Film, continuity_breaks, film, is_plain, why_not
from tests.core.health.passing import PORT, Passing, errors

SSRC = 0xCAFE
FIRST = 0xFF80  # so the numbers wrap soon


def rtp_of(
    datagrams: list[tuple[float, bytes]], first: int = FIRST, ssrc: int = SSRC
) -> list[tuple[float, bytes]]:
    """The same behind RTP headers."""
    return [
        (due, Packet(first + number, int(due * 90_000) & 0xFFFFFFFF, ssrc, payload).build())
        for number, (due, payload) in enumerate(datagrams)
    ]


def plain(count: int, payload_type: int = 96, clock: int = 90_000) -> list[tuple[float, bytes]]:
    """Something else than a film, 100 packets/s."""
    return [
        (n / 100, Packet(FIRST + n, n * clock // 100, SSRC, b"payload", payload_type=payload_type).build())
        for n in range(count)
    ]


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.passing = Passing()

    def rtp(self) -> RtpStatus:
        found = self.status().rtp
        assert found
        return found

    def status(self) -> HealthStatus:
        return self.passing.status()


class FilmTests(Case):
    skip = why_not()

    def place(self, after: float, breaks: int = 1) -> int:
        return next(
            at for at, (due, payload) in enumerate(film().datagrams())
            if due > after and continuity_breaks(payload) == breaks
        )  # fmt: skip

    def test_a_film_in_rtp_is_looked_into(self) -> None:
        self.passing.play(rtp_of(film().datagrams()))
        status = self.status()
        self.assertEqual(("rtp", "ok", {}, NAME), (status.kind, status.health, errors(status),
                                                  status.programmes[0].name))  # fmt: skip
        rtp = self.rtp()
        self.assertEqual((len(film().datagrams()), 0, 0, 0, 0), (rtp.received, rtp.lost_source, rtp.lost_way,
                                                                rtp.duplicates, rtp.restarts))  # fmt: skip
        self.assertEqual(("0000cafe", 33, 0), (rtp.ssrc, rtp.payload_type, rtp.ssrc_changes))
        self.assertLess(rtp.jitter, 0.001)

    def test_what_the_way_lost(self) -> None:
        self.passing.play(rtp_of(film().datagrams()), (self.place(4), self.place(5, 2), self.place(5, 2) + 1))
        status, rtp = self.status(), self.rtp()
        self.assertEqual((0, 3), (rtp.lost_source, rtp.lost_way))
        self.assertEqual(0, status.source_errors)
        self.assertEqual(0, errors(status)["Continuity_count_error"][0])
        self.assertEqual("bad", status.health)
        self.assertIn("RTP packets are missing: the way 3", status.reason)

    def test_what_the_source_never_sent(self) -> None:
        datagrams = rtp_of(film().datagrams())
        del datagrams[self.place(4)]
        self.passing.play(datagrams)
        rtp = self.rtp()
        self.assertEqual((1, 0), (rtp.lost_source, rtp.lost_way))
        self.assertEqual({"Continuity_count_error": (1, 0)}, errors(self.status()))
        self.assertEqual((2, 0), (self.status().source_errors, self.status().way_errors))

    def test_both_in_one_gap(self) -> None:
        datagrams = rtp_of(film().datagrams())
        at = self.place(4)
        del datagrams[at]
        self.passing.play(datagrams, (at, at + 1))
        self.assertEqual((1, 2), (self.rtp().lost_source, self.rtp().lost_way))

    def test_what_the_way_lost_before_excuses_no_source(self) -> None:
        datagrams = rtp_of(film().datagrams())
        del datagrams[self.place(6)]
        self.passing.play(datagrams, (self.place(4),))
        self.assertEqual((1, 1), (self.rtp().lost_source, self.rtp().lost_way))
        self.assertEqual((1, 1), errors(self.status())["Continuity_count_error"])

    def test_a_packet_that_is_missing_inside_is_the_sources_whatever_the_way_lost(self) -> None:
        """Another port's packet is missing on the way; this stream's numbers show that it lost none."""
        at = film().find(lambda packet: is_plain(packet, VIDEO), 4.0)
        damaged: Film = film().without(at)
        for due, payload in rtp_of(damaged.datagrams()):
            self.passing.arrive(self.passing.send(payload, due), due)
            self.passing.send(b"lost", due, port=PORT + 10)
        self.assertEqual({"Continuity_count_error": (1, 0)}, errors(self.status()))
        self.assertEqual((0, 0), (self.rtp().lost_source, self.rtp().lost_way))
        overlay = self.status().overlay
        assert overlay
        self.assertGreater(overlay.lost, 100)

    def test_packets_that_the_source_swapped(self) -> None:
        datagrams = rtp_of(film().datagrams())
        at = self.place(4)
        (first, one), (second, other) = datagrams[at : at + 2]
        datagrams[at : at + 2] = [(first, other), (second, one)]
        self.passing.play(datagrams)
        rtp = self.rtp()
        self.assertEqual(
            (1, 0, 0, 0), (rtp.reordered_source, rtp.reordered_way, rtp.lost_source, rtp.lost_way)
        )
        self.assertEqual(({}, "warn"), (errors(self.status()), self.status().health))
        self.assertEqual("RTP packets out of order: the source 1", self.status().reason)

    def test_packets_that_the_way_swapped(self) -> None:
        messages = [(self.passing.send(payload, due), due) for due, payload in rtp_of(film().datagrams())]
        at = self.place(4)
        (one, first), (other, second) = messages[at : at + 2]
        messages[at : at + 2] = [(other, first), (one, second)]
        for message, due in messages:
            self.passing.arrive(message, due)
        rtp = self.rtp()
        self.assertEqual(
            (0, 1, 0, 0), (rtp.reordered_source, rtp.reordered_way, rtp.lost_source, rtp.lost_way)
        )
        self.assertEqual(
            ({}, 0, 0), (errors(self.status()), self.status().source_errors, self.status().way_errors)
        )

    def test_what_the_source_sent_twice(self) -> None:
        datagrams = rtp_of(film().datagrams())
        datagrams.insert(self.place(4), datagrams[self.place(4)])
        self.passing.play(datagrams)
        self.assertEqual((1, {}), (self.rtp().duplicates, errors(self.status())))

    def test_a_source_that_was_started_again(self) -> None:
        datagrams = film().datagrams()
        half = len(datagrams) // 2
        self.passing.play(rtp_of(datagrams[:half]) + rtp_of(datagrams[half:], first=777, ssrc=0xBEEF))
        rtp = self.rtp()
        self.assertEqual((1, 0, 0, 0, "0000beef"), (rtp.ssrc_changes, rtp.lost_source, rtp.lost_way,
                                                   rtp.duplicates, rtp.ssrc))  # fmt: skip
        self.assertEqual({}, errors(self.status()))

    def test_numbers_that_jump_far_are_a_restart_and_no_loss(self) -> None:
        datagrams = film().datagrams()
        half = len(datagrams) // 2
        self.passing.play(rtp_of(datagrams[:half]) + rtp_of(datagrams[half:], first=FIRST + half + 20_000))
        self.assertEqual((1, 0, 0), (self.rtp().restarts, self.rtp().lost_source, self.rtp().lost_way))


class PlainTests(Case):
    def test_rtp_that_is_no_film(self) -> None:
        self.passing.play(plain(500), lost=(100, 101, 300))
        status, rtp = self.status(), self.rtp()
        self.assertEqual(("rtp", 96, 3, 0), (status.kind, rtp.payload_type, rtp.lost_way, rtp.lost_source))
        self.assertEqual(("bad", (), 3), (status.health, status.programmes, status.way_errors))

    def test_jitter_is_by_the_clock_of_the_payload_type(self) -> None:
        for payload_type, clock in ((96, 90_000), (0, 8_000), (10, 44_100)):
            self.passing = Passing()
            self.passing.play(plain(500, payload_type, clock))
            self.assertLess(self.rtp().jitter, 0.0005, payload_type)

    def test_jitter_is_what_rfc_3550_says(self) -> None:
        rng = random.Random(5)
        transit, jitter = None, 0.0
        for due, payload in plain(800):
            late = rng.uniform(0, 0.008)
            self.passing.arrive(self.passing.send(payload, due), due + late)
            number = (int.from_bytes(payload[2:4], "big") - FIRST) & 0xFFFF
            if number >= 3 and transit is not None:  # three headers show that it is RTP
                jitter += (abs(late - transit) - jitter) / 16
            transit = late
        self.assertApproximates(jitter, self.rtp().jitter, 0.1 * jitter)

    def test_senders_reports_are_compared_with_what_came(self) -> None:
        for number, (due, payload) in enumerate(plain(900)):
            message = self.passing.send(payload, due)
            if number not in (250, 251, 350):
                self.passing.arrive(message, due)
            if number % 200 == 199:
                report = Farewell(SSRC, number + 1, 0).build(int(due * 1e9), 0, b"studio")[:-8]
                self.passing.arrive(self.passing.send(report, due, port=PORT + 1), due)
        rtp = self.rtp()
        self.assertEqual(
            (4, 600, 3, "studio"), (rtp.reports, rtp.reported_sent, rtp.reported_lost, rtp.cname)
        )
        reports = self.passing.status(PORT + 1)
        self.assertEqual(("rtcp", "ok", 0), (reports.kind, reports.health, reports.way_errors))

    def test_a_hole_in_what_is_neither_is_the_ways(self) -> None:
        rng = random.Random(2)
        self.passing.play([(n / 50, bytes(4) + rng.randbytes(200)) for n in range(500)], lost=(300, 400))
        status = self.status()
        self.assertEqual(("udp", "bad", 0, 2), (status.kind, status.health, status.source_errors,
                                               status.way_errors))  # fmt: skip
        self.assertEqual("packets are missing: the way 2", status.reason)

    def test_random_bytes_are_no_rtp(self) -> None:
        rng = random.Random(1)
        self.passing.play([(n / 50, rng.randbytes(200)) for n in range(500)])
        status = self.status()
        self.assertEqual(("udp", None, None), (status.kind, status.rtp, status.transport))
        self.assertEqual((200, 200, "ok"), (status.smallest, status.largest, status.health))
        assert status.gap
        self.assertAlmostEqual(0.02, status.gap, places=3)


class MachineTests(SynchronousTestCase):
    def test_what_was_passed_over_is_remembered_to_a_bound(self) -> None:
        rtp = RtpStream()
        for number in range(0, 600_000, 3):
            rtp.accept(pack("!BBHII", 0x80, 96, number & 0xFFFF, 0, 1), 0, 12, 0.0, 0, False)
        self.assertLessEqual(len(rtp._missing), REMEMBERED)
        self.assertEqual(2 * (600_000 // 3 - 1), rtp.lost_source)

    @given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
    def test_every_number_is_new_late_or_twice(self, numbers: list[int]) -> None:
        rtp, seen = RtpStream(), set()
        for number in numbers:
            verdict = rtp.accept(pack("!BBHII", 0x80, 96, number, 0, 1), 0, 12, 0.0, 0, False)
            if number < numbers[0]:
                continue  # sent before we began: nobody can tell
            self.assertEqual(number in seen, verdict == REPEATED)
            seen.add(number)
        self.assertEqual(max(seen) - numbers[0] + 1 - len(seen), rtp.lost_source)
        self.assertEqual(0, rtp.lost_way)

    def test_the_first_packet_is_in_turn(self) -> None:
        self.assertEqual(IN_TURN, RtpStream().accept(pack("!BBHII", 0x80, 96, 9, 0, 1), 0, 12, 0.0, 0, False))

    @given(st.permutations(range(20)))
    def test_order_gives_each_once_and_in_order(self, numbers: list[int]) -> None:
        order = Order()
        got = [each.sent for n in numbers for each in order.accept(n, Held(b"", 0.0, n, 0))]
        self.assertEqual(list(range(20)), got)

    def test_order_waits_neither_long_nor_for_many(self) -> None:
        order = Order()
        got = [each.sent for n in range(1, HELD_MAX + 5) for each in order.accept(n, Held(b"", 0.0, n, 0))]
        self.assertEqual(list(range(1, HELD_MAX + 5)), got)
        self.assertEqual([], order.accept(HELD_MAX + 9, Held(b"", 1.0, 9, 0)))
        self.assertEqual([9, 10], [each.sent for each in order.accept(HELD_MAX + 10, Held(b"", 1.2, 10, 0))])


class NoiseTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.binary(max_size=400) | st.binary(max_size=60).map(lambda tail: b"\x80\x21" + tail)
                    | st.binary(max_size=60).map(lambda tail: b"\x81\xc8" + tail)
                    | st.binary(min_size=1, max_size=3)
                    .map(lambda head: (b"\x47" + head).ljust(188, b"\xff") * 6),
                    max_size=40))  # fmt: skip
    def test_any_payloads_are_taken(self, payloads: list[bytes]) -> None:
        passing = Passing()
        for turn, payload in enumerate(payloads * 3):
            passing.arrive(passing.send(payload, turn * 0.05), turn * 0.05)
        passing.statuses()
