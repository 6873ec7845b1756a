from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.neighbour import sample_of
from multicastmw.core.mesh.place import Whereabouts, between
from multicastmw.core.mesh.settings import Settings
from multicastmw.core.mesh.slots import Slots
from multicastmw.wire.mesh import NOWHERE, Place
from tests.core.mesh.kit import KEY, Lone

PLACES = st.builds(
    Place,
    st.integers(-32_768, 32_767),
    st.integers(-32_768, 32_767),
    st.integers(0, 65_535),
    st.integers(0, 255),
)


class PlaceTest(TestCase):
    def test_three_who_measure_each_other_can_tell_their_round_trips(self) -> None:
        rng = Random(1)
        nodes = [Whereabouts(rng) for _ in range(3)]
        trips = {(0, 1): 0.030, (0, 2): 0.100, (1, 2): 0.090}
        for _ in range(200):
            for (one, other), rtt in trips.items():
                nodes[one].measured(rtt, nodes[other].place)
                nodes[other].measured(rtt, nodes[one].place)
        for (one, other), rtt in trips.items():
            found = between(nodes[one].place, nodes[other].place)
            self.assertTrue(0.8 * rtt < found < 1.2 * rtt, (found, rtt))

    @given(st.lists(st.tuples(st.floats(0, 5), PLACES), max_size=50))
    def test_whatever_others_say_a_place_is_one_that_can_be_said(
        self, told: list[tuple[float, Place]]
    ) -> None:
        where = Whereabouts(Random(1))
        for rtt, place in told:
            where.measured(rtt, place)
            x, y, height, error = where.place
            self.assertTrue(-32_768 <= x <= 32_767 and -32_768 <= y <= 32_767)
            self.assertTrue(0 <= height <= 65_535 and 0 <= error <= 255)

    def test_who_is_nowhere_is_far(self) -> None:
        self.assertEqual(between(NOWHERE, Place(0, 0, 10, 5)), 0.2)


class SlotsTest(TestCase):
    def test_who_may_have_no_children_is_seen_by_neighbours_as_it_says_of_itself(self) -> None:
        mesh = Lone(Settings(uplink=20_000, children=0)).mesh
        said = mesh.sample()
        seen = sample_of(said.node, said.addresses, mesh.capabilities(), "198.18.0.9", True)
        self.assertEqual((0, 0), (said.capacity, seen.capacity))

    def test_four_fifths_of_the_uplink_are_slots_and_the_rest_is_for_a_moment(self) -> None:
        lone = Lone(Settings(uplink=5_000))
        neighbour, _ = lone.neighbour(2)
        lone.data(neighbour, 0)
        feed = lone.feed()
        feed.bits = 1_000.0
        self.assertEqual(lone.mesh.slots.free(feed), 4)
        for number in range(10, 14):
            feed.adopt(lone.neighbour(number)[0])
        self.assertEqual(lone.mesh.slots.free(feed), 0)
        self.assertEqual(lone.mesh.slots.spare(feed), 1)
        self.assertFalse(lone.mesh.slots.is_over(feed))
        feed.adopt(lone.neighbour(15)[0])
        self.assertTrue(lone.mesh.slots.is_over(feed))

    def test_children_are_counted_once_for_each_stream(self) -> None:
        lone = Lone(Settings(uplink=20_000, children=3))
        parent, _ = lone.neighbour(2)
        child, _ = lone.neighbour(3)
        feeds = [lone.mesh.feed_for(KEY._replace(source=source), parent, lone.now) for source in (1, 2)]
        for feed in filter(None, feeds):
            feed.adopt(child)
            feed.bits = 100.0
        self.assertEqual([1, 1], [lone.mesh.slots.free(feed) for feed in feeds if feed])

    def test_what_is_not_known_carries_nothing(self) -> None:
        slots = Slots(Settings(uplink=0), list)
        self.assertFalse(slots.has_any)
