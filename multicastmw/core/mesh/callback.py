"""Connect back: who can be dialled asks one who cannot, over somebody who has links with both, to dial.

    wanted, behind a NAT ◄── CONNECT BACK, TTL 0 ── who told of it ◄── CONNECT BACK, TTL 1 ── asker
           └──────────────────────────── dials ────────────────────────────────────────────────►

The samples are the asker's, then that of who is to dial.  Whether somebody dials is for it to say: only for
who may be its neighbour, seldom, and not again and again for the same one.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from multicastmw.core.bucket import Bucket
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.wire.mesh import About, Kind, Peers, Sample

if TYPE_CHECKING:
    from multicastmw.core.mesh.mesh import Mesh

NAT = int(About.NAT)

# What the specification says.
DIALS, DIAL_REST = 5, 10.0  # a second; seconds until the same node is dialled again

# What we chose.
WAYS_MAX = 256  # nodes behind NATs of whom is known who has a link with them
PATIENCE = 3.0  # seconds until who was asked is taken not to come: a way there, a dial, a way back
FRESH = 1  # seconds: a member that old at most is told of by a neighbour of its own
NEVER = float("inf")


class CallBack:
    """Of one node: as asker, in between, and as the one who dials."""

    def __init__(self, mesh: "Mesh") -> None:
        self._mesh = mesh
        self._ways: dict[int, Neighbour] = {}  # nodes behind NATs, and who has a link with them
        self._asked: dict[int, float] = {}  # who is to dial us, and how long we wait
        self._dialled: dict[int, float] = {}  # whom we dialled for such a request, until it may be again
        self._dials = Bucket(DIALS, DIALS)

    # --- who asks

    def told(self, samples: Iterable[Sample], by: Neighbour) -> None:
        """A neighbour's own members: with those that are that fresh it has links."""
        if self._mesh.settings.nat:
            return
        for sample in samples:
            node = sample.node
            if sample.flags & NAT and sample.age <= FRESH and node != by.node:
                self._ways.pop(node, None)
                if len(self._ways) >= WAYS_MAX:
                    del self._ways[next(iter(self._ways))]
                self._ways[node] = by

    def is_possible(self, sample: Sample) -> bool:
        """Is there somebody who can ask it?"""
        by = self._ways.get(sample.node)
        return by is not None and self._mesh.neighbours.get(by.node) is by

    def ask(self, sample: Sample, group: int, now: float) -> bool:
        """To dial us; False: there is no way to it."""
        by = self._ways.pop(sample.node, None)
        if by is None or self._mesh.neighbours.get(by.node) is not by or not by.walks.allows(now):
            return False
        self._mesh.counters.call_backs_asked += 1
        self._asked[sample.node] = now + PATIENCE
        by.say(Peers(group, int(Kind.CONNECT_BACK), 1, (self._mesh.sample(), sample)), now)
        return True

    def came(self, node: int) -> None:
        """There is a link with it."""
        if self._asked.pop(node, None) is not None:
            self._mesh.counters.call_backs_came += 1

    def tidy(self, now: float) -> None:
        """Who did not come is waited for no more."""
        for node in [node for node, until in self._asked.items() if until <= now]:
            del self._asked[node]
            self._mesh.contacts.not_reached(node)
        self._dialled = {node: until for node, until in self._dialled.items() if until > now}

    # --- who is asked

    def accept(self, by: Neighbour, peers: Peers, now: float) -> None:
        """One goes a hop further, or is for us."""
        if len(peers.samples) < 2:
            return
        asker, wanted = peers.samples[:2]
        if wanted.node == self._mesh.node:
            self._dial(asker, peers.group, now)
        elif peers.ttl > 0 and asker.node == by.node and asker.node != wanted.node:
            self._send_on(asker, wanted, peers.group, now)

    def _send_on(self, asker: Sample, wanted: Sample, group: int, now: float) -> None:
        """The asker's sample is as we see it: it does not know where others do."""
        to = self._mesh.neighbours.get(wanted.node)
        if to is not None and not asker.flags & NAT and to.walks.allows(now):
            self._mesh.counters.call_backs_sent_on += 1
            to.say(Peers(group, int(Kind.CONNECT_BACK), 0, (asker, to.sample)), now)

    def _dial(self, asker: Sample, group: int, now: float) -> None:
        mesh = self._mesh
        if asker.node in mesh.neighbours or asker.flags & NAT or not mesh.circles[group].has_room():
            return
        if self._dialled.get(asker.node, -NEVER) > now or not self._dials.allows(now):
            mesh.counters.call_backs_over_bound += 1
            return
        self._dialled[asker.node] = now + DIAL_REST
        if mesh.contacts.reach(asker, group, "called", now):
            mesh.counters.call_backs_dialled += 1
