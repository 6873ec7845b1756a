"""Streams for players that have no multicast: payloads of UDP datagrams, as they come, to whoever watches.

    the routing service ── HttpOutput ── OutputStream: one (group, port, source, with or without RTP's header)
                            a destination        └── Viewer, Viewer, ...: a bounded queue each

While somebody watches, the channel is subscribed to; with the last one it is left.  A viewer that is slower
than its stream loses the oldest of what waits for it, which is counted, and nobody else notices.  A payload
is one object, whoever has it waiting.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from struct import Struct as Twin
from typing import Protocol

from multicastmw.core.addressing import ANY, Channel
from multicastmw.core.counters import Counters
from multicastmw.core.fragments import FRAGMENT, Reassembler
from multicastmw.core.packet import Packet
from multicastmw.core.payloads import What, rtp_payload
from multicastmw.core.routing import Router
from multicastmw.core.status import OutputStatus
from multicastmw.wire.data import HEADER_SIZE, IPV4
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Buffer, text
from multicastmw.wire.mpegts import sync_bytes
from multicastmw.wire.udp import PROTOCOL_UDP, payload_in

IPV4_TWIN = Twin("!BBHHHBBHII")

# What we chose.
VIEWERS_MAX = 32  # at a time
QUEUE_BYTES = 2 << 20  # that may wait for one of them: a second of 16 Mbit/s
PIECE_COST = 64  # bytes that each of its pieces takes beside its own
FIRST_WITHIN = 10.0  # seconds until nothing coming is an answer: a stream that runs is here in one
SILENCE = 60.0  # seconds without anything, and a stream that was there is over
STALLED = 60.0  # seconds in which a viewer took nothing, and it is let go
LOOK = 1.0  # seconds between two looks for these


class OutputCounters(Counters):
    """What came for viewers, and what became of it; the last five are packets that nobody could be given."""

    __slots__ = (
        "filtered", "lost", "lost_bytes", "malformed", "not_rtp", "not_udp", "refused", "sent", "sent_bytes",
        "unanswered", "unknown_kind", "viewers",
    )  # fmt: skip
    filtered: int
    lost: int  # payloads that a viewer was too slow for
    lost_bytes: int
    malformed: int
    not_rtp: int
    not_udp: int
    refused: int  # viewers, for there were so many
    sent: int
    sent_bytes: int
    unanswered: int  # viewers for whom nothing came
    unknown_kind: int
    viewers: int  # all that ever came


class Client(Protocol):
    """The connection of a viewer."""

    def write(self, payload: bytes) -> None:
        """Takes it; it may say `pause` before it returns."""

    def end(self, why: str) -> None:
        """There will be nothing more; `why` is a line for people."""


class Viewer:
    """Somebody who watches: what waits for him while his connection takes nothing."""

    __slots__ = ("_bytes", "_client", "_is_paused", "_waiting", "lost", "place", "sent", "took_at", "watched")

    def __init__(self, watched: "OutputStream", client: Client, now: float, place: str) -> None:
        """`place` is where he is, for people."""
        self.watched = watched
        self.place = place
        self.sent = self.lost = 0
        self.took_at = now
        self._client = client
        self._is_paused = False
        self._waiting: deque[bytes] = deque()
        self._bytes = 0

    @property
    def is_stuck(self) -> bool:
        """Does something wait for him?"""
        return bool(self._waiting)

    def put(self, payload: bytes, now: float) -> None:
        """To him, or into his queue, whose oldest make room."""
        if not self._is_paused:
            self._give(payload, now)
            return
        self._waiting.append(payload)
        self._bytes += len(payload) + PIECE_COST
        counters = self.watched.counters
        while self._bytes > QUEUE_BYTES:
            gone = self._waiting.popleft()
            self._bytes -= len(gone) + PIECE_COST
            self.lost += 1
            self.watched.lost += 1
            counters.lost += 1
            counters.lost_bytes += len(gone)

    def pause(self) -> None:
        """His connection has taken what it can."""
        self._is_paused = True

    def resume(self, now: float) -> None:
        """It takes more."""
        self._is_paused = False
        self.took_at = now
        while self._waiting and not self._is_paused:
            payload = self._waiting.popleft()
            self._bytes -= len(payload) + PIECE_COST
            self._give(payload, now)

    def _give(self, payload: bytes, now: float) -> None:
        self.took_at = now
        self.sent += 1
        counters = self.watched.counters
        counters.sent += 1
        counters.sent_bytes += len(payload)
        self._client.write(payload)

    def end(self, why: str) -> None:
        self._client.end(why)


class OutputStream:
    """One stream that somebody watches."""

    def __init__(self, what: What, counters: OutputCounters, now: float) -> None:
        self.what = what
        self.counters = counters
        self.viewers: dict[Viewer, None] = {}
        self.packets = self.bytes = self.lost = self.not_rtp = 0
        self.heard = now
        self.is_ts: bool | None = None  # once something came

    def put(self, datagram: Buffer, now: float) -> None:
        """The payload of a UDP datagram."""
        payload = rtp_payload(datagram) if self.what.is_rtp else bytes(datagram)
        if payload is None:
            self.not_rtp += 1
            self.counters.not_rtp += 1
            return
        if not payload:
            return
        if self.is_ts is None:
            self.is_ts = bool(sync_bytes(payload, 0, len(payload)))
        self.heard = now
        self.packets += 1
        self.bytes += len(payload)
        for viewer in tuple(self.viewers):
            viewer.put(payload, now)

    def status(self) -> OutputStatus:
        what = self.what
        return OutputStatus(
            group=text(what.group),
            source=text(what.source) if what.source else "any",
            port=what.port,
            rtp=what.is_rtp,
            clients=len(self.viewers),
            viewers=tuple(sorted(viewer.place for viewer in self.viewers)),
            packets=self.packets,
            bytes=self.bytes,
            lost=self.lost,
        )


class HttpOutput:
    """The destination that all viewers are behind.  `admits` says whether [groups] lets a group through."""

    name = "http"
    local = True

    def __init__(self, router: Router, admits: Callable[[Channel], bool]) -> None:
        self.counters = OutputCounters()
        self._router = router
        self._admits = admits
        self._watched: dict[int, dict[What, OutputStream]] = {}
        self._reassembler = Reassembler()
        self._is_attached = False
        self._look_at = inf
        self.wake: Callable[[], None] = lambda: None  # the deadline may have moved nearer

    # --- who watches

    @property
    def viewers(self) -> int:
        return sum(len(watched.viewers) for watched in self._all())

    def _all(self) -> list[OutputStream]:
        return [watched for group in self._watched.values() for watched in group.values()]

    def status(self) -> tuple[OutputStatus, ...]:
        return tuple(watched.status() for watched in sorted(self._all(), key=lambda each: each.what))

    def counts(self) -> dict[str, int]:
        """What came, and what of it came in pieces."""
        pieces = self._reassembler.counts().items()
        return self.counters.as_dict() | {f"reassembly_{name}": count for name, count in pieces}

    def known(self, what: What) -> OutputStream | None:
        """What is watched already."""
        return self._watched.get(what.group, {}).get(what)

    def admits(self, what: What) -> bool:
        return self._admits(what.channel)

    @property
    def is_full(self) -> bool:
        """Asked before a viewer comes; counts one that has to be refused."""
        if self.viewers < VIEWERS_MAX:
            return False
        self.counters.refused += 1
        return True

    def watch(self, what: What, client: Client, now: float, place: str = "") -> Viewer:
        """Somebody watches, until `leave`."""
        if not self._is_attached:
            self._is_attached = True
            self._router.attach(self)
        watched = self.known(what)
        if watched is None:
            watched = OutputStream(what, self.counters, now)
            if not self._watched:
                self._look_at = now + LOOK
            self._watched.setdefault(what.group, {})[what] = watched
            self.wake()
            self._router.subscribe(self, what.channel)
        viewer = Viewer(watched, client, now, place)
        watched.viewers[viewer] = None
        self.counters.viewers += 1
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """He has gone.  Idempotent."""
        watched = viewer.watched
        watched.viewers.pop(viewer, None)
        if watched.viewers or self.known(watched.what) is not watched:
            return
        of_group = self._watched[watched.what.group]
        del of_group[watched.what]
        if not of_group:
            del self._watched[watched.what.group]
        if not any(other.channel == watched.what.channel for other in of_group):
            self._router.unsubscribe(self, watched.what.channel)

    def admit_again(self) -> None:
        """[groups] may say something else now: who watches what it keeps out is let go."""
        for watched in self._all():
            if not self.admits(watched.what):
                for viewer in tuple(watched.viewers):
                    viewer.end("[groups] of this node keeps the group out")

    # --- what comes

    def others_changed(self, channel: Channel) -> None:
        """Nobody is told: who watches has asked."""

    def deliver(self, packet: Packet) -> None:
        """The payload of a UDP datagram to those who watch its group and port."""
        counters, length = self.counters, packet.length
        if packet.kind != IPV4:
            counters.unknown_kind += 1
            return
        if length < IPV4_TWIN.size:
            counters.malformed += 1
            return
        first, _, total, _, fragment, _, protocol, _, source, group = IPV4_TWIN.unpack_from(
            packet.view, HEADER_SIZE
        )
        start = (first & 15) * 4
        if first >> 4 != 4 or not IPV4_TWIN.size <= start <= total == length:
            counters.malformed += 1
            return
        watched = self._watched.get(group)
        if watched is None:
            counters.filtered += 1
            return
        if protocol != PROTOCOL_UDP:
            counters.not_udp += 1
            return
        inner: Buffer = packet.view[HEADER_SIZE : HEADER_SIZE + length]
        if fragment & FRAGMENT:
            whole = self._reassembler.accept(inner, packet.now)
            if whole is None:
                return
            inner, start = memoryview(whole), (whole[0] & 15) * 4
        self._datagram(watched, inner, start, source, packet.now)

    def _datagram(
        self, watched: dict[What, OutputStream], inner: Buffer, start: int, source: int, now: float
    ) -> None:
        try:
            port, begin, end = payload_in(inner, start, len(inner))
        except Malformed:
            self.counters.malformed += 1
            return
        payload = inner[begin:end]
        for what, each in tuple(watched.items()):
            if what.port == port and what.source in (ANY, source):
                each.put(payload, now)

    # --- time

    def deadline(self) -> float:
        return self._look_at if self._watched else inf

    def tick(self, now: float) -> None:
        """Ends what is silent, and who takes nothing."""
        self._reassembler.tick(now)
        if now < self._look_at:
            return
        self._look_at = now + LOOK
        for watched in self._all():
            for viewer in tuple(watched.viewers):
                if watched.packets and now - watched.heard >= SILENCE:
                    viewer.end(f"nothing comes to {watched.what.sentence()} any more")
                elif viewer.is_stuck and now - viewer.took_at >= STALLED:
                    viewer.end("you take nothing")
