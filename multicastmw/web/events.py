"""What the page is told: the status and what happens, as server-sent events (HTML Living Standard, 9.2).

    status()  ── once a second ──┐                      ┌─ Viewer
                                 Feed ── the same bytes ┼─ Viewer
    events(n) ── 4 times ────────┘                      └─ Viewer (behind: skipped, then the newest whole)

The feed looks while there are viewers, once for all of them, and says what changed (web/changes.py).  A
viewer that comes, or comes back from where its connection was full, gets the whole document; one whose
connection stays full is let go.  So nothing waits for a viewer here.

    event: status     {"at", "whole": document} or {"at", "change": change}
    event: happened   {"at", "kind", "level", "text"}; its id is RUN-NUMBER, and Last-Event-ID goes on behind
    event: tick       {"at"}: looked, and nothing changed

`at` is on the node's clock, and so is every moment in the document.

Messages are compressed once, too: each is a few whole blocks of deflate that refer to nothing before them, so
it fits behind whatever a viewer has got.  Such a stream has no end, and needs none.
"""

import json
import secrets
import socket
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from multicastmw.web.changes import Documents, difference
from multicastmw.web.http import abort, said

LOG = Logger(namespace="mcmw")

# RFC 1952: magic, deflate, no flags, no time, unknown system.
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", 18)  # from <linux/tcp.h>

# What we chose.
STATUS_EVERY = 1.0  # seconds at least from one look at the status to the next
EVENTS_EVERY = 0.25
SHARE = 20  # of the time at most one in so many is spent on looks
VIEWERS_MAX = 32
STUCK = 30.0  # seconds that a connection may be full, or nothing acknowledged
RETRY = 1_000  # ms until a viewer comes back
EVENTS_KEPT = 200  # for who comes; as many as the journal keeps
LEVEL = 5  # of compression: a whole document of 500 groups in some ms

Numbered = Sequence[tuple[int, dict[str, Any]]]


class Message:
    """One event of the stream, in plain and compressed, for all viewers."""

    def __init__(self, event: str, data: Any, number: str = "") -> None:
        head = f"id: {number}\n" if number else ""
        self.plain = f"{head}event: {event}\ndata: {packed(data)}\n\n".encode()

    @cached_property
    def compressed(self) -> bytes:
        squeeze = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        return squeeze.compress(self.plain) + squeeze.flush(zlib.Z_FULL_FLUSH)


def packed(data: Any) -> str:
    """JSON in one line of ASCII."""
    return json.dumps(data, separators=(",", ":"))


@implementer(IPushProducer)
class Viewer:
    """Somebody who looks: one request that does not end."""

    def __init__(self, request: Request, compressed: bool, after: int) -> None:
        self.version = 0  # of the document that it has; 0: none
        self.after = after  # number of the last event that it has
        self.full_since: float | None = None
        self._request = request
        self._compressed = compressed
        self._clock: Callable[[], float] = lambda: 0.0
        self._resumed: Callable[[Viewer], None] = lambda viewer: None

    def begin(self, clock: Callable[[], float], resumed: "Callable[[Viewer], None]") -> None:
        self._clock, self._resumed = clock, resumed
        if self._compressed:
            self._request.write(GZIP_HEAD)
        self._request.registerProducer(self, True)

    def write(self, message: Message) -> None:
        self._request.write(message.compressed if self._compressed else message.plain)

    def end(self) -> None:
        """The node stops."""
        self._request.unregisterProducer()
        self._request.finish()

    def cut(self) -> None:
        """Lets it go with what is unsent."""
        if self._request.channel is not None:
            abort(self._request.channel)

    # --- IPushProducer: the connection's buffer is full, or empty again

    def pauseProducing(self) -> None:
        if self.full_since is None:
            self.full_since = self._clock()

    def resumeProducing(self) -> None:
        self.full_since = None
        self._resumed(self)

    def stopProducing(self) -> None:
        """The connection is gone; `notifyFinish` says so, too."""


