"""Real traffic through three hosts' programs, their maps filled by hand: nodes are not asked.

a --- b --- c      a's program sends; b relays and has a receiver of its own; c and d receive
      +---- d
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from multicastmw.cli.lab import Host, wait_until
from tests.net.bpf.bed import why_no_bed
from tests.netns.kit import DEVICE, HERE, PATIENCE, NetnsTestCase, Program, Receiver, Sender, why_not

GROUP = "239.1.1.1"
TOKEN = 0x7000_0000_0000_0000


def token(owner: Host, of: Host) -> int:
    """What `of` must put into datagrams to `owner`."""
    return TOKEN + owner.index * 256 + PEERS_OF[owner.name].index(of.name)


PEERS_OF = {"a": "b", "b": "acd", "c": "b", "d": "b"}


def with_packages(script: str, told: Mapping[str, Any]) -> list[str]:
    return [sys.executable, str(HERE / script), json.dumps(told)]


class FastHost(Program):
    """The driver on a host (fastnode.py)."""

    command = staticmethod(with_packages)

    def __init__(self, host: Host, hosts: dict[str, Host], routes: list[dict[str, Any]], **more: Any) -> None:
        peers = [hosts[name] for name in PEERS_OF[host.name]]
        told = {
            "address": f"10.88.0.{host.index}/24",
            "uplink": "u0", "local": host.address, "gateway": f"10.99.{host.index}.1",
            "token": TOKEN + host.index * 256,
            "peers": [{"address": p.address, "token": token(p, host)} for p in peers],
            "routes": routes, **more,
        }  # fmt: skip
        super().__init__(host, "fastnode.py", told)

    def await_start(self) -> None:
        """Is said by who wants it: several start at once."""

    def await_ready(self) -> "FastHost":
        self.await_state(lambda state: state["ready"], "its start")
        return self


@pytest.mark.alone
class Case(NetnsTestCase):
    skip = why_not() or why_no_bed()

    def figure4(self, groups: Iterable[str] = (GROUP,), **more: Any) -> dict[str, FastHost]:
        self.lab = self.make_lab("abcd")
        self.hosts = {name: self.lab.host(name) for name in "abcd"}
        self.groups = list(groups)
        self.more = more
        for host in self.hosts.values():
            meet(host, self.hosts["a" if host.name == "b" else "b"])
        begun = {name: self.begin(name) for name in "abcd"}
        return {name: node.await_ready() for name, node in begun.items()}

    def start(self, name: str) -> FastHost:
        return self.begin(name).await_ready()

    def begin(self, name: str) -> FastHost:
        """Everybody sends, and everybody wants it: b's peers are a, c, d."""
        host = self.hosts[name]
        sources = [f"10.88.0.{h.index}" for h in self.hosts.values()]
        routes = [
            {"group": group, "source": source, "peers": list(range(len(PEERS_OF[name]))), "local": True}
            for group in self.groups for source in sources
        ]  # fmt: skip
        return FastHost(host, self.hosts, routes, **self.more)

    def carries(self, count: int = 300, size: int = 1316, rate: float = 500) -> None:
        """Every packet once, in order, undamaged, with the right TTL, at b, c and d."""
        receivers = {name: Receiver(self.hosts[name], GROUP) for name in "bcd"}
        sender = Sender(self.hosts["a"], GROUP, count=count, size=size, rate=rate)
        sender.finish()
        for name, receiver in receivers.items():
            report = receiver.await_last(GROUP, sender.source, count - 1)
            self.assert_perfect(report, count, ttl=15 if name == "b" else 14)
        for program in (*receivers.values(), sender):
            program.stop()

    def offload(self, on: bool) -> None:
        """`ethtool -K DEVICE tx on|off` on every uplink and in the middle of the internet."""
        for host in self.hosts.values():
            for where, device in ((host, "u0"), (self.lab.internet, f"to-{host.name}")):
                set_tx_checksum(where, device, on)


ANSWERED = """
import socket, sys
asker = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
asker.settimeout(10)
print(asker.connect_ex((sys.argv[1], 9)))
"""


def meet(one: Host, other: Host) -> None:
    """Neighbours on the way know each other, as they do where a link is up: even a refusal comes back."""
    done = one.run([sys.executable, "-ISc", ANSWERED, other.address])
    assert done.stdout.strip() == "111", done.stdout + done.stderr  # ECONNREFUSED


TX_CHECKSUM = """
import ctypes, fcntl, socket, struct, sys
value = ctypes.create_string_buffer(struct.pack("=II", 0x17, int(sys.argv[2])))
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(asker, 0x8946, struct.pack("=16sQ16x", sys.argv[1].encode(), ctypes.addressof(value)))
"""


def set_tx_checksum(where: Any, device: str, on: bool) -> None:
    done = where.run([sys.executable, "-ISc", TX_CHECKSUM, device, str(int(on))])
    if done.returncode:
        raise AssertionError(done.stderr)


