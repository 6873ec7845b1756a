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
    """What a node has for [recovery] fec, which may be switched under way."""

    def __init__(self, node: "NodeService") -> None:
        config = node.config
        self.fec = Fec(False, config.recovery.deadline, config.overlay.uplink)
        self.fec.tell = node.tell
        if node.mesh:
            self.fec.costs_changed = node.mesh.mesh.slots.changed
        self._reactor = node.reactor
        self._room = node.room
        self._clockwork = Clockwork(node.reactor, self.fec)
        self.run_as(config.recovery.fec)

    def run_as(self, mode: str) -> None:
        """off, auto or on from now on: every peer is told, and the kernel takes the links that it may."""
        now = self._reactor.seconds()
        self.mode = mode
        self._room.fec = None if mode == "off" else self.fec
        for link in list(self._room.links):
            link.settle_correction(now)
        self.fec.always_is(mode == "on", now)  # of links that have it still

    def startService(self) -> None:
        super().startService()
        self.fec.wake = self._clockwork.wind

    def stopService(self) -> None:
        super().stopService()
        self._clockwork.stop()

    def status(self) -> FecStatus | None:
        """None where it is off."""
        if self.mode == "off":
            return None
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
