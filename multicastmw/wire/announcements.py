"""Have and Nack, the messages of the mesh that are frequent: bytes to values and back.

    Have      [Token], then for each stream: Stream, Sequence, Range*, [Load], [Path, Cost, Rate]
    Nack      [Token], Stream, Range*

A Load counts also for the streams behind it, up to the next Load; before the first nothing is free.  So a
batch of streams says it once.

What this version writes is read at a glance: a known object header, as one number, tells length, C-Num and
C-Type.  Whatever is not so is read as it is declared, which alone says what is wrong with it or unknown; a
property test holds the two together.
"""

import struct
from collections.abc import Iterator
from struct import Struct as Twin

from multicastmw.wire.cops import CNum, Code
from multicastmw.wire.errors import PeerError
from multicastmw.wire.mesh import (
    ASKED_MAX,
    PATH_MAX,
    RANGES_MAX,
    SPAN_MAX,
    STREAMS_MAX,
    Beacon,
    Have,
    Held,
    Load,
    Nack,
    Range,
    StreamKey,
)
from multicastmw.wire.objects import (
    DIGESTED,
    LENT,
    LONG,
    ON_BEACON,
    SHORT,
    STALLED,
    WITH_FAR,
    WITHOUT_FAR,
    Found,
    Placed,
    bad,
    each,
    known,
    misfit,
    optional,
    placed,
    required,
)

HEADER = 8  # of the message
NOTHING_FREE = Load(0)
U32 = 0xFFFFFFFF

HAVE = (CNum.TOKEN, CNum.STREAM, CNum.SEQUENCE, CNum.RANGE, CNum.LOAD, CNum.PATH, CNum.COST, CNum.RATE)
NACK = (CNum.TOKEN, CNum.STREAM, CNum.RANGE)
BEACON = (CNum.PATH, CNum.COST, CNum.RATE)


def _head(c_num: int, c_type: int, length: int) -> int:
    """An object header as one number; `length` is the object's."""
    return length << 16 | c_num << 8 | c_type


# The twins, with their headers.
HEAD_TWIN = Twin("!I")
LONG_TWIN, SHORT_TWIN = Twin("!IQQQ"), Twin("!IQII")
DIGEST_TWIN = Twin("!IQ")
SEQUENCE_TWIN, RANGE_TWIN = Twin("!II"), Twin("!III")
LOAD_TWIN, FAR_TWIN = Twin("!IHBB"), Twin("!IHBBHxx")
TOKEN_HEAD = _head(CNum.TOKEN, 1, 12)
LONG_HEAD = _head(CNum.STREAM, LONG, LONG_TWIN.size)
SHORT_HEAD = _head(CNum.STREAM, SHORT, SHORT_TWIN.size)
SEQUENCE_HEAD = _head(CNum.SEQUENCE, 1, SEQUENCE_TWIN.size)
RANGE_HEAD = _head(CNum.RANGE, 1, RANGE_TWIN.size)
DIGEST_HEAD = _head(CNum.STREAM, DIGESTED, DIGEST_TWIN.size)
LOAD_HEAD = _head(CNum.LOAD, WITHOUT_FAR, LOAD_TWIN.size)
FAR_HEAD = _head(CNum.LOAD, WITH_FAR, FAR_TWIN.size)
LOAD_HEADS = (LOAD_HEAD, FAR_HEAD)
COST_HEAD = _head(CNum.COST, 1, 8)
RATE_HEAD = _head(CNum.RATE, 1, 12)
PATH_HEADS = tuple(_head(CNum.PATH, 1, 4 + 4 * hops) for hops in range(PATH_MAX + 1))
BEACON_TWINS = tuple(Twin(f"!I{hops}IIIIII") for hops in range(PATH_MAX + 1))
BY_PATH_HEAD = dict(zip(PATH_HEADS, BEACON_TWINS, strict=True))
TOKEN_SIZE = 12

LONG_HELD_TWIN, SHORT_HELD_TWIN = Twin("!4xQQQII"), Twin("!4xQIIII")  # Stream and Sequence
DIGEST_HELD_TWIN = Twin("!4xQII")

