"""The directory in a node of which nothing else is started: scopes, [session:X], listeners, the snapshot."""

import random
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench import show as large
from multicastmw.config import load
from multicastmw.core.addressing import Channel
from multicastmw.core.identity import node_of
from multicastmw.core.packet import Packet
from multicastmw.core.sessions.announcing import EVERY
from multicastmw.core.sessions.scopes import GLOBAL, LOCAL, ORGANISATION, SAP_GROUPS
from multicastmw.core.sessions.shares import NOWHERE, Home
from multicastmw.net import listeners
from multicastmw.services.node import NodeService
from multicastmw.services.sessions import LOOK
from multicastmw.wire import data, ipv4
from multicastmw.wire.messages import AddRoute, encode
from multicastmw.wire.messages import Node as Reached
from multicastmw.wire.sap import PORT, Announcement
from multicastmw.wire.udp import Datagram
from tests.core.sessions.test_directory import packet, text
from tests.core.test_tap import Peer

HEAD = (
    "[node]\nname = a\n[tap]\naddress = 10.88.0.2/24\n[control]\nsocket =\n[listen]\nendpoint =\nudp-port =\n"
)
NEWS = "[session:news]\ngroup = 239.1.1.1\nport = 5004\nname = The news\ncategory = NEWS\n"
HERE, QUERIER = ipv4.number("10.88.0.2"), ipv4.number("10.88.0.254")


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.frames: list[bytes] = []

    def starts(self, ini: str = "") -> NodeService:
        self.node = NodeService(self.read(ini), self.clock, random.Random(1))
        self.addCleanup(self.node._netlink.close)
        destination = self.node.destination
        destination.longest = 1_412
        destination.write = lambda frame: self.frames.append(bytes(frame[1]))
        self.node.sessions.startService()
        self.addCleanup(self.node.sessions.stopService)
        self.peer = Peer(self.node.router)
        return self.node

    def read(self, ini: str) -> Any:
        path = Path(self.mktemp())
        path.write_text(HEAD + ini)
        return load(str(path), "host")

    def passes(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds / 0.01))

    def said(self) -> list[Announcement]:
        return [Announcement.parse(Datagram.parse(inner).payload) for inner in self.peer.inner]

    def shown(self) -> list[Any]:
        return list(self.node.status().sessions)


class Scopes(Case):
    def asked(self) -> set[int]:
        return {channel.group for channel in self.node.router.channels()}

    def test_all_are_asked_for_but_those_that_are_denied(self) -> None:
        self.starts()
        self.assertEqual(SAP_GROUPS, self.asked())
        self.node.sessions.admit_by(self.read("[groups]\ndeny = 239.255.0.0/16\n").groups)
        self.assertEqual({GLOBAL, ORGANISATION}, self.asked())

    def test_from_the_start(self) -> None:
        self.starts("[groups]\nallow = 239.0.0.0/8\n")
        self.assertEqual({LOCAL, ORGANISATION}, self.asked())


class Announced(Case):
    def test_what_node_ini_says_and_its_end(self) -> None:
        self.starts(NEWS)
        self.node.router.subscribe(self.peer, Channel(GLOBAL))
        self.passes(3 * EVERY)
        self.assertGreaterEqual(len(self.said()), 3)
        (session,) = self.shown()
        self.assertEqual(
            ("The news", "NEWS", True, "a", "10.88.0.2", ("224.2.127.254",)),
            (
                session.name,
                session.category,
                session.ours,
                session.node,
                session.source,
                session.announced_at,
            ),
        )
        (film,) = session.media
        self.assertEqual(("239.1.1.1", 5004, ("MP2T",)), (film.group, film.port, film.encodings))
        self.node.sessions.farewell()
        self.assertTrue(self.said()[-1].deletion)
        self.assertEqual([], self.shown())

    def test_who_comes_later_hears_it_within_a_second(self) -> None:
        self.starts(NEWS)
        self.passes(1.5)
        self.node.router.subscribe(self.peer, Channel(GLOBAL))
        self.passes(0.05)
        self.assertEqual(1, len(self.said()))

    def test_another_node_ini(self) -> None:
        self.starts(NEWS)
        self.node.router.subscribe(self.peer, Channel(GLOBAL))
        self.passes(0.05)
        self.node.sessions.announce(self.read(NEWS.replace("news", "sport")).sessions)
        self.passes(0.05)
        self.assertEqual([False, True, False], [announcement.deletion for announcement in self.said()])
        self.assertEqual(["The sport"], [session.name for session in self.shown()])


class Listeners(Case):
    def setUp(self) -> None:
        super().setUp()
        self.users = {GLOBAL: 1}
        self.patch(listeners, "users", lambda device, groups: dict(self.users))
        self.starts(NEWS)
        self.passes(0.1)

    def heard_by_the_host(self) -> list[Datagram]:
        return [Datagram.parse(frame) for frame in self.frames]

    def test_the_second_program_of_a_host_gets_a_replay(self) -> None:
        self.node.destination.want(GLOBAL, 0)
        self.passes(2 * LOOK)
        counters = self.node.sessions.directory.counters
        self.assertEqual(0, counters.replayed)
        self.users[GLOBAL] = 2
        self.frames.clear()
        self.passes(LOOK + 0.05)
        found = self.heard_by_the_host()[-1]
        self.assertEqual((QUERIER, PORT, 1), (found.source, found.port, counters.replayed))
        self.passes(2.0)
        self.assertEqual(2, counters.replayed)
        self.users[GLOBAL] = 1
        self.passes(2.0)
        self.assertEqual(2, counters.replayed)


class Shown(Case):
    def test_counters_and_what_is_heard(self) -> None:
        self.starts()
        filters = "a=source-filter: incl IN IP4 239.1.1.1 10.88.0.1\r\n"
        message = packet(text("Far", more=filters))
        datagram = Datagram(ipv4.number("10.88.0.1"), PORT, LOCAL, PORT, message)
        inner = datagram.build(9)
        whole = data.build(
            inner, token=0, origin=0x77_0000, group=LOCAL, source=datagram.source, sequence=1, hop_limit=3
        )
        carried = Packet()
        carried.buffer[: len(whole)] = whole
        self.assertTrue(self.node.forwarder.relay(carried, len(whole), self.peer))
        (session,) = self.shown()
        self.assertEqual(
            (False, None, ("10.88.0.1",)), (session.ours, session.node, session.media[0].sources)
        )
        self.assertEqual(1, self.node.status().counters["sap_received"])
        self.assertEqual(text("Far", more=filters).decode(), session.sdp)


class Homes(Case):
    def test_an_origin_that_no_link_leads_to_is_nobody_s(self) -> None:
        node = self.starts()
        here = node.room.here.node
        self.assertEqual(Home(here, here), node.sessions._home_of(node.forwarder.origin))
        self.assertEqual(NOWHERE, node.sessions._home_of(0x7777 << 16 | 1))

    def test_one_that_a_link_leads_to_is_of_that_link(self) -> None:
        node = self.starts()
        link = large.link(node, 1)
        there = link.node
        self.assertEqual(Home(there, there), node.sessions._home_of(there | 1))
        link.bytes_received(encode(AddRoute((Reached(0x99 << 16, "far"),))), large.NOW)
        self.assertEqual(Home(there, node_of(0x99 << 16)), node.sessions._home_of(0x99 << 16 | 1))
