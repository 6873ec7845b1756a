"""`mcmw show mesh`: neighbours, groups, and the way of each stream; and the trees of `mcmw show tree`."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from multicastmw.cli.text import Columns, milliseconds, plain, short

NAMES = 3  # of neighbours or children in a row
WIDE = 34


def draw(console: Console, mesh: dict[str, Any] | None) -> None:
    """All of it."""
    if mesh is None:
        console.print("the engine of this node is static: see [overlay] engine in node.ini")
        return
    carries = f"{mesh['uplink']:,} kbit/s for others" if mesh["uplink"] else "nothing for others"
    reached = "can be dialled" if mesh["dialable"] else "cannot be dialled"
    console.print(f"{mesh['role']}, {carries}, {reached}")
    _neighbours(console, mesh["neighbours"])
    _groups(console, mesh["groups"])
    _streams(console, mesh["streams"])


def _neighbours(console: Console, neighbours: list[dict[str, Any]]) -> None:
    table = Columns("neighbour", "rtt>", "carries>", "score>", "in")
    for each in sorted(neighbours, key=lambda each: (each["rtt"] is None, each["rtt"])):
        where = "behind NAT  " if each["behind_nat"] else ""
        table.row(
            short(each["name"], 20), milliseconds(each["rtt"]), each["capacity"], f"{each['score']:.0f}",
            where + names(each["groups"]),
        )  # fmt: skip
    console.print(table if neighbours else "no neighbour yet: mcmw show events says what was tried")


def _groups(console: Console, groups: list[dict[str, Any]]) -> None:
    table = Columns("group", "known>", "neighbours")
    for each in groups:
        table.row(each["group"], each["known"] + len(each["neighbours"]), names(each["neighbours"]))
    if groups:
        console.print(table)


def _streams(console: Console, streams: list[dict[str, Any]]) -> None:
    table = Columns("stream", "from", "to", "missing>", "again>")
    for each in streams:
        came = "here" if each["begins_here"] else each["parent"] or "(nobody)"
        again = each["counters"]["recovered"] + each["counters"]["resent"]
        table.row(
            f"{each['group']} of {short(each['node'], 14)}", short(came, 14), names(each["children"]),
            each["missing"], again,
        )  # fmt: skip
    console.print(table if streams else "no stream passes")


def names(found: Iterable[str]) -> str:
    """The first of them, and how many there are besides."""
    listed = list(found)
    more = f" +{len(listed) - NAMES}" if len(listed) > NAMES else ""
    return short(", ".join(plain(name) for name in listed[:NAMES]), WIDE) + more


def trees(console: Console, mesh: dict[str, Any]) -> None:
    """Of each stream: the way that its packets take to here, and to whom they go on."""
    for each in mesh["streams"]:
        title = f"{each['group']} from {each['source']}, which {plain(each['node'])} sends"
        tree = branch = Tree(Text(title, style="bold"))
        for name in each["path"] or ("(the way is not known yet)",):
            branch = branch.add(Text(plain(name)))
        for child in each["children"]:
            branch.add(Text(plain(child)))
        console.print(tree)
    if not mesh["streams"]:
        console.print("no stream passes: mcmw show mesh has the neighbours")
