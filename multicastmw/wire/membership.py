"""Graft and Prune, Peers and Find, Registered: the mesh's rare messages, bytes to values and back.

    Graft     Add Route:     [Token], Group, Stream, Sequence, Range*, [Kind]
    Prune     Remove Route:  [Token], Group, Stream, [Refusal], Sample*, [Back-off]
    Peers                    Group, Kind, Sample*, then for each that is named: Node, PEPID
    Find                     Group, Kind, Sample*, [Estimate], then for each live stream: Stream, Sequence
    Registered               [Token], Stream, Sequence, [Refusal], [Sample]

A Group has the keys of the Stream; of Peers and Find it has the group's alone.  What is left out is LEFT, no
time, and nobody.
"""

from collections.abc import Iterable
from struct import Struct as Twin

from multicastmw.wire.announcements import (
    HEADER,
    by_stream,
    range_objects,
    read_ranges,
    read_stream,
    sequence_object,
    stream_object,
    stream_size,
)
from multicastmw.wire.cops import CNum
from multicastmw.wire.mesh import (
    ALTERNATIVES_MAX,
    ASKED_MAX,
    LIVE_MAX,
    SAMPLES_MAX,
    Find,
    Graft,
    Grafting,
    Kind,
    Live,
    Meeting,
    Peers,
    Prune,
    Refusal,
    Registered,
    Sample,
    StreamKey,
)
from multicastmw.wire.names import named_objects, named_size, read_named
from multicastmw.wire.objects import Placed, bad, build, known, optional, placed, required
from multicastmw.wire.samples import read_sample, sample_object, sample_size

GROUP_OBJECT_TWIN = Twin("!HBBQQ")  # with its header: thousands of them make a resync
GROUP_SIZE = GROUP_OBJECT_TWIN.size
KINDS, MEETINGS = frozenset(Kind), frozenset(Meeting)
SMALL = 8  # bytes of an object that says one number

GRAFT = (CNum.TOKEN, CNum.GROUP, CNum.STREAM, CNum.SEQUENCE, CNum.RANGE, CNum.KIND)
PRUNE = (CNum.TOKEN, CNum.GROUP, CNum.STREAM, CNum.REFUSAL, CNum.SAMPLE, CNum.BACK_OFF)
PEERS = (CNum.GROUP, CNum.KIND, CNum.SAMPLE)
NAMED = (CNum.NODE, CNum.PEPID)
FIND = (CNum.GROUP, CNum.KIND, CNum.SAMPLE, CNum.ESTIMATE)
LIVE = (CNum.STREAM, CNum.SEQUENCE)
REGISTERED = (CNum.TOKEN, CNum.STREAM, CNum.SEQUENCE, CNum.REFUSAL, CNum.SAMPLE)


def group_object(group: int, source: int) -> bytes:
    """A Group of type 1."""
    return GROUP_OBJECT_TWIN.pack(GROUP_SIZE, CNum.GROUP, 1, group, source)


# --- values to objects; they raise ValueError, struct.error or ConstructError for what a peer would not take


def graft_objects(graft: Graft) -> bytes:
    packed = (
        _group_and_stream(graft.stream)
        + sequence_object(graft.sequence)
        + range_objects(graft.missing, ASKED_MAX)
    )
    return packed + _kind_object(Grafting.SECOND) if graft.second else packed


def prune_objects(prune: Prune) -> bytes:
    packed = _group_and_stream(prune.stream)
    if prune.refusal != Refusal.LEFT:
        packed += build(CNum.REFUSAL, 1, refusal=prune.refusal, reserved=0)
    packed += _sample_objects(prune.alternatives, ALTERNATIVES_MAX)
    if prune.back_off:
        packed += build(CNum.BACK_OFF, 1, ms=prune.back_off)
    return packed


def peers_objects(peers: Peers) -> bytes:
    if peers.kind not in KINDS:
        raise ValueError(f"{peers.kind} is no kind of Peers")
    kind = _kind_object(peers.kind, peers.ttl)
    samples = _sample_objects(peers.samples, SAMPLES_MAX)
    return group_object(peers.group, 0) + kind + samples + named_objects(peers.names)


def find_objects(find: Find) -> bytes:
    if find.kind not in MEETINGS:
        raise ValueError(f"{find.kind} is no kind of Find")
    if len(find.live) > LIVE_MAX:
        raise ValueError(f"{len(find.live)} live streams, and {LIVE_MAX} are the most")
    packed = group_object(find.group, 0) + _kind_object(find.kind)
    packed += _sample_objects(find.samples, SAMPLES_MAX)
    if find.estimate:
        packed += build(CNum.ESTIMATE, 1, nodes=find.estimate)
    return packed + b"".join(stream_object(one.stream) + sequence_object(one.highest) for one in find.live)


def registered_objects(registered: Registered) -> bytes:
    packed = stream_object(registered.stream) + sequence_object(registered.sequence)
    if registered.refusal:
        packed += build(CNum.REFUSAL, 1, refusal=registered.refusal, reserved=0)
    return packed + _sample_objects(registered.alternatives, 1)


def _group_and_stream(stream: StreamKey) -> bytes:
    return group_object(stream.group, stream.source) + stream_object(stream)


