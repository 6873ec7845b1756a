"""The mesh as a destination: what goes out to the neighbours that a stream's feed names.

The routing service has it as a carrier, so every packet comes here, also one that nobody on this side wants.
What the others on this side want, it is told as any destination is: that are the groups that the node is in.
"""

from collections.abc import Callable

from multicastmw.core.addressing import ANY, Channel
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.identity import node_of
from multicastmw.core.mesh.envelopes import Envelopes
from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.meeting import GROUPS_TOLD
from multicastmw.core.mesh.mesh import Mesh
from multicastmw.core.mesh.neighbour import Neighbour, Wire
from multicastmw.core.packet import Packet
from multicastmw.core.recovery.partner import Partner
from multicastmw.core.routing import Route, Router
from multicastmw.wire.data import BEACON, CAME_AGAIN, FLAGS_OFFSET, LOW_WATER_OFFSET, NUMBERED_BY_KERNEL
from multicastmw.wire.mesh import BASE, Address, Capabilities, MeshMessage, Sample, StreamKey
from multicastmw.wire.shared import wrapped

NEVER = float("inf")

# What we chose.
LEAVE_AFTER = 10.0  # seconds after the last one wanted a group: who changes channels comes back
ASK_GROUPS = 2.0  # seconds between two questions of a border which groups there are
LIVE_FOR = 20.0  # seconds for which the answer counts, and longer where there are many groups:
ROUNDS = 3  # for so many rounds, each of as many answers as it takes to tell of all
LIVE_MOST = 4_096
SENDER_LEAVES_AFTER = 60.0  # after the last packet of a group that nobody here wants


