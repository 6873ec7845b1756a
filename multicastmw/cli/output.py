"""Standard output that can fail: its reader may have gone (`| head`), its disk may be full.

Every command writes to `sys.stdout` in its own way.  While `guarded`, what fails there is `Lost`, which is
told from whatever else raises OSError, and neither click nor rich makes something else of it.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EBADF, EPIPE
from typing import Any

FAILED = 1
READER_GONE = 141  # as shells have it of what SIGPIPE ended


class Lost(Exception):
    """What was to be said could not be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror or error}")
        self.reader_is_gone = error.errno == EPIPE

    @property
    def exit_code(self) -> int:
        return READER_GONE if self.reader_is_gone else FAILED


class _Descriptor(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise Lost(error) from error


class _Closed(io.RawIOBase):
    """Where there is no standard output (`>&-`).  Its number may be another file's by now."""

    is_told = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.is_told:  # buffers are written once more at the end
            return len(data)
        self.is_told = True
        raise Lost(OSError(EBADF, "it is closed"))


@contextmanager
def guarded() -> Iterator[None]:
    """Inside, what cannot be written to stdout raises Lost, at the end at the latest."""
    before = sys.stdout
    number = _descriptor(before)
    if before is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()), "utf-8")
    elif number is None:  # a test's own
        yield
        return
    else:
        before.flush()
        buffered = io.BufferedWriter(_Descriptor(number, "w", closefd=False))
        sys.stdout = io.TextIOWrapper(
            buffered, before.encoding, before.errors, line_buffering=bool(before.line_buffering)
        )
    try:
        yield
        sys.stdout.flush()
    except Lost:
        if number is not None:
            _to_nowhere(number)
        raise
    finally:
        with suppress(Lost):
            sys.stdout.flush()
        sys.stdout = before


def _descriptor(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def _to_nowhere(number: int) -> None:
    """What waits in buffers is written at the end, and would fail again."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
