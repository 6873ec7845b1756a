"""Minutes of a stream through whole nodes: nothing is lost, and memory stays flat.  `make soak` runs it.

MCMW_SOAK_SECONDS makes it shorter or longer than five minutes; MCMW_SIEGE_SECONDS the one under attack, which
takes ten.
"""

import os
import random
import statistics
import time
from typing import Any

import pytest

from multicastmw.cli.lab import Host
from tests.netns.kit import (
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sender,
    cpu_seconds,
    let_pass,
    route_of,
    rss,
)
from tests.netns.test_strangers import SOURCES, Attacker

GROUP = "239.1.1.1"
S = "10.88.0.1"
SECONDS = float(os.environ.get("MCMW_SOAK_SECONDS", "300"))
RATE = 500  # packets of 1,316 bytes a second: 5.3 Mbit/s of video
WARM_UP = min(30.0, SECONDS / 4)  # until caches are full: verdicts, streams, the allocator's arenas
EVERY = 5.0
GROWTH_MAX = 1 << 20  # bytes between the smallest and the largest sample, and by the line through all
LATE_GROWTH_MAX = 256 << 10  # bytes in the second half
SIEGE_SECONDS = float(os.environ.get("MCMW_SIEGE_SECONDS", "600"))
SIEGE_WARM_UP = 40.0  # seconds: the first ten thousand callers
SIEGE_GROWTH_MAX = 2 << 20  # bytes, of the besieged node; the others' are the same as without
LATE = 60.0  # seconds that the last packet may take on a busy machine


