"""How often something may be done."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.bucket import Bound, Bucket


class Buckets(SynchronousTestCase):
    def test_one_allows_what_it_says(self) -> None:
        bucket = Bucket(10, 5)
        self.assertEqual(5, sum(bucket.allows(100.0) for _ in range(50)))
        self.assertEqual(3, sum(bucket.allows(100.3001) for _ in range(50)))
        self.assertEqual(5, sum(bucket.allows(200.0) for _ in range(50)))

    def test_one_that_fills_faster_keeps_what_is_in_it(self) -> None:
        bucket = Bucket(10, 5)
        self.assertTrue(bucket.allows(100.0, 5))
        bucket.fills_by(100, 50)
        self.assertFalse(bucket.allows(100.0))
        self.assertEqual(20, sum(bucket.allows(100.2001) for _ in range(90)))

    def test_much_at_once_waits_until_there_is_so_much(self) -> None:
        bucket = Bucket(10, 5)
        self.assertTrue(bucket.allows(0.0, 5))
        self.assertFalse(bucket.allows(0.3, 4))
        self.assertTrue(bucket.allows(0.4, 4))


class Bounds(SynchronousTestCase):
    def test_what_is_over_one_is_a_flood_where_it_is_times_as_much(self) -> None:
        bound = Bound(10, 5, 4)
        self.assertEqual(5, sum(bound.allows(100.0) for _ in range(50)))
        self.assertEqual(15, sum(not bound.is_flooded(100.0) for _ in range(50)))
        self.assertTrue(bound.allows(100.1001))
        self.assertEqual(3, sum(not bound.is_flooded(100.1001) for _ in range(50)))
