"""What is announced, as files that players open: /sessions.m3u, .xspf and .json, and /session/ID.sdp."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from twisted.web.resource import Resource
from twisted.web.server import Request

from multicastmw.web import exports
from multicastmw.web.http import Folder, Leaf, Line

Sessions = Callable[[], list[exports.Session]]

SDP = b".sdp"
NOTHING = "no such session is announced: /sessions.json lists those that are"


class Playlist(Leaf):
    """All sessions in one of the formats; what is played by its SDP has this place's URL of it."""

    def __init__(self, sessions: Sessions, kind: str) -> None:
        super().__init__()
        self._sessions = sessions
        self._kind = kind

    def render_GET(self, request: Request) -> Any:
        sessions = self._sessions()
        if self._kind == "json":
            text = exports.as_json(sessions)
        else:
            make = exports.m3u if self._kind == "m3u" else exports.xspf
            text = make(sessions, base_of(request), token_of(request))
        request.setHeader(b"content-type", exports.TYPES[self._kind].encode())
        return text.encode()


class Descriptions(Folder):
    """Each session's SDP by its id."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self._sessions = sessions

    def getChild(self, path: bytes, request: Request) -> Resource:
        name = path.removesuffix(SDP).decode("ascii", "replace")
        found = [each for each in self._sessions() if path.endswith(SDP) and each["id"] == name]
        return Description(found[0]) if found else Line(404, NOTHING)


class Description(Leaf):
    """One session's SDP."""

    def __init__(self, session: exports.Session) -> None:
        super().__init__()
        self._session = session

    def render_GET(self, request: Request) -> Any:
        request.setHeader(b"content-type", exports.TYPES["sdp"].encode())
        return exports.sdp(self._session).encode()


def base_of(request: Request) -> str:
    """As the asker has called this place; the guard has looked at the name."""
    scheme = "https" if request.isSecure() else "http"
    host = (request.getHeader(b"host") or b"").decode("ascii", "replace")
    return f"{scheme}://{host}" if host else ""


def token_of(request: Request) -> str:
    """Who asked with it in the URL can show it in no other way."""
    found = [value for name, value in parse_qsl(request.uri.partition(b"?")[2]) if name == b"token"]
    return "?" + urlencode({"token": found[0]}) if found else ""


def mount(root: Resource, sessions: Sessions) -> None:
    """All of them."""
    for kind in ("m3u", "xspf", "json"):
        root.putChild(f"sessions.{kind}".encode(), Playlist(sessions, kind))
    root.putChild(b"session", Descriptions(sessions))
