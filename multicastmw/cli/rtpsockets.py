"""The two ports of an RTP stream (RFC 3550, 11): the packets, and on the next one word of their end."""

import socket
from collections.abc import Iterator
from select import POLLIN, poll
from typing import NamedTuple

from multicastmw.cli.multicast import Arrival, receive
from multicastmw.cli.rtp import Farewell, NotRtp, Packet

# What we chose.
LINGER = 1.0  # seconds of silence behind the farewell: duplicates and stragglers still count
GLANCE = 0.1  # seconds between two looks at the clock and at signals


class Heard(NamedTuple):
    """One datagram: a packet, the farewell, NotRtp where data is none, None for any other word of control."""

    arrival: Arrival
    message: Packet | Farewell | NotRtp | None


class RtpSockets:
    """Both, joined already; `dropped` counts what the kernel had no room for on the first one."""

    def __init__(self, data: socket.socket, control: socket.socket) -> None:
        self.dropped = 0
        self._data = data
        self._control = control
        self._poll = poll()
        self._poll.register(data, POLLIN)
        self._poll.register(control, POLLIN)

    def waiting(self) -> Iterator[Heard]:
        """All that waits; within GLANCE nothing may."""
        self._poll.poll(GLANCE * 1000)
        while (arrival := receive(self._data)) is not None:
            self.dropped = max(self.dropped, arrival.dropped)
            try:
                yield Heard(arrival, Packet.parse(arrival.data))
            except NotRtp as error:
                yield Heard(arrival, error)
        while (arrival := receive(self._control)) is not None:
            try:
                yield Heard(arrival, Farewell.parse(arrival.data))
            except NotRtp:
                yield Heard(arrival, None)
