"""Who is dealt with: what nodes did is added up here, and who did too much is left alone for a while.

To be left alone is: no parent, no child, in no group's circle, in no sample, and what it says is not listened
to.  Its link is closed.  One that node.ini names by [peer:NAME] stays up, as the operator wants it, and
carries nothing of the mesh until the time is over; a seed's is closed as any other, and it is asked again in
its turn.

Who tells of members that are not there keeps its link and its place, and is not believed for a while: of
others that it speaks of nothing is learned, but what it answers as a relay, and that as hearsay.  It may be
the only way between two sites that do not reach each other, whose members it rightly tells of.
"""

from typing import TYPE_CHECKING

from multicastmw.core.events import LeftAlone, NotBelieved
from multicastmw.core.mesh.conduct import Records
from multicastmw.core.mesh.neighbour import Neighbour

if TYPE_CHECKING:
    from multicastmw.core.mesh.mesh import Mesh


class Standing:
    """Of all whom this node has to do with."""

    def __init__(self, mesh: "Mesh") -> None:
        self.records = Records()
        self._mesh = mesh
        self._aside: dict[int, Neighbour] = {}  # links that stay up, of who is left alone

    def nuisance(self, by: Neighbour, points: float, now: float) -> None:
        """It did what it should not; who does it again and again is left."""
        if not by.credit(points, now):
            self._leave_alone(by, "it says more than it may, or what is not true", now)

    def promised(self, by: Neighbour, points: float, now: float) -> None:
        """It kept a promise, or broke one."""
        if not self.records.credit(by.node, points, now):
            self._leave_alone(by, "it does not send what it says that it has", now)

    # --- members that somebody tells of

    def told(self, member: int, by: Neighbour) -> None:
        self.records.told(member, by.node)

    def is_there(self, member: int, is_there: bool, now: float) -> None:
        """It was dialled: did who told of it tell the truth?"""
        mesh = self._mesh
        teller = self.records.is_there(member, is_there, now)
        if teller is None:
            return
        mesh.counters.false_samples += 1
        seconds = mesh.contacts.doubted.begin(teller, now)
        by = mesh.neighbours.get(teller)
        if by is not None:
            mesh.tell(NotBelieved(by.wire.name, by.wire.address, round(seconds)))

    def is_believed(self, by: Neighbour, now: float) -> bool:
        """When it speaks of others."""
        return not self._mesh.contacts.doubted.holds(by.node, now)

    # --- leaving alone

    def _leave_alone(self, by: Neighbour, why: str, now: float) -> None:
        mesh = self._mesh
        if mesh.neighbours.get(by.node) is not by:
            return
        mesh.counters.left_for_conduct += 1
        self.records.served(by.node, now)
        back_off = mesh.contacts.exclude(by.node, now, why, by.wire.name, by.wire.address)
        mesh.tell(LeftAlone(by.wire.name, by.wire.address, why, round(back_off)))
        if by.wire.is_named:
            self._aside[by.node] = by
            mesh.link_down(by, now)
        else:
            by.wire.hang_up("it does not do what it says", now)

    def is_left_alone(self, by: Neighbour, now: float) -> bool:
        """A link with it has come up; it takes the place of an older one."""
        self._aside.pop(by.node, None)
        if not self._mesh.contacts.is_excluded(by.node, now):
            return False
        if by.wire.is_named:
            self._aside[by.node] = by
        else:
            by.wire.hang_up("it is not dealt with for a while", now)
        return True

    def of(self, node: int) -> Neighbour | None:
        """Who is left alone, and has a link all the same."""
        return self._aside.get(node)

    def is_gone(self, by: Neighbour) -> None:
        if self._aside.get(by.node) is by:
            del self._aside[by.node]

    def tidy(self, now: float) -> None:
        """Whose time is over is a neighbour again."""
        contacts = self._mesh.contacts
        for node in [node for node in self._aside if not contacts.is_excluded(node, now)]:
            self._mesh.welcome(self._aside.pop(node), now)
