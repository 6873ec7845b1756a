"""One stream at one node: where it comes from, who gets it, what is missing, what is kept.

             Have            Graft                    data
    parent ------> LOOKING -------> JOINING(j) ----------------> FED(parent = j)
                      ^               | refused, silent             |
                      +---------------+                             | silent while others have more, gone, pruned
                      +---------------------------------------------+

A better parent is grafted while the old one feeds, and the old one is left when the first packet of the new
one is there.  Only a neighbour that has more than we do is asked: who has what we lack does not have it
from us.

`took` is the packet path: what came is new, says the duplicate window of whoever calls.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multicastmw.core.counters import Counters
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import HALF, MASK, ahead, among, each, ranges
from multicastmw.core.mesh.place import between
from multicastmw.core.mesh.settings import (
    BEACON as BEACON_EVERY,
)
from multicastmw.core.mesh.settings import (
    BETTER_LEAST,
    BETTER_SHARE,
    BETTER_TIMES,
    DEFER,
    FULL_BACK_OFF,
    GAP_WAIT,
    GRAFT_PATIENCE,
    GUARD,
    KEPT_SECONDS,
    LIVE,
    MISBEHAVED_BACK_OFF,
    MISSING_MAX,
    NACK_EXTRA,
    NACK_FACTOR,
    NACK_TRIES,
    SILENT_LEAST,
    SILENT_PACKETS,
    SWITCH_REST,
    TOTAL_SILENCE,
)
from multicastmw.wire.mesh import (
    NOBODY,
    RANGES_MAX,
    Beacon,
    Graft,
    Have,
    Held,
    Load,
    Nack,
    Prune,
    Range,
    Refusal,
    Sample,
    StreamKey,
    digest,
)

if TYPE_CHECKING:
    from multicastmw.core.mesh.mesh import Mesh

# What the specification says: flags of a Forwarding object (bit 0 is the kernel's).
RETRANSMITTED, BEACON, FEC, STALL = 2, 4, 8, 16

# What we chose.
NEARER = 0.5  # of the round trip of a child of the same slots, and its place is given away
PARTING = 2.0  # seconds that a child whose place is given away is still fed
YOUNG, SWITCH_REST_YOUNG = 60.0, 3.0  # seconds: a tree that has just grown is still rough
SHORTER, SHORTER_LEAST = 0.05, 2_000  # of the way, and at least so many us: what is said is not measured
STRAIGHT = 1.2  # times half a round trip to the origin: no better parent is looked for
POLLED = 3  # who are asked whether they have more
SHED = 2.0  # seconds for which who has nobody has a place over the slots
CATCH_UP = 256  # packets that a new child gets at once of what it has missed
ASKED_MAX = 64  # ranges of one Nack or Graft
AT_ONCE = 256  # packets that one Nack brings
KEPT_BYTES, KEPT_BYTES_ALL = 8 << 20, 64 << 20
PACKET_BYTES = 1_400  # that a kept packet is taken to have
EARLY = 256  # a stream that has sent no more than that is asked for from its first packet
PRUNE_REST = 0.25  # seconds between two prunes of one who goes on sending
QUEUE_MAX = 512  # resent packets that wait for their turn
LOOK = 0.25  # seconds between two looks whether the parent is silent
NEVER = float("inf")


def gives_way(worst: Sequence[int], slots: int, rtt: float) -> bool:
    """Does the child of so many slots and ms give its place to a node of so many slots, and seconds away?"""
    poorest, far = worst
    if poorest == NOBODY:
        return False
    return slots > 2 * poorest or (slots > 0 and slots >= poorest and rtt * 1000 < far * NEARER)


def _worth(child: Neighbour) -> tuple[int, float]:
    """The least gives way first."""
    return child.slots, -child.rtt


def _distance(neighbour: Neighbour) -> float:
    return neighbour.rtt


class FeedCounters(Counters):
    """Packets of a stream: what was missing and what became of it, and how often it went another way."""

    __slots__ = (
        "asked", "given_up", "grafts", "missed", "orphaned", "recovered", "refused", "resent", "resent_bytes",
        "switched", "unasked",
    )  # fmt: skip
    asked: int
    given_up: int
    grafts: int
    missed: int
    orphaned: int
    recovered: int
    refused: int
    resent: int
    resent_bytes: int
    switched: int
    unasked: int


class Theirs:
    """What a neighbour has said of the stream."""

    __slots__ = (
        "at", "beacon", "beacon_at", "cost", "free", "highest", "leads", "missing", "path", "pruned_at", "refused_at",
        "refused_for", "refused_until", "stalled", "worst",
    )  # fmt: skip

    def __init__(self) -> None:
        self.highest = -1
        self.missing: tuple[Range, ...] = ()
        self.at = -NEVER
        self.free = 0
        self.stalled = False
        self.beacon = -1
        self.beacon_at = -NEVER
        self.leads = 0
        self.path: tuple[int, ...] = ()
        self.cost = 0
        self.refused_at = self.refused_until = -NEVER
        self.refused_for = 0
        self.pruned_at = -NEVER
        self.worst: list[int] = [NOBODY, 0]


class Miss:
    """A number that has not come."""

    __slots__ = ("ask_at", "asked", "noticed", "tries")

    def __init__(self, now: float, ask_at: float) -> None:
        self.noticed = now
        self.ask_at = ask_at
        self.tries = 0
        self.asked: Neighbour | None = None


class Feed:
    """One stream here.  `takers` are the children, for the packet path."""

    def __init__(self, key: StreamKey, mesh: "Mesh", now: float, ours: bool = False) -> None:
        self.key = key
        self.digest = digest(key)
        self.ours = ours
        self.wanted = False  # by somebody here
        self.parent: Neighbour | None = None
        self.joining: Neighbour | None = None
        self.children: dict[Neighbour, None] = {}
        self.takers: tuple[Neighbour, ...] = ()
        self.theirs: dict[Neighbour, Theirs] = {}
        self.top = -1
        self.missing: dict[int, Miss] = {}
        self.kept: dict[int, Any] = {}
        self.counters = FeedCounters()
        self.began = now
        self.moved_at = now  # when something new came last
        self.fed_at = now  # when the parent sent something last
        self.rate = 0.0  # packets/s
        self.bits = 0.0  # kbit/s
        self.count = self.bytes = 0  # since the last measure
        self.beacons = 0
        self.due = now + 1.0
        self.stalled = False
        self._mesh = mesh
        self._mark = 0  # below it the parent has everything
        self._measured_at = now
        self._ask_due = NEVER
        self._joining_until = NEVER
        self._deferred_until = now
        self._beacon_at = now
        self._polled_at = self._poll_at = -NEVER
        self._shed_at = NEVER
        self._switch_at = now + SWITCH_REST * mesh.rng.uniform(0.2, 0.5)
        self._alone_since = now
        self._resend: list[tuple[Neighbour, int]] = []
        self._kept_most = KEPT_BYTES // PACKET_BYTES
        self._mean = 0.0  # bytes of a packet
        self._worst = NOBODY, 0  # of the child that gives way to another: its slots, its ms
        self._leaving: dict[Neighbour, float] = {}  # no children any more, and fed until
        self._parting_until = NEVER  # the parent has given our place away, and feeds us until

    # --- what is asked of it

    @property
    def is_live(self) -> bool:
        """Did something come lately?"""
        return self._mesh.now - self.moved_at < LIVE

    @property
    def is_fed(self) -> bool:
        return self.ours or self.parent is not None

    def silent_after(self) -> float:
        """Seconds without a packet that say that the parent is gone, if others have more."""
        return max(SILENT_LEAST, SILENT_PACKETS / self.rate) if self.rate else SILENT_LEAST

    def low_water(self, sequence: int) -> int:
        """How far below this number the first one is that is missing here; 0: nothing is."""
        for lowest in self.missing:
            behind = (sequence - lowest) & MASK
            return min(255, behind) if behind < HALF else 0
        return 0

    def held(self, *, whole: bool = True, beacon: int = -1, way: bool = False) -> Held:
        """What is said to others of it: `whole` to who may not know it; of the `beacon` packet, at once."""
        is_beacon = beacon >= 0
        return Held(
            self.key if whole else self.digest,
            beacon if is_beacon else self.top,
            ranges(self.missing, RANGES_MAX) if self.missing else (),
            Load(self._mesh.slots.free(self), self.stalled, is_beacon, *self._worst),
            self.beacon() if (is_beacon or way) and whole else None,
        )

    def path(self) -> tuple[int, ...]:
        """The nodes that its packets pass, this one last; empty where it is not known."""
        if self.ours:
            return (self._mesh.short,)
        theirs = self.theirs.get(self.parent) if self.parent else None
        return (*theirs.path[-31:], self._mesh.short) if theirs and theirs.path else ()

    def cost(self) -> int:
        """Microseconds from the origin, by half round trips."""
        theirs = self.theirs.get(self.parent) if self.parent else None
        return theirs.cost + int(self.parent.rtt * 5e5) if theirs and self.parent else 0

    def _of(self, neighbour: Neighbour) -> Theirs:
        found = self.theirs.get(neighbour)
        if found is None:
            found = self.theirs[neighbour] = Theirs()
        return found

    def _wake(self, at: float) -> None:
        if at < self.due:
            self.due = at
            self._mesh.wake(at)

    # --- packets

    def sent(self, sequence: int, size: int, stored: Any, now: float) -> None:
        """One of ours goes out."""
        first, self.top = self.top < 0, sequence
        self.moved_at = now
        self.count += 1
        self.bytes += size
        self._keep(sequence, stored)
        if first:
            self._mesh.started(self, None, now)

    def beacon_due(self, now: float) -> bool:
        """One of ours that goes out now is to be announced."""
        if now < self._beacon_at:
            return False
        self._beacon_at = now + BEACON_EVERY
        return True

    def took(
        self,
        sequence: int,
        size: int,
        stored: Any,
        low_water: int,
        flags: int,
        by: Neighbour | None,
        now: float,
    ) -> None:
        """A packet that is new here came over the link; of a static one, where `by` is None."""
        self.count += 1
        self.bytes += size
        self.moved_at = now
        if by is self.parent and not flags & RETRANSMITTED:
            self.fed_at = now
            self.stalled = False
            mark = (sequence - low_water) & MASK
            if (mark - self._mark) & MASK < HALF:
                self._mark = mark
                if self.missing:
                    self._parent_has(mark, now)
        step = (sequence - self.top) & MASK
        if self.top < 0:
            self._begin(sequence, by, now)
        elif step == 1:
            self.top = sequence
        elif step < HALF:
            self._gap(step, now)
            self.top = sequence
        elif self.missing:
            self._found(sequence, by, flags, now)
        self._keep(sequence, stored)
        if flags & BEACON and not flags & RETRANSMITTED:
            self._beacon(sequence, by, now)
        if by is not self.parent and by is not None:
            if not flags & RETRANSMITTED:
                self._from_elsewhere(by, now)
            elif step == 1 and self._polled_at > self.fed_at:
                self._goes_on(by, sequence, now)

    def doubled(self, sequence: int, flags: int, by: Neighbour, now: float) -> None:
        """A packet that was here already came over the link."""
        if flags & RETRANSMITTED:
            return
        if by is self.parent:
            self.fed_at = now
        else:
            self._from_elsewhere(by, now)

    def _keep(self, sequence: int, stored: Any) -> None:
        kept = self.kept
        kept[sequence] = stored
        if len(kept) > self._kept_most:
            del kept[next(iter(kept))]

    def _begin(self, sequence: int, by: Neighbour | None, now: float) -> None:
        self.top = sequence
        self._mark = sequence
        self._measured_at = now
        self.count = 1
        self._mesh.started(self, by, now)

    def _gap(self, step: int, now: float) -> None:
        """Numbers between the top and this one have not come."""
        if step > MISSING_MAX:
            self.missing.clear()  # that is no loss: it began anew elsewhere
            return
        self.counters.missed += step - 1
        if not self._mesh.settings.deadline:
            return
        for back in range(1, step):
            number = (self.top + back) & MASK
            at_parent = (number - self._mark) & MASK >= HALF
            self.missing[number] = Miss(now, now + (self._guard() if at_parent else GAP_WAIT))
        while len(self.missing) > MISSING_MAX:
            self._give_up(next(iter(self.missing)))
        self._asks(now + (GUARD if len(self.missing) else 0))

    def _guard(self) -> float:
        """What comes out of order is here by then: 20 ms, or three packets."""
        return min(GUARD, 3 / self.rate) if self.rate else GUARD

    def _parent_has(self, mark: int, now: float) -> None:
        """All below the mark was lost on the way from the parent, or comes with the next packets."""
        for number, miss in self.missing.items():
            if (number - mark) & MASK < HALF:
                break
            if not miss.tries and miss.ask_at > now + GUARD:
                miss.ask_at = now + GUARD
                self._asks(miss.ask_at)

    def _found(self, sequence: int, by: Neighbour | None, flags: int, now: float) -> None:
        miss = self.missing.pop(sequence, None)
        if miss is None:
            return
        self.counters.recovered += 1
        if by is not None and miss.asked is by and flags & RETRANSMITTED:
            by.credit(0.2, now)

    def _asks(self, at: float) -> None:
        if at < self._ask_due:
            self._ask_due = at
            self._wake(at)

    def _from_elsewhere(self, by: Neighbour, now: float) -> None:
        """Data came from one who is not the parent."""
        if by is self.joining:
            self._joined(now)
        elif self.parent is None and self.joining is None and self.wants() and not self.ours:
            self._feeds(by, now)
        else:
            theirs = self._of(by)
            if now - theirs.pruned_at > PRUNE_REST:
                theirs.pruned_at = now
                self.counters.unasked += 1
                by.say(Prune(self.key), now)

    def _joined(self, now: float) -> None:
        """What the new parent sends is here: the old one is left."""
        new, old = self.joining, self.parent
        assert new is not None
        self.joining, self._joining_until = None, NEVER
        if old is not None:
            self.counters.switched += 1
            self._of(old).pruned_at = now
            old.say(Prune(self.key), now)
        self._feeds(new, now)

    def _feeds(self, by: Neighbour, now: float) -> None:
        self.parent = by
        self._parting_until = NEVER
        self.fed_at = now
        self.stalled = False
        self._mark = self.top
        for theirs in self.theirs.values():
            theirs.leads = 0
        self._drop_child(by)
        self._wake(now + self.silent_after())

    def wants(self) -> bool:
        """Is it to come here?"""
        return self.wanted or bool(self.children)

    # --- beacons: what would have happened, had another one been the parent

    def _beacon(self, sequence: int, by: Neighbour | None, now: float) -> None:
        """One packet a second is announced at once, and shows who had it earlier."""
        self._mesh.announce(self, sequence, by, now)
        if by is not self.parent or self.joining:
            return
        best, lead_of_best = None, 0.0
        for neighbour, theirs in self.theirs.items():
            if neighbour is by or theirs.beacon != sequence:
                theirs.leads = 0
                continue
            lead = now - theirs.beacon_at
            if lead <= max(BETTER_LEAST, BETTER_SHARE * neighbour.rtt):
                theirs.leads = 0
                continue
            theirs.leads += 1
            if (
                theirs.leads >= (2 if now - self.began < YOUNG else BETTER_TIMES)
                and lead > lead_of_best
                and self._may_feed(neighbour, theirs, now)
            ):
                best, lead_of_best = neighbour, lead
        if best is not None and now >= self._switch_at:
            self._switch(best, now)

    def _is_shorter(self, by: Neighbour, theirs: Theirs, now: float) -> None:
        """What it says of its way is so much better than ours that we go there."""
        if self.joining or now < self._switch_at or not theirs.path:
            return
        mine = self.cost()
        gain = mine - theirs.cost - by.rtt * 5e5
        if mine and gain > max(SHORTER_LEAST, mine * SHORTER) and self._may_feed(by, theirs, now):
            self._switch(by, now)

    def _switch(self, to: Neighbour, now: float) -> None:
        young = now - self.began < YOUNG
        self._switch_at = now + (SWITCH_REST_YOUNG if young else SWITCH_REST)
        self._graft(to, now)

    def _may_feed(self, neighbour: Neighbour, theirs: Theirs, now: float) -> bool:
        return (
            neighbour not in self.children
            and self._has_room(neighbour, theirs)
            and not theirs.stalled
            and now >= theirs.refused_until
            and self._mesh.short not in theirs.path
        )

    def _has_room(self, neighbour: Neighbour, theirs: Theirs) -> bool:
        """For us: who carries more, or is nearer, takes the place of another."""
        return theirs.free > 0 or gives_way(theirs.worst, self._mesh.own_slots, neighbour.rtt)

    def way(self, neighbour: Neighbour) -> float:
        """Seconds from the origin by that neighbour, as far as can be told; longer if it has no room for us."""
        theirs = self.theirs.get(neighbour)
        if theirs is None or not theirs.path or self._mesh.short in theirs.path:
            return 1.0 + neighbour.rtt
        full = not self._has_room(neighbour, theirs)
        return theirs.cost / 1e6 + neighbour.rtt / 2 + (0.5 if full else 0.0)

    def is_straight(self, direct: float) -> bool:
        """Is the way about as short as it can be, where the origin is so many seconds of round trip away?"""
        return self.ours or not self.wants() or 0 < self.cost() < direct * 5e5 * STRAIGHT + SHORTER_LEAST

    def beacon(self) -> Beacon:
        return Beacon(self.path(), self.cost(), min(0xFFFFFFFF, round(self.rate)), round(self.bits))

    # --- what neighbours say

    def accept_held(self, by: Neighbour, held: Held, now: float) -> None:
        theirs = self._of(by)
        theirs.at = now
        theirs.missing = held.missing
        theirs.free, theirs.stalled, is_beacon, *theirs.worst = held.load
        beacon = held.beacon
        if theirs.free > 0 and theirs.refused_for == Refusal.FULL and now > theirs.refused_at + 1.0:
            theirs.refused_until = now  # there is room again
        if is_beacon and held.highest != theirs.beacon:
            theirs.beacon, theirs.beacon_at = held.highest, now
        if beacon is not None:
            theirs.path, theirs.cost = beacon.path, beacon.cost
            if not self.rate:
                self.rate, self.bits = float(beacon.rate), float(beacon.bits)
        if theirs.highest < 0 or ahead(held.highest, theirs.highest):
            theirs.highest = held.highest
        if beacon is not None and by is not self.parent and self.parent is not None:
            self._is_shorter(by, theirs, now)
        if theirs.stalled and by is self.parent:
            self._deferred_until = now + DEFER
            if not self.stalled:
                self._stall(now)
        if self.parent is None:
            if self.joining is None and self.wants() and not self.ours and not theirs.stalled:
                self._repair(now)
        elif (
            now - self.fed_at > self.silent_after()
            and ahead(theirs.highest, self.top)
            and by is not self.parent
        ):
            self._silent(now)

    def accept_nack(self, by: Neighbour, missing: tuple[Range, ...], now: float) -> None:
        """Sends what is here; what is not is said."""
        absent = False
        for number in each(missing, AT_ONCE):
            if number in self.kept:
                self._give(by, number, now)
            else:
                absent = True
        if absent:
            by.say(Have((self.held(),)), now)

    def _give(self, to: Neighbour, number: int, now: float) -> None:
        """Again, when it is its turn: at most a quarter of the uplink goes there."""
        if not self._resend and self._mesh.may_resend(self._mean or PACKET_BYTES, now):
            self._give_now(to, number, now)
        elif len(self._resend) < QUEUE_MAX:
            self._resend.append((to, number))
            self._wake(now + 0.02)

    def _give_now(self, to: Neighbour, number: int, now: float) -> None:
        stored = self.kept.get(number)
        if stored is not None:
            self.counters.resent += 1
            self.counters.resent_bytes += to.wire.resend(stored, self.low_water(number), now)

    def accept_graft(self, by: Neighbour, graft: Graft, now: float) -> None:
        """It wants to be a child."""
        refusal = self._objection(by, graft, now)
        if refusal is not None:
            self._refuse(by, refusal, now)
            return
        if by not in self.children:
            self.children[by] = None
            self._count_children()
        number, end = graft.sequence, (self.top + 1) & MASK
        behind = min(CATCH_UP, (end - number) & MASK) if not ahead(number, end) else 0
        for back in range(behind, 0, -1):
            if (again := (end - back) & MASK) in self.kept:
                self._give(by, again, now)
        for number in each(graft.missing, AT_ONCE):
            self._give(by, number, now)

    def _objection(self, by: Neighbour, graft: Graft, now: float) -> Refusal | None:
        if self.top < 0 or not self.is_fed or ahead(graft.sequence - 1 & MASK, self.top):
            return Refusal.NO_DATA
        if by is self.parent or by is self.joining:
            return Refusal.LOOP
        if by in self.children or self._mesh.slots.free(self) > 0:
            return None
        if self._mesh.slots.has_any and self.children and gives_way(self._worst, by.slots, by.rtt):
            worst = min(self.children, key=_worth)
            self._give_away(worst, (by.sample,), now)
            return None
        is_urgent = any(first == graft.sequence for first, _ in graft.missing)
        if is_urgent and self._mesh.slots.spare(self) > 0:
            self._shed_at = min(self._shed_at, now + SHED)
            self._wake(self._shed_at)
            return None
        return Refusal.FULL

    def _give_away(self, worst: Neighbour, others: tuple[Sample, ...], now: float) -> None:
        """Its place is another's; it is fed until it has found one, or for a moment."""
        self._leaving[worst] = now + PARTING
        self._wake(now + PARTING)
        del self.children[worst]
        self._refuse(worst, Refusal.FULL, now, others)

    def _shed(self, now: float) -> None:
        """Of those who were taken over the slots, as they had nobody, some have to go."""
        self._shed_at = NEVER
        while self.children and self._mesh.slots.is_over(self):
            self._give_away(min(self.children, key=_worth), (), now)
            self._count_children()

    def _refuse(self, by: Neighbour, refusal: Refusal, now: float, others: tuple[Sample, ...] = ()) -> None:
        self.counters.refused += 1
        back_off = {Refusal.FULL: FULL_BACK_OFF, Refusal.MISBEHAVED: MISBEHAVED_BACK_OFF}.get(refusal, 1.0)
        if refusal is Refusal.FULL:
            others += self._others_with_room(by, now)
        by.say(Prune(self.key, refusal, others[:3], int(back_off * 1000)), now)

    def _others_with_room(self, besides: Neighbour, now: float) -> tuple[Sample, ...]:
        with_room = [
            neighbour
            for neighbour, theirs in self.theirs.items()
            if theirs.free > 0 and now - theirs.at < 1.0 and neighbour is not besides and not neighbour.is_nat
        ]
        with_room.sort(
            key=lambda each: self.theirs[each].cost / 5e5 + between(each.sample.place, besides.sample.place)
        )
        return tuple(neighbour.sample for neighbour in with_room[:3])

    def accept_prune(self, by: Neighbour, prune: Prune, now: float) -> None:
        """It leaves, or will not be the parent."""
        self._drop_child(by)
        if by is self.joining:
            self.joining, self._joining_until = None, NEVER
        elif by is not self.parent:
            return
        elif prune.refusal == Refusal.FULL:
            self._parting_until = now + PARTING
        else:
            self.parent = None
            self._alone_since = now
        if prune.refusal == Refusal.LEFT:
            back_off = 1.0
        else:
            back_off = min(600.0, prune.back_off / 1000)
        theirs = self._of(by)
        theirs.refused_at, theirs.refused_for, theirs.refused_until = now, prune.refusal, now + back_off
        if prune.alternatives:
            self._mesh.try_out(self.key.group, prune.alternatives, now)
        if self.parent is None:
            self._repair(now)
        else:
            self._move(now)

    def _move(self, now: float) -> None:
        """The parent has no place for us any more, and feeds us until another one does."""
        if self.joining or self._parting_until == NEVER:
            return
        best, rank_of_best = None, NEVER
        for neighbour, theirs in self.theirs.items():
            if neighbour is self.parent or not theirs.path or not self._may_feed(neighbour, theirs, now):
                continue
            rank = theirs.cost / 1e6 + neighbour.rtt / 2
            if rank < rank_of_best:
                best, rank_of_best = neighbour, rank
        if best is not None:
            self._graft(best, now)
        else:
            self._wake(now + 0.1)

    def _drop_child(self, by: Neighbour) -> None:
        if by in self.children or by in self._leaving:
            self.children.pop(by, None)
            self._leaving.pop(by, None)
            self._count_children()

    def _count_children(self) -> None:
        self.takers = (*self.children, *self._leaving)
        worst = min(self.children, key=_worth, default=None)
        self._worst = (
            (min(worst.slots, NOBODY - 1), min(0xFFFF, round(worst.rtt * 1000))) if worst else (NOBODY, 0)
        )
        self._mesh.slots.changed()

    def adopt(self, child: Neighbour) -> None:
        """It is pushed to, unasked, as the stream begins."""
        self.children[child] = None
        self._count_children()

    def gone(self, by: Neighbour, now: float) -> None:
        """The link is no more."""
        self._drop_child(by)
        self.theirs.pop(by, None)
        if by is self.joining:
            self.joining, self._joining_until = None, NEVER
        if by is self.parent:
            self.parent = None
            self._alone_since = now
            self.counters.orphaned += 1
        if self.parent is None and not self.ours and self.wants():
            self._repair(now)

    def unwanted(self, now: float) -> None:
        """Nobody here wants it any more."""
        if self.wants() or self.ours:
            return
        for neighbour in filter(None, (self.parent, self.joining)):
            neighbour.say(Prune(self.key), now)
        self.parent = self.joining = None
        self.missing.clear()

    # --- the parent is lost

    def _poll(self, now: float) -> None:
        """Nobody has said lately how it is: the nearest are asked for the next packet, ever more rarely."""
        if self.top < 0 or now < self._poll_at or now < self._deferred_until:
            return
        self._polled_at = now
        self._poll_at = now + max(SILENT_LEAST, now - self.fed_at)
        others = [
            each for each, theirs in self.theirs.items()
            if each is not self.parent and each not in self.children
            and not theirs.stalled and self._mesh.short not in theirs.path
        ]  # fmt: skip
        number = (self.top + 1) & MASK
        for neighbour in sorted(others, key=_distance)[:POLLED]:
            neighbour.say(Nack(self.key, (Range(number, number),)), now)

    def _goes_on(self, by: Neighbour, sequence: int, now: float) -> None:
        """Who was asked has what the parent has not sent."""
        theirs = self._of(by)
        theirs.at = now
        if theirs.highest < 0 or ahead(sequence + 1 & MASK, theirs.highest):
            theirs.highest = sequence + 1 & MASK
        self._silent(now)

    def _silent(self, now: float) -> None:
        """The parent sends nothing, and others have more."""
        if self.joining or now < self._deferred_until:
            return
        self.counters.orphaned += 1
        self._repair(now)

    def _repair(self, now: float) -> None:
        """Asks the best of those who have more."""
        if self.joining or self.ours or not self.wants():
            return
        best, rank_of_best = None, (2, 2, NEVER)
        fresh = self._mesh.fresh_within
        for neighbour, theirs in self.theirs.items():
            if neighbour is self.parent or now - theirs.at > fresh or now < theirs.refused_until:
                continue
            if theirs.highest < 0 or not (self.top < 0 or ahead(theirs.highest, self.top)):
                continue
            if theirs.stalled or neighbour in self.children or self._mesh.short in theirs.path:
                continue
            # who has spoken since is alive
            rank = (
                int(not self._has_room(neighbour, theirs)),
                int(theirs.at <= self.fed_at + GUARD),
                neighbour.rtt / (1 + min(theirs.free, 3)),
            )
            if rank < rank_of_best:
                best, rank_of_best = neighbour, rank
        if best is None:
            self._wake(now + TOTAL_SILENCE)
            return
        if not self.stalled:
            self._stall(now)
        self._graft(best, now)

    def _stall(self, now: float) -> None:
        """The children need not look for others yet."""
        self.stalled = True
        for child in self.children:
            child.say(Have((self.held(),)), now)

    def _graft(self, neighbour: Neighbour, now: float) -> None:
        theirs = self._of(neighbour)
        if self.top >= 0:
            sequence = (self.top + 1) & MASK
        else:
            sequence = theirs.highest if theirs.highest > EARLY else 0
        self.joining = neighbour
        patience = max(GRAFT_PATIENCE, GUARD + 1.5 / self.rate) if self.rate else GRAFT_PATIENCE
        self._joining_until = now + neighbour.rtt + patience
        self.counters.grafts += 1
        missing = ranges(self.missing, ASKED_MAX) if self.missing else ()
        if self.top >= 0 and (self.parent is None or now - self.fed_at > self.silent_after()):
            missing += (Range(sequence, sequence),)  # the next one too: it is urgent
        again = now + NACK_FACTOR * neighbour.rtt + NACK_EXTRA
        for miss in self.missing.values():
            miss.ask_at = again
            miss.asked = neighbour
        neighbour.say(Graft(self.key, sequence, missing), now)
        self._wake(self._joining_until)

    # --- time

    def tick(self, now: float) -> None:
        self.due = now + 1.0
        if now - self._measured_at >= 1.0:
            self._measure(now)
        if self._resend:
            self._go_on_giving(now)
        if self.joining:
            if now >= self._joining_until:
                self._of(self.joining).refused_until = now + 2.0
                self.joining, self._joining_until = None, NEVER
                self._repair(now)
            else:
                self._wake(self._joining_until)
        if self._leaving:
            self._let_go(now)
        if now >= self._shed_at:
            self._shed(now)
        if self._parting_until < NEVER:
            self._move(now)
            if now >= self._parting_until + PARTING:
                self._parting_until = NEVER
        if self.missing:
            self._ask(now)
        if not self.ours and self.wants():
            self._watch(now)

    def _watch(self, now: float) -> None:
        """Does it still come?"""
        if now - self.moved_at > LIVE and self.top >= 0:
            return  # the source has stopped; a Have that says otherwise wakes it
        if self.parent is not None:
            silent_at = self.fed_at + self.silent_after()
            if now < silent_at:
                self._wake(max(silent_at, now + LOOK))  # what a Have shows earlier is looked at when it comes
            else:
                self._wake(now + SILENT_LEAST)
                fresh = self._mesh.fresh_within
                if any(
                    now - theirs.at <= fresh and ahead(theirs.highest, self.top)
                    for neighbour, theirs in self.theirs.items()
                    if neighbour is not self.parent
                ):
                    self._silent(now)
                else:
                    if not self.stalled:
                        self._stall(now)
                    self._poll(now)
        elif self.joining is None:
            self._repair(now)
            if self.joining is None:
                self._poll(now)
        if self.joining is None and now - max(self.moved_at, self._alone_since) > TOTAL_SILENCE:
            self._look_further(now)

    def _look_further(self, now: float) -> None:
        """Nobody who could help is near: others are asked."""
        fresh = self._mesh.fresh_within
        parent = self.parent
        if parent is not None and any(now - theirs.at <= fresh for theirs in self.theirs.values()):
            return  # they live, and have no more than we do
        self._mesh.search(self.key.group, now)
        self._wake(now + TOTAL_SILENCE)

    def _let_go(self, now: float) -> None:
        """Those whose place another one has."""
        for child in [child for child, until in self._leaving.items() if until <= now]:
            del self._leaving[child]
        self._count_children()
        if self._leaving:
            self._wake(min(self._leaving.values()))

    def _go_on_giving(self, now: float) -> None:
        queue = self._resend
        given = 0
        while given < len(queue) and self._mesh.may_resend(self._mean or PACKET_BYTES, now):
            to, number = queue[given]
            given += 1
            if to in self.children or to in self.theirs or to in self._leaving:
                self._give_now(to, number, now)
        del queue[:given]
        if queue:
            self._wake(now + 0.02)

    def _measure(self, now: float) -> None:
        seconds = now - self._measured_at
        if self.count:
            self._mean = self.bytes / self.count
        weight = 1.0 if not self.rate or self.rate * 4 < self.count / seconds else 0.3
        self.rate += (self.count / seconds - self.rate) * weight
        bits = self.bytes * 8 / 1000 / seconds
        if self.count:
            self.bits += (bits - self.bits) * weight
        self.count = self.bytes = 0
        self._measured_at = now
        self._trim()

    def _trim(self) -> None:
        """Of what is older than two seconds nothing is kept."""
        if not self.kept or self.top < 0:
            return
        most = self._mesh.kept_most(self._mean or PACKET_BYTES)
        self._kept_most = max(16, most)
        span = max(16, int(self.rate * KEPT_SECONDS) + 1)
        for number in list(self.kept):
            if (self.top - number) & MASK <= span:
                break
            del self.kept[number]

    def _ask(self, now: float) -> None:
        """Nacks what is due, one message a neighbour."""
        self._ask_due = NEVER
        deadline = self._mesh.settings.deadline
        asks: dict[Neighbour, list[int]] = {}
        due = NEVER
        for number, miss in list(self.missing.items()):
            if now - miss.noticed >= deadline:
                self._give_up(number)
                continue
            if miss.ask_at <= now and miss.tries < NACK_TRIES:
                whom = self._whom(number, miss, now)
                if whom is None:
                    miss.ask_at = now + 0.05
                else:
                    if miss.asked is whom and miss.tries:
                        whom.credit(-0.1, now)
                    asks.setdefault(whom, []).append(number)
                    miss.tries += 1
                    miss.asked = whom
                    miss.ask_at = now + NACK_FACTOR * whom.rtt + NACK_EXTRA
            due = min(due, miss.ask_at if miss.tries < NACK_TRIES else miss.noticed + deadline)
        for whom, numbers in asks.items():
            self.counters.asked += len(numbers)
            whom.say(Nack(self.key, ranges(numbers, ASKED_MAX)), now)
        if due < NEVER:
            self._asks(max(due, now + 0.01))

    def _whom(self, number: int, miss: Miss, now: float) -> Neighbour | None:
        """The parent first, then whoever says that it has it; nobody twice in a row, where there is another."""
        if self.parent is not None and not miss.tries and not self.ours:
            return self.parent
        best, rank_of_best = None, NEVER
        for neighbour, theirs in self.theirs.items():
            if theirs.highest < 0 or now - theirs.at > 2.0 or ahead(number, theirs.highest):
                continue
            if among(number, theirs.missing) or neighbour in self.children:
                continue
            rank = neighbour.rtt + (1.0 if neighbour is miss.asked else 0.0)
            if rank < rank_of_best:
                best, rank_of_best = neighbour, rank
        return best or self.parent

    def _give_up(self, number: int) -> None:
        del self.missing[number]
        self.counters.given_up += 1
