"""Pages of `mcmw` and its commands, from what click knows of them."""

import inspect
import re
from collections.abc import Iterator

import click

from multicastmw.cli.main import mcmw
from multicastmw.manual.roff import LITERAL, Name, Page, blocks

CODES = "Exit codes:"  # see cli/main.py, exit_codes
CODE = re.compile(r"\s*(\d+)\s+(.*)")
ABOUT = 200  # signs of a command's short help, none of which is cut
OTHERS = (Name("mcmw", 8), Name("mcmw-node.ini", 5))


def pages(version: str, date: str) -> Iterator[Page]:
    """One for `mcmw`, and for each command, also those within commands."""
    yield from _pages(click.Context(mcmw, info_name="mcmw"), mcmw.help or "", version, date)


def _pages(context: click.Context, about: str, version: str, date: str) -> Iterator[Page]:
    command = context.command
    page = Page(name_of(context), about, version, date)
    page.heading("SYNOPSIS")
    page.synopsis(*_usage(context))
    page.heading("DESCRIPTION")
    page.text(help_of(command))
    below = list(_below(context))
    if below:
        page.heading("COMMANDS")
        for child, says in below:
            page.entry(child.info_name or "", f"{says} See `{child.command_path} --help`.")
    page.heading("OPTIONS")
    for option, says in _options(context):
        page.entry(option, says)
    _exit_status(page, command)
    page.see_also([*_parents(context), *(name_of(child) for child, _ in below), *OTHERS])
    yield page
    for child, says in below:
        yield from _pages(child, says, version, date)


def name_of(context: click.Context) -> Name:
    return Name(context.command_path.replace(" ", "-"), 1)


def help_of(command: click.Command) -> str:
    return inspect.cleandoc((command.help or "").partition("\f")[0])


def _below(context: click.Context) -> Iterator[tuple[click.Context, str]]:
    """The commands of a group, with what each is for."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if not command.hidden:
            yield click.Context(command, info_name=name, parent=context), command.get_short_help_str(ABOUT)


def _usage(context: click.Context) -> tuple[str, str]:
    """The command, and what is given to it; those above have their own options, of which one is given."""
    words = context.command.collect_usage_pieces(context)
    if context.parent is None:
        return context.command_path, " ".join(words)
    root = context.find_root()
    first, _, rest = context.command_path.partition(" ")
    return first, " ".join([f"[{_choices(root)}]", rest, *words])


def _choices(context: click.Context) -> str:
    """The options that say which node is meant."""
    options = [each for each in context.command.params if isinstance(each, click.Option) and each.metavar]
    return " | ".join(f"{option.opts[0]} {option.metavar}" for option in options)


def _options(context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in context.command.get_params(context):
        if record := parameter.get_help_record(context):
            yield record


def _parents(context: click.Context) -> Iterator[Name]:
    while context.parent:
        context = context.parent
        yield name_of(context)


def _exit_status(page: Page, command: click.Command) -> None:
    """What stands at the end of --help: exit codes, and whatever else a command says there."""
    for block in blocks(inspect.cleandoc(command.epilog or "")):
        lines = block.removeprefix(LITERAL).strip("\n").splitlines()
        if lines[0] != CODES:
            page.heading("NOTES")
            page.text(block)
            continue
        page.heading("EXIT STATUS")
        for line in lines[1:]:
            if found := CODE.fullmatch(line):
                page.entry(*found.groups())
