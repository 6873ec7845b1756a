"""What is kept of announcements: for how long, whose word counts, and what a flood does."""

import random
import zlib
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.events import Limit, SessionChanged, SessionGone, SessionNew, SessionRefused
from multicastmw.core.sessions.allowance import A_SECOND, OF_ONE_NODE, SOURCES_MAX, Allowances, pieces
from multicastmw.core.sessions.allowance import OF_ONE_SOURCE as READ_OF_ONE
from multicastmw.core.sessions.directory import (
    AN_HOUR,
    COST_MAX,
    OF_ONE_SOURCE,
    SESSIONS_MAX,
    SWEEP,
    Arrival,
    Directory,
)
from multicastmw.core.sessions.scopes import GLOBAL, LOCAL, ORGANISATION, sap_group
from multicastmw.core.sessions.shares import NOWHERE, Home
from multicastmw.wire import ipv4
from multicastmw.wire.sap import LONGEST_PAYLOAD, Announcement, hash_of

SOURCE, OTHER = ipv4.number("10.88.0.1"), ipv4.number("10.88.0.2")
ORIGIN = 0x1111_0001


def text(name: str = "News", session: int = 1, version: int = 1, more: str = "") -> bytes:
    return (
        f"v=0\r\no=- {session} {version} IN IP4 10.88.0.1\r\ns={name}\r\n"
        f"c=IN IP4 239.1.1.1/16\r\nt=0 0\r\n{more}"
        "m=video 5004 RTP/AVP 33\r\n"
    ).encode()


def packet(payload: bytes, source: int = SOURCE, deletion: bool = False, number: int | None = None) -> bytes:
    number = hash_of(payload) if number is None else number
    return Announcement(number, source.to_bytes(4, "big"), payload, deletion=deletion).build()


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.told: list[Any] = []
        self.directory = Directory(self.now, self.told.append)

    def hears(self, message: bytes, source: int = SOURCE, group: int = GLOBAL, origin: int = ORIGIN) -> None:
        self.directory.accept(message, Arrival(group, source, origin, self.now))

    def passes(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + SWEEP)
            self.directory.tick(self.now)

    def names(self) -> list[str]:
        return sorted(session.name for session in self.directory.sessions())

    def kinds(self) -> list[type]:
        return [type(event) for event in self.told]

    def counts(self) -> dict[str, int]:
        return {name: count for name, count in self.directory.counters.as_dict().items() if count}


