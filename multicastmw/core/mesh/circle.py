"""Who is whose neighbour in one group (HyParView's two views; near links by round trip, as X-BOT has them).

    active   neighbours, linked: half of them random (so that the group stays one piece, whatever dies), half
             near, and more that chose us
    passive  members that are known of, not linked: whom to ask when a neighbour is gone

Both are drawn in proportion to what a member can carry, or a group in which many give nothing strands some.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from multicastmw.core.mesh.neighbour import Neighbour, links_most, weight_of
from multicastmw.core.mesh.settings import (
    FIRST_PROBES,
    FORWARD_TTL,
    NAT_SHARE,
    NEAR,
    NEIGHBOUR_TIMEOUT,
    OWN,
    PASSIVE,
    PASSIVE_AGE,
    PASSIVE_TTL,
    PROBE,
    PROBES,
    SHUFFLE,
    SHUFFLE_ACTIVE,
    SHUFFLE_PASSIVE,
    SHUFFLE_TTL,
    WALKERS,
)
from multicastmw.wire.mesh import BASE, About, Kind, Peers, Sample

if TYPE_CHECKING:
    from multicastmw.core.mesh.mesh import Mesh

NAT = int(About.NAT)

# What we chose.
TRIALS, TRIAL = 4, 6.0  # neighbours on trial at a time, and seconds that each has
PROBE_SOON = 6.0  # seconds between probes while ways are longer than they might be
PARENTS = 2  # that are named to who asks, and asked
ASKED_NEAR = 3  # of these one
CLOSE = 24  # who seem to be near and were not measured
JOINS = 2  # neighbours that a newcomer asks to spread the news of it
SPARE = 4  # links that are taken beyond the most, from who asks urgently
BASE_ACTIVE = 3  # links of the overlay of all nodes, which are mostly those of groups
WALKS_MAX = 256  # shuffles under way that this node would lead back
SEARCH_REST, SEARCHED = 0.3, 3
NEVER = float("inf")


class Circle:
    """One group's members, as this node knows them."""

    def __init__(self, group: int, mesh: "Mesh", now: float) -> None:
        self.group = group
        self.active: dict[Neighbour, bool] = {}  # True: chosen for being near
        self.passive: dict[int, tuple[Sample, float]] = {}
        self.wants = OWN if group != BASE else BASE_ACTIVE
        self.due = now
        self._mesh = mesh
        self._asked: dict[int, float] = {}  # whom we asked to be a neighbour, until
        self._distances: dict[int, float] = {}
        self._walks: dict[int, Neighbour] = {}  # shuffles by whose they are, and where they came from
        self._fill_at = now
        self._shuffle_at = now + SHUFFLE * mesh.rng.uniform(0.3, 1.0)
        self._first_probes = [now + after for after in FIRST_PROBES] if group != BASE else []
        self._probe_at = self._first_probes.pop(0) if self._first_probes else NEVER
        self._judge_at = NEVER
        self._search_at = now
        self._joins_left = JOINS
        self._near_asked: set[int] = set()
        self._close: dict[int, tuple[Sample, float]] = {}  # and seconds, as far as can be told
        self._hints: dict[int, Sample] = {}  # parents of our parents
        self._trials: dict[Neighbour, float] = {}  # neighbours that may turn out to be good ones, until

    # --- knowing of members

    def learn(self, samples: Iterable[Sample], now: float) -> None:
        """Members that somebody else knows."""
        mesh = self._mesh
        for sample in samples:
            node = sample.node
            if node == mesh.node or sample.age > PASSIVE_AGE:
                continue
            mesh.heard_of(sample, now)
            known = mesh.neighbours.get(node)
            if known is not None and sample.age == 0:
                known.sample = sample
            if any(neighbour.node == node for neighbour in self.active):
                continue
            self.passive[node] = sample, now - sample.age
            self._is_close(sample)
        while len(self.passive) > PASSIVE:
            victim = mesh.rng.choice(list(self.passive))
            del self.passive[victim]

    def _is_close(self, sample: Sample) -> None:
        """Those who seem to be on the way are remembered apart, where they carry something for others."""
        if sample.flags & NAT or sample.node in self._distances or weight_of(sample) < 1:
            return
        self._close[sample.node] = (
            sample,
            self._mesh.detour(self.group, sample.place, self._mesh.whereabouts.place),
        )
        if len(self._close) > CLOSE:
            del self._close[max(self._close, key=lambda node: self._close[node][1])]

    def forget(self, node: int) -> None:
        """It is not there."""
        self.passive.pop(node, None)
        self._asked.pop(node, None)
        self._near_asked.discard(node)
        self._close.pop(node, None)
        self._distances.pop(node, None)
        self._fill_soon(self._mesh.now)

    def samples(self, most: int, now: float, besides: int = 0) -> tuple[Sample, ...]:
        """Some members, the neighbours among them."""
        known = [neighbour.sample for neighbour in self.active if neighbour.node != besides]
        known += [
            sample._replace(age=int(now - at))
            for sample, at in self.passive.values()
            if sample.node != besides
        ]
        self._mesh.rng.shuffle(known)
        return tuple(known[:most])

    def _draw(self, how_many: int, besides: set[int], *, able: bool = False) -> list[Sample]:
        """Passive members, in proportion to what they can carry."""
        pool = [
            sample
            for node, (sample, _) in self.passive.items()
            if node not in besides and not sample.flags & NAT
        ]
        if able:
            pool = [sample for sample in pool if weight_of(sample) >= 1] or pool
        drawn: list[Sample] = []
        weights = [weight_of(sample) for sample in pool]
        while pool and len(drawn) < how_many:
            (at,) = self._mesh.rng.choices(range(len(pool)), weights)
            drawn.append(pool.pop(at))
            weights.pop(at)
        return drawn

    # --- neighbours

    def _has_room(self, urgent: bool, is_nat: bool) -> bool:
        most = links_most(self._mesh.capacity)
        if not is_nat and not self._mesh.settings.nat and len(self.active) >= most - most // NAT_SHARE:
            # what is kept for those whom nobody can dial is lent while there are none
            natted = sum(neighbour.is_nat for neighbour in self.active)
            if natted and len(self.active) - natted >= most - most // NAT_SHARE:
                return urgent
        return len(self.active) < most + (SPARE if urgent else 0)

    def enter(self, neighbour: Neighbour, now: float, near: bool = False) -> None:
        """It is an active neighbour from now on."""
        if neighbour in self.active:
            return
        self.active[neighbour] = near
        self._asked.pop(neighbour.node, None)
        self.passive.pop(neighbour.node, None)
        neighbour.circles.add(self.group)
        self._mesh.entered(self.group, neighbour, now)

    def leave(self, neighbour: Neighbour, now: float) -> None:
        """It is one no more; it may be known of still."""
        if self.active.pop(neighbour, None) is None:
            return
        self._trials.pop(neighbour, None)
        neighbour.circles.discard(self.group)
        self._mesh.left(self.group, neighbour, now)
        self._fill_soon(now)

    def gone(self, neighbour: Neighbour, now: float) -> None:
        """Its link is no more."""
        self._asked.pop(neighbour.node, None)
        self.passive.pop(neighbour.node, None)
        self._walks = {node: back for node, back in self._walks.items() if back is not neighbour}
        self.leave(neighbour, now)

    def _fill_soon(self, now: float) -> None:
        if len(self.active) < self.wants and self._fill_at > now:
            self._fill_at = now
            self._wake(now)

    def _wake(self, at: float) -> None:
        if at < self.due:
            self.due = at
            self._mesh.wake(at)

    def ask(self, neighbour: Neighbour, urgent: bool, now: float) -> None:
        """Be my neighbour; the first two that a newcomer asks spread the news of it."""
        if neighbour in self.active:
            return
        self._asked[neighbour.node] = now + NEIGHBOUR_TIMEOUT + 2 * neighbour.rtt
        kind = Kind.NEIGHBOUR
        if self._joins_left > 0:
            self._joins_left -= 1
            kind = Kind.JOIN
        neighbour.say(Peers(self.group, kind, int(urgent), (self._mesh.sample(),)), now)

    def fill(self, now: float) -> None:
        """Asks as many as are missing."""
        self._asked = {node: until for node, until in self._asked.items() if until > now}
        missing = self.wants - len(self.active) - len(self._asked)
        if missing <= 0:
            return
        besides = set(self._asked)
        urgent = not self.active
        linked = [sample for node, (sample, _) in self.passive.items() if node in self._mesh.neighbours]
        chosen = [sample for sample in linked if sample.node not in besides][:missing]
        besides |= {sample.node for sample in chosen}
        chosen += self._draw(missing - len(chosen), besides)
        for sample in chosen:
            self._asked[sample.node] = now + 4.0
            self._mesh.reach(sample, self.group, "urgent" if urgent else "neighbour", now)

    def search(self, now: float) -> None:
        """Looks for members who have room, beyond the neighbours."""
        if now < self._search_at:
            return
        self._search_at = now + SEARCH_REST
        for sample in self._draw(SEARCHED, set(self._asked), able=True):
            self._asked[sample.node] = now + 2.0
            self._mesh.reach(sample, self.group, "urgent", now)
        if not self.passive:
            self._mesh.meet(self.group, now)

    # --- what they say

    def accept(self, by: Neighbour, peers: Peers, now: float) -> None:
        kind, ttl, samples = peers.kind, peers.ttl, peers.samples
        if kind in (Kind.NEIGHBOUR, Kind.JOIN):
            self._accept_ask(by, kind, bool(ttl), now)
        elif kind == Kind.NEIGHBOUR_NO:
            self._asked.pop(by.node, None)
            self._near_asked.discard(by.node)
            self.learn(samples, now)
            self.leave(by, now)
            self._fill_at = min(self._fill_at, now + 0.5)
            self._wake(self._fill_at)
        elif kind == Kind.DISCONNECT:
            self.leave(by, now)
            self.learn((by.sample,), now)
        elif kind == Kind.FORWARD_JOIN and samples:
            self._walk_join(by, samples[0], ttl, now)
        elif kind == Kind.SHUFFLE and samples:
            self._walk_shuffle(by, peers, now)
        elif kind == Kind.SHUFFLE_REPLY and samples:
            self._accept_reply(by, samples, now)

    def _accept_ask(self, by: Neighbour, kind: int, urgent: bool, now: float) -> None:
        if by in self.active:
            return
        asked = by.node in self._asked
        if not asked and not self._has_room(urgent or kind == Kind.JOIN, by.is_nat):
            self.learn((by.sample,), now)
            by.say(Peers(self.group, Kind.NEIGHBOUR_NO, 0, self.samples(3, now, by.node)), now)
            return
        near = by.node in self._near_asked
        self.enter(by, now, near)
        if near:
            self._near_asked.discard(by.node)
            self._try(by, now)
        if not asked or kind == Kind.JOIN:
            by.say(Peers(self.group, Kind.NEIGHBOUR), now)
        if kind == Kind.JOIN:
            others = [neighbour for neighbour in self.active if neighbour is not by]
            self._mesh.rng.shuffle(others)
            for other in others[:WALKERS]:
                other.say(Peers(self.group, Kind.FORWARD_JOIN, FORWARD_TTL, (by.sample,)), now)

    def _walk_join(self, by: Neighbour, newcomer: Sample, ttl: int, now: float) -> None:
        if newcomer.node == self._mesh.node:
            return
        others = [each for each in self.active if each is not by and each.node != newcomer.node]
        if ttl <= 0 or not others:
            if len(self.active) < self.wants:
                self._mesh.reach(newcomer, self.group, "neighbour", now)
            else:
                self.learn((newcomer,), now)
            return
        if ttl == PASSIVE_TTL:
            self.learn((newcomer,), now)
        step = min(ttl, FORWARD_TTL) - 1
        self._mesh.rng.choice(others).say(Peers(self.group, Kind.FORWARD_JOIN, step, (newcomer,)), now)

    # --- shuffles: views are mixed with those of somebody six steps away

    def _shuffle(self, now: float) -> None:
        rest = SHUFFLE * (2 if self.group == BASE else 1)
        self._shuffle_at = now + rest * self._mesh.rng.uniform(0.9, 1.1)
        horizon = now - PASSIVE_AGE
        self.passive = {node: known for node, known in self.passive.items() if known[1] > horizon}
        if not self.active:
            return
        first = self._mesh.rng.choice(list(self.active))
        first.say(Peers(self.group, Kind.SHUFFLE, SHUFFLE_TTL, self._some(now, first)), now)

    def _some(self, now: float, besides: Neighbour) -> tuple[Sample, ...]:
        active = [neighbour.sample for neighbour in self.active if neighbour is not besides]
        passive = [sample._replace(age=int(now - at)) for sample, at in self.passive.values()]
        rng = self._mesh.rng
        return (
            self._mesh.sample(),
            *rng.sample(active, min(SHUFFLE_ACTIVE, len(active))),
            *rng.sample(passive, min(SHUFFLE_PASSIVE, len(passive))),
        )

    def _near_to(self, asker: Sample, now: float) -> tuple[Sample, ...]:
        """Whom this node knows nearest to somebody: so neighbours of neighbours lead ever nearer (T-Man)."""
        known = {neighbour.node: neighbour.sample for neighbour in self.active}
        known |= {node: sample._replace(age=int(now - at)) for node, (sample, at) in self.passive.items()}
        known |= {node: sample for node, (sample, _) in self._close.items()}
        known.pop(asker.node, None)
        able = [sample for sample in known.values() if weight_of(sample) >= 1 and not sample.flags & NAT]
        able.sort(key=lambda sample: self._mesh.detour(self.group, sample.place, asker.place))
        above = [parent.sample for parent in self._mesh.parents(self.group) if not parent.is_nat][:PARENTS]
        above += self._mesh.origins_of(self.group)[:1]
        return (self._mesh.sample(), *above, *able[: SHUFFLE_ACTIVE + SHUFFLE_PASSIVE + 2 - len(above)])

    def _ask_near(self, now: float) -> None:
        """One of the nearest neighbours is asked whom it knows hereabouts."""
        nearest = sorted(self.active, key=lambda each: each.rtt)[:ASKED_NEAR]
        mine = (self._mesh.sample(),)
        asked = self._mesh.parents(self.group)[:PARENTS]
        if nearest:
            asked.append(self._mesh.rng.choice(nearest))
        for neighbour in dict.fromkeys(asked):
            neighbour.say(Peers(self.group, Kind.SHUFFLE, 1, mine), now)

    def _walk_shuffle(self, by: Neighbour, peers: Peers, now: float) -> None:
        asker = peers.samples[0]
        others = [each for each in self.active if each is not by and each.node != asker.node]
        ttl = min(peers.ttl, SHUFFLE_TTL) - 1
        if ttl > 0 and others:
            while len(self._walks) >= WALKS_MAX:
                del self._walks[next(iter(self._walks))]
            self._walks[asker.node] = by
            self._mesh.rng.choice(others).say(peers._replace(ttl=ttl), now)
            return
        mine = self._near_to(asker, now) if by.node == asker.node else self._some(now, by)
        by.say(Peers(self.group, Kind.SHUFFLE_REPLY, SHUFFLE_TTL, (asker, *mine)), now)
        self.learn(peers.samples, now)

    def _accept_reply(self, by: Neighbour, samples: tuple[Sample, ...], now: float) -> None:
        asker = samples[0].node
        if asker == self._mesh.node:
            self.learn(samples[1:], now)
            if by in self._mesh.parents(self.group):
                self._hints = {sample.node: sample for sample in samples[2 : 2 + PARENTS]}
        elif back := self._walks.pop(asker, None):
            back.say(Peers(self.group, Kind.SHUFFLE_REPLY, 0, samples), now)

    def _share(self, now: float) -> None:
        """The overlay of all nodes goes over links that are there for groups anyway, but for one."""
        alone = [each for each in self.active if each.circles == {BASE} and each.dialled]
        others = [
            each for each in self._mesh.neighbours.values() if each.circles and BASE not in each.circles
        ]
        for lonely, other in zip(alone[1:], others, strict=False):
            self.ask(other, False, now)
            self._part(lonely, now)

    # --- near links

    def _probe(self, now: float) -> None:
        """How far are some of those whom we know of?"""
        if self._first_probes:
            self._probe_at = self._first_probes.pop(0)
        else:
            rest = PROBE if self._mesh.is_straight(self.group) else PROBE_SOON
            self._probe_at = now + rest * self._mesh.rng.uniform(0.9, 1.1)
        self._ask_near(now)
        here = self._mesh.whereabouts.place
        close = sorted(
            (sample for sample, _ in self._close.values()),
            key=lambda each: self._mesh.detour(self.group, each.place, here),
        )
        linked = {neighbour.node for neighbour in self.active}
        hints = [sample for node, sample in self._hints.items() if node not in linked]
        self._hints = {}
        chosen = (hints + [sample for sample in close if sample.node not in linked])[: PROBES - 1]
        unknown = set(self._asked) | set(self._distances) | {sample.node for sample in chosen}
        for sample in (*chosen, *self._draw(PROBES - len(chosen), unknown)):
            self._close.pop(sample.node, None)
            self._mesh.reach(sample, self.group, "probe", now)

    def measured(self, neighbour: Neighbour, now: float) -> None:
        """A link that was opened to see how far it is."""
        if neighbour in self.active:
            return
        self._distances[neighbour.node] = neighbour.rtt
        if len(self._distances) > 2 * PASSIVE:
            del self._distances[next(iter(self._distances))]
        if len(self._trials) + len(self._near_asked) < TRIALS:
            self._near_asked.add(neighbour.node)
            self.ask(neighbour, False, now)

    def _try(self, neighbour: Neighbour, now: float) -> None:
        """One came that may be good: after some beacons it will be seen."""
        self._trials[neighbour] = now + TRIAL
        neighbour.say(Peers(self.group, Kind.SHUFFLE, 1, (self._mesh.sample(),)), now)
        self._judge_at = min(self._judge_at, now + TRIAL)
        self._wake(self._judge_at)

    def _judge(self, now: float) -> None:
        """Of those who were chosen for the way through them the best stay."""
        self._near_asked &= set(self._asked)
        self._trials = {each: until for each, until in self._trials.items() if until > now}
        self._judge_at = min(self._trials.values(), default=NEVER)
        merit = self._mesh.merits(self.group)
        near = sorted((each for each, is_near in self.active.items() if is_near), key=merit)
        for worst in near[NEAR + len(self._trials) :]:
            if worst not in self._trials and not self._mesh.in_use(self.group, worst):
                self._part(worst, now)
        others = [each for each, is_near in self.active.items() if not is_near]
        if len(others) > self.wants - NEAR and len(self.active) > self.wants:
            idle = [each for each in others if each.dialled and not self._mesh.in_use(self.group, each)]
            if idle:
                self._part(max(idle, key=merit), now)

    def _part(self, neighbour: Neighbour, now: float) -> None:
        neighbour.say(Peers(self.group, Kind.DISCONNECT), now)
        self.leave(neighbour, now)
        self.learn((neighbour.sample,), now)

    def remix(self, samples: tuple[Sample, ...], now: float) -> None:
        """One random link is replaced by one to a member from elsewhere: so two halves find each other."""
        known = {neighbour.node for neighbour in self.active} | {self._mesh.node}
        strangers = [each for each in samples if each.node not in known and not each.flags & NAT]
        if not strangers:
            return
        self._mesh.reach(self._mesh.rng.choice(strangers), self.group, "neighbour", now)
        idle = [
            each for each, near in self.active.items()
            if not near and each.dialled and not self._mesh.in_use(self.group, each)
        ]  # fmt: skip
        if idle and len(self.active) >= self.wants:
            self._part(self._mesh.rng.choice(idle), now)

    # --- time

    def tick(self, now: float) -> None:
        if now >= self._fill_at:
            self._fill_at = now + 1.0 if len(self.active) < self.wants else NEVER
            if len(self.active) < self.wants:
                self.fill(now)
        if now >= self._shuffle_at:
            self._shuffle(now)
            if self.group == BASE:
                self._share(now)
        if now >= self._probe_at:
            self._probe(now)
        if now >= self._judge_at:
            self._judge(now)
        self.due = min(self._fill_at, self._shuffle_at, self._probe_at, self._judge_at)
