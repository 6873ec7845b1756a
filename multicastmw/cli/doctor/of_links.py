"""Checks of what is between this node and others."""

from ipaddress import IPv4Interface, ip_address

from multicastmw.cli.doctor.facts import Facts, address_of
from multicastmw.cli.doctor.finding import NAMED, Check, Status, fail, ok, warn
from multicastmw.cli.text import amount, some
from multicastmw.endpoints import is_loopback, listened

# What mends it, by words of what the last try to reach a node ended with; the first that fits.
MENDS = {
    "DNS lookup failed": "the host's name in node.ini; getent hosts NAME tries it",
    "DNS knows no": "in DNS: SRV of _mcmw._tcp.NAME (docs/overlay.rst)",
    "nobody answers at": "[overlay] seeds = tcp:HOST:4600 beside lan:",
    "Connection refused": "there: does a node run, at that port?  ss -ltnp",
    "own node id": "[overlay] seeds without itself; a clone: [node] name",
    "TLS is required": "[tls], with a key from there: mcmw keys node NAME",
    "does not speak TLS": "[tls] at both, or at neither",
    "from one of our authorities": "[tls]: keys of both from one authority",
    "from one of its authorities": "[tls]: keys of both from one authority",
    "is a clock wrong": "timedatectl set-ntp true, here and there",
    "TLS:": "mcmw check NODE.INI, here and there",
    "no node": "node.ini: that port is another program's",
}


def _mend(why: str, otherwise: str) -> str:
    return next((mend for words, mend in MENDS.items() if words in why), otherwise)


def peers(status: Status, facts: Facts) -> Check:
    mesh = status.get("mesh")
    if mesh and not any(peer["state"] not in ("up", "standby") for peer in status["peers"]):
        return _neighbours(mesh)
    ignored = [text for text in status["warnings"] if text.startswith("[overlay]")]
    if not status["peers"] and ignored:
        return fail("peers", "this node has no peer", ignored[0], "[overlay] engine = mesh")
    if not status["peers"]:
        return warn(
            "peers", "this node has no peer", "it carries nothing anywhere",
            "[peer:NAME] endpoint = tcp:HOST:4600, here or there",
        )  # fmt: skip
    down = [peer for peer in status["peers"] if peer["state"] not in ("up", "standby")]
    if not down:
        return ok(
            "peers", f"all {len(status['peers'])} are there" if len(status["peers"]) > 1 else "it is there"
        )
    first = down[0]
    names = some([peer["name"] or ", ".join(peer["sections"]) for peer in down], NAMED)
    return fail(
        "peers", f"{names}: no link",
        first["why"] or "it was not reached yet",
        _mend(
            first["why"],
            f"there: mcmw doctor; its firewall: TCP to {first['endpoint'] or 'the port of [listen]'}",
        ),
    )  # fmt: skip


def _neighbours(mesh: Status) -> Check:
    """Those of a mesh, to whom the seeds are the way."""
    lost = [f"{each['seed'].removesuffix(':')}: {each['why']}" for each in mesh["seeds"] if each["why"]]
    linked = len(mesh["neighbours"])
    mend = _mend(lost[0] if lost else "", "at the seed: mcmw doctor; its firewall: TCP to its port")
    if linked and not lost:
        return ok("peers", f"{linked} neighbour{'s are' if linked > 1 else ' is'} there")
    if linked:
        return warn(
            "peers", f"{len(lost)} of {len(mesh['seeds'])} seeds cannot be reached: {'; '.join(lost)}",
            "who starts, and halves that lost each other, find the others by the rest alone", mend,
        )  # fmt: skip
    if mesh["seeds"]:
        why = "; ".join(lost) or "no seed has answered yet"
        return fail("peers", "this node has no neighbour in the mesh, and carries nothing", why, mend)
    return warn(
        "peers", "this node has no neighbour in the mesh yet", "it has no seeds, and waits for a call",
        "[overlay] seeds = tcp:HOST:4600, here or at other nodes",
    )  # fmt: skip


def ports(status: Status, facts: Facts) -> Check:
    """UDP: what goes over TCP although both sides would have it otherwise."""
    if status["node"]["data_port"] is None:
        return ok("ports", "data go over the links themselves, as node.ini says")
    up = [peer for peer in status["peers"] if peer["state"] == "up"]
    over_tcp = [peer["name"] for peer in up if peer["data"] == "tcp"]
    if not over_tcp:
        return ok("ports", "UDP gets through to every peer that is up" if up else "no link is up to try UDP")
    return warn(
        "ports", f"data to and from {some(over_tcp, NAMED)} go over TCP",
        "UDP does not get through, or the other side has none; TCP falls behind where packets are lost",
        f"open UDP port {status['node']['data_port']} on both sides",
    )  # fmt: skip


def listening(status: Status, facts: Facts) -> Check:
    """Can others dial in?  Who did has shown it; that nobody did shows nothing."""
    endpoint = status["node"]["listening"]
    if endpoint is None:
        lost = [text for text in status["warnings"] if text.startswith("[listen] endpoint")]
        if not lost:
            return ok("listening", "nobody is to dial in: [listen] endpoint is empty")
        return warn("listening", lost[0], "peers that dial this node do not reach it", "ss -ltnp")
    inward = [peer["name"] for peer in status["peers"] if peer["dialled_by"] == "them"]
    if inward:
        return ok("listening", f"{some(inward, NAMED)} dialled in, so the port is reached")
    if came := status["counters"]["dialled_in"]:
        return ok("listening", f"links were dialled in before ({amount(came)}), so the port was reached")
    given = listened(endpoint)
    if "port" not in given or is_loopback(given.get("interface", "")):
        return ok("listening", f"nobody has dialled in so far, and only this host can: {endpoint}")
    where = given.get("interface") or facts.here or "ADDRESS"
    return ok(
        "listening", "nobody has dialled in so far; whether it could be done shows at another host: "
        f"nc -vz {where} {given['port']}",
    )  # fmt: skip


def own_tap(status: Status, facts: Facts) -> Check:
    tap = status["tap"]
    device = tap["device"]
    inside = {
        peer["name"] or ", ".join(peer["sections"]): address
        for peer in status["peers"]
        if (address := address_of(peer)) and facts.ways.get(address) == device
    }
    if not inside:
        return ok("own-tap", f"no way to a peer leads through {device}")
    first = ip_address(next(iter(inside.values())))
    own = IPv4Interface(tap["address"]).network if tap["address"] else None
    lead_there = [route for route in facts.into_tap if first in route and route != own]
    route = max(lead_there, key=lambda route: route.prefixlen, default=None)
    return fail(
        "own-tap", f"the way to {some(sorted(inside), NAMED)} leads through {device}",
        "the overlay would carry itself, so the node does not dial there",
        f"ip route del {route} dev {device}" if route
        else f"give the peer's address outside of {device}'s network in [peer:NAME] endpoint",
    )  # fmt: skip
