"""The control socket: HTTP with JSON on a UNIX socket, for `mcmw` and for whoever has a script.

GET /status        the status snapshot
"""

import json
import os
import socket
import stat
from collections.abc import Callable
from errno import EEXIST
from typing import Any

from twisted.application.service import Service
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort

from multicastmw.services.errors import CannotStart

MODE = 0o660


class ControlService(Service):
    """Answers on a UNIX socket.  A stale one is tried, then replaced; one that answers is another node's."""

    def __init__(self, path: str, status: Callable[[], dict[str, Any]], reactor: Any) -> None:
        self.path = path
        self._status = status
        self._reactor = reactor
        self._port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        from twisted.web.pages import notFound
        from twisted.web.server import Site

        class Quiet(Site):
            noisy = False

            def logPrefix(self) -> str:
                return "control"

            def getResourceFor(self, request: Any) -> Any:
                """What Twisted says of a wrong method repeats the URI, and raises if that is not ASCII."""
                return super().getResourceFor(request) if request.uri.isascii() else notFound()

            def log(self, request: object) -> None:
                """Who watches a node must not fill its log."""

        try:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            self._clear()
            site = Quiet(self._root())
            site.displayTracebacks = False
            self._port = self._reactor.listenUNIX(self.path, site, mode=MODE)
        except (OSError, CannotListenError) as error:
            raise CannotStart(f"[control] socket: {self.path}: {_why(error)}") from error

    def _clear(self) -> None:
        """Takes a stale socket away; nothing else that may stand there."""
        if not os.path.lexists(self.path):
            return
        if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
            raise FileExistsError(EEXIST, "something is there that is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            trial.setblocking(False)  # a node that hangs answers nobody, but it is there
            try:
                trial.connect(self.path)
            except ConnectionRefusedError:
                os.unlink(self.path)
                return
            except BlockingIOError:
                pass
        raise CannotStart(f"[control] socket: another node answers at {self.path}")

    def _root(self) -> Any:
        from twisted.web.resource import Resource

        root = Resource()
        root.putChild(b"status", json_resource(self._status))
        return root

    def stopService(self) -> Any:
        super().stopService()
        return self._port.stopListening() if self._port else None


def _why(error: OSError | CannotListenError) -> str:
    inner = error.socketError if isinstance(error, CannotListenError) else error
    return getattr(inner, "strerror", None) or str(inner)


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
