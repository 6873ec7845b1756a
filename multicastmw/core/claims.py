"""Who holds what: the arithmetic under both tables, of channels and of reachable nodes.

A *holder* claims *keys*.  What a holder is told is what the others claim, all of them but itself; so its
view of a key changes only when the first other claim comes or the last other claim goes.

A holder that is gone claims nothing from that moment on; who has to be told of it is told as its claims are
taken back, which may be a few at a time.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
H = TypeVar("H", bound=Hashable)


class Claims(Generic[K, H]):
    """A relation between keys and holders that reports whose view of a key a change has altered."""

    def __init__(self, changed: Callable[[H, K], None]) -> None:
        self._changed = changed
        self._holders: dict[K, dict[H, None]] = {}
        self._held: dict[H, dict[K, None]] = {}
        self._parted: set[H] = set()  # gone, and not all of its claims are taken back

    def __len__(self) -> int:
        """Keys that room is kept for, also those whose last holder has just gone."""
        return len(self._holders)

    def __contains__(self, key: K) -> bool:
        """Is room kept for the key?"""
        return key in self._holders

    def __iter__(self) -> Iterator[K]:
        """Keys that somebody claims."""
        if not self._parted:
            return iter(self._holders)
        return (key for key in self._holders if self.holders(key))

    def join(self, holder: H) -> None:
        """From now on the holder is told of changes."""
        self._held.setdefault(holder, {})

    def part(self, holder: H) -> None:
        """The holder is gone and its claims count no more; `release` takes them back and tells the others."""
        if holder in self._held:
            self._parted.add(holder)

    def release(self, holder: H, most: int) -> list[K]:
        """Takes so many claims of one that has parted back, and gives them; then nothing of it is kept."""
        held = self._held.get(holder, {})
        keys = list(islice(held, most))
        for key in keys:
            self.remove(holder, key)
        if not held:
            self._held.pop(holder, None)
            self._parted.discard(holder)
        return keys

    def add(self, holder: H, key: K) -> bool:
        """The holder claims the key; False if it did already."""
        holders = self._holders.setdefault(key, {})
        if holder in holders:
            return False
        before = self._present(holders)
        holders[holder] = None
        self._held[holder][key] = None
        self._report(key, holder, before)
        return True

    def remove(self, holder: H, key: K) -> bool:
        """The holder claims the key no longer; False if it did not."""
        holders = self._holders.get(key, {})
        if holder not in holders:
            return False
        del holders[holder]
        del self._held[holder][key]
        if not holders:
            del self._holders[key]
        self._report(key, holder, self._present(holders))
        return True

    def _report(self, key: K, holder: H, others: list[H]) -> None:
        """One claim came or went beside those of `others`: with two others nobody's view has changed."""
        affected = self._present(self._held) if not others else others if len(others) == 1 else ()
        for other in affected:
            if other != holder:
                self._changed(other, key)

    def _present(self, holders: Iterable[H]) -> list[H]:
        """Those of them that are not gone."""
        return [holder for holder in holders if holder not in self._parted] if self._parted else list(holders)

    def holders(self, key: K) -> tuple[H, ...]:
        """Who claims the key, in the order of their coming."""
        return tuple(self._present(self._holders.get(key, ())))

    def held(self, holder: H) -> tuple[K, ...]:
        return tuple(self._held.get(holder, ()))

    def count(self, holder: H) -> int:
        """Claims of the holder; of one that has parted, those not taken back yet."""
        return len(self._held.get(holder, ()))

    def members(self) -> tuple[H, ...]:
        """All who joined and are not gone."""
        return tuple(self._present(self._held))

    def besides(self, holder: H, key: K) -> bool:
        """Does anybody but the holder claim the key?"""
        holders = self._holders.get(key, {})
        if self._parted:
            return any(other != holder for other in self._present(holders))
        return len(holders) > (holder in holders)

    def all_besides(self, holder: H) -> Iterator[K]:
        """Every key that somebody else claims: the whole view of one holder."""
        return (key for key in self._holders if self.besides(holder, key))
