"""Netlink without a library, for what is asked again and again: a question takes 20 us and leaves nothing.

(pyroute2 0.9 keeps some hundred bytes of each one.)
"""

import os
import socket
import struct

# What linux/netlink.h says.
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # length, type
NLMSG_ERROR = 2
REQUEST = 1

LONGEST = 32768  # bytes that the kernel puts into one datagram

Answer = tuple[int, bytes]  # the message's type, and what stands behind its header


class Questions:
    """One netlink socket, opened when it is first used, to ask one thing at a time."""

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._socket: socket.socket | None = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, kind: int, body: bytes) -> Answer:
        """Raises OSError, also with what the kernel says instead of an answer."""
        if self._socket is None:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, self._protocol
            )
            self._socket.settimeout(1.0)
        self._socket.send(HEADER.pack(HEADER.size + len(body), kind, REQUEST, 0, 0) + body)
        answer = self._socket.recv(LONGEST)
        _, kind, _, _, _ = HEADER.unpack_from(answer)
        if kind == NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", answer, HEADER.size)
            raise OSError(-code, os.strerror(-code))
        return kind, answer[HEADER.size :]


def attribute(kind: int, value: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(told: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + ATTRIBUTE.size <= len(told):
        length, kind = ATTRIBUTE.unpack_from(told, at)
        found[kind] = told[at + ATTRIBUTE.size : at + length]
        at += max(4, length + 3 & ~3)
    return found
