"""mcmw-node.ini(5): every section and option.

Names and defaults are those of sections.py's table.  What is said of an option is its comment in etc/node.ini
where that is at hand, and else the table's own sentence, which the comment begins with.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from multicastmw.manual.roff import LITERAL, Name, Page
from multicastmw.sections import NAMED, SECTIONS, Option, options

EXAMPLE = Path(__file__).parents[2] / "etc" / "node.ini"
SECTION = re.compile(r"#?\[([a-z]+)(:[^]]*)?\]")
OPTION = re.compile(r"#([a-z][a-z-]*) =.*")
Comments = Mapping[tuple[str, str], str]  # by section and option; of a section itself, by ""

INTRODUCTION = f"""\
A node's configuration: sections, and in them options.  One that is left out has its default; one that does
not exist is an error, which names what may be meant.

{LITERAL}
[node]
name = a
[tap]
address = 10.88.0.1/24
[peer:b]
endpoint = tcp:b.example.net:4600

`mcmw check NODE.INI` says what a file means, and `mcmw reload` has a running node read it again.  A comment
has a line of its own, which begins with #.  A list is parted by commas, spaces or new lines; lines that
continue it are indented.  Yes may be written yes, true, on or 1; no is no, false, off or 0.  An endpoint is
an endpoint string of Twisted: `tcp:4600` listens on IPv4, `tcp6:4600` on both, `tcp:HOST:4600` dials.
"""


def page(version: str, date: str, example: Path = EXAMPLE) -> Page:
    made = Page(Name("mcmw-node.ini", 5), "configuration of a multicast middleware node", version, date)
    made.heading("SYNOPSIS")
    made.synopsis("/etc/mcmw/node.ini", "")
    made.heading("DESCRIPTION")
    made.text(INTRODUCTION)
    comments = comments_of(example.read_text().splitlines()) if example.exists() else {}
    made.heading("SECTIONS")
    for name, section in SECTIONS.items():
        _section(made, name, name, section, comments)
    for name, section in NAMED.items():
        _section(made, f"{name}:NAME", name, section, comments)
    made.heading("FILES")
    made.entry("/etc/mcmw/node.ini", "Every option is in it, with its default and what to know of it.")
    made.see_also([Name("mcmw", 8), Name("mcmw", 1), Name("mcmw-check", 1), Name("mcmw-reload", 1)])
    return made


def _section(made: Page, title: str, name: str, section: type[Any], comments: Comments) -> None:
    made.heading(f"[{title}]", below=True)
    if about := comments.get((name, "")):
        made.text(about)
    for option_name, _field, option in options(section):
        made.entry(_term(option_name, option), comments.get((name, option_name)) or _sentence(option))


def _term(name: str, option: Option) -> str:
    """As it would be written; what has no default must be given."""
    if option.default is None:
        return f"{name} = (no default)"
    return f"{name} = {option.default}" if option.default else f"{name} = (empty)"


def _sentence(option: Option) -> str:
    return option.help if option.built else f"{option.help}  Not built in this release."


def comments_of(lines: Iterable[str]) -> Comments:
    """The comment right above each section and option."""
    found: dict[tuple[str, str], str] = {}
    section, comment = "", list[str]()
    for line in lines:
        if match := SECTION.fullmatch(line):
            section = match[1]
            found[section, ""] = " ".join(comment)
        elif match := OPTION.fullmatch(line):
            found[section, match[1]] = " ".join(comment)
        elif line.startswith("# "):
            comment.append(line.removeprefix("# "))
            continue
        comment = []
    return found
