"""What `mcmw setup` is to make: a plan for each node, of NAME[=HOST]... and of the nodes that are there.

What a node.ini says goes before what would be planned.  Its address is its own, and is taken; its port is
where new nodes dial it; and where it says other than the command line, nothing is made and one line says so.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import click

from multicastmw import endpoints
from multicastmw.cli import keys
from multicastmw.cli.main import Failure
from multicastmw.cli.text import plain
from multicastmw.config import Config, ConfigError, load
from multicastmw.literals import shown

INI = "node.ini"
PORT = 4600
UPLINK = """\
# What this host can send for others, in kbit/s; without it 20 Mbit/s are taken for granted.
#uplink = 20000
"""

Sections = dict[str, dict[str, str]]
Nodes = Mapping[str, Config]


class Plan(NamedTuple):
    """A node that is to be, or is there: `host` is where others reach it, empty for one that only dials."""

    name: str
    host: str
    address: str | None  # of its TAP, with the prefix
    dials: tuple[tuple[str, str], ...]  # names and endpoints; in a mesh those that it asks first
    is_new: bool
    sections: Sections  # of node.ini, besides
    overlay: Mapping[str, str] = {}  # of a mesh's node: [overlay] but for its seeds
    is_seed: bool = False  # the others of the mesh ask it

    @property
    def is_relay(self) -> bool:
        return self.overlay.get("role") == "relay"

    def ini(self) -> str:
        sections: Sections = {
            "node": {"name": self.name},
            "tap": {"address": self.address or ""},
            "tls": {
                "certificate": f"{self.name}.pem",
                "private-key": f"{self.name}.key",
                "authorities": keys.AUTHORITY,
            },
        }
        if self.overlay:
            seeds = ", ".join(endpoint for _, endpoint in self.dials)
            sections["overlay"] = {**self.overlay, **({"seeds": seeds} if seeds else {})}
        else:
            sections |= {f"peer:{name}": {"endpoint": endpoint} for name, endpoint in self.dials}
        blocks = [
            f"[{title}]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
            for title, options in (sections | self.sections).items()
        ]
        if self.overlay:
            blocks[list(sections).index("overlay")] += UPLINK
        return "\n".join(["# Made by `mcmw setup`; mcmw-node.ini(5) explains every option.\n", *blocks])


def hosts_of(nodes: Sequence[str]) -> dict[str, str]:
    """NAME[=HOST]... by name; raises click.UsageError."""
    pairs = [node.partition("=") for node in nodes]
    hosts = {name: host.strip("[]") if ":" in host else host for name, _, host in pairs}
    if len(hosts) < len(pairs):
        raise click.UsageError("a name is given twice, and no two nodes may share one")
    for name, equals, host in pairs:
        if equals and not endpoints.is_host(hosts[name]):
            raise click.UsageError(
                f"{name}: {shown(host)} is no host's name and no address; --port gives the port"
            )
    return hosts


def there(folder: Path, names: Collection[str]) -> dict[str, Config]:
    """The nodes that have a folder here, by its name; raises Failure where a node.ini does not tell."""
    found = {}
    for path in sorted(folder.glob(f"*/{INI}")):
        name = path.parent.name
        if name.startswith("."):  # what a run that was killed left
            continue
        try:
            found[name] = load(str(path), name if name in names else "another")
        except ConfigError as error:
            raise Failure(str(error)) from None
        if name in names and found[name].node.name != name:
            raise Failure(f"{path}: that is the node {plain(found[name].node.name)}, and not {name}")
    return found


def planned(folder: Path, hosts: Mapping[str, str], port: int, subnet: str, present: Nodes) -> list[Plan]:
    """One for each, in this order; new nodes dial those that are there, too.

    Raises click.UsageError, or Failure where it does not fit what is there.
    """
    check_some_host(hosts)
    addresses = addresses_of(folder, hosts, subnet, present)
    reached = {
        name: reached_at(folder, name, host, port, present, _dialled_by(folder, name, present))
        for name, host in hosts.items()
        if host
    }
    before = [name for name in reached if name in present]
    plans = {}
    for name, host in hosts.items():
        if name in present:
            address = present[name].tap.address
            dials = tuple((peer.name, peer.endpoint) for peer in present[name].peers)
            plans[name] = Plan(name, host, str(address) if address else None, dials, False, {})
            continue
        dialled = tuple(before if host else reached)
        plans[name] = Plan(
            name, host, addresses[name], tuple((each, reached[each]) for each in dialled), True,
            listens(host, port),
        )  # fmt: skip
        before += [name] if host else []
    if addresses:
        _check_links(list(plans.values()), present)
    return list(plans.values())


def is_mesh(folder: Path, present: Nodes, asked: bool) -> bool:
    """Are they a mesh's?  As the nodes are that are there; raises Failure where that is not what is asked."""
    engines = {config.overlay.engine: name for name, config in present.items()}
    if len(engines) > 1:
        of_mesh, of_tree = (folder / engines[each] / INI for each in ("mesh", "static"))
        raise Failure(f"{of_mesh} is of a mesh, and {of_tree} of a tree: a border joins them by hand")
    if asked and "static" in engines:
        raise Failure(f"{folder / engines['static'] / INI} is of a tree: give another folder with --in")
    return asked or "mesh" in engines


