"""The duplicate window and the loss count of one stream (origin, overlay address, count).

A ring of W = 2^k slots holds in slot s mod W the last whole sequence number s that was accepted there.
Whether s is a duplicate is one comparison, and a jump forward has nothing to clear: what it passes over
keeps numbers of an earlier lap, which are not the ones asked for.

           top - W + 1                 top               top + W - 1
    ... late | accepted once (reordered) | next, moves the top | far ahead ...      (RFC 1982, modulo 2^32)

*Far ahead*: a loss longer than the window, or a forged or damaged number.  If it moved the window at once,
one such packet would make everything behind it late.  So it is accepted (it was asked for, and may be
right), but the window moves only when the next accepted packet lies within W of it: a stream that really
jumped does that at once, a stranger's number among the stream's own ones does not.  Two forged packets in
a row do, as would one that takes the next number: this window keeps order, it is no seal.

For the same reason the first packet of a stream is believed only when a second one is near it: until then
one that is outside of its window starts the stream instead.

*Late*, and more than 2^31 ahead is the same: refused.  A count that was set back is therefore refused
until it starts afresh, 10 s after the last accepted packet.  Neither duplicates, late nor far packets put
that off, so nothing that is refused can keep a stream deaf.

W follows the rate, measured every W/2 packets: if W numbers last less than 2 s, it doubles.  The ring is
repeated once: each number then stands in the slot where it belongs and in one where it does not, where it
means nothing.  The numbers that the smaller ring had forgotten stay late (`_floor`).
"""

from array import array
from typing import NamedTuple

# Specified (DESIGN.md, 4; RFC 1982, 3).
SPAN = 2.0  # seconds of packets that a window holds at least
SILENCE = 10.0  # seconds after which a stream starts afresh
MODULUS = 1 << 32
MASK = MODULUS - 1
HALF = MODULUS >> 1

# Chosen.
SLOTS = 2048  # 2 s at 12 Mbit/s
MOST_SLOTS = 1 << 18  # 2 s at 1.5 Gbit/s
SLOT_SIZE = array("I").itemsize
BUDGET = 64 << 20
MOST_WAITING = 1 << 14  # packets: what a window grows to for those that wait
KNOWN = 1024  # numbers that go along when a stream is looked at elsewhere

NEVER = float("-inf")
NOTHING = -1


class Numbers(NamedTuple):
    """What a window knows of the last KNOWN numbers: the highest bit of `seen` is `top`'s own.

    What is missing since `first` was counted as lost.  `alone`: the top came first, and none after it.
    """

    top: int  # 32 bits, as `first`
    seen: int
    heard: float  # when the last one came
    first: int
    alone: bool

    def seen_below(self, top: int) -> int:
        """`seen`, as it is of the KNOWN numbers up to another top (32 bits)."""
        behind = (top - self.top) & MASK
        if behind < HALF:
            return self.seen >> behind
        return self.seen << min(MODULUS - behind, KNOWN) & (1 << KNOWN) - 1

    def is_ahead_of(self, number: int) -> bool:
        """Is the top?"""
        return 0 < (self.top - number) & MASK < HALF


