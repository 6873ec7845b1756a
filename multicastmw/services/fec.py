"""Forward error correction: its life in a node, and its part of the status snapshot."""

from typing import TYPE_CHECKING

from twisted.application.service import Service

from multicastmw.core.fec.coder import BLOCK
from multicastmw.core.fec.fec import Fec
from multicastmw.core.status import FecLink, FecStatus
from multicastmw.net.clockwork import Clockwork

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService


class FecService(Service):
    """What a node has, unless [recovery] fec is off."""

    def __init__(self, node: "NodeService") -> None:
        config = node.config
        self.mode = config.recovery.fec
        self.fec = Fec(self.mode == "on", config.recovery.deadline, config.overlay.uplink)
        if node.mesh:
            self.fec.costs_changed = node.mesh.mesh.slots.changed
        self._clockwork = Clockwork(node.reactor, self.fec)
        node.room.fec = self.fec

    def startService(self) -> None:
        super().startService()
        self.fec.wake = self._clockwork.wind

    def stopService(self) -> None:
        super().stopService()
        self._clockwork.stop()

    def status(self) -> FecStatus:
        links = [
            FecLink(
                peer=link.name,
                loss=None if each.loss.share is None else round(each.loss.share, 5),
                rows=each.rows,
                rebuilds=each.rebuilder is not None,
            )
            for link, each in self.fec.protections.items()
        ]
        return FecStatus(
            mode=self.mode,
            block=BLOCK,
            links=tuple(sorted(links, key=lambda link: link.peer)),
            counters=self.fec.totals().as_dict(),
        )
