"""Where all links meet: who may have one, who is there already, and what they share.

Two links with one node cannot be.  From the same dialler the newer one replaces the older, for the dialler
knows best that the older is dead; dialled from both sides, the one that the smaller node id dialled stays, as
both can tell without asking.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from multicastmw.core.counters import Counters
from multicastmw.core.crowds import crowd
from multicastmw.core.events import (
    CallerRefused,
    Cycle,
    Limit,
    NeighbourDown,
    NeighbourMoved,
    NeighbourUp,
    OwnName,
    PeerDown,
    PeerIsMisnamed,
    PeerRefused,
    PeerRefuses,
    PeerUp,
    Tell,
    own_name_elsewhere,
    same_node_twice,
)
from multicastmw.core.haunts import Called, Haunts, Telling
from multicastmw.core.liveness import Pick
from multicastmw.core.namesakes import Namesakes
from multicastmw.core.packet import Packet
from multicastmw.core.reach import Reach
from multicastmw.core.recovery.recovery import KEPT_MS, Recovery
from multicastmw.core.run import Outgoing
from multicastmw.core.turns import Turns
from multicastmw.wire.cops import MESSAGE_MAX, Code, Unable
from multicastmw.wire.errors import PeerError
from multicastmw.wire.mesh import Named, Peers
from multicastmw.wire.messages import DataPort, Open

if TYPE_CHECKING:
    from multicastmw.core.fec.fec import Fec
    from multicastmw.core.forwarding import Forwarder
    from multicastmw.core.link import Link
    from multicastmw.core.mesh.destination import MeshDestination
    from multicastmw.core.routing import Router
    from multicastmw.core.ways import Datagrams

# What the specification says (DESIGN, "The conduct of a link").
UNOPENED_MAX = 64
UNOPENED_MAX_OF_ONE = 16

# What we chose: links at a time, of two sockets each; without TLS a stranger can invent nodes.
LINKS_MAX = 1_024  # fewer where the process may not have so many descriptors

LOOPBACK = ("127.", "::1")  # who calls from there shows nobody that a port is reached


class Here(NamedTuple):
    """This node: `keep_alive` in seconds, `data_port` the UDP port that takes data, or None."""

    name: str
    node: int
    keep_alive: int
    data_port: int | None


class Watcher(Protocol):
    """Who dials wants to know."""

    def link_up(self, link: "Link") -> None: ...
    def link_down(self, link: "Link", why: str) -> None: ...
    def node_gone(self, node: int) -> None:
        """No link leads to that node any more."""


class RoomCounters(Counters):
    """What strangers and peers did at the door."""

    __slots__ = (
        "cycles_refused", "datagrams_dropped", "datagrams_short", "dialled_in", "links_refused", "opened",
        "turned_away",
    )  # fmt: skip
    cycles_refused: int
    datagrams_dropped: int
    datagrams_short: int
    dialled_in: int  # links that came up and that their peers had dialled, from other hosts
    links_refused: int
    opened: int
    turned_away: int


OpenDatagrams = Callable[["Link", str, tuple[str, int]], "Datagrams | None"]


class Room:
    """All links of a node, by connection, by token and, once they are up, by node id."""

    message_max = MESSAGE_MAX

    def __init__(
        self,
        here: Here,
        router: "Router",
        forwarder: "Forwarder",
        *,
        pick: Pick,
        draw_token: Callable[[], int],
        open_datagrams: OpenDatagrams,
        tell: Tell,
        watcher: Watcher,
    ) -> None:
        self.here = here
        self.router = router
        self.forwarder = forwarder
        self.reach: Reach[Link] = Reach(
            lambda link, node: link.nodes_changed(node), self._node_gone, self._node_doubled
        )
        self.pick = pick
        self.open_datagrams = open_datagrams
        self.tell = tell
        self.watcher = watcher
        self.mesh: MeshDestination | None = None
        self.recovery: Recovery | None = None  # on static links
        self.fec: Fec | None = None
        self.packet = Packet()
        self.outgoing = Outgoing()
        self.turns = Turns()
        self.namesakes = Namesakes()
        self.haunts = Haunts()
        self.called = Called()
        self.counters = RoomCounters()
        self.links_max = LINKS_MAX
        self.moved: Callable[[Link], None] = lambda link: None  # told of a link whose data go another way
        self.links: list[Link] = []
        self.by_token: dict[int, Link] = {}
        self.by_node: dict[int, Link] = {}
        self._unopened: dict[Link, None] = {}  # who called and has not said an Open that was accepted
        self._draw_token = draw_token

    def _node_gone(self, node: int) -> None:
        self.watcher.node_gone(node)

    def _node_doubled(self, node: int) -> None:
        """A cycle: the link of it that came up last may have to go."""
        max(self.reach.links(node), key=age_of).suspect()

    def keep_alive_is(self, seconds: int) -> None:
        """The patience of links made from now on; those that stand have told theirs to their peers."""
        self.here = self.here._replace(keep_alive=seconds)

    @property
    def our_correction(self) -> int:
        """This node rebuilds what a link loses from the parity of so many packets; 0: it does not."""
        return self.fec.longest_block if self.fec is not None and self.here.data_port else 0

    def our_open(self, token: int, address: str = "") -> Open:
        """What this node says first, over a connection from that address of its own."""
        port = self.here.data_port
        data_port = DataPort(port, token) if port else None
        opened = Open(self.here.name, self.here.node, self.here.keep_alive, data_port)
        if self.recovery is not None and port:  # over TCP nothing is lost
            opened = opened._replace(recovery=KEPT_MS)
        opened = opened._replace(correction=self.our_correction)
        if self.mesh is None:
            return opened
        return opened._replace(
            capabilities=self.mesh.capabilities(), addresses=self.mesh.addresses_at(address)
        )

    def named(self, peers: Peers, telling: Telling, now: float) -> Peers:
        """The same with names of those whom it tells of, as far as they are known."""
        known = {
            node: name for node in (each.node for each in peers.samples) if (name := self.called.known(node))
        }
        return peers._replace(names=tuple(Named(node, known[node]) for node in telling.of(known, now)))

    def new_token(self) -> int:
        """One that no other link has; never 0, which says TCP."""
        while not (token := self._draw_token()) or token in self.by_token:
            pass
        return token

    def enter(self, link: "Link") -> None:
        """A connection stands; its link is told nothing yet."""
        self.links.append(link)
        if not link.dialled:
            self._unopened[link] = None
        self.by_token[link.token] = link

    def forget(self, link: "Link") -> None:
        """A connection is gone."""
        if link in self.links:
            self.links.remove(link)
        self._unopened.pop(link, None)
        self.by_token.pop(link.token, None)

    def turns_away(self, address: str) -> bool:
        """Is a caller from there one too many?  Only who has not said Open counts."""
        waiting = Counter(link.address for link in self._unopened)
        if waiting.total() < UNOPENED_MAX and waiting[address] < UNOPENED_MAX_OF_ONE:
            return False
        self.counters.turned_away += 1
        return True

    def admit(self, link: "Link", opened: Open, now: float) -> None:
        """The peer has said who it is; raises PeerError where the link cannot be."""
        if opened.node == self.here.node:
            self.tell(OwnName(opened.name, link.address))
            raise PeerError(Code.UNABLE, Unable.SELF, "it has our own node id")
        link.is_mesh = self._is_mesh(opened)
        older = self.by_node.get(opened.node)
        is_fought_over = False
        if older:
            is_fought_over = self._choose(older, link, now)
        elif not link.is_mesh and (others := self.reach.links(opened.node)):
            raise a_cycle(opened.name, others[0].name)
        elif len(self.by_node) >= self.links_max and not self._makes_room(link, now):
            self.tell(Limit(f"{self.links_max} links are up, and no further ones are taken"))
            raise PeerError(Code.UNABLE, Unable.TOO_MANY, f"more than {self.links_max} links")
        if link.section and link.section != opened.name:
            self.tell(PeerIsMisnamed(link.section, link.address, opened.name))
        self.by_node[opened.node] = link
        self.called.saw(opened.node, opened.name)
        self._unopened.pop(link, None)
        self.counters.opened += 1
        if not link.dialled and link.address and not link.address.startswith(LOOPBACK):
            self.counters.dialled_in += 1
        kind = NeighbourUp if link.is_mesh and not link.section else PeerUp
        self.tell(kind(opened.name, link.address))
        if link.is_mesh and link.address:
            self._look_whence(opened, link, is_fought_over)
        self.watcher.link_up(link)

    def _makes_room(self, newcomer: "Link", now: float) -> bool:
        """For who comes from elsewhere the last of many from one network goes, rather one that is nobody's
        neighbour.  Whom node.ini names stays, and so does whom this node has dialled."""
        guests = [each for each in self.by_node.values() if not (each.dialled or each.section)]
        many = crowd(guests, lambda each: each.address, newcomer.address)
        if not many:
            return False
        idle = [each for each in many if not (each.neighbour and each.neighbour.circles)]
        why = f"{len(many)} links came from its network, and there is no room for others"
        (idle or many)[-1].leave(Code.UNABLE, Unable.TOO_MANY, why, now)
        return True

    def _look_whence(self, opened: Open, link: "Link", is_fought_over: bool) -> None:
        """Has a node of the mesh moved?  Of two of one name that fight for a link it is no news."""
        before = self.haunts.saw(opened.node, link.address)
        if before and not is_fought_over:
            self.tell(NeighbourMoved(opened.name, link.address, before))

    def _is_mesh(self, opened: Open) -> bool:
        """Will it be a neighbour in the mesh, which is full of cycles?"""
        return self.mesh is not None and opened.capabilities is not None

    def _choose(self, older: "Link", newer: "Link", now: float) -> bool:
        """Which of two links with one node stays; True: there are two nodes of that id, it seems."""
        ours_stays = self.here.node < newer.node
        both_dialled = older.dialled != newer.dialled
        reason = self._namesakes(older, newer, both_dialled, now)
        if both_dialled and newer.dialled != ours_stays:
            why = "there is another link with the same node"
            newer.is_second = True
            newer.is_taken = reason is not None
            raise PeerError(Code.UNABLE, Unable.DUPLICATE_LINK, why, reason=reason)
        why = "a newer link with the same node replaces it"
        older.is_taken = reason is not None
        if self.mesh is not None and newer.is_mesh:
            older.cede()
        older.leave(Code.UNABLE, Unable.DUPLICATE_LINK, why, now, reason=reason)
        return reason is not None and older.is_alive(now)

    def _namesakes(self, older: "Link", newer: "Link", both_dialled: bool, now: float) -> str | None:
        """What people at the closed end are to know: a node that hears it is not the one that took the link.

        Two links that both sides dialled, or both this one, may lead to one node by two ways, and then it
        keeps to one of them: only that it goes on is news.  So it is of links from one address, where mostly
        a node has come back; nobody hears the Close then, for the older is dead.  And an older link that has
        fallen silent says nothing of two: its node may have lost its cable, or moved.
        """
        one_place = older.address == newer.address
        may_be_one = both_dialled or newer.dialled
        if one_place and may_be_one:
            return None
        repeats = older.is_alive(now) and self.namesakes.is_fought_over(newer.node, now)
        if may_be_one and not repeats:
            return None
        event = same_node_twice(newer.name, older.address, newer.address, may_be_one)
        if repeats or (older.is_alive(now) and not one_place):
            self.tell(event)
            self.namesakes.saw(event.sentence(), now)
        return event.sentence()

    def is_elsewhere(self, link: "Link", now: float) -> None:
        """The peer goes on saying that it reaches this node, which reaches it by nothing: see Dialler."""
        event = own_name_elsewhere(self.here.name, link.name, link.address)
        self.tell(event)
        self.namesakes.heard(link.section or link.name, event.sentence(), now)

    def refused(self, link: "Link", code: int, sub_code: int, why: str) -> None:
        """A link was closed from this side; that one of two goes is no news, and OwnName says what it is."""
        if code == Code.SHUTTING_DOWN or (code, sub_code) == (Code.UNABLE, Unable.DUPLICATE_LINK):
            return
        if link.closes_cycle:
            self.counters.cycles_refused += 1
            if not link.dialled:  # else who dialled says so
                self.tell(Cycle(link.name, link.address, why))
            return
        self.counters.links_refused += 1
        in_vain = link.dialled and not link.was_up  # then who dialled says so
        if (code, sub_code) != (Code.UNABLE, Unable.SELF) and not in_vain:
            self._tell_refused(link, why)

    def _tell_refused(self, link: "Link", why: str) -> None:
        if link.name == link.address:
            self.tell(CallerRefused(link.address, why))
        else:
            self.tell(PeerRefused(link.name, link.address, why))

    def never_up(self, link: "Link", why: str) -> None:
        """A connection ended before its Open; who knocks and goes is no news, who fails at TLS is."""
        if why.startswith("TLS: ") and not link.dialled:
            self.counters.links_refused += 1
            self._tell_refused(link, why)

    def unwelcome(self, link: "Link", code: int, why: str) -> None:
        """A caller said Close instead of Open; that it means another node is news."""
        if code == Code.AUTHENTICATION and not link.dialled:
            self.tell(PeerRefuses(link.address, f"{why}; in its node.ini we are [peer:{self.here.name}]"))

    def down(self, link: "Link", why: str) -> None:
        """A link that was up is out of the tables."""
        if self.by_node.get(link.node) is link:
            del self.by_node[link.node]
        self.moved(link)
        kind = NeighbourDown if link.is_unused else PeerDown
        self.tell(kind(link.name, link.address, why))
        self.watcher.link_down(link, why)

    def woke(self, slept: float, now: float) -> None:
        """The host slept; which peers may still be there, each link can tell."""
        for link in list(self.links):
            link.woke(slept, now)

    def leave(self, now: float) -> None:
        """The node goes: every peer is told."""
        for link in list(self.links):
            link.leave(Code.SHUTTING_DOWN, 0, "this node is shutting down", now)


def a_cycle(node: str, over: str) -> PeerError:
    """Why a link with or towards that node cannot be."""
    return PeerError(Code.UNABLE, Unable.CYCLE, f"{node} is reached over {over} already", node)


def age_of(link: "Link") -> tuple[float, int]:
    """Orders links by when they came up, also those of one moment."""
    return link.since, link.token
