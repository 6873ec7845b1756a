"""Waiting for something to become true, never for time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

GLANCE = 0.02  # seconds between two looks: below what a person notices, and cheap


class TimedOut(Exception):
    """What was awaited did not come; the text says what and for how long."""


def wait_until(condition: Callable[[], T], timeout: float, what: str) -> T:
    """Looks at `condition` until it is true and gives its value; raises TimedOut, naming `what`.

    Whatever the condition raises ends the waiting: it is where a node that died is noticed.
    """
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise TimedOut(f"{what}: not within {timeout:g} s")
        time.sleep(GLANCE)
