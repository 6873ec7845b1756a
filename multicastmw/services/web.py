"""The web service: the page, metrics, and streams for players that have no multicast, where [web] says so.

    [web] endpoint ── BoundedSite ── Guard ── what `_root` mounts
                      room (web/http.py)  who may (web/guard.py)

Where other hosts reach the endpoint a token is taken: the one of node.ini, else one that is drawn when the
node starts.  `mcmw web` tells it, by the control socket; nothing else does.
"""

import secrets
import socket
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure

from multicastmw.core.counters import Counters
from multicastmw.core.events import Limit, WebRefused, WebUp
from multicastmw.core.output import HttpOutput
from multicastmw.core.status import WebStatus, unfolded
from multicastmw.endpoints import is_loopback, is_same_port, is_usual, unix_socket
from multicastmw.net.clockwork import Clockwork
from multicastmw.sections import WebConfig
from multicastmw.services.control import steering_resource
from multicastmw.services.errors import CannotStart
from multicastmw.services.peers import reason
from multicastmw.services.unixsocket import UnixSocket

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService
    from multicastmw.web.guard import Guard

# What we chose.
CALLERS_MAX = 96  # connections at a time, of which 32 may watch a stream
CALLERS_OF_ONE = 32  # of one address, where others reach the endpoint
WAITS = 10.0  # seconds that a caller has for a request
TOKEN_BYTES = 24  # of chance in a token that is drawn

WORDS = {
    "wrong_token": "the token is wrong",
    "foreign_host": "it asks for another host than this one, as a page of another site does",
    "other_site": "a page of another site asks for it",
}


class WebCounters(Counters):
    """Requests by what became of them."""

    __slots__ = (
        "foreign_host",
        "other_site",
        "refused",
        "requests",
        "sent_away",
        "turned_away",
        "wrong_token",
    )
    foreign_host: int
    other_site: int
    refused: int  # for any reason of the guard's
    requests: int
    sent_away: int  # callers who asked for nothing in time
    turned_away: int  # callers for whom there was no room
    wrong_token: int


