"""The session directory's life in a node: its scopes, what node.ini has announced, who looks for sessions."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from multicastmw.core.admission import Admission
from multicastmw.core.identity import node_of
from multicastmw.core.sessions.announcing import Offer
from multicastmw.core.sessions.destination import SessionsDestination
from multicastmw.core.sessions.directory import Directory
from multicastmw.core.sessions.scopes import SAP_GROUPS
from multicastmw.core.sessions.shares import NOWHERE, Home
from multicastmw.net import listeners
from multicastmw.net.clockwork import Clockwork, wall, wall_us
from multicastmw.sections import GroupsConfig, SessionConfig

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose: a player's list is to be there within 2 s of its start.
LOOK = 0.5  # seconds between two looks at who listens on this host


class SessionsService(Service):
    """One node's directory, and the clocks of its parts."""

    def __init__(self, node: "NodeService", pick: Callable[[float, float], float]) -> None:
        self._node = node
        self._reactor = node.reactor
        now = node.reactor.seconds()
        address = node.config.tap.address
        self.directory = Directory(now, node.tell, self._home_of)
        self.destination = SessionsDestination(
            router=node.router,
            forwarder=node.forwarder,
            tap=node.destination,
            admission=_admission(node.config.groups),
            directory=self.directory,
            node=node.room.here.node,
            address=int(address.ip) if address else 0,
            querier=lambda: node.tap.querier.address,
            pick=pick,
            wall_us=wall_us,
        )
        self.destination.someone_came = self._someone_came
        node.tap.igmp_heard = self.destination.igmp_heard
        self._clocks = [
            Clockwork(node.reactor, machine)
            for machine in (self.directory, self.destination.announcer, self.destination.replays)
        ]
        self.directory.changed, self.destination.announcer.wake, self.destination.replays.wake = (
            clock.wind for clock in self._clocks
        )
        self._users: dict[int, int] = {}
        self._look = LoopingCall(self._look_at_listeners)
        self._look.clock = node.reactor

    def _home_of(self, origin: int) -> Home:
        """Where an announcement comes from, as far as that cannot be invented."""
        node, here = node_of(origin), self._node.room.here.node
        if node == here:
            return Home(here, here)
        links = self._node.room.reach.links(node)
        return Home(links[0].node, node) if len(links) == 1 else NOWHERE

    # --- life

    def startService(self) -> None:
        super().startService()
        self.admit_by(self._node.config.groups)
        self.announce(self._node.config.sessions)
        self._look.start(LOOK, now=False)

    def farewell(self) -> None:
        """The node ends: what it announces is deleted, while there are links to say so."""
        self.destination.announcer.withdraw(self._reactor.seconds())

    def stopService(self) -> None:
        super().stopService()
        if self._look.running:
            self._look.stop()
        for clock in self._clocks:
            clock.stop()

    # --- what a reload changes

    def announce(self, sessions: Iterable[SessionConfig]) -> None:
        """These sections of node.ini, and no others."""
        if not self.running:
            return  # the start does it
        self.destination.offer(tuple(map(_offer, sessions)), wall(), self._reactor.seconds())

    def admit_by(self, groups: GroupsConfig) -> None:
        """Other lists of [groups]."""
        if not self.running:
            return
        self.destination.admit_by(_admission(groups), wall(), self._reactor.seconds())

    # --- who listens

    def _someone_came(self, group: int) -> None:
        if self.running:
            self.destination.announcer.again(group, self._reactor.seconds())

    def _look_at_listeners(self) -> None:
        """A program that joins as the second one of this host is told by nothing but the kernel's count."""
        self.destination.tick(self._reactor.seconds())
        tap = self._node.tap
        if not any(map(self._node.destination.wants, SAP_GROUPS)):
            self._users = {}
            return
        before, self._users = self._users, listeners.users(tap.lan.bridge or tap.config.device, SAP_GROUPS)
        for group, count in self._users.items():
            if count > before.get(group, count):
                self.destination.program_came(group, self._reactor.seconds())


def _admission(groups: GroupsConfig) -> Admission:
    return Admission(groups.allow, groups.deny)


def _offer(session: SessionConfig) -> Offer:
    return Offer(
        session.section,
        int(session.group),
        session.port,
        session.name,
        session.description,
        session.category,
        session.protocol,
    )
