"""Facts and a status become findings: what is, and where it does harm why, and the line that mends it.

`fail`: something does not work.  `warn`: something is lost, or will be.  What could merely be otherwise is
ok.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Any, NamedTuple

from multicastmw.cli.doctor.facts import Facts, host_of
from multicastmw.cli.doctor.probe import Heard
from multicastmw.cli.text import amount, some, span
from multicastmw.cli.which import programs_device

Status = dict[str, Any]

# Groups that every host joins for itself: the link's own, and SSDP.
OF_ANY_HOST = (IPv4Network("224.0.0.0/24"), IPv4Network("239.255.255.250/32"))
NAMED = 40  # signs for what several things have in common
FAST = frozenset(("CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"))  # what forwarding in the kernel takes


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(NamedTuple):
    """As it stands in the JSON."""

    id: str
    status: Verdict
    what: str
    why: str = ""
    mend: str = ""


def _ok(name: str, what: str) -> Check:
    return Check(name, Verdict.OK, what)


def _warn(name: str, what: str, why: str, mend: str) -> Check:
    return Check(name, Verdict.WARN, what, why, mend)


def _fail(name: str, what: str, why: str, mend: str) -> Check:
    return Check(name, Verdict.FAIL, what, why, mend)


def examine(status: Status, facts: Facts, heard: Heard) -> list[Check]:
    """All of them, each once."""
    return [check(status, facts) for check in CHECKS] + [firewall(status, heard)]


def node(status: Status, facts: Facts) -> Check:
    name, refused = status["node"]["name"], status["refused_reload"]
    if facts.elsewhere:
        return _warn(
            "node", f"{name} runs in another network than this command",
            "what is said of interfaces, routes and the firewall is not of that network",
            f"nsenter -t {status['node']['pid']} -n mcmw doctor",
        )  # fmt: skip
    if refused:
        return _warn(
            "node", f"{name} has not taken its node.ini as it is now", refused["why"], "mcmw check NODE.INI"
        )
    return _ok("node", f"{name} runs since {span(status['node']['uptime'])}")


def tap(status: Status, facts: Facts) -> Check:
    found = status["tap"]
    device = found["device"]
    if found["state"] == "up":
        return _ok("tap", f"{device} is up")
    why, mend = "programs have nothing that they could join groups on", f"ip link show {device}"
    if facts.tun:
        why, mend = f"{facts.tun}; {why}", "modprobe tun; in a container, --device /dev/net/tun"
    elif facts.capabilities is not None and "CAP_NET_ADMIN" not in facts.capabilities:
        why, mend = f"the node has no CAP_NET_ADMIN; {why}", f"ip tuntap add {device} mode tap user USER"
    return _fail("tap", f"{device} is pending: {found['why']}", why, mend)


def fast_path(status: Status, facts: Facts) -> Check:
    found, held = status["fastpath"], facts.capabilities
    if found["on"] or found["mode"] == "off":
        return _ok("fast-path", "the kernel forwards" if found["on"] else "off, as node.ini says")
    mend = "docs/fastpath.rst, What it needs; or [fastpath] mode = off, if it is not wanted"
    if held is not None and "CAP_SYS_ADMIN" not in held and not held >= FAST:
        mend = f"AmbientCapabilities={' '.join(sorted(FAST))} in its unit (etc/mcmw.service)"
    return _warn(
        "fast-path", f"the kernel forwards nothing: {found['why']}",
        "each packet passes the node's process, at several times the cost", mend,
    )  # fmt: skip


def rp_filter(status: Status, facts: Facts) -> Check:
    device = status["tap"]["device"]
    sources = [route["source"] for route in status["routes"] if device in route["to"]]
    lost = [source for source in sources if facts.ways.get(source, device) != device] if facts.strict else []
    if not lost:
        return _ok("rp-filter", "no source is refused for the way back to it")
    return _fail(
        "rp-filter", f"packets from {some(lost, NAMED)} do not reach programs here",
        f"rp_filter is 1, and the way to the source is not {device}: the kernel drops them without a word",
        f"sysctl -w net.ipv4.conf.{device}.rp_filter=2",
    )  # fmt: skip


def routes(status: Status, facts: Facts) -> Check:
    found = status["tap"]
    device = found["device"]
    if found["state"] != "up":
        return _ok("routes", "they come with the TAP")
    if found["gateway"]:
        return _ok("routes", "the TAP is a bridge's port: the LAN's hosts have their own")
    away = {group: way for group, way in facts.groups_by.items() if way != device}
    if not away:
        return _ok("routes", f"programs that name no interface use {device}")
    group, way = next(iter(away.items()))
    return _warn(
        "routes", f"for {group} programs that name no interface use {way or 'none'}, not {device}",
        "they send and join where the overlay is not",
        f"ip route replace {group} dev {device}; or name it: {_naming(status)}",
    )  # fmt: skip


def _naming(status: Status) -> str:
    """How programs are told which interface."""
    found = status["tap"]
    address = (found["address"] or "ADDRESS").partition("/")[0]
    return f"vlc --miface {found['device']}, ffmpeg ...?localaddr={address}"


def wrong_interface(status: Status, facts: Facts) -> Check:
    """Groups that the overlay has, which a program here has joined, but elsewhere."""
    device = status["tap"]["device"]
    here = facts.joined.get(programs_device(status), frozenset())
    known = {route["group"] for route in status["routes"]} | {group["group"] for group in status["groups"]}
    astray = sorted(
        (group, other)
        for other, groups in facts.joined.items()
        for group in groups & known - here
        if other not in (device, "lo") and not any(IPv4Address(group) in own for own in OF_ANY_HOST)
    )
    if not astray:
        return _ok(
            "wrong-interface", f"nobody here has joined a group of the overlay elsewhere than on {device}"
        )
    group, other = astray[0]
    others = f", and {len(astray) - 1} more" if len(astray) > 1 else ""
    return _warn(
        "wrong-interface", f"a program here has joined {group} on {other}, not on {device}{others}",
        "it gets nothing of what the overlay carries to that group",
        f"name the TAP: {_naming(status)}",
    )  # fmt: skip


def firewall(status: Status, heard: Heard) -> Check:
    device = status["tap"]["device"]
    chain = "a rule drops IGMP, or what bears the Router Alert option"
    match heard:
        case Heard.NOTHING:
            return _fail(
                "firewall", f"{device} is joined, and the node hears nothing of it",
                f"{chain}, on its way out: no program here can subscribe",
                f"iptables -I OUTPUT -o {device} -p igmp -j ACCEPT",
            )  # fmt: skip
        case Heard.NO_ANSWER:
            return _fail(
                "firewall", "this host does not answer the node's queries",
                f"{chain}, on its way in: each group ends some minutes after it was joined",
                f"iptables -I INPUT -i {device} -p igmp -j ACCEPT",
            )  # fmt: skip
        case Heard.NOT_TRIED:
            return _ok("firewall", "not tried: there is no interface to join a group on")
        case Heard.JOIN:
            return _ok("firewall", "joins are heard; whether queries are answered takes root to try")
        case Heard.BOTH:
            return _ok("firewall", "joins are heard, and queries are answered")


def buffers(status: Status, facts: Facts) -> Check:
    at_tap = status["tap"]["kernel_drops"]
    at_peers = sum(peer["kernel_drops"] for peer in status["peers"])
    if not at_tap + at_peers:
        return _ok("buffers", "nothing was lost for want of room")
    return _warn(
        "buffers", f"no room: {amount(at_tap)} packets of programs here, {amount(at_peers)} of peers",
        "they came faster than the node took them",
        "sysctl -w net.core.rmem_max=8388608; or have the kernel forward: mcmw fastpath",
    )  # fmt: skip


def mtu(status: Status, facts: Facts) -> Check:
    split = status["tap"]["counters"]["fragments_made"]
    if not split:
        return _ok("mtu", f"IP packets of up to {status['tap']['longest']} bytes go in one piece")
    return _warn(
        "mtu", f"packets were longer than {status['tap']['longest']} bytes: {amount(split)} pieces were made",
        "a lost piece is a lost packet, and the kernel does not forward them",
        "send 1316 bytes of payload, as ?pkt_size=1316 has it",
    )  # fmt: skip


def clock(status: Status, facts: Facts) -> Check:
    if facts.clock_is_kept:
        return _ok("clock", "it is kept in step")
    if status["node"]["tls"]:
        return _warn(
            "clock", "nobody keeps this host's clock in step",
            "certificates are judged by it, and delays between hosts are wrong by what it is",
            "timedatectl set-ntp true",
        )  # fmt: skip
    return _ok("clock", "nobody keeps it in step; only delays between hosts would show that")


def snooping(status: Status, facts: Facts) -> Check:
    gateway = status["tap"]["gateway"]
    if gateway is None:
        return _ok("bridge-snooping", "the TAP is no bridge's port")
    bridge = gateway["bridge"]
    if facts.snoops and status["querier"]["state"] == "off":
        return _fail(
            "bridge-snooping", f"{bridge} snoops, and nobody asks its hosts",
            "a bridge that hears no queries forgets who wants what, and packets stop",
            f"ip link set {bridge} type bridge mcast_querier 1",
        )  # fmt: skip
    return _ok(
        "bridge-snooping",
        f"{bridge} snoops, and has a querier" if facts.snoops else f"{bridge} does not snoop",
    )


def querier(status: Status, facts: Facts) -> Check:
    found = status["querier"]
    if found["state"] == "querier":
        return _ok("querier", f"this node asks, in IGMP version {found['version']}")
    if found["state"] == "off":
        return _ok("querier", "there is nobody to ask before the TAP is up")
    if found["querier_name"]:
        return _ok("querier", f"{found['querier_name']} asks, a gateway of this overlay")
    return _warn(
        "querier", f"{found['querier']} asks on this Ethernet, not this node",
        "groups live as long as that one's queries come, by its timers",
        "switch that one's querier off, or give this node a lower [igmp] querier-address",
    )  # fmt: skip


def ttl(status: Status, facts: Facts) -> Check:
    died = {route["group"]: route["died_of_ttl"] for route in status["routes"] if route["died_of_ttl"]}
    if not died:
        return _ok("ttl", "no packet died of its TTL")
    here = any(route["died_of_ttl"] for route in status["routes"] if route["sent_from_here"] is not None)
    return _fail(
        "ttl", f"{amount(sum(died.values()))} packets to {some(sorted(died), NAMED)} died of their TTL",
        "each node takes one off, and many programs send with TTL 1",
        "send with more (vlc --ttl 16, ffmpeg ...?ttl=16), or "
        + ("[tap] ttl-floor = 16" if here else "[tap] ttl-floor = 16 where they are sent"),
    )  # fmt: skip


def own_tap(status: Status, facts: Facts) -> Check:
    device = status["tap"]["device"]
    inside = [
        peer["name"]
        for peer in status["peers"]
        if peer["address"] and facts.ways.get(host_of(peer["address"])) == device
    ]
    if not inside:
        return _ok("own-tap", f"no way to a peer leads through {device}")
    return _fail(
        "own-tap", f"the way to {some(inside, NAMED)} leads through {device}",
        "the overlay would carry itself",
        f"give the peer's address outside of {device}'s network in [peer:NAME] endpoint",
    )  # fmt: skip


def peers(status: Status, facts: Facts) -> Check:
    if not status["peers"]:
        return _warn(
            "peers", "this node has no peer", "it carries nothing anywhere",
            "[peer:NAME] endpoint = tcp:HOST:4600 here, or at the other node",
        )  # fmt: skip
    down = [peer for peer in status["peers"] if peer["state"] not in ("up", "standby")]
    if not down:
        return _ok(
            "peers", f"all {len(status['peers'])} are there" if len(status["peers"]) > 1 else "it is there"
        )
    first = down[0]
    names = some([peer["name"] or ", ".join(peer["sections"]) for peer in down], NAMED)
    return _fail(
        "peers", f"{names}: no link",
        first["why"] or "it was not reached yet",
        f"there: mcmw doctor; its firewall: TCP to {first['endpoint'] or 'the port of [listen]'}",
    )  # fmt: skip


def ports(status: Status, facts: Facts) -> Check:
    """UDP: what goes over TCP although both sides would have it otherwise."""
    if status["node"]["data_port"] is None:
        return _ok("ports", "data go over the links themselves, as node.ini says")
    over_tcp = [peer["name"] for peer in status["peers"] if peer["state"] == "up" and peer["data"] == "tcp"]
    if not over_tcp:
        return _ok("ports", "data go on UDP")
    return _warn(
        "ports", f"data to and from {some(over_tcp, NAMED)} go over TCP",
        "UDP does not get through, or the other side has none; TCP falls behind where packets are lost",
        f"open UDP port {status['node']['data_port']} on both sides",
    )  # fmt: skip


CHECKS: Iterable[Callable[[Status, Facts], Check]] = (
    node, tap, fast_path, routes, wrong_interface, rp_filter, ttl, mtu, buffers, querier, snooping, peers,
    ports, own_tap, clock,
)  # fmt: skip
