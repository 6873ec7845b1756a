"""A town of whole nodes, and its weather: nodes die and come back, the town falls in two, the air loses
packets, programs join and leave, films and many who seldom speak are sent.  One seed, and all of it happens
again.

Nodes are those of nodes.py, with seeds as services/mesh.py asks them, and forward error correction on links.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from multicastmw.core.mesh.seedtimes import SeedTimes
from multicastmw.core.mesh.settings import Settings
from multicastmw.wire.mesh import BASE, Sample
from tests.core.cable import Cable, End, World
from tests.core.mesh.nodes import MeshNode

GROUPS = 0xEF010101, 0xEF010102
RELAYS = "ab"
DIALLED = 4.0  # seconds until a dial that nobody answers has failed
TTL = 64


class Town(World):
    """Who is where, and who reaches whom."""

    def __init__(self, seed: int, names: str, feeds: int, rotate: float = 0.0, natted: str = "") -> None:
        super().__init__(seed)
        self.feeds = feeds
        self.rotate = rotate
        self.natted = natted
        self.weather = Random(seed)
        self.homes: dict[str, Home] = {}
        self.apart: frozenset[str] = frozenset()
        for name in names:
            Home(self, name)

    def reaches(self, one: MeshNode, other: MeshNode) -> bool:
        return (one.name in self.apart) == (other.name in self.apart)

    def falls_apart(self, names: frozenset[str]) -> None:
        """These reach each other, and nobody else; nobody is told, and connections wait, as TCP's do."""
        self.apart = names
        for cable in self.cables:
            one, other = cable.ends
            if one.node and other.node:
                is_whole = (one.node.name in names) == (other.node.name in names)
                for end in cable.ends:
                    end.reads = is_whole
                    end.other.flush()
        self._air(lambda one, other: self.air.spoil(one, other, hole=not self.reaches(one, other)))

    def loses(self, share: float) -> None:
        """The air, of all datagrams."""
        self._air(lambda one, other: self.air.spoil(one, other, loss=share))

    def _air(self, spoil: Any) -> None:
        homes = list(self.homes.values())
        for place, one in enumerate(homes):
            for other in homes[:place]:
                spoil(one.node, other.node)

    def alive(self) -> list["Home"]:
        return [home for home in self.homes.values() if home.is_alive]


class Resident(MeshNode):
    """A node that asks seeds, and whose dials reach only whom they can."""

    world: Town

    def __init__(self, world: Town, name: str, settings: Settings, **chosen: Any) -> None:
        self._seed_times = SeedTimes(Random(world.random.random()))
        super().__init__(world, name, settings, **chosen)
        self.mesh.tell = self.events.append
        if self.room.fec:
            self.room.fec.costs_changed = self.mesh.slots.changed
        self._seed_times.start(world.now)
        self.clockwork.wind()

    def deadline(self) -> float:
        return min(super().deadline(), self._seed_times.due, self.forwarder.streams.deadline())

    def tick(self, now: float) -> None:
        if self._seed_times.tick(not self.mesh.circles[BASE].active, now):
            self._ask_seed()
        super().tick(now)
        self.forwarder.streams.tick(now)

    def _ask_seed(self) -> None:
        seed = self.world.homes[self.world.random.choice(RELAYS)]
        if seed.node is not self and seed.is_alive and seed.node.id not in self.mesh.neighbours:
            self._connect(seed.node)
            self.world.later(1.0, self._greet, seed.node.id)

    def _greet(self, node: int) -> None:
        neighbour = self.mesh.neighbours.get(node)
        if neighbour is not None and not self.stopped:
            base = self.mesh.circles[BASE]
            base.ask(neighbour, not base.active, self.world.now)

    def _connect(self, other: MeshNode) -> bool:
        if self.stopped or other.stopped or not self.world.reaches(self, other) or other.mesh.settings.nat:
            return False
        self.world.connect(self, other)
        return True

    def dial(self, sample: Sample, now: float) -> None:
        self.world.later(0.004, self._dial, sample)

    def _dial(self, sample: Sample) -> None:
        there = {home.node.address: home.node for home in self.world.homes.values()}
        found = [there[address.host] for address in sample.addresses if address.host in there]
        if not found or not self._connect(found[0]):
            self.world.later(DIALLED, self._not_reached, sample.node)

    def _not_reached(self, node: int) -> None:
        if not self.stopped:
            self.mesh.not_reached(node, self.world.now)


class Home:
    """A place in the town: its node, and what its programs do."""

    def __init__(self, town: Town, name: str) -> None:
        self.town = town
        self.name = name
        self.lives = 0
        self.wants: dict[int, float] = {}  # groups, and since when
        self.lived: list[Resident] = []
        self.node = self._live()
        town.homes[name] = self

    def _live(self) -> Resident:
        town, is_relay = self.town, self.name in RELAYS
        is_nat = self.name in town.natted
        settings = Settings(uplink=20_000, relay=is_relay, feeds=town.feeds, rotate=town.rotate, nat=is_nat)
        address = self.lived[-1].address if self.lived else None
        self.lives += 1
        node = Resident(town, self.name, settings, fec="on", salt=self.lives, address=address)
        self.lived.append(node)
        for group in self.wants:
            node.host.wants(group)
            self.wants[group] = town.now
        return node

    @property
    def is_alive(self) -> bool:
        return not self.node.stopped

    def dies(self, silently: bool) -> None:
        """Silently: the power goes, and nobody is told; else the kernel closes its connections."""
        town = self.town
        self.node.stop()
        town.nodes.remove(self.node)
        for cable in [cable for cable in town.cables if any(end.node is self.node for end in cable.ends)]:
            if not silently:
                self._resets(cable)
            cable.cut()
            town.cables.remove(cable)

    def _resets(self, cable: Cable) -> None:
        far: End = next(end for end in cable.ends if end.node is not self.node)
        self.town.later(cable.delay, far._lose, "Connection was reset")

    def is_back(self) -> None:
        self.node = self._live()

    def joins(self, group: int) -> None:
        self.wants[group] = self.town.now
        self.node.host.wants(group)

    def leaves(self, group: int) -> None:
        del self.wants[group]
        self.node.host.unwants(group)


