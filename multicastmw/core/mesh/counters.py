"""What a node's mesh and its streams count."""

from multicastmw.core.counters import Counters


class MeshCounters(Counters):
    """What neighbours said that was too much, or about what this node does not know."""

    __slots__ = (
        "finds", "haves", "haves_over_bound", "left_for_conduct", "nacks", "nacks_over_bound",
        "peers_over_bound", "searches", "stolen", "streams_over_bound", "unknown_streams",
    )  # fmt: skip
    finds: int
    haves: int
    haves_over_bound: int
    left_for_conduct: int
    nacks: int
    nacks_over_bound: int
    peers_over_bound: int
    searches: int
    stolen: int
    streams_over_bound: int
    unknown_streams: int


class FeedCounters(Counters):
    """Packets of a stream: what was missing and what became of it, and how often it went another way."""

    __slots__ = (
        "asked", "given_up", "grafts", "held", "missed", "orphaned", "polled", "recovered", "refused",
        "resent", "resent_bytes", "switched", "unasked",
    )  # fmt: skip
    asked: int
    given_up: int
    grafts: int
    held: int  # for a while, so that programs get them in order
    missed: int
    orphaned: int
    polled: int
    recovered: int
    refused: int
    resent: int
    resent_bytes: int
    switched: int
    unasked: int
