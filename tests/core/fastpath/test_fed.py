"""Streams of the mesh in the kernel: which ones go there, where they stay whole, and what the mesh sees."""

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath.fed import (
    BEGINS,
    NEW,
    NO_PARENT,
    NO_ROOM,
    RING_LEAST,
    RING_MOST,
    TWO,
    TWO_FEEDS,
    Rings,
    fits,
    wanted_size,
)
from multicastmw.core.fastpath.gates import TOO_LONG
from multicastmw.core.fastpath.handover import LOOK
from multicastmw.core.fastpath.mirror import MISSING
from multicastmw.core.fastpath.tables import NO_RING, Ring, RouteFlag
from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.neighbour import Choice
from multicastmw.core.mesh.settings import Settings
from multicastmw.core.routing import Destination
from multicastmw.wire import data
from multicastmw.wire.data import BEACON, NUMBERED_BY_KERNEL, RETRANSMITTED
from multicastmw.wire.mesh import Capabilities, Graft, Have, Range, StreamKey
from tests.core.cable import World
from tests.core.fastpath.memory import FAR, GROUP, Hub
from tests.core.mesh.kit import UPLINK, Lone, have, sample_of


class Carrier:
    """The mesh, as the router sees it."""

    name = "mesh"
    local = False

    def deliver(self, packet: Any) -> None: ...
    def others_changed(self, channel: Any) -> None: ...


class Case(SynchronousTestCase):
    """A stream comes from b, its parent; c and d are neighbours, too."""

    told = Settings(uplink=UPLINK)

    def setUp(self) -> None:
        self.world = World()
        self.hub = Hub(self.world)
        self.tables = self.hub.tables
        self.lone = Lone(self.told)
        self.mesh = self.lone.mesh
        self.mesh.join(GROUP, self.world.now)
        self.peers, self.neighbours = {}, {}
        for number, name in enumerate("bcd", 2):
            peer = self.peers[name] = self.world.node(name)
            self.world.connect(peer, self.hub.node)
            self.world.run(1)
            link = self.hub.node.link(peer)
            self.neighbours[name] = link.neighbour = self.mesh.link_up(
                link, sample_of(number), Capabilities(UPLINK, 0xFFFF, 1, 0), True, self.world.now
            )
            self.mesh.circles[GROUP].enter(link.neighbour, Choice.RANDOM, self.world.now)
        carrier: Destination = Carrier()
        self.hub.node.router.carry(carrier)
        self.hub.node.forwarder.streams.feeder = self
        self.mesh.rerouted = self.hub.mirror.feed_moved
        self.hub.tap.want(GROUP, 0)
        self.world.run(0.1)
        self.hub.start()

    # --- as the forwarder asks

    def begins(self, origin: int, group: int, source: int, now: float) -> Feed:
        return self.mesh.begin(StreamKey(origin, group, source), now)

    def comes(self, origin: int, group: int, source: int, by: Any, now: float) -> Feed | None:
        return self.mesh.feed_for(StreamKey(origin, group, source), by, now)

    # --- what happens

    def sends(self, packets: int = 1, skips: int = 0, name: str = "b") -> None:
        """They come to this process."""
        peer = self.peers[name]
        for _ in range(packets):
            if skips:
                (sending,) = peer.forwarder.streams.starting.values()
                sending.sequence += skips
                skips = 0
            peer.send(GROUP, FAR)
            self.passes(0.01)

    def passes(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / 0.01))):
            self.world.run(0.01)
            if self.mesh.deadline() <= self.world.now:
                self.mesh.tick(self.world.now)

    def established(self) -> Any:
        self.sends(150)
        self.assertIsNotNone(self.flow.value, self.flow.why)
        self.assertEqual("", self.hub.mirror.why_slow(self.flow))
        return self.flow.value

    def forwards(self, packets: int = 1) -> None:
        """The kernel does, the next ones."""
        (sending,) = self.peers["b"].forwarder.streams.starting.values()
        for _ in range(packets):
            assert self.tables.judge(self.flow.key, sending.sequence)
            sending.sequence += 1
            self.passes(0.01)

    @property
    def flow(self) -> Any:
        (found,) = (each for each in self.hub.mirror.flows if each.route.channel.source == FAR)
        return found

    @property
    def feed(self) -> Feed:
        (found,) = self.mesh.feeds.values()
        return found


