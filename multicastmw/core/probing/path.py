"""A trace's answers as a tree, from a stream's origin to its leaves, and what becomes of its packets there.

Each node counts what it lost of an origin's packets against their numbers: all that was lost before it.  So
what a node has lost more than the one before it was lost between the two.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

CLOCK = 1 << 32
DEPTH_MAX = 255  # hops, as a hop limit has no more
ANY = "any"
COUNTS = ("packets", "bytes", "to_nobody", "died_of_ttl", "sent")
STREAM_COUNTS = ("received", "lost", "duplicates", "reordered")


@dataclass
class Hop:
    """A node on the way, and those behind it.  Counts are of `seconds`; `ever` since the route exists."""

    id: str
    name: str
    answered: bool = True
    begins_here: bool = False
    ingress: str | None = None
    fast: bool = False
    why_slow: str = ""
    seconds: float | None = None  # None: all of the counts are since the route exists
    counts: dict[str, int] = field(default_factory=dict)
    ever: dict[str, int] = field(default_factory=dict)
    here: list[str] = field(default_factory=list)  # destinations in the node itself
    behind: "list[Hop]" = field(default_factory=list)
    more: int = 0  # takers that were not named

    def count(self, name: str) -> int:
        return self.counts.get(name, 0)

    @property
    def came(self) -> int:
        """Packets that came to it, or that started there."""
        return self.count("packets") if self.begins_here else self.count("received")

    @property
    def goes_nowhere(self) -> bool:
        return not self.behind and not self.here and not self.more

    def hops(self) -> Iterator["Hop"]:
        """Itself and all behind it."""
        yield self
        for each in self.behind:
            yield from each.hops()

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "id": self.id, "node": self.name, "answered": self.answered, "begins_here": self.begins_here,
            "from": self.ingress, "fast": self.fast, "why_slow": self.why_slow, "seconds": self.seconds,
            "counts": self.counts, "ever": self.ever, "here": self.here,
            "behind": [each.document() for each in self.behind],
        }  # fmt: skip


@dataclass
class Path:
    """One source's packets, from one origin."""

    source: str
    root: Hop
    findings: list[str]

    def document(self) -> dict[str, Any]:
        return {"source": self.source, "tree": self.root.document(), "findings": self.findings}


