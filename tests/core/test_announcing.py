"""What a peer is told, against what it ought to know."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from multicastmw.core.announcing import Announcement

KEYS = st.integers(0, 9)
TURNS = st.lists(st.lists(st.tuples(KEYS, st.booleans()), max_size=6), max_size=20)


class Announcements(TestCase):
    @given(TURNS)
    def test_the_peer_knows_what_is_wanted_after_each_turn(self, turns: list[list[tuple[int, bool]]]) -> None:
        wanted: set[int] = set()
        peer: set[int] = set()
        announcement = Announcement[int](wanted.__contains__, 100)
        for turn in turns:
            self.play(turn, wanted, announcement, peer)
            self.assertEqual(peer, wanted)
            self.assertFalse(announcement)

    @given(TURNS, st.integers(1, 4))
    def test_a_full_peer_is_told_no_more_and_the_rest_when_there_is_room(
        self, turns: list[list[tuple[int, bool]]], most: int
    ) -> None:
        wanted: set[int] = set()
        peer: set[int] = set()
        announcement = Announcement[int](wanted.__contains__, most)
        for turn in turns:
            self.play(turn, wanted, announcement, peer)
            self.assertLessEqual(peer, wanted)
            self.assertEqual(len(peer), min(most, len(wanted)))
            self.assertEqual(announcement.withheld, len(wanted) - len(peer))

    def play(
        self, turn: list[tuple[int, bool]], wanted: set[int], announcement: Announcement[int], peer: set[int]
    ) -> None:
        for key, want in turn:
            (wanted.add if want else wanted.discard)(key)
            announcement.changed([key])
        add, remove = announcement.difference()
        self.assertTrue(peer.isdisjoint(add), "told twice")
        self.assertLessEqual(set(remove), peer)
        peer.update(add)
        peer.difference_update(remove)

    def test_a_flap_within_a_turn_is_nothing(self) -> None:
        wanted = {1}
        announcement = Announcement[int](wanted.__contains__, 9)
        announcement.changed([1])
        wanted.clear()
        announcement.changed([1])
        self.assertEqual(announcement.difference(), ([], []))
