"""Who is one of many from one network, and gives way to others where there is no room for both.

Without TLS one host can be as many nodes as it likes, but it has one address, and its owner rarely has many
networks.  A rule for when links are scarce, and no bound: a campus with public addresses is a network, too.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

# What the specification says (OVERLAY, "Malice"): links that a node has not chosen, from one /24 or IPv6 /48.
OF_ONE_NETWORK = 2
SHIFT_IPV4, SHIFT_IPV6 = 32 - 24, 128 - 48

Guest = TypeVar("Guest")


@lru_cache(maxsize=4_096)
def network_of(address: str) -> tuple[int, int] | None:
    """The network of a global address, as IP version and leading bits.  None where many are neighbours as a
    matter of course: of private, link-local and benchmarking addresses, and of what is none."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    if not found.is_global:
        return None
    return found.version, int(found) >> (SHIFT_IPV4 if found.version == 4 else SHIFT_IPV6)


def crowd(guests: Iterable[Guest], whence: Callable[[Guest], str], newcomer: str) -> list[Guest]:
    """Those from the network that most are from, in their order, where they are more than two; nobody where
    the newcomer is one of so many itself."""
    theirs = network_of(newcomer)
    from_one: dict[tuple[int, int], list[Guest]] = {}
    for guest in guests:
        network = network_of(whence(guest))
        if network is not None:
            from_one.setdefault(network, []).append(guest)
    if theirs is not None and len(from_one.get(theirs, ())) >= OF_ONE_NETWORK:
        return []
    most = max(from_one.values(), key=len, default=[])
    return most if len(most) > OF_ONE_NETWORK else []
