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
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import DeferredList, maybeDeferred
from twisted.python.failure import Failure

from multicastmw.config import Config
from multicastmw.core.addressing import Identity
from multicastmw.core.admission import Admission
from multicastmw.core.copies import SECRET_SIZE, Copies
from multicastmw.core.dialling import Backoff
from multicastmw.core.events import Event, Note, Renewed
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.fragments import Reassembler
from multicastmw.core.identity import node_id, origin
from multicastmw.core.igmp import IgmpSettings, Querier, querier_address
from multicastmw.core.link import Link
from multicastmw.core.rates import Meter, Metering
from multicastmw.core.room import Here, Room
from multicastmw.core.routing import Route, Router
from multicastmw.core.status import Status
from multicastmw.core.tap import TapDestination, mac_of
from multicastmw.core.turns import Worker
from multicastmw.core.waking import Waking
from multicastmw.core.ways import Datagrams
from multicastmw.endpoints import dialled, is_address, is_same_port
from multicastmw.net import privileges
from multicastmw.net.clockwork import Clockwork, asleep, clock_ahead, monotonic, wall
from multicastmw.net.mistakes import Mistakes
from multicastmw.net.netlink import Netlink
from multicastmw.net.routecheck import CheckingReactor, check
from multicastmw.net.udp import DataPort
from multicastmw.sections import PeerConfig
from multicastmw.services.capture import CaptureService
from multicastmw.services.certificate import CertificateService
from multicastmw.services.changes import Change, Effect
from multicastmw.services.control import ControlService
from multicastmw.services.errors import CannotStart
from multicastmw.services.fastpath import FastPathService
from multicastmw.services.fec import FecService
from multicastmw.services.health import HealthService
from multicastmw.services.journal import Journal
from multicastmw.services.lan import LanGateway
from multicastmw.services.manhole import ManholeService, namespace
from multicastmw.services.mesh import MeshService
from multicastmw.services.notify import NotifyService
from multicastmw.services.peers import DataPortService, Diallers, DiallingService, ListeningService
from multicastmw.services.probing import ProbingService
from multicastmw.services.recovery import RecoveryService
from multicastmw.services.reload import ReloadService
from multicastmw.services.sessions import SessionsService
from multicastmw.services.snapshot import Snapshots
from multicastmw.services.steering import Steering
from multicastmw.services.tap import TapService
from multicastmw.services.web import WebService
from multicastmw.wire.cops import Code

LOW_PORTS = 1024  # below it, binding takes a capability

# What we chose.
SPARE_DESCRIPTORS = 100  # beside two sockets a link: unopened callers, control, the TAP, the log
LINKS_LEAST = 4  # however few descriptors there are
LAST_WORDS = 0.5  # seconds that Close messages may take when the node ends


