"""Programs of this host that have joined a group: what the kernel lists."""

import socket
import struct
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.net.listeners import users
from multicastmw.wire import ipv4

GROUP, OTHER = ipv4.number("239.255.255.255"), ipv4.number("224.2.127.254")


class Listing(SynchronousTestCase):
    def test_users_by_group_on_one_device(self) -> None:
        def listed(address: int) -> str:
            return f"{struct.unpack('=I', struct.pack('!I', address))[0]:08X}"

        text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"
        for name in ("eth0", "mcmw0", "a-long-name-15"):
            text += f"7\t{name:<10}:     2      V3\n"
            text += f"\t\t\t\t{listed(GROUP)} {len(name):5d} 0:00000000\t\t0\n"
            text += f"\t\t\t\t{listed(0xE0000001)}     1 0:00000000\t\t0\n"
        file = Path(self.mktemp())
        file.write_text(text)
        self.assertEqual({GROUP: 5}, users("mcmw0", {GROUP, OTHER}, str(file)))
        self.assertEqual({GROUP: 14}, users("a-long-name-15", {GROUP}, str(file)))
        self.assertEqual({}, users("wlan0", {GROUP}, str(file)))

    def test_of_a_host_that_has_no_such_file(self) -> None:
        self.assertEqual({}, users("mcmw0", {GROUP}, "/nowhere/igmp"))

    def test_this_hosts_own(self) -> None:
        """Two sockets on the loopback device count as two."""
        before = users("lo", {GROUP}).get(GROUP, 0)
        request = socket.inet_aton(ipv4.text(GROUP)) + socket.inet_aton("127.0.0.1")
        for count in (1, 2):
            member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(member.close)
            member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            self.assertEqual(before + count, users("lo", {GROUP})[GROUP])
