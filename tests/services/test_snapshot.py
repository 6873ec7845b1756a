"""A snapshot says what is, whatever the one before has said."""

from itertools import count
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.mesh import large_mesh
from bench.show import FIRST_GROUP, FIRST_SOURCE, NOW, large_node, link, move, packet, settle
from multicastmw.core.mesh.backups import backups
from multicastmw.core.status import MeshLeftAlone, MeshStatus, RouteStatus, Status
from multicastmw.services.meshstatus import LEFT_ALONE_MAX, LOOKED_THROUGH
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

    def test_warns_of_a_node_that_sends_from_the_address_of_this_one(self) -> None:
        node = large_node(self.folder, PEERS, GROUPS, 2)
        said = "[tap] address: 10.88.0.2/24 is in use at studio0.example.net, too, "
        self.assertFalse([text for text in node.snapshots.take(NOW).warnings if said in text])
        over = next(iter(node.room.by_node.values()))
        packet(node, over, FIRST_GROUP, FIRST_SOURCE + 2, count(1_000))
        self.assertEqual(1, len([text for text in node.snapshots.take(NOW).warnings if said in text]))

    def test_does_not_change_when_the_next_one_is_taken(self) -> None:
        before, after = self.both(self.node())
        self.assertEqual((1, 2), (packets(before.routes[0]), packets(after.routes[0])))


class OfAMesh(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.node = large_mesh(folder, neighbours=6, streams=5)

    def taken(self) -> MeshStatus:
        mesh = self.node.snapshots.take(NOW).mesh
        assert mesh
        self.assertEqual(mesh, Snapshots(self.node).take(NOW).mesh)
        return mesh

    def test_what_has_not_changed_is_the_same_object_and_what_has_is_said(self) -> None:
        feeds = list(self.node.mesh.mesh.feeds.values())
        before = self.taken()
        feeds[1].top += 7
        feeds[2].counters.missed += 1
        feeds[3].upstream.parent = None
        after = self.taken()
        same = [old is new for old, new in zip(before.streams, after.streams, strict=True)]
        self.assertEqual([True, False, False, False, True], same)
        self.assertEqual(before.streams[1].highest + 7, after.streams[1].highest)
        self.assertEqual((1, None), (after.streams[2].counters["missed"], after.streams[3].parent))
        self.assertTrue(all(old is new for old, new in zip(before.neighbours, after.neighbours, strict=True)))

    def test_backups_are_who_has_it_and_not_from_here_the_nearest_first(self) -> None:
        feed = next(iter(self.node.mesh.mesh.feeds.values()))
        stream = self.taken().streams[0]
        self.assertEqual(3, len(stream.backups))
        self.assertFalse({stream.parent, *stream.children} & set(stream.backups))
        first = next(each for each in feed.theirs if names_of(self.node)[each.node] == stream.backups[0])
        self.assertEqual(first, min(backups(feed, NOW), key=feed.upstream.way))
        feed.theirs[first].path = (feed.short, 1)  # it has it from here
        self.assertNotIn(stream.backups[0], self.taken().streams[0].backups)

    def test_of_very_many_streams_a_part_is_looked_through_each_time(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        node = large_mesh(folder, neighbours=6, streams=2 * LOOKED_THROUGH + 1)
        counts = []
        for _ in range(4):
            mesh = node.snapshots.take(NOW).mesh
            assert mesh
            counts.append(sum(bool(stream.backups) for stream in mesh.streams))
        self.assertEqual([LOOKED_THROUGH, 2 * LOOKED_THROUGH, *[2 * LOOKED_THROUGH + 1] * 2], counts)

    def test_who_is_left_alone_is_named_for_so_long_and_with_the_reason(self) -> None:
        contacts = self.node.mesh.mesh.contacts
        contacts.exclude(7 << 32, NOW - 4.5, "it floods", "liar", "192.0.2.9")
        contacts.exclude(8 << 32, NOW - 20.0, "it floods", "late", "192.0.2.8")
        (found,) = self.taken().left_alone
        self.assertEqual(MeshLeftAlone("liar", f"{7 << 32:016x}", "192.0.2.9", 6, "it floods"), found)

    def test_who_is_not_believed_for_a_while_is_marked(self) -> None:
        mesh = self.node.mesh.mesh
        one = next(iter(mesh.neighbours.values()))
        before = {each.id for each in self.taken().neighbours if not each.believed}
        mesh.contacts.doubted.begin(one.node, NOW)
        after = {each.id for each in self.taken().neighbours if not each.believed}
        self.assertEqual((set(), {f"{one.node:016x}"}), (before, after))

    def test_of_many_that_are_left_alone_the_last_ones_are_named(self) -> None:
        for number in range(LEFT_ALONE_MAX + 5):
            self.node.mesh.mesh.contacts.exclude(number << 32, NOW, "it floods", f"n{number}", "192.0.2.9")
        mesh = self.taken()
        self.assertEqual((LEFT_ALONE_MAX, 5), (len(mesh.left_alone), mesh.left_alone_not_shown))
        self.assertEqual(f"n{LEFT_ALONE_MAX + 4}", mesh.left_alone[0].name)

    def test_somebody_who_has_gone_is_called_as_he_was_and_a_stranger_by_his_id(self) -> None:
        before = self.taken()
        link = self.node.room.by_node[next(iter(self.node.mesh.mesh.neighbours))]
        link.lost("cut")
        after = self.taken()
        self.assertEqual(len(before.neighbours) - 1, len(after.neighbours))
        self.assertIn(link.name, [stream.node for stream in after.streams])
        del self.node.room.called.names[link.node]
        self.assertIn(f"{link.node:016x}", [stream.node for stream in self.taken().streams])
        self.node.room.called.hears([(link.node, "heard-of")], is_shown=True)
        self.assertIn("heard-of", [stream.node for stream in self.taken().streams])
        self.node.room.called.hears([(link.node ^ 1 << 20, "of-another-id")], is_shown=False)
        self.assertEqual(1, self.taken().counters["names_refused"])


def names_of(node: NodeService) -> dict[int, str]:
    return {each: link.name for each, link in node.room.by_node.items()}


def packets(route: RouteStatus) -> int:
    return route.packets
