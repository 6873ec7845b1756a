"""What a node's mesh and its streams count."""

from multicastmw.core.counters import Counters


class MeshCounters(Counters):
    """What neighbours said that was too much, or about what this node does not know."""

    __slots__ = (
        "circles_over_bound", "false_samples", "finds", "haves", "haves_over_bound", "left_for_conduct",
        "nacks", "nacks_over_bound", "not_listened_to", "peers_over_bound", "points_silent", "registered",
        "registers", "registers_again", "registers_over_bound", "registers_refused", "registers_twice",
        "searches", "stolen", "streams_over_bound", "switched_back", "switched_over", "unknown_streams",
    )  # fmt: skip
    circles_over_bound: int
    false_samples: int  # times that somebody told of many members, and hardly one was there
    finds: int
    haves: int
    haves_over_bound: int
    left_for_conduct: int
    nacks: int
    nacks_over_bound: int
    not_listened_to: int  # messages and packets of who is left alone
    peers_over_bound: int
    points_silent: int  # times that a rendezvous point did not answer, or refused
    registered: int  # packets that this node has sent on over shared trees, as their rendezvous point
    registers: int  # packets that began here and were registered; the next, how often again
    registers_again: int
    registers_over_bound: int
    registers_refused: int
    registers_twice: int
    searches: int
    stolen: int
    streams_over_bound: int
    switched_back: int  # streams from a tree of their own to the shared one
    switched_over: int  # and to one of their own
    unknown_streams: int


class FeedCounters(Counters):
    """Packets of a stream: what was missing and what became of it, and how often it went another way."""

    __slots__ = (
        "asked", "given_up", "grafts", "held", "kept_back", "missed", "orphaned", "polled", "recovered",
        "refused", "resent", "resent_bytes", "switched", "unasked", "unasked_data",
    )  # fmt: skip
    asked: int
    given_up: int
    grafts: int
    held: int  # for a while, so that programs get them in order
    kept_back: int  # times that a parent had what it did not send on
    missed: int
    orphaned: int
    polled: int
    recovered: int
    refused: int
    resent: int
    resent_bytes: int
    switched: int
    unasked: int
    unasked_data: int  # packets that nobody may send us: dropped
