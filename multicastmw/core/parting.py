"""A link that held much is gone: nothing goes to it from then on, and what it held is taken back in turns.

Each of its 16,000 channels and 4,096 nodes may be news for every other link; in one go the former took a hub
of 100 links half a second, and the latter one of 300 links a whole one, in which no packet passed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from multicastmw.core.turns import PIECE, Turns

if TYPE_CHECKING:
    from multicastmw.core.link import Link

# What we chose: links that one step tells of a channel or a node.
TELLINGS = 8


class Table(Protocol):
    """What links hold something of: the channels (Router), the nodes (Reach)."""

    @property
    def members(self) -> int: ...
    def count(self, gone: "Link", /) -> int: ...
    def part(self, gone: "Link", /) -> None: ...
    def release(self, gone: "Link", most: int, /) -> None: ...


class Parting:
    """Takes what one held in some tables back, a piece a turn, one table after the other."""

    def __init__(self, gone: "Link", tables: Sequence[Table]) -> None:
        self._gone = gone
        self._left = list(tables)

    def work(self, steps: int, now: float) -> int:
        done = 0
        while done < steps and self._left:
            table = self._left[0]
            each = 1 + table.members // TELLINGS
            most = min(table.count(self._gone), 1 + (steps - done) // each)
            table.release(self._gone, most)
            done += 1 + most * each
            if not table.count(self._gone):
                del self._left[0]
        return done

    def has_work(self) -> bool:
        return bool(self._left)


def part(gone: "Link", tables: Sequence[Table], turns: Turns) -> None:
    """It is gone from all of them; little is taken back at once."""
    for table in tables:
        table.part(gone)
    parting = Parting(gone, tables)
    parting.work(PIECE, 0.0)
    if parting.has_work():
        turns.add(parting)
