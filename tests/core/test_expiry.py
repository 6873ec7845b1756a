"""A certificate's time: what is said of it, and how often."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.expiry import AGAIN, DAY, SOON, Expiry, Validity, is_void, verdict

NOW = 1_800_000_000.0
YEAR = Validity(NOW - 30 * DAY, NOW + 335 * DAY)


def ends_in(seconds: float) -> Validity:
    return Validity(NOW - DAY, NOW + seconds)


class Verdicts(SynchronousTestCase):
    def test_one_that_is_good_for_long_is_not_worth_a_word(self) -> None:
        self.assertEqual((verdict(YEAR, NOW), is_void(YEAR, NOW)), ("", False))
        self.assertEqual(verdict(ends_in(SOON), NOW), "")

    def test_its_end_is_told_before(self) -> None:
        self.assertEqual(verdict(ends_in(SOON - 1), NOW), "expires on 2027-01-29 07:59 UTC, in 13 days")
        self.assertTrue(verdict(ends_in(DAY), NOW).endswith(", in 1 day"))
        self.assertTrue(verdict(ends_in(DAY - 1), NOW).endswith(", in less than a day"))
        self.assertFalse(is_void(ends_in(1), NOW))

    def test_at_its_end_it_is_void(self) -> None:
        self.assertEqual(verdict(ends_in(0), NOW), "has expired on 2027-01-15 08:00 UTC")
        self.assertTrue(is_void(ends_in(0), NOW))

    def test_before_its_time_too(self) -> None:
        early = Validity(NOW + 1, NOW + 9 * DAY)
        self.assertEqual(verdict(early, NOW), "is not valid before 2027-01-15 08:00 UTC; is a clock wrong?")
        self.assertTrue(is_void(early, NOW))
        self.assertFalse(is_void(early, NOW + 1))


class Saying(SynchronousTestCase):
    def said(self, expiry: Expiry, validity: Validity, hours: range) -> list[int]:
        """At which hours something is said."""
        return [hour for hour in hours if expiry.look(validity, NOW + hour * 3600)]

    def test_the_same_is_said_once_a_day(self) -> None:
        self.assertEqual(self.said(Expiry(), ends_in(10 * DAY), range(100)), [0, 24, 48, 72, 96])

    def test_news_are_said_at_once(self) -> None:
        self.assertEqual(self.said(Expiry(), ends_in(14 * DAY + 5 * 3600), range(9)), [6])
        self.assertEqual(self.said(Expiry(), ends_in(5 * 3600), range(9)), [0, 5])

    def test_a_renewed_one_ends_it_and_another_short_one_is_news(self) -> None:
        expiry = Expiry()
        self.assertTrue(expiry.look(ends_in(DAY), NOW))
        self.assertEqual(expiry.look(YEAR, NOW + 1), "")
        self.assertTrue(expiry.look(ends_in(2 * DAY), NOW + 2))
        self.assertTrue(expiry.look(ends_in(3 * DAY), NOW + 3))

    def test_a_clock_that_is_set_back_silences_nothing(self) -> None:
        expiry = Expiry()
        self.assertTrue(expiry.look(ends_in(DAY), NOW))
        self.assertEqual(expiry.look(ends_in(DAY), NOW - 3600), "")
        self.assertTrue(expiry.look(ends_in(DAY), NOW - AGAIN))