head_at = HEAD_TWIN.unpack_from
long_held_at, short_held_at = LONG_HELD_TWIN.unpack_from, SHORT_HELD_TWIN.unpack_from
digest_held_at = DIGEST_HELD_TWIN.unpack_from
load_at, far_at = LOAD_TWIN.unpack_from, FAR_TWIN.unpack_from


# --- ranges


def flaw_of_range(first: int, last: int) -> str:
    """What is wrong with a range (RFC 1982), or nothing."""
    span = last - first & U32
    if span < SPAN_MAX:
        return ""
    if span >> 31:
        return f"a range from {first} back to {last}"
    return f"a range of {span + 1} numbers"


def read_ranges(places: Placed) -> tuple[Range, ...]:
    """The Range objects, as they are declared."""
    found = tuple(Range(one.first, one.last) for one in each(places, CNum.RANGE))
    for first, last in found:
        if flaw := flaw_of_range(first, last):
            raise bad(flaw)
    return found


def range_objects(ranges: tuple[Range, ...], most: int) -> bytes:
    """Raises ValueError for ranges that a peer would not take."""
    if len(ranges) > most:
        raise ValueError(f"{len(ranges)} ranges, and {most} are the most")
    for first, last in ranges:
        if flaw := flaw_of_range(first, last):
            raise ValueError(flaw)
    return b"".join([RANGE_TWIN.pack(RANGE_HEAD, first, last) for first, last in ranges])


def _glance_ranges(message: memoryview, at: int, most: int) -> tuple[Range, ...] | None:
    """Those that stand from there on; None where one of them cannot be."""
    found: list[Range] = []
    end = len(message)
    while at < end and head_at(message, at)[0] == RANGE_HEAD:
        _, first, last = RANGE_TWIN.unpack_from(message, at)
        if last - first & U32 >= SPAN_MAX or len(found) == most:
            return None
        found.append(Range(first, last))
        at += RANGE_TWIN.size
    return tuple(found)


# --- streams


def read_stream(places: Placed) -> StreamKey:
    """The Stream object, as it is declared."""
    found = required(places, CNum.STREAM)
    if places[CNum.STREAM][0][0] == DIGESTED:
        raise bad("a digest where a stream's keys are meant")
    return StreamKey(found.origin, found.group, found.source)


def stream_object(stream: StreamKey) -> bytes:
    """As short as its keys allow."""
    origin, group, source = stream
    if (group | source) >> 32:
        return LONG_TWIN.pack(LONG_HEAD, origin, group, source)
    return SHORT_TWIN.pack(SHORT_HEAD, origin, group, source)


def held_object(stream: StreamKey | int) -> bytes:
    """The same, or the digest that stands for the keys."""
    return DIGEST_TWIN.pack(DIGEST_HEAD, stream) if isinstance(stream, int) else stream_object(stream)


def stream_size(stream: StreamKey) -> int:
    return LONG_TWIN.size if (stream.group | stream.source) >> 32 else SHORT_TWIN.size


def sequence_object(number: int) -> bytes:
    return SEQUENCE_TWIN.pack(SEQUENCE_HEAD, number)


def load_object(load: Load) -> bytes:
    free, stalled, beacon, poorest, far, lent = load
    flags = (STALLED if stalled else 0) | (ON_BEACON if beacon else 0) | (LENT if lent else 0)
    if far:
        return FAR_TWIN.pack(FAR_HEAD, free, flags, poorest, far)
    return LOAD_TWIN.pack(LOAD_HEAD, free, flags, poorest)


def load_size(load: Load) -> int:
    return FAR_TWIN.size if load.far else LOAD_TWIN.size


def read_load(places: Placed) -> Load | None:
    """The Load object, as it is declared, if there is one."""
    found = optional(places, CNum.LOAD)
    if found is None:
        return None
    far = found.far if places[CNum.LOAD][0][0] == WITH_FAR else 0
    return _load(0, found.free, found.flags, found.poorest, far)


def _load(_: int, free: int, flags: int, poorest: int, far: int = 0) -> Load:
    return Load(free, flags & STALLED != 0, flags & ON_BEACON != 0, poorest, far, flags & LENT != 0)


