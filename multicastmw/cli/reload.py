"""`mcmw reload`: a running node reads its node.ini again, and says what that changed."""

import json
from collections.abc import Iterator
from typing import Any

import click

from multicastmw.cli.client import ControlClient, ControlError, NodeNotRunning, NodeRefuses, NodeSilent
from multicastmw.cli.main import BadConfig, Failure, Target, exit_codes
from multicastmw.cli.text import card_row
from multicastmw.cli.which import control_of, unanswered

PATIENCE = 30.0  # seconds; links of removed peers may take two, and a reload may wait for another one
MOVED = "; where [node] name or [control] socket changed since it was started, --socket says where it is"
LATER = "; it was asked, and does it if it runs again: its log says what became of it"
SHOWN = 80  # characters of a value, as a list may be long


class Unanswered(Failure):
    """The node was asked; whether it does it is not known."""

    exit_code = 4


CODES = {
    0: "it is done",
    1: "the node was not reached, and one line says why",
    2: "the file is wrong, and nothing is changed; one line says why",
    Unanswered.exit_code: "the node was asked and does not answer; its log says what it does",
}


@click.command(epilog=exit_codes(CODES))
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
@click.pass_obj
def reload(target: Target, as_json: bool) -> None:
    """Have a running node read its node.ini again.

    Only what changed is touched; streams go on.  The answer comes when it is done: links of new peers are
    being dialled, those of removed peers are closed.  What a running node cannot change is named, and waits
    for a restart.  SIGHUP does the same, and the log has the answer.
    """
    node = control_of(target, PATIENCE)
    if not as_json:
        waits = f"{node.path}: no answer yet; waiting for it up to {PATIENCE:g} s"
        node.waits = lambda: click.echo(waits, err=True)
    done = _asked(node, target)
    if node.mistake:
        done["warnings"].append(f"{node.mistake} (as this command reads it; the node took it)")
    click.echo(json.dumps(done) if as_json else "\n".join(report(done)))


def _asked(node: ControlClient, target: Target) -> dict[str, Any]:
    try:
        return node.post("/reload")
    except NodeRefuses as error:
        raise BadConfig(error.why) from None
    except NodeSilent as error:
        raise Unanswered(f"{error}{LATER}") from None
    except NodeNotRunning as error:
        raise unanswered(node, error, MOVED if target.config is not None else "") from None
    except ControlError as error:
        raise Failure(str(error)) from None


def report(done: dict[str, Any]) -> Iterator[str]:
    """A line a change, and what was kept; values stand as in node.ini."""
    yield from card_row("read", done["file"])
    for change in done["changes"]:
        yield from card_row(_kind(change), f"{change['what']}{_values(change)}{_note(change)}")
    yield from card_row("kept", _kept(done))
    for warning in done["warnings"]:
        yield from card_row("warning", warning)


def _kind(change: dict[str, Any]) -> str:
    if change["effect"] != "applied":
        return {"restart": "at restart", "ignored": "ignored"}[change["effect"]]
    return "added" if change["before"] is None else "removed" if change["after"] is None else "changed"


def _values(change: dict[str, Any]) -> str:
    before, after = change["before"], change["after"]
    if before is None or after is None:
        return f"  {_short(before or after)}"
    return f"  {_short(before)} -> {_short(after)}"


def _short(value: str) -> str:
    return value if 0 < len(value) <= SHOWN else f"{value[: SHOWN - 3]}..." if value else "empty"


def _note(change: dict[str, Any]) -> str:
    return f"  ({change['note']})" if change["note"] else ""


def _kept(done: dict[str, Any]) -> str:
    peers = done["kept_peers"]
    if not done["changes"]:
        return f"everything, {peers} peer{'' if peers == 1 else 's'} among it: nothing has changed"
    return f"{peers} peer{'' if peers == 1 else 's'} and all other options"
