"""The values that node.ini is written in: text to value, one function a kind.

Each raises ValueError, whose text says what is wrong in words that follow "[section] option: ".
They refuse what Linux, IGMP or the wire would refuse later: a mistake found at the command line
costs a minute, one found in a log at night costs the evening.
"""

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TypeVar

from multicastmw.core.addressing import ANY, Channel

T = TypeVar("T")

# What the specifications say.
MULTICAST = IPv4Network("224.0.0.0/4")
NEVER_FORWARDED = IPv4Network("224.0.0.0/24")  # RFC 5771, 4
MAX_PEPID = 255  # bytes of a node's name in Open
MAX_DEVICE_NAME = 15  # IFNAMSIZ less the NUL
MAX_SOCKET_PATH = 107  # sockaddr_un.sun_path less the NUL
# RFC 791 asks every host to take 576 bytes, so a smaller MTU saves nobody.
MIN_MTU = 576
# A datagram's 65,535 less IP, UDP (28) and our headers (60), cut to the 4 that messages are padded to.
MAX_MTU = (65_535 - 28 - 60) // 4 * 4

# What we chose.
SHOWN = 60  # characters of somebody's value that an error repeats


def shown(text: str) -> str:
    """The text as an error may repeat it: quoted, printable, not endless."""
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")


def nearest(wrong: str, right: Iterable[str]) -> str:
    """The one of the right words that somebody may have meant, or an empty one."""
    return next(iter(get_close_matches(wrong.lower(), list(right), n=1)), "")


def did_you_mean(meant: str) -> str:
    """What to say behind an error, where there is something to say."""
    return f"; did you mean {meant}?" if meant else ""


def words(text: str) -> list[str]:
    """A list's items; commas, spaces and new lines part them."""
    return text.replace(",", " ").split()


def free(text: str) -> str:
    """Any text of one line, signs for comments included."""
    return text


def word(text: str) -> str:
    if len(text.split()) > 1:
        raise ValueError(f"{shown(text)} is more than one word")
    return text


def choice(*accepted: str) -> Callable[[str], str]:
    """A parser for one of these words."""

    def parse(text: str) -> str:
        if text not in accepted:
            hint = did_you_mean(nearest(text, accepted))
            raise ValueError(f"{shown(text)} is none of {', '.join(accepted)}{hint}")
        return text

    return parse


def yes_or_no(text: str) -> bool:
    if text.lower() in ("yes", "true", "on", "1"):
        return True
    if text.lower() in ("no", "false", "off", "0"):
        return False
    raise ValueError(f"{shown(text)} is neither yes nor no")


def whole(low: int, high: int) -> Callable[[str], int]:
    """A parser for whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        # int() alone takes 1_000 and the digits of every script, and is slow on very many of them.
        if not re.fullmatch("[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"{shown(text)} is not a whole number from {low:,} to {high:,}")
        return int(text)

    return parse


def seconds(high: int) -> Callable[[str], float]:
    """A parser for a time from 0 to `high` seconds; a fraction is welcome."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", text) or float(text) > high:
            raise ValueError(f"{shown(text)} is not a time from 0 to {high:,} seconds")
        return float(text)

    return parse


def seconds_or_never(low: int, high: int) -> Callable[[str], float]:
    """A parser for a time from `low` to `high` seconds, or 0."""
    parse = seconds(high)

    def parse_or_never(text: str) -> float:
        found = parse(text)
        if 0 < found < low:
            raise ValueError(f"{shown(text)} is neither 0 nor a time from {low:,} to {high:,} seconds")
        return found

    return parse_or_never


