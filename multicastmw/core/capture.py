"""A capture: an observer that writes down what passes through this node, decapsulated, as pcapng.

Interface 0 is what comes over links, interface 1 what starts here.  Each packet has a comment with what its
own bytes do not say: the origin, its number, the link that it came by, and the hops that it has left.  Its
TTL is what a program here would see.

Whoever reads it may be slow: so much waits for him, what is more is dropped and counted in the statistics
that are written every second, and last.
"""

from collections.abc import Callable

from multicastmw.core.addressing import Channel
from multicastmw.core.identity import node_of
from multicastmw.core.packet import Packet
from multicastmw.wire import pcapng
from multicastmw.wire.data import HEADER_SIZE, IPV4, IPV6, TWIN
from multicastmw.wire.ipv4 import set_ttl
from multicastmw.wire.pcapng import INBOUND, OUTBOUND, Counts

# What we chose.
SNAPLEN = 65_535
SNAPLEN_MIN = 20
ORIGINS_MAX = 1_024  # whose names are remembered, between two looks at who they are
STATISTICS_EVERY = 1.0  # seconds

IN, OUT = 0, 1
SECOND = 1_000_000_000


class Capture:
    """One of them; `put` takes a block and says whether there is room, `who` gives an origin's node and the
    link that it comes by.  Times are the wall clock's, `ahead` ns more than the packets' own."""

    name = "capture"
    local = True

    def __init__(
        self,
        snaplen: int,
        origin: int,
        who: Callable[[int], tuple[str, str]],
        put: Callable[[bytes], bool],
        ahead: int,
        now: float,
    ) -> None:
        self.ahead = ahead
        self._snaplen = max(SNAPLEN_MIN, min(snaplen, SNAPLEN))
        self._origin = origin
        self._who = who
        self._put = put
        self._comments: dict[int, bytes] = {}
        self._received, self._dropped = [0, 0], [0, 0]
        self._started = self._wall(now)
        self._tell_at = now

    def begin(self, node: str, application: str) -> None:
        """What the file begins with."""
        self._put(pcapng.section(application))
        self._put(pcapng.interface("overlay", f"comes to {node} over links", self._snaplen))
        self._put(pcapng.interface("here", f"starts at {node}", self._snaplen))

    def others_changed(self, channel: Channel) -> None:
        """It looks at what passes, and asks for nothing."""

    def deliver(self, packet: Packet) -> None:
        found = TWIN.unpack_from(packet.buffer)
        origin, sequence = found[5], found[8]
        interface = OUT if origin == self._origin else IN
        self._received[interface] += 1
        length = packet.length
        if packet.kind not in (IPV4, IPV6):
            self._dropped[interface] += 1  # sealed: there is nothing to see
            return
        data = bytearray(packet.view[HEADER_SIZE : HEADER_SIZE + min(length, self._snaplen)])
        if packet.kind == IPV4 and len(data) >= 20:
            set_ttl(data, 0, packet.hop_limit)
        about = self._comments.get(origin) or self._about(origin, interface)
        comment = about % (sequence, packet.hop_limit)
        flags = OUTBOUND if interface == OUT else INBOUND
        written = pcapng.packet(interface, self._wall(packet.now), data, length, flags, comment)
        if not self._put(written):
            self._dropped[interface] += 1

    def _about(self, origin: int, interface: int) -> bytes:
        node, link = self._who(node_of(origin))
        text = f"origin {node}, from {link}" if interface == IN else f"origin {node}, from here"
        if len(self._comments) >= ORIGINS_MAX:
            self._comments.clear()
        comment = text.encode().replace(b"%", b"%%") + b", number %d, hop limit %d"
        self._comments[origin] = comment
        return comment

    def _wall(self, now: float) -> int:
        return int(now * SECOND) + self.ahead

    def deadline(self) -> float:
        return self._tell_at

    def tick(self, now: float) -> None:
        """How much came and was dropped is written; who an origin is, is asked again."""
        if now < self._tell_at:
            return
        self._tell_at = now + STATISTICS_EVERY
        self._comments.clear()
        self.tell(now)

    def tell(self, now: float) -> None:
        """How it stands."""
        for interface in (IN, OUT):
            self._put(pcapng.statistics(interface, self._started, self._wall(now), self.counts(interface)))

    def counts(self, interface: int) -> Counts:
        received, dropped = self._received[interface], self._dropped[interface]
        return Counts(received, dropped, received - dropped)
