"""A snapshot says what is, whatever the one before has said."""

from itertools import count
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.show import FIRST_GROUP, FIRST_SOURCE, NOW, large_node, link, move, packet, settle
from multicastmw.core.status import RouteStatus, Status
from multicastmw.services.node import NodeService
from multicastmw.services.snapshot import Snapshots
from multicastmw.wire.messages import AddRoute, Group, RemoveRoute, encode

PEERS, GROUPS = 4, 3
steps = st.lists(
    st.tuples(
        st.sampled_from(("wants", "leaves", "packet", "goes", "comes", "moves", "look")),
        st.integers(0, PEERS - 1),
        st.integers(0, GROUPS - 1),
    ),
    max_size=25,
)


class ASnapshot(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def node(self) -> NodeService:
        return large_node(self.folder, PEERS, GROUPS, GROUPS)

    @given(steps)
    def test_of_one_who_remembers_is_that_of_one_who_does_not(
        self, given: list[tuple[str, int, int]]
    ) -> None:
        node = self.node()
        links = dict(enumerate(node.room.by_node.values()))
        sequences = count(1_000)
        for what, peer, group in given:
            over = links.get(peer)
            if what == "comes" and over is None:
                links[peer] = link(node, peer)
            elif what == "moves":
                move(node)
            elif over is None:
                continue
            elif what == "wants":
                over.bytes_received(encode(AddRoute((Group(FIRST_GROUP + group, 0),))), NOW)
            elif what == "leaves":
                over.bytes_received(encode(RemoveRoute((Group(FIRST_GROUP + group, 0),))), NOW)
            elif what == "packet":
                packet(node, over, FIRST_GROUP + group, FIRST_SOURCE + group, sequences)
            elif what == "goes":
                links.pop(peer).lost("cut")
            settle(node)
            self.assertEqual(Snapshots(node).take(NOW), node.snapshots.take(NOW), what)

    def both(self, node: NodeService) -> tuple[Status, Status]:
        before = node.snapshots.take(NOW)
        packet(node, next(iter(node.room.by_node.values())), FIRST_GROUP, FIRST_SOURCE, count(1_000))
        return before, node.snapshots.take(NOW)

    def test_has_the_same_objects_where_nothing_has_happened(self) -> None:
        before, after = self.both(self.node())
        self.assertTrue(all(old is new for old, new in zip(before.groups, after.groups, strict=True)))
        self.assertEqual(
            [False, True, True], [old is new for old, new in zip(before.routes, after.routes, strict=True)]
        )

    def test_does_not_change_when_the_next_one_is_taken(self) -> None:
        before, after = self.both(self.node())
        self.assertEqual((1, 2), (packets(before.routes[0]), packets(after.routes[0])))


def packets(route: RouteStatus) -> int:
    return route.packets
