"""`mcmw show streams`: what passes, how it is, and whose fault it is if it is not well."""

import sys
import time
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from multicastmw.cli.client import ControlClient, NodeRefuses
from multicastmw.cli.main import Failure
from multicastmw.cli.text import Columns, amount, plain, short, some

Stream = dict[str, Any]

# What we chose.
LEASE = 10  # seconds that the node goes on looking when we have gone
LEASE_MAX = 300  # that a node takes
VERDICT = 2.5  # seconds that it takes to say how a stream is: see core/health/verdict.py
STEP = 0.25  # of the progress line
NAMES_LEAST = 6  # signs of a programme, and of codecs
FIGURES = 5 + 6 + 5 + 6 + 7 + 7 * 2  # columns of what stands behind them, and between all
STYLES = {"ok": "green", "warn": "yellow", "bad": "red", "unknown": None}


class Look:
    """One `mcmw show streams`: asks for the watch, and again before each look."""

    def __init__(self, control: ControlClient, group: str, every: float, quiet: bool) -> None:
        self._control = control
        self._said = {"group": group, "seconds": str(min(LEASE_MAX, LEASE + int(every) + 1))}
        self._progress = sys.stderr.isatty() and not quiet
        self._settled = False
        self.refused = ""

    def ask(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Renews the lease; the first time, waits until there is something to see.

        Raises Failure where the node refuses, ControlError where it does not answer.
        """
        self._renew()
        if not self._settled:
            self._wait(sleep)
            self._renew()  # what has come up meanwhile
        self._settled = True

    def _renew(self) -> None:
        try:
            self.refused = str(self._control.post("/streams/watch", self._said)["refused"])
        except NodeRefuses as error:
            raise Failure(error.why) from None

    def _wait(self, sleep: Callable[[float], None]) -> None:
        left = VERDICT
        while left > 0:
            if self._progress:
                click.echo(f"\rlooking at the streams for {left:.1f} s ... ", nl=False, err=True)
            sleep(min(STEP, left))
            left -= STEP
        if self._progress:
            click.echo("\r" + " " * 40 + "\r", nl=False, err=True)


def chosen(streams: list[Stream], group: str) -> list[Stream]:
    """All of them, or those of the group."""
    return [stream for stream in streams if not group or stream["group"] == group]


def render(console: Console, streams: list[Stream], refused: str = "", more: int = 0) -> None:
    """A line a stream; below, what is to be said of those that are not well.

    That a group is looked at, and not who sends there, is said only where nobody is known to.
    """
    sent = {stream["group"] for stream in streams if stream["source"] != "any"}
    streams = [stream for stream in streams if stream["source"] != "any" or stream["group"] not in sent]
    room = console.width - FIGURES - max((len(where(stream)) for stream in streams), default=0)
    longest = max((len(_programme(stream)) for stream in streams), default=0)
    names = max(NAMES_LEAST, min(room // 2, max(longest, len("programme"))))
    codecs = max(NAMES_LEAST, room - names)
    table = Columns("group:port", "programme", "codecs", "bit/s>", "source>", "way>", "jitter>", "health")
    for stream in streams:
        table.row(
            where(stream),
            short(_programme(stream), names),
            short(some(_codecs(stream), codecs) or stream["kind"], codecs),
            "" if stream["bitrate"] is None else amount(stream["bitrate"]),
            _count(stream, "source_errors"),
            _count(stream, "way_errors"),
            _jitter(stream),
            stream["health"],
            style=STYLES.get(stream["health"]),
        )
    console.print(table if streams else "no stream passes here: mcmw show routes says what has come")
    for stream in streams:
        if stream["health"] != "ok" and stream["reason"]:
            line = f"{where(stream)} from {_from(stream)}: {stream['reason']}"
            console.print(Text(plain(line), style=STYLES.get(stream["health"]) or ""))
    if more:
        console.print(f"and {more:,} more")
    if refused:
        console.print(Text(plain(f"not all are looked at: {refused}"), style="yellow"))


def where(stream: Stream) -> str:
    return str(stream["group"]) if stream["port"] is None else f"{stream['group']}:{stream['port']}"


def _from(stream: Stream) -> str:
    node = f" at {stream['node']}" if stream["node"] else ""
    return f"{stream['source']}{node}"


def _programme(stream: Stream) -> str:
    """The first programme's name, and how many more there are."""
    found = stream["programmes"]
    if not found:
        return ""
    name = found[0]["name"] or f"programme {found[0]['number']}"
    return f"{name} +{len(found) - 1}" if len(found) > 1 else str(name)


def _codecs(stream: Stream) -> list[str]:
    """As people say them for short."""
    return [name.removesuffix(" video").removesuffix(" audio") for name in stream["codecs"]]


def _count(stream: Stream, key: str) -> str:
    return amount(stream[key]) if stream["watched_for"] else ""


def _jitter(stream: Stream) -> str:
    """Of RTP where it is, else of the clock references."""
    rtp, transport = stream["rtp"], stream["transport"]
    seconds = rtp["jitter"] if rtp else transport["pcr_jitter"] if transport else None
    if seconds is None:
        return ""
    return f"{seconds * 1000:.1f}ms" if seconds < 0.1 else f"{seconds * 1000:.0f}ms"
