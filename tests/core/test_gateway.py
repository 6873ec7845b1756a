"""Gateways of one LAN: who forwards, how soon another takes over, and that two never do."""

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core import gateway as rules
from multicastmw.core.gateway import Gateway, State
from multicastmw.wire import pim
from multicastmw.wire.pim import Hello
from tests.core.lan import DELAY, Lan

NOW = 50.0


def started(*nodes: int, seed: int = 1) -> Lan:
    """All started at once and settled; the smallest forwards."""
    lan = Lan(nodes, seed)
    for member in lan.members.values():
        member.start()
    lan.run(5)
    return lan


class AloneTests(SynchronousTestCase):
    def lone(self, reached: tuple[int, ...] = ()) -> Gateway:
        return Gateway(5, 1, 5, reaches=lambda node: node in reached, connected=lambda: bool(reached))

    def test_a_tap_that_is_no_port_of_a_bridge_forwards_at_once_and_says_nothing(self) -> None:
        gateway = self.lone()
        self.assertEqual((gateway.until, gateway.deadline(), gateway.active), (inf, inf, False))
        self.assertEqual((gateway.woke(1e9), gateway.frame_of_a_gateway(NOW), gateway.stop()), ([], [], []))

    def test_the_only_gateway_listens_a_moment_then_forwards_and_goes_on(self) -> None:
        lan = Lan([5])
        lan.members[5].start()
        self.assertLess(abs(lan.until_somebody_forwards() - rules.LISTEN), 0.02)
        lan.run(600)
        self.assertEqual([nodes for _, nodes in lan.history], [(), (5,)])
        self.assertLess(abs(lan.members[5].gateway.counters.hellos_sent - 600), 10)

    def test_a_hello_where_no_bridge_was_seen_begins_an_election(self) -> None:
        gateway = self.lone(reached=(4,))
        said = gateway.accept(pim.pack(Hello(4, State.FORWARDING, 3.5)), NOW)
        self.assertEqual([pim.unpack(p).state for p in said], [State.FORWARDING, State.STANDING_BY])
        self.assertEqual((gateway.active, gateway.until), (True, -inf))

    def test_when_the_tap_leaves_its_bridge_it_forwards_as_any_other(self) -> None:
        gateway = self.lone()
        gateway.start(NOW)
        gateway.detach()
        self.assertEqual((gateway.state, gateway.until, gateway.deadline()), (State.FORWARDING, inf, inf))


class BeliefTests(SynchronousTestCase):
    """Whose word counts."""

    def setUp(self) -> None:
        self.reached = {3, 4, 7}
        self.gateway = Gateway(
            5, 1, 5, reaches=lambda node: node in self.reached, connected=lambda: bool(self.reached)
        )
        self.now = NOW
        self.gateway.start(NOW)
        self.advance(10)
        self.assertEqual(self.gateway.state, State.FORWARDING)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.gateway.deadline() <= end:
            self.now = max(self.now, self.gateway.deadline())
            self.gateway.tick(self.now)
        self.now = end

    def hears(self, node: int, state: State = State.FORWARDING, hold: float = 3.5) -> None:
        self.gateway.accept(pim.pack(Hello(node, state, hold, 9, node)), self.now)

    def test_a_stranger_silences_nobody(self) -> None:
        for node in (1, 2, 6):
            self.hears(node)
        self.assertEqual(self.gateway.state, State.FORWARDING)
        self.assertEqual([rival.reached for rival in self.gateway.rivals(self.now)], [False] * 3)

    def test_a_node_of_the_overlay_with_a_smaller_id_does(self) -> None:
        self.hears(7)
        self.assertEqual(self.gateway.state, State.FORWARDING)
        self.hears(4)
        self.assertEqual(self.gateway.state, State.STANDING_BY)

    def test_without_a_link_everybody_does(self) -> None:
        self.reached.clear()
        self.hears(9)
        self.assertEqual(self.gateway.state, State.STANDING_BY)

    def test_nobody_is_believed_for_longer_than_a_while(self) -> None:
        self.hears(4, hold=65.0)
        self.advance(rules.HOLD_MAX - 0.1)
        self.assertEqual(self.gateway.state, State.STANDING_BY)
        self.advance(1)
        self.assertEqual(self.gateway.state, State.FORWARDING)

    def test_gateways_remembered_are_bounded_and_strangers_give_way(self) -> None:
        for node in range(1000, 1100):
            self.hears(node)
        self.assertEqual(len(self.gateway.rivals(self.now)), rules.OTHERS_MAX)
        self.assertEqual(self.gateway.counters.gateways_over_bound, 100 - rules.OTHERS_MAX)
        self.hears(4)
        self.assertEqual(self.gateway.state, State.STANDING_BY)

    def test_a_flood_of_hellos_is_answered_seldom(self) -> None:
        before = self.gateway.counters.hellos_sent
        for n in range(10_000):
            self.now += 0.001
            self.hears(1000 + n % 50, State.LISTENING)
            if self.now >= self.gateway.deadline():
                self.gateway.tick(self.now)
        self.assertLess(self.gateway.counters.hellos_sent - before, 10 / rules.ANSWER + 2)

    def test_garbage_routers_and_our_own_are_counted(self) -> None:
        hello = pim.pack(Hello(4, State.FORWARDING, 3.5))
        for packet in (hello[:-1] + b"\0", b"", hello[:21]):
            self.gateway.accept(packet, self.now)
        router = hello[:24] + bytes.fromhex("000100020069").ljust(len(hello) - 24, b"\0")
        self.gateway.accept(router, self.now)
        self.hears(5)
        counters = self.gateway.counters
        counts = (counters.hellos_malformed, counters.hellos_of_others, counters.hellos_own)
        self.assertEqual(counts, (3, 1, 1))
        self.assertEqual(self.gateway.state, State.FORWARDING)


