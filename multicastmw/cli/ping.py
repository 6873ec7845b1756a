"""`mcmw ping GROUP`: who in the overlay receives it, and how far away they are."""

import json
from statistics import fmean
from typing import Any

import click

from multicastmw.cli.asked import Group, Line, ask, listed, name_of
from multicastmw.cli.main import Failure, Target, exit_codes
from multicastmw.cli.text import amount, plain, short, span, wrapped

NAME_WIDTH = 18


class Pings:
    """What came of all rounds."""

    def __init__(self) -> None:
        self.rounds = 0
        self._known: dict[str, str] = {}  # all nodes but this one, by id
        self._alive: set[str] = set()
        self._wanting: dict[str, Line] = {}  # the last answer of each
        self._times: dict[str, dict[int, float]] = {}

    def hear(self, line: Line) -> Line | None:
        """Gives the answer of a node that wants it."""
        if begin := line.get("begin"):
            self._known = {node["id"]: node["name"] for node in begin["nodes"]}
        elif "asked" in line:
            self.rounds = line["asked"] + 1
        elif answer := line.get("answer"):
            self._alive.add(answer["id"])
            if answer["wanted_by"]:
                self._wanting[answer["id"]] = answer
                self._times.setdefault(answer["id"], {})[answer["round"]] = answer["rtt_ms"]
                return dict(answer)
        return None

    def report(self) -> dict[str, Any]:
        """Everything as JSON takes it."""
        nodes = [
            self._node(node) for node in sorted(self._wanting, key=lambda each: self._wanting[each]["name"])
        ]
        silent = sorted(name for node, name in self._known.items() if node not in self._alive)
        others = sorted(
            name for node, name in self._known.items() if node in self._alive and node not in self._wanting
        )
        return {"rounds": self.rounds, "receives": nodes, "others": others, "silent": silent}

    def _node(self, node: str) -> dict[str, Any]:
        last, times = self._wanting[node], self._times[node]
        rtts = None if last["here"] else times.values()
        return {
            "node": last["name"], "id": node, "here": last["here"], "hosts": last["hosts"],
            "wanted_by": last["wanted_by"], "since": last["since"], "hops": last["hops"],
            "asked": self.rounds, "answers": len(times),
            "loss": round(1 - len(times) / max(1, self.rounds), 4),
            "rtt_ms": {"min": min(rtts), "avg": round(fmean(rtts), 3), "max": max(rtts)} if rtts else None,
        }  # fmt: skip


@click.command(
    epilog=exit_codes({0: "somebody receives it", 1: "nobody does, or no node answers; one line says why"})
)
@click.argument("channel", metavar="GROUP", type=Group())
@click.option("-c", "--count", type=click.IntRange(0, 1_000_000), default=5, show_default=True,
              help="How often to ask; 0: until Ctrl-C.")  # fmt: skip
@click.option("-i", "--interval", metavar="SECONDS", type=click.FloatRange(0.1, 3600), default=1.0,
              show_default=True, help="From one question to the next.")  # fmt: skip
@click.option("-W", "--wait", metavar="SECONDS", type=click.FloatRange(0, 60), default=1.0, show_default=True,
              help="For answers to the last one.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
@click.pass_obj
def ping(target: Target, channel: dict[str, str], count: int, interval: float, wait: float,
         as_json: bool) -> None:  # fmt: skip
    """Ask every node of the overlay whether it receives GROUP.

    GROUP is a group, or SOURCE@GROUP.  Who has programs or hosts that joined it, a pin, or something in the
    node itself that wants it, answers each time: with the hosts, how long they want it already, the round
    trip and the number of links on the way.  Nodes that do not want it say so once; those that never say
    anything are named at the end: they are of an older version, [groups] keeps 239.255.77.68 from them, or
    nothing comes through.

    Whether packets of the group arrive is another question: `mcmw trace GROUP` answers that.
    """
    pings = Pings()
    for line in ask(target, "/ping", {**channel, "count": count, "interval": interval, "wait": wait}):
        answer = pings.hear(line)
        if answer and not as_json and not (answer["here"] and answer["round"]):
            click.echo(_line(answer))
    found = pings.report() | {"group": channel["group"], "source": channel.get("source")}
    if as_json:
        click.echo(json.dumps(found))
    else:
        _summary(found)
    if not found["receives"]:
        raise Failure(f"nobody receives {name_of(channel)}") if not as_json else click.exceptions.Exit(1)


def _line(answer: Line) -> str:
    name = short(answer["name"], NAME_WIDTH)
    who = f"{answer['hosts']} host{'' if answer['hosts'] == 1 else 's'}"
    if not answer["hosts"]:
        who = short(", ".join(answer["wanted_by"]), NAME_WIDTH)
    since = f" since {span(answer['since'])}" if answer["since"] is not None else ""
    if answer["here"]:
        return f"{name}: {who}{since}, this node"
    hops = f"{answer['hops']} hop{'' if answer['hops'] == 1 else 's'}"
    return f"{name}: {who}{since}, {hops}, {answer['rtt_ms']:.3g} ms, #{answer['round'] + 1}"


def _summary(found: dict[str, Any]) -> None:
    click.echo(f"--- {found['group']} was asked for {found['rounds']} times")
    for node in found["receives"]:
        if node["here"]:
            click.echo(f"{short(node['node'], NAME_WIDTH)} receives it: this node")
            continue
        rtt = node["rtt_ms"]
        click.echo(
            f"{short(node['node'], NAME_WIDTH)} receives it: {node['answers']} of {node['asked']} answers, "
            f"{100 * node['loss']:.3g} % lost, {rtt['min']:.3g}/{rtt['avg']:.3g}/{rtt['max']:.3g} ms"
        )
    if found["others"]:
        click.echo(_wrapped("want it not: ", found["others"]))
    if found["silent"]:
        click.echo(_wrapped("did not answer at all: ", found["silent"]))


def _wrapped(label: str, names: list[str]) -> str:
    text = listed([plain(name) for name in names[:50]])
    more = f", and {amount(len(names) - 50)} more" if len(names) > 50 else ""
    return wrapped(label + text + more, indent=2)
