"""Whom the node talks to: one service listens, and one a [peer:NAME] dials, for ever."""

from collections.abc import Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, clientFromString, serverFromString
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from multicastmw.core.dialling import DIAL_TIMEOUT, Backoff, Dialler, State
from multicastmw.core.events import ListensAgain, Note, PeerUnreachable, StandsBy
from multicastmw.core.identity import node_id
from multicastmw.core.link import Link
from multicastmw.core.liveness import Pick
from multicastmw.core.room import Room
from multicastmw.endpoints import dialled
from multicastmw.net.clockwork import Clockwork
from multicastmw.net.tcp import PeerConnection, SecurePeerConnection, numeric
from multicastmw.net.udp import DataPort
from multicastmw.sections import PeerConfig
from multicastmw.services.errors import CannotStart
from multicastmw.wire.cops import Code, Unable
from multicastmw.wire.messages import Close, encode

# What we chose.
NO_ANSWER = f"no answer within {DIAL_TIMEOUT:.0f} s"
ACCEPTS = 8  # callers of one wake-up: a flood of them leaves the packets their turn (1 to 2 ms)


class Accepting(Factory):
    """Connections that peers dialled."""

    noisy = False

    def logPrefix(self) -> str:
        return "links"

    def __init__(self, room: Room, reactor: Any, connection: type[PeerConnection]) -> None:
        self._room = room
        self._reactor = reactor
        self._connection = connection

    def buildProtocol(self, address: Any) -> PeerConnection:
        return self._connection(self._reactor, self._link, lambda why: None)

    def turns_away(self, address: Any) -> bool:
        """Is a caller from there one too many?  Asked before TLS is begun with, which costs more."""
        return self._room.turns_away(numeric(address))

    def _link(self, connection: PeerConnection) -> Link | None:
        if self._room.turns_away(connection.address):
            connection.write(encode(Close(Code.UNABLE, Unable.TOO_MANY)))
            return None
        return entered(self._room, connection, None, self._reactor.seconds())


def entered(room: Room, connection: PeerConnection, section: str | None, now: float) -> Link:
    link = Link(room, connection, section, now)
    room.enter(link)
    return link


class DataPortService(Service):
    """Holds the data port.  Raises CannotStart where it is another's."""

    def __init__(self, port: DataPort) -> None:
        self.port = port

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        try:
            self.port.open()
        except OSError as error:
            raise CannotStart(f"[listen] udp-port: {self.port.port}: {error.strerror}") from error

    def give_to(self, uid: int, gid: int) -> None:
        self.port.give_to(uid, gid)

    def stopService(self) -> None:
        super().stopService()
        self.port.close()


