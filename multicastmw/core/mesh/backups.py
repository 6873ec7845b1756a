"""Whom a stream would be asked of next: neighbours that have it, and not from here."""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.neighbour import Neighbour

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed

# What we chose.
BACKUPS_MOST = 3


def backups(feed: "Feed", now: float) -> tuple[Neighbour, ...]:
    """The nearest to the origin first, by what they have told of their way; for who looks, not for the choice
    of a parent, which asks what somebody has at that moment."""
    if feed.ours or not feed.theirs:
        return ()
    upstream, children, here = feed.upstream, feed.children, feed.short
    found = [
        each
        for each, theirs in feed.theirs.items()
        if theirs.path
        and each is not upstream.parent
        and each is not feed.second
        and each not in children
        and here not in theirs.path
        and now >= theirs.refused_until
    ]
    return tuple(sorted(found, key=upstream.way)[:BACKUPS_MOST])
