"""Meshes for tests: one with pens for wires, and a hall of some that are joined by cables, on one clock.

A pen writes down what is said.  A cable takes what one end says to the other, half a round trip later; a
test can cut it, or say what gets lost.
"""

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.mesh import Mesh
from multicastmw.core.mesh.neighbour import Choice, Neighbour
from multicastmw.core.mesh.settings import Settings
from multicastmw.core.window import Budget, Window
from multicastmw.wire.data import BEACON, RETRANSMITTED
from multicastmw.wire.mesh import (
    NOBODY,
    Address,
    Beacon,
    Capabilities,
    Have,
    Held,
    Load,
    MeshMessage,
    Range,
    Sample,
    StreamKey,
)
from multicastmw.wire.messages import encode
from simulator.loop import Loop

GROUP = 0xEF010203
ORIGIN = 0x51 << 56 | 7
KEY = StreamKey(ORIGIN, GROUP, 0x0A580002)
UPLINK = 8 * 1_250  # kbit/s: eight slots of a Mbit/s
SIZE = 1_250  # bytes of a packet
RATE = 100.0  # packets/s: together a Mbit/s


def node_of(number: int) -> int:
    return number << 56 | 1 << 48


def sample_of(number: int, uplink_class: int = 13, flags: int = 0) -> Sample:
    return Sample(node_of(number), (Address("198.18.0.1", 4600),), flags, uplink_class, 0)


def have(
    highest: int,
    missing: tuple[Range, ...] = (),
    *,
    key: StreamKey = KEY,
    free: int = 4,
    stalled: bool = False,
    beacon: bool = False,
    poorest: int = NOBODY,
    path: tuple[int, ...] = (),
    cost: int = 0,
    lent: bool = False,
) -> Have:
    """With a way where a path is given."""
    way = Beacon(path, cost, int(RATE), 1_000) if path else None
    return Have((Held(key, highest, missing, Load(free, stalled, beacon, poorest, 0, lent), way),))


class Pen:
    """A wire that writes down what is said."""

    is_seed = is_named = False
    name, address = "pen", "198.18.0.1"

    def __init__(self, rtt: float = 0.04) -> None:
        self.rtt: float | None = rtt
        self.said: list[MeshMessage] = []
        self.resent: list[int] = []
        self.hung_up = ""

    def say(self, message: MeshMessage, now: float) -> None:
        encode(message)  # raises where no peer would take it
        self.said.append(message)

    def resend(self, stored: int, low_water: int, now: float) -> int:
        self.resent.append(stored)
        return SIZE

    def deliver(self, packet: Any) -> None: ...

    def hang_up(self, why: str, now: float) -> None:
        self.hung_up = why

    def of(self, kind: type) -> list[Any]:
        """What was said of that kind, once: it is forgotten then."""
        found = [message for message in self.said if type(message) is kind]
        self.said = [message for message in self.said if type(message) is not kind]
        return found


