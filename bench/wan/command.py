"""`python -m bench wan` and `python -m bench film`."""

import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench.about import machine, teller
from bench.delay import PREFIX
from bench.wan import film as films
from bench.wan import measure, truth
from bench.wan.internet import DelayedInternet
from bench.wan.matrix import measured, relays, scattered, tree
from bench.wan.report import Film
from multicastmw.cli.lab import LabError, TimedOut
from multicastmw.cli.text import Columns, screen
from multicastmw.core.mesh.settings import SLOTS_SHARE

SETTINGS = {"help_option_names": ["-h", "--help"]}
TO_JSON = click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path),
                       help="Write all figures to this file, too.")  # fmt: skip


@click.command(context_settings=SETTINGS)
@click.option("--hosts", type=click.IntRange(2, 254), default=20, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=1), default=10.0, show_default=True, help="Of each run.")
@TO_JSON
def wan(*, hosts: int, seconds: float, path: Path | None) -> None:
    """Measure the lab's internet with delays: what it adds, and how much it carries."""
    try:
        added = measure.added(seconds, teller())
        carried = measure.carried(hosts, seconds, teller())
    except (LabError, TimedOut) as error:
        raise click.ClickException(str(error)) from error
    _write(path, {"added_us": {name: one._asdict() for name, one in added.items()},
                  "carried": [one._asdict() for one in carried]})  # fmt: skip
    table = Columns("beyond what was asked for, us", "median>", "99 %>", "99.9 %>")
    for name, one in added.items():
        table.row(name, *(f"{value:.0f}" for value in one))
    screen().print(table)
    table = Columns("packets/s>", "sent>", "not delivered>", "late, us>", "99 %>", "of a core>")
    for each in carried:
        late = each.late_us
        table.row(f"{each.rate:.0f}", f"{each.sent}", f"{each.sent - each.delivered}", f"{late['p50']:.0f}",
                      f"{late['p99']:.0f}", f"{each.cpu:.2f}")  # fmt: skip
    screen().print(table)


@click.command(context_settings=SETTINGS)
@click.option("--nodes", type=click.IntRange(3, 60), default=20, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=10), default=60.0, show_default=True)
@click.option("--every", type=click.FloatRange(min=1), default=10.0, show_default=True,
              help="Seconds from one kill of a relay to the next.")  # fmt: skip
@click.option("--back", type=click.FloatRange(min=0), default=5.0, show_default=True,
              help="Seconds until a killed relay is started again.")  # fmt: skip
