"""The ways to peers: which device, and how long a packet it takes; and word of what may change them.

Asked and heard by rtnetlink without a library, for a change may concern hundreds of links: a question takes
some 20 us.
"""

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from multicastmw.core.fastpath.peers import Uplink
from multicastmw.net import netlink

# What linux/netlink.h and linux/rtnetlink.h say.
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
ROUTE = struct.Struct("=BBBBBBBBI")  # family, lengths of destination and source, ..., type, flags
ATTRIBUTE = struct.Struct("=HH")  # length, type
NLMSG_ERROR, RTM_NEWROUTE, RTM_GETROUTE = 2, 24, 26
REQUEST = 1
RTA_DST, RTA_SRC, RTA_OIF = 1, 2, 4
RTN_UNICAST = 1
LINKS, ADDRESSES, ROUTES, RULES = 1, 0x10, 0x40, 0x80  # groups of news, of IPv4

ETHERNET = 1  # linux/if_arp.h
BATCH = 64  # messages of one wake-up


class Uplinks:
    """Asks the kernel's routing table."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def find(self, local: str, remote: str) -> Uplink | str:
        """The uplink towards a numeric IPv4 address, from one of ours; or why it will not do."""
        try:
            index = self._device(IPv4Address(local), IPv4Address(remote))
        except OSError as error:
            return f"there is no way from {local} to it: {error.strerror}"
        if index is None:
            return "it is on this host"
        try:
            device = socket.if_indextoname(index)
            if netlink.hardware(device) != ETHERNET:
                return f"{device} is no Ethernet"
            return Uplink(index, netlink.mtu(device))
        except OSError as error:
            return f"its device is gone: {error.strerror}"

    def _device(self, local: IPv4Address, remote: IPv4Address) -> int | None:
        """The index of the device by which packets leave; None for what does not leave.  Raises OSError, also
        where `local` is no address of this host."""
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
            self._socket.settimeout(1.0)
        attributes = b"".join(
            ATTRIBUTE.pack(8, kind) + address.packed
            for kind, address in ((RTA_DST, remote), (RTA_SRC, local))
        )
        body = ROUTE.pack(socket.AF_INET, 32, 32, 0, 0, 0, 0, 0, 0) + attributes
        self._socket.send(HEADER.pack(HEADER.size + len(body), RTM_GETROUTE, REQUEST, 0, 0) + body)
        answer = self._socket.recv(8192)
        _, kind, _, _, _ = HEADER.unpack_from(answer)
        if kind == NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", answer, HEADER.size)
            raise OSError(-code, os.strerror(-code))
        if kind != RTM_NEWROUTE or ROUTE.unpack_from(answer, HEADER.size)[7] != RTN_UNICAST:
            return None
        return _outgoing(answer[HEADER.size + ROUTE.size :])


def _outgoing(attributes: bytes) -> int | None:
    at = 0
    while at + ATTRIBUTE.size <= len(attributes):
        length, kind = ATTRIBUTE.unpack_from(attributes, at)
        if kind == RTA_OIF:
            return int(struct.unpack_from("=I", attributes, at + ATTRIBUTE.size)[0])
        at += max(4, length + 3 & ~3)
    return None


@implementer(IReadDescriptor)
class News:
    """Tells that devices, addresses or routes have changed, whatever it was."""

    def __init__(self, reactor: IReactorFDSet, changed: Callable[[], None]) -> None:
        self._reactor = reactor
        self._changed = changed
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0
        )
        self._socket.bind((0, LINKS | ADDRESSES | ROUTES | RULES))
        reactor.addReader(self)

    def close(self) -> None:
        self._reactor.removeReader(self)
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "news"

    def doRead(self) -> None:
        """What is said does not matter, nor what was lost because it was too much (ENOBUFS)."""
        with suppress(OSError):
            for _ in range(BATCH):
                self._socket.recv(1)
        self._changed()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor saw the descriptor die: what is not heard is looked at once a second."""
