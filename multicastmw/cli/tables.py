"""What `mcmw show` draws of a status snapshot.

It imports rich, and `mcmw show` imports it while the node makes its answer.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from multicastmw.cli import sessionlist, streams
from multicastmw.cli.fastpath import state
from multicastmw.cli.parts import Status, branches, waiting, why
from multicastmw.cli.text import (
    Columns,
    amount,
    milliseconds,
    plain,
    round_trip,
    say,
    screen,
    share,
    short,
    some,
    span,
)

HOSTS_SHOWN = 2  # of a group, by address
SCREENFUL = 20  # rows of each table where all are shown together
NAME_WIDTH = 14  # signs of a peer's name in the table, whose figures want their room
LEVELS = {"warn": "yellow", "error": "red", "critical": "red"}


class Screen:
    """Where one look is drawn after the other."""

    def __init__(self) -> None:
        self._console = screen()

    def draw(self, status: Status, part: str | None, clear: bool = False) -> None:
        """A part, or all that matters first; `clear` a terminal before it."""
        console = self._console
        if clear and console.is_terminal:
            console.clear()
        if part:
            RENDER[part](console, status)
        else:
            _draw_all(console, status)


def _draw_all(console: Console, status: Status) -> None:
    _node(console, status)
    for name, first in FIRST.items():
        console.print()
        rows = sorted(status[name], key=first)
        unseen = {f"{each}_not_shown": 0 for each in FIRST}
        RENDER[name](console, status | {name: rows[:SCREENFUL], "counters": status["counters"] | unseen})
        besides = len(rows) - SCREENFUL + status["counters"].get(f"{name}_not_shown", 0)
        _and_more(console, besides, f": mcmw show {name}")


# What of each table comes first where not all is shown; the rest keeps its order.
FIRST: dict[str, Callable[[dict[str, Any]], Any]] = {
    "peers": lambda peer: peer["state"] == "up",
    "groups": lambda group: False,
    "routes": lambda route: -route["rate"],
}


def _node(console: Console, status: Status) -> None:
    node, tap, querier = status["node"], status["tap"], status["querier"]
    counters = tap["counters"]
    say(
        console,
        "node",
        f"{node['name']}  id {node['id']}  version {node['version']}  up {span(node['uptime'])}",
    )
    if tls := node["tls"]:
        clear = ", data on UDP in the clear" if tls["udp_in_clear"] and node["data_port"] else ""
        is_good = "is good" if tls["expires_in"] > 0 else "was good"
        say(console, "TLS", f"{tls['certificate']} {is_good} until {tls['valid_until']}{clear}")
    if tap["state"] == "up":
        what = f"{tap['device']} is up  {tap['address'] or 'no address'}  MTU {tap['mtu']}"
        floor = tap["ttl_floor"]
        say(console, "TAP", what + (f"  TTL raised to {floor}" if floor else ""), "green")
    else:
        say(console, "TAP", f"{tap['device']} is pending: {tap['why']}", "red")
    if tap["gateway"]:
        say(console, "LAN", *_gateway(tap["gateway"]))
        if left := counters["stood_by_from_lan"] + counters["stood_by_to_lan"]:
            say(console, "", f"{amount(left)} packets left to another gateway while standing by")
    say(
        console,
        "",
        f"{amount(counters['received'])} packets from programs, {amount(counters['delivered'])} to them",
    )
    listening = node["listening"] or "nowhere"
    port = f"data on UDP port {node['data_port']}" if node["data_port"] else "data on TCP only"
    say(console, "listens", f"{listening}, {port}")
    say(console, "fast path", state(status["fastpath"]))
    if (recovery := status.get("recovery")) and (recovery["partners"] or not status.get("mesh")):
        say(console, "recovery", _recovery(recovery, status["node"]["data_port"] is not None))
    if fec := status.get("fec"):
        say(console, "FEC", _fec(fec))
    for line in _web(status):
        say(console, "web", line)
    other = querier["querier"]
    if querier["querier_name"]:
        other = f"{querier['querier_name']} at {other}"
    asks = {"querier": "asks itself", "standing by": f"{other} asks", "off": "is off"}
    say(console, "IGMP", f"version {querier['version']}, {asks[querier['state']]}, from {querier['address']}")
    for label, value in _reaches(status):
        say(console, label, value)
    for label, value in _troubles(status):
        say(console, label, value, "yellow")


def _reaches(status: Status) -> Iterator[tuple[str, str]]:
    """Whom the static links lead to, and what is known of the mesh."""
    if status["mesh"]:
        from multicastmw.cli import meshtables

        yield "mesh", meshtables.in_short(status["mesh"])
    reached = [each["name"] or each["id"] for each in status["nodes"]]
    if reached:
        yield "reaches", f"{len(reached)} node{'' if len(reached) == 1 else 's'}: {some(reached, 50)}"
    elif not status["mesh"]:
        yield "reaches", "nobody"


def _recovery(recovery: dict[str, Any], over_udp: bool) -> str:
    """What was lost on links, and came again."""
    count, partners = recovery["counters"], recovery["partners"]
    if not partners:
        return "no peer has it" if over_udp else "not needed, as data go over TCP"
    lost = f"{amount(count['recovered'])} of {amount(count['missed'])} missed packets came"
    return f"with {some(partners, 20)}: {lost}, {amount(count['resent'])} sent again"


def _fec(fec: dict[str, Any]) -> str:
    """Which links have parity, and what came of it."""
    links, count = fec["links"], fec["counters"]
    if not links:
        return f"{fec['mode']}, no peer has it"
    most = max(links, key=lambda each: each["rows"])
    if most["rows"]:
        lost = f", {most['loss']:.1%} lost" if most["loss"] is not None else ""
        to = some([each["peer"] for each in links if each["rows"]], 20)
        parity = f"to {to}, at most {most['rows']} for {fec['block']} ({most['peer']}{lost})"
    else:
        parity = f"none needed with {some([each['peer'] for each in links], 20)}"
    return f"{fec['mode']}, {parity}: {amount(count['rebuilt'])} packets rebuilt here"


def _web(status: Status) -> list[str]:
    """Where the web service is, and what is watched over it."""
    web = status["web"]
    if not web["endpoint"]:
        return []
    takes = "a token is taken, see mcmw web" if web["takes_token"] else "for this host alone"
    lines = [web["why"] or f"{web['endpoint']}, {takes}"]
    for output in status["outputs"]:
        of = "" if output["source"] == "any" else f" of {output['source']}"
        lost = f", {amount(output['lost'])} payloads lost" if output["lost"] else ""
        where = f"{output['group']}:{output['port']}{of}"
        lines.append(f"{output['clients']} watch {where}: {amount(output['bytes'])} bytes{lost}")
    return lines


def _gateway(gateway: dict[str, Any]) -> tuple[str, str]:
    """What the node does for the LAN behind a bridged TAP, and the colour of it."""
    behind = f"behind {gateway['bridge']}" if gateway["bridge"] else "behind the TAP"
    others = [name for name in gateway["others"] if name != gateway["forwarder"]]
    more = f"  also here: {some(others, 30)}" if others else ""
    if gateway["forwarder"]:
        other = f"{gateway['forwarder']} at {gateway['forwarder_address']}"
        return f"{behind}, standing by for {other}{more}", "yellow"
    return f"{behind}, {gateway['state']}{more}", "green" if gateway["state"] == "forwarding" else "yellow"


def _troubles(status: Status) -> list[tuple[str, str]]:
    """What an operator may want to mend, said only where there is some."""
    found: list[tuple[str, str]] = [("warning", text) for text in status["warnings"]]
    if refused := status.get("refused_reload"):
        at = datetime.fromtimestamp(refused["at"]).strftime("%Y-%m-%d %H:%M:%S")
        found.append(("reload", f"refused {span(refused['ago'])} ago, at {at}: {refused['why']}"))
    routes, tap = status["routes"], status["tap"]["counters"]
    died = sum(route["died_of_ttl"] for route in routes)
    if died:
        found.append(("TTL", f"{amount(died)} packets died of their TTL; [tap] ttl-floor raises it"))
    for name, text in TROUBLES.items():
        count = tap.get(name, status["counters"].get(name, 0))
        count += sum(peer["counters"].get(name, 0) for peer in status["peers"])
        if count:
            found.append(("dropped", f"{amount(count)} {text}"))
    if status["tap"]["kernel_drops"]:
        found.append(
            ("dropped", f"{amount(status['tap']['kernel_drops'])} frames that this node was too slow for")
        )
    return found


TROUBLES = {
    "denied": "packets or joins of groups that [groups] keeps out",
    "malformed": "malformed packets",
    "filtered": "packets of groups that nobody here wants",
    "failed": "packets that the TAP did not take",
    "unknown_kind": "packets that are not IPv4",
    "from_ourselves": "of our own packets that came back",
    "other_link": "packets that came over another link than their origin's",
    "from_gateways": "packets that another gateway wrote to the LAN, too",
    "unasked": "packets of groups that this node is not in",
    "too_many_streams": "packets of streams above the bound",
    "datagrams_dropped": "datagrams without a right token",
    "udp_buffer_full": "datagrams that found the socket's buffer full",
    "links_refused": "links, refused",
    "turned_away": "callers, turned away",
    "channels_refused": "channels of peers, above the bound of the table",
    "probes_over_bound": "probes of peers that sent far too many",
    "bad_probes": "datagrams of peers that made no sense",
    "sap_malformed": "announcements of sessions that are none",
    "sap_not_read": "announcements of sessions, too many at once",
    "sap_refused": "announcements of sessions above the bound",
    "sap_evicted": "sessions that were heard once, and made room for others",
    "sap_displaced": "sessions that made room, as most come from where they do",
}


def _peers(console: Console, status: Status) -> None:
    tree = _has_tree(status)
    table = Columns(
        "peer", "state", "TLS", "data", "RTT ms>", "loss>", "out>", "in>", *("wants>", "behind")[: 2 * tree]
    )
    for peer in status["peers"]:
        name = short(peer["name"], NAME_WIDTH)
        if peer["state"] != "up":
            table.row(name, peer["state"], *[""] * (6 + 2 * tree), style=_style(peer))
            continue
        behind = [name for name in peer["nodes"] if name != peer["name"]]
        of_tree = (amount(peer["channels"]), some(behind, 12)) if tree else ()
        table.row(
            name,
            "up",
            "yes" if peer["tls"] else "no",
            "fast" if peer["fast"] else (peer["data"] or "").upper(),
            round_trip(peer["rtt"], peer["jitter"]),
            share(peer["loss"]),
            amount(peer["rate_sent"]),
            amount(peer["rate_received"]),
            *of_tree,
        )
    console.print(table if status["peers"] else _no_peers(status))
    for peer in status["peers"]:  # a reason has a line of its own, and a name its whole length
        if peer["state"] != "up":
            console.print(Text(f"{plain(peer['name'])}: {plain(why(peer))}", style=_style(peer)))
        elif lost := peer["queue_drops"] + peer["kernel_drops"] + peer["counters"]["socket_full"]:
            line = f"{plain(peer['name'])}: {amount(lost)} packets were lost here, in a full queue or socket"
            console.print(Text(line, style="yellow"))
        if peer["state"] == "up" and peer["queue"]:
            console.print(f"{plain(peer['name'])}: {amount(peer['queue'])} packets wait for it")
        for section in peer["sections"]:
            if section != peer["name"]:
                line = f"[peer:{section}] reaches {peer['name']}: call the section [peer:{peer['name']}]"
                console.print(Text(plain(line), style="yellow"))


def _has_tree(status: Status) -> bool:
    """Is anybody more than a neighbour in a mesh, of whom these links say nothing?"""
    if not status.get("mesh"):
        return True
    neighbours = {each["id"] for each in status["mesh"]["neighbours"]}
    return any(peer["id"] not in neighbours for peer in status["peers"] if peer["state"] == "up")


def _no_peers(status: Status) -> str:
    if not status.get("mesh"):
        return "no peers: [peer:NAME] names whom to dial"
    return "no peers: mcmw show events says which seeds were asked, and what came of it"


def _style(peer: dict[str, Any]) -> str:
    return "yellow" if peer["state"] == "standby" else "red"


def _groups(console: Console, status: Status) -> None:
    table = Columns("group", "source", "IGMP>", "expires>", "wanted by (hosts here)")
    for group in status["groups"]:
        expires = f"{group['expires_in']:.0f} s" if group["expires_in"] is not None else ""
        table.row(group["group"], group["source"], _asked(group), expires, _wanted_by(group))
    console.print(table if status["groups"] else "no group is wanted by anybody")
    _and_more(console, status["counters"].get("groups_not_shown", 0))


def _asked(group: dict[str, Any]) -> str:
    """How it came to be wanted here, or that [groups] keeps it out."""
    if group["denied"]:
        return "denied"
    return f"v{group['version']}" if group["version"] else "pin" if group["pinned"] else ""


def _wanted_by(group: dict[str, Any]) -> str:
    """Who, and the hosts of the TAP; of many the first, and how many more."""
    names = some(group["wanted_by"], 40) or "nobody"
    shown = group["hosts"][:HOSTS_SHOWN]
    more = group["hosts_known"] - len(shown)
    return f"{names} ({', '.join(shown)}{f' +{more}' if more else ''})" if shown else names


def _routes(console: Console, status: Status) -> None:
    table = Columns("group", "source", "packets>", "nobody>", "TTL>", "lost>", "dup>", "by", "to")
    for route in status["routes"]:
        streams = route["streams"]
        table.row(
            route["group"],
            route["source"],
            amount(route["packets"]),
            amount(route["to_nobody"]),
            amount(route["died_of_ttl"]),
            amount(sum(s["lost"] for s in streams)),
            amount(sum(s["duplicates"] for s in streams)),
            "kernel" if route["fast"] else "Python",
            "denied here" if route["denied"] and not route["to"] else some(route["to"], 20),
        )
    console.print(table if status["routes"] else "no packet has come yet")
    if status["fastpath"]["on"]:
        slow = [
            f"{route['group']} from {route['source']}: {plain(route['why_slow'])}"
            for route in status["routes"]
            if not route["fast"]
        ]
        if slow:
            console.print(Text("\n".join(slow)))
    _and_more(console, status["counters"].get("routes_not_shown", 0))


def _and_more(console: Console, count: int, where: str = "") -> None:
    """Of very many the first ones are listed."""
    if count > 0:
        console.print(f"and {count:,} more{where}")


def _mesh(console: Console, status: Status) -> None:
    from multicastmw.cli import meshtables

    meshtables.draw(console, status)


def _tree(console: Console, status: Status) -> None:
    from rich.tree import Tree

    if status["mesh"]:
        from multicastmw.cli import meshtables

        meshtables.trees(console, status)
        if not any(peer["nodes"] for peer in status["peers"]):
            return  # and no static tree besides
    tree = Tree(Text(plain(status["node"]["name"]), style="bold"))
    for branch in branches(status):
        words = [
            "fast" if branch["fast"] else "",
            (branch["data"] or "").upper(),
            milliseconds(branch["rtt"]),
        ]
        node = tree.add(Text(f"{plain(branch['peer'])}  {'  '.join(filter(None, words))}"))
        for name in branch["nodes"]:
            node.add(Text(plain(name)))
    console.print(tree)
    if not tree.children:
        console.print("no link is up: mcmw show pending says what waits")


def _pending(console: Console, status: Status) -> None:
    table = Columns("what", "waits for")
    found = waiting(status)
    for entry in found:
        table.row(short(entry["what"], 24), entry["why"])
    console.print(table if found else "nothing waits: all is as node.ini has it")


def _events(console: Console, status: Status) -> None:
    table = Columns("ago>", "event")
    for event in status["events"]:
        table.row(span(event["ago"]), event["text"], style=LEVELS.get(event["level"]))
    console.print(table if status["events"] else "nothing has happened")


RENDER: dict[str, Callable[[Console, Status], None]] = {
    "sessions": sessionlist.draw,
    "tree": _tree,
    "mesh": _mesh,
    "pending": _pending,
    "events": _events,
    "node": _node,
    "peers": _peers,
    "groups": _groups,
    "routes": _routes,
    "streams": lambda console, status: streams.render(console, status["streams"], *status["streams_besides"]),
}
