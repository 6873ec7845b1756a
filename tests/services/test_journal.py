"""What is printed of what happens, and how often."""

from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.events import CallerRefused, Note, PeerDown, PeerUp, SameNodeTwice, Stranger, TapUp
from multicastmw.services.journal import KEPT, KINDS_MAX, KINDS_OF_ONE, QUIET, Journal


class Thinning(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.printed: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.journal = Journal("info", lambda: self.now)

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
        self.assertLess(len(self.printed), KINDS_MAX + 30)

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

    def test_below_the_level_nothing_is_printed_and_all_is_kept(self) -> None:
        journal = Journal("warn", lambda: 0.0)
        journal.tell(PeerUp("b", "192.0.2.1"))
        journal.tell(Note("n"))
        self.assertEqual([e["log_format"] for e in self.printed], ["{what}"])
        self.assertEqual(len(journal.events), 2)

    def test_braces_in_a_name_are_no_format(self) -> None:
        from twisted.logger import formatEvent

        self.journal.tell(PeerUp("{evil!r}", "{0}"))
        self.assertEqual(formatEvent(self.printed[0]), "{evil!r} at {0} is up")
