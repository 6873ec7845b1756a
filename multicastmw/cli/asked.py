"""What the commands that ask other nodes share: an answer's lines, Ctrl-C, and how far it is."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from multicastmw import literals
from multicastmw.cli.main import Failure, Target
from multicastmw.cli.signals import Stop, go_to
from multicastmw.cli.which import asking, control_of

Line = dict[str, Any]


class Interrupted(Exception):
    """Ctrl-C, or SIGTERM, while an answer is waited for."""


class StopWaiting(Stop):
    """Ctrl-C and SIGTERM end the waiting, and nothing else: what is known so far is said."""

    is_waiting = False

    def ask(self, *_: object) -> None:
        self.asked = True
        if self.is_waiting:
            self.is_waiting = False
            raise Interrupted

    def next(self, lines: Iterator[Line]) -> Line | None:
        """The next line; None where there is none, or it is to stop."""
        try:
            self.is_waiting = not self.asked
            line = None if self.asked else next(lines, None)
            self.is_waiting = False
        except Interrupted:
            return None
        return line


class Group(click.ParamType):  # type: ignore[type-arg]
    """GROUP or SOURCE@GROUP, as [groups] pin has them."""

    name = "group"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, str]:
        if isinstance(value, dict):
            return value
        source, at, group = value.rpartition("@")
        try:
            found = {"group": str(literals.group(group))}
            return found | ({"source": str(literals.address(source))} if at else {})
        except ValueError as error:
            self.fail(str(error), param, ctx)


def name_of(channel: dict[str, str]) -> str:
    """As it was given."""
    return "@".join(filter(None, (channel.get("source"), channel["group"])))


def ask(target: Target, resource: str, said: dict[str, Any]) -> Iterator[Line]:
    """The lines of an answer; ends early at Ctrl-C.  Raises Failure."""
    control = control_of(target)
    stop, is_whole = StopWaiting(), False
    with go_to(stop.ask), asking(control):
        lines = control.lines(resource, {name: str(value) for name, value in said.items()})
        while line := stop.next(lines):
            is_whole = "end" in line
            yield line
        if not (is_whole or stop.asked):
            raise Failure(f"{control.path}: the node has ended")


class Progress:
    """One line on a terminal's stderr that is written again and again; elsewhere nothing."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted and sys.stderr.isatty()
        self._shown = False

    def say(self, text: str) -> None:
        if self._wanted:
            click.echo(f"\r{text:<78}", nl=False, err=True)
            self._shown = True

    def done(self) -> None:
        if self._shown:
            click.echo("\r" + " " * 78 + "\r", nl=False, err=True)
            self._shown = False


def listed(names: Sequence[str]) -> str:
    """All of them, as a sentence has them."""
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + (names[-1] if names else "nobody")
