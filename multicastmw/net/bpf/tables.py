"""The loaded program's maps: one place that opens them all, and takes and gives values instead of bytes."""

from collections.abc import Mapping
from struct import Struct

from multicastmw.core.fastpath.tables import (
    CFG,
    GATE,
    GOES_AHEAD,
    INDEX,
    KEPT,
    KEPT_HEAD,
    LINK,
    LINK_KEY,
    NO_MAC,
    NUMBER,
    OVERTAKES,
    PAIR,
    PEER,
    PEERS,
    RECEIVED,
    ROUTE,
    ROUTE_KEY,
    ROUTE_STAT,
    WINDOW,
    WINDOW_SIZE,
    WINDOW_WORDS,
    Cfg,
    Count,
    LinkKey,
    LinkValue,
    Peer,
    Reason,
    RouteCount,
    RouteKey,
    RouteValue,
)
from multicastmw.core.window import MASK, Numbers
from multicastmw.net.bpf.kernel import NoFastPath
from multicastmw.net.bpf.loading import Loaded, LoadedProgram

RING = 64 * WINDOW_WORDS
WORDS = WINDOW.size // 8  # of 64 bits, of which the last are the ring
HEAD = Struct("<Q6I")  # what stands in front of the ring
AHEAD = GOES_AHEAD / 1e9  # seconds
NUMBER_IN_HEAD, FIRST_AT, ALONE_AT = Struct("<I"), 12, 20

