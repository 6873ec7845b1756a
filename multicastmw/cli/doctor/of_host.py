"""Checks of this host: its TAP, kernel, routes, interfaces, firewall, and the Ethernet of the TAP."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from multicastmw.cli.doctor import walls
from multicastmw.cli.doctor.facts import Facts
from multicastmw.cli.doctor.finding import NAMED, Check, Status, fail, naming, ok, warn
from multicastmw.cli.doctor.probe import Heard
from multicastmw.cli.text import some
from multicastmw.cli.which import programs_device

# Groups that every host joins for itself: the link's own, and SSDP.
OF_ANY_HOST = (IPv4Network("224.0.0.0/24"), IPv4Network("239.255.255.250/32"))
FAST = frozenset(("CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"))  # what forwarding in the kernel takes


def tap(status: Status, facts: Facts) -> Check:
    found = status["tap"]
    device = found["device"]
    if found["state"] == "up":
        return ok("tap", f"{device} is up")
    why, mend = "programs have nothing that they could join groups on", f"ip link show {device}"
    if facts.is_down:
        mend = f"ip link set {device} up"
    elif facts.tun:
        why, mend = f"{facts.tun}; {why}", "modprobe tun; in a container, --device /dev/net/tun"
    elif facts.capabilities is not None and "CAP_NET_ADMIN" not in facts.capabilities:
        why, mend = f"the node has no CAP_NET_ADMIN; {why}", f"ip tuntap add {device} mode tap user USER"
    return fail("tap", f"{device} is pending: {found['why']}", why, mend)


def fast_path(status: Status, facts: Facts) -> Check:
    found, held = status["fastpath"], facts.capabilities
    if status["tap"]["state"] != "up":
        return ok("fast-path", "it comes with the TAP")
    if found["on"] or found["mode"] == "off":
        return ok("fast-path", "the kernel forwards" if found["on"] else "off, as node.ini says")
    if (tls := status["node"]["tls"]) and not tls["udp_in_clear"] and found["mode"] == "auto":
        return ok("fast-path", "none, as data go inside TLS; [tls] udp-in-clear = yes has them outside")
    mend = "docs/fastpath.rst; or [fastpath] mode = off"
    if held is not None and "CAP_SYS_ADMIN" not in held and not held >= FAST:
        mend = f"AmbientCapabilities={' '.join(sorted(FAST))} in its unit (etc/mcmw.service)"
    return warn(
        "fast-path", f"the kernel forwards nothing: {found['why']}",
        "each packet passes the node's process, at several times the cost", mend,
    )  # fmt: skip


def network(status: Status, facts: Facts) -> Check:
    """The virtual Ethernet's addresses, which nothing else may use."""
    device, address = status["tap"]["device"], status["tap"]["address"]
    own = IPv4Interface(address).network if address else None
    shared = [(name, other) for name, other in facts.networks if own and other.overlaps(own)]
    if not shared:
        return ok("network", f"the network of {device} is no other interface's")
    name, other = shared[0]
    return warn(
        "network", f"{own} of {device} and {other} of {name} overlap",
        f"hosts of {name} are looked for on {device}, or will be when {name} comes back after a pause",
        "[tap] address, at all nodes: of a network of its own",
    )  # fmt: skip


def rp_filter(status: Status, facts: Facts) -> Check:
    device = status["tap"]["device"]
    sources = [route["source"] for route in status["routes"] if device in route["to"]]
    lost = [source for source in sources if facts.ways.get(source, device) != device] if facts.strict else []
    if not lost:
        return ok("rp-filter", "no source is refused for the way back to it")
    return fail(
        "rp-filter", f"packets from {some(lost, NAMED)} do not reach programs here",
        f"rp_filter is 1, and the way to the source is not {device}: the kernel drops them without a word",
        f"sysctl -w net.ipv4.conf.{device}.rp_filter=2",
    )  # fmt: skip


