"""`mcmw doctor` beside whole nodes, each time with one thing really wrong."""

import json
import socket
import struct
from typing import Any

from multicastmw.cli.doctor.command import SICK
from multicastmw.cli.lab import Host, wait_until
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sender,
    await_wanted,
    inside,
    mcmw,
    why_not,
)

GROUP = "239.1.1.1"
FOREIGN = "198.51.100.7"


class Doctor(NetnsTestCase):
    skip = why_not()

    def setUp(self) -> None:
        self.tree = Figure4(self)

    def bad(self, host: Host) -> dict[str, dict[str, Any]]:
        """The checks that are not ok; the exit code fits them."""
        code, out, err = mcmw(host, "doctor", "--json")
        self.assertEqual("", err)
        checks = json.loads(out)["checks"]
        found = {check["id"]: check for check in checks if check["status"] != "ok"}
        self.assertEqual(SICK if any(c["status"] == "fail" for c in found.values()) else 0, code, out)
        return found

    def test_where_nothing_is_wrong_nothing_is_found(self) -> None:
        Receiver(self.tree.c, GROUP)
        Receiver(self.tree.d, GROUP)
        self.tree.await_demand(GROUP, "cd", here=False)
        Sender(self.tree.a, GROUP, count=50).finish()
        for host in self.tree.hosts:
            self.assertEqual({}, self.bad(host), host.name)
        code, out, err = mcmw(self.tree.b, "doctor")
        self.assertEqual((0, "16 of 16 checks found nothing wrong\n", ""), (code, out, err))

    def test_a_firewall_that_drops_igmp_on_its_way_out_and_in(self) -> None:
        host = self.tree.c
        host.run(["nft", "add table inet wall"])
        for chain, hook in (("out", "output"), ("in", "input")):
            host.run(["nft", f"add chain inet wall {chain} {{ type filter hook {hook} priority 0; }}"])
        for chain, words in (("out", "hears nothing"), ("in", "does not answer")):
            host.run(["nft", f"add rule inet wall {chain} ip protocol igmp drop"])
            found = self.bad(host)
            self.assertEqual(["firewall"], list(found))
            self.assertIn(words, found["firewall"]["what"])
            host.run(["nft", f"flush chain inet wall {chain}"])
        self.assertEqual({}, self.bad(host))

    def test_programs_on_the_wrong_interface(self) -> None:
        host = self.tree.c
        Sender(self.tree.c, GROUP, count=5).finish()
        with inside(host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
            index = socket.if_nametoindex("u0")
            request = struct.pack("=4s4si", socket.inet_aton(GROUP), bytes(4), index)
            program.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            found = self.bad(host)
        self.assertEqual(["wrong-interface"], list(found))
        self.assertIn(f"{GROUP} on u0, not on {DEVICE}", found["wrong-interface"]["what"])
        host.ip("route replace 224.0.0.0/4 dev u0")
        found = self.bad(host)
        self.assertIn("routes", found)
        host.ip(*[found["routes"]["mend"].partition(";")[0].removeprefix("ip ")])
        self.assertNotIn("routes", self.bad(host), "its own line has mended it")

    def test_a_ttl_of_1_and_a_filter_for_the_way_back(self) -> None:
        a, c = self.tree.a, self.tree.c
        receiver = Receiver(c, GROUP)
        await_wanted(a, {"b"}, GROUP)
        Sender(a, GROUP, count=20, ttl=1).finish()
        found = self.bad(a)
        self.assertEqual(["ttl"], list(found))
        self.assertIn("[tap] ttl-floor = 16", found["ttl"]["mend"])
        a.ip(f"address add {FOREIGN}/32 dev lo")
        sender = Sender(a, GROUP, source=FOREIGN)
        receiver.await_last(GROUP, FOREIGN, 10)
        self.assertNotIn("rp-filter", self.bad(c))
        c.sysctl({f"net.ipv4.conf.{DEVICE}.rp_filter": 1})
        found = self.bad(c)
        self.assertEqual(["rp-filter"], list(found))
        self.assertIn(FOREIGN, found["rp-filter"]["what"])
        before = receiver.report(GROUP, FOREIGN)["last"]
        c.run(found["rp-filter"]["mend"].split())
        receiver.await_last(GROUP, FOREIGN, before + 50)
        sender.stop()
        self.assertNotIn("rp-filter", self.bad(c))

    def test_a_peer_that_is_gone(self) -> None:
        self.tree.b.stop_node()
        wait_until(lambda: "peers" in self.bad(self.tree.c), PATIENCE, "c's word of it")
        found = self.bad(self.tree.c)
        self.assertEqual(["peers"], list(found))
        code, out, err = mcmw(self.tree.b, "doctor")
        self.assertEqual((1, ""), (code, out))
        self.assertIn("no node is running", err)
