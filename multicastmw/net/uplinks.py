"""The ways to peers: which device, whom to there, how long a packet; and word of what may change them.

Asked and heard by netlink without a library, for a change may concern hundreds of links: a question takes
some 20 us, and three are asked for a link.
"""

import socket
import struct
from collections.abc import Callable
from errno import EAFNOSUPPORT, EPROTONOSUPPORT
from ipaddress import IPv4Address

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from multicastmw.core.fastpath.peers import Address, Uplink
from multicastmw.core.fastpath.tables import NO_MAC
from multicastmw.net import netlink
from multicastmw.net.questions import HEADER, LONGEST, Questions, attribute, attributes

# What linux/netlink.h, linux/rtnetlink.h, linux/neighbour.h and linux/xfrm.h say.
ROUTE = struct.Struct("=BBBBBBBBI")  # family, lengths of destination and source, ..., type, flags
NEIGHBOUR = struct.Struct("=B3xiHBB")  # family, device, state, flags, type
POLICIES = struct.Struct("=3I")  # in, out, forward
NETLINK_XFRM = 6
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
XFRM_MSG_NEWSPDINFO, XFRM_MSG_GETSPDINFO = 36, 37
RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTA_VIA = 1, 2, 4, 5, 18
RTA_IP_PROTO, RTA_SPORT, RTA_DPORT = 27, 28, 29
NDA_DST, NDA_LLADDR = 1, 2
XFRMA_SPD_INFO = 1
RTN_UNICAST = 1
HAS_ADDRESS = 0x80 | 0x40 | 0x10 | 0x08 | 0x04 | 0x02  # states: permanent ... reachable, also when it is old
LINKS, NEIGHBOURS, ADDRESSES, ROUTES, RULES = 1, 4, 0x10, 0x40, 0x80  # groups of news, of IPv4
IPSEC_POLICIES = 1 << 3

ETHERNET = 1  # linux/if_arp.h
NO_IPSEC = (EPROTONOSUPPORT, EAFNOSUPPORT)  # this kernel has none
BATCH = 64  # messages of one wake-up


class Uplinks:
    """Asks the kernel's tables of routes, neighbours and IPsec policies."""

    def __init__(self) -> None:
        self._route = Questions(socket.NETLINK_ROUTE)
        self._ipsec = Questions(NETLINK_XFRM)

    def close(self) -> None:
        self._route.close()
        self._ipsec.close()

    def find(self, local: Address, remote: Address) -> Uplink | str:
        """The uplink for datagrams from one of our IPv4 addresses to a peer's; or why it will not do."""
        try:
            way = self._way(local, remote)
        except OSError as error:
            return f"there is no way from {local[0]} to it: {error.strerror}"
        if way is None:
            return "it is on this host"
        index, next_hop = way
        try:
            device = socket.if_indextoname(index)
            kind, source = netlink.hardware(device)
            if kind != ETHERNET:
                return f"{device} is no Ethernet"
            if why := self._ipsec_forbids():
                return why
            return Uplink(index, netlink.mtu(device), next_hop, self._neighbour(index, next_hop), source)
        except OSError as error:
            return f"its device is gone: {error.strerror}"

    def _way(self, local: Address, remote: Address) -> tuple[int, int] | None:
        """The device by which such datagrams leave, and the next hop, 0 where it is none of IPv4; None for
        what does not leave.  Raises OSError, also where `local` is no address of this host."""
        told_apart = b"".join(
            attribute(kind, value)
            for kind, value in (
                (RTA_DST, IPv4Address(remote[0]).packed),
                (RTA_SRC, IPv4Address(local[0]).packed),
                (RTA_IP_PROTO, bytes([socket.IPPROTO_UDP])),
                (RTA_SPORT, struct.pack("!H", local[1])),
                (RTA_DPORT, struct.pack("!H", remote[1])),
            )
        )
        kind, told = self._route.ask(
            RTM_GETROUTE, ROUTE.pack(socket.AF_INET, 32, 32, 0, 0, 0, 0, 0, 0) + told_apart
        )
        if kind != RTM_NEWROUTE or ROUTE.unpack_from(told)[7] != RTN_UNICAST:
            return None
        found = attributes(told[ROUTE.size :])
        if RTA_OIF not in found:
            return None
        hop = b"" if RTA_VIA in found else found.get(RTA_GATEWAY, IPv4Address(remote[0]).packed)
        return struct.unpack("=I", found[RTA_OIF])[0], int.from_bytes(hop, "big")

    def _neighbour(self, index: int, next_hop: int) -> bytes:
        """Its Ethernet address; NO_MAC where it is not known (yet)."""
        if not next_hop:
            return NO_MAC
        entry = NEIGHBOUR.pack(socket.AF_INET, index, 0, 0, 0)
        try:
            _, told = self._route.ask(RTM_GETNEIGH, entry + attribute(NDA_DST, next_hop.to_bytes(4, "big")))
        except OSError:
            return NO_MAC
        return _neighbour(told)[2]

    def _ipsec_forbids(self) -> str:
        """Why no datagram may leave past the host's IPsec; empty where it may."""
        try:
            kind, told = self._ipsec.ask(XFRM_MSG_GETSPDINFO, bytes(4))
        except OSError as error:
            if error.errno in NO_IPSEC:
                return ""
            return f"whether this host has IPsec policies cannot be seen: {error.strerror}"
        found = attributes(told[4:]).get(XFRMA_SPD_INFO, b"") if kind == XFRM_MSG_NEWSPDINFO else b""
        if len(found) < POLICIES.size or any(POLICIES.unpack_from(found)):
            return "this host has IPsec policies, which the kernel would not apply to it"
        return ""


