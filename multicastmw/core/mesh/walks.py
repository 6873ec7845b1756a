"""What members of a group tell each other of members: newcomers, and shuffles of what they know (HyParView).

A join walks six steps at random and makes whoever it ends at a neighbour; a shuffle walks six, and what its
end knows goes back the same way.  A shuffle of one step asks a neighbour whom it knows on the way to it.
"""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import (
    FORWARD_TTL,
    PASSIVE_TTL,
    SHUFFLE,
    SHUFFLE_ACTIVE,
    SHUFFLE_PASSIVE,
    SHUFFLE_TTL,
    WALKERS,
)
from multicastmw.wire.mesh import BASE, Kind, Peers, Sample

if TYPE_CHECKING:
    from multicastmw.core.mesh.circle import Circle
    from multicastmw.core.mesh.mesh import Mesh

# What we chose.
REPLIES_DUE_MAX = 16
UNASKED = -1.0  # points for a reply to nothing
WALKS_MAX = 256  # shuffles under way that this node would lead back


class Walks:
    """One circle's."""

    def __init__(self, circle: "Circle", mesh: "Mesh", now: float) -> None:
        self.due = now + SHUFFLE * mesh.rng.uniform(0.3, 1.0)
        self.back: dict[int, Neighbour] = {}  # shuffles by whose they are, and where they came from
        self._replies_due = 0
        self._circle = circle
        self._mesh = mesh

    def gone(self, neighbour: Neighbour) -> None:
        if self.back:
            self.back = {node: back for node, back in self.back.items() if back is not neighbour}

    # --- newcomers

    def begin(self, newcomer: Neighbour, now: float) -> None:
        others = [neighbour for neighbour in self._circle.active if neighbour is not newcomer]
        self._mesh.rng.shuffle(others)
        for other in others[:WALKERS]:
            other.say(Peers(self._circle.group, Kind.FORWARD_JOIN, FORWARD_TTL, (newcomer.sample,)), now)

    def join(self, by: Neighbour, newcomer: Sample, ttl: int, now: float) -> None:
        circle = self._circle
        if newcomer.node == self._mesh.node:
            return
        others = [each for each in circle.active if each is not by and each.node != newcomer.node]
        if ttl <= 0 or not others:
            if len(circle.active) < circle.wants:
                self._mesh.contacts.reach(newcomer, circle.group, "neighbour", now)
            else:
                circle.learn((newcomer,), now)
            return
        if ttl == PASSIVE_TTL:
            circle.learn((newcomer,), now)
        step = min(ttl, FORWARD_TTL) - 1
        whom = self._mesh.rng.choice(others)
        self._send_on(whom, Peers(circle.group, Kind.FORWARD_JOIN, step, (newcomer,)), now)

    def _send_on(self, to: Neighbour, peers: Peers, now: float) -> None:
        """What others began: who floods ends here, and does not make a flood of us."""
        if to.walks.allows(now, to.share):
            to.say(peers, now)

    # --- shuffles

    def tick(self, now: float) -> None:
        rest = SHUFFLE * (2 if self._circle.group == BASE else 1)
        self.due = now + rest * self._mesh.rng.uniform(0.9, 1.1)
        if self._circle.active:
            self.expects_reply()
            first = self._mesh.rng.choice(list(self._circle.active))
            first.say(Peers(self._circle.group, Kind.SHUFFLE, SHUFFLE_TTL, self._some(now, first)), now)

    def expects_reply(self) -> None:
        """Somebody was asked; what nobody asked for is not taken."""
        self._replies_due = min(REPLIES_DUE_MAX, self._replies_due + 1)

    def awaits(self, asker: int) -> bool:
        """Is a reply to that node's shuffle under way, to here or over here?"""
        return self._replies_due > 0 if asker == self._mesh.node else asker in self.back

    def _some(self, now: float, besides: Neighbour) -> tuple[Sample, ...]:
        active = [neighbour.sample for neighbour in self._circle.active if neighbour is not besides]
        passive = list(self._circle.passive.values())
        rng = self._mesh.rng
        drawn = rng.sample(passive, min(SHUFFLE_PASSIVE, len(passive)))
        return (
            self._mesh.sample(),
            *rng.sample(active, min(SHUFFLE_ACTIVE, len(active))),
            *(sample._replace(age=int(now - at)) for sample, at in drawn),
        )

    def shuffle(self, by: Neighbour, peers: Peers, now: float) -> None:
        asker = peers.samples[0]
        others = [each for each in self._circle.active if each is not by and each.node != asker.node]
        ttl = min(peers.ttl, SHUFFLE_TTL) - 1
        if ttl > 0 and others:
            while len(self.back) >= WALKS_MAX:
                del self.back[next(iter(self.back))]
            self.back[asker.node] = by
            self._send_on(self._mesh.rng.choice(others), peers._replace(ttl=ttl), now)
            return
        if by.node == asker.node:
            mine = self._circle.near.known_to(asker, now)
        else:
            mine = self._some(now, by)
        by.say(Peers(self._circle.group, Kind.SHUFFLE_REPLY, SHUFFLE_TTL, (asker, *mine)), now)
        self._circle.learn(peers.samples, now, by if by.node == asker.node else None)

    def reply(self, by: Neighbour, samples: tuple[Sample, ...], now: float) -> None:
        asker = samples[0].node
        if asker == self._mesh.node:
            if not self._replies_due:
                self._mesh.blame(by, UNASKED, now)
                return
            self._replies_due -= 1
            if len(samples) > 1 and samples[1].node == by.node:  # it came from there itself
                self._mesh.call_back.told(samples[2:], by)
            self._circle.learn(samples[1:], now)
            self._circle.near.answered(by, samples[1:])
        elif back := self.back.pop(asker, None):
            self._send_on(back, Peers(self._circle.group, Kind.SHUFFLE_REPLY, 0, samples), now)
