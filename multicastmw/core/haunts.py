"""At which addresses nodes were seen, so that one that returns with another is told of, once.

A node with two ways in is seen at both in turn: a few addresses of each are remembered, and only one that is
not among them is news.
"""

# What we chose.
NODES_MAX = 1_024  # as many as may have links; who was seen longest ago goes first
ADDRESSES_MAX = 4  # of one


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
