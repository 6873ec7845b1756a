"""One stream at this node: what is missing of it, and what is kept of it for others.

    Repair ──┬── Gaps    what is missing, and is asked for
             ├── Kept    what is kept for those whom it goes to, and sent again
             └── Order   what waits here for something earlier, as programs want it

A packet that follows the one before, while nothing is missing, costs one comparison (`next`) and, where it
goes to a partner, a copy.  Everything else is looked at in `_took`.
"""

from typing import TYPE_CHECKING, Any

from multicastmw.core.mesh.gaps import Gaps
from multicastmw.core.mesh.kept import Kept
from multicastmw.core.mesh.numbers import HALF, MASK, ahead, each
from multicastmw.core.mesh.order import Order
from multicastmw.core.mesh.settings import (
    AT_ONCE,
    GAP_WAIT,
    KEPT_SECONDS,
    LIVE,
    MISSING_MAX,
    NACK_TRIES,
    PACKET_BYTES,
)
from multicastmw.core.mesh.theirs import Theirs
from multicastmw.core.packet import Packet
from multicastmw.core.recovery.partner import Partner
from multicastmw.core.recovery.served import NOWHERE, Served
from multicastmw.wire.data import CAME_AGAIN, LOW_WATER_OFFSET
from multicastmw.wire.mesh import Held, StreamKey

if TYPE_CHECKING:
    from multicastmw.core.recovery.recovery import Recovery
    from multicastmw.core.routing import Destination, Route
    from multicastmw.core.stream import Sending, Stream

# What we chose.
FOLLOWS = 0.3  # of a measured rate goes into the mean
IN_VAIN = NACK_TRIES // 2  # tries that count as made when the partner lacks a packet and does not fetch it
NEVER = float("inf")
REST = 3.0  # seconds after a flow's gate was forced: what waited then has surely come
LOOKS = 63  # every 64th packet it is looked whether too many are kept


