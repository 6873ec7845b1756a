"""What this host says of itself: files under /proc and /sys, the kernel's routing table, nftables."""

import ctypes
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from multicastmw.cli.doctor.paths import swallowed
from multicastmw.cli.doctor.walls import Wall, standing
from multicastmw.core.fastpath.tables import AROUND
from multicastmw.endpoints import dialled, is_address
from multicastmw.net import netlink
from multicastmw.net.bpf.kernel import CAPABILITIES, SYS_ADMIN, effective_capabilities
from multicastmw.net.netlink import Netlink

Status = dict[str, Any]

TIME_ERROR = 5  # adjtimex(2): nobody keeps this clock
SOME_GROUP = 0x10203  # in a prefix of that size: whose route is looked up for programs that name no interface
ANYWHERE = IPv4Address(0)
SOMEWHERE = ("192.0.2.1", 9)  # of no network (RFC 5737); nothing is sent there


@dataclass(frozen=True)
class Facts:
    """As far as they could be seen."""

    earlier: Status = field(
        default_factory=dict
    )  # the node's status some seconds before; empty: nobody asked
    tun: str = ""  # why /dev/net/tun is of no use; empty: it is
    is_down: bool = False  # the TAP is there, and somebody put it down
    capabilities: frozenset[str] | None = None  # of the node's process
    elsewhere: bool = False  # it has another network than this command
    here: str | None = None  # this host's address towards the Internet
    strict: bool = False  # rp_filter is 1 on the TAP
    joined: Mapping[str, frozenset[str]] = field(default_factory=dict)  # groups by interface
    # By prefix of groups: the interface that programs use which name none.
    groups_by: Mapping[str, str | None] = field(default_factory=dict)
    ways: Mapping[str, str | None] = field(default_factory=dict)  # the interface towards an address
    into_tap: tuple[IPv4Network, ...] = ()  # what is routed to the TAP
    networks: tuple[tuple[str, IPv4Network], ...] = ()  # of other interfaces than the TAP, with their names
    snoops: bool = False  # the TAP's bridge forwards only to ports that it has heard reports on
    swallowed: Mapping[str, int] = field(
        default_factory=dict
    )  # by peer's address, the longest packet that comes through, where long ones vanish
    walls: tuple[Wall, ...] = ()  # chains of a firewall that may stop something
    clock_is_kept: bool = True


def gather(status: Status, earlier: Status | None = None) -> Facts:
    """Everything that the checks ask for; what is not to be had is left out."""
    pid, device = status["node"]["pid"], status["tap"]["device"]
    sources = [route["source"] for route in status["routes"] if device in route["to"]]
    peers = filter(None, map(address_of, status["peers"]))
    gateway = status["tap"]["gateway"]
    return Facts(
        earlier=earlier or {},
        tun=_tun(),
        is_down=_is_down(device),
        capabilities=_capabilities(pid),
        elsewhere=_is_elsewhere(pid),
        here=_here(),
        strict=_strict(device),
        joined=_joined(),
        groups_by=_groups_by(status["tap"]["groups"]),
        ways=_ways([*sources, *peers]),
        into_tap=_into(device),
        networks=_networks(device),
        snoops=bool(gateway) and _snoops(gateway["bridge"]),
        swallowed=_swallowed(status),
        walls=standing(),
        clock_is_kept=_clock_is_kept(),
    )


def address_of(peer: Status) -> str | None:
    """Where a peer is, or is dialled; None where that is a name."""
    found = peer["address"] or (dialled(peer["endpoint"]).get("host") if peer["endpoint"] else None)
    return found if found and is_address(found) else None


def _swallowed(status: Status) -> Mapping[str, int]:
    """Of the ways that datagrams go, with the longest that programs here may cause."""
    linked = [peer for peer in status["peers"] if peer["state"] == "up" and peer["data"] == "udp"]
    addresses = [address for peer in linked if (address := address_of(peer)) and ":" not in address]
    longest = min(status["tap"]["longest"] or 0, status["tap"]["mtu"] or 0)
    return swallowed(addresses, longest + AROUND) if addresses and longest else {}


