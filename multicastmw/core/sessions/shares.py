"""Who makes room when the directory is full: the overlay node that has most of it.

Addresses and names of announcers are easily invented, so none of them says whose a session is.  The node
where it comes into the overlay is harder to choose: that is whose share it is counted in, that of its LAN.
Where there is no room, the node that has more than its share gives some up; one that has most itself can
only replace its own.  So n nodes have an n-th each at least, however much one of them announces.

Within a node, seniority counts: what was heard once goes first, the earliest of it, and then what was heard
again last.  What has been there for long, and is said again and again, is the last to go.
"""

from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K")


class Use(NamedTuple):
    """What somebody has: sessions, and bytes with what Python needs around them."""

    sessions: int
    cost: int


class Share(Generic[K]):
    """What is kept of one node's announcements, by seniority."""

    __slots__ = ("_again", "_once", "cost", "sessions")

    def __init__(self) -> None:
        self.sessions = self.cost = 0
        self._once: dict[K, None] = {}  # the earliest first
        self._again: dict[K, None] = {}  # in the order in which they were heard again

    @property
    def use(self) -> Use:
        return Use(self.sessions, self.cost)

    def add(self, key: K) -> None:
        self._once[key] = None
        self.sessions += 1

    def heard_again(self, key: K) -> None:
        if key in self._once:
            del self._once[key]
            self._again[key] = None

    def remove(self, key: K) -> None:
        self._once.pop(key, None)
        self._again.pop(key, None)
        self.sessions = len(self._once) + len(self._again)

    def was_once(self, spared: K | None = None) -> K | None:
        """The first that was heard only once, but for one that is to stay."""
        return next((key for key in self._once if key != spared), None)

    def junior(self, senior: K | None = None) -> K | None:
        """The last that was heard again; None where nobody is junior to that one."""
        key = next(reversed(self._again), None)
        return None if key == senior or senior in self._once else key
