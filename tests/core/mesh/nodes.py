"""Nodes of the mesh on the cables of tests/core/cable.py: links, room and router, and a Mesh beside them."""

from random import Random
from typing import Any

from multicastmw.core.mesh.destination import MeshDestination
from multicastmw.core.mesh.mesh import Mesh
from multicastmw.core.mesh.settings import Settings
from multicastmw.net.clockwork import Clockwork
from multicastmw.wire.mesh import Sample, StreamKey
from tests.core.cable import PORT, Node, World


class MeshNode(Node):
    """What services/mesh.py makes of a node."""

    def __init__(self, world: World, name: str, settings: Settings | None = None, **chosen: Any) -> None:
        super().__init__(world, name, **chosen)
        self.mesh = Mesh(
            self.id, (), settings or Settings(uplink=20_000), self, Random(world.random.random()), world.now
        )
        port = None if self.mesh.settings.nat else PORT
        self.destination = MeshDestination(
            self.router, self.forwarder, self.mesh, port, self._has_static_links, self.clock.seconds
        )
        self.room.mesh = self.destination
        self.forwarder.streams.feeder = self.destination
        if self.room.recovery:
            self.room.recovery.shared = self.mesh.may_resend
        self.clockwork = Clockwork(self.clock, self)
        self.mesh.start((), world.now)
        self.clockwork.wind()

    def deadline(self) -> float:
        return min(self.mesh.deadline(), self.destination.deadline())

    def tick(self, now: float) -> None:
        self.mesh.tick(now)
        self.destination.tick(now)
        self.room.outgoing.flush()

    # --- what the mesh has around it

    def dial(self, sample: Sample, now: float) -> None:
        """Whoever has that address, after the while that a connection takes."""
        there = {(node.address, PORT): node for node in self.world.nodes}
        found = [there[address] for address in sample.addresses if address in there]
        if found and self.reaches(found[0]):
            self.world.later(0.004, lambda: self.world.connect(self, found[0]))
        else:
            self.world.later(4.0, lambda: self.mesh.not_reached(sample.node, self.world.now))

    def reaches(self, other: Node) -> bool:
        """Is there a way to it?"""
        return True

    def wake(self, at: float) -> None:
        if hasattr(self, "clockwork"):
            self.clockwork.wind()

    def forgot(self, key: StreamKey) -> None:
        self.forwarder.streams.unfeed(*key)

    def _has_static_links(self) -> bool:
        return any(link.neighbour is None for link in self.room.by_node.values())

    # --- what a test asks

    def neighbours(self, group: int) -> set[str]:
        circle = self.mesh.circles.get(group)
        names = {node.id: node.name for node in self.world.nodes}
        return {names[each.node] for each in circle.active} if circle else set()