class ListeningService(Service):
    """Takes what peers dial.  Raises CannotStart where the endpoint cannot be had.

    With a `backoff` it is tried again and again instead, and `why` says why it is not there yet.
    """

    def __init__(
        self,
        endpoint: str,
        room: Room,
        reactor: Any,
        credentials: Any = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.why = ""
        self._backoff = backoff
        self._retry: IDelayedCall | None = None
        self._credentials = credentials
        self._room = room
        self._reactor = reactor
        self._port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        if not (why := self._listen()):
            return
        if not self._backoff:
            raise CannotStart(why)
        self._try_later(why, self._backoff)

    def _try_later(self, why: str, backoff: Backoff) -> None:
        self.why = f"{why}; this node listens nowhere, and tries that again"
        self._room.tell(Note(self.why))
        self._retry = self._reactor.callLater(backoff.wait(self._reactor.seconds()), self._try, backoff)

    def _try(self, backoff: Backoff) -> None:
        self._retry = None
        if why := self._listen():
            self._try_later(why, backoff)
        else:
            self.why = ""
            self._room.tell(ListensAgain(self.endpoint))

    def _listen(self) -> str:
        """Empty where it listens now, else why it does not."""
        failures: list[Failure] = []
        accepting: Any = Accepting(self._room, self._reactor, connection_kind(self._credentials))
        if self._credentials:
            from multicastmw.net import tls

            accepting = tls.accepting(self._credentials, accepting, accepting.turns_away)
        listening = serverFromString(self._reactor, self.endpoint).listen(accepting)
        listening.addCallbacks(self._listens, failures.append)
        return f"[listen] endpoint: {self.endpoint}: {reason(failures[0])}" if failures else ""

    def _listens(self, port: IListeningPort) -> None:
        self._port = port
        _in_small_batches(port)

    def stopService(self) -> Any:
        super().stopService()
        if self._retry:
            self._retry.cancel()
            self._retry = None
        return self._port.stopListening() if self._port else None


class Diallers:
    """All [peer:NAME], also by the node that each was last seen to be: many may be gone at once."""

    def __init__(self) -> None:
        self._all: dict[DiallingService, None] = {}
        self._by_node: dict[int, dict[DiallingService, None]] = {}

    def __iter__(self) -> "Iterator[DiallingService]":
        """Those of now: they may come and go meanwhile."""
        return iter(list(self._all))

    def add(self, dialler: "DiallingService") -> None:
        self._all[dialler] = None
        self.is_known(dialler)

    def remove(self, dialler: "DiallingService") -> None:
        del self._all[dialler]
        self.is_unknown(dialler)

    def is_known(self, dialler: "DiallingService") -> None:
        """As `dialler.node`, from now on."""
        if dialler in self._all:
            self._by_node.setdefault(dialler.node, {})[dialler] = None

    def is_unknown(self, dialler: "DiallingService") -> None:
        known = self._by_node.get(dialler.node, {})
        known.pop(dialler, None)
        if not known:
            self._by_node.pop(dialler.node, None)

    # --- what the room tells

    def link_up(self, link: Link) -> None:
        for dialler in self:
            dialler.link_up(link)

    def link_down(self, link: Link, why: str) -> None:
        for dialler in self:
            dialler.link_down(link, why)

    def node_gone(self, node: int) -> None:
        for dialler in list(self._by_node.get(node, ())):
            dialler.node_gone()


class DiallingService(Service):
    """One [peer:NAME]: dialled until it is up, and again when it is down (see core/dialling.py).

    While the peer is up over a link that it dialled itself, this side waits.
    """

    def __init__(
        self,
        config: PeerConfig,
        diallers: Diallers,
        room: Room,
        reactor: Any,
        dial_reactor: Any,
        pick: Pick,
        credentials: Any = None,
    ) -> None:
        self.config = config
        self.dialler = Dialler(reactor.seconds(), pick)
        self.link: Link | None = None
        # With TLS its id is that of a key, which may change; but then the name of a link is proved.
        self.node = node_id(config.name)
        self._diallers = diallers
        self._is_proved = credentials is not None
        self._room = room
        self._reactor = reactor
        self._endpoint = secured(_endpoint(dial_reactor, config.endpoint), credentials)
        self._kind = connection_kind(credentials)
        self._attempt: Deferred[Any] | None = None
        self._connection: PeerConnection | None = None  # of the latest attempt
        self._attempted: Link | None = None  # the link of that connection
        self._clockwork = Clockwork(reactor, self)

    @property
    def state(self) -> State:
        return self.dialler.state

    @property
    def why(self) -> str:
        """Why it is not up."""
        return self.dialler.why

    def startService(self) -> None:
        super().startService()
        self._clockwork = Clockwork(self._reactor, self)
        self.tick(self._reactor.seconds())
        self._clockwork.wind()

    def stopService(self) -> None:
        super().stopService()
        self._clockwork.stop()
        if self._attempt:
            self._attempt.cancel()

    def deadline(self) -> float:
        return self.dialler.deadline()

    def tick(self, now: float) -> None:
        if self.dialler.tick(now):
            self._dial(now)

    def _dial(self, now: float) -> None:
        present = next(filter(self._is_ours, self._room.by_node.values()), None)
        if present:
            self.link = present
            self.dialler.up(now)
            return
        self._connection = self._attempted = None
        factory = Factory.forProtocol(self._make_connection)
        factory.noisy = False
        self._attempt = self._endpoint.connect(factory)
        self._attempt.addTimeout(DIAL_TIMEOUT, self._reactor)
        self._attempt.addCallbacks(self._connected, self._failed)

    def _make_connection(self) -> PeerConnection:
        connection = self._kind(self._reactor, self._link, lambda why: self._gone(connection, why))
        self._connection = connection
        return connection

    def _link(self, connection: PeerConnection) -> Link:
        self._attempted = entered(self._room, connection, self.config.name, self._reactor.seconds())
        return self._attempted

    def _connected(self, _: Any) -> None:
        self._attempt = None

    def _failed(self, failure: Failure) -> None:
        self._attempt = None
        if self.running and self.state is State.DIALLING:  # and not up meanwhile, as the peer dialled
            self._not_reached(reason(failure))

    def _gone(self, connection: PeerConnection, why: str) -> None:
        """A connection that was made is over; if its link was up, `link_down` has been told."""
        if connection is not self._connection or not self.running or self.state is not State.DIALLING:
            return
        link = self._attempted
        if link and link.closes_cycle:
            self._refused(link, why)
        else:
            self._not_reached(why, link is not None and link.is_taken)

    def _not_reached(self, why: str, is_taken: bool = False) -> None:
        now = self._reactor.seconds()
        self._room.tell(PeerUnreachable(self.config.name, self.config.endpoint, why))
        if is_taken:
            self.dialler.taken(why, now, now)
        else:
            self.dialler.failed(why, now)
        self._clockwork.wind()

    def _refused(self, link: Link, why: str) -> None:
        """By either side, for a cycle: a standby, unless only the peer sees one."""
        now = self._reactor.seconds()
        self._is_node(link.node or self.node)
        is_reached = bool(self._room.reach.links(self.node))
        unseen = link.reaches_us and not is_reached
        if unseen and self.dialler.is_elsewhere(link.longest_patience, now):
            self._room.is_elsewhere(link, now)
            self.dialler.taken(why, now, now)
        elif self.dialler.refused(why, link.was_up, is_reached, now):
            self._room.tell(StandsBy(self.config.name, why))
        self._clockwork.wind()

    def _is_ours(self, link: Link) -> bool:
        """Is this link with our peer, whoever dialled it?"""
        return link.node == self.node or (self._is_proved and link.name == self.config.name)

    def _is_node(self, node: int) -> None:
        """The peer has shown its id."""
        if node != self.node:
            self._diallers.is_unknown(self)
            self.node = node
            self._diallers.is_known(self)

    # --- what the room tells

    def link_up(self, link: Link) -> None:
        """Any link is up; is it with this peer?"""
        if link.section == self.config.name:
            self._is_node(link.node)
        elif not self._is_ours(link):
            return
        self.link = link
        self.dialler.up(self._reactor.seconds())

    def link_down(self, link: Link, why: str) -> None:
        """A link that was up is down."""
        if link is not self.link:
            return
        self.link = None
        if not self.running:
            return
        if link.closes_cycle:
            self._refused(link, why)
            return
        ended = self.dialler.taken if link.is_taken else self.dialler.down
        ended(why, link.since, self._reactor.seconds())
        self._clockwork.wind()

    def node_gone(self) -> None:
        """No link leads to this peer any more: if it stands by, it takes over."""
        if self.state is State.STANDBY:
            self.dialler.lost_reach(self._reactor.seconds())
            self._clockwork.wind()


def _in_small_batches(port: Any) -> None:
    """Twisted accepts up to 100 callers at once, and 20 more each time that there were so many."""
    if not hasattr(port, "numberAccepts"):
        return
    accept = port.doRead

    def accept_a_few() -> None:
        port.numberAccepts = ACCEPTS
        accept()

    port.doRead = accept_a_few


def connection_kind(credentials: Any) -> type[PeerConnection]:
    return SecurePeerConnection if credentials else PeerConnection


def secured(endpoint: Any, credentials: Any) -> Any:
    """The same endpoint to dial, inside TLS where there are credentials."""
    if not credentials:
        return endpoint
    from multicastmw.net import tls

    return tls.dialling(credentials, endpoint)


def _endpoint(reactor: Any, text: str) -> Any:
    """The endpoint of a text; one of TCP takes names of either IP version, as Twisted's own does not."""
    given = dialled(text)
    if not given:
        return clientFromString(reactor, text)
    local = given.get("bindAddress")
    return HostnameEndpoint(
        reactor, given["host"], int(given["port"]), DIAL_TIMEOUT, (local.encode(), 0) if local else None
    )


def reason(failure: Failure) -> str:
    """Why a dial or a port failed, without Twisted's decoration."""
    if failure.check(CancelledError, ConnectingCancelledError, ConnectTimeout):
        return NO_ANSWER
    if failure.check(DNSLookupError):
        return "DNS lookup failed: that name has no address"
    error = failure.value
    if isinstance(error, ConnectError) and error.args and error.args[0]:
        first = error.args[0]
        return NO_ANSWER if isinstance(first, Failure) else str(first)  # of a socket that hung up
    inner = getattr(error, "socketError", None)  # of a CannotListenError
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return failure.getErrorMessage().rstrip(".")
