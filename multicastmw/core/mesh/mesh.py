"""All of one node's mesh: what links say goes to the circle, feed or meeting place that it is about."""

from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple, Protocol

from multicastmw.core.bucket import Bound, Bucket
from multicastmw.core.events import Event, Limit, Tell
from multicastmw.core.mesh.announcing import Announcer
from multicastmw.core.mesh.callback import CallBack
from multicastmw.core.mesh.circle import Circle
from multicastmw.core.mesh.contacts import Contacts
from multicastmw.core.mesh.counters import MeshCounters
from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.meeting import MeetingPlace
from multicastmw.core.mesh.neighbour import Neighbour, Wire, capacity_of, slots_of, weight_of
from multicastmw.core.mesh.numbers import ahead
from multicastmw.core.mesh.place import Whereabouts
from multicastmw.core.mesh.registering import Registering
from multicastmw.core.mesh.rendezvous import Rendezvous
from multicastmw.core.mesh.settings import (
    FORGET,
    KEPT_BYTES,
    KEPT_BYTES_ALL,
    LIVE,
    PACKET_BYTES,
    RESENT_SHARE,
    UPLINK_USUAL,
    Settings,
)
from multicastmw.core.mesh.slots import Slots
from multicastmw.core.mesh.standing import Standing
from multicastmw.wire.mesh import (
    BASE,
    About,
    Address,
    Capabilities,
    Find,
    Graft,
    Have,
    Held,
    Kind,
    Live,
    MeshMessage,
    Nack,
    Peers,
    Prune,
    Refusal,
    Register,
    Registered,
    Role,
    Sample,
    StreamKey,
)

# What we chose.
FEEDS_MAX = 1_024
UNHEARD_MAX = 128  # streams that one neighbour has told of, and of which no packet came
FORGET_UNHEARD = 30.0  # seconds after which such a one is forgotten
CIRCLES_MAX = 1_024  # groups that a node is in: each has neighbours, who are told and tell
TOO_MANY_GROUPS = (
    f"this node is in {CIRCLES_MAX} groups of the mesh, and no further ones are joined: what is wanted of"
    " them comes as soon as others are left; let programs, or the static peers of this border, ask for fewer"
)
TOO_MANY_STREAMS = f"the mesh carries {FEEDS_MAX} streams here; what begins now waits until others have ended"
IDLE = 2.0  # seconds that a link without use is kept
TIDY = 1.0  # seconds between two looks for such
FEW, REST_EACH, REST_MOST = 16, 2e-5, 0.01  # feeds and groups; seconds between two ticks, for each more
LIVE_TOLD = 16  # streams that a rendezvous is told of
FLOOD, STOLEN = -0.5, -5.0  # points for each message over the bound, and for what our own stream never had
UNKNOWN_BACK_OFF, BUSY_BACK_OFF = 2_000, 200  # ms
RESENT_LEAST = 20_000.0  # bytes/s
FIND_ELSEWHERE = 5.0  # what a Find counts at who is no relay: the answer is many times as long
NEVER = float("inf")
ORIGIN_BITS = 16  # of an origin that are drawn at each start
SERVED = 150.0  # seconds that a relay stays in a group after a member that cannot be dialled was heard of
SERVED_MOST = CIRCLES_MAX // 4  # groups that a relay is in for others
SERVED_FOR_ONE = SERVED_MOST // 4


class Around(Protocol):
    """What a mesh has around it."""

    def dial(self, sample: Sample, now: float) -> None:
        """Opens a link; `link_up` or `not_reached` tells how it went."""

    def wake(self, at: float) -> None:
        """The deadline may be this now."""

    def forgot(self, key: StreamKey) -> None:
        """The stream has ended long ago."""


