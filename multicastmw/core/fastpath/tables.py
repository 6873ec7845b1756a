"""The keys and values of the fast path's maps, as the node means them; net/bpf/tables.py holds the real maps.

Addresses are 32-bit integers, ports 16-bit ones, tokens, keys and origins 64-bit ones, all as people read
them; what the program wants as it stands on the wire is turned here.  Tests hold sizes and places to what
the compiler makes of ebpf/fastpath.h.
"""

from collections.abc import Mapping
from enum import IntEnum, IntFlag, auto
from struct import Struct
from typing import NamedTuple, Protocol

from multicastmw.core.window import KNOWN, Numbers

PEERS = 256
LINKS = 512
ROUTES = 4096
FAN_OUT = 64
GATE_OF_LINK = ROUTES  # and its peer's index; a route's gate is its slot
GATE_OF_COPIES = ROUTES + PEERS  # shuts nothing: copies put into the TAP's queue, and those that have left it
COPIES_WAITING = 256
LINK_ANY = 0xFFFF
LINK_TAP = 0xFFFE
GOES_AHEAD = 1  # ns; heard so long ago is a window that goes ahead
OVERTAKES = 0xFFFFFFFF  # as `alone`: one that is ahead of what waits
OVERTAKES_FEW = 16  # less than so many news, and what it jumps over may wait, too
MARK = 0x4D434D00
COPY_MARK = 0x4D434E00

INDEX = Struct("<I")
NUMBER = Struct("<I")
GATE = Struct("<II")
PAIR = Struct("<QQ")
CFG = Struct("<QQQIIHBB6s6s")
PEER = Struct("<QIIHHIIHH6s6s4x")
LINK_KEY = Struct("<IIHH")
LINK = Struct("<QII")
ROUTE_KEY = Struct("<QQQ")
ROUTE = Struct(f"<IIHHHHII{FAN_OUT}s")
ROUTE_STAT = Struct("<10Q")
KEPT_HEAD = Struct("<I4x")
KEPT_SIZE = 1528  # the longest message that is kept in the kernel
KEPT = Struct(f"<I4x{KEPT_SIZE}s")
WINDOW_SIZE = KNOWN
WINDOW_WORDS = 32
WINDOW = Struct(f"<Q6I{WINDOW_WORDS}Q")

NO_MAC = bytes(6)
AROUND = 88  # bytes around an inner packet: IPv4, UDP, our header


class Reason(IntEnum):
    """What became of packets; from USER_LEASE on they were left to user space, untouched."""

    FROM_TAP = 0
    DELIVERED = auto()
    TTL_RAISED = auto()
    COPIED = auto()
    HOP_LIMIT_ZERO = auto()
    WRONG_TOKEN = auto()
    MALFORMED = auto()
    FROM_OURSELVES = auto()
    OTHER_LINK = auto()
    TO_NOBODY = auto()
    DIED_OF_TTL = auto()
    NOT_NEW = auto()
    NO_PEER = auto()
    TOO_LONG_FOR_PEER = auto()
    NOT_SENT = auto()
    FAILED = auto()
    NOT_COPIED = auto()
    USER_LEASE = auto()
    USER_UNKNOWN_LINK = auto()
    USER_OTHER_MESSAGE = auto()
    USER_SHAPE = auto()
    USER_GSO = auto()
    USER_IGMP = auto()
    USER_LINK_LOCAL = auto()
    USER_TTL = auto()
    USER_NO_ROUTE = auto()
    USER_GENERATION = auto()
    USER_ROUTE = auto()
    USER_TOO_LONG = auto()
    USER_CHECKSUM = auto()
    USER_GATE = auto()
    USER_MESH = auto()


REASONS_MAX = 32
SENT = REASONS_MAX
RECEIVED = SENT + PEERS


class RouteFlag(IntFlag):
    LOCAL = 1
    USER = 2
    WHOLE = 4
    COPY = 8
    HERE = 16
    MESH = 32
    COUNT = 64


class PeerFlag(IntFlag):
    READY = 1
    NEXT_HOP = 2
    MAC = 4


def _wire64(value: int) -> int:
    return int.from_bytes(value.to_bytes(8, "big"), "little")


def _wire32(value: int) -> int:
    return int.from_bytes(value.to_bytes(4, "big"), "little")


def _wire16(value: int) -> int:
    return int.from_bytes(value.to_bytes(2, "big"), "little")


class Cfg(NamedTuple):
    """The node.  In ns: `lease` on CLOCK_MONOTONIC, `realtime_offset` what CLOCK_REALTIME is ahead of it."""

    origin: int
    lease: int
    realtime_offset: int
    tap: int
    generation: int
    data_port: int
    enabled: bool
    mac: bytes
    ttl_floor: int = 0
    secret: bytes = bytes(6)

    def pack(self) -> bytes:
        offset = self.realtime_offset % (1 << 64)
        return CFG.pack(_wire64(self.origin), self.lease, offset, self.tap, self.generation,
                        _wire16(self.data_port), self.enabled, self.ttl_floor, self.mac,
                        self.secret)  # fmt: skip


