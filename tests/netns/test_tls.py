"""The paper's figure 4 over TLS, with the keys that `mcmw keys` makes."""

import sys
from pathlib import Path
from shutil import rmtree
from subprocess import run
from tempfile import mkdtemp

from multicastmw.cli.lab import wait_until
from tests.netns.kit import (
    PATIENCE,
    PORT,
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sender,
    await_linked,
    await_wanted,
    node_ini,
    node_log,
    peer_of,
    route_of,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"
PACKETS = 600


class TlsTests(NetnsTestCase):
    """Four nodes that trust one authority."""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp(prefix="mcmw-keys-"))
        self.addCleanup(rmtree, self.folder)
        self.keys("authority")
        self.keys("node", "a", "b", "c", "d")

    def keys(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "multicastmw.cli.main", "keys", *arguments, "--in", str(self.folder)]
        done = run(command, capture_output=True, text=True, check=False)
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def tls(self, name: str, **more: str) -> dict[str, dict[str, object]]:
        return {
            "tls": {
                "certificate": self.folder / f"{name}.pem",
                "private-key": self.folder / f"{name}.key",
                "authorities": self.folder / "authority.pem",
                **more,
            }
        }

    def test_all_three_have_every_packet_once_and_in_order_over_tcp(self) -> None:
        # The UDP port is configured, as by default, and not used.
        self.deliver("tcp", {})

    def test_with_udp_in_clear_they_have_it_over_udp(self) -> None:
        self.deliver("udp", {"udp-in-clear": "yes"})

    def deliver(self, data: str, more: dict[str, str]) -> None:
        tree = Tree(self, data, {name: self.tls(name, **more) for name in "abcd"})
        receivers = {host.name: Receiver(host, GROUP) for host in (tree.b, tree.c, tree.d)}
        tree.await_demand(GROUP, "cd")
        sender = Sender(tree.a, GROUP, count=PACKETS, rate=500)
        for name, ttl in (("b", TTL - 1), ("c", TTL - 2), ("d", TTL - 2)):
            report = receivers[name].await_last(GROUP, S, PACKETS - 1)
            self.assert_perfect(report, PACKETS, ttl)
        self.assertEqual(PACKETS, sender.finish())
        status = tree.b.status()
        self.assertEqual({data}, {peer["data"] for peer in status["peers"]})
        to_c = peer_of(status, "c")["counters"]
        self.assertEqual((PACKETS, PACKETS if data == "tcp" else 0), (to_c["sent"], to_c["sent_tcp"]))
        (stream,) = route_of(status, GROUP)["streams"]
        self.assertEqual(("a", PACKETS, 0), (stream["node"], stream["received"], stream["lost"]))
        self.assertEqual(PORT if data == "udp" else None, status["node"]["data_port"])
        self.measured(f"packets over TLS with data on {data}", PACKETS)

    def test_renewed_certificates_are_taken_without_a_restart_and_the_stream_goes_on(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        quick: dict[str, dict[str, object]] = {"listen": {"keepalive-timeout": 1}}
        for host, dials in ((b, []), (a, [b])):
            host.start_node(node_ini(host, dials, self.tls(host.name) | quick), ready=None)
        before = peer_of(await_linked(a, "b", "tcp"), "b")
        receiver = Receiver(b, GROUP)
        await_wanted(a, "b", GROUP)
        sender = Sender(a, GROUP, rate=200)
        receiver.await_last(GROUP, S, 100)
        self.keys("node", "a", "b", "--renew")
        self.assertEqual([], [line for line in node_log(b).splitlines() if "renewed" in line])
        lab.internet.black_hole("a", "b")
        for host, peer in ((a, "b"), (b, "a")):
            host.await_status(lambda s, peer=peer: not is_up(s, peer), PATIENCE, f"{peer} is down")
        lab.internet.heal()
        after = peer_of(await_linked(a, "b", "tcp"), "b")
        await_linked(b, "a", "tcp")
        self.assertEqual(before["id"], after["id"])
        for host in (a, b):
            line = f"[tls] {self.folder / f'{host.name}.pem'} was renewed and is in use, until "
            self.assertEqual(1, node_log(host).count(line))
        sent = sender.state["sent"]
        report = receiver.await_last(GROUP, S, sent + 200)
        self.assertEqual(
            (0, 0, 0), (report["duplicates"], report["disordered"], report["damaged"])
        )  # what is missing was sent while nothing went through
        self.measured(
            "silence at the receiver while the link was cut and made again, s", round(report["gap"], 2)
        )

    def test_who_has_no_tls_is_told_so_and_kept_out(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        b.start_node(node_ini(b, sections=self.tls("b")), ready=None)
        a.start_node(node_ini(a, [b]), ready=None)
        why = "closed by the peer: TLS is required"
        a.await_status(lambda s: peer_of(s, "b")["why"] == why, PATIENCE, why)
        line = f"closed the connection from {a.address}: TLS: it does not speak TLS"
        wait_until(lambda: line in node_log(b), PATIENCE, "the event")
        self.assertEqual([], b.status()["peers"])


def is_up(status: dict, name: str) -> bool:
    return any(peer["name"] == name and peer["state"] == "up" for peer in status["peers"])


class Tree(Figure4):
    """Data may be on TCP though a UDP port is configured."""

    def __init__(self, test: NetnsTestCase, data: str, on: dict) -> None:
        self.data = data
        super().__init__(test, on=on)

    def await_links(self) -> None:
        for host in self.hosts:
            await_linked(host, "acd" if host is self.b else "b", self.data)