def routes(status: Status, facts: Facts) -> Check:
    found = status["tap"]
    device = found["device"]
    if found["state"] != "up":
        return ok("routes", "they come with the TAP")
    if found["gateway"]:
        return ok("routes", "the TAP is a bridge's port: the LAN's hosts have their own")
    away = {group: way for group, way in facts.groups_by.items() if way != device}
    if not away:
        return ok("routes", f"programs that name no interface use {device}")
    group, way = next(iter(away.items()))
    return warn(
        "routes", f"for {group} programs that name no interface use {way or 'none'}, not {device}",
        f"they send and join where the overlay is not, unless they name it: {naming(status)}",
        f"ip route replace {group} dev {device}",
    )  # fmt: skip


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
        return ok(
            "wrong-interface", f"nobody here has joined a group of the overlay elsewhere than on {device}"
        )
    group, other = astray[0]
    others = f", and {len(astray) - 1} more" if len(astray) > 1 else ""
    return warn(
        "wrong-interface", f"a program here has joined {group} on {other}, not on {device}{others}",
        "it gets nothing of what the overlay carries to that group",
        f"name the TAP: {naming(status)}",
    )  # fmt: skip


def firewall(status: Status, facts: Facts, heard: Heard) -> Check:
    device = programs_device(status)
    rule = "a rule drops IGMP, or what bears the Router Alert option"
    match heard:
        case Heard.NOTHING:
            return fail(
                "firewall", f"{device} is joined, and the node hears nothing of it",
                f"{rule}, on its way out: no program here can subscribe",
                walls.opening(facts.walls, walls.OUT, device),
            )  # fmt: skip
        case Heard.NO_ANSWER:
            return fail(
                "firewall", "this host does not answer the node's queries",
                f"{rule}, on its way in: each group ends some minutes after it was joined",
                walls.opening(facts.walls, walls.IN, device),
            )  # fmt: skip
        case Heard.NOT_TRIED:
            return ok("firewall", "not tried: there is no interface to join a group on")
        case Heard.JOIN:
            return ok("firewall", "joins are heard; whether queries are answered takes root to try")
        case Heard.BOTH:
            return ok("firewall", "joins are heard, and queries are answered")


def clock(status: Status, facts: Facts) -> Check:
    if facts.clock_is_kept:
        return ok("clock", "it is kept in step")
    if status["node"]["tls"]:
        return warn(
            "clock", "nobody keeps this host's clock in step",
            "certificates are judged by it, and delays between hosts are wrong by what it is",
            "timedatectl set-ntp true",
        )  # fmt: skip
    return ok("clock", "nobody keeps it in step; only delays between hosts would show that")


def snooping(status: Status, facts: Facts) -> Check:
    """Bridges and switches that forward only to ports that they have heard reports on."""
    gateway, asks = status["tap"]["gateway"], status["querier"]
    if gateway is None:
        return ok("bridge-snooping", "the TAP is no bridge's port")
    bridge = gateway["bridge"]
    if facts.snoops and asks["state"] == "off":
        return fail(
            "bridge-snooping", f"{bridge} snoops, and nobody asks its hosts",
            "a bridge that hears no queries forgets who wants what, and packets stop",
            f"ip link set {bridge} type bridge mcast_querier 1",
        )  # fmt: skip
    if asks["state"] == "querier" and asks["address"] == "0.0.0.0":
        return warn(
            "bridge-snooping", f"this node asks the LAN behind {bridge} from 0.0.0.0",
            "switches that snoop on IGMP heed no queries without an address: they flood, or forward nothing",
            "[igmp] querier-address = an address of that LAN that nobody has",
        )  # fmt: skip
    return ok(
        "bridge-snooping",
        f"{bridge} snoops, and has a querier" if facts.snoops else f"{bridge} does not snoop",
    )


def querier(status: Status, facts: Facts) -> Check:
    found = status["querier"]
    if found["state"] == "querier":
        return ok("querier", f"this node asks, in IGMP version {found['version']}")
    if found["state"] == "off":
        return ok("querier", "there is nobody to ask before the TAP is up")
    if found["querier_name"]:
        return ok("querier", f"{found['querier_name']} asks, a gateway of this overlay")
    lower = _lower(status)
    return warn(
        "querier", f"{found['querier']} asks on this Ethernet, not this node",
        "groups live as long as that one's queries come, by its timers; the lowest address asks",
        f"[igmp] querier-address = {lower}" if lower else "switch that one's querier off",
    )  # fmt: skip


def _lower(status: Status) -> str:
    """An address that would win the election, if there is one."""
    other, tap = IPv4Address(status["querier"]["querier"]), status["tap"]
    if tap["gateway"] or not tap["address"]:
        return f"an address of that Ethernet below {other} that nobody has"
    own = IPv4Interface(tap["address"])
    first = own.network.network_address + 1
    lowest = first + (first == own.ip)
    return str(lowest) if lowest < other and lowest in own.network else ""
