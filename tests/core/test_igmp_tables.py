"""The tables of RFC 3376, 6.4, row by row, and the querier against the naive one over whole histories."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.igmp import IgmpSettings, Querier, Send, Unwant, Want
from multicastmw.core.igmp_group import Membership
from multicastmw.core.igmp_values import GRACE
from multicastmw.wire import igmp
from multicastmw.wire.igmp import Kind, Leave, Query, Record, Report, ReportV3
from multicastmw.wire.ipv4 import number
from tests.core.igmp_naive import ROWS, NaiveQuerier, replay

HOST, ROUTER, BRIDGE = number("10.88.0.2"), number("10.88.0.254"), 0
GROUPS = [number(f"239.0.0.{n}") for n in (1, 2, 3)]
SOURCES = [number(f"192.0.2.{n}") for n in range(1, 7)]
GMI = 100.0

some = st.frozensets(st.sampled_from(SOURCES))


@st.composite
def states(draw: st.DrawFn, mode: str) -> tuple[dict[int, float], float]:
    """Source timers, each another, 0 for the excluded; and the group timer."""
    timers = {
        source: float(10 + n)
        for n, source in enumerate(draw(st.lists(st.sampled_from(SOURCES), unique=True)))
    }
    if mode == "EXCLUDE":
        timers |= dict.fromkeys(draw(st.frozensets(st.sampled_from(list(timers)))) if timers else (), 0.0)
        return timers, 50.0
    return timers, 0.0


class TableTests(SynchronousTestCase):
    def replay(self, row: list[str], data: st.DataObject) -> None:
        mode, kind = row[0].split()[0], row[1].split()[0]
        timers, group_timer = data.draw(states(mode))
        sources = data.draw(some)
        membership = Membership(GROUPS[0])
        membership.excluding = mode == "EXCLUDE"
        membership.requested = {source: timer for source, timer in timers.items() if timer}
        membership.excluded = frozenset(source for source, timer in timers.items() if not timer)
        if mode == "EXCLUDE":
            membership.until = group_timer
        asked = membership.accept(Kind[kind], sources, GMI, bound=64)
        expected = replay(mode, timers, group_timer, kind, sources, GMI)
        self.assertEqual(membership.excluding, expected.mode == "EXCLUDE")
        self.assertEqual(membership.requested | dict.fromkeys(membership.excluded, 0.0), expected.timers)
        self.assertEqual((asked.whole_group, asked.sources), (expected.ask_group, expected.ask_sources))
        if membership.excluding:
            self.assertEqual(membership.until, expected.group_timer)

    def test_the_tables_have_all_their_rows(self):
        heads = {(row[0].split()[0], row[1].split()[0]) for row in ROWS}
        self.assertEqual(heads, {(mode, kind.name) for mode in ("INCLUDE", "EXCLUDE") for kind in Kind})
        self.assertEqual(len(ROWS), 12)


def row_test(row: list[str]):
    @given(st.data())
    def test(self: TableTests, data: st.DataObject):
        self.replay(row, data)

    return test


for _row in ROWS:
    _mode, _kind = _row[0].split()[0], _row[1].split()[0]
    setattr(TableTests, f"test_{_mode.lower()}_and_{_kind.lower()}_is_as_in_the_table", row_test(_row))


waits = st.integers(0, 40).map(lambda quarters: quarters / 4) | st.sampled_from(
    (0.0, 0.25, 0.5, 0.75, 22.0, 30.25)
)
reports = st.tuples(st.just("record"), st.sampled_from(list(Kind)), st.sampled_from(GROUPS), some)
olders = st.tuples(st.just("older"), st.sampled_from((1, 2)), st.sampled_from(GROUPS), st.just(None))
leaves = st.tuples(st.just("leave"), st.just(None), st.sampled_from(GROUPS), st.just(None))
asked = st.tuples(st.just("query"), st.booleans(), st.sampled_from(GROUPS), some)
events = st.lists(st.tuples(waits, st.one_of(reports, reports, reports, olders, leaves, asked)), max_size=40)


class HistoryTests(SynchronousTestCase):
    """Any history of reports and queries: the same channels at every moment, and the same queries."""

    @settings(max_examples=300, deadline=None)
    @given(events, st.sampled_from((2, 3)), st.integers(1, 3))
    def test_the_querier_does_what_the_naive_one_does(self, history: list, version: int, robustness: int):
        own = IgmpSettings(version=version, robustness=robustness, max_groups=2, max_sources=4)
        naive = NaiveQuerier(
            version=version,
            gmi=robustness * 10 + 2 + GRACE,
            v1_gmi=robustness * 10 + 10 + GRACE,
            last_member_interval=0.5,
            last_member_count=robustness,
            last_member_time=robustness * 0.5 + GRACE,
            max_groups=2,
            max_sources=4,
        )
        querier = Querier(own, ROUTER)
        self.wanted: set[tuple[int, int]] = set()
        self.queries: list[tuple[float, int, bool, tuple[int, ...]]] = []
        now = 0.0
        self.follow(querier.start(now), now)
        for wait, event in [*history, (300.0, ("leave", None, GROUPS[0], None))]:
            now += wait
            while querier.deadline() <= now:
                moment = querier.deadline()
                self.follow(querier.tick(moment), moment)
            naive.advance(now)
            self.assertEqual(self.wanted, naive.wanted())
            self.follow(self.both(event, querier, naive, now, robustness), now)
            self.assertEqual(self.wanted, naive.wanted())
            self.assertEqual(self.wanted, set(querier.wanted()))
            self.assertEqual(sorted(self.queries), sorted(naive.queries))
        self.assertEqual(self.wanted, set())

    def both(self, event: tuple, querier: Querier, naive: NaiveQuerier, now: float, robustness: int) -> list:
        what, detail, group, sources = event
        if what == "record":
            naive.record(detail.name, group, sources, now)
            message = ReportV3((Record(detail, group, tuple(sources)),))
        elif what == "older":
            naive.older(detail, group, now)
            message = Report(detail, group)
        elif what == "leave":
            naive.record("TO_IN", group, frozenset(), now)
            message = Leave(group)
        else:
            if not detail:
                naive.heard_query(group, sources, robustness * 1.5 + GRACE, now)
            message = Query(3, group, 1.5, tuple(sources), suppress=detail)
            return querier.accept(igmp.pack(message, BRIDGE, group), now)
        return querier.accept(igmp.pack(message, HOST, group), now)

    def follow(self, actions: list, now: float) -> None:
        for action in actions:
            match action:
                case Want(group, source):
                    self.assertNotIn((group, source), self.wanted)
                    self.wanted.add((group, source))
                case Unwant(group, source):
                    self.wanted.remove((group, source))
                case Send(packet):
                    query = igmp.unpack(packet).message
                    if query.group:
                        self.queries.append((now, query.group, query.suppress, query.sources))
