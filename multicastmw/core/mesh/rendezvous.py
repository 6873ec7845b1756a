"""This node as the rendezvous point of groups: what slow senders register goes out as one stream of its own.

    Register of many ── once each ── (our origin, group, any source) ── a tree as any other ── all members

Such a stream has all that streams have: numbers, parents and children, Have, Nack, order.  The node is in the
group for it, as one that only sends, until nothing has come for long.
"""

from typing import TYPE_CHECKING

from multicastmw.core.addressing import ANY
from multicastmw.core.bucket import Bucket
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import MASK
from multicastmw.core.mesh.registering import LINK_KEPT, LONGEST, may_share
from multicastmw.core.mesh.settings import SLOW
from multicastmw.core.window import Budget, Window
from multicastmw.wire.mesh import Refusal, Register, Registered, Sample, StreamKey

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.core.mesh.mesh import Mesh

# What we chose.
ENDS = 150.0  # seconds after the last register: later than neighbours forget the stream
TALKERS_MAX, TALKERS_OF_ONE = 4_096, 256  # streams that are registered here at a time, and of one node
TALKER_BURST = 8  # registers of one stream at once, beside twice as many a second as it may send
SLOTS = 64  # numbers that its window holds
FLOOD, FORGED = -0.5, -5.0  # points for a register over the bound, and for one in another node's name
ORIGIN_BITS = 16


class Talker:
    """A stream that is registered here."""

    __slots__ = ("bucket", "heard", "window")

    def __init__(self, budget: Budget) -> None:
        self.window = Window(budget, slots=SLOTS, most=SLOTS)
        self.bucket = Bucket(2 * SLOW, TALKER_BURST)
        self.heard = 0.0


class Tree:
    """One group's: the number of its next packet, and until when this node is in it."""

    __slots__ = ("next", "until")

    def __init__(self) -> None:
        self.next = 0
        self.until = 0.0


class Rendezvous:
    """Of all groups."""

    def __init__(self, mesh: "Mesh") -> None:
        self._mesh = mesh
        self._trees: dict[int, Tree] = {}
        self._talkers: dict[StreamKey, Talker] = {}
        self._budget = Budget()

    def __contains__(self, group: int) -> bool:
        """Is this node the rendezvous point of somebody in the group?"""
        return group in self._trees

    # --- registers

    def accept(self, by: Neighbour, register: Register, now: float) -> None:
        """A neighbour's; it is acknowledged also where it came before."""
        mesh, stream = self._mesh, register.stream
        if stream.origin >> ORIGIN_BITS != by.node >> ORIGIN_BITS:
            mesh.counters.registers_refused += 1
            mesh.blame(by, FORGED, now)
        elif not by.registers.allows(now) or len(register.message) > LONGEST:
            mesh.counters.registers_over_bound += 1
            mesh.blame(by, FLOOD, now)
        elif not self._may(stream.group):
            mesh.counters.registers_refused += 1
            by.say(Registered(stream, register.sequence, int(Refusal.NO_RELAY)), now)
        elif self.take(register, now):
            by.kept_until = now + LINK_KEPT
            by.say(Registered(stream, register.sequence, 0, self._better(stream.group, by, now)), now)
        elif stream not in self._talkers:  # nor will the next one be taken
            by.say(Registered(stream, register.sequence, int(Refusal.FULL)), now)

    def _better(self, group: int, by: Neighbour, now: float) -> tuple[Sample, ...]:
        """The relay that comes first, as far as this node knows: so that all come to know of it."""
        first = self._mesh.registering.point(group, now)
        return () if first is None or first.node in (self._mesh.node, by.node) else (first,)

    def _may(self, group: int) -> bool:
        mesh = self._mesh
        return mesh.settings.relay and mesh.slots.has_any and may_share(group)

    def take(self, register: Register, now: float) -> bool:
        """Sends it on, if it is new.  False: it is too much, or there are too many."""
        stream = register.stream
        talker = self._talkers.get(stream) or self._new_talker(stream)
        if talker is None or not talker.bucket.allows(now):
            self._mesh.counters.registers_over_bound += 1
            return False
        feed = self._feed(stream.group, now)
        if feed is None:  # so it did not come, however often it is said
            self._mesh.counters.registers_over_bound += 1
            self._forget(stream)
            return False
        talker.heard = now
        if talker.window.accept(register.sequence, now):
            self._send(feed, register, now)
        else:
            self._mesh.counters.registers_twice += 1
        return True

    def _new_talker(self, stream: StreamKey) -> Talker | None:
        node = stream.origin >> ORIGIN_BITS
        of_node = sum(each.origin >> ORIGIN_BITS == node for each in self._talkers)
        if len(self._talkers) >= TALKERS_MAX or of_node >= TALKERS_OF_ONE:
            return None
        talker = self._talkers[stream] = Talker(self._budget)
        return talker

    def _feed(self, group: int, now: float) -> "Feed | None":
        """The group's tree; None: there is no room for it."""
        mesh = self._mesh
        key = StreamKey(mesh.side.origin, group, ANY)
        feed = mesh.feeds.get(key)
        if feed is None and (feed := mesh.begin(key, now)):
            mesh.plant(feed, now)
        return feed

    def _send(self, feed: "Feed", register: Register, now: float) -> None:
        group = feed.key.group
        tree = self._trees.get(group) or self._trees.setdefault(group, Tree())
        tree.until = now + ENDS
        number = tree.next
        tree.next = number + 1 & MASK
        self._mesh.counters.registered += 1
        self._mesh.side.spread(feed, number, register.message, now)

    def _forget(self, stream: StreamKey) -> None:
        self._talkers.pop(stream).window.close()

    # --- time

    def tidy(self, now: float) -> None:
        """Groups in which nobody speaks any more are left, and who does not is forgotten."""
        for stream in [key for key, talker in self._talkers.items() if talker.heard + ENDS <= now]:
            self._forget(stream)
        for group in [group for group, tree in self._trees.items() if tree.until <= now]:
            del self._trees[group]
            self._mesh.side.served_no_more(group, now)
