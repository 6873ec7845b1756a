"""The log as JSON lines."""

import json
from io import StringIO

from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import TestCase

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
