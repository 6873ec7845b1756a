"""The mirror: what it writes, when, in which order; what it reads; what it does not give to the kernel."""

from collections import Counter
from ipaddress import IPv4Address, IPv4Network

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import key_text
from multicastmw.core.admission import Admission
from multicastmw.core.events import RouteInKernel
from multicastmw.core.fastpath.flows import APART, APART_MAX, CALM, STRAYS
from multicastmw.core.fastpath.mirror import HELD, LEASE, LOOKED_AT, STRAYING
from multicastmw.core.fastpath.peers import Address, Uplink
from multicastmw.core.fastpath.tables import (
    GATE_OF_LINK,
    LINK_TAP,
    NO_MAC,
    REASONS_MAX,
    ROUTES,
    Cfg,
    LinkKey,
    LinkValue,
    Reason,
    RouteFlag,
)
from multicastmw.core.fragments import Reassembler
from multicastmw.core.link import Link
from multicastmw.core.routing import EVERY
from multicastmw.core.stream import Sending
from multicastmw.core.window import SILENCE
from multicastmw.wire.probe import GROUP as QUESTIONS
from tests.core.cable import Node, World
from tests.core.fastpath.memory import FAR, GROUP, OTHER, UPLINK, Hub


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.hub = Hub(self.world)
        self.peers = {name: self.joined(name) for name in "bcd"}
        self.hub.start()
        self.tables = self.hub.tables

    def joined(self, name: str) -> Node:
        peer = self.world.node(name)
        self.world.connect(peer, self.hub.node)
        self.world.run(1)
        return peer

    def link(self, name: str) -> Link:
        return self.hub.node.link(self.peers[name])

    def wants(self, name: str, group: int = GROUP, source: int = 0) -> None:
        self.peers[name].host.wants(group, source)
        self.world.run(0.1)

    def sends(self, name: str, group: int = GROUP, source: int = FAR) -> None:
        self.peers[name].send(group, source)
        self.world.run(0.1)

    def stream(self, name: str = "b", group: int = GROUP, source: int = FAR) -> object:
        """The flow of a peer's stream, in the maps or not."""
        origin = self.peers[name].forwarder.origin
        (flow,) = (f for f in self.hub.mirror.flows if f.key == self.hub.key(group, source, origin))
        return flow

    def why(self, name: str = "b") -> str:
        flow = self.stream(name)
        self.assertIsNone(flow.value)
        self.assertNotIn(flow.key, self.tables.routes)
        return flow.why


