"""The kernel's maps in memory, which mind the order in which they are written, and a hub that writes them.

A copy may be under way to any peer that a route named within the last second.  So the maps object at once to
whatever could send it elsewhere or nowhere, and to a number that would be given twice.
"""

from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from multicastmw.core.addressing import Identity
from multicastmw.core.admission import Admission
from multicastmw.core.fastpath.mirror import Device, Mirror
from multicastmw.core.fastpath.peers import Address, Uplink
from multicastmw.core.fastpath.tables import (
    FAN_OUT,
    GOES_AHEAD,
    LINK_TAP,
    LINKS,
    OVERTAKES_FEW,
    PEERS,
    RECEIVED,
    ROUTES,
    SENT,
    Cfg,
    Count,
    LinkKey,
    LinkValue,
    Peer,
    Reason,
    RouteCount,
    RouteFlag,
    RouteKey,
    RouteValue,
)
from multicastmw.core.streams import STALE
from multicastmw.core.tap import TapDestination
from multicastmw.core.window import KNOWN, MASK, NOTHING, Numbers, Window
from multicastmw.net.clockwork import Clockwork
from tests.core.cable import Node, World

REST = 1.0 - 1e-6  # seconds, but for what floating point loses
TAP = 7  # its index
UPLINK = Uplink(3, 1500)
GROUP, OTHER = 0xEF010101, 0xEF010102
SOURCE, FAR = 0x0A580001, 0x0A580002


