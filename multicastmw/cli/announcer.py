"""How a long command tells what it is doing: bars on a terminal, plain lines elsewhere, nothing with --json.

All of it goes to stderr; stdout is for the result.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

from multicastmw.cli.text import wrapped

# Takes how far each bar of a stage is.
Tell = Callable[[Mapping[str, int]], None]
TOGETHER = "\u00a0"
QUARTERS = 4  # a plain log gets so many lines of a stage


class Silence:
    """Says nothing."""

    def line(self, text: str) -> None:
        """One step, done at once or soon."""

    def bars(self, title: str, totals: Mapping[str, int]) -> AbstractContextManager[Tell]:
        """A stage that takes its time; inside, call it with what is done of each total (0: unknown)."""
        del title, totals
        return contextlib.nullcontext(lambda done: None)


class Lines(Silence):
    """Plain lines, a few for each stage."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def bars(self, title: str, totals: Mapping[str, int]) -> AbstractContextManager[Tell]:
        return self._stage(title, totals)

    @contextlib.contextmanager
    def _stage(self, title: str, totals: Mapping[str, int]) -> Iterator[Tell]:
        self.line(title)
        told = 0

        def tell(done: Mapping[str, int]) -> None:
            nonlocal told
            share = min(done.get(name, 0) / (total or math.inf) for name, total in totals.items())
            if int(share * QUARTERS) > told:
                told = int(share * QUARTERS)
                self.line(_counts(done, totals))

        yield tell


def _counts(done: Mapping[str, int], totals: Mapping[str, int]) -> str:
    """In lines of 80 columns, none of which ends within a count."""
    each = [f"{name} {done[name]:,} of {total:,}".replace(" ", TOGETHER) for name, total in totals.items()]
    return wrapped(f"  {', '.join(each)}").replace(TOGETHER, " ")


class Bars(Lines):
    """Progress bars on a terminal."""

    @contextlib.contextmanager
    def _stage(self, title: str, totals: Mapping[str, int]) -> Iterator[Tell]:
        self.line(title)
        name, counts = TextColumn("  {task.description}"), MofNCompleteColumn()
        columns = (name, BarColumn(), TaskProgressColumn(), counts)
        with Progress(*columns, console=self._console, transient=True) as progress:
            tasks = {name: progress.add_task(name, total=total or None) for name, total in totals.items()}

            def tell(done: Mapping[str, int]) -> None:
                for name, count in done.items():
                    progress.update(tasks[name], completed=count)

            yield tell


def announcer(silent: bool) -> Silence:
    """The one that fits where stderr goes."""
    if silent:
        return Silence()
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines(Console(stderr=True, width=80))