class TheMaps(Case):
    def test_peers_and_links_stand_there_as_the_data_path_is(self) -> None:
        for name, peer in self.peers.items():
            link = self.link(name)
            key = LinkKey(address(peer), address(self.hub.node), 4600, 4600)
            served = self.tables.links[key]
            self.assertEqual(LinkValue(link.token, served.peer), served)
            value = self.tables.peers[served.peer]
            self.assertEqual((peer.link(self.hub.node).token, 1500, UPLINK.device),
                             (value.token, value.longest, value.device))  # fmt: skip
        self.assertEqual(3, len(self.tables.peers))

    def test_a_stream_that_starts_here_goes_to_all_who_want_it_and_is_taken_from_the_tap_alone(self) -> None:
        for name in "bd":
            self.wants(name)
        self.hub.send()
        route = self.tables.routes[self.hub.key()]
        self.assertEqual({"b", "d"}, self.hub.peers_of(self.hub.key()))
        self.assertEqual((LINK_TAP, 1500, RouteFlag(0)), (route.link, route.longest, route.flags))

    def test_a_stream_over_a_link_is_taken_from_that_link_alone(self) -> None:
        self.wants("c")
        self.hub.tap.want(GROUP, 0)
        self.world.run(0.1)
        self.sends("b")
        flow = self.stream()
        route = self.tables.routes[flow.key]
        self.assertEqual({"c"}, self.hub.peers_of(flow.key))
        self.assertEqual(RouteFlag.LOCAL, route.flags)
        self.assertEqual(self.peers["b"].link(self.hub.node).token, self.tables.peers[route.link].token)

    def test_a_subscription_that_changes_is_in_the_maps_within_10_ms(self) -> None:
        self.wants("b")
        self.hub.send()
        self.hub.node.router.subscribe(self.link("c"), self.hub.node.router.channels()[0])
        self.hub.settle()
        self.assertEqual({"b", "c"}, self.hub.peers_of(self.hub.key()))
        self.hub.node.router.unsubscribe(self.link("b"), self.hub.node.router.channels()[0])
        self.hub.settle()
        self.assertEqual({"c"}, self.hub.peers_of(self.hub.key()))

    def test_what_nodes_ask_each_other_is_no_news(self) -> None:
        for group in (GROUP, QUESTIONS):
            self.wants("c", group)
            self.sends("b", group)
        levels = {event.group: event.level for event in self.hub.node.told(RouteInKernel)}
        self.assertEqual({key_text(GROUP): "info", key_text(QUESTIONS): "debug"}, levels)

    def test_what_nobody_wants_ends_in_the_kernel(self) -> None:
        self.hub.send()
        route = self.tables.routes[self.hub.key()]
        self.assertEqual(((), 1412 + 88), (route.peers, route.longest))

    def test_where_nothing_changes_nothing_is_written_but_the_lease(self) -> None:
        self.wants("b")
        self.hub.send()
        self.world.run(5)
        before = self.tables.writes
        self.world.run(100)
        self.assertIn(self.tables.writes - before, (99, 100, 101))

    def test_the_lease_reaches_three_seconds_ahead_at_each_moment(self) -> None:
        for _ in range(50):
            self.world.run(0.1)
            ahead = self.tables.cfg.lease / 1e9 - self.world.now
            self.assertTrue(LEASE - 1.1 < ahead <= LEASE, ahead)
        self.assertTrue(self.tables.cfg.enabled)

    def test_what_has_come_is_taken_from_where_the_stream_comes_before_the_kernel_has_it(self) -> None:
        before = self.hub.taken_from_tap
        self.hub.send()
        self.assertGreater(self.hub.taken_from_tap, before)

    def test_a_stream_that_was_forgotten_leaves_the_maps(self) -> None:
        self.hub.send()
        self.hub.node.forwarder.streams.sweep(self.world.now + 301, 300)
        self.hub.settle()
        self.assertEqual({}, self.tables.routes)
        self.world.run(3)
        self.assertEqual([], list(self.hub.mirror.flows))
        self.assertEqual({}, self.hub.mirror.flows.by_slot)


class InThisProcess(Case):
    """Who wants a stream here, or looks at it, gets copies: it stays the kernel's."""

    def setUp(self) -> None:
        super().setUp()
        self.wants("c")
        self.sends("b")
        self.slot = self.flags()[1]
        self.router = self.hub.node.router

    def flags(self) -> tuple[RouteFlag, int]:
        self.hub.settle()
        value = self.stream().value
        self.assertIsNotNone(value)
        return value.flags, value.slot

    def test_a_destination_makes_it_wanted(self) -> None:
        self.hub.node.host.wants(GROUP)
        self.assertEqual((RouteFlag.HERE | RouteFlag.COPY, self.slot), self.flags())
        self.hub.node.host.unwants(GROUP)
        self.assertEqual((RouteFlag(0), self.slot), self.flags())

    def test_an_observer_does_not(self) -> None:
        for group in (GROUP, EVERY):
            self.router.observe(self.hub.node.host, group)
            self.assertEqual((RouteFlag.COPY, self.slot), self.flags())
            self.router.disregard(self.hub.node.host, group)
            self.assertEqual((RouteFlag(0), self.slot), self.flags())

    def test_packets_go_on_meanwhile(self) -> None:
        key = self.stream().key
        for change in (self.router.observe, self.router.disregard):
            change(self.hub.node.host, GROUP)
            self.hub.settle()
            self.assertFalse(self.tables.is_shut(self.slot))
            self.tables.forward(key, 5)
        self.hub.mirror.read(self.world.now)
        self.assertEqual((10, 5), (self.stream().passed, self.hub.mirror.counts.reasons[Reason.COPIED]))


