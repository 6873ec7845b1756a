"""`mcmw show mesh`: neighbours, groups, and the way of each stream; and the trees of `mcmw show tree`."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from multicastmw.cli.text import Columns, amount, milliseconds, plain, round_trip, share, short

NAMES = 3  # of neighbours or children in a row
WIDE = 34
Peer = dict[str, Any]
# Of a neighbour whose link has just gone.
NO_LINK: Peer = {"jitter": None, "loss": None, "rate_sent": 0, "rate_received": 0, "queue": 0}


def draw(console: Console, status: dict[str, Any]) -> None:
    """All of it."""
    mesh = status["mesh"]
    if mesh is None:
        console.print("the engine of this node is static: see [overlay] engine in node.ini")
        return
    carries = f"{mesh['uplink']:,} kbit/s for others" if mesh["uplink"] else "nothing for others"
    reached = "can be dialled" if mesh["dialable"] else "cannot be dialled"
    console.print(f"{mesh['role']}, {carries}, {reached}")
    _neighbours(console, mesh["neighbours"], {peer["id"]: peer for peer in status["peers"]})
    _groups(console, mesh["groups"])
    _streams(console, mesh["streams"], mesh["streams_not_shown"])


def _neighbours(console: Console, neighbours: list[dict[str, Any]], links: dict[str, Peer]) -> None:
    """What is measured of each is its link's."""
    figures = ("RTT ms>", "loss>", "out>", "in>", "queue>", "gives>", "score>", "groups>")
    table = Columns("neighbour", *figures, "")
    for each in sorted(neighbours, key=lambda each: (each["rtt"] is None, each["rtt"])):
        link = links.get(each["id"], NO_LINK)
        table.row(
            short(each["name"], 14), round_trip(each["rtt"], link["jitter"]), share(link["loss"]),
            amount(link["rate_sent"]), amount(link["rate_received"]), amount(link["queue"]), each["capacity"],
            f"{each['score']:.0f}", len(each["groups"]), "NAT" if each["behind_nat"] else "",
        )  # fmt: skip
    console.print(table if neighbours else "no neighbour yet: mcmw show events says what was tried")


def _groups(console: Console, groups: list[dict[str, Any]]) -> None:
    table = Columns("group", "known>", "neighbours")
    for each in groups:
        table.row(each["group"], each["known"] + len(each["neighbours"]), names(each["neighbours"]))
    if groups:
        console.print(table)


def _streams(console: Console, streams: list[dict[str, Any]], more: int) -> None:
    table = Columns("stream", "from", "to", "missing>", "again>")
    for each in streams:
        came = "here" if each["begins_here"] else each["parent"] or "(nobody)"
        again = each["counters"]["recovered"] + each["counters"]["resent"]
        shares = "shared by" if each["shared"] else "of"
        goes = (
            [f"{each['registered_with']}, which shares it"] if each["registered_with"] else each["children"]
        )
        table.row(
            f"{each['group']} {shares} {short(each['node'], 14)}", short(came, 14), names(goes),
            each["missing"], again,
        )  # fmt: skip
    console.print(table if streams else "no stream passes")
    if more:
        console.print(f"and {more:,} more")


def names(found: Iterable[str]) -> str:
    """The first of them, and how many there are besides."""
    listed = list(found)
    more = f" +{len(listed) - NAMES}" if len(listed) > NAMES else ""
    return short(", ".join(plain(name) for name in listed[:NAMES]), WIDE) + more


def trees(console: Console, status: dict[str, Any]) -> None:
    """Of each stream: the way that its packets take to here, to whom they go on, and who is asked if the
    parent fails."""
    mesh, links = status["mesh"], {peer["name"]: peer for peer in status["peers"]}
    for each in mesh["streams"]:
        tree = branch = Tree(Text(_title(each), style="bold"))
        for name in each["path"] or ("(the way is not known yet)",):
            branch = branch.add(Text(_hop(name, links)))
        if each["registered_with"]:
            branch.add(Text(f"{_hop(each['registered_with'], links)}, the rendezvous point, which shares it"))
        for child in each["children"]:
            branch.add(Text(_hop(child, links)))
        console.print(tree)
        if each["backups"]:
            parent = short(each["parent"] or "nobody", 20)
            console.print(Text(f"    instead of {parent}: {names(each['backups'])}", style="dim"))
    if not mesh["streams"]:
        console.print("no stream passes: mcmw show mesh has the neighbours")


def _title(stream: dict[str, Any]) -> str:
    if stream["shared"]:
        return f"{stream['group']} from all who send slowly, which {plain(stream['node'])} shares"
    return f"{stream['group']} from {stream['source']}, which {plain(stream['node'])} sends"


def _hop(name: str, links: dict[str, Peer]) -> str:
    """A node, and its round trip where it is a neighbour."""
    rtt = links[name]["rtt"] if name in links else None
    return plain(name) + (f"  {milliseconds(rtt)}" if rtt is not None else "")
