"""The messages of a link, but for IP Data (see data.py): bytes to values and back.

Every object's data is declared here with construct.  An object stands in its message in the order in
which the message's class names it; what is unknown is skipped and counted.
"""

import struct
from collections.abc import Callable
from contextlib import suppress
from struct import Struct as Twin
from typing import Any, NamedTuple

from construct import Bytes, ConstructError, CString, Int16ub, Int64ub, Struct, Terminated

from multicastmw.wire import cops
from multicastmw.wire.cops import CNum, Code, Op
from multicastmw.wire.errors import PeerError

# What the specification says (DESIGN, "The wire"): the data of each object, by (C-Num, C-Type).
#
#   Error             | code (16)      | sub-code (16) |
#   Keep Alive Timer  | reserved (16)  | seconds (16)  |
#   PEPID             | node name, UTF-8, NUL-terminated |
#   Node              | node id (64) |
#   Data Port         | UDP port (16)  | reserved (16) | link token (64) |
#   Group 1           | group key (64) | source key (64) |
#   Group 2           | group key (64) | source key (64) | IPv6 group (128) | IPv6 source (128) |
#   Token             | link token (64) |
#   Echo              | sender's clock (64) |
#   Reason            | what people are to know, UTF-8, NUL-terminated |
ERROR = Struct("code" / Int16ub, "sub_code" / Int16ub, Terminated)
KEEP_ALIVE_TIMER = Struct("reserved" / Int16ub, "seconds" / Int16ub, Terminated)
PEPID = Struct("name" / CString("utf8"), Terminated)
NODE = Struct("node" / Int64ub, Terminated)
DATA_PORT = Struct("port" / Int16ub, "reserved" / Int16ub, "token" / Int64ub, Terminated)
GROUP = Struct("group" / Int64ub, "source" / Int64ub, Terminated)
GROUP_IPV6 = Struct(
    "group" / Int64ub, "source" / Int64ub, "group6" / Bytes(16), "source6" / Bytes(16), Terminated
)
TOKEN = Struct("token" / Int64ub, Terminated)
ECHO = Struct("clock" / Int64ub, Terminated)
REASON = Struct("text" / CString("utf8"), Terminated)

ECHO_REQUEST, ECHO_REPLY = 1, 2
GROUP_TWIN = Twin("!QQ")
GROUP_OBJECT_TWIN = Twin("!HBBQQ")  # with its header: thousands of them make a resync
NODE_TWIN = Twin("!Q")
NODE_OBJECT_TWIN = Twin("!HBBQ")
ECHOING_TWIN = Twin("!HBBQHBBQ")  # a probe behind its header
PROBE_TWIN = Twin("!8xHBBQHBBQ")
PROBE_SHAPE = (12, CNum.TOKEN, 1, 12, CNum.ECHO)

# What we chose.
NAME_MAX = 255  # bytes of a PEPID without its NUL (DESIGN, "The conduct of a link")
REASON_MAX = 511  # bytes of a Reason without its NUL: a name, two addresses and some words


class DataPort(NamedTuple):
    """Where the sender takes datagrams, and the token that they must carry."""

    port: int
    token: int


class Open(NamedTuple):
    """The first message of both sides; `keep_alive` in seconds is its sender's own patience."""

    name: str
    node: int
    keep_alive: int
    data_port: DataPort | None = None


class Close(NamedTuple):
    """The last message, and why; `node` is the name of the node that the error is about.

    `reason` is for people, where the codes do not say enough.
    """

    code: int
    sub_code: int = 0
    node: str | None = None
    reason: str | None = None


class Echo(NamedTuple):
    """A probe of the data path: kind ECHO_REQUEST or ECHO_REPLY, and the prober's clock."""

    kind: int
    clock: int


class KeepAlive(NamedTuple):
    """A sign of life on TCP; with a token and an echo, a probe of the data path on UDP."""

    token: int | None = None
    echo: Echo | None = None


class Group(NamedTuple):
    """A channel's overlay address; `ipv6` is group and source (16 bytes each) that it stands for, or None."""

    group: int
    source: int
    ipv6: tuple[bytes, bytes] | None = None


class Node(NamedTuple):
    """A reachable node; its name where the sender knows it."""

    node: int
    name: str | None = None


