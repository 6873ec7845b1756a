"""Everything that is simulated, and what is measured of it."""

from array import array
from collections.abc import Callable
from random import Random

from multicastmw.core.mesh.settings import Settings
from multicastmw.wire.mesh import StreamKey
from simulator.latency import Latency
from simulator.loop import Loop
from simulator.network import Network
from simulator.node import DIAL_TIMEOUT, IDLE_BYTES, Link, Node

# Seconds until a link whose peer is dead is down.  A real one takes 2.5 to 10 (keepalive-timeout = 10), 7.3
# in the mean.
SILENT = 5.5, 8.0


def nobody(node: Node, key: StreamKey, sequence: int, now: float) -> None:
    """Listens."""


class World:
    """Nodes on a network; `measure` says which packets count.

    `tcp`: data and announcements go over the connections, too; `silent`: how long a death goes unnoticed by
    the links alone; `kind`: of the nodes.
    """

    def __init__(
        self, loop: Loop, network: Network, latency: Latency, rng: Random, *, kind: type[Node] = Node,
        tcp: bool = False, silent: tuple[float, float] = SILENT,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.tcp = tcp
        self.silent = silent
        self.loop = loop
        self.network = network
        self.latency = latency
        self.rng = rng
        self.nodes: list[Node] = []
        self.by_id: dict[int, Node] = {}
        self.first = self.last = 0
        self.sent_at: dict[int, float] = {}
        self.first_at: dict[int, float] = {}  # node index -> time of the first packet
        self.hears: Callable[[Node, StreamKey, int, float], None] = nobody

    def add(
        self, index: int, settings: Settings, uplink: float = float("inf"), kind: type[Node] | None = None
    ) -> Node:
        self.network.add(index, uplink, nat=settings.nat)
        node = (kind or self.kind)(self, index, settings, Random(self.rng.getrandbits(64)), self.loop.now)
        self.nodes.append(node)
        self.by_id[node.id] = node
        return node

    def rtt(self, one: Node, other: Node) -> float:
        """Seconds."""
        hosts = self.network.hosts
        return max(0.0002, self.latency.rtt(hosts[one.index].place, hosts[other.index].place))

    def may_dial(self, one: Node, other: Node) -> bool:
        hosts = self.network.hosts
        same_side = hosts[one.index].side == hosts[other.index].side
        return same_side and self.network.may_dial(one.index, other.index)

    # --- links

    def dial(self, node: Node, target: int) -> None:
        other, loop = self.by_id.get(target), self.loop
        if other is None or not other.is_alive or not self.may_dial(node, other):
            loop.at(loop.now + DIAL_TIMEOUT, self._not_reached, node, target)
            return
        rtt = self.rtt(node, other)
        loop.at(loop.now + 1.5 * rtt, self._accepted, node, other, rtt)

    def _not_reached(self, node: Node, target: int) -> None:
        if node.is_alive:
            node.mesh.not_reached(target, self.loop.now)

    def _accepted(self, node: Node, other: Node, rtt: float) -> None:
        if not node.is_alive or other in node.links:
            return
        if not other.is_alive or not self.may_dial(node, other):
            self.loop.at(self.loop.now + DIAL_TIMEOUT - 1.5 * rtt, self._not_reached, node, other.id)
            return
        link = Link(node, other)
        node.links[other] = other.links[node] = link
        self.loop.at(self.loop.now + rtt / 2 - 1e-6, self._up, link, node, other, rtt)
        self._enter(link, other, node, False, rtt)

    def _up(self, link: Link, node: Node, other: Node, rtt: float) -> None:
        if node.is_alive and link.is_up:
            self._enter(link, node, other, True, rtt)

    def _enter(self, link: Link, here: Node, there: Node, dialled: bool, rtt: float) -> None:
        wire = here.wire(link, there, rtt)
        there_is = there.mesh.sample(), there.mesh.capabilities()
        neighbour = link.neighbours[here] = here.mesh.link_up(wire, *there_is, dialled, self.loop.now)
        here.linked(neighbour)

    def disconnect(self, link: Link, by: Node) -> None:
        """A node hangs up; the other end hears it half a round trip later."""
        if not link.is_up:
            return
        link.is_up = False
        one, other = link.nodes
        far = other if by is one else one
        self._down(link, by, far)
        rtt = self.rtt(by, far)
        self.loop.at(self.loop.now + rtt / 2, self._down, link, far, by)

    def _down(self, link: Link, node: Node, far: Node) -> None:
        if node.links.get(far) is link:
            del node.links[far]
        neighbour = link.neighbours.pop(node, None)
        if node.is_alive and neighbour is not None:
            node.unlinked(neighbour)
            node.mesh.link_down(neighbour, self.loop.now)

    def crash(self, node: Node, silent: bool = True) -> None:
        """A host is gone, or, not `silent`, a process alone."""
        node.is_alive = False
        self.network.crash(node.index)
        for other, link in list(node.links.items()):
            if silent:
                after = self.rng.uniform(*self.silent)
            else:
                after = self.network.last_word(node.index, other.index)
            self.loop.at(self.loop.now + after, self._died, link, other, node)

    def cut(self, indices: set[int]) -> None:
        """The network lies in two pieces: links between them fall silent, at both ends."""
        for node in self.nodes:
            for other, link in list(node.links.items()):
                if (node.index in indices) != (other.index in indices):
                    self.loop.at(
                        self.loop.now + self.rng.uniform(*self.silent), self._died, link, node, other
                    )

    def _died(self, link: Link, node: Node, far: Node) -> None:
        link.is_up = False
        self._down(link, node, far)

    # --- measuring

    def measure(self, first: int, count: int) -> None:
        """Packets of these numbers count from now on."""
        self.first, self.last = first, first + count
        for node in self.nodes:
            node.arrivals = array("f", (-1.0,)) * count

    def measure_also(self, node: Node) -> None:
        """A newcomer."""
        node.arrivals = array("f", (-1.0,)) * (self.last - self.first)

    def first_of(self, node: Node) -> float:
        """When its first packet came; infinite before."""
        return self.first_at.get(node.index, float("inf"))

    def delivered(self, node: Node, key: StreamKey, sequence: int, now: float) -> None:
        self.hears(node, key, sequence, now)
        if node.index not in self.first_at:
            self.first_at[node.index] = now
        if self.first <= sequence < self.last:
            node.arrivals[sequence - self.first] = now - self.sent_at[sequence]

    def idle_bits(self, node: Node) -> float:
        """Bits/s that the links' own probes cost."""
        return len(node.links) * IDLE_BYTES * 8
