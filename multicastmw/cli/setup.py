"""`mcmw setup`: the folders of several nodes, each ready to run: node.ini, key, certificate.

    mcmw setup b=b.example.net a c

    authority.key, authority.pem        stay here: with them nodes are added
    a/  b/  c/                          go to the nodes' hosts
        node.ini  NAME.key  NAME.pem  authority.pem

A node dials those that have a HOST: one with a HOST of its own only those that stand before it, so that two
of them have one link.  What is more than a tree needs stands by.
"""

import json
import shutil
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Network, IPv6Address
from pathlib import Path
from typing import NamedTuple

import click

from multicastmw import endpoints, literals
from multicastmw.cli import keys
from multicastmw.cli.main import Failure, exit_codes
from multicastmw.cli.text import plain

PORT = 4600
SUBNET = "10.88.0.0/24"
PAGE = "tcp:8080:interface=127.0.0.1"
INI = "node.ini"


Sections = dict[str, dict[str, str]]


class Plan(NamedTuple):
    """A node that is to be: `host` is where others reach it, empty for one that only dials."""

    name: str
    host: str
    address: str  # of its TAP, with the prefix
    dials: tuple[tuple[str, str], ...]  # names and endpoints
    sections: Sections  # of node.ini, besides

    def ini(self) -> str:
        sections: Sections = {
            "node": {"name": self.name},
            "tap": {"address": self.address},
            "tls": {
                "certificate": f"{self.name}.pem",
                "private-key": f"{self.name}.key",
                "authorities": keys.AUTHORITY,
            },
        }
        sections |= {f"peer:{name}": {"endpoint": endpoint} for name, endpoint in self.dials}
        blocks = [
            f"[{title}]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
            for title, options in (sections | self.sections).items()
        ]
        return "\n".join(["# Made by `mcmw setup`; mcmw-node.ini(5) explains every option.\n", *blocks])


