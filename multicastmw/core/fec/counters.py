"""What forward error correction counts, of one link or of all."""

from multicastmw.core.counters import Counters


class FecCounters(Counters):
    """Rows of parity, and packets."""

    __slots__ = (
        "malformed", "out_of_order", "over_bound", "rebuilt", "received", "sent", "sent_bytes", "short",
        "unknown_streams", "useless",
    )  # fmt: skip
    malformed: int  # rows that cannot be, and sums that make no packet
    out_of_order: int  # packets that came too late for their block, and are in none
    over_bound: int  # rows, or packets' streams, above what is sent
    rebuilt: int  # packets
    received: int
    sent: int
    sent_bytes: int
    short: int  # packets of blocks that lacked more of them than there were rows
    unknown_streams: int  # rows of a stream of which no packet has come
    useless: int  # rows of a block of which nothing was missing any more
