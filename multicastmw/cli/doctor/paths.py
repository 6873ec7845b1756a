"""Is there a way to a peer on which long packets vanish?

A tunnel or a DSL line takes less than an Ethernet does.  Where nobody says so, or a firewall drops the word
of it (ICMP), what is longer is lost without a sign: the link is up, probes and joins pass, and films do not.
So this sends echo requests of several lengths, not to be cut on the way, and looks which are answered.  A
host that answers none shows nothing, nor does a way of which the kernel was told: long packets go otherwise.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress

from multicastmw.cli.lab.waiting import TimedOut, wait_until
from multicastmw.wire.ipv4 import checksum

# What the RFCs and the kernel say.
ECHO, ECHO_REPLY = 8, 0
IP_HEADER, ICMP_HEADER = 20, struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2  # linux/in.h: do not cut

# What we chose.
LENGTHS = 1492, 1480, 1460, 1440, 1420, 1400, 1380, 1340, 1280, 1000, 700  # of IP packets, as tunnels have
SHORT = 100  # passes everywhere
ROUNDS, ROUND = 4, 0.5  # seconds
PEERS_MAX = 16


class Paths:
    """Echo requests to these addresses, and what is answered; raises OSError where this user may not ask."""

    def __init__(self, addresses: Iterable[str], length: int) -> None:
        self.lengths = (length, *(each for each in LENGTHS if each < length), SHORT)
        self._answered: dict[str, set[int]] = {address: set() for address in addresses}
        self._identifier = os.getpid() & 0xFFFF
        self._icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._icmp.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)

    def close(self) -> None:
        self._icmp.close()

    def ask(self) -> None:
        """Those that the longest has not come back from yet."""
        for address in list(self._left()):
            for number, length in enumerate(self.lengths):
                try:
                    self._icmp.sendto(echo(ECHO, self._identifier, number, length), (address, 0))
                except OSError as error:
                    if error.errno == errno.EMSGSIZE and not number:
                        del self._answered[address]  # the kernel knows
                    break

    def listen(self) -> bool:
        """Takes what has come; True where nothing is waited for any more."""
        with suppress(BlockingIOError):
            while True:
                packet, (address, _) = self._icmp.recvfrom(65_535, socket.MSG_DONTWAIT)
                number = answered(packet, self._identifier)
                if number is not None and address in self._answered:
                    self._answered[address].add(number)
        return not any(self._left())

    def _left(self) -> Iterator[str]:
        return (address for address, numbers in self._answered.items() if 0 not in numbers)

    def found(self) -> dict[str, int]:
        """By address, the longest that was answered, where longer ones were not."""
        heard = {address: min(numbers) for address, numbers in self._answered.items() if numbers}
        return {address: self.lengths[number] for address, number in heard.items() if number}


def swallowed(addresses: Iterable[str], length: int) -> dict[str, int]:
    """The longest IP packet that comes through to each of these, where it is less than `length`."""
    try:
        paths = Paths(list(dict.fromkeys(addresses))[:PEERS_MAX], length)
    except OSError:
        return {}
    with closing(paths):
        for _ in range(ROUNDS):
            paths.ask()
            with suppress(TimedOut):
                wait_until(paths.listen, ROUND, "the answers")
    return paths.found()


def echo(kind: int, identifier: int, number: int, length: int) -> bytes:
    """A message of ICMP that makes an IP packet of that length."""
    data = bytes(length - IP_HEADER - ICMP_HEADER.size)
    check = checksum(ICMP_HEADER.pack(kind, 0, 0, identifier, number) + data)
    return ICMP_HEADER.pack(kind, 0, check, identifier, number) + data


def answered(packet: bytes, identifier: int) -> int | None:
    """Which of our requests this IP packet is the answer to."""
    start = 4 * (packet[0] & 15) if packet else 0
    if len(packet) < start + ICMP_HEADER.size:
        return None
    kind, _, _, whose, number = ICMP_HEADER.unpack_from(packet, start)
    return int(number) if (kind, whose) == (ECHO_REPLY, identifier) else None
