"""The log as JSON lines."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from io import StringIO

from twisted.logger import Logger, LogPublisher, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from multicastmw.core import events
from multicastmw.core.events import Event
from multicastmw.services.journal import Journal
from multicastmw.services.jsonlog import JsonLines


class JsonLinesTests(TestCase):
    def setUp(self) -> None:
        self.out = StringIO()
        self.log = Logger(namespace="mcmw", observer=LogPublisher(JsonLines(self.out)))

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def test_an_event_is_one_object_with_its_text_and_its_own_fields(self) -> None:
        self.log.warn("{peer} is down: {why}", peer="b", why="silent\nfor 10 s", node=object())
        (line,) = self.lines()
        self.assertEqual(line["text"], "b is down: silent\nfor 10 s")
        self.assertEqual((line["level"], line["system"], line["peer"]), ("warn", "mcmw", "b"))
        self.assertNotIn("node", line)

    def test_no_field_of_an_event_takes_the_place_of_ours(self) -> None:
        event = {"log_time": 0.0, "log_format": "{text}", "text": "mine", "level": "none", "time": "never"}
        JsonLines(self.out)(event)
        (line,) = self.lines()
        self.assertEqual((line["level"], line["time"]), ("info", "1970-01-01T00:00:00.000+00:00"))

    def test_a_failure_brings_its_traceback(self) -> None:
        try:
            raise ZeroDivisionError("none")
        except ZeroDivisionError:
            self.log.failure("while dividing")
        (line,) = self.lines()
        self.assertIn("ZeroDivisionError: none", str(line["traceback"]))


# What a line has besides an event's own fields.
OURS = {"format", "isError", "time", "level", "kind", "system", "text", "traceback", "times", "such"}
VALUES = {str: "x", int: 7, float: 0.5}


def vocabulary() -> list[type[Event]]:
    """Every event that there is."""
    found = [each for each in vars(events).values() if isinstance(each, type) and issubclass(each, Event)]
    return [each for each in found if each is not Event]


class EveryEvent(SynchronousTestCase):
    """What whoever reads the lines by program can rely on."""

    def test_has_its_time_level_kind_text_and_all_of_its_fields(self) -> None:
        out = StringIO()
        observer = JsonLines(out)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        journal = Journal("debug", lambda: 0.0)
        self.assertGreater(len(vocabulary()), 30)
        for kind in vocabulary():
            event = kind(*(VALUES[field.type] for field in fields(kind)))
            journal.tell(event)
            line = json.loads(out.getvalue().splitlines()[-1])
            stable = {"level": event.level, "kind": kind.__name__, "system": "mcmw", "text": event.sentence()}
            self.assertEqual(stable | event.fields() | {"times": 1, "time": line["time"]}, line, kind)
            self.assertEqual(UTC, datetime.fromisoformat(line["time"]).tzinfo)

    def test_has_no_field_that_a_line_has_for_all(self) -> None:
        for kind in vocabulary():
            self.assertEqual(set(), OURS & {field.name for field in fields(kind)}, kind)

    def test_what_is_no_event_of_the_vocabulary_has_no_kind(self) -> None:
        out = StringIO()
        Logger(namespace="web", observer=LogPublisher(JsonLines(out))).info("hello", kind=["none"])
        self.assertEqual(
            (None, "hello"), (json.loads(out.getvalue())["kind"], json.loads(out.getvalue())["text"])
        )