class MemoryTables:
    """Strict maps; `now` is asked for each write."""

    def __init__(self, now: Any) -> None:
        self.now = now
        self.cfg: Cfg | None = None
        self.peers: dict[int, Peer] = {}
        self.links: dict[LinkKey, LinkValue] = {}
        self.routes: dict[RouteKey, RouteValue] = {}
        self.sequences: Counter[int] = Counter()
        self.left: Counter[int] = Counter()
        self.seen: Counter[int] = Counter()
        self.forgotten: Counter[int] = Counter()
        self.windows: dict[tuple[int, int], Window] = {}
        self.ahead: set[tuple[int, int]] = set()  # of these, those that go ahead
        self.overtaking: set[tuple[int, int]] = set()  # and those that did
        self.taken_ahead: Counter[tuple[int, int]] = Counter()  # what these took
        self.stats: Counter[tuple[int, str]] = Counter()
        self.route_stats: dict[int, Counter[str]] = {}
        self.places = 16_384
        self.messages: dict[int, bytes] = {}  # that are kept, by place
        self.writes = 0
        self._named: dict[int, float] = {}  # a peer's index -> when a route named it last
        self._held: dict[int, tuple[RouteKey, float]] = {}  # a slot -> whose it was last, and until when
        self._numbers: Counter[RouteKey] = Counter()  # the next number of each count
        self._numbered_at: dict[RouteKey, float] = {}  # and when the last one was given

    # --- what the mirror writes

    def configure(self, cfg: Cfg) -> None:
        self.writes += 1
        self.cfg = cfg

    def set_peer(self, index: int, peer: Peer) -> None:
        self.writes += 1
        assert 0 <= index < PEERS
        before = self.peers.get(index)
        if before and before.token != peer.token:
            raise AssertionError(f"peer {index} became another under way")
        if not before:
            assert self.now() - self._named.get(index, -99) >= REST, f"peer {index} had no rest"
        self.peers[index] = peer

    def clear_peer(self, index: int) -> None:
        self.writes += 1
        assert index not in self._in_use(), f"peer {index} is named by a route"
        assert self.now() - self._named.get(index, -99) >= REST, f"copies to {index} are under way"
        assert not any(link.peer == index for link in self.links.values()), f"link of {index} is there"
        del self.peers[index]

    def set_link(self, key: LinkKey, link: LinkValue) -> None:
        self.writes += 1
        assert link.peer in self.peers
        self.links[key] = link
        assert len(self.links) <= LINKS

    def clear_link(self, key: LinkKey) -> bool:
        self.writes += 1
        return self.links.pop(key, None) is not None

    def set_routes(self, routes: Mapping[RouteKey, RouteValue]) -> None:
        for key, route in routes.items():
            self.writes += 1
            self._judge(key, route)
            assert key in self.routes or self.is_shut(route.slot), f"{key} overtakes what waits"
            self.routes[key] = route
            self._held[route.slot] = key, float("inf")
            for index in self._indexes(route):
                self._named[index] = self.now()
            fresh = self.now() - self._numbered_at.get(key, -99) >= STALE
            if route.link == LINK_TAP and self.sequences[route.slot] < self._numbers[key] and not fresh:
                raise AssertionError(f"{key} gives numbers again")
        assert len(self.routes) <= ROUTES

    def _judge(self, key: RouteKey, route: RouteValue) -> None:
        assert route.link == LINK_TAP or route.link in {link.peer for link in self.links.values()}, route
        assert set(self._indexes(route)) <= set(self.peers), route
        assert len(set(route.peers)) == len(route.peers) <= FAN_OUT
        longest = [self.peers[index].longest for index in route.peers]
        assert route.longest <= min(longest, default=route.longest), route
        was, until = self._held.get(route.slot, (key, 0))
        assert was == key or self.now() >= until, f"slot {route.slot} of {was} had no rest"

    def clear_route(self, key: RouteKey) -> bool:
        self.writes += 1
        route = self.routes.pop(key, None)
        if route is None:
            return False
        self._held[route.slot] = key, self.now() + REST
        for index in self._indexes(route):
            self._named[index] = self.now()
        return True

    def numbers(self, slot: int, count: int) -> Numbers | None:
        window = self.windows.get((slot, count))
        known = window.numbers() if window else None
        known = known._replace(first=window._first & MASK) if known else None
        return known._replace(heard=GOES_AHEAD / 1e9) if known and (slot, count) in self.ahead else known

    def last(self, slot: int, count: int) -> tuple[int, float] | None:
        known = self.numbers(slot, count)
        return (known.top, known.heard) if known else None

    def kept(self, place: int) -> bytes:
        assert 0 <= place < self.places
        return self.messages.get(place, b"")

    def set_numbers(self, slot: int, count: int, known: Numbers | None) -> None:
        assert self.is_shut(slot), "the kernel is at them"
        self.windows.pop((slot, count), None)
        self._is_alone(slot, count)
        if known:
            self._window(slot, count).adopt(known, self.now())

    def go_ahead(self, slot: int, count: int, known: Numbers | None) -> None:
        self.set_numbers(slot, count, known and known._replace(first=known.top))
        if known:
            self.ahead.add((slot, count))
            self._window(slot, count)._alone = NOTHING
            self.taken_ahead[slot, count] = 1 if known.alone else 2

    def add_numbers(self, slot: int, count: int, known: Numbers) -> None:
        kernel, window = self.numbers(slot, count), self._window(slot, count)
        far = window._far, window._far_count
        stays = kernel and not ((slot, count) in self.ahead or kernel.alone or known.is_ahead_of(kernel.top))
        if kernel and stays:
            known = kernel._replace(seen=kernel.seen | known.seen_below(kernel.top), first=known.first)
        window.adopt(known, self.now())
        if stays:
            window._far, window._far_count = far
        self._is_alone(slot, count)

    def forget_numbers(self, slot: int) -> None:
        self.forgotten[slot] += 1
        for count in (0, 1):
            self.windows.pop((slot, count), None)
            self._is_alone(slot, count)

    def _is_alone(self, slot: int, count: int) -> None:
        """There is no other judge."""
        self.ahead.discard((slot, count))
        self.overtaking.discard((slot, count))

    def _window(self, slot: int, count: int) -> Window:
        return self.windows.setdefault((slot, count), Window(slots=KNOWN, most=KNOWN))

    def left_at(self, gate: int) -> int:
        return self.left[gate]

    def is_shut(self, gate: int) -> bool:
        return self.left[gate] != self.seen[gate]

    def shut(self, gate: int) -> None:
        self.seen[gate] = self.left[gate] ^ 1 << 31

    def open_gate(self, gate: int, left: int) -> None:
        self.seen[gate] = left

    def sequence(self, slot: int) -> int:
        return self.sequences[slot]

    def set_sequence(self, slot: int, number: int) -> None:
        self.writes += 1
        assert slot not in {route.slot for route in self.routes.values()}, "its count would jump"
        self.sequences[slot] = number

    @staticmethod
    def _indexes(route: RouteValue) -> set[int]:
        return {*route.peers, *([] if route.link == LINK_TAP else [route.link])}

    def _in_use(self) -> set[int]:
        return {index for route in self.routes.values() for index in self._indexes(route)}

    # --- what it reads

    def grown(self) -> dict[int, Count]:
        found, self.stats = self.stats, Counter()
        return {
            index: Count(found[index, "packets"], found[index, "bytes"]) for index in {at for at, _ in found}
        }

    def routes_grown(self, slots: int) -> dict[int, RouteCount]:
        found, self.route_stats = self.route_stats, {}
        assert all(slot < slots for slot in found), "counters that nobody reads"
        return {slot: RouteCount(*(by[f] for f in RouteCount._fields)) for slot, by in found.items()}

    # --- what the program does

    def count(self, index: int, packets: int, bytes_: int = 0) -> None:
        self.stats[index, "packets"] += packets
        self.stats[index, "bytes"] += bytes_

    def leave(self, gate: int) -> None:
        """A packet goes to user space, and those behind it."""
        self.left[gate] = self.left[gate] + 1 & 0xFFFFFFFF

    def judge(self, key: RouteKey, number: int, count: int = 0) -> bool:
        """One that comes over a link: is it new?"""
        route = self.routes[key]
        assert not any(self.is_shut(gate) for gate in (route.slot, route.gate_of_link) if gate is not None)
        window = self._window(route.slot, count)
        before = window.lost, window.duplicates
        which, top, far = (route.slot, count), window._top, window._far
        goes_ahead = which in self.ahead
        if goes_ahead:
            window._heard = self.now()
        is_new = window.accept(number, self.now())
        jumps = window._top - top >= KNOWN
        self.taken_ahead[which] += is_new
        are_few = which in self.overtaking and self.taken_ahead[which] < OVERTAKES_FEW
        if window._top > top and (goes_ahead or (jumps and are_few)):
            seen = (number, far) if jumps else (number,)
            window._first = min(window._top - (window._top - each & MASK) for each in seen)
            between = max(0, window._top - window._first - 1)
            window._expected = before[0] + between + window.received - window._top
            self.ahead.discard(which)
            self.overtaking.add(which)
        self.count(RECEIVED + route.link, 1, 160)
        self.route_stats.setdefault(route.slot, Counter()).update(
            packets=is_new, lost=window.lost - before[0], duplicates=window.duplicates - before[1]
        )
        return is_new

    def forward(self, key: RouteKey, packets: int, size: int = 100) -> None:
        """So many packets of a route, of `size` inner bytes, as the program would."""
        route = self.routes[key]
        assert not self.is_shut(route.slot), "they are left to us"
        passed = self.route_stats.setdefault(route.slot, Counter())
        passed["packets"] += packets
        passed["bytes"] += packets * size
        others = [index for index in route.peers if index != route.link]
        if route.link == LINK_TAP:
            self.count(Reason.FROM_TAP, packets, packets * size)
            if others or RouteFlag.HERE in route.flags:
                self.sequences[route.slot] += packets
                self._numbers[key] = self.sequences[route.slot]
                self._numbered_at[key] = self.now()
        else:
            self.count(RECEIVED + route.link, packets, packets * (size + 60))
        local = route.flags & 1 and route.link != LINK_TAP
        if not others and not local and RouteFlag.HERE not in route.flags:
            passed["to_nobody"] += packets
        elif RouteFlag.COPY in route.flags:
            self.count(Reason.COPIED, packets)
        for index in others:
            assert index in self.peers
            self.count(SENT + index, packets, packets * (size + 60))
        if local:
            passed["delivered"] += packets
            self.count(Reason.DELIVERED, packets, packets * size)


