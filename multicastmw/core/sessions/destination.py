"""The session directory as a destination in this process: it takes packets of the SAP groups, and makes some.

What the node announces goes two ways.  Into the overlay it is originated as if a program here had sent it,
from the TAP's own address, and so it comes to this directory too.  The host's kernel drops what claims to
come from itself, so programs here get it from the querier's address; replays of what came from here, too.
"""

from collections.abc import Callable

from multicastmw.core.addressing import Channel
from multicastmw.core.admission import Admission
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.fragments import Reassembler, split
from multicastmw.core.packet import Packet
from multicastmw.core.routing import Router
from multicastmw.core.sessions.announcing import Announcer, Offer
from multicastmw.core.sessions.directory import Arrival, Directory, Session
from multicastmw.core.sessions.joins import Joins
from multicastmw.core.sessions.replay import Replays
from multicastmw.core.sessions.scopes import SAP_GROUPS, sap_group
from multicastmw.core.tap import TapDestination
from multicastmw.wire.data import HEADER_SIZE, IPV4, ORIGIN_OFFSET
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import number
from multicastmw.wire.sap import PORT
from multicastmw.wire.udp import Datagram

# What the specifications say.
DUMMY = number("192.0.0.8")  # RFC 7600: a source where there is no address
TTL = 255  # RFC 2974, 3

# What we chose.
HOSTS_TTL = 1  # of what is for the TAP alone
PIECES_OF, PIECES_BYTES = 16, 256 << 10  # announcements in pieces that are joined at a time


class SessionsDestination:
    """Takes, keeps, announces and replays."""

    name, local = "sessions", True

    def __init__(
        self,
        *,
        router: Router,
        forwarder: Forwarder,
        tap: TapDestination,
        admission: Admission,
        directory: Directory,
        node: int,
        address: int,
        querier: Callable[[], int],
        pick: Callable[[float, float], float],
        wall_us: Callable[[], int],
    ) -> None:
        """`address` is the TAP's own, 0: it has none; `querier` gives the address that queries come from."""
        self.directory = directory
        self.someone_came: Callable[[int], None] = lambda group: None
        self._router = router
        self._forwarder = forwarder
        self._tap = tap
        self._admission = admission
        self._address = address or querier() or DUMMY
        self._querier = querier
        self._wall_us = wall_us
        self.announcer = Announcer(node, self._address, self._announce, self._bytes_of, pick)
        self.replays = Replays(directory.announced_at, self._replay)
        self._joins = Joins(SAP_GROUPS, directory.counters)
        self._offers: tuple[Offer, ...] = ()
        self._pieces = Reassembler(PIECES_OF, PIECES_BYTES)
        self._packet = Packet()
        self._identification = 0
        router.attach(self)

    # --- which scopes

    def subscribe(self) -> None:
        """To every scope that [groups] lets through."""
        for group in SAP_GROUPS:
            if self._admission.admits(group):
                self._router.subscribe(self, Channel(group))
            else:
                self._router.unsubscribe(self, Channel(group))
                self.directory.forget_scope(group)

    def admit_by(self, admission: Admission, wall: float, now: float) -> None:
        """Other lists from now on; the last words go while their scope is open."""
        self._offer(admission, wall, now)
        self._admission = admission
        self.subscribe()

    def offer(self, offers: tuple[Offer, ...], wall: float, now: float) -> None:
        """What node.ini would have announced: where [groups] keeps the group or its scope out, it is not."""
        self._offers = offers
        self._offer(self._admission, wall, now)

    def _offer(self, admission: Admission, wall: float, now: float) -> None:
        admitted = [
            offer
            for offer in self._offers
            if admission.admits(offer.group) and admission.admits(sap_group(offer.group))
        ]
        self.announcer.offer(admitted, wall, now)

    # --- what comes

    def others_changed(self, channel: Channel) -> None:
        """Somebody may be new to a scope, or none be left."""
        if channel.group in SAP_GROUPS and self._router.wanted_besides(self, channel):
            self.someone_came(channel.group)

    def deliver(self, packet: Packet) -> None:
        """A packet of a SAP group, perhaps a piece of one."""
        if packet.kind != IPV4:
            return
        origin = int.from_bytes(packet.view[ORIGIN_OFFSET : ORIGIN_OFFSET + 8], "big")
        whole = self._pieces.accept(packet.view[HEADER_SIZE : HEADER_SIZE + packet.length], packet.now)
        if whole is None:
            return
        try:
            datagram = Datagram.parse(whole)
        except Malformed:
            self.directory.counters.malformed += 1
            return
        if datagram.port == PORT and datagram.destination in SAP_GROUPS:
            arrival = Arrival(datagram.destination, datagram.source, origin, packet.now)
            self.directory.accept(datagram.payload, arrival)

    def tick(self, now: float) -> None:
        """To be called now and then: what waits for its missing pieces has an end."""
        self._pieces.tick(now)

    def pieces(self) -> dict[str, int]:
        """What became of announcements that came in pieces."""
        return self._pieces.counts()

    def igmp_heard(self, packet: bytes, now: float) -> None:
        """From the TAP: perhaps somebody joins a SAP group."""
        for group in self._joins.heard(packet, now):
            self.replays.joined(group, now)

    def program_came(self, group: int, now: float) -> None:
        """One more on this host listens to a SAP group, which IGMP does not say."""
        if self._joins.program_came(group, now):
            self.replays.joined(group, now)

    # --- what goes

    def _bytes_of(self, group: int) -> int:
        return sum(len(session.message) for session in self.directory.announced_at(group))

    def _announce(self, message: bytes, group: int, now: float) -> None:
        """Into the overlay, and to programs here."""
        if not self._admission.admits(group):
            return
        self.directory.counters.announced += 1
        packet, tap = self._packet, self._tap
        packet.now = now
        for piece in self._packets(message, group, self._address, TTL):
            packet.length = len(piece)
            packet.view[HEADER_SIZE : HEADER_SIZE + len(piece)] = piece
            self._forwarder.originate(packet, tap, group, self._address, TTL, 0, self._wall_us())
        tap.done()
        self._to_hosts(message, group, self._querier() or DUMMY)

    def _replay(self, session: Session, group: int, now: float) -> None:
        """To programs here, unless it has gone meanwhile."""
        if session not in self.directory or group not in session.scopes:
            return
        is_from_here = session.origin == self._forwarder.origin
        source = (self._querier() or DUMMY) if is_from_here else session.source
        self.directory.counters.replayed += self._to_hosts(session.message, group, source)

    def _to_hosts(self, message: bytes, group: int, source: int) -> bool:
        """False where nobody there wants it; where we stand by, another gateway does it."""
        if not self._tap.forwards or not self._tap.wants(group):
            return False
        for piece in self._packets(message, group, source, HOSTS_TTL):
            self._tap.send(piece)
        return True

    def _packets(self, message: bytes, group: int, source: int, ttl: int) -> list[bytes]:
        whole = Datagram(source, PORT, group, PORT, message).build(ttl, self._next_identification())
        return split(whole, self._tap.longest, self._next_identification)

    def _next_identification(self) -> int:
        self._identification = self._identification + 1 & 0xFFFF
        return self._identification
