"""The querier as hosts, operators and strangers meet it: timing, elections, older versions, bounds."""

import struct
from itertools import pairwise
from math import inf
from random import Random
from time import perf_counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.igmp import IgmpSettings, Querier, Send, Unwant, Want, querier_address
from multicastmw.core.igmp_reporters import HOSTS_MAX
from multicastmw.core.igmp_values import GRACE
from multicastmw.wire import igmp
from multicastmw.wire.igmp import Kind, Leave, Query, Record, Report, ReportV3
from multicastmw.wire.ipv4 import Header, number
from tests.core.igmp_hosts import Host, Link

HOST, ROUTER, LOWER, HIGHER = (number(f"10.88.0.{n}") for n in (2, 200, 100, 254))
GROUP, OTHER = number("239.1.1.1"), number("239.1.1.2")
S1, S2, S3 = (number(f"192.0.2.{n}") for n in (1, 2, 3))


def packet(message: igmp.Message, source: int = HOST) -> bytes:
    return igmp.pack(message, source, GROUP)


def report(kind: Kind, group: int = GROUP, *sources: int) -> bytes:
    return packet(ReportV3((Record(kind, group, sources),)))


def queries(actions: list) -> list[Query]:
    return [igmp.unpack(action.packet).message for action in actions if isinstance(action, Send)]


def channels(actions: list) -> list:
    return [action for action in actions if not isinstance(action, Send)]


def run(querier: Querier, until: float) -> list[tuple[float, object]]:
    """Ticks at every deadline up to `until`; what was done, with its time."""
    done = []
    while querier.deadline() <= until:
        now = querier.deadline()
        done += [(now, action) for action in querier.tick(now)]
    return done


class QuerierCase(SynchronousTestCase):
    def started(self, address: int = ROUTER, **options: object) -> Querier:
        querier = Querier(IgmpSettings(**options), address)
        querier.start(0.0)
        return querier

    def link(self, *versions: int, seed: int = 1, **options: object) -> Link:
        random = Random(seed)
        hosts = [Host(version, HOST + n, random) for n, version in enumerate(versions)]
        return Link(Querier(IgmpSettings(**options), ROUTER), hosts)