class WebService(Service):
    """Serves at [web] endpoint.  Raises CannotStart where it cannot; empty, it serves nothing."""

    def __init__(self, config: WebConfig, node: "NodeService") -> None:
        self.config = config
        self.counters = WebCounters()
        self.output: HttpOutput | None = None
        self.guard: Guard | None = None
        self.why = ""  # nothing is served, though something should be
        self._drawn = secrets.token_urlsafe(TOKEN_BYTES)
        self._salt = secrets.token_bytes(TOKEN_BYTES)
        self._node = node
        self._reactor = node.reactor
        self._port: IListeningPort | UnixSocket | None = None
        self._site: Any = None
        self._root_resource: Any = None
        self._clockwork: Clockwork | None = None

    # --- what is there: the one place where resources are mounted

    def _root(self) -> Any:
        from multicastmw.web import files, sessions
        from multicastmw.web.events import Feed
        from multicastmw.web.http import Folder
        from multicastmw.web.metrics import Metrics
        from multicastmw.web.output import Streams
        from multicastmw.web.resources import Document, Recent

        recent = Recent(self._node.status, self._reactor.seconds)
        root = Folder()
        root.putChild(b"status", Document(recent.json))
        root.putChild(b"metrics", Metrics(recent.status, self._reactor))
        here = sessions.here(lambda: self.guard.stream_pass if self.guard else "")
        root.putChild(b"udp", Streams(self._outputs, self._reactor, False, here))
        root.putChild(b"rtp", Streams(self._outputs, self._reactor, True, here))
        sessions.mount(root, lambda: list(unfolded(recent.status().sessions)), here)
        looks = Folder()
        looks.putChild(b"watch", steering_resource(self._node.health.actions()["streams/watch"]))
        root.putChild(b"streams", looks)
        feed = Feed(self._node.status, self._node.journal.after, self._reactor)
        files.mount(root, feed)
        return root

    def _outputs(self) -> HttpOutput:
        if self.output is None:
            denies = self._node.destination.denies
            self.output = HttpOutput(self._node.router, lambda channel: not denies(channel))
            self._clockwork = Clockwork(self._reactor, self.output)
            self.output.wake = self._clockwork.wind
        return self.output

    # --- life

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        if self.config.endpoint:
            self._open(self.config)

    def give_to(self, uid: int, gid: int) -> None:
        if isinstance(self._port, UnixSocket):
            self._port.give_to(uid, gid)

    def stopService(self) -> Any:
        super().stopService()
        if self._clockwork:
            self._clockwork.stop()
        return self._close()

    async def move(self, config: WebConfig) -> None:
        """As this says from now on; raises CannotStart, and then it is as before, or `why` says why not.

        Who is connected goes: what he was let in by is no more.
        """
        before = self.config
        if config.endpoint == before.endpoint and self._port:
            self.config = config
            self._let_in_by(config)
            return
        after = config.endpoint or ""
        if before.endpoint and _is_one_place(before.endpoint, after):
            await maybeDeferred(self._close)
            try:
                self._open(config)
            except CannotStart:
                await self.move_back(before)
                raise
            return
        port, site = self._port, self._site
        if after:
            self._open(config)
        else:
            self._port = self._site = self.guard = None
        self.config, self.why = config, ""
        if port:
            site.close()
            await maybeDeferred(port.stopListening)

    async def move_back(self, config: WebConfig) -> None:
        """To where it was until just now, if that can be had again."""
        await maybeDeferred(self._close)
        self.config = config
        try:
            if config.endpoint:
                self._open(config)
        except CannotStart as error:
            self.why = f"{error}; nothing is served there until `mcmw reload`"

    def _open(self, config: WebConfig) -> None:
        from multicastmw.web.guard import HEADERS
        from multicastmw.web.http import BoundedSite, Room

        endpoint = config.endpoint or ""
        if self._root_resource is None:
            self._root_resource = self._root()
        local = unix_socket(endpoint)
        room = Room(CALLERS_MAX, CALLERS_MAX if local else CALLERS_OF_ONE, WAITS)
        site = BoundedSite(self._root_resource, "web", room, self._reactor, self._judge, HEADERS)
        site.full = self._full
        site.sent_away_one = self._sent_away
        port: IListeningPort | UnixSocket
        if local:
            port = UnixSocket(self._reactor, local[0], site, local[1], "[web] endpoint")
        else:
            port = self._listen(endpoint, site)
        self._port, self._site, self.config, self.why = port, site, config, ""
        if self.is_here:
            site.room = Room(CALLERS_MAX, CALLERS_MAX, WAITS)  # all who are here have one address
        self._let_in_by(config)
        where = "a token is taken, see mcmw web" if self.token else "for this host alone"
        self._node.tell(WebUp(endpoint, where))

    def _listen(self, endpoint: str, site: Any) -> IListeningPort:
        failures: list[Failure] = []
        ports: list[IListeningPort] = []
        serverFromString(self._reactor, endpoint).listen(site).addCallbacks(ports.append, failures.append)
        if failures:
            raise CannotStart(f"[web] endpoint: {endpoint}: {reason(failures[0])}")
        if not ports:
            raise CannotStart(f"[web] endpoint: {endpoint}: it does not listen at once")
        return ports[0]

    def _let_in_by(self, config: WebConfig) -> None:
        """Tokens of this; who came with another one goes."""
        from multicastmw.web.guard import Guard

        before = self.guard
        identity = f"{self._node.room.here.node:016x}"
        is_socket = isinstance(self._port, UnixSocket)
        self.guard = Guard(self.is_here, self.token, identity, is_socket, self._salt)
        if before and before.token != self.guard.token and self._site:
            self._site.close()

    def _close(self) -> Any:
        port, site = self._port, self._site
        self._port = self._site = self.guard = None
        if site:
            site.close()
        return port.stopListening() if port else None

    # --- who may

    @property
    def is_here(self) -> bool:
        """Does only this host reach it?  What `localhost` means, /etc/hosts says: so the port is asked."""
        if isinstance(self._port, UnixSocket):
            return True
        if not self._port or not is_usual(self.config.endpoint or ""):
            return False
        return is_loopback(getattr(self._port.getHost(), "host", ""))

    @property
    def token(self) -> str:
        """What is taken; empty: none is asked for."""
        return self.config.token or ("" if self.is_here else self._drawn)

    def _judge(self, request: Any) -> Any:
        from multicastmw.web.http import Refusal

        self.counters.requests += 1
        assert self.guard is not None
        refused = self.guard.judge(asked(request, self.guard.cookie))
        if refused is None:
            return None
        self.counters.refused += 1
        if refused.why:
            setattr(self.counters, refused.why, getattr(self.counters, refused.why) + 1)
            from multicastmw.web.http import place_of

            self._node.tell(WebRefused(place_of(request.getClientAddress()), WORDS[refused.why]))
        return Refusal(refused.code, refused.line, refused.headers)

    def _full(self, place: str) -> None:
        self.counters.turned_away += 1
        self._node.tell(
            Limit(f"[web] endpoint: {place} has as many connections as it may, and asks for more")
        )

    def _sent_away(self) -> None:
        self.counters.sent_away += 1

    def admit_again(self) -> None:
        """[groups] says something else now."""
        if self.output:
            self.output.admit_again()

    # --- what is said of it

    def status(self) -> WebStatus:
        output = self.output.counts() if self.output else {}
        return WebStatus(
            endpoint=self.config.endpoint,
            why=self.why,
            takes_token=bool(self._port and self.token),
            callers=self._site.callers if self._site else 0,
            counters=self.counters.as_dict() | {f"output_{name}": count for name, count in output.items()},
        )

    def warnings(self) -> tuple[str, ...]:
        return (self.why,) if self.why else ()

    def document(self) -> dict[str, Any]:
        """What `mcmw web` is told: with the token, so this is for the control socket alone."""
        if not self._port:
            return {"endpoint": self.config.endpoint, "why": self.why, "url": None, "token": None}
        token = self.token or None
        found = {"endpoint": self.config.endpoint, "why": "", "here": self.is_here, "token": token}
        if isinstance(self._port, UnixSocket):
            local = unix_socket(self.config.endpoint or "")
            return found | {"url": None, "socket": local[0] if local else None}
        return found | {"url": self._url(token)}

    def _url(self, token: str | None) -> str:
        assert self._port and not isinstance(self._port, UnixSocket)
        address: Any = self._port.getHost()
        host = socket.gethostname() if address.host in ("0.0.0.0", "::") else address.host
        host = f"[{host}]" if ":" in host else host
        scheme = "https" if (self.config.endpoint or "").startswith(("ssl:", "tls:")) else "http"
        return f"{scheme}://{host}:{address.port}/" + (f"?token={token}" if token else "")


def _is_one_place(one: str, other: str) -> bool:
    """Can these endpoints not be had at the same time?"""
    paths = [found and found[0] for found in map(unix_socket, filter(None, (one, other)))]
    if len(paths) == 2 and paths[0]:
        return paths[0] == paths[1]
    return bool(other) and (one == other or is_same_port(one, other))


def asked(request: Any, cookie: str) -> Any:
    """The request as the guard takes it; bytes that are not text become signs that nothing has."""
    from multicastmw.web.guard import Asked

    def header(name: str) -> str:
        return text(request.getHeader(name.encode()) or b"")

    return Asked(
        method=request.method,
        uri=request.uri,
        hosts=tuple(text(each) for each in request.requestHeaders.getRawHeaders(b"host", [])),
        origin=header("origin"),
        fetch_site=header("sec-fetch-site"),
        fetch_mode=header("sec-fetch-mode"),
        fetch_dest=header("sec-fetch-dest"),
        authorization=header("authorization"),
        cookie=text(request.getCookie(cookie.encode()) or b""),
        is_secure=request.isSecure(),
    )


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
