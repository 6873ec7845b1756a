"""What node.ini can say: a class is a section, a field an option, and its default stands beside it.

This is the one table of options.  config.py reads a file by it, and etc/node.ini is tested against it:
names, defaults and help.  mypy holds a field's type to what its parser returns.

`built=False` marks what this release accepts but does not do: a value other than the default is a one-line
warning, no warning if it is in `quiet` (it asks for nothing that is missing), an error if in `refused`.
"""
# ruff: noqa: RUF009  `option` is called for a dataclass's fields as `field` is, and makes one

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, TypeVar, cast

from multicastmw import endpoints, literals
from multicastmw.core.addressing import Channel
from multicastmw.literals import MAX_MTU, MIN_MTU, choice, seconds, seconds_or_never, unless, whole, yes_or_no

T = TypeVar("T")

DEFAULT_ADDRESS = "10.88.0.2/24"
DEFAULT_SOCKET = "/run/mcmw/NAME.sock"
ROTATE_LEAST = 10  # seconds: a tree of which all move more often has no time to become a good one


@dataclass(frozen=True)
class Option:
    """One option: how its text is read, its default as one would write it (None: it must be given)."""

    parse: Callable[[str], object]
    default: str | None
    help: str
    built: bool = True
    secret: bool = False  # its value is shown to nobody
    quiet: tuple[object, ...] = ()
    refused: tuple[object, ...] = ()


def option(parse: Callable[[str], T], default: str | None, says: str, **more: Any) -> T:
    """The field of an option; it says T because that is what the field will hold."""
    about = {"option": Option(parse, default, says, **more)}
    if default is None:
        return cast(T, field(metadata=about))
    # Parsed when asked for: an endpoint needs Twisted, and not every command does.
    return field(default_factory=lambda: parse(default), metadata=about)


def options(section: type[Any]) -> Iterator[tuple[str, str, Option]]:
    """A section's options: name in the file, name of the field, and what is known of it."""
    for each in fields(section):
        if "option" in each.metadata:
            yield each.name.replace("_", "-"), each.name, each.metadata["option"]


@dataclass(frozen=True)
class NodeConfig:
    """[node]"""

    name: str = option(
        lambda text: literals.node_name(text) if text else "",
        "",
        "What this node is called; empty: the host's name.",
    )


@dataclass(frozen=True)
class TapConfig:
    """[tap]"""

    device: str = option(literals.device, "mcmw0", "The name of the TAP device.")
    address: IPv4Interface | None = option(
        unless("", literals.interface_address),
        DEFAULT_ADDRESS,
        "This host's address on the virtual Ethernet; empty: none, as for a TAP in a bridge.",
    )
    mtu: int | None = option(
        unless("auto", whole(MIN_MTU, MAX_MTU)), "auto", f"The TAP's MTU: auto, or {MIN_MTU} to {MAX_MTU}."
    )
    groups: tuple[IPv4Network, ...] = option(
        literals.networks, "224.0.0.0/4", "The groups whose routes are put on the TAP."
    )
    persist: bool = option(yes_or_no, "yes", "Leave the device in place when the node stops.")
    reassemble: bool = option(yes_or_no, "no", "Join IP fragments in the node before they enter the TAP.")
    ttl_floor: int = option(whole(0, 255), "0", "Packets sent with a lower TTL are raised to this one.")


@dataclass(frozen=True)
class IgmpConfig:
    """[igmp]"""

    version: int = option(whole(1, 3), "3", "The version of IGMP that the querier speaks: 1, 2 or 3.")
    # QQIC ends at 31 << 10 (RFC 3376, 4.1.7); below 2 s a host has no time to answer.
    query_interval: int = option(whole(2, 31_744), "10", "Seconds between two general queries.")
    robustness: int = option(whole(1, 7), "2", "How many queries in a row may get lost.")
    querier_address: IPv4Address | None = option(
        unless("", literals.address), "", "The address that queries come from; empty: chosen from the subnet."
    )


@dataclass(frozen=True)
class GroupsConfig:
    """[groups]"""

    allow: tuple[IPv4Network, ...] = option(literals.networks, "", "The only groups let through; empty: all.")
    deny: tuple[IPv4Network, ...] = option(literals.networks, "239.255.255.250/32", "Groups kept out.")
    pin: tuple[Channel, ...] = option(
        literals.pins, "", "Channels that this node wants even while no program does."
    )


@dataclass(frozen=True)
class ListenConfig:
    """[listen]"""

    endpoint: str | None = option(
        unless("", endpoints.server), "tcp:4600", "Where peers may dial in; empty: nowhere."
    )
    udp_port: int | None = option(
        unless("", whole(1, 65_535)), "4600", "The port for data in UDP datagrams; empty: data on TCP only."
    )
    keepalive_timeout: int = option(
        whole(1, 3_600), "10", "After so many seconds without a word a peer is given up."
    )


@dataclass(frozen=True)
class PeerConfig:
    """[peer:NAME]"""

    name: str
    endpoint: str = option(endpoints.client, None, "Where this peer is dialled.")


