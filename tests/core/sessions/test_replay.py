"""Who has just joined, and how fast what is kept is said to him."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.sessions.directory import SapCounters
from multicastmw.core.sessions.joins import AT_ONCE, LATELY, MEMBERS_MAX, MORE_EVERY, REPEATED, Joins
from multicastmw.core.sessions.replay import (
    BATCH,
    EVERY,
    REST,
    ROUND_EVERY,
    ROUNDS,
    ROUNDS_AT_ONCE,
    Replays,
)
from multicastmw.core.sessions.scopes import GLOBAL, LOCAL, SAP_GROUPS
from multicastmw.wire.igmp import ALL_ROUTERS, ALL_V3_ROUTERS, Kind, Leave, Record, Report, ReportV3, pack

HOST, OTHER = 0x0A580001, 0x0A580009


class WhoJoins(SynchronousTestCase):
    def setUp(self) -> None:
        self.counters = SapCounters()
        self.joins = Joins(SAP_GROUPS, self.counters)
        self.now = 1000.0

    def v3(self, kind: Kind, *sources: int, group: int = GLOBAL, host: int = HOST) -> set[int]:
        report = ReportV3((Record(kind, group, sources),))
        return self.joins.heard(pack(report, host, ALL_V3_ROUTERS), self.now)

    def v2(self, group: int = GLOBAL, host: int = HOST) -> set[int]:
        return self.joins.heard(pack(Report(2, group), host, group), self.now)

    def test_a_change_of_version_3_is_a_join_and_is_said_twice(self) -> None:
        self.assertEqual({GLOBAL}, self.v3(Kind.TO_EX))
        self.now += 1.0
        self.assertEqual(set(), self.v3(Kind.TO_EX))
        self.now += REPEATED + 1
        self.assertEqual({GLOBAL}, self.v3(Kind.TO_EX))

    def test_who_left_and_comes_back_joins(self) -> None:
        self.v3(Kind.TO_EX)
        self.now += 0.1
        self.assertEqual(set(), self.v3(Kind.TO_IN))
        self.assertEqual({GLOBAL}, self.v3(Kind.TO_EX))

    def test_of_one_source_only(self) -> None:
        self.assertEqual({GLOBAL}, self.v3(Kind.ALLOW, 7))
        self.assertEqual({GLOBAL}, self.v3(Kind.TO_IN, 7, host=OTHER))
        self.assertEqual(set(), self.v3(Kind.BLOCK, 7, host=OTHER + 1))

    def test_answers_are_no_joins_but_of_who_was_not_known(self) -> None:
        self.assertEqual({GLOBAL}, self.v3(Kind.IS_EX))
        for _ in range(20):
            self.now += 10
            self.assertEqual(set(), self.v3(Kind.IS_EX))
        self.now += LATELY + 1
        self.assertEqual({GLOBAL}, self.v3(Kind.IS_EX))

    def test_version_2(self) -> None:
        self.assertEqual({GLOBAL}, self.v2())
        self.now += 10
        self.assertEqual((set(), {GLOBAL}), (self.v2(), self.v2(host=OTHER)))
        self.joins.heard(pack(Leave(GLOBAL), HOST, ALL_ROUTERS), self.now)
        self.assertEqual({GLOBAL}, self.v2())

    def test_a_host_that_comes_and_goes_is_replied_to_rarely_and_another_one_at_once(self) -> None:
        replies = 0
        for _ in range(600):
            replies += bool(self.v3(Kind.TO_EX))
            self.now += 0.5
            self.v3(Kind.TO_IN)
            self.now += 0.5
        self.assertIn(replies - AT_ONCE, (600 // MORE_EVERY - 1, 600 // MORE_EVERY))
        self.assertEqual(600 - replies, self.counters.replays_refused)
        self.assertEqual({GLOBAL}, self.v3(Kind.TO_EX, host=OTHER))
        self.assertEqual({LOCAL}, self.v3(Kind.TO_EX, group=LOCAL))
        self.now += MORE_EVERY
        self.assertEqual({GLOBAL}, self.v3(Kind.TO_EX))

    def test_version_2_that_comes_and_goes(self) -> None:
        replies = 0
        for _ in range(100):
            replies += bool(self.v2())
            self.joins.heard(pack(Leave(GLOBAL), HOST, ALL_ROUTERS), self.now)
            self.now += 0.1
        self.assertEqual(AT_ONCE, replies)

    def test_programs_of_this_host_that_come_and_go(self) -> None:
        came = [self.joins.program_came(GLOBAL, self.now) for _ in range(50)]
        self.assertEqual(AT_ONCE, sum(came))

    def test_who_joins_above_the_bound_is_replied_to_though_not_remembered(self) -> None:
        for n in range(MEMBERS_MAX):
            self.v3(Kind.TO_EX, host=HOST + n)
        self.assertEqual({GLOBAL}, self.v3(Kind.TO_EX, host=HOST + 3000))
        self.assertTrue(self.joins.program_came(GLOBAL, self.now))
        self.assertEqual(MEMBERS_MAX, len(self.joins._members))

    def test_other_groups_and_noise(self) -> None:
        self.assertEqual((set(), set()), (self.v2(0xEF010101), self.joins.heard(b"noise", self.now)))

    def test_a_thousand_hosts_take_no_more_room_than_some(self) -> None:
        joined = [bool(self.v2(host=HOST + n)) for n in range(1000)]
        self.assertEqual((MEMBERS_MAX, MEMBERS_MAX), (sum(joined), len(self.joins._members)))
        self.now += LATELY
        self.assertEqual({GLOBAL}, self.v2(host=HOST + 2000))


class Session:
    """Stands for one that is kept."""


class Saying(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 10.0
        self.said: list[tuple[float, object, int]] = []
        self.sessions: dict[int, list[Session]] = {
            GLOBAL: [Session() for _ in range(100)],
            LOCAL: [Session()],
        }
        self.replays = Replays(
            lambda group: self.sessions[group],  # type: ignore[arg-type, return-value]
            lambda session, group, now: self.said.append((now, session, group)),
        )

    def runs(self, seconds: float) -> None:
        until = self.now + seconds
        while self.replays.deadline() <= until:
            self.now = max(self.now, self.replays.deadline())
            self.replays.tick(self.now)
        self.now = until

    def test_all_at_once_in_batches(self) -> None:
        woken: list[None] = []
        self.replays.wake = lambda: woken.append(None)
        self.replays.joined(GLOBAL, self.now)
        self.assertEqual(1, len(woken))
        self.runs(0.5)
        self.assertEqual(self.sessions[GLOBAL], [session for _, session, _ in self.said])
        times = [at for at, _, _ in self.said]
        self.assertEqual(BATCH, max(times.count(at) for at in times))
        self.assertAlmostEqual(10.0 + 100 // BATCH * EVERY, times[-1])
        self.runs(5.0)  # and once more, for who was not ready
        self.assertEqual((200, float("inf")), (len(self.said), self.replays.deadline()))
        self.assertAlmostEqual(10.0 + REST, self.said[100][0])

    def test_who_joins_during_one_or_shortly_after_gets_another(self) -> None:
        for _ in range(50):
            self.replays.joined(GLOBAL, self.now)
            self.runs(0.01)
        self.runs(5.0)
        self.assertEqual(300, len(self.said))
        self.assertAlmostEqual(10.0 + REST, self.said[100][0])

    def test_scopes_do_not_wait_for_each_other(self) -> None:
        self.replays.joined(GLOBAL, self.now)
        self.replays.joined(LOCAL, self.now)
        self.runs(0.5)
        self.assertEqual(101, len(self.said))

    def test_whatever_joins_nothing_piles_up(self) -> None:
        self.sessions = {GLOBAL: [Session() for _ in range(5_000)]}
        for _ in range(100):
            self.replays.joined(GLOBAL, self.now)
            self.runs(0.1)
        self.assertLessEqual(len(self.replays._waiting), 5_000)
        self.assertLessEqual(len(self.said), 10 * BATCH / EVERY + 2 * BATCH)

    def test_whoever_comes_and_goes_for_an_hour_the_list_is_said_so_often(self) -> None:
        self.sessions = {LOCAL: [Session()]}
        for _ in range(3_600):
            self.replays.joined(LOCAL, self.now)
            self.runs(1.0)
        self.assertLessEqual(len(self.said), ROUNDS_AT_ONCE + 3_600 / ROUND_EVERY + 1)
        self.assertGreater(len(self.said), 3_600 / ROUND_EVERY)

    def test_who_joins_then_waits_for_a_moment_and_is_not_forgotten(self) -> None:
        self.sessions = {LOCAL: [Session()]}
        for _ in range(60):
            self.replays.joined(LOCAL, self.now)
            self.runs(1.0)
        self.runs(2 * ROUND_EVERY)
        before, joins_at = len(self.said), self.now
        self.replays.joined(LOCAL, self.now)
        self.runs(60.0)
        times = [at for at, _, _ in self.said[before:]]
        self.assertEqual(ROUNDS, len(times))
        self.assertLessEqual(times[0] - joins_at, ROUND_EVERY)
        self.runs(ROUNDS_AT_ONCE * ROUND_EVERY)
        self.replays.joined(LOCAL, self.now)
        self.runs(0.0)
        self.assertEqual(self.now, self.said[-1][0])