class Lone:
    """One mesh, whose neighbours are pens."""

    def __init__(self, settings: Settings | None = None, *, wanted: bool = True, number: int = 1) -> None:
        self.now = 100.0
        self.wanted = wanted
        self.origin = node_of(number) | 1
        self.is_border = False
        self.spread_numbers: list[int] = []
        self.dialled: list[Sample] = []
        self.settings = settings or Settings(uplink=UPLINK)
        self.mesh = Mesh(
            node_of(number), (Address("198.18.0.9", 4600),), self.settings, self, Random(1), self.now
        )
        self.mesh.side = self
        self.mesh.join(GROUP, self.now)

    def dial(self, sample: Sample, now: float) -> None:
        self.dialled.append(sample)

    def wants(self, key: StreamKey) -> bool:
        return self.wanted

    def wake(self, at: float) -> None: ...
    def forgot(self, key: StreamKey) -> None: ...
    def wants_group(self, group: int) -> bool:
        return self.wanted

    def groups_live(self, groups: list[int], now: float) -> None: ...
    def served_no_more(self, group: int, now: float) -> None: ...

    def send(self, feed: Feed, message: bytes, now: float) -> None: ...
    def spread(self, feed: Feed, sequence: int, message: bytes, now: float) -> None:
        self.spread_numbers.append(sequence)

    def neighbour(
        self,
        number: int,
        rtt: float = 0.04,
        *,
        uplink: int = UPLINK,
        enters: bool = True,
        dialled: bool = True,
    ) -> tuple[Neighbour, Pen]:
        """One more, in the group's circle if it enters."""
        pen = Pen(rtt)
        sample = sample_of(number, uplink.bit_length() - 1 if uplink else 0)
        neighbour = self.mesh.link_up(pen, sample, Capabilities(uplink, 0xFFFF, 1, 0), dialled, self.now)
        if enters:
            choice = Choice.RANDOM if dialled else Choice.THEIRS
            self.mesh.circles[GROUP].enter(neighbour, choice, self.now)
        return neighbour, pen

    def accept(self, by: Neighbour, message: MeshMessage) -> None:
        self.mesh.accept(by, message, self.now)

    def feed(self, key: StreamKey = KEY) -> Feed:
        return self.mesh.feeds[key]

    def data(
        self, by: Neighbour, *numbers: int, low_water: int = 0, flags: int = 0, apart: float = 0.0
    ) -> None:
        """New packets of the stream come from it."""
        for number in numbers:
            feed = self.mesh.feed_for(KEY, by, self.now)
            assert feed
            feed.took(number, SIZE, number, low_water, flags, by, self.now)
            self.pass_time(apart)

    def again(self, by: Neighbour, *numbers: int, flags: int = 0) -> None:
        """Packets that are here already come from it."""
        for number in numbers:
            self.feed().doubled(number, flags, by, self.now)

    def fed_by(self, number: int, upto: int = 200, rtt: float = 0.04) -> tuple[Neighbour, Pen]:
        """A neighbour that is the parent, and has fed so many packets at the stream's rate."""
        parent, pen = self.neighbour(number, rtt)
        self.data(parent, *range(upto + 1), apart=1 / RATE)
        pen.said.clear()
        return parent, pen

    def pass_time(self, seconds: float) -> None:
        """In steps of ten milliseconds at most, ringing when it is due."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(end, max(self.now + 1e-4, min(self.now + 0.01, self.mesh.deadline())))
            if self.mesh.deadline() <= self.now:
                self.mesh.tick(self.now)


# --- a hall


class Stored(NamedTuple):
    """What a feed of the hall keeps."""

    number: int
    flags: int


class Cable:
    """Between two people; `lost` says what does not arrive."""

    def __init__(self, hall: "Hall", one: "Person", other: "Person", rtt: float) -> None:
        self.hall = hall
        self.rtt = rtt
        self.is_whole = True
        self.lost: Callable[[Any], bool] = lambda what: False
        self.ends = {one: End(self, one, other), other: End(self, other, one)}
        self.neighbours: dict[Person, Neighbour] = {}

    def carry(self, function: Callable[..., None], what: Any, *args: Any) -> None:
        if self.is_whole and not self.lost(what):
            self.hall.loop.at(self.hall.loop.now + self.rtt / 2, function, self, what, *args)

    def cut(self) -> None:
        """Silently: nobody is told."""
        self.is_whole = False

    def down(self) -> None:
        """Both ends hear it."""
        self.cut()
        for person, neighbour in self.neighbours.items():
            person.cables = [cable for cable in person.cables if cable is not self]
            person.mesh.link_down(neighbour, self.hall.loop.now)


class End:
    """A wire of a cable."""

    is_seed = is_named = False
    name, address = "pen", "198.18.0.1"

    def __init__(self, cable: Cable, near: "Person", far: "Person") -> None:
        self.cable, self.near, self.far = cable, near, far
        self.rtt: float | None = cable.rtt

    def say(self, message: MeshMessage, now: float) -> None:
        self.cable.carry(self.far.message, message)

    def resend(self, stored: Stored, low_water: int, now: float) -> int:
        self.cable.carry(self.far.data, stored._replace(flags=stored.flags | RETRANSMITTED), low_water)
        return SIZE

    def deliver(self, packet: Any) -> None: ...

    def hang_up(self, why: str, now: float) -> None:
        self.cable.hall.loop.at(now, self.cable.down)


class Person:
    """A node of the hall."""

    def __init__(self, hall: "Hall", number: int, settings: Settings) -> None:
        self.hall = hall
        self.wanted = True
        self.origin = ORIGIN
        self.is_border = True  # all that begins here has a tree of its own
        self.cables: list[Cable] = []
        self.got: dict[int, float] = {}
        self.doubles = self.copies = 0
        self.window = Window(Budget(1 << 30), slots=64)
        self.mesh = Mesh(
            node_of(number), (Address("198.18.0.1", number),), settings, self, Random(number), hall.loop.now
        )
        self.mesh.side = self
        self._winding = float("inf")

    @property
    def feed(self) -> Feed:
        return self.mesh.feeds[KEY]

    def dial(self, sample: Sample, now: float) -> None:
        self.hall.loop.at(now + 0.02, self.hall.dialled, self, sample.node)

    def wants(self, key: StreamKey) -> bool:
        return self.wanted

    def wake(self, at: float) -> None:
        if at < self._winding:
            self._winding = at
            self.hall.loop.at(max(at, self.hall.loop.now), self._ring, at)

    def forgot(self, key: StreamKey) -> None: ...
    def wants_group(self, group: int) -> bool:
        return self.wanted

    def groups_live(self, groups: list[int], now: float) -> None: ...
    def served_no_more(self, group: int, now: float) -> None: ...
    def spread(self, feed: Feed, sequence: int, message: bytes, now: float) -> None: ...

    def _ring(self, at: float) -> None:
        if at == self._winding:
            self._winding = float("inf")
            self.mesh.tick(self.hall.loop.now)
            self.wake(self.mesh.deadline())

    def message(self, cable: Cable, message: MeshMessage) -> None:
        if cable.is_whole:
            self.mesh.accept(cable.neighbours[self], message, self.hall.loop.now)

    def data(self, cable: Cable, packet: Stored, low_water: int) -> None:
        now, by = self.hall.loop.now, cable.neighbours.get(self)
        if not cable.is_whole or by is None:
            return
        feed = self.mesh.feed_for(KEY, by, now)
        if feed is None or feed.ours:
            return
        if not self.window.accept(packet.number, now):
            is_copy = feed.doubled(packet.number, packet.flags, by, now)
            self.copies += is_copy
            self.doubles += not is_copy
            return
        self.got[packet.number] = now
        feed.took(packet.number, SIZE, packet, low_water, packet.flags, by, now)
        self.forward(feed, packet, cable)

    def forward(self, feed: Feed, packet: Stored, came: Cable | None) -> None:
        for child in feed.takers:
            end = child.wire
            assert isinstance(end, End)
            if end.cable is not came:
                end.cable.carry(end.far.data, packet, feed.low_water(packet.number))

    def send(self, feed: Feed, message: bytes, now: float) -> None: ...

    def start(self, number: int) -> None:
        now = self.hall.loop.now
        feed = self.mesh.feeds.get(KEY) or self.mesh.begin(KEY, now)
        if not feed.is_alone:
            self.mesh.plant(feed, now)
        packet = Stored(number, BEACON if feed.beacon_due(now) else 0)
        feed.sent(number, SIZE, packet, now)
        self.forward(feed, packet, None)
        if packet.flags:
            self.mesh.announce(feed, number, None, now)


class Hall:
    """People, cables, and one clock."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.people: list[Person] = []
        self.next = 0
        self.unreachable: set[int] = set()

    def person(
        self, *, uplink: int = UPLINK, joins: bool = True, relay: bool = False, **settings: Any
    ) -> Person:
        found = Person(self, len(self.people) + 1, Settings(uplink=uplink, relay=relay, **settings))
        self.people.append(found)
        if joins:
            found.mesh.join(GROUP, self.loop.now)
        return found

    def cable(self, one: Person, other: Person, rtt: float = 0.02, *, enters: bool = True) -> Cable:
        """One more, and both are neighbours in the group if they enter."""
        cable = Cable(self, one, other, rtt)
        now = self.loop.now
        for here, there in ((one, other), (other, one)):
            here.cables.append(cable)
            there_is = there.mesh.sample(), there.mesh.capabilities()
            cable.neighbours[here] = here.mesh.link_up(cable.ends[here], *there_is, here is one, now)
        if enters:
            for here in (one, other):
                choice = Choice.RANDOM if here is one else Choice.THEIRS
                here.mesh.circles[GROUP].enter(cable.neighbours[here], choice, now)
        return cable

    def dialled(self, by: Person, node: int) -> None:
        other = next((person for person in self.people if person.mesh.node == node), None)
        if other is None or other.mesh.settings.nat or node in self.unreachable:
            by.mesh.not_reached(node, self.loop.now)
        elif node not in by.mesh.neighbours:
            self.cable(by, other, enters=False)

    def play(self, sender: Person, seconds: float) -> None:
        """It sends so long, at the stream's rate."""
        for _ in range(round(seconds * RATE)):
            sender.start(self.next)
            self.next = (self.next + 1) & 0xFFFFFFFF
            self.loop.run(self.loop.now + 1 / RATE)

    def rest(self, seconds: float) -> None:
        self.loop.run(self.loop.now + seconds)
