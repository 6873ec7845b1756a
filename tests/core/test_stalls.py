"""Stops and sleeps: of a process, of a host, of both ends; and that no storm follows."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.igmp import IgmpSettings, Querier, Send
from multicastmw.core.link import PROBES_MAX
from multicastmw.core.liveness import GRACE, Duty, Liveness
from multicastmw.core.trips import AGAIN
from multicastmw.core.waking import Waking
from multicastmw.net.clockwork import Clockwork
from multicastmw.wire import igmp
from tests.core.cable import Node, World

GROUP = 0xEF010101
HOURS_8 = 8 * 3600.0
REPORT = igmp.pack(igmp.Report(2, GROUP), 0x0A580002, GROUP)


class Judgement(SynchronousTestCase):
    """A silence that nobody listened to."""

    def setUp(self) -> None:
        self.liveness = Liveness(10, 10, 100.0, lambda low, high: (low + high) / 2)

    def test_a_tick_that_comes_late_gives_the_sockets_a_moment_and_no_second_one(self) -> None:
        self.assertIs(self.liveness.tick(118), Duty.SPEAK)
        self.liveness.spoke(118)
        self.assertEqual(self.liveness.deadline(), 118 + GRACE)
        self.assertIs(self.liveness.tick(118 + GRACE), Duty.GIVE_UP)

    def test_a_peer_that_still_waits_for_us_has_time_for_its_next_word(self) -> None:
        liveness = Liveness(10, 60, 100.0, lambda low, high: (low + high) / 2)
        self.assertIsNone(liveness.tick(118))
        self.assertEqual(liveness.dead_at, 118 + GRACE + 7.5)
        self.assertIs(liveness.tick(118 + GRACE + 7.5), Duty.GIVE_UP)

    def test_however_late_the_next_one_is(self) -> None:
        self.liveness.tick(118)
        self.assertIs(self.liveness.tick(500), Duty.GIVE_UP)

    def test_what_is_heard_then_is_life(self) -> None:
        self.liveness.tick(118)
        self.liveness.spoke(118)
        self.liveness.heard(118.001)
        self.assertIs(self.liveness.tick(123), Duty.SPEAK)
        self.liveness.spoke(123)
        self.assertIs(self.liveness.tick(128.1), Duty.GIVE_UP)

    def test_a_tick_in_time_gives_nothing(self) -> None:
        self.liveness.tick(105)
        self.liveness.spoke(105)
        self.assertIs(self.liveness.tick(110.01), Duty.GIVE_UP)

    def test_after_eight_hours_one_keep_alive_is_said_and_not_five_thousand(self) -> None:
        said = 0
        for _ in range(10):
            if self.liveness.tick(100 + HOURS_8) is Duty.SPEAK:
                said += 1
                self.liveness.spoke(100 + HOURS_8)
        self.assertEqual(said, 1)

    def test_a_host_that_slept_longer_than_its_peer_waits_knows_that_it_is_gone(self) -> None:
        self.liveness.woke(HOURS_8, 101)
        self.assertEqual(self.liveness.deadline(), 101)
        self.assertIs(self.liveness.tick(101), Duty.GIVE_UP)

    def test_a_nap_is_followed_by_a_word(self) -> None:
        self.liveness.woke(5, 101)
        self.assertIs(self.liveness.tick(101), Duty.SPEAK)


class Stops(SynchronousTestCase):
    """b does not run; a and c do."""

    def setUp(self) -> None:
        self.world = World()
        self.a, self.b, self.c = self.world.chain("abc")
        self.c.host.wants(GROUP)
        self.world.run(5)

    def patient(self) -> None:
        """Others that wait for an hour: then b must not close by itself."""
        self.world = World()
        self.a, self.c = (self.world.node(name, keep_alive=3600) for name in "ac")
        self.b = self.world.node("b")
        self.world.connect(self.a, self.b)
        self.world.connect(self.b, self.c)
        self.c.host.wants(GROUP)
        self.world.run(5)

    def stops(self, seconds: float) -> None:
        self.b.stop()
        self.world.run(seconds)
        self.b.go_on()

    def said(self, since: float) -> int:
        """Messages that b wrote on its connections since then."""
        ends = [end for cable in self.world.cables for end in cable.ends if end.node is self.b]
        return sum(at >= since for end in ends for at, _ in end.written)

    def test_a_stop_of_a_quarter_of_the_peers_patience_is_nothing(self) -> None:
        """b speaks after three quarters of it at the latest."""
        for seed in range(20):
            self.world = World(seed)
            self.a, self.b, self.c = self.world.chain("abc", keep_alive=20)
            self.c.host.wants(GROUP)
            self.world.run(self.world.random.uniform(1, 30))
            self.is_nothing()

    def is_nothing(self) -> None:
        self.stops(5)
        self.world.run(10)
        self.assertEqual((self.a.downs, self.b.downs, self.c.downs), ([], [], []))
        self.a.send(GROUP)
        self.world.run(0.1)
        self.assertEqual(len(self.c.host.got), 1)

    def test_after_fifteen_what_peers_said_meanwhile_is_heard_first(self) -> None:
        """They speak at b's pace, and wait longer than b was away."""
        self.patient()
        self.stops(15)
        self.world.run(30)
        self.assertEqual((self.a.downs, self.b.downs, self.c.downs), ([], [], []))

    def test_that_peers_have_closed_is_known_at_once(self) -> None:
        self.stops(15)
        self.assertEqual(len(self.a.downs), 1)
        self.world.run(0.01)
        self.assertEqual(len(self.b.downs), 2)
        self.assertEqual(self.b.room.links, [])

    def test_a_peer_that_went_without_a_word_is_given_the_time_of_its_next_one(self) -> None:
        self.patient()
        self.b.stop()
        self.world.cables[0].cut()
        self.world.run(60)
        self.b.sockets.clear()  # nothing came from c either
        self.b.go_on()
        self.world.run(GRACE + 7.5 + 0.01)
        self.assertEqual(self.b.downs[0][1], "silent for 10 s")

    def test_no_storm_follows(self) -> None:
        self.patient()
        for seconds in (15, 300, HOURS_8 / 16):
            before = len(self.world.air.sent)
            self.stops(seconds)
            since = self.world.now
            self.world.run(1)
            probes = [m for a, _, m in self.world.air.sent[before:] if a == self.b.address]
            # A word a link, and the answer to what it asks for its round trip.
            self.assertLessEqual(self.said(since), 2 * (2 + seconds // AGAIN), seconds)
            # Two a link of its own, and answers to those that came meanwhile.
            self.assertLessEqual(len(probes), 2 * (8 + PROBES_MAX), seconds)


class Sleeps(SynchronousTestCase):
    """A laptop: its monotonic clock stood still, and the world went on."""

    def setUp(self) -> None:
        self.world = World()
        self.lap, self.hub = self.world.node("lap"), self.world.node("hub")
        self.cable = self.world.connect(self.lap, self.hub)
        self.world.run(5)

    def test_links_whose_peers_have_closed_are_over_at_once(self) -> None:
        self.cable.cut()  # the hub's FIN found nobody
        self.lap.room.woke(HOURS_8, self.world.now)
        self.world.run(0.01)
        self.assertEqual(len(self.lap.downs), 1)

    def test_after_a_nap_links_stay_and_one_word_is_said(self) -> None:
        before = len(self.cable.dialling.written)
        self.lap.room.woke(3, self.world.now)
        self.world.run(1)
        self.assertEqual(len(self.cable.dialling.written), before + 1)
        self.assertTrue(self.cable.is_up)

    def test_data_go_on_after_a_nap(self) -> None:
        self.assertTrue(self.lap.link(self.hub).on_udp)
        self.lap.room.woke(3, self.world.now)
        self.world.run(5)
        self.assertTrue(self.lap.link(self.hub).on_udp)
        self.assertEqual(self.lap.link(self.hub).path.falls, 0)


class Clocks(SynchronousTestCase):
    """What a look at two clocks tells."""

    def setUp(self) -> None:
        self.world = World()
        self.node = Node(self.world, "a")
        self.asleep = 7.0
        self.ahead = 1e9
        self.woke: list[tuple[float, float]] = []
        self.waking = Waking(
            lambda: self.asleep, lambda slept, now: self.woke.append((slept, now)), self.node.events.append,
            self.world.now, lambda: self.ahead,
        )  # fmt: skip
        Clockwork(self.node.clock, self.waking).wind()

    def test_an_hour_without_either_is_silent(self) -> None:
        self.world.run(3600)
        self.assertEqual((self.node.events, self.woke, self.waking.stops), ([], [], 0))

    def test_a_stop_is_told_once(self) -> None:
        self.node.stop()
        self.world.run(15)
        self.node.go_on()
        self.world.run(60)
        (event,) = self.node.events
        self.assertIn(f"this process did not run for {event.seconds} s: links", event.sentence())
        self.assertTrue(14 <= event.seconds <= 16)
        self.assertAlmostEqual(self.waking.late, event.seconds - 1, delta=0.2)
        self.assertEqual((self.waking.stops, self.waking.sleeps, self.woke), (1, 0, []))

    def test_a_sleep_is_told_to_the_links_once(self) -> None:
        self.world.run(10)
        self.asleep += HOURS_8
        self.ahead += HOURS_8  # the wall clock goes on while the host sleeps
        self.world.run(60)
        ((slept, _),) = self.woke
        self.assertEqual(slept, HOURS_8)
        (event,) = self.node.events
        self.assertIn("this host slept for 28800.0 s: links that others gave up", event.sentence())

    def test_a_wall_clock_that_is_set_is_told_once_for_either_direction_and_no_link_hears_of_it(self) -> None:
        for step in (-3_600.0, 7_200.0):
            self.world.run(10)
            self.ahead += step
        self.world.run(60)
        self.assertEqual([event.seconds for event in self.node.events], [-3_600.0, 7_200.0])
        self.assertIn("the wall clock was set by -3600.0 s", self.node.events[0].sentence())
        self.assertEqual((self.woke, self.waking.settings), ([], 2))

    def test_a_clock_that_is_slewed_is_no_news(self) -> None:
        for _ in range(600):
            self.world.run(1)
            self.ahead += 0.5
        self.assertEqual(self.node.events, [])


class Groups(SynchronousTestCase):
    """What the hosts want, when nobody asked them for long."""

    def setUp(self) -> None:
        self.querier = Querier(IgmpSettings(), 0x0A5800FE)
        self.querier.start(0.0)
        self.now = 0.0
        self.runs_to(4)
        self.querier.accept(REPORT, 4.0)

    def runs_to(self, until: float) -> None:
        while (at := self.querier.deadline()) <= until:
            self.querier.tick(max(at, self.now))
            self.now = at
        self.now = until

    def test_after_a_long_stop_they_are_asked_once_before_they_are_forgotten(self) -> None:
        for stop in (30.0, HOURS_8):
            woke = self.now + stop
            actions = self.querier.tick(woke)
            self.assertEqual([type(action) for action in actions], [Send], stop)
            self.assertEqual(len(self.querier.wanted()), 1)
            self.now = woke
            self.querier.accept(REPORT, woke + 1)
            self.runs_to(woke + 5)

    def test_and_forgotten_when_they_do_not_answer(self) -> None:
        self.querier.tick(HOURS_8)
        self.now = HOURS_8
        self.runs_to(HOURS_8 + 25)
        self.assertEqual(self.querier.wanted(), frozenset())