# --- Have


def have_objects(have: Have) -> bytes:
    """Raises ValueError or struct.error for what a peer would not take."""
    if not 0 < len(have.streams) <= STREAMS_MAX:
        raise ValueError(f"a Have of {len(have.streams)} streams, not 1 to {STREAMS_MAX}")
    parts: list[bytes] = []
    said = NOTHING_FREE
    for stream, highest, missing, load, beacon in have.streams:
        parts += held_object(stream), SEQUENCE_TWIN.pack(SEQUENCE_HEAD, highest)
        if missing:
            parts.append(range_objects(missing, RANGES_MAX))
        if load != said:
            parts.append(load_object(load))
            said = load
        if beacon is not None:
            parts.append(_beacon_objects(beacon))
    return b"".join(parts)


def _beacon_objects(beacon: Beacon) -> bytes:
    path, cost, rate, bits = beacon
    hops = len(path)
    if hops > PATH_MAX:
        raise ValueError(f"a path of {hops} nodes, and {PATH_MAX} are the most")
    return BEACON_TWINS[hops].pack(PATH_HEADS[hops], *path, COST_HEAD, cost, RATE_HEAD, rate, bits)


def have_size(have: Have) -> int:
    size = HEADER
    said = NOTHING_FREE
    for stream, _, missing, load, beacon in have.streams:
        size += 20 if isinstance(stream, int) else 36 if (stream[1] | stream[2]) >> 32 else 28
        if missing:
            size += 12 * len(missing)
        if load != said:
            size += 12 if load.far else 8
            said = load
        if beacon is not None:
            size += 24 + 4 * len(beacon[0])
    return size


def read_have(message: memoryview) -> tuple[Have, int]:
    """The message, and how many objects were skipped in it."""
    try:
        found = glance_have(message)
    except struct.error:
        found = None
    return (found, 0) if found else declared_have(message)


def glance_have(message: memoryview) -> Have | None:
    """What this version writes; None, or struct.error, for anything else."""
    at, end = HEADER, len(message)
    (head,) = head_at(message, at)
    if head == TOKEN_HEAD:
        at += TOKEN_SIZE
        (head,) = head_at(message, at)
    streams: list[Held] = []
    stream: StreamKey | int
    load = NOTHING_FREE
    while at < end:
        if head == SHORT_HEAD:
            origin, group, source, sequence_head, highest = short_held_at(message, at)
            stream = StreamKey(origin, group, source)
            at += SHORT_HELD_TWIN.size
        elif head == LONG_HEAD:
            origin, group, source, sequence_head, highest = long_held_at(message, at)
            stream = StreamKey(origin, group, source)
            at += LONG_HELD_TWIN.size
        elif head == DIGEST_HEAD:
            stream, sequence_head, highest = digest_held_at(message, at)
            at += DIGEST_HELD_TWIN.size
        else:
            return None
        if sequence_head != SEQUENCE_HEAD:
            return None
        missing: tuple[Range, ...] = ()
        beacon = None
        head = head_at(message, at)[0] if at < end else 0
        if head == RANGE_HEAD:
            ranges = _glance_ranges(message, at, RANGES_MAX)
            if ranges is None:
                return None
            missing = ranges
            at += RANGE_TWIN.size * len(missing)
            head = head_at(message, at)[0] if at < end else 0
        if head in LOAD_HEADS:
            load = _load(*(load_at if head == LOAD_HEAD else far_at)(message, at))
            at += head >> 16
            head = head_at(message, at)[0] if at < end else 0
        if twin := BY_PATH_HEAD.get(head):
            _, *path, cost_head, cost, rate_head, rate, bits = twin.unpack_from(message, at)
            if cost_head != COST_HEAD or rate_head != RATE_HEAD:
                return None
            beacon = Beacon(tuple(path), cost, rate, bits)
            at += twin.size
            head = head_at(message, at)[0] if at < end else 0
        streams.append(Held(stream, highest, missing, load, beacon))
    return Have(tuple(streams)) if 0 < len(streams) <= STREAMS_MAX else None


