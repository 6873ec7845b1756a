"""`mcmw setup`: the folders of several nodes, each ready to run: node.ini, key, certificate.

    mcmw setup b=b.example.net a c

    authority.key, authority.pem        stay here: with them nodes are added
    a/  b/  c/                          go to the nodes' hosts
        node.ini  NAME.key  NAME.pem  authority.pem

A node dials those that have a HOST: one with a HOST of its own only those that stand before it, so that two
of them have one link.  What is more than a tree needs stands by.  In a mesh the first three with a HOST are
the seeds of all, and the nodes do the rest.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from multicastmw import literals
from multicastmw.cli import keys, meshplans
from multicastmw.cli.main import Failure, exit_codes
from multicastmw.cli.plans import INI, PORT, Plan, Sections, hosts_of, is_mesh, planned, there
from multicastmw.cli.text import plain, short, some, wrapped
from multicastmw.config import Config, ConfigError, read

SUBNET = "10.88.0.0/24"
PAGE = "tcp:8080:interface=127.0.0.1"
ROOM = 40  # columns for whom a node dials, or its host


@click.command(
    epilog=exit_codes({0: "they are made", 1: "they are not, and one line says why"}),
    short_help="Make the node.ini and the keys of several nodes.",
)
@click.argument("nodes", nargs=-1, required=True, metavar="NAME[=HOST]...")
@keys.FOLDER
@click.option("--mesh", is_flag=True, help="An overlay that builds and heals itself, in place of a tree.")
@click.option("--page", is_flag=True, help="A new node shows its page to its own host, at port 8080.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=PORT, show_default=True,
    help="Where new nodes are reached.",
)  # fmt: skip
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
    nodes: tuple[str, ...], folder: Path, mesh: bool, page: bool, port: int, sessions: tuple[str, ...],
    subnet: str, as_json: bool,
) -> None:  # fmt: skip
    """Make a folder for each of several nodes: node.ini, and keys for TLS.

    NAME is what a node is called.  HOST is where the others reach it, as in
    b=b.example.net or b=192.0.2.7; at least one needs it, and the others dial.

    With --mesh, for many nodes, the first three with a HOST are seeds and relays,
    and each finds the others by itself.  Who has no HOST need not be reached.
    Who is added to a mesh asks the seeds that those ask that are there.

    \b
    mcmw setup b=b.example.net a c
    scp a/* root@a.example.net:/etc/mcmw/
    twistd -n mcmw -c /etc/mcmw/node.ini         there

    authority.key stays where it was made: who has it can add nodes.  To add one
    yourself, give all of them again, and the new ones: what is there already is
    left as it is, and new nodes take from it where they dial and which addresses
    are free.
    """
    hosts = hosts_of(nodes)
    keys.check_names(list(hosts))
    present = there(folder, hosts)
    make_plans = meshplans.planned if is_mesh(folder, present, mesh) else planned
    plans = make_plans(folder, hosts, port, subnet, present)
    everywhere: Sections = {}
    if port != PORT:
        everywhere["listen"] = {"endpoint": f"tcp:{port}", "udp-port": str(port)}
    if page:
        everywhere["web"] = {"endpoint": PAGE}
    announced = _announced(sessions)
    if plans[0].is_new:
        plans[0].sections.update(announced)
    else:
        _check_announced(folder / plans[0].name / INI, present[plans[0].name], announced)
    plans = [plan._replace(sections=_besides(plan, everywhere)) for plan in plans]
    make(folder, [plan for plan in plans if plan.is_new])
    if as_json:
        told = [
            {"name": plan.name, "folder": str(folder / plan.name), "address": plan.address,
             "dials": [name for name, _ in plan.dials], "made": plan.is_new, "seed": plan.is_seed,
             "relay": plan.is_relay}
            for plan in plans
        ]  # fmt: skip
        click.echo(json.dumps({"nodes": told}))
        return
    for plan in plans:
        click.echo(_line(folder, plan))
    if (folder / keys.AUTHORITY_KEY).exists():
        click.echo(f"keep {plain(folder / keys.AUTHORITY_KEY)} here: who has it can add nodes")
    click.echo(f"next: each folder to its host, and there: twistd -n mcmw -c FOLDER/{INI}")


def _besides(plan: Plan, everywhere: Sections) -> Sections:
    """What its node.ini has besides; what only this node has goes before what all have."""
    both = everywhere | plan.sections
    return {title: everywhere.get(title, {}) | options for title, options in both.items()}


def _line(folder: Path, plan: Plan) -> str:
    """What became of it, in as many lines of 80 columns as it takes; only a path may stick out."""
    links = "is alone" if plan.is_new else "dials nobody"
    if plan.is_relay or plan.is_seed:
        is_what = " and ".join(["seed"] * plan.is_seed + ["relay"] * plan.is_relay)
        links = f"is a {is_what}" + (f", at {short(plan.host, ROOM)}" if plan.host else "")
    elif plan.overlay and plan.dials:
        links = f"asks {some([name for name, _ in plan.dials], ROOM)}"
    elif plan.dials:
        links = f"dials {some([name for name, _ in plan.dials], ROOM)}"
    elif plan.host:
        links = f"is dialled at {short(plan.host, ROOM)}"
    said = f"{folder / plan.name}: {plan.name} has {plan.address or 'no address'}, {links}"
    return wrapped(plain(said if plan.is_new else f"{said}; it was there"), break_long_words=False)


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
        found[f"session:{number}"] = {"name": name.strip(), "group": group, "port": port}
    return found


def _check_announced(ini: Path, config: Config, wanted: Sections) -> None:
    """A node that is there announces what it did."""
    found = [(each.name, str(each.group), str(each.port)) for each in config.sessions]
    for session in wanted.values():
        if tuple(session.values()) not in found:
            name = literals.shown(session["name"])
            raise Failure(f"{ini} does not announce {name}, and is left as it is: add it there")


def make(folder: Path, plans: Sequence[Plan]) -> None:
    """All of these nodes' folders, each of them whole or not at all; raises Failure, click.UsageError."""
    if not plans:
        return
    for plan in plans:
        _check(folder / plan.name, plan)
    names = [plan.name for plan in plans]
    authority, key = folder / keys.AUTHORITY, folder / keys.AUTHORITY_KEY
    if not os.path.lexists(authority):
        keys.make_authority(folder)
    elif not os.path.lexists(key):
        raise Failure(f"{key} is not there, and signs the keys of {some(names, 20)}: bring it back till then")
    with _folders_beside(folder, names) as beside:
        keys.make_node(folder, names, folders=beside)
        for plan in plans:
            keys.write(beside[plan.name] / keys.AUTHORITY, authority.read_bytes(), 0o644)
            keys.write(beside[plan.name] / INI, plan.ini().encode(), 0o644)
        for name in names:
            os.rename(beside[name], folder / name)  # goes over nothing but an empty folder


def _check(own: Path, plan: Plan) -> None:
    """Would a node start with it, and is there room for its folder?"""
    try:
        warnings = read(plan.ini(), str(own / INI), plan.name).warnings
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    if warnings:
        raise click.UsageError(f"{own / INI}: {warnings[0]}")
    if plan.name in (keys.AUTHORITY, keys.AUTHORITY_KEY):
        raise Failure(f"{plan.name}: that is what a file of the authority is called")
    try:
        is_free = not os.path.lexists(own) or (
            not own.is_symlink() and own.is_dir() and not any(own.iterdir())
        )
    except OSError as error:
        raise Failure(f"{own}: {error.strerror}") from None
    if not is_free:
        raise Failure(f"{own} is there already, without a {INI}, and is left as it is: move it away")


@contextmanager
def _folders_beside(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Path]]:
    """A folder for each, to be renamed when all is in it; what was not is taken away again."""
    made: dict[str, Path] = {}
    try:
        for name in names:
            beside = folder / f".{name}.{os.getpid()}"
            beside.mkdir()
            made[name] = beside
        yield made
    except OSError as error:
        raise Failure(f"{error.filename2 or error.filename}: {error.strerror}") from None
    finally:
        for beside in made.values():
            shutil.rmtree(beside, ignore_errors=True)
