"""The one writer: keeps the kernel's maps as the routing service answers, by differences.

    the router, the links, the tree of nodes, the forwarder
          |  "this may be another now"                             each second: the lease, the kernel's counts
          v                                                                        |
    what is to be looked at --- next turn ---> look, judge, compare ---> peers, links, routes
                                                                                   |
                                            what is named no longer, a second later, in reverse

A flow is given to the kernel behind a gate (gates.py), so that nothing overtakes what has come of it already,
and with the numbers that have come (handover.py).
A flow of which the kernel leaves many packets to us (merged on their way, too long for a peer) is ours as a
whole for a while: its gate would be shut again and again.  So is one that loses packets on its way to us or
to a peer, where these can be repaired (core/recovery): the kernel keeps nothing and asks for nothing.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from multicastmw.core.addressing import key_text
from multicastmw.core.events import QuestionsInKernel, QuestionsInPython, RouteInKernel, RouteInPython
from multicastmw.core.fastpath.counts import Counts
from multicastmw.core.fastpath.fed import NO_ROOM
from multicastmw.core.fastpath.flows import FULL, GENERATION, Answer, Flow, Flows
from multicastmw.core.fastpath.gates import Take
from multicastmw.core.fastpath.handover import Handover
from multicastmw.core.fastpath.lossy import Lossy
from multicastmw.core.fastpath.peers import REST, FastPeers, FindUplink
from multicastmw.core.fastpath.tables import Cfg, KernelTables, RouteKey, RouteValue
from multicastmw.core.identity import node_of
from multicastmw.core.link import Link
from multicastmw.core.mesh.feed import Feed
from multicastmw.core.room import Room
from multicastmw.core.routing import Route
from multicastmw.core.stream import Sending, Stream
from multicastmw.core.tap import TapDestination
from multicastmw.wire.probe import GROUP as QUESTIONS

# What we chose.
AT_ONCE = 200  # flows of one turn, some 10 ms of work
LEASE = 3.0  # seconds that the kernel goes on without us
RENEW = 1.0
LOOKED_AT = 32  # links whose way is asked for each second, though nobody tells of a change: 60 us each
NEVER = float("inf")
OFF = "the fast path is off"
STRAYING = "the kernel leaves many of its packets to us: they come merged, or are too long"
LOSSY = "packets of it are lost on a link, and are repaired here"
OVER = "nothing comes of it any more"
HELD = "packets that were left to us go first"
MISSING = "something of it is missing, and is asked for"


class Device(NamedTuple):
    """The TAP as the kernel knows it.  `bridged`: it is a port of a LAN's bridge; `secret`: see copies.py."""

    number: int
    mac: bytes
    data_port: int
    bridged: bool
    secret: bytes = bytes(6)


