from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from multicastmw.core.bucket import Bucket
from multicastmw.core.mesh.conduct import ONCE, PROMISED
from multicastmw.core.mesh.gaps import SKIPPED_LEAST
from multicastmw.core.mesh.neighbour import SCORE_LEAST
from multicastmw.core.mesh.numbers import each
from multicastmw.core.mesh.settings import (
    AT_ONCE,
    GAP_WAIT,
    GUARD,
    KEPT_SECONDS,
    MISSING_MAX,
    NACK_REST,
    NACK_TRIES,
    Settings,
)
from multicastmw.wire.data import RETRANSMITTED
from multicastmw.wire.mesh import ASKED_MAX, Graft, Have, Nack, Range, StreamKey
from tests.core.mesh.kit import GROUP, KEY, ORIGIN, RATE, SIZE, UPLINK, Hall, Lone, have


class GapsTest(TestCase):
    """A parent that has fed 200 packets; a second neighbour says what it has."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.parent, self.pen = self.lone.fed_by(2)
        self.other, self.other_pen = self.lone.neighbour(3)
        self.other_pen.said.clear()
        self.feed = self.lone.feed()

    def asked(self) -> list[tuple[Range, ...]]:
        return [nack.missing for nack in self.pen.of(Nack)]

    def test_what_is_lost_below_the_low_water_mark_is_asked_for_after_the_guard(self) -> None:
        self.lone.data(self.parent, 203, low_water=0)
        self.lone.pass_time(GUARD / 2)
        self.assertEqual(self.asked(), [])
        self.lone.pass_time(GUARD)
        self.assertEqual(self.asked(), [(Range(201, 202),)])

    def test_what_the_parent_lacks_itself_is_given_time(self) -> None:
        self.lone.data(self.parent, 203, low_water=2)  # it lacks 201
        self.lone.pass_time(GAP_WAIT - 0.02)
        self.assertEqual(self.asked(), [])
        self.lone.pass_time(0.04)
        self.assertEqual(self.asked(), [(Range(201, 202),)])

    def test_when_the_parent_has_it_the_guard_counts_again(self) -> None:
        self.lone.data(self.parent, 203, low_water=2)
        self.lone.data(self.parent, 204, low_water=0)
        self.lone.pass_time(2 * GUARD)
        self.assertEqual(self.asked()[-1][0].first, 201)

    def test_what_comes_late_is_not_asked_for(self) -> None:
        self.lone.data(self.parent, 203)
        self.lone.data(self.parent, 201, 202)
        self.lone.pass_time(0.3)
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.feed.counters.recovered, 2)

    def test_who_does_not_answer_is_followed_by_one_who_says_that_it_has_it(self) -> None:
        self.lone.accept(self.other, have(210))
        self.lone.data(self.parent, 202)
        self.lone.pass_time(0.09)  # then the parent is silent, and asked for what comes next
        self.assertEqual(self.asked(), [(Range(201, 201),)])
        self.lone.pass_time(0.11)
        self.assertEqual(self.other_pen.of(Nack)[0].missing, (Range(201, 201),))

    def test_who_is_left_alone_while_it_is_asked_is_nobodys_neighbour_afterwards(self) -> None:
        hang_up = lambda why, now: self.lone.mesh.link_down(self.other, now)  # noqa: E731  # as a link does
        self.patch(self.other_pen, "hang_up", hang_up)
        self.lone.accept(self.other, have(210))
        self.lone.data(self.parent, 203)
        first, second = self.feed.gaps.numbers.values()
        first.asked, second.asked = self.parent, self.other
        for miss in (first, second):
            miss.tries, miss.ask_at = 1, self.lone.now
        self.lone.mesh.promised(self.other, SCORE_LEAST - PROMISED / 2, self.lone.now - ONCE)
        self.feed.gaps.ask(self.lone.now)
        self.assertNotIn(self.other.node, self.lone.mesh.neighbours)
        self.assertNotIn(self.other, self.feed.theirs)

    def lose_every_other(self, most: int) -> list[int]:
        """So many numbers, of which no two are neighbours; gives them."""
        lost = list(range(201, 201 + 2 * most, 2))
        self.lone.data(self.parent, *(number + 1 for number in lost))
        return lost

    def test_what_does_not_fit_into_one_nack_is_asked_for_in_the_next(self) -> None:
        lost = self.lose_every_other(ASKED_MAX + 6)
        self.lone.pass_time(GUARD + 2 * NACK_REST + 0.02)  # and before anything is asked for again
        nacks = self.asked()
        self.assertEqual([ASKED_MAX, 6], [len(nack) for nack in nacks])
        self.assertEqual(lost, [number for nack in nacks for number in each(nack, MISSING_MAX)])
        self.assertEqual(len(lost), self.feed.counters.asked)
        self.assertEqual({1}, {miss.tries for miss in self.feed.missing.values()})

    def test_no_more_is_asked_for_in_one_nack_than_it_brings(self) -> None:
        self.lone.data(self.parent, 401, 602)
        self.lone.pass_time(GUARD + 2 * NACK_REST + 0.02)
        brought = [len(list(each(nack, MISSING_MAX))) for nack in self.asked()]
        self.assertEqual([AT_ONCE, 400 - AT_ONCE], brought)

    def test_what_does_not_fit_into_a_graft_is_asked_for_in_a_nack(self) -> None:
        self.lone.accept(self.other, have(500))
        lost = self.lose_every_other(ASKED_MAX + 6)
        self.lone.mesh.link_down(self.parent, self.lone.now)
        (graft,) = self.other_pen.of(Graft)
        *missing, urgent = graft.missing
        self.assertEqual((ASKED_MAX - 1, Range(graft.sequence, graft.sequence)), (len(missing), urgent))
        self.lone.pass_time(GUARD + 0.02)
        rest = [number for nack in self.other_pen.of(Nack) for number in each(nack.missing, MISSING_MAX)]
        self.assertEqual(lost, [*each(missing, MISSING_MAX), *rest])

    def test_who_says_that_it_lacks_it_is_not_asked(self) -> None:
        self.lone.accept(self.other, have(210, (Range(200, 201),)))
        self.lone.data(self.parent, 202)
        for number in range(203, 220):
            self.lone.data(self.parent, number)
            self.lone.pass_time(1 / RATE)
        self.assertEqual(self.other_pen.of(Nack), [])

    def test_it_is_given_up_at_the_deadline(self) -> None:
        self.lone.data(self.parent, 202)
        for number in range(203, 320):
            self.lone.data(self.parent, number)
            self.lone.pass_time(1 / RATE)
        self.assertEqual(self.feed.counters.given_up, 1)
        self.assertEqual(self.feed.missing, {})
        self.assertLessEqual(self.feed.counters.asked, NACK_TRIES)

    def asks(self, rtt: float) -> list[float]:
        """Seconds after the gap at which a parent that does not answer is asked."""
        lone = Lone()
        parent, pen = lone.fed_by(2, rtt=rtt)
        lone.data(parent, 202)
        began, found = lone.now, []
        for number in range(203, 320):
            lone.data(parent, number)
            lone.pass_time(1 / RATE)
            if pen.of(Nack):
                found.append(lone.now - began)
        return found

    def test_over_a_short_way_the_tries_last_until_the_deadline(self) -> None:
        found = self.asks(0.002)
        self.assertEqual(len(found), NACK_TRIES)
        waits = [later - earlier for earlier, later in pairwise(found)]
        self.assertLess(max(waits[:2]), 0.05)
        self.assertLess(max(waits), 0.25)
        self.assertGreater(found[-1], 0.7)

    def test_over_a_long_way_there_are_as_many_as_there_is_time_for(self) -> None:
        waits = [later - earlier for earlier, later in pairwise(self.asks(0.1))]
        self.assertEqual(len(waits), 6)
        self.assertLess(max(waits), 1.3 * 0.1 + 0.03 + 0.03)

    def test_a_parent_that_answers_nothing_for_half_a_second_is_asked_again_when_it_does(self) -> None:
        hall = Hall()
        sender, child = hall.person(), hall.person()
        cable = hall.cable(sender, child, rtt=0.002)
        hall.play(sender, 1.0)
        cable.lost = lambda what: isinstance(what, Nack) or getattr(what, "number", 0) == 105
        hall.play(sender, 0.6)
        cable.lost = lambda what: False
        hall.play(sender, 1.0)
        self.assertIn(105, child.got)
        self.assertEqual(child.feed.counters.given_up, 0)

    def test_without_recovery_nothing_is_asked_for(self) -> None:
        lone = Lone(Settings(uplink=UPLINK, deadline=0))
        parent, pen = lone.fed_by(2)
        lone.data(parent, 205)
        lone.pass_time(0.3)
        self.assertEqual(pen.of(Nack), [])
        self.assertEqual(lone.feed().counters.missed, 4)

    def test_what_was_resent_fills_the_gap_and_earns_credit(self) -> None:
        self.lone.data(self.parent, 202)
        self.lone.pass_time(2 * GUARD)
        self.lone.data(self.parent, 201, flags=RETRANSMITTED)
        self.assertEqual(self.feed.missing, {})
        balance = self.lone.mesh.standing.records.balance
        self.assertGreater(balance(self.parent.node, self.lone.now), 0.5)

    def test_a_stream_that_goes_on_far_ahead_is_no_loss(self) -> None:
        self.lone.data(self.parent, 200 + MISSING_MAX + 2)
        self.assertEqual(self.feed.missing, {})

    def test_no_more_is_missing_than_the_bound(self) -> None:
        for jump in range(1, 12):
            self.lone.data(self.parent, 200 + jump * MISSING_MAX)
        self.assertEqual(len(self.feed.missing), MISSING_MAX)

    def test_of_one_gap_no_more_is_asked_for_than_can_be_here_in_time(self) -> None:
        self.lone.data(self.parent, 200 + MISSING_MAX)
        counters = self.feed.counters
        self.assertEqual((SKIPPED_LEAST - 1, 200 + MISSING_MAX - 1),
                         (len(self.feed.missing), max(self.feed.missing)))  # fmt: skip
        self.assertEqual((MISSING_MAX - 1, MISSING_MAX - SKIPPED_LEAST), (counters.missed, counters.given_up))

    def test_what_is_missing_where_a_stream_begins_anew_is_given_up(self) -> None:
        self.lone.data(self.parent, 203, 203 + 2 * MISSING_MAX)
        counters = self.feed.counters
        self.assertEqual((0, 2, 2), (len(self.feed.missing), counters.missed, counters.given_up))

    def test_the_low_water_of_what_it_sends_on_tells_how_far_below_the_first_gap_lies(self) -> None:
        self.lone.data(self.parent, 202, 203)
        self.assertEqual(self.feed.low_water(203), 2)
        self.assertEqual(self.feed.low_water(201 + 300), 255)
        self.lone.data(self.parent, 201)
        self.assertEqual(self.feed.low_water(203), 0)

    def test_a_nack_for_a_stream_of_which_nothing_came_is_not_answered(self) -> None:
        unknown = KEY._replace(source=77)
        self.lone.accept(self.other, have(9, key=unknown))
        self.other_pen.said.clear()
        self.lone.accept(self.other, Nack(unknown, (Range(5, 5),)))
        self.assertEqual([], self.other_pen.of(Have))

    def test_a_nack_brings_what_is_kept_and_says_what_is_not(self) -> None:
        self.lone.accept(self.other, Nack(KEY, (Range(199, 201),)))
        self.assertEqual(self.other_pen.resent, [199, 200])
        (said,) = self.other_pen.of(Have)
        self.assertEqual(said.streams[0].highest, 200)

    def test_what_is_older_than_two_seconds_is_not_kept(self) -> None:
        for number in range(201, 700):
            self.lone.data(self.parent, number)
            self.lone.pass_time(1 / RATE)
        self.assertLess(len(self.feed.kept.packets), 3.5 * RATE)
        self.assertIn(600, self.feed.kept.packets)

    def test_where_the_uplink_carries_nothing_a_nack_is_forgotten_soon(self) -> None:
        self.lone.mesh._resends = Bucket(0.0, 0.0)
        self.lone.accept(self.other, Nack(KEY, (Range(190, 199),)))
        self.lone.pass_time(KEPT_SECONDS + 0.1)
        self.assertEqual([], self.other_pen.resent)
        self.assertGreaterEqual(self.feed.due, self.lone.now)
        rings = 0
        for _ in range(100):
            self.lone.now = max(self.lone.now, self.feed.due)
            self.feed.tick(self.lone.now)
            rings += 1
            if self.lone.now > self.feed.began + 30:
                break
        self.assertLess(rings, 100)

    def test_a_nack_for_everything_brings_what_the_bound_and_the_uplink_allow(self) -> None:
        self.lone.accept(self.other, Nack(KEY, (Range(0, 0xFFFFFFFF),)))
        self.assertLessEqual(len(self.other_pen.resent), 256)

    def test_what_is_sent_again_is_a_quarter_of_the_uplink(self) -> None:
        mesh, seconds = Lone(Settings(uplink=8_000)).mesh, 10
        ticks = (100.0 + tick / 1_000 for tick in range(seconds * 1_000))
        kbits = sum(mesh.may_resend(SIZE, now) for now in ticks) * SIZE * 8 / 1_000
        self.assertTrue(2_000 * seconds < kbits < 2_000 * (seconds + 1.5), kbits)  # and what may go at once

    def test_who_carries_nothing_for_others_sends_little_of_theirs_again_and_its_own_as_usual(self) -> None:
        mesh, seconds = Lone(Settings(uplink=0)).mesh, 10
        ticks = [100.0 + tick / 1_000 for tick in range(seconds * 1_000)]
        theirs, own = (
            sum(mesh.may_resend(SIZE, now, ours) for now in ticks) * SIZE * 8 / 1_000
            for ours in (False, True)
        )
        self.assertLess(theirs, 160 * (seconds + 1.5))
        self.assertTrue(5_000 * seconds < own < 5_000 * (seconds + 1.5), own)

    def test_all_streams_together_keep_no_more_than_64_mib(self) -> None:
        mesh = self.lone.mesh
        self.assertEqual((8 << 20) // SIZE, mesh.kept_most(SIZE))
        for number in range(1, 128):
            mesh.begin(StreamKey(ORIGIN, GROUP, number), self.lone.now)
        self.assertEqual(128, len(mesh.feeds))
        self.assertLessEqual(128 * mesh.kept_most(SIZE) * SIZE, 64 << 20)


class WrapTest(TestCase):
    @given(st.integers(0xFFFFFFFF - 60, 0xFFFFFFFF), st.sets(st.integers(1, 40)))
    def test_numbers_go_on_from_zero_and_gaps_across_the_end_are_asked_for(
        self, first: int, lost: set[int]
    ) -> None:
        lone = Lone()
        parent, pen = lone.neighbour(2)
        came = [first + step & 0xFFFFFFFF for step in range(60) if step not in lost]
        lone.data(parent, *came, apart=1 / RATE)
        feed = lone.feed()
        self.assertEqual(feed.top, first + 59 & 0xFFFFFFFF)
        self.assertEqual(feed.counters.missed, len(lost))
        asked = {(first + step) & 0xFFFFFFFF for step in lost}
        nacks = [nack.missing for nack in pen.of(Nack)]
        self.assertEqual({number for each in nacks for one in each for number in _numbers(one)}, asked)


def _numbers(one: Range) -> list[int]:
    return [one.first + step & 0xFFFFFFFF for step in range((one.last - one.first & 0xFFFFFFFF) + 1)]