class Feed:
    """Looks for all viewers, while there are some."""

    def __init__(
        self,
        status: Callable[[], Any],
        events: Callable[[int], Numbered],
        clock: Any,
        run: str = "",
    ) -> None:
        """`status` gives a snapshot, `events` those behind a number, each with its own, the oldest first;
        `run` names this run."""
        self.run = run or secrets.token_hex(4)
        self.viewers: set[Viewer] = set()
        self._status = status
        self._events = events
        self._clock = clock
        self._call: Any = None
        self._failed = False
        self._forget()

    def _forget(self) -> None:
        self._documents = Documents()
        self._document: Any = None
        self._version = 0
        self._whole: Message | None = None
        self._whole_size = 0
        self._taken = 0.0
        self._told: deque[tuple[int, Message]] = deque(maxlen=EVENTS_KEPT)
        self._next_status = 0.0

    # --- who looks

    @property
    def is_full(self) -> bool:
        return len(self.viewers) >= VIEWERS_MAX

    def join(self, viewer: Viewer) -> None:
        self.viewers.add(viewer)
        viewer.begin(self._clock.seconds, self._catch_up)
        if self._call is None:
            self._look()
        else:
            self._catch_up(viewer)

    def leave(self, viewer: Viewer) -> None:
        """It is gone; with the last one, everything that was kept for them goes."""
        self.viewers.discard(viewer)
        if not self.viewers and self._call is not None:
            self._call.cancel()
            self._call = None
            self._forget()

    def stop(self) -> None:
        """No more viewers."""
        for viewer in list(self.viewers):
            self.leave(viewer)
            viewer.end()

    # --- looking

    def _look(self) -> None:
        self._call = self._clock.callLater(EVENTS_EVERY, self._look)
        maybeDeferred(self._look_once).addErrback(self._broke)

    def _broke(self, failure: Failure) -> None:
        """A mistake of ours: said once, and looked again."""
        if not self._failed:
            LOG.failure("what the page shows cannot be had", failure)
        self._failed = True

    def _look_once(self) -> None:
        now = self._clock.seconds()
        for viewer in [each for each in self.viewers if each.full_since is not None]:
            if now - viewer.full_since >= STUCK:
                self.leave(viewer)
                viewer.cut()
        if not self.viewers:
            return
        if now >= self._next_status:  # first, for it tells the time that events are at
            self._next_status = now + STATUS_EVERY
            self._tell_status(now)
            cost = self._clock.seconds() - now
            self._next_status = now + max(STATUS_EVERY, SHARE * cost)
        self._tell_events(now)

    def _tell_events(self, now: float) -> None:
        last = self._told[-1][0] if self._told else 0
        fresh = self._events(last)
        for number, event in fresh:
            data = {**event, "at": round(now - event["ago"], 3)}
            del data["ago"]
            self._told.append((number, Message("happened", data, f"{self.run}-{number}")))
        if fresh:
            for viewer in self._free():
                self._catch_up_events(viewer)

    def _tell_status(self, now: float) -> None:
        document = self._documents.of(self._status(), now)
        self._failed = False
        before, self._document, self._taken = self._document, document, now
        change = [document] if before is None else difference(before, document)
        if change is None:
            self._tell(Message("tick", {"at": round(now, 3)}))
            return
        self._version += 1
        self._whole = None
        message = Message("status", {"at": round(now, 3), "change": change})
        if len(message.plain) * 2 > self._whole_size:  # little is gained, or the first
            message = self._newest()
        for viewer in self._free():
            viewer.write(message if viewer.version == self._version - 1 else self._newest())
            viewer.version = self._version

    def _newest(self) -> Message:
        """The whole document."""
        if self._whole is None:
            self._whole = Message("status", {"at": round(self._taken, 3), "whole": self._document})
            self._whole_size = len(self._whole.plain)
        return self._whole

    # --- telling

    def _free(self) -> list[Viewer]:
        """Those whose connection takes something."""
        return [viewer for viewer in self.viewers if viewer.full_since is None]

    def _tell(self, message: Message) -> None:
        for viewer in self._free():
            viewer.write(message)

    def _catch_up(self, viewer: Viewer) -> None:
        """What it has missed, and no more than the newest of it."""
        if viewer in self.viewers and self._document is not None and viewer.version != self._version:
            viewer.version = self._version
            viewer.write(self._newest())
        if viewer in self.viewers and viewer.full_since is None:
            self._catch_up_events(viewer)

    def _catch_up_events(self, viewer: Viewer) -> None:
        for number, message in list(self._told):
            if number > viewer.after and viewer.full_since is None:
                viewer.after = number
                viewer.write(message)


class Live(Resource):
    """GET: a stream that does not end."""

    isLeaf = True

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed

    def render_HEAD(self, request: Request) -> bytes:
        request.setHeader(b"content-type", b"text/event-stream")
        return b""

    def render_GET(self, request: Request) -> bytes | int:
        if self.feed.is_full:
            line = f"there are {VIEWERS_MAX} viewers, which is the bound"
            return said(request, 503, line, ((b"retry-after", b"5"),))
        compressed = accepts_gzip(request)
        request.setHeader(b"content-type", b"text/event-stream")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-accel-buffering", b"no")
        request.setHeader(b"vary", b"accept-encoding")
        if compressed:
            request.setHeader(b"content-encoding", b"gzip")
        notice_the_dead(request)
        viewer = Viewer(request, compressed, self._after(request))
        request.notifyFinish().addBoth(lambda _: self.feed.leave(viewer))
        self.feed.join(viewer)
        return NOT_DONE_YET

    def _after(self, request: Request) -> int:
        """The event behind which a viewer goes on; one of another run goes on behind none."""
        told = request.getHeader("last-event-id") or (request.args or {}).get(b"after", [b""])[0].decode(
            "ascii", "replace"
        )
        run, _, number = told.rpartition("-")
        return (
            int(number)
            if run == self.feed.run and number.isascii() and number.isdecimal() and len(number) < 16
            else 0
        )


def accepts_gzip(request: Request) -> bool:
    """Says the caller that it takes gzip?  `gzip;q=0` is a no."""
    for entry in (request.getHeader("accept-encoding") or "").split(","):
        coding, _, quality = entry.replace(" ", "").partition(";q=")
        if coding.lower() in ("gzip", "*"):
            return quality not in ("0", "0.0", "0.00", "0.000")
    return False


def notice_the_dead(request: Request) -> None:
    """Where nothing is acknowledged the kernel ends the connection, long before it would by itself."""
    get_handle = getattr(getattr(request.channel, "transport", None), "getHandle", None)
    handle = get_handle() if get_handle else None
    if handle is not None and getattr(handle, "family", None) in (socket.AF_INET, socket.AF_INET6):
        handle.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, int(STUCK * 1000))
