"""What neighbours of the self-organising overlay say to each other, as values (docs/protocol.rst).

Each of these is one message of a link; numbers of packets are modulo 2^32 (RFC 1982).
"""

from enum import IntEnum, IntFlag
from hashlib import blake2b
from struct import Struct as Twin
from typing import NamedTuple

# What the specification says.
RANGES_MAX = 8  # of a Have, for each stream
NOBODY = 255  # a Load without a poorest child
ASKED_MAX = 64  # ranges of a Nack or Graft
SPAN_MAX = 1 << 16  # numbers of one range
STREAMS_MAX = 64  # of a Have
PATH_MAX = 32  # nodes
SAMPLES_MAX = 64  # of a Peers or Find
ALTERNATIVES_MAX = 3  # samples of a Prune
LIVE_MAX = 64  # streams of a Find
SAMPLE_ADDRESSES_MAX = 3
OPEN_ADDRESSES_MAX = 4
BASE = 0  # the group key of the overlay that all nodes are in


class Role(IntEnum):
    """What a node is to a group, or to the overlay."""

    MEMBER = 1
    RELAY = 2  # carries what it does not want itself, and is a place to meet
    SENDER = 3  # has children and no parent


class About(IntFlag):
    """What a Sample says of its node."""

    NAT = 1  # nobody can dial it
    RELAY = 2
    UDP = 4
    SENDER = 8  # in this group it only sends
    SHARED = 16  # it knows of shared trees


class Kind(IntEnum):
    """Of a Peers message."""

    JOIN = 1
    FORWARD_JOIN = 2
    NEIGHBOUR = 3
    NEIGHBOUR_NO = 4
    SHUFFLE = 5
    SHUFFLE_REPLY = 6
    DISCONNECT = 7
    CONNECT_BACK = 8


class Grafting(IntEnum):
    """Of a Graft; without one, or with another, it is an ordinary one."""

    SECOND = 1


class Meeting(IntEnum):
    """Of a Find message."""

    QUERY = 1
    REGISTER = 2
    REPLY = 3


class Refusal(IntEnum):
    """Why a parent will not be one, or a child leaves."""

    LEFT = 1  # nothing is wrong
    FULL = 2
    CONGESTED = 3
    NO_DATA = 4
    LOOP = 5
    MISBEHAVED = 6
    NO_RELAY = 7  # it is no rendezvous point


class Address(NamedTuple):
    """Where a node can be dialled: a numeric address and a TCP port."""

    host: str
    port: int


class Place(NamedTuple):
    """A network coordinate: a point in a plane and a height above it, in tenths of a millisecond of round
    trip (16 bits each, the point signed), and how sure the node is of it, in percent of error."""

    x: int
    y: int
    height: int
    error: int


NOWHERE = Place(0, 0, 0, 255)


class Capabilities(NamedTuple):
    """Of a node, in its Open: it speaks all of this.

    `uplink` in kbit/s, 0 where it is not known; `children` at most, 0xFFFF where only the uplink bounds them.
    """

    uplink: int
    children: int
    role: int
    flags: int
    place: Place = NOWHERE


class Sample(NamedTuple):
    """A node that somebody knows; `capacity` is log2 of its uplink in kbit/s (0: nothing), `age` in seconds
    since it was heard of at first hand."""

    node: int
    addresses: tuple[Address, ...]
    flags: int
    capacity: int
    age: int
    place: Place = NOWHERE


class StreamKey(NamedTuple):
    """A stream: who sends it, and its overlay address."""

    origin: int
    group: int
    source: int


KEYS_TWIN = Twin("!QQQ")


def digest(key: StreamKey) -> int:
    """64 bits that stand for the key: BLAKE2b of its 24 bytes."""
    return int.from_bytes(blake2b(KEYS_TWIN.pack(*key), digest_size=8).digest(), "big")


class Range(NamedTuple):
    """Sequence numbers, both ends among them."""

    first: int
    last: int


