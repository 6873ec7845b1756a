"""Session descriptions (SDP: RFC 8866, and RFC 4566 before it), as SAP carries them: read strictly, built.

    v=0                                            the lines come in this order; * may be there, + may repeat
    o=USER ID VERSION IN IP4 ADDRESS               whose session it is, and which version of its description
    s=NAME                                         i* u* e*+ p*+
    c=IN IP4 239.1.1.1/16/2                        TTL, and how many groups in a row; here or in every medium
    t=0 0                                          b*+ before it; it repeats, each with r*+; then z* k*
    a=cat:NEWS                                     +
    m=video 5004/2 RTP/AVP 33                      port, how many of them, protocol, formats; it repeats,
    i=, c=, b=, k=, a=                             each with lines of its own

What has another line, a line in another place, or a number that is none is no SDP as a whole, as RFC 8866, 5
wants it.  Two liberties are taken, for what is out there: a lone LF ends a line, and a text that is not UTF-8
is ISO 8859-1.  Control characters are refused, so no name can move a terminal's cursor.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, TypeVar

from multicastmw.wire.errors import Malformed

T = TypeVar("T")

# What the specifications say.
SESSION_ORDER = "vosiuepcbtrzka"  # r belongs to the t before it: see _check_order
MEDIA_ORDER = "micbka"
REPEATING = "epbtrac"  # c in a medium alone: RFC 8866, 5.7
NETWORK = "IN"
ANY = "*"

# What we chose.
LONGEST = 8_192  # bytes
LINES_MAX = 512
MEDIA_MAX = 32
SOURCES_MAX = 32  # of one filter
COUNT_MAX = 256  # groups or ports in a row
FORMATS_MAX = 32  # of one medium

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,64}")
PROTOCOL = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,32}(/[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,32}){0,4}")
DIGITS = re.compile(r"[0-9]{1,20}")
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")


class Origin(NamedTuple):
    """o=: all but the version tell sessions apart."""

    username: str
    session: str
    version: str
    address_type: str  # IP4 or IP6
    address: str

    def text(self) -> str:
        return " ".join((self.username, self.session, self.version, NETWORK, self.address_type, self.address))

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """The same for every version of the description."""
        return self.username, self.session, self.address_type, self.address


class Connection(NamedTuple):
    """c=: where it is sent to; so many groups in a row."""

    address_type: str
    address: str
    ttl: int | None = None
    groups: int = 1

    def text(self) -> str:
        ttl = "" if self.ttl is None else f"/{self.ttl}"
        groups = f"/{self.groups}" if self.groups > 1 else ""
        return f"{NETWORK} {self.address_type} {self.address}{ttl}{groups}"


class Filter(NamedTuple):
    """a=source-filter (RFC 4570): what is sent to `destination` (or *) comes from these alone, or never."""

    includes: bool
    destination: str
    sources: tuple[str, ...]


class Format(NamedTuple):
    """a=rtpmap: what a payload type stands for."""

    payload_type: int
    encoding: str
    clock: int


class Attribute(NamedTuple):
    """a=NAME, or a=NAME:VALUE."""

    name: str
    value: str | None = None

    def text(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"


@dataclass(frozen=True)
class Media:
    """m=, and the lines that are its own."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    ports: int = 1
    title: str = ""
    connections: tuple[Connection, ...] = ()
    attributes: tuple[Attribute, ...] = ()

    @property
    def maps(self) -> tuple[Format, ...]:
        return tuple(_values(self.attributes, "rtpmap", _format))

    @property
    def filters(self) -> tuple[Filter, ...]:
        return tuple(_values(self.attributes, "source-filter", _filter))

    def lines(self) -> Iterator[str]:
        ports = f"/{self.ports}" if self.ports > 1 else ""
        yield f"m={self.kind} {self.port}{ports} {self.protocol} {' '.join(self.formats)}"
        if self.title:
            yield f"i={self.title}"
        yield from (f"c={connection.text()}" for connection in self.connections)
        yield from (f"a={attribute.text()}" for attribute in self.attributes)