class Given(Case):
    def test_a_stream_whose_parent_and_rate_are_known_is_taken_from_the_parent_alone(self) -> None:
        self.sends(20)
        self.assertEqual(NEW, self.flow.why)
        value = self.established()
        self.assertEqual(RouteFlag.MESH | RouteFlag.LOCAL, value.flags)
        self.assertEqual(self.peers["b"].link(self.hub.node).token, self.tables.peers[value.link].token)

    def test_its_children_get_it_as_long_as_they_are_some(self) -> None:
        self.established()
        child = self.neighbours["c"]
        self.feed.accept_graft(child, Graft(self.feed.key, self.feed.top + 1, ()), self.world.now)
        self.hub.settle()
        self.assertEqual({"c"}, self.hub.peers_of(self.flow.key))
        self.feed.brood.drop(child)
        self.hub.settle()
        self.assertEqual(set(), self.hub.peers_of(self.flow.key))

    def test_a_link_s_gate_that_is_forced_shuts_none_that_pass_in_order(self) -> None:
        """The kernel leaves what is not the next number, so what waits overtakes nothing."""
        value = self.established()
        self.tables.leave(value.gate_of_link)
        self.hub.mirror.handover.is_forced(value.gate_of_link, self.tables, self.world.now)
        self.assertFalse(self.tables.is_shut(value.slot))

    def test_another_parent_is_another_link_and_the_kernel_keeps_the_stream(self) -> None:
        slot = self.established().slot
        self.feed.upstream.brought(self.neighbours["d"], self.world.now)  # asked for by nobody
        self.hub.settle()
        self.assertEqual(self.index("b"), self.flow.value.link)
        self.feed.upstream.fed_by(self.neighbours["d"], self.world.now)
        self.hub.settle()
        self.assertEqual((slot, self.index("d")), (self.flow.value.slot, self.flow.value.link))

    def test_from_two_neighbours_at_once_it_is_ours(self) -> None:
        self.established()
        second = self.feed.upstream.second
        second.parent = self.neighbours["d"]
        self.feed.rerouted()
        self.hub.settle()
        self.assertEqual((TWO_FEEDS, None), (self.flow.why, self.flow.value))
        second.gone(self.neighbours["d"], self.world.now)
        self.hub.settle()
        self.assertEqual(self.index("b"), self.flow.value.link)

    def index(self, name: str) -> int:
        by_link = {served.link.name: index for index, served in self.hub.mirror.peers.by_index.items()}
        return by_link[name]

    def test_without_a_parent_it_is_ours(self) -> None:
        self.established()
        self.forwards(5)
        (sending,) = self.peers["b"].forwarder.streams.starting.values()
        self.feed.gone(self.neighbours["b"], self.world.now)
        self.hub.settle()
        self.assertEqual((None, NO_PARENT), (self.flow.value, self.flow.why))
        self.assertEqual(sending.sequence - 1, self.feed.top)

    def test_what_begins_here_stays_here(self) -> None:
        self.hub.send(source=7)
        (flow,) = (each for each in self.hub.mirror.flows if each.route.channel.source == 7)
        self.assertEqual((None, BEGINS), (flow.value, flow.why))

    def test_two_counts_at_a_time_stay_here(self) -> None:
        self.established()
        origin = self.peers["b"].forwarder.origin
        packet = self.hub.node.packet
        message = data.build(bytes(40), token=0, origin=origin, group=GROUP, source=FAR, sequence=1,
                             hop_limit=9, flags=NUMBERED_BY_KERNEL)  # fmt: skip
        packet.buffer[: len(message)] = message
        packet.now = self.world.now
        self.hub.node.forwarder.relay(packet, len(message), self.hub.node.link(self.peers["b"]))
        self.hub.settle()
        self.assertEqual((None, TWO), (self.flow.value, self.flow.why))


