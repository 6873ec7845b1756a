"""The routing table against a naive one, and trees of nodes against what they must come to."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import ANY, Channel
from multicastmw.core.branch import CYCLE_WAIT
from multicastmw.core.packet import Packet
from multicastmw.core.parting import part
from multicastmw.core.routing import EVERY, Router
from multicastmw.core.turns import Turns
from multicastmw.wire.cops import Op
from multicastmw.wire.data import DataHeader
from tests.core.cable import Cable, Node, World


class Plain:
    """A destination that asks what the others want each time it is told of a change, and remembers it."""

    local = False

    def __init__(self, router: Router, name: str) -> None:
        self.name = name
        self.router = router
        self.others: set[Channel] = set()
        router.attach(self)

    def deliver(self, packet: Packet) -> None:
        raise AssertionError("the table delivers nothing by itself")

    def others_changed(self, channel: Channel) -> None:
        (self.others.add if self.router.wanted_besides(self, channel) else self.others.discard)(channel)


NAMES = "abcd"
CHANNELS = [Channel(group, source) for group in (1, 2) for source in (ANY, 7, 8)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["subscribe", "unsubscribe", "detach", "forget", "route", "observe", "disregard"]),
        st.sampled_from(NAMES),
        st.sampled_from(CHANNELS),
    ),
    max_size=60,
)


class TheTable(SynchronousTestCase):
    @given(STEPS)
    @settings(max_examples=300, deadline=None)
    def test_is_as_a_naive_one(self, steps: list) -> None:
        router = Router()
        here = {name: Plain(router, name) for name in NAMES}
        wants: set[tuple[str, Channel]] = set()
        routes: dict[Channel, Any] = {}
        looks: set[tuple[str, int]] = set()
        eyes = {name: Plain(router, f"eye {name}") for name in NAMES[:2]}
        for what, name, channel in steps:
            destination = here[name]
            if what == "subscribe":
                router.subscribe(destination, channel)
                wants.add((name, channel))
            elif what == "unsubscribe":
                router.unsubscribe(destination, channel)
                wants.discard((name, channel))
            elif what == "detach":
                part(destination, (router,), Turns())
                here[name] = Plain(router, name)
                here[name].others = set(router.all_wanted_besides(here[name]))
                wants = {(n, c) for n, c in wants if n != name}
            elif what == "route" and channel.source:
                routes[channel] = router.route(channel)
                self.assertIs(routes[channel], router.route(channel))
            elif what == "forget" and channel in routes:
                router.forget(routes.pop(channel))
            elif what in ("observe", "disregard") and name in eyes:
                group = channel.group if channel.source else EVERY
                getattr(router, what)(eyes[name], group)
                (looks.add if what == "observe" else looks.discard)((name, group))
            self.check(router, here, wants, routes)
            for route in routes.values():
                seeing = {f"eye {n}" for n, group in looks if group in (EVERY, route.channel.group)}
                for ingress in here.values():
                    others = [d.name for d in route.fan_out(ingress) if d.name in NAMES]
                    seen = [d.name for d in route.fan_out(ingress) if d.name not in NAMES]
                    self.assertEqual(sorted(seeing if others else ()), sorted(seen))

    def check(self, router: Router, here: dict, wants: set, routes: dict) -> None:
        for name, destination in here.items():
            others = {channel for n, channel in wants if n != name}
            self.assertEqual(destination.others, others)
            self.assertEqual(set(router.all_wanted_besides(destination)), others)
            self.assertEqual(router.count(destination), sum(n == name for n, _ in wants))
        self.assertEqual({(d.name, channel) for channel, ds in router.wanted() for d in ds}, wants)
        self.assertEqual({id(route) for route in router.routes()}, {id(route) for route in routes.values()})
        for channel, route in routes.items():
            takers = {n for n, c in wants if c in (channel, Channel(channel.group, ANY))}
            for name, ingress in here.items():
                fan_out = [d for d in route.fan_out(ingress) if d.name in NAMES]
                self.assertEqual(sorted(d.name for d in fan_out), sorted(takers - {name}))

    def test_an_observer_asks_nobody_and_is_told_of_as_a_change_once(self) -> None:
        router = Router()
        a, eye = Plain(router, "a"), Plain(router, "eye")
        route, mended = router.route(Channel(1, 7)), []
        router.subscribe(a, Channel(1, ANY))
        router.mended = mended.append
        for _ in range(2):
            router.observe(eye, 1)
            router.observe(eye, EVERY)
        self.assertEqual((set(), [route]), (a.others, mended))
        router.disregard(eye, 1)
        router.disregard(eye, EVERY)
        self.assertEqual(([route, route], (a,)), (mended, route.fan_out(eye)))

    def test_a_route_resumes_for_an_ingress_that_had_been_alone_with_it(self) -> None:
        router = Router()
        a, b, c = (Plain(router, name) for name in "abc")
        route = router.route(Channel(1, 7))

        def resumed(change: Any, who: Plain) -> str:
            """For whose packets."""
            epoch = route.epoch
            change(who, Channel(1, ANY))
            return "".join(x.name for x in (a, b, c) if route.resumed_since(epoch, x))

        self.assertEqual(resumed(router.subscribe, a), "abc")
        self.assertEqual(resumed(router.subscribe, b), "a")
        self.assertEqual(resumed(router.subscribe, c), "")
        self.assertEqual(resumed(router.unsubscribe, a), "")
        self.assertEqual(resumed(router.unsubscribe, c), "")
        self.assertEqual(resumed(router.subscribe, a), "b")
        self.assertEqual(resumed(router.unsubscribe, b) + resumed(router.unsubscribe, a), "")
        self.assertEqual(resumed(router.subscribe, b), "abc")

    def test_who_left_is_kept_by_no_route(self) -> None:
        router = Router()
        a, b = Plain(router, "a"), Plain(router, "b")
        route = router.route(Channel(1, 7))
        router.subscribe(b, Channel(1, ANY))
        route.fan_out(a)
        router.subscribe(a, Channel(1, 7))
        router.unsubscribe(b, Channel(1, ANY))
        router.subscribe(b, Channel(1, ANY))
        self.assertIn((a,), route.found)
        part(a, (router,), Turns())
        self.assertNotIn(a, route.fan_outs)
        self.assertNotIn((a,), route.found)
        router.forget(route)
        self.assertEqual((router.routes(), router._routes), ([], {}))


@dataclass
class Life:
    """A tree of nodes, what their hosts want, and what has happened to their cables."""

    parents: list[int]
    world: World
    udp: bool
    nodes: list[Node] = field(default_factory=list)
    cables: dict[int, Cable] = field(default_factory=dict)
    wants: set[tuple[int, Channel]] = field(default_factory=set)

    def __post_init__(self) -> None:
        port = {} if self.udp else {"data_port": None}
        self.nodes = [self.world.node(f"n{i}", **port) for i in range(len(self.parents) + 1)]
        for child in range(1, len(self.nodes)):
            self.dial(child)

    def dial(self, child: int) -> None:
        self.cables[child] = self.world.connect(
            self.nodes[child],
            self.nodes[self.parents[child - 1]],
            delay=self.world.random.uniform(0.0005, 0.05),
            chunk=self.world.random.choice([11, 100, 1448]),
        )

    def do(self, what: str, which: int, channel: Channel, pause: float) -> None:
        node = which % len(self.nodes)
        edge = 1 + which % len(self.parents)
        match what:
            case "subscribe":
                self.nodes[node].host.wants(*channel)
                self.wants.add((node, channel))
            case "unsubscribe":
                self.nodes[node].host.unwants(*channel)
                self.wants.discard((node, channel))
            case "cut":
                self.cables[edge].cut()
            case "reset":
                self.cables[edge].dialling.abort()
            case "dial":
                self.dial(edge)  # also while the old link seems to be up
            case "leave":
                self.nodes[node].room.leave(self.world.now)
            case "send":
                self.nodes[node].send(channel.group, channel.source or 7)
        self.world.run(pause)

    def settle(self) -> None:
        """Every edge has a link again, as diallers see to it, and nothing is under way."""
        for _ in range(3):
            for edge, cable in list(self.cables.items()):
                if not cable.is_up or cable.is_cut:
                    self.dial(edge)
            self.world.run(30)

    def side(self, child: int) -> set[int]:
        """The nodes behind the edge, seen from the child's parent."""
        side = {child}
        for node in range(child + 1, len(self.nodes)):
            if self.parents[node - 1] in side:
                side.add(node)
        return side

    def wanted_by(self, nodes: set[int]) -> set[Channel]:
        return {channel for node, channel in self.wants if node in nodes}