class AddRoute(NamedTuple):
    """What the sender's side wants, and whom it reaches."""

    entries: tuple[Group | Node, ...]


class RemoveRoute(NamedTuple):
    """What the sender's side no longer wants or reaches."""

    entries: tuple[Group | Node, ...]


class Unknown(NamedTuple):
    """A message of an op code that this version does not know."""

    op_code: int


Message = Open | Close | KeepAlive | AddRoute | RemoveRoute | Unknown


class Decoded(NamedTuple):
    """A message, and how many unknown objects were skipped in it."""

    message: Message
    skipped: int = 0


# --- values to bytes


def encode(message: Open | Close | KeepAlive | AddRoute | RemoveRoute) -> bytes:
    """The message's bytes; raises ValueError for a value that does not fit its field."""
    try:
        match message:
            case Open():
                return cops.frame(Op.OPEN, _open_objects(message))
            case Close():
                return cops.frame(Op.CLOSE, _close_objects(message))
            case KeepAlive():
                return cops.frame(Op.KEEP_ALIVE, _keep_alive_objects(message))
            case AddRoute():
                return cops.frame(Op.ADD_ROUTE, b"".join(map(_entry, message.entries)))
            case RemoveRoute():
                return cops.frame(Op.REMOVE_ROUTE, b"".join(map(_entry, message.entries)))
    except (ConstructError, struct.error) as error:
        raise ValueError(f"{message!r} does not fit the wire: {error}") from error


def encode_routes(kind: type[AddRoute] | type[RemoveRoute], entries: list[Group | Node]) -> list[bytes]:
    """As many messages as the entries need, none longer than a peer takes."""
    messages: list[bytes] = []
    part: list[bytes] = []
    size = cops.HEADER_TWIN.size
    op = Op.ADD_ROUTE if kind is AddRoute else Op.REMOVE_ROUTE
    for entry in map(_entry, entries):
        if size + len(entry) > cops.MESSAGE_MAX:
            messages.append(cops.frame(op, b"".join(part)))
            part, size = [], cops.HEADER_TWIN.size
        part.append(entry)
        size += len(entry)
    if part:
        messages.append(cops.frame(op, b"".join(part)))
    return messages


def _object(c_num: int, c_type: int, declared: Any, value: dict[str, Any]) -> bytes:
    return cops.pack_object(c_num, c_type, declared.build(value))


def _open_objects(message: Open) -> bytes:
    timer = {"reserved": 0, "seconds": message.keep_alive}
    packed = (
        _pepid(message.name)
        + _node(message.node)
        + _object(CNum.KEEP_ALIVE_TIMER, 1, KEEP_ALIVE_TIMER, timer)
    )
    if message.data_port:
        packed += _object(CNum.DATA_PORT, 1, DATA_PORT, {"reserved": 0, **message.data_port._asdict()})
    return packed


def _close_objects(message: Close) -> bytes:
    error = {"code": message.code, "sub_code": message.sub_code}
    packed = _object(CNum.ERROR, 1, ERROR, error)
    if message.node is not None:
        packed += _pepid(message.node)
    if message.reason is not None:
        if not 0 < len(message.reason.encode()) <= REASON_MAX or "\0" in message.reason:
            raise ValueError(f"{message.reason!r} is no reason of 1 to {REASON_MAX} bytes")
        packed += _object(CNum.REASON, 1, REASON, {"text": message.reason})
    return packed


def _keep_alive_objects(message: KeepAlive) -> bytes:
    packed = b""
    if message.token is not None and message.echo is not None:
        kind, clock = message.echo
        return ECHOING_TWIN.pack(12, CNum.TOKEN, 1, message.token, 12, CNum.ECHO, kind, clock)
    if message.token is not None:
        packed += _object(CNum.TOKEN, 1, TOKEN, {"token": message.token})
    if message.echo is not None:
        packed += _object(CNum.ECHO, message.echo.kind, ECHO, {"clock": message.echo.clock})
    return packed


def _pepid(name: str) -> bytes:
    if not 0 < len(name.encode()) <= NAME_MAX or "\0" in name:
        raise ValueError(f"{name!r} is no node name of 1 to {NAME_MAX} bytes")
    return cops.pack_object(CNum.PEPID, 1, name.encode() + b"\0")


