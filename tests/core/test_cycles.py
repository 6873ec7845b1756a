"""Cycles are refused, and what was refused takes over: nodes over a network whose ways break and mend."""

from itertools import combinations, pairwise
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.dialling import ELSEWHERE_FOR, State
from multicastmw.core.events import Cycle, PeerDown, PeerRefused, PeerUp, SameNodeTwice
from multicastmw.wire.messages import AddRoute, Close, Open, encode
from multicastmw.wire.messages import Node as NodeEntry
from tests.core.cable import Cable
from tests.core.topology import Member, Network

PATIENCE = 2  # seconds until a silent peer is given up
AGAIN = 3.0  # seconds, from when a change is noticed, until there is a tree again
GROUP, SOURCE = 0xEF010101, 0x0A580001


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()

    def members(self, names: str, **chosen: object) -> list[Member]:
        return [self.network.member(name, keep_alive=PATIENCE, **chosen) for name in names]

    def chain(self, names: str) -> list[Member]:
        """a - b - c, all up and as old as links are that are left alone."""
        members = self.members(names)
        for member, peer in pairwise(names):
            self.network.by_name[member].dials(peer)
        self.network.run(60)
        self.assertTrue(self.network.is_tree())
        return members

    def await_tree(self, within: float = AGAIN) -> float:
        return self.network.run_until(self.network.is_tree, within)

    def await_noticed(self, *members: Member) -> None:
        """All of them have lost a link."""
        self.network.run_until(lambda: all(m.node.downs for m in members), PATIENCE + 0.1)

    def ups_and_downs(self) -> list[tuple[int, int]]:
        return [(len(m.node.ups), len(m.node.downs)) for m in self.network.by_name.values()]


