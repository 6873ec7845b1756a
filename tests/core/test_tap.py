"""The TAP as a destination: frames to packets, packets to frames."""

from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import ANY, Channel, Consecutive, Identity, Mapping, Modulo
from multicastmw.core.admission import Admission
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.fragments import Reassembler
from multicastmw.core.packet import FRAME_START, Packet
from multicastmw.core.routing import Router
from multicastmw.core.tap import TapDestination, mac_of
from multicastmw.wire import data, ipv4
from multicastmw.wire.data import HEADER_SIZE, DataHeader

GROUP, SOURCE = ipv4.number("239.1.1.1"), ipv4.number("10.88.0.2")
FAR = ipv4.number("10.88.0.9")
MAC = bytes.fromhex("02aabbccddee")
HOST = bytes.fromhex("0a0000000001")
ORIGIN = 0x1111_0000


def ip(
    payload: bytes = b"p" * 40, *, group: int = GROUP, source: int = SOURCE, ttl: int = 16,
    protocol: int = 17, tos: int = 0, ident: int = 7, flags: int = 0, options: bytes = b"",
) -> bytes:  # fmt: skip
    total = 20 + len(options) + len(payload)
    return ipv4.Header(tos, total, ident, flags, ttl, protocol, source, group, options).build() + payload


def frame(packet: bytes, to: bytes = bytes.fromhex("01005e010101"), ethertype: int = 0x0800) -> bytes:
    return to + HOST + ethertype.to_bytes(2, "big") + packet


class Peer:
    """A link that wants everything of some groups."""

    name, local = "peer", False

    def __init__(self, router: Router) -> None:
        self.router = router
        self.messages: list[bytes] = []
        router.attach(self)

    def deliver(self, packet: Packet) -> None:
        self.messages.append(bytes(packet.message))

    def others_changed(self, channel: Channel) -> None:
        pass

    @property
    def inner(self) -> list[bytes]:
        found = []
        for message in self.messages:
            header = DataHeader.parse(message)
            found.append(message[HEADER_SIZE : HEADER_SIZE + header.packet_length - 4])
        return found


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.build()

    def build(
        self,
        *,
        mapping: Mapping | None = None,
        deny: Iterable[str] = (),
        allow: Iterable[str] = (),
        longest: int = 1412,
        ttl_floor: int = 0,
        reassembler: Reassembler | None = None,
    ) -> None:
        self.router = Router()
        self.forwarder = Forwarder(self.router, ORIGIN, 0.0)
        self.tap = TapDestination(
            "mcmw0",
            router=self.router,
            forwarder=self.forwarder,
            mapping=mapping or Identity(),
            admission=Admission(map(IPv4Network, allow), map(IPv4Network, deny)),
            mac=MAC,
            longest=longest,
            ttl_floor=ttl_floor,
            reassembler=reassembler,
        )
        self.frames: list[bytes] = []
        self.igmp: list[bytes] = []
        self.tap.write = lambda frame: self.frames.append(frame[0] + bytes(frame[1]))
        self.tap.igmp = lambda packet, now: self.igmp.append(packet)
        self.peer = Peer(self.router)
        self.packet = Packet()
        self.now = 0.0
        self.sequence = 0

    def host_sends(self, frame: bytes) -> None:
        self.packet.now = self.now
        self.packet.view[FRAME_START : FRAME_START + len(frame)] = frame
        self.tap.frame_received(self.packet, len(frame), 77)

    def peer_sends(
        self, inner: bytes, *, hop_limit: int = 9, channel: Channel | None = None, kind: int = 1
    ) -> None:
        group, source = channel or (GROUP, FAR)
        self.sequence += 1
        message = data.build(
            inner, token=0, origin=0x9999_0000, group=group, source=source, sequence=self.sequence,
            hop_limit=hop_limit, packet_type=kind,
        )  # fmt: skip
        self.packet.now = self.now
        self.packet.buffer[: len(message)] = message
        self.assertTrue(self.forwarder.relay(self.packet, len(message), self.peer))

    def counts(self) -> dict[str, int]:
        return {name: count for name, count in self.tap.counters.as_dict().items() if count}

    def wants_as_peer(self, group: int = GROUP, source: int = ANY) -> None:
        self.router.subscribe(self.peer, Channel(group, source))