class Keeping(Case):
    def test_a_session_and_its_period(self) -> None:
        for _ in range(4):
            self.hears(packet(text()))
            self.now += 7
        (session,) = self.directory.sessions()
        self.assertEqual(("News", 7.0, 4), (session.name, session.period, session.times))
        self.assertEqual([SessionNew("10.88.0.1", "News")], self.told)

    def test_one_that_is_announced_in_two_scopes_has_one_period(self) -> None:
        for _ in range(3):
            self.hears(packet(text()), group=GLOBAL)
            self.hears(packet(text()), group=LOCAL)
            self.now += 30
        (session,) = self.directory.sessions()
        self.assertEqual((30.0, {GLOBAL, LOCAL}), (session.period, set(session.scopes)))
        self.assertEqual([session], self.directory.announced_at(LOCAL))
        self.assertEqual([], self.directory.announced_at(ORGANISATION))

    def test_copies_make_no_period(self) -> None:
        self.hears(packet(text()))
        self.now += 0.01
        self.hears(packet(text()))
        (session,) = self.directory.sessions()
        self.assertIsNone(session.period)

    def test_it_goes_an_hour_after_its_last_word(self) -> None:
        self.hears(packet(text()))
        self.passes(AN_HOUR - SWEEP)
        self.assertEqual(["News"], self.names())
        self.passes(2 * SWEEP)
        self.assertEqual([], self.names())
        self.assertIsInstance(self.told[-1], SessionGone)
        self.assertEqual({"received": 1, "expired": 1}, self.counts())
        self.assertEqual((float("inf"), 0), (self.directory.deadline(), self.directory.cost))

    def test_or_after_ten_of_its_periods_where_that_is_more(self) -> None:
        for _ in range(3):
            self.hears(packet(text()))
            self.passes(600)
        self.passes(5_400 - SWEEP)
        self.assertEqual(["News"], self.names())
        self.passes(2 * SWEEP)
        self.assertEqual([], self.names())

    def test_a_new_version_takes_the_place_of_the_old(self) -> None:
        self.hears(packet(text()))
        (before,) = [session.id for session in self.directory.sessions()]
        self.hears(packet(text("Late news", version=2)))
        (after,) = self.directory.sessions()
        self.assertEqual((before, "Late news"), (after.id, after.name))
        self.assertEqual([SessionNew, SessionChanged], self.kinds())

    def test_a_higher_version_of_the_same_is_no_news(self) -> None:
        self.hears(packet(text()))
        self.hears(packet(text(version=2)))
        self.assertEqual([SessionNew], self.kinds())

    def test_another_text_under_the_same_hash_or_none(self) -> None:
        for number in (0, 7):
            self.hears(packet(text("One"), number=number))
            self.hears(packet(text("Two", version=2), number=number))
            self.assertEqual(["Two"], self.names())
            self.hears(packet(text("Two", version=2), number=number))

    def test_a_compressed_one(self) -> None:
        announcement = Announcement(5, bytes((10, 88, 0, 1)), text())
        self.hears(announcement.build(compressed=True))
        self.assertEqual(["News"], self.names())

    def test_what_is_not_for_us_is_counted(self) -> None:
        self.hears(bytes((0x22, 0, 0, 1, 10, 88, 0, 1)) + b"secret")
        self.hears(Announcement(1, bytes(4), b"<x/>", "text/xml").build())
        self.hears(b"\x20noise")
        self.hears(packet(b"v=0\r\ns=\x1b[2J\r\n"))
        self.assertEqual({"received": 4, "encrypted": 1, "other_types": 1, "malformed": 2}, self.counts())
        self.assertEqual([SessionRefused] * 2, self.kinds())
        self.assertTrue(all(event.sentence().isprintable() for event in self.told))

    def test_a_bomb_costs_its_first_bytes_only(self) -> None:
        bomb = bytes((0x21, 0, 0, 1, 10, 88, 0, 1)) + zlib.compress(text() + bytes(64 << 20), 9)
        self.hears(bomb)
        self.assertEqual(({"received": 1, "malformed": 1}, 0), (self.counts(), self.directory.cost))

    def test_names_that_a_log_cannot_hold(self) -> None:
        self.hears(packet(text("a\u202eb")))
        self.assertEqual("10.88.0.1 announces a?b", self.told[0].sentence())


class Deleting(Case):
    def test_by_who_had_announced_it(self) -> None:
        self.hears(packet(text()))
        self.hears(packet(text(), deletion=True))
        self.assertEqual(([], 0), (self.names(), self.directory.cost))
        self.assertEqual([SessionNew, SessionGone], self.kinds())

    def test_by_its_origin_alone(self) -> None:
        self.hears(packet(text()))
        self.hears(packet(b"o=- 1 1 IN IP4 10.88.0.1\r\n", deletion=True))
        self.assertEqual([], self.names())

    def test_nobody_else_may(self) -> None:
        self.hears(packet(text()))
        self.hears(packet(text(), deletion=True), source=OTHER)
        self.hears(packet(text(), source=OTHER, deletion=True))
        self.hears(packet(text(session=2), deletion=True))
        self.assertEqual(["News"], self.names())
        self.assertEqual(3, self.directory.counters.deletions_unknown)

    def test_nobody_else_changes_it(self) -> None:
        self.hears(packet(text()))
        self.hears(packet(text("Fake", version=9)), source=OTHER)
        self.assertEqual(["Fake", "News"], self.names())

    def test_a_scope_that_is_shut(self) -> None:
        self.hears(packet(text("Both")), group=GLOBAL)
        self.hears(packet(text("Both")), group=LOCAL)
        self.hears(packet(text("Local", session=2)), group=LOCAL)
        self.directory.forget_scope(LOCAL)
        self.assertEqual(["Both"], self.names())


