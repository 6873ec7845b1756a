"""The control socket: HTTP with JSON on a UNIX socket, for `mcmw` and for whoever has a script.

GET /status        the status snapshot
GET /events        what happened last: {"events": [{"ago", "kind", "level", "text"}]}
GET /web           where the web service is, with its token
POST /reload       reads node.ini again; answers when that is done: 200, or 422 where nothing was changed
POST /fastpath/on  has the kernel forward what it can: 200, or 422 where it forwards nothing
POST /fastpath/off has this process forward everything
POST /log          {"level"}: writes what is of this level or above from now on
POST /group/pin    {"group"}: wants it though no program does; /group/unpin no longer
POST /peer/add     {"name", "endpoint"}: dials it; /peer/remove {"name"} no longer: 200, or 422 and {"error"}
POST /streams/watch {"group", "seconds"}: looks at the group's streams for so long; "": at whatever passes
POST /ping, /matrix, /trace  what other nodes are asked, a line an answer: see probing.py
GET /capture       what passes, as pcapng, until the asker hangs up: see capture.py
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from multicastmw.services.unixsocket import UnixSocket

MODE = 0o660
LOG = Logger(namespace="mcmw")

# What we chose.
CALLERS_MAX = 32  # at a time
WAITS = 60.0  # seconds that a caller has for a request


class ControlService(Service):
    """Answers on a UNIX socket.  A stale one is tried, then replaced; one that answers is another node's."""

    def __init__(
        self,
        path: str,
        status: Callable[[], dict[str, Any]],
        reactor: Any,
        actions: Mapping[str, Callable[[], Deferred[Any]]] | None = None,
        events: Callable[[], list[dict[str, Any]]] = list,
        steering: Mapping[str, Callable[[Mapping[str, str]], Any]] | None = None,
        documents: Mapping[str, Callable[[], dict[str, Any]]] | None = None,
        leaves: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """`actions` are what may be asked for with POST; each gives a `document()` and an `error`, as those
        of `steering` do, which take an object of texts; `documents` are what GET gives besides, and `leaves`
        resources of others, by their paths."""
        self._leaves = leaves
        self._steering = steering or {}
        self._documents = documents or {}
        self.path = path
        self._events = events
        self._actions = actions or {}
        self._status = status
        self._reactor = reactor
        self._port: UnixSocket | None = None

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        from multicastmw.web.http import BoundedSite, Room

        room = Room(CALLERS_MAX, CALLERS_MAX, WAITS, gives_way=False)
        site = BoundedSite(self._root(), "control", room, self._reactor, _only_ascii)
        self._port = UnixSocket(self._reactor, self.path, site, MODE, "[control] socket")

    def give_to(self, uid: int, gid: int) -> None:
        if self._port:
            self._port.give_to(uid, gid)

    def _root(self) -> Any:
        from multicastmw.web.http import Folder

        root = Folder()
        root.putChild(b"status", json_resource(self._status))
        root.putChild(b"events", json_resource(lambda: {"events": self._events()}))
        for name, document in self._documents.items():
            root.putChild(name.encode(), json_resource(document))
        folders: dict[str, Folder] = {"": root}
        leaves = {name: action_resource(action) for name, action in self._actions.items()}
        leaves |= {name: steering_resource(action) for name, action in self._steering.items()}
        leaves |= self._leaves()
        for name, resource in leaves.items():
            folder, _, leaf = name.rpartition("/")
            if folder not in folders:
                folders[folder] = Folder()
                root.putChild(folder.encode(), folders[folder])
            folders[folder].putChild(leaf.encode(), resource)
        return root

    def stopService(self) -> Any:
        super().stopService()
        return self._port.stopListening() if self._port else None


def _only_ascii(request: Any) -> Any:
    """A path of other signs is none of ours."""
    from multicastmw.web.http import Refusal

    return None if request.uri.isascii() else Refusal(404, "there is nothing here")


def json_resource(value: Callable[[], dict[str, Any]]) -> Any:
    """A leaf that answers GET with a JSON object."""
    from twisted.web.resource import Resource
    from twisted.web.server import Request

    class Leaf(Resource):
        isLeaf = True

        def render_GET(self, request: Request) -> bytes:
            request.setHeader(b"content-type", b"application/json")
            return json.dumps(value(), default=vars).encode() + b"\n"

    return Leaf()


def steering_resource(action: Callable[[Mapping[str, str]], Any]) -> Any:
    """A leaf that does what POST asks for with a JSON object of texts."""
    from twisted.web.resource import Resource
    from twisted.web.server import Request

    class Leaf(Resource):
        isLeaf = True

        def render_POST(self, request: Request) -> bytes:
            assert request.content is not None
            try:
                outcome = action(texts(request.content.read()))
            except ValueError as error:
                document = {"error": str(error)}
            except KeyError as missing:
                document = {"error": f"{missing.args[0]} is missing"}
            else:
                document = outcome.document()
            return answered(request, document)

    return Leaf()


def answered(request: Any, document: dict[str, Any]) -> bytes:
    """As JSON; what is understood and wrong has an `error`."""
    request.setHeader(b"content-type", b"application/json")
    request.setResponseCode(422 if "error" in document else 200)
    return json.dumps(document).encode() + b"\n"


def texts(body: bytes) -> dict[str, str]:
    """A JSON object of texts; raises ValueError for anything else."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("the body is not a JSON object of texts")
    return found


def action_resource(action: Callable[[], Deferred[Any]]) -> Any:
    """A leaf that does what POST asks for, and answers with a JSON object when it is done."""
    from twisted.web.resource import Resource
    from twisted.web.server import NOT_DONE_YET, Request

    class Leaf(Resource):
        isLeaf = True

        def render_POST(self, request: Request) -> int:
            # Who hangs up does not stop it, and is not answered.
            left: list[object] = []
            request.notifyFinish().addBoth(left.append)
            action().addCallback(self._answer, request, left).addErrback(self._failed, request, left)
            return NOT_DONE_YET

        def _answer(self, outcome: Any, request: Request, left: list[object]) -> None:
            body = json.dumps(outcome.document()).encode() + b"\n"
            if not left:
                request.setResponseCode(422 if outcome.error else 200)
                request.setHeader(b"content-type", b"application/json")
                request.write(body)
                request.finish()

        def _failed(self, failure: Failure, request: Request, left: list[object]) -> None:
            LOG.failure("what was asked for failed", failure)
            if not left:
                request.setResponseCode(500)
                request.finish()

    return Leaf()
