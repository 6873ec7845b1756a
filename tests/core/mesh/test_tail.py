from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.settings import Settings
from multicastmw.core.mesh.tail import LEAST, WAIT
from multicastmw.wire.data import CAME_AGAIN
from multicastmw.wire.mesh import Graft, Nack, Range
from tests.core.mesh.kit import RATE, UPLINK, Lone, have


class TailTest(TestCase):
    """A parent's Have says that it has more than came."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.parent, self.pen = self.lone.fed_by(2)

    def asked(self) -> list[tuple[Range, ...]]:
        self.lone.pass_time(0.1)
        return [nack.missing for nack in self.pen.of(Nack)[:1]]

    def slow_down(self) -> None:
        """To one packet in half a second."""
        top = self.lone.feed().top
        self.lone.data(self.parent, *range(top + 1, top + 21), apart=0.5)
        self.pen.said.clear()

    def test_before_a_pause_it_is_asked_for_soon(self) -> None:
        self.lone.pass_time(0.08)
        self.lone.accept(self.parent, have(203))
        self.assertEqual(self.asked(), [(Range(201, 203),)])
        self.assertEqual(self.lone.feed().top, 200)
        self.assertEqual(self.lone.feed().counters.missed, 3)

    def test_of_a_stream_that_goes_on_the_next_packet_says_it(self) -> None:
        self.lone.accept(self.parent, have(203))
        self.lone.pass_time(WAIT + 0.01)
        self.assertEqual((self.lone.feed().top, self.lone.feed().missing), (200, {}))

    def test_of_a_slow_one_each_have_does(self) -> None:
        self.slow_down()
        self.lone.accept(self.parent, have(222))
        self.assertEqual(self.asked(), [(Range(221, 222),)])

    def test_what_the_have_has_overtaken_is_not_asked_for(self) -> None:
        self.slow_down()
        self.lone.accept(self.parent, have(221))
        self.lone.pass_time(WAIT / 2)
        self.lone.data(self.parent, 221)
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.lone.feed().counters.missed, 0)

    def test_what_the_parent_lacks_itself_is_asked_for_later_as_it_may_still_come(self) -> None:
        self.lone.pass_time(0.08)
        self.lone.accept(self.parent, have(203, (Range(202, 202),)))
        self.assertEqual(self.asked(), [(Range(201, 201),)])
        self.assertEqual(sorted(self.lone.feed().missing), [201, 202, 203])

    def test_further_than_could_be_here_in_time_it_does_not_lead(self) -> None:
        self.lone.pass_time(0.08)
        for highest in (200 + max(LEAST, int(RATE)) + 2, 200):
            self.lone.accept(self.parent, have(highest))
            self.assertEqual(self.asked(), [])
        self.assertEqual(self.lone.feed().top, 200)

    def test_the_stream_is_where_it_was_until_one_of_them_comes(self) -> None:
        self.lone.pass_time(0.08)
        self.lone.accept(self.parent, have(203))
        self.assertEqual(self.asked(), [(Range(201, 203),)])
        feed = self.lone.feed()
        self.assertEqual((200, ()), feed.held()[1:3])
        self.lone.data(self.parent, 202, flags=CAME_AGAIN)
        self.assertEqual((202, (Range(201, 201),)), feed.held()[1:3])
        self.assertEqual([201, 203], sorted(feed.missing))
        self.lone.data(self.parent, 201, 203, flags=CAME_AGAIN)
        self.assertEqual((203, {}, 3), (feed.top, feed.missing, feed.counters.recovered))

    def test_what_was_given_up_is_not_missed_a_second_time(self) -> None:
        feed = self.lone.feed()
        self.lone.pass_time(0.08)
        self.lone.accept(self.parent, have(203))
        self.lone.pass_time(feed.deadline + WAIT + 0.1)
        self.pen.said.clear()
        self.lone.accept(self.parent, have(203))
        self.assertEqual(self.asked(), [])
        self.lone.data(self.parent, 204, 206)
        self.assertEqual(([205], 4), (sorted(feed.missing), feed.counters.missed))

    def test_what_the_kernel_has_forwarded_meanwhile_is_not_missing(self) -> None:
        feed = self.lone.feed()
        self.lone.pass_time(0.08)
        self.lone.accept(self.parent, have(205))
        self.assertEqual(self.asked(), [(Range(201, 205),)])
        feed.passed(203, self.lone.now)
        self.assertEqual((203, [204, 205]), (feed.top, sorted(feed.missing)))
        feed.came_otherwise(204, self.lone.now)
        self.assertEqual((204, [205]), (feed.top, sorted(feed.missing)))
        counters = feed.counters
        self.assertEqual((5, 4, 0), (counters.missed, counters.recovered, counters.given_up))
        self.assertEqual(1, feed.gaps.lost)

    def test_who_claims_ever_more_leads_no_further_than_a_deadlines_worth(self) -> None:
        self.lone.pass_time(0.08)
        for highest in range(205, 400, 5):
            self.lone.accept(self.parent, have(highest))
            self.lone.pass_time(0.05)
        self.assertEqual(self.lone.feed().top, 200)
        self.assertLessEqual(self.lone.feed().counters.missed, max(LEAST, int(RATE)))

    def test_who_has_what_is_next_is_asked_for_that_whatever_the_parent_claims(self) -> None:
        honest, pen = self.lone.neighbour(3)
        self.lone.pass_time(0.08)
        self.lone.accept(self.parent, have(208))
        self.lone.pass_time(WAIT + 0.01)
        self.lone.accept(honest, have(202, path=(9,)))
        self.lone.pass_time(0.1)
        self.assertEqual([201], [graft.sequence for graft in pen.of(Graft)])

    def test_what_a_liar_claimed_is_missed_when_it_is_there_under_another_parent(self) -> None:
        feed = self.lone.feed()
        honest, pen = self.lone.neighbour(3)
        self.lone.pass_time(0.08)
        self.lone.accept(self.parent, have(290))
        self.lone.pass_time(feed.deadline + WAIT + 0.1)
        self.assertEqual({}, feed.missing)
        self.lone.mesh.link_down(self.parent, self.lone.now)
        self.lone.data(honest, 201, 202, 203, 205, 206)
        self.assertEqual((honest, [204]), (feed.parent, sorted(feed.missing)))
        self.lone.pass_time(0.1)
        self.assertEqual([(Range(204, 204),)], [nack.missing for nack in pen.of(Nack)][:1])

    def test_a_gap_is_one_however_long_ago_the_last_one_was(self) -> None:
        feed = self.lone.feed()
        self.lone.data(self.parent, 202)
        self.lone.data(self.parent, 201, flags=CAME_AGAIN)
        for further in (1 << 30, (1 << 31) + 5):
            feed.passed(202 + further, self.lone.now)
        self.lone.data(self.parent, feed.top + 2)
        self.assertEqual([feed.top - 1], list(feed.missing))

    def test_where_nothing_is_asked_for_a_claim_changes_nothing(self) -> None:
        lone = Lone(Settings(uplink=UPLINK, deadline=0.0))
        parent, pen = lone.fed_by(2)
        lone.pass_time(0.08)
        lone.accept(parent, have(205))
        lone.pass_time(0.2)
        lone.data(parent, 201, 203)
        feed = lone.feed()
        self.assertEqual((203, {}, []), (feed.top, feed.missing, pen.of(Nack)))

    def test_who_asks_a_better_parent_during_a_claim_is_in_no_hurry(self) -> None:
        """Or a full one would take it over its slots."""
        feed = self.lone.feed()
        other, pen = self.lone.neighbour(3)
        self.lone.pass_time(0.08)
        self.lone.accept(self.parent, have(203))
        self.lone.pass_time(WAIT + 0.01)
        self.lone.data(self.parent, 201)
        self.assertEqual([202, 203], sorted(feed.missing))
        feed.upstream.graft(other, self.lone.now)
        self.assertEqual([(202, ())], [(graft.sequence, graft.missing) for graft in pen.of(Graft)])
