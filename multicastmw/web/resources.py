"""What may be mounted at the web service: JSON from the node's one snapshot, and nothing that changes it."""

from collections.abc import Callable
from typing import Any

from twisted.web.server import Request

from multicastmw.core.status import Status
from multicastmw.web.http import Leaf

# What we chose: so long a snapshot is shown to others who ask, however many watch.
FRESH = 0.2  # seconds


class Recent:
    """The snapshot, taken at most each FRESH seconds, and its JSON."""

    def __init__(self, take: Callable[[], Status], clock: Callable[[], float]) -> None:
        self._take = take
        self._clock = clock
        self._until = float("-inf")
        self._status: Status | None = None
        self._json = b""

    def status(self) -> Status:
        now = self._clock()
        if self._status is None or now >= self._until:
            self._status, self._json = self._take(), b""
            self._until = now + FRESH
        return self._status

    def json(self) -> bytes:
        """The document that the control socket's /status has."""
        status = self.status()
        if not self._json:
            self._json = status.json()
        return self._json


class Document(Leaf):
    """A leaf that answers GET with these bytes."""

    def __init__(self, body: Callable[[], bytes], kind: bytes = b"application/json") -> None:
        super().__init__()
        self._body = body
        self._kind = kind

    def render_GET(self, request: Request) -> Any:
        request.setHeader(b"content-type", self._kind)
        return self._body()
