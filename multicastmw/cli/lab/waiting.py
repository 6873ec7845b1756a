"""Waiting for something to become true, never for time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

GLANCE = 0.02  # seconds between two looks: below what a person notices, and cheap


class TimedOut(Exception):
    """What was awaited did not come; the text says what and for how long."""


def wait_until(condition: Callable[[], T | None], timeout: float, what: str) -> T:
    """Looks at `condition` until it is true and gives its value; raises TimedOut, naming `what`.

    Whatever the condition raises ends the waiting: it is where a node that died is noticed.  Between two
    looks passes at least what a look takes, for the node that is looked at has something else to do.
    """
    end = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        now = time.monotonic()
        if now >= end:
            raise TimedOut(f"{what}: not within {timeout:g} s")
        time.sleep(max(GLANCE, now - began))
