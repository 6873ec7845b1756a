"""Tells the service manager how the node does: when it is ready, what it does, that it lives, when it ends.

A TAP that is pending keeps nobody waiting: the node is ready when its reactor turns, for its links work, and
the status says what is missing.  The word of life is given by the reactor's own clock, so it stops when the
reactor does.
"""

import os
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from multicastmw.net.supervisor import supervisor

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose.
STATUS_EVERY = 5.0  # seconds between two looks at what the status says; a manager tells every change on


class NotifyService(Service):
    """Does nothing where no service manager waits for a word (NOTIFY_SOCKET)."""

    def __init__(self, node: "NodeService") -> None:
        self._node = node
        self._supervisor = supervisor({})
        self._looks = LoopingCall(self._look)
        self._beats = LoopingCall(self._beat)
        self._looks.clock = self._beats.clock = node.reactor

    def startService(self) -> None:
        super().startService()
        self._supervisor = supervisor(os.environ)  # here, as this process is the one that stays
        if self._supervisor:
            self._node.reactor.callWhenRunning(self._begin)

    def reloading(self) -> None:
        """A reload begins; `reloaded` says that it is over, whatever came of it."""
        if self._supervisor:
            self._supervisor.reloading(self._node.reactor.seconds())

    def reloaded(self) -> None:
        if self._supervisor:
            self._supervisor.ready(line(self._node))

    def stopService(self) -> None:
        super().stopService()
        for call in (self._looks, self._beats):
            if call.running:
                call.stop()
        if self._supervisor:
            self._supervisor.stopping()
            self._supervisor.close()
            self._supervisor = None

    def _begin(self) -> None:
        if self._supervisor is None:
            return
        self._supervisor.ready(line(self._node))
        self._looks.start(STATUS_EVERY, now=False)
        if self._supervisor.watchdog:
            self._beats.start(self._supervisor.watchdog / 2)

    def _look(self) -> None:
        if self._supervisor:
            self._supervisor.status(line(self._node))

    def _beat(self) -> None:
        if self._supervisor:
            self._supervisor.alive()


def line(node: "NodeService") -> str:
    """The snapshot in one line; counted here, as a snapshot of thousands of groups is too dear for it."""
    up = len(node.room.by_node)
    peers = up + sum(1 for dialler in node.diallers if not dialler.link)
    packets = sum(route.packets for route in node.router.routes())
    tap = (
        f"{node.tap.config.device} up" if node.tap.up else f"{node.tap.config.device} pending: {node.tap.why}"
    )
    return f"{up} of {peers} peers up, {len(node.router)} groups wanted, {packets:,} packets; {tap}"
