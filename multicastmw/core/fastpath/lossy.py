"""Flows that lose packets where these can be repaired: Python forwards them until they lose none any more.

                   the kernel's window counts a loss, from a link whose other end keeps packets
                   or somebody asks for packets again, which the kernel has not kept
    in the kernel ----------------------------------------------------------------------------> here, repaired
         ^                                                                                        |
         +-------------------- nothing was missed or asked for, for CALM seconds -----------------+

What was lost until then stays lost.  A flow that is faster than Python is sure to be stays in the kernel, and
so do more flows than that together: else the cure would lose more than it mends.
"""

from collections.abc import Iterable

from multicastmw.core.fastpath.flows import Flow, Flows
from multicastmw.core.room import Room
from multicastmw.core.routing import Route

# What we chose.
CALM = 30.0  # seconds without a loss, and the kernel has it again
RATE_MAX = 5_000.0  # packets/s of all that are here for this: 50 Mbit/s of video


class Lossy:
    """Which flows these are, and until when."""

    def __init__(self, flows: Flows, room: Room) -> None:
        self._flows = flows
        self._room = room
        self._until: dict[Flow, float] = {}
        self._rates: dict[Flow, float] = {}  # packets/s, as they were in the kernel
        self._seen: dict[Flow, tuple[int, int]] = {}  # packets and losses, when it was looked last
        self._now = 0.0

    def __contains__(self, flow: Flow) -> bool:
        return flow in self._until

    def clear(self) -> None:
        """The fast path is off."""
        for each in (self._until, self._rates, self._seen):
            each.clear()

    def look(self, now: float) -> Iterable[Flow]:
        """Once a second: which ones are to be judged anew?"""
        seconds, self._now = now - self._now, now
        changed = [flow for flow, until in self._until.items() if now >= until]
        for flow in changed:
            del self._until[flow]
            self._rates.pop(flow, None)
        if self._room.recovery is None:
            return changed
        before, self._seen = self._seen, {}
        for _, flow in self._flows.fast():
            self._seen[flow] = flow.passed, flow.lost
            if flow not in before:
                continue  # how fast it is, is not known yet
            passed, lost = before[flow]
            if flow not in self._until:
                self._rates[flow] = (flow.passed - passed) / max(0.5, seconds)
            if flow.lost > lost and self._can_be_mended(flow) and self._take(flow):
                changed.append(flow)
        for flow in self._rates.keys() - self._seen.keys() - self._until.keys():
            del self._rates[flow]  # it has ended
        return changed

    def needs(self, origin: int, route: Route) -> Iterable[Flow]:
        """Packets of these were lost, or are asked for again; gives those that were the kernel's."""
        taken = []
        for flow in self._flows.of_route(route):
            if flow.origin != origin:
                continue
            if flow in self._until:
                self._until[flow] = self._now + CALM
            elif flow.value is not None and self._take(flow):
                taken.append(flow)
        return taken

    def _can_be_mended(self, flow: Flow) -> bool:
        """Does it come from somebody who sends again what is lost?"""
        link = None if self._flows.is_ours(flow) else self._flows.ingress(flow)
        return link is not None and link.partner is not None

    def _take(self, flow: Flow) -> bool:
        together = sum(self._rates.get(each, 0.0) for each in self._until)
        if together + self._rates.get(flow, 0.0) > RATE_MAX:
            return False
        self._until[flow] = self._now + CALM
        return True
