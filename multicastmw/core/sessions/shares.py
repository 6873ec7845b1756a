"""Who makes room when the directory is full: the way with most of it, and there the node that has most.

Addresses and names of announcers are easily invented, so none of them says whose a session is.  The link that
leads to where it comes into the overlay is not: that is its *way*.  Behind one link there may be many nodes,
each with a LAN of its own, and these are told apart as far as the link has announced them; whatever comes
from origins that nobody leads to shares one home.  Where there is no room, the way that has most gives some
up, and of it the node that has most; one that has most itself can only replace its own.  So n ways have an
n-th each at least, however many nodes somebody invents.

Within a node, seniority counts: what was heard once goes first, the earliest of it, and then what was heard
again last.  What has been there for long, and is said again and again, is the last to go.
"""

from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K")


class Home(NamedTuple):
    """In whose share a session is: the node at the other end of the link, and the node that it comes from."""

    way: int
    node: int


NOWHERE = Home(0, 0)  # of an origin that no link leads to, or several


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