class Refusal(Case):
    def test_the_link_that_would_close_a_cycle_is_refused_by_name_and_nobody_calls_it_up(self) -> None:
        a, b, c = self.chain("abc")
        before = self.ups_and_downs()
        a.dials("c")
        self.network.run(0.1)
        dialling = a.peers["c"]
        self.assertEqual(dialling.dialler.state, State.STANDBY)
        self.assertEqual(dialling.dialler.why, "c is reached over b already")
        said = [end.sent()[-1][1] for end in dialling.cable.ends]
        self.assertEqual(said, [Close(4, 1, "c"), Close(4, 1, "a")])
        self.assertEqual(self.ups_and_downs(), before)
        (event,) = c.node.told(Cycle)
        refused = "refused the link with a at 10.0.0.1, a standby or a second node of that name: "
        self.assertEqual(event.sentence(), refused + "a is reached over b already")
        self.assertEqual(c.node.room.counters.cycles_refused, 1)
        for member in (a, b, c):
            self.assertEqual(member.node.told(PeerRefused), [])
            self.assertEqual(member.node.room.counters.links_refused, 0)

    def test_a_second_node_of_a_name_at_another_node_of_the_tree_is_told_so_and_dials_ever_less_often(
        self,
    ) -> None:
        _, _, c = self.chain("abc")
        clone = Member(self.network, "a", keep_alive=PATIENCE)
        clone.dials("c")
        self.network.run(ELSEWHERE_FOR)
        self.assertEqual(clone.node.told(SameNodeTwice), [])
        self.network.run(10)
        said = (
            f"the node name a is in use here and elsewhere, as c at {c.node.address} reaches it without this"
            " node: give one of them another name"
        )
        self.assertEqual(clone.node.told(SameNodeTwice)[0].sentence(), said)
        self.assertEqual(clone.node.room.namesakes.current(self.network.now), (said,))
        self.network.run(300)
        dials = clone.peers["c"].dials
        self.network.run(600)
        self.assertLessEqual(clone.peers["c"].dials - dials, 14)
        self.assertTrue(self.network.is_tree())

    def test_and_so_is_the_first_one_where_the_second_has_come_in_meanwhile(self) -> None:
        a, _, _ = self.chain("abc")
        clone = Member(self.network, "a", keep_alive=PATIENCE)
        self.network.shatter("a", "b", "loudly")
        self.network.run(PATIENCE)
        clone.dials("c")
        self.network.run(5)
        self.network.mend("a", "b")
        self.network.run(ELSEWHERE_FOR + 20)
        self.assertEqual(clone.node.told(SameNodeTwice), [])
        self.assertIn("a is in use here and elsewhere, as b at ", a.node.told(SameNodeTwice)[0].sentence())

    def test_a_node_that_has_just_restarted_elsewhere_is_no_second_one(self) -> None:
        """Its old link is counted up until the old peer's patience ends."""
        a, b = self.members("ab")
        c = self.network.member("c", keep_alive=20)
        a.dials("b")
        c.dials("b")
        b.node.room.keep_alive_is(20)
        self.network.run(60)
        self.network.shatter("a", "b", "silently")
        del self.network.by_name["a"]
        again = self.network.by_name["a"] = Member(self.network, "a", keep_alive=20)
        again.dials("c")
        self.network.run(15)
        self.assertTrue(c.node.told(Cycle))
        self.assertNotIn("b", again.reaches())
        self.network.run_until(lambda: again.reaches() == {"b", "c"}, 20)
        self.network.run(60)
        self.assertEqual(again.node.told(SameNodeTwice), [])

    def test_a_standby_is_looked_after_every_2_to_6_s_and_costs_no_link_anything(self) -> None:
        a, *_ = self.chain("abc")
        a.dials("c")
        self.network.run(1)
        before, dials = self.ups_and_downs(), a.peers["c"].dials
        self.network.run(600)
        self.assertEqual(self.ups_and_downs(), before)
        self.assertTrue(100 <= a.peers["c"].dials - dials <= 300)

    def test_a_node_that_is_told_of_behind_a_young_link_closes_it_and_no_old_one(self) -> None:
        """Neither end can see it at Open: b has never heard of s, only of who is behind it."""
        _, b, c = self.chain("abc")
        cable = Cable(self.network, None, b.node)
        s = cable.dialling
        s.says(encode(Open("s", 0x55_0000, 3600)))
        self.network.run(0.1)
        s.says(encode(AddRoute((NodeEntry(c.node.id, "c"),))))
        self.network.run(0.5)
        self.assertEqual(s.closes(), [(4, 1)])
        self.assertEqual(s.heard()[-1], Close(4, 1, "c"))
        self.assertTrue(self.network.is_tree())
        self.assertEqual(len(c.node.downs), 0)

    def test_a_nodes_own_id_is_no_news_of_anybody(self) -> None:
        _, b, _ = self.chain("abc")
        cable = Cable(self.network, None, b.node)
        cable.dialling.says(encode(Open("s", 0x55_0000, 3600)))
        cable.dialling.says(encode(AddRoute((NodeEntry(b.node.id, "b"),))))
        self.network.run(1)
        self.assertEqual(cable.dialling.closes(), [])
        self.assertEqual(len(b.node.room.by_node), 3)

    def test_two_trees_joined_at_two_places_at_once_keep_their_own_links(self) -> None:
        for seed in range(20):
            self.network = Network(seed)
            self.members("abcwxyz")
            for one, other in ("ab", "bc", "wx", "xy", "yz"):
                self.network.by_name[one].dials(other)
            self.network.run(30)
            before = self.network.links()
            self.network.by_name["a"].dials("w")
            self.network.by_name["c"].dials("z")
            self.network.run(0.001)
            self.await_tree()
            self.network.run(10)
            self.assertTrue(self.network.is_tree())
            self.assertLessEqual(set(before), set(self.network.links()))
            downs = [link for m in self.network.by_name.values() for link, _ in m.node.downs]
            self.assertEqual([d.name for d in downs if d.since < self.network.now - 30], [])


