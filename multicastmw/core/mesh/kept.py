"""Packets of one stream that are kept for others, and those that wait to be sent again.

What the kernel forwards it keeps by itself; it is looked for there.
"""

from itertools import islice
from typing import Any, Protocol

from multicastmw.core.mesh.numbers import MASK, ahead
from multicastmw.core.mesh.settings import KEPT_BYTES, KEPT_SECONDS, PACKET_BYTES

# What we chose.
QUEUE_MAX, QUEUE_OF_ONE = 512, 128  # resent packets that wait for their turn, in all and of one neighbour
TURN = 0.02  # seconds until it is seen again whether there is room for them
LEAST = 16  # packets that are kept in any case
OLD = 4.0  # seconds after which these are for who misses them, and not for who has just come
ROOM = 32  # a part of them is dropped where there are too many


class Resender(Protocol):
    """A link, for what is sent again."""

    def resend(self, stored: Any, low_water: int, now: float) -> int:
        """Gives the bytes that went out."""


class Asker(Protocol):
    """Who asks: a neighbour in the mesh, or the other end of a static link."""

    @property
    def wire(self) -> Resender: ...


class KeptCounters(Protocol):
    resent: int
    resent_bytes: int


class Shelf(Protocol):
    """Where else packets are kept: in the kernel."""

    @property
    def how_many(self) -> int: ...
    def kept(self, number: int) -> Any:
        """The packet of that number; None where it is not there."""


class Keeper(Protocol):
    """The stream that they are of: a feed of the mesh, or a repair on static links."""

    @property
    def kernel(self) -> Shelf | None: ...
    @property
    def counters(self) -> KeptCounters: ...
    def knows(self, asker: Any) -> bool:
        """Is the stream still its business?"""

    def low_water(self, sequence: int) -> int: ...
    def may_resend(self, now: float) -> bool: ...
    def wake(self, at: float) -> None: ...


class Kept:
    """By number; the oldest goes first."""

    def __init__(self, feed: Keeper) -> None:
        self.packets: dict[int, Any] = {}
        self._feed = feed
        self._most = KEPT_BYTES // PACKET_BYTES
        self._tops: list[tuple[float, int]] = []  # how far the stream was, at which times
        self._waiting: list[tuple[Asker, int, float]] = []  # who asked for which, and until when it is of use

    def keep(self, number: int, stored: Any) -> None:
        packets = self.packets
        packets[number] = stored
        if len(packets) > self._most:
            self._drop()

    def bound(self) -> None:
        """For who puts packets in by himself."""
        while len(self.packets) > self._most:
            self._drop()

    def _drop(self) -> None:
        """Makes room, some at a time: a dictionary whose first are gone is slow to find the next."""
        for number in list(islice(self.packets, max(1, self._most // ROOM))):
            del self.packets[number]

    def find(self, number: int) -> Any:
        """The packet; None where it is not kept."""
        found = self.packets.get(number)
        if found is None and self._feed.kernel is not None:
            found = self._feed.kernel.kept(number)
        return found

    @property
    def how_many(self) -> int:
        """Packets that are kept, here and there."""
        return len(self.packets) + (self._feed.kernel.how_many if self._feed.kernel is not None else 0)

    def has(self, number: int) -> bool:
        return number in self.packets or self.find(number) is not None

    def trim(self, top: int, rate: float, most: int) -> None:
        """Of what is older than two seconds nothing is kept."""
        self._most = max(LEAST, most)
        span = max(LEAST, int(rate * KEPT_SECONDS) + 1)
        for number in list(self.packets):
            if (top - number) & MASK <= span:
                break
            del self.packets[number]

    def ages(self, top: int, now: float) -> None:
        """The stream is at `top` now."""
        self._tops.append((now, top))
        while len(self._tops) > 1 and self._tops[1][0] <= now - OLD:
            del self._tops[0]

    def is_old(self, number: int, now: float) -> bool:
        """Was it here so long ago that it is only of use to who misses it?"""
        at, top = self._tops[0] if self._tops else (now, 0)
        return at <= now - OLD and not ahead(number, top)

    # --- sending again

    def give(self, to: Asker, number: int, now: float) -> None:
        """When it is its turn: at most a quarter of the uplink goes there."""
        if not self._waiting and self._feed.may_resend(now):
            self._give_now(to, number, now)
        elif len(self._waiting) < QUEUE_MAX and sum(to is who for who, _, _ in self._waiting) < QUEUE_OF_ONE:
            self._waiting.append((to, number, now + KEPT_SECONDS))
            self._feed.wake(now + TURN)

    def go_on(self, now: float) -> None:
        """Those who wait, as far as there is room."""
        if not self._waiting:
            return
        self._waiting = [each for each in self._waiting if now < each[2] and self._feed.knows(each[0])]
        given = 0
        while given < len(self._waiting) and self._feed.may_resend(now):
            to, number, _ = self._waiting[given]
            given += 1
            self._give_now(to, number, now)
        del self._waiting[:given]
        if self._waiting:
            self._feed.wake(now + TURN)

    def _give_now(self, to: Asker, number: int, now: float) -> None:
        stored = self.find(number)
        if stored is not None:
            counters = self._feed.counters
            counters.resent += 1
            counters.resent_bytes += to.wire.resend(stored, self._feed.low_water(number), now)
