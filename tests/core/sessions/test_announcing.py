"""What a node announces for plain senders: how it is described, how often, and its end."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.sessions import announcing
from multicastmw.core.sessions.announcing import AGAIN, BITS_A_SECOND, EVERY, NTP, Announcer, Offer, describe
from multicastmw.core.sessions.scopes import GLOBAL, LOCAL
from multicastmw.wire import ipv4
from multicastmw.wire.sap import Announcement, hash_of
from multicastmw.wire.sdp import Connection, Description, Format

ADDRESS = ipv4.number("10.88.0.2")
NEWS = Offer("news", ipv4.number("239.1.1.1"), 5004, "The news", "Every hour", "NEWS")
SPORT = Offer("sport", ipv4.number("239.255.1.1"), 5006, "Sport", protocol="udp")


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.now, self.wall = 50.0, 1_700_000_000.0
        self.bytes = 500
        self.said: list[tuple[float, int, Announcement]] = []
        self.announcer = Announcer(
            0xABCD_0000, ADDRESS, self.say, lambda group: self.bytes, lambda low, high: (low + high) / 2
        )

    def say(self, message: bytes, group: int, now: float) -> None:
        self.said.append((now, group, Announcement.parse(message)))

    def offers(self, *offers: Offer) -> None:
        self.announcer.offer(offers, self.wall, self.now)

    def runs(self, seconds: float) -> None:
        until = self.now + seconds
        while self.announcer.deadline() <= until:
            self.now = max(self.now, self.announcer.deadline())
            self.announcer.tick(self.now)
        self.now, self.wall = until, self.wall + seconds

    def described(self) -> list[Description]:
        return [Description.parse(announcement.payload) for _, _, announcement in self.said]


class Describing(Case):
    def test_a_session_as_players_read_it(self) -> None:
        self.offers(NEWS)
        self.runs(0.0)
        ((_, group, announcement),) = self.said
        (found,) = self.described()
        self.assertEqual((GLOBAL, ipv4.number("10.88.0.2").to_bytes(4, "big")), (group, announcement.source))
        self.assertEqual(
            ("The news", "Every hour", "NEWS", Connection("IP4", "239.1.1.1", 127)),
            (found.name, found.information, found.category, found.connection),
        )
        (media,) = found.media
        self.assertEqual(
            ("video", 5004, "RTP/AVP", ("33",)), (media.kind, media.port, media.protocol, media.formats)
        )
        self.assertEqual((Format(33, "MP2T", 90_000),), media.maps)
        self.assertTrue(found.tool.startswith("mcmw "))
        self.assertEqual(str(int(self.wall) + NTP), found.origin.version)

    def test_without_rtp_and_in_the_local_scope(self) -> None:
        self.offers(SPORT)
        self.runs(0.0)
        self.assertEqual(LOCAL, self.said[0][1])
        (media,) = self.described()[0].media
        self.assertEqual(("udp", ("33",), ()), (media.protocol, media.formats, media.attributes))

    @given(st.text(st.characters(exclude_categories=["C"]), max_size=60), st.sampled_from(["rtp", "udp"]))
    def test_whatever_the_name_is(self, name: str, protocol: str) -> None:
        offer = NEWS._replace(name=name, description=name, category=name, protocol=protocol)
        description = describe(offer, 1 << 16, "10.88.0.2", 7)
        self.assertEqual(name.strip(), Description.parse(description.build()).name)

    def test_its_id_is_the_same_after_a_restart_and_another_for_another_node(self) -> None:
        found = [
            describe(NEWS, node, "10.88.0.2", version).origin for node, version in ((1, 1), (1, 2), (2, 1))
        ]
        self.assertEqual(found[0].identity, found[1].identity)
        self.assertNotEqual(found[0].identity, found[2].identity)
        self.assertNotEqual(found[0].session, describe(SPORT, 1, "10.88.0.2", 1).origin.session)


class Hashes(Case):
    """Message id hashes: who reads them may take two of one host for the same."""

    def hashes(self) -> list[int]:
        said, self.said = self.said, []
        return [announcement.hash for _, _, announcement in said]

    def test_a_thousand_sessions_have_as_many(self) -> None:
        offers = [NEWS._replace(section=f"s{n}", name=f"Channel {n}") for n in range(1_000)]
        payloads = [describe(o, 0xABCD_0000, "10.88.0.2", int(self.wall) + NTP).build() for o in offers]
        self.assertLess(len({hash_of(payload) for payload in payloads}), 1_000, "none fall together")
        self.offers(*offers)
        self.runs(0.0)
        self.assertEqual(1_000, len(set(self.hashes())))

    def test_what_comes_instead_has_neither_the_last_ones_nor_anothers(self) -> None:
        self.offers(NEWS, SPORT)
        self.runs(0.0)
        before = self.hashes()
        for n in range(300):
            self.offers(NEWS._replace(name=f"News {n}"), SPORT)
            self.runs(0.0)
            [number] = self.hashes()
            self.assertNotIn(number, before)
            before = [number, before[1]]

    def test_there_are_no_more_than_65_535(self) -> None:
        with patch.object(announcing, "HASH_MAX", 3):
            self.offers(*(NEWS._replace(section=f"s{n}") for n in range(5)))
        self.runs(0.0)
        self.assertEqual(5, len(self.hashes()))


class Timing(Case):
    def test_at_once_and_then_every_few_seconds(self) -> None:
        self.offers(NEWS, SPORT)
        self.runs(4 * EVERY)
        self.assertEqual(
            [50.0 + EVERY * n for n in range(5) for _ in range(2)], [at for at, _, _ in self.said]
        )

    def test_less_often_where_much_is_announced(self) -> None:
        self.bytes = 500_000
        self.offers(NEWS)
        self.runs(350)
        self.assertEqual(8 * self.bytes / BITS_A_SECOND, self.said[1][0] - self.said[0][0])
        self.assertEqual(4, len(self.said))

    def test_the_interval_varies_by_a_third(self) -> None:
        picked: list[tuple[float, float]] = []
        self.announcer._pick = lambda low, high: picked.append((low, high)) or high  # type: ignore[func-returns-value]
        self.offers(NEWS)
        self.runs(0.0)
        self.assertEqual([(EVERY * 2 / 3, EVERY * 4 / 3)], picked)

    def test_soon_again_for_who_comes_but_no_more_than_once_a_second(self) -> None:
        self.offers(NEWS, SPORT)
        self.runs(2.0)
        for _ in range(20):
            self.announcer.again(GLOBAL, self.now)
            self.runs(0.01)
        self.runs(AGAIN)
        self.assertEqual([50.0, 52.0, 53.0], [at for at, group, _ in self.said if group == GLOBAL])
        self.assertEqual([50.0], [at for at, group, _ in self.said if group == LOCAL])


class Ending(Case):
    def deletions(self) -> list[str]:
        return [
            Description.parse(announcement.payload).name
            for _, _, announcement in self.said if announcement.deletion
        ]  # fmt: skip

    def test_the_nodes_end_deletes_what_it_has_announced(self) -> None:
        self.offers(NEWS, SPORT)
        self.runs(0.0)
        self.announcer.withdraw(self.now)
        self.assertEqual(["The news", "Sport"], self.deletions())
        said, gone = self.said[0][2], self.said[2][2]
        self.assertEqual((said.hash, said.source, said.payload), (gone.hash, gone.source, gone.payload))
        self.assertEqual((float("inf"), 0), (self.announcer.deadline(), len(self.announcer)))

    def test_a_section_that_goes_is_deleted_and_one_that_stays_is_left_alone(self) -> None:
        self.offers(NEWS, SPORT)
        self.runs(1.0)
        self.said.clear()
        self.offers(SPORT)
        self.runs(0.0)
        self.assertEqual((["The news"], 1), (self.deletions(), len(self.said)))

    def test_one_that_changes_is_announced_at_once_as_a_newer_version(self) -> None:
        self.offers(NEWS)
        self.runs(1.0)
        self.offers(NEWS._replace(name="Late news"))
        self.runs(0.0)
        before, after = self.described()
        self.assertEqual(([], "Late news"), (self.deletions(), after.name))
        self.assertEqual(before.origin.identity, after.origin.identity)
        self.assertEqual(int(before.origin.version) + 1, int(after.origin.version))
        self.assertNotEqual(self.said[0][2].hash, self.said[1][2].hash)

    def test_one_that_moves_to_another_scope_is_deleted_in_the_first(self) -> None:
        self.offers(NEWS)
        self.runs(0.0)
        self.offers(NEWS._replace(group=SPORT.group))
        self.runs(0.0)
        self.assertEqual(
            [(GLOBAL, False), (GLOBAL, True), (LOCAL, False)], [(g, a.deletion) for _, g, a in self.said]
        )
