"""When data may go on UDP: the probes' clockwork."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.datapath import OUTSTANDING_MAX, DataPath

NOW = 50.0


def run(
    path: DataPath, now: float, until: float, answers: bool, rtt: float = 0.01
) -> tuple[float, list[float]]:
    """Ticks when it asks for it; each probe is answered, or none."""
    probes = []
    while (at := max(now, path.deadline())) <= until:
        now = at
        clock = path.tick(now)
        if clock is not None:
            probes.append(now)
            if answers:
                path.answered(clock, True, now + rtt)
    return until, probes


class Probes(SynchronousTestCase):
    def test_go_at_once_each_half_second_until_answered_then_each_two(self) -> None:
        path = DataPath(NOW)
        now, probes = run(path, NOW, NOW + 2.2, answers=False)
        self.assertEqual(probes, [NOW, NOW + 0.5, NOW + 1, NOW + 1.5, NOW + 2])
        _, probes = run(path, now, NOW + 9, answers=True)
        self.assertEqual([round(p - NOW, 2) for p in probes], [2.5, 4.51, 6.52, 8.53])

    def test_say_how_long_trips_are_how_they_differ_and_how_many_got_lost(self) -> None:
        path = DataPath(NOW)
        self.assertEqual((None, None, None), (path.rtt, path.jitter, path.loss))
        now, _ = run(path, NOW, NOW + 100, answers=True, rtt=0.01)
        self.assertAlmostEqual(0.01, path.rtt)
        self.assertAlmostEqual(0, path.jitter)
        self.assertEqual(0, path.loss)
        for trip in (0.02, 0.01) * 100:
            now, _ = run(path, now, now + 2, answers=True, rtt=trip)
        self.assertTrue(0.014 < path.rtt < 0.016, path.rtt)
        self.assertTrue(0.009 < path.jitter < 0.0101, path.jitter)
        run(path, now, now + 60, answers=False)
        self.assertEqual(1, path.loss)

    def test_to_another_place_are_measured_anew(self) -> None:
        path = DataPath(NOW)
        now, _ = run(path, NOW, NOW + 10, answers=True)
        path.moved(now)
        self.assertEqual((None, None, None), (path.rtt, path.jitter, path.loss))

    def test_one_answer_is_enough_at_first_however_late(self) -> None:
        path = DataPath(NOW)
        now, _ = run(path, NOW, NOW + 60, answers=False)
        self.assertEqual((path.on_udp, path.falls), (False, 0))
        run(path, now, now + 0.6, answers=True)
        self.assertTrue(path.on_udp)

    def test_the_third_unanswered_one_in_a_row_moves_data_away(self) -> None:
        path = DataPath(NOW)
        run(path, NOW, NOW + 0.1, answers=True)
        clock = 0
        for at, on_udp in ((2.01, True), (2.51, True), (3.01, True), (3.51, False)):
            clock = path.tick(NOW + at)
            self.assertIsNotNone(clock)
            self.assertEqual(path.on_udp, on_udp, at)
        self.assertEqual(path.falls, 1)

    def test_two_unanswered_ones_do_not(self) -> None:
        path = DataPath(NOW)
        now, _ = run(path, NOW, NOW + 0.1, answers=True)
        for _ in range(20):
            now, probes = run(path, now, path.deadline() + 1.1, answers=False)
            self.assertEqual(len(probes), 3)  # the third is the one that will be answered
            path.answered(path._outstanding[-1], True, now)
        self.assertTrue(path.on_udp)

    def fallen(self) -> DataPath:
        path = DataPath(NOW)
        now, _ = run(path, NOW, NOW + 0.1, answers=True)
        now, _ = run(path, now, now + 10, answers=False)
        self.assertFalse(path.on_udp)
        return path

    def test_it_takes_three_answered_in_a_row_to_return(self) -> None:
        path = self.fallen()
        for i in range(3):
            clock = path.tick(path.deadline())
            self.assertEqual(path.answered(clock, True, path.deadline() - 0.4), i == 2)
        self.assertTrue(path.on_udp)

    def test_a_miss_in_between_starts_the_count_again(self) -> None:
        path = self.fallen()
        for _ in range(5):
            for _ in range(2):
                clock = path.tick(path.deadline())
                self.assertFalse(path.answered(clock, True, path.deadline() - 0.4))
            path.tick(path.deadline())
            path.tick(path.deadline())
            path.answered(path._outstanding[-1], True, path.deadline() - 0.4)
            path.tick(path.deadline())
            path.tick(path.deadline())
        self.assertFalse(path.on_udp)

    def test_a_queue_that_is_not_empty_keeps_data_on_tcp(self) -> None:
        path = self.fallen()
        for _ in range(9):
            clock = path.tick(path.deadline())
            self.assertFalse(path.answered(clock, False, path.deadline() - 0.4))
        self.assertTrue(path.answered(path.tick(path.deadline()), True, path.deadline()))

    def test_an_answer_is_good_once_and_only_to_a_probe_of_ours(self) -> None:
        path = DataPath(NOW)
        clock = path.tick(NOW)
        self.assertFalse(path.answered(clock + 1, True, NOW))
        self.assertTrue(path.answered(clock, True, NOW))
        self.assertFalse(path.answered(clock, True, NOW))
        self.assertEqual(path.unmatched, 2)

    def test_a_late_answer_counts_and_makes_earlier_probes_void(self) -> None:
        path = DataPath(NOW)
        first, second = path.tick(NOW), path.tick(NOW + 0.5)
        self.assertTrue(path.answered(second, True, NOW + 0.7))
        self.assertAlmostEqual(path.rtt, 0.2)
        path.answered(first, True, NOW + 0.8)
        self.assertEqual(path.unmatched, 1)

    def test_a_way_of_a_second_and_more_is_a_way(self) -> None:
        """A satellite: the answers to the first probes come when the third has been sent."""
        path, now, late = DataPath(NOW), NOW, []
        while now < NOW + 600:
            now = min([path.deadline(), *(at for at, _ in late)])
            for at, clock in [item for item in late if item[0] <= now]:
                late.remove((at, clock))
                path.answered(clock, True, now)
            if (clock := path.tick(now)) is not None:
                late.append((now + 1.3, clock))
        self.assertTrue(path.on_udp)
        self.assertEqual(path.falls, 0)
        self.assertAlmostEqual(path.rtt, 1.3)

    @given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
    @settings(deadline=None)
    def test_whatever_comes_what_is_kept_is_bounded_and_probes_go_on(self, steps: list) -> None:
        path, now = DataPath(NOW), NOW
        for pause, answer in steps:
            now += pause
            clock = path.tick(now)
            if answer and clock is not None:
                path.answered(clock, True, now)
            self.assertLessEqual(len(path._outstanding), OUTSTANDING_MAX)
            self.assertLessEqual(path.deadline(), now + 2)
