"""The messages of a link, but for IP Data (see data.py): bytes to values and back, and how long they are.

What the mesh says is in announcements.py (Have, Nack) and membership.py, its values in mesh.py.
"""

import struct
from collections.abc import Callable
from struct import Struct as Twin
from typing import Any, NamedTuple

from construct import ConstructError

from multicastmw.wire import announcements, cops, membership, shared
from multicastmw.wire.announcements import load_object, load_size, read_load
from multicastmw.wire.cops import CNum, Code, Op
from multicastmw.wire.errors import PeerError
from multicastmw.wire.membership import group_object
from multicastmw.wire.mesh import (
    OPEN_ADDRESSES_MAX,
    Address,
    Capabilities,
    Find,
    Graft,
    Have,
    Load,
    MeshMessage,
    Nack,
    Peers,
    Prune,
    Register,
    Registered,
)
from multicastmw.wire.names import checked, checked_name, name_of, node_object, pepid_object, pepid_size
from multicastmw.wire.objects import Placed, bad, build, known, optional, parse, placed, required
from multicastmw.wire.parity import Parity, parity_objects, parity_size, read_parity
from multicastmw.wire.samples import (
    address_object,
    address_size,
    capabilities_object,
    capabilities_size,
    read_address,
    read_capabilities,
)

ECHO_REQUEST, ECHO_REPLY = 1, 2
GROUP_TWIN = Twin("!QQ")
NODE_TWIN = Twin("!Q")
ECHOING_TWIN = Twin("!HBBQHBBQ")  # a probe behind its header
PROBE_TWIN = Twin("!8xHBBQHBBQ")
PROBE_SHAPE = (12, CNum.TOKEN, 1, 12, CNum.ECHO)
TOKEN_OBJECT_TWIN = Twin("!HBBQ")

OPEN = (
    CNum.PEPID, CNum.NODE, CNum.KEEP_ALIVE_TIMER, CNum.DATA_PORT, CNum.CAPABILITIES, CNum.ADDRESS,
    CNum.RECOVERY, CNum.CORRECTION,
)  # fmt: skip
CLOSE = (CNum.ERROR, CNum.PEPID, CNum.REASON)
KEEP_ALIVE = (CNum.TOKEN, CNum.ECHO, CNum.LOAD, CNum.TALLY, CNum.CORRECTION)
IN_DATAGRAMS = frozenset((Op.HAVE, Op.NACK, Op.ADD_ROUTE, Op.REMOVE_ROUTE, Op.PARITY, Op.REGISTERED))

# What we chose.
REASON_MAX = 511  # bytes of a Reason without its NUL: a name, two addresses and some words


class DataPort(NamedTuple):
    """Where the sender takes datagrams, and the token that they must carry."""

    port: int
    token: int


class Open(NamedTuple):
    """The first message of both sides; `keep_alive` in seconds is its sender's own patience.

    Who has no `capabilities` is a static node and speaks nothing of the mesh; `addresses` are those where it
    believes that it can be dialled.  `recovery`: it keeps what it sends for so many ms, and sends it again to
    who asks with a Nack; 0: it does not.  `correction`: it rebuilds lost packets from the parity of blocks of
    so many; 0: it does not.
    """

    name: str
    node: int
    keep_alive: int
    data_port: DataPort | None = None
    capabilities: Capabilities | None = None
    addresses: tuple[Address, ...] = ()
    recovery: int = 0
    correction: int = 0


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


class Tally(NamedTuple):
    """IP Data of a link in datagrams, counted by both its ends, modulo 2^32: so many the prober had sent when
    the probe went out, and so many had come when the reply did, which repeats the first.  Of blocks that had
    too little parity, `short` packets stayed lost, as far as the link goes."""

    sent: int
    received: int = 0
    short: int = 0


class KeepAlive(NamedTuple):
    """A sign of life on TCP; with a token and an echo, a probe of the data path on UDP.

    `load` is what a node of the mesh says of itself with either, `tally` goes with a probe where losses are
    corrected.  `correction`: what the sender's Open said of it, or left out, is no longer so; 0: it rebuilds
    nothing any more.
    """

    token: int | None = None
    echo: Echo | None = None
    load: Load | None = None
    tally: Tally | None = None
    correction: int | None = None


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


Said = Open | Close | KeepAlive | AddRoute | RemoveRoute | MeshMessage | Parity
Message = Said | Unknown


