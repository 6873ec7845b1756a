"""`mcmw show sessions`: what is announced, as a table."""

from typing import Any

from rich.console import Console

from multicastmw.cli.text import Columns, short, span

Session = dict[str, Any]

NAME_WIDTH, NODE_WIDTH, FORMAT_WIDTH = 20, 9, 8  # signs


def draw(console: Console, status: dict[str, Any]) -> None:
    """A line for each medium of each session."""
    sessions = status["sessions"]
    table = Columns("session", "from", "heard>", "goes in>", "what", "group:port")
    for session in sessions:
        cells = [
            short(session["name"] or session["id"], NAME_WIDTH),
            short("us" if session["ours"] else session["node"] or session["source"], NODE_WIDTH),
            ago(session["heard_ago"]),
            ago(session["expires_in"]),
        ]
        for media in session["media"] or [None]:
            table.row(*cells, format_of(media), where(media))
            cells = [""] * len(cells)
    console.print(table if sessions else "nobody announces a session")
    if more := status["counters"].get("sessions_not_shown", 0):
        console.print(f"and {more:,} more")


def ago(seconds: float) -> str:
    """A duration in its largest unit."""
    words = span(seconds).split()
    return " ".join(words[:2])


def format_of(media: dict[str, Any] | None) -> str:
    """What is sent: MP2T, H264, ...; else the kind."""
    if media is None:
        return "nothing"
    static = "MP2T" if "33" in media["formats"] else media["kind"]
    return short(" ".join(media["encodings"]) or static, FORMAT_WIDTH)


def where(media: dict[str, Any] | None) -> str:
    """GROUP:PORT, with the source where only one may send; in a row of several, the first."""
    if media is None:
        return ""
    more = f" +{media['groups'] - 1}" if media["groups"] > 1 else ""
    port = media["port"] or "off"
    sources = f" from {', '.join(media['sources'])}" if media["sources"] else ""
    return f"{media['group']}:{port}{more}{sources}"
