"""The objects of messages, but for those of IP Data (data.py): what stands in each, declared with construct.

An object stands in its message in the order in which the message's class names it; what is unknown is
skipped and counted.  Where something is measured hot there is a struct twin beside the declaration
(announcements.py, samples.py), and a property test holds the two together.
"""

from collections import namedtuple
from collections.abc import Iterable, Mapping
from struct import Struct as Twin
from typing import Any

from construct import (
    Bytes,
    ConstructError,
    CString,
    Error,
    GreedyBytes,
    GreedyRange,
    Int8ub,
    Int16sb,
    Int16ub,
    Int32ub,
    Int64ub,
    Struct,
    Switch,
    Terminated,
    this,
)

from multicastmw.wire import cops
from multicastmw.wire.cops import CNum, Code
from multicastmw.wire.errors import PeerError

# What the specification says (DESIGN, "The wire"): the data of each object, by (C-Num, C-Type).
#
#   Error             | code (16)      | sub-code (16) |
#   Keep Alive Timer  | reserved (16)  | seconds (16)  |
#   PEPID             | node name, UTF-8, NUL-terminated |
#   Node              | node id (64) |
#   Data Port         | UDP port (16)  | reserved (16) | link token (64) |
#   Group 1           | group key (64) | source key (64) |
#   Group 2           | group key (64) | source key (64) | IPv6 group (128) | IPv6 source (128) |
#   Token             | link token (64) |
#   Echo              | sender's clock (64) |
#   Reason            | what people are to know, UTF-8, NUL-terminated |
ERROR = Struct("code" / Int16ub, "sub_code" / Int16ub, Terminated)
KEEP_ALIVE_TIMER = Struct("reserved" / Int16ub, "seconds" / Int16ub, Terminated)
PEPID = Struct("name" / CString("utf8"), Terminated)
NODE = Struct("node" / Int64ub, Terminated)
DATA_PORT = Struct("port" / Int16ub, "reserved" / Int16ub, "token" / Int64ub, Terminated)
GROUP = Struct("group" / Int64ub, "source" / Int64ub, Terminated)
GROUP_IPV6 = Struct(
    "group" / Int64ub, "source" / Int64ub, "group6" / Bytes(16), "source6" / Bytes(16), Terminated
)
TOKEN = Struct("token" / Int64ub, Terminated)
ECHO = Struct("clock" / Int64ub, Terminated)
REASON = Struct("text" / CString("utf8"), Terminated)

