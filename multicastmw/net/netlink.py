"""What the kernel is told about the TAP, and asked about routes: pyroute2, and a few ioctls.

Routes carry a protocol number of our own, by which they are known again; another's route is never replaced.
"""

import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EADDRNOTAVAIL
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_address
from typing import Any

from multicastmw.core.events import Note, Tell
from multicastmw.net.questions import Questions, attributes

# What we chose.
ROUTE_PROTOCOL = 77  # "M"; free in the kernel's list and in iproute2's rt_protos
ALIAS = "mcmw"  # a TAP with this alias was made by a node, and is configured again by the next one
DEFAULT_MTU = 1500

MAIN_TABLE = 254  # RT_TABLE_MAIN
SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFMTU, SIOCGIFINDEX = 0x8913, 0x8915, 0x8921, 0x8933
SIOCGIFHWADDR = 0x8927
IFF_UP = 1
IFNAMSIZ = 16
INTERFACE = struct.Struct("=4xi8x")  # linux/rtnetlink.h: its index among what is 0 in a question
RTM_GETLINK, IFLA_MASTER = 18, 10


class Netlink:
    """One rtnetlink socket for as long as the node runs.  Methods raise OSError with the kernel's errno."""

    def __init__(self) -> None:
        self._socket: Any = None
        self._asked = Questions(socket.NETLINK_ROUTE)

    @property
    def _route(self) -> Any:
        """Opened when it is first used: that is after a daemon's fork."""
        if self._socket is None:
            from pyroute2 import IPRoute

            self._socket = IPRoute()
        return self._socket

    def close(self) -> None:
        self._asked.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- the TAP

    def configure(self, device: str, *, address: IPv4Interface | None, mtu: int, ours: bool) -> None:
        """Address before link up.  A TAP that somebody else made keeps what it has."""
        index = socket.if_nametoindex(device)
        with kernel_says():
            if ours:
                self._route.link("set", index=index, ifalias=ALIAS, mtu=mtu)
                self._drop_other_addresses(index, address)
            has_address = any(True for _ in self._addresses(index))
            if address and (ours or not has_address):
                self._add_address(index, address)
            if not flags(device) & IFF_UP:
                self._route.link("set", index=index, state="up")

    def is_ours(self, device: str) -> bool:
        """Was the TAP made by a node?"""
        links = self._route.get_links(socket.if_nametoindex(device))
        return bool(links) and links[0].get_attr("IFLA_IFALIAS") == ALIAS

    def master(self, device: str) -> str | None:
        """The bridge (or what else joins interfaces) that the device is a port of; None where it is none."""
        _, told = self._asked.ask(RTM_GETLINK, INTERFACE.pack(socket.if_nametoindex(device)))
        master = attributes(told[INTERFACE.size :]).get(IFLA_MASTER)
        return name_of(struct.unpack("=I", master)[0]) if master else None

    def _addresses(self, index: int) -> Any:
        return self._route.get_addr(family=socket.AF_INET, index=index)

    def _add_address(self, index: int, address: IPv4Interface) -> None:
        with suppress(FileExistsError), kernel_says():
            self._route.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)

    def _drop_other_addresses(self, index: int, address: IPv4Interface | None) -> None:
        for found in list(self._addresses(index)):
            text, length = found.get_attr("IFA_LOCAL"), found["prefixlen"]
            if address is None or (text, length) != (str(address.ip), address.network.prefixlen):
                self._route.addr("del", index=index, address=text, prefixlen=length)

    # --- routes

    def add_routes(self, device: str, groups: tuple[IPv4Network, ...], tell: Tell) -> None:
        """Routes the groups to the TAP; one that another has routed stays so, and is told."""
        index = socket.if_nametoindex(device)
        for group in groups:
            others = self._routed_by_others(group, index)
            if index in others:
                continue  # somebody did it for us, and keeps it
            if others:
                other = name_of(others[0])
                tell(
                    Note(
                        f"{group} is routed to {other} already: programs that name no interface use it; "
                        f"`ip route del {group} dev {other}` leaves it to {device}"
                    )
                )
            else:
                with kernel_says():
                    self._route.route("replace", dst=str(group), oif=index, scope=253, proto=ROUTE_PROTOCOL)

    def remove_routes(self, device: str, groups: tuple[IPv4Network, ...]) -> None:
        """Takes back what `add_routes` put there; the routes of a device that is gone went with it."""
        for group in groups:
            with suppress(OSError):
                self.remove_route(device, group)

    def remove_route(self, device: str, group: IPv4Network) -> None:
        """The same for one of them; raises OSError where it stays."""
        index = socket.if_nametoindex(device)
        for route in self._exactly(group):
            if _is_ours(route, index):
                with kernel_says():
                    self._route.route(
                        "del", dst=str(group), oif=index, scope=route["scope"], proto=ROUTE_PROTOCOL
                    )

    def _exactly(self, group: IPv4Network) -> list[Any]:
        # Asked with `dst`, pyroute2 would look an address up, as a sender does, and not for this entry.
        found = self._route.get_routes(family=socket.AF_INET, table=MAIN_TABLE)
        wanted = (str(group.network_address), group.prefixlen)
        return [r for r in found if (r.get_attr("RTA_DST") or "0.0.0.0", r["dst_len"]) == wanted]

    def _routed_by_others(self, group: IPv4Network, index: int) -> list[int]:
        """The interfaces that routes lead to which are not ours (another node's on this host are not)."""
        return [route.get_attr("RTA_OIF") for route in self._exactly(group) if not _is_ours(route, index)]

    # --- the way to a peer

    def device_towards(self, address: str) -> str | None:
        """The interface that a packet to this address would leave by; None where there is no route."""
        try:
            with kernel_says():
                found = list(self._route.route("get", dst=str(ip_address(address.partition("%")[0]))))
        except OSError:
            return None
        return name_of(found[0].get_attr("RTA_OIF")) if found else None

    def uplink_mtu(self, addresses: list[str]) -> int:
        """The smallest MTU on the way to these (else to anywhere); a loopback's says nothing."""
        devices = {self.device_towards(address) for address in addresses or ["192.0.2.1"]}
        mtus = [mtu(device) for device in devices if device and device != "lo"]
        return min(mtus, default=DEFAULT_MTU)


