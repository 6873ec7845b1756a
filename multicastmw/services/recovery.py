"""Recovery on static links: its life in a node, and its part of the status snapshot."""

from typing import TYPE_CHECKING

from twisted.application.service import Service

from multicastmw.core.recovery.recovery import Recovery
from multicastmw.core.status import RecoveryStatus
from multicastmw.net.clockwork import Clockwork

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService


class RecoveryService(Service):
    """What a node has, unless [recovery] deadline is 0; one of engine mesh for its static links."""

    def __init__(self, node: "NodeService") -> None:
        config = node.config
        wanted, uplink = config.recovery, config.overlay.uplink
        self.recovery = Recovery(wanted.deadline, wanted.hold, uplink, node.reactor.seconds())
        self.recovery.is_needed = node.fastpath.mirror.is_needed
        if node.mesh:
            self.recovery.shared = node.mesh.mesh.may_resend
        self._clockwork = Clockwork(node.reactor, self.recovery)
        node.room.recovery = node.forwarder.streams.mender = self.recovery

    def startService(self) -> None:
        super().startService()
        self.recovery.wake = self._clockwork.wind
        self._clockwork.wind()

    def stopService(self) -> None:
        super().stopService()
        self._clockwork.stop()

    def status(self) -> RecoveryStatus:
        recovery = self.recovery
        return RecoveryStatus(
            deadline=recovery.deadline_of_packets,
            partners=tuple(sorted(link.name for link in recovery.partners)),
            missing=sum(len(each.gaps.numbers) for each in recovery.repairs.values()),
            kept=sum(len(each.kept.packets) for each in recovery.repairs.values()),
            counters=recovery.totals().as_dict() | recovery.counters.as_dict(),
        )
