"""Numbers that were passed over, and whose fault that is: of the last ones, as two rows of bits.

A gap is a row of ones however wide it is, so a stream that leaves a thousand numbers out with each packet
costs as little to look at as one that leaves out one.
"""

# What we chose.
REMEMBERED = 1024  # numbers back from the latest gap's end: more than RTP may come behind its turn


class Missing:
    """Bit n of both rows is the number `_base` + n: is it missing, and is the way at fault?"""

    __slots__ = ("_all", "_base", "_of_way")

    def __init__(self) -> None:
        self._base = self._all = self._of_way = 0

    def __len__(self) -> int:
        return self._all.bit_count()

    def __contains__(self, number: int) -> bool:
        at = number - self._base
        return at >= 0 and bool(self._all >> at & 1)

    def clear(self) -> None:
        self._all = self._of_way = 0

    def add(self, first: int, count: int, by_way: int) -> None:
        """So many from `first` on, the first `by_way` of them the way's; what is far behind is forgotten."""
        behind = first + count - REMEMBERED - self._base
        if behind > 0:
            self._all >>= behind
            self._of_way >>= behind
            self._base += behind
        self._all |= self._row(first, count)
        self._of_way |= self._row(first, by_way)

    def _row(self, first: int, count: int) -> int:
        row, at = (1 << count) - 1, first - self._base
        return row << at if at >= 0 else row >> -at

    def pop(self, number: int) -> bool | None:
        """It has come after all: was the way at fault?  None where it was not missing."""
        if number not in self:
            return None
        bit = 1 << number - self._base
        by_way = bool(self._of_way & bit)
        self._all &= ~bit
        self._of_way &= ~bit
        return by_way