class Speaker:
    """A program that sends, so many packets a second, wherever its node is alive."""

    def __init__(self, town: Town, home: Home, group: int, source: int, rate: float) -> None:
        self.town = town
        self.home = home
        self.group = group
        self.source = source
        self.rate = rate
        self.said: dict[bytes, float] = {}  # and when
        self.is_on = True
        town.later(1 / rate, self._speak)

    def _speak(self) -> None:
        if not self.is_on:
            return
        if self.home.is_alive:
            words = b"%s %d %d %d" % (self.home.name.encode(), self.source, self.home.lives, len(self.said))
            self.said[words] = self.town.now
            self.home.node.send(self.group, self.source, words, ttl=TTL)
        self.town.later(1 / self.rate, self._speak)


class Weather:
    """What happens to a town, at random; `log` says it."""

    EVERY = 2.0  # seconds, in the mean
    RATES = 0.2, 0.5, 1.5, 5.0, 20.0  # of speakers

    def __init__(self, town: Town, speakers: list[Speaker]) -> None:
        self.town = town
        self.speakers = speakers
        self.log: list[tuple[float, str]] = []
        self._rng = town.weather
        self._kinds: tuple[Callable[[], str], ...] = (
            self._death, self._death, self._return, self._return, self._restart, self._joins, self._leaves,
            self._partition, self._heals, self._loss, self._hole, self._clears, self._pace, self._stops,
        )  # fmt: skip

    def blows(self, seconds: float) -> None:
        """For so long; then it is over, and all are alive."""
        town, rng = self.town, self._rng
        end = town.now + seconds
        while town.now < end:
            town.run(rng.expovariate(1 / self.EVERY))
            town.air.sent.clear()
            self.log.append((town.now, rng.choice(self._kinds)()))
        self._heals()
        self._clears()
        for home in town.homes.values():
            if not home.is_alive:
                home.is_back()

    def _one(self) -> Home:
        return self._rng.choice(self.town.alive())

    def _death(self) -> str:
        if len(self.town.alive()) <= len(self.town.homes) // 2:
            return "too few are left"
        home, silently = self._one(), self._rng.random() < 0.5
        home.dies(silently)
        return f"{home.name} dies, silently: {silently}"

    def _return(self) -> str:
        dead = [home for home in self.town.homes.values() if not home.is_alive]
        if not dead:
            return "nobody is dead"
        home = self._rng.choice(dead)
        home.is_back()
        return f"{home.name} is back"

    def _restart(self) -> str:
        home, silently, pause = self._one(), self._rng.random() < 0.5, self._rng.choice((0.01, 0.5, 3.0))
        home.dies(silently)
        self.town.run(pause)
        home.is_back()
        return f"{home.name} was started anew after {pause} s, silently: {silently}"

    def _joins(self) -> str:
        home, group = self._one(), self._rng.choice(GROUPS)
        if group not in home.wants:
            home.joins(group)
        return f"{home.name} wants {group:x}"

    def _leaves(self) -> str:
        home, group = self._one(), self._rng.choice(GROUPS)
        if group in home.wants:
            home.leaves(group)
        return f"{home.name} wants {group:x} no more"

    def _partition(self) -> str:
        names = sorted(self.town.homes)
        some = frozenset(self._rng.sample(names, self._rng.randint(1, len(names) // 2)))
        self.town.falls_apart(some)
        return f"{sorted(some)} are cut off"

    def _heals(self) -> str:
        self.town.falls_apart(frozenset())
        return "nobody is cut off"

    def _loss(self) -> str:
        share = self._rng.choice((0.01, 0.05, 0.2))
        self.town.loses(share)
        return f"the air loses {share}"

    def _hole(self) -> str:
        one, other = self._rng.sample(list(self.town.homes.values()), 2)
        self.town.air.way(one.node, other.node).hole = True
        return f"{other.name} does not hear {one.name}"

    def _clears(self) -> str:
        self.town.loses(0.0)
        return "the air is clear"

    def _pace(self) -> str:
        speaker = self._rng.choice(self.speakers)
        speaker.rate = self._rng.choice(self.RATES)
        return f"{speaker.home.name} sends {speaker.rate} packets/s"

    def _stops(self) -> str:
        home, pause = self._one(), self._rng.choice((0.3, 1.0, 4.0))
        home.node.stop()
        self.town.run(pause)
        home.node.go_on()
        return f"{home.name} did nothing for {pause} s"
