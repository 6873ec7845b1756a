"""The directory between a router, a TAP and a peer: what it takes, announces and says again."""

from ipaddress import IPv4Network
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import Channel, Identity
from multicastmw.core.admission import Admission
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.fragments import split
from multicastmw.core.packet import FRAME_START, Packet
from multicastmw.core.routing import Router
from multicastmw.core.sessions.announcing import Offer
from multicastmw.core.sessions.destination import DUMMY, SessionsDestination
from multicastmw.core.sessions.directory import Directory
from multicastmw.core.sessions.scopes import GLOBAL, LOCAL, ORGANISATION, SAP_GROUPS
from multicastmw.core.tap import TapDestination
from multicastmw.wire import data, ipv4
from multicastmw.wire.igmp import ALL_V3_ROUTERS, Kind, Record, ReportV3, pack
from multicastmw.wire.sap import PORT, Announcement
from multicastmw.wire.udp import Datagram
from tests.core.sessions.test_directory import packet as sap_packet
from tests.core.sessions.test_directory import text
from tests.core.test_tap import HOST, MAC, Peer, frame

HERE, FAR, QUERIER = (ipv4.number(f"10.88.0.{n}") for n in (2, 9, 254))
OUR_ORIGIN, THEIRS = 0x1111_0000, 0x9999_0000
NEWS = Offer("news", ipv4.number("239.1.1.1"), 5004, "The news")


class Case(SynchronousTestCase):
    address = HERE

    def setUp(self) -> None:
        self.router = Router()
        self.forwarder = Forwarder(self.router, OUR_ORIGIN, 0.0)
        self.tap = TapDestination(
            "mcmw0", router=self.router, forwarder=self.forwarder, mapping=Identity(), admission=Admission(),
            mac=MAC, longest=1412, ttl_floor=0, reassembler=None,
        )  # fmt: skip
        self.frames: list[bytes] = []
        self.tap.write = lambda each: self.frames.append(each[0] + bytes(each[1]))
        self.told: list[Any] = []
        self.directory = Directory(0.0, self.told.append)
        self.sessions = SessionsDestination(
            router=self.router, forwarder=self.forwarder, tap=self.tap, admission=Admission(),
            directory=self.directory, node=0x1111_0000, address=self.address, querier=lambda: QUERIER,
            pick=lambda low, high: high, wall_us=lambda: 77,
        )  # fmt: skip
        self.sessions.subscribe()
        self.peer = Peer(self.router)
        self.packet, self.now, self.sequence = Packet(), 1.0, 0

    # --- what comes

    def peer_sends(self, inner: bytes, origin: int = THEIRS) -> None:
        self.sequence += 1
        source, group = int.from_bytes(inner[12:16], "big"), int.from_bytes(inner[16:20], "big")
        message = data.build(
            inner, token=0, origin=origin, group=group, source=source, sequence=self.sequence, hop_limit=9
        )
        self.packet.now = self.now
        self.packet.buffer[: len(message)] = message
        self.assertTrue(self.forwarder.relay(self.packet, len(message), self.peer))

    def announced(self, payload: bytes, source: int = FAR, group: int = GLOBAL, port: int = PORT) -> bytes:
        return Datagram(source, 40_000, group, port, sap_packet(payload, source)).build(255, 7)

    def host_sends(self, inner: bytes) -> None:
        whole = frame(inner)
        self.packet.now = self.now
        self.packet.view[FRAME_START : FRAME_START + len(whole)] = whole
        self.tap.frame_received(self.packet, len(whole), 77)

    def host_joins(self, *groups: int) -> None:
        for group in groups:
            self.tap.want(group, 0)
            report = pack(ReportV3((Record(Kind.TO_EX, group),)), HERE, ALL_V3_ROUTERS)
            self.sessions.igmp_heard(report, self.now)

    # --- what goes

    def runs(self, seconds: float = 0.5) -> None:
        until = self.now + seconds
        machines = (self.sessions.replays, self.sessions.announcer)
        while (due := min(machine.deadline() for machine in machines)) <= until:
            self.now = max(self.now, due)
            for machine in machines:
                machine.tick(self.now)
        self.now = until

    def to_host(self) -> list[Datagram]:
        return [Datagram.parse(each[14:]) for each in self.frames]

    def names(self) -> list[str]:
        return sorted(session.name for session in self.directory.sessions())


