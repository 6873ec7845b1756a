"""The ways to peers, asked of a real kernel in a namespace of its own."""

import socket
import subprocess
import time
from errno import EPERM, EPROTONOSUPPORT
from ipaddress import IPv4Address
from typing import Any, NoReturn

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath.peers import Uplink
from multicastmw.core.fastpath.tables import NO_MAC
from multicastmw.net import netlink
from multicastmw.net.uplinks import News, Uplinks
from tests.net.namespace import Namespace, why_not

HERE, THERE, GATE = "10.9.0.1", "10.9.0.2", "10.9.0.9"
PORT = 4600
PATIENCE = 30.0
MAC, OTHER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


class FakeReactor:
    """Only keeps who reads."""

    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class Case(SynchronousTestCase):
    skip = why_not()

    def setUp(self) -> None:
        self.namespace = Namespace()
        self.addCleanup(self.namespace.close)
        self.uplinks = Uplinks()
        self.addCleanup(self.uplinks.close)
        netlink._asker.cache_clear()  # it was of another namespace
        self.addCleanup(netlink._asker.cache_clear)
        self.call(netlink._asker)
        self.call(self.build)

    def call(self, work: Any, *args: Any) -> Any:
        return self.namespace.run(work, *args)

    def build(self) -> None:
        """u0 and u1 are two veths with both ends here."""
        with self.route() as route:
            route.link("set", index=1, state="up")
            for number in (0, 1):
                route.link("add", ifname=f"u{number}", kind="veth", peer={"ifname": f"w{number}"})
                for name in (f"w{number}", f"u{number}"):
                    route.link("set", index=socket.if_nametoindex(name), state="up")
            route.addr("add", index=socket.if_nametoindex("u0"), address=HERE, prefixlen=24)

    @staticmethod
    def route() -> Any:
        from pyroute2 import IPRoute

        return IPRoute()

    def find(self, local: str = HERE, remote: str = THERE) -> Uplink | str:
        found: Uplink | str = self.call(self.uplinks.find, (local, PORT), (remote, PORT))
        return found

    def ip(self, line: str) -> None:
        done = self.call(lambda: subprocess.run(["ip", *line.split()], capture_output=True, check=False))
        self.assertEqual((0, b""), (done.returncode, done.stderr), line)

    def index(self, name: str) -> int:
        found: int = self.call(socket.if_nametoindex, name)
        return found

    def uplink(self, name: str = "u0", mtu: int = 1500, hop: str = THERE, to: bytes = NO_MAC) -> Uplink:
        """As it is to be found."""
        _, source = self.call(netlink.hardware, name)
        return Uplink(self.index(name), mtu, int(IPv4Address(hop)), to, source)


class Finding(Case):
    def test_the_device_and_its_mtu(self) -> None:
        self.assertEqual(self.uplink(), self.find())

        def shrink() -> None:
            with self.route() as route:
                route.link("set", index=socket.if_nametoindex("u0"), mtu=1400)

        self.call(shrink)
        self.assertEqual(self.uplink(mtu=1400), self.find())

    def test_a_route_that_is_more_special(self) -> None:
        def detour() -> None:
            with self.route() as route:
                route.route("add", dst=f"{THERE}/32", oif=socket.if_nametoindex("u1"))

        self.call(detour)
        self.assertEqual(self.uplink("u1"), self.find())

    def test_a_rule_for_our_port_alone(self) -> None:
        self.ip("route add default dev u1 table 99")
        self.ip(f"rule add ipproto udp dport {PORT + 1} table 99")
        self.assertEqual(self.uplink(), self.find())
        self.ip(f"rule add ipproto udp dport {PORT} table 99")
        self.assertEqual(self.uplink("u1"), self.find())

    def test_a_neighbour_s_ethernet_address_while_it_is_known(self) -> None:
        self.ip(f"neigh add {THERE} lladdr {MAC.hex(':')} dev u0 nud stale")
        self.assertEqual(self.uplink(to=MAC), self.find())
        self.ip(f"neigh change {THERE} lladdr {OTHER.hex(':')} dev u0 nud permanent")
        self.assertEqual(self.uplink(to=OTHER), self.find())
        self.ip(f"neigh change {THERE} dev u0 nud failed")
        self.assertEqual(self.uplink(), self.find())

    def test_behind_a_gateway_the_neighbour_is_the_gateway(self) -> None:
        self.ip(f"route add 192.0.2.0/24 via {GATE}")
        self.assertEqual(self.uplink(hop=GATE), self.find(remote="192.0.2.1"))
        self.ip(f"neigh add {GATE} lladdr {MAC.hex(':')} dev u0")
        self.assertEqual(self.uplink(hop=GATE, to=MAC), self.find(remote="192.0.2.1"))

    def test_a_gateway_of_ipv6_is_the_routing_table_s(self) -> None:
        self.ip("route add 192.0.2.0/24 via inet6 fe80::9 dev u0")
        found = self.find(remote="192.0.2.1")
        self.assertEqual(self.uplink(hop="0.0.0.0"), found)

    def test_a_host_with_ipsec_policies(self) -> None:
        self.ip("xfrm policy add src 0.0.0.0/0 dst 203.0.113.0/24 dir out action block")
        self.assertEqual("this host has IPsec policies, which the kernel would not apply to it", self.find())
        self.ip("xfrm policy flush")
        self.assertEqual(self.uplink(), self.find())

    def test_where_policies_cannot_be_seen_there_may_be_some(self) -> None:
        def refuses(kind: int, body: bytes) -> NoReturn:
            raise PermissionError(EPERM, "Operation not permitted")

        self.uplinks._ipsec.ask = refuses  # type: ignore[method-assign]
        self.assertEqual(
            "whether this host has IPsec policies cannot be seen: Operation not permitted", self.find()
        )

        def knows_none(kind: int, body: bytes) -> NoReturn:
            raise OSError(EPROTONOSUPPORT, "Protocol not supported")

        self.uplinks._ipsec.ask = knows_none  # type: ignore[method-assign]
        self.assertEqual(self.uplink(), self.find())

    def test_where_there_is_none_the_reason_is_the_kernel_s(self) -> None:
        self.assertEqual(
            "there is no way from 10.9.0.1 to it: Network is unreachable", self.find(remote="192.0.2.1")
        )

    def test_an_address_that_is_not_ours_any_more(self) -> None:
        self.assertRegex(str(self.find(local="10.9.0.7")), "^there is no way from 10.9.0.7 to it: ")

    def test_what_does_not_leave_this_host(self) -> None:
        self.assertEqual("it is on this host", self.find(remote=HERE))
        self.assertEqual("it is on this host", self.find(remote="127.0.0.1", local="127.0.0.1"))

    def test_a_device_without_ethernet(self) -> None:
        def tunnel() -> Any:
            import pytun

            device = pytun.TunTapDevice(name="g0", flags=pytun.IFF_TUN | pytun.IFF_NO_PI)
            with self.route() as route:
                index = socket.if_nametoindex("g0")
                route.link("set", index=index, state="up")
                route.route("add", dst="192.0.2.0/24", oif=index)
            return device

        self.addCleanup(self.call(tunnel).close)
        self.assertEqual("g0 is no Ethernet", self.find(remote="192.0.2.1"))


