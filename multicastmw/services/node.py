"""The node: the only place where the parts meet.

    control ─ snapshot
       │
TapService ── TapDestination ─┐             ┌─ Link ── PeerConnection (TCP), PeerSocket (UDP)
       │                    Router, Forwarder ─ Room ┤
    Querier                                 └─ Link ── ...
"""

import gc
import random
import resource
from contextlib import suppress
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import DeferredList

from multicastmw.config import Config
from multicastmw.core.addressing import Identity
from multicastmw.core.admission import Admission
from multicastmw.core.events import Event, Note
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.fragments import Reassembler
from multicastmw.core.identity import node_id, origin
from multicastmw.core.igmp import IgmpSettings, Querier, querier_address
from multicastmw.core.link import Datagrams, Link
from multicastmw.core.room import Here, Room
from multicastmw.core.routing import Router
from multicastmw.core.status import Status
from multicastmw.core.tap import TapDestination
from multicastmw.core.waking import Waking
from multicastmw.endpoints import dialled, is_address
from multicastmw.net.clockwork import Clockwork, asleep, monotonic
from multicastmw.net.netlink import Netlink
from multicastmw.net.routecheck import CheckingReactor, check
from multicastmw.net.udp import DataPort
from multicastmw.services.control import ControlService
from multicastmw.services.errors import CannotStart
from multicastmw.services.journal import Journal
from multicastmw.services.peers import DataPortService, DiallingService, ListeningService
from multicastmw.services.snapshot import take
from multicastmw.services.tap import TapService

# What we chose.
SPARE_DESCRIPTORS = 100  # beside two sockets a link: unopened callers, control, the TAP, the log
LINKS_LEAST = 4  # however few descriptors there are
LAST_WORDS = 0.5  # seconds that Close messages may take when the node ends


