"""The search for neighbours over whom a group's streams come on a short way.

    asked   parents and near neighbours, whom they know on the way from the origin to here (T-Man), and
            their own parents: so a node climbs its tree
    probed  the best of them by place are dialled, and their distance is measured
    tried   they become neighbours, and say how long their own way is; the best of them stay

While the ways are longer than they might be this is done every few seconds, then twice a minute.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from multicastmw.core.mesh.neighbour import Choice, Neighbour, slots_of, weight_of
from multicastmw.core.mesh.place import between
from multicastmw.core.mesh.settings import (
    FIRST_PROBES,
    NEAR,
    PASSIVE,
    PROBE,
    PROBE_SOON,
    PROBES,
    SHUFFLE_ACTIVE,
    SHUFFLE_PASSIVE,
    TRIAL,
    TRIALS,
    TRY_AGAIN,
)
from multicastmw.wire.mesh import BASE, About, Kind, Peers, Sample

if TYPE_CHECKING:
    from multicastmw.core.mesh.circle import Circle
    from multicastmw.core.mesh.mesh import Mesh

NAT = int(About.NAT)

# What we chose.
PARENTS = 2  # that are named to who asks, and asked
HELPED, LONGER = 0.95, 1.15
ASKED_NEAR = 3  # of these one
CLOSE = 24  # who seem to be on the way and were not measured
DISTANCES = 2 * PASSIVE  # that are remembered: no candidates for a while, and then known ones
NEVER = float("inf")


class Measured(NamedTuple):
    """Somebody was so many seconds away, then; and `before` is how far from the origins, as it said."""

    sample: Sample
    distance: float
    at: float
    before: float = NEVER


class Near:
    """One circle's."""

    def __init__(self, circle: "Circle", mesh: "Mesh", now: float) -> None:
        self.asked: set[int] = set()  # to be neighbours, for a trial
        self.close: dict[int, tuple[Sample, float]] = {}  # and seconds, as far as can be told
        self.distances: dict[int, Measured] = {}
        self._circle = circle
        self._mesh = mesh
        self._first = [now + after for after in FIRST_PROBES] if circle.group != BASE else []
        self._probe_at = self._first.pop(0) if self._first else NEVER
        self._judge_at = NEVER
        self._soon = PROBE_SOON
        self._cost = 0  # of the ways here, at the last probe
        self._hints: dict[int, Sample] = {}  # parents of our parents
        self._trials: dict[Neighbour, float] = {}  # neighbours on trial, until

    @property
    def due(self) -> float:
        return min(self._probe_at, self._judge_at)

    def tick(self, now: float) -> None:
        if now >= self._probe_at:
            self._probe(now)
        if now >= self._judge_at:
            self._judge(now)

    # --- hearing of them

    def heard_of(self, samples: Iterable[Sample]) -> None:
        """Those who seem to be on the way are remembered, where they carry something for others."""
        able = [
            sample
            for sample in samples
            if weight_of(sample) >= 1
            and sample.node not in self.distances
            and self._circle.can_be_reached(sample)
        ]
        if not able:
            return
        detour = self._detour()
        close = self.close
        for sample in able:
            close[sample.node] = sample, detour(sample)
            if len(close) > CLOSE:
                del close[max(close, key=lambda node: close[node][1])]

    def _detour(self) -> Callable[[Sample], float]:
        """How far it is from the origins to here over somebody; what was measured of that counts."""
        before, here = self._circle.ways.before(), self._mesh.whereabouts.place
        distances = self.distances

        def over(sample: Sample) -> float:
            known = distances.get(sample.node)
            if known is None:
                return before(sample) + between(sample.place, here)
            return min(known.before, before(sample)) + known.distance

        return over

    def forget(self, node: int) -> None:
        self.asked.discard(node)
        self.close.pop(node, None)
        self.distances.pop(node, None)
        self._hints.pop(node, None)

    def known_to(self, asker: Sample, now: float) -> tuple[Sample, ...]:
        """This node, its parents, an origin, and whom it knows on the way to who asks."""
        circle, mesh = self._circle, self._mesh
        above = [parent.sample for parent in circle.ways.parents() if not parent.is_nat][:PARENTS]
        above += circle.ways.origins()[:1]
        known = {node: sample for node, (sample, _) in self.close.items()}
        known |= {node: sample._replace(age=int(now - at)) for node, (sample, at) in circle.passive.items()}
        known = {node: sample for node, sample in known.items() if not sample.flags & NAT}
        known |= {neighbour.node: neighbour.sample for neighbour in circle.active}
        for node in (asker.node, *(sample.node for sample in above)):
            known.pop(node, None)
        unreachable = asker.flags & NAT  # for who is behind a NAT: who is, too; others may ask them over us
        able = [each for each in known.values() if weight_of(each) >= 1 and not each.flags & unreachable]
        before = circle.ways.before()
        full = self._full_for(asker)
        able.sort(key=lambda each: (each.node in full, before(each) + between(each.place, asker.place)))
        return (mesh.sample(), *above, *able[: SHUFFLE_ACTIVE + SHUFFLE_PASSIVE + 2 - len(above)])

    def _full_for(self, asker: Sample) -> set[int]:
        """Neighbours who have no place for it in one of the streams."""
        slots = int(slots_of(asker.capacity))
        feeds = [feed for feed in self._mesh.feeds_of(self._circle.group) if feed.is_live]
        return {
            neighbour.node
            for neighbour in self._circle.active
            for feed in feeds
            if (theirs := feed.theirs.get(neighbour))
            and not theirs.has_room(slots, between(neighbour.sample.place, asker.place))
        }

    def answered(self, by: Neighbour, samples: tuple[Sample, ...]) -> None:
        """Whom somebody knows: after a parent's own sample come those of its parents."""
        if by in self._circle.ways.parents():
            self._hints = {sample.node: sample for sample in samples[1 : 1 + PARENTS]}

    def ask(self, neighbour: Neighbour, now: float) -> None:
        """Whom does it know hereabouts?  Where many groups would ask the same one, some wait for their next
        turn."""
        if not neighbour.probes.allows(now, neighbour.share):
            return
        self._circle.walks.expects_reply()
        neighbour.say(Peers(self._circle.group, Kind.SHUFFLE, 1, (self._mesh.sample(),)), now)

    # --- measuring

    def _probe(self, now: float) -> None:
        """How far are some of those whom we know of?"""
        circle, mesh = self._circle, self._mesh
        self._wind_probe(now)
        asked = circle.ways.parents()[:PARENTS]
        if nearest := sorted(circle.active, key=lambda each: each.rtt)[:ASKED_NEAR]:
            asked.append(mesh.rng.choice(nearest))
        for neighbour in dict.fromkeys(asked):
            self.ask(neighbour, now)
        for sample in self._candidates(now):
            self.close.pop(sample.node, None)
            mesh.contacts.reach(sample, circle.group, "probe", now)

    def _wind_probe(self, now: float) -> None:
        if self._first:
            self._probe_at = self._first.pop(0)
        else:
            self._probe_at = now + self._rest() * self._mesh.rng.uniform(0.9, 1.1)

    def _rest(self) -> float:
        """Until the next probe: ever longer while it does not help."""
        cost = self._circle.ways.cost()
        if cost < HELPED * self._cost or not self._cost:
            self._soon = PROBE_SOON
        else:
            self._soon = min(PROBE, self._soon * LONGER)
        self._cost = cost
        return PROBE if self._circle.ways.is_straight() else self._soon

    def _candidates(self, now: float) -> list[Sample]:
        """Those above our parents, the best by place over whom the way may be shorter, and one at random."""
        circle = self._circle
        linked = {neighbour.node for neighbour in circle.active}
        detour, way = self._detour(), 2 * circle.ways.way() or NEVER
        known = [sample for sample, _ in self.close.values()]
        known += [each.sample for each in self.distances.values() if now - each.at > TRY_AGAIN]
        promising = sorted((over, each.node, each) for each in known if (over := detour(each)) < way)
        best = {sample.node: sample for sample in self._hints.values()}
        best |= {node: sample for _, node, sample in promising}
        self._hints = {}
        chosen = [sample for node, sample in best.items() if node not in linked][: PROBES - 1]
        besides = circle.whom_it_asked(now) | set(self.distances) | {sample.node for sample in chosen}
        return chosen + circle.draw(1, besides)

    def measured(self, neighbour: Neighbour, now: float) -> None:
        """A link that was opened to see how far it is."""
        asked = self._circle.whom_it_asked(now)
        if neighbour in self._circle.active or neighbour.node in asked:
            return
        self.asked &= asked  # who did not answer is on trial no more
        self.distances.pop(neighbour.node, None)
        self.distances[neighbour.node] = Measured(neighbour.sample, neighbour.rtt, now)
        if len(self.distances) > DISTANCES:
            del self.distances[next(iter(self.distances))]
        if len(self._trials) + len(self.asked) < TRIALS:
            self.asked.add(neighbour.node)
            self._circle.ask(neighbour, False, now)
        else:
            neighbour.idle_since = -NEVER  # it was looked at, that is all

    # --- trying

    def entered(self, neighbour: Neighbour, now: float) -> None:
        """One came that may be good: it says at once how long its own way is."""
        self.asked.discard(neighbour.node)
        self._trials[neighbour] = now + TRIAL
        self._judge_at = min(self._judge_at, now + TRIAL)
        self._circle.wake(self._judge_at)

    def left(self, neighbour: Neighbour) -> None:
        self._trials.pop(neighbour, None)

    def _judge(self, now: float) -> None:
        """Of those who were chosen for the way over them the best stay."""
        circle = self._circle
        self.asked &= circle.whom_it_asked(now)
        for each in [each for each, until in self._trials.items() if until <= now]:
            del self._trials[each]
            if known := self.distances.get(each.node):
                self.distances[each.node] = known._replace(before=circle.ways.told_before(each))
        self._judge_at = min(self._trials.values(), default=NEVER)
        merit = circle.ways.merits()
        near = sorted(circle.chosen(Choice.NEAR), key=merit)
        besides = near[NEAR + len(self._trials) :]
        for worst in circle.ways.idle(each for each in besides if each not in self._trials):
            circle.part(worst, now)
        may_go = circle.superfluous()
        if may_go and len(circle.active) > circle.wants:
            circle.part(max(may_go, key=merit), now)