# What the specification says of the mesh (OVERLAY, "Streams and messages").
#
#   Capabilities 1    | uplink, kbit/s (32) | children (16) | role (8) | flags (8) |
#   Capabilities 2    | the same | x (16, signed) | y (16, signed) | height (16) | error (8) | reserved (8) |
#   Address 1         | IPv4 (32)   | TCP port (16) |
#   Address 2         | IPv6 (128)  | TCP port (16) |
#   Stream 1          | origin (64) | group key (64) | source key (64) |
#   Stream 2          | origin (64) | group key (32) | source key (32) |     keys of IPv4, without their zeros
#   Sequence          | number (32) |
#   Range             | first (32)  | last (32) |
#   Stream 3          | digest of the keys of type 1 (64) |                     in a Have
#   Load 1            | free slots (16) | flags (8): 1 stalled, 2 beacon, 4 lent | poorest child (8) |
#   Load 2            | the same        | round trip to the poorest, ms (16) | reserved (16) |
#   Path              | upper half of a node id (32), ... |
#   Cost              | us (32) |
#   Rate              | packets/s (32) | kbit/s (32) |
#   Refusal           | why (16) | reserved (16) |
#   Back-off          | ms (32) |
#   Kind              | kind (8) | TTL (8) | reserved (16) |
#   Sample 1          | node id (64) | flags (8) | capacity (8) | age, s (16) | addresses, each: |
#                     | C-Type of Address (8) | IPv4 (32) or IPv6 (128) | TCP port (16) |
#   Sample 2          | the same up to age | x (16, signed) | y (16, signed) | height (16) | error (8) |
#                     | addresses |
#   Estimate          | nodes (32) |
#   Recovery          | kept, ms (16) | reserved (16) |
#   Correction        | packets of a block (16) | reserved (16) |
#   Tally             | sent (32) | received (32) | short (32) |
#   Parity            | digest (64) | first (32) | step (8) | row (8) | rows (8) | reserved (8) |
#                     | members (64) | symbol |
WHAT_IT_CAN = ("uplink" / Int32ub, "children" / Int16ub, "role" / Int8ub, "flags" / Int8ub)
PLACE = ("x" / Int16sb, "y" / Int16sb, "height" / Int16ub, "error" / Int8ub)
CAPABILITIES = Struct(*WHAT_IT_CAN, Terminated)
CAPABILITIES_AND_PLACE = Struct(*WHAT_IT_CAN, *PLACE, "reserved" / Int8ub, Terminated)
ADDRESS = Struct("host" / Bytes(4), "port" / Int16ub, Terminated)
ADDRESS_IPV6 = Struct("host" / Bytes(16), "port" / Int16ub, Terminated)
STREAM = Struct("origin" / Int64ub, "group" / Int64ub, "source" / Int64ub, Terminated)
STREAM_IPV4 = Struct("origin" / Int64ub, "group" / Int32ub, "source" / Int32ub, Terminated)
SEQUENCE = Struct("sequence" / Int32ub, Terminated)
RANGE = Struct("first" / Int32ub, "last" / Int32ub, Terminated)
DIGEST = Struct("digest" / Int64ub, Terminated)
LOAD = Struct("free" / Int16ub, "flags" / Int8ub, "poorest" / Int8ub, Terminated)
LOAD_AND_FAR = Struct(
    "free" / Int16ub,
    "flags" / Int8ub,
    "poorest" / Int8ub,
    "far" / Int16ub,
    "reserved" / Int16ub,
    Terminated,
)
PATH = Struct("hops" / GreedyRange(Int32ub), Terminated)
COST = Struct("cost" / Int32ub, Terminated)
RATE = Struct("packets" / Int32ub, "bits" / Int32ub, Terminated)
REFUSAL = Struct("refusal" / Int16ub, "reserved" / Int16ub, Terminated)
BACK_OFF = Struct("ms" / Int32ub, Terminated)
KIND = Struct("kind" / Int8ub, "ttl" / Int8ub, "reserved" / Int16ub, Terminated)
KNOWN_NODE = ("node" / Int64ub, "flags" / Int8ub, "capacity" / Int8ub, "age" / Int16ub)
ADDRESSES = "addresses" / GreedyRange(
    Struct(
        "type" / Int8ub,
        "host" / Switch(this.type, {1: Bytes(4), 2: Bytes(16)}, default=Error),
        "port" / Int16ub,
    )
)
SAMPLE = Struct(*KNOWN_NODE, ADDRESSES, Terminated)
SAMPLE_AND_PLACE = Struct(*KNOWN_NODE, *PLACE, ADDRESSES, Terminated)
ESTIMATE = Struct("nodes" / Int32ub, Terminated)
RECOVERY = Struct("kept" / Int16ub, "reserved" / Int16ub, Terminated)
CORRECTION = Struct("packets" / Int16ub, "reserved" / Int16ub, Terminated)
TALLY = Struct("sent" / Int32ub, "received" / Int32ub, "short" / Int32ub, Terminated)
PARITY = Struct(
    "digest" / Int64ub,
    "first" / Int32ub,
    "step" / Int8ub,
    "row" / Int8ub,
    "rows" / Int8ub,
    "reserved" / Int8ub,
    "members" / Int64ub,
    "symbol" / GreedyBytes,
)
IN_IPV4, IN_IPV6 = 1, 2  # C-Types of an Address
LONG, SHORT, DIGESTED = 1, 2, 3  # and of a Stream
STALLED, ON_BEACON, LENT = 1, 2, 4
WITHOUT_FAR, WITH_FAR = 1, 2  # of a Load
WITHOUT_PLACE, PLACED = 1, 2  # of a Sample, and of Capabilities

DECLARED: dict[tuple[int, int], Any] = {
    (CNum.ERROR, 1): ERROR,
    (CNum.KEEP_ALIVE_TIMER, 1): KEEP_ALIVE_TIMER,
    (CNum.PEPID, 1): PEPID,
    (CNum.NODE, 1): NODE,
    (CNum.DATA_PORT, 1): DATA_PORT,
    (CNum.GROUP, 1): GROUP,
    (CNum.GROUP, 2): GROUP_IPV6,
    (CNum.TOKEN, 1): TOKEN,
    (CNum.ECHO, 1): ECHO,
    (CNum.ECHO, 2): ECHO,
    (CNum.REASON, 1): REASON,
    (CNum.CAPABILITIES, 1): CAPABILITIES,
    (CNum.CAPABILITIES, 2): CAPABILITIES_AND_PLACE,
    (CNum.ADDRESS, IN_IPV4): ADDRESS,
    (CNum.ADDRESS, IN_IPV6): ADDRESS_IPV6,
    (CNum.STREAM, LONG): STREAM,
    (CNum.STREAM, SHORT): STREAM_IPV4,
    (CNum.STREAM, DIGESTED): DIGEST,
    (CNum.SEQUENCE, 1): SEQUENCE,
    (CNum.RANGE, 1): RANGE,
    (CNum.LOAD, WITHOUT_FAR): LOAD,
    (CNum.LOAD, WITH_FAR): LOAD_AND_FAR,
    (CNum.PATH, 1): PATH,
    (CNum.COST, 1): COST,
    (CNum.RATE, 1): RATE,
    (CNum.REFUSAL, 1): REFUSAL,
    (CNum.BACK_OFF, 1): BACK_OFF,
    (CNum.KIND, 1): KIND,
    (CNum.SAMPLE, WITHOUT_PLACE): SAMPLE,
    (CNum.SAMPLE, PLACED): SAMPLE_AND_PLACE,
    (CNum.ESTIMATE, 1): ESTIMATE,
    (CNum.RECOVERY, 1): RECOVERY,
    (CNum.CORRECTION, 1): CORRECTION,
    (CNum.TALLY, 1): TALLY,
    (CNum.PARITY, 1): PARITY,
}