def declared_have(message: memoryview) -> tuple[Have, int]:
    """The same as it is declared, or what is wrong with it."""
    found, skipped = known(message, HAVE)
    head, *parts = by_stream(found)
    optional(placed(head, (CNum.TOKEN,)), CNum.TOKEN)  # whether it is right, its reader knows
    if not parts:
        required({}, CNum.STREAM)
    if len(parts) > STREAMS_MAX:
        raise bad(f"a Have of {len(parts)} streams")
    streams: list[Held] = []
    load = NOTHING_FREE
    for part in parts:
        places = placed(part, HAVE[1:], {CNum.RANGE: RANGES_MAX})
        load = read_load(places) or load
        highest = required(places, CNum.SEQUENCE).sequence
        streams.append(Held(_held_stream(places), highest, read_ranges(places), load, _beacon(places)))
    return Have(tuple(streams)), skipped


def _held_stream(places: Placed) -> StreamKey | int:
    if places[CNum.STREAM][0][0] == DIGESTED:
        return int(required(places, CNum.STREAM).digest)
    return read_stream(places)


def by_stream(found: list[Found]) -> Iterator[list[Found]]:
    """What stands before the first Stream, and then what is said of each."""
    part: list[Found] = []
    for one in found:
        if one[0] == CNum.STREAM:
            yield part
            part = []
        part.append(one)
    yield part


def _beacon(places: Placed) -> Beacon | None:
    if not places.keys() & set(BEACON):
        return None
    if CNum.PATH not in places:
        raise PeerError(Code.OBJECT_MISSING, 0, "no PATH object")
    path = read_path(places[CNum.PATH][0][1])
    cost, rate = required(places, CNum.COST), required(places, CNum.RATE)
    return Beacon(path, cost.cost, rate.packets, rate.bits)


def read_path(data: memoryview) -> tuple[int, ...]:
    """The twin of PATH, which may be long and come for each stream."""
    hops, rest = divmod(len(data), 4)
    if hops > PATH_MAX:
        raise bad(f"a path of {hops} nodes")
    if rest:
        raise misfit(CNum.PATH, 1, data)
    return struct.unpack(f"!{hops}I", data)


# --- Nack


def nack_objects(nack: Nack) -> bytes:
    """Raises ValueError or struct.error for what a peer would not take."""
    if not nack.missing:
        raise ValueError("a Nack of nothing")
    return stream_object(nack.stream) + range_objects(nack.missing, ASKED_MAX)


def nack_size(nack: Nack) -> int:
    return HEADER + stream_size(nack.stream) + 12 * len(nack.missing)


def read_nack(message: memoryview) -> tuple[Nack, int]:
    """The message, and how many objects were skipped in it."""
    try:
        found = glance_nack(message)
    except struct.error:
        found = None
    return (found, 0) if found else declared_nack(message)


def glance_nack(message: memoryview) -> Nack | None:
    """What this version writes; None, or struct.error, for anything else."""
    at, end = HEADER, len(message)
    head = head_at(message, at)[0]
    if head == TOKEN_HEAD:
        at += TOKEN_SIZE
        head = head_at(message, at)[0]
    twin = SHORT_TWIN if head == SHORT_HEAD else LONG_TWIN
    stream_head, origin, group, source = twin.unpack_from(message, at)
    if stream_head not in (SHORT_HEAD, LONG_HEAD):
        return None
    at += twin.size
    missing = _glance_ranges(message, at, ASKED_MAX)
    if not missing or at + RANGE_TWIN.size * len(missing) != end:
        return None
    return Nack(StreamKey(origin, group, source), missing)


def declared_nack(message: memoryview) -> tuple[Nack, int]:
    """The same as it is declared, or what is wrong with it."""
    found, skipped = known(message, NACK)
    places = placed(found, NACK, {CNum.RANGE: ASKED_MAX})
    optional(places, CNum.TOKEN)
    stream, missing = read_stream(places), read_ranges(places)
    if not missing:
        required(places, CNum.RANGE)
    return Nack(stream, missing), skipped
