"""Mutual TLS 1.3 on the TCP links, and one plain sentence for each way in which it fails.

The handshake proves that the other side holds a key which our authorities have signed.  Who it is, is asked
behind it: the dialler wants the NAME of its [peer:NAME] in the certificate, the acceptor the name that the
peer's Open claims, and both want the node id to be that of the certificate's key.
"""

import os
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory, _AggregateSmallWrites
from twisted.python.failure import Failure
from zope.interface import implementer

from multicastmw.core.expiry import Validity
from multicastmw.core.identity import node_id
from multicastmw.net.pace import Pace
from multicastmw.wire.cops import NO_HTTP_PORT, Code
from multicastmw.wire.messages import Close, encode

# What the specification says: how our common header begins, and so a plain Open.
PLAIN = b"\x10"
RECORD = 1 << 14  # bytes: TLS has no longer records

# What we chose.
HANDSHAKE_MAX = 64 << 10  # bytes of a handshake that are listened to; ours are 3 KiB, with large keys 20
NAME_SHOWN = 64  # characters of the name in a certificate, which is told
UNREAD_MAX = 1 << 20  # bytes that wait for a peer that goes on talking: every key update of TLS has an answer

# X509_V_ERR_* of OpenSSL, as what they mean here.
UNKNOWN_AUTHORITY = "its certificate is not from one of our authorities"
VERDICTS = {
    7: UNKNOWN_AUTHORITY,
    9: "its certificate is not valid yet; is a clock wrong?",
    10: "its certificate has expired",
    18: UNKNOWN_AUTHORITY,
    19: UNKNOWN_AUTHORITY,
    20: UNKNOWN_AUTHORITY,
    21: UNKNOWN_AUTHORITY,
    23: "its certificate is revoked",
    26: "its certificate is not for this purpose",
}

OF_ANY = (9, 10, 23)  # in these the certificate may be one further up in the chain

# What cryptography raises for certificates that OpenSSL takes.
UNREADABLE = (
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)

# Words of OpenSSL's errors, as what they mean; the first that fits.  An alert is what the other side says.
REASONS = (
    ("peer did not return a certificate", "it has no certificate"),
    ("alert certificate required", "it wants a certificate of us"),
    ("alert certificate expired", "it says that our certificate has expired"),
    ("alert unknown ca", "it says that our certificate is not from one of its authorities"),
    ("alert decrypt error", "it says that our certificate is not from one of its authorities"),
    ("alert bad certificate", "it says that our certificate is not valid"),
    ("alert unsupported certificate", "it says that our certificate is not for this purpose"),
    ("alert protocol version", "it does not speak TLS 1.3"),
    ("unsupported protocol", "it does not speak TLS 1.3"),
    ("wrong version number", "it does not speak TLS"),
    ("packet length too long", "it does not speak TLS"),
    ("data length too long", "it does not speak TLS"),
    ("record layer failure", "it does not speak TLS"),
    ("http request", NO_HTTP_PORT),
    ("answers unread", "it talks and does not read the answers"),
    ("handshake too long", f"its handshake is longer than {HANDSHAKE_MAX >> 10} KiB"),
)


@dataclass(frozen=True)
class Files:
    """The three files of [tls], PEM."""

    certificate: str
    private_key: str
    authorities: str


class Credentials:
    """This node's own key and whom it trusts; raises OSError or ValueError, in words.

    Files that are renewed on disk are taken at the next connection; what is wrong with new ones is told
    once, and leaves the old ones in use.
    """

    def __init__(
        self,
        files: Files,
        tell: Callable[[str], None] = lambda why: None,
        took: Callable[[x509.Certificate], None] = lambda certificate: None,
    ) -> None:
        self._files = files
        self._tell = tell
        self._took = took
        self._told = ""
        self._name: str | None = None
        self._stamps = self._look()
        self._context, self.certificate = _read(files)
        self.node = node_of(self.certificate)

    def _look(self) -> list[tuple[int, int, int]]:
        found = [os.stat(path) for path in astuple(self._files)]
        return [(status.st_ino, status.st_mtime_ns, status.st_size) for status in found]

    @property
    def trouble(self) -> str:
        """Why the files on disk, as they were last looked at, are not in use; empty: they are."""
        return self._told

    def context(self) -> Any:
        """What the next connection is made with."""
        try:
            stamps = self._look()
            if stamps != self._stamps:
                self._take(*_read(self._files))
                self._stamps = stamps
            self._told = ""
        except OSError as error:
            self._refuse(f"{error.filename}: {error.strerror}")
        except ValueError as error:
            self._refuse(str(error))
        return self._context

    def claim(self, name: str) -> None:
        """This node's name, of every certificate from now on; raises ValueError."""
        self._check_name(self.certificate, name)
        self._name = name

    def _check_name(self, certificate: x509.Certificate, name: str) -> None:
        if not is_named(certificate, name):
            raise ValueError(f"{self._files.certificate} is not for this node's name, {name}")

    def _take(self, context: Any, certificate: x509.Certificate) -> None:
        if node_of(certificate) != self.node:
            raise ValueError(f"{self._files.certificate} is of another key, and so of another node: restart")
        if self._name is not None:
            self._check_name(certificate, self._name)
        self._context, self.certificate = context, certificate
        self._took(certificate)

    def adopt(self, other: "Credentials") -> None:
        """Other files of the same key, as `other` has read them, for the connections to come."""
        self._files, self._stamps, self._told = other._files, other._stamps, ""
        self._context, self.certificate = other._context, other.certificate

    @property
    def path(self) -> str:
        """Where the certificate is."""
        return self._files.certificate

    @property
    def validity(self) -> Validity:
        """When the certificate is good."""
        return validity_of(self.certificate)

    def signers(self) -> list[tuple[str, Validity]]:
        """The authorities that its chain ends at, by name: with one, the links of all its nodes end."""
        try:
            with open(self._files.certificate, "rb") as own, open(self._files.authorities, "rb") as trusted:
                last = x509.load_pem_x509_certificates(own.read())[-1]
                found = x509.load_pem_x509_certificates(trusted.read())
        except (OSError, ValueError, *UNREADABLE):
            return []  # what is wrong with a file is told where it is taken up
        return [(a.subject.rfc4514_string(), validity_of(a)) for a in found if a.subject == last.issuer]

    def _refuse(self, why: str) -> None:
        """Half written, perhaps; the next connection looks again."""
        if why != self._told:
            self._told = why
            self._tell(why)


