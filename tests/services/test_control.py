"""The control socket: who may have the path, and what it answers."""

import os
import shutil
import socket
import stat
import tempfile
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, inlineCallbacks
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody

from multicastmw.services.control import CALLERS_MAX, ControlService
from multicastmw.services.errors import CannotStart
from tests.fuzz.target import load


class Endpoints:
    def __init__(self, path: str) -> None:
        self.path = path

    def endpointForURI(self, uri: Any) -> UNIXClientEndpoint:
        return UNIXClientEndpoint(reactor, self.path)


class Sockets(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.path = os.path.join(self.dir, "s")
        self.value: Any = {"node": "a"}

    def starts(self, path: str | None = None) -> ControlService:
        control = ControlService(path or self.path, self.status, reactor)
        control.privilegedStartService()
        control.startService()
        self.addCleanup(control.stopService)
        self.control = control
        return control

    def status(self) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    @inlineCallbacks
    def asks(self, what: bytes = b"/status", method: bytes = b"GET") -> Any:
        agent = Agent.usingEndpointFactory(reactor, Endpoints(self.path))
        response = yield agent.request(method, b"http://node" + what)
        body = yield readBody(response)
        return response.code, body

    @inlineCallbacks
    def test_it_answers_with_the_snapshot_as_json(self) -> Any:
        self.starts()
        self.assertEqual((yield self.asks()), (200, b'{"node": "a"}\n'))
        self.value = {"node": "b"}
        self.assertEqual((yield self.asks()), (200, b'{"node": "b"}\n'))

    @inlineCallbacks
    def test_it_tells_what_has_happened(self) -> Any:
        self.starts()
        self.assertEqual((yield self.asks(b"/events")), (200, b'{"events": []}\n'))
        self.control._events = lambda: [{"text": "b is up"}]
        self.assertEqual((yield self.asks(b"/events")), (200, b'{"events": [{"text": "b is up"}]}\n'))

    @inlineCallbacks
    def test_other_questions_are_no_error_of_the_node(self) -> Any:
        self.starts()
        self.assertEqual((yield self.asks(b"/nothing"))[0], 404)
        self.assertEqual((yield self.asks(method=b"POST"))[0], 405)

    def test_a_uri_that_is_not_ascii_is_not_found_and_no_error_of_the_node(self) -> None:
        self.starts()
        target = load("control")  # which fails for whatever is logged
        for method in (b"GET", b"POST", b"X"):
            target(method + b" /\x83status HTTP/1.1\r\nHost: x\r\n\r\n")

    @inlineCallbacks
    def test_what_is_asked_for_and_fails_shows_no_traceback(self) -> Any:
        control = ControlService(
            self.path, self.status, reactor, {"reload": lambda: fail(KeyError("secret"))}
        )
        control.privilegedStartService()
        control.startService()
        self.addCleanup(control.stopService)
        self.assertEqual((yield self.asks(b"/reload", b"POST")), (500, b""))
        self.assertEqual((yield self.asks(b"/reload"))[0], 405)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    @inlineCallbacks
    def test_a_snapshot_that_fails_shows_no_traceback(self) -> Any:
        self.starts()
        self.value = ZeroDivisionError("secret")
        code, body = yield self.asks()
        self.assertEqual(code, 500)
        self.assertNotIn(b"secret", body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_owner_and_group_may_talk_to_it_and_nobody_else(self) -> None:
        self.starts()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o660)

    @inlineCallbacks
    def test_a_stale_socket_is_replaced(self) -> Any:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(self.path)
        self.starts()
        self.assertEqual((yield self.asks())[0], 200)

    @inlineCallbacks
    def test_a_live_one_is_another_nodes(self) -> Any:
        self.starts()
        error = self.assertRaises(CannotStart, self.starts)
        self.assertIn("another node answers at", str(error))
        self.assertEqual((yield self.asks())[0], 200)

    def test_a_node_that_hangs_is_a_live_one(self) -> None:
        """Its backlog is full, so a connection would wait for ever."""
        with socket.socket(socket.AF_UNIX) as hung:
            hung.bind(self.path)
            hung.listen(0)
            callers = []
            for _ in range(3):
                caller = socket.socket(socket.AF_UNIX)
                caller.setblocking(False)
                self.addCleanup(caller.close)
                callers.append(caller.connect_ex(self.path))
            self.assertIn(11, callers)
            self.assertRaises(CannotStart, self.starts)

    def test_a_file_that_is_no_socket_is_left_alone(self) -> None:
        with open(self.path, "w") as file:
            file.write("precious")
        error = self.assertRaises(CannotStart, self.starts)
        self.assertIn("[control] socket", str(error))
        with open(self.path) as file:
            self.assertEqual(file.read(), "precious")

    def test_a_path_that_cannot_be_is_one_line(self) -> None:
        with open(os.path.join(self.dir, "file"), "w"):
            pass
        for path in (os.path.join(self.dir, "x" * 120), os.path.join(self.dir, "file", "s"), self.dir):
            error = self.assertRaises(CannotStart, self.starts, path)
            self.assertTrue(str(error).startswith(f"[control] socket: {path}: "), str(error))
            self.assertNotIn("\n", str(error))
        for call in reactor.getDelayedCalls():  # Twisted starts a site before it has a socket for it
            call.cancel()

    @inlineCallbacks
    def test_a_clean_exit_takes_it_away(self) -> Any:
        control = self.starts()
        yield control.stopService()
        self.assertFalse(os.path.exists(self.path))

    # --- local users who are no friends

    def calls(self, says: bytes = b"") -> socket.socket:
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(caller.close)
        caller.settimeout(0)
        caller.connect(self.path)
        if says:
            caller.send(says)
        return caller

    def ends(self, caller: socket.socket) -> Any:
        """Fires when the node has hung up."""

        def look() -> bool:
            try:
                return caller.recv(65536) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True

        return self.until(look)

    def until(self, true: Any) -> Any:
        done: Any = Deferred()

        def look() -> None:
            if true():
                done.callback(None)
            else:
                reactor.callLater(0.01, look)

        look()
        return done

    @inlineCallbacks
    def test_so_many_may_be_silent_at_a_time_and_others_are_hung_up_on(self) -> Any:
        self.starts()
        silent = [self.calls() for _ in range(CALLERS_MAX)]
        yield self.ends(self.calls())
        for caller in silent:
            self.assertRaises(BlockingIOError, caller.recv, 1)
        silent.pop().close()
        silent.pop().close()
        yield self.until(lambda: self._port_callers() < CALLERS_MAX)
        self.assertEqual((yield self.asks())[0], 200)
        for caller in silent:
            caller.close()

    def _port_callers(self) -> int:
        return int(self.control._port._port.factory.callers)

    @inlineCallbacks
    def test_a_body_that_is_too_long_ends_the_connection_unread(self) -> Any:
        self.starts()
        for head in (b"Content-Length: 1000000000", b"Content-Length: 65537"):
            yield self.ends(self.calls(b"POST /status HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n"))
        chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
        endless = b"POST /status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + 3 * chunk
        yield self.ends(self.calls(endless))
        self.assertEqual((yield self.asks())[0], 200)

    @inlineCallbacks
    def test_a_head_that_is_too_long_does_too(self) -> Any:
        self.starts()
        yield self.ends(self.calls(b"GET /status HTTP/1.1\r\n" + b"X: " + b"x" * 20_000 + b"\r\n"))
        yield self.ends(self.calls(b"GET /" + b"x" * 20_000))
        self.assertEqual((yield self.asks())[0], 200)
