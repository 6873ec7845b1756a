"""The TAP as a destination: what the operating system sends becomes packets, and packets become frames.

Up: an IP multicast packet in any Ethernet frame (also a unicast one) is originated; IGMP goes to the querier,
whose answers become subscriptions, PIM to the election of gateways.  Down: the hop limit is written into the
TTL, and the frame gets the group's own MAC (RFC 1112, 6.4).

Where a LAN is behind the TAP, what a node wrote to it comes back: through a bridge's loop, or because another
gateway's node hears it.  Every node's frames come from a MAC that begins alike, and such a frame is never
originated, whoever wrote it.  A node that stands by wants nothing of the overlay and gives it nothing.
"""

from collections.abc import Callable
from math import inf
from struct import Struct as Twin

from multicastmw.core.addressing import Channel, Mapping
from multicastmw.core.admission import Admission
from multicastmw.core.copies import ETHERTYPE_COPY
from multicastmw.core.counters import Counters
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.fragments import Reassembler, split
from multicastmw.core.packet import ETHERNET_SIZE, FRAME_START, Packet
from multicastmw.core.routing import Router
from multicastmw.wire.data import HEADER_SIZE, IPV4
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import MORE_FRAGMENTS, OFFSET_MASK, PROTOCOL_IGMP, set_ttl
from multicastmw.wire.pim import PROTOCOL_PIM
from multicastmw.wire.probe import GROUP as PROBING

# Source MAC (the first four bytes), EtherType, then the IPv4 header: all are read at once.
FRAME_TWIN = Twin("!I2xHBBHHHBBHII")
SOURCE_OFFSET = FRAME_START + 6
ETHERTYPE_IPV4 = 0x0800
IPV4_TWIN = Twin("!BBHHHBBHII")
FIRST_FORWARDED = 0xE0000100  # 224.0.0.0/24 never leaves its link (RFC 5771, 4)
RESERVED = frozenset({PROBING})  # by which nodes talk; programs take no part in it

# What we chose.
VERDICTS_MAX = 8_192  # of the allow and deny lists, remembered
# The MAC that frames of a node have: locally administered, and "MC", then 24 bits of the node id.
NODES_MAC = 0x024D43


class TapCounters(Counters):
    """What the TAP gave and took, in packets and inner bytes, and why some went no further."""

    __slots__ = (
        "delivered",
        "delivered_bytes",
        "denied",
        "failed",
        "filtered",
        "fragments_made",
        "from_gateways",
        "igmp",
        "link_local",
        "malformed",
        "not_ip_multicast",
        "received",
        "received_bytes",
        "reserved",
        "stood_by_from_lan",
        "stood_by_to_lan",
        "ttl_raised",
        "unknown_kind",
    )
    delivered: int
    delivered_bytes: int
    denied: int
    failed: int
    filtered: int
    fragments_made: int
    from_gateways: int
    igmp: int
    link_local: int
    malformed: int
    not_ip_multicast: int
    received: int
    received_bytes: int
    reserved: int
    stood_by_from_lan: int
    stood_by_to_lan: int
    ttl_raised: int
    unknown_kind: int


def mac_of(node: int) -> bytes:
    """The MAC that a node's frames come from; the low 16 bits of a node id are 0."""
    return NODES_MAC.to_bytes(3, "big") + (node >> 16 & 0xFFFFFF).to_bytes(3, "big")


def no_device(frame: tuple[bytes, memoryview]) -> None:
    """Stands in for `write` while the device is not open."""
    raise OSError("the TAP is not open")