class TwoTests(SynchronousTestCase):
    def test_of_two_that_start_at_once_one_forwards(self) -> None:
        for seed in range(20):
            lan = started(1, 2, seed=seed)
            self.assertEqual((lan.forwarders, lan.overlap), ([1], 0))

    def test_a_restart_is_seen_by_nobody_who_forwards_goes_on(self) -> None:
        lan = started(1, 2)
        lan.members[1].kill()
        lan.run(2)
        lan.members[1].start()
        lan.run(60)
        self.assertEqual([nodes for _, nodes in lan.history], [(), (1,), (), (2,)])
        self.assertEqual(lan.overlap, 0)

    def test_a_clean_exit_is_taken_over_at_once(self) -> None:
        lan = started(1, 2)
        lan.members[1].leave()
        self.assertLess(lan.until_somebody_forwards(), 2 * DELAY + 0.01)

    def test_a_crash_that_the_overlay_sees_is_taken_over_at_once(self) -> None:
        lan = started(1, 2, 3)
        lan.members[1].kill()
        self.assertLess(lan.until_somebody_forwards(), 0.02)
        self.assertEqual(lan.forwarders, [2])

    def test_a_crash_that_it_does_not_see_within_three_and_a_half_hellos(self) -> None:
        for seed in range(20):
            lan = started(1, 2, seed=seed)
            lan.run(lan.random.random())
            lan.members[1].kill(noticed=False)
            took = lan.until_somebody_forwards()
            self.assertLessEqual(took, rules.HOLD + 0.05)
            self.assertGreater(took, rules.HOLD - rules.HELLO - 0.05)

    def test_of_three_the_next_takes_over_and_the_third_if_it_is_dead_too(self) -> None:
        lan = started(1, 2, 3)
        lan.members[1].kill(noticed=False)
        lan.members[2].kill(noticed=False)
        self.assertLessEqual(lan.until_somebody_forwards(), rules.HOLD + rules.TURN + 0.05)
        self.assertEqual((lan.forwarders, lan.overlap), ([3], 0))

    def test_one_that_was_stopped_does_not_forward_when_it_wakes(self) -> None:
        lan = started(1, 2)
        lan.members[1].freeze(15)
        lan.run(60)
        self.assertEqual((lan.forwarders, lan.overlap), ([2], 0))

    def test_a_short_stop_changes_nothing(self) -> None:
        lan = started(1, 2)
        lan.members[1].freeze(1.5)
        lan.run(60)
        self.assertEqual((lan.forwarders, lan.overlap), ([1], 0))

    def test_a_lan_that_was_cut_has_two_until_it_is_whole_again(self) -> None:
        lan = started(1, 2)
        lan.members[2].segment = 1
        lan.run(10)
        self.assertEqual(lan.forwarders, [1, 2])
        lan.members[2].segment = 0
        lan.run(rules.HELLO + 2 * DELAY)
        self.assertEqual(lan.forwarders, [1])
        self.assertLess(lan.overlap, rules.HELLO + 2 * DELAY)

    def test_a_frame_of_the_other_ends_that_sooner(self) -> None:
        lan = started(1, 2)
        lan.members[2].segment = 1
        lan.run(10.123)
        lan.members[2].segment = 0
        lan.run(rules.ANSWER)
        one = lan.members[1]
        lan.send(one, one.gateway.frame_of_a_gateway(lan.now))
        lan.run(2 * DELAY)
        self.assertEqual(lan.forwarders, [1])

    def test_who_is_not_heard_yields(self) -> None:
        """A switch that filters one way: the smaller id would stay, but the other knows nothing of it."""
        lan = started(1, 2)
        lan.members[2].deaf = True
        lan.run(2 * rules.HOLD + rules.HELLO)
        self.assertEqual(lan.forwarders, [2])
        lan.run(60)
        self.assertEqual(lan.forwarders, [2])
        lan.members[2].deaf = False
        lan.run(60)
        self.assertEqual(lan.forwarders, [2])

    def test_where_the_overlay_falls_apart_each_part_keeps_a_gateway(self) -> None:
        lan = started(1, 2)
        lan.members[2].part = 1
        lan.overlay_changed()
        lan.run(0.1)
        self.assertEqual(lan.forwarders, [1, 2])
        lan.run(30)
        self.assertEqual(lan.forwarders, [1, 2])
        lan.members[2].part = 0
        lan.overlay_changed()
        lan.run(0.1)
        self.assertEqual(lan.forwarders, [1])
        self.assertLessEqual(lan.overlap, DELAY)

    def test_one_without_links_leaves_the_lan_to_the_other(self) -> None:
        lan = started(1, 2)
        lan.members[1].part = -1
        lan.overlay_changed()
        lan.run(0.1)
        self.assertEqual(lan.forwarders, [2])
        lan.members[1].part = 0
        lan.overlay_changed()
        lan.run(30)
        self.assertEqual((lan.forwarders, lan.overlap), ([2], 0))

    def test_hellos_get_lost(self) -> None:
        """A twentieth of them: three in a row are one in 8,000, and what comes of it is short."""
        lan = started(1, 2)
        lan.loss = 0.05
        lan.run(900)
        self.assertLess(lan.overlap, 3)
        lan.loss = 0.0
        lan.run(2)
        self.assertEqual(len(lan.forwarders), 1)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["kill", "crash", "leave", "start", "freeze", "part", "run", "isolate"]),
        st.integers(1, 4),
        st.floats(0.0, 6.0),
    ),
    max_size=25,
)


