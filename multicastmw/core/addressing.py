"""Overlay addresses: what a channel is called between nodes, and the mappings that translate it.

An overlay address is two 64-bit keys, of the group and of the source; source key 0 means any.  On our
links it is always `Identity`: an IPv4 address is its 32 bits, an IPv6 one a hash.  Overlays with a
smaller address space (multicast in a data centre's switches, a table of n slots) use one of the other two:

    Identity       the address itself (IPv4), or its 64-bit BLAKE2b (IPv6)
    Consecutive    n groups in a row: 0 .. n-1, and no others are carried
    Modulo         A = (A_ip - 0xe0000000) mod n: all groups, of which some may share an A

Only the group goes through the smaller mappings: the source is compared, never used as an index.

::1 and 0.0.0.1 are the same integer, so an address's size does not tell its family.  Whoever read the
packet knows it (EtherType, Packet C-Type) and says so: `ipv4(...)` or `ipv6(...)` for what goes on our
links, the `family` argument for the mappings.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, Protocol

from multicastmw.wire.ipv4 import text

# Specified (DESIGN.md, 4).
ANY = 0
KEYS = 1 << 64

# Chosen.
TEXTS_KEPT = 4096  # of keys, as people read them
REMEMBERED = 4096  # hashes kept, 0.1 µs instead of 1; twice that many addresses in use only cost time


class Channel(NamedTuple):
    """An overlay address: 64-bit group key and source key."""

    group: int
    source: int = ANY


def ipv4_key(address: int) -> int:
    """The 64-bit key of an IPv4 address (32-bit integer): its bits, zero-extended."""
    return address


@lru_cache(REMEMBERED)
def ipv6_key(address: int) -> int:
    """The 64-bit key of an IPv6 address (128-bit integer): BLAKE2b of its 16 bytes, never 0."""
    digest = blake2b(address.to_bytes(16, "big"), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


@lru_cache(TEXTS_KEPT)
def key_text(key: int) -> str:
    """An overlay key as people read it: an IPv4 address, any, or a hash."""
    if key == ANY:
        return "any"
    return text(key) if key < 1 << 32 else f"{key:016x}"


def ipv4(group: int, source: int | None = ANY) -> Channel:
    """The overlay address of an IPv4 channel; source 0 or None: any."""
    return Channel(group, source or ANY)


def ipv6(group: int, source: int | None = ANY) -> Channel:
    """The overlay address of an IPv6 channel; source 0 (::) or None: any."""
    return Channel(ipv6_key(group), ipv6_key(source) if source else ANY)


class Family(NamedTuple):
    """What a mapping has to know of an address family; `distinct`: no two addresses share a key."""

    groups: range
    key: Callable[[int], int]
    distinct: bool

    @property
    def size(self) -> int:
        """How many groups there are (len() ends at 2^63)."""
        return self.groups.stop - self.groups.start


IPV4 = Family(range(0xE0000000, 0xF0000000), ipv4_key, distinct=True)
IPV6 = Family(range(0xFF << 120, 1 << 128), ipv6_key, distinct=False)


class Mapping(Protocol):
    """Groups and sources of one address family to keys of an overlay's address space.

    Where `exact` is false two groups may share a key: a subscriber can then be sent the other's packets,
    and the receiving TAP filters by the inner address.
    """

    @property
    def exact(self) -> bool:
        """Has every group a key of its own?"""

    def __contains__(self, group: object) -> bool:
        """Does the overlay carry this group?  To be asked before `group_key`."""

    def group_key(self, address: int) -> int:
        """The group's key; raises ValueError where the overlay does not carry the group."""

    def source_key(self, address: int | None) -> int:
        """The source's 64-bit key; 0 or None: any."""

    def channel(self, group: int, source: int | None = ANY) -> Channel:
        """Both keys; raises ValueError where the overlay does not carry the group."""


class _OneFamily:
    """What the mappings have in common: sources keep their 64 bits."""

    exact: bool

    def __init__(self, family: Family, carried: range) -> None:
        self.family = family
        self.carried = carried

    def __contains__(self, group: object) -> bool:
        return group in self.carried

    def group_key(self, address: int) -> int:
        raise NotImplementedError

    def source_key(self, address: int | None) -> int:
        return self.family.key(address) if address else ANY

    def channel(self, group: int, source: int | None = ANY) -> Channel:
        return Channel(self.group_key(group), self.source_key(source))

    def _index(self, address: int) -> int:
        if address not in self.carried:
            raise ValueError(f"{type(self).__name__} mapping does not carry the group {address:#x}")
        return address - self.carried.start


class Identity(_OneFamily):
    """The mapping on our links: an IPv4 address as it is, of an IPv6 one a 64-bit hash."""

    def __init__(self, family: Family = IPV4) -> None:
        super().__init__(family, family.groups)
        self.exact = family.distinct

    def group_key(self, address: int) -> int:
        """Any address is taken: what is no group was refused where it was read, and this is per packet."""
        return self.family.key(address)


class Consecutive(_OneFamily):
    """`count` groups in a row, from `base` on, are 0 .. count-1; other groups are not carried."""

    def __init__(self, base: int, count: int, family: Family = IPV4) -> None:
        super().__init__(family, range(base, base + count))
        if not 1 <= count <= KEYS or base not in family.groups or base + count - 1 not in family.groups:
            raise ValueError(f"{count} addresses from {base:#x} on are not all groups")
        self.exact = True

    def group_key(self, address: int) -> int:
        return self._index(address)


class Modulo(_OneFamily):
    """The paper's hash to a space of n addresses: A = (A_ip - first group) mod n."""

    def __init__(self, n: int, family: Family = IPV4) -> None:
        super().__init__(family, family.groups)
        if not 1 <= n <= KEYS:
            raise ValueError(f"an overlay of {n} addresses")
        self.n = n
        self.exact = n >= family.size

    def group_key(self, address: int) -> int:
        return self._index(address) % self.n
