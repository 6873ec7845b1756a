"""Does the node hear what programs join, and do this host's programs hear the node's queries?

A firewall that knows no Router Alert option, or drops IGMP, breaks one of the two, and everything looks well:
a join that the node never hears brings nothing, and with queries that are not answered each group ends after
some four minutes.  So this joins a group as any program does.  Then it says on the program's behalf that it
left: the node asks whether anybody is still there (RFC 2236, 3), and the kernel has to answer.
"""

import socket
import struct
from collections.abc import Callable
from contextlib import closing
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Any

from multicastmw.cli.lab.waiting import TimedOut, wait_until
from multicastmw.wire.ipv4 import checksum
from multicastmw.wire.probe import GROUP as RESERVED  # which programs cannot join

Look = Callable[[], dict[str, Any]]

# What the RFCs say.
LEAVE, ALL_ROUTERS = 0x17, "224.0.0.2"
ROUTER_ALERT = bytes((0x94, 4, 0, 0))
LAST_MEMBER = 1.6  # seconds, within which a group that nobody answers for is gone (RFC 2236, 8.8 and 8.9)

# What we chose.
GROUP = IPv4Address("239.255.77.67")  # of this organisation alone (RFC 2365), "MC"; or one of the next ...
GROUPS = 16  # ... where somebody is, or just was, a member of it
PATIENCE = 2.0  # seconds; a join is heard within some milliseconds
LEAVES = 3  # for a program's kernel says its join once more within a second, asked or not (RFC 3376, 8.11)


class Heard(StrEnum):
    """What came of it."""

    BOTH = "both"
    JOIN = "join"  # whether queries are answered was not tried: it takes root
    NO_ANSWER = "no answer"
    NOTHING = "nothing"
    NOT_TRIED = "not tried"


def probe(device: str, look: Look) -> Heard:
    """Asks as above on this interface; `look` gives the node's status.  Takes some five seconds."""
    group = _free(look())
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as program:
        try:
            index = socket.if_nametoindex(device)
            request = struct.pack("=4s4si", group.packed, bytes(4), index)
            program.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        except OSError:
            return Heard.NOT_TRIED
        try:
            wait_until(lambda: _is_known(look(), group), PATIENCE, "the node's word of the group")
        except TimedOut:
            return Heard.NOTHING
        for _ in range(LEAVES):
            try:
                _leave(index, group)
            except PermissionError:
                return Heard.JOIN
            try:
                wait_until(lambda: not _is_known(look(), group), LAST_MEMBER, "the group's end")
            except TimedOut:
                continue
            return Heard.NO_ANSWER
        return Heard.BOTH


def _free(status: dict[str, Any]) -> IPv4Address:
    """One that the node has not heard of: of another it could not be told when it hears of it."""
    groups = [GROUP + number for number in range(GROUPS) if int(GROUP + number) != RESERVED]
    return next((group for group in groups if not _is_known(status, group)), GROUP)


def _is_known(status: dict[str, Any], group: IPv4Address) -> bool:
    """Also where [groups] denies it: the node has heard of it."""
    return any(known["group"] == str(group) and known["version"] for known in status["groups"])


def _leave(index: int, group: IPv4Address) -> None:
    """Raises PermissionError without CAP_NET_RAW."""
    message = struct.pack("!BBH4s", LEAVE, 0, 0, group.packed)
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    with closing(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)) as raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, ROUTER_ALERT)
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        way = struct.pack("=4s4si", bytes(4), bytes(4), index)
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, way)
        raw.sendto(message, (ALL_ROUTERS, 0))
