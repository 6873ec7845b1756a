"""What is announced, kept: for people, for exports, and for programs that join later.

A session is known by who announces it (the packet's source and the originating source within) and by its o=
line without the version, so nobody changes or deletes another's.  The same bytes again cost a look-up; what
is new is parsed, as much of it as an allowance permits: some 0.1 ms each.

    heard again      the period is measured; it goes when unheard for ten of them, an hour at least
    deleted          by its announcer: then it goes at once (VLC waits for the hour)
    full             the node from whose part of the overlay most of it comes makes room: what was heard only
                     once, then what was heard again last (shares.py).  What is new of that node itself takes
                     the place of what was heard once, or is refused.  So a flood never pushes out what is
                     really there, be it at its own node.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import blake2b
from operator import attrgetter
from typing import NamedTuple

from multicastmw.core.counters import Counters
from multicastmw.core.events import (
    Limit,
    SessionChanged,
    SessionGone,
    SessionNew,
    SessionRefused,
    Tell,
)
from multicastmw.core.identity import node_of
from multicastmw.core.sessions.allowance import Allowances, pieces
from multicastmw.core.sessions.shares import Home, Share, Use
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import text as ip
from multicastmw.wire.sap import SDP, Announcement, longest_payload
from multicastmw.wire.sdp import Description, Origin, origin_of

# What the specification says (RFC 2974, 4).
PERIODS = 10
AN_HOUR = 3_600.0

# What we chose.
SESSIONS_MAX = 1_024
OF_ONE_SOURCE = 256
COST_MAX = 8 << 20  # bytes, with what Python needs around them; an ordinary session takes some 4,000
A_LINE, A_WORD = 256, 64  # of these (measured: up to 230 and 60)
SWEEP = 5.0
SAME_TIME = 0.2  # seconds within which a repetition is a copy, and no period
SMOOTHED = 4  # the period follows a change by a quarter each time

Key = tuple[int, bytes, tuple[str, str, str, str]]
SESSIONS, COST = attrgetter("sessions"), attrgetter("cost")  # of a share, and of what is wanted


class SapCounters(Counters):
    """What became of SAP packets."""

    __slots__ = (
        "announced", "deleted", "deletions_unknown", "displaced", "encrypted", "evicted", "expired",
        "malformed", "not_read", "other_types", "received", "refused", "replayed", "replays_refused",
    )  # fmt: skip
    announced: int  # by this node, for [session:NAME]
    deleted: int
    deletions_unknown: int  # of what is not here, or is another's
    displaced: int  # heard again, and made room, as their node had most
    encrypted: int
    evicted: int  # heard only once, and made room
    expired: int
    malformed: int
    not_read: int  # above the allowance
    other_types: int  # that are not SDP
    received: int
    refused: int  # above the bounds
    replayed: int
    replays_refused: int  # to hosts that come and go


class Arrival(NamedTuple):
    """How an announcement came: SAP group, IP source, who brought it into the overlay, when."""

    group: int
    source: int
    origin: int
    now: float


class Session:
    """One that is kept.  `message` is the SAP packet as it came, `text` its SDP."""

    __slots__ = (
        "cost", "description", "hash", "heard", "home", "id", "key", "message", "origin", "period", "scopes",
        "shown", "since", "text", "times",
    )  # fmt: skip

    def __init__(self, key: Key, home: Home, now: float) -> None:
        self.key = key
        self.home = home  # in whose share it is, wherever it comes from later
        self.id = blake2b(repr(key).encode(), digest_size=6).hexdigest()
        self.since = self.heard = now
        self.period: float | None = None
        self.times = 0
        self.scopes: dict[int, float] = {}  # SAP groups: when it was heard there last
        self.origin = 0
        self.description: Description
        self.hash, self.message, self.text, self.cost = 0, b"", b"", 0
        self.shown: object = None  # what is made of it for people, once

    @property
    def source(self) -> int:
        """Whose packets announce it."""
        return self.key[0]

    @property
    def expires(self) -> float:
        return self.heard + max(AN_HOUR, PERIODS * (self.period or 0.0))

    @property
    def name(self) -> str:
        """Fit for a log."""
        name = self.description.name
        return "".join(sign if sign.isprintable() else "?" for sign in name) or "without a name"

    def holds(self, message: bytes, number: int, text: bytes, description: Description) -> None:
        self.message, self.hash, self.text, self.description = message, number, text, description
        self.cost, self.shown = cost_of(message, text), None

    def heard_again(self, arrival: Arrival) -> None:
        before = self.scopes.get(arrival.group)
        self.times += 1
        self.origin = arrival.origin
        self.heard = self.scopes[arrival.group] = arrival.now
        if before is not None and arrival.now - before > SAME_TIME:
            gap = arrival.now - before
            self.period = gap if self.period is None else self.period + (gap - self.period) / SMOOTHED


def cost_of(message: bytes, text: bytes) -> int:
    """What keeping it takes, in bytes, at most."""
    return len(message) + len(text) + A_LINE * (text.count(b"\n") + 1) + A_WORD * text.count(b" ")


class Directory:
    """All sessions that are kept; a machine with `deadline` and `tick`."""

    def __init__(
        self,
        now: float,
        tell: Tell = lambda event: None,
        home_of: Callable[[int], Home] = lambda origin: Home(node_of(origin), node_of(origin)),
    ) -> None:
        """`home_of` an origin, which a stranger writes: see shares.py."""
        self._home_of = home_of
        self.counters = SapCounters()
        self.cost = 0
        self.changed: Callable[[], None] = lambda: None  # the deadline may have come nearer
        self._tell = tell
        self._sessions: dict[Key, Session] = {}
        self._same: dict[tuple[int, bytes], Session] = {}  # by source and SAP packet
        self._shares: dict[Home, Share[Key]] = {}
        self._of_source: Counter[int] = Counter()
        self._allowances = Allowances()
        self._sweep_at = now + SWEEP

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session: Session) -> bool:
        return self._sessions.get(session.key) is session

    def sessions(self) -> Iterable[Session]:
        return self._sessions.values()

    def announced_at(self, group: int) -> list[Session]:
        """Those of a SAP group."""
        return [session for session in self._sessions.values() if group in session.scopes]

    # --- what is heard

    def accept(self, message: bytes, arrival: Arrival) -> None:
        """One SAP packet; nothing that it holds is raised."""
        self.counters.received += 1
        known = self._same.get((arrival.source, message))
        if known:
            self._again(known, arrival)
            return
        if not self._may_read(message, arrival):
            self.counters.not_read += 1
            return
        try:
            self._accept_new(Announcement.parse(message), message, arrival)
        except Malformed as error:
            self.counters.malformed += 1
            self._tell(SessionRefused(ip(arrival.source), str(error)))

    def _may_read(self, message: bytes, arrival: Arrival) -> bool:
        return self._allowances.allow(
            arrival.source, self._home_of(arrival.origin), pieces(longest_payload(message)), arrival.now
        )

    def _again(self, session: Session, arrival: Arrival) -> None:
        before = session.scopes.get(arrival.group)
        if before is not None and arrival.now - before > SAME_TIME:  # two at once are one said twice
            self._shares[session.home].heard_again(session.key)
        session.heard_again(arrival)

    def _accept_new(self, announcement: Announcement, message: bytes, arrival: Arrival) -> None:
        if announcement.encrypted:
            self.counters.encrypted += 1
        elif announcement.payload_type != SDP:
            self.counters.other_types += 1
        elif announcement.deletion:
            self._delete(announcement, arrival)
        else:
            description = Description.parse(announcement.payload)
            key = _key(arrival, announcement, description.origin)
            known = self._sessions.get(key)
            if known:
                self._replace(known, announcement, message, description, arrival)
            else:
                self._add(key, announcement, message, description, arrival)

    def _add(
        self, key: Key, announcement: Announcement, message: bytes, description: Description, arrival: Arrival
    ) -> None:
        if self._of_source[arrival.source] >= OF_ONE_SOURCE:
            self._refuse(
                f"{OF_ONE_SOURCE} sessions are kept that {ip(arrival.source)} announces, and no more"
            )
            return
        home = self._home_of(arrival.origin)
        if not self._make_room(home, Use(1, cost_of(message, announcement.payload))):
            self._refuse(f"{len(self)} sessions are kept, and no further ones")
            return
        session = self._sessions[key] = Session(key, home, arrival.now)
        self._shares.setdefault(home, Share()).add(key)
        self._of_source[arrival.source] += 1
        self._hold(session, announcement, message, description)
        session.heard_again(arrival)
        self._tell(SessionNew(ip(session.source), session.name))
        self.changed()

    def _replace(
        self,
        session: Session,
        announcement: Announcement,
        message: bytes,
        description: Description,
        arrival: Arrival,
    ) -> None:
        """A newer description, or another packet around the same."""
        before = session.description
        self._let_go(session)
        self._hold(session, announcement, message, description)
        self._again(session, arrival)
        if not self._make_room(session.home, Use(0, 0), spared=session):
            self._remove(session, "its description has grown, and there is no room for it")
        if session in self and _without_version(before) != _without_version(description):
            self._tell(SessionChanged(ip(session.source), session.name))

    def _hold(
        self, session: Session, announcement: Announcement, message: bytes, description: Description
    ) -> None:
        session.holds(message, announcement.hash, announcement.payload, description)
        self.cost += session.cost
        self._shares[session.home].cost += session.cost
        self._same[session.source, message] = session

    def _let_go(self, session: Session) -> None:
        self.cost -= session.cost
        self._shares[session.home].cost -= session.cost
        self._same.pop((session.source, session.message), None)

    def _delete(self, announcement: Announcement, arrival: Arrival) -> None:
        """Only its announcer's word counts: see _key."""
        found = self._sessions.get(_key(arrival, announcement, origin_of(announcement.payload)))
        if found is None:
            self.counters.deletions_unknown += 1
            return
        self.counters.deleted += 1
        self._remove(found, "deleted by who had announced it")

    # --- bounds

    def _is_within(self, sessions: int = 0, cost: int = 0) -> bool:
        return len(self) + sessions <= SESSIONS_MAX and self.cost + cost <= COST_MAX

    def _make_room(self, home: Home, wanted: Use, spared: Session | None = None) -> bool:
        """For one more of this node, or for one of its that has grown: see shares.py."""
        while not self._is_within(*wanted) and (found := self._who_goes(home, wanted, spared)):
            victim, why = found
            self._remove(victim, why)
        return self._is_within(*wanted)

    def _who_goes(self, home: Home, wanted: Use, spared: Session | None) -> tuple[Session, str] | None:
        """One that makes room, and why; None where nobody has to."""
        share, key = self._giver(home, wanted), spared.key if spared else None
        if share is None:
            return None
        if (once := share.was_once(key)) is not None:
            self.counters.evicted += 1
            return self._sessions[once], "it was heard once, and made room"
        is_newcomers = share is self._shares.get(home) and not spared
        junior = None if is_newcomers else share.junior(key)
        if junior is None:
            return None
        self.counters.displaced += 1
        return self._sessions[junior], "most sessions come from its node, and it made room"

    def _giver(self, home: Home, wanted: Use) -> Share[Key] | None:
        """The largest share of the largest way, of what there is too much of; where another than its own is
        not larger than its own would be, its own."""
        of = SESSIONS if len(self) + wanted.sessions > SESSIONS_MAX else COST
        ways: Counter[int] = Counter()
        for at, share in self._shares.items():
            ways[at.way] += of(share)
        own = self._shares.get(home)
        way = max(ways, key=ways.__getitem__, default=home.way)
        if way == home.way or ways[way] <= ways[home.way] + of(wanted):
            way, its = home.way, of(wanted) + (of(own) if own else 0)
        else:
            its = 0
        most = max((share for at, share in self._shares.items() if at.way == way), key=of, default=None)
        return most if most and of(most) > its else own

    def _refuse(self, why: str) -> None:
        self.counters.refused += 1
        self._tell(Limit(why))

    def _remove(self, session: Session, why: str) -> None:
        del self._sessions[session.key]
        self._let_go(session)
        share = self._shares[session.home]
        share.remove(session.key)
        if not share.sessions:
            del self._shares[session.home]
        self._of_source[session.source] -= 1
        if not self._of_source[session.source]:
            del self._of_source[session.source]
        self._tell(SessionGone(ip(session.source), session.name, why))

    def forget_scope(self, group: int) -> None:
        """[groups] keeps this SAP group out from now on."""
        for session in self.announced_at(group):
            del session.scopes[group]
            if not session.scopes:
                self._remove(session, f"[groups] keeps {ip(group)} out, where it was announced")

    # --- time

    def deadline(self) -> float:
        return self._sweep_at if self._sessions else float("inf")

    def tick(self, now: float) -> None:
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP
        for session in [session for session in self._sessions.values() if session.expires <= now]:
            self.counters.expired += 1
            self._remove(session, f"unheard for {now - session.heard:.0f} s")


def _key(arrival: Arrival, announcement: Announcement, origin: Origin) -> Key:
    return arrival.source, announcement.source, origin.identity


def _without_version(description: Description) -> Description:
    """For what is said in it: the version only says that something is another."""
    return replace(description, origin=description.origin._replace(version="0"))