class Told(Case):
    def setUp(self) -> None:
        super().setUp()
        self.call(self.settle)

    def settle(self) -> None:
        """A busy kernel says that a device is up some time after it was set up, and that is news."""
        until = time.monotonic() + PATIENCE
        with self.route() as route:
            while {link.get_attr("IFLA_OPERSTATE") for link in route.get_links()[1:]} != {"UP"}:
                self.assertLess(time.monotonic(), until, "devices are not up")
                time.sleep(0.01)

    def test_of_an_mtu_an_address_and_a_route(self) -> None:
        reactor, told = FakeReactor(), []
        news = self.call(lambda: News(reactor, lambda: told.append(1)))  # type: ignore[arg-type]
        self.addCleanup(news.close)
        self.assertEqual([news], reactor.readers)

        def change(what: int) -> None:
            index = socket.if_nametoindex("u1")
            with self.route() as route:
                if what == 0:
                    route.link("set", index=index, mtu=1300)
                elif what == 1:
                    route.addr("add", index=index, address="10.8.0.1", prefixlen=24)
                else:
                    route.route("add", dst="192.0.2.0/24", oif=index)

        for what in range(3):
            self.call(change, what)
            news.doRead()
            self.assertEqual(what + 1, len(told))
            self.assertRaises(BlockingIOError, news._socket.recv, 1)

    def test_of_a_neighbour_which_and_nothing_else(self) -> None:
        reactor, told, neighbours = FakeReactor(), [], []
        news = self.call(
            lambda: News(
                reactor,
                lambda: told.append(1),
                lambda *neighbour: neighbours.append(neighbour),  # type: ignore[arg-type]
            )
        )
        self.addCleanup(news.close)
        self.ip(f"neigh add {THERE} lladdr {MAC.hex(':')} dev u0")
        self.ip(f"neigh add 2001:db8::1 lladdr {MAC.hex(':')} dev u0")
        self.ip(f"neigh change {THERE} lladdr {OTHER.hex(':')} dev u0 nud stale")
        self.ip(f"neigh del {THERE} dev u0")
        news.doRead()
        place = self.index("u0"), int(IPv4Address(THERE))
        self.assertEqual([(*place, address) for address in (MAC, OTHER, NO_MAC)], neighbours[:3])
        self.assertEqual({NO_MAC}, {address for _, _, address in neighbours[3:]} | {NO_MAC})
        self.assertEqual([], told)

    def test_of_an_ipsec_policy(self) -> None:
        reactor, told = FakeReactor(), []
        news = self.call(lambda: News(reactor, lambda: told.append(1), ipsec=True))  # type: ignore[arg-type]
        self.addCleanup(news.close)
        self.ip("xfrm policy add src 0.0.0.0/0 dst 203.0.113.0/24 dir out action block")
        news.doRead()
        self.assertEqual([1], told)

    def test_that_too_much_was_said(self) -> None:
        reactor, told = FakeReactor(), []
        news = self.call(lambda: News(reactor, lambda: told.append(1)))  # type: ignore[arg-type]
        self.addCleanup(news.close)
        news._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

        def much() -> None:
            with self.route() as route:
                for number in range(100):
                    route.neigh(
                        "add",
                        dst=f"10.9.0.{100 + number}",
                        lladdr=MAC.hex(":"),
                        ifindex=self.index_here("u0"),
                    )

        self.call(much)
        news.doRead()
        self.assertEqual([1], told)

    @staticmethod
    def index_here(name: str) -> int:
        return socket.if_nametoindex(name)
