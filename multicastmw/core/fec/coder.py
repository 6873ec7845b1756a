"""What goes out over one link, in blocks: behind a block's last packet goes its parity.

    a stream of 500 packets/s       [ 0  1  2 ... 19 ] P P  [ 20 21 ... 39 ] P P
    one of 1,500 packets/s, step 3  [ 0  3  6 ... 57 ] P P
                                     [ 1  4  7 ... 58 ] P P          a burst of three is one of each
                                      [ 2  5  8 ... 59 ] P P

A packet goes out at once, and is added to the sums of its block; nothing else is kept of it.  A block is of
one stream, so a burst of losses is shared by the blocks of all streams, and the row needs to name no other
keys; it ends after 40 ms whatever is in it.  A slow stream pays for that with more parity, of few bits.
"""

from collections.abc import Callable
from math import ceil, sqrt
from typing import Protocol

from multicastmw.core.fec.code import add
from multicastmw.core.fec.counters import FecCounters
from multicastmw.wire.data import (
    FLAGS_OFFSET,
    NUMBERED_BY_KERNEL,
    ORIGIN_OFFSET,
    RETRANSMITTED,
    SEQUENCE_OFFSET,
    SEQUENCE_TWIN,
    SYMBOL_OFFSET,
)
from multicastmw.wire.mesh import KEYS_TWIN, StreamKey, digest
from multicastmw.wire.parity import PLACES, Parity

# What the specification says (OVERLAY, 3.9).
BLOCK = 20  # packets
SPAN = 0.04  # seconds from a block's first packet to its parity

# What we chose.
ROWS_MOST = 10  # half as much again as is sent: where that does not help, more of it would not
STEP_MOST = 16  # blocks that one stream has open: above 9,000 packets/s they are shorter
STREAMS_MAX = 256  # of one link
STALE = 10.0  # seconds after which a stream's place may be another's
MEASURED = 1.0  # seconds over which a stream's rate is measured
MASK = 0xFFFFFFFF
HALF = 1 << 31

Keys = tuple[bytes, int]  # of a stream, as they stand in its packets, and which count it is
sequence_at = SEQUENCE_TWIN.unpack_from


def rows_for(packets: int, loss: float, sigmas: int) -> int:
    """k x (loss + 2 sigma): enough in 39 blocks of 40, where losses are independent of each other."""
    sigma = sqrt(loss * (1 - loss) / packets)
    return max(1, min(ROWS_MOST, ceil(packets * (loss + sigmas * sigma))))


def digest_of(keys: Keys) -> int:
    """As the wire has it."""
    origin, group, source = KEYS_TWIN.unpack(keys[0])
    return digest(StreamKey(origin ^ keys[1], group, source))


class Block:
    """Packets that are sent, as far as they were added up."""

    __slots__ = ("count", "due", "first", "lane", "longest", "members", "step", "sums")

    def __init__(self, lane: "Lane", first: int, rows: int, due: float) -> None:
        self.lane = lane
        self.first = first
        self.step = lane.step
        self.due = due
        self.members = self.count = self.longest = 0
        self.sums = [0] * rows


class Lane:
    """One stream; `open` has a block for each remainder of numbers by `step`."""

    __slots__ = ("counted", "digest", "heard", "open", "since", "step")

    def __init__(self, digest: int, now: float) -> None:
        self.digest = digest
        self.step = 1
        self.open: dict[int, Block] = {}
        self.counted = 0
        self.since = self.heard = now


class Desk(Protocol):
    """Where the open blocks of all links are, and the account of what may be sent."""

    def opened(self, block: Block, coder: "Coder") -> None:
        """It is due after all that are open already."""

    def closed(self, block: Block) -> None: ...
    def may_send(self, size: int, now: float) -> bool: ...


class Run(Protocol):
    """What packets leave by."""

    def send(self, message: memoryview, now: float) -> None: ...


