"""Data on UDP: one socket that everybody reaches, and one connected socket a peer.

A connected socket saves the kernel a route look-up for each packet that is sent, and takes its peer's
datagrams before the common one does.  All are bound to the same port; who a datagram is from is said by its
token alone, so it does not matter at which of them it arrives.

What leaves in a run (core/run.py) may stay one piece until the peer's socket: the kernel hands it in with the
size of its datagrams (UDP_GRO), and does the same with datagrams of one size that a device brings in a row.
Each is then looked at as if it had come alone.  To ask for that size makes a read dearer, so a socket does so
from the first time on that it had a run.
"""

import os
import socket
import struct
from collections.abc import Callable, Mapping
from errno import EADDRINUSE, EINVAL, EIO
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from multicastmw.core.events import Note, Tell
from multicastmw.core.packet import Packet
from multicastmw.net.waiting import take_waiting
from multicastmw.wire.data import TOKEN_OFFSET, TOKEN_TWIN

# What we chose.
BATCH = 64  # datagrams of one wake-up
BUFFER = 8 << 20  # bytes asked for; of a video some 3,600 packets, as the kernel counts them
SHORTEST = 20  # bytes up to and with the token
DRAIN = 64  # batches, before datagrams come single again
ALIKE = 8  # datagrams of the size of the one before, in one wake-up: from then on merging pays

SO_MEMINFO, MEMINFO_DROPS = 55, 8
UDP_SEGMENT, SEGMENT_TWIN = 103, struct.Struct("=H")
UDP_GRO, MERGED_TWIN, MERGED_SPACE = 104, struct.Struct("=i"), socket.CMSG_SPACE(4)
CANNOT_CUT = EIO, EINVAL  # IPsec or an older kernel's device without checksums; a kernel before 4.18
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DO = 10, 23, 2
IP_MTU, IPV6_MTU = (socket.IPPROTO_IP, 14), (socket.IPPROTO_IPV6, 24)


class TokenHolder(Protocol):
    """A link, as a datagram sees it."""

    def datagram_received(self, packet: Packet, size: int, origin: tuple[str, int] | None) -> None: ...


class DoorCounters(Protocol):
    datagrams_dropped: int
    datagrams_short: int


