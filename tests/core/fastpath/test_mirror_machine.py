"""The mirror for any row of events, against a naive model of what the maps must say.

The hub is real but for its sockets, its maps are strict ones in memory (memory.py), which object to a wrong
order and to a missing rest; where root is there, all goes to real maps too, which must then be the same.
The model knows no indexes, slots, marks or rests: it asks the tables of the node, each time anew.
"""

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import Channel
from multicastmw.core.fastpath.peers import Uplink
from multicastmw.core.fastpath.tables import GATE_OF_LINK, INDEX, LINK_TAP, RouteFlag, RouteKey
from multicastmw.core.identity import node_of
from multicastmw.core.link import Link
from multicastmw.core.routing import EVERY
from multicastmw.core.streams import STALE
from multicastmw.net.bpf.loading import load, shipped_object
from multicastmw.net.bpf.tables import Tables
from tests.core.cable import Node, World
from tests.core.fastpath.memory import UPLINK, Hub, MemoryTables
from tests.net.bpf.bed import why_no_bed

NAMES = "bcd"
GROUPS = 0xEF010101, 0xEF010102
SOURCES = 0x0A580001, 0x0A580002
UPLINKS = UPLINK, Uplink(5, 1400), "wg0 is no Ethernet"

names = st.sampled_from(NAMES)
groups = st.sampled_from(GROUPS)
sources = st.sampled_from(SOURCES)
wanted_sources = st.sampled_from((0, *SOURCES))

# tokens of the peers, flags, the accepted link's token, longest
Said = tuple[frozenset[int], RouteFlag, int, int]