class QueryTests(QuerierCase):
    def test_start_up_queries_go_out_at_0_1_and_3_seconds_and_then_every_interval(self):
        querier = Querier(IgmpSettings(), ROUTER)
        sent = [(100.0, action) for action in querier.start(100.0)] + run(querier, 140.0)
        self.assertEqual([now for now, _ in sent], [100.0, 101.0, 103.0, 113.0, 123.0, 133.0])
        asked = [queries([action])[0] for _, action in sent]
        self.assertEqual([query.max_response for query in asked], [1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
        self.assertEqual({query[:2] + query[3:] for query in asked}, {(3, 0, (), False, 2, 10.0)})

    def test_general_queries_go_to_all_systems_from_our_address(self):
        (action,) = Querier(IgmpSettings(), ROUTER).start(0.0)
        header = Header.parse(action.packet)
        self.assertEqual((header.source, header.destination, header.ttl), (ROUTER, igmp.ALL_SYSTEMS, 1))
        self.assertTrue(igmp.unpack(action.packet).router_alert)

    def test_specific_queries_go_to_the_group(self):
        querier = self.started()
        querier.accept(report(Kind.TO_EX), 10.0)
        (action,) = querier.accept(report(Kind.TO_IN), 11.0)
        self.assertEqual(Header.parse(action.packet).destination, GROUP)

    def test_the_time_to_answer_is_less_than_the_interval(self):
        for interval in (1, 2, 3, 10, 125):
            link = self.link(query_interval=interval)
            link.run(1000.0)
            times = [now for now, _ in link.sent]
            for (_, query), gap in zip(link.sent[3:], pairwise(times[3:]), strict=False):
                self.assertLess(query.max_response, gap[1] - gap[0])

    def test_older_queries_have_their_own_shape(self):
        for version, length in ((1, 8), (2, 8), (3, 12)):
            (action,) = Querier(IgmpSettings(version=version), ROUTER).start(0.0)
            header = Header.parse(action.packet)
            self.assertEqual(header.total_length - header.size, length)
            self.assertEqual(queries([action])[0].version, version)

    def test_queries_never_stop_and_so_a_picture_does_not_freeze_after_260_seconds(self):
        """Snooping bridges forget a group that nobody asks for: 4 minutes 20 by the book."""
        for versions in ((1,), (2,), (3,), (1, 2, 3)):
            link = self.link(*versions)
            link.run(5.0)
            for host in link.hosts:
                link.says(host, host.join(GROUP))
            link.run(3600.0)
            self.assertEqual(len(link.changes), 1)
            times = [now for now, query in link.sent if not query.group]
            self.assertLessEqual(max(b - a for a, b in pairwise(times)), 10.0)
            self.assertGreater(times[-1], 3589.0)

    def test_a_node_that_was_woken_late_asks_once_and_goes_on(self):
        querier = self.started()
        self.assertEqual(len(queries(querier.tick(65.0))), 1)
        self.assertEqual(querier.deadline(), 75.0)
        self.assertEqual(len(queries(querier.tick(75.0))), 1)

    def test_nothing_is_due_before_the_start_and_after_the_stop(self):
        querier = Querier(IgmpSettings(), ROUTER)
        self.assertEqual((querier.deadline(), querier.accept(report(Kind.TO_EX), 0.0)), (inf, []))
        querier.start(0.0)
        querier.accept(report(Kind.TO_EX), 0.0)
        querier.stop()
        self.assertEqual((querier.deadline(), querier.tick(1000.0)), (inf, []))
        self.assertEqual(querier.accept(report(Kind.TO_EX), 1000.0), [])


class LeaveTests(QuerierCase):
    def stops_after(self, host_version: int, **options: object) -> float:
        link = self.link(host_version, **options)
        (host,) = link.hosts
        link.says(host, host.join(GROUP))
        link.run(20.3)
        link.says(host, host.leave(GROUP))
        link.run(100.0)
        self.assertFalse(link.flow(GROUP))
        return link.changes[-1][0] - 20.3

    def test_a_version_2_or_3_leave_stops_the_flow_within_one_and_a_half_seconds(self):
        for version in (2, 3):
            for asking in (2, 3):
                self.assertLessEqual(self.stops_after(version, version=asking), 1.5)

    def test_a_version_2_or_3_leave_is_given_time_to_be_contradicted(self):
        for version in (2, 3):
            self.assertGreater(self.stops_after(version), 1.0)

    def test_a_version_3_host_that_gives_up_its_source_stops_that_flow_within_one_and_a_half_seconds(self):
        link = self.link(3)
        (host,) = link.hosts
        link.says(host, host.want(GROUP, "include", frozenset((S1, S2))))
        self.assertEqual(link.wanted, {(GROUP, S1), (GROUP, S2)})
        link.run(20.0)
        link.says(host, host.want(GROUP, "include", frozenset((S2,))))
        link.run(21.5)
        self.assertEqual(link.wanted, {(GROUP, S2)})
        self.assertEqual([q.sources for _, q in link.sent if q.group], [(S1,), (S1,)])

    def test_who_stays_is_asked_and_has_no_gap(self):
        for version in (2, 3):
            for seed in range(20):
                link = self.link(version, version, seed=seed)
                for host in link.hosts:
                    link.says(host, host.join(GROUP))
                link.run(20.0)
                link.says(link.hosts[0], link.hosts[0].leave(GROUP))
                link.run(60.0)
                self.assertEqual([change for _, change in link.changes], [Want(GROUP, 0)])

    def test_specific_queries_come_twice_and_say_when_somebody_answered(self):
        querier = self.started()
        querier.accept(report(Kind.TO_EX), 10.0)
        first = queries(querier.accept(packet(Leave(GROUP)), 20.0))
        querier.accept(report(Kind.IS_EX), 20.25)
        second = [q for _, action in run(querier, 21.5) for q in queries([action]) if q.group]
        self.assertEqual([q.suppress for q in first + second], [False, True])
        self.assertEqual({q.max_response for q in first + second}, {0.5})

    def test_version_2_queries_stop_when_somebody_answered(self):
        querier = self.started(version=2)
        querier.accept(packet(Report(2, GROUP)), 10.0)
        self.assertEqual(len(queries(querier.accept(packet(Leave(GROUP)), 20.0))), 1)
        querier.accept(packet(Report(2, GROUP)), 20.25)
        self.assertEqual([a for _, action in run(querier, 21.5) for a in queries([action]) if a.group], [])

    def test_a_flood_of_leaves_is_one_series_of_queries(self):
        querier = self.started()
        querier.accept(report(Kind.TO_EX), 10.0)
        sent = [q for _ in range(500) for q in queries(querier.accept(packet(Leave(GROUP)), 20.0))]
        self.assertEqual(len(sent), 1)

    def test_a_second_leave_is_asked_about_although_the_first_was_answered_just_now(self):
        """Else its query would carry S and its group live on for 22 seconds."""
        querier = self.started()
        querier.accept(report(Kind.TO_EX), 10.0)
        querier.accept(packet(Leave(GROUP)), 20.0)
        querier.accept(report(Kind.IS_EX), 20.125)
        (query,) = queries(querier.accept(packet(Leave(GROUP)), 20.25))
        self.assertFalse(query.suppress)
        self.assertIn(Unwant(GROUP, 0), [action for _, action in run(querier, 21.75)])

    def test_a_leave_of_what_nobody_wants_is_not_asked_about(self):
        querier = self.started()
        for data in (
            packet(Leave(GROUP)),
            report(Kind.TO_IN),
            report(Kind.BLOCK, GROUP, S1),
            report(Kind.IS_IN),
        ):
            self.assertEqual(querier.accept(data, 1.0), [])
        self.assertEqual(querier.snapshot(1.0).groups, ())

    def test_a_group_whose_host_has_died_lives_robustness_times_interval_and_the_response(self):
        for robustness, lifetime in ((1, 12.0), (2, 22.0), (3, 32.0)):
            querier = self.started(robustness=robustness)
            querier.accept(report(Kind.IS_EX), 5.0)
            ends = [now for now, action in run(querier, 100.0) if action == Unwant(GROUP, 0)]
            self.assertEqual(ends, [5.0 + lifetime + GRACE])


class SourceTests(QuerierCase):
    def test_include_wants_each_source_and_exclude_any(self):
        querier = self.started()
        self.assertEqual(
            querier.accept(report(Kind.ALLOW, GROUP, S2, S1), 1.0), [Want(GROUP, S1), Want(GROUP, S2)]
        )
        self.assertEqual(querier.accept(report(Kind.IS_EX, OTHER, S1), 1.0), [Want(OTHER, 0)])

    def test_a_change_of_mode_wants_the_new_before_it_gives_up_the_old(self):
        querier = self.started()
        querier.accept(report(Kind.ALLOW, GROUP, S1), 1.0)
        change = channels(querier.accept(report(Kind.TO_EX, GROUP), 2.0))
        self.assertEqual(change, [Want(GROUP, 0), Unwant(GROUP, S1)])
        querier.accept(report(Kind.TO_IN, GROUP, S2), 3.0)
        change = [action for _, action in run(querier, 5.0) if not isinstance(action, Send)]
        self.assertEqual(change, [Want(GROUP, S2), Unwant(GROUP, 0)])

    def test_a_report_before_the_tick_saves_a_group_that_ran_out(self):
        querier = self.started()
        querier.accept(report(Kind.IS_EX), 5.0)
        self.assertEqual(querier.accept(report(Kind.IS_EX), 27.5), [])
        self.assertEqual(channels(querier.tick(27.5)), [])

    def test_a_source_that_nobody_requests_any_more_is_excluded_again(self):
        querier = self.started()
        querier.accept(report(Kind.TO_EX, GROUP, S1, S2), 1.0)
        querier.accept(report(Kind.IS_IN, GROUP, S1), 2.0)
        querier.accept(report(Kind.IS_EX, GROUP, S1, S2), 12.0)
        self.assertEqual(querier.snapshot(12.0).groups[0].sources, (S1,))
        run(querier, 30.0)
        (group,) = querier.snapshot(30.0).groups
        self.assertEqual((group.sources, group.excluded), ((), (S1, S2)))

    def test_a_source_about_to_expire_does_not_live_longer_for_being_asked_about(self):
        for question in (report(Kind.BLOCK, GROUP, S1), packet(Query(3, GROUP, 0.5, (S1,)), 0)):
            querier = self.started()
            querier.accept(report(Kind.ALLOW, GROUP, S1), 1.0)
            querier.accept(question, 23.0)
            self.assertEqual(querier.snapshot(23.0).groups[0].expires_in, GRACE)

    def test_a_source_that_reads_any_or_is_a_group_is_no_source(self):
        querier = self.started()
        for bad in (0, 5, GROUP, 0xFFFFFFFF):
            self.assertEqual(querier.accept(report(Kind.ALLOW, GROUP, bad), 1.0), [])
        self.assertEqual(querier.accept(report(Kind.ALLOW, GROUP, 0, S1), 1.0), [Want(GROUP, S1)])

    def test_unknown_record_types_are_skipped_and_the_others_taken(self):
        querier = self.started()
        records = (Record(7, GROUP), Record(0, GROUP), Record(4, OTHER, (), b"auxi"))
        self.assertEqual(querier.accept(packet(ReportV3(records)), 1.0), [Want(OTHER, 0)])
        self.assertEqual(querier.counters.unknown_records, 2)


class OlderVersionTests(QuerierCase):
    def test_a_version_1_group_lives_robustness_times_interval_and_10_seconds(self):
        for asking in (1, 2, 3):
            querier = self.started(version=asking)
            querier.accept(packet(Report(1, GROUP)), 5.0)
            ends = [now for now, action in run(querier, 100.0) if action == Unwant(GROUP, 0)]
            self.assertEqual(ends, [5.0 + 30.0 + GRACE])

    def test_a_version_2_report_does_not_shorten_the_life_of_a_version_1_group(self):
        querier = self.started()
        querier.accept(packet(Report(1, GROUP)), 5.0)
        querier.accept(packet(Report(2, GROUP)), 6.0)
        self.assertEqual(querier.snapshot(6.0).groups[0].expires_in, 30.0 + GRACE)

    def test_leaves_are_ignored_while_a_version_1_host_is_about(self):
        querier = self.started()
        querier.accept(packet(Report(1, GROUP)), 5.0)
        for data in (packet(Leave(GROUP)), report(Kind.TO_IN), report(Kind.BLOCK, GROUP, S1)):
            self.assertEqual(querier.accept(data, 6.0), [])
        self.assertEqual(querier.snapshot(6.0).groups[0].version, 1)

    def test_leaves_count_again_when_the_version_1_host_has_gone(self):
        querier = self.started()
        querier.accept(packet(Report(1, GROUP)), 5.0)
        for now in (15.0, 25.0, 35.0):
            querier.accept(packet(Report(2, GROUP)), now)
        self.assertEqual(querier.snapshot(35.25).groups[0].version, 2)
        self.assertEqual(len(queries(querier.accept(packet(Leave(GROUP)), 35.25))), 1)

    def test_blocks_and_exclude_lists_are_ignored_while_a_version_2_host_is_about(self):
        querier = self.started()
        querier.accept(packet(Report(2, GROUP)), 5.0)
        self.assertEqual(querier.accept(report(Kind.BLOCK, GROUP, S1), 6.0), [])
        self.assertEqual(querier.accept(report(Kind.TO_EX, GROUP, S1), 6.0), [])
        (group,) = querier.snapshot(6.0).groups
        self.assertEqual((group.version, group.sources, group.excluded), (2, (), ()))
        self.assertEqual(querier.snapshot(5.0 + 22.0 + GRACE).groups[0].version, 3)

    def test_a_host_that_joins_by_version_3_is_heard_whatever_we_ask_by(self):
        for asking in (1, 2, 3):
            self.assertEqual(
                self.started(version=asking).accept(report(Kind.TO_EX), 1.0), [Want(GROUP, 0)], asking
            )

    def test_a_version_1_querier_ignores_leaves_and_asks_nothing_specific(self):
        querier = self.started(version=1)
        querier.accept(packet(Report(2, GROUP)), 1.0)
        querier.accept(report(Kind.ALLOW, OTHER, S1), 1.0)
        for data in (packet(Leave(GROUP)), report(Kind.TO_IN, OTHER), report(Kind.BLOCK, OTHER, S1)):
            self.assertEqual(querier.accept(data, 2.0), [])

    def test_a_version_2_querier_asks_the_group_when_it_means_a_source(self):
        querier = self.started(version=2)
        querier.accept(report(Kind.ALLOW, GROUP, S1), 1.0)
        self.assertEqual(queries(querier.accept(report(Kind.BLOCK, GROUP, S1), 2.0)), [Query(2, GROUP, 0.5)])


class ElectionTests(QuerierCase):
    GENERAL = Query(3, 0, 10.0, robustness=3, interval=20.0)

    def test_the_lower_address_asks_and_we_are_silent_until_it_is(self):
        querier = self.started()
        querier.accept(packet(self.GENERAL, LOWER), 5.0)
        status = querier.snapshot(5.0)
        self.assertEqual((status.is_querier, status.querier, status.other_expires_in), (False, LOWER, 65.0))
        self.assertEqual(run(querier, 69.9), [])
        again = [now for now, action in run(querier, 90.0) if queries([action])]
        self.assertEqual(again, [70.0, 71.0, 73.0, 83.0])
        self.assertTrue(querier.snapshot(83.0).is_querier)

    def test_a_higher_address_none_and_our_own_do_not_win(self):
        querier = self.started()
        for source in (HIGHER, 0, ROUTER):
            querier.accept(packet(self.GENERAL, source), 5.0)
            self.assertTrue(querier.snapshot(5.0).is_querier)
        self.assertEqual((querier.counters.queries_heard, querier.counters.own_queries_heard), (3, 1))

    def test_without_an_address_we_give_way_to_everybody_who_has_one(self):
        querier = self.started(address=0)
        querier.accept(packet(self.GENERAL, 0), 4.0)
        self.assertTrue(querier.snapshot(4.0).is_querier)
        querier.accept(packet(self.GENERAL, HIGHER), 5.0)
        self.assertFalse(querier.snapshot(5.0).is_querier)

    def test_memberships_are_kept_by_the_times_of_the_querier(self):
        querier = self.started()
        querier.accept(packet(self.GENERAL, LOWER), 5.0)
        querier.accept(report(Kind.IS_EX), 6.0)
        self.assertGreaterEqual(querier.snapshot(6.0).groups[0].expires_in, 3 * 20.0 + 10.0)

    def test_a_querier_that_falls_silent_costs_nobody_the_picture(self):
        """Its last query was answered by everybody; then it dies, and we ask in time."""
        for seed in range(30):
            link = self.link(3, 2, seed=seed)
            link.run(20.0)
            for host in link.hosts:
                link.says(host, host.join(GROUP))
            link.does(link.querier.accept(packet(self.GENERAL._replace(max_response=0.1), LOWER), link.now))
            for host in link.hosts:
                host.heard(self.GENERAL._replace(max_response=0.1), link.now)
            link.run(400.0)
            self.assertEqual([change for _, change in link.changes], [Want(GROUP, 0)])

    def test_when_it_falls_silent_there_is_time_for_more_than_one_answer_to_us(self):
        querier = self.started()
        querier.accept(packet(Query(3, 0, 0.1, robustness=2, interval=20.0), LOWER), 5.0)
        querier.accept(report(Kind.IS_EX), 5.0)
        taken_over = run(querier, 46.0)[0][0]
        self.assertGreaterEqual(querier.snapshot(taken_over).groups[0].expires_in, 3.0)

    def test_one_that_claims_to_ask_once_a_day_does_not_silence_us_for_longer_than_its_bound(self):
        querier = self.started()
        querier.accept(packet(Query(3, 0, 3000.0, robustness=1, interval=31744.0), LOWER), 5.0)
        self.assertLessEqual(querier.snapshot(5.0).other_expires_in, 900.0)

    def test_a_querier_that_is_not_elected_does_not_ask_about_leaves(self):
        querier = self.started()
        querier.accept(report(Kind.IS_EX), 4.0)
        querier.accept(packet(self.GENERAL, LOWER), 5.0)
        self.assertEqual(querier.accept(packet(Leave(GROUP)), 6.0), [])
        self.assertGreater(querier.snapshot(6.0).groups[0].expires_in, 19.0)

    def test_who_loses_the_election_stops_asking_at_once(self):
        querier = self.started()
        querier.accept(report(Kind.IS_EX), 4.0)
        querier.accept(packet(Leave(GROUP)), 5.0)
        querier.accept(packet(self.GENERAL, LOWER), 5.25)
        self.assertEqual(run(querier, 8.0), [(6.0 + GRACE, Unwant(GROUP, 0))])

    def test_its_specific_queries_lower_our_timers_unless_they_say_not_to(self):
        for sources, kind in (((), Kind.IS_EX), ((S1,), Kind.ALLOW)):
            for suppress, most in ((False, 1.0 + GRACE), (True, 100.0)):
                querier = self.started()
                querier.accept(report(kind, GROUP, *sources), 4.0)
                asked = Query(3, GROUP, 0.5, sources, suppress, 2, 10.0)
                querier.accept(packet(asked, LOWER), 5.0)
                left = querier.snapshot(5.0).groups[0].expires_in
                self.assertTrue(left == most if not suppress else left > 20.0, (sources, suppress, left))

    def test_what_its_specific_query_brings_to_an_end_ends_on_time(self):
        querier = self.started()
        querier.accept(report(Kind.IS_EX), 4.0)
        querier.accept(packet(Query(3, GROUP, 0.5, (), False, 2, 10.0), LOWER), 5.0)
        self.assertEqual(run(querier, 10.0), [(6.0 + GRACE, Unwant(GROUP, 0))])

    def test_its_hosts_have_the_time_to_answer_that_its_query_gives(self):
        querier = self.started()
        querier.accept(report(Kind.IS_EX), 4.0)
        querier.accept(packet(Query(2, GROUP, 3.0), LOWER), 5.0)
        self.assertEqual(querier.snapshot(5.0).groups[0].expires_in, 6.0 + GRACE)

    def test_an_older_querier_is_counted_because_our_version_should_be_set_to_its(self):
        querier = self.started()
        querier.accept(packet(Query(2, 0, 10.0), LOWER), 5.0)
        self.assertEqual(querier.counters.older_queries_heard, 1)


class BoundTests(QuerierCase):
    def test_at_least_4096_groups_and_no_more_than_the_bound(self):
        querier = self.started()
        for n in range(5000):
            querier.accept(report(Kind.IS_EX, GROUP + n), 1.0)
        self.assertEqual(len(querier.snapshot(1.0).groups), 4096)
        self.assertEqual(querier.counters.groups_over_bound, 5000 - 4096)
        self.assertEqual(querier.accept(report(Kind.IS_EX, GROUP), 2.0), [])

    def test_64_sources_are_kept_and_with_one_more_it_is_any(self):
        querier = self.started()
        sources = [S1 + n for n in range(65)]
        self.assertEqual(len(querier.accept(report(Kind.ALLOW, GROUP, *sources[:64]), 1.0)), 64)
        actions = querier.accept(report(Kind.ALLOW, GROUP, sources[64]), 2.0)
        self.assertEqual(actions, [Want(GROUP, 0)] + [Unwant(GROUP, source) for source in sources[:64]])
        self.assertEqual(querier.counters.sources_over_bound, 1)
        self.assertTrue(querier.snapshot(2.0).groups[0].over_bound)

    def test_excluding_more_than_64_sources_is_any_source(self):
        querier = self.started()
        sources = [S1 + n for n in range(300)]
        self.assertEqual(querier.accept(report(Kind.IS_EX, GROUP, *sources), 1.0), [Want(GROUP, 0)])
        self.assertEqual(querier.snapshot(1.0).groups[0].excluded, ())

    def test_a_host_with_too_many_sources_has_its_picture_and_leaves_as_fast_as_others(self):
        link = self.link(3, 3)
        many, one = link.hosts
        link.says(many, many.want(GROUP, "include", frozenset(S1 + n for n in range(100))))
        link.says(one, one.want(GROUP, "include", frozenset((S1,))))
        link.run(200.0)
        self.assertEqual(link.wanted, {(GROUP, 0)})
        link.says(many, many.leave(GROUP))
        link.run(201.5)
        self.assertEqual(link.wanted, {(GROUP, S1)})

    def test_a_group_that_was_over_the_bound_is_as_others_when_any_source_is_over(self):
        querier = self.started()
        querier.accept(report(Kind.ALLOW, GROUP, *(S1 + n for n in range(65))), 1.0)
        querier.accept(report(Kind.IS_IN, GROUP, S1), 20.0)
        run(querier, 24.0)
        self.assertFalse(querier.snapshot(24.0).groups[0].over_bound)
        querier.accept(report(Kind.TO_EX, GROUP), 25.0)
        (query,) = queries(querier.accept(report(Kind.BLOCK, GROUP, S2), 26.0))
        self.assertEqual(query.sources, (S2,))

    def test_joining_and_leaving_for_ever_grows_nothing(self):
        querier = self.started()
        now = 0.0
        for _ in range(3000):
            querier.accept(report(Kind.TO_EX), now)
            querier.accept(report(Kind.TO_IN), now + 0.1)
            now += 1.5
            run(querier, now)
        self.assertLess(len(querier._deadlines._heap), 100)
        self.assertEqual(querier.snapshot(now).groups, ())

    def test_link_local_groups_and_what_is_no_group_are_not_tracked(self):
        querier = self.started()
        for address in ("224.0.0.1", "224.0.0.22", "224.0.0.251"):
            self.assertEqual(querier.accept(report(Kind.TO_EX, number(address)), 1.0), [])
        for address in ("0.0.0.0", "10.0.0.1", "223.255.255.255", "240.0.0.0"):
            self.assertEqual(querier.accept(packet(Report(2, number(address))), 1.0), [])
        self.assertEqual(querier.counters.not_groups, 4)
        self.assertEqual(querier.accept(report(Kind.TO_EX, number("224.0.1.0")), 1.0)[0][1], 0)

    def test_settings_that_cannot_work_are_refused(self):
        for wrong in (
            {"version": 4},
            {"query_interval": 0.5},
            {"robustness": 0},
            {"last_member_interval": 0.0},
            {"max_sources": 400},
        ):
            self.assertRaises(ValueError, IgmpSettings, **wrong)


class StrangerTests(QuerierCase):
    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.binary(max_size=64), max_size=5), st.lists(st.sampled_from(list(Kind)), max_size=5))
    def test_garbage_never_raises_and_is_counted(self, bodies: list[bytes], kinds: list[Kind]):
        querier = self.started()
        good = [report(kind, GROUP, S1, S2) for kind in kinds]
        for n, body in enumerate(bodies):
            length = struct.pack("!H", 20 + len(body))
            querier.accept(body, float(n))
            querier.accept(b"\x45\0" + length + bytes(5) + b"\2" + bytes(10) + body, float(n))
            for data in good:
                querier.accept(data[:-1], float(n))
                querier.accept(bytearray(data[:24] + body + data[24:]), float(n))
                querier.accept(memoryview(data), float(n))
        run(querier, 60.0)
        self.assertEqual(querier.snapshot(60.0).groups, ())
        refused = sum(querier.counters.malformed.values())
        self.assertGreaterEqual(refused, len(bodies))

    def test_reasons_are_told_apart(self):
        querier = self.started()
        good = packet(Report(2, GROUP))
        querier.accept(good[:10], 1.0)
        querier.accept(good[:-1] + b"\7", 1.0)
        querier.accept(packet(Report(2, GROUP))[:24] + b"", 1.0)
        counted = {k: v for k, v in querier.snapshot(1.0).counters.items() if k.startswith("malformed") and v}
        self.assertEqual(counted, {"malformed_header": 2, "malformed_checksum": 1})

    def test_a_report_without_router_alert_is_counted_and_taken(self):
        querier = self.started()
        body = igmp.build(Report(2, GROUP))
        data = Header(0xC0, 28, 0, 0, 1, 2, 0, GROUP).build() + body
        self.assertEqual(querier.accept(data, 1.0), [Want(GROUP, 0)])
        querier.accept(packet(Report(1, GROUP)), 1.0)  # version 1 has none
        self.assertEqual(querier.counters.no_router_alert, 1)

    def test_a_host_without_an_address_is_a_member_too(self):
        querier = self.started()
        self.assertEqual(querier.accept(packet(Report(2, GROUP), source=0), 1.0), [Want(GROUP, 0)])


