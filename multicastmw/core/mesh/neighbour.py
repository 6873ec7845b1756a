"""A link as the mesh sees it: who is there, what it can carry, and what is thought of it."""

from enum import IntEnum
from math import inf
from typing import Any, Protocol

from multicastmw.core.bucket import Bound, Bucket
from multicastmw.core.mesh.allowance import OWN_SHARE, Allowance
from multicastmw.core.mesh.settings import CAPACITY_BIAS, LINKS_LEAST, LINKS_MOST
from multicastmw.wire.mesh import About, Address, Capabilities, MeshMessage, Role, Sample

# What the specification says: how much of each a neighbour may say, a second and at once.
PEERS, FINDS, REGISTERS = 5, 100, 50
GROUPS_PER_PEERS, PEERS_TIMES = 4, 20  # so many more groups of both allow as many Peers again, and up to
FLOOD_TIMES = 4  # so much of Peers or Find is no accident: it is held against who says it

# What we chose.
STREAMS, STREAMS_AT_ONCE = 20, 128  # new ones; specified are 5, and nobody joins a group of 300 in a minute
ADDRESSES_MAX = 3  # of a sample
USUAL_RATE = 1_000  # kbit/s of a stream, where slots are estimated before there is one
SLOTS_MOST = 12  # of a sample: more makes nobody more welcome
SCORE_LEAST = -20.0  # below it a neighbour is left
SCORE_MOST = 20.0
# Points for data that go on after a prune, at most so often: who does not hear us over UDP would be left in
# 15 s, and hears us over TCP in 12, when three probes have had no answer.
PUSHED, PUSHED_REST = -3.0, 1.1
FADES = 0.9  # a second


def slots_of(capacity: int) -> float:
    """The children that a node of this capacity class may have, roughly."""
    return min(SLOTS_MOST, (1 << capacity) / USUAL_RATE * 0.8) if capacity else 0.0


def capacity_of(uplink: int, children: int) -> int:
    """The class of an uplink of so many kbit/s; who may have no children gives nothing."""
    return uplink.bit_length() - 1 if uplink > 1 and children else 0


def weight_of(sample: Sample) -> float:
    """How likely it is chosen, against others."""
    return int(slots_of(sample.capacity)) + CAPACITY_BIAS


def links_most(capacity: int) -> int:
    """How many neighbours it takes for a group."""
    return max(LINKS_LEAST, min(LINKS_MOST, LINKS_LEAST + 2 * int(slots_of(capacity))))


def sample_of(
    node: int, addresses: tuple[Address, ...], capabilities: Capabilities, seen_at: str, dialled: bool
) -> Sample:
    """A peer as it says it is, at the address where it is seen; `dialled`: it was reached there.

    Who calls from elsewhere than it believes to be is behind a NAT: nobody can dial it.
    """
    flags = capabilities.flags & int(About.NAT | About.SHARED) | int(About.UDP)
    if capabilities.role == Role.RELAY:
        flags |= int(About.RELAY)
    known = tuple(address for address in addresses if address.host == seen_at)
    if not addresses or (not dialled and not known):
        flags |= int(About.NAT)
    if dialled and addresses and not known:
        known = (Address(seen_at, addresses[0].port),)
    others = tuple(address for address in addresses if address not in known)
    carries = capacity_of(capabilities.uplink, capabilities.children)
    return Sample(node, (known + others)[:ADDRESSES_MAX], flags, carries, 0, capabilities.place)


class Choice(IntEnum):
    """Why somebody is a neighbour in a group."""

    THEIRS = 0  # it asked for it
    RANDOM = 1  # this node did
    NEAR = 2  # this node did, as the group's streams come on a short way over it