class FromTheHost(Case):
    def test_a_packet_goes_as_it_is_under_its_own_channel(self) -> None:
        self.wants_as_peer()
        packet = ip(tos=0xB8)
        self.host_sends(frame(packet))
        self.assertEqual(self.peer.inner, [packet])
        header = DataHeader.parse(self.peer.messages[0])
        self.assertEqual((header.group, header.source, header.hop_limit), (GROUP, SOURCE, 15))
        self.assertEqual((header.service_class, header.origin_time, header.origin), (5, 77, ORIGIN))
        self.assertEqual(self.counts(), {"received": 1, "received_bytes": 60})

    def test_a_multicast_packet_in_a_unicast_frame_is_one_too(self) -> None:
        self.wants_as_peer()
        for to in (MAC, b"\xff" * 6, bytes(6)):
            self.host_sends(frame(ip(), to))
        self.assertEqual(len(self.peer.messages), 3)

    def test_padding_of_a_short_frame_is_left_behind(self) -> None:
        self.wants_as_peer()
        packet = ip(b"x")
        self.host_sends(frame(packet) + bytes(25))
        self.assertEqual(self.peer.inner, [packet])

    def test_the_link_local_groups_are_never_forwarded(self) -> None:
        for last in (1, 251, 255):
            group = ipv4.number(f"224.0.0.{last}")
            self.wants_as_peer(group)
            self.host_sends(frame(ip(group=group)))
        self.assertEqual((self.peer.messages, self.counts()), ([], {"link_local": 3}))
        self.wants_as_peer(ipv4.number("224.0.1.0"))
        self.host_sends(frame(ip(group=ipv4.number("224.0.1.0"))))
        self.assertEqual(len(self.peer.messages), 1)

    def test_what_is_no_ip_multicast_is_only_counted(self) -> None:
        for other in (
            frame(ip(group=FAR)), frame(ip(group=0xFFFFFFFF)), frame(ip(), ethertype=0x0806),
            frame(ip(), ethertype=0x86DD), frame(ip())[:33], b"",
        ):  # fmt: skip
            self.host_sends(other)
        self.assertEqual(self.counts(), {"not_ip_multicast": 6})

    def test_lengths_that_lie_are_malformed(self) -> None:
        good = bytearray(frame(ip()))
        for at, value in ((14, 0x55), (14, 0x44), (14, 0x4F), (17, 10), (17, 200), (16, 9)):
            bad = bytearray(good)
            bad[at] = value
            if at == 14 and value == 0x4F:
                bad[16:18] = (59).to_bytes(2, "big")
            self.host_sends(bytes(bad))
        self.host_sends(frame(ip(source=0)))
        self.assertEqual(self.counts(), {"malformed": 7})

    def test_igmp_goes_to_the_querier_and_nowhere_else(self) -> None:
        self.wants_as_peer(GROUP)
        report = ip(b"\x16\0\0\0\xef\1\1\1", protocol=2, ttl=1)
        self.host_sends(frame(report))
        self.host_sends(frame(ip(b"\x22" + bytes(15), group=ipv4.number("224.0.0.22"), protocol=2, ttl=1)))
        self.assertEqual((len(self.igmp), self.igmp[0], self.peer.messages), (2, report, []))

    def test_igmp_of_a_host_without_an_address_counts(self) -> None:
        """RFC 3376, 4.2.13: a report may come from 0.0.0.0, and a TAP need have no address."""
        self.host_sends(frame(ip(b"\x22" + bytes(15), source=0, group=ipv4.number("224.0.0.22"), protocol=2)))
        self.assertEqual(len(self.igmp), 1)

    def test_denied_groups_stay_here(self) -> None:
        self.build(deny=["239.1.0.0/16"], allow=["239.0.0.0/8"])
        for group in (GROUP, ipv4.number("239.2.0.1"), ipv4.number("238.0.0.1")):
            self.wants_as_peer(group)
            self.host_sends(frame(ip(group=group)))
            self.tap.want(group, ANY)
        self.assertEqual([DataHeader.parse(m).group for m in self.peer.messages], [ipv4.number("239.2.0.1")])
        self.assertEqual(self.tap.wanted(), [(ipv4.number("239.2.0.1"), ANY)])
        self.assertEqual(self.tap.counters.denied, 4)

    def test_verdicts_that_are_remembered_are_bounded(self) -> None:
        for group in range(GROUP, GROUP + 20_000):
            self.tap.admits(group)
        self.assertLessEqual(len(self.tap._admitted), 8192)

    def test_a_lower_ttl_is_raised_to_the_floor(self) -> None:
        self.build(ttl_floor=8)
        self.wants_as_peer()
        for ttl in (1, 7, 8, 64):
            self.host_sends(frame(ip(ttl=ttl)))
        self.assertEqual([DataHeader.parse(m).hop_limit for m in self.peer.messages], [7, 7, 7, 63])
        self.assertEqual(self.tap.counters.ttl_raised, 2)

    def test_what_is_longer_than_a_datagram_is_split_and_each_piece_numbered(self) -> None:
        self.wants_as_peer()
        packet = ip(bytes(range(256)) * 20, ident=99)
        self.host_sends(frame(packet))
        headers = [DataHeader.parse(m) for m in self.peer.messages]
        self.assertEqual([h.sequence for h in headers], [0, 1, 2, 3])
        self.assertTrue(all(len(m) <= 1412 + HEADER_SIZE for m in self.peer.messages))
        self.assertEqual({h.hop_limit for h in headers}, {15})
        joined = Reassembler()
        whole = [w for piece in self.peer.inner if (w := joined.accept(piece, 0.0))]
        self.assertEqual(whole, [packet])
        self.assertEqual(self.tap.counters.fragments_made, 4)

    def test_what_just_fits_is_not(self) -> None:
        self.wants_as_peer()
        self.host_sends(frame(ip(bytes(1412 - 20))))
        self.host_sends(frame(ip(bytes(1413 - 20))))
        self.assertEqual(list(map(len, self.peer.inner)), [1412, 1412, 21])
        self.assertEqual(self.tap.counters.fragments_made, 2)

    def test_df_is_ignored_and_such_packets_get_ids(self) -> None:
        self.wants_as_peer()
        for _ in range(2):
            self.host_sends(frame(ip(bytes(2000), ident=0, flags=ipv4.DONT_FRAGMENT)))
        idents = [ipv4.Header.parse(inner).identification for inner in self.peer.inner]
        self.assertEqual(len(set(idents)), 2)
        self.assertNotIn(0, idents)

    def test_a_group_that_the_overlay_does_not_carry_is_denied(self) -> None:
        self.build(mapping=Consecutive(GROUP, 2))
        self.router.subscribe(self.peer, Channel(1, ANY))
        for group in (GROUP + 1, GROUP + 2):
            self.host_sends(frame(ip(group=group)))
            self.tap.want(group, ANY)
        self.assertEqual([DataHeader.parse(m).group for m in self.peer.messages], [1])
        self.assertEqual(self.tap.counters.denied, 2)

    @given(st.binary(max_size=200), st.booleans())
    @settings(max_examples=300, deadline=None)
    def test_garbage_never_raises(self, garbage: bytes, nearly: bool) -> None:
        if nearly:
            garbage = frame(b"\x45" + garbage[:15].ljust(15, b"\0") + GROUP.to_bytes(4, "big") + garbage[15:])
        self.tap.longest = 68
        self.wants_as_peer()
        self.host_sends(garbage)

    @given(st.binary(min_size=0, max_size=40), st.integers(0, 0xFFFF), st.integers(69, 400))
    @settings(max_examples=200, deadline=None)
    def test_nor_do_options_and_pieces_that_have_to_be_split(self, odd: bytes, flags: int, size: int) -> None:
        self.tap.longest = 68
        self.wants_as_peer()
        options = odd[: len(odd) & ~3]
        self.host_sends(frame(ip(bytes(size), options=options, flags=flags)))
        self.assertTrue(all(len(inner) <= 68 for inner in self.peer.inner))


