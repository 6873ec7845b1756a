"""How figures and names are written for people."""

import textwrap
from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.text import Text

WIDTH = 80
LABEL = 12  # columns of a card's labels
GAP = 2  # columns between two of a table
LAST_LEAST = 8  # of a table that is far too wide, columns that its last one keeps


def plain(text: object) -> str:
    """A text from outside, safe on a terminal: what is not printable becomes a question mark."""
    found = str(text)
    if found.isprintable():
        return found
    return "".join(sign if sign.isprintable() else "?" for sign in found)


def amount(count: float) -> str:
    """A count in at most five signs: 950, 12.3k, 4.56M."""
    if count < 10_000:
        return f"{count:.0f}"
    size, unit = next(((s, u) for s, u in ((1e3, "k"), (1e6, "M")) if count < 999.5 * s), (1e9, "G"))
    return f"{count / size:.3g}{unit}"


def span(seconds: float) -> str:
    """A duration in its two largest units: 8 s, 3 min 5 s, 2 d 4 h."""
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    left = int(seconds)
    parts: list[str] = []
    for size, name in units:
        if left >= size or (name == "s" and not parts):
            parts.append(f"{left // size} {name}")
            left %= size
        if len(parts) == 2:
            break
    return " ".join(parts)


def milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.3g} ms"


def round_trip(rtt: float | None, jitter: float | None) -> str:
    """In ms, and how much one differs from the next."""
    if rtt is None:
        return ""
    return f"{1000 * rtt:.3g}" + ("" if jitter is None else f"\u00b1{1000 * jitter:.2g}")


def share(part: float | None) -> str:
    """Of all, in percent."""
    return "" if part is None else f"{100 * part:.3g}%"


def short(name: str, room: int) -> str:
    """A name that gives way: its beginning, where it is too long."""
    safe = plain(name)
    return safe if len(safe) <= room else safe[: room - 1] + "\u2026"


def some(names: list[str], room: int) -> str:
    """As many names as fit, and how many more there are; one at least, if only its beginning."""
    safe = [plain(name) for name in names]
    for shown in range(len(safe), 0, -1):
        more = f" +{len(safe) - shown}" if shown < len(safe) else ""
        text = ", ".join(safe[:shown]) + more
        if len(text) <= room:
            return text
    if not safe:
        return ""
    more = f" +{len(safe) - 1}" if len(safe) > 1 else ""
    return short(safe[0], room - len(more)) + more


def card_row(label: str, text: str, width: int = WIDTH, column: int = LABEL) -> list[str]:
    """A line of a card, and more where it is long; only a word that is longer than a line sticks out."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=f"{label:<{column}}",
        subsequent_indent=" " * column,
        break_on_hyphens=False,
        break_long_words=False,
    )


def wrapped(text: str, indent: int = 4, break_long_words: bool = True) -> str:
    """In as many lines of 80 columns as it takes; those behind the first stand further in."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=break_long_words, break_on_hyphens=False
    )


class Columns:
    """A table in 80 columns, with colours on terminals only; figures stand to the right.

    What does not fit is the last column's to solve: it goes on in the next line, for it holds the reasons.
    (rich's own Table takes forty times as long, and a node may have a thousand rows.)
    """

    def __init__(self, *titles: str) -> None:
        self._titles = [title.rstrip(">") for title in titles]
        self._is_figure = [title.endswith(">") for title in titles]
        self._rows: list[tuple[list[str], str | None]] = []

    def row(self, *cells: object, style: str | None = None) -> None:
        self._rows.append(([plain(cell) for cell in cells], style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        widths = self._widths(options.max_width)
        for cells, style in ((self._titles, "bold"), *self._rows):
            drawn = console.get_style(style) if style else None
            for line in self._lines(cells, widths):
                yield Segment(line, drawn)
                yield Segment.line()

    def _widths(self, room: int) -> list[int]:
        """As wide as what is in them; in a table that is too wide the last gives way, then the widest."""
        columns = zip(self._titles, *(cells for cells, _ in self._rows), strict=True)
        widths = [max(map(width_of, column)) for column in columns]
        left = room - GAP * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(left - sum(widths[:-1]), LAST_LEAST))
        while sum(widths) > left and max(widths) > 1:
            widths[widths.index(max(widths))] -= 1
        return widths

    def _lines(self, cells: list[str], widths: list[int]) -> Iterator[str]:
        *others, last = cells
        figures = zip(others, widths, self._is_figure, strict=False)
        before = "".join(_placed(cell, width, figure) + " " * GAP for cell, width, figure in figures)
        for number, piece in enumerate(_pieces(last, widths[-1])):
            padding = " " * (widths[-1] - width_of(piece)) if self._is_figure[-1] else ""
            yield ((" " * width_of(before) if number else before) + padding + piece).rstrip()


def width_of(text: str) -> int:
    """In columns of a terminal."""
    return len(text) if text.isascii() else cell_len(text)


def _placed(cell: str, width: int, figure: bool) -> str:
    if width_of(cell) > width:
        return set_cell_size(cell, width - 1) + "\u2026"
    padding = " " * (width - width_of(cell))
    return padding + cell if figure else cell + padding


def _pieces(text: str, width: int) -> list[str]:
    """The last cell: whole, or as many lines of it as it takes."""
    if width_of(text) <= width:
        return [text]
    if text.isascii():
        return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    wrapped = Text(text).wrap(Console(width=width), width, overflow="fold")
    return [line.plain.rstrip() for line in wrapped]


def screen() -> Console:
    """Standard output: as wide as the terminal, 80 columns elsewhere."""
    console = Console(highlight=False, emoji=False, markup=False)
    return (
        console if console.is_terminal else Console(highlight=False, emoji=False, markup=False, width=WIDTH)
    )


def say(console: Console, label: str, value: Any, style: str | None = None) -> None:
    """One entry of a card: a label and what it is."""
    for line in card_row(label, plain(value), console.width):
        text = Text(line[:LABEL], style="bold").append(line[LABEL:], style=style or "not bold")
        console.print(text, soft_wrap=True)
