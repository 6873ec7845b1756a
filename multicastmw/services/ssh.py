"""The manhole over SSH: whoever has one of the keys gets the prompt, and nothing else that SSH can do.

Twisted's SSH says a lot into the log and leaves some of a terminal's requests unwritten, which would be
tracebacks there: a resized window, an end of input, a command.  Here they are answered.

It needs the packages of `twisted[conch]`; an ImportError says so.
"""

import stat
from collections.abc import Callable, Iterable
from os import fstat
from typing import Any

from twisted.conch.avatar import ConchUser
from twisted.conch.checkers import IAuthorizedKeysDB, SSHPublicKeyChecker
from twisted.conch.interfaces import IConchUser, ISession
from twisted.conch.ssh.connection import EXTENDED_DATA_STDERR, SSHConnection
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import BadKeyError, EncryptedKeyError, Key
from twisted.conch.ssh.session import SSHSession
from twisted.conch.ssh.transport import SSHServerTransport
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.portal import IRealm, Portal
from twisted.internet.error import ConnectionDone
from twisted.logger import Logger, LogPublisher
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure
from zope.interface import implementer

from multicastmw.sections import ManholeConfig
from multicastmw.services.errors import CannotStart

MAX_FILE = 1 << 20  # bytes of a file with keys
NO_COMMANDS = b"mcmw: no commands here; without one there is a Python prompt\r\n"
SILENT = Logger(namespace="mcmw.ssh", observer=LogPublisher())  # which nobody reads
Namespace = Callable[[], dict[str, Any]]


@implementer(IAuthorizedKeysDB)
class Keys:
    """The same keys, whatever the user is called."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def getAuthorizedKeys(self, username: bytes) -> tuple[Key, ...]:
        return self._keys


class User(ConchUser):
    """Somebody with a right key."""

    def __init__(self, namespace: Namespace) -> None:
        super().__init__()
        self.namespace = namespace
        self.channelLookup[b"session"] = SSHSession


@implementer(ISession)
class Shell:
    """One terminal of a user, at the prompt."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._terminal: Any = None
        self._channel: Any = None

    def getPty(self, term: bytes, size: tuple[int, ...], modes: object) -> None:
        """Any terminal will do."""

    def openShell(self, channel: Any) -> None:
        from multicastmw.services.prompt import terminal

        self._channel = channel
        self._terminal = terminal(self._user.namespace())
        self._user.conn.transport.transport.come_in()
        channel.makeConnection(Ends(self._terminal.dataReceived, self._leave))
        self._terminal.makeConnection(Ends(channel.write, self._leave))

    def execCommand(self, channel: Any, command: bytes) -> None:
        channel.session.writeExtended(EXTENDED_DATA_STDERR, NO_COMMANDS)
        self._end(channel, 1)

    def windowChanged(self, size: tuple[int, ...]) -> None:
        if self._terminal:
            self._terminal.terminalProtocol.terminalSize(size[1], size[0])

    def eofReceived(self) -> None:
        if self._channel:
            self._leave()

    def closed(self) -> None:
        if self._terminal:
            terminal, self._terminal = self._terminal, None
            terminal.connectionLost(Failure(ConnectionDone()))

    def _leave(self) -> None:
        self._end(self._channel, 0)

    def _end(self, channel: Any, code: int) -> None:
        session = channel.session
        if not session.localClosed:
            session.conn.sendRequest(session, b"exit-status", code.to_bytes(4, "big"))
            session.conn.sendClose(session)


registerAdapter(Shell, User, ISession)


class Ends:
    """One end of the wire between a channel and its terminal."""

    def __init__(self, write: Callable[[bytes], None], lose: Callable[[], None]) -> None:
        self.write = write
        self.loseConnection = lose


class Transport(SSHServerTransport):
    _log = SILENT


class Login(SSHUserAuthServer):
    _log = SILENT


class Connection(SSHConnection):
    _log = SILENT


@implementer(IRealm)
class Logins(SSHFactory):
    """Lets in whoever has a key."""

    _log = SILENT
    noisy = False
    protocol = Transport
    services = {b"ssh-userauth": Login, b"ssh-connection": Connection}

    def __init__(self, host_key: Key, keys: Keys, namespace: Namespace) -> None:
        self.publicKeys = {host_key.sshType(): host_key.public()}
        self.privateKeys = {host_key.sshType(): host_key}
        self.portal = Portal(self, [SSHPublicKeyChecker(keys)])
        self._namespace = namespace

    def requestAvatar(self, name: bytes | tuple[()], mind: object, *interfaces: Any) -> tuple[Any, Any, Any]:
        """The portal's question: what is there for somebody with a right key?"""
        return IConchUser, User(self._namespace), lambda: None


def logins(config: ManholeConfig, namespace: Namespace) -> Logins:
    """What speaks SSH with those who come.  Raises CannotStart where a key cannot be read."""
    return Logins(_host_key(config.host_key), Keys(_authorized(config.authorized_keys)), namespace)


def _host_key(path: str) -> Key:
    data, mode = _read(path, "host-key")
    if mode & 0o077:
        raise CannotStart(f"[manhole] host-key: {path}: others may read it; `chmod 600 {path}`")
    try:
        key: Key = Key.fromString(data)
    except EncryptedKeyError:
        raise CannotStart(
            f"[manhole] host-key: {path}: it has a passphrase, which nobody types here"
        ) from None
    except (BadKeyError, ValueError, TypeError) as error:
        raise CannotStart(f"[manhole] host-key: {path}: no SSH key: {error}") from None
    if key.isPublic():
        raise CannotStart(f"[manhole] host-key: {path}: that is the public half; name the private one")
    return key


def _authorized(path: str) -> list[Key]:
    """Every line counts: one that is not understood may be a restriction."""
    data, _ = _read(path, "authorized-keys")
    keys = []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith(b"#"):
            try:
                keys.append(Key.fromString(line.strip()))
            except (BadKeyError, ValueError, TypeError, IndexError):
                what = f"{path}, line {number}: no public key, or one with options, which are not known here"
                raise CannotStart(f"[manhole] authorized-keys: {what}") from None
    if not keys:
        raise CannotStart(f"[manhole] authorized-keys: {path}: no key is in it")
    return keys


def _read(path: str, option: str) -> tuple[bytes, int]:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_FILE), stat.S_IMODE(fstat(file.fileno()).st_mode)
    except OSError as error:
        raise CannotStart(f"[manhole] {option}: {path}: {error.strerror}") from error