class Whole(Case):
    """While something is missing everything comes here."""

    def test_a_gap_keeps_the_gate_shut_however_long_it_takes(self) -> None:
        slot = self.established().slot
        self.forwards(10)
        missing = self.feed.held().highest + 1
        self.sends(3, skips=1)
        self.assertEqual([missing], list(self.feed.missing))
        self.feed.missing[missing].noticed = self.world.now + 100
        self.passes(2 * TOO_LONG)
        self.assertTrue(self.tables.is_shut(slot))
        self.assertEqual(MISSING, self.hub.mirror.why_slow(self.flow))
        self.feed.gaps.found(missing, None, True, self.world.now)
        self.passes(2 * LOOK)
        self.assertEqual((slot, ""), (self.flow.value.slot, self.hub.mirror.why_slow(self.flow)))
        before = self.feed.counters.missed
        self.forwards(5)
        self.sends(1)
        self.assertEqual(before, self.feed.counters.missed)

    def test_what_waits_here_to_be_in_order_is_not_overtaken(self) -> None:
        self.established()
        self.sends(3, skips=1)
        self.assertEqual(3, len(self.feed.order.held))
        self.feed.missing.clear()
        self.hub.settle()
        self.assertEqual(MISSING, self.hub.mirror.why_slow(self.flow))
        written: list[bytes] = []
        self.feed.order.give = lambda messages, now: written.extend(messages)
        self.feed.order.go_on(self.world.now)
        self.passes(2 * LOOK)
        self.assertEqual((3, ""), (len(written), self.hub.mirror.why_slow(self.flow)))

    def test_it_is_taken_back_all_the_same(self) -> None:
        slot = self.established().slot
        self.sends(3, skips=1)
        self.hub.mirror.stop(self.world.now)
        self.passes(3)
        self.assertTrue(self.tables.is_shut(slot))
        self.hub.start()
        self.passes(2)
        self.sends(5)
        self.assertEqual("", self.hub.mirror.why_slow(self.flow))

    def test_a_stream_of_which_half_comes_here_for_gaps_stays_the_kernels(self) -> None:
        self.established()
        for _ in range(5):
            for _ in range(5):
                self.forwards(10)
                self.tables.forward(self.flow.key, 10)
                self.sends(8)
        self.assertIsNotNone(self.flow.value, self.flow.why)


class Seen(Case):
    def test_the_highest_number_and_the_last_time_are_the_kernels(self) -> None:
        self.established()
        before = self.feed.top
        self.forwards(40)
        self.assertEqual(before + 40, self.feed.held().highest)
        self.assertLess(self.world.now - self.feed.upstream.fed_at, 0.02)

    def test_while_it_forwards_nobody_else_is_looked_for(self) -> None:
        self.established()
        for _ in range(20):
            self.forwards(10)
            self.lone.now = self.world.now
            self.lone.accept(self.neighbours["c"], have(self.feed.top + 3, key=self.feed.key))
        counters = self.feed.counters
        self.assertEqual((0, 1), (counters.orphaned, len(self.mesh.feeds)))
        self.assertIs(self.neighbours["b"], self.feed.parent)
        self.assertLess(abs(self.feed.rate - 100), 10)

    def test_when_it_has_nothing_for_long_another_one_is_asked(self) -> None:
        self.established()
        self.forwards(50)
        self.passes(0.15)
        self.mesh.accept(
            self.neighbours["c"], have(self.feed.top + 9, key=self.feed.key, path=(1, 2)), self.world.now
        )
        self.passes(0.05)
        self.assertEqual(1, self.feed.counters.orphaned)
        self.assertIs(self.neighbours["c"], self.feed.joining)

    def test_a_beacon_that_passes_is_announced(self) -> None:
        self.established()
        self.forwards(3)
        said: list[Any] = []
        self.hub.node.link(self.peers["c"]).say = lambda message, now: said.append(message)
        self.feed.beacon_passed(self.feed.held().highest, self.world.now)
        (told,) = (each for each in said if isinstance(each, Have))
        self.assertEqual(self.feed.top, told.streams[0].highest)
        self.assertTrue(told.streams[0].load[2])


