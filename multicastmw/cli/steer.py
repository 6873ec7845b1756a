"""`mcmw peer add|remove` and `mcmw group pin|unpin`: changes in a running node, beside its node.ini."""

import json

import click

from multicastmw.cli.main import Target, exit_codes
from multicastmw.cli.which import asking, control_of

CODES = {0: "it is done", 1: "it is not, and one line says why"}
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a line.")


@click.group(epilog=exit_codes({}))
def peer() -> None:
    """Have a running node dial a peer, or no longer.

    It holds until the node reads its node.ini again or ends; what is to stay goes into that file, as
    [peer:NAME], and `mcmw reload` has it read.
    """


@peer.command(epilog=exit_codes(CODES))
@click.argument("name")
@click.argument("endpoint")
@as_json
@click.pass_obj
def add(target: Target, name: str, endpoint: str, as_json: bool) -> None:
    """Dial a peer, such as b at tcp:b.example.net:4600."""
    _ask(target, "/peer/add", {"name": name, "endpoint": endpoint}, as_json)


@peer.command(epilog=exit_codes(CODES))
@click.argument("name")
@as_json
@click.pass_obj
def remove(target: Target, name: str, as_json: bool) -> None:
    """Dial a peer no longer, and close the link.

    One that the peer itself has dialled stays.
    """
    _ask(target, "/peer/remove", {"name": name}, as_json)


@click.group(epilog=exit_codes({}))
def group() -> None:
    """Have a running node want a group though no program does, or no longer.

    It holds until the node reads its node.ini again or ends; what is to stay goes into that file, as
    [groups] pin, and `mcmw reload` has it read.
    """


@group.command(epilog=exit_codes(CODES))
@click.argument("channel", metavar="GROUP")
@as_json
@click.pass_obj
def pin(target: Target, channel: str, as_json: bool) -> None:
    """Want GROUP, or SOURCE@GROUP, so that it comes to this node."""
    _ask(target, "/group/pin", {"group": channel}, as_json)


@group.command(epilog=exit_codes(CODES))
@click.argument("channel", metavar="GROUP")
@as_json
@click.pass_obj
def unpin(target: Target, channel: str, as_json: bool) -> None:
    """Want a pinned GROUP, or SOURCE@GROUP, no longer than programs do."""
    _ask(target, "/group/unpin", {"group": channel}, as_json)


def _ask(target: Target, resource: str, said: dict[str, str], as_json: bool) -> None:
    control = control_of(target)
    with asking(control):
        done = control.post(resource, said)
    click.echo(json.dumps(done) if as_json else done["what"])
