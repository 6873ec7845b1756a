"""What comes in over one link: the last packets of each stream, and those that parity gives back.

A row says which packets its block has.  As soon as there are as many rows as packets are missing these are
rebuilt, in whatever order all of it comes; what comes by itself afterwards falls to the duplicate window.
"""

from collections.abc import Callable, Container
from struct import Struct as Twin

from multicastmw.core.fec.code import rebuilt
from multicastmw.core.fec.coder import STALE, Keys, digest_of
from multicastmw.core.fec.counters import FecCounters
from multicastmw.wire.data import (
    FLAGS_OFFSET,
    HEADER_SIZE,
    NUMBERED_BY_KERNEL,
    ORIGIN_OFFSET,
    REBUILT,
    RETRANSMITTED,
    SEQUENCE_OFFSET,
    SEQUENCE_TWIN,
    SYMBOL_OFFSET,
    DataHeader,
    first_bytes,
    padded,
)
from multicastmw.wire.errors import Malformed
from multicastmw.wire.parity import PLACES, Parity

# What we chose.
STREAMS_MAX = 256  # of one link
KEPT_LEAST = 2 * PLACES  # packets of a stream, and so many times more where blocks have a step
KEPT_MOST = 2_048
BYTES_MAX = 8 << 20  # of all that one link keeps
WAITING_MAX = 64  # blocks of one link that lack something
WAITS = 1.0  # seconds that one is looked at again
MASK = 0xFFFFFFFF

PACKET_LENGTH = Twin("!H")
sequence_at = SEQUENCE_TWIN.unpack_from
Give = Callable[[bytes, float], None]


class Waiting:
    """A block that lacks something: where what is missing has its place, and the rows so far."""

    __slots__ = ("missing", "numbers", "parity", "rows", "until")

    def __init__(self, parity: Parity, came: Container[int], now: float) -> None:
        self.parity = parity
        self.until = now + WAITS
        self.rows: dict[int, bytes] = {}
        self.numbers = {
            (parity.first + place * parity.step) & MASK: place
            for place in range(PLACES)
            if parity.members >> place & 1
        }
        self.missing = {number: place for number, place in self.numbers.items() if number not in came}

    def fits(self, parity: Parity) -> bool:
        """Is that another row of the same block?"""
        mine = self.parity
        same = parity.members == mine.members and parity.rows == mine.rows
        return same and len(parity.symbol) == len(mine.symbol)


class Incoming:
    """One stream: the symbols of what came lately, by number."""

    __slots__ = ("came", "heard", "keys", "most", "waiting")

    def __init__(self, keys: Keys, now: float) -> None:
        self.keys = keys
        self.came: dict[int, bytes] = {}
        self.most = KEPT_LEAST
        self.heard = now
        self.waiting: dict[tuple[int, int], Waiting] = {}


