"""/udp/GROUP:PORT and /rtp/GROUP:PORT: a stream for a player that has no multicast, in the manner of udpxy.

A GET joins, and is answered when the first payload is there (200), or when none came for a while (504); the
answer then goes on until the viewer or the stream goes.  HEAD joins nothing.  Ranges are ignored, as a stream
has no end to count from.  With .m3u behind it, it is a playlist with that stream: see sessions.py.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from multicastmw.core.output import FIRST_WITHIN, VIEWERS_MAX, HttpOutput, Viewer
from multicastmw.core.payloads import What, parse
from multicastmw.web import exports
from multicastmw.web.http import Folder, Refusal, abort, place_of, refuse, said
from multicastmw.web.sessions import M3U, Here, Playlist
from multicastmw.wire import ipv4

TS = b"video/mp2t"
ANYTHING = b"application/octet-stream"


@implementer(IPushProducer)
class Watching:
    """One answer that goes on: the connection of a viewer."""

    def __init__(self, output: HttpOutput, what: What, request: Any, reactor: Any) -> None:
        self._output = output
        self._request = request
        self._reactor = reactor
        self._is_over = False
        self._has_begun = False
        place = place_of(request.getClientAddress())
        self.viewer: Viewer = output.watch(what, self, reactor.seconds(), place)
        self._late: IDelayedCall | None = reactor.callLater(FIRST_WITHIN, self._nothing_came)
        request.notifyFinish().addBoth(self._gone)

    # --- what the stream says

    def write(self, payload: bytes) -> None:
        if self._is_over:
            return
        if not self._has_begun:
            self._begin()
        self._request.write(payload)

    def _begin(self) -> None:
        self._has_begun = True
        self._quiet()
        kind = TS if self.viewer.watched.is_ts else ANYTHING
        self._request.setHeader(b"content-type", kind)
        self._request.registerProducer(self, True)

    def end(self, why: str) -> None:
        """The stream is over, or this viewer is; one who takes nothing is cut off."""
        if self._is_over:
            return
        if not self._has_begun:
            is_let_through = self._output.admits(self.viewer.watched.what)
            self._answer(Refusal(504 if is_let_through else 403, why))
            return
        stuck = self.viewer.is_stuck
        self._leave()
        self._request.unregisterProducer()
        if stuck:
            abort(self._request.channel)
        else:
            self._request.finish()

    def _nothing_came(self) -> None:
        self._late = None
        watched = self.viewer.watched
        self._output.counters.unanswered += 1
        if watched.not_rtp:
            line = f"what comes to {watched.what.sentence()} is no RTP: ask for /udp/ instead of /rtp/"
            self._answer(Refusal(502, line))
            return
        line = f"nothing came to {watched.what.sentence()} within {FIRST_WITHIN:.0f} s"
        self._answer(Refusal(504, line))

    def _answer(self, why: Refusal) -> None:
        self._leave()
        refuse(self._request, why)

    # --- what the connection says

    def pauseProducing(self) -> None:
        self.viewer.pause()

    def resumeProducing(self) -> None:
        if not self._is_over:
            self.viewer.resume(self._reactor.seconds())

    def stopProducing(self) -> None:
        self._leave()

    def _gone(self, _: Any) -> None:
        self._leave()

    def _leave(self) -> None:
        self._is_over = True
        self._quiet()
        self._output.leave(self.viewer)

    def _quiet(self) -> None:
        if self._late and self._late.active():
            self._late.cancel()
        self._late = None


class Streams(Folder):
    """/udp or /rtp: its children are GROUP:PORT."""

    def __init__(self, output: Callable[[], HttpOutput], reactor: Any, is_rtp: bool, here: Here) -> None:
        super().__init__()
        self._output = output
        self._reactor = reactor
        self._is_rtp = is_rtp
        self._here = here

    def getChild(self, path: bytes, request: Request) -> Resource:
        if not path or request.postpath not in ([], [b""]):
            return super().getChild(path, request)
        where = path.decode("utf-8", "replace")
        stream = Stream(self._output(), self._reactor, where.removesuffix(M3U), self._is_rtp)
        return OfOne(stream, self._here) if where.endswith(M3U) else stream


class Stream(Resource):
    """One GROUP:PORT; `?source=` asks for one sender's."""

    isLeaf = True

    def __init__(self, output: HttpOutput, reactor: Any, where: str, is_rtp: bool) -> None:
        super().__init__()
        self._output = output
        self._reactor = reactor
        self._where = where
        self._is_rtp = is_rtp

    def render_GET(self, request: Request) -> Any:
        what = self.what(request)
        if isinstance(what, bytes):
            return what
        if self._output.is_full:
            line = f"{VIEWERS_MAX} watch already, and more than that this node does not serve"
            return said(request, 503, line, ((b"retry-after", b"10"),))
        Watching(self._output, what, request, self._reactor)
        return NOT_DONE_YET

    def render_HEAD(self, request: Request) -> Any:
        what = self.what(request)
        if isinstance(what, bytes):
            return what
        watched = self._output.known(what)
        kind = ANYTHING if watched and watched.is_ts is False else TS
        request.setHeader(b"content-type", kind)
        request.write(b"")  # without a length, which nobody knows
        request.finish()
        return NOT_DONE_YET

    def what(self, request: Request) -> What | bytes:
        """What is asked for, or the body of the answer that says why not."""
        assert request.args is not None
        sources = request.args.get(b"source", [b""])
        try:
            what = parse(self._where, sources[-1].decode("utf-8", "replace"), self._is_rtp)
        except ValueError as error:
            return said(request, 400, str(error))
        if not self._output.admits(what):
            return said(request, 403, "[groups] of this node keeps the group out")
        return what


class OfOne(Resource):
    """The playlist of one stream."""

    isLeaf = True

    def __init__(self, stream: Stream, here: Here) -> None:
        super().__init__()
        self._stream = stream
        self._here = here

    def render_GET(self, request: Request) -> Any:
        what = self._stream.what(request)
        if isinstance(what, bytes):
            return what
        source = ipv4.text(what.source) if what.source else ""
        session = exports.stream(ipv4.text(what.group), what.port, source, what.is_rtp)
        return Playlist(lambda: [session], "m3u", self._here).render_GET(request)
