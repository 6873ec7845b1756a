"""Packets of one stream that are kept for others, and those that wait to be sent again."""

from typing import TYPE_CHECKING, Any

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.numbers import MASK
from multicastmw.core.mesh.settings import KEPT_BYTES, KEPT_SECONDS, PACKET_BYTES

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed

# What we chose.
QUEUE_MAX, QUEUE_OF_ONE = 512, 128  # resent packets that wait for their turn, in all and of one neighbour
TURN = 0.02  # seconds until it is seen again whether there is room for them
LEAST = 16  # packets that are kept in any case


class Kept:
    """By number; the oldest goes first."""

    def __init__(self, feed: "Feed") -> None:
        self.packets: dict[int, Any] = {}
        self._feed = feed
        self._most = KEPT_BYTES // PACKET_BYTES
        self._waiting: list[tuple[Neighbour, int]] = []

    def keep(self, number: int, stored: Any) -> None:
        packets = self.packets
        packets[number] = stored
        if len(packets) > self._most:
            del packets[next(iter(packets))]

    def trim(self, top: int, rate: float, most: int) -> None:
        """Of what is older than two seconds nothing is kept."""
        self._most = max(LEAST, most)
        span = max(LEAST, int(rate * KEPT_SECONDS) + 1)
        for number in list(self.packets):
            if (top - number) & MASK <= span:
                break
            del self.packets[number]

    # --- sending again

    def give(self, to: Neighbour, number: int, now: float) -> None:
        """When it is its turn: at most a quarter of the uplink goes there."""
        if not self._waiting and self._feed.may_resend(now):
            self._give_now(to, number, now)
        elif len(self._waiting) < QUEUE_MAX and sum(to is who for who, _ in self._waiting) < QUEUE_OF_ONE:
            self._waiting.append((to, number))
            self._feed.wake(now + TURN)

    def go_on(self, now: float) -> None:
        """Those who wait, as far as there is room."""
        if not self._waiting:
            return
        self._waiting = [each for each in self._waiting if self._feed.knows(each[0])]
        given = 0
        while given < len(self._waiting) and self._feed.may_resend(now):
            to, number = self._waiting[given]
            given += 1
            self._give_now(to, number, now)
        del self._waiting[:given]
        if self._waiting:
            self._feed.wake(now + TURN)

    def _give_now(self, to: Neighbour, number: int, now: float) -> None:
        stored = self.packets.get(number)
        if stored is not None:
            counters = self._feed.counters
            counters.resent += 1
            counters.resent_bytes += to.wire.resend(stored, self._feed.low_water(number), now)
