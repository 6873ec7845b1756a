"""What comes over shared trees, for this side: each packet leaves its envelope, and is its origin's again."""

from multicastmw.core.addressing import Channel
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.packet import Packet
from multicastmw.core.stream import Ingress
from multicastmw.wire.errors import Malformed
from multicastmw.wire.shared import opened


class Envelopes:
    """Takes them as a destination does, and hands on what is in them as if it had come over `mesh`."""

    name = "shared"
    local = True  # no hop further

    def __init__(self, forwarder: Forwarder, mesh: Ingress) -> None:
        self._forwarder = forwarder
        self._mesh = mesh

    def deliver(self, packet: Packet) -> None:
        try:
            message = opened(packet.message)
        except Malformed:
            self._forwarder.drops.malformed += 1
            return
        if message:
            self._forwarder.arrive(message, self._mesh, packet.now)
        else:
            self._forwarder.drops.hop_limit_zero += 1

    def others_changed(self, channel: Channel) -> None:
        """It asks for nothing itself."""
