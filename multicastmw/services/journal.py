"""Says events aloud: into twisted's log, thinned where somebody else decides how often they come."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from twisted.logger import Logger, LogLevel

from multicastmw.core.events import Event, PeerDown, PeerUp
from multicastmw.core.room import LINKS_MAX

# What we chose.
KINDS_MAX = 256  # kinds of repeating events told apart; what a stranger invents above is one kind a type
KINDS_OF_ONE = 8  # of these of one address, so that one caller cannot take them all
KINDS_THAT_MATTER = 1_024  # more, for peers that node.ini names and for links that have lasted
LASTS = 10.0  # seconds up, and a link's fall is told whatever else goes on
LASTING_OF_ONE = 32  # links of one address that have that right, the first that came
QUIET = 60.0  # seconds without one, and the next is news again
SWEEP = 1.0  # seconds at least between two looks for what has been quiet
KEPT = 200  # events for people to look at


class Kind(NamedTuple):
    """What is counted together; without `alike`, and without `whose`, many kinds are one."""

    type: type[Event]
    whose: object = None
    alike: tuple[object, ...] | None = None

    def groups(self) -> Iterable[tuple[object, ...]]:
        """What it takes room of: its address, its peer, its link."""
        if self.alike is None:
            return ()
        return {(self.type, self.whose), (self.type, self.alike[:1]), (self.type, self.alike[:2])}


@dataclass
class Repetition:
    """How often a kind has come since it was last quiet."""

    times: int
    last: float


class Up(NamedTuple):
    """A link that is up."""

    since: float
    is_of_the_first: bool  # of its address


class Journal:
    """Every event of a node passes here; of those that repeat, the 1st, 2nd, 4th, 8th ... are printed."""

    def __init__(self, level: str, clock: Callable[[], float]) -> None:
        self.set_level(level)
        self.events: deque[tuple[float, Event]] = deque(maxlen=KEPT)
        self.sections: set[str] = set()  # names of [peer:NAME]
        self.number = 0  # of the last event that was kept
        self._clock = clock
        self._log = Logger(namespace="mcmw")
        self._seen: dict[Kind, Repetition] = {}
        self._kinds: Counter[tuple[object, ...]] = Counter()  # of those seen, by their groups
        self._swept = -SWEEP
        self._up: dict[tuple[str, str], Up] = {}  # links by name and address
        self._first: Counter[str] = Counter()  # of those up that are of the first of an address
        self.told: Counter[str] = Counter()  # all there were, by their kind

    def recent(self) -> list[dict[str, Any]]:
        """The last events, the oldest first: `ago` in seconds, `kind`, `level`, and `text` for people."""
        return [event for _, event in self.after(0)]

    def after(self, number: int) -> list[tuple[int, dict[str, Any]]]:
        """The same, each with its number, of those behind one, as far as they are kept."""
        now, first = self._clock(), self.number - len(self.events)
        return [
            (
                first + place + 1,
                {
                    "ago": now - at,
                    "kind": type(event).__name__,
                    "level": event.level,
                    "text": event.sentence(),
                },
            )
            for place, (at, event) in enumerate(self.events)
            if first + place >= number
        ]

    def set_level(self, level: str) -> None:
        """What is less is not printed from now on."""
        self.level = LogLevel.levelWithName(level)

    def tell(self, event: Event) -> None:
        """Prints the event, or only counts it."""
        self.told[type(event).__name__] += 1
        now = self._clock()
        kind = None if event.alike is None else self._kind(event, event.alike, now)
        times = 1 if kind is None else self._count(kind, now)
        self._note_link(event, now)
        if times & (times - 1):
            return
        self.events.append((now, event))
        self.number += 1
        level = LogLevel.levelWithName(event.level)
        if level < self.level:
            return
        if kind is None or kind.alike is not None:
            text = event.text if times == 1 else event.text + " ({times} times)"
            self._log.emit(level, text, **event.fields(), times=times)
        else:
            text = event.text if times == 1 else event.text + " (one of {such} such)"
            self._log.emit(level, text, **event.fields(), such=times)

    def _count(self, kind: Kind, now: float) -> int:
        if kind not in self._seen:
            self._seen[kind] = Repetition(0, now)
            self._kinds.update(kind.groups())
        seen = self._seen[kind]
        seen.times = seen.times + 1 if now - seen.last < QUIET else 1
        seen.last = now
        return seen.times

    # --- what is counted as a kind of its own

    def _kind(self, event: Event, alike: tuple[str, ...], now: float) -> Kind:
        """All that is alike, else whose it is, else the type alone."""
        fields = event.fields()
        kind = Kind(type(event), self._whose(fields, alike), tuple(fields[name] for name in alike))
        if kind in self._seen:
            return kind
        self._sweep(now)
        if "peer" in alike and self._matters(kind, fields, now):
            return kind
        if self._kinds[kind[:2]] >= KINDS_OF_ONE:
            kind = Kind(kind.type, kind.whose)
        if kind not in self._seen and len(self._seen) >= KINDS_MAX:
            kind = Kind(kind.type)
        return kind

    def _whose(self, fields: dict[str, Any], alike: tuple[str, ...]) -> object:
        """Who would take room with many kinds: an address, as names are invented."""
        if "address" in alike:
            return fields["address"]
        if "peer" in alike:
            return self._address(fields["peer"])
        return fields[alike[0]] if alike else ""

    def _address(self, peer: str) -> str:
        """Where the link of this name is; the name itself where none is up."""
        return next((address for name, address in reversed(self._up) if name == peer), peer)

    def _matters(self, kind: Kind, fields: dict[str, Any], now: float) -> bool:
        """Is it of a peer that node.ini names, or of a link that has lasted or whose fall was told?"""
        if len(self._seen) >= KINDS_MAX + KINDS_THAT_MATTER:
            return False
        peer = fields["peer"]
        link = peer, fields.get("address", kind.whose)
        up = self._up.get(link)
        if up and up.is_of_the_first and now - up.since >= LASTS:
            return True
        if peer in self.sections and self._kinds[kind.type, (peer,)] < KINDS_OF_ONE:
            return True
        return kind.type is PeerUp and self._kinds[PeerDown, link] > 0

    def _sweep(self, now: float) -> None:
        """Takes away what has been quiet."""
        if now - self._swept < SWEEP:
            return
        self._swept = now
        self._seen = {kind: seen for kind, seen in self._seen.items() if now - seen.last < QUIET}
        self._kinds = Counter(group for kind in self._seen for group in kind.groups())

    def _note_link(self, event: Event, now: float) -> None:
        """Who comes later from an address takes no room of its first, nor of those that fell just now."""
        if not isinstance(event, PeerUp | PeerDown):
            return
        link = event.peer, event.address
        before = self._up.pop(link, None)
        if before and before.is_of_the_first:
            self._first -= Counter([event.address])
        if isinstance(event, PeerUp) and len(self._up) < LINKS_MAX:
            taken = self._first[event.address] + self._kinds[PeerDown, event.address]
            self._up[link] = Up(now, taken < LASTING_OF_ONE)
            if taken < LASTING_OF_ONE:
                self._first[event.address] += 1
