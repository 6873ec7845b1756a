"""The gateway of a bridged TAP: whom it names, in its log and in its status."""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import Identity
from multicastmw.core.admission import Admission
from multicastmw.core.events import Event, GatewayStandsBy
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.gateway import State
from multicastmw.core.reach import Reach
from multicastmw.core.routing import Router
from multicastmw.core.tap import TapDestination, mac_of
from multicastmw.sections import TapConfig
from multicastmw.services.lan import LanGateway
from multicastmw.wire import ipv4, pim
from multicastmw.wire.pim import Hello

OURS, THEIRS = 0x0A << 16, 0x0B << 16
ADDRESS, OTHER = ipv4.number("10.77.0.250"), ipv4.number("10.77.0.249")


class Bridge:
    """As much of the kernel as a LAN takes: the TAP is a port of br0."""

    def master(self, device: str) -> str:
        return "br0"

    def remove_routes(self, device: str, groups: Any) -> None:
        pass


class Link:
    """Over which a node is reached."""

    def nodes_changed(self, node: int) -> None:
        pass


class NameTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Event] = []
        self.link = Link()
        self.reach: Reach[Any] = Reach(lambda link, node: link.nodes_changed(node), lambda node: None)
        self.reach.join(self.link)
        router = Router()
        self.destination = TapDestination(
            "mcmw0", router=router, forwarder=Forwarder(router, OURS, 0.0), mapping=Identity(),
            admission=Admission(), mac=mac_of(OURS), longest=1500, ttl_floor=0, reassembler=None,
        )  # fmt: skip
        config = TapConfig(device="mcmw0", address=None, mtu=1500, groups=())
        self.lan = LanGateway(
            config, OURS, 1, ADDRESS, self.destination, self.reach, Bridge(), self.clock, self.told.append
        )
        self.lan.look(config)

    def hear(self) -> None:
        hello = pim.pack(Hello(THEIRS, State.FORWARDING, 3.5, 2, OTHER))
        self.destination.pim(hello, self.clock.seconds())

    def names(self) -> list[str]:
        return [event.other for event in self.told if isinstance(event, GatewayStandsBy)]

    def test_another_gateway_is_named_as_soon_as_the_overlay_knows_it(self) -> None:
        self.hear()
        self.reach.add(self.link, THEIRS, "k")
        self.clock.advance(0)
        self.assertEqual(self.names()[-1], "k")
        status = self.lan.status()
        self.assertEqual((status.forwarder, status.forwarder_address), ("k", "10.77.0.249"))
        self.assertEqual(self.lan.name_at(OTHER), "k")

    def test_it_keeps_its_name_while_the_overlay_is_in_pieces(self) -> None:
        self.reach.add(self.link, THEIRS, "k")
        self.hear()
        self.reach.remove(self.link, THEIRS)
        self.hear()
        self.clock.advance(0)
        self.assertEqual(set(self.names()), {"k"})
        self.assertEqual((self.lan.status().forwarder, self.lan.name_at(OTHER)), ("k", "k"))

    def test_who_was_never_known_is_told_by_its_id_and_a_querier_of_others_by_nothing(self) -> None:
        self.hear()
        self.assertEqual(self.names()[-1:], [f"{THEIRS:016x}"])
        self.assertIsNone(self.lan.name_at(ipv4.number("10.77.0.1")))
        self.assertIsNone(self.lan.name_at(0))
        self.assertIsNone(self.lan.name_at(OTHER))

    def test_names_of_those_that_have_left_the_lan_are_not_kept(self) -> None:
        self.reach.add(self.link, THEIRS, "k")
        self.hear()
        self.clock.pump([0.5] * 60)
        self.assertEqual((self.lan._names, self.lan.name_at(OTHER)), ({}, None))
