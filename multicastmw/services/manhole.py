"""The manhole: a Python prompt inside the node, for whoever this host trusts with it.

    socket ── Visitor ─┬─ telnet.Conversation ─┬─ Prompt      (services/telnet.py, services/prompt.py)
                       └─ ssh: a login by key ─┘              (services/ssh.py)

It is a debugger.  Who sits at it can do what the node can, and while an expression is worked out the node
does nothing else: `while True: pass` is the end of it.  What is guarded is the door: it is on the loopback or
a UNIX socket, a few come in at a time, and who has not shown within a while what he is goes again.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from multicastmw.core.events import AtThePrompt, Limit, Tell
from multicastmw.endpoints import is_loopback, unix_socket
from multicastmw.sections import ManholeConfig
from multicastmw.services.errors import CannotStart
from multicastmw.services.peers import reason
from multicastmw.services.unixsocket import UnixSocket

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose.
MAX_VISITORS = 4  # at once, those at the door counted
AT_THE_DOOR = 30.0  # seconds until one who has no prompt yet is sent away

Namespace = dict[str, Any]


class Visitor(ProtocolWrapper):
    """One connection; `come_in` is said when it gets its prompt."""

    factory: "Door"
    transport: Any

    def connectionMade(self) -> None:
        self._late: IDelayedCall | None = self.factory.reactor.callLater(AT_THE_DOOR, self.abortConnection)
        super().connectionMade()

    def come_in(self) -> None:
        self._stay()
        self.factory.tell(AtThePrompt(self.where()))

    def where(self) -> str:
        peer = self.getPeer()
        return f"{peer.host}:{peer.port}" if hasattr(peer, "host") else "the UNIX socket"

    def send_away(self, why: str) -> None:
        self.write(b"mcmw: " + why.encode() + b"\r\n")
        self.loseConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._stay()
        super().connectionLost(reason)

    def _stay(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None

    def abortConnection(self) -> None:
        self._late = None
        self.transport.abortConnection()


class TurnedAway(Protocol):
    """One too many."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.write(f"mcmw: {MAX_VISITORS} are in the manhole already\r\n".encode())
        self.transport.loseConnection()


class Door(WrappingFactory):
    """Lets in as many as may."""

    noisy = False
    protocol = Visitor

    def __init__(self, inner: Any, reactor: Any, tell: Tell) -> None:
        super().__init__(inner)
        self.reactor = reactor
        self.tell = tell

    def logPrefix(self) -> str:
        return "manhole"

    def buildProtocol(self, address: Any) -> Any:
        if len(self.protocols) >= MAX_VISITORS:
            self.tell(Limit(f"{MAX_VISITORS} are in the manhole already; one more was turned away"))
            return TurnedAway()
        return super().buildProtocol(address)

    def close(self) -> None:
        """Nobody at a prompt keeps a node from its end."""
        for visitor in list(self.protocols):
            visitor.loseConnection()


class ManholeService(Service):
    """Listens at [manhole] endpoint.  Raises CannotStart where it cannot, or where others would reach it."""

    def __init__(
        self, config: ManholeConfig, namespace: Callable[[], Namespace], reactor: Any, tell: Tell
    ) -> None:
        self.config = config
        self._namespace = namespace
        self._reactor = reactor
        self._tell = tell
        self._door: Door | None = None
        self._port: IListeningPort | UnixSocket | None = None

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        endpoint = self.config.endpoint or ""
        local = unix_socket(endpoint)
        self._door = Door(self._conversations(is_local=local is not None), self._reactor, self._tell)
        if local:
            self._port = UnixSocket(self._reactor, local[0], self._door, local[1], "[manhole] endpoint")
        else:
            self._listen(endpoint, self._door)

    def _conversations(self, is_local: bool) -> Any:
        self._load_prompt()
        if self.config.authorized_keys:
            try:
                from multicastmw.services import ssh
            except ImportError as error:
                need = "SSH needs the extra `manhole` of this package, or `pip install 'twisted[conch]'`"
                raise CannotStart(f"[manhole] authorized-keys: {need} ({error})") from error
            return ssh.logins(self.config, self._namespace)
        from multicastmw.services import telnet

        return telnet.conversations(self._namespace, wants_telnet=not is_local)

    def _load_prompt(self) -> None:
        """Now: the user that a node runs as later need not be able to read all that it is made of."""
        try:
            from multicastmw.services import prompt  # noqa: F401
        except ImportError as error:
            raise CannotStart(f"[manhole] endpoint: the prompt cannot be loaded: {error}") from error

    def _listen(self, endpoint: str, door: Door) -> None:
        failures: list[Failure] = []
        listening = serverFromString(self._reactor, endpoint).listen(door)
        listening.addCallbacks(self._listens, failures.append)
        if failures:
            raise CannotStart(f"[manhole] endpoint: {endpoint}: {reason(failures[0])}")
        assert self._port is not None
        assert not isinstance(self._port, UnixSocket)
        where = self._port.getHost().host  # type: ignore[attr-defined]
        if not is_loopback(where):
            # What `localhost` means is said in /etc/hosts.
            self._port.stopListening()
            raise CannotStart(f"[manhole] endpoint: {endpoint}: {where} is open to others; name 127.0.0.1")

    def _listens(self, port: IListeningPort) -> None:
        self._port = port

    def give_to(self, uid: int, gid: int) -> None:
        if isinstance(self._port, UnixSocket):
            self._port.give_to(uid, gid)

    def stopService(self) -> Any:
        super().stopService()
        if self._door:
            self._door.close()
        return self._port.stopListening() if self._port else None


def namespace(node: "NodeService") -> Namespace:
    """What a prompt knows by name; made anew for each, so that nothing of another's is in it."""
    return {
        "node": node,
        "router": node.router,
        "forwarder": node.forwarder,
        "room": node.room,
        "tap": node.tap,
        "reactor": node.reactor,
        "links": lambda: {link.name: link for link in node.room.by_node.values()},
        "peers": lambda: {dialler.config.name: dialler for dialler in node.diallers},
        "status": node.status,
    }