class Decoded(NamedTuple):
    """A message, and how many unknown objects were skipped in it."""

    message: Message
    skipped: int = 0


# --- values to bytes


def encode(message: Said, token: int | None = None) -> bytes:
    """The message's bytes; raises ValueError for a value that does not fit its field or its bound.

    With the receiver's `token` it may go in a datagram: Have, Nack, Graft, Prune, Parity, Register(ed).
    """
    if isinstance(message, Register):
        return shared.register(message, token or 0)
    op, pack = _WRITERS[type(message)]
    try:
        objects = pack(message)
        if token is not None:
            if op not in IN_DATAGRAMS or isinstance(message, AddRoute | RemoveRoute):
                raise ValueError(f"{type(message).__name__} does not go in a datagram")
            objects = TOKEN_OBJECT_TWIN.pack(TOKEN_OBJECT_TWIN.size, CNum.TOKEN, 1, token) + objects
    except (ConstructError, struct.error) as error:
        raise ValueError(f"{message!r} does not fit the wire: {error}") from error
    return cops.frame(op, objects)


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


def _open_objects(message: Open) -> bytes:
    packed = (
        pepid_object(message.name)
        + node_object(message.node)
        + build(CNum.KEEP_ALIVE_TIMER, 1, reserved=0, seconds=message.keep_alive)
    )
    if message.data_port:
        packed += build(CNum.DATA_PORT, 1, reserved=0, **message.data_port._asdict())
    if message.capabilities:
        packed += capabilities_object(message.capabilities)
    if len(message.addresses) > OPEN_ADDRESSES_MAX:
        raise ValueError(f"{len(message.addresses)} addresses, and {OPEN_ADDRESSES_MAX} are the most")
    packed += b"".join(map(address_object, message.addresses))
    if message.recovery:
        packed += build(CNum.RECOVERY, 1, reserved=0, kept=message.recovery)
    if message.correction:
        packed += build(CNum.CORRECTION, 1, reserved=0, packets=message.correction)
    return packed


def _close_objects(message: Close) -> bytes:
    packed = build(CNum.ERROR, 1, code=message.code, sub_code=message.sub_code)
    if message.node is not None:
        packed += pepid_object(message.node)
    if message.reason is not None:
        if not 0 < len(message.reason.encode()) <= REASON_MAX or "\0" in message.reason:
            raise ValueError(f"{message.reason!r} is no reason of 1 to {REASON_MAX} bytes")
        packed += build(CNum.REASON, 1, text=message.reason)
    return packed


def _keep_alive_objects(message: KeepAlive) -> bytes:
    packed = b""
    if message.token is not None and message.echo is not None:
        kind, clock = message.echo
        packed = ECHOING_TWIN.pack(12, CNum.TOKEN, 1, message.token, 12, CNum.ECHO, kind, clock)
    elif message.token is not None:
        packed = build(CNum.TOKEN, 1, token=message.token)
    elif message.echo is not None:
        packed = build(CNum.ECHO, message.echo.kind, clock=message.echo.clock)
    if message.load is not None:
        packed += load_object(message.load)
    if message.tally:
        packed += build(CNum.TALLY, 1, **message.tally._asdict())
    if message.correction is not None:
        packed += build(CNum.CORRECTION, 1, reserved=0, packets=message.correction)
    return packed


def _route_objects(message: AddRoute | RemoveRoute) -> bytes:
    return b"".join(map(_entry, message.entries))


def _entry(entry: Group | Node) -> bytes:
    if isinstance(entry, Node):
        return node_object(entry.node) + (pepid_object(entry.name) if entry.name is not None else b"")
    if entry.ipv6 is None:
        return group_object(entry.group, entry.source)
    group6, source6 = entry.ipv6
    return build(CNum.GROUP, 2, group=entry.group, source=entry.source, group6=group6, source6=source6)


_WRITERS: dict[type, tuple[Op, Callable[[Any], bytes]]] = {
    Open: (Op.OPEN, _open_objects),
    Close: (Op.CLOSE, _close_objects),
    KeepAlive: (Op.KEEP_ALIVE, _keep_alive_objects),
    AddRoute: (Op.ADD_ROUTE, _route_objects),
    RemoveRoute: (Op.REMOVE_ROUTE, _route_objects),
    Have: (Op.HAVE, announcements.have_objects),
    Nack: (Op.NACK, announcements.nack_objects),
    Graft: (Op.ADD_ROUTE, membership.graft_objects),
    Prune: (Op.REMOVE_ROUTE, membership.prune_objects),
    Peers: (Op.PEERS, membership.peers_objects),
    Find: (Op.FIND, membership.find_objects),
    Parity: (Op.PARITY, parity_objects),
    Registered: (Op.REGISTERED, membership.registered_objects),
}


