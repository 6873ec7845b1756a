"""What nodes were called, and at which addresses they were: one that returns with another is told of, once.

A node with two ways in is seen at both in turn: a few addresses of each are remembered, and only one that is
not among them is news.
"""

from collections.abc import Iterable

from multicastmw.core.identity import node_id

# What we chose.
NODES_MAX = 1_024  # as many as may have links; who was seen longest ago goes first
ADDRESSES_MAX = 4  # of one
TOLD_EVERY = 10.0  # seconds between two names over one link: those that are opened for a look have none


class Called:
    """What nodes were called that had a link once: in a mesh many of them are no neighbours any more.

    And what others say of nodes that never had one, for people alone.  Without TLS an id is made of the name,
    so that a false one is seen; with it the first that tells is believed, who has shown a certificate.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.heard: dict[int, str] = {}
        self.refused = 0  # names that are not those of their ids

    def all(self) -> dict[int, str]:
        """Those of first hand count."""
        return {**self.heard, **self.names}

    def hears(self, names: Iterable[tuple[int, str]], is_shown: bool) -> None:
        """`is_shown`: ids are those of certificates, and who says it has one."""
        for node, name in names:
            if not is_shown and node_id(name) != node:
                self.refused += 1
            elif node not in self.heard and node not in self.names:
                while len(self.heard) >= NODES_MAX:
                    del self.heard[next(iter(self.heard))]
                self.heard[node] = name

    def saw(self, node: int, name: str) -> None:
        """It has a link now."""
        self.names.pop(node, None)
        while len(self.names) >= NODES_MAX:
            del self.names[next(iter(self.names))]
        self.names[node] = name

    def known(self, node: int) -> str | None:
        return self.names.get(node) or self.heard.get(node)

    def name(self, node: int) -> str:
        """As people read it: by its id, where no name is known."""
        return self.known(node) or f"{node:016x}"


class Telling:
    """Whose names one link has told: each once and one at a time, as they are for people alone.

    Its two `ends` know their own.
    """

    def __init__(self, ends: tuple[int, int], now: float) -> None:
        self._ends = ends
        self._rests_until = now + TOLD_EVERY
        self._told: dict[int, None] = {}

    def of(self, nodes: Iterable[int], now: float) -> list[int]:
        """The one of these that it tells now, if any."""
        if now < self._rests_until:
            return []
        new = [node for node in nodes if node not in self._told and node not in self._ends][:1]
        for node in new:
            self._rests_until = now + TOLD_EVERY
            self._told[node] = None
            if len(self._told) > NODES_MAX:
                del self._told[next(iter(self._told))]
        return new


class Haunts:
    """By node id."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def saw(self, node: int, address: str) -> str:
        """It is at that address now.  Where it was before, if it was never seen there; else nothing."""
        known = self._seen.pop(node, ())
        while len(self._seen) >= NODES_MAX:
            del self._seen[next(iter(self._seen))]
        others = tuple(each for each in known if each != address)
        self._seen[node] = (*others, address)[-ADDRESSES_MAX:]
        return known[-1] if known and address not in known else ""
