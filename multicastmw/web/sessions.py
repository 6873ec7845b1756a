"""What is announced, as files that players open.

    /sessions.m3u, .xspf, .json     all of it
    /session/ID.sdp, .m3u           one session
    /udp/GROUP:PORT.m3u             a stream, announced or not; also /rtp/ (web/output.py)

An .m3u names multicast addresses; with `?via=http` it has the URLs of this node's HTTP output instead, which
a telephone can open.
"""

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from twisted.web.resource import Resource
from twisted.web.server import Request

from multicastmw.web import exports
from multicastmw.web.http import Folder, Leaf, Line, said

Sessions = Callable[[], list[exports.Session]]

M3U = ".m3u"
NOTHING = "no such session is announced: /sessions.json lists those that are"
NO_SUCH_WAY = "via=http is the only other way: without it the addresses are multicast"


class Place(NamedTuple):
    """How URLs of this node begin, and what has to stand behind them: a token."""

    base: str
    query: str


Here = Callable[[Request], Place]


def here(pass_of: Callable[[], str]) -> Here:
    """Where an asker finds this node; `pass_of` gives what opens its streams for who has shown no token."""

    def place(request: Request) -> Place:
        return Place(base_of(request), token_of(request, pass_of()))

    return place


def base_of(request: Request) -> str:
    """As the asker has called this place; the guard has looked at the name."""
    scheme = "https" if request.isSecure() else "http"
    host = (request.getHeader(b"host") or b"").decode("ascii", "replace")
    return f"{scheme}://{host}" if host else ""


def token_of(request: Request, instead: str = "") -> str:
    """Who asked with it in the URL can show it in no other way, and neither can the player of who did not."""
    found = [value for name, value in parse_qsl(request.uri.partition(b"?")[2]) if name == b"token"]
    token = found[0] if found else instead
    return "?" + urlencode({"token": token}) if token else ""


class Playlist(Leaf):
    """Sessions in one of the formats; what is played by its SDP has this place's URL of it."""

    def __init__(self, sessions: Sessions, kind: str, here: Here) -> None:
        super().__init__()
        self._sessions = sessions
        self._kind = kind
        self._here = here

    def render_GET(self, request: Request) -> Any:
        way = (request.args or {}).get(b"via", [])
        if way not in ([], [b"http"]):
            return said(request, 400, NO_SUCH_WAY)
        text = self._text(self._here(request), bool(way))
        request.setHeader(b"content-type", exports.TYPES[self._kind].encode())
        return text.encode()

    def _text(self, place: Place, via_http: bool) -> str:
        sessions = self._sessions()
        if self._kind == "json":
            return exports.as_json(sessions)
        make = exports.m3u if self._kind == "m3u" else exports.xspf
        return make(sessions, *place, via_http=via_http)


class OfOne(Folder):
    """Each session's SDP and .m3u by its id."""

    def __init__(self, sessions: Sessions, here: Here) -> None:
        super().__init__()
        self._sessions = sessions
        self._here = here

    def getChild(self, path: bytes, request: Request) -> Resource:
        name, _, kind = path.decode("ascii", "replace").rpartition(".")
        found = [each for each in self._sessions() if each["id"] == name]
        if found and kind == "sdp":
            return Description(found[0])
        return Playlist(lambda: found, "m3u", self._here) if found and kind == "m3u" else Line(404, NOTHING)


class Description(Leaf):
    """One session's SDP."""

    def __init__(self, session: exports.Session) -> None:
        super().__init__()
        self._session = session

    def render_GET(self, request: Request) -> Any:
        request.setHeader(b"content-type", exports.TYPES["sdp"].encode())
        return exports.sdp(self._session).encode()


def mount(root: Resource, sessions: Sessions, here: Here) -> None:
    """All of them."""
    for kind in ("m3u", "xspf", "json"):
        root.putChild(f"sessions.{kind}".encode(), Playlist(sessions, kind, here))
    root.putChild(b"session", OfOne(sessions, here))