class Machine(RuleBasedStateMachine):
    def make_tables(self) -> Any:
        return MemoryTables(lambda: self.world.now)

    @initialize(seed=st.integers(0, 5))
    def begin(self, seed: int) -> None:
        self.world = World(seed)
        self.tables = self.make_tables()
        self.hub = Hub(self.world, tables=self.tables)
        self.peers: dict[str, Node] = {}
        for name in NAMES:
            self.peers[name] = self.world.node(name)
            self.world.connect(self.peers[name], self.hub.node)
        self.world.run(1)
        self.passed: Counter[RouteKey] = Counter()
        self.looked_at: set[int] = set()
        self.is_on = False
        self.switch(True)
        for name, group in zip(NAMES, (*GROUPS, GROUPS[0]), strict=True):  # so there is much to change
            self.peers[name].host.wants(group)
        self.world.run(0.1)
        for name, group in zip(NAMES, (GROUPS[0], *GROUPS), strict=True):
            self.peers[name].send(group, SOURCES[0])
        self.hub.send(GROUPS[0])
        self.hub.send(GROUPS[1])
        self.world.run(0.1)

    def link(self, name: str) -> Link | None:
        return self.hub.node.room.by_node.get(self.peers[name].id)

    # --- what happens

    @rule(name=names, group=groups, source=wanted_sources, wants=st.booleans())
    def a_peer_subscribes(self, name: str, group: int, source: int, wants: bool) -> None:
        host = self.peers[name].host
        (host.wants if wants else host.unwants)(group, source)
        self.world.run(0.05)

    @rule(group=groups, source=wanted_sources, wants=st.booleans())
    def the_host_subscribes(self, group: int, source: int, wants: bool) -> None:
        (self.hub.tap.want if wants else self.hub.tap.unwant)(group, source)

    @rule(group=groups, source=wanted_sources, wants=st.booleans())
    def the_process_subscribes(self, group: int, source: int, wants: bool) -> None:
        host = self.hub.node.host
        (host.wants if wants else host.unwants)(group, source)

    @rule(group=st.sampled_from((EVERY, *GROUPS)), looks=st.booleans())
    def the_process_looks(self, group: int, looks: bool) -> None:
        router = self.hub.node.router
        (router.observe if looks else router.disregard)(self.hub.node.host, group)
        (self.looked_at.add if looks else self.looked_at.discard)(group)

    @rule(name=names, group=groups, source=sources)
    def a_peer_sends(self, name: str, group: int, source: int) -> None:
        self.peers[name].send(group, source)
        self.world.run(0.05)

    @rule(group=groups, source=sources)
    def the_host_sends(self, group: int, source: int) -> None:
        self.hub.send(group, source)

    @rule(name=names, hole=st.booleans(), seconds=st.sampled_from((0.1, 3, 8)))
    def a_way_loses_all_datagrams_or_none(self, name: str, hole: bool, seconds: float) -> None:
        self.world.air.spoil(self.hub.node, self.peers[name], hole=hole)
        self.world.run(seconds)

    @rule(name=names, uplink=st.sampled_from(UPLINKS), told=st.booleans())
    def a_way_is_another_one(self, name: str, uplink: Uplink | str, told: bool) -> None:
        self.hub.uplinks[self.peers[name].address] = uplink
        if told:
            self.hub.mirror.look_at_links()
        else:
            self.world.run(1.01)

    @rule(name=names, leaves=st.booleans(), seconds=st.sampled_from((0.02, 0.5, 3)))
    def a_peer_calls_again(self, name: str, leaves: bool, seconds: float) -> None:
        link = self.link(name)
        if link and leaves:
            link.leave(11, 0, "gone", self.world.now)
        self.world.connect(self.peers[name], self.hub.node)
        self.world.run(seconds)

    @rule(name=names, origin=names, reached=st.booleans())
    def a_peer_tells_of_a_node(self, name: str, origin: str, reached: bool) -> None:
        link, reach = self.link(name), self.hub.node.room.reach
        if link and origin != name:
            if reached:
                reach.add(link, self.peers[origin].id, origin)
            else:
                reach.remove(link, self.peers[origin].id)
            self.world.run(0.001)  # not so long that the cycle is closed

    @rule(bridged=st.booleans())
    def the_tap_joins_or_leaves_a_bridge(self, bridged: bool) -> None:
        self.hub.device = self.hub.device._replace(bridged=bridged)
        self.hub.mirror.settings_changed(self.world.now, bridged)

    @rule(on=st.booleans())
    def switch(self, on: bool) -> None:
        if on and not self.is_on:
            self.hub.start()
        elif not on:
            self.hub.mirror.stop(self.world.now)
        self.is_on = on

    @rule(which=st.integers(0, 9), packets=st.integers(1, 9))
    def the_kernel_forwards(self, which: int, packets: int) -> None:
        keys = sorted(self.tables.routes)
        if keys:
            key = keys[which % len(keys)]
            self.tables.forward(key, packets)
            self.passed[key] += packets

    @rule(which=st.integers(0, 9), link=st.booleans())
    def the_kernel_leaves_a_packet_to_us(self, which: int, link: bool) -> None:
        gates = [GATE_OF_LINK + peer for peer in self.tables.peers] if link else (
            [route.slot for route in self.tables.routes.values()]
        )  # fmt: skip
        if gates:
            gate = sorted(gates)[which % len(gates)]
            self.tables.leave(gate)
            assert self.tables.is_shut(gate)
            self.world.run(1.1)

    @rule(seconds=st.sampled_from((0.5, 1, 3, 12)))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(waits=st.booleans())
    def streams_are_forgotten(self, waits: bool) -> None:
        self.world.run(STALE + 1 if waits else 0)
        self.hub.node.forwarder.streams.sweep(self.world.now, STALE)
        keys = {RouteKey(*route.channel, origin) for route, origin in self.streams()}
        self.passed = Counter({key: count for key, count in self.passed.items() if key in keys})

    # --- what must be

    def streams(self) -> set[tuple[Any, int]]:
        forwarder = self.hub.node.forwarder
        return {(s.route, s.origin) for s in forwarder.streams.coming.values()} | {
            (s.route, forwarder.origin) for s in forwarder.streams.starting.values()
        }

    def serves(self, link: Link) -> Uplink | None:
        up = link in self.hub.node.room.by_node.values() and link.on_udp
        uplink = self.hub.uplinks.get(link.address, UPLINK)
        return uplink if up and isinstance(uplink, Uplink) else None

    def expected(self, channel: Channel, origin: int) -> Said | None:
        """What the kernel must do with this origin's stream, None if it must leave it to us."""
        ours = origin == self.hub.node.forwarder.origin
        bridged = self.hub.device.bridged
        reached = [
            link for link in self.hub.node.room.by_node.values()
            if node_of(origin) in self.hub.node.room.reach.behind(link)
        ]  # fmt: skip
        if (ours and bridged) or (not ours and (len(reached) != 1 or not self.serves(reached[0]))):
            return None
        takers = {
            taker for wanted, who in self.hub.node.router.wanted() for taker in who
            if wanted.group == channel.group and wanted.source in (0, channel.source)
        }  # fmt: skip
        local = self.hub.tap in takers
        links = takers - {self.hub.tap, self.hub.node.host}
        if not all(self.serves(link) for link in links) or (local and bridged and not ours):
            return None
        longest = min((self.serves(link).mtu for link in links), default=1500)
        accepted = 0 if ours else reached[0]._peers_token
        flags = RouteFlag.LOCAL if local else RouteFlag(0)
        if self.hub.node.host in takers:
            flags |= RouteFlag.HERE | RouteFlag.COPY
        elif self.looked_at & {EVERY, channel.group}:
            flags |= RouteFlag.COPY
        return frozenset(link._peers_token for link in links), flags, accepted, longest

    def said(self, key: RouteKey) -> Said:
        route = self.tables.routes[key]
        token = {index: peer.token for index, peer in self.tables.peers.items()}
        accepted = 0 if route.link == LINK_TAP else token[route.link]
        peers = frozenset(token[index] for index in route.peers)
        return peers, route.flags, accepted, route.longest

    @invariant()
    def the_maps_say_what_the_tables_of_the_node_say(self) -> None:
        self.hub.settle()
        expected = {}
        for route, origin in self.streams() if self.is_on else ():
            if said := self.expected(route.channel, origin):
                expected[RouteKey(*route.channel, origin)] = said
        assert {key: self.said(key) for key in self.tables.routes} == expected

    @invariant()
    def every_stream_has_a_reason_or_is_fast(self) -> None:
        for flow in self.hub.mirror.flows:
            assert (flow.value is None) == bool(flow.why), (flow.value, flow.why)
            assert (flow.key in self.tables.routes) == (flow.value is not None)

    @invariant()
    def no_gate_is_shut(self) -> None:
        self.hub.settle()
        for flow in self.hub.mirror.flows:
            assert flow.value is None or not self.hub.mirror.why_slow(flow)
        assert self.hub.mirror.deadline() > self.world.now

    @invariant()
    def what_the_kernel_forwarded_is_counted(self) -> None:
        self.hub.mirror.read(self.world.now)
        counted = {flow.key: flow.passed for flow in self.hub.mirror.flows if flow.passed}
        assert counted == +self.passed

    @invariant()
    def nothing_is_kept_of_what_is_gone(self) -> None:
        self.hub.settle()
        flows = list(self.hub.mirror.flows)
        assert {flow.key for flow in flows} == {RouteKey(*r.channel, o) for r, o in self.streams()}
        for place in self.hub.mirror.peers.by_index.values():
            assert place.routes == sum(place in flow.places for flow in flows)

    def teardown(self) -> None:
        if hasattr(self, "hub"):
            self.hub.mirror.stop(self.world.now)
            self.world.run(4)
            assert not self.tables.peers and not self.tables.links and not self.tables.routes
            assert not self.hub.mirror.flows.by_slot