class Mirror:
    """See above.  `wake` is told that the deadline may have moved nearer, `read_tap` takes what programs have
    sent already, `clock_ahead` gives the ns that the wall clock is ahead of the monotonic one."""

    def __init__(
        self,
        room: Room,
        tap: TapDestination,
        find_uplink: FindUplink,
        read_tap: Take,
        clock_ahead: Callable[[], int],
    ) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.peers = FastPeers(find_uplink)
        self.flows = Flows(room.forwarder.origin, room.reach, self.peers, tap)
        self.counts = Counts(tap.counters, room.forwarder.drops, room.counters)
        self.device: Device | None = None  # while the fast path is on
        self._room = room
        self._tap = tap
        self._clock_ahead = clock_ahead
        self._tables: KernelTables | None = None
        self._links: dict[Link, None] = {}  # to be looked at
        self._marked: dict[Flow, None] = {}  # to be judged
        self._apart: dict[Flow, float] = {}  # until when
        self._lossy = Lossy(self.flows, room)
        self._next_look = 0  # among the links
        self.handover = Handover(self.flows, self.peers, read_tap, self._woken)
        self._resting: deque[tuple[float, Flow]] = deque()
        self._renew_at = NEVER
        self._leased_until = 0.0
        room.moved = self._link_moved
        room.reach.moved = self._node_moved
        room.router.mended = self._route_mended
        room.forwarder.streams.watcher = self

    # --- on and off

    def start(self, tables: KernelTables, device: Device, now: float) -> None:
        """The programs are attached: everything that may be the kernel's goes there."""
        if tables is not self._tables:
            self.flows.has_places(tables.places)
        self._tables, self.device = tables, device
        self.handover.start(tables)
        self._renew(now)
        self.look_at_all()

    def stop(self, now: float) -> None:
        """Everything comes back, at once; peers stay in the maps until their rest is over."""
        tables = self._tables
        if tables is None or self.device is None:
            return
        self._configure(tables, self.device, now, enabled=False)
        self.device = None
        self._renew_at = NEVER
        for waiting in (self._links, self._marked, self._apart, self._lossy):
            waiting.clear()
        self.handover.stop()
        for flow in self.flows.all():
            self._take_back(flow, OFF, tables, now)
        self._leased_until = 0.0
        self.peers.leave()
        self._end_rests(tables, now)
        self.read(now)
        self.wake()

    def abandon(self) -> None:
        """The maps are no more, or what is said to them is not heard."""
        tables = self._tables
        self.device = self._tables = None
        self._renew_at = NEVER
        self._leased_until = 0.0
        for waiting in (self._links, self._marked, self._resting, self._apart, self._lossy):
            waiting.clear()
        self.handover.stop()
        for flow in self.flows.all():
            if tables and flow.value is not None:
                with suppress(Exception):  # whatever is wrong with them
                    self._remember_number(flow, tables)
            flow.rests_until = 0.0
            self._is_ours(flow, OFF)
        self.flows.forget_slots()
        self.peers.forget()

    def look_at_links(self) -> None:
        """Something of this host's devices, addresses or routes is another now."""
        if self.device:
            self._links.update(self._all_links())
            self.wake()

    def neighbour_changed(self, device: int, next_hop: int, address: bytes) -> None:
        """This is its Ethernet address now; NO_MAC: nobody knows."""
        if self.device and (links := self.peers.over(device, next_hop, address)):
            self._links.update(dict.fromkeys(links))
            self.wake()

    def look_at_all(self) -> None:
        """Anything may be another now."""
        self._links.update(self._all_links())
        self._marked.update(dict.fromkeys(self.flows))
        self.wake()

    def settings_changed(self, now: float, bridged: bool | None = None) -> None:
        """Of the TAP, or its lists."""
        if self.device:
            if bridged is not None:
                self.device = self.device._replace(bridged=bridged)
            self._renew(now)
            self.look_at_all()

    def _look_round(self) -> None:
        """Some links, each second others: not everything that changes a way is told of."""
        links = list(self._all_links())
        turn = links[self._next_look : self._next_look + LOOKED_AT]
        self._next_look = self._next_look + LOOKED_AT if len(turn) == LOOKED_AT else 0
        self._links.update(dict.fromkeys(turn))

    def _all_links(self) -> dict[Link, None]:
        """Also those that are gone and in the maps yet."""
        served = (served.link for served in self.peers.by_index.values())
        return dict.fromkeys((*self._room.by_node.values(), *served))

    def _woken(self) -> None:
        self.wake()

    # --- what the parts tell

    def began(self, origin: int, stream: Sending | Stream) -> None:
        """A stream was not there before."""
        self._mark(self.flows.began(origin, stream))

    def ended(self, origin: int, stream: Sending | Stream) -> None:
        """Nothing has come of it for long."""
        if flow := self.flows.ended(origin, stream):
            self._mark(flow)

    def _route_mended(self, route: Route) -> None:
        for flow in self.flows.of_route(route):
            self._mark(flow)

    def _node_moved(self, node: int) -> None:
        for flow in self.flows.of_node(node):
            self._mark(flow)

    def feed_moved(self, feed: Feed) -> None:
        """It comes from elsewhere now, or goes elsewhere; or its rate is another."""
        for flow in self.flows.of_node(node_of(feed.key.origin)):
            if any(stream.feed is feed for stream in flow.streams):
                self._mark(flow)

    def _link_moved(self, link: Link) -> None:
        if self.device:
            self._links[link] = None
            self.wake()

    def _mark(self, flow: Flow) -> None:
        if self.device:
            self._marked[flow] = None
            self.wake()

    # --- time

    def deadline(self) -> float:
        if self.device and (self._links or self._marked):
            return -NEVER
        rest = self._resting[0][0] if self._resting else NEVER
        return min(self._renew_at, rest, self.peers.deadline(), self.handover.deadline())

    def tick(self, now: float) -> None:
        """Raises what the tables raise."""
        tables = self._tables
        if tables is None:
            return
        if self.device and now >= self._renew_at:
            self._renew(now)
            self._look_for_strays(now)
            self.handover.look(tables, now)
            self._look_round()
        if self.device:
            self._flush(tables, self.device, now)
            self.handover.tick(tables, now)
        self._end_rests(tables, now)

    def _renew(self, now: float) -> None:
        tables, device = self._tables, self.device
        assert tables is not None and device is not None
        if now >= self._leased_until - RENEW:  # the lease may have ended
            self.handover.shut_all(tables, now)
        self._configure(tables, device, now, enabled=True)
        self._leased_until, self._renew_at = now + LEASE, now + RENEW
        self.read(now)

    def _look_for_strays(self, now: float) -> None:
        for flow in [flow for flow, until in self._apart.items() if now >= until]:
            del self._apart[flow]
            self._marked[flow] = None
        for _, flow in self.flows.fast():
            if flow.strays():
                self._apart[flow] = now + flow.stay()
                self._marked[flow] = None
        for flow in self._lossy.look(now):
            self._marked[flow] = None

    def is_needed(self, origin: int, route: Route) -> None:
        """Packets of it were lost, or are asked for again: they are to pass here."""
        for flow in self._lossy.needs(origin, route):
            self._mark(flow)

    def _configure(self, tables: KernelTables, device: Device, now: float, enabled: bool) -> None:
        lease = int((now + LEASE) * 1e9)
        tables.configure(
            Cfg(
                self._room.forwarder.origin, lease, self._clock_ahead(), device.number, GENERATION,
                device.data_port, enabled, device.mac, self._tap.ttl_floor, device.secret,
            )
        )  # fmt: skip

    def read(self, now: float) -> None:
        """What the kernel has counted since this was asked last."""
        tables = self._tables
        if tables is None:
            return
        for index, by in tables.grown().items():
            self.counts.add(index, by, self.peers.by_index)
        slots = self.flows.by_slot
        for slot, growth in tables.routes_grown(max(slots, default=-1) + 1).items():
            if flow := slots.get(slot):
                self.counts.add_route(flow, growth, self.flows.is_ours(flow), now)

    def why_slow(self, flow: Flow) -> str:
        """Why the kernel forwards no packet of it at this moment; empty where it does."""
        if flow.value is None or self._tables is None:
            return flow.why
        if self.handover.is_parked(flow):
            return MISSING
        gates = (flow.value.slot, flow.value.gate_of_link)
        return HELD if any(self._tables.is_shut(gate) for gate in gates if gate is not None) else ""

    # --- writing

    def _flush(self, tables: KernelTables, device: Device, now: float) -> None:
        """Peers and links first, then the routes that name them, as many as one turn may take."""
        links, self._links = self._links, {}
        for link in links:
            if self.peers.look(link, tables):
                self._marked.update(dict.fromkeys(f for f in self.flows if self.flows.uses(f, link)))
        turn = list(islice(self._marked, AT_ONCE))
        written: dict[RouteKey, RouteValue] = {}
        for flow in turn:
            del self._marked[flow]
            answer = self._judge(flow, device)
            if not isinstance(answer, str) and self.flows.take_slot(flow) is None:
                answer = FULL
            elif not isinstance(answer, str) and not self.flows.take_ring(flow, answer.keeps):
                answer = NO_ROOM
            if isinstance(answer, str):
                self._take_back(flow, answer, tables, now)
            else:
                self._give(flow, answer, tables, written, now)
        if written:
            tables.set_routes(written)

    def _judge(self, flow: Flow, device: Device) -> Answer | str:
        if not flow.streams:
            return OVER
        if flow in self._lossy:
            return LOSSY
        return STRAYING if flow in self._apart else self.flows.judge(flow, device.bridged)

    def _give(
        self,
        flow: Flow,
        answer: Answer,
        tables: KernelTables,
        written: dict[RouteKey, RouteValue],
        now: float,
    ) -> None:
        """The kernel forwards it, from when `written` is, and what has come already is out."""
        assert flow.slot is not None
        value = self.flows.value(answer, flow.slot, flow.ring)
        if flow.value is None or self.flows.was_unasked(flow):
            tables.forget_numbers(flow.slot)  # what is missing was not sent here
        flow.epoch = flow.route.epoch
        if value == flow.value:
            return
        if flow.value is None:
            flow.why = ""
            kind = QuestionsInKernel if flow.route.channel.group == QUESTIONS else RouteInKernel
            self._room.tell(kind(*self._texts(flow)))
            if self.flows.is_ours(flow) and not flow.rests_until:
                tables.set_sequence(flow.slot, flow.sequence)
            self.handover.give(flow, tables, now)
        flow.rests_until = 0.0
        flow.value = written[flow.key] = value
        flow.name(answer.places)
        flow.look_into(tables)

    def _take_back(self, flow: Flow, why: str, tables: KernelTables, now: float) -> None:
        """It comes here from now on; the slot rests, for packets may be under way."""
        if flow.value is not None:
            tables.clear_route(flow.key)
            flow.rests_until = now + REST
            self._resting.append((flow.rests_until, flow))
            self._remember_number(flow, tables)
        self._is_ours(flow, why)

    def _is_ours(self, flow: Flow, why: str) -> None:
        if flow.value is not None:
            flow.value = None
            flow.look_into(self._tables)
            self.handover.take_back(flow, self._tables)
            flow.name(())
        if why not in (flow.why, OFF, OVER):
            kind = QuestionsInPython if flow.route.channel.group == QUESTIONS else RouteInPython
            self._room.tell(kind(*self._texts(flow), why))
        flow.why = why

    @staticmethod
    def _texts(flow: Flow) -> tuple[str, str]:
        return key_text(flow.route.channel.group), key_text(flow.route.channel.source)

    def _remember_number(self, flow: Flow, tables: KernelTables) -> None:
        """The count goes on there if the flow ever comes to another slot."""
        if flow.slot is not None and self.flows.is_ours(flow):
            flow.sequence = tables.sequence(flow.slot)

    def _end_rests(self, tables: KernelTables, now: float) -> None:
        over = []
        while self._resting and self._resting[0][0] <= now:
            at, flow = self._resting.popleft()
            if flow.value is None and flow.rests_until == at:
                over.append(flow)
        if over:
            self.read(now)
            was_full = not self.flows.has_room
            for flow in over:
                self._remember_number(flow, tables)
                self.flows.free_slot(flow)
                flow.rests_until = 0.0
            if was_full and self.device:
                self._marked.update(dict.fromkeys(flow for flow in self.flows if flow.why == FULL))
        self.peers.tick(now, tables, lambda: self.read(now))
