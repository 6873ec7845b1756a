"""`python -m bench race`: who takes part, the rounds, and what is written at the end."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.about import Say, machine, teller
from bench.race import figures, plot, report
from bench.race.built import build
from bench.race.contestants import CONTESTANTS, NATIVE, Contestant
from bench.race.install import can_install, install
from bench.race.turn import PREFIX, QUICK, SIZES, THOROUGH, Pace, Turn, play
from multicastmw.cli.lab import LabError, TimedOut
from multicastmw.cli.text import Columns, screen

OUT = Path("build/race")
FAILED = 1  # exit code where a contestant that could take part did not finish
INTERRUPTED = 130  # as shells have it for Ctrl-C


class Names(click.ParamType):
    """Contestants, parted by commas."""

    name = "names"

    def convert(self, value: Any, param: Any, context: Any) -> list[str]:
        names = [name.strip() for name in value.split(",") if name.strip()]
        if unknown := [name for name in names if name not in CONTESTANTS]:
            self.fail(f"no contestant {unknown[0]!r}; there are {', '.join(CONTESTANTS)}", param, context)
        return names


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", type=Names(), metavar="NAME,...", help="These, and native.")
@click.option("--list", "listed", is_flag=True, help="Say who there is, and end.")
@click.option("--rounds", type=click.IntRange(min=1, max=100), help="Default: 3, with --quick 1.")
@click.option("--quick", is_flag=True, help="Shorter runs, a coarser search: half a minute a contestant.")
@click.option("--install/--no-install", "wanted", default=None,
              help="Install contestants that are missing (apt-get), or not; asks on a terminal.")  # fmt: skip
@click.option("--nice", type=click.IntRange(-20, 19), default=0, show_default=True,
              help="Priority of everything that is started, against this machine's other work.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=OUT, show_default=True,
              help="The folder of race.json, race.md, race.png and race.svg.")  # fmt: skip
@click.option("--show", "recorded", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Measure nothing: tables and plot of a race.json.")  # fmt: skip
def race(*, only: list[str] | None, listed: bool, rounds: int | None, quick: bool, wanted: bool | None,
         nice: int, out: Path, recorded: Path | None) -> None:  # fmt: skip
    """Race a node's relaying against the kernel's and against other daemons.

    Figure 4 (a sends; b receives and relays to c and d) in network namespaces, with each
    contestant in turn; the same source and sinks for all; several rounds, native first and
    last in each.  Ratios are to native in the same round.

    Exit code: 0, all that can take part did; 1, one failed (the tables say why); 2, a
    wrong option; 130, interrupted.  What was measured until then is written in any case,
    and nothing is left running.
    """
    if listed:
        print_list()
        return
    if recorded:
        finish(json.loads(recorded.read_text()), out)
        return
    if os.geteuid():
        raise click.ClickException("network namespaces need root: sudo make bench")
    say = teller()
    chosen = [CONTESTANTS[name] for name in CONTESTANTS if only is None or name in {NATIVE, *only}]
    offer(chosen, wanted, say)
    skipped = {each.name: why for each in chosen if (why := each.why_not())}
    if NATIVE in skipped:
        raise click.ClickException(f"{NATIVE} is what the others are compared with: {skipped[NATIVE]}")
    for name, why in skipped.items():
        say(f"{name} takes no part: {why}")
    os.setpriority(os.PRIO_PROCESS, 0, nice)  # what is started inherits it
    takers = [each for each in chosen if each.name not in skipped]
    count = rounds or (1 if quick else 3)
    record = new_record(takers, skipped, {"rounds": count, "quick": quick, "nice": nice})
    out.mkdir(parents=True, exist_ok=True)
    try:
        run_rounds(record, takers, count, QUICK if quick else THOROUGH, out, say)
    except LabError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(INTERRUPTED)
    finally:
        record["machine"]["load_after"] = os.getloadavg()
        if any(record["rounds"]):
            finish(record, out)
    if figures.failures(record):
        sys.exit(FAILED)


def offer(chosen: Sequence[Contestant], wanted: bool | None, say: Say) -> None:
    """Installs what is missing, if that is wanted and possible."""
    missing = {command: package for each in chosen for command, package in each.missing().items()}
    if not missing:
        return
    packages = " ".join(sorted(set(missing.values())))
    if not can_install():
        say(f"not installed: {packages}")
        return
    if wanted is None and sys.stdin.isatty():
        wanted = click.confirm(f"Install {packages} with apt-get (no service is started)?", err=True)
    if not wanted:
        say(f"not installed: {packages}; --install does it")
        return
    say(f"installing {packages}")
    try:
        install(missing.values())
    except LabError as error:
        say(f"{error}; the race goes on without")


def new_record(
    takers: Sequence[Contestant], skipped: dict[str, str], options: dict[str, Any]
) -> dict[str, Any]:
    about = {
        each.name: {"title": each.title, "version": each.version(), "transport": each.transport,
                    "cipher": each.cipher, "note": each.note}
        for each in takers
    }  # fmt: skip
    command = " ".join(["python -m bench", *sys.argv[1:]])
    return {"machine": machine(), "command": command, "options": options, "contestants": about,
            "skipped": skipped, "rounds": []}  # fmt: skip


def order(takers: Sequence[Contestant], number: int) -> list[Contestant]:
    """Native first and last; the others in between begin with another one each round."""
    native = [each for each in takers if each.name == NATIVE]
    others = [each for each in takers if each.name != NATIVE]
    shift = number * 5 % len(others) if others else 0
    return native + others[shift:] + others[:shift] + native


def run_rounds(record: dict[str, Any], takers: Sequence[Contestant], rounds: int, pace: Pace, out: Path,
               say: Say) -> None:  # fmt: skip
    """Adds turn by turn to the record, and writes it after each."""
    guesses: dict[str, dict[int, float]] = {each.name: {} for each in takers}
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as folder:
        tools = build(Path(folder))
        for number in range(rounds):
            turns: list[dict[str, Any]] = []
            record["rounds"].append(turns)
            line = order(takers, number)
            for place, contestant in enumerate(line, 1):
                where = Path(folder, f"{number}-{place}")
                turn = Turn(tools, where, pace, guesses[contestant.name])
                title = f"round {number + 1}/{rounds}, {place}/{len(line)}, {contestant.name}"
                turns.append({"contestant": contestant.name, **one_turn(contestant, turn, title, say)})
                (out / "race.json").write_text(json.dumps(record, indent=1) + "\n")


def one_turn(contestant: Contestant, turn: Turn, title: str, say: Say) -> dict[str, Any]:
    """A turn's figures, or why it failed: the race goes on."""
    begin = time.monotonic()
    say(title)
    try:
        found = play(contestant, turn)
    except (LabError, TimedOut, subprocess.SubprocessError, OSError) as error:
        say(f"  failed: {error}")
        return {"failed": str(error)}
    rates = ", ".join(f"{found['rate'][str(size)]['rate']:,.0f}/s of {size:,} B" for size in SIZES)
    say(f"  {rates}; p50 {found['delay']['1000']['p50']:,.0f} us; {time.monotonic() - begin:.0f} s")
    return found


def finish(record: dict[str, Any], out: Path) -> None:
    """The files, and the tables on stdout; whoever reads only the first lines of these has all the files."""
    out.mkdir(parents=True, exist_ok=True)
    record["summary"] = figures.summarise(record)
    (out / "race.json").write_text(json.dumps(record, indent=1) + "\n")
    (out / "race.md").write_text(report.markdown(record))
    written = [out / "race.json", out / "race.md"]
    if plot.available():
        pictures = [out / "race.png", out / "race.svg"]
        plot.draw(record, pictures)
        written += pictures
    console = screen()
    report.show(console, record)
    console.print(f"\nwritten: {', '.join(map(str, written))}", soft_wrap=True)
    if not plot.available():
        console.print(plot.ADVICE)


def print_list() -> None:
    table = Columns("name", "transport", "cipher", "takes part")
    for each in CONTESTANTS.values():
        table.row(each.name, each.transport, each.cipher, each.why_not() or "yes")
    screen().print(table)
