"""The TAP device and its reader: the kernel's, and one in memory that must pass the same tests."""

import fcntl
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.packet import ETHERNET_SIZE, FRAME_START, Packet
from multicastmw.net import netlink
from multicastmw.net.tap import BATCH, TapDevice, TapReader
from multicastmw.wire import ipv4
from tests.net.namespace import Namespace, why_not

MISSING = why_not()
GROUP = ipv4.number("239.1.2.3")
ADDRESS = ipv4.number("10.99.0.2")
HEAD = bytes.fromhex("01005e01020302aabbccddee0800")
SIOCSIFFLAGS, SIOCSIFADDR = 0x8914, 0x8916


def udp(payload: bytes, *, source: int = ipv4.number("10.99.0.9"), port: int = 5004) -> bytes:
    length = 8 + len(payload)
    head = ipv4.Header(0, 20 + length, 1, 0, 9, 17, source, GROUP).build()
    return head + struct.pack("!HHHH", 40000, port, length, 0) + payload


class Reactor:
    """What a reader needs of one."""

    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)


class Taker:
    """Keeps IP packets, and when they came."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.times: list[float] = []
        self.origin_times: list[int] = []
        self.turns: list[bool] = []  # was nothing left after it?
        self.ended = self.turns.append

    def began(self) -> None: ...

    def woke(self, now: float) -> None: ...

    def done(self) -> None: ...

    def frame_received(self, packet: Packet, size: int, origin_time: int) -> None:
        self.packets.append(bytes(packet.view[FRAME_START + ETHERNET_SIZE : FRAME_START + size]))
        self.times.append(packet.now)
        self.origin_times.append(origin_time)


class MemoryTap:
    """A TAP without a kernel: a pipe that keeps frames apart stands for the device."""

    def __init__(self) -> None:
        self._inside, self._outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._inside.setblocking(False)
        self._outside.setblocking(False)
        self.name = "memory0"
        self.up = True
        self.heard: deque[bytes] = deque()

    def fileno(self) -> int:
        return self._inside.fileno()

    def write(self, frame: tuple[bytes, memoryview]) -> int:
        if not self.up:
            raise OSError(5, "Input/output error")
        self.heard.append(b"".join(map(bytes, frame)))
        return len(self.heard[-1])

    def close(self) -> None:
        self._inside.close()
        self._outside.close()


class TapTests:
    """What holds for every TAP.  `host_*` is the other side: the operating system's."""

    tap: Any
    host_sends: Callable[[bytes], None]
    host_hears: Callable[[], list[bytes]]
    goes_down: Callable[[], None]
    vanishes: Callable[[], None]
    assertEqual: Any
    assertRaises: Any
    assertTrue: Any

    def read(self) -> Taker:
        taker = Taker()
        self.broken: list[str] = []
        self.reactor = Reactor()
        self.reader = TapReader(self.tap, self.reactor, lambda: 12.5, taker, self.broken.append)
        self.reader.start()
        self.assertEqual(self.reactor.readers, [self.reader])
        return taker

    def test_a_packet_of_the_host_stands_where_a_header_fits_in_front_of_it(self) -> None:
        taker = self.read()
        self.host_sends(b"hello")
        self.reader.doRead()
        (packet,) = self.of_ours(taker.packets)
        self.assertEqual(packet[28:], b"hello")
        header = ipv4.Header.parse(packet)
        self.assertEqual((header.destination, header.ttl), (GROUP, 16))
        self.assertEqual(set(taker.times), {12.5})
        self.assertTrue(all(0 <= time < 1 << 32 for time in taker.origin_times))

    def test_without_a_frame_nothing_happens(self) -> None:
        taker = self.read()
        self.reader.doRead()
        self.reader.doRead()
        self.assertEqual((self.of_ours(taker.packets), self.broken, taker.turns), ([], [], [True, True]))
        self.assertEqual(self.reactor.readers, [self.reader])

    def test_one_wake_up_reads_many_frames_but_not_all_day(self) -> None:
        taker = self.read()
        for i in range(BATCH + 20):
            self.host_sends(b"%d" % i)
        self.reader.doRead()
        self.assertEqual(len(taker.packets), BATCH)
        self.reader.doRead()
        got = [packet[28:] for packet in self.of_ours(taker.packets)]
        self.assertEqual(got, [b"%d" % i for i in range(BATCH + 20)])

    def test_a_frame_that_is_written_reaches_the_programs_of_the_host(self) -> None:
        for payload in (b"a", bytes(1300)):
            packet = udp(payload)
            self.assertEqual(self.tap.write((HEAD, memoryview(bytearray(packet)))), 14 + len(packet))
            self.assertEqual(self.host_hears(), [payload])

    def test_while_the_interface_is_down_a_write_is_an_error_and_a_read_is_none(self) -> None:
        self.read()
        self.goes_down()
        with self.assertRaises(OSError) as caught:
            self.tap.write((HEAD, memoryview(udp(b"a"))))
        self.assertEqual(caught.exception.errno, 5)
        self.reader.doRead()
        self.assertEqual(self.broken, [])

    def test_a_device_that_vanishes_is_told_once_and_read_no_more(self) -> None:
        self.read()
        self.vanishes()
        self.reader.doRead()
        self.assertEqual(len(self.broken), 1)
        self.assertEqual(self.reactor.readers, [])

    def test_the_descriptor_neither_blocks_nor_is_inherited(self) -> None:
        self.assertEqual(os.get_blocking(self.tap.fileno()), False)
        self.assertEqual(os.get_inheritable(self.tap.fileno()), False)

    def of_ours(self, packets: list[bytes]) -> list[bytes]:
        """A kernel has something to say of its own: router solicitations, IGMP."""
        return [p for p in packets if p[0] >> 4 == 4 and p[9] == 17 and p[16:20] == GROUP.to_bytes(4, "big")]