class Standby(Case):
    def test_it_takes_over_within_a_second_of_the_detection(self) -> None:
        for how in ("loudly", "silently"):
            self.network = Network()
            a, b, c, _ = self.chain("abcd")
            a.dials("d")
            self.network.run(10)
            self.network.shatter("b", "c", how)
            self.await_noticed(b, c)
            self.await_tree(1.0)
            self.assertIn(frozenset("ad"), self.network.links())

    def test_the_first_link_that_mends_stands_by_then(self) -> None:
        a, b, *_ = self.chain("abcd")
        a.dials("d")
        self.network.run(10)
        self.network.shatter("b", "c", "loudly")
        self.network.run(10)
        self.network.mend("b", "c")
        self.network.run(10)
        self.assertTrue(self.network.is_tree())
        self.assertEqual(b.peers["c"].dialler.state, State.STANDBY)
        self.assertIn(frozenset("ad"), self.network.links())

    def test_who_notices_first_is_refused_until_the_other_side_has_noticed_and_asks_often(self) -> None:
        """c is cut off and knows it; d, where its standby leads, still hears of c over a and b."""
        _, b, c, d = self.members("abcd")
        b.dials("a")
        d.dials("a")
        c.dials("b")
        self.network.run(10)
        c.dials("d")
        self.network.run(10)
        self.assertEqual(c.peers["d"].dialler.state, State.STANDBY)
        self.network.shatter("b", "c", "silently")
        c.node.link(b.node)._give_up("noticed")
        noticed = self.network.run_until(lambda: c.node.id not in d.node.room.reach.nodes(), 10)
        self.assertGreater(noticed, 0.1)
        self.await_tree(1.0)
        self.assertIn(frozenset("cd"), self.network.links())

    def test_a_subscription_does_not_outlive_its_cycle(self) -> None:
        """In a cycle, claims would keep each other alive; the cut ends them."""
        members = self.members("abc")
        for member in members:
            member.node.room.pick = lambda low, high: high
        for one, other in ("ab", "bc", "ca"):
            self.network.connect(self.network.by_name[one].node, self.network.by_name[other].node)
        members[0].node.host.wants(GROUP)
        self.network.run(0.05)
        self.assertEqual(len(self.network.links()), 3)
        members[0].node.host.unwants(GROUP)
        self.network.run(1)
        self.assertLess(len(self.network.links()), 3)
        self.assertEqual([m.node.router.wanted() for m in members], [[], [], []])


class Rings(Case):
    def test_two_nodes_that_dial_each_other_have_one_link_and_nobody_stands_by(self) -> None:
        for seed in range(20):
            self.network = Network(seed)
            a, b = self.members("ab")
            a.dials("b")
            self.network.later(self.network.random.choice((0, 0.001, 0.003, 0.3)), b.dials, "a")
            self.network.run(5)
            self.assertTrue(self.network.is_tree())
            states = a.peers["b"].dialler.state, b.peers["a"].dialler.state
            self.assertEqual(states, (State.UP, State.UP))

    def test_three_in_a_ring_started_at_once_are_a_tree_soon_and_stay_it(self) -> None:
        self.ring("abc", starts=(0.0, 0.005, 0.3))

    def test_six_as_well(self) -> None:
        self.ring("abcdef", starts=(0.0, 0.005, 0.3))

    def ring(self, names: str, starts: tuple[float, ...]) -> None:
        for seed in range(12):
            self.network = Network(seed)
            members = self.members(names)
            for member, peer in zip(members, names[1:] + names[0], strict=True):
                self.network.later(self.network.random.random() * starts[seed % 3], member.dials, peer)
            self.network.run(starts[seed % 3] + 0.01)
            self.await_tree()
            self.network.run(1)  # what was under way at that moment may still come up and be refused
            self.await_tree()
            links = set(self.network.links())
            self.network.run(30)
            self.assertTrue(self.network.is_tree())
            self.assertEqual(set(self.network.links()), links)
            standing_by = [d for m in members for d in m.peers.values() if d.dialler.state is State.STANDBY]
            self.assertLessEqual(len(standing_by), 1)  # that moment it may be dialled

    def test_a_ring_over_half_the_earth_settles_too(self) -> None:
        """150 ms from node to node: news of a link are slower than dials."""
        for seed in range(4):
            self.network = Network(seed)
            self.network.delay = 0.15
            members = self.members("abcdef")
            for member, peer in zip(members, "bcdefa", strict=True):
                member.dials(peer)
            self.network.run(1)
            self.await_tree(30)
            self.network.run(10)
            self.assertTrue(self.network.is_tree())