def step(lan: Lan, what: str, node: int, seconds: float) -> None:
    member = lan.members[node]
    alive = member.gateway is not None and not member.frozen
    match what:
        case "kill" | "crash" if alive:
            member.kill(noticed=what == "kill")
        case "leave" if alive:
            member.leave()
        case "freeze" if alive:
            member.freeze(seconds * 2)
        case "start" if not alive and not member.frozen:
            member.start()
        case "part" | "isolate":
            member.part = (int(seconds) % 2) if what == "part" else -1
            lan.overlay_changed()
    lan.run(seconds)


class AnythingTests(SynchronousTestCase):
    """Whatever happens, two never forward; and when nothing happens any more, one does."""

    def settle(self, lan: Lan) -> None:
        lan.loss = 0.0
        for member in lan.members.values():
            member.part = member.segment = 0
            if member.gateway is None:
                member.start()
        lan.overlay_changed()
        lan.run(20)  # a freeze may last 12 s, and LISTEN and a turn follow
        self.assertEqual(len(lan.forwarders), 1, lan.history)
        before = lan.forwarders
        lan.run(60)
        self.assertEqual(lan.forwarders, before)

    @given(STEPS, st.integers(0, 2**32))
    @settings(max_examples=60, deadline=None, derandomize=True)
    def test_on_a_lan_that_works(self, steps: list[tuple[str, int, float]], seed: int) -> None:
        lan = Lan([1, 2, 3, 4], seed)
        for what, node, seconds in steps:
            step(lan, what, node, seconds)
        merges = sum(what in ("part", "isolate") for what, _, _ in steps) + 4
        self.settle(lan)
        # Parts of the overlay that meet have a gateway each, until the next Hello or look.
        self.assertLessEqual(lan.overlap, merges * 2 * DELAY, lan.history)

    @given(STEPS, st.integers(0, 2**32), st.floats(0, 0.5))
    @settings(max_examples=40, deadline=None, derandomize=True)
    def test_on_a_lan_that_loses_frames_and_is_cut(
        self, steps: list[tuple[str, int, float]], seed: int, loss: float
    ) -> None:
        lan = Lan([1, 2, 3, 4], seed)
        lan.loss = loss
        for number, (what, node, seconds) in enumerate(steps):
            if number % 5 == 4:
                lan.members[node].segment ^= 1
            step(lan, what, node, seconds)
        self.settle(lan)
