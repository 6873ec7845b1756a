"""HTTP as this node speaks it: Twisted's, with bounds, and without what it would tell a stranger.

    a connection ── is there room? ── a head and a body, both short, in time ── may he? ── a resource
                      │ no: one that only waits gives way, else nobody comes in

Both sites of a node are made of this: the control socket (services/control.py) and the web service
(services/web.py).  What Twisted does otherwise, and a stranger could use, was met in tests and by fuzzing:

- a body is read to its end, into memory or a disk, whatever its length says;
- a form is parsed before anybody has asked for one, and one of an unknown type raises;
- a caller that sends a byte now and then is never late, for each byte begins his time anew;
- an answer is written whole, and nothing says whether it is taken;
- an error page repeats the URI, and raises if that is not ASCII; HEAD is written into the log.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

LOG = Logger(namespace="mcmw")

# What we chose.
BODY_MAX = 64 << 10  # bytes of a request behind its head; of that, Twisted takes 16 KiB
IPV6_HOST = 64  # bits of an IPv6 address that one caller has to himself
PIECE = 65 << 10  # bytes of a long answer that go at a time; more than fill a transport, so that it says so
PIECE_WITHIN = 30.0  # seconds for a caller to take a piece: 2 kB/s, as of a telephone in a cellar
LAST_BYTES = PIECE_WITHIN  # seconds that one who is late has for the last piece that was written to him

NOTHING = "there is nothing here"


class Room(NamedTuple):
    """How many may be connected at a time, in all and from one address, and how long one may wait.

    `waits` is the seconds for a whole request, since the connection was made or the last answer was given.
    With `gives_way` one who waits is sent away when others come; else it is they who are.
    """

    callers: int
    of_one: int
    waits: float
    gives_way: bool = True


class Refusal(NamedTuple):
    """Why a request is not served: a status, a line for people, and headers."""

    code: int
    line: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


Judge = Callable[["BoundedRequest"], Refusal | None]


class Caller:
    """One connection; `call` rings while a request is waited for."""

    __slots__ = ("call", "channel", "place")

    def __init__(self, channel: Any, place: str) -> None:
        self.channel = channel
        self.place = place
        self.call: IDelayedCall | None = None


class BoundedRequest(Request):
    """A request that is short, judged before it is served, and answered in our words."""

    content: Any
    site: "BoundedSite"
    channel: Any

    def gotLength(self, length: int | None) -> None:
        super().gotLength(0 if length is None else min(length, BODY_MAX))  # so it stays in memory
        if length is not None and length > BODY_MAX:
            abort(self.channel)

    def handleContentChunk(self, data: bytes) -> None:
        if self.content.tell() + len(data) > BODY_MAX:
            abort(self.channel)
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """No form is read here, and Twisted's reader of forms raises for a type that is none."""
        self.requestHeaders.removeHeader(b"content-type")
        self.channel.site.begins(self.channel)
        super().requestReceived(command, path, version)

    def process(self) -> None:
        site = self.site = self.channel.site
        self.setHeader(b"date", http.datetimeToString())
        for name, value in site.headers.items():
            self.setHeader(name, value)
        self.prepath = []
        self.postpath = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
        try:
            refusal = site.judge(self)
            if refusal:
                refuse(self, refusal)
            else:
                self.render(site.getResourceFor(self))
        except Exception:  # noqa: BLE001  a mistake of ours costs one answer
            self.processingFailed(Failure())

    def render(self, resrc: Any) -> None:
        """HEAD is GET without the body."""
        try:
            if self.method == b"HEAD" and not _takes_head(resrc):
                raise UnsupportedMethod([b"POST"])  # Twisted asks for its GET, which is not there
            body = resrc.render(self)
        except UnsupportedMethod as error:
            names = {*error.allowedMethods} - {b"HEAD"}
            names |= {b"HEAD"} if b"GET" in names else set()
            allowed = b", ".join(sorted(names))
            body = said(self, 405, f"this takes {allowed.decode()}", ((b"allow", allowed),))
        if body is NOT_DONE_YET:
            return
        if self.method != b"HEAD" or not self.responseHeaders.hasHeader(b"content-length"):
            self.setHeader(b"content-length", b"%d" % len(body))
        pour(self, b"" if self.method == b"HEAD" else body, self.site.reactor)

    def processingFailed(self, reason: Failure) -> None:
        """The traceback is for the log; amidst an answer it is cut off, which nobody takes for its end."""
        self.site.failed(reason)
        if self._disconnected or self.finished:
            return
        if self.startedWriting:
            abort(self.channel)
        else:
            refuse(self, Refusal(500, "the node failed at it, and its log says why"))

    def finish(self) -> None:
        if not self._disconnected and not self.finished:
            self.channel.site.waits_again(self.channel)
        super().finish()


