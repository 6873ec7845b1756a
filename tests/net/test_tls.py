"""TLS over real loopback TCP with real OpenSSL: who is let in, and the sentence for each who is not.

A `Side` is a node's room with the services that listen and dial, as services/node.py puts them together.
"""

import contextlib
import os
import random
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, X509, load_certificate
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface import implementer

from multicastmw.core.events import (
    CallerRefused,
    Event,
    PeerDown,
    PeerRefused,
    PeerRefuses,
    PeerUnreachable,
    PeerUp,
)
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.identity import node_id, origin
from multicastmw.core.link import OPEN_WITHIN, Link
from multicastmw.core.room import UNOPENED_MAX_OF_ONE, Here, Room
from multicastmw.core.routing import Router
from multicastmw.net.tcp import TCP_NOTSENT_LOWAT, UNSENT, PeerConnection, SecurePeerConnection
from multicastmw.net.tls import (
    HANDSHAKE_MAX,
    RECORD,
    UNREAD_MAX,
    Credentials,
    Files,
    accepting,
    dialling,
    explain,
    is_named,
    node_of,
    objection,
)
from multicastmw.sections import PeerConfig
from multicastmw.services.peers import Diallers, DiallingService, ListeningService
from multicastmw.wire.cops import Code
from multicastmw.wire.framing import Framer
from multicastmw.wire.messages import Close, Open, decode, encode
from tests.net.test_tcp import Machine

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
GOOD = (-DAY, DAY)
EXPIRED = (-2 * DAY, -DAY)
TOO_SOON = (DAY, 2 * DAY)


class Authority:
    """Signs what it is told to."""

    def __init__(self, name: str = "lab", valid: tuple[timedelta, timedelta] = GOOD) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = self.builder(self.name, self.key.public_key(), valid)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)

    def builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, valid: tuple[timedelta, timedelta]
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + valid[0])
            .not_valid_after(NOW + valid[1])
        )

    def certificate(
        self,
        *names: str,
        key: ec.EllipticCurvePrivateKey,
        valid: tuple[timedelta, timedelta] = GOOD,
        purpose: x509.ObjectIdentifier | None = None,
    ) -> x509.Certificate:
        builder = self.builder(x509.Name([]), key.public_key(), valid)
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=True)
        if purpose:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        return builder.sign(self.key, SHA256())


LAB, OTHERS = Authority(), Authority("others")


class CarelessAuthority(Authority):
    """The lab's, that signs an X.400 address beside the names: OpenSSL reads it, cryptography does not."""

    def __init__(self) -> None:
        self.key, self.name, self.pem = LAB.key, LAB.name, LAB.pem

    def certificate(self, *names: str, key: ec.EllipticCurvePrivateKey, **how: Any) -> x509.Certificate:
        listed = b"".join(bytes((0x82, len(name))) + name.encode() for name in names) + b"\xa3\0"
        san = x509.UnrecognizedExtension(
            x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes((0x30, len(listed))) + listed
        )
        return (
            self.builder(x509.Name([]), key.public_key(), GOOD)
            .add_extension(san, True)
            .sign(self.key, SHA256())
        )


LABS_TWIN = Authority()  # of the same name, with another key


def key_pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


class OldCredentials(Credentials):
    """TLS 1.2 and no later."""

    def context(self) -> Any:
        context = super().context()
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        return context


class NoCredentials(Credentials):
    """Nothing to show."""

    def context(self) -> Any:
        context = SSL.Context(SSL.TLS_METHOD)
        context.load_verify_locations(self._files.authorities)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        return context


class Side:
    """A node as far as its links go; `told` is what it has said."""

    def __init__(self, name: str, credentials: Credentials | None, node: int | None = None) -> None:
        self.name = name
        self.credentials = credentials
        self.told: list[Event] = []
        self.services: list[Any] = []
        self.dialler: DiallingService | None = None
        self.diallers = Diallers()
        rng = random.Random(name)
        identity = node or (credentials.node if credentials else node_id(name))
        router = Router()
        self.room = Room(
            Here(name, identity, 10, None),
            router,
            Forwarder(router, origin(identity, 1), reactor.seconds()),
            pick=rng.uniform,
            draw_token=lambda: rng.getrandbits(64),
            open_datagrams=lambda link, local, remote: None,
            tell=self.told.append,
            watcher=self,
        )

    def link_up(self, link: Link) -> None:
        self.diallers.link_up(link)

    def link_down(self, link: Link, why: str) -> None:
        self.diallers.link_down(link, why)

    def node_gone(self, node: int) -> None:
        self.diallers.node_gone(node)

    def listens(self) -> int:
        service = ListeningService("tcp:0:interface=127.0.0.1", self.room, reactor, self.credentials)
        service.privilegedStartService()
        service.startService()
        self.services.append(service)
        return service._port.getHost().port

    def dials(self, port: int, section: str) -> None:
        peer = PeerConfig(name=section, endpoint=f"tcp:127.0.0.1:{port}")
        self.dialler = DiallingService(
            peer, self.diallers, self.room, reactor, reactor, lambda low, high: low, self.credentials
        )
        self.diallers.add(self.dialler)
        self.services.append(self.dialler)
        self.dialler.startService()

    def told_of(self, *kinds: type[Event]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kinds)]

    def whys(self) -> list[str]:
        """What is shown of what went wrong."""
        kinds = (PeerUnreachable, CallerRefused, PeerRefused, PeerRefuses, PeerDown)
        return [event.why for event in self.told_of(*kinds)]

    def stop(self) -> list[Any]:
        return [service.stopService() for service in self.services if service.running]