LIVES = st.lists(
    st.tuples(
        st.sampled_from(
            ["subscribe", "subscribe", "subscribe", "unsubscribe", "cut", "reset", "dial", "leave", "send"]
        ),
        st.integers(0, 1000),
        st.sampled_from(CHANNELS),
        st.sampled_from([0.0, 0.0, 0.01, 0.3, 4.0, 12.0]),
    ),
    max_size=25,
)
# Parents of up to nine more nodes: node i + 1 hangs on one of the nodes 0 .. i.
TREES = st.lists(st.integers(0, 1000), min_size=1, max_size=9).map(
    lambda ns: [n % (i + 1) for i, n in enumerate(ns)]
)


class Trees(SynchronousTestCase):
    @given(TREES, LIVES, st.booleans(), st.integers(0, 99))
    @settings(max_examples=40, deadline=None)
    def test_whatever_happened_they_come_to_what_they_must(
        self, parents: list[int], steps: list, udp: bool, seed: int
    ) -> None:
        life = Life(parents, World(seed), udp)
        for step in steps:
            life.do(*step)
        life.settle()
        self.check_links(life)
        self.check_packets(life)

    def check_links(self, life: Life) -> None:
        """Every link has told exactly the union, and every node reaches all others."""
        everybody = set(range(len(life.nodes)))
        for node in life.nodes:
            ids = {other.id: other.name for other in life.nodes if other is not node}
            reach = node.room.reach
            self.assertEqual({n: reach.name(n) for n in reach.nodes()}, ids)
            self.assertTrue(all(len(reach.links(n)) == 1 for n in ids))
        for child, parent in enumerate(life.parents, 1):
            below = life.side(child)
            lower, upper = life.nodes[child], life.nodes[parent]
            self.assertEqual(upper.told_by(lower), life.wanted_by(below))
            self.assertEqual(lower.told_by(upper), life.wanted_by(everybody - below))
            for teller, listener in ((lower, upper), (upper, lower)):
                others = set(teller.router.all_wanted_besides(teller.link(listener)))
                self.assertEqual(listener.told_by(teller), others)

    def check_packets(self, life: Life) -> None:
        """Exactly once to each who wants it, and over no link behind which nobody does."""
        for sender, node in enumerate(life.nodes):
            for channel in (Channel(1, 7), Channel(2, 9)):
                wanted = {n for n, c in life.wants if c in (channel, Channel(channel.group, ANY))}
                for other in life.nodes:
                    other.host.got.clear()
                life.world.air.sent.clear()
                inner = bytes([sender]) * 9
                written = {id(end): len(end.sent_data()) for cable in life.world.cables for end in cable.ends}
                node.send(*channel, inner=inner)
                life.world.run(1)
                got = {n for n, other in enumerate(life.nodes) if other.host.packets == [inner]}
                self.assertEqual(got, wanted - {sender})
                self.assertTrue(all(len(other.host.got) <= 1 for other in life.nodes))
                self.assertEqual(self.crossed(life, written), self.needed(life, sender, wanted))

    def crossed(self, life: Life, written: dict[int, int]) -> list[tuple[str, str]]:
        """(from, to) addresses of all IP Data, on TCP and UDP."""
        datagrams = [(a, b) for a, b, _ in life.world.air.data()]
        streams = [
            (end.local_address, end.address)
            for cable in life.world.cables
            for end in cable.ends
            for _ in end.sent_data()[written[id(end)] :]
        ]
        return sorted(datagrams + streams)

    def needed(self, life: Life, sender: int, wanted: set[int]) -> list[tuple[str, str]]:
        """Each edge with a listener on the side away from the sender, once, in that direction."""
        needed = []
        for child, parent in enumerate(life.parents, 1):
            below = life.side(child)
            down = sender not in below
            if (wanted & below) if down else (wanted - below):
                ends = life.nodes[parent].address, life.nodes[child].address
                needed.append(ends if down else ends[::-1])
        return sorted(needed)

    def test_a_line_of_ten_carries_every_hop(self) -> None:
        world = World()
        nodes = world.chain("abcdefghij")
        nodes[-1].host.wants(1)
        world.run(2)
        nodes[0].send(1, 7, ttl=10)
        nodes[0].send(1, 7, ttl=9)
        world.run(1)
        self.assertEqual([limit for _, limit in nodes[-1].host.got], [1])

    def test_a_moments_loop_is_harmless(self) -> None:
        """Three nodes in a ring that nobody cuts: hop limit and duplicate windows bound the damage."""
        world = World()
        a, b, c = nodes = [world.node(name) for name in "abc"]
        for node in nodes:
            node.room.pick = lambda low, high: 60.0 if (low, high) == CYCLE_WAIT else high
        for dialler, listener in ((a, b), (b, c), (c, a)):
            world.connect(dialler, listener)
        world.run(1)
        world.air.way(a, c).delay = 0.3  # so that c has it from b first, and passes it on to a
        for node in (a, b, c):
            node.host.wants(1)
        world.run(2)
        for _ in range(10):
            a.send(1, 7)
        world.run(2)
        self.assertEqual([len(n.host.got) for n in (b, c)], [10, 10])
        self.assertLessEqual(len(world.air.data()), 60)
        self.assertEqual(a.forwarder.drops.from_ourselves, 10)
        self.assertEqual(a.host.got, [])


class Fanout(SynchronousTestCase):
    def test_c_and_d_behind_b_get_one_copy_each_and_the_first_link_carries_one(self) -> None:
        world = World()
        a, b, c, d = world.tree([0, 1, 1], data_port=None)
        for node in (c, d):
            node.host.wants(1)
        world.run(1)
        a.send(1, 7)
        world.run(1)
        self.assertEqual([len(n.host.got) for n in (b, c, d)], [0, 1, 1])
        sent = [len(cable.accepting.sent_data()) for cable in world.cables]
        self.assertEqual(sent, [1, 1, 1])
        message = world.cables[0].accepting.sent_data()[0]
        self.assertEqual(message[1], Op.IP_DATA)
        self.assertEqual(DataHeader.parse(message).origin, a.id)
