"""What a film's report says, from records whose truth is known."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from twisted.trial.unittest import TestCase

from bench.sink import RECORD
from bench.wan.film import kills_of
from bench.wan.internet import Bursts
from bench.wan.matrix import measured, relays, scattered, tree
from bench.wan.report import Done, Kill, judge

MS = 1_000_000
STEP = 10 * MS  # between two packets
DELAY = 30 * MS


def records(numbers: Iterable[int], late: int = 0) -> bytes:
    """Of packets that arrived in this order, each DELAY (and `late`) after it was sent."""
    return b"".join(RECORD.pack(5004, 1, n, DELAY + late, n * STEP + DELAY + late) for n in numbers)


class JudgeTests(TestCase):
    def test_a_whole_film_has_lost_nothing(self) -> None:
        film = judge({"a": records(range(300))}, 100 * STEP, 200 * STEP)
        seen = film.seen["a"]
        self.assertEqual((100, 100, 0, 0, 0, 0), (film.sent, seen.received, seen.lost, seen.duplicates,
                                                  seen.disordered, seen.late))  # fmt: skip
        self.assertEqual(10.0, seen.gap_ms)
        self.assertEqual((30.0, 30.0, 30.0), seen.delay_ms)

    def test_lost_and_doubled_and_late_ones_are_counted_each(self) -> None:
        numbers = [n for n in range(300) if n not in (110, 111)]
        film = judge(
            {"a": records(numbers), "b": records([*range(150), 149, 148, *range(150, 300)]),
             "c": records(range(300), late=1_000 * MS)}, 100 * STEP, 200 * STEP,
        )  # fmt: skip
        self.assertEqual((98, 2, 30.0), (film.seen["a"].received, film.seen["a"].lost, film.seen["a"].gap_ms))
        self.assertEqual((0, 2), (film.seen["b"].lost, film.seen["b"].duplicates))
        self.assertEqual((0, 100), (film.seen["c"].lost, film.seen["c"].late))

    def test_who_hears_nothing_any_more_has_a_gap_to_the_end(self) -> None:
        film = judge({"a": records(range(300)), "b": records(range(120))}, 100 * STEP, 200 * STEP)
        self.assertEqual(80, film.seen["b"].lost)
        self.assertAlmostEqual(200 * 10 - (119 * 10 + 30), film.seen["b"].gap_ms)
        nothing = judge({"a": records(range(300)), "b": b""}, 100 * STEP, 200 * STEP)
        self.assertEqual((100, 1000.0), (nothing.seen["b"].lost, nothing.seen["b"].gap_ms))

    def test_a_kills_aftermath_is_its_childrens_and_not_its_own(self) -> None:
        whole = records(range(500))
        child = records(n for n in range(500) if not 150 <= n < 190)
        own = records(n for n in range(500) if not 150 <= n < 280)
        done = [Done(Kill(0.5, "r", 1.0), 150 * STEP, 250 * STEP)]
        film = judge({"a": whole, "r": own, "c": child}, 100 * STEP, 400 * STEP, done)
        (after,) = film.kills
        self.assertEqual((["c"], {"a": 0, "c": 40}), (after.cut_off, after.lost))
        self.assertAlmostEqual(410.0, after.gap_ms["c"])
        self.assertAlmostEqual(330.0, after.returned_ms)
        self.assertEqual((1, 130), (film.seen["r"].killed, film.seen["r"].lost))
        self.assertEqual(10.0, film.usual_gap_ms)

    def test_a_silence_in_a_second_before_it_is_no_kills(self) -> None:
        earlier = records(n for n in range(900) if not 310 <= n < 330)
        film = judge({"a": earlier}, 100 * STEP, 800 * STEP, [Done(Kill(5.0, "x"), 600 * STEP)])
        self.assertEqual((["a"], []), (film.kills[0].cut_off_before, film.kills[0].cut_off))

    def test_a_kill_does_not_pay_for_the_next_one(self) -> None:
        """Nor for what begins long after it, such as the start of a node on a busy machine."""
        whole = records(range(900))
        next_one = records(n for n in range(900) if not 440 <= n < 600)
        held_up = records(n for n in range(900) if not 320 <= n < 340)
        done = [Done(Kill(0.5, "r"), 150 * STEP), Done(Kill(3.0, "c"), 443 * STEP)]
        film = judge({"a": whole, "r": b"", "c": next_one, "d": held_up}, 100 * STEP, 800 * STEP, done)
        first, second = film.kills
        self.assertEqual(([], {"a": 0, "c": 0, "d": 20}), (first.cut_off, first.lost))
        self.assertEqual((["a", "d"], []), (list(second.gap_ms), second.cut_off))

    def test_kills_go_round_and_leave_time_for_the_last(self) -> None:
        kills = kills_of(["x", "y"], 10, 40, 5)
        self.assertEqual([(10, "x"), (20, "y"), (30, "x")], [(kill.at, kill.host) for kill in kills])


class MatrixTests(TestCase):
    names = [f"n{number}" for number in range(20)]

    def test_every_pair_has_its_delay_and_a_seed_the_same(self) -> None:
        delays = scattered(self.names, 0.06, 7)
        self.assertEqual(190, len(delays))
        self.assertTrue(all(0.002 <= delay <= 0.06 for delay in delays.values()))
        self.assertEqual(delays, scattered(self.names, 0.06, 7))
        self.assertNotEqual(delays, scattered(self.names, 0.06, 8))

    def test_a_measured_matrix_is_halved(self) -> None:
        file = self.mktemp()
        with gzip.open(file, "wt") as text:
            text.write("0 40 60\n40 0 80\n60 80 0\n")
        self.assertEqual({0.02, 0.03, 0.04}, set(measured("abc", Path(file)).values()))
        self.assertIn("no square of 4", str(self.assertRaises(ValueError, measured, "abcd", Path(file))))

    def test_a_tree_has_a_parent_and_a_standby_each(self) -> None:
        dials = tree(self.names, 3)
        self.assertEqual([], dials["n0"])
        self.assertEqual(["n0"], dials["n1"])
        self.assertEqual(["n0", "n1"], dials["n2"])
        self.assertEqual(["n1", "n0"], dials["n4"])
        self.assertEqual(["n1", "n2", "n3", "n4", "n5", "n6"], relays(dials))

    def test_bursts_of_a_share_lose_that_share(self) -> None:
        bursts = Bursts.of(0.1, 5)
        self.assertAlmostEqual(0.1, bursts.enter / (bursts.enter + bursts.leave))
        self.assertAlmostEqual(5, 1 / bursts.leave)
