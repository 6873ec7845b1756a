"""What `mcmw show` makes of a status snapshot: parts of it, as --json gives and the tables show them."""

from collections.abc import Callable
from typing import Any

Status = dict[str, Any]

QUESTIONS = "239.255.77.68"  # the group of what nodes ask each other (wire/probe.py)
NODE_KEYS = (
    "node", "tap", "fastpath", "querier", "nodes", "totals", "outputs", "web", "counters", "event_counts",
    "warnings", "refused_reload",
)  # fmt: skip


def document(status: Status, part: str | None) -> Any:
    """A part of the snapshot as it is; that of the node is all that is about itself."""
    if part is None:
        return status
    if part == "node":
        return {key: status[key] for key in NODE_KEYS}
    if part in MADE:
        return {part: MADE[part](status)}
    if part == "streams":
        refused, more = status["streams_besides"]
        return {"streams": status["streams"], "not_looked_at": refused, "not_shown": more}
    return {part: status[part]}


def without_questions(status: Status) -> Status:
    """A snapshot without what nodes ask each other, as with ping and matrix: nobody plays that."""
    found = dict(status)
    for name in ("groups", "routes", "streams"):
        found[name] = [each for each in status[name] if each["group"] != QUESTIONS]
    if mesh := status["mesh"]:
        of_users = {
            name: [each for each in mesh[name] if each["group"] != QUESTIONS]
            for name in ("groups", "streams")
        }
        found["mesh"] = mesh | of_users
    if "events" in status:
        found["events"] = [each for each in status["events"] if f" {QUESTIONS} " not in each["text"]]
    return found


def marked(value: Any) -> Any:
    """The same for programs, which get all: what is of that group says so."""
    if isinstance(value, list):
        return [marked(each) for each in value]
    if not isinstance(value, dict):
        return value
    more = {"questions": True} if value.get("group") == QUESTIONS else {}
    return {name: marked(each) for name, each in value.items()} | more


def why(peer: dict[str, Any]) -> str:
    return f"{peer['why'] or peer['endpoint']}"


def branches(status: Status) -> list[dict[str, Any]]:
    """The links that are up, and the nodes behind each; of a node behind several links, all of these."""
    return [
        {
            "peer": peer["name"], "data": peer["data"], "fast": peer["fast"], "rtt": peer["rtt"],
            "nodes": [name for name in peer["nodes"] if name != peer["name"]],
        }
        for peer in status["peers"]
        if peer["state"] == "up"
    ]  # fmt: skip


def waiting(status: Status) -> list[dict[str, str]]:
    """What is not as node.ini has it (yet), and what it waits for."""
    tap = status["tap"]
    found = [] if tap["state"] == "up" else [{"what": tap["device"], "why": tap["why"]}]
    found += [
        {"what": peer["name"], "why": f"{peer['state']}: {why(peer)}"}
        for peer in status["peers"]
        if peer["state"] != "up"
    ]
    fast = status["fastpath"]
    if not fast["on"] and fast["mode"] != "off":
        found.append({"what": "fast path", "why": fast["why"]})
    if refused := status["refused_reload"]:
        found.append({"what": "node.ini", "why": refused["why"]})
    return found + [{"what": "warning", "why": text} for text in status["warnings"]]


def trees(status: Status) -> Any:
    """What leads to whom: of the mesh by streams, for it has no one tree."""
    if not status["mesh"]:
        return branches(status)
    keys = ("group", "source", "node", "path", "parent", "children", "delay")
    return [{key: each[key] for key in keys} for each in status["mesh"]["streams"]]


MADE: dict[str, Callable[[Status], Any]] = {"tree": trees, "pending": waiting}
