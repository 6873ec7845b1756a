"""A survey's reports as pairs of nodes: how many probes came, how late, and how long there and back takes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

CLOCK = 1 << 32
HALF = CLOCK >> 1


class Pair(NamedTuple):
    """One node's probes at another: delays are of one way, above the shortest; `rtt` is the shortest way
    there and the shortest back together.  Times in ms; None where nothing came."""

    sender: str
    receiver: str
    sent: int
    got: int
    hops: int | None
    rtt: float | None
    delay: float | None
    delay_max: float | None

    @property
    def loss(self) -> float:
        """The share that did not come, 0 to 1."""
        return 1 - self.got / self.sent if self.sent else 0.0


class Table:
    """All nodes that have reported, by id, and what each got of each."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._sent: dict[str, int] = {}
        self._got: dict[tuple[str, str], dict[str, Any]] = {}  # sender and receiver

    def hear(self, report: dict[str, Any]) -> None:
        """A part of a node's report, as the asker's line has it."""
        receiver = report["id"]
        self.names[receiver] = report["name"]
        self._sent[receiver] = report["sent"]
        for entry in report["entries"]:
            self._got[entry["from"]["id"], receiver] = entry

    def nodes(self) -> list[str]:
        """Ids, in the order of their names."""
        return sorted(self.names, key=lambda node: (self.names[node], node))

    def pair(self, sender: str, receiver: str) -> Pair:
        """Both have reported."""
        sent = self._sent[sender]
        found = self._got.get((sender, receiver))
        if found is None:
            return Pair(sender, receiver, sent, 0, None, None, None, None)
        return Pair(
            sender, receiver, sent, min(found["got"], sent), found["hops"],
            self._round_trip(sender, receiver),
            found["mean_above_us"] / 1000, found["most_above_us"] / 1000,
        )  # fmt: skip

    def _round_trip(self, one: str, other: str) -> float | None:
        """Two clocks that know nothing of each other cancel out."""
        there, back = self._got.get((one, other)), self._got.get((other, one))
        if there is None or back is None:
            return None
        total = (there["least_us"] + back["least_us"] + HALF) % CLOCK - HALF
        return float(max(0, total)) / 1000

    def pairs(self) -> Iterator[Pair]:
        """In both directions."""
        nodes = self.nodes()
        return (self.pair(one, other) for one in nodes for other in nodes if one != other)
