"""A certificate's time: what to say of it, and how often.

Times here are of the wall clock, seconds since 1970, for that is what a certificate is dated by.
"""

from datetime import UTC, datetime
from typing import NamedTuple

# What we chose.
DAY = 86_400.0
SOON = 14 * DAY  # before its end a running node warns
AGAIN = DAY  # between two warnings of the same


class Validity(NamedTuple):
    """From when until when a certificate is good."""

    begins: float
    ends: float


def is_void(validity: Validity, now: float) -> bool:
    """Is every link refused with it?"""
    return not validity.begins <= now < validity.ends


def verdict(validity: Validity, now: float, soon: float = SOON) -> str:
    """What is to be said of it, in words that follow its name; empty: it is good for longer than `soon`."""
    if now < validity.begins:
        return f"is not valid before {date(validity.begins)}; is a clock wrong?"
    if now >= validity.ends:
        return f"has expired on {date(validity.ends)}"
    if validity.ends - now < soon:
        return f"expires on {date(validity.ends)}, {_left(validity.ends - now)}"
    return ""


def date(at: float) -> str:
    """As people read it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _left(seconds: float) -> str:
    days = int(seconds // DAY)
    return "in less than a day" if not days else f"in {days} day{'s' if days > 1 else ''}"


class Expiry:
    """Remembers what it has said: news are said at once, the same again after a day."""

    def __init__(self) -> None:
        self._said: tuple[Validity, str] | None = None
        self._at = 0.0

    def look(self, validity: Validity, now: float) -> str:
        """What is to be said now, or nothing."""
        words = verdict(validity, now)
        kind = (validity, words.partition(" on ")[0])
        # A clock that was set back waits no longer than a day either.
        if not words or (kind == self._said and abs(now - self._at) < AGAIN):
            self._said = kind if words else None
            return ""
        self._said, self._at = kind, now
        return words