class LifeTests(QuerierCase):
    def test_a_tap_that_has_gone_takes_all_wants_with_it(self):
        querier = self.started()
        querier.accept(report(Kind.ALLOW, GROUP, S1, S2), 1.0)
        querier.accept(report(Kind.IS_EX, OTHER), 1.0)
        self.assertEqual(querier.stop(), [Unwant(GROUP, S1), Unwant(GROUP, S2), Unwant(OTHER, 0)])
        self.assertEqual(querier.stop(), [])
        self.assertEqual(len(querier.start(2.0)), 1)
        self.assertEqual(querier.accept(report(Kind.IS_EX, OTHER), 2.0), [Want(OTHER, 0)])

    def test_a_longer_interval_costs_nobody_the_picture(self):
        link = self.link(3, 2)
        for host in link.hosts:
            link.says(host, host.join(GROUP))
        link.run(30.0)
        link.does(link.querier.configure(IgmpSettings(query_interval=125), link.now))
        link.run(1000.0)
        self.assertEqual(len(link.changes), 1)

    def test_the_same_settings_again_ask_nothing(self):
        querier = self.started()
        self.assertEqual(querier.configure(IgmpSettings(), 5.0), [])
        self.assertEqual(len(querier.configure(IgmpSettings(version=2), 5.0)), 1)
        (action,) = querier.configure(IgmpSettings(version=2), 5.0, address=LOWER)
        self.assertEqual(Header.parse(action.packet).source, LOWER)

    def test_status_shows_groups_sources_reporters_and_times(self):
        querier = self.started()
        querier.accept(report(Kind.TO_EX, GROUP, S3), 1.0)
        querier.accept(igmp.pack(ReportV3((Record(Kind.IS_IN, GROUP, (S1,)),)), HOST + 1, GROUP), 2.0)
        (group,) = querier.snapshot(3.0).groups
        self.assertEqual(
            (group.group, group.mode, group.version, group.sources, group.excluded, group.reporter),
            (GROUP, "exclude", 3, (S1,), (S3,), HOST + 1),
        )
        self.assertEqual(group.expires_in, 1.0 + 22.0 + GRACE - 3.0)

    def test_who_leaves_is_not_shown_as_the_reporter(self):
        querier = self.started()
        querier.accept(report(Kind.TO_EX), 1.0)
        querier.accept(packet(Leave(GROUP), source=HOST + 1), 2.0)
        self.assertEqual(querier.snapshot(2.0).groups[0].reporter, HOST)