class TurnedAway(Protocol):
    """One too many; what is wrapped around a site, as TLS is, wants a protocol for him all the same."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.abortConnection()


class BoundedSite(Site):
    """A site with so much room.  Nothing of it goes into the log but our own mistakes."""

    noisy = False
    displayTracebacks = False
    requestFactory = BoundedRequest

    def __init__(
        self,
        root: Resource,
        name: str,
        room: Room,
        reactor: Any,
        judge: Judge = lambda request: None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """`judge` says of each request whether it is served; `full` is told who found no room, and
        `sent_away_one` is called for each who asked for nothing in time."""
        super().__init__(root, BoundedRequest, timeout=None, reactor=reactor)  # which would tell the log
        self.judge = judge
        self.headers = dict(headers or {})
        self.full: Callable[[str], None] = lambda place: None
        self.sent_away_one: Callable[[], None] = lambda: None
        self.mistakes = 0
        self._name = name
        self.room = room
        self._callers: dict[Any, Caller] = {}
        self._of_place: dict[str, int] = {}
        self._waiting: dict[Caller, None] = {}  # who has asked nothing (again), the longest first

    # Twisted writes a log of requests, and asks the clock for it each second.

    def startFactory(self) -> None:
        pass

    def stopFactory(self) -> None:
        pass

    def log(self, request: object) -> None:
        """Who watches a node must not fill its log."""

    def logPrefix(self) -> str:
        return self._name

    @property
    def callers(self) -> int:
        return len(self._callers)

    # --- who is here

    def buildProtocol(self, addr: Any) -> Any:
        place = place_of(addr)
        if not self._has_room(place):
            self.full(place)
            return TurnedAway()
        protocol: Any = super().buildProtocol(addr)
        channel = getattr(protocol, "_channel", protocol)  # which requests know; around it is HTTP/2's door
        caller = self._callers[channel] = Caller(channel, place)
        self._of_place[place] = self._of_place.get(place, 0) + 1
        self._wait(caller)
        lost = protocol.connectionLost

        def gone(reason: Failure) -> None:
            self._forget(channel)
            lost(reason)

        protocol.connectionLost = gone
        return protocol

    def _has_room(self, place: str) -> bool:
        room = self.room
        if self._of_place.get(place, 0) >= room.of_one:
            return room.gives_way and self._send_away(place)
        return len(self._callers) < room.callers or (room.gives_way and self._send_away(None))

    def _send_away(self, place: str | None) -> bool:
        """The one (of this place) that has asked for nothing for longest; False where all are served."""
        for caller in self._waiting:
            if place is None or caller.place == place:
                self._forget(caller.channel)
                self.sent_away_one()
                if caller.channel.transport:
                    abort(caller.channel)
                return True
        return False

    def begins(self, channel: Any) -> None:
        """A whole request has come."""
        if caller := self._callers.get(channel):
            self._waiting.pop(caller, None)
            _quiet(caller)

    def waits_again(self, channel: Any) -> None:
        """It is answered."""
        if caller := self._callers.get(channel):
            self._wait(caller)

    def _wait(self, caller: Caller) -> None:
        self._waiting[caller] = None
        caller.call = self.reactor.callLater(self.room.waits, self._late, caller)

    def _late(self, caller: Caller) -> None:
        """What is under way to him still is, as far as he takes it."""
        self._waiting.pop(caller, None)
        self.sent_away_one()
        caller.call = self.reactor.callLater(LAST_BYTES, abort, caller.channel)
        caller.channel.loseConnection()

    def _forget(self, channel: Any) -> None:
        caller = self._callers.pop(channel, None)
        if caller is None:
            return
        _quiet(caller)
        self._waiting.pop(caller, None)
        self._of_place[caller.place] -= 1
        if not self._of_place[caller.place]:
            del self._of_place[caller.place]

    def close(self) -> None:
        """All go, whatever they are at."""
        for channel in list(self._callers):
            self._forget(channel)
            if channel.transport:
                abort(channel)

    def failed(self, failure: Failure) -> None:
        """A mistake of ours: the 1st, 2nd, 4th ... is in the log."""
        self.mistakes += 1
        if not self.mistakes & (self.mistakes - 1):
            LOG.failure("an answer of {site} failed ({times} times)", failure, site=self._name,
                        times=self.mistakes)  # fmt: skip


def place_of(address: Any) -> str:
    """Where a caller is, as far as he can be told from others: of IPv6 he has many addresses."""
    host = getattr(address, "host", None)
    if not isinstance(host, str):
        return "the UNIX socket"
    if ":" not in host:
        return host
    from ipaddress import IPv6Address, IPv6Network

    found = IPv6Address(host.partition("%")[0])
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(IPv6Network((found, IPV6_HOST), strict=False))


def said(request: Request, code: int, line: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """The body of an answer that is one line for people."""
    request.setResponseCode(code, HTTPStatus(code).phrase.encode())  # Twisted does not know all of them
    for name, value in headers:
        request.setHeader(name, value)
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    return line.encode() + b"\n"


def refuse(request: Request, why: Refusal) -> None:
    """Answers in one line."""
    body = said(request, *why)
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(b"" if request.method == b"HEAD" else body)
    request.finish()


def pour(request: Request, body: bytes, reactor: Any) -> None:
    """Writes the body of an answer and ends it; a long one as the caller takes it."""
    if len(body) > PIECE:
        Pouring(request, body, reactor)
    else:
        request.write(body)
        request.finish()


@implementer(IPushProducer)
class Pouring:
    """A long answer, a piece at a time: it lasts as long as its size says, and waits in memory once for all.

    Who does not take a piece in time is cut off.
    """

    def __init__(self, request: Any, body: bytes, reactor: Any) -> None:
        self._request = request
        self._left = memoryview(body)
        self._reactor = reactor
        self._is_full = self._is_over = False
        self._call: IDelayedCall | None = None
        request.notifyFinish().addBoth(self._over)
        request.registerProducer(self, True)
        self._go_on()

    def _go_on(self) -> None:
        piece, self._left = bytes(self._left[:PIECE]), self._left[PIECE:]
        self._request.write(piece)  # which may say that this is enough
        self._wait()

    def _wait(self) -> None:
        self._quiet()
        if self._is_full:
            self._call = self._reactor.callLater(PIECE_WITHIN, self._late)
        elif self._left:
            self._call = self._reactor.callLater(0, self._go_on)
        elif not self._is_over:
            self._is_over = True
            self._request.unregisterProducer()
            self._request.finish()

    def _late(self) -> None:
        self._call = None
        abort(self._request.channel)

    def _over(self, _: object) -> None:
        """It is answered, or the caller has gone."""
        self._quiet()

    def _quiet(self) -> None:
        if self._call and self._call.active():
            self._call.cancel()
        self._call = None

    # --- what the connection says

    def pauseProducing(self) -> None:
        """A piece is on its way."""
        if not self._is_full:
            self._is_full = True
            if self._call:  # it says so late
                self._wait()

    def resumeProducing(self) -> None:
        """All that was written is taken."""
        self._is_full = False
        if self._left:
            self._quiet()
            self._go_on()
        else:
            self._wait()

    def stopProducing(self) -> None:
        self._quiet()


class Line(Resource):
    """What answers everything in one line."""

    isLeaf = True

    def __init__(self, code: int, line: str) -> None:
        super().__init__()
        self._code = code
        self._line = line

    def render(self, request: Request) -> bytes:
        return said(request, self._code, self._line)


class Leaf(Resource):
    """A resource with nothing below it."""

    isLeaf = True

    def render(self, request: Request) -> Any:
        return said(request, 404, NOTHING) if request.postpath else super().render(request)


class Folder(Resource):
    """Resources by name; it lists nothing, and what is not there is one line."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        return Line(404, NOTHING)

    def render(self, request: Request) -> bytes:
        return said(request, 404, NOTHING)


def abort(channel: Any) -> None:
    """Hangs up, without another word."""
    channel.transport.abortConnection()


def _takes_head(resource: Any) -> bool:
    own = getattr(type(resource), "render", None) is not Resource.render
    return own or hasattr(resource, "render_GET")


def _quiet(caller: Caller) -> None:
    if caller.call and caller.call.active():
        caller.call.cancel()
    caller.call = None
