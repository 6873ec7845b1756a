"""`mcmw show`: what a running node does, rendered from its status snapshot alone."""

import json
import sys
import time

import click

from multicastmw.cli.client import ControlError
from multicastmw.cli.main import Target, exit_codes
from multicastmw.cli.parts import QUESTIONS, document, marked, without_questions
from multicastmw.cli.which import control_of, unanswered

SCREEN = ("node", "peers", "groups", "routes")
PARTS = (*SCREEN, "streams", "sessions", "tree", "mesh", "pending", "events")


@click.command(epilog=exit_codes({0: "the node answered", 1: "it did not, and one line says why"}))
@click.argument("part", type=click.Choice(PARTS), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the tables.")
@click.option("--watch", is_flag=True, help="Again and again until Ctrl-C; with --json a document a line.")
@click.option(
    "--every", metavar="SECONDS", type=click.FloatRange(0.1, 3600), default=2.0, show_default=True,
    help="How long from one look to the next.",
)  # fmt: skip
@click.option("--group", metavar="GROUP", default="", help="streams: of this group only.")
@click.option("--all", "everything", is_flag=True, help="What nodes ask each other, too: 239.255.77.68.")
@click.pass_obj
def show(
    target: Target, part: str | None, as_json: bool, watch: bool, every: float, group: str, everything: bool
) -> None:
    """Show what a running node does.

    \b
    node    the node, its TAP and its querier, and what went wrong
    peers   the links: state, inside TLS or not, data on UDP, on TCP, or
            forwarded by the kernel (fast), round trips and how they differ,
            probes lost, bits a second out and in, channels that the peer
            wants, nodes behind it
    groups  every channel that somebody wants, and who; denied: [groups] keeps
            it from the programs here
    routes  every source and group that packets came from: where they go,
            how many nobody wanted, died of their TTL, or were lost, and whether
            the kernel forwards them, and if not, why
    sessions
            what is announced by SAP: who announces it, when it was heard last,
            when it goes if it is not heard again, what it is, and where
    streams what plays: programmes, codecs, rate, and what is wrong with it: the
            source's errors and those that the way through the overlay added;
            takes the node 2.5 s of looking, and goes on for 10 s
    tree    the nodes that are reached, behind the link that leads to them; in the
            mesh, the way of each stream to here, where it goes on, and who is
            asked if the parent fails
    mesh    of an engine mesh: the neighbours, with round trips and how they
            differ, probes lost, bits a second out and in, what waits for them,
            how many children each may have (gives), and what is thought of it;
            groups; from whom each stream comes and to whom it goes, what is
            missing of it and what was sent again; who is left alone, and why
    pending what waits: for an interface, a peer, a restart
    events  what happened last, the latest at the end

    What nodes ask each other, as with mcmw ping and matrix, goes to 239.255.77.68:
    it is left out of groups, routes, streams, tree, mesh and events but with
    --all; --json has it, marked "questions".

    Without an argument the first four, and of each table at most 20 lines:
    peers that are not up, and the fastest routes, come first.
    """
    if group and part != "streams":
        raise click.UsageError("--group is for streams: mcmw show streams --group GROUP")
    control, told = control_of(target), as_json
    look, screen = None, None
    if part == "streams":
        from multicastmw.cli import streams

        look = streams.Look(control, group, every, quiet=as_json)
    while True:
        try:
            if look:
                look.ask()
            take = control.asked("/status")
            if not as_json and not screen:
                from multicastmw.cli.tables import Screen  # takes as long as the node's answer

                screen = Screen()
            status = take() | (control.get("/events") if part == "events" else {})
        except ControlError as error:
            raise unanswered(control, error) from None
        if look:
            status["streams"] = streams.chosen(status["streams"], group)
            more = 0 if group else status["counters"].get("streams_not_shown", 0)
            status["streams_besides"] = look.refused, more
        if control.mistake and not told:
            click.echo(f"{control.mistake}; the node runs with what it has read before", err=True)
            told = True
        if as_json:
            mistake = {"config_error": control.mistake} if control.mistake else {}
            click.echo(json.dumps(marked(document(status, part)) | mistake))
        elif screen:
            shown = status if everything or group == QUESTIONS else without_questions(status)
            screen.draw(shown, part, clear=watch)
        if not watch:
            return
        sys.stdout.flush()
        time.sleep(every)
