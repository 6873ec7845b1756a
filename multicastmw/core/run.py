"""A run: messages to one peer out of one wake-up, which its socket takes at once.

The kernel cuts what it is given into datagrams of one size, of which only the last may be shorter
(UDP_SEGMENT), so that a whole run goes through its layers as one packet:

    | 1376 | 1376 | 1376 | 900 |  1376 | 1376 | ...   a shorter message ends a run, a longer one begins one

Nothing waits for packets that may come: what has gathered goes out when the wake-up that brought it ends.
"""

from typing import Protocol

# What the kernel says: UDP_MAX_SEGMENTS, and what an IPv4 datagram holds behind its headers.
SEGMENTS_MAX = 64
BYTES_MAX = 65_507


class Run:
    """Messages that fit one call, in order.

    `longest` is what the next one may have in bytes (0: it begins a run), `segment` what all but the last
    have, `bytes` all together, `began` when the first one came.
    """

    __slots__ = ("_most", "began", "bytes", "longest", "messages", "segment")

    def __init__(self, began: float = 0.0) -> None:
        self.messages: list[bytes] = []
        self.began = began
        self.bytes = self.segment = self.longest = self._most = 0

    def add(self, message: bytes) -> None:
        """One of at most `longest` bytes, or the first."""
        messages, size = self.messages, len(message)
        if not messages:
            self.segment = self.longest = size
            self._most = min(SEGMENTS_MAX, BYTES_MAX // size)
        messages.append(message)
        self.bytes += size
        if size < self.segment or len(messages) >= self._most:
            self.longest = 0


class Gathering(Protocol):
    """Who has a run."""

    def flush(self) -> None:
        """Sends it."""


class Runs:
    """Who has a run that is not out yet; the reader of a socket calls `flush` at the end of a wake-up."""

    def __init__(self) -> None:
        self._begun: list[Gathering] = []

    def begun(self, who: Gathering) -> None:
        self._begun.append(who)

    def flush(self) -> None:
        begun, self._begun = self._begun, []
        for who in begun:
            who.flush()
