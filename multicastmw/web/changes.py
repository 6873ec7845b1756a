"""What is different between two status documents, as little as says it.

A change is JSON: `[value]` puts a value there, `[]` takes it away, `{name: change}` goes inside.  Inside a
list the names are places; a list that grew or shrank is put whole.

What merely became older is no change.  So documents are compared with moments in place of ages: `since` is
the moment from which it counts, on the clock of whoever took the snapshot, and `expires_in` that of the end.
"""

from typing import Any

# Figures of the snapshot that move by themselves, and which way.
AGEING = {
    "uptime": -1, "since": -1, "ago": -1, "age": -1, "heard_ago": -1, "watched_for": -1,
    "expires_in": 1, "lease_left": 1,
}  # fmt: skip

# What we chose.
SAME_MOMENT = 0.25  # seconds within which two looks at one moment lie; the page shows whole ones

Change = list[Any] | dict[str, Any]


def with_moments(value: Any, now: float) -> Any:
    """A copy of a document taken at `now`, with moments in place of ages."""
    if isinstance(value, dict):
        return {
            name: round(now + AGEING[name] * inner, 3)
            if name in AGEING and _is_number(inner)
            else with_moments(inner, now)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [with_moments(inner, now) for inner in value]
    return value


def difference(before: Any, after: Any) -> Change | None:
    """What makes `after` of `before`, None where nothing does; both have moments.

    A moment that is the same as before but for the look at the clock is made just that in `after`.
    """
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
        if name in AGEING and _is_number(old) and _is_number(new) and abs(new - old) <= SAME_MOMENT:
            after[name] = old
        elif (change := difference(old, new)) is not None:
            inside[name] = change
    return inside or None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