class Streams(Case):
    def test_every_packet_arrives_once_in_order_with_and_without_offload(self) -> None:
        nodes = self.figure4()
        for on in (True, False):
            self.offload(on)
            self.carries()
            self.carries(count=50, size=31, rate=1000)
        relay = nodes["b"].stop()
        self.assertEqual(
            {"DELIVERED": 700}, {key: n for key, n in relay["reasons"].items() if not key.startswith("USER")}
        )
        self.assertEqual([[0, 0], [700, relay["sent"][1][1]], [700, relay["sent"][2][1]]], relay["sent"])
        self.assertEqual(700, relay["received"][0][0])
        sender = nodes["a"].stop()
        self.assertEqual(700, sender["reasons"]["FROM_TAP"])
        self.assertEqual(sender["sent"][0], relay["received"][0], "packets and bytes: what went out came in")

    def test_by_a_next_hop_and_by_a_mac(self) -> None:
        for mode in ("gateway", "mac"):
            self.figure4(mode=mode)
            self.carries()

    def test_by_clsact(self) -> None:
        nodes = self.figure4(way="clsact")
        self.assertEqual(["clsact", "clsact"], nodes["b"].state["ways"])
        self.carries()

    def test_everybody_sends_at_once(self) -> None:
        self.figure4()
        receivers = {name: Receiver(host, GROUP) for name, host in self.hosts.items()}
        senders = {name: Sender(self.hosts[name], GROUP, count=200, rate=200) for name in "abcd"}
        for name, receiver in receivers.items():
            for other, sender in senders.items():
                report = receiver.await_last(GROUP, sender.source, 199)
                hops = 0 if name == other else 1 if "b" in (name, other) else 2
                self.assert_perfect(report, 200, ttl=16 - hops)

    def test_full_datagrams_and_fragments(self) -> None:
        """1,412 fills a datagram; what is longer the sender's own kernel cuts, and the receivers' join."""
        self.figure4()
        for size in (1412 - 28, 1412 - 27, 4000):
            self.carries(count=50, size=size, rate=100)


class Faults(Case):
    def test_when_its_holder_is_killed_the_programs_are_gone_at_once(self) -> None:
        nodes = self.figure4()
        self.carries(count=20)
        receiver = Receiver(self.hosts["c"], GROUP)
        sender = Sender(self.hosts["a"], GROUP, rate=500)
        receiver.await_last(GROUP, sender.source, 50)
        nodes["b"].process.kill()
        killed = time.monotonic()
        sender.await_sent(sender.state["sent"] + 500)
        last = receiver.state["streams"][f"{GROUP} {sender.source}"]["last_at"]
        self.measured("last packet after SIGKILL", f"{(last - killed) * 1000:.1f} ms")
        self.assertLess(last - killed, 1)
        again = self.start("b")
        seen = sender.state["sent"]
        receiver.await_last(GROUP, sender.source, seen)
        self.assertNotIn("FAILED", again.state["reasons"])

    def test_a_filter_that_outlives_its_holder_stops_by_itself_and_the_next_start_removes_it(self) -> None:
        nodes = self.figure4(way="clsact")
        receiver = Receiver(self.hosts["c"], GROUP)
        sender = Sender(self.hosts["a"], GROUP, rate=500)
        receiver.await_last(GROUP, sender.source, 50)
        nodes["b"].process.kill()
        killed = time.monotonic()
        wait_until(
            lambda: time.monotonic() - receiver.report(GROUP, sender.source)["last_at"] > 1,
            PATIENCE,
            "silence",
        )
        self.assertLess(receiver.report(GROUP, sender.source)["last_at"] - killed, 4)
        self.start("b")
        receiver.await_last(GROUP, sender.source, sender.state["sent"])
        tc = self.hosts["b"].run(["tc", "filter", "show", "dev", "u0", "ingress"]).stdout
        self.assertEqual(1, tc.count(f"mcmw:{DEVICE}"), tc)

    def test_when_its_holder_hangs_forwarding_stops_by_itself(self) -> None:
        nodes = self.figure4()
        receiver = Receiver(self.hosts["c"], GROUP)
        sender = Sender(self.hosts["a"], GROUP, rate=500)
        receiver.await_last(GROUP, sender.source, 50)
        os.kill(nodes["b"].process.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            self.assertTrue(
                wait_until(
                    lambda: time.monotonic() - receiver.report(GROUP, sender.source)["last_at"] > 1,
                    PATIENCE, "silence",
                )
            )  # fmt: skip
            last = receiver.report(GROUP, sender.source)["last_at"]
            self.measured("last packet after SIGSTOP", f"{last - stopped:.2f} s")
            self.assertLess(last - stopped, 4)
            self.assertGreater(last - stopped, 1)
        finally:
            os.kill(nodes["b"].process.pid, signal.SIGCONT)
        receiver.await_last(GROUP, sender.source, sender.state["sent"])