class ToTheHost(Case):
    def test_the_frame_has_the_groups_mac_the_hop_limit_as_ttl_and_a_right_checksum(self) -> None:
        self.tap.want(GROUP, ANY)
        packet = ip(source=FAR, ttl=200)
        self.peer_sends(packet, hop_limit=9)
        (got,) = self.frames
        self.assertEqual(got[:14], bytes.fromhex("01005e010101") + MAC + b"\x08\x00")
        expected = ip(source=FAR, ttl=9)
        self.assertEqual(got[14:], expected)
        self.assertEqual(ipv4.checksum(got[14:34]), 0)
        self.assertEqual(self.counts(), {"delivered": 1, "delivered_bytes": 60})

    def test_the_mac_is_the_lower_23_bits(self) -> None:
        for address, mac in (
            ("224.128.64.32", "01005e004020"),
            ("239.255.255.255", "01005e7fffff"),
            ("225.0.0.1", "01005e000001"),
        ):  # fmt: skip
            group = ipv4.number(address)
            self.tap.want(group, ANY)
            self.peer_sends(ip(group=group, source=FAR), channel=Channel(group, FAR))
            self.assertEqual(self.frames.pop()[:6].hex(), mac)

    @given(st.integers(1, 255), st.integers(0, 255), st.integers(0, 0xFFFF))
    @settings(deadline=None)
    def test_any_ttl_leaves_a_right_checksum(self, limit: int, ttl: int, ident: int) -> None:
        self.frames.clear()
        self.tap.want(GROUP, ANY)
        self.peer_sends(ip(source=FAR, ttl=ttl, ident=ident), hop_limit=limit)
        (got,) = self.frames
        self.assertEqual((got[22], ipv4.checksum(got[14:34])), (limit, 0))

    def test_a_group_inside_that_nobody_wants_is_filtered(self) -> None:
        """A relay never looks inside, so what the outer address says may be a lie."""
        self.tap.want(GROUP, ANY)
        for group in (GROUP + 1, ipv4.number("224.0.0.1"), FAR):
            self.peer_sends(ip(group=group, source=FAR))
        self.assertEqual((self.frames, self.counts()), ([], {"filtered": 3}))

    def test_a_source_inside_that_nobody_wants_is_filtered(self) -> None:
        self.tap.want(GROUP, FAR)
        self.peer_sends(ip(source=FAR))
        self.peer_sends(ip(source=FAR + 1))
        self.assertEqual((len(self.frames), self.tap.counters.filtered), (1, 1))

    def test_what_is_no_packet_inside_is_counted(self) -> None:
        self.tap.want(GROUP, ANY)
        good = ip(source=FAR)
        for bad in (good[:19], good[:-1], good + b"x", b"\x65" + good[1:], b"\x41" + good[1:]):
            self.peer_sends(bad)
        self.peer_sends(ip(b"\x11" + bytes(7), source=FAR, protocol=2))  # a stranger's query must not get in
        self.peer_sends(good, kind=2)
        self.peer_sends(good, kind=3)
        self.assertEqual((self.frames, self.counts()), ([], {"malformed": 6, "unknown_kind": 2}))

    @given(st.binary(min_size=1, max_size=120), st.booleans())
    @settings(max_examples=200, deadline=None)
    def test_garbage_inside_never_raises(self, garbage: bytes, nearly: bool) -> None:
        self.tap.reassembler = Reassembler()
        self.tap.want(GROUP, ANY)
        if nearly:
            total = (len(garbage) + 20).to_bytes(2, "big")
            garbage = b"\x45\0" + total + garbage[:12].ljust(12, b"\0") + GROUP.to_bytes(4, "big") + garbage
            garbage = garbage[: 20 + int.from_bytes(total, "big") - 20]
        self.peer_sends(garbage)

    def test_a_device_that_is_down_costs_packets_and_nothing_else(self) -> None:
        def down(frame: Any) -> None:
            raise OSError(5, "Input/output error")

        self.tap.want(GROUP, ANY)
        self.tap.write = down
        self.peer_sends(ip(source=FAR))
        self.tap.send(ip(protocol=2))
        self.assertEqual(self.counts(), {"failed": 2})

    def test_pieces_go_in_as_they_are(self) -> None:
        self.tap.want(GROUP, ANY)
        for flags, payload in ((ipv4.MORE_FRAGMENTS, bytes(16)), (2, b"end")):
            self.peer_sends(ip(payload, source=FAR, flags=flags))
        self.assertEqual([len(f) - 34 for f in self.frames], [16, 3])

    def test_with_reassemble_they_are_joined_before(self) -> None:
        self.build(reassembler=Reassembler())
        self.tap.want(GROUP, ANY)
        self.peer_sends(ip(b"end", source=FAR, flags=2))
        self.assertEqual(self.frames, [])
        self.peer_sends(ip(b"0123456789abcdef", source=FAR, flags=ipv4.MORE_FRAGMENTS, ttl=99))
        self.peer_sends(ip(b"single", source=FAR))
        self.assertEqual(self.frames[0][14:], ip(b"0123456789abcdefend", source=FAR, ttl=9))
        self.assertEqual(self.frames[1][14:], ip(b"single", source=FAR, ttl=9))
        self.assertEqual(self.counts(), {"delivered": 2, "delivered_bytes": 39 + 26})

    def test_the_nodes_own_queries_go_to_the_groups_mac(self) -> None:
        query = ip(b"\x11" + bytes(7), group=ipv4.number("224.0.0.1"), protocol=2, ttl=1)
        self.tap.send(query)
        self.assertEqual(self.frames, [bytes.fromhex("01005e000001") + MAC + b"\x08\x00" + query])
        self.assertEqual(self.tap._heads, {})

    def test_without_a_device_nothing_raises(self) -> None:
        router = Router()
        tap = TapDestination(
            "t", router=router, forwarder=Forwarder(router, ORIGIN, 0.0), mapping=Identity(),
            admission=Admission(), mac=MAC, longest=1412, ttl_floor=0, reassembler=None,
        )  # fmt: skip
        tap.send(ip())
        self.assertEqual(tap.counters.failed, 1)