class Repair(Served):
    """Of one stream; `stream` counts its packets, as they come over a link or as they begin here."""

    def __init__(
        self, origin: int, key: StreamKey, stream: "Stream | Sending", recovery: "Recovery", now: float
    ) -> None:
        """`key` has the origin, or what stands for it where the kernel has numbered the packets."""
        super().__init__(key, recovery)
        self.origin = origin
        self.stream = stream
        self.window = getattr(stream, "window", None)  # None: it begins here
        self.next = NOWHERE  # the number that follows, while nothing is missing
        self.link: Any = None  # that it comes over
        self.others = ()
        self.keeps = False  # is one of these a partner's?
        self.rate = 0.0  # packets/s
        self.gaps = Gaps(self)
        self.kernel: None = None  # of what the kernel forwards nothing is kept
        self.kept = Kept(self)
        self._packets = self.kept.packets  # a call less for each packet
        self.order = Order(self)
        self.theirs: dict[Any, Theirs] = {}
        self._nobodys = Theirs()
        self.children: tuple[()] = ()
        self._top = NOWHERE
        self._restarts = 0
        self._counted = 0
        self._measured_at = now
        self._missed = 0
        self._rests_until = -NEVER

    @property
    def top(self) -> int:
        """The highest number, as far as it was seen here; NOWHERE: none yet."""
        if self.window is None:
            return (self.stream.numbered - 1) & MASK if self.stream.numbered else NOWHERE  # type: ignore[union-attr]
        return (self.next - 1) & MASK if self.next >= 0 else self._top

    @property
    def heard(self) -> float:
        return self.stream.heard

    @property
    def route(self) -> "Route":
        return self.stream.route

    # --- what its parts ask

    @property
    def parent(self) -> Partner | None:
        return self.link.partner if self.link is not None else None

    @property
    def deadline(self) -> float:
        return self._recovery.deadline_of_packets

    @property
    def hold(self) -> float:
        return self._recovery.hold

    def of(self, source: Any) -> Theirs:
        """Nothing is thought of who said it: there is no other."""
        return self._nobodys

    def may_ask(self, source: Any, now: float) -> bool:
        """Nobody is blamed on a static link."""
        return True

    def promised(self, source: Any, points: float, now: float) -> None:
        """See `of`."""

    def may_resend(self, now: float) -> bool:
        return self._recovery.may_resend(self.mean, now)

    @property
    def mean(self) -> float:
        """Bytes of a packet."""
        route = self.stream.route
        return route.bytes / route.packets + 60 if route.packets else float(PACKET_BYTES)

    # --- packets

    def starts(self, packet: Packet, sequence: int, others: "tuple[Destination, ...]") -> None:
        """A packet begins here."""
        if others is not self.others:
            self.goes_to(others)
        if self.keeps:
            self._packets[sequence] = bytes(packet.message)
            if not sequence & LOOKS:
                self.kept.bound()

    def passes(
        self,
        packet: Packet,
        sequence: int,
        low_water: int,
        flags: int,
        ingress: Any,
        others: "tuple[Destination, ...]",
    ) -> Order | None:
        """A packet that is new here stands as it is sent, and gets our low water.

        Gives what it may have to wait in, so that programs get it in its order.
        """
        order = None
        if sequence == self.next and not low_water and ingress is self.link and others is self.others:
            self.next = sequence + 1 & MASK
        else:
            order = self.order
            if others is not self.others:
                self.goes_to(others)
            self.link = ingress
            self._took(packet, sequence, low_water, flags)
            if ahead(sequence, self._top):
                order = None  # so far ahead that nobody believes it: nothing waits for what is between
        if self.keeps:
            self._packets[sequence] = bytes(packet.message)
            if not sequence & LOOKS:
                self.kept.bound()
        return order

    def goes_to(self, others: "tuple[Destination, ...]") -> None:
        """Its packets go to these from now on."""
        self.others = others
        self.keeps = any(getattr(other, "partner", None) for other in others)
        if self.keeps:
            self._recovery.keeps(self)

    def lapse(self) -> None:
        """Packets were not asked for, or did not pass here: what was missed meanwhile is not missing."""
        self.next = self._top = NOWHERE
        self.gaps.clear()
        self.order.go_on(self.stream.heard)

    def rest(self, now: float) -> None:
        """The kernel is ahead of what waits here: what is missing here it may have, until that is out."""
        self.lapse()
        self._rests_until = now + REST

    def _took(self, packet: Packet, sequence: int, low_water: int, flags: int) -> None:
        """One that is not plainly the next."""
        now, gaps = packet.now, self.gaps
        top, resent = self.top, bool(flags & CAME_AGAIN)
        assert self.window is not None
        if now < self._rests_until:
            pass
        elif top < 0 or self.window.restarts != self._restarts:
            self._begin()
        else:
            if not resent:
                self._hears_of((sequence - low_water) & MASK, now)
            step = (sequence - top) & MASK
            if step == 1:
                self._top = sequence
            elif not 0 < step < HALF:
                gaps.found(sequence, self.parent, resent, now)
                self._top = top
            elif self.window.highest == sequence:
                self._skipped(top, step, now)
                self._top = sequence
            else:  # so far ahead that the window does not believe it yet
                self._top = top
        packet.buffer[LOW_WATER_OFFSET] = gaps.low_water(sequence)
        self._look_for_next()

    def _look_for_next(self) -> None:
        self.next = NOWHERE if self.gaps.numbers or self._top < 0 else (self._top + 1) & MASK

    def _begin(self) -> None:
        """Where the window is: what came just now may be late, or so far ahead that nobody believes it."""
        assert self.window is not None and self.window.highest is not None
        self._restarts = self.window.restarts
        self._top = self.gaps.mark = self.window.highest
        self.gaps.clear()

    def _hears_of(self, mark: int, now: float) -> None:
        """Below it all was sent to us."""
        gaps = self.gaps
        if gaps.numbers:
            gaps.parent_has(mark, now)
        elif (mark - gaps.mark) & MASK < HALF:
            gaps.mark = mark

    def _skipped(self, top: int, step: int, now: float) -> None:
        """The number after `top` that came is so many steps further."""
        if self.parent is not None:
            self.gaps.skipped(top, step, now)

    # --- what partners say

    def accept_held(self, by: Partner, held: Held, now: float) -> None:
        """So far it was sent; and this is missing there, too."""
        top = self.top
        if self.window is None or by is not self.parent or top < 0 or not self.stream.is_counting:  # type: ignore[union-attr]
            return
        for number in each(held.missing, AT_ONCE):
            self._asked_in_vain(number, by, now)
        more = (held.highest - top) & MASK
        if not 0 < more <= MISSING_MAX:
            return
        self._hears_of(held.missing[0].first if held.missing else (held.highest + 1) & MASK, now)
        self._skipped(top, more + 1, now)
        self._top = held.highest
        self._look_for_next()

    def _asked_in_vain(self, number: int, by: Partner, now: float) -> None:
        """The partner lacks it: it is fetching it, if its low water says so."""
        miss = self.gaps.numbers.get(number)
        if miss is None or miss.asked is not by:
            return
        is_fetching = (number - self.gaps.mark) & MASK < HALF
        if is_fetching:
            miss.tries, miss.sent_by = 0, NEVER
        else:
            miss.tries += IN_VAIN
        miss.ask_at = now + GAP_WAIT

    def gone(self, link: Any) -> None:
        """The link is no more."""
        if self.link is link:
            self.link = None
        if link in self.others:
            self.others, self.keeps = (), False

    # --- time

    @property
    def is_live(self) -> bool:
        return self._recovery.now - self.stream.heard < LIVE

    def tick(self, now: float) -> None:
        super().tick(now)
        if self.gaps.numbers:
            self.gaps.ask(now)
            if not self.gaps.numbers:
                self._look_for_next()
        if self.order.held:
            self.order.go_on(now)

    def measure(self, most: int, now: float) -> bool:
        """About once a second; was something missed since?"""
        missed, self._missed = self._missed, self.counters.missed
        count = self.window.received if self.window is not None else self.stream.numbered  # type: ignore[union-attr]
        seconds, grown = now - self._measured_at, (count - self._counted) & MASK
        if grown or seconds > LIVE:  # so that a slow stream has its true rate
            rate = grown / seconds if seconds > 0 else 0.0
            self.rate += (rate - self.rate) * (1.0 if self.rate * 4 < rate else FOLLOWS)
            self._counted, self._measured_at = count, now
            self.gaps.fade(seconds)
        if self.kept.packets:
            if now - self.stream.heard > KEPT_SECONDS:
                self.kept.packets.clear()
            else:
                highest = self.window.highest if self.window is not None else self.top
                self.kept.trim(self.top if highest is None else highest, self.rate, most)
        return self.counters.missed != missed