class Peer(NamedTuple):
    """Where copies go: by the routing table, by a next hop, or by a known Ethernet address.

    `longest` is the longest IP packet that fits the way there, outer header included.
    """

    token: int
    local: int
    remote: int
    local_port: int
    remote_port: int
    device: int
    longest: int
    gateway: int = 0
    to: bytes = NO_MAC
    source: bytes = NO_MAC

    def pack(self, by_mac: bool = True) -> bytes:
        flags = PeerFlag.READY
        if by_mac and self.to != NO_MAC:
            flags |= PeerFlag.MAC
        elif self.gateway:
            flags |= PeerFlag.NEXT_HOP
        return PEER.pack(_wire64(self.token), _wire32(self.local), _wire32(self.remote),
                         _wire16(self.local_port), _wire16(self.remote_port), self.device,
                         _wire32(self.gateway), self.longest, flags, self.to, self.source)  # fmt: skip


class LinkKey(NamedTuple):
    """A peer's datagrams, by their addresses."""

    remote: int
    local: int
    remote_port: int
    local_port: int

    def pack(self) -> bytes:
        return LINK_KEY.pack(_wire32(self.remote), _wire32(self.local), _wire16(self.remote_port),
                             _wire16(self.local_port))  # fmt: skip


class LinkValue(NamedTuple):
    """The token that they carry, and whose they are."""

    token: int
    peer: int

    def pack(self) -> bytes:
        return LINK.pack(_wire64(self.token), self.peer, 0)


class RouteKey(NamedTuple):
    """An overlay address, and the origin or 0 for any."""

    group: int
    source: int = 0
    origin: int = 0

    def pack(self) -> bytes:
        return ROUTE_KEY.pack(*map(_wire64, self))


class Ring(NamedTuple):
    """Places in the kernel where a stream's packets are kept by their numbers: `size` is a power of two."""

    base: int
    size: int


NO_RING = Ring(0, 0)


class RouteValue(NamedTuple):
    """All destinations of a route.  `slot` is the place of its number and its counters; `link` a peer's
    index, LINK_ANY or LINK_TAP; `longest` the least of its peers'."""

    generation: int
    slot: int
    peers: tuple[int, ...]
    longest: int
    link: int = LINK_ANY
    flags: RouteFlag = RouteFlag(0)
    ring: Ring = NO_RING

    @property
    def gate_of_link(self) -> int | None:
        """The gate of the link that its packets come over; None for what starts here."""
        return None if self.link == LINK_TAP else GATE_OF_LINK + self.link

    def pack(self) -> bytes:
        """Raises ValueError for what the program cannot serve."""
        if len(self.peers) > FAN_OUT:
            raise ValueError(f"{len(self.peers)} destinations, and the fast path serves {FAN_OUT}")
        if len(set(self.peers)) < len(self.peers):
            raise ValueError(f"a peer twice: {self.peers}")
        return ROUTE.pack(self.generation, self.slot, len(self.peers), self.link, self.longest, self.flags,
                          self.ring.base, max(0, self.ring.size - 1), bytes(self.peers))  # fmt: skip


class Count(NamedTuple):
    packets: int
    bytes: int


class RouteCount(NamedTuple):
    packets: int
    bytes: int
    delivered: int
    died_of_ttl: int
    to_nobody: int
    other_link: int
    lost: int  # by so many more: it shrinks where one comes late
    duplicates: int
    late: int
    reordered: int


class KernelTables(Protocol):
    """The maps, as their one writer uses them.  Whatever fails raises an exception that says why."""

    def configure(self, cfg: Cfg) -> None: ...
    def set_peer(self, index: int, peer: Peer) -> None: ...
    def clear_peer(self, index: int) -> None: ...
    def set_link(self, key: LinkKey, link: LinkValue) -> None: ...
    def clear_link(self, key: LinkKey) -> bool: ...
    def set_routes(self, routes: Mapping[RouteKey, RouteValue]) -> None: ...
    def clear_route(self, key: RouteKey) -> bool: ...
    def left_at(self, gate: int) -> int:
        """Packets that this gate has left to us, modulo 2^32: each shut it."""

    def is_shut(self, gate: int) -> bool: ...
    def shut(self, gate: int) -> None:
        """All go to us from now on."""

    def open_gate(self, gate: int, left: int) -> None:
        """So many (`left_at`) were handled here; it opens if it has left no other meanwhile."""

    def sequence(self, slot: int) -> int: ...
    def set_sequence(self, slot: int, number: int) -> None: ...
    def forget_numbers(self, slot: int) -> None:
        """Whatever number comes next is new, in both counts."""

    def numbers(self, slot: int, count: int) -> Numbers | None:
        """What the kernel knows; None where it has seen none."""

    def set_numbers(self, slot: int, count: int, known: Numbers | None) -> None:
        """It goes on from there, while it is not at it; None: whatever comes next is new."""

    def go_ahead(self, slot: int, count: int, known: Numbers | None) -> None:
        """The same, and between that and what comes next nothing is lost: it waits."""

    def add_numbers(self, slot: int, count: int, known: Numbers) -> None:
        """These have come, what it has taken itself among them; it may be at them."""

    def last(self, slot: int, count: int) -> tuple[int, float] | None:
        """The highest number that has come, and when; None where the kernel has seen none."""

    @property
    def places(self) -> int:
        """How many packets it has room to keep."""

    def kept(self, place: int) -> bytes:
        """The message that was kept there last; empty where there is none."""

    def grown(self) -> dict[int, Count]:
        """What of `stats` has grown since this was asked last, and by how much."""

    def routes_grown(self, slots: int) -> dict[int, RouteCount]:
        """The same of the first so many of `route_stats`."""
