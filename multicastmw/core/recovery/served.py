"""What a node answers its partners of one stream, and tells them by itself.

Served ──┬── Repair   of a stream that comes over a static link, or begins here (repair.py)
         └── Fed      of a stream that the mesh has at a border, which keeps and fetches it (fed.py)
"""

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any

from multicastmw.core.counters import Counters
from multicastmw.core.mesh.gaps import Gaps
from multicastmw.core.mesh.kept import Kept
from multicastmw.core.mesh.numbers import MASK, ahead, each, ranges
from multicastmw.core.mesh.settings import AT_ONCE
from multicastmw.core.recovery.partner import Partner
from multicastmw.wire.mesh import RANGES_MAX, Have, Held, Load, Range, StreamKey

if TYPE_CHECKING:
    from multicastmw.core.recovery.recovery import Recovery
    from multicastmw.core.routing import Destination, Route

# What we chose.
QUIET = 0.04  # seconds without a packet: what is sent more often shows its own losses
TELLS = 3  # times that a highest number is announced: a Have may be lost, too
NEVER = float("inf")
NOWHERE = -1  # no number


class RepairCounters(Counters):
    """Packets of a stream: what was missing and what became of it, and what was sent again."""

    __slots__ = ("asked", "given_up", "held", "missed", "recovered", "resent", "resent_bytes")
    asked: int
    given_up: int
    held: int  # for a while, so that programs get them in order
    missed: int
    recovered: int
    resent: int
    resent_bytes: int


class Served:
    """Of one stream."""

    gaps: Gaps  # what is missing
    kept: Kept  # what is kept for those whom it goes to, and sent again
    others: "tuple[Destination, ...]"  # that its packets go to

    def __init__(self, key: StreamKey, recovery: "Recovery") -> None:
        self.key = key
        self.counters = RepairCounters()
        self.due = NEVER
        self._recovery = recovery
        self._told, self._tells = NOWHERE, TELLS

    @property
    def top(self) -> int:
        """The highest number, as far as it was seen here; NOWHERE: none yet."""
        raise NotImplementedError

    @property
    def heard(self) -> float:
        """When the last packet came."""
        raise NotImplementedError

    @property
    def route(self) -> "Route":
        """Where its packets go."""
        raise NotImplementedError

    def knows(self, asker: Any) -> bool:
        """Does it go there?"""
        takers: Container[Any] = self.route.takers
        return asker.wire in takers

    def low_water(self, sequence: int) -> int:
        """How far below this number the first one is that is missing here; 0: nothing is."""
        return self.gaps.low_water(sequence)

    def wake(self, at: float) -> None:
        if at < self.due:
            self.due = at
            self._recovery.busy(self, at)

    def tick(self, now: float) -> None:
        self.due = NEVER
        self.kept.go_on(now)

    def accept_nack(self, by: Partner, missing: tuple[Range, ...], now: float) -> None:
        """Sends what is here; what is not is said."""
        absent = list[int]()
        for number in each(missing, AT_ONCE):
            if self.kept.has(number):
                self.kept.give(by, number, now)
            else:
                absent.append(number)
        if absent:
            self._recovery.counters.not_kept += len(absent)
            if self.top >= 0:
                by.say(Have((self._held(absent),)), now)

    def _held(self, absent: Iterable[int] = ()) -> Held:
        """With all that is missing here: the first of it is our low water, too."""
        top = self.top
        lacking = {number for number in (*self.gaps.numbers, *absent) if not ahead(number, top)}
        in_order = sorted(lacking, key=lambda number: -((top - number) & MASK))
        return Held(self.key, top, ranges(in_order, RANGES_MAX), Load(0))

    def to_tell(self, now: float) -> Held | None:
        """In a round: is there something that the packets themselves do not say?"""
        top = self.top
        if top != self._told:
            self._told, self._tells = top, 0
        if top < 0 or self._tells >= TELLS or now - self.heard < QUIET:
            return None
        self._tells += 1
        return self._held()