def _read(files: Files) -> tuple[Any, x509.Certificate]:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    # Every connection proves itself anew: nothing to resume, and so no 0-RTT, which could be replayed.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 32 KiB less for a link that is silent
    _load(files.certificate, "no certificate", context.use_certificate_chain_file)
    _load(files.private_key, "no private key, or one with a password", _check_key)
    _load(files.private_key, "no private key of that certificate", context.use_privatekey_file)
    _load(files.private_key, "no private key of that certificate", lambda path: context.check_privatekey())
    _load(files.authorities, "no certificate of an authority", context.load_verify_locations)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _judge)
    with open(files.certificate, "rb") as file:
        return context, x509.load_pem_x509_certificate(file.read())


def _load(path: str, what: str, load: Callable[[str], object]) -> None:
    with open(path, "rb"):
        pass  # OpenSSL's own error says neither which file nor why
    try:
        load(path)
    except (SSL.Error, ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{path} holds {what}") from None


def _check_key(path: str) -> None:
    """For a password OpenSSL would ask on the terminal, and all links would wait."""
    with open(path, "rb") as file:
        load_pem_private_key(file.read(), None)


_verdicts: WeakKeyDictionary[Any, tuple[int, int]] = WeakKeyDictionary()


def _judge(connection: Any, certificate: Any, verdict: int, depth: int, right: int) -> bool:
    """OpenSSL's verdict on one certificate of the chain, kept for `explain`."""
    if not right:
        _verdicts[connection] = verdict, depth
    return bool(right)


def node_of(certificate: x509.Certificate) -> int:
    """The id of the node whose certificate this is; raises ValueError for a key of no known kind."""
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        raise ValueError("the certificate's key is of no kind that is known here") from None
    return node_id(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def validity_of(certificate: x509.Certificate) -> Validity:
    """From when until when it is good."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Validity(begins.timestamp(), ends.timestamp())


def is_named(certificate: x509.Certificate, name: str) -> bool:
    """Has the certificate this node name as a dNSName?"""
    from service_identity import CertificateError, VerificationError
    from service_identity.cryptography import extract_patterns
    from service_identity.hazmat import DNS_ID, verify_service_identity

    try:
        verify_service_identity(extract_patterns(certificate), [DNS_ID(name)], [])
    except (VerificationError, CertificateError, ValueError, *UNREADABLE):
        return False
    return name.isascii()


def name_in(certificate: x509.Certificate) -> str:
    """The only name in it, for people; empty where there are others, or it is none that a line can hold."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError, *UNREADABLE):
        return ""
    names = found.value.get_values_for_type(x509.DNSName)
    return names[0] if len(names) == 1 and len(names[0]) <= NAME_SHOWN and names[0].isprintable() else ""


def objection(certificate: Any, names: tuple[str, ...], node: int | None) -> str | None:
    """Why who holds this certificate (pyOpenSSL's) is not that node, of all these names; None where it is.

    Before its Open `node` is None, and the name is the one that node.ini gives it.

    One of our authorities signed it, but authorities sign what they are given, and OpenSSL reads more than
    cryptography does: what cannot be read is nobody's.
    """
    try:
        held = certificate.to_cryptography()
        its_node = node_of(held)
    except (ValueError, *UNREADABLE):
        return "its certificate, or the key in it, is of a kind that cannot be read here"
    for name in names:
        if not is_named(held, name):
            its = name_in(held)
            mend = f": call the section [peer:{its}]" if its and node is None else ""
            whose = f"{its}'s, not {name}'s" if its else f"not {name}'s"
            return f"its certificate is {whose}{mend}"
    return None if node in (None, its_node) else "its node id is not that of its certificate's key"


def explain(connection: Any, error: BaseException | None) -> str | None:
    """Why a handshake failed, in words; None where it is no matter of TLS."""
    verdict, depth = _verdicts.get(connection, (0, 0))
    if verdict:
        meant = VERDICTS.get(verdict, f"its certificate is refused (OpenSSL {verdict})")
        if depth and verdict in OF_ANY:
            meant = meant.replace("its certificate", "the certificate of its authority")
        return f"TLS: {meant}"
    if not isinstance(error, SSL.Error):
        return None
    said = ", ".join(str(entry[-1]) for entry in (error.args[0] if error.args else ()))
    other = f"the two ends do not come to terms (OpenSSL: {said or type(error).__name__})"
    return f"TLS: {next((meaning for words, meaning in REASONS if words in said), other)}"


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class Creator:
    """New connections with the credentials of the moment."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def clientConnectionForTLS(self, protocol: object) -> Any:
        return SSL.Connection(self._credentials.context(), None)

    def serverConnectionForTLS(self, protocol: object) -> Any:
        return SSL.Connection(self._credentials.context(), None)


class Tls(BufferingTLSTransport):
    """TLS on one connection: little of what is said waits in it, and of a handshake little is listened to."""

    transport: Any
    _heard = 0  # bytes of the handshake

    def __init__(self, factory: Any, wrapped: Any, _connectWrapped: bool = True) -> None:
        super().__init__(factory, wrapped, _connectWrapped)
        # What is said in one turn of the reactor is one record, and longer ones go at once: who may say more
        # is decided where it is seen how much the connection holds.
        if isinstance(self._aggregator, _AggregateSmallWrites):
            self._aggregator.MAX_BUFFER_SIZE = self._aggregator._bufferLeft = RECORD

    def dataReceived(self, data: bytes) -> None:
        if not self._handshakeDone:
            if self._heard > HANDSHAKE_MAX:
                self._fail("handshake too long")
                return
            self._heard += len(data)  # what follows the handshake's end in the same piece is no matter
        super().dataReceived(data)
        below = self.transport
        if below and len(below.dataBuffer) + below._tempDataLen > UNREAD_MAX and not self._aborted:
            self.failVerification(Failure(SSL.Error([("SSL", "", "answers unread")])))

    def _fail(self, why: str) -> None:
        self._tlsShutdownFinished(Failure(SSL.Error([("SSL", "", why)])))


class AcceptingTls(Tls):
    """TLS as the acceptor; a peer that begins with a plain Open is told, in plain, that TLS is required.

    Everybody may call, so a handshake waits for its turn; what comes meanwhile is kept, and bounded.
    """

    factory: "AcceptingFactory"
    _first = b""
    _begun = False

    def dataReceived(self, data: bytes) -> None:
        if self._begun:
            super().dataReceived(data)
        elif not self._first and data[:1] == PLAIN:
            self.transport.write(encode(Close(Code.TLS_REQUIRED)))
            self._fail("wrong version number")
        elif len(self._first) + len(data) > HANDSHAKE_MAX:
            self._fail("handshake too long")
        else:
            waits, self._first = bool(self._first), self._first + data
            if not waits:
                self.factory.pace.take(self._begin)

    def _begin(self) -> None:
        self._begun = True
        first, self._first = self._first, b""
        if self._lostTLSConnection:
            return
        try:
            super().dataReceived(first)
        except Exception:
            self.abortConnection()  # as the reactor does where it calls itself
            raise

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.pace.give_up(self._begin)
        super().connectionLost(reason)


class AcceptingFactory(TLSMemoryBIOFactory):
    """Of all that are accepted; who is one too many costs no more than `accept`."""

    noisy = False
    protocol = AcceptingTls

    def __init__(
        self,
        credentials: Credentials,
        factory: Any,
        turns_away: Callable[[Any], bool] = lambda address: False,
    ) -> None:
        super().__init__(Creator(credentials), False, factory)
        self.pace = Pace(self._clock)
        self._turns_away = turns_away

    def buildProtocol(self, address: Any) -> Any:
        return None if self._turns_away(address) else super().buildProtocol(address)


@implementer(IStreamClientEndpoint)
class DiallingEndpoint:
    """A client endpoint, behind TLS."""

    def __init__(self, credentials: Credentials, endpoint: Any) -> None:
        self._creator = Creator(credentials)
        self._endpoint = endpoint

    def connect(self, factory: Any) -> Any:
        wrapped = TLSMemoryBIOFactory(self._creator, True, factory)
        wrapped.protocol = Tls
        return self._endpoint.connect(wrapped).addCallback(lambda protocol: protocol.wrappedProtocol)


dialling = DiallingEndpoint
accepting = AcceptingFactory
