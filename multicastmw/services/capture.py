"""Captures on the control socket: GET /capture?group=GROUP&snaplen=BYTES streams what passes as pcapng.

Without a group everything is observed.  It ends when the asker hangs up, or the node ends.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service

from multicastmw import __version__, literals
from multicastmw.core.capture import SNAPLEN, SNAPLEN_MIN, Capture
from multicastmw.core.routing import EVERY
from multicastmw.net.clockwork import Clockwork, clock_ahead
from multicastmw.services.control import answered
from multicastmw.services.outflow import Outflow

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose.
CAPTURES_MAX = 4  # at a time


class CaptureService(Service):
    """All captures of a node."""

    def __init__(self, node: "NodeService") -> None:
        self._node = node
        self._running: list[Running] = []

    def leaves(self) -> dict[str, Any]:
        """Resources by their paths."""
        return {"capture": capture_resource(self)}

    def begin(self, request: Any, group: int, snaplen: int) -> None:
        """Raises ValueError where there are too many."""
        if len(self._running) >= CAPTURES_MAX:
            raise ValueError(f"{len(self._running)} captures are running, and more at a time are not")
        self._running.append(Running(self._node, request, group, snaplen, self._running.remove))

    def stopService(self) -> None:
        super().stopService()
        for running in list(self._running):
            running.finish()


class Running:
    """One capture, from its request to its end."""

    def __init__(
        self,
        node: "NodeService",
        request: Any,
        group: int,
        snaplen: int,
        ended: "Callable[[Running], None]",
    ) -> None:
        self._node = node
        self._group = group
        self._ended = ended
        self._flow = Outflow(request, b"application/x-pcapng", self._stop)
        now = node.reactor.seconds()
        origin = node.forwarder.origin
        self._capture = Capture(snaplen, origin, self._who, self._flow.write, clock_ahead(), now)
        self._capture.begin(node.room.here.name, f"mcmw {__version__}")
        self._clock = Clockwork(node.reactor, self._capture)
        self._clock.wind()
        node.router.observe(self._capture, group)

    def _who(self, node: int) -> tuple[str, str]:
        """A node's name, and the link that leads there."""
        reach, here = self._node.room.reach, self._node.room.here
        if node == here.node:
            return here.name, "here"
        return reach.name(node) or f"{node:016x}", ", ".join(link.name for link in reach.links(node)) or "?"

    def finish(self) -> None:
        """The node ends; what was dropped is said."""
        self._capture.tell(self._node.reactor.seconds())
        self._stop()
        self._flow.finish()

    def _stop(self) -> None:
        self._clock.stop()
        self._node.router.disregard(self._capture, self._group)
        self._ended(self)


def capture_resource(service: CaptureService) -> Any:
    """A leaf that answers GET with a capture."""
    from twisted.web.resource import Resource
    from twisted.web.server import NOT_DONE_YET, Request

    class Leaf(Resource):
        isLeaf = True

        def render_GET(self, request: Request) -> Any:
            try:
                group = argument(request, b"group")
                snaplen = argument(request, b"snaplen")
                service.begin(
                    request,
                    int(literals.group(group)) if group else EVERY,
                    literals.whole(SNAPLEN_MIN, SNAPLEN)(snaplen) if snaplen else SNAPLEN,
                )
            except ValueError as error:
                return answered(request, {"error": str(error)})
            return NOT_DONE_YET

    return Leaf()


def argument(request: Any, name: bytes) -> str:
    """Of the URI, as a text; empty where it is not there."""
    return str((request.args or {}).get(name, [b""])[0].decode(errors="replace"))