class Answers:
    """Everything that nodes have answered."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._samples: dict[str, dict[int, dict[str, dict[str, Any]]]] = {}  # source, sample, node

    def hear(self, answer: dict[str, Any]) -> None:
        self.names[answer["id"]] = answer["name"]
        by_sample = self._samples.setdefault(answer["source"], {})
        by_sample.setdefault(answer["sample"], {})[answer["id"]] = answer

    def _latest(self, source: str) -> dict[str, dict[str, Any]]:
        samples = self._samples.get(source, {})
        return {**samples.get(0, {}), **samples.get(1, {})}

    def wanted_by(self) -> dict[str, list[str]]:
        """Nodes where somebody of their own wants the group, and who."""
        found: dict[str, list[str]] = {}
        for source in self._samples:
            for answer in self._latest(source).values():
                if here := [taker["name"] for taker in answer["to"] if taker["id"] is None]:
                    found[answer["name"]] = here
        return found

    def paths(self) -> list[Path]:
        """One for each source and origin."""
        found = []
        for source in sorted(self._samples):
            latest = self._latest(source)
            for origin, name in sorted(_origins(latest.values()).items(), key=lambda each: each[1]):
                root = self._hop(source, origin, name, None, set())
                found.append(Path(source, root, list(_findings(root))))
        return found

    def _hop(self, source: str, node: str, name: str, ingress: str | None, seen: set[str], root: str = "",
             depth: int = 0) -> Hop:  # fmt: skip
        root = root or node
        seen.add(node)
        answer = self._latest(source).get(node)
        hop = Hop(node, name, node in self.names, node == root, ingress)
        nexts = {}
        if answer:
            self._count(hop, source, root)
            hop.fast, hop.why_slow = answer["fast"], answer["why_slow"]
        if answer := answer or self._latest(ANY).get(node):
            # Also where it is only wanted, and nothing of this source has come.
            hop.more = answer["more_takers"]
            hop.here = [taker["name"] for taker in answer["to"] if taker["id"] is None]
            nexts = {taker["id"]: taker["name"] for taker in answer["to"] if taker["id"] is not None}
        for other in self._latest(source).values():  # where a node that did not answer is on the way
            for stream in other["streams"]:
                if stream["origin"]["id"] == root and stream["ingress"] and stream["ingress"]["id"] == node:
                    nexts[other["id"]] = other["name"]
        for other_id, other_name in sorted(nexts.items(), key=lambda each: each[1]):
            if other_id not in seen and depth < DEPTH_MAX:
                hop.behind.append(self._hop(source, other_id, other_name, name, seen, root, depth + 1))
        return hop

    def _count(self, hop: Hop, source: str, origin: str) -> None:
        samples = self._samples[source]
        before, after = samples.get(0, {}).get(hop.id), samples.get(1, {}).get(hop.id)
        last = after or before
        assert last is not None
        hop.ever = _counts(last, origin)
        hop.counts = dict(hop.ever)
        if before is None or after is None:
            return
        earlier = _counts(before, origin)
        difference = {name: value - earlier.get(name, 0) for name, value in hop.ever.items()}
        if min(difference[name] for name in COUNTS) >= 0:  # else it was begun anew meanwhile
            hop.counts = {name: max(0, value) for name, value in difference.items()}
            hop.seconds = round((after["clock_us"] - before["clock_us"]) % CLOCK / 1e6, 3)


def _origins(answers: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Where packets of it start: ids and names."""
    found = {}
    for answer in answers:
        if answer["begins_here"]:
            found[answer["id"]] = answer["name"]
        for stream in answer["streams"]:
            found.setdefault(stream["origin"]["id"], stream["origin"]["name"])
    return found


def _counts(answer: dict[str, Any], origin: str) -> dict[str, int]:
    counts = {name: int(answer[name]) for name in COUNTS}
    for name in STREAM_COUNTS:
        counts[name] = sum(each[name] for each in answer["streams"] if each["origin"]["id"] == origin)
    return counts


def _findings(root: Hop) -> Iterator[str]:
    """Where its packets end or are lost, and why; the first thing first."""
    if root.answered and root.seconds and not root.came:
        before = f" ({root.ever['packets']:,} packets before)" if root.ever.get("packets") else ""
        yield f"nothing has started at {root.name} for {root.seconds:.3g} s{before}"
    for hop in root.hops():
        if not hop.answered:
            yield f"{hop.name} did not answer: what becomes of it there is not known"
            continue
        if died := hop.count("died_of_ttl"):
            mend = f"; a higher TTL mends it, or [tap] ttl-floor at {root.name}"
            yield f"dies of its TTL at {hop.name}: {died:,} packets{mend}"
        nobody = hop.count("to_nobody")
        if hop is root and nobody:
            yield f"{nobody:,} packets ended at {hop.name}, where they started: nobody wanted them"
        elif hop is not root and hop.goes_nowhere and hop.came:
            yield f"nobody behind {hop.name} wants it"
        for after in hop.behind:
            if after.answered:
                yield from _between(hop, after)


def _between(hop: Hop, after: Hop) -> Iterator[str]:
    """What becomes of packets on one link."""
    going = hop.count("sent") if hop.begins_here else hop.came - hop.count("died_of_ttl")
    if hop.answered and going > 0 and not after.came:
        yield f"none of {going:,} packets has come from {hop.name} to {after.name}"
    elif (lost := after.count("lost") - (hop.count("lost") if hop.answered else 0)) > 0:
        share = 100 * lost / (lost + after.came)
        yield f"lost {lost:,} between {hop.name} and {after.name} ({share:.2g} %)"
    twice = after.count("duplicates") - hop.count("duplicates")
    if twice > 0:
        yield f"{twice:,} came twice from {hop.name} to {after.name}"