class InMemory(TapTests, SynchronousTestCase):
    def setUp(self) -> None:
        self.tap = MemoryTap()
        self.addCleanup(self.tap.close)

    def host_sends(self, payload: bytes) -> None:
        packet = bytearray(udp(payload, source=ADDRESS))
        ipv4.set_ttl(packet, 0, 16)
        self.tap._outside.send(HEAD + packet)

    def host_hears(self) -> list[bytes]:
        heard = [frame[14 + 28 :] for frame in self.tap.heard if frame[:14] == HEAD]
        self.tap.heard.clear()
        return heard

    def goes_down(self) -> None:
        self.tap.up = False

    def vanishes(self) -> None:
        self.tap._inside.close()
        self.reader._descriptor = -1


class InTheKernel(TapTests, SynchronousTestCase):
    """Everything is made in a namespace of its own, by the one thread that lives there."""

    if MISSING:
        skip = MISSING

    def setUp(self) -> None:
        self.space = Namespace()
        self.addCleanup(self.space.close)
        self.tap = self.space.run(TapDevice, "mcmwtest0")
        self.addCleanup(self.tap.close)
        self.space.run(self.configure)
        self.receiver = self.space.run(self.open_receiver)
        self.addCleanup(self.receiver.close)
        self.sender = self.space.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.sender.close)
        self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
        self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, ADDRESS.to_bytes(4, "big"))

    def configure(self) -> None:
        name = b"mcmwtest0"
        with open("/proc/thread-self/net/dev") as table:
            assert "eth0" not in table.read()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            address = struct.pack("HH4s8x", socket.AF_INET, 0, ADDRESS.to_bytes(4, "big"))
            fcntl.ioctl(asker, SIOCSIFADDR, struct.pack("16s16s", name, address))
            self.set_flags(asker, netlink.IFF_UP)

    def set_flags(self, asker: socket.socket, flags: int) -> None:
        fcntl.ioctl(asker, SIOCSIFFLAGS, struct.pack("16sH22x", b"mcmwtest0", flags))

    def open_receiver(self) -> socket.socket:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("", 5004))
        joined = GROUP.to_bytes(4, "big") + ADDRESS.to_bytes(4, "big")
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        receiver.setblocking(False)
        return receiver

    def read(self) -> Taker:
        """The kernel's own words (IGMP, IPv6) are out of the way first, so that batches count ours."""
        taker = super().read()
        while True:
            try:
                os.read(self.tap.fileno(), 2000)
            except BlockingIOError:
                return taker

    def host_sends(self, payload: bytes) -> None:
        self.sender.sendto(payload, (ipv4.text(GROUP), 5004))

    def host_hears(self) -> list[bytes]:
        heard = []
        while True:
            try:
                heard.append(self.receiver.recv(2000))
            except BlockingIOError:
                return heard

    def goes_down(self) -> None:
        self.space.run(self.set_flags, self.sender, 0)

    def vanishes(self) -> None:
        self.space.run(self.delete)

    def delete(self) -> None:
        from pyroute2 import IPRoute

        with IPRoute() as route:
            route.link("del", index=socket.if_nametoindex("mcmwtest0"))

    def test_a_second_node_on_the_same_device_is_told_that_it_is_busy(self) -> None:
        with self.assertRaises(OSError) as caught:
            self.space.run(TapDevice, "mcmwtest0")
        self.assertEqual(caught.exception.errno, 16)

    def test_nothing_of_it_is_in_the_machines_own_network(self) -> None:
        self.assertFalse(os.path.exists("/proc/sys/net/ipv4/conf/mcmwtest0"))
        self.assertRaises(OSError, socket.if_nametoindex, "mcmwtest0")

    def test_a_name_that_is_too_long_is_an_oserror(self) -> None:
        with self.assertRaises(OSError):
            self.space.run(TapDevice, "a-name-of-more-than-15-bytes")
