"""All of a node's forward error correction: its links, the blocks that are open, and what parity may take."""

from collections.abc import Callable

from multicastmw.core.bucket import Bucket
from multicastmw.core.events import Tell
from multicastmw.core.fec.coder import Block, Coder
from multicastmw.core.fec.counters import FecCounters
from multicastmw.core.fec.protection import Protected, Protection
from multicastmw.core.mesh.settings import UPLINK_USUAL
from multicastmw.wire.parity import PLACES

# What we chose.
SHARE = 0.25  # of the uplink
BURST = 0.1  # seconds of it that may be sent at once
BURST_LEAST = 32_000.0  # bytes
AROUND = 76  # bytes of a row that are not its sum, with UDP and IPv4
NEVER = float("inf")


class Fec:
    """`always`: on every link, needed or not; `patience`: [recovery] deadline, in seconds; `uplink` in
    kbit/s, None where it is not known."""

    longest_block = PLACES  # packets that are rebuilt of one block, as our Open says it

    def __init__(self, always: bool, patience: float, uplink: int | None) -> None:
        self.always = always
        self.patience = patience
        self.protections: dict[Protected, Protection] = {}
        self.wake: Callable[[], None] = lambda: None  # the deadline has come nearer
        self.tell: Tell = lambda event: None
        # Told that a neighbour takes more of the uplink, or less.
        self.costs_changed: Callable[[], None] = lambda: None
        rate = (uplink or UPLINK_USUAL) * 125 * SHARE
        self._bucket = Bucket(rate, max(BURST_LEAST, rate * BURST))
        self._open: dict[Block, Coder] = {}
        self._forgotten = FecCounters()

    def link_up(self, link: Protected) -> Protection:
        """Its other end says that it rebuilds."""
        protection = self.protections[link] = Protection(link, self)
        if link.on_udp:
            protection.moved(True)
        return protection

    def link_down(self, link: Protected, why: str = "") -> None:
        """It is gone, or its other end rebuilds no more; `why` is empty where that is no news."""
        protection = self.protections.pop(link, None)
        if protection:
            protection.ended(why)
            self._forgotten.add(protection.counters)

    def always_is(self, always: bool, now: float) -> None:
        """From now on."""
        self.always = always
        for each in self.protections.values():
            each.judge(now)

    def totals(self) -> FecCounters:
        """Of all links, those that are gone among them."""
        return FecCounters().add(self._forgotten, *(each.counters for each in self.protections.values()))

    # --- blocks

    def opened(self, block: Block, coder: Coder) -> None:
        self._open[block] = coder
        if len(self._open) == 1:
            self.wake()

    def closed(self, block: Block) -> None:
        self._open.pop(block, None)

    def may_send(self, size: int, now: float) -> bool:
        return self._bucket.allows(now, size + AROUND)

    def deadline(self) -> float:
        for block in self._open:  # in the order in which they fall due
            return block.due
        return NEVER

    def tick(self, now: float) -> None:
        while self._open:
            block, coder = next(iter(self._open.items()))
            if block.due > now:
                return
            coder.close(block, now)