class Hub:
    """A node with a TAP and a mirror, wound by the real Clockwork."""

    def __init__(self, world: World, name: str = "hub", tables: Any = None) -> None:
        self.world = world
        self.node = Node(world, name)
        self.tap = TapDestination(
            "mcmw0", router=self.node.router, forwarder=self.node.forwarder, mapping=Identity(),
            admission=Admission((), ()), mac=b"\2MCabc", longest=1412, ttl_floor=0, reassembler=None,
        )  # fmt: skip
        self.tap.write = lambda frame: None
        self.uplinks: dict[str, Uplink | str] = {}  # by the peer's address
        self.taken_from_tap = 0
        self.tables = tables or MemoryTables(lambda: world.now)
        self.mirror = Mirror(self.node.room, self.tap, self._uplink, self._read_tap, lambda: 5)
        clockwork = Clockwork(self.node.clock, self.mirror)
        self.mirror.wake = clockwork.wind
        self.device = Device(TAP, b"\2MCabc", 4600, False)

    def _uplink(self, local: Address, remote: Address) -> Uplink | str:
        assert IPv4Address(local[0]) != IPv4Address(remote[0])
        return self.uplinks.get(remote[0], UPLINK)

    def _read_tap(self) -> None:
        self.taken_from_tap += 1

    def start(self) -> None:
        self.mirror.start(self.tables, self.device, self.world.now)
        self.settle()

    def settle(self) -> None:
        """Changes reach the maps within 10 ms."""
        self.world.run(0.01)

    def send(self, group: int = GROUP, source: int = SOURCE) -> None:
        """A program here sends, and the packet comes to Python."""
        packet = self.node.packet
        packet.now = self.world.now
        packet.length = 100
        self.node.forwarder.originate(packet, self.tap, group, source, 16, 0, 0)  # type: ignore[arg-type]
        self.settle()

    def key(self, group: int = GROUP, source: int = SOURCE, origin: int | None = None) -> RouteKey:
        return RouteKey(group, source, self.node.forwarder.origin if origin is None else origin)

    def peers_of(self, key: RouteKey) -> set[str]:
        """Names of the links that the kernel sends this flow to, by the tokens that it would write."""
        by_token = {link._peers_token: link.name for link in self.node.room.links}
        return {by_token[self.tables.peers[index].token] for index in self.tables.routes[key].peers}
