"""`mcmw doctor`."""

import json
import sys
from collections.abc import Iterable, Iterator

import click
from rich.console import Console
from rich.text import Text

from multicastmw.cli.client import ControlError
from multicastmw.cli.doctor import facts
from multicastmw.cli.doctor.checks import examine
from multicastmw.cli.doctor.finding import Check, Verdict
from multicastmw.cli.doctor.probe import Heard, probe
from multicastmw.cli.main import Target, exit_codes
from multicastmw.cli.text import card_row, plain, screen
from multicastmw.cli.which import control_of, programs_device, unanswered

SICK = 5  # exit code
COLOURS = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
NAME = 21  # columns: a verdict and a check's name, the longest of which is wrong-interface


@click.command(
    epilog=exit_codes({
        0: "nothing is wrong, or only what warnings say",
        1: "the node was not reached, and one line says why",
        SICK: "something does not work: a check says fail",
    })
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the list.")
@click.option("--all", "everything", is_flag=True, help="The checks that found nothing, too.")
@click.pass_obj
def doctor(target: Target, as_json: bool, everything: bool) -> None:
    """Find what keeps multicast from working here.

    Looks at the node, at this host and its firewall, and says of each thing that does harm what it is, why
    it does harm, and the line that mends it.  For some five seconds it is a member of 239.255.77.67, to see
    whether joins and queries get through.  Run it where the programs run, as root; on the sending and on the
    receiving side.

    --json has every check: {"checks": [{"id", "status": "ok" | "warn" | "fail", "what", "why", "mend"}]}.
    """
    control = control_of(target)
    try:
        earlier = control.get("/status")
        if not as_json and sys.stderr.isatty():
            click.echo("joins a group and looks whether the node hears of it: five seconds", err=True)
        heard = Heard.NOT_TRIED
        if earlier["tap"]["state"] == "up":
            heard = probe(programs_device(earlier), lambda: control.get("/status"))
        status = control.get("/status")
        found = examine(status, facts.gather(status, earlier), heard)
    except ControlError as error:
        raise unanswered(control, error) from None
    if as_json:
        click.echo(json.dumps({"checks": [check._asdict() for check in found]}))
    else:
        show(screen(), found, everything)
    if any(check.status is Verdict.FAIL for check in found):
        click.get_current_context().exit(SICK)


def show(console: Console, found: list[Check], everything: bool) -> None:
    """What is wrong first, the rest as one line unless `everything` is wanted."""
    order = list(reversed(Verdict))
    for check in sorted(found, key=lambda check: order.index(check.status)):
        if check.status is Verdict.OK and not everything:
            continue
        for number, line in enumerate(lines(check, console.width)):
            style = COLOURS[check.status] if not number else "not bold"
            console.print(
                Text(line[:NAME], style=style).append(line[NAME:], style="not bold"), soft_wrap=True
            )
    fine = sum(check.status is Verdict.OK for check in found)
    console.print(f"{fine} of {len(found)} checks found nothing wrong", soft_wrap=True)


def lines(check: Check, width: int) -> Iterator[str]:
    """As people read it; the mend stands in one line, to be copied."""
    name = f"{check.status:<5}{check.id}"
    yield from _entry(f"{name:<{NAME - 1}} ", check.what, width)
    if check.why:
        yield from _entry("", check.why, width)
    if check.mend:
        yield f"{'':<{NAME}}--> {plain(check.mend)}"


def _entry(label: str, text: str, width: int) -> Iterable[str]:
    return card_row(label, plain(text), width, NAME)
