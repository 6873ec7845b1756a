"""What a node says of its streams: in rounds, of each beacon packet at once, and to who is new.

Neighbours that neither feed nor are fed hear, once a round, the highest number and what is missing; where
rounds are rare, those who are nearer to the origin hear it every second time.  Children hear it where the
stream pauses, for the last packets have nothing behind them that would show that they are lost.  Rounds
are as far apart as the budget demands; beacons, one packet a second of each stream, count as part of it.
"""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import (
    BEACON_EVERY,
    BEACONS_WHOLE,
    HAVE_BITS,
    HAVE_LEAST,
    HAVE_MOST,
    HAVE_USUAL,
)
from multicastmw.wire.mesh import Have, Held

if TYPE_CHECKING:
    from multicastmw.core.mesh.mesh import Mesh

# What we chose.
BEACON_SIZE = 90
HAVE_SIZE, HELD_SIZE = 48, 28  # bytes, about, with IP and UDP: of a Have, and of each stream in it
BUDGET_LEAST, STREAM_SHARE = 2_000.0, 0.02  # bits/s; of the streams' rate
HELD_MAX = 32  # streams of one Have


class Announcer:
    """A node's announcements; `every` seconds there is a round."""

    def __init__(self, mesh: "Mesh", now: float) -> None:
        self.every = HAVE_USUAL
        self.due = now + HAVE_USUAL * mesh.rng.random()
        self._mesh = mesh
        self._is_put_off = False
        self._rounds = 0

    @property
    def fresh_within(self) -> float:
        """Seconds for which a Have says how it is."""
        return max(0.3, 2.5 * self.every)

    def entered(self, group: int, neighbour: Neighbour, now: float) -> None:
        """It is a neighbour in that group now, and hears what there is."""
        held = [feed.held(way=True) for feed in self._mesh.feeds_of(group) if feed.top >= 0 and feed.is_live]
        for first in range(0, len(held), HELD_MAX):
            neighbour.say(Have(tuple(held[first : first + HELD_MAX])), now)

    def started(self, feed: Feed, by: Neighbour | None, now: float) -> None:
        """The first packet of a stream is here: those who do not get it from us hear of it at once."""
        have = Have((feed.held(),))
        for neighbour in self._mesh.circles[feed.key.group].active:
            if neighbour is not by and neighbour not in feed.children:
                neighbour.say(have, now)

    def beacon(self, feed: Feed, sequence: int, by: Neighbour | None, now: float) -> None:
        """A beacon packet is here."""
        circle = self._mesh.circles.get(feed.key.group)
        if circle is None:
            return
        whole = Have((feed.held(beacon=sequence),))
        short = Have((feed.held(whole=False, beacon=sequence),))
        feed.beacons += 1
        is_whole = feed.beacons % BEACONS_WHOLE == 1
        children, parent, second = feed.children, feed.parent, feed.second
        for neighbour in circle.active:
            if neighbour is by or neighbour is parent or neighbour is second:
                continue
            if is_whole or neighbour in children:
                neighbour.say(whole, now)
            elif feed.ours or feed.upstream.may_help(neighbour):
                neighbour.say(short, now)
        if not self._is_put_off:
            self._is_put_off = True  # the beacon has said what the next round would
            self.due = max(self.due, now + self.every / 2)

    def tick(self, now: float) -> None:
        """What there is, to those who do not get it from us and do not give it to us."""
        said: dict[Neighbour, list[Held]] = {}
        rate = 0.0
        self._rounds += 1
        spares = self.every == HAVE_MOST and self._rounds & 1
        for key, feed in self._mesh.feeds.items():
            circle = self._mesh.circles.get(key.group)
            if circle is None or feed.top < 0 or not feed.is_live:
                continue
            if feed.is_slow and now - feed.moved_at > 2 * self.every:
                continue  # its beacon has said it, and one round more
            held = feed.held(whole=False)
            rate += feed.bits
            children, parent, second, ends = feed.children, feed.parent, feed.second, feed.ends(now)
            for neighbour in circle.active:
                if neighbour is parent or neighbour is second:
                    continue
                if neighbour in children:
                    if ends:
                        said.setdefault(neighbour, []).append(held)
                elif not spares or feed.ours or feed.upstream.may_help(neighbour):
                    said.setdefault(neighbour, []).append(held)
        for neighbour, helds in said.items():
            for first in range(0, len(helds), HELD_MAX):
                neighbour.say(Have(tuple(helds[first : first + HELD_MAX])), now)
        self._wind([len(helds) for helds in said.values()], rate, now)

    def _wind(self, counts: list[int], rate: float, now: float) -> None:
        """When the next round is: `counts` are the streams that each neighbour heard of."""
        if counts:
            size = HAVE_SIZE * len(counts) + HELD_SIZE * sum(counts)
            beacons = BEACON_SIZE * sum(counts) / BEACON_EVERY
            budget = max(BUDGET_LEAST, min(HAVE_BITS, rate * 1000 * STREAM_SHARE))
            wanted = size * 8 / max(budget / 4, budget - beacons * 8)
            self.every = max(HAVE_LEAST, min(HAVE_MOST, wanted))
        else:
            self.every = HAVE_USUAL
        self.due = now + self.every * self._mesh.rng.uniform(0.9, 1.1)
        self._is_put_off = False