def true(condition: Callable[[], object], patience: float = 20.0) -> Deferred[None]:
    """Fires when it is."""
    came: Deferred[None] = Deferred()
    until = reactor.seconds() + patience

    def look() -> None:
        if condition():
            came.callback(None)
        elif reactor.seconds() > until:
            came.errback(AssertionError("it did not become true"))
        else:
            reactor.callLater(0.005, look)

    look()
    return came


class TlsCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.sides: list[Side] = []

    @inlineCallbacks
    def tearDown(self) -> Any:
        for side in self.sides:
            yield from side.stop()
        for side in self.sides:
            side.room.leave(reactor.seconds())
        yield true(lambda: not any(side.room.links for side in self.sides))

    def written(self, name: str, content: bytes) -> str:
        """A file, put in place at once as programs that renew certificates do."""
        path = self.folder / name
        beside = self.folder / f"{name}.new"
        beside.write_bytes(content)
        os.replace(beside, path)
        return str(path)

    def files(
        self,
        name: str,
        *names: str,
        signer: Authority = LAB,
        trusts: Authority = LAB,
        key: ec.EllipticCurvePrivateKey | None = None,
        **how: Any,
    ) -> Files:
        key = key or ec.generate_private_key(ec.SECP256R1())
        certificate = signer.certificate(*(names or (name,)), key=key, **how)
        return Files(
            self.written(f"{name}.pem", certificate.public_bytes(Encoding.PEM)),
            self.written(f"{name}.key", key_pem(key)),
            self.written(f"{name}-authorities.pem", trusts.pem),
        )

    def side(
        self,
        name: str,
        *names: str,
        kind: type[Credentials] = Credentials,
        node: int | None = None,
        **how: Any,
    ) -> Side:
        return self.entered(Side(name, kind(self.files(name, *names, **how)), node))

    def plain(self, name: str) -> Side:
        return self.entered(Side(name, None))

    def entered(self, side: Side) -> Side:
        self.sides.append(side)
        return side

    @inlineCallbacks
    def meet(self, dialler: Side, acceptor: Side, section: str = "b") -> Any:
        """One attempt: what went wrong in the dialler's words, and in the acceptor's."""
        dialler.dials(acceptor.listens(), section)
        yield true(dialler.whys)
        dialler.dialler.stopService()
        yield true(lambda: not dialler.room.links and not acceptor.room.links)
        return dialler.whys(), acceptor.whys()

    @inlineCallbacks
    def up(self, dialler: Side, acceptor: Side, section: str = "b") -> Any:
        dialler.dials(acceptor.listens(), section)
        yield true(lambda: dialler.room.by_node and acceptor.room.by_node)
        (there,), (here,) = dialler.room.by_node.values(), acceptor.room.by_node.values()
        return there, here


class PairTests(TlsCase):
    """Two good ones."""

    @inlineCallbacks
    def test_are_up_and_know_each_other_by_their_keys(self) -> Any:
        a, b = self.side("a"), self.side("b")
        there, here = yield self.up(a, b)
        self.assertEqual((there.name, there.node), ("b", b.credentials.node))
        self.assertEqual((here.name, here.node), ("a", a.credentials.node))
        self.assertEqual(there.node % (1 << 16), 0)
        self.assertNotEqual(there.node, node_id("b"))
        self.assertEqual((a.whys(), b.whys()), ([], []))
        for link in (there, here):
            connection = link._outlet.transport.getHandle()
            self.assertEqual(connection.get_protocol_version_name(), "TLSv1.3")

    @inlineCallbacks
    def test_their_sockets_are_tuned_as_without_tls(self) -> Any:
        for link in (yield self.up(self.side("a"), self.side("b"))):
            handle = link._outlet._stream().getHandle()
            self.assertTrue(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT), UNSENT)

    @inlineCallbacks
    def test_one_that_leaves_says_so(self) -> Any:
        a, b = self.side("a"), self.side("b")
        yield self.up(a, b)
        b.room.leave(reactor.seconds())
        yield true(a.whys)
        self.assertEqual(a.whys(), ["closed by the peer: it is shutting down"])

    @inlineCallbacks
    def test_that_dial_each_other_have_one_link_and_rest(self) -> Any:
        """The id is not that of the name, so a dialler knows its peer's link by the name that was proved."""
        a, b = self.side("a"), self.side("b")
        ports = a.listens(), b.listens()
        a.dials(ports[1], "b")
        b.dials(ports[0], "a")
        yield true(lambda: all(side.dialler.state == "up" for side in (a, b)))
        opened = -1
        while opened != a.room.counters.opened:  # the other link may be in its handshake yet
            opened = a.room.counters.opened
            yield deferLater(reactor, 0.7)
        self.assertEqual([side.dialler.state for side in (a, b)], ["up", "up"])
        self.assertEqual([len(side.room.links) for side in (a, b)], [1, 1])

    @inlineCallbacks
    def test_a_certificate_may_carry_more_names(self) -> Any:
        there, _ = yield self.up(self.side("a"), self.side("b", "b.example.net", "b"))
        self.assertEqual(there.name, "b")