class CableTests(QuerierCase):
    """Real hosts at the other end, whatever they do: who wants something has it, and nobody else for long."""

    doings = st.lists(
        st.tuples(
            st.floats(0, 15),
            st.integers(0, 2),
            st.sampled_from((GROUP, OTHER)),
            st.sampled_from(("include", "exclude")),
            st.frozensets(st.sampled_from((S1, S2, S3))),
        ),
        max_size=15,
    )

    def play(self, versions: tuple[int, ...], doings: list, seed: int) -> Link:
        link = self.link(*versions, seed=seed)

        def everybody_is_served() -> None:
            for host in link.hosts:
                for group, (mode, sources) in host.wants.items():
                    if mode == "exclude" or host.version < 3:
                        self.assertIn((group, 0), link.wanted)
                    for source in sources if mode == "include" else ():
                        self.assertTrue(link.comes(group, source))

        link.watch = everybody_is_served
        for wait, who, group, mode, sources in doings:
            link.run(link.now + wait)
            host = link.hosts[who]
            link.says(host, host.want(group, mode, sources))
            everybody_is_served()
        return link

    @settings(max_examples=150, deadline=None)
    @given(st.tuples(*[st.sampled_from((1, 2, 3))] * 3), doings, st.integers(0, 1000))
    def test_no_host_of_any_version_ever_misses_what_it_wants(self, versions, doings, seed):
        link = self.play(versions, doings, seed)
        link.run(link.now + 60.0)

    @settings(max_examples=150, deadline=None)
    @given(doings, st.integers(0, 1000))
    def test_what_version_3_hosts_gave_up_stops_within_one_and_a_half_seconds(self, doings, seed):
        link = self.play((3, 3, 3), doings, seed)
        link.run(link.now + 1.5)
        for group in (GROUP, OTHER):
            wants = [host.wants[group] for host in link.hosts if group in host.wants]
            if not any(mode == "exclude" for mode, _ in wants):
                asked = {source for _, sources in wants for source in sources}
                self.assertNotIn((group, 0), link.wanted)
                self.assertLessEqual(
                    {source for g, source in link.wanted if g == group} - asked, self.lingering(doings)
                )

    @staticmethod
    def lingering(doings: list) -> set[int]:
        """Sources that an EXCLUDE host asked for may outlive it by their own timers (RFC 3376, 6.2.3)."""
        return {S1, S2, S3} if any(mode == "exclude" for _, _, _, mode, _ in doings) else set()

    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from((2, 3)), doings, st.integers(0, 1000))
    def test_what_everybody_left_stops_within_one_and_a_half_seconds(self, version, doings, seed):
        link = self.play(
            (version,) * 3, [(w, n, g, "exclude", frozenset()) for w, n, g, _, _ in doings], seed
        )
        for host in link.hosts:
            for group in list(host.wants):
                link.says(host, host.leave(group))
        link.run(link.now + 1.5)
        self.assertEqual(link.wanted, set())


