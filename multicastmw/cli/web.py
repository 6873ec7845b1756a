"""`mcmw web`: where the web service of a running node is, and the token that it takes."""

import json
from typing import Any

import click

from multicastmw.cli.main import Failure, Target, exit_codes
from multicastmw.cli.text import plain
from multicastmw.cli.which import asking, control_of

CODES = {0: "it is served, and a line says where", 1: "it is not, or the node was not reached"}
HINT = "[web] endpoint = tcp:8080:interface=127.0.0.1 and `mcmw reload` have it served to this host"


@click.command(epilog=exit_codes(CODES))
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the URL.")
@click.pass_obj
def web(target: Target, as_json: bool) -> None:
    """Print the URL of a node's web page, to be opened in a browser.

    Where other hosts reach it, the URL holds a token: who has it may look at the node and watch its
    streams, so treat it as a password.  A program sends it as `Authorization: Bearer TOKEN`.  It is
    [web] token of node.ini, else another one after each start of the node.

    Metrics for Prometheus are at /metrics, and /udp/GROUP:PORT is a stream for a player that has no
    multicast.
    """
    control = control_of(target)
    with asking(control):
        found = control.get("/web")
    if not found["url"] and not found.get("socket"):
        raise Failure(found["why"] or f"[web] endpoint is empty, so nothing is served; {HINT}")
    click.echo(json.dumps(found) if as_json else plain(_line(found)))


def _line(found: dict[str, Any]) -> str:
    if found["url"]:
        return str(found["url"])
    token = f" -H 'Authorization: Bearer {found['token']}'" if found["token"] else ""
    return f"curl{token} --unix-socket {found['socket']} http://localhost/status"
