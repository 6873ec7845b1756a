"""Nodes that are known beyond the neighbours: relays, origins of streams, who is dialled and what for.

A relay that is known by hearsay alone stays as it was first told of, while its teller is a neighbour and
nobody has dialled it in vain: else one liar could lead elsewhere everybody who looks for a group.  Where
there are too many, one goes of whoever told of most, so that nobody's tales push out more than an equal share
of others'.

Who lied, or sends what nobody asked for, is left, and not dealt with for ten seconds, then twenty, up to ten
minutes; while it is, it is in no sample.  Who tells of members that this node does not reach is doubted, for
as long: it may lie, or stand between two parts of the network that do not reach each other.
"""

from collections import Counter
from typing import TYPE_CHECKING

from multicastmw.core.mesh.backoffs import BackOffs
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.wire.mesh import BASE, About, MeshMessage, Sample

if TYPE_CHECKING:
    from multicastmw.core.mesh.mesh import Mesh

NAT, RELAY = int(About.NAT), int(About.RELAY)
SALT_BITS = 16  # of an origin: what is above them is its node's (core/identity.py)

# What we chose.
RELAYS_MAX = 64
REACHING_MAX = 128  # connections that are being opened
MESSAGES_MAX = 8  # for one node that is being dialled


class Contacts:
    """Of one node."""

    def __init__(self, mesh: "Mesh") -> None:
        self._mesh = mesh
        self._relays: dict[int, Sample] = {}
        self._met: set[int] = set()  # of these, with whom there was a link
        self._tellers: dict[int, int] = {}  # and of the others, who told of them; 0: this node's own seeds
        self.teller = 0  # the neighbour whose words are being heard
        self._origins: dict[int, Sample | None] = {}  # who sends the streams that there are
        self._reaching: dict[int, dict[int, str]] = {}  # nodes being dialled: what for, by group
        self._messages: dict[int, list[MeshMessage]] = {}  # for who is being dialled
        self.excluded = BackOffs()
        self.doubted = BackOffs()  # what they say of others

    # --- who is who

    def met(self, sample: Sample) -> None:
        """There is a link with it."""
        self._is_origin(sample)
        if sample.flags & RELAY:
            self._met.add(sample.node)
            self._tellers.pop(sample.node, None)
            self._is_relay(sample)
        else:
            self._is_no_relay(sample.node)  # any more: it was started anew

    def heard_of(self, sample: Sample) -> None:
        """Others know it; what was seen at first hand stays as it is."""
        linked = self._mesh.neighbours.get(sample.node)
        self._is_origin(sample if linked is None else linked.sample)
        node = sample.node
        if not sample.flags & RELAY or self.doubted.holds(self.teller, self._mesh.now):
            return
        if node not in self._met and node != self._mesh.node:
            teller = self._tellers.get(node, self.teller)
            if teller == self.teller or (teller and teller not in self._mesh.neighbours):
                self._tellers[node] = self.teller
                self._is_relay(sample)

    def _is_origin(self, sample: Sample) -> None:
        origin = sample.node >> SALT_BITS
        if origin in self._origins:
            self._origins[origin] = sample

    def _is_relay(self, sample: Sample) -> None:
        """Where there are too many, one goes that is known by hearsay alone, or else the oldest."""
        self._relays.pop(sample.node, None)
        self._relays[sample.node] = sample
        if len(self._relays) > RELAYS_MAX:
            self._is_no_relay(self._least_known())

    def _least_known(self) -> int:
        """The oldest one of whoever told of most, but for those with whom there was a link."""
        if not self._tellers:
            return next(iter(self._relays))
        ((most, _),) = Counter(self._tellers.values()).most_common(1)
        return next(node for node in self._relays if self._tellers.get(node) == most)

    def _is_no_relay(self, node: int) -> None:
        self._relays.pop(node, None)
        self._met.discard(node)
        self._tellers.pop(node, None)

    def origin(self, key_origin: int) -> Sample | None:
        """The node that sends under that origin, if it was heard of."""
        return self._origins.get(key_origin >> SALT_BITS)

    def looks_for(self, key_origin: int) -> None:
        self._origins.setdefault(key_origin >> SALT_BITS, None)

    def looks_no_more_for(self, key_origin: int) -> None:
        if not any(other.origin >> SALT_BITS == key_origin >> SALT_BITS for other in self._mesh.feeds):
            self._origins.pop(key_origin >> SALT_BITS, None)

    @property
    def is_without_relays(self) -> bool:
        """Is none known?"""
        return not self._relays

    def known_relays(self) -> list[Sample]:
        """Nodes that say that they are, this one among them."""
        known = list(self._relays.values())
        if self._mesh.settings.relay:
            known.append(self._mesh.sample())
        return known

    def relays(self) -> list[Sample]:
        """Where groups meet; where nobody is a relay, any node that can be dialled is a place."""
        known = self.known_relays()
        if known:
            return known
        base = self._mesh.circles.get(BASE)
        if base is None or not base.active:
            return []  # not yet: alone, every node would be its own place
        near = [neighbour.sample for neighbour in base.active]
        near += [sample for sample, _ in base.passive.values()]
        near.append(self._mesh.sample())
        return [sample for sample in near if not sample.flags & NAT]

    # --- dialling

    def tell(self, sample: Sample, group: int, message: MeshMessage, now: float) -> None:
        """Says it to a node that may have to be dialled first."""
        neighbour = self._mesh.neighbours.get(sample.node)
        if neighbour:
            neighbour.idle_since = now
            neighbour.say(message, now)
        elif self.reach(sample, group, "tell", now):
            waiting = self._messages.setdefault(sample.node, [])
            waiting.append(message)
            del waiting[:-MESSAGES_MAX]

    def reach(self, sample: Sample, group: int, purpose: str, now: float) -> bool:
        """Has a link to that node, for that: at once where there is one.  False: there will be none."""
        node = sample.node
        if node == self._mesh.node or self.is_excluded(node, now):
            return False
        neighbour = self._mesh.neighbours.get(node)
        if neighbour:
            self._reached(neighbour, group, purpose, now)
            return True
        purposes = self._reaching.get(node)
        if purposes is None:
            return len(self._reaching) < REACHING_MAX and self._begin(sample, group, purpose, now)
        if purposes.get(group) in (None, "probe"):
            purposes[group] = purpose
        return True

    def _begin(self, sample: Sample, group: int, purpose: str, now: float) -> bool:
        """It is dialled, or asked to dial.  False: there is no way to it, which may be known at once."""
        if sample.flags & NAT and not self._mesh.call_back.ask(sample, group, now):
            return False
        self._reaching[sample.node] = {group: purpose}
        if not sample.flags & NAT:
            self._mesh.around.dial(sample, now)
        return sample.node in self._reaching

    def _reached(self, neighbour: Neighbour, group: int, purpose: str, now: float) -> None:
        neighbour.idle_since = now
        circle = self._mesh.circles.get(group)
        if circle is None:
            return
        if purpose == "probe":
            circle.near.measured(neighbour, now)
        elif purpose in ("neighbour", "urgent"):
            circle.ask(neighbour, purpose == "urgent", now)

    def up(self, neighbour: Neighbour, now: float) -> None:
        """There is a link to it: what was to be said is said."""
        self._mesh.call_back.came(neighbour.node)
        for message in self._messages.pop(neighbour.node, ()):
            neighbour.say(message, now)
        for group, purpose in self._reaching.pop(neighbour.node, {}).items():
            self._reached(neighbour, group, purpose, now)

    def not_reached(self, node: int) -> None:
        self._messages.pop(node, None)
        self._is_no_relay(node)
        for group in self._reaching.pop(node, {}):
            circle = self._mesh.circles.get(group)
            if circle:
                circle.forget(node)

    # --- conduct

    def is_excluded(self, node: int, now: float) -> bool:
        return self.excluded.holds(node, now)

    def exclude(self, node: int, now: float, why: str = "", name: str = "", address: str = "") -> float:
        """Not to be dealt with, for so many seconds."""
        back_off = self.excluded.begin(node, now, why, name, address)
        self.not_reached(node)  # if it is being dialled, that is for nothing
        return back_off
