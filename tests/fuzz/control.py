"""The control socket: bytes to its HTTP, of which the resources are ours.

It is the site that the node serves, on a transport in memory.  The bytes come in two pieces.  It answers with
what HTTP has, asks for the status for nothing but /status, and never raises.
"""

from collections.abc import Iterable
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from multicastmw.services.control import ControlService
from tests.fuzz.target import Target


class Control(Target):
    """What comes to the control socket."""

    longest = 512
    words = (b"GET ", b"POST ", b"HEAD ", b"/status", b" HTTP/1.1\r\n", b"Host: x\r\n", b"Content-Length: ",
             b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n",
             b"Content-Type: multipart/form-data; boundary=x\r\n", b"\r\n\r\n",
             b"application/x-www-form-urlencoded")  # fmt: skip

    def __init__(self) -> None:
        reactor = MemoryReactor()
        self.folder = TemporaryDirectory()
        ControlService(f"{self.folder.name}/socket", self.status, reactor).privilegedStartService()
        self.site: Any = reactor.unixServers[0][1]
        self.site.reactor = Clock()
        self.asked = 0
        self.failed: list[str] = []
        globalLogPublisher.addObserver(self.logged)

    def logged(self, event: dict[str, Any]) -> None:
        """What a resource of ours raises is an error page to the caller, and an event here."""
        if "log_failure" in event:
            self.failed.append(event["log_failure"].getTraceback())

    def status(self) -> dict[str, Any]:
        self.asked += 1
        return {"node": "a"}

    def seeds(self) -> Iterable[bytes]:
        yield b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
        yield b"GET /status HTTP/1.0\r\n\r\n"
        yield b"HEAD /status?a=b;c#d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        yield b"GET / HTTP/1.1\r\n\r\nGET /status HTTP/1.1\r\n\r\nGET //status/x HTTP/1.1\r\n\r\n"
        yield b"POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=bGET /status HTTP/1.1\r\n\r\n"
        yield b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n"
        yield (
            b"POST /status HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 70\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n        '
        )
        yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        yield bytes.fromhex("1006 4d43 0000 0010") + bytes(8)

    def __call__(self, data: bytes) -> None:
        self.asked = 0
        self.failed.clear()
        transport = StringTransport()
        channel = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        half = len(data) // 2
        for piece in (data[:half], data[half:]):
            if not transport.disconnecting:
                channel.dataReceived(piece)
        self.site.reactor.advance(0)
        answer = transport.value()
        assert not answer or answer.startswith(b"HTTP/1."), answer[:40]
        assert b"Traceback" not in answer
        assert not self.failed, self.failed[0]
        assert self.asked <= data.count(b"status") + data.count(b"%"), self.asked
        channel.connectionLost(Failure(ConnectionDone()))
        for call in self.site.reactor.getDelayedCalls():
            call.cancel()