class NodeService(MultiService):
    """One node, from its configuration."""

    def __init__(self, config: Config, reactor: Any, rng: random.Random, path: str | None = None) -> None:
        """`path` is the file that `config` was read from, if it may be read again."""
        super().__init__()
        self.config = config
        self.started = reactor.seconds()
        self.reactor = reactor
        self._rng = rng
        self.journal = Journal(config.log.level, reactor.seconds)
        self.router = Router()
        self.owner: tuple[int, int] | None = None  # the user and group that twistd makes of root
        self.credentials = self.read_credentials(config)
        self.certificate = self._make_certificate_watch()
        self.reloading = ReloadService(path, self, reactor) if path else None
        self.listening: ListeningService | None = None
        identity = self.credentials.node if self.credentials else node_id(config.node.name)
        self.forwarder = Forwarder(
            self.router, origin(identity, rng.getrandbits(16)), self.started, self.tell
        )
        self.diallers = Diallers()
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
            watcher=self.diallers,
        )
        self.room.links_max = links_allowed(self.room.links_max)
        self.mesh = MeshService(self, identity, rng) if config.overlay.engine == "mesh" else None
        self.data_port = self._make_data_port(udp_port)
        self._netlink = Netlink()
        self.destination = self._make_destination(identity)
        self.tap = self._make_tap(identity)
        self.destination.igmp = self.tap.igmp_received
        self.copies = self._make_copies()
        self.fastpath = FastPathService(self, config.fastpath.mode)
        self.recovery = RecoveryService(self) if config.recovery.deadline else None
        self.fec = FecService(self)
        self._make_inmates()
        if self.reloading:
            self.reloading.setServiceParent(self)
        # In this order they start: what another node may hold comes first, and the TAP, which programs see,
        # when nothing can fail any more.
        self._add_doors()
        if self.data_port:
            DataPortService(self.data_port).setServiceParent(self)
        self._make_peers()
        if self.certificate:
            self.certificate.setServiceParent(self)
        self.tap.setServiceParent(self)
        self.fastpath.setServiceParent(self)
        if self.recovery:  # of static links; between neighbours the mesh itself sends again
            self.recovery.setServiceParent(self)
        self.fec.setServiceParent(self)
        for inmate in (self.sessions, self.health, self.probing, self.captures):
            inmate.setServiceParent(self)
        self.notify = NotifyService(self)
        self.notify.setServiceParent(self)
        self._make_clocks()

    # --- the parts

    def _make_inmates(self) -> None:
        """Who wants streams, or looks at them, in this process."""
        self.sessions = SessionsService(self, self._rng.uniform)
        self.health = HealthService(self)
        self.snapshots = Snapshots(self)
        self.probing = ProbingService(self, self._rng.uniform, lambda: self._rng.getrandbits(32))
        self.captures = CaptureService(self)
        self.web = WebService(self.config.web, self)

    def _add_doors(self) -> None:
        """Where people come in."""
        config = self.config
        if config.control.socket:
            self._make_control(config.control.socket).setServiceParent(self)
        if config.manhole.endpoint:
            manhole = ManholeService(config.manhole, lambda: namespace(self), self.reactor, self.tell)
            manhole.setServiceParent(self)
        self.web.setServiceParent(self)

    def _make_control(self, path: str) -> ControlService:
        actions: dict[str, Callable[[], Any]] = {
            "fastpath/on": lambda: self.fastpath.switch(True),
            "fastpath/off": lambda: self.fastpath.switch(False),
        }
        if self.reloading:
            actions["reload"] = self.reloading.reload
        return ControlService(
            path, lambda: vars(self.status()), self.reactor, actions, self.journal.recent,
            {**Steering(self).actions(), **self.health.actions()}, {"web": self.web.document},
            lambda: self.probing.leaves() | self.captures.leaves(),
        )  # fmt: skip

    def read_credentials(self, config: Config) -> Any:
        """What [tls] names, None without; raises CannotStart."""
        tls = config.tls
        if tls is None:
            return None
        from multicastmw.net.tls import Credentials, Files

        try:
            files = Files(tls.certificate, tls.private_key, tls.authorities)
            credentials = Credentials(files, self._not_renewed, self._renewed)
            credentials.claim(self.config.node.name)
        except OSError as error:
            raise CannotStart(f"[tls] {error.filename}: {error.strerror}") from error
        except ValueError as error:
            raise CannotStart(f"[tls] {error}") from error
        return credentials

    def _renewed(self, certificate: Any) -> None:
        assert self.config.tls
        self.tell(
            Renewed(self.config.tls.certificate, f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
        )

    def _not_renewed(self, why: str) -> None:
        self.tell(Note(f"[tls] {why}; what was there before stays in use"))

    def _make_certificate_watch(self) -> CertificateService | None:
        return (
            CertificateService(self.credentials, self.tell, self.reactor, wall) if self.credentials else None
        )

    def _make_data_port(self, port: int | None) -> DataPort | None:
        if port is None:
            return None
        room = self.room
        return DataPort(
            port,
            self.reactor,
            self.reactor.seconds,
            room.by_token,
            room.counters,
            room.outgoing.flush,
            self.tell,
        )

    def _make_destination(self, identity: int) -> TapDestination:
        config = self.config
        destination = TapDestination(
            config.tap.device,
            router=self.router,
            forwarder=self.forwarder,
            mapping=Identity(),
            admission=Admission(config.groups.allow, config.groups.deny),
            mac=mac_of(identity),  # not the TAP's own, which the kernel would drop
            longest=0,
            ttl_floor=config.tap.ttl_floor,
            reassembler=Reassembler() if config.tap.reassemble else None,
        )
        destination.done = self.room.outgoing.flush
        return destination

    def _make_copies(self) -> Copies:
        secret = self._rng.getrandbits(8 * SECRET_SIZE).to_bytes(SECRET_SIZE, "big")
        copies = Copies(self.router, self.forwarder.origin, self.destination, secret)
        self.destination.copied = copies.accept
        self.destination.began, self.destination.ended = copies.begin, copies.end
        return copies

    def _make_clocks(self) -> None:
        """What is wound by the reactor's clock, but for what a service of its own winds."""
        self._sweeper = Clockwork(self.reactor, self.forwarder.streams)
        self._turns = Clockwork(self.reactor, self.room.turns)
        self.room.turns.wake = self._turns.wind
        self.room.turns.failed = self._failed
        self.mistakes = Mistakes("the work of a turn")
        self.waking = Waking(asleep, self.room.woke, self.tell, self.started, lambda: clock_ahead() / 1e9)
        self._alarm = Clockwork(self.reactor, self.waking)
        self.link_rates: Meter[Link] = Meter(self._counted_links, 2)
        self.route_rates: Meter[Route] = Meter(self._counted_routes, 2)
        meters = (self.link_rates, self.route_rates)
        self._metering = Clockwork(self.reactor, Metering(self.started, meters, self.fastpath.refresh))

    def igmp_settings(self) -> tuple[IgmpSettings, int]:
        """How the querier asks, and from which address."""
        tap, igmp = self.config.tap, self.config.igmp
        settings = IgmpSettings(
            version=igmp.version, query_interval=float(igmp.query_interval), robustness=igmp.robustness
        )
        address = querier_address(
            str(tap.address) if tap.address else None,
            str(igmp.querier_address) if igmp.querier_address else None,
        )
        return settings, address

    def _make_tap(self, identity: int) -> TapService:
        config = self.config
        hosts = [dialled(peer.endpoint).get("host", "") for peer in config.peers]
        uplinks = [host for host in hosts if is_address(host)]
        settings, address = self.igmp_settings()
        querier = Querier(settings, address)
        lan = LanGateway(
            config.tap,
            identity,
            self._rng.getrandbits(32),
            address,
            self.destination,
            self.room.reach,
            self._netlink,
            self.reactor,
            self.tell,
        )
        return TapService(
            config.tap,
            config.node.name,
            self.destination,
            querier,
            lan,
            self._netlink,
            uplinks,
            self.reactor,
            self.tell,
        )

    def _make_peers(self) -> None:
        if self.config.listen.endpoint:
            self._listen(self.config.listen.endpoint)
        device = self.config.tap.device
        self._careful = CheckingReactor(self.reactor, lambda address: check(self._netlink, device, address))
        if self.mesh:
            self.mesh.dial_reactor = self._careful
            self.mesh.setServiceParent(self)
        for peer in self.config.peers:
            self.dial(peer)

    # --- what a reload changes

    def dial(self, peer: PeerConfig) -> None:
        """From now on, if the node runs."""
        dialler = DiallingService(
            peer, self.diallers, self.room, self.reactor, self._careful, self._rng.uniform, self.credentials
        )
        self.diallers.add(dialler)
        self.journal.sections.add(peer.name)
        dialler.setServiceParent(self)

    def undial(self, name: str) -> list[Link]:
        """No more; closes the links that were dialled for this [peer:NAME] and gives them.

        One that the peer dialled stays: it would be back at once.
        """
        self.journal.sections.discard(name)
        for dialler in self.diallers:
            if dialler.config.name == name:
                self.diallers.remove(dialler)
                dialler.disownServiceParent()
        links = [link for link in self.room.links if link.section == name]
        for link in links:
            why = "node.ini has it no longer, or elsewhere"
            link.leave(Code.SHUTTING_DOWN, 0, why, self.reactor.seconds())
        return links

    def _listen(self, endpoint: str, backoff: Backoff | None = None) -> None:
        listening = ListeningService(endpoint, self.room, self.reactor, self.credentials, backoff)
        try:
            listening.setServiceParent(self)
        except CannotStart:
            listening.disownServiceParent()
            raise
        self.listening = listening

    async def listen_at(self, endpoint: str | None) -> None:
        """There and no longer where it was; raises CannotStart, and then it is, or comes to be, as before.

        The new port is open before the old one closes, unless they are one at another address.
        """
        before = self.listening
        if before and endpoint and is_same_port(before.endpoint, endpoint):
            self.listening = None
            await maybeDeferred(before.disownServiceParent)
            try:
                self._listen(endpoint)
            except CannotStart as error:
                why = self._listen_again(before.endpoint)
                raise CannotStart(f"{error}{why}") from error
            return
        self.listening = None
        try:
            if endpoint:
                self._listen(endpoint)
        except CannotStart:
            self.listening = before
            raise
        if before:
            await maybeDeferred(before.disownServiceParent)

    def _listen_again(self, endpoint: str) -> str:
        """Where it was until just now; what is to be said where another program was quicker."""
        self._listen(endpoint, Backoff(self.reactor.seconds(), self._rng.uniform))
        if self.listening and self.listening.why:
            return f"; nor can {endpoint} be had again at once, which is tried on"
        return ""

    def look_at_certificate(self) -> tuple[Change, ...]:
        """Takes what is new on disk; gives that as a reload tells it."""
        if not self.certificate:
            return ()
        before = self.certificate.valid_until
        if not self.certificate.look():
            return ()
        until = f"good until {before}", f"good until {self.certificate.valid_until}"
        return (Change("tls", "certificate", *until, Effect.APPLIED, "for links made from now on"),)

    def certificate_warnings(self) -> tuple[str, ...]:
        return self.certificate.warnings() if self.certificate else ()

    # --- life

    def privilegedStartService(self) -> None:
        """Takes everything that may want privileges; what cannot be had ends the start in one line."""
        try:
            super().privilegedStartService()
        except CannotStart as error:
            raise SystemExit(f"mcmw: {error}") from error
        if self.owner:
            for service in self:
                if give_to := getattr(service, "give_to", None):
                    give_to(*self.owner)
            privileges.hold()

    def startService(self) -> None:
        if self.owner:
            privileges.reduce_to(*self._needed())
        for warning in self.config.warnings:
            self.warn(warning)
        for pin in self.config.groups.pin:
            self.destination.want(pin.group, pin.source)
        super().startService()
        self._sweeper.wind()
        self._alarm.wind()
        self._metering.wind()
        # What is there now stays: the collector need not look at it again (see docs/design.rst, "Garbage").
        gc.collect()
        gc.freeze()

    def _needed(self) -> list[int]:
        """What the work of a node takes; see net/privileges.py."""
        port = self.config.listen.udp_port
        low = [privileges.CAP_NET_BIND_SERVICE] if port and port < LOW_PORTS else []
        return [privileges.CAP_NET_ADMIN, *low]

    def stopService(self) -> Any:
        """Says Close to every peer, and goes when that is out."""
        self.sessions.farewell()
        self._sweeper.stop()
        self.room.leave(self.reactor.seconds())
        self._turns.stop()
        self._alarm.stop()
        self._metering.stop()
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

    def warn(self, what: str) -> None:
        self.tell(Note(what))

    def _failed(self, worker: Worker, error: Exception) -> None:
        """Somebody's turn ended in an exception; a link goes, as it would for one in what it is read."""
        self.mistakes.tell(Failure(error))
        if isinstance(worker, Link):
            worker.broke()

    def _counted_links(self) -> list[tuple[Link, tuple[int, ...]]]:
        links = self.room.by_node.values()
        return [(link, (link.all_sent_bytes, link.counters.received_bytes)) for link in links]

    def _counted_routes(self) -> list[tuple[Route, tuple[int, ...]]]:
        return [(route, (route.packets, route.bytes)) for route in self.router.routes()]

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
        self.fastpath.refresh()
        return self.snapshots.take(self.reactor.seconds())


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


def make_node(config: Config, path: str) -> NodeService:
    """The node of this file, on the process's reactor: the one function that imports it."""
    from twisted.internet import reactor

    return NodeService(config, monotonic(reactor), random.SystemRandom(), path)