class Bounds(Case):
    def flood(self, count: int, sources: int, a_second: float = 500.0) -> None:
        """So many sessions, each once, from so many sources."""
        for number in range(count):
            self.now += 1 / a_second
            self.hears(packet(text(f"x{number}", session=number + 10)), source=0x0A000000 + number % sources)

    def test_what_was_heard_again_stays_whatever_comes(self) -> None:
        for _ in range(2):
            self.hears(packet(text()))
            self.now += 5
        self.flood(5_000, sources=4_000)
        self.assertEqual(SESSIONS_MAX, len(self.directory))
        self.assertIn("News", self.names())
        self.assertEqual(5_001 - SESSIONS_MAX, self.directory.counters.evicted)

    def test_where_all_were_heard_again_what_is_new_is_refused(self) -> None:
        for _ in range(2):
            for number in range(SESSIONS_MAX):
                self.now += 0.01
                self.hears(packet(text(str(number), session=number)), source=number // 200 + 1)
        before = self.names()
        self.hears(packet(text("New", session=9_999)), source=OTHER)
        self.assertEqual(before, self.names())
        self.assertEqual(1, self.directory.counters.refused)
        self.assertIn(Limit("1024 sessions are kept, and no further ones"), self.told)

    def test_one_source_has_a_part_of_the_room(self) -> None:
        self.flood(OF_ONE_SOURCE + 5, sources=1, a_second=100)
        self.assertEqual((OF_ONE_SOURCE, 5), (len(self.directory), self.directory.counters.refused))

    def test_100_000_sessions_cost_bounded_room_and_little_time(self) -> None:
        rng = random.Random(7)
        for number in range(100_000):
            self.now += 0.0001
            message = packet(text(f"x{number}", session=number, more="a=x\r\n" * rng.randint(0, 9)))
            self.hears(message, source=rng.getrandbits(32))
        counters = self.directory.counters
        self.assertLessEqual(len(self.directory), SESSIONS_MAX)
        self.assertLessEqual(self.directory.cost, COST_MAX)
        self.assertEqual(100_000, counters.received)
        self.assertGreater(counters.not_read, 80_000)
        read = 100_000 - counters.not_read
        self.assertLessEqual(read, A_SECOND * (1 + 100_000 * 0.0001) + 1)
        self.assertEqual(len(self.directory), read - counters.evicted - counters.refused)

    def test_long_descriptions_are_few(self) -> None:
        for number in range(2 * SESSIONS_MAX):
            self.now += 0.01
            self.hears(packet(text(session=number, more="a=x:y z\r\n" * 490)), source=number)
        self.assertLess(len(self.directory), 80)
        self.assertLessEqual(self.directory.cost, COST_MAX)

    def test_one_that_grows_makes_others_go_or_goes(self) -> None:
        for _ in range(2):
            for number in range(SESSIONS_MAX):
                self.now += 0.01
                self.hears(
                    packet(text(str(number), session=number, more="a=x:y z\r\n" * 15)), source=number + 1
                )
        self.assertGreater(len(self.directory), 500)
        for number in range(SESSIONS_MAX):
            self.now += 0.01
            self.hears(packet(text(session=number, version=2, more="a=x:y z\r\n" * 490)), source=number + 1)
            self.assertLessEqual(self.directory.cost, COST_MAX)

    def test_one_source_has_a_part_of_the_reading(self) -> None:
        allowances = Allowances()
        self.assertEqual(READ_OF_ONE, sum(allowances.allow(1, 1, 1, 0.0) for _ in range(5_000)))
        self.assertTrue(allowances.allow(2, 1, 1, 0.0))
        self.assertEqual(
            A_SECOND - READ_OF_ONE - 1, sum(allowances.allow(n, n, 1, 0.0) for n in range(3, 5_000))
        )
        self.assertEqual((SOURCES_MAX, SOURCES_MAX), (len(allowances.sources), len(allowances.homes)))
        self.assertEqual(READ_OF_ONE, sum(allowances.allow(1, 1, 1, 100.0) for _ in range(5_000)))

    def test_what_is_long_takes_more_of_it(self) -> None:
        for number in range(1_000):
            self.hears(packet(text(session=number, more="a=x:y z\r\n" * 480)))
        self.assertEqual(
            READ_OF_ONE // pieces(4_500), self.directory.counters.received - self.directory.counters.not_read
        )
        self.now += 10
        before = self.directory.counters.not_read
        for number in range(1_000):
            self.hears(
                Announcement(number, bytes(4), text(session=number)).build(compressed=True), source=OTHER
            )
        read = 1_000 - (self.directory.counters.not_read - before)
        self.assertEqual(READ_OF_ONE // pieces(LONGEST_PAYLOAD), read)


class Shares(Case):
    """Who makes room for whom, by the node where an announcement comes in."""

    FLOODER, ELSEWHERE, THIRD = 0x2222_0001, 0x3333_0001, 0x4444_0001

    def comes(self, name: str, number: int, origin: int, times: int = 1, more: str = "") -> None:
        """From an address of its own, as often as that."""
        for _ in range(times):
            message = packet(text(name, session=number, more=more))
            self.hears(message, source=0x0A00_0000 + number, origin=origin)
            self.now += 0.3

    def forged(self, count: int, origin: int, more: str = "") -> None:
        """So many, all of which are said twice, from as many addresses."""
        for begin in range(0, count, 100):
            for _ in range(2):
                for number in range(begin, min(count, begin + 100)):
                    message = packet(text(f"forged {number}", session=number, more=more))
                    self.hears(message, source=0x0B00_0000 + (origin & 0xFF0000) * 4 + number, origin=origin)
                self.now += 0.3

    def of(self, origin: int) -> list[str]:
        return [each.name for each in self.directory.sessions() if each.origin == origin]

    def test_10_000_forged_ones_of_a_node_leave_in_place_what_was_there(self) -> None:
        honest = (
            {f"elsewhere {n}" for n in range(30)} | {f"on its LAN {n}" for n in range(30)} | {"heard once"}
        )
        for number, name in enumerate(sorted(honest)):
            origin = self.FLOODER if "LAN" in name else self.ELSEWHERE
            self.comes(name, number, origin, times=1 if name == "heard once" else 2)
        self.forged(10_000, self.FLOODER)
        self.assertEqual(SESSIONS_MAX, len(self.directory))
        self.assertEqual(set(), honest - set(self.names()))
        counters = self.directory.counters
        self.assertGreater(counters.refused + counters.evicted, 8_000)
        self.comes("new elsewhere", 900, self.ELSEWHERE)
        self.comes("new at a third", 901, self.THIRD)
        self.assertEqual(set(), {"new elsewhere", "new at a third"} - set(self.names()))
        self.assertEqual(set(), honest - set(self.names()))

    def test_who_floods_first_gives_way_to_whoever_comes_later(self) -> None:
        self.forged(2_000, self.FLOODER)
        for number in range(400):
            self.comes(f"later {number}", number, self.ELSEWHERE, times=2)
        self.assertEqual(400, len(self.of(self.ELSEWHERE)))
        self.assertEqual(SESSIONS_MAX, len(self.directory))

    def test_each_of_three_that_flood_has_a_third(self) -> None:
        for _ in range(3):
            for origin in (self.FLOODER, self.ELSEWHERE, self.THIRD):
                self.forged(1_000, origin)
        for origin in (self.FLOODER, self.ELSEWHERE, self.THIRD):
            self.assertIn(len(self.of(origin)), (SESSIONS_MAX // 3, SESSIONS_MAX // 3 + 1))

    def test_shares_are_of_bytes_too(self) -> None:
        self.forged(200, self.FLOODER, more="a=x:y z\r\n" * 490)
        few = len(self.of(self.FLOODER))
        for number in range(few):
            self.comes(f"long {number}", number, self.ELSEWHERE, times=2, more="a=x:y z\r\n" * 490)
        self.assertLessEqual(self.directory.cost, COST_MAX)
        self.assertApproximates(few / 2, len(self.of(self.ELSEWHERE)), 1)

    def test_what_was_heard_again_last_goes_first(self) -> None:
        for number in range(SESSIONS_MAX):
            self.comes(f"s{number}", number, self.FLOODER, times=2)
        self.comes("new", 5_000, self.ELSEWHERE)
        self.assertNotIn(f"s{SESSIONS_MAX - 1}", self.names())
        self.assertIn("s0", self.names())

    def test_one_that_grows_takes_the_place_of_a_junior_at_its_own_node(self) -> None:
        self.comes("old", 1, self.FLOODER, times=2)
        self.forged(200, self.FLOODER, more="a=x:y z\r\n" * 490)
        self.comes("old", 1, self.FLOODER, more="a=x:y z\r\n" * 490)
        self.assertIn("old", self.names())
        self.assertLessEqual(self.directory.cost, COST_MAX)

    def test_a_session_stays_in_the_share_of_the_node_where_it_was_heard_first(self) -> None:
        """Else who says another's again would take it into its own share, and push it out there."""
        self.comes("ours", 1, self.ELSEWHERE, times=2)
        self.comes("ours", 1, self.FLOODER, times=2)
        self.forged(3_000, self.FLOODER)
        self.assertIn("ours", self.names())

    def test_one_node_leaves_half_of_the_reading_to_the_others(self) -> None:
        for number in range(3_000):
            self.hears(packet(text(f"x{number}", session=number)), source=number, origin=self.FLOODER)
        self.assertEqual(3_000 - OF_ONE_NODE, self.directory.counters.not_read)
        self.hears(packet(text("other")), source=9, origin=self.ELSEWHERE)
        self.assertIn("other", self.names())


class Ways(Shares):
    """The same behind one link; and what behind another one is invented."""

    WAYS = 0x0100, 0x0200  # nodes at the other ends of two links; who is told by neither is nowhere

    def setUp(self) -> None:
        super().setUp()
        self.directory = Directory(self.now, self.told.append, self.home_of)
        self.told_nodes: dict[int, int] = {}

    def home_of(self, origin: int) -> Home:
        node = origin >> 16
        if origin in (self.FLOODER, self.ELSEWHERE, self.THIRD):
            return Home(self.WAYS[0], node)
        return Home(self.told_nodes[node], node) if node in self.told_nodes else NOWHERE

    def invented(self, count: int) -> None:
        for number in range(count):
            self.comes(f"invented {number}", 5_000 + number, 0x7000_0000_0001 + (number << 16), times=2)

    def honest(self, count: int) -> set[str]:
        for number in range(count):
            self.comes(f"honest {number}", number, self.ELSEWHERE, times=3)
        return {f"honest {number}" for number in range(count)}

    def test_origins_that_nobody_leads_to_take_one_share_together(self) -> None:
        honest = self.honest(500)
        self.invented(1_200)
        self.assertEqual(set(), honest - set(self.names()))

    def test_nodes_that_a_link_invents_take_no_more_than_that_link_s_share(self) -> None:
        honest = self.honest(500)
        self.told_nodes = {0x7000_0000 + number: self.WAYS[1] for number in range(1_200)}
        self.invented(1_200)
        self.assertEqual(set(), honest - set(self.names()))
        self.assertEqual(SESSIONS_MAX, len(self.directory))


@settings(max_examples=30, stateful_step_count=40)
class Life(RuleBasedStateMachine):
    """Against a dictionary, while the bounds are far."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.directory = Directory(self.now)
        self.kept: dict[tuple[int, int], tuple[str, float]] = {}

    @rule(
        source=st.integers(1, 3),
        session=st.integers(1, 3),
        name=st.sampled_from("ab"),
        after=st.floats(0, 900),
    )
    def announced(self, source: int, session: int, name: str, after: float) -> None:
        self._pass(after)
        self.directory.accept(packet(text(name, session)), Arrival(GLOBAL, source, ORIGIN, self.now))
        self.kept[source, session] = name, self.now

    @rule(source=st.integers(1, 3), session=st.integers(1, 3))
    def deleted(self, source: int, session: int) -> None:
        self.directory.accept(
            packet(text("z", session), deletion=True), Arrival(GLOBAL, source, ORIGIN, self.now)
        )
        self.kept.pop((source, session), None)

    @rule(after=st.floats(0, 8_000))
    def time_passes(self, after: float) -> None:
        self._pass(after)

    def _pass(self, after: float) -> None:
        """Those with long periods last longer, which this model does not know: it asks."""
        self.now += after
        self.directory.tick(self.now)
        here = {(s.source, int(s.key[2][1])): s for s in self.directory.sessions()}
        for key, (_, heard) in list(self.kept.items()):
            if key not in here:
                assert self.now - heard >= AN_HOUR - 1e-6, "gone too early"
                del self.kept[key]
            else:
                assert self.now - heard < max(AN_HOUR, 10 * (here[key].period or 0)) + SWEEP, "kept too long"

    @invariant()
    def same(self) -> None:
        found = {(s.source, int(s.key[2][1])): s.name for s in self.directory.sessions()}
        assert found == {key: name for key, (name, _) in self.kept.items()}
        assert self.directory.cost == sum(s.cost for s in self.directory.sessions())
        shares = [share.use for share in self.directory._shares.values()]
        assert (len(self.directory), self.directory.cost) == (
            sum(use.sessions for use in shares), sum(use.cost for use in shares)
        )  # fmt: skip


class LifeTest(SynchronousTestCase):
    def test_a_directory_is_a_dictionary_that_forgets(self) -> None:
        Life.TestCase("runTest").runTest()


class Scopes(SynchronousTestCase):
    def test_the_group_of_each_scope(self) -> None:
        for group, sap in {
            "239.255.0.1": LOCAL, "239.255.255.254": LOCAL, "239.192.0.1": ORGANISATION,
            "239.195.1.1": ORGANISATION, "239.196.0.1": GLOBAL, "239.1.1.1": GLOBAL, "224.2.0.1": GLOBAL,
            "232.1.1.1": GLOBAL, "239.254.1.1": GLOBAL,
        }.items():  # fmt: skip
            self.assertEqual(ipv4.text(sap), ipv4.text(sap_group(ipv4.number(group))))
