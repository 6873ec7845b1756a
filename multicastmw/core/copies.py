"""What the kernel forwards, for those in this process who want it or look at it.

The program puts a copy of each such packet into the TAP's queue, as the message that came or that leaves its
origin.  A copy is told apart by an Ethernet type of its own, and by a secret in the place of the address that
it comes from: hosts of a LAN behind the TAP can send it frames of any type.

    46 | whatever (6) | the secret (6) | 0x88b5 (2) |
    60 | the datagram's IPv4 and UDP headers, or zeros (28) |
    88 | the IP Data message (wire/data.py)

The queue has 500 places, and IGMP needs some of them: the kernel puts no copy there while COPIES_WAITING are,
and counts it (not_copied).  It is told after each turn of the TAP's reader how many have come.

Of a stream of the mesh its beacons are copied in any case, for what has to be said at once.
"""

from collections.abc import Callable

from multicastmw.core.addressing import Channel
from multicastmw.core.fastpath.tables import GATE_OF_COPIES, KernelTables
from multicastmw.core.packet import ETHERNET_SIZE, FRAME_START, Packet
from multicastmw.core.routing import Destination, Router
from multicastmw.wire.data import BEACON, HEADER_SIZE, NUMBERED_BY_KERNEL, PACKET, TWIN

ETHERTYPE_COPY = 0x88B5  # IEEE 802, local experimental
SECRET_SIZE = 6
SECRET = slice(FRAME_START + 6, FRAME_START + 6 + SECRET_SIZE)
AHEAD = ETHERNET_SIZE + 28  # of the message, in a frame
START = FRAME_START + AHEAD
MASK = 0xFFFFFFFF


def _nobody(origin: int, group: int, source: int, sequence: int, now: float) -> None:
    """There is no mesh."""


class Copies:
    """Hands them on; `tap` is the destination that needs none, as the kernel delivers to it.

    `beacon` is told of beacons, by the keys of their streams."""

    def __init__(self, router: Router, origin: int, tap: Destination, secret: bytes) -> None:
        self.secret = secret
        self.beacon: Callable[[int, int, int, int, float], None] = _nobody
        self._tables: KernelTables | None = None
        self._router = router
        self._origin = origin
        self._tap = tap
        self._packet = Packet()
        self._put = self._come = 0  # modulo 2^32, as the kernel counts them

    def start(self, tables: KernelTables) -> None:
        """The fast path is on; what waits in the TAP is forgotten."""
        self._tables = tables
        self.begin()
        self.end(True)

    def stop(self) -> None:
        self._tables = None

    def begin(self) -> None:
        """A turn of the TAP's reader."""
        if self._tables:
            self._put = self._tables.left_at(GATE_OF_COPIES)

    def end(self, drained: bool) -> None:
        """It is over; `drained`: nothing waits any more, what was put there before has come or is lost."""
        if not self._tables:
            return
        if drained:
            self._come = self._put
        self._tables.open_gate(GATE_OF_COPIES, self._come)

    def accept(self, packet: Packet, size: int) -> bool:
        """A frame of the type of copies, of `size` bytes, stands at 46; False if it is not the program's."""
        if size <= AHEAD + HEADER_SIZE or packet.view[SECRET] != self.secret:
            return False
        self._come = (self._come + 1) & MASK
        found = TWIN.unpack_from(packet.buffer, START)
        origin, group, source, hop_limit = found[5], found[6], found[7], found[10]
        object_length, c_num, kind = found[14:]
        length = object_length - 4
        if c_num != PACKET or not 0 < length <= size - AHEAD - HEADER_SIZE:
            return False
        copy = self._packet
        copy.buffer = copy.view = packet.view[START:]
        copy.message = packet.view[START : FRAME_START + size]
        copy.length, copy.kind, copy.now = length, kind, packet.now
        if (flags := found[12]) & BEACON:
            self.beacon(origin ^ flags & NUMBERED_BY_KERNEL, group, source, found[8], packet.now)
        copy.hop_limit = hop_limit + (origin == self._origin)  # as in a packet that has not been sent yet
        route = self._router.known(Channel(group, source))
        for destination in dict.fromkeys(route.takers + route.observers) if route else ():
            if destination.local and destination is not self._tap:
                destination.deliver(copy)
        return True