# --- how long they are


def size(message: Said, token: int | None = None) -> int:
    """The length of what `encode` makes of it, and nothing is made."""
    length = _SIZES[type(message)](message)
    if token is None or isinstance(message, Register):  # it has a place for the token in any case
        return length
    return length + TOKEN_OBJECT_TWIN.size


def _open_size(message: Open) -> int:
    length = 8 + pepid_size(message.name) + 12 + 8 + (16 if message.data_port else 0)
    if message.capabilities:
        length += capabilities_size(message.capabilities)
    length += sum(map(address_size, message.addresses))
    return length + 8 * bool(message.recovery) + 8 * bool(message.correction)


def _close_size(message: Close) -> int:
    length = 16
    for text in (message.node, message.reason):
        if text is not None:
            length += pepid_size(text)
    return length


def _keep_alive_size(message: KeepAlive) -> int:
    token, echo, load, tally, correction = message
    return (
        8
        + (12 if token is not None else 0)
        + (12 if echo is not None else 0)
        + (load_size(load) if load else 0)
        + (16 if tally else 0)
        + (8 if correction is not None else 0)
    )


def _routes_size(message: AddRoute | RemoveRoute) -> int:
    length = 8
    for entry in message.entries:
        if isinstance(entry, Node):
            length += 12 if entry.name is None else 12 + pepid_size(entry.name)
        else:
            length += 20 if entry.ipv6 is None else 52
    return length


_SIZES: dict[type, Callable[[Any], int]] = {
    Open: _open_size,
    Close: _close_size,
    KeepAlive: _keep_alive_size,
    AddRoute: _routes_size,
    RemoveRoute: _routes_size,
    Have: announcements.have_size,
    Nack: announcements.nack_size,
    Graft: membership.graft_size,
    Prune: membership.prune_size,
    Peers: membership.peers_size,
    Find: membership.find_size,
    Parity: parity_size,
    Register: lambda message: len(message.message),
    Registered: membership.registered_size,
}


# --- bytes to values


def decode(message: memoryview | bytes) -> Decoded:
    """One whole message, its length checked by the framer; raises PeerError with the answer that is owed."""
    message = memoryview(message)
    op = cops.op_code(message)
    reader = _READERS.get(op)
    return reader(message) if reader else Decoded(Unknown(op))


def _read_open(message: memoryview) -> Decoded:
    found, skipped = known(message, OPEN)
    places = placed(found, OPEN, {CNum.ADDRESS: OPEN_ADDRESSES_MAX})
    name, node, timer = (required(places, c) for c in OPEN[:3])
    if timer.seconds == 0 or timer.seconds > 3600:
        raise bad(f"a keep-alive timer of {timer.seconds} s")
    port = optional(places, CNum.DATA_PORT)
    if port and not (port.port and port.token):
        raise bad("a data port without port or token")
    data_port = DataPort(port.port, port.token) if port else None
    said = optional(places, CNum.CAPABILITIES)
    capabilities = read_capabilities(places[CNum.CAPABILITIES][0][0], said) if said else None
    kept = optional(places, CNum.RECOVERY)
    if kept and not kept.kept:
        raise bad("a Recovery that keeps nothing")
    corrects = optional(places, CNum.CORRECTION)
    if corrects and not corrects.packets:
        raise bad("a Correction of blocks without a packet")
    opened = Open(
        checked_name(name.name),
        node.node,
        timer.seconds,
        data_port,
        capabilities,
        _addresses(places),
        kept.kept if kept else 0,
        corrects.packets if corrects else 0,
    )
    return Decoded(opened, skipped)


def _addresses(places: Placed) -> tuple[Address, ...]:
    each = ((c_type, parse(CNum.ADDRESS, c_type, data)) for c_type, data in places.get(CNum.ADDRESS, ()))
    return tuple(read_address(c_type, found.host, found.port) for c_type, found in each)