class Side(Protocol):
    """This node's side of a mesh: for whom it brings streams."""

    def wants(self, key: StreamKey) -> bool:
        """Is the stream for somebody here?"""

    def wants_group(self, group: int) -> bool:
        """Is anything of the group for somebody here?"""

    def groups_live(self, groups: list[int], now: float) -> None:
        """These have members, a relay says: for who is a border to a static tree."""

    def served_no_more(self, group: int, now: float) -> None:
        """No member needs this relay in between, or nobody registers with it any more."""

    @property
    def origin(self) -> int:
        """Under which this node sends."""

    @property
    def is_border(self) -> bool:
        """Are there static links, too?"""

    def send(self, feed: Feed, message: bytes, now: float) -> None:
        """An IP Data message that began here goes out by the feed's own tree."""

    def spread(self, feed: Feed, sequence: int, message: bytes, now: float) -> None:
        """Another origin's goes out under that number of the shared feed, and to who wants it here."""


def nobody(event: Event) -> None:
    """Where events go that nobody asks for."""


class Served(NamedTuple):
    """A group that a relay is in for others, until then; `whom` was the first."""

    until: float
    whom: int


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
        self.around = around
        self.side: Side  # whoever has this mesh says it, before it starts
        self.rng = rng
        self.now = now
        self.counters = MeshCounters()
        self.neighbours: dict[int, Neighbour] = {}
        self.circles: dict[int, Circle] = {}
        self.feeds: dict[StreamKey, Feed] = {}
        self.by_digest: dict[int, Feed] = {}
        self._by_group: dict[int, dict[StreamKey, Feed]] = {}
        self.served: dict[int, Served] = {}  # groups that a relay is in for others
        self.whereabouts = Whereabouts(rng)
        self.slots = Slots(settings, self.feeds.values)
        self.meeting = MeetingPlace(self, now)
        self.registering = Registering(self, now)
        self.rendezvous = Rendezvous(self)
        self.contacts = Contacts(self)
        self.call_back = CallBack(self)
        self.standing = Standing(self)
        self.tell: Tell = nobody
        self.announcer = Announcer(self, now)
        self.rerouted: Callable[[Feed], None] = lambda feed: None  # told of each that goes another way
        self._tidy_at = now + TIDY
        self._resends = self._own_resends = self._resends_of(settings.uplink)
        if not settings.uplink:  # that says what it carries for others
            self._own_resends = self._resends_of(UPLINK_USUAL)
        self._is_full = False  # of groups, and that was told
        self._deadline = NEVER
        self._rests_until = now  # a tick looks at all there is, so that there are fewer where there is much
        self._accepts: dict[type, Callable[..., None]] = {
            Have: self._accept_have,
            Nack: self._accept_nack,
            Graft: self._accept_graft,
            Prune: self._accept_prune,
            Peers: self._accept_peers,
            Find: self._accept_find,
            Register: self.rendezvous.accept,
            Registered: self.registering.accept,
        }

    @property
    def capacity(self) -> int:
        return capacity_of(self.settings.uplink, self.settings.children)

    @property
    def own_slots(self) -> int:
        """Children that this node may have, as others reckon it."""
        return int(slots_of(self.capacity))

    @property
    def fresh_within(self) -> float:
        """Seconds for which a Have says how it is."""
        return self.announcer.fresh_within

    def sample(self) -> Sample:
        """This node, for others."""
        flags = About.NAT * self.settings.nat | About.RELAY * self.settings.relay | About.UDP | About.SHARED
        return Sample(self.node, self.addresses, int(flags), self.capacity, 0, self.whereabouts.place)

    def capabilities(self) -> Capabilities:
        role = Role.RELAY if self.settings.relay else Role.MEMBER
        flags = int(About.NAT * self.settings.nat | About.SHARED)
        children = min(0xFFFF, self.settings.children)
        return Capabilities(self.settings.uplink, children, int(role), flags, self.whereabouts.place)

    # --- being in groups

    def start(self, seeds: Iterable[Sample], now: float) -> None:
        """One seed is enough."""
        self.now = now
        base = self.circles[BASE] = Circle(BASE, self, now)
        base.learn(seeds, now)
        base.fill(now)
        self.wake(min(base.due, self.announcer.due, self._tidy_at))

    def join(self, group: int, now: float) -> bool:
        """This node is a member: somebody here wants it, or sends to it.  False: it is one group too many."""
        self.now = now
        if group in self.circles:
            return True
        if len(self.circles) - (BASE in self.circles) >= CIRCLES_MAX:
            self.counters.circles_over_bound += 1
            if not self._is_full:
                self._is_full = True
                self.tell(Limit(TOO_MANY_GROUPS))
            return False
        circle = self.circles[group] = Circle(group, self, now)
        self.meeting.join(group, now)
        self.wake(circle.due)
        return True

    def serve(self, group: int, whom: int, now: float) -> None:
        """Some of its members, such as this one, cannot be dialled, and so not reach each other: a relay is
        between, or, where nobody is one, whoever they meet at."""
        if not self.slots.has_any or not (self.settings.relay or self.contacts.is_without_relays):
            return
        known = self.served.get(group)
        if known is None and self._serves_many(whom):
            self.counters.circles_over_bound += 1
            return
        if not self.join(group, now):
            return
        self.served[group] = Served(now + SERVED, whom if known is None else known.whom)
        if known is None:
            self._renew(group, now)

    def _serves_many(self, whom: int) -> bool:
        """As many groups as it may, of all or of this node?"""
        of_whom = sum(served.whom == whom for served in self.served.values())
        return len(self.served) >= SERVED_MOST or of_whom >= SERVED_FOR_ONE

    def wants(self, key: StreamKey) -> bool:
        """Is the stream to come here: for somebody here, or for members that it is carried to?"""
        return key.group in self.served or self.side.wants(key)

    def _renew(self, group: int, now: float) -> None:
        """Who wants its streams may be others now."""
        for feed in self.feeds_of(group):
            self.renew(feed, now)

    def renew(self, feed: Feed, now: float) -> None:
        """Is it wanted now, or no longer?"""
        wanted = self.wants(feed.key)
        if feed.ours or wanted == feed.wanted:
            return
        feed.wanted = wanted
        if wanted:
            feed.wake(now)
        else:
            feed.unwanted(now)

    def _serve_no_more(self, now: float) -> None:
        for group in [group for group, served in self.served.items() if served.until <= now]:
            del self.served[group]
            self._renew(group, now)
            self.side.served_no_more(group, now)

    def leave(self, group: int, now: float) -> None:
        self.now = now
        if group in self.served or group in self.rendezvous:
            return
        circle = self.circles.pop(group, None)
        if circle is None:
            return
        self._is_full = False
        self.meeting.leave(group)
        for feed in self.feeds_of(group):
            self._forget(feed.key)
            for neighbour in {*feed.takers, *feed.upstream.asked()}:
                neighbour.say(Prune(feed.key), now)
        for neighbour in list(circle.active):
            circle.part(neighbour, now)
        self.slots.changed()

    def meet(self, group: int, now: float) -> None:
        """The neighbours are gone, and so is what was known."""
        self.meeting.ask_once_more(group, now)

    def met(self, find: Find, now: float, *, believed: bool = True) -> None:
        """A relay has answered."""
        circle = self.circles.get(find.group)
        if circle is None:
            return
        isolated = not circle.active
        if believed:
            circle.named(find.samples, now)
        else:
            circle.learn(find.samples, now)
        if isolated or len(circle.active) < circle.wants:
            circle.fill(now)
        elif believed:
            circle.remix(find.samples, now)
        for live in find.live:
            feed = self.feeds.get(live.stream)
            if feed is not None and feed.wants() and now - feed.moved_at > LIVE:
                circle.search(now)  # it is sent, and nothing comes: this node is cut off

    def is_few(self, group: int) -> bool:
        """Has this node fewer neighbours in the group than it wants?"""
        circle = self.circles.get(group)
        return circle is not None and len(circle.active) < circle.wants

    def is_member(self, group: int) -> bool:
        """Does it want something of the group, or does it only send?"""
        return group in self.served or self.side.wants_group(group)

    def groups_live(self, groups: list[int], now: float) -> None:
        """These have members somewhere in the mesh."""
        self.side.groups_live(groups, now)

    def live(self, group: int) -> tuple[Live, ...]:
        found = [Live(feed.key, feed.top) for feed in self.feeds_of(group) if feed.is_live and feed.top >= 0]
        return tuple(found[:LIVE_TOLD])

    def try_out(self, group: int, samples: tuple[Sample, ...], now: float) -> None:
        """These may have room."""
        for sample in samples[:3]:
            self.contacts.reach(sample, group, "urgent", now)

    def feeds_of(self, group: int) -> list[Feed]:
        return list(self._by_group.get(group, {}).values())

    # --- links

    def link_up(
        self, wire: Wire, sample: Sample, capabilities: Capabilities, dialled: bool, now: float
    ) -> Neighbour:
        self.now = now
        neighbour = Neighbour(wire, sample, capabilities, dialled, now)
        self.standing.is_there(sample.node, True, now)
        if not self.standing.is_left_alone(neighbour, now):
            self.welcome(neighbour, now)
        return neighbour

    def welcome(self, neighbour: Neighbour, now: float) -> None:
        """There is a link with it, and nothing against it."""
        sample, rtt = neighbour.sample, neighbour.wire.rtt
        self.neighbours[sample.node] = neighbour
        if rtt is not None:
            self.whereabouts.measured(rtt, sample.place)
        self.contacts.met(sample)
        self.contacts.up(neighbour, now)
        self.registering.link_up(neighbour, now)

    def rewired(
        self, neighbour: Neighbour, wire: Wire, sample: Sample, capabilities: Capabilities, dialled: bool,
        now: float,
    ) -> None:  # fmt: skip
        """A newer link with the same node has taken the place of the older."""
        self.now = now
        neighbour.is_now(wire, sample, capabilities, dialled)
        self.contacts.met(sample)
        for group in neighbour.circles:
            self.circles[group].restate(neighbour, now)
        self.contacts.up(neighbour, now)

    def not_reached(self, node: int, now: float) -> None:
        self.now = now
        if node in self.neighbours:
            return  # it has dialled us meanwhile
        self.standing.is_there(node, False, now)
        self.contacts.not_reached(node)
        self.registering.link_down(node, now)

    def link_down(self, neighbour: Neighbour, now: float) -> None:
        self.now = now
        if self.neighbours.get(neighbour.node) is neighbour:
            del self.neighbours[neighbour.node]
        else:
            self.standing.is_gone(neighbour)
        for circle in list(self.circles.values()):
            circle.gone(neighbour, now)
        for feed in self.feeds.values():
            feed.gone(neighbour, now)
        self.registering.link_down(neighbour.node, now)

    def entered(self, group: int, neighbour: Neighbour, now: float) -> None:
        """It is a neighbour in that group now."""
        self.announcer.entered(group, neighbour, now)

    def left(self, group: int, neighbour: Neighbour, now: float) -> None:
        neighbour.idle_since = now
        for feed in self.feeds_of(group):
            feed.gone(neighbour, now)
        circle = self.circles.get(group)
        if circle is not None and not circle.active:
            self.meeting.lost(group, now)

    def blame(self, neighbour: Neighbour, points: float, now: float) -> None:
        """It did what it should not."""
        self.standing.nuisance(neighbour, points, now)

    def promised(self, neighbour: Neighbour, points: float, now: float) -> None:
        """It kept a promise, or broke one."""
        self.standing.promised(neighbour, points, now)

    # --- what they say

    def accept(self, by: Neighbour, message: MeshMessage, now: float) -> None:
        """A message of a neighbour; who is left alone is not listened to."""
        self.now = now
        if self.neighbours.get(by.node) is not by:
            self.counters.not_listened_to += 1
            return
        self.contacts.teller = by.node
        try:
            self._accepts[type(message)](by, message, now)
        finally:
            self.contacts.teller = 0

    def _accept_have(self, by: Neighbour, have: Have, now: float) -> None:
        self.counters.haves += 1
        for held in self._allowed(by, have, now):
            if self.neighbours.get(by.node) is not by:
                return  # what it has said of the one before was too much
            feed = self._feed_of(held.stream, by, now)
            if feed is None:
                continue
            if self._is_stolen(feed, held.highest):
                self.counters.stolen += 1
                self.blame(by, STOLEN, now)
            else:
                feed.accept_held(by, held, now)

    def _allowed(self, by: Neighbour, have: Have, now: float) -> list[Held]:
        """What of it is within the bounds: it may have more streams to tell of than this node follows."""
        known: list[Held] = []
        new: list[Held] = []
        for held in have.streams:
            (known if self._knows(held.stream) else new).append(held)
        is_flood = False
        if known and not by.allowance.may_tell(now, len(self.feeds)):
            known, is_flood = [], not new
        if new and not by.allowance.may_tell_of_new(now, FEEDS_MAX):
            new, is_flood = [], True
        if not known and not new:
            self.counters.haves_over_bound += 1
        if is_flood:
            self.blame(by, FLOOD, now)
        return known + new

    def _knows(self, stream: StreamKey | int) -> bool:
        return stream in self.by_digest if isinstance(stream, int) else stream in self.feeds

    def _is_stolen(self, feed: Feed, highest: int) -> bool:
        """Does somebody have more of it than this node, which sends it, has numbered?  What it sent before it
        was started anew others may have."""
        is_ours = feed.ours and feed.key.origin >> ORIGIN_BITS == self.node >> ORIGIN_BITS
        if not is_ours or feed.top < 0 or not ahead(highest, feed.top):
            return False
        registered = self.registering.last(feed.key)
        return registered is None or ahead(highest, registered)

    def _feed_of(self, stream: StreamKey | int, by: Neighbour, now: float) -> Feed | None:
        if isinstance(stream, int):
            return self.by_digest.get(stream)
        return self.feeds.get(stream) or self._new_feed(stream, by, now)

    def _accept_nack(self, by: Neighbour, nack: Nack, now: float) -> None:
        self.counters.nacks += 1
        feed = self.feeds.get(nack.stream)
        if feed and self._may_ask(by, now):
            feed.accept_nack(by, nack.missing, now)

    def _accept_graft(self, by: Neighbour, graft: Graft, now: float) -> None:
        feed = self.feeds.get(graft.stream)
        if not self._may_ask(by, now):
            by.say(Prune(graft.stream, Refusal.CONGESTED, (), BUSY_BACK_OFF), now)
        elif feed:
            feed.accept_graft(by, graft, now)
        else:
            self.counters.unknown_streams += 1
            by.say(Prune(graft.stream, Refusal.NO_DATA, (), UNKNOWN_BACK_OFF), now)

    def _may_ask(self, by: Neighbour, now: float) -> bool:
        """May it ask for packets of a stream once more?"""
        streams = len(self.feeds)
        if by.allowance.may_ask(now, streams):
            return True
        self.counters.nacks_over_bound += 1
        if not by.allowance.may_ask_in_vain(now, streams):
            self.blame(by, FLOOD, now)
        return False

    def _accept_prune(self, by: Neighbour, prune: Prune, now: float) -> None:
        feed = self.feeds.get(prune.stream)
        if not self.standing.is_believed(by, now):
            prune = prune._replace(alternatives=())
        if feed:
            feed.accept_prune(by, prune, now)

    def _accept_peers(self, by: Neighbour, peers: Peers, now: float) -> None:
        circle = self.circles.get(peers.group)
        is_awaited = circle is not None and circle.awaits(by, peers)
        if not is_awaited and not self._may_say(by, by.peers, by.share, now):
            return
        for sample in peers.samples[:2]:  # where its own is, if anywhere
            if sample.node == by.node:
                by.sample = by.sample._replace(place=sample.place)
        peers = peers._replace(samples=tuple(self._as_seen(each) for each in peers.samples))
        if circle:
            circle.accept(by, peers, now)
        elif peers.samples:
            by.say(Peers(peers.group, int(Kind.NEIGHBOUR_NO)), now)

    def _may_say(self, by: Neighbour, bound: Bound, amount: float, now: float) -> bool:
        """Is it within the bound?  What is over it is counted, and a flood is held against who sends it."""
        if bound.allows(now, amount):
            return True
        self.counters.peers_over_bound += 1
        if bound.is_flooded(now, amount):
            self.blame(by, FLOOD, now)
        return False

    def _as_seen(self, sample: Sample) -> Sample:
        """Of a neighbour what is known at first hand counts: it does not know where others see it."""
        neighbour = self.neighbours.get(sample.node)
        return sample if neighbour is None else neighbour.sample

    def _accept_find(self, by: Neighbour, find: Find, now: float) -> None:
        self.counters.finds += 1
        counts = 1.0 if self.settings.relay else FIND_ELSEWHERE
        if not self.meeting.is_awaited(by, find, now) and not self._may_say(by, by.finds, counts, now):
            return
        by.idle_since = now
        self.meeting.accept(by, find, now)

    # --- streams

    def _new_feed(self, key: StreamKey, by: Neighbour, now: float) -> Feed | None:
        """A stream that this node has not heard of."""
        if key.group not in self.circles:
            self.counters.unknown_streams += 1
            return None
        has_room = len(self.feeds) < FEEDS_MAX and by.unheard < UNHEARD_MAX
        if not has_room or not by.streams.allows(now):
            self.counters.streams_over_bound += 1
            return None
        feed = self._enter(Feed(key, self, now))
        feed.told_by(by)
        feed.wanted = self.wants(key)
        return feed

    def _enter(self, feed: Feed) -> Feed:
        self.feeds[feed.key] = self.by_digest[feed.digest] = feed
        self._by_group.setdefault(feed.key.group, {})[feed.key] = feed
        self.contacts.looks_for(feed.key.origin)
        self.wake(feed.due)
        return feed

    def _forget(self, key: StreamKey) -> None:
        feed = self.feeds.pop(key)
        feed.ended()
        self.by_digest.pop(feed.digest, None)
        of_group = self._by_group[key.group]
        del of_group[key]
        if not of_group:
            del self._by_group[key.group]
        self.contacts.looks_no_more_for(key.origin)
        self.registering.forget(key)
        self.around.forgot(key)
        self.slots.changed()

    def feed_for(self, key: StreamKey, by: Neighbour, now: float) -> Feed | None:
        """The feed of a packet that came over the link; who sends what is not known is told."""
        self.now = now
        if self.neighbours.get(by.node) is not by:
            self.counters.not_listened_to += 1
            return None
        feed = self.feeds.get(key) or self._new_feed(key, by, now)
        if feed is None:
            by.say(Prune(key), now)
        return feed

    def begin(self, key: StreamKey, now: float) -> Feed | None:
        """A stream begins here, and is to be registered or planted.  None: there are too many, and it stays
        here."""
        self.now = now
        if not self.has_room():
            self.counters.streams_over_bound += 1
            self.tell(Limit(TOO_MANY_STREAMS))
            return None
        if not self.join(key.group, now):
            return None
        if len(self.feeds) >= FEEDS_MAX and (unheard := self._unheard()):
            self._forget(unheard.key)
        return self._enter(Feed(key, self, now, ours=True))

    def plant(self, feed: Feed, now: float) -> None:
        """A stream that begins here has a tree of its own from now on: as many neighbours as there is room
        for get it unasked."""
        feed.is_alone = True
        circle = self.circles.get(feed.key.group)
        pool = list(circle.active) if circle else []
        self.rng.shuffle(pool)
        pool.sort(key=lambda each: -weight_of(each.sample))
        for neighbour in pool:
            if self.slots.free(feed) <= 0:
                break
            feed.adopt(neighbour)

    def has_room(self) -> bool:
        """For one more stream that begins here?"""
        return len(self.feeds) < FEEDS_MAX or self._unheard() is not None

    def _unheard(self) -> Feed | None:
        """One that was only told of, and gives its place to what begins here."""
        return next((feed for feed in self.feeds.values() if feed.top < 0 and not feed.ours), None)

    def announce(self, feed: Feed, sequence: int, by: Neighbour | None, now: float) -> None:
        """A beacon packet is here."""
        self.announcer.beacon(feed, sequence, by, now)

    def started(self, feed: Feed, by: Neighbour | None, now: float) -> None:
        """The first packet of a stream is here."""
        self.announcer.started(feed, by, now)

    def search(self, group: int, now: float) -> None:
        circle = self.circles.get(group)
        if circle:
            self.counters.searches += 1
            circle.search(now)

    @staticmethod
    def _resends_of(uplink: float) -> Bucket:
        rate = max(RESENT_LEAST, uplink * 125 * RESENT_SHARE)
        return Bucket(rate, rate)

    def may_resend(self, size: float, now: float, ours: bool = True) -> bool:
        """`ours`: of what comes into the mesh at this node."""
        return (self._own_resends if ours else self._resends).allows(now, size)

    def kept_most(self, mean: float) -> int:
        """Packets of this mean size that one stream may keep."""
        share = min(KEPT_BYTES, KEPT_BYTES_ALL / max(1, len(self.feeds)))
        return int(share / max(64.0, mean or PACKET_BYTES))

    # --- time

    def reconfigure(self, settings: Settings, now: float) -> None:
        """How many parents streams have from now on, and for how long, and whether this node can be dialled;
        all else is as it was."""
        feeds, groups, rotate, nat = settings.feeds, settings.feeds_groups, settings.rotate, settings.nat
        self.settings = self.settings._replace(feeds=feeds, feeds_groups=groups, rotate=rotate, nat=nat)
        for feed in self.feeds.values():
            feed.wake(now)

    def wake(self, at: float) -> None:
        at = max(at, self._rests_until)
        if at < self._deadline:
            self._deadline = at
            self.around.wake(at)

    def deadline(self) -> float:
        return self._deadline

    def tick(self, now: float) -> None:
        self.now = now
        self._deadline = NEVER
        many = len(self.feeds) + len(self.circles) - FEW
        self._rests_until = now + min(REST_MOST, max(0, many) * REST_EACH)
        for feed in list(self.feeds.values()):
            if feed.due <= now:
                feed.tick(now)
        for circle in list(self.circles.values()):
            if circle.due <= now:
                circle.tick(now)
        if self.meeting.due <= now:
            self.meeting.tick(now)
        if self.announcer.due <= now:
            self.announcer.tick(now)
        if self.registering.due <= now:
            self.registering.tick(now)
        if self._tidy_at <= now:
            self._tidy(now)
        due = min(self.announcer.due, self._tidy_at, self.meeting.due, self.registering.due)
        for feed in self.feeds.values():
            due = min(due, feed.due)
        for circle in self.circles.values():
            due = min(due, circle.due)
        self._deadline = max(due, self._rests_until)

    def _tidy(self, now: float) -> None:
        """Links without use, and streams that have ended; and one more look where we are."""
        self._tidy_at = now + TIDY
        self._serve_no_more(now)
        self.rendezvous.tidy(now)
        self.standing.tidy(now)
        self.call_back.tidy(now)
        if self.neighbours:
            one = self.rng.choice(list(self.neighbours.values()))
            if one.wire.rtt is not None:
                self.whereabouts.measured(one.wire.rtt, one.sample.place)
        for neighbour in list(self.neighbours.values()):
            if neighbour.circles or not neighbour.dialled or now < neighbour.kept_until:
                continue
            if now - neighbour.idle_since > IDLE:
                neighbour.wire.hang_up("nothing goes over it any more", now)
        for key in [key for key, feed in self.feeds.items() if self._is_over(feed, now)]:
            self._forget(key)

    def _is_over(self, feed: Feed, now: float) -> bool:
        return now - feed.moved_at > (FORGET if feed.top >= 0 or feed.ours else FORGET_UNHEARD)
