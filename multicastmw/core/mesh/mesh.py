"""All of one node's mesh: what links say goes to the circle, the feed or the meeting place that it is about."""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Protocol

from multicastmw.core.bucket import Bucket
from multicastmw.core.counters import Counters
from multicastmw.core.mesh.circle import Circle
from multicastmw.core.mesh.feed import KEPT_BYTES, KEPT_BYTES_ALL, Feed
from multicastmw.core.mesh.meeting import MeetingPlace
from multicastmw.core.mesh.neighbour import Neighbour, Wire, capacity_of, slots_of, weight_of
from multicastmw.core.mesh.place import Whereabouts, between
from multicastmw.core.mesh.settings import (
    BEACONS_WHOLE,
    FORGET,
    HAVE_BITS,
    HAVE_LEAST,
    HAVE_MOST,
    HAVE_USUAL,
    LIVE,
    RESENT_SHARE,
    Settings,
)
from multicastmw.core.mesh.slots import Slots
from multicastmw.wire.mesh import (
    BASE,
    NOWHERE,
    About,
    Address,
    Capabilities,
    Find,
    Graft,
    Have,
    Live,
    Meeting,
    MeshMessage,
    Nack,
    Peers,
    Place,
    Prune,
    Refusal,
    Role,
    Sample,
    StreamKey,
)

NAT, RELAY = int(About.NAT), int(About.RELAY)

# What we chose.
FEEDS_MAX = 1_024
SERVED = 150.0  # seconds that a relay stays in a group after a member that cannot be dialled was heard of
RELAYS_MAX = 64
REACHING_MAX = 128  # connections that are being opened
IDLE = 2.0  # seconds that a link without use is kept
BEACON_SIZE = 90
HAVE_SIZE, HELD_SIZE = 48, 28  # bytes, about, with IP and UDP: of a Have, and of each stream in it
NEVER = float("inf")


class MeshCounters(Counters):
    """What neighbours said that was too much, or about what this node does not know."""

    __slots__ = ("finds", "haves", "haves_over_bound", "left_for_conduct", "nacks", "nacks_over_bound",
                 "peers_over_bound", "searches", "streams_over_bound", "unknown_streams")  # fmt: skip
    finds: int
    haves: int
    haves_over_bound: int
    left_for_conduct: int
    nacks: int
    nacks_over_bound: int
    peers_over_bound: int
    searches: int
    streams_over_bound: int
    unknown_streams: int


class Around(Protocol):
    """What a mesh has around it."""

    def dial(self, sample: Sample, now: float) -> None:
        """Opens a link; `link_up` or `not_reached` tells how it went."""

    def wants(self, key: StreamKey) -> bool:
        """Is the stream for somebody here?"""

    def wake(self, at: float) -> None:
        """The deadline may be this now."""

    def forgot(self, key: StreamKey) -> None:
        """The stream has ended long ago."""

    def groups_live(self, groups: list[int], now: float) -> None:
        """These have members, a relay says: for who is a border to a static tree."""

    def served_no_more(self, group: int, now: float) -> None:
        """No member needs this relay in between."""


