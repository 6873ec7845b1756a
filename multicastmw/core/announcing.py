"""What a peer is told of the others: their channels, and the nodes behind them.

A change only marks its key as stale.  At the end of the turn what is wanted is compared with what was told,
and the difference is said: so a flap within a turn costs nothing, all that changed together is one message,
and after a reconnect the whole set is the same code with nothing told yet.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Announcement(Generic[K]):
    """One kind of key towards one peer; `wanted` says whether the others claim a key.

    A peer takes `most` keys and closes the link above that, so what is more is withheld until there is room.
    """

    def __init__(self, wanted: Callable[[K], bool], most: int) -> None:
        self._wanted = wanted
        self._most = most
        self._told: set[K] = set()
        self._stale: dict[K, None] = {}
        self._withheld: dict[K, None] = {}

    def __bool__(self) -> bool:
        """Is there anything to look at?"""
        return bool(self._stale)

    @property
    def withheld(self) -> int:
        """Keys that the peer ought to know and has no room for."""
        return len(self._withheld)

    def changed(self, keys: Iterable[K]) -> None:
        """What the others claim of these may be different now."""
        self._stale.update(dict.fromkeys(keys))

    def difference(self) -> tuple[list[K], list[K]]:
        """Keys to add and keys to remove, in the order of their changes; they count as told."""
        remove = [key for key in self._stale if key in self._told and not self._wanted(key)]
        self._told.difference_update(remove)
        if self._withheld and len(self._told) < self._most:
            self._stale.update(self._withheld)
            self._withheld.clear()
        add = []
        for key in self._stale:
            if not self._wanted(key):
                self._withheld.pop(key, None)
            elif key not in self._told:
                if len(self._told) >= self._most:
                    self._withheld[key] = None
                    continue
                self._told.add(key)
                add.append(key)
        self._stale.clear()
        return add, remove
