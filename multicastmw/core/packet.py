"""The one packet that is under way, in a buffer that is used again for the next.

The reader puts the bytes where they are needed last: an IP Data message stands at 0, so the inner packet at
60; a frame from the TAP is read to 46, so that its IP packet stands at 60 too and the message's header is
written over the Ethernet header in front of it.  Nobody copies a packet to forward it, and whoever wants to
keep one (a queue) copies it itself.
"""

from typing import TYPE_CHECKING

from multicastmw.wire.cops import MESSAGE_MAX
from multicastmw.wire.data import HEADER_SIZE, HOP_LIMIT_OFFSET, IPV4, TWIN

if TYPE_CHECKING:
    from multicastmw.core.mesh.feed import Feed

ETHERNET_SIZE = 14
FRAME_START = HEADER_SIZE - ETHERNET_SIZE


class Packet:
    """A message in place: `buffer` holds it, `view` sees all of the buffer, `message` the whole message.

    Where several messages came at once, both are windows on the bytes that begin with the one in turn.
    `length` is the inner packet's in bytes, `hop_limit` the hops that it has (a link sends one less, which
    stands in the buffer already), `kind` the Packet object's C-Type, `sequence` its number in its stream,
    `now` the reader's clock.  `feed` is its stream's in the mesh, if it is in one.
    """

    __slots__ = ("buffer", "feed", "hop_limit", "kind", "length", "message", "now", "sequence", "view")

    def __init__(self) -> None:
        self.buffer: bytearray | memoryview = bytearray(MESSAGE_MAX + 64)
        self.view = memoryview(self.buffer)
        self.message = self.view[:0]
        self.length = 0
        self.hop_limit = 0
        self.kind = IPV4
        self.sequence = 0
        self.now = 0.0
        self.feed: Feed | None = None

    def place(self, message: bytes, now: float) -> None:
        """Puts an IP Data message in, as it is sent on: the hop limit in it is one less than it has here."""
        size = len(message)
        self.buffer[:size] = message
        self.message = self.view[:size]
        *_, self.sequence, _, _, _, _, _, object_length, _, self.kind = TWIN.unpack_from(message)
        self.length = object_length - 4
        self.hop_limit = message[HOP_LIMIT_OFFSET] + 1
        self.now = now
