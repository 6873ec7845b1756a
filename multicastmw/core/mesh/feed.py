"""One stream at one node: its packets' way through what the mesh knows of it.

    Feed ── Upstream   the parent, and the choice of another one
      ├──── Brood      the children, and who is taken
      ├──── Gaps       what is missing, and is asked for
      ├──── Tail       the last packets before a pause, which may be missing, too
      ├──── Kept       what is kept for others, and sent again
      ├──── Order      what waits here for something earlier, as programs want it
      └──── Theirs     one a neighbour: what it has said of the stream

`took` is the packet path: what came is new, says the duplicate window of whoever calls.  What the kernel
forwards does not come there: `look` sees how far it is, and is asked before anything is decided.
"""

from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from multicastmw.core.addressing import ANY
from multicastmw.core.mesh.brood import Brood
from multicastmw.core.mesh.conduct import FED, LED_AWAY
from multicastmw.core.mesh.counters import FeedCounters
from multicastmw.core.mesh.gaps import Gaps, Miss
from multicastmw.core.mesh.kept import Kept, Shelf
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import HALF, MASK, ahead, each
from multicastmw.core.mesh.order import Order
from multicastmw.core.mesh.settings import AT_ONCE, BEACON_EVERY, LIVE, PACKET_BYTES, SLOW
from multicastmw.core.mesh.slots import Slots
from multicastmw.core.mesh.suspicion import Suspicion
from multicastmw.core.mesh.tail import Tail
from multicastmw.core.mesh.theirs import Theirs
from multicastmw.core.mesh.upstream import Upstream
from multicastmw.wire.data import BEACON, CAME_AGAIN, RETRANSMITTED
from multicastmw.wire.mesh import (
    Beacon,
    Graft,
    Have,
    Held,
    Load,
    Prune,
    Range,
    Sample,
    StreamKey,
    digest,
)

if TYPE_CHECKING:
    from multicastmw.core.mesh.mesh import Mesh

# What we chose.
BEGINNING = 4  # numbers: where a stream begins with one of them, those before it are missing
NEAR_NUMBERS, NEAR_SECONDS = 4_096, 10.0  # from the last number: further nobody leads a stream
ANSWERS = 2.0  # seconds for which what was asked for may come, and for which an old parent may have sent
REST = 1.0  # seconds between two looks at a feed that nothing happens to
RATE_TOLD, BITS_TOLD = 100_000.0, 1_000_000.0  # as others say, before it is measured: packets/s, kbit/s
PAUSE = 0.3  # seconds: a packet that is lost behind so long a one would be missed late
FOLLOWS = 0.3  # of a measured rate goes into the mean; all of it when it has become four times as much
QUIET, QUIET_PACKETS = 0.06, 3  # seconds, and packets' time, after which a stream may pause
TELLS = 3  # times that a last number is announced to children: a Have may be lost, too
NEVER = float("inf")


class Kernel(Shelf, Protocol):
    """Whoever forwards a feed's packets past it."""

    def last(self) -> tuple[int, float] | None:
        """The highest number that came there, and when; None where all came here."""