def _is_ours(route: Any, index: int) -> bool:
    return bool(route["proto"] == ROUTE_PROTOCOL and route.get_attr("RTA_OIF") == index)


@contextmanager
def kernel_says() -> Iterator[None]:
    """pyroute2's own errors as the OSErrors that they mean."""
    from pyroute2 import NetlinkError

    try:
        yield
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def name_of(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def is_there(index: int) -> bool:
    """Is there an interface of this index?"""
    try:
        socket.if_indextoname(index)
    except OSError:
        return False
    return True


def exists(device: str) -> bool:
    return os.path.exists(f"/proc/sys/net/ipv4/conf/{device}")


def index(device: str) -> int:
    """Interface index; raises OSError (ENODEV) where there is none such."""
    return int(struct.unpack_from("i", _ioctl(SIOCGIFINDEX, device), IFNAMSIZ)[0])


def flags(device: str) -> int:
    """Interface flags; raises OSError (ENODEV) where there is none such."""
    return int(struct.unpack_from("H", _ioctl(SIOCGIFFLAGS, device), IFNAMSIZ)[0])


def address(device: str) -> str | None:
    """The interface's first IPv4 address; raises OSError (ENODEV) where there is none such."""
    try:
        return socket.inet_ntoa(_ioctl(SIOCGIFADDR, device)[20:24])
    except OSError as error:
        if error.errno == EADDRNOTAVAIL:
            return None
        raise


def routed_to(groups: Iterable[IPv4Network]) -> dict[IPv4Network, list[str]]:
    """The interfaces that each very prefix is routed to; asked once a second, so without netlink."""
    try:
        with open("/proc/net/route") as table:
            rows = [line.split() for line in table][1:]
    except OSError:
        rows = []
    ways: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if len(row) > 7:
            ways.setdefault((row[1], row[7]), []).append(row[0])
    return {
        group: ways.get(
            (_as_the_kernel_writes(group.network_address), _as_the_kernel_writes(group.netmask)), []
        )
        for group in groups
    }


def _as_the_kernel_writes(address: IPv4Address) -> str:
    """The number as it stands in memory: bytes in the machine's order."""
    return f"{int.from_bytes(address.packed, sys.byteorder):08X}"


def dropped(device: str) -> int:
    """Packets that the kernel had for the device and no room; 0 where there is no such device."""
    try:
        with open("/proc/net/dev") as table:
            lines = [line.split(":", 1) for line in table if ":" in line]
    except OSError:
        return 0
    return next((int(numbers.split()[11]) for name, numbers in lines if name.strip() == device), 0)


def hardware(device: str) -> tuple[int, bytes]:
    """The kind of the interface, ARPHRD_*, and an Ethernet's address; raises OSError (ENODEV)."""
    kind, address = struct.unpack_from("H6s", _ioctl(SIOCGIFHWADDR, device), IFNAMSIZ)
    return kind, address


def mtu(device: str) -> int:
    return int(struct.unpack_from("i", _ioctl(SIOCGIFMTU, device), IFNAMSIZ)[0])


def _ioctl(request: int, device: str) -> bytes:
    return fcntl.ioctl(_asker(), request, struct.pack("16s24x", device.encode()))


@lru_cache(1)
def _asker() -> socket.socket:
    """Opened once, so that a process short of descriptors can still ask."""
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
