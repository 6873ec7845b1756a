"""The ways to peers, asked of a real kernel in a namespace of its own."""

import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath.peers import Uplink
from multicastmw.net import netlink
from multicastmw.net.uplinks import News, Uplinks
from tests.net.namespace import Namespace, why_not

HERE, THERE = "10.9.0.1", "10.9.0.2"


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
        found: Uplink | str = self.call(self.uplinks.find, local, remote)
        return found

    def index(self, name: str) -> int:
        found: int = self.call(socket.if_nametoindex, name)
        return found


class Finding(Case):
    def test_the_device_and_its_mtu(self) -> None:
        self.assertEqual(Uplink(self.index("u0"), 1500), self.find())

        def shrink() -> None:
            with self.route() as route:
                route.link("set", index=socket.if_nametoindex("u0"), mtu=1400)

        self.call(shrink)
        self.assertEqual(Uplink(self.index("u0"), 1400), self.find())

    def test_a_route_that_is_more_special(self) -> None:
        def detour() -> None:
            with self.route() as route:
                route.route("add", dst=f"{THERE}/32", oif=socket.if_nametoindex("u1"))

        self.call(detour)
        self.assertEqual(Uplink(self.index("u1"), 1500), self.find())

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
