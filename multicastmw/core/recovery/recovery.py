"""All of one node's recovery on static links: what partners say goes to the stream that it is about."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from multicastmw.core.bucket import Bucket
from multicastmw.core.counters import Counters
from multicastmw.core.mesh.settings import (
    FORGET,
    KEPT_BYTES,
    KEPT_BYTES_ALL,
    KEPT_SECONDS,
    PACKET_BYTES,
    RESENT_SHARE,
    UPLINK_USUAL,
)
from multicastmw.core.recovery.fed import Fed
from multicastmw.core.recovery.partner import Partner
from multicastmw.core.recovery.repair import Repair
from multicastmw.core.recovery.served import RepairCounters, Served
from multicastmw.wire.mesh import Have, Held, Nack, StreamKey
from multicastmw.wire.probe import GROUP as PROBING

if TYPE_CHECKING:
    from multicastmw.core.link import Link
    from multicastmw.core.routing import Route
    from multicastmw.core.stream import Sending, Stream

# What we chose.
KEPT_MS = int(KEPT_SECONDS * 1000)  # as our Open says it
HAVE_EVERY = 0.2  # seconds between two rounds of announcements
HELD_MAX = 32  # streams of one Have: so it fits a datagram
MEASURE_EVERY = 1.0
STREAMS_PER_HAVE = 8  # so many more streams allow as many Haves again
BURST = 0.1  # seconds of what may be sent again, that may be sent at once
BURST_LEAST = 32_000.0  # bytes
NEVER = float("inf")

MayResend = Callable[[float, float], bool]  # so many bytes, now


class RecoveryCounters(Counters):
    """What partners said, and what came of that."""

    __slots__ = (
        "congested", "haves", "haves_over_bound", "nacks", "nacks_over_bound", "not_kept", "unknown_streams",
    )  # fmt: skip
    congested: int  # Nacks over a link that has not sent yet what it was given
    haves: int
    haves_over_bound: int
    nacks: int
    nacks_over_bound: int
    not_kept: int  # packets that were asked for and are not here, or not any more
    unknown_streams: int


class Recovery:
    """`deadline` and `hold` in seconds, `uplink` in kbit/s, None where it is not known."""

    def __init__(self, deadline: float, hold: float, uplink: int | None, now: float) -> None:
        self.deadline_of_packets = deadline
        self.hold = hold
        self.now = now
        self.counters = RecoveryCounters()
        self.partners: dict[Link, Partner] = {}
        self.repairs: dict[StreamKey, Repair] = {}
        self.fed: dict[StreamKey, Fed] = {}  # at a border: what the mesh has
        self.shared: MayResend | None = None  # the mesh's bound, at a border
        self.wake: Callable[[], None] = lambda: None  # the deadline may have come nearer
        # Told of streams, by origin and route, whose packets are to pass here and not in the kernel alone.
        self.is_needed: Callable[[int, Route], None] = lambda origin, route: None
        self._uplink = uplink
        self._resends = Bucket(0.0, 0.0)
        self._pace(0.0)
        self._busy: dict[Served, None] = {}
        self._keeping: dict[Repair, None] = {}
        self._due = NEVER
        self._measure_at = self._round_at = NEVER
        self._forgotten = RepairCounters()

    # --- links

    def link_up(self, link: "Link") -> Partner:
        """Its other end says that it speaks recovery."""
        partner = self.partners[link] = Partner(link)
        for repair in self.repairs.values():
            if link in repair.others:
                repair.goes_to(repair.others)
        return partner

    def link_down(self, link: "Link") -> None:
        self.partners.pop(link, None)
        for repair in self.repairs.values():
            repair.gone(link)

    # --- streams, as the forwarder tells of them

    def begins(
        self, origin: int, count: int, group: int, source: int, stream: "Stream | Sending", now: float
    ) -> Repair | None:
        """A stream, or the kernel's count of one, was not there before; None: it is not to be repaired, or
        the mesh does it."""
        if group == PROBING:
            return None  # it measures what is lost
        key = StreamKey(origin ^ count, group, source)
        if self._measure_at == NEVER:
            self._measure_at = now + MEASURE_EVERY
            self.wake()
        feed = stream.feed
        begins_here = getattr(stream, "window", None) is None
        if feed is not None and (begins_here or not feed.ours):
            self._feeds(Fed(key, stream.route, feed, self))
            return None
        repair = self.repairs[key] = Repair(origin, key, stream, self, now)
        repair.kept.trim(0, 0.0, self._kept_most(PACKET_BYTES))
        if feed is not None:
            feed.gaps = repair.gaps  # it enters the mesh here, and what it lacks is said there, too
        return repair

    def _feeds(self, fed: Fed) -> None:
        """The mesh has a stream."""
        if before := self.fed.get(fed.key):
            self._forgotten.add(before.counters)
        self.fed[fed.key] = fed
        if fed.others:
            self._winds_round()

    def _look_at_fed(self) -> None:
        """Where do they go now?  Those that have ended are forgotten, as the mesh does."""
        for key, fed in list(self.fed.items()):
            fed.look()
            if fed.others:
                self._winds_round()
            if self.now - fed.heard > FORGET:
                self._forgotten.add(self.fed.pop(key).counters)
                self._busy.pop(fed, None)

    def ended(self, repair: Repair) -> None:
        """Nothing has come of it for long."""
        self._forgotten.add(repair.counters)
        self.repairs.pop(repair.key, None)
        self._busy.pop(repair, None)
        self._keeping.pop(repair, None)

    def totals(self) -> RepairCounters:
        """Of all streams, the forgotten ones among them."""
        served = [*self.repairs.values(), *self.fed.values()]
        return RepairCounters().add(self._forgotten, *(each.counters for each in served))

    # --- what a stream asks

    def busy(self, served: Served, at: float) -> None:
        """It has something to do then."""
        self._busy[served] = None
        if at < self._due:
            self._due = at
            self.wake()

    def keeps(self, repair: Repair) -> None:
        """It goes to a partner, who is told how far it is."""
        self._keeping[repair] = None
        self._winds_round()

    def _winds_round(self) -> None:
        if self._round_at == NEVER:
            self._round_at = self.now + HAVE_EVERY
            self.wake()

    def may_resend(self, size: float, now: float) -> bool:
        return self.shared(size, now) if self.shared else self._resends.allows(now, size)

    def _kept_most(self, mean: float) -> int:
        """Packets of this mean size that one stream may keep."""
        share = min(KEPT_BYTES, KEPT_BYTES_ALL / max(1, len(self._keeping)))
        return int(share / max(64.0, mean))

    # --- what partners say

    def accept(self, by: Partner, message: Have | Nack, now: float) -> None:
        self.now = now
        if isinstance(message, Nack):
            self._accept_nack(by, message, now)
        else:
            self._accept_have(by, message, now)

    def _accept_have(self, by: Partner, have: Have, now: float) -> None:
        self.counters.haves += 1
        if not by.haves.allows(now, 1 / (1 + len(self.repairs) / STREAMS_PER_HAVE)):
            self.counters.haves_over_bound += 1
            return
        for held in have.streams:
            repair = self.repairs.get(held.stream) if isinstance(held.stream, StreamKey) else None
            if repair is not None:
                repair.accept_held(by, held, now)
            elif held.stream not in self.fed:  # the mesh asks for what that lacks
                self.counters.unknown_streams += 1

    def _accept_nack(self, by: Partner, nack: Nack, now: float) -> None:
        self.counters.nacks += 1
        repair, fed = self.repairs.get(nack.stream), self.fed.get(nack.stream)
        served = repair or fed
        if not by.nacks.allows(now):
            self.counters.nacks_over_bound += 1
        elif served is None or not served.knows(by):
            self.counters.unknown_streams += 1
            other = self.repairs.get(nack.stream._replace(origin=nack.stream.origin ^ 1))
            if other is not None and other.knows(by):  # the kernel has numbered it
                self.is_needed(other.origin, other.stream.route)
        elif by.wire.is_congested:
            self.counters.congested += 1
        else:
            served.accept_nack(by, nack.missing, now)
            if repair is not None:  # of what the mesh has the kernel keeps packets, too
                self.is_needed(repair.origin, repair.stream.route)

    # --- time

    def deadline(self) -> float:
        return min(self._due, self._measure_at, self._round_at)

    def tick(self, now: float) -> None:
        self.now = now
        if now >= self._due:
            self._due = NEVER
            for repair in list(self._busy):
                if repair.due <= now:
                    repair.tick(now)
                if repair.due == NEVER:
                    self._busy.pop(repair, None)
                else:
                    self._due = min(self._due, repair.due)
        if now >= self._measure_at:
            self._measure(now)
        if now >= self._round_at:
            self._tell(now)

    def _measure(self, now: float) -> None:
        self._look_at_fed()
        self._measure_at = now + MEASURE_EVERY if self.repairs or self.fed else NEVER
        sent = 0.0
        for repair in list(self.repairs.values()):
            mean = repair.mean
            if repair.measure(self._kept_most(mean), now):
                self.is_needed(repair.origin, repair.stream.route)
            if repair.keeps:
                sent += repair.rate * mean * sum(other in self.partners for other in repair.others)
                if not repair.is_live:
                    self._keeping.pop(repair, None)
                elif repair not in self._keeping:
                    self.keeps(repair)
        self._pace(sent)

    def _pace(self, sent: float) -> None:
        """A quarter of the uplink; where that is not known, of what is sent (bytes/s) or of a usual one.

        Nor is it where it is 0: a node that carries nothing for others sends on static links all the same.
        """
        whole = self._uplink * 125 if self._uplink else max(UPLINK_USUAL * 125, sent)
        rate = whole * RESENT_SHARE
        self._resends.fills_by(rate, max(BURST_LEAST, rate * BURST))

    def _tell(self, now: float) -> None:
        """A round: what is quiet, to those whom it goes to."""
        served: list[Served] = [*self._keeping, *(fed for fed in self.fed.values() if fed.others)]
        self._round_at = now + HAVE_EVERY if served else NEVER
        said: dict[Partner, list[Held]] = {}
        for each in served:
            held = each.to_tell(now)
            if held is None:
                continue
            for other in each.others:
                partner = self.partners.get(other)  # type: ignore[call-overload]
                if partner is not None:
                    said.setdefault(partner, []).append(held)
        for partner, helds in said.items():
            for first in range(0, len(helds), HELD_MAX):
                partner.say(Have(tuple(helds[first : first + HELD_MAX])), now)
