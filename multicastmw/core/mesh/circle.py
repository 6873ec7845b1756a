"""Who is whose neighbour in one group (HyParView's two views; near links by round trip, as X-BOT has them).

    active   neighbours, linked: half of them random (so that the group stays one piece, whatever dies), half
             near, and more that chose us
    passive  members that are known of, not linked: whom to ask when a neighbour is gone

Both are drawn in proportion to what a member can carry, or a group in which many give nothing strands some.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from multicastmw.core.crowds import crowd
from multicastmw.core.mesh.near import Near
from multicastmw.core.mesh.neighbour import Choice, Neighbour, links_most, weight_of
from multicastmw.core.mesh.settings import NAT_SHARE, NEIGHBOUR_TIMEOUT, OUTBOUND, OWN, PASSIVE, PASSIVE_AGE
from multicastmw.core.mesh.walks import Walks
from multicastmw.core.mesh.ways import Ways
from multicastmw.wire.mesh import BASE, About, Kind, Peers, Sample

if TYPE_CHECKING:
    from multicastmw.core.mesh.mesh import Mesh

NAT = int(About.NAT)

# What we chose.
JOINS = 2  # neighbours that a newcomer asks to spread the news of it
SPARE = 4  # links that are taken beyond the most, from who asks urgently
BASE_ACTIVE = 3  # links of the overlay of all nodes, which are mostly those of groups
SHARE = 10.0  # seconds between two looks whether the overlay of all nodes needs links of its own
REFUSED_REST = 3.0  # seconds
TRUE_FOR = 30  # seconds: who tells of members as young as that has to know them
ROOM_REST = 1.0  # seconds between two neighbours who have to go for others: as long as a trial takes
SAMPLES_TAKEN = 16  # of one message: what somebody says does not replace all that is known
SEARCH_REST, SEARCHED = 0.3, 3
ASKED, ASKED_SEARCHING = 4.0, 2.0  # seconds that who is dialled has for its answer
NAMED = 48  # of the members that relays have named, the last: three answers
WALKS = Kind.FORWARD_JOIN, Kind.SHUFFLE  # which go from neighbour to neighbour
NEVER = float("inf")

Known = dict[int, tuple[Sample, float]]  # members, and when that was true of them


class Circle:
    """One group's members, as this node knows them."""

    def __init__(self, group: int, mesh: "Mesh", now: float) -> None:
        self.group = group
        self.active: dict[Neighbour, Choice] = {}
        self.passive: Known = {}
        self.wants = OWN if group != BASE else BASE_ACTIVE
        self.due = now
        self._mesh = mesh
        self._named: Known = {}  # members that a relay has named, as they registered there
        self._asked: dict[int, float] = {}  # whom we asked to be a neighbour, until
        self._refused: dict[int, float] = {}  # who had no room for us, and is not asked again until
        self._fresh = 0  # the node that was asked last to be a random neighbour besides those that there are
        self._fill_at = now
        self._search_at = self._room_at = now
        self._share_at = now + SHARE * mesh.rng.uniform(0.5, 1.0) if group == BASE else NEVER
        self._joins_left = JOINS
        self.ways = Ways(group, mesh)
        self.near = Near(self, mesh, now)
        self.walks = Walks(self, mesh, now)

    # --- knowing of members

    def learn(self, samples: Iterable[Sample], now: float, by: Neighbour | None = None) -> None:
        """Members that somebody else knows; `by`: who says so in his own name."""
        mesh = self._mesh
        if by is not None:
            samples = list(samples)
            mesh.call_back.told(samples, by)
        linked = {neighbour.node for neighbour in self.active}
        new = []
        for sample in samples:
            node = sample.node
            if node == mesh.node or sample.age > PASSIVE_AGE or mesh.contacts.is_excluded(node, now):
                continue
            mesh.contacts.heard_of(sample)
            if node not in linked:
                self.passive[node] = sample, now - sample.age
                new.append(sample)
                if by is not None and sample.age <= TRUE_FOR and node != by.node:
                    mesh.standing.told(node, by)
        self.near.heard_of(new)
        while len(self.passive) > PASSIVE:
            del self.passive[mesh.rng.choice(list(self.passive))]

    def named(self, samples: tuple[Sample, ...], now: float) -> None:
        """Members that a relay has answered with: they are remembered besides, as neighbours may tell of so
        many that none of them stays among the passive ones."""
        for sample in samples:
            self._named.pop(sample.node, None)
            if sample.node != self._mesh.node:
                self._named[sample.node] = sample, now - sample.age
        while len(self._named) > NAMED:
            del self._named[next(iter(self._named))]
        self.learn(samples, now)

    def whom_it_asked(self, now: float) -> set[int]:
        """To be neighbours, and no answer yet, or a refusal a moment ago."""
        self._refused = {node: until for node, until in self._refused.items() if until > now}
        self._asked = {node: until for node, until in self._asked.items() if until > now}
        return {*self._asked, *self._refused}

    def forget(self, node: int) -> None:
        """It is not there."""
        self.passive.pop(node, None)
        self._named.pop(node, None)
        self._asked.pop(node, None)
        self.near.forget(node)
        self._fill_soon(self._mesh.now)

    def samples(self, most: int, now: float, besides: int = 0) -> tuple[Sample, ...]:
        """Some members, the neighbours among them."""
        known = [(neighbour.sample, now) for neighbour in self.active if neighbour.node != besides]
        known += [known for node, known in self.passive.items() if node != besides]
        drawn = self._mesh.rng.sample(known, min(most, len(known)))
        return tuple(sample._replace(age=int(now - at)) for sample, at in drawn)

    def _choose(self, how_many: int, besides: set[int], *, able: bool = False) -> list[Sample]:
        """Who has no neighbour takes those first whom a relay has named: of whom others tell may not be."""
        named: list[Sample] = []
        if not self.active:
            named = self.draw(how_many, besides, able=able, of=self._named)
            besides = besides | {sample.node for sample in named}
        return named + self.draw(how_many - len(named), besides, able=able)

    def draw(
        self, how_many: int, besides: set[int], *, able: bool = False, of: Known | None = None
    ) -> list[Sample]:
        """Passive members, in proportion to what they can carry; `of`: of these instead."""
        known = self.passive if of is None else of
        pool = [sample for sample, _ in known.values() if self._may_be_asked(sample, besides)]
        if able:
            pool = [sample for sample in pool if weight_of(sample) >= 1] or pool
        drawn: list[Sample] = []
        weights = [weight_of(sample) for sample in pool]
        while pool and len(drawn) < how_many:
            (at,) = self._mesh.rng.choices(range(len(pool)), weights)
            drawn.append(pool.pop(at))
            weights.pop(at)
        return drawn

    def _may_be_asked(self, sample: Sample, besides: set[int]) -> bool:
        """Is it no neighbour, nor one of these, and is there a way to it?"""
        is_linked = self._mesh.neighbours.get(sample.node) in self.active
        return sample.node not in besides and not is_linked and self.can_be_reached(sample)

    def can_be_reached(self, sample: Sample) -> bool:
        """Can it be dialled, or asked to dial?"""
        if self._mesh.contacts.is_excluded(sample.node, self._mesh.now):
            return False
        return not sample.flags & NAT or self._mesh.call_back.is_possible(sample)

    # --- neighbours

    def has_room(self) -> bool:
        """For one more, who need not be one of those whom nobody can dial."""
        return self._has_room(False, False)

    def _has_room(self, urgent: bool, is_nat: bool) -> bool:
        most = links_most(self._mesh.capacity)
        if not is_nat and not self._mesh.settings.nat and len(self.active) >= most - most // NAT_SHARE:
            # what is kept for those whom nobody can dial is lent while there are none
            natted = sum(neighbour.is_nat for neighbour in self.active)
            if natted and len(self.active) - natted >= most - most // NAT_SHARE:
                return urgent
        return len(self.active) < most + (SPARE if urgent else 0)

    def _makes_room(self, by: Neighbour, urgent: bool, now: float) -> bool:
        """A guest has to go: one of many from one network for who comes from elsewhere, or any for who may be
        fed from here.  Our own choice stays, and so does who is there in case that a parent dies."""
        if now < self._room_at:
            return False
        guests = self.chosen(Choice.THEIRS)
        guest = self._one_of_many(guests, by, urgent)
        if guest:
            self._mesh.counters.gave_way += 1
        elif not by.is_nat and self.ways.may_feed(by):
            guest = self._idle_guest(guests)
        if guest is None:
            return False
        self._room_at = now + ROOM_REST
        self.part(guest, now)
        return True

    def _one_of_many(self, guests: list[Neighbour], by: Neighbour, urgent: bool) -> Neighbour | None:
        """The last of them over whom nothing goes; for who has nobody, if need be, one that we feed."""
        many = crowd(guests, lambda each: each.wire.address, by.wire.address)
        go = self.ways.idle(many)
        if urgent and not go:
            needed = self.ways.spares().union(self.ways.parents())
            go = [each for each in many if each not in needed]
        return go[-1] if go else None

    def _idle_guest(self, guests: list[Neighbour]) -> Neighbour | None:
        """The one of those over whom nothing goes that needs us least."""
        idle = self.ways.idle(each for each in guests if not each.is_nat)
        return min(idle, key=lambda each: self.ways.told_before(each) - each.rtt, default=None)

    def chosen(self, choice: Choice) -> list[Neighbour]:
        """Who is a neighbour for that reason."""
        return [each for each, why in self.active.items() if why == choice]

    def enter(self, neighbour: Neighbour, choice: Choice, now: float) -> None:
        """It is an active neighbour from now on."""
        if neighbour in self.active:
            return
        self.active[neighbour] = choice
        self._asked.pop(neighbour.node, None)
        self.passive.pop(neighbour.node, None)
        neighbour.circles.add(self.group)
        self._mesh.entered(self.group, neighbour, now)

    def leave(self, neighbour: Neighbour, now: float) -> None:
        """It is one no more; it may be known of still."""
        if self.active.pop(neighbour, None) is None:
            return
        self.near.left(neighbour)
        neighbour.circles.discard(self.group)
        self._mesh.left(self.group, neighbour, now)
        self._fill_soon(now)

    def gone(self, neighbour: Neighbour, now: float) -> None:
        """Its link is no more."""
        self._asked.pop(neighbour.node, None)
        self.passive.pop(neighbour.node, None)
        if neighbour in self.active:  # else it may only have been of no use
            self._named.pop(neighbour.node, None)
        self.walks.gone(neighbour)
        self.leave(neighbour, now)

    def _fill_soon(self, now: float) -> None:
        if len(self.active) < self.wants and self._fill_at > now:
            self._fill_at = now
            self.wake(now)

    def wake(self, at: float) -> None:
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

    def restate(self, neighbour: Neighbour, now: float) -> None:
        """To one whose link is another one now: what was said over the old one may not have come."""
        neighbour.say(Peers(self.group, Kind.NEIGHBOUR, 0, (self._mesh.sample(),)), now)

    def fill(self, now: float) -> None:
        """Asks as many as are missing."""
        besides = self.whom_it_asked(now)
        urgent = not self.active
        missing = self.wants - len(self.active) - len(self._asked)
        if missing <= 0:
            if urgent:
                self._ask_named(besides, now)
            return
        linked = [sample for node, (sample, _) in self.passive.items() if node in self._mesh.neighbours]
        chosen = [sample for sample in linked if sample.node not in besides][:missing]
        besides |= {sample.node for sample in chosen}
        chosen += self._choose(missing - len(chosen), besides)
        self._reach(chosen, urgent, ASKED, now)

    def _ask_named(self, besides: set[int], now: float) -> None:
        """Members that relays have named, beside others who are being dialled: those may not be there."""
        asked = sum(node in self._named or node in self._mesh.neighbours for node in self._asked)
        self._reach(self.draw(self.wants - asked, besides, of=self._named), True, ASKED, now)

    def _reach(self, chosen: Iterable[Sample], urgent: bool, within: float, now: float) -> None:
        """They are dialled and asked to be neighbours; for so many seconds others are not asked instead."""
        for sample in chosen:
            self._asked[sample.node] = now + within
            self._mesh.contacts.reach(sample, self.group, "urgent" if urgent else "neighbour", now)

    def search(self, now: float) -> None:
        """Looks for members who have room, beyond the neighbours."""
        if now < self._search_at:
            return
        self._search_at = now + SEARCH_REST
        self._reach(self._choose(SEARCHED, self.whom_it_asked(now), able=True), True, ASKED_SEARCHING, now)
        if not self.passive:
            self._mesh.meet(self.group, now)

    # --- what they say

    def awaits(self, by: Neighbour, peers: Peers) -> bool:
        """Is it an answer to what this node asked, or a neighbour's farewell?  Each comes once."""
        if peers.kind == Kind.NEIGHBOUR:
            return by.node in self._asked
        if peers.kind == Kind.NEIGHBOUR_NO:
            return by.node in self._asked or by in self.active
        if peers.kind == Kind.DISCONNECT:
            return by in self.active
        is_reply = peers.kind == Kind.SHUFFLE_REPLY and bool(peers.samples)
        return is_reply and self.walks.awaits(peers.samples[0].node)

    def accept(self, by: Neighbour, peers: Peers, now: float) -> None:
        kind, ttl, samples = peers.kind, peers.ttl, self._heard(by, peers, now)
        if kind in WALKS and by not in self.active and by.node not in self._asked:
            by.say(Peers(self.group, Kind.DISCONNECT), now)  # it takes us for a neighbour: ours was lost
        if kind in (Kind.NEIGHBOUR, Kind.JOIN):
            self._accept_ask(by, peers, now)
        elif kind == Kind.NEIGHBOUR_NO:
            self._asked.pop(by.node, None)
            self._refused[by.node] = now + REFUSED_REST
            self.near.asked.discard(by.node)
            self.learn(samples, now, by)
            self.leave(by, now)
            self._fill_at = min(self._fill_at, now + 0.5)
            self.wake(self._fill_at)
        elif kind == Kind.DISCONNECT:
            self.leave(by, now)
            self.learn((by.sample,), now)
        elif kind == Kind.FORWARD_JOIN and samples:
            self.walks.join(by, samples[0], ttl, now)
        elif kind == Kind.SHUFFLE and samples:
            self.walks.shuffle(by, peers._replace(samples=samples), now)
        elif kind == Kind.SHUFFLE_REPLY and samples:
            self.walks.reply(by, samples, now)
        elif kind == Kind.CONNECT_BACK:
            self._mesh.call_back.accept(by, peers, now)

    def _heard(self, by: Neighbour, peers: Peers, now: float) -> tuple[Sample, ...]:
        """Of whom it speaks: who is not believed only of itself, and of who asked where that is an answer."""
        samples = peers.samples[:SAMPLES_TAKEN]
        if self._mesh.standing.is_believed(by, now):
            return samples
        first = samples[:1]
        return first if peers.kind == Kind.SHUFFLE_REPLY or (first and first[0].node == by.node) else ()

    def _accept_ask(self, by: Neighbour, peers: Peers, now: float) -> None:
        if by in self.active:
            if peers.samples:  # it asks, and does not know it: our answer was lost
                by.say(Peers(self.group, Kind.NEIGHBOUR), now)
            return
        kind = peers.kind
        asked = by.node in self._asked
        urgent = bool(peers.ttl) or kind == Kind.JOIN
        has_room = asked or self._has_room(urgent, by.is_nat)
        if not has_room and not self._makes_room(by, urgent, now):
            self.learn((by.sample,), now)
            by.say(Peers(self.group, Kind.NEIGHBOUR_NO, 0, self.samples(3, now, by.node)), now)
            return
        near = by.node in self.near.asked
        choice = Choice.NEAR if near else Choice.RANDOM if asked else Choice.THEIRS
        self.enter(by, choice, now)
        if near:
            self.near.entered(by, now)
        elif asked and by.node == self._fresh:
            self._make_way(by, now)
        if not asked or kind == Kind.JOIN:
            by.say(Peers(self.group, Kind.NEIGHBOUR), now)
        if kind == Kind.JOIN:
            self.walks.begin(by, now)

    def _share(self, now: float) -> None:
        """The overlay of all nodes goes over links that are there for groups anyway, but for one."""
        alone = [each for each in self.active if each.circles == {BASE} and each.dialled]
        others = [
            each for each in self._mesh.neighbours.values() if each.circles and BASE not in each.circles
        ]
        for lonely, other in zip(alone[1:], others, strict=False):
            self.ask(other, False, now)
            self.part(lonely, now)

    def part(self, neighbour: Neighbour, now: float) -> None:
        neighbour.say(Peers(self.group, Kind.DISCONNECT), now)
        self.leave(neighbour, now)
        self.learn((neighbour.sample,), now)

    # --- random neighbours of our own choice

    def remix(self, samples: tuple[Sample, ...], now: float) -> None:
        """One random link is replaced by one to a member from elsewhere: so two halves find each other."""
        known = {neighbour.node for neighbour in self.active} | {self._mesh.node}
        strangers = [each for each in samples if each.node not in known and not each.flags & NAT]
        if strangers:
            self._refresh(self._mesh.rng.choice(strangers), now)

    def _choose_some(self, now: float) -> None:
        """Some of its neighbours are random ones of its own choice, however many others have chosen it: those
        may all be one stranger's.  Whom a relay has named comes first, whatever it says that it carries."""
        if len(self.chosen(Choice.RANDOM)) >= OUTBOUND:
            return
        besides = self.whom_it_asked(now)
        named = [sample for sample, _ in self._named.values() if self._may_be_asked(sample, besides)]
        for sample in [self._mesh.rng.choice(named)] if named else self.draw(1, besides):
            self._refresh(sample, now)

    def _refresh(self, sample: Sample, now: float) -> None:
        """It is asked to be a neighbour besides; one at a time."""
        if self._asked.get(self._fresh, now) <= now:
            self._fresh = sample.node
            self._reach((sample,), False, ASKED, now)

    def _make_way(self, fresh: Neighbour, now: float) -> None:
        """It came: another random one of our own choice goes, where those others are enough; or one of those
        who have chosen us, where we have more links than we may."""
        self._fresh = 0
        may_go = [each for each in self.superfluous() if each is not fresh]
        goes = None
        if may_go:
            goes = self._mesh.rng.choice(may_go)
        elif len(self.active) > links_most(self._mesh.capacity):
            goes = self._idle_guest(self.chosen(Choice.THEIRS))
        if goes and len(self.active) > self.wants:
            self.part(goes, now)

    def superfluous(self) -> list[Neighbour]:
        """Where there are more than enough random ones of our own choice, those over whom nothing goes, but
        for who is there in case that a parent dies.  Who is only fed from here is not counted: whoever makes
        itself our child would have those go that we choose."""
        parents = self.ways.parents()
        own = [each for each in self.chosen(Choice.RANDOM) if each in parents or not self.ways.in_use(each)]
        return self.ways.idle(own) if len(own) > OUTBOUND else []

    # --- time

    def tick(self, now: float) -> None:
        if now >= self._fill_at:
            self._fill_at = now + 1.0 if len(self.active) < self.wants else NEVER
            if len(self.active) < self.wants:
                self.fill(now)
        if now >= self.walks.due:
            horizon = now - PASSIVE_AGE
            self.passive = {node: known for node, known in self.passive.items() if known[1] > horizon}
            self._named = {node: known for node, known in self._named.items() if known[1] > horizon}
            self.walks.tick(now)
            self._choose_some(now)
        if now >= self._share_at:
            self._share_at = now + SHARE * self._mesh.rng.uniform(0.9, 1.1)
            self._share(now)
        if now >= self.near.due:
            self.near.tick(now)
        self.due = min(self._fill_at, self.walks.due, self.near.due, self._share_at)
