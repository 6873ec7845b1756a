"""What a check finds: what is, and where it does harm why, and the line that mends it.

`fail`: something does not work.  `warn`: something is lost, or will be.  What could merely be otherwise is
ok.  A mend is one line: for a shell, or, where it begins with a [section], for node.ini; where neither is to
be had, it says who has to do what.
"""

from enum import StrEnum
from typing import Any, NamedTuple

Status = dict[str, Any]

NAMED = 40  # signs for what several things have in common


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(NamedTuple):
    """As it stands in the JSON."""

    id: str
    status: Verdict
    what: str
    why: str = ""
    mend: str = ""


def ok(name: str, what: str) -> Check:
    return Check(name, Verdict.OK, what)


def warn(name: str, what: str, why: str, mend: str) -> Check:
    return Check(name, Verdict.WARN, what, why, mend)


def fail(name: str, what: str, why: str, mend: str) -> Check:
    return Check(name, Verdict.FAIL, what, why, mend)


def naming(status: Status) -> str:
    """How programs are told which interface."""
    found = status["tap"]
    address = (found["address"] or "ADDRESS").partition("/")[0]
    return f"vlc --miface {found['device']}, ffmpeg ...?localaddr={address}"