class Kept(Case):
    def keeps(self, number: int, **fields: Any) -> bytes:
        """The kernel has kept it."""
        ring = self.flow.value.ring
        told = {"origin": self.peers["b"].forwarder.origin, "hop_limit": 9} | fields
        message = data.build(bytes(40), token=1, group=GROUP, source=FAR, sequence=number, **told)
        self.tables.messages[ring.base + (number & ring.size - 1)] = message
        return message

    def test_it_is_sent_again_out_of_the_kernels_memory(self) -> None:
        self.established()
        self.forwards(5)
        top = self.feed.held().highest
        message = self.keeps(top)
        link, again = self.hub.node.link(self.peers["c"]), []
        link.resend = lambda stored, low_water, now: again.append(stored) or len(stored)
        self.feed.accept_nack(self.neighbours["c"], (Range(top, top),), self.world.now)
        self.assertEqual([message], again)
        self.assertEqual((1, len(message)), (self.feed.counters.resent, self.feed.counters.resent_bytes))

    def test_it_is_counted_as_what_is_kept_here_is_and_no_more_than_there_is_room_for(self) -> None:
        self.established()
        here = len(self.feed.kept.packets)
        self.assertEqual(here, self.feed.kept.how_many)
        self.flow.passed += 5
        self.assertEqual(here + 5, self.feed.kept.how_many)
        self.flow.passed += 10 * RING_LEAST
        self.assertEqual(here + RING_LEAST, self.feed.kept.how_many)

    def test_what_stands_there_and_is_another_is_not(self) -> None:
        self.established()
        self.forwards(1)
        top = self.feed.held().highest
        size = self.flow.value.ring.size
        for fields in ({"origin": 5}, {"flags": NUMBERED_BY_KERNEL}):
            self.keeps(top, **fields)
            self.assertFalse(self.feed.kept.has(top), fields)
        self.keeps(top + size)
        self.assertFalse(self.feed.kept.has(top))
        self.keeps(top, flags=BEACON)
        self.assertTrue(self.feed.kept.has(top))
        self.assertFalse(self.feed.kept.has(top + 1))

    def test_a_ring_is_there_as_long_as_the_slot_rests_and_is_free_then(self) -> None:
        self.established()
        self.assertEqual(RING_LEAST, self.flow.value.ring.size)
        self.forwards(1)
        top = self.feed.held().highest
        self.keeps(top)
        self.hub.mirror.stop(self.world.now)
        self.assertTrue(self.feed.kept.has(top))
        self.passes(2)
        self.assertEqual((None, NO_RING), (self.feed.kernel, self.flow.ring))

    def test_where_there_is_no_room_it_stays_here(self) -> None:
        self.hub.mirror.flows.has_places(0)
        self.sends(150)
        self.assertEqual((None, NO_ROOM), (self.flow.value, self.flow.why))


class NothingKept(Case):
    told = Settings(uplink=UPLINK, deadline=0.0)

    def test_where_nothing_is_sent_again_nothing_is_kept(self) -> None:
        self.assertEqual(NO_RING, self.established().ring)

    def test_a_gap_is_forwarded_here_and_is_the_end_of_it(self) -> None:
        self.established()
        self.sends(1, skips=3)
        self.passes(2 * LOOK)
        self.assertEqual("", self.hub.mirror.why_slow(self.flow))


