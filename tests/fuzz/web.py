"""The web service: bytes to its HTTP, of which judging and serving are ours, and packets to its output.

The site is the one that a node serves where a token is needed, on a transport in memory; what passes is asked
without one, too.  It never raises, tells nobody the token, and serves nothing to whoever does not have it.
"""

from collections.abc import Iterable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from multicastmw.core.output import HttpOutput
from multicastmw.core.routing import Router
from multicastmw.services.web import asked
from multicastmw.web.guard import HEADERS, Guard
from multicastmw.web.http import BoundedSite, Folder, Refusal, Room
from multicastmw.web.output import Streams
from multicastmw.web.resources import Document
from multicastmw.web.sessions import here
from tests.fuzz.target import Target

TOKEN = "a-token-of-sixteen-signs"


class Web(Target):
    """What comes to the web service."""

    longest = 512
    words = (
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"/status",
        b"/udp/239.1.1.1:5004",
        b"/rtp/",
        b" HTTP/1.1\r\n",
        b"Host: localhost\r\n",
        b"Authorization: Bearer ",
        b"Cookie: mcmw-a=",
        b"?token=",
        TOKEN.encode(),
        b"Origin: http://localhost\r\n",
        b"Sec-Fetch-Site: same-origin\r\n",
        b"Content-Length: ",
        b"%2e%2e/",
        b"%00",
        b"\r\n\r\n",
    )

    def __init__(self) -> None:
        self.clock = Clock()
        self.output = HttpOutput(Router(), lambda channel: True)
        self.guards = Guard(True, "", "a"), Guard(False, TOKEN, "a")
        self.served = 0
        self.failed: list[str] = []
        globalLogPublisher.addObserver(self.logged)

    def logged(self, event: dict[str, Any]) -> None:
        if "log_failure" in event:
            self.failed.append(event["log_failure"].getTraceback())

    def site(self, guard: Guard) -> BoundedSite:
        def judge(request: Any) -> Refusal | None:
            refused = guard.judge(asked(request, guard.cookie))
            return Refusal(refused.code, refused.line, refused.headers) if refused else None

        root = Folder()
        root.putChild(b"status", Document(self.serve))
        for name, is_rtp in ((b"udp", False), (b"rtp", True)):
            root.putChild(name, Streams(lambda: self.output, self.clock, is_rtp, here(lambda: "")))
        return BoundedSite(root, "web", Room(9, 9, 10.0), self.clock, judge, HEADERS)

    def serve(self) -> bytes:
        self.served += 1
        return b"{}\n"

    def seeds(self) -> Iterable[bytes]:
        yield b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
        yield b"GET /status HTTP/1.1\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
        yield b"GET /status?token=" + TOKEN.encode() + b" HTTP/1.1\r\nCookie: mcmw-a=x\r\n\r\n"
        yield b"HEAD /udp/239.1.1.1:5004?source=10.0.0.1 HTTP/1.1\r\nHost: [::1]:1\r\n\r\n"
        yield b"GET /rtp/239.1.1.1:5004 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        yield b"POST /status HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nContent-Length: 3\r\n\r\na=b"

    def __call__(self, data: bytes) -> None:
        self.failed.clear()
        for guard in self.guards:
            self.served = 0
            site, transport = self.site(guard), StringTransport()
            channel = site.buildProtocol(None)
            channel.makeConnection(transport)
            half = len(data) // 2
            for piece in (data[:half], data[half:]):
                if not transport.disconnecting:
                    channel.dataReceived(piece)
            answer = transport.value()
            assert not answer or answer.startswith(b"HTTP/1."), answer[:40]
            assert not self.failed, self.failed[0]
            assert b"Traceback" not in answer
            if guard.token and TOKEN.encode() not in data:
                assert not self.served
                assert TOKEN.encode() not in answer
            channel.connectionLost(Failure(ConnectionDone()))
            assert site.callers == 0
        assert not self.output.viewers
        assert not [call for call in self.clock.getDelayedCalls() if call.active()]
