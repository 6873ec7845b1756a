"""The monitor's life in a node: what may be asked, how long it looks, what the snapshot has of it."""

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import Channel
from multicastmw.core.fastpath.tables import Reason
from multicastmw.core.packet import Packet
from multicastmw.core.routing import Router
from multicastmw.services.health import HealthService
from tests.core.health.passing import GROUP, SOURCE
from tests.core.health.test_monitor import Taker

TEXT = "239.1.1.1"


class HealthTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        self.router = Router()
        self.node = SimpleNamespace(
            router=self.router,
            tell=self.told.append,
            reactor=self.clock,
            tap=SimpleNamespace(kernel_drops=lambda: 0),
            forwarder=SimpleNamespace(origin=1 << 16),
            fastpath=SimpleNamespace(
                mirror=SimpleNamespace(
                    flows=SimpleNamespace(of_route=lambda route: []),
                    counts=SimpleNamespace(reasons={Reason.NOT_COPIED: 0}),
                )
            ),
            route_rates=SimpleNamespace(of=lambda route: (2.0, route.bytes)),
            room=SimpleNamespace(
                here=SimpleNamespace(name="a"), reach=SimpleNamespace(name=lambda node: f"node {node:x}")
            ),
        )
        self.health = HealthService(self.node)  # type: ignore[arg-type]
        self.health.startService()
        self.addCleanup(self.health.stopService)
        taker = Taker()
        self.router.attach(taker)
        self.router.subscribe(taker, Channel(GROUP))
        self.router.route(Channel(GROUP, SOURCE)).bytes = 1000

    def watch(self, group: str = TEXT, seconds: str = "10") -> dict[str, Any]:
        return self.health.actions()["streams/watch"]({"group": group, "seconds": seconds}).document()

    def observers(self) -> int:
        return len(self.router.route(Channel(GROUP, SOURCE)).observers)

    def pump(self, seconds: int) -> None:
        self.clock.pump([0.5] * (2 * seconds))

    def test_a_watch_ends_with_its_lease(self) -> None:
        self.assertEqual({"ok": True, "groups": (TEXT,), "seconds": 10, "refused": ""}, self.watch())
        self.pump(9)
        self.assertEqual(1, self.observers())
        self.watch()
        self.pump(9)
        self.assertEqual(1, self.observers())
        self.pump(3)
        self.assertEqual(0, self.observers())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_without_a_group_whatever_passes(self) -> None:
        self.assertEqual((TEXT,), self.watch("")["groups"])

    def test_what_is_no_group_or_no_time_is_refused(self) -> None:
        for group, seconds in (
            ("10.0.0.1", "10"),
            (TEXT, "0"),
            (TEXT, "301"),
            (TEXT, "x"),
            ("224.0.0.1", "10"),
        ):
            self.assertRaises(ValueError, self.watch, group, seconds)
        self.assertRaises(KeyError, self.health.actions()["streams/watch"], {"group": TEXT})

    def test_what_nobody_looks_at_is_listed_too(self) -> None:
        (status,) = self.health.status(0.0)
        self.assertEqual(
            (TEXT, "10.88.0.1", None, "unknown", "nobody looks at it"),
            (status.group, status.source, status.port, status.health, status.reason),
        )

    def test_names_of_origins(self) -> None:
        self.assertEqual(("a", "node 20000"), (self.health._name(1 << 16), self.health._name(2 << 16 | 5)))

    def test_a_packet_of_a_group_whose_watch_is_over_is_nothing(self) -> None:
        self.health.monitor.deliver(Packet())
        self.assertEqual(1, len(self.health.status(0.0)))
