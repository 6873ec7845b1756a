"""An answer on the control socket that goes on: lines or blocks, until it is over or the asker hangs up.

An asker that does not read costs a bounded buffer: what does not fit is refused, and whoever wrote it counts
that or gives up.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

# What we chose.
WAITING_MAX = 4 << 20  # bytes for an asker that reads slowly


@implementer(IPushProducer)
class Outflow:
    """One request's answer; `left` is called when the asker hangs up before its end."""

    def __init__(self, request: Any, kind: bytes, left: Callable[[], None]) -> None:
        self.is_over = False
        self._request = request
        self._left = left
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._paused = False
        request.setHeader(b"content-type", kind)
        request.notifyFinish().addErrback(self._hung_up)
        request.registerProducer(self, True)

    def write(self, data: bytes) -> bool:
        """False where there is no room for it."""
        if self.is_over:
            return False
        if not self._paused:
            self._request.write(data)
            return True
        if self._waiting_bytes + len(data) > WAITING_MAX:
            return False
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        return True

    def finish(self) -> None:
        """All is said; what waits goes out first."""
        if self.is_over:
            return
        self.is_over = True
        for data in self._waiting:
            self._request.write(data)
        self._waiting.clear()
        self._request.unregisterProducer()
        self._request.finish()

    def _hung_up(self, _: Any) -> None:
        self._waiting.clear()
        if not self.is_over:
            self.is_over = True
            self._left()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        while self._waiting and not self._paused:
            data = self._waiting.popleft()
            self._waiting_bytes -= len(data)
            self._request.write(data)

    def stopProducing(self) -> None:
        """The connection is gone; notifyFinish tells it."""
