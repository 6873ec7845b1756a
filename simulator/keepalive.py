"""What the mesh is compared with: a tree whose links are watched by keep-alives alone.

Nothing is sent again here, where `deadline` is 0.

The same nodes, trees and troubles, but a dead parent is noticed when its link has been silent for three
seconds, as in daemons that ask once a second and wait for three answers.
"""

from typing import ClassVar

from multicastmw.core.mesh.feed import Feed
from multicastmw.core.mesh.mesh import Mesh
from multicastmw.core.mesh.silence import Silence
from simulator.node import Node

SILENT = 2.0, 3.0  # seconds: the last answer came up to one before the death


class PatientSilence(Silence):
    """It looks for another parent when the link to its own is gone, and at no other time."""

    def silent(self, now: float) -> None:
        pass

    def _is_silent(self, now: float) -> None:
        pass

    def _look_further(self, now: float) -> None:
        if self._upstream.parent is None:
            super()._look_further(now)


class PatientMesh(Mesh):
    """One node's."""

    def _enter(self, feed: Feed) -> Feed:
        feed.upstream.silence = PatientSilence(feed.upstream, feed, self.now)
        return super()._enter(feed)


class PatientNode(Node):
    """One of the nodes."""

    kind: ClassVar[type[Mesh]] = PatientMesh
