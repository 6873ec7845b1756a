"""Multicast sockets on a named interface, as any program opens them, and what the kernel says of a packet."""

import contextlib
import socket
import struct
import time
from typing import NamedTuple

# From <linux/in.h>, <asm-generic/socket.h>; the socket module of Python 3.11 lacks them.
IP_RECVTTL = 12
MCAST_JOIN_GROUP = 42
MCAST_JOIN_SOURCE_GROUP = 46
IP_MULTICAST_ALL = 49
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
SO_RXQ_OVFL = 40

RECEIVE_BUFFER = 4 << 20  # bytes; some 1,800 video packets as the kernel counts them
LONGEST_DATAGRAM = 65_535
ANCILLARY = 256  # bytes: time, TTL and drop count fit
STALE = 1_000_000_000  # ns; an older kernel time means that the wall clock was set meanwhile


class Arrival(NamedTuple):
    """One datagram; `at_ns` is CLOCK_MONOTONIC when the kernel got it, `dropped` the socket's count."""

    data: bytes
    at_ns: int
    ttl: int | None
    dropped: int
    source: str


def open_sender(interface: str, ttl: int) -> socket.socket:
    """A socket that sends multicast out of `interface`; raises OSError where there is none."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    index = socket.if_nametoindex(interface)
    request = struct.pack("=4s4si", bytes(4), bytes(4), index)  # struct ip_mreqn
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    return sock


def open_receiver(interface: str, group: str, port: int, source: str = "") -> socket.socket:
    """A non-blocking socket that has joined the group on `interface`, of one source only if it is named."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)  # only what this socket joined
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.bind((group, port))
    index = socket.if_nametoindex(interface)
    request = struct.pack("@I4x128s", index, _storage(group))
    if source:
        sock.setsockopt(socket.IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, request + _storage(source))
    else:
        sock.setsockopt(socket.IPPROTO_IP, MCAST_JOIN_GROUP, request)
    sock.setblocking(False)
    return sock


def receive(sock: socket.socket) -> Arrival | None:
    """The next datagram, None where none waits.

    The kernel's own receive time counts: what the reader's process waited for the CPU is no delay of the
    network.  It is wall time; as an age it is carried over to the monotonic clock of the sender's stamps.
    """
    try:
        data, ancillary, _, source = sock.recvmsg(LONGEST_DATAGRAM, ANCILLARY)
    except BlockingIOError:
        return None
    now = time.monotonic_ns()
    wall = time.time_ns()
    at, ttl, dropped = now, None, 0
    for level, kind, value in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, socket.IP_TTL):
            (ttl,) = struct.unpack("@i", value[:4])
        elif (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("@ll", value[: struct.calcsize("@ll")])
            age = wall - seconds * 1_000_000_000 - nanoseconds
            at = now - age if 0 <= age < STALE else now
        elif (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL):
            (dropped,) = struct.unpack("@I", value[:4])
    return Arrival(data, at, ttl, dropped, source[0])


def _storage(address: str) -> bytes:
    """A struct sockaddr_storage with this IPv4 address."""
    return struct.pack("@H2x4s120x", socket.AF_INET, socket.inet_aton(address))


def close_all(*socks: socket.socket) -> None:
    for sock in socks:
        with contextlib.suppress(OSError):
            sock.close()
