"""Streams that the kernel may forward: what the map of routes is to say of each, or why it says nothing.

A flow is one origin's (S, G): the kernel finds a packet's route by all three.  It is taken from one link
alone, the one that leads to its origin: where none or two lead there, the flow stays here.  In the mesh that
link is its parent's, and it goes to its children, too (fed.py).
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from multicastmw.core.fastpath.fed import (
    BEGINS,
    NO_PARENT,
    InKernel,
    Rings,
    children_of,
    feed_of,
    fits,
    parent_of,
    wanted_size,
)
from multicastmw.core.fastpath.peers import FastPeers, Served
from multicastmw.core.fastpath.tables import (
    AROUND,
    FAN_OUT,
    LINK_TAP,
    NO_RING,
    ROUTES,
    KernelTables,
    Ring,
    RouteFlag,
    RouteKey,
    RouteValue,
)
from multicastmw.core.identity import node_of
from multicastmw.core.link import Link
from multicastmw.core.reach import Reach
from multicastmw.core.routing import Destination, Route
from multicastmw.core.stream import NumbersOf, Sending, Stream, StreamTotals
from multicastmw.core.tap import RESERVED, TapDestination
from multicastmw.core.window import Numbers
from multicastmw.wire.data import NUMBERED_BY_KERNEL

# What we chose.
STRAYS = 10  # packets of a flow that came here in a second, though the kernel forwards it
STRAYING = 2  # seconds in a row of so many, and the flow is ours: what was under way is past by then
APART, APART_MAX = 5.0, 60.0  # seconds that it is then; twice as long each time ...
CALM = 60  # ... until it was the kernel's for so many seconds
GENERATION = 1  # of all routes: one is replaced or taken out, and what a process leaves goes with it
FULL = f"{ROUTES} routes are in the kernel already"


class Flow:
    """One origin's (S, G): what the kernel says of it, and what became of it there."""

    __slots__ = (
        "calm", "duplicates", "epoch", "handled", "key", "late", "left", "left_epoch", "lost", "numbered",
        "origin", "passed", "places", "recall", "reordered", "rests_until", "ring", "ring_since", "route",
        "sequence", "slot", "stays", "straying", "streams", "value", "was_passed", "why",
    )  # fmt: skip

    def __init__(self, origin: int, route: Route) -> None:
        self.origin = origin
        self.route = route
        self.key = RouteKey(*route.channel, origin)
        self.streams: list[Sending | Stream] = []  # one for each count
        self.value: RouteValue | None = None  # in the map
        self.places: tuple[Served, ...] = ()  # that the value names
        self.slot: int | None = None
        self.rests_until = 0.0
        self.sequence = 0  # the kernel's next number, as far as it starts here
        self.passed = 0  # packets that the kernel forwarded
        self.numbered = 0  # of these, those that somebody wanted
        self.lost = self.duplicates = self.late = self.reordered = 0  # as the kernel's window says
        self.recall: NumbersOf | None = None  # while the kernel has it
        self.left: dict[int, Numbers] = {}  # what it alone knew of a count when it gave the flow back
        self.left_epoch = 0
        self.epoch = 0  # of its route, when the kernel was told
        self.handled = 0  # packets that were forwarded here, when that was looked at last
        self.straying = 0  # seconds in a row in which many were, though the kernel has it
        self.calm = 0  # seconds in a row in which few were
        self.stays = 0  # times that it stayed here for that
        self.was_passed = 0  # when that was looked at
        self.ring = NO_RING  # where the kernel keeps its packets
        self.ring_since = 0  # what had passed when that was taken
        self.why = "the fast path is off"

    def give(self, recall: NumbersOf) -> None:
        """The kernel forwards it from now on, as soon as its gate opens; `recall` shuts it again."""
        self._begin_counting()
        self.recall = recall
        for stream in self.counts():
            stream.recall = recall

    def take_back(self, known: NumbersOf) -> None:
        """We do from now on; `known` takes a count and gives what the kernel knows of its numbers."""
        self._begin_counting()
        self.recall = None
        alone = {0, NUMBERED_BY_KERNEL}
        for stream in self.counts():
            stream.give_back(known, self.epoch)
            alone.discard(stream.count)
        self.left = {count: numbers for count in alone if (numbers := known(count))}
        self.left_epoch = self.epoch

    def tell(self, stream: Stream) -> None:
        """Something of a count comes here for the first time; the kernel may have judged others of it."""
        known = self.left.pop(stream.count, None)
        if self.recall or known:
            stream.leave_to_kernel()
            stream.recall = self.recall
            stream.left, stream.left_epoch = known, self.left_epoch

    def hand_over(self, ingress: Destination) -> dict[int, Numbers]:
        """The same of counts that the kernel alone has had, which it is to know again."""
        left, self.left = self.left, {}
        return {} if self.route.resumed_since(self.left_epoch, ingress) else left

    def look_into(self, tables: KernelTables | None) -> None:
        """Its feeds see what the kernel has of them; without `tables` it has nothing any more."""
        for stream in self.counts():
            if stream.feed is None:
                continue
            stream.feed.look()
            if tables is None or self.slot is None:
                stream.feed.kernel = None
            else:
                stream.feed.kernel = InKernel(stream, self.slot, self, tables)

    def _begin_counting(self) -> None:
        self.handled, self.straying, self.calm = self._handled(), 0, 0
        self.was_passed = self.passed

    def counts(self) -> list[Stream]:
        """Those that come over a link."""
        return [stream for stream in self.streams if isinstance(stream, Stream)]

    def strays(self) -> bool:
        """Asked each second: does the kernel leave many of its packets to us, so that order is lost?"""
        before, self.handled = self.handled, self._handled()
        passed, self.was_passed = self.passed - self.was_passed, self.passed
        most = max(STRAYS, passed) if self.is_fed else STRAYS  # where some are lost, a gate is often shut
        many = (self.handled - before) & 0xFFFFFFFF > most
        self.straying, self.calm = (self.straying + 1, 0) if many else (0, self.calm + 1)
        if self.calm >= CALM:
            self.stays = 0
        return self.straying >= STRAYING

    @property
    def is_fed(self) -> bool:
        """Is it a stream of the mesh in the kernel?"""
        return self.value is not None and RouteFlag.MESH in self.value.flags

    def _handled(self) -> int:
        """Packets of it that were forwarded here, modulo 2^32."""
        counts = (s.window.received if isinstance(s, Stream) else s.numbered for s in self.streams)
        return sum(counts) & 0xFFFFFFFF

    def stay(self) -> float:
        """It is ours for so many seconds."""
        self.stays += 1
        return min(APART * (1 << min(self.stays - 1, 10)), APART_MAX)

    def name(self, places: tuple[Served, ...]) -> None:
        """Its route names these and no others."""
        for place in places:
            place.routes += 1
        for place in self.places:
            place.routes -= 1
        self.places = places


