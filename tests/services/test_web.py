"""The web service of a node that is not started otherwise, asked over real connections."""

import json
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from multicastmw.core import output as output_module
from multicastmw.core.events import WebRefused
from multicastmw.core.output import VIEWERS_MAX
from multicastmw.services import web as module
from multicastmw.services.errors import CannotStart
from multicastmw.services.web import CALLERS_MAX, CALLERS_OF_ONE, WebService
from multicastmw.web import files
from multicastmw.web import http as web_http
from multicastmw.web import output as web_output
from multicastmw.web.http import BODY_MAX
from tests.core.test_output import TS, rtp, udp
from tests.core.test_output import Case as OutputCase
from tests.services.test_reload import Case as ReloadCase

HERE = "[web]\nendpoint = tcp:0:interface=127.0.0.1\n"
TOKEN = "a-token-of-sixteen-signs"
OPEN = f"[web]\nendpoint = tcp:0\ntoken = {TOKEN}\n"


class Talk(Protocol):
    """A connection that says something and hears all that is answered."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.heard = b""
        self.over: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport
        self.transport.write(self.says)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.over.callback(self.heard)

    @property
    def is_over(self) -> bool:
        return bool(self.over.called)


class Answer:
    """What was answered: code, headers, body."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.code = int(first.split()[1]) if first else 0
        self.phrase = first.partition(" ")[2].partition(" ")[2]
        self.headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}

    @property
    def line(self) -> str:
        return self.body.decode().strip()