class Mesh:
    """One node's."""

    def __init__(
        self,
        node: int,
        addresses: tuple[Address, ...],
        settings: Settings,
        around: Around,
        rng: Random,
        now: float,
    ) -> None:
        self.node = node
        self.short = node >> 32
        self.addresses = addresses
        self.settings = settings
        self.rng = rng
        self.now = now
        self.counters = MeshCounters()
        self.neighbours: dict[int, Neighbour] = {}
        self.circles: dict[int, Circle] = {}
        self.feeds: dict[StreamKey, Feed] = {}
        self.by_digest: dict[int, Feed] = {}
        self.served: dict[int, float] = {}  # groups that a relay is in for others, and until when
        self.have_every = HAVE_USUAL
        self.whereabouts = Whereabouts(rng)
        self.slots = Slots(settings, lambda: self.feeds.values())
        self.meeting = MeetingPlace(self, now)
        self._around = around
        self._relays: dict[int, Sample] = {}
        self._origins: dict[int, Sample | None] = {}  # who sends the streams that there are
        self._reaching: dict[int, dict[int, str]] = {}  # nodes being dialled: what for, by group
        self._messages: dict[int, list[MeshMessage]] = {}  # for who is being dialled
        self._have_at = now + HAVE_USUAL * rng.random()
        self._tidy_at = now + 1.0
        self._resends = Bucket(self._resend_rate(), self._resend_rate())
        self._deadline = NEVER

    def _resend_rate(self) -> float:
        uplink = self.settings.uplink or 10_000
        return max(20_000.0, uplink * 125 * RESENT_SHARE)

    @property
    def capacity(self) -> int:
        return capacity_of(self.settings.uplink if self.settings.children else 0)

    @property
    def own_slots(self) -> int:
        """Children that this node may have, as others reckon it."""
        return int(slots_of(self.capacity))

    @property
    def fresh_within(self) -> float:
        """Seconds for which a Have says how it is."""
        return max(0.3, 2.5 * self.have_every)

    def sample(self) -> Sample:
        """This node, for others."""
        flags = About.NAT * self.settings.nat | About.RELAY * self.settings.relay | About.UDP
        return Sample(self.node, self.addresses, int(flags), self.capacity, 0, self.whereabouts.place)

    def capabilities(self) -> Capabilities:
        role = Role.RELAY if self.settings.relay else Role.MEMBER
        flags = int(About.NAT) if self.settings.nat else 0
        children = min(0xFFFF, self.settings.children)
        return Capabilities(self.settings.uplink, children, int(role), flags, self.whereabouts.place)

    # --- being in groups

    def start(self, seeds: Iterable[Sample], now: float) -> None:
        """One seed is enough."""
        self.now = now
        base = self.circles[BASE] = Circle(BASE, self, now)
        base.learn(seeds, now)
        base.fill(now)
        self.wake(min(base.due, self._have_at, self._tidy_at))

    def join(self, group: int, now: float) -> None:
        """This node is a member: somebody here wants it, or sends to it."""
        self.now = now
        if group in self.circles:
            return
        circle = self.circles[group] = Circle(group, self, now)
        self.meeting.join(group, now)
        self.wake(circle.due)

    def serve(self, group: int, now: float) -> None:
        """Some of its members cannot be dialled, and so not reach each other: a relay is in between."""
        if not self.settings.relay or not self.slots.has_any:
            return
        is_new = group not in self.served
        self.served[group] = now + SERVED
        if is_new:
            self.join(group, now)
            self._renew(group, now)

    def wants(self, key: StreamKey) -> bool:
        """Is the stream to come here: for somebody here, or for members that it is carried to?"""
        return key.group in self.served or self._around.wants(key)

    def _renew(self, group: int, now: float) -> None:
        """Who wants its streams may be others now."""
        for key, feed in self.feeds.items():
            if key.group == group and not feed.ours:
                feed.wanted = self.wants(key)
                if feed.wanted:
                    feed.due = now
                    self.wake(now)
                else:
                    feed.unwanted(now)

    def _serve_no_more(self, now: float) -> None:
        for group in [group for group, until in self.served.items() if until <= now]:
            del self.served[group]
            self._renew(group, now)
            self._around.served_no_more(group, now)

    def leave(self, group: int, now: float) -> None:
        self.now = now
        if group in self.served:
            return
        circle = self.circles.pop(group, None)
        if circle is None:
            return
        self.meeting.leave(group)
        for key in [key for key in self.feeds if key.group == group]:
            feed = self._forget(key)
            for neighbour in {*feed.children, feed.parent, feed.joining} - {None}:
                assert neighbour is not None
                neighbour.say(Prune(key), now)
        for neighbour in list(circle.active):
            circle._part(neighbour, now)
        self.slots.changed()

    def meet(self, group: int, now: float) -> None:
        """The neighbours are gone, and so is what was known."""
        self.meeting.ask(group, Meeting.QUERY, now)

    def met(self, find: Find, now: float) -> None:
        """A relay has answered."""
        circle = self.circles.get(find.group)
        if circle is None:
            return
        isolated = not circle.active
        circle.learn(find.samples, now)
        if isolated or len(circle.active) < circle.wants:
            circle.fill(now)
        else:
            circle.remix(find.samples, now)
        for live in find.live:
            self._look_out(live, now)

    def _look_out(self, live: Live, now: float) -> None:
        """A stream that is sent and that nothing comes of: this node is cut off."""
        feed = self.feeds.get(live.stream)
        if feed is None or (not feed.ours and now - feed.moved_at > LIVE and self._around.wants(live.stream)):
            circle = self.circles.get(live.stream.group)
            if circle and self._around.wants(live.stream) and feed is not None:
                circle.search(now)

    def groups_live(self, groups: list[int], now: float) -> None:
        """These have members somewhere in the mesh."""
        self._around.groups_live(groups, now)

    def live(self, group: int) -> tuple[Live, ...]:
        found = [
            Live(key, feed.top) for key, feed in self.feeds.items() if key.group == group and feed.is_live
        ]
        return tuple(found[:16])

    # --- knowing nodes

    def heard_of(self, sample: Sample, now: float) -> None:
        if sample.node >> 16 in self._origins:
            self._origins[sample.node >> 16] = sample
        if sample.flags & RELAY and sample.node != self.node:
            self._relays.pop(sample.node, None)
            if len(self._relays) >= RELAYS_MAX:
                del self._relays[next(iter(self._relays))]
            self._relays[sample.node] = sample

    def relays_known(self) -> list[Sample]:
        """Where groups meet; where nobody is a relay, any node that can be dialled is a place."""
        known = list(self._relays.values())
        if self.settings.relay:
            known.append(self.sample())
        if known:
            return known
        base = self.circles.get(BASE)
        if base is None or not base.active:
            return []  # not yet: alone, every node would be its own place
        near = [neighbour.sample for neighbour in base.active]
        near += [sample for sample, _ in base.passive.values()]
        near.append(self.sample())
        return [sample for sample in near if not sample.flags & NAT]

    def tell(self, sample: Sample, group: int, message: MeshMessage, now: float) -> None:
        """Says it to a node that may have to be dialled first."""
        neighbour = self.neighbours.get(sample.node)
        if neighbour:
            neighbour.idle_since = now
            neighbour.say(message, now)
            return
        self._messages.setdefault(sample.node, []).append(message)
        self.reach(sample, group, "tell", now)

    def reach(self, sample: Sample, group: int, purpose: str, now: float) -> None:
        """Has a link to that node, for that: at once where there is one."""
        if sample.node == self.node:
            return
        neighbour = self.neighbours.get(sample.node)
        if neighbour:
            self._reached(neighbour, group, purpose, now)
            return
        if sample.flags & NAT or (len(self._reaching) >= REACHING_MAX and purpose == "probe"):
            return
        purposes = self._reaching.get(sample.node)
        if purposes is None:
            self._reaching[sample.node] = {group: purpose}
            self._around.dial(sample, now)
        elif purposes.get(group) in (None, "probe"):
            purposes[group] = purpose

    def _reached(self, neighbour: Neighbour, group: int, purpose: str, now: float) -> None:
        neighbour.idle_since = now
        circle = self.circles.get(group)
        if circle is None:
            return
        if purpose == "probe":
            circle.measured(neighbour, now)
        elif purpose in ("neighbour", "urgent"):
            circle.ask(neighbour, purpose == "urgent", now)

    def try_out(self, group: int, samples: tuple[Sample, ...], now: float) -> None:
        """These may have room."""
        for sample in samples[:3]:
            self.reach(sample, group, "urgent", now)

    # --- links

    def link_up(
        self, wire: Wire, sample: Sample, capabilities: Capabilities, dialled: bool, now: float
    ) -> Neighbour:
        self.now = now
        neighbour = Neighbour(wire, sample, capabilities, dialled, now)
        self.neighbours[sample.node] = neighbour
        if wire.rtt is not None:
            self.whereabouts.measured(wire.rtt, sample.place)
        self.heard_of(sample, now)
        for message in self._messages.pop(sample.node, ()):
            neighbour.say(message, now)
        for group, purpose in self._reaching.pop(sample.node, {}).items():
            self._reached(neighbour, group, purpose, now)
        return neighbour

    def not_reached(self, node: int, now: float) -> None:
        self.now = now
        self._messages.pop(node, None)
        self._relays.pop(node, None)
        for group in self._reaching.pop(node, {}):
            circle = self.circles.get(group)
            if circle:
                circle.forget(node)

    def link_down(self, neighbour: Neighbour, now: float) -> None:
        self.now = now
        if self.neighbours.get(neighbour.node) is neighbour:
            del self.neighbours[neighbour.node]
        for circle in list(self.circles.values()):
            circle.gone(neighbour, now)
        for feed in self.feeds.values():
            feed.gone(neighbour, now)

    def entered(self, group: int, neighbour: Neighbour, now: float) -> None:
        """It is a neighbour in that group now, and hears what there is."""
        held = tuple(
            feed.held(way=True)
            for key, feed in self.feeds.items()
            if key.group == group and feed.top >= 0 and feed.is_live
        )
        if held:
            neighbour.say(Have(held), now)

    def left(self, group: int, neighbour: Neighbour, now: float) -> None:
        neighbour.idle_since = now
        for key, feed in self.feeds.items():
            if key.group == group:
                feed.gone(neighbour, now)

    def parents(self, group: int) -> list[Neighbour]:
        """Where the group's live streams come from."""
        found = (
            feed.parent
            for key, feed in self.feeds.items()
            if key.group == group and feed.parent is not None and feed.is_live
        )
        return list(dict.fromkeys(found))

    def merits(self, group: int) -> Callable[[Neighbour], float]:
        """How late the group's streams would come from a neighbour, for comparing; its distance while there are none."""
        feeds = [
            feed for key, feed in self.feeds.items() if key.group == group and not feed.ours and feed.is_live
        ]
        if not feeds:
            return lambda neighbour: neighbour.rtt
        return lambda neighbour: sum(feed.way(neighbour) for feed in feeds)

    def origins_of(self, group: int) -> list[Sample]:
        """Who sends the group's live streams, where that is known."""
        found = []
        for key, feed in self.feeds.items():
            if key.group == group and feed.is_live:
                origin = self.sample() if feed.ours else self._origins.get(key.origin >> 16)
                if origin is not None and origin.place != NOWHERE:
                    found.append(origin)
        return found

    def is_straight(self, group: int) -> bool:
        """Are the ways of the group's streams to here about as short as they can be?"""
        here = self.whereabouts.place
        for key, feed in self.feeds.items():
            if key.group == group and feed.is_live and not feed.ours:
                origin = self._origins.get(key.origin >> 16)
                if origin is None or not feed.is_straight(between(origin.place, here)):
                    return False
        return True

    def detour(self, group: int, over: Place, to: Place) -> float:
        """How far it is there from those who send, over somebody."""
        origins = self.origins_of(group)
        far = between(over, to)
        if not origins:
            return far
        return far + sum(between(origin.place, over) for origin in origins) / len(origins)

    def in_use(self, group: int, neighbour: Neighbour) -> bool:
        """Does a stream of the group go over it?"""
        return any(
            neighbour in feed.children or neighbour is feed.parent or neighbour is feed.joining
            for key, feed in self.feeds.items()
            if key.group == group
        )

    # --- what they say

    def accept(self, by: Neighbour, message: MeshMessage, now: float) -> None:
        """A message of a neighbour."""
        self.now = now
        if type(message) is Have:
            self._accept_have(by, message, now)
        elif type(message) is Nack:
            self._accept_nack(by, message, now)
        elif type(message) is Graft:
            self._accept_graft(by, message, now)
        elif type(message) is Prune:
            feed = self.feeds.get(message.stream)
            if feed:
                feed.accept_prune(by, message, now)
        elif type(message) is Peers:
            self._accept_peers(by, message, now)
        elif type(message) is Find:
            self.counters.finds += 1
            if by.peers.allows(now):
                by.idle_since = now
                self.meeting.accept(by, message, now)
            else:
                self.counters.peers_over_bound += 1

    def _accept_have(self, by: Neighbour, have: Have, now: float) -> None:
        self.counters.haves += 1
        if not by.haves.allows(now):
            self.counters.haves_over_bound += 1
            return
        for held in have.streams:
            feed = self._feed_of(held.stream, by, now)
            if feed and not feed.ours:
                feed.accept_held(by, held, now)
            elif feed:
                feed._of(by).free = held.load.free
                feed._of(by).at = now

    def _feed_of(self, stream: StreamKey | int, by: Neighbour, now: float) -> Feed | None:
        if isinstance(stream, int):
            return self.by_digest.get(stream)
        return self.feeds.get(stream) or self._new_feed(stream, by, now)

    def _accept_nack(self, by: Neighbour, nack: Nack, now: float) -> None:
        self.counters.nacks += 1
        feed = self.feeds.get(nack.stream)
        if not by.nacks.allows(now):
            self.counters.nacks_over_bound += 1
        elif feed:
            feed.accept_nack(by, nack.missing, now)

    def _accept_graft(self, by: Neighbour, graft: Graft, now: float) -> None:
        feed = self.feeds.get(graft.stream)
        if feed:
            feed.accept_graft(by, graft, now)
        else:
            self.counters.unknown_streams += 1
            by.say(Prune(graft.stream, Refusal.NO_DATA, (), 2_000), now)

    def _accept_peers(self, by: Neighbour, peers: Peers, now: float) -> None:
        circle = self.circles.get(peers.group)
        if not by.peers.allows(now):
            self.counters.peers_over_bound += 1
        elif circle:
            circle.accept(by, peers, now)
        elif peers.samples:
            by.say(Peers(peers.group, 4), now)

    # --- streams

    def _new_feed(self, key: StreamKey, by: Neighbour, now: float) -> Feed | None:
        """A stream that this node has not heard of."""
        if key.group not in self.circles:
            self.counters.unknown_streams += 1
            return None
        if len(self.feeds) >= FEEDS_MAX or not by.streams.allows(now):
            self.counters.streams_over_bound += 1
            return None
        feed = self._enter(Feed(key, self, now))
        feed.wanted = self.wants(key)
        self.wake(feed.due)
        return feed

    def _enter(self, feed: Feed) -> Feed:
        self.feeds[feed.key] = self.by_digest[feed.digest] = feed
        self._origins.setdefault(feed.key.origin >> 16, None)
        return feed

    def _forget(self, key: StreamKey) -> Feed:
        feed = self.feeds.pop(key)
        if not any(other.origin >> 16 == key.origin >> 16 for other in self.feeds):
            self._origins.pop(key.origin >> 16, None)
        self.by_digest.pop(feed.digest, None)
        self._around.forgot(key)
        self.slots.changed()
        return feed

    def feed_for(self, key: StreamKey, by: Neighbour, now: float) -> Feed | None:
        """The feed of a packet that came over the link; who sends what is not known is told."""
        self.now = now
        feed = self.feeds.get(key) or self._new_feed(key, by, now)
        if feed is None:
            by.say(Prune(key), now)
        return feed

    def begin(self, key: StreamKey, now: float) -> Feed:
        """A stream begins here: as many neighbours as there is room for get it unasked."""
        self.now = now
        self.join(key.group, now)
        feed = self._enter(Feed(key, self, now, ours=True))
        self.wake(feed.due)
        self._push(feed, now)
        return feed

    def _push(self, feed: Feed, now: float) -> None:
        pool = list(self.circles[feed.key.group].active)
        self.rng.shuffle(pool)
        pool.sort(key=lambda each: -weight_of(each.sample))
        for neighbour in pool:
            if self.slots.free(feed) <= 0:
                break
            feed.adopt(neighbour)

    def started(self, feed: Feed, by: Neighbour | None, now: float) -> None:
        """The first packet of a stream is here: those who do not get it from us hear of it at once."""
        have = Have((feed.held(),))
        for neighbour in self.circles[feed.key.group].active:
            if neighbour is not by and neighbour not in feed.children:
                neighbour.say(have, now)

    def announce(self, feed: Feed, sequence: int, by: Neighbour | None, now: float) -> None:
        """A beacon packet is here."""
        circle = self.circles.get(feed.key.group)
        if circle is None:
            return
        whole = Have((feed.held(beacon=sequence),))
        feed.beacons += 1
        short = (
            whole if feed.beacons % BEACONS_WHOLE == 1 else Have((feed.held(whole=False, beacon=sequence),))
        )
        children = feed.children
        for neighbour in circle.active:
            if neighbour is not by and neighbour is not feed.parent:
                neighbour.say(whole if neighbour in children else short, now)

    def _announce_all(self, now: float) -> None:
        """What there is, to those who do not get it from us and do not give it to us."""
        said: dict[Neighbour, list[Any]] = {}
        rate = 0.0
        for key, feed in self.feeds.items():
            circle = self.circles.get(key.group)
            if circle is None or feed.top < 0 or not feed.is_live:
                continue
            held = feed.held(whole=False)
            rate += feed.bits
            children, parent = feed.children, feed.parent
            for neighbour in circle.active:
                if neighbour not in children and neighbour is not parent:
                    said.setdefault(neighbour, []).append(held)
        size = beacons = 0
        for neighbour, helds in said.items():
            neighbour.say(Have(tuple(helds)), now)
            size += HAVE_SIZE + HELD_SIZE * len(helds)
            beacons += BEACON_SIZE * len(helds)
        budget = max(2_000.0, min(HAVE_BITS, rate * 1000 * 0.02))
        wanted = size * 8 / max(budget / 4, budget - beacons * 8)
        self.have_every = max(HAVE_LEAST, min(HAVE_MOST, wanted)) if said else HAVE_USUAL
        self._have_at = now + self.have_every * self.rng.uniform(0.9, 1.1)

    def search(self, group: int, now: float) -> None:
        circle = self.circles.get(group)
        if circle:
            self.counters.searches += 1
            circle.search(now)

    def may_resend(self, size: float, now: float) -> bool:
        return self._resends.allows(now, size)

    def kept_most(self, mean: float) -> int:
        """Packets of this mean size that one stream may keep."""
        return int(min(KEPT_BYTES, KEPT_BYTES_ALL / max(1, len(self.feeds))) / max(64.0, mean))

    # --- time

    def wake(self, at: float) -> None:
        if at < self._deadline:
            self._deadline = at
            self._around.wake(at)

    def deadline(self) -> float:
        return self._deadline

    def tick(self, now: float) -> None:
        self.now = now
        self._deadline = NEVER
        for feed in list(self.feeds.values()):
            if feed.due <= now:
                feed.tick(now)
        for circle in list(self.circles.values()):
            if circle.due <= now:
                circle.tick(now)
        if self.meeting.due <= now:
            self.meeting.tick(now)
        if now >= self._have_at:
            self._announce_all(now)
        if now >= self._tidy_at:
            self._tidy(now)
        due = min(self._have_at, self._tidy_at, self.meeting.due)
        for feed in self.feeds.values():
            due = min(due, feed.due)
        for circle in self.circles.values():
            due = min(due, circle.due)
        self._deadline = due

    def _tidy(self, now: float) -> None:
        """Links without use, and streams that have ended."""
        self._tidy_at = now + 1.0
        self._serve_no_more(now)
        if self.neighbours:
            one = self.rng.choice(list(self.neighbours.values()))
            self.whereabouts.measured(one.rtt, one.sample.place)
        for neighbour in list(self.neighbours.values()):
            if not neighbour.circles and neighbour.dialled and now - neighbour.idle_since > IDLE:
                neighbour.wire.hang_up("nothing goes over it any more", now)
        for key in [key for key, feed in self.feeds.items() if now - feed.moved_at > FORGET]:
            self._forget(key)
