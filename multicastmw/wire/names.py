"""Nodes and what they are called: the objects Node and PEPID, a text's checks, to values and back.

A PEPID behind a Node is that node's name.
"""

from collections.abc import Iterable
from contextlib import suppress
from struct import Struct as Twin

from multicastmw.wire.cops import CNum, pack_object
from multicastmw.wire.mesh import SAMPLES_MAX, Named
from multicastmw.wire.objects import Found, bad, parse

# What we chose.
NAME_MAX = 255  # bytes of a PEPID without its NUL (DESIGN, "The conduct of a link")

NODE_OBJECT_TWIN = Twin("!HBBQ")


def pepid_object(name: str) -> bytes:
    """Raises ValueError for what is no name."""
    if not 0 < len(name.encode()) <= NAME_MAX or "\0" in name:
        raise ValueError(f"{name!r} is no node name of 1 to {NAME_MAX} bytes")
    return pack_object(CNum.PEPID, 1, name.encode() + b"\0")


def pepid_size(name: str) -> int:
    """Of a text with its NUL and the object's header, padded."""
    return 5 + len(name.encode()) + 3 & ~3


def node_object(node: int) -> bytes:
    return NODE_OBJECT_TWIN.pack(NODE_OBJECT_TWIN.size, CNum.NODE, 1, node)


def checked_name(name: str) -> str:
    """Raises PeerError for what is none."""
    return checked(name, "node name", NAME_MAX)


def checked(text: str, what: str, longest: int) -> str:
    """The same of any text that people read."""
    if not 0 < len(text.encode()) <= longest:
        raise bad(f"a {what} of {len(text.encode())} bytes")
    if not text.isprintable():  # it will stand in logs and on terminals
        raise bad(f"a {what} with control characters: {text!a}")
    return text


def name_of(c_num: int, c_type: int, data: memoryview) -> str:
    """A PEPID's name as its declaration reads it, and what is wrong with it is said by that."""
    raw = bytes(data)
    if raw and raw.find(0) == len(raw) - 1:
        with suppress(UnicodeDecodeError):
            return raw[:-1].decode()
    return str(parse(c_num, c_type, data).name)


# --- names of nodes that others may know by their ids alone


def named_objects(names: tuple[Named, ...]) -> bytes:
    if len(names) > SAMPLES_MAX:
        raise ValueError(f"{len(names)} names, and {SAMPLES_MAX} are the most")
    return b"".join(node_object(each.node) + pepid_object(each.name) for each in names)


def named_size(names: Iterable[Named]) -> int:
    return sum(NODE_OBJECT_TWIN.size + pepid_size(each.name) for each in names)


def read_named(found: list[Found]) -> tuple[Named, ...]:
    """Each Node has its PEPID right behind it; raises PeerError where not, or where there are too many."""
    nodes, names = found[::2], found[1::2]
    if len(nodes) != len(names) or len(nodes) > SAMPLES_MAX:
        raise bad(f"{len(nodes)} nodes and {len(names)} names")
    pairs = []
    for (kind, node_type, node), (c_num, c_type, name) in zip(nodes, names, strict=True):
        if (kind, c_num) != (CNum.NODE, CNum.PEPID):
            raise bad("a PEPID that names no node")
        pairs.append(Named(parse(kind, node_type, node).node, checked_name(name_of(c_num, c_type, name))))
    return tuple(pairs)