class Budget:
    """The bytes that the windows of a node share.

    First rings (8 KiB) are always granted, larger ones while there is room: the owner of the windows bounds
    how many streams there are, this bounds what they grow by.
    """

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = BUDGET) -> None:
        self.limit = limit
        self.used = 0

    def charge(self, size: int) -> None:
        self.used += size

    def grants(self, size: int) -> bool:
        """Charges it, if there is room."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def release(self, size: int) -> None:
        self.used -= size


class Window:
    """Which packets of one stream are new, and how many are missing.

    `received` counts each number once.  `lost` is what was expected since the first packet and has not
    come (yet); the pause before a fresh start is no loss.  `far` packets were accepted without moving the
    window, and `jumps` of them were confirmed.  Whoever drops a window calls `close` for the budget.
    """

    __slots__ = (
        "_alone", "_budget", "_check_at", "_expected", "_far", "_far_count", "_first", "_floor", "_heard",
        "_mask", "_measured_at", "_measured_top", "_most", "_ring", "_smallest", "_top", "_was_late",
        "cramped", "duplicates", "far", "jumps", "late", "received", "reordered", "restarts", "slots",
    )  # fmt: skip

    def __init__(self, budget: Budget | None = None, slots: int = SLOTS, most: int = MOST_SLOTS) -> None:
        if slots < 2 or slots & (slots - 1) or most & (most - 1) or not slots <= most <= HALF:
            raise ValueError(f"windows have powers of two of slots, not {slots} to {most}")
        self._budget = Budget() if budget is None else budget
        self._smallest = slots
        self._most = most
        self.received = self.duplicates = self.late = self.reordered = 0
        self.far = self.jumps = self.restarts = 0
        self._was_late = False  # what was refused last, and no duplicate
        self.cramped = False  # it ought to be larger, but the budget is used up or it has `most` slots
        self._top = self._first = self._floor = 0
        self._expected = 0  # numbers expected, less the top: `received` and `lost` follow from each other
        self._far = self._far_count = self._alone = NOTHING
        self._heard = NEVER
        self._budget.charge(slots * SLOT_SIZE)
        self._clear()
        self._begin(0, 0.0)

    @property
    def highest(self) -> int | None:
        """The highest sequence number accepted; None before the first packet."""
        return self._top & MASK if self.received else None

    @property
    def lost(self) -> int:
        return self._top + self._expected - self.received if self.received else 0

    def accept(self, sequence: int, now: float) -> bool:
        """True: a new packet (32-bit number).  False: a duplicate, or too old to tell."""
        top = self._top
        ahead = (sequence - top) & MASK
        if not 0 < ahead < self.slots or now - self._heard >= SILENCE:
            return self._accept_unusual(sequence, ahead, now)
        self._ring[sequence & self._mask] = sequence
        self._top = top + ahead
        self._heard = now
        self.received = received = self.received + 1
        if received >= self._check_at:
            self._measure(now)
        return True

    def was_to_come(self) -> None:
        """The number that was refused just now comes twice where all is well: it is no duplicate."""
        if self._was_late:
            self.late -= 1
        else:
            self.duplicates -= 1

    def lapse(self) -> None:
        """The stream was not asked for, for a while: the next packet starts afresh."""
        self._heard = NEVER

    def numbers(self) -> Numbers | None:
        """What goes along when the stream is looked at elsewhere; None where it is to start afresh there."""
        if self._heard == NEVER:
            return None
        top, span = self._top, min(KNOWN, self.slots)
        first = max(self._first, top - KNOWN + 1)
        seen = self._seen(span) << KNOWN - span
        return Numbers(top & MASK, seen, self._heard, first & MASK, self._alone == self.received)

    def _seen(self, span: int) -> int:
        """Which of the last numbers have come: the highest bit is the top's."""
        if self._alone == self.received:
            return 1 << span - 1
        wanted = _numbers(self._top - span + 1, span)
        at = wanted[0] & self._mask
        have = self._ring[at : at + span]
        have += self._ring[: span - len(have)]
        if have == wanted:
            return (1 << span) - 1
        pairs = zip(reversed(have), reversed(wanted), strict=True)
        return int("".join(["1" if a == b else "0" for a, b in pairs]), 2)

    def adopt(self, known: Numbers, now: float) -> None:
        """The stream was looked at elsewhere, and goes on here; what is further behind is late."""
        lost = self.lost
        self._shrink()
        span = min(KNOWN, self.slots)
        for back, bit in enumerate(f"{known.seen:0{KNOWN}b}"[:span]):  # the top's first
            if bit == "1":
                number = (known.top - back) & MASK
                self._ring[number & self._mask] = number
        self._begin(known.top, now)
        self._expected = lost + self.received - known.top
        self._first = known.top - ((known.top - known.first) & MASK)
        self._floor = known.top - span + 1
        self._alone = self.received if known.alone else NOTHING
        self._heard = known.heard

    def join(self, known: Numbers) -> None:
        """Others of its numbers were taken elsewhere meanwhile, from `known.first` on.

        What is missing from there on was counted as lost there, what is before it is counted here, and taken
        still, as far as the ring may grow.  What is far from the rest and nobody confirmed is not believed.
        """
        ahead = (known.top - self._top) & MASK
        ahead -= MODULUS if ahead >= HALF else 0
        is_apart = abs(ahead) >= self.slots
        if self._heard == NEVER or (is_apart and self._alone == self.received and not known.alone):
            self.adopt(known, known.heard)
            return
        if is_apart and known.alone:
            return
        lost, old, there = self.lost, self._top, self._top + ahead
        top, first = max(old, there), there - ((known.top - known.first) & MASK)
        while self.slots <= min(ahead, MOST_WAITING - 1) and self._grows():
            pass
        known_since = there - KNOWN  # what is before it was judged there too, from the first one on
        judged_since = min(known_since, max(first - 1, top - MOST_WAITING))
        for number in range(there, max(judged_since, top - self.slots), -1):
            at = number & self._mask
            if number <= known_since or known.seen >> number - known_since - 1 & 1:
                lost -= self._first <= number < max(old, first) and self._ring[at] != number & MASK
                self._ring[at] = number & MASK
            else:
                lost -= max(first, self._first) <= number <= old  # it was expected at both
        if ahead > 0:
            lost += max(0, first - old - 1)
        self._alone = NOTHING
        self._heard = max(self._heard, known.heard)
        self._begin(top, self._heard)
        self._expected = lost + self.received - top

    def close(self) -> None:
        """Gives its bytes back to the budget."""
        self._budget.release(self.slots * SLOT_SIZE)

    def _accept_unusual(self, sequence: int, ahead: int, now: float) -> bool:
        outside = self.slots <= ahead <= MODULUS - self.slots
        if now - self._heard >= SILENCE or (outside and self._alone == self.received):
            self._start_afresh(sequence, now)
            return True
        if 0 < ahead < HALF:
            return self._accept_far(sequence, ahead, now)
        behind = -ahead & MASK
        number = self._top - behind
        if behind >= self.slots or number < self._floor:
            self.late += 1
            self._was_late = True
            return False
        if self._ring[sequence & self._mask] == sequence:
            self.duplicates += 1
            self._was_late = False
            return False
        self._ring[sequence & self._mask] = sequence
        self._heard = now
        self.received += 1
        self.reordered += 1
        if number < self._first:
            self._expected += 1  # sent before we began to listen: expected only because it came
        return True

    def _accept_far(self, sequence: int, ahead: int, now: float) -> bool:
        if sequence == self._far:
            self.duplicates += 1
            self._was_late = False
            return False
        far_ahead = (self._far - self._top) & MASK
        if self._far_count == self.received and abs(ahead - far_ahead) < self.slots:
            self._jump(sequence, max(ahead, far_ahead), now)
            return True
        self.received += 1
        self._expected += 1  # neither lost nor found: it is not in the window's count
        self.far += 1
        self._far = sequence
        self._far_count = self.received
        return True

    def _jump(self, sequence: int, ahead: int, now: float) -> None:
        """Two packets in a row came from over there: that is where the stream is."""
        self._ring[self._far & self._mask] = self._far
        self._ring[sequence & self._mask] = sequence
        self._expected -= 1  # the first of the two is in the count now
        self.received += 1
        self.jumps += 1
        self._heard = now
        self._begin(self._top + ahead, now)

    def _start_afresh(self, sequence: int, now: float) -> None:
        if self.received:
            self.restarts += 1
        self._expected = self.lost + self.received + 1 - sequence
        self.received += 1
        self._alone = self.received
        self._heard = now
        self._first = sequence
        self._floor = sequence - HALF
        self._shrink()
        self._ring[sequence & self._mask] = sequence
        self._begin(sequence, now)

    def _shrink(self) -> None:
        self._budget.release(self.slots * SLOT_SIZE)
        self._budget.charge(self._smallest * SLOT_SIZE)
        self._clear()

    def _clear(self) -> None:
        """A ring of the smallest size in which no slot holds a number that belongs there."""
        self.slots = self._smallest
        self._mask = self.slots - 1
        self._ring = array("I", (1,)) * self.slots
        self._ring[1] = 0

    def _begin(self, top: int, now: float) -> None:
        """The window stands here now; what was measured and seen far ahead was about elsewhere."""
        self._top = top
        self._far = NOTHING
        self._far_count = NOTHING
        self._start_measuring(now)

    def _start_measuring(self, now: float) -> None:
        self._measured_at = now
        self._measured_top = self._top
        self._check_at = self.received + self.slots // 2

    def _measure(self, now: float) -> None:
        """Doubles the ring if it holds less than SPAN seconds at the present rate.

        By at most one step: a burst is no rate, and W is always more than all that came since the start.
        """
        numbers = self._top - self._measured_top
        if numbers * SPAN > self.slots * (now - self._measured_at):
            self.cramped = not self._grows()
        else:
            self.cramped = False
        self._start_measuring(now)

    def _grows(self) -> bool:
        """To twice its size, if it may."""
        if self.slots >= self._most or not self._budget.grants(self.slots * SLOT_SIZE):
            return False
        self._floor = max(self._floor, self._top - self.slots + 1)
        self._ring = self._ring * 2  # in place it would take a sixteenth more than it needs
        self.slots *= 2
        self._mask = self.slots - 1
        return True


def _numbers(low: int, count: int) -> "array[int]":
    """So many from this one on, modulo 2^32."""
    low &= MASK
    if low + count <= MODULUS:
        return array("I", range(low, low + count))
    return array("I", (number & MASK for number in range(low, low + count)))
