"""One source's datagrams on their way: wrapped as its node does it, lost or late as a test says."""

from struct import pack

from multicastmw.core.events import Event
from multicastmw.core.health.monitor import Monitor
from multicastmw.core.health.report import HealthStatus
from multicastmw.core.packet import Packet
from multicastmw.core.routing import Router
from multicastmw.wire.data import NUMBERED_BY_KERNEL, build
from multicastmw.wire.ipv4 import Header

GROUP, SOURCE, PORT = 0xEF010101, 0x0A580001, 5004
ORIGIN = 0x1111_2222_3333_0007
TRANSIT = 0.02  # seconds
START = 1000.0  # when it begins, on our clock; the origin's is an hour ahead
AHEAD = 3600.0


def datagram(payload: bytes, port: int = PORT, group: int = GROUP, source: int = SOURCE) -> bytes:
    """An IPv4 packet with a UDP datagram in it."""
    size = 28 + len(payload)
    head = Header(0, size, 0, 0, 16, 17, source, group).build()
    return head + pack("!HHHH", 40000, port, size - 20, 0) + payload


class Passing:
    """A monitor, and what passes it."""

    def __init__(self) -> None:
        self.router = Router()
        self.events: list[Event] = []
        self.dropped = 0
        self.monitor = Monitor(self.router, self.events.append, lambda: self.dropped)
        self.sequence = {0: 0xFFFFFFF0, 1: 7}  # soon 0 again
        self.count = 0
        self.now = START
        self._packet = Packet()
        self.monitor.watch(GROUP, START, 300.0)

    def send(self, payload: bytes, at: float, **address: int) -> bytes:
        """Numbered at the origin; gives the message, which comes when `arrive` says so."""
        return self.wrap(datagram(payload, **address), at, **address)

    def wrap(self, packet: bytes, at: float, **address: int) -> bytes:
        flags = NUMBERED_BY_KERNEL if self.count else 0
        sequence = self.sequence[self.count]
        self.sequence[self.count] = sequence + 1 & 0xFFFFFFFF
        return build(
            packet, token=0, origin=ORIGIN, group=address.get("group", GROUP),
            source=address.get("source", SOURCE), sequence=sequence,
            origin_time=int((START + at + AHEAD) * 1e6) & 0xFFFFFFFF, hop_limit=9, flags=flags,
        )  # fmt: skip

    def arrive(self, message: bytes, at: float) -> None:
        self.now = packet_now = START + at + TRANSIT
        if self.monitor.deadline() <= packet_now:
            self.monitor.tick(packet_now)
        packet = self._packet
        packet.buffer[: len(message)] = message
        packet.length = int.from_bytes(message[56:58], "big") - 4
        packet.now = packet_now
        self.monitor.deliver(packet)

    def play(self, datagrams: list[tuple[float, bytes]], lost: tuple[int, ...] = (), **address: int) -> None:
        """All of them, on time; those with these places are lost on the way."""
        for place, (due, payload) in enumerate(datagrams):
            message = self.send(payload, due, **address)
            if place not in lost:
                self.arrive(message, due)

    def statuses(self, after: float = 0.0) -> tuple[HealthStatus, ...]:
        return self.monitor.status(self.now + after, lambda origin: "a" if origin == ORIGIN else None)

    def status(self, port: int = PORT, after: float = 0.0) -> HealthStatus:
        (found,) = (each for each in self.statuses(after) if each.port == port)
        return found


def errors(status: HealthStatus) -> dict[str, tuple[int, int]]:
    """By name: the source's and the way's."""
    return {each.name: (each.source, each.way) for each in status.errors}
