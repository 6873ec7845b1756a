"""The tables of a record: on a terminal in 80 columns, and in Markdown.  Both show the same figures."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from bench.race import figures
from multicastmw.cli.text import Columns

NONE = "-"
Cell = Callable[[str, Mapping[str, Any], Mapping[str, Any]], str]


def count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def fixed(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}"


def seconds(value: float | None) -> str:
    """A relay without processes of its own that work is the kernel."""
    return "kernel" if value is not None and value < 0.05 else fixed(value)


def _figure(column: str, show: Callable[[float | None], str]) -> Cell:
    return lambda _, row, __: show(row[column])


def _about(what: str) -> Cell:
    return lambda _, __, about: about[what] or NONE


TABLES: dict[str, dict[str, Cell]] = {
    "Highest rate without loss, packets/s; x: to native in the same round": {
        "contestant": _about("title"),
        "cipher": _about("cipher"),
        "1,316 B>": _figure("rate_1316", count),
        "x>": _figure("rate_1316_ratio", ratio),
        "200 B>": _figure("rate_200", count),
        "x >": _figure("rate_200_ratio", ratio),
    },
    "One-way delay of 1,316 bytes, microseconds, at the slower of c and d": {
        "contestant": _about("title"),
        "150/s p50>": _figure("delay_150_p50", count),
        "p99>": _figure("delay_150_p99", count),
        "p99.9>": _figure("delay_150_p99.9", count),
        "1,000/s p50>": _figure("delay_1000_p50", count),
        "p99 >": _figure("delay_1000_p99", count),
        "p99.9 >": _figure("delay_1000_p99.9", count),
        "x>": _figure("delay_1000_p99.9_ratio", ratio),
    },
    "Core seconds a million deliveries of 1,316 bytes; MiB of the relay's processes": {
        "contestant": _about("title"),
        "at, /s>": _figure("cpu_at", count),
        "relay>": _figure("relay_s", seconds),
        "all>": _figure("all_s", fixed),
        "x>": _figure("all_s_ratio", ratio),
        "all, at most>": _figure("all_s_at_most", fixed),
        "MiB>": _figure("memory_mib", fixed),
    },
}


def heading(record: figures.Record) -> list[str]:
    """What the figures belong to, in lines of at most 80 characters."""
    machine, options = record["machine"], record["options"]
    rounds = len(record["rounds"])
    drifts = figures.drift(record["rounds"], figures.PLACES["rate_1316"])
    lines = [
        f"{machine['date']}, commit {machine['commit']}, Linux {machine['kernel']},",
        f"{machine['processor']}, {machine['cores']} cores; {rounds} round{'s' * (rounds != 1)}"
        f"{', --quick' if options['quick'] else ''}",
        f"load {machine['load_before'][0]:.1f} before, {machine['load_after'][0]:.1f} after;"
        f" others took {figures.others(record):.0%} of the machine meanwhile (median)",
    ]
    if drifts:
        lines.append(
            f"native's first and last turn of a round differ by up to {max(drifts) - 1:.0%} at 1,316 bytes"
        )
    return lines


def missing(record: figures.Record) -> list[str]:
    """Who is not in the tables, or not in all rounds, and why."""
    lines = [f"{name}: {why}" for name, why in record["skipped"].items()]
    for name, reasons in figures.failures(record).items():
        lines.append(f"{name}: failed in {len(reasons)} of {len(record['rounds'])} rounds: {reasons[-1]}")
    return lines


def show(console: Console, record: figures.Record) -> None:
    """The tables on a terminal."""
    summary = figures.summarise(record)
    for line in heading(record):
        console.print(line, soft_wrap=True)
    for title, columns in TABLES.items():
        console.print(f"\n{title}")
        table = Columns(*columns)
        for cells in _cells(record, summary, columns):
            table.row(*cells)
        console.print(table)
    if lines := missing(record):
        console.print("\nNot in the tables, or not in all rounds")
        for line in lines:
            console.print(f"  {line}", soft_wrap=True)


def markdown(record: figures.Record) -> str:
    """The tables as a document of its own."""
    summary = figures.summarise(record)
    lines = ["# The race", "", *(f"{line}  " for line in heading(record)), "",
             f"Made by `{record['command']}`.", ""]  # fmt: skip
    for title, columns in TABLES.items():
        lines += [f"## {title}", "", _line(name.strip("> ") for name in columns),
                  _line("--:" if name.endswith(">") else "---" for name in columns)]  # fmt: skip
        lines += [_line(cells) for cells in _cells(record, summary, columns)]
        lines.append("")
    lines += ["## Who took part", "", _line(("contestant", "version", "transport", "cipher", "note")),
              _line(["---"] * 5)]  # fmt: skip
    for name, about in record["contestants"].items():
        if name in summary:
            words = (about[word] or NONE for word in ("title", "version", "transport", "cipher", "note"))
            lines.append(_line(words))
    if reasons := missing(record):
        lines += ["", "## Not in the tables, or not in all rounds", "", *(f"- {line}" for line in reasons)]
    return "\n".join(lines) + "\n"


def _cells(
    record: figures.Record, summary: Mapping[str, Any], columns: Mapping[str, Cell]
) -> list[list[str]]:
    contestants = record["contestants"]
    return [
        [cell(name, row, contestants[name]) for cell in columns.values()] for name, row in summary.items()
    ]


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
