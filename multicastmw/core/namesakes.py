"""Nodes of one name, as far as this node has seen or been told of them: an operator has to name them apart.

They take one link from each other, so each is in order half of the time; what is known of them is therefore
shown for a while after it was last seen.  What others say has places of its own, one each, so that nobody's
words can take the place of what this node saw.
"""

from collections import deque

# What we chose.
SHOWN_FOR = 600.0  # seconds; they wait at most one minute for the link (dialling.py)
KNOWN_MAX = 8  # texts of either kind, and nodes whose links are counted: a stranger can invent names
FIGHT = 3  # links with one node that found another one up: more than one node makes by itself


class Namesakes:
    """What is known of them, each text with the time when it was last seen."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}
        self._said: dict[str, tuple[str, float]] = {}  # by who said it
        self._replaced: dict[int, deque[float]] = {}

    def saw(self, what: str, now: float) -> None:
        """This node did, itself."""
        _keep(self._seen, what, what, now)

    def heard(self, who: str, what: str, now: float) -> None:
        """That peer said so; only its latest word counts."""
        _keep(self._said, who, what, now)

    def current(self, now: float) -> tuple[str, ...]:
        """What was seen or told not long ago."""
        known = (*self._seen.values(), *self._said.values())
        return tuple(what for what, last in known if now - last < SHOWN_FOR)

    def is_fought_over(self, node: int, now: float) -> bool:
        """A second link with this node came; has that happened too often for a node that is only one?"""
        times = self._replaced.pop(node, deque(maxlen=FIGHT))
        while len(self._replaced) >= KNOWN_MAX:
            del self._replaced[next(iter(self._replaced))]
        times.append(now)
        self._replaced[node] = times
        return len(times) == FIGHT and now - times[0] < SHOWN_FOR


def _keep(known: dict[str, tuple[str, float]], key: str, what: str, now: float) -> None:
    """The oldest goes where there are too many."""
    known.pop(key, None)
    while len(known) >= KNOWN_MAX:
        del known[next(iter(known))]
    known[key] = what, now