class TapDestination:
    """One TAP's side of the routing service.

    `write` puts (Ethernet header, IP packet) onto the device and raises OSError where it cannot; it is there
    while the device is open.  `igmp` and `pim` take such a packet and the time, `of_a_gateway` is told that
    another node has written to our LAN, `woke` that frames are waiting, `done` that they were taken.
    `copied` takes a frame of the kernel's copies, with its size, and says whether it is one; `began` and
    `ended` are told of the reader's turns for their sake (copies.py).
    `longest` is the longest IP packet (bytes) that fits every link's datagram.
    """

    local = True

    def __init__(
        self,
        name: str,
        *,
        router: Router,
        forwarder: Forwarder,
        mapping: Mapping,
        admission: Admission,
        mac: bytes,
        longest: int,
        ttl_floor: int,
        reassembler: Reassembler | None,
    ) -> None:
        self.name = name
        self.counters = TapCounters()
        self.ttl_floor = ttl_floor
        self.longest = longest
        self.reassembler = reassembler
        self._router = router
        self._forwarder = forwarder
        self._mapping = mapping
        self._admission = admission
        self.write: Callable[[tuple[bytes, memoryview]], object] = no_device
        self.igmp: Callable[[bytes, float], None] = lambda packet, now: None
        self.pim: Callable[[bytes, float], None] = lambda packet, now: None
        self.of_a_gateway: Callable[[float], None] = lambda now: None
        self.copied: Callable[[Packet, int], bool] = lambda packet, size: False
        self.began: Callable[[], None] = lambda: None
        self.ended: Callable[[bool], None] = lambda drained: None
        self.woke: Callable[[float], None] = lambda now: None
        self.done: Callable[[], None] = lambda: None
        self.forwards = True
        self.until = inf  # packets of the overlay go to the host before this time
        self._mac = mac
        # group -> source -> how often (a report, a pin); what the lists deny is kept for when they do not.
        self._wanted: dict[int, dict[int, int]] = {}
        self._kept_out: dict[int, dict[int, int]] = {}
        self._heads: dict[int, bytes] = {}
        self._admitted: dict[int, bool] = {}
        self._denied: dict[int, bool] = {}
        self._open = self._admitted  # what may go up without a look; empty while we stand by
        self._identification = 0
        router.attach(self)

    # --- what the host wants

    def want(self, group: int, source: int) -> None:
        """The host, or a pin, wants (source, group); source 0 is any.  Wants are counted."""
        if group in RESERVED:
            self.counters.reserved += 1
            return
        admitted = self.admits(group)
        sources = (self._wanted if admitted else self._kept_out).setdefault(group, {})
        sources[source] = sources.get(source, 0) + 1
        if admitted:
            self._subscribe(group, source)
        else:
            self.counters.denied += 1

    def _subscribe(self, group: int, source: int) -> None:
        if self.forwards:
            self._router.subscribe(self, self._mapping.channel(group, source))

    def unwant(self, group: int, source: int) -> None:
        """Takes one want back; without one it does nothing."""
        table = self._wanted if group in self._wanted else self._kept_out
        sources = table.get(group, {})
        if source not in sources:
            return
        sources[source] -= 1
        if sources[source]:
            return
        del sources[source]
        if not sources:
            del table[group]
        if table is self._wanted:
            self._unsubscribe(group, source)

    def _unsubscribe(self, group: int, source: int) -> None:
        if group not in self._wanted:
            self._heads.pop(group, None)
        if self.forwards:
            self._router.unsubscribe(self, self._mapping.channel(group, source))
            self._keep_colliding(group, source)

    def _keep_colliding(self, group: int, source: int) -> None:
        """Under a mapping that is not exact, another group may still need the overlay address."""
        if self._mapping.exact:
            return
        channel = self._mapping.channel(group, source)
        if any(
            self._mapping.channel(g, s) == channel for g, sources in self._wanted.items() for s in sources
        ):
            self._router.subscribe(self, channel)

    def admit_by(self, admission: Admission) -> None:
        """Other lists from now on: what they keep out is left, and what they let through is had at once."""
        self._admission = admission
        self._admitted.clear()
        self._denied.clear()
        shut = [group for group in self._wanted if not self.admits(group)]
        opened = [group for group in self._kept_out if self.admits(group)]
        for group in shut:
            sources = self._kept_out[group] = self._wanted.pop(group)
            for source in sources:
                self._unsubscribe(group, source)
        for group in opened:
            sources = self._wanted[group] = self._kept_out.pop(group)
            for source in sources:
                self._subscribe(group, source)

    def reassemble(self, wanted: bool, now: float) -> None:
        """Joins fragments from now on, or no longer; no packet that is on its way is lost by that."""
        if wanted:
            self.reassembler = self.reassembler or Reassembler()
            self.reassembler.begin(now)
        elif self.reassembler:
            self.reassembler.end()

    def tick(self, now: float) -> None:
        """To be called now and then: what waits for its missing pieces has an end."""
        if self.reassembler:
            self.reassembler.tick(now)
            if self.reassembler.is_over:
                self.reassembler = None

    def wants(self, group: int) -> bool:
        """Does the host, or a pin, want it of any source, and the lists let it through?"""
        return group in self._wanted

    def wanted(self) -> list[tuple[int, int]]:
        """(group, source) pairs."""
        return [(group, source) for group, sources in self._wanted.items() for source in sources]

    def channels(self) -> set[Channel]:
        """What these are in the overlay."""
        return {self._mapping.channel(group, source) for group, source in self.wanted()}

    def channels_denied(self) -> set[Channel]:
        """What the host, or a pin, wants and the lists deny."""
        return {
            self._mapping.channel(group, source)
            for group, sources in self._kept_out.items()
            for source in sources
            if group in self._mapping
        }

    def denies(self, channel: Channel) -> bool:
        """Do the lists keep it out?  Under a mapping whose keys are no addresses nobody can tell."""
        return _remembered(self._denied, channel.group, self._would_deny)

    def _would_deny(self, group: int) -> bool:
        return self._mapping.exact and not self._admission.admits(group)

    def admits(self, group: int) -> bool:
        """What the allow and deny lists say of the group."""
        return _remembered(self._admitted, group, self._would_admit)

    def _would_admit(self, group: int) -> bool:
        return group in self._mapping and group not in RESERVED and self._admission.admits(group)

    # --- one of several gateways

    def forward(self, until: float) -> None:
        """We forward for our LAN, until then; the overlay is asked for what the hosts want."""
        self.until = until
        if self.forwards:
            return
        self.forwards, self._open = True, self._admitted
        for channel in self.channels():
            self._router.subscribe(self, channel)

    def stand_by(self) -> None:
        """Another does; that the hosts' wants are known is all that is left."""
        self.until = -inf
        if not self.forwards:
            return
        self.forwards, self._open = False, {}
        for channel in self.channels():
            self._router.unsubscribe(self, channel)

    # --- TAP to overlay

    def frame_received(self, packet: Packet, size: int, origin_time: int) -> None:
        """An Ethernet frame of `size` bytes stands at 46; `origin_time`: wall clock in us, modulo 2^32."""
        counters = self.counters
        if size < ETHERNET_SIZE + 20:
            counters.not_ip_multicast += 1
            return
        mac, ethertype, first, tos, total, _, _, ttl, protocol, _, source, group = FRAME_TWIN.unpack_from(
            packet.buffer, SOURCE_OFFSET
        )
        if ethertype != ETHERTYPE_IPV4 or group >> 28 != 14:
            if ethertype != ETHERTYPE_COPY or not self.copied(packet, size):
                counters.not_ip_multicast += 1
            return
        if first >> 4 != 4 or not 20 <= (first & 15) * 4 <= total <= size - ETHERNET_SIZE:
            counters.malformed += 1
            return
        if protocol == PROTOCOL_IGMP:  # also from 0.0.0.0 (RFC 3376, 4.2.13), which a channel cannot have
            counters.igmp += 1
            self.igmp(bytes(packet.view[HEADER_SIZE : HEADER_SIZE + total]), packet.now)
            return
        if group < FIRST_FORWARDED:
            counters.link_local += 1
            if protocol == PROTOCOL_PIM:
                self.pim(bytes(packet.view[HEADER_SIZE : HEADER_SIZE + total]), packet.now)
            return
        if not source:
            counters.malformed += 1
            return
        if mac >> 8 == NODES_MAC:
            self._written_by_a_node(packet.now)
            return
        passing = self._open
        if not (passing[group] if group in passing else self._may_pass(group)):
            self._refuse(group)
            return
        counters.received += 1
        counters.received_bytes += total
        if ttl < self.ttl_floor:
            ttl = self.ttl_floor
            counters.ttl_raised += 1
        mapping = self._mapping
        if total > self.longest:
            channel = mapping.channel(group, source)
            self._split(packet, total, channel, ttl, tos >> 5, origin_time)
            return
        packet.length = total
        self._forwarder.originate(
            packet, self, mapping.group_key(group), mapping.source_key(source), ttl, tos >> 5, origin_time
        )

    def _written_by_a_node(self, now: float) -> None:
        """It came from an overlay; where we stand by that is as it should be, else two of us forward."""
        if self.forwards:
            self.counters.from_gateways += 1
            self.of_a_gateway(now)
        else:
            self.counters.stood_by_from_lan += 1

    def _refuse(self, group: int) -> None:
        """A frame goes no further."""
        if group in RESERVED:
            self.counters.reserved += 1
        else:
            self.counters.denied += self.forwards

    def _may_pass(self, group: int) -> bool:
        """The slow way to a verdict, and while we stand by the only one."""
        if not self.forwards:
            self.counters.stood_by_from_lan += 1
            return False
        return self.admits(group)

    def _split(
        self, packet: Packet, total: int, channel: Channel, ttl: int, service_class: int, origin_time: int
    ) -> None:
        """By ordinary IP fragmentation, before numbering; each piece is an IP Data of its own."""
        whole = bytes(packet.view[HEADER_SIZE : HEADER_SIZE + total])
        try:
            pieces = split(whole, self.longest, self._next_identification)
        except Malformed:
            self.counters.malformed += 1
            return
        for piece in pieces:
            self.counters.fragments_made += 1
            packet.length = len(piece)
            packet.view[HEADER_SIZE : HEADER_SIZE + len(piece)] = piece
            self._forwarder.originate(packet, self, *channel, ttl, service_class, origin_time)

    def _next_identification(self) -> int:
        self._identification = self._identification + 1 & 0xFFFF
        return self._identification

    # --- overlay to TAP

    def others_changed(self, channel: Channel) -> None:
        """The operating system is told nothing: it sends, and the node drops what nobody wants."""

    def deliver(self, packet: Packet) -> None:
        """Checks the inner packet (a relay never did), writes the TTL, and hands it to the host."""
        length, view = packet.length, packet.view
        if packet.now >= self.until:
            self.counters.stood_by_to_lan += 1
            return
        if packet.kind != IPV4:
            self.counters.unknown_kind += 1
            return
        if length < 20:
            self.counters.malformed += 1
            return
        first, _, total, _, fragment, _, protocol, _, source, group = IPV4_TWIN.unpack_from(view, HEADER_SIZE)
        right = first >> 4 == 4 and 20 <= (first & 15) * 4 <= total == length
        if not right or protocol == PROTOCOL_IGMP:
            self.counters.malformed += 1
            return
        sources = self._wanted.get(group)
        if sources is None or (0 not in sources and source not in sources):
            self.counters.filtered += 1  # two groups at one overlay address, or a peer that errs
            return
        set_ttl(packet.buffer, HEADER_SIZE, packet.hop_limit)
        inner = view[HEADER_SIZE : HEADER_SIZE + length]
        if self.reassembler is not None and fragment & (MORE_FRAGMENTS | OFFSET_MASK):
            whole = self.reassembler.accept(inner, packet.now)
            if whole is None:
                return
            inner = memoryview(whole)
        try:
            self.write((self._heads.get(group) or self._head(group), inner))
        except OSError:
            self.counters.failed += 1  # the interface is down or gone; the device says so by itself
            return
        self.counters.delivered += 1
        self.counters.delivered_bytes += len(inner)

    def send(self, packet: bytes) -> None:
        """An IP multicast packet of the node's own, to the hosts on the TAP alone: a query."""
        group = int.from_bytes(packet[16:20], "big")
        try:
            self.write((self._head(group), memoryview(packet)))
        except OSError:
            self.counters.failed += 1

    def _head(self, group: int) -> bytes:
        """The Ethernet header of a group: 01:00:5e and its lower 23 bits (RFC 1112, 6.4)."""
        head = bytes.fromhex("01005e") + (group & 0x7FFFFF).to_bytes(3, "big") + self._mac + b"\x08\x00"
        if group in self._wanted:
            self._heads[group] = head
        return head


def _remembered(verdicts: dict[int, bool], group: int, judge: Callable[[int], bool]) -> bool:
    """The verdict on a group, asked for once; all are forgotten when there are too many."""
    verdict = verdicts.get(group)
    if verdict is None:
        if len(verdicts) >= VERDICTS_MAX:
            verdicts.clear()
        verdict = verdicts[group] = judge(group)
    return verdict
