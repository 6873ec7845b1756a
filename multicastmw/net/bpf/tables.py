"""The keys and values of the fast path's maps: twins of ebpf/fastpath.h, and one place that opens them all.

Addresses are 32-bit integers, ports 16-bit ones, tokens, keys and origins 64-bit ones, all as people read
them; what the program wants as it stands on the wire is turned here.  Tests hold sizes and places to what
the compiler makes of the header.
"""

from enum import IntEnum, IntFlag, auto
from socket import htonl, htons
from struct import Struct
from typing import NamedTuple

from multicastmw.net.bpf.kernel import NoFastPath
from multicastmw.net.bpf.loading import Loaded, LoadedProgram

PEERS = 256
LINKS = 256
ROUTES = 4096
FAN_OUT = 64
LINK_ANY = 0xFFFF
LINK_TAP = 0xFFFE
MARK = 0x4D434D00

INDEX = Struct("<I")
NUMBER = Struct("<I")
PAIR = Struct("<QQ")
CFG = Struct("<QQQIIHBB6s6x")
PEER = Struct("<QIIHHIIHH6s6s4x")
LINK_KEY = Struct("<IIHH")
LINK = Struct("<QII")
ROUTE_KEY = Struct("<QQQ")
ROUTE = Struct(f"<IIHHHH{FAN_OUT}s")
ROUTE_STAT = Struct("<6Q")

NO_MAC = bytes(6)


class Reason(IntEnum):
    """What became of packets; from USER_LEASE on they were left to user space, untouched."""

    FROM_TAP = 0
    DELIVERED = auto()
    TTL_RAISED = auto()
    HOP_LIMIT_ZERO = auto()
    WRONG_TOKEN = auto()
    MALFORMED = auto()
    FROM_OURSELVES = auto()
    OTHER_LINK = auto()
    TO_NOBODY = auto()
    DIED_OF_TTL = auto()
    NO_PEER = auto()
    TOO_LONG_FOR_PEER = auto()
    NOT_SENT = auto()
    FAILED = auto()
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


REASONS_MAX = 32
SENT = REASONS_MAX
RECEIVED = SENT + PEERS


class RouteFlag(IntFlag):
    LOCAL = 1
    USER = 2
    WHOLE = 4


class PeerFlag(IntFlag):
    READY = 1
    NEXT_HOP = 2
    MAC = 4


def _wire64(value: int) -> int:
    return int.from_bytes(value.to_bytes(8, "big"), "little")


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

    def pack(self) -> bytes:
        offset = self.realtime_offset % (1 << 64)
        return CFG.pack(_wire64(self.origin), self.lease, offset, self.tap, self.generation,
                        htons(self.data_port), self.enabled, self.ttl_floor, self.mac)  # fmt: skip


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

    def pack(self) -> bytes:
        flags = PeerFlag.READY
        if self.to != NO_MAC:
            flags |= PeerFlag.MAC
        elif self.gateway:
            flags |= PeerFlag.NEXT_HOP
        return PEER.pack(_wire64(self.token), htonl(self.local), htonl(self.remote), htons(self.local_port),
                         htons(self.remote_port), self.device, htonl(self.gateway), self.longest, flags,
                         self.to, self.source)  # fmt: skip


class LinkKey(NamedTuple):
    """A peer's datagrams, by their addresses."""

    remote: int
    local: int
    remote_port: int
    local_port: int

    def pack(self) -> bytes:
        return LINK_KEY.pack(htonl(self.remote), htonl(self.local), htons(self.remote_port),
                             htons(self.local_port))  # fmt: skip


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


class RouteValue(NamedTuple):
    """All destinations of a route.  `slot` is the place of its number and its counters; `link` a peer's
    index, LINK_ANY or LINK_TAP; `longest` the least of its peers'."""

    generation: int
    slot: int
    peers: tuple[int, ...]
    longest: int
    link: int = LINK_ANY
    flags: RouteFlag = RouteFlag(0)

    def pack(self) -> bytes:
        """Raises NoFastPath for more peers than the program can serve."""
        if len(self.peers) > FAN_OUT:
            raise NoFastPath(f"{len(self.peers)} destinations, and the fast path serves {FAN_OUT}")
        if len(set(self.peers)) < len(self.peers):
            raise ValueError(f"a peer twice: {self.peers}")
        return ROUTE.pack(self.generation, self.slot, len(self.peers), self.link, self.longest, self.flags,
                          bytes(self.peers))  # fmt: skip


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