def _node(node: int) -> bytes:
    return NODE_OBJECT_TWIN.pack(NODE_OBJECT_TWIN.size, CNum.NODE, 1, node)


def _entry(entry: Group | Node) -> bytes:
    if isinstance(entry, Node):
        return _node(entry.node) + (_pepid(entry.name) if entry.name is not None else b"")
    if entry.ipv6 is None:
        return GROUP_OBJECT_TWIN.pack(GROUP_OBJECT_TWIN.size, CNum.GROUP, 1, entry.group, entry.source)
    group6, source6 = entry.ipv6
    value = {"group": entry.group, "source": entry.source, "group6": group6, "source6": source6}
    return _object(CNum.GROUP, 2, GROUP_IPV6, value)


# --- bytes to values


def decode(message: memoryview | bytes) -> Decoded:
    """One whole message, its length checked by the framer; raises PeerError with the answer that is owed."""
    message = memoryview(message)
    op = cops.op_code(message)
    reader = _READERS.get(op)
    return reader(message) if reader else Decoded(Unknown(op))


def _read_open(message: memoryview) -> Decoded:
    found, skipped = _singles(message, (CNum.PEPID, CNum.NODE, CNum.KEEP_ALIVE_TIMER, CNum.DATA_PORT))
    name, node, timer = (_required(found, c) for c in (CNum.PEPID, CNum.NODE, CNum.KEEP_ALIVE_TIMER))
    if timer.seconds == 0 or timer.seconds > 3600:
        raise PeerError(Code.BAD_FORMAT, 0, f"a keep-alive timer of {timer.seconds} s")
    port = found.get(CNum.DATA_PORT)
    if port and not (port[1].port and port[1].token):
        raise PeerError(Code.BAD_FORMAT, 0, "a data port without port or token")
    data_port = DataPort(port[1].port, port[1].token) if port else None
    return Decoded(Open(_checked_name(name.name), node.node, timer.seconds, data_port), skipped)


def _read_close(message: memoryview) -> Decoded:
    found, skipped = _singles(message, (CNum.ERROR, CNum.PEPID, CNum.REASON))
    error, pepid = _required(found, CNum.ERROR), found.get(CNum.PEPID)
    node = _checked_name(pepid[1].name) if pepid else None
    reason = _checked(found[CNum.REASON][1].text, "reason", REASON_MAX) if CNum.REASON in found else None
    return Decoded(Close(error.code, error.sub_code, node, reason), skipped)


def _read_keep_alive(message: memoryview) -> Decoded:
    """The two shapes that nodes send are known at a glance: of 300 links there are hundreds a second."""
    if len(message) == cops.HEADER_TWIN.size:
        return BARE
    if len(message) == PROBE_TWIN.size:
        *shape, token, echo_header, echo_c_num, kind, clock = PROBE_TWIN.unpack(message)
        if (*shape, echo_header, echo_c_num) == PROBE_SHAPE and kind in (ECHO_REQUEST, ECHO_REPLY):
            return Decoded(KeepAlive(token, Echo(kind, clock)))
    found, skipped = _singles(message, (CNum.TOKEN, CNum.ECHO))
    token, echo = found.get(CNum.TOKEN), found.get(CNum.ECHO)
    return Decoded(
        KeepAlive(token[1].token if token else None, Echo(echo[0], echo[1].clock) if echo else None), skipped
    )


def _read_add(message: memoryview) -> Decoded:
    entries, skipped = _entries(message)
    return Decoded(AddRoute(entries), skipped)


def _read_remove(message: memoryview) -> Decoded:
    entries, skipped = _entries(message)
    return Decoded(RemoveRoute(entries), skipped)


BARE = Decoded(KeepAlive())

_READERS: dict[int, Callable[[memoryview], Decoded]] = {
    Op.OPEN: _read_open,
    Op.CLOSE: _read_close,
    Op.KEEP_ALIVE: _read_keep_alive,
    Op.ADD_ROUTE: _read_add,
    Op.REMOVE_ROUTE: _read_remove,
}

