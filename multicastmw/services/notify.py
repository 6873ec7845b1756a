"""Tells the service manager how the node does: when it is ready, what it does, that it lives, when it ends.

A TAP that is pending keeps nobody waiting: the node is ready when its reactor turns, for its links work, and
the status says what is missing.  The word of life is given by the reactor's own clock, so it stops when the
reactor does.
"""

import os
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from multicastmw.core import nodegroups
from multicastmw.core.dialling import State
from multicastmw.net.supervisor import supervisor

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService
    from multicastmw.services.peers import DiallingService

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
    """How it does, in one line: first what is wrong, as the end of a long line is not shown.

    Counted here, as a snapshot of thousands of groups is too dear for it.
    """
    up = len(node.room.by_node)
    down = [dialler for dialler in node.diallers if not dialler.link]
    packets = sum(route.packets for route in node.router.routes())
    device = node.tap.config.device
    wanted = len(node.router) - nodegroups.count(node.router)
    facts = [
        f"{up} of {up + len(down)} peers up{_missing(down)}", f"{_several(wanted, 'group')} wanted",
        f"{packets:,} packets", *_kernel(node),
    ]  # fmt: skip
    said = [] if node.tap.up else [f"{device} pending: {node.tap.why}"]
    if node.reloading and node.reloading.refused:
        said.append(f"node.ini is not taken: {node.reloading.refused[1]}")
    said.append(", ".join(facts))
    return "; ".join([*said, f"{device} up"] if node.tap.up else said)


def _missing(down: "list[DiallingService]") -> str:
    """The first peer that is not there, and why; one that stands by is not missed."""
    missed = [dialler for dialler in down if dialler.state is not State.STANDBY]
    if not missed:
        return ""
    first, more = missed[0], f", and {len(missed) - 1} more" if len(missed) > 1 else ""
    return f" ({first.config.name}: {first.why or 'not reached yet'}{more})"


def _kernel(node: "NodeService") -> list[str]:
    """What the kernel forwards; nothing where that is not wanted."""
    fastpath = node.fastpath
    if fastpath.on:
        return [f"{_several(len(fastpath.mirror.flows.fast()), 'route')} in the kernel"]
    return [] if fastpath.mode == "off" else [f"none in the kernel: {fastpath.why}"]


def _several(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
