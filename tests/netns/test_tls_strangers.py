"""Handshakes that lead to nothing, as fast as they go: the stream goes on, and a node of ours gets in."""

import json
import time
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from multicastmw.cli.keys import make_authority, make_node
from multicastmw.net.pace import A_SECOND, AT_ONCE
from tests.net.test_tls import client_hello
from tests.netns.kit import (
    PATIENCE,
    PORT,
    TTL,
    NetnsTestCase,
    Receiver,
    Sender,
    await_linked,
    await_wanted,
    cpu_seconds,
    let_pass,
    node_ini,
    python,
    rss,
)

GROUP, S, RATE = "239.1.1.1", "10.88.0.1", 500
SECONDS = 6
CALLERS = 32


@pytest.mark.alone
class HandshakeFloodTests(NetnsTestCase):
    """a sends to b; c is a node that comes late; e calls b, and never ends a handshake."""

    def setUp(self) -> None:
        folder = Path(mkdtemp(prefix="mcmw-keys-"))
        self.addCleanup(rmtree, folder)
        make_authority(folder)
        make_node(folder, "abc")
        self.a, self.b, self.c, self.e = hosts = self.make_lab("abce").hosts
        self.inis = {}
        for host in hosts[:3]:
            name = host.name
            files = {
                "certificate": f"{name}.pem",
                "private-key": f"{name}.key",
                "authorities": "authority.pem",
            }
            tls = {"tls": {what: folder / file for what, file in files.items()}}
            self.inis[name] = node_ini(host, () if host is self.b else (self.b,), tls)
        for host in (self.a, self.b):
            host.start_node(self.inis[host.name], ready=None)
        await_linked(self.a, "b", "tcp")

    def test_the_stream_goes_on_and_a_node_of_ours_gets_in(self) -> None:
        receiver = Receiver(self.b, GROUP)
        await_wanted(self.a, "b", GROUP)
        sender = Sender(self.a, GROUP, rate=RATE)
        receiver.await_last(GROUP, S, RATE)
        pid = self.b.status()["node"]["pid"]
        before, memory, began = cpu_seconds(pid), rss(pid), time.monotonic()
        let_pass(2)
        quiet = (cpu_seconds(pid) - before) / (time.monotonic() - began)
        told = {"address": self.b.address, "port": PORT, "hello": client_hello().hex(), "callers": CALLERS}
        before, began = cpu_seconds(pid), time.monotonic()
        flood = self.e.spawn(python("tls_flood.py", told | {"seconds": SECONDS}), log="flood")
        self.c.start_node(self.inis["c"], ready=None)
        await_linked(self.c, "b", "tcp")
        in_time = flood.poll() is None
        self.assertEqual(0, flood.wait(SECONDS + PATIENCE))
        took = time.monotonic() - began
        busy = (cpu_seconds(pid) - before) / took
        said = json.loads(flood.read_output())
        sent = sender.stop()["sent"]
        report = receiver.await_last(GROUP, S, sent - 1)
        self.assert_perfect(report, sent, TTL - 1)
        self.assertTrue(in_time, "c was let in only when the flood was over")
        self.assertLess(said["answered"], AT_ONCE + A_SECOND * (took + 1))
        self.measured(
            "calls and answers a second", [round(said[what] / took) for what in ("calls", "answered")]
        )
        self.measured("b's share of a core without and with them", [round(quiet, 2), round(busy, 2)])
        self.measured("the longest silence in the stream, ms", round(report["gap"] * 1e3))
        self.measured("b grew by, KiB", (rss(pid) - memory) >> 10)