class Daemon:
    """A node's process: its resident memory and its use of a core, sampled."""

    def __init__(self, host: Host) -> None:
        assert host.node is not None
        self.host = host
        self.samples: list[int] = []
        self._pid = host.node.pid
        self._at: list[float] = []
        self._used: list[float] = []

    def sample(self) -> None:
        self._at.append(time.monotonic())
        self._used.append(cpu_seconds(self._pid))
        self.samples.append(rss(self._pid))

    @property
    def spread(self) -> int:
        """Bytes between the smallest and the largest sample."""
        return max(self.samples) - min(self.samples)

    @property
    def growth(self) -> float:
        """Bytes from the first to the last sample, on the straight line that fits all of them best."""
        if len(self.samples) < 2:
            return 0.0
        slope = statistics.linear_regression(self._at, self.samples).slope
        return slope * (self._at[-1] - self._at[0])

    @property
    def late_growth(self) -> int:
        """Bytes from the middle to the end: what a start-up takes is there by then, a leak goes on."""
        return self.samples[-1] - self.samples[len(self.samples) // 2]

    @property
    def load(self) -> float:
        """Per cent of a core."""
        watched = self._at[-1] - self._at[0]
        return 100 * (self._used[-1] - self._used[0]) / watched if watched else 0.0


@pytest.mark.slow
class SoakTests(NetnsTestCase):
    """a sends for minutes; b receives and passes it on to c and d, which receive it too."""

    def test_minutes_of_a_stream_lose_nothing_and_memory_stays_flat(self) -> None:
        tree = Figure4(self)
        receivers = {host.name: Receiver(host, GROUP) for host in (tree.b, tree.c, tree.d)}
        tree.await_demand(GROUP, "cd")
        count = round(SECONDS * RATE)
        sender = Sender(tree.a, GROUP, count=count, rate=RATE)
        let_pass(WARM_UP)
        daemons = self.watch(tree, sender)

        self.assertEqual(count, sender.await_state(lambda s: s["done"] and s["sent"], "all sent", LATE))
        took = sender.state["ended"] - sender.state["began"]
        self.measured("packets, bytes each, seconds, packets a second", (count, 1316, took, count / took))
        for name, ttl in (("b", TTL - 1), ("c", TTL - 2), ("d", TTL - 2)):
            report = receivers[name].await_last(GROUP, S, count - 1, LATE)
            self.measured(
                f"{name}: received, missing, duplicates, disordered, damaged, longest gap (ms)",
                (*(report[key] for key in ("received", "missing", "duplicates", "disordered", "damaged")),
                 round(report["gap"] * 1e3, 1)),
            )  # fmt: skip
            self.assert_perfect(report, count, ttl)
        for name in "bcd":
            (stream,) = route_of(tree.lab.host(name).status(), GROUP)["streams"]
            self.assertEqual((count, 0, 0), (stream["received"], stream["lost"], stream["duplicates"]), name)
        self.assertEqual(0, sender.state["errors"])
        for daemon in daemons:
            self.judge(daemon)

    def watch(self, tree: Figure4, sender: Sender) -> list[Daemon]:
        """Samples until the sender has sent all.  Nobody asks the nodes for their status meanwhile: the first
        thousand answers make the heap larger, once, which is not the stream's doing."""
        daemons = [Daemon(host) for host in tree.hosts]
        limit = time.monotonic() + SECONDS + LATE
        while not sender.state["done"]:
            self.assertLess(time.monotonic(), limit, "the sender does not come to an end")
            for daemon in daemons:
                daemon.sample()
            let_pass(EVERY)
        return daemons

    def judge(self, daemon: Daemon) -> None:
        """Is its memory flat?"""
        samples = daemon.samples
        kib = [size >> 10 for size in (samples[0], min(samples), max(samples), samples[-1])]
        self.measured(f"node {daemon.host.name}: RSS first, least, most, last (KiB)", kib)
        self.measured(
            f"node {daemon.host.name}: growth by the line, in the second half (KiB); samples; % of a core",
            (round(daemon.growth / 1024, 1), daemon.late_growth >> 10, len(samples), round(daemon.load, 1)),
        )
        self.assertLess(daemon.spread, GROWTH_MAX, f"node {daemon.host.name}: {samples}")
        self.assertLess(daemon.growth, GROWTH_MAX, f"node {daemon.host.name}: {samples}")
        self.assertLess(daemon.late_growth, LATE_GROWTH_MAX, f"node {daemon.host.name}: {samples}")


def places_of_loss(host: Host) -> dict[str, int]:
    """What a host knows of packets that its node, or the kernel at its sockets, did not take or lacks."""
    status: dict[str, Any] = host.status()
    found = {"TAP": status["tap"]["kernel_drops"]}
    for peer in status["peers"]:
        name = peer["name"]
        found |= {f"{name} {what}": peer[what] for what in ("queue_drops", "kernel_drops")}
        found |= {f"{name} {what}": peer["counters"][what] for what in ("socket_full", "send_errors")}
    for route in status["routes"]:
        found[f"stream {route['group']}"] = sum(stream["lost"] for stream in route["streams"])
    errors = host.run(["nstat", "-asz", "UdpRcvbufErrors", "UdpInErrors", "UdpSndbufErrors"]).stdout
    found |= {line.split()[0]: int(line.split()[1]) for line in errors.splitlines() if line[0] != "#"}
    return {what: count for what, count in found.items() if count}


@pytest.mark.slow
class SiegeTests(NetnsTestCase):
    """The same while strangers do what they can to b's ports: 10,000 connections again and again, of which
    half talk garbage, and garbage on the data port."""

    def setUp(self) -> None:
        self.random = random.Random(8)
        self.tree = Figure4(self, others="e")
        self.stranger = self.tree.lab.host("e")
        self.stranger.ip(*(f"address add {address}/32 dev lo" for address in SOURCES))
        self.tree.lab.internet.ip(f"route add 10.98.0.0/24 via {self.stranger.address}")
        self.attackers: list[Attacker] = []
        self.callers = self.garbage = 0

    def test_a_stream_under_siege_loses_nothing_and_memory_stays_flat(self) -> None:
        receivers = {h.name: Receiver(h, GROUP) for h in (self.tree.b, self.tree.c, self.tree.d)}
        self.tree.await_demand(GROUP, "cd")
        count = round(SIEGE_SECONDS * RATE)
        sender = Sender(self.tree.a, GROUP, count=count, rate=RATE)
        daemons = [Daemon(host) for host in self.tree.hosts]
        begun = time.monotonic()
        warm = min(SIEGE_WARM_UP, SIEGE_SECONDS / 2)
        while not sender.state["done"]:
            self.assertLess(time.monotonic() - begun, SIEGE_SECONDS + 2 * LATE, "no end")
            self.besiege()
            if time.monotonic() - begun > warm:
                for daemon in daemons:
                    daemon.sample()
            let_pass(EVERY)
        for attacker in self.attackers:
            self.count(attacker)
        counters = self.tree.b.status()["counters"]
        self.measured("connections, garbage datagrams", (self.callers, self.garbage))
        doors = [counters[name] for name in ("turned_away", "links_refused", "datagrams_dropped")]
        self.measured("b: turned away, refused, datagrams dropped", doors)
        for host in self.tree.hosts:
            self.measured(f"{host.name}: where packets may have been lost", places_of_loss(host))
        for name, ttl in (("b", TTL - 1), ("c", TTL - 2), ("d", TTL - 2)):
            report = receivers[name].await_last(GROUP, S, count - 1, LATE)
            self.measured(f"{name}: received of {count}, longest gap (ms)",
                          (report["received"], round(report["gap"] * 1e3, 1)))  # fmt: skip
            self.assert_perfect(report, count, ttl)
        for daemon in daemons:
            kib = [size >> 10 for size in (daemon.samples[0], min(daemon.samples), max(daemon.samples))]
            self.measured(
                f"node {daemon.host.name}: RSS first, least, most (KiB); in the second half; % of a core",
                (kib, daemon.late_growth >> 10, round(daemon.load, 1)),
            )
            self.assertLess(daemon.spread, SIEGE_GROWTH_MAX, daemon.host.name)
        for peer in self.tree.b.status()["peers"]:
            if peer["name"] in "acd":
                self.assertEqual(("udp", 0), (peer["data"], peer["falls"]), peer["name"])

    def besiege(self) -> None:
        """Two callers and a talker at a time; who is done is followed by another."""
        for attacker in [a for a in self.attackers if a.state["done"]]:
            self.count(attacker)
            self.attackers.remove(attacker)
            attacker.stop()
        kinds = {attacker.kind for attacker in self.attackers}
        says = self.random.randbytes(300).hex()
        pieces = [self.random.randbytes(self.random.randrange(1, 1400)).hex() for _ in range(100)]
        if "silent" not in kinds:
            self.begin("silent", "connect", count=5_000, sources=SOURCES, seconds=60)
        if "garbage" not in kinds:
            self.begin("garbage", "connect", count=5_000, sources=SOURCES, says=says, seconds=60)
        if "datagrams" not in kinds:
            self.begin("datagrams", "datagrams", count=20_000, pieces=pieces)

    def begin(self, kind: str, how: str, **told: object) -> None:
        attacker = Attacker(self.stranger, self.tree.b, how, **told)
        attacker.kind = kind
        self.attackers.append(attacker)

    def count(self, attacker: Attacker) -> None:
        self.callers += attacker.state["opened"]
        self.garbage += attacker.state["sent"] if attacker.kind == "datagrams" else 0
