"""How much a neighbour may say of streams, and how much this node asks of it: as much again with each eight.

What it asks for above the bound is refused, with a word; who goes on to twice the bound is a nuisance.  This
node keeps within what the other end allows, which knows at least the streams that both have to do with.
"""

from multicastmw.core.bucket import Bucket

# What the specification says: how much of each, a second and at once, of one stream.
NACKS, HAVES = 50, 20  # Nacks and Grafts together

# What we chose.
STREAMS_MORE = 8  # so many more streams allow as much again
OWN_SHARE = 0.8  # of what the other end allows is for Nacks; what is left is for Grafts, which do not wait


def _share(streams: int) -> float:
    """What one message counts, where there are so many streams."""
    return 1 / (1 + streams / STREAMS_MORE)


class Allowance:
    """One neighbour's."""

    __slots__ = ("_asked", "_asks", "_asks_more", "_tells", "_tells_of_new")

    def __init__(self) -> None:
        self._asks = Bucket(NACKS, NACKS)
        self._asks_more = Bucket(NACKS, NACKS)
        self._tells = Bucket(HAVES, 2 * HAVES)
        self._tells_of_new = Bucket(HAVES, 2 * HAVES)
        self._asked = Bucket(NACKS * OWN_SHARE, NACKS * OWN_SHARE)

    def may_ask(self, now: float, streams: int) -> bool:
        """A Nack or a Graft, of a node that follows so many streams."""
        return self._asks.allows(now, _share(streams))

    def may_ask_in_vain(self, now: float, streams: int) -> bool:
        """The same, where the bound is reached already."""
        return self._asks_more.allows(now, _share(streams))

    def may_tell(self, now: float, streams: int) -> bool:
        """A Have, to a node that follows so many."""
        return self._tells.allows(now, _share(streams))

    def may_tell_of_new(self, now: float, streams: int) -> bool:
        """A Have about streams that are not followed: as much as if all were that may be."""
        return self._tells_of_new.allows(now, _share(streams))

    def may_be_asked(self, now: float, streams: int) -> bool:
        """A Nack of ours; both have to do with so many streams."""
        return self._asked.allows(now, _share(streams))