class Case(ReloadCase):
    """A node whose web service alone is started."""

    def serves(self, text: str = HERE) -> WebService:
        node = self.makes(text)
        self.web = node.web
        self.web.privilegedStartService()
        self.addCleanup(self.ends)
        return self.web

    @inlineCallbacks
    def ends(self) -> Any:
        yield maybeDeferred(self.web.stopService)
        yield deferLater(reactor, 0.01)  # connections that were cut are told in a later turn

    @property
    def port(self) -> int:
        return int(self.web._port.getHost().port)

    @inlineCallbacks
    def calls(self, says: bytes = b"", host: str = "127.0.0.1") -> Any:
        endpoint = HostnameEndpoint(reactor, host, self.port)
        talk = yield connectProtocol(endpoint, Talk(says))
        self.addCleanup(talk.transport.abortConnection)
        return talk

    @inlineCallbacks
    def asks(self, path: str = "/status", method: str = "GET", body: str = "", **headers: str) -> Any:
        given = {
            "Host": f"127.0.0.1:{self.port}",
            "Connection": "close",
            **({"Content-Length": str(len(body))} if body else {}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        talk = yield self.calls(f"{method} {path} HTTP/1.1\r\n{lines}\r\n{body}".encode("latin-1"))
        raw = yield talk.over
        return Answer(raw)

    def until(self, true: Any) -> Any:
        done: Deferred[None] = Deferred()

        def look() -> None:
            if true():
                done.callback(None)
            else:
                reactor.callLater(0.01, look)

        look()
        return done


class Serving(Case):
    @inlineCallbacks
    def test_the_status_is_the_one_that_the_control_socket_has(self) -> Any:
        self.serves()
        answer = yield self.asks()
        self.frozen = self.node.status()
        self.assertEqual((200, "application/json"), (answer.code, answer.headers["content-type"]))
        found, wanted = json.loads(answer.body), json.loads(json.dumps(self.frozen.as_dict()))
        self.assertEqual(wanted.keys(), found.keys())
        self.assertEqual(json.loads(json.dumps(wanted)), json.loads(self.frozen.json()))
        self.assertEqual(wanted["node"]["id"], found["node"]["id"])
        self.assertEqual(found["web"]["counters"]["requests"], 1)

    @inlineCallbacks
    def test_every_answer_has_the_headers_that_keep_a_browser_safe(self) -> Any:
        self.serves()
        for path, code in (
            ("/status", 200),
            ("/nothing", 404),
            ("/../x", 400),
            ("/udp/x", 400),
            ("/metrics", 200),
        ):
            answer = yield self.asks(path)
            self.assertEqual(code, answer.code, path)
            for name in (
                "content-security-policy",
                "x-content-type-options",
                "referrer-policy",
                "cache-control",
            ):
                self.assertIn(name, answer.headers, path)
            self.assertNotIn("server", answer.headers)
            self.assertFalse([name for name in answer.headers if name.startswith("access-control")])

    @inlineCallbacks
    def test_head_is_get_without_a_body(self) -> Any:
        self.serves()
        for path in ("/status", "/metrics", "/nothing"):
            head, get = yield gatherResults([self.asks(path, "HEAD"), self.asks(path)])
            self.assertEqual((get.code, b""), (head.code, head.body), path)
            self.assertEqual(get.headers["content-type"], head.headers["content-type"])

    @inlineCallbacks
    def test_what_is_not_there_is_one_line_and_no_list(self) -> Any:
        self.serves()
        for path in (
            "/nothing",
            "/page",
            "/page/x.js",
            "/udp",
            "/udp/",
            "/status/x",
            "/udp/239.1.1.1:5004/x",
            "/metrics.html",
        ):
            answer = yield self.asks(path)
            self.assertEqual((404, "there is nothing here"), (answer.code, answer.line), path)

    @inlineCallbacks
    def test_methods_that_a_resource_does_not_take(self) -> Any:
        self.serves()
        answer = yield self.asks(method="POST", Sec_Fetch_Site="same-origin")
        self.assertEqual((405, "GET, HEAD"), (answer.code, answer.headers["allow"]))
        for method in ("POST", "PUT", "DELETE"):
            self.assertEqual(403, (yield self.asks(method=method)).code)
        for method in ("TRACE", "OPTIONS", "BREW"):
            self.assertEqual(501, (yield self.asks(method=method)).code)

    @inlineCallbacks
    def test_a_mistake_of_ours_is_one_line_and_its_traceback_is_for_the_log(self) -> Any:
        self.serves()
        self.patch(self.node.snapshots, "take", lambda now: 1 // 0)
        for path in ("/status", "/metrics", "/status"):
            answer = yield self.asks(path)
            self.assertEqual((500, "the node failed at it, and its log says why"), (answer.code, answer.line))
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))

    @inlineCallbacks
    def test_many_who_ask_at_once_share_a_snapshot(self) -> Any:
        self.serves()
        taken: list[float] = []
        take = self.node.snapshots.take
        self.patch(self.node.snapshots, "take", lambda now: taken.append(now) or take(now))
        yield gatherResults([self.asks() for _ in range(8)])
        self.assertLess(len(taken), 8)

    @inlineCallbacks
    def test_a_page_of_ours_has_a_stream_looked_at_and_another_site_s_has_not(self) -> Any:
        self.serves()
        self.addCleanup(self.node.health.stopService)
        said = '{"group": "239.1.1.1", "seconds": "10"}'
        for site, code in (("same-origin", 200), ("same-site", 403), ("cross-site", 403)):
            answer = yield self.asks("/streams/watch", "POST", said, Sec_Fetch_Site=site)
            self.assertEqual(code, answer.code, site)
        answer = yield self.asks("/streams/watch", "POST", "[]", Sec_Fetch_Site="same-origin")
        self.assertEqual((422, {"error"}), (answer.code, set(json.loads(answer.body))))

    def test_off_it_is_not_there(self) -> None:
        web = self.makes().web
        web.privilegedStartService()
        self.assertEqual(
            (None, False, 0), (web.status().endpoint, web.status().takes_token, web.status().callers)
        )
        self.assertEqual(None, web.document()["url"])

    def test_a_port_that_is_anothers_is_one_line(self) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            endpoint = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
            web = self.makes(f"[web]\nendpoint = {endpoint}\n").web
            error = self.assertRaises(CannotStart, web.privilegedStartService)
            self.assertEqual(f"[web] endpoint: {endpoint}: Address already in use", str(error))

    @inlineCallbacks
    def test_a_unix_socket_has_its_mode_and_asks_for_no_host(self) -> Any:
        path = self.folder / "web"
        self.serves(f"[web]\nendpoint = unix:{path}:mode=660\n")
        self.assertEqual(0o660, path.stat().st_mode & 0o777)
        talk = yield connectProtocol(
            UNIXClientEndpoint(reactor, str(path)), Talk(b"GET /status HTTP/1.1\r\nConnection: close\r\n\r\n")
        )
        self.assertEqual(200, Answer((yield talk.over)).code)
        self.assertEqual(
            (None, str(path), None), tuple(self.web.document()[key] for key in ("url", "socket", "token"))
        )
        yield maybeDeferred(self.web.stopService)
        self.assertFalse(path.exists())


class Doors(Case):
    @inlineCallbacks
    def test_on_the_loopback_another_hosts_name_gets_nothing(self) -> Any:
        self.serves()
        answer = yield self.asks(Host="evil.example")
        self.assertEqual((421, "Misdirected Request"), (answer.code, answer.phrase))
        self.assertNotIn(self.node.config.node.name.encode() + b"\n", answer.body)
        self.assertEqual(1, self.web.status().counters["foreign_host"])
        self.assertEqual(["127.0.0.1"], [event.address for event in self.told(WebRefused)])

    @inlineCallbacks
    def test_elsewhere_only_who_has_the_token_gets_anything(self) -> Any:
        self.serves(OPEN)
        for path in ("/status", "/metrics", "/udp/239.1.1.1:5004", "/nothing", "/"):
            answer = yield self.asks(path)
            self.assertEqual((401, True), (answer.code, "mcmw web" in answer.line), path)
        self.assertEqual(200, (yield self.asks(Authorization=f"Bearer {TOKEN}")).code)
        enters = yield self.asks(f"/status?token={TOKEN}")
        self.assertEqual((303, "/status"), (enters.code, enters.headers["location"]))
        cookie = enters.headers["set-cookie"]
        self.assertIn("HttpOnly; SameSite=Strict", cookie)
        self.assertEqual(200, (yield self.asks(Cookie=cookie.partition(";")[0])).code)
        self.assertEqual(0, self.web.status().counters["wrong_token"])

    @inlineCallbacks
    def test_wrong_ones_are_counted_said_ever_less_often_and_slow_nobody(self) -> Any:
        self.serves(OPEN)
        answers = yield gatherResults([self.asks(Authorization=f"Bearer wrong{n}") for n in range(20)])
        self.assertEqual({401}, {answer.code for answer in answers})
        self.assertEqual(20, self.web.status().counters["wrong_token"])
        self.assertEqual(5, len(self.told(WebRefused)))  # the 1st, 2nd, 4th, 8th, 16th
        self.assertEqual(200, (yield self.asks(Authorization=f"Bearer {TOKEN}")).code)

    @inlineCallbacks
    def test_one_is_drawn_where_none_is_given_and_stands_nowhere_but_in_mcmw_web(self) -> Any:
        web = self.serves("[web]\nendpoint = tcp:0\n")
        found = web.document()
        token = found["token"]
        self.assertGreater(len(token), 30)
        self.assertTrue(found["url"].endswith(f":{self.port}/?token={token}"), found["url"])
        self.assertEqual(401, (yield self.asks()).code)
        answer = yield self.asks(Authorization=f"Bearer {token}")
        self.assertEqual(200, answer.code)
        events = json.dumps(self.node.journal.recent())
        for text in (
            answer.body.decode(),
            events,
            repr(self.node.config),
            json.dumps(self.node.status().as_dict()),
        ):
            self.assertNotIn(token, text)

    def test_on_the_loopback_none_is_asked_for_unless_one_is_given(self) -> None:
        self.assertEqual("", self.serves().token)
        self.assertEqual(True, self.web.document()["here"])
        self.web.config = self.web.config.__class__(self.web.config.endpoint, TOKEN)
        self.assertEqual(TOKEN, self.web.token)

    def test_what_is_wrapped_around_a_loopback_port_may_have_callers_from_anywhere(self) -> None:
        web = self.serves("[web]\nendpoint = haproxy:tcp:0:interface=127.0.0.1\n")
        self.assertFalse(web.is_here)
        self.assertTrue(web.token)

    @inlineCallbacks
    def test_a_playlist_of_who_came_with_a_cookie_opens_streams_elsewhere(self) -> Any:
        self.serves(OPEN)
        cookie = (yield self.asks(f"/?token={TOKEN}")).headers["set-cookie"].partition(";")[0]
        answer = yield self.asks("/rtp/239.1.1.1:5004.m3u?via=http", Cookie=cookie)
        self.assertEqual(
            (200, "audio/x-mpegurl; charset=utf-8"), (answer.code, answer.headers["content-type"])
        )
        base, url = f"http://127.0.0.1:{self.port}", answer.line.splitlines()[-1]
        self.assertTrue(url.startswith(f"{base}/rtp/239.1.1.1:5004?token="), url)
        self.assertNotIn(TOKEN, answer.line)
        self.assertEqual(200, (yield self.asks(url.removeprefix(base), "HEAD")).code)
        for path in ("/status", "/"):
            self.assertEqual(401, (yield self.asks(f"{path}?{url.partition('?')[2]}")).code)

    @inlineCallbacks
    def test_a_stream_s_own_playlist(self) -> Any:
        self.serves()
        for path, code, line in (
            ("/udp/239.1.1.1:5004.m3u", 200, "udp://@239.1.1.1:5004"),
            ("/rtp/239.1.1.1:5004.m3u?source=10.0.0.7", 200, "rtp://10.0.0.7@239.1.1.1:5004"),
            ("/rtp/239.1.1.1.m3u", 400, "this is no GROUP:PORT, as 239.1.1.1:5004 is"),
            ("/udp/239.255.255.250:1900.m3u", 403, "[groups] of this node keeps the group out"),
        ):
            answer = yield self.asks(path)
            self.assertEqual((code, line), (answer.code, answer.line.splitlines()[-1]), path)
        self.assertFalse(self.web.output and self.web.output.viewers)


class Bounds(Case):
    @inlineCallbacks
    def takes(self, path: str) -> Any:
        """A caller on a line that holds a few kB, and takes nothing before he is told to."""
        self.web._port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        caller = socket.socket()
        self.addCleanup(caller.close)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.setblocking(False)
        caller.connect_ex(("127.0.0.1", self.port))
        yield self.until(lambda: self.web.status().callers)
        caller.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        yield self.until(lambda: self.web.counters.requests)
        return caller

    @inlineCallbacks
    def test_a_long_answer_waits_for_a_slow_caller_a_piece_at_a_time(self) -> Any:
        self.serves()
        caller = yield self.takes("/page/mpegts.js")
        (channel,) = self.web._site._callers
        wanted = (files.HERE / "mpegts.js").read_bytes()
        self.assertGreater(len(wanted), 4 * web_http.PIECE)
        heard, most = b"", 0
        while True:
            transport = channel.transport
            if transport:
                most = max(most, len(transport.dataBuffer) + transport._tempDataLen)
            yield deferLater(reactor, 0)
            try:
                piece = caller.recv(1 << 20)
            except BlockingIOError:
                continue
            if not piece:
                break
            heard += piece
        self.assertEqual(wanted, Answer(heard).body)
        self.assertLessEqual(most, 2 * web_http.PIECE)

    @inlineCallbacks
    def test_who_takes_nothing_of_it_is_cut_off(self) -> Any:
        self.patch(web_http, "PIECE_WITHIN", 0.2)
        self.serves()
        yield self.takes("/page/mpegts.js")
        yield self.until(lambda: not self.web.status().callers)

    @inlineCallbacks
    def hangs_up_on(self, says: bytes) -> Any:
        talk = yield self.calls(says)
        heard = yield talk.over
        self.assertIn(heard[:12], (b"", b"HTTP/1.1 400"))

    @inlineCallbacks
    def test_what_is_too_long_ends_the_connection(self) -> Any:
        self.serves()
        head = b"POST /status HTTP/1.1\r\nHost: localhost\r\n"
        yield self.hangs_up_on(head + b"Content-Length: %d\r\n\r\n" % (BODY_MAX + 1))
        yield self.hangs_up_on(head + b"Content-Length: 99999999999999999999\r\n\r\n")
        chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
        yield self.hangs_up_on(head + b"Transfer-Encoding: chunked\r\n\r\n" + 3 * chunk)
        yield self.hangs_up_on(b"GET /" + b"x" * 20_000)
        yield self.hangs_up_on(head + b"".join(b"X%d: y\r\n" % n for n in range(600)) + b"\r\n")
        yield self.hangs_up_on(head + b"X: " + b"y" * 20_000 + b"\r\n\r\n")
        self.assertEqual(200, (yield self.asks()).code)

    @inlineCallbacks
    def test_what_is_no_http_does_too(self) -> Any:
        self.serves()
        for noise in (
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",
            b"GET\r\n\r\n",
            b"\0\r\n\r\n",
            b"GET /status HTTP/9.9\r\nno colon\r\n\r\n",
        ):
            talk = yield self.calls(noise)
            heard = yield talk.over
            self.assertNotIn(b" 200 ", heard.split(b"\r\n")[0])
        self.assertEqual(200, (yield self.asks()).code)

    @inlineCallbacks
    def test_a_caller_who_sends_a_byte_now_and_then_is_late_all_the_same(self) -> Any:
        self.patch(module, "WAITS", 0.5)
        self.serves()
        talk = yield self.calls(b"GET /status HTTP/1.1\r\n")
        for _ in range(200):
            if talk.is_over:
                break
            talk.transport.write(b"X: y\r\n")
            yield deferLater(reactor, 0.02)
        self.assertTrue(talk.is_over)
        self.assertEqual(1, self.web.counters.sent_away)

    @inlineCallbacks
    def test_between_two_requests_one_may_wait_as_long(self) -> Any:
        self.patch(module, "WAITS", 1.0)  # for a slow machine's answers, too
        self.serves()
        asks = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        talk = yield self.calls(asks + asks)
        yield self.until(lambda: talk.heard.count(b"HTTP/1.1 404") == 2)
        yield talk.over
        self.assertEqual(0, self.web.status().callers)

    @inlineCallbacks
    def test_a_thousand_who_say_nothing_take_the_service_from_nobody(self) -> Any:
        self.serves()
        silent = []
        for _ in range(1_000):
            each = socket.socket()
            self.addCleanup(each.close)
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", self.port))
            silent.append(each)
            if not len(silent) % 50:
                yield deferLater(reactor, 0.005)
        yield self.until(lambda: self.web.counters.sent_away >= 1_000 - CALLERS_MAX)
        self.assertEqual(CALLERS_MAX, self.web.status().callers)
        self.assertEqual(200, (yield self.asks()).code)

    @inlineCallbacks
    def test_of_one_address_so_many_where_others_reach_the_door(self) -> Any:
        self.serves(OPEN)
        talks = []
        for _ in range(CALLERS_OF_ONE + 5):
            talks.append((yield self.calls()))
        yield self.until(lambda: self.web.counters.sent_away == 5)
        self.assertEqual(CALLERS_OF_ONE, self.web.status().callers)
        yield self.until(lambda: [talk.is_over for talk in talks[:6]] == [True] * 5 + [False])

    @inlineCallbacks
    def test_those_who_are_served_give_way_to_nobody(self) -> Any:
        self.serves(OPEN)
        path = f"GET /udp/239.1.1.1:5004?token={TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for _ in range(CALLERS_OF_ONE):
            yield self.calls(path)
        yield self.until(lambda: self.web.output and self.web.output.viewers == CALLERS_OF_ONE)
        talk = yield self.calls()
        self.assertEqual(b"", (yield talk.over))
        self.assertEqual((1, CALLERS_OF_ONE), (self.web.counters.turned_away, self.web.status().callers))


class Watching(Case):
    """HTTP output: what is delivered to the destination comes out at the connection."""

    def comes(self, inner: bytes) -> None:
        OutputCase.comes(self, inner, now=reactor.seconds())  # type: ignore[arg-type]

    @property
    def output(self) -> Any:
        return self.web.output

    @inlineCallbacks
    def watches(self, path: str = "/udp/239.1.1.1:5004", version: str = "1.0") -> Any:
        before = self.output.viewers if self.output else 0
        talk = yield self.calls(
            f"GET {path} HTTP/{version}\r\nHost: localhost\r\nRange: bytes=5-\r\n\r\n".encode()
        )
        yield self.until(lambda: self.output and self.output.viewers == before + 1)
        return talk

    @inlineCallbacks
    def test_payloads_come_as_they_are_and_end_with_the_viewer(self) -> Any:
        self.serves()
        plain, stripped = (yield self.watches()), (yield self.watches("/rtp/239.1.1.1:5004"))
        for _ in range(3):
            self.comes(udp(rtp(TS)))
        yield self.until(lambda: plain.heard.endswith(rtp(TS) * 3) and stripped.heard.endswith(TS * 3))
        answer = Answer(stripped.heard)
        self.assertEqual(
            (200, "video/mp2t", TS * 3), (answer.code, answer.headers["content-type"], answer.body)
        )
        self.assertEqual("application/octet-stream", Answer(plain.heard).headers["content-type"])
        self.assertEqual([False, True], [each.rtp for each in self.node.status().outputs])
        plain.transport.abortConnection()
        stripped.transport.abortConnection()
        yield self.until(lambda: not self.output.viewers)
        self.assertEqual([], self.node.router.wanted())

    @inlineCallbacks
    def test_http_1_1_has_it_in_chunks(self) -> Any:
        self.serves()
        talk = yield self.watches(version="1.1")
        self.comes(udp(TS))
        yield self.until(lambda: TS in talk.heard)
        self.assertEqual("chunked", Answer(talk.heard).headers["transfer-encoding"])
        self.assertIn(b"\r\n\r\nbc\r\n" + TS + b"\r\n", talk.heard)

    @inlineCallbacks
    def test_head_joins_nothing(self) -> Any:
        self.serves()
        answer = yield self.asks("/udp/239.1.1.1:5004", "HEAD")
        self.assertEqual((200, "video/mp2t", b""), (answer.code, answer.headers["content-type"], answer.body))
        self.assertEqual(0, self.output.counters.viewers)

    @inlineCallbacks
    def test_where_nothing_comes_that_is_said(self) -> Any:
        self.patch(web_output, "FIRST_WITHIN", 0.2)
        self.serves()
        answer = yield self.asks("/udp/239.1.1.1:5004?source=10.88.0.1")
        self.assertEqual(504, answer.code)
        self.assertIn("nothing came to 239.1.1.1:5004 of 10.88.0.1 within", answer.line)
        talk = yield self.watches("/rtp/239.1.1.1:5004")
        self.comes(udp(TS))
        answer = Answer((yield talk.over))
        self.assertEqual((502, True), (answer.code, "/udp/ instead of /rtp/" in answer.line))
        self.assertEqual(2, self.output.counters.unanswered)
        self.assertEqual([], self.node.router.wanted())

    @inlineCallbacks
    def test_what_cannot_be_asked_for_is_one_line(self) -> Any:
        self.serves()
        for path, code in (
            ("/udp/239.1.1.1", 400),
            ("/udp/10.0.0.1:5004", 400),
            ("/rtp/239.1.1.1:0", 400),
            ("/udp/239.255.255.250:1900", 403),
            ("/udp/239.1.1.1:1?source=x", 400),
        ):
            for method in ("GET", "HEAD"):
                answer = yield self.asks(path, method)
                self.assertEqual(code, answer.code, path)
                self.assertLessEqual(len(answer.body.splitlines()), 1)

    @inlineCallbacks
    def test_so_many_watch_and_one_more_is_told(self) -> Any:
        self.serves()
        for _ in range(VIEWERS_MAX):
            yield self.watches()
        answer = yield self.asks("/udp/239.1.1.1:5004")
        self.assertEqual((503, "10"), (answer.code, answer.headers["retry-after"]))

    @inlineCallbacks
    def test_one_who_does_not_read_loses_while_one_beside_him_has_all(self) -> Any:
        self.patch(output_module, "QUEUE_BYTES", 200_000)
        self.serves()
        reads, stuck = (yield self.watches()), (yield self.watches())
        stuck.transport.pauseProducing()
        sent: list[bytes] = []
        while not self.output.counters.lost:
            sent.append(b"%08d" % len(sent) + bytes(1304))
            self.comes(udp(sent[-1]))
            if not len(sent) % 20:
                yield self.until(lambda: len(reads.heard) > 1_312 * len(sent) - 150_000)
        yield self.until(lambda: reads.heard.endswith(sent[-1]))
        self.assertEqual(b"".join(sent), Answer(reads.heard).body)
        (status,) = self.node.status().outputs
        self.assertEqual((2, self.output.counters.lost), (status.clients, status.lost))

    @inlineCallbacks
    def test_who_watches_what_is_denied_by_now_is_let_go(self) -> Any:
        self.serves()
        talk, waiting = (yield self.watches()), (yield self.watches("/udp/239.1.1.1:6"))
        self.comes(udp(TS))
        outcome = yield self.reloads(HERE + "[groups]\ndeny = 239.0.0.0/8\n")
        self.assertEqual("", outcome.error)
        self.assertEqual(TS, Answer((yield talk.over)).body)
        self.assertEqual(403, Answer((yield waiting.over)).code)
        self.assertEqual([], self.node.router.wanted())


class Reloading(Case):
    @inlineCallbacks
    def test_another_port_is_had_and_the_old_one_is_left(self) -> Any:
        self.serves()
        old = self.port
        idle = yield self.calls()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            new = free.getsockname()[1]
        outcome = yield self.reloads(f"[web]\nendpoint = tcp:{new}:interface=127.0.0.1\n")
        self.assertEqual(("", new), (outcome.error, self.port))
        self.assertEqual(200, (yield self.asks()).code)
        yield idle.over
        with socket.socket() as gone:
            self.assertNotEqual(0, gone.connect_ex(("127.0.0.1", old)))
        yield self.reloads("")
        self.assertIsNone(self.web._port)
        yield self.reloads(HERE)
        self.assertEqual(200, (yield self.asks()).code)

    @inlineCallbacks
    def test_a_port_that_is_anothers_refuses_the_reload_and_nothing_is_changed(self) -> Any:
        self.serves()
        old = self.port
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
            outcome = yield self.reloads(f"[web]\nendpoint = {taken}\n[tap]\nttl-floor = 9\n")
        self.assertTrue(
            outcome.error.endswith(f"[web] endpoint: {taken}: Address already in use"), outcome.error
        )
        self.assertEqual((old, 0), (self.port, self.node.destination.ttl_floor))
        self.assertEqual(200, (yield self.asks()).code)

    @inlineCallbacks
    def test_one_port_moves_to_another_address_and_back_if_that_fails(self) -> Any:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.serves(f"[web]\nendpoint = tcp:{port}:interface=127.0.0.1\n")
        outcome = yield self.reloads(f"[web]\nendpoint = tcp:{port}:interface=192.0.2.77\n")
        self.assertIn("[web] endpoint", outcome.error)
        self.assertEqual(200, (yield self.asks()).code)
        self.assertEqual("127.0.0.1", self.web._port.getHost().host)

    @inlineCallbacks
    def test_where_another_port_fails_the_web_service_is_where_it_was(self) -> Any:
        self.serves()
        old = self.web.config.endpoint

        async def taken(endpoint: str | None) -> None:
            raise CannotStart("[listen] endpoint: Address already in use")

        self.patch(self.node, "listen_at", taken)
        outcome = yield self.reloads("[web]\nendpoint =\n[listen]\nendpoint = tcp:4601\n")
        self.assertIn("[listen] endpoint", outcome.error)
        self.assertEqual((old, ()), (self.web.config.endpoint, self.web.warnings()))
        self.assertEqual(200, (yield self.asks()).code)

    @inlineCallbacks
    def test_another_token_is_taken_at_once_and_who_had_the_old_one_goes(self) -> Any:
        self.serves(OPEN)
        watching = yield self.calls(
            f"GET /udp/239.1.1.1:5004?token={TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        yield self.until(lambda: self.web.output and self.web.output.viewers)
        other = TOKEN[::-1]
        outcome = yield self.reloads(f"[web]\nendpoint = tcp:0\ntoken = {other}\n")
        yield watching.over
        self.assertEqual(401, (yield self.asks(Authorization=f"Bearer {TOKEN}")).code)
        self.assertEqual(200, (yield self.asks(Authorization=f"Bearer {other}")).code)
        said = json.dumps(outcome.document()) + json.dumps(self.node.journal.recent())
        self.assertIn("[web] token", said)
        self.assertNotIn(TOKEN, said)
        self.assertNotIn(other, said)


class Places(TestCase):
    def test_a_caller_is_his_address_and_of_ipv6_his_network(self) -> None:
        class At:
            def __init__(self, host: Any) -> None:
                self.host = host

        for host, place in (
            ("10.0.0.1", "10.0.0.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("fe80::1%eth0", "fe80::/64"),
            (None, "the UNIX socket"),
        ):
            self.assertEqual(place, web_http.place_of(At(host)))


class OnePlace(TestCase):
    def test_endpoints_that_cannot_be_had_at_once(self) -> None:
        for one, other, same in (
            ("tcp:1:interface=127.0.0.1", "tcp:1", True),
            ("tcp:1", "tcp:2", False),
            ("tcp:0", "tcp:0", True),
            ("tcp:1", "", False),
            ("unix:/a", "unix:/a:mode=660", True),
            ("unix:/a", "unix:/b", False),
            ("unix:/a", "tcp:1", False),
        ):
            self.assertEqual(same, module._is_one_place(one, other), (one, other))