@click.command(
    epilog=exit_codes({0: "they are made", 1: "they are not, and one line says why"}),
    short_help="Make the node.ini and the keys of several nodes.",
)
@click.argument("nodes", nargs=-1, required=True, metavar="NAME[=HOST]...")
@keys.FOLDER
@click.option("--page", is_flag=True, help="Each node shows its page to its own host, at port 8080.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Where nodes are reached."
)
@click.option(
    "--session", "sessions", metavar="NAME=GROUP:PORT", multiple=True,
    help="The first node announces it, for a sender that does not (RTP); may be repeated.",
)  # fmt: skip
@click.option(
    "--subnet", metavar="NETWORK", default=SUBNET, show_default=True,
    help="The virtual Ethernet that they make; used for nothing else.",
)  # fmt: skip
@keys.JSON
def setup(
    nodes: tuple[str, ...], folder: Path, page: bool, port: int, sessions: tuple[str, ...], subnet: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Make a folder for each of several nodes: node.ini, and keys for TLS.

    NAME is what a node is called.  HOST is where the others reach it, as in
    b=b.example.net or b=192.0.2.7; at least one needs it, and the others dial.

    \b
    mcmw setup b=b.example.net a c
    scp a/* root@a.example.net:/etc/mcmw/
    twistd -n mcmw -c /etc/mcmw/node.ini         there

    authority.key stays where it was made: who has it can add nodes.  To add one
    yourself, give all of them again, with new ones at the end: what is there
    already is left as it is.
    """
    plans = planned(nodes, port, subnet)
    everywhere: Sections = {}
    if port != PORT:
        everywhere["listen"] = {"endpoint": f"tcp:{port}", "udp-port": str(port)}
    if page:
        everywhere["web"] = {"endpoint": PAGE}
    plans[0].sections.update(_announced(sessions))
    made = make(folder, [plan._replace(sections=plan.sections | everywhere) for plan in plans])
    if as_json:
        told = [
            {"name": plan.name, "folder": str(folder / plan.name), "address": plan.address,
             "dials": [name for name, _ in plan.dials], "made": plan.name in made}
            for plan in plans
        ]  # fmt: skip
        click.echo(json.dumps({"nodes": told}))
        return
    for plan in plans:
        click.echo(
            plain(f"{folder / plan.name}: {_words(plan)}{'' if plan.name in made else '; it was there'}")
        )
    click.echo(f"keep {folder / keys.AUTHORITY_KEY} here: who has it can add nodes")
    click.echo(f"next: each folder to its host, and there: twistd -n mcmw -c FOLDER/{INI}")


def _words(plan: Plan) -> str:
    """What becomes of it."""
    names = ", ".join(name for name, _ in plan.dials)
    links = f"dials {names}" if names else f"is dialled at {plan.host}" if plan.host else "is alone"
    return f"{plan.name} has {plan.address}, {links}"


def planned(nodes: Sequence[str], port: int, subnet: str) -> list[Plan]:
    """What is meant by NAME[=HOST]...; raises click.UsageError."""
    pairs = [node.partition("=")[::2] for node in nodes]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise click.UsageError("a name is given twice, and no two nodes may share one")
    if len(names) > 1 and not any(host for _, host in pairs):
        raise click.UsageError(
            f"one of them has to be reached: {names[0]}=HOST says where the others dial it"
        )
    addresses = _addresses(subnet, len(names))
    reached: list[tuple[str, str]] = []
    plans = []
    for (name, host), address in zip(pairs, addresses, strict=True):
        before = tuple(reached)
        if host:
            reached.append((name, _endpoint(host, port)))
        plans.append(Plan(name, host, address, before, {}))
    return [plan if plan.host else plan._replace(dials=tuple(reached)) for plan in plans]


def _addresses(subnet: str, count: int) -> list[str]:
    try:
        network = IPv4Network(subnet)
    except ValueError as error:
        raise click.UsageError(f"--subnet: {error}") from None
    hosts = list(zip(network.hosts(), range(count), strict=False))
    if len(hosts) < count or network.num_addresses < count + 3:  # and one for the querier
        raise click.UsageError(f"--subnet: {network} has no room for {count} nodes and their querier")
    return [f"{host}/{network.prefixlen}" for host, _ in hosts]


def _endpoint(host: str, port: int) -> str:
    try:
        if ":" not in host:
            return endpoints.client(f"tcp:{host}:{port}")
        quoted = str(IPv6Address(host.strip("[]"))).replace(":", "\\:")
        return endpoints.client(f"tcp:host={quoted}:port={port}")
    except AddressValueError:
        raise click.UsageError(f"{literals.shown(host)} is no address; --port gives the port") from None
    except ValueError as error:
        raise click.UsageError(f"{literals.shown(host)}: {error}") from None


def _announced(sessions: Sequence[str]) -> Sections:
    """What node.ini says of NAME=GROUP:PORT."""
    found: Sections = {}
    for number, session in enumerate(sessions, 1):
        name, _, where = session.rpartition("=")
        group, _, port = where.rpartition(":")
        try:
            if not name.strip() or not name.isprintable():
                raise ValueError(f"{literals.shown(session)} gives it no name")
            literals.group(group)
            literals.whole(1, 65_535)(port)
        except ValueError as error:
            raise click.UsageError(f"--session: {error}; as in Film=239.1.2.3:5004") from None
        found[f"session:{number}"] = {"name": name, "group": group, "port": port}
    return found


def make(folder: Path, plans: Sequence[Plan]) -> set[str]:
    """Names of those that were not there before; raises Failure."""
    keys.check_names([plan.name for plan in plans])
    new = [plan for plan in plans if not (folder / plan.name / INI).exists()]
    if not (folder / keys.AUTHORITY).exists():
        keys.make_authority(folder)
    keys.make_node(folder, [plan.name for plan in new], apart=True)
    for plan in new:
        own = folder / plan.name
        try:
            shutil.copyfile(folder / keys.AUTHORITY, own / keys.AUTHORITY)
            (own / INI).write_text(plan.ini())  # the last: it says that all is there
        except OSError as error:
            raise Failure(f"{error.filename}: {error.strerror}") from None
    return {plan.name for plan in new}
