"""Nodes of which something holds for a while: ten seconds, the next time twenty, up to ten minutes."""

from typing import NamedTuple

from multicastmw.core.mesh.settings import MISBEHAVED_BACK_OFF, MISBEHAVED_BACK_OFF_MOST

# What we chose.
NODES_MAX = 1_024


class BackOff(NamedTuple):
    """Of one node, `until` then; the next time it is for twice as many `seconds`."""

    until: float
    seconds: float
    why: str
    name: str  # as its link had it
    address: str


class BackOffs:
    """The last ones are remembered, also those that are over."""

    def __init__(self) -> None:
        self._nodes: dict[int, BackOff] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def begin(self, node: int, now: float, why: str = "", name: str = "", address: str = "") -> float:
        """For so many seconds."""
        last = self._nodes.pop(node, None)
        seconds = MISBEHAVED_BACK_OFF
        if last is not None and now < last.until + MISBEHAVED_BACK_OFF_MOST:
            seconds = min(MISBEHAVED_BACK_OFF_MOST, 2 * last.seconds)
        if len(self._nodes) >= NODES_MAX:
            del self._nodes[next(iter(self._nodes))]
        self._nodes[node] = BackOff(now + seconds, seconds, why, name, address)
        return seconds

    def holds(self, node: int, now: float) -> bool:
        found = self._nodes.get(node)
        return found is not None and now < found.until

    def remembered(self) -> list[int]:
        return list(self._nodes)

    def that_hold(self, now: float) -> list[tuple[int, BackOff]]:
        """The last one first."""
        return [(node, found) for node, found in reversed(self._nodes.items()) if now < found.until]
