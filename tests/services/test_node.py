"""A node's start: what it may have, and in which order it takes it."""

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from multicastmw.config import load
from multicastmw.core.link import Link, Phase
from multicastmw.net.clockwork import Clockwork
from multicastmw.services.node import NodeService

DEVICE = "mcmwnever0"


class FakeOutlet:
    """A connection that is only asked to end."""

    address = local_address = "192.0.2.1"

    def abort(self) -> None: ...
    def wake(self) -> None: ...


ASK = """
import resource, sys
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from multicastmw.core.room import LINKS_MAX
from multicastmw.services.node import links_allowed
print(links_allowed(LINKS_MAX), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


class Descriptors(SynchronousTestCase):
    """Asked in processes of their own, as a limit that is lowered stays low."""

    def asks(self, soft: int, hard: int) -> list[int]:
        done = subprocess.run(
            [sys.executable, "-c", ASK, str(soft), str(hard)], capture_output=True, text=True, check=True
        )
        return [int(word) for word in done.stdout.split()]

    def test_the_soft_limit_is_raised_to_the_hard_one(self) -> None:
        self.assertEqual(self.asks(64, 2_048), [924, 2_048])

    def test_fewer_descriptors_are_fewer_links(self) -> None:
        self.assertEqual(self.asks(256, 512)[0], 156)

    def test_many_are_no_more_links_than_the_bound(self) -> None:
        self.assertEqual(self.asks(1_024, 4_096)[0], 1_024)

    def test_very_few_are_still_some(self) -> None:
        self.assertEqual(self.asks(100, 100)[0], 4)


class FailedStarts(TestCase):
    """What another program may hold is taken first; the TAP, which programs see, when nothing can fail."""

    def setUp(self) -> None:
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def node(self) -> NodeService:
        path = Path(self.dir, "node.ini")
        path.write_text(
            f"[node]\nname = n\n[tap]\ndevice = {DEVICE}\n[listen]\n"
            f"endpoint = tcp:{self.port}:interface=127.0.0.1\nudp-port = {self.port}\n"
            f"[control]\nsocket = {self.dir}/s\n"
        )
        node = NodeService(load(str(path), "n"), reactor, random.Random(1))
        self.addCleanup(self.gives_back, node)
        return node

    def gives_back(self, node: NodeService) -> Any:
        """What a process that ends gives back by itself."""
        if node.data_port:
            node.data_port.close()
        node._netlink.close()
        ports = [getattr(service, "_port", None) for service in node.services]
        return DeferredList([port.stopListening() for port in ports if port])

    def fails(self, why: str) -> NodeService:
        node = self.node()
        error = self.assertRaises(SystemExit, node.privilegedStartService)
        self.assertIn(why, str(error))
        self.assertEqual(node.tap.why, "not opened yet")
        self.assertFalse(os.path.exists(f"/sys/class/net/{DEVICE}"))
        return node

    def test_a_port_for_links_that_is_anothers(self) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", self.port))
            other.listen()
            self.fails("mcmw: [listen] endpoint: ")

    def test_a_data_port_that_is_anothers(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("0.0.0.0", self.port))
            self.fails("mcmw: [listen] udp-port: ")

    def test_a_control_socket_that_is_anothers(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.bind(f"{self.dir}/s")
            other.listen()
            node = self.fails("mcmw: [control] socket: ")
            self.assertEqual(node.data_port._common, [])  # nor is anything behind it taken

    def test_a_mistake_in_a_links_turn_ends_that_link_alone(self) -> None:
        node, clock = self.node(), Clock()
        link, other = (Link(node.room, FakeOutlet(), None, 0.0) for _ in range(2))
        link.work = lambda steps, now: 1 // 0  # type: ignore[method-assign]
        other.work = lambda steps, now: done.append(steps) or 1  # type: ignore[method-assign,func-returns-value]
        done: list[int] = []
        for each in (link, other):
            node.room.turns.add(each)
        Clockwork(clock, node.room.turns).wind()
        clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((link.phase, other.phase), (Phase.LEAVING, Phase.OPENING))
        self.assertEqual((link.why, len(done)), ("a mistake of this node's own; its log has it", 1))

    def test_the_order_is_control_data_links_tap(self) -> None:
        kinds = [type(service).__name__ for service in self.node().services]
        self.assertEqual(kinds, [
            "ControlService", "WebService", "DataPortService", "ListeningService", "TapService",
            "FastPathService", "RecoveryService", "FecService", "SessionsService", "HealthService",
            "ProbingService", "CaptureService", "NotifyService",
        ])  # fmt: skip