class EachPacketOnce(Case):
    """Wherever numbers are judged: each that comes is new once, and what is missing is what has not come."""

    events = st.lists(
        st.sampled_from(
            ("next",) * 8 + ("lost", "lost", "again", "again", "doubled", "settle", "a while", "switch", "d")
        ),
        max_size=40,
    )

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(events)
    def test_wherever_it_comes(self, events: list[str]) -> None:
        self.setUp()
        self.established()
        self.origin, self.parent = self.peers["b"].forwarder.origin, "b"
        self.new: Counter[int] = Counter()
        first = self.number = self.feed.top + 1
        absent: list[int] = []
        for event in ("next", "next", *events, "next"):
            if event in ("next", "lost"):
                absent += [self.number] if event == "lost" else []
                if event == "next":
                    self.arrives(self.number, self.parent)
                self.number += 1
            elif event == "again" and absent:
                self.feed.of(self.neighbours["c"]).asked_at = self.world.now
                self.arrives(absent.pop(0), "c", RETRANSMITTED)
            elif event == "doubled":
                self.arrives(max(first, self.number - 2), "c", RETRANSMITTED if absent else 0)
                absent = [number for number in absent if not self.new[number]]
            elif event == "d":
                self.feed.upstream.fed_by(self.neighbours["d"], self.world.now)
                self.parent = "d"
            else:
                self.happens(event)
        came = [number for number in range(first, self.number) if number not in absent]
        self.assertEqual(Counter(came), self.new)
        self.assertEqual(self.number - 1, self.feed.held().highest)
        self.assertLessEqual(set(self.feed.missing), set(absent))

    def happens(self, event: str) -> None:
        mirror = self.hub.mirror
        if event == "switch" and mirror.device:
            mirror.stop(self.world.now)
        elif event == "switch":
            self.hub.start()
        else:
            self.passes(0.4 if event == "a while" else 0.03)

    def arrives(self, number: int, name: str, flags: int = 0) -> None:
        """As the program would: it takes the next one from the parent, and the rest is left to us."""
        link, value = self.hub.node.link(self.peers[name]), self.flow.value
        route = self.tables.routes.get(self.flow.key) if value else None
        gates = (route.slot, route.gate_of_link) if route else ()
        is_from_parent = bool(route) and self.hub.mirror.peers.by_index[route.link].link is link
        if is_from_parent and not flags:
            known = self.tables.last(route.slot, 0)
            is_next = known is not None and number == known[0] + 1 & 0xFFFFFFFF
            if is_next and not any(self.tables.is_shut(gate) for gate in gates):
                self.new[number] += self.tables.judge(self.flow.key, number)
                self.by_kernel += 1
                return
            self.tables.leave(route.slot)
        before = self.flow.route.packets
        packet = self.hub.node.packet
        message = data.build(bytes(40), token=0, origin=self.origin, group=GROUP, source=FAR,
                             sequence=number, hop_limit=9, flags=flags)  # fmt: skip
        packet.buffer[: len(message)] = message
        packet.now = self.world.now
        self.hub.node.forwarder.relay(packet, len(message), link)
        self.new[number] += self.flow.route.packets - before
        self.passes(0.002)

    by_kernel = 0

    def test_the_property_above_is_not_empty(self) -> None:
        self.established()
        self.origin, self.new = self.peers["b"].forwarder.origin, Counter()
        self.number = self.feed.top + 1
        for number in range(self.number, self.number + 9):
            self.arrives(number, "b")
        self.assertEqual((9, 9), (self.by_kernel, len(self.new)))


class RingTests(SynchronousTestCase):
    @given(st.lists(st.one_of(st.sampled_from((256, 512, 1024, 4096)), st.integers(0, 30)), max_size=60))
    def test_no_two_overlap_and_all_come_back(self, events: list[int]) -> None:
        rings, taken = Rings(8192), []
        for event in events:
            if event >= RING_LEAST:
                if ring := rings.take(event):
                    self.assertTrue(RING_LEAST <= ring.size <= event)
                    taken.append(ring)
            elif event < len(taken):
                rings.give_back(taken.pop(event))
            places = [place for ring in taken for place in (ring.base, ring.base + ring.size - 1)]
            self.assertEqual(sorted(places), [p for ring in sorted(taken) for p in
                                              (ring.base, ring.base + ring.size - 1)])  # fmt: skip
            self.assertTrue(all(0 <= place < 8192 for place in places))
        for ring in taken:
            rings.give_back(ring)
        self.assertEqual(Ring(0, 8192), rings.take(8192))

    def test_a_ring_holds_two_seconds_and_is_not_made_anew_for_a_little(self) -> None:
        feed = Lone().mesh.begin(StreamKey(1, GROUP, 2), 100.0)
        for rate, size in ((1, RING_LEAST), (300, 1024), (1000, 2048), (1e6, RING_MOST)):
            feed.rate = rate
            self.assertEqual(size, wanted_size(feed))
        self.assertTrue(fits(Ring(0, 512), 1024))
        self.assertFalse(fits(Ring(0, 512), 2048))
        self.assertFalse(fits(Ring(0, 4096), 256))
        self.assertFalse(fits(Ring(0, 256), 0))
        self.assertTrue(fits(NO_RING, 0))
