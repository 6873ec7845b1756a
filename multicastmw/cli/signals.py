"""Signals that go to a command for a while: Ctrl-C ends the work, and what was done is still said."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

ENDS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def go_to(
    take: Callable[[int, FrameType | None], None], numbers: Sequence[signal.Signals] = ENDS
) -> Iterator[None]:
    """These call `take` meanwhile.  Outside of the main thread none arrives, and nothing is changed."""
    try:
        before = {number: signal.signal(number, take) for number in numbers}
    except ValueError:
        before = {}
    try:
        yield
    finally:
        for number, what in before.items():
            signal.signal(number, what)


class Stop:
    """Whether Ctrl-C or SIGTERM has asked for the end."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: object) -> None:
        self.asked = True


@contextmanager
def stoppable() -> Iterator[Stop]:
    """They end nothing themselves meanwhile."""
    stop = Stop()
    with go_to(stop.ask):
        yield stop