class Wants(Case):
    def test_are_counted_so_a_pin_outlives_a_report(self) -> None:
        for _ in range(2):
            self.tap.want(GROUP, ANY)
        self.tap.unwant(GROUP, ANY)
        self.assertEqual(self.router.wanted(), [(Channel(GROUP, ANY), (self.tap,))])
        self.tap.unwant(GROUP, ANY)
        self.tap.unwant(GROUP, ANY)
        self.assertEqual((self.router.wanted(), self.tap.wanted(), self.tap._heads), ([], [], {}))

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.sampled_from([ANY, 7])), max_size=50))
    @settings(max_examples=200, deadline=None)
    def test_under_a_mapping_that_collides_are_the_union_of_what_is_wanted(self, steps: list) -> None:
        self.build(mapping=Modulo(3))
        naive: dict[tuple[int, int], int] = {}
        for want, offset, source in steps:
            pair = (GROUP + offset, source)
            (self.tap.want if want else self.tap.unwant)(*pair)
            naive[pair] = max(0, naive.get(pair, 0) + (1 if want else -1))
            wanted = {pair for pair, count in naive.items() if count}
            self.assertEqual(set(self.tap.wanted()), wanted)
            mapping = Modulo(3)
            channels = {mapping.channel(*pair) for pair in wanted}
            self.assertEqual({channel for channel, _ in self.router.wanted()}, channels)

    def test_of_two_groups_at_one_overlay_address_only_the_wanted_one_comes_in(self) -> None:
        self.build(mapping=Modulo(16))
        other = GROUP + 16
        channel = Modulo(16).channel(GROUP, FAR)
        self.assertEqual(channel, Modulo(16).channel(other, FAR))

        def got() -> list[int]:
            self.frames.clear()
            for group in (GROUP, other):
                self.peer_sends(ip(group=group, source=FAR), channel=channel)
            return [ipv4.Header.parse(f[14:]).destination for f in self.frames]

        self.tap.want(GROUP, ANY)
        self.assertEqual(got(), [GROUP])
        self.tap.want(other, ANY)
        self.assertEqual(got(), [GROUP, other])
        self.tap.unwant(GROUP, ANY)
        self.assertEqual(got(), [other])
        self.tap.unwant(other, ANY)
        self.assertEqual((got(), self.router.wanted()), ([], []))


