"""`mcmw log [LEVEL]`: how much a running node writes."""

import json

import click

from multicastmw.cli.main import Target, exit_codes
from multicastmw.cli.which import asking, control_of
from multicastmw.sections import LOG_LEVELS

CODES = {0: "it is as was asked for", 1: "the node was not reached, and one line says why"}


@click.command(epilog=exit_codes(CODES))
@click.argument("level", type=click.Choice(LOG_LEVELS), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a line.")
@click.pass_obj
def log(target: Target, level: str | None, as_json: bool) -> None:
    """Say how much a running node writes into its log, or change it.

    What is of LEVEL or above is written from now on, until the node ends or reads its node.ini again;
    [log] level there says how it starts.  What happened, written or not: mcmw show events.
    """
    control = control_of(target)
    with asking(control):
        if level:
            control.post("/log", {"level": level})
        found = control.get("/status")["node"]["log_level"]
    click.echo(json.dumps({"level": found}) if as_json else f"{found} and above")