@dataclass(frozen=True)
class Description:
    """One session.  Of lines that nobody here asks for (u, e, p, b, r, z, k) only the place is checked."""

    origin: Origin
    name: str
    information: str = ""
    connection: Connection | None = None
    times: tuple[tuple[int, int], ...] = ((0, 0),)
    attributes: tuple[Attribute, ...] = ()
    media: tuple[Media, ...] = field(default=())

    @property
    def category(self) -> str:
        return self._said("cat")

    @property
    def tool(self) -> str:
        return self._said("tool")

    @property
    def filters(self) -> tuple[Filter, ...]:
        return tuple(_values(self.attributes, "source-filter", _filter))

    def _said(self, name: str) -> str:
        return next((each.value for each in self.attributes if each.name == name and each.value), "")

    def where(self, media: Media) -> tuple[Connection, ...]:
        """A medium's own c= lines, else the session's."""
        return media.connections or ((self.connection,) if self.connection else ())

    def build(self) -> bytes:
        """The text; raises ValueError where a value would break a line, or it is longer than we read."""
        lines = ["v=0", f"o={self.origin.text()}", f"s={self.name or ' '}"]
        if self.information:
            lines.append(f"i={self.information}")
        if self.connection:
            lines.append(f"c={self.connection.text()}")
        lines += [f"t={start} {stop}" for start, stop in self.times]
        lines += [f"a={attribute.text()}" for attribute in self.attributes]
        lines += [line for media in self.media for line in media.lines()]
        if any("\n" in line or CONTROL.search(line) for line in lines):
            raise ValueError("a control character in a session description")
        text = "".join(f"{line}\r\n" for line in lines).encode()
        if len(text) > LONGEST or len(lines) > LINES_MAX:
            raise ValueError(f"a session description of {len(text)} bytes in {len(lines)} lines")
        return text

    @classmethod
    def parse(cls, text: bytes) -> "Description":
        """Raises Malformed."""
        session, media = _parts(_lines(text))
        _check_order(session, SESSION_ORDER)
        found = _gathered(session)
        if [letter for letter, _ in session[:3]] != ["v", "o", "s"] or found["v"] != ["0"]:
            raise Malformed("SDP does not begin with v=0, o= and s=")
        if "t" not in found:
            raise Malformed("SDP has no t=")
        description = cls(
            origin=_origin(found["o"][0]),
            name=found["s"][0].strip(),
            information=found.get("i", [""])[0],
            connection=next(map(_connection, found.get("c", [])), None),
            times=tuple(map(_times, found["t"])),
            attributes=tuple(map(_attribute, found.get("a", []))),
            media=tuple(map(_media, media)),
        )
        description._check()
        return description

    def _check(self) -> None:
        """What two lines say together, and what is read only when it is asked for."""
        _ = self.filters
        for media in self.media:
            _ = media.maps, media.filters
            if not self.where(media):
                raise Malformed(f"SDP says nowhere to which address {media.kind} is sent (c=)")


def origin_of(text: bytes) -> Origin:
    """The o= line of a description, or of what a deletion may carry instead: that line alone."""
    for letter, value in _lines(text):
        if letter == "o":
            return _origin(value)
    raise Malformed("SDP has no o=")


# --- lines

Line = tuple[str, str]


def decoded(text: bytes) -> str:
    """UTF-8, else ISO 8859-1."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _lines(text: bytes) -> list[Line]:
    if len(text) > LONGEST:
        raise Malformed(f"SDP of {len(text)} bytes")
    lines = decoded(text).replace("\r\n", "\n").rstrip("\n\0").split("\n")  # some senders put a NUL behind it
    if len(lines) > LINES_MAX:
        raise Malformed(f"SDP of {len(lines)} lines")
    return [_line(line) for line in lines]


def _line(line: str) -> Line:
    if len(line) < 2 or line[1] != "=" or not line[0].isascii() or not line[0].islower():
        raise Malformed(f"SDP line {line[:40]!r}")
    if CONTROL.search(line):
        raise Malformed(f"SDP line with a control character: {line[:40]!r}")
    return line[0], line[2:]


def _parts(lines: list[Line]) -> tuple[list[Line], list[list[Line]]]:
    """The session's lines, and those of each medium."""
    parts: list[list[Line]] = [[]]
    for line in lines:
        if line[0] == "m":
            parts.append([])
        parts[-1].append(line)
    addresses = sum(letter == "c" for letter, _ in lines)
    if len(parts) > MEDIA_MAX + 1 or addresses > MEDIA_MAX + 1:
        raise Malformed(f"SDP with {len(parts) - 1} media at {addresses} addresses")
    return parts[0], parts[1:]


def _check_order(lines: list[Line], order: str) -> None:
    """Each letter in its place, and once where it may not repeat; t and r alternate."""
    last = -1
    for letter, _ in lines:
        at = order.find(letter)
        repeats = letter in REPEATING and (letter != "c" or order is MEDIA_ORDER)
        again = letter == "t" and last == order.find("r")
        lonely = letter == "r" and last not in (at, order.find("t"))
        if at < 0 or lonely or (at < last and not again) or (at == last and not repeats):
            raise Malformed(f"SDP line {letter}= where it cannot be")
        last = at


