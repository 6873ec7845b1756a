"""Reads the golden files (tests/golden/README.rst): annotated hex, and what it means."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from socket import AF_INET6, inet_pton
from typing import Any, NamedTuple

from multicastmw.wire import probe
from multicastmw.wire.data import build
from multicastmw.wire.mesh import (
    Address,
    Beacon,
    Capabilities,
    Find,
    Graft,
    Have,
    Held,
    Live,
    Load,
    Nack,
    Named,
    Peers,
    Place,
    Prune,
    Range,
    Register,
    Registered,
    Sample,
    StreamKey,
)
from multicastmw.wire.messages import (
    AddRoute,
    Close,
    DataPort,
    Echo,
    Group,
    KeepAlive,
    Node,
    Open,
    RemoveRoute,
    Tally,
    Unknown,
)
from multicastmw.wire.parity import Parity

FOLDER = Path(__file__).parent.parent / "golden"
BYTES = re.compile(r"((?:[0-9a-f]{2})+(?: (?:[0-9a-f]{2})+)*)(?: \* (\d+))?(?:  .*)?")


class IPData(NamedTuple):
    """An IP Data message as a value; the code has none, for its packets never are one."""

    token: int
    origin: int
    group: int
    source: int
    sequence: int
    origin_time: int
    hop_limit: int
    service_class: int
    flags: int
    low_water: int
    packet_type: int
    packet: bytes


class Golden(NamedTuple):
    """One file: the bytes, and the value or the verdict that they deserve."""

    name: str
    wire: bytes
    value: Any = None
    skipped: int = 0
    verdict: str = ""
    token: int | None = None


def read(path: Path) -> Golden:
    """Raises ValueError for a line that is none of the format."""
    wire, skipped, verdict, token = b"", 0, "", None
    lines = path.read_text(encoding="utf-8").splitlines()
    for at, line in enumerate(lines):
        word, _, rest = line.partition(" ")
        if not line or word == "#":
            continue
        if word == "value":
            value = _value(ast.literal_eval("\n".join([rest, *lines[at + 1 :]])))
            return Golden(path.stem, wire, value, skipped, token=token)
        if word in ("error", "malformed"):
            verdict = line
        elif word == "skipped":
            skipped = int(rest)
        elif word == "token":
            token = int(rest, 16)
        elif found := BYTES.fullmatch(line):
            wire += bytes.fromhex(found[1]) * int(found[2] or 1)
        else:
            raise ValueError(f"{path.name}, line {at + 1}: {line}")
    if not verdict:
        raise ValueError(f"{path.name} says neither value nor verdict")
    return Golden(path.stem, wire, verdict=verdict)


def folder(name: str) -> list[Golden]:
    return [read(path) for path in sorted((FOLDER / name).glob("*.txt"))]


def wire(name: str) -> bytes:
    """The bytes of messages/NAME.txt."""
    return read(FOLDER / "messages" / f"{name}.txt").wire


def each(name: str, ending: str) -> Callable[[Callable[[Any, Golden], None]], Callable[[type], type]]:
    """A class decorator: one test method a file, called after it."""

    def decorate(check: Callable[[Any, Golden], None]) -> Callable[[type], type]:
        def add(case: type) -> type:
            for golden in folder(name):
                setattr(case, f"test_{golden.name}_{ending}", lambda self, golden=golden: check(self, golden))
            return case

        return add

    return decorate


def _value(literal: dict[str, Any]) -> Any:
    ((kind, fields),) = literal.items()
    return _KINDS[kind](fields)


def _open(fields: dict[str, Any]) -> Open:
    port, said = fields.pop("data_port", None), fields.pop("capabilities", None)
    return Open(
        **fields | {"addresses": tuple(Address(*one) for one in fields.get("addresses", ()))},
        data_port=DataPort(**port) if port else None,
        capabilities=Capabilities(**said) if said else None,
    )


def _keep_alive(fields: dict[str, Any]) -> KeepAlive:
    echo, load, tally = (fields.pop(name, None) for name in ("echo", "load", "tally"))
    return KeepAlive(
        **fields,
        echo=Echo(**echo) if echo else None,
        load=Load(*load) if load else None,
        tally=Tally(*tally) if tally else None,
    )


def _mesh(fields: dict[str, Any]) -> dict[str, Any]:
    """The parts of a message of the mesh, each made what it is."""
    return {name: _PARTS[name](value) if name in _PARTS else value for name, value in fields.items()}


def _samples(samples: list[dict[str, Any]]) -> tuple[Sample, ...]:
    return tuple(
        Sample(**_mesh(one) | {"addresses": tuple(Address(*each) for each in one["addresses"])})
        for one in samples
    )


_PARTS: dict[str, Callable[[Any], Any]] = {
    "stream": lambda stream: stream if isinstance(stream, int) else StreamKey(**stream),
    "missing": lambda ranges: tuple(Range(*one) for one in ranges),
    "place": lambda place: Place(*place),
    "load": lambda load: Load(*load),
    "beacon": lambda fields: Beacon(**fields | {"path": tuple(fields["path"])}),
    "samples": _samples,
    "names": lambda names: tuple(Named(*one) for one in names),
    "alternatives": _samples,
    "live": lambda live: tuple(Live(StreamKey(**stream), highest) for stream, highest in live),
}


def _group(fields: dict[str, Any]) -> Group:
    pair = fields.pop("ipv6", None)
    return Group(
        **fields, ipv6=(inet_pton(AF_INET6, pair[0]), inet_pton(AF_INET6, pair[1])) if pair else None
    )


def _ip_data(fields: dict[str, Any]) -> IPData:
    packet = bytes.fromhex(fields.pop("packet"))
    return IPData(**{"flags": 0, "low_water": 0, **fields}, packet=packet)


def _register(fields: dict[str, Any]) -> Register:
    message = build(bytes.fromhex(fields.pop("packet")), **fields)
    return Register(
        StreamKey(fields["origin"], fields["group"], fields["source"]), fields["sequence"], message
    )


def _datagram(fields: dict[str, Any]) -> tuple[probe.Head, Any]:
    ((kind, body),) = fields["body"].items()
    made = {
        name: tuple(probe.ITEMS[name](**each) for each in value) if name in probe.ITEMS else value
        for name, value in body.items()
    }
    return probe.Head(**fields["head"]), getattr(probe, kind)(**made)


_KINDS: dict[str, Callable[[Any], Any]] = {
    "Datagram": _datagram,
    "Open": _open,
    "Close": lambda fields: Close(**fields),
    "KeepAlive": _keep_alive,
    "Group": _group,
    "Node": lambda fields: Node(**fields),
    "AddRoute": lambda entries: AddRoute(tuple(map(_value, entries))),
    "RemoveRoute": lambda entries: RemoveRoute(tuple(map(_value, entries))),
    "Unknown": lambda fields: Unknown(**fields),
    "IPData": _ip_data,
    "Have": lambda streams: Have(tuple(Held(**_mesh(fields)) for fields in streams)),
    "Nack": lambda fields: Nack(**_mesh(fields)),
    "Graft": lambda fields: Graft(**_mesh(fields)),
    "Prune": lambda fields: Prune(**_mesh(fields)),
    "Peers": lambda fields: Peers(**_mesh(fields)),
    "Find": lambda fields: Find(**_mesh(fields)),
    "Parity": lambda fields: Parity(**fields | {"symbol": bytes.fromhex(fields["symbol"])}),
    "Register": _register,
    "Registered": lambda fields: Registered(**_mesh(fields)),
}
