"""All checks, each once: facts and the node's status become findings, and nothing is looked at here."""

from collections.abc import Callable, Iterable

from multicastmw.cli.doctor.facts import Facts
from multicastmw.cli.doctor.finding import Check, Status, fail, ok, warn
from multicastmw.cli.doctor.of_host import (
    clock,
    fast_path,
    firewall,
    network,
    querier,
    routes,
    rp_filter,
    snooping,
    tap,
    wrong_interface,
)
from multicastmw.cli.doctor.of_links import listening, own_tap, peers, ports
from multicastmw.cli.doctor.of_packets import buffers, mtu, ttl
from multicastmw.cli.doctor.probe import Heard
from multicastmw.cli.text import span


def node(status: Status, facts: Facts) -> Check:
    name, refused = status["node"]["name"], status["refused_reload"]
    if facts.elsewhere:
        return warn(
            "node", f"{name} runs in another network than this command",
            "what is said of interfaces, routes and the firewall is not of that network",
            f"nsenter -t {status['node']['pid']} -n mcmw doctor",
        )  # fmt: skip
    if refused:
        return warn(
            "node", f"{name} has not taken its node.ini as it is now", refused["why"], "mcmw check NODE.INI"
        )
    return ok("node", f"{name} runs since {span(status['node']['uptime'])}")


def identity(status: Status, facts: Facts) -> Check:
    """A name or an address that another node has, too: what this node has seen of it, or was told."""
    in_use = [text for text in status["warnings"] if " is in use " in text]
    if not in_use:
        return ok("identity", "no other node is seen with this name, or this address on its TAP")
    if addresses := [text for text in in_use if text.startswith("[tap] address")]:
        return fail(
            "identity", addresses[0], "the kernel drops packets that claim to come from itself",
            "[tap] address = one that no other node has",
        )  # fmt: skip
    return warn(
        "identity", in_use[0], "nodes of one name take each other's links; it was so in the last ten minutes",
        "[node] name = another one, and start that node again",
    )  # fmt: skip


CHECKS: Iterable[Callable[[Status, Facts], Check]] = (
    node, identity, tap, network, fast_path, routes, wrong_interface, rp_filter, ttl, mtu, buffers, querier,
    snooping, peers, ports, listening, own_tap, clock,
)  # fmt: skip


def examine(status: Status, facts: Facts, heard: Heard) -> list[Check]:
    return [check(status, facts) for check in CHECKS] + [firewall(status, facts, heard)]