SIZES = {
    "cfgs": (4, CFG.size), "peers": (4, PEER.size), "links": (LINK_KEY.size, LINK.size),
    "routes": (ROUTE_KEY.size, ROUTE.size), "sequences": (4, NUMBER.size), "stats": (4, PAIR.size),
    "route_stats": (4, ROUTE_STAT.size),
}  # fmt: skip


class Tables:
    """The loaded program's maps, with values instead of bytes."""

    def __init__(self, loaded: Loaded) -> None:
        found = {name: (m.shape.key_size, m.shape.value_size) for name, m in loaded.maps.items()}
        if found != SIZES:
            raise NoFastPath(f"the kernel's program is of another release: {found}")
        self._loaded = loaded
        self.cfgs, self.peers, self.links = (loaded.maps[name] for name in ("cfgs", "peers", "links"))
        self.routes, self.sequences = loaded.maps["routes"], loaded.maps["sequences"]
        self.stats, self.route_stats = loaded.maps["stats"], loaded.maps["route_stats"]

    @property
    def tap_egress(self) -> LoadedProgram:
        return self._loaded.programs["mcmw_tap_egress"]

    @property
    def up_ingress(self) -> LoadedProgram:
        return self._loaded.programs["mcmw_up_ingress"]

    def close(self) -> None:
        self._loaded.close()

    # --- what the node says

    def configure(self, cfg: Cfg) -> None:
        self.cfgs.set(INDEX.pack(0), cfg.pack())

    def set_peer(self, index: int, peer: Peer) -> None:
        self.peers.set(INDEX.pack(index), peer.pack())

    def clear_peer(self, index: int) -> None:
        """Copies that are on their way to it are dropped and counted."""
        self.peers.set(INDEX.pack(index), bytes(PEER.size))

    def set_link(self, key: LinkKey, link: LinkValue) -> None:
        self.links.set(key.pack(), link.pack())

    def clear_link(self, key: LinkKey) -> bool:
        return self.links.delete(key.pack())

    def set_route(self, key: RouteKey, route: RouteValue) -> None:
        self.routes.set(key.pack(), route.pack())

    def set_routes(self, routes: dict[RouteKey, RouteValue]) -> None:
        self.routes.set_all({key.pack(): route.pack() for key, route in routes.items()})

    def clear_route(self, key: RouteKey) -> bool:
        return self.routes.delete(key.pack())

    def clear_slot(self, slot: int) -> None:
        """A slot for another route: the number and the counters begin anew."""
        key = INDEX.pack(slot)
        self.sequences.set(key, NUMBER.pack(0))
        self.route_stats.set(key, bytes(len(self.route_stats.get(key) or b"")))

    # --- what the kernel says

    def sequence(self, slot: int) -> int:
        """The number that the slot's next packet gets."""
        return int(NUMBER.unpack(self.sequences.get(INDEX.pack(slot)) or bytes(4))[0])

    def counts(self) -> list[Count]:
        """Everything in `stats`: by reason, then what was sent to each peer, then what came from each."""
        return [Count._make(_summed(value, PAIR)) for value in self.stats.first(RECEIVED + PEERS)]

    def reasons(self) -> dict[Reason, Count]:
        counts = self.stats.first(len(Reason))
        return {reason: Count._make(_summed(counts[reason], PAIR)) for reason in Reason}

    def route_count(self, slot: int) -> RouteCount:
        return RouteCount._make(_summed(self.route_stats.get(INDEX.pack(slot)) or b"", ROUTE_STAT))


def _summed(values: bytes, record: Struct) -> list[int]:
    """All CPUs together."""
    return [sum(column) for column in zip(*record.iter_unpack(values), strict=True)]
