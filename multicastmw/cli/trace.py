"""`mcmw trace GROUP`: the way of a group's packets through the tree, and where they end or are lost."""

import json
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from multicastmw.cli.asked import Group, Progress, ask, listed, name_of
from multicastmw.cli.main import Failure, Target, exit_codes
from multicastmw.cli.text import amount, plain, screen, short
from multicastmw.core.probing.path import Answers, Hop, Path

NAME_WIDTH = 24
FINDINGS_SHOWN = 20


@click.command(
    epilog=exit_codes({
        0: "packets of it were seen",
        1: "none were, or it could not be asked; one line says why",
    })
)  # fmt: skip
@click.argument("channel", metavar="GROUP", type=Group())
@click.option("--source", metavar="ADDRESS", default="", help="Of this source only.")
@click.option("--seconds", type=click.FloatRange(0.5, 60), default=2.0, show_default=True,
              help="How far apart nodes are asked twice.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the tree.")
@click.pass_obj
def trace(target: Target, channel: dict[str, str], source: str, seconds: float, as_json: bool) -> None:
    """Show the way of GROUP's packets through the tree, hop by hop.

    GROUP is a group, or SOURCE@GROUP.  All nodes are asked twice what their routes say.  For each source
    there is a tree, from the node where its packets start to those where they go to programs, with packets a
    second, what was lost and came twice on the way to each node within that time, and whether the kernel
    forwards them, and if not, why.  Below it stands where packets end or are lost, and why.
    """
    if source:
        channel = Group().convert(f"{source}@{channel['group']}", None, click.get_current_context())
    answers, progress = Answers(), Progress(not as_json)
    known: dict[str, str] = {}
    for line in ask(target, "/trace", {**channel, "seconds": seconds}):
        if begin := line.get("begin"):
            known = {node["id"]: node["name"] for node in (begin["node"], *begin["nodes"])}
        elif answer := line.get("answer"):
            answers.hear(answer)
        progress.say(f"{len(answers.names)} of {len(known)} nodes have answered")
    progress.done()
    paths = answers.paths()
    silent = sorted(name for node, name in known.items() if node not in answers.names)
    if as_json:
        click.echo(json.dumps(_document(channel, answers, paths, silent)))
        if not paths:
            raise click.exceptions.Exit(1)
        return
    console = screen()
    for path in paths:
        _draw(console, path, channel["group"])
    if silent:
        console.print(Text(f"did not answer: {listed([plain(name) for name in silent[:20]])}", style="red"))
    if not paths:
        raise Failure(_nothing(channel, answers))


def _document(
    channel: dict[str, str], answers: Answers, paths: list[Path], silent: list[str]
) -> dict[str, Any]:
    return {
        "group": channel["group"], "source": channel.get("source"),
        "paths": [path.document() for path in paths],
        "wanted_by": answers.wanted_by(), "silent": silent,
    }  # fmt: skip


def _nothing(channel: dict[str, str], answers: Answers) -> str:
    wanted = answers.wanted_by()
    who = f"{listed([plain(name) for name in wanted])} want it" if len(wanted) > 1 else (
        f"{plain(next(iter(wanted)))} wants it" if wanted else "nobody wants it")  # fmt: skip
    count = len(answers.names)
    nodes = "this node" if count == 1 else f"any of {count} nodes"
    return f"no packet of {name_of(channel)} came to {nodes}; {who}; see mcmw doctor"


def _draw(console: Console, path: Path, group: str) -> None:
    console.print(Text(f"{path.source} to {group}", style="bold"))
    tree = Tree(_label(path.root))
    _grow(tree, path.root)
    console.print(tree)
    for finding in path.findings[:FINDINGS_SHOWN]:
        console.print(Text(plain(finding), style="yellow"), soft_wrap=False)
    if not path.findings:
        console.print("nothing is lost on the way")


def _grow(tree: Tree, hop: Hop) -> None:
    for name in hop.here:
        tree.add(Text(f"{plain(name)}, here", style="green"))
    for each in hop.behind:
        _grow(tree.add(_label(each)), each)
    if hop.more:
        tree.add(Text(f"and {hop.more} more"))


def _label(hop: Hop) -> Text:
    name = short(hop.name, NAME_WIDTH)
    if not hop.answered:
        return Text(f"{name}  did not answer", style="red")
    words = [name, _rate(hop)]
    if lost := hop.count("lost"):
        words.append(f"{amount(lost)} lost")
    if twice := hop.count("duplicates"):
        words.append(f"{amount(twice)} double")
    if nobody := hop.count("to_nobody"):
        words.append(f"{amount(nobody)} to nobody")
    if died := hop.count("died_of_ttl"):
        words.append(f"{amount(died)} died of TTL")
    words.append("kernel" if hop.fast else f"Python ({plain(hop.why_slow)})" if hop.why_slow else "Python")
    return Text("  ".join(words))


def _rate(hop: Hop) -> str:
    if hop.seconds is None:
        return f"{amount(hop.came)} packets"
    return f"{amount(hop.came / hop.seconds)}/s" if hop.seconds else "0/s"