class WhatStaysSlow(Case):
    """Each as a whole, with a reason that says what to mend."""

    def setUp(self) -> None:
        super().setUp()
        self.wants("c")
        self.sends("b")
        self.assertIsNotNone(self.stream().value)

    def test_where_a_taker_has_its_data_on_tcp(self) -> None:
        self.wants("d")
        self.world.air.spoil(self.hub.node, self.peers["d"], hole=True)
        self.world.run(5)
        self.assertEqual("it goes to d: its data go over TCP", self.why())
        self.world.air.spoil(self.hub.node, self.peers["d"], hole=False)
        self.world.run(10)
        self.assertIsNotNone(self.stream().value)

    def test_where_it_comes_over_a_link_with_its_data_on_tcp(self) -> None:
        self.world.air.spoil(self.hub.node, self.peers["b"], hole=True)
        self.world.run(5)
        self.assertEqual("it comes from b: its data go over TCP", self.why())

    def test_where_a_taker_is_reached_by_no_device_that_will_do(self) -> None:
        self.hub.uplinks[self.peers["c"].address] = "wg0 is no Ethernet"
        self.hub.mirror.look_at_links()
        self.hub.settle()
        self.assertEqual("it goes to c: wg0 is no Ethernet", self.why())

    def test_where_no_link_or_two_lead_to_its_origin(self) -> None:
        reach, origin = self.hub.node.room.reach, self.peers["b"].id
        reach.add(self.link("d"), origin, "b")
        self.hub.settle()
        self.assertEqual("two links lead to its origin", self.why())
        reach.remove(self.link("d"), origin)
        self.hub.settle()
        self.assertIsNotNone(self.stream().value)
        reach.remove(self.link("b"), origin)
        self.hub.settle()
        self.assertEqual("no link leads to its origin", self.why())

    def test_where_gateways_take_turns_at_a_lan(self) -> None:
        self.hub.send()
        self.hub.tap.want(GROUP, 0)
        self.hub.settle()
        self.hub.mirror.settings_changed(self.world.now, bridged=True)
        self.hub.settle()
        self.assertEqual({}, self.tables.routes)
        self.assertEqual("it goes to a LAN, where gateways take turns", self.why())
        self.hub.tap.unwant(GROUP, 0)
        self.hub.settle()
        self.assertEqual([self.stream().key], list(self.tables.routes), "what only passes by")

    def test_where_the_lists_keep_out_what_starts_here(self) -> None:
        self.hub.send(OTHER)
        self.assertIn(self.hub.key(OTHER), self.tables.routes)
        self.hub.tap.admit_by(Admission((), (IPv4Network("239.1.1.2"),)))
        self.hub.mirror.settings_changed(self.world.now)
        self.hub.settle()
        self.assertNotIn(self.hub.key(OTHER), self.tables.routes)
        self.assertIn(self.stream().key, self.tables.routes, "it only passes by")

    def test_65_destinations(self) -> None:
        for index in range(63):
            name = f"n{index}"
            self.peers[name] = self.joined(name)
            self.wants(name)
        self.assertIsNotNone(self.stream().value)
        self.assertEqual(64, len(self.stream().value.peers))
        self.peers["one more"] = self.joined("one more")
        self.wants("one more")
        self.assertEqual("65 peers want it, and the kernel serves 64", self.why())

    def test_more_routes_than_the_map_has_and_they_follow_when_there_is_room(self) -> None:
        flows = self.hub.mirror.flows
        flows._free = flows._free[:2]
        for group in range(GROUP + 10, GROUP + 13):
            self.hub.send(group)
        self.assertEqual(3, len(self.tables.routes))
        (waiting,) = (flow for flow in flows if flow.value is None)
        self.assertEqual(f"{ROUTES} routes are in the kernel already", waiting.why)
        self.wants("c", OTHER)
        forwarder = self.hub.node.forwarder
        gone = next(s for s in forwarder.streams.starting.values() if s.route.channel.group == GROUP + 10)
        for stream in (*forwarder.streams.starting.values(), *forwarder.streams.coming.values()):
            stream.heard = self.world.now + (0 if stream is gone else 400)
        forwarder.streams.sweep(self.world.now + 301, 300)
        self.world.run(1.5)
        self.assertEqual("", waiting.why)
        self.assertEqual(3, len(self.tables.routes))

    def test_fragments_where_the_node_joins_them(self) -> None:
        self.hub.tap.want(GROUP, 0)
        self.hub.tap.reassembler = Reassembler()
        self.hub.mirror.settings_changed(self.world.now)
        self.hub.settle()
        self.assertEqual(RouteFlag.LOCAL | RouteFlag.WHOLE, self.stream().value.flags)


