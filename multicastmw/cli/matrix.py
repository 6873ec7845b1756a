"""`mcmw matrix`: do all nodes reach all nodes, with how much loss, and how fast?"""

import json
from typing import Any

import click
from rich.console import Console

from multicastmw.cli.asked import Progress, ask, listed
from multicastmw.cli.main import Failure, Target, exit_codes
from multicastmw.cli.text import Columns, amount, plain, screen, short
from multicastmw.core.probing.table import Pair, Table

WORST_SHOWN = 20  # pairs, where all of them do not fit
CELL = 7  # columns of a node in the table, with a blank
NAMES = 12  # columns of the names at the left
NOTABLE = 0.005  # a share of loss that is said


@click.command(
    epilog=exit_codes({
        0: "every node reaches every other, without loss",
        1: "it could not be asked, and one line says why",
        5: "some do not reach some, probes were lost, or a node is silent or alone",
    })
)  # fmt: skip
@click.option("--probes", type=click.IntRange(1, 100), default=20, show_default=True,
              help="How many each node sends.")  # fmt: skip
@click.option("--interval", metavar="SECONDS", type=click.FloatRange(0.02, 10), default=0.1,
              show_default=True, help="From one probe of a node to its next.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with all pairs.")
@click.pass_obj
def matrix(target: Target, probes: int, interval: float, as_json: bool) -> None:
    """Have all nodes send probes to all nodes, and show what came.

    Each node sends PROBES small packets to a group that all nodes receive, counts what comes of the others,
    and says so when it is asked at the end.  Of two nodes this gives the loss in each direction, the shortest
    round trip, and how much later than the shortest the probes of one direction came.  Round trips are the
    sum of both directions, so clocks that differ make no difference.

    With many nodes the interval is made longer, so that no node gets more than 500 probes a second; and the
    worst pairs are shown instead of the table, --json has all of them.
    """
    table, progress = Table(), Progress(not as_json)
    known: dict[str, str] = {}
    asked: dict[str, Any] = {}
    for line in ask(target, "/matrix", {"probes": probes, "interval": interval}):
        if begin := line.get("begin"):
            asked = {"probes": begin["probes"], "interval": begin["interval"]}
            known = {node["id"]: node["name"] for node in (begin["node"], *begin["nodes"])}
            progress.say(f"{len(known)} nodes send {begin['probes']} probes each, {begin['seconds']:g} s")
        elif step := line.get("progress"):
            progress.say(f"{len(known)} nodes send probes: {step['done']:.0f} of {step['of']:.0f} s")
        elif report := line.get("report"):
            table.hear(report)
            progress.say(f"{len(table.names)} of {len(known)} nodes have answered")
    progress.done()
    if not asked:
        raise Failure("it was ended before anything was asked")
    silent = sorted(name for node, name in known.items() if node not in table.names)
    pairs = list(table.pairs())
    if as_json:
        click.echo(json.dumps(_document(table, pairs, silent) | asked))
    else:
        _show(screen(), table, pairs, silent)
    if not pairs or silent or any(pair.loss > 0 for pair in pairs):
        raise click.exceptions.Exit(5)


def _document(table: Table, pairs: list[Pair], silent: list[str]) -> dict[str, Any]:
    return {
        "nodes": [{"id": node, "name": table.names[node]} for node in table.nodes()],
        "silent": silent,
        "pairs": [
            {
                "from": table.names[pair.sender], "to": table.names[pair.receiver], "sent": pair.sent,
                "got": pair.got, "loss": round(pair.loss, 4), "hops": pair.hops, "rtt_ms": pair.rtt,
                "delay_above_shortest_ms": pair.delay, "delay_above_shortest_max_ms": pair.delay_max,
            }
            for pair in pairs
        ],
    }  # fmt: skip


def _show(console: Console, table: Table, pairs: list[Pair], silent: list[str]) -> None:
    nodes = table.nodes()
    if len(nodes) < 2:
        console.print("no other node has answered")
    elif len(nodes) <= (console.width - NAMES) // CELL:
        _draw(console, table, nodes)
    else:
        _worst(console, table, pairs)
    if pairs:
        _summary(console, table, pairs)
    if silent:
        names = [plain(name) for name in silent[:20]]
        more = f" and {amount(len(silent) - 20)} more" if len(silent) > 20 else ""
        console.print(f"did not answer: {listed(names)}{more}", style="red")


def _draw(console: Console, table: Table, nodes: list[str]) -> None:
    """Nodes that send at the left, those that receive above; what is lost, else the round trip."""
    columns = Columns("from \\ to", *(f"{short(table.names[node], CELL - 1)}>" for node in nodes))
    for sender in nodes:
        cells = ["-" if sender == receiver else _cell(table.pair(sender, receiver)) for receiver in nodes]
        columns.row(short(table.names[sender], NAMES), *cells)
    console.print(columns)
    console.print("cells: the shortest round trip in ms, or the share of the probes that was lost;")
    console.print("none: nothing came; ok: it came, but nothing of the way back")


def _cell(pair: Pair) -> str:
    if not pair.got:
        return "none"
    if pair.loss >= NOTABLE:
        return f"{100 * pair.loss:.0f} %"
    return f"{pair.rtt:.3g}" if pair.rtt is not None else "ok"


def _worst(console: Console, table: Table, pairs: list[Pair]) -> None:
    columns = Columns("from", "to", "lost>", "RTT ms>", "later ms>", "longest")
    for pair in sorted(pairs, key=_badness, reverse=True)[:WORST_SHOWN]:
        figures = (pair.rtt, pair.delay, pair.delay_max)
        columns.row(
            short(table.names[pair.sender], 20), short(table.names[pair.receiver], 20),
            f"{100 * pair.loss:.3g} %", *("" if value is None else f"{value:.3g}" for value in figures),
        )  # fmt: skip
    console.print(columns)
    console.print(f"the worst {min(WORST_SHOWN, len(pairs))} of {len(pairs):,} pairs; --json has all of them")


def _badness(pair: Pair) -> tuple[float, float]:
    return pair.loss, pair.rtt or 0.0


def _summary(console: Console, table: Table, pairs: list[Pair]) -> None:
    lossy = [pair for pair in pairs if pair.loss > 0]
    rtts = sorted(pair.rtt for pair in pairs if pair.rtt is not None)
    times = f", round trips {rtts[0]:.3g} to {rtts[-1]:.3g} ms" if rtts else ""
    console.print(f"{len(table.names)} nodes, {len(pairs):,} pairs, {len(lossy):,} with loss{times}")
    for pair in sorted(lossy, key=_badness, reverse=True)[:5]:
        one, other = plain(table.names[pair.sender]), plain(table.names[pair.receiver])
        what = f"{pair.sent - pair.got} of {pair.sent} lost ({100 * pair.loss:.3g} %)"
        console.print(f"from {one} to {other}: {what}", style="yellow")
