"""Where a firewall may stop IGMP, and the line that lets it through.

In nftables a packet has to be accepted by every base chain that it meets, so a rule of one's own in a chain
of one's own opens nothing: it has to stand first in each chain that drops.  Those of iptables-nft are chains
of nftables, too; iptables-legacy's are not seen.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from subprocess import DEVNULL, SubprocessError, run
from typing import Any, NamedTuple

from multicastmw.cli.lab.tools import NotPossibleHere, find_tool

# What a host's own packets meet on their way out, and others' on their way in.
OUT, IN = ("output", "postrouting"), ("ingress", "prerouting", "input")
FAMILIES = ("ip", "inet", "netdev")
PATIENCE = 5.0  # seconds for `nft`
STOPS = ("drop", "reject", "queue")


class Wall(NamedTuple):
    """A base chain that can stop packets."""

    family: str
    table: str
    chain: str
    hook: str
    device: str | None  # of the family netdev


def standing() -> tuple[Wall, ...]:
    """Those of this network, as far as nft is there and tells."""
    with suppress(NotPossibleHere, OSError, SubprocessError, ValueError):
        command = [find_tool("nft"), "-j", "list", "ruleset"]
        done = run(command, capture_output=True, stdin=DEVNULL, check=True, timeout=PATIENCE)
        return tuple(walls(json.loads(done.stdout)))
    return ()


def walls(ruleset: dict[str, Any]) -> Iterator[Wall]:
    """From what `nft -j list ruleset` says."""
    chains, rules = [], dict[tuple[str, str, str], list[Any]]()
    for entry in ruleset.get("nftables", ()):
        if chain := entry.get("chain"):
            chains.append(chain)
        elif rule := entry.get("rule"):
            rules.setdefault((rule["family"], rule["table"], rule["chain"]), []).extend(rule["expr"])
    for chain in chains:
        where = chain["family"], chain["table"], chain["name"]
        if chain["family"] not in FAMILIES or "hook" not in chain:
            continue
        if chain.get("policy") == "drop" or _stops(rules, where, set()):
            yield Wall(*where, chain["hook"], chain.get("dev"))


def _stops(rules: dict[tuple[str, str, str], list[Any]], where: tuple[str, str, str],
           seen: set[tuple[str, str, str]]) -> bool:  # fmt: skip
    """Does one of its rules, or of the chains that it jumps to?"""
    if where in seen:
        return False
    seen.add(where)
    for expression in rules.get(where, ()):
        if any(word in expression for word in STOPS) or _is_a_stop_of_iptables(expression):
            return True
        for verdict in _verdicts(expression):
            if any(word in verdict for word in STOPS):
                return True
            target = (verdict.get("jump") or verdict.get("goto") or {}).get("target")
            if target and _stops(rules, (*where[:2], target), seen):
                return True
    return False


def _verdicts(expression: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The expression itself, and those that a map of verdicts holds."""
    yield expression
    found = (expression.get("vmap") or {}).get("data")
    for pair in found.get("set", ()) if isinstance(found, dict) else ():
        if isinstance(pair, list) and isinstance(pair[-1], dict):
            yield pair[-1]
    if isinstance(found, str):  # a map with a name: what is in it is not looked at
        yield {"drop": None}


def _is_a_stop_of_iptables(expression: dict[str, Any]) -> bool:
    return (expression.get("xt") or {}).get("name") in ("DROP", "REJECT", "NFQUEUE")


def opening(found: Iterable[Wall], hooks: tuple[str, ...], device: str) -> str:
    """The line that lets IGMP through them all, at this device."""
    lines = []
    for wall in found:
        if wall.hook not in hooks or wall.device not in (None, device):
            continue
        side = "" if wall.family == "netdev" else f"{'oifname' if hooks == OUT else 'iifname'} {device} "
        rule = f"{wall.family} {wall.table} {wall.chain} {side}ip protocol igmp accept"
        lines.append(f"nft insert rule {rule}")
    if lines:
        return "; ".join(lines)
    chain, side = ("OUTPUT", "-o") if hooks == OUT else ("INPUT", "-i")
    return f"iptables -I {chain} {side} {device} -p igmp -j ACCEPT"
