"""`mcmw fastpath [on|off]`: whether a running node's kernel forwards, and the switch."""

import json
from collections.abc import Iterator
from typing import Any

import click

from multicastmw.cli.main import Target, exit_codes
from multicastmw.cli.text import amount, wrapped
from multicastmw.cli.which import asking, control_of

PATIENCE = 10.0  # seconds; loading the program takes a fraction of one


CODES = {
    0: "it is as was asked for",
    1: "the node was not reached, or it cannot; one line says why",
}


@click.command(epilog=exit_codes(CODES))
@click.argument("switch", type=click.Choice(("on", "off")), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
@click.pass_obj
def fastpath(target: Target, switch: str | None, as_json: bool) -> None:
    """Say whether a running node's kernel forwards, or switch that on or off.

    Streams go on either way.  Switched off, every packet passes the node's own process: it is counted one
    by one, held against a duplicate window, and seen by tcpdump on the TAP.  The switch holds until the node
    ends; [fastpath] mode in node.ini says how it starts.
    """
    control = control_of(target, PATIENCE)
    with asking(control):
        if switch:
            control.post(f"/fastpath/{switch}")
        found = control.get("/status")["fastpath"]
    click.echo(json.dumps(found) if as_json else "\n".join(report(found)))


def report(found: dict[str, Any]) -> Iterator[str]:
    """Its state, and why packets were left to the process, in 80 columns."""
    for said in _said(found):
        yield from wrapped(said).splitlines()


def _said(found: dict[str, Any]) -> Iterator[str]:
    yield state(found)
    if found["on"]:
        taken = found["counters"]
        yield f"{amount(taken['from_tap'])} packets from programs, {amount(taken['delivered'])} to them"
    for name, text in LEFT.items():
        if count := found["counters"][f"user_{name}"]:
            yield f"{amount(count)} packets left to the node's process: {text}"
    for name, text in LOST.items():
        if count := found["counters"][name]:
            yield f"{amount(count)} copies lost: {text}"
    if count := found["forced"]:
        yield f"{amount(count)} times a stream went on in the kernel while packets of it waited: {SLOW}"
    if count := found["counters"]["not_copied"]:
        yield f"{amount(count)} packets that observers here missed: {SLOW}"


def state(found: dict[str, Any]) -> str:
    """In one line."""
    if not found["on"]:
        return f"off: {found['why']}"
    devices = ", ".join(found["uplinks"]) or "no peers yet"
    routes = "1 route" if found["routes"] == 1 else f"{found['routes']} routes"
    return f"on ({found['way']}, {devices}), {routes} in the kernel"


SLOW = "the node's process was too slow"
LEFT = {
    "lease": "while the node hung, or it was off",
    "no_route": "first ones of a stream, or of one that is not the kernel's",
    "route": "of streams that are not the kernel's",
    "generation": "of an earlier state",
    "unknown_link": "from addresses that are no peer's",
    "other_message": "probes",
    "shape": "of a form that the kernel does not do",
    "gso": "merged on their way, or to be cut up by the device",
    "igmp": "IGMP",
    "link_local": "to 224.0.0.0/24",
    "ttl": "with TTL 1",
    "too_long": "too long for a peer's way",
    "checksum": "with a checksum that is still to be completed",
    "mesh": "of the mesh: sent again, not in order, or not from the parent",
    "gate": "behind others that were left, so that order is kept",
}
LOST = {
    "no_peer": "the peer had just gone",
    "too_long_for_peer": "too long for the peer's way",
    "not_sent": "the kernel did not take them",
    "failed": "they could not be written",
}
