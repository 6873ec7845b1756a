"""A link that is too narrow for its stream, with data on TCP: old data are dropped, and control gets through.

The kernel's token bucket makes it narrow.  In plain and inside TLS, in turns.
"""

import time
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from multicastmw.cli.keys import make_authority, make_node
from multicastmw.cli.lab import Host, wait_until
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    NetnsTestCase,
    Receiver,
    Sections,
    Sender,
    await_linked,
    await_wanted,
    let_pass,
    node_ini,
    peer_of,
    wanters,
)

GROUP, OTHER = "239.1.1.1", "239.1.1.2"
NARROW = 2_000_000  # bits a second
RATE = 400  # packets of 1,316 bytes a second: 4.4 Mbit/s
PLAIN: Sections = {"listen": {"udp-port": ""}}
# It takes 0.2 s: 16 KiB in the kernel, as much and a record in the process, 50 ms in the bucket, what flies.
CONTROL_WITHIN = 3.0


@pytest.mark.alone
class PressureTests(NetnsTestCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp(prefix="mcmw-keys-"))
        self.addCleanup(rmtree, self.folder)
        make_authority(self.folder)
        make_node(self.folder, "ab")

    def tls(self, name: str) -> Sections:
        files = {"certificate": f"{name}.pem", "private-key": f"{name}.key", "authorities": "authority.pem"}
        return {"tls": {key: self.folder / file for key, file in files.items()}}

    def narrow(self, host: Host) -> None:
        command = f"tc qdisc replace dev u0 root tbf rate {NARROW} burst 8kb latency 50ms"
        done = host.run(command.split())
        if done.returncode:
            self.skipTest(f"this kernel has no token bucket: {done.stderr.strip()}")

    def test_control_is_not_behind_data_for_long_and_old_data_are_dropped(self) -> None:
        for way in ("plain", "TLS"):
            self.press(way, {name: self.tls(name) if way == "TLS" else PLAIN for name in "ab"})

    def press(self, way: str, sections: dict[str, Sections]) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        b.start_node(node_ini(b, sections=sections["b"]), ready=None)
        a.start_node(node_ini(a, [b], sections["a"]), ready=None)
        await_linked(a, "b", "tcp")
        Receiver(b, GROUP)
        await_wanted(a, "b", GROUP)
        self.narrow(a)
        sender = Sender(a, GROUP, rate=RATE)
        a.await_status(lambda s: peer_of(s, "b")["queue_drops"] > RATE, PATIENCE, "drops")
        took = []
        for number in range(5):
            group = f"239.2.0.{number}"
            Receiver(a, group)
            await_wanted(a, {DEVICE}, group)
            joined = time.monotonic()
            wait_until(lambda group=group: "a" in wanters(b.status(), group), PATIENCE, "b knows")
            took.append(time.monotonic() - joined)
            self.assertGreater(peer_of(a.status(), "b")["queue"], 0)
        self.measured(f"{way}: Add Route behind data, s", " ".join(f"{each:.2f}" for each in took))
        self.assertLess(max(took), CONTROL_WITHIN)
        before, at = peer_of(b.status(), "a")["counters"]["received"], time.monotonic()
        let_pass(2)
        rate = (peer_of(b.status(), "a")["counters"]["received"] - before) / (time.monotonic() - at)
        self.measured(f"{way}: packets/s that come through", round(rate))
        sender.stop()
        lab.__exit__(None, None, None)
