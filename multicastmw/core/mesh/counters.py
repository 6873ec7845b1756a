"""What a node's mesh and its streams count."""

from multicastmw.core.counters import Counters


class MeshCounters(Counters):
    """What neighbours said that was too much, or about what this node does not know."""

    __slots__ = (
        "call_backs_asked", "call_backs_came", "call_backs_dialled", "call_backs_over_bound",
        "call_backs_sent_on", "circles_over_bound", "false_samples", "finds", "gave_way", "haves",
        "haves_over_bound", "left_for_conduct", "nacks", "nacks_over_bound", "not_listened_to",
        "peers_over_bound", "points_silent", "registered", "registers", "registers_again",
        "registers_over_bound", "registers_refused", "registers_twice", "replies_unasked", "searches",
        "stolen", "streams_over_bound", "switched_back", "switched_over", "unknown_streams",
    )  # fmt: skip
    call_backs_asked: int  # nodes behind NATs that were asked to dial this one
    call_backs_came: int
    call_backs_dialled: int  # because somebody asked
    call_backs_over_bound: int
    call_backs_sent_on: int
    circles_over_bound: int
    false_samples: int  # times that somebody told of many members, and hardly one was there
    finds: int
    gave_way: int  # neighbours, of many from one network, to one from elsewhere
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
    replies_unasked: int  # of who was not asked where members of a group are
    searches: int
    stolen: int
    streams_over_bound: int
    switched_back: int  # streams from a tree of their own to the shared one
    switched_over: int  # and to one of their own
    unknown_streams: int


class FeedCounters(Counters):
    """Packets of a stream: what was missing and what became of it, and how often it went another way."""

    __slots__ = (
        "asked", "copies", "filled", "given_up", "grafts", "held", "kept_back", "missed", "orphaned",
        "polled", "recovered", "refused", "resent", "resent_bytes", "rotated", "stood_in", "switched",
        "unasked", "unasked_data",
    )  # fmt: skip
    asked: int
    copies: int  # of two feeds, what the later one brought
    filled: int  # of what was missing, what came without being sent again while there were two feeds
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
    rotated: int  # times that the parent became another one by the clock
    stood_in: int  # times that the second feed became the first, as that one failed
    switched: int
    unasked: int
    unasked_data: int  # packets that nobody may send us: dropped