class FullMeshes(Case):
    def test_everybody_dials_everybody_and_there_is_a_tree(self) -> None:
        """Where a node is reached over three links, one cut is not enough, and no Add Route comes again."""
        for names in ("abcd", "abcde", "abcdef"):
            for seed in range(12):
                self.network = Network(seed)
                self.members(names)
                for one, other in combinations(names, 2):
                    self.network.by_name[one].dials(other)
                self.network.run(1)
                self.await_tree(10)
                self.network.run(20)
                self.assertTrue(self.network.is_tree(), (names, seed))


class AnyTopology(SynchronousTestCase):
    """Nodes with redundant ways, of which some break and mend at random while a stream passes."""

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        st.integers(0, 1 << 30),
        st.integers(3, 7),
        st.integers(0, 4),
        st.sampled_from((0.002, 0.02)),
        st.lists(st.tuples(st.integers(0, 99), st.sampled_from(("silently", "loudly"))), max_size=6),
    )
    def test_there_is_a_tree_again_soon_after_each_change_and_nobody_gets_a_packet_twice(
        self, seed: int, size: int, extra: int, delay: float, changes: list[tuple[int, str]]
    ) -> None:
        network = Network(seed)
        network.delay = delay
        names = "abcdefg"[:size]
        members = {name: network.member(name, keep_alive=PATIENCE) for name in names}
        ways = draw_ways(names, extra, network.random)
        for one, other in ways:
            members[one].dials(other)
        for member in members.values():
            member.node.host.wants(GROUP)
        network.run(0.1)
        network.run_until(network.is_tree, AGAIN)
        stream = Stream(members[names[0]])
        for number, how in changes:
            one, other = ways[number % len(ways)]
            if frozenset((one, other)) in network.broken:
                network.mend(one, other)
            else:
                network.shatter(one, other, how)
            network.run(0.01)
            network.run_until(network.is_tree, PATIENCE + AGAIN)
        self.settle(network)
        first = stream.sent
        network.run(1)
        stream.stop()
        network.run(1)
        for part in network.parts():
            for name in part - {names[0]}:
                got = [int.from_bytes(p, "big") for p in members[name].node.host.packets]
                self.assertEqual(len(got), len(set(got)), f"{name} got packets twice")
                if names[0] in part:
                    self.assertLessEqual(set(range(first, stream.sent)), set(got))

    def settle(self, network: Network) -> None:
        """Nothing moves any more, and no link that has been up for a while was closed for a cycle."""
        network.run(PATIENCE + 1)
        links = set(network.links())
        network.run(10)
        self.assertTrue(network.is_tree())
        self.assertEqual(set(network.links()), links)


def draw_ways(names: str, extra: int, random: Random) -> list[tuple[str, str]]:
    """A random tree and some more ways, each with who dials first."""
    ways = {frozenset((name, random.choice(names[:at]))) for at, name in enumerate(names) if at}
    most = len(names) * (len(names) - 1) // 2
    while len(ways) < min(most, len(names) - 1 + extra):
        ways.add(frozenset(random.sample(names, 2)))
    drawn = []
    for way in sorted(ways, key=sorted):
        pair = sorted(way)
        random.shuffle(pair)
        drawn.append((pair[0], pair[1]))
    return drawn


class Stream:
    """A program on a node's host that sends numbered packets, 50 a second."""

    def __init__(self, member: Member) -> None:
        self.sent = 0
        self._member = member
        self._goes_on = True
        self._send()

    def _send(self) -> None:
        if self._goes_on:
            self._member.node.send(GROUP, SOURCE, self.sent.to_bytes(4, "big"), ttl=64)
            self.sent += 1
            self._member.network.later(0.02, self._send)

    def stop(self) -> None:
        self._goes_on = False


class Telling(Case):
    def test_an_operator_reads_of_a_takeover_in_ups_and_downs_alone(self) -> None:
        a, *_ = self.chain("abc")
        a.dials("c")
        self.network.run(10)
        a.node.events.clear()
        self.network.shatter("a", "b", "loudly")
        self.network.run(5)
        told = [e for e in a.node.events if isinstance(e, PeerUp | PeerDown)]
        self.assertEqual([(type(e), e.peer) for e in told], [(PeerDown, "b"), (PeerUp, "c")])
