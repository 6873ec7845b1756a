"""The large node that `make bench ARGS=show` looks at is what it says."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.show import NOW, WANTED_BY, inside, large_node


class LargeNode(SynchronousTestCase):
    def test_it_has_its_peers_its_groups_and_its_routes(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        node = large_node(folder, peers=20, groups=30, routes=40)
        status = node.snapshots.take(NOW)
        self.assertEqual((20, 30, 40), (len(status.peers), len(status.groups), len(status.routes)))
        self.assertEqual({"up"}, {peer.state for peer in status.peers})
        self.assertEqual(20, len(status.nodes))
        self.assertEqual({WANTED_BY}, {len(group.wanted_by) for group in status.groups})
        self.assertEqual({1}, {route.packets for route in status.routes})
        self.assertEqual({1}, {len(route.streams) for route in status.routes})
        self.assertEqual([20, 30, 40], inside(node, 1)["shown"])
