"""What is different between two status documents, as little as says it.

A change is JSON: `[value]` puts a value there, `[]` takes it away, `{name: change}` goes inside.  Inside a
list the names are places; a list that grew or shrank is put whole.

What merely became older is no change.  So documents are compared with moments in place of ages: `since` is
the moment from which it counts, on the clock of whoever took the snapshot, and `expires_in` that of the end.
"""

from dataclasses import is_dataclass
from typing import Any

from multicastmw.core.status import ATOMS

# Figures of the snapshot that move by themselves, and which way.
AGEING = {
    "uptime": -1, "since": -1, "ago": -1, "age": -1, "heard_ago": -1, "watched_for": -1,
    "expires_in": 1, "lease_left": 1,
}  # fmt: skip

# What we chose.
SAME_MOMENT = 0.25  # seconds within which two looks at one moment lie; the page shows whole ones

Change = list[Any] | dict[str, Any]

Kept = dict[int, tuple[Any, Any]]  # by id: what has no moment in it, and its document


class Documents:
    """Snapshots as documents, with moments in place of ages.

    Snapshots are frozen.  What is the same object in one and in the next is so in their documents, so that
    `difference` has nothing to look for in it.
    """

    def __init__(self) -> None:
        self._kept: Kept = {}
        self._moments = 0  # that were made so far

    def of(self, snapshot: Any, now: float) -> Any:
        """A copy of a snapshot that was taken at `now`."""
        before, self._kept = self._kept, {}
        return self._of(snapshot, now, before, False)

    def _of(self, value: Any, now: float, before: Kept, frozen: bool) -> Any:
        """`frozen`: it stands in a frozen value, and is never another one."""
        if not frozen and not is_dataclass(value):
            return self._made(value, now, before, False)
        last = before.get(id(value))
        if last is None or last[0] is not value:
            moments = self._moments
            last = value, self._made(value, now, before, True)
            if moments != self._moments:
                return last[1]
        self._kept[id(value)] = last
        return last[1]

    def _made(self, value: Any, now: float, before: Kept, frozen: bool) -> Any:
        if isinstance(value, list | tuple):
            return [
                inner if type(inner) in ATOMS else self._of(inner, now, before, frozen) for inner in value
            ]
        if isinstance(value, dict):
            return self._of_object(value, now, before, frozen)
        return self._of_object(vars(value), now, before, True) if is_dataclass(value) else value

    def _of_object(self, fields: dict[str, Any], now: float, before: Kept, frozen: bool) -> Any:
        found = {
            name: inner if type(inner) in ATOMS else self._of(inner, now, before, frozen)
            for name, inner in fields.items()
        }
        for name in AGEING.keys() & found.keys():
            if _is_number(found[name]):
                found[name] = round(now + AGEING[name] * found[name], 3)
                self._moments += 1
        return found


def difference(before: Any, after: Any) -> Change | None:
    """What makes `after` of `before`, None where nothing does; both have moments.

    A moment that is the same as before but for the look at the clock is made just that in `after`.
    """
    if before is after:
        return None
    if isinstance(before, dict) and isinstance(after, dict):
        return _of_objects(before, after)
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        inside = {}
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            if (change := difference(old, new)) is not None:
                inside[str(place)] = change
        return inside or None
    return None if type(before) is type(after) and before == after else [after]


def _of_objects(before: dict[str, Any], after: dict[str, Any]) -> Change | None:
    inside: dict[str, Any] = {name: [] for name in before if name not in after}
    for name, new in after.items():
        if name not in before:
            inside[name] = [new]
            continue
        old = before[name]
        if old is new:
            continue
        if name in AGEING and _is_number(old) and _is_number(new) and abs(new - old) <= SAME_MOMENT:
            after[name] = old
        elif (change := difference(old, new)) is not None:
            inside[name] = change
    return inside or None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