SIZES = {
    "cfgs": (4, CFG.size), "peers": (4, PEER.size), "links": (LINK_KEY.size, LINK.size),
    "routes": (ROUTE_KEY.size, ROUTE.size), "sequences": (4, NUMBER.size), "stats": (4, PAIR.size),
    "route_stats": (4, ROUTE_STAT.size), "gates": (4, GATE.size),
    "windows": (4, WINDOW.size), "kept_packets": (4, KEPT.size),
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
        self._gates = loaded.maps["gates"].memory("I")  # two numbers each: what was left, what was seen
        self._windows = loaded.maps["windows"].memory("Q")  # of each the first number is when it was heard
        self._kept = loaded.maps["kept_packets"].memory("B")
        self.places = loaded.maps["kept_packets"].shape.entries
        self._stats: list[bytes] = []  # as they were when `grown` was asked last
        self._route_stats: list[bytes] = []

    @property
    def tap_egress(self) -> LoadedProgram:
        return self._loaded.programs["mcmw_tap_egress"]

    @property
    def up_ingress(self) -> LoadedProgram:
        return self._loaded.programs["mcmw_up_ingress"]

    def close(self) -> None:
        self._gates.release()
        self._windows.release()
        self._kept.release()
        self._loaded.close()

    # --- what the node says

    def configure(self, cfg: Cfg) -> None:
        self.cfgs.set(INDEX.pack(0), cfg.pack())

    def set_peer(self, index: int, peer: Peer) -> None:
        """A write is not atomic: Ethernet addresses are there before it is said that they are."""
        key = INDEX.pack(index)
        if peer.to != NO_MAC:
            self.peers.set(key, peer.pack(by_mac=False))
        self.peers.set(key, peer.pack())

    def clear_peer(self, index: int) -> None:
        """Copies that are on their way to it are dropped and counted."""
        self.peers.set(INDEX.pack(index), bytes(PEER.size))

    def set_link(self, key: LinkKey, link: LinkValue) -> None:
        self.links.set(key.pack(), link.pack())

    def clear_link(self, key: LinkKey) -> bool:
        return self.links.delete(key.pack())

    def set_route(self, key: RouteKey, route: RouteValue) -> None:
        """Raises NoFastPath for what the program cannot serve."""
        self.set_routes({key: route})

    def set_routes(self, routes: Mapping[RouteKey, RouteValue]) -> None:
        """All of these; raises NoFastPath as above."""
        try:
            packed = {key.pack(): route.pack() for key, route in routes.items()}
        except ValueError as error:
            raise NoFastPath(str(error)) from error
        self.routes.set_all(packed)

    def clear_route(self, key: RouteKey) -> bool:
        return self.routes.delete(key.pack())

    def clear_slot(self, slot: int) -> None:
        """A slot for another route: the number and the counters begin anew."""
        key = INDEX.pack(slot)
        self.sequences.set(key, NUMBER.pack(0))
        self.route_stats.set(key, bytes(len(self.route_stats.get(key) or b"")))
        self.forget_numbers(slot)

    def set_sequence(self, slot: int, number: int) -> None:
        """The slot's next packet gets this number."""
        self.sequences.set(INDEX.pack(slot), NUMBER.pack(number))

    def forget_numbers(self, slot: int) -> None:
        """Whatever number comes next is new, in both counts."""
        for count in (0, 1):
            self._windows[_window(slot, count)] = 0

    def numbers(self, slot: int, count: int) -> Numbers | None:
        """What the kernel knows; None where it has seen none."""
        place = _window(slot, count)
        value = self._windows[place : place + WORDS].tobytes()
        heard, top, first, news, alone = WINDOW.unpack(value)[:5]
        if not heard:
            return None
        ring = int.from_bytes(value[-RING // 8 :], "little")
        ring = (ring | ring << RING) >> (top + 1 - WINDOW_SIZE) % RING
        is_alone = news == (1 if alone == OVERTAKES else alone)
        return Numbers(top, ring & (1 << WINDOW_SIZE) - 1, heard / 1e9, first, is_alone)

    def last(self, slot: int, count: int) -> tuple[int, float] | None:
        """The highest number that has come, and when; None where the kernel has seen none."""
        place = _window(slot, count)
        heard = self._windows[place]
        return (self._windows[place + 1] & MASK, heard / 1e9) if heard else None

    def set_numbers(self, slot: int, count: int, known: Numbers | None) -> None:
        """It goes on from there, while no packet is judged by it; None: whatever comes next is new."""
        place = _window(slot, count)
        if known is None:
            self._windows[place] = 0
            return
        news, alone = (1, 1) if known.alone else (2, 0)
        if known.heard == AHEAD:
            alone = OVERTAKES
        value = HEAD.pack(round(known.heard * 1e9), known.top, known.first, news, alone, 0, 0)
        value += _ring(known.seen, known.top)
        self._windows[place : place + WORDS] = memoryview(value).cast("Q")

    def go_ahead(self, slot: int, count: int, known: Numbers | None) -> None:
        """The same, and between that and what comes next nothing is lost: it waits."""
        if known:
            known = known._replace(heard=AHEAD, first=known.top)
        self.set_numbers(slot, count, known)

    def add_numbers(self, slot: int, count: int, known: Numbers) -> None:
        """These have come, what the kernel had taken itself among them.

        It may be at them.  What it takes between our reading and writing, some microseconds, may be taken
        again if it is repeated, and be counted as lost.
        """
        kernel = self.numbers(slot, count)
        if kernel is None or kernel.heard <= AHEAD or kernel.alone or known.is_ahead_of(kernel.top):
            self.set_numbers(slot, count, known if known.heard > AHEAD else None)
            return
        place = _window(slot, count)
        head = self._windows.cast("B")
        NUMBER_IN_HEAD.pack_into(head, 8 * place + FIRST_AT, known.first)
        NUMBER_IN_HEAD.pack_into(head, 8 * place + ALONE_AT, 0)
        words = memoryview(_ring(known.seen_below(kernel.top), kernel.top)).cast("Q")
        for at, word in enumerate(words, place + WORDS - WINDOW_WORDS):
            if word & ~self._windows[at]:
                self._windows[at] |= word

    def shut(self, gate: int) -> None:
        """All that comes there goes to user space from now on."""
        self._gates[2 * gate + 1] = self._gates[2 * gate] ^ 1 << 31

    def open_gate(self, gate: int, left: int) -> None:
        """So many of what it left were handled; it opens if it has left no other meanwhile."""
        self._gates[2 * gate + 1] = left

    # --- what the kernel says

    def kept(self, place: int) -> bytes:
        """The message that was kept there last; empty where there is none, or it is being written."""
        at = place * KEPT.size
        (size,) = KEPT_HEAD.unpack_from(self._kept, at)
        start = at + KEPT_HEAD.size
        message = bytes(self._kept[start : start + size])
        return message if KEPT_HEAD.unpack_from(self._kept, at) == (size,) else b""

    def left_at(self, gate: int) -> int:
        """Packets that the gate has left to user space, modulo 2^32."""
        return self._gates[2 * gate]

    def is_shut(self, gate: int) -> bool:
        return self._gates[2 * gate] != self._gates[2 * gate + 1]

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

    def grown(self) -> dict[int, Count]:
        """What of `stats` has grown since this was asked last, and by how much."""
        before, self._stats = self._stats, self.stats.first(RECEIVED + PEERS)
        grown = _grown(before, self._stats, PAIR)
        return {index: Count._make(by) for index, by in grown.items()}

    def routes_grown(self, slots: int) -> dict[int, RouteCount]:
        """The same of the first so many of `route_stats`."""
        found = self.route_stats.first(slots) if slots else []
        before, self._route_stats = self._route_stats, found + self._route_stats[len(found) :]
        grown = _grown(before, found, ROUTE_STAT)
        return {slot: RouteCount._make(map(_signed, by)) for slot, by in grown.items()}


def _window(slot: int, count: int) -> int:
    """Where it begins, in words."""
    return (2 * slot + count) * WORDS


def _ring(seen: int, top: int) -> bytes:
    """The last numbers up to this top, each where its bit is in the ring."""
    ring = seen << (top + 1 - WINDOW_SIZE) % RING
    return ((ring | ring >> RING) & (1 << RING) - 1).to_bytes(RING // 8, "little")


def _grown(before: list[bytes], now: list[bytes], record: Struct) -> dict[int, list[int]]:
    """Where the values differ, and by how much: most of thousands do not, and bytes compare quickly."""
    zeros = bytes(len(now[0])) if now else b""
    grown = {}
    for index, value in enumerate(now):
        was = before[index] if index < len(before) else zeros
        if value != was:
            pairs = zip(_summed(value, record), _summed(was, record), strict=True)
            grown[index] = [is_now - then for is_now, then in pairs]
    return grown


def _signed(growth: int) -> int:
    """Of a number modulo 2^64, which may shrink."""
    return (growth + (1 << 63)) % (1 << 64) - (1 << 63)


def _summed(values: bytes, record: Struct) -> list[int]:
    """All CPUs together."""
    return [sum(column) for column in zip(*record.iter_unpack(values), strict=True)]
