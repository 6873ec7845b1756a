"""What a neighbour has said of a stream, and whether it would have a place for this node."""

from collections.abc import Sequence

from multicastmw.core.estimate import Estimate
from multicastmw.core.mesh.numbers import ahead
from multicastmw.core.mesh.settings import NEARER
from multicastmw.wire.mesh import NOBODY, Held, Range, Refusal

# What we chose.
MUTE_REST, MUTE_REST_MOST = 2.0, 120.0  # seconds that who did not answer a graft is not asked again
NEVER = float("inf")


def gives_way(worst: Sequence[int], slots: int, rtt: float) -> bool:
    """Does the child of so many slots and ms give its place to a node of so many slots, and seconds away?"""
    poorest, far = worst
    if poorest == NOBODY:
        return False
    return slots > 2 * poorest or (slots > 0 and slots >= poorest and rtt * 1000 < far * NEARER)


class Theirs:
    """What one neighbour has said."""

    __slots__ = (
        "asked_at", "at", "beacon", "beacon_at", "cost", "fed_at", "free", "highest", "kept_at", "lead",
        "leads", "lent", "missing", "mutes", "path", "pruned_at", "refused_at", "refused_for",
        "refused_until", "stalled", "worst",
    )  # fmt: skip

    def __init__(self) -> None:
        self.highest = -1
        self.missing: tuple[Range, ...] = ()
        self.at = -NEVER
        self.asked_at = -NEVER  # when this node asked it for packets
        self.fed_at = -NEVER  # when it ceased to be the parent
        self.free = 0
        self.lent = False  # what is free is for who has no other parent
        self.stalled = False
        self.worst: Sequence[int] = (NOBODY, 0)
        self.beacon = -1
        self.beacon_at = -NEVER
        self.kept_at = -NEVER  # when it sent something again, or was blamed for not doing so
        self.leads = 0  # beacons running that it surely had earlier than the parent brought them
        self.lead: Estimate | None = None  # seconds by which its beacons are earlier than this parent's
        self.path: tuple[int, ...] = ()
        self.cost = 0
        self.refused_at = self.refused_until = -NEVER
        self.refused_for = 0
        self.pruned_at = -NEVER
        self.mutes = 0

    def said(self, held: Held, now: float) -> None:
        self.at = now
        self.missing = held.missing
        self.free, self.stalled, is_beacon, poorest, far, self.lent = held.load
        self.worst = poorest, far
        if is_beacon and held.highest != self.beacon:
            self.beacon, self.beacon_at = held.highest, now
        if held.beacon is not None:
            self.path, self.cost = held.beacon.path, held.beacon.cost
        if self.free > 0 and self.refused_for == Refusal.FULL and now > self.refused_at + 1.0:
            self.refused_until = now  # there is room again
        self.has(held.highest)

    def led(self, lead: float) -> None:
        """It had a beacon so many seconds earlier than the parent brought it; later, if that is negative."""
        if self.lead is None:
            self.lead = Estimate()
        self.lead.measure(lead)

    @property
    def sure_lead(self) -> float:
        """What is left of its lead where beacons come now earlier, now later."""
        return self.lead.mean - self.lead.swing if self.lead else 0.0

    def leads_no_more(self) -> None:
        """The parent is another one: leads count from here."""
        self.leads, self.lead = 0, None

    def has_room(self, slots: int, rtt: float) -> bool:
        """For a node of so many slots, so many seconds away, as far as it has said."""
        return self.free > 0 or gives_way(self.worst, slots, rtt)

    def way(self, rtt: float) -> float:
        """Seconds from the origin by it, who is so far away, as far as it has said."""
        return self.cost / 1e6 + rtt / 2

    def passes(self, short: int) -> tuple[int, ...]:
        """The nodes that its packets pass, that one last; empty where it is not known."""
        return (*self.path[-31:], short) if self.path else ()

    def has(self, number: int) -> None:
        if self.highest < 0 or ahead(number, self.highest):
            self.highest = number

    def did_not_answer(self, now: float) -> None:
        """To a graft: it is left in peace, each time for twice as long."""
        self.refused(0, min(MUTE_REST_MOST, MUTE_REST * 2**self.mutes), now)
        self.mutes = min(self.mutes + 1, 8)

    def may_have_lost_it(self) -> bool:
        """It did not answer one graft, and has spoken since: the graft may not have come there."""
        return self.mutes == 1 and self.refused_for == 0 and self.at > self.refused_at

    def refused(self, refusal: int, back_off: float, now: float) -> None:
        self.refused_at, self.refused_for, self.refused_until = now, refusal, now + back_off
