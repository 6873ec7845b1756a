"""One stream's state in a node: where its packets go, and who judges their numbers.

A stream that starts here is numbered, one that comes over a link is held against its window: here, or in the
kernel, which takes it over from Python and gives it back (fastpath).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from multicastmw.core.counters import Counters
from multicastmw.core.packet import Packet
from multicastmw.core.routing import Destination, Route
from multicastmw.core.window import SILENCE, Numbers, Window

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.core.mesh.neighbour import Neighbour
    from multicastmw.core.mesh.order import Order
    from multicastmw.core.recovery.partner import Partner
    from multicastmw.core.recovery.repair import Repair

ELSEWHERE = -1  # an epoch that no route has
UNFED = -2  # nor this one: it came by a shared tree, and has no feed of its own yet


class Ingress(Destination, Protocol):
    """A link that packets come over."""

    neighbour: "Neighbour | None"  # who is there, in the mesh
    partner: "Partner | None"  # the same, where losses are repaired together


class Sending:
    """One (S, G) that starts here, and its count."""

    __slots__ = ("feed", "heard", "repair", "route", "sequence")

    def __init__(self, route: Route, feed: "Feed | None") -> None:
        self.route = route
        self.feed = feed
        self.repair: Repair | None = None
        self.sequence = 0
        self.heard = 0.0

    @property
    def numbered(self) -> int:
        """Packets that somebody wanted, modulo 2^32."""
        return self.sequence


class Share:
    """How many streams began over one link; a stream holds this and not the link, which may go first."""

    __slots__ = ("streams",)

    def __init__(self) -> None:
        self.streams = 0


NumbersOf = Callable[[int], Numbers | None]  # takes a count


class Stream:
    """One (origin, overlay address, count) that comes over a link.

    One at a time judges its numbers: the window here, or the kernel (`epoch` is ELSEWHERE, and nothing is
    `left`).  Whatever comes here then ends that: `recall` takes the count, has the kernel leave all that
    comes to us, and gives what it knows; the window goes on from there.  `hand_over` is the way back.

    Where something always waits here, the kernel goes on before it is out: then the stream is `overtaken`,
    what waits is judged here, and what the kernel took meanwhile is told when they `join`.
    """

    __slots__ = (
        "count", "epoch", "feed", "heard", "left", "left_epoch", "origin", "overtaken", "recall", "repair",
        "route", "share", "window",
    )  # fmt: skip

    def __init__(
        self, origin: int, count: int, route: Route, window: Window, share: Share, feed: "Feed | None"
    ) -> None:
        self.count = count
        self.feed = feed
        self.epoch = route.epoch
        self.share = share
        self.origin = origin
        self.route = route
        self.window = window
        self.repair: Repair | None = None
        self.heard = 0.0
        self.recall: NumbersOf | None = None  # while the kernel has its flow
        self.left: Numbers | None = None  # what the kernel knew when it gave the flow back
        self.left_epoch = 0
        self.overtaken = False  # the kernel goes on, and packets from before wait here

    @property
    def is_judged_here(self) -> bool:
        return self.epoch != ELSEWHERE or self.left is not None

    @property
    def is_counting(self) -> bool:
        """Does the window go on here?  Not while the kernel judges, nor until the first packet after that."""
        return self.epoch != ELSEWHERE and not self.overtaken

    def hand_over(self, ingress: Destination | None) -> Numbers | None:
        """The kernel judges from now on; what it is to know, None where it is to start afresh."""
        epoch, known = self.left_epoch, self.left
        if self.epoch != ELSEWHERE:
            epoch, known = self.epoch, self.window.numbers()
        lapsed = ingress is not None and self.route.resumed_since(epoch, ingress)
        self.leave_to_kernel()
        return None if lapsed else known

    def overtake(self, ingress: Destination, now: float) -> Numbers | None:
        """The kernel goes on from this, and what waits here is judged here yet; None: both start afresh."""
        self.catch_up(ingress, now)
        self.overtaken = True
        if self.repair is not None:
            self.repair.rest(now)
        known = self.window.numbers()
        if known and now - known.heard >= SILENCE:
            self.window.lapse()
            return None
        return known

    def join(self, kernel: Numbers | None) -> None:
        """It was overtaken, and is no more: what the kernel took meanwhile is known here, too."""
        self.overtaken = False
        if kernel:
            self.window.join(kernel)

    def leave_to_kernel(self) -> None:
        """It judges from now on, by what it knows."""
        self.epoch, self.left = ELSEWHERE, None

    def give_back(self, known: NumbersOf, epoch: int) -> None:
        """The kernel has its flow no more; what it knows is taken over where it has judged.

        `epoch` is the route's, when the kernel was told of it last.
        """
        if self.overtaken:
            self.join(known(self.count))
        elif not self.is_judged_here:
            self.left, self.left_epoch = known(self.count), epoch
        self.recall = None

    def doubled(self, feed: "Feed", sequence: int, flags: int, by: "Neighbour", now: float) -> None:
        """What was here already came over the link; of two feeds the later one's is no duplicate."""
        if feed.doubled(sequence, flags, by, now):
            self.window.was_to_come()

    def resume(self, ingress: Destination, now: float) -> None:
        """A packet came by a shared tree; what comes by one of its own, later, is to find its feed."""
        if self.epoch == UNFED:
            self.epoch = self.left_epoch
        if self.epoch != self.route.epoch:
            self.catch_up(ingress, now)
        if self.feed is None:
            self.left_epoch, self.epoch = self.epoch, UNFED

    def came_otherwise(
        self, packet: Packet, sequence: int, mesh: "Ingress", others: tuple[Destination, ...]
    ) -> "Order | None":
        """A new one by a shared tree stands as it is sent; gives what it may have to wait in."""
        if self.feed is not None:
            self.feed.came_otherwise(sequence, packet.now)
        if self.repair is None:
            return None
        return self.repair.passes(packet, sequence, 0, 0, mesh, others)

    def catch_up(self, ingress: Destination, now: float) -> None:
        """Were packets not asked for, or judged by the kernel, since the last one that came here?"""
        route = self.route
        is_ours = self.epoch != ELSEWHERE
        is_same = is_ours and not route.resumed_since(self.epoch, ingress)
        if self.repair is not None and not is_same:
            self.repair.lapse()
        if is_ours:
            if not is_same:
                self.window.lapse()
        else:
            known = self.left
            if known is None and self.recall:
                known = self.recall(self.count)
            elif known and route.resumed_since(self.left_epoch, ingress):
                known = None
            if known:
                if self.feed is not None:
                    self.feed.passed(known.top, known.heard)
                self.window.adopt(known, now)
            else:
                self.window.lapse()
        self.left, self.epoch = None, route.epoch


class StreamTotals(Counters):
    """What became of streams together, as their windows say; `lost` falls where something comes late."""

    __slots__ = ("duplicates", "late", "lost", "received", "reordered")
    duplicates: int
    late: int
    lost: int
    received: int
    reordered: int