def check_some_host(hosts: Mapping[str, str]) -> None:
    """Raises click.UsageError where nobody could dial anybody."""
    if len(hosts) > 1 and not any(hosts.values()):
        raise click.UsageError(
            f"one of them has to be reached: {next(iter(hosts))}=HOST says where the others dial it"
        )


def listens(host: str, port: int) -> Sections:
    """What its node.ini has to say of it: tcp:PORT, which goes without saying, is of IPv4 alone."""
    return {"listen": {"endpoint": f"tcp6:{port}"}} if ":" in host else {}


def addresses_of(folder: Path, hosts: Collection[str], subnet: str, present: Nodes) -> dict[str, str]:
    """One that nobody has for each node that is not there yet."""
    new = [name for name in hosts if name not in present]
    return dict(zip(new, _addresses(folder, hosts, subnet, present, len(new)), strict=True))


def _addresses(folder: Path, hosts: Collection[str], subnet: str, present: Nodes, count: int) -> list[str]:
    """So many that nobody has."""
    try:
        network = IPv4Network(subnet)
    except ValueError as error:
        raise click.UsageError(f"--subnet: {error}") from None
    taken: dict[IPv4Address, str] = {}
    for name, config in present.items():
        own, ini = config.tap.address, folder / name / INI
        if own is None:
            continue
        if count and name in hosts and own.network != network:
            raise Failure(f"{ini} has {own}, which is not of {network}; --subnet {own.network} is")
        other = taken.setdefault(own.ip, name)
        if other != name and (name in hosts or other in hosts):
            raise Failure(f"{folder / other / INI} has {own.ip}, and {ini} has it too: change one of them")
        if querier := config.igmp.querier_address:
            taken.setdefault(querier, name)
    used = sum(address in network for address in taken)
    if network.num_addresses < used + count + 3:  # and one for the querier
        raise click.UsageError(f"--subnet: {network} has no room for {used + count} nodes and their querier")
    free = (host for host in network.hosts() if host not in taken)
    return [f"{host}/{network.prefixlen}" for host in islice(free, count)]


def _dialled_by(folder: Path, name: str, present: Nodes) -> dict[str, Path]:
    """Where it is dialled, as which file says."""
    return {
        peer.endpoint: folder / other / INI
        for other, config in present.items()
        for peer in config.peers
        if peer.name == name
    }


def reached_at(
    folder: Path, name: str, host: str, port: int, present: Nodes, known: Mapping[str, Path]
) -> str:
    """The endpoint where it is dialled, which is a `known` one where those that are there dial it."""
    own = present.get(name)
    wanted = [each for each in known if _is_at(each, host, port if own is None else None)]
    if not wanted:
        wanted = [_endpoint(host, port)] if own is None else _listening(folder, name, host, own)
    if known and wanted[0] not in known:
        endpoint, ini = next(iter(known.items()))
        raise Failure(f"{plain(ini)} has {name} at {plain(endpoint)}, and not at {wanted[0]}: change one")
    return wanted[0]


def _is_at(endpoint: str, host: str, port: int | None) -> bool:
    """Does it dial this host, at this port or at any?"""
    there, asked = endpoints.dialled(endpoint), endpoints.dialled(_endpoint(host, port or PORT))
    same_host = there.get("host", "").lower() == asked["host"].lower()
    return same_host and (port is None or there["port"] == asked["port"])


def _listening(folder: Path, name: str, host: str, own: Config) -> list[str]:
    """Where a node that nobody dials so far would be dialled."""
    listen = own.listen.endpoint
    port = endpoints.listened(listen).get("port", "0") if listen else "0"
    if port == "0":
        said = f"listens at {plain(listen)}" if listen else "listens nowhere"
        raise Failure(f"{folder / name / INI}: it {said}, where nobody can dial it: [listen] endpoint")
    return [_endpoint(host, int(port))]


def _endpoint(host: str, port: int) -> str:
    """Of a host that endpoints.is_host has looked at."""
    if ":" not in host:
        return f"tcp:{host}:{port}"
    quoted = str(IPv6Address(host)).replace(":", "\\:")
    return f"tcp:host={quoted}:port={port}"


def _check_links(plans: Sequence[Plan], present: Nodes) -> None:
    """No node is made that has no way to the others."""
    links = [(plan.name, name) for plan in plans for name, _ in plan.dials]
    links += [(name, peer.name) for name, config in present.items() for peer in config.peers]
    first = plans[0].name
    joined = _joined(first, links)
    for plan in plans:
        if plan.name not in joined:
            raise Failure(
                f"nothing would link {plan.name} and {first}: "
                f"give one that is there as NAME=HOST, and the new ones dial it"
            )


def _joined(first: str, links: Iterable[tuple[str, str]]) -> set[str]:
    """All that these links lead to."""
    near: dict[str, set[str]] = {}
    for one, other in links:
        near.setdefault(one, set()).add(other)
        near.setdefault(other, set()).add(one)
    joined, ahead = {first}, [first]
    while ahead:
        more = near.get(ahead.pop(), set()) - joined
        joined |= more
        ahead += more
    return joined
