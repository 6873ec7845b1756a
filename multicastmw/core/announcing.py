"""What a peer is told of the others: their channels, and the nodes behind them.

A change only marks its key as stale.  When its turn comes (turns.py), what is wanted is compared with what
was told, and the difference is said: so a flap in between costs nothing, all that changed together is one
message (several, if it is much), and after a reconnect the whole set is the same code with nothing told yet.

What comes is said before what goes, so that nothing has a gap; what goes makes room for what was withheld.
"""

from collections.abc import Callable, Hashable, Iterable
from itertools import islice
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
        self._going: dict[K, None] = {}  # told, and no longer wanted; said when all is said that comes
        self._withheld: dict[K, None] = {}

    def __bool__(self) -> bool:
        """Is there anything to look at?"""
        return bool(self._stale or self._going)

    def __len__(self) -> int:
        """How much there is to look at."""
        return len(self._stale) + len(self._going)

    @property
    def withheld(self) -> int:
        """Keys that the peer ought to know and has no room for."""
        return len(self._withheld)

    def changed(self, keys: Iterable[K]) -> None:
        """What the others claim of these may be different now."""
        self._stale.update(dict.fromkeys(keys))

    def mark(self, key: K) -> None:
        """The same for one."""
        self._stale[key] = None

    def difference(self, most: int) -> tuple[list[K], list[K]]:
        """Looks at `most` keys: those to add and those to remove, in the order of their changes; they count
        as told."""
        looked_at = _take(self._stale, most)
        add = [key for key in looked_at if self._comes(key)]
        remove: list[K] = []
        if not self._stale:
            remove = _take(self._going, most - len(looked_at))
            self._told.difference_update(remove)
            self._stale.update(dict.fromkeys(_take(self._withheld, self._most - len(self._told))))
        return add, remove

    def _comes(self, key: K) -> bool:
        """Is the key news for the peer?"""
        if key in self._told:
            if self._wanted(key):
                self._going.pop(key, None)
            else:
                self._going[key] = None
            return False
        if not self._wanted(key):
            self._withheld.pop(key, None)
            return False
        if len(self._told) >= self._most:
            self._withheld[key] = None
            return False
        self._told.add(key)
        return True


def _take(keys: dict[K, None], most: int) -> list[K]:
    """The first ones, taken out."""
    if most >= len(keys):
        taken = list(keys)
        keys.clear()
        return taken
    taken = list(islice(keys, most)) if most > 0 else []
    for key in taken:
        del keys[key]
    return taken