class NodeService(MultiService):
    """One node, from its configuration."""

    def __init__(self, config: Config, reactor: Any, rng: random.Random) -> None:
        super().__init__()
        self.config = config
        self.started = reactor.seconds()
        self.reactor = reactor
        self.journal = Journal(config.log.level, reactor.seconds)
        self.router = Router()
        self.credentials = self._make_credentials()
        identity = self.credentials.node if self.credentials else node_id(config.node.name)
        self.forwarder = Forwarder(
            self.router, origin(identity, rng.getrandbits(16)), self.started, self.tell
        )
        self.diallers: list[DiallingService] = []
        listen = config.listen
        # Until packets are sealed, data go inside TLS too.
        udp_port = listen.udp_port if not config.tls or config.tls.udp_in_clear else None
        here = Here(config.node.name, identity, listen.keepalive_timeout, udp_port)
        self.room = Room(
            here,
            self.router,
            self.forwarder,
            pick=rng.uniform,
            draw_token=lambda: rng.getrandbits(64),
            open_datagrams=self._open_datagrams,
            tell=self.tell,
            watcher=self,
        )
        self.room.links_max = links_allowed(self.room.links_max)
        self.data_port = self._make_data_port(udp_port)
        self._netlink = Netlink()
        self.destination = self._make_destination(identity)
        self.tap = self._make_tap()
        self.destination.igmp = self.tap.igmp_received
        # In this order they start: what another node may hold comes first, and the TAP, which programs see,
        # when nothing can fail any more.
        if config.control.socket:
            control = ControlService(config.control.socket, lambda: self.status().as_dict(), reactor)
            control.setServiceParent(self)
        if self.data_port:
            DataPortService(self.data_port).setServiceParent(self)
        self._make_peers(rng)
        self.tap.setServiceParent(self)
        self._sweeper = Clockwork(reactor, self.forwarder)
        self._turns = Clockwork(reactor, self.room.turns)
        self.room.turns.wake = self._turns.wind
        self.waking = Waking(asleep, self.room.woke, self.tell, self.started)
        self._alarm = Clockwork(reactor, self.waking)

    # --- the parts

    def _make_credentials(self) -> Any:
        tls = self.config.tls
        if tls is None:
            return None
        from multicastmw.net.tls import Credentials, Files, is_named

        try:
            files = Files(tls.certificate, tls.private_key, tls.authorities)
            credentials = Credentials(files, self._not_renewed)
        except OSError as error:
            raise CannotStart(f"[tls] {error.filename}: {error.strerror}") from error
        except ValueError as error:
            raise CannotStart(f"[tls] {error}") from error
        if not is_named(credentials.certificate, self.config.node.name):
            raise CannotStart(f"[tls] {tls.certificate} is not for this node's name, {self.config.node.name}")
        return credentials

    def _not_renewed(self, why: str) -> None:
        self.tell(Note(f"[tls] {why}; what was there before stays in use"))

    def _make_data_port(self, port: int | None) -> DataPort | None:
        if port is None:
            return None
        room = self.room
        return DataPort(port, self.reactor, self.reactor.seconds, room.by_token, room.counters, self.tell)

    def _make_destination(self, identity: int) -> TapDestination:
        config = self.config
        return TapDestination(
            config.tap.device,
            router=self.router,
            forwarder=self.forwarder,
            mapping=Identity(),
            admission=Admission(config.groups.allow, config.groups.deny),
            # Locally administered, and not the TAP's own, which the kernel would drop.
            mac=b"\x02" + (identity >> 16).to_bytes(6, "big")[:5],
            longest=0,
            ttl_floor=config.tap.ttl_floor,
            reassembler=Reassembler() if config.tap.reassemble else None,
        )

    def _make_tap(self) -> TapService:
        config = self.config
        igmp = config.igmp
        settings = IgmpSettings(
            version=igmp.version, query_interval=float(igmp.query_interval), robustness=igmp.robustness
        )
        address = querier_address(
            str(config.tap.address) if config.tap.address else None,
            str(igmp.querier_address) if igmp.querier_address else None,
        )
        hosts = [dialled(peer.endpoint).get("host", "") for peer in config.peers]
        uplinks = [host for host in hosts if is_address(host)]
        querier = Querier(settings, address)
        return TapService(
            config.tap,
            config.node.name,
            self.destination,
            querier,
            self._netlink,
            uplinks,
            self.reactor,
            self.tell,
        )

    def _make_peers(self, rng: random.Random) -> None:
        if self.config.listen.endpoint:
            listening = ListeningService(
                self.config.listen.endpoint, self.room, self.reactor, self.credentials
            )
            listening.setServiceParent(self)
        device = self.config.tap.device
        careful = CheckingReactor(self.reactor, lambda address: check(self._netlink, device, address))
        for peer in self.config.peers:
            dialler = DiallingService(peer, self.room, self.reactor, careful, rng.uniform, self.credentials)
            dialler.setServiceParent(self)
            self.diallers.append(dialler)

    # --- life

    def privilegedStartService(self) -> None:
        """Takes everything that may want privileges; what cannot be had ends the start in one line."""
        try:
            super().privilegedStartService()
        except CannotStart as error:
            raise SystemExit(f"mcmw: {error}") from error

    def startService(self) -> None:
        for warning in self.config.warnings:
            self.tell(Note(warning))
        for pin in self.config.groups.pin:
            self.destination.want(pin.group, pin.source)
        super().startService()
        self._sweeper.wind()
        self._alarm.wind()
        # What is there now stays: the collector need not look at it again (see docs/design.rst, "Garbage").
        gc.collect()
        gc.freeze()

    def stopService(self) -> Any:
        """Says Close to every peer, and goes when that is out."""
        self._sweeper.stop()
        self.room.leave(self.reactor.seconds())
        self._turns.stop()
        self._alarm.stop()
        stopped = DeferredList([super().stopService(), self._quiet()])
        return stopped.addCallback(self._stopped)

    def _quiet(self) -> Any:
        from twisted.internet.defer import Deferred

        quiet: Deferred[None] = Deferred()
        until = self.reactor.seconds() + LAST_WORDS

        def look() -> None:
            if not self.room.links or self.reactor.seconds() >= until:
                quiet.callback(None)
            else:
                self.reactor.callLater(0.01, look)

        look()
        return quiet

    def _stopped(self, _: Any) -> None:
        self._netlink.close()

    # --- what the parts ask

    def tell(self, event: Event) -> None:
        """Every event of the node passes here."""
        self.journal.tell(event)

    def link_up(self, link: Link) -> None:
        for dialler in self.diallers:
            dialler.link_up(link)

    def link_down(self, link: Link, why: str) -> None:
        for dialler in self.diallers:
            dialler.link_down(link, why)

    def _open_datagrams(self, link: Link, local: str, remote: tuple[str, int]) -> Datagrams | None:
        if self.data_port is None:
            return None
        try:
            return self.data_port.connect(local, remote)
        except OSError as error:
            self.tell(Note(f"no data on UDP with {link.name} at {remote[0]}: {error.strerror}"))
            return None

    def status(self) -> Status:
        """The one snapshot that everything shown is rendered from."""
        return take(self, self.reactor.seconds())


def links_allowed(most: int) -> int:
    """How many links of two sockets each this process can have."""
    return min(most, max(LINKS_LEAST, descriptors() // 2 - SPARE_DESCRIPTORS))


def descriptors() -> int:
    """How many descriptors this process may have, after asking for as many as it can get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def make_node(config: Config) -> NodeService:
    """The node, on the process's reactor: the one function that imports it."""
    from twisted.internet import reactor

    return NodeService(config, monotonic(reactor), random.SystemRandom())