# The twins: of what a message may bring by the hundred.
STREAM_DATA = namedtuple("STREAM_DATA", "origin group source")
NUMBER_DATA = namedtuple("NUMBER_DATA", "sequence")
RANGE_DATA = namedtuple("RANGE_DATA", "first last")
DIGEST_DATA = namedtuple("DIGEST_DATA", "digest")
LOAD_DATA = namedtuple("LOAD_DATA", "free flags poorest")
FAR_DATA = namedtuple("FAR_DATA", "free flags poorest far reserved")
COST_DATA = namedtuple("COST_DATA", "cost")
RATE_DATA = namedtuple("RATE_DATA", "packets bits")
KEYS_DATA = namedtuple("KEYS_DATA", "group source")
KIND_DATA = namedtuple("KIND_DATA", "kind ttl reserved")
TWINS: dict[tuple[int, int], tuple[Twin, Any]] = {
    (CNum.STREAM, LONG): (Twin("!QQQ"), STREAM_DATA),
    (CNum.STREAM, SHORT): (Twin("!QII"), STREAM_DATA),
    (CNum.SEQUENCE, 1): (Twin("!I"), NUMBER_DATA),
    (CNum.RANGE, 1): (Twin("!II"), RANGE_DATA),
    (CNum.STREAM, DIGESTED): (Twin("!Q"), DIGEST_DATA),
    (CNum.LOAD, WITHOUT_FAR): (Twin("!HBB"), LOAD_DATA),
    (CNum.LOAD, WITH_FAR): (Twin("!HBBHH"), FAR_DATA),
    (CNum.COST, 1): (Twin("!I"), COST_DATA),
    (CNum.RATE, 1): (Twin("!II"), RATE_DATA),
    (CNum.GROUP, 1): (Twin("!QQ"), KEYS_DATA),
    (CNum.KIND, 1): (Twin("!BBH"), KIND_DATA),
}

Found = tuple[int, int, memoryview]  # C-Num, C-Type, data
Placed = dict[int, list[tuple[int, memoryview]]]  # by C-Num


def build(c_num: CNum, c_type: int, /, **fields: Any) -> bytes:
    """An object of these fields; raises ConstructError where one does not fit."""
    return cops.pack_object(c_num, c_type, DECLARED[c_num, c_type].build(fields))


def parse(c_num: int, c_type: int, data: memoryview) -> Any:
    """An object's data, by its twin if it has one."""
    if (twins := TWINS.get((c_num, c_type))) and len(data) == twins[0].size:
        return twins[1]._make(twins[0].unpack(data))
    return declared(c_num, c_type, data)


def declared(c_num: int, c_type: int, data: memoryview) -> Any:
    """An object's data as its declaration reads it."""
    try:
        return DECLARED[c_num, c_type].parse(data)
    except (ConstructError, UnicodeDecodeError) as error:
        raise misfit(c_num, c_type, data) from error


def misfit(c_num: int, c_type: int, data: memoryview) -> PeerError:
    """What is owed for data that are not what the object is declared to be."""
    return bad(f"object {c_num} of type {c_type} does not fit: {len(data)} bytes")


def bad(why: str) -> PeerError:
    """What is owed for a value that cannot be."""
    return PeerError(Code.BAD_FORMAT, 0, why)


def known(message: memoryview, wanted: tuple[CNum, ...]) -> tuple[list[Found], int]:
    """The objects that have a place in such a message, and how many have none."""
    found: list[Found] = []
    skipped = 0
    for each in cops.objects(message):
        if each[0] in wanted and each[:2] in DECLARED:
            found.append(each)
        else:
            skipped += 1
    return found, skipped


def placed(found: Iterable[Found], order: tuple[CNum, ...], many: Mapping[CNum, int] = {}) -> Placed:
    """Objects that stand at most once, or at most as often as `many` says, and in this order."""
    places: Placed = {}
    position = 0
    for c_num, c_type, data in found:
        place = order.index(CNum(c_num)) + 1 if c_num in order else 0
        if place < position or not place or (place == position and c_num not in many):
            raise bad(f"object {c_num} is out of its order")
        position = place
        there = places.setdefault(c_num, [])
        there.append((c_type, data))
        if len(there) > many.get(CNum(c_num), 1):
            raise bad(f"more than {len(there) - 1} {CNum(c_num).name} objects")
    return places


def required(places: Placed, c_num: CNum) -> Any:
    """What an object says that has to be there."""
    found = optional(places, c_num)
    if found is None:
        raise PeerError(Code.OBJECT_MISSING, 0, f"no {c_num.name} object")
    return found


def optional(places: Placed, c_num: CNum) -> Any:
    """The same of one that may be missing; then None."""
    if c_num not in places:
        return None
    ((c_type, data),) = places[c_num]
    return parse(c_num, c_type, data)


def each(places: Placed, c_num: CNum) -> list[Any]:
    """The same of those of which there may be many."""
    return [parse(c_num, c_type, data) for c_type, data in places.get(c_num, ())]