def memberships(text: str) -> dict[str, frozenset[str]]:
    """Groups by interface, from /proc/net/igmp."""
    found: dict[str, set[str]] = {}
    device = ""
    for line in text.splitlines()[1:]:
        words = line.split()
        if line[:1].isdigit() and len(words) > 1:
            device = words[1]
        elif words and device:
            with suppress(ValueError, struct.error):
                found.setdefault(device, set()).add(str(_address(words[0])))
    return {name: frozenset(groups) for name, groups in found.items()}


def routed_into(text: str, device: str) -> tuple[IPv4Network, ...]:
    """What /proc/net/route sends to a device."""
    return tuple(network for name, network, _ in _routes(text) if name == device)


def networks_of(text: str) -> tuple[tuple[str, IPv4Network], ...]:
    """The interfaces' own networks, from /proc/net/route: whose hosts are reached without a gateway."""
    return tuple(
        (name, network)
        for name, network, gateway in _routes(text)
        if gateway == ANYWHERE and network.prefixlen and not network.is_multicast
    )


def _routes(text: str) -> Iterator[tuple[str, IPv4Network, IPv4Address]]:
    """Device, network and gateway of each line of /proc/net/route."""
    for line in text.splitlines()[1:]:
        row = line.split()
        with suppress(ValueError, struct.error, IndexError):
            yield row[0], IPv4Network((str(_address(row[1])), str(_address(row[7])))), _address(row[2])


def _address(word: str) -> IPv4Address:
    """Of a number as it stands in memory: bytes in the machine's order."""
    return IPv4Address(struct.pack("=I", int(word, 16)))


def _tun() -> str:
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"/dev/net/tun: {error.strerror}"
    return ""


def _is_down(device: str) -> bool:
    try:
        return not netlink.flags(device) & netlink.IFF_UP
    except OSError:
        return False  # it is not there


def _capabilities(pid: int) -> frozenset[str] | None:
    try:
        held = effective_capabilities(str(pid))
    except OSError:
        return None
    names = CAPABILITIES | {SYS_ADMIN: "CAP_SYS_ADMIN"}
    return frozenset(name for bit, name in names.items() if held >> bit & 1)


def _is_elsewhere(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return False  # another user's, as far as it can be seen


def _here() -> str | None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking, suppress(OSError):
        asking.connect(SOMEWHERE)
        return str(asking.getsockname()[0])
    return None


def _strict(device: str) -> bool:
    """The kernel takes the larger of the two."""
    return max(_number(f"/proc/sys/net/ipv4/conf/{name}/rp_filter") for name in ("all", device)) == 1


def _number(path: str) -> int:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return 0


def _joined() -> dict[str, frozenset[str]]:
    try:
        return memberships(Path("/proc/net/igmp").read_text())
    except OSError:
        return {}


def _into(device: str) -> tuple[IPv4Network, ...]:
    return routed_into(_table(), device)


def _networks(device: str) -> tuple[tuple[str, IPv4Network], ...]:
    return tuple((name, network) for name, network in networks_of(_table()) if name != device)


def _table() -> str:
    try:
        return Path("/proc/net/route").read_text()
    except OSError:
        return ""


def _groups_by(prefixes: Iterable[str]) -> dict[str, str | None]:
    groups = {prefix: str(_some_group(IPv4Network(prefix))) for prefix in prefixes}
    ways = _ways(groups.values())
    return {prefix: ways[group] for prefix, group in groups.items()}


def _some_group(prefix: IPv4Network) -> IPv4Address:
    return prefix.network_address + (SOME_GROUP if prefix.num_addresses > SOME_GROUP else 0)


def _ways(addresses: Iterable[str]) -> dict[str, str | None]:
    links = Netlink()
    found: dict[str, str | None] = {}
    try:
        for address in dict.fromkeys(addresses):
            with suppress(ValueError):  # a key of the overlay that is none
                found[address] = links.device_towards(address)
    finally:
        links.close()
    return found


def _snoops(bridge: str | None) -> bool:
    return bool(bridge) and _number(f"/sys/class/net/{bridge}/bridge/multicast_snooping") == 1


def _clock_is_kept() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    block = ctypes.create_string_buffer(512)  # struct timex, zeroed: nothing is set
    return int(libc.adjtimex(block)) != TIME_ERROR
