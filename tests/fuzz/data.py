"""IP Data: messages through the door of the datagrams and to whoever wants them.

An input is a row of messages, cut by the lengths that they claim.  Each is sent to a real socket on the
loopback, which the node's own reader empties; the token says whose it is.  A taker wants some channels; what
it gets is what was sent, with one hop less, and each number once.
"""

import socket
from collections.abc import Iterable, Iterator

from multicastmw.core.addressing import Channel
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.packet import Packet
from multicastmw.core.room import RoomCounters
from multicastmw.core.routing import Router
from multicastmw.core.streams import LINK_STREAMS_MAX
from multicastmw.net.udp import BATCH, SHORTEST, DataPort, DataReader
from multicastmw.wire import data
from multicastmw.wire.data import HEADER_SIZE, HOP_LIMIT_OFFSET, TOKEN_OFFSET, DataHeader
from multicastmw.wire.errors import Malformed
from tests.fuzz.target import Target
from tests.wire import golden

TOKEN = 0x0102030405060708
HERE = 0xAAAA000000000001
ORIGIN = 0xBBBB000000000001
GROUP = 0xEF010101
SOURCE = 0x0A580002


class Taker:
    """A destination that holds what it gets to what was sent."""

    name = "taker"

    def __init__(self, local: bool) -> None:
        self.local = local
        self.got: list[bytes] = []

    def others_changed(self, channel: Channel) -> None:
        """It tells nobody."""

    def deliver(self, packet: Packet) -> None:
        message = bytes(packet.message)
        header = DataHeader.parse(message)
        assert header.hop_limit == packet.hop_limit - 1
        assert header.hop_limit or self.local
        assert packet.length == header.packet_length - 4
        assert packet.kind == header.packet_type
        self.got.append(message)


class Door:
    """The link that the datagrams come over."""

    name = "door"
    local = False

    def __init__(self, forwarder: Forwarder) -> None:
        self.forwarder = forwarder
        self.accepted: list[bool] = []

    def others_changed(self, channel: Channel) -> None:
        """It tells nobody."""

    def deliver(self, packet: Packet) -> None:
        raise AssertionError("a packet went back to where it came from")

    def datagram_received(self, packet: Packet, size: int, origin: tuple[str, int] | None) -> None:
        assert size >= SHORTEST
        if size < HEADER_SIZE:
            # What stands behind a short one is an earlier one's; the length that it claims is not its size.
            self.accepted.append(self.forwarder.relay(packet, size, self))
            return
        before = bytes(packet.view[:size])
        self.accepted.append(self.forwarder.relay(packet, size, self))
        after = bytes(packet.view[:size])
        assert before[:HOP_LIMIT_OFFSET] == after[:HOP_LIMIT_OFFSET]
        assert before[HOP_LIMIT_OFFSET + 1 :] == after[HOP_LIMIT_OFFSET + 1 :]


def cut(stream: bytes) -> Iterator[bytes]:
    """Datagrams, by the lengths that they claim; the last one is what is left."""
    for _ in range(BATCH - 1):
        length = int.from_bytes(stream[4:8], "big")
        if not 8 <= length < len(stream):
            break
        yield stream[:length]
        stream = stream[length:]
    if stream:
        yield stream


def is_right(message: bytes) -> bool:
    try:
        DataHeader.parse(message)
    except Malformed:
        return False
    return True


class Data(Target):
    """What comes to the data port."""

    longest = 512
    words = (TOKEN.to_bytes(8, "big"), HERE.to_bytes(8, "big"), ORIGIN.to_bytes(8, "big"),
             GROUP.to_bytes(8, "big"), SOURCE.to_bytes(8, "big"), bytes.fromhex("00304401"))  # fmt: skip

    def __init__(self) -> None:
        self.counters = RoomCounters()
        self.port = DataPort(0, None, lambda: 1000.0, {}, self.counters, lambda: None, lambda event: None)  # type: ignore[arg-type]
        self.senders, self.readers = [], []
        for common in (True, False):
            bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            bound.bind(("127.0.0.1", 0))
            sender.bind(("127.0.0.1", 0))
            sender.connect(bound.getsockname())
            if not common:
                bound.connect(sender.getsockname())
            bound.setblocking(False)
            self.senders.append(sender)
            self.readers.append(DataReader(bound, self.port, common))

    def seeds(self) -> Iterable[bytes]:
        def message(sequence: int, **more: int) -> bytes:
            fields = {"token": TOKEN, "origin": ORIGIN, "group": GROUP, "source": SOURCE, "hop_limit": 16}
            return data.build(b"E" * 21, sequence=sequence, **(fields | more))

        yield b"".join(map(message, (1, 2, 4, 3, 3, 2)))
        yield b"".join(map(message, (0xFFFFFFFE, 0xFFFFFFFF, 0, 1)))
        yield b"".join(map(message, (1, 2, 1 << 20, 1 + (1 << 20), 3)))
        yield (
            message(1, origin=HERE) + message(2, hop_limit=0) + message(3, hop_limit=1) + message(4, token=1)
        )
        yield message(1, source=1) + message(1, group=1) + message(1, flags=1) + message(2, packet_type=3)
        for each in golden.folder("messages") + golden.folder("malformed"):
            if each.wire[1:2] == b"\x22" and len(each.wire) <= self.longest:
                yield each.wire[:TOKEN_OFFSET] + TOKEN.to_bytes(8, "big") + each.wire[TOKEN_OFFSET + 8 :]

    def __call__(self, data: bytes) -> None:
        router = Router()
        forwarder = Forwarder(router, HERE, 1000.0)
        door, near, far = Door(forwarder), Taker(local=True), Taker(local=False)
        for destination in (door, near, far):
            router.attach(destination)
        router.subscribe(near, Channel(GROUP))
        router.subscribe(far, Channel(GROUP, SOURCE))
        router.subscribe(door, Channel(GROUP))
        self.port.links = {TOKEN: door}
        datagrams = list(cut(data))
        which = len(data) & 1
        for datagram in datagrams:
            self.senders[which].send(datagram)
        self.readers[which].doRead()
        self.check(datagrams, door, near, far)
        assert len(forwarder.streams.coming) <= LINK_STREAMS_MAX

    def check(self, datagrams: list[bytes], door: Door, near: Taker, far: Taker) -> None:
        token = TOKEN.to_bytes(8, "big")
        for_us = [d for d in datagrams if len(d) >= SHORTEST and d[TOKEN_OFFSET : TOKEN_OFFSET + 8] == token]
        assert door.accepted == [is_right(datagram) for datagram in for_us]
        sent = {d[:HOP_LIMIT_OFFSET] + d[HOP_LIMIT_OFFSET + 1 :] for d in for_us}
        for message in near.got + far.got:
            assert message[:HOP_LIMIT_OFFSET] + message[HOP_LIMIT_OFFSET + 1 :] in sent
        if any(
            stream.window.far or stream.window.restarts for stream in door.forwarder.streams.coming.values()
        ):
            return  # the window is no seal; see core/window.py
        for taker in (near, far):
            numbers = [
                (h.origin, h.group, h.source, h.flags & 1, h.sequence)
                for h in map(DataHeader.parse, taker.got)
            ]
            assert len(set(numbers)) == len(numbers)