class Wire(Protocol):
    """The link, for what is said over it."""

    name: str
    address: str
    is_seed: bool  # a way into the mesh
    is_named: bool  # node.ini has a [peer:NAME] for it: the link stays, whatever comes

    @property
    def rtt(self) -> float | None:
        """Seconds; None where nothing was measured yet."""

    def say(self, message: MeshMessage, now: float) -> None: ...
    def resend(self, stored: Any, low_water: int, now: float) -> int:
        """Sends what a feed has kept, marked RETRANSMITTED; gives its bytes."""

    def deliver(self, packet: Any) -> None:
        """A packet in place, as to any destination."""

    def hang_up(self, why: str, now: float) -> None: ...


class Neighbour:
    """The other end of one link that speaks the mesh's messages."""

    __slots__ = (
        "allowance", "capabilities", "circles", "dialled", "finds", "idle_since", "is_nat", "kept_until",
        "node", "overhead", "own_registers", "peers", "probes", "pushed_at", "rebuilds_within", "registers",
        "sample", "score", "scored_at", "shared", "slots", "streams", "unheard", "walks", "wire",
    )  # fmt: skip

    def __init__(
        self, wire: Wire, sample: Sample, capabilities: Capabilities, dialled: bool, now: float
    ) -> None:
        self.is_now(wire, sample, capabilities, dialled)
        self.circles: set[int] = set()  # group keys for which it is an active neighbour
        self.idle_since = now
        self.kept_until = now  # whatever the circles say: packets are registered over it
        self.allowance = Allowance()
        self.shared = 0  # streams of which it has said something, or was asked
        self.unheard = 0  # streams that it has told of, and of which no packet came
        self.peers = Bound(PEERS, 8 * PEERS, FLOOD_TIMES)
        self.finds = Bound(FINDS, 2 * FINDS, FLOOD_TIMES)
        self.probes = Bucket(PEERS / 4, 2 * PEERS)  # questions whom it knows hereabouts
        self.streams = Bucket(STREAMS, STREAMS_AT_ONCE)
        self.registers = Bucket(REGISTERS, 2 * REGISTERS)
        self.own_registers = Bucket(REGISTERS * OWN_SHARE, 2 * REGISTERS * OWN_SHARE)  # of ours, with it
        self.walks = Bucket(
            PEERS / 2, 2 * PEERS
        )  # of others, that this node sends on to it: less than it takes
        self.rebuilds_within = 0.0  # seconds: until then the link itself may give back what it has lost
        self.overhead = 0.0  # of what goes to it, so much goes besides, for that
        self.pushed_at = -inf
        self.score = 0.0
        self.scored_at = now

    def is_now(self, wire: Wire, sample: Sample, capabilities: Capabilities, dialled: bool) -> None:
        """The link is this one, and the node what it has said over it: it may have been started anew."""
        self.wire = wire
        self.node = sample.node
        self.sample = sample
        self.capabilities = capabilities
        self.dialled = dialled
        self.is_nat = bool(sample.flags & About.NAT)
        self.slots = int(slots_of(sample.capacity))

    @property
    def rtt(self) -> float:
        """Seconds; a guess where it was not measured yet."""
        found = self.wire.rtt
        return 0.1 if found is None else found

    @property
    def share(self) -> float:
        """What one Peers between us counts for: the less, the more groups both are in."""
        return 1 / min(PEERS_TIMES, 1 + len(self.circles) / GROUPS_PER_PEERS)

    def say(self, message: MeshMessage, now: float) -> None:
        self.wire.say(message, now)

    def credit(self, points: float, now: float) -> bool:
        """What it did was good, or bad; False: it is not to be dealt with any more."""
        self.score = self.score * FADES ** (now - self.scored_at) + points
        self.score = min(SCORE_MOST, self.score)
        self.scored_at = now
        return self.score > SCORE_LEAST

    def pushes(self, now: float) -> float:
        """Data that it was told not to send; the points for that, of all streams together."""
        if now < self.pushed_at + PUSHED_REST:
            return 0.0
        self.pushed_at = now
        return PUSHED