class Feed:
    """One stream here.  `takers` are those who get each packet."""

    def __init__(self, key: StreamKey, mesh: "Mesh", now: float, ours: bool = False) -> None:
        self.key = key
        self.digest = digest(key)
        self.ours = ours
        self.is_alone = not ours  # it has a tree of its own: what begins here, once it is planted
        self.wanted = False  # by somebody here
        self.top = -1
        self.began = now
        self.moved_at = now  # when something new came last
        self.rate = 0.0  # packets/s
        self.bits = 0.0  # kbit/s
        self._is_measured = False  # else they are what somebody said, if anything
        self.beacons = 0
        self.due = now + REST
        self.counters = FeedCounters()
        self.theirs: dict[Neighbour, Theirs] = {}
        self.kernel: Kernel | None = None  # while it forwards the stream, or did just now
        self.short = mesh.short
        self._teller: Neighbour | None = None  # who told of it, until its first packet is here
        self.rng: Random = mesh.rng
        self.slots: Slots = mesh.slots
        self._mesh = mesh
        self._count = self._bytes = 0  # since the last measure
        self._mean = float(PACKET_BYTES)  # bytes of a packet
        self._near = NEAR_NUMBERS
        self._led_at = -NEVER  # when a packet of the shared tree moved it on
        self._told, self._tells = -1, 0
        self._measured_at = self._beacon_at = now
        self.upstream = Upstream(self, now)
        self.brood = Brood(self)
        self.gaps = Gaps(self)
        self.tail = Tail(self)
        self.kept = Kept(self)
        self.order = Order(self)
        self.suspicion = Suspicion(self)

    # --- what is asked of it

    @property
    def parent(self) -> Neighbour | None:
        return self.upstream.parent

    @property
    def joining(self) -> Neighbour | None:
        return self.upstream.joining

    @property
    def children(self) -> dict[Neighbour, None]:
        return self.brood.children

    @property
    def takers(self) -> tuple[Neighbour, ...]:
        return self.brood.takers

    @property
    def missing(self) -> dict[int, Miss]:
        return self.gaps.numbers

    @property
    def deadline(self) -> float:
        """Seconds after which nothing is asked for any more; 0: nothing is at all."""
        return self._mesh.settings.deadline

    @property
    def hold(self) -> float:
        """Seconds that a packet waits for an earlier one, on its way to programs; 0: it does not."""
        return self._mesh.settings.hold

    @property
    def feeds(self) -> int:
        """Parents that it is to have at a time."""
        return self._mesh.settings.feeds_of(self.key.group)

    @property
    def rotate(self) -> float:
        """Seconds after which the parent is to be another one; 0: while it is good."""
        return self._mesh.settings.rotate

    @property
    def own_slots(self) -> int:
        return self._mesh.own_slots

    @property
    def fresh_within(self) -> float:
        return self._mesh.fresh_within

    @property
    def is_live(self) -> bool:
        """Did something come lately?"""
        return self._mesh.now - self.moved_at < LIVE

    @property
    def is_slow(self) -> bool:
        """Does it pause for so long between packets that silence says nothing?"""
        return 0 < self.rate < SLOW

    @property
    def is_shared(self) -> bool:
        """Is it a rendezvous point's, for the slow senders of the group?"""
        return self.key.source == ANY

    def point(self) -> int | None:
        """The node that sends it on over its shared tree; None where it has a tree of its own."""
        if self.is_alone:
            return None
        found = self._mesh.registering.point(self.key.group, self._mesh.now)
        return None if found is None else found.node

    @property
    def is_fast(self) -> bool:
        """Does it come now, and not slowly?"""
        return self.top >= 0 and self.is_live and not self.is_slow

    @property
    def is_fed(self) -> bool:
        return self.ours or self.upstream.parent is not None

    @property
    def second(self) -> Neighbour | None:
        """The other parent, where there are two."""
        return self.upstream.second.parent

    def is_upstream(self, neighbour: Neighbour) -> bool:
        upstream = self.upstream
        return (
            neighbour is upstream.parent or neighbour is upstream.joining or upstream.second.is_it(neighbour)
        )

    def uses(self, neighbour: Neighbour) -> bool:
        """Does the stream go over it?"""
        return self.is_upstream(neighbour) or neighbour in self.brood.takers

    def knows(self, neighbour: Neighbour) -> bool:
        return neighbour in self.theirs or neighbour in self.brood.takers

    def wants(self) -> bool:
        """Is it to come here?"""
        return not self.ours and (self.wanted or bool(self.brood.children))

    def is_at_rest(self, now: float) -> bool:
        """Did the last packet come so long ago that none is on its way, as far as its rate says?"""
        return bool(self.rate) and now - self.moved_at > max(QUIET, QUIET_PACKETS / self.rate)

    def ends(self, now: float) -> bool:
        """It pauses, and its children may not have the last packets: this is said to them a few times."""
        if self.top != self._told:
            self._told, self._tells = self.top, 0
        if self._tells >= TELLS or not self.is_at_rest(now):
            return False
        self._tells += 1
        return True

    def low_water(self, sequence: int) -> int:
        """How far below this number the first one is that is missing here; 0: nothing is."""
        return self.gaps.low_water(sequence)

    def path(self) -> tuple[int, ...]:
        return (self.short,) if self.ours else self.upstream.path()

    def cost(self) -> int:
        return 0 if self.ours else self.upstream.cost()

    def held(self, *, whole: bool = True, beacon: int = -1, way: bool = False) -> Held:
        """What is said to others of it: `whole` to who may not know it; of the `beacon` packet, at once; with
        the `way` that it takes."""
        self.look()
        is_beacon = beacon >= 0
        return Held(
            self.key if whole else self.digest,
            beacon if is_beacon else self.top,
            self.gaps.told(self.top),
            self._load(is_beacon),
            self._way() if whole and (is_beacon or way) else None,
        )

    def _load(self, is_beacon: bool) -> Load:
        free, lent = self.slots.free(self), self.slots.lent()
        is_lent = free == 0 < lent
        return Load(
            lent if is_lent else free, self.upstream.stalled, is_beacon, *self.brood.worst, lent=is_lent
        )

    def _way(self) -> Beacon:
        rate, bits = (min(0xFFFFFFFF, round(value)) for value in (self.rate, self.bits))
        return Beacon(self.path(), self.cost(), rate, bits)

    def of(self, neighbour: Neighbour) -> Theirs:
        """What it has said; of who is gone by now, left alone a moment ago, nothing is remembered."""
        found = self.theirs.get(neighbour)
        if found is None:
            found = Theirs()
            if self._mesh.neighbours.get(neighbour.node) is neighbour:
                self.theirs[neighbour] = found
                neighbour.shared += 1
        return found

    def told_by(self, neighbour: Neighbour) -> None:
        """It is known of that one, and of none of its packets yet."""
        self._teller = neighbour
        neighbour.unheard += 1

    def _is_true(self) -> None:
        """Or it has ended: either way nothing depends on who told of it."""
        if self._teller is not None:
            self._teller.unheard -= 1
            self._teller = None

    def ended(self) -> None:
        """Nobody will know it any more."""
        self._is_true()
        for neighbour in self.theirs:
            neighbour.shared -= 1

    # --- what its parts ask of the mesh

    def wake(self, at: float) -> None:
        if at < self.due:
            self.due = at
            self._mesh.wake(at)

    def may_ask(self, neighbour: Neighbour, now: float) -> bool:
        """Once more for packets, and the other end does not take it for a flood?"""
        return neighbour.allowance.may_be_asked(now, neighbour.shared)

    def may_resend(self, now: float) -> bool:
        return self._mesh.may_resend(self._mean, now, self.ours)

    def search(self, now: float) -> None:
        self._mesh.search(self.key.group, now)

    def try_out(self, samples: tuple[Sample, ...], now: float) -> None:
        self._mesh.try_out(self.key.group, samples, now)

    def disappoints(self, neighbour: Neighbour, points: float, now: float) -> None:
        """It was a nuisance."""
        self._mesh.blame(neighbour, points, now)

    def promised(self, neighbour: Neighbour, points: float, now: float) -> None:
        """It kept a promise, or broke one."""
        self._mesh.promised(neighbour, points, now)

    # --- packets

    def sent(self, sequence: int, size: int, stored: Any, now: float) -> None:
        """One of ours goes out."""
        is_first = self.top < 0
        if is_first or ahead(sequence, self.top):  # what a static link lost comes later
            self.top = sequence
        self.moved_at = now
        self._count += 1
        self._bytes += size
        self.kept.keep(sequence, stored)
        if is_first:
            self._mesh.started(self, None, now)

    def beacon_due(self, now: float) -> bool:
        """One of ours that goes out now is to be announced; of a shared stream each that follows a pause."""
        follows_pause = self.is_shared and now - self.moved_at > PAUSE
        if now < self._beacon_at and not follows_pause:
            return False
        self._beacon_at = now + BEACON_EVERY
        return True

    def took(
        self, sequence: int, size: int, stored: Any, low_water: int, flags: int, by: Neighbour | None,
        now: float,
    ) -> None:  # fmt: skip
        """A packet that is new here came over the link; over a static one, where `by` is None."""
        self._count += 1
        self._bytes += size
        self.moved_at = now
        upstream, gaps = self.upstream, self.gaps
        is_resent = flags & RETRANSMITTED
        if by is not None and by is not upstream.parent and self._makes_parent(by, sequence, is_resent):
            upstream.brought(by, now)
        if by is not None and by is self.suspicion.suspect:
            self.suspicion.brought(sequence, is_resent, now)
        is_parents = by is not None and by is upstream.parent
        if is_parents and not is_resent:
            upstream.fed_at = now
            upstream.stalled = False
            mark = (sequence - low_water) & MASK
            if gaps.numbers:
                gaps.parent_has(mark, now)
            elif (mark - gaps.mark) & MASK < HALF:
                gaps.mark = mark
        step = (sequence - self.top) & MASK
        if self.top < 0:
            self._begin(sequence, by, now)
        elif step == 1 and not gaps.numbers:
            self.top = sequence
        elif 0 < step < HALF:
            self._goes_on(sequence, step, by, flags, now)
        else:
            self._came_behind(sequence, by, flags, now)
        self.kept.keep(sequence, stored)
        if is_resent:
            if by and not is_parents and step == 1 and upstream.silence.polled_at > upstream.fed_at:
                upstream.silence.goes_on(by, sequence, now)
        elif flags & BEACON:
            self._announce(sequence, by, now)

    def _goes_on(self, sequence: int, step: int, by: Neighbour | None, flags: int, now: float) -> None:
        """Some before it are missing; it may itself have been, as the parent has said that it has it."""
        if step > 1:
            self.gaps.skipped(self.top, step, now)
        self.top = sequence
        self._found(sequence, by, flags, now)

    def _came_behind(self, sequence: int, by: Neighbour | None, flags: int, now: float) -> None:
        """It was missing; or nothing has come for seconds, and the stream goes on far behind where it was."""
        gaps = self.gaps
        if (self.top - sequence) & MASK > self._near:
            gaps.clear()
            self.top = gaps.mark = sequence
            for theirs in self.theirs.values():
                theirs.highest = -1  # or what they said last would be more than they say from now on
        elif gaps.numbers:
            self._found(sequence, by, flags, now)

    def _found(self, sequence: int, by: Neighbour | None, flags: int, now: float) -> None:
        is_resent = flags & RETRANSMITTED
        self.counters.filled += sequence in self.gaps.numbers and not is_resent and self.second is not None
        self.gaps.found(sequence, by, bool(flags & CAME_AGAIN), now)

    # --- packets that the kernel forwards

    def look(self) -> None:
        """How far is it there?"""
        if self.kernel is not None and (last := self.kernel.last()):
            self.passed(*last)

    def passed(self, top: int, at: float) -> None:
        """All up to this number came from the parent, the last one at that time."""
        step = (top - self.top) & MASK
        if self.top >= 0 and 0 < step < HALF:
            self._count += step
            self._bytes += round(step * self._mean)
            self.gaps.passed(self.top, top)
            self.top = top
            self.moved_at = max(self.moved_at, at)
            self.upstream.fed_at = max(self.upstream.fed_at, at)
            self.upstream.stalled = False

    def weighs(self, size: float) -> None:
        """A packet there has so many bytes, in the mean."""
        self._mean = size

    def beacon_passed(self, sequence: int, now: float) -> None:
        """One that is to be announced."""
        self.look()
        if self.parent is not None:
            self._announce(sequence, self.parent, now)

    def rerouted(self) -> None:
        """Its parent or its children are others."""
        self._mesh.rerouted(self)

    def _announce(self, sequence: int, by: Neighbour | None, now: float) -> None:
        """A beacon packet is here, and shows who had it earlier."""
        self._mesh.announce(self, sequence, by, now)
        if by is not None and by is self.upstream.parent:
            self.upstream.better.beacon(sequence, now)
        if by is not None and self.second is not None:
            self.upstream.second.beacon(sequence, by, now)

    def _makes_parent(self, by: Neighbour, sequence: int, is_resent: int) -> bool:
        """Packets as they are sent do, and what a graft has brought at once."""
        if not is_resent:
            return True
        return by is self.upstream.joining and (self.top < 0 or ahead(sequence, self.top))

    def refuses(self, by: Neighbour | None, sequence: int, flags: int, now: float) -> bool:
        """May it not send that packet?  A stream goes on where it is, unless nothing came for seconds; and
        who is not the parent sends what he was asked for, or as an old one what was on its way."""
        upstream, near = self.upstream, self._near
        is_near = self.top < 0 or (sequence - self.top + near) & MASK <= 2 * near
        if (is_near and by is upstream.parent) or by is None or self.ours:
            return False
        if upstream.parent is None or self.is_upstream(by):
            may = is_near or now - self.moved_at > LIVE
        else:
            theirs = self.theirs.get(by)
            may = is_near and theirs is not None and now - max(theirs.asked_at, theirs.fed_at) < ANSWERS
        if may:
            return False
        self.counters.unasked_data += 1
        if by is self.suspicion.suspect and is_near:
            self.suspicion.brought(sequence, flags & RETRANSMITTED, now)
        if by is upstream.parent or by is upstream.second.parent:
            if self._led_at <= self.moved_at:
                self.disappoints(by, LED_AWAY, now)
        elif upstream.parent is not None and not flags & RETRANSMITTED:
            upstream.brought(by, now)
        return True

    def doubled(self, sequence: int, flags: int, by: Neighbour, now: float) -> bool:
        """A packet that was here already came over the link; True: it was to come, as there are two feeds."""
        if by is self.suspicion.suspect:
            self.suspicion.brought(sequence, flags & RETRANSMITTED, now)
        if flags & CAME_AGAIN:
            return False
        if by is self.upstream.parent:
            self.upstream.fed_at = now
            self.gaps.doubled(sequence, now)
            self.suspicion.doubled(sequence, now)
        else:
            self.upstream.brought(by, now, is_new=False)
        return self.upstream.second.parent is not None and self._is_copy(sequence, flags, by, now)

    def _is_copy(self, sequence: int, flags: int, by: Neighbour, now: float) -> bool:
        """Of two feeds it is what the later one brings."""
        upstream = self.upstream
        is_parents = by is upstream.parent
        if not is_parents and by is not upstream.second.parent:
            return False
        self.counters.copies += 1
        if flags & BEACON:
            upstream.second.beacon_again(sequence, by, now)
            if is_parents:
                upstream.better.beacon(sequence, now)
        return True

    def _begin(self, sequence: int, by: Neighbour | None, now: float) -> None:
        self._is_true()
        self.top = self.gaps.mark = sequence
        if 0 < sequence <= BEGINNING and by is not None:
            self.gaps.skipped(MASK, sequence + 1, now)  # it begins, and the first ones are lost or late
        self._measured_at = now
        self._count = 1
        self._mesh.started(self, by, now)

    # --- what neighbours say

    def accept_held(self, by: Neighbour, held: Held, now: float) -> None:
        self.look()
        theirs = self.of(by)
        theirs.said(held, now)
        if self.ours:
            return
        if held.beacon is not None and not self.rate:
            self.rate = min(RATE_TOLD, float(held.beacon.rate))
            self.bits = min(BITS_TOLD, float(held.beacon.bits))
        self.suspicion.told(by, held, now)
        self.upstream.told(by, theirs, held, now)
        if by is self.upstream.parent:
            self.tail.told(held, now)

    def accept_nack(self, by: Neighbour, missing: tuple[Range, ...], now: float) -> None:
        """Sends what is here; what is not is said."""
        is_absent = False
        for number in each(missing, AT_ONCE):
            if self.kept.has(number):
                self.kept.give(by, number, now)
            else:
                is_absent = True
        if is_absent and self.top >= 0:
            by.say(Have((self.held(),)), now)

    def accept_graft(self, by: Neighbour, graft: Graft, now: float) -> None:
        """It wants to be a child."""
        self.look()
        self.suspicion.leaves(by)
        self.brood.accept(by, graft, now)

    def accept_prune(self, by: Neighbour, prune: Prune, now: float) -> None:
        """It leaves, or will not be the parent."""
        self.look()
        self.suspicion.leaves(by)
        self.brood.drop(by)
        if not self.ours:
            self.upstream.pruned(by, prune, now)
        self.unwanted(now)

    def adopt(self, child: Neighbour) -> None:
        """It is pushed to, unasked, as the stream begins."""
        self.brood.adopt(child)

    def lie_fallow(self) -> None:
        """What begins here goes by the shared tree; to neighbours it is a stream that has ended."""
        self.is_alone = False
        self.top = -1
        self.kept.packets.clear()
        for child in self.brood.takers:
            self.brood.drop(child)

    def follows(self, sequence: int, by: Neighbour | None, now: float) -> None:
        """It comes by a tree of its own from now on, and by the shared one it came up to this number."""
        if self.top < 0:
            self._begin(sequence, by, now)

    def came_otherwise(self, sequence: int, now: float) -> None:
        """The packet came by the shared tree: it is not missing, and neither is what lies before it.  Anybody
        can send such a one: it leads the stream nowhere, nor makes a liar of who has it from its origin."""
        step = (sequence - self.top) & MASK
        if self.top >= 0 and 0 < step <= self._near:
            self.gaps.passed(self.top, sequence)
            self.top = sequence
            self._led_at = now
        elif self.gaps.numbers:
            self.gaps.found(sequence, None, False, now)

    def gone(self, by: Neighbour, now: float) -> None:
        """The link is no more."""
        self.look()
        self.suspicion.leaves(by)
        self.brood.drop(by)
        if self.theirs.pop(by, None):
            by.shared -= 1
        if not self.ours:
            self.upstream.gone(by, now)
        self.unwanted(now)

    def unwanted(self, now: float) -> None:
        """Perhaps nobody wants it any more: here, or of those who got it from here."""
        if not self.ours and not self.wants() and not self.brood.takers:
            self.upstream.leave(now)
            self.suspicion.release(now)
            self.gaps.clear()

    # --- time

    def tick(self, now: float) -> None:
        self.due = now + REST
        self.look()
        if now - self._measured_at >= REST:
            self._measure(now)
        self.kept.go_on(now)
        self.brood.tick(now)
        if self.ours:
            return
        self.tail.tick(now)
        if self.gaps.numbers:
            self.gaps.ask(now)
        if self.order.held:
            self.order.go_on(now)
        self.suspicion.tick(now)
        self.upstream.tick(now)

    def _measure(self, now: float) -> None:
        seconds = now - self._measured_at
        if self._count:
            self._mean = self._bytes / self._count
            rate = self._count / seconds
            weight = 1.0 if self.rate * 4 < rate or not self._is_measured else FOLLOWS
            self._is_measured = True
            self.rate += (rate - self.rate) * weight
            self.bits += (self._bytes * 8 / 1000 / seconds - self.bits) * weight
            self._near = NEAR_NUMBERS + int(self.rate * NEAR_SECONDS)
            self.slots.changed()
            if self.upstream.parent is not None:
                self._mesh.promised(self.upstream.parent, FED * min(seconds, LIVE), now)
            self.upstream.is_lossy(self.gaps.lost, self._count, now)
            self.upstream.second.measured(self._count, now)
            self.gaps.lost = 0
            self.rerouted()
        elif seconds < LIVE:
            return  # so that a slow stream has its true rate
        if not self.ours:
            self.gaps.fade(seconds)
        self._measured_at = now
        self._count = self._bytes = 0
        if self.top >= 0:
            self.kept.trim(self.top, self.rate, self._mesh.kept_most(self._mean))
            self.kept.ages(self.top, now)