class Both(MemoryTables):
    """Strict maps, and the kernel's own, which are told the same."""

    def __init__(self, now: Any, real: Tables) -> None:
        super().__init__(now)
        self.real = real
        for name in ("shut", "open_gate", "configure", "set_peer", "clear_peer", "set_link", "clear_link",
                     "set_routes", "clear_route", "set_sequence"):  # fmt: skip
            setattr(self, name, self._twice(getattr(self, name), getattr(real, name)))

    @staticmethod
    def _twice(strict: Any, real: Any) -> Any:
        def both(*args: Any) -> Any:
            answer = strict(*args)
            assert answer == real(*args)
            return answer

        return both

    def leave(self, gate: int) -> None:
        super().leave(gate)
        self.real._gates[2 * gate] = self.left[gate]

    def compare(self) -> None:
        assert self.cfg and self.real.cfgs.get(INDEX.pack(0)) == self.cfg.pack()
        for gate in (*range(8), *range(GATE_OF_LINK, GATE_OF_LINK + 8)):
            assert (self.left[gate], self.is_shut(gate)) == (self.real.left_at(gate), self.real.is_shut(gate))
        for table, ours in ((self.real.links, self.links), (self.real.routes, self.routes)):
            assert set(table.keys()) == {key.pack() for key in ours}
            assert all(table.get(key.pack()) == value.pack() for key, value in ours.items())
        for index, value in enumerate(self.real.peers.first(8)):
            assert value == (self.peers[index].pack() if index in self.peers else bytes(len(value)))


class OnTheKernel(Machine):
    def make_tables(self) -> Both:
        self.real = Tables(load(shipped_object()))
        return Both(lambda: self.world.now, self.real)

    @invariant()
    def the_kernel_has_it_too(self) -> None:
        self.tables.compare()

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "real"):
            self.real.close()


class TheMirror(SynchronousTestCase):
    def run_machine(self, machine: type[Machine], examples: int) -> None:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples, stateful_step_count=30, deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip

    def test_keeps_the_maps_as_the_tables_of_the_node(self) -> None:
        self.run_machine(Machine, 40)

    def test_keeps_the_kernel_s_own_maps_so(self) -> None:
        if reason := why_no_bed():
            self.skipTest(reason)
        self.run_machine(OnTheKernel, 8)
