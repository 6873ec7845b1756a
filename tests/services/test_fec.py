"""[recovery] fec, switched under way: the service on a real end of a cable."""

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.events import CorrectionBegins, CorrectionEnds
from multicastmw.services.fec import FecService
from tests.core.cable import World

FAR = 0.1  # seconds of one way
GROUP = 0xEF010203


class Switched(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.a, self.b = self.world.node("a"), self.world.node("b", fec="on")
        config = SimpleNamespace(
            recovery=SimpleNamespace(fec="off", deadline=1.0), overlay=SimpleNamespace(uplink=None)
        )
        node: Any = SimpleNamespace(
            config=config, mesh=None, reactor=self.a.clock, room=self.a.room, tell=self.a.events.append
        )
        self.service = FecService(node)
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.world.air.spoil(self.a, self.b, delay=FAR)
        self.world.connect(self.a, self.b)
        self.world.run(1)
        self.b.host.wants(GROUP)
        self.world.run(0.5)

    def rows(self) -> int:
        """Of parity that go from a to b."""
        self.world.run(0.5)
        return sum(each.rows for each in self.service.fec.protections.values())

    def told(self) -> list[str]:
        kinds = CorrectionBegins | CorrectionEnds
        return [type(each).__name__ for each in self.a.events if isinstance(each, kinds)]

    def test_on_and_off_are_what_was_asked_for_and_no_news(self) -> None:
        for mode, has_rows in (("on", True), ("off", False), ("on", True)):
            self.service.run_as(mode)
            self.assertEqual(has_rows, bool(self.rows()), mode)
            self.assertEqual(has_rows, self.service.status() is not None)
        self.assertEqual([], self.told())

    def test_what_auto_has_found_is_left_where_it_is_off_from_now_on(self) -> None:
        self.service.run_as("auto")
        self.world.air.spoil(self.a, self.b, loss=0.05)
        for number in range(4_000):
            self.a.send(GROUP, inner=b"%d" % number)
            self.world.run(0.002)
        self.assertGreater(self.rows(), 0)
        self.assertEqual(["CorrectionBegins"], self.told())
        self.service.run_as("off")
        self.assertEqual(0, self.rows())
        self.assertEqual(["CorrectionBegins"], self.told())
