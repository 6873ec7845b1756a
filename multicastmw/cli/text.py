"""How figures and names are written for people."""

import textwrap
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 80
LABEL = 12  # columns of a card's labels


def plain(text: object) -> str:
    """A text from outside, safe on a terminal: what is not printable becomes a question mark."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(text))


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


class Columns:
    """A table in 80 columns, with colours on terminals only; figures stand to the right.

    What does not fit is the last column's to solve: it goes on in the next line, for it holds the reasons.
    """

    def __init__(self, *titles: str) -> None:
        self._table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
        for title in titles:
            last = title is titles[-1]
            self._table.add_column(
                title.rstrip(">"),
                justify="right" if title.endswith(">") else "left",
                no_wrap=not last,
                overflow="fold" if last else "ellipsis",
            )

    def row(self, *cells: object, style: str | None = None) -> None:
        from rich.text import Text

        self._table.add_row(*(Text(plain(cell)) for cell in cells), style=style)

    def __rich__(self) -> Table:
        return self._table


def screen() -> Console:
    """Standard output: as wide as the terminal, 80 columns elsewhere."""
    console = Console(highlight=False, emoji=False, markup=False)
    return (
        console if console.is_terminal else Console(highlight=False, emoji=False, markup=False, width=WIDTH)
    )


def say(console: Console, label: str, value: Any, style: str | None = None) -> None:
    """One entry of a card: a label and what it is."""
    from rich.text import Text

    for line in card_row(label, plain(value), console.width):
        text = Text(line[:LABEL], style="bold").append(line[LABEL:], style=style or "not bold")
        console.print(text, soft_wrap=True)
