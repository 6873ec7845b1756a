"""How often something may be done: so much a second, and so much at once."""

from math import inf


class Bucket:
    """Fills by `a_second`, up to `at_once`; it is full when it is first asked."""

    __slots__ = ("_a_second", "_at", "_at_once", "_left")

    def __init__(self, a_second: float, at_once: float) -> None:
        self._a_second = a_second
        self._at_once = self._left = at_once
        self._at = -inf

    def fills_by(self, a_second: float, at_once: float) -> None:
        """From now on; what is in it stays, and more comes with the time."""
        self._a_second, self._at_once = a_second, at_once

    def allows(self, now: float, amount: float = 1) -> bool:
        """Is there so much left?  Takes it."""
        if now > self._at:
            self._left = min(self._at_once, self._left + (now - self._at) * self._a_second)
            self._at = now
        if self._left < amount:
            return False
        self._left -= amount
        return True


class Bound:
    """A bucket for what somebody else says: what is over it is dropped, and is a flood where it is `times` as
    much."""

    __slots__ = ("_bucket", "_over")

    def __init__(self, a_second: float, at_once: float, times: float) -> None:
        self._bucket = Bucket(a_second, at_once)
        self._over = Bucket((times - 1) * a_second, (times - 1) * at_once)

    def allows(self, now: float, amount: float = 1) -> bool:
        """Is it within the bound?"""
        return self._bucket.allows(now, amount)

    def is_flooded(self, now: float, amount: float = 1) -> bool:
        """That was over it: far over?"""
        return not self._over.allows(now, amount)
