"""Where the members of a group find each other: at the three relays that its key picks.

The relays of a group are the first by highest-random-weight hash, so that whoever knows the same relays picks
the same ones.  A member registers now and then, the less often the more there are; the relay answers with
some of the others, and with the streams that are sent.
"""

from bisect import bisect_right
from hashlib import blake2b
from math import exp
from struct import Struct as Twin
from typing import TYPE_CHECKING

from multicastmw.core.bucket import Bucket
from multicastmw.core.mesh.neighbour import Neighbour
from multicastmw.core.mesh.settings import (
    REGISTER,
    REGISTRATIONS,
    REPLICAS,
    REPLY_SAMPLES,
    SAMPLES_AGE,
    SAMPLES_KEPT,
)
from multicastmw.wire.mesh import BASE, About, Find, Live, Meeting, Sample, StreamKey

if TYPE_CHECKING:
    from multicastmw.core.mesh.mesh import Mesh

BOTH = Twin("!QQ")
NAT, SENDER, SHARED = int(About.NAT), int(About.SENDER), int(About.SHARED)

# What we chose.
GROUPS_MAX = 4_096  # that one relay keeps: those that somebody registered for last
LIVE_MAX = 16  # streams of one reply
GROUPS_TOLD = 64  # groups of one
LIVE_LOOK = 1.0  # seconds between two looks at all groups, however many borders ask
ASKERS_MAX = 256  # borders of whom is known what they were told last
ESTIMATE_MOST = 1 << 20  # of members: who believes that there are so many hardly ever registers
STANDS_FOR_MOST = 1_024  # members that one registration may count for: 65,536 in a group
SOON = 2.0  # seconds until the second registration
ASK_AGAIN = 0.5, 2.0  # seconds, where no relay is known, and where none has answered
ASKS, ASKS_REST = 40, 0.1  # a second of all groups: less than half of what one relay takes; and seconds
ANSWERS_WITHIN = 10.0  # seconds: it may have to be dialled first


def weight(relay: int, group: int) -> int:
    """Highest random weight: the same everywhere."""
    return int.from_bytes(blake2b(BOTH.pack(relay, group), digest_size=8).digest(), "big")


class Register:
    """Members of one group, at a relay: up to 64, and an estimate of how many there are."""

    __slots__ = ("_at", "_estimate", "live", "members")

    def __init__(self, now: float) -> None:
        self.members: dict[int, tuple[Sample, float]] = {}
        self.live: dict[tuple[int, int, int], tuple[Live, float]] = {}
        self._estimate = 0.0
        self._at = now

    def enter(self, sample: Sample, stands_for: float, mesh: "Mesh", now: float) -> None:
        """`stands_for`: how many did not register, for this one that did."""
        self._estimate = self._estimate * exp((self._at - now) / REGISTER) + stands_for
        self._at = now
        self.members.pop(sample.node, None)
        if len(self.members) >= SAMPLES_KEPT:
            del self.members[mesh.rng.choice(list(self.members))]
        self.members[sample.node] = sample, now

    def is_live(self, now: float) -> bool:
        """Has somebody who does not only send registered within the time of two registrations?"""
        horizon = now - 2 * REGISTER - 5.0
        return any(at > horizon and not sample.flags & SENDER for sample, at in self.members.values())

    def estimate(self, now: float) -> int:
        found = round(self._estimate * exp((self._at - now) / REGISTER))
        return min(ESTIMATE_MOST, max(len(self.members), found))

    def some(self, besides: int, mesh: "Mesh", now: float) -> tuple[Sample, ...]:
        horizon = now - SAMPLES_AGE
        for node in [node for node, (_, at) in self.members.items() if at < horizon]:
            del self.members[node]
        known = [
            sample._replace(age=int(now - at))
            for node, (sample, at) in self.members.items()
            if node != besides
        ]
        return tuple(mesh.rng.sample(known, min(REPLY_SAMPLES, len(known))))


