"""A page in the language of man(7): text goes in as people write it and comes out escaped.

What stands in `back quotes` is bold.  A blank line parts paragraphs, and one that begins with a line of \\b
is left as it is, as in click's help.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

TITLE = "Multicast Middleware"
WIDTH = 78  # signs of a line of source
LITERAL = "\b"
QUOTED = re.compile(r"`([^`]+)`")
# Signs that roff would make something else of: a hyphen cannot be pasted into a shell.
SIGNS = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}


class Name(NamedTuple):
    """What a page is called, as in mcmw-show(1)."""

    name: str
    section: int

    @property
    def file(self) -> str:
        return f"{self.name}.{self.section}"


class Page:
    """One page; its parts are added in their order."""

    def __init__(self, name: Name, about: str, version: str, date: str) -> None:
        self.name = name
        title, section = escaped(name.name.upper()), name.section
        self._lines = [f'.TH "{title}" {section} {date} "mcmw {escaped(version)}" "{TITLE}"']
        self._lines += [".nh", ".ad l"]  # a command that is hyphenated or stretched cannot be copied
        self.heading("NAME")
        self._lines.append(rf"{escaped(name.name)} \- {escaped(sentence(about))}")

    def heading(self, title: str, below: bool = False) -> None:
        self._lines.append(f'{".SS" if below else ".SH"} "{escaped(title)}"')

    def synopsis(self, command: str, rest: str) -> None:
        """The command in bold, and what follows it as it is."""
        self._lines += filled(rf"\fB{escaped(command)}\fR {escaped(rest)}".rstrip())

    def text(self, text: str) -> None:
        """Paragraphs, and blocks that are left as they are."""
        for block in blocks(text):
            if not self._lines[-1].startswith((".SH", ".SS")):
                self._lines.append(".PP")
            if block.startswith(LITERAL):
                lines = block.splitlines()[1:]
                # As far to the left as in --help, for which they were made to fit.
                self._lines += [".in 2n", ".nf", *map(guarded, map(escaped, lines)), ".fi", ".in"]
            else:
                self._lines += filled(marked(block))

    def entry(self, term: str, text: str) -> None:
        """A term, and what it means below it."""
        self._lines += [".TP", rf"\fB{escaped(term)}\fR"]
        first, *more = blocks(text) or [""]
        self._lines += filled(marked(first)) or [r"\&"]
        for block in more:
            self._lines += [".sp", *filled(marked(block))]

    def see_also(self, names: Iterable[Name]) -> None:
        others = [name for name in dict.fromkeys(names) if name != self.name]
        self.heading("SEE ALSO")
        for number, other in enumerate(others):
            comma = "," if number < len(others) - 1 else ""
            self._lines.append(f".BR {escaped(other.name)} ({other.section}){comma}")

    def render(self) -> str:
        return "\n".join(self._lines) + "\n"


def escaped(text: str) -> str:
    """As it is to be seen."""
    signs = (SIGNS.get(sign) or (sign if sign.isascii() else rf"\[u{ord(sign):04X}]") for sign in text)
    return "".join(signs)


def marked(text: str) -> str:
    """A paragraph, with what is quoted in bold."""
    parts = QUOTED.split(" ".join(text.split()))
    return "".join(rf"\fB{escaped(part)}\fR" if number % 2 else escaped(part)
                   for number, part in enumerate(parts))  # fmt: skip


def filled(text: str) -> list[str]:
    """In lines of a source that people can read."""
    lines = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return [guarded(line) for line in lines]


def guarded(line: str) -> str:
    """A line of text that is no request, whatever it begins with."""
    return rf"\&{line}" if line.startswith((".", "'")) or not line else line


def blocks(text: str) -> list[str]:
    return list(_blocks(text))


def _blocks(text: str) -> Iterator[str]:
    for block in re.split(r"\n[ \t]*\n", text.strip("\n")):
        if block.strip(" \n"):
            yield block.strip("\n")


def sentence(text: str) -> str:
    """As it stands behind a page's name: not the beginning of a sentence, and no end of one."""
    text = " ".join(text.split()).removesuffix(".")
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
