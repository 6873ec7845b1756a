"""The mesh's connections: what becomes of those that come to nothing."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import Mock

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.config import load
from multicastmw.core.events import Event, SeedUnreachable
from multicastmw.services.mesh import MeshService
from multicastmw.services.node import NodeService
from multicastmw.services.seeds import Target
from multicastmw.wire.mesh import BASE, About, Address, Sample

INI = """[node]
name = a
[overlay]
engine = mesh
[control]
socket = {folder}/s
"""


class Dials(SynchronousTestCase):
    def setUp(self) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "node.ini")
            path.write_text(INI.format(folder=folder))
            node = NodeService(load(str(path), "a"), Clock(), random.Random(1), str(path))
        self.addCleanup(node._netlink.close)
        assert node.mesh
        self.service: MeshService = node.mesh
        self.service.dial_reactor = self.net = MemoryReactorClock()
        self.service.running = True
        self.events: list[Event] = []
        self.service.node.tell = self.events.append

    def test_a_name_that_cannot_be_looked_up_is_a_seed_that_is_not_reached(self) -> None:
        for name in ("ex_a", "ab--cd.example.net"):
            self.events.clear()
            self.service.greet([Target(name, 4600)])
            (event,) = self.events
            self.assertIsInstance(event, SeedUnreachable)
            self.assertEqual({}, self.service._attempts)

    def test_where_somebody_else_is_by_now_nobody_is_dialled(self) -> None:
        dialled: list[str] = []
        self.patch(self.service, "_attempt", lambda host, port, over: dialled.append(host))
        mesh, places = self.service.mesh, (Address("192.0.2.1", 4600), Address("192.0.2.2", 4600))
        wire = Mock(address="192.0.2.1")
        mesh.neighbours[7] = Mock(node=7, wire=wire, sample=Sample(7, places[:1], 0, 13, 0))
        self.service.room.by_node[7] = Mock(local_address="192.0.2.9")
        renamed = Sample(1 << 48, (places[0], Address("192.0.2.9", 4600)), 0, 13, 0)
        mesh.contacts.reach(renamed, BASE, "neighbour", 0.0)
        self.assertEqual(([], False), (dialled, renamed.node in mesh.contacts._reaching))
        mesh.contacts.reach(Sample(2 << 48, places, 0, 13, 0), BASE, "neighbour", 0.0)
        self.assertEqual(["192.0.2.2"], dialled)

    def test_where_it_can_be_dialled_follows_a_reload(self) -> None:
        node, mesh, there = self.service.node, self.service.mesh, self.service.destination.addresses_at
        self.assertEqual((Address("192.0.2.9", 4600),), there("192.0.2.9"))
        for endpoint, addresses in (("tcp:4700", (Address("192.0.2.9", 4700),)), (None, ())):
            listen = replace(node.config.listen, endpoint=endpoint)
            node.config = replace(node.config, listen=listen)
            self.service.reconfigure()
            self.assertEqual(addresses, there("192.0.2.9"))
            self.assertEqual(endpoint is None, bool(mesh.sample().flags & About.NAT))

    def test_a_node_that_is_of_a_static_tree_by_now_keeps_the_link_that_it_has(self) -> None:
        dialled: list[str] = []
        self.patch(self.service, "_attempt", lambda host, port, over: dialled.append(host))
        changed = Sample(1 << 48, (Address("192.0.2.1", 4600),), 0, 13, 0)
        self.service.room.by_node[changed.node] = Mock(local_address="192.0.2.9", neighbour=None)
        contacts = self.service.mesh.contacts
        contacts.reach(changed, BASE, "neighbour", 0.0)
        self.assertEqual(([], False), (dialled, changed.node in contacts._reaching))

    def test_a_node_of_the_static_tree_is_not_waited_for_as_a_neighbour(self) -> None:
        static = Sample(1 << 48, (Address("192.0.2.1", 4600),), 0, 13, 0)
        ends: list[Callable[[Any, str], None]] = []
        self.patch(self.service, "_attempt", lambda host, port, over: ends.append(over))
        for _ in range(2):
            self.service.mesh.contacts.reach(static, BASE, "neighbour", 0.0)
            ends[-1](Mock(node=static.node, neighbour=None), "")
        self.assertEqual(2, len(ends))

    def test_who_says_that_a_seed_s_address_is_his_is_not_taken_for_the_seed(self) -> None:
        dialled: list[str] = []
        self.patch(self.service, "_attempt", lambda host, port, over: dialled.append(host))
        seed, mesh = Address("192.0.2.1", 4600), self.service.mesh
        liar = Mock(node=7, wire=Mock(address="192.0.2.7"), sample=Sample(7, (seed,), 0, 13, 0))
        mesh.neighbours[7] = liar
        self.service.greet([Target(*seed)])
        mesh.contacts.reach(Sample(1 << 48, (seed,), 0, 13, 0), BASE, "neighbour", 0.0)
        self.assertEqual([seed.host] * 2, dialled)
