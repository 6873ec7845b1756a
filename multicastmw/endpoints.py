"""Twisted endpoint strings in node.ini, checked before anything listens or dials.

Twisted has the last word: what its parser refuses is refused here.  But its errors are Python's ("missing
1 required positional argument"), and it accepts ports, interfaces and hosts that fail only at listen() or
at every dial, so the usual kinds are looked at first, in the user's words.
"""

import re
import warnings
from ipaddress import ip_address
from typing import NamedTuple

from multicastmw.literals import MAX_SOCKET_PATH, device, did_you_mean, nearest, shown, words

MAX_HOST = 253  # characters of a name in DNS (RFC 1035, 2.3.4, less the lengths' own)
LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")
PORT = re.compile("[0-9]{1,5}")
MOST_OF_WHY = 120  # characters of Twisted's own error, which may repeat all of the text

IPV6_HINT = r"the colons of an IPv6 address want a backslash, as in tcp:host=fd00\:\:1:port=4600"


class Arguments(NamedTuple):
    """What an endpoint takes: by place, in this order, or by name; the others by name only."""

    placed: tuple[str, ...]
    named: tuple[str, ...] = ()


SERVERS = {
    "tcp": Arguments(("port", "interface", "backlog")),
    "tcp6": Arguments(("port", "backlog", "interface")),
    "unix": Arguments(("address", "mode", "backlog", "lockfile")),
}
CLIENTS = {
    "tcp": Arguments(("host", "port"), ("timeout", "bindAddress")),
    "unix": Arguments(("path",), ("timeout", "lockfile")),
}


def server(text: str) -> str:
    """An endpoint that listens."""
    _listening(text)
    _ask_twisted("server", text)
    return text


def local_server(text: str) -> str:
    """An endpoint that listens where only this host reaches it."""
    kind, given = _listening(text)
    where = given.get("interface", "")
    if kind not in SERVERS:
        usual = "tcp:PORT:interface=127.0.0.1 and unix:PATH are not"
        raise ValueError(f"{shown(text)} is open to others, for all we know; {usual}")
    if kind != "unix" and where != "localhost" and not is_loopback(where):
        raise ValueError(f"{shown(text)} is open to others; add interface=127.0.0.1 or use unix:PATH")
    _ask_twisted("server", text)
    if kind == "unix" and int(given.get("mode", "600"), 8) & 0o007:
        raise ValueError(f"{shown(text)} is open to every user of this host; leave mode= out, or give 660")
    return text


def client(text: str) -> str:
    """An endpoint that dials."""
    kind, given = _arguments(text, CLIENTS)
    if kind == "tcp":
        _check_host(text, given.get("host", ""))
        _check_port(text, given.get("port", ""), lowest=1)
    elif kind == "unix":
        _check_path(text, given.get("path", ""))
    _ask_twisted("client", text)
    return text


def clients(text: str) -> tuple[str, ...]:
    """Endpoints to dial, as a list."""
    return tuple(client(word) for word in words(text))


SRV = "srv:"
LAN = "lan:"
SEED_FORMS = {"lan": LAN, "srv": f"{SRV}example.net", "tcp": "tcp:b.example.net:4600"}
SEED_KINDS = tuple(SEED_FORMS)


def seeds(text: str) -> tuple[str, ...]:
    """Where a mesh is asked first: endpoints to dial, srv:NAME for what DNS says of _mcmw._tcp.NAME, lan: for
    who answers on this host's LANs, or lan:DEVICE on that one."""
    found = tuple(_seed(word) for word in words(text))
    for seed in found:
        _check_name(seed, dialled(seed).get("host", "localhost"))
    return found


def _seed(word: str) -> str:
    if word.startswith(LAN):
        return LAN + (device(word[len(LAN) :]) if word != LAN else "")
    if not word.startswith(SRV):
        return _dialled_seed(word)
    name = word[len(SRV) :].rstrip(".")
    if not name or len(name) > MAX_HOST or not all(LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"{shown(word)}: {shown(name)} is no name in DNS")
    return SRV + name


def _dialled_seed(word: str) -> str:
    try:
        return client(word)
    except ValueError as why:
        if meant := _seed_meant(word):
            raise ValueError(f"{shown(word)} is no seed{did_you_mean(meant)}") from why
        raise


def _seed_meant(word: str) -> str:
    """What a word that is no seed may stand for; empty where it has a seed's form, or nothing is close."""
    kind, colon, rest = word.partition(":")
    if is_host(kind) and PORT.fullmatch(rest):
        return f"tcp:{word}"
    if rest and kind.lower() in SEED_KINDS:
        return "" if kind in SEED_KINDS else f"{kind.lower()}:{rest}"
    form = SEED_FORMS.get(nearest(kind, SEED_KINDS), "")
    if form and (not colon or kind not in (*SEED_KINDS, *CLIENTS)):
        return f"{form.partition(':')[0]}:{rest}" if rest else form
    return f"tcp:{word}:4600" if not colon and "." in word and is_host(word) else ""


def _listening(text: str) -> tuple[str, dict[str, str]]:
    kind, given = _arguments(text, SERVERS)
    if kind == "stdio":
        raise ValueError("a node cannot serve on its standard input")
    if kind in ("tcp", "tcp6"):
        # Port 0 is any free one: of little use to a peer, but what tests listen on.
        _check_port(text, given.get("port", ""), lowest=0)
        where = given.get("interface", "")
        if where and where != "localhost" and not is_address(where):
            raise ValueError(f"interface={where}: that is the address to listen at, not a device")
    elif kind == "unix":
        _check_path(text, given.get("address", ""))
    return kind, given