_DECLARED: dict[tuple[int, int], Any] = {
    (CNum.ERROR, 1): ERROR,
    (CNum.KEEP_ALIVE_TIMER, 1): KEEP_ALIVE_TIMER,
    (CNum.PEPID, 1): PEPID,
    (CNum.NODE, 1): NODE,
    (CNum.DATA_PORT, 1): DATA_PORT,
    (CNum.GROUP, 1): GROUP,
    (CNum.GROUP, 2): GROUP_IPV6,
    (CNum.TOKEN, 1): TOKEN,
    (CNum.ECHO, ECHO_REQUEST): ECHO,
    (CNum.ECHO, ECHO_REPLY): ECHO,
    (CNum.REASON, 1): REASON,
}


def _parse(c_num: int, c_type: int, data: memoryview) -> Any:
    """An object's data as its declaration reads it."""
    try:
        return _DECLARED[c_num, c_type].parse(data)
    except (ConstructError, UnicodeDecodeError) as error:
        raise PeerError(
            Code.BAD_FORMAT, 0, f"object {c_num} of type {c_type} does not fit: {len(data)} bytes"
        ) from error


def _singles(message: memoryview, order: tuple[CNum, ...]) -> tuple[dict[int, tuple[int, Any]], int]:
    """Objects that stand at most once, by C-Num with their C-Type; those not in `order` are counted."""
    found: dict[int, tuple[int, Any]] = {}
    skipped = position = 0
    for c_num, c_type, data in cops.objects(message):
        if c_num not in order or (c_num, c_type) not in _DECLARED:
            skipped += 1
            continue
        place = order.index(CNum(c_num)) + 1
        if place <= position:
            raise PeerError(Code.BAD_FORMAT, 0, f"object {c_num} is out of its order")
        position = place
        found[c_num] = c_type, _parse(c_num, c_type, data)
    return found, skipped


def _required(found: dict[int, tuple[int, Any]], c_num: CNum) -> Any:
    if c_num not in found:
        raise PeerError(Code.OBJECT_MISSING, 0, f"no {c_num.name} object")
    return found[c_num][1]


def _checked_name(name: str) -> str:
    return _checked(name, "node name", NAME_MAX)


def _checked(text: str, what: str, longest: int) -> str:
    if not 0 < len(text.encode()) <= longest:
        raise PeerError(Code.BAD_FORMAT, 0, f"a {what} of {len(text.encode())} bytes")
    if not text.isprintable():  # it will stand in logs and on terminals
        raise PeerError(Code.BAD_FORMAT, 0, f"a {what} with control characters: {text!a}")
    return text


def _name(c_num: int, c_type: int, data: memoryview) -> str:
    """A PEPID's name as its declaration reads it, and what is wrong with it is said by that."""
    raw = bytes(data)
    if raw and raw.find(0) == len(raw) - 1:
        with suppress(UnicodeDecodeError):
            return raw[:-1].decode()
    return str(_parse(c_num, c_type, data).name)


def _entries(message: memoryview) -> tuple[tuple[Group | Node, ...], int]:
    """Groups and nodes in the order in which they stand; a PEPID names the node right before it."""
    entries: list[Group | Node] = []
    skipped = 0
    for c_num, c_type, data in cops.objects(message):
        if c_num == CNum.GROUP and c_type == 1 and len(data) == GROUP_TWIN.size:
            entries.append(Group(*GROUP_TWIN.unpack(data)))
        elif c_num == CNum.PEPID and c_type == 1:
            node = entries.pop() if entries else None
            if not isinstance(node, Node) or node.name is not None:
                raise PeerError(Code.BAD_FORMAT, 0, "a PEPID that names no node")
            entries.append(Node(node.node, _checked_name(_name(c_num, c_type, data))))
        elif c_num == CNum.NODE and c_type == 1:
            known = len(data) == NODE_TWIN.size
            entries.append(Node(*NODE_TWIN.unpack(data)) if known else Node(_parse(c_num, c_type, data).node))
        elif c_num == CNum.GROUP and c_type in (1, 2):
            group = _parse(c_num, c_type, data)
            entries.append(Group(group.group, group.source, (group.group6, group.source6)))
        else:
            skipped += 1
    if not entries and not skipped:
        raise PeerError(Code.OBJECT_MISSING, 0, "a route message without a route")
    return tuple(entries), skipped
