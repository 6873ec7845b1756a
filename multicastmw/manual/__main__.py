"""`python -m multicastmw.manual FOLDER`: writes all pages there."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from multicastmw import __version__
from multicastmw.manual import commands, daemon, ini
from multicastmw.manual.roff import Page


def pages(date: str) -> Iterator[Page]:
    yield from commands.pages(__version__, date)
    yield daemon.page(__version__, date)
    yield ini.page(__version__, date)


def today() -> str:
    """As reproducible-builds.org has it: of the source, where a packager says when that was."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    at = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return f"{at:%Y-%m-%d}"


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Write the manual pages of mcmw into FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages(today()):
        (folder / page.name.file).write_text(page.render(), encoding="ascii")


if __name__ == "__main__":
    main()
