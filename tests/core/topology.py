"""Nodes that dial each other over a network whose ways break and mend: what a tree makes of itself.

Every node has the real Dialler (core/dialling.py) for each peer that it is configured with; here is only what
services/peers.py does with it, on the simulated clock.  A *way* is between two nodes.  Broken *silently*,
what is sent over it vanishes, connections that stand hear nothing, and dials time out; broken *loudly*,
connections are reset and dials are refused.
"""

from collections.abc import Iterable
from typing import Any

from multicastmw.core.dialling import DIAL_TIMEOUT, Dialler, State
from multicastmw.core.link import Link, Phase
from multicastmw.net.clockwork import Clockwork
from tests.core.cable import Cable, Node, World

Way = frozenset[str]
SYN_AGAIN = 1.0  # seconds (Linux: net.ipv4.tcp_syn_linear_timeouts)


class Network(World):
    """A world with ways between its nodes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.delay = 0.002  # seconds of every way, for bytes; datagrams have their own
        self.broken: dict[Way, str] = {}  # how: silently or loudly
        self.dialled: dict[Cable, Way] = {}
        self.by_name: dict[str, Member] = {}

    def member(self, name: str, **chosen: Any) -> "Member":
        member = self.by_name[name] = Member(self, name, **chosen)
        return member

    def shatter(self, a: str, b: str, how: str) -> None:
        """The way between two nodes is broken from now on."""
        way = frozenset((a, b))
        self.broken[way] = how
        for cable in [c for c, w in self.dialled.items() if w == way]:
            if how == "silently":
                cable.cut()
            else:
                for end in cable.ends:
                    self.later(0.001, end._lose, "Connection was reset")
        self.air.spoil(self.by_name[a].node, self.by_name[b].node, hole=True)

    def mend(self, a: str, b: str) -> None:
        self.broken.pop(frozenset((a, b)), None)
        self.air.spoil(self.by_name[a].node, self.by_name[b].node, hole=False)

    # --- what an operator asks

    def parts(self) -> list[set[str]]:
        """The nodes in parts that ways between diallers and dialled hold together."""
        ways = [
            {name, peer}
            for name, member in self.by_name.items()
            for peer in member.peers
            if frozenset((name, peer)) not in self.broken
        ]
        return joined(self.by_name, ways)

    def links(self) -> list[frozenset[str]]:
        """The links that are up at both ends."""
        names = {member.node.id: name for name, member in self.by_name.items()}
        ends = [(name, names[id_]) for name, m in self.by_name.items() for id_ in m.node.room.by_node]
        return [frozenset(end) for end in ends if end[0] < end[1] and (end[1], end[0]) in ends]

    def half_links(self) -> int:
        """Ends of links whose other end is not up."""
        return sum(len(m.node.room.by_node) for m in self.by_name.values()) - 2 * len(self.links())

    def is_tree(self) -> bool:
        """Has each part a tree that spans it, and does every node know just the nodes of its part?"""
        parts = self.parts()
        links = self.links()
        if len(links) != len(self.by_name) - len(parts) or self.half_links():
            return False
        return sorted(map(sorted, joined(self.by_name, links))) == sorted(map(sorted, parts)) and all(
            self.by_name[name].reaches() == part - {name} for part in parts for name in part
        )


def joined(names: Iterable[str], pairs: Iterable[Iterable[str]]) -> list[set[str]]:
    """The connected components."""
    parts = [{name} for name in names]
    for pair in map(set, pairs):
        met = [part for part in parts if part & pair]
        parts = [part for part in parts if not part & pair] + [set().union(*met)]
    return parts


class Member:
    """A node and its diallers, by the name of the peer."""

    def __init__(self, network: Network, name: str, **chosen: Any) -> None:
        self.network = network
        self.node = Node(network, name, **chosen)
        self.node.room.watcher = self
        self.peers: dict[str, Dialling] = {}

    def dials(self, *peers: str) -> None:
        for peer in peers:
            self.peers[peer] = Dialling(self, peer)

    def reaches(self) -> set[str]:
        reach = self.node.room.reach
        return {reach.name(node) or "" for node in reach.nodes()}

    def link_up(self, link: Link) -> None:
        self.node.link_up(link)
        for dialling in self.peers.values():
            dialling.link_up(link)

    def link_down(self, link: Link, why: str) -> None:
        self.node.link_down(link, why)
        for dialling in self.peers.values():
            dialling.link_down(link, why)

    def node_gone(self, node: int) -> None:
        for dialling in self.peers.values():
            dialling.node_gone(node)


class Dialling:
    """One [peer:NAME], as services/peers.py: DiallingService has it."""

    def __init__(self, member: Member, peer: str) -> None:
        self.member = member
        self.peer = peer
        self.network = member.network
        self.dialler = Dialler(self.network.now, self.network.random.uniform)
        self.link: Link | None = None
        self.cable: Cable | None = None
        self.dials = 0
        self._clockwork = Clockwork(self.network.clock, self)
        self._clockwork.wind()

    @property
    def other(self) -> Node:
        return self.network.by_name[self.peer].node

    def deadline(self) -> float:
        return self.dialler.deadline()

    def tick(self, now: float) -> None:
        if not self.dialler.tick(now):
            return
        here, other = self.member.node, self.other
        if other.id in here.room.by_node:
            self.link = here.link(other)
            self.dialler.up(now)
            return
        self.dials += 1
        way = frozenset((here.name, self.peer))
        match self.network.broken.get(way):
            case "silently":
                self._knock(way, now + DIAL_TIMEOUT)
            case "loudly":
                self.network.later(0.001, self._failed, "refused")
            case _:
                self.network.later(0.002, self._connect, way)

    def _knock(self, way: Way, until: float) -> None:
        """The kernel repeats a SYN every second."""
        now = self.network.now
        if now >= until:
            self._failed("no answer")
        elif way in self.network.broken:
            self.network.later(min(SYN_AGAIN, until - now), self._knock, way, until)
        else:
            self._connect(way)

    def _failed(self, why: str) -> None:
        if self.dialler.state is State.DIALLING:
            self.dialler.failed(why, self.network.now)
            self._clockwork.wind()

    def _connect(self, way: Way) -> None:
        if way in self.network.broken:
            self._failed("broken meanwhile")
            return
        self.cable = cable = Cable(
            self.network, self.member.node, self.other, section=self.peer, delay=self.network.delay
        )
        self.network.dialled[cable] = way
        attempted = cable.dialling.link
        assert attempted is not None
        lost = attempted.lost

        def gone(why: str) -> None:
            lost(why)
            self._gone(cable, attempted)

        attempted.lost = gone  # type: ignore[method-assign]

    def _gone(self, cable: Cable, link: Link) -> None:
        assert link.phase is Phase.GONE
        if cable is not self.cable or self.dialler.state is not State.DIALLING:
            return
        if link.closes_cycle:
            self._refused(link, link.why)
        else:
            self._failed(link.why)

    def _refused(self, link: Link, why: str) -> None:
        room, now = self.member.node.room, self.network.now
        is_reached = bool(room.reach.links(self.other.id))
        unseen = link.reaches_us and not is_reached
        if unseen and self.dialler.is_elsewhere(link.longest_patience, now):
            room.is_elsewhere(link, now)
            self.dialler.taken(why, now, now)
        else:
            self.dialler.refused(why, link.was_up, is_reached, now)
        self._clockwork.wind()

    def link_up(self, link: Link) -> None:
        if link.node == self.other.id:
            self.link = link
            self.dialler.up(self.network.now)

    def link_down(self, link: Link, why: str) -> None:
        if link is not self.link:
            return
        self.link = None
        if link.closes_cycle:
            self._refused(link, why)
        else:
            self.dialler.down(why, link.since, self.network.now)
            self._clockwork.wind()

    def node_gone(self, node: int) -> None:
        if node == self.other.id and self.dialler.state is State.STANDBY:
            self.dialler.lost_reach(self.network.now)
            self._clockwork.wind()