class DataPort:
    """All data sockets of a node.

    `links` is by token, `counters` for what has no link; `done` is called after the datagrams of a wake-up.
    """

    def __init__(
        self,
        port: int,
        reactor: IReactorFDSet,
        clock: Callable[[], float],
        links: "Mapping[int, TokenHolder]",
        counters: DoorCounters,
        done: Callable[[], None],
        tell: Tell,
    ) -> None:
        self.port = port
        self.links = links
        self.counters = counters
        self.clock = clock
        self.done = done
        self.packet = Packet()
        self.whole = self.packet.view
        self._reactor = reactor
        self._tell = tell
        self._warned = False
        self._common: list[DataReader] = []
        self._connected: dict[DataReader, None] = {}
        self._merges = True
        self.trouble: Callable[[], None] = lambda: None  # told when the way to a peer may be another one

    @property
    def merges(self) -> bool:
        """May the kernel take and hand in several datagrams of a peer at once?

        Not while it forwards by itself: merged ones pass by a program that looks at single packets, here and,
        where the cable is a virtual one, at the peer.
        """
        return self._merges

    @merges.setter
    def merges(self, wanted: bool) -> None:
        self._merges = wanted
        for reader in list(self._connected):
            if reader in self._connected:  # else what was read of another has ended its link
                reader.merge(wanted)

    def open(self) -> None:
        """Binds the common sockets; raises OSError where the port is another's."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as alone:
            alone.bind(("0.0.0.0", self.port))  # SO_REUSEPORT would share it with another node of this user
        for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            try:
                bound = self._bound(family, anywhere)
            except OSError as error:
                if family == socket.AF_INET6 and error.errno != EADDRINUSE:
                    continue  # a host without IPv6
                self.close()
                raise
            self._common.append(DataReader(bound, self, common=True))
        for reader in self._common:
            self._reactor.addReader(reader)

    def give_to(self, uid: int, gid: int) -> None:
        """Only sockets of one user share a port, and those of peers are bound after root was dropped."""
        for reader in self._common:
            os.fchown(reader.fileno(), uid, gid)

    def close(self) -> None:
        for reader in self._common:
            self.drop(reader)
        self._common.clear()

    def connect(self, local: str, remote: tuple[str, int]) -> "PeerSocket":
        """A socket of one peer; raises OSError where there is no way to it."""
        family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
        connected = self._bound(family, local)
        try:
            connected.connect(remote)
        except OSError:
            connected.close()
            raise
        reader = DataReader(connected, self, common=False)
        reader.merge(self._merges)
        self._connected[reader] = None
        self._reactor.addReader(reader)
        return PeerSocket(reader, remote, self)

    def drop(self, reader: "DataReader") -> None:
        self._connected.pop(reader, None)
        self._reactor.removeReader(reader)
        reader.socket.close()

    def read_on(self, reader: "DataReader") -> None:
        """The reactor had given it up."""
        self._reactor.addReader(reader)

    def kernel_drops(self) -> int:
        """Datagrams that found the common sockets' buffers full."""
        return sum(drops_of(reader.socket) for reader in self._common)

    def _bound(self, family: socket.AddressFamily, address: str) -> socket.socket:
        bound = socket.socket(family, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bound.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
            else:
                bound.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
            self._enlarge(bound, socket.SO_RCVBUF, 33, "net.core.rmem_max")
            self._enlarge(bound, socket.SO_SNDBUF, 32, "net.core.wmem_max")
            bound.bind((address, self.port))
        except OSError:
            bound.close()
            raise
        return bound

    def _enlarge(self, bound: socket.socket, option: int, force: int, sysctl: str) -> None:
        """Asks, reads back, and says once what line gives more.  The forced one takes CAP_NET_ADMIN."""
        try:
            bound.setsockopt(socket.SOL_SOCKET, force, BUFFER)
        except OSError:
            bound.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        got = (
            bound.getsockopt(socket.SOL_SOCKET, option) // 2
        )  # the kernel tells the double of what it was told
        if got < BUFFER and not self._warned:
            self._warned = True
            self._tell(
                Note(
                    f"UDP buffers of {got} bytes instead of {BUFFER}, so bursts may be lost; "
                    f"`sysctl -w {sysctl}={BUFFER}` allows more"
                )
            )


class PeerSocket:
    """A connected socket, as a link uses it."""

    def __init__(self, reader: "DataReader", remote: tuple[str, int], port: DataPort) -> None:
        self.local: tuple[str, int] = reader.socket.getsockname()[:2]
        self.remote = remote
        self.send = reader.socket.send
        self._sendmsg = reader.socket.sendmsg
        self._cuts = True  # until the kernel or the device says that it cannot
        self._reader = reader
        self._port = port

    def send_run(self, run: list[bytes]) -> bool:
        """A run (core/run.py) in one call.

        False: the socket took nothing of it.  Why, each message finds out when it is sent alone.
        """
        if not self._cuts or not self._port.merges:
            return False
        try:
            self._sendmsg(run, ((socket.IPPROTO_UDP, UDP_SEGMENT, SEGMENT_TWIN.pack(len(run[0]))),))
        except OSError as error:
            self._cuts = error.errno not in CANNOT_CUT
            return False
        return True

    def repoint(self, remote: tuple[str, int]) -> None:
        """Connects anew, to where the peer's datagrams come from."""
        try:
            self._reader.socket.connect(remote)
        except OSError:
            return
        self.remote = remote

    def read_waiting(self) -> bool:
        """Takes what has come already; True: there may be more."""
        return take_waiting(self._reader)

    def mtu(self) -> int:
        """What the kernel knows of the path: its device's MTU, or less."""
        option = IPV6_MTU if ":" in self.remote[0] else IP_MTU
        try:
            return self._reader.socket.getsockopt(option[0], option[1])
        except OSError:
            return 0  # there is no way to the peer

    def drops(self) -> int:
        """Datagrams that found the buffer full; those that were merged already count as one."""
        return drops_of(self._reader.socket)

    def close(self) -> None:
        self._port.drop(self._reader)


@implementer(IReadDescriptor)
class DataReader:
    """Datagrams of one socket to the links that their tokens name, in batches."""

    def __init__(self, bound: socket.socket, port: DataPort, common: bool) -> None:
        self.socket = bound
        self._port = port
        self._common = common
        self._merges = False
        self._may_merge = False
        self._alike = 0

    def merge(self, wanted: bool) -> None:
        """The kernel may merge, which it does from the first runs on; or it may not, from now on."""
        self._may_merge = wanted
        if self._merges and not wanted:
            take_waiting(self, DRAIN)  # what is merged already and waits would be cut no more
            self._set_merging(False)

    def _set_merging(self, wanted: bool) -> None:
        try:
            self.socket.setsockopt(socket.IPPROTO_UDP, UDP_GRO, wanted)
            self._merges = wanted
        except OSError:
            self._may_merge = False  # before Linux 5.0

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "data"

    def doRead(self) -> None:
        """Datagrams until there is none, or the batch is full."""
        packet = self._port.packet
        packet.now = self._port.clock()
        self._alike = 0
        try:
            if self._common:
                self._read_common(packet)
            elif self._merges:
                self._read_merged(packet)
            else:
                self._read_connected(packet)
        except BlockingIOError:
            pass
        except OSError:  # an ICMP error about something that was sent: the probes tell what it means
            self._port.trouble()
        self._port.done()
        if self._alike >= ALIKE and self._may_merge:
            self._set_merging(True)

    def _read_merged(self, packet: Packet) -> None:
        receive, buffer, links = self.socket.recvmsg_into, packet.buffer, self._port.links
        token_of, where = TOKEN_TWIN.unpack_from, (buffer,)
        left = BATCH
        while left > 0:
            size, ancillary, _, _ = receive(where, MERGED_SPACE)
            if ancillary:
                left -= self._take_each(packet, size, MERGED_TWIN.unpack(ancillary[0][2])[0])
                continue
            left -= 1
            link = links.get(token_of(buffer, TOKEN_OFFSET)[0])
            if link is None or size < SHORTEST:
                self._drop(size)
            else:
                link.datagram_received(packet, size, None)

    def _take_each(self, packet: Packet, end: int, segment: int) -> int:
        """Datagrams of `segment` bytes in a row, of which the last may be shorter; gives their number."""
        whole, links, token_of = self._port.whole, self._port.links, TOKEN_TWIN.unpack_from
        try:
            for start in range(0, end, segment):
                packet.buffer = packet.view = window = whole[start:]
                size = min(segment, end - start)
                link = links.get(token_of(window, TOKEN_OFFSET)[0])
                if link is None or size < SHORTEST:
                    self._drop(size)
                else:
                    link.datagram_received(packet, size, None)
        finally:
            packet.buffer = packet.view = whole
        return -(-end // segment)

    def _read_connected(self, packet: Packet) -> None:
        receive, buffer, links = self.socket.recv_into, packet.buffer, self._port.links
        token_of, before = TOKEN_TWIN.unpack_from, 0
        for _ in range(BATCH):
            size = receive(buffer)
            if size == before:
                self._alike += 1
            before = size
            link = links.get(token_of(buffer, TOKEN_OFFSET)[0])
            if link is None or size < SHORTEST:
                self._drop(size)
            else:
                link.datagram_received(packet, size, None)

    def _read_common(self, packet: Packet) -> None:
        receive, buffer, links = self.socket.recvfrom_into, packet.buffer, self._port.links
        token_of = TOKEN_TWIN.unpack_from
        for _ in range(BATCH):
            size, origin = receive(buffer)
            link = links.get(token_of(buffer, TOKEN_OFFSET)[0])
            if link is None or size < SHORTEST:
                self._drop(size)
            else:
                link.datagram_received(packet, size, origin[:2])

    def _drop(self, size: int) -> None:
        if size < SHORTEST:
            self._port.counters.datagrams_short += 1
        else:
            self._port.counters.datagrams_dropped += 1

    def connectionLost(self, reason: Failure) -> None:
        """An ICMP error looks to the reactor like a lost connection; of a socket without connections it is
        one datagram's fate.  Anybody can forge such an error, so the socket is read on."""
        self._port.trouble()
        if self.socket.fileno() >= 0:
            self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # takes it
            self._port.read_on(self)


def drops_of(bound: socket.socket) -> int:
    """The kernel's count of datagrams that a full receive buffer cost."""
    try:
        memory = bound.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)
    except OSError:
        return 0
    return int(struct.unpack_from("9I", memory)[MEMINFO_DROPS])