class MeetingPlace:
    """Both sides of it: this node as a relay, and as one who asks."""

    def __init__(self, mesh: "Mesh", now: float) -> None:
        self._mesh = mesh
        self._registers: dict[int, Register] = {}
        self._live: list[int] = []  # groups that have members, as it was at the last look
        self._live_until = now  # for which that counts
        self._told_last: dict[int, int] = {}  # the last group that a border was told of
        self._estimates: dict[int, int] = {}  # members, by group
        self._due: dict[int, float] = {}
        self._answered: dict[int, float] = {}  # groups of which a relay has told: seconds until the next time
        self._asks = Bucket(ASKS, 2 * ASKS)
        self._rests_until = now
        self._asked: dict[int, dict[int, float]] = {}  # by group, relays that were asked, and when
        self.due = float("inf")

    # --- who asks

    def join(self, group: int, now: float) -> None:
        """The group's members are looked for, at once and for as long as this node is in it."""
        self._due[group] = now
        self._wind()

    def lost(self, group: int, now: float) -> None:
        """Its last neighbour there is gone: the node is a newcomer once more, or it would wait for its next
        registration, for up to a minute after it can be reached again."""
        if group in self._answered:
            del self._answered[group]
            self._due[group] = now
            self._wind()

    def leave(self, group: int) -> None:
        self._due.pop(group, None)
        self._asked.pop(group, None)
        self._answered.pop(group, None)
        self._estimates.pop(group, None)
        self._wind()

    def relays(self, group: int) -> list[Sample]:
        known = self._mesh.contacts.relays()
        return sorted(known, key=lambda sample: weight(sample.node, group), reverse=True)[:REPLICAS]

    def rendezvous_points(self, group: int) -> list[Sample]:
        """Relays that know of shared trees and carry something, the first of the group's first; none where
        nobody is a relay."""
        relays = self._mesh.contacts.known_relays()
        known = [sample for sample in relays if sample.flags & SHARED and sample.capacity]
        return sorted(known, key=lambda sample: weight(sample.node, group), reverse=True)[:REPLICAS]

    def ask_once_more(self, group: int, now: float) -> None:
        """Members are looked for, where there is room for a question."""
        if self._asks.allows(now):
            self.ask(group, Meeting.QUERY, now)

    def ask(self, group: int, kind: Meeting, now: float) -> None:
        mine = (self._mesh.sample(),)
        if not self._mesh.is_member(group):
            mine = (mine[0]._replace(flags=mine[0].flags | SENDER),)
        message = Find(group, kind, mine, self._estimates.get(group, 0), self._mesh.live(group))
        relays = self.relays(group)
        self._asked[group] = {relay.node: now for relay in relays}
        for relay in relays:
            if relay.node == self._mesh.node:
                self._enter(mine[0], message, now)
                self._told(self._reply(group, mine[0].node, now), now)
            else:
                self._mesh.contacts.tell(relay, group, message, now)

    def ask_groups(self, now: float) -> None:
        """Which groups have members?  A border to a static tree wants them there."""
        message = Find(BASE, Meeting.QUERY, (self._mesh.sample(),))
        relays = self._mesh.contacts.relays()
        self._asked[BASE] = {relay.node: now for relay in relays}
        for relay in relays:
            if relay.node == self._mesh.node:
                self._mesh.groups_live(self._live_groups(now), now)
            else:
                self._mesh.contacts.tell(relay, BASE, message, now)

    def _live_groups(self, now: float) -> list[int]:
        """Those that somebody has registered for lately, in order."""
        if now >= self._live_until:
            self._live_until = now + LIVE_LOOK
            self._live = sorted(group for group, register in self._registers.items() if register.is_live(now))
        return self._live

    def _groups_for(self, asker: int, now: float) -> list[int]:
        """As many of them as a reply takes, each time the next ones, and all in turn."""
        live = self._live_groups(now)
        begin = bisect_right(live, self._told_last.pop(asker, -1))
        told = (live[begin:] + live[:begin])[:GROUPS_TOLD]
        while len(self._told_last) >= ASKERS_MAX:
            del self._told_last[next(iter(self._told_last))]
        if told:
            self._told_last[asker] = told[-1]
        return told

    def is_awaited(self, by: Neighbour, find: Find, now: float) -> bool:
        """Is it the answer of a relay that was asked for it?"""
        at = self._asked.get(find.group, {}).get(by.node, -ANSWERS_WITHIN)
        return find.kind == Meeting.REPLY and now < at + ANSWERS_WITHIN

    def _accept_reply(self, by: Neighbour, find: Find, now: float) -> None:
        """Of a question one answer is believed."""
        if not self.is_awaited(by, find, now):
            self._mesh.counters.replies_unasked += 1
            return
        del self._asked[find.group][by.node]
        if find.group == BASE:
            self._mesh.groups_live([live.stream.group for live in find.live], now)
        else:
            find = find._replace(samples=find.samples[:REPLY_SAMPLES], live=find.live[:LIVE_MAX])
            self._told(find, now, believed=self._mesh.standing.is_believed(by, now))

    def _told(self, find: Find, now: float, *, believed: bool = True) -> None:
        """Who else is in a group that this node is in."""
        if believed:
            self._estimates[find.group] = min(ESTIMATE_MOST, find.estimate)
        if find.group not in self._answered:
            self._answered[find.group] = SOON
            self._due[find.group] = now + SOON * self._mesh.rng.uniform(0.5, 1.0)
            self._wind()
        self._mesh.met(find, now, believed=believed)

    def tick(self, now: float) -> None:
        """Those of whom nobody has told come first: of many that are joined at once some have to wait."""
        due = [(group in self._answered, at, group) for group, at in self._due.items() if at <= now]
        for is_answered, _, group in sorted(due):
            if not self._asks.allows(now):
                self._rests_until = now + ASKS_REST
                break
            if is_answered:
                self._register(group, now)
            else:
                self._due[group] = now + ASK_AGAIN[bool(self.relays(group))]
                self.ask(group, Meeting.QUERY, now)
        self._wind()

    def _register(self, group: int, now: float) -> None:
        self._due[group] = now + self._rest(group) * self._mesh.rng.uniform(0.9, 1.1)
        if self._mesh.rng.random() < REGISTRATIONS / max(REGISTRATIONS, self._estimates.get(group, 0)):
            self.ask(group, Meeting.REGISTER, now)

    def _rest(self, group: int) -> float:
        """Until the next registration: soon, and then ever later, while there are few others; they may have
        come just after this one."""
        if self._mesh.is_few(group):
            self._answered[group] = min(REGISTER, 2 * self._answered[group])
            return self._answered[group]
        return REGISTER

    def _wind(self) -> None:
        self.due = max(self._rests_until, min(self._due.values(), default=float("inf")))
        self._mesh.wake(self.due)

    # --- as a relay

    def accept(self, by: Neighbour, find: Find, now: float) -> None:
        if find.kind == Meeting.REPLY:
            self._accept_reply(by, find, now)
            return
        if not find.samples or find.samples[0].node != by.node:
            return
        if find.group == BASE:
            live = tuple(Live(StreamKey(0, group, 0), 0) for group in self._groups_for(by.node, now))
            by.say(Find(BASE, Meeting.REPLY, (), 0, live), now)
            return
        flags = by.sample.flags | find.samples[0].flags & SENDER
        self._enter(by.sample._replace(flags=flags), find, now)
        by.say(self._reply(find.group, by.node, now), now)

    def _enter(self, sample: Sample, find: Find, now: float) -> None:
        register = self._registers.pop(find.group, None) or Register(now)
        while len(self._registers) >= GROUPS_MAX:
            del self._registers[next(iter(self._registers))]
        self._registers[find.group] = register
        stands_for = 1.0
        if find.kind == Meeting.REGISTER:
            stands_for = min(STANDS_FOR_MOST, max(1.0, find.estimate / REGISTRATIONS))
        register.enter(sample, stands_for, self._mesh, now)
        if sample.flags & NAT and find.group != BASE:
            self._mesh.serve(find.group, sample.node, now)
        for live in find.live[:LIVE_MAX]:
            register.live[live.stream] = live, now
            if len(register.live) > 4 * LIVE_MAX:
                del register.live[next(iter(register.live))]

    def _reply(self, group: int, besides: int, now: float) -> Find:
        register = self._registers.get(group)
        if register is None:
            return Find(group, Meeting.REPLY)
        live = tuple(each for each, at in register.live.values() if now - at < 2 * REGISTER)[-LIVE_MAX:]
        return Find(
            group, Meeting.REPLY, register.some(besides, self._mesh, now), register.estimate(now), live
        )
