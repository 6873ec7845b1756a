"""Data that waits for a TCP connection, against a plain list."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.dataqueue import AGE_MAX, PACKETS_MAX, DataQueue


class Bounds(SynchronousTestCase):
    def test_the_257th_pushes_the_first_out(self) -> None:
        queue = DataQueue()
        for i in range(PACKETS_MAX + 1):
            queue.put(b"%d" % i, 0.0)
        self.assertEqual((len(queue), queue.dropped, queue.get(0.0)), (256, 1, b"1"))

    def test_what_waited_for_longer_than_a_quarter_of_a_second_is_not_sent(self) -> None:
        queue = DataQueue()
        queue.put(b"old", 1.0)
        queue.put(b"new", 1.1)
        self.assertEqual(queue.get(1.0 + AGE_MAX), b"old")
        self.assertIsNone(queue.get(1.1 + AGE_MAX + 0.001))
        self.assertEqual((queue.dropped, len(queue)), (1, 0))

    @given(st.lists(st.tuples(st.booleans(), st.floats(0, 0.2)), max_size=80))
    def test_as_a_list_would(self, steps: list[tuple[bool, float]]) -> None:
        queue, naive, dropped, now = DataQueue(), [], 0, 0.0
        for i, (put, pause) in enumerate(steps):
            now += pause
            fresh = [(at, m) for at, m in naive if now - at <= AGE_MAX]
            dropped += len(naive) - len(fresh)
            naive = fresh
            if put:
                queue.put(b"%d" % i, now)
                naive.append((now, b"%d" % i))
            else:
                expected = naive.pop(0)[1] if naive else None
                self.assertEqual(queue.get(now), expected)
            self.assertEqual((len(queue), queue.dropped), (len(naive), dropped))
