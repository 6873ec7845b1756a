"""The other end of a link, where that speaks recovery too."""

from typing import TYPE_CHECKING

from multicastmw.core.bucket import Bucket
from multicastmw.wire.mesh import Have, Nack

if TYPE_CHECKING:
    from multicastmw.core.link import Link

# What the specification says: how much of each it may say, a second and at once.
NACKS, HAVES = 50, 20

# What we chose.
USUAL_RTT = 0.1  # seconds, where it was not measured yet


class Partner:
    """Is asked for what was lost, and asks."""

    __slots__ = ("haves", "nacks", "rebuilds_within", "wire")

    def __init__(self, link: "Link") -> None:
        self.wire = link
        self.nacks = Bucket(NACKS, NACKS)
        self.haves = Bucket(HAVES, 2 * HAVES)
        self.rebuilds_within = 0.0  # seconds: until then the link itself may give back what it has lost

    @property
    def rtt(self) -> float:
        """Seconds."""
        found = self.wire.rtt
        return USUAL_RTT if found is None else found

    def say(self, message: Nack | Have, now: float) -> None:
        self.wire.say(message, now)