class OneOfSeveralGateways(Case):
    """A LAN behind the TAP, and other nodes on it."""

    def lan_sends(self, packet: bytes, mac: bytes = HOST) -> None:
        self.host_sends(frame(packet)[:6] + mac + frame(packet)[12:])

    def test_what_any_node_wrote_to_the_lan_is_never_originated(self) -> None:
        """Neither our own, which a loop in the LAN brought back, nor another gateway's."""
        self.wants_as_peer()
        told: list[float] = []
        self.tap.of_a_gateway = told.append
        for node in (0x1122_3344_5566_0000, 0xFFFF_FFFF_FFFF_0000, 0):
            self.lan_sends(ip(), mac_of(node))
        self.assertEqual((self.peer.messages, self.counts(), len(told)), ([], {"from_gateways": 3}, 3))
        self.tap.stand_by()
        self.lan_sends(ip(), mac_of(9 << 16))
        self.assertEqual((len(told), self.tap.counters.stood_by_from_lan), (3, 1))
        self.tap.forward(99.0)
        for near in ("024d42ffffff", "024d44000000", "034d43000000"):
            self.lan_sends(ip(), bytes.fromhex(near))
        self.assertEqual(len(self.peer.messages), 3)

    def test_macs_of_nodes_are_unicast_local_and_differ(self) -> None:
        macs = {mac_of(node << 16) for node in range(1, 5000)}
        self.assertEqual(len(macs), 4999)
        self.assertEqual({mac[0] & 3 for mac in macs}, {2})

    def test_its_igmp_and_its_hellos_are_heard(self) -> None:
        hellos: list[bytes] = []
        self.tap.pim = lambda packet, now: hellos.append(packet)
        hello = ip(b"\x20" + bytes(11), group=ipv4.number("224.0.0.13"), protocol=103, ttl=1)
        nameless = ip(b"\x20" + bytes(11), group=ipv4.number("224.0.0.13"), protocol=103, ttl=1, source=0)
        query = ip(b"\x11" + bytes(7), group=ipv4.number("224.0.0.1"), protocol=2, ttl=1)
        for packet in (hello, nameless, query):
            self.lan_sends(packet, mac_of(9 << 16))
        self.assertEqual((hellos, self.igmp), ([hello, nameless], [query]))
        self.assertEqual(self.counts(), {"igmp": 1, "link_local": 2})

    def test_pim_to_a_group_is_a_packet_as_any_other(self) -> None:
        self.wants_as_peer()
        self.tap.pim = lambda packet, now: self.fail("no Hello")
        self.lan_sends(ip(protocol=103))
        self.assertEqual(len(self.peer.messages), 1)

    def test_who_stands_by_forwards_nothing_either_way_and_wants_nothing_of_the_overlay(self) -> None:
        self.wants_as_peer()
        self.tap.want(GROUP, ANY)
        self.lan_sends(ip())
        self.tap.stand_by()
        self.assertEqual([d for _, d in self.router.wanted()], [(self.peer,)])
        self.lan_sends(ip())
        self.tap.deliver(self.packet)
        self.assertEqual((len(self.peer.messages), self.frames), (1, []))
        counts = self.counts()
        self.assertEqual((counts["stood_by_from_lan"], counts["stood_by_to_lan"]), (1, 1))

    def test_it_knows_what_the_lan_wants_and_asks_for_it_when_it_takes_over(self) -> None:
        self.tap.want(GROUP, ANY)
        self.tap.want(GROUP + 1, FAR)
        self.tap.stand_by()
        self.tap.unwant(GROUP, ANY)
        self.tap.want(GROUP + 2, ANY)
        self.assertEqual(self.router.wanted(), [])
        self.tap.forward(99.0)
        wanted = {channel for channel, _ in self.router.wanted()}
        self.assertEqual(wanted, {Channel(GROUP + 1, FAR), Channel(GROUP + 2, ANY)})
        self.peer_sends(ip(source=FAR, group=GROUP + 2), channel=Channel(GROUP + 2, FAR))
        self.assertEqual(len(self.frames), 1)

    def test_denied_groups_are_denied_before_and_after(self) -> None:
        self.build(deny=["239.1.0.0/16"])
        self.wants_as_peer()
        self.lan_sends(ip())
        self.tap.stand_by()
        self.tap.forward(99.0)
        self.lan_sends(ip())
        self.lan_sends(ip())
        self.assertEqual((self.peer.messages, self.counts()["denied"]), ([], 3))

    def test_a_lease_that_is_over_lets_nothing_in(self) -> None:
        self.tap.want(GROUP, ANY)
        self.tap.forward(10.0)
        for self.now in (9.9, 10.0):
            self.peer_sends(ip(source=FAR))
        self.assertEqual((len(self.frames), self.tap.counters.stood_by_to_lan), (1, 1))

    def test_under_a_mapping_that_collides_a_change_of_office_loses_nothing(self) -> None:
        self.build(mapping=Modulo(2))
        for offset in range(4):
            self.tap.want(GROUP + offset, ANY)
        before = self.router.wanted()
        self.tap.stand_by()
        self.assertEqual(self.router.wanted(), [])
        self.tap.forward(99.0)
        self.assertEqual(sorted(map(str, self.router.wanted())), sorted(map(str, before)))