def _gathered(lines: Iterable[Line]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for letter, value in lines:
        found.setdefault(letter, []).append(value)
    return found


# --- values


def _number(text: str, least: int, most: int, what: str) -> int:
    if not DIGITS.fullmatch(text) or not least <= int(text) <= most:
        raise Malformed(f"SDP {what} {text[:40]!r}")
    return int(text)


def _address(kind: str, text: str) -> str:
    """An address of its type, or a host's name; raises Malformed."""
    try:
        return str(IPv4Address(text) if kind == "IP4" else IPv6Address(text))
    except ValueError:
        is_numeric = ":" in text or text.replace(".", "").isdigit()
        if is_numeric or not HOST.fullmatch(text):
            raise Malformed(f"SDP {kind} address {text[:40]!r}") from None
        return text


def _family(network: str, kind: str) -> str:
    if network != NETWORK or kind not in ("IP4", "IP6"):
        raise Malformed(f"SDP address type {network[:10]!r} {kind[:10]!r}")
    return kind


def _origin(value: str) -> Origin:
    words = value.split(" ")
    if len(words) != 6 or not words[0]:
        raise Malformed(f"SDP o={value[:60]!r}")
    username, session, version, network, kind, address = words
    for each in (session, version):
        if not DIGITS.fullmatch(each):
            raise Malformed(f"SDP o= with the number {each[:40]!r}")
    return Origin(username, session, version, _family(network, kind), _address(kind, address))


def _connection(value: str) -> Connection:
    words = value.split(" ")
    if len(words) != 3:
        raise Malformed(f"SDP c={value[:60]!r}")
    kind = _family(words[0], words[1])
    base, *more = words[2].split("/")
    numbers = [
        _number(each, 0, 255 if kind == "IP4" and not at else COUNT_MAX, "c=") for at, each in enumerate(more)
    ]
    if len(numbers) > (2 if kind == "IP4" else 1):
        raise Malformed(f"SDP c={value[:60]!r}")
    ttl = numbers.pop(0) if numbers and kind == "IP4" else None
    groups = numbers[0] if numbers else 1
    if not groups:
        raise Malformed("SDP c= with no address at all")
    return Connection(kind, _address(kind, base), ttl, groups)


def _times(value: str) -> tuple[int, int]:
    words = value.split()
    if len(words) != 2:
        raise Malformed(f"SDP t={value[:60]!r}")
    start, stop = (_number(word, 0, 1 << 63, "t=") for word in words)
    return start, stop


def _attribute(value: str) -> Attribute:
    name, colon, said = value.partition(":")
    if not TOKEN.fullmatch(name):
        raise Malformed(f"SDP a={value[:60]!r}")
    return Attribute(name, said if colon else None)


def _media(lines: list[Line]) -> Media:
    _check_order(lines, MEDIA_ORDER)
    found = _gathered(lines)
    words = found["m"][0].split()
    if len(words) < 4 or not TOKEN.fullmatch(words[0]) or not PROTOCOL.fullmatch(words[2]):
        raise Malformed(f"SDP m={found['m'][0][:60]!r}")
    port, _, ports = words[1].partition("/")
    formats = tuple(words[3:])
    if len(formats) > FORMATS_MAX or not all(TOKEN.fullmatch(each.replace("/", "-")) for each in formats):
        raise Malformed(f"SDP m= with the formats {' '.join(formats)[:60]!r}")
    return Media(
        kind=words[0],
        port=_number(port, 0, 65_535, "port"),
        protocol=words[2],
        formats=formats,
        ports=_number(ports, 1, COUNT_MAX, "number of ports") if "/" in words[1] else 1,
        title=found.get("i", [""])[0],
        connections=tuple(map(_connection, found.get("c", []))),
        attributes=tuple(map(_attribute, found.get("a", []))),
    )


def _values(attributes: Iterable[Attribute], name: str, read: Callable[[str], T]) -> Iterator[T]:
    return (read(each.value or "") for each in attributes if each.name == name)


def _format(value: str) -> Format:
    words = value.split()
    encoding, _, clock = words[1].partition("/") if len(words) == 2 else ("", "", "")
    if not TOKEN.fullmatch(encoding):
        raise Malformed(f"SDP a=rtpmap:{value[:60]!r}")
    clock = clock.partition("/")[0]  # and channels
    return Format(
        _number(words[0], 0, 127, "payload type"), encoding, _number(clock, 1, 1 << 31, "clock rate")
    )


def _filter(value: str) -> Filter:
    words = value.split()
    if not 5 <= len(words) <= 4 + SOURCES_MAX or words[0] not in ("incl", "excl") or words[1] != NETWORK:
        raise Malformed(f"SDP a=source-filter:{value[:60]!r}")
    kind, destination, sources = words[2], words[3], words[4:]
    if kind == ANY:  # names, whose addresses are of either type
        if not all(HOST.fullmatch(each) for each in sources) or not (
            destination == ANY or HOST.fullmatch(destination)
        ):
            raise Malformed(f"SDP a=source-filter:{value[:60]!r}")
        return Filter(words[0] == "incl", destination, tuple(sources))
    _family(NETWORK, kind)
    to = ANY if destination == ANY else _address(kind, destination)
    return Filter(words[0] == "incl", to, tuple(_address(kind, each) for each in sources))
