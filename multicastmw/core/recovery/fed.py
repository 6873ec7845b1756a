"""One stream that the mesh has at a border, for partners on static links.

The mesh keeps its packets, asks for what is missing and writes the low water, so nothing is done here for a
packet; this answers who asks, and says how far a stream is that pauses or ends.
"""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.kept import Kept, Shelf
from multicastmw.core.recovery.served import Served
from multicastmw.wire.mesh import StreamKey

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed
    from multicastmw.core.recovery.recovery import Recovery
    from multicastmw.core.routing import Route


class Fed(Served):
    """Of one stream that comes from the mesh, or begins here and goes into it."""

    def __init__(self, key: StreamKey, route: "Route", feed: "Feed", recovery: "Recovery") -> None:
        super().__init__(key, recovery)
        self.feed = feed
        self.gaps = feed.gaps
        self.kept = Kept(self)
        self.kept.packets = feed.kept.packets
        self._route = route
        self.look()

    @property
    def top(self) -> int:
        self.feed.look()
        return self.feed.top

    @property
    def heard(self) -> float:
        return self.feed.moved_at

    @property
    def route(self) -> "Route":
        return self._route

    @property
    def kernel(self) -> Shelf | None:
        """It keeps what it forwards."""
        return self.feed.kernel

    def may_resend(self, now: float) -> bool:
        """The mesh's bound is for all."""
        return self.feed.may_resend(now)

    def look(self) -> None:
        """To which partners does it go?"""
        self.others = tuple(each for each in self._route.takers if getattr(each, "partner", None))