class Load(NamedTuple):
    """`free` slots for children; `stalled`: its own feed is broken, and it repairs it; `beacon`: the highest
    number is that of a beacon packet, and this was sent at once; `poorest`: slots of the child that would
    give its place to one with more (NOBODY: there is none), and `far`: its round trip in ms; `lent`: what is
    free has second feeds in it, and they give way to whoever has no other parent."""

    free: int
    stalled: bool = False
    beacon: bool = False
    poorest: int = NOBODY
    far: int = 0
    lent: bool = False


class Beacon(NamedTuple):
    """What may stand in a Have that was made for one beacon packet.

    `path` are the nodes that it passed, each the upper 32 bits of its id, the origin's first; `cost` is the
    delay of that way in us, half round trips added up; `rate` in packets/s, `bits` in kbit/s.
    """

    path: tuple[int, ...]
    cost: int
    rate: int
    bits: int


class Held(NamedTuple):
    """What somebody has of a stream: all that its buffer still holds up to `highest`, but `missing`.

    `stream` is its key, or the digest of that, which is enough for who has seen the key."""

    stream: StreamKey | int
    highest: int
    missing: tuple[Range, ...]
    load: Load
    beacon: Beacon | None = None


class Have(NamedTuple):
    """Op 35: batched announcements."""

    streams: tuple[Held, ...]


class Nack(NamedTuple):
    """Op 36: send these again."""

    stream: StreamKey
    missing: tuple[Range, ...]


class Graft(NamedTuple):
    """Op 32 with a Stream: be my parent from `sequence` on, and send me these again.

    `second`: the child has another parent as well, and its place is anybody's who has none.
    """

    stream: StreamKey
    sequence: int
    missing: tuple[Range, ...] = ()
    second: bool = False


class Prune(NamedTuple):
    """Op 33 with a Stream: no longer your child, or not your parent.

    `alternatives` are up to 3 others who have slots; `back_off` in ms, before it is asked again.
    """

    stream: StreamKey
    refusal: int = Refusal.LEFT
    alternatives: tuple[Sample, ...] = ()
    back_off: int = 0


class Named(NamedTuple):
    """What a node is called."""

    node: int
    name: str


class Peers(NamedTuple):
    """Op 37: membership of a group's overlay.

    JOIN, FORWARD_JOIN: the first sample is of whom it is about; NEIGHBOUR: `ttl` 1 asks urgently (it has no
    other), 0 does not; SHUFFLE: the first is the asker's own; CONNECT_BACK: the asker, and who is to dial it.
    `names` are those of nodes in the samples, for people alone.
    """

    group: int
    kind: int
    ttl: int = 0
    samples: tuple[Sample, ...] = ()
    names: tuple[Named, ...] = ()


class Live(NamedTuple):
    """A stream that is sent, and the highest number that was seen of it."""

    stream: StreamKey
    highest: int


class Find(NamedTuple):
    """Op 38: where members of a group meet.

    QUERY and REGISTER: the first sample is the asker's own, `estimate` what it believes the group's size to
    be; REPLY: some members, how many there are, and the live streams.
    """

    group: int
    kind: int
    samples: tuple[Sample, ...] = ()
    estimate: int = 0
    live: tuple[Live, ...] = ()


class Register(NamedTuple):
    """Op 40: a packet that begins at the sender, for the rendezvous point of its group to send on.

    `message` is the IP Data message, with token 0; `stream` and `sequence` are what it says.
    """

    stream: StreamKey
    sequence: int
    message: bytes


class Registered(NamedTuple):
    """Op 41: it is here, and is sent on; or why not, and that no more is to be registered here.

    `alternatives`: the relay, one at most, that would be the group's rendezvous point before this one.
    """

    stream: StreamKey
    sequence: int
    refusal: int = 0
    alternatives: tuple[Sample, ...] = ()


MeshMessage = Have | Nack | Graft | Prune | Peers | Find | Register | Registered
