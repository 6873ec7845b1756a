"""A link that held much is gone: packets stop going to it at once, and what it wanted is taken back in turns.

Each of its 16,000 channels may be news for every other link; in one go that took a hub of 100 links half a
second in which no packet passed.
"""

from multicastmw.core.routing import Destination, Router
from multicastmw.core.turns import PIECE, Turns

# What we chose: links that one step tells of a channel.
TELLINGS = 8


class Parting:
    """Takes the subscriptions of one destination back, a piece a turn."""

    def __init__(self, router: Router, gone: Destination) -> None:
        self._router = router
        self._gone = gone
        self._more = True

    def work(self, steps: int, now: float) -> int:
        each = 1 + self._router.members // TELLINGS
        count = 1 + steps // each
        self._more = self._router.release(self._gone, count)
        return count * each

    def has_work(self) -> bool:
        return self._more


def part(router: Router, gone: Destination, turns: Turns) -> None:
    """The destination is gone; little is taken back at once."""
    if router.subscriptions(gone) <= PIECE:
        router.detach(gone)
    else:
        router.part(gone)
        turns.add(Parting(router, gone))