class Taking(Case):
    def test_every_scope_is_asked_for(self) -> None:
        self.assertEqual(SAP_GROUPS, {channel.group for channel in self.router.all_wanted_besides(self.peer)})

    def test_of_the_overlay_with_its_origin(self) -> None:
        self.peer_sends(self.announced(text()))
        (session,) = self.directory.sessions()
        self.assertEqual((THEIRS, FAR, {GLOBAL}), (session.origin, session.source, set(session.scopes)))

    def test_of_this_hosts_programs(self) -> None:
        self.host_sends(self.announced(text(), HERE, LOCAL))
        (session,) = self.directory.sessions()
        self.assertEqual((OUR_ORIGIN, HERE), (session.origin, session.source))

    def test_in_pieces(self) -> None:
        whole = self.announced(text(more="a=x:y\r\n" * 300))
        pieces = split(whole, 576, lambda: 9)
        self.assertGreater(len(pieces), 3)
        for piece in pieces[::-1]:
            self.peer_sends(piece)
        self.assertEqual(["News"], self.names())

    def test_what_is_lost_of_pieces_is_counted(self) -> None:
        pieces = split(self.announced(text(more="a=x:y\r\n" * 300)), 576, lambda: 9)
        self.peer_sends(pieces[0])
        self.sessions.tick(self.now + 2.0)
        self.now += 3.0
        for piece in (*pieces, pieces[0][:-3]):
            self.peer_sends(piece)
        counts = {name: count for name, count in self.sessions.pieces().items() if count}
        self.assertEqual({"expired": 1, "joined": 1, "malformed": 1}, counts)

    def test_what_is_no_announcement(self) -> None:
        self.peer_sends(self.announced(text(), port=5004))
        damaged = bytearray(self.announced(text()))
        damaged[-3] ^= 1
        self.peer_sends(bytes(damaged))
        tcp = bytearray(self.announced(text()))
        tcp[9] = 6
        self.peer_sends(bytes(tcp))
        self.peer_sends(Datagram(FAR, 1, GLOBAL, PORT, b"").build(9))
        self.assertEqual(([], 3), (self.names(), self.directory.counters.malformed))

    def test_ipv6_packets_are_not_looked_at(self) -> None:
        self.packet.kind = 2
        self.sessions.deliver(self.packet)
        self.assertEqual([], self.names())

    def test_a_scope_that_is_denied(self) -> None:
        self.peer_sends(self.announced(text("Local", session=1), group=LOCAL))
        self.peer_sends(self.announced(text("Global", session=2)))
        self.sessions.admit_by(Admission(deny=[IPv4Network("239.255.0.0/16")]), 0.0, self.now)
        self.assertEqual(["Global"], self.names())
        self.assertNotIn(Channel(LOCAL), self.router.channels())
        self.sessions.admit_by(Admission(), 0.0, self.now)
        self.assertIn(Channel(LOCAL), self.router.channels())


