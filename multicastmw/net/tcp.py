"""A link's TCP connection, on both sides: Twisted's protocol, as thin as it can be."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from multicastmw.net.clockwork import Clockwork

# What we chose: unsent bytes that the kernel may hold, and as many that may wait here for it.  Control is
# behind them, and data are older by them than the link's queue lets them be: 0.13 s at 2 Mbit/s.
UNSENT = 16 << 10
TCP_NOTSENT_LOWAT = 25
SLACK = 1 / 16  # seconds that a far deadline may ring late, together with those of other links


class LinkMachine(Protocol):
    """A link, as its connection sees it; `why` it is over it knows itself, or was told by `lost`."""

    why: str

    def start(self, now: float) -> None: ...
    def bytes_received(self, chunk: bytes, now: float) -> None: ...
    def paused(self, now: float) -> None: ...
    def resumed(self, now: float) -> None: ...
    def lost(self, why: str) -> None: ...
    def deadline(self) -> float: ...
    def tick(self, now: float) -> Any: ...


MakeLink = Callable[["PeerConnection"], LinkMachine | None]


@implementer(IPushProducer)
class PeerConnection(TwistedProtocol):
    """Bytes to the link and from it.  `make_link` gives None for a caller that is one too many."""

    transport: Any
    secure = False

    def __init__(self, clock: IReactorTime, make_link: MakeLink, gone: Callable[[str], None]) -> None:
        self._clock = clock
        self._make_link = make_link
        self._gone = gone
        self._link: LinkMachine | None = None
        self._clockwork: Clockwork | None = None
        self.address = self.local_address = ""

    def connectionMade(self) -> None:
        self.address = numeric(self.transport.getPeer())
        self.local_address = numeric(self.transport.getHost())
        self._tune()
        self._link = self._make_link(self)
        if self._link is None:
            self._close()
            return
        self._clockwork = Clockwork(self._clock, self._link, SLACK)
        self.transport.registerProducer(self, True)
        self._begin(self._link)
        self._clockwork.wind()

    def _begin(self, link: LinkMachine) -> None:
        """The peer can be talked to."""
        link.start(self._clock.seconds())

    def _close(self) -> None:
        self.transport.loseConnection()

    def _stream(self) -> Any:
        """The transport that has the socket."""
        return self.transport

    def _tune(self) -> None:
        with suppress(OSError, AttributeError):
            self._stream().bufferSize = UNSENT
            if ITCPTransport.providedBy(self.transport):
                self.transport.setTcpNoDelay(True)
            self._stream().getHandle().setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)

    def _reason(self, reason: Failure) -> str:
        if reason.check(ConnectionDone):
            return "the other side closed the connection"
        if reason.check(ConnectionLost):
            return "the connection was lost"
        return reason.getErrorMessage().rstrip(".")

    def dataReceived(self, data: bytes) -> None:
        if self._link:
            self._link.bytes_received(data, self._clock.seconds())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._clockwork:
            self._clockwork.stop()
        why = self._reason(reason)
        if self._link:
            self._link.lost(why)
            why = self._link.why
            self._link = None
        self._gone(why)

    # --- as a link's outlet

    def objection(self, names: tuple[str, ...], node: int | None = None) -> str | None:
        """Why this connection cannot be that node's, of these names; without TLS anybody's word counts."""
        return None

    def write(self, message: bytes) -> None:
        self.transport.write(message)

    def finish(self) -> None:
        self.transport.unregisterProducer()  # with one, a full connection would wait for it for ever
        self._close()

    def abort(self) -> None:
        self.transport.abortConnection()

    def wake(self) -> None:
        if self._clockwork:
            self._clockwork.wind()

    def hold(self) -> None:
        """The kernel keeps what comes, and slows the peer down when it has enough."""
        self.transport.pauseProducing()

    def go_on(self) -> None:
        self.transport.resumeProducing()

    # --- as the transport's producer

    def pauseProducing(self) -> None:
        if self._link:
            self._link.paused(self._clock.seconds())

    def resumeProducing(self) -> None:
        if self._link:
            self._link.resumed(self._clock.seconds())

    def stopProducing(self) -> None:
        """The connection is lost; connectionLost says so too."""


@implementer(IHandshakeListener)
class SecurePeerConnection(PeerConnection):
    """The same inside TLS: nothing is said before the handshake is done, and then whose key it was."""

    secure = True
    _certificate: Any = None

    def _begin(self, link: LinkMachine) -> None:
        """Too early: `handshakeCompleted` comes, or the link's patience ends."""

    def _close(self) -> None:
        """What was written before the handshake can never go out; who does not shake hands is cut off."""
        if self._certificate is None:
            self.abort()
        else:
            super()._close()

    def handshakeCompleted(self) -> None:
        self._certificate = self.transport.getPeerCertificate()
        if self._link:
            self._link.start(self._clock.seconds())

    def objection(self, names: tuple[str, ...], node: int | None = None) -> str | None:
        from multicastmw.net.tls import objection

        return objection(self._certificate, names, node)

    def _stream(self) -> Any:
        return self.transport.transport

    def _reason(self, reason: Failure) -> str:
        from multicastmw.net.tls import explain

        return explain(self.transport.getHandle(), reason.value) or super()._reason(reason)


def numeric(address: Any) -> str:
    """The numeric address of a Twisted address; an IPv4 one that came over an IPv6 socket is IPv4."""
    host = str(getattr(address, "host", "") or "")
    return host.removeprefix("::ffff:") if "." in host else host