def has_ipsec() -> bool:
    """Does this kernel know it at all?"""
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM).close()
    except OSError as error:
        return error.errno not in NO_IPSEC
    return True


def _neighbour(told: bytes) -> tuple[int, int, bytes]:
    """Of an entry: the device, who it is, and the Ethernet address, NO_MAC where that is not known."""
    _, index, state, _, _ = NEIGHBOUR.unpack_from(told)
    found = attributes(told[NEIGHBOUR.size :])
    address = found.get(NDA_LLADDR, b"") if state & HAS_ADDRESS else b""
    return index, int.from_bytes(found.get(NDA_DST, b""), "big"), address if len(address) == 6 else NO_MAC


@implementer(IReadDescriptor)
class News:
    """Tells that devices, addresses, routes or (`ipsec`) IPsec policies have changed, whatever it was; but of
    neighbours which: `neighbour` takes the device, the neighbour, and its Ethernet address or NO_MAC."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        changed: Callable[[], None],
        neighbour: Callable[[int, int, bytes], None] = lambda *_: None,
        *,
        ipsec: bool = False,
    ) -> None:
        self._reactor = reactor
        self._changed = changed
        self._neighbour = neighbour
        protocol = NETLINK_XFRM if ipsec else socket.NETLINK_ROUTE
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol
        )
        groups = IPSEC_POLICIES if ipsec else LINKS | NEIGHBOURS | ADDRESSES | ROUTES | RULES
        self._socket.bind((0, groups))
        reactor.addReader(self)

    def close(self) -> None:
        self._reactor.removeReader(self)
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "news"

    def doRead(self) -> None:
        """What was lost, because it was too much (ENOBUFS), may have been anything."""
        changed = False
        try:
            for _ in range(BATCH):
                changed |= self._heard(self._socket.recv(LONGEST))
        except BlockingIOError:
            pass
        except OSError:
            changed = True
        if changed:
            self._changed()

    def _heard(self, told: bytes) -> bool:
        """Is it of something else than a neighbour?  The kernel says one thing a datagram."""
        _, kind, _, _, _ = HEADER.unpack_from(told)
        if kind not in (RTM_NEWNEIGH, RTM_DELNEIGH):
            return True
        if told[HEADER.size] == socket.AF_INET:
            index, who, address = _neighbour(told[HEADER.size :])
            self._neighbour(index, who, NO_MAC if kind == RTM_DELNEIGH else address)
        return False

    def connectionLost(self, reason: Failure) -> None:
        """The reactor saw the descriptor die: what is not heard is looked at once a second."""
