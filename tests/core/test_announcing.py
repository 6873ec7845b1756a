"""What a peer is told, against what it ought to know."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from multicastmw.core.announcing import Announcement

KEYS = st.integers(0, 9)
TURNS = st.lists(st.lists(st.tuples(KEYS, st.booleans()), max_size=6), max_size=20)
PIECES = st.sampled_from([1, 2, 1000])


class Announcements(TestCase):
    @given(TURNS, PIECES)
    def test_the_peer_knows_what_is_wanted_after_each_turn(
        self, turns: list[list[tuple[int, bool]]], piece: int
    ) -> None:
        wanted: set[int] = set()
        peer: set[int] = set()
        announcement = Announcement[int](wanted.__contains__, 100)
        for turn in turns:
            self.play(turn, wanted, announcement, peer, piece, 100)
            self.assertEqual(peer, wanted)
            self.assertFalse(announcement)

    @given(TURNS, st.integers(1, 4), PIECES)
    def test_a_full_peer_is_told_no_more_and_the_rest_when_there_is_room(
        self, turns: list[list[tuple[int, bool]]], most: int, piece: int
    ) -> None:
        wanted: set[int] = set()
        peer: set[int] = set()
        announcement = Announcement[int](wanted.__contains__, most)
        for turn in turns:
            self.play(turn, wanted, announcement, peer, piece, most)
            self.assertLessEqual(peer, wanted)
            self.assertEqual(len(peer), min(most, len(wanted)))
            self.assertEqual(announcement.withheld, len(wanted) - len(peer))

    def play(
        self,
        turn: list[tuple[int, bool]],
        wanted: set[int],
        announcement: Announcement[int],
        peer: set[int],
        piece: int,
        room: int,
    ) -> None:
        for key, want in turn:
            (wanted.add if want else wanted.discard)(key)
            announcement.changed([key])
        while announcement:
            add, remove = announcement.difference(piece)
            self.assertLessEqual(len(add) + len(remove), piece)
            self.assertTrue(peer.isdisjoint(add), "told twice")
            peer.update(add)
            self.assertLessEqual(len(peer), room, "the peer would close the link")
            self.assertLessEqual(set(remove), peer)
            peer.difference_update(remove)

    def test_a_flap_within_a_turn_is_nothing(self) -> None:
        wanted = {1}
        announcement = Announcement[int](wanted.__contains__, 9)
        announcement.changed([1])
        wanted.clear()
        announcement.changed([1])
        self.assertEqual(announcement.difference(9), ([], []))

    def test_what_comes_is_said_before_what_goes_however_small_the_pieces(self) -> None:
        wanted = {1, 2, 3}
        announcement = Announcement[int](wanted.__contains__, 9)
        announcement.changed([1, 2, 3])
        self.assertEqual(announcement.difference(9), ([1, 2, 3], []))
        wanted -= {1, 2}
        wanted |= {4, 5}
        announcement.changed([1, 4, 2, 5])
        said = []
        while announcement:
            said.append(announcement.difference(2))
        self.assertEqual([found for found in said if found != ([], [])], [([4], []), ([5], []), ([], [1, 2])])

    def test_what_is_wanted_again_before_it_was_said_to_go_stays(self) -> None:
        wanted = {1, 2}
        announcement = Announcement[int](wanted.__contains__, 9)
        announcement.changed([1, 2])
        announcement.difference(9)
        wanted.clear()
        announcement.changed([1, 2])
        self.assertEqual(announcement.difference(1), ([], []))
        wanted.add(1)
        announcement.mark(1)
        while announcement:
            self.assertNotIn(1, announcement.difference(1)[1])
