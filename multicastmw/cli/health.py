"""`mcmw health`: is the node well, in one exit code, for whoever starts it again or takes it out of service.

A node is well that answers and whose TAP is up.  Peers count only where --peers asks for them: a link that is
down is mostly somebody else's, no start mends it, and a node that waits for its peers does what it should.
"""

import json
from typing import Any

import click

from multicastmw.cli.main import Failure, Target, exit_codes
from multicastmw.cli.text import plain
from multicastmw.cli.which import asking, control_of

Status = dict[str, Any]

# What we chose.
WITHIN = 3.0  # seconds; a node answers within milliseconds, unless its reactor stands

CODES = {0: "the node is well", 1: "it is not, or does not answer, and one line says why"}


@click.command(epilog=exit_codes(CODES))
@click.option("--peers", metavar="N", type=click.IntRange(0), default=0, show_default=True,
              help="So many links at least have to be up.")  # fmt: skip
@click.option("--within", metavar="SECONDS", type=click.FloatRange(0.1, 60), default=WITHIN,
              show_default=True, help="How long it may take to answer.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a line.")
@click.pass_context
def health(ctx: click.Context, /, *, peers: int, within: float, as_json: bool) -> None:
    """Say whether the node is well: it answers, and its TAP is up.

    For a container's healthcheck, a cluster's probe, or a load balancer.  Peers that are down are no reason
    to start a node again, and count only with --peers.  `mcmw doctor` finds out what is wrong.
    """
    target: Target = ctx.obj
    control = control_of(target, within)
    with asking(control):
        status = control.get("/status")
    why = ailments(status, peers)
    if as_json:
        click.echo(json.dumps({"healthy": not why, "why": why}))
        ctx.exit(1 if why else 0)
    if why:
        raise Failure(f"{plain(status['node']['name'])} is not well: {plain('; '.join(why))}")
    links = up(status)
    said = "1 link is up" if links == 1 else f"{links} links are up"
    click.echo(f"{plain(status['node']['name'])} is well: {said}")


def ailments(status: Status, peers: int) -> list[str]:
    """Why it is not well; nothing where it is."""
    tap, links = status["tap"], up(status)
    found = [] if tap["state"] == "up" else [f"{tap['device']} is pending: {tap['why']}"]
    if links < peers:
        found.append(f"{links} of {peers} links are up")
    return found


def up(status: Status) -> int:
    return sum(peer["state"] == "up" for peer in status["peers"])
