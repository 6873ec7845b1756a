"""`mcmw show mesh`: neighbours, groups, and the way of each stream; and the trees of `mcmw show tree`."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from multicastmw.cli.text import Columns, amount, milliseconds, plain, round_trip, share, short, some

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
    feeds = f", two feeds of {_of_which(mesh)}" if mesh["feeds"] > 1 else ""
    rotate = f", parents change every {mesh['rotate']:g} s or so" if mesh["rotate"] else ""
    console.print(f"{mesh['role']}, {carries}, {reached}{feeds}{rotate}")
    _neighbours(console, mesh["neighbours"], {peer["id"]: peer for peer in status["peers"]})
    _groups(console, mesh["groups"])
    _streams(console, mesh["streams"], mesh["streams_not_shown"])
    _left_alone(console, mesh["left_alone"], mesh["left_alone_not_shown"])


def _of_which(mesh: dict[str, Any]) -> str:
    groups = mesh["feeds_groups"]
    return f"streams to {some(groups, 40)}" if groups else "each stream"


def in_short(mesh: dict[str, Any]) -> str:
    """Its neighbours, and how many are known: a line."""
    everybody = mesh["everybody"]
    linked = sorted(plain(each["name"]) for each in mesh["neighbours"])
    if not linked:
        return "no neighbour yet: mcmw show events says what was tried"
    known = max(len(linked), everybody["known"] + len(everybody["neighbours"]) if everybody else 0)
    groups = len(mesh["groups"])
    return (
        f"{len(linked)} neighbour{'s' * (len(linked) > 1)}: {some(linked, 40)};"
        f" {known} node{'s' * (known > 1)} known, {groups} group{'s' * (groups != 1)}"
    )


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
    doubted = [each["name"] for each in neighbours if not each["believed"]]
    if doubted:
        console.print(f"not believed when they tell of others: {some(doubted, 40)}")


def _groups(console: Console, groups: list[dict[str, Any]]) -> None:
    table = Columns("group", "known>", "neighbours")
    for each in groups:
        table.row(each["group"], each["known"] + len(each["neighbours"]), names(each["neighbours"]))
    if groups:
        console.print(table)


def _streams(console: Console, streams: list[dict[str, Any]], more: int) -> None:
    table = Columns("stream", "from", "to", "missing>", "again>")
    for each in streams:
        again = each["counters"]["recovered"] + each["counters"]["resent"]
        shares = "shared by" if each["shared"] else "of"
        goes = (
            [f"{each['registered_with']}, which shares it"] if each["registered_with"] else each["children"]
        )
        table.row(
            f"{each['group']} {shares} {short(each['node'], 14)}", _came(each), names(goes),
            each["missing"], again,
        )  # fmt: skip
    console.print(table if streams else "no stream passes")
    if more:
        console.print(f"and {more:,} more")


def _came(stream: dict[str, Any]) -> str:
    """Where it comes from."""
    if stream["begins_here"] or not stream["parent"]:
        return "here" if stream["begins_here"] else "(nobody)"
    first = short(stream["parent"], 14)
    if stream["second"]:
        return f"{first} + {short(stream['second'], 14)}"
    return f"{first} (one way)" if stream["feeds"] > 1 else first


def _left_alone(console: Console, nodes: list[dict[str, Any]], more: int) -> None:
    table = Columns("left alone", "at", "s to go>", "why")
    for each in nodes:
        table.row(short(each["name"], 14), each["address"], f"{each['seconds']:,}", each["why"])
    if nodes:
        console.print(table)
    if more:
        console.print(f"and {more:,} more are left alone")


def names(found: Iterable[str]) -> str:
    """The first of them, and how many there are besides."""
    listed = list(found)
    more = f" +{len(listed) - NAMES}" if len(listed) > NAMES else ""
    return short(", ".join(plain(name) for name in listed[:NAMES]), WIDE) + more


def trees(console: Console, status: dict[str, Any]) -> None:
    """Of each stream: the ways that its packets take to here, to whom they go on, and who is asked if the
    parent fails."""
    mesh, links = status["mesh"], {peer["name"]: peer for peer in status["peers"]}
    for each in mesh["streams"]:
        tree = Tree(Text(_title(each), style="bold"))
        here = _way(tree, each["path"], links)
        if each["registered_with"]:
            here.add(Text(f"{_hop(each['registered_with'], links)}, the rendezvous point, which shares it"))
        for child in each["children"]:
            here.add(Text(_hop(child, links)))
        if each["second"]:
            _way(tree.add(Text("and the second feed")), each["second_path"], links)
        console.print(tree)
        for line in _besides(each):
            console.print(Text(f"    {line}", style="dim"))
    if not mesh["streams"]:
        console.print("no stream passes: mcmw show mesh has the neighbours")


def _way(tree: Tree, path: Iterable[str], links: dict[str, Peer]) -> Tree:
    """Each node below the one that it has it from; gives the last one's branch."""
    for name in path or ("(the way is not known yet)",):
        tree = tree.add(Text(_hop(name, links)))
    return tree


def _besides(stream: dict[str, Any]) -> Iterable[str]:
    """What the drawing does not say."""
    if stream["both_pass"]:
        yield f"both ways pass {names(stream['both_pass'])}"
    elif stream["feeds"] > 1 and stream["parent"] and not stream["second"]:
        yield "no second feed: no other way with a free place is known"
    if stream["backups"]:
        yield f"instead of {short(stream['parent'] or 'nobody', 20)}: {names(stream['backups'])}"


def _title(stream: dict[str, Any]) -> str:
    if stream["shared"]:
        return f"{stream['group']} from all who send slowly, which {plain(stream['node'])} shares"
    return f"{stream['group']} from {stream['source']}, which {plain(stream['node'])} sends"


def _hop(name: str, links: dict[str, Peer]) -> str:
    """A node, and its round trip where it is a neighbour."""
    rtt = links[name]["rtt"] if name in links else None
    return plain(name) + (f"  {milliseconds(rtt)}" if rtt is not None else "")