class Coder:
    """Stands before a link's run; `say` sends a row after all that is on its way."""

    def __init__(self, run: Run, say: Callable[[Parity], int], desk: Desk, counters: FecCounters) -> None:
        self.rows = [1] * (BLOCK + 1)  # by the packets of a block
        self._pass_on = run.send
        self._say = say
        self._desk = desk
        self._counters = counters
        self._lanes: dict[Keys, Lane] = {}

    def expects(self, loss: float, sigmas: int) -> None:
        """So much is lost from now on, and for so many standard deviations more there is to be parity."""
        self.rows = [1, *(rows_for(packets, loss, sigmas) for packets in range(1, BLOCK + 1))]

    def send(self, message: memoryview, now: float) -> None:
        """A whole IP Data message, with the token of the peer."""
        self._pass_on(message, now)
        flags = message[FLAGS_OFFSET]
        if flags & RETRANSMITTED:
            return  # it may be other bytes than those that were sent before
        keys = bytes(message[ORIGIN_OFFSET:SEQUENCE_OFFSET]), flags & NUMBERED_BY_KERNEL
        lane = self._lanes.get(keys) or self._new_lane(keys, now)
        if lane is not None:
            self._add(lane, sequence_at(message, SEQUENCE_OFFSET)[0], message, now)

    def _add(self, lane: Lane, number: int, message: memoryview, now: float) -> None:
        block, place = lane.open.get(number % lane.step), 0
        if block is not None:
            place, rest = divmod((number - block.first) & MASK, block.step)
            if (number - block.first) & MASK >= HALF or block.members >> place & 1:
                self._counters.out_of_order += 1
                return
            if rest or place >= PLACES or now >= block.due:
                self.close(block, now)
                block, place = None, 0
        if block is None:
            block = lane.open[number % lane.step] = Block(lane, number, self.rows[BLOCK], now + SPAN)
            self._desk.opened(block, self)
        symbol = bytes(message[SYMBOL_OFFSET:])
        add(block.sums, place, symbol)
        block.members |= 1 << place
        block.count += 1
        block.longest = max(block.longest, len(symbol))
        if block.count == BLOCK:
            self.close(block, now)

    def close(self, block: Block, now: float) -> None:
        """Its parity goes out."""
        lane = block.lane
        self._forget(block)
        rows = min(self.rows[block.count], len(block.sums))
        for row in range(rows):
            symbol = block.sums[row].to_bytes(block.longest, "little")
            if not self._desk.may_send(block.longest, now):
                self._counters.over_bound += 1
                continue
            head = (lane.digest, block.first, block.step, row, rows, block.members)
            self._counters.sent_bytes += self._say(Parity(*head, symbol))
            self._counters.sent += 1
        lane.counted += block.count
        if now - lane.since >= MEASURED:
            self._pace(lane, now)

    def _forget(self, block: Block) -> None:
        block.lane.open.pop(block.first % block.step, None)
        self._desk.closed(block)

    def _pace(self, lane: Lane, now: float) -> None:
        """So many blocks are open at once that each takes about as long as it may."""
        rate, lane.counted = lane.counted / (now - lane.since), 0
        lane.since = lane.heard = now
        step = max(1, min(STEP_MOST, int(rate * SPAN / BLOCK)))
        if step != lane.step:
            for block in list(lane.open.values()):
                self.close(block, now)
            lane.step = step

    def _new_lane(self, keys: Keys, now: float) -> Lane | None:
        if len(self._lanes) >= STREAMS_MAX:
            for each, lane in list(self._lanes.items()):
                if not lane.open and now - lane.heard > STALE:
                    del self._lanes[each]
        if len(self._lanes) >= STREAMS_MAX:
            self._counters.over_bound += 1
            return None
        lane = self._lanes[keys] = Lane(digest_of(keys), now)
        return lane

    def stop(self) -> None:
        """What is open is let go."""
        for lane in self._lanes.values():
            for block in list(lane.open.values()):
                self._forget(block)
        self._lanes.clear()
