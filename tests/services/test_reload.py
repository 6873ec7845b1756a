"""Reading node.ini again with a real node that is not started: what becomes of each part, and of mistakes.

With links, a TAP and a stream: tests/netns/test_reload.py.
"""

import os
import random
import signal
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase, TestCase

from multicastmw.config import load
from multicastmw.core.addressing import Channel
from multicastmw.core.events import CertificateAge, NotReloaded
from multicastmw.core.sessions.scopes import GLOBAL
from multicastmw.net.clockwork import monotonic, wall
from multicastmw.net.tls import Credentials, Files
from multicastmw.services import reload as module
from multicastmw.services.certificate import LOOK, CertificateService
from multicastmw.services.node import NodeService
from multicastmw.services.reload import Outcome, ReloadService
from multicastmw.wire import ipv4
from multicastmw.wire.sap import Announcement
from multicastmw.wire.udp import Datagram
from tests.net.test_tls import DAY, LAB, NOW, Authority, key_pem

HEAD = "[node]\nname = a\n[control]\nsocket =\n"
GROUP = ipv4.number("239.1.1.1")


class Case(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.path = self.folder / "node.ini"

    def makes(self, text: str = "") -> NodeService:
        self.writes(text)
        config = load(str(self.path), "host")
        self.node = NodeService(config, monotonic(reactor), random.Random(1), str(self.path))
        assert self.node.reloading
        self.service: ReloadService = self.node.reloading
        return self.node

    def writes(self, text: str) -> None:
        self.path.write_text(HEAD + text)

    def reloads(self, text: str) -> Deferred[Outcome]:
        self.writes(text)
        return self.service.reload()

    def told(self, kind: type) -> list[Any]:
        return [event for _, event in self.node.journal.events if isinstance(event, kind)]


class Parts(Case):
    @inlineCallbacks
    def test_each_has_its_new_value_and_keeps_its_state(self) -> Any:
        node = self.makes("[tap]\naddress = 10.88.0.1/24\n")
        destination, querier, room = node.destination, node.tap.querier, node.room
        outcome = yield self.reloads(
            "[tap]\naddress = 10.88.0.1/24\nttl-floor = 7\nreassemble = yes\ngroups = 239.0.0.0/8\n"
            "[igmp]\nversion = 2\nquery-interval = 30\nrobustness = 3\nquerier-address = 10.88.0.9\n"
            "[groups]\ndeny =\npin = 239.1.1.1\n[listen]\nkeepalive-timeout = 3\n[log]\nlevel = debug\n"
        )
        self.assertEqual(outcome.error, "")
        self.assertIs(node.destination, destination)
        self.assertEqual((destination.ttl_floor, bool(destination.reassembler)), (7, True))
        self.assertTrue(destination.admits(ipv4.number("239.255.255.250")))
        self.assertEqual(destination.wanted(), [(GROUP, 0)])
        self.assertEqual([c for c, _ in node.router.wanted()], [Channel(GROUP)])
        self.assertIs(node.tap.querier, querier)
        settings = querier.settings
        self.assertEqual((settings.version, settings.query_interval, settings.robustness), (2, 30.0, 3))
        self.assertEqual(ipv4.text(querier.address), "10.88.0.9")
        self.assertEqual((room.here.keep_alive, room.our_open(1).keep_alive), (3, 3))
        self.assertEqual([str(group) for group in node.tap.config.groups], ["239.0.0.0/8"])
        self.assertEqual(node.journal.level, LogLevel.debug)
        yield self.reloads("[tap]\naddress = 10.88.0.1/24\n")
        destination.tick(node.reactor.seconds())  # it finishes what it has begun
        self.assertEqual(
            (destination.ttl_floor, destination.reassembler, destination.wanted()), (0, None, [])
        )
        self.assertEqual(ipv4.text(querier.address), "10.88.0.254")

    @inlineCallbacks
    def test_forward_error_correction_is_switched(self) -> Any:
        node = self.makes()
        self.assertEqual((node.room.our_open(1).correction, node.status().fec), (0, None))
        for mode in ("auto", "on", "off"):
            yield self.reloads(f"[recovery]\nfec = {mode}\n")
            shown = node.status().fec
            self.assertEqual(shown.mode if shown else "off", mode)
            self.assertEqual(node.room.our_open(1).correction, 0 if mode == "off" else 64)
            self.assertEqual(node.fec.fec.always, mode == "on")

    @inlineCallbacks
    def test_how_many_feeds_a_stream_of_the_mesh_has_is_another_at_once(self) -> Any:
        mesh = "[overlay]\nengine = mesh\nseeds = tcp:b:4600\n"
        node = self.makes(mesh)
        assert node.mesh
        yield self.reloads(mesh + "feeds = 2\nfeeds-groups = 239.1.1.0/24\nrotate = 60\nuplink = 1000\n")
        settings, status = node.mesh.mesh.settings, node.status().mesh
        self.assertEqual([2, 1], [settings.feeds_of(group) for group in (GROUP, 0xE0020202)])
        self.assertEqual((60.0, 20_000), (settings.rotate, settings.uplink))
        self.assertEqual((2, ("239.1.1.0/24",)), (status.feeds, status.feeds_groups) if status else None)
        (waits,) = self.service.pending
        self.assertEqual("[overlay] uplink", waits.what)

    @inlineCallbacks
    def test_a_node_of_the_mesh_that_listens_no_more_says_that_it_cannot_be_dialled(self) -> Any:
        mesh = "[overlay]\nengine = mesh\nseeds = tcp:b:4600\n"
        node = self.makes(mesh)
        outcome = yield self.reloads(mesh + "[listen]\nendpoint =\n")
        (change,) = outcome.changes
        self.assertIn("neighbours hear of it over links made from now on", change.sentence())
        status = node.status().mesh
        self.assertEqual(False, status.dialable if status else None)

    @inlineCallbacks
    def test_what_the_kernel_does_not_let_us_do_waits_and_the_rest_is_done(self) -> Any:
        """A node that gave up root may not change routes."""
        node = self.makes()
        denied = PermissionError(1, "Operation not permitted")
        with patch.object(node.tap, "reconfigure", side_effect=denied):
            outcome = yield self.reloads("[tap]\ngroups = 239.0.0.0/8\nttl-floor = 3\n")
        self.assertEqual([change.sentence() for change in outcome.changes], [
            "[tap] groups: 224.0.0.0/4 -> 239.0.0.0/8, needs a restart"
            " (the kernel says: Operation not permitted)",
            "[tap] ttl-floor: 0 -> 3",
        ])  # fmt: skip
        self.assertEqual([str(group) for group in node.tap.config.groups], ["224.0.0.0/4"])
        self.assertEqual(node.destination.ttl_floor, 3)
        yield self.service.reload()  # nothing stands in the way any more
        self.assertEqual([str(group) for group in node.tap.config.groups], ["239.0.0.0/8"])
        self.assertEqual(self.service.pending, ())

    @inlineCallbacks
    def test_what_waits_for_a_restart_is_a_warning_of_the_status(self) -> Any:
        node = self.makes()
        before = node.status().warnings
        yield self.reloads("[listen]\nudp-port = 5000\n")
        self.assertEqual(node.config.listen.udp_port, 4600)
        (warning,) = set(node.status().warnings) - set(before)
        self.assertEqual(warning, "[listen] udp-port: 4600 -> 5000, needs a restart")
        yield self.reloads("")
        self.assertEqual(node.status().warnings, before)


class Mistakes(Case):
    @inlineCallbacks
    def test_the_last_refused_one_is_in_the_status_until_a_good_one(self) -> Any:
        node = self.makes()
        self.assertIsNone(node.status().refused_reload)
        for option in ("mtu = no", "ttl-floor = 300"):
            outcome = yield self.reloads(f"[tap]\n{option}\n")
            refused = node.status().refused_reload
            assert refused
            self.assertEqual(refused.why, outcome.error)
            self.assertIn(option.partition(" ")[0], refused.why)
            self.assertLess(abs(wall() - refused.ago - refused.at), 1)
        yield self.reloads("")
        self.assertIsNone(node.status().refused_reload)

    @inlineCallbacks
    def test_a_port_that_is_lost_between_two_is_tried_again_and_shown_meanwhile(self) -> Any:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        old, new = (f"tcp:{port}:interface=127.0.0.{i}" for i in (1, 2))
        node = self.makes(f"[listen]\nendpoint = {old}\n")
        node.running = 1  # as far as what listens is concerned
        node.listening.privilegedStartService()
        others = [socket.socket(), socket.socket()]
        others[1].bind(("127.0.0.2", port))
        others[1].listen()
        closes = node.listening.stopService

        @inlineCallbacks
        def another_is_quicker() -> Any:
            yield maybeDeferred(closes)
            others[0].bind(("127.0.0.1", port))
            others[0].listen()

        node.listening.stopService = another_is_quicker
        outcome = yield self.reloads(f"[listen]\nendpoint = {new}\n")
        self.assertIn(f"endpoint: {new}: Address already in use; nor can {old} be had again", outcome.error)
        status = node.status()
        self.assertIsNone(status.node.listening)
        self.assertTrue([w for w in status.warnings if old in w and "listens nowhere" in w], status.warnings)
        for other in others:
            other.close()
        while node.listening.why:
            yield deferLater(reactor, 0.01)
        self.assertEqual(node.status().node.listening, old)
        outcome = yield self.reloads(f"[listen]\nendpoint = {new}\n")
        self.assertEqual((outcome.error, node.status().node.listening), ("", new))
        yield maybeDeferred(node.listening.stopService)
        node.running = 0

    @inlineCallbacks
    def test_a_wrong_file_changes_nothing_and_says_why(self) -> Any:
        node = self.makes()
        config = node.config
        outcome = yield self.reloads("[tap]\nttl-floor = 7\n[listen]\nkeepalive-timeout = 0\n")
        why = f"{self.path}: [listen] keepalive-timeout: '0' is not a whole number from 1 to 3,600"
        self.assertEqual(outcome.document(), {"ok": False, "file": str(self.path), "error": why})
        self.assertIs(node.config, config)
        self.assertEqual(node.destination.ttl_floor, 0)
        (event,) = self.told(NotReloaded)
        self.assertEqual(event.sentence(), f"{why}; nothing is changed")

    @inlineCallbacks
    def test_a_file_that_says_nothing_is_not_believed(self) -> Any:
        node = self.makes()
        config = node.config
        for text in ("", "\n# saved in a moment\n"):
            self.path.write_text(text)
            outcome = yield self.service.reload()
            self.assertIn("has no section at all", outcome.error)
            self.assertIs(node.config, config)

    @inlineCallbacks
    def test_a_mistake_of_ours_costs_one_reload_and_not_those_to_come(self) -> Any:
        self.makes()
        with patch.object(module, "compare", side_effect=ZeroDivisionError("ours")):
            outcome = yield self.reloads("")
        self.assertIn("the node failed at it", outcome.error)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((yield self.reloads("[tap]\nttl-floor = 2\n")).error, "")
        self.assertEqual(self.node.destination.ttl_floor, 2)


class Asking(Case):
    @inlineCallbacks
    def test_two_at_once_are_one_after_the_other_and_those_behind_share_one(self) -> Any:
        self.makes()
        running, read = [0, 0], []

        def reads(*arguments: Any, **named: Any) -> Any:
            running[0] += 1
            running[1] = max(running)
            read.append(1)
            try:
                return load(*arguments, **named)
            finally:
                running[0] -= 1

        with patch.object(module, "load", reads):
            self.writes("[tap]\nttl-floor = 1\n")
            first = self.service.reload()
            later = [self.service.reload() for _ in range(50)]
            yield first
            self.writes("[tap]\nttl-floor = 2\n")
            yield gatherResults([*later, self.service.reload()])
        self.assertEqual(running[1], 1)
        self.assertLessEqual(len(read), 3)
        self.assertEqual(self.node.destination.ttl_floor, 2)

    @inlineCallbacks
    def test_sighup_does_it_while_the_service_is_there(self) -> Any:
        self.makes()
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGHUP, before)
        self.service.privilegedStartService()
        self.service.startService()
        self.writes("[tap]\nttl-floor = 3\n")
        os.kill(os.getpid(), signal.SIGHUP)
        yield self.until(lambda: self.node.destination.ttl_floor == 3)
        yield self.service.reload()  # the one before is done
        self.service.stopService()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)

    @inlineCallbacks
    def until(self, true: Callable[[], bool]) -> Any:
        from twisted.internet.task import deferLater

        while not true():
            yield deferLater(reactor, 0.01)


