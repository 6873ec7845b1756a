"""Groups that nodes want of each other, whoever else listens: SAP's, and that by which they ask each other.

Every node wants them, and so does every link that leads to one.  Where nobody else does, they are in the
table and no group of a user's: a count of groups that are wanted leaves them out.
"""

from multicastmw.core.addressing import Channel
from multicastmw.core.routing import Destination, Router
from multicastmw.core.sessions.scopes import SAP_GROUPS
from multicastmw.wire.probe import GROUP as PROBING

GROUPS = (*SAP_GROUPS, PROBING)
OURS = frozenset({"sessions", "probing"})  # destinations in this process


def count(router: Router) -> int:
    """How many of them are wanted by nodes alone."""
    channels = (Channel(group) for group in GROUPS)
    return sum(
        channel in router and not any(map(is_user_s, router.wanted_by(channel))) for channel in channels
    )


def is_user_s(destination: Destination) -> bool:
    """Does a program of this host, a pin or a player want it, as far as this node can tell?"""
    return destination.local and destination.name not in OURS