class MeshDestination:
    """Carries what comes to the neighbours, and says which groups are wanted here."""

    name = "mesh"
    local = False
    neighbour: Neighbour | None = None  # what is taken off a shared tree comes from nobody in particular
    partner: Partner | None = None

    def __init__(
        self,
        router: Router,
        forwarder: Forwarder,
        mesh: Mesh,
        port: int | None,
        has_static_links: Callable[[], bool],
        now: Callable[[], float],
    ) -> None:
        """`port` is the TCP port where this node is dialled, as it is said over links from now on."""
        self._has_static_links = has_static_links
        self._live: dict[int, float] = {}  # groups with members in the mesh, and when a relay said so
        self._ask_at = now()
        self.port = port
        self._router = router
        self._forwarder = forwarder
        self._mesh = mesh
        self._envelopes = Envelopes(forwarder, self)
        self._packet = Packet()
        self._now = now
        self._leaving: dict[int, float] = {}  # groups that nobody wants any more, and kept until
        self._is_full = False  # some of what is wanted waits until others are left
        self._wanted: dict[int, set[Channel]] = {}  # by group, as a group may be one of thousands
        router.carry(self)
        mesh.side = self

    # --- packets

    def deliver(self, packet: Packet) -> None:
        """To the children of its stream; what begins here is numbered, kept and announced."""
        feed = packet.feed
        if feed is None:
            return
        is_beacon = False
        if feed.ours:
            if not feed.is_alone and self._is_registered(packet, feed):
                return
            is_beacon = self._sent(packet, feed)
        for child in feed.brood.takers:
            child.wire.deliver(packet)
        if is_beacon:  # behind the data: who gets these need not be told of them
            self._mesh.announce(feed, feed.top, None, packet.now)

    def _sent(self, packet: Packet, feed: Feed) -> bool:
        """One that begins here is kept; True: it is to be announced."""
        buffer, now = packet.buffer, packet.now
        if not feed.gaps.numbers:  # of which its repair says where they are
            buffer[LOW_WATER_OFFSET] = 0
        is_beacon = not buffer[FLAGS_OFFSET] & CAME_AGAIN and feed.beacon_due(now)
        if is_beacon:
            buffer[FLAGS_OFFSET] |= BEACON
        self._mesh.now = now
        feed.sent(packet.sequence, len(packet.message), bytes(packet.message), now)
        return is_beacon

    # --- shared trees

    def _is_registered(self, packet: Packet, feed: Feed) -> bool:
        """Does it go by the shared tree?"""
        self._mesh.now = packet.now
        return self._mesh.registering.takes(feed, bytes(packet.message), packet.now)

    def route(self, feed: Feed) -> Route:
        """What comes of a shared feed is for others of the mesh as it is, and opened for this side."""
        route = Route(Channel(feed.key.group))
        route.takers = self, self._envelopes
        return route

    @property
    def origin(self) -> int:
        return self._forwarder.origin

    @property
    def is_border(self) -> bool:
        return self._has_static_links()

    def send(self, feed: Feed, message: bytes, now: float) -> None:
        """A message that began here, or is of a shared feed of ours, goes out by the feed's own tree."""
        packet = self._packet
        packet.place(message, now)
        packet.feed = feed
        self.deliver(packet)

    def spread(self, feed: Feed, sequence: int, message: bytes, now: float) -> None:
        """Another origin's goes out as one of the shared feed, and to who wants it here."""
        whole = wrapped(message, self.origin, sequence)
        self.send(feed, whole, now)
        self._packet.place(whole, now)
        self._envelopes.deliver(self._packet)

    def beacon_passed(self, origin: int, group: int, source: int, sequence: int, now: float) -> None:
        """The kernel has forwarded a beacon."""
        feed = self._mesh.feeds.get(StreamKey(origin, group, source))
        if feed and not feed.ours:
            self._mesh.now = now
            feed.beacon_passed(sequence, now)

    # --- links, as they come and go

    def capabilities(self) -> Capabilities:
        return self._mesh.capabilities()

    def addresses_at(self, local: str) -> tuple[Address, ...]:
        """Where this node can be dialled, as a peer is told that sees it at the local address of its link."""
        if self.port is None or not local or self._mesh.settings.nat:
            return ()
        return (Address(local, self.port),)

    def link_up(
        self, wire: Wire, sample: Sample, capabilities: Capabilities, dialled: bool, now: float
    ) -> Neighbour:
        neighbour = self._mesh.neighbours.get(sample.node)
        if neighbour is None:
            neighbour = self._mesh.link_up(wire, sample, capabilities, dialled, now)
        else:
            self._mesh.rewired(neighbour, wire, sample, capabilities, dialled, now)
        if wire.is_seed:
            self._mesh.circles[BASE].ask(neighbour, not self._mesh.circles[BASE].active, now)
        return neighbour

    def link_down(self, neighbour: Neighbour) -> None:
        self._mesh.link_down(neighbour, self._now())

    def accept(self, neighbour: Neighbour, message: MeshMessage, now: float) -> None:
        self._mesh.accept(neighbour, message, now)

    # --- streams, as the forwarder asks

    def begins(self, origin: int, group: int, source: int, now: float) -> Feed | None:
        """A stream comes in on this side; None: there are too many."""
        key = StreamKey(origin, group, source)
        if group not in self._mesh.circles:  # it only sends, and leaves a while after its last packet
            self._leaving[group] = now + SENDER_LEAVES_AFTER
            self._mesh.wake(now + SENDER_LEAVES_AFTER)
        return self._mesh.feeds.get(key) or self._mesh.begin(key, now)

    def comes(self, origin: int, group: int, source: int, by: Neighbour, now: float) -> Feed | None:
        """A stream comes over a neighbour's link."""
        return self._mesh.feed_for(StreamKey(origin, group, source), by, now)

    def has_room(self) -> bool:
        """For one more stream that begins here?"""
        return self._mesh.has_room()

    def wants(self, key: StreamKey) -> bool:
        """Is it for somebody on this side?  A shared one is where anything of the group is."""
        if key.source == ANY:
            return self.wants_group(key.group)
        takers = self._router.takers_of(Channel(key.group, key.source))
        return any(taker is not self for taker in takers)

    def children(self, channel: Channel) -> list[int]:
        """The nodes that get its streams from here; of one that is registered, its rendezvous point."""
        own, shared = self._feeds_of(channel)
        points = [point for feed in own if (point := feed.point()) is not None]
        feeds = own if any(feed.top >= 0 for feed in own) else shared
        return list(dict.fromkeys(points + [child.node for feed in feeds for child in feed.takers]))

    def _feeds_of(self, channel: Channel) -> tuple[list[Feed], list[Feed]]:
        """Those that have a tree of their own, or are to have one; and the shared ones of the group."""
        feeds = self._mesh.feeds_of(channel.group)
        return [f for f in feeds if f.key.source == channel.source], [f for f in feeds if f.is_shared]

    def parent(self, origin: int, channel: Channel) -> int:
        """The node that a stream comes from; 0 where it has none."""
        for count in (0, NUMBERED_BY_KERNEL):
            feed = self._mesh.feeds.get(StreamKey(origin ^ count, channel.group, channel.source))
            if feed and feed.parent:
                return feed.parent.node
        _, shared = self._feeds_of(channel)
        for feed in shared:
            if feed.ours and node_of(origin) != self._mesh.node:
                return node_of(origin)
            if feed.parent:
                return feed.parent.node
        return 0

    # --- groups

    def others_changed(self, channel: Channel) -> None:
        """Somebody on this side wants the channel, or no longer."""
        now, group = self._now(), channel.group
        if self._router.wanted_besides(self, channel):
            self._wanted.setdefault(group, set()).add(channel)
            self._leaving.pop(group, None)
            self._is_full |= not self._mesh.join(group, now)
        else:
            self._is_unwanted(channel)
            if group in self._mesh.circles and not self.wants_group(group):
                self._leaving[group] = now + LEAVE_AFTER
                self._mesh.wake(now + LEAVE_AFTER)
        for feed in self._mesh.feeds_of(group):
            if not feed.ours:
                self._mesh.renew(feed, now)

    def _join_rest(self, now: float) -> None:
        """Of what is wanted, as much as there is room for."""
        waiting = (group for group in self._wanted if group not in self._mesh.circles)
        self._is_full = not all(self._mesh.join(group, now) for group in waiting)

    def _is_unwanted(self, channel: Channel) -> None:
        wanted = self._wanted.get(channel.group, set())
        wanted.discard(channel)
        if not wanted:
            self._wanted.pop(channel.group, None)

    def wants_group(self, group: int) -> bool:
        """Is anything of the group for somebody on this side?"""
        return group in self._wanted

    def served_no_more(self, group: int, now: float) -> None:
        """The relay is not needed in between any more."""
        if not self.wants_group(group):
            self._leaving[group] = now

    # --- a border to a static tree: what members of the mesh want is wanted there, too

    def groups_live(self, groups: list[int], now: float) -> None:
        """These have members in the mesh."""
        for group in groups:
            if group not in self._live:
                if len(self._live) >= LIVE_MOST:
                    continue
                self._router.subscribe(self, Channel(group))
            self._live[group] = now

    def _forget_live(self, now: float) -> None:
        a_round = len(self._live) / GROUPS_TOLD * ASK_GROUPS
        horizon = now - max(LIVE_FOR, ROUNDS * a_round)
        for group in [group for group, at in self._live.items() if at <= horizon]:
            del self._live[group]
            self._router.unsubscribe(self, Channel(group))

    def deadline(self) -> float:
        return min(self._ask_at, min(self._leaving.values(), default=NEVER))

    def tick(self, now: float) -> None:
        """Leaves what nobody wants and nobody here sends."""
        if now >= self._ask_at:
            self._ask_at = now + ASK_GROUPS
            self._forget_live(now)
            if self._is_full:
                self._join_rest(now)
            if self._has_static_links():
                self._mesh.meeting.ask_groups(now)
        for group in [group for group, until in self._leaving.items() if until <= now]:
            sends = [feed for feed in self._mesh.feeds_of(group) if feed.ours]
            last = max((feed.moved_at for feed in sends), default=-NEVER)
            if self.wants_group(group):
                del self._leaving[group]
            elif last + SENDER_LEAVES_AFTER > now:
                self._leaving[group] = last + SENDER_LEAVES_AFTER
            else:
                del self._leaving[group]
                self._mesh.leave(group, now)
