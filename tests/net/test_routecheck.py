"""Never carry yourself: addresses behind the own TAP are not dialled."""

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, clientFromString
from twisted.internet.interfaces import IHostnameResolver, IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from multicastmw.net.routecheck import CheckingReactor, RoutedThroughTap, check


class Routes:
    """A routing table with one TAP in it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def device_towards(self, address: str) -> str | None:
        self.asked.append(address)
        return "mcmw0" if address.startswith(("10.88.", "fd88:")) else "eth0"


@implementer(IHostnameResolver)
class Names:
    """Knows b.example.net, which is behind the TAP, and numeric addresses."""

    def resolveHostName(self, receiver: Any, name: str, port: int = 0, *more: Any, **named: Any) -> Any:
        receiver.resolutionBegan(self)
        address = "10.88.0.3" if name == "b.example.net" else name
        receiver.addressResolved((IPv6Address if ":" in address else IPv4Address)("TCP", address, port))
        receiver.resolutionComplete()
        return self


class Dials(SynchronousTestCase):
    def setUp(self) -> None:
        self.real = MemoryReactorClock()
        self.real.nameResolver = Names()
        self.routes = Routes()
        self.reactor = CheckingReactor(self.real, lambda address: check(self.routes, "mcmw0", address))

    def dial(self, endpoint: Any) -> Any:
        dialled = endpoint.connect(Factory.forProtocol(Protocol))
        for _ in range(10):
            self.real.advance(0.3)
        return dialled

    def test_an_address_behind_the_tap_is_refused_before_a_packet_goes(self) -> None:
        for endpoint in (
            TCP4ClientEndpoint(self.reactor, "10.88.0.3", 4600),
            HostnameEndpoint(self.reactor, "10.88.0.3", 4600),
            clientFromString(self.reactor, "tcp:10.88.0.3:4600"),
            HostnameEndpoint(self.reactor, "fd88::3", 4600),
            HostnameEndpoint(self.reactor, "b.example.net", 4600),
        ):
            failure = self.failureResultOf(self.dial(endpoint))
            failure.trap(RoutedThroughTap)
            self.assertIn("is routed through mcmw0, this node's own TAP", failure.getErrorMessage())
        self.assertEqual(self.real.tcpClients, [])

    def test_another_is_dialled(self) -> None:
        dialled = self.dial(clientFromString(self.reactor, "tcp:192.0.2.1:4600"))
        self.assertNoResult(dialled)
        self.assertEqual(self.real.tcpClients[0][:2], ("192.0.2.1", 4600))
        dialled.addErrback(lambda failure: None).cancel()

    def test_a_good_answer_holds_for_ten_seconds_and_a_bad_one_not_at_all(self) -> None:
        def dials(address: str) -> int:
            before = len(self.routes.asked)
            dialled = clientFromString(self.reactor, f"tcp:{address}:4600").connect(
                Factory.forProtocol(Protocol)
            )
            dialled.addErrback(lambda failure: None).cancel()
            return len(self.routes.asked) - before

        self.assertEqual([dials("192.0.2.1"), dials("192.0.2.1"), dials("192.0.2.2")], [1, 0, 1])
        self.assertEqual([dials("10.88.0.3"), dials("10.88.0.3")], [1, 1])
        self.real.advance(10)
        self.assertEqual([dials("192.0.2.1"), dials("192.0.2.1")], [1, 0])

    def test_a_name_is_left_to_the_resolver(self) -> None:
        check(self.routes, "mcmw0", "b.example.net")
        self.assertEqual(self.routes.asked, [])

    def test_it_is_a_reactor_in_every_other_way(self) -> None:
        self.assertTrue(IReactorTCP.providedBy(self.reactor))
        self.assertTrue(IReactorTime.providedBy(self.reactor))
        self.assertEqual(self.reactor.seconds(), self.real.seconds())
