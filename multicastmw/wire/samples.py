"""Where nodes are and what they can do: the objects Address, Sample and Capabilities, to values and back.

A Sample of one IPv4 address takes 24 bytes.  Its twin is what runs, as one message brings up to 64 of them.
"""

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from struct import Struct as Twin
from typing import Any

from multicastmw.wire.cops import OBJECT_TWIN, CNum, pack_object
from multicastmw.wire.mesh import NOWHERE, SAMPLE_ADDRESSES_MAX, Address, Capabilities, Place, Role, Sample
from multicastmw.wire.objects import IN_IPV4, IN_IPV6, PLACED, WITHOUT_PLACE, bad, build, declared, misfit

SAMPLE_TWIN, PLACED_TWIN = Twin("!QBBH"), Twin("!QBBHhhHB")
IN_SAMPLE = {IN_IPV4: Twin("!x4sH"), IN_IPV6: Twin("!x16sH")}
FAMILIES = {IN_IPV4: AF_INET, IN_IPV6: AF_INET6}
ADDRESS_SIZE, ADDRESS_IPV6_SIZE = 12, 24  # of the objects, padded

ROLES = frozenset(Role)
TOO_MANY = f"a sample of more than {SAMPLE_ADDRESSES_MAX} addresses"
BROADCAST = b"\xff" * 4
NO_IPV6_HOST = (bytes(16), bytes(10) + b"\xff\xff")  # unspecified; IPv4 in disguise


def read_address(kind: int, packed: bytes, port: int) -> Address:
    """Raises PeerError where nobody can be dialled there."""
    if flaw := _flaw(kind, packed, port):
        raise bad(flaw)
    return Address(inet_ntop(FAMILIES[kind], packed), port)


def address_object(address: Address) -> bytes:
    """Raises ValueError where nobody can be dialled there."""
    kind, packed = _packed(address)
    return build(CNum.ADDRESS, kind, host=packed, port=address.port)


def address_size(address: Address) -> int:
    return ADDRESS_IPV6_SIZE if ":" in address.host else ADDRESS_SIZE


def read_sample(kind: int, data: memoryview) -> Sample:
    """The twin of SAMPLE and SAMPLE_AND_PLACE."""
    head = PLACED_TWIN if kind == PLACED else SAMPLE_TWIN
    at, size = head.size, len(data)
    if size < at:
        raise misfit(CNum.SAMPLE, kind, data)
    node, flags, capacity, age, *place = head.unpack_from(data)
    addresses = []
    while at < size:
        twin = IN_SAMPLE.get(data[at])
        if twin is None or at + twin.size > size:
            raise misfit(CNum.SAMPLE, kind, data)
        addresses.append(read_address(data[at], *twin.unpack_from(data, at)))
        at += twin.size
        if len(addresses) > SAMPLE_ADDRESSES_MAX:
            raise bad(TOO_MANY)
    return Sample(node, tuple(addresses), flags, capacity, age, Place._make(place) if place else NOWHERE)


def declared_sample(kind: int, data: memoryview) -> Sample:
    """The same as it is declared."""
    found = declared(CNum.SAMPLE, kind, data)
    addresses = tuple(read_address(each.type, each.host, each.port) for each in found.addresses)
    if len(addresses) > SAMPLE_ADDRESSES_MAX:
        raise bad(TOO_MANY)
    place = Place(found.x, found.y, found.height, found.error) if kind == PLACED else NOWHERE
    return Sample(found.node, addresses, found.flags, found.capacity, found.age, place)


def sample_object(sample: Sample) -> bytes:
    """Raises ValueError or struct.error for what does not fit."""
    if len(sample.addresses) > SAMPLE_ADDRESSES_MAX:
        raise ValueError(TOO_MANY)
    kind, head = WITHOUT_PLACE, (sample.node, sample.flags, sample.capacity, sample.age)
    if sample.place == NOWHERE:
        data = SAMPLE_TWIN.pack(*head)
    else:
        kind, data = PLACED, PLACED_TWIN.pack(*head, *sample.place)
    for address in sample.addresses:
        family, packed = _packed(address)
        data += bytes((family,)) + packed + address.port.to_bytes(2, "big")
    return pack_object(CNum.SAMPLE, kind, data)


def sample_size(sample: Sample) -> int:
    head = SAMPLE_TWIN if sample.place == NOWHERE else PLACED_TWIN
    size = OBJECT_TWIN.size + head.size
    for host, _ in sample.addresses:
        size += 19 if ":" in host else 7
    return size + 3 & ~3


def read_capabilities(c_type: int, found: Any) -> Capabilities:
    """Of the object as it is declared."""
    if found.role not in ROLES:
        raise bad(f"a node with role {found.role}")
    place = Place(found.x, found.y, found.height, found.error) if c_type == PLACED else NOWHERE
    return Capabilities(found.uplink, found.children, found.role, found.flags, place)


def capabilities_object(capabilities: Capabilities) -> bytes:
    if capabilities.role not in ROLES:
        raise ValueError(f"{capabilities.role} is no role")
    fields = capabilities._asdict()
    place = fields.pop("place")
    if place == NOWHERE:
        return build(CNum.CAPABILITIES, WITHOUT_PLACE, **fields)
    return build(CNum.CAPABILITIES, PLACED, **fields, **place._asdict(), reserved=0)


def capabilities_size(capabilities: Capabilities) -> int:
    return 12 if capabilities.place == NOWHERE else 20


def _packed(address: Address) -> tuple[int, bytes]:
    """C-Type and bytes of an address that can be dialled."""
    kind = IN_IPV6 if ":" in address.host else IN_IPV4
    try:
        packed = inet_pton(FAMILIES[kind], address.host)
    except OSError:
        raise ValueError(f"{address.host!r} is no numeric address") from None
    if flaw := _flaw(kind, packed, address.port):
        raise ValueError(flaw)
    if address.port >> 16:
        raise ValueError(f"{address.port} is no port")
    return kind, packed


def _flaw(kind: int, packed: bytes, port: int) -> str:
    if not port:
        return "an address with port 0"
    first = packed[0]
    if kind == IN_IPV4:
        one_host = 0 < first < 224 or (first >= 240 and packed != BROADCAST)
    else:
        one_host = first != 0xFF and not packed.startswith(NO_IPV6_HOST)
    return "" if one_host else f"an address that is no host's: {inet_ntop(FAMILIES[kind], packed)}"