def _kind_object(kind: int, ttl: int = 0) -> bytes:
    return build(CNum.KIND, 1, kind=kind, ttl=ttl, reserved=0)


def _sample_objects(samples: tuple[Sample, ...], most: int) -> bytes:
    if len(samples) > most:
        raise ValueError(f"{len(samples)} samples, and {most} are the most")
    return b"".join(map(sample_object, samples))


# --- how long they are


def graft_size(graft: Graft) -> int:
    small = SMALL * (1 + graft.second)
    return HEADER + GROUP_SIZE + stream_size(graft.stream) + small + 12 * len(graft.missing)


def prune_size(prune: Prune) -> int:
    said = (prune.refusal != Refusal.LEFT) + (prune.back_off != 0)
    return HEADER + GROUP_SIZE + stream_size(prune.stream) + SMALL * said + _sizes(prune.alternatives)


def peers_size(peers: Peers) -> int:
    return HEADER + GROUP_SIZE + SMALL + _sizes(peers.samples) + named_size(peers.names)


def find_size(find: Find) -> int:
    size = HEADER + GROUP_SIZE + SMALL + _sizes(find.samples)
    if find.estimate:
        size += SMALL
    return size + sum(stream_size(one.stream) + SMALL for one in find.live)


def registered_size(registered: Registered) -> int:
    numbers = SMALL * (1 + bool(registered.refusal))
    return HEADER + stream_size(registered.stream) + numbers + _sizes(registered.alternatives)


def _sizes(samples: Iterable[Sample]) -> int:
    return sum(map(sample_size, samples))


# --- messages to values, and how many objects were skipped; they raise PeerError


def read_graft(message: memoryview) -> tuple[Graft, int]:
    found, skipped = known(message, GRAFT)
    places = placed(found, GRAFT, {CNum.RANGE: ASKED_MAX})
    stream = _stream_of_group(places)
    sequence, said = required(places, CNum.SEQUENCE).sequence, optional(places, CNum.KIND)
    is_second = said is not None and said.kind == Grafting.SECOND
    return Graft(stream, sequence, read_ranges(places), is_second), skipped


def read_prune(message: memoryview) -> tuple[Prune, int]:
    found, skipped = known(message, PRUNE)
    places = placed(found, PRUNE, {CNum.SAMPLE: ALTERNATIVES_MAX})
    stream = _stream_of_group(places)
    refusal, back_off = optional(places, CNum.REFUSAL), optional(places, CNum.BACK_OFF)
    return Prune(
        stream,
        refusal.refusal if refusal else Refusal.LEFT,
        _samples(places),
        back_off.ms if back_off else 0,
    ), skipped


def read_peers(message: memoryview) -> tuple[Peers, int]:
    found, skipped = known(message, PEERS + NAMED)
    head = [each for each in found if each[0] not in NAMED]
    places = placed(head, PEERS, {CNum.SAMPLE: SAMPLES_MAX})
    group, said = _group(places), required(places, CNum.KIND)
    if said.kind not in KINDS:
        raise bad(f"Peers of kind {said.kind}")
    if len(head) == len(found):
        return Peers(group, said.kind, said.ttl, _samples(places)), skipped
    if any(each[0] in NAMED for each in found[: len(head)]):
        raise bad("a name before a sample")
    return Peers(group, said.kind, said.ttl, _samples(places), read_named(found[len(head) :])), skipped


def read_find(message: memoryview) -> tuple[Find, int]:
    found, skipped = known(message, FIND + LIVE)
    head, *parts = by_stream(found)
    if len(parts) > LIVE_MAX:
        raise bad(f"a Find of {len(parts)} streams")
    places = placed(head, FIND, {CNum.SAMPLE: SAMPLES_MAX})
    group, said = _group(places), required(places, CNum.KIND)
    if said.kind not in MEETINGS:
        raise bad(f"Find of kind {said.kind}")
    estimate = optional(places, CNum.ESTIMATE)
    live = tuple(_live(placed(part, LIVE)) for part in parts)
    return Find(group, said.kind, _samples(places), estimate.nodes if estimate else 0, live), skipped


def read_registered(message: memoryview) -> tuple[Registered, int]:
    found, skipped = known(message, REGISTERED)
    places = placed(found, REGISTERED)
    optional(places, CNum.TOKEN)
    stream, number = read_stream(places), required(places, CNum.SEQUENCE)
    refusal = optional(places, CNum.REFUSAL)
    why = refusal.refusal if refusal else 0
    return Registered(stream, number.sequence, why, _samples(places)), skipped


def _stream_of_group(places: Placed) -> StreamKey:
    """Of a Graft or Prune; its Group says the same, and is what a static node understands of it."""
    optional(places, CNum.TOKEN)
    group, stream = required(places, CNum.GROUP), read_stream(places)
    if (group.group, group.source) != stream[1:]:
        raise bad("a Stream of another Group than the one before it")
    return stream


def _group(places: Placed) -> int:
    group = required(places, CNum.GROUP)
    if group.source:
        raise bad("a Group with a source, where the group is meant")
    return int(group.group)


def _samples(places: Placed) -> tuple[Sample, ...]:
    return tuple(read_sample(kind, data) for kind, data in places.get(CNum.SAMPLE, ()))


def _live(places: Placed) -> Live:
    return Live(read_stream(places), required(places, CNum.SEQUENCE).sequence)
