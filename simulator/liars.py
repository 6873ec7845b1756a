"""Nodes that mean ill.  Until `turn` each is like any other: it has earned its place.

drop      forwards nothing, and goes on saying what it has
delay     forwards a second late
mute      forwards nothing and sends nothing again, and goes on saying what it has
promise   says that it has more than anybody, and room for all; gives nothing, also when asked
stall     forwards nothing, and says five times a second that it repairs its feed (STALL)
thief     sends packets in the origin's name to all neighbours, half of them with numbers from anywhere, 40/s
storm     asks all neighbours for everything, 200 times a second
flood     200 Peers and Find a second to each neighbour
sample    tells of members that do not exist, and can carry a gigabit: four messages a second, in turn 16 of
          them that it knows, and one that has just come, as somebody has told it
"""

from typing import Any

from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.wire.mesh import (
    About,
    Address,
    Find,
    Graft,
    Have,
    Held,
    Kind,
    Load,
    Meeting,
    MeshMessage,
    Nack,
    Peers,
    Range,
    Sample,
)
from simulator.node import FORGED, Link, Node, Stored

# What we chose.
DROP, DELAY, MUTE, PROMISE, STALL = "drop", "delay", "mute", "promise", "stall"
STORM, FLOOD, SAMPLE, THIEF = "storm", "flood", "sample", "thief"
WAYS = DROP, DELAY, MUTE, PROMISE, STALL, STORM, FLOOD, SAMPLE, THIEF
SILENT = DROP, MUTE, PROMISE, STALL  # forward nothing
LATE = 1.0
EVERY = 0.02  # seconds between two bouts
BOUT = 4  # messages of one, to each neighbour
SAMPLES_EVERY, SAMPLES = 0.25, 16
STEAL_EVERY = 0.1  # seconds between two bouts of four packets
AHEAD = 8  # packets that who promises claims to have before all others
MASK = 0xFFFFFFFF


class Liar(Node):
    """One of them; before it turns it is honest."""

    way = ""
    group = 0
    tells_of_all = False

    def turn(self, way: str, group: int) -> None:
        self.way, self.group, self.lies = way, group, True
        if way in (STORM, FLOOD, PROMISE, STALL):
            self._bout()
        elif way == SAMPLE:
            self._tell()
        elif way == THIEF:
            self._steal()

    def _forward(self, feed: Feed, packet: Stored, came: Link | None) -> None:
        if self.way in SILENT:
            return
        if self.way == DELAY:
            loop = self.world.loop
            loop.at(loop.now + LATE, super()._forward, feed, packet, came)
            return
        super()._forward(feed, packet, came)

    def message(self, link: Link, message: MeshMessage) -> None:
        if self.way in (PROMISE, MUTE) and isinstance(message, Nack | Graft):
            return
        super().message(link, message)

    # --- to all neighbours, again and again

    def _others(self) -> list[Neighbour]:
        return list(self.mesh.neighbours.values())

    def _bout(self) -> None:
        if not self.is_alive:
            return
        now = self.world.loop.now
        for neighbour in self._others():
            for message in self._said():
                neighbour.say(message, now)
        self.world.loop.at(now + EVERY * (10 if self.way in (PROMISE, STALL) else 1), self._bout)

    def _said(self) -> list[MeshMessage]:
        mine: Any = self.mesh.sample()
        if self.way == FLOOD:
            peers = Peers(self.group, Kind.SHUFFLE, 6, (mine,))
            return [peers, Find(self.group, Meeting.QUERY, (mine,))] * (BOUT // 2)
        said: list[MeshMessage] = []
        for key, feed in self.mesh.feeds.items():
            if feed.top >= 0 and self.way == STORM:
                said += [Nack(key, (Range(feed.top - 60 & MASK, feed.top),))] * BOUT
            elif feed.top >= 0 and self.way == STALL:
                said.append(Have((Held(key, feed.top, (), Load(200, stalled=True)),)))
            elif feed.top >= 0:
                said.append(Have((Held(key, feed.top + AHEAD & MASK, (), Load(200)),)))
        return said

    def _tell(self) -> None:
        if not self.is_alive:
            return
        now, rng = self.world.loop.now, self.mesh.rng
        samples = tuple(
            Sample(
                rng.getrandbits(48) << 16,
                (Address(f"10.255.{rng.randrange(256)}.{rng.randrange(256)}", 4600),),
                int(About.UDP), 20, 0, self.mesh.whereabouts.place,
            )
            for _ in range(SAMPLES)
        )  # fmt: skip
        self.tells_of_all = not self.tells_of_all
        for neighbour in self._others():
            if self.tells_of_all:
                neighbour.say(Peers(self.group, Kind.SHUFFLE, 1, (self.mesh.sample(), *samples)), now)
            else:
                neighbour.say(Peers(self.group, Kind.FORWARD_JOIN, 0, samples[:1]), now)
        self.world.loop.at(now + SAMPLES_EVERY, self._tell)

    def _steal(self) -> None:
        """A packet with the next number, and one with any."""
        if not self.is_alive:
            return
        now, rng = self.world.loop.now, self.mesh.rng
        for key, feed in self.mesh.feeds.items():
            wild = rng.getrandbits(32)
            for number in (feed.top + 2, feed.top + 3, wild, wild + 1):
                for neighbour in self._others():
                    neighbour.wire.deliver(Stored(key, number & MASK, FORGED, 0))
        self.world.loop.at(now + STEAL_EVERY, self._steal)
