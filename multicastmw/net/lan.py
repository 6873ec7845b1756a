"""Questions and answers between nodes on one LAN, by real IP multicast that no router carries on.

One socket hears questions, of all interfaces that it was told of; another asks, and gets the answers.
"""

import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.protocol import DatagramProtocol

# What the specification says (docs/protocol.rst, "On a LAN").
GROUP, PORT = "239.255.77.100", 4601
TTL = 1

IP_MULTICAST_ALL = 49  # linux/in.h; Python has no name for it
LONGEST = 1_500
MREQN = struct.Struct("=4s4si")  # struct ip_mreqn: group, address, interface

Received = Callable[[bytes, tuple[str, int]], None]


class Listens(DatagramProtocol):
    noisy = False  # no line of each socket in the log

    def __init__(self, received: Received) -> None:
        self._received = received

    def datagramReceived(self, datagram: bytes, address: tuple[str, int]) -> None:
        self._received(datagram, address)


class LanSockets:
    """Both of them; they raise OSError where they cannot be had."""

    def __init__(self, reactor: Any, question: Received, answer: Received) -> None:
        self._joined: set[str] = set()
        self._hears, self._asks = _udp(), _udp()
        try:
            self._hears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._hears.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
            self._hears.bind((GROUP, PORT))
            self._asks.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, TTL)
            self._asks.bind(("", 0))
        except OSError:
            self._hears.close()
            self._asks.close()
            raise
        pairs = (self._hears, question), (self._asks, answer)
        self._ports = [self._adopt(reactor, *pair) for pair in pairs]

    def _adopt(self, reactor: Any, sock: socket.socket, received: Received) -> Any:
        return reactor.adoptDatagramPort(sock.fileno(), socket.AF_INET, Listens(received), LONGEST)

    def close(self) -> None:
        for port in self._ports:
            port.stopListening()
        self._hears.close()
        self._asks.close()

    def join(self, devices: Iterable[str]) -> None:
        """Hears questions there, too; a device that has gone is joined anew when it is back."""
        wanted = set(devices)
        self._joined &= wanted
        for device in wanted - self._joined:
            try:
                self._hears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _at(device))
            except OSError:
                continue
            self._joined.add(device)

    def ask(self, datagram: bytes, devices: Iterable[str]) -> list[str]:
        """Sends it there; gives those where it left."""
        found = []
        for device in devices:
            try:
                self._asks.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _at(device))
                self._asks.sendto(datagram, (GROUP, PORT))
            except OSError:
                continue  # it has no address, is down, or has just gone
            found.append(device)
        return found


def devices(besides: Iterable[str]) -> list[str]:
    """This host's interfaces, but for the loopback and these."""
    return [name for _, name in socket.if_nameindex() if name not in {"lo", *besides}]


def answer(to: tuple[str, int], datagram_at: Callable[[str], bytes]) -> None:
    """Sends the datagram that is made for this node's address as it is seen from there."""
    with _udp() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
            sock.connect(to)
            sock.send(datagram_at(sock.getsockname()[0]))
        except OSError:
            pass  # who asked is not there any more


def _udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def _at(device: str) -> bytes:
    """As the kernel takes a group on an interface."""
    return MREQN.pack(socket.inet_aton(GROUP), bytes(4), socket.if_nametoindex(device))