class Answer(NamedTuple):
    """What the kernel would have to say of a flow; but for the slot, which it may not have yet."""

    peers: tuple[Served, ...]
    link: Served | None  # None: it starts here
    flags: RouteFlag
    longest: int
    keeps: int = 0  # packets, in a ring

    @property
    def places(self) -> tuple[Served, ...]:
        """All that it names."""
        return (*self.peers, self.link) if self.link and self.link not in self.peers else self.peers


class Flows:
    """All flows, and the slots of those that are or just were in the kernel."""

    def __init__(self, origin: int, reach: Reach[Link], peers: FastPeers, tap: TapDestination) -> None:
        self.by_slot: dict[int, Flow] = {}
        self._origin = origin
        self._reach = reach
        self._peers = peers
        self._tap = tap
        self._flows: dict[tuple[Route, int], Flow] = {}
        self._by_route: dict[Route, list[Flow]] = {}
        self._by_node: dict[int, dict[Flow, None]] = {}
        self._free = list(range(ROUTES))
        self._rings = Rings()
        self._forgotten = StreamTotals()

    def __iter__(self) -> Iterator[Flow]:
        return iter(list(self._flows.values()))

    def all(self) -> list[Flow]:
        """Also those that nothing comes of any more, while the kernel has them."""
        return list(dict.fromkeys([*self._flows.values(), *self.by_slot.values()]))

    def fast(self) -> list[tuple[int, Flow]]:
        """Those that the kernel has, with their slots."""
        return [(slot, flow) for slot, flow in self.by_slot.items() if flow.value is not None]

    def of_route(self, route: Route) -> list[Flow]:
        return self._by_route.get(route, [])

    def of_node(self, node: int) -> list[Flow]:
        return list(self._by_node.get(node, ()))

    def is_ours(self, flow: Flow) -> bool:
        """Does it start here?"""
        return flow.origin == self._origin

    def totals(self) -> StreamTotals:
        """What became in the kernel of those from elsewhere, the forgotten ones among them."""
        totals = StreamTotals().add(self._forgotten)
        for flow in self._flows.values():
            if not self.is_ours(flow):
                _add(totals, flow)
        return totals

    def began(self, origin: int, stream: Sending | Stream) -> Flow:
        place = stream.route, origin
        flow = self._flows.get(place)
        if flow is None:
            flow = self._flows[place] = Flow(origin, stream.route)
            self._by_route.setdefault(stream.route, []).append(flow)
            self._by_node.setdefault(node_of(origin), {})[flow] = None
        flow.streams.append(stream)
        if isinstance(stream, Stream):
            flow.tell(stream)
        return flow

    def ended(self, origin: int, stream: Sending | Stream) -> Flow | None:
        """Gives the flow, if that was the last of it."""
        flow = self._flows[stream.route, origin]
        flow.streams.remove(stream)
        if flow.streams:
            return None
        del self._flows[stream.route, origin]
        if not self.is_ours(flow):
            _add(self._forgotten, flow)
        of_route = self._by_route[stream.route]
        of_route.remove(flow)
        if not of_route:
            del self._by_route[stream.route]
        of_node = self._by_node[node_of(origin)]
        del of_node[flow]
        if not of_node:
            del self._by_node[node_of(origin)]
        return flow

    # --- judging

    def ingress(self, flow: Flow) -> Link | None:
        """The link that leads to its origin, where that is one."""
        if parent := parent_of(flow):
            return parent
        links = self._reach.links(node_of(flow.origin))
        return links[0] if len(links) == 1 else None

    def was_unasked(self, flow: Flow) -> bool:
        """Since the kernel was told: did nobody want it for a while, so that it did not come?"""
        link = None if self.is_ours(flow) else self.ingress(flow)
        return link is not None and flow.route.resumed_since(flow.epoch, link)

    def uses(self, flow: Flow, link: Link) -> bool:
        return (
            link in flow.route.takers
            or any(place.link is link for place in flow.places)
            or (not self.is_ours(flow) and self.ingress(flow) is link)
            or any(stream.feed and link in children_of(stream.feed) for stream in flow.counts())
        )

    def judge(self, flow: Flow, bridged: bool) -> Answer | str:
        """The answer, or why the flow is not the kernel's.  `bridged`: the TAP is one port of a LAN."""
        takers = [taker for taker in flow.route.takers if taker.local or isinstance(taker, Link)]
        if len(takers) < len(flow.route.takers):
            return self._judge_fed(flow, takers, bridged)
        link = None
        if self.is_ours(flow):
            if bridged:
                return "it comes from a LAN, where gateways take turns"
            if flow.route.channel.group in RESERVED:
                return "it is of this node itself"
            if not self._tap.admits(flow.route.channel.group):
                return "[groups] keeps it out"
        else:
            found = self._over(flow)
            if isinstance(found, str):
                return found
            link = found
        return self._fan_out(flow.route, takers, link, bridged)

    def _judge_fed(self, flow: Flow, takers: list[Destination], bridged: bool) -> Answer | str:
        """It is a stream of the mesh, which these want, too."""
        if self.is_ours(flow):
            return BEGINS
        found = feed_of(flow)
        if isinstance(found, str):
            return found
        stream, feed = found
        link = parent_of(flow)
        served = self._peers.served(link) if link else None
        if link is None or served is None:
            return f"it comes from {link.name}: {self._peers.why(link)}" if link else NO_PARENT
        takers = list(dict.fromkeys([*takers, *children_of(feed)]))
        answer = self._fan_out(flow.route, takers, served, bridged)
        if isinstance(answer, str):
            return answer
        flags = answer.flags | RouteFlag.MESH | (RouteFlag.COUNT if stream.count else RouteFlag(0))
        return answer._replace(flags=flags, keeps=wanted_size(feed))

    def _over(self, flow: Flow) -> Served | str:
        """The only place that it may come from."""
        links = self._reach.links(node_of(flow.origin))
        if len(links) != 1:
            return "two links lead to its origin" if links else "no link leads to its origin"
        served = self._peers.served(links[0])
        return served or f"it comes from {links[0].name}: {self._peers.why(links[0])}"

    def _fan_out(
        self, route: Route, takers: list[Destination], link: Served | None, bridged: bool
    ) -> Answer | str:
        flags, places = RouteFlag(0), []
        for taker in takers:
            if isinstance(taker, Link):
                served = self._peers.served(taker)
                if served is None:
                    return f"it goes to {taker.name}: {self._peers.why(taker)}"
                places.append(served)
            elif taker is not self._tap:
                flags |= RouteFlag.HERE | RouteFlag.COPY
            elif link and bridged:
                return "it goes to a LAN, where gateways take turns"
            else:
                flags |= RouteFlag.LOCAL
        if route.observers:
            flags |= RouteFlag.COPY
        if len(places) > FAN_OUT:
            return f"{len(places)} peers want it, and the kernel serves {FAN_OUT}"
        if flags & RouteFlag.LOCAL and self._tap.reassembler is not None:
            flags |= RouteFlag.WHOLE
        longest = min((served.peer.longest for served in places), default=self._tap.longest + AROUND)
        return Answer(tuple(places), link, flags, longest)

    def value(self, answer: Answer, slot: int, ring: Ring) -> RouteValue:
        indexes = tuple(served.index for served in answer.peers)
        link = answer.link.index if answer.link else LINK_TAP
        return RouteValue(GENERATION, slot, indexes, answer.longest, link, answer.flags, ring)

    # --- slots

    def take_slot(self, flow: Flow) -> int | None:
        """Its own if it still has it; None where all are taken."""
        if flow.slot is None and self._free:
            flow.slot = heappop(self._free)
            self.by_slot[flow.slot] = flow
        return flow.slot

    def take_ring(self, flow: Flow, size: int) -> bool:
        """One that will do; False where there is no room for it."""
        if fits(flow.ring, size):
            return True
        self._free_ring(flow)
        ring = self._rings.take(size) if size else NO_RING
        flow.ring, flow.ring_since = ring or NO_RING, flow.passed
        return ring is not None

    def _free_ring(self, flow: Flow) -> None:
        if flow.ring != NO_RING:
            self._rings.give_back(flow.ring)
            flow.ring = NO_RING

    def free_slot(self, flow: Flow) -> None:
        assert flow.slot is not None
        flow.look_into(None)
        self._free_ring(flow)
        del self.by_slot[flow.slot]
        heappush(self._free, flow.slot)
        flow.slot = None

    @property
    def has_room(self) -> bool:
        return bool(self._free)

    def has_places(self, places: int) -> None:
        """The kernel's maps are new, and have so many for packets that are kept."""
        self._rings = Rings(places)

    def forget_slots(self) -> None:
        """The kernel's maps are no more."""
        for flow in list(self.by_slot.values()):
            self.free_slot(flow)


def _add(totals: StreamTotals, flow: Flow) -> None:
    totals.received += flow.passed
    totals.lost += flow.lost
    totals.duplicates += flow.duplicates
    totals.reordered += flow.reordered
    totals.late += flow.late