class WhatTheKernelLeaves(Case):
    """Packets of a flow that it has, which come here all the same: merged on their way, or too long."""

    def setUp(self) -> None:
        super().setUp()
        self.wants("c")
        self.sends("b")
        self.assertIn(self.stream().key, self.tables.routes)

    def leaves(self, packets: int, seconds: int = 1) -> None:
        for _ in range(seconds):
            for _ in range(packets):
                self.peers["b"].send(GROUP, FAR)
            self.world.run(1)

    def test_many_for_two_seconds_and_the_flow_is_ours_for_a_while(self) -> None:
        self.leaves(STRAYS + 5, 3)
        self.assertEqual(STRAYING, self.why())
        self.leaves(STRAYS + 5, int(APART) - 2)
        self.assertEqual(STRAYING, self.why())
        self.world.run(3)
        self.assertIn(self.stream().key, self.tables.routes)

    def test_each_time_twice_as_long_until_it_was_calm(self) -> None:
        for seconds in (APART, 2 * APART, 4 * APART, 8 * APART, APART_MAX, APART_MAX):
            self.leaves(STRAYS + 5, 3)
            self.world.run(seconds - 3)
            self.assertEqual(STRAYING, self.why())
            self.world.run(5)
            self.assertIn(self.stream().key, self.tables.routes)
        self.world.run(CALM + 1)
        self.leaves(STRAYS + 5, 3)
        self.world.run(APART + 2)
        self.assertIn(self.stream().key, self.tables.routes)

    def test_what_it_left_is_out_before_it_forwards_again(self) -> None:
        """A route's gate and a link's, shut by the kernel, are opened within a second."""
        flow, token = self.stream(), self.peers["b"].link(self.hub.node).token
        (index,) = (i for i, peer in self.tables.peers.items() if peer.token == token)
        before = self.tables.forgotten[flow.slot]
        for gate in (flow.slot, GATE_OF_LINK + index):
            self.assertEqual("", self.hub.mirror.why_slow(flow))
            self.tables.leave(gate)
            self.assertEqual(HELD, self.hub.mirror.why_slow(flow))
            self.world.run(1.1)
            self.assertFalse(self.tables.is_shut(gate))
            self.assertEqual(before, self.tables.forgotten[flow.slot])

    def test_after_a_lease_that_ended_nothing_is_overtaken(self) -> None:
        """The kernel has left all to us; this node runs again, and the first that it writes is the lease."""
        flow = self.stream()
        shut, before = [], self.tables.forgotten[flow.slot]
        configure = self.tables.configure

        def look(cfg: Cfg) -> None:
            configure(cfg)
            shut.append(self.tables.is_shut(flow.slot))

        self.tables.configure = look
        self.hub.mirror.tick(self.world.now + LEASE - 0.5)
        self.assertEqual([True], shut)
        self.assertEqual(before, self.tables.forgotten[flow.slot])
        self.assertEqual("", self.hub.mirror.why_slow(flow), "nothing waits")

    def test_a_few_now_and_then_are_nothing(self) -> None:
        self.leaves(STRAYS - 5, 10)
        self.assertIn(self.stream().key, self.tables.routes)

    def test_what_was_under_way_when_it_became_the_kernel_s_is_nothing(self) -> None:
        self.leaves(STRAYS * 10)
        self.world.run(1)
        self.leaves(STRAYS * 10)
        self.assertIn(self.stream().key, self.tables.routes)

    def test_the_same_of_what_starts_here(self) -> None:
        self.hub.send()
        self.assertIn(self.hub.key(), self.tables.routes)
        for _ in range(3):
            for _ in range(STRAYS + 5):
                self.hub.send()
            self.world.run(1)
        self.assertNotIn(self.hub.key(), self.tables.routes)

    def test_a_flow_that_ends_meanwhile_is_forgotten(self) -> None:
        self.leaves(STRAYS + 5, 3)
        key = self.stream().key
        self.world.run(400)
        self.hub.node.forwarder.streams.tick(self.world.now)
        self.hub.settle()
        self.assertNotIn(key, [flow.key for flow in self.hub.mirror.flows])