class Announcing(Case):
    def setUp(self) -> None:
        super().setUp()
        self.router.subscribe(self.peer, Channel(GLOBAL))

    def offers(self, *offers: Offer) -> None:
        self.sessions.offer(offers, 1_700_000_000.0, self.now)

    def test_to_the_overlay_to_programs_here_and_to_itself(self) -> None:
        self.host_joins(GLOBAL)
        self.offers(NEWS)
        self.runs(0.0)
        (inner,), (here,) = self.peer.inner, self.to_host()
        sent = Datagram.parse(inner)
        self.assertEqual((HERE, GLOBAL, PORT, 255), (sent.source, sent.destination, sent.port, inner[8]))
        self.assertEqual(
            (QUERIER, GLOBAL, PORT, 1), (here.source, here.destination, here.port, self.frames[0][22])
        )
        self.assertEqual(sent.payload, here.payload)
        header = data.DataHeader.parse(self.peer.messages[0])
        self.assertEqual((OUR_ORIGIN, 254, 77), (header.origin, header.hop_limit, header.origin_time))
        self.assertEqual(["The news"], self.names())

    def test_no_program_here_listens(self) -> None:
        self.offers(NEWS)
        self.runs(0.0)
        self.assertEqual((1, []), (len(self.peer.inner), self.frames))

    def test_a_long_one_is_cut(self) -> None:
        self.tap.longest = 576
        self.host_joins(GLOBAL)
        self.offers(NEWS._replace(description="x" * 900))
        self.runs(0.0)
        self.assertEqual((3, 3), (len(self.peer.inner), len(self.frames)))
        self.assertEqual(["The news"], self.names())

    def test_a_scope_or_group_that_is_denied_is_not_announced_and_later_it_is(self) -> None:
        for denied in ("224.2.0.0/16", "239.1.1.1/32"):
            self.sessions.admit_by(Admission(deny=[IPv4Network(denied)]), 0.0, self.now)
            self.offers(NEWS)
            self.runs()
            self.assertEqual([], self.peer.inner)
        self.sessions.admit_by(Admission(), 0.0, self.now)
        self.runs(0.0)
        self.assertEqual(1, len(self.peer.inner))

    def test_where_lists_shut_its_scope_it_is_deleted_first(self) -> None:
        self.offers(NEWS)
        self.runs(0.0)
        self.sessions.admit_by(Admission(deny=[IPv4Network("224.2.0.0/16")]), 0.0, self.now)
        said = [Announcement.parse(Datagram.parse(inner).payload).deletion for inner in self.peer.inner]
        self.assertEqual(([False, True], []), (said, self.names()))

    def test_other_lists_that_do_not_touch_it_say_nothing(self) -> None:
        self.offers(NEWS)
        self.runs(0.0)
        self.sessions.admit_by(Admission(deny=[IPv4Network("239.7.0.0/16")]), 0.0, self.now)
        self.runs(0.5)
        self.assertEqual(1, len(self.peer.inner))

    def test_a_node_without_an_address_announces_from_the_queriers_or_a_dummy(self) -> None:
        for querier, expected in ((QUERIER, QUERIER), (0, DUMMY)):
            sessions = SessionsDestination(
                router=Router(), forwarder=self.forwarder, tap=self.tap, admission=Admission(),
                directory=self.directory, node=1, address=0, querier=lambda: querier,  # noqa: B023
                pick=lambda low, high: high, wall_us=lambda: 77,
            )  # fmt: skip
            sessions.offer((NEWS,), 0.0, self.now)
            sessions.announcer.tick(self.now)
            self.assertEqual(expected, Datagram.parse(self.peer.inner[-1]).source)

    def test_somebody_comes_to_a_scope(self) -> None:
        came: list[int] = []
        self.sessions.someone_came = came.append
        self.router.subscribe(self.peer, Channel(LOCAL))
        self.router.unsubscribe(self.peer, Channel(LOCAL))
        self.router.subscribe(self.peer, Channel(ipv4.number("239.1.1.1")))
        self.assertEqual([LOCAL], came)


class Replaying(Case):
    def test_who_joins_gets_what_was_heard_in_that_scope(self) -> None:
        self.peer_sends(self.announced(text("Far")))
        self.host_sends(self.announced(text("Near", session=2), HERE))
        self.peer_sends(self.announced(text("Local", session=3), group=LOCAL))
        self.host_joins(GLOBAL)
        self.runs()
        found = {Announcement.parse(each.payload).payload: each for each in self.to_host()}
        self.assertEqual({text("Far"), text("Near", session=2)}, set(found))
        self.assertEqual(FAR, found[text("Far")].source)  # as it came
        self.assertEqual(QUERIER, found[text("Near", session=2)].source)  # its kernel would drop its own
        self.assertEqual([], self.peer.inner)
        self.assertEqual(2, self.directory.counters.replayed)

    def test_byte_for_byte(self) -> None:
        message = Announcement(5, bytes(16), text()).build(compressed=True)
        self.peer_sends(Datagram(FAR, 40_000, GLOBAL, PORT, message).build(255))
        self.host_joins(GLOBAL)
        self.runs()
        self.assertEqual([message], [each.payload for each in self.to_host()])

    def test_what_has_gone_meanwhile_is_not_said(self) -> None:
        for number in range(40):
            self.peer_sends(self.announced(text(f"x{number}", session=number)))
        self.host_joins(GLOBAL)
        self.sessions.replays.tick(self.now)
        self.assertEqual(16, len(self.frames))
        for number in range(16, 40):
            deletion = sap_packet(text(session=number), FAR, deletion=True)
            self.peer_sends(Datagram(FAR, 40_000, GLOBAL, PORT, deletion).build(255))
        said = len(self.frames)  # the deletions, as they came
        self.runs()
        self.assertEqual(said, len(self.frames))

    def test_to_nobody_that_left_or_while_another_gateway_forwards(self) -> None:
        self.peer_sends(self.announced(text()))
        self.host_joins(GLOBAL)
        self.tap.stand_by()
        self.runs()
        self.assertEqual([], self.frames)
        self.tap.forward(float("inf"))
        self.tap.unwant(GLOBAL, 0)
        self.sessions.replays.joined(GLOBAL, self.now)
        self.runs()
        self.assertEqual([], self.frames)

    def test_frames_come_from_the_nodes_own_address(self) -> None:
        self.peer_sends(self.announced(text(), group=ORGANISATION))
        self.host_joins(ORGANISATION)
        self.runs()
        self.assertEqual((MAC, True), (self.frames[0][6:12], MAC != HOST))