class FailureTests(TlsCase):
    """Each way it can fail is one sentence at either end; the dialler's says why it is not up."""

    NOT_UP = "closed by the peer: our certificate is not for the node that it takes us for"

    @inlineCallbacks
    def test_names_that_openssl_takes_and_we_cannot_read(self) -> Any:
        a, b = self.side("a", signer=CarelessAuthority()), self.side("b")
        yield self.check(a, b, self.NOT_UP, "TLS: its certificate is not a's")

    @inlineCallbacks
    def check(self, dialler: Side, acceptor: Side, says: str, hears: str, section: str = "b") -> Any:
        dialled, accepted = yield self.meet(dialler, acceptor, section)
        self.assertEqual((dialled, accepted), ([says], [hears]))
        return dialler, acceptor

    @inlineCallbacks
    def test_the_acceptors_certificate_has_expired(self) -> Any:
        yield self.check(
            self.side("a"), self.side("b", valid=EXPIRED),
            "TLS: its certificate has expired", "TLS: it says that our certificate has expired",
        )  # fmt: skip

    @inlineCallbacks
    def test_the_diallers_certificate_has_expired(self) -> Any:
        a, b = yield self.check(
            self.side("a", valid=EXPIRED), self.side("b"),
            "TLS: it says that our certificate has expired", "TLS: its certificate has expired",
        )  # fmt: skip
        self.assertEqual(a.told_of(PeerUp) + b.told_of(PeerUp), [])
        self.assertEqual(b.room.counters.links_refused, 1)

    @inlineCallbacks
    def test_a_certificate_is_not_valid_yet(self) -> Any:
        yield self.check(
            self.side("a"), self.side("b", valid=TOO_SOON),
            "TLS: its certificate is not valid yet; is a clock wrong?",
            "TLS: it says that our certificate is not valid",
        )  # fmt: skip
        yield self.check(
            self.side("a", valid=TOO_SOON), self.side("b"),
            "TLS: it says that our certificate is not valid",
            "TLS: its certificate is not valid yet; is a clock wrong?",
        )  # fmt: skip

    @inlineCallbacks
    def test_the_authority_itself_has_expired(self) -> Any:
        old = Authority(valid=EXPIRED)
        yield self.check(
            self.side("a", trusts=old), self.side("b", signer=old),
            "TLS: the certificate of its authority has expired",
            "TLS: it says that our certificate has expired",
        )  # fmt: skip

    @inlineCallbacks
    def test_nobody_here_trusts_the_acceptors_authority(self) -> Any:
        for signer in (OTHERS, LABS_TWIN):
            yield self.check(
                self.side("a"), self.side("b", signer=signer),
                "TLS: its certificate is not from one of our authorities",
                "TLS: it says that our certificate is not from one of its authorities",
            )  # fmt: skip

    @inlineCallbacks
    def test_nobody_there_trusts_the_diallers_authority(self) -> Any:
        for signer in (OTHERS, LABS_TWIN):
            yield self.check(
                self.side("a", signer=signer), self.side("b"),
                "TLS: it says that our certificate is not from one of its authorities",
                "TLS: its certificate is not from one of our authorities",
            )  # fmt: skip

    @inlineCallbacks
    def test_a_certificate_is_for_another_purpose(self) -> Any:
        purpose = x509.ExtendedKeyUsageOID.SERVER_AUTH
        yield self.check(
            self.side("a", purpose=purpose), self.side("b"),
            "TLS: it says that our certificate is not for this purpose",
            "TLS: its certificate is not for this purpose",
        )  # fmt: skip

    @inlineCallbacks
    def test_the_acceptor_is_not_whom_the_dialler_means(self) -> Any:
        a, b = self.side("a"), self.side("b")
        says = "TLS: its certificate is b's, not c's: call the section [peer:b]"
        yield self.check(a, b, says, f"{self.NOT_UP}; in its node.ini we are [peer:b]", section="c")
        self.assertEqual(a.told_of(PeerUp, PeerDown) + b.told_of(PeerUp, PeerDown), [])
        self.assertEqual(len(b.told_of(PeerRefuses)), 1)

    # In the next three a side lies, as no node of ours does: it refuses to start with, or to take up, a
    # certificate that is not for its name.  Its own log may have it up for a moment, nobody else's.

    @inlineCallbacks
    def test_the_dialler_is_not_who_it_says(self) -> Any:
        a, b = self.side("a", "mallory"), self.side("b")
        yield self.check(a, b, self.NOT_UP, "TLS: its certificate is mallory's, not a's")
        self.assertEqual(b.told_of(PeerUp), [])

    @inlineCallbacks
    def test_the_acceptor_is_whom_the_dialler_means_but_says_another_name(self) -> Any:
        a, b = self.side("a"), self.side("z", "b")
        yield self.check(a, b, "TLS: its certificate is b's, not z's", self.NOT_UP)
        self.assertEqual(a.told_of(PeerUp, PeerDown), [])

    @inlineCallbacks
    def test_a_node_id_is_not_that_of_the_key(self) -> Any:
        why = "TLS: its node id is not that of its certificate's key"
        _, b = yield self.check(self.side("a", node=node_id("a")), self.side("b"), self.NOT_UP, why)
        a, _ = yield self.check(self.side("a"), self.side("b", node=node_id("b")), why, self.NOT_UP)
        self.assertEqual(a.told_of(PeerUp, PeerDown) + b.told_of(PeerUp, PeerDown), [])

    @inlineCallbacks
    def test_a_name_in_the_certificate_that_is_no_host_name_costs_only_the_link(self) -> Any:
        for name in ("10.0.0.1", "*"):
            a, b = self.side("a", "a", name), self.side("b")
            yield self.check(a, b, self.NOT_UP, "TLS: its certificate is not a's")

    @inlineCallbacks
    def test_the_dialler_shows_no_certificate(self) -> Any:
        yield self.check(
            self.side("a", kind=NoCredentials), self.side("b"),
            "TLS: it wants a certificate of us", "TLS: it has no certificate",
        )  # fmt: skip

    @inlineCallbacks
    def test_the_dialler_speaks_no_tls(self) -> Any:
        yield self.check(
            self.plain("a"), self.side("b"),
            "closed by the peer: TLS is required", "TLS: it does not speak TLS",
        )  # fmt: skip

    @inlineCallbacks
    def test_the_acceptor_speaks_no_tls(self) -> Any:
        yield self.check(
            self.side("a"), self.plain("b"),
            "TLS: it does not speak TLS", "it speaks TLS, and this node has none ([tls] is empty)",
        )  # fmt: skip

    @inlineCallbacks
    def test_the_dialler_speaks_an_old_tls(self) -> Any:
        why = "TLS: it does not speak TLS 1.3"
        yield self.check(self.side("a", kind=OldCredentials), self.side("b"), why, why)

    @inlineCallbacks
    def test_the_acceptor_speaks_an_old_tls(self) -> Any:
        why = "TLS: it does not speak TLS 1.3"
        yield self.check(self.side("a"), self.side("b", kind=OldCredentials), why, why)

    @inlineCallbacks
    def test_a_refusal_is_heard_each_time(self) -> Any:
        """The alert comes behind what was already said; it is not lost in the connection's end."""
        for number in range(20):
            a, b = self.side(f"a{number}", valid=EXPIRED), self.side("b")
            says, _ = yield self.meet(a, b)
            self.assertEqual(says, ["TLS: it says that our certificate has expired"])