class WhatFollows(Case):
    """What changes under way."""

    def test_the_mtu_of_an_uplink_and_another_device(self) -> None:
        self.wants("b")
        self.wants("c")
        self.hub.send()
        self.hub.uplinks[self.peers["c"].address] = Uplink(9, 1400)
        self.hub.mirror.look_at_links()
        self.hub.settle()
        self.assertEqual(1400, self.tables.routes[self.hub.key()].longest)
        self.assertEqual({3, 9}, {peer.device for peer in self.tables.peers.values()})

    def test_what_no_news_tell_is_seen_within_a_second(self) -> None:
        self.wants("c")
        self.hub.send()
        self.hub.uplinks[self.peers["c"].address] = Uplink(3, 1280)
        self.world.run(1.1)
        self.assertEqual(1280, self.tables.routes[self.hub.key()].longest)

    def test_a_neighbour_s_other_ethernet_address(self) -> None:
        """Only links that go by it are looked at, and only if it is another one to them."""
        old, new, gate = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2", 0x0A000001
        way = Uplink(3, 1500, gate, old, b"\2\0\0\0\0\7")
        self.hub.uplinks[self.peers["c"].address] = way
        self.hub.mirror.look_at_links()
        self.hub.settle()
        (index,) = [index for index, peer in self.tables.peers.items() if peer.to == old]
        for device, hop, address in ((3, gate, old), (4, gate, new), (3, gate + 1, new)):
            before = self.tables.writes
            self.hub.uplinks[self.peers["c"].address] = way._replace(to=address)
            self.hub.mirror.neighbour_changed(device, hop, address)
            self.hub.settle()
            self.assertEqual(before, self.tables.writes)
        self.hub.mirror.neighbour_changed(3, gate, new)
        self.hub.settle()
        peer = self.tables.peers[index]
        self.assertEqual((gate, new, b"\2\0\0\0\0\7"), (peer.gateway, peer.to, peer.source))
        self.hub.uplinks[self.peers["c"].address] = way._replace(to=NO_MAC)
        self.hub.mirror.neighbour_changed(3, gate, NO_MAC)
        self.hub.settle()
        self.assertEqual(NO_MAC, self.tables.peers[index].to)

    def test_of_many_links_some_are_looked_at_each_second(self) -> None:
        for index in range(LOOKED_AT):
            self.peers[f"n{index}"] = self.joined(f"n{index}")
        looked: list[str] = []
        find = self.hub._uplink

        def finds(local: Address, remote: Address) -> Uplink | str:
            looked.append(remote[0])
            return find(local, remote)

        self.hub.mirror.peers._find_uplink = finds
        self.world.run(20)
        times = Counter(looked)
        self.assertEqual({peer.address for peer in self.peers.values()}, set(times))
        self.assertLessEqual(len(looked), 21 * LOOKED_AT)
        self.assertGreaterEqual(min(times.values()), 9)

    def test_a_peer_that_calls_again_has_another_place_and_the_old_one_rests(self) -> None:
        self.wants("c")
        self.hub.send()
        old = self.link("c")
        self.world.connect(self.peers["c"], self.hub.node)
        self.world.run(0.5)
        self.assertIsNot(old, self.link("c"))
        self.assertEqual({"c"}, self.hub.peers_of(self.hub.key()))
        (index,) = self.tables.routes[self.hub.key()].peers
        self.assertEqual(self.peers["c"].link(self.hub.node).token, self.tables.peers[index].token)
        self.assertEqual(4, len(self.tables.peers))
        self.world.run(3)
        self.assertEqual(3, len(self.tables.peers))
        self.assertEqual(set(self.tables.peers), {link.peer for link in self.tables.links.values()})

    def test_a_link_that_is_gone_is_named_by_no_route_and_rests_a_second(self) -> None:
        self.wants("c")
        self.wants("d")
        self.hub.send()
        self.link("c").leave(11, 0, "gone", self.world.now)
        self.hub.settle()
        self.assertEqual({"d"}, self.hub.peers_of(self.hub.key()))
        self.assertEqual(3, len(self.tables.peers))
        self.world.run(1.5)
        self.assertEqual(2, len(self.tables.peers))

    def test_its_numbers_go_on_wherever_it_was_meanwhile(self) -> None:
        self.wants("c")
        self.hub.send()
        self.tables.forward(self.hub.key(), 40)
        self.hub.uplinks[self.peers["c"].address] = "wg0 is no Ethernet"
        self.hub.mirror.look_at_links()
        self.hub.settle()
        self.assertNotIn(self.hub.key(), self.tables.routes)
        self.world.run(5)
        for group in range(GROUP + 10, GROUP + 15):  # they take its slot
            self.hub.send(group)
        del self.hub.uplinks[self.peers["c"].address]
        self.world.run(1.1)
        slot = self.tables.routes[self.hub.key()].slot
        self.assertEqual(40, self.tables.sequences[slot])

    def test_switched_off_everything_comes_back_at_once_and_on_again_goes_on(self) -> None:
        self.wants("c")
        self.hub.send()
        self.tables.forward(self.hub.key(), 40)
        self.hub.mirror.stop(self.world.now)
        self.assertEqual({}, self.tables.routes)
        self.assertFalse(self.tables.cfg.enabled)
        self.assertEqual(3, len(self.tables.peers), "copies are under way")
        self.world.run(3)
        self.assertEqual(({}, {}), (self.tables.peers, self.tables.links))
        self.hub.send(OTHER)
        self.assertEqual({}, self.tables.routes)
        self.hub.start()
        self.assertEqual({self.hub.key(), self.hub.key(OTHER)}, set(self.tables.routes))
        self.assertEqual(40, self.tables.sequences[self.tables.routes[self.hub.key()].slot])

    def test_toggled_within_the_rest(self) -> None:
        self.wants("c")
        self.hub.send()
        for _ in range(10):
            self.hub.mirror.stop(self.world.now)
            self.world.run(0.3)
            self.hub.start()
            self.tables.forward(self.hub.key(), 3)
            self.world.run(0.3)
        self.assertEqual(30, self.tables.sequences[self.tables.routes[self.hub.key()].slot])
        self.hub.mirror.read(self.world.now)
        self.assertEqual(30, self.hub.node.router.routes()[0].packets - 1)

    def test_maps_that_are_no_more_are_not_written_and_new_ones_are_filled(self) -> None:
        self.wants("c")
        self.hub.send()
        self.tables.forward(self.hub.key(), 40)
        self.hub.mirror.stop(self.world.now)
        self.hub.start()  # so that the slot has rested
        self.tables.forward(self.hub.key(), 2)
        self.hub.mirror.abandon()
        before = self.tables.writes
        self.world.run(3)
        self.assertEqual(before, self.tables.writes)
        other = Hub.__new__(Hub)
        other.__dict__ = self.hub.__dict__ | {"tables": type(self.tables)(lambda: self.world.now)}
        other.start()
        self.assertEqual({"c"}, other.peers_of(self.hub.key()))
        slot = other.tables.routes[self.hub.key()].slot
        self.assertEqual(42, other.tables.sequence(slot), "no number is given twice")