def unless(none: str, parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """A parser for what `parse` takes, or this word (it may be empty), which is None."""

    def parse_unless(text: str) -> T | None:
        if text.lower() == none:
            return None
        try:
            return parse(text)
        except ValueError as error:
            raise ValueError(f"{error}, nor {none}" if none else str(error)) from None

    return parse_unless


def uplink(text: str) -> int | None:
    """kbit/s, or auto, which is None; so is nothing."""
    return None if text.lower() in ("", "auto") else unless("auto", whole(0, 100_000_000))(text)


def node_name(text: str) -> str:
    """What PEPID can carry and a file can be named after."""
    if not 1 <= len(text.encode()) <= MAX_PEPID:
        raise ValueError(f"a name has 1 to {MAX_PEPID} bytes, {shown(text)} has {len(text.encode())}")
    if not text.isprintable() or " " in text or "/" in text:
        raise ValueError(f"{shown(text)}: a name has no spaces, slashes or control characters")
    return text


def device(text: str) -> str:
    """The name of a network interface, as the kernel's dev_valid_name() has it."""
    if not 1 <= len(text.encode()) <= MAX_DEVICE_NAME:
        raise ValueError(f"{shown(text)}: an interface's name has 1 to {MAX_DEVICE_NAME} bytes")
    # A % is a pattern to the kernel: mcmw%d becomes the first free of mcmw0, mcmw1, ...
    if not text.isprintable() or set(text) & set(" /:%") or text in (".", ".."):
        raise ValueError(f"{shown(text)} is no name for an interface (no space, slash, colon or %)")
    return text


def address(text: str) -> IPv4Address:
    """A host's IPv4 address."""
    try:
        value = IPv4Address(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not an IPv4 address") from None
    if value.is_multicast or value.is_unspecified or value == IPv4Address(0xFFFFFFFF):
        raise ValueError(f"{value} is not the address of a host")
    return value


def group(text: str) -> IPv4Address:
    """A group that the overlay may carry."""
    try:
        value = IPv4Address(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not an IPv4 group") from None
    if not value.is_multicast:
        raise ValueError(f"{value} is not a multicast group: those are in {MULTICAST}")
    if value in NEVER_FORWARDED:
        raise ValueError(f"{value} is in {NEVER_FORWARDED}, which no router forwards")
    return value


def interface_address(text: str) -> IPv4Interface:
    """A host's address together with its subnet."""
    if "/" not in text:
        raise ValueError(f"{shown(text)} is not an address with its prefix length, as 10.88.0.2/24 is")
    try:
        value = IPv4Interface(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not an IPv4 address with a prefix length") from None
    subnet = value.network
    if subnet.overlaps(MULTICAST) or value.ip.is_unspecified or value.ip.is_loopback:
        raise ValueError(f"{value} is not the address of a host in a subnet")
    if subnet.prefixlen < 31 and value.ip in (subnet.network_address, subnet.broadcast_address):
        raise ValueError(f"{value.ip} is the first or last address of {subnet}, which no host may have")
    return value


def networks(text: str) -> tuple[IPv4Network, ...]:
    """Prefixes of groups; a bare group is one of its own."""
    return tuple(dict.fromkeys(map(_groups, words(text))))


def _groups(word: str) -> IPv4Network:
    try:
        value = IPv4Network(word, strict=False)
    except ValueError:
        raise ValueError(f"{shown(word)} is not a prefix of groups, as 239.1.0.0/16 is") from None
    if not value.subnet_of(MULTICAST):
        raise ValueError(f"{shown(word)} is not inside {MULTICAST}, where the groups are")
    if "/" in word and IPv4Address(word.partition("/")[0]) != value.network_address:
        raise ValueError(f"{shown(word)} has bits behind its prefix{did_you_mean(str(value))}")
    return value


def pins(text: str) -> tuple[Channel, ...]:
    """Channels, as GROUP or SOURCE@GROUP."""
    return tuple(dict.fromkeys(map(_pin, words(text))))


def _pin(word: str) -> Channel:
    source, at, to = word.rpartition("@")
    return Channel(int(group(to)), int(address(source)) if at else ANY)


def token(text: str) -> str:
    """A secret that goes into a URL and a cookie as it is; the error does not repeat it."""
    if text and not re.fullmatch(r"[A-Za-z0-9._~-]{16,128}", text):
        raise ValueError("it has 16 to 128 letters, digits and signs of .-_~")
    return text


def socket_path(text: str) -> str:
    """Where a UNIX socket can be: `twistd --rundir` moves whatever is relative."""
    if not text.startswith("/") or not text.isprintable():
        raise ValueError(f"{shown(text)} is not an absolute path")
    if len(text.encode()) > MAX_SOCKET_PATH:
        raise ValueError(f"{shown(text)} is longer than the {MAX_SOCKET_PATH} bytes that a socket's path has")
    return text
