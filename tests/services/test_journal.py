"""What is printed of what happens, and how often."""

from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.events import (
    CallerRefused,
    DataMoved,
    Note,
    PeerDown,
    PeerUp,
    SameNodeTwice,
    Stranger,
    TapUp,
)
from multicastmw.services.journal import (
    KEPT,
    KINDS_MAX,
    KINDS_OF_ONE,
    KINDS_THAT_MATTER,
    LASTING_OF_ONE,
    LASTS,
    QUIET,
    Journal,
)


class Thinning(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.printed: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.journal = Journal("info", lambda: self.now)
        self.journal.sections.add("section")

    def observe(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "mcmw":
            self.printed.append(event)

    def test_of_what_repeats_the_1st_2nd_4th_8th_are_printed(self) -> None:
        for _ in range(1000):
            self.journal.tell(Stranger("x"))
        self.assertEqual([e["times"] for e in self.printed], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
        formats = [self.printed[i]["log_format"] for i in (0, 1)]
        self.assertEqual(formats, ["{what}", "{what} ({times} times)"])

    def test_what_differs_is_counted_apart(self) -> None:
        for _ in range(3):
            for what in "xyz":
                self.journal.tell(Stranger(what))
        self.assertEqual([e["times"] for e in self.printed], [1, 1, 1, 2, 2, 2])

    def test_two_names_that_are_in_use_at_the_same_places_are_both_news(self) -> None:
        for name in ("b", "c"):
            self.journal.tell(SameNodeTwice(name, "at 192.0.2.1 and at 192.0.2.2"))
        self.assertEqual([(e["peer"], e["times"]) for e in self.printed], [("b", 1), ("c", 1)])

    def test_events_behind_a_number_are_those_that_came_since_as_far_as_they_are_kept(self) -> None:
        self.assertEqual([], self.journal.after(0))
        for index in range(KEPT + 5):
            self.journal.tell(Note(f"number {index + 1}"))
        texts = {number: event["text"] for number, event in self.journal.after(0)}
        self.assertEqual({number: f"number {number}" for number in range(6, KEPT + 6)}, texts)
        self.assertEqual([KEPT + 5], [number for number, _ in self.journal.after(KEPT + 4)])
        self.assertEqual([], self.journal.after(KEPT + 5))
        self.assertEqual([event for _, event in self.journal.after(0)], self.journal.recent())

    def test_what_only_this_node_decides_is_always_printed(self) -> None:
        for _ in range(5):
            self.journal.tell(TapUp("mcmw0", "10.88.0.1/24", 1412))
        self.assertEqual(len(self.printed), 5)

    def test_after_a_quiet_minute_it_is_news_again(self) -> None:
        for _ in range(3):
            self.journal.tell(PeerDown("b", "192.0.2.1", "silent"))
        self.now = 59.0
        self.journal.tell(PeerDown("b", "192.0.2.1", "silent"))
        self.now = 59.0 + QUIET
        self.journal.tell(PeerDown("b", "192.0.2.1", "silent"))
        self.assertEqual([e["times"] for e in self.printed], [1, 2, 4, 1])

    def test_a_stranger_who_comes_and_goes_does_not_fill_the_log(self) -> None:
        for i in range(1000):
            self.journal.tell(PeerUp(f"n{i}", "192.0.2.1"))
            self.journal.tell(PeerDown(f"n{i}", "192.0.2.1", "gone"))
        self.assertLess(len(self.printed), 2 * (KINDS_OF_ONE + 12))

    def flood(self, seconds: int, addresses: int = 1) -> None:
        """Forty invented names a second."""
        for i in range(40 * seconds):
            self.now += 1 / 40
            name, address = f"s{self.now}", f"10.99.0.{6 + i % addresses}"
            self.journal.tell(PeerUp(name, address))
            self.journal.tell(DataMoved(name, "UDP", "it answers there"))
            self.journal.tell(PeerDown(name, address, "gone"))

    def sentences(self) -> list[str]:
        return [formatEvent(event) for event in self.printed]

    def test_whoever_invents_names_at_one_address_hides_no_other_peer(self) -> None:
        self.flood(10)
        self.journal.tell(PeerUp("b", "192.0.2.1"))
        self.journal.tell(DataMoved("b", "UDP", "it answers there"))
        self.journal.tell(PeerDown("b", "192.0.2.1", "silent"))
        said = ["b at 192.0.2.1 is up", "data to b goes over UDP: it answers there"]
        self.assertEqual(self.sentences()[-3:], [*said, "b at 192.0.2.1 is down: silent"])
        self.flood(10)
        self.assertLess(len(self.printed), 3 * (KINDS_OF_ONE + 12))
        self.assertLess(len(self.journal._seen), 3 * (KINDS_OF_ONE + 3))

    def test_a_link_that_has_lasted_falls_and_comes_back_aloud_whoever_floods_from_wherever(self) -> None:
        self.journal.tell(PeerUp("b", "192.0.2.1"))
        self.now = LASTS
        self.flood(20, addresses=200)
        self.assertGreaterEqual(len(self.journal._seen), KINDS_MAX)
        self.journal.tell(PeerDown("b", "192.0.2.1", "silent"))
        self.flood(5, addresses=200)
        self.journal.tell(PeerUp("b", "192.0.2.1"))
        said = [sentence for sentence in self.sentences() if sentence.startswith("b ")]
        self.assertEqual(said[1:], ["b at 192.0.2.1 is down: silent", "b at 192.0.2.1 is up (2 times)"])

    def test_and_so_does_a_peer_of_node_ini_that_was_never_up_before(self) -> None:
        self.flood(20, addresses=200)
        self.journal.tell(PeerUp("section", "192.0.2.1"))
        self.journal.tell(PeerDown("section", "192.0.2.1", "silent"))
        said = ["section at 192.0.2.1 is up", "section at 192.0.2.1 is down: silent"]
        self.assertEqual(self.sentences()[-2:], said)

    def test_a_flood_in_its_own_name_finds_no_room_without_end(self) -> None:
        for i in range(10 * KINDS_MAX):
            self.journal.tell(PeerUp("section", f"10.99.{i >> 8}.{i & 255}"))
        self.assertLess(len(self.printed), KINDS_MAX + KINDS_OF_ONE + 20)

    def test_a_link_that_lasts_keeps_its_room_when_others_at_its_address_last_too(self) -> None:
        self.journal.tell(PeerUp("b", "10.99.0.6"))
        for i in range(1_000):
            self.journal.tell(PeerUp(f"s{i}", "10.99.0.6"))
        self.now, before = LASTS, len(self.printed)
        for i in range(1_000):
            self.journal.tell(PeerDown(f"s{i}", "10.99.0.6", "gone"))
        self.assertLess(len(self.printed) - before, 2 * LASTING_OF_ONE)
        self.journal.tell(PeerDown("b", "10.99.0.6", "silent"))
        self.assertEqual(self.sentences()[-1], "b at 10.99.0.6 is down: silent")

    def test_links_that_last_and_fall_by_the_thousand_take_bounded_room(self) -> None:
        for turn in range(5):
            links = [(f"s{turn} {i}", f"10.99.{i >> 4}.6") for i in range(2_000)]
            for link in links:
                self.journal.tell(PeerUp(*link))
            self.now += LASTS
            for link in links:
                self.journal.tell(PeerDown(*link, "gone"))
        self.assertLess(len(self.journal._seen), KINDS_MAX + KINDS_THAT_MATTER + 20)
        self.assertEqual((len(self.journal._up), len(self.journal._first)), (0, 0))

    def test_what_many_kinds_are_is_not_said_to_be_one_that_came_often(self) -> None:
        for i in range(200):
            self.journal.tell(PeerUp(f"s{i}", "10.99.0.6"))
        said = self.sentences()
        self.assertEqual(said[KINDS_OF_ONE], f"s{KINDS_OF_ONE} at 10.99.0.6 is up")
        self.assertEqual(said[-1], f"s{KINDS_OF_ONE + 127} at 10.99.0.6 is up (one of 128 such)")
        self.assertEqual((self.printed[-1]["such"], "times" in self.printed[-1]), (128, False))

    def test_a_stranger_who_invents_a_name_each_time_is_thinned_too(self) -> None:
        for i in range(20 * KINDS_MAX):
            self.journal.tell(Stranger(f"n{i}"))
        self.assertLessEqual(len(self.printed), KINDS_MAX + 20)
        self.assertLessEqual(len(self.journal._seen), KINDS_MAX + 20)

    def test_and_what_is_known_is_counted_on_meanwhile(self) -> None:
        for i in range(2 * KINDS_MAX):
            self.journal.tell(Stranger("known"))
            self.journal.tell(Stranger(f"n{i}"))
        known = [e["times"] for e in self.printed if e["what"] == "known"]
        self.assertEqual(known, [1 << i for i in range((2 * KINDS_MAX).bit_length())])

    def test_another_reason_is_news_though_the_address_is_known(self) -> None:
        for _ in range(5):
            self.journal.tell(CallerRefused("192.0.2.1", "version 4, not 1"))
        self.journal.tell(CallerRefused("192.0.2.1", "no Open within 5 s"))
        said = [(e["why"], e["times"]) for e in self.printed]
        self.assertEqual(said[-1], ("no Open within 5 s", 1))
        self.assertEqual([times for _, times in said[:-1]], [1, 2, 4])

    def test_one_caller_who_invents_reasons_leaves_room_for_what_others_do(self) -> None:
        for i in range(10 * KINDS_MAX):
            self.journal.tell(CallerRefused("192.0.2.1", f"a message of {i} bytes"))
        self.assertLess(len(self.printed), KINDS_OF_ONE + 13)
        self.assertEqual(len(self.journal._seen), KINDS_OF_ONE + 1)
        self.journal.tell(CallerRefused("192.0.2.2", "version 4, not 1"))
        self.assertEqual((self.printed[-1]["address"], self.printed[-1]["times"]), ("192.0.2.2", 1))

    def test_the_last_events_are_kept_with_their_times(self) -> None:
        for i in range(KEPT + 50):
            self.now = float(i)
            self.journal.tell(Note(str(i)))
        self.assertEqual(len(self.journal.events), KEPT)
        self.assertEqual(self.journal.events[-1], (float(KEPT + 49), Note(str(KEPT + 49))))

    def test_and_are_told_as_people_read_them(self) -> None:
        self.now = 10.0
        self.journal.tell(PeerUp("b", "192.0.2.1"))
        self.now = 12.5
        self.journal.tell(Note("{braces}"))
        up, note = self.journal.recent()
        self.assertEqual((2.5, "PeerUp", "info"), (up["ago"], up["kind"], up["level"]))
        self.assertIn("192.0.2.1", up["text"])
        self.assertEqual((0.0, "{braces}"), (note["ago"], note["text"]))

    def test_below_the_level_nothing_is_printed_and_all_is_kept(self) -> None:
        journal = Journal("warn", lambda: 0.0)
        journal.tell(PeerUp("b", "192.0.2.1"))
        journal.tell(Note("n"))
        self.assertEqual([e["log_format"] for e in self.printed], ["{what}"])
        self.assertEqual(len(journal.events), 2)

    def test_braces_in_a_name_are_no_format(self) -> None:
        self.journal.tell(PeerUp("{evil!r}", "{0}"))
        self.assertEqual(formatEvent(self.printed[0]), "{evil!r} at {0} is up")


class Counting(SynchronousTestCase):
    def test_each_kind_is_counted_also_where_it_is_not_said(self) -> None:
        journal = Journal("critical", lambda: 0.0)
        for _ in range(100):
            journal.tell(Stranger("x"))
        journal.tell(Note("y"))
        self.assertEqual({"Stranger": 100, "Note": 1}, dict(journal.told))
