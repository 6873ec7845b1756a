"""How often something may be done."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.bucket import Bucket


class Buckets(SynchronousTestCase):
    def test_one_allows_what_it_says(self) -> None:
        bucket = Bucket(10, 5)
        self.assertEqual(5, sum(bucket.allows(100.0) for _ in range(50)))
        self.assertEqual(3, sum(bucket.allows(100.3001) for _ in range(50)))
        self.assertEqual(5, sum(bucket.allows(200.0) for _ in range(50)))

    def test_much_at_once_waits_until_there_is_so_much(self) -> None:
        bucket = Bucket(10, 5)
        self.assertTrue(bucket.allows(0.0, 5))
        self.assertFalse(bucket.allows(0.3, 4))
        self.assertTrue(bucket.allows(0.4, 4))
