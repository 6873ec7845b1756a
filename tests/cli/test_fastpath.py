"""`mcmw fastpath` and what `mcmw show` says of it, from a snapshot."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.fastpath import LEFT, LOST, report
from multicastmw.core.fastpath.tables import Reason


def snapshot(**said: Any) -> dict[str, Any]:
    counters = {reason.name.lower(): 0 for reason in Reason} | said.pop("counters", {})
    plain = {"mode": "auto", "on": True, "why": "", "way": "tcx", "uplinks": ("eth0", "eth1"), "routes": 3,
             "forced": 0}  # fmt: skip
    return plain | said | {"counters": counters}


class Reports(SynchronousTestCase):
    def test_on(self) -> None:
        lines = list(
            report(snapshot(counters={"from_tap": 1200, "delivered": 7, "user_ttl": 2, "no_peer": 1}))
        )
        self.assertEqual([
            "on (tcx, eth0, eth1), 3 routes in the kernel",
            "1200 packets from programs, 7 to them",
            "2 packets left to the node's process: with TTL 1",
            "1 copies lost: the peer had just gone",
        ], lines)  # fmt: skip

    def test_lines_fit_80_columns_with_the_largest_counts(self) -> None:
        counters = {reason.name.lower(): 999_000_000 for reason in Reason}
        lines = list(
            report(
                snapshot(counters=counters, uplinks=[f"eth{each}" for each in range(40)], forced=999_000_000)
            )
        )
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertIn("999M packets that observers here missed: the node's process was too slow", lines)

    def test_streams_that_went_to_the_kernel_though_packets_waited(self) -> None:
        said = " ".join(report(snapshot(forced=12_000)))
        self.assertIn("12k times a stream went on in the kernel while packets of it waited: the node's", said)
        self.assertNotIn("waited", " ".join(report(snapshot())))

    def test_off_with_the_reason(self) -> None:
        found = snapshot(on=False, why="CAP_BPF missing", uplinks=(), routes=0, way=None)
        self.assertEqual(["off: CAP_BPF missing"], list(report(found)))

    def test_before_any_peer(self) -> None:
        self.assertEqual("on (tcx, no peers yet), 0 routes in the kernel",
                         next(report(snapshot(uplinks=(), routes=0))))  # fmt: skip

    def test_every_reason_of_the_kernel_has_words(self) -> None:
        left = {reason.name.removeprefix("USER_").lower() for reason in Reason if reason >= Reason.USER_LEASE}
        self.assertEqual(left, set(LEFT))
        self.assertLessEqual(set(LOST), {reason.name.lower() for reason in Reason})
