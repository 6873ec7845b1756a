"""Never carry yourself: an address that is routed through the own TAP is not dialled.

Endpoints resolve names by themselves and then ask the reactor to connect to a numeric address, so the check
stands in front of that: a reactor that looks at each address first.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.error import ConnectError
from zope.interface import directlyProvides, providedBy

from multicastmw.net.netlink import Netlink

# What we chose: asking takes a millisecond, and 300 peers that are away are dialled 150 times a second.
REMEMBERED = 10.0  # seconds that a good answer holds; a link that stands is not asked for again either
REMEMBERED_MAX = 4_096  # addresses


class RoutedThroughTap(ConnectError):
    """The address lies behind our own TAP: packets to it would be wrapped into packets to it."""


def check(links: Netlink, device: str, address: str) -> None:
    """Raises RoutedThroughTap where packets to the numeric address leave by the device."""
    try:
        ip_address(address.partition("%")[0])
    except ValueError:
        return
    if links.device_towards(address) == device:
        raise RoutedThroughTap(string=f"{address} is routed through {device}, this node's own TAP")


class CheckingReactor:
    """The reactor, but for `connectTCP`, which looks where the address is before it connects."""

    def __init__(self, reactor: Any, examine: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._examine = examine
        self._good_until: dict[str, float] = {}
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def connectTCP(self, host: str, *args: Any, **kwargs: Any) -> Any:
        if self._reactor.seconds() >= self._good_until.get(host, 0):
            self._look(host)
        return self._reactor.connectTCP(host, *args, **kwargs)

    def _look(self, host: str) -> None:
        self._examine(host)
        if len(self._good_until) >= REMEMBERED_MAX:
            self._good_until.clear()
        self._good_until[host] = self._reactor.seconds() + REMEMBERED