class WhatTheKernelCounts(Case):
    def setUp(self) -> None:
        super().setUp()
        for name in "bcd":
            self.wants(name)
        self.hub.tap.want(GROUP, 0)
        self.world.run(0.1)
        self.sends("b")
        self.hub.send()

    def test_a_link_s_counters_a_route_s_and_the_tap_s_are_the_sum_of_both(self) -> None:
        before = {name: self.link(name).counters.as_dict() for name in "bcd"}
        tap = self.hub.tap.counters.as_dict()
        flow = self.stream()
        packets, size = flow.route.packets, flow.route.bytes
        self.tables.forward(flow.key, 10, 200)
        self.tables.forward(self.hub.key(), 7, 300)
        self.world.run(1)
        grown = {
            name: {key: n - before[name][key] for key, n in self.link(name).counters.as_dict().items()}
            for name in "bcd"
        }
        sent, theirs = 7 * 360, 10 * 260
        self.assertEqual((7, sent, 10, theirs), four(grown["b"]))
        for name in "cd":
            self.assertEqual((17, sent + theirs, 0, 0), four(grown[name]))
        self.assertEqual((packets + 10, size + 2000), (flow.route.packets, flow.route.bytes))
        after = self.hub.tap.counters
        self.assertEqual(
            (7, 2100), (after.received - tap["received"], after.received_bytes - tap["received_bytes"])
        )
        self.assertEqual(
            (10, 2000), (after.delivered - tap["delivered"], after.delivered_bytes - tap["delivered_bytes"])
        )

    def test_what_nobody_wants_is_counted_and_not_numbered(self) -> None:
        self.hub.send(OTHER)
        self.tables.forward(self.hub.key(OTHER), 5)
        self.hub.mirror.read(self.world.now)
        (flow,) = (f for f in self.hub.mirror.flows if f.key == self.hub.key(OTHER))
        self.assertEqual((6, 6, 5, 0), (flow.route.packets, flow.route.to_nobody, flow.passed, flow.numbered))

    def test_why_packets_went_no_further(self) -> None:
        places = {
            Reason.HOP_LIMIT_ZERO: lambda: self.hub.node.forwarder.drops.hop_limit_zero,
            Reason.MALFORMED: lambda: self.hub.node.forwarder.drops.malformed,
            Reason.FROM_OURSELVES: lambda: self.hub.node.forwarder.drops.from_ourselves,
            Reason.OTHER_LINK: lambda: self.hub.node.forwarder.drops.other_link,
            Reason.WRONG_TOKEN: lambda: self.hub.node.room.counters.datagrams_dropped,
            Reason.TTL_RAISED: lambda: self.hub.tap.counters.ttl_raised,
        }
        for number, reason in enumerate(places, 1):
            self.tables.count(reason, number)
        self.hub.mirror.read(self.world.now)
        for number, (reason, look) in enumerate(places.items(), 1):
            self.assertEqual(number, look(), reason.name)
            self.assertEqual(number, self.hub.mirror.counts.reasons[reason])

    def test_a_stream_that_the_kernel_forwards_is_not_forgotten(self) -> None:
        flow = self.stream()
        for _ in range(400):
            self.tables.forward(flow.key, 1)
            self.world.run(1)
            self.hub.node.forwarder.streams.tick(self.world.now)
        self.assertIn(flow.key, self.tables.routes)
        self.assertNotIn(self.hub.key(), self.tables.routes, "that nothing came of for 400 s")

    def test_what_was_counted_just_before_an_index_is_free_is_counted(self) -> None:
        link, theirs = self.link("d"), self.peers["d"].link(self.hub.node).token
        before = link.counters.sent
        self.tables.forward(self.hub.key(), 3)
        link.leave(11, 0, "gone", self.world.now)
        self.world.run(0.6)
        index = next(i for i, p in self.tables.peers.items() if p.token == theirs)
        self.tables.count(REASONS_MAX + index, 2)
        self.world.run(5)
        self.assertEqual(before + 5, link.counters.sent)

    def test_what_was_lost_and_came_twice_stands_beside_what_we_saw_ourselves(self) -> None:
        flow = self.stream()
        found = self.tables.route_stats.setdefault(flow.slot, Counter())
        for lost in (7, -2):  # some came late
            found.update(lost=lost, duplicates=3, late=2, reordered=1)
            self.hub.mirror.read(self.world.now)
            found = self.tables.route_stats.setdefault(flow.slot, Counter())
        self.assertEqual((5, 6, 4, 2), (flow.lost, flow.duplicates, flow.late, flow.reordered))

    def nobody_asks(self) -> None:
        """Neither here nor there, for a while."""
        for name in "cd":
            self.peers[name].host.unwants(GROUP)
        self.hub.tap.unwant(GROUP, 0)
        self.world.run(0.5)

    def sending(self) -> Sending:
        """b's count."""
        return next(s for s in self.peers["b"].forwarder.streams.starting.values())

    def test_what_the_kernel_has_taken_is_refused_here_and_the_other_way_round(self) -> None:
        flow = self.stream()
        (stream,) = flow.streams
        first, received = self.sending().sequence, stream.window.received
        self.assertFalse(self.tables.judge(flow.key, first - 1), "the first one came here")
        for number in (first, first + 1):
            self.assertTrue(self.tables.judge(flow.key, number))
        for _ in range(3):
            self.sends("b")
            self.assertFalse(self.tables.is_shut(flow.slot), "open again, as nothing waits")
        self.assertEqual((received + 1, 2), (stream.window.received, stream.window.duplicates))
        self.assertEqual(
            [False] * 4 + [True], [self.tables.judge(flow.key, n) for n in range(first - 1, first + 4)]
        )
        self.hub.mirror.stop(self.world.now)
        self.sending().sequence = first + 3
        self.sends("b")
        self.assertEqual((received + 1, 3), (stream.window.received, stream.window.duplicates))

    def test_what_is_missing_to_one_and_comes_to_the_other_is_not_lost(self) -> None:
        flow = self.stream()
        (stream,) = flow.streams
        for number in (198, 199, 200):
            self.assertTrue(self.tables.judge(flow.key, number))
        self.hub.mirror.read(self.world.now)
        self.assertEqual(197, flow.lost + stream.window.lost)
        self.hub.mirror.stop(self.world.now)
        for number, is_new in ((200, False), (197, True), (201, True), (199, False), (197, False)):
            self.sending().sequence = number
            received = stream.window.received
            self.sends("b")
            self.assertEqual(is_new, stream.window.received > received, number)
        self.assertEqual((3, 196), (stream.window.received, flow.lost + stream.window.lost))

    def test_of_a_stream_that_was_not_asked_for_meanwhile_nothing_is_lost(self) -> None:
        (stream,) = self.stream().streams
        self.assertTrue(self.tables.judge(self.stream().key, 1))
        self.hub.mirror.stop(self.world.now)
        self.nobody_asks()
        self.wants("c")
        self.sending().sequence = 700
        self.sends("b")
        self.assertEqual((2, 0), (stream.window.received, stream.window.lost))

    def test_nor_where_it_goes_back_to_the_kernel_before_anything_comes(self) -> None:
        flow = self.stream()
        self.assertTrue(self.tables.judge(flow.key, 1))
        self.hub.mirror.stop(self.world.now)
        self.hub.start()
        self.world.run(2)
        self.assertFalse(self.tables.judge(flow.key, 1), "it knows that yet")
        self.hub.mirror.stop(self.world.now)
        self.nobody_asks()
        self.wants("c")
        self.hub.start()
        self.assertTrue(self.tables.judge(flow.key, 700))
        self.hub.mirror.read(self.world.now)
        self.assertEqual(0, flow.lost)

    def test_what_a_link_s_gate_keeps_from_the_kernel_is_judged_here(self) -> None:
        flow, token = self.stream(), self.peers["b"].link(self.hub.node).token
        (stream,) = flow.streams
        (index,) = (i for i, peer in self.tables.peers.items() if peer.token == token)
        self.assertTrue(self.tables.judge(flow.key, 1))
        self.tables.leave(GATE_OF_LINK + index)
        for number in (1, 2, 2, 3):
            self.sending().sequence = number
            self.sends("b")
        self.assertEqual((3, 2, 0), (stream.window.received, stream.window.duplicates, stream.window.lost))
        self.world.run(1.1)
        self.assertEqual([False, True], [self.tables.judge(flow.key, number) for number in (3, 4)])

    def test_what_nobody_asked_for_was_not_lost(self) -> None:
        flow = self.stream()
        self.assertEqual(1, self.tables.forgotten[flow.slot])
        self.nobody_asks()
        self.assertEqual(1, self.tables.forgotten[flow.slot])
        self.wants("d")
        self.assertEqual(2, self.tables.forgotten[flow.slot])
        self.wants("c")
        self.assertEqual(2, self.tables.forgotten[flow.slot], "it came all the time")

    def test_packets_that_the_kernel_took_are_no_loss_and_no_gap(self) -> None:
        """From the same count some go to the kernel and some come here."""
        flow = self.stream()
        (stream,) = flow.streams
        for _ in range(3):
            for _ in range(50):
                self.assertTrue(self.tables.judge(flow.key, self.sending().sequence))
                self.sending().sequence += 1
            self.sends("b")
        self.assertEqual((4, 0, 0), (stream.window.received, stream.window.lost, stream.window.duplicates))

    def test_back_here_the_duplicate_window_works_from_the_second_packet_on(self) -> None:
        flow = self.stream()
        (stream,) = flow.streams
        self.hub.mirror.stop(self.world.now)
        self.sends("b")
        self.sends("b")
        sending = next(s for s in self.peers["b"].forwarder.streams.starting.values())
        sending.sequence -= 2
        self.sends("b")
        self.sends("b")
        self.assertEqual(2, stream.window.duplicates)
        self.assertLess(0.4, SILENCE)


def four(counters: dict[str, int]) -> tuple[int, ...]:
    return tuple(counters[name] for name in ("sent", "sent_bytes", "received", "received_bytes"))


def address(node: Node) -> int:
    return int(IPv4Address(node.address))