class AddressTests(SynchronousTestCase):
    def test_it_is_the_highest_host_address_of_the_subnet(self):
        for tap, expected in (
            ("10.88.0.2/24", "10.88.0.254"),
            ("10.88.0.254/24", "10.88.0.253"),
            ("172.16.5.1/16", "172.16.255.254"),
            ("192.0.2.1/30", "192.0.2.2"),
            ("192.0.2.2/30", "192.0.2.1"),
            ("192.0.2.0/31", "192.0.2.1"),
            ("192.0.2.1/31", "192.0.2.0"),
            ("10.88.0.2/32", "0.0.0.0"),
            ("10.88.0.2", "0.0.0.0"),
            (None, "0.0.0.0"),
        ):
            self.assertEqual(querier_address(tap), number(expected), tap)

    def test_a_configured_one_is_taken_unless_it_cannot_work(self):
        self.assertEqual(querier_address("10.88.0.2/24", "10.88.0.7"), number("10.88.0.7"))
        self.assertEqual(querier_address(None, "10.88.0.7"), number("10.88.0.7"))
        self.assertEqual(querier_address("10.88.0.2/24", ""), number("10.88.0.254"))
        for wrong in ("10.88.0.2", "224.0.0.1", "255.255.255.255", "10.88.0", "x"):
            self.assertRaises(ValueError, querier_address, "10.88.0.2/24", wrong)


