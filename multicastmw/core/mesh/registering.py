"""Slow streams that begin here: their packets are registered with the group's rendezvous point (as PIM-SM has
it, RFC 7761), which sends all of them on as one stream, so that many who seldom speak are one tree.

              slow: below 2 packets/s
        +---------------------------------+
        |                                 v
    ALONE: a tree of its own          SHARED: each packet is registered, until it is acknowledged
        ^                                 |
        +---------------------------------+
              the second packet comes within half a second of the first; later, more than 2 packets/s;
              it is long, or has few hops; this node is a border; nobody takes registers, or no more of them

Each packet goes one way or the other, under the same number, so the window at its receivers sees to the
change.  A stream that becomes fast takes those along that are not acknowledged yet: a film begins as early as
it would alone.  A rendezvous point that does not answer is left for a while, and the next one is asked.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from multicastmw.core.addressing import ANY
from multicastmw.core.bucket import Bucket
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import MASK
from multicastmw.core.mesh.settings import SLOW
from multicastmw.wire.data import HOP_LIMIT_OFFSET, SEQUENCE_OFFSET, SEQUENCE_TWIN
from multicastmw.wire.mesh import BASE, About, Refusal, Register, Registered, Sample, StreamKey
from multicastmw.wire.probe import GROUP as PROBING

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.core.mesh.mesh import Mesh

SHARED = int(About.SHARED)
SSM = 232

# What we chose.
QUICK = 1 / SLOW  # seconds between a stream's first two packets, and it is alone at once
BURST = 3  # packets that a slow stream may send at once
LOOK = 10.0  # seconds between two looks at who is alone
AGAIN = 0.5  # of SLOW: below it, over such a time, a stream is slow again
ALONE = 60.0  # seconds that a stream stays alone which could not be registered
LONGEST = 1_200  # bytes of a message: what is longer goes alone, as it might not fit a datagram
HOPS_LEAST = 8  # who counts hops goes alone: the way over the rendezvous point is one longer
PENDING_MAX = 1_024  # packets that wait for an acknowledgement
TRIES = 3  # of one rendezvous point
PATIENCE, PATIENCE_TRIPS = 0.05, 1.3  # seconds until it is said again, and round trips
DIALLED = 1.0  # seconds that a link to a rendezvous point may take
REST = 60.0  # seconds for which one that did not answer, or refused, is not asked
LINK_KEPT = 150.0  # seconds that a link is kept over which something was registered
NEVER = float("inf")


def may_share(group: int) -> bool:
    """Is there a shared tree of the group?  Not of source-specific ones (232/8, RFC 4607), nor of that in
    which nodes measure what is lost; nor of IPv6, whose keys are longer."""
    return BASE < group < 1 << 32 and group >> 24 != SSM and group != PROBING


def _number(message: bytes) -> int:
    (sequence,) = SEQUENCE_TWIN.unpack_from(message, SEQUENCE_OFFSET)
    return int(sequence)


class Pace:
    """Is one stream fast?  It is told of each packet while the stream is not alone; `last` was registered."""

    __slots__ = ("_bucket", "_first_at", "last", "last_at")

    def __init__(self) -> None:
        self.last = b""
        self.last_at = -NEVER
        self._bucket = Bucket(SLOW, BURST)
        self._first_at: float | None = None

    def is_fast(self, now: float) -> bool:
        """One more packet, now."""
        allowed = self._bucket.allows(now)
        if self._first_at is None:
            self._first_at = now
        elif self._first_at > -NEVER:
            is_quick = now - self._first_at < QUICK
            self._first_at = -NEVER
            return is_quick
        return not allowed


class Pending:
    """A packet that nobody has acknowledged yet; `point` is the node that was asked, 0 before."""

    __slots__ = ("due", "feed", "point", "register", "said", "tries")

    def __init__(self, feed: "Feed", register: Register, now: float) -> None:
        self.feed = feed
        self.register = register
        self.point = 0
        self.tries = 0
        self.said = False
        self.due = now


class Registering:
    """One node's."""

    def __init__(self, mesh: "Mesh", now: float) -> None:
        self._mesh = mesh
        self._paces: dict[StreamKey, Pace] = {}
        self._pending: dict[tuple[StreamKey, int], Pending] = {}
        self._resting: dict[int, float] = {}  # nodes that are not asked, until
        self._alone_until: dict[StreamKey, float] = {}
        self._tops: dict[StreamKey, int] = {}  # highest numbers of who is alone, at the last look
        self._look_at = self.due = now + LOOK

    # --- packets that begin here

    def takes(self, feed: "Feed", message: bytes, now: float) -> bool:
        """Does it go by the shared tree?  If not, the stream has a tree of its own from now on."""
        key = feed.key
        pace = self._paces.get(key) or self._paces.setdefault(key, Pace())
        is_fast = pace.is_fast(now)
        if is_fast or now < self._alone_until.get(key, now):
            self._go_alone(feed, now)
            return False
        if not self._may(feed, message):
            self._fail(feed, now)
            return False
        if not self._points(key.group, now):
            self._go_alone(feed, now)
            return False
        sequence = _number(message)
        pace.last = message
        pace.last_at = now
        pending = Pending(feed, Register(key, sequence, message), now)
        self._pending[key, sequence] = pending
        feed.moved_at = now
        if not self._say(pending, now):
            self._drop(pending)
            pace.last_at = -NEVER
            self._fail(feed, now)
            return False
        self._mesh.counters.registers += 1
        return True

    def _may(self, feed: "Feed", message: bytes) -> bool:
        side = self._mesh.side
        return (
            self._is_ours(feed)
            and len(message) <= LONGEST
            and message[HOP_LIMIT_OFFSET] >= HOPS_LEAST
            and len(self._pending) < PENDING_MAX
            and not side.is_border
        )

    def _is_ours(self, feed: "Feed") -> bool:
        """Does it begin at this very node, in a group that has a shared tree?"""
        key = feed.key
        return key.origin == self._mesh.side.origin and key.source != ANY and may_share(key.group)

    def _go_alone(self, feed: "Feed", now: float) -> None:
        """It has a tree of its own, and what is not acknowledged goes there, too; so does what was registered
        a moment ago, or who is not in the shared tree yet would miss the beginning."""
        if feed.is_alone:
            return
        self._mesh.counters.switched_over += 1
        self._mesh.plant(feed, now)
        waiting = self._waiting(lambda each: each.feed is feed)
        messages = [each.register.message for each in waiting]
        pace = self._paces.get(feed.key)
        if pace and now - pace.last_at < QUICK and pace.last not in messages:
            messages.append(pace.last)
        for pending in waiting:
            self._drop(pending)
        for message in messages:
            self._mesh.side.send(feed, message, now)

    def _waiting(self, which: Callable[[Pending], bool]) -> list[Pending]:
        return [each for each in self._pending.values() if which(each)]

    def _is_waiting(self, pending: Pending) -> bool:
        """Still, or did it go another way just now?"""
        return self._pending.get((pending.register.stream, pending.register.sequence)) is pending

    def _drop(self, pending: Pending) -> None:
        self._pending.pop((pending.register.stream, pending.register.sequence), None)

    def forget(self, key: StreamKey) -> None:
        """The stream has ended."""
        for each in (self._paces, self._alone_until, self._tops):
            each.pop(key, None)
        for pending in self._waiting(lambda each: each.register.stream == key):
            self._drop(pending)

    def last(self, key: StreamKey) -> int | None:
        """The number of the packet that was registered last; None: none was."""
        pace = self._paces.get(key)
        return _number(pace.last) if pace and pace.last else None

    # --- to whom

    def point(self, group: int, now: float) -> Sample | None:
        """The rendezvous point of the group, as far as this node knows."""
        return next(iter(self._points(group, now)), None)

    def _points(self, group: int, now: float) -> list[Sample]:
        points = self._mesh.meeting.rendezvous_points(group)
        return [each for each in points if self._resting.get(each.node, now) <= now]

    def _try(self, pending: Pending, now: float) -> None:
        if self._is_waiting(pending) and not self._say(pending, now):
            self._fail(pending.feed, now)

    def _say(self, pending: Pending, now: float) -> bool:
        """To the first that may answer; False: there is none, or it is busy with what others of ours say."""
        mesh, register = self._mesh, pending.register
        for point in self._points(register.stream.group, now):
            if point.node != pending.point:
                pending.point = point.node
                pending.tries = 0
                pending.said = False
            neighbour = mesh.neighbours.get(point.node)
            if point.node == mesh.node:
                self._drop(pending)
                return mesh.rendezvous.take(register, now)
            if neighbour is not None and neighbour.capabilities.flags & SHARED:
                return self._say_to(neighbour, pending, now)
            if neighbour is None and mesh.contacts.reach(point, BASE, "tell", now):
                self._wind(pending, now + DIALLED)
                return True
            if not self._is_waiting(pending) or pending.point != point.node:
                return True  # it cannot be dialled, and so the packet went another way already
            self._resting[point.node] = now + REST
        return False

    def _say_to(self, neighbour: Neighbour, pending: Pending, now: float) -> bool:
        """False: it would be more than the other end takes."""
        neighbour.kept_until = now + LINK_KEPT
        if not neighbour.own_registers.allows(now):
            return False
        self._mesh.counters.registers_again += pending.said
        pending.said = True
        pending.tries += 1
        neighbour.say(pending.register, now)
        self._wind(pending, now + PATIENCE + PATIENCE_TRIPS * neighbour.rtt)
        return True

    def _wind(self, pending: Pending, at: float) -> None:
        pending.due = at
        if at < self.due:
            self.due = at
            self._mesh.wake(at)

    def _fail(self, feed: "Feed", now: float) -> None:
        """It may not be registered, or nobody takes it."""
        self._alone_until[feed.key] = now + ALONE
        self._go_alone(feed, now)

    def _rest(self, node: int, now: float) -> None:
        """It does not answer: all that waits for it goes to the next."""
        self._resting[node] = now + REST
        self._mesh.counters.points_silent += 1
        for pending in self._waiting(lambda each: each.point == node):
            self._try(pending, now)

    # --- what the rendezvous point says

    def accept(self, by: Neighbour, registered: Registered, now: float) -> None:
        pending = self._pending.get((registered.stream, registered.sequence))
        if pending is None or pending.point != by.node:
            return
        if registered.refusal == Refusal.FULL:  # of this stream; it takes others
            self._fail(pending.feed, now)
        elif registered.refusal:
            self._rest(by.node, now)
        else:
            self._drop(pending)
            for better in registered.alternatives:
                self._mesh.contacts.heard_of(better)

    def link_up(self, neighbour: Neighbour, now: float) -> None:
        """What waits for it is said; who had not answered may do so now."""
        self._resting.pop(neighbour.node, None)
        for pending in self._waiting(lambda each: each.point == neighbour.node):
            self._try(pending, now)

    def link_down(self, node: int, now: float) -> None:
        if self._waiting(lambda each: each.point == node):
            self._rest(node, now)

    # --- time

    def tick(self, now: float) -> None:
        for pending in self._waiting(lambda each: each.due <= now):
            if not self._is_waiting(pending) or pending.due > now:
                continue  # it went another way just now
            if pending.tries >= TRIES or not pending.said:
                self._rest(pending.point, now)
            else:
                self._try(pending, now)
        if now >= self._look_at:
            self._look(now)
        self.due = min((each.due for each in self._pending.values()), default=self._look_at)
        self.due = min(self.due, self._look_at)

    def _look(self, now: float) -> None:
        """Who is alone, and slow again?"""
        self._look_at = now + LOOK
        self._resting = {node: until for node, until in self._resting.items() if until > now}
        feeds = self._mesh.feeds.items()
        alone = {key: feed for key, feed in feeds if feed.ours and feed.is_alone and self._is_ours(feed)}
        for key, feed in alone.items():
            sent = (feed.top - self._tops[key]) & MASK if key in self._tops else MASK
            is_slow = sent < LOOK * SLOW * AGAIN
            if is_slow and now >= self._alone_until.get(key, now) and self._points(key.group, now):
                self._mesh.counters.switched_back += 1
                feed.lie_fallow()
        self._tops = {key: feed.top for key, feed in alone.items() if feed.is_alone}
