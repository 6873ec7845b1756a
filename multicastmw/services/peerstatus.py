"""The links' part of the status snapshot: every [peer:NAME], and every link that a peer dialled."""

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from multicastmw.core.counters import reader
from multicastmw.core.link import Link
from multicastmw.core.status import PeerStatus, renewed
from multicastmw.core.ways import LinkCounters

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService
    from multicastmw.services.peers import DiallingService

Diallers = tuple["DiallingService", ...]
Last = tuple[Any, PeerStatus, Any]
by_name = attrgetter("name")
counts_of = reader(LinkCounters.__slots__)
of_link = attrgetter("name", "section", "on_udp", "data_address")


class Peers:
    """Keeps the last one of each link, as most of it stays as it is."""

    def __init__(self, node: "NodeService") -> None:
        self._node = node
        self._last: dict[Link, Last] = {}
        self._on = False  # the fast path

    def take(self, now: float) -> tuple[PeerStatus, ...]:
        node = self._node
        diallers: dict[Link, list[DiallingService]] = {}  # several [peer:NAME] may lead to one node
        for dialler in node.diallers:
            if dialler.link:
                diallers.setdefault(dialler.link, []).append(dialler)
        self._on = node.fastpath.on
        before, self._last = self._last, {}
        found = [absent(dialler, now) for dialler in node.diallers if not dialler.link]
        for link in node.room.by_node.values():
            found.append(self._up(link, tuple(diallers.get(link, ())), before.get(link), now))
        return tuple(sorted(found, key=by_name))

    def _up(self, link: Link, diallers: Diallers, last: Last | None, now: float) -> PeerStatus:
        fast, why_slow = self._served(link)
        still = (
            *of_link(link), self._node.room.reach.version, fast, why_slow, diallers,
            [each.dialler.backoff.attempts for each in diallers] if diallers else (),
        )  # fmt: skip
        if last is None or last[0] != still:
            last = still, self._first(link, diallers, fast, why_slow), None
        _, status, counted = last
        path, trips, queue, counts = link.path, link.trips, link.queue, counts_of(link.counters)
        sent, received = self._node.link_rates.of(link)
        status = renewed(
            status,
            since=round(now - link.since, 3),
            rtt=trips.rtt if trips else None,
            jitter=trips.jitter if trips else None,
            loss=path.loss if path else None,
            rate_sent=round(8 * sent),
            rate_received=round(8 * received),
            channels=self._node.router.count(link),
            queue=len(queue),
            queue_drops=queue.dropped,
            kernel_drops=link.kernel_drops,
            falls=path.falls if path else 0,
            counters=status.counters if counts == counted else link.counters.as_dict(),
        )
        self._last[link] = still, status, counts
        return status

    def _served(self, link: Link) -> tuple[bool, str]:
        """Does the kernel serve it, and why not?"""
        if not self._on:
            return False, "the fast path is off"
        peers = self._node.fastpath.mirror.peers
        return (True, "") if peers.served(link) is not None else (False, peers.why(link))

    def _first(self, link: Link, diallers: Diallers, fast: bool, why_slow: str) -> PeerStatus:
        """What seldom changes; the rest is put in."""
        # The one whose connection it is comes first; a link that the peer dialled may have any.
        own_first = sorted(diallers, key=lambda each: each.config.name != link.section)
        dialler = own_first[0] if own_first else None
        reach = self._node.room.reach
        return PeerStatus(
            name=link.name,
            sections=tuple(sorted(each.config.name for each in diallers)),
            id=f"{link.node:016x}",
            state="up",
            why="",
            endpoint=dialler.config.endpoint if dialler else None,
            address=link.address,
            dialled_by="us" if link.dialled else "them",
            tls=link.secure,
            since=0.0,
            data="udp" if link.on_udp else "tcp",
            data_address="{}:{}".format(*link.data_address) if link.data_address else None,
            attempts=dialler.dialler.backoff.attempts if dialler else 0,
            nodes=tuple([reach.name(n) or f"{n:016x}" for n in reach.behind(link)]),
            fast=fast,
            why_slow=why_slow,
            **NOTHING,
        )


# Figures of a link before anything was counted.
NOTHING: dict[str, Any] = {
    "rtt": None, "jitter": None, "loss": None, "rate_sent": 0, "rate_received": 0, "channels": 0, "queue": 0,
    "queue_drops": 0, "kernel_drops": 0, "falls": 0, "counters": {},
}  # fmt: skip


def absent(dialler: "DiallingService", now: float) -> PeerStatus:
    """Of a [peer:NAME] without a link."""
    return PeerStatus(
        name=dialler.config.name,
        sections=(dialler.config.name,),
        id=None,
        state=dialler.state.value,
        why=dialler.why,
        endpoint=dialler.config.endpoint,
        address=None,
        dialled_by=None,
        tls=None,
        since=round(now - dialler.dialler.since, 3),
        data=None,
        data_address=None,
        attempts=dialler.dialler.backoff.attempts,
        nodes=(),
        fast=False,
        why_slow="it is down",
        **NOTHING,
    )