def _read_close(message: memoryview) -> Decoded:
    found, skipped = known(message, CLOSE)
    places = placed(found, CLOSE)
    error, pepid, reason = required(places, CNum.ERROR), *(optional(places, c) for c in CLOSE[1:])
    node = checked_name(pepid.name) if pepid else None
    said = checked(reason.text, "reason", REASON_MAX) if reason else None
    return Decoded(Close(error.code, error.sub_code, node, said), skipped)


def _read_keep_alive(message: memoryview) -> Decoded:
    """The two shapes that nodes send are known at a glance: of 300 links there are hundreds a second."""
    if len(message) == cops.HEADER_TWIN.size:
        return BARE
    if len(message) == PROBE_TWIN.size:
        *shape, token, echo_header, echo_c_num, kind, clock = PROBE_TWIN.unpack(message)
        if (*shape, echo_header, echo_c_num) == PROBE_SHAPE and kind in (ECHO_REQUEST, ECHO_REPLY):
            return Decoded(KeepAlive(token, Echo(kind, clock)))
    found, skipped = known(message, KEEP_ALIVE)
    places = placed(found, KEEP_ALIVE)
    token, echo, tally = (optional(places, c) for c in (CNum.TOKEN, CNum.ECHO, CNum.TALLY))
    corrects = optional(places, CNum.CORRECTION)
    return Decoded(
        KeepAlive(
            token.token if token else None,
            Echo(places[CNum.ECHO][0][0], echo.clock) if echo else None,
            read_load(places),
            Tally(tally.sent, tally.received, tally.short) if tally else None,
            corrects.packets if corrects else None,
        ),
        skipped,
    )


def _read_add(message: memoryview) -> Decoded:
    entries, skipped = _entries(message)
    return (
        Decoded(*membership.read_graft(message)) if entries is None else Decoded(AddRoute(entries), skipped)
    )


def _read_remove(message: memoryview) -> Decoded:
    entries, skipped = _entries(message)
    return (
        Decoded(*membership.read_prune(message))
        if entries is None
        else Decoded(RemoveRoute(entries), skipped)
    )


BARE = Decoded(KeepAlive())

_READERS: dict[int, Callable[[memoryview], Decoded]] = {
    Op.OPEN: _read_open,
    Op.CLOSE: _read_close,
    Op.KEEP_ALIVE: _read_keep_alive,
    Op.ADD_ROUTE: _read_add,
    Op.REMOVE_ROUTE: _read_remove,
    Op.HAVE: lambda message: Decoded(*announcements.read_have(message)),
    Op.NACK: lambda message: Decoded(*announcements.read_nack(message)),
    Op.PEERS: lambda message: Decoded(*membership.read_peers(message)),
    Op.FIND: lambda message: Decoded(*membership.read_find(message)),
    Op.PARITY: lambda message: Decoded(*read_parity(message)),
    Op.REGISTER: lambda message: Decoded(shared.read_register(message)),
    Op.REGISTERED: lambda message: Decoded(*membership.read_registered(message)),
}


def _entries(message: memoryview) -> tuple[tuple[Group | Node, ...] | None, int]:
    """Groups and nodes in the order in which they stand; a PEPID names the node right before it.

    None where there is a Stream: then it is a message of the mesh.
    """
    entries: list[Group | Node] = []
    skipped = 0
    for c_num, c_type, data in cops.objects(message):
        if c_num == CNum.GROUP and c_type == 1 and len(data) == GROUP_TWIN.size:
            entries.append(Group(*GROUP_TWIN.unpack(data)))
        elif c_num == CNum.PEPID and c_type == 1:
            node = entries.pop() if entries else None
            if not isinstance(node, Node) or node.name is not None:
                raise bad("a PEPID that names no node")
            entries.append(Node(node.node, checked_name(name_of(c_num, c_type, data))))
        elif c_num == CNum.NODE and c_type == 1:
            known = len(data) == NODE_TWIN.size
            entries.append(Node(*NODE_TWIN.unpack(data)) if known else Node(parse(c_num, c_type, data).node))
        elif c_num == CNum.GROUP and c_type in (1, 2):
            group = parse(c_num, c_type, data)
            entries.append(Group(group.group, group.source, (group.group6, group.source6)))
        elif c_num == CNum.STREAM and c_type in (1, 2):
            return None, 0
        else:
            skipped += 1
    if not entries and not skipped:
        raise PeerError(Code.OBJECT_MISSING, 0, "a route message without a route")
    return tuple(entries), skipped