class Rebuilder:
    """`give` takes a message that was rebuilt, as if it had come."""

    def __init__(self, give: Give, counters: FecCounters, now: float) -> None:
        self.heard = now  # of parity
        self._give = give
        self._counters = counters
        self._streams: dict[Keys, Incoming] = {}
        self._by_digest: dict[int, Incoming] = {}
        self._waiting: dict[tuple[int, int, int], Incoming] = {}  # in the order in which they came
        self._bytes = 0

    # --- packets

    def came(self, message: memoryview, now: float) -> None:
        """A datagram with IP Data, as it came."""
        if len(message) <= HEADER_SIZE or message[FLAGS_OFFSET] & RETRANSMITTED:
            return
        keys = bytes(message[ORIGIN_OFFSET:SEQUENCE_OFFSET]), message[FLAGS_OFFSET] & NUMBERED_BY_KERNEL
        stream = self._streams.get(keys) or self._new_stream(keys, now)
        if stream is None:
            return
        stream.heard = now
        number = sequence_at(message, SEQUENCE_OFFSET)[0]
        self._keep(stream, number, bytes(message[SYMBOL_OFFSET:]))
        if stream.waiting:
            for block in list(stream.waiting.values()):
                if block.missing.pop(number, None) is not None:
                    self._rebuild(stream, block, now)

    def _keep(self, stream: Incoming, number: int, symbol: bytes) -> None:
        kept = stream.came
        self._bytes += len(symbol) - len(kept.get(number, b""))
        kept[number] = symbol
        while len(kept) > stream.most or (self._bytes > BYTES_MAX and kept):
            self._bytes -= len(kept.pop(next(iter(kept))))

    def _new_stream(self, keys: Keys, now: float) -> Incoming | None:
        if len(self._streams) >= STREAMS_MAX:
            self._clear(now)
        digest = digest_of(keys)
        if len(self._streams) >= STREAMS_MAX or digest in self._by_digest:  # two of one are no honest ones
            return None
        stream = self._streams[keys] = self._by_digest[digest] = Incoming(keys, now)
        return stream

    def _clear(self, now: float) -> None:
        """Forgets streams of which nothing comes any more."""
        for keys, stream in list(self._streams.items()):
            if now - stream.heard > STALE:
                self._bytes -= sum(map(len, stream.came.values()))
                for block in list(stream.waiting.values()):
                    self._done(stream, block)
                del self._streams[keys], self._by_digest[digest_of(keys)]

    # --- parity

    def accept(self, parity: Parity, now: float) -> None:
        self.heard = now
        self._counters.received += 1
        stream = self._by_digest.get(parity.digest)
        if stream is None:
            self._counters.unknown_streams += 1
            return
        stream.most = min(KEPT_MOST, max(stream.most, KEPT_LEAST * parity.step))
        block = stream.waiting.get((parity.first, parity.step)) or Waiting(parity, stream.came, now)
        if not block.fits(parity):
            self._counters.malformed += 1
            return
        if not block.missing:
            self._counters.useless += 1
            return
        if not block.rows:
            self._wait(stream, block, now)
        block.rows[parity.row] = parity.symbol
        self._rebuild(stream, block, now)

    def _wait(self, stream: Incoming, block: Waiting, now: float) -> None:
        first, step = block.parity.first, block.parity.step
        stream.waiting[first, step] = block
        self._waiting[block.parity.digest, first, step] = stream
        while True:
            (_, *key), whose = next(iter(self._waiting.items()))
            oldest = whose.waiting[key[0], key[1]]
            if oldest.until > now and len(self._waiting) <= WAITING_MAX:
                return
            self._done(whose, oldest)
            self._counters.short += len(oldest.missing)

    def _done(self, stream: Incoming, block: Waiting) -> None:
        first, step = block.parity.first, block.parity.step
        stream.waiting.pop((first, step), None)
        self._waiting.pop((block.parity.digest, first, step), None)

    def _rebuild(self, stream: Incoming, block: Waiting, now: float) -> None:
        """If there are rows enough."""
        missing = block.missing
        if len(missing) > len(block.rows):
            return
        self._done(stream, block)
        if not missing:
            return
        size = len(block.parity.symbol)
        present = {
            place: stream.came.get(number, b"")
            for number, place in block.numbers.items()
            if number not in missing
        }
        if not all(present.values()):  # so late that it is not kept any more
            self._counters.short += len(missing)
        elif max(map(len, present.values()), default=0) > size:
            self._counters.malformed += 1
        else:
            found = rebuilt(block.rows, present, list(missing.values()))
            for number, place in missing.items():
                self._make(stream, number, found[place], now)

    def _make(self, stream: Incoming, number: int, symbol: bytes, now: float) -> None:
        """A message of what was rebuilt, if it is one."""
        try:
            message, symbol = whole(stream.keys, number, symbol)
        except Malformed:
            self._counters.malformed += 1
            return
        self._keep(stream, number, symbol)
        self._counters.rebuilt += 1
        self._give(message, now)

    @property
    def kept(self) -> int:
        """Bytes of packets."""
        return self._bytes


def whole(keys: Keys, number: int, symbol: bytes) -> tuple[bytes, bytes]:
    """The message, with the flag REBUILT, and its symbol without what follows; raises Malformed."""
    size = SYMBOL_OFFSET + len(symbol)
    if size <= HEADER_SIZE:
        raise Malformed(f"a symbol of {len(symbol)} bytes")
    length = padded(PACKET_LENGTH.unpack_from(symbol, HEADER_SIZE - 4 - SYMBOL_OFFSET)[0] - 4)
    if not HEADER_SIZE < length <= size or any(symbol[length - SYMBOL_OFFSET :]):
        raise Malformed(f"a packet of {length} bytes in {size}")
    symbol = symbol[: length - SYMBOL_OFFSET]
    message = bytearray(first_bytes(length) + keys[0] + SEQUENCE_TWIN.pack(number) + symbol)
    flags = message[FLAGS_OFFSET]
    if flags & NUMBERED_BY_KERNEL != keys[1] or flags & RETRANSMITTED:
        raise Malformed(f"flags {flags} of another packet")
    DataHeader.parse(message)
    message[FLAGS_OFFSET] = flags | REBUILT
    return bytes(message), symbol
