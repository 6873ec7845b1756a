"""`[log] format = json`: the whole log as one JSON object a line, to standard output or twistd's log file.

Each has `time` (UTC, ISO 8601), `level`, `kind`, `system` and `text`.  `kind` is the name of one of
core/events.py, whose own fields follow, with `times` (or `such`, of a kind that stands for many): how often
it has come, where it is not printed each time.  It is null for whatever else is logged; a failure has a
`traceback`.
"""

import json
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from twisted.logger import ILogObserver, LogEvent, formatEvent
from zope.interface import implementer


@implementer(ILogObserver)
class JsonLines:
    """Writes each log event."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: LogEvent) -> None:
        own = {key: value for key, value in event.items() if _is_own(key) and _plain(value)}
        line = {
            "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds"),
            "level": getattr(event.get("log_level"), "name", "info"),
            "kind": own.pop("kind", None),
            "system": str(event.get("log_namespace", "-")),
            "text": formatEvent(event),
        }
        if "log_failure" in event:
            line["traceback"] = event["log_failure"].getTraceback()
        self._out.write(json.dumps(line | {key: own[key] for key in own if key not in line}) + "\n")
        self._out.flush()


def _is_own(key: str) -> bool:
    """Is it none of twisted's, of which its older log leaves two without their prefix?"""
    return not key.startswith("log_") and key not in ("format", "isError")


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


logfile: str | None = None  # set by daemon.py, as twistd calls `factory` by its name and without arguments


def factory() -> JsonLines:
    """What twistd asks for its observer: to its log file, else to the real standard output."""
    if logfile not in (None, "-"):
        return JsonLines(open(logfile, "a", encoding="utf-8"))
    assert sys.__stdout__ is not None
    return JsonLines(sys.__stdout__)