@dataclass(frozen=True)
class OverlayConfig:
    """[overlay]"""

    engine: str = option(
        choice("static", "mesh"),
        "static",
        "How nodes find each other: static (a tree of [peer:NAME]), or mesh, which builds and heals itself.",
    )
    seeds: tuple[str, ...] = option(
        endpoints.seeds,
        "",
        "Nodes of the mesh that are asked first: endpoints, srv:NAME (DNS), or lan: (this LAN).",
    )
    uplink: int | None = option(
        literals.uplink,
        "auto",
        "What this host can send for others, in kbit/s; 0: nothing; auto: 20 Mbit/s are taken for granted.",
    )
    role: str = option(
        choice("member", "relay"),
        "member",
        "A relay is also a place where members of groups find each other.",
    )
    max_children: int | None = option(
        unless("", whole(0, 65_535)),
        "",
        "How many nodes this one feeds at most, each counted once for every stream that it gets;"
        " empty: as its uplink can.",
    )
    feeds: int = option(
        whole(1, 2),
        "1",
        "From how many nodes a stream of the mesh is taken at once: 1, or 2 where there are two ways.",
    )
    feeds_groups: tuple[IPv4Network, ...] = option(
        literals.networks, "", "The only groups that feeds = 2 is for; empty: all."
    )
    rotate: float = option(
        seconds_or_never(ROTATE_LEAST, 86_400),
        "0",
        "Seconds after which a stream of the mesh is taken from another node; 0: only from a better one.",
    )


@dataclass(frozen=True)
class FastpathConfig:
    """[fastpath]"""

    mode: str = option(
        choice("auto", "off", "require"),
        "auto",
        "Forward in the kernel: auto (where it can), off, or require.",
    )


@dataclass(frozen=True)
class RecoveryConfig:
    """[recovery]"""

    deadline: float = option(
        seconds(60),
        "1.0",
        "Seconds within which a packet that a link has lost is asked for again; 0: off.",
    )
    hold: float = option(
        seconds(60),
        "0.5",
        "Seconds for which a packet waits for an earlier one that is asked for again, so that"
        " programs get them in order; 0: it does not wait.",
    )
    fec: str = option(
        choice("off", "auto", "on"),
        "off",
        "Forward error correction on links whose other end has it, too: off; auto, which sends"
        " parity where over 1 % is lost and what is asked for again comes late; or on, always.",
    )


@dataclass(frozen=True)
class QosConfig:
    """[qos]"""

    dscp: int | None = option(
        unless("copy", whole(0, 63)),
        "copy",
        "The DSCP on our links: copy the packet's, or 0 to 63.",
        built=False,
    )


@dataclass(frozen=True)
class TlsConfig:
    """[tls]"""

    certificate: str = option(literals.free, "", "PEM file with this node's certificate.")
    private_key: str = option(literals.free, "", "PEM file with its private key.")
    authorities: str = option(
        literals.free, "", "PEM file with the authorities that peers' certificates need."
    )
    udp_in_clear: bool = option(
        yes_or_no, "no", "Send data on UDP, unprotected, although the links have TLS."
    )


@dataclass(frozen=True)
class SessionConfig:
    """[session:X]"""

    section: str
    group: IPv4Address = option(literals.group, None, "The group that the session is sent to.")
    port: int = option(whole(1, 65_535), None, "The UDP port that it is sent to.")
    name: str = option(literals.free, "", "The session's title; empty: X.")
    description: str = option(literals.free, "", "A sentence about it.")
    category: str = option(literals.free, "", "What players group it under, as in NEWS.")
    protocol: str = option(
        choice("rtp", "udp"), "rtp", "How its transport stream is sent: rtp, or udp, which is without RTP."
    )


@dataclass(frozen=True)
class ControlConfig:
    """[control]"""

    socket: str | None = option(
        unless("", literals.socket_path), DEFAULT_SOCKET, "The socket that mcmw talks to; empty: none."
    )


@dataclass(frozen=True)
class WebConfig:
    """[web]"""

    endpoint: str | None = option(
        unless("", endpoints.server),
        "",
        "Where the page, the metrics and streams are served; empty: nowhere.",
    )
    token: str = option(
        literals.token,
        "",
        "What a caller has to know; empty: drawn at each start, where others reach the endpoint.",
        secret=True,
    )


@dataclass(frozen=True)
class ManholeConfig:
    """[manhole]"""

    endpoint: str | None = option(
        unless("", endpoints.local_server), "", "A Python prompt inside the node; empty: none."
    )
    authorized_keys: str = option(
        literals.free, "", "File with the SSH keys that may log in; empty: telnet, for whoever reaches it."
    )
    host_key: str = option(literals.free, "", "File with the private key that the node shows them.")


LOG_LEVELS = ("debug", "info", "warn", "error", "critical")


@dataclass(frozen=True)
class LogConfig:
    """[log]"""

    level: str = option(choice(*LOG_LEVELS), "info", "The least level that is written.")
    format: str = option(choice("text", "json"), "text", "One line a message: text, or json.")


SECTIONS: dict[str, type[Any]] = {
    "node": NodeConfig,
    "tap": TapConfig,
    "igmp": IgmpConfig,
    "groups": GroupsConfig,
    "listen": ListenConfig,
    "overlay": OverlayConfig,
    "fastpath": FastpathConfig,
    "recovery": RecoveryConfig,
    "qos": QosConfig,
    "tls": TlsConfig,
    "control": ControlConfig,
    "web": WebConfig,
    "manhole": ManholeConfig,
    "log": LogConfig,
}
# Sections that there may be many of, each with a name of its own: [peer:b].
NAMED: dict[str, type[Any]] = {"peer": PeerConfig, "session": SessionConfig}