def _arguments(text: str, known: dict[str, Arguments]) -> tuple[str, dict[str, str]]:
    """The endpoint's kind, and what it was given by the arguments' names if it is a usual one."""
    kind, *parts = re.split(r"(?<!\\):", text)
    if not re.fullmatch(r"[A-Za-z][\w-]*", kind):
        example = "tcp:4600" if known is SERVERS else "tcp:b.example.net:4600"
        raise ValueError(f"{shown(text)} is not an endpoint, as {example} is")
    if kind == "udp":
        raise ValueError(f"{shown(text)} is not a stream; for data on UDP there is [listen] udp-port")
    if kind not in known:
        return kind, {}
    pairs = [[_plain(half) for half in re.split(r"(?<!\\)=", part, maxsplit=1)] for part in parts]
    given = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    order, others = known[kind]
    for name in given:
        if name not in order + others:
            hint = did_you_mean(nearest(name, order + others))
            raise ValueError(f"{shown(text)}: {kind} has no argument {shown(name)}{hint}")
    places = [name for name in order if name not in given]
    placed = [pair[0] for pair in pairs if len(pair) == 1]
    if len(placed) > len(places):
        raise ValueError(f"{shown(text)} has too many parts; {IPV6_HINT}")
    return kind, given | dict(zip(places, placed, strict=False))


def _plain(part: str) -> str:
    return re.sub(r"\\(.)", r"\1", part)


def _check_port(text: str, port: str, lowest: int) -> None:
    if not re.fullmatch("[0-9]{1,5}", port) or not lowest <= int(port) <= 65_535:
        raise ValueError(f"{shown(text)} has no port from {lowest} to 65,535")


def _check_host(text: str, host: str) -> None:
    try:
        host.encode("idna")
    except UnicodeError:
        host = ""
    if not host or not host.isprintable() or " " in host:
        raise ValueError(f"{shown(text)} names no host to dial, as tcp:b.example.net:4600 does")


def _check_name(text: str, host: str) -> None:
    """Twisted looks up no other names where both versions of IP will do, as for seeds."""
    if not is_address(host) and not (is_host(host) and "_" not in host):
        usual = "a seed's name has letters, digits, hyphens and dots; or give its address"
        raise ValueError(f"{shown(text)}: {usual}")


def _check_path(text: str, path: str) -> None:
    if not 1 <= len(path.encode()) <= MAX_SOCKET_PATH:
        raise ValueError(f"{shown(text)}: a socket's path has 1 to {MAX_SOCKET_PATH} bytes")


def is_address(text: str) -> bool:
    """Is it numeric, of either version of IP?"""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(text: str) -> bool:
    """Is it an address that only this host reaches?"""
    if not is_address(text):
        return False
    address = ip_address(text)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_host(text: str) -> bool:
    """Is it a name that DNS could hold, or an address, without a scope?"""
    if is_address(text):
        return "%" not in text
    try:
        name = text.encode("idna").decode("ascii").removesuffix(".")
    except UnicodeError:
        return False
    labels = name.split(".")
    # A name whose last label is a number is an address to everybody, and here a mistyped one.
    return len(name) <= MAX_HOST and all(map(LABEL.fullmatch, labels)) and not labels[-1].isdecimal()


def is_usual(text: str) -> bool:
    """Is this checked server endpoint TCP or a UNIX socket, and nothing wrapped around one?"""
    return _arguments(text, SERVERS)[0] in SERVERS


def _ask_twisted(side: str, text: str) -> None:
    # Imported here: what names no endpoint does not wait for Twisted.
    from twisted.internet.endpoints import clientFromString, serverFromString

    try:
        with warnings.catch_warnings():
            # The reactor is only kept in what these return, which is thrown away; None will do, though
            # HostnameEndpoint says that it is an old one.
            warnings.simplefilter("ignore", DeprecationWarning)
            (serverFromString if side == "server" else clientFromString)(None, text)
    except Exception as error:  # noqa: BLE001  parsers are plugins, and raise what they like
        why = str(error)[:MOST_OF_WHY] or type(error).__name__
        raise ValueError(f"{shown(text)} is not a {side} endpoint of Twisted ({why})") from None


def is_same_port(one: str, other: str) -> bool:
    """Do these checked server endpoints want one and the same TCP port, at whatever address?"""
    ports = [_arguments(text, SERVERS)[1].get("port") for text in (one, other)]
    return ports[0] is not None and ports[0] == ports[1] != "0"


def dialled(text: str) -> dict[str, str]:
    """What a checked client endpoint of TCP dials: host, port and perhaps bindAddress; else nothing."""
    kind, given = _arguments(text, CLIENTS)
    return given if kind == "tcp" else {}


def unix_socket(text: str) -> tuple[str, int] | None:
    """A checked server endpoint's path and mode where it is a UNIX socket, by default its owner's alone."""
    kind, given = _arguments(text, SERVERS)
    return (given["address"], int(given.get("mode", "600"), 8)) if kind == "unix" else None


def listened(text: str) -> dict[str, str]:
    """Where a checked server endpoint of TCP listens: port and perhaps interface; else nothing."""
    kind, given = _arguments(text, SERVERS)
    return given if kind in ("tcp", "tcp6") else {}
