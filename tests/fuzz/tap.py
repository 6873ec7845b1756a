"""Frames from the operating system, and packets of peers on their way into it.

The first byte chooses the TAP's settings.  Steps: 0 a frame as it is, 1 an IP packet in a right frame, its
header mended, 2 a peer's packet as it is, 3 one whose header is mended.  Of the latter two the first byte is
the hop limit.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network

from multicastmw.core.addressing import Channel, Identity
from multicastmw.core.admission import Admission
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.fragments import Reassembler, split
from multicastmw.core.packet import FRAME_START, Packet
from multicastmw.core.routing import Router
from multicastmw.core.tap import TapDestination
from multicastmw.wire.data import HEADER_SIZE, DataHeader
from multicastmw.wire.ipv4 import PROTOCOL_IGMP, TTL_OFFSET, Header, checksum
from tests.fuzz.fragments import mended, right
from tests.fuzz.igmp import packets
from tests.fuzz.target import Target, script, steps

GROUP, DENIED, HOST = 0xEF010101, 0xEF020202, 0x0A580002
MAC = bytes.fromhex("021122334455")
FRAME = bytes.fromhex("01005e010101") + MAC + b"\x08\x00"


class Overlay:
    """Takes what the TAP sends, and looks at it."""

    name = "overlay"
    local = False

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.sent = b""  # the IP packet that the operating system sent

    def others_changed(self, channel: Channel) -> None:
        """It tells nobody."""

    def deliver(self, packet: Packet) -> None:
        header = DataHeader.parse(packet.message)
        inner = bytes(packet.view[HEADER_SIZE : HEADER_SIZE + packet.length])
        assert len(inner) == header.packet_length - 4 <= self.longest
        ip = Header.parse(inner)
        assert ip.total_length == len(inner)
        assert self.sent.startswith(inner) or len(self.sent) > self.longest
        assert inner[ip.size :] in self.sent
        assert (ip.destination, ip.source) == (header.group, header.source)
        assert header.source and ip.protocol != PROTOCOL_IGMP
        assert 1 <= header.hop_limit < 255
        assert ip.destination >> 8 != 0xE00000


class Tap(Target):
    """One TAP, both ways."""

    longest = 1024
    words = (FRAME, b"\x08\x00", GROUP.to_bytes(4, "big"), DENIED.to_bytes(4, "big"), b"\x45\0")

    def __init__(self) -> None:
        self.walled = Admission(deny=[IPv4Network("239.2.0.0/16")])
        self.packet = Packet()

    def seeds(self) -> Iterable[bytes]:
        packet = right(bytes(range(30)), 7)
        long = right(bytes(range(256)) * 2 + bytes(90), 8)
        lying = packet[:2] + b"\x02\x00" + packet[4:]
        for chosen in range(4):
            first = bytes((chosen,))
            yield first + script(
                (0, FRAME + packet), *((1, igmp) for igmp in packets()), (2, b"\x09" + packet)
            )
            yield first + script(*((2, b"\x07" + igmp) for igmp in packets()), (3, b"\x01" + packet))
            yield first + script((1, long), (0, FRAME + long[:300]), (3, b"\x09" + packet))
            yield first + script((0, FRAME + long), (0, FRAME + lying), (2, b"\x07" + lying))
            yield first + script(*((2, b"\x05" + piece) for piece in split(long, 300, lambda: 1)))
        optional = right(b"o" * 600, 9, 0x4000, bytes.fromhex("9404000044040500"))
        yield b"\x01" + script(
            (1, optional), (0, FRAME + optional[:30]), (0, FRAME[:12] + b"\x86\xdd" + packet)
        )

    def __call__(self, data: bytes) -> None:
        chosen = data[0] if data else 0
        longest = 576 if chosen & 1 else 1412
        router = Router()
        overlay = self.overlay = Overlay(longest)
        self.packet = Packet()
        self.tap = TapDestination(
            "tap", router=router, forwarder=Forwarder(router, 1 << 16, 1000.0), mapping=Identity(),
            admission=Admission(deny=[]) if chosen & 8 else self.walled, mac=MAC, longest=longest,
            ttl_floor=chosen >> 4, reassembler=Reassembler() if chosen & 2 else None,
        )  # fmt: skip
        self.tap.write = self.written
        self.tap.igmp = self.igmp
        router.attach(overlay)
        router.subscribe(overlay, Channel(GROUP))
        self.tap.want(GROUP, 0)
        self.tap.want(DENIED, HOST)
        for what, with_ in steps(data[1:]):
            self.packet.now = 1000.0
            match what % 4:
                case 0:
                    self.sends(with_)
                case 1 if with_:
                    self.sends(FRAME + mended(with_))
                case 2 if with_:
                    self.receives(with_[0], with_[1:])
                case 3 if len(with_) > 1:
                    self.receives(with_[0], mended(with_[1:]))

    def sends(self, frame: bytes) -> None:
        """Each frame ends in one counter, or at a route."""
        self.packet.buffer[FRAME_START : FRAME_START + len(frame)] = frame
        self.overlay.sent = frame[len(FRAME) :]
        before = self.counted("not_ip_multicast", "igmp", "link_local", "denied", "received", "malformed")
        cut = self.tap.counters.malformed, self.tap.counters.received
        self.tap.frame_received(self.packet, len(frame), 0)
        both = self.tap.counters.malformed > cut[0] and self.tap.counters.received > cut[1]
        after = self.counted("not_ip_multicast", "igmp", "link_local", "denied", "received", "malformed")
        assert after == before + 1 + both

    def receives(self, hop_limit: int, inner: bytes) -> None:
        if not hop_limit or not inner:
            return  # the forwarder drops those
        packet = self.packet
        packet.buffer[HEADER_SIZE : HEADER_SIZE + len(inner)] = inner
        packet.length, packet.hop_limit, packet.kind = len(inner), hop_limit, 1 + (len(inner) % 7 == 6)
        self.inner, self.frames = inner, 0
        before = self.counted("unknown_kind", "malformed", "filtered", "failed", "delivered")
        self.tap.deliver(packet)
        counted = self.counted("unknown_kind", "malformed", "filtered", "failed", "delivered") - before
        held = self.tap.reassembler is not None
        assert counted == 1 or (counted == 0 and held)
        assert self.frames <= counted

    def counted(self, *names: str) -> int:
        return sum(getattr(self.tap.counters, name) for name in names)

    def igmp(self, packet: bytes, now: float) -> None:
        header = Header.parse(packet)
        assert header.protocol == PROTOCOL_IGMP and header.total_length == len(packet)

    def written(self, frame: tuple[bytes, memoryview]) -> None:
        head, inner = frame[0], bytes(frame[1])
        self.frames += 1
        header = Header.parse(inner)
        assert len(head) == 14
        assert head[:3] + head[12:] == b"\x01\0\x5e\x08\0"
        assert int.from_bytes(head[3:6], "big") == header.destination & 0x7FFFFF
        assert header.total_length == len(inner)
        assert header.protocol != PROTOCOL_IGMP
        assert header.destination == GROUP or header.source == HOST
        if len(inner) == len(self.inner):
            assert header.ttl == self.packet.hop_limit
            before, after = self.inner, inner
            assert before[:TTL_OFFSET] == after[:TTL_OFFSET] and before[12:] == after[12:]
            if not checksum(before[: header.size]):
                assert not checksum(after[: header.size])
        else:
            assert not checksum(inner[: header.size])
