"""A link's place in the static tree: what either side tells the other of channels and nodes, and of cycles.

What is told is the difference between what the others want or reach and what the peer was told
(announcing.py), when it is the link's turn; then it rests.  A neighbour in the mesh is told nothing of this.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from multicastmw.core.addressing import Channel
from multicastmw.core.announcing import Announcement, K
from multicastmw.core.events import Limit
from multicastmw.core.parting import part
from multicastmw.core.room import Room, a_cycle, age_of
from multicastmw.wire.cops import Code, Unable
from multicastmw.wire.errors import PeerError
from multicastmw.wire.messages import AddRoute, Group, Node, RemoveRoute, encode_routes

if TYPE_CHECKING:
    from multicastmw.core.link import Link

# What we chose.
CHANNELS_MAX = 16_384  # channels that one peer may hold: 4,096 groups with some sources each
TABLE_MAX = 65_536  # channels that all together may want; what is new above it is not taken
NODES_MAX = 4_096  # nodes behind one link, besides the peer itself
NODES_TABLE_MAX = 16_384  # nodes of all links together
TELL_STEPS = 8  # steps (see turns.py) that it costs to tell anything
REST = 0.02  # seconds from one announcement to the next, which then says all that changed meanwhile; and as
REST_LINKS = 16  # much more for each so many links, so that telling a thousand is no day's work
REST_MAX = 0.5

# What we chose: how long a link waits until it is closed for a cycle.  All nodes of the cycle see it, and one
# cut is enough: so the younger a link is, the sooner it goes, and others find that it is gone.
CYCLE_WAIT = 0.0, 0.1  # seconds, at random, for links of the same age
CYCLE_WAIT_OF_AGE = 0.1  # of its age, on top
CYCLE_WAIT_MAX = 0.5
NEVER = float("inf")


class Branch:
    """One link's; `wake` has its deadlines looked at."""

    def __init__(self, link: "Link", room: Room, wake: Callable[[], None], now: float) -> None:
        self.look_at = NEVER  # when it is looked whether this closes a cycle; -NEVER: not drawn yet
        self._link = link
        self._room = room
        self._wake = wake
        self._rests = False  # from announcing, until
        self._rests_until = now
        self._channels = Announcement[Channel](lambda c: room.router.wanted_besides(link, c), CHANNELS_MAX)
        self._nodes = Announcement[int](
            lambda n: n != link.node and room.reach.besides(link, n), NODES_MAX - 1
        )

    def joins(self) -> None:
        """The peer is told what the others want, and whom they reach."""
        room, link = self._room, self._link
        room.router.attach(link)
        room.reach.join(link)
        room.reach.add(link, link.node, link.name)
        self._channels.changed(room.router.channels())
        self._nodes.changed(room.reach.nodes())
        room.turns.add(link)

    def leaves(self) -> None:
        """The link is gone, and what it held with it."""
        part(self._link, (self._room.reach, self._room.router), self._room.turns)

    # --- what the peer says

    def add(self, entry: Group | Node) -> None:
        """One entry of an Add Route.  Raises PeerError above the bounds of one peer."""
        if isinstance(entry, Node):
            self._add_node(entry)
            if self._room.reach.count(self._link) - 1 > NODES_MAX:
                raise PeerError(Code.UNABLE, Unable.TOO_MANY, f"more than {NODES_MAX} nodes")
            return
        router, channel = self._room.router, Channel(entry.group, entry.source)
        if len(router) >= TABLE_MAX and channel not in router:
            self._link.counters.channels_refused += 1
            self._room.tell(Limit(f"{TABLE_MAX} channels are wanted, and no further ones are taken"))
            return
        router.subscribe(self._link, channel)
        if router.count(self._link) > CHANNELS_MAX:
            raise PeerError(Code.UNABLE, Unable.TOO_MANY, f"more than {CHANNELS_MAX} channels")

    def _add_node(self, entry: Node) -> None:
        """A node's own id is never accepted from a peer; other nodes of the cycle that it tells of do so."""
        reach = self._room.reach
        if entry.node == self._room.here.node:
            return
        if len(reach) >= NODES_TABLE_MAX and entry.node not in reach:
            self._link.counters.nodes_refused += 1
            self._room.tell(Limit(f"{NODES_TABLE_MAX} nodes are reached, and no further ones are taken"))
            return
        reach.add(self._link, entry.node, entry.name)

    def remove(self, entry: Group | Node) -> None:
        """One entry of a Remove Route."""
        if not isinstance(entry, Node):
            self._room.router.unsubscribe(self._link, Channel(entry.group, entry.source))
        elif entry.node != self._link.node:
            self._room.reach.remove(self._link, entry.node)

    # --- what it is told

    @property
    def has_news(self) -> bool:
        """Is there something to tell?"""
        return bool(self._channels or self._nodes)

    @property
    def may_tell(self) -> bool:
        """The same, now?"""
        return self.has_news and not self._rests

    def channel_changed(self, channel: Channel) -> None:
        self._mark(self._channels, channel)

    def node_changed(self, node: int) -> None:
        self._mark(self._nodes, node)

    def _mark(self, announcement: Announcement[K], key: K) -> None:
        """There is something to tell: when it is this link's turn, or at the end of its rest."""
        waits = bool(announcement)
        announcement.mark(key)
        if waits:
            return  # it stands in the queue already, or may not speak
        if self._rests:
            self._wake()
        else:
            self._room.turns.add(self._link)

    def tell(self, steps: int, now: float) -> tuple[list[bytes], int]:
        """Some of the difference as messages, nodes first, and the steps that it took."""
        waiting = len(self._nodes) + len(self._channels)
        come, gone = self._nodes.difference(steps)
        wanted, unwanted = self._channels.difference(max(0, steps - len(come) - len(gone)))
        name = self._room.reach.name
        add: list[Group | Node] = [Node(node, name(node)) for node in come]
        remove: list[Group | Node] = [Node(node) for node in gone]
        add += [Group(*channel) for channel in wanted]
        remove += [Group(*channel) for channel in unwanted]
        messages = encode_routes(AddRoute, add) + encode_routes(RemoveRoute, remove)
        if self.has_news:
            return messages, steps
        self._rests = True
        self._rests_until = now + min(REST_MAX, REST * (1 + len(self._room.by_node) // REST_LINKS))
        if self._channels.withheld or self._nodes.withheld:
            self._room.tell(Limit(f"{self._link.name} has no room for all channels and nodes of this side"))
        return messages, min(steps, TELL_STEPS + waiting)

    @property
    def tells_at(self) -> float:
        """The end of its rest, where there is something to tell."""
        return self._rests_until if self._rests and self.has_news else NEVER

    def rested(self, now: float) -> None:
        if self._rests and now >= self._rests_until:
            self._rests = False
            if self.has_news:
                self._room.turns.add(self._link)

    # --- cycles

    def suspect(self) -> None:
        """This link came up last of those over which some node is reached: it may have to go."""
        if self.look_at == NEVER:
            self.look_at = -NEVER
            self._wake()

    def look_for_cycle(self, now: float) -> None:
        """Raises PeerError, after a while, where an older link reaches one of this one's nodes still."""
        if self.look_at == -NEVER:
            age = now - self._link.since
            wait = self._room.pick(*CYCLE_WAIT) + min(CYCLE_WAIT_MAX, age * CYCLE_WAIT_OF_AGE)
            self.look_at = now + wait
            return
        self.look_at = NEVER
        reach = self._room.reach
        for node in reach.behind(self._link):
            oldest = min(reach.links(node), key=age_of)
            if oldest is not self._link:
                raise a_cycle(reach.name(node) or f"{node:016x}", oldest.name)