class Keys(Case):
    def setUp(self) -> None:
        super().setUp()
        self.key = ec.generate_private_key(ec.SECP256R1())
        (self.folder / "ca.pem").write_bytes(LAB.pem)

    def keys(self, stem: str, name: str = "a", key: Any = None, valid: Any = (-DAY, 90 * DAY)) -> str:
        """Makes the files, and gives the [tls] that names them, beside node.ini."""
        key = key or self.key
        certificate = LAB.certificate(name, key=key, valid=valid)
        (self.folder / f"{stem}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (self.folder / f"{stem}.key").write_bytes(key_pem(key))
        return f"[tls]\ncertificate = {stem}.pem\nprivate-key = {stem}.key\nauthorities = ca.pem\n"

    @inlineCallbacks
    def test_other_files_of_the_same_key_are_taken(self) -> Any:
        node = self.makes(self.keys("old"))
        credentials, context = node.credentials, node.credentials.context()
        outcome = yield self.reloads(self.keys("new"))
        self.assertEqual([str(c.effect) for c in outcome.changes], ["applied"] * 2)
        self.assertIs(node.credentials, credentials)
        self.assertIsNot(credentials.context(), context)
        self.assertEqual(credentials.path, str(self.folder / "new.pem"))
        (self.folder / "old.pem").unlink()
        self.assertIs(credentials.context(), credentials.context())

    @inlineCallbacks
    def test_those_of_another_key_wait_for_a_restart(self) -> Any:
        node = self.makes(self.keys("old"))
        text = self.keys("new", key=ec.generate_private_key(ec.SECP256R1()))
        outcome = yield self.reloads(text + "[listen]\nkeepalive-timeout = 3\n")
        self.assertEqual({c.what: str(c.effect) for c in outcome.changes}, {
            "[listen] keepalive-timeout": "applied",
            "[tls] certificate": "restart",
            "[tls] private-key": "restart",
        })  # fmt: skip
        self.assertEqual(node.credentials.path, str(self.folder / "old.pem"))

    @inlineCallbacks
    def test_those_that_would_end_a_start_refuse_the_reload(self) -> Any:
        node = self.makes(self.keys("old"))
        for text, why in (
            (self.keys("new", name="b"), f"{self.folder}/new.pem is not for this node's name, a"),
            (self.keys("old").replace("old.key", "x.key"), f"{self.folder}/x.key: No such file or directory"),
        ):
            outcome = yield self.reloads(text + "[tap]\nttl-floor = 9\n")
            self.assertEqual(outcome.error, f"{self.path}: [tls] {why}")
            self.assertEqual(node.destination.ttl_floor, 0)
            self.assertEqual(node.credentials.path, str(self.folder / "old.pem"))

    @inlineCallbacks
    def test_a_renewed_certificate_is_taken_and_a_short_one_is_a_warning(self) -> Any:
        text = self.keys("own", valid=(-DAY, 3 * DAY + timedelta(hours=1)))
        node = self.makes(text)
        (warning,) = [w for w in node.status().warnings if "own.pem" in w]
        self.assertRegex(warning, r"^\[tls\] .*/own.pem expires on .* UTC, in 3 days$")
        outcome = yield self.reloads(text)
        self.assertIn(warning, outcome.warnings)
        (event,) = self.told(CertificateAge)
        self.assertEqual(event.sentence(), warning)
        outcome = yield self.reloads(self.keys("own"))
        self.assertEqual([w for w in outcome.warnings if "own.pem" in w], [])


class Certificates(SynchronousTestCase):
    """The watch over the node's own certificate, by a simulated clock."""

    def test_it_warns_at_the_start_and_once_a_day_and_says_when_it_is_over(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = LAB.certificate("a", key=key, valid=(-DAY, 2 * DAY + timedelta(minutes=30)))
        (folder / "a.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / "a.key").write_bytes(key_pem(key))
        (folder / "ca.pem").write_bytes(LAB.pem)
        files = Files(*(str(folder / name) for name in ("a.pem", "a.key", "ca.pem")))
        clock, told = Clock(), []
        began = NOW.timestamp()
        service = CertificateService(Credentials(files), told.append, clock, lambda: began + clock.seconds())
        service.startService()
        self.assertEqual([event.what.partition(" on ")[0] for event in told], ["expires"])
        clock.pump([LOOK] * 23)
        self.assertEqual(len(told), 1)
        clock.pump([LOOK] * 50)
        self.assertEqual(
            [event.what.partition(" on ")[0] for event in told],
            ["expires", "expires", "expires", "has expired", "has expired"][: len(told)],
        )
        self.assertTrue(told[-1].what.startswith("has expired"))
        self.assertEqual(
            [warning.rpartition(" on ")[0] for warning in service.warnings()],
            [f"[tls] {folder}/a.pem has expired", "[tls] the authority CN=lab has expired"],
        )
        service.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_its_end_and_what_became_of_new_files_are_for_the_status(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        key = ec.generate_private_key(ec.SECP256R1())
        lasting = Authority(valid=(-DAY, 3650 * DAY))

        def put(days: int, held: ec.EllipticCurvePrivateKey = key) -> None:
            made = lasting.certificate("a", key=held, valid=(-DAY, days * DAY))
            (folder / "a.pem").write_bytes(made.public_bytes(Encoding.PEM))

        put(100)
        (folder / "a.key").write_bytes(key_pem(key))
        (folder / "ca.pem").write_bytes(lasting.pem)
        files = Files(*(str(folder / name) for name in ("a.pem", "a.key", "ca.pem")))
        began = NOW.timestamp()
        service = CertificateService(Credentials(files), lambda event: None, Clock(), lambda: began)
        self.assertEqual((service.warnings(), round(service.left / 86_400)), ((), 100))
        self.assertFalse(service.look())
        put(200)
        self.assertTrue(service.look())
        self.assertEqual(service.valid_until, f"{NOW + 200 * DAY:%Y-%m-%d %H:%M} UTC")
        put(300, ec.generate_private_key(ec.SECP256R1()))
        self.assertFalse(service.look())
        (warning,) = service.warnings()
        self.assertTrue(warning.endswith("what was there before stays in use"), warning)
        self.assertEqual(round(service.left / 86_400), 200)
        put(300)
        self.assertTrue(service.look())
        self.assertEqual((service.warnings(), service.not_renewed), ((), ""))


class Announced(Case):
    """[session:NAME], of which a program of this host hears the last words, too."""

    TAP = "[tap]\naddress = 10.88.0.2/24\n"
    NEWS = "[session:news]\ngroup = 239.1.1.1\nport = 5004\nname = The news\n"
    SHUT = "[groups]\ndeny = 224.2.127.254/32\n"

    @inlineCallbacks
    def test_the_deletion_is_said_before_its_way_is_shut(self) -> Any:
        for after in ("", self.SHUT, self.SHUT + self.NEWS, "[groups]\ndeny = 239.1.1.0/24\n" + self.NEWS):
            node = self.makes(self.TAP + self.NEWS)
            heard: list[bytes] = []
            node.destination.longest = 1_412
            node.destination.write = lambda frame, heard=heard: heard.append(bytes(frame[1]))
            node.destination.want(GLOBAL, 0)
            node.sessions.startService()
            self.addCleanup(node.sessions.stopService)
            node.sessions.destination.announcer.tick(node.reactor.seconds() + 1)
            outcome = yield self.reloads(self.TAP + after)
            self.assertEqual("", outcome.error)
            said = [Announcement.parse(Datagram.parse(each).payload) for each in heard]
            self.assertEqual([False, True], [each.deletion for each in said], after)
            self.assertIn(b"The news", said[-1].payload)
