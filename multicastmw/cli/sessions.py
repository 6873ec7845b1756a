"""`mcmw sessions [NAME]`: what is announced, as a file that players open."""

import click

from multicastmw.cli.main import Failure, Target, exit_codes
from multicastmw.cli.text import plain
from multicastmw.cli.which import asking, control_of
from multicastmw.web import exports

FORMATS = ("m3u", "xspf", "sdp", "json")
CODES = {0: "it is written", 1: "there is no such session, or the node did not answer"}


@click.command(epilog=exit_codes(CODES))
@click.argument("name", required=False)
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), default="m3u", show_default=True,
    help="A playlist (m3u, xspf), one session's description (sdp), or everything (json).",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.pass_obj
def sessions(target: Target, name: str | None, kind: str, as_json: bool) -> None:
    """Write the sessions that are announced, as a file that players open.

    NAME is a session's name or its id; without it all of them are written, but for sdp, which describes one.

    \b
    mcmw sessions > all.m3u; vlc all.m3u
    mcmw sessions --format sdp news > news.sdp
    ffplay -protocol_whitelist file,udp,rtp news.sdp

    A playlist has what a player can open by an address alone: MPEG-TS, and RTP of a payload type that says
    what it is.  Anything else is played by its sdp.  `mcmw show sessions` has a table of all.
    """
    kind = "json" if as_json else kind
    control = control_of(target)
    with asking(control):
        found = control.get("/status")["sessions"]
    if name is not None:
        found = exports.find(found, name)
        if not found:
            raise Failure(f"no session {plain(name)} is announced; mcmw show sessions lists those that are")
    if kind == "sdp":
        if len(found) != 1:
            raise Failure(f"{len(found)} sessions match, and sdp describes one; give its id: {_ids(found)}")
        text = exports.sdp(found[0])
    else:
        text = exports.TEXTS[kind](found)
    click.echo(text, nl=False)


def _ids(found: list[exports.Session]) -> str:
    shown = [f"{each['id']} ({plain(each['name'])})" for each in found[:8]]
    return ", ".join(shown) or "there is none"
