"""Links that the kernel may serve, each at an index of its map of peers.

    judged good ---> served at an index ---> judged bad, or gone ---> no route names it ---> rests ---> free
                            ^                        |
                            +------- good again -----+

An index outlives its last route by a second, for copies to it may be under way, and no other link gets it
before.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from ipaddress import IPv4Address
from typing import NamedTuple

from multicastmw.core.fastpath.tables import (
    GATE_OF_LINK,
    NO_MAC,
    PEERS,
    KernelTables,
    LinkKey,
    LinkValue,
    Peer,
)
from multicastmw.core.link import Link, Phase
from multicastmw.core.ways import DataAddresses

# What we chose.
REST = 1.0  # seconds


class Uplink(NamedTuple):
    """The device that leads to a peer, by its index, and the longest IP packet that it takes.

    `next_hop` is who is there, 0 if the routing table is to say it for each packet; `to` its Ethernet
    address, if that is known, and `source` the device's.
    """

    device: int
    mtu: int
    next_hop: int = 0
    to: bytes = NO_MAC
    source: bytes = NO_MAC


Address = tuple[str, int]
FindUplink = Callable[[Address, Address], Uplink | str]


class Served:
    """A link's place in the kernel; `routes` counts the routes of the map that name it."""

    __slots__ = ("good", "index", "key", "link", "peer", "rests_until", "routes")

    def __init__(self, link: Link, index: int, key: LinkKey, peer: Peer) -> None:
        self.link = link
        self.index = index
        self.key = key
        self.peer = peer
        self.good = True
        self.routes = 0
        self.rests_until: float | None = None


class FastPeers:
    """All links, as the kernel sees them.  `find_uplink` takes our address and the peer's, and gives the
    uplink, or why there is none that will do."""

    def __init__(self, find_uplink: FindUplink) -> None:
        self.by_index: dict[int, Served] = {}
        self._find_uplink = find_uplink
        self._served: dict[Link, Served] = {}
        self._whose: dict[LinkKey, Served] = {}
        self._why: dict[Link, str] = {}
        self._free = list(range(PEERS))
        self._leaving: dict[Served, None] = {}

    def served(self, link: Link) -> Served | None:
        """The place of a link that routes may name."""
        served = self._served.get(link)
        return served if served is not None and served.good else None

    def why(self, link: Link) -> str:
        """Why it has none."""
        return self._why.get(link, "its data path was not looked at yet")

    def devices(self) -> set[int]:
        return {served.peer.device for served in self.by_index.values()}

    def over(self, device: int, next_hop: int, address: bytes) -> list[Link]:
        """Links that go by this neighbour, as far as they know it under another Ethernet address."""
        return [
            served.link
            for served in self.by_index.values()
            if (served.peer.device, served.peer.gateway) == (device, next_hop) and served.peer.to != address
        ]

    def look(self, link: Link, tables: KernelTables) -> bool:
        """Judges a link anew and tells the kernel; True if routes over it are to be judged anew."""
        before = self._served.get(link)
        was, longest = (before is not None and before.good), before.peer.longest if before else 0
        told_before = self._why.pop(link, "")
        found = self._judge(link)
        if isinstance(found, str) or not (served := before or self._place(link, *found)):
            why = found if isinstance(found, str) else f"{PEERS} peers are served already"
            if link.phase is Phase.UP:
                self._why[link] = why
            if before:
                before.good = False
                self._leaving[before] = None
            return was or why != told_before
        key, peer = found
        if served is not before:
            gate = GATE_OF_LINK + served.index  # as whoever had it before has left it
            tables.open_gate(gate, tables.left_at(gate))
        if served is not before or served.peer != peer:
            served.peer = peer
            tables.set_peer(served.index, peer)
        if self._whose.get(key) is not served:
            self._move(served, key, tables)
        served.good, served.rests_until = True, None
        self._leaving.pop(served, None)
        return not was or longest != peer.longest

    def _judge(self, link: Link) -> tuple[LinkKey, Peer] | str:
        if link.phase is not Phase.UP:
            return "it is down"
        if link.protection is not None:
            return "what it loses is corrected ([recovery] fec)"
        path = link.data_path
        if path is None:
            return "its data go over TCP"
        if ":" in path.local[0] or ":" in path.remote[0]:
            return "it is reached by IPv6"
        uplink = self._find_uplink(path.local, path.remote)
        if isinstance(uplink, str):
            return uplink
        return values(path, uplink)

    def _place(self, link: Link, key: LinkKey, peer: Peer) -> Served | None:
        if not self._free:
            return None
        served = Served(link, heappop(self._free), key, peer)
        self._served[link] = self.by_index[served.index] = served
        return served

    def _move(self, served: Served, key: LinkKey, tables: KernelTables) -> None:
        """Its datagrams come under this key; a link that is gone may have had the same until now."""
        old, served.key = served.key, key
        self._whose[key] = served
        tables.set_link(key, LinkValue(served.link.token, served.index))
        if old != key and self._whose.get(old) is served:
            del self._whose[old]
            tables.clear_link(old)

    # --- going

    def deadline(self) -> float:
        return min((s.rests_until for s in self._leaving if s.rests_until is not None), default=float("inf"))

    def tick(self, now: float, tables: KernelTables, fold: Callable[[], None]) -> None:
        """Frees the indexes that have rested; `fold` has what the kernel counted at them looked at before."""
        over = []
        for served in self._leaving:
            if served.routes:
                served.rests_until = None
            elif served.rests_until is None:
                served.rests_until = now + REST
            elif now >= served.rests_until:
                over.append(served)
        if over:
            fold()
        for served in over:
            self._clear(served, tables)

    def _clear(self, served: Served, tables: KernelTables) -> None:
        if self._whose.get(served.key) is served:
            del self._whose[served.key]
            tables.clear_link(served.key)
        tables.clear_peer(served.index)
        del self._leaving[served], self._served[served.link], self.by_index[served.index]
        heappush(self._free, served.index)

    def leave(self) -> None:
        """All go, as soon as no route names them."""
        for served in self._served.values():
            served.good = False
            self._leaving[served] = None

    def forget(self) -> None:
        """The kernel's maps are no more."""
        for table in (self.by_index, self._served, self._whose, self._why, self._leaving):
            table.clear()
        self._free = list(range(PEERS))


def values(path: DataAddresses, uplink: Uplink) -> tuple[LinkKey, Peer]:
    """What stands in the maps for this way."""
    local, remote = int(IPv4Address(path.local[0])), int(IPv4Address(path.remote[0]))
    longest = min(uplink.mtu, path.mtu or uplink.mtu, 0xFFFF)
    peer = Peer(path.token, local, remote, path.local[1], path.remote[1], uplink.device, longest,
                uplink.next_hop, uplink.to, uplink.source)  # fmt: skip
    return LinkKey(remote, local, path.remote[1], path.local[1]), peer
