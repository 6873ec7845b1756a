"""Which nodes are behind which link.  Over a tree that is all there is to know of it.

A link is told the nodes behind the other links, as it is told their channels.  That a node is reachable over
two links means that there is a cycle (DESIGN, 5); that it is reachable over none, that a standby is needed.
"""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from multicastmw.core.claims import Claims

L = TypeVar("L", bound=Hashable)


class Reach(Generic[L]):
    """Nodes by id, with their names and the links that lead to them."""

    def __init__(
        self,
        changed: Callable[[L, int], None],
        gone: Callable[[int], None],
        doubled: Callable[[int], None] = lambda node: None,
    ) -> None:
        """`changed` is told whose view of which node is another one, `gone` which node is out of reach.

        `doubled` is told which node is reached over several links, whenever one of them came or went.
        """
        self._claims: Claims[int, L] = Claims(changed)
        self._gone = gone
        self._doubled = doubled
        self._names: dict[int, str] = {}
        self.version = 0  # another one whenever anything here is another
        self.moved: Callable[[int], None] = lambda node: None  # told of a node that other links lead to

    def __len__(self) -> int:
        """Nodes in the table besides ourselves: those that are reached, or were until just now."""
        return len(self._claims)

    def __contains__(self, node: int) -> bool:
        """Is the node in the table?"""
        return node in self._claims

    @property
    def members(self) -> int:
        """How many links there are."""
        return len(self._claims.members())

    def join(self, link: L) -> None:
        """From now on it is told what the others reach; who never adds a node only listens."""
        self._claims.join(link)

    def part(self, link: L) -> None:
        """The link is gone: nothing is reached over it from now on, and `release` tells so."""
        self.version += 1
        self._claims.part(link)

    def release(self, link: L, most: int) -> None:
        """Takes so many nodes of a link that has parted back, and tells the others."""
        for node in self._claims.release(link, most):
            self._look_after(node)

    def add(self, link: L, node: int, name: str | None) -> bool:
        """True if the node was not known behind this link."""
        self.version += 1
        if name is not None:
            self._names[node] = name
        is_new = self._claims.add(link, node)
        if is_new:
            self._look_after(node)
        return is_new

    def remove(self, link: L, node: int) -> None:
        if self._claims.remove(link, node):
            self._look_after(node)

    def _look_after(self, node: int) -> None:
        self.version += 1
        self.moved(node)
        left = len(self._claims.holders(node))
        if not left:
            self._names.pop(node, None)
            self._gone(node)
        elif left > 1:
            self._doubled(node)

    def besides(self, link: L, node: int) -> bool:
        """Is the node reachable over any other link?"""
        return self._claims.besides(link, node)

    def all_besides(self, link: L) -> list[int]:
        return list(self._claims.all_besides(link))

    def name(self, node: int) -> str | None:
        return self._names.get(node)

    def behind(self, link: L) -> tuple[int, ...]:
        return self._claims.held(link)

    def count(self, link: L) -> int:
        """How many nodes are behind the link."""
        return self._claims.count(link)

    def links(self, node: int) -> tuple[L, ...]:
        return self._claims.holders(node)

    def nodes(self) -> list[int]:
        """All that are reached."""
        return list(self._claims)
