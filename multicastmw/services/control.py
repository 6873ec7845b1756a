"""The control socket: HTTP with JSON on a UNIX socket, for `mcmw` and for whoever has a script.

GET /status        the status snapshot
"""

import json
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service

from multicastmw.services.unixsocket import UnixSocket

MODE = 0o660


class ControlService(Service):
    """Answers on a UNIX socket.  A stale one is tried, then replaced; one that answers is another node's."""

    def __init__(self, path: str, status: Callable[[], dict[str, Any]], reactor: Any) -> None:
        self.path = path
        self._status = status
        self._reactor = reactor
        self._port: UnixSocket | None = None

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        from twisted.web.server import Site

        class Quiet(Site):
            noisy = False

            def logPrefix(self) -> str:
                return "control"

            def log(self, request: object) -> None:
                """Who watches a node must not fill its log."""

        site = Quiet(self._root())
        site.displayTracebacks = False
        self._port = UnixSocket(self._reactor, self.path, site, MODE, "[control] socket")

    def give_to(self, uid: int, gid: int) -> None:
        if self._port:
            self._port.give_to(uid, gid)

    def _root(self) -> Any:
        from twisted.web.resource import Resource

        root = Resource()
        root.putChild(b"status", json_resource(self._status))
        return root

    def stopService(self) -> Any:
        super().stopService()
        return self._port.stopListening() if self._port else None


def json_resource(value: Callable[[], dict[str, Any]]) -> Any:
    """A leaf that answers GET with a JSON object."""
    from twisted.web.resource import Resource
    from twisted.web.server import Request

    class Leaf(Resource):
        isLeaf = True

        def render_GET(self, request: Request) -> bytes:
            request.setHeader(b"content-type", b"application/json")
            return json.dumps(value()).encode() + b"\n"

    return Leaf()