class LanTests(QuerierCase):
    """Many hosts behind one bridge."""

    def test_the_hosts_of_a_group_are_known_by_their_addresses_until_they_leave(self):
        querier = self.started()
        v3 = [HOST + 3, HOST + 1]
        for host in v3:
            querier.accept(packet(ReportV3((Record(Kind.TO_EX, GROUP),)), host), 10.0)
        querier.accept(packet(Report(2, GROUP), HOST + 2), 10.0)
        querier.accept(packet(Report(2, GROUP), 0), 10.0)  # a host without an address
        (status,) = querier.snapshot(11.0).groups
        self.assertEqual(status.hosts, (HOST + 1, HOST + 2, HOST + 3))
        querier.accept(packet(ReportV3((Record(Kind.TO_IN, GROUP),)), HOST + 1), 12.0)
        querier.accept(packet(Leave(GROUP), HOST + 2), 12.0)
        (status,) = querier.snapshot(12.0).groups
        self.assertEqual(status.hosts, (HOST + 3,))

    def test_a_host_that_fell_silent_is_forgotten_while_another_keeps_the_group(self):
        link = self.link(3, 3)
        link.run(5.0)
        for host in link.hosts:
            link.says(host, host.join(GROUP))
        link.run(15.0)
        quiet = link.hosts.pop()
        (status,) = link.querier.snapshot(link.now).groups
        self.assertIn(quiet.address, status.hosts)
        link.run(60.0)
        (status,) = link.querier.snapshot(link.now).groups
        self.assertEqual(status.hosts, (link.hosts[0].address,))
        self.assertEqual(len(link.querier._reporters._hosts[GROUP]), 1)

    def test_two_hundred_hosts_in_three_hundred_groups(self):
        """Every host is in every group: 60,000 records an interval; hosts are remembered up to a bound."""
        querier = self.started()
        groups = [number("239.7.0.0") + n for n in range(300)]
        join = ReportV3(tuple(Record(Kind.IS_EX, group) for group in groups[:150]))
        rest = ReportV3(tuple(Record(Kind.IS_EX, group) for group in groups[150:]))
        wanted = []
        began = perf_counter()
        for host in range(200):
            for message in (join, rest):
                wanted += channels(querier.accept(packet(message, HOST + host), 10.0))
        took = perf_counter() - began
        print(f"60,000 records of 200 hosts: {took:.2f} s, {took / 0.06:.1f} us a record")
        self.assertEqual(len(wanted), 300)
        status = querier.snapshot(11.0)
        self.assertEqual(len(status.groups), 300)
        self.assertEqual(sum(len(group.hosts) for group in status.groups), HOSTS_MAX)
        self.assertEqual(status.counters["hosts_over_bound"], 60_000 - HOSTS_MAX)
        # All leave at once but the last one, and nobody's flow stops; then that one, and everybody's does.
        leave = ReportV3(tuple(Record(Kind.TO_IN, group) for group in groups))
        stay = packet(ReportV3(tuple(Record(Kind.IS_EX, group) for group in groups)), HOST + 199)
        for host in range(199):
            self.assertEqual(channels(querier.accept(packet(leave, HOST + host), 12.0)), [])
        querier.accept(stay, 12.1)
        run(querier, 20.0)
        self.assertEqual(len(querier.wanted()), 300)
        self.assertEqual({group.hosts for group in querier.snapshot(20.0).groups}, {(HOST + 199,)})
        asked = querier.counters.specific_queries_sent
        self.assertLessEqual(asked, 300 * IgmpSettings().robustness)
        run(querier, 60.0)
        self.assertEqual(querier.wanted(), frozenset())
        self.assertEqual(querier._reporters._kept, 0)