@click.option("--loss", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="On every way.")
@click.option("--matrix", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Round-trip times that were measured: gzip, a row of ms a host.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--engine", type=click.Choice(["static", "mesh"]), default="static", show_default=True)
@click.option("--children", type=click.IntRange(1, 60), default=3, show_default=True, help="Of each node.")
@click.option(
    "--deadline", type=float, default=1.0, show_default=True, help="Of the mesh's recovery, in seconds."
)
@click.option("--hold", type=click.FloatRange(0, 10), default=0.5, show_default=True,
              help="Seconds that a packet waits for a lost one (mesh); 0: it does not.")  # fmt: skip
@click.option("--simulated", is_flag=True, help="Say what the simulator makes of the same film (mesh only).")
@TO_JSON
def film(*, nodes: int, seconds: float, every: float, back: float, loss: float, matrix: Path | None,
         seed: int, engine: str, children: int, deadline: float, hold: float, simulated: bool,
         path: Path | None) -> None:  # fmt: skip
    """Play a film over real nodes while relays are killed: over a static tree, or the mesh.

    In the mesh it is always who feeds most others that is killed.  What the receivers' own sockets saw:
    packets lost, and the longest silence.
    """
    from tests.netns.kit import QuickLab  # its nodes are forked: imports in 20 of them would load the machine

    if os.geteuid():
        raise click.ClickException("network namespaces need root")
    names = [f"n{number:02}" for number in range(1, nodes + 1)]
    dials = tree(names)
    try:
        delays = measured(names, matrix, seed) if matrix else scattered(names, seed=seed)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    internet = partial(DelayedInternet, delays=delays, loss=loss, seed=seed)
    ini, kills, choose = films.static_ini(dials), films.kills_of(relays(dials), every, seconds, back), None
    if engine == "mesh":
        uplink = int(films.RATE * (films.SIZE + 90) * 8 / 1000 * (children + 0.3) / SLOTS_SHARE)
        ini = films.mesh_ini(names, uplink, f"[recovery]\ndeadline = {deadline}\nhold = {hold}\n")
        kills = films.kills_of([""], every, seconds, back)
        choose = films.busiest(names[: films.SEEDS])
    try:
        with (
            tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as folder,
            QuickLab(PREFIX, folder, names, internet) as lab,
        ):
            found = films.film_over(lab, ini, names[0], kills, seconds, choose=choose, say=teller())
    except (LabError, TimedOut) as error:
        raise click.ClickException(str(error)) from error
    rows: list[truth.Beside] = []
    if simulated and engine == "mesh":
        rows = truth.beside(
            found, truth.simulated(names, delays, children, seconds, every, back, loss, deadline, hold)
        )
    _write(path, {"film": found.document(), "simulated": [row._asdict() for row in rows]})
    show(found)
    if rows:
        _show_beside(rows)
    if wrong := truth.untrue(rows):
        raise click.ClickException(
            f"real nodes differ by more than {truth.WITHIN:.0%} from the simulator: {'; '.join(wrong)}"
        )


def show(film: Film) -> None:
    """The tables of a film."""
    console = screen()
    table = Columns(
        "receiver", "lost>", "late>", "twice>", "longest silence, ms>", "delay, ms>", "times killed>"
    )
    for name, seen in film.seen.items():
        delay = seen.delay_ms[0]
        table.row(
            name, seen.lost, seen.late, seen.duplicates, f"{seen.gap_ms:.0f}", f"{delay:.0f}", seen.killed
        )
    console.print(table)
    table = Columns("at, s>", "killed", "cut off>", "before>", "longest silence, ms>", "lost>", "back, ms>")
    for each in film.kills:
        silence = max((each.gap_ms[name] for name in each.cut_off), default=0.0)
        lost = max(each.lost.values(), default=0)
        returned = "" if each.returned_ms is None else f"{each.returned_ms:.0f}"
        cut_off = len(each.cut_off), len(each.cut_off_before)
        table.row(f"{each.kill.at:.0f}", each.kill.host, *cut_off, f"{silence:.0f}", lost, returned)
    console.print(table)
    _summary(console, film)


def _summary(console: Console, film: Film) -> None:
    living = [seen for seen in film.seen.values() if not seen.killed]
    lost = max((seen.lost for seen in living), default=0)
    silence = max((seen.gap_ms for seen in living), default=0.0)
    console.print(
        f"{film.sent} packets in {film.seconds:.0f} s to {len(film.seen)} receivers; of the {len(living)} "
        f"whose node lived the worst lost {lost} and heard nothing for {silence:.0f} ms.  Before the first "
        f"kill the longest silence was {film.usual_gap_ms:.0f} ms; the source was held up for "
        f"{film.source['longest_ms']:.0f} ms at most."
    )


def _show_beside(rows: list[truth.Beside]) -> None:
    table = Columns("ms", "real nodes>", "simulated>", f"{truth.RUNS} seeds>", "real / simulated>")
    for row in rows:
        ratio = f"{row.real / row.simulated:.2f}" if row.simulated else ""
        seeds = f"{row.least:.3g}-{row.most:.3g}"
        table.row(row.name, f"{row.real:.3g}", f"{row.simulated:.3g}", seeds, ratio)
    screen().print(table)


def _write(path: Path | None, document: dict[str, Any]) -> None:
    if path:
        path.write_text(json.dumps({"machine": machine(), **document}, indent=1) + "\n")