class Caller(Protocol):
    """A stranger: says its piece, and keeps what it hears."""

    def __init__(self, piece: bytes) -> None:
        self.piece = piece
        self.heard = b""
        self.ended = False
        self.called = reactor.seconds()
        self.lasted = 0.0

    def connectionMade(self) -> None:
        self.transport.write(self.piece)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.ended = True
        self.lasted = reactor.seconds() - self.called


def client_hello() -> bytes:
    connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    connection.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(1 << 16)


class CallingCase(TlsCase):
    """Somebody calls who has no node."""

    @inlineCallbacks
    def calls(self, port: int, piece: bytes) -> Any:
        factory = Factory.forProtocol(lambda: Caller(piece))
        factory.noisy = False
        caller = yield TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(factory)
        self.addCleanup(caller.transport.abortConnection)
        return caller


class StrangerTests(CallingCase):
    @inlineCallbacks
    def test_who_does_not_finish_the_handshake_is_cut_off_and_counts_meanwhile(self) -> Any:
        b = self.side("b")
        port = b.listens()
        hello = client_hello()
        callers = []
        for piece in (b"", hello[:1], hello[: len(hello) // 2], hello):
            callers.append((yield self.calls(port, piece)))
        yield true(lambda: len(b.room.links) == 4)
        for _ in range(UNOPENED_MAX_OF_ONE - 4):
            callers.append((yield self.calls(port, b"")))
        surplus = []
        for piece in (b"", hello[:9]):
            surplus.append((yield self.calls(port, piece)))
        yield true(lambda: b.room.counters.turned_away == 2)
        yield true(lambda: all(caller.ended for caller in surplus), 1)
        self.assertEqual(len(b.room.links), UNOPENED_MAX_OF_ONE)
        yield true(lambda: all(caller.ended for caller in callers), OPEN_WITHIN + 2)
        lasted = max(caller.lasted for caller in callers)
        self.assertLess(lasted, OPEN_WITHIN + 0.5)
        self.assertEqual(b.room.links, [])
        self.assertEqual(set(b.whys()), {"no Open within 5 s"})

    @inlineCallbacks
    def test_a_plain_open_is_answered_in_plain(self) -> Any:
        b = self.side("b")
        caller = yield self.calls(b.listens(), encode(Open("a", node_id("a"), 10)))
        yield true(lambda: caller.ended)
        (said,) = Framer().feed(caller.heard)
        self.assertEqual(decode(said).message, Close(Code.TLS_REQUIRED))

    @inlineCallbacks
    def test_garbage_ends_at_once_in_one_of_our_words(self) -> Any:
        rng = random.Random(3)
        b = self.side("b")
        port = b.listens()
        pieces = [bytes([first]) + rng.randbytes(400) for first in range(256)]
        pieces += [
            b"GET / HTTP/1.1\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            bytes(5000),
            client_hello()[:60] * 3,
        ]
        quiet = 0
        for piece in pieces:
            told = len(b.told)
            caller = yield self.calls(port, piece)
            yield true(lambda caller=caller, told=told: caller.ended or b.room.links)
            try:
                yield true(lambda caller=caller: caller.ended, 0.2)
            except AssertionError:
                quiet += 1  # a record that is longer than what came; its end is that of the slow
                caller.transport.abortConnection()
                yield true(lambda caller=caller: caller.ended)
            yield true(lambda: not b.room.links)
            self.assertLessEqual(len(b.told), told + 1)
        self.assertLess(quiet, 8)
        self.assertEqual({why.partition(":")[0] for why in b.whys()}, {"TLS"})
        self.assertLessEqual(
            set(b.whys()),
            {
                "TLS: it does not speak TLS",
                "TLS: it does not speak TLS 1.3",
                "TLS: it sent an HTTP request, and this is no HTTP port",
            },
        )

    @inlineCallbacks
    def test_what_openssl_alone_has_words_for_stands_in_a_sentence_of_ours(self) -> Any:
        """A whole record of a handshake, in which there is none."""
        b = self.side("b")
        caller = yield self.calls(b.listens(), bytes.fromhex("1603010005") + b"aaaaa")
        yield true(lambda: caller.ended and b.told)
        said = "TLS: the two ends do not come to terms (OpenSSL: unexpected message)"
        self.assertEqual(b.whys(), [said])

    @inlineCallbacks
    def test_who_knocks_and_goes_is_no_news(self) -> Any:
        b = self.side("b")
        port = b.listens()
        for piece in (b"", client_hello()[:50], client_hello()):
            for way in ("loseConnection", "abortConnection"):
                caller = yield self.calls(port, piece)
                yield true(lambda: b.room.links)
                getattr(caller.transport, way)()
                yield true(lambda: not b.room.links)
        self.assertEqual(b.told, [])

    @inlineCallbacks
    def test_a_stranger_does_not_hold_up_a_leaving_node(self) -> Any:
        b = self.side("b")
        caller = yield self.calls(b.listens(), b"")
        yield true(lambda: b.room.links)
        b.room.leave(reactor.seconds())
        yield true(lambda: caller.ended, 0.5)


class BoundTests(CallingCase):
    """What a stranger can have of this node before it has shown a certificate."""

    @inlineCallbacks
    def test_a_handshake_that_does_not_end_is_cut_off(self) -> Any:
        b = self.side("b")
        # Records of 16 KiB, each a piece of a ClientHello that is said to have 130,000 bytes.
        head = b"\x01" + (130_000).to_bytes(3, "big")
        record = b"\x16\x03\x01\x40\x00"
        caller = yield self.calls(b.listens(), record + head + bytes((1 << 14) - 4))
        while not caller.ended:
            caller.transport.write(record + bytes(1 << 14))
            yield deferLater(reactor, 0.005)
        self.assertEqual(b.whys(), [f"TLS: its handshake is longer than {HANDSHAKE_MAX >> 10} KiB"])

    @inlineCallbacks
    def test_a_peer_that_asks_for_keys_and_does_not_read_is_cut_off(self) -> Any:
        b = self.side("b")
        script = str(Path(__file__).with_name("key_updates.py"))
        files = self.files("a")
        peer = [sys.executable, "-IS", script, str(b.listens()), files.certificate, files.private_key]
        most = 0

        def look() -> None:
            nonlocal most
            for link in b.room.links:
                below = link._outlet.transport.transport
                if below:
                    most = max(most, len(below.dataBuffer) + below._tempDataLen)

        looking = LoopingCall(look)
        looking.start(0.01)
        _, _, code = yield getProcessOutputAndValue(peer[0], peer[1:], os.environ)
        looking.stop()
        if code == 3:
            raise SkipTest("there is no libssl.so.3 here")
        yield true(lambda: not b.room.links)
        why = "TLS: it talks and does not read the answers"
        self.assertIn(b.whys(), ([why], ["no Open within 5 s"]))  # on a slow machine the patience ends first
        self.assertLess(most, UNREAD_MAX + (1 << 17))

    @inlineCallbacks
    def test_nothing_can_be_resumed(self) -> Any:
        """A session of before would be let in with the certificate of before."""
        b = self.side("b")
        port = b.listens()
        context = self.side("a").credentials.context()
        old = None
        for _ in range(2):
            connection = SSL.Connection(context, None)
            if old:
                connection.set_session(old)
            shaken = Shaken(connection)
            factory = Factory.forProtocol(lambda: Caller(b""))
            factory.noisy = False
            endpoint = wrapClientTLS(shaken, TCP4ClientEndpoint(reactor, "127.0.0.1", port))
            caller = yield endpoint.connect(factory)
            yield true(lambda: caller.heard)  # noqa: B023
            self.assertFalse(SSL._lib.SSL_session_reused(connection._ssl))
            old = connection.get_session()
            caller.transport.abortConnection()
            yield true(lambda: not b.room.links)

    @inlineCallbacks
    def test_who_waits_for_a_turn_and_goes_leaves_it_to_the_others(self) -> Any:
        b = self.side("b")
        port = b.listens()
        hello = client_hello()
        callers = []
        turns = self.turns(b)
        turns._free_at = reactor.seconds() + 0.5
        for _ in range(8):
            callers.append((yield self.calls(port, hello)))
        yield true(lambda: len(turns) == 8)
        self.assertEqual([caller.heard for caller in callers], [b""] * 8)
        for caller in callers[1:]:
            caller.transport.abortConnection()
        yield true(lambda: len(turns) == 1 and len(b.room.links) == 1)
        yield true(lambda: callers[0].heard)
        self.assertEqual(len(turns), 0)

    @inlineCallbacks
    def test_who_waits_for_a_turn_and_does_not_stop_is_cut_off(self) -> Any:
        b = self.side("b")
        port = b.listens()
        self.turns(b)._free_at = reactor.seconds() + 60
        caller = yield self.calls(port, client_hello() + bytes(1_000_000))
        yield true(lambda: caller.ended)
        self.assertEqual(b.whys(), [f"TLS: its handshake is longer than {HANDSHAKE_MAX >> 10} KiB"])

    def turns(self, side: Side) -> Any:
        return side.services[0]._port.factory.pace


@implementer(IOpenSSLClientConnectionCreator)
class Shaken:
    """A connection that was made beforehand."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def clientConnectionForTLS(self, protocol: object) -> Any:
        return self._connection


class RenewalTests(TlsCase):
    """Files that change under a running node."""

    def setUp(self) -> None:
        super().setUp()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.said: list[str] = []

    def credentials(self, **how: Any) -> Credentials:
        return Credentials(self.files("b", key=self.key, **how), self.said.append)

    @inlineCallbacks
    def serial(self, port: int) -> Any:
        """Of the certificate that the acceptor shows."""
        context = SSL.Context(SSL.TLS_METHOD)
        shown: Deferred[int] = Deferred()

        def look(connection: Any, certificate: Any, verdict: int, depth: int, right: int) -> bool:
            if depth == 0 and not shown.called:
                shown.callback(certificate.get_serial_number())
            return True

        context.set_verify(SSL.VERIFY_PEER, look)

        @implementer(IOpenSSLClientConnectionCreator)
        class Options:
            def clientConnectionForTLS(self, protocol: Any) -> Any:
                return SSL.Connection(context, None)

        factory = Factory.forProtocol(lambda: Caller(b""))
        factory.noisy = False
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        caller = yield wrapClientTLS(Options(), endpoint).connect(factory)
        serial = yield shown
        caller.transport.abortConnection()
        yield true(lambda: caller.ended)
        return serial

    def expected(self) -> int:
        return x509.load_pem_x509_certificate((self.folder / "b.pem").read_bytes()).serial_number

    @inlineCallbacks
    def test_renewed_ones_are_taken_at_the_next_connection(self) -> Any:
        b = self.entered(Side("b", self.credentials()))
        port = b.listens()
        first = self.expected()
        self.assertEqual((yield self.serial(port)), first)
        self.files("b", key=self.key)
        self.assertNotEqual(self.expected(), first)
        self.assertEqual((yield self.serial(port)), self.expected())
        self.assertEqual(self.said, [])

    @inlineCallbacks
    def test_an_expired_node_is_up_again_when_it_is_renewed(self) -> Any:
        b = self.entered(Side("b", self.credentials(valid=EXPIRED)))
        a = self.side("a")
        a.dials(b.listens(), "b")
        yield true(a.whys)
        self.files("b", key=self.key)
        yield true(lambda: a.room.by_node)

    @inlineCallbacks
    def test_broken_ones_leave_the_old_ones_in_use_and_are_told_once(self) -> Any:
        b = self.entered(Side("b", self.credentials()))
        port = b.listens()
        first = self.expected()
        path = str(self.folder / "b.pem")
        good = (self.folder / "b.pem").read_bytes()
        for content, why in (
            (b"", f"{path} holds no certificate"),
            (good[: len(good) // 2], f"{path} holds no certificate"),
            (None, f"{path}: No such file or directory"),
        ):
            if content is None:
                os.unlink(path)
            else:
                self.written("b.pem", content)
            self.assertEqual((yield self.serial(port)), first)
            self.assertEqual((yield self.serial(port)), first)
            self.assertEqual(self.said[-1], why)
        self.assertEqual(len(self.said), 2)
        self.files("b", key=self.key)
        self.assertEqual((yield self.serial(port)), self.expected())

    @inlineCallbacks
    def test_an_authority_is_changed_for_another_without_a_restart(self) -> Any:
        """Both are in the file for as long as certificates of both are in use."""
        a, b = self.side("a", signer=OTHERS), self.entered(Side("b", self.credentials()))
        a.dials(b.listens(), "b")
        yield true(a.whys)
        for side in "ab":
            self.written(f"{side}-authorities.pem", LAB.pem + OTHERS.pem)
        yield true(lambda: a.room.by_node and b.room.by_node)

    def test_a_certificate_that_is_not_for_this_nodes_name_is_not_taken(self) -> None:
        credentials = self.credentials()
        credentials.claim("b")
        before = credentials.context()
        self.files("b", "c", key=self.key)
        self.assertIs(credentials.context(), before)
        self.assertEqual(self.said, [f"{self.folder / 'b.pem'} is not for this node's name, b"])
        self.files("b", "c", "b", key=self.key)
        self.assertIsNot(credentials.context(), before)

    def test_what_is_taken_is_told(self) -> None:
        taken: list[x509.Certificate] = []
        credentials = Credentials(self.files("b", key=self.key), self.said.append, taken.append)
        credentials.context()
        self.assertEqual(taken, [])
        self.files("b", key=self.key)
        credentials.context()
        credentials.context()
        self.assertEqual([each.serial_number for each in taken], [self.expected()])

    def test_another_key_is_another_node_and_not_taken(self) -> None:
        credentials = self.credentials()
        before = credentials.context()
        self.files("b")
        self.assertIs(credentials.context(), before)
        path = self.folder / "b.pem"
        self.assertEqual(self.said, [f"{path} is of another key, and so of another node: restart"])


class FileTests(TlsCase):
    """What a node starts with."""

    def wrong(self, files: Files) -> str:
        return str(self.assertRaises((OSError, ValueError), Credentials, files))

    def test_each_wrong_file_is_named(self) -> None:
        files = self.files("a")
        for field, what in (
            ("certificate", "no certificate"),
            ("private_key", "no private key, or one with a password"),
            ("authorities", "no certificate of an authority"),
        ):
            for content in (b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"):
                bad = self.written("bad", content)
                self.assertEqual(self.wrong(replace(files, **{field: bad})), f"{bad} holds {what}")
            self.assertIn("No such file", self.wrong(replace(files, **{field: "/nowhere/x.pem"})))
            self.assertIn("directory", self.wrong(replace(files, **{field: str(self.folder)})))

    def test_the_key_of_another_certificate_is_named(self) -> None:
        other = self.files("b").private_key
        wrong = self.wrong(replace(self.files("a"), private_key=other))
        self.assertEqual(wrong, f"{other} holds no private key of that certificate")

    def test_a_key_with_a_password_is_an_error_and_no_question(self) -> None:
        """OpenSSL would ask on the terminal; nobody is there, and all links would wait."""
        path = self.written("locked", key_pem(ec.generate_private_key(ec.SECP256R1()), b"secret"))
        wrong = self.wrong(replace(self.files("a"), private_key=path))
        self.assertEqual(wrong, f"{path} holds no private key, or one with a password")


class Pipe(TlsCase):
    """The connection itself: pressure, and both ways to close."""

    @inlineCallbacks
    def setUp(self) -> Any:
        super().setUp()
        self.machines: list[Machine] = []
        self.gone: list[str] = []
        factory = Factory.forProtocol(self.connection)
        factory.noisy = False
        acceptor, dialler = Credentials(self.files("b")), Credentials(self.files("a"))
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = yield endpoint.listen(accepting(acceptor, factory))
        self.addCleanup(port.stopListening)
        there = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        connection = yield dialling(dialler, there).connect(factory)
        yield true(lambda: len(self.machines) == 2)
        (self.dialled,) = (m for m in self.machines if m.outlet is connection)
        (self.accepted,) = (m for m in self.machines if m is not self.dialled)
        for machine in self.machines:
            yield machine.when(lambda machine=machine: machine.received == b"hello")

    def connection(self) -> PeerConnection:
        return SecurePeerConnection(reactor, self.made, self.gone.append)

    def made(self, connection: PeerConnection) -> Machine:
        self.machines.append(Machine(connection))
        return self.machines[-1]

    @inlineCallbacks
    def ends(self) -> Any:
        for machine in self.machines:
            yield machine.when(lambda machine=machine: "lost" in machine.said)
        self.assertEqual(len(self.gone), 2)

    @inlineCallbacks
    def test_finish_lets_all_out_that_was_written(self) -> Any:
        self.dialled.outlet.write(bytes(3_000_000))
        self.dialled.outlet.finish()
        yield self.ends()
        self.assertEqual(len(self.accepted.received), 3_000_005)

    @inlineCallbacks
    def test_a_full_connection_pauses_its_link_and_resumes_it_when_it_is_empty(self) -> Any:
        for sender, receiver in (self.machines, self.machines[::-1]):
            receiver.outlet.transport.pauseProducing()
            written = 0
            while "paused" not in sender.said:
                sender.outlet.write(bytes(4_000))  # less than may wait here
                written += 4_000
                yield sender.when(lambda: True)
                self.assertLess(written, 50_000_000)
            self.assertNotIn("resumed", sender.said)
            receiver.outlet.transport.resumeProducing()
            yield sender.when(lambda sender=sender: "resumed" in sender.said)
            yield receiver.when(lambda receiver=receiver, size=written + 5: len(receiver.received) == size)
        self.dialled.outlet.finish()
        yield self.ends()

    @inlineCallbacks
    def test_little_waits_here_while_the_peer_does_not_read(self) -> Any:
        """Behind it data is stale and control late: what is above it waits in the link's queue."""
        sender, receiver = self.machines
        receiver.outlet.transport.pauseProducing()
        tls = sender.outlet.transport
        most = 0
        while "paused" not in sender.said:
            for _ in range(100):
                if "paused" in sender.said:
                    break
                sender.outlet.write(bytes(1404))
                sealed = tls.transport
                waits = sum(map(len, tls._aggregator._buffer)), sealed._tempDataLen + len(sealed.dataBuffer)
                most = max(most, sum(waits) + sum(map(len, tls._appSendBuffer)))
            yield sender.when(lambda: True)
        self.assertLess(most, UNSENT + 2 * RECORD)
        sender.outlet.abort()
        receiver.outlet.transport.resumeProducing()
        yield self.ends()

    @inlineCallbacks
    def test_abort_does_not_wait_for_a_peer_that_does_not_read(self) -> Any:
        self.accepted.outlet.transport.pauseProducing()
        for _ in range(200):
            self.dialled.outlet.write(bytes(65_536))
        self.dialled.outlet.finish()
        yield self.dialled.when(lambda: True)
        self.assertNotIn("lost", self.dialled.said)
        began = reactor.seconds()
        self.dialled.outlet.abort()
        yield self.dialled.when(lambda: "lost" in self.dialled.said)
        self.assertLess(reactor.seconds() - began, 0.5)
        self.accepted.outlet.transport.resumeProducing()
        yield self.ends()


class NameTests(SynchronousTestCase):
    key = ec.generate_private_key(ec.SECP256R1())

    def named(self, name: str, *names: str) -> bool:
        return is_named(LAB.certificate(*names, key=self.key), name)

    def test_are_those_of_the_certificate_in_any_case(self) -> None:
        self.assertTrue(self.named("a", "a"))
        self.assertTrue(self.named("Studio-1", "studio-1"))
        self.assertTrue(self.named("a.example.net", "x", "a.example.net"))

    def test_are_no_others(self) -> None:
        for name, names in (
            ("a", ("b",)),
            ("a", ("a.example.net",)),
            ("a.example.net", ("a",)),
            ("10.0.0.1", ("a",)),
            ("bücher", ("a",)),
            ("", ("a",)),
            ("a b", ("a",)),
            ("*.example.net", ("a.example.net",)),
        ):
            self.assertFalse(self.named(name, *names), name)

    def test_a_certificate_without_any_is_nobodys(self) -> None:
        builder = LAB.builder(LAB.name, self.key.public_key(), GOOD)
        self.assertFalse(is_named(builder.sign(LAB.key, SHA256()), "lab"))

    def test_a_certificate_with_a_name_of_a_kind_that_is_not_read_is_nobodys(self) -> None:
        held = CarelessAuthority().certificate("a", key=self.key)
        self.assertFalse(is_named(held, "a"))
        self.assertEqual(
            objection(X509.from_cryptography(held), ("a",), node_of(held)), "its certificate is not a's"
        )

    def test_a_key_of_an_unknown_kind_is_no_nodes_and_said_in_words(self) -> None:
        """On a curve that nobody knows, as the fuzzer had it."""
        good = LAB.certificate("a", key=self.key).public_bytes(Encoding.DER)
        curve = bytes.fromhex("06082a8648ce3d030107")
        held = load_certificate(FILETYPE_ASN1, good.replace(curve, curve[:-1] + b"\x70"))
        self.assertRaisesRegex(ValueError, "of no kind that is known here", node_of, held.to_cryptography())
        self.assertEqual(
            objection(held, ("a",), 0),
            "its certificate, or the key in it, is of a kind that cannot be read here",
        )

    def test_the_node_id_is_the_keys_whatever_the_certificate(self) -> None:
        one, two = LAB.certificate("a", key=self.key), OTHERS.certificate("b", key=self.key, valid=EXPIRED)
        self.assertEqual(node_of(one), node_of(two))

    def test_what_is_no_matter_of_tls_is_not_explained(self) -> None:
        connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.assertIsNone(explain(connection, ConnectionResetError()))
        self.assertIsNone(explain(connection, None))
